/*
 * group_sync.c - SyncGroup, Heartbeat, LeaveGroup, and who may commit.
 *
 * Owner: control. The leader's assignment is answered to everybody when its record is durable.
 */
#include "group.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "kafka_codes.h"
#include "messages.h"

enum { VERSION_PROTOCOL_NAMED = 5 };

/* ── SyncGroup ── */

/* Sets the response only. */
void group_sync_refuse(struct control_op *op, int16_t error)
{
    struct sync_group_response *r = PROTO_NEW(&op->arena, sync_group_response, 1);
    op->response = r;
    if (r == NULL)
        return;
    r->error_code = error;
    r->assignment = bytes_of("", 0);
}

void group_answer_sync(struct groups *groups, struct control_op *op, int16_t error,
                       const struct group_member *member)
{
    if (op == &groups->nobody)
        return;
    group_sync_refuse(op, error);
    struct sync_group_response *r = op->response;
    if (r != NULL && member != NULL) {
        r->protocol_type = group_answer_copy(op, member->group->protocol_type);
        r->protocol_name = group_answer_copy(op, member->group->protocol);
        if (member->assignment.ptr != NULL)
            r->assignment = group_answer_copy(op, member->assignment);
    }
    groups->host.answer(groups->host.context, op);
}

static int16_t sync_check(const struct group *group, const struct sync_group_request *r,
                          struct group_member **member)
{
    int16_t error = group_check_member(group, r->member_id, r->group_instance_id, member);
    if (error != 0)
        return error;
    if (r->generation_id != group->generation)
        return KAFKA_ILLEGAL_GENERATION;
    if ((r->protocol_type.ptr != NULL && group->protocol_type.ptr != NULL &&
         !bytes_equal(r->protocol_type, group->protocol_type)) ||
        (r->protocol_name.ptr != NULL && group->protocol.ptr != NULL &&
         !bytes_equal(r->protocol_name, group->protocol)))
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL; /* KIP-559 */
    return 0;
}

static bool assignment_set(struct group_member *member, struct bytes assignment)
{
    struct bytes fresh = bytes_heap_copy(assignment.ptr == NULL ? bytes_of("", 0) : assignment);
    if (fresh.ptr == NULL)
        return false;
    free((void *)(uintptr_t)member->assignment.ptr);
    member->assignment = fresh;
    group_member_count(member);
    return true;
}

/* The leader's: everybody's assignment, empty where it names none; then the record is written. */
static bool assignments_take(struct group *group, const struct sync_group_request *r)
{
    const struct groups *groups = group->groups;
    list_for_each(l, next, &group->members)
        if (!assignment_set(list_entry(l, struct group_member, link), bytes_of("", 0)))
            return false;
    for (int32_t i = 0; i < r->assignments_n; i++) {
        struct group_member *member = group_member_find(group, r->assignments[i].member_id);
        struct bytes assignment = r->assignments[i].assignment;
        if (member == NULL)
            continue;
        if (assignment.n > groups->config.member_bytes_max ||
            groups->bytes + assignment.n > groups->config.bytes_max ||
            !assignment_set(member, assignment))
            return false;
    }
    return true;
}

static void sync_completing(struct group *group, struct group_member *member, struct control_op *op,
                            const struct sync_group_request *r, struct now now)
{
    struct groups *groups = group->groups;
    struct control_op *older = group_op_take(member, &member->sync);
    if (older != NULL)
        group_answer_sync(groups, older, KAFKA_REBALANCE_IN_PROGRESS, NULL);
    group_op_hang(member, &member->sync, op);
    member->is_pending_sync = false;
    group_session_renew(member, now);
    if (group->is_appending || !group_is_leader(group, member))
        return;
    group->is_appending = true;
    group->append_number = ++groups->appends_n;
    if (assignments_take(group, r))
        groups->host.append(groups->host.context, group, group->append_number, NULL);
    else
        group_appended(group, group->append_number, KAFKA_UNKNOWN_SERVER_ERROR, now);
}

int16_t group_sync_check(const struct control_op *op)
{
    const struct sync_group_request *r = op->request;
    if (op->api_version >= VERSION_PROTOCOL_NAMED &&
        (r->protocol_type.ptr == NULL || r->protocol_name.ptr == NULL))
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL; /* KIP-559: they are nullable, but must be there
                                                   */
    return r->group_id.n == 0 ? KAFKA_INVALID_GROUP_ID : 0;
}

