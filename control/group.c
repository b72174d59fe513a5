/*
 * group.c - the table of groups, their members and states, and the timers that run out.
 *
 * Owner: control. Memory is the heap's, bounded by group_config (groups, members per group, bytes
 * per member).
 *
 * Not here: requests (group_join.c, group_sync.c), committed offsets (offsets.c), what is on disk.
 */
#include "group.h"

#include <stdlib.h>

#include "check.h"
#include "group_next.h"
#include "hash.h"
#include "kafka_codes.h"
#include "offsets.h"

/* ── the table ── */

int groups_init(struct groups *groups, const struct group_config *config,
                const struct group_host *host, struct timers *timers, struct prng *prng)
{
    *groups = (struct groups){.config = *config, .host = *host, .timers = timers, .prng = prng};
    groups->buckets = malloc(3 * GROUP_BUCKETS * sizeof *groups->buckets);
    if (groups->buckets == NULL)
        return E_NO_MEMORY;
    groups->members_by_id = groups->buckets + GROUP_BUCKETS;
    groups->members_by_instance = groups->members_by_id + GROUP_BUCKETS;
    groups->hash_seed = prng_next(prng);
    for (uint32_t i = 0; i < 3 * GROUP_BUCKETS; i++)
        list_init(&groups->buckets[i]);
    return 0;
}

void groups_fini(struct groups *groups)
{
    groups->is_ending = true;
    for (uint32_t i = 0; groups->buckets != NULL && i < GROUP_BUCKETS; i++)
        list_for_each(l, next, &groups->buckets[i])
            group_free(list_entry(l, struct group, link), KAFKA_NOT_COORDINATOR);
    free(groups->buckets);
    free(groups->partitions);
    groups->buckets = groups->partitions = NULL;
}

int groups_partitions_set(struct groups *groups, int32_t n)
{
    check(groups->groups_n == 0 && n >= 0);
    struct list *heads = malloc(((size_t)n + 1) * sizeof *heads);
    if (heads == NULL)
        return E_NO_MEMORY;
    for (int32_t i = 0; i < n; i++)
        list_init(&heads[i]);
    free(groups->partitions);
    groups->partitions = heads;
    groups->partitions_n = n;
    return 0;
}

static struct list *bucket(const struct groups *groups, struct bytes id)
{
    return &groups->buckets[hash_bytes(id.ptr, id.n, groups->hash_seed) % GROUP_BUCKETS];
}

/* Members of all groups share two tables: the group's address is part of the key. */
static struct list *member_bucket(struct list *table, const struct group *group, struct bytes id)
{
    uint64_t seed = group->groups->hash_seed ^ hash_mix((uint64_t)(uintptr_t)group);
    return &table[hash_bytes(id.ptr, id.n, seed) % GROUP_BUCKETS];
}

struct group *group_find(struct groups *groups, struct bytes id)
{
    list_for_each(l, next, bucket(groups, id)) {
        struct group *group = list_entry(l, struct group, link);
        if (bytes_equal(group->id, id))
            return group;
    }
    return NULL;
}

struct bytes group_answer_copy(struct control_op *op, struct bytes from)
{
    void *ptr = from.ptr == NULL ? NULL : arena_copy(&op->arena, from.ptr, from.n);
    return (struct bytes){ptr, ptr == NULL ? 0 : from.n};
}

/* ── timers that run out ── */

static void rebalance_fired(struct timer *timer, struct now now)
{
    struct group *group = container_of(timer, struct group, rebalance);
    if (group->state == GROUP_PREPARING)
        group_join_expired(group, now);
    else if (group->state == GROUP_COMPLETING || group->state == GROUP_STABLE)
        group_sync_expired(group, now);
}

/* A member that waits for us (join or sync) is not silent; but a new one cannot heartbeat, so its
 * JoinGroup itself is given up after new_member_timeout_ms: its client may be long gone
 * (ClassicGroupMember.hasSatisfiedHeartbeat). */
