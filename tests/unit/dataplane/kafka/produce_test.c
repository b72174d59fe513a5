/*
 * produce_test.c - Produce: what is refused, what is answered when, order, and what a closed
 * connection leaves.
 */
#include "produce_bed.h"

static void each_version_appends_and_is_answered(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct client c = client_connect(bed);
    for (int16_t version = 3; version <= 13; version++) {
        struct produce_request *q = produce_to(bed, t, 0, 2, -1, batch_of(bed, 3, 100));
        const struct produce_response *p = client_ask(&c, PRODUCE, version, q);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(produced(p, i)->index, i);
            assert_int_equal(produced(p, i)->error_code, 0);
            assert_int_equal(produced(p, i)->base_offset, 3 * (version - 3));
            assert_int_equal(produced(p, i)->log_append_time_ms, -1);
            assert_int_equal(produced(p, i)->log_start_offset, version >= 5 ? 0 : -1);
        }
        if (version >= 13)
            assert_true(uuid_equal(&p->responses->topic_id, &t->id));
        else
            assert_true(bytes_equal(p->responses->name, t->name));
    }
    assert_int_equal(bed_log(bed, t, 1)->o.end, 33);
    assert_int_equal(bed_stat(bed, STAT_PRODUCE_BATCHES), 22);
    assert_int_equal(bed_stat(bed, STAT_PRODUCE_RECORDS), 66);
    client_close(&c);
    bed_free(bed);
}

/* Trap 1: 0-2 are advertised (request_test.c), and closed when sent. */
static void trap_1_produce_v2_closes_the_connection(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    static const uint8_t frame[] = {0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0, 9, 0xff, 0xff, 0, 1};
    client_write(&c, frame, sizeof frame);
    client_expect_end(&c);
    assert_int_equal(bed_stat(bed, STAT_BAD_VERSION), 1);
    client_close(&c);
    bed_free(bed);
}

static int16_t code_of(struct bed *bed, struct client *c, int16_t version,
                       const struct produce_request *q)
{
    const struct produce_response *p = client_ask(c, PRODUCE, version, q);
    if (produced(p, 0)->error_code != 0)
        assert_int_equal(produced(p, 0)->base_offset, -1);
    (void)bed;
    return produced(p, 0)->error_code;
}

static void refusals_carry_kafkas_codes(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    struct slices batch = batch_of(bed, 1, 1);
    struct produce_request *q = produce_to(bed, t, 0, 1, 7, batch);
    assert_int_equal(code_of(bed, &c, 9, q), 21); /* acks=7 */
    q->acks = 2;
    assert_int_equal(code_of(bed, &c, 3, q), 21);
    q = produce_to(bed, t, 1, 1, 1, batch);
    assert_int_equal(code_of(bed, &c, 9, q), 3); /* unknown partition */
    q = produce_to(bed, t, -1, 1, 1, batch);
    assert_int_equal(code_of(bed, &c, 9, q), 3);
    q = produce_to(bed, t, 0, 1, 1, batch);
    q->topic_data->name = bytes_of_string("nosuch");
    assert_int_equal(code_of(bed, &c, 9, q), 3);
    memset(q->topic_data->topic_id.b, 9, 16);
    assert_int_equal(code_of(bed, &c, 13, q), 100);
    q = produce_to(bed, t, 0, 1, 1, (struct slices){NULL, 0, 0});
    assert_int_equal(code_of(bed, &c, 9, q), 87); /* null records: Apache Kafka hangs here */
    assert_int_equal(code_of(bed, &c, 3, q), 87);
    q = produce_to(bed, t, 0, 1, 1, (struct slices){batch.v, 0, 0});
    assert_int_equal(code_of(bed, &c, 9, q), 87); /* empty records */
    q = produce_to(bed, t, 0, 1, 1, batch);
    q->transactional_id = bytes_of_string("tx");
    assert_int_equal(code_of(bed, &c, 9, q), 53);
    t->is_internal = true;
    q->transactional_id = (struct bytes){NULL, 0};
    assert_int_equal(code_of(bed, &c, 9, q), 17); /* as for __consumer_offsets */
    t->is_internal = false;
    t->partitions[0].leader = -1;
    const struct produce_response *p = client_ask(&c, PRODUCE, 10, q);
    assert_int_equal(produced(p, 0)->error_code, 6);
    assert_int_equal(produced(p, 0)->current_leader.leader_epoch, 4);
    assert_int_equal(bed_log(bed, t, 0)->o.end, 0);
    assert_int_equal(bed_stat(bed, STAT_PRODUCE_ERRORS), 12);
    client_close(&c);
    bed_free(bed);
}

