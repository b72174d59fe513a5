/* group_test.c - the classic group protocol: states, events and timers, by hand. */
#include "group_bed.h"

/* ── a group in each state ── */

static struct bytes completing(void)
{
    struct bytes id = new_id();
    assert_int_equal(joined(join(id, "m"))->error_code, 0);
    assert_int_equal(g()->state, GROUP_COMPLETING);
    return id;
}

static struct bytes stable(void)
{
    struct bytes id = completing();
    struct asked *a = sync_of(id, g()->generation);
    assign(a, id, "plan");
    sync_send(a);
    assert_false(a->is_answered); /* not before it is durable */
    appends_end();
    assert_true(bytes_equal_string(synced(a)->assignment, "plan"));
    assert_int_equal(g()->state, GROUP_STABLE);
    return id;
}

/* A second member has asked to join, the first has not come again. */
static struct bytes preparing(struct asked **second)
{
    struct bytes id = stable();
    *second = join(new_id(), "m");
    assert_int_equal(g()->state, GROUP_PREPARING);
    assert_false((*second)->is_answered);
    return id;
}

static void first_member_makes_generation_one(void **state)
{
    (void)state;
    struct bytes id = stable();
    assert_int_equal(g()->generation, 1);
    assert_true(bytes_equal(g()->leader, id));
    assert_true(bytes_equal_string(g()->protocol, "range"));
    assert_int_equal(heartbeat(id, 1), 0);
    assert_int_equal(heartbeat(id, 2), KAFKA_ILLEGAL_GENERATION);
}

static void second_member_waits_for_the_first(void **state)
{
    (void)state;
    struct asked *second;
    struct bytes id = preparing(&second);
    assert_int_equal(heartbeat(id, 1), KAFKA_REBALANCE_IN_PROGRESS);
    struct asked *first = join(id, "m");
    assert_int_equal(joined(first)->generation_id, 2);
    assert_int_equal(joined(first)->members_n, 2);
    assert_int_equal(joined(second)->members_n, 0); /* only the leader sees the others */
    assert_true(bytes_equal(joined(second)->leader, id));
}

static void follower_gets_its_assignment_when_it_is_durable(void **state)
{
    (void)state;
    struct asked *second;
    struct bytes id = preparing(&second), other;
    join(id, "m");
    other = joined(second)->member_id;
    struct asked *follower = sync_send(sync_of(other, 2)), *leader = sync_of(id, 2);
    assign(leader, id, "half");
    assign(leader, other, "other half");
    sync_send(leader);
    assert_false(follower->is_answered);
    appends_end();
    assert_true(bytes_equal_string(synced(follower)->assignment, "other half"));
    assert_true(bytes_equal_string(synced(leader)->assignment, "half"));
}

static void longest_pauses_of_a_rebalance_are_kept_in_order(void **state)
{
    (void)state;
    enum { N = GROUP_REBALANCE_PAUSES + 4 };
    struct asked *joins[N];
    struct bytes id = stable();
    for (int i = 1; i < N; i++) {
        joins[i] = join(new_id(), "m");
        pass(10);
    }
    joins[0] = join(id, "m");
    for (int i = N - 1; i >= 0; i--) /* the leader comes last */
        sync_send(sync_of(joined(joins[i])->member_id, 2));
    appends_end();
    const struct group_rebalance *r = group_rebalance_now(g());
    assert_int_equal(r->paused_n, N);
    assert_int_equal(r->pauses_n, GROUP_REBALANCE_PAUSES);
    for (int i = 0; i < GROUP_REBALANCE_PAUSES; i++) {
        struct bytes who = joined(joins[i + 1])->member_id;
        assert_int_equal(r->pauses[i].ns, (uint64_t)(N - 1 - i) * 10 * NS_PER_MS);
        assert_memory_equal(r->pauses[i].who, who.ptr, min_u64(who.n, sizeof r->pauses[i].who - 1));
    }
    uint64_t bytes = bed.groups.bytes;
    for (int i = 0; i < 2 * GROUP_REBALANCES_KEPT; i++) /* the ring goes round */
        group_rebalance_note(g(), GROUP_CAUSE_LEFT, id, (struct bytes){NULL, 0}, 1, bed.now);
    assert_null(group_rebalance_now(g())->pauses);
    assert_true(bed.groups.bytes <
                bytes + GROUP_REBALANCES_KEPT * sizeof(struct group_rebalance));
}

