/*
 * producers.c - sequences, duplicates and open transactions of the producers of a log.
 *
 * Owner: home; the pool and all its logs belong to one thread.
 *
 * An entry is found by (log, producer id) in one hash table of the pool, chained. It stands in up
 * to three more lists:
 *   of its log  a ring with `first`; expiry looks at the front and moves it to the end, so every
 *               entry has its turn however small the budget is
 *   open        a ring of the log's open transactions by first offset; the first of it holds the
 *               stable offset
 *   idle        of the pool, over all logs, longest idle first. A full pool forgets the first.
 *               Entries with an open transaction are not in it: forgetting one would show its
 *               records as committed
 *
 * Rules (ProducerAppendInfo.java, kafka-broker 2.3), for a batch with sequences [first, last]:
 *   1. same epoch, [first, last] equals one of the last five batches: duplicate of it (trap 28)
 *   2. epoch below the entry's: E_BAD_EPOCH
 *   3. another epoch: first must be 0 (KIP-360), else E_OUT_OF_ORDER
 *   4. same epoch: first must follow the last sequence, 2^31-1 being followed by 0 (trap 27). An
 *      entry that has seen only a marker expects 0.
 *   5. no entry: any first sequence (trap 29)
 *   6. an open transaction takes only transactional batches: E_BAD_TXN_STATE
 *
 * Invariants: (1) `first_offset` of an entry is >= 0 exactly when it is in `open`, and then it is
 * not in `idle`; (2) batches[0..batches_n) are of `epoch`, oldest first; (3) used entries = sum of
 * p->n over all logs.
 */
#include "producers.h"

#include <stdlib.h>

#include "check.h"
#include "crc.h"
#include "hash.h"
#include "ledger.h"
#include "list.h"

/* One remembered batch. */
struct seen {
    int64_t last_offset;
    int64_t timestamp;
    int32_t last_sequence;
    int32_t delta; /* last offset - first offset, and last sequence - first sequence */
};

/* Owner: home. */
struct producer {
    struct producer *next, *prev;           /* ring of the log  */
    struct producer *open_next, *open_prev; /* ring `open`      */
    struct producer *hash_next;
    struct list idle;
    struct producers *log; /* NULL when free   */
    int64_t producer_id;
    int64_t seen_ms;      /* our clock at the last append; -1 unknown (from a snapshot) */
    int64_t timestamp;    /* of the last batch or marker                                */
    int64_t first_offset; /* of the open transaction, or -1                             */
    int32_t coordinator_epoch;
    int16_t epoch;
    uint8_t batches_n;
    struct seen batches[PRODUCER_BATCHES];
};

struct producer_pool {
    struct producer *entries;
    struct producer **buckets;
    struct producer *free; /* chained by hash_next; entries never used come after `fresh` */
    struct list idle;
    uint64_t forgotten;
    uint32_t fresh, used, max, mask;
};

int producer_pool_init(struct producer_pool **out, uint32_t producers_max)
{
    uint32_t buckets_n = 64;
    while (buckets_n < producers_max && buckets_n < 1u << 31)
        buckets_n *= 2;
    struct producer_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return E_NO_MEMORY;
    /* calloc gives pages that are not there until they are touched: a large bound costs nothing by
     * itself. */
    pool->entries = calloc(producers_max == 0 ? 1 : producers_max, sizeof *pool->entries);
    pool->buckets = calloc(buckets_n, sizeof *pool->buckets);
    if (pool->entries == NULL || pool->buckets == NULL) {
        producer_pool_fini(pool);
        return E_NO_MEMORY;
    }
    pool->max = producers_max;
    pool->mask = buckets_n - 1;
    list_init(&pool->idle);
    *out = pool;
    return 0;
}

void producer_pool_fini(struct producer_pool *pool)
{
    if (pool == NULL)
        return;
    free(pool->entries);
    free(pool->buckets);
    free(pool);
}

