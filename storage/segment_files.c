/*
 * segment_files.c - files and descriptors of segments: made and opened when needed, closed when too
 * many are open.
 *
 * Owner: home. A segment holds at most one descriptor of its .log, and one with O_DIRECT while it
 * gets long runs (raw.c), closed with the other: indexes are written as whole files when the
 * segment is sealed.
 *
 * Descriptors in use (io_n > 0) and those of files with unflushed bytes of a STORE_GROUP log stay
 * open; of the others the least recently used are closed when there are more than open_files_max,
 * and all that nobody used for open_idle_ns: a log that rests holds no descriptor.
 */
#include <stdio.h>
#include <stdlib.h>

#include "journal.h"

enum { DELETES_PER_RUN_MAX = 64, CLOSES_PER_RUN_MAX = 64 };

/* ── descriptors ── */

void segment_fd_set(struct segment *segment, int fd)
{
    struct store *store = segment->store;
    check(segment->fd < 0 && fd >= 0);
    segment->fd = fd;
    segment->used_ns = store->now.ns;
    list_append(&store->open_files, &segment->open_link);
    store->stats.files_open_n++;
}

static void close_finish(struct store_op *op, struct now now);

static void close_submit(struct segment *segment, int *fd)
{
    struct store *store = segment->store;
    store->stats.files_open_n--;
    store_op_init(&segment->op, IO_CLOSE);
    segment->op.op.fd = *fd;
    *fd = -1;
    store_op_submit(store, &segment->op, close_finish);
}

static void close_finish(struct store_op *op, struct now now)
{
    struct segment *segment = container_of(op, struct segment, op);
    (void)now; /* whatever the kernel says about a close, the descriptor is gone */
    if (segment->raw_fd >= 0) {
        close_submit(segment, &segment->raw_fd);
        return;
    }
    segment->is_closing = false;
    segment->store->closes_n--;
    if (!list_is_empty(&segment->waits))
        (void)segment_open(segment);
    segment_put(segment);
}

static void segment_fd_close(struct segment *segment)
{
    struct store *store = segment->store;
    check(segment->io_n == 0 && segment->fd >= 0);
    list_del(&segment->open_link);
    segment->is_closing = true;
    store->closes_n++;
    segment_get(segment);
    close_submit(segment, &segment->fd);
}

void segment_fd_idle(struct segment *segment)
{
    if (segment->state == SEGMENT_GONE && segment->fd >= 0 && segment->io_n == 0 &&
        list_is_empty(&segment->waits))
        segment_fd_close(segment);
}

static bool segment_may_close(const struct segment *segment)
{
    const struct plog *log = segment->log;
    if (segment->io_n > 0)
        return false;
    if (log == NULL || log->state != PLOG_OPEN)
        return true;
    if (log->is_logged) /* a sync of everything needs no descriptor; another opens it again */
        return segment->written_pos == segment->safe_pos &&
               (log->store->journal->has_sync_all || segment->durable_pos == segment->written_pos);
    return plog_is_group(log) ? segment->durable_pos == segment->end_pos
                              : segment->written_pos == segment->end_pos;
}

void segment_files_limit(struct store *store)
{
    int n = 0;
    list_for_each(node, next, &store->open_files) {
        if (store->stats.files_open_n <= store->config.open_files_max || n++ == CLOSES_PER_RUN_MAX)
            return;
        struct segment *segment = list_entry(node, struct segment, open_link);
        if (segment_may_close(segment))
            segment_fd_close(segment);
    }
}

/* The list is in the order of use, so it ends at the first that is young. */
void segment_files_idle(struct store *store, struct now now)
{
    int n = 0;
    list_for_each(node, next, &store->open_files) {
        struct segment *segment = list_entry(node, struct segment, open_link);
        if (store->config.open_idle_ns == 0 || n++ == CLOSES_PER_RUN_MAX ||
            now.ns - segment->used_ns < store->config.open_idle_ns)
            return;
        if (segment_may_close(segment)) {
            segment_fd_close(segment);
            continue;
        }
        segment->used_ns = now.ns; /* it waits for a flush: looked at again later */
        list_del(&segment->open_link);
        list_append(&store->open_files, &segment->open_link);
    }
}

/* ── creating and opening ── */

bool segment_open(struct segment *segment)
{
    struct store *store = segment->store;
    if (segment->fd >= 0) {
        list_del(&segment->open_link);
        list_append(&store->open_files, &segment->open_link);
        segment->used_ns = store->now.ns;
        return true;
    }
    if (!segment->is_opening && !list_is_linked(&segment->want_link)) {
        list_append(&store->wants, &segment->want_link);
        segment_get(segment);
    }
    return false;
}

/* Who waited for the descriptor goes on, or hears why not. */
static void segment_opened(struct segment *segment, int error, struct now now)
{
    struct plog *log = segment->log;
    if (log != NULL && error == 0) {
        plog_full_end(log);
        if (segment->written_pos < segment->end_pos)
            plog_mark_dirty(log);
        if (log->wants_sync)
            plog_mark_unsynced(log);
        plog_mark_pending(log);
    } else if (log != NULL) {
        if (error == E_DISK_FULL && segment->state == SEGMENT_NEW)
            plog_full(log);
        else if (segment->state != SEGMENT_SEALED) /* a sealed one only fails its readers */
            plog_fail(log, now);
        plog_mark_pending(log);
    }
    reads_run(&segment->waits, error == 0 ? 0 : E_STORAGE, now);
    segment_fd_idle(segment);
}

