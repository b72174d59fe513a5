/*
 * member_group.c - how simulated members belong to their group: eager and cooperative members and
 * static ones of the classic protocol, members of KIP-848.
 *
 * Owner: the simulator.
 *
 * A classic leader deals out all partitions of all topics in turn; a cooperative one gives nobody
 * what another one says it owns. A static leader that came back is told to deal nothing (KIP-814),
 * but goes on looking for new topics; before version 9 of JoinGroup it would not know that it
 * leads, and nobody would deal out a topic made meanwhile. Subscriptions and assignments are real
 * ones (version 1 of the consumers' embedded protocol), because a group may change its protocol
 * under its members.
 */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "group_protocol.h"
#include "member.h"
#include "messages.h"
#include "proto.h"

enum {
    COORDINATOR_LOADING = 14,
    COORDINATOR_NOT_AVAILABLE = 15,
    NOT_COORDINATOR = 16,
    REBALANCE_IN_PROGRESS = 27,
    MEMBER_ID_REQUIRED = 79,
    FENCED_MEMBER_EPOCH = 110,
    UNRELEASED_INSTANCE_ID = 111,
    STALE_MEMBER_EPOCH = 113,
    SUBSCRIPTION_VERSION = 1,
};

static const char group_name[] = "group";

static struct bytes text(const char *s)
{
    return bytes_of_string(s);
}

void member_instance(const struct sim_member *m, char to[16])
{
    snprintf(to, 16, "i%u", m->number);
}

static struct bytes instance_of(const struct sim_member *m, struct arena *a)
{
    char name[16];
    if (!m->is_static)
        return (struct bytes){NULL, 0};
    member_instance(m, name);
    return bytes_of(arena_copy(a, name, strlen(name)), strlen(name));
}

/* ── the embedded protocol ── */

static struct bytes encode(const struct proto_message *message, const void *value, struct arena *a)
{
    int64_t n = proto_size(message, SUBSCRIPTION_VERSION, value);
    uint8_t *to = arena_alloc(a, (uint64_t)n + 2);
    check(n >= 0 && to != NULL);
    store_u16(to, SUBSCRIPTION_VERSION);
    check(proto_encode_flat(message, SUBSCRIPTION_VERSION, value, to + 2, (uint64_t)n) == 0);
    return bytes_of(to, (size_t)n + 2);
}

static struct bytes *names_of(const struct sim *s, struct arena *a)
{
    struct bytes *names = arena_array(a, s->topics_n, sizeof *names);
    for (uint32_t t = 0; t < s->topics_n; t++)
        names[t] = text(s->topics[t].name);
    return names;
}

static int32_t topic_number(const struct sim *s, struct bytes name)
{
    for (uint32_t t = 0; t < s->topics_n; t++)
        if (bytes_equal_string(name, s->topics[t].name))
            return (int32_t)t;
    return -1;
}

static struct bytes subscription(const struct sim *s, struct sim_member *m, struct arena *a)
{
    struct consumer_protocol_subscription v = {.topics = names_of(s, a),
                                               .topics_n = (int32_t)s->topics_n};
    v.owned_partitions = PROTO_NEW(a, consumer_protocol_subscription_owned_partitions, m->parts_n);
    memset(m->claims, 0, sizeof m->claims);
    for (uint32_t i = 0; i < m->parts_n; i++) {
        int32_t *number = arena_alloc(a, sizeof *number);
        *number = m->parts[i].partition;
        m->claims[m->parts[i].topic][*number] = true;
        v.owned_partitions[v.owned_partitions_n++] =
            (struct consumer_protocol_subscription_owned_partitions){
                text(s->topics[m->parts[i].topic].name), number, 1};
    }
    return encode(&proto_consumer_protocol_subscription, &v, a);
}

/* ── JoinGroup ── */

const void *member_ask_join(struct sim *s, struct sim_member *m, struct arena *a)
{
    struct join_group_request *r = PROTO_NEW(a, join_group_request, 1);
    m->must_join = true;
    if (m->kind != SIM_COOPERATIVE)
        member_lose_all(s, m); /* an eager member stops before it asks */
    r->group_id = text(group_name);
    r->session_timeout_ms = SESSION_MS;
    r->rebalance_timeout_ms = REBALANCE_MS;
    r->member_id = text(m->id);
    r->group_instance_id = instance_of(m, a);
    r->protocol_type = text("consumer");
    r->protocols = PROTO_NEW(a, join_group_request_protocols, 1);
    r->protocols_n = 1;
    r->protocols->name = text("dealt");
    r->protocols->metadata = subscription(s, m, a);
    return r;
}

