/*
 * group_next_test.c - KIP-848 groups: every arrow of a member, every refusal, static members,
 * expressions, replay.
 */
#include "next_bed.h"

#define RECORDS(b, text) assert_string_equal(bed_records(b, (char[256]){0}), text)

static struct next_member *member(const struct next_bed *b, const char *id)
{
    struct next_member *m = next_member_find(b->group, bytes_of_string(id));
    assert_non_null(m);
    return m;
}

/* One member has t, 4 partitions, and is stable. */
static void begin_one(struct next_bed *b, uint64_t seed)
{
    bed_init(b, seed);
    bed_topic_add(b, "t", 4);
    assert_int_equal(bed_join(b, "a", "t"), 0);
}

/* Sends a heartbeat in which the member owns what it is assigned. */
static int16_t beat_owning(struct next_bed *b, const char *id)
{
    const struct next_member *m = member(b, id);
    bed_beat(b, id, m->epoch);
    bed_owns(b, m->assigned.v, m->assigned.n);
    return bed_send(b);
}

static int16_t beat(struct next_bed *b, const char *id)
{
    bed_beat(b, id, member(b, id)->epoch);
    return bed_send(b);
}

static void join_first_member_gets_all(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 1);
    RECORDS(&b, "METtC");
    assert_int_equal(b.out->member_epoch, 2);
    assert_int_equal(b.out->heartbeat_interval_ms, 5000);
    assert_int_equal(bed_assigned_n(&b), 4);
    assert_true(bytes_equal_string(b.out->member_id, "a"));
    assert_int_equal(group_next_state(b.group), NEXT_SETTLED);
    assert_int_equal(beat(&b, "a"), 0);
    RECORDS(&b, "");
    assert_null(b.out->assignment);
    bed_fini(&b);
}

static void join_of_version_0_gets_an_id(void **state)
{
    static struct next_bed b;
    (void)state;
    bed_init(&b, 2);
    b.api_version = 0;
    assert_int_equal(bed_join(&b, "", "t"), 0);
    assert_int_equal(b.out->member_id.n, 22);
    assert_int_equal(bed_assigned_n(&b), 0); /* there is no topic t */
    assert_non_null(b.out->assignment);
    bed_fini(&b);
}

/* a: STABLE -> UNREVOKED -> STABLE; b: UNRELEASED -> STABLE. */
static void second_member_waits_until_first_has_revoked(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 3);
    assert_int_equal(bed_join(&b, "b", "t"), 0);
    RECORDS(&b, "METTtC");
    assert_int_equal(b.out->member_epoch, 3);
    assert_int_equal(bed_assigned_n(&b), 0);
    assert_int_equal(member(&b, "b")->state, NEXT_UNRELEASED);
    assert_int_equal(group_next_state(b.group), NEXT_RECONCILING);
    assert_int_equal(beat(&b, "a"), 0);
    RECORDS(&b, "C");
    assert_int_equal(member(&b, "a")->state, NEXT_UNREVOKED);
    assert_int_equal(b.out->member_epoch, 2); /* keeps its epoch until it has revoked */
    assert_int_equal(bed_assigned_n(&b), 2);
    assert_int_equal(beat(&b, "b"), 0);
    assert_int_equal(member(&b, "b")->assigned.n, 0);
    assert_int_equal(beat(&b, "a"), 0); /* owns: not said */
    RECORDS(&b, "");
    assert_int_equal(beat_owning(&b, "a"), 0);
    assert_int_equal(b.out->member_epoch, 3);
    assert_int_equal(member(&b, "a")->state, NEXT_STABLE);
    assert_int_equal(beat(&b, "b"), 0);
    assert_int_equal(bed_assigned_n(&b), 2);
    assert_int_equal(b.out->member_epoch, 3);
    assert_int_equal(group_next_state(b.group), NEXT_SETTLED);
    bed_fini(&b);
}

