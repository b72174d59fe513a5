/* recovery_test.c - recovery*.c, close.c: what a start finds after a clean stop, a crash, and
 * damage. */
#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/time.h>

static struct rig rig;
static struct recovery_report report;

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

static const char *file_path(int64_t base, const char *suffix)
{
    static char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/topic-0/%020lld%s", rig.directory, (long long)base, suffix);
    return path;
}

static int64_t file_bytes(int64_t base, const char *suffix)
{
    struct stat s;
    return stat(file_path(base, suffix), &s) == 0 ? s.st_size : -1;
}

/* As a boot does it. */
static int recover(const struct log_id *id, bool is_clean, struct plog **out)
{
    int rc = store_log_recover(rig.store, id, &rig.log_config, is_clean, &report, out);
    return rc == 0 ? store_recovered(rig.store) : rc;
}

/* The process ends without a word and starts again. */
static int crash_and_recover(void)
{
    struct log_id id = rig_id(0);
    rig_stop(&rig);
    rig.disk.fail_at = 0;
    rig_start(&rig);
    report = (struct recovery_report){0};
    return recover(&id, false, &rig.log);
}

static void close_store(void)
{
    struct checkpoints *c = checkpoints_new();
    int lock_fd = open("/dev/null", O_RDONLY);
    assert_non_null(c);
    assert_true(store_is_quiet(rig.store));
    assert_int_equal(store_close(rig.store, c), 0);
    assert_int_equal(directory_leave(&rig.disk.disk, rig.directory, c, lock_fd), 0);
    checkpoints_free(c);
}

static int close_and_open(bool is_clean)
{
    struct log_id id = rig_id(0);
    close_store();
    rig_stop(&rig);
    rig_start(&rig);
    report = (struct recovery_report){0};
    return recover(&id, is_clean, &rig.log);
}

static void check_log(int64_t start, int64_t end)
{
    struct plog_offsets o = rig_offsets(rig.log);
    assert_int_equal(o.start, start);
    assert_int_equal(o.end, end);
    assert_int_equal(o.high, end);
    assert_int_equal(o.durable, end);
    assert_int_equal(o.stable, end);
    plog_invariants(rig.log);
    assert_int_equal(rig_read_all(&rig, rig.log, start, 3000), end);
}

/* The log goes on: an append, its flush, a read of all. */
static void check_goes_on(int64_t start, int64_t end)
{
    check_log(start, end);
    assert_int_equal(rig_append(&rig, 3, 100, 'z'), end);
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).high, end + 3);
    assert_int_equal(rig_read_all(&rig, rig.log, start, 3000), end + 3);
}

/* 80 records over several segments, durable. */
static void fill_segments(void)
{
    rig.log_config.segment_bytes = 20000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 40; i++)
        rig_append(&rig, 2, 500, (uint8_t)i);
    rig_settle(&rig);
}

static void clean_stop_and_start_keeps_everything(void **state)
{
    (void)state;
    fill_segments();
    uint32_t segments_n = rig.log->segments_n;
    assert_int_equal(close_and_open(true), 0);
    assert_int_equal(report.scanned_bytes, 0);
    assert_int_equal(report.segments_n, segments_n);
    assert_int_equal(rig.log->segments_n, segments_n);
    check_goes_on(0, 80);
    assert_int_equal(close_and_open(true), 0);
    check_goes_on(0, 83);
}

/* A start after a crash, and a clean stop without an append in between: the next start believes. */
static void clean_stop_after_a_crash_leaves_all_files(void **state)
{
    (void)state;
    fill_segments();
    assert_int_equal(crash_and_recover(), 0);
    int64_t last = plog_active(rig.log)->base_offset;
    assert_int_equal(close_and_open(true), 0);
    assert_int_equal(report.scanned_bytes, 0);
    assert_true(file_bytes(last, ".index") >= 0 && file_bytes(last, ".timeindex") > 0);
    assert_true(file_bytes(80, ".snapshot") > 0);
    check_goes_on(0, 80);
}

