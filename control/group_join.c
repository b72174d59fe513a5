/*
 * group_join.c - JoinGroup: who may join, when the generation begins, what each member is told.
 *
 * Owner: control. A JoinGroup is answered when the join phase ends; until then the op hangs at its
 * member.
 *
 *   first member of an empty group   waits group.initial.rebalance.delay.ms, again for each
 * newcomer while the rebalance timeout lasts (KIP-134)
 *   otherwise                        until every member has joined, or the longest rebalance
 * timeout; then who did not join is dropped (static members stay, KIP-345)
 */
#include "group.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "kafka_codes.h"
#include "messages.h"
#include "utf8.h"

enum { VERSION_MEMBER_ID_REQUIRED = 4, VERSION_SKIP_ASSIGNMENT = 9, UUID_TEXT = 37 };

/* ── answers ── */

/* Sets the response only. */
void group_join_refuse(struct control_op *op, int16_t error, struct bytes member_id)
{
    struct join_group_response *r = PROTO_NEW(&op->arena, join_group_response, 1);
    op->response = r;
    if (r == NULL)
        return;
    r->error_code = error;
    r->generation_id = -1;
    r->protocol_name = bytes_of_string("");
    r->leader = bytes_of_string("");
    r->member_id = bytes_of(arena_copy(&op->arena, member_id.ptr, member_id.n), member_id.n);
    if (op->api_version >= 7)
        r->protocol_name = (struct bytes){NULL, 0};
}

void group_answer_join(struct groups *groups, struct control_op *op, int16_t error,
                       struct bytes member_id)
{
    if (op == &groups->nobody)
        return;
    group_join_refuse(op, error, member_id);
    groups->host.answer(groups->host.context, op);
}

static struct bytes protocol_metadata(const struct group_member *member, struct bytes name)
{
    for (uint32_t i = 0; i < member->protocols_n; i++)
        if (bytes_equal(member->protocols[i].name, name))
            return member->protocols[i].metadata;
    return bytes_of("", 0);
}

static bool members_fill(const struct group *group, struct control_op *op,
                         struct join_group_response *r)
{
    r->members = PROTO_NEW(&op->arena, join_group_response_members, group->members_n);
    if (r->members == NULL)
        return false;
    r->members_n = 0;
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members) {
        const struct group_member *member = list_entry(l, struct group_member, link);
        struct join_group_response_members *to = &r->members[r->members_n++];
        to->member_id = group_answer_copy(op, member->id);
        to->group_instance_id = group_answer_copy(op, member->instance_id);
        to->metadata = group_answer_copy(op, protocol_metadata(member, group->protocol));
    }
    return true;
}

/* The generation's answer to one member, not yet sent; the leader gets everybody's metadata. */
static void generation_fill(const struct group *group, const struct group_member *member,
                            struct control_op *op, struct bytes leader, bool with_members,
                            bool skip_assignment)
{
    struct join_group_response *r = PROTO_NEW(&op->arena, join_group_response, 1);
    op->response = r;
    if (r != NULL) {
        r->generation_id = group->generation;
        r->protocol_type = group_answer_copy(op, group->protocol_type);
        r->protocol_name = group_answer_copy(op, group->protocol);
        r->leader = group_answer_copy(op, leader);
        r->skip_assignment = skip_assignment;
        r->member_id = group_answer_copy(op, member->id);
        if (with_members && !members_fill(group, op, r))
            op->response = NULL;
    }
}

static void answer_current(const struct group *group, const struct group_member *member,
                           struct control_op *op)
{
    generation_fill(group, member, op, group->leader, group_is_leader(group, member), false);
    group->groups->host.answer(group->groups->host.context, op);
}

/* ── the explainer ── */

struct group_rebalance *group_rebalance_now(struct group *group)
{
    if (group->rebalances_max == 0 || group->rebalances_n == 0)
        return NULL;
    return &group->rebalances[(group->rebalances_n - 1) % group->rebalances_max];
}

void group_rebalance_free(struct groups *groups, struct group_rebalance *r)
{
    if (r->pauses != NULL)
        groups->bytes -= GROUP_REBALANCE_PAUSES * sizeof *r->pauses;
    free(r->pauses);
    r->pauses = NULL;
}

/* Room for one more: the ring grows while it has not gone round yet. With very many groups it stays
 * short. */
