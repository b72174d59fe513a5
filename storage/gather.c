/*
 * gather.c - what logs have appended goes into records of the journal, and what a record's end
 * means for them.
 *
 * Owner: home.
 *
 * A STORE_GROUP log *uses the journal* (is_logged) from the first append that finds all its earlier
 * bytes durable. Its places then move like this:
 *
 *   gathered        logged    segments' logged_pos      the run is in a record
 *   record written  written                             survives SIGKILL
 *   record flushed  durable   segments' safe_pos        on the device: answered, visible
 *   written back              segments' written_pos     write_back.c; pages become clean
 *   segment synced  settled   segments' durable_pos     the journal's tail may pass
 *
 * A run is everything a log appended since its last one, whole: so a record never ends inside a
 * batch, and `durable` needs no more than the newest run. A run of journal.run_max or more, or
 * one that no record can take, goes straight to its segment: the log stops using the journal and is
 * written and flushed as in flush.c, everything from written_pos on, so that no hole is left before
 * it. It may only change while none of its bytes are in a record under way or in a round of
 * write-back. At most JOURNAL_DIRECT_LOGS do so at a time: each costs a flush of its own. When less
 * comes, the log waits for its last flush and uses the journal again.
 *
 * Logs of the class critical come first, and do not wait for much to come: what they have goes out
 * as a second record beside the one under way, without the others, so that it is written when that
 * one's flush ends.
 */
#include "journal.h"

static bool is_fit(const struct plog *log)
{
    const struct journal *j = log->store->journal;
    return j != NULL && j->state != JOURNAL_FAILED && !j->is_pinned && plog_is_group(log);
}

/* Everything it has written is durable in its segments, and nothing of it is under way. */
static bool may_enter(const struct plog *log)
{
    bool is_still = log->write == NULL && log->target_segment == NULL && log->syncs_n == 0 &&
                    !list_is_linked(&log->sync_link) && !log->wants_sync &&
                    log->durable.bytes == log->written.bytes &&
                    log->settled.bytes == log->durable.bytes;
    for (uint32_t i = log->sealed_n; is_still && i < log->segments_n; i++)
        is_still = log->segments[i]->durable_pos == log->segments[i]->written_pos;
    return is_still;
}

/* Something of it is being written or flushed, in the way of flush.c. */
static bool is_busy(const struct plog *log)
{
    return log->write != NULL || log->syncs_n > 0 || list_is_linked(&log->sync_link) ||
           log->wants_sync;
}

static bool may_leave(const struct plog *log)
{
    return !plog_is_in_record(log) && !list_is_linked(&log->round_link) && log->write == NULL &&
           log->syncs_n == 0 && !list_is_linked(&log->sync_link);
}

static uint64_t run_bytes(const struct plog *log)
{
    return log->end.bytes - (log->is_logged ? log->logged.bytes : log->written.bytes);
}

/* The file is there: its bytes need nothing but a flush of it. */
static bool goes_direct(const struct plog *log)
{
    return run_bytes(log) >= log->store->journal->run_max &&
           plog_active(log)->state == SEGMENT_LIVE &&
           (log->is_direct || log->store->journal->direct_n < JOURNAL_DIRECT_LOGS);
}

void gather_direct(struct plog *log, bool is_direct)
{
    struct journal *j = log->store->journal;
    if (j == NULL || log->is_direct == is_direct)
        return;
    log->is_direct = is_direct;
    j->direct_n += is_direct ? 1u : -1u;
}

static void enter(struct plog *log)
{
    gather_direct(log, false);
    log->is_logged = true;
    for (uint32_t i = log->sealed_n; i < log->segments_n; i++) {
        struct segment *s = log->segments[i];
        s->logged_pos = s->safe_pos = s->written_pos;
    }
    log->logged = log->home = log->durable;
    plog_charge(log);
}

static void leave(struct plog *log)
{
    gather_direct(log, true);
    log->is_logged = false;
    log->target_segment = NULL;
    plog_charge(log);
}

bool gather_takes(struct plog *log)
{
    if (!log->is_logged) {
        if (!is_fit(log))
            return false;
        bool is_large = goes_direct(log);
        if (!is_large && is_busy(log)) { /* the end of its flush brings it back */
            list_del(&log->dirty_link);
            return true;
        }
        gather_direct(log, is_large);
        if (is_large || !may_enter(log))
            return false;
        enter(log);
    }
    list_del(&log->dirty_link);
    if (plog_is_critical(log))
        list_push(&log->store->unlogged, &log->dirty_link);
    else
        list_append(&log->store->unlogged, &log->dirty_link);
    return true;
}

/* ── into the record ── */

static void put_bytes(struct journal_record *r, struct segment *segment)
{
    struct cache *cache = &segment->store->cache;
    uint8_t *to = r->buffer + r->used;
    for (uint64_t pos = segment->logged_pos; pos < segment->end_pos;) {
        struct page *page = cache_find(cache, segment, pos);
        check(page != NULL);
        uint64_t at = pos - cache_page_pos(page);
        uint64_t n = min_u64(page->user_n - at, segment->end_pos - pos);
        memcpy(to, page_data(page) + at, n);
        to += n;
        pos += n;
    }
}