static void clean_stop_leaves_files_as_kafka_wants_them(void **state)
{
    (void)state;
    rig.log_config.preallocate = true;
    rig.log_config.segment_bytes = 100000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 20; i++) {
        rig.now.wall_ms++;
        rig_append(&rig, 2, 1000, (uint8_t)i);
    }
    rig_settle(&rig);
    assert_int_equal(file_bytes(0, ".log"), 100000);
    uint64_t end_pos = rig.log->segments[0]->end_pos;
    close_store();
    assert_int_equal(file_bytes(0, ".log"), end_pos);
    assert_true(file_bytes(0, ".index") > 0);
    assert_int_equal(file_bytes(0, ".index") % INDEX_ENTRY, 0);
    assert_int_equal(file_bytes(40, ".snapshot"), PRODUCER_SNAPSHOT_HEADER);
    FILE *f = fopen(file_path(0, ".timeindex"), "r");
    uint8_t entry[TIME_INDEX_ENTRY];
    assert_int_equal(fseek(f, -TIME_INDEX_ENTRY, SEEK_END), 0);
    assert_int_equal(fread(entry, 1, sizeof entry, f), sizeof entry);
    fclose(f);
    assert_int_equal(load_i64(entry),
                     rig.now.wall_ms); /* the last entry is the segment's largest timestamp */
    assert_int_equal(load_i32(entry + 8), 39);
}

static void clean_stop_with_a_torn_end_is_scanned_after_all(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        rig_append(&rig, 2, 1000, (uint8_t)i);
    rig_settle(&rig);
    uint64_t bytes = rig.log->end.bytes;
    close_store();
    assert_int_equal(truncate(file_path(0, ".log"), (off_t)bytes - 1), 0);
    struct log_id id = rig_id(0);
    rig_stop(&rig);
    rig_start(&rig);
    assert_int_equal(recover(&id, true, &rig.log), 0);
    check_goes_on(0, 18);
}

static void crash_after_everything_was_flushed_loses_nothing(void **state)
{
    (void)state;
    fill_segments();
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(report.cut_bytes, 0);
    assert_true(report.scanned_bytes > 40000);
    assert_true(report.rebuilt_indexes_n > 0);
    check_goes_on(0, 80);
}

static void crash_at_every_cut_keeps_the_whole_batches(void **state)
{
    (void)state;
    enum { BATCHES_N = 4 };
    uint64_t ends[BATCHES_N + 1] = {0};
    for (int i = 0; i < BATCHES_N; i++) {
        rig_append(&rig, 1, 60 + (uint32_t)i * 30, (uint8_t)i);
        ends[i + 1] = rig.log->end.bytes;
    }
    rig_settle(&rig);
    static uint8_t content[4096];
    int64_t bytes = file_bytes(0, ".log");
    FILE *f = fopen(file_path(0, ".log"), "r");
    assert_int_equal(fread(content, 1, sizeof content, f), bytes);
    fclose(f);
    for (int64_t cut = 0; cut <= bytes; cut++) {
        f = fopen(file_path(0, ".log"), "w");
        assert_int_equal(fwrite(content, 1, (size_t)cut, f), cut);
        fclose(f);
        assert_int_equal(crash_and_recover(), 0);
        int whole = 0;
        while (whole < BATCHES_N && ends[whole + 1] <= (uint64_t)cut)
            whole++;
        assert_int_equal(rig_offsets(rig.log).end, whole);
        bool is_padding = true; /* zeros, less than a block, are what a long run ends with */
        for (uint64_t i = ends[whole]; i < (uint64_t)cut; i++)
            is_padding &= content[i] == 0;
        assert_int_equal(report.cut_bytes, is_padding ? 0 : (uint64_t)cut - ends[whole]);
        assert_int_equal(file_bytes(0, ".log"), ends[whole]);
        if (cut % 10 == 0)
            check_goes_on(0, whole);
    }
}

static void crash_with_zeros_or_a_flipped_bit_cuts_there(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        rig_append(&rig, 1, 100, (uint8_t)i);
    rig_settle(&rig);
    uint64_t bytes = rig.log->end.bytes;
    assert_int_equal(truncate(file_path(0, ".log"), (off_t)bytes + 4096), 0);
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(report.cut_bytes, 4096);
    check_log(0, 4);
    int fd = open(file_path(0, ".log"), O_RDWR);
    uint8_t byte;
    uint64_t at = bytes / 4 * 2 + 80; /* in the third batch */
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(report.logs_cut_n, 1);
    check_goes_on(0, 2);
}

