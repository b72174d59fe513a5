/*
 * uring_test.c - the asynchronous seam on io_uring: files, errors, cancelling, multishot kinds,
 * full queues, threads, and what it says when the kernel refuses.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "uring.h"

enum { ENTRIES = 8, BUFFER_BYTES = 4096, BUFFERS_N = 4, RESULTS_MAX = 64 };

/* An operation and all it heard. */
struct heard {
    struct io_op op;
    struct iovec iov[4];
    uint32_t n; /* how often done was called */
    int32_t results[RESULTS_MAX];
    uint32_t buffers[RESULTS_MAX];
};

static void heard_done(struct io_op *op)
{
    struct heard *h = container_of(op, struct heard, op);
    assert_true(h->n < RESULTS_MAX);
    h->results[h->n] = op->result;
    h->buffers[h->n] = op->buffer_at;
    h->n++;
}

static void heard_init(struct heard *h, enum io_kind kind, int fd)
{
    memset(h, 0, sizeof *h);
    io_op_init(&h->op, kind, heard_done);
    h->op.fd = fd;
    h->op.iov = h->iov;
}

static void heard_piece(struct heard *h, void *ptr, size_t n)
{
    h->iov[h->op.iov_n++] = (struct iovec){ptr, n};
}

static struct io *io_of(void **state)
{
    return *state;
}

/* Polls until the op has been heard n times; a test that fails does not hang. */
static void until_heard(struct io *io, const struct heard *h, uint32_t n)
{
    for (int i = 0; i < 200 && h->n < n; i++)
        io_wait(io, 10 * NS_PER_MS);
    assert_int_equal(h->n, n);
}

static int32_t run(struct io *io, struct heard *h)
{
    uint32_t n = h->n;
    io_submit(io, &h->op);
    until_heard(io, h, n + 1);
    return h->results[n];
}

