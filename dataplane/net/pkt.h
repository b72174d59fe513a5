/*
 * pkt.h - packet buffers: the only thing the engine and whoever moves packets have in common.
 *
 * Owner: the thread of the pool. A packet has one holder at a time; references count its payload
 * slices, and the last one puts it back.
 *
 * A packet is a header view [data, data + n) in its own room, then up to PKT_PIECES_MAX pieces of
 * foreign memory by reference. Received packets have no pieces; sent segments have their payload in
 * pieces, each with a reference to its owner, so memory stays until the packet was transmitted.
 * With PKT_TX_TSO it stands for several segments of `segment_n` bytes of payload (the last may have
 * fewer): whoever transmits cuts it, counts SEQ on, gives PSH and FIN to the last segment only, and
 * adds each length to the pseudo header's sum, which stands in the checksum field without it.
 *
 * Two kinds of pools: the engine's own, on the heap, taken once at boot (pkt_pool_init), and a
 * port's, whose packets are the heads of a device's buffers: there the room is the buffer, and
 * giving one back is the port's `release`. A packet's true size (what it costs, not what it
 * carries) is what memory accounts are kept in.
 */
#ifndef MILLRACE_PKT_H
#define MILLRACE_PKT_H

#include <stdlib.h>

#include "seq.h"
#include "slice.h"

#if defined(__SANITIZE_ADDRESS__)
#define PKT_REDZONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PKT_REDZONE 1
#endif
#endif
#ifdef PKT_REDZONE
#include <sanitizer/asan_interface.h>
#endif

enum {
    PKT_ROOM = 2048,     /* of a received packet: an Ethernet frame of 1518 and room before it  */
    PKT_HEAD_ROOM = 192, /* of a sent one: headers                                              */
    PKT_PIECES_MAX = 8,
    PKT_GUARD = 64, /* bytes behind the room that nobody may touch                         */
};

enum pkt_flag {
    PKT_SUM_GOOD = 1, /* received: the TCP checksum was verified                                */
    PKT_TX_SUM = 2,   /* to send: the TCP checksum field holds the pseudo header's sum only     */
    PKT_IP_GOOD = 4,  /* received: the IP header's checksum was verified                        */
    PKT_HASHED = 8,   /* received: rx.hash is the hash of its flow                              */
    PKT_TX_TSO = 16,  /* to send: to be cut into segments of segment_n bytes; with PKT_TX_SUM   */
};

struct pkt_pool;

/* Owner: its holder. */
struct pkt {
    struct pkt *next; /* in a queue, or the next packet of a range */
    struct pkt_pool *pool;
    uint8_t *data;
    uint32_t n;
    uint16_t flags;
    uint8_t pieces_n;
    uint8_t holder;     /* while another thread than the pool's has it: that worker (lane.c) */
    uint16_t segment_n; /* with PKT_TX_TSO */
    struct slice_owner owner;
    union {
        struct slice pieces[PKT_PIECES_MAX];
        struct {
            struct pkt *range_next, *range_tail; /* of the first packet of a range */
            struct seq seq, range_end;
            uint32_t hash;
        } rx;
    };
    uint8_t room[];
};

/* Owner: its thread. */
struct pkt_pool {
    uint8_t *memory;
    struct pkt *free;
    uint32_t room_n, n, used_n, free_n;
    uint64_t refused_n;
    void (*release)(struct slice_owner *owner); /* of its packets, on its thread       */
    void *home; /* the lane packets return to from other threads; NULL: they never leave */
};

static inline uint64_t pkt_stride(uint32_t room_n)
{
    return align_up(sizeof(struct pkt) + room_n + PKT_GUARD, 64);
}

static inline uint32_t pkt_true_size(const struct pkt *pkt)
{
    return (uint32_t)sizeof(struct pkt) + pkt->pool->room_n;
}

/* Whole memory pages, so that a device may be given them. */
static inline uint64_t pkt_pool_bytes(const struct pkt_pool *pool)
{
    return align_up(pool->n * pkt_stride(pool->room_n), 4096);
}

static inline void pkt_pool_fini(struct pkt_pool *pool)
{
#ifdef PKT_REDZONE
    if (pool->memory != NULL)
        ASAN_UNPOISON_MEMORY_REGION(pool->memory, pool->n * pkt_stride(pool->room_n));
#endif
    free(pool->memory);
    pool->memory = NULL;
}

