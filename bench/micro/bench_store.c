/*
 * bench_store.c - the storage engine alone: what it appends, and what that costs, without a
 * network.
 *
 *   bench_store bulk group|relaxed <directory> [logs 64] [MiB 1536] [run max, KiB]
 *   bench_store trickle <directory> [logs 1000] [MiB 24]
 *   bench_store floor new|again <directory> [MiB 1536]
 *
 * Owner: main is the worker, another thread the files helper (store_bed.h).
 *
 * bulk: one producer on each log has one batch of 64 KiB under way, as librdkafka's and the
 * generator's are (65,139 bytes), and sends the next when it is acknowledged as acks=all is. What
 * is counted begins when WARM_BYTES are behind: so the ring has wrapped, segments roll, and
 * write-back, zeroing and the making of files are in the window as they are in the long run.
 *
 * trickle: batches of 1 KiB, 16 appends in each turn, of logs in no order; the next turn when all
 * are durable, PAUSE_US later. What is counted begins when the ring has its size, and goes from the
 * beginning of a round of write-back to the beginning of another: what a round leaves behind is the
 * same at both ends.
 *
 * floor: what the device takes: 1 MiB written past the page cache at depth 8, in order, by
 * io_uring; into a new file, or into one that is written already (what most measure).
 *
 * One line of name=value pairs comes out. Device bytes and flushes are the device's
 * (/sys/dev/block), whoever caused them; own_bytes is what this process had written.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "prng.h"
#include "store_bed.h"

enum {
    BATCH_BYTES = 64 << 10,
    RECORD_BYTES = 1024,
    WARM_BYTES = 512 << 20, /* four rings */
    SEGMENT_BYTES = 16 << 20,
    TURN_APPENDS = 16, /* about what a worker's turn takes from its connections */
    TICK_NS = 100 * NS_PER_MS,
    WAIT_NS = NS_PER_MS / 4,
    TRICKLE_N = 16,
    PAUSE_US = 500,
    TRICKLE_WARM_BYTES = 8 << 20,       /* at least; and at most, ... */
    TRICKLE_WARM_BYTES_MAX = 256 << 20, /* ... when the disk has no room for the ring */
    FLOOR_DEPTH = 8,
    FLOOR_BYTES = 1 << 20,
};

/* What the counters of the machine say. */
struct counters {
    uint64_t ns, cpu_us, device_bytes, own_bytes, flushes, batches, bytes;
    uint64_t own_flushes, records, record_ns; /* of the home; the helpers flush what they make */
    uint64_t record_bytes;
};

/* One connection, as the store sees it. Owner: main. */
struct producer {
    struct plog_wait wait;
    struct list link; /* load.ready */
    struct plog *log;
};

/* Owner: main. */
struct load {
    struct ground ground;
    struct producer producers[BED_LOGS_MAX];
    struct list ready;
    const uint8_t *batch;
    uint32_t batch_bytes, appends_max; /* in a turn */
    uint32_t run_max;                  /* 0: the default */
    bool is_closed;                    /* a producer sends again when it was answered */
    uint64_t acked, acked_bytes;
};

static struct load load;

/* ── counters ── */

static void device_read(const char *directory, struct counters *c)
{
    unsigned long long v[16] = {0};
    struct stat s;
    char path[128];
    check(stat(directory, &s) == 0);
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/stat", major(s.st_dev), minor(s.st_dev));
    FILE *f = fopen(path, "r");
    for (size_t i = 0; f != NULL && i < array_n(v) && fscanf(f, "%llu", &v[i]) == 1; i++)
        continue;
    if (f != NULL)
        fclose(f);
    c->device_bytes = v[6] * 512;
    c->flushes = v[15];
}

static uint64_t own_read(void)
{
    char line[128];
    unsigned long long bytes = 0;
    FILE *f = fopen("/proc/self/io", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "write_bytes: %llu", &bytes) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return bytes;
}

