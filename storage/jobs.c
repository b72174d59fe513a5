/*
 * jobs.c - what a store asks of the helpers for its logs, and what it does with their answers.
 *
 * Owner: home. At most JOBS_MAX jobs are under way; who finds none free stays on its list and asks
 * in a later turn. The files helper does jobs in the order in which they were sent: a directory
 * renamed away is out of the way of a new log of the same name.
 *
 * Sealing a rolled segment whose bytes are written, one log's segments in order:
 *   .index, .timeindex, .txnindex (when it has aborted transactions): whole files, by tmp, rename;
 *   then JOB_SEAL: fsync of the .log, producer snapshot as of its end.
 * A job that failed fails its log: what is on the disk is not known. One that failed for want of
 * space left what was there before, and is asked for again (full.c).
 *
 * A dropped log: operations and jobs under way end, its directory is renamed (JOB_DROP), and after
 * file.delete.delay.ms removed (JOB_PURGE).
 */
#include <stdio.h>
#include <stdlib.h>

#include "plog.h"

enum seal_step { SEAL_INDEX, SEAL_TIME_INDEX, SEAL_TXN_INDEX, SEAL_LOG };

struct job *store_job_take(struct store *store, struct plog *log, uint8_t kind)
{
    struct list *l = list_pop(&store->jobs_free);
    if (l == NULL)
        return NULL;
    struct job *job = container_of(l, struct job, mail.link);
    memset(job, 0, offsetof(struct job, segments));
    list_init(&job->mail.link);
    job->kind = kind;
    job->fd = job->index_fd = job->time_fd = -1;
    job->segments_n = 0;
    if (log != NULL) {
        job->topic_id = log->id.topic_id;
        log_directory_path(job->directory, store->config.directory, log->id.topic,
                           log->id.partition);
    }
    return job;
}

void store_job_send(struct store *store, struct job *job, void (*done)(struct job *, struct now),
                    void *subject)
{
    bool is_bulk = job->kind == JOB_TIME_QUERY || job->kind == JOB_COMPACT ||
                   job->kind == JOB_REPACK || job->kind == JOB_MOVE;
    job->done = done;
    job->subject = subject;
    store->jobs_n++;
    mail_send(store->post, is_bulk ? store->bulk_thread : store->files_thread,
              is_bulk ? MAIL_BULK : MAIL_FILE, &job->mail);
}

static void job_data_free(struct job *job)
{
    if (job->owns_data)
        free((void *)(uintptr_t)job->data.ptr);
    job->owns_data = false;
}

void store_job_give(struct store *store, struct job *job)
{
    job->done = NULL;
    job_data_free(job);
    list_push(&store->jobs_free, &job->mail.link);
}

static bool is_own_job(const struct store *store, const struct job *job)
{
    return job >= store->jobs && job < store->jobs + JOBS_MAX;
}

void store_mail(struct store *store, struct mail *mail, struct now now)
{
    store_own(store);
    struct job *job = container_of(mail, struct job, mail);
    const struct store *asked = store;
    while (!is_own_job(store, job)) {
        store = store->next;
        check(store != asked);
    }
    store_own(store);
    check(mail->is_answer && store->jobs_n > 0);
    store->now = now;
    store->jobs_n--;
    job->done(job, now);
}

/* ── the epochs' file ── */

/* One at a time, and only when nobody waits for a descriptor: after a restart every log writes this
 * file once, and first appends must not queue behind a thousand of them. */

void plog_mark_epochs(struct plog *log)
{
    log->has_epochs_to_write = true;
    if (!list_is_linked(&log->epochs_link) && !log->has_epochs_job)
        list_append(&log->store->epochs_behind, &log->epochs_link);
}

static void epochs_written(struct job *job, struct now now)
{
    struct plog *log = job->subject;
    int error = job->error;
    store_job_give(log->store, job);
    log->jobs_n--;
    log->has_epochs_job = log->store->has_epochs_job = false;
    if (error == E_DISK_FULL) {
        log->has_epochs_to_write = true;
        plog_full(log);
    } else if (error != 0) {
        plog_fail(log, now);
    } else {
        plog_full_end(log);
        if (log->has_epochs_to_write)
            plog_mark_epochs(log);
    }
    plog_mark_pending(log);
}