static void verdicts_of_the_log_reach_the_client(void **state)
{
    (void)state;
    static const struct {
        int error;
        int16_t code;
    } rows[] = {
        {E_CORRUPT, 2},         {E_TOO_LARGE, 10},         {E_BAD_MAGIC, 43},
        {E_INVALID_RECORD, 87}, {E_INVALID_TIMESTAMP, 32}, {E_BAD_CODEC, 76},
        {E_OUT_OF_ORDER, 45},   {E_BAD_EPOCH, 47},         {E_BAD_TXN_STATE, 48},
        {E_STORAGE, 56},
    };
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    for (size_t i = 0; i < array_n(rows); i++) {
        bed->workers[0].store->next_error = rows[i].error;
        assert_int_equal(code_of(bed, &c, 9, produce_to(bed, t, 0, 1, -1, batch_of(bed, 1, 1))),
                         rows[i].code);
    }
    /* The connection stays open: MESSAGE_TOO_LARGE is an answer, too (trap 14). */
    assert_int_equal(code_of(bed, &c, 9, produce_to(bed, t, 0, 1, -1, batch_of(bed, 1, 1))), 0);
    client_close(&c);
    bed_free(bed);
}

/* Trap 13: a record without key on a compacted topic. */
static void trap_13_bad_record_is_named_from_v8_on(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct store *s = bed->workers[0].store;
    struct client c = client_connect(bed);
    for (int16_t version = 7; version <= 8; version++) {
        s->next_error = E_INVALID_RECORD;
        s->bad_record_at = 2;
        s->reason = "Compacted topic cannot accept message without key";
        const struct produce_response *p =
            client_ask(&c, PRODUCE, version, produce_to(bed, t, 0, 1, -1, batch_of(bed, 3, 1)));
        assert_int_equal(produced(p, 0)->error_code, 87);
        assert_int_equal(produced(p, 0)->record_errors_n, version >= 8 ? 1 : 0);
        if (version < 8)
            continue;
        assert_int_equal(produced(p, 0)->record_errors[0].batch_index, 2);
        assert_true(bytes_equal_string(produced(p, 0)->record_errors[0].batch_index_error_message,
                                       s->reason));
        assert_non_null(produced(p, 0)->error_message.ptr);
    }
    client_close(&c);
    bed_free(bed);
}

/* Trap 28: a duplicate is answered with the original's offset. */
static void trap_28_duplicate_has_the_first_offset(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    client_ask(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, -1, batch_of(bed, 5, 123)));
    bed->workers[0].store->duplicate_base = 0;
    const struct produce_response *p =
        client_ask(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, -1, batch_of(bed, 5, 123)));
    assert_int_equal(produced(p, 0)->error_code, 0);
    assert_int_equal(produced(p, 0)->base_offset, 0);
    assert_int_equal(produced(p, 0)->log_append_time_ms, 123);
    assert_int_equal(bed_log(bed, t, 0)->o.end, 5);
    client_close(&c);
    bed_free(bed);
}

/* acks, durability: answered when written, or durable. */
static void acks_wait_for(struct bed *bed, int16_t acks, uint8_t durability, bool is_written_enough)
{
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct store *s = bed->workers[0].store;
    struct plog *log = bed_log(bed, t, 0);
    struct client c = client_connect(bed);
    s->is_instant = false;
    log->durability = durability;
    int32_t id = client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, acks, batch_of(bed, 1, 1)));
    assert_false(client_waits(&c, 5));
    assert_int_equal(bed->workers[0].kafka->small_bytes, 0); /* the frame went when it was placed */
    fake_written(log, bed->now);
    assert_int_equal(client_waits(&c, 5), is_written_enough);
    fake_durable(log, bed->now);
    const struct produce_response *p = client_answer(&c, PRODUCE, 9, id);
    assert_int_equal(produced(p, 0)->error_code, 0);
    client_close(&c);
    bed_free(bed);
}

