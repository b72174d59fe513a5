/*
 * worker.c - the turn of a polling core: take in, decide, give out.
 *
 * Owner: worker.
 *
 * Batching and group commit fall out of this shape: all appends of a turn leave in one write and
 * one flush, all answers of a turn in one system call. Three lists join the stages and no others:
 * ready (connections with bytes), dirty (logs with unwritten bytes), send (connections with
 * answers).
 *
 * The view is loaded after the mail was read, so what control said by mail (LOG_OPEN) has been done
 * before a view that knows of it is used, and it is used to the end of this turn and no longer.
 *
 * What it does not do: it reads no clock, waits for nothing, and frees nobody's memory. The loop
 * around it (thread.c, or the simulator) decides when the next turn is.
 */
#include "worker.h"

#include <stdio.h>

#define COMPACTION_STUCK_NS (60 * NS_PER_S) /* of one piece, which reads a megabyte */

/* ── in: mail ── */

/* control wants a log opened, dropped or configured. The answer tells what happened. */
static void worker_log_order(struct worker *w, struct log_op *op)
{
    struct plog *log = store_log_find(w->store, &op->id.topic_id, op->id.partition);

    op->error = 0;
    if (op->order == LOG_OPEN && log != NULL)
        plog_configure(log, &op->config);
    else if (op->order == LOG_OPEN && (op->dir >= w->stores_n || w->stores[op->dir] == NULL))
        op->error = E_STORAGE;
    else if (op->order == LOG_OPEN)
        op->error = store_log_new(w->stores[op->dir], &op->id, &op->config, &log);
    else if (log == NULL)
        op->error = E_NOT_FOUND;
    else if (op->order == LOG_DROP)
        store_log_drop(w->stores[plog_dir(log)], log);
    else
        plog_configure(log, &op->config);
    mail_answer(&w->post, &op->mail);
}

/* ── a log goes to another directory ── */

static void move_answer(struct worker *w, struct move_op *op, int error)
{
    op->home.is_here = false;
    op->error = error;
    mail_answer(&w->post, &op->mail);
}

static void move_done(struct log_move *move, int error, struct now now)
{
    struct move_op *op = container_of(move, struct move_op, home.move);
    struct worker *w = op->home.at;

    if (error != 0 && error != E_CLOSED && error != E_NOT_FOUND)
        diag_write(&w->diag, now, DIAG_MOVE_FAILED, error_text(error), op->partition, 0);
    move_answer(w, op, error);
}

static int move_begin(struct worker *w, struct move_op *op)
{
    struct plog *log = store_log_find(w->store, &op->topic_id, op->partition);

    if (log == NULL)
        return E_NOT_FOUND;
    if (op->dir >= w->stores_n || w->stores[op->dir] == NULL || plog_dir(log) == op->dir)
        return E_STORAGE;
    op->home.move =
        (struct log_move){.seed = op->seed, .bytes_per_s = op->bytes_per_s, .done = move_done};
    return plog_move_begin(log, w->stores[op->dir], &op->home.move, w->now);
}

static void worker_move(struct worker *w, struct move_op *op)
{
    int error = 0;

    op->home.at = w;
    op->home.is_here = true;
    switch ((enum move_step)op->step) {
    case MOVE_LOG_BEGIN:
        if ((error = move_begin(w, op)) != 0)
            move_answer(w, op, error);
        return;
    case MOVE_LOG_FINISH:
        if (plog_move_finish(&op->home.move, w->now) == NULL)
            error = op->home.move.log == NULL ? E_NOT_FOUND : E_NO_MEMORY;
        move_answer(w, op, error);
        return;
    case MOVE_LOG_GIVE_UP: plog_move_give_up(&op->home.move); return;
    }
    check(false);
}

static void worker_move_cancel(struct worker *w, struct cancel_move *cancel)
{
    if (cancel->op->home.is_here && cancel->op->step == MOVE_LOG_BEGIN)
        plog_move_cancel(&cancel->op->home.move);
    mail_answer(&w->post, &cancel->mail);
}

