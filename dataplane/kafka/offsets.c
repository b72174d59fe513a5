/*
 * offsets.c - ListOffsets, versions 1-11, and OffsetForLeaderEpoch, versions 2-4: questions to logs
 * at their homes.
 *
 * Owner: worker (the request); home worker (query_time, query_epoch).
 *
 * Timestamps of ListOffsets: -1 latest (high watermark; last stable offset with isolation
 * read_committed), -2 earliest, -3 record with the largest timestamp (v7), -4 earliest local (v8; =
 * earliest, nothing is tiered), -5 latest tiered (v9; none: -1), -6 earliest pending upload (v11;
 * none: -1), >= 0 first record at or after it. Others, and those newer than the request's version:
 * UNSUPPORTED_VERSION (35). A partition named twice: 42, both times.
 *
 * A search by time runs on the bulk thread over files; everything else is known at once.
 */
#include "hash.h"
#include "ops.h"

enum {
    TIME_EARLIEST_LOCAL = -4,
    TIME_LATEST_TIERED = -5,
    TIME_EARLIEST_PENDING = -6,
    EPOCHS_WALK_MAX =
        64, /* a log has an epoch per unclean start with appends: rarely more than a few */
};

/* ── home side ── */

/* The epoch that wrote `offset`: down from the newest, each step to the epoch below; -1 when it is
 * not known. */
static int32_t query_epoch_of(const struct plog *log, int64_t offset)
{
    int32_t epoch, below;
    int64_t end, start;
    plog_epoch_end(log, plog_epoch(log), &epoch, &end);
    for (int i = 0; i < EPOCHS_WALK_MAX && epoch >= 0; i++) {
        if (epoch == 0)
            return 0;
        plog_epoch_end(log, epoch - 1, &below,
                       &start); /* where the epoch below ends, this one starts */
        if (below < 0 || start <= offset)
            return epoch;
        epoch = below;
    }
    return -1;
}

static void query_time_done(struct time_query *query, struct now now)
{
    struct query_part *part = container_of(query, struct query_part, query);
    part->error = query->error;
    if (query->error == 0 && query->offset >= 0 && query->offset < part->offset_limit) {
        part->offset = query->offset;
        part->timestamp_ms = query->timestamp_ms;
        part->found_epoch = query->epoch;
    }
    query_over(part->op, now);
}

void query_time(struct query_part *part, struct plog *log, struct now now)
{
    struct plog_offsets o;
    plog_offsets(log, &o);
    part->offset_limit = part->op->is_committed ? o.stable : o.high;
    switch (part->time_ms) {
    case TIME_LATEST:
        part->offset = part->offset_limit;
        part->found_epoch = plog_epoch(log);
        return;
    case TIME_EARLIEST:
    case TIME_EARLIEST_LOCAL:
        part->offset = o.start;
        part->found_epoch = query_epoch_of(log, o.start);
        return;
    case TIME_LATEST_TIERED:
    case TIME_EARLIEST_PENDING: return;
    default:
        part->op->pending_n++;
        part->query =
            (struct time_query){.time_ms = part->time_ms, .offset = -1, .done = query_time_done};
        plog_time_query(log, &part->query, now);
    }
}

/* KIP-101, KIP-320: where the epoch ended, as far as this log knows it. */
void query_epoch(struct query_part *part, struct plog *log)
{
    struct plog_offsets o;
    plog_offsets(log, &o);
    if (part->epoch == plog_epoch(log)) {
        part->found_epoch = part->epoch;
        part->offset = o.end;
    } else if (part->epoch < plog_epoch(log)) {
        plog_epoch_end(log, part->epoch, &part->found_epoch, &part->offset);
    }
}

/* ── the request's side ── */

/* A question to a log; *code is set when it needs none. NULL with *code 0: no memory. */
static struct query_part *query_find(struct request *r, struct queries *s, const struct view *view,
                                     struct bytes topic, int32_t partition, int32_t current_epoch,
                                     int16_t *code)
{
    const struct view_topic *found_topic;
    const struct view_partition *found;
    *code = partition_find(r->kafka, view, topic, NULL, false, partition, &found_topic, &found);
    if (*code == 0)
        *code = leader_epoch_check(current_epoch, found->leader_epoch);
    return *code != 0 ? NULL : query_add(r, s, found->home, &found_topic->id, partition);
}

