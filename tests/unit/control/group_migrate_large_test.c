/*
 * group_migrate_large_test.c - a group of 400 changes its kind over turns: who asks meanwhile
 * waits, what timers change makes it begin anew, and it may end at any time.
 */
#include "coordinator_bed.h"

#include "group_next_host.h"
#include "group_protocol.h"

enum { MEMBERS_N = 400, SHORT_MS = 6000, LONG_MS = 60000 };

static struct join_group_request_protocols protocols[MEMBERS_N];
static struct join_group_request joins[MEMBERS_N];
static struct sync_group_request syncs[MEMBERS_N];
static struct sync_group_request_assignments plan[MEMBERS_N];
static struct control_op ops[MEMBERS_N], beat_op, next_op;
static char ids[MEMBERS_N][64];
static uint8_t subscription[64], plans[MEMBERS_N][64];
static struct heartbeat_request heartbeat;
static struct consumer_group_heartbeat_request next_beat;

static struct bytes group_name(void)
{
    return bytes_of_string("g");
}

static struct group *group(void)
{
    return group_find(&rig.control->coordinator->groups, group_name());
}

/* ── the embedded protocol, version 1 and 0 ── */

static struct bytes subscription_make(void)
{
    static const uint8_t head[] = {0, 1, 0, 0, 0, 1, 0, 1, 't', 255, 255, 255, 255, 0, 0, 0, 0};
    memcpy(subscription, head, sizeof head);
    return bytes_of(subscription, sizeof head);
}

/* Member i has partition i. */
static struct bytes plan_make(int i)
{
    static const uint8_t head[] = {0, 1, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1};
    memcpy(plans[i], head, sizeof head);
    store_u32(plans[i] + sizeof head, (uint32_t)i);
    store_u32(plans[i] + sizeof head + 4, UINT32_MAX);
    return bytes_of(plans[i], sizeof head + 8);
}

/* ── steps ── */

static void turns_until(const struct control_op *op)
{
    for (int i = 0; i < 4000 && !op->mail.is_answer; i++)
        rig_turn(&rig);
    assert_true(op->mail.is_answer);
}

/* 400 members that have a partition each; the session of the last one is short. */
static void stable_classic(void)
{
    assert_int_equal(rig_create(&rig, "t", MEMBERS_N), 0);
    rig_override(&rig, "group.initial.rebalance.delay.ms=200");
    restart();
    coordinator_make();
    for (int i = 0; i < MEMBERS_N; i++) {
        protocols[i] =
            (struct join_group_request_protocols){bytes_of_string("range"), subscription_make()};
        joins[i] = (struct join_group_request){.group_id = group_name(),
                                               .session_timeout_ms =
                                                   i == MEMBERS_N - 1 ? SHORT_MS : LONG_MS,
                                               .rebalance_timeout_ms = LONG_MS,
                                               .member_id = bytes_of_string(""),
                                               .protocol_type = bytes_of_string("consumer"),
                                               .protocols = &protocols[i],
                                               .protocols_n = 1};
        rig_send(&rig, &ops[i], 11, 3, &joins[i]);
    }
    int leader = -1;
    for (int i = 0; i < MEMBERS_N; i++) {
        turns_until(&ops[i]);
        const struct join_group_response *r = ops[i].response;
        assert_int_equal(r->error_code, 0);
        snprintf(ids[i], sizeof ids[i], "%.*s", (int)r->member_id.n,
                 (const char *)r->member_id.ptr);
        if (bytes_equal(r->leader, r->member_id))
            leader = i;
        plan[i] = (struct sync_group_request_assignments){bytes_of_string(ids[i]), plan_make(i)};
        arena_fini(&ops[i].arena);
    }
    for (int i = 0; i < MEMBERS_N; i++) {
        syncs[i] = (struct sync_group_request){.group_id = group_name(),
                                               .generation_id = 1,
                                               .member_id = bytes_of_string(ids[i]),
                                               .assignments = plan,
                                               .assignments_n = i == leader ? MEMBERS_N : 0};
        rig_send(&rig, &ops[i], 14, 3, &syncs[i]);
    }
    for (int i = 0; i < MEMBERS_N; i++) {
        turns_until(&ops[i]);
        assert_int_equal(((struct sync_group_response *)ops[i].response)->error_code, 0);
        arena_fini(&ops[i].arena);
    }
    assert_int_equal(group()->state, GROUP_STABLE);
}

