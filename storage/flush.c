/*
 * flush.c - the end of a turn; how bytes become written and durable in segments.
 *
 * Owner: home.
 *
 * Logs that use the journal become durable by its records (gather.c); their bytes are written here
 * later, up to safe_pos (write_back.c), and that moves none of the places below. For all others:
 *
 * Writing: once a turn every dirty log gets one write of everything it can take (WRITE_IOV_MAX
 * pages), in the order of its segments, one write under way per log. `written` moves when a run has
 * come to its end (target); what was appended meanwhile is the next run.
 *
 * Flushing goes in rounds over all logs that were written and want it. A log's files are flushed
 * one operation each, and its `durable` moves when all of them completed. A round begins when none
 * is under way and something waits, and one of:
 *
 *   (a) something waited already while the last round was under way
 *   (b) no write is under way or to be begun: nobody else can join
 *   (c) group_ns_max passed since the first byte that no round covers
 *
 * Example, one log, one append: turn 1 writes; turn 2 takes the completion, (b), flushes; turn 3
 * durable moves.
 *
 * A write or flush that failed, or wrote nothing, fails its log and is never repeated: what the
 * page cache holds after a failure is anybody's guess. Other logs go on. A short write is not a
 * failure: the rest follows. Nor is a write for which there was no space (full.c); a flush that
 * says so has lost bytes, and fails its log.
 *
 * A run of ONCE_MIN_BYTES or more asks the kernel to forget it when it is on the device: consumers
 * are served from our own pages, and the kernel's, taken once, are used again and again instead of
 * being taken from memory that nobody has touched yet.
 */
#include "journal.h"
#include "move.h"

#include <errno.h>

enum {
    ONCE_MIN_BYTES = 64 << 10,      /* a run as long need not stay in the page cache */
    BACK_RUN_BYTES_MAX = 512 << 10, /* of write-back that need not hurry ... */
    BACK_RUN_PACED_BYTES_MAX = 128 << 10,
    BACK_RUN_HURRIED_BYTES_MAX = 1 << 20,
};

/* ── writing ── */

static void write_finish(struct store_op *op, struct now now);

static uint64_t write_end(const struct segment *segment)
{
    return segment->log->is_logged ? segment->safe_pos : segment->end_pos;
}

/* The first segment with bytes to write, NULL when there is none. Close to the end: earlier ones
 * are sealed. */
static struct segment *write_segment(const struct plog *log)
{
    for (uint32_t i = log->sealed_n; i < log->segments_n; i++) {
        if (log->segments[i]->written_pos < write_end(log->segments[i]))
            return log->segments[i];
    }
    return NULL;
}

/* Lists the pages of the run [pos, to). */
static void write_gather(struct write_op *write, uint64_t pos, uint64_t to)
{
    struct cache *cache = &write->segment->store->cache;
    uint32_t n = 0;
    write->begin = pos;
    for (; n < WRITE_IOV_MAX && pos < to; n++) {
        struct page *page = cache_find(cache, write->segment, pos);
        check(page != NULL && cache_page_is(page, CACHE_PAGE_TAIL));
        uint64_t at = pos - cache_page_pos(page);
        uint64_t run = min_u64(page->user_n - at, to - pos);
        page_get(page);
        write->pages[n] = page;
        write->iov[n] = (struct iovec){page_data(page) + at, run};
        pos += run;
    }
    write->op.op.iov_n = write->pages_n = n;
    write->bytes = pos - write->begin;
    write->end = pos;
}

static void write_target(struct plog *log, struct segment *segment)
{
    log->target_segment = segment;
    log->target_pos = write_end(segment);
    if (segment->is_rolled && log->target_pos == segment->end_pos)
        log->target = segment->end;
    else /* safe_pos is where `durable` is */
        log->target = log->is_logged ? log->durable : log->end;
}

/* True when the log need not stay on *dirty*: nothing to write, or an operation or a job will put
 * it back. */
