/*
 * slice.h - how bytes travel between layers without being copied: a view and who must hear when it
 * is done.
 *
 * Owner: a slice belongs to one holder at a time; passing it on passes its reference.
 *
 * Up (connection to request): a received frame is a list of slices in order; the owner behind each
 * is a packet, a socket receive buffer, a staging page or decrypted bytes. Down (answer to
 * connection): the encoded parts stand in pages, the record bytes are slices of log pages. Neither
 * side can name the other's kind of memory.
 *
 * References are plain integers: slice_owner.refs is touched only by the thread that made the
 * owner. A slice lent to another thread (an append at its home worker, record bytes of a remote
 * home) is covered by the operation that carries it and comes back with it by mail.
 */
#ifndef MILLRACE_SLICE_H
#define MILLRACE_SLICE_H

#include "base.h"
#include "check.h"

/* Owner: the thread that made it. */
struct slice_owner {
    uint32_t refs;
    void (*release)(struct slice_owner *owner); /* called on the owner's thread at the last put */
};

struct slice {
    const uint8_t *ptr;
    uint32_t n;
    struct slice_owner
        *owner; /* NULL: memory that outlives every slice (static, arena of the request) */
};

static inline void slice_get(const struct slice *s)
{
    if (s->owner != NULL) {
        check(s->owner->refs > 0);
        s->owner->refs++;
    }
}

static inline void slice_put(struct slice *s)
{
    struct slice_owner *owner = s->owner;
    *s = (struct slice){NULL, 0, NULL};
    if (owner == NULL)
        return;
    check(owner->refs > 0);
    if (--owner->refs == 0)
        owner->release(owner);
}

/* A run of bytes made of slices, in order; v is the holder's array. Owner: the holder. */
struct slices {
    struct slice *v;
    uint32_t n;
    uint64_t bytes; /* sum of v[i].n */
};

/* A place in a run of slices. `at` < v[i].n, or i == n at the end. */
struct slices_at {
    uint32_t i;
    uint32_t at;
};

/* Copies n bytes from place `p` on and moves it; the caller has checked that they are there. */
static inline void slices_copy(const struct slices *s, struct slices_at *p, void *to, uint64_t n)
{
    uint8_t *out = to;
    while (n > 0) {
        check(p->i < s->n);
        uint64_t part = min_u64(n, s->v[p->i].n - p->at);
        memcpy(out, s->v[p->i].ptr + p->at, part);
        out += part;
        n -= part;
        p->at += (uint32_t)part;
        if (p->at == s->v[p->i].n)
            *p = (struct slices_at){p->i + 1, 0};
    }
}

/* Moves place `p` by n bytes. */
static inline void slices_skip(const struct slices *s, struct slices_at *p, uint64_t n)
{
    while (n > 0) {
        check(p->i < s->n);
        uint64_t part = min_u64(n, s->v[p->i].n - p->at);
        n -= part;
        p->at += (uint32_t)part;
        if (p->at == s->v[p->i].n)
            *p = (struct slices_at){p->i + 1, 0};
    }
}

static inline void slices_put_all(struct slices *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        slice_put(&s->v[i]);
    s->n = 0;
    s->bytes = 0;
}

#endif
