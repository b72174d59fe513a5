/*
 * fake_store.h - the storage functions that dataplane/kafka calls, over plain memory and under the
 * test's hand.
 *
 * Owner: the test program (included once per program). Appended bytes stay in the batch list;
 * `written` and `durable` move only when the test says so (or at once, with `is_instant`). Reads
 * may be made to go "to the disk". Judges a batch no further than its length; other verdicts are
 * injected with `next_error`.
 */
#ifndef MILLRACE_FAKE_STORE_H
#define MILLRACE_FAKE_STORE_H

#include <stdio.h>
#include <stdlib.h>

#include "batch.h"
#include "storage.h"

struct fake_batch {
    int64_t base, last, timestamp;
    uint32_t bytes;
    uint8_t *data;
    struct slice slice;
};

struct plog {
    struct list link, waits;
    struct store *store;
    struct uuid id;
    int32_t partition, epoch;
    uint8_t durability;
    bool is_critical;
    bool has_room;  /* also while the store is full: of a higher class */
    bool is_packed; /* its batches go by bulk */
    struct plog_offsets o;
    uint64_t written_ns;
    uint8_t move_dir; /* with move_bytes > 0: it is being moved */
    uint64_t move_bytes;
    int64_t move_lag;
    uint64_t visible_bytes;
    struct fake_batch batches[256];
    uint32_t batches_n;
    struct {
        int32_t epoch;
        int64_t start;
    } epochs[8];
    uint32_t epochs_n;
    struct aborted aborted[4];
    uint32_t aborted_n;
    uint32_t producers_n;
};

/* A batch with bulk; a test lets it come back. */
struct repack {
    bool is_used, is_done;
    int error;
    const struct slices *from;
};

struct store {
    struct list logs;
    struct plog *found;                  /* by the last look-up */
    struct list reads;                   /* that wait for the disk */
    bool is_instant;                     /* appends are written and durable at once */
    bool is_full;                        /* appends get E_AGAIN */
    bool is_disk_slow;                   /* reads get E_AGAIN and complete with store_disk */
    uint64_t stall_from_ns, stall_to_ns; /* its disk stood still */
    int next_error;                      /* of the next append */
    int32_t bad_record_at;
    const char *reason;
    struct list queries;
    bool is_bulk_slow;         /* time queries wait for store_bulk */
    struct list moves;         /* of starts, until the bulk's turn */
    bool is_files_slow;        /* ... or later */
    struct space_query *space; /* asked, answered in the bulk's turn */
    bool is_busy;              /* no job is free */
    uint64_t flush_began_ns;
    uint32_t lent_n, appends_n;
    int64_t duplicate_base; /* >= 0: the next append is a duplicate of the batch that began here */
    struct repack repacks[4];
};

static struct store *fake_store_new(void)
{
    struct store *s = calloc(1, sizeof *s);
    list_init(&s->logs);
    list_init(&s->reads);
    list_init(&s->queries);
    list_init(&s->moves);
    s->is_instant = true;
    s->duplicate_base = -1;
    s->bad_record_at = -1;
    return s;
}

static struct plog *fake_log_new(struct store *s, const struct uuid *id, int32_t partition)
{
    struct plog *log = calloc(1, sizeof *log);
    list_init(&log->waits);
    log->store = s;
    log->id = *id;
    log->partition = partition;
    list_append(&s->logs, &log->link);
    return log;
}

static void fake_store_free(struct store *s)
{
    for (struct list *l; (l = list_pop(&s->logs)) != NULL;) {
        struct plog *log = list_entry(l, struct plog, link);
        check(list_is_empty(&log->waits));
        for (uint32_t i = 0; i < log->batches_n; i++)
            free(log->batches[i].data);
        free(log);
    }
    check(list_is_empty(&s->reads) && list_is_empty(&s->queries) && s->lent_n == 0);
    free(s);
}

struct plog *store_log_find(struct store *s, const struct uuid *id, int32_t partition)
{
    struct plog *found = s->found; /* most ask in order: the next one is looked at first */
    if (found != NULL && list_is_linked(&found->link) && found->link.next != &s->logs) {
        found = list_entry(found->link.next, struct plog, link);
        if (uuid_equal(&found->id, id) && found->partition == partition)
            return s->found = found;
    }
    list_for_each(l, next, &s->logs) {
        struct plog *log = list_entry(l, struct plog, link);
        if (uuid_equal(&log->id, id) && log->partition == partition)
            return s->found = log;
    }
    return NULL;
}

/* ── marks ── */

