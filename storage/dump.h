/*
 * dump.h - what `millrace dump` shows: any file of a partition, row by row, checked on the way.
 *
 * Owner: the caller (a tool). Blocks on the disk, uses the heap, writes with stdio. Changes nothing
 * on disk.
 *
 * A row is one line: in text "batch pos 0 bytes 163 first 0 last 2 ...", with --json
 * {"row":"batch","pos":0,...}. Damage is a row too ("damage pos N what ..."): it is counted and the
 * dump goes on behind it where that is possible. Bytes that are not UTF-8 are shown as \xNN in
 * text, and in JSON as "<name>_hex"; headers as "headers":[["key","value"],...], where {"hex":"ff"}
 * stands for what is not UTF-8.
 *
 *   00000000000000000000.log          batches, records; CRC, counts, rising offsets; messages of
 *                                     the formats 0 and 1, as such
 *   .index, .timeindex                entries; against the .log beside them, when it is there
 *   .txnindex, .snapshot, leader-epoch-checkpoint, partition.metadata
 *   ....cleaned, .swap, .deleted      the same, left over
 *   log-start-offset, compacted-offset     of ours (mark.h)
 *   *-offset-checkpoint, meta.properties   of the log directory
 */
#ifndef MILLRACE_DUMP_H
#define MILLRACE_DUMP_H

#include <stdio.h>

#include "batch.h"
#include "bytes.h"
#include "disk.h"

/* Who looks at a dump instead of reading it: with one nothing is printed. Owner: the caller. */
struct dump_sink {
    void *context;
    void (*damage)(void *context, uint64_t pos, const char *what);
    /* A batch whose CRC is right; `whole` until the return. 0, or an error that ends the dump. */
    int (*batch)(void *context, uint64_t pos, const struct batch *b, struct bytes whole);
};

/* What to show. All zero: batches only, whole file, text. */
struct dump_options {
    bool is_json;
    bool with_records;            /* rows of records too; they are checked in any case */
    uint32_t value_bytes_max;     /* of a key or value shown; 0: all of it            */
    int64_t offset_min;           /* rows below are checked but not shown              */
    uint64_t rows_max;            /* of batches, records or entries; 0: no limit       */
    const struct dump_sink *sink; /* NULL: rows are printed                        */
};

/* The sums, as the last row says them. */
struct dump_summary {
    uint64_t bytes; /* of the file                  */
    uint64_t batches_n, records_n, entries_n;
    uint64_t messages_n;               /* of the formats 0 and 1; wrappers count as one */
    int64_t first_offset, last_offset; /* -1: none           */
    uint64_t damages_n;                /* 0: the file is sound         */
    uint64_t damaged_bytes;            /* that belong to no good batch */
};

/* Dumps one file. 0 also when there is damage (see the summary). E_NOT_FOUND, E_IO, E_DENIED,
 * E_NO_MEMORY; E_UNSUPPORTED: the name is of no kind it knows; E_INVALID: it is a directory. */
nodiscard int dump_file(struct disk *disk, const char *path, const struct dump_options *options,
                        FILE *to, struct dump_summary *summary);

#endif
