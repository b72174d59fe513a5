/*
 * fake_disk.h - disk.h for tests: a real disk whose n-th changing operation fails.
 *
 * Owner: the test. Counted are write, sync, truncate, make_directory, rename, unlink and creating
 * opens. The one whose number is fail_at fails with fail_error and is not done; with is_dead all
 * later ones fail too.
 */
#ifndef MILLRACE_FAKE_DISK_H
#define MILLRACE_FAKE_DISK_H

#include "disk.h"

struct fake_disk {
    struct disk disk;
    struct disk *real;
    uint64_t n, fail_at;
    int fail_error;
    bool is_dead;
    uint64_t opens_n, closes_n;
    uint64_t syncs_n, sync_alls_n;
    bool has_no_sync_all;
    bool has_no_direct; /* as on a file system without O_DIRECT */
};

static inline struct fake_disk *fake_disk_of(struct disk *d)
{
    return container_of(d, struct fake_disk, disk);
}

static inline bool fake_disk_fails(struct disk *d)
{
    struct fake_disk *f = fake_disk_of(d);
    f->n++;
    return f->fail_at != 0 && (f->n == f->fail_at || (f->is_dead && f->n > f->fail_at));
}

#define FAKE_DISK_CALL(d, call) (fake_disk_fails(d) ? fake_disk_of(d)->fail_error : (call))

static inline int fake_disk_open(struct disk *d, const char *path, int how)
{
    struct fake_disk *f = fake_disk_of(d);
    if ((how & DISK_CREATE) && fake_disk_fails(d))
        return f->fail_error;
    if ((how & DISK_DIRECT) && f->has_no_direct)
        return E_INVALID;
    int fd = disk_open(f->real, path, how & ~DISK_DIRECT); /* memory has no such thing everywhere */
    f->opens_n += fd >= 0;
    return fd;
}

static inline void fake_disk_close(struct disk *d, int fd)
{
    fake_disk_of(d)->closes_n++;
    disk_close(fake_disk_of(d)->real, fd);
}

static inline int64_t fake_disk_read(struct disk *d, int fd, void *to, uint64_t n, uint64_t pos)
{
    return disk_read(fake_disk_of(d)->real, fd, to, n, pos);
}

static inline int fake_disk_write(struct disk *d, int fd, const void *from, uint64_t n,
                                  uint64_t pos)
{
    return FAKE_DISK_CALL(d, disk_write(fake_disk_of(d)->real, fd, from, n, pos));
}

static inline int fake_disk_sync(struct disk *d, int fd)
{
    fake_disk_of(d)->syncs_n++;
    return FAKE_DISK_CALL(d, disk_sync(fake_disk_of(d)->real, fd));
}

static inline int fake_disk_truncate(struct disk *d, int fd, uint64_t bytes)
{
    return FAKE_DISK_CALL(d, disk_truncate(fake_disk_of(d)->real, fd, bytes));
}

static inline int fake_disk_stat(struct disk *d, const char *path, struct disk_stat *out)
{
    return disk_stat(fake_disk_of(d)->real, path, out);
}

static inline int fake_disk_make_directory(struct disk *d, const char *path)
{
    return FAKE_DISK_CALL(d, disk_make_directory(fake_disk_of(d)->real, path));
}

static inline int fake_disk_remove_directory(struct disk *d, const char *path)
{
    return FAKE_DISK_CALL(d, disk_remove_directory(fake_disk_of(d)->real, path));
}

static inline int fake_disk_unlink(struct disk *d, const char *path)
{
    return FAKE_DISK_CALL(d, disk_unlink(fake_disk_of(d)->real, path));
}

static inline int fake_disk_rename(struct disk *d, const char *from, const char *to)
{
    return FAKE_DISK_CALL(d, disk_rename(fake_disk_of(d)->real, from, to));
}

static inline int fake_disk_list(struct disk *d, const char *path,
                                 int (*each)(void *, const char *), void *context)
{
    return disk_list(fake_disk_of(d)->real, path, each, context);
}

static inline int fake_disk_lock(struct disk *d, int fd)
{
    return disk_lock(fake_disk_of(d)->real, fd);
}

static inline int fake_disk_space(struct disk *d, const char *path, struct disk_space *out)
{
    return disk_space(fake_disk_of(d)->real, path, out);
}

static inline int fake_disk_sync_all(struct disk *d, int fd)
{
    if (fake_disk_of(d)->has_no_sync_all)
        return E_UNSUPPORTED;
    fake_disk_of(d)->sync_alls_n++;
    return FAKE_DISK_CALL(d, disk_sync_all(fake_disk_of(d)->real, fd));
}

static inline int fake_disk_allocate(struct disk *d, int fd, uint64_t bytes)
{
    return FAKE_DISK_CALL(d, disk_allocate(fake_disk_of(d)->real, fd, bytes));
}

static inline void fake_disk_init(struct fake_disk *f, struct disk *real)
{
    static const struct disk_functions functions = {
        fake_disk_open,     fake_disk_close,          fake_disk_read,
        fake_disk_write,    fake_disk_sync,           fake_disk_truncate,
        fake_disk_stat,     fake_disk_make_directory, fake_disk_remove_directory,
        fake_disk_unlink,   fake_disk_rename,         fake_disk_list,
        fake_disk_lock,     fake_disk_space,          fake_disk_sync_all,
        fake_disk_allocate,
    };
    *f = (struct fake_disk){.disk = {.functions = &functions}, .real = real, .fail_error = E_IO};
}

#endif