static int file_make(void)
{
    char path[] = "/tmp/conn-uring-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static int io_setup(void **state)
{
    struct uring_report report;
    struct io *io;
    assert_int_equal(uring_open(&io, ENTRIES, &report), 0);
    assert_int_equal(report.error, 0);
    assert_string_equal(report.text, "");
    assert_int_equal(io->functions->buffers_open(io, BUFFERS_N, BUFFER_BYTES), 0);
    *state = io;
    return 0;
}

static int io_teardown(void **state)
{
    assert_int_equal(io_of(state)->under_way, 0);
    uring_close(io_of(state));
    return 0;
}

/* ── files ── */

static void file_written_is_read_back(void **state)
{
    struct io *io = io_of(state);
    int fd = file_make();
    char in[64] = "0123456789abcdef", out[64] = "";
    struct heard w, s, r, c;
    heard_init(&w, IO_WRITE, fd);
    heard_piece(&w, in, 10);
    heard_piece(&w, in + 10, 6);
    w.op.pos = 100;
    assert_int_equal(run(io, &w), 16);
    heard_init(&s, IO_SYNC, fd);
    assert_int_equal(run(io, &s), 0);
    heard_init(&r, IO_READ, fd);
    heard_piece(&r, out, 64); /* longer than what is there: a short read */
    r.op.pos = 104;
    assert_int_equal(run(io, &r), 12);
    assert_memory_equal(out, "456789abcdef", 12);
    r.op.pos = 116;
    assert_int_equal(run(io, &r), 0); /* the end of the file */
    heard_init(&c, IO_CLOSE, fd);
    assert_int_equal(run(io, &c), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(uring_stats(io)->completions_n, 5 + 1); /* and the one of enabling */
}

static void sync_behind_a_write_comes_after_it_or_is_given_up(void **state)
{
    struct heard write, sync;
    char text[] = "journal";
    int fd = file_make();
    for (int i = 0; i < 2 * ENTRIES; i++) { /* in every place of the queue */
        heard_init(&write, IO_WRITE, i % 3 == 2 ? -1 : fd);
        heard_piece(&write, text, sizeof text);
        heard_init(&sync, IO_SYNC, fd);
        write.op.then = &sync.op;
        io_submit(io_of(state), &write.op);
        assert_true(sync.op.is_busy);
        assert_int_equal(io_of(state)->under_way, 2);
        until_heard(io_of(state), &sync, 1);
        assert_int_equal(write.n, 1);
        assert_int_equal(write.results[0], i % 3 == 2 ? -EBADF : (int)sizeof text);
        assert_int_equal(sync.results[0], i % 3 == 2 ? -ECANCELED : 0);
        assert_false(sync.op.is_busy);
    }
    close(fd);
}

static void chains_fill_the_queue_and_stay_whole(void **state)
{
    static struct heard write[ENTRIES], sync[ENTRIES];
    char text[] = "journal";
    int fd = file_make();
    for (int i = 0; i < ENTRIES; i++) {
        heard_init(&write[i], IO_WRITE, fd);
        heard_piece(&write[i], text, i + 1);
        heard_init(&sync[i], IO_SYNC, fd);
        if (i % 3 != 1) /* an odd number of entries in front of the next */
            write[i].op.then = &sync[i].op;
        io_submit(io_of(state), &write[i].op);
    }
    for (int i = 0; i < ENTRIES; i++) {
        until_heard(io_of(state), &write[i], 1);
        assert_int_equal(write[i].results[0], i + 1);
        if (i % 3 == 1)
            continue;
        until_heard(io_of(state), &sync[i], 1);
        assert_int_equal(sync[i].results[0], 0);
    }
    close(fd);
}

static void errors_arrive_as_negative_errno(void **state)
{
    struct io *io = io_of(state);
    int fd = file_make(), read_only = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    char byte = 1;
    struct heard h;
    heard_init(&h, IO_READ, 9999);
    heard_piece(&h, &byte, 1);
    assert_int_equal(run(io, &h), -EBADF);
    heard_init(&h, IO_WRITE, read_only);
    heard_piece(&h, &byte, 1);
    assert_int_equal(run(io, &h), -EBADF);
    heard_init(&h, IO_READ, fd);
    heard_piece(&h, (void *)16, 1);
    write(fd, &byte, 1);
    assert_int_equal(run(io, &h), -EFAULT);
    heard_init(&h, IO_SYNC, 9999);
    assert_int_equal(run(io, &h), -EBADF);
    heard_init(&h, IO_CLOSE, 9999);
    assert_int_equal(run(io, &h), -EBADF);
    close(fd);
    close(read_only);
}

static void registered_memory_serves_reads_and_writes(void **state)
{
    struct io *io = io_of(state);
    struct uring_report report = {0};
    enum { BYTES = 2 << 20 };
    uint8_t *memory = aligned_alloc(4096, BYTES);
    int fd = file_make();
    struct heard h;
    memset(memory, 0x5a, BYTES);
    assert_int_equal(uring_memory_register(io, memory, BYTES, &report), 0);
    assert_true(report.has_memory);
    heard_init(&h, IO_WRITE, fd);
    heard_piece(&h, memory + BYTES - 5000, 5000); /* up to the last byte */
    assert_int_equal(run(io, &h), 5000);
    heard_init(&h, IO_READ, fd);
    heard_piece(&h, memory, 5000);
    memset(memory, 0, 5000);
    assert_int_equal(run(io, &h), 5000);
    assert_memory_equal(memory, memory + BYTES - 5000, 5000);
    uint8_t outside[16]; /* not registered: works as well */
    heard_init(&h, IO_READ, fd);
    heard_piece(&h, outside, 16);
    assert_int_equal(run(io, &h), 16);
    assert_int_equal(outside[15], 0x5a);
    close(fd);
    uring_close(io);
    free(memory);
    assert_int_equal(io_setup(state), 0);
}

/* ── full queues ── */

static void more_submits_than_entries_all_complete(void **state)
{
    enum { OPS_N = 500 };
    struct io *io = io_of(state);
    struct heard *h = calloc(OPS_N, sizeof *h);
    uint32_t bytes[OPS_N];
    int fd = file_make();
    for (uint32_t i = 0; i < OPS_N; i++) {
        bytes[i] = i;
        heard_init(&h[i], IO_WRITE, fd);
        heard_piece(&h[i], &bytes[i], 4);
        h[i].op.pos = i * 4;
        io_submit(io, &h[i].op);
    }
    assert_int_equal(io->under_way, OPS_N);
    for (uint32_t i = 0; i < OPS_N; i++) {
        until_heard(io, &h[i], 1);
        assert_int_equal(h[i].results[0], 4);
    }
    for (uint32_t i = 0, got; i < OPS_N; i++) {
        assert_int_equal(pread(fd, &got, 4, i * 4), 4);
        assert_int_equal(got, i);
    }
    free(h);
    close(fd);
}

static void full_queue_in_a_turn_is_submitted_at_once(void **state)
{
    struct io *io = io_of(state);
    io_poll(io); /* enabled: the kernel may be asked in between */
    uint64_t before = uring_stats(io)->queue_full_n;
    more_submits_than_entries_all_complete(state);
    assert_true(uring_stats(io)->queue_full_n > before);
}

static void completion_queue_overflow_loses_nothing(void **state)
{
    enum { OPS_N = 6000 }; /* the completion queue has 4096 places */
    struct io *io = io_of(state);
    struct heard *h = calloc(OPS_N, sizeof *h);
    uint8_t byte;
    int fd = file_make();
    io_poll(io);
    for (uint32_t i = 0; i < OPS_N; i++) {
        heard_init(&h[i], IO_READ, fd);
        heard_piece(&h[i], &byte, 1);
        io_submit(io, &h[i].op); /* submitted eight at a time, nothing is taken */
    }
    for (uint32_t i = 0; i < OPS_N; i++)
        until_heard(io, &h[i], 1);
    assert_true(uring_stats(io)->overflow_n > 0);
    free(h);
    close(fd);
}

struct chain {
    struct io_op op;
    struct iovec iov;
    struct io *io;
    uint32_t left;
    uint8_t byte;
};

static void chain_done(struct io_op *op)
{
    struct chain *c = container_of(op, struct chain, op);
    assert_false(op->is_busy);
    if (--c->left > 0)
        io_submit(c->io, op);
}

static void done_may_submit_again(void **state)
{
    struct io *io = io_of(state);
    struct chain c = {.io = io, .left = 300};
    int fd = file_make();
    io_op_init(&c.op, IO_READ, chain_done);
    c.op.fd = fd;
    c.iov = (struct iovec){&c.byte, 1};
    c.op.iov = &c.iov;
    c.op.iov_n = 1;
    io_submit(io, &c.op);
    for (int i = 0; i < 2000 && c.left > 0; i++)
        io_wait(io, NS_PER_MS);
    assert_int_equal(c.left, 0);
    close(fd);
}

/* ── poll, cancel, wait ── */

static void poll_once_tells_of_one_event_and_may_be_asked_again(void **state)
{
    struct io *io = io_of(state);
    struct heard poll;
    uint64_t one = 1;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(fd >= 0);
    heard_init(&poll, IO_POLL, fd);
    poll.op.is_once = true;
    for (uint32_t i = 1; i <= 2; i++) {
        io_submit(io, &poll.op);
        assert_int_equal(write(fd, &one, sizeof one), sizeof one);
        until_heard(io, &poll, i);
        assert_true(poll.op.is_last);
        assert_false(poll.op.is_busy);
        assert_int_equal(io->under_way, 0);
    }
    close(fd);
}

static void poll_tells_of_every_event_until_cancelled(void **state)
{
    struct io *io = io_of(state);
    struct heard poll, cancel;
    uint64_t n = 1;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    heard_init(&poll, IO_POLL, fd);
    io_submit(io, &poll.op);
    assert_int_equal(io_poll(io), 1); /* the one of enabling */
    assert_int_equal(poll.n, 0);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(write(fd, &n, sizeof n), sizeof n);
        until_heard(io, &poll, i);
        assert_true(poll.results[i - 1] > 0);
        assert_true(poll.op.is_busy);
        assert_int_equal(read(fd, &n, sizeof n), sizeof n);
        n = 1;
    }
    heard_init(&cancel, IO_CANCEL, -1);
    cancel.op.target = &poll.op;
    assert_int_equal(run(io, &cancel), 0);
    until_heard(io, &poll, 4);
    assert_int_equal(poll.results[3], -ECANCELED);
    assert_true(poll.op.is_last);
    assert_false(poll.op.is_busy);
    close(fd);
}

static void cancel_of_what_is_not_there_says_so(void **state)
{
    struct io *io = io_of(state);
    struct heard target, cancel;
    heard_init(&target, IO_POLL, 0);
    heard_init(&cancel, IO_CANCEL, -1);
    cancel.op.target = &target.op;
    assert_int_equal(run(io, &cancel), -ENOENT);
}

static void wait_ends_at_its_time(void **state)
{
    struct io *io = io_of(state);
    io_poll(io);
    uint64_t from = clock_read_ns();
    assert_int_equal(io_wait(io, 5 * NS_PER_MS), 0);
    uint64_t took = clock_read_ns() - from;
    assert_true(took >= 4 * NS_PER_MS);
    assert_true(took < 2 * NS_PER_S);
    assert_int_equal(io_wait(io, 0), 0);
}

static void *event_write(void *arg)
{
    uint64_t one = 1;
    assert_int_equal(write(*(int *)arg, &one, sizeof one), sizeof one);
    return NULL;
}

static void wait_is_woken_by_another_thread(void **state)
{
    struct io *io = io_of(state);
    struct heard poll, cancel;
    pthread_t thread;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    heard_init(&poll, IO_POLL, fd);
    io_submit(io, &poll.op);
    io_poll(io);
    assert_int_equal(pthread_create(&thread, NULL, event_write, &fd), 0);
    until_heard(io, &poll, 1);
    pthread_join(thread, NULL);
    heard_init(&cancel, IO_CANCEL, -1);
    cancel.op.target = &poll.op;
    assert_int_equal(run(io, &cancel), 0);
    until_heard(io, &poll, 2);
    close(fd);
}

/* ── sockets ── */

static void recv_delivers_until_the_end(void **state)
{
    struct io *io = io_of(state);
    struct heard recv, send;
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    heard_init(&recv, IO_RECV, fd[0]);
    io_submit(io, &recv.op);
    char text[] = "first second";
    heard_init(&send, IO_SEND, fd[1]);
    heard_piece(&send, text, 6);
    assert_int_equal(run(io, &send), 6);
    until_heard(io, &recv, 1);
    assert_int_equal(recv.results[0], 6);
    assert_memory_equal(io_buffer_data(io, recv.buffers[0]), "first ", 6);
    assert_false(recv.op.is_last);
    heard_init(&send, IO_SEND, fd[1]);
    heard_piece(&send, text + 6, 2); /* two pieces: sendmsg */
    heard_piece(&send, text + 8, 4);
    assert_int_equal(run(io, &send), 6);
    until_heard(io, &recv, 2);
    assert_memory_equal(io_buffer_data(io, recv.buffers[1]), "second", 6);
    io_buffer_give(io, recv.buffers[0]);
    io_buffer_give(io, recv.buffers[1]);
    close(fd[1]);
    until_heard(io, &recv, 3);
    assert_int_equal(recv.results[2], 0);
    assert_true(recv.op.is_last);
    heard_init(&send, IO_SEND, fd[0]);
    heard_piece(&send, text, 6);
    assert_int_equal(run(io, &send), -EPIPE); /* and no signal */
    close(fd[0]);
}

static void recv_without_buffers_ends_and_goes_on_when_some_are_back(void **state)
{
    struct io *io = io_of(state);
    struct heard recv, cancel;
    char byte = 'x';
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
    heard_init(&recv, IO_RECV, fd[0]);
    io_submit(io, &recv.op);
    io_poll(io);
    for (uint32_t i = 0; i < BUFFERS_N + 2; i++)
        assert_int_equal(send(fd[1], &byte, 1, 0), 1);
    until_heard(io, &recv, BUFFERS_N + 1);
    for (uint32_t i = 0; i < BUFFERS_N; i++)
        assert_int_equal(recv.results[i], 1);
    assert_int_equal(recv.results[BUFFERS_N], -ENOBUFS);
    assert_true(recv.op.is_last);
    for (uint32_t i = 0; i < BUFFERS_N; i++)
        io_buffer_give(io, recv.buffers[i]);
    io_submit(io, &recv.op);
    until_heard(io, &recv, BUFFERS_N + 3);
    assert_int_equal(recv.results[BUFFERS_N + 1], 1);
    assert_int_equal(recv.results[BUFFERS_N + 2], 1);
    io_buffer_give(io, recv.buffers[BUFFERS_N + 1]);
    io_buffer_give(io, recv.buffers[BUFFERS_N + 2]);
    heard_init(&cancel, IO_CANCEL, -1);
    cancel.op.target = &recv.op;
    assert_int_equal(run(io, &cancel), 0);
    until_heard(io, &recv, BUFFERS_N + 4);
    assert_int_equal(recv.results[BUFFERS_N + 3], -ECANCELED);
    close(fd[0]);
    close(fd[1]);
}

static void accept_gives_every_connection(void **state)
{
    struct io *io = io_of(state);
    struct heard accept, cancel;
    struct sockaddr_un at = {.sun_family =
                                 AF_UNIX}; /* no path: the kernel picks an abstract name */
    socklen_t n = sizeof at;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client[3];
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at.sun_family), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    assert_int_equal(listen(fd, 8), 0);
    heard_init(&accept, IO_ACCEPT, fd);
    io_submit(io, &accept.op);
    for (uint32_t i = 0; i < 3; i++) {
        client[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client[i], (struct sockaddr *)&at, n), 0);
        until_heard(io, &accept, i + 1);
        assert_true(accept.results[i] >= 0);
        assert_int_equal(fcntl(accept.results[i], F_GETFD), FD_CLOEXEC);
        assert_false(accept.op.is_last);
        close(accept.results[i]);
        close(client[i]);
    }
    heard_init(&cancel, IO_CANCEL, -1);
    cancel.op.target = &accept.op;
    assert_int_equal(run(io, &cancel), 0);
    until_heard(io, &accept, 4);
    assert_int_equal(accept.results[3], -ECANCELED);
    close(fd);
}

