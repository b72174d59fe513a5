/* record_walk_test.c - record_walk.c: every rule, and the same verdict for every split of the
 * bytes. */
#include "batch.h"

#include <stdio.h>

#include "prng.h"
#include "samples.h"
#include "unit.h"

enum { NOW_MS = 1700000000 };

static const struct log_config config = {
    .timestamp_before_max_ms = 1000,
    .timestamp_after_max_ms = 500,
};

struct verdict {
    int error;
    int32_t records_n, bad_record_at;
    int64_t max_timestamp;
    char reason[APPEND_REASON_MAX];
};

static const struct log_id id = {.topic = {(const uint8_t *)"cpt", 3}, .partition = 0};

/* Feeds records in pieces of at most piece_max bytes; 0 = whole. */
static struct verdict walk(struct bytes records, int32_t records_n, bool need_keys,
                           uint32_t piece_max, bool is_growing, struct prng *prng)
{
    struct batch b = {.base_timestamp = NOW_MS, .records_n = records_n};
    struct record_walk w;
    record_walk_init(&w, &b, &config, need_keys, NOW_MS);
    for (uint32_t at = 0, from = 0; at < records.n;) {
        uint32_t n = piece_max == 0 ? records.n : 1 + (uint32_t)prng_below(prng, piece_max);
        at += n < records.n - at ? n : records.n - at;
        if (is_growing && at < records.n && (at & 15) != 0) {
            from += record_walk_feed_some(&w, records.ptr + from, at - from);
        } else {
            record_walk_feed(&w, records.ptr + from, at - from);
            from = at;
        }
    }
    record_walk_end(&w, &b);
    struct verdict v = {w.error, w.records_n, w.bad_record_at, w.max_timestamp, ""};
    record_walk_reason(&w, &id, v.reason);
    return v;
}

static bool is_good(struct bytes records, int32_t records_n, bool need_keys)
{
    struct batch b = {
        .base_timestamp = NOW_MS, .records_n = records_n, .bytes = records.n + BATCH_HEADER};
    struct log_config strict = config;
    strict.is_compacted = need_keys;
    return record_walk_is_good(&b, &strict, NOW_MS, records.ptr);
}

static struct verdict walk_all_splits(struct bytes records, int32_t records_n, bool need_keys)
{
    struct prng prng;
    prng_init(&prng, records.n);
    struct verdict whole = walk(records, records_n, need_keys, 0, false, &prng);
    for (uint32_t i = 0, piece = 1; piece < 40; piece += i % 2 == 0 ? 0 : 1 + piece / 4, i++) {
        struct verdict split = walk(records, records_n, need_keys, piece, i % 2 == 1, &prng);
        assert_int_equal(split.error, whole.error);
        assert_int_equal(split.records_n, whole.records_n);
        assert_int_equal(split.bad_record_at, whole.bad_record_at);
        assert_int_equal(split.max_timestamp, whole.max_timestamp);
        assert_string_equal(split.reason, whole.reason);
    }
    assert_true(whole.error == 0 || !is_good(records, records_n, need_keys));
    return whole;
}

static uint8_t memory[1 << 17];

/* Records as a batch holds them, with times relative to NOW_MS. */
static struct bytes three(int64_t t0, int64_t t1, int64_t t2, bool has_key)
{
    static const uint8_t headers[] = {4, 2, 'h', 2, 'v', 0, 1};
    struct batch_builder b;
    struct bytes key = has_key ? bytes_of_string("key") : (struct bytes){NULL, 0};
    batch_begin(&b, memory, sizeof memory);
    assert_int_equal(batch_add(&b, NOW_MS, bytes_of_string("a"), bytes_of_string("value")), 0);
    assert_int_equal(batch_add(&b, NOW_MS + t0, bytes_of_string("a"), bytes_of_string("value")), 0);
    assert_int_equal(
        batch_add_headers(&b, NOW_MS + t1, key, (struct bytes){NULL, 0}, bytes_of(headers, 7)), 0);
    assert_int_equal(batch_add(&b, NOW_MS + t2, bytes_of("", 0), bytes_of(sample_plain, 150)), 0);
    uint32_t n = batch_end(&b, 0, 0);
    return bytes_of(memory + BATCH_HEADER, n - BATCH_HEADER);
}

static void good_records_pass_and_give_the_largest_time(void **state)
{
    (void)state;
    struct verdict v = walk_all_splits(three(-1000, 500, 3, true), 4, true);
    assert_int_equal(v.error, 0);
    assert_int_equal(v.records_n, 4);
    assert_int_equal(v.max_timestamp, NOW_MS + 500);
    assert_string_equal(v.reason, "");
}

