/*
 * metrics.h - /metrics, /healthz, /slow and /groups/NAME/rebalances over HTTP, on admin.listeners.
 *
 * Owner: main; requests are answered by the HTTP library's own thread, which only reads: struct
 * stats and histograms of each thread (relaxed), and the settings, which do not change what it
 * prints after boot.
 *
 * Bound: the number of time series depends on the number of workers and on nothing a client does:
 *
 *   counters        one per row of stats.def and thread (workers and control)
 *   requests        per API that was ever asked: METRICS_BUCKETS_N buckets, sum, count
 *   stages          Produce and Fetch only: the same per stage
 *   settings        one per setting that is set and not honoured
 *   groups          one per row of group_stats.h, and GROUP_PAUSES_N buckets, sum, count
 *   telemetry       one per row of telemetry_stats.h; what clients push is below
 * telemetry.series.max
 *   directories     METRICS_DIR_FIGURES_N per log directory
 *   process         a handful
 */
#ifndef MILLRACE_METRICS_H
#define MILLRACE_METRICS_H

#include "broker.h"

enum {
    METRICS_BUCKETS_N = 13, /* with +Inf */
    METRICS_APIS_MAX = 96,
    METRICS_SETTINGS_MAX = 256,
    METRICS_PROCESS_MAX = 16,
    METRICS_DIR_FIGURES_N = 3,
};

static inline uint32_t metrics_series_max(uint32_t workers_n)
{
    return STATS_N * (workers_n + 1)                                    /* counters */
           + METRICS_APIS_MAX * (METRICS_BUCKETS_N + 2)                 /* requests */
           + 2 * STAGES_N * (METRICS_BUCKETS_N + 2)                     /* stages   */
           + GROUP_STATS_N + GROUP_PAUSES_N + 2                         /* groups   */
           + TELEMETRY_STATS_N                                          /* telemetry */
           + (NET_STATS_N + PORTS_IN_USE_N + PORTS_MOVED_N) * workers_n /* own TCP */
           + METRICS_DIR_FIGURES_N * LOG_DIRS_MAX                       /* directories */
           + LISTENERS_MAX + METRICS_SETTINGS_MAX + METRICS_PROCESS_MAX;
}

struct metrics;

/* Before anything is touched: an address of admin.listeners that was set and cannot be had is
 * refused. */
nodiscard int metrics_check(const struct config *config, char *why, size_t why_n);
/* Serves admin.listeners; *out is NULL when that is empty. An address that was not set explicitly
 * and is taken is left out (metrics_print says so); one that was set is an error, with one line in
 * `why`. */
nodiscard int metrics_open(struct metrics **out, struct broker *broker, const char *version,
                           char *why, size_t why_n);
void metrics_close(struct metrics *metrics); /* NULL is fine */
void metrics_print(const struct metrics *metrics, FILE *to);

/* The text of /slow (slow_page.c). */
void slow_write(const struct broker *broker, struct now now, FILE *to);

/* The text of /metrics. */
void metrics_write(const struct broker *broker, const char *version, FILE *to);

#endif
