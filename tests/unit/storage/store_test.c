/* store_test.c - store.c, retention.c, jobs.c, segment_files.c, time_query.c: what happens to logs
 * as a whole. */
#include "rig.h"

#include <dirent.h>

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_log_new(&rig, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static int64_t file_bytes(int64_t base, const char *suffix)
{
    char path[DISK_PATH_MAX];
    struct stat s;
    snprintf(path, sizeof path, "%s/topic-0/%020lld%s", rig.directory, (long long)base, suffix);
    return stat(path, &s) == 0 ? s.st_size : -1;
}

/* Entries of the log directory whose name holds `part`. */
static int names_with(const char *part)
{
    int n = 0;
    DIR *d = opendir(rig.directory);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += strstr(e->d_name, part) != NULL && e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void segments(int batches_n)
{
    rig.log_config.segment_bytes = 5000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < batches_n; i++) {
        rig_append(&rig, 1, 850, (uint8_t)i);
        rig_settle(&rig);
    }
}

static void new_logs_are_found_by_id_and_partition(void **state)
{
    (void)state;
    for (int32_t i = 1; i < 500; i++)
        rig_log_new(&rig, i);
    for (int32_t i = 0; i < 500; i++) {
        struct plog *log = store_log_find(rig.store, &rig_topic_id, i);
        assert_non_null(log);
        assert_int_equal(log->id.partition, i);
    }
    assert_null(store_log_find(rig.store, &rig_topic_id, 500));
    struct log_id id = rig_id(3);
    struct plog *log;
    assert_int_equal(store_log_new(rig.store, &id, &rig.log_config, &log), E_EXISTS);
    assert_int_equal(store_stats(rig.store)->logs_n, 500);
    assert_int_equal(names_with("topic"), 0); /* nothing on the disk before the first flush */
}

static void dropped_log_is_renamed_and_later_removed(void **state)
{
    (void)state;
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    assert_int_equal(names_with("topic-0"), 1);
    store_log_drop(rig.store, rig.log);
    rig.log = NULL;
    assert_null(store_log_find(rig.store, &rig_topic_id, 0));
    rig_settle(&rig);
    assert_int_equal(names_with("-delete"), 1);
    rig_wait_ms(&rig, 999);
    assert_int_equal(names_with("-delete"), 1);
    rig_wait_ms(&rig, 2);
    rig_wait_ms(&rig, 1);
    assert_int_equal(names_with("topic"), 0);
    assert_true(store_is_quiet(rig.store));
    assert_true(list_is_empty(&rig.store->dropped));
    assert_int_equal(store_stats(rig.store)->files_open_n, 0);
}

static void dropped_log_without_files_asks_nobody(void **state)
{
    (void)state;
    rig_append(&rig, 1, 100, 'a');
    store_log_drop(rig.store, rig.log);
    rig.log = NULL;
    assert_int_equal(rig.store->tail_bytes, 0);
    rig_settle(&rig);
    assert_true(list_is_empty(&rig.store->dropped));
    assert_int_equal(names_with("topic"), 0);
}

static void log_dropped_at_any_moment_leaves_nothing_behind(void **state)
{
    (void)state;
    for (int turns = 0; turns < 12; turns++) {
        struct plog *log = turns == 0 ? rig.log : rig_log_new(&rig, 0);
        struct append out;
        rig.log = NULL;
        rig.log_config.segment_bytes = 2000;
        plog_configure(log, &rig.log_config);
        for (int i = 0; i < 6; i++) {
            assert_int_equal(rig_append_to(&rig, log, 1, 850, 'a', &out), 0);
            if (i < turns)
                rig_turn(&rig);
        }
        for (int i = 6; i < turns; i++)
            rig_turn(&rig);
        store_log_drop(rig.store, log);
        rig_settle(&rig);
        rig_wait_ms(&rig, 2000);
        rig_wait_ms(&rig, 2000);
        assert_true(list_is_empty(&rig.store->dropped));
        assert_true(store_is_quiet(rig.store));
        assert_int_equal(names_with("topic"), 0);
        assert_int_equal(rig.store->tail_bytes, 0);
        assert_int_equal(store_stats(rig.store)->files_open_n, 0);
    }
}

static void recreated_log_gets_its_own_directory_at_once(void **state)
{
    (void)state;
    struct uuid other = {{99}};
    rig_append(&rig, 5, 100, 'a');
    rig_settle(&rig);
    store_log_drop(rig.store, rig.log);
    struct log_id id = {other, bytes_of_string("topic"), 0};
    assert_int_equal(store_log_new(rig.store, &id, &rig.log_config, &rig.log), 0);
    assert_int_equal(rig_append(&rig, 1, 100, 'b'), 0);
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).durable, 1);
    assert_int_equal(names_with("topic-0"), 2);
    rig_wait_ms(&rig, 2000);
    rig_wait_ms(&rig, 10);
    assert_int_equal(names_with("topic-0"), 1);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 1000), 1);
}

