/*
 * journal.c - the ring of the commit journal: its file, its room, one record at a time written and
 * flushed.
 *
 * Owner: home; main at boot and stop.
 *
 * A record is written, then the file is flushed; what comes meanwhile is the next record, so one
 * flush is for many appends. When much comes (JOURNAL_SECOND_MIN), the device need not wait for the
 * worker nor the worker for the device: a second record goes out while the first is under way. It
 * may be on the device before the first one; the logs hear of them in their order, and so does a
 * start after a crash, which stops at the first record that is not whole. The kernel begins the
 * flush when the write has ended, while the worker is still in its turn. (RWF_DSYNC in one
 * operation is no faster where the device has no FUA, and its end waits for a thread of the kernel
 * that has no place on a busy core: 4 ms where a write and a flush took 0.08. Two operations tell
 * acks=1 earlier, too.)
 *
 * Room. `head` is where the next record goes, `tail_safe` where the oldest needed one begins as a
 * flushed record says (rule 6); both count all bytes given out, so their difference is what is in
 * use, gaps at the file's end included. A record that only moves the tail finds JOURNAL_RESERVE
 * bytes that no other may take, so a full ring empties.
 *
 * A write that ended early goes on at the last whole block, when its flush has been given up. One
 * that failed, or a flush that did, is never repeated (rule 1): the journal takes no further
 * record, and every log of its store refuses appends. What it holds is found by the next start.
 */
#include "journal.h"

#include <stdio.h>
#include <stdlib.h>

#include "bounds.h"
#include "disk_tools.h"
#include "prng.h"

/* ── room ── */

/* In one piece from `head` on, and from the first block on. */
static void room_look(const struct journal *j, uint64_t *here, uint64_t *there)
{
    bool is_unused = j->head.total == j->tail_safe.total;
    *there = 0;
    if (!is_unused && j->head.at <= j->tail_safe.at) {
        *here = j->tail_safe.at - j->head.at;
        return;
    }
    *here = j->bytes - min_u64(j->head.at, j->bytes);
    *there = (is_unused ? j->head.at : j->tail_safe.at) - JOURNAL_BLOCK;
}

/* Where the next record goes: here, or from the first block on. */
static uint64_t room_choose(struct journal *j, bool *is_there)
{
    uint64_t here, there;
    room_look(j, &here, &there);
    *is_there = here < JOURNAL_RECORD_MAX / 4 && there > here;
    return *is_there ? there : here;
}

uint32_t journal_room(struct journal *j, bool is_empty)
{
    bool is_there;
    uint64_t room = room_choose(j, &is_there);
    uint64_t reserve = is_empty ? 0 : JOURNAL_RESERVE;
    if (room < reserve + JOURNAL_BLOCK)
        return 0;
    return (uint32_t)min_u64(align_down(room - reserve, JOURNAL_BLOCK), JOURNAL_RECORD_MAX);
}

/* ── a record ── */

bool journal_is_taken(const struct store *store)
{
    const struct journal *j = store->journal;
    return j->state == JOURNAL_BUSY &&
           store->stats.appended_bytes - j->gathered_bytes < j->second_min;
}

struct journal_record *journal_begin(struct store *store)
{
    struct journal *j = store->journal;
    if (j->state == JOURNAL_FAILED)
        return NULL;
    for (uint32_t i = 0; i < JOURNAL_RECORDS; i++) {
        struct journal_record *r = &j->records[i];
        if (list_is_linked(&r->link))
            continue;
        check(list_is_empty(&r->logs) && !r->op.op.is_busy && !r->sync.op.is_busy);
        r->used = JOURNAL_RECORD_HEAD;
        r->entries_n = 0;
        return r;
    }
    return NULL;
}

bool journal_is_busy(const struct journal *j)
{
    for (uint32_t i = 0; i < JOURNAL_RECORDS; i++)
        if (j->records[i].op.op.is_busy || j->records[i].sync.op.is_busy)
            return true;
    return j->state == JOURNAL_BUSY;
}

