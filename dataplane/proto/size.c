/*
 * size.c - exact sizes: of whole messages for flat encoding, of tagged fields for their length in
 * front.
 *
 * Owner: immutable (pure functions). Walks the same rows as the encoder and finds the same errors,
 * so a value that has a size can be encoded.
 */
#include "size.h"
#include "scalar.h"

/* The length in front of n bytes or elements. */
static int64_t size_length(int64_t n, uint32_t classic, bool is_flexible)
{
    return is_flexible ? uvarint_bytes((uint64_t)(n + 1)) : (int64_t)classic;
}

/* A length and what it announces; n is -1 for null. */
static int64_t size_counted(const struct proto_row *row, int64_t n, uint32_t classic,
                            uint8_t version, bool is_flexible)
{
    if (n < 0 && !proto_row_is_nullable(row, version))
        return E_INVALID;
    return size_length(n, classic, is_flexible) + (n < 0 ? 0 : n);
}

static int64_t size_string(const struct proto_row *row, const struct bytes *s, uint8_t version,
                           bool is_flexible)
{
    if (s->n > PROTO_STRING_MAX)
        return E_INVALID;
    return size_counted(row, s->ptr == NULL ? -1 : (int64_t)s->n, 2, version, is_flexible);
}

static int64_t size_strings(const struct bytes *s, int32_t n, bool is_flexible)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        if (s[i].ptr == NULL || s[i].n > PROTO_STRING_MAX)
            return E_INVALID;
        sum += size_length(s[i].n, 2, is_flexible) + s[i].n;
    }
    return sum;
}

static int64_t size_struct(const struct proto_struct *type, const uint8_t *base, uint8_t version,
                           bool is_flexible);

static int64_t size_structs(const struct proto_struct *type, const uint8_t *p, int32_t n,
                            uint8_t version, bool is_flexible)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < n; i++, p += type->size) {
        int64_t size = size_struct(type, p, version, is_flexible);
        if (size < 0)
            return size;
        sum += size;
    }
    return sum;
}

static int64_t size_array(const struct proto_row *row, const uint8_t *value, uint8_t version,
                          bool is_flexible)
{
    const uint8_t *elements;
    int32_t n;
    memcpy(&elements, value, sizeof elements);
    memcpy(&n, value + PROTO_COUNT_AT, sizeof n);
    check(elements != NULL || n <= 0);
    if (n < 0)
        return size_counted(row, -1, 4, version, is_flexible);
    uint32_t kind = row->kind & (PROTO_ARRAY - 1);
    int64_t size = row->sub != NULL ? size_structs(row->sub, elements, n, version, is_flexible)
                   : kind == PROTO_STRING ? size_strings((const void *)elements, n, is_flexible)
                                          : (int64_t)n * scalar_size(kind);
    return size < 0 ? size : size + size_length(n, 4, is_flexible);
}

static int64_t size_struct_ptr(const struct proto_row *row, const uint8_t *value, uint8_t version,
                               bool is_flexible)
{
    const uint8_t *base;
    bool is_nullable = proto_row_is_nullable(row, version);
    memcpy(&base, value, sizeof base);
    if (base == NULL)
        return is_nullable ? 1 : E_INVALID;
    int64_t size = size_struct(row->sub, base, version, is_flexible);
    return size < 0 ? size : size + is_nullable;
}

int64_t size_field(const struct proto_row *row, const void *value, uint8_t version,
                   bool is_flexible)
{
    switch (row->kind) {
    case PROTO_STRING: return size_string(row, value, version, is_flexible);
    case PROTO_STRING_CLASSIC: return size_string(row, value, version, false);
    case PROTO_BYTES: {
        const struct bytes *b = value;
        return size_counted(row, b->ptr == NULL ? -1 : (int64_t)b->n, 4, version, is_flexible);
    }
    case PROTO_RECORDS: {
        const struct slices *s = value;
        if (s->bytes > INT32_MAX)
            return E_INVALID;
        return size_counted(row, s->v == NULL ? -1 : (int64_t)s->bytes, 4, version, is_flexible);
    }
    case PROTO_STRUCT: return size_struct(row->sub, value, version, is_flexible);
    case PROTO_STRUCT_PTR: return size_struct_ptr(row, value, version, is_flexible);
    default:
        return row->kind < PROTO_ARRAY ? scalar_size(row->kind)
                                       : size_array(row, value, version, is_flexible);
    }
}

