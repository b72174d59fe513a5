/* cluster_test.c - replicas.c and cluster.c: what is true of elections, reassignments, directories,
 * the quorum, features and quotas on one node. */
#include "rig.h"

static struct rig rig;
static struct control_op op;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 2);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_create(&rig, "ok1", 2), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* ── ElectLeaders ── */

static void elections_are_not_needed(void **state)
{
    (void)state;
    int32_t partitions[] = {0, 9};
    struct elect_leaders_request_topic_partitions topics[] = {
        {bytes_of_string("ok1"), partitions, 2}, {bytes_of_string("nosuch"), partitions, 1}};
    struct elect_leaders_request request = {0, topics, 2, 1000};
    struct elect_leaders_response *r = rig_ask(&rig, &op, 43, 2, &request);
    assert_int_equal(r->error_code, 0);
    assert_int_equal(r->replica_election_results_n, 2);
    assert_int_equal(r->replica_election_results[0].partition_result[0].error_code, 84);
    assert_int_equal(r->replica_election_results[0].partition_result[1].error_code, 3);
    assert_true(bytes_text_is(r->replica_election_results[0].partition_result[1].error_message,
                              "No such partition as ok1-9"));
    assert_true(bytes_text_is(r->replica_election_results[1].partition_result[0].error_message,
                              "No such topic as nosuch"));
    arena_fini(&op.arena);
    request.election_type = 5;
    r = rig_ask(&rig, &op, 43, 1, &request);
    assert_int_equal(r->error_code, 42);
    assert_true(bytes_text_is(r->replica_election_results[0].partition_result[0].error_message,
                              "Unknown election type 5"));
    arena_fini(&op.arena);
    r = rig_ask(&rig, &op, 43, 0, &request); /* v0 has no type */
    assert_int_equal(r->replica_election_results[0].partition_result[0].error_code, 84);
    arena_fini(&op.arena);
    request = (struct elect_leaders_request){0, NULL, -1, 1000};
    r = rig_ask(&rig, &op, 43, 2, &request);
    assert_int_equal(r->replica_election_results_n, 1);
    assert_int_equal(r->replica_election_results[0].partition_result_n, 0);
    arena_fini(&op.arena);
}

static void partition_whose_log_failed_cannot_be_elected(void **state)
{
    (void)state;
    rig.open_error = E_IO;
    assert_int_equal(rig_create(&rig, "bad", 1), 0);
    int32_t partition = 0;
    struct elect_leaders_request_topic_partitions topic = {bytes_of_string("bad"), &partition, 1};
    struct elect_leaders_request request = {0, &topic, 1, 1000};
    struct elect_leaders_response *r = rig_ask(&rig, &op, 43, 2, &request);
    assert_int_equal(r->replica_election_results[0].partition_result[0].error_code, 80);
    arena_fini(&op.arena);
}

/* ── reassignments ── */

static int16_t reassign(const char *topic, int32_t partition, int32_t *replicas, int32_t n)
{
    struct alter_partition_reassignments_request_topics_partitions p = {partition, replicas, n};
    struct alter_partition_reassignments_request_topics t = {bytes_of_string(topic), &p, 1};
    struct alter_partition_reassignments_request request = {1000, true, &t, 1};
    struct alter_partition_reassignments_response *r = rig_ask(&rig, &op, 45, 1, &request);
    assert_int_equal(r->error_code, 0);
    assert_null(r->error_message.ptr);
    int16_t code = r->responses[0].partitions[0].error_code;
    arena_fini(&op.arena);
    return code;
}

