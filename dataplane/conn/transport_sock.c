/*
 * transport_sock.c - connections over kernel sockets, by io_op: multishot receive, one send at a
 * time.
 *
 * Owner: worker.
 *
 * One multishot IO_RECV per connection delivers into the io's provided buffers until it ends:
 * because we cancel it (not reading), because no buffer is free (ENOBUFS: the connection waits on
 * conns.starved, first come first served), because the kernel feels like it (submitted again at
 * once), or because the peer did.
 *
 * While an admitted frame is long (CONN_DIRECT_MIN), the multishot receive is cancelled and the
 * frame received piece by piece into the staging page it is gathered in, so that its bytes are
 * copied once, by the kernel.
 *
 * The end: shutdown(2) makes what is under way return, the last completion closes the descriptor.
 * Both are plain calls: neither blocks on a socket, and an operation each would only be one more
 * thing under way.
 */
#include "inside.h"

#include <errno.h>
#include <unistd.h>

static struct conn *conn_of_recv(struct io_op *op)
{
    struct conn *conn = container_of(op, struct conn, sock.recv);
    check(conn->magic == CONN_MAGIC);
    return conn;
}

/* ── receiving ── */

static bool is_direct(const struct conn *conn)
{
    return conn->sock.recv.iov_n == 1;
}

/* Whether the next receive goes straight to where the frame is gathered. Once begun, to its end. */
static bool wants_direct(const struct conn *conn)
{
    if (conn->sock.was_room_refused)
        return false;
    return conn->wanted >= CONN_DIRECT_MIN || (conn->wanted > 0 && is_direct(conn));
}

static void recv_submit(struct conn *conn)
{
    struct conn_sock *sock = &conn->sock;
    if (sock->recv.is_busy || list_is_linked(&sock->starved) || !sock->is_reading ||
        conn->state != CONN_OPEN)
        return;
    if (conn->wanted == 0)
        sock->was_room_refused = false;
    bool is_wanted = wants_direct(conn), has_room = is_wanted && rx_room_take(conn, &sock->room);
    /* Without memory for it the rest of the frame comes through receive buffers. */
    sock->was_room_refused |= is_wanted && !has_room;
    sock->recv.iov_n = has_room ? 1 : 0;
    io_submit(conn->conns->io, &sock->recv);
}

static void recv_cancel(struct conn *conn)
{
    struct conn_sock *sock = &conn->sock;
    if (sock->recv.is_busy && !sock->cancel.is_busy)
        io_submit(conn->conns->io, &sock->cancel);
}

static void recv_ended(struct conn *conn, int32_t result)
{
    struct conns *conns = conn->conns;
    conn_attend(conn); /* it may be the last thing under way */
    switch (-result) {
    case 0: conn_ended(conn); break;
    case ENOBUFS:
        conns->stats.starved_n++;
        if (conn->state == CONN_OPEN)
            list_append(&conns->starved, &conn->sock.starved);
        break;
    case ECANCELED:
    case EINTR:
    case EAGAIN: recv_submit(conn); break;
    default:
        if (conn->state != CONN_CLOSING)
            conn_close(conn, CONN_END_RESET);
        break;
    }
}

static void recv_done(struct io_op *op)
{
    struct conn *conn = conn_of_recv(op);
    if (is_direct(conn)) {
        rx_room_give(conn, op->result > 0 ? (uint32_t)op->result : 0);
        conn_attend(conn); /* it may be the last thing under way */
        if (op->result > 0)
            recv_submit(conn);
        else
            recv_ended(conn, op->result);
        return;
    }
    if (op->result > 0) {
        rx_arrived(conn, op->buffer_at, (uint32_t)op->result);
        if (op->is_last) {
            conn_attend(conn);
            recv_submit(conn);
        }
        return;
    }
    if (op->is_last)
        recv_ended(conn, op->result);
}

static void cancel_done(struct io_op *op)
{
    struct conn *conn = container_of(op, struct conn, sock.cancel);
    conn_attend(conn); /* what it found is told by the receive itself */
}

static void sock_read_set(struct conn *conn, bool is_on)
{
    struct conn_sock *sock = &conn->sock;
    sock->is_reading = is_on;
    if (is_on) {
        recv_submit(conn);
        return;
    }
    if (list_is_linked(&sock->starved))
        list_del(&sock->starved);
    recv_cancel(conn);
}

