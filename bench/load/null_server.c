/*
 * null_server.c - answers Produce at once and does nothing else: what the generator itself can
 * reach.
 *
 * Owner: a process of its own. One epoll loop; a frame is skipped by its length, the answer is a
 * fixed one with the request's correlation id (Produce version 7, one partition). Never used as a
 * measure of a broker.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "load.h"

enum { NULL_CONNS_MAX = 1024, NULL_RX = 1 << 20, NULL_ANSWER = 60, NULL_ANSWERS = 4096 };

struct null_conn {
    int fd;
    uint64_t skip;    /* bytes of the frame under way still to come */
    uint8_t head[12]; /* length, api key, version, correlation id   */
    uint32_t head_n;
    uint8_t *tx;
    uint32_t tx_n;
};

/* Produce v7 answer for topic "t", partition 0: base offset 0, no error. */
static void answer_add(struct null_conn *c)
{
    static const uint8_t body[] = {
        0,   0,   0,   1,   0,   1,   't', 0,   0, 0, 1, /* one topic, one partition */
        0,   0,   0,   0,   0,   0,                      /* index, error             */
        0,   0,   0,   0,   0,   0,   0,   0,            /* base offset              */
        255, 255, 255, 255, 255, 255, 255, 255,          /* log append time          */
        0,   0,   0,   0,   0,   0,   0,   0,            /* log start offset         */
        0,   0,   0,   0,                                /* throttle time            */
    };
    uint8_t *to = c->tx + c->tx_n;
    store_u32(to, 4 + sizeof body);
    memcpy(to + 4, c->head + 8, 4);
    memcpy(to + 8, body, sizeof body);
    c->tx_n += 8 + (uint32_t)sizeof body;
    static_assert(8 + sizeof body <= NULL_ANSWER, "the answer fits its room");
}

static bool answers_send(struct null_conn *c)
{
    uint32_t at = 0;
    while (at < c->tx_n) {
        ssize_t n = send(c->fd, c->tx + at, c->tx_n - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        at += n > 0 ? (uint32_t)n : 0;
    }
    c->tx_n = 0;
    return true;
}

static bool frames_skip(struct null_conn *c, const uint8_t *p, uint64_t n)
{
    while (n > 0) {
        if (c->skip > 0) {
            uint64_t part = min_u64(c->skip, n);
            c->skip -= part;
            p += part;
            n -= part;
            continue;
        }
        uint32_t part = (uint32_t)min_u64(sizeof c->head - c->head_n, n);
        memcpy(c->head + c->head_n, p, part);
        c->head_n += part;
        p += part;
        n -= part;
        if (c->head_n < sizeof c->head)
            return true;
        c->head_n = 0;
        c->skip = load_u32(c->head) < 8 ? 0 : load_u32(c->head) - 8;
        answer_add(c);
        if (c->tx_n + NULL_ANSWER > NULL_ANSWERS * NULL_ANSWER && !answers_send(c))
            return false;
    }
    return true;
}

static void null_accept(int listen_fd, int poll_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
    struct null_conn *c = calloc(1, sizeof *c);
    if (fd < 0 || c == NULL || (c->tx = malloc(NULL_ANSWERS * NULL_ANSWER)) == NULL)
        _exit(1);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        _exit(1);
}

static void null_serve(int listen_fd)
{
    uint8_t *rx = malloc(NULL_RX);
    struct epoll_event events[64], event = {.events = EPOLLIN, .data.ptr = NULL};
    int poll_fd = epoll_create1(0);
    if (rx == NULL || poll_fd < 0)
        _exit(1);
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listen_fd, &event);
    for (;;) {
        int n = epoll_wait(poll_fd, events, 64, 1000);
        for (int i = 0; i < n; i++) {
            struct null_conn *c = events[i].data.ptr;
            if (c == NULL) {
                null_accept(listen_fd, poll_fd);
                continue;
            }
            ssize_t got = recv(c->fd, rx, NULL_RX, 0);
            if (got == 0 || (got < 0 && errno != EAGAIN) ||
                (got > 0 && !frames_skip(c, rx, (uint64_t)got)) || !answers_send(c)) {
                close(c->fd);
                free(c->tx);
                free(c);
            }
        }
    }
}

int null_server_start(uint16_t *port, int *pid, int cpu)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, 128) != 0 || getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        return E_IO;
    *port = ntohs(address.sin_port);
    *pid = fork();
    if (*pid < 0)
        return E_NO_MEMORY;
    if (*pid == 0) {
        cpu_set_t set;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        if (cpu >= 0)
            sched_setaffinity(0, sizeof set, &set);
        null_serve(fd);
    }
    close(fd);
    return 0;
}
