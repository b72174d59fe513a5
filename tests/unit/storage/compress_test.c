/* compress_test.c - the four codecs: Kafka's bytes, round trips, bombs, damage. */
#include "compress.h"

#include <stdlib.h>

#include "batch.h"
#include "prng.h"
#include "samples.h"
#include "unit.h"

static const uint8_t codecs[] = {CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD};

/* Text that compresses, with some noise. Heap. */
static struct bytes text_of(uint32_t n)
{
    struct prng prng;
    uint8_t *p = malloc(n + 1);
    prng_init(&prng, n);
    for (uint32_t i = 0; i < n; i++)
        p[i] = i % 7 == 0 ? (uint8_t)prng_next(&prng) : (uint8_t)('a' + i % 13);
    return bytes_of(p, n);
}

static struct bytes packed_of(uint8_t codec, int level, struct bytes from)
{
    uint64_t max = codec_bytes_max(codec, from.n);
    uint8_t *p = malloc(max + 1);
    int64_t n = codec_compress(codec, level, from, p, (uint32_t)max);
    assert_true(n >= 0 && (uint64_t)n <= max);
    return bytes_of(p, (size_t)n);
}

static void drop(struct bytes b)
{
    free((void *)(uintptr_t)b.ptr);
}

static void kafkas_payloads_decompress_to_the_same_records(void **state)
{
    const struct bytes packed[] = {SAMPLE(gzip), SAMPLE(snappy), SAMPLE(lz4), SAMPLE(zstd)};
    struct plain plain = {NULL, 0, 0};
    (void)state;
    for (uint8_t i = 0; i < 4; i++) {
        assert_int_equal(
            plain_decompress(&plain, (uint8_t)(CODEC_GZIP + i), packed[i], DECOMPRESS_BYTES_MAX),
            0);
        assert_int_equal(plain.n, sizeof sample_plain - BATCH_HEADER);
        assert_memory_equal(plain.v, sample_plain + BATCH_HEADER, plain.n);
    }
    plain_fini(&plain);
}

static void every_codec_and_size_round_trips(void **state)
{
    static const uint32_t sizes[] = {0, 1, 100, 32768, 32769, 65536, 300000};
    struct plain plain = {NULL, 0, 0};
    (void)state;
    for (size_t c = 0; c < array_n(codecs); c++) {
        for (size_t i = 0; i < array_n(sizes); i++) {
            struct bytes text = text_of(sizes[i]);
            struct bytes packed = packed_of(codecs[c], COMPRESS_LEVEL_DEFAULT, text);
            assert_int_equal(plain_decompress(&plain, codecs[c], packed, DECOMPRESS_BYTES_MAX), 0);
            assert_int_equal(plain.n, text.n);
            assert_memory_equal(plain.v, text.ptr, text.n);
            drop(packed);
            drop(text);
        }
    }
    plain_fini(&plain);
}

static void output_of_exactly_the_bound_fits_and_one_less_does_not(void **state)
{
    (void)state;
    struct bytes text = text_of(200000);
    uint8_t *to = malloc(text.n);
    for (size_t c = 0; c < array_n(codecs); c++) {
        struct bytes packed = packed_of(codecs[c], COMPRESS_LEVEL_DEFAULT, text);
        assert_int_equal(codec_decompress(codecs[c], packed, to, text.n), text.n);
        assert_int_equal(codec_decompress(codecs[c], packed, to, text.n - 1), E_TOO_LARGE);
        assert_int_equal(codec_decompress(codecs[c], packed, to, 0), E_TOO_LARGE);
        drop(packed);
    }
    free(to);
    drop(text);
}

static void bomb_is_refused_at_the_bound(void **state)
{
    struct plain plain = {NULL, 0, 0};
    (void)state;
    struct bytes zeros = bytes_of(calloc(1, 8 << 20), 8 << 20);
    for (size_t c = 1; c < array_n(codecs); c++) {
        struct bytes packed = packed_of(codecs[c], COMPRESS_LEVEL_DEFAULT, zeros);
        assert_int_equal(plain_decompress(&plain, codecs[c], packed, 1 << 20), E_TOO_LARGE);
        assert_true(plain.max <= 1 << 20);
        drop(packed);
    }
    plain_fini(&plain);
    drop(zeros);
}

