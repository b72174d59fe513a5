/*
 * cluster.c - DescribeQuorum, UpdateFeatures, DescribeClientQuotas.
 *
 * Owner: control.
 *
 * The quorum of the metadata log is this node. Features change by FEATURE_LEVEL records, all of a
 * request or none, with the rules and sentences of Kafka's FeatureControlManager; metadata.version
 * never goes down. There are no quotas, so every filter finds none.
 */
#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "messages.h"

static const char not_here[] = "This server does not host this topic-partition.";

/* ── DescribeQuorum ── */

#define QUORUM_PARTITION struct describe_quorum_response_topics_partitions
#define REPLICA          struct describe_quorum_response_replica_state

static bool quorum_partition(const struct control *c, int16_t version, QUORUM_PARTITION *to,
                             struct arena *arena)
{
    struct plog_offsets offsets;
    plog_offsets(c->log, &offsets);
    to->error_message = bytes_of_string("");
    to->leader_id = c->node_id;
    to->leader_epoch = c->quorum_epoch;
    to->high_watermark = offsets.high;
    to->current_voters = PROTO_NEW(arena, describe_quorum_response_replica_state, 1);
    if (to->current_voters == NULL)
        return false;
    to->current_voters_n = 1;
    to->current_voters[0] = (REPLICA){
        .replica_id = c->node_id,
        .log_end_offset = offsets.end,
        .last_fetch_timestamp = version >= 1 ? c->now.wall_ms : -1,
        .last_caught_up_timestamp = version >= 1 ? c->now.wall_ms : -1,
    };
    if (version >= 2 && c->is_dynamic)
        to->current_voters[0].replica_directory_id = c->config.directory.directory_id;
    return true;
}

static bool quorum_topics(const struct control *c, const struct describe_quorum_request *q,
                          struct describe_quorum_response *p, struct control_op *op, bool is_ours)
{
    for (int32_t i = 0; i < p->topics_n; i++) {
        const struct describe_quorum_request_topics *from = &q->topics[i];
        struct describe_quorum_response_topics *to = &p->topics[i];
        to->topic_name = answer_bytes(&op->arena, from->topic_name);
        to->partitions_n = from->partitions_n > 0 ? from->partitions_n : 0;
        to->partitions =
            PROTO_NEW(&op->arena, describe_quorum_response_topics_partitions, to->partitions_n);
        if (to->partitions == NULL)
            return false;
        for (int32_t k = 0; k < to->partitions_n; k++) {
            to->partitions[k].partition_index = from->partitions[k].partition_index;
            if (is_ours && !quorum_partition(c, op->api_version, &to->partitions[k], &op->arena))
                return false;
            if (is_ours)
                continue;
            to->partitions[k].error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
            to->partitions[k].error_message = bytes_of_string(not_here);
        }
    }
    return true;
}

static bool quorum_node(const struct control *c, struct describe_quorum_response *p,
                        struct arena *arena)
{
    struct describe_quorum_response_nodes *node =
        PROTO_NEW(arena, describe_quorum_response_nodes, 1);
    struct describe_quorum_response_nodes_listeners *listener =
        PROTO_NEW(arena, describe_quorum_response_nodes_listeners, 1);
    struct listener of;
    if (node == NULL || listener == NULL)
        return false;
    node->node_id = c->node_id;
    node->listeners = listener;
    node->listeners_n = 0;
    if (config_controller(c->config.config, &of)) {
        listener->name = answer_text(arena, of.name);
        listener->host = answer_text(arena, of.advertised_host);
        listener->port = of.advertised_port;
        node->listeners_n = 1;
    }
    p->nodes = node;
    p->nodes_n = 1;
    return true;
}

enum verdict describe_quorum_run(struct control *c, struct control_op *op)
{
    const struct describe_quorum_request *q = op->request;
    struct describe_quorum_response *p = PROTO_NEW(&op->arena, describe_quorum_response, 1);
    if (p == NULL)
        return VERDICT_CLOSE;
    bool is_ours =
        q->topics_n == 1 && bytes_equal_string(q->topics[0].topic_name, METADATA_TOPIC) &&
        q->topics[0].partitions_n == 1 && q->topics[0].partitions[0].partition_index == 0;
    p->error_message = bytes_of_string("");
    p->topics_n = q->topics_n > 0 ? q->topics_n : 0;
    p->topics = PROTO_NEW(&op->arena, describe_quorum_response_topics, p->topics_n);
    op->response = p;
    if (p->topics == NULL || !quorum_topics(c, q, p, op, is_ours))
        return VERDICT_CLOSE;
    return !is_ours || op->api_version < 2 || quorum_node(c, p, &op->arena) ? VERDICT_NOW
                                                                            : VERDICT_CLOSE;
}

