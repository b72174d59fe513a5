/*
 * metrics.c - counters and histograms as Prometheus text, and what else the admin port answers.
 * The only file that sees libmicrohttpd.
 *
 * Owner: main opens and closes; the answers are made on the library's thread (metrics.h).
 *
 * Histograms inside are log-linear with thousands of buckets; outside they become METRICS_BUCKETS_N
 * cumulative ones, because every bucket is a time series that somebody stores. A value on the edge
 * of an inner bucket is counted where the inner bucket ends, an error of at most 2 %.
 *
 * It knows nothing of topics, partitions, groups or clients: no name a client chose can become a
 * series.
 */
#include "metrics.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto.h"

enum { ADDRESS_MAX = 128, STUCK_S = 5, ASK_WAIT_MS = 2000, API_PRODUCE = 0, API_FETCH = 1 };

/* Owner: main; the fields after `daemon` the HTTP thread. */
struct metrics {
    struct broker *broker;
    const char *version;
    char address[ADDRESS_MAX];
    char left_out[ADDRESS_MAX]; /* why it is not served; "" when it is */
    struct MHD_Daemon *daemon;
    uint64_t turns_seen[BROKER_WORKERS_MAX];
    uint64_t turns_seen_ns[BROKER_WORKERS_MAX];
};

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

enum dir_figure { DIR_OFFLINE, DIR_LOGS, DIR_FREE };

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
        }
    }
    return sum;
}