void producer_pool_ledger(const struct producer_pool *pool, struct ledger *ledger)
{
    ledger_add(ledger, LEDGER_PRODUCERS, pool->entries, pool->max * sizeof *pool->entries);
    ledger_add(ledger, LEDGER_PRODUCERS, pool->buckets,
               (pool->mask + 1ull) * sizeof *pool->buckets);
}

uint64_t producer_pool_forgotten(const struct producer_pool *pool)
{
    return pool->forgotten;
}

uint32_t producer_pool_used(const struct producer_pool *pool)
{
    return pool->used;
}

static struct producer **bucket_of(const struct producer_pool *pool, const struct producers *p,
                                   int64_t producer_id)
{
    return &pool->buckets[hash_mix((uint64_t)producer_id ^ hash_mix((uintptr_t)p)) & pool->mask];
}

static struct producer *producer_find(const struct producer_pool *pool, const struct producers *p,
                                      int64_t producer_id)
{
    struct producer *e = *bucket_of(pool, p, producer_id);
    while (e != NULL && (e->producer_id != producer_id || e->log != p))
        e = e->hash_next;
    return e;
}

/* ── open transactions ── */

static void txn_open(struct producer *e, int64_t first_offset)
{
    struct producer **head = &e->log->open;
    check(e->first_offset < 0 && first_offset >= 0);
    e->first_offset = first_offset;
    list_del(&e->idle);
    if (*head == NULL) {
        e->open_next = e->open_prev = e;
        *head = e;
        return;
    }
    /* Logs grow at the end, so the place is the end but for replayed snapshots. */
    struct producer *after = (*head)->open_prev;
    while (after->first_offset > first_offset && after != *head)
        after = after->open_prev;
    if (after->first_offset > first_offset) {
        *head = e;
        after = after->open_prev;
    }
    e->open_prev = after;
    e->open_next = after->open_next;
    after->open_next->open_prev = e;
    after->open_next = e;
}

/* Closes the transaction; the entry is in no list of the pool afterwards. Returns its first offset
 * or -1. */
static int64_t txn_close(struct producer *e)
{
    int64_t first_offset = e->first_offset;
    if (first_offset < 0)
        return -1;
    struct producer **head = &e->log->open;
    if (*head == e)
        *head = e->open_next == e ? NULL : e->open_next;
    e->open_next->open_prev = e->open_prev;
    e->open_prev->open_next = e->open_next;
    e->open_next = e->open_prev = NULL;
    e->first_offset = -1;
    return first_offset;
}

/* Now the least idle of all. */
static void idle_touch(struct producer_pool *pool, struct producer *e)
{
    if (e->first_offset >= 0)
        return;
    list_del(&e->idle);
    list_append(&pool->idle, &e->idle);
}

/* ── entries come and go ── */

static void producer_drop(struct producer_pool *pool, struct producer *e)
{
    struct producers *p = e->log;
    struct producer **at = bucket_of(pool, p, e->producer_id);
    while (*at != e)
        at = &(*at)->hash_next;
    *at = e->hash_next;
    txn_close(e);
    list_del(&e->idle);
    if (p->first == e)
        p->first = e->next == e ? NULL : e->next;
    e->next->prev = e->prev;
    e->prev->next = e->next;
    check(p->n > 0 && pool->used > 0);
    p->n--;
    pool->used--;
    e->log = NULL;
    e->hash_next = pool->free;
    pool->free = e;
}

static bool pool_has_room(const struct producer_pool *pool)
{
    return pool->used < pool->max || !list_is_empty(&pool->idle);
}

