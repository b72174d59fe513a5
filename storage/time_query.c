/*
 * time_query.c - offsets by time: chooses the segments that may hold the answer and lets bulk
 * search their files.
 *
 * Owner: home. Only what is below the high watermark when the question comes is asked about. Where
 * that stands in the journal alone, write-back is hurried and the question waits for it: then the
 * files hold it. An answer at or beyond the watermark (a segment's file goes on behind it) counts
 * as none.
 */
#include "journal.h"

/* What a query remembers while it is away. */
struct query_inside {
    int64_t high, start;
    uint64_t high_bytes; /* where the files must reach */
};
static_assert(sizeof(struct query_inside) <= sizeof((struct time_query *)0)->inside,
              "fits a struct time_query");

static void query_end(struct time_query *query, int error, struct now now)
{
    const struct query_inside *in = (const struct query_inside *)(const void *)query->inside;
    query->error = error;
    if (error != 0 || query->offset >= in->high || query->offset < in->start) {
        query->offset = query->timestamp_ms = -1;
        query->epoch = -1;
    }
    query->done(query, now);
}

static void query_done(struct job *job, struct now now)
{
    struct store *store = job->subject;
    struct time_query *query = job->query;
    int error = job->error;
    store_job_give(store, job);
    query->log->jobs_n--;
    plog_mark_pending(query->log);
    query_end(query, error == E_NO_MEMORY ? error : error == 0 ? 0 : E_STORAGE, now);
}

static void job_add_segment(struct job *job, const struct plog *log, const struct segment *segment)
{
    uint32_t at = job->segments_n++;
    uint64_t bytes =
        log->state == PLOG_OPEN && segment->is_rolled ? segment->end_pos : segment->written_pos;
    job->segments[at].base_offset = segment->base_offset;
    job->segments[at].bytes = min_u64(bytes, segment->written_pos);
    job->segments[at].from_pos = 0;
    job->segments[at].time_max = segment->max_timestamp;
}

/* The first segments whose largest timestamp is not below the time; or the one with the largest of
 * all. */
static void job_choose(struct job *job, const struct plog *log, const struct time_query *query)
{
    const struct segment *best = NULL;
    for (uint32_t i = 0; i < log->segments_n && job->segments_n < JOB_SEGMENTS_MAX; i++) {
        const struct segment *s = log->segments[i];
        if (s->written_pos == 0 || (s->is_rolled && s->end.offset <= log->start))
            continue;
        if (query->time_ms == TIME_MAX_TIMESTAMP) {
            if (best == NULL || s->max_timestamp > best->max_timestamp)
                best = s;
        } else if (s->max_timestamp >= query->time_ms) {
            job_add_segment(job, log, s);
        }
    }
    if (best != NULL)
        job_add_segment(job, log, best);
}

/* True: the files hold what is asked about, or will not in this state of the log. */
static bool files_reach(struct plog *log, const struct query_inside *in)
{
    struct journal *j = log->store->journal;
    if (log->state != PLOG_OPEN || !log->is_logged || log->home.bytes >= in->high_bytes)
        return true;
    if (j == NULL || j->is_pinned || j->state == JOURNAL_FAILED || log->is_full)
        return true;
    j->is_hurried = true;
    return false;
}

/* False: no job is free, or its bytes are on their way to the files; it stays where it is. */
static bool query_begin(struct store *store, struct time_query *query, struct now now)
{
    struct plog *log = query->log;
    struct query_inside *in = (struct query_inside *)(void *)query->inside;
    if (!files_reach(log, in))
        return false;
    struct job *job = store_job_take(store, log, JOB_TIME_QUERY);
    if (job == NULL)
        return false;
    list_del(&query->mail.link);
    in->start = log->start;
    job->query = query;
    job->base_offset = log->start;
    if (log->state == PLOG_OPEN || log->state == PLOG_FAILED)
        job_choose(job, log, query);
    if (job->segments_n > 0) {
        log->jobs_n++; /* a drop, and a move, wait for it */
        store_job_send(store, job, query_done, store);
        return true;
    }
    store_job_give(store, job);
    query_end(query, 0, now);
    return true;
}

void plog_time_query(struct plog *log, struct time_query *query, struct now now)
{
    struct store *store = log->store;
    struct query_inside *in = (struct query_inside *)(void *)query->inside;
    check(log->magic == PLOG_MAGIC && query->done != NULL);
    check(query->time_ms >= 0 || query->time_ms == TIME_MAX_TIMESTAMP);
    store_own(store);
    store->now = now;
    query->log = log;
    in->high = log->high.offset;
    in->high_bytes = log->high.bytes;
    query->offset = query->timestamp_ms = -1;
    query->epoch = -1;
    query->error = 0;
    list_init(&query->mail.link);
    list_append(&store->answers, &query->mail.link);
}

void store_answers_run(struct store *store, struct now now)
{
    struct list running;
    struct time_query *query;
    list_init(&running);
    list_splice(&running, &store->answers);
    while ((query = list_first(&running, struct time_query, mail.link)) != NULL) {
        if (query_begin(store, query, now))
            continue;
        list_del(&query->mail.link);
        list_append(&store->answers, &query->mail.link);
    }
}
