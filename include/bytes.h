/*
 * bytes.h - byte strings, big-endian loads and stores, varints.
 *
 * Owner: immutable (pure functions).
 *
 * Stored and wire structs are read and written field by field with these, never cast.
 * Source: Kafka protocol guide, "Protocol primitive types"; varint is zig-zag LEB128, uvarint plain
 * LEB128.
 */
#ifndef MILLRACE_BYTES_H
#define MILLRACE_BYTES_H

#include "base.h"

/* A view of `n` bytes somebody else owns. ptr == NULL means Kafka's null (differs from empty). */
struct bytes {
    const uint8_t *ptr;
    uint32_t n;
};

static inline struct bytes bytes_of(const void *ptr, size_t n)
{
    return (struct bytes){(const uint8_t *)ptr, (uint32_t)n};
}

static inline struct bytes bytes_of_string(const char *s)
{
    return s == NULL ? (struct bytes){NULL, 0} : bytes_of(s, strlen(s));
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.ptr, b.ptr, a.n) == 0);
}

static inline bool bytes_equal_string(struct bytes a, const char *s)
{
    return bytes_equal(a, bytes_of_string(s));
}

static inline uint16_t load_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap16(v);
}

static inline uint32_t load_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static inline uint64_t load_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

static inline int16_t load_i16(const void *p)
{
    return (int16_t)load_u16(p);
}

static inline int32_t load_i32(const void *p)
{
    return (int32_t)load_u32(p);
}

static inline int64_t load_i64(const void *p)
{
    return (int64_t)load_u64(p);
}

static inline void store_u16(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof v);
}

static inline void store_u32(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

static inline void store_u64(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

enum { VARINT_BYTES_MAX = 10 };

/* Reads a uvarint of at most `bytes_max` (5 or 10) bytes from [p, end). Returns its length in
 * bytes, 0 when the input ends inside it, -1 when it is longer than bytes_max or does not fit 64
 * bits. */
static inline int load_uvarint(const uint8_t *p, const uint8_t *end, int bytes_max, uint64_t *v)
{
    uint64_t out = 0;
    for (int i = 0; i < bytes_max; i++) {
        if (p + i >= end)
            return 0;
        uint64_t b = p[i];
        if (i == 9 && b > 1)
            return -1;
        out |= (b & 0x7f) << (7 * i);
        if (b < 0x80) {
            *v = out;
            return i + 1;
        }
    }
    return -1;
}

/* The same for a zig-zag varint. */
static inline int load_varint(const uint8_t *p, const uint8_t *end, int bytes_max, int64_t *v)
{
    uint64_t u = 0;
    int n = load_uvarint(p, end, bytes_max, &u);
    if (n > 0)
        *v = (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
    return n;
}

/* Writes v to p (room for VARINT_BYTES_MAX); returns the number of bytes. */
static inline int store_uvarint(uint8_t *p, uint64_t v)
{
    int n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

static inline int store_varint(uint8_t *p, int64_t v)
{
    return store_uvarint(p, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static inline int uvarint_bytes(uint64_t v)
{
    int bits = 64 - __builtin_clzll(v | 1);
    return (bits + 6) / 7;
}

static inline int varint_bytes(int64_t v)
{
    return uvarint_bytes(((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

#endif
