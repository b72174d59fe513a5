/*
 * apart.h - a part of a unit test that ends its process: in a child, with its last words.
 *
 * Owner: the test program.
 */
#ifndef MILLRACE_APART_H
#define MILLRACE_APART_H

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

/* Runs body(context) in a child, which ends with 0 behind it. What it writes to stderr stands in
 * `report`, with a zero; returns the wait status. */
static inline int run_apart(void (*body)(const void *context), const void *context, char *report,
                            size_t report_n)
{
    int ends[2], status = 0;
    size_t n = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        body(context);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got; n < report_n - 1 && (got = read(ends[0], report + n, report_n - 1 - n)) > 0;)
        n += (size_t)got;
    report[n] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#endif