/* ── UpdateFeatures ── */

enum { UPGRADE = 1, DOWNGRADE_SAFE = 2, DOWNGRADE_UNSAFE = 3 };
#define UPDATE struct update_features_request_feature_updates

/* kraft.version is a record of the quorum's own, which is written when a log begins. */
static const struct feature kraft = {"kraft.version", 0, 0, 1};

static bool feature_fault(struct fault *fault, const UPDATE *update, const char *why)
{
    return fault_set(fault, KAFKA_INVALID_UPDATE_VERSION,
                     "The update failed for all features since the following feature had an "
                     "error: Invalid update version %d for feature %.*s. %s",
                     update->max_version_level, (int)min_u64(update->feature.n, 256),
                     update->feature.n > 0 ? (const char *)update->feature.ptr : "", why);
}

static bool feature_check_range(const struct control *c, const struct feature *feature,
                                const UPDATE *update, struct fault *fault)
{
    char why[128];
    if (update->max_version_level < 0)
        return feature_fault(fault, update, "A feature version cannot be less than 0.");
    if (feature == NULL) {
        snprintf(why, sizeof why, "Local controller %d does not support this feature.", c->node_id);
        return feature_fault(fault, update, why);
    }
    if (update->max_version_level >= feature->min && update->max_version_level <= feature->max)
        return true;
    snprintf(why, sizeof why, "Local controller %d only supports versions %d-%d", c->node_id,
             feature->min, feature->max);
    return feature_fault(fault, update, why);
}

static bool feature_check(const struct control *c, const UPDATE *update, int8_t type,
                          int16_t *level, struct fault *fault)
{
    bool is_kraft = bytes_equal_string(update->feature, kraft.name);
    const struct feature *feature = is_kraft ? &kraft : feature_find(update->feature);
    if (type < UPGRADE || type > DOWNGRADE_UNSAFE)
        return feature_fault(fault, update,
                             "The controller does not support the given upgrade type.");
    if (!feature_check_range(c, feature, update, fault))
        return false;
    *level = is_kraft ? c->is_dynamic : state_feature(&c->state, feature->name);
    if (update->max_version_level < *level && type == UPGRADE)
        return feature_fault(fault, update,
                             "Can't downgrade the version of this feature without setting the "
                             "upgrade type to either safe or unsafe downgrade.");
    if (is_kraft && update->max_version_level != *level)
        return feature_fault(fault, update,
                             "The quorum of this log is of the other kind, and stays so.");
    if (update->max_version_level < *level && strcmp(feature->name, "metadata.version") == 0)
        return fault_set(fault, KAFKA_INVALID_UPDATE_VERSION,
                         "The update failed for all features since the following feature had an "
                         "error: Unsupported metadata.version downgrade from %d to %d. %s",
                         *level, update->max_version_level,
                         type == DOWNGRADE_SAFE
                             ? "Refusing to perform the requested downgrade because it might "
                               "delete metadata information."
                             : "Unsafe metadata downgrade is not supported in this version.");
    return true;
}

static bool features_add(struct control *c, const struct update_features_request *q,
                         int16_t version, struct fault *fault)
{
    for (int32_t i = 0; i < q->feature_updates_n; i++) {
        const UPDATE *update = &q->feature_updates[i];
        int16_t level = 0;
        int8_t type = version >= 1 ? update->upgrade_type : UPGRADE; /* whatever v0 allows */
        if (!feature_check(c, update, type, &level, fault))
            return false;
        struct feature_level_record record = {update->feature, update->max_version_level};
        if (update->max_version_level != level)
            records_add(&c->records, &proto_feature_level_record, 0, &record);
    }
    return true;
}

/* Up to v1 every feature that was asked for is listed. */
static bool features_list(const struct update_features_request *q,
                          struct update_features_response *p, struct arena *arena)
{
    int32_t n = q->feature_updates_n > 0 ? q->feature_updates_n : 0;
    p->results = PROTO_NEW(arena, update_features_response_results, n);
    if (p->results == NULL)
        return false;
    p->results_n = n;
    for (int32_t i = 0; i < n; i++) {
        p->results[i].feature = answer_bytes(arena, q->feature_updates[i].feature);
        p->results[i].error_message = bytes_of_string("NONE");
    }
    return true;
}

