/*
 * txn.c - what a batch does to the producers and transactions of its log, when appended and when
 * replayed.
 *
 * Owner: home.
 *
 * A control batch of a transaction holds one record: key = version i16, type i16 (0 abort, 1
 * commit); value = version i16, coordinator epoch i32 (EndTransactionMarker.java). Its marker ends
 * the producer's open transaction; until the marker is below the high watermark the transaction
 * still holds the last stable offset. Control batches of no producer (KRaft's) change nothing here.
 */
#include "plog.h"

enum { MARKER_ABORT = 0, MARKER_COMMIT = 1 };

struct marker {
    int16_t type;
    int32_t coordinator_epoch;
};

static int marker_parse(struct bytes records, struct marker *out)
{
    struct record record;
    uint32_t at = 0;
    if (record_next(records, &at, &record) != 0)
        return E_INVALID_RECORD;
    if (record.key.ptr == NULL || record.key.n < 4 || record.value.ptr == NULL ||
        record.value.n < 6)
        return E_INVALID_RECORD;
    out->type = load_i16(record.key.ptr + 2);
    out->coordinator_epoch = load_i32(record.value.ptr + 2);
    if (out->type != MARKER_ABORT && out->type != MARKER_COMMIT)
        return E_INVALID_RECORD;
    return 0;
}

static int note_marker(struct plog *log, const struct batch *b, struct bytes records)
{
    struct marker marker;
    int64_t first_offset = -1, offset = batch_last_offset(b);
    int rc = marker_parse(records, &marker);
    if (rc == 0)
        rc = aborted_reserve(&log->aborted);
    if (rc == 0)
        rc = producers_end_txn(log->store->producers, &log->producers, b->producer_id,
                               b->producer_epoch, marker.coordinator_epoch, offset,
                               b->max_timestamp, &first_offset);
    if (rc != 0 || first_offset < 0)
        return rc;
    if (marker.type == MARKER_ABORT) {
        int64_t open = producers_first_open(&log->producers);
        struct aborted_entry entry = {b->producer_id, first_offset, offset,
                                      open >= 0 ? open : offset + 1};
        check(aborted_add(&log->aborted, &entry) == 0);
    }
    check(aborted_end(&log->aborted, first_offset, offset) == 0);
    return 0;
}

int plog_note_producer(struct plog *log, const struct batch *b, struct bytes records,
                       int64_t wall_ms)
{
    if (b->producer_id < 0)
        return 0;
    if (batch_is_control(b))
        return note_marker(log, b, records);
    return producers_note(log->store->producers, &log->producers, b, wall_ms);
}
