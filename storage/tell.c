/*
 * tell.c - what is told about a store and its logs: producers, sizes, the room of the disk.
 *
 * Owner: home. The room is asked by the files helper, because a file system may take its time.
 */
#include <stdio.h>

#include "plog.h"

uint32_t plog_producers(const struct plog *log, struct producer_state *to, uint32_t max)
{
    own(log->store->owner);
    return producers_list(&log->producers, to, max);
}

uint64_t plog_bytes(const struct plog *log)
{
    own(log->store->owner);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < log->segments_n; i++)
        bytes += log->segments[i]->end_pos;
    return bytes;
}

const char *store_directory(const struct store *store)
{
    return store->config.directory;
}

uint8_t plog_dir(const struct plog *log)
{
    return log->store->config.dir;
}

/* A job without a log: what it needs of its store stands in `directory`. */
static void space_done(struct job *job, struct now now)
{
    struct space_query *query = job->subject;
    query->total_bytes = job->error == 0 ? (int64_t)min_u64(job->bytes, INT64_MAX) : -1;
    query->usable_bytes = job->error == 0 ? (int64_t)min_u64(job->index_bytes, INT64_MAX) : -1;
    store_job_give(job->store, job);
    query->done(query, now);
}

int store_space(struct store *store, struct space_query *query)
{
    store_own(store);
    query->total_bytes = query->usable_bytes = -1;
    struct job *job = store_job_take(store, NULL, JOB_SPACE);
    if (job == NULL)
        return 0;
    snprintf(job->directory, sizeof job->directory, "%s", store->config.directory);
    job->store = store;
    job->how = JOB_SPACE_LOOKS;
    store_job_send(store, job, space_done, query);
    return E_AGAIN;
}