/* ── a directory fails ── */

static void worker_dir_mail(struct worker *w, struct dir_op *op, struct now now)
{
    if (op->mail.is_answer) { /* what control said about ours */
        if (op->is_first)
            diag_write(&w->diag, now, DIAG_DIRECTORY_FAILED, store_directory(w->stores[op->dir]), 0,
                       0);
        if (op->is_last)
            diag_write(&w->diag, now, DIAG_NO_DIRECTORY, NULL, 0, 0);
        return;
    }
    if (w->stores[op->dir] != NULL)
        (void)store_offline(w->stores[op->dir], now);
    w->is_dir_told[op->dir] = true;
    mail_answer(&w->post, &op->mail);
}

static void worker_mail(struct worker *w, struct mail *mail)
{
    switch ((enum mail_kind)mail->kind) {
    case MAIL_APPEND:
    case MAIL_READ:
    case MAIL_RELEASE:
    case MAIL_QUERY:
    case MAIL_REQUEST: kafka_mail(w->kafka, w->view, mail, w->now); return;
    case MAIL_LOG: worker_log_order(w, container_of(mail, struct log_op, mail)); return;
    case MAIL_CANCEL: kafka_mail(w->kafka, w->view, mail, w->now); return;
    case MAIL_COMMIT:
    case MAIL_LOAD: internal_mail(&w->internal, mail, w->now); return;
    case MAIL_MOVE: worker_move(w, container_of(mail, struct move_op, mail)); return;
    case MAIL_MOVE_CANCEL:
        worker_move_cancel(w, container_of(mail, struct cancel_move, mail));
        return;
    case MAIL_DIRECTORY:
        worker_dir_mail(w, container_of(mail, struct dir_op, mail), w->now);
        return;
    case MAIL_FILE:
    case MAIL_BULK: store_mail(w->store, mail, w->now); return;
    case MAIL_STOP:
    case MAIL_WORK:
    case MAIL_KINDS_N: break;
    }
    check(false); /* a kind that no worker is ever sent */
}

static int worker_mail_read(struct worker *w)
{
    struct mail *mail;
    int n = 0;

    while (n < WORKER_MAIL_MAX && (mail = mail_read(&w->post, &w->mail_from_at)) != NULL) {
        worker_mail(w, mail);
        n++;
    }
    return n;
}

/* ── the turn ── */

static int worker_flush(struct worker *w)
{
    bool is_paced = false;
    int n = 0;

    for (uint8_t i = 0; i < w->stores_n; i++) {
        if (w->stores[i] == NULL)
            continue;
        n += store_flush(w->stores[i], w->now);
        is_paced |= store_is_paced(w->stores[i]);
    }
    conns_pace(w->conns, is_paced);
    return n;
}

static uint32_t share_of(uint64_t n, uint8_t workers_n)
{
    return (uint32_t)min_u64(n / workers_n + (n % workers_n != 0), UINT32_MAX);
}

void worker_adjust(struct worker *w, const struct view *view)
{
    const struct live_settings *live = &view->live;
    uint8_t workers_n = w->views->workers_n;
    struct conn_limits limits = {
        .open_max = share_of(live->connections_max, workers_n),
        .per_ip_max = share_of(live->connections_per_ip_max, workers_n),
        .overrides_n = live->overrides_n,
    };

    static_assert((int)LIVE_OVERRIDES_MAX == (int)CONN_OVERRIDES_MAX, "they become one another");
    for (uint32_t i = 0; i < live->overrides_n; i++) {
        memcpy(limits.overrides[i].ip, live->overrides[i].ip, sizeof limits.overrides[i].ip);
        limits.overrides[i].n_max = share_of(live->overrides[i].connections_max, workers_n);
    }
    conns_limit(w->conns, &limits);
    for (uint8_t i = 0; i < w->stores_n; i++)
        if (w->stores[i] != NULL)
            store_adjust(w->stores[i], &live->store, (uint32_t)workers_n * w->stores_n);
    w->adjusted_version = view->version;
}

