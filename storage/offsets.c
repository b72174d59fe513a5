/*
 * offsets.c - the offsets of a store's logs on their way into the checkpoint files: all of them at
 * boot and stop, those that moved while the broker runs.
 *
 * Owner: home (store_checkpoint_*: main at boot and stop).
 *
 * While running: a log whose recovery point, high watermark or start moved stands once in
 * store.moved. When an interval is over, the logs of that list go to the files helper as rows, at
 * most CHECKPOINT_ROWS_MAX per job; the last job says which files are to be written. The helper
 * keeps one table for all stores and forgets a partition when its directory is dropped
 * (checkpoint_job.c), in the order in which both were sent, so a row never outlives its log.
 *
 * The recovery point is due earlier when recovery_bytes_max were flushed since it was last written,
 * so that what a crash makes the next start scan is bounded by bytes, not by time.
 */
#include <stdlib.h>

#include "checkpoint.h"
#include "plog.h"

enum { POINT_NS_MIN = NS_PER_S };

/* ── one log ── */

/* Below it all bytes are on the device, and the indexes of all segments that end at or below it: it
 * stays inside the first segment that is rolled and not yet sealed. */
static int64_t recovery_point(const struct plog *log)
{
    if (log->store->is_closed || log->sealed_n + 1 >= log->segments_n)
        return log->settled.offset;
    return min_i64(log->settled.offset, log->segments[log->sealed_n]->end.offset - 1);
}

/* -1: none. False: it has no files, so nothing is said about it. */
static bool log_offsets(const struct plog *log, int64_t offsets[CHECKPOINTS_N])
{
    enum segment_state first = log->segments[0]->state;
    if (first == SEGMENT_NEW || first == SEGMENT_CREATING)
        return false;
    offsets[CHECKPOINT_RECOVERY_POINT] = recovery_point(log);
    offsets[CHECKPOINT_HIGH] = log->high.offset;
    offsets[CHECKPOINT_LOG_START] = log->start > log->segments[0]->base_offset ? log->start : -1;
    offsets[CHECKPOINT_CLEANER] = log->cleaner_offset;
    return true;
}

/* ── all logs ── */

int store_checkpoints_fill(struct store *store, struct checkpoints *checkpoints)
{
    int rc = store->closed != NULL ? checkpoints_copy(checkpoints, store->closed) : 0;
    store_own(store);
    list_for_each(node, next, &store->logs) {
        const struct plog *log = list_entry(node, struct plog, link);
        int64_t offsets[CHECKPOINTS_N];
        if (rc == 0 && log_offsets(log, offsets))
            rc = checkpoint_set_all(checkpoints, log->id.topic, log->id.partition, offsets);
    }
    return rc;
}

int store_checkpoint_keep(struct store *store, const struct log_id *id)
{
    if (store->closed == NULL)
        store->closed = checkpoints_new();
    return store->closed == NULL
               ? E_NO_MEMORY
               : checkpoint_copy(store->closed, store->checkpoints, id->topic, id->partition);
}

/* ── while running ── */

void plog_mark_moved(struct plog *log)
{
    if (!list_is_linked(&log->moved_link) && log->state == PLOG_OPEN)
        list_append(&log->store->moved, &log->moved_link);
}

static void checkpoint_done(struct job *job, struct now now)
{
    struct store *store = job->subject;
    (void)now; /* an error costs time at the next start; it is due again after its interval */
    store->stats.checkpoint_errors += job->error != 0;
    store->has_checkpoint_job = false;
    store_job_give(store, job);
}

static uint32_t rows_take(struct store *store, struct checkpoint_row *rows)
{
    uint32_t n = 0;
    while (n < CHECKPOINT_ROWS_MAX) {
        struct plog *log = list_first(&store->moved, struct plog, moved_link);
        if (log == NULL)
            break;
        list_del(&log->moved_link);
        if (!log_offsets(log, rows[n].offsets))
            continue; /* its creation ends with a move */
        check(log->id.topic.n <= CHECKPOINT_TOPIC_MAX);
        memcpy(rows[n].topic, log->id.topic.ptr, log->id.topic.n);
        rows[n].topic_n = (uint8_t)log->id.topic.n;
        rows[n].partition = log->id.partition;
        n++;
    }
    return n;
}

static void checkpoint_send(struct store *store)
{
    struct checkpoint_row *rows = malloc(CHECKPOINT_ROWS_MAX * sizeof *rows);
    struct job *job = rows != NULL ? store_job_take(store, NULL, JOB_CHECKPOINT) : NULL;
    if (job == NULL) {
        free(rows);
        return; /* in a later turn */
    }
    job->data = bytes_of(rows, rows_take(store, rows) * sizeof *rows);
    job->owns_data = true;
    memcpy(job->directory, store->config.directory, sizeof job->directory);
    if (list_is_empty(&store->moved)) {
        job->how = (int)store->checkpoints_due;
        store->checkpoints_due = 0;
    }
    store->has_checkpoint_job = true;
    store_job_send(store, job, checkpoint_done, store);
}

/* One more interval of this kind is over: the file is due. */
static void interval_look(struct store *store, enum checkpoint_kind kind, uint64_t interval_ns,
                          struct now now)
{
    if (interval_ns == 0)
        return;
    if (store->checkpoint_at_ns[kind] == 0)
        store->checkpoint_at_ns[kind] = now.ns + interval_ns;
    if (now.ns < store->checkpoint_at_ns[kind])
        return;
    store->checkpoint_at_ns[kind] = now.ns + interval_ns;
    store->checkpoints_due |= 1u << kind;
    if (kind == CHECKPOINT_RECOVERY_POINT) {
        store->checkpoint_bytes = store->stats.write_bytes;
        store->checkpoint_ns = now.ns;
    }
}

void store_checkpoint_tick(struct store *store, struct now now)
{
    const struct store_config *c = &store->config;
    bool is_much = store->stats.write_bytes - store->checkpoint_bytes >= c->recovery_bytes_max &&
                   now.ns - store->checkpoint_ns >= POINT_NS_MIN;
    if (is_much && c->recovery_point_ns > 0)
        store->checkpoint_at_ns[CHECKPOINT_RECOVERY_POINT] = now.ns;
    interval_look(store, CHECKPOINT_RECOVERY_POINT, c->recovery_point_ns, now);
    interval_look(store, CHECKPOINT_LOG_START, c->log_start_ns, now);
    interval_look(store, CHECKPOINT_HIGH, c->high_ns, now);
    if (store->checkpoints_due != 0 && !store->has_checkpoint_job &&
        (!list_is_empty(&store->moved) || is_much))
        checkpoint_send(store);
}
