/*
 * hot.h - what the straight-line codecs are made of (build/gen/hot.c, written by tools/khot.py).
 *
 * Owner: immutable (pure functions).
 *
 * For the few messages that come by the hundred thousand there is a function per struct and form
 * beside the tables. They take what is usual: input in one piece of memory, tagged fields at their
 * defaults, lengths below 2 MiB, an answer that a turn may encode at once. For everything else, and
 * for every error, they return NULL, and the interpreters (decode.c, encode.c) do the message from
 * its beginning: what is right is said there only. Tests and fuzzers compare both, because input
 * cut in two and small budgets never come here.
 */
#ifndef MILLRACE_PROTO_HOT_H
#define MILLRACE_PROTO_HOT_H

#include "scalar.h"

/* Owner: request. The input is [p, end), with p in the caller's hands. */
struct hot_in {
    const uint8_t *end;
    struct arena *arena;
    struct slice_owner *owner; /* of the input's memory */
    uint64_t elements_left;
};

/* The straight-line codec of one message; a request's has `get`, an answer's the others. Owner:
 * immutable. */
struct proto_hot {
    /* Decodes into `to`; returns where the message ends, or NULL. */
    const uint8_t *(*get)(struct hot_in *h, const uint8_t *p, void *to, uint8_t version);
    /* Encodes behind p; returns the place behind it, or NULL. */
    uint8_t *(*put)(struct proto_out *o, uint8_t *p, const void *from, uint8_t version);
    /* How many fields `from` has, or some number above `max`. */
    uint64_t (*units)(const void *from, uint64_t max);
};

/* ── bytes to structs ── */

#define HOT_NEED(n)                              \
    do {                                         \
        if (unlikely(h->end - p < (int64_t)(n))) \
            return NULL;                         \
    } while (0)

static inline const uint8_t *hot_get_uvarint(const uint8_t *p, const uint8_t *end, uint32_t *v)
{
    if (likely(end - p >= 1 && p[0] < 0x80)) {
        *v = p[0];
        return p + 1;
    }
    if (likely(end - p >= 2 && p[1] < 0x80)) {
        *v = (p[0] & 0x7fu) | (uint32_t)p[1] << 7;
        return p + 2;
    }
    if (end - p >= 3 && p[2] < 0x80) {
        *v = (p[0] & 0x7fu) | (p[1] & 0x7fu) << 7 | (uint32_t)p[2] << 14;
        return p + 3;
    }
    return NULL;
}

/* A length; null is -1. `is_short`: a string. */
static always_inline const uint8_t *hot_get_length(const uint8_t *p, const uint8_t *end,
                                                   const bool is_flexible, const bool is_short,
                                                   const bool may_be_null, int32_t *n)
{
    uint32_t v;
    if (is_flexible) {
        p = hot_get_uvarint(p, end, &v);
        if (unlikely(p == NULL))
            return NULL;
        *n = (int32_t)v - 1;
    } else if (unlikely(end - p < (is_short ? 2 : 4))) {
        return NULL;
    } else {
        *n = is_short ? load_i16(p) : load_i32(p);
        p += is_short ? 2 : 4;
    }
    if (unlikely(*n < 0)) {
        *n = -1;
        return may_be_null ? p : NULL;
    }
    return is_short && unlikely(*n > PROTO_STRING_MAX) ? NULL : p;
}

static always_inline const uint8_t *hot_get_bytes(const struct hot_in *h, const uint8_t *p,
                                                  int32_t n, struct bytes *to)
{
    if (n < 0) {
        *to = (struct bytes){NULL, 0};
        return p;
    }
    if (unlikely(h->end - p < n))
        return NULL;
    *to = (struct bytes){p, (uint32_t)n};
    return p + n;
}

static always_inline const uint8_t *hot_get_records(const struct hot_in *h, const uint8_t *p,
                                                    int32_t n, struct slices *to)
{
    if (unlikely(n <= 0 || h->end - p < n)) {
        *to = (struct slices){NULL, 0, 0};
        return n < 0 ? p : NULL;
    }
    struct slice *v = arena_alloc_raw(h->arena, sizeof *v);
    if (unlikely(v == NULL))
        return NULL;
    *v = (struct slice){p, (uint32_t)n, h->owner};
    *to = (struct slices){v, 1, (uint64_t)n};
    return p + n;
}

/* Room for n elements of `size` bytes, not zeroed; `least`: the fewest bytes one takes in the
 * input. -1: null. */
static always_inline bool hot_get_array(struct hot_in *h, const uint8_t *p, int32_t n,
                                        uint32_t least, uint64_t size, void **to, int32_t *count)
{
    *to = NULL;
    *count = n;
    if (n <= 0)
        return true;
    if (unlikely((uint64_t)n * least > (uint64_t)(h->end - p) || (uint64_t)n > h->elements_left))
        return false;
    h->elements_left -= (uint64_t)n;
    *to = arena_alloc_raw(h->arena, (uint64_t)n * size);
    return *to != NULL;
}

/* ── structs to bytes ── */

/* encode.c: more room behind p, which everything before has been written up to; NULL: not here. */
uint8_t *hot_room_more(struct proto_out *o, uint8_t *p, uint64_t n);
/* encode.c: length and slices, linked in. */
uint8_t *hot_put_records(struct proto_out *o, uint8_t *p, const struct slices *s, bool is_flexible,
                         bool may_be_null);

/* Room for n bytes at the returned place; NULL: not here. */
static always_inline uint8_t *hot_room(struct proto_out *o, uint8_t *p, uint64_t n)
{
    return likely(n <= (uint64_t)(o->end - p)) ? p : hot_room_more(o, p, n);
}

static always_inline uint8_t *hot_put_uvarint(uint8_t *p, uint64_t v)
{
    if (likely(v < 0x80)) {
        *p = (uint8_t)v;
        return p + 1;
    }
    return p + store_uvarint(p, v);
}

/* The count of an array; NULL: null where there is no null. */
static always_inline uint8_t *hot_put_count(uint8_t *p, int32_t n, const bool is_flexible,
                                            const bool may_be_null)
{
    if (unlikely(n < 0)) {
        if (!may_be_null)
            return NULL;
        n = -1;
    }
    if (is_flexible)
        return hot_put_uvarint(p, (uint64_t)((int64_t)n + 1));
    store_u32(p, (uint32_t)n);
    return p + 4;
}

/* The room is there, the string's own bytes counted. */
static always_inline uint8_t *hot_put_bytes(uint8_t *p, const struct bytes *b,
                                            const bool is_flexible, const bool is_short,
                                            const bool may_be_null)
{
    bool is_null = b->ptr == NULL;
    if (unlikely((is_null && !may_be_null) || b->n > (is_short ? PROTO_STRING_MAX : INT32_MAX)))
        return NULL;
    int64_t n = is_null ? -1 : (int64_t)b->n;
    if (is_flexible) {
        p = hot_put_uvarint(p, (uint64_t)(n + 1));
    } else if (is_short) {
        store_u16(p, (uint16_t)n);
        p += 2;
    } else {
        store_u32(p, (uint32_t)n);
        p += 4;
    }
    if (is_null)
        return p;
    memcpy(p, b->ptr, b->n);
    return p + b->n;
}

static inline bool hot_uuid_is_zero(const struct uuid *id)
{
    static const struct uuid zero;
    return memcmp(id, &zero, sizeof zero) == 0;
}

#endif
