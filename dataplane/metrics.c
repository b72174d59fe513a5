/*
 * metrics.c - what the admin port answers, over HTTP: /metrics (metrics_text.c), health, the slow
 * requests, groups, connections, packets. The only file that sees libmicrohttpd.
 *
 * Owner: main opens and closes; the answers are made on the library's thread (metrics.h).
 */
#include "metrics.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto.h"

enum { ADDRESS_MAX = 128, STUCK_S = 5, ASK_WAIT_MS = 2000 };

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
static char *ask_wait(struct metrics *m, uint8_t kind, struct bytes name, bool *is_known)
{
    struct ask *ask = control_ask(m->broker->control);
    struct post *post = broker_post(m->broker, broker_control_thread(m->broker));
    uint64_t one = 1;
    char *answer = NULL;
    uint8_t state = atomic_load_explicit(&ask->state, memory_order_acquire);

    if (state == ASK_ANSWERED) /* of a question that was given up */
        free(ask->answer);
    if (state != ASK_ASKED) {
        ask->kind = kind;
        if (name.n > 0)
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

/* What clients pushed (KIP-714), when there is any. */
static void clients_write(struct metrics *m, FILE *to)
{
    const struct control *control = m->broker->control;
    char *answer = NULL;
    bool is_known;

    if (control != NULL &&
        telemetry_stats_get(control_telemetry_stats(control), TELEMETRY_STAT_SERIES) > 0)
        answer = ask_wait(m, ASK_TELEMETRY, (struct bytes){NULL, 0}, &is_known);
    if (answer != NULL)
        fputs(answer, to);
    free(answer);
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
    char *answer = ask_wait(m, ASK_GROUP, name, &is_known);

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
        fprintf(to,
                "/pcap/WORKER/PORT, counted from 0: there are %u workers and %u ports of our "
                "own TCP (dpdk.ports)\n",
                b->workers_n, b->workers[0]->ports.n);
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
        clients_write(m, to);
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
