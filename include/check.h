/*
 * check.h - programmer errors stop the process, always, with a report.
 *
 * Owner: any thread.
 *
 * check(x)       always on: a condition that only our own mistake can break.
 * check_slow(x)  on when MILLRACE_SLOW_CHECKS is defined (unit tests, simulator, sanitizer builds).
 * own(t)         the calling thread is `t`, the thread that owns what follows. While the process is
 *                still single-threaded (boot, unit tests) thread_self is NULL and own() passes.
 *
 * Bytes from the network or a disk are never judged with check(): they return an error, are counted
 * and are reported at a limited rate.
 */
#ifndef MILLRACE_CHECK_H
#define MILLRACE_CHECK_H

#include "base.h"

/* The thread struct the running thread stands for; NULL at boot. In the simulator, which runs every
 * thread's turns in one thread, it is set before each turn. */
extern _Thread_local const void *thread_self;

/* What a thread still writes down when a check of its fails, after the report: it may open and
 * write files, and nothing else, for the heap or a lock may be what is broken. A check that fails
 * meanwhile ends the process at once. Owner: the thread. */
struct check_last_words {
    void (*say)(const struct check_last_words *words);
};

/* NULL: nothing. Beside thread_self the only thread-local of the program. */
extern _Thread_local const struct check_last_words *check_last_words;

/* Prints file, line, function and the condition, then aborts. Never returns. */
_Noreturn void check_failed(const char *file, int line, const char *function,
                            const char *condition);

#define check(x) (likely(x) ? (void)0 : check_failed(__FILE__, __LINE__, __func__, #x))

#ifdef MILLRACE_SLOW_CHECKS
#define check_slow(x) check(x)
#else
#define check_slow(x) ((void)0)
#endif

#define own(thread) check(thread_self == NULL || thread_self == (const void *)(thread))

#endif
