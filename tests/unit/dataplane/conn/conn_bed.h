/*
 * conn_bed.h - what the tests of connections stand on: conns with an io, pages, timers, a small
 * application (frames with a 4 byte length, answered with themselves) and clients over either
 * transport.
 *
 * Owner: one test. Time is a number; a turn is a millisecond. With sockets a turn waits at most 50
 * us in the kernel, so a test that expects something gives it turns, never a sleep.
 */
#ifndef MILLRACE_CONN_BED_H
#define MILLRACE_CONN_BED_H

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bytes.h"
#include "inside.h"
#include "net.h"
#include "pkt.h"
#include "uring.h"

enum { PIECES_MAX = 64, FRAME_MAX = 8 << 20, TURNS_MAX = 20000 };

struct bed;

struct request {
    struct conn_slot slot;
    struct list link; /* bed.held */
    struct bed *bed;
    struct slice v[PIECES_MAX];
    uint32_t pieces_n;
    uint64_t bytes;
};

/* Owner: the test. */
struct bed {
    bool is_sock; /* bytes take time to arrive: kernel sockets, or two engines of net/ */
    bool is_net;
    struct net *nets[2];       /* ours, and the clients'                     */
    bool is_next_long_lost[2]; /* the next frame of each with a full payload */
    struct list net_clients;
    struct io *io;
    struct io nothing; /* the memory transport needs none */
    struct pages pages;
    void *region, *headers;
    uint64_t region_bytes;
    struct timers timers;
    struct now now;
    struct listener listener;
    uint16_t port;
    struct conns_config config;
    struct conns *conns;
    /* the application */
    bool is_holding; /* requests wait in `held` instead of being answered */
    bool is_blind;   /* leaves bytes where they are                       */
    bool has_want;   /* admits frames                                     */
    struct list held;
    struct conn *last; /* the connection that was ready last */
    uint32_t frames_n, sent_n, told_n, too_many_n;
    uint32_t shed_n; /* connections that a lower limit ended */
};

/* A client of the second engine; the bed's, because clients are values. */
struct net_client {
    struct list link;
    struct tcb *tcb;
    uint32_t news; /* all so far */
};

struct client {
    struct bed *bed;
    struct net_client *net;
    int fd;
    struct conn_memory *memory;
};

static struct bed *bed_of(void **state)
{
    return *state;
}

/* ── the bed ── */

static void nothing_submit(struct io *io, struct io_op *op)
{
    (void)io;
    (void)op;
    check(false);
}

static int nothing_poll(struct io *io)
{
    (void)io;
    return 0;
}

static int nothing_wait(struct io *io, uint64_t ns_max)
{
    (void)io;
    (void)ns_max;
    return 0;
}

static const struct io_functions nothing_functions = {nothing_submit, nothing_poll, nothing_wait,
                                                      NULL, NULL};

static void bed_pages_make(struct bed *bed, uint64_t bytes)
{
    bed->region_bytes = bytes;
    bed->region = aligned_alloc(PAGE_BLOCK, bytes);
    bed->headers = calloc(1, pages_header_bytes(bytes));
    assert_non_null(bed->region);
    assert_non_null(bed->headers);
    pages_init(&bed->pages, bed->region, bytes, bed->headers);
}

static void bed_listen(struct bed *bed)
{
    int fd = -1;
    snprintf(bed->listener.name, sizeof bed->listener.name, "PLAINTEXT");
    snprintf(bed->listener.host, sizeof bed->listener.host, "127.0.0.1");
    bed->port = 0;
    assert_int_equal(listener_open(&bed->listener, &fd, &bed->port), 0);
    assert_int_not_equal(bed->port, 0);
    assert_int_equal(conns_listen(bed->conns, &bed->listener, fd), 0);
}

/* ── two engines ── */

enum { CLIENT_IP = 0x0a000002, OUR_IP = 0x0a000001, NET_PORT = 9092, LONG_FRAME = 1500 };