static void input_cut_anywhere_is_corrupt(void **state)
{
    uint8_t to[6000];
    (void)state;
    struct bytes text = text_of(5000);
    for (size_t c = 1; c < array_n(codecs); c++) {
        struct bytes packed = packed_of(codecs[c], COMPRESS_LEVEL_DEFAULT, text);
        for (uint32_t n = 0; n < packed.n; n++) {
            /* A copy of exactly its size: the sanitizers see a read beyond it. */
            uint8_t *copy = malloc(n == 0 ? 1 : n);
            memcpy(copy, packed.ptr, n);
            int64_t got = codec_decompress(codecs[c], bytes_of(copy, n), to, sizeof to);
            /* Snappy's framing has no end mark: cut between blocks it is whole. */
            bool is_framing_end = codecs[c] == CODEC_SNAPPY && n == 16;
            /* libzstd takes nothing at all for nothing at all. */
            bool is_nothing = codecs[c] == CODEC_ZSTD && n == 0;
            if (codecs[c] == CODEC_SNAPPY && n < 16)
                assert_true(got < 0); /* taken for a raw block, which may claim anything */
            else
                assert_int_equal(got, is_framing_end || is_nothing ? 0 : E_CORRUPT);
            free(copy);
        }
        drop(packed);
    }
    drop(text);
}

static void input_changed_anywhere_never_exceeds_the_bound(void **state)
{
    enum { MAX = 6000 };
    uint8_t to[MAX + 1];
    struct prng prng;
    (void)state;
    prng_init(&prng, 1);
    struct bytes text = text_of(5000);
    for (size_t c = 1; c < array_n(codecs); c++) {
        struct bytes packed = packed_of(codecs[c], COMPRESS_LEVEL_DEFAULT, text);
        uint8_t *copy = malloc(packed.n);
        for (int round = 0; round < 300; round++) {
            memcpy(copy, packed.ptr, packed.n);
            copy[prng_below(&prng, packed.n)] ^= (uint8_t)(1 + prng_below(&prng, 255));
            to[MAX] = 0x5a;
            assert_true(codec_decompress(codecs[c], bytes_of(copy, packed.n), to, MAX) <= MAX);
            assert_int_equal(to[MAX], 0x5a);
        }
        free(copy);
        drop(packed);
    }
    drop(text);
}

static void snappy_without_framing_and_joined_streams_are_read(void **state)
{
    static const uint8_t raw[] = {5, 0x10, 'h', 'e', 'l', 'l', 'o'};
    uint8_t joined[2 * sizeof sample_snappy], to[1024];
    (void)state;
    assert_int_equal(codec_decompress(CODEC_SNAPPY, bytes_of(raw, sizeof raw), to, sizeof to), 5);
    assert_memory_equal(to, "hello", 5);
    memcpy(joined, sample_snappy, sizeof sample_snappy);
    memcpy(joined + sizeof sample_snappy, sample_snappy, sizeof sample_snappy);
    assert_int_equal(codec_decompress(CODEC_SNAPPY, bytes_of(joined, sizeof joined), to, sizeof to),
                     2 * (sizeof sample_plain - BATCH_HEADER));
}

static void snappy_block_that_claims_too_much_is_refused(void **state)
{
    uint8_t claim[] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,    0,    0,    0,    1,    0,
                       0,    0,   1,   0,   0,   0,   6,   0xff, 0xff, 0xff, 0xff, 0x0f, 0};
    uint8_t to[64];
    (void)state;
    assert_int_equal(codec_decompress(CODEC_SNAPPY, bytes_of(claim, sizeof claim), to, sizeof to),
                     E_TOO_LARGE);
    store_u32(claim + 16, 0x80000000u);
    assert_int_equal(codec_decompress(CODEC_SNAPPY, bytes_of(claim, sizeof claim), to, sizeof to),
                     E_CORRUPT);
}