/* Three segments of five batches and an active one. */
static void four_segments(void)
{
    rig.log_config.segment_bytes = 5000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 17; i++)
        rig_append(&rig, 1, 850, (uint8_t)i);
    rig_settle(&rig);
    assert_int_equal(rig.log->segments_n, 4);
    assert_int_equal(rig.log->segments[1]->base_offset, 5);
}

static void crash_with_a_damaged_middle_segment_removes_what_follows(void **state)
{
    (void)state;
    four_segments();
    assert_int_equal(truncate(file_path(5, ".log"), 2000), 0);
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(rig.log->segments_n, 2);
    assert_int_equal(file_bytes(10, ".log"), -1);
    assert_int_equal(file_bytes(15, ".index"), -1);
    check_goes_on(0, 7);
}

static void crash_with_a_hole_between_segments_cuts_at_the_hole(void **state)
{
    (void)state;
    four_segments();
    uint64_t batch = rig.log->segments[1]->end_pos / 5;
    assert_int_equal(truncate(file_path(5, ".log"), (off_t)(3 * batch)),
                     0); /* whole batches, but two are missing */
    assert_int_equal(crash_and_recover(), 0);
    check_goes_on(0, 8);
}

static void crash_with_an_empty_last_segment_goes_on_in_it(void **state)
{
    (void)state;
    four_segments();
    assert_int_equal(truncate(file_path(15, ".log"), 0), 0);
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(rig.log->segments_n, 4);
    check_goes_on(0, 15);
}

static void crash_with_an_empty_last_segment_behind_a_hole_steps_back(void **state)
{
    (void)state;
    four_segments();
    uint64_t batch = rig.log->segments[2]->end_pos / 5;
    assert_int_equal(truncate(file_path(15, ".log"), 0), 0);
    assert_int_equal(truncate(file_path(10, ".log"), (off_t)(4 * batch)), 0);
    assert_int_equal(crash_and_recover(), 0);
    check_goes_on(0, 14);
    assert_int_equal(rig.log->segments_n, 3);
}

static void crash_believes_segments_below_the_recovery_point(void **state)
{
    (void)state;
    four_segments();
    close_store();
    struct timeval old[2] = {{1000, 0}, {1000, 0}};
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/topic-0/partition.metadata", rig.directory);
    assert_int_equal(utimes(path, old), 0); /* the partition is older than the checkpoint */
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(report.scanned_bytes, 0); /* no body of what was flushed */
    assert_int_equal(report.rebuilt_indexes_n, 0);
    check_goes_on(0, 17);
}

static void crash_of_a_recreated_topic_ignores_the_old_recovery_point(void **state)
{
    (void)state;
    four_segments();
    close_store();
    struct timeval young[2] = {{3000000000, 0}, {3000000000, 0}};
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/topic-0/partition.metadata", rig.directory);
    assert_int_equal(utimes(path, young), 0);
    assert_int_equal(crash_and_recover(), 0);
    assert_true(report.scanned_bytes > 15 * 850);
    check_log(0, 17);
}

static void start_without_a_sealed_index_scans_that_segment(void **state)
{
    (void)state;
    four_segments();
    close_store();
    assert_int_equal(unlink(file_path(5, ".index")), 0);
    struct log_id id = rig_id(0);
    rig_stop(&rig);
    rig_start(&rig);
    assert_int_equal(recover(&id, true, &rig.log), 0);
    assert_true(file_bytes(5, ".index") >= 0);
    check_goes_on(0, 17);
}

static void start_without_a_directory_makes_an_empty_log(void **state)
{
    struct log_id id = rig_id(5);
    struct plog *log;
    (void)state;
    assert_int_equal(recover(&id, true, &log), 0);
    assert_int_equal(rig_offsets(log).end, 0);
    assert_int_equal(recover(&id, true, &log), E_EXISTS);
    struct append out;
    assert_int_equal(rig_append_to(&rig, log, 1, 10, 'a', &out), 0);
    rig_settle(&rig);
    assert_int_equal(rig_offsets(log).durable, 1);
}

