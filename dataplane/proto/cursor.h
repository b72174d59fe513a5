/*
 * cursor.h - reading forward through a run of slices: the only place of the codec that knows about
 * slices.
 *
 * Owner: request. Lives on the stack for one decode; proto_in holds its place between calls.
 *
 * [p, end) is what is left of the current slice, `rest` what stands in later ones, both within the
 * message. Almost every take is a compare and an add. What straddles two slices is gathered: fixed
 * values into `scratch` (read at once), views (strings, bytes) into the arena, because they outlive
 * the call.
 *
 * A take returns NULL on failure and says why in `rc`; nothing is allocated before the length was
 * compared with the bytes left.
 */
#ifndef MILLRACE_PROTO_CURSOR_H
#define MILLRACE_PROTO_CURSOR_H

#include "proto.h"

/* Owner: request. */
struct cursor {
    const uint8_t *p, *end;
    uint64_t rest;
    struct proto_in *in; /* in->at.i is the current slice while the cursor is open */
    int rc;
    uint8_t version;
    uint8_t scratch[16];
};

void cursor_open(struct cursor *c, struct proto_in *in, int16_t version);
void cursor_close(struct cursor *c);
const uint8_t *cursor_take_slow(struct cursor *c, uint64_t n, bool is_view);
int64_t cursor_uvarint_slow(struct cursor *c);
int cursor_skip(struct cursor *c, uint64_t n);
int cursor_slices_slow(struct cursor *c, uint64_t n, struct slices *to);
/* Steps over a tag section. */
int cursor_skip_tags(struct cursor *c);

static inline uint64_t cursor_left(const struct cursor *c)
{
    return (uint64_t)(c->end - c->p) + c->rest;
}

/* n <= 16 bytes that are read before the next take. */
static inline const uint8_t *cursor_take(struct cursor *c, uint64_t n)
{
    const uint8_t *p = c->p;
    if (unlikely(n > (uint64_t)(c->end - p)))
        return cursor_take_slow(c, n, false);
    c->p = p + n;
    return p;
}

/* n bytes that stay where they are as long as the input and the arena. */
static inline const uint8_t *cursor_view(struct cursor *c, uint64_t n)
{
    const uint8_t *p = c->p;
    if (unlikely(n > (uint64_t)(c->end - p)))
        return cursor_take_slow(c, n, true);
    c->p = p + n;
    return p;
}

/* The next n bytes as slices: their owners are named, no reference is taken. */
static inline int cursor_slices(struct cursor *c, uint64_t n, struct slices *to)
{
    if (unlikely(n == 0 || n > (uint64_t)(c->end - c->p)))
        return cursor_slices_slow(c, n, to);
    struct slice *v = arena_alloc_raw(c->in->arena, sizeof *v);
    if (unlikely(v == NULL))
        return E_NO_MEMORY;
    *v = (struct slice){c->p, (uint32_t)n, c->in->from->v[c->in->at.i].owner};
    *to = (struct slices){v, 1, n};
    c->p += n;
    return 0;
}

/* An unsigned varint of at most 31 bits; a negative error otherwise. */
static inline int64_t cursor_uvarint(struct cursor *c)
{
    if (likely(c->p < c->end && *c->p < 0x80))
        return *c->p++;
    return cursor_uvarint_slow(c);
}

#endif
