/*
 * wire_kernel.c - the generator's bytes over kernel sockets: one epoll set, edge-triggered.
 *
 * Owner: the generator's thread.
 */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 256 };

/* Owner: the generator's thread. */
struct wire_kernel {
    struct wire wire;
    int poll_fd;
};

static struct wire_kernel *kernel_of(struct wire *w)
{
    return container_of(w, struct wire_kernel, wire);
}

static int dial(const char *bootstrap)
{
    char host[256];
    const char *colon = strrchr(bootstrap, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int fd = -1, one = 1;
    if (colon == NULL || (size_t)(colon - bootstrap) >= sizeof host)
        return E_INVALID;
    memcpy(host, bootstrap, (size_t)(colon - bootstrap));
    host[colon - bootstrap] = 0;
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
        return E_NOT_FOUND;
    for (struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        return E_CLOSED;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int kernel_open(struct wire *w, struct wire_conn *c, const char *bootstrap)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLOUT | EPOLLET, .data.ptr = c};
    c->fd = dial(bootstrap);
    if (c->fd < 0)
        return E_CLOSED;
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0)
        return E_IO;
    return epoll_ctl(kernel_of(w)->poll_fd, EPOLL_CTL_ADD, c->fd, &event) == 0 ? 0 : E_IO;
}

static ssize_t kernel_send(struct wire *w, struct wire_conn *c, const struct wire_bytes *bytes)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)bytes->iov,
                             .msg_iovlen = bytes->iov_n};
    (void)w;
    return sendmsg(c->fd, &message, MSG_NOSIGNAL);
}

static ssize_t kernel_receive(struct wire *w, struct wire_conn *c, void *to, uint64_t n)
{
    (void)w;
    return recv(c->fd, to, n, 0);
}

static uint32_t kernel_turn(struct wire *w, struct wire_event *v, uint32_t max)
{
    struct epoll_event events[EVENTS_MAX];
    uint32_t taken = 0;
    int n = epoll_wait(kernel_of(w)->poll_fd, events, (int)min_u64(max, EVENTS_MAX), 0);
    for (int i = 0; i < n; i++) {
        bool is_ended = (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        if (is_ended || (events[i].events & EPOLLIN) != 0)
            v[taken++] = (struct wire_event){events[i].data.ptr, is_ended};
    }
    return taken;
}

static void kernel_forget(struct wire *w, struct wire_conn *c)
{
    epoll_ctl(kernel_of(w)->poll_fd, EPOLL_CTL_DEL, c->fd, NULL);
}

static void kernel_close(struct wire *w, struct wire_conn *c)
{
    (void)w;
    if (c->fd > 0)
        close(c->fd);
    c->fd = -1;
}

static const struct client_wire *kernel_client(struct wire *w)
{
    (void)w;
    return NULL;
}

static void kernel_free(struct wire *w)
{
    close(kernel_of(w)->poll_fd);
    free(kernel_of(w));
}

static const struct wire_ops kernel_ops = {
    kernel_open,   kernel_send,  kernel_receive, kernel_turn,
    kernel_forget, kernel_close, kernel_client,  kernel_free,
};

int wire_kernel_new(struct wire **out)
{
    struct wire_kernel *k = calloc(1, sizeof *k);
    if (k == NULL)
        return E_NO_MEMORY;
    k->wire.ops = &kernel_ops;
    k->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (k->poll_fd < 0) {
        fprintf(stderr, "millrace bench: no epoll set: %s\n", strerror(errno));
        free(k);
        return E_IO;
    }
    *out = &k->wire;
    return 0;
}