static void usual_records_are_good_at_a_glance(void **state)
{
    static const uint32_t sizes[] = {0, 1, 60, 100, 8000, 9000};
    (void)state;
    for (size_t i = 0; i < array_n(sizes); i++) {
        struct batch_builder b;
        batch_begin(&b, memory, sizeof memory);
        for (int32_t n = 0; n < 5; n++)
            assert_int_equal(batch_add(&b, NOW_MS + n * 100,
                                       n == 2 ? (struct bytes){NULL, 0} : bytes_of_string("key"),
                                       bytes_of(sample_plain, sizes[i] % sizeof sample_plain)),
                             0);
        struct bytes records = bytes_of(memory + BATCH_HEADER, batch_end(&b, 0, -1) - BATCH_HEADER);
        assert_true(is_good(records, 5, false));
        assert_false(is_good(records, 5, true)); /* one has no key */
        assert_false(is_good(records, 4, false));
        assert_false(is_good(records, 6, false));
        assert_false(is_good(bytes_of(records.ptr, 0), -5, false)); /* none, or fewer */
        assert_false(is_good(bytes_of(records.ptr, records.n - 1), 5, false));
    }
    assert_false(is_good(three(0, 501, 0, true), 4, false)); /* beyond its time, and headers */
}

static void null_key_is_refused_only_when_keys_are_needed(void **state)
{
    (void)state;
    struct bytes records = three(0, 0, 0, false);
    assert_int_equal(walk_all_splits(records, 4, false).error, 0);
    struct verdict v = walk_all_splits(records, 4, true);
    assert_int_equal(v.error, E_INVALID_RECORD);
    assert_int_equal(v.bad_record_at, 2);
    assert_string_equal(
        v.reason, "Compacted topic cannot accept message without key in topic partition cpt-0");
}

static void time_outside_the_range_is_refused(void **state)
{
    (void)state;
    struct verdict v = walk_all_splits(three(0, 501, 0, true), 4, false);
    assert_int_equal(v.error, E_INVALID_TIMESTAMP);
    assert_int_equal(v.bad_record_at, 2);
    assert_string_equal(v.reason, "Timestamp 1700000501 of message with offset 2 is out of range. "
                                  "The timestamp should be within [1699999000, 1700000500]");
    v = walk_all_splits(three(-1001, 0, 0, true), 4, false);
    assert_int_equal(v.error, E_INVALID_TIMESTAMP);
    assert_int_equal(v.bad_record_at, 1);
}

static void absent_time_passes(void **state)
{
    (void)state;
    assert_int_equal(walk_all_splits(three(-1 - NOW_MS, 0, 0, true), 4, false).error, 0);
}

static void log_append_time_takes_any_time(void **state)
{
    struct log_config append_time = config;
    struct batch b = {.base_timestamp = NOW_MS, .records_n = 4};
    struct record_walk w;
    (void)state;
    append_time.is_log_append_time = true;
    struct bytes records = three(INT32_MAX, INT32_MIN, 0, true);
    record_walk_init(&w, &b, &append_time, false, NOW_MS);
    assert_int_equal(record_walk_feed(&w, records.ptr, records.n), 0);
    assert_int_equal(record_walk_end(&w, &b), 0);
}

static void too_few_or_too_many_records_are_refused(void **state)
{
    (void)state;
    struct bytes records = three(0, 0, 0, true);
    assert_int_equal(walk_all_splits(records, 5, false).error, E_INVALID_RECORD);
    struct verdict v = walk_all_splits(records, 3, false);
    assert_int_equal(v.error, E_INVALID_RECORD);
    assert_int_equal(v.records_n, 3);
    assert_int_equal(v.bad_record_at, -1);
    assert_int_equal(walk_all_splits(bytes_of("", 0), 1, false).error, E_INVALID_RECORD);
}

static void records_cut_anywhere_are_refused(void **state)
{
    (void)state;
    struct bytes records = three(0, 0, 0, true);
    for (uint32_t n = 0; n < records.n; n++)
        assert_int_equal(walk_all_splits(bytes_of(records.ptr, n), 4, false).error,
                         E_INVALID_RECORD);
}

static void offset_that_does_not_follow_is_refused(void **state)
{
    static const uint8_t records[] = {12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 4, 1, 1, 0};
    (void)state;
    struct verdict v = walk_all_splits(bytes_of(records, sizeof records), 2, false);
    assert_int_equal(v.error, E_INVALID_RECORD);
    assert_int_equal(v.bad_record_at, 1);
}