void group_sync(struct groups *groups, struct control_op *op, struct now now)
{
    const struct sync_group_request *r = op->request;
    struct group *group = group_find(groups, r->group_id);
    struct group_member *member = NULL;
    int16_t error = group_sync_check(op);
    if (error == 0)
        error = group == NULL ? KAFKA_UNKNOWN_MEMBER_ID : sync_check(group, r, &member);
    if (error == 0 && group->state == GROUP_PREPARING)
        error = KAFKA_REBALANCE_IN_PROGRESS;
    if (error == 0 && group->state == GROUP_EMPTY)
        error = KAFKA_UNKNOWN_MEMBER_ID;
    if (error != 0) {
        group_answer_sync(groups, op, error, NULL);
        return;
    }
    if (group->state == GROUP_COMPLETING) {
        sync_completing(group, member, op, r, now);
        return;
    }
    member->is_pending_sync = false; /* STABLE: the assignment as it is */
    group_session_renew(member, now);
    group_answer_sync(groups, op, 0, member);
}

static bool anyone_pending_sync(const struct group *group)
{
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members)
        if (list_entry(l, struct group_member, link)->is_pending_sync)
            return true;
    return false;
}

/* From its JoinGroup until now the member had nothing to work on, if it is an eager one. */
static void pause_note(struct group_rebalance *note, const struct group_member *member,
                       struct now now)
{
    uint64_t ns = now.ns - member->paused_ns;
    if (note == NULL || member->paused_ns == 0)
        return;
    if (note->pauses == NULL) {
        note->pauses = calloc(GROUP_REBALANCE_PAUSES, sizeof *note->pauses);
        if (note->pauses == NULL)
            return; /* the group works without its history */
        member->group->groups->bytes += GROUP_REBALANCE_PAUSES * sizeof *note->pauses;
    }
    note->paused_n++;
    uint32_t at = note->pauses_n;
    while (at > 0 && note->pauses[at - 1].ns < ns)
        at--;
    if (at == GROUP_REBALANCE_PAUSES)
        return;
    if (note->pauses_n < GROUP_REBALANCE_PAUSES)
        note->pauses_n++;
    memmove(&note->pauses[at + 1], &note->pauses[at],
            (note->pauses_n - at - 1u) * sizeof *note->pauses);
    note->pauses[at].ns = ns;
    snprintf(note->pauses[at].who, sizeof note->pauses[at].who, "%.*s",
             (int)min_u64(member->id.n, sizeof note->pauses[at].who - 1),
             (const char *)member->id.ptr);
}

void group_appended(struct group *group, uint64_t number, int16_t error, struct now now)
{
    struct group_rebalance *note = group_rebalance_now(group);
    if (group->state != GROUP_COMPLETING || !group->is_appending || group->append_number != number)
        return; /* the record of an empty group or a replaced member, or a rebalance began meanwhile
                 */
    group->is_appending = false;
    if (error == 0) {
        group_state_set(group, GROUP_STABLE, now);
        group_rebalance_over(group, now);
        if (!anyone_pending_sync(group))
            timer_stop(group->groups->timers, &group->rebalance);
    }
    list_for_each(l, next, &group->members) {
        struct group_member *member = list_entry(l, struct group_member, link);
        bool is_waiting = member->sync != NULL;
        struct control_op *sync = group_op_take(member, &member->sync);
        if (is_waiting)
            group_session_renew(member, now);
        if (is_waiting && error == 0)
            pause_note(note, member, now);
        if (sync != NULL)
            group_answer_sync(group->groups, sync, error, error == 0 ? member : NULL);
    }
    if (error != 0) {
        struct bytes none = {NULL, 0};
        group_prepare_rebalance(group, GROUP_CAUSE_APPEND, NULL, none, now);
    }
}

/* The rebalance timeout after the generation began: who has not asked for its assignment is out. */
void group_sync_expired(struct group *group, struct now now)
{
    struct group_rebalance *note = group_rebalance_now(group);
    uint32_t gone_n = 0;
    list_for_each(l, next, &group->members) {
        struct group_member *member = list_entry(l, struct group_member, link);
        if (!member->is_pending_sync)
            continue;
        if (note != NULL)
            note->late_n++;
        gone_n++;
        group->groups->evicted_n++;
        group_member_remove(member, KAFKA_UNKNOWN_MEMBER_ID);
    }
    if (gone_n == 0)
        return; /* all have asked: only the record is still on its way */
    struct bytes none = {NULL, 0};
    group_prepare_rebalance(group, GROUP_CAUSE_NO_SYNC, NULL, none, now);
    group_join_try_complete(group, now);
}

/* ── Heartbeat ── */

static int16_t heartbeat(struct group *group, const struct heartbeat_request *r, struct now now)
{
    struct group_member *member = NULL;
    int16_t error = group_check_member(group, r->member_id, r->group_instance_id, &member);
    if (error != 0)
        return error;
    if (r->generation_id != group->generation)
        return KAFKA_ILLEGAL_GENERATION;
    group_session_renew(member, now);
    return group->state == GROUP_PREPARING ? KAFKA_REBALANCE_IN_PROGRESS : 0;
}