/* A new entry of `p`; NULL when every place holds an open transaction. */
static struct producer *producer_add(struct producer_pool *pool, struct producers *p,
                                     int64_t producer_id)
{
    if (!pool_has_room(pool))
        return NULL;
    if (pool->used == pool->max) {
        producer_drop(pool, list_entry(pool->idle.next, struct producer, idle));
        pool->forgotten++;
    }
    struct producer *e = pool->free;
    if (e != NULL)
        pool->free = e->hash_next;
    else
        e = &pool->entries[pool->fresh++];
    *e = (struct producer){.log = p,
                           .producer_id = producer_id,
                           .seen_ms = -1,
                           .timestamp = -1,
                           .first_offset = -1,
                           .coordinator_epoch = -1,
                           .epoch = -1};
    list_init(&e->idle);
    struct producer **bucket = bucket_of(pool, p, producer_id);
    e->hash_next = *bucket;
    *bucket = e;
    e->next = e->prev = e;
    if (p->first == NULL) {
        p->first = e;
    } else {
        e->next = p->first;
        e->prev = p->first->prev;
        e->prev->next = e;
        p->first->prev = e;
    }
    p->n++;
    pool->used++;
    return e;
}

/* ── checking ── */

static int32_t last_sequence(const struct producer *e)
{
    return e->batches_n == 0 ? -1 : e->batches[e->batches_n - 1].last_sequence;
}

static int32_t first_sequence(const struct seen *s)
{
    return (int32_t)(((uint32_t)s->last_sequence - (uint32_t)s->delta) & 0x7fffffff);
}

static bool find_duplicate(const struct producer *e, const struct batch *b,
                           struct producer_answer *answer)
{
    if (e->epoch != b->producer_epoch)
        return false;
    for (int i = 0; i < e->batches_n; i++) {
        const struct seen *s = &e->batches[i];
        if (first_sequence(s) != b->base_sequence || s->last_sequence != batch_last_sequence(b))
            continue;
        *answer = (struct producer_answer){PRODUCER_DUPLICATE, false, s->last_offset - s->delta,
                                           s->last_offset, s->timestamp};
        return true;
    }
    return false;
}

static bool is_in_sequence(const struct producer *e, const struct batch *b)
{
    if (e->epoch != b->producer_epoch)
        return b->base_sequence == 0;
    int32_t last = last_sequence(e);
    return b->base_sequence == (last == INT32_MAX ? 0 : last + 1);
}

int producers_check(struct producer_pool *pool, const struct producers *p, const struct batch *b,
                    struct producer_answer *answer)
{
    check(b->producer_id >= 0 && !batch_is_control(b));
    *answer = (struct producer_answer){PRODUCER_APPEND, false, -1, -1, -1};
    const struct producer *e = producer_find(pool, p, b->producer_id);
    answer->is_new = e == NULL;
    if (e == NULL)
        return pool_has_room(pool) ? 0 : E_NO_MEMORY;
    if (find_duplicate(e, b, answer))
        return 0;
    if (b->producer_epoch < e->epoch)
        return E_BAD_EPOCH;
    /* No epoch is known of an entry that a snapshot without one made: everything is taken. */
    if (e->epoch >= 0 && !is_in_sequence(e, b))
        return E_OUT_OF_ORDER;
    if (e->first_offset >= 0 && !batch_is_transactional(b))
        return E_BAD_TXN_STATE;
    return 0;
}

/* ── noting ── */

static void set_epoch(struct producer *e, int16_t epoch)
{
    if (e->epoch != epoch)
        e->batches_n = 0;
    e->epoch = epoch;
}

static void add_batch(struct producer *e, const struct batch *b)
{
    set_epoch(e, b->producer_epoch);
    if (e->batches_n == PRODUCER_BATCHES) {
        memmove(e->batches, e->batches + 1, sizeof e->batches - sizeof e->batches[0]);
        e->batches_n--;
    }
    e->batches[e->batches_n++] = (struct seen){batch_last_offset(b), b->max_timestamp,
                                               batch_last_sequence(b), b->last_delta};
    e->timestamp = b->max_timestamp;
}

int producers_note(struct producer_pool *pool, struct producers *p, const struct batch *b,
                   int64_t wall_ms)
{
    if (b->producer_id < 0)
        return 0;
    struct producer *e = producer_find(pool, p, b->producer_id);
    if (e == NULL)
        e = producer_add(pool, p, b->producer_id);
    if (e == NULL)
        return E_NO_MEMORY;
    e->seen_ms = wall_ms;
    if (batch_is_control(b)) {
        txn_close(e);
        set_epoch(e, b->producer_epoch);
        e->timestamp = b->max_timestamp;
    } else {
        add_batch(e, b);
        if (batch_is_transactional(b) && e->first_offset < 0)
            txn_open(e, b->base_offset);
    }
    idle_touch(pool, e);
    return 0;
}

