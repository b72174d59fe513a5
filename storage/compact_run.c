/*
 * compact_run.c - one piece of a compaction, on the bulk helper.
 *
 * Owner: bulk, from the arrival of the job to its answer.
 *
 *   phase MAP     sources from the one that holds dirty_from on; ends with the last source, or when
 *                 the map is full: then the compaction goes only as far as the map (map_end)
 *   phase CLEAN   sources from the first one on, as far as they begin below map_end, in groups
 *                 whose bytes fit one segment; a group that is finished is written out with its
 *                 indexes and flushed, and home is asked (READY); order SWAP renames its files
 *
 * A group of one segment of which nothing was left out is not swapped: its copy is thrown away.
 *
 * Every batch is checked against its CRC before its keys are believed or its records copied under a
 * new one: a flipped bit is found here, and the compaction given up, rather than sealed anew.
 *
 * Any error gives everything back. Before a swap the log is what it was.
 */
#include <stdlib.h>

#include "compact.h"
#include "disk_tools.h"
#include "helper.h"

enum { SNAPSHOT_ID_AT = 0, SNAPSHOT_EPOCH_AT = 8, SNAPSHOT_LAST_OFFSET_AT = 14 };

/* ── what it holds ── */

static void scan_close(struct compact *c, struct disk *disk)
{
    if (c->scan_fd < 0)
        return;
    batch_scan_fini(&c->scan);
    disk_close(disk, c->scan_fd);
    c->scan_fd = -1;
}

static void out_close(struct compact *c, struct disk *disk)
{
    if (c->out_fd >= 0)
        disk_close(disk, c->out_fd);
    c->out_fd = -1;
}

static void result_clear(struct compact *c)
{
    index_clear(&c->result.index);
    index_clear(&c->result.time_index);
    c->result = (struct segment){.first_timestamp = -1, .max_timestamp = -1};
    c->kept_n = 0;
}

void compact_release(struct compact *c, struct disk *disk)
{
    scan_close(c, disk);
    out_close(c, disk);
    result_clear(c);
    compact_map_fini(&c->map);
    compact_txns_fini(&c->txns);
    compact_memory_fini(&c->memory);
    free(c->producers);
    free(c->out);
    free(c->kept);
    c->producers = NULL;
    c->out = NULL;
    c->kept = NULL;
    c->out_n = c->out_max = c->kept_max = 0;
}

/* Opens source c->at; it may be the one that is open. */
static int scan_open(struct compact *c, struct disk *disk)
{
    char path[DISK_PATH_MAX];
    const struct compact_source *source = &c->sources[c->at];
    if (c->scan_fd >= 0)
        return 0;
    segment_path(path, c->directory, source->base_offset, ".log");
    int fd = disk_open(disk, path, DISK_READ);
    if (fd < 0)
        return fd;
    int error = batch_scan_init(&c->scan, disk, fd, source->bytes, 0);
    if (error < 0) {
        disk_close(disk, fd);
        return error;
    }
    c->scan_fd = fd;
    return 0;
}

/* The next batch of the source, whole and checked; E_EOF at its end. */
static int batch_next(struct compact *c, struct batch *b, struct bytes *whole)
{
    const uint8_t *header;
    const struct compact_source *source = &c->sources[c->at];
    int error = batch_scan_peek(&c->scan, b, &header);
    if (error == 0)
        error = batch_scan_body(&c->scan, b, whole);
    if (error < 0)
        return error;
    if (batch_crc(whole->ptr, b->bytes) != b->crc || b->last_delta < 0 ||
        b->base_offset < source->base_offset || batch_last_offset(b) >= source->end_offset)
        return E_CORRUPT;
    c->read_bytes += b->bytes;
    return 0;
}

/* ── map ── */

/* *is_full: the first record that found no room; those before it are in. */
static int map_records(struct compact *c, const struct batch *b, struct bytes records)
{
    struct record r;
    uint32_t at = 0;
    int error;
    while ((error = record_next(records, &at, &r)) == 0) {
        int64_t offset = b->base_offset + r.offset_delta;
        if (r.offset_delta < 0 || r.offset_delta > b->last_delta)
            return E_CORRUPT;
        if (r.key.ptr == NULL || offset < c->dirty_from)
            continue;
        if (!compact_map_put(&c->map, r.key, offset)) {
            c->is_full = true;
            c->map_end = offset;
            return 0;
        }
    }
    return error == E_EOF ? 0 : error;
}

