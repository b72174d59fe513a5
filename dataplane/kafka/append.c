/*
 * append.c - appends at the home worker: one queue, placed in order of arrival, then waited for.
 *
 * Owner: home worker.
 *
 * The queue holds the operations of this worker's own requests and those of other workers, as they
 * came. Where the store has no room for a batch (E_AGAIN), its operation waits; what is behind it
 * may go on when the store has room for that (the classes of topics have different shares of the
 * tail budget) and when it is for none of the partitions that somebody in front waits for. So
 * batches for a partition reach its log in the order their requests came, whatever waits.
 *
 * An operation ends when each batch is as safe as acks asks: 0 placed; 1 written; -1 visible
 * (PLOG_HIGH: durable, or written in relaxed logs). One wait tells: when it was written before it
 * was durable is asked of the log (plog_times). At its deadline what is not that far is
 * E_TIMED_OUT; batches already placed stay in the log, as with Apache Kafka.
 */
#include "ops.h"

/* Behind an operation that waits for room, so many are looked at for one that may go on; and so
 * many partitions of those that wait are remembered. */
enum { APPEND_LOOKS_MAX = 64, APPEND_BLOCKED_MAX = 128 };

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

/* What was waited for is so: when each stage of it was, as the log knows. */
static void append_stamp(struct append_part *part, struct now now)
{
    struct append_op *op = part->op;
    struct plog_times times = plog_times(part->log);
    op->written_ns = max_u64(op->written_ns, times.written_ns);
    if (op->acks != -1 || !times.is_flushed)
        return;
    op->flushing_ns = max_u64(op->flushing_ns, times.flushing_ns);
    op->flushed_ns = max_u64(op->flushed_ns, now.ns);
}

/* True when the partition is as safe as acks asks; else it waits for that. */
static bool append_part_wait(struct append_part *part, struct now now)
{
    part->wait = (struct plog_wait){.mark = part->op->acks == -1 ? PLOG_HIGH : PLOG_WRITTEN,
                                    .offset = part->last_offset + 1,
                                    .wake = append_wake};
    list_init(&part->wait.link);
    part->is_waiting = !plog_wait(part->log, &part->wait);
    if (!part->is_waiting)
        append_stamp(part, now);
    return !part->is_waiting;
}

static void append_wake(struct plog_wait *wait, int error, struct now now)
{
    struct append_part *part = container_of(wait, struct append_part, wait);
    struct append_op *op = part->op;
    part->is_waiting = false;
    if (error != 0)
        part->error = error;
    else
        append_stamp(part, now);
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
        if (!append_part_wait(part, now))
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
    struct append append; /* all of what is told is set by plog_append; the rest is here */
    append.from = part->records;
    append.at = (struct slices_at){0, 0};
    append.bytes = (uint32_t)part->records->bytes;
    append.request_version = part->op->version;
    append.keep_offsets = false;
    part->log = store_log_find(k->store, &part->topic_id, part->partition);
    if (part->log == NULL) {
        part->error = E_NOT_FOUND;
        part->start_offset = part->bad_record_at = -1;
        return 0;
    }
    int rc = plog_append(part->log, &append, now);
    if (rc == E_AGAIN)
        return rc;
    part->error = rc;
    part->base_offset = append.base_offset;
    part->last_offset = append.last_offset;
    part->log_append_ms = append.log_append_ms;
    part->start_offset = append.start_offset;
    part->bad_record_at = append.bad_record_at;
    if (rc != 0) {
        memcpy(part->reason, append.reason, sizeof part->reason);
        return 0;
    }
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

/* Partitions that an operation in front waits for. Owner: one appends_run. */
struct append_blocked {
    uint32_t n;
    const struct append_part *v[APPEND_BLOCKED_MAX];
};

/* The rest of the operation waits: nobody behind it may pass for its partitions. False: they are
 * too many to be remembered. */
static bool append_block(struct append_blocked *blocked, const struct append_op *op)
{
    for (const struct append_part *part = op->at; part != NULL; part = part->next) {
        if (blocked->n == APPEND_BLOCKED_MAX)
            return false;
        blocked->v[blocked->n++] = part;
    }
    return true;
}

static bool append_is_blocked(const struct append_blocked *blocked, const struct append_op *op)
{
    for (const struct append_part *part = op->at; part != NULL && blocked->n > 0; part = part->next)
        for (uint32_t i = 0; i < blocked->n; i++)
            if (blocked->v[i]->partition == part->partition &&
                uuid_equal(&blocked->v[i]->topic_id, &part->topic_id))
                return true;
    return false;
}

/* Places what there is room for. True: the operation is placed whole. */
static bool append_place(struct kafka *k, struct append_op *op, int *done, struct now now)
{
    for (; op->at != NULL; op->at = op->at->next, ++*done)
        if (k->append_bytes >= APPEND_BYTES_TURN || append_part_place(k, op->at, now) == E_AGAIN)
            return false;
    return true;
}

static int appends_run(struct kafka *k, struct now now)
{
    struct append_blocked blocked; /* large, and mostly not needed */
    blocked.n = 0;
    int done = 0, looks = 0;
    list_for_each(l, next, &k->appends) {
        struct append_op *op = list_entry(l, struct append_op, link);
        if (!append_is_blocked(&blocked, op) && append_place(k, op, &done, now))
            append_placed(op, now);
        else if (k->append_bytes >= APPEND_BYTES_TURN || ++looks == APPEND_LOOKS_MAX ||
                 !append_block(&blocked, op))
            return done;
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
    bool is_first = list_is_empty(&home->appends);
    list_append(&home->appends, &op->link);
    if (is_first) /* else appends_turn, once for all that came in a turn */
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
