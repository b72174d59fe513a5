/*
 * transport_tcp.c - connections over the TCP engine of net/.
 *
 * Owner: worker.
 *
 * In: packets wait in the engine until the connection reads; then their bytes are copied into its
 * staging pages, one copy. A connection that does not read leaves them there, so the peer's window
 * closes by itself. When there is no staging page, the packet is held and tried again next turn.
 *
 * Out: nothing is copied. Answers are given to the engine in chunks of CONN_CHUNK_BYTES, each with
 * an owner of its own, because the engine may need the memory longer than until the acknowledgement
 * (a packet of it may still be in the NIC). What came back is told as a partial send; the next send
 * begins behind what was told, so its first `given` bytes are with the engine already:
 *
 *      answers:   |-- told --|-- given, in chunks --|-- new: given now --|
 *                            ^ iov begins here
 *
 * The end: FIN when everything was acknowledged, RST when an answer is cut off or bytes were not
 * read.
 */
#include "inside.h"

#include <errno.h>
#include <stdio.h>

#include "bytes.h"
#include "net.h"

enum { TCP_ACCEPT_MAX = 1024, TCP_SLICES_N = 64 };

/* ── in ── */

static void held_wait(struct conn *conn)
{
    if (!list_is_linked(&conn->tcp.waiting))
        list_append(&conn->conns->tcp_waiting, &conn->tcp.waiting);
}

/* The bytes of `held` into staging pages; false when some are left. */
static bool held_stage(struct conn *conn, uint64_t room)
{
    struct slice *held = &conn->tcp.held;
    uint64_t now = min_u64(held->n, room);
    uint64_t behind = min_u64(held->n + tcp_unread(conn->tcp.tcb), room) - now;
    uint64_t part = rx_copy(conn, held->ptr, now, behind);
    held->ptr += part;
    held->n -= (uint32_t)part;
    if (held->n > 0)
        return false;
    slice_put(held);
    return true;
}

static void tcp_pull(struct conn *conn)
{
    struct conn_tcp *tcp = &conn->tcp;
    while (tcp->tcb != NULL && conn->state == CONN_OPEN && tcp->is_reading && rx_has_room(conn)) {
        uint64_t room = conn->wanted > 0 ? conn->wanted : CONN_RX_BYTES_MAX - conn->unread;
        if (tcp->held.n == 0 && tcp_read(tcp->tcb, &tcp->held, 1, room) == 0) {
            if (tcp->has_end)
                conn_ended(conn);
            return;
        }
        uint64_t before = tcp->held.n;
        if (held_stage(conn, room))
            continue;
        if (tcp->held.n == before || rx_has_room(conn)) {
            conn->conns->stats.paused_n++;
            held_wait(conn);
            return;
        }
    }
}

static void tcp_read_set(struct conn *conn, bool is_on)
{
    conn->tcp.is_reading = is_on;
    if (is_on)
        conn_attend(conn); /* tcp_turn pulls what waits */
}

/* ── out ── */

static void chunk_release(struct slice_owner *owner)
{
    struct conn_chunk *chunk = container_of(owner, struct conn_chunk, owner);
    conn_attend(chunk->conn);
}

/* A chunk with one reference of ours; NULL when all are out. */
static struct conn_chunk *chunk_take(struct conn *conn)
{
    struct conn_tcp *tcp = &conn->tcp;
    if (tcp->chunks_n == CONN_CHUNKS_N)
        return NULL;
    struct conn_chunk *chunk = &tcp->chunks[(tcp->chunk_first + tcp->chunks_n++) % CONN_CHUNKS_N];
    *chunk = (struct conn_chunk){{1, chunk_release}, conn, 0};
    return chunk;
}

