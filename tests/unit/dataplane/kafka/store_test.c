/*
 * store_test.c - the Kafka layer over the storage as it is: what was acknowledged can be read,
 * sequences, sizes.
 */
#define KAFKA_BED_REAL
#include "kafka_bed.h"

#include "crc.h"

enum { PRODUCE = 0, FETCH = 1, LIST_OFFSETS = 2 };

/* A batch of n records of an idempotent producer. */
static struct slices batch_by(struct bed *bed, int32_t n, int64_t producer, int16_t epoch,
                              int32_t sequence)
{
    struct slices s = batch_of(bed, n, bed->now.wall_ms);
    uint8_t *p = (uint8_t *)(uintptr_t)s.v->ptr;
    store_u64(p + 43, (uint64_t)producer);
    store_u16(p + 51, (uint16_t)epoch);
    store_u32(p + 53, (uint32_t)sequence);
    store_u32(p + BATCH_CRC_AT,
              crc_end(crc_more(CRC_INIT, p + BATCH_ATTRIBUTES_AT, s.bytes - BATCH_ATTRIBUTES_AT)));
    return s;
}

static struct slices batch_now(struct bed *bed, int32_t n)
{
    return batch_of(bed, n, bed->now.wall_ms);
}

static void produced_batches_are_fetched_byte_for_byte(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 6);
        struct client c = client_connect(bed);
        for (int i = 0; i < 20; i++) {
            const struct produce_response *p =
                client_ask(&c, PRODUCE, 9, produce_to(bed, t, 0, 6, -1, batch_now(bed, 1 + i)));
            for (int j = 0; j < 6; j++) {
                assert_int_equal(produced(p, j)->error_code, 0);
                assert_int_equal(produced(p, j)->base_offset, i * (i + 1) / 2);
            }
        }
        const struct fetch_response *p = client_ask(&c, FETCH, 13, fetch_of(bed, t, 6, 0));
        for (int j = 0; j < 6; j++) {
            const struct fetch_response_responses_partitions *part = fetched(p, j);
            assert_int_equal(part->high_watermark, 210);
            assert_int_equal(part->records.n, 1); /* of the answer as decoded */
            uint64_t at = 0;
            int64_t next = 0;
            while (at < part->records.bytes) {
                struct batch b;
                const uint8_t *from = part->records.v->ptr + at;
                assert_int_equal(batch_header(from, &b), 0);
                assert_int_equal(b.base_offset, next);
                assert_int_equal(b.leader_epoch, t->partitions[j].leader_epoch); /* trap 35 */
                assert_int_equal(b.crc, crc_end(crc_more(CRC_INIT, from + BATCH_ATTRIBUTES_AT,
                                                         b.bytes - BATCH_ATTRIBUTES_AT)));
                next = batch_last_offset(&b) + 1;
                at += b.bytes;
            }
            assert_int_equal(next, 210);
        }
        client_close(&c);
        bed_free(bed);
    }
}

static void parked_fetch_gets_what_became_durable(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct view_topic *t = bed_topic(bed, "t", 3);
        struct client c = client_connect(bed), producer = client_connect(bed);
        for (int i = 0; i < 30; i++) {
            struct fetch_request *q = fetch_of(bed, t, 3, i);
            q->max_wait_ms = 30000;
            int32_t id = client_send(&c, FETCH, 12, q);
            bed_turns(bed, 4);
            client_ask(&producer, PRODUCE, 9, produce_to(bed, t, 0, 3, -1, batch_now(bed, 1)));
            const struct fetch_response *p = client_answer(&c, FETCH, 12, id);
            uint64_t sum = 0;
            for (int j = 0; j < 3; j++)
                sum += fetched(p, j)->records.bytes;
            assert_true(sum > 0);
            bed_turns(bed, 6);
        }
        client_close(&c);
        client_close(&producer);
        bed_free(bed);
    }
}

static int16_t code_of(struct client *c, const struct view_topic *t, struct slices batch)
{
    const struct produce_response *p =
        client_ask(c, PRODUCE, 9, produce_to(c->bed, t, 0, 1, -1, batch));
    return produced(p, 0)->error_code;
}

