/*
 * recovery_scan.c - one segment at boot: believed, looked at from its last index entry on, or
 * scanned whole.
 *
 * Owner: main, before the threads run.
 *
 * A scan accepts a batch when its header makes sense, it ends inside the file, its checksum is
 * right (after a crash: looked at from the recovery point on), its offsets rise, and, in the part
 * of a log that was never compacted, follow without a gap: what was not flushed may be missing in
 * the middle, and what follows a hole was never acknowledged. It ends at the first batch that is
 * not so.
 *
 * Magic 0 and 1 at the end of the last segment counts as torn (a header whose second half never
 * reached the disk looks like that); anywhere else the log is refused, because cutting it would
 * throw old data away.
 */
#include <stdio.h>
#include <stdlib.h>

#include "batch_scan.h"
#include "recovery.h"

enum { INDEX_FILE_MAX = 64 << 20 };

bool recovery_has_file(const struct recovery *r, int64_t base_offset, const char *suffix)
{
    char name[DISK_NAME_MAX + 1];
    snprintf(name, sizeof name, "%020lld%s", (long long)base_offset, suffix);
    return names_have(&r->names, name);
}

static int segment_stat(struct recovery *r, struct segment *segment)
{
    char path[DISK_PATH_MAX];
    struct disk_stat s;
    segment_path(path, r->directory, segment->base_offset, ".log");
    int rc = disk_stat(r->disk, path, &s);
    if (rc != 0)
        return rc;
    if (s.bytes > INT32_MAX)
        return E_CORRUPT; /* a position would not fit its index */
    segment->created_ms = s.modified_ms;
    segment->end_pos = segment->written_pos = segment->durable_pos = s.bytes;
    return 0;
}

static int segment_file_open(struct recovery *r, const struct segment *segment)
{
    char path[DISK_PATH_MAX];
    segment_path(path, r->directory, segment->base_offset, ".log");
    return disk_open(r->disk, path, DISK_WRITE);
}

/* ── the whole segment ── */

/* What a scan has seen so far. */
struct scan {
    struct batch_scan at;
    int64_t expected; /* the next offset, -1: any */
    uint64_t read_bytes;
    int64_t flushed; /* below it a crash took nothing: bodies are not read */
};

/* 0: the batch at the place is whole and follows. E_CORRUPT, E_BAD_MAGIC: not. */
static int scan_judge(struct recovery *r, struct segment *segment, struct scan *scan,
                      struct batch *b)
{
    const uint8_t *header;
    struct bytes body;
    int rc = batch_scan_peek(&scan->at, b, &header);
    if (rc != 0)
        return rc;
    int64_t relative = batch_last_offset(b) - segment->base_offset;
    if (b->last_delta < 0 || b->base_offset < segment->base_offset || relative > INT32_MAX)
        return E_CORRUPT;
    if (scan->expected >= 0 && b->base_offset < scan->expected)
        return E_CORRUPT;
    if (scan->expected >= 0 && b->base_offset > scan->expected && b->base_offset >= r->dense_from)
        return E_CORRUPT;
    if (batch_last_offset(b) < scan->flushed)
        return 0;
    scan->read_bytes += b->bytes;
    rc = batch_scan_body(&scan->at, b, &body);
    if (rc != 0)
        return rc;
    return batch_crc(body.ptr, b->bytes) == b->crc ? 0 : E_CORRUPT;
}

/* Goes to the end or to the first batch that is not whole: E_EOF, E_CORRUPT, E_BAD_MAGIC, or the
 * disk's error. */
static int scan_batches(struct recovery *r, struct segment *segment, struct scan *scan)
{
    struct batch b;
    int rc;
    while ((rc = scan_judge(r, segment, scan, &b)) == 0) {
        segment_note(segment, &r->log->config, &b, scan->at.pos);
        scan->expected = batch_last_offset(&b) + 1;
        batch_scan_skip(&scan->at, &b);
    }
    return rc;
}

/* Zeros, less than a block: the run that was written last is filled so (raw.c). */
static bool is_padding(struct recovery *r, const struct segment *segment, int fd, uint64_t pos)
{
    static const uint8_t zeros[RAW_BLOCK];
    uint8_t rest[RAW_BLOCK];
    uint64_t n = segment->end_pos - pos;
    return n < RAW_BLOCK && disk_read(r->disk, fd, rest, n, pos) == (int64_t)n &&
           memcmp(rest, zeros, n) == 0;
}