static void waits_of_a_dropped_log_end_with_not_found(void **state)
{
    (void)state;
    struct plog_wait wait = {.mark = PLOG_HIGH, .offset = 5};
    static int woken;
    woken = 0;
    void wake(struct plog_wait * w, int error, struct now now)
    {
        (void)w;
        (void)now;
        woken = error;
    }
    wait.wake = wake;
    assert_false(plog_wait(rig.log, &wait));
    store_log_drop(rig.store, rig.log);
    rig.log = NULL;
    assert_int_equal(woken, E_NOT_FOUND);
}

static void retention_by_size_deletes_whole_segments(void **state)
{
    (void)state;
    segments(22);
    assert_int_equal(rig.log->segments_n, 5);
    rig.log_config.retention_bytes = 11000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 5; i++)
        rig_wait_ms(&rig, 1);
    assert_int_equal(rig.log->segments_n, 3);
    assert_int_equal(rig_offsets(rig.log).start, 10);
    assert_int_equal(file_bytes(0, ".log"), -1);
    assert_true(file_bytes(0, ".log.deleted") > 0);
    rig_wait_ms(&rig, 1100);
    rig_wait_ms(&rig, 1);
    assert_int_equal(file_bytes(0, ".log.deleted"), -1);
    assert_int_equal(file_bytes(5, ".log.deleted"), -1);
    assert_int_equal(rig_read_all(&rig, rig.log, 10, 3000), 22);
    struct rig_read rr;
    assert_int_equal(rig_read(&rig, rig.log, &rr, 9, 1000), E_OFFSET_RANGE);
    assert_true(store_is_quiet(rig.store));
}

static void retention_by_time_takes_the_active_segment_too(void **state)
{
    (void)state;
    segments(12);
    rig.log_config.retention_ms = 10000;
    plog_configure(rig.log, &rig.log_config);
    rig_wait_ms(&rig, 9000);
    assert_int_equal(rig_offsets(rig.log).start, 0);
    rig_wait_ms(&rig, 2000);
    for (int i = 0; i < 6; i++)
        rig_wait_ms(&rig, 1);
    assert_int_equal(rig_offsets(rig.log).start, 12);
    assert_int_equal(rig.log->segments_n, 1);
    assert_int_equal(file_bytes(12, ".log"), 0); /* an empty log keeps its place on the disk */
    assert_int_equal(rig_append(&rig, 1, 10, 'a'), 12);
    rig_settle(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 12, 1000), 13);
}

static void retention_keeps_compacted_and_unbounded_logs(void **state)
{
    (void)state;
    segments(22);
    rig_wait_ms(&rig, 1000000);
    assert_int_equal(rig.log->segments_n, 5);
    rig.log_config.retention_bytes = 1;
    rig.log_config.retention_ms = 1;
    rig.log_config.is_deleted = false;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 6; i++)
        rig_wait_ms(&rig, 1000);
    assert_int_equal(rig.log->segments_n, 5);
}

static void read_of_a_segment_that_retention_takes_is_not_disturbed(void **state)
{
    (void)state;
    struct rig_read rr;
    segments(12);
    assert_int_equal(rig_read(&rig, rig.log, &rr, 0, 3000), 0);
    uint8_t *before = rig_flat(&rr.read);
    rig.log_config.retention_bytes = 1;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 6; i++)
        rig_wait_ms(&rig, 2000);
    assert_int_equal(rig.log->segments_n, 1);
    rig_forget_pages(&rig);
    uint8_t *after = rig_flat(&rr.read);
    assert_memory_equal(before, after, rr.read.data.bytes);
    free(before);
    free(after);
    read_release(&rr.read);
}

static void old_active_segment_rolls_without_an_append(void **state)
{
    (void)state;
    rig.log_config.segment_ms = 5000;
    plog_configure(rig.log, &rig.log_config);
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, RIG_WALL_MS);
    assert_int_equal(rig.log->segments_n, 2);
    rig_wait_ms(&rig, 1000000);
    assert_int_equal(rig.log->segments_n, 2); /* an empty one does not */
    assert_int_equal(rig.log->sealed_n, 1);
}

