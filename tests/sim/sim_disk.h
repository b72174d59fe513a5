/*
 * sim_disk.h - a disk in memory that forgets, tears and reorders what was not flushed.
 *
 * Owner: the simulator (one thread). Implements disk.h and the disk kinds of io.h over one tree of
 * files, so the whole broker runs on it unchanged.
 *
 * What it keeps of a file: `now`, what a read returns (the page cache), and `kept`, what the
 * platter holds. A write changes `now` and stays *pending* until a sync of that file covers it. The
 * tree works the same way: create, rename and unlink are pending in their directory until that
 * directory is synced.
 *
 *   process kill   `now` survives; operations that had not completed happened, happened in part, or
 * did not. power cut      each pending write is kept, lost, or torn at 512-byte sectors,
 * independently (so in any order); the file's size is the kept one or any later one; of a
 * directory's pending changes a random prefix survives.
 *
 * IO_SYNC makes durable what had completed before it was submitted, and nothing else (a stricter
 * rule than ext4's: code that relies on more fails here).
 *
 * A descriptor opened with DISK_DIRECT takes transfers of whole blocks of 4 KiB from aligned memory
 * only, and what it wrote is pending like any other write: past the page cache is not yet on the
 * platter.
 *
 * Faults: after sim_disk_fail_at(n) the n-th operation from then on fails (EIO, ENOSPC or a short
 * transfer).
 */
#ifndef MILLRACE_SIM_DISK_H
#define MILLRACE_SIM_DISK_H

#include <stdio.h>

#include "disk.h"
#include "io.h"
#include "prng.h"

struct sim_disk;

enum sim_crash { SIM_KILL, SIM_POWER };
enum sim_fault { SIM_FAULT_EIO, SIM_FAULT_ENOSPC, SIM_FAULT_SHORT };

/* Latency of an asynchronous operation: uniform below `ns_max`, one in a hundred ten times longer.
 */
struct sim_disk *sim_disk_new(uint64_t seed, uint64_t latency_ns_max);
void sim_disk_free(struct sim_disk *d);
struct disk *sim_disk_disk(struct sim_disk *d);

/* A new asynchronous side for one thread. Gone after the next crash. */
struct io *sim_disk_io(struct sim_disk *d);

/* Moves the disk's clock; operations that are due complete at their io's next poll. */
void sim_disk_clock(struct sim_disk *d, uint64_t now_ns, int64_t wall_ms);
/* When the next operation is due; UINT64_MAX when none is under way. */
uint64_t sim_disk_next_ns(const struct sim_disk *d);

/* The machine stops: each operation under way happens, happens in part, or does not; every io is
 * gone. While the memory that operations point to is still there. */
void sim_disk_halt(struct sim_disk *d);
/* Afterwards: everything open is closed; what is left is what the crash leaves. */
void sim_disk_crash(struct sim_disk *d, enum sim_crash kind);

/* The tree, one line per file with its bytes: for --verbose. */
void sim_disk_print(struct sim_disk *d, FILE *to);

/* The n-th write, sync or change of the tree from now on fails (n >= 1; 0 = none). */
void sim_disk_fail_at(struct sim_disk *d, uint64_t n, enum sim_fault fault);
uint64_t sim_disk_operations(const struct sim_disk *d);
/* The disk dies with the n-th operation from now on: it happens in part if it is a write, and
 * nothing does afterwards, until the next crash. */
void sim_disk_die_at(struct sim_disk *d, uint64_t n);
bool sim_disk_is_dead(const struct sim_disk *d);
/* As on a file system where one call cannot stand for all files. */
void sim_disk_has_no_sync_all(struct sim_disk *d, bool has_none);
/* As on a file system without O_DIRECT. */
void sim_disk_has_no_direct(struct sim_disk *d, bool has_none);
/* Planted bugs: what the checks must find. Those of the disk report success and do not do it;
 * the others are the broker's (plant.c, admin.c). */
#define SIM_PLANTS(PLANT)                                                                          \
    PLANT(NONE, "none")                                                                            \
    PLANT(NO_FLUSH, "no-flush")             /* no file is ever flushed */                          \
    PLANT(RING_FLUSH, "ring-flush")         /* journals are not */                                 \
    PLANT(SEGMENT_FLUSH, "segment-flush")   /* segments are not: the tail moves too early */       \
    PLANT(NAMES, "names")                   /* directories are not */                              \
    PLANT(METADATA_FLUSH, "metadata-flush") /* metadata is not: it is answered too early */        \
    PLANT(RING_LOST, "ring-lost")           /* one write of a journal in 30 never happens */       \
    PLANT(RING_SHORT, "ring-short")         /* ... is cut, and called whole */                     \
    PLANT(RING_MISPLACED, "ring-misplaced") /* ... goes to the block behind: writes overlap */     \
    PLANT(RING_SPOILED, "ring-spoiled")     /* a power cut damages a flushed record */             \
    PLANT(SEGMENT_LOST, "segment-lost")     /* one write back in 30 never happens */               \
    PLANT(SEGMENT_MISPLACED, "segment-misplaced") /* ... goes 512 bytes further */                 \
    PLANT(NO_CLEAN_SYNC, "no-clean-sync")         /* the output of a compaction is not flushed */  \
    PLANT(NO_REPLAY, "no-replay")                 /* a crash takes the journals */                 \
    PLANT(TAIL_EARLY, "tail-early")               /* the tail passes what is not written back */   \
    PLANT(REUSE_EARLY, "reuse-early") /* space is used again before the tail passed it */          \
    PLANT(START_LOST, "start-lost")   /* DeleteRecords is answered before its file has its name */ \
    PLANT(HEIR, "heir") /* the journal's runs of a deleted topic go to the next of its name */     \
    PLANT(DROP_EARLY, "drop-early") /* --admin: logs go before the topic's record is durable */

enum sim_plant {
#define PLANT(name, text) SIM_PLANT_##name,
    SIM_PLANTS(PLANT)
#undef PLANT
        SIM_PLANTS_N
};
void sim_disk_plant(struct sim_disk *d, enum sim_plant plant);

#endif
