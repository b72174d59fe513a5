/*
 * partitions.c - CreatePartitions: more partitions for topics that exist.
 *
 * Owner: control.
 *
 * Checks and sentences of Kafka's ControllerApis and ReplicationControlManager. One PARTITION
 * record each, all of a request in one batch, made and applied over turns; a topic that fails, also
 * because the batch would become too long, leaves none. The topic joins the round's list: its new
 * logs are opened before the view says that they are there.
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

/* May it grow? Its records come next. */
static bool growth_begin(struct control *c, struct growth *g)
{
    g->topic = state_topic_by_name(&c->state, g->asked->name);
    if (g->topic == NULL || g->topic->partitions_n == 0)
        return fault_set(&g->fault, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "%s", "");
    return check_count(g) && check_assignments(c, g);
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

/* A request under way. Owner: it. */
struct growth_run {
    struct create_partitions_response *response;
    struct growth *v;
    uint32_t n, at; /* the one whose turn it is ... */
    bool is_begun;  /* ... its records are being made, from ... */
    struct records_mark mark;
    int32_t partition; /* ... to this one */
};

/* The next record, or the next topic is looked at. */
static void run_one(struct control *c, struct growth_run *run)
{
    struct growth *g = &run->v[run->at];
    if (!run->is_begun) {
        run->mark = records_mark(&c->records);
        run->is_begun = g->fault.code == KAFKA_NONE && growth_begin(c, g);
        run->partition = run->is_begun ? g->topic->partitions_n : 0;
        run->at += !run->is_begun;
        return;
    }
    if (run->partition < g->asked->count)
        bootstrap_add_partition(c, &g->topic->id, run->partition++);
    if (c->records.error != 0) {
        records_back(&c->records, run->mark);
        fault_set(&g->fault, KAFKA_UNKNOWN_SERVER_ERROR, "%s", "");
        run->partition = g->asked->count;
    }
    if (run->partition >= g->asked->count) {
        run->is_begun = false;
        run->at++;
    }
}

/* 1: it goes on in the next turn; E_AGAIN: from its beginning. */
static int run_commit(struct control *c, struct growth_run *run)
{
    int e = c->records.builder.records_n > 0 ? control_commit_more(c) : 0;
    if (e > 0 || e == E_AGAIN)
        return e;
    for (uint32_t i = 0; i < run->n; i++) {
        struct growth *g = &run->v[i];
        if (g->fault.code != KAFKA_NONE)
            continue;
        if (e < 0)
            fault_set(&g->fault, KAFKA_KAFKA_STORAGE_ERROR, "%s", error_text(e));
        else
            topic_list_add(&c->created, g->topic);
    }
    return 0;
}

/* NULL: no memory. */
static struct growth_run *run_begin(struct control *c, struct control_op *op)
{
    const struct create_partitions_request *q = op->request;
    uint32_t n = q->topics_n > 0 ? (uint32_t)q->topics_n : 0;
    struct growth_run *run = arena_array(&op->arena, 1, sizeof *run);
    const ASKED **sorted = arena_array(&op->arena, n + 1, sizeof *sorted + sizeof(bool));
    if (run == NULL || sorted == NULL)
        return NULL;
    run->response = PROTO_NEW(&op->arena, create_partitions_response, 1);
    run->v = arena_array(&op->arena, n + 1, sizeof *run->v);
    if (run->response == NULL || run->v == NULL)
        return NULL;
    run->response->results = PROTO_NEW(&op->arena, create_partitions_response_results, n + 1);
    if (run->response->results == NULL)
        return NULL;
    run->n = sort_out(q, sorted, run->v, n);
    records_begin(&c->records, c->now.wall_ms);
    return run;
}

enum verdict create_partitions_run(struct control *c, struct control_op *op)
{
    const struct create_partitions_request *q = op->request;
    struct growth_run *run = c->change;
    if (run == NULL) {
        if (topic_list_reserve(&c->created, (uint32_t)max_i64(q->topics_n, 0)) < 0)
            return VERDICT_AGAIN;
        run = c->change = run_begin(c, op);
        if (run == NULL)
            return VERDICT_CLOSE;
    }
    for (bool is_spent = false; run->at < run->n; is_spent = control_change_is_spent(c, 1)) {
        if (is_spent)
            return VERDICT_MORE;
        run_one(c, run);
    }
    int e = q->validate_only ? 0 : run_commit(c, run);
    if (e != 0)
        return e == E_AGAIN ? VERDICT_AGAIN : VERDICT_MORE;
    for (uint32_t i = 0; i < run->n; i++)
        answer_one(&run->v[i], &run->response->results[i], &op->arena);
    run->response->results_n = (int32_t)run->n;
    op->response = run->response;
    return VERDICT_DONE;
}