static void rebalances_grow(struct group *group)
{
    struct groups *groups = group->groups;
    uint32_t most =
        groups->groups_n > GROUP_REBALANCES_GROUPS ? GROUP_REBALANCES_FIRST : GROUP_REBALANCES_KEPT;
    uint32_t max = group->rebalances_max == 0 ? GROUP_REBALANCES_FIRST : group->rebalances_max * 2;
    if (group->rebalances_n != group->rebalances_max || group->rebalances_max >= most)
        return;
    max = (uint32_t)min_u64(max, most);
    struct group_rebalance *more = realloc(group->rebalances, max * sizeof *more);
    if (more == NULL)
        return;
    groups->bytes += (max - group->rebalances_max) * sizeof *more;
    group->rebalances = more;
    group->rebalances_max = max;
}

static void text_copy(char *to, size_t n, struct bytes from)
{
    size_t bytes = min_u64(from.n, n - 1);
    if (bytes > 0)
        memcpy(to, from.ptr, bytes);
    to[bytes] = 0;
}

void group_rebalance_note(struct group *group, enum group_cause cause, struct bytes who,
                          struct bytes reason, uint32_t members_n, struct now now)
{
    rebalances_grow(group);
    group->phase_ns = now.ns;
    if (group->rebalances_max == 0)
        return; /* the group works without its history */
    group->rebalances_n++;
    struct group_rebalance *r = group_rebalance_now(group);
    if (group->rebalances_n > group->rebalances_max)
        group_rebalance_free(group->groups, r); /* the oldest one's place */
    *r = (struct group_rebalance){.generation = -1,
                                  .cause = (uint8_t)cause,
                                  .began_wall_ms = now.wall_ms,
                                  .members_before = members_n};
    text_copy(r->who, sizeof r->who, who);
    text_copy(r->reason, sizeof r->reason, reason);
}

void group_rebalance_over(struct group *group, struct now now)
{
    struct group_rebalance *r = group_rebalance_now(group);
    uint64_t ns = now.ns - group->phase_ns;
    if (r != NULL)
        r->syncing_ns = ns;
    if (group->groups->stats != NULL)
        group_stats_pause(group->groups->stats, ns + (r == NULL ? 0 : r->joining_ns));
}

/* ── beginning a rebalance ── */

static int32_t rebalance_timeout_ms(const struct group *group)
{
    int32_t ms = 0;
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members)
        ms = (int32_t)max_i64(ms, list_entry(l, struct group_member, link)->rebalance_timeout_ms);
    return ms;
}

/* Members that wait for an assignment are told to join again; none of this generation is valid. */
static void syncs_cancel(struct group *group)
{
    list_for_each(l, next, &group->members) {
        struct group_member *member = list_entry(l, struct group_member, link);
        struct control_op *sync = group_op_take(member, &member->sync);
        member->is_pending_sync = false;
        free((void *)(uintptr_t)member->assignment.ptr);
        member->assignment = (struct bytes){NULL, 0};
        group_member_count(member);
        if (sync != NULL)
            group_answer_sync(group->groups, sync, KAFKA_REBALANCE_IN_PROGRESS, NULL);
    }
}

void group_prepare_rebalance(struct group *group, enum group_cause cause,
                             const struct group_member *who, struct bytes reason, struct now now)
{
    struct groups *groups = group->groups;
    uint64_t timeout_ns = (uint64_t)rebalance_timeout_ms(group) * NS_PER_MS;
    if (group->state == GROUP_COMPLETING)
        syncs_cancel(group);
    group->is_appending = false;
    group->is_initial = group->state == GROUP_EMPTY && groups->config.initial_delay_ms > 0;
    groups->rebalances_n++;
    group_rebalance_note(group, cause, who == NULL ? (struct bytes){NULL, 0} : who->id, reason,
                         group->members_n, now);
    group_state_set(group, GROUP_PREPARING, now);
    if (group->is_initial) {
        uint64_t delay_ns = (uint64_t)groups->config.initial_delay_ms * NS_PER_MS;
        group->delay_left_ns = timeout_ns > delay_ns ? timeout_ns - delay_ns : 0;
        group->has_new_member = false;
        timeout_ns = delay_ns;
    }
    timer_set(groups->timers, &group->rebalance, now.ns + timeout_ns);
}

/* After a change of membership: a rebalance, unless one is under way (then it may be complete now).
 */
