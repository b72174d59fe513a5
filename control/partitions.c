/*
 * partitions.c - CreatePartitions: more partitions for topics that exist.
 *
 * Owner: control.
 *
 * Checks and sentences of Kafka's ControllerApis and ReplicationControlManager. One PARTITION
 * record each, all of a request in one batch; a topic that fails, also because the batch would
 * become too long, leaves none. The topic joins the round's list: its new logs are opened before
 * the view says that they are there.
 */
#include <stdlib.h>

#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "messages.h"

#define ASKED struct create_partitions_request_topics

/* One topic on its way. Owner: the request. */
struct growth {
    const ASKED *asked;
    struct topic *topic;
    struct fault fault; /* an empty text is null in the answer */
};

static bool check_count(struct growth *g)
{
    int32_t now_n = g->topic->partitions_n, count = g->asked->count;
    if (count == now_n)
        return fault_set(&g->fault, KAFKA_INVALID_PARTITIONS, "Topic already has %d partition(s).",
                         now_n);
    return count > now_n ||
           fault_set(&g->fault, KAFKA_INVALID_PARTITIONS,
                     "The topic %s currently has %d partition(s); %d would not be an increase.",
                     g->topic->name, now_n, count);
}

static bool check_assignments(const struct control *c, struct growth *g)
{
    int32_t more_n = g->asked->count - g->topic->partitions_n, n = g->asked->assignments_n;
    if (n < 0) /* null: we place them */
        return !dirs_are_cordoned(c) ||
               fault_set(&g->fault, KAFKA_INVALID_REPLICATION_FACTOR,
                         "All brokers are currently fenced, or have all their log directories "
                         "cordoned.");
    if (n != more_n)
        return fault_set(&g->fault, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                         "Attempted to add %d additional partition(s), but only %d assignment(s) "
                         "were specified.",
                         more_n, n);
    for (int32_t i = 0; i < n; i++)
        if (!replicas_check(c, g->asked->assignments[i].broker_ids,
                            g->asked->assignments[i].broker_ids_n,
                            g->topic->partitions[0].replicas_n, &g->fault))
            return false;
    return true;
}

/* Checks one topic and adds its records. */
static bool growth_run(struct control *c, struct growth *g)
{
    struct records_mark mark = records_mark(&c->records);
    g->topic = state_topic_by_name(&c->state, g->asked->name);
    if (g->topic == NULL || g->topic->partitions_n == 0)
        return fault_set(&g->fault, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "%s", "");
    if (!check_count(g) || !check_assignments(c, g))
        return false;
    for (int32_t p = g->topic->partitions_n; p < g->asked->count && c->records.error == 0; p++)
        bootstrap_add_partition(c, &g->topic->id, p);
    if (c->records.error == 0)
        return true;
    records_back(&c->records, mark);
    return fault_set(&g->fault, KAFKA_UNKNOWN_SERVER_ERROR, "%s", "");
}

/* ── the request ── */

static int asked_compare(const void *a, const void *b)
{
    const ASKED *x = *(const ASKED *const *)a, *y = *(const ASKED *const *)b;
    uint32_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int order = n > 0 ? memcmp(x->name.ptr, y->name.ptr, n) : 0;
    if (order != 0)
        return order;
    if (x->name.n != y->name.n)
        return x->name.n < y->name.n ? -1 : 1;
    return x < y ? -1 : x > y;
}

static bool same_name(const ASKED *const *sorted, uint32_t n, uint32_t i, uint32_t k)
{
    return i < n && k < n && bytes_equal(sorted[i]->name, sorted[k]->name);
}

/* Names that stand there more than once: one entry each, and none of them grows. The others keep
 * the order of the request. */
static uint32_t sort_out(const struct create_partitions_request *q, const ASKED **sorted,
                         struct growth *v, uint32_t n)
{
    uint32_t out = 0;
    bool *is_twice = (bool *)(sorted + n + 1);
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = &q->topics[i];
    qsort(sorted, n, sizeof *sorted, asked_compare);
    for (uint32_t i = 0; i < n; i++) {
        bool has_same = (i > 0 && same_name(sorted, n, i, i - 1)) || same_name(sorted, n, i, i + 1);
        is_twice[sorted[i] - q->topics] = has_same;
        if (!has_same || (i > 0 && same_name(sorted, n, i, i - 1)))
            continue;
        v[out].asked = sorted[i];
        fault_set(&v[out++].fault, KAFKA_INVALID_REQUEST, "Duplicate topic name.");
    }
    for (uint32_t i = 0; i < n; i++)
        if (!is_twice[i])
            v[out++].asked = &q->topics[i];
    return out;
}

static void answer_one(const struct growth *g, struct create_partitions_response_results *to,
                       struct arena *arena)
{
    to->name = answer_bytes(arena, g->asked->name);
    to->error_code = g->fault.code;
    to->error_message =
        g->fault.text[0] == 0 ? (struct bytes){NULL, 0} : answer_text(arena, g->fault.text);
}

static enum verdict growths_commit(struct control *c, struct growth *v, uint32_t n)
{
    int e = c->records.builder.records_n > 0 ? control_commit(c) : 0;
    if (e == E_AGAIN)
        return VERDICT_AGAIN;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].fault.code != KAFKA_NONE)
            continue;
        if (e < 0)
            fault_set(&v[i].fault, KAFKA_KAFKA_STORAGE_ERROR, "%s", error_text(e));
        else
            topic_list_add(&c->created, v[i].topic);
    }
    return VERDICT_DONE;
}

enum verdict create_partitions_run(struct control *c, struct control_op *op)
{
    const struct create_partitions_request *q = op->request;
    uint32_t n = q->topics_n > 0 ? (uint32_t)q->topics_n : 0;
    struct create_partitions_response *p = PROTO_NEW(&op->arena, create_partitions_response, 1);
    struct growth *v = arena_array(&op->arena, n + 1, sizeof *v);
    const ASKED **sorted = arena_array(&op->arena, n + 1, sizeof *sorted + sizeof(bool));
    if (p != NULL)
        p->results = PROTO_NEW(&op->arena, create_partitions_response_results, n + 1);
    if (p == NULL || p->results == NULL || v == NULL || sorted == NULL)
        return VERDICT_CLOSE;
    if (topic_list_reserve(&c->created, n) < 0)
        return VERDICT_AGAIN;
    n = sort_out(q, sorted, v, n);
    records_begin(&c->records, c->now.wall_ms);
    for (uint32_t i = 0; i < n; i++)
        if (v[i].fault.code == KAFKA_NONE)
            (void)growth_run(c, &v[i]);
    if (!q->validate_only && growths_commit(c, v, n) == VERDICT_AGAIN)
        return VERDICT_AGAIN;
    for (uint32_t i = 0; i < n; i++)
        answer_one(&v[i], &p->results[i], &op->arena);
    p->results_n = (int32_t)n;
    op->response = p;
    return VERDICT_DONE;
}