static int map_batch(struct compact *c, const struct batch *b, struct bytes whole)
{
    struct aborted_entry kept;
    bool is_void, has_kept;
    int error = compact_txns_batch(&c->txns, b, whole, &is_void, &kept, &has_kept);
    if (error < 0 || is_void || batch_is_control(b) || b->records_n == 0 ||
        batch_last_offset(b) < c->dirty_from)
        return error;
    struct bytes records = bytes_of(whole.ptr + BATCH_HEADER, whole.n - BATCH_HEADER);
    if (batch_codec(b) != CODEC_NONE) {
        error = plain_decompress(&c->memory.plain, batch_codec(b), records, DECOMPRESS_BYTES_MAX);
        records = bytes_of(c->memory.plain.v, c->memory.plain.n);
    }
    return error < 0 ? error : map_records(c, b, records);
}

static void map_end(struct compact *c, struct disk *disk)
{
    scan_close(c, disk);
    compact_txns_fini(&c->txns);
    c->txns.aborted = c->aborted;
    c->txns.aborted_n = c->aborted_n;
    c->phase = COMPACT_CLEAN;
    c->at = c->group_at = c->group_n = 0;
}

static int map_piece(struct compact *c, struct disk *disk)
{
    while (c->read_bytes < COMPACT_PIECE_BYTES) {
        struct batch b;
        struct bytes whole;
        int error = scan_open(c, disk);
        if (error == 0)
            error = batch_next(c, &b, &whole);
        if (error == E_EOF) {
            scan_close(c, disk);
            if (++c->at < c->sources_n)
                continue;
            c->map_end = c->sources[c->sources_n - 1].end_offset;
            map_end(c, disk);
            return 0;
        }
        if (error == 0)
            error = map_batch(c, &b, whole);
        if (error < 0)
            return error;
        if (c->is_full) {
            map_end(c, disk);
            return c->map_end > c->dirty_from ? 0 : E_NO_MEMORY;
        }
        batch_scan_skip(&c->scan, &b);
    }
    return 0;
}

/* ── clean: writing ── */

static int out_flush(struct compact *c, struct disk *disk)
{
    uint64_t pos = c->result.end_pos - c->out_n;
    int error = c->out_n > 0 ? disk_write(disk, c->out_fd, c->out, c->out_n, pos) : 0;
    if (error == 0) {
        c->written_bytes += c->out_n;
        c->out_n = 0;
    }
    return error;
}

static int out_batch(struct compact *c, struct disk *disk, struct bytes batch)
{
    struct batch b;
    int error = 0;
    if (c->out_n + batch.n > c->out_max && c->out_n > 0)
        error = out_flush(c, disk);
    if (error < 0)
        return error;
    if (batch.n > c->out_max) {
        uint8_t *grown = realloc(c->out, batch.n);
        if (grown == NULL)
            return E_NO_MEMORY;
        c->out = grown;
        c->out_max = batch.n;
    }
    if (c->result.end_pos + batch.n > INT32_MAX)
        return E_TOO_LARGE;
    error = batch_header(batch.ptr, &b);
    check(error == 0);
    segment_note(&c->result, &c->config, &b, c->result.end_pos);
    memcpy(c->out + c->out_n, batch.ptr, batch.n);
    c->out_n += batch.n;
    c->result.end_pos += batch.n;
    return 0;
}

static int whole_file(struct compact *c, struct disk *disk, const char *suffix, const void *v,
                      uint64_t n)
{
    char path[DISK_PATH_MAX];
    segment_path(path, c->directory, c->sources[c->group_at].base_offset, suffix);
    int fd = disk_open(disk, path, DISK_WRITE | DISK_CREATE);
    if (fd < 0)
        return fd;
    int error = disk_truncate(disk, fd, 0);
    if (error == 0 && n > 0)
        error = disk_write(disk, fd, v, n, 0);
    if (error == 0)
        error = disk_sync(disk, fd);
    disk_close(disk, fd);
    return error;
}

