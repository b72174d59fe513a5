/*
 * move_copy.c - the files of a log are copied into another log directory, by the helpers.
 *
 * Owner: bulk; files for the last step (its renames stand in one order with the creations and drops
 * of other logs of the same name).
 *
 *   1 <topic>-<partition>.<32 hex>-future is made in the other directory, with partition.metadata
 *   2 sealed segments: .log in pieces, then .index, .timeindex, .txnindex and the snapshot at their
 *     base; each file is flushed when it is whole
 *   3 the snapshot at the log's end, epochs, start, `compacted-offset`, an empty active .log;
 *     segments that retention has taken meanwhile go again; the directory is flushed
 *   4 the directory gets its name, its parent is flushed
 *
 * Up to 4 a crash leaves a -future directory, which the next start removes. After 4 both copies are
 * whole and the metadata tells which one counts.
 */
#include "move.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "disk_tools.h"
#include "helper.h"
#include "mark.h"
#include "sweep.h"

void move_copy_release(struct move_copy *c, struct disk *disk)
{
    int *const fds[] = {&c->in_fd, &c->out_fd};
    for (size_t i = 0; i < array_n(fds); i++) {
        if (*fds[i] >= 0)
            disk_close(disk, *fds[i]);
        *fds[i] = -1;
    }
}

static int begin(struct disk *disk, struct move_copy *c)
{
    char parent[DISK_PATH_MAX];
    c->is_made = true; /* also when it is cut short: the removal takes what is there */
    int error = partition_make(disk, c->to, &c->topic_id, (struct bytes){NULL, 0});
    path_parent(parent, c->to);
    return error == 0 ? directory_sync(disk, parent) : error;
}

/* ── one file ── */

static int open_both(struct disk *disk, struct move_copy *c, const char *from, const char *to)
{
    c->in_fd = disk_open(disk, from, DISK_READ);
    if (c->in_fd < 0)
        return c->in_fd;
    c->out_fd = disk_open(disk, to, DISK_WRITE | DISK_CREATE);
    return c->out_fd < 0 ? c->out_fd : 0;
}

/* At most `n` bytes from c->pos on; returns how many. */
static int64_t copy_some(struct disk *disk, struct move_copy *c, uint64_t n)
{
    int64_t got = disk_read(disk, c->in_fd, c->buffer, min_u64(n, sizeof c->buffer), c->pos);
    if (got <= 0)
        return got;
    int error = disk_write(disk, c->out_fd, c->buffer, (uint64_t)got, c->pos);
    if (error < 0)
        return error;
    c->pos += (uint64_t)got;
    return got;
}

/* A whole file that need not be there. */
static int copy_file(struct disk *disk, struct move_copy *c, const char *from, const char *to)
{
    int64_t got = 1;
    int error = open_both(disk, c, from, to);
    c->pos = 0;
    while (error == 0 && (got = copy_some(disk, c, sizeof c->buffer)) > 0)
        continue;
    if (error == 0 && got < 0)
        error = (int)got;
    if (error == 0)
        error = disk_sync(disk, c->out_fd);
    bool is_missing = c->in_fd == E_NOT_FOUND;
    move_copy_release(c, disk);
    return is_missing ? 0 : error;
}

static int copy_suffix(struct disk *disk, struct move_copy *c, int64_t offset, const char *suffix)
{
    char from[DISK_PATH_MAX], to[DISK_PATH_MAX];
    segment_path(from, c->from, offset, suffix);
    segment_path(to, c->to, offset, suffix);
    return copy_file(disk, c, from, to);
}

/* ── a segment ── */

static int segment_over(struct disk *disk, struct move_copy *c)
{
    static const char *const suffixes[] = {".index", ".timeindex", ".txnindex", ".snapshot"};
    int error = disk_sync(disk, c->out_fd);
    move_copy_release(c, disk);
    for (size_t i = 0; error == 0 && i < array_n(suffixes); i++)
        error = copy_suffix(disk, c, c->base_offset, suffixes[i]);
    c->is_segment_over = error == 0;
    return error;
}

