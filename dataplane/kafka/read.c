/*
 * read.c - reads at the home worker: batches of several logs within a budget, lent until they were
 * sent; and waiting for news.
 *
 * Owner: home worker.
 *
 * A step READ_NOW goes through its partitions in the order of the request. Each gets what is left
 * of the op's budget, at most its own maximum; the first one with data gets a whole batch in any
 * case (trap 9, KIP-74). A read that goes to the disk stops the walk until it is back; appends and
 * other ops go on meanwhile. A turn reads READ_PARTS_TURN partitions at most, then the walk stops
 * until the next.
 *
 * A step READ_WAIT, before which all pages were given back, registers one wait per log. The first
 * wake ends it.
 */
#include "ops.h"

static void read_walk(struct read_op *op, struct now now);

static void read_op_over(struct read_op *op, struct now now)
{
    check(op->is_busy);
    op->is_busy = false;
    if (op->step == READ_NOW)
        op_stall_ask(&op->stall, op->home->store, op->done_ns, now.ns);
    op->done_ns = now.ns;
    op->home->home_ops_n--;
    if (op->is_remote)
        mail_answer(op->home->post, &op->step_mail.mail);
    else
        fetch_op_done(op, now);
}

/* ── reading ── */

/* KIP-320, v12: does what the client has fit this log? Sets error or is_diverging when not. */
static void read_check_epoch(struct read_result *result, struct plog *log)
{
    int32_t asked = result->part->last_fetched_epoch, found = -1;
    int64_t end = -1;
    if (asked < 0)
        return;
    if (asked == plog_epoch(log)) {
        found = asked;
        end = result->offsets.end;
    } else if (asked < plog_epoch(log)) {
        plog_epoch_end(log, asked, &found, &end);
    }
    if (found < 0 || end < 0) {
        result->error = E_OFFSET_RANGE;
    } else if (found < asked || end < result->part->offset) {
        result->is_diverging = true;
        result->diverging_epoch = found;
        result->diverging_end = end;
    }
}

static void read_note_offsets(struct read_result *result, const struct plog_offsets *offsets)
{
    result->offsets = *offsets;
    result->part->high = offsets->high;
    result->part->stable = offsets->stable;
}

/* The read is over: keeps its pages when there are any. */
static void read_part_over(struct read_result *result, int error)
{
    struct read_op *op = result->part->op;
    result->error = error;
    if (error == 0 || error == E_OFFSET_RANGE)
        read_note_offsets(result, &result->read.offsets);
    if (error == 0 && result->read.data.bytes > 0) {
        result->is_lent = true;
        op->lent_n++;
        op->bytes += result->read.data.bytes;
        return;
    }
    result->read.data = (struct slices){NULL, 0, 0};
    if (error == 0)
        read_release(&result->read);
}

static void read_came(struct read *read, int error, struct now now)
{
    struct read_result *result = container_of(read, struct read_result, read);
    struct read_op *op = result->part->op;
    (void)now;
    read_part_over(result, error);
    op->at = result->part->next;
    list_append(&op->home->reads, &op->link);
}

/* False: the disk is asked, read_came will be called. */
static bool read_part(struct read_part *part, struct now now)
{
    struct read_op *op = part->op;
    struct read_result *result = part->result;
    struct plog *log = store_log_find(op->home->store, &part->topic_id, part->partition);
    struct plog_offsets offsets;
    if (log == NULL) {
        result->error = E_NOT_FOUND;
        return true;
    }
    plog_offsets(log, &offsets);
    read_note_offsets(result, &offsets);
    read_check_epoch(result, log);
    if (result->error != 0 || result->is_diverging)
        return true;
    uint64_t left = op->bytes_max > op->bytes ? op->bytes_max - op->bytes : 0;
    uint64_t max = part->bytes_max > 0 ? (uint64_t)part->bytes_max : 0;
    result->read = (struct read){.offset = part->offset,
                                 .bytes_max = (uint32_t)min_u64(min_u64(left, max), UINT32_MAX),
                                 .at_least_one = op->bytes == 0,
                                 .is_committed = op->is_committed,
                                 .done = read_came};
    list_init(&result->read.link);
    int rc = plog_read(log, &result->read, now);
    if (rc == E_AGAIN)
        return false;
    read_part_over(result, rc);
    return true;
}