/* Gives up to a chunk of bytes from place (*i, *at) on; false when the engine takes no more. */
static bool chunk_give(struct conn *conn, const struct iovec *iov, uint32_t iov_n, uint32_t *i,
                       uint64_t *at)
{
    struct slice v[TCP_SLICES_N];
    struct conn_tcp *tcp = &conn->tcp;
    struct conn_chunk *chunk = chunk_take(conn);
    uint32_t n = 0;
    if (chunk == NULL)
        return false;
    while (*i < iov_n && n < TCP_SLICES_N && chunk->bytes < CONN_CHUNK_BYTES) {
        uint64_t part = min_u64(iov[*i].iov_len - *at, CONN_CHUNK_BYTES - chunk->bytes);
        v[n++] =
            (struct slice){(const uint8_t *)iov[*i].iov_base + *at, (uint32_t)part, &chunk->owner};
        chunk->bytes += (uint32_t)part;
        *at += part;
        if (*at == iov[*i].iov_len) {
            *i += 1;
            *at = 0;
        }
    }
    chunk->owner.refs = n;
    int rc = tcp_send(tcp->tcb, v, n);
    if (rc != 0) {
        chunk->owner.refs = 0;
        chunk->bytes = 0;
        tcp->chunks_n--;
        return false;
    }
    tcp->given += chunk->bytes;
    return true;
}

static void tcp_send_iov(struct conn *conn, struct iovec *iov, uint32_t iov_n)
{
    struct conn_tcp *tcp = &conn->tcp;
    uint64_t skip = tcp->given, at = 0;
    uint32_t i = 0;
    if (tcp->tcb == NULL) {
        conn_attend(conn); /* tcp_turn says that nobody reads it */
        return;
    }
    for (; i < iov_n && skip >= iov[i].iov_len; i++)
        skip -= iov[i].iov_len;
    at = skip;
    while (i < iov_n && chunk_give(conn, iov, iov_n, &i, &at)) {
    }
    if (tcp->given == 0)
        held_wait(conn); /* no extents: tcp_turn tries again next turn */
}

/* Bytes that came back, in order. */
static uint64_t chunks_collect(struct conn *conn)
{
    struct conn_tcp *tcp = &conn->tcp;
    uint64_t bytes = 0;
    while (tcp->chunks_n > 0 && tcp->chunks[tcp->chunk_first].owner.refs == 0) {
        bytes += tcp->chunks[tcp->chunk_first].bytes;
        tcp->chunk_first = (tcp->chunk_first + 1) % CONN_CHUNKS_N;
        tcp->chunks_n--;
    }
    tcp->given -= bytes;
    return bytes;
}

static bool tcp_is_holding(const struct conn *conn)
{
    return conn->tcp.chunks_n > 0;
}

static void tcp_turn(struct conn *conn)
{
    struct conn_tcp *tcp = &conn->tcp;
    uint64_t bytes = chunks_collect(conn);
    tcp_pull(conn);
    if (!conn->is_sending)
        return;
    if (tcp->tcb == NULL) { /* it is over: the answers are free when no packet refers to them */
        if (tcp->chunks_n == 0)
            conn_sent(conn, -EPIPE);
        return;
    }
    if (bytes > 0 || tcp->given == 0)
        conn_sent(conn, (int64_t)bytes);
}

/* ── the end ── */

static void tcp_close(struct conn *conn)
{
    struct conn_tcp *tcp = &conn->tcp;
    struct tcb *tcb = tcp->tcb;
    bool is_cut = conn->is_sending || tcp->chunks_n > 0 || tcp->held.n > 0;
    tcp->is_reading = false;
    tcp->tcb = NULL;
    slice_put(&tcp->held);
    if (list_is_linked(&tcp->waiting))
        list_del(&tcp->waiting);
    if (tcb == NULL)
        return;
    if (is_cut)
        tcp_abort(tcb);
    tcp_release(tcb);
}

static bool tcp_is_done(const struct conn *conn)
{
    return conn->tcp.tcb == NULL && conn->tcp.chunks_n == 0;
}

