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

enum { SNAPSHOT_STEPS_PER_TURN = 512 }; /* a record, or a topic or resource passed */

enum snapshot_phase {
    SNAPSHOT_NONE,
    SNAPSHOT_BUILDING,
    SNAPSHOT_WRITING,
    SNAPSHOT_MOVING,
    SNAPSHOT_UNLINKING
};

/* How far a file under construction is. Owner: control. */
struct snapshot_build {
    enum snapshot_part {
        BUILD_FEATURES,
        BUILD_NODE,
        BUILD_RESOURCES,
        BUILD_TOPICS,
        BUILD_PRODUCER_IDS,
        BUILD_DONE
    } part;
    uint32_t at;       /* of the part: the feature, resource or topic */
    bool is_within;    /* the topic's own record is written */
    int32_t partition; /* of the topic, the next */
    uint32_t setting;  /* of the resource or topic, the next */
    int64_t offset;    /* of the next batch in the file */
    int error;
};

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
    struct snapshot_build build;
    uint8_t *bytes; /* of the one under way. Heap */
    uint64_t bytes_n, bytes_max;
    struct side_file file;
    struct start_move move;
};

/* Begins one when it is time and nothing is under way, or goes on building. Returns how much was
 * done. */
int snapshot_work(struct control *control);
/* The state must stand still: no record is appended and no round begins. */
static inline bool snapshot_is_building(const struct snapshot *snapshot)
{
    return snapshot->phase == SNAPSHOT_BUILDING;
}

#endif
