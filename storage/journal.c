/*
 * journal.c - the ring of the commit journal: its file, its room, one record at a time written and
 * flushed.
 *
 * Owner: home; main at boot and stop.
 *
 * A record is written, then the file is flushed, then the next one may begin: at most one flush is
 * under way, and what comes meanwhile is the next record. The kernel begins the flush when the
 * write has ended, while the worker is still in its turn. (RWF_DSYNC in one operation is no faster
 * where the device has no FUA, and its end waits for a thread of the kernel that has no place on a
 * busy core: 4 ms where a write and a flush took 0.08. Two operations tell acks=1 earlier, too.)
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

void journal_begin(struct journal *j)
{
    check(j->state == JOURNAL_IDLE && list_is_empty(&j->logs));
    j->used = JOURNAL_RECORD_HEAD;
    j->entries_n = 0;
}

static void journal_fail(struct store *store, struct now now)
{
    store->journal->state = JOURNAL_FAILED;
    store->stats.journal_failed = 1;
    gather_failed(store, now);
}

static void write_submit(struct store *store);

static void flush_finish(struct store_op *op, struct now now)
{
    struct store *store = op->store;
    struct journal *j = store->journal;
    if (j->state == JOURNAL_FAILED)
        return;
    if (j->state == JOURNAL_WRITING) { /* whatever it did: it did not come behind a whole write */
        write_submit(store);
        return;
    }
    check(j->state == JOURNAL_FLUSHING);
    if (op->op.result < 0) {
        journal_fail(store, now);
        return;
    }
    uint64_t ns = now.ns - j->begun_ns;
    store->flush_began_ns = j->begun_ns;
    j->state = JOURNAL_IDLE;
    j->flushed_seq = j->seq++;
    j->flushed = j->head;
    if (j->entries_n > 0) {
        if (j->entries_seq < j->tail_seq)
            j->entries_ns = now.ns;
        j->entries_seq = j->flushed_seq;
    }
    store->journal_tail_seq = j->record_tail_seq;
    j->tail_safe = j->record_tail;
    store_note_stall(store, ns);
    store->stats.journal_flushes++;
    store->stats.journal_ns_total += ns;
    store->stats.journal_ns_max = max_u64(store->stats.journal_ns_max, ns);
    store->stats.journal_used_bytes = journal_used(j);
    gather_flushed(store, now);
}

static void write_finish(struct store_op *op, struct now now);

/* The rest of the record, and the flush behind it. */
static void write_submit(struct store *store)
{
    struct journal *j = store->journal;
    store_op_init(&j->op, IO_WRITE);
    j->iov = (struct iovec){j->buffer + j->written_bytes, j->record_bytes - j->written_bytes};
    j->op.op.fd = j->fd;
    j->op.op.pos = j->record_at + j->written_bytes;
    j->op.op.iov = &j->iov;
    j->op.op.iov_n = 1;
    j->op.op.then = &j->sync.op;
    store_op_init(&j->sync, IO_SYNC);
    j->sync.op.fd = j->fd;
    store_op_ready(store, &j->sync, flush_finish);
    store_op_submit(store, &j->op, write_finish);
}

static void write_finish(struct store_op *op, struct now now)
{
    struct store *store = op->store;
    struct journal *j = store->journal;
    check(j->state == JOURNAL_WRITING && op->op.result <= (int64_t)j->iov.iov_len);
    if (op->op.result <= 0) {
        journal_fail(store, now);
        return;
    }
    uint32_t done = j->written_bytes + (uint32_t)op->op.result;
    if (done < j->record_bytes) {
        j->written_bytes = (uint32_t)align_down(done, JOURNAL_BLOCK);
        if (j->shorts_n++ == JOURNAL_SHORTS_MAX)
            journal_fail(store, now);
        return; /* the end of its flush sends the rest */
    }
    store->stats.journal_bytes += j->record_bytes;
    j->state = JOURNAL_FLUSHING;
    gather_written(store, now);
}

void journal_send(struct store *store, struct now now)
{
    struct journal *j = store->journal;
    uint64_t bytes = align_up(j->used, JOURNAL_BLOCK);
    bool is_there;
    uint64_t room = room_choose(j, &is_there);
    check(j->state == JOURNAL_IDLE && bytes <= room);
    if (is_there) {
        j->head.total += j->bytes - min_u64(j->head.at, j->bytes);
        j->head.at = JOURNAL_BLOCK;
    }
    struct journal_head head = {.seq = j->seq,
                                .tail_seq = j->tail_seq,
                                .flushed_seq = j->flushed_seq,
                                .bytes = (uint32_t)bytes,
                                .used = j->used,
                                .entries_n = j->entries_n};
    journal_record_end(j->buffer, &j->generation, &head);
    j->record_at = j->head.at;
    j->record_bytes = (uint32_t)bytes;
    j->written_bytes = j->shorts_n = 0;
    j->record_tail_seq = j->tail_seq;
    j->record_tail = j->tail;
    j->begun_ns = now.ns;
    j->head.at += bytes;
    j->head.total += bytes;
    j->state = JOURNAL_WRITING;
    store->stats.journal_records++;
    write_submit(store);
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
        journal_ring_put(j->buffer, &j->generation);
        rc = disk_write(store->disk, j->fd, j->buffer, JOURNAL_BLOCK, 0);
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

static_assert(JOURNAL_RECORD_MAX == BOUNDS_JOURNAL_BYTES, "the memory ledger counts it");

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
    list_init(&j->logs);
    list_init(&j->behind);
    list_init(&j->to_write);
    list_init(&j->to_sync);
    j->buffer = aligned_alloc(JOURNAL_BLOCK, JOURNAL_RECORD_MAX);
    j->bytes_max = ring_bytes_max(store);
    j->bytes = min_u64(j->bytes_max, JOURNAL_START_BYTES);
    j->seq = j->tail_seq = store->journal_tail_seq = 1;
    j->head = j->flushed = j->tail = j->tail_safe = (struct ring_place){JOURNAL_BLOCK, 0};
    prng_init(&prng, seed);
    prng_uuid(&prng, &j->generation);
    int rc = j->buffer == NULL ? E_NO_MEMORY : ring_make(store, j);
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
    free(j->buffer);
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
