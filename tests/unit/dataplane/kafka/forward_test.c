/*
 * forward_test.c - requests that go to control and come back.
 */
#include "kafka_bed.h"

enum { CREATE_TOPICS = 19, DELETE_TOPICS = 20, INIT_PRODUCER_ID = 22, DESCRIBE_CONFIGS = 32 };

static struct create_topics_request *create_of(struct bed *bed, const char *name)
{
    struct create_topics_request *q = PROTO_NEW(&bed->arena, create_topics_request, 1);
    q->topics = PROTO_NEW(&bed->arena, create_topics_request_topics, 1);
    q->topics_n = 1;
    q->topics->name = bytes_of_string(name);
    q->topics->num_partitions = 1;
    q->topics->replication_factor = 1;
    return q;
}

static void trap_18_created_topics_have_one_result_each(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct client c = client_connect_to(bed, (uint8_t)(workers_n - 1), 0);
        const struct create_topics_response *p;
        for (int16_t version = 2; version <= 7; version++) {
            p = client_ask(&c, CREATE_TOPICS, version,
                           create_of(bed, version == 2 ? "new" : "new2"));
            assert_int_equal(p->topics_n, 1); /* trap 18: one result per topic */
            assert_int_equal(p->topics->error_code, version <= 3 ? 0 : 36);
        }
        assert_int_equal(bed->view.topics_n, 2);
        client_close(&c);
        bed_free(bed);
    }
}

static void each_forwarded_api_reaches_control_with_who_asked(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    bed->is_control_slow = true;
    struct init_producer_id_request q = {
        .transactional_id = {NULL, 0}, .producer_id = -1, .producer_epoch = -1};
    int32_t id = client_send(&c, INIT_PRODUCER_ID, 4, &q);
    bed_turns(bed, 3);
    struct control_op *op =
        container_of(list_first(&bed->at_control, struct mail, link), struct control_op, mail);
    assert_int_equal(op->api_key, INIT_PRODUCER_ID);
    assert_int_equal(op->api_version, 4);
    assert_true(bytes_equal_string(op->client_id, "test"));
    assert_int_equal(op->client_host[0], '/');
    assert_null(strchr(op->client_host, ':'));
    assert_ptr_equal(op->listener, &bed->listeners[0]);
    assert_int_equal(((const struct init_producer_id_request *)op->request)->producer_id, -1);
    bed->is_control_slow = false;
    client_answer(&c, INIT_PRODUCER_ID, 4, id);
    client_close(&c);
    bed_free(bed);
}

static void null_response_closes_the_connection(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    bed->is_control_refusing = true;
    client_send(&c, CREATE_TOPICS, 7, create_of(bed, "x"));
    client_expect_end(&c);
    client_close(&c);
    bed_free(bed);
}

/* A tenth of the places stays free for heartbeats; the others wait in order. */
static void requests_beyond_controls_places_wait(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    bed->is_control_slow = true;
    int32_t ids[15];
    for (int i = 0; i < 15; i++)
        ids[i] = client_send(&c, CREATE_TOPICS, 7, create_of(bed, "same"));
    bed_turns(bed, 5);
    assert_int_equal(bed->workers[0].kafka->control_n, 9); /* of 10 */
    uint32_t n = 0;
    list_for_each(l, next, &bed->at_control)
        n++;
    assert_int_equal(n, 9);
    bed->is_control_slow = false;
    for (int i = 0; i < 15; i++) {
        const struct create_topics_response *p = client_answer(&c, CREATE_TOPICS, 7, ids[i]);
        assert_int_equal(p->topics->error_code, i == 0 ? 0 : 36);
    }
    client_close(&c);
    bed_free(bed);
}

/* Control takes nothing: what is for it waits, in order, and is counted; heartbeats still find a
 * place; partitions do not notice. */
static void full_control_delays_no_partition(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client admin = client_connect(bed), member = client_connect(bed),
                  producer = client_connect(bed);
    struct heartbeat_request beat = {.group_id = bytes_of_string("g"),
                                     .member_id = bytes_of_string("m")};
    bed->is_control_slow = true;
    int32_t ids[12], beat_id;
    for (int i = 0; i < 12; i++)
        ids[i] = client_send(&admin, CREATE_TOPICS, 7, create_of(bed, "same"));
    bed_turns(bed, 5);
    assert_int_equal(bed->workers[0].kafka->control_n, 9); /* of 10 */
    assert_int_equal(bed_stat(bed, STAT_CONTROL_WAITS), 3);
    for (int i = 0; i < 3; i++) {
        struct produce_request *q = produce_to(bed, t, 0, 1, -1, batch_of(bed, 3, 100));
        const struct produce_response *p = client_ask(&producer, 0, 11, q);
        assert_int_equal(produced(p, 0)->error_code, 0);
    }
    beat_id = client_send(&member, 12, 4, &beat);
    bed_turns(bed, 5);
    assert_int_equal(bed->workers[0].kafka->control_n, 10);
    assert_int_equal(bed_stat(bed, STAT_CONTROL_WAITS), 3);
    bed->is_control_slow = false;
    assert_non_null(client_answer(&member, 12, 4, beat_id));
    for (int i = 0; i < 12; i++)
        assert_non_null(client_answer(&admin, CREATE_TOPICS, 7, ids[i]));
    client_close(&admin);
    client_close(&member);
    client_close(&producer);
    bed_free(bed);
}

