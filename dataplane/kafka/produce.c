/*
 * produce.c - Produce, versions 3-13: one batch per partition to its log, answered when as safe as
 * acks asks.
 *
 * Owner: worker.
 *
 *   produce_start --one append op per home--> produce_placed (the frame's bytes go)
 *                                         '-> produce_done --all back--> produce_answer
 *
 * Refused before any log is asked: acks not in -1, 0, 1 (21); a transactional id (53: fatal for the
 * Java client and librdkafka, so they do not retry for ever; transactions are not served yet);
 * unknown topic, partition (3) or topic id (100, v13); an internal topic (17, as Apache Kafka, but
 * for the admin client's own id); no leader here (6, with CurrentLeader from v10, KIP-951; no
 * NodeEndpoints, since the only node is not it); null or empty records (87). The base offset is -1
 * in every error.
 *
 * acks=0 has no answer; when a batch is refused the connection is closed, so that the client
 * notices (trap 11). A timeout_ms below PRODUCE_TIMEOUT_MIN_MS is raised to it: in Apache Kafka 0
 * is enough for acks=-1 when there is one replica, here it would always run out before the flush.
 */
#include "batch.h"
#include "ops.h"

enum { PRODUCE_TIMEOUT_MIN_MS = 1000, PRODUCE_TIMEOUT_MAX_MS = 15 * 60 * 1000 };

/* One Produce. Stands in the request's arena. */
struct produce {
    struct produce_response response;
    uint32_t ops_n, placed_n;
    uint64_t deadline_ns;
    bool has_error;
    int16_t acks, code; /* code: of every partition, or 0 */
    /* While it is planned: the partition that comes next; -1: its topic comes first. */
    int32_t topic_at, part_at;
    /* While the answer is filled: what comes next. */
    uint32_t fill_home;
    struct append_part *fill_part;
    struct append_op *ops[]; /* by home thread; NULL for none */
};

static void produce_answer(struct request *r, const struct view *view, struct now now);

/* ── what is refused at once ── */

static int16_t produce_check(const struct request *r, const struct view_topic *topic,
                             const struct slices *records)
{
    if (topic->is_internal && !bytes_equal_string(r->client_id, "__admin_client"))
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    return records->bytes == 0 ? KAFKA_INVALID_RECORD : KAFKA_NONE;
}

static void produce_refuse(struct request *r, struct produce *p,
                           struct produce_response_responses_partition_responses *response,
                           int16_t code)
{
    response->error_code = code;
    response->base_offset = -1;
    p->has_error = true;
    stats_add(r->kafka->stats, STAT_PRODUCE_ERRORS, 1);
}

/* ── start ── */

static struct append_op *produce_op(struct request *r, struct produce *p, uint8_t home)
{
    if (p->ops[home] != NULL)
        return p->ops[home];
    struct append_op *op = arena_alloc(&r->arena, sizeof *op);
    if (op == NULL)
        return NULL;
    list_init(&op->link);
    list_init(&op->place.mail.link);
    list_init(&op->wait.mail.link);
    timer_init(&op->timer, NULL);
    op->place.op = op->wait.op = op;
    op->request = r;
    op->home_thread = home;
    op->is_remote = home != r->kafka->config.worker;
    op->acks = p->acks;
    op->version = r->version;
    op->deadline_ns = p->deadline_ns;
    op->tail = &op->parts;
    p->ops[home] = op;
    p->ops_n++;
    return op;
}

