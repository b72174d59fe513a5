/*
 * uring.c - the asynchronous seam on io_uring. The only file that knows liburing.
 *
 * Owner: the thread of the ring (uring.h).
 *
 * Submitting fills an entry of the submission queue; the kernel sees it at the next poll, so a turn
 * costs one system call whatever it does. When the queue is full in the middle of a turn it is
 * submitted at once; when the kernel refuses even that (EBUSY, EAGAIN), operations wait, in order,
 * on `backlog`.
 *
 *   io_submit ──► entry ──► (poll: io_uring_enter) ──► completion ──► op->done
 *         └──► backlog ──┘  only while the kernel refuses
 *
 * With IORING_SETUP_DEFER_TASKRUN the kernel finishes operations only inside our own calls;
 * TASKRUN_FLAG tells from mapped memory whether such a call is worth it, so a turn without news
 * makes none. Kernels before 6.1 lack it and finish operations whenever they like; nothing else
 * changes.
 *
 * msghdr of IO_SEND: one per submission entry. The kernel copies it, and the iovec, before it takes
 * the entry (IORING_FEAT_SUBMIT_STABLE), and an entry is reused only after that.
 *
 * Completions are copied out in batches and released before their done runs: a done may submit, and
 * a submit may complete more.
 *
 * What it does not do: it never repeats, splits or joins operations, and it looks at no errno of
 * theirs.
 */
#include "uring.h"

#include <errno.h>
#include <liburing.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "check.h"
#include "clock.h"

/* RWF_DONTCACHE of Linux 6.14: the pages of a buffered read go when it is over. Earlier kernels and
 * some file systems refuse it with EOPNOTSUPP. */
#define RWF_ONCE 0x80
/* Class idle (3) of ioprio_set(2), which needs no privilege. 0 is the thread's own priority. */
#define IOPRIO_BACKGROUND (3 << 13)

enum {
    MAGIC = 0x75726e67, /* "urng" */
    ENTRIES_MAX = 32768,
    COMPLETIONS_PER_ENTRY = 4, /* one multishot operation completes many times */
    COMPLETIONS_MIN = 4096,
    BATCH_N = 64,
    POLL_COMPLETIONS_MAX = 4096, /* of one poll: a turn stays bounded */
    BUFFER_GROUP = 0,
    BUFFERS_MAX = 32768,
    FIXED_N_MAX = 256, /* pieces of registered memory */
};
#define FIXED_BYTES GIB(1) /* the kernel's limit of one piece */

/* Owner: the thread of the ring. */
struct uring {
    uint32_t magic;
    uint32_t entries;
    struct io io;
    struct io_uring ring;
    uint32_t setup_flags; /* what the kernel accepted */
    bool is_enabled;
    bool has_helper_cpus;
    pthread_t thread; /* valid when is_enabled */
    cpu_set_t helper_cpus;
    struct msghdr *headers;
    struct list backlog;
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *fixed; /* registered memory; NULL for none */
    uint64_t fixed_bytes;
    struct uring_stats stats;
};

struct completion {
    struct io_op *op;
    int32_t result;
    uint32_t flags;
};

static const struct io_functions uring_functions;

static struct uring *uring_from(struct io *io)
{
    struct uring *u = container_of(io, struct uring, io);
    check(u->magic == MAGIC);
    return u;
}

/* ── refusals ── */

static int sysctl_read(const char *path)
{
    FILE *f = fopen(path, "re");
    int value = 0;
    if (f == NULL)
        return 0;
    if (fscanf(f, "%d", &value) != 1)
        value = 0;
    fclose(f);
    return value;
}

static uint64_t memlock_kib(void)
{
    struct rlimit limit = {0, 0};
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return 0;
    return limit.rlim_cur / 1024;
}

