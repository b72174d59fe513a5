/* repack_test.c - batches that go by bulk: every codec into every other, what is refused and why,
 * order, memory, and what may happen meanwhile. */
#include "repack.h"

#include "crc.h"
#include "helper.h"
#include "rig.h"

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* One append on its way: its bytes stay where they are until it is over. */
struct way {
    uint8_t *bytes;
    struct slice v[64];
    struct slices from;
    struct append append;
};

static void way_begin(struct way *w, const uint8_t *batch, uint32_t bytes, uint32_t piece)
{
    uint32_t n = 0;
    w->bytes = malloc(bytes);
    memcpy(w->bytes, batch, bytes);
    for (uint32_t at = 0; at < bytes; at += piece, n++) {
        assert_true(n < array_n(w->v));
        w->v[n] = (struct slice){w->bytes + at, (uint32_t)min_u64(piece, bytes - at), NULL};
    }
    w->from = (struct slices){w->v, n, bytes};
    w->append = (struct append){.from = &w->from, .bytes = bytes, .request_version = 9};
}

static void way_end(struct way *w)
{
    assert_null(w->append.repack);
    free(w->bytes);
}

/* Asks until it is over, as the Kafka layer does. */
static int way_go(struct way *w, struct plog *log)
{
    int rc = E_AGAIN;
    for (int i = 0; i < 100 && (rc = plog_append(log, &w->append, rig.now)) == E_AGAIN; i++)
        rig_turn(&rig);
    way_end(w);
    return rc;
}

static int append_once(struct plog *log, const uint8_t *batch, uint32_t bytes, struct way *w)
{
    way_begin(w, batch, bytes, bytes);
    return way_go(w, log);
}

/* The batch compressed, in place of its records; returns its bytes. `to` holds the plain one. */
static uint32_t compress_batch(uint8_t *to, uint32_t bytes, uint8_t codec)
{
    struct bytes records = bytes_of(to + BATCH_HEADER, bytes - BATCH_HEADER);
    uint64_t max = codec_bytes_max(codec, records.n);
    uint8_t *packed = malloc(max);
    int64_t n = codec_compress(codec, COMPRESS_LEVEL_DEFAULT, records, packed, (uint32_t)max);
    assert_true(n > 0);
    memcpy(to + BATCH_HEADER, packed, (size_t)n);
    free(packed);
    bytes = BATCH_HEADER + (uint32_t)n;
    store_u16(to + BATCH_ATTRIBUTES_AT, codec);
    store_u32(to + BATCH_LENGTH_AT, bytes - BATCH_LENGTH_END);
    batch_stamp_crc(to, bytes);
    return bytes;
}

static struct plog *log_of(int32_t partition, uint8_t codec)
{
    rig.log_config.codec = codec;
    rig.log_config.codec_level = COMPRESS_LEVEL_DEFAULT;
    return rig_log_new(&rig, partition);
}

/* All of the log, checked, in one piece. Heap. */
static uint8_t *log_bytes(struct plog *log, uint64_t *n)
{
    struct rig_read rr;
    rig_settle(&rig);
    assert_int_equal(rig_read(&rig, log, &rr, 0, 1 << 20), 0);
    uint8_t *flat = rig_flat(&rr.read);
    *n = rr.read.data.bytes;
    if (*n > 0)
        rig_check_batches(flat, *n, 0);
    read_release(&rr.read);
    return flat;
}

static void inflate_to(struct plain *plain, const uint8_t *batch, const struct batch *b)
{
    assert_int_equal(plain_decompress(plain, batch_codec(b),
                                      bytes_of(batch + BATCH_HEADER, b->bytes - BATCH_HEADER),
                                      64 << 20),
                     0);
}

