/* move_test.c - move.c, move_copy.c, move_swap.c: a log changes its directory while it is written.
 */
#include <dirent.h>

#include "rig.h"

enum { PIECE = 60000 };

static struct rig rig;
static struct store *stores[2];
static struct plog *log_now; /* where it is at present */
static char other[64];
static struct log_move move;
static int moved_error;   /* what done said; 1: nothing yet */
static bool is_finishing; /* the metadata follows at once */
static int metadata;      /* which directory it says */
static int64_t acknowledged;

static void open_stores(void)
{
    struct store_config config = rig.config;
    stores[0] = rig.store;
    strcpy(config.directory, other);
    config.dir = 1;
    config.beside = rig.store;
    assert_int_equal(store_init(&stores[1], &config, &rig.io.io, &rig.disk.disk, &rig.pages,
                                &rig.timers, &rig.posts[RIG_STORE], RIG_FILES, RIG_BULK),
                     0);
    rig.beside = stores[1];
}

static void open_journals(void)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_recovered(stores[i]), 0);
        assert_int_equal(journal_clear(&rig.disk.disk, i == 0 ? rig.directory : other), 0);
        assert_int_equal(store_journal_open(stores[i], 7 + (uint64_t)i), 0);
    }
}

static void begin(uint64_t segment_bytes)
{
    rig_init(&rig);
    strcpy(other, "/dev/shm/move-test-XXXXXX");
    if (mkdtemp(other) == NULL) {
        strcpy(other, "/tmp/move-test-XXXXXX");
        assert_non_null(mkdtemp(other));
    }
    rig.config.journal_bytes = 1 << 20;
    rig.config.writeback_ns = 50 * NS_PER_MS;
    rig.store->config.journal_bytes = 1 << 20;
    rig.store->config.writeback_ns = 50 * NS_PER_MS;
    rig.log_config.segment_bytes = segment_bytes;
    open_stores();
    open_journals();
    struct log_id id = rig_id(0);
    assert_int_equal(store_log_new(stores[0], &id, &rig.log_config, &log_now), 0);
    moved_error = 1;
    is_finishing = true;
    metadata = 0;
    acknowledged = 0;
}

static void end(void)
{
    char command[128];
    rig.beside = NULL;
    if (rig.store != NULL)
        store_fini(stores[1]);
    rig_fini(&rig);
    snprintf(command, sizeof command, "rm -rf '%s'", other);
    assert_int_equal(system(command), 0);
}

static int turn(void)
{
    int n = rig_turn(&rig);
    rig.now.ns += NS_PER_MS; /* rounds of write-back come */
    if (log_now != NULL && log_now->state == PLOG_OPEN) {
        plog_invariants(log_now);
        acknowledged = max_i64(acknowledged, log_now->durable.offset);
    }
    return n;
}

static void turns(int n)
{
    while (n-- > 0)
        (void)turn();
}

static void moved(struct log_move *m, int error, struct now now)
{
    moved_error = error;
    if (error != 0 || !is_finishing)
        return;
    metadata = 1;
    log_now = plog_move_finish(m, now);
    assert_non_null(log_now);
}

static void move_begin(void)
{
    move = (struct log_move){.seed = 5, .done = moved};
    assert_int_equal(plog_move_begin(log_now, stores[1], &move, rig.now), 0);
}

/* False: not taken now. */
static bool write_some(uint8_t mark)
{
    struct append out;
    int rc = rig_append_to(&rig, log_now, 2, PIECE / 2, mark, &out);
    if (rc != E_STORAGE && rc != E_DISK_FULL)
        assert_true(rc == 0 || rc == E_AGAIN);
    return rc == 0;
}

static uint32_t names_with(const char *directory, const char *part)
{
    uint32_t n = 0;
    DIR *d = opendir(directory);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += strstr(e->d_name, part) != NULL;
    closedir(d);
    return n;
}

static void check_whole(void)
{
    struct plog_offsets o = rig_offsets(log_now);
    assert_int_equal(rig_read_all(&rig, log_now, o.start, 100000), o.high);
}

static void log_moves_while_it_is_written(void **state)
{
    (void)state;
    begin(400000);
    for (int i = 0; i < 40; i++, turn())
        assert_true(write_some('a'));
    turns(200);
    move_begin();
    int64_t end_before = log_now->end.offset;
    for (int i = 0; i < 3000 && moved_error == 1; i++, turn())
        if (i % 7 == 0)
            write_some('b');
    assert_int_equal(moved_error, 0);
    assert_ptr_equal(log_now->store, stores[1]);
    assert_ptr_equal(store_log_find(stores[0], &rig_topic_id, 0), log_now);
    assert_true(log_now->end.offset > end_before);
    turns(20);
    assert_true(write_some('c'));
    turns(200);
    check_whole();
    assert_int_equal(log_now->durable.offset, log_now->end.offset);
    assert_int_equal(names_with(other, "topic-0"), 1);
    assert_int_equal(names_with(rig.directory, "topic-0"), 1); /* the -delete */
    for (int i = 0; i < 40; i++, turns(10)) {
        rig.now.ns += 100 * NS_PER_MS;
        store_tick(stores[0], rig.now);
    }
    assert_int_equal(names_with(rig.directory, "topic-0"), 0);
    end();
}

