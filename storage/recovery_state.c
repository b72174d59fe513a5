/*
 * recovery_state.c - what a log remembers besides its bytes, at boot: producers, aborted
 * transactions, epochs.
 *
 * Owner: main, before the threads run.
 *
 * Producers come from the newest snapshot at or below the end, then from the batches behind it.
 * Aborted transactions come from the .txnindex files below the snapshot and from the same replay. A
 * damaged .txnindex is dropped and the replay begins further back, so that no aborted record is
 * ever shown as committed. Epochs come from their file up to what had to be scanned, from there on
 * from the batches; a file that makes no sense is rebuilt from all batches.
 */
#include <stdio.h>
#include <stdlib.h>

#include "batch_scan.h"
#include "recovery.h"

enum {
    STATE_FILE_MAX = 256 << 20,
    REPLAY_BYTES_MIN = 4 << 20, /* of the end of a log, after a crash */
};

/* ── snapshots ── */

static void state_unlink(struct recovery *r, int64_t offset, const char *suffix)
{
    char path[DISK_PATH_MAX];
    segment_path(path, r->directory, offset, suffix);
    if (disk_unlink(r->disk, path) == 0)
        r->is_changed = true;
}

static bool is_segment_base(const struct recovery *r, int64_t offset)
{
    for (uint32_t i = 0; i < r->log->segments_n; i++) {
        if (r->log->segments[i]->base_offset == offset)
            return true;
    }
    return false;
}

static int snapshot_load(struct recovery *r, int64_t offset)
{
    char path[DISK_PATH_MAX];
    struct bytes file;
    segment_path(path, r->directory, offset, ".snapshot");
    int rc = file_read(r->disk, path, STATE_FILE_MAX, &file);
    if (rc != 0)
        return rc;
    rc = producers_snapshot_decode(r->store->producers, &r->log->producers, file);
    file_read_free(&file);
    return rc;
}

/* The newest snapshot at or below `limit` is loaded; *from is its offset, the log's first when
 * there is none. */
static int snapshot_choose(struct recovery *r, int64_t limit, int64_t *from)
{
    producers_clear(r->store->producers, &r->log->producers);
    for (uint32_t i = r->snapshots_n; i-- > 0;) {
        if (r->snapshots[i] > limit)
            continue;
        int rc = snapshot_load(r, r->snapshots[i]);
        if (rc == 0) {
            *from = r->snapshots[i];
            return 0;
        }
        if (rc != E_CORRUPT && rc != E_NOT_FOUND && rc != E_TOO_LARGE)
            return rc;
        state_unlink(r, r->snapshots[i], ".snapshot");
    }
    *from = r->log->segments[0]->base_offset;
    return 0;
}

/* Snapshots beyond the end lie; those inside a segment and below the end were of earlier stops. */
static void snapshots_tidy(struct recovery *r, int64_t end)
{
    for (uint32_t i = 0; i < r->snapshots_n; i++) {
        int64_t offset = r->snapshots[i];
        if (offset > end || (offset < end && !is_segment_base(r, offset)))
            state_unlink(r, offset, ".snapshot");
    }
}

/* ── aborted transactions ── */

/* Loads the .txnindex files of segments that begin below `from`. E_CORRUPT: *bad is the base of a
 * damaged one. */
static int aborted_load(struct recovery *r, int64_t from, int64_t *bad)
{
    for (uint32_t i = 0; i < r->log->segments_n; i++) {
        const struct segment *s = r->log->segments[i];
        char path[DISK_PATH_MAX];
        struct bytes file;
        if (s->base_offset >= from || !recovery_has_file(r, s->base_offset, ".txnindex"))
            continue;
        segment_path(path, r->directory, s->base_offset, ".txnindex");
        int rc = file_read(r->disk, path, STATE_FILE_MAX, &file);
        if (rc == E_NOT_FOUND) /* dropped as damaged a moment ago */
            continue;
        if (rc != 0)
            return rc;
        rc = aborted_decode(&r->log->aborted, file, s->base_offset);
        file_read_free(&file);
        if (rc == E_CORRUPT) {
            *bad = s->base_offset;
            state_unlink(r, s->base_offset, ".txnindex");
        }
        if (rc != 0)
            return rc;
    }
    aborted_truncate_end(&r->log->aborted, from);
    return 0;
}

/* Up to where a snapshot is taken. A snapshot knows the last batch of each producer, but after a
 * crash a producer may send again any of the five it had under way: so the log's last
 * REPLAY_BYTES_MIN are read even when a snapshot lies in between. After a clean stop every answer
 * was given, and the snapshot at the end will do. */
static int64_t state_limit(const struct recovery *r, int64_t end)
{
    uint64_t bytes = 0;
    if (r->is_clean)
        return end;
    for (uint32_t i = r->log->segments_n; i-- > 0;) {
        bytes += r->log->segments[i]->end_pos;
        if (bytes >= REPLAY_BYTES_MIN || i == 0)
            return r->log->segments[i]->base_offset;
    }
    return end;
}

