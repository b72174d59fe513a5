/*
 * siphash.h - SipHash-c-d (Aumasson and Bernstein) of 8-byte words: keyed hashes a peer cannot
 * steer.
 *
 * Owner: immutable (pure functions). 2-4 for initial sequence numbers, cookies and timestamp
 * offsets, 1-3 for the flow table.
 */
#ifndef MILLRACE_SIPHASH_H
#define MILLRACE_SIPHASH_H

#include "base.h"

struct sip_key {
    uint64_t k[2];
};

static inline uint64_t sip_rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static inline __attribute__((always_inline)) void sip_rounds(uint64_t v[4], int n)
{
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = sip_rotl(v[1], 13) ^ v[0];
        v[3] = sip_rotl(v[3], 16) ^ v[2];
        v[0] = sip_rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = sip_rotl(v[1], 17) ^ v[2];
        v[3] = sip_rotl(v[3], 21) ^ v[0];
        v[2] = sip_rotl(v[2], 32);
    }
}

/* The hash of the little-endian message word[0..n), c rounds a word and d at the end. */
static inline __attribute__((always_inline)) uint64_t sip_words(const struct sip_key *key,
                                                                const uint64_t *word, int n, int c,
                                                                int d)
{
    uint64_t v[4] = {key->k[0] ^ 0x736f6d6570736575ull, key->k[1] ^ 0x646f72616e646f6dull,
                     key->k[0] ^ 0x6c7967656e657261ull, key->k[1] ^ 0x7465646279746573ull};
#pragma GCC unroll 4
    for (int i = 0; i <= n; i++) {
        uint64_t m = i < n ? word[i] : (uint64_t)(8 * n) << 56;
        v[3] ^= m;
        sip_rounds(v, c);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    sip_rounds(v, d);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
