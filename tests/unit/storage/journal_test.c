/* journal_test.c - journal.c, gather.c, write_back.c, journal_replay.c: the rules of the journal
 * (design 5), each with a test of its name, and every operation failing once. */
#include "journal_rig.h"

static bool segment_exists(int32_t partition)
{
    char directory[DISK_PATH_MAX], path[DISK_PATH_MAX];
    struct disk_stat s;
    log_directory_path(directory, rig.directory, bytes_of_string("topic"), partition);
    segment_path(path, directory, 0, ".log");
    return disk_stat(disk_posix(), path, &s) == 0;
}

static int ring_open_again(void)
{
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/0.ring", rig.directory, JOURNAL_DIRECTORY);
    int fd = disk_open(disk_posix(), path, DISK_WRITE);
    assert_true(fd >= 0);
    return fd;
}

/* Damages a byte of the ring, as a bad disk would. */
static void ring_spoil(uint64_t at)
{
    uint8_t byte = 0;
    int fd = ring_open_again();
    assert_int_equal(disk_read(disk_posix(), fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(disk_write(disk_posix(), fd, &byte, 1, at), 0);
    disk_close(disk_posix(), fd);
}

static uint32_t queued_n(enum io_kind kind)
{
    uint32_t n = 0;
    list_for_each(l, next, &rig.io.queue)
        n += list_entry(l, struct io_op, link)->kind == kind;
    return n;
}

/* ── what it is for ── */

static void appends_to_many_logs_are_one_write_and_one_flush_and_need_no_files(void **state)
{
    (void)state;
    for (int i = 0; i < LOGS_MAX; i++)
        append(i, 100, 'a');
    rig_settle(&rig);
    assert_int_equal(store_stats(rig.store)->journal_records, 1);
    assert_int_equal(rig.io.kinds_n[IO_WRITE], 1);
    assert_int_equal(rig.io.kinds_n[IO_SYNC], 1);
    for (int i = 0; i < LOGS_MAX; i++) {
        assert_int_equal(rig_offsets(logs[i]).durable, 1);
        assert_int_equal(rig_offsets(logs[i]).high, 1);
        assert_false(segment_exists(i));
        plog_invariants(logs[i]);
    }
    assert_true(store_is_quiet(rig.store));
    restart();
    assert_int_equal(replayed.made_n, LOGS_MAX);
    for (int i = 0; i < LOGS_MAX; i++)
        assert_int_equal(rig_read_all(&rig, logs[i], 0, 1000), 1);
}

static void what_comes_during_a_flush_is_the_next_record(void **state)
{
    (void)state;
    append(0, 100, 'a');
    rig.is_io_held = true;
    rig_turn(&rig);
    fake_io_complete(&rig.io, 0); /* the write */
    rig_turn(&rig);
    assert_int_equal(rig_offsets(logs[0]).written, 1);
    assert_int_equal(rig_offsets(logs[0]).durable, 0);
    for (int i = 0; i < 5; i++) {
        append(i % LOGS_MAX, 100, 'b');
        rig_turn(&rig);
    }
    assert_int_equal(rig.io.io.under_way, 1);
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_int_equal(store_stats(rig.store)->journal_records, 2);
    assert_int_equal(rig_offsets(logs[0]).durable, 3);
}

static void large_runs_go_straight_to_their_segment_and_come_back(void **state)
{
    (void)state;
    append(0, 100, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 100); /* written back: the file is there */
    uint64_t records = store_stats(rig.store)->journal_records;
    append(0, 300 << 10, 'L');
    rig_settle(&rig);
    assert_int_equal(store_stats(rig.store)->journal_records, records);
    assert_int_equal(rig_offsets(logs[0]).durable, 2);
    assert_false(logs[0]->is_logged);
    append(0, 100, 's');
    rig_settle(&rig);
    assert_true(logs[0]->is_logged);
    assert_int_equal(store_stats(rig.store)->journal_records, records + 1);
    restart();
    assert_int_equal(rig_read_all(&rig, logs[0], 0, 1 << 20), 3);
}

static void relaxed_logs_stay_outside(void **state)
{
    (void)state;
    rig.log_config.durability = STORE_RELAXED;
    plog_configure(logs[0], &rig.log_config);
    append(0, 100, 'a');
    rig_settle(&rig);
    assert_int_equal(store_stats(rig.store)->journal_records, 0);
    assert_int_equal(rig_offsets(logs[0]).high, 1);
}

static int queries_done;

static void query_done(struct time_query *q, struct now now)
{
    (void)q;
    (void)now;
    queries_done++;
}

static void offset_by_time_waits_until_its_bytes_stand_in_a_file(void **state)
{
    (void)state;
    struct time_query query = {.time_ms = TIME_MAX_TIMESTAMP, .done = query_done};
    rig.store->config.writeback_ns = 3600 * NS_PER_S; /* not by itself */
    append(0, 100, 'a');
    rig_settle(&rig);
    assert_true(logs[0]->home.bytes < logs[0]->high.bytes);
    queries_done = 0;
    plog_time_query(logs[0], &query, rig.now);
    rig_settle(&rig);
    assert_int_equal(queries_done, 1);
    assert_int_equal(query.error, 0);
    assert_int_equal(query.offset, 0);
    assert_true(logs[0]->home.bytes >= logs[0]->high.bytes);
}

static void offset_by_time_on_a_full_disk_is_answered_from_the_files(void **state)
{
    (void)state;
    struct time_query query = {.time_ms = TIME_MAX_TIMESTAMP, .done = query_done};
    rig.store->config.writeback_ns = 3600 * NS_PER_S;
    append(0, 100, 'a');
    rig_settle(&rig);
    plog_full(logs[0]);
    queries_done = 0;
    plog_time_query(logs[0], &query, rig.now);
    rig_settle(&rig);
    assert_int_equal(queries_done, 1);
    assert_int_equal(query.offset, -1);
    plog_full_end(logs[0]);
}

static void clean_stop_leaves_exact_files_and_no_journal(void **state)
{
    (void)state;
    bool stands = true;
    for (int i = 0; i < LOGS_MAX; i++)
        append(i, 1000, 'a');
    rig_settle(&rig);
    assert_int_equal(journal_stands(&rig.disk.disk, rig.directory, &stands), 0);
    assert_true(stands);
    struct checkpoints *checkpoints = checkpoints_new();
    assert_int_equal(store_close(rig.store, checkpoints), 0);
    checkpoints_free(checkpoints);
    assert_int_equal(journal_stands(&rig.disk.disk, rig.directory, &stands), 0);
    assert_false(stands);
    for (int i = 0; i < LOGS_MAX; i++) {
        char directory[DISK_PATH_MAX], path[DISK_PATH_MAX];
        struct disk_stat s;
        log_directory_path(directory, rig.directory, bytes_of_string("topic"), i);
        segment_path(path, directory, 0, ".log");
        assert_int_equal(disk_stat(disk_posix(), path, &s), 0);
        assert_int_equal(s.bytes, logs[i]->end.bytes);
    }
}

static void ring_wraps_many_times_and_segments_roll(void **state)
{
    (void)state;
    rig.log_config.segment_bytes = 100000;
    for (int i = 0; i < LOGS_MAX; i++)
        plog_configure(logs[i], &rig.log_config);
    for (int i = 0; i < 200; i++) {
        for (int l = 0; l < LOGS_MAX; l++)
            append(l, 3000, (uint8_t)i);
        if (i % 7 == 0)
            rig_settle(&rig);
        else
            rig_turn(&rig);
        for (int l = 0; l < LOGS_MAX; l++)
            plog_invariants(logs[l]);
    }
    rig_settle(&rig);
    assert_true(store_stats(rig.store)->journal_bytes > 3 * RING_BYTES);
    assert_true(store_stats(rig.store)->rolls > 10);
    for (int l = 0; l < LOGS_MAX; l++)
        assert_int_equal(rig_offsets(logs[l]).durable, 200);
    restart();
    for (int l = 0; l < LOGS_MAX; l++)
        assert_int_equal(rig_read_all(&rig, logs[l], 0, 100000), 200);
}

/* ── the rules ── */

static void rule_01_failed_write_or_flush_is_not_repeated_and_every_log_refuses(void **state)
{
    struct append out;
    (void)state;
    for (int fails_at = 1; fails_at <= 2; fails_at++) {
        append(0, 100, 'a');
        rig.io.fail_at = rig.io.done_n + (uint64_t)fails_at;
        rig.io.fail_errno = EIO;
        rig_settle(&rig);
        uint64_t writes = rig.io.kinds_n[IO_WRITE], syncs = rig.io.kinds_n[IO_SYNC];
        assert_int_equal(journal()->state, JOURNAL_FAILED);
        assert_int_equal(rig_offsets(logs[0]).durable, fails_at - 1);
        for (int i = 0; i < LOGS_MAX; i++)
            assert_int_equal(rig_append_to(&rig, logs[i], 1, 10, 'b', &out), E_STORAGE);
        rig_wait_ms(&rig, 10000);
        assert_int_equal(rig.io.kinds_n[IO_WRITE], writes);
        assert_int_equal(rig.io.kinds_n[IO_SYNC], syncs);
        rig.io.fail_at = 0;
        restart();
        if (fails_at == 1) { /* what the failed write left is no record */
            assert_int_equal(rig_offsets(logs[0]).end, 0);
            append(0, 100, 'a');
            rig_settle(&rig);
        }
    }
}

static void rule_02_flush_is_sent_when_the_whole_record_is_written(void **state)
{
    (void)state;
    rig.io.short_bytes = 3000; /* less than a block at a time: it begins anew, then goes on */
    rig.is_io_held = true;
    append(0, 9000, 'a');
    rig_turn(&rig);
    assert_int_equal(queued_n(IO_WRITE), 1);
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(queued_n(IO_SYNC), 0);
    assert_int_equal(rig_offsets(logs[0]).written, 0);
    rig.io.short_bytes = 5000;
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(queued_n(IO_SYNC), 0);
    rig.io.short_bytes = 0;
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(queued_n(IO_SYNC), 1);
    rig.is_io_held = false;
    rig_settle(&rig);
    restart();
    assert_int_equal(rig_read_all(&rig, logs[0], 0, 10000), 1);
}

static void rule_03_entry_that_does_not_continue_its_log_is_dropped_with_all_later_ones(
    void **state)
{
    char directory[DISK_PATH_MAX], path[DISK_PATH_MAX];
    (void)state;
    append(0, 1000, 'a');
    rig_settle(&rig);
    rig_wait_ms(&rig, 100);
    for (int i = 0; i < 3; i++) {
        append(0, 1000, 'b');
        append(1, 1000, 'b');
        rig_settle(&rig);
    }
    rig_stop(&rig);
    log_directory_path(directory, rig.directory, bytes_of_string("topic"), 0);
    segment_path(path, directory, 0, ".log");
    assert_int_equal(truncate(path, 500), 0); /* a disk that lost what it had flushed */
    assert_int_equal(replay(false), 0);
    assert_int_equal(replayed.dropped_n, 1);
    rig_start(&rig);
    reopen();
    assert_int_equal(rig_offsets(logs[0]).end, 0);
    assert_int_equal(rig_offsets(logs[1]).end, 3);
}

static void rule_03_large_run_of_a_log_without_a_file_travels_in_the_journal(void **state)
{
    (void)state;
    append(0, 100 << 10, 'L');
    rig_settle(&rig);
    assert_false(segment_exists(0));
    assert_int_equal(rig_offsets(logs[0]).durable, 1);
    restart();
    assert_int_equal(rig_read_all(&rig, logs[0], 0, 1 << 20), 1);
}

static void rule_04_write_back_takes_only_what_a_flushed_record_holds(void **state)
{
    (void)state;
    append(0, 1000, 'a');
    rig_settle(&rig);
    uint64_t safe = logs[0]->segments[0]->safe_pos;
    rig.is_io_held = true;
    append(0, 1000, 'b');
    rig_turn(&rig);
    rig.now.ns += 100 * NS_PER_MS;
    for (int i = 0; i < 10; i++)
        rig_turn(&rig);
    list_for_each(l, next, &rig.io.queue) {
        struct io_op *op = list_entry(l, struct io_op, link);
        if (op->kind == IO_WRITE && op->fd != journal()->fd)
            assert_true(op->pos + op->iov[0].iov_len <= safe);
    }
    assert_true(logs[0]->segments[0]->end_pos > safe);
    assert_int_equal(logs[0]->segments[0]->safe_pos, safe);
    rig.is_io_held = false;
    rig_settle(&rig);
}

/* The write of write-back that waits for the device; NULL when there is none. */
static const struct io_op *back_write_begin(void)
{
    rig.is_io_held = true;
    rig.now.ns += 100 * NS_PER_MS;
    for (int i = 0; i < 10; i++)
        rig_turn(&rig);
    list_for_each(l, next, &rig.io.queue) {
        const struct io_op *op = list_entry(l, struct io_op, link);
        if (op->kind == IO_WRITE && op->fd != journal()->fd)
            return op;
    }
    return NULL;
}

static void write_back_lets_records_pass_and_is_cut_short_until_it_hurries(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.config.journal_bytes = 8 << 20;
    rig.config.writeback_ns = 50 * NS_PER_MS;
    rig.store->config = rig.config;
    assert_int_equal(store_journal_open(rig.store, 7), 0);
    logs[0] = rig_log_new(&rig, 0);
    append(0, 1000, 'a');
    rig_wait_ms(&rig, 100); /* it has a file */
    for (int is_hurried = 0; is_hurried < 2; is_hurried++) {
        for (int i = 0; i < 20; i++) {
            append(0, 60000, 'b'); /* less than goes straight to a segment */
            rig_turn(&rig);
            rig_turn(&rig);
        }
        if (is_hurried)
            rig.store->config.tail_bytes_max = 1;
        const struct io_op *op = back_write_begin();
        assert_non_null(op);
        assert_int_equal(op->is_background, !is_hurried);
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < op->iov_n; i++)
            bytes += op->iov[i].iov_len;
        assert_in_range(bytes, is_hurried ? 1000000 : 500000, is_hurried ? 1 << 21 : 512 << 10);
        rig.is_io_held = false;
        rig_settle(&rig);
    }
    rig_fini(&rig);
}

static void rule_05_segment_is_settled_when_the_durable_tail_has_passed_it(void **state)
{
    (void)state;
    append(0, 1000, 'a');
    rig_settle(&rig);
    struct segment *segment = logs[0]->segments[0];
    assert_false(segment_is_settled(segment));
    rig.now.ns += 100 * NS_PER_MS;
    while (journal()->tail_seq == rig.store->journal_tail_seq)
        rig_turn(&rig);
    rig.is_io_held = true; /* the tail moved, but no record on the device says so */
    assert_false(segment_is_settled(segment));
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_true(segment_is_settled(segment));
    assert_int_equal(journal()->flushed_seq, 2); /* by a record of its own: nothing else came */
}

static void rule_05_entry_of_a_topic_that_is_gone_is_not_replayed(void **state)
{
    (void)state;
    append(0, 1000, 'a');
    rig_settle(&rig);
    rig_stop(&rig);
    is_topic_gone = true;
    assert_int_equal(replay(false), 0);
    assert_int_equal(replayed.unknown_n, 1);
    assert_false(segment_exists(0));
    rig_start(&rig);
    reopen();
}

static void rule_06_space_is_used_again_when_a_flushed_record_has_passed_it(void **state)
{
    (void)state;
    rig.is_files_held = true; /* nothing can be written back: there are no files */
    for (int i = 0; i < 30; i++) {
        append(i % LOGS_MAX, 30000, 'a');
        rig_settle(&rig);
    }
    assert_true(store_stats(rig.store)->journal_full_n > 0);
    assert_true(rig_offsets(logs[0]).durable < 8);
    assert_true(journal_used(journal()) <= journal()->bytes);
    rig.is_files_held = false;
    rig_settle(&rig);
    for (int i = 0; i < LOGS_MAX; i++)
        assert_int_equal(rig_offsets(logs[i]).durable, i < 2 ? 8 : 7);
    restart();
    for (int i = 0; i < LOGS_MAX; i++)
        assert_int_equal(rig_read_all(&rig, logs[i], 0, 100000), i < 2 ? 8 : 7);
}

static void rule_06_bad_record_at_or_below_a_flushed_one_is_damage(void **state)
{
    (void)state;
    uint64_t at[4];
    for (int i = 0; i < 4; i++) {
        append(0, 1000, 'a');
        at[i] = journal()->head.at;
        rig_settle(&rig);
    }
    rig_stop(&rig);
    ring_spoil(at[1] + 200);
    assert_int_equal(replay(false), E_CORRUPT);
    assert_int_equal(replayed.lost_n, 2); /* records 2 and 3: the newest knows them flushed */
    assert_int_equal(replay(true), 0);
    rig_start(&rig);
    reopen();
    assert_int_equal(rig_offsets(logs[0]).end, 1);
}

static void rule_06_bad_record_above_every_flushed_one_is_the_end(void **state)
{
    (void)state;
    uint64_t at = 0;
    for (int i = 0; i < 3; i++) {
        append(0, 1000, 'a');
        at = journal()->head.at;
        rig_settle(&rig);
    }
    rig_stop(&rig);
    ring_spoil(at + 200); /* the newest: nobody says that it was flushed */
    assert_int_equal(replay(false), 0);
    rig_start(&rig);
    reopen();
    assert_int_equal(rig_offsets(logs[0]).end, 2);
}

static void rule_06_damaged_head_of_a_ring_stops_the_start(void **state)
{
    (void)state;
    append(0, 1000, 'a');
    rig_settle(&rig);
    rig_stop(&rig);
    ring_spoil(9);
    assert_int_equal(replay(false), E_CORRUPT);
    assert_int_equal(replay(true), 0);
    assert_int_equal(replayed.lost_n, 1);
    rig_start(&rig);
    reopen();
}

static void rule_07_tail_moves_only_behind_synced_segments(void **state)
{
    (void)state;
    append(0, 1000, 'a');
    rig_settle(&rig);
    uint64_t tail = journal()->tail_seq;
    rig.now.ns += 100 * NS_PER_MS;
    while (journal()->write_back != WRITE_BACK_SYNCING)
        rig_turn(&rig);
    assert_true(logs[0]->home.bytes == logs[0]->end.bytes); /* written, but not synced */
    assert_int_equal(journal()->tail_seq, tail);
    assert_int_equal(logs[0]->settled.offset, 0);
    rig_settle(&rig);
    assert_true(journal()->tail_seq > tail);
    assert_int_equal(logs[0]->settled.offset, 1);
    assert_int_equal(logs[0]->segments[0]->durable_pos, logs[0]->segments[0]->end_pos);
}

static void rule_07_segment_that_cannot_be_written_pins_the_tail(void **state)
{
    (void)state;
    append(0, 1000, 'a');
    append(1, 1000, 'a');
    rig_settle(&rig);
    rig.disk.fail_at = rig.disk.n + 1; /* its directory cannot be made */
    rig.disk.fail_error = E_IO;
    rig_wait_ms(&rig, 100);
    assert_true(journal()->is_pinned);
    int failed_n = 0;
    for (int i = 0; i < 2; i++)
        failed_n += logs[i]->state == PLOG_FAILED;
    assert_int_equal(failed_n, 1);
    append(2, 1000, 'b'); /* others go on, each by itself */
    rig_settle(&rig);
    assert_int_equal(rig_offsets(logs[2]).durable, 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rig_read_all(&rig, logs[i], 0, 10000), 1); /* from memory */
    restart();
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_read_all(&rig, logs[i], 0, 10000), 1);
}

