/*
 * dispatch.c - a frame becomes a decoded request: header, api.def row, version, body, handler.
 *
 * Owner: worker.
 *
 * What cannot be decoded, names more than REQUEST_ELEMENTS_MAX topics and partitions together, an
 * unknown or unserved key, a version out of range: the connection is closed, without an answer
 * (error-behaviour 1; trap 31). The exception is ApiVersions in an unknown version (trap 2,
 * KIP-511). Bytes behind a well-formed body are ignored, unknown tags skipped (trap 33).
 */
#include "request.h"

/* NULL in a row's release column becomes a null pointer through this name. */
#define API(key_, name, min, max, where_, start_, release_) \
    {.key = (key_),                                         \
     .version_min = (min),                                  \
     .version_max = (max),                                  \
     .where = API_##where_,                                 \
     .start = start_,                                       \
     .release = release_},
const struct api apis[] = {
#include "api.def"
};
#undef API
const uint8_t apis_n = array_n(apis);

const struct api *api_find(int16_t key)
{
    for (uint8_t i = 0; i < apis_n; i++)
        if (apis[i].key == key)
            return &apis[i];
    return NULL;
}

int16_t api_version_min(const struct api *api)
{
    const struct proto_message *m = proto_request(api->key);
    return m->version_min > api->version_min ? m->version_min : api->version_min;
}

/* The header is good; decides whether we serve it. */
static bool dispatch_accepts(struct request *r, const struct proto_header *header, int rc)
{
    const struct api *api = api_find(header->api_key);
    r->correlation_id = header->correlation_id;
    if (api == NULL) {
        request_close(r, CONN_END_PROTOCOL, STAT_BAD_API);
        return false;
    }
    r->api = api;
    r->version = header->api_version;
    if (rc == 0 && r->version >= api_version_min(api) && r->version <= api->version_max)
        return true;
    if (api->key == proto_api_versions_request.api_key) {
        api_versions_refuse(r);
        return false;
    }
    request_close(r, CONN_END_PROTOCOL, STAT_BAD_VERSION);
    return false;
}

void request_dispatch(struct request *r, const struct view *view, struct now now)
{
    struct proto_in in;
    struct proto_header header = {.api_key = -1};
    proto_in_init(&in, &r->frame, &r->arena);
    int rc = proto_decode_header(&in, &header);
    if (rc != 0 && rc != E_UNSUPPORTED) {
        request_close(r, CONN_END_PROTOCOL, STAT_BAD_HEADER);
        return;
    }
    if (!dispatch_accepts(r, &header, rc))
        return;
    const struct proto_message *m = proto_request(r->api->key);
    r->client_id = header.client_id;
    in.elements_left = REQUEST_ELEMENTS_MAX;
    r->body = arena_alloc_raw(&r->arena, m->size); /* decoding sets all of it */
    rc = r->body == NULL ? E_NO_MEMORY : proto_decode(m, r->version, &in, r->body);
    r->kafka->begin_left -= REQUEST_ELEMENTS_MAX - (int64_t)in.elements_left;
    if (rc == E_NO_MEMORY)
        request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
    else if (rc == E_TOO_LARGE)
        request_close(r, CONN_END_PROTOCOL, STAT_MANY_ELEMENTS);
    else if (rc != 0)
        request_close(r, CONN_END_PROTOCOL, STAT_BAD_BODY);
    else
        r->api->start(r, view, now);
}

/* ── what handlers share ── */

struct bytes listener_host(const struct request *r)
{
    return bytes_of_string(conn_listener(r->conn->conn)->advertised_host);
}

int32_t listener_port(const struct request *r)
{
    return conn_listener(r->conn->conn)->advertised_port;
}

/* What is asked for is mostly what was asked for last; a topic lives as long as its view. */
static const struct view_topic *topic_find(struct kafka *k, const struct view *view,
                                           struct bytes name, const struct uuid *id, bool by_id)
{
    const struct view_topic *last = k->topic_last;
    if (last != NULL && k->topic_version == view->version &&
        (by_id ? uuid_equal(&last->id, id) : bytes_equal(last->name, name)))
        return last;
    k->topic_version = view->version;
    k->topic_last = by_id ? view_topic_by_id(view, id) : view_topic_by_name(view, name);
    return k->topic_last;
}

int16_t partition_find(struct kafka *k, const struct view *view, struct bytes name,
                       const struct uuid *id, bool by_id, int32_t partition,
                       const struct view_topic **topic, const struct view_partition **found)
{
    *found = NULL;
    *topic = topic_find(k, view, name, id, by_id);
    if (*topic == NULL)
        return by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (partition < 0 || partition >= (*topic)->partitions_n)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    *found = &(*topic)->partitions[partition];
    if ((*found)->leader == view->node_id)
        return KAFKA_NONE;
    return (*found)->is_offline ? KAFKA_KAFKA_STORAGE_ERROR : KAFKA_NOT_LEADER_OR_FOLLOWER;
}

int16_t leader_epoch_check(int32_t asked, int32_t ours)
{
    if (asked < 0 || asked == ours)
        return KAFKA_NONE;
    return asked < ours ? KAFKA_FENCED_LEADER_EPOCH : KAFKA_UNKNOWN_LEADER_EPOCH;
}
