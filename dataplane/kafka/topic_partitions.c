/*
 * topic_partitions.c - DescribeTopicPartitions, version 0: topics by name, page by page.
 *
 * Owner: worker; answered from the view.
 *
 * As in Apache Kafka: topics come sorted by name, at most `response_partition_limit` partitions (1
 * to PARTITIONS_MAX) stand in an answer, and the cursor says where the next one begins. A cursor is
 * a topic that the request names (or any place, when it names none) and a partition >= 0; another
 * makes every asked topic an INVALID_REQUEST.
 */
#include <stdlib.h>

#include "request.h"

#include "control.h"

enum {
    PARTITIONS_MAX = 2000,       /* max.request.partition.size.limit */
    NAMES_MAX = 50000,           /* sorted in one turn; more are refused */
    TOPIC_OPERATIONS_ALL = 3576, /* there are no ACLs: everything a topic knows */
};

#define TOPIC     struct describe_topic_partitions_response_topics
#define PARTITION struct describe_topic_partitions_response_topics_partitions

/* One answer under construction. Stands in the request's arena. */
struct pages_of {
    struct request *request;
    const struct view *view;
    struct describe_topic_partitions_response *response;
    struct bytes *names;
    uint32_t names_n;
    int32_t *us; /* the one replica of everything */
    int32_t left;
};

