/*
 * dump.c - dumps and checks one file of a partition.
 *
 * Owner: the call.
 *
 * A segment is walked batch by batch. A batch whose length makes sense but whose content is wrong
 * (CRC, counts, offsets) is damage, and the walk goes on behind it. Where no batch can begin, the
 * rest of the file is searched for the next place at which one with a right CRC and a higher offset
 * begins; what lies between is lost. Zeros up to the end are called a zero tail: a preallocated
 * file, or a crash.
 *
 * The search costs at most SEARCH_BYTES_MAX of checksums, so that no file keeps it busy for ever.
 */
#include "dump.h"

#include <stdlib.h>

#include "batch_scan.h"
#include "compress.h"
#include "disk_tools.h"
#include "dump_row.h"
#include "mark.h"
#include "sweep.h"

enum { SMALL_FILE_BYTES_MAX = 256 << 20, SEARCH_CHUNK = 64 << 10 };
#define SEARCH_BYTES_MAX MIB(256)

/* ── records ── */

static const char *codec_word(uint8_t codec)
{
    static const char *const words[CODECS_N] = {"none", "gzip", "snappy", "lz4", "zstd"};
    return codec < CODECS_N ? words[codec] : "unknown";
}

static const char *control_word(int16_t type)
{
    static const char *const words[] = {"abort",           "commit",          "leader_change",
                                        "snapshot_header", "snapshot_footer", "kraft_version",
                                        "kraft_voters"};
    return type >= 0 && type < (int16_t)array_n(words) ? words[type] : "unknown";
}

/* Key: i16 version, i16 type; an end marker's value: i16 version, i32 coordinator epoch. */
static void show_control(struct dump *d, const struct record *r)
{
    if (r->key.n < 4)
        return;
    int16_t type = load_i16(r->key.ptr + 2);
    row_word(d, "control", control_word(type));
    if (type <= 1 && r->value.n >= 6)
        row_int(d, "coordinator_epoch", load_i32(r->value.ptr + 2));
}

/* The pairs were judged by record_next. */
static void show_headers(struct dump *d, struct bytes headers)
{
    const uint8_t *p = headers.ptr, *end = headers.ptr + headers.n;
    int64_t n = 0, length = 0;
    p += load_varint(p, end, 5, &n);
    if (n == 0)
        return;
    row_pairs_begin(d, "headers");
    for (int64_t i = 0; i < n; i++) {
        p += load_varint(p, end, 5, &length);
        struct bytes key = bytes_of(p, (size_t)length), value = {NULL, 0};
        p += length;
        p += load_varint(p, end, 5, &length);
        if (length >= 0)
            value = bytes_of(p, (size_t)length);
        p += value.n;
        row_pair(d, i == 0, key, value);
    }
    row_pairs_end(d);
}

static void show_record(struct dump *d, const struct batch *b, const struct record *r)
{
    int64_t offset = (int64_t)((uint64_t)b->base_offset + (uint64_t)(int64_t)r->offset_delta);
    int64_t timestamp = (int64_t)((uint64_t)b->base_timestamp + (uint64_t)r->timestamp_delta);
    row_begin(d, "record", d->options->with_records && row_is_wanted(d, offset));
    row_int(d, "offset", offset);
    row_int(d, "timestamp", b->attributes & BATCH_LOG_APPEND_TIME ? b->max_timestamp : timestamp);
    if (b->base_sequence >= 0)
        row_int(d, "sequence",
                (int32_t)(((uint32_t)b->base_sequence + (uint32_t)r->offset_delta) & 0x7fffffff));
    row_int(d, "key_bytes", r->key.ptr == NULL ? -1 : (int64_t)r->key.n);
    row_int(d, "value_bytes", r->value.ptr == NULL ? -1 : (int64_t)r->value.n);
    if (batch_is_control(b)) {
        show_control(d, r);
    } else {
        row_bytes(d, "key", r->key);
        row_bytes(d, "value", r->value);
        show_headers(d, r->headers);
    }
    row_end(d);
}