int producers_end_txn(struct producer_pool *pool, struct producers *p, int64_t producer_id,
                      int16_t producer_epoch, int32_t coordinator_epoch, int64_t offset,
                      int64_t timestamp, int64_t *first_offset)
{
    check(producer_id >= 0);
    *first_offset = -1;
    struct producer *e = producer_find(pool, p, producer_id);
    if (e != NULL && producer_epoch < e->epoch)
        return E_BAD_EPOCH;
    if (e != NULL && coordinator_epoch < e->coordinator_epoch)
        return E_BAD_TXN_STATE;
    if (e == NULL)
        e = producer_add(pool, p, producer_id);
    if (e == NULL)
        return E_NO_MEMORY;
    if (e->first_offset <= offset)
        *first_offset = txn_close(e);
    set_epoch(e, producer_epoch);
    e->coordinator_epoch = coordinator_epoch;
    e->timestamp = timestamp;
    e->seen_ms = max_i64(e->seen_ms, timestamp); /* of the coordinator's clock, which is ours */
    idle_touch(pool, e);
    return 0;
}

int64_t producers_first_open(const struct producers *p)
{
    return p->open == NULL ? -1 : p->open->first_offset;
}

uint32_t producers_expire(struct producer_pool *pool, struct producers *p, int64_t wall_ms,
                          int64_t expiration_ms, uint32_t budget)
{
    uint32_t gone = 0;
    for (uint32_t n = budget < p->n ? budget : p->n; n > 0; n--) {
        struct producer *e = p->first;
        p->first = e->next;
        if (e->seen_ms < 0)
            e->seen_ms = wall_ms;
        if (e->first_offset >= 0 || wall_ms - e->seen_ms < expiration_ms)
            continue;
        producer_drop(pool, e);
        gone++;
    }
    return gone;
}

void producers_clear(struct producer_pool *pool, struct producers *p)
{
    while (p->first != NULL)
        producer_drop(pool, p->first);
    check(p->n == 0 && p->open == NULL);
}

int producers_copy(struct producer_pool *pool, struct producers *p, const struct producers *from)
{
    const struct producer *e = from->first;
    for (uint32_t i = 0; i < from->n; i++, e = e->next) {
        struct producer *copy = producer_add(pool, p, e->producer_id);
        if (copy == NULL)
            return E_NO_MEMORY;
        copy->seen_ms = e->seen_ms;
        copy->timestamp = e->timestamp;
        copy->coordinator_epoch = e->coordinator_epoch;
        copy->epoch = e->epoch;
        copy->batches_n = e->batches_n;
        memcpy(copy->batches, e->batches, sizeof copy->batches);
        if (e->first_offset >= 0)
            txn_open(copy, e->first_offset);
        idle_touch(pool, copy);
    }
    return 0;
}

uint32_t producers_list(const struct producers *p, struct producer_state *to, uint32_t max)
{
    const struct producer *e = p->first;
    for (uint32_t i = 0; i < p->n && i < max; i++, e = e->next)
        to[i] = (struct producer_state){e->producer_id,       e->epoch,
                                        last_sequence(e),     e->timestamp,
                                        e->coordinator_epoch, e->first_offset};
    return p->n;
}

/* ── snapshots ──
 *   0 i16 version 1 | 2 u32 CRC-32C from byte 6 on | 6 i32 entries | entries of 46 bytes:
 *   0 i64 producer id    8 i16 epoch     10 i32 last sequence  14 i64 last offset
 *  22 i32 offset delta  26 i64 timestamp 34 i32 coordinator epoch  38 i64 first offset of the txn
 */