static void session_fired(struct timer *timer, struct now now)
{
    struct group_member *member = container_of(timer, struct group_member, session);
    struct group *group = member->group;
    if (!member->is_new && (member->join != NULL || member->sync != NULL)) {
        group_session_renew(member, now);
        return;
    }
    struct bytes none = {NULL, 0};
    struct group_member gone = {.id = bytes_heap_copy(member->id)};
    group->groups->evicted_n++;
    group_member_remove(member, KAFKA_UNKNOWN_MEMBER_ID);
    group_maybe_rebalance(group, GROUP_CAUSE_EXPIRED, &gone, none, now);
    bytes_heap_free(&gone.id);
}

static void pending_fired(struct timer *timer, struct now now)
{
    struct group_pending *pending = container_of(timer, struct group_pending, session);
    struct group *group = pending->group;
    group_pending_free(pending);
    group_join_try_complete(group, now);
}

/* ── a group ── */

int group_new(struct groups *groups, struct bytes id, int32_t partition, struct now now,
              struct group **out)
{
    check(partition >= 0 && partition < groups->partitions_n);
    struct group *group =
        groups->groups_n < groups->config.groups_max ? calloc(1, sizeof *group) : NULL;
    if (group == NULL)
        return E_NO_MEMORY;
    group->id = bytes_heap_copy(id);
    if (group->id.ptr == NULL) {
        free(group);
        return E_NO_MEMORY;
    }
    group->groups = groups;
    group->partition = partition;
    group->state = GROUP_EMPTY;
    groups->states_n[GROUP_EMPTY]++;
    group->state_wall_ms = now.wall_ms;
    list_init(&group->members);
    list_init(&group->pending);
    timer_init(&group->rebalance, rebalance_fired);
    list_append(bucket(groups, id), &group->link);
    list_append(&groups->partitions[partition], &group->partition_link);
    groups->groups_n++;
    *out = group;
    return 0;
}

void group_free(struct group *group, int16_t error)
{
    group_state_put(group, GROUP_DEAD);
    group->groups->states_n[GROUP_DEAD]--;
    if (group->next != NULL || group->migration != NULL)
        group->groups->host.next_gone(group->groups->host.context, group, error);
    list_for_each(l, next, &group->members)
        group_member_remove(list_entry(l, struct group_member, link), error);
    list_for_each(l2, next2, &group->pending)
        group_pending_free(list_entry(l2, struct group_pending, link));
    timer_stop(group->groups->timers, &group->rebalance);
    list_del(&group->link);
    list_del(&group->partition_link);
    group->groups->groups_n--;
    if (group->offsets != NULL) {
        group->groups->bytes -= offsets_bytes(group->offsets);
        offsets_free(group->offsets);
    }
    bytes_heap_free(&group->id);
    bytes_heap_free(&group->protocol_type);
    bytes_heap_free(&group->protocol);
    bytes_heap_free(&group->leader);
    bytes_heap_free(&group->common);
    for (uint32_t i = 0; i < min_u32(group->rebalances_n, group->rebalances_max); i++)
        group_rebalance_free(group->groups, &group->rebalances[i]);
    group->groups->bytes -= group->rebalances_max * sizeof *group->rebalances;
    free(group->rebalances);
    free(group);
}

bool group_has_members(const struct group *group)
{
    return group->state != GROUP_EMPTY || (group->next != NULL && group->next->members_n > 0);
}

const char *group_state_name(enum group_state state)
{
    static const char *const names[] = {
#define STATE(name, kafka, text) kafka,
        GROUP_STATES(STATE)
#undef STATE
    };
    check(state < GROUP_STATES_N);
    return names[state];
}

const char *group_cause_text(enum group_cause cause)
{
    static const char *const texts[] = {
#define CAUSE(name, text) text,
        GROUP_CAUSES(CAUSE)
#undef CAUSE
    };
    check(cause < GROUP_CAUSES_N);
    return texts[cause];
}

