/* batch_test.c - batch.c and batch_build.c: Kafka's own bytes, the produce rules, built batches. */
#include "batch.h"

#include <stdio.h>

#include "samples.h"
#include "unit.h"

enum { NOW_MS = 1700000000 };

static const struct log_config config = {
    .max_message_bytes = 1000,
    .timestamp_before_max_ms = INT64_MAX,
    .timestamp_after_max_ms = 3600000,
};

/* A good batch of two records as a client sends it, decoded. */
static struct batch produced(void)
{
    return (struct batch){.bytes = 100,
                          .leader_epoch = -1,
                          .last_delta = 1,
                          .base_timestamp = NOW_MS,
                          .max_timestamp = NOW_MS,
                          .producer_id = -1,
                          .producer_epoch = -1,
                          .base_sequence = -1,
                          .records_n = 2};
}

static int judge(struct batch b, int16_t version, struct append *append)
{
    *append = (struct append){.request_version = version};
    memset(append->reason, 'x', sizeof append->reason - 1);
    return batch_check_produced(&b, &config, append, NOW_MS);
}

static void header_of_kafkas_batch_is_read(void **state)
{
    struct batch b;
    (void)state;
    assert_int_equal(batch_header(sample_plain, &b), 0);
    assert_int_equal(b.bytes, sizeof sample_plain);
    assert_int_equal(b.crc, 0xce652be6);
    assert_int_equal(b.crc, batch_crc(sample_plain, b.bytes));
    assert_int_equal(b.last_delta, 2);
    assert_int_equal(b.records_n, 3);
    assert_int_equal(b.base_timestamp, 0x18bcfe56800);
    assert_int_equal(b.producer_id, -1);
    assert_int_equal(batch_codec(&b), CODEC_NONE);
    assert_false(batch_is_control(&b));
}

static void header_of_markers_and_transactions_is_read(void **state)
{
    struct batch b;
    (void)state;
    assert_int_equal(batch_header(sample_transactions, &b), 0);
    assert_true(batch_is_control(&b) && batch_is_transactional(&b));
    assert_int_equal(b.base_offset, 2);
    assert_int_equal(b.producer_id, 1);
    assert_int_equal(b.producer_epoch, 1);
    assert_int_equal(batch_last_sequence(&b), -1);
    assert_int_equal(batch_header(sample_transactions + b.bytes, &b), 0);
    assert_false(batch_is_control(&b));
    assert_int_equal(batch_last_offset(&b), 4);
    assert_int_equal(batch_last_sequence(&b), 1);
}

static void last_sequence_wraps_to_zero(void **state)
{
    struct batch b = {.base_sequence = INT32_MAX, .last_delta = 1};
    (void)state;
    assert_int_equal(batch_last_sequence(&b), 0);
    b.last_delta = 0;
    assert_int_equal(batch_last_sequence(&b), INT32_MAX);
}

static void header_with_impossible_length_is_corrupt(void **state)
{
    const int32_t lengths[] = {INT32_MIN, -1, 0, 13, 48, INT32_MAX, INT32_MAX - 11};
    uint8_t h[BATCH_HEADER];
    struct batch b;
    (void)state;
    memcpy(h, sample_plain, sizeof h);
    for (size_t i = 0; i < array_n(lengths); i++) {
        store_u32(h + BATCH_LENGTH_AT, (uint32_t)lengths[i]);
        assert_int_equal(batch_header(h, &b), E_CORRUPT);
    }
    memset(h, 0, sizeof h);
    assert_int_equal(batch_header(h, &b), E_CORRUPT); /* a zero tail */
}

static void header_with_other_magic_tells_its_length(void **state)
{
    const uint8_t magics[] = {0, 1, 3, 0xff};
    uint8_t h[BATCH_HEADER];
    struct batch b;
    (void)state;
    memcpy(h, sample_plain, sizeof h);
    for (size_t i = 0; i < array_n(magics); i++) {
        struct append a = {.request_version = 9};
        h[BATCH_MAGIC_AT] = magics[i];
        assert_int_equal(batch_header(h, &b), E_BAD_MAGIC);
        assert_int_equal(b.bytes, sizeof sample_plain);
        assert_int_equal(batch_header_refused(h, E_BAD_MAGIC, &a),
                         magics[i] < 2 ? E_INVALID_RECORD : E_CORRUPT);
        if (magics[i] == 3)
            assert_string_equal(a.reason, "Invalid magic found in record: 3");
    }
}

