/*
 * transport_memory.c - connections to simulated clients: no kernel, no buffer, no time of its own.
 *
 * Owner: worker (in the simulator and unit tests everything is one thread).
 *
 * Client to broker: conn_memory_write copies into the connection's staging pages, as much as may
 * wait there. Broker to client: conn_memory_read copies straight out of the send under way. What
 * was read is told to the connection in the next "out", as a partial send if need be; so a client
 * that reads a byte at a time walks the same paths as a slow socket.
 *
 * The client's handle lives in the connection. When the connection is over first, the struct stays
 * out of the pool (state FREE, is_gone) until conn_memory_close.
 */
#include "inside.h"

#include <errno.h>

static struct conn *conn_of(struct conn_memory *peer)
{
    struct conn *conn = container_of(peer, struct conn, memory);
    check(conn->magic == CONN_MAGIC && conn->transport == &transport_memory && !peer->has_left);
    return conn;
}

/* ── the broker's side ── */

static void memory_read_set(struct conn *conn, bool is_on)
{
    conn->memory.is_reading = is_on;
}

static void memory_send(struct conn *conn, struct iovec *iov, uint32_t iov_n)
{
    struct conn_memory *m = &conn->memory;
    m->iov = iov;
    m->iov_n = iov_n;
    m->iov_i = 0;
    m->iov_at = 0;
    if (m->has_left)
        conn_attend(conn); /* nobody will read it: memory_turn says so */
}

static void memory_close(struct conn *conn)
{
    conn->memory.is_shut = true;
    conn->memory.is_reading = false;
}

static bool memory_is_done(const struct conn *conn)
{
    return conn->memory.is_shut;
}

static void memory_turn(struct conn *conn)
{
    struct conn_memory *m = &conn->memory;
    uint64_t n = m->read_n;
    if (!conn->is_sending || (n == 0 && !m->is_shut && !m->has_left))
        return;
    m->iov = NULL;
    m->iov_n = 0;
    m->read_n = 0;
    conn_sent(conn, n > 0 ? (int64_t)n : -EPIPE);
}

const struct transport transport_memory = {
    .name = "memory",
    .read_set = memory_read_set,
    .send = memory_send,
    .close = memory_close,
    .is_done = memory_is_done,
    .turn = memory_turn,
};

void memory_gone(struct conn *conn)
{
    conn->memory.is_gone = true;
    if (conn->memory.has_left)
        conn_put(conn);
}

/* ── the client's side ── */

struct conn_memory *conns_memory_connect(struct conns *conns, const struct listener *listener,
                                         struct now now)
{
    uint8_t ip[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    struct conn *conn =
        conn_open(conns, &transport_memory, listener, ip, (uint16_t)(conns->id_next + 1));
    if (conn == NULL)
        return NULL;
    conn->last_rx_ns = conn->last_tx_ns = now.ns;
    conn->memory.conn = conn;
    conn->memory.is_reading = true;
    return &conn->memory;
}

int64_t conn_memory_write(struct conn_memory *peer, const void *from, uint64_t n, struct now now)
{
    struct conn *conn = conn_of(peer);
    if (peer->is_gone || conn->state != CONN_OPEN)
        return -1;
    if (!peer->is_reading || !rx_has_room(conn))
        return 0;
    uint64_t room = conn->wanted > 0 ? conn->wanted : CONN_RX_BYTES_MAX - conn->unread;
    uint64_t done = rx_copy(conn, from, min_u64(n, room), 0);
    if (done > 0)
        conn->last_rx_ns = now.ns;
    return (int64_t)done;
}

int64_t conn_memory_read(struct conn_memory *peer, void *to, uint64_t n)
{
    struct conn *conn = conn_of(peer);
    uint8_t *out = to;
    if (peer->is_gone || peer->is_shut)
        return -1;
    while (n > 0 && peer->iov_i < peer->iov_n) {
        const struct iovec *v = &peer->iov[peer->iov_i];
        uint64_t part = min_u64(n, v->iov_len - peer->iov_at);
        memcpy(out, (const uint8_t *)v->iov_base + peer->iov_at, part);
        out += part;
        n -= part;
        peer->iov_at += part;
        peer->read_n += part;
        if (peer->iov_at == v->iov_len) {
            peer->iov_i++;
            peer->iov_at = 0;
        }
    }
    if (out != (uint8_t *)to)
        conn_attend(conn);
    return out - (uint8_t *)to;
}

void conn_memory_close(struct conn_memory *peer)
{
    struct conn *conn = conn_of(peer);
    peer->has_left = true;
    if (peer->is_gone) {
        conn_put(conn);
        return;
    }
    conn_ended(conn);
    conn_attend(conn);
}
