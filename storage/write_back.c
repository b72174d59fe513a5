/*
 * write_back.c - bytes that are safe in the journal go to their segments, and the journal's tail
 * moves behind them.
 *
 * Owner: home.
 *
 * In rounds. A round takes over all logs that have entries in records flushed so far; each is
 * written up to its safe places (rule 4: never more than a flushed record holds), then all files
 * are synced, then the tail moves to the record behind the newest one of the round's beginning
 * (rule 7: segments tell the end, epochs and producers of a log at every start), and the next
 * record carries it. The later a round comes, the larger its runs, and the fewer blocks are written
 * twice because they were not full; it begins when the oldest entry is writeback_ns old, the ring
 * or the tail budget is a quarter full, a record found no room, an append found no page, or
 * somebody waits for the files (time_query.c).
 *
 * Until it has to hurry it goes one run at a time, in the background of the device's queue: a
 * record and its flush wait for the writes in front of them. 4 MiB of those cost up to 10 ms. From
 * half of the room on WRITING_HURRIED_BYTES may be under way, and twice as much for each sixteenth
 * more: so under a load that never ends write-back finds the pace of the appends, instead of going
 * from too little to everything at once.
 *
 * While a critical log is active it is a quarter of that at a time, until it has to hurry.
 *
 * One call syncs all files where the file system allows that and there are more than a few (rule
 * 10); its bytes and sizes are the file system's to order. Else each file is flushed in the rounds
 * of flush.c.
 *
 * A log whose segment cannot be written pins the tail: what it acknowledged stands in the ring
 * alone. The ring takes no more records then, every log goes straight to its segments, and the next
 * start finds the rest. A full disk only delays: it is tried again every second.
 */
#include "journal.h"

enum {
    LOGS_PER_TURN_MAX = 64,
    SYNC_ALL_MIN = 4, /* files */
    PARTS = 16,       /* in which the room is counted: the ring, the tail budget */
    FILL_PARTS = 4,   /* so many are used: a round begins */
    HURRY_PARTS = 8,  /* ... and it hurries */
    SHORT_PARTS = 6,  /* one of short runs, of less than SHORT_RUN_BYTES, waits for so many */
    SHORT_RUN_BYTES = 64 << 10,
    WRITING_BYTES_MAX = 512 << 10,
    WRITING_PACED_BYTES = 128 << 10,
    WRITING_HURRIED_BYTES = 1 << 20,
    FULL_RETRY_NS = NS_PER_S,
};

/* ── a round ── */

/* Sixteenths of the room, ring or tail budget, that are in use. */
static uint64_t parts_used(const struct store *store)
{
    const struct journal *j = store->journal;
    uint64_t ring = journal_used(j) * PARTS / j->bytes;
    uint64_t tail = store->tail_bytes * PARTS / max_u64(store->config.tail_bytes_max, 1);
    return j->is_full ? PARTS : min_u64(max_u64(ring, tail), PARTS);
}

static bool round_is_due(const struct store *store, struct now now)
{
    const struct journal *j = store->journal;
    bool is_short = journal_used(j) < j->behind_n * (uint64_t)SHORT_RUN_BYTES;
    if (j->entries_seq < j->tail_seq || j->is_pinned || j->state == JOURNAL_FAILED)
        return false;
    return now.ns - j->entries_ns >= store->config.writeback_ns || j->is_hurried ||
           parts_used(store) >= (is_short ? SHORT_PARTS : FILL_PARTS);
}

static void round_begin(struct store *store)
{
    struct journal *j = store->journal;
    struct list *l;
    check(j->to_write_n == 0 && j->to_sync_n == 0);
    j->round_seq = j->flushed_seq + 1;
    j->round_tail = j->flushed;
    j->behind_n = 0;
    while ((l = list_pop(&j->behind)) != NULL) {
        struct plog *log = list_entry(l, struct plog, behind_link);
        log->round_bytes = log->durable.bytes;
        list_append(&j->to_write, &log->round_link);
        j->to_write_n++;
    }
    j->is_hurried = false;
    j->write_back = WRITE_BACK_WRITING;
    store->stats.write_back_rounds++;
}