int worker_turn(struct worker *w, struct now now)
{
    int n = 0, done, sent;

    own(w);
    w->now = now;
    turns_begin(&w->turns, now);

    n += io_poll(w->io); /* in: what the kernel has finished   */
    turns_step(&w->turns, STEP_COMPLETIONS);
    done = worker_ports_rx(w, now); /*     packets, and what TCP makes of them */
    n += turns_step_of(&w->turns, STEP_PACKETS, done);
    done = worker_mail_read(w); /*     what other threads ask or answer */
    n += turns_step_of(&w->turns, STEP_MAIL, done);
    done = timers_run(&w->timers, now, WORKER_TIMERS_MAX); /*     what time it is                */
    n += turns_step_of(&w->turns, STEP_TIMERS, done);

    w->view = view_load(w->views, w->number);
    if (w->view->version != w->adjusted_version)
        worker_adjust(w, w->view);
    n += turns_step_of(&w->turns, STEP_INTERNAL, internal_turn(&w->internal, now));
    n += kafka_turn(w->kafka, w->view, now); /* decide: frames, requests, answers  */

    n += worker_flush(w); /* out: one write per dirty log       */
    turns_step(&w->turns, STEP_FLUSH);
    n += conns_send_ready(w->conns, now); /*      answers, in request order     */
    turns_step(&w->turns, STEP_SENDS);
    done = worker_ports_tx(w, now); /*      segments, acknowledgements    */
    n += turns_step_of(&w->turns, STEP_SEGMENTS, done);
    n += io_poll(w->io); /*      hand all of it to the kernel  */
    turns_step(&w->turns, STEP_SUBMIT);
    sent = mail_flush(&w->post); /*      and to the other threads      */
    if (turns_step_of(&w->turns, STEP_POST, sent) > 0)
        stats_add(&w->stats, STAT_MAIL_SENT, (uint64_t)sent);
    turns_end(&w->turns);
    return n + sent;
}

void worker_stop(struct worker *w, uint64_t deadline_ns)
{
    own(w);
    if (w->is_stopping)
        return;
    w->is_stopping = true;
    conns_stop(w->conns, deadline_ns);
}

bool worker_is_quiet(const struct worker *w)
{
    bool is_quiet =
        conns_count(w->conns) == 0 && kafka_is_quiet(w->kafka) && internal_is_quiet(&w->internal);

    for (uint8_t i = 0; i < w->stores_n; i++)
        is_quiet = is_quiet && (w->stores[i] == NULL || store_is_quiet(w->stores[i]));
    return is_quiet;
}

/* ── the tick: housekeeping and counters ── */

static void worker_copy_compaction(struct worker *w, const struct store_stats *s)
{
    stats_set(&w->stats, STAT_COMPACTIONS, s->compactions);
    stats_set(&w->stats, STAT_COMPACTION_ERRORS, s->compact_errors);
    stats_set(&w->stats, STAT_COMPACTION_READ_BYTES, s->compact_read_bytes);
    stats_set(&w->stats, STAT_COMPACTION_WRITE_BYTES, s->compact_written_bytes);
    stats_set(&w->stats, STAT_COMPACTING, s->compact_running_n);
    stats_set(&w->stats, STAT_COMPACTION_WAIT_NS, s->compact_wait_ns);
    stats_set(&w->stats, STAT_COMPACTION_DIRTY_MAX, s->compact_dirty_max);
    stats_set(&w->stats, STAT_LOGS_UNCLEANABLE, s->logs_uncleanable_n);
}

