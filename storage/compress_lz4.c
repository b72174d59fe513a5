/*
 * compress_lz4.c - LZ4 frames by liblz4, as Kafka's Lz4BlockOutputStream writes them.
 *
 * Owner: immutable.
 *
 * Written: independent blocks of 64 KiB, no checksum of the content, no content size. Read: any
 * frame; what follows its end mark is ignored, as Kafka does. Without a level it is the fast
 * compressor, with one the high one, also for levels at which the library would choose the fast
 * one.
 */
#include "compress.h"

#include <lz4frame.h>

enum { LEVEL_MIN = 3 }; /* LZ4HC_CLEVEL_MIN */

int64_t lz4_decompress(struct bytes from, uint8_t *to, uint32_t max)
{
    LZ4F_dctx *context;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
        return E_NO_MEMORY;
    uint32_t at = 0, out = 0;
    int64_t result = E_CORRUPT; /* unless the frame comes to its end */
    for (;;) {
        size_t taken = from.n - at, given = max - out;
        size_t hint = LZ4F_decompress(context, to + out, &given, from.ptr + at, &taken, NULL);
        if (LZ4F_isError(hint))
            break;
        at += (uint32_t)taken;
        out += (uint32_t)given;
        if (hint == 0) {
            result = out;
            break;
        }
        if (taken == 0 && given == 0) {
            result = out == max && at < from.n ? E_TOO_LARGE : E_CORRUPT;
            break;
        }
    }
    LZ4F_freeDecompressionContext(context);
    return result;
}

static LZ4F_preferences_t preferences_of(int level)
{
    LZ4F_preferences_t p = LZ4F_INIT_PREFERENCES;
    p.frameInfo.blockSizeID = LZ4F_max64KB;
    p.frameInfo.blockMode = LZ4F_blockIndependent;
    p.compressionLevel = level == COMPRESS_LEVEL_DEFAULT ? 0
                         : level < LEVEL_MIN             ? LEVEL_MIN
                                                         : level;
    return p;
}

uint64_t lz4_bytes_max(uint32_t n)
{
    LZ4F_preferences_t p = preferences_of(COMPRESS_LEVEL_DEFAULT);
    return LZ4F_compressFrameBound(n, &p);
}

int64_t lz4_compress(int level, struct bytes from, uint8_t *to, uint32_t max)
{
    LZ4F_preferences_t p = preferences_of(level);
    if (max < LZ4F_compressFrameBound(from.n, &p))
        return E_TOO_LARGE;
    size_t n = LZ4F_compressFrame(to, max, from.ptr, from.n, &p);
    return LZ4F_isError(n) ? E_NO_MEMORY : (int64_t)n;
}
