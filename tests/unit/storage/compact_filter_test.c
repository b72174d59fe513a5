/* compact_filter_test.c - compact_map.c, compact_txns.c, compact_filter.c: what stays of a batch.
 */
#include "compact.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

enum { NOW_MS = 1000000, KEEP_MS = 5000, BATCH_MAX = 1 << 16 };

static const uint64_t key_of_hash[2] = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};
static struct compact_map map;
static struct compact_memory memory;
static struct compact_rules rules;
static uint8_t made[BATCH_MAX], packed[BATCH_MAX];

static int setup(void **state)
{
    (void)state;
    rules = (struct compact_rules){
        .map = &map, .map_end = 1000, .now_ms = NOW_MS, .delete_retention_ms = KEEP_MS};
    return compact_map_init(&map, 1 << 16, 1000, 90, key_of_hash);
}

static int teardown(void **state)
{
    (void)state;
    compact_map_fini(&map);
    compact_memory_fini(&memory);
    return 0;
}

static struct bytes text(const char *s)
{
    return s == NULL ? (struct bytes){NULL, 0} : bytes_of_string(s);
}

/* A batch at `base` of keys k0, k1 ..; a NULL value is a tombstone. */
static struct bytes batch_of(int64_t base, uint8_t codec, int16_t attributes,
                             const char *const *values, int n)
{
    struct batch_builder b;
    char key[16];
    batch_begin(&b, made, sizeof made);
    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(batch_add(&b, 500 + i, bytes_of_string(key), text(values[i])), 0);
    }
    uint32_t bytes = batch_end(&b, (int16_t)(attributes | codec), 7);
    if (codec == CODEC_NONE) {
        memcpy(packed, made, bytes);
    } else {
        int64_t body = codec_compress(codec, COMPRESS_LEVEL_DEFAULT,
                                      bytes_of(made + BATCH_HEADER, bytes - BATCH_HEADER),
                                      packed + BATCH_HEADER, sizeof packed - BATCH_HEADER);
        assert_true(body > 0);
        memcpy(packed, made, BATCH_HEADER);
        bytes = BATCH_HEADER + (uint32_t)body;
        store_u32(packed + BATCH_LENGTH_AT, bytes - BATCH_LENGTH_END);
    }
    store_u64(packed, (uint64_t)base);
    batch_stamp_crc(packed, bytes);
    return bytes_of(packed, bytes);
}

static struct bytes filtered(struct bytes whole, bool is_void, struct batch *after)
{
    struct batch b;
    struct bytes out;
    assert_int_equal(batch_header(whole.ptr, &b), 0);
    assert_int_equal(compact_batch(&rules, &memory, &b, whole, is_void, &out), 0);
    if (out.n > 0) {
        assert_int_equal(batch_header(out.ptr, after), 0);
        assert_int_equal(after->bytes, out.n);
        assert_int_equal(batch_crc(out.ptr, out.n), after->crc);
        assert_int_equal(after->base_offset, b.base_offset);
        assert_int_equal(after->last_delta, b.last_delta);
        assert_int_equal(after->leader_epoch, 7);
    }
    return out;
}

/* "k1=v1@501 " for each record, times as a reader computes them. */
static const char *shown(struct bytes batch)
{
    static char out[512];
    struct plain plain = {NULL, 0, 0};
    struct batch b;
    struct record r;
    uint32_t at = 0, n = 0;
    assert_int_equal(batch_header(batch.ptr, &b), 0);
    struct bytes body = bytes_of(batch.ptr + BATCH_HEADER, batch.n - BATCH_HEADER);
    assert_int_equal(plain_decompress(&plain, batch_codec(&b), body, BATCH_MAX), 0);
    out[0] = 0;
    for (; record_next(bytes_of(plain.v, plain.n), &at, &r) == 0; n++)
        snprintf(out + strlen(out), sizeof out - strlen(out), "%lld:%.*s=%.*s@%lld ",
                 (long long)(b.base_offset + r.offset_delta), (int)r.key.n, (const char *)r.key.ptr,
                 r.value.ptr == NULL ? 1 : (int)r.value.n,
                 r.value.ptr == NULL ? "-" : (const char *)r.value.ptr,
                 (long long)(b.base_timestamp + r.timestamp_delta));
    assert_int_equal(n, b.records_n);
    plain_fini(&plain);
    return out;
}