static int64_t fake_mark(const struct plog *log, uint8_t mark)
{
    return mark == PLOG_WRITTEN   ? log->o.written
           : mark == PLOG_DURABLE ? log->o.durable
                                  : log->o.high;
}

static bool fake_is_due(const struct plog *log, const struct plog_wait *w)
{
    if (fake_mark(log, w->mark) < w->offset)
        return false;
    return w->bytes_min == 0 ||
           log->visible_bytes >= w->bytes_min; /* bytes_min is made absolute in plog_wait */
}

static void fake_wake(struct plog *log, int error, struct now now)
{
    for (bool again = true; again;) {
        again = false;
        list_for_each(l, next, &log->waits) {
            struct plog_wait *w = list_entry(l, struct plog_wait, link);
            if (error == 0 && !fake_is_due(log, w))
                continue;
            list_del(&w->link);
            w->wake(w, error, now);
            again = true;
            break;
        }
    }
}

/* Its topic is deleted: who waits hears of it. */
static void fake_log_drop(struct plog *log, struct now now)
{
    list_del(&log->link);
    log->store->found = NULL;
    fake_wake(log, E_NOT_FOUND, now);
    for (uint32_t i = 0; i < log->batches_n; i++)
        free(log->batches[i].data);
    free(log);
}

static void fake_visible(struct plog *log)
{
    log->visible_bytes = 0;
    for (uint32_t i = 0; i < log->batches_n; i++)
        if (log->batches[i].last < log->o.high)
            log->visible_bytes += log->batches[i].bytes;
}

static void fake_written(struct plog *log, struct now now)
{
    log->o.written = log->o.end;
    log->written_ns = now.ns;
    if (log->durability == STORE_RELAXED)
        log->o.high = log->o.stable = log->o.end;
    fake_visible(log);
    fake_wake(log, 0, now);
}

static void fake_durable(struct plog *log, struct now now)
{
    log->o.written = log->o.durable = log->o.high = log->o.stable = log->o.end;
    fake_visible(log);
    fake_wake(log, 0, now);
}

/* All logs of the store. */
static void fake_durable_all(struct store *s, struct now now)
{
    list_for_each(l, next, &s->logs)
        fake_durable(list_entry(l, struct plog, link), now);
}

bool plog_wait(struct plog *log, struct plog_wait *w)
{
    if (w->bytes_min > 0)
        w->bytes_min += log->visible_bytes;
    if (fake_is_due(log, w))
        return true;
    list_append(&log->waits, &w->link);
    return false;
}

void plog_wait_cancel(struct plog_wait *w)
{
    check(list_is_linked(&w->link));
    list_del(&w->link);
}

void plog_offsets(const struct plog *log, struct plog_offsets *out)
{
    *out = log->o;
}
uint64_t store_stalled(struct store *store, uint64_t from_ns, uint64_t to_ns, uint64_t *took_ns,
                       uint8_t *dir)
{
    uint64_t from = max_u64(from_ns, store->stall_from_ns), to = min_u64(to_ns, store->stall_to_ns);
    if (from >= to)
        return 0;
    *took_ns = store->stall_to_ns - store->stall_from_ns;
    *dir = 3;
    return to - from;
}

bool plog_is_critical(const struct plog *log)
{
    return log->is_critical;
}

struct plog_times plog_times(const struct plog *log)
{
    return (struct plog_times){log->written_ns, log->store->flush_began_ns,
                               log->durability == STORE_GROUP};
}
int32_t plog_epoch(const struct plog *log)
{
    return log->epoch;
}

void plog_epoch_end(const struct plog *log, int32_t epoch, int32_t *found, int64_t *end)
{
    *found = -1;
    *end = -1;
    for (uint32_t i = 0; i < log->epochs_n; i++) {
        if (log->epochs[i].epoch > epoch)
            break;
        *found = log->epochs[i].epoch;
        *end = i + 1 < log->epochs_n ? log->epochs[i + 1].start : log->o.end;
    }
}

/* ── start, producers, size ── */

int plog_start_move(struct plog *log, struct start_move *move, struct now now)
{
    int64_t to = move->offset == START_AT_HIGH ? log->o.high : move->offset;
    (void)now;
    if (to < 0 || to > log->o.high)
        return E_OFFSET_RANGE;
    bool is_new = to > log->o.start;
    log->o.start = max_i64(log->o.start, to);
    move->start = log->o.start;
    if (!is_new)
        return 0;
    list_init(&move->link);
    list_append(&log->store->moves, &move->link);
    return E_AGAIN;
}

