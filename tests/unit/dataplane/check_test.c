/* check_test.c - a failed check stops the process and says where; own() knows its thread. */
#include "check.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

/* Runs `body` in a child; its stderr and its wait status are the result. */
static int run_apart(void (*body)(void), char *report, size_t report_n)
{
    int ends[2], status = 0;
    size_t n = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        body();
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

static void fail_a_check(void)
{
    int zero = 0;
    check(1 + 1 == 2);
    check(zero == 1);
}

static void enter_as_the_wrong_thread(void)
{
    int me, other;
    thread_self = &me;
    own(&me);
    own(&other);
}

static void enter_as_anybody_at_boot(void)
{
    int other;
    own(&other);
}

static void check_failed_aborts_with_place_and_condition(void **state)
{
    char report[8192];
    (void)state;
    int status = run_apart(fail_a_check, report, sizeof report);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(report, "check failed: zero == 1"));
    assert_non_null(strstr(report, "fail_a_check()"));
    assert_non_null(strstr(report, "check_test.c:"));
    assert_null(strstr(report, "1 + 1 == 2"));
}

static void own_of_another_thread_aborts(void **state)
{
    char report[8192];
    (void)state;
    int status = run_apart(enter_as_the_wrong_thread, report, sizeof report);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void own_while_single_threaded_passes(void **state)
{
    char report[64];
    (void)state;
    int status = run_apart(enter_as_anybody_at_boot, report, sizeof report);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_string_equal(report, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(check_failed_aborts_with_place_and_condition),
        TEST(own_of_another_thread_aborts),
        TEST(own_while_single_threaded_passes),
    };
    return TESTS_RUN(tests);
}
