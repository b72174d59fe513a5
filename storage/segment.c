/*
 * segment.c - segments of a log: making them, finding them, rolling, and what their indexes
 * remember.
 *
 * Owner: home.
 *
 *   NEW --segment_open--> CREATING --created--> LIVE --rolled, written--> SEALING --> SEALED
 *    any --segment_detach_first, plog dropped--> GONE --last reference--> freed
 *
 * Rules of rolling and of index entries are Kafka's (LogSegment.shouldRoll, LogSegment.append): an
 * entry describes the batch being appended when more than index.interval.bytes came since the last
 * entry, so a segment's first batch has none; .timeindex gets (largest timestamp so far, offset of
 * the batch that reached it), rising.
 *
 * Files and descriptors are in segment_files.c.
 */
#include <stdlib.h>

#include "hash.h"
#include "plog.h"

struct segment *segment_make(struct store *store, int64_t base_offset, int64_t wall_ms)
{
    check(base_offset >= 0);
    struct segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        return NULL;
    segment->store = store;
    segment->state = SEGMENT_NEW;
    segment->refs = 1;
    segment->fd = segment->raw_fd = -1;
    segment->base_offset = base_offset;
    segment->first_timestamp = segment->max_timestamp = -1;
    segment->max_timestamp_offset = base_offset;
    segment->created_ms = wall_ms;
    segment->is_index_loaded = true;
    list_init(&segment->open_link);
    list_init(&segment->index_link);
    list_init(&segment->delete_link);
    list_init(&segment->want_link);
    list_init(&segment->waits);
    list_append(&store->segments, &segment->store_link);
    return segment;
}

int segment_room(struct plog *log)
{
    if (log->segments_n < log->segments_max)
        return 0;
    uint32_t more = log->segments_max == 0 ? 1 : log->segments_max * 2;
    struct segment **grown = realloc(log->segments, more * sizeof(struct segment *));
    if (grown == NULL)
        return E_NO_MEMORY;
    log->segments = grown;
    log->segments_max = more;
    return 0;
}

void segment_attach(struct plog *log, struct segment *segment)
{
    check(log->segments_n < log->segments_max);
    check(log->segments_n == 0 || plog_active(log)->base_offset < segment->base_offset);
    segment->log = log;
    log->segments[log->segments_n++] = segment;
}

int segment_add(struct plog *log, int64_t base_offset, int64_t wall_ms, struct segment **out)
{
    int rc = segment_room(log);
    if (rc != 0)
        return rc;
    struct segment *segment = segment_make(log->store, base_offset, wall_ms);
    if (segment == NULL)
        return E_NO_MEMORY;
    segment_attach(log, segment);
    *out = segment;
    return 0;
}

void segment_get(struct segment *segment)
{
    check(segment->refs > 0);
    segment->refs++;
}

void segment_put(struct segment *segment)
{
    check(segment->refs > 0);
    if (--segment->refs != 0)
        return;
    check(segment->pages_n == 0 && segment->io_n == 0 && segment->fd < 0 &&
          segment->raw_fd < 0);
    check(!list_is_linked(&segment->open_link) && !list_is_linked(&segment->delete_link));
    segment_free(segment);
}

void segment_free(struct segment *segment)
{
    segment_index_drop(segment);
    index_clear(&segment->time_index);
    free(segment->snapshot);
    free(segment->file);
    list_del(&segment->store_link);
    free(segment);
}

bool segment_is_settled(const struct segment *segment)
{
    return segment->logged_seq == 0 || segment->logged_seq < segment->store->journal_tail_seq;
}

void segment_detach_first(struct plog *log)
{
    check(log->segments_n > 0);
    struct segment *segment = log->segments[0];
    check(segment->refs > 1);
    log->segments_n--;
    if (log->sealed_n > 0)
        log->sealed_n--;
    memmove(log->segments, log->segments + 1, log->segments_n * sizeof *log->segments);
    segment->state = SEGMENT_GONE;
    segment->log = NULL;
    segment_put(segment);
}

void segments_replace(struct plog *log, uint32_t at, uint32_t n, struct segment *segment)
{
    check(n > 0 && at + n <= log->sealed_n);
    check(segment->base_offset == log->segments[at]->base_offset && segment->refs == 1);
    for (uint32_t i = at; i < at + n; i++) {
        struct segment *old = log->segments[i];
        check(list_is_empty(&old->waits) && !old->is_opening && !old->is_raw_opening);
        check(!list_is_linked(&old->want_link));
        segment_index_drop(old);
        old->state = SEGMENT_GONE;
        old->log = NULL;
        segment_fd_idle(old);
        segment_put(old);
    }
    segment->log = log;
    log->segments[at] = segment;
    memmove(log->segments + at + 1, log->segments + at + n,
            (log->segments_n - at - n) * sizeof *log->segments);
    log->segments_n -= n - 1;
    log->sealed_n -= n - 1;
}