static void report_refusal(struct uring_report *r, int err, const char *what)
{
    int disabled = sysctl_read("/proc/sys/kernel/io_uring_disabled");
    r->error = err;
    if (err == EPERM && disabled != 0)
        snprintf(
            r->text, sizeof r->text,
            "%s: io_uring is switched off by kernel.io_uring_disabled=%d; set it to 0 (sysctl -w "
            "kernel.io_uring_disabled=0)%s",
            what, disabled,
            disabled == 1 ? " or put the user into the group of kernel.io_uring_group" : "");
    else if (err == EPERM || err == EACCES)
        snprintf(
            r->text, sizeof r->text,
            "%s: a seccomp filter (usually a container's) forbids io_uring; allow io_uring_setup, "
            "io_uring_enter and io_uring_register, e.g. --security-opt seccomp=unconfined",
            what);
    else if (err == ENOSYS)
        snprintf(r->text, sizeof r->text,
                 "%s: the kernel has no io_uring or a seccomp filter hides it; a kernel of 5.19 or "
                 "newer "
                 "(best 6.1) with CONFIG_IO_URING is needed",
                 what);
    else if (err == ENOMEM)
        snprintf(r->text, sizeof r->text,
                 "%s: no memory, or the limit of locked memory (RLIMIT_MEMLOCK, now %llu KiB) is "
                 "too small; "
                 "raise it (ulimit -l unlimited, LimitMEMLOCK=infinity in the unit)",
                 what, (unsigned long long)memlock_kib());
    else if (err == EMFILE || err == ENFILE)
        snprintf(
            r->text, sizeof r->text,
            "%s: no file descriptor left; raise the limit (ulimit -n, LimitNOFILE= in the unit)",
            what);
    else
        snprintf(r->text, sizeof r->text, "%s: the kernel says %s", what, strerror(err));
}

/* ── life ── */

static int ring_setup_with(struct uring *u, uint32_t flags)
{
    struct io_uring_params p = {
        .flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries =
            (uint32_t)max_u64(COMPLETIONS_MIN, (uint64_t)u->entries * COMPLETIONS_PER_ENTRY),
    };
    int rc = io_uring_queue_init_params(u->entries, &u->ring, &p);
    if (rc == 0)
        u->setup_flags = p.flags;
    return rc;
}

/* From the newest flags to none; -errno of the last try. */
static int ring_setup(struct uring *u)
{
    static const uint32_t tries[] = {
        IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG, /* 6.1  */
        IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
            IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, /* 6.0  */
        IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL,         /* 5.19 */
    };
    int rc = -EINVAL;
    for (size_t i = 0; i < array_n(tries) && rc == -EINVAL; i++)
        rc = ring_setup_with(u, tries[i]);
    return rc;
}

int uring_open(struct io **out, uint32_t entries, struct uring_report *report)
{
    memset(report, 0, sizeof *report);
    check(entries >= 2 && entries <= ENTRIES_MAX);
    struct uring *u = calloc(1, sizeof *u);
    if (u == NULL) {
        report_refusal(report, ENOMEM, "io_uring");
        return E_NO_MEMORY;
    }
    u->magic = MAGIC;
    u->entries = entries;
    u->io.functions = &uring_functions;
    list_init(&u->backlog);
    int rc = ring_setup(u);
    if (rc != 0) {
        report_refusal(report, -rc, "io_uring");
        goto err_free;
    }
    rc = -ENOMEM;
    u->headers = calloc(u->ring.sq.ring_entries, sizeof *u->headers);
    if (u->headers == NULL) {
        report_refusal(report, ENOMEM, "io_uring");
        goto err_exit;
    }
    report->has_single_issuer = u->setup_flags & IORING_SETUP_SINGLE_ISSUER;
    report->has_defer_taskrun = u->setup_flags & IORING_SETUP_DEFER_TASKRUN;
    *out = &u->io;
    return 0;

err_exit:
    io_uring_queue_exit(&u->ring);
err_free:
    free(u);
    return error_from_errno(-rc);
}

static uint64_t buffer_ring_bytes(uint32_t n)
{
    return align_up((uint64_t)n * sizeof(struct io_uring_buf), 4096);
}