void group_maybe_rebalance(struct group *group, enum group_cause cause,
                           const struct group_member *who, struct bytes reason, struct now now)
{
    if (group->state == GROUP_STABLE || group->state == GROUP_COMPLETING ||
        (group->state == GROUP_EMPTY && group->members_n > 0))
        group_prepare_rebalance(group, cause, who, reason, now);
    group_join_try_complete(group, now);
}

/* ── ending the join phase ── */

void group_join_try_complete(struct group *group, struct now now)
{
    if (group->state == GROUP_PREPARING && !group->is_initial &&
        group->joining_n == group->members_n && group->pending_n == 0)
        group_join_complete(group, now);
}

/* The timer: the initial delay may go on for newcomers; else whoever did not join again is out. */
void group_join_expired(struct group *group, struct now now)
{
    if (group->is_initial && group->has_new_member && group->delay_left_ns > 0) {
        uint64_t delay_ns = (uint64_t)group->groups->config.initial_delay_ms * NS_PER_MS;
        delay_ns = min_u64(delay_ns, group->delay_left_ns);
        group->delay_left_ns -= delay_ns;
        group->has_new_member = false;
        timer_set(group->groups->timers, &group->rebalance, now.ns + delay_ns);
        return;
    }
    group_join_complete(group, now);
}

static void late_members_remove(struct group *group)
{
    struct group_rebalance *r = group_rebalance_now(group);
    list_for_each(l, next, &group->members) {
        struct group_member *member = list_entry(l, struct group_member, link);
        if (member->join != NULL || member->instance_id.ptr != NULL)
            continue;
        group->groups->evicted_n++;
        if (r != NULL) {
            r->late_n++;
            text_copy(r->last, sizeof r->last, member->id);
        }
        group_member_remove(member, KAFKA_UNKNOWN_MEMBER_ID);
    }
}

/* A leader that is not here cannot assign: the first who has joined leads. False: nobody has
 * joined. */
static bool leader_elect(struct group *group)
{
    struct group_member *leader =
        group->leader.ptr == NULL ? NULL : group_member_find(group, group->leader);
    if (leader != NULL && leader->join != NULL)
        return true;
    list_for_each(l, next, &group->members) {
        struct group_member *member = list_entry(l, struct group_member, link);
        if (member->join == NULL)
            continue;
        free((void *)(uintptr_t)group->leader.ptr);
        group->leader = bytes_heap_copy(member->id);
        return group->leader.ptr != NULL;
    }
    return false;
}

bool group_member_offers(const struct group_member *member, struct bytes protocol)
{
    for (uint32_t i = 0; i < member->protocols_n; i++)
        if (bytes_equal(member->protocols[i].name, protocol))
            return true;
    return false;
}

static bool all_support(const struct group *group, struct bytes protocol)
{
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members)
        if (!group_member_offers(list_entry(l, struct group_member, link), protocol))
            return false;
    return true;
}

/* Each member votes for its first protocol that all support; the most votes win, the first seen
 * among equals (ClassicGroup.selectProtocol). What all support the first member offers too, so its
 * list is the ballot. NULL ptr only for a group without members. */
struct bytes group_protocol_select(const struct group *group)
{
    const struct group_member *first = list_first(&group->members, struct group_member, link);
    uint32_t votes[GROUP_PROTOCOLS_MAX] = {0}, best = 0, n = first == NULL ? 0 : first->protocols_n;
    bool is_candidate[GROUP_PROTOCOLS_MAX];
    for (uint32_t i = 0; i < n; i++)
        is_candidate[i] = all_support(group, first->protocols[i].name);
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members) {
        const struct group_member *voter = list_entry(l, struct group_member, link);
        bool has_voted = false;
        for (uint32_t i = 0; i < voter->protocols_n && !has_voted; i++)
            for (uint32_t k = 0; k < n && !has_voted; k++)
                if (is_candidate[k] &&
                    bytes_equal(voter->protocols[i].name, first->protocols[k].name)) {
                    votes[k]++;
                    has_voted = true;
                }
    }
    for (uint32_t i = 1; i < n; i++)
        if (votes[i] > votes[best])
            best = i;
    return n == 0 || votes[best] == 0 ? (struct bytes){NULL, 0} : first->protocols[best].name;
}

static void join_phase_noted(struct group *group, struct now now)
{
    struct group_rebalance *r = group_rebalance_now(group);
    if (r != NULL) {
        r->generation = group->generation;
        r->members_after = group->members_n;
        r->joining_ns = now.ns - group->phase_ns;
    }
    group->phase_ns = now.ns;
}