static void failed_append_is_told_to_all_and_rebalances(void **state)
{
    (void)state;
    struct bytes id = completing();
    appends_end();
    struct asked *a = sync_send(sync_of(id, 1));
    append_end(KAFKA_NOT_COORDINATOR);
    assert_int_equal(synced(a)->error_code, KAFKA_NOT_COORDINATOR);
    assert_int_equal(g()->state, GROUP_PREPARING);
}

/* Its assignment is of a generation that is over: nobody may be told it. */
static void append_that_ends_after_a_rebalance_began_is_ignored(void **state)
{
    (void)state;
    struct bytes id = completing();
    appends_end();
    struct asked *a = sync_send(sync_of(id, 1));
    struct asked *second = join(new_id(), "m");
    assert_int_equal(synced(a)->error_code, KAFKA_REBALANCE_IN_PROGRESS);
    join(id, "m"); /* generation 2 is completing when the append of 1 ends */
    struct asked *again = sync_send(sync_of(joined(second)->member_id, 2));
    assert_int_equal(g()->state, GROUP_COMPLETING);
    append_end(0);
    assert_int_equal(g()->state, GROUP_COMPLETING);
    assert_false(again->is_answered);
}

static void assignment_beyond_its_bound_is_refused(void **state)
{
    (void)state;
    static char large[5000];
    struct bytes id = completing();
    struct asked *a = sync_of(id, 1);
    memset(large, 'x', sizeof large - 1);
    assign(a, id, large);
    sync_send(a);
    assert_int_equal(synced(a)->error_code, KAFKA_UNKNOWN_SERVER_ERROR);
    assert_int_equal(g()->state, GROUP_PREPARING);
}

static void silent_member_expires_after_its_session(void **state)
{
    (void)state;
    struct bytes id = stable();
    pass(9900);
    assert_int_equal(heartbeat(id, 1), 0);
    pass(9900);
    assert_int_equal(g()->members_n, 1);
    pass(200);
    assert_int_equal(g()->members_n, 0);
    assert_int_equal(g()->state, GROUP_EMPTY);
    assert_int_equal(g()->generation, 2);
    assert_int_equal(heartbeat(id, 1), KAFKA_UNKNOWN_MEMBER_ID);
}

static void member_without_sync_is_dropped_after_the_rebalance_timeout(void **state)
{
    (void)state;
    struct bytes id = completing();
    for (int i = 0; i < 3; i++) {
        pass(6000);
        assert_int_equal(heartbeat(id, 1), 0);
    }
    pass(2100);
    assert_int_equal(g()->members_n, 0);
    assert_int_equal(g()->state, GROUP_EMPTY);
}

/* All have asked for their assignment; only the log is slow. */
static void slow_append_drops_nobody(void **state)
{
    (void)state;
    struct bytes id = completing();
    struct asked *a = sync_send(sync_of(id, 1));
    pass(30000);
    assert_int_equal(g()->members_n, 1);
    appends_end();
    assert_int_equal(synced(a)->error_code, 0);
}

static void member_that_does_not_join_again_is_dropped(void **state)
{
    (void)state;
    struct asked *second;
    struct bytes id = preparing(&second);
    for (int i = 0; i < 3; i++) {
        pass(6000);
        assert_int_equal(heartbeat(id, 1), KAFKA_REBALANCE_IN_PROGRESS);
        assert_false(second->is_answered);
    }
    pass(2100);
    assert_int_equal(joined(second)->generation_id, 2);
    assert_int_equal(joined(second)->members_n, 1); /* it leads now */
    assert_int_equal(heartbeat(id, 1), KAFKA_UNKNOWN_MEMBER_ID);
    assert_int_equal(group_rebalance_now(g())->late_n, 1);
}

static void leaving_member_makes_the_others_join_again(void **state)
{
    (void)state;
    struct asked *second;
    struct bytes id = preparing(&second);
    assert_int_equal(leave(id, NULL), 0);
    assert_int_equal(joined(second)->generation_id, 2);
    assert_int_equal(leave(id, NULL), KAFKA_UNKNOWN_MEMBER_ID);
}

static void pending_id_holds_the_rebalance_until_it_expires(void **state)
{
    (void)state;
    struct bytes id = stable();
    new_id();                            /* never comes back */
    struct asked *first = join(id, "m"); /* the leader asks for a rebalance */
    assert_false(first->is_answered);
    pass(10100);
    assert_int_equal(joined(first)->generation_id, 2);
}