void uring_close(struct io *io)
{
    struct uring *u = uring_from(io);
    io_uring_queue_exit(&u->ring);
    if (u->buffer_ring != NULL) {
        munmap(u->buffer_ring, buffer_ring_bytes(io->buffers_n));
        munmap(io->buffers, (uint64_t)io->buffers_n * io->buffer_bytes);
    }
    free(u->headers);
    u->magic = 0;
    free(u);
}

/* ── provided buffers, registered memory, helpers ── */

static void buffer_add(struct uring *u, uint32_t at, int offset)
{
    io_uring_buf_ring_add(u->buffer_ring, io_buffer_data(&u->io, at), u->io.buffer_bytes,
                          (uint16_t)at, io_uring_buf_ring_mask(u->io.buffers_n), offset);
}

static int buffers_register(struct uring *u)
{
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)u->buffer_ring,
        .ring_entries = u->io.buffers_n,
        .bgid = BUFFER_GROUP,
    };
    int rc = io_uring_register_buf_ring(&u->ring, &reg, 0);
    if (rc != 0)
        return error_from_errno(-rc);
    io_uring_buf_ring_init(u->buffer_ring);
    for (uint32_t i = 0; i < u->io.buffers_n; i++)
        buffer_add(u, i, (int)i);
    io_uring_buf_ring_advance(u->buffer_ring, (int)u->io.buffers_n);
    return 0;
}

static int uring_buffers_open(struct io *io, uint32_t n, uint32_t bytes)
{
    struct uring *u = uring_from(io);
    check(u->buffer_ring == NULL);
    check(n > 0 && n <= BUFFERS_MAX && (n & (n - 1)) == 0);
    void *ring = mmap(NULL, buffer_ring_bytes(n), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED)
        return E_NO_MEMORY;
    void *memory =
        mmap(NULL, (uint64_t)n * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        munmap(ring, buffer_ring_bytes(n));
        return E_NO_MEMORY;
    }
    (void)madvise(memory, (uint64_t)n * bytes, MADV_HUGEPAGE); /* without them it is only slower */
    u->buffer_ring = ring;
    io->buffers = memory;
    io->buffers_n = n;
    io->buffer_bytes = bytes;
    int rc = buffers_register(u);
    if (rc == 0)
        return 0;
    munmap(ring, buffer_ring_bytes(n));
    munmap(memory, (uint64_t)n * bytes);
    u->buffer_ring = NULL;
    io->buffers = NULL;
    io->buffers_n = io->buffer_bytes = 0;
    return rc;
}

static void uring_buffer_give(struct io *io, uint32_t at)
{
    struct uring *u = uring_from(io);
    check(at < io->buffers_n);
    buffer_add(u, at, 0);
    io_uring_buf_ring_advance(u->buffer_ring, 1);
}

static int memory_register(struct uring *u)
{
    struct iovec v[FIXED_N_MAX];
    uint32_t n = 0;
    for (uint64_t at = 0; at < u->fixed_bytes; at += FIXED_BYTES)
        v[n++] = (struct iovec){u->fixed + at, min_u64(FIXED_BYTES, u->fixed_bytes - at)};
    return io_uring_register_buffers(&u->ring, v, n);
}

int uring_memory_register(struct io *io, void *memory, uint64_t bytes, struct uring_report *report)
{
    struct uring *u = uring_from(io);
    check(u->fixed == NULL && bytes > 0 && bytes <= FIXED_N_MAX * FIXED_BYTES);
    u->fixed = memory;
    u->fixed_bytes = bytes;
    int rc = memory_register(u);
    report->has_memory = rc == 0;
    if (rc == 0)
        return 0;
    u->fixed = NULL;
    u->fixed_bytes = 0;
    report_refusal(report, -rc, "registering memory with io_uring");
    return error_from_errno(-rc);
}

void uring_helper_cpus_set(struct io *io, const cpu_set_t *cpus)
{
    struct uring *u = uring_from(io);
    u->helper_cpus = *cpus;
    u->has_helper_cpus = true;
}

