/*
 * offsets_test.c - ListOffsets and OffsetForLeaderEpoch (error-behaviour section 7; KIP-101, 320,
 * 734, 405, 1005, 1023).
 */
#include "kafka_bed.h"

enum { LIST_OFFSETS = 2, LEADER_EPOCH = 23 };

static void bed_fill(struct bed *bed, const struct view_topic *t, int n)
{
    for (int32_t i = 0; i < t->partitions_n; i++) {
        for (int j = 0; j < n; j++) {
            struct slices batch = batch_of(bed, 1, 100 + 10 * j);
            struct append a = {.from = &batch, .bytes = (uint32_t)batch.bytes};
            assert_int_equal(plog_append(bed_log(bed, t, i), &a, bed->now), 0);
        }
    }
}

static struct list_offsets_request *list_of(struct bed *bed, struct bytes topic, int32_t n,
                                            int64_t time)
{
    struct list_offsets_request *q = PROTO_NEW(&bed->arena, list_offsets_request, 1);
    q->replica_id = -1;
    q->topics = PROTO_NEW(&bed->arena, list_offsets_request_topics, 1);
    q->topics_n = 1;
    q->topics->name = topic;
    q->topics->partitions = PROTO_NEW(&bed->arena, list_offsets_request_topics_partitions, n);
    q->topics->partitions_n = n;
    for (int32_t i = 0; i < n; i++) {
        q->topics->partitions[i].partition_index = i;
        q->topics->partitions[i].timestamp = time;
    }
    return q;
}

static const struct list_offsets_response_topics_partitions *ask_time(struct client *c,
                                                                      struct bytes topic,
                                                                      int16_t version, int64_t time)
{
    const struct list_offsets_response *p =
        client_ask(c, LIST_OFFSETS, version, list_of(c->bed, topic, 1, time));
    return p->topics->partitions;
}

static void expect(struct client *c, struct bytes topic, int16_t version, int64_t time,
                   int16_t code, int64_t offset, int64_t timestamp, int32_t epoch)
{
    const struct list_offsets_response_topics_partitions *p = ask_time(c, topic, version, time);
    assert_int_equal(p->error_code, code);
    assert_int_equal(p->offset, offset);
    assert_int_equal(p->timestamp, timestamp);
    if (version >= 4)
        assert_int_equal(p->leader_epoch, epoch);
}

static void each_kind_of_time_is_answered(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed_fill(bed, t, 5);
    bed_log(bed, t, 0)->o.start = 1;
    for (int16_t version = 1; version <= 11; version++) {
        expect(&c, t->name, version, -1, 0, 5, -1, 4);
        expect(&c, t->name, version, -2, 0, 1, -1, 4);
        expect(&c, t->name, version, 115, 0, 2, 120, 4);
        expect(&c, t->name, version, 1000, 0, -1, -1, -1);
        expect(&c, t->name, version, -3, version >= 7 ? 0 : 35, version >= 7 ? 4 : -1,
               version >= 7 ? 140 : -1, version >= 7 ? 4 : -1);
        expect(&c, t->name, version, -4, version >= 8 ? 0 : 35, version >= 8 ? 1 : -1, -1,
               version >= 8 ? 4 : -1);
        expect(&c, t->name, version, -5, version >= 9 ? 0 : 35, -1, -1, -1);
        expect(&c, t->name, version, -6, version >= 11 ? 0 : 35, -1, -1, -1);
        expect(&c, t->name, version, -7, 35, -1, -1, -1);
    }
    client_close(&c);
    bed_free(bed);
}

static void empty_topic_by_time_has_no_offset(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    expect(&c, t->name, 7, 5, 0, -1, -1, -1);
    expect(&c, t->name, 7, -3, 0, -1, -1, -1);
    expect(&c, t->name, 7, -1, 0, 0, -1, 4);
    client_close(&c);
    bed_free(bed);
}

static void committed_readers_get_the_last_stable_offset(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed_fill(bed, t, 5);
    bed_log(bed, t, 0)->o.stable = 3;
    struct list_offsets_request *q = list_of(bed, t->name, 1, -1);
    q->isolation_level = 1;
    const struct list_offsets_response *p = client_ask(&c, LIST_OFFSETS, 5, q);
    assert_int_equal(p->topics->partitions->offset, 3);
    q->topics->partitions->timestamp = 130; /* offset 3 is not visible yet */
    p = client_ask(&c, LIST_OFFSETS, 5, q);
    assert_int_equal(p->topics->partitions->offset, -1);
    q->isolation_level = 0;
    p = client_ask(&c, LIST_OFFSETS, 5, q);
    assert_int_equal(p->topics->partitions->offset, 3);
    client_close(&c);
    bed_free(bed);
}

static void refusals_carry_kafkas_codes(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    assert_int_equal(ask_time(&c, bytes_of_string("nosuch"), 9, -1)->error_code, 3);
    const struct list_offsets_response *p =
        client_ask(&c, LIST_OFFSETS, 9, list_of(bed, t->name, 2, -1));
    assert_int_equal(p->topics->partitions[0].error_code, 0);
    assert_int_equal(p->topics->partitions[1].error_code, 3);
    struct list_offsets_request *q = list_of(bed, t->name, 1, -1);
    q->topics->partitions->current_leader_epoch = 9;
    p = client_ask(&c, LIST_OFFSETS, 9, q);
    assert_int_equal(p->topics->partitions->error_code, 75);
    q->topics->partitions->current_leader_epoch = 3;
    p = client_ask(&c, LIST_OFFSETS, 9, q);
    assert_int_equal(p->topics->partitions->error_code, 74);
    q = list_of(bed, t->name, 3, -1);
    for (int i = 0; i < 3; i++)
        q->topics->partitions[i].partition_index = 0;
    p = client_ask(&c, LIST_OFFSETS, 7, q); /* a partition named three times */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(p->topics->partitions[i].error_code, 42);
        assert_int_equal(p->topics->partitions[i].offset, -1);
    }
    client_close(&c);
    bed_free(bed);
}

