/*
 * decode_body.h - the decoder, included twice by decode.c: with FLEXIBLE 0 (classic) and 1 (KIP-482).
 *
 * Owner: request. No include guard on purpose. F(name) gives each instance its own names; `if (FLEXIBLE)` is
 * decided by the compiler, so neither instance pays for the other.
 *
 * Lengths: classic strings int16, classic bytes, records and arrays int32, -1 for null; flexible all of them
 * uvarint of length + 1, 0 for null.
 */

/* A string's, bytes' or array's length; any negative number is null where the row allows null, as in Apache
 * Kafka; otherwise the error is in c->rc and *length is not to be used. */
static inline bool F(decode_length)(struct cursor *c, const struct proto_row *row, bool is_short, int64_t *length)
{
    int64_t n;
    if (FLEXIBLE) {
        n = cursor_uvarint(c);
        if (unlikely(n < 0)) {
            c->rc = (int)n;
            return false;
        }
        n--;
    } else {
        const uint8_t *p = cursor_take(c, is_short ? 2 : 4);
        if (unlikely(p == NULL))
            return false;
        n = is_short ? load_i16(p) : load_i32(p);
    }
    *length = n;
    if (likely(n >= 0) || proto_row_is_nullable(row, c->version))
        return true;
    c->rc = E_MALFORMED;
    return false;
}

static inline int F(decode_string)(struct cursor *c, const struct proto_row *row, struct bytes *to)
{
    int64_t n;
    if (!F(decode_length)(c, row, true, &n))
        return c->rc;
    if (n < 0) {
        *to = (struct bytes){NULL, 0};
        return 0;
    }
    if (unlikely(n > PROTO_STRING_MAX))
        return E_MALFORMED;
    const uint8_t *p = cursor_view(c, (uint64_t)n);
    *to = (struct bytes){p, (uint32_t)n};
    return likely(p != NULL) ? 0 : c->rc;
}

static int F(decode_bytes)(struct cursor *c, const struct proto_row *row, struct bytes *to)
{
    int64_t n;
    if (!F(decode_length)(c, row, false, &n))
        return c->rc;
    if (n < 0) {
        *to = (struct bytes){NULL, 0};
        return 0;
    }
    const uint8_t *p = cursor_view(c, (uint64_t)n);
    *to = (struct bytes){p, (uint32_t)n};
    return p != NULL ? 0 : c->rc;
}

static inline int F(decode_records)(struct cursor *c, const struct proto_row *row, struct slices *to)
{
    int64_t n;
    if (!F(decode_length)(c, row, false, &n))
        return c->rc;
    if (n < 0) {
        *to = (struct slices){NULL, 0, 0};
        return 0;
    }
    return cursor_slices(c, (uint64_t)n, to);
}

