/*
 * group_next_classic.c - members of the classic protocol in a KIP-848 group (online migration).
 *
 * Owner: control.
 *
 *   JoinGroup   is a heartbeat that says what the member owns (in its subscription); the answer's
 *               generation is the member's epoch, nobody leads, so nobody assigns
 *   SyncGroup   fetches what the member has
 *   Heartbeat   says REBALANCE_IN_PROGRESS when the member must join again: the group's epoch is
 *               ahead of it, it has to give something up, or what it waited for is free
 *   LeaveGroup  as always; members of either protocol may be removed by it
 *
 * Instead of the rebalance timer of group_next.h there are two: who was told to join again, or has
 * joined and does not fetch, is out after its rebalance timeout.
 *
 * Checks and their order are those of Kafka's classicGroup...ToConsumerGroup.
 */
#include <stdlib.h>

#include "answers.h"
#include "check.h"
#include "group_next.h"
#include "group_next_records.h"
#include "group_protocol.h"
#include "messages.h"
#include "uuid_text.h"

enum { VERSION_MEMBER_ID_REQUIRED = 4, VERSION_LEAVE_MANY = 3 };

/* ── what such a member has ── */

static void join_fired(struct timer *timer, struct now now)
{
    struct next_member *m = container_of(timer, struct next_classic, join)->member;
    next_blame(m->group, GROUP_CAUSE_LATE, m->id);
    next_fence_and_append(m, now);
}

static void sync_fired(struct timer *timer, struct now now)
{
    struct next_member *m = container_of(timer, struct next_classic, sync)->member;
    next_blame(m->group, GROUP_CAUSE_NO_SYNC, m->id);
    next_fence_and_append(m, now);
}

static bool is_same(const struct next_classic *c, int32_t session_timeout_ms,
                    const struct group_protocol *protocols, uint32_t n)
{
    if (c == NULL || c->session_timeout_ms != session_timeout_ms || c->protocols_n != n)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!bytes_equal(c->protocols[i].name, protocols[i].name) ||
            !bytes_equal(c->protocols[i].metadata, protocols[i].metadata))
            return false;
    return true;
}

static uint8_t *piece_copy(struct bytes *to, struct bytes from, uint8_t *at)
{
    if (from.n > 0)
        memcpy(at, from.ptr, from.n);
    *to = (struct bytes){at, from.n};
    return at + from.n;
}

static int protocols_copy(struct next_classic *c, const struct group_protocol *from, uint32_t n)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += (uint64_t)from[i].name.n + from[i].metadata.n;
    if (bytes > INT32_MAX)
        return E_TOO_LARGE;
    struct group_protocol *protocols = calloc(n + 1ull, sizeof *protocols);
    uint8_t *memory = malloc(bytes + 1), *at = memory;
    if (protocols == NULL || memory == NULL) {
        free(protocols);
        free(memory);
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) {
        at = piece_copy(&protocols[i].name, from[i].name, at);
        at = piece_copy(&protocols[i].metadata, from[i].metadata, at);
    }
    free(c->protocols);
    free(c->memory);
    c->protocols = protocols;
    c->protocols_n = n;
    c->memory = memory;
    c->bytes = (uint32_t)(sizeof *c + bytes + n * sizeof *protocols);
    return 0;
}

int next_classic_set(struct next_member *m, int32_t session_timeout_ms,
                     const struct group_protocol *protocols, uint32_t n, bool *has_changed)
{
    struct next_classic *c = m->classic;
    if (is_same(c, session_timeout_ms, protocols, n))
        return 0;
    if (c == NULL && (c = calloc(1, sizeof *c)) == NULL)
        return E_NO_MEMORY;
    int e = protocols_copy(c, protocols, n);
    if (e < 0) {
        if (m->classic == NULL)
            free(c);
        return e;
    }
    c->session_timeout_ms = session_timeout_ms;
    if (m->classic == NULL) {
        c->member = m;
        timer_init(&c->join, join_fired);
        timer_init(&c->sync, sync_fired);
        m->classic = c;
        m->group->classic_n += list_is_linked(&m->link);
        timer_stop(m->group->nexts->timers, &m->rebalance);
    }
    if (has_changed != NULL)
        *has_changed = true;
    next_member_count(m);
    return 0;
}

