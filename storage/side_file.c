/*
 * side_file.c - files of others in a log's directory (snapshots of the metadata log), and rolling
 * when somebody asks for it.
 *
 * Owner: home. The files helper replaces and unlinks; nothing of a side file is looked at here.
 */
#include <stdio.h>

#include "plog.h"

static void side_file_done(struct job *job, struct now now)
{
    struct side_file *file = job->subject;
    struct plog *log = file->log;
    file->error = job->error;
    store_job_give(log->store, job);
    log->jobs_n--;
    plog_mark_pending(log); /* a drop waits for this */
    file->done(file, now);
}

static int side_file_send(struct plog *log, struct side_file *file, uint8_t kind)
{
    store_own(log->store);
    check(log->magic == PLOG_MAGIC && file->done != NULL);
    struct job *job = store_job_take(log->store, log, kind);
    if (job == NULL)
        return E_NO_MEMORY;
    file->log = log;
    snprintf(job->name, sizeof job->name, "%s", file->name);
    job->data = file->data;
    log->jobs_n++;
    store_job_send(log->store, job, side_file_done, file);
    return 0;
}

int plog_file_write(struct plog *log, struct side_file *file)
{
    return side_file_send(log, file, JOB_WRITE_FILE);
}

int plog_file_unlink(struct plog *log, struct side_file *file)
{
    return side_file_send(log, file, JOB_UNLINK_FILE);
}

int plog_roll(struct plog *log, struct now now)
{
    struct segment *active = plog_active(log);
    store_own(log->store);
    if (log->state != PLOG_OPEN)
        return E_STORAGE;
    if (active->end_pos == 0)
        return 0;
    if (segment_room(log) != 0)
        return E_NO_MEMORY;
    struct segment *next = segment_make(log->store, log->end.offset, now.wall_ms);
    if (next == NULL)
        return E_NO_MEMORY;
    segment_snapshot(log, active);
    segment_roll(log, next);
    log->is_changed = true;
    /* Its file is made now: a stop may append when nobody makes one. The first one's comes before,
     * with the directory. */
    if (log->segments[0]->state != SEGMENT_NEW && log->segments[0]->state != SEGMENT_CREATING)
        (void)segment_open(next);
    return 0;
}
