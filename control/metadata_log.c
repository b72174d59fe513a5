/*
 * metadata_log.c - reads __cluster_metadata-0 at boot: newest whole snapshot, then the log behind
 * it.
 *
 * Owner: control, before the threads run; everything goes through the synchronous disk.
 *
 * Files (disk-formats 15): <20 digits>.log segments of record batches; <offset>-<epoch>.checkpoint
 * snapshots, whole only when their last batch is the footer (control record type 4).
 *
 * A batch counts when its length, magic and CRC are right and it begins where the one before ended.
 * In the last segment the first that does not ends the log: it is cut there (a torn append was
 * never acknowledged). In an earlier segment it is damage, and start stops.
 *
 * What it does not do: appends of live requests (they go through a struct store), indexes (recovery
 * makes them).
 */
#include "metadata_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "batch.h"
#include "check.h"
#include "crc.h"

enum {
    READ_BYTES = 1 << 20,
    BATCH_BYTES_MAX = 64 << 20,
    FILES_MAX = 65536,
    CONTROL_FOOTER = 4,
};

const struct uuid metadata_topic_id = {{[15] = 1}};

/* A sequential read of one file. Owner: the caller. */
struct reader {
    struct disk *disk;
    int fd;
    uint8_t *buffer;
    uint64_t max, at, end; /* buffer[at..end) is not used up */
    uint64_t pos;          /* of buffer[at] in the file */
};

/* What the directory holds. */
struct files {
    int64_t *segments;
    uint32_t segments_n;
    int64_t snapshot; /* newest offset below `snapshot_below`; -1 none */
    int32_t snapshot_epoch;
    int64_t snapshot_below;
    int error;
};

/* Makes n bytes stand in the buffer, if the file has them. False: it has not (or an error, in *e).
 */
static bool reader_need(struct reader *r, uint64_t n, int *e)
{
    *e = 0;
    if (r->end - r->at >= n)
        return true;
    if (r->at > 0) {
        memmove(r->buffer, r->buffer + r->at, r->end - r->at);
        r->end -= r->at;
        r->at = 0;
    }
    if (n > r->max) {
        uint8_t *more = realloc(r->buffer, n);
        if (more == NULL) {
            *e = E_NO_MEMORY;
            return false;
        }
        r->buffer = more;
        r->max = n;
    }
    while (r->end < n) {
        int64_t got =
            disk_read(r->disk, r->fd, r->buffer + r->end, r->max - r->end, r->pos + r->end);
        if (got <= 0) {
            *e = (int)got;
            return false;
        }
        r->end += (uint64_t)got;
    }
    return true;
}

static int reader_open(struct reader *r, struct disk *disk, int fd)
{
    *r = (struct reader){.disk = disk, .fd = fd, .buffer = malloc(READ_BYTES), .max = READ_BYTES};
    return r->buffer == NULL ? E_NO_MEMORY : 0;
}

/* The next whole batch, in the buffer. 0, E_EOF (the file ends, or goes on with something else),
 * E_. */
static int reader_batch(struct reader *r, struct batch *batch, const uint8_t **bytes)
{
    int e;
    if (!reader_need(r, BATCH_HEADER, &e))
        return e < 0 ? e : E_EOF;
    if (batch_header(r->buffer + r->at, batch) < 0 || batch->bytes > BATCH_BYTES_MAX)
        return E_EOF;
    if (!reader_need(r, batch->bytes, &e))
        return e < 0 ? e : E_EOF;
    *bytes = r->buffer + r->at;
    if (crc_of(*bytes + BATCH_ATTRIBUTES_AT, batch->bytes - BATCH_ATTRIBUTES_AT) != batch->crc)
        return E_EOF;
    return 0;
}

static void reader_skip(struct reader *r, uint64_t n)
{
    r->at += n;
    r->pos += n;
}

/* ── snapshots ── */

static int control_type(const uint8_t *bytes, const struct batch *batch)
{
    struct record record;
    uint32_t at = 0;
    if (!batch_is_control(batch) ||
        record_next(bytes_of(bytes + BATCH_HEADER, batch->bytes - BATCH_HEADER), &at, &record) !=
            0 ||
        record.key.n < 4)
        return -1;
    return load_i16(record.key.ptr + 2);
}

