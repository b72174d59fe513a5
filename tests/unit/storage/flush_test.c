/* flush_test.c - flush.c: when bytes are written, when they are durable, who is woken, what a
 * failure does. */
#include "rig.h"

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

struct waiter {
    struct plog_wait wait;
    int woken_n, error;
};

static void waiter_wake(struct plog_wait *wait, int error, struct now now)
{
    struct waiter *w = container_of(wait, struct waiter, wait);
    (void)now;
    w->woken_n++;
    w->error = error;
}

static bool wait_for(struct waiter *w, enum plog_mark mark, int64_t offset, uint64_t bytes_min)
{
    *w = (struct waiter){
        .wait = {
            .mark = (uint8_t)mark, .offset = offset, .bytes_min = bytes_min, .wake = waiter_wake}};
    return plog_wait(rig.log, &w->wait);
}

/* The log's file is there, everything is durable; io is held from here on. */
static void warm_and_hold(void)
{
    rig_append(&rig, 1, 10, 'w');
    rig_settle(&rig);
    rig.is_io_held = true;
}

static enum io_kind queued(void)
{
    assert_non_null(fake_io_first(&rig.io));
    return fake_io_first(&rig.io)->kind;
}

static void group_append_is_written_then_flushed_then_visible(void **state)
{
    struct waiter written, durable, high;
    (void)state;
    warm_and_hold();
    rig_append(&rig, 2, 10, 'a');
    assert_false(wait_for(&written, PLOG_WRITTEN, 3, 0));
    assert_false(wait_for(&durable, PLOG_DURABLE, 3, 0));
    assert_false(wait_for(&high, PLOG_HIGH, 3, 0));
    assert_int_equal(store_flush(rig.store, rig.now), 1);
    assert_int_equal(queued(), IO_WRITE);
    assert_int_equal(rig.io.io.under_way, 1);
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(written.woken_n, 1);
    assert_int_equal(durable.woken_n + high.woken_n, 0);
    assert_int_equal(rig_offsets(rig.log).written, 3);
    assert_int_equal(rig_offsets(rig.log).high, 1);
    assert_int_equal(queued(), IO_SYNC);
    assert_int_equal(rig.io.io.under_way, 1);
    fake_io_complete(&rig.io, 0);
    assert_true(rig_turn(&rig) > 0); /* who was woken has work: the thread may not sleep */
    assert_int_equal(durable.woken_n, 1);
    assert_int_equal(high.woken_n, 1);
    assert_int_equal(high.error, 0);
    assert_int_equal(rig_offsets(rig.log).high, 3);
    assert_true(wait_for(&high, PLOG_HIGH, 3, 0));
}

static void group_appends_of_a_turn_are_one_write(void **state)
{
    (void)state;
    warm_and_hold();
    for (int i = 0; i < 20; i++)
        rig_append(&rig, 1, 700, 'a');
    uint64_t before = store_stats(rig.store)->write_ops;
    rig_turn(&rig);
    rig_turn(&rig);
    assert_int_equal(store_stats(rig.store)->write_ops, before + 1);
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_int_equal(store_stats(rig.store)->flush_ops, 2);
}

static void group_appends_during_a_flush_share_the_next_round(void **state)
{
    struct waiter first, second;
    (void)state;
    warm_and_hold();
    rig_append(&rig, 1, 10, 'a');
    assert_false(wait_for(&first, PLOG_DURABLE, 2, 0));
    rig_turn(&rig);
    fake_io_complete(&rig.io, 0); /* the write */
    rig_turn(&rig);
    assert_int_equal(queued(), IO_SYNC);
    for (int i = 0; i < 5; i++) { /* written, while the flush is under way */
        rig_append(&rig, 1, 10, 'b');
        rig_turn(&rig);
        assert_int_equal(rig.io.io.under_way, 2);
        fake_io_complete(&rig.io, 1);
        rig_turn(&rig);
    }
    assert_false(wait_for(&second, PLOG_DURABLE, 7, 0));
    assert_int_equal(rig_offsets(rig.log).written, 7);
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(first.woken_n, 1);
    assert_int_equal(second.woken_n, 0);
    assert_int_equal(rig_offsets(rig.log).durable,
                     2);                 /* not more than what was written when it began */
    assert_int_equal(queued(), IO_SYNC); /* at once: something waited */
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(second.woken_n, 1);
}