void next_classic_clear(struct next_member *m)
{
    struct next_classic *c = m->classic;
    struct timers *timers = m->group->nexts->timers;
    if (c == NULL)
        return;
    m->group->classic_n -= list_is_linked(&m->link);
    m->classic = NULL;
    timer_stop(timers, &c->join);
    timer_stop(timers, &c->sync);
    free(c->protocols);
    free(c->memory);
    free(c);
    next_member_count(m);
}

bool next_may_downgrade(const struct group_next *g)
{
    const struct next_config *config = &g->nexts->config;
    return config->may_downgrade && g->members_n > 0 && g->classic_n == g->members_n &&
           g->members_n <= (uint32_t)config->classic_size_max;
}

/* ── answers ── */

static struct bytes or_empty(struct bytes b)
{
    return b.ptr == NULL ? bytes_of("", 0) : b;
}

static void join_answer(struct control_op *op, int16_t code, struct bytes id,
                        const struct next_member *m)
{
    struct join_group_response *out = PROTO_NEW(&op->arena, join_group_response, 1);
    op->response = out;
    if (out == NULL)
        return;
    bool has_null = op->api_version >= 7;
    out->error_code = code;
    out->generation_id = m == NULL ? -1 : m->epoch;
    out->member_id = answer_bytes(&op->arena, or_empty(id));
    out->leader = bytes_of("", 0);
    out->protocol_name = has_null ? (struct bytes){NULL, 0} : bytes_of("", 0);
    if (m == NULL)
        return;
    out->protocol_type = bytes_of_string("consumer");
    if (m->classic->protocols_n > 0)
        out->protocol_name = answer_bytes(&op->arena, m->classic->protocols[0].name);
}

static void sync_answer(struct control_op *op, int16_t code, const struct next_member *m)
{
    const struct sync_group_request *r = op->request;
    struct sync_group_response *out = PROTO_NEW(&op->arena, sync_group_response, 1);
    op->response = out;
    if (out == NULL)
        return;
    out->error_code = code;
    out->assignment = bytes_of("", 0);
    if (m == NULL)
        return;
    struct bytes assignment = next_classic_assignment(m, &m->assigned);
    out->protocol_type = answer_bytes(&op->arena, r->protocol_type);
    out->protocol_name = answer_bytes(&op->arena, r->protocol_name);
    out->assignment = answer_bytes(&op->arena, assignment);
    if (assignment.ptr == NULL || out->assignment.ptr == NULL)
        op->response = NULL;
    free((void *)(uintptr_t)assignment.ptr);
}