static bool is_arrow(enum group_state from, enum group_state to)
{
    static const uint8_t arrows[GROUP_STATES_N] = {
        [GROUP_EMPTY] = 1 << GROUP_PREPARING | 1 << GROUP_STABLE | 1 << GROUP_DEAD,
        [GROUP_PREPARING] = 1 << GROUP_COMPLETING | 1 << GROUP_EMPTY | 1 << GROUP_DEAD,
        [GROUP_COMPLETING] = 1 << GROUP_STABLE | 1 << GROUP_PREPARING | 1 << GROUP_DEAD,
        [GROUP_STABLE] = 1 << GROUP_PREPARING | 1 << GROUP_DEAD,
    };
    return arrows[from] >> to & 1;
}

void group_state_put(struct group *group, enum group_state state)
{
    group->groups->states_n[group->state]--;
    group->groups->states_n[state]++;
    group->state = (uint8_t)state;
    group->version++;
}

void group_state_set(struct group *group, enum group_state state, struct now now)
{
    check(is_arrow(group->state, state));
    group_state_put(group, state);
    group->state_wall_ms = now.wall_ms;
}

/* ── members ── */

struct group_member *group_member_find(const struct group *group, struct bytes id)
{
    list_for_each(l, next, member_bucket(group->groups->members_by_id, group, id)) {
        struct group_member *member = list_entry(l, struct group_member, id_link);
        if (member->group == group && bytes_equal(member->id, id))
            return member;
    }
    return NULL;
}

struct group_member *group_member_by_instance(const struct group *group, struct bytes instance_id)
{
    if (group->static_n == 0)
        return NULL;
    list_for_each(l, next, member_bucket(group->groups->members_by_instance, group, instance_id)) {
        struct group_member *member = list_entry(l, struct group_member, instance_link);
        if (member->group == group && bytes_equal(member->instance_id, instance_id))
            return member;
    }
    return NULL;
}

void group_member_link(struct group_member *member)
{
    struct group *group = member->group;
    struct groups *groups = group->groups;
    list_append(&group->members, &member->link);
    list_append(member_bucket(groups->members_by_id, group, member->id), &member->id_link);
    list_init(&member->instance_link);
    if (member->instance_id.ptr != NULL) {
        list_append(member_bucket(groups->members_by_instance, group, member->instance_id),
                    &member->instance_link);
        group->static_n++;
    }
    group->members_n++;
    groups->members_n++;
    group->version++;
}

void group_member_rename(struct group_member *member, struct bytes id)
{
    list_del(&member->id_link);
    member->id = id;
    list_append(member_bucket(member->group->groups->members_by_id, member->group, id),
                &member->id_link);
}

void group_member_count(struct group_member *member)
{
    struct groups *groups = member->group->groups;
    groups->bytes -= member->bytes;
    member->bytes = sizeof *member + member->id.n + member->assignment.n;
    for (uint32_t i = 0; i < member->protocols_n; i++)
        member->bytes += sizeof *member->protocols + member->protocols[i].name.n +
                         member->protocols[i].metadata.n;
    groups->bytes += member->bytes;
}

bool group_is_leader(const struct group *group, const struct group_member *member)
{
    return group->leader.ptr != NULL && bytes_equal(group->leader, member->id);
}

/* ── answers that are owed ── */

/* What stands in op->inside: at which member it hangs, and that its sender went before it was
 * looked at. */
enum { OP_MEMBER = 0, OP_CANCELLED = 3 };

void group_op_hang(struct group_member *member, struct control_op **at, struct control_op *op)
{
    struct groups *groups = member->group->groups;
    check(*at == NULL);
    if (op->inside[OP_CANCELLED] == NULL) {
        *at = op;
        op->inside[OP_MEMBER] = member;
        return;
    }
    *at = &groups->nobody;
    if (at == &member->join)
        group_answer_join(groups, op, KAFKA_UNKNOWN_MEMBER_ID, bytes_of("", 0));
    else
        group_answer_sync(groups, op, KAFKA_UNKNOWN_MEMBER_ID, NULL);
}

