/*
 * local.c - answered on this worker from the view: ApiVersions, FindCoordinator, DescribeCluster.
 * (metadata.c: Metadata)
 *
 * Owner: worker.
 *
 * ApiVersions says what api.def says, and as features only what works: metadata.version and
 * group.version. No transaction.version, share.version or streams.version, so no client tries what
 * needs them. The supported minimum of metadata.version is 7; a feature with minimum 0 has to be
 * left out up to v3 (trap 3), and is.
 *
 * FindCoordinator: this node coordinates every group, once __consumer_offsets is there; before,
 * control is asked to make it and the answer is 15, as in Apache Kafka. Transactions are not served
 * yet: 53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED is fatal in both the Java client
 * (TransactionManager, FindCoordinatorHandler) and librdkafka (rdkafka_txnmgr.c); any retriable
 * code, and for librdkafka any code it does not know, would be asked again for ever. Share groups
 * and unknown key types get 42, as in Apache Kafka.
 */
#include "request.h"

enum {
    FEATURE_METADATA_MIN = 7,
    FEATURE_METADATA_MAX = 30,
    FEATURE_GROUP_MAX = 1,
    FEATURES_N = 2,
    VERSION_FEATURE_MIN_0 = 4,
};

/* ── ApiVersions ── */

/* KIP-511: what a client may call itself. */
static bool api_versions_name_is_legal(struct bytes name)
{
    for (uint32_t i = 0; i < name.n; i++) {
        uint8_t c = name.ptr[i];
        bool is_alphanumeric =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_end = i == 0 || i + 1 == name.n;
        if (!is_alphanumeric && (is_end || (c != '-' && c != '.')))
            return false;
    }
    return name.n > 0;
}

static void text_keep(char *to, size_t n, struct bytes from)
{
    snprintf(to, n, "%.*s", (int)min_u64(from.n, n - 1), (const char *)from.ptr);
}

/* The client's name stays with its connection: subscriptions of telemetry ask for it. */
static void api_versions_note(struct request *r, const struct api_versions_request *q)
{
    struct kafka_conn *conn = r->conn;
    if (r->version < 3 || conn == NULL)
        return;
    text_keep(conn->software_name, sizeof conn->software_name, q->client_software_name);
    text_keep(conn->software_version, sizeof conn->software_version, q->client_software_version);
}

/* KIP-714: clients are told of telemetry only when there is somewhere for it to go. */
static bool api_is_told(const struct api *api, const struct view *view)
{
    return view->offers_telemetry ||
           (api->key != proto_push_telemetry_request.api_key &&
            api->key != proto_get_telemetry_subscriptions_request.api_key);
}

static struct api_versions_response *api_versions_new(struct request *r, uint32_t keys_n)
{
    struct api_versions_response *p = PROTO_NEW(&r->arena, api_versions_response, 1);
    if (p == NULL)
        return NULL;
    p->api_keys = PROTO_NEW(&r->arena, api_versions_response_api_keys, keys_n);
    p->api_keys_n = (int32_t)keys_n;
    return p->api_keys == NULL ? NULL : p;
}

/* Trap 3: up to v3 no feature with minimum 0 may be told as supported. */
static bool api_versions_features(struct request *r, struct api_versions_response *p,
                                  const struct view *view)
{
    struct api_versions_response_supported_features *supported =
        PROTO_NEW(&r->arena, api_versions_response_supported_features, FEATURES_N);
    struct api_versions_response_finalized_features *finalized =
        PROTO_NEW(&r->arena, api_versions_response_finalized_features, FEATURES_N);
    const struct {
        const char *name;
        int16_t min, max, level;
    } features[FEATURES_N] = {
        {"metadata.version", FEATURE_METADATA_MIN, FEATURE_METADATA_MAX,
         view->feature_metadata_version},
        {"group.version", 0, FEATURE_GROUP_MAX, view->feature_group_version},
    };
    if (supported == NULL || finalized == NULL)
        return false;
    p->supported_features = supported;
    p->finalized_features = finalized;
    p->supported_features_n = p->finalized_features_n = 0;
    for (uint32_t i = 0; i < FEATURES_N; i++) {
        struct bytes name = bytes_of_string(features[i].name);
        if (features[i].min > 0 || r->version >= VERSION_FEATURE_MIN_0) {
            supported[p->supported_features_n].name = name;
            supported[p->supported_features_n].min_version = features[i].min;
            supported[p->supported_features_n++].max_version = features[i].max;
        }
        if (features[i].level <= 0)
            continue;
        finalized[p->finalized_features_n].name = name;
        finalized[p->finalized_features_n].min_version_level = features[i].level;
        finalized[p->finalized_features_n++].max_version_level = features[i].level;
    }
    p->finalized_features_epoch = view->metadata_offset;
    return true;
}