void sock_feed_starved(struct conns *conns)
{
    uint64_t out = conns->stats.recv_buffers_out_n, n = conns->config.recv_buffers_n;
    for (uint64_t free_n = n - out; free_n > 0; free_n--) {
        struct list *l = list_pop(&conns->starved);
        if (l == NULL)
            return;
        recv_submit(container_of(l, struct conn, sock.starved));
    }
}

/* ── sending and ending ── */

static void send_done(struct io_op *op)
{
    struct conn *conn = container_of(op, struct conn, sock.send);
    check(conn->magic == CONN_MAGIC);
    /* Neither is an answer about the bytes: the next send of the turn tries again. */
    bool is_nothing = op->result == -EINTR || op->result == -EAGAIN;
    conn_sent(conn, is_nothing ? 0 : op->result);
}

static void sock_send(struct conn *conn, struct iovec *iov, uint32_t iov_n)
{
    struct io_op *op = &conn->sock.send;
    op->iov = iov;
    op->iov_n = iov_n;
    io_submit(conn->conns->io, op);
}

static void sock_close_now(struct conn *conn)
{
    struct conn_sock *sock = &conn->sock;
    if (sock->fd < 0 || sock->recv.is_busy || sock->send.is_busy || sock->cancel.is_busy)
        return;
    close(sock->fd);
    sock->fd = -1;
}

static void sock_close(struct conn *conn)
{
    struct conn_sock *sock = &conn->sock;
    sock->is_reading = false;
    if (list_is_linked(&sock->starved))
        list_del(&sock->starved);
    /* A cut answer ends with a reset: nobody can use the rest, and the kernel need not keep it. */
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (conn->is_sending)
        (void)setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    /* ENOTCONN: a reset came first, and then what is under way returns with it. */
    (void)shutdown(sock->fd, SHUT_RDWR);
    sock->is_shut = true;
}

static bool sock_is_done(const struct conn *conn)
{
    return conn->sock.fd < 0;
}

static void sock_turn(struct conn *conn)
{
    if (conn->state == CONN_CLOSING)
        sock_close_now(conn);
    else if (wants_direct(conn) && !is_direct(conn))
        recv_cancel(conn); /* its end submits the receive in place */
}

const struct transport transport_sock = {
    .name = "kernel sockets",
    .read_set = sock_read_set,
    .send = sock_send,
    .close = sock_close,
    .is_done = sock_is_done,
    .turn = sock_turn,
};

/* ── beginning ── */

/* The peer's address in the form of struct conn; false when it has gone already. */
static bool peer_read(int fd, uint8_t ip[16], uint16_t *port)
{
    struct sockaddr_storage from;
    socklen_t n = sizeof from;
    if (getpeername(fd, (struct sockaddr *)&from, &n) != 0)
        return false;
    memset(ip, 0, 16);
    if (from.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&from;
        memcpy(ip, &in6->sin6_addr, 16);
        *port = ntohs(in6->sin6_port);
    } else {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)&from;
        ip[10] = ip[11] = 0xff;
        memcpy(ip + 12, &in4->sin_addr, 4);
        *port = ntohs(in4->sin_port);
    }
    return true;
}

void sock_accepted(struct conns *conns, const struct listener *listener, int fd)
{
    uint8_t ip[16];
    uint16_t port;
    if (!peer_read(fd, ip, &port)) {
        conns->stats.ends[CONN_END_RESET]++;
        close(fd);
        return;
    }
    struct conn *conn = conn_open(conns, &transport_sock, listener, ip, port);
    if (conn == NULL) {
        close(fd);
        return;
    }
    struct conn_sock *sock = &conn->sock;
    sock->fd = fd;
    list_init(&sock->starved);
    io_op_init(&sock->recv, IO_RECV, recv_done);
    io_op_init(&sock->send, IO_SEND, send_done);
    io_op_init(&sock->cancel, IO_CANCEL, cancel_done);
    sock->recv.fd = sock->send.fd = fd;
    sock->recv.iov = &sock->room;
    sock->cancel.target = &sock->recv;
    sock_read_set(conn, true);
}
