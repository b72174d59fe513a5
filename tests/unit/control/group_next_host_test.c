/*
 * group_next_host_test.c - KIP-848 groups in the coordinator: settings of a group count at once,
 * over a start too.
 */
#include "coordinator_bed.h"

enum { RESOURCE_OF_GROUP = 32, OP_SET = 0, OP_DELETE = 1 };

static struct control_op op;

/* The interval the member is told; below 0 a Kafka code. */
static int32_t beat(const char *group, int32_t epoch)
{
    struct bytes name = bytes_of_string("t");
    struct consumer_group_heartbeat_request q = {.group_id = bytes_of_string(group),
                                                 .member_id = bytes_of_string("a"),
                                                 .member_epoch = epoch,
                                                 .rebalance_timeout_ms = epoch == 0 ? 20000 : -1,
                                                 .subscribed_topic_names = &name,
                                                 .subscribed_topic_names_n = epoch == 0 ? 1 : -1,
                                                 .topic_partitions_n = epoch == 0 ? 0 : -1};
    const struct consumer_group_heartbeat_response *r = rig_ask(&rig, &op, 68, 1, &q);
    int32_t out = r->error_code != 0 ? -r->error_code : r->heartbeat_interval_ms;
    arena_fini(&op.arena);
    return out;
}

static int16_t alter(const char *group, const char *key, const char *value)
{
    struct incremental_alter_configs_request_resources_configs config = {
        .name = bytes_of_string(key),
        .config_operation = value == NULL ? OP_DELETE : OP_SET,
        .value = value == NULL ? (struct bytes){NULL, 0} : bytes_of_string(value)};
    struct incremental_alter_configs_request_resources resource = {
        .resource_type = RESOURCE_OF_GROUP,
        .resource_name = bytes_of_string(group),
        .configs = &config,
        .configs_n = 1};
    struct incremental_alter_configs_request q = {.resources = &resource, .resources_n = 1};
    const struct incremental_alter_configs_response *r = rig_ask(&rig, &op, 44, 1, &q);
    int16_t code = r->responses[0].error_code;
    arena_fini(&op.arena);
    return code;
}

static bool is_member(const char *group)
{
    const struct group *g = group_find(&rig.control->coordinator->groups, bytes_of_string(group));
    return g != NULL && g->next != NULL && next_member_find(g->next, bytes_of_string("a")) != NULL;
}

static void settings_of_a_group_count_at_once(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(beat("g", 0), 5000);
    assert_int_equal(alter("g", "consumer.heartbeat.interval.ms", "7000"), 0);
    assert_int_equal(beat("g", 2), 7000);
    assert_int_equal(beat("other", 0), 5000);
    assert_int_equal(alter("g", "consumer.session.timeout.ms", "60000"), 0);
    assert_int_equal(beat("g", 2), 7000); /* its session is the longer one from now on */
    turns(46000);
    assert_true(is_member("g"));
    assert_false(is_member("other"));
    restart();
    loaded();
    turns(46000);
    assert_true(is_member("g"));
    assert_int_equal(alter("g", "consumer.session.timeout.ms", NULL), 0);
    assert_int_equal(alter("g", "consumer.heartbeat.interval.ms", NULL), 0);
    assert_int_equal(beat("g", 2), 5000);
    turns(45001);
    assert_false(is_member("g"));
}

static void settings_of_a_group_keep_to_the_brokers_bounds(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(alter("g", "consumer.heartbeat.interval.ms", "4999"), KAFKA_INVALID_CONFIG);
    assert_int_equal(alter("g", "consumer.heartbeat.interval.ms", "15001"), KAFKA_INVALID_CONFIG);
    assert_int_equal(alter("g", "consumer.heartbeat.interval.ms", "15000"), 0);
    assert_int_equal(beat("g", 0), 15000);
    rig_override(&rig, "group.consumer.max.heartbeat.interval.ms=9000"); /* of the next start */
    restart();
    loaded();
    assert_int_equal(beat("g", 2), 9000);
}

static uint64_t stat(enum group_stat_at at)
{
    return group_stats_get(control_group_stats(rig.control), at);
}

static char *explained(const char *group)
{
    struct ask *ask = control_ask(rig.control);
    ask->name_n = (uint32_t)strlen(group);
    memcpy(ask->name, group, ask->name_n);
    atomic_store(&ask->state, ASK_ASKED);
    turns(1);
    assert_int_equal(atomic_load(&ask->state), ASK_ANSWERED);
    char *text = ask->answer;
    ask->answer = NULL;
    atomic_store(&ask->state, ASK_IDLE);
    return text;
}

static void explainer_tells_of_kip_848_groups(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(beat("g", 0), 5000);
    char *text = explained("g");
    assert_non_null(strstr(text, "\"protocol\": \"consumer\", \"state\": \"Stable\""));
    assert_non_null(strstr(text, "the first member joined"));
    assert_non_null(strstr(text, "\"member\": \"a\""));
    assert_non_null(strstr(text, "\"moved\": 2"));
    free(text);
    turns(45001);
    text = explained("g");
    assert_non_null(strstr(text, "a member was not heard of for its session timeout"));
    assert_non_null(strstr(text, "\"state\": \"Empty\""));
    free(text);
}

