/* index_test.c - index.c: look-ups in Kafka's files, zero tails, damage. */
#include "index.h"

#include "samples.h"
#include "unit.h"

static void index_of_kafka_is_counted_and_searched(void **state)
{
    struct bytes index = SAMPLE(index);
    (void)state;
    assert_int_equal(index_count(index), 4);
    assert_int_equal(index_find(index, 0), 0);
    assert_int_equal(index_find(index, 30), 0);
    assert_int_equal(index_find(index, 31), 0x3f9d);
    assert_int_equal(index_find(index, 32), 0x3f9d);
    assert_int_equal(index_find(index, 0x3f), 0xbed7);
    assert_int_equal(index_find(index, INT32_MAX), 0xfe74);
}

static void index_written_equals_kafkas(void **state)
{
    uint8_t to[sizeof sample_index];
    (void)state;
    index_put(to, 31, 0x3f9d);
    index_put(to + 8, 47, 0x7f3a);
    index_put(to + 16, 63, 0xbed7);
    index_put(to + 24, 79, 0xfe74);
    assert_memory_equal(to, sample_index, sizeof to);
    time_index_put(to, 0x1a20973ef47, 31);
    assert_memory_equal(to, sample_time_index, TIME_INDEX_ENTRY);
}

static void index_empty_or_of_zeros_has_no_entries(void **state)
{
    static const uint8_t zeros[96];
    int64_t time;
    int32_t relative;
    (void)state;
    for (uint32_t n = 0; n <= sizeof zeros; n++) {
        assert_int_equal(index_count(bytes_of(zeros, n)), 0);
        assert_int_equal(time_index_count(bytes_of(zeros, n)), 0);
    }
    assert_int_equal(index_find(bytes_of(zeros, 0), 7), 0);
    assert_false(time_index_find(bytes_of(zeros, 0), 7, &relative, &time));
    assert_false(time_index_last(bytes_of(zeros, 0), &time, &relative));
}

static void index_with_zero_tail_or_odd_length_counts_real_entries(void **state)
{
    uint8_t index[64] = {0}, times[64] = {0};
    (void)state;
    memcpy(index, sample_index, sizeof sample_index);
    memcpy(times, sample_time_index, sizeof sample_time_index);
    for (uint32_t n = sizeof sample_index; n <= sizeof index; n++)
        assert_int_equal(index_count(bytes_of(index, n)), 4);
    for (uint32_t n = sizeof sample_time_index; n <= sizeof times; n++)
        assert_int_equal(time_index_count(bytes_of(times, n)), 3);
    assert_int_equal(index_count(bytes_of(index, 31)), 3);
}

static void index_that_stops_rising_is_cut_there(void **state)
{
    uint8_t index[24], times[36];
    (void)state;
    index_put(index, 10, 100);
    index_put(index + 8, 20, 100);
    index_put(index + 16, 30, 300);
    assert_int_equal(index_count(bytes_of(index, 24)), 1);
    index_put(index + 8, 10, 200);
    assert_int_equal(index_count(bytes_of(index, 24)), 1);
    index_put(index + 8, -5, 200);
    assert_int_equal(index_count(bytes_of(index, 24)), 1);
    index_put(index + 8, 20, 0x80000000u);
    assert_int_equal(index_count(bytes_of(index, 24)), 1);
    time_index_put(times, 1000, 5);
    time_index_put(times + 12, 1000, 6);
    time_index_put(times + 24, 1001, 7);
    assert_int_equal(time_index_count(bytes_of(times, 36)), 1);
    time_index_put(times + 12, 1001, 4);
    assert_int_equal(time_index_count(bytes_of(times, 36)), 1);
}

static void time_index_of_kafka_is_searched(void **state)
{
    struct bytes times = SAMPLE(time_index);
    int64_t found;
    int32_t relative;
    (void)state;
    assert_int_equal(time_index_count(times), 3);
    assert_false(time_index_find(times, 0x1a20973ef46, &relative, &found));
    assert_int_equal(relative, 0);
    assert_true(time_index_find(times, 0x1a20973ef48, &relative, &found));
    assert_int_equal(relative, 0x2f);
    assert_int_equal(found, 0x1a20973ef48);
    assert_true(time_index_find(times, INT64_MAX, &relative, &found));
    assert_int_equal(relative, 0x4f);
    assert_true(time_index_last(times, &found, &relative));
    assert_int_equal(found, 0x1a20973ef49);
}

static void time_index_may_begin_at_time_zero(void **state)
{
    uint8_t times[24];
    (void)state;
    time_index_put(times, 0, 0);
    time_index_put(times + 12, 5, 3);
    assert_int_equal(time_index_count(bytes_of(times, 24)), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(index_of_kafka_is_counted_and_searched),
        TEST(index_written_equals_kafkas),
        TEST(index_empty_or_of_zeros_has_no_entries),
        TEST(index_with_zero_tail_or_odd_length_counts_real_entries),
        TEST(index_that_stops_rising_is_cut_there),
        TEST(time_index_of_kafka_is_searched),
        TEST(time_index_may_begin_at_time_zero),
    };
    return TESTS_RUN(tests);
}
