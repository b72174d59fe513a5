/* producers_test.c - producers.c: sequences, epochs, duplicates, transactions, the bound, expiry,
 * snapshots. */
#include "producers.h"

#include <stdlib.h>

#include "prng.h"
#include "samples.h"
#include "unit.h"

enum { HOUR_MS = 3600000, NOW_MS = 1700000000 };

/* A log with its pool and its end. */
struct world {
    struct producer_pool *pool;
    struct producers log, other;
    int64_t end;
    struct producer_answer answer;
};

static struct world world_of(uint32_t producers_max)
{
    struct world w = {.end = 0};
    assert_int_equal(producer_pool_init(&w.pool, producers_max), 0);
    return w;
}

static void world_fini(struct world *w)
{
    producers_clear(w->pool, &w->log);
    producers_clear(w->pool, &w->other);
    assert_int_equal(producer_pool_used(w->pool), 0);
    producer_pool_fini(w->pool);
}

static struct batch batch_of(int64_t producer_id, int16_t epoch, int32_t sequence, int32_t n)
{
    return (struct batch){.producer_id = producer_id,
                          .producer_epoch = epoch,
                          .base_sequence = sequence,
                          .last_delta = n - 1,
                          .records_n = n,
                          .max_timestamp = 1000ll + sequence};
}

/* Checks, and appends when that is the verdict. */
static int append_batch(struct world *w, struct batch b, int64_t wall_ms)
{
    int error = producers_check(w->pool, &w->log, &b, &w->answer);
    if (error < 0 || w->answer.verdict == PRODUCER_DUPLICATE)
        return error;
    b.base_offset = w->end;
    assert_int_equal(producers_note(w->pool, &w->log, &b, wall_ms), 0);
    w->end += b.records_n;
    return 0;
}

static int append(struct world *w, int64_t producer_id, int16_t epoch, int32_t sequence, int32_t n)
{
    return append_batch(w, batch_of(producer_id, epoch, sequence, n), NOW_MS);
}

static int append_txn(struct world *w, int64_t producer_id, int16_t epoch, int32_t sequence)
{
    struct batch b = batch_of(producer_id, epoch, sequence, 1);
    b.attributes = BATCH_TRANSACTIONAL;
    return append_batch(w, b, NOW_MS);
}

static void sequence_that_follows_is_taken_and_others_are_not(void **state)
{
    struct world w = world_of(10);
    (void)state;
    assert_int_equal(append(&w, 1, 0, 0, 3), 0);
    assert_int_equal(append(&w, 1, 0, 4, 1), E_OUT_OF_ORDER);
    assert_int_equal(append(&w, 1, 0, 2, 1), E_OUT_OF_ORDER);
    assert_int_equal(append(&w, 1, 0, 3, 1), 0);
    assert_int_equal(append(&w, 2, 0, 0, 1), 0);
    assert_int_equal(w.log.n, 2);
    world_fini(&w);
}

static void sequence_wraps_from_largest_to_zero_trap_27(void **state)
{
    struct world w = world_of(10);
    (void)state;
    assert_int_equal(append(&w, 1, 0, INT32_MAX - 1, 2), 0);
    assert_int_equal(append(&w, 1, 0, 1, 1), E_OUT_OF_ORDER);
    assert_int_equal(append(&w, 1, 0, 0, 1), 0);
    assert_int_equal(append(&w, 1, 0, 1, 1), 0);
    world_fini(&w);
    w = world_of(10);
    /* The wrap lies inside a batch: it is still found as a duplicate. */
    assert_int_equal(append(&w, 1, 0, INT32_MAX, 3), 0);
    assert_int_equal(append(&w, 1, 0, INT32_MAX, 3), 0);
    assert_int_equal(w.answer.verdict, PRODUCER_DUPLICATE);
    assert_int_equal(append(&w, 1, 0, 2, 1), 0);
    assert_int_equal(w.answer.verdict, PRODUCER_APPEND);
    world_fini(&w);
}

