/*
 * dump_index.c - dumps and checks the small files beside a segment.
 *
 * Owner: the call.
 *
 * Entries of .index and .timeindex rise with the offset, so one walk over the headers of the .log
 * checks them all. An .index entry must name a place where a batch begins and an offset in it or
 * behind it: then a look-up that begins there misses nothing (an append of several batches has one
 * entry in Apache Kafka before 4, the last offset of all and the place of the first). A .timeindex
 * entry must name an offset and the largest timestamp up to it. Without a .log, or behind the place
 * where it is damaged, entries are only checked against each other. A zero entry ends the real ones
 * (index.h). Beside a .cleaned, .swap or .deleted file stands the .log of that kind.
 */
#include <stdlib.h>

#include "batch_scan.h"
#include "crc.h"
#include "disk_tools.h"
#include "dump_row.h"
#include "epochs.h"
#include "index.h"
#include "jobs.h"
#include "producers.h"

enum { TXN_ENTRY = 34 };

/* ── the .log beside ── */

/* Owner: the call. */
struct beside {
    struct batch_scan scan;
    struct disk *disk;
    int fd;                /* -1: there is none, or its end or damage was met */
    uint64_t pos;          /* of the batch at hand          */
    int64_t base_offset;   /* of the batch at hand          */
    int64_t last_offset;   /* of the batch at hand          */
    int64_t max_timestamp; /* of all up to it               */
    int64_t max_before;    /* of all before it              */
};

static void beside_close(struct beside *b)
{
    if (b->fd < 0)
        return;
    batch_scan_fini(&b->scan);
    disk_close(b->disk, b->fd);
    b->fd = -1;
}

static void beside_open(struct beside *b, struct dump *d, int64_t base_offset)
{
    char parent[DISK_PATH_MAX], path[DISK_PATH_MAX], suffix[24];
    const char *left = strrchr(path_name(d->path), '.');
    struct disk_stat s;
    if (strstr(left, "index") != NULL)
        left = "";
    *b = (struct beside){
        .disk = d->disk, .fd = -1, .last_offset = base_offset - 1, .max_timestamp = -1};
    path_parent(parent, d->path);
    if (strlen(parent) + 40 > DISK_PATH_MAX)
        return;
    snprintf(suffix, sizeof suffix, ".log%s", left);
    segment_path(path, parent, base_offset, suffix);
    if (disk_stat(d->disk, path, &s) < 0)
        return;
    b->fd = disk_open(d->disk, path, DISK_READ);
    if (b->fd < 0)
        return;
    if (batch_scan_init(&b->scan, d->disk, b->fd, s.bytes, 0) < 0) {
        disk_close(d->disk, b->fd);
        b->fd = -1;
    }
}

static bool beside_next(struct beside *b)
{
    struct batch batch;
    const uint8_t *header;
    if (batch_scan_peek(&b->scan, &batch, &header) < 0) {
        beside_close(b);
        return false;
    }
    b->pos = b->scan.pos;
    b->base_offset = batch.base_offset;
    b->last_offset = batch_last_offset(&batch);
    b->max_before = b->max_timestamp;
    b->max_timestamp = max_i64(b->max_timestamp, batch.max_timestamp);
    batch_scan_skip(&b->scan, &batch);
    return true;
}

/* Goes to the first batch that ends at or behind `offset`. False: there is none to compare with. */
static bool beside_seek(struct beside *b, int64_t offset)
{
    while (b->fd >= 0 && b->last_offset < offset)
        if (!beside_next(b))
            return false;
    return b->fd >= 0;
}

/* Goes to the first batch that begins at or behind `pos`. */
static bool beside_seek_pos(struct beside *b, uint64_t pos)
{
    while (b->fd >= 0 && b->scan.pos <= pos)
        if (!beside_next(b))
            return false;
    return b->fd >= 0;
}

/* ── .index, .timeindex ── */

/* What stands behind the entries that count. */
static void check_tail(struct dump *d, struct bytes content, uint32_t n, uint32_t entry)
{
    uint64_t at = (uint64_t)n * entry;
    bool is_zero = true;
    for (uint64_t i = at; i < content.n; i++)
        is_zero &= content.ptr[i] == 0;
    if (at < content.n && is_zero)
        row_damage(d, at, "%llu zero bytes up to the end (preallocated, or a crash)",
                   (unsigned long long)(content.n - at));
    else if (content.n - at >= entry)
        row_damage(d, at, "entry %u does not rise above the one before; %llu bytes are of no use",
                   n, (unsigned long long)(content.n - at));
    else if (content.n > at)
        row_damage(d, at, "%llu bytes are less than an entry",
                   (unsigned long long)(content.n - at));
    d->sum->damaged_bytes += content.n - at;
}

static void sum_entry(struct dump *d, int64_t offset)
{
    d->sum->entries_n++;
    if (d->sum->first_offset < 0)
        d->sum->first_offset = offset;
    d->sum->last_offset = offset;
}

int dump_index(struct dump *d, int64_t base_offset, struct bytes content)
{
    struct beside b;
    uint32_t n = index_count(content);
    beside_open(&b, d, base_offset);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *entry = content.ptr + (uint64_t)i * INDEX_ENTRY;
        int64_t offset = base_offset + load_i32(entry), pos = load_u32(entry + 4);
        row_begin(d, "index", row_is_wanted(d, offset));
        row_int(d, "offset", offset);
        row_int(d, "pos", pos);
        row_end(d);
        sum_entry(d, offset);
        bool has_log = b.fd >= 0;
        if (beside_seek_pos(&b, (uint64_t)pos) ? b.base_offset > offset || (int64_t)b.pos != pos
                                               : has_log)
            row_damage(d, (uint64_t)i * INDEX_ENTRY,
                       "no batch from which offset %lld can be found begins at %lld of the .log",
                       (long long)offset, (long long)pos);
    }
    beside_close(&b);
    check_tail(d, content, n, INDEX_ENTRY);
    return 0;
}

