/* compact_test.c - compact_home.c, compact_run.c, compact_swap.c: whole compactions of a log, with
 * readers, retention, crashes and failing disks. */
#include "rig.h"

#include <dirent.h>

#include "compact.h"
#include "prng.h"
#include "sweep.h"

enum { KEYS_MAX = 64, RECORDS_MAX = 4096, BATCH_MAX = 1 << 16 };

static struct rig rig;
static struct recovery_report report;

/* What was appended: per offset the key and a number; -1: a tombstone. */
static struct {
    int key[RECORDS_MAX], number[RECORDS_MAX];
    int n;
} model;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.config.is_compacting = true;
    rig.config.compact_map_bytes = 1 << 20;
    rig.config.compact_load_percent = 90;
    rig.config.compact_backoff_ns = 10 * NS_PER_MS;
    rig_stop(&rig);
    rig.log_config.is_compacted = true;
    rig.log_config.is_deleted = false;
    rig.log_config.segment_bytes = 2000;
    rig.log_config.index_interval_bytes = 200;
    rig.log_config.max_compaction_lag_ms = INT64_MAX;
    rig.log_config.delete_retention_ms = 1000;
    rig_start(&rig);
    rig_log_new(&rig, 0);
    memset(&model, 0, sizeof model);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static int log_recover(bool is_clean)
{
    struct log_id id = rig_id(0);
    int rc = store_log_recover(rig.store, &id, &rig.log_config, is_clean, &report, &rig.log);
    return rc == 0 ? store_recovered(rig.store) : rc;
}

/* The process ends without a word; the next start sweeps and recovers. */
static void crash(void)
{
    char path[DISK_PATH_MAX];
    rig_stop(&rig);
    rig.disk.fail_at = 0;
    rig.disk.is_dead = false;
    rig_start(&rig);
    snprintf(path, sizeof path, "%s/topic-0", rig.directory);
    assert_int_equal(partition_tidy(&rig.disk.disk, path), 0);
    report = (struct recovery_report){0};
    assert_int_equal(log_recover(false), 0);
}

static int put_one(int key, int number, uint8_t codec)
{
    static uint8_t plain[BATCH_MAX], packed[BATCH_MAX];
    struct batch_builder b;
    struct append out;
    char k[16], v[160];
    snprintf(k, sizeof k, "key-%d", key);
    snprintf(v, sizeof v, "%d:%d:%0100d", key, number, 0);
    batch_begin(&b, plain, sizeof plain);
    struct bytes value = number < 0 ? (struct bytes){NULL, 0} : bytes_of_string(v);
    assert_int_equal(batch_add(&b, rig.now.wall_ms, bytes_of_string(k), value), 0);
    uint32_t bytes = batch_end(&b, codec, -1);
    memcpy(packed, plain, bytes);
    if (codec != CODEC_NONE) {
        int64_t n = codec_compress(codec, COMPRESS_LEVEL_DEFAULT,
                                   bytes_of(plain + BATCH_HEADER, bytes - BATCH_HEADER),
                                   packed + BATCH_HEADER, sizeof packed - BATCH_HEADER);
        assert_true(n > 0);
        bytes = BATCH_HEADER + (uint32_t)n;
        store_u32(packed + BATCH_LENGTH_AT, bytes - BATCH_LENGTH_END);
        batch_stamp_crc(packed, bytes);
    }
    int rc = rig_append_bytes(&rig, rig.log, packed, bytes, BATCH_MAX, &out);
    if (rc != 0)
        return rc;
    assert_true(out.base_offset < RECORDS_MAX);
    model.n = (int)out.base_offset + 1;
    model.key[out.base_offset] = key;
    model.number[out.base_offset] = number;
    return 0;
}

static void put(int key, int number)
{
    assert_int_equal(put_one(key, number, CODEC_NONE), 0);
    rig.now.wall_ms++;
}

static void put_many(int n, int keys, uint8_t codec)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(put_one(i % keys, i, codec), 0);
        rig.now.wall_ms++;
        if (i % 8 == 7)
            rig_settle(&rig);
    }
    rig_settle(&rig);
}