uint32_t segment_find(const struct plog *log, int64_t offset)
{
    uint32_t low = 0, high = log->segments_n; /* the answer is in [low, high) */
    check(high > 0);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (log->segments[middle]->base_offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* ── rolling ── */

static bool index_is_full(const struct segment *segment, uint32_t index_bytes)
{
    return segment->index.n >= index_bytes / INDEX_ENTRY ||
           segment->time_index.n + 1 >= index_bytes / TIME_INDEX_ENTRY;
}

/* Kafka draws a random number per segment. A hash of partition and base offset spreads as well, and
 * gives the same answer after a restart. */
int64_t segment_age_ms_max(const struct plog *log, const struct segment *segment)
{
    const struct log_config *config = &log->config;
    int64_t jitter_ms = min_i64(config->segment_jitter_ms, config->segment_ms);
    int64_t age_ms = config->segment_ms;
    if (config->is_compacted && config->max_compaction_lag_ms > 0)
        age_ms = min_i64(age_ms, config->max_compaction_lag_ms); /* Kafka LogConfig.maxSegmentMs */
    if (jitter_ms <= 0)
        return age_ms;
    uint64_t h = hash_mix(hash_partition(&log->id.topic_id, log->id.partition) ^
                          (uint64_t)segment->base_offset);
    return min_i64(age_ms, config->segment_ms - (int64_t)(h % (uint64_t)jitter_ms));
}

bool segment_must_roll(const struct plog *log, const struct segment *segment, const struct batch *b,
                       int64_t max_timestamp, int64_t last_offset, int64_t wall_ms)
{
    const struct log_config *config = &log->config;
    if (segment->end_pos == 0)
        return false;
    int64_t since = segment->first_timestamp >= 0 && max_timestamp >= 0
                        ? max_timestamp - segment->first_timestamp
                        : wall_ms - segment->created_ms;
    uint64_t bytes_max = min_u64(config->segment_bytes, INT32_MAX);
    return segment->end_pos + b->bytes > bytes_max || since > segment_age_ms_max(log, segment) ||
           index_is_full(segment, config->segment_index_bytes) ||
           last_offset - segment->base_offset > INT32_MAX;
}

/* The producers as of the end of the log, for the snapshot of the segment that begins there. */
void segment_snapshot(struct plog *log, struct segment *segment)
{
    uint64_t bytes = producers_snapshot_bytes(&log->producers);
    if (bytes > INT32_MAX)
        return;
    free(segment->snapshot); /* of a roll that was taken back */
    segment->snapshot = malloc(bytes);
    if (segment->snapshot == NULL)
        return; /* recovery then replays from an older one */
    segment->snapshot_bytes = (uint32_t)bytes;
    producers_snapshot_encode(&log->producers, segment->snapshot);
}

void segment_roll(struct plog *log, struct segment *next)
{
    struct segment *old = plog_active(log);
    check(!old->is_rolled && next->base_offset == log->end.offset && old->end_pos > 0);
    segment_note_end(old);
    old->is_rolled = true;
    old->end = log->end;
    old->append_page = NULL;
    segment_attach(log, next);
    log->store->stats.rolls++;
    plog_mark_pending(log);
}

/* ── indexes ── */

bool index_append(struct index_buffer *index, uint32_t entry_bytes, const uint8_t *entry)
{
    if (index->n == index->max) {
        uint32_t more = index->max == 0 ? 8 : index->max * 2;
        uint8_t *grown = realloc(index->v, (size_t)more * entry_bytes);
        if (grown == NULL)
            return false;
        index->v = grown;
        index->max = more;
    }
    memcpy(index->v + (size_t)index->n * entry_bytes, entry, entry_bytes);
    index->n++;
    return true;
}

void index_clear(struct index_buffer *index)
{
    free(index->v);
    *index = (struct index_buffer){0};
}

/* An entry of the segment's largest timestamp, unless the last one already says it. */
static void segment_note_time(struct segment *segment)
{
    uint8_t entry[TIME_INDEX_ENTRY];
    const struct index_buffer *times = &segment->time_index;
    if (segment->max_timestamp < 0)
        return;
    if (times->n > 0 &&
        load_i64(times->v + (size_t)(times->n - 1) * TIME_INDEX_ENTRY) >= segment->max_timestamp)
        return;
    time_index_put(entry, segment->max_timestamp,
                   (int32_t)(segment->max_timestamp_offset - segment->base_offset));
    (void)index_append(&segment->time_index, TIME_INDEX_ENTRY, entry);
}

void segment_note(struct segment *segment, const struct log_config *config, const struct batch *b,
                  uint64_t pos)
{
    if (pos == 0)
        segment->first_timestamp = b->max_timestamp;
    if (b->max_timestamp > segment->max_timestamp) {
        segment->max_timestamp = b->max_timestamp;
        segment->max_timestamp_offset = batch_last_offset(b);
    }
    if (segment->bytes_since_index > config->index_interval_bytes) {
        uint8_t entry[INDEX_ENTRY];
        index_put(entry, (int32_t)(batch_last_offset(b) - segment->base_offset), (uint32_t)pos);
        if (index_append(&segment->index, INDEX_ENTRY, entry))
            segment->bytes_since_index = 0;
        segment_note_time(segment);
    }
    segment->bytes_since_index += b->bytes;
}

void segment_note_end(struct segment *segment)
{
    segment_note_time(segment);
}
