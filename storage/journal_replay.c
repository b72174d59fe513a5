/*
 * journal_replay.c - what a crashed process left in its journals goes where it belongs, before any
 * log is opened.
 *
 * Owner: main, before the threads run. Blocks on the disk; uses the heap.
 *
 * All rings of a directory are replayed, whoever wrote them and however many workers there are now.
 * One ring: every block that begins like a record of its generation is looked at; the whole record
 * with the highest sequence tells the tail; from there on records are taken until one is missing.
 * Records behind a missing one were never flushed, so nobody was told of them. A missing one at or
 * below a sequence that any whole record calls flushed is damage: E_CORRUPT, unless the caller goes
 * on by explicit wish (rule 6).
 *
 * An entry is written when metadata still knows its topic and partition (rule 5) and when it
 * continues its segment: its position lies inside the file, or the segment is missing and the entry
 * is its first. Else it is dropped with all later ones of that log. Bytes that are there already
 * are written again: they are the same. Directories and files that are missing are made.
 *
 * Nothing is cut here: opening the log scans what follows its recovery point, batch by batch, and
 * cuts behind the last whole one (recovery_scan.c). The rings stay until all logs are open and
 * flushed (rule 8): a crash meanwhile does the same again.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "disk_tools.h"
#include "journal.h"

enum { SCAN_BYTES = 1 << 20 };

/* A record that was found. */
struct found {
    uint64_t seq, at;
    uint32_t bytes;
    bool is_whole;
};

/* A segment that was written to: it has to be flushed. */
struct touched {
    char path[DISK_PATH_MAX];
    char directory[DISK_PATH_MAX];
};

struct dropped {
    struct uuid topic_id;
    int32_t partition;
};

struct replay {
    struct disk *disk;
    const char *directory; /* the log directory */
    bool (*is_known)(void *context, struct bytes topic, int32_t partition, const struct uuid *id);
    void *context;
    struct journal_report *report;
    bool is_loss_accepted, has_sync_all;
    char *why;
    size_t why_n;
    char ring[DISK_PATH_MAX];
    int fd;
    struct uuid generation;
    struct found *found; /* by sequence */
    uint32_t found_n, found_max;
    uint8_t *record; /* JOURNAL_RECORD_MAX */
    /* the file last written to */
    char path[DISK_PATH_MAX];
    int to;
    uint64_t to_bytes;
    struct touched *touched;
    uint32_t touched_n, touched_max;
    struct dropped *dropped;
    uint32_t dropped_n, dropped_max;
};

printf_like(3, 4) static int fail(struct replay *r, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->why, r->why_n, format, args);
    va_end(args);
    return error;
}

static int array_room(void **v, uint32_t n, uint32_t *max, size_t each)
{
    if (n < *max)
        return 0;
    uint32_t more = *max == 0 ? 64 : *max * 2;
    void *grown = realloc(*v, more * each);
    if (grown == NULL)
        return E_NO_MEMORY;
    *v = grown;
    *max = more;
    return 0;
}

/* ── finding records ── */

static int found_add(struct replay *r, uint64_t at, const struct journal_head *head)
{
    int rc = array_room((void **)&r->found, r->found_n, &r->found_max, sizeof *r->found);
    if (rc == 0)
        r->found[r->found_n++] = (struct found){head->seq, at, head->bytes, false};
    return rc;
}

