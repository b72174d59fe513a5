/*
 * fetch.c - Fetch, versions 4-18: read each partition at its home, wait for enough, answer with
 * slices of log pages.
 *
 * Owner: worker.
 *
 *   fetch_start --> fetch_read --one op per home--> fetch_more --enough--> fetch_finish
 *                       ^                              |                        |
 *                       '-- news or time -- fetch_park (park.c)          request_answer
 *
 * Budgets. max_bytes is split over the homes by their number of partitions; the answer then takes
 * partitions in the order of the request while they fit, the first one with data in any case
 * (KIP-74, trap 9). All answers of a worker together hold at most answer_budget_bytes (and one
 * batch each beyond it); fetches that find it used up wait in order of arrival.
 *
 * Answered at once (trap 10): max_wait_ms <= 0, no partition, min_bytes there, any error, a
 * diverging epoch.
 *
 * Sessions (KIP-227, session.c): a request inside one names what changed; what it does not name is
 * read as before, in the session's order. Its answer has the partitions with records, with an error
 * and with a new high watermark or start, and no others. A session is made with the answer to the
 * fetch that asks for one.
 *
 * Not here: rack-aware replicas (one node: RackId is ignored), followers (a replica id gets
 * NOT_LEADER_OR_FOLLOWER).
 */
#include "fetch.h"

enum { FETCH_BUDGET_STEP = 64 * 1024, FETCH_BUDGET_TURN = 256 };

static void fetch_more(struct request *r, const struct view *view, struct now now);
static void fetch_round_more(struct request *r, const struct view *view, struct now now);

/* ── start ── */

static struct read_op *fetch_op(struct request *r, struct fetch *f, uint8_t home)
{
    struct read_op *op = f->ops;
    while (op != NULL && op->home_thread != home)
        op = op->next;
    if (op != NULL)
        return op;
    op = request_lasting(r, sizeof *op);
    if (op == NULL)
        return NULL;
    list_init(&op->link);
    list_init(&op->step_mail.mail.link);
    list_init(&op->cancel_mail.mail.link);
    op->step_mail.op = op->cancel_mail.op = op;
    op->request = r;
    op->home_thread = home;
    op->is_remote = home != r->kafka->config.worker;
    op->is_committed = f->is_committed;
    op->tail = &op->parts;
    *f->ops_tail = op;
    f->ops_tail = &op->next;
    return op;
}

/* What the view says about a partition: a code, or its home. */
static int16_t fetch_judge_asked(const struct request *r, const struct view *view,
                                 const struct fetch_request_topics *topic,
                                 const struct fetch_request_topics_partitions *asked,
                                 struct read_part *part, uint8_t *home)
{
    const struct fetch_request *q = r->body;
    const struct view_topic *found_topic;
    const struct view_partition *found;
    int16_t code = partition_find(r->kafka, view, topic->topic, &topic->topic_id, r->version >= 13,
                                  asked->partition, &found_topic, &found);
    int32_t replica = r->version >= 15 ? q->replica_state.replica_id : q->replica_id;
    if (code == 0 && replica >= 0)
        code = KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (code == 0)
        code = leader_epoch_check(asked->current_leader_epoch, found->leader_epoch);
    if (found != NULL) {
        part->leader = found->leader;
        part->leader_epoch = found->leader_epoch;
        part->topic_id = found_topic->id;
        *home = found->home;
    }
    part->shows_leader =
        r->version >= 16 && found != NULL &&
        (code == KAFKA_NOT_LEADER_OR_FOLLOWER || code == KAFKA_FENCED_LEADER_EPOCH);
    return code;
}

static bool fetch_add(struct request *r, struct fetch *f, const struct view *view,
                      const struct fetch_request_topics *topic,
                      const struct fetch_request_topics_partitions *asked)
{
    uint8_t home = 0;
    struct read_part *part = request_lasting(r, sizeof *part);
    if (part == NULL)
        return false;
    *f->tail = part;
    f->tail = &part->next_asked;
    f->asked_n++;
    part->partition = asked->partition;
    part->offset = asked->fetch_offset;
    part->bytes_max = asked->partition_max_bytes;
    part->last_fetched_epoch = r->version >= 12 ? asked->last_fetched_epoch : -1;
    part->asked_epoch = asked->current_leader_epoch;
    part->code = fetch_judge_asked(r, view, topic, asked, part, &home);
    f->shows_leader |= part->shows_leader && part->leader == view->node_id;
    if (part->code != 0)
        return true;
    part->op = fetch_op(r, f, home);
    if (part->op == NULL)
        return false;
    list_init(&part->wait.link);
    *part->op->tail = part;
    part->op->tail = &part->next;
    part->op->parts_n++;
    f->parts_n++;
    return true;
}

