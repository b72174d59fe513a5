/*
 * sim_disk_io.c - the asynchronous seam of the simulated disk: operations take time and complete in
 * any order.
 *
 * Owner: the simulator. A write changes the file when it completes; a read takes what is there when
 * it completes. IO_SYNC covers what had completed when it was submitted: it remembers the change
 * number of that moment. An operation that another one begins is under way from then on; a crash
 * between the two loses it. A descriptor's file stays reachable while operations on it are under
 * way, as in a kernel.
 */
#include <errno.h>
#include <stdlib.h>

#include "check.h"
#include "sim_disk_inside.h"

/* One operation under way. */
struct sim_op {
    struct list link;
    struct io_op *op;
    struct sim_node *node;
    uint64_t due_ns;
    uint64_t number; /* IO_SYNC: changes up to here are covered */
    bool is_direct;  /* short transfers end at a sector */
    bool is_refused; /* with O_DIRECT and not aligned */
};

struct sim_io {
    struct io io;
    struct list link;
    struct sim_disk *disk;
    struct list ops;
};

static struct sim_io *of(struct io *io)
{
    return container_of(io, struct sim_io, io);
}

static uint64_t latency(struct sim_disk *d)
{
    uint64_t ns = prng_below(&d->prng, d->latency_ns_max + 1);
    return prng_below(&d->prng, 100) == 0 ? ns * 10 : ns;
}

static void op_add(struct sim_io *s, struct io_op *op)
{
    struct sim_op *so = calloc(1, sizeof *so);
    check(so != NULL);
    check(op->kind == IO_READ || op->kind == IO_WRITE || op->kind == IO_SYNC ||
          op->kind == IO_CLOSE);
    so->op = op;
    so->node = sim_fd_node(s->disk, op->fd);
    so->number = s->disk->changes_n;
    so->is_direct = s->disk->is_direct[op->fd];
    for (uint32_t i = 0; op->kind == IO_READ || op->kind == IO_WRITE ? i < op->iov_n : false; i++)
        so->is_refused |= !sim_fd_takes(s->disk, op->fd, op->iov[i].iov_base, op->iov[i].iov_len,
                                        i == 0 ? op->pos : 0);
    so->due_ns = s->disk->now_ns + latency(s->disk);
    if (op->kind == IO_CLOSE)
        s->disk->files[op->fd] = NULL;
    list_append(&s->ops, &so->link);
}

static void sim_submit(struct io *io, struct io_op *op)
{
    struct sim_io *s = of(io);
    check(op->then == NULL || (op->kind == IO_WRITE && op->then->then == NULL));
    op_add(s, op);
    io->under_way += op->then == NULL ? 1 : 2;
}

/* A planted bug: this write is not done as it is said to be. True: it is dealt with. */
static bool perform_planted(struct sim_disk *d, struct sim_op *so, int32_t *result)
{
    const struct io_op *op = so->op;
    const struct sim_node *node = so->node;
    bool is_lost = (d->plant == SIM_PLANT_RING_LOST && node->is_ring) ||
                   (d->plant == SIM_PLANT_SEGMENT_LOST && node->is_segment);
    bool is_short = d->plant == SIM_PLANT_RING_SHORT && node->is_ring;
    bool is_ring_off = d->plant == SIM_PLANT_RING_MISPLACED && node->is_ring;
    bool is_segment_off = d->plant == SIM_PLANT_SEGMENT_MISPLACED && node->is_segment;
    if (op->kind != IO_WRITE || !(is_lost || is_short || is_ring_off || is_segment_off) ||
        prng_below(&d->prng, 30) != 0)
        return false;
    uint64_t n = op->iov[0].iov_len, pos = op->pos;
    if (is_ring_off)
        pos += 4096;
    if (is_segment_off)
        pos += SIM_SECTOR;
    *result = (int32_t)n;
    if (!is_lost)
        sim_node_write(d, so->node, op->iov[0].iov_base, is_short ? n / 2 : n, pos);
    return true;
}

static int32_t transfer(struct sim_disk *d, struct sim_op *so, uint64_t n_max)
{
    struct io_op *op = so->op;
    uint64_t pos = op->pos, done = 0;
    for (uint32_t i = 0; i < op->iov_n && done < n_max; i++) {
        uint64_t n = min_u64(op->iov[i].iov_len, n_max - done);
        if (op->kind == IO_WRITE) {
            sim_node_write(d, so->node, op->iov[i].iov_base, n, pos);
        } else {
            if (pos >= so->node->now.bytes)
                break;
            n = min_u64(n, so->node->now.bytes - pos);
            memcpy(op->iov[i].iov_base, so->node->now.ptr + pos, n);
        }
        pos += n;
        done += n;
    }
    return (int32_t)done;
}

static uint64_t wanted(const struct io_op *op)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < op->iov_n; i++)
        n += op->iov[i].iov_len;
    return n;
}