static void bed_net_open(struct bed *bed)
{
    for (int i = 0; i < 2; i++) {
        struct net_config config = {.mac = {2, 0, 0, 0, 0, (uint8_t)(i + 1)},
                                    .ip = i == 0 ? OUR_IP : CLIENT_IP,
                                    .mask = 0xffffff00,
                                    .user_timeout_ms = 100000000,
                                    .seed = 3};
        assert_int_equal(net_init(&bed->nets[i], &config, bed->now), 0);
    }
    snprintf(bed->listener.name, sizeof bed->listener.name, "PLAINTEXT");
    bed->port = NET_PORT;
    list_init(&bed->net_clients);
    assert_int_equal(conns_net_listen(bed->nets[0], &bed->listener, NET_PORT), 0);
}

/* What one engine sends arrives at the other. */
static void bed_net_carry(struct bed *bed, int from)
{
    net_turn(bed->nets[from], bed->now);
    for (struct pkt *pkt; (pkt = net_output_next(bed->nets[from])) != NULL;) {
        if (bed->is_next_long_lost[from] && pkt_bytes(pkt) >= LONG_FRAME) {
            bed->is_next_long_lost[from] = false;
            pkt_put(pkt);
            continue;
        }
        struct pkt *to = net_packet_take(bed->nets[!from]);
        assert_non_null(to);
        to->n = pkt_copy(pkt, to->data);
        pkt_put(pkt);
        net_input(bed->nets[!from], to, bed->now);
    }
}

static void bed_net_arrive(struct bed *bed)
{
    uint32_t news;
    for (int i = 0; i < 4; i++) {
        bed_net_carry(bed, 1);
        conns_net_turn(bed->conns, bed->nets[0], bed->now);
        bed_net_carry(bed, 0);
        for (struct tcb *tcb; (tcb = net_news_next(bed->nets[1], &news)) != NULL;)
            ((struct net_client *)tcp_user(tcb))->news |= news;
    }
}

/* Both engines forget everything in time, and nothing is left. */
static void bed_net_close(struct bed *bed)
{
    for (int i = 0; i < 200; i++) {
        bed->now.ns += NS_PER_S;
        bed_net_arrive(bed);
    }
    for (struct list *l; (l = list_pop(&bed->net_clients)) != NULL;)
        free(list_entry(l, struct net_client, link));
    for (int i = 0; i < 2; i++)
        net_fini(bed->nets[i]);
}

/* Whatever is on its way arrives. */
static void bed_arrive(struct bed *bed, uint64_t ns_max)
{
    if (bed->is_net)
        bed_net_arrive(bed);
    else if (bed->is_sock)
        io_wait(bed->io, ns_max);
}

static struct conns_config bed_config_default(void)
{
    return (struct conns_config){
        .conns_max = 4096,
        .per_ip_max = 4096,
        .idle_ns_max = 0,
        .recv_buffer_bytes = 16384,
        .recv_buffers_n = 64,
        .seed = 7,
    };
}

enum bed_kind { BED_MEMORY, BED_SOCK, BED_NET };

static struct bed *bed_make(enum bed_kind kind, const struct conns_config *config,
                            uint64_t pages_bytes)
{
    struct bed *bed = calloc(1, sizeof *bed);
    struct uring_report report;
    assert_non_null(bed);
    bed->is_sock = kind != BED_MEMORY;
    bed->is_net = kind == BED_NET;
    bed->has_want = true;
    bed->config = *config;
    bed->now = (struct now){NS_PER_S, 1000};
    list_init(&bed->held);
    bed->nothing.functions = &nothing_functions;
    bed->io = &bed->nothing;
    if (kind == BED_SOCK)
        assert_int_equal(uring_open(&bed->io, 256, &report), 0);
    bed_pages_make(bed, pages_bytes);
    timers_init(&bed->timers, bed->now.ns);
    assert_int_equal(conns_init(&bed->conns, config, bed->io, &bed->pages, &bed->timers), 0);
    if (kind == BED_SOCK)
        bed_listen(bed);
    if (kind == BED_NET)
        bed_net_open(bed);
    return bed;
}

static void bed_invariants(struct bed *bed)
{
    list_for_each(l, next, &bed->conns->open)
        conn_invariants(list_entry(l, struct conn, link));
}

/* ── the application ── */

static void request_free(struct request *r)
{
    if (list_is_linked(&r->link))
        list_del(&r->link);
    for (uint32_t i = 0; i < r->pieces_n; i++)
        slice_put(&r->v[i]);
    free(r);
}