/* Producers and aborted transactions as of *from. */
static int state_load(struct recovery *r, int64_t end, int64_t *from)
{
    int64_t limit = state_limit(r, end), bad = 0;
    for (;;) { /* each time around the limit falls to a lower segment */
        aborted_fini(&r->log->aborted);
        int rc = snapshot_choose(r, limit, from);
        if (rc == 0)
            rc = aborted_load(r, *from, &bad);
        if (rc != E_CORRUPT)
            return rc;
        limit = bad;
    }
}

/* ── epochs ── */

/* *from: the offset from which batches have to tell. */
static int epochs_load(struct recovery *r, int64_t *from)
{
    char path[DISK_PATH_MAX];
    struct bytes file;
    *from = r->scanned_from;
    int rc = path_join(path, r->directory, "leader-epoch-checkpoint");
    if (rc == 0)
        rc = file_read(r->disk, path, STATE_FILE_MAX, &file);
    if (rc == E_NOT_FOUND) {
        *from = r->log->segments[0]->base_offset;
        return 0;
    }
    if (rc != 0)
        return rc;
    rc = epochs_parse(&r->log->epochs, file);
    file_read_free(&file);
    if (rc == E_CORRUPT) {
        epochs_fini(&r->log->epochs);
        *from = r->log->segments[0]->base_offset;
        rc = 0;
    } else if (*from != INT64_MAX) {
        epochs_truncate_end(&r->log->epochs, *from);
    }
    return rc;
}

/* ── replay ── */

struct replay {
    int64_t producers_from, epochs_from;
};

static int replay_batch(struct recovery *r, const struct replay *replay, struct batch_scan *scan,
                        const struct batch *b)
{
    struct bytes body = {NULL, 0};
    bool is_changed = false;
    int rc = 0;
    if (b->base_offset >= replay->epochs_from && b->leader_epoch > epochs_latest(&r->log->epochs))
        rc = epochs_note(&r->log->epochs, b->leader_epoch, b->base_offset, &is_changed);
    r->log->has_epochs_to_write |= is_changed;
    if (rc != 0 || b->producer_id < 0 || b->base_offset < replay->producers_from)
        return rc;
    if (batch_is_control(b)) {
        rc = batch_scan_body(scan, b, &body);
        if (rc != 0)
            return rc;
        body = (struct bytes){body.ptr + BATCH_HEADER, b->bytes - BATCH_HEADER};
    }
    rc = plog_note_producer(r->log, b, body, max_i64(b->max_timestamp, 0));
    return rc == E_NO_MEMORY ? rc : 0; /* what was accepted once is not judged again */
}

static int replay_segment(struct recovery *r, const struct replay *replay,
                          const struct segment *segment)
{
    char path[DISK_PATH_MAX];
    struct batch_scan scan;
    const uint8_t *header;
    struct batch b;
    int64_t from = min_i64(replay->producers_from, replay->epochs_from);
    uint32_t pos = 0;
    if (from > segment->base_offset && segment->index.n > 0)
        pos = index_find(bytes_of(segment->index.v, segment->index.n * INDEX_ENTRY),
                         (int32_t)min_i64(from - segment->base_offset, INT32_MAX));
    segment_path(path, r->directory, segment->base_offset, ".log");
    int fd = disk_open(r->disk, path, DISK_READ);
    if (fd < 0)
        return fd;
    int rc = batch_scan_init(&scan, r->disk, fd, segment->end_pos, pos);
    while (rc == 0 && (rc = batch_scan_peek(&scan, &b, &header)) == 0) {
        rc = replay_batch(r, replay, &scan, &b);
        batch_scan_skip(&scan, &b);
    }
    batch_scan_fini(&scan);
    disk_close(r->disk, fd);
    /* Below the recovery point nobody looked at the bytes: what cannot be read there is the
     * readers' to find. */
    return rc == E_EOF || rc == E_CORRUPT || rc == E_BAD_MAGIC ? 0 : rc;
}

int recovery_state(struct recovery *r, int64_t end)
{
    struct plog *log = r->log;
    struct replay replay;
    int rc = epochs_load(r, &replay.epochs_from);
    if (rc == 0)
        rc = state_load(r, end, &replay.producers_from);
    int64_t from = min_i64(replay.producers_from, replay.epochs_from);
    for (uint32_t i = 0; rc == 0 && i < log->segments_n; i++) {
        int64_t segment_end = i + 1 < log->segments_n ? log->segments[i + 1]->base_offset : end;
        if (segment_end > from && log->segments[i]->end_pos > 0)
            rc = replay_segment(r, &replay, log->segments[i]);
    }
    if (rc != 0)
        return rc;
    epochs_truncate_end(&log->epochs, end);
    epochs_truncate_start(&log->epochs, log->start);
    aborted_visible(&log->aborted, end);
    aborted_truncate_start(&log->aborted, log->start);
    snapshots_tidy(r, end);
    return 0;
}
