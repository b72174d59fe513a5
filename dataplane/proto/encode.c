/*
 * encode.c - structs -> bytes: a walk over the generated rows that can stop after any field and go
 * on later.
 *
 * Owner: the caller's struct proto_out. The walk's stack is o->frames, not the C stack, so a turn
 * can end in the middle of an answer. Bytes go into chunks of the arena, which become slices; the
 * slices of `records` are linked in between. A flat encoding is the same walk into one piece of
 * memory.
 *
 *   proto_encode_more
 *     encode_walk          the top frame, until none is left
 *       encode_struct      plain fields, then tags, of a struct and of the elements after it
 *         encode_field     writes a leaf, or pushes a frame for a struct or an array
 *       encode_scalars     the elements of an array of scalars
 *
 * Invariants: (1) bytes of [begin, at) are not in o->out yet; everything earlier is; (2) frames
 * below the top have their field_at behind the field that pushed the frame above.
 *
 * The walk exists twice (classic and flexible), by inlining with a constant. Messages with a
 * straight-line codec (hot.h) are tried by that first: proto_encode_response_now.
 *
 * Sources: Kafka protocol guide, KIP-482.
 */
#include "hot.h"
#include "size.h"

enum {
    ENCODE_ROOM_MAX = 128,  /* the most one step asks for in one piece */
    ENCODE_CHUNK_MIN = 256, /* the first chunk; later ones as large as what is written so far */
    ENCODE_CHUNK_MAX = 32768,
    ENCODE_SLICES_MIN = 4,
    ENCODE_KEPT_MAX = 1024,
    ENCODE_SCALARS_PER_UNIT = 8,  /* array elements that cost one unit of the budget */
    ENCODE_BYTES_PER_UNIT = 1024, /* copied bytes that cost one more */
    ENCODE_PUSHED = 1,            /* a frame was pushed: look at the top again */
};
static_assert(ENCODE_ROOM_MAX >= ENCODE_SCALARS_PER_UNIT * sizeof(struct uuid),
              "a step of scalars fits");

/* ── output ── */

static int encode_slice_push(struct proto_out *o, struct slice s)
{
    if (o->out.n == o->out_max) {
        uint32_t max = o->out_max == 0 ? ENCODE_SLICES_MIN : o->out_max * 2;
        struct slice *v = arena_alloc_raw(o->arena, (uint64_t)max * sizeof *v);
        if (v == NULL)
            return E_NO_MEMORY;
        if (o->out.n > 0)
            memcpy(v, o->out.v, o->out.n * sizeof *v);
        o->out.v = v;
        o->out_max = max;
    }
    o->out.v[o->out.n++] = s;
    o->out.bytes += s.n;
    return 0;
}

/* Ends the slice being written; the next one begins right behind it. */
static int encode_slice_close(struct proto_out *o)
{
    if (o->at == o->begin)
        return 0;
    int rc = encode_slice_push(o, (struct slice){o->begin, (uint32_t)(o->at - o->begin), NULL});
    if (rc == 0)
        o->begin = o->at;
    return rc;
}

/* Takes the next chunk. One that follows the last without a gap continues the same slice. */
static noinline int encode_chunk(struct proto_out *o)
{
    struct arena *a = o->arena;
    if (a == NULL)
        return E_INVALID;
    uint64_t written = o->out.bytes + (uint64_t)(o->at - o->begin);
    uint64_t size = min_u64(max_u64(written, ENCODE_CHUNK_MIN), ENCODE_CHUNK_MAX);
    uint64_t here = align_down((uint64_t)(a->end - a->at), ARENA_ALIGN);
    if (here >= ENCODE_ROOM_MAX)
        size = min_u64(size, here);
    size = align_up(size, ARENA_ALIGN);
    uint8_t *p = arena_alloc_raw(a, size);
    if (p == NULL)
        return E_NO_MEMORY;
    if (p != o->end || o->begin == NULL) {
        int rc = encode_slice_close(o);
        if (rc != 0)
            return rc;
        o->begin = o->at = p;
    }
    o->end = p + size;
    return 0;
}