/* Walks a snapshot; applies it when `state` is given. E_EOF when it is not whole. */
static int snapshot_walk(struct reader *r, struct state *state)
{
    struct batch batch;
    const uint8_t *bytes;
    int e, last = -1;
    while ((e = reader_batch(r, &batch, &bytes)) == 0) {
        last = control_type(bytes, &batch);
        if (state != NULL && (e = state_apply_batch(state, bytes)) < 0)
            return e == E_EOF ? E_MALFORMED : e;
        reader_skip(r, batch.bytes);
    }
    return e == E_EOF && last == CONTROL_FOOTER ? 0 : e;
}

static int snapshot_load(struct metadata_log *log, const struct files *files, struct state *state,
                         char *why, size_t why_n)
{
    char path[DISK_PATH_MAX + 64];
    struct reader r;
    snprintf(path, sizeof path, "%s/%020" PRId64 "-%010d.checkpoint", log->directory,
             files->snapshot, files->snapshot_epoch);
    int fd = disk_open(log->disk, path, DISK_READ);
    if (fd < 0)
        return fd;
    int e = reader_open(&r, log->disk, fd);
    if (e == 0)
        e = snapshot_walk(&r, NULL);
    if (e == 0) {
        r.at = r.end = r.pos = 0;
        e = snapshot_walk(&r, state);
        if (e < 0)
            snprintf(why, why_n, "%s: at position %" PRIu64 ": %s", path, r.pos, error_text(e));
        state->end_offset = files->snapshot;
        state->epoch = files->snapshot_epoch;
        e = e == E_EOF ? E_CORRUPT : e;
    }
    free(r.buffer);
    disk_close(log->disk, fd);
    return e;
}

/* ── the directory ── */

static int each_file(void *context, const char *name)
{
    struct files *files = context;
    size_t digits = strspn(name, "0123456789");
    int64_t offset = digits == 20 ? strtoll(name, NULL, 10) : -1;
    if (offset < 0)
        return 0;
    if (strcmp(name + 20, ".log") == 0) {
        int64_t *more = files->segments_n == FILES_MAX
                            ? NULL
                            : realloc(files->segments, (files->segments_n + 1) * sizeof *more);
        if (more == NULL)
            return E_NO_MEMORY;
        files->segments = more;
        more[files->segments_n++] = offset;
    } else if (name[20] == '-' && strspn(name + 21, "0123456789") == 10 &&
               strcmp(name + 31, ".checkpoint") == 0 && offset > files->snapshot &&
               offset < files->snapshot_below) {
        files->snapshot = offset;
        files->snapshot_epoch = (int32_t)strtol(name + 21, NULL, 10);
    }
    return 0;
}

static int offset_compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int files_list(struct metadata_log *log, struct files *files, int64_t snapshot_below)
{
    free(files->segments);
    *files = (struct files){.snapshot = -1, .snapshot_below = snapshot_below};
    int e = disk_list(log->disk, log->directory, each_file, files);
    if (e == 0 && files->segments_n > 1)
        qsort(files->segments, files->segments_n, sizeof files->segments[0], offset_compare);
    return e;
}

/* The newest snapshot that is whole, applied. */
static int snapshots_load(struct metadata_log *log, struct files *files, struct state *state,
                          char *why, size_t why_n)
{
    int e = files_list(log, files, INT64_MAX);
    while (e == 0 && files->snapshot >= 0) {
        e = snapshot_load(log, files, state, why, why_n);
        log->snapshot_offset = e == 0 ? files->snapshot : -1;
        log->snapshot_epoch = files->snapshot_epoch;
        if (e != E_EOF)
            return e;
        e = files_list(log, files, files->snapshot); /* it has no footer: an older one may */
    }
    return e;
}

static int sync_directory(struct disk *disk, const char *directory)
{
    int fd = disk_open(disk, directory, DISK_READ | DISK_DIRECTORY);
    if (fd < 0)
        return fd;
    int e = disk_sync(disk, fd);
    disk_close(disk, fd);
    return e;
}

static int write_file(struct disk *disk, const char *directory, const char *name, const char *text)
{
    char path[DISK_PATH_MAX + 64], temporary[DISK_PATH_MAX + 72];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    int fd = disk_open(disk, temporary, DISK_WRITE | DISK_CREATE);
    if (fd < 0)
        return fd;
    int e = disk_truncate(disk, fd, 0);
    if (e == 0)
        e = disk_write(disk, fd, text, strlen(text), 0);
    if (e == 0)
        e = disk_sync(disk, fd);
    disk_close(disk, fd);
    if (e == 0)
        e = disk_rename(disk, temporary, path);
    return e < 0 ? e : sync_directory(disk, directory);
}

