/*
 * bench_base.c - what the base costs: CRC, copy, ring, pages, timers, histogram, varints. One line
 * each.
 *
 * Owner: the program. Numbers are nanoseconds per operation, the best of several rounds: the
 * machine may be shared, and the best round is the one least disturbed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "clock.h"
#include "crc.h"
#include "hash.h"
#include "histogram.h"
#include "pages.h"
#include "prng.h"
#include "ring.h"
#include "timer.h"

enum { ROUNDS_N = 7, BATCH_BYTES = 16384 };

/* What the bodies work on. Owner: the program. */
struct bed {
    uint8_t from[BATCH_BYTES], to[BATCH_BYTES];
    struct ring ring;
    void *slots[1024];
    struct pages pages;
    struct timers timers;
    struct timer timer;
    struct histogram histogram;
    uint64_t sink; /* results go here, so that nothing is optimised away */
};

static void fire(struct timer *timer, struct now now)
{
    (void)timer;
    (void)now;
}

static void crc_16k(struct bed *b)
{
    b->sink += crc_of(b->from, BATCH_BYTES);
}

static void copy_16k(struct bed *b)
{
    memcpy(b->to, b->from, BATCH_BYTES);
    b->sink += b->to[b->sink % BATCH_BYTES];
}

static void hash_uuid(struct bed *b)
{
    struct uuid id;
    memcpy(&id, b->from, sizeof id);
    b->sink += hash_partition(&id, (int32_t)b->sink);
}

static void ring_pass(struct bed *b)
{
    ring_write(&b->ring, b);
    b->sink += ring_read(&b->ring) == b;
}

static void page_small(struct bed *b)
{
    struct page *page = pages_take(&b->pages, PAGE_SMALL);
    b->sink += page->size;
    page_put(page);
}

static void timer_move(struct bed *b)
{
    timer_set(&b->timers, &b->timer, (b->sink & 0xffff) * NS_PER_MS);
    b->sink++;
}

static void histogram_one(struct bed *b)
{
    histogram_add(&b->histogram, b->sink++ & 0xfffff);
}

static void varint_pair(struct bed *b)
{
    int64_t v = 0;
    int n = store_varint(b->to, (int64_t)(b->sink & 0xffff));
    load_varint(b->to, b->to + n, VARINT_BYTES_MAX, &v);
    b->sink += (uint64_t)v + 1;
}

static void measure(const char *name, struct bed *bed, void (*body)(struct bed *), uint64_t n)
{
    double best = 1e18;
    for (int round = 0; round < ROUNDS_N; round++) {
        uint64_t begin_ns = clock_read_ns();
        for (uint64_t i = 0; i < n; i++)
            body(bed);
        double ns = (double)(clock_read_ns() - begin_ns) / (double)n;
        best = ns < best ? ns : best;
    }
    printf("%-28s %10.1f ns\n", name, best);
}

int main(void)
{
    struct bed *b = aligned_alloc(64, align_up(sizeof *b, 64));
    void *region = aligned_alloc(PAGE_BLOCK, PAGE_BLOCK);
    void *headers = calloc(1, pages_header_bytes(PAGE_BLOCK));
    _Atomic uint64_t *counts = calloc(HISTOGRAM_BUCKETS(HISTOGRAM_FINE_BITS), sizeof *counts);
    struct prng prng;

    if (b == NULL || region == NULL || headers == NULL || counts == NULL)
        return 1;
    memset(b, 0, sizeof *b);
    prng_init(&prng, 1);
    for (int i = 0; i < BATCH_BYTES; i++)
        b->from[i] = (uint8_t)prng_next(&prng);
    ring_init(&b->ring, b->slots, array_n(b->slots));
    pages_init(&b->pages, region, PAGE_BLOCK, headers);
    timers_init(&b->timers, 0);
    timer_init(&b->timer, fire);
    histogram_init(&b->histogram, counts, HISTOGRAM_FINE_BITS);
    measure("crc32c of 16 KiB", b, crc_16k, 20000);
    measure("copy of 16 KiB", b, copy_16k, 20000);
    measure("hash of a partition", b, hash_uuid, 1000000);
    measure("ring, write and read", b, ring_pass, 1000000);
    measure("page of 4 KiB, take and put", b, page_small, 1000000);
    measure("timer, set again", b, timer_move, 1000000);
    measure("histogram, add", b, histogram_one, 1000000);
    measure("varint, write and read", b, varint_pair, 1000000);
    return 0;
}
