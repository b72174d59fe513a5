/*
 * metrics_text.c - counters, gauges and histograms as Prometheus text: /metrics.
 *
 * Owner: none; made on the HTTP library's thread, which only reads (metrics.h).
 *
 * Histograms inside are log-linear with thousands of buckets; outside they become METRICS_BUCKETS_N
 * cumulative ones, because every bucket is a time series that somebody stores. A value on the edge
 * of an inner bucket is counted where the inner bucket ends, an error of at most 2 %.
 *
 * It knows nothing of topics, partitions, groups or clients: no name a client chose can become a
 * series. What clients push themselves (KIP-714) is added by metrics.c, below telemetry.series.max.
 */
#include "metrics.h"

#include "ledger_lines.h"
#include "proto.h"

enum { API_PRODUCE = 0, API_FETCH = 1 };

/* ── text ── */

struct stat_row {
    const char *metric, *text;
    bool is_counter;
};

static const struct stat_row stat_rows[] = {
#define COUNTER                        true
#define GAUGE                          false
#define STAT(name, type, metric, text) {metric, text, type},
#include "stats.def"
#undef STAT
#undef COUNTER
#undef GAUGE
};

/* Upper edges in microseconds; the last bucket is +Inf. */
static const uint32_t edges_us[METRICS_BUCKETS_N - 1] = {
    50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 100000, 500000, 2500000};

static void head_write(FILE *to, const char *metric, const char *type, const char *text)
{
    fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", metric, text, metric, type);
}

/* Label values of ours need no escapes; those of settings may. */
static void label_write(FILE *to, const char *text)
{
    for (; *text != 0; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', to);
        if (*text == '\n')
            fputs("\\n", to);
        else
            fputc(*text, to);
    }
}

static void stats_write(const struct broker *b, FILE *to)
{
    char name[16];

    for (int at = 0; at < STATS_N; at++) {
        const struct stat_row *row = &stat_rows[at];
        head_write(to, row->metric, row->is_counter ? "counter" : "gauge", row->text);
        for (uint8_t i = 0; i <= b->workers_n; i++) {
            const struct stats *s = i < b->workers_n ? &b->workers[i]->stats : &b->control_stats;
            broker_thread_name(b, i, name, sizeof name);
            fprintf(to, "%s{thread=\"%s\"} %llu\n", row->metric, name,
                    (unsigned long long)stats_get(s, (enum stat_at)at));
        }
    }
}

/* ── histograms ── */

/* The outer buckets of one API and stage, over all workers. */
struct outer {
    uint64_t counts[METRICS_BUCKETS_N]; /* not cumulative */
    uint64_t n, sum_ns;
};

static void outer_add(struct outer *o, const struct histogram *h)
{
    uint32_t bucket = 0;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS(h->bits); i++) {
        uint64_t n = atomic_load_explicit(&h->counts[i], memory_order_relaxed);
        if (n == 0)
            continue;
        while (bucket < METRICS_BUCKETS_N - 1 &&
               histogram_value(i, h->bits) > (uint64_t)edges_us[bucket] * NS_PER_US)
            bucket++;
        o->counts[bucket] += n;
        o->n += n;
    }
    o->sum_ns += atomic_load_explicit(&h->sum, memory_order_relaxed);
}

static bool outer_of(const struct broker *b, int16_t api_key, int to, struct outer *out)
{
    bool is_seen = false;

    *out = (struct outer){0};
    for (uint8_t i = 0; i < b->workers_n; i++) {
        const struct kafka *kafka = b->workers[i]->kafka;
        const struct histogram *h = kafka == NULL ? NULL : kafka_histogram(kafka, api_key, to);
        if (h == NULL)
            continue;
        is_seen = true;
        outer_add(out, h);
    }
    return is_seen && out->n > 0;
}

static void outer_write(FILE *to, const char *metric, const char *labels, const struct outer *o)
{
    uint64_t n = 0;

    for (int i = 0; i < METRICS_BUCKETS_N - 1; i++) {
        n += o->counts[i];
        fprintf(to, "%s_bucket{%s,le=\"%g\"} %llu\n", metric, labels, edges_us[i] / 1e6,
                (unsigned long long)n);
    }
    fprintf(to, "%s_bucket{%s,le=\"+Inf\"} %llu\n", metric, labels, (unsigned long long)o->n);
    fprintf(to, "%s_sum{%s} %.9f\n", metric, labels, (double)o->sum_ns / 1e9);
    fprintf(to, "%s_count{%s} %llu\n", metric, labels, (unsigned long long)o->n);
}