static void pending_id_that_leaves_lets_the_rebalance_go_on(void **state)
{
    (void)state;
    struct bytes id = stable(), pending = new_id();
    struct asked *first = join(id, "m");
    assert_false(first->is_answered);
    assert_int_equal(leave(pending, NULL), 0);
    assert_int_equal(joined(first)->generation_id, 2);
}

static void initial_delay_waits_for_newcomers(void **state)
{
    struct group_config config = usual;
    teardown(state);
    config.initial_delay_ms = 3000;
    begin(&config);
    struct asked *first = join(new_id(), "m");
    pass(2900);
    struct asked *second = join(new_id(), "m");
    pass(2900);
    assert_false(first->is_answered);
    pass(200); /* the newcomer made it longer once */
    assert_int_equal(joined(first)->members_n, 2);
    assert_int_equal(joined(second)->generation_id, 1);
}

static void initial_delay_ends_with_the_rebalance_timeout(void **state)
{
    struct group_config config = usual;
    teardown(state);
    config.initial_delay_ms = 3000;
    begin(&config);
    struct asked *first = join(new_id(), "m");
    for (int i = 0; i < 10 && !first->is_answered; i++) {
        join(new_id(), "m");
        pass(2000);
    }
    assert_in_range(bed.now.ns / NS_PER_S, 20, 22); /* began at second 1 */
    assert_true(first->is_answered);
}

static void new_member_that_waits_too_long_is_given_up(void **state)
{
    (void)state;
    struct bytes id = stable();
    struct asked *a = join_of(new_id(), NULL, "m", 9);
    a->request.join.rebalance_timeout_ms = 3600000;
    join_send(a);
    for (int i = 0; i < 60; i++) { /* the first member lives but never joins again */
        pass(5000);
        heartbeat(id, 1);
    }
    pass(200);
    assert_int_equal(joined(a)->error_code, KAFKA_UNKNOWN_MEMBER_ID);
}

static void follower_that_joins_unchanged_gets_the_generation(void **state)
{
    (void)state;
    struct asked *second;
    struct bytes id = preparing(&second), other;
    join(id, "m");
    other = joined(second)->member_id;
    struct asked *a = join(other, "m");
    assert_int_equal(joined(a)->generation_id, 2);
    sync_send(sync_of(other, 2));
    sync_send(sync_of(id, 2));
    appends_end();
    assert_int_equal(g()->state, GROUP_STABLE);
    assert_int_equal(joined(join(other, "m"))->generation_id, 2);
    assert_int_equal(g()->state, GROUP_STABLE);
    assert_false(join(other, "changed")->is_answered);
    assert_int_equal(g()->state, GROUP_PREPARING);
}

