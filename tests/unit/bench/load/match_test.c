/* match_test.c - produce and receipt are matched in either order. */
#include "unit.h"

#include "match.h"

enum { SLOTS_N = 8, RECORDS_N = 10 };

static struct match_table table(struct match v[SLOTS_N])
{
    memset(v, 0, SLOTS_N * sizeof *v);
    return (struct match_table){v, SLOTS_N, RECORDS_N};
}

static void match_of_produce_then_receipt_is_the_time_between(void **state)
{
    struct match v[SLOTS_N];
    struct match_table t = table(v);
    uint64_t intended = 0, latency = 0;
    (void)state;
    assert_false(match_produced(&t, 0, 100, &intended, &latency));
    assert_true(match_received(&t, 0, 350, &intended, &latency));
    assert_int_equal(intended, 100);
    assert_int_equal(latency, 250);
}

static void match_of_receipt_then_produce_is_the_same(void **state)
{
    struct match v[SLOTS_N];
    struct match_table t = table(v);
    uint64_t intended = 0, latency = 0;
    (void)state;
    assert_false(match_received(&t, 30, 350, &intended, &latency));
    assert_true(match_produced(&t, 30, 100, &intended, &latency));
    assert_int_equal(intended, 100);
    assert_int_equal(latency, 250);
}

static void match_of_a_matched_batch_is_not_counted_again(void **state)
{
    struct match v[SLOTS_N];
    struct match_table t = table(v);
    uint64_t intended, latency;
    (void)state;
    assert_false(match_produced(&t, 20, 100, &intended, &latency));
    assert_true(match_received(&t, 20, 350, &intended, &latency));
    assert_false(match_received(&t, 20, 400, &intended, &latency));
}

static void match_of_a_second_receipt_keeps_the_first(void **state)
{
    struct match v[SLOTS_N];
    struct match_table t = table(v);
    uint64_t intended, latency;
    (void)state;
    assert_false(match_received(&t, 20, 300, &intended, &latency));
    assert_false(match_received(&t, 20, 900, &intended, &latency));
    assert_true(match_produced(&t, 20, 100, &intended, &latency));
    assert_int_equal(latency, 200);
}

static void match_of_many_under_way_keeps_them_apart(void **state)
{
    struct match v[SLOTS_N];
    struct match_table t = table(v);
    uint64_t intended, latency;
    (void)state;
    for (int64_t i = 0; i < SLOTS_N; i++)
        assert_false(match_produced(&t, i * RECORDS_N, (uint64_t)i + 1, &intended, &latency));
    for (int64_t i = SLOTS_N - 1; i >= 0; i--) {
        assert_true(match_received(&t, i * RECORDS_N, 1000, &intended, &latency));
        assert_int_equal(latency, 999 - i);
    }
}

static void match_of_a_full_table_loses_the_oldest_only(void **state)
{
    struct match v[SLOTS_N];
    struct match_table t = table(v);
    uint64_t intended, latency;
    (void)state;
    for (int64_t i = 0; i <= SLOTS_N; i++)
        assert_false(match_produced(&t, i * RECORDS_N, 1, &intended, &latency));
    assert_true(match_received(&t, SLOTS_N * RECORDS_N, 5, &intended, &latency));
    assert_false(match_received(&t, 0, 5, &intended, &latency));
    assert_true(match_received(&t, RECORDS_N, 5, &intended, &latency));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(match_of_produce_then_receipt_is_the_time_between),
        TEST(match_of_receipt_then_produce_is_the_same),
        TEST(match_of_a_matched_batch_is_not_counted_again),
        TEST(match_of_a_second_receipt_keeps_the_first),
        TEST(match_of_many_under_way_keeps_them_apart),
        TEST(match_of_a_full_table_loses_the_oldest_only),
    };
    return TESTS_RUN(tests);
}
