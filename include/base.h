/*
 * base.h - the few words every file uses: attributes, lengths, alignment, time units.
 *
 * Owner: immutable (macros and pure functions only).
 *
 * Integer names are C's own (uint32_t, int64_t). A byte string is `struct bytes` in bytes.h.
 */
#ifndef MILLRACE_BASE_H
#define MILLRACE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define nodiscard                    __attribute__((warn_unused_result))
#define printf_like(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))
#define likely(x)                    __builtin_expect(!!(x), 1)
#define unlikely(x)                  __builtin_expect(!!(x), 0)
#define unused                       __attribute__((unused))

/* The struct that holds `member`, from a pointer to the member. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define array_n(a)                      (sizeof(a) / sizeof((a)[0]))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* `align` is a power of two. */
static inline uint64_t align_up(uint64_t n, uint64_t align)
{
    return (n + align - 1) & ~(align - 1);
}

static inline uint64_t align_down(uint64_t n, uint64_t align)
{
    return n & ~(align - 1);
}

static inline bool is_aligned(uint64_t n, uint64_t align)
{
    return (n & (align - 1)) == 0;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}
static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}
static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* a + b, held at the end of the range it would leave. */
static inline int64_t add_i64_saturated(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return b < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

/* A topic id, a directory id, a cluster id: 16 raw bytes. All zero means "none" (Kafka Uuid.java).
 */
struct uuid {
    uint8_t b[16];
};

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

static inline bool uuid_is_zero(const struct uuid *a)
{
    static const struct uuid zero;
    return uuid_equal(a, &zero);
}

#endif
