/*
 * metadata_log.h - the metadata log at boot: read whole into the state, appended to through the
 * synchronous disk.
 *
 * Owner: control, before the threads run.
 */
#ifndef MILLRACE_METADATA_LOG_H
#define MILLRACE_METADATA_LOG_H

#include "disk.h"
#include "state.h"

#define METADATA_TOPIC     "__cluster_metadata"
#define METADATA_DIRECTORY METADATA_TOPIC "-0"

/* Owner: control. */
struct metadata_log {
    struct disk *disk;
    char directory[DISK_PATH_MAX]; /* <log directory>/__cluster_metadata-0 */
    int fd;                        /* of the last segment; -1 = closed */
    uint64_t pos;                  /* its end */
    uint64_t cut_bytes;            /* a torn tail that was cut off */
    uint64_t batches_n;            /* replayed */
    uint64_t replayed_bytes;       /* of these batches */
    int64_t snapshot_offset;       /* that was loaded; -1: none */
    int32_t snapshot_epoch;
    bool is_new; /* nothing was there */
};

/* The topic id of __cluster_metadata (Uuid.METADATA_TOPIC_ID). */
extern const struct uuid metadata_topic_id;

/* Opens or makes the log and replays the newest snapshot and the records behind it into `state`. A
 * tail that is not whole is cut off. E_CORRUPT, E_UNSUPPORTED, E_IO, ... with one line in `why`. */
nodiscard int metadata_log_open(struct metadata_log *log, struct disk *disk, const char *store,
                                struct state *state, char *why, size_t why_n);
/* Appends a finished batch and flushes it. */
nodiscard int metadata_log_append(struct metadata_log *log, const uint8_t *batch, uint64_t n);
void metadata_log_close(struct metadata_log *log);

/* quorum-state: the epoch it holds (0 when there is none), and writing it. `is_dynamic` is its
 * second form. */
nodiscard int quorum_state_read(struct disk *disk, const char *directory, int32_t *epoch,
                                bool *is_dynamic);
nodiscard int quorum_state_write(struct disk *disk, const char *directory, int32_t node_id,
                                 int32_t epoch, bool is_dynamic);

#endif