static void next_send(int32_t epoch)
{
    static struct bytes name;
    name = bytes_of_string("t");
    next_beat =
        (struct consumer_group_heartbeat_request){.group_id = group_name(),
                                                  .member_id = bytes_of_string("newcomer"),
                                                  .member_epoch = epoch,
                                                  .rebalance_timeout_ms = epoch == 0 ? LONG_MS : -1,
                                                  .subscribed_topic_names = &name,
                                                  .subscribed_topic_names_n = epoch == 0 ? 1 : -1,
                                                  .topic_partitions_n = epoch == 0 ? 0 : -1};
    rig_send(&rig, &next_op, 68, 1, &next_beat);
}

static int16_t next_answer(void)
{
    turns_until(&next_op);
    int16_t code = ((struct consumer_group_heartbeat_response *)next_op.response)->error_code;
    arena_fini(&next_op.arena);
    return code;
}

static void beat_send(int i, int32_t generation)
{
    heartbeat =
        (struct heartbeat_request){group_name(), generation, bytes_of_string(ids[i]), {NULL, 0}};
    rig_send(&rig, &beat_op, 12, 4, &heartbeat);
}

static int16_t beat_answer(void)
{
    turns_until(&beat_op);
    int16_t code = ((struct heartbeat_response *)beat_op.response)->error_code;
    arena_fini(&beat_op.arena);
    return code;
}

/* The newcomer's heartbeat has begun it, and it is not over. */
static void going_up(void)
{
    stable_classic();
    next_send(0);
    rig_turn(&rig);
    assert_non_null(group()->migration);
    assert_null(group()->next);
}

static void going_down(void)
{
    going_up();
    assert_int_equal(next_answer(), 0);
    assert_int_equal(group()->next->members_n, MEMBERS_N + 1);
    next_send(-1);
    rig_turn(&rig);
    assert_non_null(group()->migration);
    assert_non_null(group()->next);
}

static void time_pass(int64_t ms)
{
    rig.now.ns += (uint64_t)ms * NS_PER_MS;
    rig.now.wall_ms += ms;
}

/* ── tests ── */

static void up_takes_turns_and_holds_who_asks(void **state)
{
    (void)state;
    going_up();
    beat_send(3, 1);
    int turns_n = 0;
    for (; group()->migration != NULL; turns_n++) {
        assert_false(beat_op.mail.is_answer || next_op.mail.is_answer);
        assert_int_equal(group()->members_n, MEMBERS_N);
        rig_turn(&rig);
    }
    assert_true(turns_n >= 4);
    assert_int_equal(next_answer(), 0);
    assert_int_equal(beat_answer(), 27); /* join again */
    assert_int_equal(group()->members_n, 0);
    assert_int_equal(group()->next->members_n, MEMBERS_N + 1);
    group_next_invariants(group()->next);
    assert_int_equal(rig.control->coordinator->loose_n, 0);
    restart();
    loaded();
    assert_int_equal(group()->next->members_n, MEMBERS_N + 1);
    assert_int_equal(group()->members_n, 0);
}

static void up_begins_anew_when_a_session_ends(void **state)
{
    (void)state;
    going_up();
    time_pass(SHORT_MS + 100);
    assert_int_equal(next_answer(), 0);
    assert_int_equal(group()->next->members_n, MEMBERS_N);
    group_next_invariants(group()->next);
    assert_null(next_member_find(group()->next, bytes_of_string(ids[MEMBERS_N - 1])));
}

