/*
 * group_requests.c - requests about groups, from the table of control.c to their functions.
 *
 * Owner: control. The functions own the op and answer it themselves, now or later.
 */
#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "coordinator.h"
#include "messages.h"

static void join(struct coordinator *co, struct control_op *op)
{
    const struct join_group_request *r = op->request;
    int32_t partition = 0;
    int16_t code = group_join_check(&co->groups, r);
    if (code == 0)
        code = coordinator_code(co, r->group_id, &partition);
    if (code != 0)
        group_answer_join(&co->groups, op, code, r->member_id);
    else
        group_join(&co->groups, partition, op, co->control->now);
}

static void sync(struct coordinator *co, struct control_op *op)
{
    const struct sync_group_request *r = op->request;
    int32_t partition = 0;
    int16_t code = group_sync_check(op);
    if (code == 0)
        code = coordinator_code(co, r->group_id, &partition);
    if (code != 0)
        group_answer_sync(&co->groups, op, code, NULL);
    else
        group_sync(&co->groups, op, co->control->now);
}

static void heartbeat(struct coordinator *co, struct control_op *op)
{
    const struct heartbeat_request *r = op->request;
    int32_t partition = 0;
    int16_t code = r->group_id.n == 0 ? 0 : coordinator_code(co, r->group_id, &partition);
    if (code == 0) {
        group_heartbeat(&co->groups, op, co->control->now);
        return;
    }
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
    if (code == 0) {
        group_leave(&co->groups, op, co->control->now);
        return;
    }
    struct leave_group_response *out = PROTO_NEW(&op->arena, leave_group_response, 1);
    op->response = out;
    if (out != NULL)
        out->error_code = code;
    coordinator_answer(co, op);
}

enum verdict group_request_run(struct control *c, struct control_op *op)
{
    struct coordinator *co = c->coordinator;
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
    default: check(!"a key of the table in control.c");
    }
    return VERDICT_TAKEN;
}