static void several_homes_are_asked_at_once(void **state)
{
    (void)state;
    struct bed *bed = bed_new(3);
    struct view_topic *t = bed_topic(bed, "t", 9);
    struct client c = client_connect_to(bed, 2, 0);
    bed_fill(bed, t, 3);
    static const struct {
        int64_t time, offset;
    } rows[] = {{-1, 3}, {-2, 0}, {-3, 2}, {105, 1}};
    for (size_t i = 0; i < array_n(rows); i++) {
        const struct list_offsets_response *p =
            client_ask(&c, LIST_OFFSETS, 9, list_of(bed, t->name, 9, rows[i].time));
        for (int j = 0; j < 9; j++)
            assert_int_equal(p->topics->partitions[j].offset, rows[i].offset);
    }
    client_close(&c);
    bed_free(bed);
}

static struct offset_for_leader_epoch_request *epoch_of(struct bed *bed, struct bytes topic,
                                                        int32_t epoch, int32_t current)
{
    struct offset_for_leader_epoch_request *q =
        PROTO_NEW(&bed->arena, offset_for_leader_epoch_request, 1);
    q->topics = PROTO_NEW(&bed->arena, offset_for_leader_epoch_request_topics, 1);
    q->topics_n = 1;
    q->topics->topic = topic;
    q->topics->partitions =
        PROTO_NEW(&bed->arena, offset_for_leader_epoch_request_topics_partitions, 1);
    q->topics->partitions_n = 1;
    q->topics->partitions->leader_epoch = epoch;
    q->topics->partitions->current_leader_epoch = current;
    return q;
}

static void epochs_end_where_the_next_begins(void **state)
{
    (void)state;
    static const struct {
        int32_t epoch, current;
        int16_t code;
        int32_t found;
        int64_t end;
    } rows[] = {
        {4, -1, 0, 4, 5},   {2, -1, 0, 2, 3},   {3, 4, 0, 2, 3},
        {1, -1, 0, -1, -1}, {9, -1, 0, -1, -1}, /* "leader epoch future" */
        {4, 5, 75, -1, -1}, {4, 3, 74, -1, -1},
    };
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed_fill(bed, t, 5);
    struct plog *log = bed_log(bed, t, 0);
    log->epochs[0].epoch = 2;
    log->epochs[1].epoch = 4;
    log->epochs[1].start = 3;
    log->epochs_n = 2;
    for (int16_t version = 2; version <= 4; version++) {
        for (size_t i = 0; i < array_n(rows); i++) {
            const struct offset_for_leader_epoch_response *p = client_ask(
                &c, LEADER_EPOCH, version, epoch_of(bed, t->name, rows[i].epoch, rows[i].current));
            assert_int_equal(p->topics->partitions->error_code, rows[i].code);
            assert_int_equal(p->topics->partitions->leader_epoch, rows[i].found);
            assert_int_equal(p->topics->partitions->end_offset, rows[i].end);
        }
        const struct offset_for_leader_epoch_response *p =
            client_ask(&c, LEADER_EPOCH, version, epoch_of(bed, bytes_of_string("nosuch"), 1, -1));
        assert_int_equal(p->topics->partitions->error_code, 3);
    }
    /* Earliest knows the epoch that wrote it. */
    assert_int_equal(ask_time(&c, t->name, 9, -2)->leader_epoch, 2);
    log->o.start = 3;
    assert_int_equal(ask_time(&c, t->name, 9, -2)->leader_epoch, 4);
    client_close(&c);
    bed_free(bed);
}

static void closing_at_any_turn_releases_everything(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        for (uint32_t turns = 0; turns < 6; turns++) {
            struct bed *bed = bed_new(workers_n);
            struct view_topic *t = bed_topic(bed, "t", 6);
            struct client c = client_connect(bed);
            bed_fill(bed, t, 2);
            client_send(&c, LIST_OFFSETS, 9, list_of(bed, t->name, 6, 100));
            client_send(&c, LIST_OFFSETS, 9, list_of(bed, t->name, 6, -1));
            bed_turns(bed, turns);
            bed_reset_conns(bed, 0);
            bed_turns(bed, 5);
            client_close(&c);
            for (uint8_t i = 0; i < workers_n; i++)
                assert_true(kafka_is_quiet(bed->workers[i].kafka));
            bed_free(bed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_kind_of_time_is_answered),
        TEST(empty_topic_by_time_has_no_offset),
        TEST(committed_readers_get_the_last_stable_offset),
        TEST(refusals_carry_kafkas_codes),
        TEST(several_homes_are_asked_at_once),
        TEST(epochs_end_where_the_next_begins),
        TEST(closing_at_any_turn_releases_everything),
    };
    bed_unused();
    return TESTS_RUN(tests);
}
