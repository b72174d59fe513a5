/*
 * group_next_records.c - records of KIP-848 groups: group_next_records.h has the table.
 *
 * Owner: control.
 */
#include "group_next_records.h"

#include <stdlib.h>

#include "messages.h"

/* Keys differ only in their names; the generated structs have the same shape: group id, then one
 * string or none. */
static const struct proto_message *key_message(int16_t type)
{
    switch (type) {
    case NEXT_RECORD_EPOCH: return &proto_consumer_group_metadata_key;
    case NEXT_RECORD_PARTITIONS: return &proto_consumer_group_partition_metadata_key;
    case NEXT_RECORD_MEMBER: return &proto_consumer_group_member_metadata_key;
    case NEXT_RECORD_TARGET_EPOCH: return &proto_consumer_group_target_assignment_metadata_key;
    case NEXT_RECORD_TARGET: return &proto_consumer_group_target_assignment_member_key;
    case NEXT_RECORD_CURRENT: return &proto_consumer_group_current_member_assignment_key;
    case NEXT_RECORD_REGEX: return &proto_consumer_group_regular_expression_key;
    default: return NULL;
    }
}

static const struct proto_message *value_message(int16_t type)
{
    switch (type) {
    case NEXT_RECORD_EPOCH: return &proto_consumer_group_metadata_value;
    case NEXT_RECORD_MEMBER: return &proto_consumer_group_member_metadata_value;
    case NEXT_RECORD_TARGET_EPOCH: return &proto_consumer_group_target_assignment_metadata_value;
    case NEXT_RECORD_TARGET: return &proto_consumer_group_target_assignment_member_value;
    case NEXT_RECORD_CURRENT: return &proto_consumer_group_current_member_assignment_value;
    case NEXT_RECORD_REGEX: return &proto_consumer_group_regular_expression_value;
    default: return NULL;
    }
}

struct next_key {
    struct bytes group, name;
};
static_assert(sizeof(struct next_key) == sizeof(struct consumer_group_member_metadata_key),
              "the shape of a key");
static_assert(sizeof(struct next_key) == sizeof(struct consumer_group_regular_expression_key),
              "the shape of a key");

static void put(struct group_records *r, int16_t type, struct bytes group, struct bytes name,
                const void *value)
{
    struct next_key key = {group, name};
    group_records_put(r, type, key_message(type), 0, &key);
    group_records_put(r, 0, value_message(type), 0, value);
    r->records_n++;
}

static struct bytes none(void)
{
    return bytes_of("", 0);
}

static struct bytes not_null(struct bytes b)
{
    return b.ptr == NULL ? none() : b;
}

static void fails(struct group_records *r)
{
    r->error = r->error < 0 ? r->error : E_NO_MEMORY;
}

void next_records_epoch(struct group_records *r, const struct group_next *g)
{
    struct consumer_group_metadata_value v = {.epoch = g->epoch, .metadata_hash = g->hash};
    put(r, NEXT_RECORD_EPOCH, g->id, none(), &v);
}

void next_records_target_epoch(struct group_records *r, const struct group_next *g)
{
    struct consumer_group_target_assignment_metadata_value v = {
        .assignment_epoch = g->assignment_epoch, .assignment_timestamp = g->assigned_ms};
    put(r, NEXT_RECORD_TARGET_EPOCH, g->id, none(), &v);
}

static struct bytes *names_of(const struct next_topics *topics)
{
    struct bytes *names = calloc(topics->n + 1ull, sizeof *names);
    for (uint32_t i = 0; names != NULL && i < topics->n; i++)
        names[i] = topics->v[i]->name;
    return names;
}

