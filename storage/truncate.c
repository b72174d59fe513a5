/*
 * truncate.c - a log that nobody has open is cut so that it ends where another one does
 * (replication: what a new leader does not have).
 *
 * Owner: a helper, or main: blocks on the disk. The log is opened afterwards by store_log_recover
 * as after a crash, which makes indexes, producers and what else is derived from the batches.
 *
 * Where to (KIP-101): the leader says that epoch E ends at offset X. The log keeps what lies below
 * X and below the end of its own largest epoch up to E; a batch that reaches beyond goes as a
 * whole.
 *
 * Order: later segments, the last of them first; the .log; then what is derived. After a crash in
 * between the log is longer, or its derived files know of more than there is, which recovery takes
 * away; the caller, who never heard of an end, asks again.
 *
 * It does not go below the first segment: a log that has nothing in common with its leader's is
 * dropped and begun anew.
 */
#include "truncate.h"

#include <stdio.h>
#include <stdlib.h>

#include "aborted.h"
#include "batch_scan.h"
#include "disk_tools.h"
#include "epochs.h"
#include "jobs.h"
#include "sweep.h"

enum { TRUNCATE_FILE_MAX = 256 << 20 };

/* One truncation. Owner: log_truncate. */
struct truncation {
    struct disk *disk;
    const char *directory;
    struct names names;
    struct epochs epochs;
    int64_t target; /* no offset from here on stays */
    int64_t base;   /* of the segment that holds it */
    uint64_t pos;   /* where its .log is cut */
    int64_t end;    /* of the log then */
    bool has_segment, is_cut;
};

static bool name_is(const char *name, const char *suffix, int64_t *offset)
{
    const char *found;
    return segment_name_parse(name, offset, &found) && strcmp(found, suffix) == 0;
}

static int unlink_file(struct truncation *t, int64_t offset, const char *suffix)
{
    char path[DISK_PATH_MAX];
    segment_path(path, t->directory, offset, suffix);
    int error = disk_unlink(t->disk, path);
    return error == E_NOT_FOUND ? 0 : error;
}

/* ── where to ── */

static int epochs_read(struct truncation *t)
{
    char path[DISK_PATH_MAX];
    struct bytes text;
    int error = path_join(path, t->directory, "leader-epoch-checkpoint");
    if (error == 0)
        error = file_read(t->disk, path, TRUNCATE_FILE_MAX, &text);
    if (error == E_NOT_FOUND)
        return 0;
    if (error == 0) {
        error = epochs_parse(&t->epochs, text);
        file_read_free(&text);
    }
    return error;
}

static void target_of(struct truncation *t, int32_t epoch, int64_t offset)
{
    int32_t found = -1;
    int64_t end = -1;
    t->target = offset;
    if (epoch < 0)
        return;
    epochs_end_of(&t->epochs, epoch, INT64_MAX, &found, &end);
    if (found >= 0)
        t->target = min_i64(offset, end);
}

static void segment_choose(struct truncation *t)
{
    int64_t offset;
    for (uint32_t i = 0; i < t->names.n; i++) { /* they are sorted */
        if (!name_is(t->names.v[i], ".log", &offset) || offset > t->target)
            continue;
        t->base = offset;
        t->has_segment = true;
    }
}

/* The first batch that holds the target or lies behind it; a torn end counts as one. */
static int place_find(struct truncation *t)
{
    char path[DISK_PATH_MAX];
    struct batch_scan scan;
    struct disk_stat s;
    struct batch b;
    const uint8_t *header;
    segment_path(path, t->directory, t->base, ".log");
    int error = disk_stat(t->disk, path, &s);
    int fd = error < 0 ? error : disk_open(t->disk, path, DISK_READ);
    if (fd < 0)
        return fd;
    t->end = t->base;
    error = batch_scan_init(&scan, t->disk, fd, s.bytes, 0);
    while (error == 0 && (error = batch_scan_peek(&scan, &b, &header)) == 0 &&
           batch_last_offset(&b) < t->target) {
        t->end = batch_last_offset(&b) + 1;
        batch_scan_skip(&scan, &b);
    }
    t->pos = scan.pos;
    t->is_cut = error != E_EOF && scan.pos < s.bytes;
    batch_scan_fini(&scan);
    disk_close(t->disk, fd);
    return error == E_EOF || error == E_CORRUPT ? 0 : error;
}