static void produced_batch_that_keeps_the_rules_passes(void **state)
{
    struct append a;
    struct batch b = produced();
    (void)state;
    assert_int_equal(judge(b, 9, &a), 0);
    assert_string_equal(a.reason, "");
    assert_int_equal(a.bad_record_at, -1);
    b.producer_id = 5, b.producer_epoch = 0, b.base_sequence = 0,
    b.attributes = BATCH_TRANSACTIONAL;
    assert_int_equal(judge(b, 9, &a), 0);
    b.bytes = config.max_message_bytes;
    assert_int_equal(judge(b, 9, &a), 0);
}

#define REFUSED(change, version, error_, text)           \
    do {                                                 \
        struct batch b = produced();                     \
        struct append a;                                 \
        change;                                          \
        assert_int_equal(judge(b, version, &a), error_); \
        assert_non_null(strstr(a.reason, text));         \
        assert_int_equal(a.bad_record_at, -1);           \
    } while (0)

static void produced_batch_that_breaks_a_rule_is_refused_with_reason(void **state)
{
    (void)state;
    REFUSED(b.attributes = 7, 9, E_BAD_CODEC, "compression type id: 7");
    REFUSED(b.attributes = CODEC_ZSTD, 6, E_BAD_CODEC,
            "version 6 are not allowed to use ZStandard");
    REFUSED(b.base_offset = 77, 9, E_INVALID_RECORD, "should be 0, but it is 77");
    REFUSED(b.bytes = 1001, 9, E_TOO_LARGE,
            "1001 bytes which exceeds the maximum configured value of 1000.");
    REFUSED(b.records_n = 0, 9, E_INVALID_RECORD, "count for record batch: 0");
    REFUSED(b.records_n = -5, 9, E_INVALID_RECORD, "count for record batch: -5");
    REFUSED(b.records_n = 3, 9, E_INVALID_RECORD, "Inconsistent batch offset range [0, 1]");
    REFUSED(b.last_delta = -1, 9, E_INVALID_RECORD, "invalid offset range");
    REFUSED(b.last_delta = INT32_MAX, 9, E_INVALID_RECORD, "Inconsistent");
    REFUSED(b.attributes = BATCH_CONTROL, 9, E_INVALID_RECORD,
            "not allowed to write control records");
    REFUSED(b.attributes = BATCH_TRANSACTIONAL, 9, E_INVALID_RECORD, "without a producer id");
    REFUSED((b.producer_id = 9, b.producer_epoch = 0), 9, E_INVALID_RECORD,
            "Invalid sequence number -1 in record batch with producerId 9");
    REFUSED((b.producer_id = 9, b.base_sequence = 0), 9, E_INVALID_RECORD, "producer epoch -1");
    REFUSED(b.attributes = BATCH_LOG_APPEND_TIME, 9, E_INVALID_TIMESTAMP, "LogAppendTime");
    REFUSED((b.attributes = CODEC_GZIP, b.max_timestamp = NOW_MS + 3600001), 9, E_INVALID_TIMESTAMP,
            "out of range. The timestamp should be within [-9223372035154775807, 1703600000]");
}

static void internal_append_may_be_control_and_zstd(void **state)
{
    struct append a;
    struct batch b = produced();
    (void)state;
    b.attributes = BATCH_CONTROL | BATCH_TRANSACTIONAL;
    b.producer_id = 1, b.producer_epoch = 2;
    assert_int_equal(judge(b, -1, &a), 0);
    b = produced();
    b.attributes = CODEC_ZSTD;
    assert_int_equal(judge(b, -1, &a), 0);
}

static void compressed_timestamps_in_range_or_absent_pass(void **state)
{
    struct append a;
    struct batch b = produced();
    (void)state;
    b.attributes = CODEC_LZ4;
    b.max_timestamp = NOW_MS + 3600000;
    assert_int_equal(judge(b, 9, &a), 0);
    b.base_timestamp = b.max_timestamp = -1;
    assert_int_equal(judge(b, 9, &a), 0);
    struct log_config append_time = config;
    append_time.is_log_append_time = true;
    b.max_timestamp = INT64_MAX;
    assert_int_equal(batch_check_produced(&b, &append_time, &a, NOW_MS), 0);
}

static void built_batch_equals_kafkas(void **state)
{
    uint8_t to[512];
    struct batch_builder b;
    (void)state;
    batch_begin(&b, to, sizeof to);
    for (int i = 0; i < 3; i++) {
        char key[8], value[64];
        snprintf(key, sizeof key, "k%d", i);
        snprintf(value, sizeof value, "hello hello hello hello %d", i);
        assert_int_equal(batch_add(&b, 0x18bcfe56800, bytes_of_string(key), bytes_of_string(value)),
                         0);
    }
    assert_int_equal(batch_end(&b, 0, 0), sizeof sample_plain);
    assert_memory_equal(to, sample_plain, sizeof sample_plain);
}

