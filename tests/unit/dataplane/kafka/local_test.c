/*
 * local_test.c - what the view answers: Metadata, FindCoordinator, DescribeCluster (error-behaviour
 * sections 4, 8).
 */
#include "kafka_bed.h"

enum { METADATA = 3, FIND_COORDINATOR = 10, DESCRIBE_CLUSTER = 60 };

static struct metadata_request *metadata_of(struct bed *bed, int32_t n)
{
    struct metadata_request *q = PROTO_NEW(&bed->arena, metadata_request, 1);
    q->topics = PROTO_NEW(&bed->arena, metadata_request_topics, n);
    q->topics_n = n;
    q->allow_auto_topic_creation = false;
    return q;
}

static struct metadata_request *metadata_of_name(struct bed *bed, const char *name)
{
    struct metadata_request *q = metadata_of(bed, 1);
    q->topics->name = bytes_of_string(name);
    return q;
}

static void metadata_of_every_version_names_leaders(void **state)
{
    (void)state;
    struct bed *bed = bed_new(3);
    struct view_topic *t = bed_topic(bed, "t", 5);
    struct client c = client_connect(bed);
    for (int16_t version = 0; version <= 13; version++) {
        struct metadata_request *q = metadata_of_name(bed, "t");
        q->allow_auto_topic_creation = version < 4;
        const struct metadata_response *p = client_ask(&c, METADATA, version, q);
        assert_int_equal(p->brokers_n, 1);
        assert_int_equal(p->brokers->node_id, 1);
        assert_true(bytes_equal_string(p->brokers->host, "host-0.example"));
        assert_int_equal(p->brokers->port, 9092);
        assert_null(p->brokers->rack.ptr);
        if (version >= 2)
            assert_true(bytes_equal_string(p->cluster_id, "cluster-of-the-test"));
        assert_int_equal(p->topics_n, 1);
        assert_int_equal(p->topics->error_code, 0);
        assert_true(bytes_equal(p->topics->name, t->name));
        if (version >= 10)
            assert_memory_equal(p->topics->topic_id.b, t->id.b, 16); /* trap 34: 16 raw bytes */
        assert_int_equal(p->topics->partitions_n, 5);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(p->topics->partitions[i].partition_index, i);
            assert_int_equal(p->topics->partitions[i].leader_id, 1);
            assert_int_equal(p->topics->partitions[i].leader_epoch,
                             version >= 7 ? 4 : -1); /* trap 35 */
            assert_int_equal(p->topics->partitions[i].replica_nodes_n, 1);
            assert_int_equal(p->topics->partitions[i].isr_nodes[0], 1);
            assert_int_equal(p->topics->partitions[i].offline_replicas_n, 0);
        }
    }
    client_close(&c);
    bed_free(bed);
}

/* Trap 34: an id is its 16 bytes, as they are, in questions and answers. */
static void trap_34_topic_ids_are_raw_bytes(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    for (int i = 0; i < 16; i++)
        t->id.b[i] = (uint8_t)(0xf0 + i);
    struct metadata_request *q = metadata_of(bed, 1);
    q->topics->topic_id = t->id;
    const struct metadata_response *p = client_ask(&c, METADATA, 13, q);
    assert_int_equal(p->topics->error_code, 0);
    assert_memory_equal(p->topics->topic_id.b, t->id.b, 16);
    client_close(&c);
    bed_free(bed);
}

/* Trap 35: Metadata tells the epoch that Fetch then checks. */
static void trap_35_epoch_of_metadata_is_accepted_by_fetch(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    for (int32_t epoch = 4; epoch < 7; epoch++) {
        t->partitions[0].leader_epoch = epoch; /* as after an unclean start */
        const struct metadata_response *p = client_ask(&c, METADATA, 9, metadata_of_name(bed, "t"));
        assert_int_equal(p->topics->partitions->leader_epoch, epoch);
        struct fetch_request *q = fetch_of(bed, t, 1, 0);
        q->topics->partitions->current_leader_epoch = p->topics->partitions->leader_epoch;
        const struct fetch_response *f = client_ask(&c, 1, 12, q);
        assert_int_equal(fetched(f, 0)->error_code, 0);
        q->topics->partitions->current_leader_epoch = epoch - 1;
        f = client_ask(&c, 1, 12, q);
        assert_int_equal(fetched(f, 0)->error_code, 74);
    }
    client_close(&c);
    bed_free(bed);
}

