/*
 * arena.h - memory for one request: grows by chunks, dies all at once.
 *
 * Owner: whoever holds the request. Two sources of chunks:
 *   pages  a worker's struct pages: only that worker grows or ends the arena (checked with own()).
 *   heap   pages == NULL: chunks from malloc. For what control builds and a worker reads and ends:
 * answers of control's requests travel with their arena by mail. The only heap use allowed after
 * boot.
 *
 * Bytes are zeroed on allocation, because decoders and encoders rely on "absent means zero".
 */
#ifndef MILLRACE_ARENA_H
#define MILLRACE_ARENA_H

#include <stdlib.h>

#include "pages.h"

enum { ARENA_ALIGN = 8 };

/* Owner: request (its holder). */
struct arena {
    struct pages *pages; /* NULL: heap                                               */
    const void *owner;   /* the thread whose pages these are; NULL with the heap     */
    struct list chunks;  /* struct page.link, or the first 16 bytes of a heap chunk  */
    uint8_t *at, *end;   /* free room of the newest chunk                            */
    uint64_t used_bytes; /* sum of chunk sizes                                       */
    uint64_t bytes_max;  /* bound on used_bytes: hostile input ends here             */
};

/* From pages, whose owner is checked at each growth, or from the heap (pages NULL). Nothing is
 * taken yet. */
static inline void arena_init(struct arena *a, struct pages *pages, const void *owner,
                              uint64_t bytes_max)
{
    *a = (struct arena){.pages = pages, .owner = owner, .bytes_max = bytes_max};
    list_init(&a->chunks);
}

/* Gives all memory back. The arena may be used again. */
static inline void arena_fini(struct arena *a)
{
    struct list *l;
    if (a->pages != NULL)
        own(a->owner);
    while ((l = list_pop(&a->chunks)) != NULL) {
        if (a->pages != NULL)
            page_put(list_entry(l, struct page, link));
        else
            free(l);
    }
    a->at = a->end = NULL;
    a->used_bytes = 0;
}

/* A fresh arena begins with a small page that its holder has in stock. */
static inline void arena_lend(struct arena *a, struct page *page)
{
    check(list_is_empty(&a->chunks) && page->size == PAGE_SMALL);
    list_push(&a->chunks, &page->link);
    a->at = page_data(page);
    a->end = a->at + PAGE_SMALL;
    a->used_bytes = PAGE_SMALL;
}

/* The only chunk of an arena that needed no more than a small page; the arena is as after
 * arena_fini. NULL: it is not one, and nothing has happened. */
static inline struct page *arena_reclaim(struct arena *a)
{
    if (a->used_bytes != PAGE_SMALL || a->pages == NULL)
        return NULL;
    own(a->owner);
    a->at = a->end = NULL;
    a->used_bytes = 0;
    return list_entry(list_pop(&a->chunks), struct page, link);
}

static inline bool arena_grow_heap(struct arena *a, uint32_t size)
{
    struct list *chunk = malloc(sizeof *chunk + size);
    if (chunk == NULL)
        return false;
    list_push(&a->chunks, chunk);
    a->at = (uint8_t *)(chunk + 1);
    return true;
}

static inline bool arena_grow_pages(struct arena *a, uint32_t size)
{
    own(a->owner);
    struct page *page = pages_take(a->pages, size);
    if (page == NULL)
        return false;
    list_push(&a->chunks, &page->link);
    a->at = page_data(page);
    return true;
}

/* A new chunk with room for n bytes: 4 KiB first, then 64 KiB, 2 MiB for what needs it. */
static inline bool arena_grow(struct arena *a, uint64_t n)
{
    uint32_t size = list_is_empty(&a->chunks) && n <= PAGE_SMALL ? PAGE_SMALL : PAGE_LARGE;
    if (n > PAGE_LARGE)
        size = PAGE_BLOCK;
    if (n > PAGE_BLOCK || a->used_bytes + size > a->bytes_max)
        return false;
    if (!(a->pages != NULL ? arena_grow_pages(a, size) : arena_grow_heap(a, size)))
        return false;
    a->used_bytes += size;
    a->end = a->at + size;
    return true;
}

/* n bytes, 8-aligned, contiguous, not zeroed; NULL when the bound or the pages are used up, or n is
 * beyond arena_piece_max. */
static inline void *arena_alloc_raw(struct arena *a, uint64_t n)
{
    if (unlikely(n > PAGE_BLOCK))
        return NULL;
    n = align_up(n == 0 ? 1 : n, ARENA_ALIGN);
    if (unlikely(n > (uint64_t)(a->end - a->at)) && !arena_grow(a, n))
        return NULL;
    void *p = a->at;
    a->at += n;
    return p;
}

/* n bytes, zeroed, in a chunk of their own: of any size the bound allows. For answers made of one
 * long array; with the heap only. */
static inline void *arena_alloc_large(struct arena *a, uint64_t n)
{
    check(a->pages == NULL);
    if (n > INT32_MAX || a->used_bytes + n > a->bytes_max)
        return NULL;
    struct list *chunk = calloc(1, sizeof *chunk + n);
    if (chunk == NULL)
        return NULL;
    list_append(&a->chunks, chunk); /* the newest chunk, with its room, stays first */
    a->used_bytes += n;
    return chunk + 1;
}

/* arena_alloc_raw, zeroed. */
static inline void *arena_alloc(struct arena *a, uint64_t n)
{
    void *p = arena_alloc_raw(a, n);
    if (likely(p != NULL))
        memset(p, 0, n);
    return p;
}

/* A zeroed array; NULL also when n * size is beyond what one allocation may be. */
static inline void *arena_array(struct arena *a, uint64_t n, uint64_t size)
{
    if (n > PAGE_BLOCK || size > PAGE_BLOCK)
        return NULL;
    return arena_alloc(a, n * size);
}

/* A copy of n bytes; NULL as arena_alloc. */
static inline void *arena_copy(struct arena *a, const void *p, uint64_t n)
{
    void *to = arena_alloc_raw(a, n);
    if (to != NULL && n > 0)
        memcpy(to, p, n);
    return to;
}

#endif