static void id_set(char *to, struct bytes from)
{
    check(from.n < MEMBER_ID_MAX);
    if (from.n > 0)
        memcpy(to, from.ptr, from.n);
    to[from.n] = 0;
}

static bool peer_read(struct sim *s, struct member_peer *peer,
                      const struct join_group_response_members *from)
{
    struct consumer_protocol_subscription v;
    struct arena a;
    bool ok = true;
    *peer = (struct member_peer){0};
    id_set(peer->id, from->member_id);
    arena_init(&a, NULL, NULL, MIB(1));
    if (consumer_subscription_decode(from->metadata, &a, &v) != 0)
        ok = sim_fail(s, "the leader cannot read a subscription");
    for (int32_t i = 0; ok && i < v.owned_partitions_n; i++) {
        int32_t t = topic_number(s, v.owned_partitions[i].topic);
        for (int32_t k = 0; t >= 0 && k < v.owned_partitions[i].partitions_n; k++)
            if (v.owned_partitions[i].partitions[k] < SIM_PARTITIONS_MAX)
                peer->owns[t][v.owned_partitions[i].partitions[k]] = true;
    }
    arena_fini(&a);
    return ok;
}

bool member_answer_join(struct sim *s, struct sim_member *m, const void *response)
{
    const struct join_group_response *r = response;
    if (r->error_code == MEMBER_ID_REQUIRED) {
        id_set(m->id, r->member_id);
        m->step = STEP_JOIN;
        return true;
    }
    if (member_error(s, m, r->error_code))
        return true;
    id_set(m->id, r->member_id);
    m->generation = r->generation_id;
    m->is_leader = bytes_equal(r->leader, r->member_id);
    m->deals = m->is_leader && !r->skip_assignment;
    m->peers_n = 0;
    for (int32_t i = 0; i < r->members_n && m->peers_n < array_n(m->peers); i++)
        if (!peer_read(s, &m->peers[m->peers_n++], &r->members[i]))
            return false;
    m->step = STEP_SYNC;
    return true;
}

/* ── SyncGroup ── */

/* Somebody else says that he owns it. */
static bool is_others(const struct sim_member *m, uint32_t who, uint32_t t, int32_t p)
{
    for (uint32_t i = 0; i < m->peers_n; i++)
        if (i != who && m->peers[i].owns[t][p])
            return true;
    return false;
}

/* Partition k of all goes to member k mod n. */
static struct bytes dealt(const struct sim *s, const struct sim_member *m, uint32_t who,
                          struct arena *a)
{
    struct consumer_protocol_assignment v = {0};
    uint32_t k = 0;
    v.assigned_partitions =
        PROTO_NEW(a, consumer_protocol_assignment_assigned_partitions, MEMBER_PARTITIONS_MAX);
    for (uint32_t t = 0; t < s->topics_n; t++) {
        for (int32_t p = 0; s->topics[t].is_created && p < s->topics[t].partitions_n; p++) {
            if (k++ % m->peers_n != who || is_others(m, who, t, p))
                continue;
            int32_t *number = arena_alloc(a, sizeof *number);
            *number = p;
            v.assigned_partitions[v.assigned_partitions_n++] =
                (struct consumer_protocol_assignment_assigned_partitions){text(s->topics[t].name),
                                                                          number, 1};
        }
    }
    return encode(&proto_consumer_protocol_assignment, &v, a);
}

static uint32_t topics_n(const struct sim *s)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < s->topics_n; t++)
        n += s->topics[t].is_created;
    return n;
}

const void *member_ask_sync(struct sim *s, struct sim_member *m, struct arena *a)
{
    struct sync_group_request *r = PROTO_NEW(a, sync_group_request, 1);
    r->group_id = text(group_name);
    r->generation_id = m->generation;
    r->member_id = text(m->id);
    r->group_instance_id = instance_of(m, a);
    if (!m->deals) /* what its former life dealt still stands, and dealt_n with it */
        return r;
    m->dealt_n = topics_n(s);
    r->assignments = PROTO_NEW(a, sync_group_request_assignments, m->peers_n);
    r->assignments_n = (int32_t)m->peers_n;
    for (uint32_t i = 0; i < m->peers_n; i++) {
        r->assignments[i].member_id = text(m->peers[i].id);
        r->assignments[i].assignment = dealt(s, m, i, a);
    }
    return r;
}