/* The first of a topic's partitions; parts->n when there is none. */
static uint32_t parts_of(const struct next_parts *parts, const struct uuid *topic_id)
{
    struct next_part key = {.topic_id = *topic_id, .partition = INT32_MIN};
    uint32_t low = 0, high = parts->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (next_part_compare(&parts->v[mid], &key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Topics that are gone have no name and are left out. */
struct bytes next_classic_assignment(const struct next_member *m, const struct next_parts *parts)
{
    const struct group_next *g = m->group;
    struct consumer_protocol_assignment_assigned_partitions *topics =
        calloc(g->topics_n + 1ull, sizeof *topics);
    int32_t *numbers = calloc(parts->n + 1ull, sizeof *numbers);
    struct consumer_protocol_assignment a = {.assigned_partitions = topics};
    struct bytes out = {NULL, 0};
    for (uint32_t i = 0; i < parts->n && numbers != NULL; i++)
        numbers[i] = parts->v[i].partition;
    for (uint32_t i = 0; topics != NULL && numbers != NULL && i < g->topics_n; i++) {
        const struct next_topic *t = g->topics[i];
        uint32_t at = t->partitions_n == 0 ? parts->n : parts_of(parts, &t->id), end = at;
        while (end < parts->n && uuid_equal(&parts->v[end].topic_id, &t->id))
            end++;
        if (end > at)
            topics[a.assigned_partitions_n++] =
                (struct consumer_protocol_assignment_assigned_partitions){t->name, &numbers[at],
                                                                          (int32_t)(end - at)};
    }
    if (topics != NULL && numbers != NULL)
        out = consumer_assignment_encode(
            &a, m->classic->protocols_n == 0 ? bytes_of("", 0) : m->classic->protocols[0].metadata);
    free(topics);
    free(numbers);
    return out;
}

static void answer_now(struct group_next *g, struct control_op *op, struct group_records *records)
{
    next_append(g, records, op);
}

/* ── JoinGroup ── */

/* What the member owns, in topic ids; topics that are gone are left out. */
static int owned_put(const struct group_next *g, struct control_op *op,
                     const struct consumer_protocol_subscription *s,
                     struct consumer_group_heartbeat_request *to)
{
    const struct next_host *host = &g->nexts->host;
    int32_t n = (int32_t)max_i64(s->owned_partitions_n, 0), ignored;
    to->topic_partitions = arena_array(&op->arena, (uint64_t)n + 1, sizeof *to->topic_partitions);
    if (to->topic_partitions == NULL)
        return E_NO_MEMORY;
    to->topic_partitions_n = 0;
    for (int32_t i = 0; i < n; i++) {
        struct consumer_group_heartbeat_request_topic_partitions *t =
            &to->topic_partitions[to->topic_partitions_n];
        if (!host->topic(host->context, s->owned_partitions[i].topic, &t->topic_id, &ignored))
            continue;
        t->partitions = s->owned_partitions[i].partitions;
        t->partitions_n = s->owned_partitions[i].partitions_n;
        to->topic_partitions_n++;
    }
    return 0;
}

/* The heartbeat that this JoinGroup is. All protocols of a consumer have the same subscription. */
static int16_t beat_make(const struct group_next *g, struct control_op *op, struct bytes id,
                         struct consumer_group_heartbeat_request *to)
{
    const struct join_group_request *r = op->request;
    struct consumer_protocol_subscription s;
    int e = r->protocols_n <= 0
                ? E_MALFORMED
                : consumer_subscription_decode(r->protocols[0].metadata, &op->arena, &s);
    if (e < 0)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    if (s.topics_n > NEXT_SUBSCRIPTIONS_MAX)
        return KAFKA_INVALID_REQUEST;
    *to = (struct consumer_group_heartbeat_request){
        .group_id = r->group_id,
        .member_id = id,
        .instance_id = r->group_instance_id,
        .rack_id = s.rack_id.n == 0 ? (struct bytes){NULL, 0} : s.rack_id,
        .rebalance_timeout_ms = op->api_version >= 1 && r->rebalance_timeout_ms >= 0
                                    ? r->rebalance_timeout_ms
                                    : r->session_timeout_ms,
        .subscribed_topic_names = s.topics,
        .subscribed_topic_names_n = (int32_t)max_i64(s.topics_n, 0),
        .subscribed_topic_regex = bytes_of("", 0)};
    return owned_put(g, op, &s, to) < 0 ? KAFKA_UNKNOWN_SERVER_ERROR : 0;
}

static bool member_offers(const struct next_member *m, struct bytes protocol)
{
    for (uint32_t i = 0; i < m->classic->protocols_n; i++)
        if (bytes_equal(m->classic->protocols[i].name, protocol))
            return true;
    return false;
}

/* One of its protocols is one of every classic member. */
static bool protocols_fit(const struct group_next *g, const struct join_group_request *r)
{
    if (!bytes_equal_string(r->protocol_type, "consumer"))
        return false;
    for (int32_t i = 0; i < r->protocols_n && r->protocols_n <= GROUP_PROTOCOLS_MAX; i++) {
        bool is_everybodys = true;
        list_for_each(l, next, (struct list *)(uintptr_t)&g->members) {
            const struct next_member *m = list_entry(l, struct next_member, link);
            if (m->classic != NULL && !member_offers(m, r->protocols[i].name)) {
                is_everybodys = false;
                break;
            }
        }
        if (is_everybodys)
            return true;
    }
    return false;
}

/* Found, made, or the static one of that instance under its new id. A Kafka error code. */
static int16_t join_member(struct group_next *g, const struct join_group_request *r,
                           struct bytes id, struct group_records *records, struct now now,
                           struct next_member **out)
{
    struct fault f = {0};
    struct bytes none = {NULL, 0};
    if (r->group_instance_id.ptr == NULL) {
        *out = next_member_find(g, id);
        if (*out == NULL)
            *out = next_member_make(g, id, none, &f);
        return *out == NULL ? f.code : 0;
    }
    *out = next_member_by_instance(g, r->group_instance_id);
    if (r->member_id.n > 0)
        return *out == NULL                            ? KAFKA_UNKNOWN_MEMBER_ID
               : bytes_equal((*out)->id, r->member_id) ? 0
                                                       : KAFKA_FENCED_INSTANCE_ID;
    if (*out == NULL) {
        *out = next_member_make(g, id, r->group_instance_id, &f);
        return *out == NULL ? f.code : 0;
    }
    g->keeps_generation = true; /* it takes its predecessor's place */
    return next_member_replace(*out, id, records, now, NULL) ? 0 : KAFKA_UNKNOWN_SERVER_ERROR;
}

static int16_t join_walk(struct next_member *m, struct control_op *op,
                         const struct consumer_group_heartbeat_request *beat,
                         struct group_records *records, struct now now)
{
    const struct join_group_request *r = op->request;
    struct timers *timers = m->group->nexts->timers;
    const struct next_config *config = &m->group->nexts->config;
    bool has_changed = false;
    uint64_t bytes = 0;
    struct group_protocol *protocols =
        arena_array(&op->arena, (uint64_t)r->protocols_n + 1, sizeof *protocols);
    for (int32_t i = 0; protocols != NULL && i < r->protocols_n; i++) {
        protocols[i] = (struct group_protocol){r->protocols[i].name, r->protocols[i].metadata};
        bytes += (uint64_t)protocols[i].name.n + protocols[i].metadata.n;
    }
    bool has_room = protocols != NULL && bytes <= config->member_bytes_max &&
                    m->group->nexts->bytes + bytes <= config->bytes_max;
    int e = !has_room ? E_NO_MEMORY
                      : next_classic_set(m, r->session_timeout_ms, protocols,
                                         (uint32_t)r->protocols_n, &has_changed);
    if (e == 0)
        e = next_walk(m, op, beat, has_changed, records, now);
    if (e < 0 && m->epoch == NEXT_EPOCH_JOIN && m->client_id.ptr == NULL)
        next_member_free(m); /* it has no records yet */
    if (e < 0)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    timer_stop(timers, &m->classic->join);
    timer_set(timers, &m->classic->sync,
              now.ns + (uint64_t)max_i64(m->rebalance_timeout_ms, 0) * NS_PER_MS);
    return 0;
}

void next_classic_join(struct group_next *g, struct control_op *op, struct now now)
{
    const struct join_group_request *r = op->request;
    struct consumer_group_heartbeat_request beat;
    struct group_records records = {0};
    struct next_member *m = NULL;
    struct fault f = {0};
    struct uuid uuid;
    char text[UUID_TEXT_MAX];
    struct bytes id = r->member_id;
    int16_t code = 0;
    if (next_first_wait(g, op))
        return;
    g->keeps_generation = false;
    if (id.n == 0) {
        prng_uuid(g->nexts->prng, &uuid);
        uuid_text(&uuid, text);
        id = bytes_of(text, UUID_TEXT);
    }
    if (!next_size_check(g, id, &f))
        code = f.code;
    else if (!protocols_fit(g, r))
        code = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    else if (r->member_id.n == 0 && r->group_instance_id.ptr == NULL &&
             op->api_version >= VERSION_MEMBER_ID_REQUIRED)
        code = KAFKA_MEMBER_ID_REQUIRED;
    if (code == 0)
        code = beat_make(g, op, id, &beat);
    if (code == 0)
        code = join_member(g, r, id, &records, now, &m);
    if (code == 0)
        code = join_walk(m, op, &beat, &records, now);
    bool has_id = code == 0 || code == KAFKA_MEMBER_ID_REQUIRED;
    join_answer(op, code, has_id ? id : bytes_of("", 0), code == 0 ? m : NULL);
    answer_now(g, op, &records);
}

/* ── SyncGroup, Heartbeat ── */

static int16_t member_check(const struct group_next *g, struct bytes id, struct bytes instance_id,
                            struct next_member **out)
{
    *out =
        instance_id.ptr != NULL ? next_member_by_instance(g, instance_id) : next_member_find(g, id);
    if (*out == NULL)
        return KAFKA_UNKNOWN_MEMBER_ID;
    if (instance_id.ptr != NULL && !bytes_equal((*out)->id, id))
        return KAFKA_FENCED_INSTANCE_ID;
    return (*out)->classic == NULL ? KAFKA_UNKNOWN_MEMBER_ID : 0;
}

/* It is told to join again: by then. */
static int16_t rejoin(struct next_member *m, struct now now)
{
    if (!timer_is_set(&m->classic->join))
        timer_set(m->group->nexts->timers, &m->classic->join,
                  now.ns + (uint64_t)max_i64(m->rebalance_timeout_ms, 0) * NS_PER_MS);
    return KAFKA_REBALANCE_IN_PROGRESS;
}

static bool protocol_fits(const struct next_member *m, const struct sync_group_request *r)
{
    struct bytes name =
        m->classic->protocols_n == 0 ? bytes_of("", 0) : m->classic->protocols[0].name;
    return (r->protocol_type.ptr == NULL || bytes_equal_string(r->protocol_type, "consumer")) &&
           (r->protocol_name.ptr == NULL || bytes_equal(r->protocol_name, name));
}

void next_classic_sync(struct group_next *g, struct control_op *op, struct now now)
{
    const struct sync_group_request *r = op->request;
    struct group_records records = {0};
    struct next_member *m = NULL;
    int16_t code = member_check(g, r->member_id, r->group_instance_id, &m);
    if (code == 0 && r->generation_id != m->epoch)
        code = KAFKA_ILLEGAL_GENERATION;
    if (code == 0 && !protocol_fits(m, r))
        code = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    if (code == 0 && g->epoch > m->epoch && m->state != NEXT_UNREVOKED)
        code = rejoin(m, now);
    if (code == 0) {
        timer_stop(g->nexts->timers, &m->classic->sync);
        next_session_renew(m, now);
    }
    sync_answer(op, code, code == 0 ? m : NULL);
    answer_now(g, op, &records);
}

/* Something of its target is still with others. */
static bool waits_for_others(const struct next_member *m)
{
    for (uint32_t i = 0; i < m->target.n; i++) {
        const struct next_part *p = &m->target.v[i];
        const struct next_member *owner = next_owner(m->group, &p->topic_id, p->partition);
        if (owner != NULL && owner != m)
            return true;
    }
    return false;
}

void next_classic_heartbeat(struct group_next *g, struct control_op *op, struct now now)
{
    const struct heartbeat_request *r = op->request;
    struct heartbeat_response *out = PROTO_NEW(&op->arena, heartbeat_response, 1);
    struct group_records records = {0};
    struct next_member *m = NULL;
    int16_t code = member_check(g, r->member_id, r->group_instance_id, &m);
    if (code == 0 && r->generation_id != m->epoch)
        code = KAFKA_ILLEGAL_GENERATION;
    if (code == 0) {
        next_session_renew(m, now);
        if (m->epoch < g->epoch || m->state == NEXT_UNREVOKED ||
            (m->state == NEXT_UNRELEASED && !waits_for_others(m)))
            code = rejoin(m, now);
    }
    op->response = out;
    if (out != NULL)
        out->error_code = code;
    answer_now(g, op, &records);
}

/* ── LeaveGroup ── */

static int16_t leave_one(struct group_next *g, struct bytes *id, struct bytes instance_id,
                         struct control_op *op, struct group_records *records)
{
    struct next_member *m = instance_id.ptr != NULL ? next_member_by_instance(g, instance_id)
                                                    : next_member_find(g, *id);
    if (m == NULL)
        return KAFKA_UNKNOWN_MEMBER_ID;
    if (instance_id.ptr != NULL && id->n > 0 && !bytes_equal(m->id, *id))
        return KAFKA_FENCED_INSTANCE_ID;
    *id = answer_bytes(&op->arena, m->id);
    next_blame(g, GROUP_CAUSE_LEFT, m->id);
    next_member_drop(m, records);
    return 0;
}

void next_classic_leave(struct group_next *g, struct control_op *op, struct now now)
{
    const struct leave_group_request *r = op->request;
    struct leave_group_response *out = PROTO_NEW(&op->arena, leave_group_response, 1);
    struct group_records records = {0};
    bool is_many = op->api_version >= VERSION_LEAVE_MANY;
    int32_t n = !is_many || r->members_n < 0 ? 0 : r->members_n;
    struct bytes none = {NULL, 0}, id = r->member_id;
    g->keeps_generation = false;
    if (out != NULL && is_many)
        out->members = PROTO_NEW(&op->arena, leave_group_response_members, n);
    if (out != NULL && is_many && out->members == NULL)
        out = NULL;
    op->response = out;
    if (out != NULL && !is_many)
        out->error_code = leave_one(g, &id, none, op, &records);
    for (int32_t i = 0; out != NULL && i < n; i++) {
        struct leave_group_response_members *to = &out->members[i];
        to->member_id = r->members[i].member_id;
        to->group_instance_id = r->members[i].group_instance_id;
        to->error_code = leave_one(g, &to->member_id, to->group_instance_id, op, &records);
        out->members_n = i + 1;
    }
    if (records.n > 0 && !next_may_downgrade(g) && next_epoch_update(g, true, &records, now) < 0)
        g->metadata_version = 0; /* the next heartbeat looks again */
    answer_now(g, op, &records);
}
