/*
 * produce_bulk_test.c - Produce whose batches go by the bulk helper first (compression, judging):
 * order, who passes, what is given up meanwhile.
 */
#include "produce_bed.h"

static struct bed *packing_bed(uint8_t workers_n, int32_t partitions_n, struct view_topic **t)
{
    struct bed *bed = bed_new(workers_n);
    *t = bed_topic(bed, "t", partitions_n);
    bed_log(bed, *t, 0)->is_packed = true;
    return bed;
}

/* More than bulk has places for, of one partition: placed in request order, whoever passes. */
static void order_per_partition_holds_while_bulk_works(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct view_topic *t;
        struct bed *bed = packing_bed(workers_n, 3, &t);
        struct store *home = bed_log(bed, t, 0)->store;
        struct client c = client_connect(bed);
        int32_t ids[ORDERED_N];
        send_ordered(bed, t, &c, ids);
        bed_turns(bed, 5);
        assert_false(client_has_answer(&c));
        assert_int_equal(bed_log(bed, t, 0)->o.end, 0);
        assert_int_equal(fake_repacked(home, 0), 4); /* asked ahead */
        bed_turns(bed, 5);
        assert_int_equal(bed_log(bed, t, 0)->o.end, 1 + 2 + 3 + 4);
        assert_int_equal(fake_repacked(home, 0), 2);
        check_order(&c, ids);
        client_close(&c);
        bed_free(bed);
    }
}

/* 100 requests are held; one for another partition is answered meanwhile, one for the same waits.
 */
static void others_pass_what_bulk_works_for_however_many_those_are(void **state)
{
    (void)state;
    struct kafka_config config = bed_config();
    config.requests_max = 200;
    struct bed *bed = bed_new_with(1, &config);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct client held[10], c = client_connect(bed);
    bed_log(bed, t, 0)->is_packed = true;
    int32_t ids[100];
    for (int i = 0; i < 100; i++) {
        if (i % 10 == 0)
            held[i / 10] = client_connect(bed);
        ids[i] = client_send(&held[i / 10], PRODUCE, 9,
                             produce_to(bed, t, 0, 1, 1, batch_of(bed, 1, 1)));
    }
    bed_turns(bed, 20);
    const struct produce_response *p =
        client_ask(&c, PRODUCE, 9, produce_to(bed, t, 1, 1, 1, batch_of(bed, 1, 1)));
    assert_int_equal(produced(p, 0)->base_offset, 0);
    int32_t both = client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 2, 1, batch_of(bed, 5, 1)));
    bed_turns(bed, 5);
    int32_t after = client_send(&c, PRODUCE, 9, produce_to(bed, t, 1, 1, 1, batch_of(bed, 1, 1)));
    bed_turns(bed, 5);
    assert_int_equal(bed_log(bed, t, 1)->o.end, 1); /* neither passes the one for both */
    for (int i = 0; i < 30; i++) {
        fake_repacked(bed->workers[0].store, 0);
        bed_turns(bed, 2);
    }
    int64_t last = -1;
    for (int i = 0; i < 100; i++) {
        p = client_answer(&held[i / 10], PRODUCE, 9, ids[i]);
        assert_int_equal(produced(p, 0)->error_code, 0);
        assert_true(i % 10 == 0 || produced(p, 0)->base_offset > last);
        last = produced(p, 0)->base_offset;
    }
    p = client_answer(&c, PRODUCE, 9, both);
    assert_int_equal(produced(p, 0)->base_offset, 100);
    assert_int_equal(produced(p, 1)->base_offset, 1);
    p = client_answer(&c, PRODUCE, 9, after);
    assert_int_equal(produced(p, 0)->base_offset, 6);
    for (int i = 0; i < 10; i++)
        client_close(&held[i]);
    client_close(&c);
    bed_free(bed);
}

