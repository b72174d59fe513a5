/* check_test.c - a failed check stops the process and says where; own() knows its thread. */
#include "check.h"

#include <string.h>

#include "apart.h"

static void fail_a_check(const void *context)
{
    (void)context;
    int zero = 0;
    check(1 + 1 == 2);
    check(zero == 1);
}

static void enter_as_the_wrong_thread(const void *context)
{
    (void)context;
    int me, other;
    thread_self = &me;
    own(&me);
    own(&other);
}

static void enter_as_anybody_at_boot(const void *context)
{
    (void)context;
    int other;
    own(&other);
}

static void check_failed_aborts_with_place_and_condition(void **state)
{
    char report[8192];
    (void)state;
    int status = run_apart(fail_a_check, NULL, report, sizeof report);
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
    int status = run_apart(enter_as_the_wrong_thread, NULL, report, sizeof report);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void own_while_single_threaded_passes(void **state)
{
    char report[64];
    (void)state;
    int status = run_apart(enter_as_anybody_at_boot, NULL, report, sizeof report);
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
