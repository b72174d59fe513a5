/*
 * cursor.c - the slow paths of the cursor: values that straddle slices, long varints, skipping.
 *
 * Owner: request. See cursor.h.
 */
#include "cursor.h"

static const uint8_t cursor_nothing[1];

void cursor_open(struct cursor *c, struct proto_in *in, int16_t version)
{
    check(version >= 0 && version <= UINT8_MAX - 1);
    c->in = in;
    c->rc = 0;
    c->version = (uint8_t)version;
    c->p = c->end = cursor_nothing;
    c->rest = in->left;
    if (in->at.i >= in->from->n) {
        check(in->left == 0);
        return;
    }
    const struct slice *s = &in->from->v[in->at.i];
    uint64_t n = min_u64(s->n - in->at.at, in->left);
    if (n == 0)
        return;
    c->p = s->ptr + in->at.at;
    c->end = c->p + n;
    c->rest = in->left - n;
}

/* Leaves the place in c->in, ready for another open. */
void cursor_close(struct cursor *c)
{
    struct proto_in *in = c->in;
    in->left = cursor_left(c);
    if (in->at.i >= in->from->n)
        return;
    const struct slice *s = &in->from->v[in->at.i];
    if (c->p != cursor_nothing)
        in->at.at = (uint32_t)(c->p - s->ptr);
    if (in->at.at == s->n)
        in->at = (struct slices_at){in->at.i + 1, 0};
}

/* The current slice is used up and bytes are left: goes to the next slice that has any. */
static void cursor_next(struct cursor *c)
{
    const struct slices *from = c->in->from;
    struct slices_at *at = &c->in->at;
    check(c->p == c->end && c->rest > 0);
    do {
        *at = (struct slices_at){at->i + 1, 0};
        check(at->i < from->n);
    } while (from->v[at->i].n == 0);
    uint64_t n = min_u64(from->v[at->i].n, c->rest);
    c->p = from->v[at->i].ptr;
    c->end = c->p + n;
    c->rest -= n;
}

const uint8_t *cursor_take_slow(struct cursor *c, uint64_t n, bool is_view)
{
    if (n > cursor_left(c)) {
        c->rc = E_EOF;
        return NULL;
    }
    if (c->p == c->end)
        cursor_next(c);
    if (n <= (uint64_t)(c->end - c->p)) {
        c->p += n;
        return c->p - n;
    }
    check(is_view || n <= sizeof c->scratch);
    uint8_t *to = is_view ? arena_alloc_raw(c->in->arena, n) : c->scratch;
    if (to == NULL) {
        c->rc = E_NO_MEMORY;
        return NULL;
    }
    for (uint64_t done = 0; done < n;) {
        if (c->p == c->end)
            cursor_next(c);
        uint64_t part = min_u64(n - done, (uint64_t)(c->end - c->p));
        memcpy(to + done, c->p, part);
        c->p += part;
        done += part;
    }
    return to;
}

int64_t cursor_uvarint_slow(struct cursor *c)
{
    if (c->end - c->p >= 2 && c->p[1] < 0x80) {
        c->p += 2;
        return (c->p[-2] & 0x7f) | c->p[-1] << 7;
    }
    uint64_t v = 0;
    for (int i = 0; i < 5; i++) {
        const uint8_t *p = cursor_take(c, 1);
        if (p == NULL)
            return c->rc;
        v |= (uint64_t)(*p & 0x7f) << (7 * i);
        if (*p < 0x80)
            return v <= INT32_MAX ? (int64_t)v : E_MALFORMED;
    }
    return E_MALFORMED;
}

int cursor_skip(struct cursor *c, uint64_t n)
{
    if (n > cursor_left(c))
        return E_EOF;
    while (n > 0) {
        if (c->p == c->end)
            cursor_next(c);
        uint64_t part = min_u64(n, (uint64_t)(c->end - c->p));
        c->p += part;
        n -= part;
    }
    return 0;
}

/* How many slices the next n bytes stand in; they are there. */
static uint32_t cursor_slices_count(const struct cursor *c, uint64_t n)
{
    uint64_t here = (uint64_t)(c->end - c->p);
    uint32_t slices_n = here > 0;
    for (uint32_t i = c->in->at.i + 1; here < n; i++) {
        check(i < c->in->from->n);
        here += c->in->from->v[i].n;
        slices_n += c->in->from->v[i].n > 0;
    }
    return slices_n;
}

int cursor_slices_slow(struct cursor *c, uint64_t n, struct slices *to)
{
    if (n > cursor_left(c))
        return E_EOF;
    uint32_t slices_n = cursor_slices_count(c, n);
    struct slice *v = arena_alloc_raw(c->in->arena, slices_n * sizeof *v);
    if (v == NULL)
        return E_NO_MEMORY;
    *to = (struct slices){v, 0, n};
    while (n > 0) {
        if (c->p == c->end)
            cursor_next(c);
        uint64_t part = min_u64(n, (uint64_t)(c->end - c->p));
        check(to->n < slices_n);
        v[to->n++] = (struct slice){c->p, (uint32_t)part, c->in->from->v[c->in->at.i].owner};
        c->p += part;
        n -= part;
    }
    return 0;
}

int cursor_skip_tags(struct cursor *c)
{
    int64_t n = cursor_uvarint(c);
    if (n < 0)
        return (int)n;
    for (; n > 0; n--) {
        int64_t tag = cursor_uvarint(c);
        int64_t size = tag < 0 ? tag : cursor_uvarint(c);
        if (size < 0)
            return (int)size;
        int rc = cursor_skip(c, (uint64_t)size);
        if (rc != 0)
            return rc;
    }
    return 0;
}
