/*
 * pages.h - memory in pieces of 4 KiB, 64 KiB and 2 MiB out of one fixed region.
 *
 * Owner: the one thread it was made for. No locks; a page taken by one thread is put back by that
 * thread.
 *
 * The region (a parameter: anonymous memory, huge pages, or an array in tests) is a sequence of 2
 * MiB blocks. A block is free, one 2 MiB page, or 32 parts of 64 KiB; a part is free, one 64 KiB
 * page, or 16 pages of 4 KiB. Emptied parts and blocks merge again at once, so nothing fragments
 * beyond one step:
 *
 *      block 2 MiB  -> 32 parts of 64 KiB -> 16 pages of 4 KiB each
 *
 * Each 4 KiB of the region has one struct page (64 bytes, 1.6 %); the header of a larger page is
 * the one of its first 4 KiB. Headers stand in an array of their own, so pages stay aligned to
 * their size and may be registered with io_uring, written O_DIRECT, or pointed at by a NIC.
 *
 * References: pages_take gives one; page_get adds, page_put removes; the last put frees the page.
 * Plain integers, because only the owner touches them: other threads hold a page through an
 * operation of the owner and give it back by mail.
 *
 * Invariants: (1) part_used[i] is the number of used 4 KiB pages of a split part, 0 otherwise;
 * (2) block_used[i] is the number of parts of a split block that are used or split, 0 otherwise;
 * (3) free_small, free_part and free_block hold exactly the free pieces whose parent is split (or
 * none).
 */
#ifndef MILLRACE_PAGES_H
#define MILLRACE_PAGES_H

#include "base.h"
#include "check.h"
#include "errors.h"
#include "list.h"

enum {
    PAGE_SMALL = 4096,
    PAGE_LARGE = 65536,
    PAGE_BLOCK = 2097152,
    PAGE_PARTS_N = PAGE_BLOCK / PAGE_LARGE,  /* 64 KiB parts in a block */
    PAGE_SMALLS_N = PAGE_LARGE / PAGE_SMALL, /* 4 KiB pages in a part   */
};

/* Owner: the pages' owner. `user*` belong to whoever holds the page (a log's position, an owner
 * pointer). */
struct page {
    struct list link; /* a free list, or the holder's                        */
    struct pages *pages;
    uint32_t refs; /* 0 when free                                         */
    uint32_t size; /* PAGE_SMALL, PAGE_LARGE, PAGE_BLOCK; 0 when not used */
    uint64_t user[3];
    uint32_t user_at;
    uint32_t user_n;
};
static_assert(sizeof(struct page) == 64, "a page header is one cache line");

/* Owner: one thread. */
struct pages {
    uint8_t *base; /* 2 MiB aligned */
    struct page *headers;
    uint8_t *part_used;
    uint8_t *block_used;
    uint64_t bytes; /* whole blocks only */
    uint64_t used_bytes;
    uint64_t used_bytes_max;
    uint64_t refused_n; /* takes that found nothing */
    struct list free_block, free_part, free_small;
};

/* Bytes of bookkeeping a region of `bytes` needs. */
static inline uint64_t pages_header_bytes(uint64_t bytes)
{
    return bytes / PAGE_SMALL * sizeof(struct page) + bytes / PAGE_LARGE + bytes / PAGE_BLOCK + 64;
}

/* `base` is 2 MiB aligned, `headers` is pages_header_bytes(bytes) of zeroed memory, 8-aligned. */
static inline void pages_init(struct pages *p, void *base, uint64_t bytes, void *headers)
{
    check(is_aligned((uintptr_t)base, PAGE_BLOCK));
    bytes = align_down(bytes, PAGE_BLOCK);
    *p = (struct pages){.base = base, .headers = headers, .bytes = bytes};
    p->part_used = (uint8_t *)(p->headers + bytes / PAGE_SMALL);
    p->block_used = p->part_used + bytes / PAGE_LARGE;
    list_init(&p->free_block);
    list_init(&p->free_part);
    list_init(&p->free_small);
    for (uint64_t at = 0; at < bytes / PAGE_SMALL; at++) {
        p->headers[at].pages = p;
        list_init(&p->headers[at].link);
    }
    for (uint64_t at = 0; at < bytes / PAGE_BLOCK; at++)
        list_append(&p->free_block, &p->headers[at * (PAGE_BLOCK / PAGE_SMALL)].link);
}

static inline uint64_t page_number(const struct page *page) /* in units of 4 KiB */
{
    return (uint64_t)(page - page->pages->headers);
}

static inline uint8_t *page_data(const struct page *page)
{
    return page->pages->base + page_number(page) * PAGE_SMALL;
}