/* A topic of the answer, behind the others; NULL: no memory. */
static struct fetch_topic *fetch_add_topic(struct request *r, struct fetch *f, struct bytes name,
                                           const struct uuid *id)
{
    struct fetch_topic *topic = request_lasting(r, sizeof *topic);
    uint8_t *copy = request_lasting(r, name.n);
    if (topic == NULL || copy == NULL)
        return NULL;
    if (name.n > 0)
        memcpy(copy, name.ptr, name.n);
    topic->name = (struct bytes){copy, name.n};
    topic->id = *id;
    *f->topics_tail = topic;
    f->topics_tail = &topic->next;
    f->topics_n++;
    return topic;
}

/* Everything that lasts: topics, partitions, one operation per home; as far as the turn goes:
 * *is_through. False: no memory. */
static bool fetch_plan(struct request *r, struct fetch *f, const struct view *view,
                       bool *is_through)
{
    const struct fetch_request *q = r->body;
    for (; f->plan_topic < q->topics_n; f->plan_topic++, f->plan_part = -1) {
        const struct fetch_request_topics *from = &q->topics[f->plan_topic];
        if (f->plan_part < 0)
            f->plan_to = fetch_add_topic(r, f, from->topic, &from->topic_id);
        if (f->plan_to == NULL)
            return false;
        f->plan_to->partitions_n = from->partitions_n > 0 ? from->partitions_n : 0;
        int32_t at = f->plan_part < 0 ? 0 : f->plan_part, n = f->plan_to->partitions_n;
        int32_t end = at + request_turns(r->kafka, n - at);
        for (; at < end; at++)
            if (!fetch_add(r, f, view, from, &from->partitions[at]))
                return false;
        f->plan_part = at;
        if (at < n)
            return true;
    }
    *is_through = true;
    return true;
}

/* The same from a session: its partitions in its order, neighbours of one topic together. They stay
 * as they are while this fetch has it. */
static bool fetch_plan_session(struct request *r, struct fetch *f, const struct view *view,
                               bool *is_through)
{
    const struct list *end = &f->session->parts;
    for (f->plan_at = f->plan_at == NULL ? end->next : f->plan_at; f->plan_at != end;
         f->plan_at = f->plan_at->next) {
        if (request_turns(r->kafka, 1) == 0)
            return true;
        struct session_part *part = list_entry(f->plan_at, struct session_part, link);
        struct fetch_request_topics from = {
            .topic = bytes_of(part->topic->name, part->topic->name_n), .topic_id = part->topic->id};
        struct fetch_request_topics_partitions asked = {
            .partition = part->partition,
            .fetch_offset = part->offset,
            .partition_max_bytes = part->bytes_max,
            .current_leader_epoch = part->leader_epoch,
            .last_fetched_epoch = part->last_fetched_epoch,
        };
        struct read_part **at = f->tail;
        if (part->topic != f->plan_last)
            f->plan_to = fetch_add_topic(r, f, from.topic, &from.topic_id);
        if (f->plan_to == NULL || !fetch_add(r, f, view, &from, &asked))
            return false;
        f->plan_to->partitions_n++;
        f->plan_last = part->topic;
        (*at)->cached = (uint32_t)(part - r->kafka->sessions->parts);
    }
    *is_through = true;
    return true;
}

static void fetch_plan_more(struct request *r, const struct view *view, struct now now)
{
    struct fetch *f = r->work;
    bool is_through = false;
    if (!(f->session != NULL ? fetch_plan_session(r, f, view, &is_through)
                             : fetch_plan(r, f, view, &is_through))) {
        request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
    } else if (!is_through) {
        request_wait(r, fetch_plan_more);
    } else {
        request_drop_frame(
            r); /* everything kept was copied: a fetch that waits holds no receive memory */
        r->body = NULL;
        fetch_read(r, view, now);
    }
}

