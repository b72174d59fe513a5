/*
 * group.c - the table of groups, their members and states, and the timers that run out.
 *
 * Owner: control. Memory is the heap's, bounded by group_config (groups, members per group, bytes per member).
 *
 * Not here: requests (group_join.c, group_sync.c), committed offsets (offsets.c), what is on disk.
 */
#include "group.h"

#include <stdlib.h>

#include "check.h"
#include "hash.h"
#include "kafka_codes.h"

enum { BUCKETS = 16384 };

/* ── the table ── */

int groups_init(struct groups *groups, const struct group_config *config, const struct group_host *host,
                struct timers *timers, struct prng *prng)
{
    *groups = (struct groups){.config = *config, .host = *host, .timers = timers, .prng = prng};
    groups->buckets = malloc(BUCKETS * sizeof *groups->buckets);
    if (groups->buckets == NULL)
        return E_NO_MEMORY;
    groups->bucket_mask = BUCKETS - 1;
    groups->hash_seed = prng_next(prng);
    for (uint32_t i = 0; i < BUCKETS; i++)
        list_init(&groups->buckets[i]);
    return 0;
}

void groups_fini(struct groups *groups)
{
    for (uint32_t i = 0; groups->buckets != NULL && i <= groups->bucket_mask; i++)
        list_for_each(l, next, &groups->buckets[i])
            group_free(list_entry(l, struct group, link), KAFKA_NOT_COORDINATOR);
    free(groups->buckets);
    groups->buckets = NULL;
}

static struct list *bucket(const struct groups *groups, struct bytes id)
{
    return &groups->buckets[hash_bytes(id.ptr, id.n, groups->hash_seed) & groups->bucket_mask];
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

struct bytes group_copy(struct bytes from)
{
    uint8_t *ptr = from.ptr == NULL ? NULL : malloc(from.n + 1u);
    if (ptr == NULL)
        return (struct bytes){NULL, 0};
    if (from.n > 0)
        memcpy(ptr, from.ptr, from.n);
    return (struct bytes){ptr, from.n};
}

static void bytes_free(struct bytes *b)
{
    free((void *)(uintptr_t)b->ptr);
    *b = (struct bytes){NULL, 0};
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

/* A member that waits for us (join or sync) is not silent. */
static void session_fired(struct timer *timer, struct now now)
{
    struct group_member *member = container_of(timer, struct group_member, session);
    struct group *group = member->group;
    if (member->join != NULL || member->sync != NULL) {
        group_session_renew(member, now);
        return;
    }
    struct bytes none = {NULL, 0};
    struct group_member gone = {.id = group_copy(member->id)};
    group_member_remove(member, KAFKA_UNKNOWN_MEMBER_ID);
    group_maybe_rebalance(group, GROUP_CAUSE_EXPIRED, &gone, none, now);
    bytes_free(&gone.id);
}

static void pending_fired(struct timer *timer, struct now now)
{
    struct group_pending *pending = container_of(timer, struct group_pending, session);
    struct group *group = pending->group;
    group_pending_free(pending);
    group_join_try_complete(group, now);
}

/* ── a group ── */

int group_new(struct groups *groups, struct bytes id, int32_t partition, struct now now, struct group **out)
{
    struct group *group = groups->groups_n < groups->config.groups_max ? calloc(1, sizeof *group) : NULL;
    if (group == NULL)
        return E_NO_MEMORY;
    group->id = group_copy(id);
    if (group->id.ptr == NULL) {
        free(group);
        return E_NO_MEMORY;
    }
    group->groups = groups;
    group->partition = partition;
    group->state = GROUP_EMPTY;
    group->state_wall_ms = now.wall_ms;
    list_init(&group->members);
    list_init(&group->pending);
    timer_init(&group->rebalance, rebalance_fired);
    list_append(bucket(groups, id), &group->link);
    groups->groups_n++;
    *out = group;
    return 0;
}

void group_free(struct group *group, int16_t error)
{
    group->state = GROUP_DEAD;
    list_for_each(l, next, &group->members)
        group_member_remove(list_entry(l, struct group_member, link), error);
    list_for_each(l2, next2, &group->pending)
        group_pending_free(list_entry(l2, struct group_pending, link));
    timer_stop(group->groups->timers, &group->rebalance);
    list_del(&group->link);
    group->groups->groups_n--;
    bytes_free(&group->id);
    bytes_free(&group->protocol_type);
    bytes_free(&group->protocol);
    bytes_free(&group->leader);
    free(group->rebalances);
    free(group);
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
        [GROUP_EMPTY] = 1 << GROUP_PREPARING | 1 << GROUP_DEAD,
        [GROUP_PREPARING] = 1 << GROUP_COMPLETING | 1 << GROUP_EMPTY | 1 << GROUP_DEAD,
        [GROUP_COMPLETING] = 1 << GROUP_STABLE | 1 << GROUP_PREPARING | 1 << GROUP_DEAD,
        [GROUP_STABLE] = 1 << GROUP_PREPARING | 1 << GROUP_DEAD,
    };
    return arrows[from] >> to & 1;
}

void group_state_set(struct group *group, enum group_state state, struct now now)
{
    check(is_arrow(group->state, state));
    group->state = (uint8_t)state;
    group->state_wall_ms = now.wall_ms;
}

/* ── members ── */

struct group_member *group_member_find(const struct group *group, struct bytes id)
{
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members) {
        struct group_member *member = list_entry(l, struct group_member, link);
        if (bytes_equal(member->id, id))
            return member;
    }
    return NULL;
}