/* Makes sure free_part is not empty by splitting a block. */
static inline bool pages_split_block(struct pages *p)
{
    struct list *l = list_pop(&p->free_block);
    if (l == NULL)
        return false;
    struct page *first = list_entry(l, struct page, link);
    for (int i = 0; i < PAGE_PARTS_N; i++)
        list_append(&p->free_part, &first[i * PAGE_SMALLS_N].link);
    return true;
}

/* The four below are pages_take and page_put of one size, and the splitting of larger pages. */
static inline struct page *pages_take_part(struct pages *p)
{
    if (list_is_empty(&p->free_part) && !pages_split_block(p))
        return NULL;
    struct page *page = list_entry(list_pop(&p->free_part), struct page, link);
    p->block_used[page_number(page) / (PAGE_BLOCK / PAGE_SMALL)]++;
    return page;
}

static inline void pages_put_part(struct pages *p, struct page *page)
{
    uint64_t block = page_number(page) / (PAGE_BLOCK / PAGE_SMALL);
    struct page *first = &p->headers[block * (PAGE_BLOCK / PAGE_SMALL)];
    list_push(&p->free_part, &page->link);
    check(p->block_used[block] > 0);
    if (--p->block_used[block] != 0)
        return;
    for (int i = 0; i < PAGE_PARTS_N; i++)
        list_del(&first[i * PAGE_SMALLS_N].link);
    list_push(&p->free_block, &first->link);
}

static inline struct page *pages_take_small(struct pages *p)
{
    if (list_is_empty(&p->free_small)) {
        struct page *part = pages_take_part(p);
        if (part == NULL)
            return NULL;
        for (int i = 0; i < PAGE_SMALLS_N; i++)
            list_append(&p->free_small, &part[i].link);
    }
    struct page *page = list_entry(list_pop(&p->free_small), struct page, link);
    p->part_used[page_number(page) / PAGE_SMALLS_N]++;
    return page;
}

static inline void pages_put_small(struct pages *p, struct page *page)
{
    uint64_t part = page_number(page) / PAGE_SMALLS_N;
    struct page *first = &p->headers[part * PAGE_SMALLS_N];
    list_push(&p->free_small, &page->link);
    check(p->part_used[part] > 0);
    if (--p->part_used[part] != 0)
        return;
    for (int i = 0; i < PAGE_SMALLS_N; i++)
        list_del(&first[i].link);
    pages_put_part(p, first);
}

/* One page of `size` with one reference, contents undefined; NULL when the region is used up. */
static inline struct page *pages_take(struct pages *p, uint32_t size)
{
    struct page *page = NULL;
    if (size == PAGE_SMALL)
        page = pages_take_small(p);
    else if (size == PAGE_LARGE)
        page = pages_take_part(p);
    else if (!list_is_empty(&p->free_block))
        page = list_entry(list_pop(&p->free_block), struct page, link);
    check(size == PAGE_SMALL || size == PAGE_LARGE || size == PAGE_BLOCK);
    if (page == NULL) {
        p->refused_n++;
        return NULL;
    }
    check(page->refs == 0 && page->size == 0);
    page->refs = 1;
    page->size = size;
    page->user[0] = page->user[1] = page->user[2] = 0;
    page->user_at = page->user_n = 0;
    p->used_bytes += size;
    p->used_bytes_max = max_u64(p->used_bytes_max, p->used_bytes);
    return page;
}

/* One more reference. */
static inline void page_get(struct page *page)
{
    check(page->refs > 0);
    page->refs++;
}

/* Drops one reference; the page is free after the last. The holder has taken it out of its lists.
 */
static inline void page_put(struct page *page)
{
    check(page->refs > 0);
    if (--page->refs != 0)
        return;
    struct pages *p = page->pages;
    uint32_t size = page->size;
    check(!list_is_linked(&page->link));
    page->size = 0;
    p->used_bytes -= size;
    if (size == PAGE_SMALL)
        pages_put_small(p, page);
    else if (size == PAGE_LARGE)
        pages_put_part(p, page);
    else
        list_push(&p->free_block, &page->link);
}

/* The used page that holds the byte at `ptr`; NULL when ptr is outside the region or in free
 * memory. */
static inline struct page *pages_find(struct pages *p, const void *ptr)
{
    static const uint32_t sizes[] = {PAGE_SMALL, PAGE_LARGE, PAGE_BLOCK};
    if ((const uint8_t *)ptr < p->base || (const uint8_t *)ptr >= p->base + p->bytes)
        return NULL;
    uint64_t at = (uint64_t)((const uint8_t *)ptr - p->base);
    for (size_t i = 0; i < array_n(sizes); i++) {
        struct page *page = &p->headers[align_down(at, sizes[i]) / PAGE_SMALL];
        if (page->size == sizes[i])
            return page;
    }
    return NULL;
}

#endif