static void every_codec_becomes_every_other(void **state)
{
    static uint8_t plain[1 << 20], sent[1 << 20];
    uint32_t plain_n = rig_batch(plain, sizeof plain, 20, 500, 'a', RIG_WALL_MS);
    (void)state;
    for (uint8_t from = CODEC_NONE; from < CODECS_N; from++) {
        for (uint8_t to = CODEC_NONE; to < CODECS_N; to++) {
            struct plog *log = log_of(from * CODECS_N + to, to);
            struct plain inflated = {0};
            struct batch b;
            struct way w;
            uint64_t n;
            memcpy(sent, plain, plain_n);
            uint32_t bytes = from == CODEC_NONE ? plain_n : compress_batch(sent, plain_n, from);
            assert_int_equal(append_once(log, sent, bytes, &w), 0);
            assert_int_equal(w.append.last_offset, 19);
            uint8_t *flat = log_bytes(log, &n);
            assert_int_equal(batch_header(flat, &b), 0);
            assert_int_equal(b.bytes, n);
            assert_int_equal(batch_codec(&b), to);
            assert_int_equal(b.records_n, 20);
            assert_int_equal(b.last_delta, 19);
            assert_int_equal(b.base_timestamp, RIG_WALL_MS);
            assert_int_equal(b.max_timestamp, RIG_WALL_MS);
            inflate_to(&inflated, flat, &b);
            assert_int_equal(inflated.n, plain_n - BATCH_HEADER);
            assert_memory_equal(inflated.v, plain + BATCH_HEADER, inflated.n);
            plain_fini(&inflated);
            free(flat);
        }
    }
    assert_int_equal(store_stats(rig.store)->repacks, CODECS_N * (CODECS_N - 1));
    assert_int_equal(rig.store->repack_bytes, 0);
}

static void every_split_of_a_batch_gives_the_same(void **state)
{
    static uint8_t batch[1 << 16];
    uint32_t bytes = rig_batch(batch, sizeof batch, 10, 30, 'a', RIG_WALL_MS);
    uint64_t first_n = 0;
    uint8_t *first = NULL;
    (void)state;
    for (uint32_t piece = 7; piece < bytes * 2; piece += 13) {
        struct plog *log = log_of((int32_t)piece, CODEC_SNAPPY);
        struct way w;
        uint64_t n;
        if ((bytes + piece - 1) / piece > array_n(w.v))
            continue;
        way_begin(&w, batch, bytes, piece);
        assert_int_equal(way_go(&w, log), 0);
        uint8_t *flat = log_bytes(log, &n);
        if (first != NULL) {
            assert_int_equal(n, first_n);
            assert_memory_equal(flat, first, n);
            free(flat);
        } else {
            first = flat;
            first_n = n;
        }
    }
    free(first);
}

/* Producer, sequence and the transactional bit stay; a duplicate is known as one. */
static void producer_of_a_batch_stays(void **state)
{
    static uint8_t batch[1 << 16];
    uint32_t bytes = rig_batch(batch, sizeof batch, 3, 100, 'a', RIG_WALL_MS);
    struct plog *log = log_of(0, CODEC_LZ4);
    struct batch b;
    struct way w;
    uint64_t n;
    (void)state;
    store_u16(batch + BATCH_ATTRIBUTES_AT, BATCH_TRANSACTIONAL);
    batch_stamp_producer(batch, 77, 5, 0);
    assert_int_equal(append_once(log, batch, bytes, &w), 0);
    assert_int_equal(append_once(log, batch, bytes, &w), 0);
    assert_true(w.append.is_duplicate);
    assert_int_equal(w.append.base_offset, 0);
    batch_stamp_producer(batch, 77, 5, 9);
    assert_int_equal(append_once(log, batch, bytes, &w), E_OUT_OF_ORDER);
    uint8_t *flat = log_bytes(log, &n);
    assert_int_equal(batch_header(flat, &b), 0);
    assert_int_equal(b.bytes, n);
    assert_int_equal(b.attributes, BATCH_TRANSACTIONAL | CODEC_LZ4);
    assert_int_equal(b.producer_id, 77);
    assert_int_equal(b.producer_epoch, 5);
    assert_int_equal(b.base_sequence, 0);
    free(flat);
    assert_int_equal(rig_offsets(log).stable, 0);
    assert_int_equal(rig_offsets(log).end, 3);
}

