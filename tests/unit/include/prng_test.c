/* prng_test.c - prng.h: known outputs, ranges, even spread, ids that Kafka accepts. */
#include "prng.h"

#include "unit.h"

/* The first outputs of xoshiro256** for the state {1, 2, 3, 4}, from its definition by hand for the
 * first two: rotl(2 * 5, 7) * 9 = 11520; the second has s[1] = 0 and gives 0. */
static void prng_known_state_gives_known_numbers(void **state)
{
    struct prng p = {{1, 2, 3, 4}};
    (void)state;
    assert_true(prng_next(&p) == 11520);
    assert_true(prng_next(&p) == 0);
    assert_true(prng_next(&p) == 1509978240);
}

static void prng_same_seed_repeats_other_seed_differs(void **state)
{
    struct prng a, b, c;
    uint32_t equal_n = 0;
    (void)state;
    prng_init(&a, 42);
    prng_init(&b, 42);
    prng_init(&c, 43);
    for (int i = 0; i < 1000; i++) {
        uint64_t x = prng_next(&a);
        assert_true(x == prng_next(&b));
        equal_n += x == prng_next(&c);
    }
    assert_int_equal(equal_n, 0);
}

static void prng_below_stays_below_and_is_even(void **state)
{
    struct prng p;
    uint32_t counts[10] = {0};
    (void)state;
    prng_init(&p, 1);
    for (int i = 0; i < 100000; i++) {
        uint64_t n = 1 + prng_below(&p, UINT64_MAX);
        assert_true(prng_below(&p, n) < n);
        counts[prng_below(&p, 10)]++;
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(counts[i], 9500, 10500);
    assert_int_equal(prng_below(&p, 1), 0);
}

static void prng_chance_of_0_and_100_is_certain(void **state)
{
    struct prng p;
    (void)state;
    prng_init(&p, 1);
    for (int i = 0; i < 10000; i++) {
        assert_false(prng_chance(&p, 0));
        assert_true(prng_chance(&p, 100));
    }
}

static void prng_uuid_is_version_4_and_has_no_leading_dash(void **state)
{
    struct prng p;
    (void)state;
    prng_init(&p, 1);
    for (int i = 0; i < 20000; i++) {
        struct uuid id;
        prng_uuid(&p, &id);
        assert_int_equal(id.b[6] >> 4, 4);
        assert_int_equal(id.b[8] >> 6, 2);
        assert_int_not_equal(id.b[0] >> 2, 62);
        assert_false(uuid_is_zero(&id));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(prng_known_state_gives_known_numbers),
        TEST(prng_same_seed_repeats_other_seed_differs),
        TEST(prng_below_stays_below_and_is_even),
        TEST(prng_chance_of_0_and_100_is_certain),
        TEST(prng_uuid_is_version_4_and_has_no_leading_dash),
    };
    return TESTS_RUN(tests);
}