/* The directory and its identity; the topic id is always the same. Its name in the log directory is
 * made durable even when it is there already: whoever made it may have died before that. */
static int directory_make(struct metadata_log *log)
{
    struct disk_stat stat;
    char path[DISK_PATH_MAX + 64];
    int e = disk_make_directory(log->disk, log->directory);
    log->is_new = e == 0;
    if (e < 0 && e != E_EXISTS)
        return e;
    snprintf(path, sizeof path, "%.*s", (int)(strrchr(log->directory, '/') - log->directory),
             log->directory);
    e = sync_directory(log->disk, path);
    if (e < 0)
        return e;
    snprintf(path, sizeof path, "%s/partition.metadata", log->directory);
    e = disk_stat(log->disk, path, &stat);
    if (e != E_NOT_FOUND)
        return e;
    return write_file(log->disk, log->directory, "partition.metadata",
                      "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
}

/* ── segments ── */

static int open_segment(struct metadata_log *log, int64_t base, bool create)
{
    char path[DISK_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%020" PRId64 ".log", log->directory, base);
    return disk_open(log->disk, path, DISK_READ | DISK_WRITE | (create ? DISK_CREATE : 0));
}

/* Applies what lies at and above state->end_offset; E_EOF at the first batch that does not count.
 */
static int segment_walk(struct metadata_log *log, struct reader *r, struct state *state, char *why,
                        size_t why_n)
{
    struct batch batch;
    const uint8_t *bytes;
    int e;
    while ((e = reader_batch(r, &batch, &bytes)) == 0) {
        if (batch_last_offset(&batch) >= state->end_offset) {
            if (batch.base_offset != state->end_offset)
                return E_EOF;
            e = state_apply_batch(state, bytes);
            if (e < 0) {
                snprintf(why, why_n, "%s: the batch at offset %" PRId64 ": %s", log->directory,
                         batch.base_offset, error_text(e));
                return e == E_EOF ? E_MALFORMED : e;
            }
            log->batches_n++;
            log->replayed_bytes += batch.bytes;
        }
        reader_skip(r, batch.bytes);
    }
    return e;
}

static int segment_replay(struct metadata_log *log, int64_t base, bool is_last, struct state *state,
                          char *why, size_t why_n)
{
    struct reader r;
    uint8_t more;
    int fd = open_segment(log, base, false);
    if (fd < 0)
        return fd;
    int e = reader_open(&r, log->disk, fd);
    if (e == 0)
        e = segment_walk(log, &r, state, why, why_n);
    free(r.buffer);
    bool has_rest = e == E_EOF && disk_read(log->disk, fd, &more, 1, r.pos) > 0;
    if (e == E_EOF)
        e = 0;
    if (e == 0 && has_rest && !is_last) {
        snprintf(why, why_n,
                 "%s: segment %020" PRId64 " is damaged at position %" PRIu64
                 ", and later segments exist",
                 log->directory, base, r.pos);
        e = E_CORRUPT;
    }
    if (e == 0 && has_rest && is_last) {
        char path[DISK_PATH_MAX + 64];
        struct disk_stat stat;
        snprintf(path, sizeof path, "%s/%020" PRId64 ".log", log->directory, base);
        e = disk_stat(log->disk, path, &stat);
        log->cut_bytes = e == 0 && stat.bytes > r.pos ? stat.bytes - r.pos : 0;
        if (e == 0)
            e = disk_truncate(log->disk, fd, r.pos);
    }
    if (e == 0 && is_last) /* what was read must be durable before anything rests on it */
        e = disk_sync(log->disk, fd);
    if (e < 0 || !is_last) {
        disk_close(log->disk, fd);
        return e;
    }
    log->pos = r.pos;
    log->fd = fd;
    return 0;
}

static int segments_replay(struct metadata_log *log, const struct files *files, struct state *state,
                           char *why, size_t why_n)
{
    if (files->segments_n > 0 && files->segments[0] > state->end_offset) {
        snprintf(why, why_n,
                 "%s: the log begins at offset %" PRId64 ", and no snapshot holds what was before",
                 log->directory, files->segments[0]);
        return E_CORRUPT;
    }
    int e = 0;
    for (uint32_t i = 0; e == 0 && i < files->segments_n; i++) {
        bool is_last = i + 1 == files->segments_n;
        if (is_last || files->segments[i + 1] > state->end_offset)
            e = segment_replay(log, files->segments[i], is_last, state, why, why_n);
    }
    return e;
}

static int first_segment_make(struct metadata_log *log, int64_t base)
{
    log->fd = open_segment(log, base, true);
    log->pos = 0;
    if (log->fd < 0)
        return log->fd;
    return sync_directory(log->disk, log->directory);
}

int metadata_log_open(struct metadata_log *log, struct disk *disk, const char *store,
                      struct state *state, char *why, size_t why_n)
{
    struct files files = {0};
    *log = (struct metadata_log){.disk = disk, .fd = -1, .snapshot_offset = -1};
    why[0] = 0;
    int n = snprintf(log->directory, sizeof log->directory, "%s/" METADATA_DIRECTORY, store);
    int e = n >= (int)sizeof log->directory ? E_INVALID : directory_make(log);
    if (e == 0)
        e = snapshots_load(log, &files, state, why, why_n);
    if (e == 0)
        e = segments_replay(log, &files, state, why, why_n);
    if (e == 0 && log->fd < 0)
        e = first_segment_make(log, state->end_offset);
    free(files.segments);
    if (e < 0 && why[0] == 0)
        snprintf(why, why_n, "%s: %s", log->directory, error_text(e));
    if (e < 0)
        metadata_log_close(log);
    return e;
}

int metadata_log_append(struct metadata_log *log, const uint8_t *batch, uint64_t n)
{
    check(log->fd >= 0);
    int e = disk_write(log->disk, log->fd, batch, n, log->pos);
    if (e == 0)
        e = disk_sync(log->disk, log->fd);
    if (e == 0)
        log->pos += n;
    return e;
}

void metadata_log_close(struct metadata_log *log)
{
    if (log->fd >= 0)
        disk_close(log->disk, log->fd);
    log->fd = -1;
}

/* ── quorum-state ── */

/* The number behind "key": in a flat JSON text; -1 when it is not there. */
static int64_t json_number(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    if (at == NULL)
        return -1;
    at += strlen(key);
    at += strspn(at, "\": ");
    return *at >= '0' && *at <= '9' ? strtoll(at, NULL, 10) : -1;
}

int quorum_state_read(struct disk *disk, const char *directory, int32_t *epoch, bool *is_dynamic)
{
    char path[DISK_PATH_MAX + 64], text[4096];
    *epoch = 0;
    *is_dynamic = false;
    snprintf(path, sizeof path, "%s/quorum-state", directory);
    int fd = disk_open(disk, path, DISK_READ);
    if (fd < 0)
        return fd == E_NOT_FOUND ? 0 : fd;
    int64_t n = disk_read(disk, fd, text, sizeof text - 1, 0);
    disk_close(disk, fd);
    if (n < 0)
        return (int)n;
    text[n] = 0;
    int64_t found = json_number(text, "\"leaderEpoch\""),
            version = json_number(text, "\"data_version\"");
    if (found < 0 || found >= INT32_MAX)
        return E_CORRUPT;
    *epoch = (int32_t)found;
    *is_dynamic = version == 1;
    return 0;
}

int quorum_state_write(struct disk *disk, const char *directory, int32_t node_id, int32_t epoch,
                       bool is_dynamic)
{
    char text[512];
    if (is_dynamic)
        snprintf(text, sizeof text,
                 "{\"leaderId\":%d,\"leaderEpoch\":%d,\"votedId\":-1,\"votedDirectoryId\":"
                 "\"AAAAAAAAAAAAAAAAAAAAAA\",\"data_version\":1}",
                 node_id, epoch);
    else
        snprintf(text, sizeof text,
                 "{\"clusterId\":\"\",\"leaderId\":%d,\"leaderEpoch\":%d,\"votedId\":-1,"
                 "\"appliedOffset\":0,\"currentVoters\":[{\"voterId\":%d}],\"data_version\":0}",
                 node_id, epoch, node_id);
    return write_file(disk, directory, "quorum-state", text);
}
