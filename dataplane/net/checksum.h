/*
 * checksum.h - the Internet checksum (RFC 1071) over bytes in pieces.
 *
 * Owner: immutable (pure functions).
 *
 * A sum is kept in 64 bits of memory order and folded at the end; the byte order of the words does
 * not matter as long as it is one (RFC 1071 2B). A piece that begins at an odd place is added with
 * its bytes swapped. One add with carry per 8 bytes: 1448 bytes are about 230 instructions.
 */
#ifndef MILLRACE_CHECKSUM_H
#define MILLRACE_CHECKSUM_H

#include "bytes.h"

static inline uint64_t sum_carry(uint64_t a, uint64_t b)
{
    a += b;
    return a + (a < b);
}

#if defined(__x86_64__)
static inline uint64_t sum_block64(uint64_t sum, const uint8_t *p)
{
    __asm__("addq 0(%1), %0\n\tadcq 8(%1), %0\n\tadcq 16(%1), %0\n\tadcq 24(%1), %0\n\t"
            "adcq 32(%1), %0\n\tadcq 40(%1), %0\n\tadcq 48(%1), %0\n\tadcq 56(%1), %0\n\t"
            "adcq $0, %0"
            : "+r"(sum)
            : "r"(p), "m"(*(const uint8_t(*)[64])p)
            : "cc");
    return sum;
}
#else
static inline uint64_t sum_block64(uint64_t sum, const uint8_t *p)
{
    for (int i = 0; i < 64; i += 8) {
        uint64_t v;
        memcpy(&v, p + i, 8);
        sum = sum_carry(sum, v);
    }
    return sum;
}
#endif

/* Adds n bytes that begin at an even place of the message. */
static inline uint64_t sum_bytes(uint64_t sum, const uint8_t *p, uint32_t n)
{
    uint64_t v;
    for (; n >= 64; p += 64, n -= 64)
        sum = sum_block64(sum, p);
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&v, p, 8);
        sum = sum_carry(sum, v);
    }
    if (n > 0) {
        v = 0;
        memcpy(&v, p, n);
        sum = sum_carry(sum, v);
    }
    return sum;
}

/* To 16 bits of memory order, not complemented: adding the swapped halves leaves their sum with its
 * carry in the upper one. */
static inline uint16_t sum_fold(uint64_t sum)
{
    uint32_t s = (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);
    return (uint16_t)((s + (s << 16 | s >> 16)) >> 16);
}

/* An IPv4 header without options. */
static inline uint64_t sum_ip4(const uint8_t *p)
{
    uint64_t a, b;
    uint32_t c;
    memcpy(&a, p, 8);
    memcpy(&b, p + 8, 8);
    memcpy(&c, p + 16, 4);
    return (a & 0xffffffff) + (a >> 32) + (b & 0xffffffff) + (b >> 32) + c;
}

/* Adds a piece that begins at byte `at` of the message. */
static inline uint64_t sum_piece(uint64_t sum, const uint8_t *p, uint32_t n, uint32_t at)
{
    if ((at & 1) == 0)
        return sum_bytes(sum, p, n);
    return sum_carry(sum, __builtin_bswap16(sum_fold(sum_bytes(0, p, n))));
}

/* The pseudo header of IPv4 (RFC 9293 3.1); addresses in host order, n is the TCP length. */
static inline uint64_t sum_pseudo(uint32_t from, uint32_t to, uint8_t protocol, uint32_t n)
{
    uint64_t sum = (uint64_t)__builtin_bswap32(from) + __builtin_bswap32(to);
    return sum + __builtin_bswap16((uint16_t)n) + __builtin_bswap16(protocol);
}

/* The checksum field for a sum; stored with sum_store as it is. */
static inline uint16_t sum_finish(uint64_t sum)
{
    return (uint16_t)~sum_fold(sum);
}

static inline void sum_store(uint8_t *to, uint16_t sum)
{
    memcpy(to, &sum, sizeof sum);
}

/* A message whose checksum field is included sums to all ones: 2^16 is 1 modulo 2^16 - 1. */
static inline bool sum_is_good(uint64_t sum)
{
    return sum % 0xffff == 0 && sum != 0;
}

/* A frame of n bytes, perhaps with a tag, whose TCP checksum field holds the sum of the pseudo
 * header and nothing more: what a sender leaves to a device that then never had to send it. Chance
 * makes one of 65535 other frames look like it, which is as strong as the checksum itself. */
static inline bool sum_tcp_is_open(const uint8_t *frame, uint32_t n)
{
    uint32_t at = n >= 18 && load_u16(frame + 12) == 0x8100 ? 18 : 14;
    uint16_t field;

    if (n < at + 40 || load_u16(frame + at - 2) != 0x0800 || frame[at] >> 4 != 4)
        return false;
    const uint8_t *ip = frame + at;
    uint32_t head = (ip[0] & 15u) * 4, total = load_u16(ip + 2);
    if (head < 20 || ip[9] != 6 || total < head + 20 || n < at + total)
        return false;
    memcpy(&field, ip + head + 16, sizeof field);
    uint64_t sum = sum_pseudo(load_u32(ip + 12), load_u32(ip + 16), 6, total - head);
    return sum % 0xffff == field % 0xffffu;
}

#endif
