/*
 * fault_disk.h - a struct disk over another one whose n-th operation fails; and directories for
 * tests.
 *
 * Owner: the test.
 *
 *   for (uint64_t n = 1;; n++) {
 *       fault_disk_arm(&fault, n, E_IO, false);
 *       error = what_is_tested(&fault.disk);
 *       if (!fault.is_fired)
 *           break;              every operation has failed once
 *       ...                     the state is the old or the new one
 *   }
 *
 * A write that fails has written half of its bytes. close never fails; descriptors are counted, so
 * a leak on an error path shows (fault.fds_n).
 */
#ifndef MILLRACE_FAULT_DISK_H
#define MILLRACE_FAULT_DISK_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk.h"

struct fault_disk {
    struct disk disk;
    struct disk *inner;
    uint64_t ops_n;   /* so far                           */
    uint64_t fail_at; /* 1 = the next one; 0 = never      */
    int error;
    bool is_dead; /* everything after it fails too    */
    bool is_fired;
    int fds_n;        /* open now                         */
    uint64_t syncs_n; /* that succeeded                   */
    uint64_t sync_alls_n;
    bool has_no_sync_all;
};

static inline struct fault_disk *fault_of(struct disk *d)
{
    return container_of(d, struct fault_disk, disk);
}

/* 0, or the error this operation must return. */
static inline int fault_next(struct fault_disk *f)
{
    f->ops_n++;
    if (f->fail_at == 0 || f->ops_n < f->fail_at || (f->ops_n > f->fail_at && !f->is_dead))
        return 0;
    f->is_fired = true;
    return f->error;
}

static inline int fault_open(struct disk *d, const char *path, int how)
{
    struct fault_disk *f = fault_of(d);
    int error = fault_next(f);
    int fd = error < 0 ? error : disk_open(f->inner, path, how);
    f->fds_n += fd >= 0;
    return fd;
}

static inline void fault_close(struct disk *d, int fd)
{
    fault_of(d)->fds_n--;
    disk_close(fault_of(d)->inner, fd);
}

static inline int64_t fault_read(struct disk *d, int fd, void *to, uint64_t n, uint64_t pos)
{
    int error = fault_next(fault_of(d));
    return error < 0 ? error : disk_read(fault_of(d)->inner, fd, to, n, pos);
}

static inline int fault_write(struct disk *d, int fd, const void *from, uint64_t n, uint64_t pos)
{
    int error = fault_next(fault_of(d));
    if (error == 0)
        return disk_write(fault_of(d)->inner, fd, from, n, pos);
    (void)!disk_write(fault_of(d)->inner, fd, from, n / 2, pos);
    return error;
}

static inline int fault_sync(struct disk *d, int fd)
{
    int error = fault_next(fault_of(d));
    error = error < 0 ? error : disk_sync(fault_of(d)->inner, fd);
    fault_of(d)->syncs_n += error == 0;
    return error;
}

static inline int fault_truncate(struct disk *d, int fd, uint64_t bytes)
{
    int error = fault_next(fault_of(d));
    return error < 0 ? error : disk_truncate(fault_of(d)->inner, fd, bytes);
}

static inline int fault_stat(struct disk *d, const char *path, struct disk_stat *out)
{
    int error = fault_next(fault_of(d));
    return error < 0 ? error : disk_stat(fault_of(d)->inner, path, out);
}

static inline int fault_make_directory(struct disk *d, const char *path)
{
    int error = fault_next(fault_of(d));
    return error < 0 ? error : disk_make_directory(fault_of(d)->inner, path);
}

static inline int fault_remove_directory(struct disk *d, const char *path)
{
    int error = fault_next(fault_of(d));
    return error < 0 ? error : disk_remove_directory(fault_of(d)->inner, path);
}

static inline int fault_unlink(struct disk *d, const char *path)
{
    int error = fault_next(fault_of(d));
    return error < 0 ? error : disk_unlink(fault_of(d)->inner, path);
}

static inline int fault_rename(struct disk *d, const char *from, const char *to)
{
    int error = fault_next(fault_of(d));
    return error < 0 ? error : disk_rename(fault_of(d)->inner, from, to);
}

static inline int fault_list(struct disk *d, const char *path, int (*each)(void *, const char *),
                             void *context)
{
    int error = fault_next(fault_of(d));
    return error < 0 ? error : disk_list(fault_of(d)->inner, path, each, context);
}

static inline int fault_lock(struct disk *d, int fd)
{
    int error = fault_next(fault_of(d));
    return error < 0 ? error : disk_lock(fault_of(d)->inner, fd);
}

