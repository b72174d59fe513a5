/*
 * move.c - a log goes to another log directory while it is written and read.
 *
 * Owner: home.
 *
 *   WAITS -> BEGINS -> COPIES -> FREEZES -> FINISHES -> STANDS --plog_move_finish--> (over)
 *                        ^---------'                      '-----plog_move_give_up--> REMOVES
 *     any of them --error, plog_move_cancel, the log is dropped--> REMOVES -> (over)
 *
 * COPIES: sealed segments are copied by bulk, piece by piece, while the log goes on. What is not
 * sealed yet is rolled, written back and sealed, and copied then, until less than REST_BYTES_MAX is
 * left. FREEZES: the log takes no append (E_AGAIN: they wait in their queue) and no housekeeping;
 * what is left is sealed and copied. When everything is durable in both directories and the copy
 * has its name (move_copy.c), the caller lets the metadata decide: the log is then made anew in
 * memory from the same state in the other store (move_swap.c), and the old files are dropped. The
 * log stands still for a write-back, a seal and at most REST_BYTES_MAX of copying; one that does
 * not come to rest in FREEZE_NS goes on and is tried again.
 *
 * No compaction of a log that is being moved begins; retention goes on until the freeze, and what
 * it took is taken from the copy (COPY_FINISH). Journal rule 5: the log moves when all of it is
 * settled; entries of it that still stand in the old ring are not replayed, because the metadata
 * has it elsewhere (control_places_log).
 *
 * Rate: bytes_per_s counts bytes copied; a piece goes out when the ones before it are paid for. The
 * rest, copied while the log stands still, is not held up.
 */
#include "move.h"

#include <stdlib.h>

#include "checkpoint.h"
#include "journal.h"

enum { REST_BYTES_MAX = 4 << 20 };
#define FREEZE_NS (10 * NS_PER_S)
#define RETRY_NS  (5 * NS_PER_S)
#define SAVED_NS  (200 * NS_PER_MS) /* what an idle time may be made up for */

static void jobs_next(struct log_move *move, struct now now);

/* ── the end ── */

static void unfreeze(struct log_move *move)
{
    struct plog *log = move->log;
    if (log == NULL || !log->is_frozen)
        return;
    log->is_frozen = false;
    plog_mark_pending(log);
}

static void move_free(struct log_move *move)
{
    unfreeze(move);
    if (move->log != NULL)
        move->log->move = NULL;
    list_del(&move->link);
    move->store->stats.moving_n--;
    if (move->holds_creates)
        move->to->drops_waiting_n--;
    if (move->copy != NULL)
        free(move->copy->epochs);
    free(move->copy);
    move->copy = NULL;
    move->log = NULL;
}

static void move_over(struct log_move *move, struct now now)
{
    int error = move->error;
    check(error < 0);
    move->store->stats.move_errors += error != E_CLOSED && error != E_NOT_FOUND;
    move_free(move);
    move->done(move, error, now);
}

/* ── jobs ── */

static void job_done(struct job *job, struct now now)
{
    struct log_move *move = job->subject;
    int error = job->error;
    store_job_give(move->store, job);
    move->has_job = false;
    if (move->state == MOVE_REMOVES) { /* an error leaves a directory that the next start removes */
        if (move->copy->is_renamed && move->log != NULL)
            plog_fail(move->log, now); /* the metadata may name this one: it must not grow old */
        move_over(move, now);
        return;
    }
    move->job_error = error;
    jobs_next(move, now);
}

/* False: no job is free, ask again. */
static bool job_send(struct log_move *move, enum copy_order order)
{
    bool is_files = order == COPY_SWAP || order == COPY_REMOVE;
    struct job *job = store_job_take(move->store, NULL, is_files ? JOB_MOVE_NAMES : JOB_MOVE);
    if (job == NULL)
        return false;
    move->copy->order = (uint8_t)order;
    job->move = move->copy;
    move->has_job = true;
    move->job_error = 0;
    store_job_send(move->store, job, job_done, move);
    return true;
}

/* ── copying ── */

static bool is_paid(const struct log_move *move, struct now now)
{
    return move->log->is_frozen || now.ns >= move->paid_ns;
}

