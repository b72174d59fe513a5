/*
 * group_migrate_test.c - online migration: a classic group becomes a KIP-848 group when the first
 * consumer of that protocol joins, and a classic one again when the last is gone; over restarts.
 */
#include "coordinator_bed.h"

#include "group_protocol.h"

enum { PARTS = 4 };

static char ids[4][64];
static int ids_n;
static struct control_op op;
static uint8_t bytes_a[256], bytes_s[256];

/* ── the embedded protocol, made here by hand ── */

static uint8_t *put_u32(uint8_t *at, uint32_t v)
{
    store_u32(at, v);
    return at + 4;
}

static uint8_t *put_topic(uint8_t *at)
{
    store_u16(at, 1);
    at[2] = 't';
    return at + 3;
}

static uint8_t *put_parts(uint8_t *at, const int32_t *parts, int32_t n)
{
    at = put_topic(put_u32(at, n > 0));
    if (n == 0)
        return at - 3;
    at = put_u32(at, (uint32_t)n);
    for (int32_t i = 0; i < n; i++)
        at = put_u32(at, (uint32_t)parts[i]);
    return at;
}

/* Version 1: topic t, and what is owned. */
static struct bytes subscription(const int32_t *owned, int32_t n)
{
    uint8_t *at = bytes_s;
    store_u16(at, 1);
    at = put_topic(put_u32(at + 2, 1));
    at = put_parts(put_u32(at, UINT32_MAX), owned, n);
    return bytes_of(bytes_s, (size_t)(at - bytes_s));
}

static struct bytes assignment(const int32_t *parts, int32_t n)
{
    uint8_t *at = bytes_a;
    store_u16(at, 1);
    at = put_u32(put_parts(at + 2, parts, n), UINT32_MAX);
    return bytes_of(bytes_a, (size_t)(at - bytes_a));
}

static struct bytes id_keep(struct bytes id)
{
    char *to = ids[ids_n++ % 4];
    snprintf(to, sizeof ids[0], "%.*s", (int)id.n, (const char *)id.ptr);
    return bytes_of_string(to);
}

/* ── requests; each leaves its answer in op ── */

static struct join_group_request_protocols protocols[2];
static struct join_group_request join_request;

static void join_fill(struct bytes id, const int32_t *owned, int32_t n, const char *instance)
{
    protocols[0] =
        (struct join_group_request_protocols){bytes_of_string("range"), subscription(owned, n)};
    join_request = (struct join_group_request){
        .group_id = bytes_of_string("g"),
        .session_timeout_ms = 10000,
        .rebalance_timeout_ms = 20000,
        .member_id = id,
        .group_instance_id = instance == NULL ? (struct bytes){NULL, 0} : bytes_of_string(instance),
        .protocol_type = bytes_of_string("consumer"),
        .protocols = protocols,
        .protocols_n = 1};
}

/* The generation; below 0 a Kafka code. The id of who had none is ids[..]. */
static int32_t join_as(struct bytes *id, const int32_t *owned, int32_t n, const char *instance)
{
    join_fill(*id, owned, n, instance);
    const struct join_group_response *r = rig_ask(&rig, &op, 11, 3, &join_request);
    if (id->n == 0)
        *id = id_keep(r->member_id);
    int32_t out = r->error_code != 0 ? -r->error_code : r->generation_id;
    arena_fini(&op.arena);
    return out;
}

static int32_t join(struct bytes *id, const int32_t *owned, int32_t n)
{
    return join_as(id, owned, n, NULL);
}

/* How many partitions it has; below 0 a Kafka code. `mine` what the leader gives itself. */
static int32_t sync(struct bytes id, int32_t generation, const int32_t *mine, int32_t mine_n)
{
    struct sync_group_request_assignments a = {id, assignment(mine, mine_n)};
    struct sync_group_request q = {.group_id = bytes_of_string("g"),
                                   .generation_id = generation,
                                   .member_id = id,
                                   .assignments = &a,
                                   .assignments_n = mine != NULL};
    const struct sync_group_response *r = rig_ask(&rig, &op, 14, 3, &q);
    int32_t n = -r->error_code;
    if (r->error_code == 0) {
        struct consumer_protocol_assignment got;
        assert_int_equal(consumer_assignment_decode(r->assignment, &op.arena, &got), 0);
        for (int32_t i = 0; i < got.assigned_partitions_n; i++)
            n += got.assigned_partitions[i].partitions_n;
    }
    arena_fini(&op.arena);
    return n;
}

