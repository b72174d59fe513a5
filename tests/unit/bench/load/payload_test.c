/* payload_test.c - what the generator sends are valid batches, in every codec. */
#include "unit.h"

#include <stdlib.h>

#include "batch.h"
#include "compress.h"
#include "load.h"

static struct load_options options(uint8_t codec)
{
    return (struct load_options){
        .record_bytes = 1000, .batch_bytes = 16384, .entropy = 0.5, .codec = codec};
}

static void batch_assert_valid(const struct load_payload *p, const struct load_options *o)
{
    struct batch b;
    struct record r;
    uint32_t at = 0, n = 0;
    struct plain plain = {0};
    assert_int_equal(batch_header(p->ptr, &b), 0);
    assert_int_equal(b.bytes, p->bytes);
    assert_int_equal(b.records_n, p->records_n);
    assert_int_equal(batch_codec(&b), o->codec);
    assert_int_equal(batch_crc(p->ptr, p->bytes), load_u32(p->ptr + BATCH_CRC_AT));
    struct bytes records = bytes_of(p->ptr + BATCH_HEADER, p->bytes - BATCH_HEADER);
    assert_int_equal(plain_decompress(&plain, o->codec, records, 1 << 20), 0);
    while (record_next(bytes_of(plain.v, plain.n), &at, &r) == 0) {
        assert_int_equal(r.offset_delta, n++);
        assert_int_equal(r.value.n, o->record_bytes);
    }
    assert_int_equal(n, p->records_n);
    assert_int_equal(at, plain.n);
    plain_fini(&plain);
}

static void payload_of_every_codec_is_a_valid_batch(void **state)
{
    (void)state;
    for (uint8_t codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        struct load_options o = options(codec);
        struct load_payload p;
        struct prng prng;
        prng_init(&prng, 7);
        assert_int_equal(load_payload_make(&p, &o, &prng), 0);
        batch_assert_valid(&p, &o);
        assert_true(codec == CODEC_NONE || p.bytes < 14000); /* half of it is text */
        free(p.ptr);
    }
}

/* How often the first of 100 keys is found among `records_n` of a batch. */
static uint32_t first_key_n(uint8_t keys, uint32_t *records_n)
{
    struct load_options o = {
        .record_bytes = 10, .batch_bytes = 1 << 20, .entropy = 1, .keys_n = 100, .keys = keys};
    struct load_payload p;
    struct prng prng;
    struct record r;
    uint32_t at = 0, n = 0;
    prng_init(&prng, 7);
    assert_int_equal(load_payload_make(&p, &o, &prng), 0);
    batch_assert_valid(&p, &o);
    while (record_next(bytes_of(p.ptr + BATCH_HEADER, p.bytes - BATCH_HEADER), &at, &r) == 0) {
        assert_int_equal(r.key.n, 12);
        assert_true(memcmp(r.key.ptr, "key-000000", 10) == 0);
        n += memcmp(r.key.ptr, "key-00000000", 12) == 0;
    }
    *records_n = p.records_n;
    free(p.ptr);
    return n;
}

static void keys_occur_as_their_distribution_says(void **state)
{
    uint32_t all;
    (void)state;
    uint32_t n = first_key_n(LOAD_KEYS_UNIFORM, &all);
    assert_true(all > 20000);
    assert_in_range(n, all / 100 * 8 / 10, all / 100 * 12 / 10);
    n = first_key_n(LOAD_KEYS_ZIPF, &all); /* ln 2 / ln 101 of them */
    assert_in_range(n, all / 100 * 13, all / 100 * 17);
}

static void payload_of_small_batch_size_holds_one_record(void **state)
{
    struct load_options o = options(CODEC_NONE);
    struct load_payload p;
    struct prng prng;
    (void)state;
    o.batch_bytes = 1;
    prng_init(&prng, 7);
    assert_int_equal(load_payload_make(&p, &o, &prng), 0);
    assert_int_equal(p.records_n, 1);
    batch_assert_valid(&p, &o);
    free(p.ptr);
}

static void payload_of_batch_size_is_about_that_size(void **state)
{
    static const uint32_t sizes[] = {4096, 16384, 65536, 1000000};
    (void)state;
    for (size_t i = 0; i < array_n(sizes); i++) {
        struct load_options o = options(CODEC_NONE);
        struct load_payload p;
        struct prng prng;
        o.record_bytes = 100;
        o.batch_bytes = sizes[i];
        prng_init(&prng, 7);
        assert_int_equal(load_payload_make(&p, &o, &prng), 0);
        assert_in_range(p.bytes, sizes[i] * 9 / 10, sizes[i] + 100);
        free(p.ptr);
    }
}

static void payload_length_of_old_versions_is_a_plain_number(void **state)
{
    struct load_payload p = {.bytes = 70000};
    (void)state;
    load_payload_length(&p, 8);
    assert_int_equal(p.length_n, 4);
    assert_int_equal(load_u32(p.length), 70000);
}

static void payload_length_of_new_versions_is_a_varint_of_one_more(void **state)
{
    struct load_payload p = {.bytes = 299};
    (void)state;
    load_payload_length(&p, 9);
    assert_int_equal(p.length_n, 2);
    assert_int_equal(p.length[0], 0xac);
    assert_int_equal(p.length[1], 0x02);
    p.bytes = 126;
    load_payload_length(&p, 9);
    assert_int_equal(p.length_n, 1);
    assert_int_equal(p.length[0], 127);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(payload_of_every_codec_is_a_valid_batch),
        TEST(keys_occur_as_their_distribution_says),
        TEST(payload_of_small_batch_size_holds_one_record),
        TEST(payload_of_batch_size_is_about_that_size),
        TEST(payload_length_of_old_versions_is_a_plain_number),
        TEST(payload_length_of_new_versions_is_a_varint_of_one_more),
    };
    return TESTS_RUN(tests);
}
