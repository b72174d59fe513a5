/*
 * group_stats.h - what /metrics tells about consumer groups, one table: states, members,
 * rebalances and how long they took, evictions, commits.
 *
 * Owner: control is the only writer; the metrics thread reads (relaxed). The number of series is
 * that of the rows: no group and no member has one of its own.
 */
#ifndef MILLRACE_GROUP_STATS_H
#define MILLRACE_GROUP_STATS_H

#include <stdatomic.h>

#include "base.h"

/* STAT(name, metric, type, labels or "", sentence); rows of one metric stand together. */
#define GROUP_STATS(STAT)                                                                         \
    STAT(CLASSIC_EMPTY, "millrace_groups", "gauge", "type=\"classic\",state=\"Empty\"",           \
         "Groups by protocol and state.")                                                         \
    STAT(CLASSIC_PREPARING, "millrace_groups", "gauge",                                           \
         "type=\"classic\",state=\"PreparingRebalance\"", "")                                     \
    STAT(CLASSIC_COMPLETING, "millrace_groups", "gauge",                                          \
         "type=\"classic\",state=\"CompletingRebalance\"", "")                                    \
    STAT(CLASSIC_STABLE, "millrace_groups", "gauge", "type=\"classic\",state=\"Stable\"", "")     \
    STAT(NEXT_EMPTY, "millrace_groups", "gauge", "type=\"consumer\",state=\"Empty\"", "")         \
    STAT(NEXT_ASSIGNING, "millrace_groups", "gauge", "type=\"consumer\",state=\"Assigning\"", "") \
    STAT(NEXT_RECONCILING, "millrace_groups", "gauge", "type=\"consumer\",state=\"Reconciling\"", \
         "")                                                                                      \
    STAT(NEXT_STABLE, "millrace_groups", "gauge", "type=\"consumer\",state=\"Stable\"", "")       \
    STAT(CLASSIC_MEMBERS, "millrace_group_members", "gauge", "type=\"classic\"",                  \
         "Members of all groups, by the kind of their group.")                                    \
    STAT(NEXT_MEMBERS, "millrace_group_members", "gauge", "type=\"consumer\"", "")                \
    STAT(CLASSIC_REBALANCES, "millrace_group_rebalances_total", "counter", "type=\"classic\"",    \
         "Rebalances begun; millrace group explain says why.")                                    \
    STAT(NEXT_REBALANCES, "millrace_group_rebalances_total", "counter", "type=\"consumer\"", "")  \
    STAT(CLASSIC_EVICTIONS, "millrace_group_evictions_total", "counter", "type=\"classic\"",      \
         "Members dropped because they were silent or late.")                                     \
    STAT(NEXT_EVICTIONS, "millrace_group_evictions_total", "counter", "type=\"consumer\"", "")    \
    STAT(MIGRATIONS_UP, "millrace_group_migrations_total", "counter", "to=\"consumer\"",          \
         "Groups that changed their protocol while they had members.")                            \
    STAT(MIGRATIONS_DOWN, "millrace_group_migrations_total", "counter", "to=\"classic\"", "")     \
    STAT(COMMITS, "millrace_group_commits_total", "counter", "",                                  \
         "Offsets committed, counted when durable.")                                              \
    STAT(PARTITIONS_FAILED, "millrace_group_partitions_failed", "gauge", "",                      \
         "Partitions of __consumer_offsets that cannot be written or read now.")                  \
    STAT(GROUPS_LOST, "millrace_groups_ended_total", "counter", "",                               \
         "Groups ended because their records could not be appended.")

enum group_stat_at {
#define STAT(name, metric, type, labels, text) GROUP_STAT_##name,
    GROUP_STATS(STAT)
#undef STAT
        GROUP_STATS_N
};

/* Upper edges in milliseconds of how long a rebalance took; what is longer is counted last. */
#define GROUP_PAUSE_EDGES                                               \
    {                                                                   \
        1, 10, 50, 100, 250, 500, 1000, 3000, 5000, 10000, 30000, 60000 \
    }
enum { GROUP_PAUSES_N = 13 };

struct group_stats {
    _Atomic uint64_t v[GROUP_STATS_N];
    _Atomic uint64_t pauses[GROUP_PAUSES_N]; /* not cumulative */
    _Atomic uint64_t pauses_ms;              /* their sum */
};

static inline void group_stats_set(struct group_stats *s, enum group_stat_at at, uint64_t n)
{
    atomic_store_explicit(&s->v[at], n, memory_order_relaxed);
}

static inline uint64_t group_stats_get(const struct group_stats *s, enum group_stat_at at)
{
    return atomic_load_explicit(&s->v[at], memory_order_relaxed);
}

/* A rebalance is over. */
static inline void group_stats_pause(struct group_stats *s, uint64_t ns)
{
    static const uint32_t edges[] = GROUP_PAUSE_EDGES;
    uint64_t ms = (ns + 999999) / 1000000;
    uint32_t at = 0;
    while (at < GROUP_PAUSES_N - 1 && ms > edges[at])
        at++;
    atomic_store_explicit(&s->pauses[at],
                          atomic_load_explicit(&s->pauses[at], memory_order_relaxed) + 1,
                          memory_order_relaxed);
    atomic_store_explicit(&s->pauses_ms,
                          atomic_load_explicit(&s->pauses_ms, memory_order_relaxed) + ms,
                          memory_order_relaxed);
}

#endif
