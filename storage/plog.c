/*
 * plog.c - a log's states, the places that move through it, and who waits for them.
 *
 * Owner: home.
 *
 *   CLOSED --store_log_new--------------------> OPEN --plog_fail--> FAILED
 *   CLOSED --store_log_recover--> RECOVERING -> OPEN
 *   OPEN, FAILED --store_log_drop--> CLOSED
 *
 * Waits stand in four lists per log (written, durable, high, high by bytes), each ordered by what
 * it waits for, so a move wakes a prefix. A wait is out of its list before its wake is called: wake
 * may wait again.
 */
#include <stdlib.h>

#include "journal.h"

static bool plog_state_may(enum plog_state from, enum plog_state to)
{
    switch (from) {
    case PLOG_CLOSED: return to == PLOG_OPEN || to == PLOG_RECOVERING;
    case PLOG_RECOVERING: return to == PLOG_OPEN || to == PLOG_CLOSED;
    case PLOG_OPEN: return to == PLOG_FAILED || to == PLOG_CLOSED;
    case PLOG_FAILED: return to == PLOG_CLOSED;
    }
    return false;
}

void plog_state_set(struct plog *log, enum plog_state state)
{
    check(plog_state_may(log->state, state));
    log->state = (uint8_t)state;
}

static void plog_invariants_segments(const struct plog *log)
{
    bool is_behind = false; /* an earlier segment has unwritten bytes */
    for (uint32_t i = 0; i < log->segments_n; i++) {
        const struct segment *s = log->segments[i];
        check(s->log == log && s->refs > 0 && s->state != SEGMENT_GONE);
        check(s->durable_pos <= s->written_pos && s->written_pos <= s->end_pos);
        check(!log->is_logged || i < log->sealed_n ||
              (s->written_pos <= s->safe_pos && s->safe_pos <= s->logged_pos &&
               s->logged_pos <= s->end_pos));
        check(s->is_rolled == (i + 1 < log->segments_n));
        check(i == 0 || log->segments[i - 1]->base_offset < s->base_offset);
        check(!s->is_rolled || s->end.offset == log->segments[i + 1]->base_offset);
        check(i >= log->sealed_n || s->state == SEGMENT_SEALED);
        check(s->state != SEGMENT_NEW || s->written_pos == 0);
        check(!is_behind || s->written_pos == 0);
        is_behind |= s->written_pos < s->end_pos;
    }
    check(is_behind == (log->written.bytes < log->end.bytes) || log->state == PLOG_FAILED ||
          log->write != NULL || log->target_segment != NULL || log->store->journal != NULL);
}

void plog_invariants(const struct plog *log)
{
    check(log->magic == PLOG_MAGIC);
    switch ((enum plog_state)log->state) {
    case PLOG_CLOSED:
    case PLOG_RECOVERING:
        for (size_t i = 0; i < array_n(log->waits); i++)
            check(list_is_empty(&log->waits[i]));
        return;
    case PLOG_FAILED:
        check(log->charged_bytes == 0);
        check(!list_is_linked(&log->dirty_link) && !list_is_linked(&log->sync_link));
        break;
    case PLOG_OPEN: check(log->charged_bytes <= log->end.bytes - log->settled.bytes); break;
    }
    check(log->start <= log->high.offset && log->high.offset <= log->end.offset);
    check(plog_stable(log) <= log->high.offset);
    check(log->durable.offset <= log->written.offset && log->written.offset <= log->end.offset);
    check(log->high.offset <= log->written.offset);
    check(log->segments_n > 0 && log->segments[0]->base_offset <= log->start);
    plog_invariants_segments(log);
}

