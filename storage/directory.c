/*
 * directory.c - taking a log directory at start, and leaving it at an orderly stop.
 *
 * Owner: main; nobody else runs.
 *
 * Taking, in this order, so that nothing is touched before the lock is ours:
 *   1 make the directory when it is missing
 *   2 lock .lock
 *   3 read meta.properties, or format an empty directory
 *   4 note and remove .kafka_cleanshutdown: a start that fails later leaves an unclean directory
 * What a failed attempt made is removed again: a full or read-only disk is left as it was. The
 * same for a first start that fails later (directory_unmake): meta.properties goes behind all that
 * was made after it, so that one that is cut short is a directory of ours, which the next start
 * takes as it is.
 *
 * Leaving: the four checkpoints, then .kafka_cleanshutdown, last. A failure before that leaves an
 * unclean directory, which costs time at the next start and nothing else.
 *
 * .lock stays behind: its presence means nothing (disk-formats 4), and removing it would let two
 * brokers lock two files of the same name.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "checkpoint.h"
#include "disk_tools.h"
#include "prng.h"
#include "properties.h"
#include "storage.h"
#include "text.h"
#include "uuid_text.h"

enum { META_BYTES_MAX = 64 << 10, META_VERSION = 1, CLUSTER_ID_MAX = 64, MADE_MAX = 8 };

static const char meta_name[] = "meta.properties";
static const char lock_name[] = ".lock";
static const char clean_name[] = ".kafka_cleanshutdown";

/* Where the one clear line goes. */
struct why {
    char *to;
    size_t n;
};

printf_like(3, 4) static int fail(const struct why *why, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (why->n > 0)
        vsnprintf(why->to, why->n, format, args);
    va_end(args);
    return error;
}

/* What to do about an error of the disk. */
static const char *advice(int error)
{
    switch (error) {
    case E_DENIED:
        return "make it writable for this user, or choose another directory with log.dirs";
    case E_DISK_FULL:
        return "free some space on its file system, or choose another directory with log.dirs";
    case E_NO_MEMORY: return "raise the limit of open files (ulimit -n) or of memory";
    case E_TOO_LARGE: return "choose a directory with a shorter name";
    case E_NOT_FOUND:
    case E_EXISTS: return "a part of the path is no directory; choose another with log.dirs";
    default: return "look into the kernel's log for errors of the device";
    }
}

/* ── 1 the directory ── */

/* Makes `path` and what is missing above it. made[0..*made_n) are the lengths of the paths that
 * were made. */
static int make_directories(struct disk *disk, const char *path, size_t *made, int *made_n)
{
    size_t n = strlen(path);
    for (size_t i = 1; i <= n; i++) {
        char part[DISK_PATH_MAX], parent[DISK_PATH_MAX];
        struct disk_stat s;
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        int error = disk_stat(disk, part, &s);
        if (error == 0 && !s.is_directory)
            return E_EXISTS;
        if (error == 0)
            continue;
        if (error != E_NOT_FOUND)
            return error;
        if (*made_n == MADE_MAX)
            return E_NOT_FOUND;
        error = disk_make_directory(disk, part);
        if (error < 0)
            return error;
        made[(*made_n)++] = i;
        path_parent(parent, part);
        error = directory_sync(disk, parent);
        if (error < 0)
            return error;
    }
    return 0;
}

static void unmake_directories(struct disk *disk, const char *path, const size_t *made, int made_n)
{
    while (made_n > 0) {
        char part[DISK_PATH_MAX];
        size_t n = made[--made_n];
        memcpy(part, path, n);
        part[n] = '\0';
        (void)!disk_remove_directory(disk, part);
    }
}

static void unlink_name(struct disk *disk, const char *path, const char *name)
{
    char file[DISK_PATH_MAX];
    if (path_join(file, path, name) == 0)
        (void)!disk_unlink(disk, file);
}

/* A directory of this start has files in it and no further directories. */
static void unmake_entry(struct disk *disk, const char *path, const char *name)
{
    char entry[DISK_PATH_MAX];
    struct disk_stat s;
    struct names names;
    if (path_join(entry, path, name) != 0 || disk_stat(disk, entry, &s) != 0)
        return;
    if (!s.is_directory) {
        (void)!disk_unlink(disk, entry);
        return;
    }
    if (names_list(disk, entry, &names) != 0)
        return;
    for (uint32_t i = 0; i < names.n; i++)
        unlink_name(disk, entry, names.v[i]);
    names_free(&names);
    (void)!disk_remove_directory(disk, entry);
}