/* False: not now. */
static bool epochs_write(struct plog *log)
{
    char *text = malloc(epochs_text_max(&log->epochs));
    struct job *job = text != NULL ? store_job_take(log->store, log, JOB_WRITE_FILE) : NULL;
    if (job == NULL) {
        free(text);
        return false;
    }
    snprintf(job->name, sizeof job->name, "leader-epoch-checkpoint");
    job->data = bytes_of(text, epochs_text(&log->epochs, text));
    job->owns_data = true;
    log->has_epochs_to_write = false;
    log->has_epochs_job = log->store->has_epochs_job = true;
    log->jobs_n++;
    store_job_send(log->store, job, epochs_written, log);
    return true;
}

void store_epochs_run(struct store *store)
{
    struct list later;
    list_init(&later);
    for (int i = 0; i < STEP_LOGS_MAX && !store->has_epochs_job && list_is_empty(&store->wants);
         i++) {
        struct plog *log = list_first(&store->epochs_behind, struct plog, epochs_link);
        if (log == NULL)
            break;
        list_del(&log->epochs_link);
        enum segment_state first = log->segments[0]->state;
        bool has_directory = first != SEGMENT_NEW && first != SEGMENT_CREATING;
        if (log->state != PLOG_OPEN || !has_directory)
            continue; /* the first file brings it, or comes back (segment_file_done) */
        if (!epochs_write(log))
            list_append(&later, &log->epochs_link);
    }
    list_splice(&store->epochs_behind, &later);
}

void store_jobs_fini(struct store *store)
{
    for (int i = 0; store->jobs != NULL && i < JOBS_MAX; i++)
        job_data_free(&store->jobs[i]);
}

/* ── sealing ── */

static void seal_end(struct plog *log, struct segment *segment, struct now now)
{
    segment->state = SEGMENT_SEALED;
    segment->durable_pos = segment->end_pos;
    index_clear(&segment->time_index);
    segment_index_used(segment);
    free(segment->snapshot);
    segment->snapshot = NULL;
    log->sealed_n++;
    if (log->durable.offset < segment->end.offset)
        log->durable = segment->end; /* all before it are sealed too */
    if (log->settled.offset < segment->end.offset)
        log->settled = segment->end;
    plog_marks_moved(log, now);
}

static void seal_job_done(struct job *job, struct now now)
{
    struct segment *segment = job->subject;
    struct plog *log = segment->log;
    int error = job->error;
    store_job_give(log->store, job);
    log->jobs_n--;
    segment->io_n--;
    free(segment->file);
    segment->file = NULL;
    if (error == E_DISK_FULL)
        plog_full(log); /* the same step again when space returns */
    else if (log->state == PLOG_OPEN && error != 0)
        plog_fail(log, now);
    else if (log->state == PLOG_OPEN && segment->seal_step++ == SEAL_LOG)
        seal_end(log, segment, now);
    if (error == 0)
        plog_full_end(log);
    if (error != E_DISK_FULL || log->state != PLOG_OPEN)
        plog_mark_pending(log);
    segment_fd_idle(segment);
    segment_put(segment);
}

static void seal_file(struct job *job, const struct segment *segment, const char *suffix,
                      const void *v, uint32_t n)
{
    snprintf(job->name, sizeof job->name, "%020lld%s", (long long)segment->base_offset, suffix);
    job->data = bytes_of(v, n);
}

/* Fills the job of the segment's next step. False: the step has nothing to do. */
static bool seal_job(struct plog *log, struct segment *segment, struct job *job)
{
    uint32_t bytes;
    switch ((enum seal_step)segment->seal_step) {
    case SEAL_INDEX:
        seal_file(job, segment, ".index", segment->index.v, segment->index.n * INDEX_ENTRY);
        return true;
    case SEAL_TIME_INDEX:
        seal_file(job, segment, ".timeindex", segment->time_index.v,
                  segment->time_index.n * TIME_INDEX_ENTRY);
        return true;
    case SEAL_TXN_INDEX:
        bytes = aborted_encode(&log->aborted, segment->base_offset, segment->end.offset, NULL);
        segment->file = bytes > 0 ? malloc(bytes) : NULL;
        if (segment->file == NULL)
            return false; /* none, or no memory: a reader of this segment after a restart rebuilds
                             it */
        aborted_encode(&log->aborted, segment->base_offset, segment->end.offset, segment->file);
        seal_file(job, segment, ".txnindex", segment->file, bytes);
        return true;
    case SEAL_LOG: break;
    }
    job->kind = JOB_SEAL;
    job->base_offset = segment->base_offset;
    job->bytes = segment->end_pos;
    job->index_bytes = (uint64_t)segment->index.n * INDEX_ENTRY;
    job->time_index_bytes = (uint64_t)segment->time_index.n * TIME_INDEX_ENTRY;
    job->fd = segment->fd;
    if (segment->snapshot != NULL) {
        snprintf(job->name, sizeof job->name, "%020lld.snapshot", (long long)segment->end.offset);
        job->data = bytes_of(segment->snapshot, segment->snapshot_bytes);
    }
    return true;
}

