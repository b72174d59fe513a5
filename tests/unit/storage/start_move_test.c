/* start_move_test.c - the start of a log moves: at once for readers, safe before the answer, and
 * still there after a crash. */
#include "rig.h"

#include "disk_tools.h"

static struct rig rig;
static struct recovery_report report;

/* A move and what became of it. */
struct waiter {
    struct start_move move;
    int error, done_n;
};

static void waiter_done(struct start_move *move, int error, struct now now)
{
    struct waiter *w = container_of(move, struct waiter, move);
    (void)now;
    w->error = error;
    w->done_n++;
}

static int move_to(struct waiter *w, int64_t offset)
{
    *w = (struct waiter){.move = {.offset = offset, .done = waiter_done}, .error = 1};
    return plog_start_move(rig.log, &w->move, rig.now);
}

static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_log_new(&rig, 0);
    for (int i = 0; i < 10; i++)
        rig_append(&rig, 3, 300, (uint8_t)i);
    rig_settle(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static int crash_and_recover(void)
{
    struct log_id id = rig_id(0);
    rig_stop(&rig);
    rig.disk.fail_at = 0;
    rig_start(&rig);
    report = (struct recovery_report){0};
    int rc = store_log_recover(rig.store, &id, &rig.log_config, false, &report, &rig.log);
    return rc == 0 ? store_recovered(rig.store) : rc;
}

static void start_moves_for_readers_at_once_and_is_safe_when_done(void **state)
{
    (void)state;
    struct waiter w;
    struct read read = {.offset = 6, .bytes_max = 100000};
    assert_int_equal(move_to(&w, 7), E_AGAIN);
    assert_int_equal(rig_offsets(rig.log).start, 7);
    assert_int_equal(plog_read(rig.log, &read, rig.now), E_OFFSET_RANGE);
    assert_int_equal(w.done_n, 0);
    rig_settle(&rig);
    assert_int_equal(w.done_n, 1);
    assert_int_equal(w.error, 0);
    assert_int_equal(w.move.start, 7);
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(rig_offsets(rig.log).start, 7);
    assert_int_equal(rig_offsets(rig.log).end, 30);
}

static void high_watermark_is_the_farthest(void **state)
{
    (void)state;
    struct waiter w;
    assert_int_equal(move_to(&w, 31), E_OFFSET_RANGE);
    assert_int_equal(move_to(&w, -2), E_OFFSET_RANGE);
    assert_int_equal(rig_offsets(rig.log).start, 0);
    assert_int_equal(move_to(&w, START_AT_HIGH), E_AGAIN);
    rig_settle(&rig);
    assert_int_equal(w.move.start, 30);
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(rig_offsets(rig.log).start, 30);
    assert_int_equal(rig_append(&rig, 1, 10, 'a'), 30);
}

static void start_never_moves_back(void **state)
{
    (void)state;
    struct waiter w;
    assert_int_equal(move_to(&w, 0), 0);
    assert_int_equal(move_to(&w, 9), E_AGAIN);
    rig_settle(&rig);
    assert_int_equal(move_to(&w, 4), 0);
    assert_int_equal(w.move.start, 9);
    assert_int_equal(rig_offsets(rig.log).start, 9);
}

static void move_below_one_that_is_not_safe_yet_waits_too(void **state)
{
    (void)state;
    struct waiter a, b, c;
    rig.is_files_held = true;
    assert_int_equal(move_to(&a, 9), E_AGAIN);
    rig_turn(&rig);
    assert_int_equal(move_to(&b, 12), E_AGAIN); /* needs another write */
    assert_int_equal(move_to(&c, 3), E_AGAIN);
    assert_int_equal(c.move.start, 12);
    rig.is_files_held = false;
    rig_settle(&rig);
    assert_int_equal(a.done_n + b.done_n + c.done_n, 3);
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(rig_offsets(rig.log).start, 12);
}

static void crash_at_every_step_leaves_the_old_or_the_new_start(void **state)
{
    (void)state;
    for (int at = 1; at < 12; at++) {
        struct waiter w;
        int64_t before = rig_offsets(rig.log).start, to = before + 2;
        rig.disk.fail_at = rig.disk.n + (uint64_t)at;
        rig.disk.fail_error = E_IO;
        assert_int_equal(move_to(&w, to), E_AGAIN);
        rig_settle(&rig);
        assert_int_equal(w.done_n, 1);
        assert_int_equal(crash_and_recover(), 0);
        int64_t now = rig_offsets(rig.log).start;
        assert_true(now == to || (w.error != 0 && now == before));
        if (w.error != 0)
            assert_int_equal(w.error, E_STORAGE);
    }
}

static void dropped_log_ends_moves(void **state)
{
    (void)state;
    struct waiter w;
    rig.is_files_held = true;
    assert_int_equal(move_to(&w, 9), E_AGAIN);
    struct plog *log = rig.log;
    rig.log = NULL;
    store_log_drop(rig.store, log);
    assert_int_equal(w.done_n, 1);
    assert_int_equal(w.error, E_NOT_FOUND);
    rig.is_files_held = false;
    rig_settle(&rig);
}

static void segments_below_the_start_go(void **state)
{
    (void)state;
    struct waiter w;
    rig.log_config.segment_bytes = 5000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 20; i++) {
        rig_append(&rig, 1, 850, (uint8_t)i);
        rig_settle(&rig);
    }
    uint32_t before = rig.log->segments_n;
    assert_true(before > 3);
    assert_int_equal(move_to(&w, START_AT_HIGH), E_AGAIN);
    rig_settle(&rig);
    for (uint32_t i = 0; i < before; i++)
        rig_wait_ms(&rig, 10);
    assert_int_equal(rig.log->segments_n, 1);
    assert_int_equal(rig_offsets(rig.log).start, 50);
}

