/*
 * move_future.c - the directory that says where a log is going: <topic>-<partition>.<32 hex>-future
 * in the other log directory, with partition.metadata.
 *
 * Owner: a helper (blocks on the disk). It is made, durably, before a move is answered, as Apache
 * Kafka makes it: a start that finds one begins the move anew. The copy is made in another one of
 * such a name (move_copy.c), which becomes the log's before the metadata says so; this one stays
 * until the move is over.
 */
#include <stdio.h>

#include "disk_tools.h"
#include "hash.h"
#include "jobs.h"
#include "sweep.h"
#include "uuid_text.h"

static const char future_end[] = "-future";

void future_path(char *to, const char *store, struct bytes topic, int32_t partition, uint64_t seed)
{
    char hex[UUID_HEX_MAX], tail[64];
    struct uuid id;
    for (size_t i = 0; i < sizeof id.b; i += 8)
        store_u64(id.b + i, hash_mix(seed + i));
    uuid_hex(&id, hex);
    int tail_n = snprintf(tail, sizeof tail, "-%d.%s%s", partition, hex, future_end);
    int topic_n = (int)min_u64(topic.n, (uint64_t)(DISK_NAME_MAX - tail_n));
    int n = snprintf(to, DISK_PATH_MAX, "%s/%.*s%s", store, topic_n, (const char *)topic.ptr, tail);
    check(n > 0 && n < DISK_PATH_MAX); /* directory_take leaves room for it */
}

static int parent_sync(struct disk *disk, const char *path)
{
    char parent[DISK_PATH_MAX];
    path_parent(parent, path);
    return directory_sync(disk, parent);
}

int future_remove(struct disk *disk, const char *path)
{
    int error = directory_remove(disk, path);
    if (error < 0)
        return error == E_NOT_FOUND ? 0 : error;
    return parent_sync(disk, path);
}

/* "<topic>-<partition>.<32 hex>-future" of this topic and partition; its topic may be cut. */
static bool is_of(struct disk *disk, const char *path, const char *name, const struct uuid *id,
                  int32_t partition)
{
    char live[DISK_NAME_MAX + 1];
    struct uuid found;
    struct bytes topic;
    int32_t number;
    size_t n = strlen(name), end_n = sizeof future_end - 1;
    const char *dot = strrchr(name, '.');
    if (n < end_n || strcmp(name + n - end_n, future_end) != 0 || dot == NULL)
        return false;
    snprintf(live, sizeof live, "%.*s", (int)(dot - name), name);
    return partition_name_parse(live, &topic, &number) && number == partition &&
           partition_metadata_read(disk, path, &found) == 0 && uuid_equal(&found, id);
}

static bool has_records(struct disk *disk, const char *path)
{
    struct names names;
    bool any = names_list(disk, path, &names) != 0; /* who knows */
    for (uint32_t i = 0; !any && i < names.n; i++)
        any = strstr(names.v[i], ".log") != NULL;
    names_free(&names);
    return any;
}

/* Those that an earlier process has left, with what it had copied. */
static int others_remove(struct disk *disk, const char *path, const struct uuid *id,
                         int32_t partition, bool with_records)
{
    char parent[DISK_PATH_MAX], other[DISK_PATH_MAX];
    struct names names;
    path_parent(parent, path);
    int error = names_list(disk, parent, &names);
    for (uint32_t i = 0; error == 0 && i < names.n; i++) {
        if (strcmp(names.v[i], path_name(path)) == 0)
            continue;
        error = path_join(other, parent, names.v[i]);
        if (error == 0 && is_of(disk, other, names.v[i], id, partition) &&
            (with_records || !has_records(disk, other)))
            error = directory_remove(disk, other);
    }
    names_free(&names);
    return error == 0 ? directory_sync(disk, parent) : error;
}

int future_make(struct disk *disk, const char *path, const struct uuid *id, int32_t partition,
                enum future_others others)
{
    int error = partition_make(disk, path, id, (struct bytes){NULL, 0});
    if (error == 0)
        error = file_sync(disk, path, "partition.metadata");
    if (error == 0)
        error = directory_sync(disk, path);
    if (error == 0)
        error = parent_sync(disk, path);
    if (error == 0 && others != FUTURE_NO_OTHERS)
        error = others_remove(disk, path, id, partition, others == FUTURE_ALL_OTHERS);
    return error;
}
