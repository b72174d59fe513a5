/*
 * create.c - new segments, and the directories of new partitions, many at a time.
 *
 * Owner: files.
 *
 * A creation has two halves: its files are made when its job is read; they are made durable, and
 * the job is answered, together with all others of the helper's turn. Before the first byte of a
 * log may be acknowledged, these must be on the device:
 *
 *   the partition's name in the log directory      new partitions only
 *   partition.metadata, its name and its bytes     new partitions only
 *   the name of the .log in the partition
 *
 * Where the file system lets one call stand for all (disk_sync_all), a few creations or more cost
 * one flush; else each costs up to four. The .log itself is flushed with its first bytes. Nothing
 * is written to a .log before its job is answered, so a directory without a whole
 * partition.metadata and without records is one whose creation was cut short: the next start
 * removes it (sweep.c). No small file needs a temporary name for that reason.
 *
 * There are no index files before the segment is sealed or closed: a segment without them is
 * scanned at start, which the last one is anyway.
 */
#include <stdio.h>

#include "check.h"
#include "disk_tools.h"
#include "helper.h"
#include "sweep.h"
#include "uuid_text.h"

enum { METADATA_TEXT_MAX = 64, SYNC_ALL_MIN = 8, SYNCS_NEW = 4, SYNCS_ROLL = 1 };

/* ── making ── */

/* A file that holds `text`. One that has `kept` bytes or more is left alone. */
static int make_small(struct disk *disk, const char *directory, const char *name, struct bytes text,
                      uint64_t kept)
{
    char path[DISK_PATH_MAX];
    struct disk_stat s = {.bytes = 0};
    int error = path_join(path, directory, name);
    if (error == 0)
        error = disk_stat(disk, path, &s);
    if (error == 0 && s.bytes >= kept)
        return 0;
    if (error < 0 && error != E_NOT_FOUND)
        return error;
    int fd = disk_open(disk, path, DISK_WRITE | DISK_CREATE);
    if (fd < 0)
        return fd;
    error = disk_write(disk, fd, text.ptr, text.n, 0);
    if (error == 0 && s.bytes > text.n)
        error = disk_truncate(disk, fd, text.n);
    disk_close(disk, fd);
    return error;
}

/* The directory of a deleted topic that had this name stands in the way, because its drop failed:
 * it gets the name that the drop would have given it, and the next start removes it. */
static int stranger_leave(struct disk *disk, const char *directory, const struct uuid *topic_id)
{
    char hex[UUID_HEX_MAX], to[DISK_PATH_MAX], name[DISK_NAME_MAX + 1], parent[DISK_PATH_MAX];
    struct uuid found;
    int error = partition_metadata_read(disk, directory, &found);
    if (error == E_NOT_FOUND || error == E_CORRUPT) /* the beginning of a creation */
        return 0;
    if (error < 0 || uuid_equal(&found, topic_id))
        return error;
    uuid_hex(&found, hex);
    dropped_name(name, path_name(directory), hex);
    path_parent(parent, directory);
    error = path_join(to, parent, name);
    if (error == 0)
        error = disk_rename(disk, directory, to);
    return error == 0 ? directory_sync(disk, parent) : error;
}

/* The partition's directory with its two text files. */
int partition_make(struct disk *disk, const char *directory, const struct uuid *topic_id,
                   struct bytes epochs)
{
    char id[UUID_TEXT_MAX], text[METADATA_TEXT_MAX];
    if (epochs.ptr == NULL)
        epochs = bytes_of_string("0\n0\n");
    uuid_text(topic_id, id);
    int n = snprintf(text, sizeof text, "version: 0\ntopic_id: %s", id);
    int error = disk_make_directory(disk, directory);
    if (error == E_EXISTS) {
        error = stranger_leave(disk, directory, topic_id);
        if (error == 0)
            error = disk_make_directory(disk, directory);
    }
    if (error == 0 || error == E_EXISTS)
        error = make_small(disk, directory, "partition.metadata", bytes_of(text, (size_t)n),
                           (uint64_t)n);
    if (error == 0)
        error = make_small(disk, directory, "leader-epoch-checkpoint", epochs, UINT64_MAX);
    return error;
}