static void put(const char *key, int64_t offset)
{
    assert_true(compact_map_put(&map, bytes_of_string(key), offset));
}

/* ── the map ── */

static void hash_of_the_papers_vectors_is_theirs(void **state)
{
    /* The reference implementation's vectors_sip128: nothing, and the byte 00. */
    static const uint64_t expected[][2] = {{0xe6a825ba047f81a3ull, 0x930255c71472f66dull},
                                           {0x44af996bd8c187daull, 0x45fc229b11597634ull}};
    uint8_t data[1] = {0};
    uint64_t out[2];
    (void)state;
    for (uint32_t n = 0; n < array_n(expected); n++) {
        compact_hash(key_of_hash, bytes_of(data, n), out);
        assert_true(out[0] == expected[n][0] && out[1] == expected[n][1]);
    }
}

static void map_of_many_keys_finds_each_and_no_other(void **state)
{
    char key[16];
    (void)state;
    for (int i = 0; i < 900; i++) {
        snprintf(key, sizeof key, "%d", i);
        put(key, i);
        put(key, i * 2);
        put(key, 1); /* an older one changes nothing */
    }
    for (int i = 0; i < 900; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(compact_map_get(&map, bytes_of_string(key)), i == 0 ? 1 : i * 2);
    }
    assert_int_equal(compact_map_get(&map, bytes_of_string("none")), -1);
    assert_int_equal(compact_map_get(&map, bytes_of("", 0)), -1);
}

static void map_that_is_full_takes_known_keys_only(void **state)
{
    struct compact_map small;
    char key[16];
    int i = 0;
    (void)state;
    assert_int_equal(compact_map_init(&small, 0, UINT64_MAX, 50, key_of_hash), 0);
    for (;; i++) {
        snprintf(key, sizeof key, "%d", i);
        if (!compact_map_put(&small, bytes_of_string(key), i))
            break;
    }
    assert_int_equal(i, COMPACT_MAP_BYTES_MIN / COMPACT_MAP_ENTRY / 2);
    assert_true(compact_map_put(&small, bytes_of_string("0"), 99));
    assert_int_equal(compact_map_get(&small, bytes_of_string("0")), 99);
    compact_map_fini(&small);
}

/* ── batches ── */

static void batch_without_a_superseded_record_stays_as_it_is(void **state)
{
    static const char *const values[] = {"a", "b"};
    struct batch after;
    (void)state;
    put("k0", 10);
    for (uint8_t codec = 0; codec < CODECS_N; codec++) {
        struct bytes whole = batch_of(10, codec, 0, values, 2);
        assert_ptr_equal(filtered(whole, false, &after).ptr, whole.ptr);
    }
}

static void batch_of_every_codec_loses_what_is_superseded(void **state)
{
    static const char *const values[] = {"a", "b", "c"};
    struct batch after;
    (void)state;
    put("k0", 77);
    put("k1", 11);
    put("k2", 12);
    for (uint8_t codec = 0; codec < CODECS_N; codec++) {
        struct bytes out = filtered(batch_of(10, codec, 0, values, 3), false, &after);
        assert_string_equal(shown(out), "11:k1=b@501 12:k2=c@502 ");
        assert_int_equal(batch_codec(&after), codec);
        assert_int_equal(after.records_n, 2);
        assert_int_equal(after.max_timestamp, 502);
    }
}

static void batch_whose_newest_record_goes_has_a_smaller_time(void **state)
{
    static const char *const values[] = {"a", "b", "c"};
    struct batch after;
    (void)state;
    put("k2", 77);
    filtered(batch_of(10, CODEC_ZSTD, 0, values, 3), false, &after);
    assert_int_equal(after.max_timestamp, 501);
    filtered(batch_of(10, CODEC_NONE, BATCH_LOG_APPEND_TIME, values, 3), false, &after);
    assert_int_equal(after.max_timestamp, 502); /* its time is the batch's */
}