/* Checks and shows the records of a batch whose CRC is right. */
static int dump_records(struct dump *d, uint64_t pos, const struct batch *b, struct bytes whole,
                        struct plain *plain)
{
    struct bytes records = bytes_of(whole.ptr + BATCH_HEADER, whole.n - BATCH_HEADER);
    struct record r;
    uint32_t at = 0;
    int32_t n = 0, last = -1;
    int error = 0;
    if (batch_codec(b) != CODEC_NONE) {
        error = plain_decompress(plain, batch_codec(b), records, DECOMPRESS_BYTES_MAX);
        if (error == E_NO_MEMORY)
            return error;
        if (error < 0)
            row_damage(d, pos, "%s payload cannot be decompressed: %s", codec_word(batch_codec(b)),
                       error_text(error));
        if (error < 0)
            return 0;
        records = bytes_of(plain->v, plain->n);
    }
    while ((error = record_next(records, &at, &r)) == 0) {
        if (r.offset_delta <= last || r.offset_delta > b->last_delta)
            row_damage(d, pos,
                       "record %d has offset delta %d behind %d, in a batch that ends with %d", n,
                       r.offset_delta, last, b->last_delta);
        last = r.offset_delta;
        show_record(d, b, &r);
        n++;
    }
    d->sum->records_n += (uint64_t)n;
    if (error != E_EOF)
        row_damage(d, pos, "record %d does not follow the record format", n);
    else if (n != b->records_n)
        row_damage(d, pos, "the batch says %d records and holds %d", b->records_n, n);
    return 0;
}

/* ── batches ── */

static void show_batch(struct dump *d, uint64_t pos, const struct batch *b, bool is_crc_right)
{
    row_begin(d, "batch", row_is_wanted(d, batch_last_offset(b)));
    row_int(d, "pos", (int64_t)pos);
    row_int(d, "bytes", b->bytes);
    row_int(d, "first", b->base_offset);
    row_int(d, "last", batch_last_offset(b));
    row_int(d, "records", b->records_n);
    row_word(d, "codec", codec_word(batch_codec(b)));
    row_int(d, "leader_epoch", b->leader_epoch);
    row_int(d, "base_timestamp", b->base_timestamp);
    row_int(d, "max_timestamp", b->max_timestamp);
    row_word(d, "time", b->attributes & BATCH_LOG_APPEND_TIME ? "append" : "create");
    row_int(d, "producer", b->producer_id);
    row_int(d, "producer_epoch", b->producer_epoch);
    row_int(d, "sequence", b->base_sequence);
    row_bool(d, "transactional", batch_is_transactional(b));
    row_bool(d, "control", batch_is_control(b));
    if (b->attributes & BATCH_DELETE_HORIZON)
        row_int(d, "delete_horizon", b->base_timestamp);
    row_int(d, "crc", b->crc);
    row_bool(d, "valid", is_crc_right);
    row_end(d);
}

static void check_offsets(struct dump *d, uint64_t pos, const struct batch *b)
{
    if (b->last_delta < 0 || b->base_offset < 0 || b->base_offset > INT64_MAX - INT32_MAX)
        row_damage(d, pos, "offsets %lld and %d beyond it are not possible",
                   (long long)b->base_offset, b->last_delta);
    else if (b->base_offset <= d->sum->last_offset)
        row_damage(d, pos, "first offset %lld is not above %lld, the last of the batch before",
                   (long long)b->base_offset, (long long)d->sum->last_offset);
    if (b->records_n < 0 || (int64_t)b->records_n > (int64_t)b->last_delta + 1)
        row_damage(d, pos, "%d records do not fit %d offsets", b->records_n,
                   b->last_delta + (b->last_delta < INT32_MAX));
}

/* A whole batch by its length. */
static int dump_batch(struct dump *d, struct batch_scan *scan, const struct batch *b,
                      struct plain *plain)
{
    struct bytes whole;
    int error = batch_scan_body(scan, b, &whole);
    if (error < 0)
        return error;
    uint32_t crc = batch_crc(whole.ptr, whole.n);
    show_batch(d, scan->pos, b, crc == b->crc);
    d->sum->batches_n++;
    if (crc != b->crc) {
        row_damage(d, scan->pos, "the batch's CRC-32C is %08x, its bytes have %08x", b->crc, crc);
        d->sum->damaged_bytes += b->bytes;
        return 0;
    }
    check_offsets(d, scan->pos, b);
    if (d->sum->first_offset < 0)
        d->sum->first_offset = b->base_offset;
    if (b->base_offset >= 0 && b->last_delta >= 0)
        d->sum->last_offset = max_i64(
            d->sum->last_offset, (int64_t)((uint64_t)b->base_offset + (uint64_t)b->last_delta));
    error = dump_records(d, scan->pos, b, whole, plain);
    if (error == 0 && d->options->sink != NULL)
        error = d->options->sink->batch(d->options->sink->context, scan->pos, b, whole);
    return error;
}

/* ── where no batch begins ── */

/* Search for the next batch. */
struct search {
    struct dump *d;
    struct batch_scan *scan;
    uint64_t budget;
    bool is_zero; /* so far */
};

