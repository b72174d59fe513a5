/*
 * compress_snappy.c - snappy in the framing of xerial's SnappyOutputStream, which every Kafka
 * client writes.
 *
 * Owner: immutable.
 *
 *   0  82 'S' 'N' 'A' 'P' 'P' 'Y' 00 | 8 i32 version 1 | 12 i32 oldest compatible version 1
 *   16 blocks: i32 length, that many bytes of raw snappy; of at most 32 KiB when we write
 *
 * Streams joined end to end repeat the head between blocks. Input without the head is one raw
 * snappy block, which is what SnappyInputStream makes of it.
 */
#include "compress.h"

#include <snappy-c.h>

enum { XERIAL_HEAD = 16, XERIAL_MAGIC = 8, XERIAL_BLOCK = 32 << 10 };

static const uint8_t xerial_head[XERIAL_HEAD] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                                 0,    0,   0,   1,   0,   0,   0,   1};

static bool has_head(const uint8_t *p, uint32_t n)
{
    return n >= XERIAL_HEAD && memcmp(p, xerial_head, XERIAL_MAGIC) == 0;
}

static int64_t block_decompress(const uint8_t *from, uint32_t n, uint8_t *to, uint32_t max)
{
    size_t bytes;
    if (snappy_uncompressed_length((const char *)from, n, &bytes) != SNAPPY_OK)
        return E_CORRUPT;
    if (bytes > max)
        return E_TOO_LARGE;
    if (snappy_uncompress((const char *)from, n, (char *)to, &bytes) != SNAPPY_OK)
        return E_CORRUPT;
    return (int64_t)bytes;
}

int64_t snappy_xerial_decompress(struct bytes from, uint8_t *to, uint32_t max)
{
    uint32_t at = 0, out = 0;
    if (!has_head(from.ptr, from.n))
        return block_decompress(from.ptr, from.n, to, max);
    while (at < from.n) {
        if (has_head(from.ptr + at, from.n - at)) {
            at += XERIAL_HEAD;
            continue;
        }
        if (from.n - at < 4)
            return E_CORRUPT;
        uint32_t n = load_u32(from.ptr + at);
        at += 4;
        if (n > from.n - at)
            return E_CORRUPT;
        int64_t got = block_decompress(from.ptr + at, n, to + out, max - out);
        if (got < 0)
            return got;
        at += n;
        out += (uint32_t)got;
    }
    return out;
}

uint64_t snappy_xerial_bytes_max(uint32_t n)
{
    uint64_t blocks_n = ((uint64_t)n + XERIAL_BLOCK - 1) / XERIAL_BLOCK;
    return XERIAL_HEAD + blocks_n * (4 + snappy_max_compressed_length(XERIAL_BLOCK));
}

int64_t snappy_xerial_compress(struct bytes from, uint8_t *to, uint32_t max)
{
    uint32_t out = XERIAL_HEAD;
    if (max < XERIAL_HEAD)
        return E_TOO_LARGE;
    memcpy(to, xerial_head, XERIAL_HEAD);
    for (uint32_t at = 0; at < from.n;) {
        uint32_t n = from.n - at < XERIAL_BLOCK ? from.n - at : XERIAL_BLOCK;
        /* The library asks for room for the worst case, whatever comes out. */
        size_t bytes = max - out < 4 ? 0 : max - out - 4;
        if (bytes < snappy_max_compressed_length(n) ||
            snappy_compress((const char *)from.ptr + at, n, (char *)to + out + 4, &bytes) !=
                SNAPPY_OK)
            return E_TOO_LARGE;
        store_u32(to + out, (uint32_t)bytes);
        out += 4 + (uint32_t)bytes;
        at += n;
    }
    return out;
}
