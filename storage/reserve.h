/*
 * reserve.h - the reserve file of a log directory (reserve.c has its states).
 *
 * Owner: files; main at boot and stop.
 */
#ifndef MILLRACE_RESERVE_H
#define MILLRACE_RESERVE_H

#include "disk.h"
#include "storage.h"

/* Owner: files. */
struct reserve {
    char directory[DISK_PATH_MAX];
    uint64_t bytes; /* of the file when it is held; 0: there is none */
    uint64_t min_free_bytes;
    uint64_t waited_ns; /* when a log last waited for space; 0: never */
    bool is_held;
};

/* Makes it; that there is no room for it now is no error. */
nodiscard int reserve_begin(struct reserve *r, struct disk *disk, const char *directory,
                            uint64_t bytes, uint64_t min_free_bytes);
/* The disk has `free_bytes`; is_waiting: a log waits for space. 1: it was released or made, the
 * free bytes are others now; 0: nothing changed; an error is the disk's. */
nodiscard int reserve_judge(struct reserve *r, struct disk *disk, uint64_t free_bytes,
                            bool is_waiting, uint64_t now_ns);

#endif
