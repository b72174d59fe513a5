/*
 * verify_txn.c - aborted transactions as the batches of a log tell them, against .txnindex.
 *
 * Owner: verify_directory.
 *
 * Every abort marker whose transaction left records in the log needs its entry, and the entry must
 * begin at or before the first of them: else a reader of committed records would be shown aborted
 * ones. An entry may begin earlier (the log's start was moved into the transaction), and in a log
 * that was compacted it may have outlived its marker.
 */
#include <stdlib.h>

#include "verify_inside.h"

enum { TXN_ENTRY = 34, MARKER_ABORT = 0 };

static int seen_reserve(struct abort_seen **v, uint32_t n, uint32_t *max)
{
    if (n < *max)
        return 0;
    uint32_t more = *max == 0 ? 16 : *max * 2;
    struct abort_seen *grown = realloc(*v, more * sizeof *grown);
    if (grown == NULL)
        return E_NO_MEMORY;
    *v = grown;
    *max = more;
    return 0;
}

static int64_t open_take(struct verify_txns *t, int64_t producer_id)
{
    for (uint32_t i = 0; i < t->open_n; i++) {
        int64_t first = t->open[i].first_offset;
        if (t->open[i].producer_id != producer_id)
            continue;
        t->open[i] = t->open[--t->open_n];
        return first;
    }
    return -1;
}

static int64_t open_first(const struct verify_txns *t, int64_t none)
{
    int64_t first = none;
    for (uint32_t i = 0; i < t->open_n; i++)
        first = min_i64(first, t->open[i].first_offset);
    return first;
}

static int txns_open(struct verify_txns *t, const struct batch *b)
{
    for (uint32_t i = 0; i < t->open_n; i++)
        if (t->open[i].producer_id == b->producer_id)
            return 0;
    if (seen_reserve(&t->open, t->open_n, &t->open_max) < 0)
        return E_NO_MEMORY;
    t->open[t->open_n++] =
        (struct abort_seen){.producer_id = b->producer_id, .first_offset = b->base_offset};
    return 0;
}

int txns_note(struct verify_txns *t, const struct batch *b, struct bytes whole)
{
    struct record r;
    uint32_t at = 0;
    if (!batch_is_transactional(b))
        return 0;
    if (!batch_is_control(b))
        return txns_open(t, b);
    if (record_next(bytes_of(whole.ptr + BATCH_HEADER, whole.n - BATCH_HEADER), &at, &r) != 0 ||
        r.key.n < 4)
        return 0; /* compaction left the batch without its record */
    int64_t first = open_take(t, b->producer_id);
    if (load_i16(r.key.ptr + 2) != MARKER_ABORT)
        return 0;
    if (seen_reserve(&t->aborts, t->aborts_n, &t->aborts_max) < 0)
        return E_NO_MEMORY;
    int64_t last = batch_last_offset(b);
    t->aborts[t->aborts_n++] = (struct abort_seen){.producer_id = b->producer_id,
                                                   .last_offset = last,
                                                   .first_offset = first,
                                                   .stable_offset = open_first(t, last + 1)};
    return 0;
}

void txns_fini(struct verify_txns *t)
{
    free(t->open);
    free(t->aborts);
}

/* The entry of a marker; NULL: there is none that will do. */
static const uint8_t *entry_of(const struct abort_seen *seen, struct bytes file)
{
    for (uint32_t at = 0; at + TXN_ENTRY <= file.n; at += TXN_ENTRY) {
        const uint8_t *e = file.ptr + at;
        int64_t first = load_i64(e + 10);
        if (load_i16(e) == 0 && load_i64(e + 2) == seen->producer_id &&
            load_i64(e + 18) == seen->last_offset && first >= 0 && first <= seen->last_offset &&
            (seen->first_offset < 0 || first <= seen->first_offset))
            return e;
    }
    return NULL;
}

static bool has_marker(const struct verify_txns *t, uint32_t from, uint32_t to, const uint8_t *e)
{
    for (uint32_t i = from; i < to; i++)
        if (t->aborts[i].producer_id == load_i64(e + 2) &&
            t->aborts[i].last_offset == load_i64(e + 18))
            return true;
    return false;
}

bool txns_judge(const struct verify_txns *t, uint32_t from, uint32_t to, bool is_dense,
                struct bytes file, char what[VERIFY_TEXT_MAX])
{
    for (uint32_t i = from; i < to; i++) {
        const struct abort_seen *seen = &t->aborts[i];
        if (seen->first_offset < 0 || entry_of(seen, file) != NULL)
            continue;
        snprintf(
            what, VERIFY_TEXT_MAX,
            "the aborted transaction of producer %lld, offsets %lld to %lld, is not in it: its "
            "records would be read as committed",
            (long long)seen->producer_id, (long long)seen->first_offset,
            (long long)seen->last_offset);
        return true;
    }
    for (uint32_t at = 0; is_dense && at + TXN_ENTRY <= file.n; at += TXN_ENTRY) {
        const uint8_t *e = file.ptr + at;
        if (has_marker(t, from, to, e))
            continue;
        snprintf(what, VERIFY_TEXT_MAX,
                 "entry %u: no abort marker of producer %lld stands at offset %lld", at / TXN_ENTRY,
                 (long long)load_i64(e + 2), (long long)load_i64(e + 18));
        return true;
    }
    return false;
}

int txns_file(const struct verify_txns *t, uint32_t from, uint32_t to, struct bytes old,
              struct bytes *out)
{
    uint8_t *v = malloc((uint64_t)(to - from + 1) * TXN_ENTRY);
    uint32_t n = 0;
    if (v == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = from; i < to; i++) {
        const struct abort_seen *seen = &t->aborts[i];
        const uint8_t *e = entry_of(seen, old);
        uint8_t *entry = v + n;
        if (e == NULL && seen->first_offset < 0)
            continue; /* nothing of it is left that a reader could see */
        n += TXN_ENTRY;
        if (e != NULL) {
            memcpy(entry, e, TXN_ENTRY);
            continue;
        }
        memset(entry, 0, 2);
        store_u64(entry + 2, (uint64_t)seen->producer_id);
        store_u64(entry + 10, (uint64_t)seen->first_offset);
        store_u64(entry + 18, (uint64_t)seen->last_offset);
        store_u64(entry + 26, (uint64_t)seen->stable_offset);
    }
    *out = bytes_of(v, n);
    return 0;
}
