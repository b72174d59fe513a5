/*
 * group_next_describe.c - ConsumerGroupDescribe.
 *
 * Owner: control. What is told is what memory has; it may be ahead of the log by what is being
 * written.
 */
#include "answers.h"
#include "control_inside.h"
#include "group_next_host.h"
#include "messages.h"

enum {
    GROUP_OPERATIONS = 0xd48,
    MEMBER_CLASSIC = 0,
    MEMBER_CONSUMER = 1
}; /* as DescribeGroups; KIP-1099 */

static struct bytes or_empty(struct bytes b)
{
    return b.ptr == NULL ? bytes_of("", 0) : b;
}

/* Topics that are gone have no name: they are left out, as in Apache Kafka. `more` may be NULL. */
static bool put_parts(const struct coordinator *co, struct arena *arena,
                      const struct next_parts *parts, const struct next_parts *more,
                      struct consumer_group_describe_response_assignment *to)
{
    uint64_t parts_n = (uint64_t)parts->n + (more == NULL ? 0 : more->n);
    struct next_parts p = {arena_array(arena, parts_n + 1, sizeof *p.v), parts->n};
    int32_t *numbers = arena_array(arena, parts_n + 1, sizeof *numbers);
    int32_t n = 0;
    if (p.v == NULL || numbers == NULL)
        return false;
    if (parts->n > 0)
        memcpy(p.v, parts->v, parts->n * sizeof *p.v);
    for (uint32_t i = 0; more != NULL && i < more->n; i++)
        p.v[p.n++] = more->v[i];
    next_parts_sort(&p);
    for (uint32_t i = 0; i < p.n; i++)
        n += i == 0 || !uuid_equal(&p.v[i].topic_id, &p.v[i - 1].topic_id);
    to->topic_partitions =
        PROTO_NEW(arena, consumer_group_describe_response_assignment_topic_partitions, n);
    if (to->topic_partitions == NULL)
        return false;
    to->topic_partitions_n = 0;
    for (uint32_t i = 0, end; i < p.n; i = end) {
        const struct topic *topic = state_topic_by_id(&co->control->state, &p.v[i].topic_id);
        for (end = i; end < p.n && uuid_equal(&p.v[i].topic_id, &p.v[end].topic_id); end++)
            numbers[end] = p.v[end].partition;
        if (topic == NULL || topic->is_removed)
            continue;
        to->topic_partitions[to->topic_partitions_n++] =
            (struct consumer_group_describe_response_assignment_topic_partitions){
                topic->id, answer_bytes(arena, bytes_of(topic->name, topic->name_n)), &numbers[i],
                (int32_t)(end - i)};
    }
    return true;
}

static bool put_member(const struct coordinator *co, struct arena *arena,
                       const struct next_member *m,
                       struct consumer_group_describe_response_groups_members *to)
{
    struct bytes *names = arena_array(arena, m->names.n + 1ull, sizeof *names);
    if (names == NULL)
        return false;
    for (uint32_t i = 0; i < m->names.n; i++)
        names[i] = answer_bytes(arena, m->names.v[i]->name);
    ANSWER_DEFAULT(to, consumer_group_describe_response_groups_members);
    to->member_id = answer_bytes(arena, m->id);
    to->instance_id = answer_bytes(arena, m->instance_id);
    to->rack_id = answer_bytes(arena, m->rack_id);
    to->member_epoch = m->epoch;
    to->client_id = answer_bytes(arena, or_empty(m->client_id));
    to->client_host = answer_bytes(arena, or_empty(m->client_host));
    to->subscribed_topic_names = names;
    to->subscribed_topic_names_n = (int32_t)m->names.n;
    to->subscribed_topic_regex =
        m->regex == NULL ? bytes_of("", 0) : answer_bytes(arena, m->regex->text);
    to->member_type = m->classic != NULL ? MEMBER_CLASSIC : MEMBER_CONSUMER;
    /* What it is asked to give up it still has. */
    return put_parts(co, arena, &m->assigned, &m->revoking, &to->assignment) &&
           put_parts(co, arena, &m->target, NULL, &to->target_assignment);
}

