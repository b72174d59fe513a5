/*
 * retention.c - what a log does with time: segments that are too old or too many go, idle producers
 * are forgotten, relaxed logs are flushed, old segments roll.
 *
 * Owner: home. One log at a time, called by store_tick; at most one segment goes per log and call,
 * so the work of a call is bounded. Rules: Kafka's UnifiedLog.deleteOldSegments: whole segments
 * from the oldest on, when
 *
 *   time   its largest timestamp is older than retention.ms (then also the active one, which rolls
 * first) size   the log without it is still at least retention.bytes start  all of it is below the
 * log start offset
 *
 * Only sealed segments below the high watermark go. The one that takes over must have a file first:
 * an empty log would otherwise begin at 0 again after a restart.
 */
#include "plog.h"

static uint64_t log_bytes(const struct plog *log)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < log->segments_n; i++)
        bytes += log->segments[i]->end_pos;
    return bytes;
}

static bool is_too_old(const struct plog *log, const struct segment *segment, int64_t wall_ms)
{
    int64_t newest = segment->max_timestamp >= 0 ? segment->max_timestamp : segment->created_ms;
    return log->config.retention_ms >= 0 && wall_ms - newest > log->config.retention_ms;
}

/* What is below the log's start goes at once; age and size are looked at once per interval. */
static bool may_go(const struct plog *log, const struct segment *first, bool is_time,
                   int64_t wall_ms)
{
    if (log->segments[1]->base_offset <= log->start)
        return true;
    if (!log->config.is_deleted || !is_time)
        return false;
    if (is_too_old(log, first, wall_ms))
        return true;
    if (log->config.retention_bytes < 0)
        return false;
    return (int64_t)log_bytes(log) - log->config.retention_bytes >= (int64_t)first->end_pos;
}

/* The oldest segment goes, if it may. True: come back in the next tick, there may be more. */
static bool tick_delete(struct plog *log, bool is_time, struct now now)
{
    struct segment *first = log->segments[0];
    if (log->segments_n < 2 || first->state != SEGMENT_SEALED)
        return log->segments_n >= 2;
    if (first->end.offset > log->high.offset || !may_go(log, first, is_time, now.wall_ms))
        return false;
    if (first->io_n > 0 || first->is_opening || first->is_raw_opening || first->is_index_loading ||
        first->is_swapping || !list_is_empty(&first->waits) || !segment_is_settled(first))
        return true; /* in use; a later tick takes it */
    struct segment *next = log->segments[1];
    if (next->state == SEGMENT_NEW || next->state == SEGMENT_CREATING) {
        (void)segment_open(next);
        return true;
    }
    segment_get(first);
    segment_detach_first(log);
    segment_delete(log, first, now);
    segment_put(first);
    log->start = max_i64(log->start, next->base_offset);
    epochs_truncate_start(&log->epochs, log->start);
    aborted_truncate_start(&log->aborted, log->start);
    log->is_changed = true;
    plog_mark_epochs(log);
    plog_mark_moved(log);
    return true;
}

static void tick_roll(struct plog *log, bool is_time, struct now now)
{
    struct segment *active = plog_active(log);
    if (active->end_pos == 0)
        return;
    bool is_due = now.wall_ms - active->created_ms > segment_age_ms_max(log, active);
    bool is_old = is_time && log->config.is_deleted && is_too_old(log, active, now.wall_ms);
    if (!is_due && !is_old)
        return;
    if (segment_room(log) != 0)
        return;
    struct segment *next = segment_make(log->store, log->end.offset, now.wall_ms);
    if (next == NULL)
        return;
    segment_snapshot(log, active);
    segment_roll(log, next);
    log->is_changed = true;
}

static void tick_flush(struct plog *log, struct now now)
{
    if (log->unflushed_ns == 0 || plog_is_group(log) ||
        log->config.flush_ms > INT64_MAX / (int64_t)NS_PER_MS)
        return;
    if (now.ns - log->unflushed_ns >= (uint64_t)log->config.flush_ms * NS_PER_MS)
        plog_mark_unsynced(log);
}

void plog_tick(struct plog *log, struct now now)
{
    plog_compact_look(log, now);
    if (log->state != PLOG_OPEN || log->is_frozen)
        return;
    if (log->retention_at_ns == 0)
        log->retention_at_ns = now.ns + log->store->config.retention_first_ns;
    bool is_time = now.ns >= log->retention_at_ns;
    tick_flush(log, now);
    tick_roll(log, is_time, now);
    bool has_more = tick_delete(log, is_time, now);
    if (is_time && !has_more)
        log->retention_at_ns = now.ns + log->store->config.retention_ns;
    producers_expire(log->store->producers, &log->producers, now.wall_ms,
                     log->store->config.producer_expiration_ms, TICK_PRODUCERS_MAX);
}