/* *cut: what was more than padding. */
static int segment_cut(struct recovery *r, struct segment *segment, int fd, uint64_t pos,
                       uint64_t *cut)
{
    bool is_exact = segment->end_pos == pos;
    *cut = is_padding(r, segment, fd, pos) ? 0 : segment->end_pos - pos;
    segment->end_pos = segment->written_pos = segment->durable_pos = pos;
    if (is_exact)
        return 0;
    r->report->cut_bytes += *cut;
    r->is_changed = true;
    return disk_truncate(r->disk, fd, pos);
}

int recovery_scan(struct recovery *r, struct segment *segment, int64_t expected, bool is_last,
                  int64_t *end, uint64_t *cut)
{
    /* After a clean stop a scan means that something does not fit: all of it is looked at. */
    struct scan scan = {.expected = expected, .flushed = r->is_clean ? 0 : r->recovery_point};
    int rc = segment_stat(r, segment);
    if (rc != 0)
        return rc;
    int fd = segment_file_open(r, segment);
    if (fd < 0)
        return fd;
    index_clear(&segment->index);
    index_clear(&segment->time_index);
    segment->bytes_since_index = 0;
    segment->max_timestamp = segment->first_timestamp = -1;
    segment->is_index_loaded = true;
    rc = batch_scan_init(&scan.at, r->disk, fd, segment->end_pos, 0);
    if (rc == 0)
        rc = scan_batches(r, segment, &scan);
    uint64_t pos = scan.at.pos;
    batch_scan_fini(&scan.at);
    r->report->scanned_bytes += scan.read_bytes;
    r->scanned_from = min_i64(r->scanned_from, segment->base_offset);
    if (rc == E_EOF || rc == E_CORRUPT || (rc == E_BAD_MAGIC && is_last)) {
        *end = pos > 0 ? scan.expected : expected >= 0 ? expected : segment->base_offset;
        rc = segment_cut(r, segment, fd, pos, cut);
        segment->is_unsynced = r->is_unsynced = true;
    }
    disk_close(r->disk, fd);
    return rc;
}

/* A segment that the recovery point covers is believed by the next start as soon as both files are
 * there: they are replaced. Else the next start scans it again whatever they hold. */
static int index_write(struct recovery *r, const struct segment *segment, const char *suffix,
                       struct bytes data, bool is_covered)
{
    char name[DISK_NAME_MAX + 1], path[DISK_PATH_MAX];
    snprintf(name, sizeof name, "%020lld%s", (long long)segment->base_offset, suffix);
    if (is_covered)
        return file_replace(r->disk, r->directory, name, data);
    segment_path(path, r->directory, segment->base_offset, suffix);
    int fd = disk_open(r->disk, path, DISK_WRITE | DISK_CREATE);
    if (fd < 0)
        return fd;
    int rc = data.n > 0 ? disk_write(r->disk, fd, data.ptr, data.n, 0) : 0;
    if (rc == 0)
        rc = disk_truncate(r->disk, fd, data.n);
    disk_close(r->disk, fd);
    return rc;
}

int recovery_indexes_write(struct recovery *r, struct segment *segment, bool is_covered)
{
    segment_note_end(segment);
    int rc = index_write(r, segment, ".index",
                         bytes_of(segment->index.v, segment->index.n * INDEX_ENTRY), is_covered);
    if (rc != 0)
        return rc;
    rc = index_write(r, segment, ".timeindex",
                     bytes_of(segment->time_index.v, segment->time_index.n * TIME_INDEX_ENTRY),
                     is_covered);
    index_clear(&segment->time_index);
    r->report->rebuilt_indexes_n++;
    return rc;
}

/* ── the last segment after a clean stop ── */

static int index_read(struct recovery *r, const struct segment *segment, const char *suffix,
                      struct bytes *out)
{
    char path[DISK_PATH_MAX];
    segment_path(path, r->directory, segment->base_offset, suffix);
    return file_read(r->disk, path, INDEX_FILE_MAX, out);
}