static void rule_07_log_that_fails_while_its_record_is_under_way_pins_the_tail(void **state)
{
    (void)state;
    append(0, 1000, 'a');
    rig.is_io_held = true;
    rig_turn(&rig);
    fake_io_complete(&rig.io, 0); /* written: acks=1 is answered */
    rig_turn(&rig);
    assert_int_equal(rig_offsets(logs[0]).written, 1);
    plog_fail(logs[0], rig.now); /* a helper's job of it failed */
    rig.is_io_held = false;
    append(1, 1000, 'b');
    rig_settle(&rig);
    rig_wait_ms(&rig, 100);
    assert_true(journal()->is_pinned);
    restart();
    assert_int_equal(rig_read_all(&rig, logs[0], 0, 10000), 1);
    assert_int_equal(rig_read_all(&rig, logs[1], 0, 10000), 1);
}

static void rule_08_replay_may_be_cut_short_and_is_done_again_by_any_number_of_workers(void **state)
{
    (void)state;
    for (int i = 0; i < LOGS_MAX; i++)
        append(i, 5000, 'a');
    rig_settle(&rig);
    rig_stop(&rig);
    char from[256], to[256], command[600];
    snprintf(from, sizeof from, "%s/%s/0.ring", rig.directory, JOURNAL_DIRECTORY);
    snprintf(to, sizeof to, "%s/%s/5.ring", rig.directory, JOURNAL_DIRECTORY);
    snprintf(command, sizeof command, "mv '%s' '%s'", from, to); /* another worker's */
    assert_int_equal(system(command), 0);
    for (uint64_t at = 1; at < 40; at++) {
        char why[512] = "";
        rig.disk.fail_at = rig.disk.n + at;
        rig.disk.fail_error = E_IO;
        (void)!journal_replay(&rig.disk.disk, rig.directory, knows, NULL, false, &replayed, why,
                              sizeof why);
    }
    assert_int_equal(replay(false), 0);
    rig_start(&rig);
    reopen();
    for (int i = 0; i < LOGS_MAX; i++)
        assert_int_equal(rig_read_all(&rig, logs[i], 0, 10000), 1);
}

