/*
 * telemetry_stats.h - what /metrics tells about client telemetry itself (KIP-714), one table.
 *
 * Owner: control is the only writer; the metrics thread reads (relaxed).
 */
#ifndef MILLRACE_TELEMETRY_STATS_H
#define MILLRACE_TELEMETRY_STATS_H

#include <stdatomic.h>

#include "base.h"

/* STAT(name, metric, type, labels or "", sentence); rows of one metric stand together. */
#define TELEMETRY_STATS(STAT)                                                                      \
    STAT(CLIENTS, "millrace_telemetry_clients", "gauge", "", "Clients that ask what to push.")     \
    STAT(SERIES, "millrace_telemetry_series", "gauge", "",                                         \
         "Series of clients served below, at most telemetry.series.max.")                          \
    STAT(PUSHES, "millrace_telemetry_pushes_total", "counter", "result=\"taken\"",                 \
         "Pushes of clients, by what became of them.")                                             \
    STAT(THROTTLED, "millrace_telemetry_pushes_total", "counter", "result=\"too early\"", "")      \
    STAT(UNKNOWN, "millrace_telemetry_pushes_total", "counter", "result=\"unknown subscription\"", \
         "")                                                                                       \
    STAT(CODEC, "millrace_telemetry_pushes_total", "counter", "result=\"unknown codec\"", "")      \
    STAT(TOO_LARGE, "millrace_telemetry_pushes_total", "counter", "result=\"too large\"", "")      \
    STAT(INVALID, "millrace_telemetry_pushes_total", "counter", "result=\"invalid\"", "")          \
    STAT(LEFT_OUT, "millrace_telemetry_points_left_out_total", "counter", "",                      \
         "Numbers that found no room below telemetry.series.max, or are of a kind that is not "    \
         "shown.")                                                                                 \
    STAT(EVICTED, "millrace_telemetry_clients_evicted_total", "counter", "",                       \
         "Clients forgotten because there were too many, not because they were silent.")

enum telemetry_stat_at {
#define STAT(name, metric, type, labels, text) TELEMETRY_STAT_##name,
    TELEMETRY_STATS(STAT)
#undef STAT
        TELEMETRY_STATS_N
};

struct telemetry_stats {
    _Atomic uint64_t v[TELEMETRY_STATS_N];
};

static inline uint64_t telemetry_stats_get(const struct telemetry_stats *s,
                                           enum telemetry_stat_at at)
{
    return atomic_load_explicit(&s->v[at], memory_order_relaxed);
}

static inline void telemetry_stats_add(struct telemetry_stats *s, enum telemetry_stat_at at,
                                       int64_t n)
{
    atomic_store_explicit(&s->v[at], telemetry_stats_get(s, at) + (uint64_t)n,
                          memory_order_relaxed);
}

#endif
