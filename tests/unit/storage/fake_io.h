/*
 * fake_io.h - io.h for tests: operations wait in a queue until the test completes them, on real
 * descriptors.
 *
 * Owner: the test.
 *
 * fake_io_complete does the queued operation at a given place, so any order can be had; fake_io_run
 * does all that are queued. Every operation is counted when it is done, and the one whose number is
 * fail_at fails with fail_errno without being done; from then on, with is_dead, all fail.
 * short_bytes > 0 cuts each transfer to so many bytes.
 */
#ifndef MILLRACE_FAKE_IO_H
#define MILLRACE_FAKE_IO_H

#include <errno.h>
#include <unistd.h>

#include "check.h"
#include "io.h"

struct fake_io {
    struct io io;
    struct list queue;
    uint64_t done_n;  /* operations done or failed */
    uint64_t fail_at; /* the n-th fails; 0: none   */
    int fail_errno;
    bool are_writes_full; /* every write fails for want of space */
    bool is_dead;         /* after the first failure everything fails */
    uint32_t short_bytes; /* 0: transfers are whole */
    uint64_t kinds_n[IO_CLOSE + 1];
};

static inline void fake_io_submit(struct io *io, struct io_op *op)
{
    struct fake_io *f = container_of(io, struct fake_io, io);
    list_init(&op->link);
    list_append(&f->queue, &op->link);
    io->under_way += op->then == NULL ? 1 : 2;
}

static inline ssize_t fake_io_transfer(struct fake_io *f, struct io_op *op)
{
    ssize_t total = 0;
    for (uint32_t i = 0; i < op->iov_n; i++) {
        size_t n = op->iov[i].iov_len;
        if (f->short_bytes > 0)
            n = min_u64(n, f->short_bytes - (uint64_t)total);
        off_t pos = (off_t)op->pos + total;
        ssize_t did = op->kind == IO_READ ? pread(op->fd, op->iov[i].iov_base, n, pos)
                                          : pwrite(op->fd, op->iov[i].iov_base, n, pos);
        if (did < 0)
            return -errno;
        total += did;
        if ((size_t)did < op->iov[i].iov_len)
            break;
    }
    return total;
}

static inline int32_t fake_io_do(struct fake_io *f, struct io_op *op)
{
    f->done_n++;
    f->kinds_n[op->kind]++;
    if (op->kind != IO_CLOSE && f->fail_at != 0 &&
        (f->done_n == f->fail_at || (f->is_dead && f->done_n > f->fail_at)))
        return -f->fail_errno;
    if (op->kind == IO_WRITE && f->are_writes_full)
        return -ENOSPC;
    switch ((enum io_kind)op->kind) {
    case IO_READ:
    case IO_WRITE: return (int32_t)fake_io_transfer(f, op);
    case IO_SYNC: return fdatasync(op->fd) == 0 ? 0 : -errno;
    case IO_CLOSE: return close(op->fd) == 0 ? 0 : -errno;
    default: check(false);
    }
}

static inline void fake_io_done(struct fake_io *f, struct io_op *op, int32_t result)
{
    op->result = result;
    op->is_busy = false;
    op->is_last = true;
    f->io.under_way--;
    op->done(op);
}

static inline bool fake_io_is_whole(const struct io_op *op)
{
    int64_t wanted = 0;
    for (uint32_t i = 0; i < op->iov_n; i++)
        wanted += (int64_t)op->iov[i].iov_len;
    return op->result == wanted;
}

/* Completes the operation at place `at` of the queue; what was to begin behind it is queued. */
static inline void fake_io_complete(struct fake_io *f, uint32_t at)
{
    struct list *l = f->queue.next;
    while (at-- > 0)
        l = l->next;
    check(l != &f->queue);
    struct io_op *op = list_entry(l, struct io_op, link);
    struct io_op *then = op->then;
    list_del(l);
    op->result = fake_io_do(f, op);
    if (then != NULL && fake_io_is_whole(op)) {
        list_init(&then->link);
        list_append(&f->queue, &then->link);
        then = NULL;
    }
    fake_io_done(f, op, op->result);
    if (then != NULL)
        fake_io_done(f, then, -ECANCELED);
}

static inline struct io_op *fake_io_first(struct fake_io *f)
{
    return list_first(&f->queue, struct io_op, link);
}

/* Completes what is queued now, in order; returns how many. */
static inline int fake_io_run(struct fake_io *f)
{
    const struct list *last = f->queue.prev;
    int n = 0;
    for (bool is_last = list_is_empty(&f->queue); !is_last; n++) {
        is_last = f->queue.next == last;
        fake_io_complete(f, 0);
    }
    return n;
}

static inline int fake_io_poll(struct io *io)
{
    return fake_io_run(container_of(io, struct fake_io, io));
}

static inline int fake_io_wait(struct io *io, uint64_t ns_max)
{
    (void)ns_max;
    return fake_io_poll(io);
}

static inline void fake_io_init(struct fake_io *f)
{
    static const struct io_functions functions = {
        .submit = fake_io_submit, .poll = fake_io_poll, .wait = fake_io_wait};
    *f = (struct fake_io){.io = {.functions = &functions}, .fail_errno = EIO};
    list_init(&f->queue);
}

#endif