/* Raw records of the shape varint(length) attributes, time, offset, key -1, value, no headers. */
static uint32_t raw_batch(uint8_t *to, const int64_t *times, const int32_t *offsets, int32_t n)
{
    uint8_t *p = to + BATCH_HEADER;
    memset(to, 0, BATCH_HEADER);
    for (int32_t i = 0; i < n; i++) {
        uint8_t body[64], *q = body;
        *q++ = 0;
        q += store_varint(q, times[i]);
        q += store_varint(q, offsets[i]);
        q += store_varint(q, -1);
        q += store_varint(q, 1);
        *q++ = (uint8_t)('a' + i);
        q += store_varint(q, 0);
        p += store_varint(p, q - body);
        memcpy(p, body, (size_t)(q - body));
        p += q - body;
    }
    uint32_t bytes = (uint32_t)(p - to);
    store_u32(to + BATCH_LENGTH_AT, bytes - BATCH_LENGTH_END);
    to[BATCH_MAGIC_AT] = 2;
    store_u32(to + BATCH_LAST_DELTA_AT, (uint32_t)n - 1);
    store_u64(to + BATCH_BASE_TIMESTAMP_AT, 1000);
    store_u64(to + BATCH_MAX_TIMESTAMP_AT, 1000);
    store_u32(to + BATCH_RECORDS_AT, (uint32_t)n);
    batch_stamp_producer(to, -1, -1, -1);
    return bytes;
}

/* Apache Kafka writes such batches anew: offsets without gaps, the base time of the first record.
 */
static void gaps_are_closed_and_the_base_is_the_first_records_time(void **state)
{
    static const int64_t times[] = {7, -3, 900};
    static const int32_t offsets[] = {0, 5, 6}, dense[] = {0, 1, 2};
    uint8_t batch[1024];
    (void)state;
    for (int has_gaps = 0; has_gaps < 2; has_gaps++) {
        struct plog *log = log_of(has_gaps, CODEC_GZIP);
        struct plain inflated = {0};
        struct record r;
        struct batch b;
        struct way w;
        uint64_t n;
        uint32_t at = 0;
        uint32_t bytes = raw_batch(batch, times, has_gaps ? offsets : dense, 3);
        bytes = compress_batch(batch, bytes, has_gaps ? CODEC_GZIP : CODEC_LZ4);
        rig.store->config.is_inflating = true;
        assert_int_equal(append_once(log, batch, bytes, &w), 0);
        uint8_t *flat = log_bytes(log, &n);
        assert_int_equal(batch_header(flat, &b), 0);
        assert_int_equal(b.base_timestamp, 1007);
        assert_int_equal(b.max_timestamp, 1900);
        inflate_to(&inflated, flat, &b);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(record_next(bytes_of(inflated.v, inflated.n), &at, &r), 0);
            assert_int_equal(r.offset_delta, i);
            assert_int_equal(b.base_timestamp + r.timestamp_delta, 1000 + times[i]);
            assert_int_equal(r.value.ptr[0], 'a' + i);
        }
        assert_int_equal(at, inflated.n);
        plain_fini(&inflated);
        free(flat);
    }
}

static void largest_timestamp_is_that_of_the_records(void **state)
{
    static const int64_t times[] = {0, 50, 20};
    static const int32_t offsets[] = {0, 1, 2};
    static const uint8_t codecs[] = {CODEC_NONE, CODEC_ZSTD};
    uint8_t batch[1024];
    (void)state;
    rig.store->config.is_inflating = true;
    for (int32_t i = 0; i < 2; i++) { /* the header says 1000 */
        struct plog *log = log_of(i, CODEC_PRODUCER);
        struct batch b;
        struct way w;
        uint64_t n;
        uint32_t bytes = raw_batch(batch, times, offsets, 3);
        if (codecs[i] != CODEC_NONE)
            bytes = compress_batch(batch, bytes, codecs[i]);
        assert_int_equal(append_once(log, batch, bytes, &w), 0);
        uint8_t *flat = log_bytes(log, &n);
        assert_int_equal(batch_header(flat, &b), 0);
        assert_int_equal(b.bytes, bytes);
        assert_int_equal(b.max_timestamp, 1050);
        free(flat);
    }
}

/* ── refusals ── */

