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
 * RECORDS_N_MAX records, CONTROL_CHANGE_WORK of them in a turn (VERDICT_MORE); orders to workers go
 * out in portions (orders.c). What waits is bounded by the workers' control_requests_max.
 */
#include "check.h"
#include "control_inside.h"
#include "coordinator.h"
#include "telemetry.h"

enum { API_HEARTBEAT = 12, API_CONSUMER_GROUP_HEARTBEAT = 68 };

/* ── the table ── */

enum row_kind {
    ANY,     /* neither */
    READS,   /* what the metadata log says: waits while a change is applied over turns */
    CHANGES, /* metadata: waits while a round is under way */
};

struct control_row {
    int16_t api_key;
    enum row_kind kind;
    enum verdict (*run)(struct control *control, struct control_op *op);
};

static const struct control_row rows[] = {
    {3, CHANGES, auto_create_run}, /* Metadata: make the topics it names */
    {8, ANY, group_request_run},
    {9, ANY, group_request_run},
    {10, CHANGES, find_coordinator_run}, /* makes __consumer_offsets */
    {11, ANY, group_request_run},
    {12, ANY, group_request_run},
    {13, ANY, group_request_run},
    {14, ANY, group_request_run},
    {15, ANY, group_request_run},
    {16, ANY, group_request_run},
    {19, CHANGES, create_topics_run},
    {20, CHANGES, delete_topics_run},
    {22, ANY, init_producer_id_run}, /* asks for a new block by itself, through control_may_change
                                      */
    {32, READS, describe_configs_run},
    {33, CHANGES, alter_configs_run},
    {34, CHANGES, alter_replica_log_dirs_run},
    {37, CHANGES, create_partitions_run},
    {42, ANY, group_request_run},
    {43, READS, elect_leaders_run},
    {44, CHANGES, incremental_alter_configs_run},
    {45, READS, alter_reassignments_run},
    {46, READS, list_reassignments_run},
    {47, ANY, group_request_run},
    {68, ANY, group_request_run},
    {69, ANY, group_request_run},
    {48, READS, describe_client_quotas_run},
    {55, READS, describe_quorum_run},
    {57, CHANGES, update_features_run},
    {71, ANY, get_telemetry_run},
    {72, ANY, push_telemetry_run},
    {74, READS, list_config_resources_run},
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
    return c->phase == CONTROL_OPEN && !c->ends_round && !c->is_failed && c->changing == NULL &&
           !snapshot_is_building(&c->snapshot);
}

/* One batch: what the log has of it is all of it. */
static int change_append(struct control *c)
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
    c->is_dirty = true;
    if (e < 0) {
        c->is_failed = true; /* memory and log may differ now: nothing more is published */
        return e;
    }
    check(append.base_offset == c->state.end_offset);
    store_u64(c->records.buffer, (uint64_t)append.base_offset);
    c->snapshot.bytes_since += (uint64_t)n;
    c->is_applying = true;
    c->apply_at = 0;
    return 0;
}

int control_commit_more(struct control *c)
{
    uint32_t n = (uint32_t)max_i64(c->change_work, 1), room_n = n;
    int e = c->is_applying ? 0 : change_append(c);
    if (e < 0)
        return e;
    e = state_apply_part(&c->state, c->records.buffer, &c->apply_at, &n);
    c->change_work -= (int32_t)(room_n - n);
    if (e == E_AGAIN)
        return 1;
    c->is_applying = false;
    if (e < 0)
        c->is_failed = true;
    return e;
}

int control_commit(struct control *c)
{
    check(!c->is_applying);
    int e = change_append(c);
    if (e < 0)
        return e;
    c->is_applying = false;
    e = state_apply_batch(&c->state, c->records.buffer);
    if (e < 0)
        c->is_failed = true;
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
    c->make_at = 0;
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

/* The view's form of every new topic: what the orders are made from. E_AGAIN: there are more. */
static int round_make_views(struct control *c)
{
    enum { WORK_PLAIN = 1, WORK_SETTINGS = 20, PARTITIONS_PER_WORK = 32 };
    while (c->make_at < c->created.n) {
        struct topic *topic = c->created.v[c->make_at];
        int e = topic->is_removed ? 0 : view_topic_make(c, topic);
        if (e < 0)
            return e;
        c->make_at++;
        if (control_change_is_spent(c, (topic->settings.n > 0 ? WORK_SETTINGS : WORK_PLAIN) +
                                           topic->partitions_n / PARTITIONS_PER_WORK) &&
            c->make_at < c->created.n)
            return E_AGAIN;
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
        int e = round_make_views(c);
        if (e < 0 || !orders_work(c, LOG_OPEN) || view_publish(c) < 0)
            return e == E_AGAIN;
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
    if (row->kind == CHANGES && c->is_failed) {
        op_close(c, op);
        return true;
    }
    enum verdict verdict = row->run(c, op);
    if (verdict == VERDICT_MORE) {
        check(c->change != NULL && c->phase == CONTROL_OPEN);
        c->changing = op;
        return true;
    }
    c->change = NULL;
    switch (verdict) {
    case VERDICT_AGAIN:
        if (row->kind == CHANGES) { /* it begins anew: a long wait must not use up its memory */
            arena_fini(&op->arena);
            op->response = NULL;
        }
        return false;
    case VERDICT_CLOSE: op_close(c, op); return true;
    case VERDICT_NOW: op_answer(c, op); return true;
    case VERDICT_TAKEN: return true;
    case VERDICT_MORE:
    case VERDICT_DONE: break;
    }
    check(op->response != NULL);
    if (c->is_dirty)
        list_append(&c->answers, &op->mail.link);
    else
        op_answer(c, op);
    return true;
}

/* The change that goes on over turns takes its next piece; others that change metadata wait. */
static int change_more(struct control *c)
{
    struct control_op *op = c->changing;
    if (op == NULL)
        return 0;
    c->changing = NULL;
    if (!request_run(c, op))
        list_add_between(&op->mail.link, &c->waiting, c->waiting.next);
    return 1;
}

static bool row_must_wait(const struct control *c, const struct control_row *row)
{
    if (row->kind == READS)
        return c->changing != NULL;
    return row->kind == CHANGES && !control_may_change(c) && !c->is_failed;
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
    n = change_more(c);
    list_for_each(link, next, &c->waiting) {
        struct control_op *op = op_of(link);
        if (n == CONTROL_REQUESTS_PER_TURN || (n > 0 && coordinator_is_tired(c->coordinator)))
            break;
        if (row_must_wait(c, row_find(op->api_key)))
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
    c->change_work = CONTROL_CHANGE_WORK;
    int n = io_poll(c->io);
    n += mail_work(c);
    n += timers_run(c->timers, now, CONTROL_TIMERS_PER_TURN);
    n += round_work(c);
    n += reload_work(c);
    n += requests_run(c);
    n += moves_turn(c);
    if (c->phase == CONTROL_OPEN && (c->is_dirty || c->wants_round) && c->changing == NULL &&
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
    return c->phase == CONTROL_OPEN && c->changing == NULL && list_is_empty(&c->waiting) &&
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
