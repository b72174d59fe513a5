/*
 * histogram.h - counts of values over a log-linear scale with a fixed relative error; no memory
 * beyond itself.
 *
 * Owner: one writer; readers on other threads may see counts a moment apart (relaxed atomics).
 *
 * A value v is counted in a bucket no wider than v / 2^bits: with HISTOGRAM_BITS 10 three digits
 * hold (error <= 0.1 %), with 6 two digits. Values below 2^(bits+1) have a bucket of their own.
 *
 *      octave 0:   0 .. 2^(b+1)-1          one bucket per value
 *      octave k:   2^(b+k) .. 2^(b+k+1)-1  2^b buckets of width 2^k
 *
 * The scale ends at 2^HISTOGRAM_VALUE_BITS ns (68 s); larger values are counted in the last bucket,
 * max is exact.
 */
#ifndef MILLRACE_HISTOGRAM_H
#define MILLRACE_HISTOGRAM_H

#include <stdatomic.h>

#include "base.h"

enum { HISTOGRAM_VALUE_BITS = 36, HISTOGRAM_FINE_BITS = 10, HISTOGRAM_COARSE_BITS = 6 };
#define HISTOGRAM_BUCKETS(bits) ((uint32_t)((HISTOGRAM_VALUE_BITS - (bits)) + 1) << (bits))

/* Owner: its writer. `counts` has HISTOGRAM_BUCKETS(bits) zeroed entries. */
struct histogram {
    _Atomic uint64_t *counts;
    uint8_t bits;
    _Atomic uint64_t n, sum, max;
};

/* Empty, over HISTOGRAM_BUCKETS(bits) counts of the caller. */
static inline void histogram_init(struct histogram *h, _Atomic uint64_t *counts, uint8_t bits)
{
    memset(h, 0, sizeof *h);
    h->counts = counts;
    h->bits = bits;
}

/* The bucket of a value. */
static inline uint32_t histogram_at(uint64_t v, uint8_t bits)
{
    uint32_t at_max = HISTOGRAM_BUCKETS(bits) - 1;
    int top = 63 - __builtin_clzll(v | 1);
    if (top <= bits)
        return (uint32_t)v;
    uint32_t octave = (uint32_t)(top - bits);
    uint64_t at = ((uint64_t)octave << bits) + (v >> octave);
    return at > at_max ? at_max : (uint32_t)at;
}

/* The largest value that is counted in bucket `at`. */
static inline uint64_t histogram_value(uint32_t at, uint8_t bits)
{
    uint32_t octave = at >> bits;
    if (octave <= 1)
        return at;
    octave--;
    return (((uint64_t)at - ((uint64_t)octave << bits) + 1) << octave) - 1;
}

static inline void histogram_bump(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* n times the value v. */
static inline void histogram_add_n(struct histogram *h, uint64_t v, uint64_t n)
{
    histogram_bump(&h->counts[histogram_at(v, h->bits)], n);
    histogram_bump(&h->n, n);
    if (v == 0)
        return;
    histogram_bump(&h->sum, v * n);
    if (v > atomic_load_explicit(&h->max, memory_order_relaxed))
        atomic_store_explicit(&h->max, v, memory_order_relaxed);
}

static inline void histogram_add(struct histogram *h, uint64_t v)
{
    histogram_add_n(h, v, 1);
}

static inline void histogram_merge(struct histogram *to, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS(to->bits); i++) {
        uint64_t n = atomic_load_explicit(&from->counts[i], memory_order_relaxed);
        if (n != 0)
            histogram_bump(&to->counts[i], n);
    }
    histogram_bump(&to->n, atomic_load_explicit(&from->n, memory_order_relaxed));
    histogram_bump(&to->sum, atomic_load_explicit(&from->sum, memory_order_relaxed));
    uint64_t max = atomic_load_explicit(&from->max, memory_order_relaxed);
    if (max > atomic_load_explicit(&to->max, memory_order_relaxed))
        atomic_store_explicit(&to->max, max, memory_order_relaxed);
}

/* The value below or at which `per_million` millionths of the values lie (upper edge of its bucket,
 * <= max). */
static inline uint64_t histogram_quantile(const struct histogram *h, uint32_t per_million)
{
    uint64_t n = atomic_load_explicit(&h->n, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
    uint64_t want = (uint64_t)(((unsigned __int128)n * per_million + 999999) / 1000000), seen = 0;
    for (uint32_t i = 0; n > 0 && i < HISTOGRAM_BUCKETS(h->bits); i++) {
        seen += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
        if (seen >= want &&
            seen > 0) /* the last bucket also holds what is beyond the scale: only max is known */
            return i + 1 == HISTOGRAM_BUCKETS(h->bits) ? max
                                                       : min_u64(histogram_value(i, h->bits), max);
    }
    return max;
}

#endif
