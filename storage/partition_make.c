/*
 * partition_make.c - the directory of a new partition, with its two text files.
 *
 * Owner: a helper, or main at boot and stop. Blocks on the disk; nothing is flushed here, and no
 * small file needs a temporary name (create.c says why).
 */
#include <stdio.h>

#include "disk_tools.h"
#include "jobs.h"
#include "sweep.h"
#include "uuid_text.h"

enum { METADATA_TEXT_MAX = 64 };

/* "<topic>-<partition>.<32 hex>-delete"; a topic too long for that is cut, as Kafka does. */
void dropped_name(char to[DISK_NAME_MAX + 1], const char *name, const char *hex)
{
    char tail[64];
    const char *dash = strrchr(name, '-');
    size_t topic_n = dash == NULL ? strlen(name) : (size_t)(dash - name);
    int tail_n = snprintf(tail, sizeof tail, "%.12s.%s-delete", dash == NULL ? "" : dash, hex);
    if (topic_n > (size_t)(DISK_NAME_MAX - tail_n))
        topic_n = (size_t)(DISK_NAME_MAX - tail_n);
    snprintf(to, DISK_NAME_MAX + 1, "%.*s%s", (int)topic_n, name, tail);
}

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