static void reassignment_finds_nothing_to_do(void **state)
{
    (void)state;
    int32_t us[] = {1, 1}, other[] = {9};
    int64_t end = rig.control->state.end_offset;
    assert_int_equal(reassign("ok1", 0, us, 1), 0);
    assert_int_equal(reassign("ok1", 0, us, 2), 39);
    assert_int_equal(reassign("ok1", 0, other, 1), 39);
    assert_int_equal(reassign("ok1", 0, us, 0), 39);
    assert_int_equal(reassign("ok1", 0, NULL, -1), 85);
    assert_int_equal(reassign("ok1", 9, us, 1), 3);
    assert_int_equal(reassign("nosuch", 0, us, 1), 3);
    assert_int_equal(rig.control->state.end_offset, end);
    struct list_partition_reassignments_request request = {.topics_n = -1};
    struct list_partition_reassignments_response *r = rig_ask(&rig, &op, 46, 0, &request);
    assert_int_equal(r->topics_n, 0);
    arena_fini(&op.arena);
}

static int16_t move(const char *path, const char *topic, int32_t partition)
{
    struct alter_replica_log_dirs_request_dirs_topics t = {bytes_of_string(topic), &partition, 1};
    struct alter_replica_log_dirs_request_dirs dir = {bytes_of_string(path), &t, 1};
    struct alter_replica_log_dirs_request request = {&dir, 1};
    struct alter_replica_log_dirs_response *r = rig_ask(&rig, &op, 34, 2, &request);
    assert_int_equal(r->results_n, 1);
    int16_t code = r->results[0].partitions[0].error_code;
    arena_fini(&op.arena);
    return code;
}

static void there_is_one_directory(void **state)
{
    (void)state;
    assert_int_equal(move("data", "ok1", 0), 0);
    assert_int_equal(move("elsewhere", "ok1", 0), 57);
    assert_int_equal(move("data", "ok1", 9), 3);
    assert_int_equal(move("data", "nosuch", 0), 3);
}

/* ── DescribeQuorum ── */

static void quorum_is_this_node(void **state)
{
    (void)state;
    struct describe_quorum_request_topics_partitions p = {0};
    struct describe_quorum_request_topics t = {bytes_of_string("__cluster_metadata"), &p, 1};
    struct describe_quorum_request request = {&t, 1};
    for (int16_t version = 0; version <= 2; version++) {
        struct describe_quorum_response *r = rig_ask(&rig, &op, 55, version, &request);
        const struct describe_quorum_response_topics_partitions *to = r->topics[0].partitions;
        assert_int_equal(to->error_code, 0);
        assert_int_equal(to->leader_id, 1);
        assert_int_equal(to->leader_epoch, rig.control->quorum_epoch);
        assert_int_equal(to->current_voters_n, 1);
        assert_int_equal(to->current_voters[0].log_end_offset, rig.control->state.end_offset);
        assert_int_equal(r->nodes_n, version >= 2 ? 1 : 0);
        arena_fini(&op.arena);
    }
    p.partition_index = 1;
    struct describe_quorum_response *r = rig_ask(&rig, &op, 55, 2, &request);
    assert_int_equal(r->topics[0].partitions[0].error_code, 3);
    assert_int_equal(r->nodes_n, 0);
    arena_fini(&op.arena);
}

/* ── UpdateFeatures ── */

static int16_t update(const char *name, int16_t level, int8_t type, bool is_dry, const char *text)
{
    struct update_features_request_feature_updates u = {bytes_of_string(name), level, false, type};
    struct update_features_request request = {1000, &u, 1, is_dry};
    struct update_features_response *r = rig_ask(&rig, &op, 57, 2, &request);
    int16_t code = r->error_code;
    if (text != NULL)
        assert_true(bytes_text_is(r->error_message, text));
    arena_fini(&op.arena);
    return code;
}

#define FAILED "The update failed for all features since the following feature had an error: "

