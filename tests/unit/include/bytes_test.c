/* bytes_test.c - bytes.h: byte order, varints of every length, and input that ends or lies. */
#include "bytes.h"

#include "prng.h"
#include "unit.h"

static void load_and_store_are_big_endian_at_any_address(void **state)
{
    uint8_t b[16] = {0};
    (void)state;
    for (int shift = 0; shift < 8; shift++) {
        store_u64(b + shift, 0x0102030405060708ull);
        for (int i = 0; i < 8; i++)
            assert_int_equal(b[shift + i], i + 1);
        assert_int_equal(load_u64(b + shift), 0x0102030405060708ull);
        assert_int_equal(load_u32(b + shift), 0x01020304);
        assert_int_equal(load_u16(b + shift), 0x0102);
        store_u32(b + shift, 0xfffffffeu);
        assert_int_equal(load_i32(b + shift), -2);
        store_u16(b + shift, 0x8000);
        assert_int_equal(load_i16(b + shift), INT16_MIN);
        store_u64(b + shift, UINT64_MAX);
        assert_int_equal(load_i64(b + shift), -1);
    }
}

/* For every length: its smallest and largest value, both ways, and cut at every byte. */
static void uvarint_of_every_length_round_trips(void **state)
{
    (void)state;
    for (int length = 1; length <= VARINT_BYTES_MAX; length++) {
        uint64_t low = length == 1 ? 0 : 1ull << (7 * (length - 1));
        uint64_t high = length == VARINT_BYTES_MAX ? UINT64_MAX : (1ull << (7 * length)) - 1;
        uint64_t values[] = {low, high, low + (high - low) / 3};
        for (size_t i = 0; i < array_n(values); i++) {
            uint8_t b[VARINT_BYTES_MAX];
            uint64_t out = 0;
            assert_int_equal(uvarint_bytes(values[i]), length);
            assert_int_equal(store_uvarint(b, values[i]), length);
            assert_int_equal(load_uvarint(b, b + length, VARINT_BYTES_MAX, &out), length);
            assert_true(out == values[i]);
            assert_int_equal(load_uvarint(b, b + length, 5, &out), length <= 5 ? length : -1);
            for (int cut = 0; cut < length; cut++)
                assert_int_equal(load_uvarint(b, b + cut, VARINT_BYTES_MAX, &out), 0);
        }
    }
}

static void varint_random_values_round_trip(void **state)
{
    struct prng prng;
    (void)state;
    prng_init(&prng, 11);
    for (int i = 0; i < 100000; i++) {
        int64_t v = (int64_t)(prng_next(&prng) >> prng_below(&prng, 64));
        int64_t out = 0;
        uint8_t b[VARINT_BYTES_MAX];
        if (prng_chance(&prng, 50))
            v = (int64_t)(0 - (uint64_t)v);
        int n = store_varint(b, v);
        assert_int_equal(n, varint_bytes(v));
        assert_int_equal(load_varint(b, b + n, VARINT_BYTES_MAX, &out), n);
        assert_true(out == v);
    }
}

static void varint_known_encodings_are_kafkas(void **state)
{
    static const struct {
        int64_t v;
        uint8_t first;
    } rows[] = {{0, 0}, {-1, 1}, {1, 2}, {-2, 3}, {63, 126}, {-64, 127}};
    uint8_t b[VARINT_BYTES_MAX];
    (void)state;
    for (size_t i = 0; i < array_n(rows); i++) {
        assert_int_equal(store_varint(b, rows[i].v), 1);
        assert_int_equal(b[0], rows[i].first);
    }
    assert_int_equal(store_varint(b, INT64_MIN), 10);
    assert_int_equal(store_varint(b, INT64_MAX), 10);
}

static void uvarint_overlong_or_too_wide_is_refused(void **state)
{
    uint8_t b[12];
    uint64_t out = 0;
    (void)state;
    memset(b, 0x80, sizeof b);
    assert_int_equal(load_uvarint(b, b + sizeof b, VARINT_BYTES_MAX, &out), -1);
    assert_int_equal(load_uvarint(b, b + sizeof b, 5, &out), -1);
    memset(b, 0xff, 9);
    b[9] = 1;
    assert_int_equal(load_uvarint(b, b + 10, VARINT_BYTES_MAX, &out), 10);
    assert_true(out == UINT64_MAX);
    b[9] = 2; /* bit 64 */
    assert_int_equal(load_uvarint(b, b + 10, VARINT_BYTES_MAX, &out), -1);
    memset(b, 0x80, 4); /* zero in five bytes: long, but within the bound */
    b[4] = 0;
    assert_int_equal(load_uvarint(b, b + 5, 5, &out), 5);
    assert_true(out == 0);
}

static void bytes_null_differs_from_empty_only_by_pointer(void **state)
{
    (void)state;
    assert_null(bytes_of_string(NULL).ptr);
    assert_non_null(bytes_of_string("").ptr);
    assert_true(bytes_equal(bytes_of_string(NULL), bytes_of_string("")));
    assert_true(bytes_equal_string(bytes_of("topic!", 5), "topic"));
    assert_false(bytes_equal_string(bytes_of("topic", 5), "topik"));
    assert_false(bytes_equal_string(bytes_of("topic", 4), "topic"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(load_and_store_are_big_endian_at_any_address),
        TEST(uvarint_of_every_length_round_trips),
        TEST(varint_random_values_round_trip),
        TEST(varint_known_encodings_are_kafkas),
        TEST(uvarint_overlong_or_too_wide_is_refused),
        TEST(bytes_null_differs_from_empty_only_by_pointer),
    };
    return TESTS_RUN(tests);
}