bool plog_write(struct plog *log)
{
    struct store *store = log->store;
    if (log->write != NULL)
        return true;
    struct segment *segment = write_segment(log);
    if (segment == NULL)
        return true;
    if (!segment_open(segment))
        return true;
    struct list *free = list_pop(&store->writes_free);
    if (free == NULL)
        return false;
    struct write_op *write = list_entry(free, struct write_op, link);
    if (log->target_segment == NULL)
        write_target(log, segment);
    check(log->target_segment == segment && log->target_pos > segment->written_pos);
    store_op_init(&write->op, IO_WRITE);
    write->log = log;
    write->segment = segment;
    write->pages_n = 0;
    write->is_back = log->is_logged;
    write->op.op.is_background = write->is_back && !write_back_hurries(store);
    uint64_t to = log->target_pos, run = BACK_RUN_HURRIED_BYTES_MAX;
    if (write->op.op.is_background)
        run = store_is_paced(store) ? BACK_RUN_PACED_BYTES_MAX : BACK_RUN_BYTES_MAX;
    if (write->is_back)
        to = min_u64(to, align_down(segment->written_pos + run, RAW_BLOCK));
    write->is_raw = raw_may(segment, to) && raw_gather(write, to);
    if (!write->is_raw)
        write_gather(write, segment->written_pos, to);
    write->op.op.fd = write->is_raw ? segment->raw_fd : segment->fd;
    write->op.op.pos = write->begin;
    write->op.op.iov = write->iov;
    write->op.op.is_once = !write->is_raw && write->bytes >= ONCE_MIN_BYTES && !store->has_no_once;
    log->write = write;
    if (write->is_back)
        store->journal->writing_bytes += write->bytes;
    segment->io_n++;
    segment_get(segment);
    store->writes_n++;
    store->stats.write_ops++;
    store_op_submit(store, &write->op, write_finish);
    return true;
}

/* Pages below written_pos are clean; the last, partly filled one too, until the next append. */
static void write_clean(struct write_op *write)
{
    struct segment *segment = write->segment;
    for (uint32_t i = 0; i < write->pages_n; i++) {
        struct page *page = write->pages[i];
        bool is_written = cache_page_pos(page) + page->user_n <= segment->written_pos;
        if (is_written && cache_page_segment(page) == segment &&
            cache_page_is(page, CACHE_PAGE_TAIL))
            cache_flags_set(&segment->store->cache, page, page->user[2] & CACHE_PAGE_FILLING);
    }
}

static void write_give(struct write_op *write)
{
    struct store *store = write->segment->store;
    struct segment *segment = write->segment;
    for (uint32_t i = 0; i < write->pages_n; i++)
        page_put(write->pages[i]);
    if (write->is_back)
        store->journal->writing_bytes -= write->bytes;
    write->log->write = NULL;
    write->log = NULL;
    write->segment = NULL;
    store->writes_n--;
    segment->io_n--;
    segment_fd_idle(segment);
    list_append(&store->writes_free, &write->link);
    segment_put(segment);
}

/* Up to where the segment is written now. What the kernel only does not do in this way is taken out
 * of *result: the run is written again in another. */
static uint64_t write_end_pos(struct write_op *write, int32_t *result)
{
    if (write->is_raw)
        return raw_end(write, result);
    if (*result == -EOPNOTSUPP && write->op.op.is_once) {
        write->segment->store->has_no_once = true;
        *result = 0;
    }
    return write->begin + (uint64_t)max_i64(*result, 0);
}