static void group_flush_waits_for_writes_under_way_but_not_too_long(void **state)
{
    (void)state;
    struct plog *other = rig_log_new(&rig, 1);
    struct append out;
    assert_int_equal(rig_append_to(&rig, other, 1, 10, 'o', &out), 0);
    warm_and_hold();
    rig_append(&rig, 1, 10, 'a');
    assert_int_equal(rig_append_to(&rig, other, 1, 10, 'o', &out), 0);
    rig_turn(&rig);
    assert_int_equal(rig.io.io.under_way, 2);
    fake_io_complete(&rig.io, 0); /* one write; the other is slow */
    rig_turn(&rig);
    assert_int_equal(rig.io.io.under_way, 1); /* the other may join the round */
    rig.now.ns += 2 * NS_PER_MS;
    rig_turn(&rig);
    assert_int_equal(rig.io.io.under_way, 2); /* no longer: group_ns_max passed */
    assert_int_equal(store_stats(rig.store)->flush_rounds, 2);
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_int_equal(rig_offsets(other).durable, 2);
}

static void group_one_round_flushes_all_logs(void **state)
{
    enum { LOGS_N = 100 };
    struct plog *logs[LOGS_N];
    struct append out;
    (void)state;
    for (int i = 0; i < LOGS_N; i++) {
        logs[i] = rig_log_new(&rig, i + 1);
        assert_int_equal(rig_append_to(&rig, logs[i], 1, 10, 'a', &out), 0);
    }
    rig_settle(&rig);
    uint64_t rounds = store_stats(rig.store)->flush_rounds, ops = store_stats(rig.store)->flush_ops;
    for (int i = 0; i < LOGS_N; i++)
        assert_int_equal(rig_append_to(&rig, logs[i], 1, 10, 'b', &out), 0);
    rig_settle(&rig);
    assert_int_equal(store_stats(rig.store)->flush_rounds, rounds + 1);
    assert_int_equal(store_stats(rig.store)->flush_ops, ops + LOGS_N);
    for (int i = 0; i < LOGS_N; i++)
        assert_int_equal(rig_offsets(logs[i]).high, 2);
    assert_true(store_is_quiet(rig.store));
}

static void relaxed_append_is_visible_when_written_and_not_flushed(void **state)
{
    struct waiter high, durable;
    (void)state;
    rig.log_config.durability = STORE_RELAXED;
    plog_configure(rig.log, &rig.log_config);
    warm_and_hold();
    rig_append(&rig, 2, 10, 'a');
    assert_false(wait_for(&high, PLOG_HIGH, 3, 0));
    assert_false(wait_for(&durable, PLOG_DURABLE, 3, 0));
    rig_turn(&rig);
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(high.woken_n, 1);
    assert_int_equal(durable.woken_n, 0);
    assert_int_equal(rig.io.io.under_way, 0);
    assert_true(store_is_quiet(rig.store));
    plog_wait_cancel(&durable.wait);
}

static void relaxed_log_is_flushed_by_messages_and_by_time(void **state)
{
    (void)state;
    rig.log_config.durability = STORE_RELAXED;
    rig.log_config.flush_messages = 10;
    rig.log_config.flush_ms = 500;
    plog_configure(rig.log, &rig.log_config);
    rig_append(&rig, 9, 10, 'a');
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).durable, 0);
    rig_append(&rig, 1, 10, 'a');
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).durable, 10);
    rig_append(&rig, 1, 10, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 499);
    assert_int_equal(rig_offsets(rig.log).durable, 10);
    rig_wait_ms(&rig, 2);
    assert_int_equal(rig_offsets(rig.log).durable, 11);
}

static void wait_by_bytes_counts_from_its_beginning(void **state)
{
    struct waiter w;
    (void)state;
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    uint64_t batch = rig.log->end.bytes;
    assert_false(wait_for(&w, PLOG_HIGH, 0, 2 * batch));
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    assert_int_equal(w.woken_n, 0);
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    assert_int_equal(w.woken_n, 1);
}

