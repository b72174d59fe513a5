/*
 * stats.h - every counter of the process, one table (stats.def): enum, name, unit and sentence from
 * one line.
 *
 * Owner: each thread has a struct stats of its own and is its only writer; the metrics thread reads
 * (relaxed).
 */
#ifndef MILLRACE_STATS_H
#define MILLRACE_STATS_H

#include <stdatomic.h>

#include "base.h"

enum stat_at {
#define STAT(name, type, metric, text) STAT_##name,
#include "stats.def"
#undef STAT
    STATS_N
};

struct stats {
    _Alignas(64) _Atomic uint64_t v[STATS_N];
};

static inline void stats_add(struct stats *s, enum stat_at at, uint64_t n)
{
    atomic_store_explicit(&s->v[at], atomic_load_explicit(&s->v[at], memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void stats_set(struct stats *s, enum stat_at at, uint64_t n)
{
    atomic_store_explicit(&s->v[at], n, memory_order_relaxed);
}

static inline uint64_t stats_get(const struct stats *s, enum stat_at at)
{
    return atomic_load_explicit(&s->v[at], memory_order_relaxed);
}

/* One number that its thread writes and others may read. */
struct stats_cell {
    _Atomic uint64_t v;
};

static inline void stats_cell_set(struct stats_cell *cell, uint64_t n)
{
    atomic_store_explicit(&cell->v, n, memory_order_relaxed);
}

static inline uint64_t stats_cell_get(const struct stats_cell *cell)
{
    return atomic_load_explicit(&cell->v, memory_order_relaxed);
}

#endif