/* ── whose ring it is ── */

/* A no-operation through the ring: the kernel makes this thread's io context, which the next calls
 * need. */
static int ring_touch(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (sqe == NULL)
        return io_uring_submit(&u->ring) < 0 ? -EBUSY
                                             : 0; /* entries of main wait: they do as well */
    io_uring_prep_nop(sqe);
    io_uring_sqe_set_data(sqe, NULL);
    int rc = io_uring_submit(&u->ring);
    return rc < 0 ? rc : 0;
}

/* The thread that used the ring has ended: a new ring with the same buffers and memory. */
static int ring_renew(struct uring *u)
{
    check(u->io.under_way == 0);
    io_uring_queue_exit(&u->ring);
    u->is_enabled = false;
    int rc = ring_setup(u);
    if (rc != 0)
        return rc;
    if (u->buffer_ring != NULL && buffers_register(u) != 0)
        return -ENOMEM;
    if (u->fixed != NULL && memory_register(u) != 0)
        u->fixed = NULL;
    return 0;
}

/* liburing 2.3 declares io_uring_enable_rings but does not export it. */
static int ring_enable(struct uring *u)
{
    return io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int uring_enable(struct io *io, struct uring_report *report)
{
    struct uring *u = uring_from(io);
    int rc = u->is_enabled ? ring_renew(u) : 0;
    if (rc == 0)
        rc = ring_enable(u);
    if (rc == 0)
        rc = ring_touch(u);
    if (rc < 0) {
        report_refusal(report, -rc, "enabling the io_uring");
        return error_from_errno(-rc);
    }
    u->is_enabled = true;
    u->thread = pthread_self();
    (void)io_uring_register_ring_fd(
        &u->ring); /* saves a look-up per call; older kernels go without */
    if (!u->has_helper_cpus)
        return 0;
    rc = io_uring_register_iowq_aff(&u->ring, sizeof u->helper_cpus, &u->helper_cpus);
    report->has_helper_cpus = rc == 0;
    if (rc != 0)
        report_refusal(report, -rc, "pinning the kernel's io workers");
    return 0;
}

static void ring_use(struct uring *u)
{
    if (likely(u->is_enabled && pthread_equal(u->thread, pthread_self())))
        return;
    struct uring_report report;
    memset(&report, 0, sizeof report);
    check(uring_enable(&u->io, &report) == 0);
}

/* ── submitting ── */

static struct io_uring_sqe *entry_take(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (likely(sqe != NULL))
        return sqe;
    if (!u->is_enabled)
        return NULL; /* boot: the thread that polls first goes on */
    u->stats.queue_full_n++;
    u->stats.enters_n++;
    if (io_uring_submit(&u->ring) < 0)
        u->stats.refused_n++;
    return io_uring_get_sqe(&u->ring);
}

/* The number of the registered piece that holds all of v; -1 when none does. */
static int fixed_find(const struct uring *u, const struct iovec *v)
{
    uintptr_t from = (uintptr_t)v->iov_base, base = (uintptr_t)u->fixed;
    if (u->fixed == NULL || from < base || from + v->iov_len > base + u->fixed_bytes ||
        v->iov_len == 0)
        return -1;
    uint64_t first = (from - base) / FIXED_BYTES,
             last = (from - base + v->iov_len - 1) / FIXED_BYTES;
    return first == last ? (int)first : -1;
}

static void prepare_transfer(struct uring *u, struct io_uring_sqe *sqe, struct io_op *op)
{
    bool is_read = op->kind == IO_READ;
    check(op->iov_n > 0 && op->iov_n <= IOV_MAX);
    if (op->iov_n > 1) {
        if (is_read)
            io_uring_prep_readv(sqe, op->fd, op->iov, op->iov_n, op->pos);
        else
            io_uring_prep_writev(sqe, op->fd, op->iov, op->iov_n, op->pos);
        return;
    }
    void *ptr = op->iov->iov_base;
    uint32_t n = (uint32_t)op->iov->iov_len;
    check(op->iov->iov_len <= INT32_MAX);
    int fixed = fixed_find(u, op->iov);
    if (fixed >= 0 && is_read)
        io_uring_prep_read_fixed(sqe, op->fd, ptr, n, op->pos, fixed);
    else if (fixed >= 0)
        io_uring_prep_write_fixed(sqe, op->fd, ptr, n, op->pos, fixed);
    else if (is_read)
        io_uring_prep_read(sqe, op->fd, ptr, n, op->pos);
    else
        io_uring_prep_write(sqe, op->fd, ptr, n, op->pos);
}

static void prepare_send(struct uring *u, struct io_uring_sqe *sqe, struct io_op *op)
{
    check(op->iov_n > 0 && op->iov_n <= IOV_MAX);
    if (op->iov_n == 1) {
        io_uring_prep_send(sqe, op->fd, op->iov->iov_base, op->iov->iov_len, MSG_NOSIGNAL);
        return;
    }
    struct msghdr *header = &u->headers[sqe - u->ring.sq.sqes];
    memset(header, 0, sizeof *header);
    header->msg_iov = op->iov;
    header->msg_iovlen = op->iov_n;
    io_uring_prep_sendmsg(sqe, op->fd, header, MSG_NOSIGNAL);
}

static void prepare_recv(struct uring *u, struct io_uring_sqe *sqe, struct io_op *op)
{
    if (op->iov_n == 1) {
        io_uring_prep_recv(sqe, op->fd, op->iov->iov_base, op->iov->iov_len, 0);
        return;
    }
    check(op->iov_n == 0 && u->buffer_ring != NULL);
    if (u->setup_flags & IORING_SETUP_SINGLE_ISSUER)
        io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
    else
        io_uring_prep_recv(sqe, op->fd, NULL, 0, 0); /* before 6.0: every completion is the last */
    io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT);
    sqe->buf_group = BUFFER_GROUP;
}