void directory_unmake(struct disk *disk, const char *path, uint8_t made_n)
{
    static const char *const last[] = {"meta.properties", ".lock", "lost+found"};
    char parent[DISK_PATH_MAX], at[DISK_PATH_MAX];
    struct names names;
    if (names_list(disk, path, &names) != 0)
        return;
    for (uint32_t i = 0; i < names.n; i++) {
        bool is_last = false;
        for (size_t j = 0; j < array_n(last); j++)
            is_last |= strcmp(names.v[i], last[j]) == 0;
        if (!is_last)
            unmake_entry(disk, path, names.v[i]);
    }
    names_free(&names);
    (void)!directory_sync(disk, path);
    unlink_name(disk, path, last[0]);
    unlink_name(disk, path, last[1]);
    (void)!directory_sync(disk, path);
    snprintf(at, sizeof at, "%s", path);
    for (; made_n > 0; made_n--) {
        (void)!disk_remove_directory(disk, at);
        path_parent(parent, at);
        snprintf(at, sizeof at, "%s", parent);
    }
}

/* ── 2 the lock ── */

static int lock_take(struct disk *disk, const char *path, int *lock_fd, bool *is_made,
                     const struct why *why)
{
    char lock[DISK_PATH_MAX];
    struct disk_stat s;
    int error = path_join(lock, path, lock_name);
    if (error < 0)
        return fail(why, error, "%s: %s; %s", path, error_text(error), advice(error));
    *is_made = disk_stat(disk, lock, &s) == E_NOT_FOUND;
    int fd = disk_open(disk, lock, DISK_WRITE | DISK_CREATE);
    if (fd < 0)
        return fail(why, fd, "%s cannot be opened for writing: %s; %s", lock, error_text(fd),
                    advice(fd));
    error = disk_lock(disk, fd);
    if (error < 0) {
        disk_close(disk, fd);
        *is_made &= error != E_IN_USE; /* then it is the holder's */
        if (error == E_IN_USE)
            return fail(why, error,
                        "%s is in use by another broker (millrace or Apache Kafka); stop that one, "
                        "or give this one another directory with log.dirs",
                        path);
        return fail(why, error, "%s cannot be locked: %s", lock, error_text(error));
    }
    *lock_fd = fd;
    return 0;
}

/* ── 3 meta.properties ── */

/* meta.properties as it was read; has_* tell which keys were there. */
struct meta {
    struct directory_id id;
    int64_t version;
    bool has_version, has_node, has_cluster, has_directory;
};

static int meta_property(struct meta *m, const struct property *p)
{
    struct bytes value = bytes_of_string(p->value);
    int64_t number;
    if (strcmp(p->key, "version") == 0) {
        m->has_version = text_number(&value, INT32_MIN, INT32_MAX, &m->version) && value.n == 0;
        return m->has_version ? 0 : E_MALFORMED;
    }
    if (strcmp(p->key, "node.id") == 0) {
        m->has_node = text_number(&value, 0, INT32_MAX, &number) && value.n == 0;
        m->id.node_id = m->has_node ? (int32_t)number : -1;
        return m->has_node ? 0 : E_MALFORMED;
    }
    if (strcmp(p->key, "cluster.id") == 0) {
        m->has_cluster = value.n > 0 && value.n < CLUSTER_ID_MAX;
        if (m->has_cluster)
            memcpy(m->id.cluster_id, p->value, value.n + 1);
        return m->has_cluster ? 0 : E_MALFORMED;
    }
    if (strcmp(p->key, "directory.id") == 0) {
        m->has_directory = uuid_from_text(value, &m->id.directory_id);
        return m->has_directory ? 0 : E_MALFORMED;
    }
    return 0; /* keys of later versions of Kafka are none of our business */
}

