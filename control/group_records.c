/*
 * group_records.c - the records of __consumer_offsets: GroupMetadataKey 2 / Value v3,
 * OffsetCommitKey 1 / Value v4.
 *
 * Owner: control.
 *
 * An offset that carries an expiry of its own (retention_time_ms of OffsetCommit v2-4) is written
 * as value v1, the only version with that field, as Apache Kafka does. Read are all versions of
 * both; key types 0 (values v0, from before Kafka 0.9) and 1 have the same layout.
 */
#include "group_records.h"

#include <stdlib.h>

#include "check.h"
#include "messages.h"

enum {
    KEY_OFFSET_LEGACY = 0,
    KEY_OFFSET = 1,
    KEY_METADATA = 2,
    VALUE_OFFSET = 4,
    VALUE_OFFSET_EXPIRES = 1,
    VALUE_METADATA = 3,
    RECORDS_BYTES_ROOM = 64 << 20, /* of one write; no log takes a batch of that size anyway */
};
#define NULL_VALUE UINT32_MAX

void group_records_fini(struct group_records *r)
{
    free(r->v);
    *r = (struct group_records){0};
}

static uint8_t *room(struct group_records *r, uint64_t n)
{
    if (r->error < 0)
        return NULL;
    if (r->n + n > RECORDS_BYTES_ROOM) {
        r->error = E_TOO_LARGE;
        return NULL;
    }
    if (r->n + n > r->max) {
        uint32_t max = (uint32_t)max_u64(r->n + n, r->max * 2ull);
        uint8_t *more = realloc(r->v, max);
        if (more == NULL) {
            r->error = E_NO_MEMORY;
            return NULL;
        }
        r->v = more;
        r->max = max;
    }
    uint8_t *at = r->v + r->n;
    r->n += (uint32_t)n;
    return at;
}

/* u32 length, int16 `type`, the struct. */
void group_records_put(struct group_records *r, int16_t type, const struct proto_message *message,
                       int16_t version, const void *value)
{
    int64_t n = proto_size(message, version, value);
    if (n < 0) {
        r->error = r->error < 0 ? r->error : (int)n;
        return;
    }
    uint8_t *at = room(r, (uint64_t)n + 6);
    if (at == NULL)
        return;
    store_u32(at, (uint32_t)n + 2);
    store_u16(at + 4, (uint16_t)type);
    r->error = proto_encode_flat(message, version, value, at + 6, (uint64_t)n);
}

void group_records_join(struct group_records *r, const struct group_records *from)
{
    uint8_t *at = from->error < 0 || from->n == 0 ? NULL : room(r, from->n);
    if (from->error < 0 && r->error == 0)
        r->error = from->error;
    if (at == NULL)
        return;
    memcpy(at, from->v, from->n);
    r->records_n += from->records_n;
}

void group_records_put_null(struct group_records *r)
{
    uint8_t *at = room(r, 4);
    if (at != NULL)
        store_u32(at, NULL_VALUE);
    r->records_n++;
}

static void put_offset_key(struct group_records *r, struct bytes group, struct bytes topic,
                           int32_t partition)
{
    struct offset_commit_key key = {.group = group, .topic = topic, .partition = partition};
    group_records_put(r, KEY_OFFSET, &proto_offset_commit_key, 0, &key);
}

void group_records_offset(struct group_records *r, struct bytes group, const struct offset *o)
{
    int16_t version = o->expire_ms >= 0 ? VALUE_OFFSET_EXPIRES : VALUE_OFFSET;
    struct offset_commit_value value = {.offset = o->offset,
                                        .leader_epoch = o->leader_epoch,
                                        .metadata = o->metadata,
                                        .commit_timestamp = o->commit_ms,
                                        .expire_timestamp = o->expire_ms,
                                        .topic_id = o->topic_id};
    put_offset_key(r, group, o->topic, o->partition);
    if (version == VALUE_OFFSET)
        value.expire_timestamp = -1;
    else {
        value.leader_epoch = -1;
        value.topic_id = (struct uuid){{0}};
    }
    group_records_put(r, version, &proto_offset_commit_value, version, &value);
    r->records_n++;
}

void group_records_offset_gone(struct group_records *r, struct bytes group, struct bytes topic,
                               int32_t partition)
{
    put_offset_key(r, group, topic, partition);
    group_records_put_null(r);
}

static void put_metadata_key(struct group_records *r, struct bytes group)
{
    struct group_metadata_key key = {.group = group};
    group_records_put(r, KEY_METADATA, &proto_group_metadata_key, 0, &key);
}

void group_records_metadata_gone(struct group_records *r, struct bytes group)
{
    put_metadata_key(r, group);
    group_records_put_null(r);
}

static struct bytes not_null(struct bytes b)
{
    return b.ptr == NULL ? bytes_of("", 0) : b;
}