static void request_sent(struct conn_slot *slot)
{
    struct request *r = container_of(slot, struct request, slot);
    r->bed->sent_n++;
    r->pieces_n = 0; /* the connection put them */
    request_free(r);
}

static void request_finish(struct request *r)
{
    if (list_is_linked(&r->link))
        list_del(&r->link);
    r->slot.answer = (struct slices){r->v, r->pieces_n, r->bytes};
    conn_slot_finish(&r->slot);
}

static void request_skip(struct request *r)
{
    if (list_is_linked(&r->link))
        list_del(&r->link);
    for (uint32_t i = 0; i < r->pieces_n; i++)
        slice_put(&r->v[i]);
    conn_slot_skip(&r->slot);
}

static struct request *held_at(struct bed *bed, uint32_t at)
{
    struct list *l = bed->held.next;
    for (; at > 0; at--)
        l = l->next;
    check(l != &bed->held);
    return list_entry(l, struct request, link);
}

static uint32_t held_n(struct bed *bed)
{
    uint32_t n = 0;
    list_for_each(l, next, &bed->held)
        n++;
    return n;
}

static void app_end(struct bed *bed, struct conn *conn)
{
    bed->told_n++;
    list_for_each(l, next, &bed->held) {
        struct request *r = list_entry(l, struct request, link);
        if (r->slot.conn != conn)
            continue;
        conn_slot_drop(&r->slot);
        request_free(r);
    }
}

/* One frame of 4 + n bytes; false when it is not whole, or no slot is free. */
static bool app_frame(struct bed *bed, struct conn *conn)
{
    uint8_t head[4];
    if (conn_unread(conn) < 4)
        return false;
    conn_peek(conn, head, 4);
    uint64_t n = 4 + (uint64_t)load_u32(head);
    if (n > FRAME_MAX) {
        conn_close(conn, CONN_END_TOO_LARGE);
        return false;
    }
    if (conn_unread(conn) < n) {
        if (bed->has_want)
            conn_want(conn, n - conn_unread(conn));
        return false;
    }
    struct request *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->bed = bed;
    list_init(&r->link);
    r->slot.sent = request_sent;
    if (!conn_slot_open(conn, &r->slot)) {
        free(r);
        return false;
    }
    int pieces = conn_take(conn, n, r->v, PIECES_MAX);
    if (pieces < 0)
        bed->too_many_n++;
    assert_true(pieces > 0);
    r->pieces_n = (uint32_t)pieces;
    r->bytes = n;
    bed->frames_n++;
    if (bed->is_holding)
        list_append(&bed->held, &r->link);
    else
        request_finish(r);
    return true;
}

static void app_turn(struct bed *bed)
{
    for (struct conn *conn; (conn = conns_ready_next(bed->conns)) != NULL;) {
        bed->last = conn;
        if (conn_is_closing(conn)) {
            app_end(bed, conn);
            continue;
        }
        if (bed->is_blind) {
            conn_ready_again(conn);
            continue;
        }
        while (!conn_is_closing(conn) && app_frame(bed, conn)) {
        }
    }
}

static void bed_turn(struct bed *bed)
{
    bed_arrive(bed, 50 * NS_PER_US);
    timers_run(&bed->timers, bed->now, 1000);
    app_turn(bed);
    bed_invariants(bed);
    conns_send_ready(bed->conns, bed->now);
    bed_invariants(bed);
    bed->now.ns += NS_PER_MS;
    bed->now.wall_ms++;
}

static void bed_turns(struct bed *bed, uint32_t n)
{
    while (n-- > 0)
        bed_turn(bed);
}

/* Turns until the condition holds. A loaded machine delivers late, so nothing that has to arrive is
 * awaited for a fixed number of turns. */
#define bed_until(bed, condition)                                            \
    do {                                                                     \
        for (uint32_t turn_ = 0; turn_ < TURNS_MAX && !(condition); turn_++) \
            bed_turn(bed);                                                   \
        assert_true(condition);                                              \
    } while (0)