static void acks_all_in_a_group_log_waits_for_durable(void **state)
{
    (void)state;
    acks_wait_for(bed_new(1), -1, STORE_GROUP, false);
    acks_wait_for(bed_new(1), -1, STORE_RELAXED, true);
}

static void acks_one_waits_for_written(void **state)
{
    (void)state;
    acks_wait_for(bed_new(1), 1, STORE_GROUP, true);
    acks_wait_for(bed_new(1), 1, STORE_RELAXED, true);
}

static void timeout_is_answered_and_the_batch_stays(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed->workers[0].store->is_instant = false;
    struct produce_request *q = produce_to(bed, t, 0, 1, -1, batch_of(bed, 1, 1));
    q->timeout_ms = 1500;
    int32_t id = client_send(&c, PRODUCE, 9, q);
    assert_false(client_waits(&c, 1400));
    assert_true(client_waits(&c, 200));
    const struct produce_response *p = client_answer(&c, PRODUCE, 9, id);
    assert_int_equal(produced(p, 0)->error_code, 7);
    assert_int_equal(bed_log(bed, t, 0)->o.end, 1);
    assert_true(list_is_empty(&bed_log(bed, t, 0)->waits));
    client_close(&c);
    bed_free(bed);
}

static void log_that_fails_while_waited_for_is_a_storage_error(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed->workers[0].store->is_instant = false;
    int32_t id = client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, -1, batch_of(bed, 1, 1)));
    bed_turns(bed, 3);
    fake_wake(bed_log(bed, t, 0), E_STORAGE, bed->now);
    const struct produce_response *p = client_answer(&c, PRODUCE, 9, id);
    assert_int_equal(produced(p, 0)->error_code, 56);
    client_close(&c);
    bed_free(bed);
}

static void trap_11_acks_zero_has_no_answer_and_errors_close(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, 0, batch_of(bed, 1, 1)));
    /* The next answer is the next request's: the skipped slot held nothing up. */
    const struct produce_response *p =
        client_ask(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, -1, batch_of(bed, 1, 1)));
    assert_int_equal(produced(p, 0)->base_offset, 1);
    client_send(&c, PRODUCE, 9, produce_to(bed, t, 5, 1, 0, batch_of(bed, 1, 1)));
    client_expect_end(&c);
    assert_int_equal(conns_stats(bed->workers[0].conns)->ends[CONN_END_ACKS0], 1);
    client_close(&c);
    bed_free(bed);
}

static void acks_zero_then_close_is_still_appended(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed->workers[0].store->is_full = true;
    client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, 0, batch_of(bed, 1, 1)));
    bed_turns(bed, 2);
    client_close(&c);
    bed_turns(bed, 3);
    bed->workers[0].store->is_full = false;
    bed_turns(bed, 3);
    assert_int_equal(bed_log(bed, t, 0)->o.end, 1);
    bed_free(bed);
}

/* Two requests of one connection while the store has no room: the log gets them in request order.
 */
static void order_per_partition_holds_when_the_log_is_full(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 3);
        struct client c = client_connect(bed);
        for (uint8_t i = 0; i < workers_n; i++)
            bed->workers[i].store->is_full = true;
        int32_t ids[ORDERED_N];
        send_ordered(bed, t, &c, ids);
        bed_turns(bed, 5);
        for (uint8_t i = 0; i < workers_n; i++)
            bed->workers[i].store->is_full = false;
        check_order(&c, ids);
        client_close(&c);
        bed_free(bed);
    }
}