/* Turns and ticks until `n` compactions are over, or nothing comes of it. */
static void compact(uint64_t n)
{
    uint64_t want = store_stats(rig.store)->compactions + n;
    for (int i = 0; i < 400 && store_stats(rig.store)->compactions < want; i++)
        rig_wait_ms(&rig, 5);
    assert_int_equal(store_stats(rig.store)->compactions, want);
}

/* What a reader finds. */
struct found {
    int64_t last[KEYS_MAX]; /* offset; -1: none */
    bool is_tombstone[KEYS_MAX];
    int records_n, batches_n;
    int64_t next;
};

static void found_batch(struct found *f, const struct batch *b, struct bytes whole)
{
    struct plain plain = {NULL, 0, 0};
    struct record r;
    uint32_t at = 0;
    assert_true(b->base_offset >= f->next);
    f->next = batch_last_offset(b) + 1;
    f->batches_n++;
    assert_int_equal(plain_decompress(&plain, batch_codec(b),
                                      bytes_of(whole.ptr + BATCH_HEADER, whole.n - BATCH_HEADER),
                                      BATCH_MAX),
                     0);
    while (record_next(bytes_of(plain.v, plain.n), &at, &r) == 0) {
        int64_t offset = b->base_offset + r.offset_delta;
        int key = atoi((const char *)r.key.ptr + 4);
        assert_int_equal(model.key[offset], key);
        assert_true((model.number[offset] < 0) == (r.value.ptr == NULL));
        if (r.value.ptr != NULL)
            assert_int_equal(atoi(strchr((const char *)r.value.ptr, ':') + 1),
                             model.number[offset]);
        f->last[key] = offset;
        f->is_tombstone[key] = r.value.ptr == NULL;
        f->records_n++;
    }
    plain_fini(&plain);
}

static struct found read_log(void)
{
    struct found f = {.next = 0};
    int64_t end = rig_offsets(rig.log).high, from = 0;
    for (int i = 0; i < KEYS_MAX; i++)
        f.last[i] = -1;
    while (from < end) {
        struct rig_read rr;
        assert_int_equal(rig_read(&rig, rig.log, &rr, from, 1000), 0);
        uint8_t *flat = rig_flat(&rr.read);
        for (uint64_t at = 0; at < rr.read.data.bytes;) {
            struct batch b;
            assert_int_equal(batch_header(flat + at, &b), 0);
            assert_int_equal(batch_crc(flat + at, b.bytes), b.crc);
            if (batch_last_offset(&b) >= from)
                found_batch(&f, &b, bytes_of(flat + at, b.bytes));
            at += b.bytes;
        }
        uint64_t bytes = rr.read.data.bytes;
        free(flat);
        read_release(&rr.read);
        if (bytes == 0)
            break;
        from = f.next;
    }
    assert_int_equal(f.next, end);
    return f;
}

/* Every key's last record is there, or was a tombstone. */
static struct found check_latest(void)
{
    struct found f = read_log();
    int64_t latest[KEYS_MAX];
    for (int i = 0; i < KEYS_MAX; i++)
        latest[i] = -1;
    for (int i = 0; i < model.n; i++)
        latest[model.key[i]] = i;
    for (int i = 0; i < KEYS_MAX; i++) {
        if (latest[i] >= 0 && model.number[latest[i]] < 0)
            assert_true(f.last[i] == latest[i] || f.last[i] == -1);
        else
            assert_int_equal(f.last[i], latest[i]);
    }
    return f;
}

static int files_with(const char *end)
{
    char path[DISK_PATH_MAX];
    struct dirent *e;
    int n = 0;
    snprintf(path, sizeof path, "%s/topic-0", rig.directory);
    DIR *d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        size_t have = strlen(e->d_name), want = strlen(end);
        n += have >= want && strcmp(e->d_name + have - want, end) == 0;
    }
    closedir(d);
    return n;
}

/* ── whole compactions ── */

