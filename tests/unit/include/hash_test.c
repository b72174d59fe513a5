/* hash_test.c - hash.h: every bit of the input counts, and homes are spread evenly. */
#include "hash.h"

#include "prng.h"
#include "unit.h"

static void hash_one_flipped_bit_changes_about_half(void **state)
{
    struct prng prng;
    uint64_t flipped_n = 0, tries_n = 0;
    (void)state;
    prng_init(&prng, 2);
    for (size_t n = 1; n <= 40; n++) {
        uint8_t b[40];
        for (size_t i = 0; i < n; i++)
            b[i] = (uint8_t)prng_next(&prng);
        uint64_t before = hash_bytes(b, n, 0);
        for (size_t bit = 0; bit < 8 * n; bit++) {
            b[bit / 8] ^= (uint8_t)(1 << bit % 8);
            int changed = __builtin_popcountll(before ^ hash_bytes(b, n, 0));
            b[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_true(changed > 4);
            flipped_n += (uint64_t)changed;
            tries_n++;
        }
    }
    assert_in_range(flipped_n / tries_n, 30, 34);
}

static void hash_length_and_seed_count(void **state)
{
    static const uint8_t zeros[16];
    (void)state;
    for (size_t n = 0; n < 16; n++) {
        assert_true(hash_bytes(zeros, n, 0) != hash_bytes(zeros, n + 1, 0));
        assert_true(hash_bytes(zeros, n, 1) != hash_bytes(zeros, n, 2));
        assert_true(hash_bytes(zeros, n, 1) == hash_bytes(zeros, n, 1));
    }
}

/* 64 partitions of one topic on 3 workers: no worker is left without, none has more than half. */
static void hash_partition_spreads_a_topic_over_workers(void **state)
{
    struct prng prng;
    uint64_t all[8] = {0};
    (void)state;
    prng_init(&prng, 4);
    for (int topic = 0; topic < 500; topic++) {
        struct uuid id;
        uint32_t homes[3] = {0};
        prng_uuid(&prng, &id);
        for (int32_t p = 0; p < 64; p++) {
            homes[hash_partition(&id, p) % 3]++;
            all[hash_partition(&id, p) % 8]++;
        }
        for (int i = 0; i < 3; i++)
            assert_in_range(homes[i], 5, 45);
    }
    for (int i = 0; i < 8; i++)
        assert_in_range(all[i], 3700, 4300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hash_one_flipped_bit_changes_about_half),
        TEST(hash_length_and_seed_count),
        TEST(hash_partition_spreads_a_topic_over_workers),
    };
    return TESTS_RUN(tests);
}