static void sealed_segment_has_its_indexes_and_a_snapshot(void **state)
{
    (void)state;
    rig.log_config.index_interval_bytes = 100;
    segments(12);
    assert_int_equal(rig.log->sealed_n, 2);
    assert_int_equal(file_bytes(0, ".index"), 4 * INDEX_ENTRY);
    assert_int_equal(file_bytes(0, ".timeindex"),
                     TIME_INDEX_ENTRY); /* all timestamps are the same */
    assert_int_equal(file_bytes(5, ".snapshot"), PRODUCER_SNAPSHOT_HEADER);
    assert_int_equal(file_bytes(10, ".snapshot"), PRODUCER_SNAPSHOT_HEADER);
}

static struct time_query query;
static int queries_done;

static void query_done(struct time_query *q, struct now now)
{
    (void)now;
    assert_ptr_equal(q, &query);
    queries_done++;
}

static int64_t offset_of_time(int64_t time_ms)
{
    query = (struct time_query){.time_ms = time_ms, .done = query_done};
    queries_done = 0;
    plog_time_query(rig.log, &query, rig.now);
    assert_int_equal(queries_done, 0); /* always in a later turn */
    rig_settle(&rig);
    assert_int_equal(queries_done, 1);
    assert_int_equal(query.error, 0);
    return query.offset;
}

static void time_query_finds_the_first_record_not_older(void **state)
{
    (void)state;
    assert_int_equal(offset_of_time(0), -1);
    assert_int_equal(offset_of_time(TIME_MAX_TIMESTAMP), -1);
    rig.log_config.segment_bytes = 5000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 22; i++) {
        rig.now.wall_ms += 10;
        rig_append(&rig, 1, 850, (uint8_t)i);
        rig_settle(&rig);
    }
    for (int i = 0; i < 22; i++) {
        assert_int_equal(offset_of_time(RIG_WALL_MS + 10 * (i + 1)), i);
        assert_int_equal(query.timestamp_ms, RIG_WALL_MS + 10 * (i + 1));
        assert_int_equal(query.epoch, 3);
        assert_int_equal(offset_of_time(RIG_WALL_MS + 10 * i + 1), i);
    }
    assert_int_equal(offset_of_time(RIG_WALL_MS + 221), -1);
    assert_int_equal(offset_of_time(TIME_MAX_TIMESTAMP), 21);
    assert_true(store_is_quiet(rig.store));
}

static void time_query_does_not_see_above_the_watermark(void **state)
{
    (void)state;
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    rig.is_io_held = true;
    rig.now.wall_ms += 1000;
    rig_append(&rig, 1, 100, 'b');
    rig_turn(&rig);
    fake_io_complete(&rig.io, 0); /* written, not flushed */
    rig_turn(&rig);
    assert_int_equal(rig_offsets(rig.log).written, 2);
    assert_int_equal(offset_of_time(RIG_WALL_MS + 1), -1);
    assert_int_equal(offset_of_time(RIG_WALL_MS), 0);
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_int_equal(offset_of_time(RIG_WALL_MS + 1), 1);
}

static void idle_producers_are_forgotten(void **state)
{
    static uint8_t batch[1000];
    struct append out;
    (void)state;
    uint32_t bytes = rig_batch(batch, sizeof batch, 1, 10, 'p', rig.now.wall_ms);
    for (int i = 0; i < 100; i++) {
        batch_stamp_producer(batch, i, 0, 0);
        assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 1000, &out), 0);
    }
    rig_wait_ms(&rig, 86399999);
    assert_int_equal(rig.log->producers.n, 100);
    rig_wait_ms(&rig, 2);
    rig_wait_ms(&rig, 2);
    assert_int_equal(rig.log->producers.n, 0);
}

/* A marker as the coordinator writes it. */
static void append_marker(int64_t producer_id, int16_t type)
{
    static uint8_t batch[200];
    uint8_t key[4], value[6];
    struct batch_builder b;
    store_u16(key, 0);
    store_u16(key + 2, (uint16_t)type);
    store_u16(value, 0);
    store_u32(value + 2, 1);
    batch_begin(&b, batch, sizeof batch);
    assert_int_equal(batch_add(&b, rig.now.wall_ms, bytes_of(key, 4), bytes_of(value, 6)), 0);
    uint32_t bytes = batch_end(&b, BATCH_CONTROL | BATCH_TRANSACTIONAL, -1);
    batch_stamp_producer(batch, producer_id, 0, -1);
    struct slice slice = {batch, bytes, NULL};
    struct slices from = {&slice, 1, bytes};
    struct append out = {.from = &from, .bytes = bytes, .request_version = -1};
    assert_int_equal(plog_append(rig.log, &out, rig.now), 0);
}

