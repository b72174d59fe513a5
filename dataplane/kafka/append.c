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
 * An operation for logs of the class critical alone passes all that wait, under the same condition,
 * and is placed as soon as it comes: so no bulk that waits for its turn stands in front of it.
 *
 * A batch that must be inflated or compressed anew first (storage.h, struct repack) is with the
 * bulk helper for a while. Its operation is *held* then: it stands in a list of its own, in order,
 * and so does every later one that is for a partition somebody there waits for; the others pass,
 * however many are held. While it waits bulk is asked about what comes next, so that batches of one
 * partition are compressed one behind the other without a trip between them. Bulk reads the batch
 * in its frame, so an operation that has one there ends when it is back, not before: also at its
 * deadline, also when its topic or connection is gone.
 *
 * An operation ends when each batch is as safe as acks asks: 0 placed; 1 written; -1 visible
 * (PLOG_HIGH: durable, or written in relaxed logs). One wait tells: when it was written before it
 * was durable is asked of the log (plog_times). At its deadline what is not that far is
 * E_TIMED_OUT; batches already placed stay in the log, as with Apache Kafka.
 */
#include "hash.h"
#include "ops.h"

/* Behind an operation that waits for room, so many are looked at for one that may go on; and so
 * many partitions of those that wait are remembered. */
enum { APPEND_LOOKS_MAX = 64, APPEND_BLOCKED_MAX = 128 };
/* An operation passes those that wait when it has so few partitions, and after so many looks. */
enum { APPEND_PASS_PARTS_MAX = 8, APPEND_PASS_LOOKS_MAX = 1024 };
/* Partitions of a held operation about which bulk is asked ahead. */
enum { APPEND_AHEAD_MAX = 16 };