static void journal_fail(struct store *store, struct now now)
{
    struct journal *j = store->journal;
    while (list_pop(&j->under_way) != NULL)
        continue;
    j->state = JOURNAL_FAILED;
    store->stats.journal_failed = 1;
    gather_failed(store, now);
}

/* The oldest record is on the device. */
static void record_end(struct store *store, struct journal_record *r, struct now now)
{
    struct journal *j = store->journal;
    uint64_t ns = now.ns - r->begun_ns;
    check(r->is_written && r->is_told && r->seq == j->flushed_seq + 1);
    list_del(&r->link);
    if (list_is_empty(&j->under_way))
        j->state = JOURNAL_IDLE;
    store->flush_began_ns = r->begun_ns;
    j->flushed_seq = r->seq;
    j->flushed = r->end;
    if (r->entries_n > 0) {
        if (j->entries_seq < j->tail_seq)
            j->entries_ns = now.ns;
        j->entries_seq = j->flushed_seq;
    }
    store->journal_tail_seq = r->tail_seq;
    j->tail_safe = r->tail;
    store_note_stall(store, r->begun_ns, now.ns);
    store->stats.journal_flushes++;
    store->stats.journal_ns_total += ns;
    store->stats.journal_ns_max = max_u64(store->stats.journal_ns_max, ns);
    store->stats.journal_used_bytes = journal_used(j);
    gather_flushed(r, now);
}

static void write_submit(struct store *store, struct journal_record *r);

static void flush_finish(struct store_op *op, struct now now)
{
    struct store *store = op->store;
    struct journal *j = store->journal;
    struct journal_record *r = container_of(op, struct journal_record, sync);
    if (j->state == JOURNAL_FAILED)
        return;
    if (!r->is_written) { /* whatever it did: it did not come behind a whole write */
        write_submit(store, r);
        return;
    }
    if (op->op.result < 0) {
        journal_fail(store, now);
        return;
    }
    r->is_flushed = true;
    while ((r = list_first(&j->under_way, struct journal_record, link)) != NULL && r->is_flushed)
        record_end(store, r, now);
}

static void write_finish(struct store_op *op, struct now now)
{
    struct store *store = op->store;
    struct journal *j = store->journal;
    struct journal_record *r = container_of(op, struct journal_record, op);
    if (j->state == JOURNAL_FAILED)
        return;
    check(j->state == JOURNAL_BUSY && op->op.result <= (int64_t)r->iov.iov_len);
    if (op->op.result <= 0) {
        journal_fail(store, now);
        return;
    }
    uint32_t done = r->written_bytes + (uint32_t)op->op.result;
    if (done < r->bytes) {
        r->written_bytes = (uint32_t)align_down(done, JOURNAL_BLOCK);
        if (r->shorts_n++ == JOURNAL_SHORTS_MAX)
            journal_fail(store, now);
        return; /* the end of its flush sends the rest */
    }
    store->stats.journal_bytes += r->bytes;
    r->is_written = true;
    list_for_each(node, next, &j->under_way) {
        struct journal_record *told = list_entry(node, struct journal_record, link);
        if (!told->is_written)
            break;
        if (!told->is_told)
            gather_written(told, now);
        told->is_told = true;
    }
}

/* The rest of the record, and the flush behind it. */
static void write_submit(struct store *store, struct journal_record *r)
{
    struct journal *j = store->journal;
    store_op_init(&r->op, IO_WRITE);
    r->iov = (struct iovec){r->buffer + r->written_bytes, r->bytes - r->written_bytes};
    r->op.op.fd = j->fd;
    r->op.op.pos = r->at + r->written_bytes;
    r->op.op.iov = &r->iov;
    r->op.op.iov_n = 1;
    r->op.op.then = &r->sync.op;
    store_op_init(&r->sync, IO_SYNC);
    r->sync.op.fd = j->fd;
    store_op_ready(store, &r->sync, flush_finish);
    store_op_submit(store, &r->op, write_finish);
}