static int16_t beat(struct bytes id, int32_t generation)
{
    struct heartbeat_request q = {bytes_of_string("g"), generation, id, {NULL, 0}};
    int16_t code = ((struct heartbeat_response *)rig_ask(&rig, &op, 12, 4, &q))->error_code;
    arena_fini(&op.arena);
    return code;
}

/* ConsumerGroupHeartbeat; the member's epoch, below 0 a Kafka code. *assigned_n: -1 = not told. */
static int32_t next_beat(const char *id, int32_t epoch, const char *instance, int32_t *assigned_n)
{
    struct bytes name = bytes_of_string("t");
    struct consumer_group_heartbeat_request q = {
        .group_id = bytes_of_string("g"),
        .member_id = bytes_of_string(id),
        .member_epoch = epoch,
        .instance_id = instance == NULL ? (struct bytes){NULL, 0} : bytes_of_string(instance),
        .rebalance_timeout_ms = epoch == 0 ? 20000 : -1,
        .subscribed_topic_names = &name,
        .subscribed_topic_names_n = epoch == 0 ? 1 : -1,
        .topic_partitions_n = epoch == 0 ? 0 : -1};
    const struct consumer_group_heartbeat_response *r = rig_ask(&rig, &op, 68, 1, &q);
    int32_t out = r->error_code != 0 ? -r->error_code : r->member_epoch;
    int32_t n = r->assignment == NULL ? -1 : 0;
    for (int32_t i = 0; n >= 0 && i < r->assignment->topic_partitions_n; i++)
        n += r->assignment->topic_partitions[i].partitions_n;
    if (assigned_n != NULL)
        *assigned_n = n;
    arena_fini(&op.arena);
    return out;
}

static struct group *group(void)
{
    struct group *g = group_find(&rig.control->coordinator->groups, bytes_of_string("g"));
    assert_non_null(g);
    if (g->next != NULL)
        group_next_invariants(g->next);
    else
        group_invariants(g);
    return g;
}

static const int32_t all[] = {0, 1, 2, 3};

static void begin(void)
{
    assert_int_equal(rig_create(&rig, "t", PARTS), 0);
    coordinator_make();
}

/* A classic group of one member that has all; its generation is 1. */
static struct bytes stable_classic(void)
{
    struct bytes a = bytes_of_string("");
    begin();
    assert_int_equal(join(&a, NULL, 0), 1);
    assert_int_equal(sync(a, 1, all, PARTS), PARTS);
    return a;
}

static void again(void)
{
    restart();
    loaded();
}

/* ── tests ── */

static void upgrade_keeps_members_and_what_they_have(void **state)
{
    (void)state;
    struct bytes a = stable_classic();
    int32_t n;
    assert_int_equal(next_beat("c", 0, NULL, &n), 2);
    assert_non_null(group()->next);
    assert_int_equal(group()->next->members_n, 2);
    assert_int_equal(group()->next->classic_n, 1);
    assert_int_equal(n, 0); /* a still has all */
    again();
    assert_non_null(group()->next);
    assert_int_equal(group()->next->classic_n, 1);
    assert_int_equal(next_member_find(group()->next, a)->assigned.n, PARTS);
    assert_int_equal(beat(a, 1), KAFKA_REBALANCE_IN_PROGRESS);
    assert_int_equal(sync(a, 1, NULL, 0), -KAFKA_REBALANCE_IN_PROGRESS);
    assert_int_equal(beat(a, 2), KAFKA_ILLEGAL_GENERATION);
}

