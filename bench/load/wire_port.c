/*
 * wire_port.c - the generator's bytes over our own TCP on a port of DPDK, the same engine and ports
 * as the broker's (endpoint.h).
 *
 * Owner: the generator's thread.
 *
 * Sent payloads are references to the encoded batches, which never change. What changes from one
 * request to the next (heads, small batches) is copied into a piece of its own, which is freed when
 * the peer has acknowledged it and the device has let go of it.
 *
 * It polls without pause, as the generator does over sockets.
 */
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "endpoint.h"
#include "load.h"

enum {
    SLICES_MAX = 256,
    UNACKED_MAX = 4 << 20, /* of one connection, then EAGAIN: as a socket's buffer    */
    OPEN_TIMEOUT_MS = 10000,
    FAREWELL_MS = 300, /* the last FINs, and ACKs of theirs                           */
    CONNS_SPARE = 16,  /* set-up, teardown, and what is ending                        */
};

/* Owner: the generator's thread. */
struct wire_port {
    struct wire wire;
    struct client_wire client;
    struct wire_conn client_conn;
    struct endpoint at;
};

/* Bytes on their way that the caller will write over. */
struct piece {
    struct slice_owner owner;
    uint8_t bytes[];
};

static struct wire_port *port_of(struct wire *w)
{
    return container_of(w, struct wire_port, wire);
}

/* ── a turn ── */

static void news_take(struct wire_conn *c, uint32_t news)
{
    c->is_opened |= (news & TCP_NEWS_OPENED) != 0;
    c->is_ended |= (news & (TCP_NEWS_END | TCP_NEWS_CLOSED)) != 0;
    c->is_closed |= (news & TCP_NEWS_CLOSED) != 0;
}

/* A connection that was given up has no user; its last word lets go of it. */
static uint32_t port_turn(struct wire *w, struct wire_event *v, uint32_t max)
{
    struct endpoint *e = &port_of(w)->at;
    uint32_t n = 0, news;
    endpoint_out(e);
    endpoint_in(e);
    for (struct tcb *tcb; n < max && (tcb = net_news_next(e->net, &news)) != NULL;) {
        struct wire_conn *c = tcp_user(tcb);
        if (c == NULL)
            continue;
        news_take(c, news);
        if ((news & (TCP_NEWS_DATA | TCP_NEWS_END | TCP_NEWS_CLOSED)) != 0)
            v[n++] = (struct wire_event){c, c->is_ended};
    }
    return n;
}

/* One turn whose events are looked for elsewhere (the flags of the connection, what can be read).
 */
static void turn_alone(struct wire_port *p)
{
    struct wire_event v[64];
    (void)port_turn(&p->wire, v, array_n(v));
}

/* ── connections ── */

static bool target_parse(const char *bootstrap, uint32_t *ip, uint16_t *number)
{
    char host[64], *end;
    const char *colon = strrchr(bootstrap, ':');
    if (colon == NULL || (size_t)(colon - bootstrap) >= sizeof host)
        return false;
    memcpy(host, bootstrap, (size_t)(colon - bootstrap));
    host[colon - bootstrap] = 0;
    unsigned long n = strtoul(colon + 1, &end, 10);
    *number = (uint16_t)n;
    return *end == 0 && n > 0 && n <= UINT16_MAX && endpoint_address(host, ip, NULL);
}

static void port_close(struct wire *w, struct wire_conn *c)
{
    (void)w;
    if (c->tcb == NULL)
        return;
    tcp_user_set(c->tcb, NULL);
    tcp_release(c->tcb);
    c->tcb = NULL;
}

static int port_connect(struct wire_port *p, struct wire_conn *c, uint32_t ip, uint16_t number,
                        int timeout_ms)
{
    c->is_opened = c->is_ended = c->is_closed = false;
    c->tcb = tcp_connect(p->at.net, ip, number, c, p->at.now);
    if (c->tcb == NULL)
        return E_NO_MEMORY;
    uint64_t end = clock_read_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    while (!c->is_opened && !c->is_closed && p->at.now.ns < end)
        turn_alone(p);
    if (c->is_opened && !c->is_closed)
        return 0;
    int rc = c->is_closed && tcp_error(c->tcb) != 0 ? tcp_error(c->tcb) : E_TIMED_OUT;
    port_close(&p->wire, c);
    return rc;
}

/* While others are opened, the events of those that are open are lost; nothing has been asked on
 * them, so there are none but their ends, which the next send finds. */
static int port_open(struct wire *w, struct wire_conn *c, const char *bootstrap)
{
    uint32_t ip;
    uint16_t number;
    if (!target_parse(bootstrap, &ip, &number))
        return E_INVALID;
    return port_connect(port_of(w), c, ip, number, OPEN_TIMEOUT_MS);
}

static ssize_t broken(const struct wire_conn *c)
{
    errno = c->tcb != NULL && tcp_error(c->tcb) == E_TIMED_OUT ? ETIMEDOUT : ECONNRESET;
    return -1;
}

/* ── sending ── */

static void piece_free(struct slice_owner *owner)
{
    free(container_of(owner, struct piece, owner));
}

static bool is_within(const void *p, const struct wire_bytes *bytes)
{
    uintptr_t at = (uintptr_t)p, from = (uintptr_t)bytes->copied;
    return at >= from && at < from + bytes->copied_n;
}