static void damaged_file_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",          "0\n",     "1\n5\n", "0\n5", "0\n-5\n", "0\n5x\n", "0\n99999999999999999999\n",
        "0\n5\n6\n", "0\n\n5\n"};
    for (uint32_t i = 0; i < array_n(texts); i++) {
        char path[DISK_PATH_MAX], directory[DISK_PATH_MAX];
        int64_t start;
        snprintf(directory, sizeof directory, "%s/topic-0", rig.directory);
        assert_int_equal(path_join(path, directory, "log-start-offset"), 0);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(texts[i], f);
        fclose(f);
        assert_int_equal(mark_read(&rig.disk.disk, directory, mark_start, &start), E_CORRUPT);
    }
}

/* ── side files and rolling (side_file.c) ── */

struct file_waiter {
    struct side_file file;
    int done_n;
};

static void file_done(struct side_file *file, struct now now)
{
    (void)now;
    container_of(file, struct file_waiter, file)->done_n++;
}

static bool has_file(const char *name)
{
    char path[DISK_PATH_MAX];
    struct stat s;
    snprintf(path, sizeof path, "%s/topic-0/%s", rig.directory, name);
    return stat(path, &s) == 0;
}

static void side_file_is_written_and_unlinked(void **state)
{
    (void)state;
    struct file_waiter w = {
        .file = {.name = "x.checkpoint", .data = bytes_of("abc", 3), .done = file_done}};
    assert_int_equal(plog_file_write(rig.log, &w.file), 0);
    rig_settle(&rig);
    assert_int_equal(w.done_n, 1);
    assert_int_equal(w.file.error, 0);
    assert_true(has_file("x.checkpoint"));
    for (int i = 0; i < 2; i++) { /* the second finds none, which is no error */
        assert_int_equal(plog_file_unlink(rig.log, &w.file), 0);
        rig_settle(&rig);
        assert_int_equal(w.file.error, 0);
        assert_false(has_file("x.checkpoint"));
    }
    rig.disk.fail_at = rig.disk.n + 1;
    assert_int_equal(plog_file_write(rig.log, &w.file), 0);
    rig_settle(&rig);
    assert_int_equal(w.file.error, E_IO);
    assert_false(has_file("x.checkpoint"));
    assert_int_equal(rig_append(&rig, 1, 10, 'a'), 30); /* the log goes on */
    rig_settle(&rig);
}

static void roll_and_move_leave_the_new_segment_only(void **state)
{
    (void)state;
    struct waiter w;
    assert_int_equal(plog_roll(rig.log, rig.now), 0);
    assert_int_equal(plog_roll(rig.log, rig.now), 0); /* an empty one stays */
    assert_int_equal(rig.log->segments_n, 2);
    assert_false(store_is_quiet(rig.store)); /* the new segment's file is being made */
    rig_settle(&rig);
    assert_int_equal(rig.log->segments[1]->state, SEGMENT_LIVE);
    assert_int_equal(move_to(&w, START_AT_HIGH), E_AGAIN);
    rig_settle(&rig);
    for (int i = 0; i < 5; i++)
        rig_wait_ms(&rig, 10);
    assert_int_equal(rig.log->segments_n, 1);
    assert_int_equal(rig.log->segments[0]->base_offset, 30);
    assert_int_equal(crash_and_recover(), 0);
    assert_int_equal(rig_offsets(rig.log).start, 30);
    assert_int_equal(rig_offsets(rig.log).end, 30);
    assert_int_equal(rig_append(&rig, 1, 10, 'a'), 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(start_moves_for_readers_at_once_and_is_safe_when_done,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(high_watermark_is_the_farthest, setup, teardown),
        cmocka_unit_test_setup_teardown(start_never_moves_back, setup, teardown),
        cmocka_unit_test_setup_teardown(move_below_one_that_is_not_safe_yet_waits_too, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(crash_at_every_step_leaves_the_old_or_the_new_start, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(dropped_log_ends_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(segments_below_the_start_go, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(side_file_is_written_and_unlinked, setup, teardown),
        cmocka_unit_test_setup_teardown(roll_and_move_leave_the_new_segment_only, setup, teardown),
    };
    return TESTS_RUN(tests);
}