static inline void pkt_release(struct slice_owner *owner)
{
    struct pkt *pkt = container_of(owner, struct pkt, owner);
    struct pkt_pool *pool = pkt->pool;
    for (uint32_t i = 0; i < pkt->pieces_n; i++)
        slice_put(&pkt->pieces[i]);
    pkt->pieces_n = 0;
    pkt->next = pool->free;
    pool->free = pkt;
    pool->free_n++;
#ifdef PKT_REDZONE
    ASAN_POISON_MEMORY_REGION(pkt->room, pool->room_n);
#endif
}

static inline bool pkt_pool_init(struct pkt_pool *pool, uint32_t n, uint32_t room_n)
{
    *pool = (struct pkt_pool){.room_n = room_n, .n = n, .free_n = n, .release = pkt_release};
    pool->memory = aligned_alloc(4096, pkt_pool_bytes(pool));
    return pool->memory != NULL;
}

/* A packet with an empty view `head` bytes into its room; NULL when all are in use. */
static inline struct pkt *pkt_take(struct pkt_pool *pool, uint32_t head)
{
    struct pkt *pkt = pool->free;
    if (pkt != NULL) {
        pool->free = pkt->next;
    } else if (pool->used_n < pool->n) {
        pkt = (struct pkt *)(void *)(pool->memory + pool->used_n++ * pkt_stride(pool->room_n));
        pkt->pool = pool;
#ifdef PKT_REDZONE
        ASAN_POISON_MEMORY_REGION(pkt->room + pool->room_n, PKT_GUARD);
#endif
    } else {
        pool->refused_n++;
        return NULL;
    }
#ifdef PKT_REDZONE
    ASAN_UNPOISON_MEMORY_REGION(pkt->room, pool->room_n);
#endif
    pool->free_n--;
    pkt->next = NULL;
    pkt->data = pkt->room + head;
    pkt->n = 0;
    pkt->flags = 0;
    pkt->pieces_n = 0;
    pkt->owner.refs = 1;
    pkt->owner.release = pkt_release;
    return pkt;
}

/* The holder is done with it. */
static inline void pkt_put(struct pkt *pkt)
{
    check(pkt->owner.refs > 0);
    if (--pkt->owner.refs == 0)
        pkt->owner.release(&pkt->owner);
}

static inline uint32_t pkt_tail_room(const struct pkt *pkt)
{
    return pkt->pool->room_n - (uint32_t)(pkt->data + pkt->n - pkt->room);
}

/* Bytes of the view and all pieces. */
static inline uint32_t pkt_bytes(const struct pkt *pkt)
{
    uint32_t n = pkt->n;
    for (uint32_t i = 0; i < pkt->pieces_n; i++)
        n += pkt->pieces[i].n;
    return n;
}

/* Copies the whole packet to `to`, which has room for pkt_bytes. */
static inline uint32_t pkt_copy(const struct pkt *pkt, uint8_t *to)
{
    uint8_t *at = to;
    memcpy(at, pkt->data, pkt->n);
    at += pkt->n;
    for (uint32_t i = 0; i < pkt->pieces_n; i++) {
        memcpy(at, pkt->pieces[i].ptr, pkt->pieces[i].n);
        at += pkt->pieces[i].n;
    }
    return (uint32_t)(at - to);
}

/* A queue of packets. Owner: its holder. */
struct pkt_queue {
    struct pkt *head, *tail;
};

static inline void pkt_queue_append(struct pkt_queue *queue, struct pkt *pkt)
{
    pkt->next = NULL;
    if (queue->head == NULL)
        queue->head = pkt;
    else
        queue->tail->next = pkt;
    queue->tail = pkt;
}

/* All of `from`, which is not empty, behind `to`. */
static inline void pkt_queue_splice(struct pkt_queue *to, const struct pkt_queue *from)
{
    if (to->head == NULL)
        to->head = from->head;
    else
        to->tail->next = from->head;
    to->tail = from->tail;
}

static inline struct pkt *pkt_queue_pop(struct pkt_queue *queue)
{
    struct pkt *pkt = queue->head;
    if (pkt != NULL)
        queue->head = pkt->next;
    return pkt;
}

#endif