static void read_walk(struct read_op *op, struct now now)
{
    int64_t left = op->home->reads_left;
    for (; op->at != NULL && left > 0; op->at = op->at->next, left--)
        if (!read_part(op->at, now))
            break;
    op->home->reads_left = left;
    if (op->at == NULL)
        read_op_over(op, now);
    else if (left <= 0) /* it goes on in the next turn */
        list_append(&op->home->reads, &op->link);
}

void read_give_back(struct read_op *op)
{
    for (struct read_part *part = op->parts; part != NULL && op->lent_n > 0; part = part->next) {
        if (!part->result->is_lent)
            continue;
        read_release(&part->result->read);
        part->result->read.data = (struct slices){NULL, 0, 0};
        part->result->is_lent = false;
        op->lent_n--;
    }
}

void read_abort(struct read_op *op)
{
    check(op->is_busy && op->step == READ_NOW && !op->is_remote);
    if (list_is_linked(&op->link))
        list_del(&op->link); /* the disk's answer came, the walk did not go on yet */
    else if (op->at != NULL)
        read_release(&op->at->result->read);
    op->is_busy = false;
    op->home->home_ops_n--;
}

int reads_turn(struct kafka *k, struct now now)
{
    int done = 0;
    struct list now_list;
    list_init(&now_list);
    list_splice(&now_list, &k->reads);
    for (struct list *l; (l = list_pop(&now_list)) != NULL; done++)
        read_walk(list_entry(l, struct read_op, link), now);
    return done;
}

/* ── waiting ── */

static void read_wait_end(struct read_op *op)
{
    for (struct read_part *part = op->parts; part != NULL; part = part->next) {
        if (part->is_waiting)
            plog_wait_cancel(&part->wait);
        part->is_waiting = false;
    }
}

static void read_wake(struct plog_wait *wait, int error, struct now now)
{
    struct read_part *part = container_of(wait, struct read_part, wait);
    (void)error; /* the read that follows finds out */
    part->is_waiting = false;
    if (!part->op->is_busy)
        return;
    read_wait_end(part->op);
    read_op_over(part->op, now);
}

/* True: there are news already. Between the read and this step records may have come (another
 * worker's op). */
static bool read_part_wait(struct read_part *part)
{
    struct read_op *op = part->op;
    struct plog *log = store_log_find(op->home->store, &part->topic_id, part->partition);
    struct plog_offsets offsets;
    if (log == NULL)
        return true;
    plog_offsets(log, &offsets);
    if (offsets.high != part->high || (op->is_committed && offsets.stable != part->stable))
        return true;
    part->wait = (struct plog_wait){.mark = PLOG_HIGH,
                                    .offset = offsets.high + 1,
                                    .bytes_min = op->wait_bytes,
                                    .wake = read_wake};
    list_init(&part->wait.link);
    if (plog_wait(log, &part->wait))
        return true;
    part->is_waiting = true;
    return false;
}

static void read_wait_begin(struct read_op *op, struct now now)
{
    check(op->lent_n == 0);
    for (struct read_part *part = op->parts; part != NULL; part = part->next) {
        if (!read_part_wait(part))
            continue;
        read_wait_end(op);
        read_op_over(op, now);
        return;
    }
}

void read_begin(struct kafka *home, struct read_op *op, struct now now)
{
    check(!op->is_busy);
    op->home = home;
    op->is_busy = true;
    home->home_ops_n++;
    if (op->step == READ_WAIT) {
        read_wait_begin(op, now);
        return;
    }
    check(op->lent_n == 0);
    op->arrived_ns = op->is_remote ? now.ns : 0;
    op->done_ns = now.ns;
    op->bytes = 0;
    op->at = op->parts;
    read_walk(op, now);
}

void read_stop(struct read_op *op, struct now now)
{
    if (!op->is_busy || op->step != READ_WAIT)
        return;
    read_wait_end(op);
    read_op_over(op, now);
}

/* ── mail ── */

void read_mail_arrive(struct kafka *k, struct mail *mail, struct now now)
{
    struct read_mail *m = container_of(mail, struct read_mail, mail);
    struct read_op *op = m->op;
    if (m == &op->step_mail) {
        read_begin(k, op, now);
        return;
    }
    read_stop(op, now); /* nothing when the wait is over already: its answer is on its way */
    mail_answer(k->post, mail);
}

void release_mail_arrive(struct kafka *k, struct mail *mail)
{
    struct read_mail *m = container_of(mail, struct read_mail, mail);
    read_give_back(m->op);
    mail_answer(k->post, mail);
}
