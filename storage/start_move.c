/*
 * start_move.c - DeleteRecords: the start of a log moves, and stays where it is.
 *
 * Owner: home.
 *
 * Apache Kafka writes log-start-offset-checkpoint for all partitions once a minute, so a crash can
 * bring deleted records back. Here every partition's directory has a small file of its own,
 * `log-start-offset` ("0\n<offset>\n"; Apache Kafka ignores it), replaced by a job of the files
 * helper before the answer; moves that come meanwhile share the next one. At a start the larger of
 * checkpoint and file counts. A clean stop writes the checkpoint as before, so Apache Kafka knows
 * the start after it.
 *
 * Segments wholly below the start are taken by retention.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "disk_tools.h"
#include "plog.h"

static void start_written(struct job *job, struct now now)
{
    struct plog *log = job->subject;
    int error = job->error;
    store_job_give(log->store, job);
    log->jobs_n--;
    log->has_start_job = false;
    if (error == 0)
        log->start_safe = max_i64(log->start_safe, log->start_writing);
    else if (error == E_DISK_FULL)
        plog_full(log); /* the moves wait until there is space */
    else if (log->state == PLOG_OPEN)
        plog_fail(log, now);
    list_for_each(node, next, &log->start_moves) {
        struct start_move *move = list_entry(node, struct start_move, link);
        if (move->start > log->start_safe)
            continue;
        list_del(node);
        move->done(move, 0, now);
    }
    if (error == 0)
        plog_full_end(log);
    if (error != E_DISK_FULL || log->state != PLOG_OPEN)
        plog_mark_pending(log);
}

bool start_step(struct plog *log)
{
    if (list_is_empty(&log->start_moves) || log->has_start_job || log->is_frozen)
        return true;
    enum segment_state first = log->segments[0]->state;
    if (first == SEGMENT_NEW || first == SEGMENT_CREATING) { /* the directory comes first */
        (void)segment_open(log->segments[0]);
        return true;
    }
    struct job *job = store_job_take(log->store, log, JOB_WRITE_FILE);
    if (job == NULL)
        return false;
    log->start_writing = log->start;
    snprintf(job->name, sizeof job->name, "%s", mark_start);
    job->data = mark_text(log->start_text, log->start);
    log->has_start_job = true;
    log->jobs_n++;
    store_job_send(log->store, job, start_written, log);
    return true;
}

void start_moves_end(struct plog *log, int error, struct now now)
{
    struct list ending, *l;
    list_init(&ending);
    list_splice(&ending, &log->start_moves);
    while ((l = list_pop(&ending)) != NULL) {
        struct start_move *move = list_entry(l, struct start_move, link);
        move->done(move, error, now);
    }
}

int plog_start_move(struct plog *log, struct start_move *move, struct now now)
{
    store_own(log->store);
    check(log->magic == PLOG_MAGIC && move->done != NULL);
    log->store->now = now;
    list_init(&move->link);
    int64_t offset = move->offset == START_AT_HIGH ? log->high.offset : move->offset;
    if (offset < 0 || offset > log->high.offset)
        return E_OFFSET_RANGE;
    if (log->state != PLOG_OPEN)
        return E_STORAGE;
    if (offset > log->start) {
        log->start = offset;
        epochs_truncate_start(&log->epochs, offset);
        aborted_truncate_start(&log->aborted, offset);
        plog_mark_epochs(log);
        plog_mark_moved(log);
    }
    move->start = log->start;
    if (log->start <= log->start_safe)
        return 0;
    list_append(&log->start_moves, &move->link);
    (void)start_step(log); /* none free: the pending list asks again */
    plog_mark_pending(log);
    return E_AGAIN;
}