struct plog *plog_make(struct store *store, const struct log_id *id,
                       const struct log_config *config)
{
    struct plog *log = calloc(1, sizeof *log);
    if (log == NULL)
        return NULL;
    log->topic_name = malloc((size_t)id->topic.n + 1);
    if (log->topic_name == NULL) {
        free(log);
        return NULL;
    }
    memcpy(log->topic_name, id->topic.ptr, id->topic.n);
    log->topic_name[id->topic.n] = '\0';
    log->magic = PLOG_MAGIC;
    log->state = PLOG_CLOSED;
    log->store = store;
    log->id = *id;
    log->id.topic = bytes_of(log->topic_name, id->topic.n);
    log->config = *config;
    log->cleaner_offset = -1;
    log->high_limit = INT64_MAX;
    list_init(&log->link);
    list_init(&log->dirty_link);
    list_init(&log->sync_link);
    list_init(&log->pending_link);
    list_init(&log->epochs_link);
    list_init(&log->moved_link);
    list_init(&log->full_link);
    for (size_t i = 0; i < array_n(log->record_links); i++)
        list_init(&log->record_links[i]);
    list_init(&log->behind_link);
    list_init(&log->round_link);
    list_init(&log->start_moves);
    for (size_t i = 0; i < array_n(log->waits); i++)
        list_init(&log->waits[i]);
    return log;
}

void plog_free(struct plog *log)
{
    check(log->magic == PLOG_MAGIC && log->segments_n == 0);
    check(log->write == NULL && log->syncs_n == 0 && log->jobs_n == 0);
    check(!list_is_linked(&log->dirty_link) && !list_is_linked(&log->sync_link));
    check(!list_is_linked(&log->pending_link) && !list_is_linked(&log->link));
    check(!list_is_linked(&log->epochs_link) && !list_is_linked(&log->moved_link));
    check(!list_is_linked(&log->full_link) && !plog_is_in_record(log));
    check(!list_is_linked(&log->behind_link) && !list_is_linked(&log->round_link));
    ahead_forget(log);
    producers_clear(log->store->producers, &log->producers);
    epochs_fini(&log->epochs);
    aborted_fini(&log->aborted);
    free(log->segments);
    free(log->topic_name);
    log->magic = 0;
    free(log);
}

/* ── places ── */

int64_t plog_stable(const struct plog *log)
{
    int64_t stable = log->high.offset;
    int64_t open = producers_first_open(&log->producers);
    int64_t ended = aborted_first_ended(&log->aborted);
    if (open >= 0)
        stable = min_i64(stable, open);
    if (ended >= 0)
        stable = min_i64(stable, ended);
    return max_i64(stable, log->start);
}

void plog_offsets(const struct plog *log, struct plog_offsets *out)
{
    check(log->magic == PLOG_MAGIC);
    own(log->store->owner);
    *out = (struct plog_offsets){log->start,          plog_stable(log),    log->high.offset,
                                 log->written.offset, log->durable.offset, log->end.offset};
}

struct plog_times plog_times(const struct plog *log)
{
    return (struct plog_times){log->written_ns, log->store->flush_began_ns, plog_is_group(log)};
}

int32_t plog_epoch(const struct plog *log)
{
    return log->store->config.leader_epoch;
}

void plog_epoch_end(const struct plog *log, int32_t epoch, int32_t *found, int64_t *end)
{
    own(log->store->owner);
    if (epoch ==
        plog_epoch(
            log)) { /* the current epoch ends where the log does, also before its first append */
        *found = epoch;
        *end = log->end.offset;
        return;
    }
    epochs_end_of(&log->epochs, epoch, log->end.offset, found, end);
}

/* Bytes below it need no tail page any more. */
static uint64_t plog_safe_bytes(const struct plog *log)
{
    if (log->is_logged)
        return log->home.bytes;
    return plog_is_group(log) ? log->durable.bytes : log->written.bytes;
}

bool plog_is_critical(const struct plog *log)
{
    return log->config.latency == LATENCY_CRITICAL;
}

bool store_is_paced(const struct store *store)
{
    return store->critical_ns != 0 && store->now.ns - store->critical_ns < STORE_PACED_NS;
}

