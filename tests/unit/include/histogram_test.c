/* histogram_test.c - histogram.h: the promised relative error, exact small values, quantiles
 * against a sort. */
#include "histogram.h"

#include <stdlib.h>

#include "prng.h"
#include "unit.h"

enum { VALUES_N = 20000 };
static const uint8_t both_bits[] = {HISTOGRAM_COARSE_BITS, HISTOGRAM_FINE_BITS};

static uint64_t some_value(struct prng *prng)
{
    return prng_next(prng) >> (64 - HISTOGRAM_VALUE_BITS + prng_below(prng, HISTOGRAM_VALUE_BITS));
}

static void histogram_bucket_error_is_within_its_bits(void **state)
{
    struct prng prng;
    (void)state;
    prng_init(&prng, 5);
    for (size_t b = 0; b < array_n(both_bits); b++) {
        uint8_t bits = both_bits[b];
        for (int i = 0; i < 100000; i++) {
            uint64_t v = some_value(&prng);
            uint32_t at = histogram_at(v, bits);
            uint64_t upper = histogram_value(at, bits);
            assert_true(at < HISTOGRAM_BUCKETS(bits));
            assert_true(upper >= v);
            assert_true(upper - v <= v >> bits);
        }
    }
}

static void histogram_buckets_are_contiguous(void **state)
{
    (void)state;
    for (size_t b = 0; b < array_n(both_bits); b++) {
        uint8_t bits = both_bits[b];
        for (uint32_t at = 0; at < HISTOGRAM_BUCKETS(bits); at++) {
            uint64_t upper = histogram_value(at, bits);
            assert_int_equal(histogram_at(upper, bits), at);
            if (at + 1 < HISTOGRAM_BUCKETS(bits))
                assert_int_equal(histogram_at(upper + 1, bits), at + 1);
            if (at < 2u << bits)
                assert_int_equal(upper, at); /* a bucket per value */
        }
        assert_int_equal(histogram_value(HISTOGRAM_BUCKETS(bits) - 1, bits),
                         (1ull << HISTOGRAM_VALUE_BITS) - 1);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static struct histogram *histogram_new(uint8_t bits)
{
    struct histogram *h = calloc(1, sizeof *h);
    _Atomic uint64_t *counts = calloc(HISTOGRAM_BUCKETS(bits), sizeof *counts);
    assert_non_null(h);
    assert_non_null(counts);
    histogram_init(h, counts, bits);
    return h;
}

static void histogram_free(struct histogram *h)
{
    free((void *)h->counts);
    free(h);
}

static void histogram_quantiles_match_a_sorted_array(void **state)
{
    static const uint32_t per_million[] = {0, 1, 500000, 900000, 990000, 999000, 999999, 1000000};
    uint64_t *v = calloc(VALUES_N, sizeof *v);
    struct prng prng;
    (void)state;
    prng_init(&prng, 9);
    for (size_t b = 0; b < array_n(both_bits); b++) {
        struct histogram *one = histogram_new(both_bits[b]), *two = histogram_new(both_bits[b]);
        uint64_t sum = 0;
        for (int i = 0; i < VALUES_N; i++) {
            v[i] = some_value(&prng);
            sum += v[i];
            histogram_add(i % 3 ? one : two, v[i]);
        }
        histogram_merge(one, two);
        qsort(v, VALUES_N, sizeof v[0], compare);
        assert_int_equal(one->n, VALUES_N);
        assert_int_equal(one->sum, sum);
        assert_int_equal(one->max, v[VALUES_N - 1]);
        for (size_t i = 0; i < array_n(per_million); i++) {
            uint64_t rank = ((uint64_t)VALUES_N * per_million[i] + 999999) / 1000000;
            uint64_t exact = v[rank == 0 ? 0 : rank - 1];
            uint64_t got = histogram_quantile(one, per_million[i]);
            assert_true(got >= exact);
            assert_true(got - exact <= exact >> both_bits[b]);
        }
        histogram_free(one);
        histogram_free(two);
    }
    free(v);
}

static void histogram_empty_quantile_is_zero(void **state)
{
    (void)state;
    struct histogram *h = histogram_new(HISTOGRAM_COARSE_BITS);
    assert_int_equal(histogram_quantile(h, 500000), 0);
    histogram_free(h);
}

/* A value beyond the scale is not reported as the scale's end: the largest known value is closer.
 */
static void histogram_value_beyond_the_scale_is_reported_as_max(void **state)
{
    (void)state;
    struct histogram *h = histogram_new(HISTOGRAM_COARSE_BITS);
    histogram_add(h, 1000);
    histogram_add(h, UINT64_MAX);
    assert_int_equal(histogram_quantile(h, 1000000), UINT64_MAX);
    assert_true(histogram_quantile(h, 500000) < 1016);
    histogram_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(histogram_bucket_error_is_within_its_bits),
        TEST(histogram_buckets_are_contiguous),
        TEST(histogram_quantiles_match_a_sorted_array),
        TEST(histogram_empty_quantile_is_zero),
        TEST(histogram_value_beyond_the_scale_is_reported_as_max),
    };
    return TESTS_RUN(tests);
}
