/* crc_test.c - crc.h against the vectors of RFC 3720 B.4 and a bitwise CRC. */
#include "crc.h"

#include "prng.h"
#include "unit.h"

static uint32_t crc_bitwise(const uint8_t *p, size_t n)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void crc_rfc_vectors_match(void **state)
{
    uint8_t b[32];
    (void)state;
    assert_int_equal(crc_of("123456789", 9), 0xe3069283u);
    memset(b, 0, sizeof b);
    assert_int_equal(crc_of(b, sizeof b), 0x8a9136aau);
    memset(b, 0xff, sizeof b);
    assert_int_equal(crc_of(b, sizeof b), 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        b[i] = (uint8_t)i;
    assert_int_equal(crc_of(b, sizeof b), 0x46dd794eu);
    assert_int_equal(crc_of(b, 0), 0);
}

static void crc_any_split_equals_the_whole(void **state)
{
    uint8_t b[700];
    struct prng prng;
    (void)state;
    prng_init(&prng, 6);
    for (int round = 0; round < 500; round++) {
        size_t n = prng_below(&prng, sizeof b + 1), a = prng_below(&prng, n + 1);
        for (size_t i = 0; i < n; i++)
            b[i] = (uint8_t)prng_next(&prng);
        uint32_t crc = crc_more(crc_more(CRC_INIT, b, a), b + a, n - a);
        assert_int_equal(crc_end(crc), crc_bitwise(b, n));
        assert_int_equal(crc_of(b, n), crc_bitwise(b, n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(crc_rfc_vectors_match),
        TEST(crc_any_split_equals_the_whole),
    };
    return TESTS_RUN(tests);
}