/* What was appended and nobody was answered for yet, of the class bulk. */
static void plog_charge_bulk(struct plog *log)
{
    uint64_t bytes = 0;
    if (log->config.latency == LATENCY_BULK && log->state == PLOG_OPEN)
        bytes = log->end.bytes - (plog_is_group(log) ? log->durable : log->written).bytes;
    check(log->store->bulk_bytes >= log->bulk_bytes);
    log->store->bulk_bytes += bytes - log->bulk_bytes;
    log->bulk_bytes = bytes;
}

void plog_charge(struct plog *log)
{
    uint64_t bytes = 0;
    if (unlikely(log->config.latency == LATENCY_BULK || log->bulk_bytes != 0))
        plog_charge_bulk(log);
    if (log->state == PLOG_OPEN)
        bytes = log->end.bytes - plog_safe_bytes(log);
    check(log->store->tail_bytes >= log->charged_bytes);
    log->store->tail_bytes += bytes - log->charged_bytes;
    log->charged_bytes = bytes;
}

void plog_mark_dirty(struct plog *log)
{
    if (list_is_linked(&log->dirty_link) || log->state != PLOG_OPEN)
        return;
    if (log->config.latency == LATENCY_CRITICAL)
        list_push(&log->store->dirty, &log->dirty_link); /* its bytes leave first */
    else
        list_append(&log->store->dirty, &log->dirty_link);
    if (log->store->dirty_since_ns == 0)
        log->store->dirty_since_ns = log->store->now.ns;
}

void plog_mark_unsynced(struct plog *log)
{
    if (list_is_linked(&log->sync_link) || log->syncs_n > 0 || log->state != PLOG_OPEN)
        return;
    if (log->config.latency == LATENCY_CRITICAL)
        list_push(&log->store->unsynced, &log->sync_link); /* its flush is asked for first */
    else
        list_append(&log->store->unsynced, &log->sync_link);
}

void plog_mark_pending(struct plog *log)
{
    if (!list_is_linked(&log->pending_link))
        list_append(&log->store->pending, &log->pending_link);
}

/* ── waits ── */

static int64_t wait_key(const struct plog_wait *wait)
{
    return wait->bytes_min > 0 ? (int64_t)wait->bytes_min : wait->offset;
}

static int64_t wait_reached(const struct plog *log, uint32_t at)
{
    switch (at) {
    case PLOG_WRITTEN: return log->written.offset;
    case PLOG_DURABLE: return log->durable.offset;
    case PLOG_HIGH: return log->high.offset;
    default: return (int64_t)log->high.bytes;
    }
}

bool plog_wait(struct plog *log, struct plog_wait *wait)
{
    store_own(log->store);
    check(wait->mark <= PLOG_HIGH && wait->wake != NULL);
    check(wait->bytes_min == 0 || wait->mark == PLOG_HIGH);
    uint32_t at = wait->bytes_min > 0 ? PLOG_WAIT_BYTES : wait->mark;
    list_init(&wait->link);
    if (at == PLOG_WAIT_BYTES)
        wait->bytes_min += log->high.bytes; /* from here on it is a place, not an amount */
    else if (wait_reached(log, at) >= wait->offset)
        return true;
    struct list *before = log->waits[at].prev; /* waits mostly come in order: look from the end */
    while (before != &log->waits[at] &&
           wait_key(list_entry(before, struct plog_wait, link)) > wait_key(wait))
        before = before->prev;
    list_add_between(&wait->link, before, before->next);
    return false;
}

void plog_wait_cancel(struct plog_wait *wait)
{
    if (wait->link.next != NULL && list_is_linked(&wait->link)) /* NULL: zeroed, it never waited */
        list_del(&wait->link);
}

static void plog_wake(struct plog *log, struct now now)
{
    for (uint32_t at = 0; at < array_n(log->waits); at++) {
        int64_t reached = wait_reached(log, at); /* before any wake, so that the loop ends */
        struct plog_wait *wait;
        while ((wait = list_first(&log->waits[at], struct plog_wait, link)) != NULL &&
               wait_key(wait) <= reached) {
            list_del(&wait->link);
            wait->wake(wait, 0, now);
        }
    }
}

