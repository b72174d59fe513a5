/*
 * move_swap.c - a log that stands still, with its files in two directories, changes its store.
 *
 * Owner: home.
 *
 * It is made anew from what is in memory: sealed segments by their numbers (their indexes are read
 * when asked for), an empty active one, producers, epochs, aborted transactions and places. Who
 * waits for records waits on; reads that were on their way to the disk end with E_MOVED. The old
 * struct is dropped like that of a deleted topic: its files go, its memory when the last of them
 * has. Pages of the old segments are not taken along: the first reader of old records after a move
 * goes to the disk.
 */
#include "move.h"

static bool segments_clone(struct plog *to, const struct plog *from)
{
    for (uint32_t i = 0; i < from->segments_n; i++) {
        const struct segment *s = from->segments[i];
        struct segment *copy;
        if (segment_add(to, s->base_offset, s->created_ms, &copy) != 0)
            return false;
        copy->end_pos = copy->written_pos = copy->durable_pos = s->end_pos;
        copy->logged_pos = copy->safe_pos = s->end_pos;
        copy->first_timestamp = s->first_timestamp;
        copy->max_timestamp = s->max_timestamp;
        copy->max_timestamp_offset = s->max_timestamp_offset;
        copy->state = SEGMENT_LIVE;
        if (!s->is_rolled)
            continue;
        copy->state = SEGMENT_SEALED;
        copy->is_rolled = true;
        copy->is_index_loaded = false;
        copy->end = s->end;
        to->sealed_n++;
    }
    return true;
}

static void places_clone(struct plog *to, const struct plog *from)
{
    to->start = from->start;
    to->high_limit = from->high_limit;
    to->high = from->high;
    to->end = to->written = to->durable = to->settled = to->logged = to->home = from->end;
    to->cleaner_offset = from->cleaner_offset;
    to->compact_after_ns = from->compact_after_ns;
    to->refused_ns = from->refused_ns;
    to->retention_at_ns = from->retention_at_ns;
    to->is_changed = true;
}

static void segments_forget(struct plog *log)
{
    while (log->segments_n > 0) {
        struct segment *segment = log->segments[0];
        segment_get(segment);
        segment_detach_first(log);
        segment_put(segment);
    }
}

struct plog *plog_switch(struct plog *old, struct store *to, struct now now)
{
    struct plog *log = plog_make(to, &old->id, &old->config);
    if (log == NULL)
        return NULL;
    if (!segments_clone(log, old) ||
        producers_copy(to->producers, &log->producers, &old->producers) != 0) {
        segments_forget(log);
        plog_free(log);
        return NULL;
    }
    places_clone(log, old);
    log->epochs = old->epochs;
    old->epochs = (struct epochs){0};
    log->aborted = old->aborted;
    old->aborted = (struct aborted_list){0};
    for (size_t i = 0; i < array_n(log->waits); i++)
        list_splice(&log->waits[i], &old->waits[i]);
    list_splice(&log->start_moves, &old->start_moves);
    old->move->log = NULL; /* so that the drop is no end of the move */
    old->move = NULL;
    to->now = now;
    store_log_leave(old->store, old);
    store_log_enter(to, log);
    plog_mark_moved(log);
    plog_mark_pending(log);
    if (to->is_offline)
        plog_fail(log, now);
    return log;
}