void journal_send(struct store *store, struct journal_record *r, struct now now)
{
    struct journal *j = store->journal;
    uint64_t bytes = align_up(r->used, JOURNAL_BLOCK);
    bool is_there;
    uint64_t room = room_choose(j, &is_there);
    check(j->state != JOURNAL_FAILED && bytes <= room && bytes <= r->bytes_max);
    if (is_there) {
        j->head.total += j->bytes - min_u64(j->head.at, j->bytes);
        j->head.at = JOURNAL_BLOCK;
    }
    struct journal_head head = {.seq = j->seq,
                                .tail_seq = j->tail_seq,
                                .flushed_seq = j->flushed_seq,
                                .bytes = (uint32_t)bytes,
                                .used = r->used,
                                .entries_n = r->entries_n};
    journal_record_end(r->buffer, &j->generation, &head);
    r->seq = j->seq++;
    r->at = j->head.at;
    r->bytes = (uint32_t)bytes;
    r->written_bytes = r->shorts_n = 0;
    r->is_written = r->is_told = r->is_flushed = false;
    r->tail_seq = j->tail_seq;
    r->tail = j->tail;
    r->begun_ns = now.ns;
    j->head.at += bytes;
    j->head.total += bytes;
    r->end = j->head;
    j->state = JOURNAL_BUSY;
    list_append(&j->under_way, &r->link);
    store->stats.journal_records++;
    write_submit(store, r);
}

/* ── growing ── */

static void grow_done(struct job *job, struct now now)
{
    struct store *store = job->subject;
    struct journal *j = store->journal;
    (void)now;
    j->is_growing = false;
    if (job->error == 0)
        j->bytes = job->index_bytes;
    else
        j->bytes_max = j->bytes; /* it stays as small as it is */
    store_job_give(store, job);
}

void journal_grow(struct store *store)
{
    struct journal *j = store->journal;
    if (store->stats.is_low) /* what is left of the disk is not for that */
        return;
    if (j->is_growing || j->bytes >= j->bytes_max || journal_used(j) < j->bytes / JOURNAL_GROW_PART)
        return;
    struct job *job = store_job_take(store, NULL, JOB_JOURNAL_GROW);
    if (job == NULL)
        return;
    job->fd = j->fd;
    job->bytes = j->bytes;
    job->index_bytes = min_u64(j->bytes + JOURNAL_GROW_BYTES, j->bytes_max);
    j->is_growing = true;
    store_job_send(store, job, grow_done, store);
}

/* ── boot and stop ── */

static int ring_path(const struct store *store, char *directory, char *path)
{
    char name[32];
    snprintf(name, sizeof name, "%u.ring", store->config.journal_number);
    int rc = path_join(directory, store->config.directory, JOURNAL_DIRECTORY);
    return rc == 0 ? path_join(path, directory, name) : rc;
}

/* O_DIRECT where the file system has it. */
static int ring_open(struct journal *j, struct disk *disk, const char *path)
{
    int how = DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE;
    j->is_direct = true;
    j->fd = disk_open(disk, path, how | DISK_DIRECT);
    if (j->fd == E_UNSUPPORTED || j->fd == E_INVALID) {
        j->is_direct = false;
        (void)!disk_unlink(disk, path);
        j->fd = disk_open(disk, path, how);
    }
    return j->fd < 0 ? j->fd : 0;
}

static int ring_make(struct store *store, struct journal *j)
{
    char directory[DISK_PATH_MAX], path[DISK_PATH_MAX];
    int rc = ring_path(store, directory, path);
    if (rc == 0)
        rc = disk_make_directory(store->disk, directory);
    if (rc == 0 || rc == E_EXISTS)
        rc = ring_open(j, store->disk, path);
    if (rc == 0)
        rc = file_zero(store->disk, j->fd, 0, j->bytes);
    if (rc == 0) {
        journal_ring_put(j->records[0].buffer, &j->generation);
        rc = disk_write(store->disk, j->fd, j->records[0].buffer, JOURNAL_BLOCK, 0);
    }
    if (rc == 0)
        rc = disk_sync(store->disk, j->fd);
    if (rc == 0)
        rc = directory_sync(store->disk, directory);
    return rc == 0 ? directory_sync(store->disk, store->config.directory) : rc;
}