static struct bytes subscription(const struct group_member *member, struct bytes protocol)
{
    for (uint32_t i = 0; i < member->protocols_n; i++)
        if (bytes_equal(member->protocols[i].name, protocol))
            return member->protocols[i].metadata;
    return bytes_of("", 0);
}

void group_records_metadata(struct group_records *r, const struct group *group)
{
    struct group_metadata_value_members *members = calloc(group->members_n + 1u, sizeof *members);
    struct group_metadata_value value = {.protocol_type = not_null(group->protocol_type),
                                         .generation = group->generation,
                                         .protocol = group->protocol,
                                         .leader = group->leader,
                                         .current_state_timestamp = group->state_wall_ms,
                                         .members = members};
    if (members == NULL) {
        r->error = r->error < 0 ? r->error : E_NO_MEMORY;
        return;
    }
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members) {
        const struct group_member *m = list_entry(l, struct group_member, link);
        members[value.members_n++] =
            (struct group_metadata_value_members){.member_id = m->id,
                                                  .group_instance_id = m->instance_id,
                                                  .client_id = not_null(m->client_id),
                                                  .client_host = not_null(m->client_host),
                                                  .rebalance_timeout = m->rebalance_timeout_ms,
                                                  .session_timeout = m->session_timeout_ms,
                                                  .subscription = subscription(m, group->protocol),
                                                  .assignment = not_null(m->assignment)};
    }
    put_metadata_key(r, group->id);
    group_records_put(r, VALUE_METADATA, &proto_group_metadata_value, VALUE_METADATA, &value);
    r->records_n++;
    free(members);
}

bool group_records_next(const struct group_records *r, uint32_t *at, struct bytes *key,
                        struct bytes *value)
{
    if (*at == r->n)
        return false;
    uint32_t n = load_u32(r->v + *at);
    *key = bytes_of(r->v + *at + 4, n);
    *at += 4 + n;
    n = load_u32(r->v + *at);
    *value = n == NULL_VALUE ? (struct bytes){NULL, 0} : bytes_of(r->v + *at + 4, n);
    *at += 4 + value->n;
    check(*at <= r->n);
    return true;
}

/* ── from bytes ── */

/* The struct behind the int16, which is *version. */
static int decode(const struct proto_message *message, struct bytes from, struct arena *arena,
                  void *out)
{
    if (from.n < 2)
        return E_MALFORMED;
    int16_t version = load_i16(from.ptr);
    if (version < message->version_min || version > message->version_max)
        return E_UNSUPPORTED;
    return proto_decode_flat(message, version, bytes_of(from.ptr + 2, from.n - 2), arena, out,
                             NULL);
}

static int decode_offset(struct bytes value, struct arena *arena, struct group_record *out)
{
    struct offset_commit_value *v = PROTO_NEW(arena, offset_commit_value, 1);
    int e = v == NULL ? E_NO_MEMORY : decode(&proto_offset_commit_value, value, arena, v);
    if (e < 0)
        return e;
    out->offset.offset = v->offset;
    out->offset.leader_epoch = v->leader_epoch;
    out->offset.metadata = not_null(v->metadata);
    out->offset.commit_ms = v->commit_timestamp;
    out->offset.expire_ms = v->expire_timestamp;
    out->offset.topic_id = v->topic_id;
    return 0;
}

int group_record_decode(struct bytes key, struct bytes value, struct arena *arena,
                        struct group_record *out)
{
    *out = (struct group_record){.kind = GROUP_RECORD_OTHER, .is_gone = value.ptr == NULL};
    if (key.ptr == NULL || key.n < 2)
        return E_MALFORMED;
    int16_t type = load_i16(key.ptr);
    struct bytes body = bytes_of(key.ptr + 2, key.n - 2);
    int e = 0;
    if (type == KEY_OFFSET || type == KEY_OFFSET_LEGACY) {
        struct offset_commit_key k = {0};
        e = proto_decode_flat(&proto_offset_commit_key, 0, body, arena, &k, NULL);
        out->kind = GROUP_RECORD_OFFSET;
        out->group = k.group;
        out->offset.topic = k.topic;
        out->offset.partition = k.partition;
        if (e == 0 && !out->is_gone)
            e = decode_offset(value, arena, out);
    } else if (type == KEY_METADATA) {
        struct group_metadata_key k = {0};
        e = proto_decode_flat(&proto_group_metadata_key, 0, body, arena, &k, NULL);
        out->kind = GROUP_RECORD_METADATA;
        out->group = k.group;
        out->metadata = e < 0 || out->is_gone ? NULL : PROTO_NEW(arena, group_metadata_value, 1);
        if (e == 0 && !out->is_gone)
            e = out->metadata == NULL
                    ? E_NO_MEMORY
                    : decode(&proto_group_metadata_value, value, arena, out->metadata);
    }
    return e == E_EOF ? E_MALFORMED : e;
}