static void waits_are_woken_in_the_order_of_offsets_and_can_be_cancelled(void **state)
{
    struct waiter w[4];
    (void)state;
    static const int64_t offsets[] = {3, 1, 4, 2};
    for (int i = 0; i < 4; i++)
        assert_false(wait_for(&w[i], PLOG_DURABLE, offsets[i], 0));
    plog_wait_cancel(&w[1].wait);
    rig_append(&rig, 3, 10, 'a');
    rig_settle(&rig);
    assert_int_equal(w[0].woken_n, 1);
    assert_int_equal(w[1].woken_n, 0);
    assert_int_equal(w[2].woken_n, 0);
    assert_int_equal(w[3].woken_n, 1);
    struct plog_wait zeroed = {.mark = PLOG_HIGH};
    plog_wait_cancel(&zeroed);
    plog_wait_cancel(&w[2].wait);
}

static void short_writes_go_on_until_all_is_written(void **state)
{
    (void)state;
    rig.io.short_bytes = 777;
    for (int i = 0; i < 10; i++)
        rig_append(&rig, 1, 5000, (uint8_t)i);
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).durable, 10);
    rig_forget_pages(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 20000), 10); /* short reads go on too */
}

static void runs_longer_than_one_write_are_written_in_parts(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++)
        rig_append(&rig, 1, 100000, (uint8_t)i);
    rig_settle(&rig);
    assert_true(store_stats(rig.store)->write_ops >= 2);
    assert_int_equal(rig_offsets(rig.log).durable, 40);
    rig_forget_pages(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 1000000), 40);
}

static void out_of_order_completions_over_many_logs_are_each_logs_own(void **state)
{
    enum { LOGS_N = 10 };
    struct plog *logs[LOGS_N];
    struct append out;
    (void)state;
    for (int i = 0; i < LOGS_N; i++) {
        logs[i] = rig_log_new(&rig, i + 1);
        assert_int_equal(rig_append_to(&rig, logs[i], 1, 10, 'a', &out), 0);
    }
    rig_settle(&rig);
    rig.is_io_held = true;
    for (int i = 0; i < LOGS_N; i++)
        assert_int_equal(rig_append_to(&rig, logs[i], 1, 10, 'b', &out), 0);
    for (int turn = 0; turn < 100; turn++) {
        rig_turn(&rig);
        if (rig.io.io.under_way > 0)
            fake_io_complete(&rig.io, rig.io.io.under_way - 1); /* the newest first */
        for (int i = 0; i < LOGS_N; i++)
            plog_invariants(logs[i]);
    }
    for (int i = 0; i < LOGS_N; i++)
        assert_int_equal(rig_offsets(logs[i]).high, 2);
    rig.is_io_held = false;
}

static void failed_write_fails_the_log_and_only_it(void **state)
{
    struct waiter w;
    struct append out;
    (void)state;
    struct plog *other = rig_log_new(&rig, 1);
    rig_append(&rig, 1, 10, 'a');
    assert_int_equal(rig_append_to(&rig, other, 1, 10, 'o', &out), 0);
    rig_settle(&rig);
    rig_append(&rig, 1, 10, 'b');
    assert_int_equal(rig_append_to(&rig, other, 1, 10, 'o', &out), 0);
    assert_false(wait_for(&w, PLOG_HIGH, 2, 0));
    rig.io.fail_at = rig.io.done_n + 1;
    rig_settle(&rig);
    assert_int_equal(w.woken_n, 1);
    assert_int_equal(w.error, E_STORAGE);
    assert_int_equal(rig_offsets(rig.log).high, 1);
    assert_int_equal(rig_offsets(other).high, 2);
    assert_int_equal(rig_append_to(&rig, rig.log, 1, 10, 'b', &out), E_STORAGE);
    assert_int_equal(rig_append_to(&rig, other, 1, 10, 'b', &out), 0);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 1000), 1);
    rig_forget_pages(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 1000), 1);
    assert_int_equal(store_stats(rig.store)->logs_failed_n, 1);
}