static void pay(struct log_move *move, uint64_t bytes, struct now now)
{
    if (move->bytes_per_s == 0)
        return;
    uint64_t from = max_u64(move->paid_ns, now.ns > SAVED_NS ? now.ns - SAVED_NS : 0);
    move->paid_ns = from + (uint64_t)((unsigned __int128)bytes * NS_PER_S / move->bytes_per_s);
}

/* The first segment that is not copied yet and may be. NULL: none now. */
static struct segment *segment_next(const struct log_move *move)
{
    const struct plog *log = move->log;
    for (uint32_t i = segment_find(log, move->next_offset); i < log->sealed_n; i++) {
        struct segment *s = log->segments[i];
        if (s->base_offset >= move->next_offset)
            return s->state == SEGMENT_SEALED && !s->is_swapping && !s->is_lost ? s : NULL;
    }
    return NULL;
}

/* Bytes and segments behind what is copied. */
static uint64_t rest_bytes(const struct log_move *move, uint32_t *segments_n)
{
    const struct plog *log = move->log;
    uint64_t bytes = 0;
    *segments_n = 0;
    for (uint32_t i = 0; i < log->segments_n; i++) {
        const struct segment *s = log->segments[i];
        if (s->base_offset < move->next_offset)
            continue;
        bytes += s->end_pos;
        *segments_n += s->is_rolled;
    }
    return bytes;
}

/* What was appended goes to its files and is sealed soon. */
static void hurry(struct plog *log)
{
    struct journal *j = log->store->journal;
    if (j != NULL && log->is_logged && log->settled.bytes < log->end.bytes) /* journal rule 5 */
        j->is_hurried = true;
    if (!log->is_logged && log->durable.bytes < log->written.bytes)
        plog_mark_unsynced(log);
    plog_mark_pending(log);
}

static bool segment_send(struct log_move *move, struct segment *s, struct now now)
{
    struct move_copy *c = move->copy;
    if (!is_paid(move, now))
        return true;
    if (!move->has_segment) {
        c->base_offset = s->base_offset;
        c->bytes = s->end_pos;
        c->pos = 0;
    }
    if (!job_send(move, COPY_PIECE))
        return false;
    move->has_segment = true;
    pay(move, min_u64(MOVE_PIECE_BYTES, c->bytes - c->pos), now);
    return true;
}

static struct segment *segment_at(const struct plog *log, int64_t base_offset)
{
    struct segment *s = log->segments[segment_find(log, base_offset)];
    return s->base_offset == base_offset ? s : NULL;
}

/* A piece is back. */
static void piece_over(struct log_move *move)
{
    struct move_copy *c = move->copy;
    struct segment *s = segment_at(move->log, c->base_offset);
    bool is_taken = move->job_error == E_NOT_FOUND && s == NULL; /* by retention */
    if (move->job_error != 0 && !is_taken) {
        move->error = move->job_error;
        return;
    }
    if (!c->is_segment_over && !is_taken)
        return;
    move->has_segment = false;
    move->copied_bytes += is_taken ? 0 : c->bytes;
    move->store->stats.move_bytes += is_taken ? 0 : c->bytes;
    move->next_offset = s != NULL ? s->end.offset : c->base_offset + 1;
}

static void freeze(struct log_move *move, struct now now)
{
    if (plog_roll(move->log, now) != 0)
        return; /* no memory: in a later turn */
    move->log->is_frozen = true;
    move->frozen_ns = now.ns;
    move->state = MOVE_FREEZES;
    hurry(move->log);
}

static void copies_step(struct log_move *move, struct now now)
{
    struct plog *log = move->log;
    struct segment *s =
        move->has_segment ? segment_at(log, move->copy->base_offset) : segment_next(move);
    uint32_t rolled_n;
    if (move->has_segment || s != NULL) {
        (void)segment_send(move, s, now);
        return;
    }
    uint64_t rest = rest_bytes(move, &rolled_n);
    if (now.ns < move->retry_ns || !is_paid(move, now))
        return;
    if (rolled_n == 0 && rest <= REST_BYTES_MAX)
        freeze(move, now);
    else if (rolled_n == 0)
        (void)!plog_roll(log, now);
    hurry(log);
}

/* ── standing still ── */

static bool has_reads_of_files(const struct store *store, const struct plog *log)
{
    list_for_each(node, next, &store->answers) {
        if (list_entry(node, struct time_query, mail.link)->log == log)
            return true;
    }
    return false;
}