/* What there is room for passes what waits, but never for a partition that somebody waits for. */
static void batch_with_room_passes_those_that_wait(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct client c[4];
    int32_t ids[4];
    for (int i = 0; i < 4; i++)
        c[i] = client_connect(bed);
    bed->workers[0].store->is_full = true;
    bed_log(bed, t, 1)->has_room = true;
    ids[0] = client_send(&c[0], PRODUCE, 9, produce_to(bed, t, 0, 1, 1, batch_of(bed, 1, 1)));
    bed_turns(bed, 2);
    ids[1] = client_send(&c[1], PRODUCE, 9, produce_to(bed, t, 1, 1, 1, batch_of(bed, 2, 1)));
    const struct produce_response *p = client_answer(&c[1], PRODUCE, 9, ids[1]);
    assert_int_equal(produced(p, 0)->base_offset, 0);
    /* Both partitions, then the second alone: it may not pass, although there is room. */
    ids[2] = client_send(&c[2], PRODUCE, 9, produce_to(bed, t, 0, 2, 1, batch_of(bed, 3, 1)));
    bed_turns(bed, 2);
    ids[3] = client_send(&c[3], PRODUCE, 9, produce_to(bed, t, 1, 1, 1, batch_of(bed, 4, 1)));
    bed_turns(bed, 5);
    assert_int_equal(bed_log(bed, t, 1)->o.end, 2);
    assert_false(client_has_answer(&c[3]));
    bed->workers[0].store->is_full = false;
    p = client_answer(&c[3], PRODUCE, 9, ids[3]);
    assert_int_equal(produced(p, 0)->base_offset, 2 + 3);
    p = client_answer(&c[2], PRODUCE, 9, ids[2]);
    assert_int_equal(produced(p, 0)->base_offset, 1);
    assert_int_equal(produced(p, 1)->base_offset, 2);
    p = client_answer(&c[0], PRODUCE, 9, ids[0]);
    assert_int_equal(produced(p, 0)->base_offset, 0);
    for (int i = 0; i < 4; i++)
        client_close(&c[i]);
    bed_free(bed);
}

/* ── very many partitions ── */

enum { MANY = 3 * BEGIN_UNITS_TURN };

/* MANY partitions: unknown ones (5 and more), but for partition 0, which comes last. */
static struct produce_request *produce_many(struct bed *bed, const struct view_topic *t,
                                            struct slices batch)
{
    struct produce_request *q = produce_to(bed, t, 5, MANY, 1, batch);
    q->topic_data->partition_data[MANY - 1].index = 0;
    return q;
}

/* It is planned over several turns, in which others are served; what its connection sends behind it
 * does not pass it. */
static void request_with_many_partitions_takes_turns_and_keeps_its_place(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 2);
        struct client c = client_connect(bed), other = client_connect(bed);
        int32_t ids[2];
        ids[0] = client_send(&c, PRODUCE, 9, produce_many(bed, t, batch_of(bed, 1, 1)));
        ids[1] = client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, 1, batch_of(bed, 1, 1)));
        for (int i = 0; i < 20 && bed->workers[0].kafka->states_n[REQUEST_WAITING] == 0; i++)
            bed_turn(bed);
        assert_int_equal(bed->workers[0].kafka->states_n[REQUEST_WAITING], 1);
        int32_t id =
            client_send(&other, PRODUCE, 9, produce_to(bed, t, 1, 1, 1, batch_of(bed, 1, 1)));
        bed_turns(bed, 2);
        assert_int_equal(bed_log(bed, t, 0)->o.end, 0);
        assert_true(bed_stat(bed, STAT_REQUESTS) <= 2); /* the next of its connection waits */
        const struct produce_response *p = client_answer(&other, PRODUCE, 9, id);
        assert_int_equal(produced(p, 0)->error_code, 0);
        p = client_answer(&c, PRODUCE, 9, ids[0]);
        assert_int_equal(produced(p, 0)->error_code, 3);
        assert_int_equal(produced(p, MANY - 1)->base_offset, 0);
        p = client_answer(&c, PRODUCE, 9, ids[1]);
        assert_int_equal(produced(p, 0)->base_offset, 1);
        client_close(&c);
        client_close(&other);
        bed_free(bed);
    }
}

