/* journal_pair_test.c - journal.c, gather.c: two records of the journal under way at once. */
#include "journal_rig.h"

/* The first holds a batch of log 0, the second one of logs 0 and 1; the second is on the device. */
static void second_record_is_flushed_first(void)
{
    journal()->second_min = 1;
    rig.is_io_held = true;
    append(0, 100, 'a');
    rig_turn(&rig);
    append(0, 100, 'b');
    append(1, 100, 'c');
    rig_turn(&rig);
    assert_int_equal(rig.io.io.under_way, 4);
    append(2, 100, 'd');
    rig_turn(&rig);
    assert_int_equal(rig.io.io.under_way, 4); /* no third one */
    fake_io_complete(&rig.io, 1);
    rig_turn(&rig);
    fake_io_complete(&rig.io, 1);
    rig_turn(&rig);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig_offsets(logs[i]).written, 0);
        assert_int_equal(rig_offsets(logs[i]).durable, 0);
    }
    assert_int_equal(journal()->flushed_seq, 0);
}

static void second_record_on_the_device_first_is_told_behind_the_first(void **state)
{
    (void)state;
    second_record_is_flushed_first();
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(rig_offsets(logs[0]).written, 2);
    assert_int_equal(rig_offsets(logs[1]).written, 1);
    assert_int_equal(rig_offsets(logs[0]).durable, 0);
    fake_io_complete(&rig.io, 0);
    rig_turn(&rig);
    assert_int_equal(rig_offsets(logs[0]).durable, 2);
    assert_int_equal(rig_offsets(logs[1]).durable, 1);
    assert_int_equal(journal()->flushed_seq, 2);
    rig.is_io_held = false;
    restart();
    assert_int_equal(rig_read_all(&rig, logs[0], 0, 100000), 2);
    assert_int_equal(rig_read_all(&rig, logs[1], 0, 100000), 1);
}

static void start_ends_at_the_first_record_that_is_not_whole(void **state)
{
    (void)state;
    second_record_is_flushed_first();
    rig.is_io_held = false;
    restart();
    assert_int_equal(rig_offsets(logs[0]).end, 0);
    assert_int_equal(rig_offsets(logs[1]).end, 0);
    assert_int_equal(replayed.lost_n, 0);
}

static void first_record_fails_and_takes_the_second_with_it(void **state)
{
    struct append out;
    (void)state;
    second_record_is_flushed_first();
    rig.io.fail_at = rig.io.done_n + 1;
    rig.is_io_held = false;
    rig_settle(&rig);
    assert_int_equal(journal()->state, JOURNAL_FAILED);
    assert_false(journal_is_busy(journal()));
    for (int i = 0; i < LOGS_MAX; i++) {
        assert_int_equal(rig_offsets(logs[i]).durable, 0);
        assert_int_equal(rig_append_to(&rig, logs[i], 1, 10, 'e', &out), E_STORAGE);
    }
    restart();
    assert_int_equal(rig_offsets(logs[0]).end, 0);
}

static void second_record_waits_until_enough_is_appended_behind_the_first(void **state)
{
    (void)state;
    rig.is_io_held = true;
    append(0, 100, 'a');
    rig_turn(&rig);
    append(1, 100, 'b');
    rig_turn(&rig);
    assert_int_equal(rig.io.io.under_way, 2);
    for (uint32_t bytes = 100; bytes < JOURNAL_SECOND_MIN; bytes += 60000) {
        assert_int_equal(rig.io.io.under_way, 2);
        append(2, 60000, 'c'); /* too little to go straight to a segment, and there is none */
        rig_turn(&rig);
    }
    assert_int_equal(rig.io.io.under_way, 4);
    rig.is_io_held = false;
    rig_settle(&rig);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_offsets(logs[i]).durable, rig_offsets(logs[i]).end);
}

/* It does not wait for the record under way, nor for others' bytes. */
static void record_of_a_critical_log_goes_out_beside_another(void **state)
{
    (void)state;
    rig.log_config.latency = LATENCY_CRITICAL;
    plog_configure(logs[3], &rig.log_config);
    rig.is_io_held = true;
    append(0, 100, 'a');
    rig_turn(&rig);
    append(1, 100, 'b');
    append(3, 100, 'c');
    rig_turn(&rig);
    assert_int_equal(rig.io.io.under_way, 4);
    assert_int_equal(journal()->records[1].entries_n, 1);
    assert_int_equal(logs[3]->logged.offset, 1);
    assert_int_equal(logs[1]->logged.offset, 0);
    rig.is_io_held = false;
    rig_settle(&rig);
    for (int i = 0; i < LOGS_MAX; i++)
        assert_int_equal(rig_offsets(logs[i]).durable, rig_offsets(logs[i]).end);
    assert_int_equal(rig_offsets(logs[1]).durable, 1);
    restart();
    assert_int_equal(rig_offsets(logs[3]).end, 1);
}

int main(void)
{
#define WITH_LOGS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_LOGS(second_record_on_the_device_first_is_told_behind_the_first),
        WITH_LOGS(start_ends_at_the_first_record_that_is_not_whole),
        WITH_LOGS(first_record_fails_and_takes_the_second_with_it),
        WITH_LOGS(record_of_a_critical_log_goes_out_beside_another),
        WITH_LOGS(second_record_waits_until_enough_is_appended_behind_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