static void duplicate_of_the_last_five_is_answered_with_the_original_trap_28(void **state)
{
    struct world w = world_of(10);
    (void)state;
    for (int i = 0; i < 6; i++)
        assert_int_equal(append(&w, 1, 0, i * 2, 2), 0);
    for (int i = 1; i < 6; i++) {
        assert_int_equal(append(&w, 1, 0, i * 2, 2), 0);
        assert_int_equal(w.answer.verdict, PRODUCER_DUPLICATE);
        assert_int_equal(w.answer.base_offset, i * 2);
        assert_int_equal(w.answer.last_offset, i * 2 + 1);
        assert_int_equal(w.answer.timestamp, 1000 + i * 2);
    }
    assert_int_equal(append(&w, 1, 0, 0, 2), E_OUT_OF_ORDER);  /* beyond the last five     */
    assert_int_equal(append(&w, 1, 0, 10, 1), E_OUT_OF_ORDER); /* a part of one is not it  */
    assert_int_equal(w.end, 12);
    world_fini(&w);
}

static void unknown_producer_may_begin_anywhere_trap_29(void **state)
{
    struct world w = world_of(10);
    (void)state;
    assert_int_equal(append(&w, 1, 3, 500, 1), 0);
    assert_int_equal(append(&w, 1, 3, 501, 1), 0);
    world_fini(&w);
}

static void epoch_rules_of_kip_360_hold(void **state)
{
    struct world w = world_of(10);
    (void)state;
    assert_int_equal(append(&w, 1, 2, 0, 1), 0);
    assert_int_equal(append(&w, 1, 1, 0, 1), E_BAD_EPOCH);
    assert_int_equal(append(&w, 1, 1, 1, 1), E_BAD_EPOCH);
    assert_int_equal(append(&w, 1, 3, 1, 1), E_OUT_OF_ORDER);
    assert_int_equal(append(&w, 1, 3, 0, 1), 0);
    assert_int_equal(append(&w, 1, 2, 1, 1), E_BAD_EPOCH);
    /* The first batch of the old epoch is no duplicate any more. */
    assert_int_equal(append(&w, 1, 3, 0, 1), 0);
    assert_int_equal(w.answer.base_offset, 1);
    world_fini(&w);
}

static void check_changes_nothing(void **state)
{
    struct world w = world_of(10);
    struct batch b = batch_of(1, 0, 0, 1);
    (void)state;
    assert_int_equal(producers_check(w.pool, &w.log, &b, &w.answer), 0);
    assert_int_equal(w.log.n, 0);
    assert_int_equal(producer_pool_used(w.pool), 0);
    world_fini(&w);
}

static void logs_of_a_pool_do_not_see_each_other(void **state)
{
    struct world w = world_of(10);
    struct batch b = batch_of(1, 0, 7, 1);
    (void)state;
    assert_int_equal(append(&w, 1, 0, 0, 1), 0);
    assert_int_equal(producers_check(w.pool, &w.other, &b, &w.answer), 0);
    assert_int_equal(producers_note(w.pool, &w.other, &b, NOW_MS), 0);
    assert_int_equal(append(&w, 1, 0, 1, 1), 0);
    assert_int_equal(w.other.n, 1);
    world_fini(&w);
}

static void transaction_holds_the_first_open_offset_until_its_marker(void **state)
{
    struct world w = world_of(10);
    int64_t first;
    (void)state;
    assert_int_equal(producers_first_open(&w.log), -1);
    assert_int_equal(append(&w, 9, 0, 0, 5), 0);
    assert_int_equal(append_txn(&w, 1, 0, 0), 0); /* 5 */
    assert_int_equal(append_txn(&w, 2, 0, 0), 0); /* 6 */
    assert_int_equal(append_txn(&w, 1, 0, 1), 0); /* 7 */
    assert_int_equal(append_txn(&w, 3, 0, 0), 0); /* 8 */
    assert_int_equal(producers_first_open(&w.log), 5);
    assert_int_equal(producers_end_txn(w.pool, &w.log, 2, 0, 0, 9, NOW_MS, &first), 0);
    assert_int_equal(first, 6);
    assert_int_equal(producers_first_open(&w.log), 5);
    assert_int_equal(producers_end_txn(w.pool, &w.log, 1, 0, 0, 10, NOW_MS, &first), 0);
    assert_int_equal(first, 5);
    assert_int_equal(producers_first_open(&w.log), 8);
    assert_int_equal(producers_end_txn(w.pool, &w.log, 1, 0, 0, 11, NOW_MS, &first), 0);
    assert_int_equal(first, -1);
    assert_int_equal(producers_end_txn(w.pool, &w.log, 3, 0, 0, 12, NOW_MS, &first), 0);
    assert_int_equal(producers_first_open(&w.log), -1);
    world_fini(&w);
}