static void features_change_by_kafkas_rules(void **state)
{
    (void)state;
    assert_int_equal(update("group.version", 9, 1, false,
                            FAILED "Invalid update version 9 for feature group.version. Local "
                                   "controller 1 only supports versions 0-1"),
                     95);
    assert_int_equal(update("no.such", 1, 1, false,
                            FAILED "Invalid update version 1 for feature no.such. Local "
                                   "controller 1 does not support this feature."),
                     95);
    assert_int_equal(update("group.version", -1, 1, false,
                            FAILED "Invalid update version -1 for feature group.version. A "
                                   "feature version cannot be less than 0."),
                     95);
    assert_int_equal(update("group.version", 1, 0, false,
                            FAILED "Invalid update version 1 for feature group.version. The "
                                   "controller does not support the given upgrade type."),
                     95);
    assert_int_equal(update("metadata.version", 29, 3, false,
                            FAILED "Unsupported metadata.version downgrade from 30 to 29. Unsafe "
                                   "metadata downgrade is not supported in this version."),
                     95);
    assert_int_equal(update("transaction.version", 1, 1, false, NULL), 95);
    assert_int_equal(update("transaction.version", 1, 2, true, NULL), 0);
    assert_int_equal(state_feature(&rig.control->state, "transaction.version"), 2);
    assert_int_equal(update("transaction.version", 1, 2, false, NULL), 0);
    assert_int_equal(state_feature(&rig.control->state, "transaction.version"), 1);
    assert_int_equal(update("kraft.version", 2, 1, false, NULL), 95);
    assert_int_equal(update("kraft.version", rig.control->is_dynamic, 1, false, NULL), 0);
    assert_int_equal(update("kraft.version", !rig.control->is_dynamic, 2, false, NULL), 95);
}

static void features_change_all_or_none(void **state)
{
    (void)state;
    struct update_features_request_feature_updates u[] = {
        {bytes_of_string("transaction.version"), 1, false, 2},
        {bytes_of_string("no.such"), 1, false, 1}};
    struct update_features_request request = {1000, u, 2, false};
    struct update_features_response *r = rig_ask(&rig, &op, 57, 1, &request);
    assert_int_equal(r->error_code, 95);
    assert_int_equal(r->results_n, 0);
    arena_fini(&op.arena);
    assert_int_equal(state_feature(&rig.control->state, "transaction.version"), 2);
    request.feature_updates_n = 1;
    r = rig_ask(&rig, &op, 57, 1, &request);
    assert_int_equal(r->error_code, 0);
    assert_int_equal(r->results_n, 1); /* up to v1 every feature is listed */
    arena_fini(&op.arena);
}

/* ── DescribeClientQuotas ── */

static int16_t quotas(const char *type, int8_t match_type, const char *match, int32_t n)
{
    struct describe_client_quotas_request_components c[] = {
        {bytes_of_string(type), match_type, bytes_of_string(match)},
        {bytes_of_string(type), match_type, bytes_of_string(match)}};
    struct describe_client_quotas_request request = {c, n, false};
    struct describe_client_quotas_response *r = rig_ask(&rig, &op, 48, 1, &request);
    int16_t code = r->error_code;
    assert_int_equal(r->entries_n, code == 0 ? 0 : -1);
    arena_fini(&op.arena);
    return code;
}

static void there_are_no_quotas(void **state)
{
    (void)state;
    assert_int_equal(quotas("user", 0, "a", 0), 0);
    assert_int_equal(quotas("user", 0, "a", 1), 0);
    assert_int_equal(quotas("user", 0, "a", 2), 42);
    assert_int_equal(quotas("user", 0, NULL, 1), 42);
    assert_int_equal(quotas("user", 9, "a", 1), 42);
    assert_int_equal(quotas("", 0, "a", 1), 42);
    assert_int_equal(quotas("zzz", 0, "a", 1), 35);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(elections_are_not_needed),
        RIG_TEST(partition_whose_log_failed_cannot_be_elected),
        RIG_TEST(reassignment_finds_nothing_to_do),
        RIG_TEST(there_is_one_directory),
        RIG_TEST(quorum_is_this_node),
        RIG_TEST(features_change_by_kafkas_rules),
        RIG_TEST(features_change_all_or_none),
        RIG_TEST(there_are_no_quotas),
    };
    return TESTS_RUN(tests);
}