void plog_waits_end(struct plog *log, int error, struct now now)
{
    for (uint32_t at = 0; at < array_n(log->waits); at++) {
        struct list ending;
        struct list *l;
        list_init(&ending);
        list_splice(&ending, &log->waits[at]);
        while ((l = list_pop(&ending)) != NULL) {
            struct plog_wait *wait = list_entry(l, struct plog_wait, link);
            wait->wake(wait, error, now);
        }
    }
}

/* STORE_RELAXED: so many records since the last flush. */
static bool plog_wants_flush(const struct plog *log)
{
    if (log->written.offset <= log->durable.offset || log->is_logged)
        return false;
    return plog_is_group(log) ||
           log->written.offset - log->durable.offset >= log->config.flush_messages;
}

void plog_marks_moved(struct plog *log, struct now now)
{
    check(log->durable.bytes <= log->written.bytes && log->written.bytes <= log->end.bytes);
    const struct mark *seen = plog_is_group(log) ? &log->durable : &log->written;
    int64_t high = min_i64(seen->offset, log->high_limit);
    if (high > log->high.offset) {
        /* Where a limited one lies in bytes is not known: a byte for each offset, for the waits. */
        log->high.bytes =
            high == seen->offset
                ? seen->bytes
                : min_u64(seen->bytes, log->high.bytes + (uint64_t)(high - log->high.offset));
        log->high.offset = high;
        aborted_visible(&log->aborted, high);
    }
    plog_charge(log);
    plog_mark_moved(log);
    if (log->durable.offset == log->written.offset)
        log->unflushed_ns = 0;
    else if (log->unflushed_ns == 0)
        log->unflushed_ns = now.ns;
    if (plog_wants_flush(log))
        plog_mark_unsynced(log);
    plog_wake(log, now);
}

void plog_high_limit(struct plog *log, int64_t offset, struct now now)
{
    store_own(log->store);
    log->store->now = now;
    log->high_limit = offset;
    if (log->state == PLOG_OPEN)
        plog_marks_moved(log, now);
}

void plog_give_tail(struct plog *log, bool is_dropped)
{
    struct cache *cache = &log->store->cache;
    for (uint32_t i = 0; i < log->segments_n; i++) {
        struct segment *s = log->segments[i];
        bool is_kept = log->is_logged && !is_dropped && i >= log->sealed_n;
        uint64_t from = is_kept ? max_u64(s->written_pos, s->safe_pos) : s->written_pos;
        if (is_kept && s->safe_pos > s->written_pos) /* a page of both kinds stays */
            from = align_up(from, PAGE_LARGE);
        for (uint64_t pos = from; pos < s->end_pos && s->pages_n > 0;) {
            struct page *page = cache_find(cache, s, pos);
            if (page != NULL && cache_page_is(page, CACHE_PAGE_TAIL))
                cache_flags_set(cache, page, 0);
            pos = page != NULL ? cache_page_pos(page) + page->user_n
                               : align_down(pos, PAGE_SMALL) + PAGE_SMALL;
        }
    }
}

void plog_fail(struct plog *log, struct now now)
{
    if (log->state != PLOG_OPEN)
        return;
    plog_state_set(log, PLOG_FAILED);
    log->store->stats.logs_failed_n++;
    if (list_is_linked(&log->dirty_link))
        list_del(&log->dirty_link);
    if (list_is_linked(&log->sync_link))
        list_del(&log->sync_link);
    if (list_is_linked(&log->moved_link))
        list_del(&log->moved_link);
    plog_full_forget(log);
    gather_direct(log, false);
    log->wants_sync = false;
    plog_give_tail(log, false);
    plog_charge(log);
    plog_waits_end(log, E_STORAGE, now);
    start_moves_end(log, E_STORAGE, now);
}
