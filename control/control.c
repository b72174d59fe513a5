/*
 * control.c - the turn of the control thread: mail in, requests, the round, answers out.
 *
 * Owner: control.
 *
 * Requests are one row and one function each. A handler builds its records, calls control_commit
 * once, and fills the answer; the answer leaves when the round (control_inside.h) is over. Requests
 * that only read, or need nothing durable, run in any phase and are never held up by those that
 * wait.
 *
 * Bounds: CONTROL_REQUESTS_PER_TURN requests begin in a turn; one request makes at most
 * RECORDS_N_MAX records; orders to workers go out in portions (orders.c). What waits is bounded by
 * the workers' control_requests_max.
 */
#include "check.h"
#include "control_inside.h"
#include "coordinator.h"
#include "telemetry.h"

enum { API_HEARTBEAT = 12, API_CONSUMER_GROUP_HEARTBEAT = 68 };

/* ── the table ── */

struct control_row {
    int16_t api_key;
    bool changes; /* metadata: waits while a round is under way */
    enum verdict (*run)(struct control *control, struct control_op *op);
};

static const struct control_row rows[] = {
    {3, true, auto_create_run}, /* Metadata: make the topics it names */
    {8, false, group_request_run},
    {9, false, group_request_run},
    {10, true, find_coordinator_run}, /* makes __consumer_offsets */
    {11, false, group_request_run},
    {12, false, group_request_run},
    {13, false, group_request_run},
    {14, false, group_request_run},
    {15, false, group_request_run},
    {16, false, group_request_run},
    {19, true, create_topics_run},
    {20, true, delete_topics_run},
    {22, false, init_producer_id_run}, /* asks for a new block by itself, through control_may_change
                                        */
    {32, false, describe_configs_run},
    {33, true, alter_configs_run},
    {34, true, alter_replica_log_dirs_run},
    {37, true, create_partitions_run},
    {42, false, group_request_run},
    {43, false, elect_leaders_run},
    {44, true, incremental_alter_configs_run},
    {45, false, alter_reassignments_run},
    {46, false, list_reassignments_run},
    {47, false, group_request_run},
    {68, false, group_request_run},
    {69, false, group_request_run},
    {48, false, describe_client_quotas_run},
    {55, false, describe_quorum_run},
    {57, true, update_features_run},
    {71, false, get_telemetry_run},
    {72, false, push_telemetry_run},
    {74, false, list_config_resources_run},
};

static const struct control_row *row_find(int16_t api_key)
{
    for (uint32_t i = 0; i < array_n(rows); i++)
        if (rows[i].api_key == api_key)
            return &rows[i];
    return NULL;
}

/* ── small helpers of the handlers ── */

int topic_list_reserve(struct topic_list *list, uint32_t n)
{
    if (list->max - list->n >= n)
        return 0;
    uint32_t max = (list->n + n) * 2;
    void **more = realloc(list->v, max * sizeof *more);
    if (more == NULL)
        return E_NO_MEMORY;
    list->v = more;
    list->max = max;
    return 0;
}

void topic_list_add(struct topic_list *list, void *topic)
{
    check(list->n < list->max);
    list->v[list->n++] = topic;
}

bool control_may_change(const struct control *c)
{
    return c->phase == CONTROL_OPEN && !c->ends_round && !c->is_failed &&
           !snapshot_is_building(&c->snapshot);
}

int control_commit(struct control *c)
{
    int64_t n = records_end(&c->records, false, c->quorum_epoch, c->state.end_offset);
    if (n < 0)
        return (int)n;
    struct slice slice = {c->records.buffer, (uint32_t)n, NULL};
    struct slices slices = {&slice, 1, (uint64_t)n};
    struct append append = {.from = &slices, .bytes = (uint32_t)n, .request_version = -1};
    int e = plog_append(c->log, &append, c->now);
    if (e == E_AGAIN)
        return e;
    if (e == 0) {
        check(append.base_offset == c->state.end_offset);
        store_u64(c->records.buffer, (uint64_t)append.base_offset);
        e = state_apply_batch(&c->state, c->records.buffer);
    }
    if (e < 0)
        c->is_failed = true; /* memory and log may differ now: nothing more is published */
    c->is_dirty = true;
    c->snapshot.bytes_since += (uint64_t)n;
    return e;
}

/* ── answers ── */