/* Trap 36. */
static void trap_36_address_is_that_of_the_listener_used(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect_to(bed, 0, 1);
    snprintf(bed->view.rack, sizeof bed->view.rack, "r1");
    const struct metadata_response *p = client_ask(&c, METADATA, 12, metadata_of(bed, 0));
    assert_true(bytes_equal_string(p->brokers->host, "host-1.example"));
    assert_int_equal(p->brokers->port, 9093);
    assert_true(bytes_equal_string(p->brokers->rack, "r1"));
    assert_int_equal(p->topics_n, 0); /* the empty list is nothing, since v1 */
    client_close(&c);
    bed_free(bed);
}

static void null_is_everything_and_so_is_empty_in_v0(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    bed_topic(bed, "b", 2);
    bed_topic(bed, "a", 1);
    struct client c = client_connect(bed);
    struct metadata_request *q = metadata_of(bed, 0);
    const struct metadata_response *p = client_ask(&c, METADATA, 0, q);
    assert_int_equal(p->topics_n, 2);
    q->topics_n = -1;
    q->topics = NULL;
    p = client_ask(&c, METADATA, 12, q);
    assert_int_equal(p->topics_n, 2);
    assert_true(bytes_equal_string(p->topics[0].name, "a"));
    assert_int_equal(p->topics[1].partitions_n, 2);
    client_close(&c);
    bed_free(bed);
}

static void refusals_carry_kafkas_codes(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    const struct metadata_response *p =
        client_ask(&c, METADATA, 12, metadata_of_name(bed, "nosuch"));
    assert_int_equal(p->topics->error_code, 3);
    p = client_ask(&c, METADATA, 12, metadata_of_name(bed, "a b"));
    assert_int_equal(p->topics->error_code, 17);
    struct metadata_request *q = metadata_of_name(bed, "a/b");
    q->allow_auto_topic_creation = true; /* not created either */
    p = client_ask(&c, METADATA, 12, q);
    assert_int_equal(p->topics->error_code, 17);
    assert_int_equal(bed->control_n, 0);
    q = metadata_of(bed, 1);
    memset(q->topics->topic_id.b, 7, 16);
    q->topics->name = (struct bytes){NULL, 0};
    p = client_ask(&c, METADATA, 12, q); /* unknown id */
    assert_int_equal(p->topics->error_code, 100);
    assert_null(p->topics->name.ptr);
    q->topics->name = t->name;
    p = client_ask(&c, METADATA, 12, q); /* the id counts, not the name */
    assert_int_equal(p->topics->error_code, 100);
    q->topics->topic_id = t->id;
    q->topics->name = (struct bytes){NULL, 0};
    p = client_ask(&c, METADATA, 12, q);
    assert_int_equal(p->topics->error_code, 0);
    assert_true(bytes_equal(p->topics->name, t->name));
    memset(q->topics->topic_id.b, 0, 16);
    p = client_ask(&c, METADATA, 12, q); /* neither */
    assert_int_equal(p->topics->error_code, -1);
    client_close(&c);
    bed_free(bed);
}

/* Trap 23: ids in v10 and v11. */
static void trap_23_ids_in_v10_are_refused(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    for (int16_t version = 10; version <= 11; version++) {
        struct metadata_request *q = metadata_of_name(bed, "t");
        q->topics->topic_id = t->id;
        const struct metadata_response *p = client_ask(&c, METADATA, version, q);
        assert_int_equal(p->topics->error_code, 42);
        memset(q->topics->topic_id.b, 0, 16);
        q->topics->name = (struct bytes){NULL, 0};
        p = client_ask(&c, METADATA, version, q);
        assert_int_equal(p->topics->error_code, 42);
    }
    client_close(&c);
    bed_free(bed);
}

/* Trap 12. */
static void trap_12_unknown_topics_are_created_when_both_sides_allow(void **state)
{
    (void)state;
    for (uint8_t workers_n = 1; workers_n <= 3; workers_n += 2) {
        struct bed *bed = bed_new(workers_n);
        struct client c = client_connect(bed);
        struct metadata_request *q = metadata_of(bed, 3);
        q->topics[0].name = bytes_of_string("new");
        q->topics[1].name = bytes_of_string("new"); /* named twice: created once */
        q->topics[2].name = bytes_of_string("newer");
        const struct metadata_response *p = client_ask(&c, METADATA, 12, q);
        assert_int_equal(p->topics[0].error_code, 3); /* the client does not allow it */
        q->allow_auto_topic_creation = true;
        bed->view.auto_create_topics = false;
        p = client_ask(&c, METADATA, 12, q);
        assert_int_equal(p->topics[0].error_code, 3); /* the broker does not */
        assert_int_equal(bed->control_n, 0);
        bed->view.auto_create_topics = true;
        p = client_ask(&c, METADATA, 12, q);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(p->topics[i].error_code, 0);
            assert_int_equal(p->topics[i].partitions_n, 1);
        }
        assert_int_equal(bed->control_n, 1);
        assert_int_equal(bed->view.topics_n, 2);
        p = client_ask(&c, METADATA, 12, q); /* now they are there */
        assert_int_equal(bed->control_n, 1);
        bed->is_control_refusing =
            true; /* not created after all: unknown, and the connection stays */
        p = client_ask(&c, METADATA, 1, metadata_of_name(bed, "more"));
        assert_int_equal(p->topics->error_code, 3);
        client_close(&c);
        bed_free(bed);
    }
}