static void failed_flush_is_never_repeated(void **state)
{
    struct waiter w;
    (void)state;
    warm_and_hold();
    rig_append(&rig, 1, 10, 'b');
    assert_false(wait_for(&w, PLOG_DURABLE, 2, 0));
    rig_turn(&rig);
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(queued(), IO_SYNC);
    uint64_t syncs = rig.io.kinds_n[IO_SYNC];
    rig.io.fail_at = rig.io.done_n + 1;
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_int_equal(w.error, E_STORAGE);
    assert_int_equal(rig_offsets(rig.log).durable, 1);
    assert_int_equal(rig_offsets(rig.log).high, 1);
    assert_int_equal(rig.io.kinds_n[IO_SYNC], syncs + 1);
    rig_wait_ms(&rig, 10000);
    assert_int_equal(rig.io.kinds_n[IO_SYNC], syncs + 1);
}

static void file_that_cannot_be_made_fails_the_log(void **state)
{
    struct waiter w;
    (void)state;
    rig.disk.fail_at = 1;
    rig.disk.fail_error = E_IO;
    rig_append(&rig, 1, 10, 'a');
    assert_false(wait_for(&w, PLOG_WRITTEN, 1, 0));
    rig_settle(&rig);
    assert_int_equal(w.error, E_STORAGE);
    assert_int_equal(rig.log->state, PLOG_FAILED);
    assert_int_equal(rig.store->tail_bytes, 0);
}

static void appends_wait_in_the_tail_while_the_file_is_made(void **state)
{
    (void)state;
    rig.is_files_held = true;
    for (int i = 0; i < 10; i++) {
        rig_append(&rig, 1, 3000, (uint8_t)i);
        rig_turn(&rig);
    }
    assert_int_equal(store_stats(rig.store)->write_ops, 0);
    rig.is_files_held = false;
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).durable, 10);
}

/* What was acknowledged, per log: everything below this offset is on the device. */
static int64_t acknowledged[2];

static void fault_run(uint64_t io_fail_at, uint64_t disk_fail_at, bool is_dead)
{
    struct append out;
    rig_init(&rig);
    rig.io.fail_at = io_fail_at;
    rig.disk.fail_at = disk_fail_at;
    rig.io.is_dead = rig.disk.is_dead = is_dead;
    rig.log_config.segment_bytes = 4000;
    struct plog *logs[2] = {rig_log_new(&rig, 0), rig_log_new(&rig, 1)};
    for (int i = 0; i < 12; i++) {
        for (int l = 0; l < 2; l++) {
            int rc = rig_append_to(&rig, logs[l], 1, 900, (uint8_t)i, &out);
            assert_true(rc == 0 || (rc == E_STORAGE && logs[l]->state == PLOG_FAILED));
        }
        if (i % 3 == 0)
            rig_settle(&rig);
        else
            rig_turn(&rig);
    }
    rig_settle(&rig);
    rig.io.fail_at = 0; /* reads are not what is tested */
    for (int l = 0; l < 2; l++) {
        acknowledged[l] = rig_offsets(logs[l]).high;
        assert_true(acknowledged[l] == 12 || logs[l]->state == PLOG_FAILED);
        assert_int_equal(rig_read_all(&rig, logs[l], 0, 10000), acknowledged[l]);
        rig_forget_pages(&rig);
        assert_int_equal(rig_read_all(&rig, logs[l], 0, 10000), acknowledged[l]);
    }
}

/* The process is gone; the next one must find what was acknowledged. */
static void fault_restart(void)
{
    struct recovery_report report = {0};
    rig_stop(&rig);
    rig.disk.fail_at = 0;
    rig_start(&rig);
    for (int32_t l = 0; l < 2; l++) {
        struct log_id id = rig_id(l);
        struct plog *log;
        assert_int_equal(store_log_recover(rig.store, &id, &rig.log_config, false, &report, &log),
                         0);
        assert_int_equal(store_recovered(rig.store), 0);
        assert_true(rig_offsets(log).high >= acknowledged[l]);
        assert_int_equal(rig_read_all(&rig, log, 0, 10000), rig_offsets(log).high);
    }
    rig_fini(&rig);
}

