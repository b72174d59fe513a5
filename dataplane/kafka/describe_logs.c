/*
 * describe_logs.c - what logs tell about themselves: DescribeProducers (0) and DescribeLogDirs
 * (1-5).
 *
 * Owner: worker.
 *
 * DescribeProducers: the home copies into memory of the request; a log with more producers than
 * were expected is asked again with room for all of them.
 *
 * DescribeLogDirs: sizes come from the homes, the room of the disks (v4) from the files helper. One
 * result per log directory; one that is offline has an error and nothing else. A log that is being
 * moved stands in both directories, in the new one as a future one with how far it is behind.
 */
#include "ops.h"

#include <stdio.h>

#include "control.h"

/* ── DescribeProducers ── */

enum { PRODUCERS_FIRST = 8, PRODUCERS_ROOM_MORE = 16 };

#define PRODUCERS_PARTITION struct describe_producers_response_topics_partitions
#define ACTIVE              struct describe_producers_response_topics_partitions_active_producers

/* What the request keeps beside the queries. */
static int16_t producers_judge(struct request *r, const struct view *view, struct bytes name,
                               int32_t partition, PRODUCERS_PARTITION *to,
                               const struct view_topic **topic, const struct view_partition **found)
{
    char why[512];
    if (topic_name_fault(name, why, sizeof why) != NULL) {
        to->error_message = request_keep(r, bytes_of_string(why));
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    }
    int16_t code = partition_find(r->kafka, view, name, NULL, false, partition, topic, found);
    if (*topic == NULL)
        to->error_message = bytes_of_string("This server does not host this topic-partition.");
    return code;
}

static bool producers_room(struct request *r, struct query_part *part, uint32_t n)
{
    part->producers_max = n;
    part->producers = arena_array(&r->arena, n, sizeof *part->producers);
    return part->producers != NULL;
}

static bool producers_add(struct request *r, struct queries *s, const struct view *view,
                          struct bytes name, int32_t partition, PRODUCERS_PARTITION *to)
{
    const struct view_topic *topic = NULL;
    const struct view_partition *found;
    to->partition_index = partition;
    to->error_code = producers_judge(r, view, name, partition, to, &topic, &found);
    if (to->error_code != 0)
        return true;
    struct query_part *part = query_add(r, s, found->home, &topic->id, partition);
    if (part == NULL || !producers_room(r, part, PRODUCERS_FIRST))
        return false;
    part->response = to;
    return true;
}

static bool producers_plan(struct request *r, struct queries *s, const struct view *view)
{
    const struct describe_producers_request *q = r->body;
    struct describe_producers_response *p = s->response;
    p->topics_n = q->topics_n > 0 ? q->topics_n : 0;
    p->topics = PROTO_NEW(&r->arena, describe_producers_response_topics, p->topics_n);
    if (p->topics == NULL)
        return false;
    for (int32_t i = 0; i < p->topics_n; i++) {
        const struct describe_producers_request_topics *from = &q->topics[i];
        struct describe_producers_response_topics *to = &p->topics[i];
        to->name = from->name;
        to->partitions_n = from->partition_indexes_n > 0 ? from->partition_indexes_n : 0;
        to->partitions =
            PROTO_NEW(&r->arena, describe_producers_response_topics_partitions, to->partitions_n);
        if (to->partitions == NULL)
            return false;
        for (int32_t j = 0; j < to->partitions_n; j++)
            if (!producers_add(r, s, view, from->name, from->partition_indexes[j],
                               &to->partitions[j]))
                return false;
    }
    return true;
}

static bool producers_fill(struct request *r, const struct query_part *part)
{
    PRODUCERS_PARTITION *to = part->response;
    if (part->error != 0) {
        to->error_code = error_kafka(part->error);
        return true;
    }
    to->active_producers =
        PROTO_NEW(&r->arena, describe_producers_response_topics_partitions_active_producers,
                  part->producers_n);
    if (to->active_producers == NULL)
        return false;
    to->active_producers_n = (int32_t)part->producers_n;
    for (uint32_t i = 0; i < part->producers_n; i++) {
        const struct producer_state *from = &part->producers[i];
        to->active_producers[i] = (ACTIVE){from->producer_id,       from->epoch,
                                           from->last_sequence,     from->last_timestamp,
                                           from->coordinator_epoch, from->txn_first_offset};
    }
    return true;
}