static void requests_write(const struct broker *b, FILE *to)
{
    struct outer o;
    char labels[96];

    head_write(
        to, "millrace_request_seconds", "histogram",
        "Time of a request from its last byte received to its answer handed to the transport.");
    for (int16_t api = 0; api < METRICS_APIS_MAX; api++) {
        if (!outer_of(b, api, STAGES_N, &o))
            continue;
        snprintf(labels, sizeof labels, "api=\"%s\"", proto_api_name(api));
        outer_write(to, "millrace_request_seconds", labels, &o);
    }
}

static void stages_write(const struct broker *b, FILE *to)
{
    static const char *const names[] = {
#define STAGE(name, text, culprit) #name,
        STAGES(STAGE)
#undef STAGE
    };
    static const int16_t apis[] = {API_PRODUCE, API_FETCH};
    struct outer o;
    char labels[96];

    head_write(to, "millrace_stage_seconds", "histogram",
               "Time until a stage was reached, since the stage before it.");
    for (size_t i = 0; i < array_n(apis); i++) {
        for (int stage = 1; stage < STAGES_N; stage++) { /* before the first there is nothing */
            outer_of(b, apis[i], stage,
                     &o); /* also when it never came: series do not come and go */
            snprintf(labels, sizeof labels, "api=\"%s\",stage=\"%s\"", proto_api_name(apis[i]),
                     names[stage]);
            outer_write(to, "millrace_stage_seconds", labels, &o);
        }
    }
}

/* ── log directories ── */

enum dir_figure { DIR_OFFLINE, DIR_LOGS, DIR_FREE, DIR_RESERVE };

/* What the workers have of it, together. */
static uint64_t dir_figure(const struct broker *b, uint8_t dir, enum dir_figure figure)
{
    uint64_t sum = figure == DIR_OFFLINE && !b->dirs[dir].is_online;

    for (uint8_t i = 0; i < b->workers_n; i++) {
        const struct worker_dir *d = &b->workers[i]->dirs[dir];
        switch (figure) {
        case DIR_OFFLINE: sum |= stats_cell_get(&d->is_offline); break;
        case DIR_LOGS: sum += stats_cell_get(&d->logs); break;
        case DIR_FREE: sum = max_u64(sum, stats_cell_get(&d->free_bytes)); break;
        case DIR_RESERVE: sum = max_u64(sum, stats_cell_get(&d->reserve_bytes)); break;
        }
    }
    return sum;
}

static void dirs_write(const struct broker *b, FILE *to)
{
    static const char *const names[] = {"offline", "logs", "free_bytes", "reserve_bytes"};
    static const char *const texts[] = {
        "1: the log directory could not be used at start, or failed since; its logs are offline.",
        "Partition logs in the directory.",
        "Free bytes on its disk; 0 when not looked at.",
        "Bytes of its reserve file; 0 when it is given up, or there is none.",
    };

    for (uint8_t figure = DIR_OFFLINE; figure <= DIR_RESERVE; figure++) {
        char metric[64];
        snprintf(metric, sizeof metric, "millrace_log_directory_%s", names[figure]);
        head_write(to, metric, "gauge", texts[figure]);
        for (uint8_t i = 0; i < b->dirs_n; i++) {
            fprintf(to, "%s{directory=\"", metric);
            label_write(to, b->dirs[i].path);
            fprintf(to, "\"} %llu\n",
                    (unsigned long long)dir_figure(b, i, (enum dir_figure)figure));
        }
    }
}

/* ── ports ── */

/* Which transport serves which listener. */
static void listeners_write(const struct broker *b, FILE *to)
{
    head_write(to, "millrace_listener", "gauge", "A listener, and the transport that serves it.");
    for (uint32_t i = 0; i < b->listeners_n; i++) {
        const struct listener *l = &b->listeners[i];
        fprintf(to, "millrace_listener{listener=\"");
        label_write(to, l->name);
        fprintf(to, "\",transport=\"%s\",port=\"", l->native == 0 ? "kernel" : "own-tcp");
        label_write(to, l->native == 0 ? "" : b->ports.config.ports[l->native - 1].name);
        fprintf(to, "\"} 1\n");
    }
}