static void partition_without_leader_is_told(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 2);
    struct client c = client_connect(bed);
    t->partitions[1].leader = -1;
    const struct metadata_response *p = client_ask(&c, METADATA, 9, metadata_of_name(bed, "t"));
    assert_int_equal(p->topics->partitions[0].error_code, 0);
    assert_int_equal(p->topics->partitions[1].error_code, 5);
    assert_int_equal(p->topics->partitions[1].isr_nodes_n, 0);
    assert_int_equal(p->topics->partitions[1].offline_replicas_n, 1);
    client_close(&c);
    bed_free(bed);
}

static void authorized_operations_only_when_asked(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    struct metadata_request *q = metadata_of_name(bed, "t");
    const struct metadata_response *p = client_ask(&c, METADATA, 8, q);
    assert_int_equal(p->topics->topic_authorized_operations, INT32_MIN);
    assert_int_equal(p->cluster_authorized_operations, INT32_MIN);
    q->include_topic_authorized_operations = q->include_cluster_authorized_operations = true;
    p = client_ask(&c, METADATA, 8, q);
    assert_int_equal(p->topics->topic_authorized_operations, 3576);
    assert_int_equal(p->cluster_authorized_operations, 8096);
    client_close(&c);
    bed_free(bed);
}

/* Asks for everything, while another client is served every turn; returns the answer and the turns.
 */
static const struct metadata_response *ask_everything(struct bed *bed, int16_t version,
                                                      uint32_t *turns)
{
    struct client c = client_connect(bed), other = client_connect(bed);
    struct metadata_request *q = metadata_of(bed, 0);
    q->topics_n = version == 0 ? 0 : -1;
    q->include_topic_authorized_operations = version >= 8;
    q->include_cluster_authorized_operations = version >= 8 && version <= 10;
    q->allow_auto_topic_creation = version < 4;
    int32_t id = client_send(&c, METADATA, version, q);
    for (*turns = 0; *turns < BED_TURNS && !client_has_answer(&c); (*turns)++) {
        int32_t mine = client_send(&other, METADATA, 12, metadata_of(bed, 0));
        bed_turn(bed);
        assert_true(client_has_answer(&other));
        client_answer(&other, METADATA, 12, mine);
    }
    const struct metadata_response *p = client_answer(&c, METADATA, version, id);
    client_close(&c);
    client_close(&other);
    return p;
}

/* 50,000 partitions over several topics: spread over turns, other clients go on meanwhile. */
static void metadata_of_50000_partitions_is_spread_over_turns(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    static const char *const names[] = {"big0", "big1", "big2", "big3", "big4"};
    uint32_t turns;
    for (size_t i = 0; i < array_n(names); i++) {
        struct view_topic *t = calloc(1, sizeof *t + 10000 * sizeof t->partitions[0]);
        t->name = bytes_of_string(names[i]);
        t->id.b[0] = (uint8_t)(i + 1);
        t->partitions_n = 10000;
        for (int j = 0; j < 10000; j++)
            t->partitions[j] = (struct view_partition){.leader = 1};
        bed->topics[bed->view.topics_n++] = t;
    }
    for (int16_t version = 0; version <= 13; version++) {
        const struct metadata_response *p = ask_everything(bed, version, &turns);
        assert_in_range(turns, 5, BED_TURNS - 1);
        assert_int_equal(p->topics_n, 5);
        for (int i = 0; i < 5; i++) {
            assert_true(bytes_equal_string(p->topics[i].name, names[i]));
            assert_int_equal(p->topics[i].partitions_n, 10000);
            assert_int_equal(p->topics[i].partitions[9999].partition_index, 9999);
            assert_int_equal(p->topics[i].topic_authorized_operations,
                             version >= 8 ? 3576 : INT32_MIN);
        }
        assert_int_equal(p->cluster_authorized_operations,
                         version >= 8 && version <= 10 ? 8096 : INT32_MIN);
        assert_int_equal(p->error_code, 0);
        assert_int_equal(p->brokers_n, 1);
    }
    bed_free(bed);
}