static uint64_t ring_bytes_max(struct store *store)
{
    struct disk_space space;
    uint64_t bytes =
        max_u64(align_down(store->config.journal_bytes, JOURNAL_BLOCK), JOURNAL_BYTES_MIN);
    if (disk_space(store->disk, store->config.directory, &space) != 0)
        return bytes;
    uint64_t part = align_down(space.total_bytes / JOURNAL_DISK_PART, JOURNAL_BLOCK);
    return max_u64(min_u64(bytes, part), JOURNAL_BYTES_MIN);
}

static_assert(JOURNAL_RECORD_MAX + JOURNAL_SECOND_MAX == BOUNDS_JOURNAL_BYTES,
              "the memory ledger counts them");

static int records_init(struct journal *j)
{
    for (uint32_t i = 0; i < JOURNAL_RECORDS; i++) {
        struct journal_record *r = &j->records[i];
        list_init(&r->link);
        list_init(&r->logs);
        r->number = (uint8_t)i;
        r->bytes_max = i == 0 ? JOURNAL_RECORD_MAX : JOURNAL_SECOND_MAX;
        r->buffer = aligned_alloc(JOURNAL_BLOCK, r->bytes_max);
        if (r->buffer == NULL)
            return E_NO_MEMORY;
    }
    return 0;
}

int store_journal_open(struct store *store, uint64_t seed)
{
    struct prng prng;
    store_own(store);
    check(store->journal == NULL);
    if (store->config.journal_bytes == 0)
        return 0;
    struct journal *j = calloc(1, sizeof *j);
    if (j == NULL)
        return E_NO_MEMORY;
    store->journal = j;
    j->fd = -1;
    j->second_min = JOURNAL_SECOND_MIN;
    j->run_max = store->config.journal_run_max;
    if (j->run_max == 0)
        j->run_max = JOURNAL_RUN_MAX;
    list_init(&j->under_way);
    list_init(&j->behind);
    list_init(&j->to_write);
    list_init(&j->to_sync);
    int rc = records_init(j);
    j->bytes_max = ring_bytes_max(store);
    j->bytes = min_u64(j->bytes_max, JOURNAL_START_BYTES);
    j->seq = j->tail_seq = store->journal_tail_seq = 1;
    j->head = j->flushed = j->tail = j->tail_safe = (struct ring_place){JOURNAL_BLOCK, 0};
    prng_init(&prng, seed);
    prng_uuid(&prng, &j->generation);
    if (rc == 0)
        rc = ring_make(store, j);
    j->has_sync_all = rc == 0 && disk_sync_all(store->disk, store->directory_fd) == 0;
    if (rc != 0)
        journal_free(store);
    return rc;
}

bool store_journal_is_direct(const struct store *store)
{
    return store->journal != NULL && store->journal->is_direct;
}

void journal_free(struct store *store)
{
    struct journal *j = store->journal;
    if (j == NULL)
        return;
    if (j->fd >= 0)
        disk_close(store->disk, j->fd);
    for (uint32_t i = 0; i < JOURNAL_RECORDS; i++)
        free(j->records[i].buffer);
    free(j);
    store->journal = NULL;
}

int journal_end(struct store *store)
{
    char directory[DISK_PATH_MAX], path[DISK_PATH_MAX];
    if (store->journal == NULL)
        return 0;
    int rc = ring_path(store, directory, path);
    if (rc == 0)
        rc = disk_unlink(store->disk, path);
    if (rc == 0)
        rc = directory_sync(store->disk, directory);
    if (rc == 0 && disk_remove_directory(store->disk, directory) == 0) /* the last one's */
        rc = directory_sync(store->disk, store->config.directory);
    return rc;
}
