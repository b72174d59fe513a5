/*
 * ring.h - single producer, single consumer ring of pointers.
 *
 * Owner: `tail` the producing thread, `head` the consuming thread; nothing else is shared between
 * threads.
 *
 *   producer                                   consumer
 *   A1 store slot, tail (release)      -->     R1 load tail (acquire), slot
 *   R2 load head (acquire)             <--     A2 store head (release)
 *
 * Each side keeps a copy of the other's index, so an index moves between caches only when the copy
 * runs out.
 */
#ifndef MILLRACE_RING_H
#define MILLRACE_RING_H

#include <stdatomic.h>

#include "base.h"
#include "check.h"

struct ring {
    _Alignas(64) _Atomic uint32_t tail; /* next slot to write  */
    uint32_t head_seen;                 /* producer's copy     */
    _Alignas(64) _Atomic uint32_t head; /* next slot to read   */
    uint32_t tail_seen;                 /* consumer's copy     */
    _Alignas(64) void **slots;
    uint32_t mask; /* capacity - 1; capacity is a power of two */
};

static inline void ring_init(struct ring *r, void **slots, uint32_t capacity)
{
    check(capacity > 0 && (capacity & (capacity - 1)) == 0);
    memset(r, 0, sizeof *r);
    r->slots = slots;
    r->mask = capacity - 1;
}

/* False when the ring is full. */
static inline bool ring_write(struct ring *r, void *item)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (tail - r->head_seen > r->mask) {
        r->head_seen = atomic_load_explicit(
            &r->head, memory_order_acquire); /* R2: pairs with A2 in ring_read */
        if (tail - r->head_seen > r->mask)
            return false;
    }
    r->slots[tail & r->mask] = item;
    atomic_store_explicit(&r->tail, tail + 1,
                          memory_order_release); /* A1: pairs with R1 in ring_read */
    return true;
}

/* NULL when the ring is empty. */
static inline void *ring_read(struct ring *r)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head == r->tail_seen) {
        r->tail_seen = atomic_load_explicit(
            &r->tail, memory_order_acquire); /* R1: pairs with A1 in ring_write */
        if (head == r->tail_seen)
            return NULL;
    }
    void *item = r->slots[head & r->mask];
    atomic_store_explicit(&r->head, head + 1,
                          memory_order_release); /* A2: pairs with R2 in ring_write */
    return item;
}

/* For the consumer: whether something waits. */
static inline bool ring_has_more(struct ring *r)
{
    return atomic_load_explicit(&r->head, memory_order_relaxed) !=
           atomic_load_explicit(&r->tail, memory_order_acquire);
}

#endif
