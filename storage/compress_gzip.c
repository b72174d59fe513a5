/*
 * compress_gzip.c - gzip (RFC 1952) by zlib, as Java's GZIPInputStream and GZIPOutputStream.
 *
 * Owner: immutable.
 *
 * Several members one after another are one stream; whatever follows the last member and is not the
 * beginning of another is ignored, as Java does.
 */
#include "compress.h"

#include <zlib.h>

enum { GZIP_WINDOW = 15, GZIP_FORMAT = 16, GZIP_MEMORY = 8, GZIP_HEADER_MAX = 18 };

static bool has_member(const z_stream *z)
{
    return z->avail_in >= 2 && z->next_in[0] == 0x1f && z->next_in[1] == 0x8b;
}

int64_t gzip_decompress(struct bytes from, uint8_t *to, uint32_t max)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from.ptr,
                  .avail_in = from.n,
                  .next_out = to,
                  .avail_out = max};
    if (inflateInit2(&z, GZIP_WINDOW + GZIP_FORMAT) != Z_OK)
        return E_NO_MEMORY;
    int64_t result = 0;
    while (result == 0) {
        int rc = inflate(&z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END && !has_member(&z))
            break;
        if (rc == Z_STREAM_END)
            rc = inflateReset(&z);
        else if (rc == Z_BUF_ERROR)
            result = z.avail_out == 0 ? E_TOO_LARGE : E_CORRUPT; /* no room, or the input is cut */
        if (result == 0 && rc != Z_OK)
            result = rc == Z_MEM_ERROR ? E_NO_MEMORY : E_CORRUPT;
    }
    inflateEnd(&z);
    return result < 0 ? result : (int64_t)(max - z.avail_out);
}

uint64_t gzip_bytes_max(uint32_t n)
{
    return compressBound(n) + GZIP_HEADER_MAX;
}

int64_t gzip_compress(int level, struct bytes from, uint8_t *to, uint32_t max)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from.ptr,
                  .avail_in = from.n,
                  .next_out = to,
                  .avail_out = max};
    if (level == COMPRESS_LEVEL_DEFAULT)
        level = Z_DEFAULT_COMPRESSION;
    int rc = deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW + GZIP_FORMAT, GZIP_MEMORY,
                          Z_DEFAULT_STRATEGY);
    if (rc != Z_OK)
        return rc == Z_STREAM_ERROR ? E_INVALID : E_NO_MEMORY;
    rc = deflate(&z, Z_FINISH);
    deflateEnd(&z);
    return rc == Z_STREAM_END ? (int64_t)(max - z.avail_out) : E_TOO_LARGE;
}