static int32_t perform(struct sim_disk *d, struct sim_op *so)
{
    struct io_op *op = so->op;
    bool fails = op->kind != IO_READ && op->kind != IO_CLOSE && sim_disk_counts(d);
    uint64_t n = wanted(op);
    if (fails && d->is_dead) {
        if (op->kind == IO_WRITE && d->operations_n == d->die_at)
            transfer(d, so, prng_below(&d->prng, n + 1));
        return -EIO;
    }
    if (so->is_refused)
        return -EINVAL;
    if (fails && (d->fault != SIM_FAULT_SHORT || op->kind == IO_SYNC))
        return d->fault == SIM_FAULT_ENOSPC && op->kind == IO_WRITE ? -ENOSPC : -EIO;
    if (op->kind == IO_SYNC)
        sim_node_sync(d, so->node, so->number);
    if (op->kind == IO_SYNC || op->kind == IO_CLOSE)
        return 0;
    int32_t planted;
    if (!fails && perform_planted(d, so, &planted))
        return planted;
    bool is_short = op->kind == IO_WRITE && n > 1 && (fails || prng_below(&d->prng, 50) == 0);
    uint64_t part = is_short ? 1 + prng_below(&d->prng, n - 1) : UINT64_MAX;
    if (so->is_direct && is_short)
        part = max_u64(align_down(part, SIM_SECTOR), SIM_SECTOR);
    return transfer(d, so, part);
}

/* The operation of `s` that is due first; NULL when none is due. */
static struct sim_op *first_due(struct sim_io *s)
{
    struct sim_op *first = NULL;
    list_for_each(l, next, &s->ops) {
        struct sim_op *so = list_entry(l, struct sim_op, link);
        if (so->due_ns <= s->disk->now_ns && (first == NULL || so->due_ns < first->due_ns))
            first = so;
    }
    return first;
}

static void op_done(struct sim_io *s, struct io_op *op, int32_t result)
{
    op->result = result;
    op->is_last = true;
    op->is_busy = false;
    s->io.under_way--;
    op->done(op);
}

static int sim_poll(struct io *io)
{
    struct sim_io *s = of(io);
    struct sim_op *so;
    int n = 0;
    for (; (so = first_due(s)) != NULL; n++) {
        struct io_op *op = so->op;
        struct io_op *then = op->then;
        list_del(&so->link);
        int32_t result = perform(s->disk, so);
        bool is_whole = result >= 0 && (uint64_t)result == wanted(op);
        free(so);
        if (then != NULL && is_whole)
            op_add(s, then);
        op_done(s, op, result);
        if (then != NULL && !is_whole)
            op_done(s, then, -ECANCELED);
    }
    return n;
}

static int sim_wait(struct io *io, uint64_t ns_max)
{
    (void)ns_max; /* time is the simulator's */
    return sim_poll(io);
}

static const struct io_functions sim_io_functions = {
    .submit = sim_submit, .poll = sim_poll, .wait = sim_wait};

struct io *sim_disk_io(struct sim_disk *d)
{
    struct sim_io *s = calloc(1, sizeof *s);
    check(s != NULL);
    s->io.functions = &sim_io_functions;
    s->disk = d;
    list_init(&s->ops);
    list_append(&d->ios, &s->link);
    return &s->io;
}

void sim_disk_clock(struct sim_disk *d, uint64_t now_ns, int64_t wall_ms)
{
    d->now_ns = now_ns;
    d->wall_ms = wall_ms;
}

uint64_t sim_disk_next_ns(const struct sim_disk *d)
{
    uint64_t ns = UINT64_MAX;
    list_for_each(l, next, (struct list *)&d->ios) {
        struct sim_io *s = list_entry(l, struct sim_io, link);
        list_for_each(l2, next2, &s->ops)
            ns = min_u64(ns, list_entry(l2, struct sim_op, link)->due_ns);
    }
    return ns;
}

/* An operation that had not completed: did it reach the page cache? Nobody was told, so anything
 * may be. */
static void crash_op(struct sim_disk *d, struct sim_op *so)
{
    if (so->op->kind == IO_WRITE) {
        uint64_t n = prng_below(&d->prng, wanted(so->op) + 1);
        if (so->is_direct)
            n = align_down(n, SIM_SECTOR);
        if (prng_chance(&d->prng, 50) && n > 0)
            transfer(d, so, n);
    } else if (so->op->kind == IO_SYNC && prng_chance(&d->prng, 50)) {
        sim_node_sync(d, so->node, so->number);
    }
}

static void ios_end(struct sim_disk *d, bool is_crash)
{
    struct list *l, *l2;
    while ((l = list_pop(&d->ios)) != NULL) {
        struct sim_io *s = list_entry(l, struct sim_io, link);
        while ((l2 = list_pop(&s->ops)) != NULL) {
            struct sim_op *so = list_entry(l2, struct sim_op, link);
            if (is_crash)
                crash_op(d, so);
            free(so);
        }
        free(s);
    }
}

void sim_disk_halt(struct sim_disk *d)
{
    ios_end(d, true);
}

void sim_ios_drop(struct sim_disk *d)
{
    ios_end(d, false);
}
