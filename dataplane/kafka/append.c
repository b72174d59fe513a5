/*
 * append.c - appends at the home worker: one queue, placed in order of arrival, then waited for.
 *
 * Owner: home worker.
 *
 * The queue holds the operations of this worker's own requests and those of other workers, as they
 * came. Only its head is placed; a log store without room (E_AGAIN) stops the queue, not a
 * partition: the tail budget is the store's. So batches for a partition reach its log in the order
 * their requests came, whatever waits.
 *
 * An operation ends when each batch is as safe as acks asks: 0 placed; 1 written; -1 written, then
 * visible (PLOG_HIGH: durable, or written in relaxed logs). At its deadline what is not that far is
 * E_TIMED_OUT; batches already placed stay in the log, as with Apache Kafka.
 */
#include "ops.h"

static void append_done(struct append_op *op, struct now now)
{
    check(!op->is_done && op->is_placed && op->waiting_n == 0);
    op->is_done = true;
    timer_stop(op->home->timers, &op->timer);
    op->home->home_ops_n--;
    if (op->is_remote)
        mail_answer(op->home->post, &op->wait.mail);
    else
        produce_done(op, now);
}

/* ── waiting ── */

static void append_wake(struct plog_wait *wait, int error, struct now now);

/* A mark was reached at `now`: which stage is that? */
static void append_stamp(struct append_part *part, uint8_t mark, struct now now)
{
    struct append_op *op = part->op;
    if (mark == PLOG_WRITTEN)
        op->written_ns = max_u64(op->written_ns, now.ns);
    if (mark == PLOG_WRITTEN || plog_durability(part->log) != STORE_GROUP)
        return;
    op->flushing_ns = max_u64(op->flushing_ns, store_flush_began_ns(op->home->store));
    op->flushed_ns = max_u64(op->flushed_ns, now.ns);
}

/* Registers what the partition waits for next; true when there is nothing more. */
static bool append_part_wait(struct append_part *part, uint8_t mark, struct now now)
{
    struct append_op *op = part->op;
    for (;; mark = PLOG_HIGH) {
        part->wait =
            (struct plog_wait){.mark = mark, .offset = part->last_offset + 1, .wake = append_wake};
        list_init(&part->wait.link);
        if (!plog_wait(part->log, &part->wait)) {
            part->is_waiting = true;
            return false;
        }
        append_stamp(part, mark, now);
        if (mark == PLOG_HIGH || op->acks != -1)
            return true;
    }
}

static void append_wake(struct plog_wait *wait, int error, struct now now)
{
    struct append_part *part = container_of(wait, struct append_part, wait);
    struct append_op *op = part->op;
    uint8_t mark = wait->mark;
    part->is_waiting = false;
    if (error != 0) {
        part->error = error;
    } else {
        append_stamp(part, mark, now);
        if (mark == PLOG_WRITTEN && op->acks == -1 && !append_part_wait(part, PLOG_HIGH, now))
            return;
    }
    check(op->waiting_n > 0);
    if (--op->waiting_n == 0)
        append_done(op, now);
}

void append_wait_begin(struct append_op *op, struct now now)
{
    op->wait_came = true;
    if (!op->is_placed)
        return;
    op->waiting_n =
        1; /* held here, so that a wait that is over at once does not end the op in the loop */
    for (struct append_part *part = op->parts; part != NULL; part = part->next) {
        if (part->error != 0 || op->is_timed_out || op->is_abandoned || op->acks == 0)
            continue;
        if (!append_part_wait(part, PLOG_WRITTEN, now))
            op->waiting_n++;
    }
    if (--op->waiting_n == 0)
        append_done(op, now);
}

static void append_wait_end(struct append_op *op, int error)
{
    for (struct append_part *part = op->parts; part != NULL; part = part->next) {
        if (!part->is_waiting)
            continue;
        plog_wait_cancel(&part->wait);
        part->is_waiting = false;
        part->error = error;
        op->waiting_n--;
    }
}

/* ── placing ── */