enum { SNAPSHOT_VERSION = 1, SNAPSHOT_CRC_AT = 2, SNAPSHOT_COUNT_AT = 6 };

uint64_t producers_snapshot_bytes(const struct producers *p)
{
    return PRODUCER_SNAPSHOT_HEADER + (uint64_t)p->n * PRODUCER_SNAPSHOT_ENTRY;
}

static void entry_encode(const struct producer *e, uint8_t *to)
{
    static const struct seen none = {-1, -1, -1, 0};
    const struct seen *last = e->batches_n == 0 ? &none : &e->batches[e->batches_n - 1];
    store_u64(to, (uint64_t)e->producer_id);
    store_u16(to + 8, (uint16_t)e->epoch);
    store_u32(to + 10, (uint32_t)last->last_sequence);
    store_u64(to + 14, (uint64_t)last->last_offset);
    store_u32(to + 22, (uint32_t)last->delta);
    store_u64(to + 26, (uint64_t)e->timestamp);
    store_u32(to + 34, (uint32_t)e->coordinator_epoch);
    store_u64(to + 38, (uint64_t)e->first_offset);
}

void producers_snapshot_encode(const struct producers *p, uint8_t *to)
{
    const struct producer *e = p->first;
    store_u16(to, SNAPSHOT_VERSION);
    store_u32(to + SNAPSHOT_COUNT_AT, p->n);
    for (uint32_t i = 0; i < p->n; i++, e = e->next)
        entry_encode(e, to + PRODUCER_SNAPSHOT_HEADER + (uint64_t)i * PRODUCER_SNAPSHOT_ENTRY);
    store_u32(to + SNAPSHOT_CRC_AT,
              crc_of(to + SNAPSHOT_COUNT_AT, producers_snapshot_bytes(p) - SNAPSHOT_COUNT_AT));
}

static int entry_decode(struct producer_pool *pool, struct producers *p, const uint8_t *from)
{
    int64_t producer_id = load_i64(from);
    struct seen last = {load_i64(from + 14), load_i64(from + 26), load_i32(from + 10),
                        load_i32(from + 22)};
    int64_t first_offset = load_i64(from + 38);
    bool has_batch = last.last_offset >= 0 && last.last_sequence >= 0;
    if (producer_id < 0 || producer_find(pool, p, producer_id) != NULL || first_offset < -1)
        return E_CORRUPT;
    if (has_batch && (last.delta < 0 || last.delta > last.last_offset))
        return E_CORRUPT;
    struct producer *e = producer_add(pool, p, producer_id);
    if (e == NULL)
        return E_NO_MEMORY;
    e->epoch = load_i16(from + 8);
    e->timestamp = last.timestamp;
    e->coordinator_epoch = load_i32(from + 34);
    if (has_batch)
        e->batches[e->batches_n++] = last;
    if (first_offset >= 0)
        txn_open(e, first_offset);
    idle_touch(pool, e);
    return 0;
}

int producers_snapshot_decode(struct producer_pool *pool, struct producers *p, struct bytes from)
{
    producers_clear(pool, p);
    if (from.n < PRODUCER_SNAPSHOT_HEADER || load_u16(from.ptr) != SNAPSHOT_VERSION)
        return E_CORRUPT;
    uint32_t n = load_u32(from.ptr + SNAPSHOT_COUNT_AT);
    if ((uint64_t)n * PRODUCER_SNAPSHOT_ENTRY != from.n - PRODUCER_SNAPSHOT_HEADER)
        return E_CORRUPT;
    if (load_u32(from.ptr + SNAPSHOT_CRC_AT) !=
        crc_of(from.ptr + SNAPSHOT_COUNT_AT, from.n - SNAPSHOT_COUNT_AT))
        return E_CORRUPT;
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < n; i++)
        error = entry_decode(
            pool, p, from.ptr + PRODUCER_SNAPSHOT_HEADER + (uint64_t)i * PRODUCER_SNAPSHOT_ENTRY);
    if (error < 0)
        producers_clear(pool, p);
    return error;
}
