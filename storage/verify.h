/*
 * verify.h - what `millrace verify` does: a whole log directory, ours or Apache Kafka's, checked
 * file by file while no broker runs, and mended where that loses nothing.
 *
 * Owner: the caller (a tool). Blocks on the disk, uses the heap, writes with stdio. Changes nothing
 * without is_repair.
 *
 * Every finding is a row: which file, at which position, what is wrong, what a repair does about
 * it, and whether that was done.
 *
 *   note      tells, asks for nothing: files of others, what the next start does by itself
 *   leftover  of a crash, a deletion or a compaction: in nobody's way
 *   damage    something is wrong
 *
 * A repair is what recovery would do at a start: leftovers go, a log is cut behind its last whole
 * batch, files derived from it are made anew; each by an atomic replacement or by a cut, so that a
 * crash in between leaves something that the next run goes on with. What loses records is refused
 * unless allow_loss names the partition.
 */
#ifndef MILLRACE_VERIFY_H
#define MILLRACE_VERIFY_H

#include <stdio.h>

#include "bytes.h"
#include "disk.h"

struct verify_options {
    bool is_json;
    bool is_repair;
    bool is_dry_run;               /* with is_repair: says what it would do, and does not */
    const char *const *allow_loss; /* names of partitions, or "all" */
    uint32_t allow_loss_n;
    /* Called now and then; NULL: never. */
    void (*progress)(void *context, uint64_t done_bytes, uint64_t bytes);
    void *context;
};

struct verify_summary {
    uint64_t partitions_n, segments_n, batches_n, records_n, bytes;
    uint64_t notes_n, leftovers_n, damages_n;
    uint64_t repaired_n, refused_n, failed_n; /* of leftovers and damages */
};

/* The sums of findings that are still there afterwards. */
static inline uint64_t verify_left_n(const struct verify_summary *s)
{
    return s->leftovers_n + s->damages_n - s->repaired_n;
}

/* Adds to *summary. E_IN_USE: a broker has the directory; E_INVALID: it is no log directory; E_IO,
 * E_NO_MEMORY, E_NOT_FOUND, E_DENIED ...: `why` has one line. */
nodiscard int verify_directory(struct disk *disk, const char *path,
                               const struct verify_options *options, FILE *to,
                               struct verify_summary *summary, char *why, size_t why_n);

#endif