/* ── ListOffsets ── */

static bool list_offsets_time_is_served(int64_t time_ms, int16_t version)
{
    if (time_ms >= TIME_EARLIEST)
        return true;
    return (time_ms == TIME_MAX_TIMESTAMP && version >= 7) ||
           (time_ms == TIME_EARLIEST_LOCAL && version >= 8) ||
           (time_ms == TIME_LATEST_TIERED && version >= 9) ||
           (time_ms == TIME_EARLIEST_PENDING && version >= 11);
}

/* Partitions seen in this request: open addressing over response slots. */
struct seen {
    struct list_offsets_response_topics_partitions **v;
    struct bytes *names;
    uint32_t mask;
};

static bool seen_init(struct seen *seen, struct arena *arena, const struct list_offsets_request *q)
{
    uint64_t n = 0, size = 16;
    for (int32_t i = 0; i < q->topics_n; i++)
        n += q->topics[i].partitions_n > 0 ? (uint64_t)q->topics[i].partitions_n : 0;
    while (size < 2 * n)
        size *= 2;
    seen->v = arena_array(arena, size, sizeof *seen->v);
    seen->names = arena_array(arena, size, sizeof *seen->names);
    seen->mask = (uint32_t)size - 1;
    return seen->v != NULL && seen->names != NULL;
}

/* The earlier entry for the same partition, or NULL after noting this one. */
static struct list_offsets_response_topics_partitions *seen_note(
    struct seen *seen, struct bytes name, struct list_offsets_response_topics_partitions *p,
    uint64_t seed)
{
    uint64_t h = hash_bytes(name.ptr, name.n, seed ^ (uint32_t)p->partition_index);
    for (uint32_t at = (uint32_t)h & seen->mask;; at = (at + 1) & seen->mask) {
        if (seen->v[at] == NULL) {
            seen->v[at] = p;
            seen->names[at] = name;
            return NULL;
        }
        if (seen->v[at]->partition_index == p->partition_index &&
            bytes_equal(seen->names[at], name))
            return seen->v[at];
    }
}

static bool list_offsets_add(struct request *r, struct queries *s, const struct view *view,
                             struct bytes topic,
                             const struct list_offsets_request_topics_partitions *asked,
                             struct list_offsets_response_topics_partitions *to)
{
    int16_t code;
    if (!list_offsets_time_is_served(asked->timestamp, r->version)) {
        to->error_code = KAFKA_UNSUPPORTED_VERSION;
        return true;
    }
    struct query_part *part =
        query_find(r, s, view, topic, asked->partition_index, asked->current_leader_epoch, &code);
    to->error_code = code;
    if (part == NULL)
        return code != 0;
    part->time_ms = asked->timestamp;
    part->response = to;
    return true;
}

static bool list_offsets_plan(struct request *r, struct queries *s, const struct view *view)
{
    const struct list_offsets_request *q = r->body;
    struct list_offsets_response *p = s->response;
    struct seen seen;
    p->topics_n = q->topics_n > 0 ? q->topics_n : 0;
    p->topics = PROTO_NEW(&r->arena, list_offsets_response_topics, p->topics_n);
    if (p->topics == NULL || !seen_init(&seen, &r->arena, q))
        return false;
    for (int32_t i = 0; i < p->topics_n; i++) {
        const struct list_offsets_request_topics *from = &q->topics[i];
        struct list_offsets_response_topics *to = &p->topics[i];
        to->name = from->name; /* in the frame, which stays until the answer is bytes */
        to->partitions_n = from->partitions_n > 0 ? from->partitions_n : 0;
        to->partitions =
            PROTO_NEW(&r->arena, list_offsets_response_topics_partitions, to->partitions_n);
        if (to->partitions == NULL)
            return false;
        for (int32_t j = 0; j < to->partitions_n; j++) {
            to->partitions[j].partition_index = from->partitions[j].partition_index;
            struct list_offsets_response_topics_partitions *first =
                seen_note(&seen, from->name, &to->partitions[j], view->hash_seed);
            if (first != NULL)
                first->error_code = to->partitions[j].error_code = KAFKA_INVALID_REQUEST;
            else if (!list_offsets_add(r, s, view, from->name, &from->partitions[j],
                                       &to->partitions[j]))
                return false;
        }
    }
    return true;
}