/* ── threads ── */

struct user {
    struct io *io;
    struct heard *h;
};

static void *thread_polls(void *arg)
{
    struct user *u = arg;
    until_heard(u->io, u->h, 1);
    return NULL;
}

static void ring_opened_by_main_is_used_by_a_thread_then_by_main_again(void **state)
{
    struct io *io = io_of(state);
    struct heard h;
    struct user u = {io, &h};
    char bytes[4] = "abc";
    int fd = file_make();
    pthread_t thread;
    heard_init(&h, IO_WRITE, fd);
    heard_piece(&h, bytes, 3);
    io_submit(io, &h.op); /* queued before the thread exists */
    assert_int_equal(pthread_create(&thread, NULL, thread_polls, &u), 0);
    pthread_join(thread, NULL);
    assert_int_equal(h.results[0], 3);
    io_poll(io); /* takes over: a new ring */
    heard_init(&h, IO_READ, fd);
    heard_piece(&h, bytes, 3);
    assert_int_equal(run(io, &h), 3);
    recv_delivers_until_the_end(state); /* with the same buffers */
    close(fd);
}

static void helper_cpus_are_taken(void **state)
{
    struct uring_report report = {0};
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    uring_helper_cpus_set(io_of(state), &cpus);
    assert_int_equal(uring_enable(io_of(state), &report), 0);
    assert_true(report.has_helper_cpus);
    assert_string_equal(report.text, "");
    io_poll(io_of(state));
}

