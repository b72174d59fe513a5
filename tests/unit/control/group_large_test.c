/*
 * group_large_test.c - what is large at control takes turns and delays nobody: commits of 9,000
 * offsets, a megabyte of metadata, 20,000 groups named at once, assignments of 8,000 partitions.
 */
#include "coordinator_bed.h"

enum { PARTITIONS_N = 9000, TOPICS_N = 4, TOPIC_PARTITIONS_N = 2000, NAMES_N = 20000 };

static struct offset_commit_request_topics_partitions parts[PARTITIONS_N];

static struct offset_commit_request commit_of(const char *group,
                                              struct offset_commit_request_topics *topic,
                                              const char *name, int32_t n)
{
    *topic = (struct offset_commit_request_topics){
        .name = bytes_of_string(name), .partitions = parts, .partitions_n = n};
    return (struct offset_commit_request){.group_id = bytes_of_string(group),
                                          .generation_id_or_member_epoch = -1,
                                          .member_id = bytes_of_string(""),
                                          .retention_time_ms = -1,
                                          .topics = topic,
                                          .topics_n = 1};
}

static void parts_fill(int32_t n, int64_t offset)
{
    for (int32_t i = 0; i < n; i++)
        parts[i] = (struct offset_commit_request_topics_partitions){
            .partition_index = i, .committed_offset = offset, .committed_leader_epoch = -1};
}

static int64_t fetch_last(const char *group, const char *topic, int32_t partition)
{
    struct control_op op;
    struct offset_fetch_request_groups_topics t = {
        .name = bytes_of_string(topic), .partition_indexes = &partition, .partition_indexes_n = 1};
    struct offset_fetch_request_groups g = {
        .group_id = bytes_of_string(group), .member_epoch = -1, .topics = &t, .topics_n = 1};
    struct offset_fetch_request q = {.groups = &g, .groups_n = 1};
    const struct offset_fetch_response *r = rig_ask(&rig, &op, 9, 8, &q);
    assert_non_null(r);
    int64_t offset = r->groups[0].topics[0].partitions[0].committed_offset;
    arena_fini(&op.arena);
    return offset;
}

static int32_t partition_of(const char *group)
{
    int32_t partition = -1;
    const struct coordinator *co = rig.control->coordinator;
    assert_int_equal(coordinator_code(co, bytes_of_string(group), &partition), 0);
    return partition;
}

static void answered_within(struct control_op *op, int turns_n)
{
    while (turns_n-- > 0 && !op->mail.is_answer)
        rig_turn(&rig);
    assert_true(op->mail.is_answer);
}

/* ── OffsetCommit ── */

/* offset.metadata.max.bytes is 4096: the partition is told, the others of the request are
 * committed, and nothing of the megabyte is kept. */
static void commit_of_a_megabyte_of_metadata_is_refused_alone(void **state)
{
    enum { MEGABYTE = 1 << 20 };
    struct control_op op;
    struct offset_commit_request_topics topic;
    char *text = malloc(MEGABYTE);
    (void)state;
    assert_non_null(text);
    memset(text, 'm', MEGABYTE);
    assert_int_equal(rig_create(&rig, "t", 4), 0);
    coordinator_make();
    parts_fill(4, 7);
    parts[1].committed_metadata = bytes_of(text, MEGABYTE);
    parts[2].committed_metadata = bytes_of(text, 4096);
    parts[3].committed_metadata = bytes_of(text, 4097);
    struct offset_commit_request q = commit_of("g", &topic, "t", 4);
    const struct offset_commit_response *r = rig_ask(&rig, &op, 8, 8, &q);
    static const int16_t codes[] = {0, KAFKA_OFFSET_METADATA_TOO_LARGE, 0,
                                    KAFKA_OFFSET_METADATA_TOO_LARGE};
    for (int i = 0; i < 4; i++)
        assert_int_equal(r->topics[0].partitions[i].error_code, codes[i]);
    arena_fini(&op.arena);
    free(text);
    assert_int_equal(fetch_last("g", "t", 1), -1);
    assert_int_equal(fetch_last("g", "t", 2), 7);
    assert_in_range(rig.control->coordinator->groups.bytes, 4096, 3 * 4096);
    uint32_t logged = 0;
    for (int i = 0; i < LOGS; i++)
        logged += logs[i].n;
    assert_in_range(logged, 4096, 3 * 4096);
}

