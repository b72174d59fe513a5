/* truncate_test.c - replication from below: a log is cut to an epoch and an offset, takes batches
 * with their offsets and epochs as they are, and its high watermark is what a leader says. */
#include "truncate.h"

#include "rig.h"

static struct rig rig;
static char directory[128];

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_log_new(&rig, 0);
    snprintf(directory, sizeof directory, "%s/topic-0", rig.directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void stop(void)
{
    struct checkpoints *c = checkpoints_new();
    assert_int_equal(store_close(rig.store, c), 0);
    checkpoints_free(c);
    rig_stop(&rig);
}

static void start(void)
{
    struct recovery_report report = {0};
    struct log_id id = rig_id(0);
    rig_start(&rig);
    assert_int_equal(store_log_recover(rig.store, &id, &rig.log_config, false, &report, &rig.log),
                     0);
    assert_int_equal(store_recovered(rig.store), 0);
}

/* Epoch 3: offsets 0-19, epoch 4: 20-39, epoch 5: 40-59; batches of two, several segments. */
static void fill(void)
{
    rig.log_config.segment_bytes = 20000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 30; i++) {
        rig.store->config.leader_epoch = 3 + i / 10;
        rig_append(&rig, 2, 1000, (uint8_t)i);
        rig_settle(&rig);
    }
    assert_true(rig.log->segments_n >= 3);
    stop();
}

static int64_t truncate_log(int32_t epoch, int64_t offset)
{
    int64_t end = -1;
    assert_int_equal(log_truncate(&rig.disk.disk, directory, epoch, offset, &end), 0);
    return end;
}

/* What is there reads as it was, and the log goes on. */
static void check_log(int64_t end, int32_t epoch)
{
    start();
    assert_int_equal(rig_offsets(rig.log).end, end);
    assert_int_equal(epochs_latest(&rig.log->epochs), epoch);
    if (end > 0)
        assert_int_equal(rig_read_all(&rig, rig.log, 0, 5000), end);
    rig.store->config.leader_epoch = 9;
    assert_int_equal(rig_append(&rig, 3, 100, 'z'), end);
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).high, end + 3);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 5000), end + 3);
    int32_t found;
    int64_t epoch_end;
    plog_epoch_end(rig.log, 9, &found, &epoch_end);
    assert_int_equal(found, 9);
    if (epoch >= 0) {
        plog_epoch_end(rig.log, epoch, &found, &epoch_end);
        assert_int_equal(epoch_end, end);
    }
}

static void truncation_cuts_at_the_offset(void **state)
{
    (void)state;
    fill();
    assert_int_equal(truncate_log(5, 50), 50);
    check_log(50, 5);
}

static void truncation_cuts_at_the_end_of_the_epoch(void **state)
{
    (void)state;
    fill();
    assert_int_equal(truncate_log(4, 55), 40);
    check_log(40, 4);
}

static void truncation_takes_a_batch_that_reaches_beyond_as_a_whole(void **state)
{
    (void)state;
    fill();
    assert_int_equal(truncate_log(-1, 33), 32);
    check_log(32, 4);
}

static void truncation_to_an_unknown_epoch_takes_the_largest_below(void **state)
{
    (void)state;
    fill();
    assert_int_equal(truncate_log(1000, 1000), 60); /* nothing: it ends earlier */
    check_log(60, 5);
}

static void truncation_to_the_first_offset_leaves_an_empty_log(void **state)
{
    (void)state;
    fill();
    assert_int_equal(truncate_log(5, 0), 0);
    check_log(0, -1);
}

static void truncation_at_every_offset_leaves_whole_batches(void **state)
{
    (void)state;
    fill();
    for (int64_t offset = 59; offset > 0; offset -= 3) {
        int64_t end = truncate_log(-1, offset);
        assert_int_equal(end, offset / 2 * 2);
        start();
        assert_int_equal(rig_offsets(rig.log).end, end);
        assert_int_equal(rig_read_all(&rig, rig.log, 0, 5000), end);
        stop();
    }
}

static void truncation_below_the_first_segment_is_refused(void **state)
{
    int64_t end;
    char command[256];
    (void)state;
    fill();
    snprintf(command, sizeof command, "rm %s/00000000000000000000.*", directory);
    assert_int_equal(system(command), 0);
    assert_int_equal(log_truncate(&rig.disk.disk, directory, -1, 3, &end), E_OFFSET_RANGE);
    rig_start(&rig);
}

/* Whatever fails, the next try ends it: the same log, and nothing that was kept is lost. */
static void failing_truncation_is_ended_by_the_next(void **state)
{
    char command[512];
    (void)state;
    fill();
    snprintf(command, sizeof command, "cp -r %s %s.saved", directory, directory);
    assert_int_equal(system(command), 0);
    for (uint64_t n = 1;; n++) {
        int64_t end;
        rig.disk.fail_at = rig.disk.n + n;
        rig.disk.fail_error = E_IO;
        int error = log_truncate(&rig.disk.disk, directory, 4, 31, &end);
        bool is_fired = rig.disk.n >= rig.disk.fail_at;
        rig.disk.fail_at = 0;
        assert_true(!is_fired || error == E_IO);
        assert_int_equal(truncate_log(4, 31), 30);
        start();
        assert_int_equal(rig_offsets(rig.log).end, 30);
        assert_int_equal(epochs_latest(&rig.log->epochs), 4);
        assert_int_equal(rig_read_all(&rig, rig.log, 0, 5000), 30);
        rig_stop(&rig);
        snprintf(command, sizeof command, "rm -r %s && cp -r %s.saved %s", directory, directory,
                 directory);
        assert_int_equal(system(command), 0);
        if (!is_fired)
            break;
    }
    rig_start(&rig);
}