static void compaction_keeps_the_last_record_of_every_key(void **state)
{
    (void)state;
    put_many(200, 10, CODEC_NONE);
    uint32_t segments = rig.log->segments_n;
    int64_t active = plog_active(rig.log)->base_offset;
    assert_true(segments > 10);
    compact(1);
    struct found f = check_latest();
    assert_int_equal(f.records_n, 10 + (200 - active)); /* the active segment is never touched */
    assert_int_equal(rig.log->segments_n, segments); /* by their sizes before, none fit together */
    assert_int_equal(rig.log->cleaner_offset, active);
    assert_int_equal(files_with(".log"), rig.log->segments_n);
    assert_int_equal(files_with(".cleaned") + files_with(".swap") + files_with(".deleted"), 0);
    assert_int_equal(rig_offsets(rig.log).start, 0);
    assert_int_equal(rig_offsets(rig.log).end, 200);
}

/* A job has sealed it, but a flush that began before is still under way. */
static void segment_that_is_being_flushed_is_not_compacted(void **state)
{
    (void)state;
    put_many(200, 10, CODEC_NONE);
    rig.log->segments[0]->is_syncing = true;
    rig_wait_ms(&rig, 500);
    assert_int_equal(store_stats(rig.store)->compactions, 0);
    rig.log->segments[0]->is_syncing = false;
    compact(1);
    check_latest();
}

static void compaction_of_every_codec_keeps_the_codec(void **state)
{
    (void)state;
    for (uint8_t codec = 0; codec < CODECS_N; codec++)
        put_many(60, 7, codec);
    compact(1);
    check_latest();
}

static void compaction_survives_crash_and_clean_start(void **state)
{
    (void)state;
    put_many(200, 10, CODEC_NONE);
    compact(1);
    struct found before = check_latest();
    crash();
    assert_int_equal(report.logs_cut_n, 0);
    struct found after = check_latest();
    assert_int_equal(after.records_n, before.records_n);
    put_many(100, 10, CODEC_NONE);
    compact(1);
    check_latest();
    crash();
    check_latest();
}

static void second_compaction_goes_on_from_the_first(void **state)
{
    (void)state;
    put_many(150, 20, CODEC_NONE);
    compact(1);
    uint32_t segments = rig.log->segments_n;
    put_many(30, 20, CODEC_NONE);
    compact(1);
    struct found f = check_latest();
    assert_true(f.records_n < 60);
    assert_true(rig.log->segments_n < segments); /* small ones became one */
}

static void clean_log_is_left_alone(void **state)
{
    (void)state;
    put_many(200, 10, CODEC_NONE);
    compact(1);
    uint64_t read = store_stats(rig.store)->compact_read_bytes;
    for (int i = 0; i < 50; i++)
        rig_wait_ms(&rig, 5);
    assert_int_equal(store_stats(rig.store)->compactions, 1);
    assert_int_equal(store_stats(rig.store)->compact_read_bytes, read);
}

static void dirty_ratio_below_the_limit_is_left_alone(void **state)
{
    (void)state;
    rig.log->config.min_dirty_millionths = 1000000;
    put_many(200, 10, CODEC_NONE);
    for (int i = 0; i < 50; i++)
        rig_wait_ms(&rig, 5);
    assert_int_equal(store_stats(rig.store)->compactions, 0);
    rig.log->config.max_compaction_lag_ms = 1; /* too old: now, whatever the ratio */
    compact(1);
    check_latest();
}

static void records_younger_than_the_lag_are_left_alone(void **state)
{
    (void)state;
    rig.log->config.min_compaction_lag_ms = 10000;
    put_many(200, 10, CODEC_NONE);
    for (int i = 0; i < 50; i++)
        rig_wait_ms(&rig, 5);
    assert_int_equal(store_stats(rig.store)->compactions, 0);
    rig_wait_ms(&rig, 10000);
    compact(1);
    check_latest();
}