static void write_finish(struct store_op *op, struct now now)
{
    struct write_op *write = container_of(op, struct write_op, op);
    struct plog *log = write->log;
    struct segment *segment = write->segment;
    int32_t result = op->op.result;
    check(result <= (int64_t)write->bytes);
    uint64_t end = write_end_pos(write, &result);
    bool is_failed = result < 0 || (result == 0 && op->op.result == 0);
    if (end > segment->written_pos && log->state == PLOG_OPEN) {
        segment->store->stats.write_bytes += end - segment->written_pos;
        segment->written_pos = end;
        write_clean(write);
    }
    write_give(write);
    if (log->state != PLOG_OPEN) {
        plog_mark_pending(log); /* a drop waits for this */
        return;
    }
    if (result < 0 && error_from_errno(-result) == E_DISK_FULL) {
        plog_full(log); /* the bytes are still in tail pages: written again when space returns */
        return;
    }
    if (is_failed) {
        plog_fail(log, now);
        return;
    }
    plog_full_end(log);
    if (!log->is_logged && write_segment(log) != NULL)
        plog_mark_dirty(log);
    if (segment->is_rolled && segment->written_pos == segment->end_pos)
        plog_mark_pending(log); /* it may be sealed */
    if (segment->written_pos < log->target_pos)
        return;
    log->target_segment = NULL;
    if (log->is_logged) {
        log->home = log->target;
        plog_charge(log);
        return;
    }
    if (log->target.bytes > log->written.bytes)
        log->written = log->target;
    log->written_ns = now.ns;
    plog_marks_moved(log, now);
}

/* ── flushing ── */

static void sync_finish(struct store_op *op, struct now now);
static void sync_moved(struct plog *log, struct now now);

static void sync_submit(struct plog *log, struct segment *segment)
{
    struct store *store = log->store;
    store_op_init(&segment->op, IO_SYNC);
    segment->op.op.fd = segment->fd;
    segment->syncing_pos = segment->written_pos;
    segment->io_n++;
    segment->is_syncing = true;
    segment_get(segment);
    log->syncs_n++;
    store->syncs_n++;
    store->stats.flush_ops++;
    store_op_submit(store, &segment->op, sync_finish);
}

/* Begins the flush of a log's files. False: a file must be opened first; the log comes back then.
 */
static bool log_sync(struct plog *log, struct now now)
{
    bool is_open = true;
    uint32_t first = log->segments_n;
    while (first > log->sealed_n &&
           log->segments[first - 1]->durable_pos == log->segments[first - 1]->written_pos)
        first--;
    while (first > log->sealed_n &&
           log->segments[first - 1]->durable_pos < log->segments[first - 1]->written_pos)
        first--;
    for (uint32_t i = first; i < log->segments_n; i++) {
        struct segment *s = log->segments[i];
        if (s->durable_pos < s->written_pos && !segment_open(s))
            is_open = false;
    }
    log->wants_sync = !is_open;
    if (!is_open)
        return false;
    log->syncing = log->is_logged ? log->round_mark : log->written;
    for (uint32_t i = first; i < log->segments_n; i++) {
        if (log->segments[i]->durable_pos < log->segments[i]->written_pos)
            sync_submit(log, log->segments[i]);
    }
    sync_moved(log, now); /* sealing may have flushed everything already */
    return true;
}

static void sync_moved(struct plog *log, struct now now)
{
    if (log->syncs_n > 0 || log->state != PLOG_OPEN)
        return;
    if (log->syncing.offset > log->settled.offset)
        log->settled = log->syncing;
    if (log->syncing.offset > log->durable.offset)
        log->durable = log->syncing;
    log->store->flush_began_ns = log->store->round_ns;
    if (!log->is_logged && log->durable.bytes == log->written.bytes) {
        gather_direct(log, false);
        if (log->written.bytes < log->end.bytes)
            plog_mark_dirty(log); /* what waited for this flush */
    }
    plog_marks_moved(log, now);
}

static void sync_finish(struct store_op *op, struct now now)
{
    struct segment *segment = container_of(op, struct segment, op);
    struct plog *log = segment->log; /* retention and compaction leave it alone meanwhile */
    struct store *store = segment->store;
    check(segment->io_n > 0 && store->syncs_n > 0 && log->syncs_n > 0);
    segment->io_n--;
    segment->is_syncing = false;
    store->syncs_n--;
    log->syncs_n--;
    if (op->op.result < 0)
        plog_fail(log, now);
    else if (log->state == PLOG_OPEN)
        segment->durable_pos = max_u64(segment->durable_pos, segment->syncing_pos);
    segment_fd_idle(segment);
    segment_put(segment);
    sync_moved(log, now);
    if (log->state == PLOG_CLOSED)
        plog_mark_pending(log); /* a drop waits for this */
}

