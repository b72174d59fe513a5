/*
 * verify_inside.h - what verify.c, verify_partition.c, verify_files.c and verify_txn.c share.
 *
 * Owner: verify_directory.
 */
#ifndef MILLRACE_VERIFY_INSIDE_H
#define MILLRACE_VERIFY_INSIDE_H

#include "checkpoint.h"
#include "disk_tools.h"
#include "dump.h"
#include "epochs.h"
#include "plog.h"
#include "verify.h"

enum { VERIFY_TEXT_MAX = 256, VERIFY_FILE_MAX = 256 << 20 };

enum verify_severity { VERIFY_NOTE, VERIFY_LEFTOVER, VERIFY_DAMAGE };

/* One directory being verified. Owner: verify_directory. */
struct verify {
    struct disk *disk;
    const struct verify_options *options;
    FILE *to;
    struct verify_summary *sum;
    const char *path;
    bool is_clean; /* the last stop was: nothing is rebuilt at the next start by itself */
    struct checkpoints *checkpoints;
    uint32_t checkpoints_changed; /* bits of files to be written */
    uint64_t bytes, done_bytes;
};

/* What is wrong. `repair` says what mends it, NULL: nothing does. `losing`: the partition whose
 * records that loses, NULL: none. */
struct finding {
    enum verify_severity severity;
    const char *path;
    uint64_t pos;
    const char *repair, *losing;
    char what[VERIFY_TEXT_MAX];
};

void finding_say(struct finding *f, const char *format, ...) printf_like(2, 3);
/* Reports it; with is_repair `fix` is called before, when it may be. The error of `fix` is told and
 * counted, not returned. True: it is mended. */
bool verify_report(struct verify *v, const struct finding *f, int (*fix)(void *context),
                   void *context);

/* An abort marker of the log. */
struct abort_seen {
    int64_t producer_id, last_offset;
    int64_t first_offset;  /* of its transaction, as the batches say; -1: no batch is there */
    int64_t stable_offset; /* first open one beside it, or behind the marker */
};

/* Transactions as the batches of a log tell them. Owner: struct part. Heap. */
struct verify_txns {
    struct abort_seen *open, *aborts; /* open: last_offset is not used */
    uint32_t open_n, open_max, aborts_n, aborts_max;
};

/* One segment of a partition. */
struct part_segment {
    int64_t base_offset;
    uint64_t bytes;
    struct segment *index;           /* indexes as the batches make them; heap */
    uint32_t aborts_from, aborts_to; /* markers in it */
    bool is_damaged;
};

/* One partition being verified. Owner: verify_partition. */
struct part {
    struct verify *v;
    const char *name;                                   /* "orders-3" */
    char directory[DISK_PATH_MAX], path[DISK_PATH_MAX]; /* path: the file at hand */
    struct bytes topic;
    int32_t partition;
    bool is_metadata;
    struct names names;
    struct part_segment *segments;
    uint32_t segments_n, at; /* at: the one being walked */
    struct log_config config;
    int64_t recovery_point; /* INT64_MAX after a clean stop */
    int64_t cleaner;        /* first offset that was never compacted; -1: the log is not */
    int64_t end;            /* behind the last good batch before a damage; -1: no segment */
    int64_t expected;
    int32_t epoch; /* of the batch before */
    bool has_gaps;
    struct epochs epochs; /* as the batches tell */
    struct verify_txns txns;
    /* The first place where recovery would cut. */
    bool is_cut, is_cut_mended;
    uint32_t cut_at;
    uint64_t cut_pos;
    uint64_t lost_batches_n, lost_records_n; /* good ones behind it */
    bool is_cut_torn;                        /* zeros up to the end of the file */
    char cut_what[VERIFY_TEXT_MAX];
};

/* verify_partition.c */
nodiscard int verify_partition(struct verify *v, const char *name);

/* verify_files.c: the files beside the segments. After the walk. */
nodiscard int verify_indexes(struct part *p);
nodiscard int verify_txn_indexes(struct part *p);
nodiscard int verify_snapshots(struct part *p);
nodiscard int verify_epochs(struct part *p);
nodiscard int verify_metadata(struct part *p);
void verify_offsets(struct part *p);
/* Dumps p->path, printing nothing; the number of damages, the first of them in what and *pos. */
nodiscard int verify_file(struct part *p, uint64_t *damages_n, uint64_t *pos,
                          char what[VERIFY_TEXT_MAX]);
bool part_has(const struct part *p, const char *name);
/* Both indexes of segment `at` replaced by what the batches say. */
nodiscard int part_indexes_write(struct part *p, uint32_t at);
nodiscard int part_epochs_write(struct part *p);

/* verify_txn.c */
nodiscard int txns_note(struct verify_txns *t, const struct batch *b, struct bytes whole);
void txns_fini(struct verify_txns *t);
/* What is wrong with the .txnindex of a segment whose markers are aborts[from .. to); false:
 * nothing. `is_dense`: no marker can be missing. */
bool txns_judge(const struct verify_txns *t, uint32_t from, uint32_t to, bool is_dense,
                struct bytes file, char what[VERIFY_TEXT_MAX]);
/* The file as it should be, on the heap; what is right in the old one stays. */
nodiscard int txns_file(const struct verify_txns *t, uint32_t from, uint32_t to, struct bytes old,
                        struct bytes *out);

#endif
