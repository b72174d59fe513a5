/*
 * cache.c - pages of segments by position, and which of them may be given up.
 *
 * Owner: home. The table is made once for the whole region: one chain per four small pages, so
 * chains stay short even when every page is small. Eviction takes the least recently used page that
 * only the cache holds; pages lent to readers are passed over and move to the end. Both are bounded
 * per call. Which list it takes it from follows from what came how into memory:
 *
 *   critical pages above half of the memory go first: the class protects, it does not own
 *   cold pages go while they are more than a quarter: a reader of old records takes its own pages
 *     from other readers of old records, not from the tail
 *   warm pages, the oldest written first; so cold readers always have a quarter to read ahead into
 *   what is left, in the order cold, critical
 *
 * Caches over the same pages (several log directories of one home) stand in a ring:
 * the one with the most pages gives up first, so a busy directory grows at the cost of idle ones.
 *
 * Does not know what is written: segments and flush.c set the flags.
 */
#include "cache.h"

#include "hash.h"
#include "plog.h"

enum { EVICT_STEPS_MAX = 64, COLD_FLOOR_PART = 4, CRITICAL_PART = 2 };

int cache_init(struct cache *cache, struct pages *pages)
{
    *cache = (struct cache){.pages = pages, .next = cache};
    uint64_t n = 64;
    while (n < pages->bytes / PAGE_SMALL / 4)
        n *= 2;
    cache->table = calloc(n, sizeof *cache->table);
    if (cache->table == NULL)
        return E_NO_MEMORY;
    cache->mask = n - 1;
    for (int i = 0; i < CACHE_KEEPS_N; i++)
        list_init(&cache->lru[i]);
    return 0;
}

void cache_join(struct cache *cache, struct cache *with)
{
    check(cache->next == cache && cache->pages == with->pages);
    cache->next = with->next;
    with->next = cache;
}

void cache_fini(struct cache *cache)
{
    struct cache *before = cache->next;
    while (before != NULL && before->next != cache)
        before = before->next;
    if (before != NULL) /* NULL: it was never begun */
        before->next = cache->next;
    cache->next = NULL;
    free(cache->table);
    cache->table = NULL;
}

static struct page **cache_chain(struct cache *cache, const struct segment *segment, uint64_t pos,
                                 uint32_t size)
{
    uint64_t h = hash_mix((uint64_t)(uintptr_t)segment ^ (pos << 1) ^ (size == PAGE_LARGE));
    return &cache->table[h & cache->mask];
}

static struct page *cache_next(const struct page *page)
{
    return (struct page *)(uintptr_t)page->user[0];
}

struct page *cache_at(struct cache *cache, const struct segment *segment, uint64_t pos,
                      uint32_t size)
{
    pos = align_down(pos, size);
    struct page *page = *cache_chain(cache, segment, pos, size);
    while (page != NULL && !(cache_page_segment(page) == segment && cache_page_pos(page) == pos &&
                             page->size == size))
        page = cache_next(page);
    return page;
}

/* What of the page is there holds the byte. */
static inline bool page_has(const struct page *page, uint64_t pos)
{
    uint64_t at = pos - cache_page_pos(page);
    return at >= page->user_at && at < page->user_n;
}

static struct page *cache_search(struct cache *cache, const struct segment *segment, uint64_t pos)
{
    static const uint32_t sizes[] = {PAGE_LARGE, PAGE_SMALL};
    if (segment->pages_n == 0)
        return NULL;
    for (size_t i = 0; i < array_n(sizes); i++) {
        struct page *page = cache_at(cache, segment, pos, sizes[i]);
        if (page != NULL && page_has(page, pos))
            return page;
    }
    return NULL;
}

struct page *cache_find(struct cache *cache, const struct segment *segment, uint64_t pos)
{
    struct page *page = cache->found; /* a batch is looked at more than once */
    if (page == NULL || cache_page_segment(page) != segment || !page_has(page, pos))
        page = cache_search(cache, segment, pos);
    if (page == NULL)
        return NULL;
    cache->found = page;
    if (list_is_linked(&page->link)) {
        list_del(&page->link);
        list_append(&cache->lru[cache_page_keep(page)], &page->link);
    }
    return page;
}

static bool cache_evict_from(struct cache *cache, struct list *lru)
{
    for (int i = 0; i < EVICT_STEPS_MAX; i++) {
        struct page *page = list_first(lru, struct page, link);
        if (page == NULL)
            return false;
        if (page->refs == 1) {
            cache->evicted_n++;
            cache_remove(cache, page);
            return true;
        }
        list_del(&page->link);
        list_append(lru, &page->link);
    }
    return false;
}