static void start_removes_leftovers_and_refuses_swap_files(void **state)
{
    (void)state;
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    fclose(fopen(file_path(77, ".log.deleted"), "w"));
    fclose(fopen(file_path(78, ".log.cleaned"), "w"));
    fclose(fopen(file_path(79, ".index"), "w"));
    fclose(fopen(file_path(80, ".txt"), "w"));
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(file_bytes(77, ".log.deleted"), -1);
    assert_int_equal(file_bytes(78, ".log.cleaned"), -1);
    assert_int_equal(file_bytes(79, ".index"), -1);
    assert_int_equal(file_bytes(80, ".txt"), 0);
    check_log(0, 1);
    fclose(fopen(file_path(0, ".log.swap"), "w"));
    assert_int_equal(crash_and_recover(), E_UNSUPPORTED);
}

static void append_producer(int32_t sequence)
{
    static uint8_t batch[2000];
    struct append out;
    uint32_t bytes = rig_batch(batch, sizeof batch, 2, 400, 'p', rig.now.wall_ms);
    batch_stamp_producer(batch, 42, 1, sequence);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 1000, &out), 0);
}

static void producers_survive_stops_and_crashes(void **state)
{
    static uint8_t batch[2000];
    struct append out;
    (void)state;
    rig.log_config.segment_bytes = 5000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 20; i++) {
        append_producer(2 * i);
        if (i % 7 == 6) {
            rig_settle(&rig);
            assert_int_equal(i % 2 == 0 ? crash_and_recover() : close_and_open(true), 0);
        }
    }
    rig_settle(&rig);
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(rig.log->producers.n, 1);
    uint32_t bytes = rig_batch(batch, sizeof batch, 2, 400, 'p', rig.now.wall_ms);
    batch_stamp_producer(batch, 42, 1, 38);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 1000, &out), 0);
    assert_true(out.is_duplicate);
    assert_int_equal(out.base_offset, 38);
    batch_stamp_producer(batch, 42, 1, 44);
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, 1000, &out), E_OUT_OF_ORDER);
    append_producer(40);
}

static void damaged_snapshot_is_dropped_and_producers_replayed(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        append_producer(2 * i);
    rig_settle(&rig);
    close_store();
    assert_int_equal(truncate(file_path(10, ".snapshot"), 5), 0);
    struct log_id id = rig_id(0);
    rig_stop(&rig);
    rig_start(&rig);
    assert_int_equal(recover(&id, true, &rig.log), 0);
    assert_int_equal(rig.log->producers.n, 1);
    assert_int_equal(file_bytes(10, ".snapshot"), -1);
    append_producer(10);
}

static void epochs_are_kept_and_rebuilt(void **state)
{
    char path[DISK_PATH_MAX];
    int32_t found;
    int64_t end;
    (void)state;
    rig_append(&rig, 3, 10, 'a');
    rig_settle(&rig);
    assert_int_equal(close_and_open(true), 0);
    rig.store->config.leader_epoch = 7;
    rig_append(&rig, 2, 10, 'b');
    rig_settle(&rig);
    for (int round = 0; round < 3; round++) {
        if (round == 1) {
            snprintf(path, sizeof path, "%s/topic-0/leader-epoch-checkpoint", rig.directory);
            FILE *f = fopen(path, "w");
            fputs("not a number\n", f);
            fclose(f);
        }
        if (round == 2)
            assert_int_equal(unlink(path), 0);
        assert_int_equal(crash_and_recover(), 0);
        rig.store->config.leader_epoch = 8;
        plog_epoch_end(rig.log, 3, &found, &end);
        assert_int_equal(found, 3);
        assert_int_equal(end, 3);
        plog_epoch_end(rig.log, 6, &found, &end);
        assert_int_equal(found, 3);
        plog_epoch_end(rig.log, 7, &found, &end);
        assert_int_equal(found, 7);
        assert_int_equal(end, 5);
        plog_epoch_end(rig.log, 8, &found, &end);
        assert_int_equal(end, 5);
        rig_settle(&rig);
    }
}

static void every_disk_operation_of_a_recovery_failing_is_reported_and_the_next_start_works(
    void **state)
{
    (void)state;
    four_segments();
    assert_int_equal(truncate(file_path(5, ".log"), 2000), 0);
    struct log_id id = rig_id(0);
    int failed_n = 0;
    for (uint64_t at = 1; at < 100; at++) {
        rig_stop(&rig);
        rig_start(&rig);
        rig.disk.n = 0;
        rig.disk.fail_at = at;
        int rc = recover(&id, false, &rig.log);
        if (rc != 0) {
            failed_n++;
            assert_int_equal(rc, E_IO);
            rig.log = NULL;
        }
    }
    assert_true(failed_n > 3);
    assert_int_equal(crash_and_recover(), 0);
    check_goes_on(0, 7);
}