static void revoking_takes_longer_than_the_timeout_fences(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 4);
    assert_int_equal(bed_join(&b, "b", "t"), 0);
    assert_int_equal(beat(&b, "a"), 0);
    for (int i = 0; i < 2; i++) {
        bed_wait(&b, 29000);
        assert_int_equal(beat(&b, "a"), 0); /* it lives, but does not revoke */
        assert_int_equal(beat(&b, "b"), 0);
    }
    bed_wait(&b, 3000);
    RECORDS(&b, "-C-T-ME");
    assert_null(next_member_find(b.group, bytes_of_string("a")));
    assert_int_equal(beat(&b, "b"), 0);
    assert_int_equal(bed_assigned_n(&b), 4);
    bed_beat(&b, "a", 2);
    assert_int_equal(bed_send(&b), KAFKA_UNKNOWN_MEMBER_ID);
    bed_text(&b, "Member a is not a member of group group.");
    bed_fini(&b);
}

static void silent_member_is_fenced_after_its_session(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 5);
    assert_int_equal(bed_join(&b, "b", "t"), 0);
    bed_wait(&b, 44000);
    assert_int_equal(beat(&b, "b"), 0);
    bed_wait(&b, 2000);
    RECORDS(&b, "-C-T-ME");
    assert_int_equal(b.group->members_n, 1);
    assert_int_equal(beat(&b, "b"), 0);
    assert_int_equal(bed_assigned_n(&b), 4);
    bed_wait(&b, 46000);
    assert_int_equal(group_next_state(b.group), NEXT_EMPTY);
    bed_fini(&b);
}

static void leave_frees_partitions_and_bumps_the_epoch(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 6);
    bed_beat(&b, "a", -1);
    assert_int_equal(bed_send(&b), 0);
    assert_int_equal(b.out->member_epoch, -1);
    assert_int_equal(b.out->heartbeat_interval_ms, 0);
    RECORDS(&b, "-C-T-ME");
    assert_int_equal(b.group->epoch, 3);
    bed_beat(&b, "a", -1);
    assert_int_equal(bed_send(&b), KAFKA_UNKNOWN_MEMBER_ID);
    bed_fini(&b);
}

static void epochs_that_do_not_fit_are_fenced(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 7);
    bed_beat(&b, "a", 9);
    assert_int_equal(bed_send(&b), KAFKA_FENCED_MEMBER_EPOCH);
    bed_text(&b, "The consumer group member has a greater member epoch (9) than the one known by "
                 "the group coordinator "
                 "(2). The member must abandon all its partitions and rejoin.");
    bed_topic_add(&b, "u", 1);
    bed_beat(&b, "a", 2);
    bed_names(&b, "t u");
    assert_int_equal(bed_send(&b), 0);
    assert_int_equal(b.out->member_epoch, 3);
    struct next_member *m = member(&b, "a");
    bed_beat(&b, "a", 2); /* the answer was lost; what it owned then is part of what it has */
    bed_owns(&b, m->assigned.v, 2);
    assert_int_equal(bed_send(&b), 0);
    assert_int_equal(b.out->member_epoch, 3);
    bed_beat(&b, "a", 2);
    assert_int_equal(bed_send(&b), KAFKA_FENCED_MEMBER_EPOCH); /* does not say what it owns */
    bed_text(&b, "The consumer group member has a smaller member epoch (2) than the one known by "
                 "the group coordinator "
                 "(3). The member must abandon all its partitions and rejoin.");
    struct next_part foreign = {m->assigned.v[0].topic_id, 17, 0};
    bed_beat(&b, "a", 2);
    bed_owns(&b, &foreign, 1);
    assert_int_equal(bed_send(&b), KAFKA_FENCED_MEMBER_EPOCH);
    bed_beat(&b, "nobody", 4);
    assert_int_equal(bed_send(&b), KAFKA_UNKNOWN_MEMBER_ID);
    bed_fini(&b);
}

static void requests_that_say_too_little_are_refused(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 8);
    struct consumer_group_heartbeat_request *r = &b.request;