/* ── refusals, each in a process of its own ── */

/* From now on the system call fails with err. */
static void forbid(int call, int err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {array_n(code), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
}

/* 0 when `child` says so; a test inside the child would report twice. */
static int in_child(int (*child)(void))
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(child());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int open_expect(int rc, const char *word)
{
    struct uring_report report;
    struct io *io;
    if (uring_open(&io, ENTRIES, &report) != rc)
        return 1;
    return report.error != 0 && strstr(report.text, word) != NULL &&
                   strchr(report.text, '\n') == NULL
               ? 0
               : 2;
}

static int child_eperm(void)
{
    forbid(SYS_io_uring_setup, EPERM);
    return open_expect(E_DENIED, "seccomp");
}

static int child_enosys(void)
{
    forbid(SYS_io_uring_setup, ENOSYS);
    return open_expect(E_UNSUPPORTED, "CONFIG_IO_URING");
}

static int child_enomem(void)
{
    forbid(SYS_io_uring_setup, ENOMEM);
    return open_expect(E_NO_MEMORY, "LimitMEMLOCK");
}

static int child_emfile(void)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_NOFILE, &none) != 0)
        return 77;
    return open_expect(E_NO_MEMORY, "LimitNOFILE");
}

static void refusal_of_a_ring_is_explained(void **state)
{
    (void)state;
    assert_int_equal(in_child(child_eperm), 0);
    assert_int_equal(in_child(child_enosys), 0);
    assert_int_equal(in_child(child_enomem), 0);
    assert_int_equal(in_child(child_emfile), 0);
}