/* Room for n <= ENCODE_ROOM_MAX bytes at o->at; false: o->rc says why. */
static always_inline bool encode_room(struct proto_out *o, uint32_t n)
{
    if (likely(n <= (uint64_t)(o->end - o->at)))
        return true;
    int rc = encode_chunk(o);
    if (rc != 0)
        o->rc = rc;
    return rc == 0;
}

static noinline bool encode_copy(struct proto_out *o, const uint8_t *p, uint64_t n)
{
    while (n > 0) {
        if (o->at == o->end && !encode_room(o, 1))
            return false;
        uint64_t part = min_u64(n, (uint64_t)(o->end - o->at));
        memcpy(o->at, p, part);
        o->at += part;
        p += part;
        n -= part;
    }
    return true;
}

/* Everything is written: closes the last slice, gives the rest of the chunk back, fills the length
 * in front. */
static int encode_finish(struct proto_out *o)
{
    if (o->arena == NULL)
        return 0;
    int rc = encode_slice_close(o);
    if (rc != 0)
        return rc;
    if (o->arena->at == o->end)
        o->arena->at = o->end - align_down((uint64_t)(o->end - o->at), ARENA_ALIGN);
    if (o->out.bytes - 4 > INT32_MAX)
        return E_TOO_LARGE;
    store_u32(o->length_at, (uint32_t)(o->out.bytes - 4));
    return 0;
}

/* ── fields ── */

static always_inline bool encode_uvarint(struct proto_out *o, uint64_t v)
{
    if (!encode_room(o, likely(v < 0x80) ? 1 : (uint32_t)uvarint_bytes(v)))
        return false;
    if (likely(v < 0x80))
        *o->at++ = (uint8_t)v;
    else
        o->at += store_uvarint(o->at, v);
    return true;
}

/* The length in front of n bytes or elements; n is -1 for null. */
static always_inline bool encode_length(struct proto_out *o, int64_t n, uint32_t classic,
                                        const bool flexible)
{
    if (flexible)
        return encode_uvarint(o, (uint64_t)(n + 1));
    if (!encode_room(o, classic))
        return false;
    if (classic == 2)
        store_u16(o->at, (uint16_t)n);
    else
        store_u32(o->at, (uint32_t)n);
    o->at += classic;
    return true;
}

static inline int encode_null_check(const struct proto_out *o, const struct proto_row *row,
                                    int64_t n)
{
    return n >= 0 || proto_row_is_nullable(row, (uint8_t)o->version) ? 0 : E_INVALID;
}

static always_inline int encode_bytes(struct proto_out *o, const struct bytes *b, uint32_t classic,
                                      const bool flexible)
{
    if (!encode_length(o, b->ptr == NULL ? -1 : (int64_t)b->n, classic, flexible))
        return o->rc;
    if (b->ptr == NULL)
        return 0;
    if (unlikely(b->n >= ENCODE_BYTES_PER_UNIT))
        o->budget -= (uint32_t)min_u64(o->budget, b->n / ENCODE_BYTES_PER_UNIT);
    if (likely(b->n <= (uint64_t)(o->end - o->at))) {
        memcpy(o->at, b->ptr, b->n);
        o->at += b->n;
        return 0;
    }
    return encode_copy(o, b->ptr, b->n) ? 0 : o->rc;
}

static always_inline int encode_string(struct proto_out *o, const struct proto_row *row,
                                       const struct bytes *s, const bool flexible)
{
    if (unlikely(s->n > PROTO_STRING_MAX ||
                 encode_null_check(o, row, s->ptr == NULL ? -1 : 0) != 0))
        return E_INVALID;
    return encode_bytes(o, s, 2, flexible);
}

static noinline int encode_bytes_field(struct proto_out *o, const struct proto_row *row,
                                       const struct bytes *b, bool flexible)
{
    if (encode_null_check(o, row, b->ptr == NULL ? -1 : 0) != 0 || b->n > INT32_MAX)
        return E_INVALID;
    return flexible ? encode_bytes(o, b, 4, true) : encode_bytes(o, b, 4, false);
}

