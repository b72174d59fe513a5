/*
 * proto_bed.h - what the codec's tests share: an arena, a source of random values, flat encodings.
 *
 * Owner: the test.
 */
#ifndef MILLRACE_TEST_PROTO_BED_H
#define MILLRACE_TEST_PROTO_BED_H

#include "messages.h"
#include "proto_values.h"
#include "unit.h"

enum { ARENA_BYTES = 16 << 20 };

/* Owner: the test. */
struct bed {
    struct arena arena;
    struct values values;
};

static inline struct bed *bed_new(uint64_t seed)
{
    struct bed *b = calloc(1, sizeof *b);
    assert_non_null(b);
    arena_init(&b->arena, NULL, NULL, ARENA_BYTES);
    b->values = (struct values){.arena = &b->arena, .elements_max = 3, .bytes_max = 400};
    prng_init(&b->values.prng, seed);
    return b;
}

static inline void bed_free(struct bed *b)
{
    arena_fini(&b->arena);
    free(b);
}

static inline struct bytes flat_of(struct arena *arena, const struct proto_message *m,
                                   int16_t version, const void *value)
{
    int64_t n = proto_size(m, version, value);
    assert_true(n >= 0 && n < PAGE_BLOCK);
    uint8_t *p = arena_alloc(arena, (uint64_t)n + 1);
    assert_non_null(p);
    assert_int_equal(proto_encode_flat(m, version, value, p, (uint64_t)n), 0);
    return bytes_of(p, (size_t)n);
}

static inline struct bytes flat_of_slices(struct arena *arena, const struct slices *s)
{
    uint8_t *p = arena_alloc(arena, s->bytes + 1);
    struct slices_at at = {0, 0};
    assert_non_null(p);
    slices_copy(s, &at, p, s->bytes);
    return bytes_of(p, s->bytes);
}

static inline void *room_for(struct arena *arena, const struct proto_message *m)
{
    void *p = arena_alloc(arena, m->size);
    assert_non_null(p);
    return p;
}

static inline void bytes_assert_equal(struct bytes a, struct bytes b)
{
    assert_int_equal(a.n, b.n);
    if (a.n > 0)
        assert_memory_equal(a.ptr, b.ptr, a.n);
}

static inline bool is_request(const struct proto_message *m)
{
    return m->api_key >= 0 && proto_request(m->api_key) == m;
}

static inline bool is_response(const struct proto_message *m)
{
    return m->api_key >= 0 && proto_response(m->api_key) == m;
}

static inline int frame_begin(struct proto_out *o, struct arena *arena,
                              const struct proto_message *m, int16_t version, const void *value)
{
    return is_request(m) ? proto_encode_request(o, arena, m->api_key, version, 77,
                                                bytes_of_string("me"), value)
                         : proto_encode_response(o, arena, m->api_key, version, 77, value);
}

/* The number of calls a frame took with this budget per call. */
static inline uint32_t frame_of(struct arena *arena, const struct proto_message *m, int16_t version,
                                const void *value, uint32_t budget, struct bytes *frame)
{
    struct proto_out o;
    uint32_t calls_n = 1;
    assert_int_equal(frame_begin(&o, arena, m, version, value), 0);
    int rc;
    while ((rc = proto_encode_more(&o, budget)) == E_AGAIN) {
        calls_n++;
        /* Somebody else uses the arena in between. */
        assert_non_null(arena_alloc(arena, 8));
    }
    assert_int_equal(rc, 0);
    assert_int_equal(proto_encode_more(&o, budget), 0);
    *frame = flat_of_slices(arena, &o.out);
    return calls_n;
}

#endif