/* Something that it said it owns is not in its assignment: others wait until it joins without. */
static bool claims_too_much(struct sim_member *m, const struct member_partition *parts, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (parts[i].partition >= 0 && parts[i].partition < SIM_PARTITIONS_MAX)
            m->claims[parts[i].topic][parts[i].partition] = false;
    for (uint32_t i = 0; i < MEMBER_PARTITIONS_MAX; i++)
        if (m->claims[i / SIM_PARTITIONS_MAX][i % SIM_PARTITIONS_MAX])
            return true;
    return false;
}

bool member_answer_sync(struct sim *s, struct sim_member *m, const void *response)
{
    const struct sync_group_response *r = response;
    struct member_partition parts[MEMBER_PARTITIONS_MAX];
    struct consumer_protocol_assignment v;
    struct arena a;
    uint32_t n = 0, lost_n = 0;
    if (member_error(s, m, r->error_code))
        return true;
    arena_init(&a, NULL, NULL, MIB(1));
    bool ok = consumer_assignment_decode(r->assignment, &a, &v) == 0 ||
              sim_fail(s, "a member cannot read its assignment");
    for (int32_t i = 0; ok && i < v.assigned_partitions_n; i++) {
        int32_t t = topic_number(s, v.assigned_partitions[i].topic);
        for (int32_t k = 0; t >= 0 && k < v.assigned_partitions[i].partitions_n; k++)
            if (n < MEMBER_PARTITIONS_MAX)
                parts[n++] = (struct member_partition){
                    .topic = (uint32_t)t, .partition = v.assigned_partitions[i].partitions[k]};
    }
    arena_fini(&a);
    m->must_join = false;
    m->lease_ns = m->asked_ns + SESSION_MS * NS_PER_MS;
    if (ok && s->now.ns < m->lease_ns) {
        ok = member_take(s, m, parts, n, &lost_n);
        m->step = claims_too_much(m, parts, n) ? STEP_JOIN : member_next_step(m);
    } else {
        m->step = STEP_JOIN; /* too late to begin with it */
    }
    return ok;
}

/* ── ConsumerGroupHeartbeat ── */

static const struct view_topic *topic_view(const struct sim *s, struct bytes name)
{
    const struct view *view = atomic_load_explicit(&s->broker->views.current, memory_order_acquire);
    return view == NULL ? NULL : view_topic_by_name(view, name);
}

static void owned_fill(const struct sim *s, const struct sim_member *m,
                       struct consumer_group_heartbeat_request *r, struct arena *a)
{
    r->topic_partitions =
        PROTO_NEW(a, consumer_group_heartbeat_request_topic_partitions, m->parts_n);
    r->topic_partitions_n = 0;
    for (uint32_t i = 0; i < m->parts_n; i++) {
        const struct view_topic *topic = topic_view(s, text(s->topics[m->parts[i].topic].name));
        int32_t *number = arena_alloc(a, sizeof *number);
        if (topic == NULL)
            continue;
        *number = m->parts[i].partition;
        r->topic_partitions[r->topic_partitions_n++] =
            (struct consumer_group_heartbeat_request_topic_partitions){topic->id, number, 1};
    }
}

const void *member_ask_beat(struct sim *s, struct sim_member *m, struct arena *a)
{
    struct consumer_group_heartbeat_request *r = PROTO_NEW(a, consumer_group_heartbeat_request, 1);
    if (m->id[0] == 0)
        snprintf(m->id, sizeof m->id, "member-%u-%u", m->number, m->born++);
    if (m->generation == 0)
        member_lose_all(s, m);
    r->group_id = text(group_name);
    r->member_id = text(m->id);
    r->member_epoch = m->generation;
    r->instance_id = instance_of(m, a);
    r->rebalance_timeout_ms = -1;
    r->subscribed_topic_names_n = r->topic_partitions_n = -1;
    r->subscribed_topic_regex = (struct bytes){NULL, 0};
    if (m->generation == 0 || m->says_all) {
        r->rebalance_timeout_ms = REBALANCE_MS;
        r->subscribed_topic_names = names_of(s, a);
        r->subscribed_topic_names_n = (int32_t)s->topics_n;
    }
    owned_fill(s, m, r, a);
    m->says_all = true; /* until the answer is here */
    return r;
}

