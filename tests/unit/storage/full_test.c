/* full_test.c - full.c: a log on a full disk refuses clients, loses nothing, and goes on by itself. */
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

static int append_one(struct append *out)
{
    return rig_append_to(&rig, rig.log, 1, 100, 'z', out);
}

static void check_refuses(void)
{
    struct append out;
    assert_int_equal(append_one(&out), E_DISK_FULL);
    assert_non_null(strstr(out.reason, "disk"));
    assert_non_null(strstr(out.reason, "Free some space"));
    assert_int_equal(rig.log->state, PLOG_OPEN);
    assert_int_equal(store_stats(rig.store)->logs_full_n, 1);
    assert_int_equal(store_stats(rig.store)->logs_failed_n, 0);
}

/* Space is back: within a second everything is durable, and appends are taken. */
static void check_goes_on(int64_t end)
{
    struct append out;
    rig_wait_ms(&rig, 1100);
    assert_int_equal(store_stats(rig.store)->logs_full_n, 0);
    assert_int_equal(rig_offsets(rig.log).durable, end);
    assert_int_equal(append_one(&out), 0);
    assert_int_equal(out.base_offset, end);
    rig_settle(&rig);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 10000), end + 1);
    /* The file says the same, to a process that knows nothing. */
    struct recovery_report report = {0};
    struct log_id id = rig_id(0);
    rig_stop(&rig);
    rig_start(&rig);
    assert_int_equal(store_log_recover(rig.store, &id, &rig.log_config, false, &report, &rig.log),
                     0);
    assert_int_equal(store_recovered(rig.store), 0);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 10000), end + 1);
}

static void write_without_space_is_made_again(void **state)
{
    (void)state;
    rig_append(&rig, 3, 1000, 'a');
    rig_settle(&rig);
    rig.io.are_writes_full = true;
    rig_append(&rig, 2, 100000, 'b');
    rig_settle(&rig);
    check_refuses();
    assert_int_equal(rig_offsets(rig.log).durable, 3);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 10000), 3);
    rig_wait_ms(&rig, 1100); /* tried, and still no space */
    rig_wait_ms(&rig, 1100);
    check_refuses();
    rig.io.are_writes_full = false;
    check_goes_on(5);
}

static void write_that_fitted_in_part_goes_on_where_it_stopped(void **state)
{
    (void)state;
    rig_append(&rig, 1, 1000, 'a');
    rig_settle(&rig);
    rig_append(&rig, 2, 100000, 'b');
    rig.io.short_bytes = 5000;
    rig_turn(&rig);
    rig_turn(&rig);
    rig.io.short_bytes = 0;
    rig.io.are_writes_full = true;
    rig_settle(&rig);
    check_refuses();
    rig.io.are_writes_full = false;
    check_goes_on(3);
}

static void first_file_without_space_is_made_again(void **state)
{
    (void)state;
    rig.disk.fail_error = E_DISK_FULL;
    rig.disk.fail_at = rig.disk.n + 1;
    rig.disk.is_dead = true;
    rig_append(&rig, 2, 100, 'a');
    rig_settle(&rig);
    check_refuses();
    rig_wait_ms(&rig, 1100);
    check_refuses();
    rig.disk.fail_at = 0;
    check_goes_on(2);
}

static void every_job_of_a_roll_without_space_is_made_again(void **state)
{
    (void)state;
    for (uint64_t at = 1;; at++) {
        rig.log->config.segment_bytes = 3000;
        int64_t first = rig_append(&rig, 1, 2500, 'a');
        rig_settle(&rig);
        rig.disk.fail_error = E_DISK_FULL;
        rig.disk.fail_at = rig.disk.n + at;
        rig_append(&rig, 1, 2500, 'b'); /* rolls */
        rig_settle(&rig);
        bool is_fired = rig.disk.n >= rig.disk.fail_at;
        rig.disk.fail_at = 0;
        rig_wait_ms(&rig, 1100);
        assert_int_equal(rig.log->state, PLOG_OPEN);
        assert_int_equal(store_stats(rig.store)->logs_full_n, 0);
        assert_int_equal(rig_offsets(rig.log).durable, first + 2);
        assert_int_equal(rig.log->sealed_n, rig.log->segments_n - 1);
        if (!is_fired) {
            assert_true(at > 8);
            return;
        }
    }
}

static void our_own_appends_are_taken_without_space(void **state)
{
    struct append out;
    static uint8_t batch[4096];
    (void)state;
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    rig.io.are_writes_full = true;
    rig_append(&rig, 1, 100, 'b');
    rig_settle(&rig);
    check_refuses();
    uint32_t n = rig_batch(batch, sizeof batch, 1, 100, 'c', rig.now.wall_ms);
    struct slice slice = {batch, n, NULL};
    struct slices from = {&slice, 1, n};
    out = (struct append){.from = &from, .bytes = n, .request_version = -1};
    assert_int_equal(plog_append(rig.log, &out, rig.now), 0);
    rig_settle(&rig);
    rig.io.are_writes_full = false;
    check_goes_on(3);
}

static void flush_without_space_fails_the_log_for_good(void **state)
{
    struct append out;
    (void)state;
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    rig.io.fail_at = rig.io.done_n + 2; /* the write, then the flush */
    rig.io.fail_errno = ENOSPC;
    rig_append(&rig, 1, 100, 'b');
    rig_settle(&rig);
    assert_int_equal(rig.log->state, PLOG_FAILED);
    assert_int_equal(store_stats(rig.store)->logs_full_n, 0);
    assert_int_equal(append_one(&out), E_STORAGE);
}

static void dropped_log_that_was_full_is_gone(void **state)
{
    (void)state;
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    rig.io.are_writes_full = true;
    rig_append(&rig, 1, 100, 'b');
    rig_settle(&rig);
    check_refuses();
    store_log_drop(rig.store, rig.log);
    rig.log = NULL;
    rig_settle(&rig);
    rig_wait_ms(&rig, 1100);
    rig_wait_ms(&rig, 1100);
    assert_int_equal(store_stats(rig.store)->logs_full_n, 0);
    assert_true(list_is_empty(&rig.store->dropped));
}

static void less_than_the_reserve_refuses_clients_until_there_is_more(void **state)
{
    struct append out;
    (void)state;
    rig_append(&rig, 1, 100, 'a');
    rig_settle(&rig);
    rig.store->config.min_free_bytes = 1ull << 62;
    rig_wait_ms(&rig, 100);
    assert_int_equal(append_one(&out), E_DISK_FULL);
    assert_non_null(strstr(out.reason, "storage.min.free.bytes"));
    assert_true(store_stats(rig.store)->is_low);
    assert_true(store_stats(rig.store)->free_bytes > 0);
    assert_int_equal(rig_read_all(&rig, rig.log, 0, 10000), 1);
    rig.store->config.min_free_bytes = 1;
    rig_wait_ms(&rig, 1100);
    assert_int_equal(append_one(&out), 0);
    assert_false(store_stats(rig.store)->is_low);
}

int main(void)
{
#define FULL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        FULL(write_without_space_is_made_again),
        FULL(write_that_fitted_in_part_goes_on_where_it_stopped),
        FULL(first_file_without_space_is_made_again),
        FULL(every_job_of_a_roll_without_space_is_made_again),
        FULL(our_own_appends_are_taken_without_space),
        FULL(flush_without_space_fails_the_log_for_good),
        FULL(dropped_log_that_was_full_is_gone),
        FULL(less_than_the_reserve_refuses_clients_until_there_is_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