static void tcp_facts_write(const struct conn *conn, char *to, size_t to_n)
{
    struct tcp_facts f;
    if (conn->tcp.tcb == NULL)
        return;
    tcp_facts(conn->tcp.tcb, &f);
    snprintf(to, to_n,
             "%s rtt=%uus rto=%ums cwnd=%u mss=%u in_flight=%u unsent=%u retransmits=%llu "
             "holes=%u window_probes=%u",
             tcp_state_text((enum tcp_state)f.state), f.srtt_us, f.rto_us / 1000, f.cwnd, f.mss,
             f.in_flight, f.unsent, (unsigned long long)f.retransmits, f.holes, f.window_probes);
}

static void tcp_path(const struct conn *conn, struct conn_path *out)
{
    if (conn->tcp.tcb == NULL)
        return;
    out->is_known = true;
    tcp_troubles(conn->tcp.tcb, &out->again_n, &out->holes_n, &out->shut_n);
}

const struct transport transport_tcp = {
    .name = "own TCP",
    .read_set = tcp_read_set,
    .send = tcp_send_iov,
    .close = tcp_close,
    .is_done = tcp_is_done,
    .turn = tcp_turn,
    .is_holding = tcp_is_holding,
    .facts = tcp_facts_write,
    .path = tcp_path,
};

/* ── what the engine says ── */

int conns_net_listen(struct net *net, const struct listener *listener, uint16_t port)
{
    return net_listen(net, port, TCP_ACCEPT_MAX, (void *)(uintptr_t)listener);
}

static struct conn *tcp_accepted(struct conns *conns, struct tcb *tcb, struct now now)
{
    uint8_t ip[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    uint32_t ip4;
    uint16_t port;
    tcp_peer(tcb, &ip4, &port);
    store_u32(ip + 12, ip4);
    struct conn *conn = conn_open(conns, &transport_tcp, tcp_listener_user(tcb), ip, port);
    if (conn == NULL) {
        tcp_abort(tcb);
        tcp_release(tcb);
        return NULL;
    }
    conn->last_rx_ns = conn->last_tx_ns = now.ns;
    conn->tcp.tcb = tcb;
    conn->tcp.is_reading = true;
    list_init(&conn->tcp.waiting);
    tcp_user_set(tcb, conn);
    return conn;
}

static void tcp_over(struct conn *conn)
{
    struct tcb *tcb = conn->tcp.tcb;
    if (tcp_error(tcb) != 0) {
        conn_close(conn, CONN_END_RESET);
        return;
    }
    if (tcp_unread(tcb) == 0 && conn->tcp.held.n == 0)
        conn_ended(conn); /* otherwise tcp_pull says so */
}

void conns_net_turn(struct conns *conns, struct net *net, struct now now)
{
    uint32_t news;
    struct list again;
    list_init(&again);
    list_splice(&again, &conns->tcp_waiting);
    for (struct list *l; (l = list_pop(&again)) != NULL;)
        conn_attend(container_of(l, struct conn, tcp.waiting));
    for (struct tcb *tcb; (tcb = net_news_next(net, &news)) != NULL;) {
        struct conn *conn = tcp_user(tcb);
        if (conn == NULL && (news & TCP_NEWS_OPENED) == 0) {
            tcp_release(tcb); /* over before it was accepted */
            continue;
        }
        if (conn == NULL)
            conn = tcp_accepted(conns, tcb, now);
        if (conn == NULL)
            continue;
        check(conn->magic == CONN_MAGIC && conn->tcp.tcb == tcb);
        conn->tcp.has_end |= (news & TCP_NEWS_END) != 0;
        if ((news & (TCP_NEWS_DATA | TCP_NEWS_END)) != 0)
            tcp_pull(conn);
        if ((news & TCP_NEWS_CLOSED) != 0 && conn->tcp.tcb == tcb)
            tcp_over(conn);
    }
}