static void rows_write(const struct broker *b, FILE *to, const char *metric,
                       const char *const *names, const char *type, const char *label,
                       const char *text, size_t n, size_t offset)
{
    head_write(to, metric, type, text);
    for (uint8_t i = 0; i < b->workers_n; i++) {
        const struct stats_cell *cells =
            (const void *)((const char *)&b->workers[i]->ports.shown + offset);
        for (size_t k = 0; k < n; k++)
            fprintf(to, "%s{thread=\"worker-%d\",%s=\"%s\"} %llu\n", metric, i, label, names[k],
                    (unsigned long long)stats_cell_get(&cells[k]));
    }
}

static void ports_write(const struct broker *b, FILE *to)
{
    static const char *const events[] = {
#define NET_STAT(name, text) #name,
#include "net_stats.def"
#undef NET_STAT
    };
    static const char *const in_use[] = {
#define IN_USE(name) #name,
        PORTS_IN_USE(IN_USE)
#undef IN_USE
    };
    static const char *const moved[] = {
#define MOVED(name) #name,
        PORTS_MOVED(MOVED)
#undef MOVED
    };

    listeners_write(b, to);
    dirs_write(b, to);
    if (b->ports.driver == NULL)
        return;
    rows_write(b, to, "millrace_tcp_events_total", events, "counter", "event",
               "What our own TCP counts; every drop has its own name.", array_n(events), 0);
    rows_write(b, to, "millrace_tcp_in_use", in_use, "gauge", "what",
               "What the engines have taken of their bounds.", array_n(in_use),
               sizeof b->workers[0]->ports.shown.events);
    rows_write(b, to, "millrace_port_moved_total", moved, "counter", "what",
               "What moved between ports, queues and workers.", array_n(moved),
               sizeof b->workers[0]->ports.shown.events + sizeof b->workers[0]->ports.shown.in_use);
}

/* ── the process ── */

static void settings_write(const struct broker *b, FILE *to)
{
    uint32_t n = 0, written = 0;
    const struct config_row *rows = config_rows(CONFIG_BROKER, &n);

    const struct idle_settings *idle =
        b->control == NULL ? NULL : control_idle_settings(b->control);

    head_write(to, "millrace_setting_not_honoured", "gauge",
               "A setting that is set and has no effect here; the start lines say why.");
    for (uint32_t i = 0; i < n && written < METRICS_SETTINGS_MAX; i++) {
        bool is_idle =
            idle == NULL
                ? config_is_idle(b->config, &rows[i])
                : atomic_load_explicit(&idle->words[i / 64], memory_order_relaxed) >> (i % 64) & 1;
        if (!is_idle)
            continue;
        fprintf(to, "millrace_setting_not_honoured{setting=\"");
        label_write(to, rows[i].key);
        fprintf(to, "\"} 1\n");
        written++;
    }
}

static void process_write(const struct broker *b, const char *version, FILE *to)
{
    head_write(to, "millrace_build_info", "gauge", "The version that runs.");
    fprintf(to, "millrace_build_info{version=\"");
    label_write(to, version);
    fprintf(to, "\",transport=\"io_uring\"} 1\n");
    head_write(to, "millrace_durability_mode", "gauge",
               "The default of storage.durability: group (flushed before acks=all) or relaxed.");
    fprintf(to, "millrace_durability_mode{mode=\"");
    label_write(to, config_string(b->config, "storage.durability"));
    fprintf(to, "\"} 1\n");
    head_write(to, "millrace_workers", "gauge", "Worker threads.");
    fprintf(to, "millrace_workers %u\n", b->workers_n);
    head_write(to, "millrace_last_stop_clean", "gauge",
               "1 when the stop before this start was clean.");
    fprintf(to, "millrace_last_stop_clean %d\n", b->is_clean);
    head_write(to, "millrace_recovery_cut_bytes", "gauge",
               "Bytes cut from logs by recovery at this start.");
    fprintf(to, "millrace_recovery_cut_bytes %llu\n", (unsigned long long)b->recovery.cut_bytes);
}

/* ── memory ── */

