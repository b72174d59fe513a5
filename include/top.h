/*
 * top.h - the few largest of a stream, since the start and in the last minute, in fixed memory.
 *
 * Owner: one writer; any other thread may read at any time, without a lock and without delaying the
 * writer.
 *
 * One table of TOP_KEEP places since the start; for the minute a ring of tables, one for each
 * TOP_BUCKET_NS. A table that is begun anew is not emptied: a reader leaves out what is older than
 * the minute by its own time. Of the oldest, partly aged bucket only what was among its largest is
 * known, so the rear places of the minute may miss one of up to TOP_BUCKET_NS ago the window's end.
 *
 * An entry is words, and a sequence that is odd while they change. The writer stores them with
 * release, the reader loads them with acquire: who has seen a word of a newer entry also sees that
 * the sequence moved, and reads again (T1).
 */
#ifndef MILLRACE_TOP_H
#define MILLRACE_TOP_H

#include <stdatomic.h>

#include "check.h"
#include "clock.h"

enum { TOP_KEEP = 5, TOP_BUCKETS_N = 7, TOP_WORDS = 36, TOP_READ_TRIES = 8 };
#define TOP_BUCKET_NS (10 * NS_PER_S)
#define TOP_WINDOW_NS (60 * NS_PER_S)

static_assert((TOP_BUCKETS_N - 1) * TOP_BUCKET_NS >= TOP_WINDOW_NS, "the ring holds a minute");

enum top_window { TOP_START, TOP_MINUTE, TOP_WINDOWS_N };

/* Owner: the writer. */
struct top_entry {
    _Atomic uint64_t seq;  /* odd while it changes; 0: never written */
    _Atomic uint64_t rank; /* what decides the place */
    _Atomic uint64_t at_ns;
    _Atomic uint64_t w[TOP_WORDS];
};

/* Owner: the writer. Zeroed memory is an empty one. */
struct top {
    uint64_t period;                         /* of the bucket that is being filled */
    uint64_t floors[TOP_WINDOWS_N];          /* the least of each of ranks */
    uint64_t ranks[TOP_WINDOWS_N][TOP_KEEP]; /* the writer's own: 0 = free */
    struct top_entry v[1 + TOP_BUCKETS_N][TOP_KEEP];
};

/* A copy of an entry. Owner: the reader. */
struct top_item {
    uint64_t rank, at_ns;
    uint64_t w[TOP_WORDS];
};

/* ── the writer ── */

static inline uint32_t top_least(const uint64_t *ranks)
{
    uint32_t at = 0;
    for (uint32_t i = 1; i < TOP_KEEP; i++)
        if (ranks[i] < ranks[at])
            at = i;
    return at;
}

/* Would `rank` (not 0) get a place? Cheap: asked of everything that passes. */
static inline bool top_wants(const struct top *t, uint64_t rank, uint64_t now_ns)
{
    return t->period != 1 + now_ns / TOP_BUCKET_NS || rank > t->floors[TOP_MINUTE] ||
           rank > t->floors[TOP_START];
}

static inline void top_entry_set(struct top_entry *e, uint64_t rank, uint64_t at_ns,
                                 const uint64_t *w, uint32_t n)
{
    uint64_t seq = atomic_load_explicit(&e->seq, memory_order_relaxed);
    atomic_store_explicit(&e->seq, seq + 1, memory_order_relaxed);
    /* T1: pairs with the loads in top_entry_get. */
    atomic_store_explicit(&e->rank, rank, memory_order_release);
    atomic_store_explicit(&e->at_ns, at_ns, memory_order_release);
    for (uint32_t i = 0; i < n; i++)
        atomic_store_explicit(&e->w[i], w[i], memory_order_release);
    atomic_store_explicit(&e->seq, seq + 2, memory_order_release);
}

static inline void top_put(struct top *t, uint64_t rank, uint64_t now_ns, const uint64_t *w,
                           uint32_t n)
{
    uint64_t period = 1 + now_ns / TOP_BUCKET_NS;
    struct top_entry *tables[TOP_WINDOWS_N] = {t->v[0], t->v[1 + period % TOP_BUCKETS_N]};
    check(rank > 0 && n <= TOP_WORDS);
    if (t->period != period)
        memset(t->ranks[TOP_MINUTE], 0, sizeof t->ranks[TOP_MINUTE]);
    t->period = period;
    for (int window = 0; window < TOP_WINDOWS_N; window++) {
        uint32_t at = top_least(t->ranks[window]);
        if (rank <= t->ranks[window][at])
            continue;
        t->ranks[window][at] = rank;
        t->floors[window] = t->ranks[window][top_least(t->ranks[window])];
        top_entry_set(&tables[window][at], rank, now_ns, w, n);
    }
}

/* ── readers ── */

/* False: empty, or it changed again and again. */
static inline bool top_entry_get(const struct top_entry *e, struct top_item *out)
{
    for (int i = 0; i < TOP_READ_TRIES; i++) {
        uint64_t seq = atomic_load_explicit(&e->seq, memory_order_acquire);
        if (seq == 0)
            return false;
        if (seq % 2 != 0)
            continue;
        /* T1: pairs with the stores in top_entry_set. */
        out->rank = atomic_load_explicit(&e->rank, memory_order_acquire);
        out->at_ns = atomic_load_explicit(&e->at_ns, memory_order_acquire);
        for (uint32_t j = 0; j < TOP_WORDS; j++)
            out->w[j] = atomic_load_explicit(&e->w[j], memory_order_acquire);
        if (atomic_load_explicit(&e->seq, memory_order_relaxed) == seq)
            return true;
    }
    return false;
}

/* Into v[0 .. n), which is ordered, largest first, and keeps at most TOP_KEEP. Returns the new n:
 * so several tables become one. */
static inline uint32_t top_merge(struct top_item *v, uint32_t n, const struct top_item *item)
{
    uint32_t at = n;
    while (at > 0 && v[at - 1].rank < item->rank)
        at--;
    if (at == TOP_KEEP)
        return n;
    uint32_t keep = n < TOP_KEEP ? n : TOP_KEEP - 1;
    memmove(&v[at + 1], &v[at], (keep - at) * sizeof *v);
    v[at] = *item;
    return keep + 1;
}

/* Adds the entries of a window to v[0 .. n); returns the new n. */
static inline uint32_t top_read(const struct top *t, enum top_window window, uint64_t now_ns,
                                struct top_item *v, uint32_t n)
{
    uint32_t from = window == TOP_START ? 0 : 1, to = window == TOP_START ? 1 : 1 + TOP_BUCKETS_N;
    struct top_item item;
    for (uint32_t i = from; i < to; i++)
        for (uint32_t j = 0; j < TOP_KEEP; j++)
            if (top_entry_get(&t->v[i][j], &item) &&
                (window == TOP_START || item.at_ns + TOP_WINDOW_NS > now_ns))
                n = top_merge(v, n, &item);
    return n;
}

#endif