static void put_segment(struct journal_record *r, struct plog *log, struct segment *segment)
{
    struct journal_entry entry = {
        .topic_id = log->id.topic_id,
        .partition = log->id.partition,
        .pos = (uint32_t)segment->logged_pos,
        .base_offset = segment->base_offset,
        .end_offset = segment->is_rolled ? segment->end.offset : log->end.offset,
        .epoch = plog_epoch(log),
        .topic = log->id.topic,
        .data = {NULL, (uint32_t)(segment->end_pos - segment->logged_pos)},
    };
    uint8_t *data = journal_entry_put(r->buffer + r->used, &entry);
    uint32_t bytes = journal_entry_bytes((uint32_t)entry.topic.n, (uint32_t)entry.data.n);
    uint32_t begin = r->used;
    r->used = (uint32_t)(data - r->buffer);
    put_bytes(r, segment);
    r->used = begin + bytes;
    r->entries_n++;
    segment->logged_pos = segment->end_pos;
    segment->record_pos[r->number] = segment->end_pos;
    segment->logged_seq = segment->store->journal->seq;
}

/* What the log's run takes in a record. */
static uint64_t run_room(const struct plog *log)
{
    uint64_t bytes = 0;
    for (uint32_t i = log->sealed_n; i < log->segments_n; i++) {
        const struct segment *s = log->segments[i];
        uint64_t n = s->end_pos - s->logged_pos;
        if (n > JOURNAL_RECORD_MAX)
            return UINT64_MAX;
        if (n > 0)
            bytes += journal_entry_bytes((uint32_t)log->id.topic.n, (uint32_t)n);
    }
    return bytes;
}

static void put_log(struct journal_record *r, struct plog *log)
{
    for (uint32_t i = log->sealed_n; i < log->segments_n; i++)
        if (log->segments[i]->logged_pos < log->segments[i]->end_pos)
            put_segment(r, log, log->segments[i]);
    log->logged = log->record_marks[r->number] = log->end;
    list_append(&r->logs, &log->record_links[r->number]);
    write_back_add(log->store->journal, log);
}

enum gathered { GATHERED, GATHER_WAITS, GATHER_IS_FULL };

static void go_direct(struct plog *log)
{
    leave(log);
    list_del(&log->dirty_link);
    if (!plog_write(log))
        plog_mark_dirty(log);
}

static enum gathered gather_log(struct journal_record *r, struct plog *log, uint32_t room)
{
    const struct journal *j = log->store->journal;
    uint64_t run = run_bytes(log);
    uint64_t bytes = run_room(log);
    bool is_large = bytes > (j->bytes - JOURNAL_BLOCK) / JOURNAL_RUNS ||
                    bytes > JOURNAL_RECORD_MAX - JOURNAL_RECORD_HEAD;
    if (run == 0) {
        list_del(&log->dirty_link);
        return GATHERED;
    }
    if (!is_fit(log) || is_large || goes_direct(log)) {
        if (may_leave(log)) {
            go_direct(log);
            return GATHERED;
        }
        if (!is_fit(log) || is_large)
            return GATHER_WAITS;
    }
    if (r->used + bytes > room)
        return GATHER_IS_FULL;
    list_del(&log->dirty_link);
    put_log(r, log);
    return GATHERED;
}

int gather_run(struct store *store, struct now now)
{
    struct journal *j = store->journal;
    if (j == NULL)
        return 0;
    bool is_tail_due =
        j->state == JOURNAL_IDLE && j->tail_seq > store->journal_tail_seq && !j->is_pinned;
    if (list_is_empty(&store->unlogged) && !is_tail_due)
        return 0;
    const struct plog *first = list_first(&store->unlogged, struct plog, dirty_link);
    bool is_early = journal_is_taken(store);
    if (is_early && (first == NULL || !plog_is_critical(first)))
        return 0;
    struct journal_record *r = journal_begin(store);
    if (r == NULL)
        return 0;
    uint32_t ring = journal_room(j, false), room = min_u32(ring, r->bytes_max);
    j->is_full = false;
    list_for_each(node, next, &store->unlogged) {
        struct plog *log = list_entry(node, struct plog, dirty_link);
        if (is_early && !plog_is_critical(log))
            break;
        enum gathered gathered = gather_log(r, log, room);
        if (gathered == GATHER_IS_FULL) {
            j->is_full |= ring < r->bytes_max;
            break;
        }
    }
    store->stats.journal_full_n += j->is_full;
    if (r->entries_n == 0 && !(is_tail_due && journal_room(j, true) > 0))
        return 0;
    if (!is_early)
        j->gathered_bytes = store->stats.appended_bytes;
    journal_send(store, r, now);
    journal_grow(store);
    return 1;
}

/* ── its end ── */

void gather_written(struct journal_record *r, struct now now)
{
    list_for_each(node, next, &r->logs) {
        struct plog *log = list_entry(node, struct plog, record_links[r->number]);
        if (log->state != PLOG_OPEN)
            continue;
        log->written = log->record_marks[r->number];
        log->written_ns = now.ns;
        plog_marks_moved(log, now);
    }
}

void gather_flushed(struct journal_record *r, struct now now)
{
    struct list *l;
    while ((l = list_pop(&r->logs)) != NULL) {
        struct plog *log = list_entry(l, struct plog, record_links[r->number]);
        if (log->state != PLOG_OPEN)
            continue;
        for (uint32_t i = log->sealed_n; i < log->segments_n; i++) {
            struct segment *s = log->segments[i];
            s->safe_pos = max_u64(s->safe_pos, s->record_pos[r->number]);
        }
        log->durable = log->record_marks[r->number];
        plog_marks_moved(log, now);
    }
}

/* Every log of the store: nobody knows what the device still keeps. */
void gather_failed(struct store *store, struct now now)
{
    for (uint32_t i = 0; i < JOURNAL_RECORDS; i++)
        while (list_pop(&store->journal->records[i].logs) != NULL)
            continue;
    list_for_each(node, next, &store->logs)
        plog_fail(list_entry(node, struct plog, link), now);
}
