/*
 * decode.c - bytes -> structs: one interpreter over the generated rows, two instances.
 *
 * Owner: request. Values are views into the input; arrays and what straddles slices come from the
 * arena.
 *
 * Hostile input: a length is compared with the bytes left before anything is allocated, an array's
 * count times the fewest bytes an element can take as well; what an array takes in memory is
 * bounded by the arena, the number of all elements by proto_in.elements_left. Depth is the
 * schema's. So a message of n bytes costs O(n) time and at most the arena's bound of memory.
 *
 * It does not check what values mean, and bytes after the message are the caller's.
 *
 * Sources: Kafka protocol guide, KIP-482.
 */
#include "cursor.h"
#include "hot.h"

static const struct proto_row decode_row_never_null = {.null_min = 255};

static int decode_scalars(struct cursor *c, uint32_t kind, uint8_t *to, int64_t n)
{
    uint32_t size = scalar_size(kind);
    for (int64_t i = 0; i < n; i++, to += size) {
        const uint8_t *p = cursor_take(c, size);
        if (p == NULL)
            return c->rc;
        copy_swap(to, p, size);
    }
    return 0;
}

/* The row of a tag in this version; NULL when there is none. Few rows: a scan. */
static const struct proto_row *decode_tag_row(const struct proto_struct *type, int64_t tag,
                                              uint8_t version)
{
    for (uint32_t i = type->plain_n; i < type->rows_n; i++)
        if (type->rows[i].tag == tag && proto_row_is_live(&type->rows[i], version))
            return &type->rows[i];
    return NULL;
}

static int decode_string_classic(struct cursor *c, const struct proto_row *row, struct bytes *to);

#define FLEXIBLE 0
#define F(name)  name##_classic_body
#include "decode_body.inc"
#undef FLEXIBLE
#undef F

#define FLEXIBLE 1
#define F(name)  name##_flexible_body
#include "decode_body.inc"
#undef FLEXIBLE
#undef F

static int decode_string_classic(struct cursor *c, const struct proto_row *row, struct bytes *to)
{
    return decode_string_classic_body(c, row, to);
}

/* By the straight-line codec, when the message is one it takes; false: nothing has happened. */
static bool decode_hot(const struct proto_message *m, int16_t version, struct proto_in *in,
                       void *out)
{
    if (in->at.i >= in->from->n)
        return false;
    const struct slice *s = &in->from->v[in->at.i];
    const uint8_t *begin = s->ptr + in->at.at;
    if (s->n - in->at.at < in->left)
        return false;
    struct hot_in h = {begin + in->left, in->arena, s->owner, in->elements_left};
    const uint8_t *p = m->hot->get(&h, begin, out, (uint8_t)version);
    if (unlikely(p == NULL))
        return false;
    in->left -= (uint64_t)(p - begin);
    in->elements_left = h.elements_left;
    in->at.at += (uint32_t)(p - begin);
    if (in->at.at == s->n)
        in->at = (struct slices_at){in->at.i + 1, 0};
    return true;
}

int proto_decode(const struct proto_message *m, int16_t version, struct proto_in *in, void *out)
{
    if (version < m->version_min || version > m->version_max)
        return E_UNSUPPORTED;
    if (m->hot != NULL && m->hot->get != NULL && decode_hot(m, version, in, out))
        return 0;
    struct cursor c;
    if (m->fields->defaults != NULL)
        memcpy(out, m->fields->defaults, m->size);
    else
        memset(out, 0, m->size);
    cursor_open(&c, in, version);
    int rc = proto_is_flexible(m, version) ? decode_struct_flexible_body(&c, m->fields, out)
                                           : decode_struct_classic_body(&c, m->fields, out);
    cursor_close(&c);
    return rc;
}

int proto_decode_flat(const struct proto_message *m, int16_t version, struct bytes from,
                      struct arena *arena, void *out, uint32_t *used)
{
    struct slice slice = {from.ptr, from.n, NULL};
    struct slices slices = {&slice, 1, from.n};
    struct proto_in in;
    proto_in_init(&in, &slices, arena);
    int rc = proto_decode(m, version, &in, out);
    if (rc == 0 && used != NULL)
        *used = (uint32_t)(from.n - in.left);
    return rc;
}

/* ── headers ── */

/* The header of a request that lies in one piece, has a short client id or none, and no tags:
 * nearly every one. False: nothing has happened. */
static bool decode_header_hot(struct proto_in *in, struct proto_header *header)
{
    enum { FIXED = 10 };
    const struct slice *s = &in->from->v[in->at.i];
    if (in->at.i >= in->from->n || s->n - in->at.at < in->left || in->left < FIXED + 1)
        return false;
    const uint8_t *p = s->ptr + in->at.at;
    const struct proto_message *m = proto_request(load_i16(p));
    int16_t version = load_i16(p + 2), n = load_i16(p + 8);
    if (m == NULL || version < m->version_min || version > m->version_max)
        return false;
    uint32_t id_n = n < 0 ? 0 : (uint32_t)n, tags_n = proto_is_flexible(m, version);
    if (FIXED + id_n + tags_n >= in->left || (tags_n > 0 && p[FIXED + id_n] != 0))
        return false;
    *header =
        (struct proto_header){m->api_key, version, load_i32(p + 4),
                              n < 0 ? (struct bytes){NULL, 0} : (struct bytes){p + FIXED, id_n}};
    in->left -= FIXED + id_n + tags_n;
    in->at.at += FIXED + id_n + tags_n; /* not its end: a byte of the body is left */
    return true;
}

int proto_decode_header(struct proto_in *in, struct proto_header *header)
{
    struct cursor c;
    if (likely(decode_header_hot(in, header)))
        return 0;
    *header = (struct proto_header){.api_key = -1};
    cursor_open(&c, in, 0);
    const uint8_t *p = cursor_take(&c, 8);
    int rc = c.rc;
    if (p == NULL)
        goto close;
    header->api_key = load_i16(p);
    header->api_version = load_i16(p + 2);
    header->correlation_id = load_i32(p + 4);
    const struct proto_message *m = proto_request(header->api_key);
    if (m == NULL || header->api_version < m->version_min || header->api_version > m->version_max) {
        rc = E_UNSUPPORTED;
        goto close;
    }
    /* Trap 32: the client id has a two-byte length in the flexible header, too. */
    static const struct proto_row nullable = {.null_min = 0, .null_span = 255};
    rc = decode_string_classic(&c, &nullable, &header->client_id);
    if (rc == 0 && proto_is_flexible(m, header->api_version))
        rc = cursor_skip_tags(&c);
close:
    cursor_close(&c);
    return rc;
}

int proto_decode_response_header(struct proto_in *in, int16_t api_key, int16_t version,
                                 int32_t *correlation_id)
{
    const struct proto_message *m = proto_response(api_key);
    if (m == NULL || version < m->version_min || version > m->version_max)
        return E_UNSUPPORTED;
    struct cursor c;
    cursor_open(&c, in, 0);
    const uint8_t *p = cursor_take(&c, 4);
    int rc = c.rc;
    if (p != NULL) {
        *correlation_id = load_i32(p);
        if (proto_response_header_is_flexible(m, version))
            rc = cursor_skip_tags(&c);
    }
    cursor_close(&c);
    return rc;
}
