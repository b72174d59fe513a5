/*
 * query.c - questions to logs at their homes: one operation per request and home, the same for all
 * kinds.
 *
 * Owner: worker (the request); home worker (query_begin to query_over).
 *
 * Parts that know their answer at once are over when query_begin returns; the others (a search by
 * time on the bulk thread, a start that is being made durable) end later, each through query_over.
 * Questions cannot be taken back: they come back by themselves.
 */
#include "ops.h"

/* ── home side ── */

void query_over(struct query_op *op, struct now now)
{
    (void)now;
    check(op->pending_n > 0);
    if (--op->pending_n > 0)
        return;
    op->home->home_ops_n--;
    if (op->is_remote)
        mail_answer(op->home->post, &op->mail);
    else
        request_op_end(op->request);
}

static void query_deleted(struct start_move *move, int error, struct now now)
{
    struct query_part *part = container_of(move, struct query_part, move);
    part->error = error;
    part->offset = move->start;
    query_over(part->op, now);
}

static void query_delete(struct query_part *part, struct plog *log, struct now now)
{
    part->move = (struct start_move){.offset = part->offset, .done = query_deleted};
    part->op->pending_n++; /* before: it may be over within the call */
    int error = plog_start_move(log, &part->move, now);
    if (error == E_AGAIN)
        return;
    part->op->pending_n--;
    part->error = error;
    part->offset = part->move.start;
}

static void query_bytes(struct query_part *part, const struct plog *log)
{
    uint8_t dir;
    part->bytes = plog_bytes(log);
    part->is_moving = plog_moves_to(log, &dir, &part->future_bytes, &part->future_lag);
}

static void query_part_begin(struct query_part *part, struct plog *log, struct now now)
{
    switch ((enum query_kind)part->op->kind) {
    case QUERY_TIME: query_time(part, log, now); return;
    case QUERY_EPOCH: query_epoch(part, log); return;
    case QUERY_DELETE: query_delete(part, log, now); return;
    case QUERY_PRODUCERS:
        part->producers_n = plog_producers(log, part->producers, part->producers_max);
        return;
    case QUERY_BYTES: query_bytes(part, log); return;
    }
    check(false);
}

void query_begin(struct kafka *home, struct query_op *op, struct now now)
{
    op->home = home;
    home->home_ops_n++;
    op->pending_n = 1;
    for (struct query_part *part = op->parts; part != NULL; part = part->next) {
        struct plog *log = store_log_find(home->store, &part->topic_id, part->partition);
        part->timestamp_ms = part->found_epoch = -1;
        if (log == NULL)
            part->error = E_NOT_FOUND;
        else
            query_part_begin(part, log, now);
    }
    query_over(op, now);
}

void query_mail_arrive(struct kafka *k, struct mail *mail, struct now now)
{
    query_begin(k, container_of(mail, struct query_op, mail), now);
}

/* ── the request's side ── */

void query_mail_back(struct mail *mail, struct now now)
{
    struct query_op *op = container_of(mail, struct query_op, mail);
    request_stamp(op->request, STAGE_MAILED, now.ns);
    request_op_end(op->request);
}

struct queries *queries_new(struct request *r, void *response, enum query_kind kind)
{
    struct queries *s = arena_alloc(&r->arena, sizeof *s);
    if (s == NULL || response == NULL)
        return NULL;
    s->response = response;
    s->ops_tail = &s->ops;
    s->kind = (uint8_t)kind;
    r->work = s;
    return s;
}

static struct query_op *query_op(struct request *r, struct queries *s, uint8_t home)
{
    struct query_op *op = s->ops;
    while (op != NULL && op->home_thread != home)
        op = op->next;
    if (op != NULL)
        return op;
    op = arena_alloc(&r->arena, sizeof *op);
    if (op == NULL)
        return NULL;
    list_init(&op->mail.link);
    op->request = r;
    op->home_thread = home;
    op->is_remote = home != r->kafka->config.worker;
    op->is_committed = s->is_committed;
    op->kind = s->kind;
    op->tail = &op->parts;
    *s->ops_tail = op;
    s->ops_tail = &op->next;
    return op;
}

struct query_part *query_add(struct request *r, struct queries *s, uint8_t home,
                             const struct uuid *topic_id, int32_t partition)
{
    struct query_op *op = query_op(r, s, home);
    struct query_part *part = op == NULL ? NULL : arena_alloc(&r->arena, sizeof *part);
    if (part == NULL)
        return NULL;
    part->op = op;
    part->topic_id = *topic_id;
    part->partition = partition;
    part->offset = -1;
    *op->tail = part;
    op->tail = &part->next;
    return part;
}

void query_send(struct request *r, struct queries *s,
                void (*more)(struct request *, const struct view *, struct now), struct now now)
{
    request_op_begin(r);
    request_wait(r, more);
    for (struct query_op *op = s->ops; op != NULL; op = op->next) {
        request_op_begin(r);
        if (op->is_remote)
            mail_send(r->kafka->post, op->home_thread, MAIL_QUERY, &op->mail);
        else
            query_begin(r->kafka, op, now);
    }
    request_op_end(r);
}

void query_release(struct request *r, struct now now)
{
    (void)r, (void)now;
}
