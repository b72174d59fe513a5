/*
 * compact_txns.c - which batches belong to aborted transactions, and which markers are no longer
 * needed, while a log is read from its beginning to its end.
 *
 * Owner: bulk. Source: Kafka CleanedTransactionMetadata.
 *
 * The list of aborted transactions is ordered by first offset; one becomes *open* when the reading
 * has come to its first offset, and is closed by its producer's marker. A marker is void when no
 * batch of its transaction was read in this pass: then nothing is left that it could explain. Only
 * transactions of one producer at a time can be open, so a producer id names them.
 */
#include <stdlib.h>

#include "compact.h"

enum { MARKER_KEY_BYTES = 4, MARKER_ABORT = 0, MARKER_COMMIT = 1 };

static bool room(void **v, uint32_t n, uint32_t *max, size_t bytes)
{
    if (n < *max)
        return true;
    uint32_t more = *max == 0 ? 16 : *max * 2;
    void *grown = realloc(*v, more * bytes);
    if (grown == NULL)
        return false;
    *v = grown;
    *max = more;
    return true;
}

/* Transactions that begin in or before the batch are open now, unless they have ended before it. */
static int txns_open(struct compact_txns *t, const struct batch *b)
{
    int64_t offset = batch_last_offset(b);
    for (; t->aborted_at < t->aborted_n && t->aborted[t->aborted_at].first_offset <= offset;
         t->aborted_at++) {
        if (t->aborted[t->aborted_at].last_offset < b->base_offset)
            continue;
        if (!room((void **)&t->open, t->open_n, &t->open_max, sizeof *t->open))
            return E_NO_MEMORY;
        t->open[t->open_n++] = (struct compact_abort){t->aborted[t->aborted_at], false};
    }
    return 0;
}

/* The one whose marker comes next, when a producer has several behind one another. */
static struct compact_abort *open_find(struct compact_txns *t, int64_t producer_id, int64_t offset)
{
    struct compact_abort *found = NULL;
    for (uint32_t i = 0; i < t->open_n; i++) {
        struct compact_abort *a = &t->open[i];
        if (a->entry.producer_id != producer_id || a->entry.last_offset < offset)
            continue;
        if (found == NULL || a->entry.last_offset < found->entry.last_offset)
            found = a;
    }
    return found;
}

static bool committing_has(const struct compact_txns *t, int64_t producer_id, uint32_t *at)
{
    for (uint32_t i = 0; i < t->committing_n; i++) {
        *at = i;
        if (t->committing[i] == producer_id)
            return true;
    }
    return false;
}

static int committing_add(struct compact_txns *t, int64_t producer_id)
{
    uint32_t at;
    if (committing_has(t, producer_id, &at))
        return 0;
    if (!room((void **)&t->committing, t->committing_n, &t->committing_max, sizeof *t->committing))
        return E_NO_MEMORY;
    t->committing[t->committing_n++] = producer_id;
    return 0;
}

static bool committing_remove(struct compact_txns *t, int64_t producer_id)
{
    uint32_t at;
    if (!committing_has(t, producer_id, &at))
        return false;
    t->committing[at] = t->committing[--t->committing_n];
    return true;
}

/* A control batch's type; other control batches (KRaft's) are nobody's marker: -1. */
static int marker_type(const struct batch *b, struct bytes whole, int *type)
{
    struct record record;
    uint32_t at = 0;
    *type = -1;
    if (b->records_n == 0)
        return 0; /* a marker that was kept for its producer's epoch alone */
    if (batch_codec(b) != CODEC_NONE)
        return E_CORRUPT;
    struct bytes records = bytes_of(whole.ptr + BATCH_HEADER, whole.n - BATCH_HEADER);
    if (record_next(records, &at, &record) != 0 || record.key.ptr == NULL ||
        record.key.n < MARKER_KEY_BYTES)
        return E_CORRUPT;
    *type = load_i16(record.key.ptr + 2);
    return 0;
}

static int marker_batch(struct compact_txns *t, const struct batch *b, struct bytes whole,
                        bool *is_void, struct aborted_entry *kept, bool *has_kept)
{
    int type;
    int error = marker_type(b, whole, &type);
    if (error < 0)
        return error;
    if (type == MARKER_COMMIT) {
        *is_void = !committing_remove(t, b->producer_id);
    } else if (type == MARKER_ABORT) {
        struct compact_abort *a = open_find(t, b->producer_id, b->base_offset);
        *is_void = a == NULL || !a->has_data;
        if (!*is_void) {
            *kept = a->entry;
            *has_kept = true;
        }
        if (a != NULL)
            *a = t->open[--t->open_n];
        /* A transaction that the list does not know as aborted, and is. */
        (void)committing_remove(t, b->producer_id);
    }
    return 0;
}

int compact_txns_batch(struct compact_txns *txns, const struct batch *b, struct bytes whole,
                       bool *is_void, struct aborted_entry *kept, bool *has_kept)
{
    *is_void = *has_kept = false;
    int error = txns_open(txns, b);
    if (error < 0)
        return error;
    if (batch_is_control(b))
        return marker_batch(txns, b, whole, is_void, kept, has_kept);
    if (!batch_is_transactional(b))
        return 0;
    struct compact_abort *a = open_find(txns, b->producer_id, b->base_offset);
    if (a != NULL && a->entry.first_offset <= batch_last_offset(b)) {
        a->has_data = true;
        *is_void = true;
        return 0;
    }
    return committing_add(txns, b->producer_id);
}

void compact_txns_fini(struct compact_txns *txns)
{
    free(txns->open);
    free(txns->committing);
    *txns = (struct compact_txns){.aborted = NULL};
}