/* Everything is sealed but the active segment, which is empty; nothing is under way or wanted. */
static bool is_still(const struct plog *log)
{
    return !list_is_linked(&log->dirty_link) && !list_is_linked(&log->sync_link) &&
           !plog_is_in_record(log) && log->sealed_n + 1 == log->segments_n &&
           plog_active(log)->end_pos == 0 && log->settled.bytes == log->end.bytes &&
           log->high.offset == log->end.offset && log->write == NULL && log->syncs_n == 0 &&
           log->jobs_n == 0 && !log->wants_sync && !log->has_epochs_job && !log->has_start_job &&
           log->store->compactor.log != log && !has_reads_of_files(log->store, log);
}

static bool epochs_make(struct move_copy *c, const struct epochs *epochs)
{
    free(c->epochs); /* of a freeze that was taken back */
    c->epochs = malloc(epochs_text_max(epochs));
    if (c->epochs == NULL)
        return false;
    c->epochs_n = epochs_text(epochs, c->epochs);
    return true;
}

static bool finish_send(struct log_move *move)
{
    struct plog *log = move->log;
    struct move_copy *c = move->copy;
    if (!epochs_make(c, &log->epochs))
        return false;
    c->first_offset = log->segments[0]->base_offset;
    c->end_offset = log->end.offset;
    c->start = log->start > log->segments[0]->base_offset ? log->start : 0;
    move->start_safe = log->start;
    return job_send(move, COPY_FINISH);
}

static void freezes_step(struct log_move *move, struct now now)
{
    struct plog *log = move->log;
    struct segment *s =
        move->has_segment ? segment_at(log, move->copy->base_offset) : segment_next(move);
    if (move->has_segment || s != NULL) {
        (void)segment_send(move, s, now);
        return;
    }
    if (is_still(log)) {
        if (finish_send(move))
            move->state = MOVE_FINISHES;
        return;
    }
    hurry(log);
    if (now.ns - move->frozen_ns < FREEZE_NS)
        return;
    unfreeze(move);
    move->retry_ns = now.ns + RETRY_NS;
    move->state = MOVE_COPIES;
}

static void finishes_step(struct log_move *move, struct now now)
{
    if (move->copy->is_renamed) {
        move->state = MOVE_STANDS;
        move->done(move, 0, now);
    } else {
        (void)job_send(move, COPY_SWAP);
    }
}

/* ── steps ── */

static void waits_step(struct log_move *move)
{
    if (move->log->store->compactor.log != move->log && job_send(move, COPY_BEGIN))
        move->state = MOVE_BEGINS;
}

static void move_step(struct log_move *move, struct now now)
{
    switch ((enum move_state)move->state) {
    case MOVE_WAITS: waits_step(move); return;
    case MOVE_BEGINS:
        move->state = MOVE_COPIES;
        move->next_offset = move->log->segments[0]->base_offset;
        copies_step(move, now);
        return;
    case MOVE_COPIES: copies_step(move, now); return;
    case MOVE_FREEZES: freezes_step(move, now); return;
    case MOVE_FINISHES: finishes_step(move, now); return;
    case MOVE_STANDS:
    case MOVE_REMOVES: return;
    }
}

static void removes_begin(struct log_move *move, struct now now)
{
    if (!move->copy->is_renamed) /* else the log goes on when the copy has lost its name */
        unfreeze(move);
    if (!move->copy->is_made) {
        move_over(move, now);
        return;
    }
    if (!job_send(move, COPY_REMOVE))
        return;
    move->state = MOVE_REMOVES;
    if (move->holds_creates)
        move->to->drops_waiting_n--;
    move->holds_creates = false;
}

static void move_judge(struct log_move *move)
{
    if (move->error != 0 || move->state == MOVE_STANDS)
        return;
    if (move->log == NULL)
        move->error = E_NOT_FOUND;
    else if (move->log->state != PLOG_OPEN || move->to->is_offline)
        move->error = E_STORAGE;
}

/* Nothing of it is under way. */
static void jobs_next(struct log_move *move, struct now now)
{
    move_judge(move);
    if (move->error == 0 && move->has_segment)
        piece_over(move);
    else if (move->error == 0 && move->job_error != 0)
        move->error = move->job_error;
    move->job_error = 0;
    if (move->error != 0)
        removes_begin(move, now);
    else
        move_step(move, now);
}

