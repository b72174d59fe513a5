/*
 * check.c - what happens when check() fails: one report on stderr, the thread's last words (what
 * its core saw last, ports.c), then abort.
 *
 * Owner: any thread. Nothing here allocates or takes a lock, because the heap may be what is
 * broken: the report is formatted into a local buffer, and the backtrace goes straight to the
 * descriptor. The names of our own functions come from the dynamic symbol table (the programs are
 * linked with -rdynamic).
 *
 * It does not try to go on, flush or clean up: recovery at the next start is the tested way.
 */
#include "check.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Thread_local const void *thread_self;
_Thread_local const struct check_last_words *check_last_words;

enum { FRAMES_MAX = 64, REPORT_BYTES = 1024 };

_Noreturn void check_failed(const char *file, int line, const char *function, const char *condition)
{
    char report[REPORT_BYTES];
    void *frames[FRAMES_MAX];
    int n =
        snprintf(report, sizeof report, "millrace: check failed: %s\n  in %s(), %s:%d, thread %d\n",
                 condition, function, file, line, (int)gettid());

    if (n > (int)sizeof report - 1)
        n = (int)sizeof report - 1;
    /* A report that cannot be written changes nothing: the abort below still tells. */
    if (n > 0 && write(STDERR_FILENO, report, (size_t)n) < 0)
        abort();
    backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
    const struct check_last_words *words = check_last_words;
    check_last_words = NULL; /* not again, should a check fail in them */
    if (words != NULL)
        words->say(words);
    abort();
}