static int indexes_load(struct recovery *r, struct segment *segment)
{
    struct bytes file;
    int rc = index_read(r, segment, ".index", &file);
    if (rc != 0)
        return rc;
    uint32_t n = index_count(file);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = index_append(&segment->index, INDEX_ENTRY, file.ptr + (size_t)i * INDEX_ENTRY)
                 ? 0
                 : E_NO_MEMORY;
    file_read_free(&file);
    if (rc == 0)
        rc = index_read(r, segment, ".timeindex", &file);
    if (rc != 0)
        return rc;
    n = time_index_count(file);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = index_append(&segment->time_index, TIME_INDEX_ENTRY,
                          file.ptr + (size_t)i * TIME_INDEX_ENTRY)
                 ? 0
                 : E_NO_MEMORY;
    if (n > 0 && rc == 0) {
        const uint8_t *last = file.ptr + (size_t)(n - 1) * TIME_INDEX_ENTRY;
        segment->max_timestamp = load_i64(last);
        segment->max_timestamp_offset = segment->base_offset + load_i32(last + 8);
    }
    file_read_free(&file);
    return rc;
}

/* Headers from `pos` to the end, without bodies. */
static int end_walk(struct segment *segment, struct batch_scan *scan, int64_t *end)
{
    const uint8_t *header;
    struct batch b;
    int rc;
    while ((rc = batch_scan_peek(scan, &b, &header)) == 0) {
        if (b.base_offset < *end || b.last_delta < 0)
            return E_CORRUPT;
        *end = batch_last_offset(&b) + 1;
        if (b.max_timestamp > segment->max_timestamp) {
            segment->max_timestamp = b.max_timestamp;
            segment->max_timestamp_offset = batch_last_offset(&b);
        }
        batch_scan_skip(scan, &b);
    }
    return rc == E_EOF ? 0 : rc;
}

static int end_find(struct segment *segment, struct batch_scan *scan, int64_t *end)
{
    const uint8_t *header;
    struct batch b;
    int rc = batch_scan_peek(scan, &b, &header);
    *end = segment->base_offset;
    if (rc == E_EOF)
        return segment->index.n == 0 ? 0 : E_CORRUPT;
    if (rc != 0)
        return rc;
    segment->first_timestamp = b.max_timestamp;
    if (segment->index.n > 0) {
        const uint8_t *last = segment->index.v + (size_t)(segment->index.n - 1) * INDEX_ENTRY;
        scan->pos = load_u32(last + 4);
        rc = batch_scan_peek(scan, &b, &header);
        if (rc != 0 || batch_last_offset(&b) - segment->base_offset != load_i32(last))
            return rc < 0 && rc != E_EOF ? rc : E_CORRUPT;
        *end = b.base_offset;
    }
    segment->bytes_since_index = segment->end_pos - scan->pos;
    return end_walk(segment, scan, end);
}

int recovery_end(struct recovery *r, struct segment *segment, int64_t *end)
{
    struct batch_scan scan;
    int rc = segment_stat(r, segment);
    if (rc == 0)
        rc = indexes_load(r, segment);
    if (rc != 0)
        return rc == E_NOT_FOUND ? E_CORRUPT : rc;
    int fd = segment_file_open(r, segment);
    if (fd < 0)
        return fd;
    rc = batch_scan_init(&scan, r->disk, fd, segment->end_pos, 0);
    if (rc == 0)
        rc = end_find(segment, &scan, end);
    batch_scan_fini(&scan);
    disk_close(r->disk, fd);
    return rc == E_BAD_MAGIC ? E_CORRUPT : rc;
}

/* ── the others ── */

int recovery_trust(struct recovery *r, struct segment *segment)
{
    struct bytes file;
    int64_t timestamp;
    int32_t relative;
    int rc = segment_stat(r, segment);
    if (rc != 0)
        return rc;
    segment->is_index_loaded = false;
    rc = index_read(r, segment, ".timeindex", &file);
    if (rc != 0)
        return rc == E_NOT_FOUND ? 0 : rc;
    if (time_index_last(file, &timestamp, &relative)) {
        segment->max_timestamp = timestamp;
        segment->max_timestamp_offset = segment->base_offset + relative;
    }
    file_read_free(&file);
    return 0;
}