static void segment_file_done(struct job *job, struct now now)
{
    struct segment *segment = job->subject;
    struct store *store = segment->store;
    int error = job->error;
    segment->is_opening = false;
    if (segment->log != NULL)
        segment->log->jobs_n--;
    if (segment->state == SEGMENT_CREATING)
        segment->state = error == 0 ? SEGMENT_LIVE : SEGMENT_NEW;
    if (error == 0)
        segment_fd_set(segment, job->fd);
    if (segment->log != NULL && segment->log->state == PLOG_OPEN &&
        (error != 0 ? job->owns_data : segment->log->has_epochs_to_write))
        plog_mark_epochs(segment->log);
    store_job_give(store, job);
    segment_opened(segment, error, now);
    segment_put(segment);
}

/* The first segment of a log without files brings the directory, and what is known of epochs. */
static void segment_first_ask(struct plog *log, struct job *job)
{
    char *text = malloc(epochs_text_max(&log->epochs));
    job->is_first = log->may_have_directory = true;
    if (text == NULL)
        return; /* has_epochs_to_write stays */
    job->data = bytes_of(text, epochs_text(&log->epochs, text));
    job->owns_data = true;
    log->has_epochs_to_write = false;
    if (list_is_linked(&log->epochs_link))
        list_del(&log->epochs_link);
}

static void segment_file_ask(struct segment *segment, struct job *job)
{
    struct store *store = segment->store;
    job->base_offset = segment->base_offset;
    if (job->kind == JOB_SEGMENT_CREATE) {
        job->preallocate = segment->log->config.preallocate;
        job->bytes = segment->log->config.segment_bytes;
        if (segment == segment->log->segments[0])
            segment_first_ask(segment->log, job);
        segment->state = SEGMENT_CREATING;
    } else {
        snprintf(job->name, sizeof job->name, "%020lld.log", (long long)segment->base_offset);
        job->how = DISK_WRITE;
    }
    segment->is_opening = true;
    if (segment->log != NULL)
        segment->log->jobs_n++;
    segment_get(segment);
    store_job_send(store, job, segment_file_done, segment);
}

void segment_wants_run(struct store *store)
{
    struct segment *segment;
    struct list later;
    list_init(&later);
    while ((segment = list_first(&store->wants, struct segment, want_link)) != NULL) {
        bool is_new = segment->state == SEGMENT_NEW;
        bool is_usable = segment->log != NULL && segment->log->state != PLOG_CLOSED;
        bool is_blocked =
            segment->is_closing || segment->is_swapping || (is_new && store->drops_waiting_n > 0);
        struct job *job = NULL;
        if (is_usable && !is_blocked) {
            job = store_job_take(store, segment->log, is_new ? JOB_SEGMENT_CREATE : JOB_OPEN);
            if (job == NULL)
                break;
        }
        list_del(&segment->want_link);
        if (is_usable && is_blocked) {
            list_append(&later, &segment->want_link);
            continue;
        }
        if (job != NULL)
            segment_file_ask(segment, job);
        else
            reads_run(&segment->waits, E_OFFSET_RANGE, store->now);
        segment_put(segment);
    }
    list_splice(&store->wants, &later);
    segment_files_limit(store);
}

/* ── deleting ── */

static void delete_end(struct segment *segment)
{
    list_del(&segment->delete_link);
    segment->delete_log = NULL;
    segment_put(segment);
}

static void delete_job_done(struct job *job, struct now now)
{
    struct segment *segment = job->subject;
    struct store *store = segment->store;
    int error = job->error;
    struct plog *log = segment->delete_log;
    store_job_give(store, job);
    log->jobs_n--;
    plog_mark_pending(log); /* a drop waits for this */
    if (error != 0 || segment->delete_step == DELETE_UNLINKING || log->state == PLOG_CLOSED) {
        delete_end(segment); /* errors: the next start removes what is left */
        return;
    }
    segment->delete_step = DELETE_WAITING;
    segment->delete_ns = now.ns + (uint64_t)log->config.file_delete_delay_ms * NS_PER_MS;
}

static bool segment_delete_step(struct segment *segment, struct now now)
{
    struct store *store = segment->store;
    if (segment->delete_step == DELETE_RENAMING || segment->delete_step == DELETE_UNLINKING)
        return true;
    if (segment->delete_step == DELETE_WAITING && now.ns < segment->delete_ns)
        return true;
    struct job *job = store_job_take(store, segment->delete_log, JOB_UNLINK_SEGMENT);
    if (job == NULL)
        return false;
    job->base_offset = segment->base_offset;
    job->how = segment->delete_step == DELETE_RENAME ? JOB_UNLINK_RENAME : JOB_UNLINK_FINISH;
    segment->delete_step++;
    segment->delete_log->jobs_n++;
    store_job_send(store, job, delete_job_done, segment);
    return true;
}

void segment_delete(struct plog *log, struct segment *segment, struct now now)
{
    check(segment->state == SEGMENT_GONE && segment->io_n == 0);
    segment_get(segment);
    segment->delete_log = log;
    segment->delete_step = DELETE_RENAME;
    list_append(&log->store->deleting, &segment->delete_link);
    segment_fd_idle(segment);
    (void)segment_delete_step(segment, now);
}

void segment_delete_forget(struct store *store, const struct plog *log)
{
    list_for_each(node, next, &store->deleting) {
        struct segment *segment = list_entry(node, struct segment, delete_link);
        if (segment->delete_log != log)
            continue;
        if (segment->delete_step == DELETE_RENAME || segment->delete_step == DELETE_WAITING)
            delete_end(segment);
    }
}

void segment_deletes_run(struct store *store, struct now now)
{
    int n = 0;
    list_for_each(node, next, &store->deleting) {
        struct segment *segment = list_entry(node, struct segment, delete_link);
        if (n++ == DELETES_PER_RUN_MAX || !segment_delete_step(segment, now))
            return;
    }
}
