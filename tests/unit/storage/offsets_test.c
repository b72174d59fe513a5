/* offsets_test.c - offsets.c and checkpoint_job.c: the checkpoint files of a running store, and
 * what a start after a crash believes of them. */
#include <fcntl.h>
#include <unistd.h>

#include "rig.h"
#include "sweep.h"

static struct rig rig;

static int setup(void **state)
{
    struct checkpoints *c = checkpoints_new();
    (void)state;
    rig_init(&rig);
    rig.store->config.recovery_point_ns = 60 * NS_PER_S;
    rig.store->config.log_start_ns = 60 * NS_PER_S;
    rig.store->config.high_ns = 5 * NS_PER_S;
    rig.store->config.recovery_bytes_max = MIB(1);
    rig.config = rig.store->config;
    assert_int_equal(store_checkpoints_fill(rig.store, c), 0);
    assert_int_equal(helper_checkpoints(rig.files, rig.directory, c, false), 0);
    rig_log_new(&rig, 0);
    store_tick(rig.store, rig.now);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* What the file on the disk says of a partition; -1: nothing. */
static int64_t on_disk(enum checkpoint_kind kind, int32_t partition)
{
    struct checkpoints *c = checkpoints_new();
    char why[256];
    int64_t offset = -1;
    assert_int_equal(checkpoints_read(c, disk_posix(), rig.directory, why, sizeof why), 0);
    if (!checkpoint_get(c, kind, bytes_of_string("topic"), partition, &offset))
        offset = -1;
    checkpoints_free(c);
    return offset;
}

static void files_are_written_after_their_interval_and_only_when_something_moved(void **state)
{
    (void)state;
    rig_append(&rig, 7, 10, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 4900);
    assert_int_equal(on_disk(CHECKPOINT_HIGH, 0), -1);
    rig_wait_ms(&rig, 200);
    assert_int_equal(on_disk(CHECKPOINT_HIGH, 0), 7);
    assert_int_equal(on_disk(CHECKPOINT_RECOVERY_POINT, 0), -1);
    rig_wait_ms(&rig, 56000);
    rig_append(&rig, 1, 10, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 5000);
    assert_int_equal(on_disk(CHECKPOINT_RECOVERY_POINT, 0), 8);
    uint64_t n = rig.disk.n;
    rig_wait_ms(&rig, 70000);
    rig_wait_ms(&rig, 70000);
    assert_int_equal(rig.disk.n, n);
}

static void recovery_point_is_written_early_when_much_was_written(void **state)
{
    (void)state;
    rig_append(&rig, 4, 300000, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 1100);
    assert_int_equal(on_disk(CHECKPOINT_RECOVERY_POINT, 0), 4);
    rig_append(&rig, 1, 10, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 1100);
    assert_int_equal(on_disk(CHECKPOINT_RECOVERY_POINT, 0), 4);
}

static void many_logs_go_in_several_jobs(void **state)
{
    enum { LOGS = CHECKPOINT_ROWS_MAX + 40 };
    struct append out;
    (void)state;
    for (int i = 0; i < LOGS; i++) {
        struct plog *log = i == 0 ? rig.log : rig_log_new(&rig, i);
        assert_int_equal(rig_append_to(&rig, log, 1 + (uint32_t)i % 3, 10, 'a', &out), 0);
    }
    rig_settle(&rig);
    rig_wait_ms(&rig, 5100);
    assert_int_equal(on_disk(CHECKPOINT_HIGH, LOGS - 1), -1);
    rig_wait_ms(&rig, 100);
    for (int i = 0; i < LOGS; i++)
        assert_int_equal(on_disk(CHECKPOINT_HIGH, i), 1 + i % 3);
}

static void failed_write_is_counted_and_made_again(void **state)
{
    (void)state;
    rig_append(&rig, 1, 10, 'a');
    rig_settle(&rig);
    rig.disk.fail_at = rig.disk.n + 1;
    rig_wait_ms(&rig, 5100);
    assert_int_equal(store_stats(rig.store)->checkpoint_errors, 1);
    assert_int_equal(on_disk(CHECKPOINT_HIGH, 0), -1);
    rig.disk.fail_at = 0;
    rig_append(&rig, 1, 10, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 5100);
    assert_int_equal(on_disk(CHECKPOINT_HIGH, 0), 2);
    assert_int_equal(store_stats(rig.store)->checkpoint_errors, 1);
}

static void deleted_topic_leaves_the_files_before_one_of_its_name_is_made(void **state)
{
    struct append out;
    (void)state;
    rig_append(&rig, 9, 10, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 61000);
    rig_append(&rig, 1, 10, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 61000);
    assert_int_equal(on_disk(CHECKPOINT_RECOVERY_POINT, 0), 10);
    store_log_drop(rig.store, rig.log);
    rig.log = NULL;
    struct log_id id = rig_id(0);
    *(uint8_t *)&id.topic_id ^= 0xff;
    struct plog *log;
    assert_int_equal(store_log_new(rig.store, &id, &rig.log_config, &log), 0);
    assert_int_equal(rig_append_to(&rig, log, 1, 10, 'b', &out), 0);
    rig_settle(&rig);
    assert_int_equal(on_disk(CHECKPOINT_RECOVERY_POINT, 0), -1);
    rig_wait_ms(&rig, 61000);
    assert_int_equal(on_disk(CHECKPOINT_RECOVERY_POINT, 0), 1);
}

static void rolled_segment_that_is_not_sealed_holds_the_recovery_point(void **state)
{
    struct checkpoints *c = checkpoints_new();
    int64_t offset;
    (void)state;
    rig.log->config.segment_bytes = 3000;
    rig_append(&rig, 3, 700, 'a');
    rig_settle(&rig);
    rig.is_files_held = true;
    rig_append(&rig, 1, 2000, 'b');
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_int_equal(rig.log->durable.offset, 3);
    assert_true(rig.log->segments[0]->is_rolled);
    assert_int_equal(store_checkpoints_fill(rig.store, c), 0);
    assert_true(checkpoint_get(c, CHECKPOINT_RECOVERY_POINT, bytes_of_string("topic"), 0, &offset));
    assert_int_equal(offset, 2);
    rig.is_files_held = false;
    rig_settle(&rig);
    assert_int_equal(store_checkpoints_fill(rig.store, c), 0);
    assert_true(checkpoint_get(c, CHECKPOINT_RECOVERY_POINT, bytes_of_string("topic"), 0, &offset));
    assert_int_equal(offset, 4);
    checkpoints_free(c);
}

/* One byte of the record of batch `at` (all batches are alike) becomes another. */
static void damage(int64_t at)
{
    char path[128];
    uint8_t byte;
    uint64_t pos = (uint64_t)at * (rig.log->end.bytes / 6) + BATCH_HEADER + 20;
    snprintf(path, sizeof path, "%s/topic-0/00000000000000000000.log", rig.directory);
    int fd = disk_open(disk_posix(), path, DISK_WRITE);
    assert_true(fd >= 0);
    assert_int_equal(disk_read(disk_posix(), fd, &byte, 1, pos), 1);
    byte ^= 1;
    assert_int_equal(disk_write(disk_posix(), fd, &byte, 1, pos), 0);
    disk_close(disk_posix(), fd);
}

static void start_after_a_crash_reads_bodies_from_the_recovery_point_on(void **state)
{
    struct recovery_report report = {0};
    struct log_id id = rig_id(0);
    struct timespec younger[2] = {{2000000000, 0}, {2000000000, 0}};
    char path[128];
    (void)state;
    for (int i = 0; i < 3; i++)
        rig_append(&rig, 1, 400000, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 1100);
    assert_int_equal(on_disk(CHECKPOINT_RECOVERY_POINT, 0), 3);
    for (int i = 0; i < 3; i++)
        rig_append(&rig, 1, 400000, 'b');
    rig_settle(&rig);
    damage(1); /* what was flushed is not looked at: its readers find it */
    damage(4);
    rig_stop(&rig);
    snprintf(path, sizeof path, "%s/recovery-point-offset-checkpoint", rig.directory);
    assert_int_equal(utimensat(AT_FDCWD, path, younger, 0), 0);
    rig_start(&rig);
    assert_int_equal(store_log_recover(rig.store, &id, &rig.log_config, false, &report, &rig.log),
                     0);
    assert_int_equal(store_recovered(rig.store), 0);
    assert_int_equal(rig.log->end.offset, 4);
    assert_int_equal(report.logs_cut_n, 1);
    /* The log ends before nothing that the file promises, once boot has written it. */
    struct checkpoints *c = checkpoints_new();
    assert_int_equal(store_checkpoints_fill(rig.store, c), 0);
    assert_int_equal(helper_checkpoints(rig.files, rig.directory, c, true), 0);
    assert_int_equal(on_disk(CHECKPOINT_RECOVERY_POINT, 0), 4);
}

/* The broker was killed when a topic had been deleted: a start knows nothing of it but what stands
 * in the checkpoint files. */
static void start_after_a_crash_takes_deleted_topics_out_of_the_files(void **state)
{
    struct checkpoints *c = checkpoints_new();
    int64_t offsets[CHECKPOINTS_N] = {5, 4, 5, 3};
    (void)state;
    assert_int_equal(checkpoint_set_all(c, bytes_of_string("topic"), 7, offsets), 0);
    assert_int_equal(checkpoints_write(c, disk_posix(), rig.directory), 0);
    checkpoints_free(c);
    rig_append(&rig, 5, 10, 'a');
    rig_settle(&rig);
    rig_stop(&rig);
    rig_start(&rig);
    rig_log_new(&rig, 0);
    c = checkpoints_new();
    assert_int_equal(store_checkpoints_fill(rig.store, c), 0);
    assert_int_equal(helper_checkpoints(rig.files, rig.directory, c, true), 0);
    assert_int_equal(on_disk(CHECKPOINT_RECOVERY_POINT, 7), -1);
    assert_int_equal(on_disk(CHECKPOINT_LOG_START, 7), -1);
    assert_int_equal(on_disk(CHECKPOINT_CLEANER, 7), -1);
}

/* Each file is judged by its own age: that the recovery points were just written says nothing of
 * the other two. */
static void start_and_cleaner_of_a_deleted_topic_are_not_its_successors(void **state)
{
    struct recovery_report report = {0};
    struct log_id id = rig_id(0);
    struct timespec older[2] = {{1000000000, 0}, {1000000000, 0}};
    struct timespec younger[2] = {{2000000000, 0}, {2000000000, 0}};
    struct checkpoints *c = checkpoints_new();
    int64_t offsets[CHECKPOINTS_N] = {5, 4, 5, 3};
    char path[128];
    (void)state;
    rig_append(&rig, 5, 10, 'a');
    rig_settle(&rig);
    rig_stop(&rig);
    assert_int_equal(checkpoint_set_all(c, bytes_of_string("topic"), 0, offsets), 0);
    assert_int_equal(checkpoints_write(c, disk_posix(), rig.directory), 0);
    checkpoints_free(c);
    for (enum checkpoint_kind kind = 0; kind < CHECKPOINTS_N; kind++) {
        snprintf(path, sizeof path, "%s/%s", rig.directory, checkpoint_name(kind));
        assert_int_equal(
            utimensat(AT_FDCWD, path, kind == CHECKPOINT_RECOVERY_POINT ? younger : older, 0), 0);
    }
    rig_start(&rig);
    assert_int_equal(store_log_recover(rig.store, &id, &rig.log_config, false, &report, &rig.log),
                     0);
    assert_int_equal(rig_offsets(rig.log).start, 0);
    assert_int_equal(rig_offsets(rig.log).end, 5);
    assert_int_equal(rig.log->cleaner_offset, -1);
}

/* Its creation failed after the directory was made. */
static void dropped_log_takes_a_directory_that_was_made_in_vain(void **state)
{
    struct append out;
    (void)state;
    struct plog *log = rig_log_new(&rig, 3);
    rig.disk.fail_at = rig.disk.n + 6;
    assert_int_equal(rig_append_to(&rig, log, 1, 10, 'a', &out), 0);
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    char path[128];
    struct disk_stat stat;
    snprintf(path, sizeof path, "%s/topic-3", rig.directory);
    assert_int_equal(disk_stat(disk_posix(), path, &stat), 0);
    snprintf(path, sizeof path, "%s/topic-3/00000000000000000000.log", rig.directory);
    assert_int_equal(disk_stat(disk_posix(), path, &stat), E_NOT_FOUND);
    store_log_drop(rig.store, log);
    rig_settle(&rig);
    snprintf(path, sizeof path, "%s/topic-3", rig.directory);
    assert_int_equal(disk_stat(disk_posix(), path, &stat), E_NOT_FOUND);
    rig.disk.fail_at = 0;
}

static void log_that_cannot_be_opened_keeps_its_offsets(void **state)
{
    struct recovery_report report = {0};
    struct log_id id = rig_id(0);
    struct plog *log;
    char path[128];
    (void)state;
    rig_append(&rig, 5, 10, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 5100);
    assert_int_equal(on_disk(CHECKPOINT_HIGH, 0), 5);
    rig_stop(&rig);
    snprintf(path, sizeof path, "%s/topic-0/00000000000000000000.log", rig.directory);
    assert_int_equal(truncate(path, 3ll << 30), 0); /* larger than any position */
    rig_start(&rig);
    assert_int_equal(store_log_recover(rig.store, &id, &rig.log_config, false, &report, &log),
                     E_CORRUPT);
    struct checkpoints *c = checkpoints_new();
    int64_t offset;
    assert_int_equal(store_checkpoints_fill(rig.store, c), 0);
    assert_true(checkpoint_get(c, CHECKPOINT_HIGH, bytes_of_string("topic"), 0, &offset));
    assert_int_equal(offset, 5);
    checkpoints_free(c);
}

int main(void)
{
#define OFFSETS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        OFFSETS(files_are_written_after_their_interval_and_only_when_something_moved),
        OFFSETS(recovery_point_is_written_early_when_much_was_written),
        OFFSETS(many_logs_go_in_several_jobs),
        OFFSETS(failed_write_is_counted_and_made_again),
        OFFSETS(deleted_topic_leaves_the_files_before_one_of_its_name_is_made),
        OFFSETS(rolled_segment_that_is_not_sealed_holds_the_recovery_point),
        OFFSETS(start_after_a_crash_reads_bodies_from_the_recovery_point_on),
        OFFSETS(log_that_cannot_be_opened_keeps_its_offsets),
        OFFSETS(start_after_a_crash_takes_deleted_topics_out_of_the_files),
        OFFSETS(start_and_cleaner_of_a_deleted_topic_are_not_its_successors),
        OFFSETS(dropped_log_takes_a_directory_that_was_made_in_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