static void generation_answer(struct group *group, struct now now)
{
    list_for_each(l, next, &group->members) {
        struct group_member *member = list_entry(l, struct group_member, link);
        struct control_op *join = group_op_take(member, &member->join);
        member->is_new = false;
        member->is_pending_sync = true;
        group_session_renew(member, now);
        if (join != NULL)
            answer_current(group, member, join);
    }
    group->joining_n = 0;
}

void group_join_complete(struct group *group, struct now now)
{
    struct groups *groups = group->groups;
    struct bytes protocol;
    check(group->state == GROUP_PREPARING);
    late_members_remove(group);
    if (group->members_n > 0 &&
        !leader_elect(group)) { /* only static members, none here yet: wait on */
        timer_set(groups->timers, &group->rebalance,
                  now.ns + (uint64_t)rebalance_timeout_ms(group) * NS_PER_MS);
        return;
    }
    timer_stop(groups->timers, &group->rebalance);
    group->is_initial = false;
    group->generation++;
    protocol = bytes_heap_copy(group_protocol_select(group));
    free((void *)(uintptr_t)group->protocol.ptr);
    group->protocol = protocol;
    join_phase_noted(group, now);
    if (group->members_n == 0) {
        group_state_set(group, GROUP_EMPTY, now);
        groups->host.append(groups->host.context, group, ++groups->appends_n, NULL);
        return;
    }
    group_state_set(group, GROUP_COMPLETING, now);
    timer_set(groups->timers, &group->rebalance,
              now.ns + (uint64_t)rebalance_timeout_ms(group) * NS_PER_MS);
    generation_answer(group, now);
}

/* ── a member joins ── */

/* The member's own copy of what it offers: one piece of memory for all names and metadata. */
static int protocols_set(struct group_member *member, const struct join_group_request *r)
{
    uint64_t bytes = 0;
    for (int32_t i = 0; i < r->protocols_n; i++)
        bytes += (uint64_t)r->protocols[i].name.n + r->protocols[i].metadata.n;
    const struct groups *groups = member->group->groups;
    if (bytes > groups->config.member_bytes_max || groups->bytes + bytes > groups->config.bytes_max)
        return E_TOO_LARGE;
    struct group_protocol *protocols = calloc((uint32_t)r->protocols_n, sizeof *protocols);
    uint8_t *memory = malloc(bytes + 1), *at = memory;
    if (protocols == NULL || memory == NULL) {
        free(protocols);
        free(memory);
        return E_NO_MEMORY;
    }
    for (int32_t i = 0; i < r->protocols_n; i++) {
        struct bytes from[2] = {r->protocols[i].name, r->protocols[i].metadata};
        struct bytes *to[2] = {&protocols[i].name, &protocols[i].metadata};
        for (int k = 0; k < 2; k++) {
            if (from[k].n > 0)
                memcpy(at, from[k].ptr, from[k].n);
            *to[k] = (struct bytes){at, from[k].n};
            at += from[k].n;
        }
    }
    free(member->protocols);
    free(member->memory);
    member->protocols = protocols;
    member->protocols_n = (uint32_t)r->protocols_n;
    member->memory = memory;
    if (member->group->common.ptr != NULL && !group_member_offers(member, member->group->common))
        group_common_forget(member->group);
    return 0;
}

static void timeouts_set(struct group_member *member, const struct control_op *op,
                         const struct join_group_request *r)
{
    member->session_timeout_ms = r->session_timeout_ms;
    member->rebalance_timeout_ms = op->api_version >= 1 && r->rebalance_timeout_ms >= 0
                                       ? r->rebalance_timeout_ms
                                       : r->session_timeout_ms;
}

static void join_hang(struct group_member *member, struct control_op *op, struct now now)
{
    struct group *group = member->group;
    struct group_rebalance *r = group_rebalance_now(group);
    bool is_again = member->join != NULL;
    struct control_op *older = group_op_take(member, &member->join);
    if (older != NULL) /* the same member asks again: the older question, if anybody still hears, is
                          asked again too */
        group_answer_join(group->groups, older, KAFKA_REBALANCE_IN_PROGRESS, member->id);
    group->joining_n += !is_again;
    if (!is_again)
        member->paused_ns = now.ns;
    group_op_hang(member, &member->join, op);
    group_session_renew(member, now);
    if (r != NULL && group->state == GROUP_PREPARING)
        text_copy(r->last, sizeof r->last, member->id);
}

