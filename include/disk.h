/*
 * disk.h - the synchronous seam: files as the helpers, recovery and boot see them.
 *
 * Owner: callers are the files and bulk threads, and main before the threads run. Never a worker or
 * control. Implemented by storage/disk_posix.c and by tests/sim/sim_disk.c; both hand out
 * descriptors that io.h's disk kinds accept.
 *
 * Paths are absolute or relative to the working directory. Every function returns 0 (or what it
 * says) or a negative E_ error: NOT_FOUND, EXISTS, DISK_FULL, IO, DENIED, IN_USE, NO_MEMORY (too
 * many open files).
 */
#ifndef MILLRACE_DISK_H
#define MILLRACE_DISK_H

#include "base.h"
#include "errors.h"

enum disk_open {
    DISK_READ = 0,
    DISK_WRITE = 1,
    DISK_CREATE = 2 /* with WRITE */,
    DISK_EXCLUSIVE = 4,
    DISK_DIRECTORY = 8,
    DISK_DIRECT = 16, /* past the page cache, aligned; E_INVALID where there is no such thing */
};
enum { DISK_NAME_MAX = 255, DISK_PATH_MAX = 1024 };

struct disk_stat {
    uint64_t bytes;
    int64_t modified_ms; /* since 1970 UTC */
    bool is_directory;
};

struct disk_space {
    uint64_t total_bytes;
    uint64_t free_bytes; /* usable by us */
};

struct disk;
struct disk_functions {
    int (*open)(struct disk *d, const char *path, int how); /* descriptor or error */
    void (*close)(struct disk *d, int fd);
    int64_t (*read)(struct disk *d, int fd, void *to, uint64_t n,
                    uint64_t pos); /* bytes, 0 at the end */
    int (*write)(struct disk *d, int fd, const void *from, uint64_t n,
                 uint64_t pos);          /* all or an error */
    int (*sync)(struct disk *d, int fd); /* fsync; of a directory too */
    int (*truncate)(struct disk *d, int fd, uint64_t bytes);
    int (*stat)(struct disk *d, const char *path, struct disk_stat *out);
    int (*make_directory)(struct disk *d, const char *path);
    int (*remove_directory)(struct disk *d, const char *path);
    int (*unlink)(struct disk *d, const char *path);
    int (*rename)(struct disk *d, const char *from, const char *to); /* replaces */
    /* Calls each(context, name) for every entry but "." and ".."; stops at the first non-zero and
     * returns it. */
    int (*list)(struct disk *d, const char *path, int (*each)(void *context, const char *name),
                void *context);
    int (*lock)(struct disk *d, int fd); /* exclusive, or E_IN_USE */
    int (*space)(struct disk *d, const char *path, struct disk_space *out);
    /* Makes durable everything that was done before on the file system of `fd`, names too. What
     * failed since `fd` was opened is reported: open it before the first change it has to cover.
     * NULL, or E_UNSUPPORTED: this file system does not promise that; each file must be synced. */
    int (*sync_all)(struct disk *d, int fd);
    /* Room for the first `bytes` of the file, set aside without writing them; its size grows to
     * that. NULL, or E_UNSUPPORTED: only writing would do. */
    int (*allocate)(struct disk *d, int fd, uint64_t bytes);
};

struct disk {
    const struct disk_functions *functions;
};

static inline int disk_open(struct disk *d, const char *path, int how)
{
    return d->functions->open(d, path, how);
}
static inline void disk_close(struct disk *d, int fd)
{
    d->functions->close(d, fd);
}
static inline int64_t disk_read(struct disk *d, int fd, void *to, uint64_t n, uint64_t pos)
{
    return d->functions->read(d, fd, to, n, pos);
}
nodiscard static inline int disk_write(struct disk *d, int fd, const void *from, uint64_t n,
                                       uint64_t pos)
{
    return d->functions->write(d, fd, from, n, pos);
}
nodiscard static inline int disk_sync(struct disk *d, int fd)
{
    return d->functions->sync(d, fd);
}
nodiscard static inline int disk_truncate(struct disk *d, int fd, uint64_t bytes)
{
    return d->functions->truncate(d, fd, bytes);
}
nodiscard static inline int disk_stat(struct disk *d, const char *path, struct disk_stat *out)
{
    return d->functions->stat(d, path, out);
}
nodiscard static inline int disk_make_directory(struct disk *d, const char *path)
{
    return d->functions->make_directory(d, path);
}
nodiscard static inline int disk_remove_directory(struct disk *d, const char *path)
{
    return d->functions->remove_directory(d, path);
}
nodiscard static inline int disk_unlink(struct disk *d, const char *path)
{
    return d->functions->unlink(d, path);
}
nodiscard static inline int disk_rename(struct disk *d, const char *from, const char *to)
{
    return d->functions->rename(d, from, to);
}
nodiscard static inline int disk_list(struct disk *d, const char *path,
                                      int (*each)(void *, const char *), void *context)
{
    return d->functions->list(d, path, each, context);
}
nodiscard static inline int disk_lock(struct disk *d, int fd)
{
    return d->functions->lock(d, fd);
}
nodiscard static inline int disk_space(struct disk *d, const char *path, struct disk_space *out)
{
    return d->functions->space(d, path, out);
}
nodiscard static inline int disk_sync_all(struct disk *d, int fd)
{
    return d->functions->sync_all == NULL ? E_UNSUPPORTED : d->functions->sync_all(d, fd);
}

nodiscard static inline int disk_allocate(struct disk *d, int fd, uint64_t bytes)
{
    return d->functions->allocate == NULL ? E_UNSUPPORTED : d->functions->allocate(d, fd, bytes);
}

/* The real file system (storage/disk_posix.c); one instance, no state. */
struct disk *disk_posix(void);

#endif
