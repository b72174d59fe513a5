/*
 * group_describe.c - DescribeGroups, ListGroups, and why groups rebalanced, as JSON for the admin
 * listener.
 *
 * Owner: control.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "coordinator.h"
#include "messages.h"

enum {
    GROUP_OPERATIONS =
        0xd48, /* read, delete, describe, describe and alter configs: all there are for a group */
    VERSION_GROUP_ID_NOT_FOUND = 6,
    LIST_GROUPS_TURN = 2000, /* buckets and groups looked at in one turn */
};

/* ── DescribeGroups ── */

static struct bytes or_empty(struct bytes b)
{
    return b.ptr == NULL ? bytes_of("", 0) : b;
}

static struct bytes metadata_of(const struct group_member *m, struct bytes protocol)
{
    for (uint32_t i = 0; i < m->protocols_n; i++)
        if (bytes_equal(m->protocols[i].name, protocol))
            return m->protocols[i].metadata;
    return bytes_of("", 0);
}

static bool describe_members(const struct group *group, struct arena *arena,
                             struct describe_groups_response_groups *to)
{
    bool is_stable = group->state == GROUP_STABLE;
    to->members = answer_array(arena, group->members_n, sizeof *to->members);
    if (to->members == NULL)
        return false;
    to->members_n = 0;
    list_for_each(l, next, (struct list *)(uintptr_t)&group->members) {
        const struct group_member *m = list_entry(l, struct group_member, link);
        to->members[to->members_n++] = (struct describe_groups_response_groups_members){
            .member_id = answer_bytes(arena, m->id),
            .group_instance_id = answer_bytes(arena, m->instance_id),
            .client_id = answer_bytes(arena, or_empty(m->client_id)),
            .client_host = answer_bytes(arena, or_empty(m->client_host)),
            .member_metadata =
                answer_bytes(arena, is_stable ? metadata_of(m, group->protocol) : bytes_of("", 0)),
            .member_assignment = answer_bytes(arena, or_empty(m->assignment))};
    }
    return true;
}

static void describe_unknown(struct control_op *op, const struct group *group, struct bytes name,
                             struct describe_groups_response_groups *to)
{
    char text[512];
    to->group_state = bytes_of_string(group_state_name(GROUP_DEAD));
    if (op->api_version < VERSION_GROUP_ID_NOT_FOUND)
        return;
    snprintf(text, sizeof text,
             group == NULL ? "Group %.*s not found." : "Group %.*s is not a classic group.",
             (int)name.n, (const char *)name.ptr);
    to->error_code = KAFKA_GROUP_ID_NOT_FOUND;
    to->error_message = answer_text(&op->arena, text);
}

static bool describe_one(struct coordinator *co, struct control_op *op, struct bytes name,
                         struct describe_groups_response_groups *to)
{
    const struct describe_groups_request *q = op->request;
    struct bytes empty = bytes_of("", 0);
    int32_t partition = 0;
    ANSWER_DEFAULT(to, describe_groups_response_groups);
    to->group_id = name;
    to->group_state = to->protocol_type = to->protocol_data = empty;
    to->members_n = 0;
    to->error_code = coordinator_code(co, name, &partition);
    if (to->error_code != 0)
        return true;
    const struct group *group = group_find(&co->groups, name);
    if (group == NULL || group->next != NULL) {
        describe_unknown(op, group, name, to);
    } else {
        to->group_state = bytes_of_string(group_state_name(group->state));
        to->protocol_type = answer_bytes(&op->arena, or_empty(group->protocol_type));
        if (group->state == GROUP_STABLE)
            to->protocol_data = answer_bytes(&op->arena, or_empty(group->protocol));
        if (!describe_members(group, &op->arena, to))
            return false;
    }
    if (q->include_authorized_operations && to->error_code == 0)
        to->authorized_operations = GROUP_OPERATIONS;
    return true;
}

