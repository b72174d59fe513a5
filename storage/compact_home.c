/*
 * compact_home.c - which log is compacted, when, how fast, and what becomes of its segments.
 *
 * Owner: home. One log of a store at a time.
 *
 *   IDLE --log.cleaner.backoff.ms--> LOOKING --every log was looked at--> RUNNING or IDLE
 *   RUNNING: pieces go to bulk and come back --over--> LOOKING
 *
 * LOOKING costs a comparison per log and tick of the store (store_tick looks at TICK_LOGS_MAX logs
 * a tick), never a loop over all. The dirtiest log wins, as in Apache Kafka; one whose oldest dirty
 * record is older than max.compaction.lag.ms comes before all others.
 *
 * A segment may be read when it is sealed and all of it is below the high watermark, the last
 * stable offset and min.compaction.lag.ms; so the active segment never is, and the content of every
 * one that is stands durable in its own file.
 *
 * The swap: at the end of a group home looks whether its segments are still those that were read
 * (retention may have taken some, then the compaction is given up; it never makes retention wait)
 * and that no job is opening one of them by name. Then the new segment takes their place in memory,
 * at once, and bulk renames the files; until that has come back nobody opens the new segment's file
 * by its name (is_swapping). Readers within an old segment go on with its open file, or look their
 * offset up again (reader.c).
 *
 * Rate: log.cleaner.io.max.bytes.per.second counts bytes read and written, a piece goes out when
 * the ones before it are paid for.
 *
 * A log whose compaction ended with an error of its bytes or of the disk is not looked at again
 * until the next start, as in Apache Kafka; for want of memory or space it is tried again later. A
 * swap that failed fails the log: what its files are called is not known.
 */
#include <stdlib.h>

#include "checkpoint.h"
#include "compact.h"

#define RATE_SAVED_NS (200 * NS_PER_MS) /* what an idle time may be made up for */
#define RETRY_NS      (100 * NS_PER_MS)

enum { RATIO_ONE = 1000000 };

/* ── memory ── */

static struct compact *compact_new(struct plog *log, uint32_t sources_n, uint32_t aborted_n)
{
    struct compact *c = calloc(1, sizeof *c);
    uint64_t snapshot_bytes = producers_snapshot_bytes(&log->producers);
    if (c == NULL)
        return NULL;
    c->scan_fd = c->out_fd = -1;
    c->sources = calloc(sources_n, sizeof *c->sources);
    c->aborted = calloc(max_u64(aborted_n, 1), sizeof *c->aborted);
    c->snapshot = snapshot_bytes <= INT32_MAX ? malloc(snapshot_bytes) : NULL;
    c->snapshot_bytes = (uint32_t)snapshot_bytes;
    if (c->sources != NULL && c->aborted != NULL && c->snapshot != NULL)
        return c;
    free(c->sources);
    free(c->aborted);
    free(c->snapshot);
    free(c);
    return NULL;
}

/* Bulk has given back what was its own. */
static void compact_free(struct compact *c)
{
    for (uint32_t i = 0; i < c->sources_n; i++)
        segment_put(c->sources[i].segment);
    free(c->sources);
    free(c->aborted);
    free(c->snapshot);
    free(c);
}

void store_compact_fini(struct store *store)
{
    struct compact *c = store->compactor.compact;
    if (c == NULL)
        return;
    compact_release(c, store->disk);
    c->sources_n = 0; /* segments are taken apart elsewhere */
    compact_free(c);
    store->compactor.compact = NULL;
}

/* ── looking ── */

/* How many leading segments may be compacted, and how many of them are dirty, in bytes. */
struct look {
    uint32_t n, first_dirty;
    uint64_t clean_bytes, dirty_bytes;
};

/* The first offset that no compaction has seen. */
static int64_t dirty_from(const struct plog *log)
{
    return max_i64(log->cleaner_offset, log->start);
}

static bool segment_is_ready(const struct plog *log, const struct segment *s, int64_t limit,
                             int64_t now_ms)
{
    int64_t lag_ms = log->config.min_compaction_lag_ms;
    if (s->state != SEGMENT_SEALED || s->is_swapping || s->is_syncing || s->is_lost ||
        s->end.offset > limit || !segment_is_settled(s))
        return false;
    return lag_ms <= 0 || s->end.offset <= dirty_from(log) || s->max_timestamp <= now_ms - lag_ms;
}