static struct counters counters_read(const char *directory)
{
    struct rusage u;
    struct counters c = {.ns = clock_read_ns(), .own_bytes = own_read()};
    getrusage(RUSAGE_SELF, &u);
    c.cpu_us = (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
               (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    device_read(directory, &c);
    if (load.ground.store != NULL) {
        const struct store_stats *s = store_stats(load.ground.store);
        c.own_flushes = s->journal_flushes + s->flush_ops;
        c.records = s->journal_records;
        c.record_ns = s->journal_ns_total;
        c.record_bytes = s->journal_bytes;
    }
    c.batches = load.acked;
    c.bytes = load.acked_bytes;
    return c;
}

static void report(const char *name, const struct counters *a, const struct counters *b)
{
    double bytes = (double)max_u64(b->bytes - a->bytes, 1);
    double batches = (double)max_u64(b->batches - a->batches, 1);
    const struct store_stats *s = store_stats(load.ground.store);
    printf(
        "%s mb_per_s=%.1f cpu_s_per_gb=%.3f device_bytes_per_byte=%.3f own_bytes_per_byte=%.3f "
        "record_bytes_per_byte=%.3f flushes_per_batch=%.4f own_flushes_per_batch=%.4f "
        "record_ms=%.2f batches=%.0f rolls=%llu "
        "rounds=%llu records=%llu wraps=%.1f\n",
        name, bytes * 1000 / (double)(b->ns - a->ns), (double)(b->cpu_us - a->cpu_us) / bytes * 1e3,
        (double)(b->device_bytes - a->device_bytes) / bytes,
        (double)(b->own_bytes - a->own_bytes) / bytes,
        (double)(b->record_bytes - a->record_bytes) / bytes,
        (double)(b->flushes - a->flushes) / batches,
        (double)(b->own_flushes - a->own_flushes) / batches,
        (double)(b->record_ns - a->record_ns) / (double)max_u64(b->records - a->records, 1) / 1e6,
        batches, (unsigned long long)s->rolls, (unsigned long long)s->write_back_rounds,
        (unsigned long long)s->journal_records,
        (double)s->journal_bytes / (double)load.ground.store->config.journal_bytes);
}

/* ── producers ── */

static void acked(struct plog_wait *wait, int error, struct now now)
{
    struct producer *p = container_of(wait, struct producer, wait);
    (void)now;
    check(error == 0);
    load.acked++;
    load.acked_bytes += load.batch_bytes;
    if (load.is_closed)
        list_append(&load.ready, &p->link);
}

/* False: there is no room now. */
static bool producer_send(struct producer *p, struct now now)
{
    struct slice slice = {load.batch, load.batch_bytes, NULL};
    struct slices from = {&slice, 1, load.batch_bytes};
    struct append append = {.from = &from, .bytes = load.batch_bytes, .request_version = 9};
    int rc = plog_append(p->log, &append, now);
    if (rc == E_AGAIN)
        return false;
    check(rc == 0);
    p->wait =
        (struct plog_wait){.mark = PLOG_HIGH, .offset = append.last_offset + 1, .wake = acked};
    check(!plog_wait(p->log, &p->wait));
    return true;
}

static int producers_run(void *context, struct now now)
{
    uint32_t n = 0;
    (void)context;
    for (; n < load.appends_max; n++) {
        struct producer *p = list_first(&load.ready, struct producer, link);
        if (p == NULL || !producer_send(p, now))
            break;
        list_del(&p->link);
    }
    return (int)n;
}

static void load_until(uint64_t bytes)
{
    uint64_t tick_ns = clock_read_ns();
    while (load.acked_bytes < bytes) {
        if (ground_turn(&load.ground, producers_run, NULL) == 0)
            io_wait(load.ground.io, WAIT_NS);
        uint64_t ns = clock_read_ns();
        if (ns - tick_ns > TICK_NS) {
            store_tick(load.ground.store, clock_read());
            tick_ns = ns;
        }
    }
}

/* ── loads ── */

static void batch_make(uint32_t bytes_max, uint32_t record_bytes)
{
    static uint8_t batch[BATCH_BYTES], value[RECORD_BYTES];
    struct batch_builder b;
    struct prng prng;
    prng_init(&prng, 1);
    for (uint32_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)prng_below(&prng, 256);
    batch_begin(&b, batch, bytes_max);
    while (batch_add(&b, clock_read().wall_ms, (struct bytes){NULL, 0},
                     bytes_of(value, record_bytes)) == 0)
        continue;
    load.batch = batch;
    load.batch_bytes = batch_end(&b, 0, -1);
}

static void load_open(const char *directory, uint64_t journal_bytes, uint32_t logs_n,
                      uint8_t durability)
{
    ground_open(&load.ground, directory, journal_bytes, load.run_max);
    ground_logs(&load.ground, logs_n, durability, SEGMENT_BYTES);
    list_init(&load.ready);
    for (uint32_t i = 0; i < logs_n; i++)
        load.producers[i].log = load.ground.logs[i];
}

static int bulk(uint8_t durability, const char *name, const char *directory, uint32_t logs_n,
                uint64_t bytes)
{
    batch_make(BATCH_BYTES, RECORD_BYTES);
    load.appends_max = TURN_APPENDS;
    load.is_closed = true;
    load_open(directory, 128 << 20, logs_n, durability);
    for (uint32_t i = 0; i < logs_n; i++)
        list_append(&load.ready, &load.producers[i].link);
    load_until(WARM_BYTES);
    struct counters a = counters_read(directory);
    load_until(WARM_BYTES + bytes);
    struct counters b = counters_read(directory);
    report(name, &a, &b);
    ground_close(&load.ground);
    return 0;
}

static void trickle_turn(struct prng *prng, uint32_t logs_n)
{
    uint64_t until = load.acked_bytes + TRICKLE_N * load.batch_bytes;
    uint32_t at = (uint32_t)prng_below(prng, logs_n);
    for (uint32_t i = 0; i < TRICKLE_N; i++)
        list_append(&load.ready, &load.producers[(at + i * 61) % logs_n].link);
    load_until(until);
    usleep(PAUSE_US);
}

/* ... until so much is acknowledged and a round of write-back begins. */
static void trickle_turns(struct prng *prng, uint32_t logs_n, uint64_t bytes)
{
    const struct store_stats *s = store_stats(load.ground.store);
    while (load.acked_bytes < bytes)
        trickle_turn(prng, logs_n);
    for (uint64_t rounds = s->write_back_rounds; s->write_back_rounds == rounds;)
        trickle_turn(prng, logs_n);
}

static void trickle_warm(struct prng *prng, uint32_t logs_n)
{
    const struct journal *j = load.ground.store->journal;
    while (load.acked_bytes < TRICKLE_WARM_BYTES ||
           (j->bytes < j->bytes_max && load.acked_bytes < TRICKLE_WARM_BYTES_MAX))
        trickle_turn(prng, logs_n);
    trickle_turns(prng, logs_n, load.acked_bytes);
}

static int trickle(const char *directory, uint32_t logs_n, uint64_t bytes)
{
    struct prng prng;
    prng_init(&prng, 2);
    batch_make(RECORD_BYTES + 80, RECORD_BYTES - 80);
    load.appends_max = TRICKLE_N;
    load_open(directory, 128 << 20, logs_n, STORE_GROUP);
    trickle_warm(&prng, logs_n);
    struct counters a = counters_read(directory);
    trickle_turns(&prng, logs_n, load.acked_bytes + bytes);
    struct counters b = counters_read(directory);
    report("trickle", &a, &b);
    ground_close(&load.ground);
    return 0;
}

/* ── the floor ── */

static void floor_done(struct io_op *op)
{
    check(op->result == FLOOR_BYTES);
    load.acked_bytes += FLOOR_BYTES;
}

static void floor_write(struct io *io, int fd, uint8_t *memory, uint64_t bytes)
{
    static struct io_op ops[FLOOR_DEPTH];
    struct iovec iov = {memory, FLOOR_BYTES};
    memset(ops, 0, sizeof ops);
    for (uint64_t pos = 0; pos < bytes || io->under_way > 0;) {
        for (uint32_t i = 0; i < FLOOR_DEPTH && pos < bytes; i++) {
            if (ops[i].is_busy)
                continue;
            io_op_init(&ops[i], IO_WRITE, floor_done);
            ops[i].fd = fd;
            ops[i].pos = pos;
            ops[i].iov = &iov;
            ops[i].iov_n = 1;
            io_submit(io, &ops[i]);
            pos += FLOOR_BYTES;
        }
        io_wait(io, NS_PER_S);
    }
}

static int bare(bool is_again, const char *directory, uint64_t bytes)
{
    struct uring_report ring;
    struct io *io;
    char path[512];
    uint8_t *memory = aligned_alloc(JOURNAL_BLOCK, FLOOR_BYTES);
    check(memory != NULL && uring_open(&io, 64, &ring) == 0);
    memset(memory, 1, FLOOR_BYTES);
    snprintf(path, sizeof path, "%.400s/bench-store-floor", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0644);
    check(fd >= 0);
    if (is_again)
        floor_write(io, fd, memory, bytes);
    struct counters a = counters_read(directory);
    floor_write(io, fd, memory, bytes);
    struct counters b = counters_read(directory);
    printf("floor mb_per_s=%.1f cpu_s_per_gb=%.3f\n", (double)bytes * 1000 / (double)(b.ns - a.ns),
           (double)(b.cpu_us - a.cpu_us) / (double)bytes * 1e3);
    close(fd);
    unlink(path);
    uring_close(io);
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "bench_store bulk group|relaxed <directory> [logs] [MiB] [run max, KiB]\n"
                    "bench_store trickle <directory> [logs] [MiB]\n"
                    "bench_store floor new|again <directory> [MiB]\n");
    return 2;
}

static uint64_t number(int argc, char **argv, int at, uint64_t otherwise)
{
    return argc > at ? strtoull(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    if (argc < 3) /* make bench-micro runs all with no argument */
        return argc == 1 ? bulk(STORE_GROUP, "bulk-group", ".", 64, (uint64_t)256 << 20) : usage();
    if (strcmp(argv[1], "trickle") == 0)
        return trickle(argv[2], (uint32_t)min_u64(number(argc, argv, 3, 1000), BED_LOGS_MAX),
                       number(argc, argv, 4, 24) << 20);
    if (argc < 4)
        return usage();
    load.run_max = (uint32_t)number(argc, argv, 6, 0) << 10;
    bool is_second = strcmp(argv[2], "relaxed") == 0 || strcmp(argv[2], "again") == 0;
    if (strcmp(argv[1], "bulk") == 0)
        return bulk(is_second ? STORE_RELAXED : STORE_GROUP,
                    is_second ? "bulk-relaxed" : "bulk-group", argv[3],
                    (uint32_t)min_u64(number(argc, argv, 4, 64), BED_LOGS_MAX),
                    number(argc, argv, 5, 1536) << 20);
    if (strcmp(argv[1], "floor") == 0)
        return bare(is_second, argv[3], number(argc, argv, 4, 1536) << 20);
    return usage();
}
