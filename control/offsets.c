/*
 * offsets.c - the committed offsets of one group: open addressing over one heap block per offset.
 *
 * Owner: control.
 *
 * A block holds the struct, the topic's name and the metadata string; a commit whose strings have
 * the same lengths (the usual one) overwrites it in place. The table has a power of two of places,
 * at most half of them taken; removal moves followers back, so there are no tombstones and a search
 * ends at the first free place.
 */
#include "offsets.h"

#include <stdlib.h>

#include "check.h"
#include "hash.h"

enum { PLACES_MIN = 4 };

struct offsets {
    struct offset **table;
    uint32_t n, mask;
    uint64_t seed, bytes;
};

int offsets_new(struct offsets **out, uint64_t seed)
{
    struct offsets *o = calloc(1, sizeof *o);
    if (o != NULL)
        o->table = calloc(PLACES_MIN, sizeof(struct offset *));
    if (o == NULL || o->table == NULL) {
        free(o);
        return E_NO_MEMORY;
    }
    o->mask = PLACES_MIN - 1;
    o->seed = seed;
    o->bytes = sizeof *o + PLACES_MIN * sizeof(struct offset *);
    *out = o;
    return 0;
}

void offsets_free(struct offsets *o)
{
    for (uint32_t i = 0; i <= o->mask; i++)
        free(o->table[i]);
    free(o->table);
    free(o);
}

uint32_t offsets_n(const struct offsets *o)
{
    return o->n;
}

uint64_t offsets_bytes(const struct offsets *o)
{
    return o->bytes;
}

static uint32_t place_of(const struct offsets *o, struct bytes topic, int32_t partition)
{
    return (uint32_t)hash_bytes(topic.ptr, topic.n, o->seed ^ hash_mix((uint32_t)partition)) &
           o->mask;
}

/* Where it is, or the free place where it would be. */
static uint32_t find(const struct offsets *o, struct bytes topic, int32_t partition)
{
    uint32_t at = place_of(o, topic, partition);
    for (; o->table[at] != NULL; at = (at + 1) & o->mask)
        if (o->table[at]->partition == partition && bytes_equal(o->table[at]->topic, topic))
            break;
    return at;
}

const struct offset *offsets_find(const struct offsets *o, struct bytes topic, int32_t partition)
{
    return o->table[find(o, topic, partition)];
}

static uint64_t block_bytes(const struct offset *from)
{
    return sizeof *from + from->topic.n + from->metadata.n;
}

static int grow(struct offsets *o)
{
    uint32_t places = (o->mask + 1) * 2;
    struct offset **old = o->table, **table = calloc(places, sizeof *table);
    if (table == NULL)
        return E_NO_MEMORY;
    uint32_t old_n = o->mask + 1;
    o->table = table;
    o->mask = places - 1;
    o->bytes += (places - old_n) * sizeof *table;
    for (uint32_t i = 0; i < old_n; i++)
        if (old[i] != NULL)
            o->table[find(o, old[i]->topic, old[i]->partition)] = old[i];
    free(old);
    return 0;
}

static void block_fill(struct offset *to, const struct offset *from)
{
    uint8_t *text = (uint8_t *)(to + 1);
    if (from->topic.n > 0)
        memmove(text, from->topic.ptr, from->topic.n);
    if (from->metadata.n > 0)
        memcpy(text + from->topic.n, from->metadata.ptr, from->metadata.n);
    *to = *from;
    to->topic = (struct bytes){text, from->topic.n};
    to->metadata = (struct bytes){text + from->topic.n, from->metadata.n};
}

int offsets_set(struct offsets *o, const struct offset *from)
{
    uint32_t at = find(o, from->topic, from->partition);
    struct offset *old = o->table[at];
    if (old != NULL && old->metadata.n == from->metadata.n) {
        block_fill(old, from);
        return 0;
    }
    if (old == NULL && (o->n + 1) * 2 > o->mask + 1) {
        int e = grow(o);
        if (e < 0)
            return e;
        at = find(o, from->topic, from->partition);
    }
    struct offset *block = malloc(block_bytes(from));
    if (block == NULL)
        return E_NO_MEMORY;
    block_fill(block, from);
    o->bytes += block_bytes(block) - (old == NULL ? 0 : block_bytes(old));
    o->n += old == NULL;
    free(old);
    o->table[at] = block;
    return 0;
}

bool offsets_remove(struct offsets *o, struct bytes topic, int32_t partition)
{
    uint32_t hole = find(o, topic, partition);
    if (o->table[hole] == NULL)
        return false;
    o->bytes -= block_bytes(o->table[hole]);
    free(o->table[hole]);
    o->table[hole] = NULL;
    o->n--;
    /* Whoever was pushed beyond the hole by what stood there moves into it. */
    for (uint32_t at = (hole + 1) & o->mask; o->table[at] != NULL; at = (at + 1) & o->mask) {
        uint32_t home = place_of(o, o->table[at]->topic, o->table[at]->partition);
        if (((at - home) & o->mask) < ((at - hole) & o->mask))
            continue;
        o->table[hole] = o->table[at];
        o->table[at] = NULL;
        hole = at;
    }
    return true;
}

const struct offset *offsets_next(const struct offsets *o, uint32_t *at)
{
    while (*at <= o->mask) {
        const struct offset *found = o->table[(*at)++];
        if (found != NULL)
            return found;
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const struct offset *x = *(const struct offset *const *)a,
                        *y = *(const struct offset *const *)b;
    uint32_t n = x->topic.n < y->topic.n ? x->topic.n : y->topic.n;
    int order = n > 0 ? memcmp(x->topic.ptr, y->topic.ptr, n) : 0;
    if (order == 0 && x->topic.n != y->topic.n)
        order = x->topic.n < y->topic.n ? -1 : 1;
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

void offsets_sorted(const struct offsets *o, const struct offset **to)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i <= o->mask; i++)
        if (o->table[i] != NULL)
            to[n++] = o->table[i];
    check(n == o->n);
    if (n > 0)
        qsort(to, n, sizeof *to, compare);
}