static void closing_while_many_partitions_are_planned_releases_everything(void **state)
{
    (void)state;
    for (uint32_t turns = 0; turns < 8; turns++) {
        struct bed *bed = bed_new(1);
        struct view_topic *t = bed_topic(bed, "t", 2);
        struct client c = client_connect(bed);
        client_send(&c, PRODUCE, 9, produce_many(bed, t, batch_of(bed, 1, 1)));
        client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, 1, batch_of(bed, 1, 1)));
        bed_turns(bed, turns);
        bed_reset_conns(bed, 0);
        bed_turns(bed, 10);
        assert_true(kafka_is_quiet(bed->workers[0].kafka));
        client_close(&c);
        bed_free(bed);
    }
}

static void three_workers_place_at_home_and_answer_together(void **state)
{
    (void)state;
    struct bed *bed = bed_new(3);
    struct view_topic *t = bed_topic(bed, "t", 9);
    struct client c = client_connect_to(bed, 1, 0);
    for (int i = 0; i < 3; i++)
        bed->workers[i].store->is_instant = false;
    int32_t id = client_send(&c, PRODUCE, 13, produce_to(bed, t, 0, 9, -1, batch_of(bed, 2, 1)));
    bed_turns(bed, 5);
    for (int i = 0; i < 9; i++)
        assert_int_equal(bed_log(bed, t, i)->o.end, 2);
    assert_int_equal(bed->workers[1].kafka->small_bytes,
                     0); /* all placed: the frame is gone, nothing is durable */
    assert_false(client_has_answer(&c));
    fake_durable_all(bed->workers[0].store, bed->now);
    fake_durable_all(bed->workers[1].store, bed->now);
    assert_false(client_waits(&c, 5));
    fake_durable_all(bed->workers[2].store, bed->now);
    const struct produce_response *p = client_answer(&c, PRODUCE, 13, id);
    for (int i = 0; i < 9; i++)
        assert_int_equal(produced(p, i)->error_code, 0);
    client_close(&c);
    bed_free(bed);
}

static void acks_zero_at_a_remote_home_is_placed_and_released(void **state)
{
    (void)state;
    struct bed *bed = bed_new(3);
    struct view_topic *t = bed_topic(bed, "t", 3);
    struct client c = client_connect(bed);
    client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 3, 0, batch_of(bed, 1, 1)));
    bed_turns(bed, 6);
    for (int i = 0; i < 3; i++)
        assert_int_equal(bed_log(bed, t, i)->o.end, 1);
    for (int i = 0; i < 3; i++)
        assert_true(kafka_is_quiet(bed->workers[i].kafka));
    assert_false(client_has_answer(&c));
    client_close(&c);
    bed_free(bed);
}

static void topic_deleted_after_the_view_is_unknown(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    fake_log_drop(bed_log(bed, t, 0), bed->now);
    assert_int_equal(code_of(bed, &c, 9, produce_to(bed, t, 0, 1, -1, batch_of(bed, 1, 1))), 3);
    client_close(&c);
    bed_free(bed);
}

/* The first partition is placed, the second finds no room; meanwhile the first one's log goes. */
static void topic_deleted_while_the_rest_of_its_request_waits_is_unknown(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct store *store = bed->workers[0].store;
    struct client c = client_connect(bed);
    bed_log(bed, t, 0)->has_room = true;
    store->is_full = true;
    int32_t id = client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 2, -1, batch_of(bed, 1, 1)));
    bed_turns(bed, 3);
    assert_int_equal(bed_log(bed, t, 0)->o.end, 1);
    assert_int_equal(bed_log(bed, t, 1)->o.end, 0);
    fake_log_drop(bed_log(bed, t, 0), bed->now);
    store->is_full = false;
    const struct produce_response *p = client_answer(&c, PRODUCE, 9, id);
    assert_int_equal(produced(p, 0)->error_code, 3);
    assert_int_equal(produced(p, 1)->error_code, 0);
    client_close(&c);
    bed_free(bed);
}

/* The connection closes after any number of turns of a produce that nobody finishes: nothing stays.
 */