static bool is_batch_at(struct search *s, uint64_t pos, const uint8_t *header)
{
    struct batch b;
    if (header[BATCH_MAGIC_AT] != 2 || batch_header(header, &b) < 0 ||
        b.bytes > s->scan->bytes - pos || b.base_offset <= s->d->sum->last_offset ||
        b.last_delta < 0 || b.bytes > s->budget)
        return false;
    s->budget -= b.bytes;
    uint8_t *whole = malloc(b.bytes);
    bool is_right = whole != NULL &&
                    disk_read(s->d->disk, s->scan->fd, whole, b.bytes, pos) == b.bytes &&
                    batch_crc(whole, b.bytes) == b.crc;
    free(whole);
    return is_right;
}

/* The position of the next good batch behind `pos`, or the end of the file. */
static int search_batch(struct search *s, uint64_t pos, uint64_t *found)
{
    uint8_t *chunk = malloc(SEARCH_CHUNK + BATCH_HEADER);
    if (chunk == NULL)
        return E_NO_MEMORY;
    *found = s->scan->bytes;
    while (pos < s->scan->bytes) {
        uint64_t want = min_u64(SEARCH_CHUNK + BATCH_HEADER, s->scan->bytes - pos);
        int64_t got = disk_read(s->d->disk, s->scan->fd, chunk, want, pos);
        if (got <= 0) {
            free(chunk);
            return (int)got;
        }
        for (int64_t i = 0; i < got && i < SEARCH_CHUNK; i++) {
            s->is_zero &= chunk[i] == 0;
            if (i + BATCH_HEADER > got || !is_batch_at(s, pos + (uint64_t)i, chunk + i))
                continue;
            *found = pos + (uint64_t)i;
            free(chunk);
            return 0;
        }
        pos += min_u64((uint64_t)got, SEARCH_CHUNK);
    }
    free(chunk);
    return 0;
}

/* Tells what is wrong at scan->pos and moves to the next good batch. */
static int dump_gap(struct dump *d, struct batch_scan *scan, const struct batch *b,
                    const uint8_t *header, struct search *search)
{
    char what[96];
    uint64_t next, pos = scan->pos, left = scan->bytes - pos;
    if (header == NULL)
        snprintf(what, sizeof what, "%llu bytes are less than a batch header",
                 (unsigned long long)left);
    else if (b->bytes > left)
        snprintf(what, sizeof what,
                 "the batch has %u bytes, the file ends %llu earlier (a torn write?)", b->bytes,
                 (unsigned long long)(b->bytes - left));
    else if (b->bytes > 0)
        snprintf(what, sizeof what, "magic %d is not served", (int8_t)header[BATCH_MAGIC_AT]);
    else
        snprintf(what, sizeof what, "length %d is not possible",
                 load_i32(header + BATCH_LENGTH_AT));
    search->is_zero = true;
    int error = search_batch(search, pos, &next);
    if (error < 0)
        return error;
    if (search->is_zero && next == scan->bytes)
        row_damage(d, pos, "%llu zero bytes up to the end (preallocated, or a crash)",
                   (unsigned long long)left);
    else if (next == scan->bytes)
        row_damage(d, pos, "%s; no good batch follows in %llu bytes", what,
                   (unsigned long long)left);
    else
        row_damage(d, pos, "%s; %llu bytes are lost, the next good batch is at %llu", what,
                   (unsigned long long)(next - pos), (unsigned long long)next);
    d->sum->damaged_bytes += next - pos;
    scan->pos = next;
    scan->last_bytes = 0;
    return 0;
}

static int dump_batches(struct dump *d, struct batch_scan *scan, struct plain *plain)
{
    struct search search = {d, scan, SEARCH_BYTES_MAX, true};
    for (;;) {
        struct batch b;
        const uint8_t *header;
        int error = batch_scan_peek(scan, &b, &header);
        if (error == E_EOF)
            return 0;
        if (error == 0) {
            error = dump_batch(d, scan, &b, plain);
            batch_scan_skip(scan, &b);
        } else if (error == E_CORRUPT || error == E_BAD_MAGIC) {
            error = dump_old_message(d, scan, plain);
            if (error == 0)
                error = dump_gap(d, scan, &b, header, &search);
        }
        if (error < 0)
            return error;
    }
}