#define REFUSED(setup, error, text)            \
    do {                                       \
        bed_beat(&b, "x", 0);                  \
        r->rebalance_timeout_ms = 1000;        \
        bed_names(&b, "t");                    \
        bed_owns(&b, NULL, 0);                 \
        setup;                                 \
        assert_int_equal(bed_send(&b), error); \
        bed_text(&b, text);                    \
    } while (0)
    struct bytes empty = bytes_of("", 0);
    REFUSED(r->group_id = empty, 42, "GroupId can't be empty.");
    REFUSED(r->member_id = empty, 42, "MemberId can't be empty.");
    REFUSED(r->instance_id = empty, 42, "InstanceId can't be empty.");
    REFUSED(r->rack_id = empty, 42, "RackId can't be empty.");
    REFUSED(r->rebalance_timeout_ms = -1, 42,
            "RebalanceTimeoutMs must be provided in first request.");
    REFUSED(r->topic_partitions_n = -1, 42, "TopicPartitions must be empty when (re-)joining.");
    REFUSED(
        r->subscribed_topic_names_n = -1, 42,
        "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
    REFUSED(r->member_epoch = -3, 42, "MemberEpoch is invalid.");
    REFUSED(r->member_epoch = -2, 42, "InstanceId can't be null.");
    REFUSED(r->server_assignor = bytes_of_string("zzz"), 112,
            "ServerAssignor zzz is not supported. Supported assignors: uniform, range.");
    REFUSED(r->subscribed_topic_regex = bytes_of_string("(["), 128,
            "SubscribedTopicRegex `([` is not a valid regular expression: missing closing ].");
    assert_int_equal(b.group->members_n, 1);
    b.nexts.config.size_max = 1;
    REFUSED((void)0, 81, "The consumer group has reached its maximum capacity of 1 members.");
    b.nexts.config.bytes_max = 1;
    b.nexts.config.size_max = 9;
    REFUSED((void)0, 15, "The members of all groups use more memory than they may.");
    bed_fini(&b);
}

static void static_member_keeps_its_partitions_while_away(void **state)
{
    static struct next_bed b;
    (void)state;
    bed_init(&b, 9);
    bed_topic_add(&b, "t", 4);
    bed_beat(&b, "a", 0);
    b.request.instance_id = bytes_of_string("i");
    b.request.rebalance_timeout_ms = 1000;
    bed_names(&b, "t");
    bed_owns(&b, NULL, 0);
    struct consumer_group_heartbeat_request join = b.request;
    assert_int_equal(bed_send(&b), 0);
    b.request = join;
    b.request.member_id = bytes_of_string("b");
    assert_int_equal(bed_send(&b), KAFKA_UNRELEASED_INSTANCE_ID);
    bed_text(&b, "Static member b with instance id i cannot join the group because the instance id "
                 "is owned by a "
                 "member.");
    bed_beat(&b, "b", 2);
    b.request.instance_id = bytes_of_string("i");
    assert_int_equal(bed_send(&b), KAFKA_FENCED_INSTANCE_ID);
    bed_text(&b, "Static member b with instance id i was fenced by member a.");
    bed_beat(&b, "a", -2);
    b.request.instance_id = bytes_of_string("i");
    assert_int_equal(bed_send(&b), 0);
    assert_int_equal(b.out->member_epoch, -2);
    RECORDS(&b, "C");
    assert_int_equal(bed_join(&b, "c", "t"),
                     0); /* the partitions are not free: two wait for i, two for c */
    assert_int_equal(bed_assigned_n(&b), 0);
    b.request = join;
    b.request.member_id = bytes_of_string("b");
    bed_names(&b, "t");
    assert_int_equal(bed_send(&b), 0);
    RECORDS(&b, "-C-T-MTMC");
    assert_int_equal(b.out->member_epoch, 3);
    assert_int_equal(bed_assigned_n(&b), 2);
    assert_null(next_member_find(b.group, bytes_of_string("a")));
    assert_int_equal(beat(&b, "c"), 0);
    assert_int_equal(bed_assigned_n(&b), 2);
    bed_restart(&b);
    assert_int_equal(b.group->static_n, 1);
    bed_beat(&b, "b", -1);
    b.request.instance_id = bytes_of_string("i");
    assert_int_equal(bed_send(&b), 0);
    bed_beat(&b, "b", -2);
    b.request.instance_id = bytes_of_string("i");
    assert_int_equal(bed_send(&b), KAFKA_UNKNOWN_MEMBER_ID);
    bed_text(&b, "Instance id i is unknown.");
    bed_fini(&b);
}