static bool round_is_due(const struct store *store, struct now now)
{
    if (list_is_empty(&store->unsynced))
        return false;
    if (store->is_round_due)
        return true;
    if (list_is_empty(&store->dirty) && store->writes_n == 0)
        return true;
    return now.ns - store->dirty_since_ns >= store->config.group_ns_max;
}

static void round_begin(struct store *store, struct now now)
{
    list_splice(&store->round, &store->unsynced);
    store->is_round_due = false;
    store->is_round_open = true;
    store->round_ns = now.ns;
    bool is_left = !list_is_empty(&store->dirty) || store->writes_n > 0;
    store->dirty_since_ns = is_left ? now.ns : 0;
    store->stats.flush_rounds++;
}

/* Starts what the round still holds; returns how many operations. */
static int round_go_on(struct store *store, struct now now)
{
    int n = 0;
    while (store->syncs_n < SYNCS_MAX) {
        struct plog *log = list_first(&store->round, struct plog, sync_link);
        if (log == NULL)
            break;
        list_del(&log->sync_link);
        if (log_sync(log, now))
            n += (int)log->syncs_n;
    }
    return n;
}

static void round_end(struct store *store, struct now now)
{
    uint64_t ns = now.ns - store->round_ns;
    store->is_round_open = false;
    store->is_round_due = !list_is_empty(&store->unsynced);
    store_note_stall(store, store->round_ns, now.ns);
    store->stats.flush_ns_total += ns;
    store->stats.flush_ns_max = max_u64(store->stats.flush_ns_max, ns);
}

static int flush_rounds(struct store *store, struct now now)
{
    if (store->is_round_open && list_is_empty(&store->round) && store->syncs_n == 0)
        round_end(store, now);
    if (!store->is_round_open && round_is_due(store, now))
        round_begin(store, now);
    return store->is_round_open ? round_go_on(store, now) : 0;
}

/* ── the end of a turn ── */

static void flush_pending(struct store *store, struct now now)
{
    struct list again;
    struct list *l;
    list_init(&again);
    for (int i = 0; i < STEP_LOGS_MAX && (l = list_pop(&store->pending)) != NULL; i++) {
        struct plog *log = list_entry(l, struct plog, pending_link);
        bool is_done = log->state == PLOG_CLOSED ? plog_drop_step(log, now) : plog_step(log, now);
        if (!is_done && !list_is_linked(&log->pending_link))
            list_append(&again, &log->pending_link);
    }
    list_splice(&store->pending, &again);
}

int store_flush(struct store *store, struct now now)
{
    store_own(store);
    check(!store->is_unsynced);
    store->now = now;
    uint64_t writes_before = store->stats.write_ops;
    struct list *l;
    int n = 0;
    if (unlikely(store->checkpoints != NULL)) {
        checkpoints_free(store->checkpoints);
        store->checkpoints = NULL;
    }
    while ((l = list_pop(&store->completed)) != NULL) {
        struct store_op *op = container_of(l, struct store_op, op.link);
        store_note_stall(store, op->began_ns, now.ns);
        op->finish(op, now);
        n++; /* who waited for it has work in the next turn */
    }
    if (store->fills_n > 0)
        fills_stamp(store, now);
    store->is_flushing = true;
    list_for_each(node, next, &store->dirty) {
        struct plog *log = list_entry(node, struct plog, dirty_link);
        if (gather_takes(log))
            continue;
        if (plog_write(log))
            list_del(&log->dirty_link);
        else if (list_is_empty(&store->writes_free))
            break;
    }
    n += gather_run(store, now);
    n += write_back_run(store, now);
    if (!list_is_empty(&store->wants))
        segment_wants_run(store);
    if (unlikely(!list_is_empty(&store->epochs_behind)))
        store_epochs_run(store);
    if (!list_is_empty(&store->pending))
        flush_pending(store, now);
    if (unlikely(!list_is_empty(&store->moves)))
        store_moves_run(store, now);
    store_answers_run(store, now);
    n += (int)(store->stats.write_ops - writes_before);
    n += flush_rounds(store, now);
    store->is_flushing = false;
    store->bulk_placed = 0;
    return n;
}
