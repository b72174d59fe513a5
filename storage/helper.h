/*
 * helper.h - the inside of struct helper: one of the two threads that may block on the disk.
 *
 * Owner: files or bulk, each its own.
 */
#ifndef MILLRACE_HELPER_H
#define MILLRACE_HELPER_H

#include "jobs.h"
#include "prng.h"

/* Owner: files | bulk. */
struct helper {
    struct disk *disk;
    struct post *post;
    struct prng prng;  /* names that must be unique */
    uint8_t from_at;   /* round robin of mail_read  */
};

/* bulk.c. Fills job->query; returns its error. */
int bulk_time_query(struct helper *helper, struct job *job);

#endif