static void static_member_that_stays_away_is_fenced(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 10);
    bed_beat(&b, "s", 0);
    b.request.instance_id = bytes_of_string("i");
    b.request.rebalance_timeout_ms = 1000;
    bed_names(&b, "t");
    bed_owns(&b, NULL, 0);
    assert_int_equal(bed_send(&b), 0);
    bed_beat(&b, "s", -2);
    b.request.instance_id = bytes_of_string("i");
    assert_int_equal(bed_send(&b), 0);
    bed_wait(&b, 40000);
    assert_int_equal(beat(&b, "a"), 0);
    bed_wait(&b, 6000);
    assert_int_equal(b.group->members_n, 1);
    assert_int_equal(b.group->static_n, 0);
    bed_fini(&b);
}

static void topics_that_come_grow_or_go_bump_the_epoch(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 11);
    bed_beat(&b, "a", 2);
    bed_names(&b, "t later");
    assert_int_equal(bed_send(&b), 0);
    assert_int_equal(b.out->member_epoch, 3);
    bed_topic_add(&b, "other", 3);
    assert_int_equal(beat(&b, "a"), 0);
    RECORDS(&b, "");
    bed_topic_add(&b, "later", 2);
    assert_int_equal(beat(&b, "a"), 0);
    RECORDS(&b, "ETtC");
    assert_int_equal(bed_assigned_n(&b), 6);
    b.topics[0].partitions_n = 5;
    b.version++;
    assert_int_equal(beat(&b, "a"), 0);
    assert_int_equal(bed_assigned_n(&b), 7);
    b.topics[0].partitions_n = 0;
    b.version++;
    assert_int_equal(beat_owning(&b, "a"), 0);
    assert_int_equal(member(&b, "a")->state, NEXT_UNREVOKED);
    assert_int_equal(beat_owning(&b, "a"), 0);
    assert_int_equal(b.out->member_epoch, 6);
    assert_int_equal(member(&b, "a")->assigned.n, 2);
    bed_fini(&b);
}

static void null_fields_change_nothing(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 12);
    bed_beat(&b, "a", 2);
    b.request.rack_id = bytes_of_string("r");
    b.request.server_assignor = bytes_of_string("range");
    assert_int_equal(bed_send(&b), 0);
    RECORDS(&b, "M"); /* no new epoch */
    assert_int_equal(beat(&b, "a"), 0);
    RECORDS(&b, "");
    assert_true(bytes_equal_string(member(&b, "a")->rack_id, "r"));
    bed_beat(&b, "a", 2);
    bed_names(&b, "t t");
    assert_int_equal(bed_send(&b), 0);
    RECORDS(&b, ""); /* the same names */
    const struct next_member *m = member(&b, "a");
    bed_beat(&b, "a", 2);
    b.request.rebalance_timeout_ms = 60000;
    bed_names(&b, "t");
    bed_owns(&b, m->assigned.v, m->assigned.n);
    assert_int_equal(bed_send(&b), 0);
    assert_int_equal(bed_assigned_n(&b), 4); /* a full request is answered in full */
    bed_fini(&b);
}

static void unsubscribed_topic_is_revoked_at_once(void **state)
{
    static struct next_bed b;
    (void)state;
    bed_init(&b, 13);
    b.nexts.config.assignment_interval_ms = 1000;
    bed_topic_add(&b, "t", 4);
    bed_topic_add(&b, "u", 2);
    assert_int_equal(bed_join(&b, "a", "t u"), 0);
    bed_beat(&b, "a", 2);
    bed_names(&b, "u");
    assert_int_equal(bed_send(&b), 0);
    RECORDS(&b, "MEC"); /* the new target waits for its interval */
    assert_int_equal(bed_assigned_n(&b), 2);
    assert_int_equal(group_next_state(b.group), NEXT_ASSIGNING);
    bed_wait(&b, 1000);
    assert_int_equal(beat_owning(&b, "a"), 0);
    assert_int_equal(b.out->member_epoch, 3);
    assert_int_equal(group_next_state(b.group), NEXT_SETTLED);
    bed_fini(&b);
}