static void tombstones_go_after_their_horizon(void **state)
{
    (void)state;
    put_many(40, 10, CODEC_NONE);
    for (int key = 0; key < 10; key++)
        put(key, -1);
    put_many(40, 1, CODEC_NONE);
    compact(1);
    struct found f = check_latest();
    assert_true(f.last[5] >= 0 && f.is_tombstone[5]);
    put_many(80, 1, CODEC_NONE);
    compact(1);
    f = check_latest();
    assert_true(f.last[5] >= 0 && f.is_tombstone[5]);
    rig_wait_ms(&rig, 2000);
    put_many(80, 1, CODEC_NONE);
    compact(1);
    f = check_latest();
    assert_int_equal(f.last[5], -1);
}

static void small_map_cleans_a_part_and_goes_on(void **state)
{
    (void)state;
    rig.store->config.compact_map_bytes = 0;    /* the least there is */
    rig.store->config.compact_load_percent = 1; /* 27 keys fit */
    put_many(300, 60, CODEC_NONE);
    compact(1);
    assert_true(rig.log->cleaner_offset < plog_active(rig.log)->base_offset);
    check_latest();
    rig.store->config.compact_load_percent = 90;
    compact(1);
    assert_int_equal(rig.log->cleaner_offset, plog_active(rig.log)->base_offset);
    check_latest();
}

/* ── transactions ── */

/* One record, or a marker (type 0 abort, 1 commit), of a transactional producer; appended as the
 * broker's own. */
static void put_txn(int64_t producer_id, int32_t sequence, int key, int marker)
{
    static uint8_t batch[BATCH_MAX];
    const uint8_t type[4] = {0, 0, 0, (uint8_t)marker}, epoch[6] = {0};
    struct batch_builder b;
    char k[16];
    snprintf(k, sizeof k, "key-%d", key);
    batch_begin(&b, batch, sizeof batch);
    bool is_marker = marker >= 0;
    assert_int_equal(batch_add(&b, rig.now.wall_ms,
                               is_marker ? bytes_of(type, 4) : bytes_of_string(k),
                               is_marker ? bytes_of(epoch, 6) : bytes_of_string("txn")),
                     0);
    uint32_t bytes =
        batch_end(&b, is_marker ? BATCH_TRANSACTIONAL | BATCH_CONTROL : BATCH_TRANSACTIONAL, -1);
    batch_stamp_producer(batch, producer_id, 0, is_marker ? -1 : sequence);
    struct slice slice = {batch, bytes, NULL};
    struct slices from = {&slice, 1, bytes};
    struct append append = {.from = &from, .bytes = bytes, .request_version = -1};
    assert_int_equal(plog_append(rig.log, &append, rig.now), 0);
    rig_settle(&rig);
}

static uint32_t aborted_n(void)
{
    return aborted_find(&rig.log->aborted, 0, INT64_MAX, NULL);
}

static void aborted_records_go_and_their_markers_follow(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++)
        put_txn(7, i, i, -1);
    put_txn(7, 0, 0, 0);   /* abort */
    put_txn(8, 0, 50, -1); /* a committed one */
    put_txn(8, 0, 0, 1);
    put_txn(7, 12, 51, -1);
    put_txn(7, 0, 0, 1); /* the last data of producer 7 is committed */
    int64_t end = rig_offsets(rig.log).end;
    assert_int_equal(rig_offsets(rig.log).stable, end);
    assert_int_equal(aborted_n(), 1);
    model.n = (int)end;
    put_many(60, 3, CODEC_NONE);
    uint64_t before = plog_bytes(rig.log);
    compact(1);
    assert_true(plog_bytes(rig.log) < before);
    assert_int_equal(aborted_n(), 1); /* data was read, so the marker stays and is explained */
    put_many(60, 3, CODEC_NONE);
    compact(1);
    assert_int_equal(aborted_n(), 0); /* nothing was left to explain */
    crash();
    assert_int_equal(report.logs_cut_n, 0);
    assert_int_equal(aborted_n(), 0);
    assert_int_equal(rig_offsets(rig.log).stable, rig_offsets(rig.log).end);
}

/* ── others at the same time ── */

