/*
 * full.c - a full disk: a state that ends by itself.
 *
 * Owner: home.
 *
 * A write or a new file that failed for want of space has changed nothing that was acknowledged:
 * the bytes are still in tail pages. Its log is *full*: it takes no more appends of clients, reads
 * go on, and what failed is tried again each time the space was looked at, until it succeeds.
 * Appends of our own (offsets, metadata) are still taken, into the tail; few as they are, they find
 * room in what deleting gives back. A flush that failed is another thing, whatever its reason: that
 * log fails for good (flush.c).
 *
 * An idempotent producer may have two batches under way. If its very first one was refused, and
 * there is space when the second arrives, taking that one would make the first out of order for
 * ever (a producer that is not known may begin anywhere). So for a minute after a refusal a
 * producer begins with sequence 0, or is told to try again.
 *
 * The space is looked at by the files helper once a second; what a store appended since then counts
 * as gone. With less than min_free_bytes appends of clients are refused in all logs of the store,
 * so that there is room left for what keeps a broker going, and for whoever cleans up. A log that
 * is full has the reserve file released (reserve.c); its room is not for clients.
 */
#include <stdio.h>

#include "plog.h"

enum { SPACE_NS = NS_PER_S };
#define FIRST_BATCH_NS (60 * NS_PER_S)

void plog_full(struct plog *log)
{
    if (log->is_full || log->state != PLOG_OPEN)
        return;
    log->is_full = true;
    list_append(&log->store->full, &log->full_link);
    log->store->space_at_ns = 0; /* looked at with the next tick: the reserve is released */
    log->store->stats.logs_full_n++;
}

void plog_full_forget(struct plog *log)
{
    if (!log->is_full)
        return;
    log->is_full = false;
    list_del(&log->full_link);
    log->store->stats.logs_full_n--;
}

void plog_full_end(struct plog *log)
{
    if (!log->is_full)
        return;
    plog_full_forget(log);
    plog_mark_dirty(log); /* something else of it may still wait */
    plog_mark_pending(log);
    if (log->has_epochs_to_write)
        plog_mark_epochs(log);
}

/* What did not succeed is asked for again. */
static void full_retry(struct store *store)
{
    list_for_each(node, next, &store->full) {
        struct plog *log = list_entry(node, struct plog, full_link);
        bool has_work = log->charged_bytes > 0 || log->written.bytes < log->end.bytes ||
                        log->sealed_n + 1 < log->segments_n || log->has_epochs_to_write ||
                        log->has_epochs_job || !list_is_empty(&log->start_moves);
        if (!has_work) {
            plog_full_end(log);
            continue;
        }
        plog_mark_dirty(log);
        plog_mark_pending(log);
        if (log->has_epochs_to_write)
            plog_mark_epochs(log);
    }
}

/* What was appended since the space was looked at counts as gone, and so does what stood in the
 * journal or in memory alone then: it has to find room in its segments (journal rule 11). */
static bool space_is_low(const struct store *store)
{
    uint64_t since = store->stats.appended_bytes - store->space_appended;
    uint64_t gone = since + store->space_tail;
    uint64_t wanted = store->config.min_free_bytes + store->stats.reserve_out;
    return store->is_space_known && wanted > 0 && store->stats.free_bytes < wanted + gone;
}

static void space_known(struct job *job, struct now now)
{
    struct store *store = job->subject;
    (void)now;
    if (job->error == 0) {
        store->stats.free_bytes = job->index_bytes;
        store->stats.reserve_bytes = job->time_index_bytes;
        store->stats.reserve_out = (uint64_t)job->base_offset;
    }
    store->is_space_known |= job->error == 0;
    store->space_appended = store->space_asked;
    store->space_tail = store->space_tail_asked;
    store->has_space_job = false;
    store_job_give(store, job);
    store->stats.is_low = space_is_low(store);
    full_retry(store);
}

void store_space_tick(struct store *store, struct now now)
{
    store->stats.is_low = space_is_low(store);
    bool is_wanted = store->config.min_free_bytes > 0 || store->config.has_reserve ||
                     !list_is_empty(&store->full);
    if (!is_wanted || store->has_space_job || now.ns < store->space_at_ns)
        return;
    struct job *job = store_job_take(store, NULL, JOB_SPACE);
    if (job == NULL)
        return;
    memcpy(job->directory, store->config.directory, sizeof job->directory);
    job->how = list_is_empty(&store->full) ? JOB_SPACE_LOOKS : JOB_SPACE_WAITS;
    store->space_at_ns = now.ns + SPACE_NS;
    store->has_space_job = true;
    store->space_asked = store->stats.appended_bytes;
    store->space_tail_asked = store->tail_bytes;
    store_job_send(store, job, space_known, store);
}

bool plog_was_full(const struct plog *log)
{
    return log->refused_ns != 0 && log->store->now.ns - log->refused_ns < FIRST_BATCH_NS;
}

int plog_space_judge(const struct plog *log, char *reason, size_t reason_n)
{
    const struct store *store = log->store;
    bool is_low = space_is_low(store);
    if (log->is_full)
        snprintf(reason, reason_n,
                 "The broker's disk is full. Free some space: appends are then taken again.");
    else if (is_low && store->stats.reserve_out > 0)
        snprintf(reason, reason_n,
                 "The broker's disk is full: it lives on its reserve (storage.reserve.bytes), %llu "
                 "MiB are left. Free some space: appends are then taken again.",
                 (unsigned long long)(store->stats.free_bytes >> 20));
    else if (is_low)
        snprintf(reason, reason_n,
                 "The broker's disk has %llu MiB left, less than storage.min.free.bytes (%llu "
                 "MiB). Free some space: appends are then taken again.",
                 (unsigned long long)(store->stats.free_bytes >> 20),
                 (unsigned long long)(store->config.min_free_bytes >> 20));
    return log->is_full || is_low ? E_DISK_FULL : 0;
}