static void log_look(const struct plog *log, int64_t now_ms, struct look *out)
{
    int64_t limit = min_i64(log->settled.offset, min_i64(log->high.offset, plog_stable(log)));
    *out = (struct look){.n = 0};
    for (; out->n < log->sealed_n; out->n++) {
        const struct segment *s = log->segments[out->n];
        if (!segment_is_ready(log, s, limit, now_ms))
            return;
        if (s->end.offset <= dirty_from(log)) {
            out->first_dirty = out->n + 1;
            out->clean_bytes += s->end_pos;
        } else {
            out->dirty_bytes += s->end_pos;
        }
    }
}

/* The first timestamp of the dirty part, or one that is not later: what is not known of a segment
 * is at least what the one before it ended with. */
static int64_t dirty_since_ms(const struct plog *log, const struct look *look)
{
    const struct segment *first = log->segments[look->first_dirty];
    if (first->first_timestamp >= 0)
        return first->first_timestamp;
    return look->first_dirty > 0 ? log->segments[look->first_dirty - 1]->max_timestamp
                                 : first->max_timestamp;
}

/* In millionths; 0: nothing to do. Above RATIO_ONE: it must be compacted now. */
static uint32_t log_score(const struct plog *log, int64_t now_ms)
{
    struct look look;
    log_look(log, now_ms, &look);
    if (look.dirty_bytes == 0)
        return 0;
    uint64_t all = look.clean_bytes + look.dirty_bytes;
    uint32_t ratio = (uint32_t)((unsigned __int128)look.dirty_bytes * RATIO_ONE / all);
    int64_t lag_ms = log->config.max_compaction_lag_ms;
    int64_t since_ms = dirty_since_ms(log, &look);
    if (since_ms >= 0 && since_ms < now_ms && now_ms - since_ms > lag_ms)
        return RATIO_ONE + ratio;
    return ratio > log->config.min_dirty_millionths ? max_u32(ratio, 1) : 0;
}

void plog_compact_look(struct plog *log, struct now now)
{
    struct compactor *c = &log->store->compactor;
    if (c->state != COMPACTOR_LOOKING || c->left == 0)
        return;
    c->left--;
    if (!log->config.is_compacted || log->is_uncleanable || log->state != PLOG_OPEN ||
        log->move != NULL || now.ns < log->compact_after_ns)
        return;
    uint32_t score = log_score(log, now.wall_ms);
    c->ratio_max = max_u32(c->ratio_max, min_u32(score, RATIO_ONE));
    if (score > c->best_score) {
        c->best_score = score;
        c->best = log;
    }
}

void plog_compact_forget(struct plog *log)
{
    struct compactor *c = &log->store->compactor;
    if (c->best == log) {
        c->best = NULL;
        c->best_score = 0;
    }
    if (log->is_uncleanable)
        log->store->stats.logs_uncleanable_n--;
    log->is_uncleanable = false;
}

/* ── beginning ── */

static int by_first_offset(const void *a, const void *b)
{
    const struct aborted_entry *x = a, *y = b;
    return x->first_offset < y->first_offset ? -1 : x->first_offset > y->first_offset;
}

static void compact_fill(struct compact *c, struct plog *log, const struct look *look,
                         struct now now)
{
    const struct store *store = log->store;
    const struct aborted_list *aborted = &log->aborted;
    int64_t end = log->segments[look->n - 1]->end.offset;
    log_directory_path(c->directory, store->config.directory, log->id.topic, log->id.partition);
    c->config = log->config;
    c->dirty_from = max_i64(dirty_from(log), log->segments[0]->base_offset);
    c->now_ms = now.wall_ms;
    c->map_bytes = store->config.compact_map_bytes;
    c->load_percent = store->config.compact_load_percent;
    for (uint32_t i = 0; i < look->n; i++) {
        struct segment *s = log->segments[i];
        segment_get(s);
        c->sources[c->sources_n++] =
            (struct compact_source){s, s->base_offset, s->end.offset, s->end_pos};
    }
    for (uint32_t i = 0; i < aborted->n; i++)
        if (aborted->v[i].first_offset < end)
            c->aborted[c->aborted_n++] = aborted->v[i];
    qsort(c->aborted, c->aborted_n, sizeof *c->aborted, by_first_offset);
    producers_snapshot_encode(&log->producers, c->snapshot);
}

/* False: not now. */
static bool compact_start(struct store *store, struct plog *log, struct now now)
{
    struct look look;
    log_look(log, now.wall_ms, &look);
    if (look.dirty_bytes == 0 || log->state != PLOG_OPEN || log->move != NULL ||
        store->stats.is_low)
        return false;
    struct compact *c = compact_new(log, look.n, log->aborted.n);
    if (c == NULL)
        return false;
    compact_fill(c, log, &look, now);
    store->compactor.compact = c;
    store->compactor.log = log;
    store->compactor.order = COMPACT_GO;
    store->compactor.state = COMPACTOR_RUNNING;
    store->compactor.retry_ns = 0;
    log->jobs_n++; /* until it is over: a drop waits for that */
    return true;
}