static void list_offsets_answer(struct request *r, const struct view *view, struct now now)
{
    struct queries *s = r->work;
    (void)view, (void)now;
    for (struct query_op *op = s->ops; op != NULL; op = op->next) {
        for (struct query_part *part = op->parts; part != NULL; part = part->next) {
            struct list_offsets_response_topics_partitions *to = part->response;
            if (to->error_code != 0) /* it was named a second time after it was asked */
                continue;
            to->error_code = part->error == 0 ? KAFKA_NONE : error_kafka(part->error);
            to->offset = part->offset;
            to->timestamp = part->timestamp_ms;
            to->leader_epoch = part->found_epoch;
        }
    }
    request_answer(r, s->response);
}

void list_offsets_start(struct request *r, const struct view *view, struct now now)
{
    const struct list_offsets_request *q = r->body;
    struct queries *s = queries_new(r, PROTO_NEW(&r->arena, list_offsets_response, 1), QUERY_TIME);
    if (s != NULL)
        s->is_committed = q->isolation_level == 1;
    if (s == NULL || !list_offsets_plan(r, s, view))
        request_answer(r, NULL);
    else
        query_send(r, s, list_offsets_answer, now);
}

/* ── OffsetForLeaderEpoch ── */

static bool leader_epoch_plan(struct request *r, struct queries *s, const struct view *view)
{
    const struct offset_for_leader_epoch_request *q = r->body;
    struct offset_for_leader_epoch_response *p = s->response;
    p->topics_n = q->topics_n > 0 ? q->topics_n : 0;
    p->topics = PROTO_NEW(&r->arena, offset_for_leader_epoch_response_topics, p->topics_n);
    if (p->topics == NULL)
        return false;
    for (int32_t i = 0; i < p->topics_n; i++) {
        const struct offset_for_leader_epoch_request_topics *from = &q->topics[i];
        struct offset_for_leader_epoch_response_topics *to = &p->topics[i];
        to->topic = from->topic;
        to->partitions_n = from->partitions_n > 0 ? from->partitions_n : 0;
        to->partitions = PROTO_NEW(&r->arena, offset_for_leader_epoch_response_topics_partitions,
                                   to->partitions_n);
        if (to->partitions == NULL)
            return false;
        for (int32_t j = 0; j < to->partitions_n; j++) {
            int16_t code;
            to->partitions[j].partition = from->partitions[j].partition;
            struct query_part *part =
                query_find(r, s, view, from->topic, from->partitions[j].partition,
                           from->partitions[j].current_leader_epoch, &code);
            to->partitions[j].error_code = code;
            if (part == NULL && code == 0)
                return false;
            if (part == NULL)
                continue;
            part->epoch = from->partitions[j].leader_epoch;
            part->response = &to->partitions[j];
        }
    }
    return true;
}

static void leader_epoch_answer(struct request *r, const struct view *view, struct now now)
{
    struct queries *s = r->work;
    (void)view, (void)now;
    for (struct query_op *op = s->ops; op != NULL; op = op->next) {
        for (struct query_part *part = op->parts; part != NULL; part = part->next) {
            struct offset_for_leader_epoch_response_topics_partitions *to = part->response;
            to->error_code = part->error == 0 ? KAFKA_NONE : error_kafka(part->error);
            to->leader_epoch = part->found_epoch;
            to->end_offset = part->offset;
        }
    }
    request_answer(r, s->response);
}

void leader_epoch_start(struct request *r, const struct view *view, struct now now)
{
    struct queries *s =
        queries_new(r, PROTO_NEW(&r->arena, offset_for_leader_epoch_response, 1), QUERY_EPOCH);
    if (s == NULL || !leader_epoch_plan(r, s, view))
        request_answer(r, NULL);
    else
        query_send(r, s, leader_epoch_answer, now);
}
