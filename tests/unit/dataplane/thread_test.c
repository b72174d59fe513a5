/* thread_test.c - dataplane.cpus: lists and ranges, and everything that is not one; how long a
 * thread turns before it sleeps. */
#include "thread.h"

#include "unit.h"

static void cpus_list_and_ranges_are_read(void **state)
{
    int v[16];
    (void)state;
    assert_int_equal(cpus_parse("", v, 16), 0);
    assert_int_equal(cpus_parse("5", v, 16), 1);
    assert_int_equal(v[0], 5);
    assert_int_equal(cpus_parse("2,3,8-11", v, 16), 6);
    assert_int_equal(v[0], 2);
    assert_int_equal(v[1], 3);
    for (int i = 0; i < 4; i++)
        assert_int_equal(v[2 + i], 8 + i);
    assert_int_equal(cpus_parse("0-0", v, 16), 1);
}

static void cpus_what_is_no_list_is_refused(void **state)
{
    static const char *const bad[] = {"a",   "1,,2", "1-",    "-1",   "3-1",
                                      "1;2", "1 2",  "99999", "0-16", ","};
    int v[16];
    (void)state;
    for (size_t i = 0; i < array_n(bad); i++)
        assert_int_equal(cpus_parse(bad[i], v, 16), E_INVALID);
}

static void short_sleeps_ask_for_more_turns_and_long_ones_for_fewer(void **state)
{
    struct spin spin = {SPIN_TURNS_MAX};
    (void)state;
    spin_slept(&spin, NS_PER_US);
    assert_int_equal(spin.turns_max, SPIN_TURNS_MAX);
    for (int i = 0; i < 10; i++) {
        uint32_t before = spin.turns_max;
        spin_slept(&spin, 100 * NS_PER_US);
        assert_true(spin.turns_max < before || before == SPIN_TURNS_MIN);
    }
    assert_int_equal(spin.turns_max, SPIN_TURNS_MIN);
    for (int i = 0; i < 4; i++)
        spin_slept(&spin, SPIN_WORTH_NS - 1);
    assert_int_equal(spin.turns_max, SPIN_TURNS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cpus_list_and_ranges_are_read),
        TEST(cpus_what_is_no_list_is_refused),
        TEST(short_sleeps_ask_for_more_turns_and_long_ones_for_fewer),
    };
    return TESTS_RUN(tests);
}
