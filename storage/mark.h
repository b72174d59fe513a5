/*
 * mark.h - the two files of ours beside the segments of a partition, each of which holds one offset
 * and which Apache Kafka ignores.
 *
 * Owner: the caller.
 *
 *   log-start-offset   below it records were deleted by a request (start_move.c)
 *   compacted-offset   below it a compaction may have left holes (compact_swap.c)
 *
 * Format: "0\n<offset>\n". They are replaced atomically, so one that ends early is damage.
 */
#ifndef MILLRACE_MARK_H
#define MILLRACE_MARK_H

#include "bytes.h"
#include "disk.h"

enum { MARK_BYTES_MAX = 32 };
extern const char mark_start[], mark_compacted[];

/* The whole file for `offset` (0 or more), in `to`. */
struct bytes mark_text(char to[MARK_BYTES_MAX], int64_t offset);
/* E_CORRUPT. */
nodiscard int mark_parse(struct bytes text, int64_t *offset);
/* Boot, tools: what stands in the file `name` of the directory; 0 when there is none. E_CORRUPT,
 * E_IO. */
nodiscard int mark_read(struct disk *disk, const char *directory, const char *name,
                        int64_t *offset);
/* Bulk: the file is replaced and durable. Errors of the disk. */
nodiscard int mark_write(struct disk *disk, const char *directory, const char *name,
                         int64_t offset);

#endif