static void producers_answer(struct request *r, const struct view *view, struct now now)
{
    struct queries *s = r->work;
    bool is_whole = true, has_memory = true;
    (void)view;
    for (struct query_op *op = s->ops; op != NULL; op = op->next)
        for (struct query_part *part = op->parts; part != NULL && has_memory; part = part->next)
            if (part->producers_n > part->producers_max) {
                is_whole = false;
                has_memory = producers_room(r, part, part->producers_n + PRODUCERS_ROOM_MORE);
            }
    if (has_memory && !is_whole) {
        query_send(r, s, producers_answer, now);
        return;
    }
    for (struct query_op *op = s->ops; op != NULL; op = op->next)
        for (struct query_part *part = op->parts; part != NULL && has_memory; part = part->next)
            has_memory = producers_fill(r, part);
    request_answer(r, has_memory ? s->response : NULL);
}

void describe_producers_start(struct request *r, const struct view *view, struct now now)
{
    struct queries *s =
        queries_new(r, PROTO_NEW(&r->arena, describe_producers_response, 1), QUERY_PRODUCERS);
    if (s == NULL || !producers_plan(r, s, view))
        request_answer(r, NULL);
    else
        query_send(r, s, producers_answer, now);
}

/* ── DescribeLogDirs ── */

#define DIRS_TOPIC     struct describe_log_dirs_response_results_topics
#define DIRS_PARTITION struct describe_log_dirs_response_results_topics_partitions

#define DIRS_RESULT struct describe_log_dirs_response_results

struct log_dirs;

/* One directory of a request. */
struct log_dir_asked {
    struct log_dirs *of;
    struct space_query space;
};

/* One request. Stands in its arena. */
struct log_dirs {
    struct queries *queries;
    struct request *request;
    struct log_dir_asked dirs[];
};

enum { IN_DIR_NOT, IN_DIR, IN_DIR_FUTURE };

/* A partition without a leader is offline as a whole. */
static int is_in_dir(const struct view *view, const struct view_topic *topic, int32_t number,
                     uint8_t dir)
{
    if (number < 0 || number >= topic->partitions_n ||
        topic->partitions[number].leader != view->node_id)
        return IN_DIR_NOT;
    if (topic->partitions[number].dir == dir)
        return IN_DIR;
    return topic->partitions[number].future_dir == dir ? IN_DIR_FUTURE : IN_DIR_NOT;
}

/* Those of one topic that are in directory `dir`; partitions NULL: of all it has. */
static bool dirs_topic(struct request *r, struct queries *s, const struct view *view,
                       const struct view_topic *topic, const int32_t *partitions, int32_t n,
                       uint8_t dir, DIRS_TOPIC *to)
{
    int32_t found_n = 0;
    for (int32_t i = 0; i < n; i++)
        found_n += is_in_dir(view, topic, partitions == NULL ? i : partitions[i], dir) != 0;
    to->partitions_n = 0;
    if (found_n == 0)
        return true;
    to->partitions =
        PROTO_NEW(&r->arena, describe_log_dirs_response_results_topics_partitions, found_n);
    if (to->partitions == NULL)
        return false;
    for (int32_t i = 0; i < n; i++) {
        int32_t number = partitions == NULL ? i : partitions[i];
        int in_dir = is_in_dir(view, topic, number, dir);
        if (in_dir == IN_DIR_NOT)
            continue;
        DIRS_PARTITION *partition = &to->partitions[to->partitions_n++];
        struct query_part *part =
            query_add(r, s, topic->partitions[number].home, &topic->id, number);
        if (part == NULL)
            return false;
        partition->partition_index = number;
        partition->is_future_key = in_dir == IN_DIR_FUTURE;
        part->response = partition;
    }
    return true;
}

