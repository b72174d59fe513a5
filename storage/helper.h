/*
 * helper.h - the inside of struct helper: one of the two threads that may block on the disk.
 *
 * Owner: files or bulk, each its own.
 */
#ifndef MILLRACE_HELPER_H
#define MILLRACE_HELPER_H

#include "jobs.h"
#include "prng.h"

enum { CREATES_MAX = 128 };

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
    struct checkpoints *checkpoints; /* files helper only; NULL before boot has come to its end */
    char directory[DISK_PATH_MAX];   /* of the checkpoint files */
    uint32_t checkpoints_due;        /* bits of files that are behind the table */
    bool are_checkpoints_stale;      /* they may name a partition that is gone */
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
/* Before a new partition's directory is made: the files name nothing that is gone. */
nodiscard int checkpoint_fresh(struct helper *helper);

/* bulk.c. Fills job->query; returns its error. */
int bulk_time_query(struct helper *helper, struct job *job);

/* compact_run.c. One piece; 0 (job->compact->said tells what next) or why it is over. */
int bulk_compact(struct helper *helper, struct job *job);

#endif