/* ── the swap in memory ── */

/* 0; E_AGAIN: something is being opened, later; E_NOT_FOUND: they are not all there any more. */
static int group_judge(const struct compact *c, const struct plog *log, uint32_t *at)
{
    const struct segment *first = c->sources[c->group_at].segment;
    if (first->log != log)
        return E_NOT_FOUND;
    *at = segment_find(log, first->base_offset);
    for (uint32_t i = 0; i < c->group_n; i++) {
        const struct segment *s = c->sources[c->group_at + i].segment;
        if (*at + i >= log->sealed_n || log->segments[*at + i] != s)
            return E_NOT_FOUND;
        if (s->is_opening || s->is_raw_opening || s->is_index_loading || s->is_closing ||
            list_is_linked(&s->want_link) || !list_is_empty(&s->waits))
            return E_AGAIN;
    }
    return 0;
}

static struct segment *group_segment(const struct compact *c, const struct segment *last)
{
    const struct segment *r = &c->result;
    struct segment *s = segment_make(last->store, r->base_offset, last->created_ms);
    if (s == NULL)
        return NULL;
    s->state = SEGMENT_SEALED;
    s->is_rolled = s->is_swapping = true;
    s->is_index_loaded = false;
    s->end = last->end;
    s->end_pos = s->written_pos = s->durable_pos = r->end_pos;
    s->first_timestamp = r->first_timestamp;
    s->max_timestamp = r->max_timestamp;
    s->max_timestamp_offset = r->max_timestamp_offset;
    return s;
}

static int group_swap(const struct compact *c, struct plog *log)
{
    uint32_t at;
    int rc = group_judge(c, log, &at);
    if (rc != 0)
        return rc;
    const struct segment *last = c->sources[c->group_at + c->group_n - 1].segment;
    rc =
        aborted_replace(&log->aborted, c->result.base_offset, last->end.offset, c->kept, c->kept_n);
    if (rc != 0)
        return rc;
    struct segment *s = group_segment(c, last);
    if (s == NULL)
        return E_NO_MEMORY;
    segments_replace(log, at, c->group_n, s);
    log->is_changed = true;
    return 0;
}

/* Bulk has renamed the files, or not. */
static void group_swapped(struct plog *log, int64_t base_offset, int error, struct now now)
{
    struct segment *s = log->segments[segment_find(log, base_offset)];
    check(s->base_offset == base_offset && s->is_swapping);
    s->is_swapping = false;
    s->is_lost = error != 0;
    reads_run(&s->waits, error == 0 ? 0 : E_STORAGE, now);
}

/* ── pieces ── */

static void piece_send(struct store *store, struct now now);

static void look_again(struct store *store, uint64_t wait_ns, struct now now)
{
    struct compactor *k = &store->compactor;
    k->compact = NULL;
    k->log = NULL;
    k->state = COMPACTOR_IDLE;
    k->at_ns = now.ns + wait_ns;
}

/* A whole compaction is over. */
static void compact_end(struct store *store, struct plog *log, int error, struct now now)
{
    struct compact *c = store->compactor.compact;
    if (error == 0 && store->compactor.order != COMPACT_GIVE_UP && log->state == PLOG_OPEN) {
        log->cleaner_offset = max_i64(log->cleaner_offset, c->map_end);
        store->stats.compactions++;
        store->checkpoints_due |= 1u << CHECKPOINT_CLEANER;
        plog_mark_moved(log);
    } else if (error != 0 && log->state != PLOG_CLOSED) {
        store->stats.compact_errors++;
        store->stats.compact_error = error;
        log->compact_after_ns = now.ns + max_u64(store->config.compact_backoff_ns, NS_PER_MS);
        log->is_uncleanable = error != E_NO_MEMORY && error != E_DISK_FULL && error != E_NOT_FOUND;
        store->stats.logs_uncleanable_n += log->is_uncleanable;
    }
    compact_free(c);
    look_again(store, 0, now);
    log->jobs_n--;
    if (log->state == PLOG_CLOSED)
        plog_mark_pending(log); /* a drop waits for this */
}

/* A group stands ready: into the log with it. */
static void group_ready(struct store *store, struct plog *log)
{
    struct compactor *k = &store->compactor;
    int rc = log->state == PLOG_OPEN ? group_swap(k->compact, log) : E_NOT_FOUND;
    k->is_waiting = rc == E_AGAIN || rc == E_NO_MEMORY;
    k->order = rc == 0 ? COMPACT_SWAP : COMPACT_GIVE_UP;
}