static bool dirs_result(struct request *r, struct queries *s, const struct view *view, uint8_t dir,
                        DIRS_RESULT *to)
{
    const struct describe_log_dirs_request *q = r->body;
    bool is_all = q->topics_n < 0;
    int32_t n = is_all ? (int32_t)view->topics_n : q->topics_n;
    to->log_dir = bytes_of_string(view->dirs[dir].path);
    to->total_bytes = to->usable_bytes = -1;
    to->is_cordoned = (view->dirs_cordoned & ~view->dirs_offline) >> dir & 1;
    if (view->dirs_offline >> dir & 1) {
        to->error_code = KAFKA_KAFKA_STORAGE_ERROR;
        return true;
    }
    to->topics = PROTO_NEW(&r->arena, describe_log_dirs_response_results_topics, n);
    to->topics_n = 0;
    for (int32_t i = 0; to->topics != NULL && i < n; i++) {
        const struct describe_log_dirs_request_topics *asked = is_all ? NULL : &q->topics[i];
        const struct view_topic *topic =
            is_all ? view->topics[i] : view_topic_by_name(view, asked->topic);
        DIRS_TOPIC *topic_to = &to->topics[to->topics_n];
        if (topic == NULL)
            continue;
        if (!dirs_topic(r, s, view, topic, is_all ? NULL : asked->partitions,
                        is_all ? topic->partitions_n : asked->partitions_n, dir, topic_to))
            return false;
        if (topic_to->partitions_n == 0)
            continue;
        topic_to->name = is_all ? request_keep(r, topic->name) : asked->topic;
        to->topics_n++;
    }
    return to->topics != NULL;
}

static bool dirs_plan(struct request *r, struct queries *s, const struct view *view)
{
    struct describe_log_dirs_response *p = s->response;
    p->results = PROTO_NEW(&r->arena, describe_log_dirs_response_results, view->dirs_n);
    p->results_n = view->dirs_n;
    for (uint8_t i = 0; p->results != NULL && i < view->dirs_n; i++)
        if (!dirs_result(r, s, view, i, &p->results[i]))
            return false;
    return p->results != NULL;
}

static void dirs_space_done(struct space_query *space, struct now now)
{
    (void)now;
    request_op_end(container_of(space, struct log_dir_asked, space)->of->request);
}

static void dirs_fill(const struct query_part *part)
{
    DIRS_PARTITION *to = part->response;
    uint64_t bytes = to->is_future_key ? part->future_bytes : part->bytes;
    to->partition_size = (int64_t)min_u64(bytes, INT64_MAX);
    if (to->is_future_key)
        to->offset_lag = part->future_lag;
}

static void dirs_answer(struct request *r, const struct view *view, struct now now)
{
    struct log_dirs *d = r->work;
    struct describe_log_dirs_response *p = d->queries->response;
    (void)view, (void)now;
    for (struct query_op *op = d->queries->ops; op != NULL; op = op->next)
        for (struct query_part *part = op->parts; part != NULL; part = part->next)
            dirs_fill(part);
    for (int32_t i = 0; i < p->results_n; i++) {
        p->results[i].total_bytes = d->dirs[i].space.total_bytes;
        p->results[i].usable_bytes = d->dirs[i].space.usable_bytes;
    }
    request_answer(r, p);
}

static void dirs_ask_space(struct request *r, struct log_dirs *d, const struct view *view)
{
    for (uint8_t i = 0; i < view->dirs_n; i++) {
        struct store *store = store_of_dir(r->kafka->store, i);
        d->dirs[i].of = d;
        d->dirs[i].space = (struct space_query){-1, -1, dirs_space_done};
        if (store == NULL || view->dirs_offline >> i & 1)
            continue;
        request_op_begin(r);
        if (store_space(store, &d->dirs[i].space) != E_AGAIN)
            r->ops_n--; /* told at once; nothing waits yet that request_op_end would run */
    }
}

void describe_log_dirs_start(struct request *r, const struct view *view, struct now now)
{
    struct queries *s =
        queries_new(r, PROTO_NEW(&r->arena, describe_log_dirs_response, 1), QUERY_BYTES);
    struct log_dirs *d =
        arena_alloc(&r->arena, sizeof *d + view->dirs_n * sizeof(struct log_dir_asked));
    if (s == NULL || d == NULL || !dirs_plan(r, s, view)) {
        request_answer(r, NULL);
        return;
    }
    d->queries = s;
    d->request = r;
    r->work = d;
    dirs_ask_space(r, d, view);
    query_send(r, s, dirs_answer, now);
}
