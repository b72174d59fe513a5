/*
 * topics_delete.c - DeleteTopics by name (v1-5) and by name or id (v6).
 *
 * Owner: control.
 *
 * Checks and sentences of Kafka's ControllerApis.deleteTopics. One REMOVE_TOPIC record each, all of
 * a request in one batch, made and applied over turns. The topic leaves the view when the round is
 * durable; its logs are dropped behind that. A request that removed something ends its round, so
 * the name is free again only when the old logs are gone.
 */
#include <stdlib.h>

#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "messages.h"

/* One entry of a request, whatever its version. Owner: the request. */
struct deletion {
    struct bytes name;
    struct uuid id;
    struct topic *topic; /* what it means; NULL = nothing */
    int16_t code;
    const char *text;
    uint32_t at; /* in the request */
};

static void deletion_fault(struct deletion *d, int16_t code, const char *text)
{
    d->code = code;
    d->text = text;
}

static void deletion_find(const struct control *c, struct deletion *d)
{
    bool has_id = !uuid_is_zero(&d->id);
    if (d->name.ptr != NULL && has_id)
        return deletion_fault(d, KAFKA_INVALID_REQUEST,
                              "You may not specify both topic name and topic id.");
    if (d->name.ptr == NULL && !has_id)
        return deletion_fault(d, KAFKA_INVALID_REQUEST,
                              "Neither topic name nor id were specified.");
    d->topic =
        has_id ? state_topic_by_id(&c->state, &d->id) : state_topic_by_name(&c->state, d->name);
    if (d->topic == NULL && has_id)
        deletion_fault(d, KAFKA_UNKNOWN_TOPIC_ID, "This server does not host this topic ID.");
    else if (d->topic == NULL)
        deletion_fault(d, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                       "This server does not host this topic-partition.");
}