static void expression_follows_the_topics(void **state)
{
    static struct next_bed b;
    (void)state;
    bed_init(&b, 14);
    bed_topic_add(&b, "a-1", 2);
    bed_topic_add(&b, "b-1", 2);
    bed_beat(&b, "m", 0);
    b.request.rebalance_timeout_ms = 1000;
    b.request.subscribed_topic_regex = bytes_of_string("a-.*");
    bed_owns(&b, NULL, 0);
    assert_int_equal(bed_send(&b), 0);
    RECORDS(&b, "RMETtC");
    assert_int_equal(bed_assigned_n(&b), 2);
    bed_topic_add(&b, "a-2", 3);
    assert_int_equal(beat(&b, "m"), 0);
    RECORDS(&b, "RETtC");
    assert_int_equal(bed_assigned_n(&b), 5);
    bed_restart(&b);
    assert_int_equal(b.group->topics_n, 2);
    assert_int_equal(beat(&b, "m"), 0);
    RECORDS(&b, "");
    bed_beat(&b, "m", 3);
    b.request.subscribed_topic_regex = bytes_of_string("");
    bed_names(&b, "b-1");
    bed_owns(&b, NULL, 0);
    assert_int_equal(bed_send(&b), 0);
    RECORDS(&b, "-RMETtC");
    assert_int_equal(bed_assigned_n(&b), 2);
    assert_true(list_is_empty(&b.group->regexes));
    bed_beat(&b, "m", 4);
    b.request.subscribed_topic_regex = bytes_of_string("(?=x)");
    assert_int_equal(bed_send(&b), KAFKA_INVALID_REGULAR_EXPRESSION);
    bed_fini(&b);
}

static void majority_chooses_the_assignor(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 15);
    assert_int_equal(b.group->assignor, ASSIGN_UNIFORM);
    bed_beat(&b, "b", 0);
    b.request.rebalance_timeout_ms = 1000;
    b.request.server_assignor = bytes_of_string("range");
    bed_names(&b, "t");
    bed_owns(&b, NULL, 0);
    assert_int_equal(bed_send(&b), 0);
    assert_int_equal(b.group->assignor, ASSIGN_RANGE);
    bed_fini(&b);
}

static void epoch_of_a_commit_must_fit_its_partition(void **state)
{
    static struct next_bed b;
    struct bytes a = bytes_of_string("a"), none = {NULL, 0};
    (void)state;
    begin_one(&b, 16);
    const struct uuid *t = &b.topics[0].id;
    struct uuid u = bed_topic_add(&b, "u", 1)->id;
    bed_beat(&b, "a", 2);
    bed_names(&b, "t u");
    assert_int_equal(bed_send(&b), 0);
    assert_int_equal(next_commit_check(b.group, a, 3, 9, t, 0), 0);
    assert_int_equal(next_commit_check(b.group, a, 2, 9, t, 0), 0); /* it has had it since 2 */
    assert_int_equal(next_commit_check(b.group, a, 2, 9, &u, 0),
                     KAFKA_STALE_MEMBER_EPOCH); /* since 3 */
    assert_int_equal(next_commit_check(b.group, a, 2, 9, &u, 7), KAFKA_STALE_MEMBER_EPOCH);
    assert_int_equal(next_commit_check(b.group, a, 4, 9, t, 0), KAFKA_STALE_MEMBER_EPOCH);
    assert_int_equal(next_commit_check(b.group, a, -1, 9, t, 0), KAFKA_STALE_MEMBER_EPOCH);
    assert_int_equal(next_commit_check(b.group, a, 3, 8, t, 0), KAFKA_UNSUPPORTED_VERSION);
    assert_int_equal(next_commit_check(b.group, bytes_of_string("x"), 3, 9, t, 0),
                     KAFKA_UNKNOWN_MEMBER_ID);
    assert_int_equal(next_fetch_check(b.group, a, 3), 0);
    assert_int_equal(next_fetch_check(b.group, a, 2), KAFKA_STALE_MEMBER_EPOCH);
    assert_int_equal(next_fetch_check(b.group, none, -1), 0);
    assert_int_equal(next_fetch_check(b.group, bytes_of_string("x"), 3), KAFKA_UNKNOWN_MEMBER_ID);
    bed_beat(&b, "a", -1);
    assert_int_equal(bed_send(&b), 0);
    assert_int_equal(next_commit_check(b.group, none, -1, 2, t, 0), 0);
    bed_fini(&b);
}

