/*
 * replicas.c - ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments,
 * AlterReplicaLogDirs: what is true of them on one node.
 *
 * Owner: control.
 *
 * Every partition's replicas are this node alone, so its preferred leader leads, nothing is ever
 * being reassigned between nodes; moves between directories are asked for here and done in moves.c.
 * Only a log that could not be opened has no leader, and no election gives it one. Codes and
 * sentences are Kafka's.
 */
#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "messages.h"

/* A partition of a topic by name; NULL: none of that number. */
static const struct partition *partition_of(const struct topic *topic, int32_t number)
{
    bool is_there = topic != NULL && number >= 0 && number < topic->partitions_n &&
                    topic->partitions[number].leader != PARTITION_MISSING;
    return is_there ? &topic->partitions[number] : NULL;
}

static struct bytes fault_answer(const struct fault *fault, struct arena *arena)
{
    return fault->code == KAFKA_NONE || fault->text[0] == 0 ? (struct bytes){NULL, 0}
                                                            : answer_text(arena, fault->text);
}

/* ── ElectLeaders ── */

enum { ELECTION_PREFERRED, ELECTION_UNCLEAN };

#define RESULT  struct elect_leaders_response_replica_election_results
#define OUTCOME struct elect_leaders_response_replica_election_results_partition_result

static void elect_judge(const struct elect_leaders_request *q, const struct topic *topic,
                        struct bytes name, int32_t number, int8_t type, struct fault *fault)
{
    (void)q;
    const struct partition *partition = partition_of(topic, number);
    int name_n = (int)min_u64(name.n, 256);
    const char *text = name.n > 0 ? (const char *)name.ptr : "";
    if (type != ELECTION_PREFERRED && type != ELECTION_UNCLEAN)
        fault_set(fault, KAFKA_INVALID_REQUEST, "Unknown election type %d", type);
    else if (topic == NULL)
        fault_set(fault, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "No such topic as %.*s", name_n, text);
    else if (partition == NULL)
        fault_set(fault, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "No such partition as %.*s-%d", name_n,
                  text, number);
    else if (partition->is_failed)
        fault_set(fault, KAFKA_PREFERRED_LEADER_NOT_AVAILABLE,
                  "The preferred leader was not available.");
    else
        fault_set(fault, KAFKA_ELECTION_NOT_NEEDED,
                  "Leader election not needed for topic partition.");
}

static bool elect_asked(struct control *c, const struct elect_leaders_request *q, int8_t type,
                        struct elect_leaders_response *p, struct arena *arena)
{
    for (int32_t i = 0; i < q->topic_partitions_n; i++) {
        const struct elect_leaders_request_topic_partitions *from = &q->topic_partitions[i];
        const struct topic *topic = state_topic_by_name(&c->state, from->topic);
        RESULT *to = &p->replica_election_results[p->replica_election_results_n++];
        int32_t n = from->partitions_n > 0 ? from->partitions_n : 0;
        to->topic = answer_bytes(arena, from->topic);
        to->partition_result =
            PROTO_NEW(arena, elect_leaders_response_replica_election_results_partition_result, n);
        to->partition_result_n = n;
        for (int32_t k = 0; to->partition_result != NULL && k < n; k++) {
            struct fault fault = {0};
            elect_judge(q, topic, from->topic, from->partitions[k], type, &fault);
            to->partition_result[k] =
                (OUTCOME){from->partitions[k], fault.code, fault_answer(&fault, arena)};
        }
        if (to->partition_result == NULL)
            return false;
    }
    return true;
}

/* All partitions: those that need no election are not listed. */
static void elect_all(struct control *c, struct elect_leaders_response *p, struct arena *arena)
{
    for (uint32_t i = 0; i < c->state.topics_n; i++) {
        const struct topic *topic = c->state.topics[i];
        if (topic->is_removed)
            continue;
        RESULT *to = &p->replica_election_results[p->replica_election_results_n++];
        to->topic = answer_bytes(arena, bytes_of(topic->name, topic->name_n));
        to->partition_result_n = 0;
    }
}

enum verdict elect_leaders_run(struct control *c, struct control_op *op)
{
    const struct elect_leaders_request *q = op->request;
    struct elect_leaders_response *p = PROTO_NEW(&op->arena, elect_leaders_response, 1);
    bool is_all = q->topic_partitions_n < 0;
    int8_t type = op->api_version >= 1 ? q->election_type : ELECTION_PREFERRED;
    uint32_t n = is_all ? c->state.topics_n : (uint32_t)q->topic_partitions_n;
    if (p == NULL)
        return VERDICT_CLOSE;
    p->replica_election_results =
        PROTO_NEW(&op->arena, elect_leaders_response_replica_election_results, n);
    p->replica_election_results_n = 0;
    bool is_known = type == ELECTION_PREFERRED || type == ELECTION_UNCLEAN;
    p->error_code = is_known ? KAFKA_NONE : KAFKA_INVALID_REQUEST;
    op->response = p;
    if (p->replica_election_results == NULL)
        return VERDICT_CLOSE;
    if (is_all && is_known)
        elect_all(c, p, &op->arena);
    return is_all || elect_asked(c, q, type, p, &op->arena) ? VERDICT_NOW : VERDICT_CLOSE;
}

/* ── AlterPartitionReassignments ── */

#define REASSIGNED struct alter_partition_reassignments_response_responses