/* Each is one record: length, attributes, time, offset, key, value, headers. */
static void record_with_a_wrong_length_is_refused(void **state)
{
    static const struct {
        uint8_t n, b[16];
    } bad[] = {
        {6, {10, 0, 0, 0, 1, 1}},                  /* no room for headers                */
        {1, {0}},                                  /* length 0                           */
        {1, {1}},                                  /* length -1                          */
        {7, {12, 0, 0, 0, 3, 1, 0}},               /* key length -2                      */
        {7, {12, 0, 0, 0, 1, 3, 0}},               /* value length -2                    */
        {7, {12, 0, 0, 0, 4, 1, 0}},               /* the key takes the value's place    */
        {7, {12, 0, 0, 0, 1, 8, 0}},               /* the value runs out of the record   */
        {7, {12, 0, 0, 0, 1, 1, 1}},               /* -1 headers                         */
        {7, {12, 0, 0, 0, 1, 1, 2}},               /* a header that is not there         */
        {8, {14, 0, 0, 0, 1, 1, 0, 0}},            /* a byte too many                    */
        {9, {16, 0, 0, 0, 1, 1, 2, 1, 0}},         /* null header key                    */
        {9, {16, 0, 0, 0, 1, 1, 2, 0, 3}},         /* header value length -2             */
        {10, {18, 0, 0, 0, 1, 1, 2, 0, 1, 0}},     /* a byte behind the headers          */
        {6, {0x80, 0x80, 0x80, 0x80, 0x80, 0x01}}, /* a length of six bytes              */
        {5, {0xff, 0xff, 0xff, 0xff, 0x7f}},       /* a length beyond 32 bits            */
        {12, {22, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0}}, /* an offset of six bytes */
    };
    (void)state;
    for (size_t i = 0; i < array_n(bad); i++) {
        struct verdict v = walk_all_splits(bytes_of(bad[i].b, bad[i].n), 1, false);
        assert_int_equal(v.error, E_INVALID_RECORD);
    }
}

static void any_record_attributes_pass(void **state)
{
    static const uint8_t record[] = {12, 0xff, 0, 0, 1, 1, 0};
    (void)state;
    assert_int_equal(walk_all_splits(bytes_of(record, sizeof record), 1, false).error, 0);
}

static void time_of_ten_bytes_passes_and_eleven_do_not(void **state)
{
    static const uint8_t ten[] = {30,   0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 1,    0,    1,    1,    0};
    static const uint8_t over[] = {30,   0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 2,    0,    1,    1,    0};
    (void)state;
    assert_int_equal(walk_all_splits(bytes_of(ten, sizeof ten), 1, false).error,
                     E_INVALID_TIMESTAMP);
    assert_int_equal(walk_all_splits(bytes_of(over, sizeof over), 1, false).error,
                     E_INVALID_RECORD);
}

static void changed_bytes_end_alike_for_every_split(void **state)
{
    struct prng prng;
    (void)state;
    prng_init(&prng, 4);
    struct bytes good = three(-5, 5, 7, true);
    uint8_t copy[512];
    assert_true(good.n <= sizeof copy);
    for (int round = 0; round < 3000; round++) {
        memcpy(copy, good.ptr, good.n);
        for (uint64_t n = 1 + prng_below(&prng, 3); n > 0; n--)
            copy[prng_below(&prng, good.n)] = (uint8_t)prng_next(&prng);
        walk_all_splits(bytes_of(copy, good.n), 4, prng_chance(&prng, 50));
    }
}

static void large_values_are_stepped_over_in_pieces(void **state)
{
    static uint8_t value[100000];
    struct batch_builder b;
    (void)state;
    batch_begin(&b, memory, sizeof memory);
    assert_int_equal(batch_add(&b, NOW_MS, (struct bytes){NULL, 0}, bytes_of(value, sizeof value)),
                     0);
    uint32_t n = batch_end(&b, 0, 0);
    assert_int_equal(
        walk_all_splits(bytes_of(memory + BATCH_HEADER, n - BATCH_HEADER), 1, false).error, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(good_records_pass_and_give_the_largest_time),
        TEST(usual_records_are_good_at_a_glance),
        TEST(null_key_is_refused_only_when_keys_are_needed),
        TEST(time_outside_the_range_is_refused),
        TEST(absent_time_passes),
        TEST(log_append_time_takes_any_time),
        TEST(too_few_or_too_many_records_are_refused),
        TEST(records_cut_anywhere_are_refused),
        TEST(offset_that_does_not_follow_is_refused),
        TEST(record_with_a_wrong_length_is_refused),
        TEST(any_record_attributes_pass),
        TEST(time_of_ten_bytes_passes_and_eleven_do_not),
        TEST(changed_bytes_end_alike_for_every_split),
        TEST(large_values_are_stepped_over_in_pieces),
    };
    return TESTS_RUN(tests);
}