struct control_op *group_op_take(struct group_member *member, struct control_op **at)
{
    struct control_op *op = *at;
    *at = NULL;
    if (op == NULL || op == &member->group->groups->nobody || member->group->groups->is_ending)
        return NULL;
    op->inside[OP_MEMBER] = NULL;
    return op;
}

void groups_cancel(struct groups *groups, struct control_op *op)
{
    struct group_member *member = op->inside[OP_MEMBER];
    if (member == NULL) { /* it has not run yet, or its answer is on its way */
        op->inside[OP_CANCELLED] = op;
        return;
    }
    op->inside[OP_MEMBER] = NULL;
    if (member->join == op) {
        member->join = &groups->nobody;
        group_answer_join(groups, op, KAFKA_UNKNOWN_MEMBER_ID, bytes_of("", 0));
    } else {
        check(member->sync == op);
        member->sync = &groups->nobody;
        group_answer_sync(groups, op, KAFKA_UNKNOWN_MEMBER_ID, NULL);
    }
}

int16_t group_check_member(const struct group *group, struct bytes member_id,
                           struct bytes instance_id, struct group_member **out)
{
    if (instance_id.ptr != NULL) {
        *out = group_member_by_instance(group, instance_id);
        if (*out == NULL)
            return KAFKA_UNKNOWN_MEMBER_ID;
        return bytes_equal((*out)->id, member_id) ? 0 : KAFKA_FENCED_INSTANCE_ID;
    }
    *out = group_member_find(group, member_id);
    return *out == NULL ? KAFKA_UNKNOWN_MEMBER_ID : 0;
}

void group_session_renew(struct group_member *member, struct now now)
{
    int32_t ms = member->is_new ? member->group->groups->config.new_member_timeout_ms
                                : member->session_timeout_ms;
    member->last_seen_ns = now.ns;
    timer_set(member->group->groups->timers, &member->session, now.ns + (uint64_t)ms * NS_PER_MS);
}

void group_member_free(struct group_member *member)
{
    bytes_heap_free(&member->id);
    bytes_heap_free(&member->instance_id);
    bytes_heap_free(&member->client_id);
    bytes_heap_free(&member->client_host);
    bytes_heap_free(&member->assignment);
    free(member->protocols);
    free(member->memory);
    free(member);
}

void group_member_remove(struct group_member *member, int16_t error)
{
    struct group *group = member->group;
    bool is_leader = group_is_leader(group, member);
    group->joining_n -= member->join != NULL;
    struct control_op *join = group_op_take(member, &member->join),
                      *sync = group_op_take(member, &member->sync);
    timer_stop(group->groups->timers, &member->session);
    list_del(&member->link);
    list_del(&member->id_link);
    list_del(&member->instance_link);
    group->version++;
    group->members_n--;
    group->groups->members_n--;
    group->groups->bytes -= member->bytes;
    group->static_n -= member->instance_id.ptr != NULL;
    if (is_leader) {
        struct group_member *first = list_first(&group->members, struct group_member, link);
        bytes_heap_free(&group->leader);
        if (first != NULL)
            group->leader = bytes_heap_copy(first->id);
    }
    if (join != NULL)
        group_answer_join(group->groups, join, error, bytes_of("", 0));
    if (sync != NULL)
        group_answer_sync(group->groups, sync, error, NULL);
    group_member_free(member);
}

void group_member_timers(struct group_member *member)
{
    timer_init(&member->session, session_fired);
}

struct group_pending *group_pending_find(const struct group *group, struct bytes id)
{
    list_for_each(l, next, (struct list *)(uintptr_t)&group->pending) {
        struct group_pending *pending = list_entry(l, struct group_pending, link);
        if (bytes_equal(pending->id, id))
            return pending;
    }
    return NULL;
}