/* False when the submission queue has no place. */
static bool entry_prepare(struct uring *u, struct io_op *op)
{
    struct io_uring_sqe *sqe = entry_take(u);
    if (sqe == NULL)
        return false;
    switch ((enum io_kind)op->kind) {
    case IO_READ:
    case IO_WRITE:
        prepare_transfer(u, sqe, op);
        sqe->rw_flags = op->is_once ? RWF_ONCE : 0;
        sqe->ioprio = op->is_background ? IOPRIO_BACKGROUND : 0;
        break;
    case IO_SYNC: io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC); break;
    case IO_ACCEPT: io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC); break;
    case IO_RECV: prepare_recv(u, sqe, op); break;
    case IO_SEND: prepare_send(u, sqe, op); break;
    case IO_POLL:
        if (op->is_once)
            io_uring_prep_poll_add(sqe, op->fd, POLLIN);
        else
            io_uring_prep_poll_multishot(sqe, op->fd, POLLIN);
        break;
    case IO_CANCEL:
        check(op->target != NULL);
        io_uring_prep_cancel64(sqe, (uintptr_t)op->target, 0);
        break;
    case IO_CLOSE: io_uring_prep_close(sqe, op->fd); break;
    }
    io_uring_sqe_set_data(sqe, op);
    if (op->then != NULL)
        io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
    return true;
}

/* The two of a chain reach the kernel in one call, or it would be none. */
static bool op_prepare(struct uring *u, struct io_op *op)
{
    if (likely(op->then == NULL))
        return entry_prepare(u, op);
    check(op->kind == IO_WRITE && op->then->kind == IO_SYNC && op->then->then == NULL);
    if (io_uring_sq_space_left(&u->ring) < 2) {
        if (!u->is_enabled)
            return false;
        u->stats.queue_full_n++;
        u->stats.enters_n++;
        if (io_uring_submit(&u->ring) < 0)
            u->stats.refused_n++;
        if (io_uring_sq_space_left(&u->ring) < 2)
            return false;
    }
    return entry_prepare(u, op) && entry_prepare(u, op->then);
}

