/*
 * repack_home.c - which batches go by bulk, and what is kept of them meanwhile.
 *
 * Owner: home.
 *
 * Due are batches of clients whose codec is not the topic's, and with storage.validate.compressed
 * all compressed ones. Where no place or no room is left the append waits (E_AGAIN), like one that
 * finds the tail full; it is asked for again each turn, and the answer of an earlier one wakes the
 * thread.
 */
#include "repack.h"

#include <stdio.h>
#include <stdlib.h>

int repacks_init(struct store *store)
{
    store->repacks = calloc(REPACKS_MAX, sizeof *store->repacks);
    if (store->repacks == NULL)
        return E_NO_MEMORY;
    for (int i = 0; i < REPACKS_MAX; i++) {
        store->repacks[i].store = store;
        list_append(&store->repacks_free, &store->repacks[i].link);
    }
    return 0;
}

/* What bulk took from the heap goes back from home: a trip for that alone would cost more. */
static void repack_free(struct repack *repack)
{
    free((void *)(uintptr_t)repack->packed.ptr);
    repack->packed.ptr = NULL;
}

void repacks_fini(struct store *store)
{
    for (int i = 0; store->repacks != NULL && i < REPACKS_MAX; i++)
        repack_free(&store->repacks[i]);
    free(store->repacks);
}

static void repack_back(struct job *job, struct now now)
{
    struct repack *repack = job->subject;
    struct store_stats *stats = &repack->store->stats;
    (void)now;
    store_job_give(repack->store, job);
    repack->is_done = true;
    stats->repacks++;
    stats->repacks_refused += repack->error != 0;
    if (repack->packed.ptr == NULL)
        return;
    stats->repack_from_bytes += repack->batch.bytes;
    stats->repack_to_bytes += repack->packed.n;
}

int repack_begin(struct plog *log, struct append *append, const struct batch *b, int64_t wall_ms)
{
    struct store *store = log->store;
    uint64_t bytes = log->config.max_message_bytes;
    append->wants_bulk = true;
    if (store->repack_bytes > 0 && store->repack_bytes + bytes > REPACK_BYTES_MAX)
        return E_AGAIN;
    struct repack *repack = list_first(&store->repacks_free, struct repack, link);
    struct job *job = repack == NULL ? NULL : store_job_take(store, NULL, JOB_REPACK);
    if (job == NULL)
        return E_AGAIN;
    list_del(&repack->link);
    *repack = (struct repack){.store = store,
                              .reserved_bytes = bytes,
                              .batch = *b,
                              .from = append->from,
                              .at = append->at,
                              .config = log->config,
                              .wall_ms = wall_ms,
                              .id = log->id,
                              .bad_record_at = -1};
    list_init(&repack->link);
    check(log->id.topic.n <= REPACK_TOPIC_MAX);
    memcpy(repack->topic, log->id.topic.ptr, log->id.topic.n);
    repack->id.topic.ptr = (const uint8_t *)repack->topic; /* the log may be gone before */
    store->repack_bytes += bytes;
    append->repack = job->repack = repack;
    store_job_send(store, job, repack_back, repack);
    return E_AGAIN;
}

bool repack_is_done(const struct repack *repack)
{
    return repack->is_done;
}

int repack_verdict(const struct repack *repack, struct append *append)
{
    check(repack->is_done);
    append->bad_record_at = repack->bad_record_at;
    memcpy(append->reason, repack->reason, sizeof append->reason);
    return repack->error;
}

void repack_end(struct repack *repack)
{
    struct store *store = repack->store;
    store_own(store);
    check(repack->is_done && store->repack_bytes >= repack->reserved_bytes);
    repack_free(repack);
    store->repack_bytes -= repack->reserved_bytes;
    list_append(&store->repacks_free, &repack->link);
}