static void worker_copy_repacks(struct worker *w, const struct store_stats *s)
{
    stats_set(&w->stats, STAT_REPACKS, s->repacks);
    stats_set(&w->stats, STAT_REPACKS_REFUSED, s->repacks_refused);
    stats_set(&w->stats, STAT_REPACK_FROM_BYTES, s->repack_from_bytes);
    stats_set(&w->stats, STAT_REPACK_TO_BYTES, s->repack_to_bytes);
}

static void stats_sum_compaction(struct store_stats *to, const struct store_stats *s)
{
    if (s->compact_errors > 0)
        to->compact_error = s->compact_error;
    to->compactions += s->compactions;
    to->compact_errors += s->compact_errors;
    to->compact_read_bytes += s->compact_read_bytes;
    to->compact_written_bytes += s->compact_written_bytes;
    to->compact_running_n += s->compact_running_n;
    to->compact_wait_ns = max_u64(to->compact_wait_ns, s->compact_wait_ns);
    to->compact_dirty_max = max_u64(to->compact_dirty_max, s->compact_dirty_max);
    to->logs_uncleanable_n += s->logs_uncleanable_n;
}

static void stats_sum_repacks(struct store_stats *to, const struct store_stats *s)
{
    to->repacks += s->repacks;
    to->repacks_refused += s->repacks_refused;
    to->repack_from_bytes += s->repack_from_bytes;
    to->repack_to_bytes += s->repack_to_bytes;
}

static void stats_sum(struct store_stats *to, const struct store_stats *s)
{
    to->appended_bytes += s->appended_bytes;
    to->duplicate_batches += s->duplicate_batches;
    to->producers_forgotten += s->producers_forgotten;
    to->write_ops += s->write_ops;
    to->write_bytes += s->write_bytes;
    to->flush_rounds += s->flush_rounds;
    to->flush_ops += s->flush_ops;
    to->flush_ns_total += s->flush_ns_total;
    to->journal_records += s->journal_records;
    to->journal_bytes += s->journal_bytes;
    to->journal_flushes += s->journal_flushes;
    to->journal_ns_total += s->journal_ns_total;
    to->journal_used_bytes += s->journal_used_bytes;
    to->journal_full_n += s->journal_full_n;
    to->journal_failed += s->journal_failed;
    to->journal_pinned += s->journal_pinned;
    to->write_back_rounds += s->write_back_rounds;
    to->read_hits += s->read_hits;
    to->read_misses += s->read_misses;
    to->rolls += s->rolls;
    to->logs_n += s->logs_n;
    to->logs_failed_n += s->logs_failed_n;
    to->logs_full_n += s->logs_full_n;
    to->stalls += s->stalls;
    to->moves += s->moves;
    to->move_errors += s->move_errors;
    to->moving_n += s->moving_n;
    to->move_bytes += s->move_bytes;
    to->checkpoint_errors += s->checkpoint_errors;
    to->files_open_n += s->files_open_n;
    stats_sum_compaction(to, s);
    stats_sum_repacks(to, s);
    to->is_low |= s->is_low;
    if (s->free_bytes > 0 && (to->free_bytes == 0 || s->free_bytes < to->free_bytes))
        to->free_bytes = s->free_bytes; /* of the fullest disk */
    for (int i = 0; i < ERRORS_N; i++)
        to->refused[i] += s->refused[i];
}

static void worker_show_dir(struct worker *w, uint8_t dir, const struct store_stats *s)
{
    stats_cell_set(&w->dirs[dir].is_offline, w->is_dir_told[dir]);
    stats_cell_set(&w->dirs[dir].logs, s->logs_n);
    stats_cell_set(&w->dirs[dir].free_bytes, s->free_bytes);
    stats_cell_set(&w->dirs[dir].reserve_bytes, s->reserve_bytes);
}

/* All directories together, and each by itself. */
static void worker_sum_stores(struct worker *w)
{
    w->store_stats = (struct store_stats){.is_low = false};
    for (uint8_t i = 0; i < w->stores_n; i++) {
        if (w->stores[i] == NULL)
            continue;
        stats_sum(&w->store_stats, store_stats(w->stores[i]));
        worker_show_dir(w, i, store_stats(w->stores[i]));
    }
}