/* The .log; one of 0 bytes may be left over from an attempt that failed. */
static int make_log(struct disk *disk, struct job *job, const char *path)
{
    struct disk_stat s;
    int error = disk_stat(disk, path, &s);
    if (error == 0 && s.bytes > 0)
        return E_EXISTS;
    if (error < 0 && error != E_NOT_FOUND)
        return error;
    job->fd = disk_open(disk, path, DISK_WRITE | DISK_CREATE);
    if (job->fd < 0)
        return job->fd;
    return job->preallocate ? disk_truncate(disk, job->fd, job->bytes) : 0;
}

/* The name goes again, or a later attempt would meet a preallocated .log and take it for content.
 */
static void unmake_log(struct disk *disk, struct job *job)
{
    char path[DISK_PATH_MAX];
    if (job->fd >= 0)
        disk_close(disk, job->fd);
    job->fd = -1;
    segment_path(path, job->directory, job->base_offset, ".log");
    (void)!disk_unlink(disk, path);
}

static int create_make(struct disk *disk, struct job *job)
{
    char path[DISK_PATH_MAX];
    job->fd = -1;
    int error = job->is_first ? partition_make(disk, job->directory, &job->topic_id, job->data) : 0;
    if (error < 0)
        return error;
    segment_path(path, job->directory, job->base_offset, ".log");
    error = make_log(disk, job, path);
    if (error < 0 && error != E_EXISTS)
        unmake_log(disk, job);
    return error;
}

/* ── making durable ── */

/* One creation by itself: what stands in a directory before the directory, as deep as it goes. */
static int create_sync(struct disk *disk, const struct job *job)
{
    int error = 0;
    if (job->is_first)
        error = file_sync(disk, job->directory, "partition.metadata");
    if (error == 0 && job->is_first)
        error = file_sync(disk, job->directory, "leader-epoch-checkpoint");
    return error == 0 ? directory_sync(disk, job->directory) : error;
}

static int creates_sync_each(struct helper *helper)
{
    uint32_t first_n = 0;
    for (uint32_t i = 0; i < helper->creates_n; i++) {
        struct job *job = helper->creates[i];
        job->error = create_sync(helper->disk, job);
        first_n += job->is_first && job->error == 0;
    }
    return first_n > 0 ? disk_sync(helper->disk, helper->creates_fd) : 0;
}

static bool creates_are_many(const struct helper *helper)
{
    uint32_t syncs_n = 0;
    for (uint32_t i = 0; i < helper->creates_n; i++)
        syncs_n += helper->creates[i]->is_first ? SYNCS_NEW : SYNCS_ROLL;
    return syncs_n > SYNC_ALL_MIN;
}

void creates_end(struct helper *helper)
{
    if (helper->creates_n == 0)
        return;
    int error = E_UNSUPPORTED;
    if (creates_are_many(helper))
        error = disk_sync_all(helper->disk, helper->creates_fd);
    bool is_each = error == E_UNSUPPORTED;
    if (is_each)
        error = creates_sync_each(helper);
    for (uint32_t i = 0; i < helper->creates_n; i++) {
        struct job *job = helper->creates[i];
        if (job->error == 0 && (!is_each || job->is_first))
            job->error = error;
        if (job->error < 0)
            unmake_log(helper->disk, job);
        mail_answer(helper->post, &job->mail);
    }
    disk_close(helper->disk, helper->creates_fd);
    helper->creates_n = 0;
}

/* The descriptor that stands for all must be older than what it has to cover. */
static int creates_begin(struct helper *helper, const struct job *job)
{
    path_parent(helper->creates_parent, job->directory);
    int fd = disk_open(helper->disk, helper->creates_parent, DISK_READ | DISK_DIRECTORY);
    if (fd >= 0)
        helper->creates_fd = fd;
    return fd < 0 ? fd : 0;
}

bool create_begin(struct helper *helper, struct job *job)
{
    char parent[DISK_PATH_MAX];
    path_parent(parent, job->directory);
    if (helper->creates_n == CREATES_MAX ||
        (helper->creates_n > 0 && strcmp(parent, helper->creates_parent) != 0))
        creates_end(helper);
    bool is_alone = helper->creates_n == 0;
    job->error = is_alone ? creates_begin(helper, job) : 0;
    if (job->error < 0)
        return false;
    job->error = job->is_first ? checkpoint_fresh(helper, job->directory) : 0;
    if (job->error == 0)
        job->error = create_make(helper->disk, job);
    if (job->error == 0)
        helper->creates[helper->creates_n++] = job;
    else if (is_alone)
        disk_close(helper->disk, helper->creates_fd);
    return job->error == 0;
}
