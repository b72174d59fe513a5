/*
 * sweep.h - names of partitions and segments taken apart, and a partition's directory put in order
 * at start.
 *
 * Owner: main at boot, and tools.
 */
#ifndef MILLRACE_SWEEP_H
#define MILLRACE_SWEEP_H

#include "bytes.h"
#include "disk.h"

/* "<topic>-<partition>"; the topic is a view into `name`. */
bool partition_name_parse(const char *name, struct bytes *topic, int32_t *partition);
/* "<20 digits><suffix>"; the suffix may be anything, also "". */
bool segment_name_parse(const char *name, int64_t *base_offset, const char **suffix);
/* The id in partition.metadata. E_NOT_FOUND, E_CORRUPT. */
nodiscard int partition_metadata_read(struct disk *disk, const char *directory,
                                      struct uuid *topic_id);
/* Removes what a crash left behind and completes a compaction's renames (sweep.c). Before the log
 * is opened. */
nodiscard int partition_tidy(struct disk *disk, const char *directory);

#endif