static void op_answer(struct control *c, struct control_op *op)
{
    mail_answer(c->post, &op->mail);
}

static void op_close(struct control *c, struct control_op *op)
{
    arena_fini(&op->arena);
    op->response = NULL;
    op_answer(c, op);
}

static struct control_op *op_of(struct list *link)
{
    return container_of(list_entry(link, struct mail, link), struct control_op, mail);
}

/* ── the round ── */

static void durable_wake(struct plog_wait *wait, int error, struct now now)
{
    struct control *c = container_of(wait, struct control, durable);
    (void)now;
    check(c->phase == CONTROL_FLUSHING);
    if (error < 0)
        c->is_failed = true;
    for (uint32_t i = 0; i < c->created.n; i++)
        view_topic_forget(c->created.v[i]);
    c->order_topic_at = 0;
    c->order_partition_at = 0;
    c->phase = CONTROL_OPENING;
}

static void round_flush(struct control *c)
{
    c->phase = CONTROL_FLUSHING;
    c->wants_round = false;
    c->durable = (struct plog_wait){
        .mark = PLOG_DURABLE, .offset = c->state.end_offset, .wake = durable_wake};
    list_init(&c->durable.link);
    if (plog_wait(c->log, &c->durable))
        durable_wake(&c->durable, 0, c->now);
}

static void round_end(struct control *c)
{
    struct list *link;
    while ((link = list_pop(&c->answers)) != NULL) {
        if (c->is_failed)
            op_close(c, op_of(link));
        else
            op_answer(c, op_of(link));
    }
    if (c->dropped.n > 0)
        coordinator_topics_deleted(c->coordinator);
    for (uint32_t i = 0; i < c->dropped.n; i++)
        view_topic_put(c->dropped.v[i]);
    c->dropped.n = 0;
    c->created.n = 0;
    moves_durable(c);
    c->block_is_durable = !c->is_failed;
    c->is_dirty = false;
    c->ends_round = false;
    c->phase = CONTROL_OPEN;
}

/* The view's form of every new topic: what the orders are made from. */
static int round_make_views(struct control *c)
{
    for (uint32_t i = 0; i < c->created.n; i++) {
        struct topic *topic = c->created.v[i];
        int e = topic->is_removed ? 0 : view_topic_make(c, topic);
        if (e < 0)
            return e;
    }
    return 0;
}

/* Takes the round as far as it goes now; what is missing (memory, answers, retired views) is tried
 * again. */
static int round_work(struct control *c)
{
    if (c->phase == CONTROL_OPEN || c->phase == CONTROL_FLUSHING)
        return 0;
    if (c->is_failed && c->orders_n > 0)
        return 0;
    if (c->is_failed) {
        round_end(c);
        return 1;
    }
    if (c->phase == CONTROL_OPENING) {
        if (round_make_views(c) < 0 || !orders_work(c, LOG_OPEN) || view_publish(c) < 0)
            return 0;
        coordinator_look(c->coordinator);
        c->order_topic_at = 0;
        c->order_partition_at = 0;
        c->phase = CONTROL_DROPPING;
    }
    if (!orders_work(c, LOG_DROP))
        return 0;
    round_end(c);
    return 1;
}

/* ── requests ── */

/* Runs one request; true when it is no longer waiting. */
static bool request_run(struct control *c, struct control_op *op)
{
    const struct control_row *row = row_find(op->api_key);
    check(row != NULL);
    if (row->changes && c->is_failed) {
        op_close(c, op);
        return true;
    }
    switch (row->run(c, op)) {
    case VERDICT_AGAIN:
        if (row->changes) { /* it begins anew: a long wait must not use up its memory */
            arena_fini(&op->arena);
            op->response = NULL;
        }
        return false;
    case VERDICT_CLOSE: op_close(c, op); return true;
    case VERDICT_NOW: op_answer(c, op); return true;
    case VERDICT_TAKEN: return true;
    case VERDICT_DONE: break;
    }
    check(op->response != NULL);
    if (c->is_dirty)
        list_append(&c->answers, &op->mail.link);
    else
        op_answer(c, op);
    return true;
}

