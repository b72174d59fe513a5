/*
 * metadata.c - Metadata, versions 0-13: which topics there are and who leads their partitions, from
 * the view.
 *
 * Owner: worker.
 *
 *   metadata_start --names to create--> control (CreateTopics) --.
 *          |                                                     v
 *          '----------------------------------------------> metadata_build --> request_answer
 *                                                             ^    |
 *                         next turn, when the share is used up'----'
 *
 * Names, ids (v12; ids in v10 and v11 are refused, trap 23) or everything (null; in v0 the empty
 * list). Unknown names are created through control first when the client and
 * auto.create.topics.enable allow it (trap 12): the answer then knows the topic, where Apache Kafka
 * answers 3 once and lets the client ask again.
 *
 * The view may be another one in the next turn. So what comes from it is copied or encoded at once,
 * and "everything" goes on behind the last name it encoded (splice.h).
 *
 * Bounds: the structs of one topic's partitions are one piece of memory (at most 2 MiB): some
 * 32,000 partitions of one topic, and as many topics named in one request; beyond it the connection
 * is closed (counted).
 */
#include "control.h"
#include "request.h"
#include "splice.h"

enum {
    METADATA_PARTITIONS_TURN = 4096,
    METADATA_NAME_MAX = 255,  /* a legal name has at most 249 bytes */
    METADATA_CREATE_MAX = 64, /* topics created by one request; clients ask again for the others */
    METADATA_CREATE_TIMEOUT_MS = 30000,
    TOPIC_OPERATIONS = 0x0df8, /* read, write, create, delete, alter, describe, describe and alter
                                  configs: all there are for a topic, since there are no ACLs */
    CLUSTER_OPERATIONS = 0x1fa0,
};

/* One Metadata. Stands in the request's arena. */
struct metadata {
    struct metadata_response *response;
    int32_t *replicas; /* one node: every partition's replicas and in-sync replicas */
    int32_t next;      /* topic of the request that comes next */
    bool is_all, by_id;
    /* everything: */
    struct splice splice;
    struct metadata_response_topics *topic; /* the one being encoded */
    const struct metadata_response_topics *blank;
    int32_t partitions_max; /* room of topic->partitions */
    struct bytes last;      /* name of the last topic encoded; n 0 at first */
    uint8_t last_name[METADATA_NAME_MAX];
};

static void metadata_build(struct request *r, const struct view *view, struct now now);

/* ── one topic ── */

static bool metadata_partitions(struct request *r, struct metadata *m,
                                const struct view_topic *from, struct metadata_response_topics *to)
{
    if (to->partitions == NULL)
        to->partitions =
            PROTO_NEW(&r->arena, metadata_response_topics_partitions, from->partitions_n);
    if (to->partitions == NULL)
        return false;
    to->partitions_n = from->partitions_n;
    for (int32_t i = 0; i < from->partitions_n; i++) {
        struct metadata_response_topics_partitions *p = &to->partitions[i];
        bool has_leader = from->partitions[i].leader >= 0;
        p->error_code = has_leader ? KAFKA_NONE : KAFKA_LEADER_NOT_AVAILABLE;
        p->partition_index = i;
        p->leader_id = from->partitions[i].leader;
        p->leader_epoch = from->partitions[i].leader_epoch;
        p->replica_nodes = p->isr_nodes = p->offline_replicas = m->replicas;
        p->replica_nodes_n = 1;
        p->isr_nodes_n = has_leader ? 1 : 0;
        p->offline_replicas_n = has_leader ? 0 : 1;
    }
    return true;
}

static bool metadata_topic(struct request *r, struct metadata *m, const struct view_topic *from,
                           struct metadata_response_topics *to)
{
    const struct metadata_request *q = r->body;
    to->topic_id = from->id;
    to->is_internal = from->is_internal;
    to->name = m->is_all ? from->name : request_keep(r, from->name); /* encoded at once, or later */
    if (q->include_topic_authorized_operations)
        to->topic_authorized_operations = TOPIC_OPERATIONS;
    return to->name.ptr != NULL && metadata_partitions(r, m, from, to);
}