static int found_order(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int ring_scan(struct replay *r)
{
    uint8_t *chunk = aligned_alloc(JOURNAL_BLOCK, SCAN_BYTES);
    int64_t n = chunk == NULL ? E_NO_MEMORY : 0;
    int rc = 0;
    for (uint64_t at = 0; n >= 0 && rc == 0; at += (uint64_t)n) {
        n = disk_read(r->disk, r->fd, chunk, SCAN_BYTES, at);
        if (n <= 0)
            break;
        for (uint64_t i = 0; rc == 0 && i + JOURNAL_BLOCK <= (uint64_t)n; i += JOURNAL_BLOCK) {
            struct journal_head head;
            if (journal_head_read(chunk + i, &r->generation, &head) == 0)
                rc = found_add(r, at + i, &head);
        }
        if (n < SCAN_BYTES)
            break;
    }
    free(chunk);
    if (r->found_n > 0)
        qsort(r->found, r->found_n, sizeof *r->found, found_order);
    return n < 0 ? (int)n : rc;
}

/* The record into r->record; E_CORRUPT: it is not whole. */
static int record_read(struct replay *r, const struct found *f, struct journal_head *head)
{
    int64_t n = disk_read(r->disk, r->fd, r->record, f->bytes, f->at);
    if (n < 0)
        return (int)n;
    if (n != f->bytes || journal_head_read(r->record, &r->generation, head) != 0 ||
        head->seq != f->seq || head->bytes != f->bytes)
        return E_CORRUPT;
    return journal_record_check(r->record, head);
}

/* Which records are to be replayed: [*from, *to) of r->found. */
static int ring_judge(struct replay *r, uint32_t *from, uint32_t *to)
{
    struct journal_head head;
    uint64_t tail_seq = 0, flushed_seq = 0;
    bool has_newest = false;
    uint32_t i = r->found_n;
    *from = *to = 0;
    while (i-- > 0 && (!has_newest || r->found[i].seq >= tail_seq)) {
        int rc = record_read(r, &r->found[i], &head);
        if (rc != 0 && rc != E_CORRUPT)
            return rc;
        r->found[i].is_whole = rc == 0;
        if (rc != 0)
            continue;
        if (!has_newest)
            tail_seq = head.tail_seq;
        has_newest = true;
        flushed_seq = max_u64(flushed_seq, head.flushed_seq);
    }
    if (!has_newest)
        return 0;
    for (i = 0; i < r->found_n && r->found[i].seq < tail_seq; i++)
        continue;
    *from = *to = i;
    uint64_t next = tail_seq;
    while (*to < r->found_n && r->found[*to].is_whole && r->found[*to].seq == next) {
        ++*to;
        next++;
    }
    if (next > flushed_seq)
        return 0;
    r->report->lost_n += flushed_seq - next + 1;
    if (r->is_loss_accepted)
        return 0;
    return fail(r, E_CORRUPT,
                "%s is damaged: of the records %" PRIu64 " to %" PRIu64 ", which were flushed, "
                "those from %" PRIu64 " on cannot be read, and what was acknowledged in them is "
                "lost; restore the directory from a backup, or start once with "
                "storage.journal.accept.loss=true",
                r->ring, tail_seq, flushed_seq, next);
}

/* ── entries ── */

static bool is_dropped(const struct replay *r, const struct journal_entry *e)
{
    for (uint32_t i = 0; i < r->dropped_n; i++)
        if (r->dropped[i].partition == e->partition &&
            uuid_equal(&r->dropped[i].topic_id, &e->topic_id))
            return true;
    return false;
}

static int drop(struct replay *r, const struct journal_entry *e)
{
    int rc = array_room((void **)&r->dropped, r->dropped_n, &r->dropped_max, sizeof *r->dropped);
    if (rc == 0)
        r->dropped[r->dropped_n++] = (struct dropped){e->topic_id, e->partition};
    r->report->dropped_n++;
    return rc;
}

static void file_done(struct replay *r)
{
    if (r->to >= 0)
        disk_close(r->disk, r->to);
    r->to = -1;
    r->path[0] = 0;
}

static int touch(struct replay *r, const char *directory)
{
    int rc = array_room((void **)&r->touched, r->touched_n, &r->touched_max, sizeof *r->touched);
    if (rc != 0)
        return rc;
    struct touched *t = &r->touched[r->touched_n++];
    snprintf(t->path, sizeof t->path, "%s", r->path);
    snprintf(t->directory, sizeof t->directory, "%s", directory);
    return 0;
}

/* A partition whose first bytes were never written back has no directory. */
static int directory_make(struct replay *r, const char *directory, const struct journal_entry *e)
{
    char path[DISK_PATH_MAX];
    struct disk_stat s;
    int rc = path_join(path, directory, "partition.metadata");
    if (rc == 0)
        rc = disk_stat(r->disk, path, &s);
    if (rc != E_NOT_FOUND)
        return rc;
    return partition_make(r->disk, directory, &e->topic_id, (struct bytes){NULL, 0});
}

/* The segment of an entry, open for writing, made when the entry is its first. E_NOT_FOUND. */
static int file_open(struct replay *r, const struct journal_entry *e)
{
    char directory[DISK_PATH_MAX], path[DISK_PATH_MAX];
    struct disk_stat s;
    log_directory_path(directory, r->directory, e->topic, e->partition);
    segment_path(path, directory, e->base_offset, ".log");
    if (r->to >= 0 && strcmp(path, r->path) == 0)
        return 0;
    file_done(r);
    int rc = disk_stat(r->disk, path, &s);
    if (rc == E_NOT_FOUND && e->pos > 0)
        return rc;
    bool is_missing = rc == E_NOT_FOUND;
    if (is_missing)
        rc = directory_make(r, directory, e);
    if (rc != 0)
        return rc;
    r->report->made_n += is_missing;
    r->to = disk_open(r->disk, path, DISK_WRITE | (is_missing ? DISK_CREATE : 0));
    if (r->to < 0)
        return r->to;
    r->to_bytes = is_missing ? 0 : s.bytes;
    snprintf(r->path, sizeof r->path, "%s", path);
    return r->has_sync_all ? 0 : touch(r, directory);
}

static int entry_replay(struct replay *r, const struct journal_entry *e)
{
    if (is_dropped(r, e))
        return 0;
    if (!r->is_known(r->context, e->topic, e->partition, &e->topic_id)) {
        r->report->unknown_n++;
        return 0;
    }
    int rc = file_open(r, e);
    if (rc == E_NOT_FOUND || (rc == 0 && e->pos > r->to_bytes))
        return drop(r, e);
    if (rc == 0)
        rc = disk_write(r->disk, r->to, e->data.ptr, e->data.n, e->pos);
    if (rc != 0)
        return rc;
    r->to_bytes = max_u64(r->to_bytes, e->pos + e->data.n);
    r->report->entries_n++;
    r->report->bytes += e->data.n;
    return 0;
}

static int record_replay(struct replay *r, const struct found *f)
{
    struct journal_head head;
    struct journal_entry entry;
    uint32_t at = JOURNAL_RECORD_HEAD;
    int rc = record_read(r, f, &head);
    r->report->records_n++;
    while (rc == 0) {
        rc = journal_entry_next(bytes_of(r->record, head.used), &at, &entry);
        if (rc == 0)
            rc = entry_replay(r, &entry);
    }
    return rc == E_EOF ? 0 : rc;
}

/* ── rings ── */

static int ring_replay(struct replay *r)
{
    uint32_t from, to;
    int64_t n = disk_read(r->disk, r->fd, r->record, JOURNAL_BLOCK, 0);
    if (n < 0)
        return (int)n;
    int rc = n < JOURNAL_BLOCK ? E_EOF : journal_ring_read(r->record, &r->generation);
    if (rc == E_EOF)
        return 0; /* a boot was cut short before it held anything */
    if (rc != 0 && r->is_loss_accepted) {
        r->report->lost_n++;
        return 0;
    }
    if (rc != 0)
        return fail(r, rc,
                    "the head of %s is damaged, so what was acknowledged in it cannot be read; "
                    "restore the directory from a backup, or start once with "
                    "storage.journal.accept.loss=true",
                    r->ring);
    r->report->rings_n++;
    r->found_n = 0;
    rc = ring_scan(r);
    if (rc == 0)
        rc = ring_judge(r, &from, &to);
    for (; rc == 0 && from < to; from++)
        rc = record_replay(r, &r->found[from]);
    return rc;
}

static int rings_replay(struct replay *r, const char *journals, const struct names *names)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < names->n; i++) {
        size_t n = strlen(names->v[i]);
        if (n < 5 || strcmp(names->v[i] + n - 5, ".ring") != 0)
            continue;
        rc = path_join(r->ring, journals, names->v[i]);
        if (rc != 0)
            return rc;
        r->fd = disk_open(r->disk, r->ring, DISK_READ);
        if (r->fd < 0)
            return r->fd;
        rc = ring_replay(r);
        disk_close(r->disk, r->fd);
    }
    return rc;
}