static void append_done(struct append_op *op, struct now now)
{
    check(!op->is_done && op->is_placed && op->waiting_n == 0);
    op->is_done = true;
    op_stall_ask(&op->stall, op->home->store, op->begun_ns, now.ns);
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

/* True when the partition is as safe as acks asks, or its log is gone; else it waits for that. */
static bool append_part_wait(struct append_part *part, struct now now)
{
    if (!part->op->knows_logs)
        part->log = store_log_find(part->op->home->store, &part->topic_id, part->partition);
    if (unlikely(part->log == NULL)) {
        part->error = E_NOT_FOUND;
        return true;
    }
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

/* Registers the waits, as far as the turn goes. */
static void append_settle(struct append_op *op, struct now now)
{
    struct kafka *home = op->home;
    bool needs_none = op->is_timed_out || op->is_abandoned || op->acks == 0;
    for (; op->at != NULL && !needs_none; op->at = op->at->next) {
        if (home->settle_left-- <= 0) {
            op->knows_logs = false;
            if (!op->is_settling)
                list_append(&home->settling, &op->link);
            op->is_settling = true;
            return;
        }
        if (op->at->error == 0 && !append_part_wait(op->at, now))
            op->waiting_n++;
    }
    if (op->is_settling)
        list_del(&op->link);
    op->is_settling = false;
    if (--op->waiting_n == 0)
        append_done(op, now);
}

static int settling_run(struct kafka *k, struct now now)
{
    int done = 0;
    list_for_each(l, next, &k->settling) {
        if (k->settle_left <= 0)
            break;
        append_settle(list_entry(l, struct append_op, link), now);
        done++;
    }
    return done;
}

void append_wait_begin(struct append_op *op, struct now now)
{
    op->wait_came = true;
    if (!op->is_placed)
        return;
    op->at = op->parts;
    op->waiting_n = 1; /* held, so that a wait that is over at once does not end the op meanwhile */
    append_settle(op, now);
}

static void append_wait_end(struct append_op *op, int error)
{
    if (op->is_settling) {
        for (; op->at != NULL; op->at = op->at->next)
            if (op->at->error == 0)
                op->at->error = error;
        list_del(&op->link);
        op->is_settling = false;
        op->waiting_n--;
    }
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

/* What is asked of plog_append. */
static void append_ask(const struct append_part *part, struct append *append)
{
    append->from = part->records;
    append->at = (struct slices_at){0, 0};
    append->bytes = (uint32_t)part->records->bytes;
    append->request_version = part->op->version;
    append->keep_offsets = append->is_ahead = false;
    append->repack = part->repack;
}

/* Nobody waits for what bulk makes of the batch. False: it is still with bulk. */
static bool append_part_recall(struct append_part *part)
{
    if (part->repack == NULL)
        return true;
    if (!repack_is_done(part->repack))
        return false;
    repack_end(part->repack);
    part->repack = NULL;
    return true;
}

/* 0 when the partition is dealt with, E_AGAIN when the store has no room now, or bulk has the batch
 * (*wants_bulk). */
static int append_part_place(struct kafka *k, struct append_part *part, bool *wants_bulk,
                             struct now now)
{
    struct append append; /* all of what is told is set by plog_append */
    append_ask(part, &append);
    part->log = store_log_find(k->store, &part->topic_id, part->partition);
    if (unlikely(part->log == NULL)) {
        *wants_bulk = !append_part_recall(part);
        part->error = E_NOT_FOUND;
        part->start_offset = part->bad_record_at = -1;
        return *wants_bulk ? E_AGAIN : 0;
    }
    int rc = plog_append(part->log, &append, now);
    part->repack = append.repack;
    if (rc == E_AGAIN) {
        *wants_bulk = append.wants_bulk;
        return rc;
    }
    k->append_bytes += max_u64(append.bytes, APPEND_BYTES_LEAST);
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
    else
        op->knows_logs = false;
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

/* ── held for bulk ── */

static uint32_t *append_held_n(struct kafka *k, const struct append_part *part)
{
    return &k->held_n[hash_partition(&part->topic_id, part->partition) % HELD_BUCKETS];
}

/* The operation goes behind all that are held. */
static void append_hold(struct kafka *k, struct append_op *op)
{
    list_del(&op->link);
    list_append(&k->held, &op->link);
    op->is_held = true;
    for (const struct append_part *part = op->at; part != NULL; part = part->next)
        ++*append_held_n(k, part);
}

/* The partition op->at is dealt with. */
static void append_next(struct kafka *k, struct append_op *op)
{
    if (op->is_held)
        --*append_held_n(k, op->at);
    op->at = op->at->next;
}

/* A held operation may be for one of its partitions. Others of the same bucket are taken for it,
 * too: then the operation is held for nothing, but in its place. */
static bool append_is_held_up(struct kafka *k, const struct append_op *op)
{
    if (list_is_empty(&k->held))
        return false;
    for (const struct append_part *part = op->at; part != NULL; part = part->next)
        if (*append_held_n(k, part) > 0)
            return true;
    return false;
}

/* Asks bulk about what comes next, as far as it takes it. */
static void append_ahead(struct kafka *k, struct append_op *op, struct now now)
{
    int looks = 0;
    for (struct append_part *part = op->at; part != NULL && looks < APPEND_AHEAD_MAX;
         part = part->next, looks++) {
        if (part->repack != NULL || part->is_looked)
            continue;
        struct append append;
        append_ask(part, &append);
        struct plog *log = store_log_find(k->store, &part->topic_id, part->partition);
        append.is_ahead = true;
        int rc = log == NULL ? E_NOT_FOUND : plog_append(log, &append, now);
        part->repack = append.repack;
        part->is_looked = rc != E_AGAIN;
        if (rc == E_AGAIN && part->repack == NULL)
            return;
    }
}

/* The operation's time is over before it is placed. False: bulk has to give its bytes back first.
 */
static bool append_expire(struct append_op *op, struct now now)
{
    for (struct append_part *part = op->at; part != NULL; part = part->next)
        if (!append_part_recall(part))
            return false;
    while (op->at != NULL) {
        op->at->error = E_TIMED_OUT;
        append_next(op->home, op);
    }
    for (struct append_part *part = op->parts; part != NULL; part = part->next)
        if (part->error == 0)
            part->error = E_TIMED_OUT;
    append_placed(op, now);
    return true;
}

/* ── the queues ── */

enum append_now { APPEND_PLACED, APPEND_NO_ROOM, APPEND_WITH_BULK };

/* Places what there is room for. */
static enum append_now append_place(struct kafka *k, struct append_op *op, int *done,
                                    struct now now)
{
    bool wants_bulk, is_whole = op->at == op->parts;
    for (; op->at != NULL; append_next(k, op), ++*done) {
        if (k->append_bytes >= APPEND_BYTES_TURN)
            return APPEND_NO_ROOM;
        if (append_part_place(k, op->at, &wants_bulk, now) == E_AGAIN)
            return wants_bulk ? APPEND_WITH_BULK : APPEND_NO_ROOM;
    }
    op->knows_logs = is_whole;
    return APPEND_PLACED;
}

static int held_run(struct kafka *k, struct now now)
{
    struct append_blocked blocked = {.n = 0};
    int done = 0, looks = 0;
    list_for_each(l, next, &k->held) {
        struct append_op *op = list_entry(l, struct append_op, link);
        if (op->is_timed_out && append_expire(op, now))
            continue;
        if (!op->is_timed_out && !append_is_blocked(&blocked, op) &&
            append_place(k, op, &done, now) == APPEND_PLACED) {
            append_placed(op, now);
            continue;
        }
        if (!op->is_timed_out)
            append_ahead(k, op, now);
        if (k->append_bytes >= APPEND_BYTES_TURN || ++looks == APPEND_LOOKS_MAX ||
            !append_block(&blocked, op))
            return done;
    }
    return done;
}

static int appends_run(struct kafka *k, struct now now)
{
    struct append_blocked blocked; /* large, and mostly not needed */
    int looks = 0, done = list_is_empty(&k->held) ? 0 : held_run(k, now);
    blocked.n = 0;
    list_for_each(l, next, &k->appends) {
        struct append_op *op = list_entry(l, struct append_op, link);
        enum append_now how = APPEND_NO_ROOM;
        if (!append_is_blocked(&blocked, op))
            how = append_is_held_up(k, op) ? APPEND_WITH_BULK : append_place(k, op, &done, now);
        if (how == APPEND_PLACED) {
            append_placed(op, now);
        } else if (how == APPEND_WITH_BULK) {
            append_hold(k, op);
            append_ahead(k, op, now);
        } else if (k->append_bytes >= APPEND_BYTES_TURN || ++looks == APPEND_LOOKS_MAX ||
                   !append_block(&blocked, op)) {
            return done;
        }
    }
    return done;
}

int appends_turn(struct kafka *k, struct now now)
{
    if (list_is_empty(&k->appends) && list_is_empty(&k->held) && list_is_empty(&k->settling))
        return 0;
    return settling_run(k, now) + appends_run(k, now);
}

/* The deadline: what is not placed never will be, what is not safe is answered as such. */
static void append_timeout(struct timer *timer, struct now now)
{
    struct append_op *op = container_of(timer, struct append_op, timer);
    op->is_timed_out = true;
    if (!op->is_placed) {
        struct kafka *home = op->home;
        if (append_expire(op, now))
            appends_run(home, now);
        return;
    }
    append_wait_end(op, E_TIMED_OUT);
    if (op->wait_came)
        append_done(op, now);
}

/* ── passing ── */

static bool append_is_critical(const struct kafka *k, const struct append_op *op)
{
    int n = 0;
    for (const struct append_part *part = op->at; part != NULL; part = part->next) {
        const struct plog *log = store_log_find(k->store, &part->topic_id, part->partition);
        if (log == NULL || !plog_is_critical(log) || ++n > APPEND_PASS_PARTS_MAX)
            return false;
    }
    return true;
}

/* May it pass everybody that waits? */
static bool append_may_pass(const struct kafka *k, const struct append_op *op)
{
    int looks = 0;
    if (!list_is_empty(&k->held) || !append_is_critical(k, op))
        return false;
    list_for_each(l, next, &k->appends) {
        const struct append_op *other = list_entry(l, struct append_op, link);
        for (const struct append_part *o = other->at; o != NULL; o = o->next)
            for (const struct append_part *part = op->at; part != NULL; part = part->next)
                if (++looks > APPEND_PASS_LOOKS_MAX ||
                    (o->partition == part->partition && uuid_equal(&o->topic_id, &part->topic_id)))
                    return false;
    }
    return true;
}

/* Behind those that passed before and wait for room. */
static void append_pass(struct kafka *k, struct append_op *op, struct now now)
{
    struct list *before = &k->appends;
    int done = 0;
    op->is_urgent = true;
    while (before->next != &k->appends &&
           list_entry(before->next, struct append_op, link)->is_urgent)
        before = before->next;
    list_push(before, &op->link);
    if (before != &k->appends)
        return;
    enum append_now how = append_place(k, op, &done, now);
    if (how == APPEND_PLACED)
        append_placed(op, now);
    else if (how == APPEND_WITH_BULK)
        append_hold(k, op);
}

void append_begin(struct kafka *home, struct append_op *op, struct now now)
{
    op->home = home;
    home->home_ops_n++;
    op->arrived_ns = op->is_remote ? now.ns : 0;
    op->begun_ns = now.ns;
    op->at = op->parts;
    timer_init(&op->timer, append_timeout);
    timer_set(home->timers, &op->timer, op->deadline_ns);
    bool is_first = list_is_empty(&home->appends);
    if (!is_first && append_may_pass(home, op)) {
        append_pass(home, op, now);
        return;
    }
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
