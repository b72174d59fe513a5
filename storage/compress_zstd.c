/*
 * compress_zstd.c - zstd frames by libzstd.
 *
 * Owner: immutable.
 *
 * Decompression goes straight into the caller's memory, so a frame that asks for a large window
 * costs nothing. Several frames one after another are one stream.
 */
#include "compress.h"

#include <zstd.h>
#include <zstd_errors.h>

int64_t zstd_decompress(struct bytes from, uint8_t *to, uint32_t max)
{
    size_t n = ZSTD_decompress(to, max, from.ptr, from.n);
    if (!ZSTD_isError(n))
        return (int64_t)n;
    switch (ZSTD_getErrorCode(n)) {
    case ZSTD_error_dstSize_tooSmall: return E_TOO_LARGE;
    case ZSTD_error_memory_allocation: return E_NO_MEMORY;
    default: return E_CORRUPT;
    }
}

uint64_t zstd_bytes_max(uint32_t n)
{
    return ZSTD_compressBound(n);
}

int64_t zstd_compress(int level, struct bytes from, uint8_t *to, uint32_t max)
{
    size_t n = ZSTD_compress(to, max, from.ptr, from.n,
                             level == COMPRESS_LEVEL_DEFAULT ? ZSTD_CLEVEL_DEFAULT : level);
    if (!ZSTD_isError(n))
        return (int64_t)n;
    return ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall ? E_TOO_LARGE : E_NO_MEMORY;
}