/* ── batches of a leader ── */

static int follow(int64_t base_offset, int32_t epoch, uint32_t n)
{
    static uint8_t batch[4096];
    uint32_t bytes = rig_batch(batch, sizeof batch, n, 10, 'f', rig.now.wall_ms);
    store_u64(batch, (uint64_t)base_offset);
    store_u32(batch + BATCH_EPOCH_AT, (uint32_t)epoch);
    struct slice v = {batch, bytes, NULL};
    struct slices from = {&v, 1, bytes};
    struct append a = {.from = &from, .bytes = bytes, .request_version = -1, .keep_offsets = true};
    int rc = plog_append(rig.log, &a, rig.now);
    assert_true(rc != 0 || a.base_offset == base_offset);
    return rc;
}

static void append_keeps_offsets_and_epochs_of_a_leader(void **state)
{
    int32_t found;
    int64_t end;
    (void)state;
    assert_int_equal(follow(0, 7, 2), 0);
    assert_int_equal(follow(2, 7, 2), 0);
    assert_int_equal(follow(10, 8, 1), 0); /* compaction took what was between */
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).end, 11);
    plog_epoch_end(rig.log, 7, &found, &end);
    assert_int_equal(found, 7);
    assert_int_equal(end, 10);
    assert_int_equal(epochs_latest(&rig.log->epochs), 8);
    struct rig_read rr;
    assert_int_equal(rig_read(&rig, rig.log, &rr, 5, 5000), 0);
    uint8_t *flat = rig_flat(&rr.read);
    assert_int_equal(load_i64(flat), 10);
    assert_int_equal(load_i32(flat + BATCH_EPOCH_AT), 8);
    free(flat);
    read_release(&rr.read);
}

static void append_that_does_not_follow_is_refused(void **state)
{
    (void)state;
    assert_int_equal(follow(5, 7, 2), 0);
    assert_int_equal(follow(6, 7, 1), E_OFFSET_RANGE);
    assert_int_equal(follow(7, 6, 1), E_EPOCH_FENCED);
    assert_int_equal(follow(7, -1, 1), E_EPOCH_FENCED);
    assert_int_equal(follow(INT64_MAX - 1, 7, 1), E_OFFSET_RANGE);
    assert_int_equal(rig_offsets(rig.log).end, 7);
    assert_int_equal(follow(7, 7, 1), 0);
    rig_settle(&rig);
}

/* ── the high watermark ── */

static void noted(struct plog_wait *wait, int error, struct now now)
{
    (void)now;
    assert_int_equal(error, 0);
    wait->offset = -1;
}

static void high_watermark_is_what_the_leader_says(void **state)
{
    struct plog_wait wait = {.mark = PLOG_HIGH, .offset = 4, .wake = noted};
    (void)state;
    list_init(&wait.link);
    plog_high_limit(rig.log, 3, rig.now);
    for (int i = 0; i < 3; i++)
        assert_int_equal(follow(2 * i, 7, 2), 0);
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).high, 3);
    assert_int_equal(rig_offsets(rig.log).durable, 6);
    assert_false(plog_wait(rig.log, &wait));
    plog_high_limit(rig.log, 2, rig.now); /* never back */
    assert_int_equal(rig_offsets(rig.log).high, 3);
    plog_high_limit(rig.log, 100, rig.now); /* not beyond what is durable here */
    assert_int_equal(rig_offsets(rig.log).high, 6);
    assert_int_equal(wait.offset, -1);
    assert_int_equal(follow(6, 7, 1), 0);
    assert_int_equal(rig_offsets(rig.log).high, 6);
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).high, 7);
    assert_int_equal(rig.log->high.bytes, rig.log->end.bytes);
}

#define WITH_LOG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(truncation_cuts_at_the_offset),
        WITH_LOG(truncation_cuts_at_the_end_of_the_epoch),
        WITH_LOG(truncation_takes_a_batch_that_reaches_beyond_as_a_whole),
        WITH_LOG(truncation_to_an_unknown_epoch_takes_the_largest_below),
        WITH_LOG(truncation_to_the_first_offset_leaves_an_empty_log),
        WITH_LOG(truncation_at_every_offset_leaves_whole_batches),
        WITH_LOG(truncation_below_the_first_segment_is_refused),
        WITH_LOG(failing_truncation_is_ended_by_the_next),
        WITH_LOG(append_keeps_offsets_and_epochs_of_a_leader),
        WITH_LOG(append_that_does_not_follow_is_refused),
        WITH_LOG(high_watermark_is_what_the_leader_says),
    };
    return TESTS_RUN(tests);
}
