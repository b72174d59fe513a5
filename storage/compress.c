/*
 * compress.c - chooses the codec; grows memory for output whose size nobody knows.
 *
 * Owner: immutable; struct plain: its holder.
 *
 * No format says reliably how much it holds (zstd may, gzip does modulo 2^32 and lies, lz4 and
 * Kafka's snappy framing do not), so plain_decompress guesses four times the input and doubles
 * until it fits: at most twice the work, never more memory than twice the output.
 */
#include "compress.h"

#include <stdlib.h>

#include "batch.h"

enum { PLAIN_BYTES_MIN = 64 << 10, PLAIN_GUESS = 4 };

static int64_t copy(struct bytes from, uint8_t *to, uint32_t max)
{
    if (from.n > max)
        return E_TOO_LARGE;
    if (from.n > 0)
        memcpy(to, from.ptr, from.n);
    return from.n;
}

int64_t codec_decompress(uint8_t codec, struct bytes from, uint8_t *to, uint32_t max)
{
    switch (codec) {
    case CODEC_NONE: return copy(from, to, max);
    case CODEC_GZIP: return gzip_decompress(from, to, max);
    case CODEC_SNAPPY: return snappy_xerial_decompress(from, to, max);
    case CODEC_LZ4: return lz4_decompress(from, to, max);
    case CODEC_ZSTD: return zstd_decompress(from, to, max);
    default: return E_BAD_CODEC;
    }
}

int64_t codec_compress(uint8_t codec, int level, struct bytes from, uint8_t *to, uint32_t max)
{
    switch (codec) {
    case CODEC_NONE: return copy(from, to, max);
    case CODEC_GZIP: return gzip_compress(level, from, to, max);
    case CODEC_SNAPPY: return snappy_xerial_compress(from, to, max);
    case CODEC_LZ4: return lz4_compress(level, from, to, max);
    case CODEC_ZSTD: return zstd_compress(level, from, to, max);
    default: return E_BAD_CODEC;
    }
}

uint64_t codec_bytes_max(uint8_t codec, uint32_t n)
{
    switch (codec) {
    case CODEC_GZIP: return gzip_bytes_max(n);
    case CODEC_SNAPPY: return snappy_xerial_bytes_max(n);
    case CODEC_LZ4: return lz4_bytes_max(n);
    case CODEC_ZSTD: return zstd_bytes_max(n);
    default: return n;
    }
}

int plain_reserve(struct plain *plain, uint64_t bytes)
{
    if (bytes <= plain->max)
        return 0;
    free(plain->v); /* nothing of it is kept */
    *plain = (struct plain){malloc(bytes), 0, (uint32_t)bytes};
    if (plain->v != NULL)
        return 0;
    plain->max = 0;
    return E_NO_MEMORY;
}

int plain_decompress(struct plain *plain, uint8_t codec, struct bytes from, uint32_t max)
{
    uint64_t bytes = max_u64(PLAIN_BYTES_MIN, (uint64_t)from.n * PLAIN_GUESS);
    plain->n = 0;
    for (bytes = max_u64(bytes, plain->max);; bytes *= 2) {
        bytes = min_u64(bytes, max);
        int error = plain_reserve(plain, bytes);
        if (error < 0)
            return error;
        int64_t n = codec_decompress(codec, from, plain->v, (uint32_t)min_u64(plain->max, max));
        if (n >= 0) {
            plain->n = (uint32_t)n;
            return 0;
        }
        if (n != E_TOO_LARGE || bytes == max)
            return (int)n;
    }
}

void plain_fini(struct plain *plain)
{
    free(plain->v);
    *plain = (struct plain){NULL, 0, 0};
}

int batch_inflate(const struct batch *batch, struct bytes records, uint32_t max, struct bytes *out)
{
    struct plain plain = {0};
    int error = plain_decompress(&plain, batch_codec(batch), records, max);
    if (error < 0)
        plain_fini(&plain);
    *out = error < 0 ? (struct bytes){NULL, 0} : (struct bytes){plain.v, plain.n};
    return error;
}
