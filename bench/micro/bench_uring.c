/*
 * bench_uring.c - what an operation on a file costs through the ring: on the thread that asks, and
 * in all (the kernel's io workers run what would block, so the difference is theirs).
 *
 * Owner: one thread. Usage: bench_uring [directory, default .]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "uring.h"

enum { OPS_N = 2000, UNDER_WAY = 8, BYTES_MAX = 65536, FILE_BYTES = 64 << 20 };

/* Owner: the bench. */
struct bench {
    struct io *io;
    uint32_t left, done_n;
    int fd;
    uint32_t bytes;
    uint64_t pos;
};

struct lane {
    struct io_op op;
    struct iovec iov;
    struct bench *bench;
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void lane_next(struct lane *lane)
{
    struct bench *b = lane->bench;
    if (b->left == 0)
        return;
    b->left--;
    lane->op.pos = b->pos;
    b->pos = (b->pos + b->bytes) % FILE_BYTES;
    io_submit(b->io, &lane->op);
}

static void lane_done(struct io_op *op)
{
    struct lane *lane = container_of(op, struct lane, op);
    check(op->result >= 0);
    lane->bench->done_n++;
    lane_next(lane);
}

static void measure(const char *name, struct io *io, int fd, enum io_kind kind, uint32_t bytes,
                    uint8_t *memory)
{
    struct lane lanes[UNDER_WAY];
    struct bench b = {io, OPS_N, 0, fd, bytes, 0};
    uint64_t wall = clock_read_ns(), mine = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t all = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; i < UNDER_WAY; i++) {
        io_op_init(&lanes[i].op, (uint8_t)kind, lane_done);
        lanes[i].op.fd = fd;
        lanes[i].iov = (struct iovec){memory + (uint64_t)i * BYTES_MAX, bytes};
        lanes[i].op.iov = &lanes[i].iov;
        lanes[i].op.iov_n = 1;
        lanes[i].bench = &b;
        lane_next(&lanes[i]);
    }
    while (b.done_n < OPS_N)
        io_wait(io, NS_PER_S);
    wall = clock_read_ns() - wall;
    mine = clock_ns(CLOCK_THREAD_CPUTIME_ID) - mine;
    all = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - all;
    printf("%-34s %6.1f us each, CPU %6.1f us on the thread, %6.1f us with the io workers\n", name,
           (double)wall / OPS_N / 1e3, (double)mine / OPS_N / 1e3, (double)all / OPS_N / 1e3);
}

int main(int argc, char **argv)
{
    struct uring_report report;
    struct io *io;
    char path[4096];
    snprintf(path, sizeof path, "%s/bench-uring-XXXXXX", argc > 1 ? argv[1] : ".");
    int fd = mkostemp(path, O_CLOEXEC);
    check(fd >= 0);
    int direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    unlink(path);
    uint8_t *memory = aligned_alloc(4096, (size_t)UNDER_WAY * BYTES_MAX);
    check(memory != NULL && uring_open(&io, 64, &report) == 0);
    memset(memory, 0x5a, (size_t)UNDER_WAY * BYTES_MAX);
    for (uint64_t at = 0; at < FILE_BYTES; at += BYTES_MAX)
        check(pwrite(fd, memory, BYTES_MAX, (off_t)at) == BYTES_MAX);
    check(fsync(fd) == 0);
    measure("buffered write, 4 KiB", io, fd, IO_WRITE, 4096, memory);
    measure("buffered write, 64 KiB", io, fd, IO_WRITE, 65536, memory);
    measure("buffered read in cache, 64 KiB", io, fd, IO_READ, 65536, memory);
    check(fdatasync(fd) == 0);
    if (direct >= 0) {
        measure("direct write, 4 KiB", io, direct, IO_WRITE, 4096, memory);
        measure("direct write, 64 KiB", io, direct, IO_WRITE, 65536, memory);
        check(uring_memory_register(io, memory, (uint64_t)UNDER_WAY * BYTES_MAX, &report) == 0);
        measure("direct write, 4 KiB, registered", io, direct, IO_WRITE, 4096, memory);
        measure("direct write, 64 KiB, registered", io, direct, IO_WRITE, 65536, memory);
        close(direct);
    }
    uring_close(io);
    close(fd);
    free(memory);
    return 0;
}