static void built_batch_without_room_is_refused_and_unchanged(void **state)
{
    uint8_t to[BATCH_HEADER + 20];
    struct batch_builder b;
    (void)state;
    batch_begin(&b, to, sizeof to);
    assert_int_equal(batch_add(&b, 5, bytes_of_string("key"), bytes_of_string("val")), 0);
    uint32_t n = b.n;
    assert_int_equal(batch_add(&b, 5, bytes_of_string("key"), bytes_of_string("val")), E_TOO_LARGE);
    assert_int_equal(b.n, n);
    assert_int_equal(b.records_n, 1);
}

static void built_nulls_headers_and_times_are_read_back(void **state)
{
    static const uint8_t headers[] = {4, 2, 'h', 2, 'v', 2, 'n', 1};
    uint8_t to[512];
    struct batch_builder b;
    struct record r;
    struct batch header;
    uint32_t at = 0;
    (void)state;
    batch_begin(&b, to, sizeof to);
    assert_int_equal(batch_add(&b, 1000, (struct bytes){NULL, 0}, bytes_of("", 0)), 0);
    assert_int_equal(batch_add_headers(&b, 10, bytes_of_string("k"), (struct bytes){NULL, 0},
                                       bytes_of(headers, sizeof headers)),
                     0);
    uint32_t n = batch_end(&b, BATCH_TRANSACTIONAL, 7);
    batch_stamp_producer(to, 12, 3, 9);
    assert_int_equal(batch_header(to, &header), 0);
    assert_int_equal(header.crc, batch_crc(to, n));
    assert_int_equal(header.producer_id, 12);
    assert_int_equal(header.producer_epoch, 3);
    assert_int_equal(header.base_sequence, 9);
    assert_int_equal(header.max_timestamp, 1000);
    assert_int_equal(header.leader_epoch, 7);
    struct bytes records = bytes_of(to + BATCH_HEADER, n - BATCH_HEADER);
    assert_int_equal(record_next(records, &at, &r), 0);
    assert_null(r.key.ptr);
    assert_non_null(r.value.ptr);
    assert_int_equal(r.value.n, 0);
    assert_int_equal(record_next(records, &at, &r), 0);
    assert_int_equal(r.timestamp_delta, -990);
    assert_int_equal(r.offset_delta, 1);
    assert_null(r.value.ptr);
    assert_true(bytes_equal(r.headers, bytes_of(headers, sizeof headers)));
    assert_int_equal(record_next(records, &at, &r), E_EOF);
}

static void record_cut_anywhere_is_corrupt(void **state)
{
    (void)state;
    for (uint32_t n = BATCH_HEADER + 1; n < sizeof sample_plain; n++) {
        struct bytes records = bytes_of(sample_plain + BATCH_HEADER, n - BATCH_HEADER);
        struct record r;
        uint32_t at = 0;
        int error;
        do
            error = record_next(records, &at, &r);
        while (error == 0);
        assert_int_equal(error, at == records.n ? E_EOF : E_CORRUPT);
    }
}

static void record_of_compaction_and_marker_is_read(void **state)
{
    struct record r;
    uint32_t at = 0;
    (void)state;
    /* The tombstone: its time is counted back from the delete horizon. */
    const uint8_t *second = sample_compacted + 70;
    assert_int_equal(record_next(bytes_of(second + BATCH_HEADER, 71 - BATCH_HEADER), &at, &r), 0);
    assert_int_equal(r.timestamp_delta, -601713);
    assert_null(r.value.ptr);
    at = 0;
    assert_int_equal(
        record_next(bytes_of(sample_transactions + BATCH_HEADER, 78 - BATCH_HEADER), &at, &r), 0);
    assert_int_equal(load_u16(r.key.ptr + 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(header_of_kafkas_batch_is_read),
        TEST(header_of_markers_and_transactions_is_read),
        TEST(last_sequence_wraps_to_zero),
        TEST(header_with_impossible_length_is_corrupt),
        TEST(header_with_other_magic_tells_its_length),
        TEST(produced_batch_that_keeps_the_rules_passes),
        TEST(produced_batch_that_breaks_a_rule_is_refused_with_reason),
        TEST(internal_append_may_be_control_and_zstd),
        TEST(compressed_timestamps_in_range_or_absent_pass),
        TEST(built_batch_equals_kafkas),
        TEST(built_batch_without_room_is_refused_and_unchanged),
        TEST(built_nulls_headers_and_times_are_read_back),
        TEST(record_cut_anywhere_is_corrupt),
        TEST(record_of_compaction_and_marker_is_read),
    };
    return TESTS_RUN(tests);
}
