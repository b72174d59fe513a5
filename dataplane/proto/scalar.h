/*
 * scalar.h - what decoder, encoder and size share about kinds: sizes in memory and on the wire,
 * byte order.
 *
 * Owner: immutable (pure functions).
 */
#ifndef MILLRACE_PROTO_SCALAR_H
#define MILLRACE_PROTO_SCALAR_H

#include "rows.h"

/* The interpreters decide what stands in one function: the dispatch and its short cases together,
 * the rest apart. */
#define always_inline inline __attribute__((always_inline))
#define noinline      __attribute__((noinline))

/* Bytes of a kind in memory. */
static inline uint32_t scalar_size(uint32_t kind)
{
    static const uint8_t sizes[] = {
        [PROTO_BOOL] = 1,  [PROTO_I8] = 1,
        [PROTO_I16] = 2,   [PROTO_I32] = 4,
        [PROTO_I64] = 8,   [PROTO_U16] = 2,
        [PROTO_U32] = 4,   [PROTO_F64] = 8,
        [PROTO_UUID] = 16, [PROTO_STRING] = sizeof(struct bytes),
    };
    check(kind < array_n(sizes));
    return sizes[kind];
}

/* The fewest bytes an array element of this kind takes. */
static inline uint32_t scalar_wire_min(uint32_t kind, bool is_flexible)
{
    return kind == PROTO_STRING ? (is_flexible ? 1 : 2) : scalar_size(kind);
}

static inline void copy_swap_16(void *to, const void *from)
{
    uint16_t v;
    memcpy(&v, from, sizeof v);
    v = __builtin_bswap16(v);
    memcpy(to, &v, sizeof v);
}

static inline void copy_swap_32(void *to, const void *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof v);
    v = __builtin_bswap32(v);
    memcpy(to, &v, sizeof v);
}

static inline void copy_swap_64(void *to, const void *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof v);
    v = __builtin_bswap64(v);
    memcpy(to, &v, sizeof v);
}

/* One fixed-size scalar between memory and the wire, either direction. */
static inline void copy_swap(void *to, const void *from, uint32_t size)
{
    if (size == 4)
        copy_swap_32(to, from);
    else if (size == 8)
        copy_swap_64(to, from);
    else if (size == 2)
        copy_swap_16(to, from);
    else
        memcpy(to, from, size);
}

#endif
