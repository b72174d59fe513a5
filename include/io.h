/*
 * io.h - the asynchronous seam: what a thread asks of the kernel and hears back about in a later
 * turn.
 *
 * Owner: the thread that owns the struct io (a worker, or control). Implemented by
 * dataplane/uring.c (io_uring) and, for the disk kinds, by tests/sim/sim_disk.c.
 *
 * An op is embedded in its subject and belongs to the io from io_submit to its `done`. io_poll
 * calls `done` of what completed; done may submit again. result is what the kernel said: bytes (>=
 * 0) or a negative errno; the callee turns that into an error of ours on the spot
 * (error_from_errno).
 *
 * An op with a `then` is two operations: both are under way, each has its own done, in this order.
 *
 * Short transfers: IO_READ, IO_WRITE and IO_SEND may complete with fewer bytes than asked; the
 * subject goes on. A failed IO_SYNC is never repeated by anyone: the log it stands for fails.
 *
 * Multishot kinds (IO_ACCEPT, IO_RECV, IO_POLL) may end at any completion, also a good one: is_last
 * says so and the subject submits again if it still wants news. IO_RECV with result 0 is the peer's
 * end; -ENOBUFS means that all provided buffers are lent out: submit again when some came back
 * (io_buffer_give).
 */
#ifndef MILLRACE_IO_H
#define MILLRACE_IO_H

#include <sys/uio.h>

#include "base.h"
#include "list.h"

enum io_kind {
    IO_READ,   /* fd, iov, iov_n, pos   */
    IO_WRITE,  /* fd, iov, iov_n, pos  */
    IO_SYNC,   /* fd: fdatasync; durable are all writes that completed before the submit   */
    IO_ACCEPT, /* fd: multishot; result = the new socket, is_last false while more may come */
    IO_RECV,   /* fd: multishot into the io's provided buffers, buffer_at tells which; or, with
                  iov_n = 1, once into iov[0]                                                     */
    IO_SEND,   /* fd, iov, iov_n <= IOV_MAX: sendmsg, MSG_NOSIGNAL   */
    IO_POLL,   /* fd: multishot readability (an event descriptor); is_once: until it is readable */
    IO_CANCEL, /* target: the op to cancel; both ops complete (target with -ECANCELED) */
    IO_CLOSE,  /* fd  */
};

/* Owner: the subject; the io between submit and done. */
struct io_op {
    struct list link;
    uint8_t kind;       /* enum io_kind                                              */
    bool is_busy;       /* between submit and the last done                          */
    bool is_last;       /* result: no further done of this op will come              */
    bool is_once;       /* IO_READ, IO_WRITE: nobody reads it again soon, the kernel need not keep
                           it; may be refused with -EOPNOTSUPP                          */
    bool is_background; /* IO_READ, IO_WRITE: the device's queue may let others pass it (ioprio
                           class idle); only some I/O schedulers look at it: mq-deadline, bfq */
    int fd;
    uint64_t pos;      /* byte position in the file                                 */
    struct iovec *iov; /* stays the subject's until done                            */
    uint32_t iov_n;
    int32_t result;
    uint32_t buffer_at; /* result of IO_RECV: index of the provided buffer           */
    struct io_op *target;
    struct io_op *then; /* IO_WRITE: begins when this one has written all its bytes, without a turn
                           of ours between; completes with -ECANCELED when it has not. Filled in,
                           never submitted; both are of one io                          */
    void (*done)(struct io_op *op);
};

struct io;
struct io_functions {
    void (*submit)(struct io *io,
                   struct io_op *op); /* queue it; the kernel sees it at the next poll or wait  */
    int (*poll)(struct io *io);       /* give to the kernel, take completions, call done; n     */
    int (*wait)(struct io *io,
                uint64_t ns_max); /* like poll, but sleeps until something completes or ns  */
    /* The provided buffers of IO_RECV; NULL where there is no network. */
    int (*buffers_open)(struct io *io, uint32_t n,
                        uint32_t bytes); /* once, at boot; n a power of two. 0 or E_    */
    void (*buffer_give)(struct io *io, uint32_t at); /* the kernel may fill buffer `at` again */
};

/* Owner: its thread. */
struct io {
    const struct io_functions *functions;
    uint32_t under_way; /* ops between submit and their last done */
    uint8_t
        *buffers; /* buffers_n provided buffers of buffer_bytes each; NULL before buffers_open */
    uint32_t buffers_n;
    uint32_t buffer_bytes;
};

/* All fields of `kind` at nothing; the subject fills in its own. */
static inline void io_op_init(struct io_op *op, uint8_t kind, void (*done)(struct io_op *))
{
    memset(op, 0, sizeof *op);
    list_init(&op->link);
    op->kind = kind;
    op->fd = -1;
    op->done = done;
}

/* The op is the io's until its last done. Never fails: what cannot be is told by done. */
static inline void io_submit(struct io *io, struct io_op *op)
{
    op->is_busy = true;
    if (op->then != NULL)
        op->then->is_busy = true;
    io->functions->submit(io, op);
}

/* Takes what has completed and gives the kernel what was submitted; how many completed. */
static inline int io_poll(struct io *io)
{
    return io->functions->poll(io);
}

/* The same, but sleeps up to ns_max (monotonic ns from now) when nothing has completed. */
static inline int io_wait(struct io *io, uint64_t ns_max)
{
    return io->functions->wait(io, ns_max);
}

/* The bytes of the provided buffer an IO_RECV completed into; ours until io_buffer_give. */
static inline uint8_t *io_buffer_data(const struct io *io, uint32_t at)
{
    return io->buffers + (uint64_t)at * io->buffer_bytes;
}

static inline void io_buffer_give(struct io *io, uint32_t at)
{
    io->functions->buffer_give(io, at);
}

#endif