static void marker_raises_epoch_and_fences(void **state)
{
    struct world w = world_of(10);
    int64_t first;
    (void)state;
    assert_int_equal(append_txn(&w, 1, 4, 0), 0);
    assert_int_equal(producers_end_txn(w.pool, &w.log, 1, 3, 7, 1, NOW_MS, &first), E_BAD_EPOCH);
    assert_int_equal(producers_first_open(&w.log), 0);
    assert_int_equal(producers_end_txn(w.pool, &w.log, 1, 5, 7, 1, NOW_MS, &first), 0);
    assert_int_equal(producers_end_txn(w.pool, &w.log, 1, 5, 6, 2, NOW_MS, &first),
                     E_BAD_TXN_STATE);
    assert_int_equal(append_txn(&w, 1, 4, 1), E_BAD_EPOCH);
    assert_int_equal(append_txn(&w, 1, 5, 1),
                     E_OUT_OF_ORDER); /* after a marker a new epoch begins at 0 */
    assert_int_equal(append_txn(&w, 1, 5, 0), 0);
    world_fini(&w);
}

static void plain_batch_in_an_open_transaction_is_refused(void **state)
{
    struct world w = world_of(10);
    (void)state;
    assert_int_equal(append_txn(&w, 1, 0, 0), 0);
    assert_int_equal(append(&w, 1, 0, 1, 1), E_BAD_TXN_STATE);
    assert_int_equal(append_txn(&w, 1, 0, 1), 0);
    world_fini(&w);
}

static void control_batch_noted_ends_the_transaction(void **state)
{
    struct world w = world_of(10);
    struct batch b = batch_of(1, 1, -1, 1);
    (void)state;
    assert_int_equal(append_txn(&w, 1, 0, 0), 0);
    b.attributes = BATCH_CONTROL | BATCH_TRANSACTIONAL;
    b.base_offset = w.end++;
    assert_int_equal(producers_note(w.pool, &w.log, &b, NOW_MS), 0);
    assert_int_equal(producers_first_open(&w.log), -1);
    b.producer_id = -1;
    assert_int_equal(producers_note(w.pool, &w.log, &b, NOW_MS), 0);
    assert_int_equal(w.log.n, 1);
    world_fini(&w);
}

static void full_pool_forgets_the_longest_idle_of_all_logs(void **state)
{
    struct world w = world_of(3);
    struct batch b = batch_of(77, 0, 0, 1);
    (void)state;
    assert_int_equal(producers_note(w.pool, &w.other, &b, NOW_MS), 0);
    assert_int_equal(append(&w, 1, 0, 0, 1), 0);
    assert_int_equal(append(&w, 2, 0, 0, 1), 0);
    assert_int_equal(append(&w, 1, 0, 1, 1), 0); /* idle longest: 77, 2, 1 */
    assert_int_equal(append(&w, 3, 0, 0, 1), 0);
    assert_int_equal(w.other.n, 0);
    assert_int_equal(append(&w, 4, 0, 0, 1), 0);
    assert_int_equal(producer_pool_forgotten(w.pool), 2);
    assert_int_equal(producer_pool_used(w.pool), 3);
    assert_int_equal(append(&w, 1, 0, 1, 1), 0);
    assert_int_equal(w.answer.verdict, PRODUCER_DUPLICATE);
    assert_int_equal(append(&w, 2, 0, 900, 1), 0); /* forgotten, so anything goes */
    world_fini(&w);
}

static void full_pool_never_forgets_an_open_transaction(void **state)
{
    struct world w = world_of(2);
    int64_t first;
    (void)state;
    assert_int_equal(append_txn(&w, 1, 0, 0), 0);
    assert_int_equal(append_txn(&w, 2, 0, 0), 0);
    assert_int_equal(append(&w, 3, 0, 0, 1), E_NO_MEMORY);
    assert_int_equal(producers_end_txn(w.pool, &w.log, 8, 0, 0, 5, NOW_MS, &first), E_NO_MEMORY);
    struct batch b = batch_of(3, 0, 0, 1);
    assert_int_equal(producers_note(w.pool, &w.log, &b, NOW_MS), E_NO_MEMORY);
    assert_int_equal(producers_end_txn(w.pool, &w.log, 1, 0, 0, 5, NOW_MS, &first), 0);
    assert_int_equal(append(&w, 3, 0, 0, 1), 0);
    assert_int_equal(producers_first_open(&w.log), 1);
    world_fini(&w);
}