bool describe_groups_step(struct coordinator *co, struct control_op *op)
{
    const struct describe_groups_request *q = op->request;
    struct describe_groups_response *out = op->response;
    uintptr_t at = (uintptr_t)op->inside[OP_AT];
    bool is_spent = false;
    for (; at < (uintptr_t)out->groups_n && !is_spent; at++) {
        if (!describe_one(co, op, q->groups[at], &out->groups[at])) {
            op->response = NULL;
            break;
        }
        is_spent =
            coordinator_work(co, COORDINATOR_WORK_GROUP +
                                     COORDINATOR_WORK_MEMBER * (uint64_t)out->groups[at].members_n);
    }
    op->inside[OP_AT] = (void *)at;
    if (op->response != NULL && at < (uintptr_t)out->groups_n)
        return false;
    coordinator_answer(co, op);
    return true;
}

void describe_groups_run(struct coordinator *co, struct control_op *op)
{
    const struct describe_groups_request *q = op->request;
    int32_t n = q->groups_n < 0 ? 0 : q->groups_n;
    struct describe_groups_response *out = PROTO_NEW(&op->arena, describe_groups_response, 1);
    if (out != NULL)
        out->groups = answer_array(&op->arena, n, sizeof *out->groups);
    op->response = out == NULL || out->groups == NULL ? NULL : out;
    if (op->response == NULL) {
        coordinator_answer(co, op);
        return;
    }
    out->groups_n = n;
    coordinator_many(co, op);
}

/* ── ListGroups ── */

/* No filter lets all through; names are compared without regard to case. */
static bool passes(const struct bytes *filter, int32_t n, const char *name)
{
    size_t length = strlen(name);
    for (int32_t i = 0; i < n; i++)
        if (filter[i].n == length && strncasecmp((const char *)filter[i].ptr, name, length) == 0)
            return true;
    return n <= 0;
}

static const char *state_of(const struct group *group)
{
    return group->next != NULL ? next_state_name(group_next_state(group->next))
                               : group_state_name(group->state);
}

static const char *type_of(const struct group *group)
{
    return group->next != NULL ? "consumer" : "classic";
}

static void list_one(const struct group *group, struct arena *arena,
                     struct list_groups_response_groups *to)
{
    *to = (struct list_groups_response_groups){
        .group_id = answer_bytes(arena, group->id),
        .protocol_type = group->next != NULL ? bytes_of_string("consumer")
                                             : answer_bytes(arena, or_empty(group->protocol_type)),
        .group_state = bytes_of_string(state_of(group)),
        .group_type = bytes_of_string(type_of(group))};
}

/* What stands in op->inside besides the next bucket (OP_AT): the room of the answer. */
enum { LIST_ROOM = 5 };

/* Some buckets of the table, at most LIST_GROUPS_TURN groups or so. */
bool list_groups_step(struct coordinator *co, struct control_op *op)
{
    const struct list_groups_request *q = op->request;
    struct list_groups_response *out = op->response;
    uintptr_t at = (uintptr_t)op->inside[OP_AT], room = (uintptr_t)op->inside[LIST_ROOM];
    uint32_t seen_n = 0;
    for (; at < GROUP_BUCKETS && seen_n < LIST_GROUPS_TURN; at++) {
        seen_n++;
        list_for_each(l, next, &co->groups.buckets[at]) {
            const struct group *group = list_entry(l, struct group, link);
            seen_n++;
            if ((uintptr_t)out->groups_n < room &&
                passes(q->types_filter, q->types_filter_n, type_of(group)) &&
                passes(q->states_filter, q->states_filter_n, state_of(group)))
                list_one(group, &op->arena, &out->groups[out->groups_n++]);
        }
    }
    op->inside[OP_AT] = (void *)at;
    (void)coordinator_work(co, seen_n / 2);
    if (at < GROUP_BUCKETS)
        return false;
    coordinator_answer(co, op);
    return true;
}

static bool any_loading(const struct coordinator *co)
{
    for (int32_t i = 0; i < co->partitions_n; i++)
        if (co->partitions[i].state == COORDINATOR_LOADING)
            return true;
    return false;
}