enum { FLUSHED_LOGS = 10 };

/* Ten logs with a record each, as after a crash. */
static void open_many(bool has_no_sync_all)
{
    struct plog *log;
    rig.disk.has_no_sync_all = has_no_sync_all;
    rig.disk.syncs_n = rig.disk.sync_alls_n = 0;
    for (int i = 0; i < FLUSHED_LOGS; i++) {
        struct log_id id = rig_id(i + 1);
        int rc = store_log_recover(rig.store, &id, &rig.log_config, false, &report, &log);
        assert_int_equal(rc, 0);
    }
    assert_int_equal(rig.disk.syncs_n, 0);
    assert_int_equal(store_recovered(rig.store), 0);
}

static void stop_and_unclean_start_of_many_logs_cost_one_flush(void **state)
{
    (void)state;
    rig.log = NULL;
    for (int has_no_sync_all = 0; has_no_sync_all < 2; has_no_sync_all++) {
        struct checkpoints *c = checkpoints_new();
        struct append out;
        for (int i = 0; i < FLUSHED_LOGS; i++) {
            struct log_id id = rig_id(i + 1);
            struct plog *log = store_log_find(rig.store, &id.topic_id, i + 1);
            if (log == NULL)
                log = rig_log_new(&rig, i + 1);
            assert_int_equal(rig_append_to(&rig, log, 1, 10, 'a', &out), 0);
        }
        rig_settle(&rig);
        rig.disk.has_no_sync_all = has_no_sync_all;
        rig.disk.syncs_n = rig.disk.sync_alls_n = 0;
        assert_int_equal(store_close(rig.store, c), 0);
        checkpoints_free(c);
        if (has_no_sync_all)
            assert_true(rig.disk.syncs_n >= 4 * FLUSHED_LOGS);
        else
            assert_int_equal(rig.disk.syncs_n, 0);
        assert_int_equal(rig.disk.sync_alls_n, !has_no_sync_all);
        rig_stop(&rig);
        rig_start(&rig);
        open_many(has_no_sync_all);
        if (has_no_sync_all)
            assert_true(rig.disk.syncs_n >= 2 * FLUSHED_LOGS);
        assert_int_equal(rig.disk.sync_alls_n, !has_no_sync_all);
    }
}

static void recovery_whose_flush_failed_does_not_serve(void **state)
{
    (void)state;
    struct plog *log;
    rig_append(&rig, 3, 10, 'a');
    rig_settle(&rig);
    for (int has_no_sync_all = 0; has_no_sync_all < 2; has_no_sync_all++) {
        struct log_id id = rig_id(0);
        rig_stop(&rig);
        rig_start(&rig);
        rig.disk.has_no_sync_all = has_no_sync_all;
        assert_int_equal(store_log_recover(rig.store, &id, &rig.log_config, false, &report, &log),
                         0);
        rig.disk.fail_at = rig.disk.n + 1;
        assert_int_equal(store_recovered(rig.store), E_IO);
        assert_true(rig.store->is_unsynced);
        rig.disk.fail_at = 0;
    }
    rig.disk.has_no_sync_all = false;
    assert_int_equal(crash_and_recover(), 0);
    check_goes_on(0, 3);
}

static void failing_stop_says_so(void **state)
{
    (void)state;
    rig_append(&rig, 3, 10, 'a');
    rig_settle(&rig);
    for (uint64_t at = 1; at < 8; at++) {
        struct checkpoints *c = checkpoints_new();
        rig.disk.n = 0;
        rig.disk.fail_at = at;
        rig.log->is_changed = true;
        assert_int_equal(store_close(rig.store, c), E_IO);
        checkpoints_free(c);
    }
    assert_int_equal(crash_and_recover(), 0);
    check_goes_on(0, 3);
}