static void pool_of_none_takes_nobody(void **state)
{
    struct world w = world_of(0);
    (void)state;
    assert_int_equal(append(&w, 1, 0, 0, 1), E_NO_MEMORY);
    world_fini(&w);
}

static void idle_entries_expire_by_our_clock_and_in_turns(void **state)
{
    struct world w = world_of(10);
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(append_batch(&w, batch_of(i, 0, 0, 1), NOW_MS + i * HOUR_MS), 0);
    assert_int_equal(append_txn(&w, 8, 0, 0), 0);
    assert_int_equal(producers_expire(w.pool, &w.log, NOW_MS + HOUR_MS - 1, HOUR_MS, 100), 0);
    assert_int_equal(w.log.n, 6);
    /* Two at a time: 0 1 | 2 3 | 4 8. */
    int64_t later = NOW_MS + 4 * HOUR_MS;
    assert_int_equal(producers_expire(w.pool, &w.log, later, HOUR_MS, 2), 2);
    assert_int_equal(producers_expire(w.pool, &w.log, later, HOUR_MS, 2), 2);
    assert_int_equal(producers_expire(w.pool, &w.log, later, HOUR_MS, 2), 0);
    assert_int_equal(producers_expire(w.pool, &w.log, later + HOUR_MS, HOUR_MS, 100), 1);
    assert_int_equal(w.log.n, 1);
    assert_int_equal(producers_first_open(&w.log), 5);
    world_fini(&w);
}

static void snapshot_of_kafka_is_read_and_written_alike(void **state)
{
    struct world w = world_of(10);
    struct producer_state list[2];
    uint8_t to[sizeof sample_snapshot];
    (void)state;
    assert_int_equal(producers_snapshot_decode(w.pool, &w.log, SAMPLE(snapshot)), 0);
    assert_int_equal(producers_list(&w.log, list, 2), 2);
    assert_int_equal(list[0].producer_id, 1);
    assert_int_equal(list[0].epoch, 3);
    assert_int_equal(list[0].last_sequence, -1);
    assert_int_equal(list[0].coordinator_epoch, 0);
    assert_int_equal(list[0].last_timestamp, 0x1a20973da4e);
    assert_int_equal(list[1].txn_first_offset, 8);
    assert_int_equal(producers_first_open(&w.log), 8);
    assert_int_equal(producers_snapshot_bytes(&w.log), sizeof to);
    producers_snapshot_encode(&w.log, to);
    assert_memory_equal(to, sample_snapshot, sizeof to);
    /* Its last batch is known: a duplicate of it, and what follows it. */
    w.end = 9;
    assert_int_equal(append_txn(&w, 2, 0, 0), 0);
    assert_int_equal(w.answer.verdict, PRODUCER_DUPLICATE);
    assert_int_equal(w.answer.base_offset, 8);
    assert_int_equal(append_txn(&w, 2, 0, 1), 0);
    assert_int_equal(w.answer.verdict, PRODUCER_APPEND);
    world_fini(&w);
}

static void snapshot_entries_do_not_expire_before_their_time(void **state)
{
    struct world w = world_of(10);
    (void)state;
    assert_int_equal(producers_snapshot_decode(w.pool, &w.log, SAMPLE(snapshot)), 0);
    int64_t years_later = 0x1a20973da4e + 99999ll * HOUR_MS;
    assert_int_equal(producers_expire(w.pool, &w.log, years_later, HOUR_MS, 10), 0);
    assert_int_equal(producers_expire(w.pool, &w.log, years_later + HOUR_MS, HOUR_MS, 10), 1);
    world_fini(&w);
}

static void snapshot_damaged_anywhere_is_corrupt_and_leaves_nothing(void **state)
{
    uint8_t copy[sizeof sample_snapshot];
    struct world w = world_of(10);
    (void)state;
    for (uint32_t n = 0; n < sizeof copy; n++) {
        assert_int_equal(producers_snapshot_decode(w.pool, &w.log, bytes_of(sample_snapshot, n)),
                         E_CORRUPT);
        memcpy(copy, sample_snapshot, sizeof copy);
        copy[n] ^= 0x10;
        assert_int_equal(producers_snapshot_decode(w.pool, &w.log, bytes_of(copy, sizeof copy)),
                         E_CORRUPT);
        assert_int_equal(w.log.n, 0);
        assert_int_equal(producers_first_open(&w.log), -1);
    }
    world_fini(&w);
}