static void up_ends_with_its_partition(void **state)
{
    (void)state;
    going_up();
    int32_t partition = group()->partition;
    coordinator_partition_fail(rig.control->coordinator,
                               &rig.control->coordinator->partitions[partition]);
    assert_null(group());
    assert_int_equal(next_answer(), 16);
    assert_int_equal(rig.control->coordinator->loose_n, 0);
    assert_int_equal(rig.control->coordinator->nexts.groups_n, 0);
}

static void down_takes_turns_and_holds_who_asks(void **state)
{
    (void)state;
    going_down();
    beat_send(3, group()->next->epoch);
    int turns_n = 0;
    for (; group()->migration != NULL; turns_n++) {
        assert_false(beat_op.mail.is_answer || next_op.mail.is_answer);
        assert_int_equal(group()->next->members_n, MEMBERS_N);
        rig_turn(&rig);
    }
    assert_true(turns_n >= 1);
    assert_int_equal(next_answer(), 0);
    assert_int_equal(beat_answer(), 27);
    assert_null(group()->next);
    assert_int_equal(group()->members_n, MEMBERS_N);
    group_invariants(group());
    turns(20);
    assert_int_equal(rig.control->coordinator->loose_n, 0);
    assert_int_equal(rig.control->coordinator->nexts.groups_n, 0);
    assert_int_equal(rig.control->coordinator->nexts.members_n, 0);
    restart();
    loaded();
    assert_null(group()->next);
    assert_int_equal(group()->members_n, MEMBERS_N);
}

static void down_begins_anew_when_a_session_ends(void **state)
{
    (void)state;
    going_down();
    time_pass(SHORT_MS + 100);
    assert_int_equal(next_answer(), 0);
    turns(20);
    assert_null(group()->next);
    assert_int_equal(group()->members_n, MEMBERS_N - 1);
    group_invariants(group());
    assert_int_equal(rig.control->coordinator->loose_n, 0);
    restart();
    loaded();
    assert_int_equal(group()->members_n, MEMBERS_N - 1);
}

static void down_ends_with_its_partition(void **state)
{
    (void)state;
    going_down();
    int32_t partition = group()->partition;
    coordinator_partition_fail(rig.control->coordinator,
                               &rig.control->coordinator->partitions[partition]);
    assert_null(group());
    turns_until(&next_op);
    assert_int_not_equal(((struct consumer_group_heartbeat_response *)next_op.response)->error_code,
                         0);
    arena_fini(&next_op.arena);
    assert_int_equal(rig.control->coordinator->nexts.groups_n, 0);
}

/* The broker ends in every turn of it: memory goes, and the log has one form or the other. */
static void either_may_be_the_last_thing(void **state)
{
    (void)state;
    going_up();
    beat_send(3, 1);
    rig_turn(&rig);
    restart();
    loaded();
    assert_null(group()->next);
    assert_int_equal(group()->members_n, MEMBERS_N);
    arena_fini(&next_op.arena);
    arena_fini(&beat_op.arena);
    next_send(0);
    assert_int_equal(next_answer(), 0);
    next_send(-1);
    rig_turn(&rig);
    assert_non_null(group()->migration);
    restart();
    loaded();
    assert_non_null(group()->next);
    arena_fini(&next_op.arena);
}

#define BED_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BED_TEST(up_takes_turns_and_holds_who_asks),
        BED_TEST(up_begins_anew_when_a_session_ends),
        BED_TEST(up_ends_with_its_partition),
        BED_TEST(down_takes_turns_and_holds_who_asks),
        BED_TEST(down_begins_anew_when_a_session_ends),
        BED_TEST(down_ends_with_its_partition),
        BED_TEST(either_may_be_the_last_thing),
    };
    return TESTS_RUN(tests);
}