#define REFUSED(log, bytes, error, text)                              \
    do {                                                              \
        struct way w_;                                                \
        assert_int_equal(append_once(log, batch, bytes, &w_), error); \
        if (strstr(w_.append.reason, text) == NULL)                   \
            print_error("reason: %s\n", w_.append.reason);            \
        assert_non_null(strstr(w_.append.reason, text));              \
        assert_int_equal(w_.append.start_offset, 0);                  \
        assert_int_equal(w_.append.base_offset, -1);                  \
        assert_int_equal(rig_offsets(log).end, 0);                    \
        assert_int_equal(rig.store->repack_bytes, 0);                 \
    } while (0)

/* Damage behind a right checksum: in every codec an error with a reason, and the log as it was. */
static void damaged_inside_is_corrupt_in_every_codec(void **state)
{
    static uint8_t batch[1 << 16];
    (void)state;
    for (uint8_t codec = CODEC_GZIP; codec < CODECS_N; codec++) {
        struct plog *log = log_of(codec, CODEC_NONE);
        uint32_t bytes = rig_batch(batch, sizeof batch, 5, 100, 'a', RIG_WALL_MS);
        bytes = compress_batch(batch, bytes, codec);
        memset(batch + BATCH_HEADER, 0xee, bytes - BATCH_HEADER);
        batch_stamp_crc(batch, bytes);
        REFUSED(log, bytes, E_CORRUPT, "not what its compression type");
    }
    assert_int_equal(store_stats(rig.store)->repacks_refused, CODECS_N - 1);
}

static void wrong_checksum_is_corrupt(void **state)
{
    static uint8_t batch[1 << 16];
    struct plog *log = log_of(0, CODEC_ZSTD);
    uint32_t bytes = rig_batch(batch, sizeof batch, 5, 100, 'a', RIG_WALL_MS);
    (void)state;
    batch[bytes - 1] ^= 1;
    REFUSED(log, bytes, E_CORRUPT, "checksum");
}

static void count_that_differs_from_the_records_is_invalid(void **state)
{
    static uint8_t batch[1 << 16];
    struct plog *log = log_of(0, CODEC_NONE);
    (void)state;
    for (int more = 0; more < 2; more++) {
        uint32_t bytes = rig_batch(batch, sizeof batch, 5, 100, 'a', RIG_WALL_MS);
        bytes = compress_batch(batch, bytes, CODEC_LZ4);
        store_u32(batch + BATCH_RECORDS_AT, more ? 6 : 4);
        store_u32(batch + BATCH_LAST_DELTA_AT, more ? 5 : 3);
        batch_stamp_crc(batch, bytes);
        REFUSED(log, bytes, E_INVALID_RECORD, more ? "fewer records" : "more bytes");
    }
}

/* A record is judged by its topic: key, time. The record is named. */
static void records_inside_are_judged_when_asked_for(void **state)
{
    static const int64_t times[] = {0, 0, 5000};
    static const int32_t offsets[] = {0, 1, 2};
    uint8_t batch[1024];
    struct way w;
    uint32_t bytes = compress_batch(batch, raw_batch(batch, times, offsets, 3), CODEC_SNAPPY);
    (void)state;
    rig.log_config.is_compacted = true;
    struct plog *log = log_of(0, CODEC_PRODUCER);
    assert_int_equal(append_once(log, batch, bytes, &w), 0); /* not asked for: the header's word */
    rig.store->config.is_inflating = true;
    log = log_of(1, CODEC_PRODUCER);
    REFUSED(log, bytes, E_INVALID_RECORD, "without key in topic partition topic-1");
    rig.log_config.is_compacted = false;
    rig.log_config.timestamp_before_max_ms = RIG_WALL_MS - 2000;
    log = log_of(2, CODEC_PRODUCER);
    store_u64(batch + BATCH_BASE_TIMESTAMP_AT, 2000);
    store_u64(batch + BATCH_MAX_TIMESTAMP_AT, 2000);
    batch_stamp_crc(batch, bytes);
    assert_int_equal(append_once(log, batch, bytes, &w), 0);
    store_u64(batch + BATCH_BASE_TIMESTAMP_AT, 1999);
    batch_stamp_crc(batch, bytes);
    log = log_of(3, CODEC_PRODUCER);
    REFUSED(log, bytes, E_INVALID_TIMESTAMP, "out of range"); /* by the header, before bulk */
    rig.log_config.timestamp_after_max_ms = 0;
    rig.log_config.timestamp_before_max_ms = INT64_MAX;
    store_u64(batch + BATCH_BASE_TIMESTAMP_AT, RIG_WALL_MS - 4999);
    store_u64(batch + BATCH_MAX_TIMESTAMP_AT, RIG_WALL_MS - 4999);
    batch_stamp_crc(batch, bytes);
    log = log_of(4, CODEC_PRODUCER);
    way_begin(&w, batch, bytes, bytes);
    assert_int_equal(way_go(&w, log), E_INVALID_TIMESTAMP);
    assert_int_equal(w.append.bad_record_at, 2);
}

