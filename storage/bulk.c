/*
 * bulk.c - the long work of the bulk helper: which record has a timestamp.
 *
 * Owner: bulk.
 *
 * Two questions (Kafka UnifiedLog.fetchOffsetByTimestamp), over the segments of the job in order:
 *   time_ms >= 0         the first record with a timestamp >= time_ms
 *   TIME_MAX_TIMESTAMP   the record with the largest timestamp, the first of several
 *
 * A segment whose largest timestamp (from the store, in memory) is too small is not opened. In the
 * others the search begins at the place the store knows, or the index files name, or at the front:
 *
 *   .timeindex   largest entry with timestamp <= wanted -> offset
 *   .index       largest entry <= offset                -> position
 *
 * and reads headers until a batch's maxTimestamp fits; only that batch's records are read,
 * decompressed when they are compressed. The index files may be absent (the active segment) or
 * damaged: a position is believed when a whole batch of the right offset begins there, else the
 * search begins at the front. An index can only make the answer come sooner, with one exception: a
 * .timeindex whose entries rise but are wrong.
 *
 * A LogAppendTime batch gives all its records its maxTimestamp. A segment that is gone meanwhile
 * (retention) is passed over.
 */
#include "batch_scan.h"
#include "compress.h"
#include "disk_tools.h"
#include "helper.h"
#include "index.h"

enum { INDEX_FILE_BYTES_MAX = 64 << 20 };

/* The best record so far. */
struct found {
    int64_t offset, timestamp;
    int32_t epoch;
};

/* One search. Owner: the call. */
struct search {
    struct disk *disk;
    int64_t wanted;     /* a time, or TIME_MAX_TIMESTAMP          */
    int64_t offset_min; /* records below were deleted             */
    struct found found; /* offset -1: nothing yet                 */
    bool is_done;
    struct plain plain;
};

static bool is_better(const struct search *s, int64_t timestamp)
{
    if (s->wanted == TIME_MAX_TIMESTAMP)
        return timestamp > s->found.timestamp;
    return s->found.offset < 0 && timestamp >= s->wanted;
}

static void take(struct search *s, int64_t offset, int64_t timestamp, int32_t epoch)
{
    s->found = (struct found){offset, timestamp, epoch};
    s->is_done = s->wanted != TIME_MAX_TIMESTAMP;
}

/* The records of a batch that holds one that fits, by its header. */
static int search_records(struct search *s, const struct batch *b, struct bytes whole)
{
    struct bytes records = bytes_of(whole.ptr + BATCH_HEADER, whole.n - BATCH_HEADER);
    struct record r;
    uint32_t at = 0;
    int error;
    if (batch_codec(b) != CODEC_NONE) {
        error = plain_decompress(&s->plain, batch_codec(b), records, DECOMPRESS_BYTES_MAX);
        if (error < 0)
            return error;
        records = bytes_of(s->plain.v, s->plain.n);
    }
    while ((error = record_next(records, &at, &r)) == 0 && !s->is_done) {
        int64_t timestamp = (int64_t)((uint64_t)b->base_timestamp + (uint64_t)r.timestamp_delta);
        int64_t offset = (int64_t)((uint64_t)b->base_offset + (uint64_t)(int64_t)r.offset_delta);
        if (b->attributes & BATCH_LOG_APPEND_TIME)
            timestamp = b->max_timestamp;
        if (offset >= s->offset_min && is_better(s, timestamp))
            take(s, offset, timestamp, b->leader_epoch);
    }
    return error == E_EOF ? 0 : error;
}

static int search_batches(struct search *s, struct batch_scan *scan)
{
    while (!s->is_done) {
        struct batch b;
        struct bytes whole;
        const uint8_t *header;
        int error = batch_scan_peek(scan, &b, &header);
        if (error == E_EOF)
            return 0;
        if (error == 0 && batch_last_offset(&b) >= s->offset_min && is_better(s, b.max_timestamp)) {
            error = batch_scan_body(scan, &b, &whole);
            if (error == 0)
                error = search_records(s, &b, whole);
        }
        if (error < 0)
            return error;
        batch_scan_skip(scan, &b);
    }
    return 0;
}

/* ── where to begin ── */

static int read_index(struct search *s, const char *directory, int64_t base_offset,
                      const char *suffix, struct bytes *out)
{
    char path[DISK_PATH_MAX];
    segment_path(path, directory, base_offset, suffix);
    return file_read(s->disk, path, INDEX_FILE_BYTES_MAX, out);
}

/* A whole batch begins at `pos`, and its last offset is what the index says or below. */
static bool is_batch_at(struct search *s, int fd, uint64_t bytes, uint64_t pos, int64_t offset_max)
{
    uint8_t header[BATCH_HEADER];
    struct batch b;
    if (pos + BATCH_HEADER > bytes ||
        disk_read(s->disk, fd, header, sizeof header, pos) != sizeof header)
        return false;
    return batch_header(header, &b) == 0 && b.bytes <= bytes - pos &&
           batch_last_offset(&b) <= offset_max;
}

static uint64_t begin_by_index(struct search *s, const struct job *job, uint32_t i, int fd)
{
    int64_t base_offset = job->segments[i].base_offset, found;
    struct bytes times, index = {NULL, 0};
    int32_t relative;
    uint64_t pos = 0;
    if (s->wanted == TIME_MAX_TIMESTAMP ||
        read_index(s, job->directory, base_offset, ".timeindex", &times) < 0)
        return 0;
    times.n = time_index_count(times) * TIME_INDEX_ENTRY;
    if (time_index_find(times, s->wanted, &relative, &found) &&
        read_index(s, job->directory, base_offset, ".index", &index) == 0) {
        index.n = index_count(index) * INDEX_ENTRY;
        pos = index_find(index, relative);
    }
    file_read_free(&times);
    file_read_free(&index);
    if (pos == 0 || !is_batch_at(s, fd, job->segments[i].bytes, pos, base_offset + relative))
        return 0;
    return pos;
}

static int search_segment(struct search *s, const struct job *job, uint32_t i)
{
    char path[DISK_PATH_MAX];
    struct batch_scan scan;
    segment_path(path, job->directory, job->segments[i].base_offset, ".log");
    int fd = disk_open(s->disk, path, DISK_READ);
    if (fd < 0)
        return fd == E_NOT_FOUND ? 0 : fd;
    uint64_t pos = job->segments[i].from_pos;
    if (pos == 0)
        pos = begin_by_index(s, job, i, fd);
    int error = batch_scan_init(&scan, s->disk, fd, job->segments[i].bytes, pos);
    if (error == 0)
        error = search_batches(s, &scan);
    batch_scan_fini(&scan);
    disk_close(s->disk, fd);
    return error;
}

int bulk_time_query(struct helper *helper, struct job *job)
{
    struct search s = {.disk = helper->disk,
                       .wanted = job->query->time_ms,
                       .offset_min = job->base_offset,
                       .found = {-1, -1, -1}};
    int error = 0;
    for (uint32_t i = 0; i < job->segments_n && error == 0 && !s.is_done; i++)
        if (job->segments[i].time_max < 0 || is_better(&s, job->segments[i].time_max))
            error = search_segment(&s, job, i);
    plain_fini(&s.plain);
    if (error < 0)
        s.found = (struct found){-1, -1, -1};
    job->query->offset = s.found.offset;
    job->query->timestamp_ms = s.found.timestamp;
    job->query->epoch = s.found.epoch;
    job->query->error = error;
    return error;
}
