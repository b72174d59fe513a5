/*
 * group_requests.c - requests about groups, from the table of control.c to their functions.
 *
 * Owner: control. The functions own the op and answer it themselves, now or later.
 */
#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "coordinator.h"
#include "group_next_host.h"
#include "messages.h"

static void join(struct coordinator *co, struct control_op *op)
{
    const struct join_group_request *r = op->request;
    int32_t partition = 0;
    int16_t code = group_join_check(&co->groups, r);
    if (code == 0)
        code = coordinator_code(co, r->group_id, &partition);
    struct group *group = code == 0 ? group_find(&co->groups, r->group_id) : NULL;
    if (group != NULL && group->next != NULL && group->next->members_n > 0) {
        next_classic_join(group->next, op, co->control->now);
        return;
    }
    if (group != NULL && group->next != NULL)
        code = next_host_join(co, group);
    if (code != 0)
        group_answer_join(&co->groups, op, code, r->member_id);
    else
        group_join(&co->groups, partition, op, co->control->now);
}

/* The KIP-848 group of this id; NULL: it is a classic one, or none. */
static struct group_next *next_of(struct coordinator *co, struct bytes id)
{
    struct group *group = group_find(&co->groups, id);
    return group == NULL ? NULL : group->next;
}

static void sync(struct coordinator *co, struct control_op *op)
{
    const struct sync_group_request *r = op->request;
    struct group_next *next;
    int32_t partition = 0;
    int16_t code = group_sync_check(op);
    if (code == 0)
        code = coordinator_code(co, r->group_id, &partition);
    if (code != 0)
        group_answer_sync(&co->groups, op, code, NULL);
    else if ((next = next_of(co, r->group_id)) != NULL)
        next_classic_sync(next, op, co->control->now);
    else
        group_sync(&co->groups, op, co->control->now);
}

static void heartbeat(struct coordinator *co, struct control_op *op)
{
    const struct heartbeat_request *r = op->request;
    int32_t partition = 0;
    int16_t code = r->group_id.n == 0 ? 0 : coordinator_code(co, r->group_id, &partition);
    struct group_next *next = code == 0 ? next_of(co, r->group_id) : NULL;
    if (code == 0 && next != NULL)
        next_classic_heartbeat(next, op, co->control->now);
    else if (code == 0)
        group_heartbeat(&co->groups, op, co->control->now);
    if (code == 0)
        return;
    struct heartbeat_response *out = PROTO_NEW(&op->arena, heartbeat_response, 1);
    op->response = out;
    if (out != NULL)
        out->error_code = code;
    coordinator_answer(co, op);
}

static void leave(struct coordinator *co, struct control_op *op)
{
    const struct leave_group_request *r = op->request;
    int32_t partition = 0;
    int16_t code = r->group_id.n == 0 ? 0 : coordinator_code(co, r->group_id, &partition);
    struct group_next *next = code == 0 ? next_of(co, r->group_id) : NULL;
    if (code == 0 && next != NULL)
        next_classic_leave(next, op, co->control->now);
    else if (code == 0)
        group_leave(&co->groups, op, co->control->now);
    if (code == 0)
        return;
    struct leave_group_response *out = PROTO_NEW(&op->arena, leave_group_response, 1);
    op->response = out;
    if (out != NULL)
        out->error_code = code;
    coordinator_answer(co, op);
}

enum verdict group_request_run(struct control *c, struct control_op *op)
{
    struct coordinator *co = c->coordinator;
    if (migration_holds(co, op))
        return VERDICT_TAKEN;
    switch (op->api_key) {
    case 8: offset_commit_run(co, op); break;
    case 9: offset_fetch_run(co, op); break;
    case 11: join(co, op); break;
    case 12: heartbeat(co, op); break;
    case 13: leave(co, op); break;
    case 14: sync(co, op); break;
    case 15: describe_groups_run(co, op); break;
    case 16: list_groups_run(co, op); break;
    case 42: delete_groups_run(co, op); break;
    case 47: offset_delete_run(co, op); break;
    case 68: next_heartbeat_run(co, op); break;
    case 69: next_describe_run(co, op); break;
    default: check(!"a key of the table in control.c");
    }
    return VERDICT_TAKEN;
}