static int meta_parse(const char *file, struct bytes text, struct meta *m, const struct why *why)
{
    struct property p;
    int error;
    *m = (struct meta){.version = 0};
    while ((error = property_next(&text, &p)) == 0) {
        error = meta_property(m, &p);
        if (error < 0)
            return fail(why, E_INVALID,
                        "%s: the value of %s cannot be used; restore the file from a backup", file,
                        p.key);
    }
    if (error != E_EOF)
        return fail(why, E_INVALID,
                    "%s is not readable as a properties file; restore it from a backup", file);
    if (!m->has_version || m->version != META_VERSION)
        return fail(why, E_INVALID,
                    "%s: version is %lld, only version 1 (Apache Kafka 3.3 and later) is served",
                    file, (long long)m->version);
    if (!m->has_node || !m->has_cluster)
        return fail(why, E_INVALID, "%s: %s is missing; restore the file from a backup", file,
                    m->has_node ? "cluster.id" : "node.id");
    return 0;
}

static int meta_write(struct disk *disk, const char *path, const struct directory_id *id,
                      const struct why *why)
{
    char text[2 * CLUSTER_ID_MAX + 256], number[16], directory[UUID_TEXT_MAX];
    snprintf(number, sizeof number, "%d", id->node_id);
    uuid_text(&id->directory_id, directory);
    char *p = text;
    *p++ = '#';
    *p++ = '\n';
    p += property_write(p, "node.id", number);
    p += property_write(p, "directory.id", directory);
    p += property_write(p, "version", "1");
    p += property_write(p, "cluster.id", id->cluster_id);
    int error = file_replace(disk, path, meta_name, bytes_of(text, (size_t)(p - text)));
    if (error < 0)
        return fail(why, error, "%s/%s cannot be written: %s; %s", path, meta_name,
                    error_text(error), advice(error));
    return 0;
}

/* Nothing is in it but what a first start or mkfs makes. */
static int is_empty(struct disk *disk, const char *path, bool *out)
{
    static const char *const harmless[] = {".lock", "meta.properties.tmp", "lost+found"};
    struct names names;
    int error = names_list(disk, path, &names);
    if (error < 0)
        return error;
    uint32_t others = names.n;
    for (uint32_t i = 0; i < names.n; i++)
        for (size_t j = 0; j < array_n(harmless); j++)
            others -= strcmp(names.v[i], harmless[j]) == 0;
    *out = others == 0;
    names_free(&names);
    return 0;
}

static int format(struct disk *disk, const char *path, int32_t node_id, const char *cluster_id,
                  uint64_t seed, struct directory_id *out, const struct why *why)
{
    struct prng prng;
    struct uuid cluster;
    char made[UUID_TEXT_MAX];
    bool empty;
    int error = is_empty(disk, path, &empty);
    if (error < 0)
        return fail(why, error, "%s cannot be listed: %s; %s", path, error_text(error),
                    advice(error));
    if (!empty)
        return fail(why, E_INVALID,
                    "%s holds files but no %s, so it is no log directory; choose an empty one with "
                    "log.dirs, or restore that file",
                    path, meta_name);
    prng_init(&prng, seed);
    prng_uuid(&prng, &cluster);
    prng_uuid(&prng, &out->directory_id);
    uuid_text(&cluster, made);
    const char *id = cluster_id[0] == '\0' ? made : cluster_id;
    if (strlen(id) >= CLUSTER_ID_MAX)
        return fail(why, E_INVALID, "the cluster id has more than %d characters",
                    CLUSTER_ID_MAX - 1);
    snprintf(out->cluster_id, sizeof out->cluster_id, "%s", id);
    out->node_id = node_id;
    out->is_new = true; /* also when writing it fails: what is there is ours */
    return meta_write(disk, path, out, why);
}