static void metrics_count_groups_members_and_rebalances(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(beat("g", 0), 5000);
    assert_int_equal(beat("other", 0), 5000);
    turns(2000);
    assert_int_equal(stat(GROUP_STAT_NEXT_STABLE), 2);
    assert_int_equal(stat(GROUP_STAT_NEXT_MEMBERS), 2);
    assert_int_equal(stat(GROUP_STAT_NEXT_REBALANCES), 2);
    assert_int_equal(stat(GROUP_STAT_CLASSIC_EMPTY), 0);
    turns(45001);
    assert_int_equal(stat(GROUP_STAT_NEXT_EMPTY), 2);
    assert_int_equal(stat(GROUP_STAT_NEXT_EVICTIONS), 2);
    assert_int_equal(stat(GROUP_STAT_NEXT_MEMBERS), 0);
    const struct group_stats *s = control_group_stats(rig.control);
    uint64_t pauses_n = 0;
    for (uint32_t i = 0; i < GROUP_PAUSES_N; i++)
        pauses_n += atomic_load(&s->pauses[i]);
    assert_int_equal(pauses_n, 4); /* two that assigned, two that ended with nobody */
}

/* The wall clock is set back by a day, then forward by two: nobody loses a session, and assignments
 * are made. */
static void jumps_of_the_wall_clock_harm_nobody(void **state)
{
    static const int64_t jumps_ms[] = {-86400000, 2 * 86400000ll};
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(beat("g", 0), 5000);
    for (uint32_t i = 0; i < array_n(jumps_ms); i++) {
        rig.now.wall_ms += jumps_ms[i];
        turns(2);
        assert_true(is_member("g"));
        assert_true(beat("g", 2 + (int32_t)i) > 0);
        assert_int_equal(rig_create(&rig, i == 0 ? "t2" : "t3", 1), 0);
        struct group *g = group_find(&rig.control->coordinator->groups, bytes_of_string("g"));
        struct next_member *m = next_member_find(g->next, bytes_of_string("a"));
        struct bytes names[3] = {bytes_of_string("t"), bytes_of_string("t2"),
                                 bytes_of_string("t3")};
        struct consumer_group_heartbeat_request q = {.group_id = bytes_of_string("g"),
                                                     .member_id = bytes_of_string("a"),
                                                     .member_epoch = m->epoch,
                                                     .rebalance_timeout_ms = -1,
                                                     .subscribed_topic_names = names,
                                                     .subscribed_topic_names_n = 2 + (int32_t)i,
                                                     .topic_partitions_n = -1};
        const struct consumer_group_heartbeat_response *r = rig_ask(&rig, &op, 68, 1, &q);
        assert_int_equal(r->error_code, 0);
        assert_int_equal(r->member_epoch, 3 + (int32_t)i);
        arena_fini(&op.arena);
        assert_int_equal(g->next->assignment_epoch, g->next->epoch);
    }
}

/* Groups are bounded, each costs little, and the ones that are there do not notice. */
static void hundred_thousand_groups_are_made_and_listed(void **state)
{
    enum { GROUPS_N = 100000 };
    struct coordinator *co = rig.control->coordinator;
    char name[16];
    struct group *group;
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(beat("g", 0), 5000);
    uint64_t bytes = co->groups.bytes;
    co->groups.config.groups_max = GROUPS_N;
    for (int i = 0; i < GROUPS_N && co->groups.groups_n < co->groups.config.groups_max; i++) {
        snprintf(name, sizeof name, "group-%d", i);
        int32_t partition = coordinator_hash(bytes_of_string(name)) & 3;
        assert_int_equal(group_new(&co->groups, bytes_of_string(name), partition, rig.now, &group),
                         0);
    }
    assert_int_equal(co->groups.groups_n, GROUPS_N);
    assert_int_equal(beat("more", 0), -KAFKA_COORDINATOR_NOT_AVAILABLE); /* groups.max is reached */
    assert_true(beat("g", 2) > 0);
    assert_int_equal(co->groups.bytes, bytes);
    struct list_groups_request q = {0};
    const struct list_groups_response *r = rig_ask(&rig, &op, 16, 0, &q);
    assert_int_equal(r->groups_n, GROUPS_N);
    arena_fini(&op.arena);
}

#define HOST_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(settings_of_a_group_count_at_once),
        HOST_TEST(settings_of_a_group_keep_to_the_brokers_bounds),
        HOST_TEST(explainer_tells_of_kip_848_groups),
        HOST_TEST(metrics_count_groups_members_and_rebalances),
        HOST_TEST(jumps_of_the_wall_clock_harm_nobody),
        HOST_TEST(hundred_thousand_groups_are_made_and_listed),
    };
    return TESTS_RUN(tests);
}
