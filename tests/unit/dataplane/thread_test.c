/* thread_test.c - dataplane.cpus: lists and ranges, and everything that is not one. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cpus_list_and_ranges_are_read),
        TEST(cpus_what_is_no_list_is_refused),
    };
    return TESTS_RUN(tests);
}