static bool produce_add(struct request *r, struct produce *p, const struct view *view,
                        const struct produce_request_topic_data *topic,
                        const struct produce_request_topic_data_partition_data *from,
                        struct produce_response_responses_partition_responses *response)
{
    const struct view_topic *found_topic;
    const struct view_partition *found;
    response->index = from->index;
    int16_t code = partition_find(r->kafka, view, topic->name, &topic->topic_id, r->version >= 13,
                                  from->index, &found_topic, &found);
    if (code == KAFKA_NOT_LEADER_OR_FOLLOWER && r->version >= 10) {
        response->current_leader.leader_id = found->leader;
        response->current_leader.leader_epoch = found->leader_epoch;
    }
    if (code == 0)
        code = produce_check(r, found_topic, &from->records);
    if (code != 0) {
        produce_refuse(r, p, response, code);
        return true;
    }
    struct append_op *op = produce_op(r, p, found->home);
    struct append_part *part = op == NULL ? NULL : arena_alloc_raw(&r->arena, sizeof *part);
    if (part == NULL)
        return false;
    memset(part, 0, offsetof(struct append_part, reason)); /* the text is long, and seldom there */
    part->reason[0] = '\0';
    part->op = op;
    part->topic_id = found_topic->id;
    part->partition = from->index;
    part->records = &from->records;
    part->response = response;
    *op->tail = part;
    op->tail = &part->next;
    return true;
}

/* The attributes of the first batch say that it belongs to a transaction. */
static bool produce_is_transactional(const struct slices *records)
{
    uint8_t attributes[2];
    struct slices_at at = {0, 0};
    if (records->bytes < BATCH_ATTRIBUTES_AT + sizeof attributes)
        return false;
    if (likely(records->v[0].n >= BATCH_ATTRIBUTES_AT + sizeof attributes))
        return (load_u16(records->v[0].ptr + BATCH_ATTRIBUTES_AT) & BATCH_TRANSACTIONAL) != 0;
    slices_skip(records, &at, BATCH_ATTRIBUTES_AT);
    slices_copy(records, &at, attributes, sizeof attributes);
    return (load_u16(attributes) & BATCH_TRANSACTIONAL) != 0;
}

static bool produce_has_transactional(const struct produce_request *q)
{
    for (int32_t i = 0; i < q->topic_data_n; i++)
        for (int32_t j = 0; j < q->topic_data[i].partition_data_n; j++)
            if (produce_is_transactional(&q->topic_data[i].partition_data[j].records))
                return true;
    return false;
}

/* A reason to refuse every partition alike, or 0. */
static int16_t produce_check_all(const struct produce_request *q)
{
    if (q->acks < -1 || q->acks > 1)
        return KAFKA_INVALID_REQUIRED_ACKS;
    /* Batches of a transaction without its id are refused as those of one that the client may not
     * use. */
    if (q->transactional_id.ptr != NULL || produce_has_transactional(q))
        return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    return KAFKA_NONE;
}

static bool produce_plan_begin(struct request *r, struct produce *p)
{
    const struct produce_request *q = r->body;
    int32_t topics_n = q->topic_data_n > 0 ? q->topic_data_n : 0;
    p->code = produce_check_all(q);
    p->part_at = -1;
    struct produce_response_responses *topics =
        arena_alloc_raw(&r->arena, (uint64_t)topics_n * sizeof *topics);
    if (topics == NULL)
        return false;
    PROTO_INIT(&p->response, produce_response);
    p->response.responses = topics;
    p->response.responses_n = topics_n;
    return true;
}

/* The skeleton of one topic's answer. */
static bool produce_plan_topic(struct request *r, const struct produce_request_topic_data *from,
                               struct produce_response_responses *to)
{
    int32_t n = from->partition_data_n > 0 ? from->partition_data_n : 0;
    *to = (struct produce_response_responses){
        .name = request_keep(r, from->name),
        .topic_id = from->topic_id,
        .partition_responses =
            arena_alloc_raw(&r->arena, (uint64_t)n * sizeof *to->partition_responses),
        .partition_responses_n = n};
    return to->partition_responses != NULL && (from->name.ptr == NULL || to->name.ptr != NULL);
}

/* The skeleton of the answer and the batches by home, as far as the turn goes: *is_through. False:
 * no memory. */