void api_versions_start(struct request *r, const struct view *view, struct now now)
{
    const struct api_versions_request *q = r->body;
    (void)now;
    bool is_legal = r->version < 3 || (api_versions_name_is_legal(q->client_software_name) &&
                                       api_versions_name_is_legal(q->client_software_version));
    struct api_versions_response *p = api_versions_new(r, is_legal ? apis_n : 0);
    if (p != NULL && !is_legal)
        p->error_code = KAFKA_INVALID_REQUEST;
    if (is_legal)
        api_versions_note(r, q);
    if (p != NULL)
        p->api_keys_n = 0;
    for (uint8_t i = 0; p != NULL && is_legal && i < apis_n; i++) {
        struct api_versions_response_api_keys *to = &p->api_keys[p->api_keys_n];
        if (!api_is_told(&apis[i], view))
            continue;
        to->api_key = apis[i].key;
        to->min_version = apis[i].version_min;
        to->max_version = apis[i].version_max;
        p->api_keys_n++;
    }
    if (p != NULL && is_legal && !api_versions_features(r, p, view))
        p = NULL;
    request_answer(r, p);
}

/* Trap 2, KIP-511: an unknown version is answered in the form of v0, with what we do speak. */
void api_versions_refuse(struct request *r)
{
    struct api_versions_response *p = api_versions_new(r, 1);
    stats_add(r->kafka->stats, STAT_BAD_VERSION, 1);
    r->version = 0;
    if (p != NULL) {
        p->error_code = KAFKA_UNSUPPORTED_VERSION;
        p->api_keys[0].api_key = r->api->key;
        p->api_keys[0].min_version = r->api->version_min;
        p->api_keys[0].max_version = r->api->version_max;
    }
    request_answer(r, p);
}

/* ── FindCoordinator ── */

enum { COORDINATOR_GROUP = 0, COORDINATOR_TRANSACTION = 1 };

static int16_t coordinator_code(int8_t key_type)
{
    if (key_type == COORDINATOR_GROUP)
        return KAFKA_NONE;
    return key_type == COORDINATOR_TRANSACTION ? KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                                               : KAFKA_INVALID_REQUEST;
}

static const char *coordinator_text(int16_t code)
{
    if (code == KAFKA_NONE)
        return "";
    if (code == KAFKA_COORDINATOR_NOT_AVAILABLE)
        return "The coordinator is not available.";
    return code == KAFKA_INVALID_REQUEST ? "Unknown coordinator key type"
                                         : "Transactions are not served by this broker yet";
}

static bool find_coordinator_keys(struct request *r, struct find_coordinator_response *p,
                                  const struct view *view, int16_t code)
{
    const struct find_coordinator_request *q = r->body;
    int32_t n = q->coordinator_keys_n > 0 ? q->coordinator_keys_n : 0;
    p->coordinators = PROTO_NEW(&r->arena, find_coordinator_response_coordinators, n);
    if (p->coordinators == NULL)
        return false;
    p->coordinators_n = n;
    for (int32_t i = 0; i < n; i++) {
        struct find_coordinator_response_coordinators *c = &p->coordinators[i];
        c->key = q->coordinator_keys[i];
        c->error_code = code;
        c->error_message = bytes_of_string(coordinator_text(code));
        c->node_id = code == 0 ? view->node_id : -1;
        c->host = code == 0 ? listener_host(r) : bytes_of_string("");
        c->port = code == 0 ? listener_port(r) : -1;
    }
    return true;
}