void next_records_member(struct group_records *r, const struct next_member *m)
{
    struct bytes *names = names_of(&m->names);
    uint32_t protocols_n = m->classic == NULL ? 0 : m->classic->protocols_n;
    struct consumer_group_member_metadata_value_classic_member_metadata_supported_protocols
        *offers = calloc(protocols_n + 1ull, sizeof *offers);
    struct consumer_group_member_metadata_value_classic_member_metadata classic = {
        .session_timeout_ms = m->classic == NULL ? 0 : m->classic->session_timeout_ms,
        .supported_protocols = offers,
        .supported_protocols_n = (int32_t)protocols_n};
    struct consumer_group_member_metadata_value v = {
        .instance_id = m->instance_id,
        .rack_id = m->rack_id,
        .client_id = not_null(m->client_id),
        .client_host = not_null(m->client_host),
        .subscribed_topic_names = names,
        .subscribed_topic_names_n = (int32_t)m->names.n,
        .subscribed_topic_regex = m->regex == NULL ? none() : m->regex->text,
        .rebalance_timeout_ms = m->rebalance_timeout_ms,
        .server_assignor = m->assignor,
        .classic_member_metadata = m->classic == NULL ? NULL : &classic};
    for (uint32_t i = 0; offers != NULL && i < protocols_n; i++) {
        offers[i].name = m->classic->protocols[i].name;
        offers[i].metadata = m->classic->protocols[i].metadata;
    }
    if (names == NULL || offers == NULL)
        fails(r);
    else
        put(r, NEXT_RECORD_MEMBER, m->group->id, m->id, &v);
    free(names);
    free(offers);
}

static uint32_t topics_n(const struct next_parts *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n; i++)
        n += i == 0 || !uuid_equal(&p->v[i].topic_id, &p->v[i - 1].topic_id);
    return n;
}

void next_records_target(struct group_records *r, const struct next_member *m,
                         const struct next_parts *p)
{
    struct consumer_group_target_assignment_member_value_topic_partitions *topics =
        calloc(topics_n(p) + 1ull, sizeof *topics);
    int32_t *numbers = calloc(p->n + 1ull, sizeof *numbers);
    struct consumer_group_target_assignment_member_value v = {.topic_partitions = topics};
    for (uint32_t i = 0; topics != NULL && numbers != NULL && i < p->n; i++) {
        numbers[i] = p->v[i].partition;
        if (i == 0 || !uuid_equal(&p->v[i].topic_id, &p->v[i - 1].topic_id)) {
            topics[v.topic_partitions_n].topic_id = p->v[i].topic_id;
            topics[v.topic_partitions_n++].partitions = &numbers[i];
        }
        topics[v.topic_partitions_n - 1].partitions_n++;
    }
    if (topics == NULL || numbers == NULL)
        fails(r);
    else
        put(r, NEXT_RECORD_TARGET, m->group->id, m->id, &v);
    free(topics);
    free(numbers);
}

/* Partitions by topic; `numbers` has room for p->n partitions and as many epochs. */
static int32_t current_fill(
    const struct next_parts *p, int32_t *numbers,
    struct consumer_group_current_member_assignment_value_topic_partitions *to)
{
    int32_t n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        numbers[i] = p->v[i].partition;
        numbers[p->n + i] = p->v[i].epoch;
        if (i == 0 || !uuid_equal(&p->v[i].topic_id, &p->v[i - 1].topic_id)) {
            to[n].topic_id = p->v[i].topic_id;
            to[n].partitions = &numbers[i];
            to[n++].assignment_epochs = &numbers[p->n + i];
        }
        to[n - 1].partitions_n++;
        to[n - 1].assignment_epochs_n++;
    }
    return n;
}