void list_groups_run(struct coordinator *co, struct control_op *op)
{
    const struct list_groups_request *q = op->request;
    struct list_groups_response *out = PROTO_NEW(&op->arena, list_groups_response, 1);
    bool is_asked = passes(q->types_filter, q->types_filter_n, "classic") ||
                    passes(q->types_filter, q->types_filter_n, "consumer");
    uint32_t room = is_asked ? co->groups.groups_n : 0;
    op->response = out;
    if (out != NULL && any_loading(co)) {
        out->error_code = KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    } else if (out != NULL) {
        out->groups = arena_alloc_large(&op->arena, (room + 1ull) * sizeof *out->groups);
        if (out->groups != NULL && room > 0) {
            op->inside[LIST_ROOM] = (void *)(uintptr_t)room;
            coordinator_many(co, op);
            return;
        }
        op->response = out->groups == NULL ? NULL : out;
    }
    coordinator_answer(co, op);
}

/* ── why a group rebalanced ── */

static void json_text(FILE *to, const char *text, size_t n)
{
    fputc('"', to);
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c == '"' || c == '\\')
            fprintf(to, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f) /* bytes a client chose: shown, never trusted to be UTF-8 */
            fprintf(to, "\\u%04x", c);
        else
            fputc(c, to);
    }
    fputc('"', to);
}

static void json_rebalance(FILE *to, const struct group_rebalance *r)
{
    fprintf(to, "{\"generation\": %d, \"began_ms\": %lld, \"cause\": ", r->generation,
            (long long)r->began_wall_ms);
    json_text(to, group_cause_text(r->cause), strlen(group_cause_text(r->cause)));
    fprintf(to, ", \"member\": ");
    json_text(to, r->who, strlen(r->who));
    fprintf(to, ", \"reason\": ");
    json_text(to, r->reason, strlen(r->reason));
    fprintf(to, ", \"last_to_join\": ");
    json_text(to, r->last, strlen(r->last));
    fprintf(to,
            ", \"joining_ms\": %.3f, \"syncing_ms\": %.3f, \"members_before\": %u, "
            "\"members_after\": %u, "
            "\"late\": %u, \"moved\": %u, \"paused_members\": %u, \"pauses\": [",
            (double)r->joining_ns / 1e6, (double)r->syncing_ns / 1e6, r->members_before,
            r->members_after, r->late_n, r->moved_n, r->paused_n);
    for (uint32_t i = 0; i < r->pauses_n; i++) {
        fprintf(to, "%s{\"ms\": %.3f, \"member\": ", i == 0 ? "" : ", ",
                (double)r->pauses[i].ns / 1e6);
        json_text(to, r->pauses[i].who, strlen(r->pauses[i].who));
        fputc('}', to);
    }
    fputs("]}", to);
}

char *group_explain(struct coordinator *co, struct bytes name)
{
    const struct group *group = group_find(&co->groups, name);
    char *text = NULL;
    size_t n = 0;
    FILE *to = group == NULL ? NULL : open_memstream(&text, &n);
    if (to == NULL)
        return NULL;
    fprintf(to, "{\"group\": ");
    json_text(to, (const char *)name.ptr, name.n);
    fprintf(to,
            ", \"protocol\": \"%s\", \"state\": \"%s\", \"generation\": %d, \"members\": %u, "
            "\"rebalances_total\": %u, \"rebalances\": [",
            type_of(group), state_of(group),
            group->next != NULL ? group->next->epoch : group->generation,
            group->next != NULL ? group->next->members_n : group->members_n, group->rebalances_n);
    uint32_t kept = group->rebalances == NULL
                        ? 0
                        : (uint32_t)min_u64(group->rebalances_n, group->rebalances_max);
    for (uint32_t i = group->rebalances_n - kept; i < group->rebalances_n; i++) {
        fputs(i == group->rebalances_n - kept ? "\n  " : ",\n  ", to);
        json_rebalance(to, &group->rebalances[i % group->rebalances_max]);
    }
    fputs("\n]}\n", to);
    if (fclose(to) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