/* Elements are never null, so the array's own row must not be asked. */
static int F(decode_strings)(struct cursor *c, struct bytes *to, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int rc = F(decode_string)(c, &decode_row_never_null, &to[i]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int F(decode_struct)(struct cursor *c, const struct proto_struct *type, uint8_t *base);

static int F(decode_structs)(struct cursor *c, const struct proto_struct *type, uint8_t *to, int64_t n)
{
    for (int64_t i = 0; i < n; i++, to += type->size) {
        if (type->defaults != NULL)
            memcpy(to, type->defaults, type->size);
        int rc = F(decode_struct)(c, type, to);
        if (unlikely(rc != 0))
            return rc;
    }
    return 0;
}

static int F(decode_array)(struct cursor *c, const struct proto_row *row, uint8_t *to)
{
    int64_t n;
    if (!F(decode_length)(c, row, false, &n))
        return c->rc;
    void *elements = NULL;
    int32_t count = n < 0 ? -1 : (int32_t)n;
    memcpy(to, &elements, sizeof elements);
    memcpy(to + PROTO_COUNT_AT, &count, sizeof count);
    if (n <= 0)
        return 0;
    const struct proto_struct *type = row->sub;
    uint32_t kind = row->kind & (PROTO_ARRAY - 1);
    uint32_t wire_min = type == NULL ? scalar_wire_min(kind, FLEXIBLE)
                        : FLEXIBLE   ? type->wire_min_flexible
                                     : type->wire_min_classic;
    if (unlikely((uint64_t)n * wire_min > cursor_left(c)))
        return E_EOF;
    elements = arena_array(c->in->arena, (uint64_t)n, type == NULL ? scalar_size(kind) : type->size);
    if (unlikely(elements == NULL))
        return E_NO_MEMORY;
    memcpy(to, &elements, sizeof elements);
    if (type != NULL)
        return F(decode_structs)(c, type, elements, n);
    if (kind == PROTO_STRING)
        return F(decode_strings)(c, elements, n);
    return decode_scalars(c, kind, elements, n);
}

/* Null in memory where the version allows it, else always a struct. */
static int F(decode_struct_ptr)(struct cursor *c, const struct proto_row *row, uint8_t *to)
{
    void *value = NULL;
    memcpy(to, &value, sizeof value);
    if (proto_row_is_nullable(row, c->version)) {
        const uint8_t *p = cursor_take(c, 1);
        if (p == NULL)
            return c->rc;
        if ((int8_t)*p < 0)
            return 0;
    }
    value = proto_new(row->sub, c->in->arena, 1);
    if (value == NULL)
        return E_NO_MEMORY;
    memcpy(to, &value, sizeof value);
    return F(decode_struct)(c, row->sub, value);
}

static inline int F(decode_field)(struct cursor *c, const struct proto_row *row, uint8_t *to)
{
    const uint8_t *p;
    switch (row->kind) {
    case PROTO_BOOL:
        if ((p = cursor_take(c, 1)) == NULL)
            return c->rc;
        *to = *p != 0;
        return 0;
    case PROTO_I8:
        if ((p = cursor_take(c, 1)) == NULL)
            return c->rc;
        *to = *p;
        return 0;
    case PROTO_I16:
    case PROTO_U16:
        if ((p = cursor_take(c, 2)) == NULL)
            return c->rc;
        copy_swap_16(to, p);
        return 0;
    case PROTO_I32:
    case PROTO_U32:
        if ((p = cursor_take(c, 4)) == NULL)
            return c->rc;
        copy_swap_32(to, p);
        return 0;
    case PROTO_I64:
    case PROTO_F64:
        if ((p = cursor_take(c, 8)) == NULL)
            return c->rc;
        copy_swap_64(to, p);
        return 0;
    case PROTO_UUID:
        if ((p = cursor_take(c, 16)) == NULL)
            return c->rc;
        memcpy(to, p, 16);
        return 0;
    case PROTO_STRING:
        return F(decode_string)(c, row, (struct bytes *)(void *)to);
    case PROTO_STRING_CLASSIC:
        return decode_string_classic(c, row, (struct bytes *)(void *)to);
    case PROTO_BYTES:
        return F(decode_bytes)(c, row, (struct bytes *)(void *)to);
    case PROTO_RECORDS:
        return F(decode_records)(c, row, (struct slices *)(void *)to);
    case PROTO_STRUCT:
        return F(decode_struct)(c, row->sub, to);
    case PROTO_STRUCT_PTR:
        return F(decode_struct_ptr)(c, row, to);
    default:
        return F(decode_array)(c, row, to);
    }
}

#if FLEXIBLE
/* Known tags are decoded and must take exactly the bytes they announce; others are skipped (trap 33). */
static int F(decode_tags)(struct cursor *c, const struct proto_struct *type, uint8_t *base)
{
    int64_t n = cursor_uvarint(c);
    for (; n > 0; n--) {
        int64_t tag = cursor_uvarint(c);
        int64_t size = tag < 0 ? tag : cursor_uvarint(c);
        uint64_t left = cursor_left(c);
        if (size < 0)
            return (int)size;
        if ((uint64_t)size > left)
            return E_EOF;
        const struct proto_row *row = decode_tag_row(type, tag, c->version);
        int rc = row == NULL ? cursor_skip(c, (uint64_t)size) : F(decode_field)(c, row, base + row->offset);
        if (rc != 0)
            return rc;
        if (left - cursor_left(c) != (uint64_t)size)
            return E_MALFORMED;
    }
    return (int)n;
}
#endif

/* `base` holds the defaults. Depth is bounded by the schemas. */
static int F(decode_struct)(struct cursor *c, const struct proto_struct *type, uint8_t *base)
{
    const struct proto_row *row = type->rows, *end = row + type->plain_n;
    for (; row < end; row++) {
        if (!proto_row_is_live(row, c->version))
            continue;
        int rc = F(decode_field)(c, row, base + row->offset);
        if (unlikely(rc != 0))
            return rc;
    }
#if FLEXIBLE
    if (likely(c->p < c->end && *c->p == 0)) { /* no tags: nearly always */
        c->p++;
        return 0;
    }
    return F(decode_tags)(c, type, base);
#else
    return 0;
#endif
}