void next_records_current(struct group_records *r, const struct next_member *m)
{
    uint32_t assigned_n = topics_n(&m->assigned), revoking_n = topics_n(&m->revoking);
    struct consumer_group_current_member_assignment_value_topic_partitions *topics =
        calloc(assigned_n + revoking_n + 1ull, sizeof *topics);
    int32_t *numbers = calloc(2ull * (m->assigned.n + m->revoking.n) + 1, sizeof *numbers);
    struct consumer_group_current_member_assignment_value v = {
        .member_epoch = m->epoch,
        .previous_member_epoch = m->previous_epoch,
        .state = (int8_t)m->state,
        .assigned_partitions = topics,
        .partitions_pending_revocation = topics == NULL ? NULL : &topics[assigned_n]};
    if (topics == NULL || numbers == NULL) {
        fails(r);
    } else {
        v.assigned_partitions_n = current_fill(&m->assigned, numbers, topics);
        v.partitions_pending_revocation_n =
            current_fill(&m->revoking, numbers + 2ull * m->assigned.n, &topics[assigned_n]);
        put(r, NEXT_RECORD_CURRENT, m->group->id, m->id, &v);
    }
    free(topics);
    free(numbers);
}

void next_records_regex(struct group_records *r, const struct group_next *g,
                        const struct next_regex *regex)
{
    struct bytes *names = names_of(&regex->topics);
    struct consumer_group_regular_expression_value v = {.topics = names,
                                                        .topics_n = (int32_t)regex->topics.n,
                                                        .version = regex->version,
                                                        .timestamp = regex->resolved_ms};
    if (names == NULL)
        fails(r);
    else
        put(r, NEXT_RECORD_REGEX, g->id, regex->text, &v);
    free(names);
}

void next_records_gone(struct group_records *r, int16_t type, struct bytes group, struct bytes name)
{
    struct next_key key = {group, name};
    group_records_put(r, type, key_message(type), 0, &key);
    group_records_put_null(r);
}

void next_records_member_gone(struct group_records *r, struct bytes group, struct bytes member_id)
{
    next_records_gone(r, NEXT_RECORD_CURRENT, group, member_id);
    next_records_gone(r, NEXT_RECORD_TARGET, group, member_id);
    next_records_gone(r, NEXT_RECORD_MEMBER, group, member_id);
}

void next_records_group_gone(struct group_records *r, const struct group_next *g)
{
    list_for_each(l, next, (struct list *)(uintptr_t)&g->members)
        next_records_member_gone(r, g->id, list_entry(l, struct next_member, link)->id);
    next_records_rest_gone(r, g);
}

void next_records_rest_gone(struct group_records *r, const struct group_next *g)
{
    list_for_each(l2, next2, (struct list *)(uintptr_t)&g->regexes)
        next_records_gone(r, NEXT_RECORD_REGEX, g->id,
                          list_entry(l2, struct next_regex, link)->text);
    next_records_gone(r, NEXT_RECORD_TARGET_EPOCH, g->id, none());
    next_records_gone(r, NEXT_RECORD_EPOCH, g->id, none());
}

/* ── from bytes ── */

int next_record_decode(struct bytes key, struct bytes value, struct arena *arena,
                       struct next_record *out)
{
    struct next_key k = {none(), none()};
    *out = (struct next_record){.is_gone = value.ptr == NULL};
    if (key.ptr == NULL || key.n < 2)
        return E_MALFORMED;
    out->type = load_i16(key.ptr);
    if (key_message(out->type) == NULL)
        return E_INVALID;
    int e = proto_decode_flat(key_message(out->type), 0, bytes_of(key.ptr + 2, key.n - 2), arena,
                              &k, NULL);
    out->group = k.group;
    out->name = k.name;
    const struct proto_message *message = value_message(out->type);
    if (e < 0 || out->is_gone || message == NULL)
        return e == E_EOF ? E_MALFORMED : e;
    if (value.n < 2)
        return E_MALFORMED;
    if (load_i16(value.ptr) != 0)
        return E_UNSUPPORTED;
    void *v = arena_alloc(arena, message->size);
    if (v == NULL)
        return E_NO_MEMORY;
    e = proto_decode_flat(message, 0, bytes_of(value.ptr + 2, value.n - 2), arena, v, NULL);
    out->value = v;
    return e == E_EOF ? E_MALFORMED : e;
}
