/* schedule_test.c - when requests are due. */
#include "unit.h"

#include "schedule.h"

static void due_of_connections_takes_turns(void **state)
{
    const struct schedule s = {1000, 10, 2};
    (void)state;
    assert_int_equal(schedule_due_ns(&s, 0, 0), 1000);
    assert_int_equal(schedule_due_ns(&s, 1, 0), 1000 + 100000000);
    assert_int_equal(schedule_due_ns(&s, 0, 1), 1000 + 200000000);
    assert_int_equal(schedule_due_ns(&s, 1, 5), 1000 + 1100000000);
}

static void due_number_of_any_time_is_the_inverse_of_the_time(void **state)
{
    static const double rates[] = {0.5, 3, 333.3, 50000, 1e6, 49e6};
    (void)state;
    for (size_t r = 0; r < array_n(rates); r++) {
        for (uint32_t conns_n = 1; conns_n <= 7; conns_n += 3) {
            const struct schedule s = {12345678901ULL, rates[r], conns_n};
            for (uint32_t conn = 0; conn < conns_n; conn++) {
                for (uint64_t k = 0; k < 1000; k += 37) {
                    uint64_t due = schedule_due_ns(&s, conn, k);
                    assert_true(schedule_due_n(&s, conn, due) <= k);
                    /* at more than a request per ns of one connection several share a moment */
                    assert_true(schedule_due_n(&s, conn, due + 1) >= k + 1);
                }
            }
        }
    }
}

static void due_number_over_connections_is_the_rate(void **state)
{
    const struct schedule s = {5, 1000, 3};
    uint64_t n = 0;
    (void)state;
    for (uint32_t conn = 0; conn < 3; conn++)
        n += schedule_due_n(&s, conn, 5 + 2000000000ULL);
    assert_int_equal(n, 2000);
}

static void due_number_before_the_start_is_zero(void **state)
{
    const struct schedule s = {1000, 1e6, 1};
    (void)state;
    assert_int_equal(schedule_due_n(&s, 0, 0), 0);
    assert_int_equal(schedule_due_n(&s, 0, 1000), 0);
    assert_int_equal(schedule_due_n(&s, 0, 1001), 1);
}

static void behind_few_left_over_is_reached(void **state)
{
    (void)state;
    assert_false(schedule_is_behind(0, 0));
    assert_false(schedule_is_behind(10, 20));     /* always under way */
    assert_false(schedule_is_behind(500, 50000)); /* one in a hundred */
    assert_true(schedule_is_behind(501, 50000));
    assert_true(schedule_is_behind(11, 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(due_of_connections_takes_turns),
        TEST(due_number_of_any_time_is_the_inverse_of_the_time),
        TEST(due_number_over_connections_is_the_rate),
        TEST(due_number_before_the_start_is_zero),
        TEST(behind_few_left_over_is_reached),
    };
    return TESTS_RUN(tests);
}