static void protocol_must_be_shared_by_all(void **state)
{
    (void)state;
    stable();
    struct asked *a = join_of(bytes_of_string(""), NULL, "m", 9);
    a->protocols[0].name = a->protocols[1].name = bytes_of_string("sticky");
    assert_int_equal(joined(join_send(a))->error_code, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    a = join_of(bytes_of_string(""), NULL, "m", 9);
    a->request.join.protocol_type = bytes_of_string("connect");
    assert_int_equal(joined(join_send(a))->error_code, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
}

static void most_votes_choose_the_protocol(void **state)
{
    (void)state;
    struct bytes ids[3] = {new_id(), new_id(), new_id()};
    struct asked *a[3];
    for (int i = 0; i < 3; i++) {
        a[i] = join_of(ids[i], NULL, "m", 9);
        if (i > 0) { /* two of three prefer the second */
            a[i]->protocols[0].name = bytes_of_string("roundrobin");
            a[i]->protocols[1].name = bytes_of_string("range");
        }
        join_send(a[i]);
    }
    assert_true(bytes_equal_string(joined(a[0])->protocol_name, "roundrobin"));
}

static void group_size_is_bounded(void **state)
{
    struct group_config config = usual;
    teardown(state);
    config.size_max = 1;
    begin(&config);
    struct bytes id = stable();
    assert_int_equal(joined(join(bytes_of_string(""), "m"))->error_code,
                     KAFKA_GROUP_MAX_SIZE_REACHED);
    assert_int_equal(joined(join(bytes_of_string(""), "m"))->member_id.n, 0);
    assert_int_equal(heartbeat(id, 1), 0);
}

static void number_of_groups_and_bytes_are_bounded(void **state)
{
    struct group_config config = usual;
    teardown(state);
    config.groups_max = 1;
    config.bytes_max = 1000;
    begin(&config);
    struct asked *a = join_of(bytes_of_string(""), NULL, "m", 3);
    assert_int_equal(joined(join_send(a))->error_code, 0);
    a = join_of(bytes_of_string(""), NULL, "m", 3);
    a->request.join.group_id = bytes_of_string("another");
    assert_int_equal(joined(join_send(a))->error_code, KAFKA_COORDINATOR_NOT_AVAILABLE);
    static char large[700];
    memset(large, 'x', sizeof large - 1);
    assert_int_equal(joined(join_send(join_of(bytes_of_string(""), NULL, large, 3)))->error_code,
                     KAFKA_UNKNOWN_SERVER_ERROR);
}

/* ── static members (KIP-345, KIP-814) ── */

static const struct join_group_response *static_join(int16_t version, bool is_held)
{
    struct asked *a = join_send(join_of(bytes_of_string(""), "i1", "m", version));
    if (is_held)
        assert_false(a->is_answered); /* the record with its new id comes first */
    appends_end();
    return joined(a);
}

static struct bytes static_stable(void)
{
    struct bytes id = static_join(9, false)->member_id;
    struct asked *a = sync_of(id, 1);
    a->request.sync.group_instance_id = bytes_of_string("i1");
    assign(a, id, "plan");
    sync_send(a);
    appends_end();
    assert_int_equal(synced(a)->error_code, 0);
    return id;
}

static void static_member_comes_back_without_rebalance(void **state)
{
    (void)state;
    struct bytes old = static_stable();
    const struct join_group_response *r = static_join(9, true);
    assert_int_equal(r->generation_id, 1);
    assert_true(r->skip_assignment);
    assert_false(bytes_equal(r->member_id, old));
    assert_true(bytes_equal(r->leader, r->member_id));
    assert_int_equal(g()->state, GROUP_STABLE);
    r = static_join(8, true);
    assert_false(
        bytes_equal(r->leader, r->member_id)); /* its client must not think that it leads */
    struct group_member *member;
    assert_int_equal(group_check_member(g(), old, bytes_of_string("i1"), &member),
                     KAFKA_FENCED_INSTANCE_ID);
    assert_int_equal(group_check_member(g(), r->member_id, bytes_of_string("i1"), &member), 0);
}

static void static_member_survives_a_missed_rebalance(void **state)
{
    (void)state;
    struct bytes id = static_stable();
    struct asked *second = join(new_id(), "m");
    for (int i = 0; i < 4 && !second->is_answered; i++) {
        pass(6000);
        heartbeat(id, 1);
    }
    assert_int_equal(joined(second)->members_n, 2); /* the static one is still a member */
    assert_true(bytes_equal(joined(second)->leader, joined(second)->member_id));
}

static void static_member_leaves_by_its_instance(void **state)
{
    (void)state;
    static_stable();
    assert_int_equal(leave(bytes_of_string(""), "i2"), KAFKA_UNKNOWN_MEMBER_ID);
    assert_int_equal(leave(bytes_of_string("wrong"), "i1"), KAFKA_FENCED_INSTANCE_ID);
    assert_int_equal(leave(bytes_of_string(""), "i1"), 0);
    assert_int_equal(g()->state, GROUP_EMPTY);
}

/* ── commits, cancels ── */

static int16_t may_commit(struct bytes member, int32_t generation)
{
    return group_check_commit(g(), member, (struct bytes){NULL, 0}, generation, bed.now);
}

static void commits_are_for_members_of_the_generation(void **state)
{
    (void)state;
    struct bytes none = bytes_of_string(""), id = completing();
    assert_int_equal(may_commit(id, 1), KAFKA_REBALANCE_IN_PROGRESS);
    assert_int_equal(may_commit(none, -1), KAFKA_UNKNOWN_MEMBER_ID);
    assert_int_equal(may_commit(id, 2), KAFKA_ILLEGAL_GENERATION);
    sync_send(sync_of(id, 1));
    appends_end();
    assert_int_equal(may_commit(id, 1), 0);
    leave(id, NULL);
    assert_int_equal(may_commit(none, -1), 0);
    assert_int_equal(may_commit(id, 1), KAFKA_UNKNOWN_MEMBER_ID);
}

static void cancelled_join_is_answered_and_its_member_waits_on(void **state)
{
    (void)state;
    struct asked *second;
    struct bytes id = preparing(&second);
    groups_cancel(&bed.groups, &second->op);
    assert_true(second->is_answered);
    invariants();
    assert_int_equal(g()->members_n, 2);
    assert_int_equal(joined(join(id, "m"))->members_n, 2);
    groups_cancel(&bed.groups, &second->op); /* late: nothing */
    pass(20100);                             /* it never asks for its assignment */
    assert_int_equal(g()->members_n, 0);
}

static void cancel_before_the_request_runs_is_remembered(void **state)
{
    (void)state;
    struct bytes id = stable();
    struct asked *a = join_of(new_id(), NULL, "m", 9);
    groups_cancel(&bed.groups, &a->op);
    join_send(a);
    assert_true(a->is_answered);
    struct asked *first = join(id, "m");
    assert_int_equal(joined(first)->members_n, 2);
    a = sync_of(id, 2);
    groups_cancel(&bed.groups, &a->op);
    sync_send(a);
    assert_true(a->is_answered);
}

static void subscriptions_are_read(void **state)
{
    (void)state;
    static const char good[] = "\0\0\0\0\0\2\0\1a\0\2bc\xff\xff\xff\xff";
    struct asked *a = join_of(bytes_of_string(""), NULL, "", 3);
    a->protocols[0].metadata = bytes_of(good, sizeof good - 1);
    join_send(a);
    assert_true(group_is_subscribed(g(), bytes_of_string("bc")));
    assert_false(group_is_subscribed(g(), bytes_of_string("b")));
    a->protocols[0].metadata = bytes_of(good, 9); /* cut off: as good as all */
    a->request.join.member_id = joined(a)->member_id;
    struct asked *b = join_of(joined(a)->member_id, NULL, "", 3);
    b->protocols[0].metadata = bytes_of(good, 9);
    join_send(b);
    assert_true(group_is_subscribed(g(), bytes_of_string("zzz")));
}

/* ── members that vanish ── */

/* A client that does what clients do. */
struct survivor {
    struct bytes id;
    int32_t generation;
    struct asked *join, *sync;
    bool is_in; /* it has the assignment of its generation */
};

static void survivor_join(struct survivor *s)
{
    s->is_in = false;
    s->sync = NULL;
    s->join = join(s->id.n == 0 ? (s->id = new_id()) : s->id, "m");
}

static void survivor_joined(struct survivor *s)
{
    const struct join_group_response *r = joined(s->join);
    s->join = NULL;
    if (r->error_code != 0) {
        s->id = bytes_of("", 0);
        survivor_join(s);
        return;
    }
    s->generation = r->generation_id;
    struct asked *a = sync_of(s->id, s->generation);
    for (int32_t i = 0; i < r->members_n; i++)
        assign(a, r->members[i].member_id, "plan");
    s->sync = sync_send(a);
}

static void survivor_step(struct survivor *s)
{
    if (s->join != NULL && s->join->is_answered) {
        survivor_joined(s);
    } else if (s->sync != NULL && s->sync->is_answered) {
        s->is_in = synced(s->sync)->error_code == 0;
        s->sync = NULL;
        if (!s->is_in)
            survivor_join(s);
    } else if (s->join == NULL && s->sync == NULL) {
        int16_t code = heartbeat(s->id, s->generation);
        if (code == KAFKA_UNKNOWN_MEMBER_ID)
            s->id = bytes_of("", 0);
        if (code != 0)
            survivor_join(s);
    }
}

/* Two that share a group, the first of them its leader; both have joined generation 2, nobody has
 * synced. */
static void two_completing(struct survivor *a, struct survivor *b)
{
    struct asked *second;
    *a = (struct survivor){.id = preparing(&second)};
    struct asked *first = join(a->id, "m");
    *b = (struct survivor){.id = joined(second)->member_id, .generation = 2};
    a->generation = joined(first)->generation_id;
    assert_int_equal(g()->state, GROUP_COMPLETING);
}

static struct asked *leader_sync(const struct survivor *a, const struct survivor *b)
{
    struct asked *s = sync_of(a->id, 2);
    assign(s, a->id, "half");
    assign(s, b->id, "other half");
    return sync_send(s);
}

/* The survivor of the two after the other vanished in the `at`-th state. */
static struct survivor vanish(int at)
{
    struct survivor a, b;
    two_completing(&a, &b);
    switch (at) {
    case 0: b.sync = sync_send(sync_of(b.id, 2)); return b; /* the leader, before it assigned */
    case 1: a.sync = leader_sync(&a, &b); return a; /* a follower that never asks for its part */
    case 2:                                         /* the leader, its record on the way */
        b.sync = sync_send(sync_of(b.id, 2));
        leader_sync(&a, &b);
        return b;
    default: break;
    }
    a.sync = leader_sync(&a, &b);
    sync_send(sync_of(b.id, 2));
    appends_end();
    assert_int_equal(g()->state, GROUP_STABLE);
    switch (at) {
    case 3: return b; /* the leader, STABLE */
    case 4: return a; /* a follower, STABLE */
    case 5:           /* PREPARING; it had asked to join */
        a.join = NULL;
        groups_cancel(&bed.groups, &join(a.id, "other metadata")->op);
        return b;
    case 6: survivor_join(&a); return a; /* PREPARING for the leader; the other never comes */
    default: (void)new_id(); return a;   /* besides the other, one that asked for an id */
    }
}

/* Whoever it is and whenever: the other one has the group for itself within session and rebalance
 * timeouts (10 s, 20 s), and its session at no time ends. */
static void members_that_vanish_in_any_state_hold_nobody_up(void **state)
{
    for (int at = 0; at < 8; at++) {
        struct survivor s = vanish(at);
        for (int second = 0; second < 60; second++) {
            survivor_step(&s);
            appends_end();
            survivor_step(&s);
            pass(1000);
        }
        assert_true(s.is_in);
        assert_int_equal(g()->state, GROUP_STABLE);
        assert_int_equal(g()->members_n, 1);
        assert_true(bytes_equal(g()->leader, s.id));
        assert_int_equal(heartbeat(s.id, s.generation), 0);
        teardown(state);
        setup(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GROUP_TEST(first_member_makes_generation_one),
        GROUP_TEST(second_member_waits_for_the_first),
        GROUP_TEST(follower_gets_its_assignment_when_it_is_durable),
        GROUP_TEST(longest_pauses_of_a_rebalance_are_kept_in_order),
        GROUP_TEST(failed_append_is_told_to_all_and_rebalances),
        GROUP_TEST(append_that_ends_after_a_rebalance_began_is_ignored),
        GROUP_TEST(assignment_beyond_its_bound_is_refused),
        GROUP_TEST(silent_member_expires_after_its_session),
        GROUP_TEST(member_without_sync_is_dropped_after_the_rebalance_timeout),
        GROUP_TEST(slow_append_drops_nobody),
        GROUP_TEST(member_that_does_not_join_again_is_dropped),
        GROUP_TEST(leaving_member_makes_the_others_join_again),
        GROUP_TEST(pending_id_holds_the_rebalance_until_it_expires),
        GROUP_TEST(pending_id_that_leaves_lets_the_rebalance_go_on),
        GROUP_TEST(initial_delay_waits_for_newcomers),
        GROUP_TEST(initial_delay_ends_with_the_rebalance_timeout),
        GROUP_TEST(new_member_that_waits_too_long_is_given_up),
        GROUP_TEST(follower_that_joins_unchanged_gets_the_generation),
        GROUP_TEST(protocol_must_be_shared_by_all),
        GROUP_TEST(most_votes_choose_the_protocol),
        GROUP_TEST(group_size_is_bounded),
        GROUP_TEST(number_of_groups_and_bytes_are_bounded),
        GROUP_TEST(static_member_comes_back_without_rebalance),
        GROUP_TEST(static_member_survives_a_missed_rebalance),
        GROUP_TEST(static_member_leaves_by_its_instance),
        GROUP_TEST(commits_are_for_members_of_the_generation),
        GROUP_TEST(cancelled_join_is_answered_and_its_member_waits_on),
        GROUP_TEST(cancel_before_the_request_runs_is_remembered),
        GROUP_TEST(subscriptions_are_read),
        GROUP_TEST(members_that_vanish_in_any_state_hold_nobody_up),
    };
    return TESTS_RUN(tests);
}
