/*
 * jobs.h - what home threads ask of the helpers: files (milliseconds) and bulk (long).
 *
 * Owner: the store that made the job; the helper while it has it. A job carries everything it needs
 * by value or in memory that stays untouched until it is back; a helper never sees a struct plog or
 * a struct store.
 */
#ifndef MILLRACE_JOBS_H
#define MILLRACE_JOBS_H

#include "disk.h"
#include "mail.h"
#include "storage.h"

/* What each kind reads and writes; fields not named are left alone. A job that failed has left what
 * was there before, or the finished thing: a second attempt is always possible. */
enum job_kind {
    /* Makes <base_offset>.log, empty; with `preallocate` it gets `bytes`. is_first: also the
     * partition's directory, partition.metadata from topic_id, leader-epoch-checkpoint from data
     * (NULL: one without epochs). All names, and partition.metadata, are durable. E_EXISTS: a .log
     * with content has that name. out: fd, open for reading and writing. */
    JOB_SEGMENT_CREATE,
    /* Opens directory/name as `how`. out: fd, bytes. */
    JOB_OPEN,
    /* Replaces directory/name by `data`: tmp, write, fsync, rename, fsync of the directory. */
    JOB_WRITE_FILE,
    /* A rolled or closing segment: cuts .log to `bytes`, .index to index_bytes, .timeindex to
     * time_index_bytes, and syncs them; a descriptor below 0 means: opened by its name for the
     * while. With data.ptr set also replaces directory/name (the producer snapshot) by `data`.
     * Syncs the directory. */
    JOB_SEAL,
    /* Renames `directory` to <parent>/name; an empty name is made: "<topic>-<partition>.<32
     * hex>-delete", and is out. No such directory is no error: name is "" then. */
    JOB_DROP,
    /* Unlinks everything in `directory` (a -delete one) and removes it. No such directory is no
       error. */
    JOB_PURGE,
    /* how = JOB_UNLINK_RENAME: renames the files of segment base_offset to "<file>.deleted";
     * JOB_UNLINK_FINISH: unlinks those. Missing files are no error. */
    JOB_UNLINK_SEGMENT,
    /* Closes fd, index_fd and time_fd where >= 0. */
    JOB_CLOSE,
    /* Unlinks directory/name and syncs the directory. No such file is no error. */
    JOB_UNLINK_FILE,
    /* The room of the disk that holds `directory`; how = JOB_SPACE_WAITS: a log waits for some, so
     * the reserve file is released. out: bytes (all of it), index_bytes (usable), time_index_bytes
     * (of the reserve file, when it is there), base_offset (of the reserve file, when it is not).
     */
    JOB_SPACE,
    /* Offsets of logs for the checkpoint files: `data` is an array of struct checkpoint_row; `how`
     * has bit 1 << kind for each file that is to be written now. */
    JOB_CHECKPOINT,
    /* Zeros from `bytes` to `index_bytes` of fd, durable. */
    JOB_JOURNAL_GROW,
    /* Everything done before on the file system of fd, which no one closes meanwhile, is durable.
     */
    JOB_SYNC_ALL,
    /* Bulk: query->time_ms (or TIME_MAX_TIMESTAMP) in `segments`, in this order, below no offset
     * under base_offset. out: query->offset, timestamp_ms, epoch; -1 when there is none;
     * query->error = error. */
    JOB_TIME_QUERY,
    /* Bulk: one piece of `compact` (compact.h). */
    JOB_COMPACT,
    /* Bulk: `repack` (repack.h). */
    JOB_REPACK,
    /* Bulk, files: one step of `move` (move.h). */
    JOB_MOVE,
    JOB_MOVE_NAMES,
};

enum { JOB_UNLINK_RENAME, JOB_UNLINK_FINISH };
enum { JOB_SPACE_LOOKS, JOB_SPACE_WAITS };

enum { JOB_SEGMENTS_MAX = 64, CHECKPOINT_ROWS_MAX = 256, CHECKPOINT_TOPIC_MAX = 249 };

/* One log of JOB_CHECKPOINT. Owner: the job. */
struct checkpoint_row {
    int64_t offsets[4]; /* by enum checkpoint_kind; -1: none */
    int32_t partition;
    uint8_t topic_n;
    char topic[CHECKPOINT_TOPIC_MAX];
};

/* Owner: store; helper while under way. */
struct job {
    struct mail mail;              /* MAIL_FILE or MAIL_BULK */
    uint8_t kind;                  /* enum job_kind          */
    int error;                     /* out                    */
    char directory[DISK_PATH_MAX]; /* of the partition       */
    char name[DISK_NAME_MAX + 1];  /* file, or new name      */
    struct uuid topic_id;
    int64_t base_offset;
    uint64_t bytes; /* truncate to / file size out */
    uint64_t index_bytes, time_index_bytes;
    int fd, index_fd, time_fd;
    int how;                                       /* enum disk_open, for JOB_OPEN */
    bool preallocate, is_first, owns_data;         /* data is on the heap, freed by the store */
    struct bytes data;                             /* file content; stays until the job is back */
    void (*done)(struct job *job, struct now now); /* on the store's thread */
    void *subject;
    struct compact *compact; /* JOB_COMPACT */
    struct repack *repack;   /* JOB_REPACK */
    struct move_copy *move;  /* JOB_MOVE, JOB_MOVE_NAMES */
    struct store *store;     /* JOB_SPACE: whose job it is, which no subject tells */
    /* JOB_TIME_QUERY */
    struct time_query *query;
    struct {
        int64_t base_offset;
        uint64_t bytes;    /* written content of the .log */
        uint64_t from_pos; /* where the search may begin (from an index in memory); 0: the index
                              files are asked, or everything is read */
        int64_t time_max;  /* largest timestamp, -1 unknown */
    } segments[JOB_SEGMENTS_MAX];
    uint32_t segments_n;
};

/* In a log directory: the rings of the commit journal, journal.h. No partition is called so. */
#define JOURNAL_DIRECTORY "millrace.journal"

/* create.c: a partition's directory with its two text files, not yet flushed; what stands there
 * stays, but for that of another topic. `epochs`: of leader-epoch-checkpoint; NULL: one without
 * epochs. */
nodiscard int partition_make(struct disk *disk, const char *directory, const struct uuid *topic_id,
                             struct bytes epochs);
/* files.c: what the directory `name` of a dropped partition is called; `hex` makes it unique. */
void dropped_name(char to[DISK_NAME_MAX + 1], const char *name, const char *hex);
/* Paths, always the same: "<directory>/<20 digits>.log" (Kafka LogFileUtils). `to` has
 * DISK_PATH_MAX. */
void segment_path(char *to, const char *directory, int64_t base_offset, const char *suffix);
/* "<store>/<topic>-<partition>". */
void log_directory_path(char *to, const char *store, struct bytes topic, int32_t partition);

#endif
