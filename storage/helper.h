/*
 * helper.h - the inside of struct helper: one of the two threads that may block on the disk.
 *
 * Owner: files or bulk, each its own.
 */
#ifndef MILLRACE_HELPER_H
#define MILLRACE_HELPER_H

#include "compress.h"
#include "jobs.h"
#include "prng.h"
#include "reserve.h"

enum { CREATES_MAX = 128 };

/* The checkpoint files of one log directory. Owner: files. */
struct kept {
    char directory[DISK_PATH_MAX];
    struct checkpoints *checkpoints; /* what they are to say */
    uint32_t due;                    /* bits of files that are behind the table */
    bool is_stale;                   /* they may name a partition that is gone */
};

/* Owner: files | bulk. */
struct helper {
    struct disk *disk;
    struct post *post;
    struct prng prng;                 /* names that must be unique */
    uint8_t from_at;                  /* round robin of mail_read  */
    struct job *creates[CREATES_MAX]; /* made in this turn, not yet durable, not yet answered */
    uint32_t creates_n;
    int creates_fd; /* of creates_parent, opened before the first; only while creates_n > 0 */
    char creates_parent[DISK_PATH_MAX];
    struct kept kept[LOG_DIRS_MAX]; /* files helper only; none before boot has come to its end */
    uint32_t kept_n;
    struct reserve reserves[LOG_DIRS_MAX + 1]; /* files helper only */
    uint32_t reserves_n;
    uint64_t now_ns; /* of this turn */
    /* repack.c, bulk helper only: a batch in one piece, its records, the same built anew */
    struct plain whole, plain, built;
};

/* create.c */
/* The first half of JOB_SEGMENT_CREATE. False: it failed (job->error), the caller answers it. */
bool create_begin(struct helper *helper, struct job *job);
/* The second half of all of them. */
void creates_end(struct helper *helper);

/* checkpoint_job.c */
nodiscard int checkpoint_job(struct helper *helper, const struct job *job);
/* The partition of this directory is gone. */
void checkpoint_dropped(struct helper *helper, const char *directory);
/* Before this directory of a new partition is made: the files name nothing that is gone. */
nodiscard int checkpoint_fresh(struct helper *helper, const char *directory);

/* bulk.c. Fills job->query; returns its error. */
int bulk_time_query(struct helper *helper, struct job *job);

/* compact_run.c. One piece; 0 (job->compact->said tells what next) or why it is over. */
int bulk_compact(struct helper *helper, struct job *job);

/* repack.c. Fills job->repack; returns its error. */
int bulk_repack(struct helper *helper, struct job *job);
void repack_memory_fini(struct helper *helper);

#endif