/* It is made of records over turns; what was sent behind it stays behind it, and another group is
 * answered meanwhile. */
static void commit_of_9000_offsets_takes_turns_and_keeps_its_place(void **state)
{
    struct control_op large, small, other;
    struct offset_commit_request_topics topics[3];
    static struct offset_commit_request_topics_partitions last, elsewhere;
    (void)state;
    assert_int_equal(rig_create(&rig, "t", PARTITIONS_N), 0);
    coordinator_make();
    parts_fill(PARTITIONS_N, 5);
    struct offset_commit_request q = commit_of("g", &topics[0], "t", PARTITIONS_N);
    struct offset_commit_request next = commit_of("g", &topics[1], "t", 1);
    last = parts[PARTITIONS_N - 1];
    last.committed_offset = 6;
    topics[1].partitions = &last;
    struct offset_commit_request another = commit_of("other", &topics[2], "t", 1);
    elsewhere = parts[0];
    topics[2].partitions = &elsewhere;
    assert_int_not_equal(partition_of("g"), partition_of("other"));
    rig_send(&rig, &large, 8, 8, &q);
    rig_send(&rig, &small, 8, 8, &next);
    rig_send(&rig, &other, 8, 8, &another);
    answered_within(&other, 8);
    assert_false(large.mail.is_answer);
    answered_within(&small, 300);
    assert_true(large.mail.is_answer);
    const struct offset_commit_response *r = large.response;
    for (int i = 0; i < PARTITIONS_N; i++)
        assert_int_equal(r->topics[0].partitions[i].error_code, 0);
    arena_fini(&large.arena);
    arena_fini(&small.arena);
    arena_fini(&other.arena);
    assert_int_equal(fetch_last("g", "t", PARTITIONS_N - 1), 6);
    assert_int_equal(fetch_last("g", "t", PARTITIONS_N - 2), 5);
    restart();
    loaded();
    assert_int_equal(fetch_last("g", "t", PARTITIONS_N - 1), 6);
    assert_int_equal(fetch_last("g", "t", 0), 5);
}

/* The log fails while records of it are still being made. */
static void commit_in_the_making_ends_with_its_partition(void **state)
{
    struct control_op op;
    struct offset_commit_request_topics topic;
    (void)state;
    assert_int_equal(rig_create(&rig, "t", PARTITIONS_N), 0);
    coordinator_make();
    parts_fill(PARTITIONS_N, 5);
    struct offset_commit_request q = commit_of("g", &topic, "t", PARTITIONS_N);
    rig_send(&rig, &op, 8, 8, &q);
    turns(2);
    struct coordinator *co = rig.control->coordinator;
    assert_false(list_is_empty(&co->open));
    coordinator_partition_fail(co, &co->partitions[partition_of("g")]);
    assert_true(list_is_empty(&co->open));
    answered_within(&op, 3);
    const struct offset_commit_response *r = op.response;
    assert_int_equal(r->topics[0].partitions[0].error_code, KAFKA_NOT_COORDINATOR);
    arena_fini(&op.arena);
}

/* ── many groups ── */