static int identify(struct disk *disk, const char *path, int32_t node_id, const char *cluster_id,
                    uint64_t seed, struct directory_id *out, const struct why *why)
{
    char file[DISK_PATH_MAX];
    struct bytes text;
    struct meta meta;
    int error = path_join(file, path, meta_name);
    if (error == 0)
        error = file_read(disk, file, META_BYTES_MAX, &text);
    if (error == E_NOT_FOUND)
        return format(disk, path, node_id, cluster_id, seed, out, why);
    if (error < 0)
        return fail(why, error, "%s cannot be read: %s; %s", file, error_text(error),
                    advice(error));
    error = meta_parse(file, text, &meta, why);
    file_read_free(&text);
    if (error < 0)
        return error;
    *out = meta.id;
    if (meta.id.node_id != node_id)
        return fail(why, E_INVALID,
                    "%s belongs to node %d, but node.id is %d; set node.id=%d, or choose another "
                    "directory with log.dirs",
                    path, meta.id.node_id, node_id, meta.id.node_id);
    if (meta.has_directory)
        return 0;
    struct prng prng;
    prng_init(&prng, seed);
    prng_uuid(&prng, &out->directory_id);
    return meta_write(disk, path, out, why);
}

/* ── 4 the clean flag ── */

static int clean_take(struct disk *disk, const char *path, bool *is_clean, const struct why *why)
{
    char file[DISK_PATH_MAX];
    int error = path_join(file, path, clean_name);
    if (error == 0)
        error = disk_unlink(disk, file);
    *is_clean = error == 0;
    if (error == E_NOT_FOUND)
        return 0;
    if (error == 0)
        error = directory_sync(disk, path);
    if (error < 0)
        return fail(why, error, "%s cannot be removed: %s; %s", file, error_text(error),
                    advice(error));
    return 0;
}

int directory_take(struct disk *disk, const char *path, int32_t node_id, const char *cluster_id,
                   uint64_t seed, struct directory_id *out, bool *is_clean, int *lock_fd, char *why,
                   size_t why_n)
{
    struct why to = {why, why_n};
    size_t made[MADE_MAX];
    int made_n = 0;
    bool is_lock_made = false;
    *lock_fd = -1;
    *is_clean = false;
    *out = (struct directory_id){.node_id = -1};
    /* Room for "/<topic of 249>-<partition>.<32 hex>-delete/<20 digits>.timeindex.deleted". */
    if (strlen(path) == 0 || strlen(path) + DISK_NAME_MAX + 64 > DISK_PATH_MAX)
        return fail(&to, E_TOO_LARGE,
                    "the log directory's path has more than %d bytes; choose a shorter one: %s",
                    DISK_PATH_MAX - DISK_NAME_MAX - 64, path);
    int error = make_directories(disk, path, made, &made_n);
    if (error < 0) {
        if (error == E_NOT_FOUND || error == E_EXISTS)
            fail(&to, error, "%s cannot be made: %s", path, advice(error));
        else
            fail(&to, error, "%s cannot be made: %s; %s", path, error_text(error), advice(error));
        goto err_unmake;
    }
    error = lock_take(disk, path, lock_fd, &is_lock_made, &to);
    if (error < 0)
        goto err_unmake;
    error = identify(disk, path, node_id, cluster_id, seed, out, &to);
    if (error == 0)
        error = clean_take(disk, path, is_clean, &to);
    out->made_n = (uint8_t)made_n;
    if (error == 0)
        return 0;
    if (out->is_new)
        unlink_name(disk, path, meta_name);

err_unmake:
    if (is_lock_made) {
        char lock[DISK_PATH_MAX];
        if (path_join(lock, path, lock_name) == 0)
            (void)!disk_unlink(disk, lock);
    }
    if (*lock_fd >= 0)
        disk_close(disk, *lock_fd);
    *lock_fd = -1;
    unmake_directories(disk, path, made, made_n);
    return error;
}

bool directory_has_direct(struct disk *disk, const char *path)
{
    char file[DISK_PATH_MAX];
    if (path_join(file, path, meta_name) != 0)
        return false;
    int fd = disk_open(disk, file, DISK_READ | DISK_DIRECT);
    if (fd >= 0)
        disk_close(disk, fd);
    return fd >= 0;
}

int directory_leave(struct disk *disk, const char *path, struct checkpoints *checkpoints,
                    int lock_fd)
{
    /* -1: the epoch of a broker that never asks a controller for one. */
    static const char text[] = "{\"version\":0,\"brokerEpoch\":-1}";
    int error = checkpoints_write(checkpoints, disk, path);
    if (error == 0)
        error = file_replace(disk, path, clean_name, bytes_of_string(text));
    if (lock_fd >= 0)
        disk_close(disk, lock_fd);
    return error;
}