/* A small batch that says it holds much: bounded by what the topic takes, or by our own bound. */
static void bomb_is_too_large_and_takes_no_memory(void **state)
{
    static uint8_t batch[4 << 20];
    static uint8_t zeros[2 << 20];
    (void)state;
    for (uint8_t codec = CODEC_GZIP; codec < CODECS_N; codec++) {
        struct batch_builder b;
        rig.log_config.max_message_bytes = 1 << 20;
        struct plog *log = log_of(codec, CODEC_NONE);
        batch_begin(&b, batch, sizeof batch);
        assert_int_equal(
            batch_add(&b, RIG_WALL_MS, (struct bytes){NULL, 0}, bytes_of(zeros, sizeof zeros)), 0);
        uint32_t bytes = compress_batch(batch, batch_end(&b, 0, -1), codec);
        assert_true(bytes < 1 << 18);
        REFUSED(log, bytes, E_TOO_LARGE, "more than 1048515 bytes uncompressed");
        assert_true(rig.bulk->plain.max <= 1 << 20);
    }
}

/* It fits as it was sent, but not as its topic wants it. */
static void batch_that_grows_beyond_the_limit_is_too_large(void **state)
{
    static uint8_t batch[1 << 20];
    struct prng prng;
    struct batch_builder b;
    uint8_t noise[5000];
    (void)state;
    prng_init(&prng, 1);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)prng_next(&prng);
    batch_begin(&b, batch, sizeof batch);
    assert_int_equal(
        batch_add(&b, RIG_WALL_MS, (struct bytes){NULL, 0}, bytes_of(noise, sizeof noise)), 0);
    uint32_t bytes = batch_end(&b, 0, -1);
    rig.log_config.max_message_bytes = bytes;
    struct plog *log = log_of(0, CODEC_SNAPPY);
    REFUSED(log, bytes, E_TOO_LARGE, "as its topic compresses it (snappy)");
}

/* ── meanwhile ── */

static void batches_of_a_log_are_with_bulk_side_by_side(void **state)
{
    static uint8_t batch[1 << 16];
    struct plog *log = log_of(0, CODEC_GZIP);
    struct way ways[REPACKS_MAX + 2];
    (void)state;
    rig.log_config.max_message_bytes = 1 << 20;
    plog_configure(log, &rig.log_config);
    for (size_t i = 0; i < array_n(ways); i++) {
        uint32_t bytes = rig_batch(batch, sizeof batch, (uint32_t)i + 1, 10, 'a', RIG_WALL_MS);
        way_begin(&ways[i], batch, bytes, bytes);
        ways[i].append.is_ahead = true;
        assert_int_equal(plog_append(log, &ways[i].append, rig.now), E_AGAIN);
        assert_true(ways[i].append.wants_bulk);
        assert_int_equal(ways[i].append.repack != NULL, i < REPACKS_MAX);
    }
    rig_turn(&rig);
    for (size_t i = 0, next = 0; i < array_n(ways); next += i + 1, i++) {
        ways[i].append.is_ahead = false;
        assert_int_equal(way_go(&ways[i], log), 0);
        assert_int_equal(ways[i].append.base_offset, next);
    }
}

