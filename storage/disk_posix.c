/*
 * disk_posix.c - struct disk on the real file system.
 *
 * Owner: any helper thread, and main before the threads run; there is no state.
 *
 * Every call of the operating system is here, and errno becomes our error on the line of the call.
 * A call that a signal interrupted is made again, except fsync: after a failed fsync nobody knows
 * what is on the device.
 *
 * The lock keeps out Apache Kafka and a second broker of ours. Java's FileChannel.tryLock takes a
 * POSIX record lock over the whole file, so we take one too. Such a lock is the process's: it
 * vanishes when any descriptor of the file is closed, and a second attempt of the same process
 * succeeds. So a flock is taken as well, which is the descriptor's. On NFS the kernel turns a flock
 * into a record lock of another owner, which would refuse ourselves: there the record lock stands
 * alone.
 */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "check.h"

enum { FILE_MODE = 0644, DIRECTORY_MODE = 0755 };

static int posix_open(struct disk *d, const char *path, int how)
{
    (void)d;
    int flags = O_CLOEXEC | ((how & DISK_WRITE) ? O_RDWR : O_RDONLY);
    check((how & DISK_CREATE) == 0 || (how & DISK_WRITE) != 0);
    flags |= (how & DISK_CREATE) ? O_CREAT : 0;
    flags |= (how & DISK_EXCLUSIVE) ? O_EXCL : 0;
    flags |= (how & DISK_DIRECTORY) ? O_DIRECTORY : 0;
    flags |= (how & DISK_DIRECT) ? O_DIRECT : 0;
    int fd;
    do
        fd = open(path, flags, FILE_MODE);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? error_from_errno(errno) : fd;
}

static void posix_close(struct disk *d, int fd)
{
    (void)d;
    /* Linux frees the descriptor whatever close says; what had to be durable was synced before. */
    close(fd);
}

static int64_t posix_read(struct disk *d, int fd, void *to, uint64_t n, uint64_t pos)
{
    (void)d;
    uint64_t got = 0;
    while (got < n) {
        ssize_t part = pread(fd, (char *)to + got, n - got, (off_t)(pos + got));
        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0)
            return error_from_errno(errno);
        if (part == 0)
            break;
        got += (uint64_t)part;
    }
    return (int64_t)got;
}

static int posix_write(struct disk *d, int fd, const void *from, uint64_t n, uint64_t pos)
{
    (void)d;
    uint64_t put = 0;
    while (put < n) {
        ssize_t part = pwrite(fd, (const char *)from + put, n - put, (off_t)(pos + put));
        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0)
            return error_from_errno(errno);
        if (part == 0)
            return E_IO;
        put += (uint64_t)part;
    }
    return 0;
}

static int posix_sync(struct disk *d, int fd)
{
    (void)d;
    /* Whatever the reason, also a full disk: what was written may be gone, and another try would
     * hide that. */
    return fsync(fd) == 0 ? 0 : E_IO;
}

static int posix_truncate(struct disk *d, int fd, uint64_t bytes)
{
    (void)d;
    int rc;
    do
        rc = ftruncate(fd, (off_t)bytes);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? error_from_errno(errno) : 0;
}

static int posix_stat(struct disk *d, const char *path, struct disk_stat *out)
{
    (void)d;
    struct stat s;
    if (stat(path, &s) < 0)
        return error_from_errno(errno);
    *out =
        (struct disk_stat){.bytes = (uint64_t)s.st_size,
                           .modified_ms = s.st_mtim.tv_sec * 1000ll + s.st_mtim.tv_nsec / 1000000,
                           .is_directory = S_ISDIR(s.st_mode)};
    return 0;
}

static int posix_make_directory(struct disk *d, const char *path)
{
    (void)d;
    return mkdir(path, DIRECTORY_MODE) < 0 ? error_from_errno(errno) : 0;
}

static int posix_remove_directory(struct disk *d, const char *path)
{
    (void)d;
    return rmdir(path) < 0 ? error_from_errno(errno) : 0;
}

static int posix_unlink(struct disk *d, const char *path)
{
    (void)d;
    return unlink(path) < 0 ? error_from_errno(errno) : 0;
}

static int posix_rename(struct disk *d, const char *from, const char *to)
{
    (void)d;
    return rename(from, to) < 0 ? error_from_errno(errno) : 0;
}

static int posix_list(struct disk *d, const char *path,
                      int (*each)(void *context, const char *name), void *context)
{
    (void)d;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return error_from_errno(errno);
    int rc = 0;
    while (rc == 0) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            rc = errno == 0 ? 0 : error_from_errno(errno);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = each(context, entry->d_name);
    }
    closedir(dir);
    return rc;
}

static int lock_refused(int err)
{
    return err == EAGAIN || err == EACCES || err == EWOULDBLOCK ? E_IN_USE : error_from_errno(err);
}

static int posix_lock(struct disk *d, int fd)
{
    (void)d;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    struct statfs fs;
    if (fcntl(fd, F_SETLK, &whole) < 0)
        return lock_refused(errno);
    if (fstatfs(fd, &fs) < 0)
        return error_from_errno(errno);
    if (fs.f_type == NFS_SUPER_MAGIC)
        return 0;
    return flock(fd, LOCK_EX | LOCK_NB) < 0 ? lock_refused(errno) : 0;
}

static int posix_space(struct disk *d, const char *path, struct disk_space *out)
{
    (void)d;
    struct statvfs s;
    if (statvfs(path, &s) < 0)
        return error_from_errno(errno);
    *out = (struct disk_space){.total_bytes = (uint64_t)s.f_blocks * s.f_frsize,
                               .free_bytes = (uint64_t)s.f_bavail * s.f_frsize};
    return 0;
}

/* Those of which it is known that syncfs waits for data and metadata and reports what failed. FUSE
 * and most network file systems do not tell their server. */
static bool posix_promises_sync_all(const struct statfs *fs)
{
    switch ((unsigned long)fs->f_type) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case OVERLAYFS_SUPER_MAGIC: return true;
    default: return false;
    }
}

static int posix_sync_all(struct disk *d, int fd)
{
    (void)d;
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return error_from_errno(errno);
    if (!posix_promises_sync_all(&fs))
        return E_UNSUPPORTED;
    return syncfs(fd) == 0 ? 0 : E_IO;
}

static int posix_allocate(struct disk *d, int fd, uint64_t bytes)
{
    struct statfs fs;
    (void)d;
    if (fstatfs(fd, &fs) < 0)
        return error_from_errno(errno);
    if (fs.f_type == TMPFS_MAGIC) /* room there is memory, and setting it aside is writing it */
        return E_UNSUPPORTED;
    if (fallocate(fd, 0, 0, (off_t)bytes) == 0)
        return 0;
    return errno == EOPNOTSUPP || errno == ENOSYS ? E_UNSUPPORTED : error_from_errno(errno);
}

struct disk *disk_posix(void)
{
    static const struct disk_functions functions = {
        .open = posix_open,
        .close = posix_close,
        .read = posix_read,
        .write = posix_write,
        .sync = posix_sync,
        .truncate = posix_truncate,
        .stat = posix_stat,
        .make_directory = posix_make_directory,
        .remove_directory = posix_remove_directory,
        .unlink = posix_unlink,
        .rename = posix_rename,
        .list = posix_list,
        .lock = posix_lock,
        .space = posix_space,
        .sync_all = posix_sync_all,
        .allocate = posix_allocate,
    };
    static const struct disk disk = {&functions};
    return (struct disk *)&disk; /* never written: there is no state */
}
