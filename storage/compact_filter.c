/*
 * compact_filter.c - what becomes of one batch.
 *
 * Owner: bulk. Pure but for its memory. Sources: Kafka Cleaner.shouldRetainRecord,
 * MemoryRecords.filterTo, DefaultRecordBatch.writeEmptyHeader.
 *
 * A record stays when it is the last of its key and either has a value or its batch has no delete
 * horizon that is over; or when it lies beyond the map. Records without a key go: a compacted topic
 * has none. A batch keeps baseOffset, lastOffsetDelta, sequences, epochs and codec whatever is left
 * of it. One that would be empty is kept without records when
 *
 *   it is the last one of a producer (its sequence, or its marker's epoch, is needed again)
 *   it ends where this compaction ends (the place up to which the log is known must not be lost)
 *
 * A batch in which a tombstone is met for the first time, or a marker that explains nothing any
 * more, gets the delete horizon: attribute bit 6, baseTimestamp = now + delete.retention.ms, and
 * timestamp deltas that count from there. Otherwise base timestamp and deltas stay, so records are
 * copied as they are.
 */
#include <stdlib.h>

#include "compact.h"

/* Everything one batch needs while it is looked at. */
struct filter {
    const struct compact_rules *rules;
    const struct batch *b;
    bool is_void; /* its records are nobody's */
    bool is_over; /* its delete horizon is */
    bool has_horizon;
    /* found */
    uint32_t kept_n, dropped_n;
    bool has_tombstone;
    int64_t max_timestamp;
};

static int memory_room(uint8_t **v, uint32_t *max, uint64_t bytes)
{
    if (bytes <= *max)
        return 0;
    if (bytes > INT32_MAX)
        return E_TOO_LARGE;
    uint8_t *grown = realloc(*v, bytes);
    if (grown == NULL)
        return E_NO_MEMORY;
    *v = grown;
    *max = (uint32_t)bytes;
    return 0;
}

void compact_memory_fini(struct compact_memory *m)
{
    plain_fini(&m->plain);
    free(m->kept);
    free(m->packed);
    *m = (struct compact_memory){.kept = NULL};
}

/* ── which records ── */

static bool record_stays(const struct filter *f, const struct record *r)
{
    int64_t offset = f->b->base_offset + r->offset_delta;
    if (f->is_void)
        return false;
    if (batch_is_control(f->b) || offset >= f->rules->map_end)
        return true;
    if (r->key.ptr == NULL)
        return false;
    if (offset < compact_map_get(f->rules->map, r->key))
        return false;
    return r->value.ptr != NULL || !f->is_over;
}

static int64_t record_time(const struct filter *f, const struct record *r)
{
    return (int64_t)((uint64_t)f->b->base_timestamp + (uint64_t)r->timestamp_delta);
}

/* The record at [at, end) of the plain ones, counted from `base` instead of the batch's. */
static void put_rebased(struct compact_memory *m, const struct filter *f, const struct record *r,
                        struct bytes raw, int64_t base)
{
    const uint8_t *p = raw.ptr, *end = raw.ptr + raw.n;
    int64_t skipped;
    int64_t delta = (int64_t)((uint64_t)record_time(f, r) - (uint64_t)base);
    p += load_varint(p, end, VARINT_BYTES_MAX, &skipped); /* record_next has read all of it */
    uint8_t attributes = *p++;
    p += load_varint(p, end, VARINT_BYTES_MAX, &skipped);
    int64_t rest = end - p;
    uint8_t *to = m->kept + m->kept_n;
    to += store_varint(to, 1 + varint_bytes(delta) + rest);
    *to++ = attributes;
    to += store_varint(to, delta);
    memcpy(to, p, (size_t)rest);
    m->kept_n = (uint32_t)(to + rest - m->kept);
}

/* Goes over the records; with `base` NULL it only looks, else it writes those that stay. */
static int records_walk(struct filter *f, struct compact_memory *m, struct bytes records,
                        const int64_t *base)
{
    struct record r;
    uint32_t at = 0, before = 0;
    int error;
    f->kept_n = f->dropped_n = m->kept_n = 0;
    f->max_timestamp = -1;
    while ((error = record_next(records, &at, &r)) == 0) {
        struct bytes raw = bytes_of(records.ptr + before, at - before);
        before = at;
        if (r.offset_delta < 0 || r.offset_delta > f->b->last_delta)
            return E_CORRUPT;
        if (!record_stays(f, &r)) {
            f->dropped_n++;
            continue;
        }
        f->kept_n++;
        f->has_tombstone |= r.value.ptr == NULL;
        f->max_timestamp = max_i64(f->max_timestamp, record_time(f, &r));
        if (base == NULL)
            continue;
        if (*base != f->b->base_timestamp) {
            put_rebased(m, f, &r, raw, *base);
        } else {
            memcpy(m->kept + m->kept_n, raw.ptr, raw.n);
            m->kept_n += raw.n;
        }
    }
    if (error != E_EOF)
        return error;
    return f->kept_n + f->dropped_n == (uint32_t)f->b->records_n ? 0 : E_CORRUPT;
}

/* ── the new batch ── */