/* 16 MiB are reserved at most, but one batch always goes. */
static void memory_is_bounded(void **state)
{
    static uint8_t batch[1 << 16];
    struct plog *log = log_of(0, CODEC_GZIP);
    struct way ways[3];
    (void)state;
    assert_int_equal(rig.log_config.max_message_bytes, 16 << 20);
    uint32_t bytes = rig_batch(batch, sizeof batch, 1, 10, 'a', RIG_WALL_MS);
    for (size_t i = 0; i < array_n(ways); i++) {
        way_begin(&ways[i], batch, bytes, bytes);
        assert_int_equal(plog_append(log, &ways[i].append, rig.now), E_AGAIN);
        assert_int_equal(ways[i].append.repack != NULL, i == 0);
    }
    for (size_t i = 0; i < array_n(ways); i++)
        assert_int_equal(way_go(&ways[i], log), 0);
    assert_int_equal(rig.store->repack_bytes, 0);
}

/* It came back from bulk, but the tail is full: it waits with what bulk made. */
static void full_tail_keeps_what_bulk_made(void **state)
{
    static uint8_t batch[1 << 16];
    struct plog *log = log_of(0, CODEC_SNAPPY);
    struct way w;
    (void)state;
    uint32_t bytes = rig_batch(batch, sizeof batch, 1, 10, 'a', RIG_WALL_MS);
    way_begin(&w, batch, bytes, bytes);
    assert_int_equal(plog_append(log, &w.append, rig.now), E_AGAIN);
    rig_turn(&rig);
    rig.store->config.tail_bytes_max = 8;
    rig.store->tail_bytes = 8;
    assert_int_equal(plog_append(log, &w.append, rig.now), E_AGAIN);
    assert_non_null(w.append.repack);
    assert_false(w.append.wants_bulk);
    rig.store->config.tail_bytes_max = 64 << 20;
    rig.store->tail_bytes = 0;
    assert_int_equal(way_go(&w, log), 0);
    assert_int_equal(store_stats(rig.store)->repacks, 1);
}

static void dropped_log_while_bulk_works_leaves_nothing(void **state)
{
    static uint8_t batch[1 << 16];
    struct plog *log = log_of(0, CODEC_ZSTD);
    struct way w;
    (void)state;
    uint32_t bytes = rig_batch(batch, sizeof batch, 1, 10, 'a', RIG_WALL_MS);
    way_begin(&w, batch, bytes, bytes);
    assert_int_equal(plog_append(log, &w.append, rig.now), E_AGAIN);
    rig.log = NULL;
    store_log_drop(rig.store, log);
    assert_false(repack_is_done(w.append.repack));
    assert_false(store_is_quiet(rig.store));
    rig_settle(&rig);
    assert_true(repack_is_done(w.append.repack));
    repack_end(w.append.repack);
    w.append.repack = NULL;
    way_end(&w);
    assert_true(store_is_quiet(rig.store));
}

/* The store is taken apart with one under way and one not yet appended: nothing leaks (asan). */
static void end_of_the_store_frees_what_was_made(void **state)
{
    static uint8_t batch[1 << 16];
    struct plog *log = log_of(0, CODEC_LZ4);
    struct way ways[2];
    (void)state;
    rig.log_config.max_message_bytes = 1 << 20;
    plog_configure(log, &rig.log_config);
    uint32_t bytes = rig_batch(batch, sizeof batch, 1, 10, 'a', RIG_WALL_MS);
    for (int i = 0; i < 2; i++) {
        way_begin(&ways[i], batch, bytes, bytes);
        assert_int_equal(plog_append(log, &ways[i].append, rig.now), E_AGAIN);
        if (i == 0)
            rig_turn(&rig);
    }
    rig_stop(&rig);
    for (int i = 0; i < 2; i++)
        free(ways[i].bytes);
}

