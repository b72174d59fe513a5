/*
 * bench_journal.c - a turn of durable 4 KiB appends to 1, 64 and 1,000 logs: through the commit
 * journal, with a flush per file, and the floor: one write of the same bytes past the page cache
 * and one flush.
 *
 *   bench_journal [directory, default .]
 *
 * Owner: one thread is the worker, another the files helper, as in the broker. Real ring, real
 * files; the three take turns, and each figure is the median of ROUNDS_N (1,000 logs:
 * fewer). Bytes go to their
 * segments meanwhile.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "disk_tools.h"
#include "journal.h"
#include "uring.h"

enum { ROUNDS_N = 41, LOGS_MAX = 1000, VALUE_BYTES = 4000, PAGES_BYTES = 256 << 20 };
enum { THREAD_STORE, THREAD_FILES, THREAD_BULK, THREADS_N };

/* Owner: the program. */
struct ground {
    char directory[512];
    struct io *io;
    struct pages pages;
    struct timers timers;
    struct post posts[THREADS_N];
    struct helper *files;
    struct store *store;
    struct plog *logs[LOGS_MAX];
    uint8_t mail_at;
    pthread_t thread;
    _Atomic bool is_ending;
};

static void ground_open(struct ground *g, const char *parent, uint64_t journal_bytes)
{
    struct uring_report report;
    struct post *posts[THREADS_N];
    snprintf(g->directory, sizeof g->directory, "%.400s/bench-journal-XXXXXX", parent);
    check(mkdtemp(g->directory) != NULL);
    check(uring_open(&g->io, 256, &report) == 0);
    pages_init(&g->pages, aligned_alloc(PAGE_BLOCK, PAGES_BYTES), PAGES_BYTES,
               calloc(1, pages_header_bytes(PAGES_BYTES)));
    timers_init(&g->timers, clock_read_ns());
    for (int i = 0; i < THREADS_N; i++) {
        g->posts[i].event_fd = -1;
        posts[i] = &g->posts[i];
    }
    check(posts_connect(posts, THREADS_N, 1024) == 0);
    check(helper_init(&g->files, disk_posix(), &g->posts[THREAD_FILES], 1) == 0);
    struct store_config config = {.group_ns_max = 2 * NS_PER_MS,
                                  .open_files_max = 2000,
                                  .producers_max = 1000,
                                  .tail_bytes_max = PAGES_BYTES / 2,
                                  .journal_bytes = journal_bytes,
                                  .writeback_ns = NS_PER_S};
    snprintf(config.directory, sizeof config.directory, "%s", g->directory);
    check(store_init(&g->store, &config, g->io, disk_posix(), &g->pages, &g->timers,
                     &g->posts[THREAD_STORE], THREAD_FILES, THREAD_BULK) == 0);
    check(store_journal_open(g->store, clock_read_ns()) == 0);
}

static void ground_logs(struct ground *g)
{
    static const struct uuid id = {{1}};
    struct log_config config = {.segment_bytes = 1 << 30,
                                .segment_ms = INT64_MAX / 2,
                                .segment_index_bytes = 10 << 20,
                                .index_interval_bytes = 4096,
                                .max_message_bytes = 1 << 20,
                                .retention_ms = -1,
                                .retention_bytes = -1,
                                .timestamp_before_max_ms = INT64_MAX,
                                .timestamp_after_max_ms = INT64_MAX,
                                .codec = CODEC_PRODUCER};
    for (int32_t i = 0; i < LOGS_MAX; i++) {
        struct log_id log = {id, bytes_of_string("bench"), i};
        check(store_log_new(g->store, &log, &config, &g->logs[i]) == 0);
    }
}

static void *files_run(void *context)
{
    struct ground *g = context;
    thread_self = g->files;
    while (!atomic_load_explicit(&g->is_ending, memory_order_relaxed))
        if (helper_turn(g->files, clock_read(), 100) == 0)
            usleep(20);
    return NULL;
}

static void turn(struct ground *g)
{
    struct mail *mail;
    struct now now = clock_read();
    io_poll(g->io);
    mail_flush(&g->posts[THREAD_STORE]);
    while ((mail = mail_read(&g->posts[THREAD_STORE], &g->mail_at)) != NULL)
        store_mail(g->store, mail, now);
    store_flush(g->store, now);
    mail_flush(&g->posts[THREAD_STORE]);
    io_poll(g->io);
}

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
            turn(g);
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
    char command[600];
    struct batch_builder b;
    batch_begin(&b, batch, sizeof batch);
    check(batch_add(&b, clock_read().wall_ms, bytes_of("k", 1), bytes_of(value, sizeof value)) ==
          0);
    uint32_t bytes = batch_end(&b, 0, -1);
    ground_open(&with, parent, 128 << 20);
    ground_open(&without, parent, 0);
    ground_logs(&with);
    ground_logs(&without);
    check(pthread_create(&with.thread, NULL, files_run, &with) == 0);
    check(pthread_create(&without.thread, NULL, files_run, &without) == 0);
    uint64_t room = align_up((uint64_t)LOGS_MAX * bytes, JOURNAL_BLOCK);
    uint8_t *memory = aligned_alloc(JOURNAL_BLOCK, room);
    check(memory != NULL);
    memset(memory, 1, room);
    snprintf(command, sizeof command, "%s/floor", with.directory);
    int fd = open(command, O_RDWR | O_CREAT | O_DIRECT, 0644);
    if (fd < 0)
        fd = open(command, O_RDWR | O_CREAT, 0644);
    check(fd >= 0 && file_zero(disk_posix(), fd, 0, align_up(room, 1 << 20)) == 0);
    for (size_t i = 0; i < array_n(logs_n); i++)
        measure(&with, &without, logs_n[i], fd, memory, batch, bytes);
    atomic_store_explicit(&with.is_ending, true, memory_order_relaxed);
    atomic_store_explicit(&without.is_ending, true, memory_order_relaxed);
    pthread_join(with.thread, NULL);
    pthread_join(without.thread, NULL);
    snprintf(command, sizeof command, "rm -rf '%.250s' '%.250s'", with.directory,
             without.directory);
    return system(command) == 0 ? 0 : 1;
}