static inline int fault_space(struct disk *d, const char *path, struct disk_space *out)
{
    int error = fault_next(fault_of(d));
    return error < 0 ? error : disk_space(fault_of(d)->inner, path, out);
}

static inline int fault_allocate(struct disk *d, int fd, uint64_t bytes)
{
    int error = fault_next(fault_of(d));
    return error < 0 ? error : disk_allocate(fault_of(d)->inner, fd, bytes);
}

static inline int fault_sync_all(struct disk *d, int fd)
{
    struct fault_disk *f = fault_of(d);
    int error = f->has_no_sync_all ? E_UNSUPPORTED : fault_next(f);
    error = error < 0 ? error : disk_sync_all(f->inner, fd);
    f->sync_alls_n += error == 0;
    return error;
}

static inline void fault_disk_init(struct fault_disk *f, struct disk *inner)
{
    static const struct disk_functions functions = {
        .open = fault_open,
        .close = fault_close,
        .read = fault_read,
        .write = fault_write,
        .sync = fault_sync,
        .truncate = fault_truncate,
        .stat = fault_stat,
        .make_directory = fault_make_directory,
        .remove_directory = fault_remove_directory,
        .unlink = fault_unlink,
        .rename = fault_rename,
        .list = fault_list,
        .lock = fault_lock,
        .space = fault_space,
        .sync_all = fault_sync_all,
        .allocate = fault_allocate,
    };
    *f = (struct fault_disk){.disk = {&functions}, .inner = inner};
}

/* The n-th operation from now on fails with `error`; 0: none. */
static inline void fault_disk_arm(struct fault_disk *f, uint64_t n, int error, bool is_dead)
{
    f->ops_n = 0;
    f->fail_at = n;
    f->error = error;
    f->is_dead = is_dead;
    f->is_fired = false;
}

/* ── directories for tests, in memory where the machine has that ── */

unused __attribute__((noinline)) static void test_directory(char path[DISK_PATH_MAX])
{
    const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, DISK_PATH_MAX, "%s/files-XXXXXX", root);
    if (mkdtemp(path) == NULL)
        abort();
}

unused __attribute__((noinline)) static void test_path(char path[DISK_PATH_MAX],
                                                       const char *directory, const char *name)
{
    if ((size_t)snprintf(path, DISK_PATH_MAX, "%s/%s", directory, name) >= DISK_PATH_MAX)
        abort();
}

unused __attribute__((noinline)) static int test_remove_name(void *context, const char *name)
{
    char path[DISK_PATH_MAX];
    struct disk_stat s;
    const char *directory = context;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path ||
        disk_stat(disk_posix(), path, &s) < 0)
        return 0;
    if (s.is_directory) {
        (void)!disk_list(disk_posix(), path, test_remove_name, path);
        (void)!disk_remove_directory(disk_posix(), path);
    } else {
        (void)!disk_unlink(disk_posix(), path);
    }
    return 0;
}

unused __attribute__((noinline)) static void test_directory_remove(char *path)
{
    (void)!disk_list(disk_posix(), path, test_remove_name, path);
    (void)!disk_remove_directory(disk_posix(), path);
}

/* Makes a file with these bytes. */
unused __attribute__((noinline)) static void test_file(const char *directory, const char *name,
                                                       const void *from, size_t n)
{
    char path[DISK_PATH_MAX];
    test_path(path, directory, name);
    int fd = disk_open(disk_posix(), path, DISK_WRITE | DISK_CREATE);
    if (fd < 0 || disk_truncate(disk_posix(), fd, 0) < 0 ||
        disk_write(disk_posix(), fd, from, n, 0) < 0)
        abort();
    disk_close(disk_posix(), fd);
}

/* The bytes of a file, -1 when there is none. */
unused __attribute__((noinline)) static int64_t test_file_read(const char *directory,
                                                               const char *name, void *to,
                                                               size_t max)
{
    char path[DISK_PATH_MAX];
    test_path(path, directory, name);
    int fd = disk_open(disk_posix(), path, DISK_READ);
    if (fd < 0)
        return -1;
    int64_t n = disk_read(disk_posix(), fd, to, max, 0);
    disk_close(disk_posix(), fd);
    return n;
}

unused __attribute__((noinline)) static bool test_file_is(const char *directory, const char *name,
                                                          const void *bytes, size_t n)
{
    static uint8_t room[1 << 16];
    return test_file_read(directory, name, room, sizeof room) == (int64_t)n &&
           memcmp(room, bytes, n) == 0;
}

unused __attribute__((noinline)) static bool test_exists(const char *directory, const char *name)
{
    char path[DISK_PATH_MAX];
    struct disk_stat s;
    test_path(path, directory, name);
    return disk_stat(disk_posix(), path, &s) == 0;
}

#endif