static struct group_member *member_new(struct group *group, struct bytes id, struct control_op *op,
                                       const struct join_group_request *r)
{
    struct group_member *member = calloc(1, sizeof *member);
    if (member == NULL)
        return NULL;
    member->group = group;
    member->is_new = true;
    member->id = bytes_heap_copy(id);
    member->instance_id = bytes_heap_copy(r->group_instance_id);
    member->client_id = bytes_heap_copy(op->client_id);
    member->client_host = bytes_heap_copy(bytes_of_string(op->client_host));
    group_member_timers(member);
    timeouts_set(member, op, r);
    if (member->id.ptr == NULL ||
        (r->group_instance_id.ptr != NULL && member->instance_id.ptr == NULL) ||
        protocols_set(member, r) != 0) {
        free((void *)(uintptr_t)member->id.ptr);
        free((void *)(uintptr_t)member->instance_id.ptr);
        free((void *)(uintptr_t)member->client_id.ptr);
        free((void *)(uintptr_t)member->client_host.ptr);
        free(member);
        return NULL;
    }
    group_member_link(member);
    group_member_count(member);
    if (group->leader.ptr == NULL)
        group->leader = bytes_heap_copy(member->id);
    return member;
}

static void member_add(struct group *group, struct bytes id, struct control_op *op,
                       const struct join_group_request *r, struct now now)
{
    bool is_first = group->members_n == 0 && group->state == GROUP_EMPTY;
    struct group_pending *pending = group_pending_find(group, id);
    struct group_member *member = member_new(group, id, op, r);
    if (member == NULL) {
        group_answer_join(group->groups, op, KAFKA_UNKNOWN_SERVER_ERROR, id);
        return;
    }
    if (pending != NULL)
        group_pending_free(pending);
    if (group->protocol_type.ptr == NULL)
        group->protocol_type = bytes_heap_copy(r->protocol_type);
    group->has_new_member = true;
    if (group->state != GROUP_PREPARING)
        group_prepare_rebalance(group, is_first ? GROUP_CAUSE_FIRST : GROUP_CAUSE_JOINED, member,
                                r->reason, now);
    join_hang(member, op, now);
    group_join_try_complete(group, now);
}

/* What a known member sends again. False: its new protocols do not fit into memory (answered). */
static bool member_update(struct group_member *member, struct control_op *op,
                          const struct join_group_request *r)
{
    if (protocols_set(member, r) != 0) {
        group_answer_join(member->group->groups, op, KAFKA_UNKNOWN_SERVER_ERROR, member->id);
        return false;
    }
    group_member_count(member);
    timeouts_set(member, op, r);
    return true;
}

static void member_rejoin(struct group_member *member, struct control_op *op,
                          const struct join_group_request *r, enum group_cause cause,
                          struct now now)
{
    struct group *group = member->group;
    if (!member_update(member, op, r))
        return;
    if (group->state != GROUP_PREPARING)
        group_prepare_rebalance(group, cause, member, r->reason, now);
    join_hang(member, op, now);
    group_join_try_complete(group, now);
}

static bool same_protocols(const struct group_member *member, const struct join_group_request *r)
{
    if (member->protocols_n != (uint32_t)r->protocols_n)
        return false;
    for (uint32_t i = 0; i < member->protocols_n; i++)
        if (!bytes_equal(member->protocols[i].name, r->protocols[i].name) ||
            !bytes_equal(member->protocols[i].metadata, r->protocols[i].metadata))
            return false;
    return true;
}

static void join_known(struct group *group, struct control_op *op,
                       const struct join_group_request *r, struct now now)
{
    struct group_member *member = NULL;
    if (group_pending_find(group, r->member_id) != NULL && r->group_instance_id.ptr == NULL) {
        member_add(group, r->member_id, op, r, now);
        return;
    }
    int16_t error = group_check_member(group, r->member_id, r->group_instance_id, &member);
    if (error != 0) {
        group_answer_join(group->groups, op, error, r->member_id);
        return;
    }
    bool is_same = same_protocols(member, r);
    switch (group->state) {
    case GROUP_PREPARING: member_rejoin(member, op, r, GROUP_CAUSE_JOINED, now); break;
    case GROUP_COMPLETING: /* its answer was lost: the same again, unless it has changed */
        if (!is_same) {
            member_rejoin(member, op, r, GROUP_CAUSE_CHANGED, now);
            break;
        }
        group_session_renew(member, now);
        answer_current(group, member, op);
        break;
    case GROUP_STABLE:
        if (group_is_leader(group, member) || !is_same) {
            member_rejoin(member, op, r, is_same ? GROUP_CAUSE_LEADER : GROUP_CAUSE_CHANGED, now);
            break;
        }
        group_session_renew(member, now);
        answer_current(group, member, op);
        break;
    default: group_answer_join(group->groups, op, KAFKA_UNKNOWN_MEMBER_ID, r->member_id);
    }
}