static void large_assignment_goes_on_in_turns(void **state)
{
    enum { MEMBERS = 400 };
    static struct next_bed b;
    char names[MEMBERS][8], topics[] = "t0 t1 t2 t3 t4 t5 t6 t7 t8 t9 tA tB tC tD tE";
    (void)state;
    bed_init(&b, 17);
    b.nexts.config.assignment_interval_ms = 1000;
    for (int i = 0; i < 15; i++)
        bed_topic_add(&b, (char[]){'t', "0123456789ABCDE"[i], '\0'}, 6000);
    for (int i = 0; i < MEMBERS; i++) {
        snprintf(names[i], sizeof names[i], "m%d", i);
        assert_int_equal(bed_join(&b, names[i], topics), 0);
    }
    assert_null(b.group->job);
    assert_int_equal(b.group->assignment_epoch, 2);
    bed_wait(&b, 1000);
    assert_int_equal(beat(&b, "m1"), 0);
    assert_non_null(b.group->job);
    int turns = 1;
    while (nexts_turn(&b.nexts, b.now) > 0) {
        if (turns++ == 1) {
            bed_beat(&b, "m7", -1);
            assert_int_equal(bed_send(&b), 0); /* leaves in the middle */
            assert_int_equal(bed_join(&b, "late", topics), 0);
        }
    }
    assert_true(turns > 2);
    assert_int_equal(b.group->assignment_epoch, MEMBERS + 1);
    assert_int_equal(member(&b, "late")->target.n, 0);
    assert_in_range(member(&b, "m9")->target.n, 15 * 6000 / MEMBERS, 15 * 6000 / (MEMBERS - 1) + 1);
    group_next_invariants(b.group);
    bed_fini(&b);
}

/* Damage of every kind: each value of the log cut or changed; nothing stops the process. */
static void records_damaged_are_refused_or_put_right(void **state)
{
    static struct next_bed b;
    struct prng prng;
    (void)state;
    begin_one(&b, 18);
    assert_int_equal(bed_join(&b, "b", "t"), 0);
    assert_int_equal(beat(&b, "a"), 0);
    prng_init(&prng, 99);
    for (int round = 0; round < 3000; round++) {
        struct bytes key, value;
        struct arena arena;
        uint32_t at = 0;
        struct group_next *g = group_next_new(&b.nexts, bytes_of_string("group"), NULL);
        arena_init(&arena, NULL, NULL, 1 << 20);
        while (group_records_next(&b.log, &at, &key, &value)) {
            struct next_record record;
            uint8_t bytes[512];
            if (value.ptr != NULL && value.n <= sizeof bytes && prng_chance(&prng, 30)) {
                memcpy(bytes, value.ptr, value.n);
                bytes[prng_below(&prng, value.n)] = (uint8_t)prng_next(&prng);
                value = bytes_of(bytes, prng_chance(&prng, 50) ? value.n
                                                               : prng_below(&prng, value.n + 1ull));
            }
            int e = next_record_decode(key, value, &arena, &record);
            assert_true(e == 0 || e == E_MALFORMED || e == E_UNSUPPORTED || e == E_NO_MEMORY);
            if (e == 0)
                assert_int_equal(group_next_apply(g, &record), 0);
        }
        assert_int_equal(group_next_restored(g, b.now), 0);
        group_next_invariants(g);
        group_next_free(g);
        arena_fini(&arena);
    }
    bed_fini(&b);
}