static void settings_of_the_topic_now_decide(void **state)
{
    static uint8_t batch[1 << 16];
    struct plog *log = log_of(0, CODEC_PRODUCER);
    struct way w;
    (void)state;
    uint32_t bytes = rig_batch(batch, sizeof batch, 1, 10, 'a', RIG_WALL_MS);
    assert_int_equal(append_once(log, batch, bytes, &w), 0);
    assert_int_equal(store_stats(rig.store)->repacks, 0);
    rig.log_config.codec = CODEC_ZSTD;
    rig.log_config.codec_level = 19;
    plog_configure(log, &rig.log_config);
    assert_int_equal(append_once(log, batch, bytes, &w), 0);
    assert_int_equal(store_stats(rig.store)->repacks, 1);
    way_begin(&w, batch, bytes, bytes);
    w.append.request_version = -1; /* our own records stay as they are */
    assert_int_equal(way_go(&w, log), 0);
    assert_int_equal(store_stats(rig.store)->repacks, 1);
    way_begin(&w, batch, bytes, bytes);
    w.append.request_version = 3; /* zstd by the topic is no matter of the producer's version */
    assert_int_equal(way_go(&w, log), 0);
}

/* With LogAppendTime nothing is compressed anew for the time: the header and the checksum change.
 */
static void log_append_time_changes_the_header_alone(void **state)
{
    static uint8_t batch[1 << 16];
    struct batch b;
    struct way w;
    uint64_t n;
    (void)state;
    uint32_t bytes = rig_batch(batch, sizeof batch, 5, 100, 'a', RIG_WALL_MS - 9000);
    bytes = compress_batch(batch, bytes, CODEC_GZIP);
    rig.log_config.is_log_append_time = true;
    for (int32_t i = 0; i < 2; i++) {
        struct plog *log = log_of(i, i == 0 ? CODEC_PRODUCER : CODEC_GZIP);
        assert_int_equal(append_once(log, batch, bytes, &w), 0);
        assert_int_equal(w.append.log_append_ms, RIG_WALL_MS);
        uint8_t *flat = log_bytes(log, &n);
        assert_int_equal(batch_header(flat, &b), 0);
        assert_int_equal(b.attributes, CODEC_GZIP | BATCH_LOG_APPEND_TIME);
        assert_int_equal(b.max_timestamp, RIG_WALL_MS);
        assert_int_equal(b.base_timestamp, RIG_WALL_MS - 9000);
        assert_memory_equal(flat + BATCH_HEADER, batch + BATCH_HEADER, bytes - BATCH_HEADER);
        free(flat);
    }
    assert_int_equal(store_stats(rig.store)->repacks, 0);
    struct plog *log = log_of(2, CODEC_LZ4);
    assert_int_equal(append_once(log, batch, bytes, &w), 0);
    uint8_t *flat = log_bytes(log, &n);
    assert_int_equal(batch_header(flat, &b), 0);
    assert_int_equal(b.attributes, CODEC_LZ4 | BATCH_LOG_APPEND_TIME);
    assert_int_equal(b.max_timestamp, RIG_WALL_MS);
    free(flat);
}

int main(void)
{
#define WITH_RIG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_RIG(every_codec_becomes_every_other),
        WITH_RIG(every_split_of_a_batch_gives_the_same),
        WITH_RIG(producer_of_a_batch_stays),
        WITH_RIG(gaps_are_closed_and_the_base_is_the_first_records_time),
        WITH_RIG(largest_timestamp_is_that_of_the_records),
        WITH_RIG(damaged_inside_is_corrupt_in_every_codec),
        WITH_RIG(wrong_checksum_is_corrupt),
        WITH_RIG(count_that_differs_from_the_records_is_invalid),
        WITH_RIG(records_inside_are_judged_when_asked_for),
        WITH_RIG(bomb_is_too_large_and_takes_no_memory),
        WITH_RIG(batch_that_grows_beyond_the_limit_is_too_large),
        WITH_RIG(batches_of_a_log_are_with_bulk_side_by_side),
        WITH_RIG(memory_is_bounded),
        WITH_RIG(full_tail_keeps_what_bulk_made),
        WITH_RIG(dropped_log_while_bulk_works_leaves_nothing),
        WITH_RIG(end_of_the_store_frees_what_was_made),
        WITH_RIG(settings_of_the_topic_now_decide),
        WITH_RIG(log_append_time_changes_the_header_alone),
    };
    return TESTS_RUN(tests);
}