/* Those that are there and those that are not, in one answer; a heartbeat is answered meanwhile. */
static void twenty_thousand_groups_are_described_over_turns(void **state)
{
    static char texts[NAMES_N][12];
    static struct bytes names[NAMES_N];
    struct control_op op, beat;
    struct offset_commit_request_topics topic;
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 1), 0);
    coordinator_make();
    for (int i = 0; i < NAMES_N; i++) {
        snprintf(texts[i], sizeof texts[i], "group-%d", i);
        names[i] = bytes_of_string(texts[i]);
    }
    parts_fill(1, 5);
    struct offset_commit_request commit = commit_of(texts[NAMES_N - 1], &topic, "t", 1);
    assert_non_null(rig_ask(&rig, &op, 8, 8, &commit));
    arena_fini(&op.arena);
    struct describe_groups_request q = {.groups = names, .groups_n = NAMES_N};
    struct heartbeat_request h = {names[0], 1, bytes_of_string("nobody"), {NULL, 0}};
    rig_send(&rig, &op, 15, 6, &q);
    turns(2);
    rig_send(&rig, &beat, 12, 4, &h);
    answered_within(&beat, 3);
    assert_false(op.mail.is_answer);
    answered_within(&op, 500);
    const struct describe_groups_response *r = op.response;
    assert_non_null(r);
    assert_int_equal(r->groups_n, NAMES_N);
    assert_int_equal(r->groups[0].error_code, KAFKA_GROUP_ID_NOT_FOUND);
    assert_int_equal(r->groups[0].authorized_operations, INT32_MIN);
    assert_int_equal(r->groups[NAMES_N - 1].error_code, 0);
    assert_true(bytes_text_is(r->groups[NAMES_N - 1].group_state, "Empty"));
    arena_fini(&op.arena);
    arena_fini(&beat.arena);
}

/* ── an assignment of 8,000 partitions ── */

static struct bytes topic_names[TOPICS_N];
static char topic_texts[TOPICS_N][8];

static void topics_make(void)
{
    for (int i = 0; i < TOPICS_N; i++) {
        snprintf(topic_texts[i], sizeof topic_texts[i], "t%d", i);
        topic_names[i] = bytes_of_string(topic_texts[i]);
        assert_int_equal(rig_create(&rig, topic_texts[i], TOPIC_PARTITIONS_N), 0);
    }
    coordinator_make();
}

static struct consumer_group_heartbeat_request join_of(const char *member)
{
    return (struct consumer_group_heartbeat_request){.group_id = bytes_of_string("g"),
                                                     .member_id = bytes_of_string(member),
                                                     .rebalance_timeout_ms = 20000,
                                                     .subscribed_topic_names = topic_names,
                                                     .subscribed_topic_names_n = TOPICS_N};
}

/* Kafka answers the first member's first heartbeat with all there is. So does this, some turns
 * later; who joins meanwhile comes after it, and version 0 keeps the id it was given. */
static void first_assignment_that_is_large_is_waited_for(void **state)
{
    struct control_op first, second;
    (void)state;
    topics_make();
    struct consumer_group_heartbeat_request q = join_of(""), other = join_of("b");
    rig_send(&rig, &first, 68, 0, &q);
    rig_send(&rig, &second, 68, 1, &other);
    turns(1);
    struct group *g = group_find(&rig.control->coordinator->groups, bytes_of_string("g"));
    assert_non_null(g->next->job);
    assert_false(first.mail.is_answer);
    answered_within(&first, 50);
    const struct consumer_group_heartbeat_response *r = first.response;
    assert_int_equal(r->error_code, 0);
    assert_int_equal(r->member_id.n, 22);
    assert_int_equal(r->assignment->topic_partitions_n, TOPICS_N);
    for (int i = 0; i < TOPICS_N; i++)
        assert_int_equal(r->assignment->topic_partitions[i].partitions_n, TOPIC_PARTITIONS_N);
    answered_within(&second, 50);
    assert_int_equal(((struct consumer_group_heartbeat_response *)second.response)->error_code, 0);
    assert_int_equal(g->next->members_n, 2);
    arena_fini(&first.arena);
    arena_fini(&second.arena);
}

/* The topic of the groups is deleted while they wait. */
static void heartbeat_that_waits_for_an_assignment_ends_with_its_group(void **state)
{
    struct control_op op;
    (void)state;
    topics_make();
    struct consumer_group_heartbeat_request q = join_of("a");
    rig_send(&rig, &op, 68, 1, &q);
    turns(1);
    struct coordinator *co = rig.control->coordinator;
    assert_non_null(group_find(&co->groups, bytes_of_string("g"))->next->job);
    coordinator_partition_fail(co, &co->partitions[partition_of("g")]);
    answered_within(&op, 3);
    assert_int_equal(((struct consumer_group_heartbeat_response *)op.response)->error_code,
                     KAFKA_NOT_COORDINATOR);
    arena_fini(&op.arena);
    assert_true(list_is_empty(&co->nexts.jobs));
}