static void fetch_refuse(struct request *r, int16_t code)
{
    struct fetch_response *response = PROTO_NEW(&r->arena, fetch_response, 1);
    if (response != NULL)
        response->error_code = code;
    stats_add(r->kafka->stats, STAT_FETCH_ERRORS, 1);
    request_answer(r, response);
}

/* The session is let go, at the latest with the request. */
static void fetch_end_session(struct request *r, struct fetch *f)
{
    if (f->session != NULL)
        session_end(r->kafka->sessions, f->session);
    f->session = NULL;
}

void fetch_start(struct request *r, const struct view *view, struct now now)
{
    const struct fetch_request *q = r->body;
    struct fetch *f = request_lasting(r, sizeof *f);
    if (f == NULL) {
        request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
        return;
    }
    int16_t code =
        session_begin(r->kafka->sessions, q, r->version, now, &f->session, &f->wants_session);
    if (code != KAFKA_NONE) {
        fetch_refuse(r, code);
        return;
    }
    r->work = f;
    f->uses_ids = r->version >= 13;
    f->topics_tail = &f->topics;
    f->tail = &f->parts;
    f->ops_tail = &f->ops;
    f->is_committed = q->isolation_level == 1;
    f->max_bytes = min_u64(q->max_bytes > 0 ? (uint64_t)q->max_bytes : 0,
                           (uint64_t)r->kafka->config.fetch_bytes_max);
    f->min_bytes = min_u64(q->min_bytes > 0 ? (uint64_t)q->min_bytes : 0, f->max_bytes);
    f->deadline_ns = now.ns + (q->max_wait_ms > 0 ? (uint64_t)q->max_wait_ms * NS_PER_MS : 0);
    f->host = listener_host(r);
    f->port = listener_port(r);
    f->node_id = view->node_id;
    f->plan_part = -1;
    fetch_plan_more(r, view, now);
}

/* ── reading ── */

/* The skeleton of the answer: this round's, in the arena. */
static bool fetch_round_begin(struct request *r, struct fetch *f)
{
    f->response = PROTO_NEW(&r->arena, fetch_response, 1);
    struct fetch_response_responses *to =
        PROTO_NEW(&r->arena, fetch_response_responses, f->topics_n);
    if (f->response == NULL || to == NULL)
        return false;
    f->response->responses = to;
    f->response->responses_n = f->topics_n;
    f->round_topic = f->topics;
    f->round_topic_at = 0;
    f->round_part_at = -1;
    f->round_part = f->parts;
    return true;
}

static bool fetch_round_topic(struct request *r, const struct fetch_topic *topic,
                              struct fetch_response_responses *to)
{
    to->topic = topic->name;
    to->topic_id = topic->id;
    to->partitions = PROTO_NEW(&r->arena, fetch_response_responses_partitions, topic->partitions_n);
    to->partitions_n = topic->partitions_n;
    return to->partitions != NULL;
}

/* A result for every partition, as far as the turn goes: *is_through. False: no memory. */
static bool fetch_round(struct request *r, struct fetch *f, bool *is_through)
{
    for (; f->round_topic != NULL;
         f->round_topic = f->round_topic->next, f->round_topic_at++, f->round_part_at = -1) {
        struct fetch_response_responses *to = &f->response->responses[f->round_topic_at];
        if (f->round_part_at < 0 && !fetch_round_topic(r, f->round_topic, to))
            return false;
        int32_t at = f->round_part_at < 0 ? 0 : f->round_part_at;
        int32_t end = at + request_turns(r->kafka, to->partitions_n - at);
        struct read_part *part = f->round_part;
        for (; at < end; at++, part = part->next_asked) {
            part->result = arena_alloc(&r->arena, sizeof *part->result);
            if (part->result == NULL)
                return false;
            part->result->part = part;
            part->result->response = &to->partitions[at];
        }
        f->round_part = part;
        f->round_part_at = at;
        if (at < to->partitions_n)
            return true;
    }
    *is_through = true;
    return true;
}

static uint64_t fetch_budget_left(const struct kafka *k)
{
    uint64_t budget = k->config.answer_budget_bytes;
    return budget > k->answer_bytes ? budget - k->answer_bytes : 0;
}

/* Room for a useful answer, or nothing else under way. */
static bool fetch_has_budget(const struct kafka *k, const struct fetch *f)
{
    return k->answer_bytes == 0 || fetch_budget_left(k) >= min_u64(f->max_bytes, FETCH_BUDGET_STEP);
}

