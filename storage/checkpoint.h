/*
 * checkpoint.h - the four files with one offset per partition in a log directory.
 *
 * Owner: main at boot and stop; the files helper has one of its own while threads run. Heap.
 *
 * Text: "0\n", the number of entries, then "topic partition offset\n" per entry (disk-formats 6).
 * Missing and empty files have no entries. Anything malformed is E_CORRUPT, as Apache Kafka refuses
 * to start with it: a log start that is forgotten would bring deleted records back.
 */
#ifndef MILLRACE_CHECKPOINT_H
#define MILLRACE_CHECKPOINT_H

#include "bytes.h"
#include "disk.h"
#include "storage.h"

enum checkpoint_kind {
    CHECKPOINT_RECOVERY_POINT, /* below it everything is on the device                       */
    CHECKPOINT_LOG_START,      /* first readable offset, where above the first segment's base */
    CHECKPOINT_HIGH,           /* high watermark: replication-offset-checkpoint              */
    CHECKPOINT_CLEANER,        /* first dirty offset of a compacted log                      */
    CHECKPOINTS_N,
};

/* The file's name. */
const char *checkpoint_name(enum checkpoint_kind kind);

/* Sets one offset (>= 0). E_NO_MEMORY. */
nodiscard int checkpoint_set(struct checkpoints *c, enum checkpoint_kind kind, struct bytes topic,
                             int32_t partition, int64_t offset);
/* All four at once; a negative one is none. E_NO_MEMORY. */
nodiscard int checkpoint_set_all(struct checkpoints *c, struct bytes topic, int32_t partition,
                                 const int64_t offsets[CHECKPOINTS_N]);
/* False when there is none. */
bool checkpoint_get(const struct checkpoints *c, enum checkpoint_kind kind, struct bytes topic,
                    int32_t partition, int64_t *offset);
/* What `from` has of a partition, or of all. E_NO_MEMORY. */
nodiscard int checkpoints_copy(struct checkpoints *to, const struct checkpoints *from);
nodiscard int checkpoint_copy(struct checkpoints *to, const struct checkpoints *from,
                              struct bytes topic, int32_t partition);
/* Forgets a partition in all four. False: it had none. */
bool checkpoint_remove(struct checkpoints *c, struct bytes topic, int32_t partition);
uint32_t checkpoint_count(const struct checkpoints *c, enum checkpoint_kind kind);

/* Reads all four files of a log directory into `c`. On failure `why` has one clear line and `c`
 * holds what was read before. E_CORRUPT, E_IO, E_NO_MEMORY, E_TOO_LARGE. */
nodiscard int checkpoints_read(struct checkpoints *c, struct disk *disk, const char *directory,
                               char *why, size_t why_n);
/* Replaces one file, or all four, in the order of the enum; sorted by topic and partition. */
nodiscard int checkpoint_write(const struct checkpoints *c, enum checkpoint_kind kind,
                               struct disk *disk, const char *directory);
nodiscard int checkpoints_write(const struct checkpoints *c, struct disk *disk,
                                const char *directory);

/* The text of one file, on the heap (for tests and tools), and back. */
nodiscard int checkpoint_text(const struct checkpoints *c, enum checkpoint_kind kind,
                              struct bytes *out);
nodiscard int checkpoint_parse(struct checkpoints *c, enum checkpoint_kind kind, struct bytes text);

#endif
