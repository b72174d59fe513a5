/*
 * broker_dirs.c - the log directories of a broker: named, taken, given back.
 *
 * Owner: main at boot and stop.
 *
 * The metadata log's directory is taken first: it says which cluster this is, and without it there
 * is nothing to serve. Another one that cannot be read or written is *offline*: its partitions are,
 * too, and the rest is served. What an operator has to sort out stops the start instead: a
 * directory that another broker has, one of another node or cluster, one with files that are not
 * ours, and an empty metadata directory beside one that is not new (its log would be begun anew and
 * every partition taken for a stray).
 *
 * A new, empty directory gets an id and the cluster's name. On a first start the metadata log's
 * comes first, so a start that was cut short is resumed by the next one.
 */
#include "broker_dirs.h"

#include <stdarg.h>
#include <stdlib.h>

printf_like(3, 4) nodiscard static int refuse(struct broker *b, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(b->why, sizeof b->why, format, args);
    va_end(args);
    return error;
}

void dirs_none(struct broker *b)
{
    for (size_t i = 0; i < array_n(b->lock_fds); i++)
        b->lock_fds[i] = -1;
}

/* ── names ── */

/* The next name of a list: spaces around it and slashes behind it do not count. */
static struct bytes name_next(const char **list)
{
    const char *from = *list, *end = strchr(from, ',');
    size_t n = end == NULL ? strlen(from) : (size_t)(end - from);

    *list = end == NULL ? from + n : end + 1;
    while (n > 0 && (*from == ' ' || *from == '\t')) {
        from++;
        n--;
    }
    while (n > 0 && (from[n - 1] == ' ' || from[n - 1] == '\t'))
        n--;
    while (n > 1 && from[n - 1] == '/')
        n--;
    return bytes_of(from, n);
}

static uint8_t dir_find(const struct broker *b, struct bytes name)
{
    uint8_t i = 0;

    while (i < b->dirs_n && !bytes_equal_string(name, b->dirs[i].path))
        i++;
    return i;
}

static int dir_add(struct broker *b, struct bytes name, uint8_t at, const char *key)
{
    if (name.n == 0 || name.n >= sizeof b->dirs[at].path)
        return refuse(b, E_INVALID, "%s: a directory's name has 1 to %zu bytes", key,
                      sizeof b->dirs[at].path - 1);
    memcpy(b->dirs[at].path, name.ptr, name.n);
    b->dirs[at].path[name.n] = 0;
    return 0;
}

int dirs_parse(struct broker *b)
{
    const char *list = config_string(b->config, "log.dirs");
    const char *metadata = config_string(b->config, "metadata.log.dir");
    struct bytes name;
    int rc;

    if (list == NULL || list[0] == 0)
        list = config_string(b->config, "log.dir");
    do {
        name = name_next(&list);
        if (b->dirs_n == LOG_DIRS_MAX)
            return refuse(b, E_INVALID, "log.dirs: at most %d directories are served",
                          LOG_DIRS_MAX);
        if (dir_find(b, name) < b->dirs_n)
            return refuse(b, E_INVALID, "log.dirs: %s stands there twice",
                          b->dirs[dir_find(b, name)].path);
        if ((rc = dir_add(b, name, b->dirs_n, "log.dirs")) != 0)
            return rc;
        b->dirs_n++;
    } while (*list != 0);
    if (metadata == NULL || metadata[0] == 0)
        return 0;
    name = name_next(&metadata);
    b->metadata_dir = dir_find(b, name);
    return b->metadata_dir < b->dirs_n ? 0 : dir_add(b, name, b->dirs_n, "metadata.log.dir");
}

/* ── taking ── */

/* What somebody has to sort out before this broker may start. */
static bool is_fatal(int error)
{
    return error == E_IN_USE || error == E_INVALID || error == E_NO_MEMORY || error == E_TOO_LARGE;
}