static void replay_of_a_whole_log_is_the_group(void **state)
{
    static struct next_bed b;
    (void)state;
    begin_one(&b, 19);
    assert_int_equal(bed_join(&b, "b", "t u"), 0);
    assert_int_equal(beat(&b, "a"), 0);
    int32_t epoch = b.group->epoch;
    bed_restart(&b);
    assert_int_equal(b.group->epoch, epoch);
    assert_int_equal(b.group->assignment_epoch, epoch);
    assert_int_equal(member(&b, "a")->state, NEXT_UNREVOKED);
    assert_int_equal(member(&b, "a")->revoking.n, 2);
    assert_int_equal(member(&b, "b")->names.n, 2);
    assert_int_equal(beat_owning(&b, "a"), 0);
    assert_int_equal(beat(&b, "b"), 0);
    assert_int_equal(bed_assigned_n(&b), 2);
    /* Ended: nothing is left of it. */
    struct group_records gone = {0};
    next_records_group_gone(&gone, b.group);
    bed_append(&b, b.group, &gone, NULL);
    bed_restart(&b);
    assert_true(group_next_is_nothing(b.group));
    bed_fini(&b);
}

/* One of two goes silent while STABLE, UNREVOKED, UNRELEASED; the other has all within the session
 * or rebalance timeout. */
static void members_that_vanish_in_any_state_hold_nobody_up(void **state)
{
    static struct next_bed b;
    (void)state;
    for (int at = 0; at < 3; at++) {
        begin_one(&b, 40 + (uint64_t)at);
        assert_int_equal(bed_join(&b, "b", "t"), 0);
        const char *survivor = at == 2 ? "a" : "b";
        if (at < 2)
            assert_int_equal(beat(&b, "a"), 0);
        if (at == 0) {
            assert_int_equal(beat_owning(&b, "a"), 0);
            assert_int_equal(beat(&b, "b"), 0);
        }
        assert_int_equal(member(&b, at == 2 ? "b" : "a")->state, at == 0   ? NEXT_STABLE
                                                                 : at == 1 ? NEXT_UNREVOKED
                                                                           : NEXT_UNRELEASED);
        for (int i = 0; i < 14; i++) {
            bed_wait(&b, 5000);
            assert_int_equal(beat_owning(&b, survivor), 0);
        }
        assert_int_equal(b.group->members_n, 1);
        assert_int_equal(member(&b, survivor)->assigned.n, 4);
        assert_int_equal(group_next_state(b.group), NEXT_SETTLED);
        bed_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(join_first_member_gets_all),
        TEST(join_of_version_0_gets_an_id),
        TEST(second_member_waits_until_first_has_revoked),
        TEST(revoking_takes_longer_than_the_timeout_fences),
        TEST(silent_member_is_fenced_after_its_session),
        TEST(leave_frees_partitions_and_bumps_the_epoch),
        TEST(epochs_that_do_not_fit_are_fenced),
        TEST(requests_that_say_too_little_are_refused),
        TEST(static_member_keeps_its_partitions_while_away),
        TEST(static_member_that_stays_away_is_fenced),
        TEST(topics_that_come_grow_or_go_bump_the_epoch),
        TEST(null_fields_change_nothing),
        TEST(unsubscribed_topic_is_revoked_at_once),
        TEST(expression_follows_the_topics),
        TEST(majority_chooses_the_assignor),
        TEST(epoch_of_a_commit_must_fit_its_partition),
        TEST(large_assignment_goes_on_in_turns),
        TEST(records_damaged_are_refused_or_put_right),
        TEST(replay_of_a_whole_log_is_the_group),
        TEST(members_that_vanish_in_any_state_hold_nobody_up),
    };
    return TESTS_RUN(tests);
}