static void reader_within_a_replaced_segment_goes_on(void **state)
{
    struct rig_read rr[40];
    (void)state;
    put_many(200, 10, CODEC_NONE);
    rig_forget_pages(&rig);
    uint64_t want = store_stats(rig.store)->compactions + 1;
    for (int i = 0; i < 400 && store_stats(rig.store)->compactions < want; i++) {
        rig_forget_pages(&rig);
        for (int j = 0; j < 40; j++) {
            rr[j] = (struct rig_read){.read = {.offset = j * 5,
                                               .bytes_max = 500,
                                               .at_least_one = true,
                                               .done = rig_read_done}};
            int rc = plog_read(rig.log, &rr[j].read, rig.now);
            rr[j].is_done = rc != E_AGAIN;
            rr[j].error = rr[j].is_done ? rc : 0;
        }
        rig_wait_ms(&rig, 5);
        for (int j = 0; j < 40; j++) {
            struct batch b;
            assert_true(rr[j].is_done);
            assert_int_equal(rr[j].error, 0);
            uint8_t *flat = rig_flat(&rr[j].read);
            assert_true(rr[j].read.data.bytes >= BATCH_HEADER);
            assert_int_equal(batch_header(flat, &b), 0);
            assert_true(batch_last_offset(&b) >= j * 5);
            assert_int_equal(batch_crc(flat, b.bytes), b.crc);
            free(flat);
            read_release(&rr[j].read);
        }
    }
    assert_int_equal(store_stats(rig.store)->compactions, want);
    check_latest();
}

static void retention_takes_segments_from_under_a_compaction(void **state)
{
    (void)state;
    rig.log->config.is_deleted = true;
    rig.store->config.compact_bytes_per_s = 100000; /* slowly */
    put_many(200, 60, CODEC_NONE);
    for (int i = 0; i < 20; i++)
        rig_wait_ms(&rig, 2);
    rig.log->config.retention_bytes = 4000;
    for (int i = 0; i < 300; i++)
        rig_wait_ms(&rig, 5);
    assert_true(rig_offsets(rig.log).start > 100);
    assert_int_equal(store_stats(rig.store)->logs_uncleanable_n, 0);
    assert_int_equal(files_with(".log"), rig.log->segments_n);
    crash();
    assert_int_equal(rig_offsets(rig.log).end, 200);
}

static void log_that_is_dropped_under_a_compaction_goes(void **state)
{
    (void)state;
    rig.store->config.compact_bytes_per_s = 10000;
    put_many(200, 60, CODEC_NONE);
    for (int i = 0; i < 20 && rig.store->compactor.compact == NULL; i++)
        rig_wait_ms(&rig, 5);
    assert_non_null(rig.store->compactor.compact);
    store_log_drop(rig.store, rig.log);
    rig.log = NULL;
    for (int i = 0; i < 100; i++)
        rig_wait_ms(&rig, 50);
    assert_null(rig.store->compactor.compact);
    assert_true(list_is_empty(&rig.store->dropped));
}

/* ── a bad disk ── */

static void flipped_bit_makes_the_log_uncleanable_and_changes_nothing(void **state)
{
    char path[DISK_PATH_MAX];
    (void)state;
    put_many(200, 10, CODEC_NONE);
    segment_path(path, "", rig.log->segments[3]->base_offset, ".log");
    char whole[DISK_PATH_MAX * 2];
    snprintf(whole, sizeof whole, "%s/topic-0%s", rig.directory, path);
    FILE *f = fopen(whole, "r+");
    assert_non_null(f);
    fseek(f, BATCH_HEADER + 20, SEEK_SET);
    fputc('X', f);
    fclose(f);
    for (int i = 0; i < 100; i++)
        rig_wait_ms(&rig, 5);
    assert_int_equal(store_stats(rig.store)->compactions, 0);
    assert_int_equal(store_stats(rig.store)->compact_errors, 1);
    assert_int_equal(store_stats(rig.store)->compact_error, E_CORRUPT);
    assert_int_equal(store_stats(rig.store)->logs_uncleanable_n, 1);
    assert_int_equal(files_with(".cleaned"), 0);
    assert_int_equal(rig.log->state, PLOG_OPEN);
}