static int name_compare(struct bytes a, struct bytes b)
{
    uint32_t n = (uint32_t)min_u64(a.n, b.n);
    int order = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int names_order(const void *a, const void *b)
{
    return name_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* Sorted, each once. */
static void names_sort(struct pages_of *p)
{
    uint32_t n = 0;
    qsort(p->names, p->names_n, sizeof *p->names, names_order);
    for (uint32_t i = 0; i < p->names_n; i++)
        if (n == 0 || !bytes_equal(p->names[n - 1], p->names[i]))
            p->names[n++] = p->names[i];
    p->names_n = n;
}

/* The names from the cursor on, sorted. False: the cursor is not one of them. */
static bool names_collect(struct pages_of *p, const struct describe_topic_partitions_request *q)
{
    struct bytes from = q->cursor != NULL ? q->cursor->topic_name : bytes_of("", 0);
    bool is_all = q->topics_n <= 0, has_cursor = q->cursor == NULL || is_all;
    uint32_t n = is_all ? p->view->topics_n : (uint32_t)q->topics_n;
    for (uint32_t i = 0; i < n; i++) {
        struct bytes name = is_all ? p->view->topics[i]->name : q->topics[i].name;
        if (name_compare(name, from) < 0)
            continue;
        has_cursor |= bytes_equal(name, from);
        p->names[p->names_n++] = name;
        if (is_all && p->names_n > PARTITIONS_MAX)
            break; /* every topic has a partition: more do not fit the answer */
    }
    if (!is_all)
        names_sort(p);
    return has_cursor && (q->cursor == NULL || q->cursor->partition_index >= 0);
}

static void answer_refused(struct pages_of *p, const struct describe_topic_partitions_request *q)
{
    int32_t n = q->topics_n > 0 ? q->topics_n : 0;
    p->response->topics =
        PROTO_NEW(&p->request->arena, describe_topic_partitions_response_topics, n);
    if (p->response->topics == NULL) {
        request_answer(p->request, NULL);
        return;
    }
    p->response->topics_n = n;
    for (int32_t i = 0; i < n; i++) {
        p->response->topics[i].name = q->topics[i].name;
        p->response->topics[i].error_code = KAFKA_INVALID_REQUEST;
    }
    request_answer(p->request, p->response);
}

static bool partitions_fill(struct pages_of *p, const struct view_topic *topic, int32_t from,
                            int32_t n, TOPIC *to)
{
    to->partitions =
        PROTO_NEW(&p->request->arena, describe_topic_partitions_response_topics_partitions, n);
    to->partitions_n = n;
    for (int32_t i = 0; to->partitions != NULL && i < n; i++) {
        const struct view_partition *v = &topic->partitions[from + i];
        bool leads = v->leader >= 0;
        to->partitions[i] = (PARTITION){
            .error_code = leads ? KAFKA_NONE : KAFKA_LEADER_NOT_AVAILABLE,
            .partition_index = from + i,
            .leader_id = v->leader,
            .leader_epoch = v->leader_epoch,
            .replica_nodes = p->us,
            .replica_nodes_n = 1,
            .isr_nodes = p->us,
            .isr_nodes_n = leads,
            .eligible_leader_replicas = p->us,
            .last_known_elr = p->us,
            .offline_replicas = p->us,
            .offline_replicas_n = !leads,
        };
    }
    return to->partitions != NULL;
}

static bool cursor_set(struct pages_of *p, struct bytes name, int32_t partition)
{
    struct describe_topic_partitions_response_next_cursor *next =
        PROTO_NEW(&p->request->arena, describe_topic_partitions_response_next_cursor, 1);
    if (next == NULL)
        return false;
    next->topic_name = request_keep(p->request, name);
    next->partition_index = partition;
    p->response->next_cursor = next;
    return next->topic_name.ptr != NULL;
}

static bool topic_fill(struct pages_of *p, struct bytes name, int32_t from)
{
    char why[256];
    TOPIC *to = &p->response->topics[p->response->topics_n++];
    const struct view_topic *topic = view_topic_by_name(p->view, name);
    to->name = request_keep(p->request, name);
    to->topic_authorized_operations = TOPIC_OPERATIONS_ALL;
    if (to->name.ptr == NULL && name.n > 0)
        return false;
    if (topic == NULL) {
        to->error_code = topic_name_fault(name, why, sizeof why) != NULL
                             ? KAFKA_INVALID_TOPIC_EXCEPTION
                             : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return true;
    }
    int32_t n = (int32_t)max_i64(topic->partitions_n - from, 0);
    to->topic_id = topic->id;
    to->is_internal = topic->is_internal;
    bool is_cut = n > p->left;
    n = is_cut ? p->left : n;
    p->left -= n;
    if (!partitions_fill(p, topic, from, n, to))
        return false;
    return !is_cut || cursor_set(p, name, from + n);
}

static bool topics_fill(struct pages_of *p, const struct describe_topic_partitions_request *q)
{
    for (uint32_t i = 0; i < p->names_n && p->response->next_cursor == NULL; i++) {
        bool is_cursor = q->cursor != NULL && bytes_equal(p->names[i], q->cursor->topic_name);
        if (p->left == 0)
            return cursor_set(p, p->names[i], 0);
        if (!topic_fill(p, p->names[i], is_cursor ? q->cursor->partition_index : 0))
            return false;
    }
    return true;
}

void topic_partitions_start(struct request *r, const struct view *view, struct now now)
{
    const struct describe_topic_partitions_request *q = r->body;
    struct pages_of p = {.request = r, .view = view};
    uint32_t n = q->topics_n > 0 ? (uint32_t)q->topics_n : PARTITIONS_MAX + 1;
    (void)now;
    p.response = PROTO_NEW(&r->arena, describe_topic_partitions_response, 1);
    p.us = arena_alloc(&r->arena, sizeof *p.us);
    if (p.response == NULL || p.us == NULL) {
        request_answer(r, NULL);
        return;
    }
    if (q->topics_n > NAMES_MAX) {
        answer_refused(&p, q);
        return;
    }
    p.names = arena_array(&r->arena, n, sizeof *p.names);
    if (p.names != NULL && !names_collect(&p, q)) {
        answer_refused(&p, q);
        return;
    }
    *p.us = view->node_id;
    p.left = (int32_t)min_i64(max_i64(q->response_partition_limit, 1), PARTITIONS_MAX);
    p.response->topics = PROTO_NEW(&r->arena, describe_topic_partitions_response_topics, p.names_n);
    bool is_filled = p.names != NULL && p.response->topics != NULL;
    p.response->topics_n = 0;
    is_filled = is_filled && topics_fill(&p, q);
    request_answer(r, is_filled ? p.response : NULL);
}
