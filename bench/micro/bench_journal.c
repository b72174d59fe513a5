/*
 * bench_journal.c - a turn of durable 4 KiB appends to 1, 64 and 1,000 logs: through the commit
 * journal, with a flush per file, and the floor: one write of the same bytes past the page cache
 * and one flush.
 *
 *   bench_journal [directory, default .]
 *
 * Owner: main. Real ring, real files (store_bed.h); the three take turns, and each figure is the
 * median of ROUNDS_N (1,000 logs: fewer). Bytes go to their segments meanwhile.
 */
#include <fcntl.h>

#include "store_bed.h"

enum { ROUNDS_N = 41, LOGS_MAX = BED_LOGS_MAX, VALUE_BYTES = 4000 };

/* Nanoseconds until one more batch of each of n logs is durable. */
static uint64_t round_store(struct ground *g, uint32_t n, const uint8_t *batch, uint32_t bytes)
{
    struct slice slice = {batch, bytes, NULL};
    struct slices from = {&slice, 1, bytes};
    uint64_t begin = clock_read_ns();
    for (uint32_t i = 0; i < n; i++) {
        struct append append = {.from = &from, .bytes = bytes, .request_version = 9};
        check(plog_append(g->logs[i], &append, clock_read()) == 0);
    }
    for (uint32_t i = 0; i < n;) {
        struct plog_offsets o;
        plog_offsets(g->logs[i], &o);
        if (o.durable == o.end)
            i++;
        else
            ground_turn(g, NULL, NULL);
    }
    return clock_read_ns() - begin;
}

static void floor_done(struct io_op *op)
{
    check(op->result >= 0);
}

static uint64_t round_floor(struct io *io, int fd, uint8_t *memory, uint64_t bytes)
{
    struct io_op op;
    struct iovec iov = {memory, align_up(bytes, JOURNAL_BLOCK)};
    uint64_t begin = clock_read_ns();
    io_op_init(&op, IO_WRITE, floor_done);
    op.fd = fd;
    op.iov = &iov;
    op.iov_n = 1;
    io_submit(io, &op);
    while (io->under_way > 0)
        io_poll(io);
    io_op_init(&op, IO_SYNC, floor_done);
    op.fd = fd;
    io_submit(io, &op);
    while (io->under_way > 0)
        io_poll(io);
    return clock_read_ns() - begin;
}

static int order(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median_us(uint64_t *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, order);
    return (double)v[n / 2] / 1000;
}

static void measure(struct ground *with, struct ground *without, uint32_t n, int fd,
                    uint8_t *memory, const uint8_t *batch, uint32_t bytes)
{
    static uint64_t journal[ROUNDS_N], files[ROUNDS_N], bare[ROUNDS_N];
    (void)round_store(with, n, batch, bytes); /* the first round makes files */
    (void)round_store(without, n, batch, bytes);
    int rounds_n = n < LOGS_MAX ? ROUNDS_N : ROUNDS_N / 4;
    for (int i = 0; i < rounds_n; i++) {
        journal[i] = round_store(with, n, batch, bytes);
        bare[i] = round_floor(with->io, fd, memory, (uint64_t)n * bytes);
        files[i] = round_store(without, n, batch, bytes);
    }
    double j = median_us(journal, rounds_n), b = median_us(bare, rounds_n),
           f = median_us(files, rounds_n);
    printf("  %5u logs: journal %9.0f us, bare write and flush %9.0f us (%4.2f times), a flush per "
           "file %9.0f us\n",
           n, j, b, j / b, f);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const uint32_t logs_n[] = {1, 64, LOGS_MAX};
    static struct ground with, without;
    static uint8_t batch[2 * VALUE_BYTES], value[VALUE_BYTES];
    const char *parent = argc > 1 ? argv[1] : ".";
    char path[600];
    struct batch_builder b;
    batch_begin(&b, batch, sizeof batch);
    check(batch_add(&b, clock_read().wall_ms, bytes_of("k", 1), bytes_of(value, sizeof value)) ==
          0);
    uint32_t bytes = batch_end(&b, 0, -1);
    ground_open(&with, parent, 128 << 20, 0);
    ground_open(&without, parent, 0, 0);
    ground_logs(&with, LOGS_MAX, STORE_GROUP, 1 << 30);
    ground_logs(&without, LOGS_MAX, STORE_GROUP, 1 << 30);
    uint64_t room = align_up((uint64_t)LOGS_MAX * bytes, JOURNAL_BLOCK);
    uint8_t *memory = aligned_alloc(JOURNAL_BLOCK, room);
    check(memory != NULL);
    memset(memory, 1, room);
    snprintf(path, sizeof path, "%s/floor", with.directory);
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT, 0644);
    if (fd < 0)
        fd = open(path, O_RDWR | O_CREAT, 0644);
    check(fd >= 0 && file_zero(disk_posix(), fd, 0, align_up(room, 1 << 20)) == 0);
    for (size_t i = 0; i < array_n(logs_n); i++)
        measure(&with, &without, logs_n[i], fd, memory, batch, bytes);
    ground_close(&with);
    ground_close(&without);
    return 0;
}