static void snapshot_with_more_open_than_the_pool_holds_is_refused(void **state)
{
    struct world w = world_of(4), small = world_of(2);
    uint8_t to[256];
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(append_txn(&w, i, 0, 0), 0);
    uint64_t n = producers_snapshot_bytes(&w.log);
    assert_true(n <= sizeof to);
    producers_snapshot_encode(&w.log, to);
    assert_int_equal(producers_snapshot_decode(small.pool, &small.log, bytes_of(to, n)),
                     E_NO_MEMORY);
    assert_int_equal(small.log.n, 0);
    world_fini(&small);
    world_fini(&w);
}

static void open_transactions_of_a_snapshot_are_ordered_by_offset(void **state)
{
    struct world w = world_of(4), again = world_of(4);
    uint8_t to[256];
    int64_t first;
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(append_txn(&w, i, 0, 0), 0);
    /* Expiry turns the list, so the snapshot's order is not that of the offsets. */
    assert_int_equal(producers_expire(w.pool, &w.log, NOW_MS, HOUR_MS, 2), 0);
    uint64_t n = producers_snapshot_bytes(&w.log);
    producers_snapshot_encode(&w.log, to);
    assert_int_equal(producers_snapshot_decode(again.pool, &again.log, bytes_of(to, n)), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(producers_first_open(&again.log), i);
        assert_int_equal(producers_end_txn(again.pool, &again.log, i, 0, 0, 10, NOW_MS, &first), 0);
    }
    world_fini(&again);
    world_fini(&w);
}

/* Random appends, markers, expiries against a plain table: the first open offset and the counts
 * must agree. */
static void random_history_agrees_with_a_model(void **state)
{
    enum { IDS = 40 };
    struct world w = world_of(IDS);
    struct prng prng;
    int64_t open[IDS];
    int32_t next[IDS] = {0};
    (void)state;
    prng_init(&prng, 7);
    for (int i = 0; i < IDS; i++)
        open[i] = -1;
    for (int round = 0; round < 20000; round++) {
        int64_t at = (int64_t)prng_below(&prng, IDS), first;
        if (prng_chance(&prng, 60)) {
            int64_t offset = w.end;
            assert_int_equal(append_txn(&w, at, 0, next[at]), 0);
            next[at]++;
            open[at] = open[at] < 0 ? offset : open[at];
        } else {
            assert_int_equal(producers_end_txn(w.pool, &w.log, at, 0, 0, w.end++, NOW_MS, &first),
                             0);
            assert_int_equal(first, open[at]);
            open[at] = -1;
        }
        int64_t oldest = -1;
        for (int i = 0; i < IDS; i++)
            if (open[i] >= 0 && (oldest < 0 || open[i] < oldest))
                oldest = open[i];
        assert_int_equal(producers_first_open(&w.log), oldest);
    }
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sequence_that_follows_is_taken_and_others_are_not),
        TEST(sequence_wraps_from_largest_to_zero_trap_27),
        TEST(duplicate_of_the_last_five_is_answered_with_the_original_trap_28),
        TEST(unknown_producer_may_begin_anywhere_trap_29),
        TEST(epoch_rules_of_kip_360_hold),
        TEST(check_changes_nothing),
        TEST(logs_of_a_pool_do_not_see_each_other),
        TEST(transaction_holds_the_first_open_offset_until_its_marker),
        TEST(marker_raises_epoch_and_fences),
        TEST(plain_batch_in_an_open_transaction_is_refused),
        TEST(control_batch_noted_ends_the_transaction),
        TEST(full_pool_forgets_the_longest_idle_of_all_logs),
        TEST(full_pool_never_forgets_an_open_transaction),
        TEST(pool_of_none_takes_nobody),
        TEST(idle_entries_expire_by_our_clock_and_in_turns),
        TEST(snapshot_of_kafka_is_read_and_written_alike),
        TEST(snapshot_entries_do_not_expire_before_their_time),
        TEST(snapshot_damaged_anywhere_is_corrupt_and_leaves_nothing),
        TEST(snapshot_with_more_open_than_the_pool_holds_is_refused),
        TEST(open_transactions_of_a_snapshot_are_ordered_by_offset),
        TEST(random_history_agrees_with_a_model),
    };
    return TESTS_RUN(tests);
}
