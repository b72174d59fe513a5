/*
 * read.c - reads at the home worker: batches of several logs within a budget, lent until they were
 * sent; and waiting for news.
 *
 * Owner: home worker.
 *
 * A step READ_NOW goes through its partitions in the order of the request. Each gets what is left
 * of the op's budget, at most its own maximum; the first one with data gets a whole batch in any
 * case (trap 9, KIP-74). A read that goes to the disk stops the walk until it is back; appends and
 * other ops go on meanwhile.
 *
 * A step READ_WAIT gives all pages back and registers one wait per log. The first wake ends it.
 */
#include "ops.h"

static void read_walk(struct read_op *op, struct now now);

static void read_op_over(struct read_op *op, struct now now)
{
    check(op->is_busy);
    op->is_busy = false;
    op->done_ns = now.ns;
    op->home->home_ops_n--;
    if (op->is_remote)
        mail_answer(op->home->post, &op->step_mail.mail);
    else
        fetch_op_done(op, now);
}

/* ── reading ── */

/* KIP-320, v12: does what the client has fit this log? Sets code or is_diverging when not. */
static void read_check_epoch(struct read_part *part, struct plog *log)
{
    int32_t asked = part->last_fetched_epoch;
    if (asked < 0)
        return;
    int32_t found = -1;
    int64_t end = -1;
    if (asked == plog_epoch(log)) {
        found = asked;
        end = part->offsets.end;
    } else if (asked < plog_epoch(log)) {
        plog_epoch_end(log, asked, &found, &end);
    }
    if (found < 0 || end < 0) {
        part->error = E_OFFSET_RANGE;
    } else if (found < asked || end < part->offset) {
        part->is_diverging = true;
        part->diverging_epoch = found;
        part->diverging_end = end;
    }
}

/* The read is over: keeps its pages when there are any. */
static void read_part_over(struct read_part *part, int error)
{
    struct read_op *op = part->op;
    part->error = error;
    if (error == 0 || error == E_OFFSET_RANGE)
        part->offsets = part->read.offsets;
    if (error == 0 && part->read.data.bytes > 0) {
        part->is_lent = true;
        op->lent_n++;
        op->bytes += part->read.data.bytes;
        return;
    }
    part->read.data = (struct slices){NULL, 0, 0};
    if (error == 0)
        read_release(&part->read);
}

static void read_came(struct read *read, int error, struct now now)
{
    struct read_part *part = container_of(read, struct read_part, read);
    struct read_op *op = part->op;
    (void)now;
    read_part_over(part, error);
    op->at = part->next;
    list_append(&op->home->reads, &op->link);
}

/* False: the disk is asked, read_came will be called. */
static bool read_part(struct read_part *part, struct now now)
{
    struct read_op *op = part->op;
    struct plog *log = store_log_find(op->home->store, &part->topic_id, part->partition);
    part->error = 0;
    part->is_diverging = false;
    if (log == NULL) {
        part->error = E_NOT_FOUND;
        return true;
    }
    plog_offsets(log, &part->offsets);
    read_check_epoch(part, log);
    if (part->error != 0 || part->is_diverging)
        return true;
    uint64_t left = op->bytes_max > op->bytes ? op->bytes_max - op->bytes : 0;
    uint64_t max = part->bytes_max > 0 ? (uint64_t)part->bytes_max : 0;
    part->read = (struct read){.offset = part->offset,
                               .bytes_max = (uint32_t)min_u64(min_u64(left, max), UINT32_MAX),
                               .at_least_one = op->bytes == 0,
                               .is_committed = op->is_committed,
                               .done = read_came};
    list_init(&part->read.link);
    int rc = plog_read(log, &part->read, now);
    if (rc == E_AGAIN)
        return false;
    read_part_over(part, rc);
    return true;
}

static void read_walk(struct read_op *op, struct now now)
{
    for (; op->at != NULL; op->at = op->at->next)
        if (!read_part(op->at, now))
            return;
    read_op_over(op, now);
}

void read_give_back(struct read_op *op)
{
    for (struct read_part *part = op->parts; part != NULL && op->lent_n > 0; part = part->next) {
        if (!part->is_lent)
            continue;
        read_release(&part->read);
        part->read.data = (struct slices){NULL, 0, 0};
        part->is_lent = false;
        op->lent_n--;
    }
    op->bytes = 0;
}

void read_abort(struct read_op *op)
{
    check(op->is_busy && op->step == READ_NOW && !op->is_remote);
    if (list_is_linked(&op->link))
        list_del(&op->link); /* the disk's answer came, the walk did not go on yet */
    else if (op->at != NULL)
        read_release(&op->at->read);
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
    if (offsets.high != part->offsets.high ||
        (op->is_committed && offsets.stable != part->offsets.stable))
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
    read_give_back(op);
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
    read_give_back(op);
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