static void dirs_write(const struct broker *b, FILE *to)
{
    static const char *const names[] = {"offline", "logs", "free_bytes"};
    static const char *const texts[] = {
        "1: the log directory could not be used at start, or has failed since; its logs are "
        "offline.",
        "Partition logs in the directory.",
        "Free bytes on its disk; 0 when not looked at.",
    };

    for (uint8_t figure = DIR_OFFLINE; figure <= DIR_FREE; figure++) {
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

    head_write(to, "millrace_setting_not_honoured", "gauge",
               "A setting that is set and has no effect here; the start lines say why.");
    for (uint32_t i = 0; i < n && written < METRICS_SETTINGS_MAX; i++) {
        if (rows[i].status != CONFIG_IGNORED || !config_is_set(b->config, rows[i].key))
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
    head_write(to, "millrace_memory_bound_bytes", "gauge", "The sum of the memory ledger.");
    fprintf(to, "millrace_memory_bound_bytes %llu\n",
            (unsigned long long)bounds_process_bytes(&b->bounds));
    head_write(to, "millrace_last_stop_clean", "gauge",
               "1 when the stop before this start was clean.");
    fprintf(to, "millrace_last_stop_clean %d\n", b->is_clean);
    head_write(to, "millrace_recovery_cut_bytes", "gauge",
               "Bytes cut from logs by recovery at this start.");
    fprintf(to, "millrace_recovery_cut_bytes %llu\n", (unsigned long long)b->recovery.cut_bytes);
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

static void groups_write(const struct broker *b, FILE *to)
{
    static const struct {
        const char *metric, *type, *labels, *text;
    } rows[GROUP_STATS_N] = {
#define STAT(name, metric, type, labels, text) {metric, type, labels, text},
        GROUP_STATS(STAT)
#undef STAT
    };
    const struct group_stats *s = b->control == NULL ? NULL : control_group_stats(b->control);

    if (s == NULL) /* the boot is not that far */
        return;
    for (uint32_t i = 0; i < GROUP_STATS_N; i++) {
        bool has_labels = rows[i].labels[0] != 0;
        if (i == 0 || strcmp(rows[i].metric, rows[i - 1].metric) != 0)
            head_write(to, rows[i].metric, rows[i].type, rows[i].text);
        fprintf(to, "%s%s%s%s %llu\n", rows[i].metric, has_labels ? "{" : "", rows[i].labels,
                has_labels ? "}" : "",
                (unsigned long long)group_stats_get(s, (enum group_stat_at)i));
    }
    pauses_write(s, to);
}

void metrics_write(const struct broker *b, const char *version, FILE *to)
{
    process_write(b, version, to);
    settings_write(b, to);
    stats_write(b, to);
    ports_write(b, to);
    requests_write(b, to);
    stages_write(b, to);
    groups_write(b, to);
}

/* ── health ── */

static uint64_t turns_of(const struct worker *w)
{
    return stats_get(&w->stats, STAT_TURNS_BUSY) + stats_get(&w->stats, STAT_TURNS_IDLE);
}

/* A worker turns at least ten times a second, also without work. 200 or 503. */
static unsigned health_write(struct metrics *m, FILE *to)
{
    const struct broker *b = m->broker;
    uint64_t now_ns = clock_read_ns(), failed_n = 0;
    unsigned status = MHD_HTTP_OK;

    for (uint8_t i = 0; i < b->workers_n; i++) {
        uint64_t turns = turns_of(b->workers[i]);
        failed_n += stats_get(&b->workers[i]->stats, STAT_LOGS_FAILED);
        if (turns != m->turns_seen[i] || m->turns_seen_ns[i] == 0) {
            m->turns_seen[i] = turns;
            m->turns_seen_ns[i] = now_ns;
        } else if (now_ns - m->turns_seen_ns[i] > STUCK_S * NS_PER_S) {
            fprintf(to, "worker-%d has not turned for %llu s\n", i,
                    (unsigned long long)((now_ns - m->turns_seen_ns[i]) / NS_PER_S));
            status = MHD_HTTP_SERVICE_UNAVAILABLE;
        }
    }
    if (failed_n > 0)
        fprintf(to, "degraded: %llu logs refuse appends\n", (unsigned long long)failed_n);
    if (status == MHD_HTTP_OK)
        fprintf(to, "ok\n");
    return status;
}

/* ── groups ── */

/* What control says about a group's rebalances: one question at a time, on this thread. NULL: it
 * has not answered in time. */
static char *ask_wait(struct metrics *m, struct bytes name, bool *is_known)
{
    struct ask *ask = control_ask(m->broker->control);
    struct post *post = broker_post(m->broker, broker_control_thread(m->broker));
    uint64_t one = 1;
    char *answer = NULL;
    uint8_t state = atomic_load_explicit(&ask->state, memory_order_acquire);

    if (state == ASK_ANSWERED) /* of a question that was given up */
        free(ask->answer);
    if (state != ASK_ASKED) {
        memcpy(ask->name, name.ptr, name.n);
        ask->name_n = name.n;
        ask->answer = NULL;
        atomic_store_explicit(&ask->state, ASK_ASKED, memory_order_release);
    }
    if (post->event_fd >= 0 && write(post->event_fd, &one, sizeof one) < 0)
        one = 0; /* the descriptor is full: control is awake */
    for (int i = 0; i < ASK_WAIT_MS; i++) {
        if (atomic_load_explicit(&ask->state, memory_order_acquire) == ASK_ANSWERED)
            break;
        poll(NULL, 0, 1);
    }
    *is_known = atomic_load_explicit(&ask->state, memory_order_acquire) == ASK_ANSWERED &&
                state != ASK_ASKED;
    if (!*is_known)
        return NULL;
    answer = ask->answer;
    ask->answer = NULL;
    atomic_store_explicit(&ask->state, ASK_IDLE, memory_order_release);
    return answer;
}

/* The group of "/groups/<id>/rebalances"; ptr NULL for any other path. */
static struct bytes group_of(const char *url)
{
    static const char head[] = "/groups/", tail[] = "/rebalances";
    size_t n = strlen(url), ends = sizeof head - 1 + sizeof tail - 1;

    if (n < ends || n - ends > ASK_NAME_MAX || strncmp(url, head, sizeof head - 1) != 0 ||
        strcmp(url + n - (sizeof tail - 1), tail) != 0)
        return (struct bytes){NULL, 0};
    return bytes_of(url + sizeof head - 1, n - ends);
}

static unsigned group_write(struct metrics *m, struct bytes name, FILE *to)
{
    bool is_known;
    char *answer = ask_wait(m, name, &is_known);

    if (answer != NULL) {
        fputs(answer, to);
        free(answer);
        return MHD_HTTP_OK;
    }
    fputs(is_known ? "no such group\n" : "control does not answer\n", to);
    return is_known ? MHD_HTTP_NOT_FOUND : MHD_HTTP_SERVICE_UNAVAILABLE;
}

/* ── a look into a worker ── */

/* The answer's bytes, which the caller frees; NULL: the worker does not answer. A question that was
 * given up is answered one day: its memory is kept until then. */
static uint8_t *look_wait(struct worker *w, const struct look *question, uint64_t bytes,
                          uint64_t *n)
{
    struct look *look = &w->look;
    uint8_t *answer;

    if (atomic_load_explicit(&look->state, memory_order_acquire) == LOOK_ANSWERED) {
        free(look->to);
        atomic_store_explicit(&look->state, LOOK_IDLE, memory_order_relaxed);
    }
    if (atomic_load_explicit(&look->state, memory_order_acquire) != LOOK_IDLE ||
        (answer = malloc(bytes)) == NULL)
        return NULL;
    look->kind = question->kind;
    look->port = question->port;
    look->after = question->after;
    look->wall_ns = question->wall_ns;
    look->to = answer;
    look->to_n = bytes;
    atomic_store_explicit(&look->state, LOOK_ASKED, memory_order_release); /* L1 */
    for (int i = 0; i < ASK_WAIT_MS; i++) {
        if (atomic_load_explicit(&look->state, memory_order_acquire) == LOOK_ANSWERED) /* K2 */
            break;
        poll(NULL, 0, 1);
    }
    if (atomic_load_explicit(&look->state, memory_order_acquire) != LOOK_ANSWERED)
        return NULL;
    *n = look->n;
    atomic_store_explicit(&look->state, LOOK_IDLE, memory_order_relaxed);
    return answer;
}

/* "/conns": all workers, each as many as one look shows. */
static unsigned conns_write(struct metrics *m, FILE *to)
{
    const struct look question = {.kind = LOOK_CONNS};

    fprintf(to, "worker\tid\tpeer\tlistener\ttransport\trx_ms\ttx_ms\tunread\tanswers\ttcp\n");
    for (uint8_t i = 0; i < m->broker->workers_n; i++) {
        uint64_t n = 0;
        uint8_t *text = look_wait(m->broker->workers[i], &question, LOOK_CONNS_BYTES, &n);
        if (text == NULL) {
            fprintf(to, "worker-%d does not answer\n", i);
            return MHD_HTTP_SERVICE_UNAVAILABLE;
        }
        for (uint64_t at = 0; at < n;) {
            const uint8_t *end = memchr(text + at, '\n', n - at);
            uint64_t line_n = (uint64_t)(end - (text + at)) + 1;
            fprintf(to, "%d\t%.*s", i, (int)line_n, (const char *)text + at);
            at += line_n;
        }
        if (n + LOOK_LINE_MAX > LOOK_CONNS_BYTES)
            fprintf(to, "%d\tmore are open\n", i);
        free(text);
    }
    return MHD_HTTP_OK;
}

/* "/pcap/WORKER/PORT": the last packets of a core. */
static unsigned pcap_write(struct metrics *m, const char *url, FILE *to)
{
    struct broker *b = m->broker;
    char *end = NULL;
    unsigned long worker = strtoul(url + sizeof "/pcap/" - 1, &end, 10);
    unsigned long port = *end == '/' ? strtoul(end + 1, &end, 10) : 0;
    struct look question = {.kind = LOOK_PACKETS, .port = (uint32_t)port};
    uint64_t n = 0;

    if (*end != 0 || worker >= b->workers_n || port >= b->workers[worker]->ports.n) {
        fprintf(to, "/pcap/WORKER/PORT: %u workers, %u ports\n", b->workers_n,
                b->workers[0]->ports.n);
        return MHD_HTTP_NOT_FOUND;
    }
    struct now now = clock_read();
    question.wall_ns = (uint64_t)now.wall_ms * NS_PER_MS - now.ns;
    uint8_t *bytes = look_wait(b->workers[worker], &question,
                               lane_capture_bytes_max(b->workers[worker]->ports.lanes[port]), &n);
    if (bytes == NULL || n == 0) {
        free(bytes);
        fprintf(to, "worker-%lu does not answer, or dpdk.capture.packets=0\n", worker);
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    fwrite(bytes, 1, n, to);
    free(bytes);
    return MHD_HTTP_OK;
}

/* ── HTTP ── */

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status, char *text,
                                   size_t n)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result rc;

    if (response == NULL) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    rc = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return rc;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_n, void **user)
{
    struct metrics *m = context;
    char *text = NULL;
    size_t n = 0;
    unsigned status = MHD_HTTP_OK;
    FILE *to = open_memstream(&text, &n);

    (void)version;
    (void)upload;
    (void)user;
    *upload_n = 0;
    if (to == NULL)
        return MHD_NO;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        status = MHD_HTTP_METHOD_NOT_ALLOWED;
        fprintf(to, "only GET\n");
    } else if (strcmp(url, "/metrics") == 0) {
        metrics_write(m->broker, m->version, to);
    } else if (strcmp(url, "/healthz") == 0) {
        status = health_write(m, to);
    } else if (strcmp(url, "/slow") == 0) {
        slow_write(m->broker, clock_read(), to);
    } else if (strcmp(url, "/conns") == 0) {
        status = conns_write(m, to);
    } else if (strncmp(url, "/pcap/", 6) == 0) {
        status = pcap_write(m, url, to);
    } else if (group_of(url).ptr != NULL) {
        status = group_write(m, group_of(url), to);
    } else {
        status = MHD_HTTP_NOT_FOUND;
        fprintf(to, "here are /metrics, /healthz, /slow, /conns, /pcap/WORKER/PORT and "
                    "/groups/NAME/rebalances\n");
    }
    if (fclose(to) != 0) {
        free(text);
        return MHD_NO;
    }
    return answer_text(connection, status, text, n);
}

/* ── opening ── */

/* "127.0.0.1:9644", "[::1]:9644", ":9644" (all addresses). */
static bool address_parse(const char *text, struct sockaddr_storage *out)
{
    const char *colon = strrchr(text, ':');
    char host[ADDRESS_MAX] = "";
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    char *end;
    long port = colon == NULL ? -1 : strtol(colon + 1, &end, 10);

    if (port <= 0 || port > 65535 || *end != 0 || (size_t)(colon - text) >= sizeof host)
        return false;
    memset(out, 0, sizeof *out);
    memcpy(host, text, (size_t)(colon - text));
    if (host[0] == '[' && host[strlen(host) - 1] == ']') {
        host[strlen(host) - 1] = 0;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    if (host[0] == 0 || strcmp(host, "localhost") == 0)
        v4->sin_addr.s_addr = htonl(host[0] == 0 ? INADDR_ANY : INADDR_LOOPBACK);
    else
        return inet_pton(AF_INET, host, &v4->sin_addr) == 1;
    return true;
}

nodiscard static int metrics_listen(struct metrics *m)
{
    struct sockaddr_storage at;
    unsigned flags;

    if (!address_parse(m->address, &at))
        return E_INVALID;
    /* epoll: with select a descriptor above 1023, as busy brokers have them, would be refused. */
    flags = MHD_USE_EPOLL_INTERNAL_THREAD | (at.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    m->daemon = MHD_start_daemon(flags, 0, NULL, NULL, answer, m, MHD_OPTION_SOCK_ADDR,
                                 (struct sockaddr *)&at, MHD_OPTION_CONNECTION_LIMIT, 64u,
                                 MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
    return m->daemon != NULL ? 0 : E_IN_USE;
}

static int metrics_refuse(const char *address, int rc, char *why, size_t why_n)
{
    snprintf(why, why_n, "admin.listeners=%s: %s", address,
             rc == E_INVALID ? "not HOST:PORT with a numeric host"
                             : "the address is in use or not ours; choose another, or leave it "
                               "empty to serve no metrics");
    return rc;
}

int metrics_check(const struct config *config, char *why, size_t why_n)
{
    const char *address = config_string(config, "admin.listeners");
    struct sockaddr_storage at;
    int rc = 0, one = 1;

    if (address == NULL || address[0] == 0 || !config_is_set(config, "admin.listeners"))
        return 0;
    if (!address_parse(address, &at))
        return metrics_refuse(address, E_INVALID, why, why_n);
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return metrics_refuse(address, E_DENIED, why, why_n);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at,
             at.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) !=
        0)
        rc = metrics_refuse(address, E_IN_USE, why, why_n);
    close(fd);
    return rc;
}

int metrics_open(struct metrics **out, struct broker *b, const char *version, char *why,
                 size_t why_n)
{
    const char *address = config_string(b->config, "admin.listeners");
    struct metrics *m;
    int rc;

    *out = NULL;
    if (address == NULL || address[0] == 0)
        return 0;
    if ((m = calloc(1, sizeof *m)) == NULL)
        return E_NO_MEMORY;
    m->broker = b;
    m->version = version;
    snprintf(m->address, sizeof m->address, "%s", address);
    rc = metrics_listen(m);
    if (rc == 0 || (rc == E_IN_USE && !config_is_set(b->config, "admin.listeners"))) {
        if (rc != 0)
            snprintf(m->left_out, sizeof m->left_out, "the port is in use; set admin.listeners");
        *out = m;
        return 0;
    }
    free(m);
    return metrics_refuse(address, rc, why, why_n);
}

void metrics_close(struct metrics *m)
{
    if (m != NULL && m->daemon != NULL)
        MHD_stop_daemon(m->daemon);
    free(m);
}

void metrics_print(const struct metrics *m, FILE *to)
{
    if (m == NULL)
        fprintf(to, "metrics  not served: admin.listeners is empty\n");
    else if (m->left_out[0] != 0)
        fprintf(to, "metrics  NOT served on %s: %s\n", m->address, m->left_out);
    else
        fprintf(to, "metrics  http://%s/metrics and /healthz\n", m->address);
}