static int out_txn_index(struct compact *c, struct disk *disk)
{
    struct aborted_list list = {.v = c->kept, .n = c->kept_n};
    if (c->kept_n == 0)
        return 0;
    uint32_t bytes = aborted_encode(&list, 0, INT64_MAX, NULL);
    uint8_t *file = malloc(bytes);
    if (file == NULL)
        return E_NO_MEMORY;
    aborted_encode(&list, 0, INT64_MAX, file);
    int error = whole_file(c, disk, ".txnindex.cleaned", file, bytes);
    free(file);
    return error;
}

/* ── clean: groups ── */

/* The next sources whose bytes fit one segment, as they are now. */
static void group_choose(struct compact *c)
{
    const struct compact_source *first = &c->sources[c->group_at];
    uint64_t bytes = first->bytes, bytes_max = min_u64(c->config.segment_bytes, INT32_MAX);
    uint32_t n = 1;
    for (; c->group_at + n < c->sources_n; n++) {
        const struct compact_source *next = &c->sources[c->group_at + n];
        bytes += next->bytes;
        if (next->base_offset >= c->map_end || bytes > bytes_max ||
            next->end_offset - 1 - first->base_offset > INT32_MAX)
            break;
    }
    c->group_n = n;
}

static int group_begin(struct compact *c, struct disk *disk)
{
    char path[DISK_PATH_MAX];
    group_choose(c);
    result_clear(c);
    c->is_changed = c->group_n > 1;
    c->result.base_offset = c->sources[c->group_at].base_offset;
    c->result.max_timestamp_offset = c->result.base_offset;
    c->out_n = 0;
    segment_path(path, c->directory, c->result.base_offset, ".log.cleaned");
    int fd = disk_open(disk, path, DISK_WRITE | DISK_CREATE);
    if (fd < 0)
        return fd;
    c->out_fd = fd;
    return disk_truncate(disk, fd, 0); /* of a compaction that was given up */
}

static int group_end(struct compact *c, struct disk *disk)
{
    struct segment *r = &c->result;
    int error = out_flush(c, disk);
    if (error == 0 && c->is_changed)
        error = disk_sync(disk, c->out_fd);
    out_close(c, disk);
    if (error < 0)
        return error;
    if (!c->is_changed) {
        compact_unlink(c, disk);
        return 0;
    }
    segment_note_end(r);
    error = whole_file(c, disk, ".index.cleaned", r->index.v, (uint64_t)r->index.n * INDEX_ENTRY);
    if (error == 0)
        error = whole_file(c, disk, ".timeindex.cleaned", r->time_index.v,
                           (uint64_t)r->time_index.n * TIME_INDEX_ENTRY);
    if (error == 0)
        error = out_txn_index(c, disk);
    if (error == 0)
        error = compact_mark_write(c, disk);
    c->said = COMPACT_READY;
    return error;
}

/* Behind the group: the next one, or the end of it all. */
static void group_next(struct compact *c)
{
    c->group_at += c->group_n;
    c->group_n = 0;
    c->at = c->group_at;
    if (c->group_at >= c->sources_n || c->sources[c->group_at].base_offset >= c->map_end)
        c->said = COMPACT_DONE;
}

/* ── clean: reading ── */

static int kept_add(struct compact *c, const struct aborted_entry *entry)
{
    if (c->kept_n == c->kept_max) {
        uint32_t more = c->kept_max == 0 ? 8 : c->kept_max * 2;
        struct aborted_entry *grown = realloc(c->kept, more * sizeof *grown);
        if (grown == NULL)
            return E_NO_MEMORY;
        c->kept = grown;
        c->kept_max = more;
    }
    c->kept[c->kept_n++] = *entry;
    return 0;
}

static int clean_batch(struct compact *c, struct disk *disk, const struct batch *b,
                       struct bytes whole)
{
    struct compact_rules rules = {.map = &c->map,
                                  .map_end = c->map_end,
                                  .now_ms = c->now_ms,
                                  .delete_retention_ms = c->config.delete_retention_ms,
                                  .producers = c->producers,
                                  .producers_n = c->producers_n};
    struct aborted_entry kept;
    struct bytes out;
    bool is_void, has_kept;
    int error = compact_txns_batch(&c->txns, b, whole, &is_void, &kept, &has_kept);
    if (error == 0 && has_kept)
        error = kept_add(c, &kept);
    if (error == 0)
        error = compact_batch(&rules, &c->memory, b, whole, is_void, &out);
    if (error < 0)
        return error;
    c->is_changed |= out.ptr != whole.ptr;
    return out.n > 0 ? out_batch(c, disk, out) : 0;
}