static int piece(struct disk *disk, struct move_copy *c)
{
    char from[DISK_PATH_MAX], to[DISK_PATH_MAX];
    int error = 0;
    c->is_segment_over = false;
    if (c->in_fd < 0) {
        segment_path(from, c->from, c->base_offset, ".log");
        segment_path(to, c->to, c->base_offset, ".log");
        c->pos = 0;
        error = open_both(disk, c, from, to);
    }
    if (error == 0 && c->pos < c->bytes) {
        int64_t got = copy_some(disk, c, c->bytes - c->pos);
        if (got <= 0) /* its end before the segment's is damage */
            error = got < 0 ? (int)got : E_CORRUPT;
    }
    return error == 0 && c->pos == c->bytes ? segment_over(disk, c) : error;
}

/* ── what is not of one segment ── */

static int unlink_below(struct disk *disk, const char *directory, int64_t first_offset)
{
    struct names names;
    int error = names_list(disk, directory, &names);
    for (uint32_t i = 0; error == 0 && i < names.n; i++) {
        char path[DISK_PATH_MAX];
        const char *suffix;
        int64_t base_offset;
        if (!segment_name_parse(names.v[i], &base_offset, &suffix) || base_offset >= first_offset)
            continue;
        error = path_join(path, directory, names.v[i]);
        if (error == 0)
            error = disk_unlink(disk, path);
    }
    names_free(&names);
    return error;
}

/* So that an empty log, too, begins where it ended. */
static int make_active(struct disk *disk, const struct move_copy *c)
{
    char path[DISK_PATH_MAX];
    segment_path(path, c->to, c->end_offset, ".log");
    int fd = disk_open(disk, path, DISK_WRITE | DISK_CREATE);
    if (fd < 0)
        return fd;
    disk_close(disk, fd);
    return 0;
}

static int finish(struct disk *disk, struct move_copy *c)
{
    char from[DISK_PATH_MAX], to[DISK_PATH_MAX];
    int error = unlink_below(disk, c->to, c->first_offset);
    if (error == 0)
        error = copy_suffix(disk, c, c->end_offset, ".snapshot");
    if (error == 0)
        error = path_join(from, c->from, mark_compacted);
    if (error == 0)
        error = path_join(to, c->to, mark_compacted);
    if (error == 0)
        error = copy_file(disk, c, from, to);
    if (error == 0)
        error =
            file_replace(disk, c->to, "leader-epoch-checkpoint", bytes_of(c->epochs, c->epochs_n));
    if (error == 0 && c->start > 0)
        error = mark_write(disk, c->to, mark_start, c->start);
    if (error == 0)
        error = file_sync(disk, c->to, "partition.metadata");
    if (error == 0)
        error = make_active(disk, c);
    return error == 0 ? directory_sync(disk, c->to) : error;
}

/* ── names ── */

static int swap(struct helper *helper, struct move_copy *c)
{
    char parent[DISK_PATH_MAX];
    struct disk_stat s;
    int error = disk_stat(helper->disk, c->live, &s);
    if (error != E_NOT_FOUND)
        return error == 0 ? E_EXISTS : error;
    error = checkpoint_fresh(helper, c->live);
    if (error == 0)
        error = disk_rename(helper->disk, c->to, c->live);
    if (error < 0)
        return error;
    c->is_renamed = true;
    path_parent(parent, c->live);
    return directory_sync(helper->disk, parent);
}

static int remove_copy(struct helper *helper, struct move_copy *c)
{
    struct disk *disk = helper->disk;
    char parent[DISK_PATH_MAX];
    move_copy_release(c, disk);
    path_parent(parent, c->to);
    int error = c->is_renamed ? disk_rename(disk, c->live, c->to) : 0;
    if (error == 0 && c->is_renamed)
        error = directory_sync(disk, parent);
    c->is_renamed = c->is_renamed && error != 0;
    if (error == 0)
        error = directory_remove(disk, c->to);
    if (error < 0)
        return error == E_NOT_FOUND ? 0 : error;
    return directory_sync(disk, parent);
}

int move_copy_run(struct helper *helper, struct move_copy *c)
{
    int error = 0;
    switch ((enum copy_order)c->order) {
    case COPY_BEGIN: error = begin(helper->disk, c); break;
    case COPY_PIECE: error = piece(helper->disk, c); break;
    case COPY_FINISH: error = finish(helper->disk, c); break;
    case COPY_SWAP: return swap(helper, c);
    case COPY_REMOVE: return remove_copy(helper, c);
    }
    if (error != 0)
        move_copy_release(c, helper->disk);
    return error;
}