/* Turns until `n` connections are left. */
static void bed_until_conns(struct bed *bed, uint32_t n)
{
    for (uint32_t i = 0; i < TURNS_MAX && conns_count(bed->conns) != n; i++)
        bed_turn(bed);
    assert_int_equal(conns_count(bed->conns), n);
}

static void bed_free(struct bed *bed)
{
    while (!list_is_empty(&bed->held))
        request_finish(held_at(bed, 0));
    conns_stop(bed->conns, bed->now.ns);
    bed_until_conns(bed, 0);
    bed_turns(bed, 2);
    const struct conns_stats *stats = conns_stats(bed->conns);
    uint64_t ends = 0;
    for (int i = 0; i < CONN_ENDS_N; i++)
        ends += stats->ends[i];
    assert_int_equal(ends - stats->ends[CONN_END_LIMIT] + bed->shed_n, stats->accepted_n);
    assert_int_equal(bed->told_n, stats->accepted_n);
    assert_int_equal(stats->staging_bytes, 0);
    assert_int_equal(stats->recv_buffers_out_n, 0);
    assert_int_equal(bed->pages.used_bytes, 0);
    assert_int_equal(bed->io->under_way, 0);
    if (bed->is_net)
        bed_net_close(bed);
    conns_fini(bed->conns);
    if (bed->is_sock && !bed->is_net)
        uring_close(bed->io);
    free(bed->region);
    free(bed->headers);
    free(bed);
}

/* ── clients ── */