static int clean_piece(struct compact *c, struct disk *disk)
{
    if (c->group_n == 0) {
        int error = group_begin(c, disk);
        if (error < 0)
            return error;
    }
    while (c->read_bytes < COMPACT_PIECE_BYTES) {
        struct batch b;
        struct bytes whole;
        int error = scan_open(c, disk);
        if (error == 0)
            error = batch_next(c, &b, &whole);
        if (error == E_EOF) {
            scan_close(c, disk);
            if (++c->at < c->group_at + c->group_n)
                continue;
            error = group_end(c, disk);
            if (error == 0 && c->said != COMPACT_READY)
                group_next(c);
            return error;
        }
        if (error == 0)
            error = clean_batch(c, disk, &b, whole);
        if (error < 0)
            return error;
        batch_scan_skip(&c->scan, &b);
    }
    return 0;
}

/* ── a piece ── */

static int by_id(const void *a, const void *b)
{
    const struct compact_producer *x = a, *y = b;
    return x->producer_id < y->producer_id ? -1 : x->producer_id > y->producer_id;
}

/* From a snapshot of our own making, so its sizes are right. */
static int producers_take(struct compact *c)
{
    if (c->snapshot_bytes <= PRODUCER_SNAPSHOT_HEADER)
        return 0;
    uint32_t n = (c->snapshot_bytes - PRODUCER_SNAPSHOT_HEADER) / PRODUCER_SNAPSHOT_ENTRY;
    c->producers = calloc(n, sizeof *c->producers);
    if (c->producers == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *p =
            c->snapshot + PRODUCER_SNAPSHOT_HEADER + (size_t)i * PRODUCER_SNAPSHOT_ENTRY;
        c->producers[i] = (struct compact_producer){load_i64(p + SNAPSHOT_ID_AT),
                                                    load_i64(p + SNAPSHOT_LAST_OFFSET_AT),
                                                    load_i16(p + SNAPSHOT_EPOCH_AT)};
    }
    c->producers_n = n;
    qsort(c->producers, n, sizeof *c->producers, by_id);
    return 0;
}

static int compact_begin(struct compact *c, struct helper *helper)
{
    uint64_t key[2] = {prng_next(&helper->prng), prng_next(&helper->prng)};
    int64_t keys_max = c->sources[c->sources_n - 1].end_offset - c->dirty_from;
    check(keys_max > 0);
    c->has_begun = true;
    while (c->sources[c->at].end_offset <= c->dirty_from)
        c->at++;
    c->txns.aborted = c->aborted;
    c->txns.aborted_n = c->aborted_n;
    c->result = (struct segment){.first_timestamp = -1, .max_timestamp = -1};
    c->out = malloc(COMPACT_WRITE_BYTES);
    if (c->out == NULL)
        return E_NO_MEMORY;
    c->out_max = COMPACT_WRITE_BYTES;
    int error = producers_take(c);
    return error < 0
               ? error
               : compact_map_init(&c->map, c->map_bytes, (uint64_t)keys_max, c->load_percent, key);
}

static int compact_piece(struct compact *c, struct helper *helper)
{
    struct disk *disk = helper->disk;
    int error = c->has_begun ? 0 : compact_begin(c, helper);
    if (error < 0)
        return error;
    if (c->order == COMPACT_SWAP) {
        error = compact_swap(c, disk);
        if (error == 0)
            group_next(c);
        return error;
    }
    return c->phase == COMPACT_MAP ? map_piece(c, disk) : clean_piece(c, disk);
}

int bulk_compact(struct helper *helper, struct job *job)
{
    struct compact *c = job->compact;
    bool is_swap = c->order == COMPACT_SWAP;
    c->said = COMPACT_MORE;
    c->read_bytes = c->written_bytes = 0;
    int error = c->order == COMPACT_GIVE_UP ? 0 : compact_piece(c, helper);
    bool is_over = c->order == COMPACT_GIVE_UP || (error < 0 && !is_swap);
    if (is_over && c->phase == COMPACT_CLEAN && c->group_at < c->sources_n)
        compact_unlink(c, helper->disk);
    if (is_over)
        c->said = COMPACT_DONE;
    if (c->said == COMPACT_DONE)
        compact_release(c, helper->disk);
    return error;
}