static int sync_path(struct disk *disk, const char *path)
{
    int fd = disk_open(disk, path, DISK_WRITE);
    if (fd < 0)
        return fd;
    int rc = disk_sync(disk, fd);
    disk_close(disk, fd);
    return rc;
}

/* Everything that was written and made. */
static int touched_sync(struct replay *r, int directory_fd)
{
    char path[DISK_PATH_MAX];
    int rc = 0;
    if (r->has_sync_all)
        return disk_sync_all(r->disk, directory_fd);
    for (uint32_t i = 0; rc == 0 && i < r->touched_n; i++) {
        const struct touched *t = &r->touched[i];
        rc = sync_path(r->disk, t->path);
        if (rc == 0)
            rc = path_join(path, t->directory, "partition.metadata");
        if (rc == 0)
            rc = sync_path(r->disk, path);
        if (rc == 0)
            rc = directory_sync(r->disk, t->directory);
    }
    return rc == 0 ? disk_sync(r->disk, directory_fd) : rc;
}

int journal_replay(struct disk *disk, const char *directory,
                   bool (*is_known)(void *context, struct bytes topic, int32_t partition,
                                    const struct uuid *id),
                   void *context, bool is_loss_accepted, struct journal_report *report, char *why,
                   size_t why_n)
{
    char journals[DISK_PATH_MAX];
    struct names names = {NULL};
    struct replay r = {.disk = disk,
                       .directory = directory,
                       .is_known = is_known,
                       .context = context,
                       .report = report,
                       .is_loss_accepted = is_loss_accepted,
                       .why = why,
                       .why_n = why_n,
                       .to = -1};
    *report = (struct journal_report){0};
    int rc = path_join(journals, directory, JOURNAL_DIRECTORY);
    if (rc == 0)
        rc = names_list(disk, journals, &names);
    if (rc == E_NOT_FOUND)
        return 0;
    if (rc != 0)
        return rc;
    /* Older than what it has to cover: errors since then are reported. */
    int directory_fd = disk_open(disk, directory, DISK_READ | DISK_DIRECTORY);
    r.has_sync_all = directory_fd >= 0 && disk_sync_all(disk, directory_fd) == 0;
    r.record = malloc(JOURNAL_RECORD_MAX);
    rc = directory_fd < 0 ? directory_fd : r.record == NULL ? E_NO_MEMORY : 0;
    if (rc == 0)
        rc = rings_replay(&r, journals, &names);
    file_done(&r);
    if (rc == 0 && report->entries_n > 0)
        rc = touched_sync(&r, directory_fd);
    if (directory_fd >= 0)
        disk_close(disk, directory_fd);
    free(r.record);
    free(r.found);
    free(r.touched);
    free(r.dropped);
    names_free(&names);
    return rc;
}

int journal_clear(struct disk *disk, const char *directory)
{
    char journals[DISK_PATH_MAX], path[DISK_PATH_MAX];
    struct names names;
    int rc = path_join(journals, directory, JOURNAL_DIRECTORY);
    if (rc == 0)
        rc = names_list(disk, journals, &names);
    if (rc != 0)
        return rc == E_NOT_FOUND ? 0 : rc;
    for (uint32_t i = 0; rc == 0 && i < names.n; i++) {
        rc = path_join(path, journals, names.v[i]);
        if (rc == 0)
            rc = disk_unlink(disk, path);
    }
    names_free(&names);
    if (rc == 0)
        rc = directory_sync(disk, journals);
    if (rc == 0)
        rc = disk_remove_directory(disk, journals);
    return rc == 0 ? directory_sync(disk, directory) : rc;
}

int journal_stands(struct disk *disk, const char *directory, bool *stands)
{
    char journals[DISK_PATH_MAX];
    struct disk_stat s;
    int rc = path_join(journals, directory, JOURNAL_DIRECTORY);
    if (rc == 0)
        rc = disk_stat(disk, journals, &s);
    *stands = rc == 0;
    return rc == E_NOT_FOUND ? 0 : rc;
}