static bool produce_plan(struct request *r, struct produce *p, const struct view *view,
                         bool *is_through)
{
    const struct produce_request *q = r->body;
    *is_through = false;
    for (; p->topic_at < p->response.responses_n; p->topic_at++, p->part_at = -1) {
        const struct produce_request_topic_data *from = &q->topic_data[p->topic_at];
        struct produce_response_responses *to = &p->response.responses[p->topic_at];
        if (p->part_at < 0 && !produce_plan_topic(r, from, to))
            return false;
        int32_t at = p->part_at < 0 ? 0 : p->part_at;
        int32_t end = at + request_turns(r->kafka, to->partition_responses_n - at);
        for (; at < end; at++) {
            struct produce_response_responses_partition_responses *part =
                &to->partition_responses[at];
            PROTO_INIT(part, produce_response_responses_partition_responses);
            part->index = from->partition_data[at].index;
            if (p->code != 0)
                produce_refuse(r, p, part, p->code);
            else if (!produce_add(r, p, view, from, &from->partition_data[at], part))
                return false;
        }
        p->part_at = at;
        if (at < to->partition_responses_n)
            return true;
    }
    *is_through = true;
    return true;
}

/* Gives the operations to their homes. Two mails each: what is placed and what is safe are two
 * answers. */
static void produce_begin(struct request *r, struct produce *p, struct now now)
{
    struct kafka *k = r->kafka;
    for (uint32_t home = 0; home < k->config.workers_n; home++) {
        struct append_op *op = p->ops[home];
        if (op == NULL)
            continue;
        request_op_begin(r);
        if (!op->is_remote) {
            op->wait_came = true;
            append_begin(k, op, now);
            continue;
        }
        mail_send(k->post, op->home_thread, MAIL_APPEND, &op->place.mail);
        if (op->acks != 0)
            mail_send(k->post, op->home_thread, MAIL_APPEND, &op->wait.mail);
    }
}

/* A request with very many partitions takes turns; meanwhile no other of its connection begins, so
 * that none passes it on the way to the logs. */
static void produce_plan_more(struct request *r, const struct view *view, struct now now)
{
    struct produce *p = r->work;
    struct kafka_conn *conn = r->conn;
    bool is_through;
    if (!produce_plan(r, p, view, &is_through)) {
        request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
        return;
    }
    if (!is_through) {
        conn->planning = r;
        request_wait(r, produce_plan_more);
        return;
    }
    if (conn->planning != NULL) {
        conn->planning = NULL;
        conn_ready_again(conn->conn);
    }
    request_op_begin(r); /* held here, so that the last op cannot finish the request in the loop */
    request_wait(r, produce_answer);
    produce_begin(r, p, now);
    if (p->ops_n == 0)
        request_drop_frame(r);
    request_op_end(r);
}

static struct produce *produce_new(struct request *r)
{
    uint32_t homes_n = r->kafka->config.workers_n;
    struct produce *p = arena_alloc_raw(&r->arena, sizeof *p + homes_n * sizeof *p->ops);
    if (p == NULL)
        return NULL;
    memset(p, 0, sizeof *p);
    for (uint32_t i = 0; i < homes_n; i++)
        p->ops[i] = NULL;
    return p;
}

void produce_start(struct request *r, const struct view *view, struct now now)
{
    const struct produce_request *q = r->body;
    struct produce *p = produce_new(r);
    if (p == NULL) {
        request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
        return;
    }
    int64_t timeout_ms =
        min_i64(max_i64(q->timeout_ms, PRODUCE_TIMEOUT_MIN_MS), PRODUCE_TIMEOUT_MAX_MS);
    p->deadline_ns = now.ns + (uint64_t)timeout_ms * NS_PER_MS;
    p->acks = q->acks;
    if (!produce_plan_begin(r, p)) {
        request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
        return;
    }
    r->work = p;
    produce_plan_more(r, view, now);
}

/* ── operations ── */