static void worker_copy_moves(struct worker *w, const struct store_stats *s)
{
    stats_set(&w->stats, STAT_DISK_STALLS, s->stalls);
    stats_set(&w->stats, STAT_LOGS_MOVING, s->moving_n);
    stats_set(&w->stats, STAT_LOG_MOVES, s->moves);
    stats_set(&w->stats, STAT_LOG_MOVE_ERRORS, s->move_errors);
    stats_set(&w->stats, STAT_LOG_MOVE_BYTES, s->move_bytes);
}

static void worker_copy_store(struct worker *w)
{
    const struct store_stats *s = &w->store_stats;

    stats_set(&w->stats, STAT_APPEND_BYTES, s->appended_bytes);
    stats_set(&w->stats, STAT_APPEND_DUPLICATES, s->duplicate_batches);
    stats_set(&w->stats, STAT_PRODUCERS_FORGOTTEN, s->producers_forgotten);
    stats_set(&w->stats, STAT_WRITE_OPS, s->write_ops);
    stats_set(&w->stats, STAT_WRITE_BYTES, s->write_bytes);
    stats_set(&w->stats, STAT_FLUSH_ROUNDS, s->flush_rounds);
    stats_set(&w->stats, STAT_FLUSH_OPS, s->flush_ops);
    stats_set(&w->stats, STAT_FLUSH_NS, s->flush_ns_total);
    stats_set(&w->stats, STAT_JOURNAL_RECORDS, s->journal_records);
    stats_set(&w->stats, STAT_JOURNAL_BYTES, s->journal_bytes);
    stats_set(&w->stats, STAT_JOURNAL_FLUSHES, s->journal_flushes);
    stats_set(&w->stats, STAT_JOURNAL_NS, s->journal_ns_total);
    stats_set(&w->stats, STAT_JOURNAL_USED_BYTES, s->journal_used_bytes);
    stats_set(&w->stats, STAT_JOURNAL_FULL, s->journal_full_n);
    stats_set(&w->stats, STAT_JOURNAL_FAILED, s->journal_failed);
    stats_set(&w->stats, STAT_JOURNAL_PINNED, s->journal_pinned);
    stats_set(&w->stats, STAT_WRITE_BACK_ROUNDS, s->write_back_rounds);
    stats_set(&w->stats, STAT_READ_HITS, s->read_hits);
    stats_set(&w->stats, STAT_READ_MISSES, s->read_misses);
    stats_set(&w->stats, STAT_ROLLS, s->rolls);
    stats_set(&w->stats, STAT_LOGS, s->logs_n);
    stats_set(&w->stats, STAT_LOGS_FAILED, s->logs_failed_n);
    stats_set(&w->stats, STAT_LOGS_FULL, s->logs_full_n);
    stats_set(&w->stats, STAT_DISK_FREE_BYTES, s->free_bytes);
    stats_set(&w->stats, STAT_DISK_IS_LOW, s->is_low);
    stats_set(&w->stats, STAT_CHECKPOINT_ERRORS, s->checkpoint_errors);
    worker_copy_compaction(w, s);
    worker_copy_repacks(w, s);
    worker_copy_moves(w, s);
    stats_set(&w->stats, STAT_FILES_OPEN, s->files_open_n);
    stats_set(&w->stats, STAT_STORAGE_PAGES_BYTES, w->log_pages.used_bytes);
}

static void worker_copy_conns(struct worker *w)
{
    const struct conns_stats *c = conns_stats(w->conns);

    stats_set(&w->stats, STAT_CONNS_OPEN, c->open_n);
    stats_set(&w->stats, STAT_CONNS_ACCEPTED, c->accepted_n);
    stats_set(&w->stats, STAT_RX_BYTES, c->rx_bytes);
    stats_set(&w->stats, STAT_TX_BYTES, c->tx_bytes);
    stats_set(&w->stats, STAT_REQUEST_PAGES_BYTES, w->request_pages.used_bytes);
}