static void stop_with_a_failed_log_or_a_waiting_tail_is_unclean(void **state)
{
    struct checkpoints *c = checkpoints_new();
    (void)state;
    rig_append(&rig, 3, 10, 'a'); /* no file yet */
    assert_int_equal(store_close(rig.store, c), E_STORAGE);
    rig.io.fail_at = 1;
    rig_settle(&rig);
    assert_int_equal(store_close(rig.store, c), E_STORAGE);
    checkpoints_free(c);
}

static void stop_writes_what_the_turns_have_left(void **state)
{
    (void)state;
    rig_append(&rig, 3, 10, 'a');
    rig_settle(&rig);
    for (int i = 0; i < 10; i++)
        rig_append(&rig, 1, 3000, 'b'); /* in the tail when the stop comes */
    struct checkpoints *c = checkpoints_new();
    assert_int_equal(store_close(rig.store, c), 0);
    checkpoints_free(c);
    struct log_id id = rig_id(0);
    rig_stop(&rig);
    rig_start(&rig);
    assert_int_equal(recover(&id, true, &rig.log), 0);
    check_goes_on(0, 13);
}

/* A crash between the writing of a rolled segment and its cut. */
static void crash_with_padding_behind_a_segment_keeps_what_follows(void **state)
{
    (void)state;
    fill_segments();
    uint32_t segments_n = rig.log->segments_n;
    assert_true(segments_n > 2);
    for (uint32_t i = 0; i < segments_n; i++) {
        int64_t base = rig.log->segments[i]->base_offset;
        off_t whole = (off_t)align_up((uint64_t)file_bytes(base, ".log"), RAW_BLOCK);
        assert_int_equal(truncate(file_path(base, ".log"), whole), 0);
        (void)unlink(file_path(base, ".index"));
    }
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(report.cut_bytes + report.logs_cut_n, 0);
    assert_int_equal(rig.log->segments_n, segments_n);
    for (uint32_t i = 0; i < segments_n; i++)
        assert_int_equal(file_bytes(rig.log->segments[i]->base_offset, ".log"),
                         rig.log->segments[i]->end_pos);
    check_goes_on(0, 80);
}

int main(void)
{
#define WITH_LOG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_LOG(stop_and_unclean_start_of_many_logs_cost_one_flush),
        WITH_LOG(recovery_whose_flush_failed_does_not_serve),
        WITH_LOG(clean_stop_after_a_crash_leaves_all_files),
        WITH_LOG(clean_stop_and_start_keeps_everything),
        WITH_LOG(clean_stop_leaves_files_as_kafka_wants_them),
        WITH_LOG(clean_stop_with_a_torn_end_is_scanned_after_all),
        WITH_LOG(crash_after_everything_was_flushed_loses_nothing),
        WITH_LOG(crash_at_every_cut_keeps_the_whole_batches),
        WITH_LOG(crash_with_padding_behind_a_segment_keeps_what_follows),
        WITH_LOG(crash_with_zeros_or_a_flipped_bit_cuts_there),
        WITH_LOG(crash_with_a_damaged_middle_segment_removes_what_follows),
        WITH_LOG(crash_with_a_hole_between_segments_cuts_at_the_hole),
        WITH_LOG(crash_with_an_empty_last_segment_goes_on_in_it),
        WITH_LOG(crash_with_an_empty_last_segment_behind_a_hole_steps_back),
        WITH_LOG(crash_believes_segments_below_the_recovery_point),
        WITH_LOG(crash_of_a_recreated_topic_ignores_the_old_recovery_point),
        WITH_LOG(start_without_a_sealed_index_scans_that_segment),
        WITH_LOG(start_without_a_directory_makes_an_empty_log),
        WITH_LOG(start_removes_leftovers_and_refuses_swap_files),
        WITH_LOG(producers_survive_stops_and_crashes),
        WITH_LOG(damaged_snapshot_is_dropped_and_producers_replayed),
        WITH_LOG(epochs_are_kept_and_rebuilt),
        WITH_LOG(every_disk_operation_of_a_recovery_failing_is_reported_and_the_next_start_works),
        WITH_LOG(failing_stop_says_so),
        WITH_LOG(stop_with_a_failed_log_or_a_waiting_tail_is_unclean),
        WITH_LOG(stop_writes_what_the_turns_have_left),
    };
    return TESTS_RUN(tests);
}
