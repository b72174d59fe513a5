/*
 * cache.h - pages of segments by position, and which of them may be given up.
 *
 * Owner: home. A hash table over (segment, position, size), chained through page.user[0]:
 *
 *   user[0]  next in the chain          user_at  from: first byte held, relative to the page
 *   user[1]  struct segment *           user_n   to: one behind the last byte held
 *   user[2]  position, and flags in the two highest bits
 *
 * The cache holds one reference of each page in it. Tail pages are in no list; clean pages are in
 * one of the lists `lru`, least recently used first, unless they are being filled. Which list says
 * how long they stay (enum cache_keep).
 */
#ifndef MILLRACE_CACHE_H
#define MILLRACE_CACHE_H

#include "pages.h"

struct segment;

#define CACHE_PAGE_TAIL    (1ull << 63) /* holds bytes that are not written */
#define CACHE_PAGE_FILLING (1ull << 62) /* being read from the disk         */
#define CACHE_KEEP_SHIFT   60           /* enum cache_keep, two bits        */
#define CACHE_PAGE_POS     ((1ull << CACHE_KEEP_SHIFT) - 1)

/* How a page came into memory. COLD goes first while it has more than its floor, then WARM;
 * CRITICAL goes last, unless it has more than half of all memory. */
enum cache_keep {
    CACHE_COLD,     /* read from the disk, or written by a bulk topic        */
    CACHE_WARM,     /* written a while ago: the tail of a log, for consumers */
    CACHE_CRITICAL, /* of a log of the class critical                        */
    CACHE_KEEPS_N
};

/* Owner: home. */
struct cache {
    struct pages *pages;
    struct page **table;
    uint64_t mask;
    struct list lru[CACHE_KEEPS_N];
    uint64_t bytes[CACHE_KEEPS_N]; /* of all its pages */
    uint64_t pages_n, evicted_n;
    struct page *found; /* by the last search; NULL: none, or gone */
    struct cache *next; /* ring of those that share `pages` */
};

nodiscard int cache_init(struct cache *cache, struct pages *pages);
void cache_fini(struct cache *cache); /* frees the table; the pages are the caller's region */
/* `cache` and `with` have the same pages: either may evict from the other. */
void cache_join(struct cache *cache, struct cache *with);

static inline struct segment *cache_page_segment(const struct page *page)
{
    return (struct segment *)(uintptr_t)page->user[1];
}

static inline uint64_t cache_page_pos(const struct page *page)
{
    return page->user[2] & CACHE_PAGE_POS;
}

static inline enum cache_keep cache_page_keep(const struct page *page)
{
    return (enum cache_keep)(page->user[2] >> CACHE_KEEP_SHIFT & 3);
}

static inline bool cache_page_is(const struct page *page, uint64_t flag)
{
    return (page->user[2] & flag) != 0;
}

/* The page that holds the byte at `pos`; NULL when none does. Counts as used. */
struct page *cache_find(struct cache *cache, const struct segment *segment, uint64_t pos);
/* The page of this size whose range holds `pos`, whatever of it is there. */
struct page *cache_at(struct cache *cache, const struct segment *segment, uint64_t pos,
                      uint32_t size);
/* A page of memory, evicting clean pages when there is none; NULL when that does not help. */
struct page *cache_take(struct cache *cache, uint32_t size);
/* Enters a page that holds [from, to); takes over the caller's reference. */
void cache_insert(struct cache *cache, struct page *page, struct segment *segment, uint64_t pos,
                  uint32_t from, uint32_t to, uint64_t flags);
/* Sets the flags, and puts the page into the list that follows from them. */
void cache_flags_set(struct cache *cache, struct page *page, uint64_t flags);
void cache_remove(struct cache *cache, struct page *page);

#endif