static const char *conn_end_text(int end)
{
    static const char *const texts[] = {
#define END(name, text) text,
        CONN_ENDS(END)
#undef END
    };
    return texts[end];
}

static void worker_report_space(struct worker *w, const struct store_stats *s)
{
    bool is_short = s->is_low || s->logs_full_n > 0;

    if (is_short)
        diag_write(&w->diag, w->now, DIAG_DISK_FULL, NULL, (int64_t)(s->free_bytes >> 20),
                   (int64_t)s->logs_full_n);
    else if (w->is_disk_short)
        diag_write(&w->diag, w->now, DIAG_DISK_SPACE_BACK, NULL, (int64_t)(s->free_bytes >> 20), 0);
    w->is_disk_short = is_short;
    if (s->checkpoint_errors > w->checkpoint_errors_seen)
        diag_write(&w->diag, w->now, DIAG_CHECKPOINT_FAILED, NULL,
                   (int64_t)(s->checkpoint_errors - w->checkpoint_errors_seen), 0);
    w->checkpoint_errors_seen = s->checkpoint_errors;
}

/* Of each directory one worker tells. */
static void worker_report_reserves(struct worker *w)
{
    for (uint8_t i = 0; i < w->stores_n && w->number == 0; i++) {
        const struct store_stats *s = w->stores[i] == NULL ? NULL : store_stats(w->stores[i]);
        if (s == NULL || (s->reserve_out > 0) == (w->reserves_out_seen[i] > 0))
            continue;
        w->reserves_out_seen[i] = s->reserve_out;
        if (s->reserve_out > 0)
            diag_write(&w->diag, w->now, DIAG_RESERVE_RELEASED, store_directory(w->stores[i]),
                       (int64_t)(s->reserve_out >> 20), (int64_t)(s->free_bytes >> 20));
        else
            diag_write(&w->diag, w->now, DIAG_RESERVE_BACK, store_directory(w->stores[i]),
                       (int64_t)(s->reserve_bytes >> 20), 0);
    }
}

/* A compaction that failed, and a helper that does not answer any more. */
static void worker_report_compaction(struct worker *w, const struct store_stats *s)
{
    bool is_stuck = s->compact_wait_ns > COMPACTION_STUCK_NS;

    if (s->compact_errors > w->compact_errors_seen)
        diag_write(&w->diag, w->now, DIAG_COMPACTION_FAILED, error_text(s->compact_error),
                   (int64_t)(s->compact_errors - w->compact_errors_seen),
                   (int64_t)s->logs_uncleanable_n);
    w->compact_errors_seen = s->compact_errors;
    if (is_stuck && !w->is_compaction_stuck)
        diag_write(&w->diag, w->now, DIAG_COMPACTION_STUCK, NULL,
                   (int64_t)(s->compact_wait_ns / NS_PER_S), 0);
    w->is_compaction_stuck = is_stuck;
}

static void worker_report_stalls(struct worker *w)
{
    for (uint8_t i = 0; i < w->stores_n; i++) {
        const struct store_stats *s = w->stores[i] == NULL ? NULL : store_stats(w->stores[i]);
        char text[DIAG_TEXT_MAX];
        if (s == NULL || s->stalls == w->stalls_seen[i])
            continue;
        const char *device = w->log_dirs[i].device;
        snprintf(text, sizeof text, "%.48s (device %s)", store_directory(w->stores[i]),
                 device[0] != 0 ? device : "unknown");
        diag_write(&w->diag, w->now, DIAG_DISK_STALLED, text, (int64_t)(s->stall_ns / NS_PER_MS),
                   (int64_t)(s->stalls - w->stalls_seen[i]));
        w->stalls_seen[i] = s->stalls;
    }
}