/* The n-th operation of a compaction fails, then the process is gone. */
static bool fault_at(uint64_t n, int error, bool is_dead)
{
    put_many(40, 6, CODEC_NONE);
    put(3, -1);
    put_many(16, 6, CODEC_ZSTD);
    rig.disk.n = 0;
    rig.disk.fail_at = n;
    rig.disk.fail_error = error;
    rig.disk.is_dead = is_dead;
    for (int i = 0; i < 12; i++)
        rig_wait_ms(&rig, 20);
    bool is_fired = rig.disk.n >= n;
    if (!is_dead && rig.log->state == PLOG_OPEN)
        check_latest();
    crash();
    assert_int_equal(report.logs_cut_n, 0);
    check_latest();
    assert_int_equal(rig_offsets(rig.log).end, model.n);
    for (int i = 0; i < 12; i++) /* and the work that was cut short is done */
        rig_wait_ms(&rig, 5);
    check_latest();
    return is_fired;
}

static void compaction_whose_every_operation_fails_loses_nothing(void **state)
{
    static const int errors[] = {E_IO, E_DISK_FULL};
    for (size_t e = 0; e < array_n(errors); e++) {
        for (int is_dead = 0; is_dead < 2; is_dead++) {
            for (uint64_t n = 1;; n++) {
                bool is_fired = fault_at(n, errors[e], is_dead != 0);
                teardown(state);
                setup(state);
                if (!is_fired)
                    break;
                assert_true(n < 500);
            }
        }
    }
}

static void random_compactions_and_crashes_keep_every_latest(void **state)
{
    struct prng prng;
    (void)state;
    prng_init(&prng, 7);
    for (int round = 0; round < 30; round++) {
        int n = 20 + (int)prng_below(&prng, 80), keys = 1 + (int)prng_below(&prng, KEYS_MAX - 1);
        rig.log->config.segment_bytes = 500 + prng_below(&prng, 6000);
        for (int i = 0; i < n && model.n < RECORDS_MAX - 1; i++) {
            int number = prng_chance(&prng, 15) ? -1 : round * 1000 + i;
            uint8_t codec = (uint8_t)prng_below(&prng, CODECS_N);
            assert_int_equal(put_one((int)prng_below(&prng, (uint64_t)keys), number, codec), 0);
            rig.now.wall_ms++;
            if (prng_chance(&prng, 20))
                rig_settle(&rig);
        }
        for (uint64_t i = prng_below(&prng, 30); i > 0; i--)
            rig_wait_ms(&rig, (int64_t)prng_below(&prng, 40));
        rig_settle(&rig);
        check_latest();
        if (prng_chance(&prng, 30)) {
            crash();
            rig.log->config.max_compaction_lag_ms = INT64_MAX;
            check_latest();
        }
    }
    assert_true(store_stats(rig.store)->logs_uncleanable_n == 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(compaction_keeps_the_last_record_of_every_key),
        CASE(compaction_of_every_codec_keeps_the_codec),
        CASE(segment_that_is_being_flushed_is_not_compacted),
        CASE(compaction_survives_crash_and_clean_start),
        CASE(second_compaction_goes_on_from_the_first),
        CASE(clean_log_is_left_alone),
        CASE(dirty_ratio_below_the_limit_is_left_alone),
        CASE(records_younger_than_the_lag_are_left_alone),
        CASE(tombstones_go_after_their_horizon),
        CASE(small_map_cleans_a_part_and_goes_on),
        CASE(aborted_records_go_and_their_markers_follow),
        CASE(reader_within_a_replaced_segment_goes_on),
        CASE(retention_takes_segments_from_under_a_compaction),
        CASE(log_that_is_dropped_under_a_compaction_goes),
        CASE(flipped_bit_makes_the_log_uncleanable_and_changes_nothing),
        CASE(compaction_whose_every_operation_fails_loses_nothing),
        CASE(random_compactions_and_crashes_keep_every_latest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