/* By topic, those that mean none last; then by their place. */
static int deletion_compare(const void *a, const void *b)
{
    const struct deletion *x = *(const struct deletion *const *)a,
                          *y = *(const struct deletion *const *)b;
    uintptr_t p = (uintptr_t)x->topic, q = (uintptr_t)y->topic;
    if (p != q)
        return p < q ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* A topic that is meant more than once is not deleted at all, as in Kafka. */
static void deletions_find_twice(struct deletion *list, struct deletion **sorted, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = &list[i];
    qsort(sorted, n, sizeof *sorted, deletion_compare);
    for (uint32_t i = 0; i + 1 < n; i++) {
        struct deletion *a = sorted[i], *b = sorted[i + 1];
        if (a->topic == NULL || a->topic != b->topic)
            continue;
        const char *text = a->name.ptr != NULL && b->name.ptr != NULL ? "Duplicate topic name."
                           : a->name.ptr == NULL && b->name.ptr == NULL
                               ? "Duplicate topic id."
                               : "The provided topic name maps to an ID that was already supplied.";
        deletion_fault(a, KAFKA_INVALID_REQUEST, text);
        deletion_fault(b, KAFKA_INVALID_REQUEST, text);
    }
}

static struct deletion *deletions_read(const struct delete_topics_request *request, int16_t version,
                                       uint32_t *n, struct arena *arena)
{
    int32_t count = version >= 6 ? request->topics_n : request->topic_names_n;
    *n = count > 0 ? (uint32_t)count : 0;
    struct deletion *list = arena_array(arena, *n + 1, sizeof *list);
    for (uint32_t i = 0; list != NULL && i < *n; i++) {
        list[i].at = i;
        list[i].name = version >= 6 ? request->topics[i].name : request->topic_names[i];
        if (version >= 6)
            list[i].id = request->topics[i].topic_id;
        else if (list[i].name.ptr == NULL)
            list[i].name = bytes_of("", 0);
    }
    return list;
}

static void deletions_check(struct control *c, struct deletion *list, struct deletion **sorted,
                            uint32_t n, int16_t version)
{
    bool is_enabled = config_bool(c->config.config, "delete.topic.enable");
    for (uint32_t i = 0; i < n; i++) {
        deletion_find(c, &list[i]);
        if (!is_enabled)
            deletion_fault(&list[i],
                           version < 3 ? KAFKA_INVALID_REQUEST : KAFKA_TOPIC_DELETION_DISABLED,
                           "Topic deletion is disabled.");
    }
    if (is_enabled)
        deletions_find_twice(list, sorted, n);
}

/* A request under way. Owner: it. */
struct delete_run {
    struct delete_topics_response *response;
    struct deletion *list;
    uint32_t n, at; /* of the list: the next record's */
};

static void record_add(struct control *c, struct deletion *d)
{
    if (d->code != KAFKA_NONE)
        return;
    struct remove_topic_record record = {d->topic->id};
    records_add(&c->records, &proto_remove_topic_record, 0, &record);
    d->id = d->topic->id;
}

/* Keeps the views' forms of the topics: their logs are dropped at the end of the round. 1: it goes
 * on in the next turn. */
static int run_commit(struct control *c, struct delete_run *run)
{
    int e = c->records.builder.records_n > 0 || c->records.error != 0 ? control_commit_more(c) : 0;
    if (e != 0 || c->records.builder.records_n == 0)
        return e;
    c->ends_round = true;
    for (uint32_t i = 0; i < run->n; i++) {
        const struct deletion *d = &run->list[i];
        if (d->code != KAFKA_NONE || d->topic->view == NULL)
            continue;
        d->topic->view->refs++;
        topic_list_add(&c->dropped, d->topic->view);
    }
    return 0;
}

static void answer_one(const struct deletion *d, struct delete_topics_response_responses *to,
                       struct arena *arena)
{
    to->name = answer_bytes(arena, d->name);
    to->topic_id = d->id;
    to->error_code = d->code;
    to->error_message = answer_text(arena, d->text);
    if (d->code == KAFKA_NONE || d->topic != NULL) {
        to->name = answer_bytes(arena, bytes_of(d->topic->name, d->topic->name_n));
        to->topic_id = d->topic->id;
    }
}

/* NULL: no memory. */
static struct delete_run *run_begin(struct control *c, struct control_op *op)
{
    struct delete_run *run = arena_array(&op->arena, 1, sizeof *run);
    if (run == NULL)
        return NULL;
    run->list = deletions_read(op->request, op->api_version, &run->n, &op->arena);
    struct deletion **sorted = arena_array(&op->arena, run->n + 1, sizeof *sorted);
    run->response = PROTO_NEW(&op->arena, delete_topics_response, 1);
    if (run->response != NULL)
        run->response->responses =
            PROTO_NEW(&op->arena, delete_topics_response_responses, run->n + 1);
    if (run->list == NULL || sorted == NULL || run->response == NULL ||
        run->response->responses == NULL)
        return NULL;
    deletions_check(c, run->list, sorted, run->n, op->api_version);
    records_begin(&c->records, c->now.wall_ms);
    return run;
}

enum verdict delete_topics_run(struct control *c, struct control_op *op)
{
    struct delete_run *run = c->change;
    if (run == NULL) {
        run = c->change = run_begin(c, op);
        if (run == NULL)
            return VERDICT_CLOSE;
        if (topic_list_reserve(&c->dropped, run->n) < 0)
            return VERDICT_AGAIN;
    }
    while (run->at < run->n) {
        record_add(c, &run->list[run->at++]);
        if (control_change_is_spent(c, 1) && run->at < run->n)
            return VERDICT_MORE;
    }
    int e = run_commit(c, run);
    if (e == E_AGAIN || e > 0)
        return e > 0 ? VERDICT_MORE : VERDICT_AGAIN;
    for (uint32_t i = 0; i < run->n; i++) {
        struct deletion *d = &run->list[i];
        if (e < 0 && d->code == KAFKA_NONE)
            deletion_fault(d, e == E_TOO_LARGE ? KAFKA_POLICY_VIOLATION : KAFKA_KAFKA_STORAGE_ERROR,
                           e == E_TOO_LARGE ? "Unable to perform excessively large batch operation."
                                            : error_text(e));
        answer_one(d, &run->response->responses[i], &op->arena);
    }
    run->response->responses_n = (int32_t)run->n;
    op->response = run->response;
    return VERDICT_DONE;
}
