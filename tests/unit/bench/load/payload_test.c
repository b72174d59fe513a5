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
        TEST(payload_of_small_batch_size_holds_one_record),
        TEST(payload_of_batch_size_is_about_that_size),
        TEST(payload_length_of_old_versions_is_a_plain_number),
        TEST(payload_length_of_new_versions_is_a_varint_of_one_more),
    };
    return TESTS_RUN(tests);
}