/* 0 when the partition is dealt with, E_AGAIN when the store has no room now. */
static int append_part_place(struct kafka *k, struct append_part *part, struct now now)
{
    struct append append = {.from = part->records,
                            .bytes = (uint32_t)part->records->bytes,
                            .request_version = part->op->version,
                            .start_offset = -1,
                            .log_append_ms = -1,
                            .bad_record_at = -1};
    part->log = store_log_find(k->store, &part->topic_id, part->partition);
    int rc = part->log == NULL ? E_NOT_FOUND : plog_append(part->log, &append, now);
    if (rc == E_AGAIN)
        return rc;
    part->error = rc;
    part->base_offset = append.base_offset;
    part->last_offset = append.last_offset;
    part->log_append_ms = append.log_append_ms;
    part->start_offset = append.start_offset;
    part->bad_record_at = append.bad_record_at;
    memcpy(part->reason, append.reason, sizeof part->reason);
    if (rc != 0)
        return 0;
    k->append_bytes += append.bytes;
    if (!append.is_duplicate) {
        part->op->bytes += append.bytes;
        part->op->batches_n++;
        part->op->records_n += (uint64_t)(append.last_offset - append.base_offset + 1);
    }
    return 0;
}

static void append_placed(struct append_op *op, struct now now)
{
    list_del(&op->link);
    op->is_placed = true;
    op->placed_ns = now.ns;
    if (op->is_remote && op->acks == 0) { /* nothing of it may be touched after the answer */
        op->is_done = true;
        timer_stop(op->home->timers, &op->timer);
        op->home->home_ops_n--;
        mail_answer(op->home->post, &op->place.mail);
        return;
    }
    if (op->is_remote)
        mail_answer(op->home->post, &op->place.mail);
    else
        produce_placed(op, now);
    if (op->wait_came)
        append_wait_begin(op, now);
}

static int appends_run(struct kafka *k, struct now now)
{
    int done = 0;
    while (!list_is_empty(&k->appends)) {
        struct append_op *op = list_first(&k->appends, struct append_op, link);
        for (; op->at != NULL; op->at = op->at->next, done++) {
            if (k->append_bytes >= APPEND_BYTES_TURN)
                return done;
            if (append_part_place(k, op->at, now) == E_AGAIN)
                return done;
        }
        append_placed(op, now);
    }
    return done;
}

int appends_turn(struct kafka *k, struct now now)
{
    return appends_run(k, now);
}

/* The deadline: what is not placed never will be, what is not safe is answered as such. */
static void append_timeout(struct timer *timer, struct now now)
{
    struct append_op *op = container_of(timer, struct append_op, timer);
    op->is_timed_out = true;
    if (!op->is_placed) {
        for (; op->at != NULL; op->at = op->at->next)
            op->at->error = E_TIMED_OUT;
        for (struct append_part *part = op->parts; part != NULL; part = part->next)
            if (part->error == 0)
                part->error = E_TIMED_OUT;
        append_placed(op, now);
        appends_run(op->home, now);
        return;
    }
    append_wait_end(op, E_TIMED_OUT);
    if (op->wait_came)
        append_done(op, now);
}

void append_begin(struct kafka *home, struct append_op *op, struct now now)
{
    op->home = home;
    home->home_ops_n++;
    op->arrived_ns = op->is_remote ? now.ns : 0;
    op->at = op->parts;
    timer_init(&op->timer, append_timeout);
    timer_set(home->timers, &op->timer, op->deadline_ns);
    list_append(&home->appends, &op->link);
    appends_run(home, now);
}

void append_abandon(struct append_op *op, struct now now)
{
    check(!op->is_remote);
    op->is_abandoned = true;
    if (op->is_placed && !op->is_done) {
        append_wait_end(op, E_CLOSED);
        append_done(op, now);
    }
}

/* ── mail ── */

void append_mail_arrive(struct kafka *k, struct mail *mail, struct now now)
{
    struct append_mail *m = container_of(mail, struct append_mail, mail);
    struct append_op *op = m->op;
    if (m == &op->place)
        append_begin(k, op, now);
    else
        append_wait_begin(op, now);
}

void append_mail_back(struct mail *mail, struct now now)
{
    struct append_mail *m = container_of(mail, struct append_mail, mail);
    struct append_op *op = m->op;
    request_stamp(op->request, STAGE_MAILED, now.ns);
    if (m == &op->place) {
        produce_placed(op, now);
        if (op->acks == 0)
            produce_done(op, now);
    } else {
        produce_done(op, now);
    }
}