static struct join_group_request join_of(void)
{
    return (struct join_group_request){.group_id = bytes_of_string("g"),
                                       .member_id = bytes_of_string(""),
                                       .protocol_type = bytes_of_string("consumer")};
}

/* JoinGroups that wait for other members take nobody else's place. */
static void joins_have_places_of_their_own(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed), other = client_connect(bed);
    struct join_group_request q = join_of();
    bed->is_control_slow = true;
    for (int i = 0; i < 12; i++)
        client_send(&c, 11, 9, &q);
    bed_turns(bed, 5);
    assert_in_range(bed->workers[0].kafka->join_n, 10, 12);
    assert_int_equal(bed->workers[0].kafka->control_n, 0);
    int32_t id = client_send(&other, CREATE_TOPICS, 7, create_of(bed, "x"));
    bed_turns(bed, 2);
    assert_int_equal(bed->workers[0].kafka->control_n, 1);
    bed_reset_conns(bed, 0);
    bed_turns(bed, 5);
    assert_int_equal(bed->workers[0].kafka->join_n, 0);
    assert_in_range(bed->cancelled_n, 10, 12);
    (void)id;
    client_close(&c);
    client_close(&other);
    bed_free(bed);
}

/* A generation is complete: everybody is answered, half requests_per_turn in a turn; the heartbeat
 * behind them all goes out with the first portion. */
static void crowd_of_answers_lets_a_heartbeat_pass(void **state)
{
    (void)state;
    enum { CONNS = 3, EACH = 8 };
    struct bed *bed = bed_new(1);
    struct kafka *k = bed->workers[0].kafka;
    struct client c[CONNS], member;
    int32_t ids[CONNS][EACH], beat_id;
    struct join_group_request q = join_of();
    struct heartbeat_request beat = {.group_id = bytes_of_string("g"),
                                     .member_id = bytes_of_string("m")};
    k->config.requests_per_turn = 8;
    for (int i = 0; i < CONNS; i++)
        c[i] = client_connect(bed);
    member = client_connect(bed);
    bed->is_control_slow = true;
    for (int n = 0; n < EACH; n++)
        for (int i = 0; i < CONNS; i++)
            ids[i][n] = client_send(&c[i], 11, 9, &q);
    bed_turns(bed, 20);
    assert_int_equal(k->join_n, CONNS * EACH);
    beat_id = client_send(&member, 12, 4, &beat);
    bed_turns(bed, 4);
    bed->is_control_slow = false;
    uint32_t turns = 0;
    for (; !client_has_answer(&member) && turns < 100; turns++)
        bed_turn(bed);
    assert_in_range(turns, 1, 3);
    assert_int_equal(k->join_n, 0); /* all are back from control ... */
    assert_true(k->states_n[REQUEST_WAITING] >= CONNS * EACH - 3 * 4); /* ... few went on */
    assert_non_null(client_answer(&member, 12, 4, beat_id));
    for (int n = 0; n < EACH; n++)
        for (int i = 0; i < CONNS; i++)
            assert_non_null(client_answer(&c[i], 11, 9, ids[i][n]));
    for (int i = 0; i < CONNS; i++)
        client_close(&c[i]);
    client_close(&member);
    bed_free(bed);
}

static void join_of_a_closed_connection_comes_back(void **state)
{
    (void)state;
    for (uint32_t turns = 0; turns < 4; turns++) {
        struct bed *bed = bed_new(1);
        struct client c = client_connect(bed);
        struct join_group_request q = join_of();
        bed->is_control_slow = true;
        client_send(&c, 11, 9, &q);
        bed_turns(bed, turns);
        bed_reset_conns(bed, 0);
        bed_turns(bed, 6);
        assert_true(kafka_is_quiet(bed->workers[0].kafka));
        assert_in_range(bed->cancelled_n, turns < 2 ? 0 : 1, 1);
        client_close(&c);
        bed_free(bed);
    }
}

static void closing_at_any_turn_releases_everything(void **state)
{
    (void)state;
    for (uint32_t turns = 0; turns < 6; turns++) {
        for (int is_slow = 0; is_slow < 2; is_slow++) {
            struct bed *bed = bed_new(1);
            struct client c = client_connect(bed);
            bed->is_control_slow = is_slow == 1;
            for (int i = 0; i < 15; i++)
                client_send(&c, CREATE_TOPICS, 7, create_of(bed, "same"));
            struct metadata_request q = {NULL, 0, true, false, false};
            struct metadata_request_topics name = {.name = bytes_of_string("auto")};
            q.topics = &name;
            q.topics_n = 1;
            client_send(&c, 3, 12, &q); /* one that creates on the way */
            bed_turns(bed, turns);
            bed_reset_conns(bed, 0);
            bed_turns(bed, 3);
            client_close(&c);
            bed->is_control_slow = false;
            bed_turns(bed, 5);
            assert_true(kafka_is_quiet(bed->workers[0].kafka));
            bed_free(bed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(trap_18_created_topics_have_one_result_each),
        TEST(each_forwarded_api_reaches_control_with_who_asked),
        TEST(null_response_closes_the_connection),
        TEST(requests_beyond_controls_places_wait),
        TEST(full_control_delays_no_partition),
        TEST(joins_have_places_of_their_own),
        TEST(crowd_of_answers_lets_a_heartbeat_pass),
        TEST(join_of_a_closed_connection_comes_back),
        TEST(closing_at_any_turn_releases_everything),
    };
    bed_unused();
    return TESTS_RUN(tests);
}