int dump_time_index(struct dump *d, int64_t base_offset, struct bytes content)
{
    struct beside b;
    uint32_t n = time_index_count(content);
    beside_open(&b, d, base_offset);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *entry = content.ptr + (uint64_t)i * TIME_INDEX_ENTRY;
        int64_t timestamp = load_i64(entry), offset = base_offset + load_i32(entry + 8);
        row_begin(d, "time_index", row_is_wanted(d, offset));
        row_int(d, "timestamp", timestamp);
        row_int(d, "offset", offset);
        row_end(d);
        sum_entry(d, offset);
        bool has_log = b.fd >= 0;
        if (beside_seek(&b, offset) ? b.max_before > timestamp || b.max_timestamp < timestamp
                                    : has_log)
            row_damage(d, (uint64_t)i * TIME_INDEX_ENTRY,
                       "%lld is not the largest timestamp up to a batch that ends with offset %lld",
                       (long long)timestamp, (long long)offset);
    }
    beside_close(&b);
    check_tail(d, content, n, TIME_INDEX_ENTRY);
    return 0;
}

/* ── .txnindex ── */

int dump_txn_index(struct dump *d, int64_t base_offset, struct bytes content)
{
    int64_t before = -1;
    for (uint32_t at = 0; at + TXN_ENTRY <= content.n; at += TXN_ENTRY) {
        const uint8_t *entry = content.ptr + at;
        int64_t first = load_i64(entry + 10), last = load_i64(entry + 18),
                stable = load_i64(entry + 26);
        row_begin(d, "aborted", row_is_wanted(d, last));
        row_int(d, "version", load_i16(entry));
        row_int(d, "producer", load_i64(entry + 2));
        row_int(d, "first", first);
        row_int(d, "last", last);
        row_int(d, "stable", stable);
        row_end(d);
        sum_entry(d, last);
        if (load_i16(entry) != 0)
            row_damage(d, at, "version %d is not served", load_i16(entry));
        else if (last < base_offset || first > last || first < 0)
            row_damage(d, at,
                       "a transaction from %lld to %lld cannot have its marker in this segment",
                       (long long)first, (long long)last);
        else if (last <= before)
            row_damage(d, at, "its marker at %lld is not behind the one before", (long long)last);
        before = last;
    }
    if (content.n % TXN_ENTRY != 0)
        row_damage(d, content.n - content.n % TXN_ENTRY, "%u bytes are less than an entry",
                   content.n % TXN_ENTRY);
    return 0;
}

/* ── .snapshot ── */

static void show_producer(struct dump *d, const uint8_t *entry)
{
    row_begin(d, "producer", row_is_wanted(d, load_i64(entry + 14)));
    row_int(d, "producer", load_i64(entry));
    row_int(d, "producer_epoch", load_i16(entry + 8));
    row_int(d, "last_sequence", load_i32(entry + 10));
    row_int(d, "last_offset", load_i64(entry + 14));
    row_int(d, "offset_delta", load_i32(entry + 22));
    row_int(d, "timestamp", load_i64(entry + 26));
    row_int(d, "coordinator_epoch", load_i32(entry + 34));
    row_int(d, "txn_first_offset", load_i64(entry + 38));
    row_end(d);
    d->sum->entries_n++;
}

int dump_snapshot(struct dump *d, struct bytes content)
{
    if (content.n < PRODUCER_SNAPSHOT_HEADER) {
        row_damage(d, 0, "%u bytes are less than the head of a snapshot", content.n);
        return 0;
    }
    uint32_t crc = load_u32(content.ptr + 2), n = load_u32(content.ptr + 6),
             there = crc_of(content.ptr + 6, content.n - 6);
    row_begin(d, "snapshot", true);
    row_int(d, "version", load_i16(content.ptr));
    row_int(d, "producers", n);
    row_int(d, "crc", crc);
    row_bool(d, "valid", crc == there);
    row_end(d);
    if (load_i16(content.ptr) != 1)
        row_damage(d, 0, "version %d is not served", load_i16(content.ptr));
    if (crc != there)
        row_damage(d, 2, "the CRC-32C is %08x, the bytes have %08x", crc, there);
    if ((uint64_t)n * PRODUCER_SNAPSHOT_ENTRY != content.n - PRODUCER_SNAPSHOT_HEADER)
        row_damage(d, 6, "%u producers do not fit %u bytes", n, content.n);
    for (uint64_t at = PRODUCER_SNAPSHOT_HEADER; at + PRODUCER_SNAPSHOT_ENTRY <= content.n;
         at += PRODUCER_SNAPSHOT_ENTRY)
        show_producer(d, content.ptr + at);
    return 0;
}

/* ── leader-epoch-checkpoint ── */

int dump_epochs(struct dump *d, struct bytes content)
{
    struct epochs e = {NULL, 0, 0};
    int error = epochs_parse(&e, content);
    if (error == E_CORRUPT) {
        row_damage(d, 0,
                   "not a checkpoint file: version 0, the number of entries, rising lines of epoch "
                   "and offset");
        d->sum->damaged_bytes = content.n;
        return 0;
    }
    for (uint32_t i = 0; error == 0 && i < e.n; i++) {
        row_begin(d, "epoch", row_is_wanted(d, e.v[i].start_offset));
        row_int(d, "epoch", e.v[i].epoch);
        row_int(d, "start", e.v[i].start_offset);
        row_end(d);
        sum_entry(d, e.v[i].start_offset);
    }
    epochs_fini(&e);
    return error;
}