/* As many partitions in topics of one each: more than one piece of memory holds as structs. */
static void metadata_of_50000_topics_is_whole(void **state)
{
    (void)state;
    enum { TOPICS = 50000, NAME = 12 };
    struct bed *bed = bed_new(1);
    struct view_topic **all = calloc(TOPICS, sizeof *all), **before = bed->view.topics;
    char *names = calloc(TOPICS, NAME);
    uint32_t turns;
    for (int i = 0; i < TOPICS; i++) {
        struct view_topic *t = calloc(1, sizeof *t + sizeof t->partitions[0]);
        snprintf(names + i * NAME, NAME, "t%07d", i);
        t->name = bytes_of_string(names + i * NAME);
        t->partitions_n = 1;
        t->partitions[0] = (struct view_partition){.leader = 1};
        all[i] = t;
    }
    bed->view.topics = all;
    bed->view.topics_n = TOPICS;
    struct client c = client_connect(bed);
    struct metadata_request *q = metadata_of(bed, 0);
    q->topics_n = -1;
    client_send(&c, METADATA, 12, q);
    for (turns = 0; turns < BED_TURNS && !client_has_answer(&c); turns++)
        bed_turn(bed);
    assert_in_range(turns, 10, BED_TURNS - 1);
    assert_int_equal(c.in_n, 4 + load_u32(c.in));
    const uint8_t *at = c.in,
                  *end = c.in + c.in_n; /* too long for the codec's client side: names in order */
    for (int i = 0; i < TOPICS; i++) {
        at = memmem(at, (size_t)(end - at), all[i]->name.ptr, all[i]->name.n);
        assert_non_null(at);
    }
    client_close(&c);
    bed->view.topics = before;
    bed->view.topics_n = 0;
    for (int i = 0; i < TOPICS; i++)
        free(all[i]);
    free(all);
    free(names);
    bed_free(bed);
}

/* Topics come and go while everything is being told: each that was there all the time is told once.
 */
static void metadata_goes_on_in_a_changed_view(void **state)
{
    (void)state;
    enum { BIG = 3000 };
    struct bed *bed = bed_new(1);
    static const char *const names[] = {"a", "c", "e", "g", "i", "k"};
    struct view_topic *topics[array_n(names)];
    for (size_t i = 0; i < array_n(names); i++) {
        struct view_topic *t = calloc(1, sizeof *t + BIG * sizeof t->partitions[0]);
        t->name = bytes_of_string(names[i]);
        t->partitions_n = BIG;
        topics[i] = bed->topics[bed->view.topics_n++] = t;
    }
    struct client c = client_connect(bed);
    struct metadata_request *q = metadata_of(bed, 0);
    q->topics_n = -1;
    int32_t id = client_send(&c, METADATA, 12, q);
    bed_turn(bed);                                                        /* a and c */
    memmove(bed->topics + 1, bed->topics + 2, 4 * sizeof bed->topics[0]); /* c goes */
    free(topics[1]);
    bed->view.topics_n--;
    bed_topic(bed, "h", 1);
    bed_topic(bed, "b", 1);
    const struct metadata_response *p = client_answer(&c, METADATA, 12, id);
    static const char *const told[] = {"a", "c", "e", "g", "h", "i", "k"};
    assert_int_equal(p->topics_n, array_n(told));
    for (size_t i = 0; i < array_n(told); i++)
        assert_true(bytes_equal_string(p->topics[i].name, told[i]));
    client_close(&c);
    bed_free(bed);
}

/* ── FindCoordinator ── */

/* Control is asked to make __consumer_offsets; meanwhile there is no coordinator. */
static void coordinator_without_its_topic_is_not_available(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    struct bytes key = bytes_of_string("g1");
    struct find_coordinator_request q = {.key = key};
    const struct find_coordinator_response *p = client_ask(&c, FIND_COORDINATOR, 2, &q);
    assert_int_equal(p->error_code, 15);
    assert_int_equal(p->node_id, -1);
    q = (struct find_coordinator_request){bytes_of_string(""), 0, &key, 1};
    p = client_ask(&c, FIND_COORDINATOR, 6, &q);
    assert_int_equal(p->coordinators->error_code, 15);
    assert_int_equal(p->coordinators->node_id, -1);
    assert_int_equal(bed->control_n, 2);
    client_close(&c);
    bed_free(bed);
}