void store_moves_run(struct store *store, struct now now)
{
    list_for_each(node, next, &store->moves) {
        struct log_move *move = list_entry(node, struct log_move, link);
        if (move->has_job || move->state == MOVE_REMOVES)
            continue;
        move_judge(move);
        if (move->error != 0)
            removes_begin(move, now);
        else
            move_step(move, now);
    }
}

/* ── the caller's side ── */

static void paths_make(struct log_move *move)
{
    const struct plog *log = move->log;
    struct move_copy *c = move->copy;
    log_directory_path(c->from, log->store->config.directory, log->id.topic, log->id.partition);
    log_directory_path(c->live, move->to->config.directory, log->id.topic, log->id.partition);
    future_path(c->to, move->to->config.directory, log->id.topic, log->id.partition, move->seed);
}

static struct move_copy *copy_new(const struct plog *log)
{
    struct move_copy *c = malloc(sizeof *c);
    if (c == NULL)
        return NULL;
    memset(c, 0, offsetof(struct move_copy, buffer));
    c->in_fd = c->out_fd = -1;
    c->topic_id = log->id.topic_id;
    return c;
}

int plog_move_begin(struct plog *log, struct store *to, struct log_move *move, struct now now)
{
    store_own(log->store);
    check(to != log->store && move->done != NULL);
    if (log->state != PLOG_OPEN || to->is_offline)
        return E_STORAGE;
    if (log->move != NULL)
        return E_EXISTS;
    struct move_copy *c = copy_new(log);
    if (c == NULL)
        return E_NO_MEMORY;
    log->store->now = now;
    move->log = log;
    move->store = log->store;
    move->to = to;
    move->copy = c;
    move->state = MOVE_WAITS;
    move->error = move->job_error = 0;
    move->has_job = move->has_segment = move->holds_creates = false;
    move->next_offset = log->segments[0]->base_offset;
    move->copied_bytes = move->paid_ns = move->retry_ns = 0;
    paths_make(move);
    log->move = move;
    list_init(&move->link);
    list_append(&log->store->moves, &move->link);
    log->store->stats.moving_n++;
    return 0;
}

void plog_move_cancel(struct log_move *move)
{
    store_own(move->store);
    if (move->error == 0)
        move->error = E_CLOSED;
}

void plog_move_give_up(struct log_move *move)
{
    check(move->state == MOVE_STANDS && !move->has_job);
    plog_move_cancel(move); /* store_moves_run removes the copy */
}

struct plog *plog_move_finish(struct log_move *move, struct now now)
{
    struct plog *old = move->log;
    store_own(move->store);
    check(move->state == MOVE_STANDS && !move->has_job);
    if (old == NULL || move->error != 0)
        return NULL;
    int64_t start_safe = move->start_safe;
    struct plog *log = plog_switch(old, move->to, now);
    if (log == NULL)
        return NULL;
    log->start_safe = start_safe;
    move->store->stats.moves++;
    move_free(move);
    return log;
}

bool plog_moves_to(const struct plog *log, uint8_t *dir, uint64_t *bytes, int64_t *lag)
{
    const struct log_move *move = log->move;
    if (move == NULL)
        return false;
    *dir = move->to->config.dir;
    *bytes = move->copied_bytes + (move->has_segment && !move->has_job ? move->copy->pos : 0);
    *lag = max_i64(log->end.offset - move->next_offset, 0);
    return true;
}

void plog_move_forget(struct plog *log)
{
    struct log_move *move = log->move;
    if (move == NULL)
        return;
    log->move = NULL;
    log->is_frozen = false;
    move->log = NULL;
    move->to->drops_waiting_n++; /* a new log of this name may be made when the copy is gone */
    move->holds_creates = true;
    if (move->error == 0 && move->state != MOVE_STANDS)
        move->error = E_NOT_FOUND;
}

void store_moves_fini(struct store *store)
{
    struct list *l;
    while ((l = list_pop(&store->moves)) != NULL) {
        struct log_move *move = list_entry(l, struct log_move, link);
        move_copy_release(move->copy, store->disk);
        free(move->copy->epochs);
        free(move->copy);
        move->copy = NULL;
        if (move->log != NULL)
            move->log->move = NULL;
    }
}