/* Appends that come while it stands still wait; nothing is refused. */
static void frozen_log_lets_appends_wait(void **state)
{
    (void)state;
    begin(400000);
    assert_true(write_some('a'));
    turns(50);
    is_finishing = false;
    move_begin();
    for (int i = 0; i < 500 && moved_error == 1; i++)
        turn();
    assert_int_equal(moved_error, 0);
    assert_true(log_now->is_frozen);
    assert_false(write_some('b'));
    struct log_move again = {.done = moved};
    assert_int_equal(plog_move_begin(log_now, stores[1], &again, rig.now), E_EXISTS);
    plog_move_give_up(&move);
    turns(20);
    assert_int_equal(moved_error, E_CLOSED);
    assert_true(write_some('b'));
    turns(50);
    check_whole();
    assert_int_equal(names_with(other, "topic-0"), 0);
    end();
}

static void waiting_wake(struct plog_wait *wait, int error, struct now now)
{
    (void)now;
    assert_int_equal(error, 0);
    wait->offset = -1;
}

static struct start_move start;
static int start_error;
static void start_done(struct start_move *m, int error, struct now now)
{
    (void)m, (void)now;
    start_error = error;
}

static uint8_t sequenced[4096];
static int append_sequenced(int32_t sequence, struct append *out)
{
    struct batch_builder b;
    batch_begin(&b, sequenced, sizeof sequenced);
    assert_int_equal(batch_add(&b, rig.now.wall_ms, bytes_of("k", 1), bytes_of("v", 1)), 0);
    uint32_t n = batch_end(&b, 0, -1);
    batch_stamp_producer(sequenced, 77, 1, sequence);
    return rig_append_bytes(&rig, log_now, sequenced, n, 1460, out);
}