/* The files helper has been there. */
static void fake_moves_end(struct store *s, int error, struct now now)
{
    struct list *l;
    while ((l = list_pop(&s->moves)) != NULL) {
        struct start_move *move = list_entry(l, struct start_move, link);
        move->done(move, error, now);
    }
}

uint32_t plog_producers(const struct plog *log, struct producer_state *to, uint32_t max)
{
    for (uint32_t i = 0; i < log->producers_n && i < max; i++)
        to[i] = (struct producer_state){5000 + i, 0, (int32_t)i, 77, -1, -1};
    return log->producers_n;
}

bool plog_moves_to(const struct plog *log, uint8_t *dir, uint64_t *bytes, int64_t *lag)
{
    *dir = log->move_dir;
    *bytes = log->move_bytes;
    *lag = log->move_lag;
    return log->move_bytes > 0;
}

uint64_t plog_bytes(const struct plog *log)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < log->batches_n; i++)
        bytes += log->batches[i].bytes;
    return bytes;
}

struct store *store_of_dir(struct store *store, uint8_t dir)
{
    return dir == 0 ? store : NULL;
}

int store_space(struct store *store, struct space_query *query)
{
    query->total_bytes = query->usable_bytes = -1;
    if (store->is_busy)
        return 0;
    store->space = query;
    return E_AGAIN;
}

/* ── appending ── */

static int fake_judge(struct store *s, struct append *a, uint8_t *header, struct batch *b)
{
    struct slices_at at = a->at;
    if (s->next_error != 0) {
        int rc = s->next_error;
        s->next_error = 0;
        a->bad_record_at = s->bad_record_at;
        if (s->reason != NULL)
            snprintf(a->reason, sizeof a->reason, "%s", s->reason);
        return rc;
    }
    if (a->bytes < BATCH_HEADER)
        return E_INVALID_RECORD;
    slices_copy(a->from, &at, header, BATCH_HEADER);
    int rc = batch_header(header, b);
    if (rc != 0)
        return rc;
    return b->bytes == a->bytes ? 0 : E_INVALID_RECORD;
}

bool repack_is_done(const struct repack *repack)
{
    return repack->is_done;
}

void repack_end(struct repack *repack)
{
    check(repack->is_used && repack->is_done);
    *repack = (struct repack){.is_used = false};
}

/* Bulk is done with what it has, with `error`. Returns how many that were. */
static uint32_t fake_repacked(struct store *s, int error)
{
    uint32_t n = 0;
    for (size_t i = 0; i < array_n(s->repacks); i++) {
        struct repack *r = &s->repacks[i];
        if (!r->is_used || r->is_done)
            continue;
        r->is_done = true;
        r->error = error;
        n++;
    }
    return n;
}

/* E_AGAIN while the batch is with bulk, or has to go there. */
static int fake_repack(struct plog *log, struct append *a)
{
    struct repack *r = a->repack;
    a->wants_bulk = true;
    if (r == NULL) {
        for (size_t i = 0; i < array_n(log->store->repacks) && a->repack == NULL; i++)
            if (!log->store->repacks[i].is_used)
                a->repack = &log->store->repacks[i];
        if (a->repack != NULL)
            *a->repack = (struct repack){.is_used = true, .from = a->from};
        return E_AGAIN;
    }
    check(r->is_used && r->from == a->from);
    if (!r->is_done || a->is_ahead)
        return E_AGAIN;
    int error = r->error;
    repack_end(r);
    a->repack = NULL;
    a->wants_bulk = false;
    return error;
}

int plog_append(struct plog *log, struct append *a, struct now now)
{
    struct store *s = log->store;
    struct batch b;
    uint8_t header[BATCH_HEADER];
    a->base_offset = a->last_offset = a->log_append_ms = a->start_offset = -1;
    a->is_duplicate = a->wants_bulk = false;
    a->bad_record_at = -1;
    a->reason[0] = '\0';
    if (unlikely(log->is_packed || a->is_ahead)) {
        int packed = log->is_packed ? fake_repack(log, a) : 0;
        if (packed != 0 || a->is_ahead)
            return packed;
    }
    if (s->is_full && !log->has_room)
        return E_AGAIN;
    int rc = fake_judge(s, a, header, &b);
    a->start_offset = log->o.start;
    if (rc != 0)
        return rc;
    s->appends_n++;
    if (s->duplicate_base >= 0) {
        a->is_duplicate = true;
        a->base_offset = s->duplicate_base;
        a->last_offset = s->duplicate_base + b.records_n - 1;
        a->log_append_ms = b.max_timestamp;
        s->duplicate_base = -1;
        return 0;
    }
    check(log->batches_n < array_n(log->batches));
    struct fake_batch *f = &log->batches[log->batches_n++];
    struct slices_at at = a->at;
    f->bytes = a->bytes;
    f->data = malloc(a->bytes);
    slices_copy(a->from, &at, f->data, a->bytes);
    f->base = a->base_offset = log->o.end;
    f->last = a->last_offset = log->o.end + b.records_n - 1;
    f->timestamp = b.max_timestamp;
    store_u64(f->data, (uint64_t)f->base);
    f->slice = (struct slice){f->data, f->bytes, NULL};
    log->o.end = f->last + 1;
    if (s->is_instant)
        fake_durable(log, now);
    return 0;
}