static void rule_10_each_file_is_synced_where_one_call_cannot_stand_for_all(void **state)
{
    (void)state;
    rig_stop(&rig);
    assert_int_equal(journal_clear(&rig.disk.disk, rig.directory), 0);
    rig.disk.has_no_sync_all = true;
    rig_start(&rig);
    reopen();
    assert_false(journal()->has_sync_all);
    for (int i = 0; i < LOGS_MAX; i++)
        append(i, 1000, 'a');
    rig_settle(&rig);
    uint64_t syncs = rig.io.kinds_n[IO_SYNC];
    rig_wait_ms(&rig, 100);
    assert_true(rig.io.kinds_n[IO_SYNC] >= syncs + LOGS_MAX);
    for (int i = 0; i < LOGS_MAX; i++)
        assert_int_equal(logs[i]->settled.offset, 1);
    restart();
    for (int i = 0; i < LOGS_MAX; i++)
        assert_int_equal(rig_read_all(&rig, logs[i], 0, 10000), 1);
}

static void rule_11_what_the_journal_holds_counts_as_gone_from_the_disk(void **state)
{
    struct append out;
    (void)state;
    rig.store->config.min_free_bytes = 1 << 20;
    append(0, 100000, 'a');
    rig_settle(&rig);
    rig.store->is_space_known = true;
    rig.store->space_appended = rig.store->stats.appended_bytes;
    rig.store->space_tail = rig.store->tail_bytes; /* looked at a moment ago */
    rig.store->stats.free_bytes =
        (1 << 20) + 50000; /* room for half of what is to be written back */
    assert_int_equal(rig_append_to(&rig, logs[1], 1, 10, 'b', &out), E_DISK_FULL);
    rig.store->stats.free_bytes = (1 << 20) + 250000;
    assert_int_equal(rig_append_to(&rig, logs[1], 1, 10, 'b', &out), 0);
}