enum verdict update_features_run(struct control *c, struct control_op *op)
{
    const struct update_features_request *q = op->request;
    struct update_features_response *p = PROTO_NEW(&op->arena, update_features_response, 1);
    struct fault fault = {0};
    if (p == NULL)
        return VERDICT_CLOSE;
    records_begin(&c->records, c->now.wall_ms);
    bool is_good = features_add(c, q, op->api_version, &fault);
    bool has_records = c->records.builder.records_n > 0 || c->records.error < 0;
    if (is_good && has_records && !q->validate_only) {
        int e = c->records.error < 0 ? c->records.error : control_commit(c);
        if (e == E_AGAIN)
            return VERDICT_AGAIN;
        if (e < 0)
            is_good = fault_set(&fault, KAFKA_KAFKA_STORAGE_ERROR, "%s", error_text(e));
    }
    p->error_code = fault.code;
    p->error_message = is_good ? (struct bytes){NULL, 0} : answer_text(&op->arena, fault.text);
    op->response = p;
    return !is_good || op->api_version >= 2 || features_list(q, p, &op->arena) ? VERDICT_DONE
                                                                               : VERDICT_CLOSE;
}

/* ── DescribeClientQuotas ── */

enum { QUOTA_MATCH_EXACT, QUOTA_MATCH_DEFAULT, QUOTA_MATCH_ANY };
#define COMPONENT struct describe_client_quotas_request_components

static bool quota_check(const struct describe_client_quotas_request *q, int32_t at,
                        struct fault *fault)
{
    static const char *const types[] = {"user", "client-id", "ip"};
    const COMPONENT *component = &q->components[at];
    int name_n = (int)min_u64(component->entity_type.n, 200);
    const char *name = component->entity_type.n > 0 ? (const char *)component->entity_type.ptr : "";
    bool is_known = false;
    if (component->match_type < QUOTA_MATCH_EXACT || component->match_type > QUOTA_MATCH_ANY)
        return fault_set(fault, KAFKA_INVALID_REQUEST, "Unknown match type %d",
                         component->match_type);
    if (component->match_type == QUOTA_MATCH_EXACT && component->match.ptr == NULL)
        return fault_set(fault, KAFKA_INVALID_REQUEST,
                         "Request specified MATCH_TYPE_EXACT, but set match string to null.");
    if (component->entity_type.n == 0)
        return fault_set(fault, KAFKA_INVALID_REQUEST, "Invalid empty entity type.");
    for (uint32_t i = 0; i < array_n(types); i++)
        is_known |= bytes_equal_string(component->entity_type, types[i]);
    if (!is_known)
        return fault_set(fault, KAFKA_UNSUPPORTED_VERSION, "Unsupported entity type %.*s", name_n,
                         name);
    for (int32_t i = 0; i < at; i++)
        if (bytes_equal(q->components[i].entity_type, component->entity_type))
            return fault_set(fault, KAFKA_INVALID_REQUEST,
                             "Entity type %.*s cannot appear more than once in the filter.", name_n,
                             name);
    return true;
}

static bool quotas_check(const struct describe_client_quotas_request *q, struct fault *fault)
{
    bool has_ip = false;
    for (int32_t i = 0; i < q->components_n; i++) { /* a fourth one is a repetition at the latest */
        if (!quota_check(q, i, fault))
            return false;
        has_ip |= bytes_equal_string(q->components[i].entity_type, "ip");
    }
    return !has_ip || q->components_n == 1 ||
           fault_set(fault, KAFKA_INVALID_REQUEST,
                     "Invalid entity filter component combination. IP filter component should "
                     "not be used with user or clientId filter component.");
}

enum verdict describe_client_quotas_run(struct control *c, struct control_op *op)
{
    struct describe_client_quotas_response *p =
        PROTO_NEW(&op->arena, describe_client_quotas_response, 1);
    struct fault fault = {0};
    (void)c;
    if (p == NULL)
        return VERDICT_CLOSE;
    bool is_good = quotas_check(op->request, &fault);
    p->error_code = fault.code;
    p->error_message = answer_text(&op->arena, fault.text);
    p->entries_n = is_good ? 0 : -1;
    op->response = p;
    return VERDICT_NOW;
}
