/*
 * jobs.h - what home threads ask of the helpers: files (milliseconds) and bulk (long).
 *
 * Owner: the store that made the job; the helper while it has it. A job carries everything it needs by value or
 * in memory that stays untouched until it is back; a helper never sees a struct plog or a struct store.
 */
#ifndef MILLRACE_JOBS_H
#define MILLRACE_JOBS_H

#include "disk.h"
#include "mail.h"
#include "storage.h"

enum job_kind {
    JOB_SEGMENT_CREATE, /* make the partition directory when missing (partition.metadata, leader-epoch-checkpoint),
                           create <base>.log/.index/.timeindex, sync the directory and its parent; out: fd, index_fd,
                           time_fd, opened for reading and writing                                               */
    JOB_OPEN,           /* open `path`; out: fd, file_bytes                                                      */
    JOB_WRITE_FILE,     /* replace dir/name by `data` : tmp, write, fsync, rename, fsync of the directory        */
    JOB_SEAL,           /* a rolled or closing segment: truncate the indexes to their content, fsync .log, .index
                           and .timeindex, write the producer snapshot when data is set                          */
    JOB_DROP,           /* rename the partition directory to "...-delete"                                        */
    JOB_PURGE,          /* unlink everything in a -delete directory and the directory                            */
    JOB_UNLINK_SEGMENT, /* rename <base>.* to .deleted, then (a later job) unlink                                */
    JOB_CLOSE,          /* close fd                                                                              */
    JOB_TIME_QUERY,     /* bulk: search segment files for a timestamp                                            */
};

enum { JOB_SEGMENTS_MAX = 64 };

/* Owner: store; helper while under way. */
struct job {
    struct mail mail;             /* MAIL_FILE or MAIL_BULK */
    uint8_t kind;                 /* enum job_kind          */
    int error;                    /* out                    */
    char directory[DISK_PATH_MAX];/* of the partition       */
    char name[DISK_NAME_MAX + 1]; /* file, or new name      */
    struct uuid topic_id;
    int64_t base_offset;
    uint64_t bytes;               /* truncate to / file size out */
    uint64_t index_bytes, time_index_bytes;
    int fd, index_fd, time_fd;
    int how;                      /* enum disk_open, for JOB_OPEN */
    bool preallocate;
    struct bytes data;            /* file content; stays until the job is back */
    void (*done)(struct job *job, struct now now); /* on the store's thread */
    void *subject;
    /* JOB_TIME_QUERY */
    struct time_query *query;
    struct {
        int64_t base_offset;
        uint64_t bytes;           /* written content of the .log */
        int64_t time_max;         /* largest timestamp, -1 unknown */
    } segments[JOB_SEGMENTS_MAX];
    uint32_t segments_n;
};

/* Paths, always the same: "<directory>/<20 digits>.log" (Kafka LogFileUtils). `to` has DISK_PATH_MAX. */
void segment_path(char *to, const char *directory, int64_t base_offset, const char *suffix);
/* "<store>/<topic>-<partition>". */
void log_directory_path(char *to, const char *store, struct bytes topic, int32_t partition);

#endif