static bool cache_evict_own(struct cache *cache)
{
    static const uint8_t orders[][CACHE_KEEPS_N] = {{CACHE_CRITICAL, CACHE_COLD, CACHE_WARM},
                                                    {CACHE_COLD, CACHE_WARM, CACHE_CRITICAL},
                                                    {CACHE_WARM, CACHE_COLD, CACHE_CRITICAL}};
    uint64_t all = cache->pages->bytes;
    const uint8_t *order = cache->bytes[CACHE_CRITICAL] > all / CRITICAL_PART ? orders[0]
                           : cache->bytes[CACHE_COLD] > all / COLD_FLOOR_PART ? orders[1]
                                                                              : orders[2];
    for (int i = 0; i < CACHE_KEEPS_N; i++)
        if (cache_evict_from(cache, &cache->lru[order[i]]))
            return true;
    return false;
}

static bool cache_evict(struct cache *cache)
{
    struct cache *richest = cache;
    for (struct cache *c = cache->next; c != cache; c = c->next)
        if (c->pages_n > richest->pages_n)
            richest = c;
    if (cache_evict_own(richest))
        return true;
    for (struct cache *c = richest->next; c != richest; c = c->next)
        if (cache_evict_own(c))
            return true;
    return false;
}

struct page *cache_take(struct cache *cache, uint32_t size)
{
    struct page *page = pages_take(cache->pages, size);
    for (int i = 0; page == NULL && i < EVICT_STEPS_MAX; i++) {
        if (!cache_evict(cache))
            return NULL;
        page = pages_take(cache->pages, size);
    }
    return page;
}

/* What a page of this segment is, once it is clean. */
static enum cache_keep keep_of(const struct segment *segment, bool is_tail)
{
    uint8_t latency = segment->log == NULL ? LATENCY_NORMAL : segment->log->config.latency;
    if (latency == LATENCY_CRITICAL)
        return CACHE_CRITICAL;
    return is_tail && latency != LATENCY_BULK ? CACHE_WARM : CACHE_COLD;
}

/* Before it is put into a list. */
static void page_keep_set(struct cache *cache, struct page *page, enum cache_keep keep)
{
    cache->bytes[cache_page_keep(page)] -= page->size;
    cache->bytes[keep] += page->size;
    page->user[2] &= ~(3ull << CACHE_KEEP_SHIFT);
    page->user[2] |= (uint64_t)keep << CACHE_KEEP_SHIFT;
}

void cache_insert(struct cache *cache, struct page *page, struct segment *segment, uint64_t pos,
                  uint32_t from, uint32_t to, uint64_t flags)
{
    check(is_aligned(pos, page->size) && pos <= CACHE_PAGE_POS);
    check(from <= to && to <= page->size);
    check_slow(cache_at(cache, segment, pos, page->size) == NULL);
    struct page **chain = cache_chain(cache, segment, pos, page->size);
    page->user[0] = (uint64_t)(uintptr_t)*chain;
    page->user[1] = (uint64_t)(uintptr_t)segment;
    page->user[2] = pos;
    page->user_at = from;
    page->user_n = to;
    *chain = page;
    cache->pages_n++;
    cache->bytes[CACHE_COLD] += page->size;
    segment->pages_n++;
    segment_get(segment);
    page_keep_set(cache, page, keep_of(segment, false));
    cache_flags_set(cache, page, flags);
}

void cache_flags_set(struct cache *cache, struct page *page, uint64_t flags)
{
    if (flags & CACHE_PAGE_TAIL)
        page_keep_set(cache, page, keep_of(cache_page_segment(page), true));
    page->user[2] &= ~(CACHE_PAGE_TAIL | CACHE_PAGE_FILLING);
    page->user[2] |= flags;
    if (list_is_linked(&page->link))
        list_del(&page->link);
    if (flags == 0)
        list_append(&cache->lru[cache_page_keep(page)], &page->link);
}

void cache_remove(struct cache *cache, struct page *page)
{
    struct segment *segment = cache_page_segment(page);
    struct page **at = cache_chain(cache, segment, cache_page_pos(page), page->size);
    while (*at != page) {
        check(*at != NULL);
        at = (struct page **)(void *)&(*at)->user[0];
    }
    *at = cache_next(page);
    if (cache->found == page)
        cache->found = NULL;
    if (segment->append_page == page)
        segment->append_page = NULL;
    if (list_is_linked(&page->link))
        list_del(&page->link);
    cache->bytes[cache_page_keep(page)] -= page->size;
    page->user[0] = page->user[1] = page->user[2] = 0;
    cache->pages_n--;
    segment->pages_n--;
    page_put(page);
    segment_put(segment);
}