static void tombstone_gets_a_horizon_and_goes_when_it_is_over(void **state)
{
    static const char *const values[] = {"a", NULL, "c"};
    static uint8_t first[BATCH_MAX];
    struct batch after;
    (void)state;
    put("k0", 77);
    struct bytes out = filtered(batch_of(10, CODEC_LZ4, 0, values, 3), false, &after);
    assert_string_equal(shown(out), "11:k1=-@501 12:k2=c@502 ");
    assert_true((after.attributes & BATCH_DELETE_HORIZON) != 0);
    assert_int_equal(after.base_timestamp, NOW_MS + KEEP_MS);
    assert_int_equal(after.max_timestamp, 502);
    memcpy(first, out.ptr, out.n);
    struct bytes whole = bytes_of(first, out.n);
    rules.now_ms = NOW_MS + KEEP_MS - 1;
    assert_ptr_equal(filtered(whole, false, &after).ptr, whole.ptr);
    rules.now_ms = NOW_MS + KEEP_MS;
    out = filtered(whole, false, &after);
    assert_string_equal(shown(out), "12:k2=c@502 ");
    assert_int_equal(after.base_timestamp, NOW_MS + KEEP_MS);
}

static void batch_that_would_be_empty_goes(void **state)
{
    static const char *const values[] = {"a", "b"};
    struct batch after;
    (void)state;
    put("k0", 77);
    put("k1", 78);
    assert_int_equal(filtered(batch_of(10, CODEC_GZIP, 0, values, 2), false, &after).n, 0);
}

static void batch_that_would_be_empty_stays_where_the_compaction_ends(void **state)
{
    static const char *const values[] = {"a", "b"};
    struct batch after;
    (void)state;
    put("k0", 77);
    put("k1", 78);
    rules.map_end = 12;
    assert_int_equal(filtered(batch_of(10, CODEC_GZIP, 0, values, 2), false, &after).n,
                     BATCH_HEADER);
    assert_int_equal(after.records_n, 0);
    assert_int_equal(batch_codec(&after), CODEC_NONE);
    assert_int_equal(after.max_timestamp, 501);
}

static void batch_that_is_the_last_of_its_producer_stays_empty(void **state)
{
    static const char *const values[] = {"a", "b"};
    static const struct compact_producer producers[] = {{3, 5, 0}, {4, 11, 2}, {9, 50, 0}};
    struct batch after;
    (void)state;
    put("k0", 77);
    put("k1", 78);
    rules.producers = producers;
    rules.producers_n = array_n(producers);
    struct bytes whole = batch_of(10, CODEC_NONE, 0, values, 2);
    batch_stamp_producer(packed, 4, 2, 30);
    struct bytes out = filtered(whole, false, &after);
    assert_int_equal(out.n, BATCH_HEADER);
    assert_int_equal(after.producer_id, 4);
    assert_int_equal(after.producer_epoch, 2);
    assert_int_equal(after.base_sequence, 30);
    whole = batch_of(20, CODEC_NONE, 0, values, 2);
    batch_stamp_producer(packed, 4, 2, 32);
    assert_int_equal(filtered(whole, false, &after).n, 0);
}

static void records_beyond_the_map_and_without_key_are_told_apart(void **state)
{
    static const char *const values[] = {"a", "b"};
    struct batch after;
    struct batch_builder b;
    (void)state;
    put("k0", 77);
    rules.map_end = 10;
    struct bytes whole = batch_of(10, CODEC_NONE, 0, values, 2);
    assert_ptr_equal(filtered(whole, false, &after).ptr, whole.ptr);
    rules.map_end = 1000;
    batch_begin(&b, packed, sizeof packed);
    assert_int_equal(batch_add(&b, 1, (struct bytes){NULL, 0}, bytes_of_string("v")), 0);
    uint32_t bytes = batch_end(&b, 0, 7);
    assert_int_equal(filtered(bytes_of(packed, bytes), false, &after).n, 0);
}

static void batch_that_lies_about_its_records_is_refused(void **state)
{
    static const char *const values[] = {"a", "b"};
    struct bytes whole = batch_of(10, CODEC_NONE, 0, values, 2), out;
    struct batch b;
    (void)state;
    assert_int_equal(batch_header(whole.ptr, &b), 0);
    b.records_n = 3;
    assert_int_equal(compact_batch(&rules, &memory, &b, whole, false, &out), E_CORRUPT);
    b.records_n = 2;
    b.last_delta = 0;
    assert_int_equal(compact_batch(&rules, &memory, &b, whole, false, &out), E_CORRUPT);
    b.last_delta = 1;
    b.attributes = CODEC_ZSTD;
    assert_int_equal(compact_batch(&rules, &memory, &b, whole, false, &out), E_CORRUPT);
}

/* ── transactions ── */