/* What a round may read: a quarter of what is left, so that several are under way at once. It is
 * reserved until the round is over; then only what was found counts. */
static uint64_t fetch_budget(const struct kafka *k, const struct fetch *f)
{
    return min_u64(f->max_bytes, max_u64(fetch_budget_left(k) / 4, FETCH_BUDGET_STEP));
}

int fetch_budget_turn(struct kafka *k, const struct view *view, struct now now)
{
    int done = 0;
    for (; done < FETCH_BUDGET_TURN && !list_is_empty(&k->wait_answer); done++) {
        struct request *r = list_first(&k->wait_answer, struct request, run_link);
        if (!fetch_has_budget(k, r->work))
            break;
        list_del(&r->run_link);
        request_state_set(r, REQUEST_RUNNING);
        fetch_read(r, view, now);
    }
    return done;
}

static void fetch_reserve(struct request *r, uint64_t bytes)
{
    struct kafka *k = r->kafka;
    k->answer_bytes -= r->answer_bytes;
    k->answer_bytes += bytes;
    r->answer_bytes = bytes;
}

static void fetch_op_begin(struct request *r, struct read_op *op, struct now now)
{
    request_op_begin(r);
    op->is_sent = true;
    if (op->is_remote)
        mail_send(r->kafka->post, op->home_thread, MAIL_READ, &op->step_mail.mail);
    else
        read_begin(r->kafka, op, now);
}

void fetch_step(struct request *r, enum read_step step, struct now now)
{
    struct fetch *f = r->work;
    for (struct read_op *op = f->ops; op != NULL; op = op->next) {
        op->step = (uint8_t)step;
        fetch_op_begin(r, op, now);
    }
}

void fetch_read(struct request *r, const struct view *view, struct now now)
{
    struct fetch *f = r->work;
    if (f->parts_n > 0 && !fetch_has_budget(r->kafka, f)) {
        stats_add(r->kafka->stats, STAT_NO_REQUEST_MEMORY, 1);
        r->more = fetch_read;
        request_state_set(r, REQUEST_WAITING);
        list_append(&r->kafka->wait_answer, &r->run_link);
        return;
    }
    if (!fetch_round_begin(r, f))
        request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
    else
        fetch_round_more(r, view, now);
}

static void fetch_round_more(struct request *r, const struct view *view, struct now now)
{
    struct fetch *f = r->work;
    bool is_through = false;
    if (!fetch_round(r, f, &is_through)) {
        request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
        return;
    }
    if (!is_through) {
        request_wait(r, fetch_round_more);
        return;
    }
    uint64_t budget = fetch_budget(r->kafka, f);
    fetch_reserve(r, f->parts_n > 0 ? budget : 0);
    for (struct read_op *op = f->ops; op != NULL; op = op->next)
        op->bytes_max = budget * op->parts_n / f->parts_n;
    fetch_step(r, READ_NOW, now);
    if (r->ops_n > 0)
        request_wait(r, fetch_more);
    else
        fetch_more(r, view, now);
}

/* A step at this worker is over. */
void fetch_op_done(struct read_op *op, struct now now)
{
    (void)now;
    op->is_sent = false;
    request_op_end(op->request);
}

static void fetch_send_release(struct read_op *op)
{
    struct request *r = op->request;
    request_op_begin(r);
    op->is_sent = true;
    mail_send(r->kafka->post, op->home_thread, MAIL_RELEASE, &op->step_mail.mail);
}

void read_mail_back(struct mail *mail, struct now now)
{
    struct read_mail *m = container_of(mail, struct read_mail, mail);
    struct read_op *op = m->op;
    request_stamp(op->request, STAGE_MAILED, now.ns);
    if (m == &op->cancel_mail) {
        op->is_cancelling = false;
        request_op_end(op->request);
        return;
    }
    op->is_sent = false;
    if (op->request->state == REQUEST_RELEASING && op->lent_n > 0)
        fetch_send_release(op); /* the connection went while the read was under way */
    request_op_end(op->request);
}

void release_mail_back(struct mail *mail)
{
    struct read_op *op = container_of(mail, struct read_mail, mail)->op;
    op->is_sent = false;
    request_op_end(op->request);
}

/* ── enough? ── */