static void uring_submit(struct io *io, struct io_op *op)
{
    struct uring *u = uring_from(io);
    check(op->done != NULL);
    check(!list_is_linked(&op->link));
    io->under_way += op->then == NULL ? 1 : 2;
    if (unlikely(!list_is_empty(&u->backlog) || !op_prepare(u, op)))
        list_append(&u->backlog, &op->link);
}

static void backlog_submit(struct uring *u)
{
    while (!list_is_empty(&u->backlog)) {
        struct io_op *op = list_first(&u->backlog, struct io_op, link);
        if (!op_prepare(u, op))
            return;
        list_del(&op->link);
    }
}

/* ── completing ── */

static uint32_t completions_copy(struct uring *u, struct completion *to, uint32_t max)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    uint32_t n = 0;
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        if (n == max)
            break;
        to[n++] = (struct completion){io_uring_cqe_get_data(cqe), cqe->res, cqe->flags};
    }
    io_uring_cq_advance(&u->ring, n);
    return n;
}

static void op_complete(struct uring *u, const struct completion *c)
{
    struct io_op *op = c->op;
    if (op == NULL)
        return; /* ring_touch */
    check(op->is_busy && u->io.under_way > 0);
    op->result = c->result;
    op->is_last = !(c->flags & IORING_CQE_F_MORE);
    op->buffer_at = c->flags & IORING_CQE_F_BUFFER ? c->flags >> IORING_CQE_BUFFER_SHIFT : 0;
    if (op->is_last) {
        op->is_busy = false;
        u->io.under_way--;
    }
    op->done(op);
}

static int completions_take(struct uring *u)
{
    struct completion batch[BATCH_N];
    int taken = 0;
    while (taken < POLL_COMPLETIONS_MAX) {
        uint32_t n = completions_copy(u, batch, BATCH_N);
        for (uint32_t i = 0; i < n; i++)
            op_complete(u, &batch[i]);
        taken += (int)n;
        if (n < BATCH_N)
            break;
    }
    u->stats.completions_n += (uint64_t)taken;
    return taken;
}

static uint32_t kernel_flags(const struct uring *u)
{
    return __atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED);
}

static void enter_check(struct uring *u, int rc)
{
    if (rc >= 0 || rc == -ETIME || rc == -EINTR)
        return;
    u->stats.refused_n++;
    check(rc == -EBUSY || rc == -EAGAIN || rc == -ENOMEM); /* anything else is a mistake of ours */
}

static int uring_poll(struct io *io)
{
    struct uring *u = uring_from(io);
    ring_use(u);
    backlog_submit(u);
    uint32_t flags = kernel_flags(u);
    if (flags & IORING_SQ_CQ_OVERFLOW)
        u->stats.overflow_n++;
    if (io_uring_sq_ready(&u->ring) > 0 || flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) {
        u->stats.enters_n++;
        enter_check(u, io_uring_submit_and_get_events(&u->ring));
    }
    return completions_take(u);
}

static int uring_wait(struct io *io, uint64_t ns_max)
{
    struct uring *u = uring_from(io);
    ring_use(u);
    backlog_submit(u);
    if (ns_max == 0 || io_uring_cq_ready(&u->ring) > 0 || !list_is_empty(&u->backlog))
        return uring_poll(io);
    struct __kernel_timespec ts = {(int64_t)(ns_max / NS_PER_S), (long long)(ns_max % NS_PER_S)};
    struct io_uring_cqe *cqe;
    u->stats.enters_n++;
    u->stats.waits_n++;
    enter_check(u, io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL));
    return completions_take(u);
}

const struct uring_stats *uring_stats(const struct io *io)
{
    const struct uring *u = container_of(io, struct uring, io);
    check(u->magic == MAGIC);
    return &u->stats;
}

static const struct io_functions uring_functions = {
    .submit = uring_submit,
    .poll = uring_poll,
    .wait = uring_wait,
    .buffers_open = uring_buffers_open,
    .buffer_give = uring_buffer_give,
};