static bool refuse(struct control_op *op, struct consumer_group_describe_response_groups *to,
                   int16_t code, const char *format, struct bytes name)
{
    struct fault f = {0};
    to->error_code = code;
    if (format == NULL)
        return true;
    snprintf(f.text, sizeof f.text, format, (int)min_u64(name.n, 512), (const char *)name.ptr);
    to->error_message = answer_text(&op->arena, f.text);
    return true;
}

static bool describe_one(struct coordinator *co, struct control_op *op, struct bytes name,
                         struct consumer_group_describe_response_groups *to)
{
    const struct consumer_group_describe_request *q = op->request;
    int32_t partition = 0;
    ANSWER_DEFAULT(to, consumer_group_describe_response_groups);
    to->group_id = name;
    to->group_state = to->assignor_name = bytes_of("", 0);
    to->members_n = 0;
    int16_t code = name.n == 0 ? KAFKA_INVALID_GROUP_ID : coordinator_code(co, name, &partition);
    if (code != 0)
        return refuse(op, to, code, NULL, name);
    const struct group *group = group_find(&co->groups, name);
    const struct group_next *g = group == NULL ? NULL : group->next;
    if (g == NULL)
        return refuse(
            op, to, KAFKA_GROUP_ID_NOT_FOUND,
            group == NULL ? "Group %.*s not found." : "Group %.*s is not a consumer group.", name);
    to->group_state = bytes_of_string(next_state_name(group_next_state(g)));
    to->group_epoch = g->epoch;
    to->assignment_epoch = g->assignment_epoch;
    to->assignor_name = bytes_of_string(assignor_name(g->assignor));
    if (q->include_authorized_operations)
        to->authorized_operations = GROUP_OPERATIONS;
    to->members = answer_array(&op->arena, g->members_n, sizeof *to->members);
    if (to->members == NULL)
        return false;
    list_for_each(l, next, (struct list *)(uintptr_t)&g->members)
        if (!put_member(co, &op->arena, list_entry(l, struct next_member, link),
                        &to->members[to->members_n++]))
            return false;
    return true;
}

/* What describing it took, in COORDINATOR_WORK_ units. */
static uint64_t work_of(const struct consumer_group_describe_response_groups *g)
{
    uint64_t n = COORDINATOR_WORK_GROUP;
    for (int32_t i = 0; i < g->members_n; i++)
        n += 2ull * COORDINATOR_WORK_MEMBER + (uint64_t)g->members[i].subscribed_topic_names_n +
             4ull * (uint64_t)g->members[i].assignment.topic_partitions_n;
    return n;
}

bool next_describe_step(struct coordinator *co, struct control_op *op)
{
    const struct consumer_group_describe_request *q = op->request;
    struct consumer_group_describe_response *out = op->response;
    uintptr_t at = (uintptr_t)op->inside[OP_AT];
    bool is_spent = false;
    for (; at < (uintptr_t)out->groups_n && !is_spent; at++) {
        if (!describe_one(co, op, q->group_ids[at], &out->groups[at])) {
            op->response = NULL;
            break;
        }
        is_spent = coordinator_work(co, work_of(&out->groups[at]));
    }
    op->inside[OP_AT] = (void *)at;
    if (op->response != NULL && at < (uintptr_t)out->groups_n)
        return false;
    coordinator_answer(co, op);
    return true;
}

void next_describe_run(struct coordinator *co, struct control_op *op)
{
    const struct consumer_group_describe_request *q = op->request;
    int32_t n = q->group_ids_n < 0 ? 0 : q->group_ids_n;
    struct consumer_group_describe_response *out =
        PROTO_NEW(&op->arena, consumer_group_describe_response, 1);
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
