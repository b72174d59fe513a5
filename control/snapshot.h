/*
 * snapshot.h - the state of the metadata log as a file, so that the log behind it is enough.
 *
 * Owner: control.
 */
#ifndef MILLRACE_SNAPSHOT_H
#define MILLRACE_SNAPSHOT_H

#include "base.h"
#include "storage.h"

struct control;

enum snapshot_phase { SNAPSHOT_NONE, SNAPSHOT_WRITING, SNAPSHOT_MOVING, SNAPSHOT_UNLINKING };

/* Owner: control. */
struct snapshot {
    enum snapshot_phase phase;
    uint64_t bytes_since;           /* of records behind the newest snapshot */
    uint64_t looked_bytes, look_ns; /* what they were when it was last asked whether one is due;
                                       when that is asked again though nothing came */
    uint64_t interval_ns;           /* when the interval began; 0: not yet */
    uint64_t due_ns;                /* not again before */
    uint64_t refused_n, written_n;
    int64_t offset;     /* of the newest that is whole; -1: none */
    int64_t offset_new; /* of the one under way */
    char name[64], name_new[64];
    uint8_t *bytes; /* of the one under way. Heap */
    uint64_t bytes_n, bytes_max;
    struct side_file file;
    struct start_move move;
};

/* Begins one when it is time and nothing is under way. Returns how much was done. */
int snapshot_work(struct control *control);
/* The whole file into snapshot->bytes. E_UNSUPPORTED: the log holds what this program does not
 * keep, so it must stay as it is. */
nodiscard int snapshot_build(struct control *control);

#endif