/* ── faults ── */

static int64_t acknowledged[LOGS_MAX];

static void fault_run(uint64_t io_fail_at, uint64_t disk_fail_at, bool is_full)
{
    struct append out;
    rig_init(&rig);
    rig.log_config.segment_bytes = 8000;
    ready();
    for (int32_t i = 0; i < LOGS_MAX; i++)
        logs[i] = rig_log_new(&rig, i);
    rig.io.fail_at = io_fail_at > 0 ? rig.io.done_n + io_fail_at : 0;
    rig.io.fail_errno = is_full ? ENOSPC : EIO;
    rig.disk.fail_at = disk_fail_at > 0 ? rig.disk.n + disk_fail_at : 0;
    rig.disk.fail_error = is_full ? E_DISK_FULL : E_IO;
    for (int i = 0; i < 12; i++) {
        for (int l = 0; l < LOGS_MAX; l++) {
            int rc = rig_append_to(&rig, logs[l], 1, 900, (uint8_t)i, &out);
            assert_true(rc == 0 || rc == E_STORAGE || rc == E_DISK_FULL);
        }
        if (i % 3 == 0)
            rig_wait_ms(&rig, 60);
        else
            rig_turn(&rig);
    }
    rig_settle(&rig);
    for (int l = 0; l < LOGS_MAX; l++)
        acknowledged[l] = rig_offsets(logs[l]).durable;
}