static void coordinator_of_a_group_is_this_node(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    struct bytes keys[2] = {bytes_of_string("g1"), bytes_of_string("")};
    bed_topic(bed, "__consumer_offsets", 50);
    for (int16_t version = 0; version <= 6; version++) {
        struct find_coordinator_request q = {bytes_of_string("g1"), 0, keys, 2};
        if (version >= 4)
            q.key = bytes_of_string("");
        else
            q.coordinator_keys_n = 0;
        const struct find_coordinator_response *p = client_ask(&c, FIND_COORDINATOR, version, &q);
        if (version < 4) {
            assert_int_equal(p->error_code, 0);
            assert_int_equal(p->node_id, 1);
            assert_true(bytes_equal_string(p->host, "host-0.example"));
            assert_int_equal(p->port, 9092);
            continue;
        }
        assert_int_equal(p->coordinators_n, 2);
        for (int i = 0; i < 2; i++) {
            assert_true(bytes_equal(p->coordinators[i].key, keys[i]));
            assert_int_equal(p->coordinators[i].error_code, 0);
            assert_int_equal(p->coordinators[i].node_id, 1);
        }
    }
    client_close(&c);
    bed_free(bed);
}

static void coordinator_of_other_kinds_is_refused(void **state)
{
    (void)state;
    static const struct {
        int8_t type;
        int16_t code;
    } rows[] = {{1, 53}, {2, 42}, {9, 42}};
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    struct bytes key = bytes_of_string("k");
    for (size_t i = 0; i < array_n(rows); i++) {
        struct find_coordinator_request q = {bytes_of_string(""), rows[i].type, &key, 1};
        const struct find_coordinator_response *p = client_ask(&c, FIND_COORDINATOR, 6, &q);
        assert_int_equal(p->coordinators->error_code, rows[i].code);
        assert_int_equal(p->coordinators->node_id, -1);
        q = (struct find_coordinator_request){key, rows[i].type, NULL, 0};
        p = client_ask(&c, FIND_COORDINATOR, 1, &q);
        assert_int_equal(p->error_code, rows[i].code);
    }
    client_close(&c);
    bed_free(bed);
}

/* ── DescribeCluster ── */

static void cluster_is_this_node(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect_to(bed, 0, 1);
    for (int16_t version = 0; version <= 2; version++) {
        struct describe_cluster_request q = {version > 0, 1, false};
        const struct describe_cluster_response *p = client_ask(&c, DESCRIBE_CLUSTER, version, &q);
        assert_int_equal(p->error_code, 0);
        assert_true(bytes_equal_string(p->cluster_id, "cluster-of-the-test"));
        assert_int_equal(p->controller_id, 1);
        assert_int_equal(p->brokers_n, 1);
        assert_true(bytes_equal_string(p->brokers->host, "host-1.example"));
        assert_int_equal(p->cluster_authorized_operations, version > 0 ? 8096 : INT32_MIN);
    }
    struct describe_cluster_request q = {false, 9, false};
    const struct describe_cluster_response *p = client_ask(&c, DESCRIBE_CLUSTER, 2, &q);
    assert_int_equal(p->error_code, 115);
    assert_true(bytes_equal_string(p->error_message, "Unsupported endpoint type 9"));
    q.endpoint_type = 2;
    p = client_ask(&c, DESCRIBE_CLUSTER, 2, &q);
    assert_int_equal(p->error_code, 114);
    client_close(&c);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(metadata_of_every_version_names_leaders),
        TEST(trap_34_topic_ids_are_raw_bytes),
        TEST(trap_35_epoch_of_metadata_is_accepted_by_fetch),
        TEST(trap_36_address_is_that_of_the_listener_used),
        TEST(null_is_everything_and_so_is_empty_in_v0),
        TEST(refusals_carry_kafkas_codes),
        TEST(trap_23_ids_in_v10_are_refused),
        TEST(trap_12_unknown_topics_are_created_when_both_sides_allow),
        TEST(partition_without_leader_is_told),
        TEST(authorized_operations_only_when_asked),
        TEST(metadata_of_50000_partitions_is_spread_over_turns),
        TEST(metadata_of_50000_topics_is_whole),
        TEST(metadata_goes_on_in_a_changed_view),
        TEST(coordinator_without_its_topic_is_not_available),
        TEST(coordinator_of_a_group_is_this_node),
        TEST(coordinator_of_other_kinds_is_refused),
        TEST(cluster_is_this_node),
    };
    bed_unused();
    return TESTS_RUN(tests);
}
