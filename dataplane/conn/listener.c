/*
 * listener.c - listening sockets: opening them, accepting from them, pausing when the process is
 * out of room.
 *
 * Owner: listener_open: main at boot; the rest: worker.
 *
 * Every worker has a socket of its own for each listener (SO_REUSEPORT): the kernel spreads
 * connections, no descriptor travels between threads. What every connection needs (TCP_NODELAY,
 * buffer sizes) is set on the listening socket, from which the kernel copies it, and costs no call
 * per connection.
 *
 * A multishot accept ends with its first error. Out of descriptors or memory: accepting pauses and
 * a timer tries again; the clients meanwhile wait in the kernel's queue. Nothing makes it give up.
 */
#include "inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

enum { BACKLOG_N = 4096 /* the kernel lowers it to net.core.somaxconn */ };
#define ACCEPT_RETRY_NS (100 * NS_PER_MS)

/* ── opening ── */

static bool option_set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &n) != 0)
        return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

/* is_shared: every worker has one of these. Not shared: only to learn whether the address is free.
 */
static int socket_open(const struct addrinfo *at, bool is_shared, int *out)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_from_errno(errno);
    bool is_set = option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
                  option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
                  option_set(fd, SOL_SOCKET, SO_REUSEPORT, is_shared);
    /* One socket for both families when it listens on all addresses. */
    if (is_set && at->ai_family == AF_INET6)
        is_set = option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (is_set && bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG_N) == 0) {
        *out = fd;
        return 0;
    }
    int rc = error_from_errno(errno);
    close(fd);
    return rc;
}

static int open_how(const struct listener *listener, bool is_shared, int *fd, uint16_t *port)
{
    char service[8];
    bool is_any = listener->host[0] == '\0';
    struct addrinfo hints = {.ai_family = is_any ? AF_INET6 : AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    snprintf(service, sizeof service, "%u", *port != 0 ? *port : listener->port);
    if (getaddrinfo(is_any ? NULL : listener->host, service, &hints, &found) != 0)
        return E_INVALID;
    int rc = E_INVALID;
    for (const struct addrinfo *at = found; at != NULL && rc != 0; at = at->ai_next)
        rc = socket_open(at, is_shared, fd);
    freeaddrinfo(found);
    if (rc == E_UNSUPPORTED && is_any) { /* a kernel without IPv6 */
        struct sockaddr_in any = {.sin_family = AF_INET,
                                  .sin_port = htons(*port != 0 ? *port : listener->port)};
        struct addrinfo at = {
            .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&any, .ai_addrlen = sizeof any};
        rc = socket_open(&at, is_shared, fd);
    }
    if (rc == 0)
        *port = port_of(*fd);
    return rc;
}

int listener_open(const struct listener *listener, int *fd, uint16_t *port)
{
    return open_how(listener, true, fd, port);
}

/* With SO_REUSEPORT a second broker of the same user could join our port and get half of the
 * clients: an exclusive socket, closed again, finds out. */
int listener_probe(const struct listener *listener, uint16_t *port)
{
    int fd = -1;
    int rc = open_how(listener, false, &fd, port);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ── accepting ── */

static void acceptor_close(struct acceptor *a)
{
    if (a->fd < 0 || a->accept.is_busy || a->cancel.is_busy)
        return;
    close(a->fd);
    a->fd = -1;
}

static void accept_ended(struct acceptor *a, int32_t result)
{
    struct conns *conns = a->conns;
    if (conns->is_stopping) {
        acceptor_close(a);
        return;
    }
    if (result >= 0 || result == -ECONNABORTED || result == -EINTR || result == -EAGAIN) {
        io_submit(conns->io, &a->accept);
        return;
    }
    conns->stats.accept_paused_n++;
    timer_set(conns->timers, &a->retry, conns_now_ns(conns) + ACCEPT_RETRY_NS);
}

static void accept_done(struct io_op *op)
{
    struct acceptor *a = container_of(op, struct acceptor, accept);
    if (op->result >= 0)
        sock_accepted(a->conns, a->listener, op->result);
    if (op->is_last)
        accept_ended(a, op->result);
}

static void accept_cancelled(struct io_op *op)
{
    acceptor_close(container_of(op, struct acceptor, cancel));
}

static void retry_fire(struct timer *timer, struct now now)
{
    struct acceptor *a = container_of(timer, struct acceptor, retry);
    (void)now;
    io_submit(a->conns->io, &a->accept);
}

int conns_listen(struct conns *conns, const struct listener *listener, int fd)
{
    check(conns->magic == CONNS_MAGIC && !conns->is_stopping && conns->buffers != NULL);
    if (conns->acceptors_n == LISTENERS_MAX)
        return E_TOO_LARGE;
    const struct conns_config *config = &conns->config;
    if (config->socket_send_bytes > 0 &&
        !option_set(fd, SOL_SOCKET, SO_SNDBUF, (int)config->socket_send_bytes))
        return error_from_errno(errno);
    if (config->socket_recv_bytes > 0 &&
        !option_set(fd, SOL_SOCKET, SO_RCVBUF, (int)config->socket_recv_bytes))
        return error_from_errno(errno);
    struct acceptor *a = &conns->acceptors[conns->acceptors_n++];
    a->conns = conns;
    a->listener = listener;
    a->fd = fd;
    io_op_init(&a->accept, IO_ACCEPT, accept_done);
    io_op_init(&a->cancel, IO_CANCEL, accept_cancelled);
    a->accept.fd = fd;
    a->cancel.target = &a->accept;
    timer_init(&a->retry, retry_fire);
    io_submit(conns->io, &a->accept);
    return 0;
}

void acceptors_stop(struct conns *conns)
{
    for (uint32_t i = 0; i < conns->acceptors_n; i++) {
        struct acceptor *a = &conns->acceptors[i];
        timer_stop(conns->timers, &a->retry);
        if (a->accept.is_busy)
            io_submit(conns->io, &a->cancel);
        else
            acceptor_close(a);
    }
}

uint32_t acceptors_open_n(const struct conns *conns)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < conns->acceptors_n; i++)
        n += conns->acceptors[i].fd >= 0;
    return n;
}