static void every_io_operation_failing_loses_nothing_acknowledged(void **state)
{
    (void)state;
    fault_run(0, 0, false);
    uint64_t n = rig.io.done_n - rig.io.kinds_n[IO_READ];
    fault_restart();
    assert_true(n > 20);
    for (uint64_t at = 1; at <= n; at++) {
        fault_run(at, 0, at % 2 == 0);
        fault_restart();
    }
}

static void every_disk_operation_of_the_helpers_failing_loses_nothing_acknowledged(void **state)
{
    (void)state;
    fault_run(0, 0, false);
    uint64_t n = rig.disk.n;
    fault_restart();
    assert_true(n > 50);
    for (uint64_t at = 1; at <= n; at++) {
        fault_run(0, at, at % 2 == 0);
        fault_restart();
    }
}

static void dirty_log_of_the_class_critical_is_written_first(void **state)
{
    struct plog *logs[3];
    struct append out;
    (void)state;
    rig_init(&rig);
    for (int i = 0; i < 3; i++)
        logs[i] = rig_log_new(&rig, i);
    rig.log_config.latency = LATENCY_CRITICAL;
    plog_configure(logs[2], &rig.log_config);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_append_to(&rig, logs[i], 1, 100, 'x', &out), 0);
    struct list *first = rig.store->dirty.next;
    assert_ptr_equal(list_entry(first, struct plog, dirty_link), logs[2]);
    assert_ptr_equal(list_entry(first->next, struct plog, dirty_link), logs[0]);
    rig_settle(&rig);
    rig_fini(&rig);
}

/* A file system that keeps everything: the run is written again without the wish, nothing fails. */
static void run_that_need_not_be_kept_is_repeated_where_it_is_refused(void **state)
{
    (void)state;
    warm_and_hold();
    rig_append(&rig, 1, 100000, 'a');
    assert_int_equal(store_flush(rig.store, rig.now), 1);
    assert_true(fake_io_first(&rig.io)->is_once);
    rig.io.fail_at = rig.io.done_n + 1;
    rig.io.fail_errno = EOPNOTSUPP;
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(queued(), IO_WRITE);
    assert_false(fake_io_first(&rig.io)->is_once);
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_int_equal(rig_offsets(rig.log).durable, 2);
}

static void short_run_stays_in_the_page_cache(void **state)
{
    (void)state;
    warm_and_hold();
    rig_append(&rig, 1, 1000, 'a');
    assert_int_equal(store_flush(rig.store, rig.now), 1);
    assert_false(fake_io_first(&rig.io)->is_once);
    rig.is_io_held = false;
    rig_settle(&rig);
}

int main(void)
{
#define WITH_LOG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_LOG(run_that_need_not_be_kept_is_repeated_where_it_is_refused),
        WITH_LOG(short_run_stays_in_the_page_cache),
        WITH_LOG(group_append_is_written_then_flushed_then_visible),
        WITH_LOG(group_appends_of_a_turn_are_one_write),
        WITH_LOG(group_appends_during_a_flush_share_the_next_round),
        WITH_LOG(group_flush_waits_for_writes_under_way_but_not_too_long),
        WITH_LOG(group_one_round_flushes_all_logs),
        WITH_LOG(relaxed_append_is_visible_when_written_and_not_flushed),
        WITH_LOG(relaxed_log_is_flushed_by_messages_and_by_time),
        WITH_LOG(wait_by_bytes_counts_from_its_beginning),
        WITH_LOG(waits_are_woken_in_the_order_of_offsets_and_can_be_cancelled),
        WITH_LOG(short_writes_go_on_until_all_is_written),
        WITH_LOG(runs_longer_than_one_write_are_written_in_parts),
        WITH_LOG(out_of_order_completions_over_many_logs_are_each_logs_own),
        WITH_LOG(failed_write_fails_the_log_and_only_it),
        WITH_LOG(failed_flush_is_never_repeated),
        WITH_LOG(file_that_cannot_be_made_fails_the_log),
        WITH_LOG(appends_wait_in_the_tail_while_the_file_is_made),
        TEST(every_io_operation_failing_loses_nothing_acknowledged),
        TEST(every_disk_operation_of_the_helpers_failing_loses_nothing_acknowledged),
        TEST(dirty_log_of_the_class_critical_is_written_first),
    };
    return TESTS_RUN(tests);
}
