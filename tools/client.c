/*
 * client.c - a plain blocking client of a Kafka broker, through our own codec. See client.h.
 *
 * Owner: the caller, one thread.
 *
 * The socket is non-blocking and every wait is a poll() up to the request's deadline, so that a
 * broker that accepts and then says nothing costs the time-out and no more. Negotiation:
 * ApiVersions 3 first; a broker that does not know it answers error 35 in the form of version 0
 * (KIP-511), and is asked again with version 0.
 */
#include "client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "messages.h"
#include "parse.h"

enum { API_VERSIONS = 18, API_VERSIONS_MAX = 4, ERROR_UNSUPPORTED_VERSION = 35 };
enum { ARENA_BYTES_MAX = 1 << 30, PREFIX_BYTES = 4, ENCODE_BUDGET = 1 << 20 };

/* The bytes of one answer. */
struct frame {
    struct list link;
    struct slice slice;
    uint8_t bytes[];
};

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int fail(struct client *c, int error, const char *format, ...) printf_like(3, 4);
static int fail(struct client *c, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->why, sizeof c->why, format, arguments);
    va_end(arguments);
    return error;
}

/* ── connecting ── */

static int wait_for(struct client *c, short events, int64_t deadline_ms, const char *what)
{
    for (;;) {
        int64_t left_ms = deadline_ms - clock_ms();
        if (c->wire != NULL && left_ms > 0) {
            c->wire->turn(c->wire);
            return 0;
        }
        struct pollfd p = {.fd = c->fd, .events = events};
        int n = left_ms <= 0 ? 0 : poll(&p, 1, (int)left_ms);
        if (n > 0)
            return 0;
        if (n == 0)
            return fail(c, E_TIMED_OUT,
                        "%s did not %s within %d ms.\n  Is it a Kafka broker, and not too busy? "
                        "--timeout 30s waits longer.",
                        c->address, what, c->timeout_ms);
        if (errno != EINTR)
            return fail(c, E_IO, "%s: %s", c->address, strerror(errno));
    }
}

static int connect_address(struct client *c, const struct addrinfo *a, int64_t deadline_ms)
{
    c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return fail(c, E_IO, "no socket: %s", strerror(errno));
    int error = 0;
    if (connect(c->fd, a->ai_addr, a->ai_addrlen) != 0)
        error = errno;
    if (error == EINPROGRESS) {
        int rc = wait_for(c, POLLOUT, deadline_ms, "accept a connection");
        if (rc != 0)
            return rc;
        socklen_t n = sizeof error;
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
            error = errno;
    }
    if (error == ECONNREFUSED)
        return fail(c, E_CLOSED,
                    "nothing listens on %s (connection refused).\n  Is the broker running? "
                    "`millraced` starts one on "
                    "127.0.0.1:9092; --bootstrap-server HOST:PORT names another.",
                    c->address);
    if (error != 0)
        return fail(c, E_CLOSED, "no connection to %s: %s", c->address, strerror(error));
    int one = 1;
    if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        return fail(c, E_IO, "%s: %s", c->address, strerror(errno));
    return 0;
}