static bool client_try(struct client *c, struct bed *bed)
{
    *c = (struct client){bed, NULL, -1, NULL};
    if (bed->is_net) {
        c->net = calloc(1, sizeof *c->net);
        assert_non_null(c->net);
        list_append(&bed->net_clients, &c->net->link);
        c->net->tcb = tcp_connect(bed->nets[1], OUR_IP, NET_PORT, c->net, bed->now);
        return c->net->tcb != NULL;
    }
    if (!bed->is_sock) {
        c->memory = conns_memory_connect(bed->conns, &bed->listener, bed->now);
        return c->memory != NULL;
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(bed->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(c->fd >= 0);
    int rc = connect(c->fd, (struct sockaddr *)&to, sizeof to);
    return rc == 0 || errno == EINPROGRESS;
}

static struct client client_connect(struct bed *bed)
{
    struct client c;
    uint64_t before = conns_stats(bed->conns)->accepted_n;
    assert_true(client_try(&c, bed));
    for (uint32_t i = 0; i < TURNS_MAX && conns_stats(bed->conns)->accepted_n == before; i++)
        bed_turn(bed);
    assert_int_equal(conns_stats(bed->conns)->accepted_n, before + 1);
    bed_turn(bed);
    return c;
}

struct net_copy {
    struct slice_owner owner;
    uint8_t bytes[];
};

static void net_copy_release(struct slice_owner *owner)
{
    free(container_of(owner, struct net_copy, owner));
}

static int64_t net_client_write(struct net_client *c, const void *from, uint64_t n)
{
    enum { QUEUED_MAX = 256 * 1024 };
    if ((c->news & TCP_NEWS_CLOSED) != 0)
        return -1;
    n = min_u64(n, QUEUED_MAX - min_u64(QUEUED_MAX, tcp_unacked(c->tcb)));
    if ((c->news & TCP_NEWS_OPENED) == 0 || n == 0)
        return 0;
    struct net_copy *copy = malloc(sizeof *copy + n);
    assert_non_null(copy);
    copy->owner = (struct slice_owner){1, net_copy_release};
    memcpy(copy->bytes, from, n);
    struct slice s = {copy->bytes, (uint32_t)n, &copy->owner};
    assert_int_equal(tcp_send(c->tcb, &s, 1), 0);
    return (int64_t)n;
}

static int64_t net_client_read(struct net_client *c, void *to, uint64_t n)
{
    struct slice s;
    if (tcp_read(c->tcb, &s, 1, n) == 0)
        return (c->news & (TCP_NEWS_END | TCP_NEWS_CLOSED)) != 0 ? -1 : 0;
    uint32_t got = s.n;
    memcpy(to, s.ptr, got);
    slice_put(&s);
    return got;
}

/* As much as fits now; -1 when the connection is over. */
static int64_t client_write_some(struct client *c, const void *from, uint64_t n)
{
    if (c->net != NULL)
        return net_client_write(c->net, from, n);
    if (c->memory != NULL)
        return conn_memory_write(c->memory, from, n, c->bed->now);
    ssize_t rc = send(c->fd, from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (rc < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN))
        return 0;
    return rc;
}

/* Writes the frame again and again without reading, as much as fits now; `at` is the place in the
 * stream. */
static int64_t client_flood(struct client *c, const uint8_t *frame, uint64_t n, uint64_t *at)
{
    int64_t rc = client_write_some(c, frame + *at % n, n - *at % n);
    *at += rc > 0 ? (uint64_t)rc : 0;
    return rc;
}

/* The broker's send has been waiting for this client for 10 ms of turns. */
static bool client_is_stuck(const struct client *c, const struct conn *conn)
{
    return conn->is_sending && c->bed->now.ns > conn->last_tx_ns + 10 * NS_PER_MS;
}

static int64_t client_read_some(struct client *c, void *to, uint64_t n)
{
    if (c->net != NULL)
        return net_client_read(c->net, to, n);
    if (c->memory != NULL)
        return conn_memory_read(c->memory, to, n);
    ssize_t rc = recv(c->fd, to, n, MSG_DONTWAIT);
    if (rc < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return rc == 0 ? -1 : rc;
}

static void client_write(struct client *c, const void *from, uint64_t n)
{
    const uint8_t *p = from;
    for (uint32_t i = 0; i < TURNS_MAX && n > 0; i++) {
        int64_t rc = client_write_some(c, p, n);
        assert_true(rc >= 0);
        p += rc;
        n -= (uint64_t)rc;
        bed_turn(c->bed);
    }
    assert_int_equal(n, 0);
}

static void client_read(struct client *c, void *to, uint64_t n)
{
    uint8_t *p = to;
    for (uint32_t i = 0; i < TURNS_MAX && n > 0; i++) {
        int64_t rc = client_read_some(c, p, n);
        assert_true(rc >= 0);
        p += rc;
        n -= (uint64_t)rc;
        if (n > 0)
            bed_turn(c->bed);
    }
    assert_int_equal(n, 0);
}

/* Turns until the connection is over; nothing more may arrive before. */
static void client_expect_end(struct client *c)
{
    uint8_t byte;
    for (uint32_t i = 0; i < TURNS_MAX; i++) {
        int64_t rc = client_read_some(c, &byte, 1);
        if (rc < 0)
            return;
        assert_int_equal(rc, 0);
        bed_turn(c->bed);
    }
    fail_msg("the connection did not end");
}

static void client_close(struct client *c)
{
    if (c->memory != NULL)
        conn_memory_close(c->memory);
    else if (c->net != NULL)
        tcp_release(c->net->tcb);
    else
        close(c->fd);
    c->memory = NULL;
    c->fd = -1;
}

/* ── frames ── */

/* A frame of n bytes after its length, filled from `seed`. */
static uint8_t *frame_make(uint32_t n, uint8_t seed)
{
    uint8_t *f = malloc(4 + (size_t)n);
    assert_non_null(f);
    store_u32(f, n);
    for (uint32_t i = 0; i < n; i++)
        f[4 + i] = (uint8_t)(seed + i * 7 + (i >> 8));
    return f;
}

static void client_write_frame(struct client *c, uint32_t n, uint8_t seed)
{
    uint8_t *f = frame_make(n, seed);
    client_write(c, f, 4 + (uint64_t)n);
    free(f);
}

static void client_expect_frame(struct client *c, uint32_t n, uint8_t seed)
{
    uint8_t *expected = frame_make(n, seed), *got = malloc(4 + (size_t)n);
    assert_non_null(got);
    client_read(c, got, 4 + (uint64_t)n);
    assert_memory_equal(got, expected, 4 + (size_t)n);
    free(expected);
    free(got);
}

/* Turns until the application holds n requests. */
static void bed_until_held(struct bed *bed, uint32_t n)
{
    for (uint32_t i = 0; i < TURNS_MAX && held_n(bed) != n; i++)
        bed_turn(bed);
    assert_int_equal(held_n(bed), n);
}

#endif
