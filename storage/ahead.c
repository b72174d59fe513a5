/*
 * ahead.c - sequential readers of old records are read ahead for, the further the longer they go
 * on.
 *
 * Owner: home.
 *
 * A stream is where a reader that had to go to the disk will come next: the offset behind what it
 * got. A read that begins there is its next one: the window doubles, from AHEAD_BYTES_MIN up to the
 * stream's part of the memory for cold pages, and what is missing of it is read (fill.c) while the
 * reader is busy with what it has. More than half a window ahead nothing is begun, so the device
 * gets few large reads. A reader that jumps leaves its stream behind: AHEAD_STREAMS_N are
 * remembered, the one not used for longest goes.
 *
 * Example: a consumer that fetches 1 MiB at a time from the beginning. Its first fetch misses; with
 * the second 512 KiB are read ahead, with the third 1 MiB, with the fifth and later 4 MiB.
 */
#include "plog.h"

enum { AHEAD_BYTES_MIN = 512 << 10, AHEAD_BYTES_MAX = 4 << 20, COLD_PART = 4 };

static struct ahead *ahead_find(struct store *store, const struct plog *log, int64_t offset)
{
    for (uint32_t i = 0; i < AHEAD_STREAMS_N; i++)
        if (store->streams[i].log == log && store->streams[i].next_offset == offset)
            return &store->streams[i];
    return NULL;
}

static void ahead_free(struct ahead *s)
{
    if (s->log != NULL)
        s->log->streams_n--;
    *s = (struct ahead){.log = NULL};
}

static struct ahead *ahead_new(struct store *store, struct plog *log)
{
    struct ahead *s = &store->streams[0];
    for (uint32_t i = 1; i < AHEAD_STREAMS_N && s->log != NULL; i++)
        if (store->streams[i].log == NULL || store->streams[i].used_ns < s->used_ns)
            s = &store->streams[i];
    ahead_free(s);
    s->log = log;
    log->streams_n++;
    return s;
}

/* All streams together stay within the memory that cold pages have for sure. */
static uint32_t ahead_bytes_max(const struct store *store)
{
    uint64_t part = store->pages->bytes / COLD_PART / AHEAD_STREAMS_N;
    return (uint32_t)min_u64(max_u64(part, PAGE_LARGE), AHEAD_BYTES_MAX);
}

void ahead_note(struct plog *log, struct segment *segment, int64_t offset, int64_t next_offset,
                uint64_t pos, bool is_missed)
{
    struct store *store = log->store;
    struct ahead *s = log->streams_n > 0 ? ahead_find(store, log, offset) : NULL;
    bool is_next = s != NULL;
    if (s == NULL && !is_missed)
        return;
    if (s == NULL)
        s = ahead_new(store, log);
    s->next_offset = next_offset;
    s->used_ns = store->now.ns;
    if (s->segment_base != segment->base_offset)
        s->ahead_pos = 0;
    s->segment_base = segment->base_offset;
    if (!is_next)
        return;
    uint32_t max = ahead_bytes_max(store);
    s->bytes = (uint32_t)min_u64(max_u64(2ull * s->bytes, min_u64(AHEAD_BYTES_MIN, max)), max);
    s->ahead_pos = max_u64(s->ahead_pos, pos);
    if (s->ahead_pos - pos <= s->bytes / 2)
        s->ahead_pos = fill_ahead(segment, s->ahead_pos, pos + s->bytes);
}

void ahead_forget(struct plog *log)
{
    for (uint32_t i = 0; i < AHEAD_STREAMS_N && log->streams_n > 0; i++)
        if (log->store->streams[i].log == log)
            ahead_free(&log->store->streams[i]);
}
