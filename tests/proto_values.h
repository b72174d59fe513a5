/*
 * proto_values.h - random values of any message, made by walking its rows.
 *
 * Owner: the test. A value is legal at its version: null only where null is allowed, fields the
 * version does not have at their default, tagged fields at their default half of the time.
 */
#ifndef MILLRACE_TEST_PROTO_VALUES_H
#define MILLRACE_TEST_PROTO_VALUES_H

#include "prng.h"
#include "scalar.h"

/* Owner: the test. */
struct values {
    struct prng prng;
    struct arena *arena;
    uint8_t version;
    uint32_t
        elements_max; /* of an array, at the outermost level; one less per level, at least one */
    uint32_t bytes_max;
    bool has_no_tags; /* all of them at their defaults */
};

static inline struct bytes values_bytes(struct values *v, bool may_be_null)
{
    if (may_be_null && prng_chance(&v->prng, 25))
        return (struct bytes){NULL, 0};
    /* Lengths around 127 take two bytes in compact form. */
    uint32_t n = (uint32_t)prng_below(&v->prng, prng_chance(&v->prng, 10) ? v->bytes_max : 12);
    uint8_t *p = arena_alloc(v->arena, n + 1);
    check(p != NULL);
    for (uint32_t i = 0; i < n; i++)
        p[i] = (uint8_t)prng_next(&v->prng);
    return (struct bytes){p, n};
}

static inline struct slices values_slices(struct values *v, bool may_be_null)
{
    if (may_be_null && prng_chance(&v->prng, 25))
        return (struct slices){NULL, 0, 0};
    uint32_t n = (uint32_t)prng_below(&v->prng, 4);
    struct slices s = {arena_alloc(v->arena, (n + 1) * sizeof(struct slice)), n, 0};
    check(s.v != NULL);
    for (uint32_t i = 0; i < n; i++) {
        struct bytes b = values_bytes(v, false);
        s.v[i] = (struct slice){b.ptr, b.n, NULL};
        s.bytes += b.n;
    }
    return s;
}

static inline void values_scalar(struct values *v, uint32_t kind, uint8_t *to)
{
    uint64_t random[2] = {prng_next(&v->prng), prng_next(&v->prng)};
    if (kind == PROTO_BOOL)
        random[0] &= 0x0101010101010101ull;
    memcpy(to, random, scalar_size(kind));
}

static inline void values_struct(struct values *v, const struct proto_struct *type, uint8_t *base,
                                 uint32_t level);

static inline void values_array(struct values *v, const struct proto_row *row, uint8_t *to,
                                uint32_t level)
{
    uint32_t kind = row->kind & (PROTO_ARRAY - 1);
    uint32_t size = row->sub != NULL ? row->sub->size : scalar_size(kind);
    uint32_t max = v->elements_max > level ? v->elements_max - level : 1;
    int32_t n = (int32_t)prng_below(&v->prng, max + 1);
    if (proto_row_is_nullable(row, v->version) && prng_chance(&v->prng, 20))
        n = -1;
    if (row->sub == NULL && prng_chance(&v->prng, 5))
        n = 40; /* several units of the encoder's budget */
    uint8_t *elements = n <= 0             ? NULL
                        : row->sub != NULL ? proto_new(row->sub, v->arena, (uint32_t)n)
                                           : arena_array(v->arena, (uint64_t)n, size);
    check(elements != NULL || n <= 0);
    memcpy(to, &elements, sizeof elements);
    memcpy(to + PROTO_COUNT_AT, &n, sizeof n);
    for (int32_t i = 0; i < n; i++, elements += size) {
        if (row->sub != NULL)
            values_struct(v, row->sub, elements, level + 1);
        else if (kind == PROTO_STRING)
            *(struct bytes *)(void *)elements = values_bytes(v, false);
        else
            values_scalar(v, kind, elements);
    }
}

static inline void values_struct_ptr(struct values *v, const struct proto_row *row, uint8_t *to,
                                     uint32_t level)
{
    void *value = NULL;
    if (!proto_row_is_nullable(row, v->version) || prng_chance(&v->prng, 70)) {
        value = proto_new(row->sub, v->arena, 1);
        check(value != NULL);
        values_struct(v, row->sub, value, level + 1);
    }
    memcpy(to, &value, sizeof value);
}

static inline void values_field(struct values *v, const struct proto_row *row, uint8_t *to,
                                uint32_t level)
{
    bool may_be_null = proto_row_is_nullable(row, v->version);
    struct bytes b;
    switch (row->kind) {
    case PROTO_STRING:
    case PROTO_STRING_CLASSIC:
    case PROTO_BYTES:
        b = values_bytes(v, may_be_null);
        memcpy(to, &b, sizeof b);
        return;
    case PROTO_RECORDS: *(struct slices *)(void *)to = values_slices(v, may_be_null); return;
    case PROTO_STRUCT: values_struct(v, row->sub, to, level + 1); return;
    case PROTO_STRUCT_PTR: values_struct_ptr(v, row, to, level); return;
    default:
        if (row->kind < PROTO_ARRAY)
            values_scalar(v, row->kind, to);
        else
            values_array(v, row, to, level);
    }
}

/* `base` holds the defaults. */
static inline void values_struct(struct values *v, const struct proto_struct *type, uint8_t *base,
                                 uint32_t level)
{
    for (uint32_t i = 0; i < type->rows_n; i++) {
        const struct proto_row *row = &type->rows[i];
        if (!proto_row_is_live(row, v->version) ||
            (row->tag != PROTO_TAG_NONE && (v->has_no_tags || prng_chance(&v->prng, 50))))
            continue;
        values_field(v, row, base + row->offset, level);
    }
}

/* A random value of m at `version`. */
static inline void *values_make(struct values *v, const struct proto_message *m, int16_t version)
{
    v->version = (uint8_t)version;
    void *value = proto_new(m->fields, v->arena, 1);
    check(value != NULL);
    values_struct(v, m->fields, value, 0);
    return value;
}

#endif