static int16_t metadata_name_code(struct bytes name)
{
    char why[256];
    return topic_name_fault(name, why, sizeof why) != NULL ? KAFKA_INVALID_TOPIC_EXCEPTION
                                                           : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

/* ── the two ways through the topics ── */

static bool metadata_asked(struct request *r, struct metadata *m, const struct view *view,
                           int32_t *left)
{
    const struct metadata_request *q = r->body;
    for (; *left > 0 && m->next < q->topics_n; m->next++) {
        const struct metadata_request_topics *asked = &q->topics[m->next];
        struct metadata_response_topics *to = &m->response->topics[m->response->topics_n];
        if (m->by_id && uuid_is_zero(&asked->topic_id))
            continue;
        const struct view_topic *topic = m->by_id ? view_topic_by_id(view, &asked->topic_id)
                                                  : view_topic_by_name(view, asked->name);
        m->response->topics_n++;
        if (topic != NULL) {
            if (!metadata_topic(r, m, topic, to))
                return false;
            *left -= 1 + topic->partitions_n;
            continue;
        }
        to->error_code = m->by_id ? KAFKA_UNKNOWN_TOPIC_ID : metadata_name_code(asked->name);
        to->topic_id = asked->topic_id;
        to->name = m->by_id ? (struct bytes){NULL, 0} : asked->name; /* null since v12 */
        *left -= 1;
    }
    return true;
}

static int metadata_compare(struct bytes a, struct bytes b)
{
    int c = memcmp(a.ptr, b.ptr, min_u64(a.n, b.n));
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* The first topic behind the last one encoded: the view may have changed since. */
static uint32_t metadata_position(const struct metadata *m, const struct view *view)
{
    uint32_t low = 0, high = view->topics_n;
    while (m->last.n > 0 && low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (metadata_compare(view->topics[middle]->name, m->last) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The struct of one topic, used again for each, with room for its partitions. */
static bool metadata_topic_reset(struct request *r, struct metadata *m, int32_t partitions_n)
{
    struct metadata_response_topics_partitions *room = m->topic->partitions;
    *m->topic = *m->blank;
    m->topic->partitions = room;
    if (partitions_n <= m->partitions_max)
        return true;
    m->topic->partitions = PROTO_NEW(&r->arena, metadata_response_topics_partitions, partitions_n);
    m->partitions_max = partitions_n;
    return m->topic->partitions != NULL;
}

/* True with *left > 0: all of them. */
static bool metadata_all(struct request *r, struct metadata *m, const struct view *view,
                         int32_t *left)
{
    uint32_t i = metadata_position(m, view);
    for (; *left > 0 && i < view->topics_n; i++) {
        const struct view_topic *topic = view->topics[i];
        check(topic->name.n <= METADATA_NAME_MAX);
        if (!metadata_topic_reset(r, m, topic->partitions_n) ||
            !metadata_topic(r, m, topic, m->topic) || !splice_add(&m->splice, m->topic))
            return false;
        memcpy(m->last_name, topic->name.ptr, topic->name.n);
        m->last = (struct bytes){m->last_name, topic->name.n};
        *left -= 1 + topic->partitions_n;
    }
    if (i == view->topics_n)
        *left = 1;
    return true;
}

static bool metadata_all_begin(struct request *r, struct metadata *m)
{
    m->topic = PROTO_NEW(&r->arena, metadata_response_topics, 1);
    m->blank = PROTO_NEW(&r->arena, metadata_response_topics, 1);
    return m->topic != NULL && m->blank != NULL &&
           splice_begin(&m->splice, &r->arena, &proto_metadata_response,
                        &proto_fields_metadata_response_topics, sizeof *m->topic, r->version);
}

/* Bytes of the fields behind the topics: authorized operations v8-10, error code v13, tags v9. */
static uint32_t metadata_behind_n(int16_t version)
{
    return (version >= 8 && version <= 10 ? 4u : 0) + (version >= 13 ? 2u : 0) +
           (version >= 9 ? 1u : 0);
}

static void metadata_finish(struct request *r, struct metadata *m)
{
    struct slices out;
    if (!m->is_all)
        request_answer(r, m->response);
    else if (splice_end(&m->splice, r->api->key, r->correlation_id, m->response,
                        metadata_behind_n(r->version), &out))
        request_answer_bytes(r, out);
    else
        request_answer(r, NULL);
}

static void metadata_build(struct request *r, const struct view *view, struct now now)
{
    const struct metadata_request *q = r->body;
    struct metadata *m = r->work;
    int32_t left = METADATA_PARTITIONS_TURN;
    (void)now;
    bool is_built = m->is_all ? metadata_all(r, m, view, &left) : metadata_asked(r, m, view, &left);
    if (!is_built)
        request_answer(r, NULL);
    else if (left <= 0 && (m->is_all || m->next < q->topics_n))
        request_wait(r, metadata_build);
    else
        metadata_finish(r, m);
}

/* ── creating ── */

static bool metadata_is_listed(const struct create_topics_request *c, struct bytes name)
{
    for (int32_t i = 0; i < c->topics_n; i++)
        if (bytes_equal(c->topics[i].name, name))
            return true;
    return false;
}

/* The CreateTopics request for what is unknown and may be created; NULL when there is nothing. */
static struct create_topics_request *metadata_to_create(struct request *r, const struct view *view)
{
    const struct metadata_request *q = r->body;
    struct metadata *m = r->work;
    struct create_topics_request *c = NULL;
    if (m->is_all || m->by_id || !q->allow_auto_topic_creation || !view->auto_create_topics)
        return NULL;
    for (int32_t i = 0; i < q->topics_n; i++) {
        struct bytes name = q->topics[i].name;
        if (view_topic_by_name(view, name) != NULL ||
            metadata_name_code(name) == KAFKA_INVALID_TOPIC_EXCEPTION)
            continue;
        if (c == NULL) {
            c = PROTO_NEW(&r->arena, create_topics_request, 1);
            struct create_topics_request_topics *topics =
                c == NULL ? NULL
                          : PROTO_NEW(&r->arena, create_topics_request_topics, METADATA_CREATE_MAX);
            if (topics == NULL)
                return NULL; /* answered as unknown; the client asks again */
            c->topics = topics;
            c->timeout_ms = METADATA_CREATE_TIMEOUT_MS;
        }
        if (c->topics_n == METADATA_CREATE_MAX)
            break;
        if (metadata_is_listed(c, name))
            continue;
        c->topics[c->topics_n].name = name;
        c->topics[c->topics_n].num_partitions = -1;
        c->topics[c->topics_n].replication_factor = -1;
        c->topics_n++;
    }
    return c;
}

/* ── start ── */

/* A request that is wrong as a whole: each of its topics gets the code, the rest of the answer is
 * empty. */
static int16_t metadata_fault(const struct request *r, const struct metadata *m)
{
    const struct metadata_request *q = r->body;
    for (int32_t i = 0; i < q->topics_n; i++) {
        if (r->version < 12 &&
            (q->topics[i].name.ptr == NULL || !uuid_is_zero(&q->topics[i].topic_id)))
            return KAFKA_INVALID_REQUEST;
        if (q->topics[i].name.ptr == NULL && !m->by_id)
            return KAFKA_UNKNOWN_SERVER_ERROR; /* neither name nor id: as Apache Kafka answers */
    }
    return KAFKA_NONE;
}

static void metadata_refuse(struct request *r, struct metadata *m, int16_t code)
{
    const struct metadata_request *q = r->body;
    for (int32_t i = 0; i < q->topics_n; i++) {
        struct metadata_response_topics *to = &m->response->topics[i];
        to->error_code = code;
        to->topic_id = q->topics[i].topic_id;
        to->name = q->topics[i].name.ptr != NULL ? q->topics[i].name : bytes_of_string("");
    }
    m->response->topics_n = q->topics_n;
    request_answer(r, m->response);
}

static bool metadata_head(struct request *r, struct metadata *m, const struct view *view)
{
    const struct metadata_request *q = r->body;
    struct metadata_response_brokers *broker = PROTO_NEW(&r->arena, metadata_response_brokers, 1);
    m->replicas = arena_alloc(&r->arena, sizeof *m->replicas);
    if (m->is_all && !metadata_all_begin(r, m))
        return false;
    m->response->topics =
        PROTO_NEW(&r->arena, metadata_response_topics, m->is_all ? 0 : q->topics_n);
    if (broker == NULL || m->replicas == NULL || m->response->topics == NULL)
        return false;
    *m->replicas = view->node_id;
    broker->node_id = view->node_id;
    broker->host = listener_host(r); /* of the listener the client came through (trap 36) */
    broker->port = listener_port(r);
    if (view->rack[0] != '\0')
        broker->rack = request_keep(r, bytes_of_string(view->rack));
    m->response->brokers = broker;
    m->response->brokers_n = 1;
    m->response->cluster_id = request_keep(r, bytes_of_string(view->cluster_id));
    m->response->controller_id = view->controller_id;
    if (q->include_cluster_authorized_operations)
        m->response->cluster_authorized_operations = CLUSTER_OPERATIONS;
    return true;
}

void metadata_start(struct request *r, const struct view *view, struct now now)
{
    const struct metadata_request *q = r->body;
    struct metadata *m = arena_alloc(&r->arena, sizeof *m);
    if (m == NULL || (m->response = PROTO_NEW(&r->arena, metadata_response, 1)) == NULL) {
        request_answer(r, NULL);
        return;
    }
    r->work = m;
    m->is_all = q->topics_n < 0 || (r->version == 0 && q->topics_n == 0);
    for (int32_t i = 0; r->version >= 12 && i < q->topics_n; i++)
        m->by_id |= !uuid_is_zero(&q->topics[i].topic_id);
    if (!metadata_head(r, m, view)) {
        request_answer(r, NULL);
        return;
    }
    int16_t fault = metadata_fault(r, m);
    if (fault != 0) {
        m->response->brokers_n = 0;
        metadata_refuse(r, m, fault);
        return;
    }
    struct create_topics_request *create = metadata_to_create(r, view);
    if (create == NULL)
        metadata_build(r, view, now);
    else
        forward_send(r, proto_create_topics_request.api_key,
                     proto_create_topics_request.version_max, create, metadata_build);
}