void write_back_add(struct journal *j, struct plog *log)
{
    if (list_is_linked(&log->behind_link))
        return;
    list_append(&j->behind, &log->behind_link);
    j->behind_n++;
}

/* It has what the round wanted of it; newer entries are the next round's. */
static void round_leave(struct journal *j, struct plog *log)
{
    list_del(&log->round_link);
    if (log->logged.bytes > log->settled.bytes)
        write_back_add(j, log);
}

void write_back_want(struct store *store)
{
    if (store->journal != NULL)
        store->journal->is_hurried = true;
}

void write_back_forget(struct plog *log)
{
    struct journal *j = log->store->journal;
    if (list_is_linked(&log->behind_link))
        j->behind_n--;
    struct list *const links[] = {&log->round_link, &log->behind_link, &log->record_links[0],
                                  &log->record_links[1]};
    for (size_t i = 0; i < array_n(links); i++)
        if (list_is_linked(links[i]))
            list_del(links[i]);
    gather_direct(log, false);
}

static void round_pin(struct store *store)
{
    struct journal *j = store->journal;
    struct list *l;
    while ((l = list_pop(&j->to_write)) != NULL || (l = list_pop(&j->to_sync)) != NULL) {
        struct plog *log = list_entry(l, struct plog, round_link);
        write_back_add(j, log);
    }
    j->to_write_n = j->to_sync_n = 0;
    j->is_pinned = true;
    store->stats.journal_pinned = 1;
    j->write_back = WRITE_BACK_IDLE;
}

/* ── writing ── */

enum round_step { STEP_WAITS, STEP_DONE, STEP_PINS, STEP_STARVED };

bool write_back_hurries(const struct store *store)
{
    return parts_used(store) >= HURRY_PARTS;
}

/* Of the bytes that may be under way, are there some left? */
static bool may_write(const struct store *store)
{
    uint64_t parts = parts_used(store);
    uint64_t max = store_is_paced(store) ? WRITING_PACED_BYTES : WRITING_BYTES_MAX;
    if (parts >= HURRY_PARTS)
        max = (uint64_t)WRITING_HURRIED_BYTES << (parts - HURRY_PARTS);
    return store->journal->writing_bytes < max;
}

static enum round_step write_step(struct journal *j, struct plog *log, bool is_retry)
{
    /* One that failed while a record was under way is not durable up to there. */
    if (log->state != PLOG_OPEN && log->logged.bytes > log->settled.bytes)
        return STEP_PINS;
    if (log->settled.bytes >= log->round_bytes) {
        round_leave(j, log);
        return STEP_DONE;
    }
    if (!log->is_logged) {
        plog_mark_unsynced(log); /* written and flushed like any other */
        return STEP_WAITS;
    }
    if (log->home.bytes < log->round_bytes) {
        bool is_now = log->write == NULL && (!log->is_full || is_retry) && may_write(log->store);
        return !is_now || plog_write(log) ? STEP_WAITS : STEP_STARVED;
    }
    list_del(&log->round_link);
    list_append(&j->to_sync, &log->round_link);
    j->to_sync_n++;
    log->round_mark = log->home;
    for (uint32_t i = log->sealed_n; i < log->segments_n; i++)
        log->segments[i]->round_pos = log->segments[i]->written_pos;
    return STEP_DONE;
}