static struct bytes data_of(int64_t base, int64_t producer_id, bool is_transactional)
{
    static const char *const values[] = {"a"};
    struct bytes whole =
        batch_of(base, CODEC_NONE, is_transactional ? BATCH_TRANSACTIONAL : 0, values, 1);
    batch_stamp_producer(packed, producer_id, 0, 0);
    return whole;
}

static struct bytes marker_of(int64_t offset, int64_t producer_id, uint8_t type)
{
    const uint8_t key[4] = {0, 0, 0, type}, value[6] = {0};
    struct batch_builder b;
    batch_begin(&b, packed, sizeof packed);
    assert_int_equal(batch_add(&b, 600, bytes_of(key, 4), bytes_of(value, 6)), 0);
    uint32_t bytes = batch_end(&b, BATCH_CONTROL | BATCH_TRANSACTIONAL, 7);
    store_u64(packed, (uint64_t)offset);
    batch_stamp_producer(packed, producer_id, 0, -1);
    return bytes_of(packed, bytes);
}

static bool is_void(struct compact_txns *txns, struct bytes whole, bool *has_kept)
{
    struct aborted_entry kept;
    struct batch b;
    bool answer;
    assert_int_equal(batch_header(whole.ptr, &b), 0);
    assert_int_equal(compact_txns_batch(txns, &b, whole, &answer, &kept, has_kept), 0);
    return answer;
}

static void transactions_are_followed_to_their_markers(void **state)
{
    static const struct aborted_entry aborted[] = {{5, 10, 12, 13}, {5, 20, 21, 22}};
    struct compact_txns txns = {.aborted = aborted, .aborted_n = 2};
    bool kept;
    (void)state;
    assert_false(is_void(&txns, data_of(9, 5, false), &kept));
    assert_true(is_void(&txns, data_of(10, 5, true), &kept));
    assert_false(is_void(&txns, data_of(11, 6, true), &kept));
    assert_false(is_void(&txns, marker_of(12, 5, 0), &kept)); /* abort, data was there */
    assert_true(kept);
    assert_false(is_void(&txns, marker_of(13, 6, 1), &kept)); /* commit, data was there */
    assert_false(kept);
    assert_true(is_void(&txns, marker_of(14, 6, 1), &kept)); /* commit of nothing */
    assert_false(is_void(&txns, data_of(15, 5, true), &kept));
    assert_false(is_void(&txns, marker_of(16, 5, 1), &kept));
    assert_true(is_void(&txns, marker_of(21, 5, 0), &kept)); /* abort of nothing */
    assert_false(kept);
    compact_txns_fini(&txns);
}

static void marker_of_nothing_gets_a_horizon_and_goes_when_it_is_over(void **state)
{
    static uint8_t first[BATCH_MAX];
    struct batch after;
    (void)state;
    struct bytes out = filtered(marker_of(20, 5, 1), true, &after);
    assert_true((after.attributes & BATCH_DELETE_HORIZON) != 0);
    assert_true(batch_is_control(&after));
    memcpy(first, out.ptr, out.n);
    rules.now_ms = NOW_MS + KEEP_MS;
    assert_int_equal(filtered(bytes_of(first, out.n), true, &after).n, 0);
    assert_ptr_equal(filtered(bytes_of(first, out.n), false, &after).ptr, first);
}

static void records_of_an_aborted_transaction_go_at_once(void **state)
{
    struct batch after;
    (void)state;
    assert_int_equal(filtered(data_of(10, 5, true), true, &after).n, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(hash_of_the_papers_vectors_is_theirs),
        CASE(map_of_many_keys_finds_each_and_no_other),
        CASE(map_that_is_full_takes_known_keys_only),
        CASE(batch_without_a_superseded_record_stays_as_it_is),
        CASE(batch_of_every_codec_loses_what_is_superseded),
        CASE(batch_whose_newest_record_goes_has_a_smaller_time),
        CASE(tombstone_gets_a_horizon_and_goes_when_it_is_over),
        CASE(batch_that_would_be_empty_goes),
        CASE(batch_that_would_be_empty_stays_where_the_compaction_ends),
        CASE(batch_that_is_the_last_of_its_producer_stays_empty),
        CASE(records_beyond_the_map_and_without_key_are_told_apart),
        CASE(batch_that_lies_about_its_records_is_refused),
        CASE(transactions_are_followed_to_their_markers),
        CASE(marker_of_nothing_gets_a_horizon_and_goes_when_it_is_over),
        CASE(records_of_an_aborted_transaction_go_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