static int requests_run(struct control *c)
{
    struct list *heartbeat;
    int n = 0;
    while (n < CONTROL_HEARTBEATS_PER_TURN && !coordinator_is_tired(c->coordinator) &&
           (heartbeat = list_pop(&c->heartbeats)) != NULL) {
        request_run(c, op_of(heartbeat));
        n++;
    }
    n = 0;
    list_for_each(link, next, &c->waiting) {
        struct control_op *op = op_of(link);
        if (n == CONTROL_REQUESTS_PER_TURN || (n > 0 && coordinator_is_tired(c->coordinator)))
            break;
        if (row_find(op->api_key)->changes && !control_may_change(c) && !c->is_failed)
            continue;
        list_del(link);
        if (request_run(c, op)) {
            n++;
            continue;
        }
        list_add_between(link, next->prev, next); /* back to its place */
    }
    return n;
}

/* ── mail ── */

static void request_take(struct control *c, struct control_op *op)
{
    op->response = NULL;
    if (row_find(op->api_key) == NULL)
        op_close(
            c,
            op); /* a worker asks only for what the table has; a newer one would be told so here */
    else if (op->api_key == API_HEARTBEAT || op->api_key == API_CONSUMER_GROUP_HEARTBEAT)
        list_append(&c->heartbeats, &op->mail.link);
    else
        list_append(&c->waiting, &op->mail.link);
}

static void mail_take(struct control *c, struct mail *mail)
{
    switch (mail->kind) {
    case MAIL_REQUEST: request_take(c, container_of(mail, struct control_op, mail)); return;
    case MAIL_LOG: orders_answer(c, container_of(mail, struct log_op, mail)); return;
    case MAIL_COMMIT:
    case MAIL_LOAD: coordinator_mail(c->coordinator, mail); return;
    case MAIL_CANCEL:
        groups_cancel(&c->coordinator->groups, container_of(mail, struct cancel_op, mail)->op);
        mail_answer(c->post, mail);
        return;
    case MAIL_MOVE:
    case MAIL_MOVE_CANCEL: moves_mail(c, mail); return;
    case MAIL_DIRECTORY: dirs_mail(c, mail); return;
    case MAIL_FILE:
    case MAIL_BULK: store_mail(c->store, mail, c->now); return;
    case MAIL_WORK: telemetry_back(c->telemetry, container_of(mail, struct work_op, mail)); return;
    case MAIL_STOP: mail_answer(c->post, mail); return;
    default: check(!"mail that control is ever sent");
    }
}

static int mail_work(struct control *c)
{
    struct mail *mail;
    int n = 0;
    while (n < CONTROL_MAIL_PER_TURN && (mail = mail_read(c->post, &c->mail_from_at)) != NULL) {
        mail_take(c, mail);
        n++;
    }
    return n;
}

/* ── the turn ── */

int control_turn(struct control *c, struct now now)
{
    own(c);
    c->now = now;
    int n = io_poll(c->io);
    n += mail_work(c);
    n += timers_run(c->timers, now, CONTROL_TIMERS_PER_TURN);
    n += round_work(c);
    n += reload_work(c);
    n += requests_run(c);
    n += moves_turn(c);
    if (c->phase == CONTROL_OPEN && (c->is_dirty || c->wants_round) &&
        !snapshot_is_building(&c->snapshot))
        round_flush(c);
    n += snapshot_work(c);
    n += coordinator_turn(c->coordinator);
    n += telemetry_turn(c->telemetry);
    n += store_flush(c->store, now);
    n += (int)view_retire(c);
    n += io_poll(c->io);
    n += mail_flush(c->post);
    return n;
}

bool control_is_quiet(const struct control *c)
{
    return c->phase == CONTROL_OPEN && list_is_empty(&c->waiting) &&
           list_is_empty(&c->heartbeats) && coordinator_is_quiet(c->coordinator) &&
           telemetry_is_quiet(c->telemetry) && list_is_empty(&c->answers) && c->orders_n == 0 &&
           c->snapshot.phase == SNAPSHOT_NONE && moves_are_quiet(c) && store_is_quiet(c->store);
}

const struct group_stats *control_group_stats(const struct control *c)
{
    return &c->coordinator->stats;
}

const struct telemetry_stats *control_telemetry_stats(const struct control *c)
{
    return &c->telemetry->stats;
}

struct ask *control_ask(struct control *c)
{
    return &c->coordinator->ask;
}

int control_error(const struct control *c)
{
    return c->is_failed ? E_STORAGE : 0;
}