static void find_coordinator_answer(struct request *r, const struct view *view, int16_t code)
{
    struct find_coordinator_response *p = PROTO_NEW(&r->arena, find_coordinator_response, 1);
    if (p != NULL && r->version < 4) {
        p->error_code = code;
        p->error_message = bytes_of_string(code == 0 ? "NONE" : coordinator_text(code));
        p->node_id = code == 0 ? view->node_id : -1;
        p->host = code == 0 ? listener_host(r) : bytes_of_string("");
        p->port = code == 0 ? listener_port(r) : -1;
    } else if (p != NULL && !find_coordinator_keys(r, p, view, code)) {
        p = NULL;
    }
    request_answer(r, p);
}

/* The topic was made, or could not be: either way the client asks again. */
static void find_coordinator_made(struct request *r, const struct view *view, struct now now)
{
    (void)now;
    forward_end(r);
    find_coordinator_answer(r, view, KAFKA_COORDINATOR_NOT_AVAILABLE);
}

void find_coordinator_start(struct request *r, const struct view *view, struct now now)
{
    const struct find_coordinator_request *q = r->body;
    int16_t code = coordinator_code(q->key_type);
    (void)now;
    if (code != 0 || view_topic_by_name(view, bytes_of_string("__consumer_offsets")) != NULL)
        find_coordinator_answer(r, view, code);
    else
        forward_send(r, proto_find_coordinator_request.api_key, r->version, q,
                     find_coordinator_made);
}

/* ── DescribeCluster ── */

enum {
    ENDPOINT_BROKERS = 1,
    ENDPOINT_CONTROLLERS = 2,
    CLUSTER_OPERATIONS =
        0x1fa0, /* create, alter, describe, cluster action, describe and alter configs, idempotent
                   write: all there are for a cluster, since there are no ACLs */
};

static bool describe_cluster_fault(struct request *r, const struct describe_cluster_request *q,
                                   struct describe_cluster_response *p)
{
    if (q->endpoint_type == ENDPOINT_BROKERS)
        return false;
    if (q->endpoint_type == ENDPOINT_CONTROLLERS) {
        p->error_code = KAFKA_MISMATCHED_ENDPOINT_TYPE;
        p->error_message =
            bytes_of_string("The request was sent to an endpoint of type BROKER, but we wanted an "
                            "endpoint of type CONTROLLER");
        return true;
    }
    char text[64];
    int n = snprintf(text, sizeof text, "Unsupported endpoint type %d", q->endpoint_type);
    p->error_code = KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
    p->error_message = request_keep(r, bytes_of(text, (size_t)n));
    return true;
}

void describe_cluster_start(struct request *r, const struct view *view, struct now now)
{
    const struct describe_cluster_request *q = r->body;
    struct describe_cluster_response *p = PROTO_NEW(&r->arena, describe_cluster_response, 1);
    struct describe_cluster_response_brokers *broker =
        PROTO_NEW(&r->arena, describe_cluster_response_brokers, 1);
    (void)now;
    if (p == NULL || broker == NULL) {
        request_answer(r, NULL);
        return;
    }
    p->endpoint_type = ENDPOINT_BROKERS;
    p->cluster_id = bytes_of_string("");
    if (describe_cluster_fault(r, q, p)) {
        request_answer(r, p);
        return;
    }
    p->cluster_id = request_keep(r, bytes_of_string(view->cluster_id));
    p->controller_id = view->controller_id;
    if (q->include_cluster_authorized_operations)
        p->cluster_authorized_operations = CLUSTER_OPERATIONS;
    broker->broker_id = view->node_id;
    broker->host = listener_host(r);
    broker->port = listener_port(r);
    if (view->rack[0] != '\0')
        broker->rack = request_keep(r, bytes_of_string(view->rack));
    p->brokers = broker;
    p->brokers_n = 1;
    request_answer(r, p->cluster_id.ptr == NULL ? NULL : p);
}