struct group_member *group_member_by_instance(const struct group *group, struct bytes instance_id)
{
    if (group->static_n == 0)
        return NULL;
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members) {
        struct group_member *member = list_entry(l, struct group_member, link);
        if (member->instance_id.ptr != NULL && bytes_equal(member->instance_id, instance_id))
            return member;
    }
    return NULL;
}

int16_t group_check_member(const struct group *group, struct bytes member_id, struct bytes instance_id,
                           struct group_member **out)
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
    int32_t ms = member->is_new ? member->group->groups->config.new_member_timeout_ms : member->session_timeout_ms;
    member->last_seen_ns = now.ns;
    timer_set(member->group->groups->timers, &member->session, now.ns + (uint64_t)ms * NS_PER_MS);
}

void group_member_remove(struct group_member *member, int16_t error)
{
    struct group *group = member->group;
    struct control_op *join = member->join, *sync = member->sync;
    bool is_leader = group->leader.ptr != NULL && bytes_equal(group->leader, member->id);
    group->joining_n -= join != NULL;
    member->join = member->sync = NULL;
    timer_stop(group->groups->timers, &member->session);
    list_del(&member->link);
    group->members_n--;
    group->static_n -= member->instance_id.ptr != NULL;
    if (is_leader) {
        struct group_member *first = list_first(&group->members, struct group_member, link);
        bytes_free(&group->leader);
        if (first != NULL)
            group->leader = group_copy(first->id);
    }
    if (join != NULL)
        group_answer_join(group->groups, join, error, member->id);
    if (sync != NULL)
        group_answer_sync(group->groups, sync, error, NULL);
    bytes_free(&member->id);
    bytes_free(&member->instance_id);
    bytes_free(&member->client_id);
    bytes_free(&member->client_host);
    bytes_free(&member->assignment);
    free(member->protocols);
    free(member->memory);
    free(member);
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

int group_pending_new(struct group *group, struct bytes id, int32_t session_timeout_ms, struct now now)
{
    struct group_pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL)
        return E_NO_MEMORY;
    pending->group = group;
    pending->id = group_copy(id);
    if (pending->id.ptr == NULL) {
        free(pending);
        return E_NO_MEMORY;
    }
    timer_init(&pending->session, pending_fired);
    timer_set(group->groups->timers, &pending->session, now.ns + (uint64_t)session_timeout_ms * NS_PER_MS);
    list_append(&group->pending, &pending->link);
    group->pending_n++;
    return 0;
}

void group_pending_free(struct group_pending *pending)
{
    timer_stop(pending->group->groups->timers, &pending->session);
    list_del(&pending->link);
    pending->group->pending_n--;
    bytes_free(&pending->id);
    free(pending);
}

/* ConsumerProtocolSubscription: int16 version, then an array of topic names. */
static bool subscription_has(struct bytes metadata, struct bytes topic)
{
    const uint8_t *p = metadata.ptr, *end = p + metadata.n;
    if (metadata.ptr == NULL || metadata.n < 6)
        return false;
    int32_t n = load_i32(p + 2);
    p += 6;
    for (int32_t i = 0; i < n && end - p >= 2; i++) {
        uint16_t bytes = load_u16(p);
        if (end - p - 2 < bytes)
            return false;
        if (bytes_equal(bytes_of(p + 2, bytes), topic))
            return true;
        p += 2 + bytes;
    }
    return false;
}

bool group_is_subscribed(const struct group *group, struct bytes topic)
{
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members) {
        const struct group_member *member = list_entry(l, struct group_member, link);
        for (uint32_t i = 0; i < member->protocols_n; i++)
            if (subscription_has(member->protocols[i].metadata, topic))
                return true;
    }
    return false;
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
    }
    check(members_n == group->members_n && joining_n == group->joining_n && static_n == group->static_n);
    check((group->leader.ptr != NULL) == (members_n > 0));
    check(group->state != GROUP_EMPTY || members_n == 0);
    check(group->state == GROUP_EMPTY || group->state == GROUP_PREPARING || members_n > 0);
    check(group->state != GROUP_PREPARING || timer_is_set(&group->rebalance));
}
