/*
 * hash.h - the one hash: of byte strings and of partitions.
 *
 * Owner: immutable. Not keyed: tables whose keys a peer chooses mix in a per-boot seed (`seed`).
 * Nothing on disk depends on it, so it may change at any time.
 */
#ifndef MILLRACE_HASH_H
#define MILLRACE_HASH_H

#include "base.h"

static inline uint64_t hash_mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ull;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ull;
    h ^= h >> 32;
    return h;
}

static inline uint64_t hash_bytes(const void *ptr, size_t n, uint64_t seed)
{
    const uint8_t *p = ptr;
    uint64_t h = seed ^ (n * 0x9e3779b97f4a7c15ull), v;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&v, p, 8);
        h = hash_mix(h ^ v);
    }
    v = 0;
    memcpy(&v, p, n);
    return hash_mix(h ^ v);
}

/* The hash of one partition: its home worker is this modulo the number of workers. */
static inline uint64_t hash_partition(const struct uuid *topic_id, int32_t partition)
{
    return hash_bytes(topic_id->b, sizeof topic_id->b, (uint64_t)(uint32_t)partition);
}

#endif