static void append_transactional(int64_t producer_id, int32_t sequence)
{
    static uint8_t batch[2000];
    struct batch_builder b;
    struct append out;
    batch_begin(&b, batch, sizeof batch);
    assert_int_equal(batch_add(&b, rig.now.wall_ms, bytes_of("k", 1), bytes_of(batch + 1000, 500)),
                     0);
    uint32_t bytes = batch_end(&b, BATCH_TRANSACTIONAL, -1);
    batch_stamp_producer(batch, producer_id, 0, sequence);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 100, &out), 0);
}

static void check_aborted(void)
{
    struct rig_read rr = {.read = {.offset = 0,
                                   .bytes_max = 100000,
                                   .at_least_one = true,
                                   .is_committed = true,
                                   .done = rig_read_done}};
    assert_int_equal(rig_offsets(rig.log).stable, 6);
    int rc = plog_read(rig.log, &rr.read, rig.now);
    if (rc == E_AGAIN) {
        rig_settle(&rig);
        rc = rr.error;
    }
    assert_int_equal(rc, 0);
    uint8_t *flat = rig_flat(&rr.read);
    assert_int_equal(rig_check_batches(flat, rr.read.data.bytes, 0), 6); /* not the open one */
    free(flat);
    assert_int_equal(rr.read.aborted_n, 2);
    assert_int_equal(rr.read.aborted[0].producer_id, 11);
    assert_int_equal(rr.read.aborted[0].first_offset, 0);
    assert_int_equal(rr.read.aborted[1].producer_id, 12);
    assert_int_equal(rr.read.aborted[1].first_offset, 1);
    read_release(&rr.read);
}

static void transactions_hold_the_stable_offset_and_aborted_ones_are_listed(void **state)
{
    (void)state;
    append_transactional(11, 0); /* 0 */
    append_transactional(12, 0); /* 1 */
    append_transactional(13, 0); /* 2 */
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).high, 3);
    assert_int_equal(rig_offsets(rig.log).stable, 0);
    append_marker(12, 0); /* 3: abort, second to begin, first to end */
    append_marker(13, 1); /* 4: commit */
    rig.is_io_held = true;
    append_marker(11, 0); /* 5: abort */
    rig_turn(&rig);
    assert_int_equal(rig_offsets(rig.log).stable, 0); /* its marker is not below the watermark */
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).stable, 6);
    append_transactional(14, 0); /* 6: stays open */
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).high, 7);
    check_aborted();
    struct recovery_report report = {0};
    struct log_id id = rig_id(0);
    rig_stop(&rig); /* a crash: by replay */
    rig_start(&rig);
    assert_int_equal(store_log_recover(rig.store, &id, &rig.log_config, false, &report, &rig.log),
                     0);
    assert_int_equal(store_recovered(rig.store), 0);
    check_aborted();
    rig.log->is_changed = true;
    struct checkpoints *c = checkpoints_new();
    assert_int_equal(store_close(rig.store, c), 0);
    checkpoints_free(c);
    assert_int_equal(file_bytes(0, ".txnindex"), 2 * TXN_INDEX_ENTRY);
    rig_stop(&rig); /* a clean stop: by .txnindex and snapshot */
    rig_start(&rig);
    assert_int_equal(store_log_recover(rig.store, &id, &rig.log_config, true, &report, &rig.log),
                     0);
    assert_int_equal(store_recovered(rig.store), 0);
    check_aborted();
    rig_stop(&rig);
    rig_start(&rig);
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/topic-0/%020d.txnindex", rig.directory, 0);
    assert_int_equal(truncate(path, 50), 0); /* damaged: dropped, and replayed */
    assert_int_equal(store_log_recover(rig.store, &id, &rig.log_config, true, &report, &rig.log),
                     0);
    assert_int_equal(store_recovered(rig.store), 0);
    check_aborted();
}