static void mixed_members_share_and_nothing_is_given_before_it_is_given_up(void **state)
{
    (void)state;
    struct bytes a = stable_classic();
    static const int32_t kept[] = {0, 1};
    int32_t n;
    assert_int_equal(next_beat("c", 0, NULL, NULL), 2);
    assert_int_equal(join(&a, all, PARTS), 1); /* owns too much: its epoch stays */
    assert_int_equal(sync(a, 1, NULL, 0), 2);
    assert_int_equal(next_beat("c", 2, NULL, &n), 2);
    assert_int_equal(n, -1); /* nothing yet */
    assert_int_equal(beat(a, 1), KAFKA_REBALANCE_IN_PROGRESS);
    const struct next_member *m = next_member_find(group()->next, a);
    int32_t mine[2] = {m->assigned.v[0].partition, m->assigned.v[1].partition};
    assert_int_equal(m->assigned.n, array_n(kept));
    assert_int_equal(join(&a, mine, 2), 2);
    assert_int_equal(sync(a, 2, NULL, 0), 2);
    assert_int_equal(beat(a, 2), 0);
    again();
    assert_int_equal(next_beat("c", 2, NULL, &n), 2);
    assert_int_equal(n, 2);
    assert_int_equal(group_next_state(group()->next), NEXT_SETTLED);
}

static void downgrade_begins_when_the_last_consumer_member_leaves(void **state)
{
    (void)state;
    struct bytes a = stable_classic();
    assert_int_equal(next_beat("c", 0, NULL, NULL), 2);
    assert_int_equal(join(&a, all, PARTS), 1);
    assert_int_equal(next_beat("c", -1, NULL, NULL), -1);
    assert_null(group()->next);
    assert_int_equal(group()->state, GROUP_PREPARING);
    assert_int_equal(group()->generation, 2);
    assert_int_equal(rig.control->coordinator->nexts.groups_n, 0);
    again();
    assert_null(group()->next);
    assert_int_equal(group()->state, GROUP_STABLE); /* as its record has it */
    assert_int_equal(group()->members_n, 1);
    assert_int_equal(beat(a, 2), 0);
    assert_int_equal(join(&a, NULL, 0), 3); /* the leader asks for a new one */
    assert_int_equal(sync(a, 3, all, PARTS), PARTS);
}

static void downgrade_begins_when_the_last_consumer_member_is_silent(void **state)
{
    (void)state;
    struct bytes a = stable_classic();
    assert_int_equal(next_beat("c", 0, NULL, NULL), 2);
    for (int i = 0; i < 50 && group()->next != NULL; i++) {
        int32_t generation = join(&a, all, PARTS);
        (void)sync(a, generation, NULL, 0);
        turns(1000);
    }
    assert_null(group()->next);
    assert_int_equal(group()->members_n, 1);
}

static void static_member_changes_its_protocol_in_place(void **state)
{
    (void)state;
    struct bytes a = bytes_of_string(""), fresh = bytes_of_string("");
    int32_t n;
    begin();
    assert_int_equal(join_as(&a, NULL, 0, "i"), 1);
    struct sync_group_request_assignments given = {a, assignment(all, PARTS)};
    struct sync_group_request q = {.group_id = bytes_of_string("g"),
                                   .generation_id = 1,
                                   .member_id = a,
                                   .group_instance_id = bytes_of_string("i"),
                                   .assignments = &given,
                                   .assignments_n = 1};
    assert_int_equal(((struct sync_group_response *)rig_ask(&rig, &op, 14, 3, &q))->error_code, 0);
    arena_fini(&op.arena);
    assert_true(next_beat("c", 0, "i", &n) > 0);
    assert_int_equal(n, PARTS);
    assert_int_equal(group()->next->members_n, 1);
    assert_int_equal(group()->next->classic_n, 0);
    int32_t generation = join_as(&fresh, NULL, 0, "i");
    assert_true(generation > 0);
    assert_null(group()->next); /* it was the last of the new protocol */
    assert_int_equal(group()->state, GROUP_STABLE);
    again();
    assert_int_equal(group()->members_n, 1);
    assert_true(bytes_equal(list_first(&group()->members, struct group_member, link)->id, fresh));
}

