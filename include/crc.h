/*
 * crc.h - CRC-32C (Castagnoli): short runs by the processor's own instruction, in place; longer
 * ones by isa-l, which chooses the widest instructions at run time.
 *
 * Owner: immutable. The only header that sees isa-l. "123456789" has the CRC 0xe3069283 (RFC 3720
 * B.4).
 *
 * A running value starts as CRC_INIT and is finished with crc_end; a prefix, a middle and an end
 * give the same value as the whole, whatever the split.
 */
#ifndef MILLRACE_CRC_H
#define MILLRACE_CRC_H

#include <isa-l/crc.h>
#include <nmmintrin.h>

#include "base.h"

#define CRC_INIT 0xffffffffu
enum {
    CRC_STEP_BYTES = 1 << 30, /* isa-l counts in int: a longer run goes in steps */
    CRC_SHORT_BYTES = 192,
};

/* Eight bytes at a time: up to CRC_SHORT_BYTES no slower than setting up a wider way. */
static inline uint32_t crc_short(uint32_t crc, const uint8_t *p, uint64_t n)
{
    uint64_t wide = crc;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t v;
        memcpy(&v, p, sizeof v);
        wide = _mm_crc32_u64(wide, v);
    }
    crc = (uint32_t)wide;
    if (n >= 4) {
        uint32_t v;
        memcpy(&v, p, sizeof v);
        crc = _mm_crc32_u32(crc, v);
        p += 4;
        n -= 4;
    }
    for (; n > 0; n--)
        crc = _mm_crc32_u8(crc, *p++);
    return crc;
}

/* CRC-32C (Castagnoli) of n more bytes, between CRC_INIT and crc_end. */
static inline uint32_t crc_more(uint32_t crc, const void *p, uint64_t n)
{
    unsigned char *at = (unsigned char *)p;
    if (n <= CRC_SHORT_BYTES)
        return crc_short(crc, at, n);
    for (; n > CRC_STEP_BYTES; at += CRC_STEP_BYTES, n -= CRC_STEP_BYTES)
        crc = crc32_iscsi(at, CRC_STEP_BYTES, crc);
    return crc32_iscsi(at, (int)n, crc);
}

static inline uint32_t crc_end(uint32_t crc)
{
    return crc ^ 0xffffffffu;
}

static inline uint32_t crc_of(const void *p, uint64_t n)
{
    return crc_end(crc_more(CRC_INIT, p, n));
}

#endif
