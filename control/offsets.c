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

/* The offsets of one topic, while they are sorted. */
struct run {
    const struct offset *first;
    uint32_t n, at;
};

static int run_compare(const void *a, const void *b)
{
    struct bytes x = ((const struct run *)a)->first->topic,
                 y = ((const struct run *)b)->first->topic;
    int order = x.n == 0 || y.n == 0 ? 0 : memcmp(x.ptr, y.ptr, x.n < y.n ? x.n : y.n);
    return order != 0 ? order : (x.n > y.n) - (x.n < y.n);
}

static int partition_compare(const void *a, const void *b)
{
    const struct offset *x = *(const struct offset *const *)a,
                        *y = *(const struct offset *const *)b;
    return (x->partition > y->partition) - (x->partition < y->partition);
}

/* By number: in a table where the numbers are dense, as a topic's are. */
static void partitions_sort(const struct offset **v, uint32_t n)
{
    int32_t max = 0;
    bool is_dense = true;
    for (uint32_t i = 0; i < n; i++) {
        max = v[i]->partition > max ? v[i]->partition : max;
        is_dense = is_dense && v[i]->partition >= 0;
    }
    is_dense = is_dense && (uint32_t)max / 8 <= n;
    const struct offset **by = n < 8 || !is_dense ? NULL : calloc((uint32_t)max + 1, sizeof *by);
    if (by == NULL) {
        qsort(v, n, sizeof *v, partition_compare);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        by[v[i]->partition] = v[i];
    n = 0;
    for (int32_t k = 0; k <= max; k++)
        if (by[k] != NULL)
            v[n++] = by[k];
    free(by);
}

static uint32_t run_slot(const uint32_t *slots, uint32_t mask, const struct run *runs,
                         const struct offset *of)
{
    uint32_t at = (uint32_t)hash_bytes(of->topic.ptr, of->topic.n, 0) & mask;
    while (slots[at] != 0 && !bytes_equal(runs[slots[at] - 1].first->topic, of->topic))
        at = (at + 1) & mask;
    return at;
}

/* Sorting 10,000 by name and number is ten million instructions; most groups have few topics, so
 * these are told apart by a hash and sorted alone, and their partitions by number. */
int offsets_sorted(const struct offsets *o, const struct offset **to)
{
    uint32_t mask = o->mask, runs_n = 0, n = 0; /* as many places as the table has: half are free */
    uint32_t *slots = calloc(mask + 1ull, sizeof *slots);
    struct run *runs = calloc(o->n + 1ull, sizeof *runs);
    if (slots == NULL || runs == NULL) {
        free(slots);
        free(runs);
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i <= o->mask; i++) {
        const struct offset *of = o->table[i];
        uint32_t at = of == NULL ? 0 : run_slot(slots, mask, runs, of);
        if (of == NULL)
            continue;
        if (slots[at] == 0) {
            runs[runs_n].first = of;
            slots[at] = ++runs_n;
        }
        runs[slots[at] - 1].n++;
    }
    qsort(runs, runs_n, sizeof *runs, run_compare);
    memset(slots, 0, (mask + 1ull) * sizeof *slots);
    for (uint32_t i = 0; i < runs_n; n += runs[i++].n) {
        runs[i].at = n;
        slots[run_slot(slots, mask, runs, runs[i].first)] = i + 1;
    }
    check(n == o->n);
    for (uint32_t i = 0; i <= o->mask; i++)
        if (o->table[i] != NULL)
            to[runs[slots[run_slot(slots, mask, runs, o->table[i])] - 1].at++] = o->table[i];
    for (uint32_t i = 0; i < runs_n; i++)
        partitions_sort(to + runs[i].at - runs[i].n, runs[i].n);
    free(slots);
    free(runs);
    return 0;
}