static void gzip_members_are_joined_and_trailing_bytes_ignored(void **state)
{
    uint8_t joined[2 * sizeof sample_gzip + 5], to[1024];
    (void)state;
    memcpy(joined, sample_gzip, sizeof sample_gzip);
    memcpy(joined + sizeof sample_gzip, sample_gzip, sizeof sample_gzip);
    memset(joined + 2 * sizeof sample_gzip, 'x', 5);
    int64_t once = sizeof sample_plain - BATCH_HEADER;
    assert_int_equal(
        codec_decompress(CODEC_GZIP, bytes_of(joined, 2 * sizeof sample_gzip), to, sizeof to),
        2 * once);
    assert_int_equal(codec_decompress(CODEC_GZIP, bytes_of(joined, sizeof joined), to, sizeof to),
                     2 * once);
}

static void lz4_is_written_as_kafka_writes_it(void **state)
{
    (void)state;
    struct bytes packed =
        packed_of(CODEC_LZ4, COMPRESS_LEVEL_DEFAULT,
                  bytes_of(sample_plain + BATCH_HEADER, sizeof sample_plain - BATCH_HEADER));
    assert_memory_equal(packed.ptr, sample_lz4, 7); /* magic, flags, block size, header checksum */
    assert_int_equal(load_u32(packed.ptr + packed.n - 4), 0);
    drop(packed);
}

static void levels_are_honoured(void **state)
{
    (void)state;
    /* Phrases in random order: the longer a codec looks, the more it finds. */
    struct bytes noise = text_of(4000), text = bytes_of(malloc(100000), 100000);
    struct prng prng;
    prng_init(&prng, 3);
    for (uint32_t at = 0; at < text.n; at += 20)
        memcpy((uint8_t *)(uintptr_t)text.ptr + at, noise.ptr + prng_below(&prng, noise.n - 20),
               20);
    drop(noise);
    struct bytes fast = packed_of(CODEC_ZSTD, 1, text), small = packed_of(CODEC_ZSTD, 19, text);
    assert_true(small.n < fast.n);
    drop(fast);
    drop(small);
    fast = packed_of(CODEC_GZIP, 1, text);
    small = packed_of(CODEC_GZIP, 9, text);
    assert_true(small.n < fast.n);
    drop(fast);
    drop(small);
    drop(text);
}

static void unknown_codec_and_too_little_room_are_refused(void **state)
{
    uint8_t to[8];
    (void)state;
    struct bytes text = text_of(5000);
    assert_int_equal(codec_decompress(CODECS_N, text, to, sizeof to), E_BAD_CODEC);
    assert_int_equal(codec_compress(CODECS_N, COMPRESS_LEVEL_DEFAULT, text, to, sizeof to),
                     E_BAD_CODEC);
    assert_int_equal(codec_compress(CODEC_GZIP, 99, text, to, sizeof to), E_INVALID);
    for (size_t c = 0; c < array_n(codecs); c++)
        assert_int_equal(codec_compress(codecs[c], COMPRESS_LEVEL_DEFAULT, text, to, sizeof to),
                         E_TOO_LARGE);
    drop(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kafkas_payloads_decompress_to_the_same_records),
        TEST(every_codec_and_size_round_trips),
        TEST(output_of_exactly_the_bound_fits_and_one_less_does_not),
        TEST(bomb_is_refused_at_the_bound),
        TEST(input_cut_anywhere_is_corrupt),
        TEST(input_changed_anywhere_never_exceeds_the_bound),
        TEST(snappy_without_framing_and_joined_streams_are_read),
        TEST(snappy_block_that_claims_too_much_is_refused),
        TEST(gzip_members_are_joined_and_trailing_bytes_ignored),
        TEST(lz4_is_written_as_kafka_writes_it),
        TEST(levels_are_honoured),
        TEST(unknown_codec_and_too_little_room_are_refused),
    };
    return TESTS_RUN(tests);
}