static int32_t topic_of_id(const struct sim *s, const struct uuid *id)
{
    for (uint32_t t = 0; t < s->topics_n; t++) {
        const struct view_topic *topic = topic_view(s, text(s->topics[t].name));
        if (topic != NULL && uuid_equal(&topic->id, id))
            return (int32_t)t;
    }
    return -1;
}

bool member_answer_beat(struct sim *s, struct sim_member *m, const void *response)
{
    const struct consumer_group_heartbeat_response *r = response;
    struct member_partition parts[MEMBER_PARTITIONS_MAX];
    uint32_t n = 0, lost_n = 0;
    bool ok = true, has_lost = m->is_stale; /* while the answer was on its way */
    if (member_error(s, m, r->error_code))
        return true;
    m->says_all = has_lost;
    m->lease_ns = m->asked_ns + SESSION_MS * NS_PER_MS;
    m->heartbeat_ns = s->now.ns + HEARTBEAT_MS * NS_PER_MS;
    m->generation = r->member_epoch;
    if (r->assignment != NULL && s->now.ns >= m->lease_ns)
        m->says_all = true; /* too late to begin with it */
    else if (r->assignment != NULL) {
        for (int32_t i = 0; i < r->assignment->topic_partitions_n; i++) {
            int32_t t = topic_of_id(s, &r->assignment->topic_partitions[i].topic_id);
            for (int32_t k = 0; t >= 0 && k < r->assignment->topic_partitions[i].partitions_n; k++)
                if (n < MEMBER_PARTITIONS_MAX)
                    parts[n++] = (struct member_partition){
                        .topic = (uint32_t)t,
                        .partition = r->assignment->topic_partitions[i].partitions[k]};
        }
        ok = member_take(s, m, parts, n, &lost_n);
    }
    m->step = lost_n > 0 || has_lost ? STEP_BEAT : member_next_step(m);
    return ok;
}

/* ── Heartbeat ── */

const void *member_ask_heartbeat(struct sim_member *m, struct arena *a)
{
    struct heartbeat_request *r = PROTO_NEW(a, heartbeat_request, 1);
    r->group_id = text(group_name);
    r->generation_id = m->generation;
    r->member_id = text(m->id);
    r->group_instance_id = instance_of(m, a);
    return r;
}

bool member_answer_heartbeat(struct sim *s, struct sim_member *m, const void *response)
{
    m->heartbeat_ns = s->now.ns + HEARTBEAT_MS * NS_PER_MS;
    if (member_error(s, m, ((const struct heartbeat_response *)response)->error_code))
        return true;
    m->lease_ns = m->asked_ns + SESSION_MS * NS_PER_MS;
    m->step = m->is_leader && m->dealt_n != topics_n(s) ? STEP_JOIN : member_next_step(m);
    return true;
}

/* ── errors ── */

bool member_error(struct sim *s, struct sim_member *m, int16_t code)
{
    switch (code) {
    case 0: return false;
    case COORDINATOR_LOADING:
    case COORDINATOR_NOT_AVAILABLE:
    case NOT_COORDINATOR:
        m->step = m->step == STEP_COMMIT ? STEP_COMMIT : STEP_FIND;
        m->silent_until_ns = max_u64(m->silent_until_ns, s->now.ns + NS_PER_MS);
        return true;
    case UNRELEASED_INSTANCE_ID: /* its predecessor's session is not over */
        m->silent_until_ns = s->now.ns + HEARTBEAT_MS * NS_PER_MS;
        m->step = STEP_BEAT;
        return true;
    case STALE_MEMBER_EPOCH: m->step = STEP_BEAT; return true;
    case REBALANCE_IN_PROGRESS: m->step = STEP_JOIN; return true;
    default: break;
    }
    /* It is not a member any more, or of an older generation: what it had may be others'. */
    member_lose_all(s, m);
    if (code != FENCED_MEMBER_EPOCH)
        m->id[0] = 0;
    m->generation = 0;
    m->step = member_is_next(m) ? STEP_BEAT : STEP_JOIN;
    return true;
}
