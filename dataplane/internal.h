/*
 * internal.h - appends and reads of internal partitions (__consumer_offsets) that control asks for.
 *
 * Owner: worker, the home of the partition.
 */
#ifndef MILLRACE_INTERNAL_H
#define MILLRACE_INTERNAL_H

#include "control.h"

/* Owner: worker. */
struct internal {
    struct store *store;
    struct post *post;
    struct list waiting; /* struct commit_op: the tail had no room */
    uint32_t under_way;  /* appends that wait for the device, reads that wait for the disk */
};

void internal_init(struct internal *in, struct store *store, struct post *post);
/* A MAIL_COMMIT or MAIL_LOAD arrived. */
void internal_mail(struct internal *in, struct mail *mail, struct now now);
/* Tries again what the tail had no room for; returns how much was placed. */
int internal_turn(struct internal *in, struct now now);
bool internal_is_quiet(const struct internal *in);

#endif