static void closing_at_any_turn_releases_everything(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        for (uint32_t turns = 0; turns < 8; turns++) {
            for (int mode = 0; mode < 3; mode++) { /* full, not durable, durable */
                struct bed *bed = bed_new(workers_n);
                struct view_topic *t = bed_topic(bed, "t", 6);
                struct client c = client_connect(bed);
                for (uint8_t i = 0; i < workers_n; i++) {
                    bed->workers[i].store->is_full = mode == 0;
                    bed->workers[i].store->is_instant = mode == 2;
                }
                for (int i = 0; i < 3; i++)
                    client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 6, -1, batch_of(bed, 1, 1)));
                bed_turns(bed, turns);
                bed_reset_conns(bed, 0);
                bed_turns(bed, 3);
                for (uint8_t i = 0; i < workers_n; i++)
                    bed->workers[i].store->is_full = false;
                bed_turns(bed, 3);
                for (uint8_t i = 0; i < workers_n; i++)
                    fake_durable_all(bed->workers[i].store, bed->now);
                client_close(&c);
                bed_free(bed);
            }
        }
    }
}

/* Stages rise in their order and land in the histograms. */
static void stages_are_counted_per_api(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed->workers[0].store->is_instant = false;
    assert_null(kafka_histogram(bed->workers[0].kafka, PRODUCE, STAGE_FLUSHED));
    int32_t id = client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, -1, batch_of(bed, 1, 1)));
    bed_turns(bed, 10);
    fake_written(bed_log(bed, t, 0), bed->now);
    bed_turns(bed, 20);
    fake_durable(bed_log(bed, t, 0), bed->now);
    client_answer(&c, PRODUCE, 9, id);
    bed_turns(bed, 3);
    const struct histogram *h = kafka_histogram(bed->workers[0].kafka, PRODUCE, STAGE_WRITTEN);
    assert_non_null(h);
    assert_int_equal(h->n, 1);
    assert_in_range(h->max, 9 * NS_PER_MS, 11 * NS_PER_MS);
    h = kafka_histogram(bed->workers[0].kafka, PRODUCE, STAGE_FLUSHED);
    assert_in_range(h->max, 19 * NS_PER_MS, 21 * NS_PER_MS);
    h = kafka_histogram(bed->workers[0].kafka, PRODUCE, STAGES_N);
    assert_in_range(h->max, 29 * NS_PER_MS, 33 * NS_PER_MS);
    assert_null(kafka_histogram(bed->workers[0].kafka, 1, STAGES_N));
    assert_null(kafka_histogram(bed->workers[0].kafka, 999, STAGES_N));
    client_close(&c);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_version_appends_and_is_answered),
        TEST(trap_1_produce_v2_closes_the_connection),
        TEST(refusals_carry_kafkas_codes),
        TEST(verdicts_of_the_log_reach_the_client),
        TEST(trap_13_bad_record_is_named_from_v8_on),
        TEST(trap_28_duplicate_has_the_first_offset),
        TEST(acks_all_in_a_group_log_waits_for_durable),
        TEST(acks_one_waits_for_written),
        TEST(timeout_is_answered_and_the_batch_stays),
        TEST(log_that_fails_while_waited_for_is_a_storage_error),
        TEST(trap_11_acks_zero_has_no_answer_and_errors_close),
        TEST(acks_zero_then_close_is_still_appended),
        TEST(order_per_partition_holds_when_the_log_is_full),
        TEST(batch_with_room_passes_those_that_wait),
        TEST(request_with_many_partitions_takes_turns_and_keeps_its_place),
        TEST(closing_while_many_partitions_are_planned_releases_everything),
        TEST(three_workers_place_at_home_and_answer_together),
        TEST(acks_zero_at_a_remote_home_is_placed_and_released),
        TEST(topic_deleted_after_the_view_is_unknown),
        TEST(topic_deleted_while_the_rest_of_its_request_waits_is_unknown),
        TEST(closing_at_any_turn_releases_everything),
        TEST(stages_are_counted_per_api),
    };
    bed_unused();
    return TESTS_RUN(tests);
}
