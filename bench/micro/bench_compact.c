/*
 * bench_compact.c - what compaction costs: MB/s and CPU seconds per GB of log, by codec.
 *
 * Owner: the program. A log of 4 segments is made in a directory (first argument, default /dev/shm)
 * and compacted by the pieces that the bulk helper does, in this thread. Half of the records are
 * superseded by the other half. Bytes are those of the log before; the time is reading the dirty
 * part for the map, reading all of it again, and writing what stays with its flushes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "compact.h"
#include "helper.h"

enum { SEGMENTS_N = 4, BATCHES_N = 2000, BATCH_RECORDS = 16, VALUE_BYTES = 1000, ROOM = 1 << 16 };

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Values of digits: they compress to about a half. */
static uint32_t batch_make(uint8_t *to, uint8_t codec, uint64_t first, struct prng *prng)
{
    static uint8_t plain[ROOM], value[VALUE_BYTES];
    struct batch_builder b;
    batch_begin(&b, plain, sizeof plain);
    for (uint32_t i = 0; i < BATCH_RECORDS; i++) {
        uint64_t key = (first + i) % (SEGMENTS_N * BATCHES_N * BATCH_RECORDS / 2);
        for (uint32_t at = 0; at < sizeof value; at++)
            value[at] = (uint8_t)('0' + prng_below(prng, 10));
        int error = batch_add(&b, 1000, bytes_of(&key, sizeof key), bytes_of(value, sizeof value));
        check(error == 0);
    }
    uint32_t bytes = batch_end(&b, codec, 0);
    memcpy(to, plain, BATCH_HEADER);
    int64_t n = codec_compress(codec, COMPRESS_LEVEL_DEFAULT,
                               bytes_of(plain + BATCH_HEADER, bytes - BATCH_HEADER),
                               to + BATCH_HEADER, ROOM * 2 - BATCH_HEADER);
    check(n > 0);
    store_u64(to, first);
    store_u32(to + BATCH_LENGTH_AT, (uint32_t)n + BATCH_HEADER - BATCH_LENGTH_END);
    batch_stamp_crc(to, (uint32_t)n + BATCH_HEADER);
    return (uint32_t)n + BATCH_HEADER;
}

static void log_make(struct compact *c, uint8_t codec)
{
    static uint8_t batch[ROOM * 2];
    struct prng prng;
    uint64_t first = 0;
    prng_init(&prng, 1);
    for (uint32_t i = 0; i < SEGMENTS_N; i++) {
        char path[DISK_PATH_MAX];
        struct compact_source *s = &c->sources[i];
        *s = (struct compact_source){.base_offset = (int64_t)first};
        segment_path(path, c->directory, s->base_offset, ".log");
        FILE *f = fopen(path, "w");
        check(f != NULL);
        for (uint32_t j = 0; j < BATCHES_N; j++, first += BATCH_RECORDS) {
            uint32_t n = batch_make(batch, codec, first, &prng);
            check(fwrite(batch, 1, n, f) == n);
            s->bytes += n;
        }
        s->end_offset = (int64_t)first;
        check(fclose(f) == 0);
    }
}

/* All pieces; home's part is nothing but saying yes. */
static uint64_t pieces_run(struct helper *helper, struct compact *c)
{
    static struct job job;
    uint64_t written = 0;
    job.compact = c;
    do {
        c->order = c->said == COMPACT_READY ? COMPACT_SWAP : COMPACT_GO;
        int error = bulk_compact(helper, &job);
        check(error == 0);
        written += c->written_bytes;
    } while (c->said != COMPACT_DONE);
    return written;
}

static void run(struct helper *helper, const char *directory, uint8_t codec, const char *name)
{
    static struct compact_source sources[SEGMENTS_N];
    static struct compact c;
    char command[DISK_PATH_MAX + 16];
    uint64_t bytes = 0;
    c = (struct compact){.sources = sources,
                         .sources_n = SEGMENTS_N,
                         .now_ms = 2000,
                         .map_bytes = 128 << 20,
                         .load_percent = 90,
                         .scan_fd = -1,
                         .out_fd = -1};
    c.config = (struct log_config){.segment_bytes = 1 << 30, .index_interval_bytes = 4096};
    snprintf(c.directory, sizeof c.directory, "%s/bench-compact-%d", directory, (int)getpid());
    check(mkdir(c.directory, 0700) == 0);
    log_make(&c, codec);
    for (uint32_t i = 0; i < SEGMENTS_N; i++)
        bytes += sources[i].bytes;
    double began_cpu = cpu_s();
    uint64_t began = clock_read().ns;
    uint64_t written = pieces_run(helper, &c);
    double s = (double)(clock_read().ns - began) / 1e9, cpu = cpu_s() - began_cpu;
    printf("compact %-7s %6.1f MB of log, %5.1f MB left, %7.1f MB/s, %5.2f CPU-s/GB\n", name,
           (double)bytes / 1e6, (double)written / 1e6, (double)bytes / 1e6 / s,
           cpu / ((double)bytes / 1e9));
    snprintf(command, sizeof command, "rm -rf '%s'", c.directory);
    check(system(command) == 0);
}

int main(int argc, char **argv)
{
    static const char *const names[CODECS_N] = {"none", "gzip", "snappy", "lz4", "zstd"};
    struct helper *helper;
    int error = helper_init(&helper, disk_posix(), NULL, 1);
    check(error == 0);
    for (uint8_t codec = 0; codec < CODECS_N; codec++)
        run(helper, argc > 1 ? argv[1] : "/dev/shm", codec, names[codec]);
    helper_fini(helper);
    return 0;
}