/* Takes all or nothing. */
static ssize_t port_send(struct wire *w, struct wire_conn *c, const struct wire_bytes *bytes)
{
    struct slice v[SLICES_MAX];
    struct piece *piece = NULL;
    ssize_t n = 0;
    (void)w;
    check(bytes->iov_n <= SLICES_MAX);
    if (c->is_closed)
        return broken(c);
    if (tcp_unacked(c->tcb) >= UNACKED_MAX) {
        errno = EAGAIN;
        return -1;
    }
    if (bytes->copied_n > 0) {
        piece = malloc(sizeof *piece + bytes->copied_n);
        if (piece == NULL) {
            errno = ENOMEM;
            return -1;
        }
        piece->owner = (struct slice_owner){1, piece_free};
        memcpy(piece->bytes, bytes->copied, bytes->copied_n);
    }
    for (uint32_t i = 0; i < bytes->iov_n; i++) {
        const uint8_t *p = bytes->iov[i].iov_base;
        v[i] = (struct slice){p, (uint32_t)bytes->iov[i].iov_len, NULL};
        if (piece != NULL && is_within(p, bytes)) {
            v[i] = (struct slice){piece->bytes + (p - bytes->copied), v[i].n, &piece->owner};
            slice_get(&v[i]);
        }
        n += v[i].n;
    }
    int rc = tcp_send(c->tcb, v, bytes->iov_n);
    for (uint32_t i = 0; rc != 0 && i < bytes->iov_n; i++)
        slice_put(&v[i]);
    if (piece != NULL)
        slice_put(&(struct slice){piece->bytes, 0, &piece->owner});
    if (rc == 0)
        return n;
    errno = rc == E_NO_MEMORY ? EAGAIN : EPIPE;
    return -1;
}

/* ── receiving ── */

static ssize_t port_receive(struct wire *w, struct wire_conn *c, void *to, uint64_t n)
{
    struct slice v[SLICES_MAX];
    uint64_t got = 0;
    (void)w;
    for (uint32_t k; got < n && (k = tcp_read(c->tcb, v, SLICES_MAX, n - got)) > 0;) {
        for (uint32_t i = 0; i < k; i++) {
            memcpy((uint8_t *)to + got, v[i].ptr, v[i].n);
            got += v[i].n;
            slice_put(&v[i]);
        }
    }
    if (got > 0)
        return (ssize_t)got;
    if (c->is_closed && tcp_error(c->tcb) != 0)
        return broken(c);
    if (c->is_ended)
        return 0;
    errno = EAGAIN;
    return -1;
}

static void port_forget(struct wire *w, struct wire_conn *c)
{
    (void)w;
    if (c->tcb != NULL)
        tcp_user_set(c->tcb, NULL);
}

/* ── the blocking client ── */

static struct wire_port *of_client(const struct client_wire *w)
{
    return container_of((struct client_wire *)(uintptr_t)w, struct wire_port, client);
}

static int client_connect(const struct client_wire *w, const char *host, uint16_t number,
                          int timeout_ms)
{
    struct wire_port *p = of_client(w);
    uint32_t ip;
    if (!endpoint_address(host, &ip, NULL))
        return E_INVALID;
    return port_connect(p, &p->client_conn, ip, number, timeout_ms);
}

static ssize_t client_send(const struct client_wire *w, const void *ptr, size_t n)
{
    struct wire_port *p = of_client(w);
    struct iovec iov = {(void *)(uintptr_t)ptr, n};
    struct wire_bytes bytes = {&iov, 1, ptr, n};
    return port_send(&p->wire, &p->client_conn, &bytes);
}

static ssize_t client_receive(const struct client_wire *w, void *to, size_t n)
{
    struct wire_port *p = of_client(w);
    return port_receive(&p->wire, &p->client_conn, to, n);
}

static void client_turn(const struct client_wire *w)
{
    turn_alone(of_client(w));
}

static void client_end(const struct client_wire *w)
{
    struct wire_port *p = of_client(w);
    port_close(&p->wire, &p->client_conn);
}

static const struct client_wire *port_client(struct wire *w)
{
    return &port_of(w)->client;
}

/* ── life ── */

static void port_free(struct wire *w)
{
    struct wire_port *p = port_of(w);
    uint64_t end = clock_read_ns() + FAREWELL_MS * NS_PER_MS;
    do
        turn_alone(p);
    while (p->at.now.ns < end);
    endpoints_close(&p->at, 1);
    free(p);
}

static const struct wire_ops port_ops = {
    port_open, port_send, port_receive, port_turn, port_forget, port_close, port_client, port_free,
};

int wire_port_new(struct wire **out, const struct load_options *o)
{
    char why[PORT_WHY_MAX];
    uint32_t ip;
    uint16_t number;
    if (!target_parse(o->bootstrap, &ip, &number)) {
        fprintf(stderr,
                "millrace bench: --bootstrap-server %s: over a port of DPDK it is an IPv4 address "
                "and a port number, 10.77.0.1:9092\n",
                o->bootstrap);
        return E_INVALID;
    }
    struct wire_port *p = calloc(1, sizeof *p);
    struct ports_config *config = calloc(1, sizeof *config);
    int rc = p == NULL || config == NULL ? E_NO_MEMORY : 0;
    snprintf(why, sizeof why, "no memory");
    if (rc == 0) {
        p->wire.ops = &port_ops;
        p->client = (struct client_wire){client_connect, client_send, client_receive, client_turn,
                                         client_end};
        config->ports[0] = o->port;
        rc = endpoints_open(&p->at, 1, config,
                            o->producers_n + o->consumers_n * o->groups_n + CONNS_SPARE, why,
                            sizeof why);
    }
    free(config);
    if (rc == 0) {
        *out = &p->wire;
        return 0;
    }
    fprintf(stderr, "millrace bench: %s\n", why);
    free(p);
    return rc;
}