static int child_register(void)
{
    struct uring_report report;
    struct io *io;
    static uint8_t memory[65536];
    if (uring_open(&io, ENTRIES, &report) != 0)
        return 1;
    forbid(SYS_io_uring_register, ENOMEM);
    if (uring_memory_register(io, memory, sizeof memory, &report) != E_NO_MEMORY ||
        report.has_memory)
        return 2;
    if (strstr(report.text, "RLIMIT_MEMLOCK") == NULL)
        return 3;
    if (io->functions->buffers_open(io, BUFFERS_N, BUFFER_BYTES) != E_NO_MEMORY ||
        io->buffers != NULL)
        return 4;
    if (uring_enable(io, &report) == 0) /* it cannot be enabled either, and says so */
        return 5;
    return report.text[0] != '\0' ? 0 : 6;
}

static void refusal_of_registration_is_explained(void **state)
{
    (void)state;
    assert_int_equal(in_child(child_register), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, io_setup, io_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(file_written_is_read_back),
        CASE(sync_behind_a_write_comes_after_it_or_is_given_up),
        CASE(chains_fill_the_queue_and_stay_whole),
        CASE(errors_arrive_as_negative_errno),
        CASE(registered_memory_serves_reads_and_writes),
        CASE(more_submits_than_entries_all_complete),
        CASE(full_queue_in_a_turn_is_submitted_at_once),
        CASE(completion_queue_overflow_loses_nothing),
        CASE(done_may_submit_again),
        CASE(poll_once_tells_of_one_event_and_may_be_asked_again),
        CASE(poll_tells_of_every_event_until_cancelled),
        CASE(cancel_of_what_is_not_there_says_so),
        CASE(wait_ends_at_its_time),
        CASE(wait_is_woken_by_another_thread),
        CASE(recv_delivers_until_the_end),
        CASE(recv_without_buffers_ends_and_goes_on_when_some_are_back),
        CASE(accept_gives_every_connection),
        CASE(ring_opened_by_main_is_used_by_a_thread_then_by_main_again),
        CASE(helper_cpus_are_taken),
        cmocka_unit_test(refusal_of_a_ring_is_explained),
        cmocka_unit_test(refusal_of_registration_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