static noinline int encode_records(struct proto_out *o, const struct proto_row *row,
                                   const struct slices *s, const bool flexible)
{
    int64_t n = s->v == NULL ? -1 : (int64_t)s->bytes;
    if (n > INT32_MAX || encode_null_check(o, row, n) != 0)
        return E_INVALID;
    if (!encode_length(o, n, 4, flexible))
        return o->rc;
    if (n > 0 && o->arena != NULL) {
        int rc = encode_slice_close(o);
        if (rc != 0)
            return rc;
    }
    for (uint32_t i = 0; n > 0 && i < s->n; i++) {
        if (s->v[i].n == 0)
            continue;
        if (o->arena == NULL) {
            if (!encode_copy(o, s->v[i].ptr, s->v[i].n))
                return o->rc;
        } else {
            int rc = encode_slice_push(o, s->v[i]);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

static always_inline int encode_push(struct proto_out *o, const struct proto_struct *type,
                                     const void *base, uint32_t n, uint32_t kind)
{
    check(o->depth < PROTO_DEPTH_MAX && n > 0);
    o->frames[o->depth++] = (struct proto_frame){type, base, n - 1, kind, false};
    return ENCODE_PUSHED;
}

static always_inline int encode_array(struct proto_out *o, const struct proto_row *row,
                                      const uint8_t *value, const bool flexible)
{
    const uint8_t *elements;
    int32_t n;
    memcpy(&elements, value, sizeof elements);
    memcpy(&n, value + PROTO_COUNT_AT, sizeof n);
    check(elements != NULL || n <= 0);
    if (unlikely(encode_null_check(o, row, n) != 0))
        return E_INVALID;
    if (!encode_length(o, n < 0 ? -1 : n, 4, flexible))
        return o->rc;
    if (n <= 0)
        return 0;
    return encode_push(o, row->sub, elements, (uint32_t)n,
                       row->sub != NULL ? 0 : row->kind & (PROTO_ARRAY - 1));
}

static noinline int encode_struct_ptr(struct proto_out *o, const struct proto_row *row,
                                      const uint8_t *value)
{
    const void *base;
    memcpy(&base, value, sizeof base);
    if (encode_null_check(o, row, base == NULL ? -1 : 0) != 0)
        return E_INVALID;
    if (proto_row_is_nullable(row, (uint8_t)o->version)) {
        if (!encode_room(o, 1))
            return o->rc;
        *o->at++ = base == NULL ? proto_row_null_byte(row) : 1;
    }
    return base == NULL ? 0 : encode_push(o, row->sub, base, 1, 0);
}

/* n bytes of room, or the error; the caller writes at o->at - n. */
static always_inline int encode_take(struct proto_out *o, uint32_t n)
{
    if (unlikely(!encode_room(o, n)))
        return o->rc;
    o->at += n;
    return 0;
}

static always_inline int encode_field(struct proto_out *o, const struct proto_row *row,
                                      const uint8_t *value, const bool flexible)
{
    int rc;
    switch (row->kind) {
    case PROTO_BOOL:
    case PROTO_I8:
        if ((rc = encode_take(o, 1)) == 0)
            o->at[-1] = *value;
        return rc;
    case PROTO_I16:
    case PROTO_U16:
        if ((rc = encode_take(o, 2)) == 0)
            copy_swap_16(o->at - 2, value);
        return rc;
    case PROTO_I32:
    case PROTO_U32:
        if ((rc = encode_take(o, 4)) == 0)
            copy_swap_32(o->at - 4, value);
        return rc;
    case PROTO_I64:
    case PROTO_F64:
        if ((rc = encode_take(o, 8)) == 0)
            copy_swap_64(o->at - 8, value);
        return rc;
    case PROTO_UUID:
        if ((rc = encode_take(o, 16)) == 0)
            memcpy(o->at - 16, value, 16);
        return rc;
    case PROTO_STRING: return encode_string(o, row, (const void *)value, flexible);
    case PROTO_STRING_CLASSIC: return encode_string(o, row, (const void *)value, false);
    case PROTO_BYTES: return encode_bytes_field(o, row, (const void *)value, flexible);
    case PROTO_RECORDS: return encode_records(o, row, (const void *)value, flexible);
    case PROTO_STRUCT: return encode_push(o, row->sub, value, 1, 0);
    case PROTO_STRUCT_PTR: return encode_struct_ptr(o, row, value);
    default: return encode_array(o, row, value, flexible);
    }
}

/* ── the walk ── */

/* How many tagged fields of the struct are not at their default. Nearly always all are: then their
 * memory is that of the defaults. */
static uint32_t encode_tags_count(const struct proto_out *o, const struct proto_frame *f)
{
    const struct proto_struct *type = f->type;
    uint32_t at = type->tags_offset, n = 0;
    if (memcmp(f->base + at, (const uint8_t *)type->defaults + at, type->size - at) == 0)
        return 0;
    for (uint32_t i = type->plain_n; i < type->rows_n; i++)
        if (proto_row_is_live(&type->rows[i], (uint8_t)o->version))
            n += !size_is_default(type, &type->rows[i], f->base);
    return n;
}

/* One tagged field: tag, size, value. */
static noinline int encode_tag(struct proto_out *o, const struct proto_frame *f,
                               const struct proto_row *row)
{
    if (size_is_default(f->type, row, f->base))
        return 0;
    int64_t size = size_field(row, f->base + row->offset, (uint8_t)o->version, true);
    if (size < 0)
        return (int)size;
    if (!encode_uvarint(o, row->tag) || !encode_uvarint(o, (uint64_t)size))
        return o->rc;
    return encode_field(o, row, f->base + row->offset, true);
}

/* After the plain fields: the number of tags, then the tagged fields in their order. */
static int encode_tags(struct proto_out *o, struct proto_frame *f)
{
    const struct proto_struct *type = f->type;
    if (!f->is_tags) {
        uint32_t n = type->plain_n == type->rows_n ? 0 : encode_tags_count(o, f);
        if (!encode_uvarint(o, n))
            return o->rc;
        f->is_tags = true;
        if (n == 0)
            f->field_at = type->rows_n;
    }
    while (f->field_at < type->rows_n) {
        const struct proto_row *row = &type->rows[f->field_at];
        if (proto_row_is_live(row, (uint8_t)o->version)) {
            if (o->budget == 0)
                return E_AGAIN;
            o->budget--;
            f->field_at++;
            int rc = encode_tag(o, f, row);
            if (rc != 0)
                return rc;
        } else {
            f->field_at++;
        }
    }
    return 0;
}

/* The plain fields of one struct from f->field_at on: 0, ENCODE_PUSHED, or a negative error. They
 * are paid for together when the struct begins. */
static always_inline int encode_plain(struct proto_out *o, struct proto_frame *f,
                                      const bool flexible)
{
    const struct proto_row *rows = f->type->rows, *end = rows + f->type->plain_n;
    const uint8_t *base = f->base, version = (uint8_t)o->version;
    if (f->field_at == 0) {
        if (o->budget == 0)
            return E_AGAIN;
        o->budget -= (uint32_t)min_u64(o->budget, f->type->plain_n);
    }
    for (const struct proto_row *row = rows + f->field_at; row < end; row++) {
        if (!proto_row_is_live(row, version))
            continue;
        int rc = encode_field(o, row, base + row->offset, flexible);
        if (rc != 0) {
            f->field_at = (uint32_t)(row - rows) + 1;
            return rc;
        }
    }
    f->field_at = f->type->plain_n;
    return 0;
}

/* The rest of a struct and of the elements after it: 0 done, ENCODE_PUSHED, or a negative error. */
static always_inline int encode_struct(struct proto_out *o, struct proto_frame *f,
                                       const bool flexible)
{
    do {
        if (f->field_at < f->type->plain_n || !flexible) {
            int rc = encode_plain(o, f, flexible);
            if (rc != 0)
                return rc;
        }
        if (flexible) {
            int rc = encode_tags(o, f);
            if (rc != 0)
                return rc;
        }
        f->base += f->type->size;
        f->field_at = 0;
        f->is_tags = false;
    } while (f->elements_left-- > 0);
    return 0;
}

static noinline int encode_strings(struct proto_out *o, struct proto_frame *f, bool flexible)
{
    static const struct proto_row never_null = {.null_min = 255};
    do {
        if (o->budget == 0)
            return E_AGAIN;
        o->budget--;
        const struct bytes *s = (const void *)f->base;
        int rc = flexible ? encode_string(o, &never_null, s, true)
                          : encode_string(o, &never_null, s, false);
        if (rc != 0)
            return rc;
        f->base += sizeof(struct bytes);
    } while (f->elements_left-- > 0);
    return 0;
}

/* elements_left counts the elements after the current one, as everywhere. */
static noinline int encode_scalars(struct proto_out *o, struct proto_frame *f, bool flexible)
{
    if (f->field_at == PROTO_STRING)
        return encode_strings(o, f, flexible);
    uint32_t size = scalar_size(f->field_at);
    bool is_more = true;
    while (is_more) {
        if (o->budget == 0)
            return E_AGAIN;
        o->budget--;
        uint64_t n = min_u64((uint64_t)f->elements_left + 1, ENCODE_SCALARS_PER_UNIT);
        if (!encode_room(o, (uint32_t)n * size))
            return o->rc;
        for (uint64_t i = 0; i < n; i++, f->base += size, o->at += size)
            copy_swap(o->at, f->base, size);
        is_more = f->elements_left >= n;
        f->elements_left -= (uint32_t)n;
    }
    return 0;
}

static always_inline int encode_walk(struct proto_out *o, const bool flexible)
{
    while (o->depth > 0) {
        struct proto_frame *f = &o->frames[o->depth - 1];
        int rc = f->type != NULL ? encode_struct(o, f, flexible) : encode_scalars(o, f, flexible);
        if (rc < 0)
            return rc;
        if (rc == 0)
            o->depth--;
    }
    return 0;
}

static int encode_walk_classic(struct proto_out *o)
{
    return encode_walk(o, false);
}

static int encode_walk_flexible(struct proto_out *o)
{
    return encode_walk(o, true);
}

/* ── the straight line (hot.h) ── */

uint8_t *hot_room_more(struct proto_out *o, uint8_t *p, uint64_t n)
{
    o->at = p;
    return n > ENCODE_ROOM_MAX || encode_chunk(o) != 0 ? NULL : o->at;
}

uint8_t *hot_put_records(struct proto_out *o, uint8_t *p, const struct slices *s, bool is_flexible,
                         bool may_be_null)
{
    int64_t n = s->v == NULL ? -1 : (int64_t)s->bytes;
    if (n > INT32_MAX || (n < 0 && !may_be_null))
        return NULL;
    p = hot_put_count(p, (int32_t)n, is_flexible, true);
    if (n <= 0)
        return p;
    o->at = p;
    if (encode_slice_close(o) != 0)
        return NULL;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->v[i].n > 0 && encode_slice_push(o, s->v[i]) != 0)
            return NULL;
    return o->at;
}

int proto_encode_more(struct proto_out *o, uint32_t budget)
{
    if (o->rc != E_AGAIN)
        return o->rc;
    o->budget = budget;
    int rc = proto_is_flexible(o->message, o->version) ? encode_walk_flexible(o)
                                                       : encode_walk_classic(o);
    if (rc == 0)
        rc = encode_finish(o);
    o->rc = rc;
    if (rc != 0 && rc != E_AGAIN) /* references stay with the value */
        o->out = (struct slices){NULL, 0, 0};
    return rc;
}

/* ── beginnings ── */

/* The frames are not cleared: they are written when they are pushed. */
static always_inline void encode_set(struct proto_out *o, const struct proto_message *m,
                                     int16_t version, struct arena *arena)
{
    o->arena = arena;
    o->out = (struct slices){NULL, 0, 0};
    o->out_max = 0;
    o->begin = o->at = o->end = o->length_at = NULL;
    o->message = m;
    o->version = version;
    o->depth = 0;
    o->budget = 0;
    o->rc = E_UNSUPPORTED;
}

static int encode_begin(struct proto_out *o, const struct proto_message *m, int16_t version,
                        struct arena *arena, const void *value)
{
    encode_set(o, m, version, arena);
    if (m == NULL || version < m->version_min || version > m->version_max)
        return E_UNSUPPORTED;
    o->rc = E_AGAIN;
    encode_push(o, m->fields, value, 1, 0);
    return 0;
}

int proto_encode_response(struct proto_out *o, struct arena *arena, int16_t api_key,
                          int16_t version, int32_t correlation_id, const void *response)
{
    int rc = encode_begin(o, proto_response(api_key), version, arena, response);
    if (rc != 0)
        return rc;
    if (!encode_room(o, 9)) {
        o->rc = E_NO_MEMORY;
        return E_NO_MEMORY;
    }
    o->length_at = o->at;
    store_u32(o->at + 4, (uint32_t)correlation_id);
    o->at += 8;
    if (proto_response_header_is_flexible(o->message, version))
        *o->at++ = 0;
    return 0;
}

/* It writes into what is left of the arena's chunk and gives the rest back; a part stays free for
 * the slices of many records. */
bool proto_encode_response_now(struct proto_out *o, struct arena *arena, int16_t api_key,
                               int16_t version, int32_t correlation_id, const void *response,
                               uint32_t budget)
{
    const struct proto_message *m = proto_response(api_key);
    if (m == NULL || m->hot == NULL || version < m->version_min || version > m->version_max ||
        arena->end - arena->at < 2 * ENCODE_CHUNK_MIN)
        return false;
    uint64_t units = m->hot->units(response, budget);
    if (units > budget)
        return false;
    encode_set(o, m, version, arena);
    o->out.v = arena_alloc_raw(arena, ENCODE_SLICES_MIN * sizeof *o->out.v); /* there is room */
    o->out_max = ENCODE_SLICES_MIN;
    uint64_t room = (uint64_t)(arena->end - arena->at);
    uint8_t *p = o->begin = o->at = arena->at;
    o->end = arena->at += align_down(room - min_u64(room / 2, ENCODE_KEPT_MAX), ARENA_ALIGN);
    store_u32(p + 4, (uint32_t)correlation_id);
    p[8] = 0;
    p += proto_response_header_is_flexible(m, version) ? 9 : 8;
    o->length_at = o->begin;
    uint8_t *first = o->begin;
    p = m->hot->put(o, p, response, (uint8_t)version);
    if (likely(p != NULL)) {
        o->at = p;
        o->rc = encode_finish(o);
        o->budget = budget - (uint32_t)units;
        if (likely(o->rc == 0))
            return true;
    }
    if (arena->at == o->end && first <= o->end && o->end <= arena->end)
        arena->at = first; /* what was tried is forgotten */
    o->out = (struct slices){NULL, 0, 0};
    return false;
}

int proto_encode_request(struct proto_out *o, struct arena *arena, int16_t api_key, int16_t version,
                         int32_t correlation_id, struct bytes client_id, const void *request)
{
    int rc = encode_begin(o, proto_request(api_key), version, arena, request);
    if (rc != 0)
        return rc;
    rc = client_id.n > PROTO_STRING_MAX ? E_INVALID : 0;
    if (rc == 0 && !encode_room(o, 12))
        rc = E_NO_MEMORY;
    if (rc == 0) {
        o->length_at = o->at;
        store_u16(o->at + 4, (uint16_t)api_key);
        store_u16(o->at + 6, (uint16_t)version);
        store_u32(o->at + 8, (uint32_t)correlation_id);
        o->at += 12;
        o->rc = E_AGAIN;
        rc = encode_bytes(o, &client_id, 2, false); /* trap 32: never compact */
    }
    if (rc == 0 && proto_is_flexible(o->message, version))
        rc = encode_uvarint(o, 0) ? 0 : o->rc;
    o->rc = rc == 0 ? E_AGAIN : rc;
    return rc;
}

int proto_encode_flat(const struct proto_message *m, int16_t version, const void *value,
                      uint8_t *to, uint64_t n)
{
    struct proto_out o;
    int rc = encode_begin(&o, m, version, NULL, value);
    if (rc != 0)
        return rc;
    o.begin = o.at = to;
    o.end = to + n;
    while ((rc = proto_encode_more(&o, UINT32_MAX)) == E_AGAIN)
        continue;
    return rc == 0 && o.at != o.end ? E_INVALID : rc;
}
