/*
 * reserve.c - the reserve file: room on a log directory's disk that is given up when the disk is
 * full, so that what must still be written can be.
 *
 * Owner: files while the broker runs; main at boot and stop.
 *
 * `<log directory>/millrace.reserve` takes storage.reserve.bytes of the disk and holds nothing.
 *
 *          boot                    released                     stop, next boot
 *     (none) ------> HELD --------------------------> OUT          unlinked
 *                     ^   a write met a full disk, or   |
 *                     |   half of min.free is left      | space for min.free, the file and some
 *                     +---------------------------------+ more, and no log waits
 *
 * Released room is not for clients: while it is out their appends are refused (full.c counts it as
 * missing), so what fills it is what was taken before (the tail, the journal's write-back: rule
 * 11), records of the metadata log, committed offsets, and what a stop writes. It does not help
 * against somebody else who goes on filling the disk; nothing does.
 *
 * The file is unlinked first of all at boot, which may have to write on a full disk, and at a clean
 * stop, which leaves nothing of ours. A disk that cannot set room aside without writing it
 * (E_UNSUPPORTED) has no reserve, and the start line says so. Its size is at most a part of the
 * disk: a small disk is for records.
 *
 * Recovery need not know it: it is no partition, and whatever of it a crash leaves is unlinked.
 */
#include "reserve.h"

#include "check.h"
#include "disk_tools.h"

enum { DISK_PART = 32 };
#define SLACK_BYTES MIB(2)         /* beyond what it takes: it is not made on the last block */
#define CALM_NS     (5 * NS_PER_S) /* after the last log that waited */

int reserve_remove(struct disk *disk, const char *directory)
{
    char path[DISK_PATH_MAX];
    int error = path_join(path, directory, RESERVE_NAME);
    if (error == 0)
        error = disk_unlink(disk, path);
    return error == E_NOT_FOUND ? 0 : error;
}

/* It is there with all its room, durably, or not at all. */
static int reserve_make(struct disk *disk, const struct reserve *r)
{
    char path[DISK_PATH_MAX];
    int error = path_join(path, r->directory, RESERVE_NAME);
    int fd = error < 0 ? error : disk_open(disk, path, DISK_WRITE | DISK_CREATE);
    if (fd < 0)
        return fd;
    error = disk_allocate(disk, fd, r->bytes);
    if (error == 0)
        error = disk_sync(disk, fd);
    disk_close(disk, fd);
    if (error == 0)
        error = directory_sync(disk, r->directory);
    if (error < 0)
        (void)!disk_unlink(disk, path); /* half of one is not kept; the first error is told */
    return error;
}

static bool has_room(const struct reserve *r, uint64_t free_bytes)
{
    return free_bytes >= r->min_free_bytes + r->bytes + SLACK_BYTES;
}

int reserve_begin(struct reserve *r, struct disk *disk, const char *directory, uint64_t bytes,
                  uint64_t min_free_bytes)
{
    struct disk_space space;
    *r = (struct reserve){.min_free_bytes = min_free_bytes};
    check(strlen(directory) < sizeof r->directory);
    memcpy(r->directory, directory, strlen(directory) + 1);
    int error = disk_space(disk, directory, &space);
    if (error < 0 || bytes == 0)
        return error;
    r->bytes = align_down(min_u64(bytes, space.total_bytes / DISK_PART), PAGE_SMALL);
    error = has_room(r, space.free_bytes) ? reserve_make(disk, r) : E_DISK_FULL;
    r->is_held = error == 0;
    return error == E_DISK_FULL ? 0 : error; /* it is made when there is room */
}

/* A release or a making that fails is tried again with the next question. */
int reserve_judge(struct reserve *r, struct disk *disk, uint64_t free_bytes, bool is_waiting,
                  uint64_t now_ns)
{
    if (r->bytes == 0)
        return 0;
    if (is_waiting)
        r->waited_ns = now_ns;
    bool is_needed = is_waiting || free_bytes < r->min_free_bytes / 2;
    bool is_calm = r->waited_ns == 0 || now_ns - r->waited_ns > CALM_NS;
    if (r->is_held && is_needed) {
        int error = reserve_remove(disk, r->directory);
        r->is_held = error < 0;
        return error < 0 ? error : 1;
    }
    if (!r->is_held && is_calm && !is_needed && has_room(r, free_bytes)) {
        int error = reserve_make(disk, r);
        r->is_held = error == 0;
        return error < 0 ? error : 1;
    }
    return 0;
}