/* What an operator should know of the last second: one event per cause, with how often. */
static void worker_report(struct worker *w)
{
    const struct store_stats *s = &w->store_stats;
    const struct conns_stats *c = conns_stats(w->conns);

    if (s->logs_failed_n > w->failed_logs_seen)
        diag_write(&w->diag, w->now, DIAG_LOG_FAILED, NULL,
                   (int64_t)(s->logs_failed_n - w->failed_logs_seen), 0);
    w->failed_logs_seen = s->logs_failed_n;
    worker_report_space(w, s);
    worker_report_reserves(w);
    worker_report_compaction(w, s);
    worker_report_stalls(w);
    for (int i = 1; i < ERRORS_N; i++) {
        if (s->refused[i] > w->refused_seen[i] && i != -E_AGAIN)
            diag_write(&w->diag, w->now, DIAG_APPENDS_REFUSED, error_text(-i),
                       (int64_t)(s->refused[i] - w->refused_seen[i]), 0);
        w->refused_seen[i] = s->refused[i];
    }
    for (int i = 0; i < CONN_ENDS_N; i++) {
        bool is_ordinary = i == CONN_END_PEER || i == CONN_END_RESET || i == CONN_END_IDLE ||
                           i == CONN_END_STOPPING;
        if (c->ends[i] > w->ends_seen[i] && !is_ordinary)
            diag_write(&w->diag, w->now, DIAG_CONNECTIONS_ENDED, conn_end_text(i),
                       (int64_t)(c->ends[i] - w->ends_seen[i]), 0);
        w->ends_seen[i] = c->ends[i];
    }
    stats_set(&w->stats, STAT_DIAG_DROPPED, w->diag.dropped_n);
}

/* With several directories one whose log or journal failed is given up as a whole, here at once and
 * by control's decision everywhere, so that the others are what clients and operators can rely on.
 * The only one there is serves what it still can. */
static void worker_judge_dirs(struct worker *w, struct now now)
{
    uint8_t online_n = 0;

    for (uint8_t i = 0; i < w->stores_n; i++)
        online_n += w->stores[i] != NULL;
    for (uint8_t i = 0; i < w->stores_n && online_n > 1; i++) {
        if (w->stores[i] == NULL || w->is_dir_told[i])
            continue;
        const struct store_stats *s = store_stats(w->stores[i]);
        if (s->logs_failed_n == 0 && s->journal_failed == 0 && s->journal_pinned == 0)
            continue;
        (void)store_offline(w->stores[i], now);
        w->is_dir_told[i] = true;
        w->dirs_failed[i].dir = i;
        list_init(&w->dirs_failed[i].mail.link);
        mail_send(&w->post, w->control_thread, MAIL_DIRECTORY, &w->dirs_failed[i].mail);
    }
}

static void worker_tick(struct timer *timer, struct now now)
{
    struct worker *w = container_of(timer, struct worker, tick);

    for (uint8_t i = 0; i < w->stores_n; i++)
        if (w->stores[i] != NULL)
            store_tick(w->stores[i], now);
    worker_judge_dirs(w, now);
    worker_sum_stores(w);
    worker_copy_store(w);
    worker_copy_conns(w);
    worker_ports_show(w);
    worker_look(w);
    if (++w->report_ticks_n % WORKER_REPORT_TICKS == 0)
        worker_report(w);
    timer_set(&w->timers, &w->tick, now.ns + WORKER_TICK_MS * NS_PER_MS);
}

void worker_begin(struct worker *w, struct now now)
{
    w->now = now;
    internal_init(&w->internal, w->store, &w->post);
    kafka_turns(w->kafka, &w->turns);
    timer_init(&w->tick, worker_tick);
    timer_set(&w->timers, &w->tick, now.ns + WORKER_TICK_MS * NS_PER_MS);
}