static void classic_member_that_does_not_join_again_is_out(void **state)
{
    (void)state;
    struct bytes a = stable_classic();
    assert_int_equal(next_beat("c", 0, NULL, NULL), 2);
    assert_int_equal(beat(a, 1), KAFKA_REBALANCE_IN_PROGRESS);
    for (int i = 0; i < 4; i++) {
        turns(4000);
        assert_int_equal(beat(a, 1), KAFKA_REBALANCE_IN_PROGRESS);
        (void)next_beat("c", 2, NULL, NULL);
    }
    turns(5000); /* 20 s since it was told, and it goes on beating */
    assert_int_equal(beat(a, 1), KAFKA_UNKNOWN_MEMBER_ID);
    assert_int_equal(group()->next->classic_n, 0);
}

static void joins_and_syncs_that_wait_are_told_of_the_upgrade(void **state)
{
    (void)state;
    struct bytes a = bytes_of_string("");
    struct control_op waiting;
    begin();
    assert_int_equal(join(&a, NULL, 0), 1);
    char id[64];
    snprintf(id, sizeof id, "%.*s", (int)a.n, (const char *)a.ptr);
    join_fill(bytes_of_string(""), NULL, 0, NULL);
    struct join_group_request second = join_request;
    rig_send(&rig, &waiting, 11, 3, &second); /* waits for a */
    turns(5);
    assert_false(waiting.mail.is_answer);
    assert_int_equal(next_beat("c", 0, NULL, NULL), 2);
    turns(5);
    assert_true(waiting.mail.is_answer);
    assert_int_equal(((struct join_group_response *)waiting.response)->error_code,
                     KAFKA_REBALANCE_IN_PROGRESS);
    arena_fini(&waiting.arena);
    assert_int_equal(group()->next->members_n, 3);
}