/* ── cutting ── */

static int later_unlink(struct truncation *t)
{
    static const char *const suffixes[] = {".index", ".timeindex", ".txnindex", ".log"};
    for (uint32_t i = t->names.n; i-- > 0;) {
        int64_t offset;
        if (!name_is(t->names.v[i], ".log", &offset) || offset <= t->base)
            continue;
        t->is_cut = true;
        for (size_t j = 0; j < array_n(suffixes); j++) {
            int error = unlink_file(t, offset, suffixes[j]);
            if (error < 0)
                return error;
        }
    }
    return 0;
}

static int log_cut(struct truncation *t)
{
    char path[DISK_PATH_MAX];
    segment_path(path, t->directory, t->base, ".log");
    int fd = disk_open(t->disk, path, DISK_WRITE);
    if (fd < 0)
        return fd;
    int error = disk_truncate(t->disk, fd, t->pos);
    if (error == 0)
        error = disk_sync(t->disk, fd);
    disk_close(t->disk, fd);
    return error;
}

/* ── what is derived ── */

static int aborted_cut(struct truncation *t)
{
    struct aborted_list list = {NULL, 0, 0, NULL, 0, 0};
    char path[DISK_PATH_MAX], name[DISK_NAME_MAX + 1];
    struct bytes file;
    segment_path(path, t->directory, t->base, ".txnindex");
    int error = file_read(t->disk, path, TRUNCATE_FILE_MAX, &file);
    if (error == E_NOT_FOUND)
        return 0;
    if (error < 0)
        return error;
    error = aborted_decode(&list, file, t->base);
    file_read_free(&file);
    uint32_t n = error == 0 ? aborted_encode(&list, t->base, t->end, NULL) : 0;
    uint8_t *left = n > 0 ? malloc(n) : NULL;
    if (error == E_CORRUPT || (error == 0 && n == 0)) {
        error = unlink_file(t, t->base, ".txnindex");
    } else if (error == 0 && left == NULL) {
        error = E_NO_MEMORY;
    } else if (error == 0) {
        aborted_encode(&list, t->base, t->end, left);
        snprintf(name, sizeof name, "%020lld.txnindex", (long long)t->base);
        error = file_replace(t->disk, t->directory, name, bytes_of(left, n));
    }
    free(left);
    aborted_fini(&list);
    return error;
}

static int epochs_cut(struct truncation *t)
{
    uint32_t n_before = t->epochs.n;
    epochs_truncate_end(&t->epochs, t->end);
    if (t->epochs.n == n_before)
        return 0;
    char *text = malloc(epochs_text_max(&t->epochs) + 1);
    if (text == NULL)
        return E_NO_MEMORY;
    uint32_t n = (uint32_t)epochs_text(&t->epochs, text);
    int error = file_replace(t->disk, t->directory, "leader-epoch-checkpoint", bytes_of(text, n));
    free(text);
    return error;
}

static int derived_cut(struct truncation *t)
{
    int error = unlink_file(t, t->base, ".index");
    if (error == 0)
        error = unlink_file(t, t->base, ".timeindex");
    if (error == 0)
        error = aborted_cut(t);
    for (uint32_t i = 0; error == 0 && i < t->names.n; i++) {
        int64_t offset;
        if (name_is(t->names.v[i], ".snapshot", &offset) && offset > t->end)
            error = unlink_file(t, offset, ".snapshot");
    }
    if (error == 0)
        error = epochs_cut(t);
    return error == 0 ? directory_sync(t->disk, t->directory) : error;
}

int log_truncate(struct disk *disk, const char *directory, int32_t epoch, int64_t offset,
                 int64_t *end)
{
    struct truncation t = {.disk = disk, .directory = directory};
    check(offset >= 0);
    int error = names_list(disk, directory, &t.names);
    if (error == 0)
        error = epochs_read(&t);
    if (error == 0) {
        target_of(&t, epoch, offset);
        segment_choose(&t);
        error = t.has_segment ? place_find(&t) : E_OFFSET_RANGE;
    }
    if (error == 0)
        error = later_unlink(&t);
    if (error == 0 && t.is_cut)
        error = log_cut(&t);
    if (error == 0 && t.is_cut) /* else recovery takes away what an earlier try has left */
        error = derived_cut(&t);
    names_free(&t.names);
    epochs_fini(&t.epochs);
    *end = t.end;
    return error;
}