static void close_socket(struct client *c)
{
    if (c->wire != NULL)
        c->wire->close(c->wire);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static int connect_host(struct client *c, const struct parse_address *to)
{
    char port[8];
    snprintf(port, sizeof port, "%u", to->port);
    snprintf(c->address, sizeof c->address, strchr(to->host, ':') ? "[%s]:%u" : "%s:%u", to->host,
             to->port);
    if (c->wire != NULL) {
        int error = c->wire->open(c->wire, to->host, to->port, c->timeout_ms);
        return error == 0
                   ? 0
                   : fail(c, error, "no connection to %s: %s", c->address, error_text(error));
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all = NULL;
    int rc = getaddrinfo(to->host, port, &hints, &all);
    if (rc != 0)
        return fail(c, E_NOT_FOUND,
                    "the name %s is not known: %s.\n  Check --bootstrap-server HOST:PORT.",
                    to->host, gai_strerror(rc));
    int64_t deadline_ms = clock_ms() + c->timeout_ms;
    rc = E_NOT_FOUND;
    for (const struct addrinfo *a = all; a != NULL && rc != 0; a = a->ai_next) {
        close_socket(c);
        rc = connect_address(c, a, deadline_ms);
    }
    freeaddrinfo(all);
    return rc;
}

/* ── one request ── */

static int send_all(struct client *c, const struct slices *out, int64_t deadline_ms)
{
    for (uint32_t i = 0; i < out->n; i++) {
        const uint8_t *p = out->v[i].ptr;
        size_t left = out->v[i].n;
        while (left > 0) {
            ssize_t n = c->wire != NULL ? c->wire->send(c->wire, p, left)
                                        : send(c->fd, p, left, MSG_NOSIGNAL);
            if (n > 0) {
                p += n;
                left -= (size_t)n;
                continue;
            }
            if (errno != EAGAIN && errno != EINTR)
                return fail(c, E_CLOSED, "%s broke the connection: %s", c->address,
                            strerror(errno));
            int rc = wait_for(c, POLLOUT, deadline_ms, "take the request");
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

static int receive_all(struct client *c, uint8_t *to, size_t n, int64_t deadline_ms,
                       const char *api)
{
    while (n > 0) {
        ssize_t got = c->wire != NULL ? c->wire->receive(c->wire, to, n) : recv(c->fd, to, n, 0);
        if (got > 0) {
            to += got;
            n -= (size_t)got;
            continue;
        }
        if (got == 0)
            return fail(c, E_CLOSED,
                        "%s closed the connection instead of answering %s.\n  Is it a Kafka "
                        "broker, on a listener "
                        "without TLS or SASL?",
                        c->address, api);
        if (errno != EAGAIN && errno != EINTR)
            return fail(c, E_CLOSED, "%s broke the connection: %s", c->address, strerror(errno));
        int rc = wait_for(c, POLLIN, deadline_ms, "answer");
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int receive_frame(struct client *c, int64_t deadline_ms, const char *api, struct frame **out)
{
    uint8_t prefix[PREFIX_BYTES];
    int rc = receive_all(c, prefix, sizeof prefix, deadline_ms, api);
    if (rc != 0)
        return rc;
    int32_t n = load_i32(prefix);
    if (n < PREFIX_BYTES || n > CLIENT_FRAME_BYTES_MAX)
        return fail(c, E_MALFORMED, "%s answers %s with a length of %d: that is no Kafka broker.",
                    c->address, api, n);
    struct frame *f = malloc(sizeof *f + (size_t)n);
    if (f == NULL)
        return fail(c, E_NO_MEMORY, "no memory for an answer of %d bytes", n);
    f->slice = (struct slice){f->bytes, (uint32_t)n, NULL};
    list_push(&c->frames, &f->link);
    *out = f;
    return receive_all(c, f->bytes, (size_t)n, deadline_ms, api);
}

static int send_request(struct client *c, int16_t api_key, int16_t version, const void *request,
                        int64_t deadline_ms)
{
    struct proto_out out;
    int rc = proto_encode_request(&out, &c->arena, api_key, version, ++c->correlation_id,
                                  bytes_of_string("millrace-cli"), request);
    while (rc == 0 && (rc = proto_encode_more(&out, ENCODE_BUDGET)) == E_AGAIN)
        rc = 0;
    if (rc != 0)
        return fail(c, rc, "%s version %d cannot be written: %s", proto_api_name(api_key), version,
                    error_text(rc));
    return send_all(c, &out.out, deadline_ms);
}

/* Decodes the body of `f` as the API's answer in `version`. */
static int read_answer(struct client *c, struct frame *f, int16_t api_key, int16_t version,
                       const void **response)
{
    const struct proto_message *m = proto_response(api_key);
    struct slices from = {.v = &f->slice, .n = 1, .bytes = f->slice.n};
    struct proto_in in;
    int32_t correlation_id = 0;
    proto_in_init(&in, &from, &c->arena);
    void *answer = arena_alloc(&c->arena, m->size);
    int rc = answer == NULL ? E_NO_MEMORY
                            : proto_decode_response_header(&in, api_key, version, &correlation_id);
    if (rc == 0 && correlation_id != c->correlation_id)
        return fail(c, E_MALFORMED, "%s answers another request (correlation id %d instead of %d)",
                    c->address, correlation_id, c->correlation_id);
    if (rc == 0)
        rc = proto_decode(m, version, &in, answer);
    if (rc != 0)
        return fail(c, rc, "the answer of %s to %s version %d cannot be read: %s", c->address,
                    proto_api_name(api_key), version, error_text(rc));
    *response = answer;
    return 0;
}

static int exchange(struct client *c, int16_t api_key, int16_t version, const void *request,
                    struct frame **f)
{
    int64_t deadline_ms = clock_ms() + c->timeout_ms;
    int rc = send_request(c, api_key, version, request, deadline_ms);
    return rc != 0 ? rc : receive_frame(c, deadline_ms, proto_api_name(api_key), f);
}

int16_t client_version(const struct client *c, int16_t api_key, int16_t version_max)
{
    const struct proto_message *m = proto_request(api_key);
    if (m == NULL || c->apis[api_key].max < 0)
        return -1;
    int64_t max = min_i64(min_i64(m->version_max, version_max), c->apis[api_key].max);
    return max < m->version_min || max < c->apis[api_key].min ? -1 : (int16_t)max;
}

int client_call(struct client *c, int16_t api_key, int16_t version_max, const void *request,
                const void **response, int16_t *version)
{
    int16_t v = client_version(c, api_key, version_max);
    if (v < 0)
        return fail(c, E_UNSUPPORTED,
                    "%s does not serve %s in a version this program knows.\n  `millrace api` lists "
                    "what it serves.",
                    c->address, proto_api_name(api_key));
    if (version != NULL)
        *version = v;
    struct frame *f;
    int rc = exchange(c, api_key, v, request, &f);
    return rc != 0 ? rc : read_answer(c, f, api_key, v, response);
}

/* ── negotiation ── */

static int negotiate(struct client *c)
{
    struct api_versions_request *request = PROTO_NEW(&c->arena, api_versions_request, 1);
    if (request == NULL)
        return fail(c, E_NO_MEMORY, "no memory");
    request->client_software_name = bytes_of_string("millrace");
    request->client_software_version = bytes_of_string("1");
    struct frame *f;
    const void *answer;
    int16_t version = 3;
    int rc = exchange(c, API_VERSIONS, version, request, &f);
    if (rc != 0)
        return rc;
    /* Behind the correlation id comes the error code, in every version. */
    if (f->slice.n >= 6 && load_i16(f->bytes + 4) == ERROR_UNSUPPORTED_VERSION) {
        version = 0;
        rc = exchange(c, API_VERSIONS, version, request, &f);
    }
    if (rc == 0)
        rc = read_answer(c, f, API_VERSIONS, version, &answer);
    if (rc != 0)
        return rc;
    const struct api_versions_response *r = answer;
    char name[32];
    if (r->error_code != 0)
        return fail(c, E_UNSUPPORTED, "%s refuses ApiVersions: %s", c->address,
                    kafka_error_name(r->error_code, name, sizeof name));
    for (size_t i = 0; i < PROTO_APIS_N; i++)
        c->apis[i] = (struct client_range){0, -1};
    for (int32_t i = 0; i < r->api_keys_n; i++) {
        int16_t key = r->api_keys[i].api_key;
        if (key < 0 || key >= PROTO_APIS_N)
            c->unknown_apis_n++;
        else
            c->apis[key] =
                (struct client_range){r->api_keys[i].min_version, r->api_keys[i].max_version};
    }
    return 0;
}

int client_open(struct client *c, const char *bootstrap, int timeout_ms)
{
    return client_open_over(c, NULL, bootstrap, timeout_ms);
}

int client_open_over(struct client *c, const struct client_wire *wire, const char *bootstrap,
                     int timeout_ms)
{
    *c = (struct client){.wire = wire, .fd = -1, .timeout_ms = timeout_ms};
    arena_init(&c->arena, NULL, NULL, ARENA_BYTES_MAX);
    list_init(&c->frames);
    const char *list = bootstrap;
    struct parse_address to;
    int rc = E_INVALID;
    while (rc != 0 && parse_next_address(&list, &to)) {
        rc = connect_host(c, &to);
        if (rc == 0)
            rc = negotiate(c);
    }
    if (rc != 0 && *list != 0)
        rc = fail(c, E_INVALID, "--bootstrap-server %s: expected HOST:PORT, or several with commas",
                  bootstrap);
    if (rc == E_INVALID && c->why[0] == 0)
        rc = fail(c, E_INVALID, "--bootstrap-server is empty: expected HOST:PORT");
    if (rc != 0)
        close_socket(c);
    return rc;
}

void client_close(struct client *c)
{
    close_socket(c);
    arena_fini(&c->arena);
    struct list *l;
    while ((l = list_pop(&c->frames)) != NULL)
        free(list_entry(l, struct frame, link));
}