static void upgrade_is_refused_while_the_first_are_gathered(void **state)
{
    (void)state;
    struct control_op waiting;
    begin();
    rig_override(&rig, "group.initial.rebalance.delay.ms=3000");
    rig.control->coordinator->groups.config.initial_delay_ms = 3000;
    join_fill(bytes_of_string(""), NULL, 0, NULL);
    rig_send(&rig, &waiting, 11, 3, &join_request);
    turns(5);
    assert_int_equal(next_beat("c", 0, NULL, NULL), -KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    turns(3000);
    assert_true(waiting.mail.is_answer);
    arena_fini(&waiting.arena);
    assert_int_equal(next_beat("c", 0, NULL, NULL), 2);
}

static void upgrade_of_what_is_no_consumer_group_is_refused(void **state)
{
    (void)state;
    begin();
    join_fill(bytes_of_string(""), NULL, 0, NULL);
    join_request.protocol_type = bytes_of_string("connect");
    assert_int_equal(
        ((struct join_group_response *)rig_ask(&rig, &op, 11, 3, &join_request))->error_code, 0);
    arena_fini(&op.arena);
    assert_int_equal(next_beat("c", 0, NULL, NULL), -KAFKA_GROUP_ID_NOT_FOUND);
    assert_null(group()->next);
}

/* Lengths that run out, negative numbers, nothing: no member is made of them. */
static void upgrade_of_malformed_members_is_refused(void **state)
{
    (void)state;
    static const uint8_t bad[][12] = {
        {0}, {0, 1, 0, 0, 0, 9}, {0xff, 0xff, 0, 0, 0, 0}, {0, 0, 0x7f, 0xff, 0xff, 0xff}};
    begin();
    for (uint32_t i = 0; i < array_n(bad); i++) {
        join_fill(bytes_of_string(""), NULL, 0, NULL);
        protocols[0].metadata = bytes_of(bad[i], i == 0 ? 1 : 6);
        const struct join_group_response *r = rig_ask(&rig, &op, 11, 3, &join_request);
        assert_int_equal(r->error_code, 0);
        struct bytes id = id_keep(r->member_id);
        arena_fini(&op.arena);
        assert_int_equal(next_beat("c", 0, NULL, NULL), -KAFKA_GROUP_ID_NOT_FOUND);
        struct leave_group_request q = {.group_id = bytes_of_string("g"), .member_id = id};
        (void)rig_ask(&rig, &op, 13, 0, &q);
        arena_fini(&op.arena);
    }
}

/* A custom assignor may give one partition to two: the first keeps it. */
static void partition_of_two_members_goes_to_the_first(void **state)
{
    (void)state;
    struct bytes a = bytes_of_string(""), b = bytes_of_string("");
    struct control_op second;
    begin();
    assert_int_equal(join(&a, NULL, 0), 1);
    join_fill(b, NULL, 0, NULL);
    struct join_group_request second_request = join_request;
    struct join_group_request_protocols offered = protocols[0];
    uint8_t copy[256];
    memcpy(copy, offered.metadata.ptr, offered.metadata.n);
    offered.metadata.ptr = copy;
    second_request.protocols = &offered;
    rig_send(&rig, &second, 11, 3, &second_request);
    turns(3);
    assert_int_equal(join(&a, NULL, 0), 2);
    turns(3);
    assert_true(second.mail.is_answer);
    b = id_keep(((struct join_group_response *)second.response)->member_id);
    arena_fini(&second.arena);
    struct sync_group_request_assignments both[2] = {{a, assignment(all, PARTS)},
                                                     {b, assignment(all, PARTS)}};
    struct sync_group_request q = {.group_id = bytes_of_string("g"),
                                   .generation_id = 2,
                                   .member_id = a,
                                   .assignments = both,
                                   .assignments_n = 2};
    assert_int_equal(((struct sync_group_response *)rig_ask(&rig, &op, 14, 3, &q))->error_code, 0);
    arena_fini(&op.arena);
    assert_int_equal(next_beat("c", 0, NULL, NULL), 3);
    assert_int_equal(next_member_find(group()->next, a)->assigned.n +
                         next_member_find(group()->next, b)->assigned.n,
                     PARTS);
    again();
    (void)group();
}

static void policy_of_no_migration_is_obeyed(void **state)
{
    (void)state;
    struct bytes a = stable_classic(), b = bytes_of_string("");
    rig.control->coordinator->nexts.config.may_upgrade = false;
    assert_int_equal(next_beat("c", 0, NULL, NULL), -KAFKA_GROUP_ID_NOT_FOUND);
    assert_int_equal(beat(a, 1), 0);
    rig.control->coordinator->nexts.config.may_upgrade = true;
    rig.control->coordinator->nexts.config.may_downgrade = false;
    assert_int_equal(next_beat("c", 0, NULL, NULL), 2);
    assert_int_equal(next_beat("c", -1, NULL, NULL), -1);
    assert_non_null(group()->next);
    assert_int_equal(group()->next->epoch, 3);
    assert_true(join(&b, NULL, 0) > 0);
    assert_int_equal(group()->next->classic_n, 2);
}

/* The heartbeat that would have begun the upgrade is refused: the group is what it was. */
static void upgrade_without_a_joiner_is_undone(void **state)
{
    (void)state;
    struct bytes a = stable_classic();
    rig.control->coordinator->nexts.config.size_max = 1;
    assert_int_equal(next_beat("c", 0, NULL, NULL), -KAFKA_GROUP_MAX_SIZE_REACHED);
    assert_null(group()->next);
    assert_int_equal(group()->members_n, 1);
    again();
    assert_int_equal(group()->members_n, 1);
    (void)a;
}

#define MIGRATE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MIGRATE_TEST(upgrade_keeps_members_and_what_they_have),
        MIGRATE_TEST(mixed_members_share_and_nothing_is_given_before_it_is_given_up),
        MIGRATE_TEST(downgrade_begins_when_the_last_consumer_member_leaves),
        MIGRATE_TEST(downgrade_begins_when_the_last_consumer_member_is_silent),
        MIGRATE_TEST(static_member_changes_its_protocol_in_place),
        MIGRATE_TEST(classic_member_that_does_not_join_again_is_out),
        MIGRATE_TEST(joins_and_syncs_that_wait_are_told_of_the_upgrade),
        MIGRATE_TEST(upgrade_is_refused_while_the_first_are_gathered),
        MIGRATE_TEST(upgrade_of_what_is_no_consumer_group_is_refused),
        MIGRATE_TEST(upgrade_of_malformed_members_is_refused),
        MIGRATE_TEST(partition_of_two_members_goes_to_the_first),
        MIGRATE_TEST(policy_of_no_migration_is_obeyed),
        MIGRATE_TEST(upgrade_without_a_joiner_is_undone),
    };
    return TESTS_RUN(tests);
}
