/*
 * prng.h - the only random source: one generator per thread, seeded at boot (getrandom) or by the
 * simulator.
 *
 * Owner: its thread. Algorithm: xoshiro256** (Blackman and Vigna), seeded by splitmix64. Not for
 * secrets.
 */
#ifndef MILLRACE_PRNG_H
#define MILLRACE_PRNG_H

#include "base.h"

struct prng {
    uint64_t s[4];
};

static inline void prng_init(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15ull);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        p->s[i] = z ^ (z >> 31);
    }
}

static inline uint64_t prng_rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static inline uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->s, out = prng_rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = prng_rotl(s[3], 45);
    return out;
}

/* 0 <= result < n; n > 0. */
static inline uint64_t prng_below(struct prng *p, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)prng_next(p) * n) >> 64);
}

static inline bool prng_chance(struct prng *p, uint32_t percent)
{
    return prng_below(p, 100) < percent;
}

/* A random (version 4) id, never one of Kafka's reserved ids or one whose text begins with '-'
 * (Uuid.java). */
static inline void prng_uuid(struct prng *p, struct uuid *id)
{
    do {
        uint64_t a = prng_next(p), b = prng_next(p);
        memcpy(id->b, &a, 8);
        memcpy(id->b + 8, &b, 8);
        id->b[6] = (uint8_t)((id->b[6] & 0x0f) | 0x40);
        id->b[8] = (uint8_t)((id->b[8] & 0x3f) | 0x80);
    } while (id->b[0] >> 2 == 62); /* base64url digit 62 is '-' */
}

#endif
