/*
 * wire.h - what carries the generator's bytes: kernel sockets, or our own TCP on a port of DPDK.
 *
 * Owner: the generator's thread.
 *
 * Nothing here waits but open. send and receive speak as the system calls do: -1 with errno,
 * EAGAIN when nothing can be taken or has come; receive returns 0 at the end of the connection.
 *
 *   wire_kernel.c   one socket each, one epoll set
 *   wire_port.c     one engine (endpoint.h); payloads are sent by reference
 */
#ifndef MILLRACE_LOAD_WIRE_H
#define MILLRACE_LOAD_WIRE_H

#include <sys/uio.h>

#include "base.h"
#include "errors.h"

struct client_wire;
struct load_options;
struct tcb;

/* One connection; whoever has it embeds it. Owner: the generator's thread. */
struct wire_conn {
    void *user;
    int fd;                   /* wire_kernel.c */
    struct tcb *tcb;          /* wire_port.c, from here on */
    bool is_opened, is_ended; /* nothing follows what can be read */
    bool is_closed;
};

/* What is sent. Bytes at [copied, copied + copied_n) change afterwards; all others stay as they are
 * until the wire is freed. Owner: the caller. */
struct wire_bytes {
    const struct iovec *iov;
    uint32_t iov_n;
    const uint8_t *copied;
    uint64_t copied_n;
};

/* A connection has something to receive. Owner: the caller. */
struct wire_event {
    struct wire_conn *conn;
    bool is_ended; /* the end may stand behind the last bytes */
};

struct wire {
    const struct wire_ops *ops;
};

struct wire_ops {
    int (*open)(struct wire *w, struct wire_conn *c, const char *bootstrap);
    ssize_t (*send)(struct wire *w, struct wire_conn *c, const struct wire_bytes *bytes);
    ssize_t (*receive)(struct wire *w, struct wire_conn *c, void *to, uint64_t n);
    /* What was sent leaves, what has come arrives; up to max connections that have something. */
    uint32_t (*turn)(struct wire *w, struct wire_event *v, uint32_t max);
    void (*forget)(struct wire *w, struct wire_conn *c); /* no more events of it */
    void (*close)(struct wire *w, struct wire_conn *c);
    /* For the blocking client; NULL: it has sockets of its own. */
    const struct client_wire *(*client)(struct wire *w);
    void (*free)(struct wire *w);
};

/* 0, or E_ after one clear line on stderr. */
nodiscard int wire_kernel_new(struct wire **out);
nodiscard int wire_port_new(struct wire **out, const struct load_options *o);

#endif