void produce_placed(struct append_op *op, struct now now)
{
    struct request *r = op->request;
    struct produce *p = r->work;
    (void)now;
    request_stamp(r, STAGE_ARRIVED, op->arrived_ns);
    request_stamp(r, STAGE_PLACED, op->placed_ns);
    if (++p->placed_n == p->ops_n)
        request_drop_frame(r);
}

/* Nothing of the op is in another thread's hands any more. */
void produce_done(struct append_op *op, struct now now)
{
    struct request *r = op->request;
    struct stats *stats = r->kafka->stats;
    (void)now;
    request_stamp(r, STAGE_WRITTEN, op->written_ns);
    request_stamp(r, STAGE_FLUSHING, op->flushing_ns);
    request_stamp(r, STAGE_FLUSHED, op->flushed_ns);
    request_stall(r, &op->stall);
    stats_add(stats, STAT_PRODUCE_BYTES, op->bytes);
    stats_add(stats, STAT_PRODUCE_BATCHES, op->batches_n);
    stats_add(stats, STAT_PRODUCE_RECORDS, op->records_n);
    request_op_end(r);
}

void produce_release(struct request *r, struct now now)
{
    struct produce *p = r->work;
    if (p == NULL)
        return;
    /* What other workers have comes back by itself, at the latest at its deadline. What is queued
     * here is still appended: the client sent it in good faith, and with acks=0 may have closed
     * right after. */
    struct append_op *op = p->ops[r->kafka->config.worker];
    if (op != NULL && !op->is_done)
        append_abandon(op, now);
}

/* ── answer ── */

static bool produce_part_reason(struct request *r, const struct append_part *part)
{
    struct produce_response_responses_partition_responses *response = part->response;
    if (r->version < 8 || (part->reason[0] == '\0' && part->bad_record_at < 0))
        return true;
    struct bytes reason = bytes_of(part->reason, strnlen(part->reason, sizeof part->reason));
    response->error_message = reason;
    if (part->bad_record_at < 0)
        return true;
    response->record_errors =
        PROTO_NEW(&r->arena, produce_response_responses_partition_responses_record_errors, 1);
    if (response->record_errors == NULL)
        return false;
    response->record_errors_n = 1;
    response->record_errors[0].batch_index = part->bad_record_at;
    response->record_errors[0].batch_index_error_message = reason;
    response->error_message = bytes_of_string("One or more records have been rejected");
    return true;
}

static bool produce_part_fill(struct request *r, struct produce *p, struct append_part *part)
{
    struct produce_response_responses_partition_responses *response = part->response;
    response->log_start_offset = part->start_offset;
    if (part->error != 0) {
        produce_refuse(r, p, response, error_kafka(part->error));
        return produce_part_reason(r, part);
    }
    response->base_offset = part->base_offset;
    response->log_append_time_ms = part->log_append_ms;
    return true;
}

/* p->fill_part is the next of all homes' partitions; false: there is none. */
static bool produce_fill_next(const struct request *r, struct produce *p)
{
    while (p->fill_part == NULL && p->fill_home < r->kafka->config.workers_n) {
        const struct append_op *op = p->ops[p->fill_home++];
        p->fill_part = op == NULL ? NULL : op->parts;
    }
    return p->fill_part != NULL;
}

static void produce_answer(struct request *r, const struct view *view, struct now now)
{
    struct produce *p = r->work;
    bool is_filled = true;
    (void)view, (void)now;
    while (is_filled && produce_fill_next(r, p)) {
        if (request_turns(r->kafka, 1) == 0) {
            request_wait(r, produce_answer);
            return;
        }
        is_filled = produce_part_fill(r, p, p->fill_part);
        p->fill_part = p->fill_part->next;
    }
    if (p->acks != 0) {
        request_answer(r, is_filled ? &p->response : NULL);
        return;
    }
    bool has_error = p->has_error;
    struct conn *conn = r->conn->conn;
    request_skip(r);
    if (has_error)
        conn_close(conn, CONN_END_ACKS0);
}