/* ── new members ── */

static struct bytes member_id_make(struct groups *groups, struct bytes prefix, char *to, size_t n)
{
    struct uuid id;
    uint32_t prefix_n = (uint32_t)min_u64(prefix.n, GROUP_MEMBER_ID_MAX - UUID_TEXT);
    size_t at = 0;
    check(n >= GROUP_MEMBER_ID_MAX + 1);
    prng_uuid(groups->prng, &id);
    if (prefix_n > 0)
        memcpy(to, prefix.ptr, prefix_n);
    at = prefix_n;
    to[at++] = '-';
    for (int i = 0; i < 16; i++)
        at += (size_t)snprintf(to + at, n - at,
                               i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", id.b[i]);
    return bytes_of(to, at);
}

/* A static member comes back under a new id: the old one is fenced, place and assignment stay
 * (KIP-345). */
static void static_replace(struct group_member *member, struct bytes id, struct control_op *op,
                           const struct join_group_request *r, struct now now)
{
    struct group *group = member->group;
    struct bytes old = member->id, fresh = bytes_heap_copy(id), selected;
    bool was_leader = group_is_leader(group, member);
    if (fresh.ptr == NULL || !member_update(member, op, r)) {
        if (fresh.ptr == NULL)
            group_answer_join(group->groups, op, KAFKA_UNKNOWN_SERVER_ERROR, id);
        free((void *)(uintptr_t)fresh.ptr);
        return;
    }
    group->joining_n -= member->join != NULL;
    struct control_op *join = group_op_take(member, &member->join),
                      *sync = group_op_take(member, &member->sync);
    group_member_rename(member, fresh);
    if (was_leader) {
        free((void *)(uintptr_t)group->leader.ptr);
        group->leader = bytes_heap_copy(fresh);
    }
    if (join != NULL)
        group_answer_join(group->groups, join, KAFKA_FENCED_INSTANCE_ID, old);
    if (sync != NULL)
        group_answer_sync(group->groups, sync, KAFKA_FENCED_INSTANCE_ID, NULL);
    group_session_renew(member, now);
    selected = group_protocol_select(group);
    if (group->state == GROUP_STABLE && bytes_equal(selected, group->protocol)) {
        /* The generation goes on. The leader is told not to assign again: by the flag where the
         * version has it (KIP-814), else by naming its old id as the leader. */
        bool can_skip = op->api_version >= VERSION_SKIP_ASSIGNMENT;
        generation_fill(group, member, op, was_leader && !can_skip ? old : group->leader,
                        was_leader && can_skip, was_leader && can_skip);
        group->groups->host.append(group->groups->host.context, group, ++group->groups->appends_n,
                                   op);
    } else {
        if (group->state != GROUP_PREPARING)
            group_prepare_rebalance(group, GROUP_CAUSE_REPLACED, member, r->reason, now);
        join_hang(member, op, now);
        group_join_try_complete(group, now);
    }
    free((void *)(uintptr_t)old.ptr);
}

static void join_unknown(struct group *group, struct control_op *op,
                         const struct join_group_request *r, struct now now)
{
    struct groups *groups = group->groups;
    char text[GROUP_MEMBER_ID_MAX + 1];
    bool is_static = r->group_instance_id.ptr != NULL;
    struct bytes id =
        member_id_make(groups, is_static ? r->group_instance_id : op->client_id, text, sizeof text);
    struct group_member *member =
        is_static ? group_member_by_instance(group, r->group_instance_id) : NULL;
    if (member != NULL) {
        static_replace(member, id, op, r, now);
    } else if (!is_static && op->api_version >= VERSION_MEMBER_ID_REQUIRED) {
        int rc = group_pending_new(group, id, r->session_timeout_ms, now);
        group_answer_join(groups, op,
                          rc == 0 ? KAFKA_MEMBER_ID_REQUIRED : KAFKA_UNKNOWN_SERVER_ERROR, id);
    } else {
        member_add(group, id, op, r, now);
    }
}

/* ── the request ── */

static bool protocols_fit(struct group *group, const struct join_group_request *r)
{
    if (r->protocols_n > GROUP_PROTOCOLS_MAX)
        return false;
    if (group->state == GROUP_EMPTY)
        return r->protocol_type.n > 0 && r->protocols_n > 0;
    if (group->protocol_type.ptr == NULL || !bytes_equal(group->protocol_type, r->protocol_type))
        return false;
    /* A thousand members that join need not be compared with one another each time. */
    for (int32_t i = 0; group->common.ptr != NULL && i < r->protocols_n; i++)
        if (bytes_equal(group->common, r->protocols[i].name))
            return true;
    for (int32_t i = 0; i < r->protocols_n; i++) {
        if (!all_support(group, r->protocols[i].name))
            continue;
        group_common_forget(group);
        group->common = bytes_heap_copy(r->protocols[i].name);
        return true;
    }
    return false;
}

int16_t group_join_check(const struct groups *groups, const struct join_group_request *r)
{
    if (r->group_id.n == 0)
        return KAFKA_INVALID_GROUP_ID;
    if (r->session_timeout_ms < groups->config.session_timeout_min_ms ||
        r->session_timeout_ms > groups->config.session_timeout_max_ms)
        return KAFKA_INVALID_SESSION_TIMEOUT;
    if (r->member_id.n > GROUP_MEMBER_ID_MAX)
        return KAFKA_UNKNOWN_MEMBER_ID;
    bool is_text = utf8_is_valid(r->group_instance_id) && utf8_is_valid(r->protocol_type);
    for (int32_t i = 0; is_text && i < r->protocols_n; i++)
        is_text = utf8_is_valid(r->protocols[i].name);
    /* What DescribeGroups tells others must be readable for them. */
    return is_text ? 0 : KAFKA_INVALID_REQUEST;
}

/* While members are gathered, who has joined counts, so that a group that is too large after its
 * bound was lowered sheds those who come last; afterwards, who is a member (acceptJoiningMember).
 */
static bool has_room(const struct group *group, const struct join_group_request *r)
{
    uint32_t max = (uint32_t)group->groups->config.size_max;
    const struct group_member *member = group_member_find(group, r->member_id);
    if (group->state == GROUP_EMPTY)
        return true;
    if (group->state == GROUP_PREPARING)
        return (member != NULL && member->join != NULL) || group->joining_n < max;
    return member != NULL || group->members_n < max;
}

static void join_refuse(struct group *group, struct control_op *op,
                        const struct join_group_request *r, struct now now)
{
    struct group_member *member = group_member_find(group, r->member_id);
    struct group_pending *pending = group_pending_find(group, r->member_id);
    if (member != NULL)
        group_member_remove(member, KAFKA_UNKNOWN_MEMBER_ID);
    if (pending != NULL)
        group_pending_free(pending);
    group_answer_join(group->groups, op, KAFKA_GROUP_MAX_SIZE_REACHED, bytes_of("", 0));
    group_join_try_complete(group, now);
}

void group_join(struct groups *groups, int32_t partition, struct control_op *op, struct now now)
{
    const struct join_group_request *r = op->request;
    struct group *group;
    int16_t error = group_join_check(groups, r);
    if (error != 0) {
        group_answer_join(groups, op, error, r->member_id);
        return;
    }
    group = group_find(groups, r->group_id);
    if (group == NULL && r->member_id.n > 0) {
        group_answer_join(groups, op, KAFKA_UNKNOWN_MEMBER_ID, r->member_id);
        return;
    }
    if (group == NULL) {
        if (group_new(groups, r->group_id, partition, now, &group) != 0) {
            group_answer_join(groups, op, KAFKA_COORDINATOR_NOT_AVAILABLE, r->member_id);
            return;
        }
        groups->host.append(groups->host.context, group, ++groups->appends_n,
                            NULL); /* it exists from now on */
    }
    if (!has_room(group, r))
        join_refuse(group, op, r, now);
    else if (!protocols_fit(group, r))
        group_answer_join(groups, op, KAFKA_INCONSISTENT_GROUP_PROTOCOL, r->member_id);
    else if (r->member_id.n == 0)
        join_unknown(group, op, r, now);
    else
        join_known(group, op, r, now);
}