static void rate_pay(struct compactor *k, const struct store *store, struct now now)
{
    uint64_t bytes = k->compact->read_bytes + k->compact->written_bytes;
    uint64_t per_s = store->config.compact_bytes_per_s;
    uint64_t saved = now.ns > RATE_SAVED_NS ? now.ns - RATE_SAVED_NS : 0;
    if (per_s > 0)
        k->at_ns = max_u64(k->at_ns, saved) + bytes * NS_PER_S / per_s;
}

/* True: the swap is to be tried again. */
static bool swap_answered(struct store *store, struct plog *log, int error, struct now now)
{
    struct compactor *k = &store->compactor;
    if (error == E_DISK_FULL && log->state == PLOG_OPEN) {
        k->retry_ns = now.ns + RETRY_NS;
        return true;
    }
    if (log->state != PLOG_CLOSED)
        group_swapped(log, k->swapping_base, error, now);
    if (error != 0 && log->state == PLOG_OPEN) {
        store->stats.compact_errors++;
        store->stats.compact_error = error;
        plog_fail(log, now);
    }
    k->order = error == 0 && log->state == PLOG_OPEN ? COMPACT_GO : COMPACT_GIVE_UP;
    return false;
}

static void piece_done(struct job *job, struct now now)
{
    struct plog *log = job->subject;
    struct store *store = log->store;
    struct compactor *k = &store->compactor;
    struct compact *c = k->compact;
    int error = job->error;
    bool is_swap = k->order == COMPACT_SWAP, is_again = false;
    store_job_give(store, job);
    k->has_job = false;
    store->stats.compact_read_bytes += c->read_bytes;
    store->stats.compact_written_bytes += c->written_bytes;
    rate_pay(k, store, now);
    if (is_swap)
        is_again = swap_answered(store, log, error, now);
    if (c->said == COMPACT_DONE) {
        compact_end(store, log, is_swap ? 0 : error, now);
        return;
    }
    if (log->state != PLOG_OPEN)
        k->order = COMPACT_GIVE_UP;
    else if (!is_again && c->said == COMPACT_READY)
        group_ready(store, log);
    piece_send(store, now);
}

static void piece_send(struct store *store, struct now now)
{
    struct compactor *k = &store->compactor;
    struct plog *log = k->log;
    if (k->has_job || k->is_waiting || (k->order == COMPACT_GO && now.ns < k->at_ns) ||
        (k->order == COMPACT_SWAP && now.ns < k->retry_ns))
        return;
    struct job *job = store_job_take(store, log, JOB_COMPACT);
    if (job == NULL)
        return; /* in a later tick */
    k->compact->order = k->order;
    if (k->order == COMPACT_SWAP)
        k->swapping_base = k->compact->result.base_offset;
    job->compact = k->compact;
    k->has_job = true;
    k->sent_ns = now.ns;
    store_job_send(store, job, piece_done, log);
}

/* ── the beat ── */

static void running_tick(struct store *store, struct now now)
{
    struct compactor *k = &store->compactor;
    if (k->has_job)
        return;
    if (k->log->state != PLOG_OPEN) {
        k->is_waiting = false;
        k->order = COMPACT_GIVE_UP;
    } else if (k->is_waiting) {
        group_ready(store, k->log);
    }
    piece_send(store, now);
}

static void looking_end(struct store *store, struct now now)
{
    struct compactor *k = &store->compactor;
    struct plog *best = k->best;
    k->best = NULL;
    k->best_score = 0;
    store->stats.compact_dirty_max = k->ratio_max;
    if (best != NULL && compact_start(store, best, now)) {
        k->at_ns = now.ns;
        piece_send(store, now);
    } else {
        look_again(store, store->config.compact_backoff_ns, now);
    }
}

void store_compact_tick(struct store *store, struct now now)
{
    struct compactor *k = &store->compactor;
    if (!store->config.is_compacting)
        return;
    store->stats.compact_wait_ns = k->has_job ? now.ns - k->sent_ns : 0;
    store->stats.compact_running_n = k->state == COMPACTOR_RUNNING;
    switch (k->state) {
    case COMPACTOR_IDLE:
        if (now.ns < k->at_ns)
            return;
        k->state = COMPACTOR_LOOKING;
        k->left = store->stats.logs_n;
        k->ratio_max = 0;
        return;
    case COMPACTOR_LOOKING:
        if (k->left == 0)
            looking_end(store, now);
        return;
    case COMPACTOR_RUNNING: running_tick(store, now); return;
    }
}
