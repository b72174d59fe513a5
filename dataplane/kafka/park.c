/*
 * park.c - a Fetch that found too little waits: for bytes at any of its logs, or for max_wait_ms.
 *
 * Owner: worker.
 *
 * What waits gives its memory back: pages of logs (read again when it wakes: they are in memory,
 * they were just written), its share of the answer budget, frame and arena. It keeps struct fetch,
 * names, one struct read_op per home and one struct read_part (with its wait) per partition, in
 * pages of 4 KiB: about 30 partitions a page.
 *
 * min_bytes over n partitions: a wait ends when one log has (min_bytes - found) / n new bytes. If
 * the sum is there, some log has that much (pigeonhole), so nothing is missed; if it was too early,
 * the fetch parks again with a smaller rest. With the usual min_bytes = 1 the first new batch wakes
 * it (trap 10).
 */
#include "fetch.h"

static void fetch_again(struct request *r, const struct view *view, struct now now)
{
    timer_stop(r->kafka->timers, &r->timer);
    request_stamp(r, STAGE_WOKEN, now.ns);
    if (now.ns >= ((struct fetch *)r->work)->deadline_ns)
        ((struct fetch *)r->work)->is_last = true;
    fetch_read(r, view, now);
}

static void fetch_unpark(struct request *r, const struct view *view, struct now now)
{
    (void)view;
    fetch_stop(r, now);
    request_wait(r, fetch_again);
}

static void fetch_time_up(struct timer *timer, struct now now)
{
    struct request *r = container_of(timer, struct request, timer);
    (void)now;
    ((struct fetch *)r->work)->is_last = true;
    if (r->state == REQUEST_PARKED)
        request_run(r);
}

static void fetch_park_now(struct request *r, const struct view *view, struct now now)
{
    struct fetch *f = r->work;
    uint64_t rest = f->min_bytes > f->bytes ? f->min_bytes - f->bytes : 1;
    (void)view;
    f->response = NULL;
    for (struct read_part *part = f->parts; part != NULL; part = part->next_asked)
        part->result = NULL;
    arena_fini(&r->arena);
    r->timer.fire = fetch_time_up;
    timer_set(r->kafka->timers, &r->timer, f->deadline_ns);
    r->more = fetch_unpark;
    request_state_set(r, REQUEST_PARKED);
    for (struct read_op *op = f->ops; op != NULL; op = op->next)
        op->wait_bytes = max_u64(1, rest / f->parts_n);
    fetch_step(r, READ_WAIT, now);
}

void fetch_park(struct request *r, const struct view *view, struct now now)
{
    r->kafka->answer_bytes -= r->answer_bytes;
    r->answer_bytes = 0;
    fetch_give_back(r);
    if (r->ops_n > 0)
        request_wait(r, fetch_park_now); /* pages of other homes */
    else
        fetch_park_now(r, view, now);
}

void fetch_stop(struct request *r, struct now now)
{
    struct fetch *f = r->work;
    for (struct read_op *op = f->ops; op != NULL; op = op->next) {
        if (!op->is_sent || op->step != READ_WAIT)
            continue;
        if (!op->is_remote) {
            read_stop(op, now);
        } else if (!op->is_cancelling) {
            op->is_cancelling = true;
            request_op_begin(r);
            mail_send(r->kafka->post, op->home_thread, MAIL_READ, &op->cancel_mail.mail);
        }
    }
}