/* Aborted transactions that touch [offset, offset + 1), ordered. */
static void check_aborted_at(int64_t offset, uint32_t n, const int64_t *producers)
{
    struct rig_read rr = {.read = {.offset = offset,
                                   .bytes_max = 1,
                                   .at_least_one = true,
                                   .is_committed = true,
                                   .done = rig_read_done}};
    int rc = plog_read(rig.log, &rr.read, rig.now);
    if (rc == E_AGAIN) {
        rig_settle(&rig);
        rc = rr.error;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(rr.read.aborted_n, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(rr.read.aborted[i].producer_id, producers[i]);
    read_release(&rr.read);
}

/* A reader of the first segment is told of a transaction whose marker stands in the last one, also
 * when all that is known of it comes from files. */
static void aborted_transaction_over_segments_is_told_in_each(void **state)
{
    static const int64_t one[] = {11}, both[] = {11, 12};
    struct recovery_report report = {0};
    struct log_id id = rig_id(0);
    (void)state;
    rig.log_config.segment_bytes = 2000;
    plog_configure(rig.log, &rig.log_config);
    append_transactional(11, 0);  /* 0 */
    for (int i = 0; i < 6; i++) { /* 1-6 */
        rig_append(&rig, 1, 800, 'a');
        rig_settle(&rig);
    }
    append_transactional(12, 0); /* 7 */
    append_marker(12, 0);        /* 8 */
    append_marker(11, 0);        /* 9 */
    rig_settle(&rig);
    assert_true(rig.log->segments_n > 2);
    for (int start = 0; start < 3; start++) {
        check_aborted_at(0, 1, one);
        check_aborted_at(4, 1, one);
        check_aborted_at(7, 2, both);
        check_aborted_at(9, 1, one);
        bool is_clean = start == 0;
        if (is_clean) {
            struct checkpoints *c = checkpoints_new();
            assert_int_equal(store_close(rig.store, c), 0);
            checkpoints_free(c);
        }
        rig_stop(&rig);
        rig_start(&rig);
        assert_int_equal(
            store_log_recover(rig.store, &id, &rig.log_config, is_clean, &report, &rig.log), 0);
        assert_int_equal(store_recovered(rig.store), 0);
    }
}

static void sealing_writes_the_aborted_transactions_of_the_segment(void **state)
{
    (void)state;
    rig.log_config.segment_bytes = 2000;
    plog_configure(rig.log, &rig.log_config);
    append_transactional(11, 0);
    append_marker(11, 0);
    for (int i = 0; i < 5; i++)
        rig_append(&rig, 1, 800, 'a');
    rig_settle(&rig);
    assert_true(rig.log->sealed_n > 0);
    assert_int_equal(file_bytes(0, ".txnindex"), TXN_INDEX_ENTRY);
    assert_int_equal(file_bytes(rig.log->segments[1]->base_offset, ".txnindex"), -1);
}

static void checkpoints_tell_what_is_durable(void **state)
{
    (void)state;
    struct checkpoints *c = checkpoints_new();
    rig_append(&rig, 3, 10, 'a');
    rig_settle(&rig);
    rig_append(&rig, 3, 10, 'a');
    assert_int_equal(store_checkpoints_fill(rig.store, c), 0);
    int64_t offset;
    assert_true(checkpoint_get(c, CHECKPOINT_RECOVERY_POINT, bytes_of_string("topic"), 0, &offset));
    assert_int_equal(offset, 3);
    assert_false(checkpoint_get(c, CHECKPOINT_LOG_START, bytes_of_string("topic"), 0, &offset));
    checkpoints_free(c);
}

int main(void)
{
#define WITH_LOG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_LOG(new_logs_are_found_by_id_and_partition),
        WITH_LOG(dropped_log_is_renamed_and_later_removed),
        WITH_LOG(dropped_log_without_files_asks_nobody),
        WITH_LOG(log_dropped_at_any_moment_leaves_nothing_behind),
        WITH_LOG(recreated_log_gets_its_own_directory_at_once),
        WITH_LOG(waits_of_a_dropped_log_end_with_not_found),
        WITH_LOG(retention_by_size_deletes_whole_segments),
        WITH_LOG(retention_by_time_takes_the_active_segment_too),
        WITH_LOG(retention_keeps_compacted_and_unbounded_logs),
        WITH_LOG(read_of_a_segment_that_retention_takes_is_not_disturbed),
        WITH_LOG(old_active_segment_rolls_without_an_append),
        WITH_LOG(sealed_segment_has_its_indexes_and_a_snapshot),
        WITH_LOG(time_query_finds_the_first_record_not_older),
        WITH_LOG(time_query_does_not_see_above_the_watermark),
        WITH_LOG(idle_producers_are_forgotten),
        WITH_LOG(transactions_hold_the_stable_offset_and_aborted_ones_are_listed),
        WITH_LOG(aborted_transaction_over_segments_is_told_in_each),
        WITH_LOG(sealing_writes_the_aborted_transactions_of_the_segment),
        WITH_LOG(checkpoints_tell_what_is_durable),
    };
    return TESTS_RUN(tests);
}