int group_pending_new(struct group *group, struct bytes id, int32_t session_timeout_ms,
                      struct now now)
{
    struct group_pending *pending =
        group->pending_n < GROUP_PENDING_MAX ? calloc(1, sizeof *pending) : NULL;
    if (pending == NULL)
        return E_NO_MEMORY;
    pending->group = group;
    pending->id = bytes_heap_copy(id);
    if (pending->id.ptr == NULL) {
        free(pending);
        return E_NO_MEMORY;
    }
    timer_init(&pending->session, pending_fired);
    timer_set(group->groups->timers, &pending->session,
              now.ns + (uint64_t)session_timeout_ms * NS_PER_MS);
    list_append(&group->pending, &pending->link);
    group->pending_n++;
    return 0;
}

void group_pending_free(struct group_pending *pending)
{
    timer_stop(pending->group->groups->timers, &pending->session);
    list_del(&pending->link);
    pending->group->pending_n--;
    bytes_heap_free(&pending->id);
    free(pending);
}

void group_common_forget(struct group *group)
{
    bytes_heap_free(&group->common);
}

bool group_uses_consumer_protocol(const struct group *group)
{
    return group->protocol_type.ptr != NULL && bytes_equal_string(group->protocol_type, "consumer");
}

/* ConsumerProtocolSubscription: int16 version, then an array of topic names. 1, 0, or -1: it cannot
 * be read. */
static int subscription_has(struct bytes metadata, struct bytes topic)
{
    const uint8_t *p = metadata.ptr, *end = p + metadata.n;
    int found = 0;
    if (metadata.ptr == NULL || metadata.n < 6 || load_i16(p) < 0)
        return -1;
    int32_t n = load_i32(p + 2);
    p += 6;
    for (int32_t i = 0; i < n; i++) {
        uint16_t bytes = end - p < 2 ? 0 : load_u16(p);
        if (end - p < 2 + bytes)
            return -1;
        if (bytes_equal(bytes_of(p + 2, bytes), topic))
            found = 1;
        p += 2 + bytes;
    }
    return n < 0 ? -1 : found;
}

/* ClassicGroup.isSubscribedToTopic: what cannot be read counts as subscribed, when it is the
 * consumer protocol. */
bool group_is_subscribed(const struct group *group, struct bytes topic)
{
    bool found = false;
    if (group->next != NULL)
        return next_is_subscribed(group->next, topic);
    if (!group_uses_consumer_protocol(group))
        return false;
    if (group->members_n > 0 && group->protocol.ptr == NULL)
        return true;
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members) {
        const struct group_member *member = list_entry(l, struct group_member, link);
        for (uint32_t i = 0; i < member->protocols_n; i++) {
            if (!bytes_equal(member->protocols[i].name, group->protocol))
                continue;
            int has = subscription_has(member->protocols[i].metadata, topic);
            if (has < 0)
                return true;
            found |= has > 0;
        }
    }
    return found;
}

void group_invariants(const struct group *group)
{
    uint32_t members_n = 0, joining_n = 0, static_n = 0;
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members) {
        const struct group_member *member = list_entry(l, struct group_member, link);
        members_n++;
        joining_n += member->join != NULL;
        static_n += member->instance_id.ptr != NULL;
        check(member->join == NULL || group->state == GROUP_PREPARING);
        check(member->sync == NULL || group->state == GROUP_COMPLETING);
        check(timer_is_set(&member->session));
        check(group->common.ptr == NULL || group_member_offers(member, group->common));
    }
    check(members_n == group->members_n && joining_n == group->joining_n &&
          static_n == group->static_n);
    check((group->leader.ptr != NULL) == (members_n > 0));
    check(group->state != GROUP_EMPTY || members_n == 0);
    check(group->state == GROUP_EMPTY || group->state == GROUP_PREPARING || members_n > 0);
    check(group->state != GROUP_PREPARING || timer_is_set(&group->rebalance));
}