/* The rows "idem" of error-behaviour section 6. */
static void trap_28_sequences_are_judged_as_kafka_does(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    assert_int_equal(code_of(&c, t, batch_by(bed, 1, 7, 0, 0)), 0);
    const struct produce_response *p =
        client_ask(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, -1, batch_by(bed, 1, 7, 0, 0)));
    assert_int_equal(produced(p, 0)->error_code, 0); /* the duplicate */
    assert_int_equal(produced(p, 0)->base_offset, 0);
    assert_int_equal(code_of(&c, t, batch_by(bed, 1, 7, 0, 5)), 45);
    assert_int_equal(code_of(&c, t, batch_by(bed, 1, 7, 0, 1)), 0);
    assert_int_equal(code_of(&c, t, batch_by(bed, 1, 9, 0, 3)),
                     0); /* trap 29: an unknown id may begin anywhere */
    assert_int_equal(code_of(&c, t, batch_by(bed, 1, 7, 1, 5)), 45); /* a new epoch begins at 0 */
    assert_int_equal(code_of(&c, t, batch_by(bed, 1, 7, 1, 0)), 0);
    assert_int_equal(code_of(&c, t, batch_by(bed, 1, 7, 0, 2)), 47);
    client_close(&c);
    bed_free(bed);
}

static void trap_27_sequence_goes_from_the_largest_to_zero(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    assert_int_equal(code_of(&c, t, batch_by(bed, 2, 7, 0, INT32_MAX - 2)), 0);
    assert_int_equal(code_of(&c, t, batch_by(bed, 3, 7, 0, INT32_MAX)), 0); /* INT32_MAX, 0, 1 */
    assert_int_equal(code_of(&c, t, batch_by(bed, 1, 7, 0, 2)), 0);
    client_close(&c);
    bed_free(bed);
}

static void damaged_batches_are_refused_and_leave_nothing(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    struct slices bad = batch_now(bed, 2);
    ((uint8_t *)(uintptr_t)bad.v->ptr)[70] ^= 1;
    assert_int_equal(code_of(&c, t, bad), 2); /* produce bad crc */
    struct slices two = batch_now(bed, 2), one = batch_now(bed, 2);
    struct slice v[2] = {*two.v, *one.v};
    assert_int_equal(code_of(&c, t, (struct slices){v, 2, two.bytes + one.bytes}),
                     87); /* two batches */
    struct plog_offsets o;
    plog_offsets(bed_log(bed, t, 0), &o);
    assert_int_equal(o.end, 0);
    client_close(&c);
    bed_free(bed);
}

/* Trap 14: an answer, not the end of the connection. */
static void trap_14_batch_beyond_max_message_bytes_is_10(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    struct slices large = batch_of_bytes(bed, 100);
    real_rig(bed->workers[0].store)->log_config.max_message_bytes = 80;
    plog_configure(bed_log(bed, t, 0), &real_rig(bed->workers[0].store)->log_config);
    assert_int_equal(code_of(&c, t, large), 10);
    struct plog_offsets o;
    plog_offsets(bed_log(bed, t, 0), &o);
    assert_int_equal(o.end, 0);
    real_rig(bed->workers[0].store)->log_config.max_message_bytes = 1000;
    plog_configure(bed_log(bed, t, 0), &real_rig(bed->workers[0].store)->log_config);
    assert_int_equal(code_of(&c, t, large), 0);
    client_close(&c);
    bed_free(bed);
}

static void times_are_found_in_the_files(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    int64_t begin = bed->now.wall_ms;
    for (int i = 0; i < 10; i++)
        assert_int_equal(code_of(&c, t, batch_of(bed, 1, begin + 100 * i)), 0);
    struct list_offsets_request q = {.replica_id = -1, .topics_n = 1};
    struct list_offsets_request_topics_partitions part = {0, -1, begin + 250};
    struct list_offsets_request_topics topic = {t->name, &part, 1};
    q.topics = &topic;
    const struct list_offsets_response *p = client_ask(&c, LIST_OFFSETS, 9, &q);
    assert_int_equal(p->topics->partitions->error_code, 0);
    assert_int_equal(p->topics->partitions->offset, 3);
    assert_int_equal(p->topics->partitions->timestamp, begin + 300);
    part.timestamp = -3;
    p = client_ask(&c, LIST_OFFSETS, 9, &q);
    assert_int_equal(p->topics->partitions->offset, 9);
    part.timestamp = -2;
    p = client_ask(&c, LIST_OFFSETS, 9, &q);
    assert_int_equal(p->topics->partitions->offset, 0);
    client_close(&c);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(produced_batches_are_fetched_byte_for_byte),
        TEST(parked_fetch_gets_what_became_durable),
        TEST(trap_28_sequences_are_judged_as_kafka_does),
        TEST(trap_27_sequence_goes_from_the_largest_to_zero),
        TEST(damaged_batches_are_refused_and_leave_nothing),
        TEST(trap_14_batch_beyond_max_message_bytes_is_10),
        TEST(times_are_found_in_the_files),
    };
    bed_unused();
    return TESTS_RUN(tests);
}
