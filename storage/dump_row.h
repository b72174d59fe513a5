/*
 * dump_row.h - one line of a dump, as text or JSON, from one set of calls.
 *
 * Owner: dump.c and dump_index.c.
 */
#ifndef MILLRACE_DUMP_ROW_H
#define MILLRACE_DUMP_ROW_H

#include "dump.h"

struct plain;

/* One dump. Owner: the call. */
struct dump {
    struct disk *disk;
    const char *path;
    const struct dump_options *options;
    FILE *to;
    struct dump_summary *sum;
    uint64_t rows_n;
    bool is_hidden; /* the row being made is not shown */
};

/* Begins a row; `is_shown` says whether offset_min and rows_max let it through. */
void row_begin(struct dump *d, const char *kind, bool is_shown);
void row_int(struct dump *d, const char *name, int64_t v);
void row_word(struct dump *d, const char *name, const char *word);
void row_bool(struct dump *d, const char *name, bool v);
void row_bytes(struct dump *d, const char *name, struct bytes v); /* ptr NULL: null */
void row_pairs_begin(struct dump *d, const char *name);
void row_pair(struct dump *d, bool is_first, struct bytes key, struct bytes value);
void row_pairs_end(struct dump *d);
void row_end(struct dump *d);
/* offset_min and rows_max; counts the row when it is shown. */
bool row_is_wanted(struct dump *d, int64_t offset);
/* A damage row, always shown, and counted. */
void row_damage(struct dump *d, uint64_t pos, const char *format, ...) printf_like(3, 4);

/* dump_index.c */
int dump_index(struct dump *d, int64_t base_offset, struct bytes content);
int dump_time_index(struct dump *d, int64_t base_offset, struct bytes content);
int dump_txn_index(struct dump *d, int64_t base_offset, struct bytes content);
int dump_snapshot(struct dump *d, struct bytes content);
int dump_epochs(struct dump *d, struct bytes content);

/* dump_old.c: the message at scan->pos, when it is one of format 0 or 1 whose CRC is right: shown,
 * and scan->pos is behind it. 1: it was; 0: it is none; E_NO_MEMORY, E_IO. */
struct batch_scan;
int dump_old_message(struct dump *d, struct batch_scan *scan, struct plain *plain);

/* dump_text.c */
int dump_checkpoint(struct dump *d, const char *name, struct bytes content);
int dump_properties(struct dump *d, struct bytes content);
int dump_partition_metadata(struct dump *d, struct bytes content);

#endif