/* Decides what the answer carries: in the order of the request while it fits, the first data in any
 * case. */
static void fetch_judge(struct fetch *f)
{
    f->bytes = 0;
    f->has_error = false;
    for (struct read_part *part = f->parts; part != NULL; part = part->next_asked) {
        struct read_result *result = part->result;
        struct slices *records = &result->response->records;
        static const struct slice none;
        *records = (struct slices){(struct slice *)(uintptr_t)&none, 0, 0}; /* empty, not null */
        if (part->code != 0 || result->error != 0 || result->is_diverging) {
            f->has_error = true;
            continue;
        }
        if (!result->is_lent || (f->bytes > 0 && f->bytes + result->read.data.bytes > f->max_bytes))
            continue;
        *records = result->read.data;
        f->bytes += records->bytes;
    }
}

static void fetch_finish(struct request *r);

static void fetch_more(struct request *r, const struct view *view, struct now now)
{
    struct fetch *f = r->work;
    (void)view;
    for (struct read_op *op = f->ops; op != NULL; op = op->next) {
        request_stamp(r, STAGE_ARRIVED, op->arrived_ns);
        request_stamp(r, STAGE_PLACED, op->done_ns);
        if (op->step == READ_NOW)
            request_stall(r, &op->stall);
    }
    fetch_judge(f);
    /* A round whose budget was cut is enough when it found half of that: batches do not fit
     * exactly. */
    uint64_t enough = min_u64(f->min_bytes, r->answer_bytes / 2 + 1);
    if (f->is_last || f->parts_n == 0 || f->has_error || f->bytes >= enough ||
        now.ns >= f->deadline_ns)
        fetch_finish(r);
    else
        fetch_park(r, view, now);
}

/* ── answer ── */

static int16_t fetch_code(const struct read_part *part)
{
    if (part->code != 0)
        return part->code;
    return part->result->error == 0 ? KAFKA_NONE : error_kafka(part->result->error);
}

/* Ordered by first offset, complete for the range (trap 7). */
static bool fetch_aborted_fill(struct request *r, const struct read *read,
                               struct fetch_response_responses_partitions *p)
{
    p->aborted_transactions_n = 0;
    if (p->records.bytes == 0 || read->aborted_n == 0)
        return true;
    p->aborted_transactions = PROTO_NEW(
        &r->arena, fetch_response_responses_partitions_aborted_transactions, read->aborted_n);
    if (p->aborted_transactions == NULL)
        return false;
    p->aborted_transactions_n = (int32_t)read->aborted_n;
    for (uint32_t i = 0; i < read->aborted_n; i++) {
        p->aborted_transactions[i].producer_id = read->aborted[i].producer_id;
        p->aborted_transactions[i].first_offset = read->aborted[i].first_offset;
    }
    return true;
}

/* Of what is not there Apache Kafka answers an empty list of aborted transactions, else null. */
static bool fetch_is_nowhere(int16_t code)
{
    return code == KAFKA_UNKNOWN_TOPIC_OR_PARTITION || code == KAFKA_UNKNOWN_TOPIC_ID;
}

static bool fetch_part_fill(struct request *r, struct fetch *f, struct read_part *part)
{
    const struct read_result *result = part->result;
    struct fetch_response_responses_partitions *p = result->response;
    bool has_offsets = part->code == 0 && result->error == 0;
    p->partition_index = part->partition;
    p->error_code = fetch_code(part);
    p->high_watermark = has_offsets ? result->offsets.high : -1;
    p->last_stable_offset = has_offsets ? result->offsets.stable : -1;
    p->log_start_offset = has_offsets ? result->offsets.start : -1;
    p->aborted_transactions_n = fetch_is_nowhere(p->error_code) ? 0 : -1;
    p->preferred_read_replica = -1;
    if (part->shows_leader) {
        p->current_leader.leader_id = part->leader;
        p->current_leader.leader_epoch = part->leader_epoch;
    }
    if (p->error_code != 0) {
        stats_add(r->kafka->stats, STAT_FETCH_ERRORS, 1);
        return true;
    }
    if (result->is_diverging) {
        p->diverging_epoch.epoch = result->diverging_epoch;
        p->diverging_epoch.end_offset = result->diverging_end;
    }
    return f->is_committed ? fetch_aborted_fill(r, &result->read, p) : true;
}