static int64_t size_tags(const struct proto_struct *type, const uint8_t *base, uint8_t version)
{
    int64_t sum = 0;
    uint32_t tags_n = 0;
    for (uint32_t i = type->plain_n; i < type->rows_n; i++) {
        const struct proto_row *row = &type->rows[i];
        if (!proto_row_is_live(row, version) || size_is_default(type, row, base))
            continue;
        int64_t size = size_field(row, base + row->offset, version, true);
        if (size < 0)
            return size;
        tags_n++;
        sum += uvarint_bytes(row->tag) + uvarint_bytes((uint64_t)size) + size;
    }
    return sum + uvarint_bytes(tags_n);
}

static int64_t size_struct(const struct proto_struct *type, const uint8_t *base, uint8_t version,
                           bool is_flexible)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < type->plain_n; i++) {
        const struct proto_row *row = &type->rows[i];
        if (!proto_row_is_live(row, version))
            continue;
        int64_t size = size_field(row, base + row->offset, version, is_flexible);
        if (size < 0)
            return size;
        sum += size;
    }
    if (!is_flexible)
        return sum;
    int64_t tags = size_tags(type, base, version);
    return tags < 0 ? tags : sum + tags;
}

int64_t proto_size(const struct proto_message *m, int16_t version, const void *value)
{
    if (version < m->version_min || version > m->version_max)
        return E_UNSUPPORTED;
    return size_struct(m->fields, value, (uint8_t)version, proto_is_flexible(m, version));
}

/* ── defaults ── */

static bool size_struct_is_default(const struct proto_struct *type, const uint8_t *base)
{
    for (uint32_t i = 0; i < type->rows_n; i++)
        if (!size_is_default(type, &type->rows[i], base))
            return false;
    return true;
}

/* Null and empty differ; two nulls and two empties do not. */
static bool size_pointer_is_like(const uint8_t *value, const uint8_t *standard)
{
    const void *a, *b;
    memcpy(&a, value, sizeof a);
    memcpy(&b, standard, sizeof b);
    return (a == NULL) == (b == NULL);
}

/* The default is null, or a struct that is there with all its fields at their defaults. */
static bool size_struct_ptr_is_default(const struct proto_row *row, const uint8_t *value,
                                       const uint8_t *standard)
{
    const uint8_t *base;
    memcpy(&base, value, sizeof base);
    return size_pointer_is_like(value, standard) &&
           (base == NULL || size_struct_is_default(row->sub, base));
}

bool size_is_default(const struct proto_struct *type, const struct proto_row *row,
                     const uint8_t *base)
{
    static const uint8_t zeros[sizeof(struct slices)];
    const uint8_t *value = base + row->offset;
    const uint8_t *standard =
        type->defaults == NULL ? zeros : (const uint8_t *)type->defaults + row->offset;
    switch (row->kind) {
    case PROTO_STRING:
    case PROTO_STRING_CLASSIC:
    case PROTO_BYTES:
        return ((const struct bytes *)(const void *)value)->n == 0 &&
               size_pointer_is_like(value, standard);
    case PROTO_RECORDS:
        return ((const struct slices *)(const void *)value)->bytes == 0 &&
               size_pointer_is_like(value, standard);
    case PROTO_STRUCT:
        /* The outer default holds the inner one: nearly always the memory is the same. */
        return (type->defaults != NULL && memcmp(value, standard, row->sub->size) == 0) ||
               size_struct_is_default(row->sub, value);
    case PROTO_STRUCT_PTR: return size_struct_ptr_is_default(row, value, standard);
    default:
        if (row->kind < PROTO_ARRAY)
            return memcmp(value, standard, scalar_size(row->kind)) == 0;
        /* The default count is 0 or -1, and no value with elements has either. */
        return memcmp(value + PROTO_COUNT_AT, standard + PROTO_COUNT_AT, sizeof(int32_t)) == 0;
    }
}