static void waits_starts_and_producers_go_along(void **state)
{
    (void)state;
    struct append out;
    begin(400000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(append_sequenced(i, &out), 0);
    turns(50);
    struct plog_wait wait = {.mark = PLOG_HIGH, .offset = 4, .wake = waiting_wake};
    assert_false(plog_wait(log_now, &wait));
    is_finishing = false;
    move_begin();
    for (int i = 0; i < 500 && moved_error == 1; i++)
        turn();
    start = (struct start_move){.offset = 2, .done = start_done};
    start_error = 1;
    assert_int_equal(plog_start_move(log_now, &start, rig.now), E_AGAIN);
    turns(20);
    assert_int_equal(start_error, 1);
    log_now = plog_move_finish(&move, rig.now);
    turns(50);
    assert_int_equal(start_error, 0);
    assert_int_equal(rig_offsets(log_now).start, 2);
    assert_int_equal(append_sequenced(0, &out), 0);
    assert_true(out.is_duplicate);
    assert_int_equal(out.base_offset, 0);
    assert_int_equal(append_sequenced(5, &out), E_OUT_OF_ORDER);
    assert_int_equal(append_sequenced(3, &out), 0);
    turns(50);
    assert_int_equal(wait.offset, -1);
    end();
}

static void empty_log_begins_where_it_ended(void **state)
{
    (void)state;
    begin(400000);
    move_begin();
    for (int i = 0; i < 500 && moved_error == 1; i++)
        turn();
    assert_int_equal(moved_error, 0);
    assert_true(write_some('a'));
    turns(100);
    check_whole();
    assert_int_equal(rig_offsets(log_now).durable, 2);
    end();
}

static void drop_of_a_moving_log_leaves_nothing(void **state)
{
    (void)state;
    for (int after = 0; after < 60; after++) {
        begin(200000);
        for (int i = 0; i < 10; i++, turn())
            assert_true(write_some('a'));
        turns(60);
        is_finishing = false;
        move_begin();
        turns(after);
        struct plog *log = log_now;
        bool has_stood = moved_error == 0;
        log_now = NULL;
        store_log_drop(stores[0], log);
        if (has_stood) {
            assert_null(plog_move_finish(&move, rig.now));
            plog_move_give_up(&move);
        }
        for (int i = 0; i < 60; i++, turns(5)) {
            rig.now.ns += 100 * NS_PER_MS;
            store_tick(stores[0], rig.now);
            store_tick(stores[1], rig.now);
        }
        assert_true(moved_error < 0);
        assert_int_equal(names_with(other, "topic-0"), 0);
        assert_int_equal(names_with(rig.directory, "topic-0"), 0);
        assert_int_equal(stores[1]->drops_waiting_n, 0);
        end();
    }
}

static void segments_that_retention_takes_are_not_kept(void **state)
{
    (void)state;
    begin(200000);
    for (int i = 0; i < 30; i++, turn())
        assert_true(write_some('a'));
    turns(100);
    move_begin();
    turns(4);
    rig.log_config.retention_bytes = 300000;
    plog_configure(log_now, &rig.log_config);
    for (int i = 0; i < 500 && moved_error == 1; i++, turn())
        store_tick(stores[0], rig.now);
    assert_int_equal(moved_error, 0);
    assert_true(rig_offsets(log_now).start > 0);
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/topic-0", other);
    assert_int_equal(names_with(path, "00000000000000000000."), 0);
    turns(20);
    check_whole();
    end();
}

/* ── crashes and failures ── */

static bool is_known(void *context, struct bytes topic, int32_t partition, const struct uuid *id)
{
    (void)topic, (void)id;
    return partition == 0 && *(const int *)context == metadata;
}

/* The process is gone; the next one opens the log in the directory that the metadata names. */
static void restart(void)
{
    struct recovery_report report = {0};
    struct journal_report replayed;
    struct log_id id = rig_id(0);
    char why[200];
    rig.beside = NULL;
    store_fini(stores[1]);
    rig_stop(&rig);
    rig.disk.fail_at = rig.io.fail_at = 0;
    rig.disk.is_dead = rig.io.is_dead = false;
    for (int i = 0; i < 2; i++)
        assert_int_equal(journal_replay(&rig.disk.disk, i == 0 ? rig.directory : other, is_known,
                                        &i, false, &replayed, why, sizeof why),
                         0);
    rig_start(&rig);
    open_stores();
    assert_int_equal(
        store_log_recover(stores[metadata], &id, &rig.log_config, false, &report, &log_now), 0);
    open_journals();
    moved_error = 1;
}

static void fault_run(uint64_t disk_at, uint64_t io_at, bool is_dead)
{
    begin(200000);
    for (int i = 0; i < 8; i++, turn())
        assert_true(write_some('a'));
    turns(60);
    rig.disk.n = 0;
    rig.io.done_n = 0;
    rig.disk.fail_at = disk_at;
    rig.io.fail_at = io_at;
    rig.disk.fail_error = E_IO;
    rig.io.fail_errno = EIO;
    rig.disk.is_dead = rig.io.is_dead = is_dead;
    move_begin();
    for (int i = 0; i < 200; i++, turn())
        if (i % 9 == 0 && i < 60)
            write_some('b');
}

static void check_after_fault(void)
{
    int64_t was = acknowledged;
    restart();
    assert_true(rig_offsets(log_now).end >= was);
    check_whole();
    assert_true(write_some('z'));
    turns(100);
    check_whole();
    end();
}

static void every_disk_operation_failing_leaves_one_whole(void **state)
{
    (void)state;
    fault_run(0, 0, false);
    assert_int_equal(moved_error, 0);
    uint64_t disk_n = rig.disk.n, io_n = rig.io.done_n;
    check_after_fault();
    assert_true(disk_n > 20 && io_n > 5);
    for (int dead = 0; dead < 2; dead++) {
        for (uint64_t n = 1; n <= disk_n; n++) {
            fault_run(n, 0, dead == 1);
            check_after_fault();
        }
        for (uint64_t n = 1; n <= io_n; n++) {
            fault_run(0, n, dead == 1);
            check_after_fault();
        }
    }
}

/* The copy fails on a full disk: the log goes on where it is, and nothing is left there. */
static void full_target_leaves_the_log_as_it_was(void **state)
{
    (void)state;
    begin(200000);
    for (int i = 0; i < 8; i++, turn())
        assert_true(write_some('a'));
    turns(60);
    move_begin();
    rig.disk.fail_at = rig.disk.n + 6;
    rig.disk.fail_error = E_DISK_FULL;
    turns(200);
    assert_int_equal(moved_error, E_DISK_FULL);
    assert_int_equal(names_with(other, "topic-0"), 0);
    assert_true(write_some('b'));
    turns(60);
    check_whole();
    end();
}

static void rate_is_kept(void **state)
{
    (void)state;
    begin(4 << 20);
    for (int i = 0; i < 140; i++, turn())
        assert_true(write_some('a'));
    turns(200);
    move = (struct log_move){.seed = 5, .bytes_per_s = 4 << 20, .done = moved};
    uint64_t from_ns = rig.now.ns;
    assert_int_equal(plog_move_begin(log_now, stores[1], &move, rig.now), 0);
    for (int i = 0; i < 20000 && moved_error == 1; i++)
        turn();
    assert_int_equal(moved_error, 0);
    assert_true(rig.now.ns - from_ns > NS_PER_S); /* 8 MiB, the last 4 of them unhindered */
    check_whole();
    end();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_moves_while_it_is_written),
        cmocka_unit_test(frozen_log_lets_appends_wait),
        cmocka_unit_test(waits_starts_and_producers_go_along),
        cmocka_unit_test(empty_log_begins_where_it_ended),
        cmocka_unit_test(drop_of_a_moving_log_leaves_nothing),
        cmocka_unit_test(segments_that_retention_takes_are_not_kept),
        cmocka_unit_test(every_disk_operation_failing_leaves_one_whole),
        cmocka_unit_test(full_target_leaves_the_log_as_it_was),
        cmocka_unit_test(rate_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