/* KIP-951: where the leader is, so that the client needs no Metadata round trip. */
static bool fetch_endpoints(struct request *r, struct fetch *f)
{
    if (!f->shows_leader)
        return true;
    struct fetch_response_node_endpoints *node =
        PROTO_NEW(&r->arena, fetch_response_node_endpoints, 1);
    if (node == NULL)
        return false;
    node->node_id = f->node_id;
    node->host = f->host;
    node->port = f->port;
    f->response->node_endpoints = node;
    f->response->node_endpoints_n = 1;
    return true;
}

/* Leaves out of the answer what the session's client knows already. */
static void fetch_leave_out(struct sessions *sessions, struct fetch *f)
{
    struct fetch_response_responses *from = f->response->responses, *to = from;
    struct read_part *part = f->parts;
    for (int32_t i = 0; i < f->topics_n; i++, from++) {
        int32_t n = 0;
        for (int32_t k = 0; k < from->partitions_n; k++, part = part->next_asked) {
            const struct fetch_response_responses_partitions *p = &from->partitions[k];
            bool is_wrong = p->error_code != 0 || part->result->is_diverging;
            if (session_note(f->session, &sessions->parts[part->cached], p->records.bytes > 0,
                             is_wrong, p->high_watermark, p->log_start_offset))
                from->partitions[n++] = *p;
        }
        from->partitions_n = n;
        if (n > 0)
            *to++ = *from;
    }
    f->response->responses_n = (int32_t)(to - f->response->responses);
}

/* The session that the client asked for, when there is room for it. */
static void fetch_make_session(struct request *r, struct fetch *f, struct now now)
{
    struct sessions *sessions = r->kafka->sessions;
    struct session *session = session_new(sessions, f->asked_n, f->uses_ids, now);
    struct read_part *part = f->parts;
    for (const struct fetch_topic *topic = f->topics; session != NULL && topic != NULL;
         topic = topic->next)
        for (int32_t i = 0; i < topic->partitions_n; i++, part = part->next_asked) {
            const struct fetch_response_responses_partitions *p = part->result->response;
            struct session_part *to =
                session_add(sessions, session, topic->name, &topic->id, part->partition);
            if (to == NULL) {
                session_remove(sessions, session);
                return;
            }
            to->offset = part->offset;
            to->bytes_max = part->bytes_max;
            to->leader_epoch = part->asked_epoch;
            to->last_fetched_epoch = part->last_fetched_epoch;
            (void)session_note(session, to, p->records.bytes > 0,
                               p->error_code != 0 || part->result->is_diverging, p->high_watermark,
                               p->log_start_offset);
        }
    if (session != NULL)
        f->response->session_id = session->id;
}

static void fetch_finish(struct request *r)
{
    struct fetch *f = r->work;
    bool is_filled = fetch_endpoints(r, f);
    for (struct read_part *part = f->parts; part != NULL && is_filled; part = part->next_asked)
        is_filled = fetch_part_fill(r, f, part);
    if (is_filled && f->session != NULL) {
        f->response->session_id = f->session->id;
        fetch_leave_out(r->kafka->sessions, f);
    } else if (is_filled && f->wants_session) {
        fetch_make_session(r, f, r->kafka->now);
    }
    fetch_end_session(r, f);
    fetch_reserve(r, f->bytes);
    stats_add(r->kafka->stats, STAT_FETCH_BYTES, f->bytes);
    request_answer(r, is_filled ? f->response : NULL);
}

/* ── the end ── */

void fetch_give_back(struct request *r)
{
    struct fetch *f = r->work;
    for (struct read_op *op = f->ops; op != NULL; op = op->next) {
        if (op->is_sent || op->lent_n == 0)
            continue;
        if (op->is_remote)
            fetch_send_release(op);
        else
            read_give_back(op);
    }
}

/* Sent, or the connection is gone: pages go back to their homes, waits end. What another worker has
 * comes back by itself. */
void fetch_release(struct request *r, struct now now)
{
    struct fetch *f = r->work;
    if (f == NULL)
        return;
    fetch_end_session(r, f);
    fetch_stop(r, now);
    for (struct read_op *op = f->ops; op != NULL; op = op->next) {
        if (!op->is_sent || op->is_remote)
            continue;
        read_abort(op);
        op->is_sent = false;
        request_op_end(r);
    }
    fetch_give_back(r);
}