static int take(struct broker *b, uint8_t at, const char *cluster_id, struct directory_id *id)
{
    struct log_dir *dir = &b->dirs[at];
    int32_t node_id = (int32_t)config_int(b->config, "node.id");
    int rc =
        directory_take(b->seams.disk, dir->path, node_id, cluster_id, b->seams.seed + at, id,
                       &dir->is_clean, &b->lock_fds[at], b->dirs_why[at], sizeof b->dirs_why[at]);

    bool stands = false;

    if (rc == 0)
        rc = journal_stands(b->seams.disk, dir->path, &stands);
    dir->is_clean &= !stands; /* whatever the flag says: it may hold what no segment does */
    dir->is_online = rc == 0;
    dir->id = id->directory_id;
    dir->is_new = b->lock_fds[at] >= 0 && id->is_new;
    dir->made_n = id->made_n;
    if (rc != 0)
        return refuse(b, rc, "%s", b->dirs_why[at]);
    return 0;
}

static bool has_meta(struct broker *b, uint8_t at)
{
    char path[DISK_PATH_MAX + 32];
    struct disk_stat s;

    snprintf(path, sizeof path, "%s/meta.properties", b->dirs[at].path);
    return disk_stat(b->seams.disk, path, &s) == 0;
}

static int metadata_take(struct broker *b)
{
    bool is_new = !has_meta(b, b->metadata_dir);

    if (is_new && b->seams.is_recovery)
        return refuse(b, E_NOT_FOUND, "%.200s is no log directory: there is nothing to recover",
                      b->dirs[b->metadata_dir].path);
    for (uint8_t i = 0; is_new && i < b->dirs_n; i++)
        if (i != b->metadata_dir && has_meta(b, i))
            return refuse(b, E_INVALID,
                          "%.150s, where the metadata log is to be, is new, but %.150s is not: set "
                          "metadata.log.dir to the directory that has __cluster_metadata-0",
                          b->dirs[b->metadata_dir].path, b->dirs[i].path);
    return take(b, b->metadata_dir, "", &b->directory);
}

static int other_take(struct broker *b, uint8_t at)
{
    struct directory_id id;
    int rc = take(b, at, b->directory.cluster_id, &id);

    if (rc != 0)
        return is_fatal(rc) ? rc : 0;
    if (strcmp(id.cluster_id, b->directory.cluster_id) != 0)
        return refuse(b, E_INVALID,
                      "%.150s belongs to cluster %s, but %.150s to %s: one of them is in the wrong "
                      "place",
                      b->dirs[at].path, id.cluster_id, b->dirs[b->metadata_dir].path,
                      b->directory.cluster_id);
    for (uint8_t i = 0; i <= b->dirs_n; i++)
        if (i != at && b->dirs[i].is_online && uuid_equal(&b->dirs[i].id, &b->dirs[at].id))
            return refuse(b, E_INVALID,
                          "%.150s and %.150s have the same directory.id: one is a copy of the "
                          "other, or the same under another name",
                          b->dirs[i].path, b->dirs[at].path);
    return 0;
}

int dirs_take(struct broker *b)
{
    int rc = metadata_take(b);
    uint8_t online_n = 0;

    b->is_clean = true;
    for (uint8_t i = 0; rc == 0 && i < b->dirs_n; i++) {
        if (i != b->metadata_dir)
            rc = other_take(b, i);
        online_n += b->dirs[i].is_online;
        b->is_clean &= b->dirs[i].is_clean || !b->dirs[i].is_online;
    }
    if (rc != 0)
        return rc;
    if (online_n == 0)
        return refuse(b, E_STORAGE, "no directory of log.dirs can be used; the first: %s",
                      b->dirs_why[0]);
    b->why[0] = 0; /* of those that are offline */
    return 0;
}

void dirs_undo(struct broker *b)
{
    if (!b->dirs[b->metadata_dir].is_new)
        return;
    for (size_t i = 0; i < array_n(b->lock_fds); i++)
        if (b->lock_fds[i] >= 0 && b->dirs[i].is_new)
            directory_unmake(b->seams.disk, b->dirs[i].path, b->dirs[i].made_n);
}

void dirs_give(struct broker *b)
{
    for (size_t i = 0; i < array_n(b->lock_fds); i++) {
        if (b->lock_fds[i] >= 0)
            disk_close(b->seams.disk, b->lock_fds[i]);
        b->lock_fds[i] = -1;
    }
}