void group_heartbeat(struct groups *groups, struct control_op *op, struct now now)
{
    const struct heartbeat_request *r = op->request;
    struct heartbeat_response *out = PROTO_NEW(&op->arena, heartbeat_response, 1);
    struct group *group = group_find(groups, r->group_id);
    op->response = out;
    if (out != NULL && r->group_id.n == 0)
        out->error_code = KAFKA_INVALID_GROUP_ID;
    else if (out != NULL)
        out->error_code = group == NULL ? KAFKA_UNKNOWN_MEMBER_ID : heartbeat(group, r, now);
    groups->host.answer(groups->host.context, op);
}

/* ── LeaveGroup ── */

static int16_t leave_one(struct group *group, struct bytes member_id, struct bytes instance_id,
                         struct bytes reason, struct now now)
{
    struct group_member *member = NULL;
    struct group_pending *pending = group_pending_find(group, member_id);
    if (member_id.n == 0 && instance_id.ptr == NULL)
        return KAFKA_UNKNOWN_MEMBER_ID;
    if (pending != NULL) {
        group_pending_free(pending);
        group_join_try_complete(group, now);
        return 0;
    }
    if (instance_id.ptr != NULL &&
        member_id.n == 0) { /* by instance alone: an administrator (KIP-345) */
        member = group_member_by_instance(group, instance_id);
        if (member == NULL)
            return KAFKA_UNKNOWN_MEMBER_ID;
    } else {
        int16_t error = group_check_member(group, member_id, instance_id, &member);
        if (error != 0)
            return error;
    }
    struct group_member gone = {.id = bytes_heap_copy(member->id)};
    group_member_remove(member, KAFKA_UNKNOWN_MEMBER_ID);
    group_maybe_rebalance(group, GROUP_CAUSE_LEFT, &gone, reason, now);
    free((void *)(uintptr_t)gone.id.ptr);
    return 0;
}

static void leave_many(struct group *group, struct control_op *op,
                       const struct leave_group_request *r, struct leave_group_response *out,
                       struct now now)
{
    int32_t n = r->members_n < 0 ? 0 : r->members_n;
    out->members = PROTO_NEW(&op->arena, leave_group_response_members, n);
    if (out->members == NULL) {
        op->response = NULL;
        return;
    }
    out->members_n = n;
    for (int32_t i = 0; i < n; i++) {
        out->members[i].member_id = r->members[i].member_id;
        out->members[i].group_instance_id = r->members[i].group_instance_id;
        out->members[i].error_code = KAFKA_UNKNOWN_MEMBER_ID;
        if (group != NULL)
            out->members[i].error_code =
                leave_one(group, r->members[i].member_id, r->members[i].group_instance_id,
                          r->members[i].reason, now);
    }
}

void group_leave(struct groups *groups, struct control_op *op, struct now now)
{
    const struct leave_group_request *r = op->request;
    struct leave_group_response *out = PROTO_NEW(&op->arena, leave_group_response, 1);
    struct group *group = group_find(groups, r->group_id);
    struct bytes none = {NULL, 0};
    op->response = out;
    if (out != NULL && r->group_id.n == 0)
        out->error_code = KAFKA_INVALID_GROUP_ID;
    else if (out != NULL && op->api_version >= 3)
        leave_many(group, op, r, out, now);
    else if (out != NULL && group == NULL)
        out->error_code = KAFKA_UNKNOWN_MEMBER_ID;
    else if (out != NULL)
        out->error_code = leave_one(group, r->member_id, none, none, now);
    groups->host.answer(groups->host.context, op);
}

/* ── commits ── */

int16_t group_check_commit(struct group *group, struct bytes member_id, struct bytes instance_id,
                           int32_t generation, struct now now)
{
    struct group_member *member = NULL;
    if (generation < 0 && group->state == GROUP_EMPTY)
        return 0; /* a consumer without group management, or an administrator */
    if (generation < 0 && member_id.n == 0 && instance_id.ptr == NULL)
        return KAFKA_UNKNOWN_MEMBER_ID; /* while there are members only they commit */
    int16_t error = group_check_member(group, member_id, instance_id, &member);
    if (error != 0)
        return error;
    if (generation != group->generation)
        return KAFKA_ILLEGAL_GENERATION;
    if (group->state == GROUP_COMPLETING)
        return KAFKA_REBALANCE_IN_PROGRESS;
    group_session_renew(member, now);
    return 0;
}