static void reassign_judge(const struct control *c,
                           const struct alter_partition_reassignments_request_topics *asked,
                           const struct alter_partition_reassignments_request_topics_partitions *to,
                           struct fault *fault)
{
    const struct topic *topic = state_topic_by_name(&c->state, asked->name);
    const struct partition *partition = partition_of(topic, to->partition_index);
    int name_n = (int)min_u64(asked->name.n, 256);
    const char *text = asked->name.n > 0 ? (const char *)asked->name.ptr : "";
    if (topic == NULL)
        fault_set(fault, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find a topic named %.*s.",
                  name_n, text);
    else if (partition == NULL)
        fault_set(fault, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find partition %.*s:%d.",
                  name_n, text, to->partition_index);
    else if (to->replicas_n < 0)
        fault_set(fault, KAFKA_NO_REASSIGNMENT_IN_PROGRESS, "%s", "");
    else
        (void)replicas_check(c, to->replicas, to->replicas_n, to->replicas_n, fault);
}

enum verdict alter_reassignments_run(struct control *c, struct control_op *op)
{
    const struct alter_partition_reassignments_request *q = op->request;
    struct alter_partition_reassignments_response *p =
        PROTO_NEW(&op->arena, alter_partition_reassignments_response, 1);
    int32_t n = q->topics_n > 0 ? q->topics_n : 0;
    if (p != NULL)
        p->responses = PROTO_NEW(&op->arena, alter_partition_reassignments_response_responses, n);
    if (p == NULL || p->responses == NULL)
        return VERDICT_CLOSE;
    p->responses_n = n;
    p->error_message = (struct bytes){NULL, 0};
    p->allow_replication_factor_change = q->allow_replication_factor_change;
    for (int32_t i = 0; i < n; i++) {
        REASSIGNED *to = &p->responses[i];
        const struct alter_partition_reassignments_request_topics *from = &q->topics[i];
        to->name = answer_bytes(&op->arena, from->name);
        to->partitions_n = from->partitions_n > 0 ? from->partitions_n : 0;
        to->partitions =
            PROTO_NEW(&op->arena, alter_partition_reassignments_response_responses_partitions,
                      to->partitions_n);
        if (to->partitions == NULL)
            return VERDICT_CLOSE;
        for (int32_t k = 0; k < to->partitions_n; k++) {
            struct fault fault = {0};
            reassign_judge(c, from, &from->partitions[k], &fault);
            to->partitions[k].partition_index = from->partitions[k].partition_index;
            to->partitions[k].error_code = fault.code;
            to->partitions[k].error_message = fault_answer(&fault, &op->arena);
        }
    }
    op->response = p;
    return VERDICT_NOW;
}

enum verdict list_reassignments_run(struct control *c, struct control_op *op)
{
    struct list_partition_reassignments_response *p =
        PROTO_NEW(&op->arena, list_partition_reassignments_response, 1);
    (void)c;
    if (p == NULL)
        return VERDICT_CLOSE;
    p->error_message = (struct bytes){NULL, 0};
    op->response = p;
    return VERDICT_NOW;
}

/* ── AlterReplicaLogDirs ── */

#define MOVED struct alter_replica_log_dirs_response_results

/* *waits: its directory is being made; ask again. */
static int16_t move_begin(struct control *c, struct bytes path, struct bytes name,
                          int32_t partition, bool *waits)
{
    uint8_t dir = dir_by_path(c, path);
    if (dir == DIR_NONE)
        return KAFKA_LOG_DIR_NOT_FOUND;
    struct topic *topic = state_topic_by_name(&c->state, name);
    const struct partition *p = partition_of(topic, partition);
    if (p == NULL)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (!dir_is_usable(c, dir) || p->is_failed)
        return KAFKA_KAFKA_STORAGE_ERROR;
    if ((dirs_cordoned(c) >> dir & 1) != 0)
        return KAFKA_INVALID_REPLICA_ASSIGNMENT;
    int error = move_ask(c, topic, partition, dir);
    *waits |= error == E_AGAIN;
    return error == 0 || error == E_AGAIN ? KAFKA_NONE : KAFKA_KAFKA_STORAGE_ERROR;
}

static bool move_topic(struct control *c, struct bytes path,
                       const struct alter_replica_log_dirs_request_dirs_topics *from, MOVED *to,
                       struct arena *arena, bool *waits)
{
    to->topic_name = answer_bytes(arena, from->name);
    to->partitions_n = from->partitions_n > 0 ? from->partitions_n : 0;
    to->partitions =
        PROTO_NEW(arena, alter_replica_log_dirs_response_results_partitions, to->partitions_n);
    for (int32_t i = 0; to->partitions != NULL && i < to->partitions_n; i++) {
        to->partitions[i].partition_index = from->partitions[i];
        to->partitions[i].error_code = move_begin(c, path, from->name, from->partitions[i], waits);
    }
    return to->partitions != NULL;
}

enum verdict alter_replica_log_dirs_run(struct control *c, struct control_op *op)
{
    const struct alter_replica_log_dirs_request *q = op->request;
    struct alter_replica_log_dirs_response *p =
        PROTO_NEW(&op->arena, alter_replica_log_dirs_response, 1);
    bool waits = false;
    uint64_t n = 0;
    for (int32_t i = 0; i < q->dirs_n; i++)
        n += q->dirs[i].topics_n > 0 ? (uint64_t)q->dirs[i].topics_n : 0;
    if (p != NULL)
        p->results = PROTO_NEW(&op->arena, alter_replica_log_dirs_response_results, n);
    if (p == NULL || p->results == NULL)
        return VERDICT_CLOSE;
    p->results_n = 0;
    for (int32_t i = 0; i < q->dirs_n; i++)
        for (int32_t k = 0; k < q->dirs[i].topics_n; k++)
            if (!move_topic(c, q->dirs[i].path, &q->dirs[i].topics[k], &p->results[p->results_n++],
                            &op->arena, &waits))
                return VERDICT_CLOSE;
    if (waits) /* a move that is answered survives a crash (moves.c) */
        return VERDICT_AGAIN;
    op->response = p;
    return VERDICT_DONE;
}