/* ── reading ── */

static int fake_read_now(struct plog *log, struct read *r)
{
    int64_t limit = r->is_committed ? log->o.stable : log->o.high;
    uint64_t bytes = 0;
    r->offsets = log->o;
    r->data = (struct slices){NULL, 0, 0};
    r->inside[0] = NULL;
    if (r->offset < log->o.start || r->offset > log->o.end)
        return E_OFFSET_RANGE;
    struct slice *v = calloc(log->batches_n + 1, sizeof *v);
    uint32_t n = 0;
    for (uint32_t i = 0; i < log->batches_n; i++) {
        struct fake_batch *b = &log->batches[i];
        if (b->last < r->offset || b->last >= limit)
            continue;
        if (bytes + b->bytes > r->bytes_max && !(n == 0 && r->at_least_one))
            break;
        v[n++] = b->slice;
        bytes += b->bytes;
    }
    r->data = (struct slices){v, n, bytes};
    r->inside[0] = v;
    log->store->lent_n++;
    if (r->is_committed) {
        r->aborted = log->aborted;
        r->aborted_n = log->aborted_n;
    }
    return 0;
}

int plog_read(struct plog *log, struct read *r, struct now now)
{
    (void)now;
    r->log = log;
    if (log->store->is_disk_slow) {
        list_append(&log->store->reads, &r->link);
        r->inside[1] = r;
        return E_AGAIN;
    }
    return fake_read_now(log, r);
}

/* The disk answers all reads that wait. */
static void fake_disk(struct store *s, int error, struct now now)
{
    struct list all;
    list_init(&all);
    list_splice(&all, &s->reads);
    for (struct list *l; (l = list_pop(&all)) != NULL;) {
        struct read *r = list_entry(l, struct read, link);
        r->inside[1] = NULL;
        int rc = error != 0 ? error : fake_read_now(r->log, r);
        r->done(r, rc, now);
    }
}

void read_release(struct read *r)
{
    if (r->inside[1] != NULL) { /* under way */
        list_del(&r->link);
        r->inside[1] = NULL;
        return;
    }
    check(r->inside[0] != NULL && r->log->store->lent_n > 0);
    free(r->inside[0]);
    r->inside[0] = NULL;
    r->log->store->lent_n--;
}

/* ── offsets by time ── */

static void fake_query_end(struct time_query *q, struct now now)
{
    struct plog *log = q->log;
    q->offset = -1;
    q->timestamp_ms = -1;
    q->epoch = -1;
    q->error = 0;
    for (uint32_t i = 0; i < log->batches_n; i++) {
        struct fake_batch *b = &log->batches[i];
        bool is_it = q->time_ms == TIME_MAX_TIMESTAMP ? b->timestamp > q->timestamp_ms
                                                      : q->offset < 0 && b->timestamp >= q->time_ms;
        if (!is_it)
            continue;
        q->offset = b->base;
        q->timestamp_ms = b->timestamp;
        q->epoch = log->epoch;
    }
    q->done(q, now);
}

void plog_time_query(struct plog *log, struct time_query *q, struct now now)
{
    (void)now;
    q->log = log;
    list_append(&log->store->queries, &q->mail.link);
}

static void fake_bulk(struct store *s, struct now now)
{
    for (struct list *l; (l = list_pop(&s->queries)) != NULL;)
        fake_query_end(container_of(container_of(l, struct mail, link), struct time_query, mail),
                       now);
    if (!s->is_files_slow)
        fake_moves_end(s, 0, now);
    if (s->space == NULL)
        return;
    struct space_query *query = s->space;
    s->space = NULL;
    query->total_bytes = 1000;
    query->usable_bytes = 400;
    query->done(query, now);
}

#endif
