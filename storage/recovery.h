/*
 * recovery.h - opening a log at boot: what its parts (recovery.c, recovery_scan.c,
 * recovery_state.c) share.
 *
 * Owner: main, before the threads run. Blocks on the disk; uses the heap.
 */
#ifndef MILLRACE_RECOVERY_H
#define MILLRACE_RECOVERY_H

#include "disk_tools.h"
#include "plog.h"

/* One log being opened. Owner: store_log_recover. */
struct recovery {
    struct store *store;
    struct plog *log;
    struct disk *disk;
    struct recovery_report *report;
    char directory[DISK_PATH_MAX];
    struct names names;
    int64_t *bases; /* of the .log files, rising. Heap */
    uint32_t bases_n;
    int64_t *snapshots; /* of the .snapshot files, rising. Heap */
    uint32_t snapshots_n;
    bool is_clean;
    bool is_changed;        /* files were cut or removed */
    bool is_unsynced;       /* files were read to their end: flushed before anything is served */
    int64_t recovery_point; /* below it everything is on the device */
    int64_t log_start;      /* by the checkpoint; 0 when there is none */
    int64_t dense_from;     /* from here on no offset is missing: never compacted */
    int64_t scanned_from;   /* base of the first segment that was scanned; INT64_MAX: none */
};

/* recovery_scan.c */
/* Scans a whole segment: batch by batch, checksums, indexes anew. *cut: bytes behind the last whole
 * batch; the file is cut there; store_recovered flushes it. `expected` is the offset that must come first when it
 * is dense; -1: any. *end: the offset behind the last batch. E_BAD_MAGIC: old formats that are not
 * served. */
nodiscard int recovery_scan(struct recovery *r, struct segment *segment, int64_t expected,
                            bool is_last, int64_t *end, uint64_t *cut);
/* The last segment after a clean stop: its indexes from their files, its end from the headers
 * behind the last entry. E_CORRUPT: they do not fit; it must be scanned. */
nodiscard int recovery_end(struct recovery *r, struct segment *segment, int64_t *end);
/* A segment that is taken as it is: size, age, largest timestamp. */
nodiscard int recovery_trust(struct recovery *r, struct segment *segment);
/* Writes the indexes of a scanned segment that is not the last. is_covered: by the recovery point.
 */
nodiscard int recovery_indexes_write(struct recovery *r, struct segment *segment, bool is_covered);
bool recovery_has_file(const struct recovery *r, int64_t base_offset, const char *suffix);

/* recovery_state.c: producers, aborted transactions, epochs */
nodiscard int recovery_state(struct recovery *r, int64_t end);

#endif