static bool step_seal(struct plog *log)
{
    struct segment *segment = log->segments[log->sealed_n];
    if (!segment->is_rolled || segment->written_pos < segment->end_pos || segment->io_n > 0)
        return true; /* comes back when that has changed */
    check(segment->state == SEGMENT_LIVE || segment->state == SEGMENT_SEALING);
    if (!segment_open(segment))
        return true;
    struct job *job = store_job_take(log->store, log, JOB_WRITE_FILE);
    if (job == NULL)
        return false;
    while (!seal_job(log, segment, job))
        segment->seal_step++;
    segment->state = SEGMENT_SEALING;
    segment->io_n++; /* its descriptor is in use */
    segment_get(segment);
    log->jobs_n++;
    store_job_send(log->store, job, seal_job_done, segment);
    return true;
}

bool plog_step(struct plog *log, struct now now)
{
    (void)now;
    if (log->state != PLOG_OPEN)
        return true;
    return start_step(log) && step_seal(log);
}

/* ── dropping ── */

static void drop_renamed(struct job *job, struct now now)
{
    struct plog *log = job->subject;
    log->drop_step = DROP_WAITING;
    if (job->error != 0 ||
        job->name[0] == '\0') /* nothing there, or left to the next start's sweep */
        log->drop_step = DROP_DONE;
    log->drop_ns = now.ns + (uint64_t)log->config.file_delete_delay_ms * NS_PER_MS;
    snprintf(log->drop_name, sizeof log->drop_name, "%s", job->name);
    store_job_give(log->store, job);
    log->jobs_n--;
    plog_mark_pending(log);
}

static void drop_purged(struct job *job, struct now now)
{
    struct plog *log = job->subject;
    (void)now; /* an error leaves files that the next start sweeps */
    log->drop_step = DROP_DONE;
    store_job_give(log->store, job);
    log->jobs_n--;
    plog_mark_pending(log);
}

static bool drop_rename(struct plog *log)
{
    struct store *store = log->store;
    struct job *job = store_job_take(store, log, JOB_DROP);
    if (job == NULL)
        return false;
    log->drop_step = DROP_RENAMING;
    log->jobs_n++;
    store->drops_waiting_n--;
    store_job_send(store, job, drop_renamed, log);
    return true;
}

static bool drop_purge(struct plog *log)
{
    struct store *store = log->store;
    struct job *job = store_job_take(store, log, JOB_PURGE);
    if (job == NULL)
        return false;
    int n = snprintf(job->directory, sizeof job->directory, "%s/%s", store->config.directory,
                     log->drop_name);
    check(n > 0 && n < (int)sizeof job->directory);
    log->drop_step = DROP_PURGING;
    log->jobs_n++;
    store_job_send(store, job, drop_purged, log);
    return true;
}

static void drop_segments(struct plog *log)
{
    while (log->segments_n > 0) {
        struct segment *segment = log->segments[0];
        segment_get(segment);
        segment_detach_first(log);
        segment_fd_idle(segment);
        segment_put(segment);
    }
}

bool plog_drop_step(struct plog *log, struct now now)
{
    if (log->drop_step == DROP_RENAME)
        return drop_rename(log);
    if (log->drop_step == DROP_RENAMING || log->drop_step == DROP_PURGING)
        return true;
    if (log->write != NULL || log->syncs_n > 0 || log->jobs_n > 0)
        return true;
    drop_segments(log);
    if (log->drop_step == DROP_WAITING && now.ns >= log->drop_ns)
        return drop_purge(log);
    if (log->drop_step == DROP_DONE) {
        if (list_is_linked(&log->link))
            list_del(&log->link);
        plog_free(log);
    }
    return true; /* store_tick asks again when the delay is over */
}