static void refusal_by_bulk_is_of_its_partition_alone(void **state)
{
    (void)state;
    struct view_topic *t;
    struct bed *bed = packing_bed(1, 2, &t);
    struct client c = client_connect(bed);
    int32_t id = client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 2, 1, batch_of(bed, 1, 1)));
    bed_turns(bed, 3);
    fake_repacked(bed->workers[0].store, E_CORRUPT);
    const struct produce_response *p = client_answer(&c, PRODUCE, 9, id);
    assert_int_equal(produced(p, 0)->error_code, 2);
    assert_int_equal(produced(p, 1)->error_code, 0);
    assert_int_equal(bed_log(bed, t, 0)->o.end, 0);
    client_close(&c);
    bed_free(bed);
}

/* The deadline comes while bulk reads the batch in its frame: the answer waits for it. */
static void timeout_waits_for_the_bytes_that_bulk_reads(void **state)
{
    (void)state;
    struct view_topic *t;
    struct bed *bed = packing_bed(1, 1, &t);
    struct client c = client_connect(bed);
    struct produce_request *q = produce_to(bed, t, 0, 1, -1, batch_of(bed, 1, 1));
    q->timeout_ms = 1500;
    int32_t id = client_send(&c, PRODUCE, 9, q);
    assert_false(client_waits(&c, 2000));
    assert_int_equal(bed->workers[0].kafka->states_n[REQUEST_WAITING], 1);
    int32_t next = client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, 1, batch_of(bed, 1, 1)));
    bed_turns(bed, 3);
    assert_int_equal(fake_repacked(bed->workers[0].store, 0), 2);
    assert_int_equal(produced(client_answer(&c, PRODUCE, 9, id), 0)->error_code, 7);
    assert_int_equal(produced(client_answer(&c, PRODUCE, 9, next), 0)->base_offset, 0);
    assert_int_equal(bed_log(bed, t, 0)->o.end, 1);
    client_close(&c);
    bed_free(bed);
}

static void topic_deleted_while_bulk_works_is_unknown(void **state)
{
    (void)state;
    struct view_topic *t;
    struct bed *bed = packing_bed(1, 1, &t);
    struct store *store = bed->workers[0].store;
    struct client c = client_connect(bed);
    int32_t id = client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 1, 1, batch_of(bed, 1, 1)));
    bed_turns(bed, 3);
    fake_log_drop(bed_log(bed, t, 0), bed->now);
    bed_turns(bed, 5);
    assert_false(client_has_answer(&c));
    assert_int_equal(fake_repacked(store, 0), 1);
    assert_int_equal(produced(client_answer(&c, PRODUCE, 9, id), 0)->error_code, 3);
    for (size_t i = 0; i < array_n(store->repacks); i++)
        assert_false(store->repacks[i].is_used);
    client_close(&c);
    bed_free(bed);
}

/* What bulk worked for when the connection closed is still appended, and nothing stays behind. */
static void closing_while_bulk_works_loses_nothing(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        for (uint32_t turns = 0; turns < 8; turns++) {
            struct view_topic *t;
            struct bed *bed = packing_bed(workers_n, 6, &t);
            struct store *home = bed_log(bed, t, 0)->store;
            struct client c = client_connect(bed);
            for (int i = 0; i < 3; i++)
                client_send(&c, PRODUCE, 9, produce_to(bed, t, 0, 6, -1, batch_of(bed, 1, 1)));
            bed_turns(bed, turns);
            bed_reset_conns(bed, 0);
            for (int i = 0; i < 5; i++) {
                bed_turns(bed, 3);
                fake_repacked(home, 0);
            }
            bed_turns(bed, 3);
            if (turns > 3)
                assert_int_equal(bed_log(bed, t, 0)->o.end, 3);
            for (uint8_t i = 0; i < workers_n; i++)
                fake_durable_all(bed->workers[i].store, bed->now);
            client_close(&c);
            bed_free(bed); /* checks that everything is quiet */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(order_per_partition_holds_while_bulk_works),
        TEST(others_pass_what_bulk_works_for_however_many_those_are),
        TEST(refusal_by_bulk_is_of_its_partition_alone),
        TEST(timeout_waits_for_the_bytes_that_bulk_reads),
        TEST(topic_deleted_while_bulk_works_is_unknown),
        TEST(closing_while_bulk_works_loses_nothing),
    };
    bed_unused();
    return TESTS_RUN(tests);
}