static int round_write(struct store *store, struct now now)
{
    struct journal *j = store->journal;
    uint64_t writes_before = store->stats.write_ops;
    bool is_retry = now.ns >= j->full_retry_ns;
    int done = 0;
    if (is_retry)
        j->full_retry_ns = now.ns + FULL_RETRY_NS;
    for (uint32_t n = min_u64(j->to_write_n, LOGS_PER_TURN_MAX); n > 0; n--) {
        struct plog *log = list_first(&j->to_write, struct plog, round_link);
        if (log == NULL)
            break; /* some were dropped */
        enum round_step step = write_step(j, log, is_retry);
        if (step == STEP_PINS) {
            round_pin(store);
            return 1;
        }
        if (step == STEP_STARVED)
            break;
        if (step == STEP_DONE) {
            j->to_write_n--;
            done++;
            continue;
        }
        list_del(&log->round_link);
        list_append(&j->to_write, &log->round_link);
    }
    if (list_is_empty(&j->to_write)) {
        j->to_write_n = 0;
        j->write_back = WRITE_BACK_SYNCING;
        j->is_synced = false;
        done++;
    }
    return done + (int)(store->stats.write_ops - writes_before);
}

/* ── syncing ── */

static void sync_all_done(struct job *job, struct now now)
{
    struct store *store = job->subject;
    struct journal *j = store->journal;
    int error = job->error;
    (void)now;
    store_job_give(store, job);
    j->has_sync_job = false;
    if (j->write_back != WRITE_BACK_SYNCING)
        return;
    if (error != 0)
        round_pin(store); /* which bytes were lost nobody knows: they stay in the ring */
    j->is_synced = error == 0;
}

static void sync_all_ask(struct store *store)
{
    struct journal *j = store->journal;
    if (j->has_sync_job)
        return;
    struct job *job = store_job_take(store, NULL, JOB_SYNC_ALL);
    if (job == NULL)
        return;
    job->fd = store->directory_fd;
    j->has_sync_job = true;
    store_job_send(store, job, sync_all_done, store);
}

static void settle(struct plog *log)
{
    if (log->round_mark.bytes > log->settled.bytes)
        log->settled = log->round_mark;
    for (uint32_t i = log->sealed_n; i < log->segments_n; i++) {
        struct segment *s = log->segments[i];
        s->durable_pos = max_u64(s->durable_pos, s->round_pos);
    }
}

static enum round_step sync_step(struct journal *j, struct plog *log)
{
    if (log->state != PLOG_OPEN)
        return STEP_PINS;
    if (j->is_synced) {
        settle(log);
        plog_mark_moved(log);
    }
    if (log->settled.bytes >= log->round_bytes) {
        round_leave(j, log);
        return STEP_DONE;
    }
    plog_mark_unsynced(log);
    return STEP_WAITS;
}

static int round_sync(struct store *store)
{
    struct journal *j = store->journal;
    int done = 0;
    if (j->has_sync_all && j->to_sync_n > SYNC_ALL_MIN && !j->is_synced) {
        sync_all_ask(store);
        return 0;
    }
    for (uint32_t n = min_u64(j->to_sync_n, LOGS_PER_TURN_MAX); n > 0; n--) {
        struct plog *log = list_first(&j->to_sync, struct plog, round_link);
        if (log == NULL)
            break;
        enum round_step step = sync_step(j, log);
        if (step == STEP_PINS) {
            round_pin(store);
            return 1;
        }
        if (step == STEP_DONE) {
            j->to_sync_n--;
            done++;
            continue;
        }
        list_del(&log->round_link);
        list_append(&j->to_sync, &log->round_link);
    }
    if (list_is_empty(&j->to_sync)) {
        j->to_sync_n = 0;
        j->write_back = WRITE_BACK_IDLE;
        j->tail_seq = j->round_seq;
        j->tail = j->round_tail;
        j->entries_ns = store->now.ns;
        done++;
    }
    return done;
}

int write_back_run(struct store *store, struct now now)
{
    struct journal *j = store->journal;
    if (j == NULL || j->state == JOURNAL_FAILED)
        return 0;
    switch ((enum write_back_state)j->write_back) {
    case WRITE_BACK_IDLE:
        if (!round_is_due(store, now))
            return 0;
        round_begin(store);
        return 1;
    case WRITE_BACK_WRITING: return round_write(store, now);
    case WRITE_BACK_SYNCING: return round_sync(store);
    }
    return 0;
}