/* ── time ── */

/* The wall clock is set back by a day, then forward by nine: offsets of a group with nobody expire
 * then, as they do in Apache Kafka, those of one with members do not, and no session ends. */
static void clock_jumps_end_no_member(void **state)
{
    struct control_op op, wait;
    struct offset_commit_request_topics topic;
    struct join_group_request_protocols protocol = {bytes_of_string("range"),
                                                    bytes_of_string("\0\0\0\0\0\1\0\1t\0\0\0\0")};
    protocol.metadata = bytes_of("\0\0\0\0\0\1\0\1t\0\0\0\0", 13);
    struct join_group_request join = {.group_id = bytes_of_string("busy"),
                                      .session_timeout_ms = 1800000,
                                      .rebalance_timeout_ms = 60000,
                                      .member_id = bytes_of_string(""),
                                      .protocol_type = bytes_of_string("consumer"),
                                      .protocols = &protocol,
                                      .protocols_n = 1};
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 1), 0);
    coordinator_make();
    const struct join_group_response *j = rig_ask(&rig, &op, 11, 3, &join);
    assert_int_equal(j->error_code, 0);
    char member[64];
    snprintf(member, sizeof member, "%.*s", (int)j->member_id.n, (const char *)j->member_id.ptr);
    arena_fini(&op.arena);
    struct sync_group_request_assignments all = {bytes_of_string(member), bytes_of_string("x")};
    struct sync_group_request sync = {.group_id = bytes_of_string("busy"),
                                      .generation_id = 1,
                                      .member_id = bytes_of_string(member),
                                      .assignments = &all,
                                      .assignments_n = 1};
    assert_int_equal(((struct sync_group_response *)rig_ask(&rig, &op, 14, 3, &sync))->error_code,
                     0);
    arena_fini(&op.arena);
    parts_fill(1, 5);
    struct offset_commit_request q = commit_of("busy", &topic, "t", 1);
    q.generation_id_or_member_epoch = 1;
    q.member_id = bytes_of_string(member);
    assert_non_null(rig_ask(&rig, &op, 8, 8, &q));
    arena_fini(&op.arena);
    q = commit_of("idle", &topic, "t", 1);
    assert_non_null(rig_ask(&rig, &op, 8, 8, &q));
    arena_fini(&op.arena);
    for (int i = 0; i < 2; i++) {
        rig.now.wall_ms += i == 0 ? -86400000ll : 9 * 86400000ll;
        sweep_begin(rig.control->coordinator, true);
        turns(GROUP_BUCKETS / COORDINATOR_SWEEP_BUCKETS + 50);
        struct heartbeat_request h = {
            bytes_of_string("busy"), 1, bytes_of_string(member), {NULL, 0}};
        const struct heartbeat_response *r = rig_ask(&rig, &wait, 12, 4, &h);
        assert_int_equal(r->error_code, 0);
        arena_fini(&wait.arena);
        assert_int_equal(fetch_last("busy", "t", 0), 5);
        assert_int_equal(fetch_last("idle", "t", 0), i == 0 ? 5 : -1);
    }
}

#define LARGE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LARGE_TEST(commit_of_a_megabyte_of_metadata_is_refused_alone),
        LARGE_TEST(commit_of_9000_offsets_takes_turns_and_keeps_its_place),
        LARGE_TEST(commit_in_the_making_ends_with_its_partition),
        LARGE_TEST(twenty_thousand_groups_are_described_over_turns),
        LARGE_TEST(first_assignment_that_is_large_is_waited_for),
        LARGE_TEST(heartbeat_that_waits_for_an_assignment_ends_with_its_group),
        LARGE_TEST(clock_jumps_end_no_member),
    };
    return TESTS_RUN(tests);
}