static int dump_segment(struct dump *d, int64_t base_offset)
{
    struct batch_scan scan;
    struct plain plain = {NULL, 0, 0};
    int fd = disk_open(d->disk, d->path, DISK_READ);
    if (fd < 0)
        return fd;
    d->sum->last_offset = base_offset - 1; /* what the name promises */
    int error = batch_scan_init(&scan, d->disk, fd, d->sum->bytes, 0);
    if (error == 0)
        error = dump_batches(d, &scan, &plain);
    batch_scan_fini(&scan);
    plain_fini(&plain);
    disk_close(d->disk, fd);
    if (d->sum->first_offset < 0)
        d->sum->last_offset = -1;
    return error;
}

/* ── one file ── */

/* It is that kind of file, or what a compaction or a deletion left of one. */
static bool suffix_is(const char *suffix, const char *kind)
{
    size_t n = strlen(kind);
    return strncmp(suffix, kind, n) == 0 &&
           (suffix[n] == 0 || strcmp(suffix + n, ".cleaned") == 0 ||
            strcmp(suffix + n, ".swap") == 0 || strcmp(suffix + n, ".deleted") == 0);
}

/* A file of ours. */
static int dump_mark(struct dump *d, struct bytes content)
{
    int64_t offset;
    if (mark_parse(content, &offset) != 0) {
        row_damage(d, 0, "it is not \"0\" and one offset, a line each");
        return 0;
    }
    d->sum->entries_n++;
    row_begin(d, "mark", true);
    row_int(d, "offset", offset);
    row_end(d);
    return 0;
}

static int dump_small(struct dump *d, const char *name)
{
    struct bytes content;
    int64_t base_offset = 0;
    const char *suffix = name;
    bool is_segment = segment_name_parse(name, &base_offset, &suffix);
    int error = file_read(d->disk, d->path, SMALL_FILE_BYTES_MAX, &content);
    if (error < 0)
        return error;
    if (strcmp(name, "leader-epoch-checkpoint") == 0)
        error = dump_epochs(d, content);
    else if (strcmp(name, "partition.metadata") == 0)
        error = dump_partition_metadata(d, content);
    else if (strcmp(name, "meta.properties") == 0)
        error = dump_properties(d, content);
    else if (strcmp(name, mark_start) == 0 || strcmp(name, mark_compacted) == 0)
        error = dump_mark(d, content);
    else if (strstr(name, "-offset-checkpoint") != NULL)
        error = dump_checkpoint(d, name, content);
    else if (is_segment && suffix_is(suffix, ".index"))
        error = dump_index(d, base_offset, content);
    else if (is_segment && suffix_is(suffix, ".timeindex"))
        error = dump_time_index(d, base_offset, content);
    else if (is_segment && suffix_is(suffix, ".txnindex"))
        error = dump_txn_index(d, base_offset, content);
    else if (is_segment && suffix_is(suffix, ".snapshot"))
        error = dump_snapshot(d, content);
    else
        error = E_UNSUPPORTED;
    file_read_free(&content);
    return error;
}

static void show_summary(struct dump *d)
{
    row_begin(d, "summary", true);
    row_int(d, "bytes", (int64_t)d->sum->bytes);
    row_int(d, "batches", (int64_t)d->sum->batches_n);
    row_int(d, "records", (int64_t)d->sum->records_n);
    row_int(d, "entries", (int64_t)d->sum->entries_n);
    if (d->sum->messages_n > 0)
        row_int(d, "messages", (int64_t)d->sum->messages_n);
    row_int(d, "first", d->sum->first_offset);
    row_int(d, "last", d->sum->last_offset);
    row_int(d, "damages", (int64_t)d->sum->damages_n);
    row_int(d, "damaged_bytes", (int64_t)d->sum->damaged_bytes);
    row_end(d);
}

int dump_file(struct disk *disk, const char *path, const struct dump_options *options, FILE *to,
              struct dump_summary *summary)
{
    struct dump d = {.disk = disk, .path = path, .options = options, .to = to, .sum = summary};
    const char *name = path_name(path), *suffix = name;
    struct disk_stat s;
    int64_t base_offset = 0;
    *summary = (struct dump_summary){.first_offset = -1, .last_offset = -1};
    int error = disk_stat(disk, path, &s);
    if (error < 0)
        return error;
    if (s.is_directory)
        return E_INVALID;
    summary->bytes = s.bytes;
    /* Deleted and swapped segments are batches too, and so are snapshots of the metadata log, from
     * offset 0. */
    if (strstr(name, ".checkpoint") != NULL)
        error = dump_segment(&d, 0);
    else if (segment_name_parse(name, &base_offset, &suffix) && strncmp(suffix, ".log", 4) == 0)
        error = dump_segment(&d, base_offset);
    else
        error = dump_small(&d, name);
    if (error == 0)
        show_summary(&d);
    return error;
}
