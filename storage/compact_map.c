/*
 * compact_map.c - which offset is the last one of a key.
 *
 * Owner: bulk. Open addressing with linear probing over slots of 24 bytes, as large as
 * log.cleaner.dedupe.buffer.size allows and never larger than the dirty part of the log can need.
 * Keys are remembered by a hash of 128 bits alone, as in Apache Kafka (MD5 there).
 *
 * SipHash-2-4, 128-bit variant: Aumasson and Bernstein, "SipHash: a fast short-input PRF"; the key
 * is new for every compaction.
 */
#include <stdlib.h>

#include "compact.h"

/* ── the hash ── */

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int n)
{
    return (x << n) | (x >> (64 - n));
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t sip_end(struct sip *s)
{
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* Eight bytes or fewer, the first one lowest. */
static inline uint64_t little(const uint8_t *p, uint32_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return le64toh(v);
}

void compact_hash(const uint64_t key[2], struct bytes data, uint64_t out[2])
{
    struct sip s = {key[0] ^ 0x736f6d6570736575ull, key[1] ^ 0x646f72616e646f6dull ^ 0xee,
                    key[0] ^ 0x6c7967656e657261ull, key[1] ^ 0x7465646279746573ull};
    const uint8_t *p = data.ptr;
    uint32_t n = data.n;
    for (; n >= 8; p += 8, n -= 8)
        sip_word(&s, little(p, 8));
    uint64_t last = n > 0 ? little(p, n) : 0;
    sip_word(&s, last | (uint64_t)data.n << 56);
    s.v2 ^= 0xee;
    out[0] = sip_end(&s);
    s.v1 ^= 0xdd;
    out[1] = sip_end(&s);
}

/* ── the table ── */

int compact_map_init(struct compact_map *map, uint64_t bytes, uint64_t keys_max,
                     uint32_t load_percent, const uint64_t key[2])
{
    static_assert(sizeof(struct compact_slot) == COMPACT_MAP_ENTRY, "no padding");
    check(load_percent > 0 && load_percent < 100);
    uint64_t slots = max_u64(bytes, COMPACT_MAP_BYTES_MIN) / COMPACT_MAP_ENTRY;
    keys_max = min_u64(keys_max, slots); /* so that the product below fits */
    slots = min_u64(slots, keys_max * 100 / load_percent + 8);
    map->v = calloc(slots, sizeof *map->v);
    if (map->v == NULL)
        return E_NO_MEMORY;
    map->slots_n = slots;
    map->used_n = 0;
    map->used_max = slots * load_percent / 100;
    map->key[0] = key[0];
    map->key[1] = key[1];
    return 0;
}

void compact_map_fini(struct compact_map *map)
{
    free(map->v);
    *map = (struct compact_map){.v = NULL};
}

/* The key's slot, or the free one where it would stand: there always is one. */
static struct compact_slot *slot_of(const struct compact_map *map, const uint64_t hash[2])
{
    uint64_t at = (uint64_t)(((unsigned __int128)hash[0] * map->slots_n) >> 64);
    struct compact_slot *slot = &map->v[at];
    while (slot->next != 0 && (slot->hash[0] != hash[0] || slot->hash[1] != hash[1])) {
        at = at + 1 == map->slots_n ? 0 : at + 1;
        slot = &map->v[at];
    }
    return slot;
}

bool compact_map_put(struct compact_map *map, struct bytes key, int64_t offset)
{
    uint64_t hash[2];
    compact_hash(map->key, key, hash);
    struct compact_slot *slot = slot_of(map, hash);
    if (slot->next == 0) {
        if (map->used_n >= map->used_max)
            return false;
        map->used_n++;
        slot->hash[0] = hash[0];
        slot->hash[1] = hash[1];
    }
    slot->next = max_i64(slot->next, offset + 1);
    return true;
}

int64_t compact_map_get(const struct compact_map *map, struct bytes key)
{
    uint64_t hash[2];
    compact_hash(map->key, key, hash);
    return slot_of(map, hash)->next - 1;
}