static bool is_last_of_producer(const struct compact_rules *rules, const struct batch *b)
{
    uint32_t low = 0, high = rules->producers_n;
    if (b->producer_id < 0)
        return false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rules->producers[middle].producer_id < b->producer_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == rules->producers_n || rules->producers[low].producer_id != b->producer_id)
        return false;
    const struct compact_producer *p = &rules->producers[low];
    return p->last_offset >= 0 ? p->last_offset == batch_last_offset(b)
                               : batch_is_control(b) && p->epoch == b->producer_epoch;
}

/* The header of `whole` over what is in m->packed behind its place. */
static struct bytes batch_finish(struct compact_memory *m, const struct filter *f,
                                 struct bytes whole, int16_t attributes, int64_t base_timestamp,
                                 int64_t max_timestamp)
{
    uint8_t *h = m->packed;
    memcpy(h, whole.ptr, BATCH_HEADER);
    store_u32(h + BATCH_LENGTH_AT, m->packed_n - BATCH_LENGTH_END);
    store_u16(h + BATCH_ATTRIBUTES_AT, (uint16_t)attributes);
    store_u64(h + BATCH_BASE_TIMESTAMP_AT, (uint64_t)base_timestamp);
    store_u64(h + BATCH_MAX_TIMESTAMP_AT, (uint64_t)max_timestamp);
    store_u32(h + BATCH_RECORDS_AT, f->kept_n);
    batch_stamp_crc(h, m->packed_n);
    return bytes_of(h, m->packed_n);
}

static int batch_empty(struct compact_memory *m, const struct filter *f, struct bytes whole,
                       struct bytes *out)
{
    int error = memory_room(&m->packed, &m->packed_max, BATCH_HEADER);
    if (error < 0)
        return error;
    m->packed_n = BATCH_HEADER;
    *out = batch_finish(m, f, whole,
                        (int16_t)(f->b->attributes & ~(BATCH_CODEC_MASK | BATCH_DELETE_HORIZON)),
                        -1, f->b->max_timestamp);
    return 0;
}

/* Writes the records that stay, compresses them as they were. */
static int batch_rebuild(struct compact_memory *m, struct filter *f, struct bytes whole,
                         struct bytes records, bool sets_horizon, struct bytes *out)
{
    const struct compact_rules *rules = f->rules;
    uint8_t codec = batch_codec(f->b);
    int16_t attributes = f->b->attributes;
    int64_t base = f->b->base_timestamp, max = f->b->max_timestamp;
    if (sets_horizon) {
        bool is_never = rules->delete_retention_ms > INT64_MAX - rules->now_ms;
        base = is_never ? INT64_MAX : rules->now_ms + rules->delete_retention_ms;
        attributes |= BATCH_DELETE_HORIZON;
    }
    /* A new delta is at most ten bytes, and may lengthen the length by as much. */
    int error = memory_room(&m->kept, &m->kept_max,
                            records.n + 2ull * VARINT_BYTES_MAX * (uint64_t)f->b->records_n);
    if (error == 0)
        error = records_walk(f, m, records, &base);
    uint64_t packed_max = BATCH_HEADER + codec_bytes_max(codec, m->kept_n);
    if (error == 0)
        error = memory_room(&m->packed, &m->packed_max, packed_max);
    if (error < 0)
        return error;
    int64_t n = codec_compress(codec, COMPRESS_LEVEL_DEFAULT, bytes_of(m->kept, m->kept_n),
                               m->packed + BATCH_HEADER, m->packed_max - BATCH_HEADER);
    if (n < 0)
        return (int)n;
    m->packed_n = BATCH_HEADER + (uint32_t)n;
    if ((attributes & BATCH_LOG_APPEND_TIME) == 0)
        max = f->max_timestamp;
    *out = batch_finish(m, f, whole, attributes, base, max);
    return 0;
}

int compact_batch(const struct compact_rules *rules, struct compact_memory *m,
                  const struct batch *b, struct bytes whole, bool is_void, struct bytes *out)
{
    bool is_marker = batch_is_control(b);
    struct filter f = {.rules = rules, .b = b};
    f.has_horizon = (b->attributes & BATCH_DELETE_HORIZON) != 0;
    f.is_over = f.has_horizon && b->base_timestamp <= rules->now_ms;
    f.is_void = is_marker ? is_void && f.is_over : is_void;
    bool is_needed = is_last_of_producer(rules, b) || batch_last_offset(b) + 1 == rules->map_end;
    struct bytes records = bytes_of(whole.ptr + BATCH_HEADER, whole.n - BATCH_HEADER);
    *out = (struct bytes){NULL, 0};
    if (b->records_n == 0) {
        *out = is_needed ? whole : *out;
        return 0;
    }
    if (f.is_void && !is_needed)
        return 0;
    int error = 0;
    if (batch_codec(b) != CODEC_NONE) {
        error = plain_decompress(&m->plain, batch_codec(b), records, DECOMPRESS_BYTES_MAX);
        records = bytes_of(m->plain.v, m->plain.n);
    }
    if (error == 0)
        error = records_walk(&f, m, records, NULL);
    if (error < 0)
        return error;
    if (f.kept_n == 0)
        return is_needed ? batch_empty(m, &f, whole, out) : 0;
    bool sets_horizon = !f.has_horizon && (f.has_tombstone || (is_marker && is_void));
    if (f.dropped_n == 0 && !sets_horizon) {
        *out = whole;
        return 0;
    }
    return batch_rebuild(m, &f, whole, records, sets_horizon, out);
}