static void fault_restart(void)
{
    rig.disk.fail_at = 0;
    rig.io.fail_at = 0;
    restart();
    for (int l = 0; l < LOGS_MAX; l++) {
        assert_true(rig_offsets(logs[l]).end >= acknowledged[l]);
        assert_int_equal(rig_read_all(&rig, logs[l], 0, 10000), rig_offsets(logs[l]).end);
    }
    rig_fini(&rig);
}

static void every_io_operation_failing_loses_nothing_acknowledged(void **state)
{
    (void)state;
    fault_run(0, 0, false);
    uint64_t n = rig.io.done_n;
    fault_restart();
    assert_true(n > 30);
    for (uint64_t at = 1; at <= n; at++) {
        fault_run(at, 0, at % 2 == 0);
        fault_restart();
    }
}

static void every_disk_operation_failing_loses_nothing_acknowledged(void **state)
{
    (void)state;
    fault_run(0, 0, false);
    uint64_t n = rig.disk.n;
    fault_restart();
    assert_true(n > 50);
    for (uint64_t at = 1; at <= n; at += 1) {
        fault_run(0, at, at % 2 == 0);
        fault_restart();
    }
}

int main(void)
{
#define WITH_LOGS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_LOGS(appends_to_many_logs_are_one_write_and_one_flush_and_need_no_files),
        WITH_LOGS(what_comes_during_a_flush_is_the_next_record),
        WITH_LOGS(large_runs_go_straight_to_their_segment_and_come_back),
        WITH_LOGS(relaxed_logs_stay_outside),
        WITH_LOGS(offset_by_time_waits_until_its_bytes_stand_in_a_file),
        WITH_LOGS(offset_by_time_on_a_full_disk_is_answered_from_the_files),
        WITH_LOGS(clean_stop_leaves_exact_files_and_no_journal),
        WITH_LOGS(ring_wraps_many_times_and_segments_roll),
        WITH_LOGS(rule_01_failed_write_or_flush_is_not_repeated_and_every_log_refuses),
        WITH_LOGS(rule_02_flush_is_sent_when_the_whole_record_is_written),
        WITH_LOGS(rule_03_entry_that_does_not_continue_its_log_is_dropped_with_all_later_ones),
        WITH_LOGS(rule_03_large_run_of_a_log_without_a_file_travels_in_the_journal),
        WITH_LOGS(rule_04_write_back_takes_only_what_a_flushed_record_holds),
        TEST(write_back_lets_records_pass_and_is_cut_short_until_it_hurries),
        WITH_LOGS(rule_05_segment_is_settled_when_the_durable_tail_has_passed_it),
        WITH_LOGS(rule_05_entry_of_a_topic_that_is_gone_is_not_replayed),
        WITH_LOGS(rule_06_space_is_used_again_when_a_flushed_record_has_passed_it),
        WITH_LOGS(rule_06_bad_record_at_or_below_a_flushed_one_is_damage),
        WITH_LOGS(rule_06_bad_record_above_every_flushed_one_is_the_end),
        WITH_LOGS(rule_06_damaged_head_of_a_ring_stops_the_start),
        WITH_LOGS(rule_07_tail_moves_only_behind_synced_segments),
        WITH_LOGS(rule_07_segment_that_cannot_be_written_pins_the_tail),
        WITH_LOGS(rule_07_log_that_fails_while_its_record_is_under_way_pins_the_tail),
        WITH_LOGS(rule_08_replay_may_be_cut_short_and_is_done_again_by_any_number_of_workers),
        WITH_LOGS(rule_10_each_file_is_synced_where_one_call_cannot_stand_for_all),
        WITH_LOGS(rule_11_what_the_journal_holds_counts_as_gone_from_the_disk),
        TEST(every_io_operation_failing_loses_nothing_acknowledged),
        TEST(every_disk_operation_failing_loses_nothing_acknowledged),
    };
    return TESTS_RUN(tests);
}