static void memory_write(const struct broker *b, FILE *to)
{
    struct ledger_used used;

    ledger_used(b, &used);
    head_write(to, "millrace_memory_bound_bytes", "gauge",
               "The sum of the memory ledger: what its lines with a bound may take at most.");
    fprintf(to, "millrace_memory_bound_bytes %llu\n", (unsigned long long)ledger_bounds_sum(b));
    head_write(to, "millrace_memory_limit_bytes", "gauge",
               "What a line of the memory ledger may take; a line without a bound is not here.");
    for (int line = 0; line < LEDGER_LINES_N; line++) {
        uint64_t bytes = ledger_bound(b, (enum ledger_line)line);
        if (bytes > 0)
            fprintf(to, "millrace_memory_limit_bytes{what=\"%s\"} %llu\n",
                    ledger_label((enum ledger_line)line), (unsigned long long)bytes);
    }
    head_write(to, "millrace_memory_used_bytes", "gauge",
               "What is in memory of a line of the memory ledger.");
    for (int line = 0; line < LEDGER_LINES_N; line++)
        fprintf(to, "millrace_memory_used_bytes{what=\"%s\"} %llu\n",
                ledger_label((enum ledger_line)line), (unsigned long long)used.lines[line]);
    head_write(to, "millrace_memory_resident_bytes", "gauge",
               "The whole process as the kernel counts it, to be compared with the sum of "
               "millrace_memory_used_bytes.");
    fprintf(to, "millrace_memory_resident_bytes %llu\n", (unsigned long long)used.resident);
}

/* ── groups ── */

static void pauses_write(const struct group_stats *s, FILE *to)
{
    static const uint32_t edges_ms[GROUP_PAUSES_N - 1] = GROUP_PAUSE_EDGES;
    uint64_t n = 0;

    head_write(to, "millrace_group_rebalance_seconds", "histogram",
               "How long rebalances took, from their cause until every member had its assignment.");
    for (int i = 0; i < GROUP_PAUSES_N; i++) {
        n += atomic_load_explicit(&s->pauses[i], memory_order_relaxed);
        if (i < GROUP_PAUSES_N - 1)
            fprintf(to, "millrace_group_rebalance_seconds_bucket{le=\"%g\"} %llu\n",
                    edges_ms[i] / 1e3, (unsigned long long)n);
    }
    fprintf(to,
            "millrace_group_rebalance_seconds_bucket{le=\"+Inf\"} %llu\n"
            "millrace_group_rebalance_seconds_sum %.3f\n"
            "millrace_group_rebalance_seconds_count %llu\n",
            (unsigned long long)n,
            (double)atomic_load_explicit(&s->pauses_ms, memory_order_relaxed) / 1e3,
            (unsigned long long)n);
}

struct table_row {
    const char *metric, *type, *labels, *text;
};
#define STAT(name, metric, type, labels, text) {metric, type, labels, text},
static const struct table_row group_rows[GROUP_STATS_N] = {GROUP_STATS(STAT)};
static const struct table_row telemetry_rows[TELEMETRY_STATS_N] = {TELEMETRY_STATS(STAT)};
#undef STAT

/* Rows of one metric stand together; the first says what it is. */
static void table_write(FILE *to, const struct table_row *rows, uint32_t n,
                        const _Atomic uint64_t *values)
{
    for (uint32_t i = 0; i < n; i++) {
        bool has_labels = rows[i].labels[0] != 0;
        if (i == 0 || strcmp(rows[i].metric, rows[i - 1].metric) != 0)
            head_write(to, rows[i].metric, rows[i].type, rows[i].text);
        fprintf(to, "%s%s%s%s %llu\n", rows[i].metric, has_labels ? "{" : "", rows[i].labels,
                has_labels ? "}" : "",
                (unsigned long long)atomic_load_explicit(&values[i], memory_order_relaxed));
    }
}

static void groups_write(const struct broker *b, FILE *to)
{
    const struct group_stats *s = b->control == NULL ? NULL : control_group_stats(b->control);

    if (s == NULL) /* the boot is not that far */
        return;
    table_write(to, group_rows, GROUP_STATS_N, s->v);
    pauses_write(s, to);
}

static void telemetry_write(const struct broker *b, FILE *to)
{
    const struct telemetry_stats *s =
        b->control == NULL ? NULL : control_telemetry_stats(b->control);

    if (s != NULL)
        table_write(to, telemetry_rows, TELEMETRY_STATS_N, s->v);
}

void metrics_write(const struct broker *b, const char *version, FILE *to)
{
    process_write(b, version, to);
    memory_write(b, to);
    settings_write(b, to);
    stats_write(b, to);
    ports_write(b, to);
    requests_write(b, to);
    stages_write(b, to);
    groups_write(b, to);
    telemetry_write(b, to);
}
