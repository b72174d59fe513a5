/* cache_test.c - cache.c: pages are found by position, evicted in order, never while in use. */
#include "rig.h"

static struct rig rig;
static struct segment *segment;

static int setup(void **state)
{
    (void)state;
    rig_init_pages(&rig, PAGE_BLOCK);
    rig_log_new(&rig, 0);
    segment = rig.log->segments[0];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static struct page *put(uint64_t pos, uint32_t size, uint32_t from, uint32_t to, uint64_t flags)
{
    struct page *page = cache_take(&rig.store->cache, size);
    assert_non_null(page);
    cache_insert(&rig.store->cache, page, segment, pos, from, to, flags);
    return page;
}

static struct page *find(uint64_t pos)
{
    return cache_find(&rig.store->cache, segment, pos);
}

static void find_gives_only_pages_that_hold_the_byte(void **state)
{
    (void)state;
    struct page *small = put(8192, PAGE_SMALL, 100, 200, 0);
    assert_null(find(8192));
    assert_null(find(8192 + 99));
    assert_ptr_equal(find(8192 + 100), small);
    assert_ptr_equal(find(8192 + 199), small);
    assert_null(find(8192 + 200));
    assert_null(find(PAGE_LARGE + 8192 + 150));
    assert_ptr_equal(cache_at(&rig.store->cache, segment, 8192 + 4000, PAGE_SMALL), small);
    assert_null(cache_at(&rig.store->cache, segment, 8192, PAGE_LARGE));
}

static void find_looks_into_both_sizes(void **state)
{
    (void)state;
    struct page *small = put(4096, PAGE_SMALL, 0, PAGE_SMALL, 0);
    struct page *large = put(0, PAGE_LARGE, 8192, PAGE_LARGE, 0); /* the log became busy there */
    assert_ptr_equal(find(5000), small);
    assert_ptr_equal(find(9000), large);
    assert_null(find(100));
}

static void eviction_takes_the_page_used_longest_ago(void **state)
{
    struct page *pages[32];
    (void)state;
    for (uint64_t i = 0; i < 32; i++)
        pages[i] = put(i * PAGE_LARGE, PAGE_LARGE, 0, PAGE_LARGE, 0);
    assert_ptr_equal(find(0), pages[0]); /* used: page 1 is the oldest now */
    struct page *page = cache_take(&rig.store->cache, PAGE_LARGE);
    assert_non_null(page);
    assert_ptr_equal(find(0), pages[0]);
    assert_null(find(PAGE_LARGE));
    page_put(page);
}

static void eviction_spares_tails_fills_and_what_is_lent(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 32; i++)
        put(i * PAGE_LARGE, PAGE_LARGE, 0, PAGE_LARGE,
            i % 2 ? CACHE_PAGE_TAIL : CACHE_PAGE_FILLING);
    assert_null(cache_take(&rig.store->cache, PAGE_SMALL));
    struct page *lent = find(0);
    cache_flags_set(&rig.store->cache, lent, 0);
    page_get(lent);
    assert_null(cache_take(&rig.store->cache, PAGE_SMALL));
    page_put(lent);
    struct page *page = cache_take(&rig.store->cache, PAGE_SMALL);
    assert_non_null(page);
    page_put(page);
    assert_int_equal(segment->pages_n, 31);
}

static void small_pages_make_room_for_a_large_one(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 512; i++)
        put(i * PAGE_SMALL, PAGE_SMALL, 0, PAGE_SMALL, 0);
    assert_null(pages_take(&rig.pages, PAGE_LARGE));
    struct page *page = cache_take(&rig.store->cache, PAGE_LARGE); /* 16 neighbours go */
    assert_non_null(page);
    assert_int_equal(segment->pages_n, 496);
    page_put(page);
}

static void eviction_of_the_append_page_is_told_to_its_segment(void **state)
{
    (void)state;
    segment->append_page = put(0, PAGE_SMALL, 0, 10, 0);
    rig_forget_pages(&rig);
    assert_null(segment->append_page);
    assert_int_equal(segment->refs, 1);
}

/* Written and clean: what a consumer close behind reads. */
static struct page *put_written(uint64_t at)
{
    struct page *page = put(at * PAGE_LARGE, PAGE_LARGE, 0, PAGE_LARGE, CACHE_PAGE_TAIL);
    cache_flags_set(&rig.store->cache, page, 0);
    return page;
}

static struct page *put_read(uint64_t at)
{
    return put(at * PAGE_LARGE, PAGE_LARGE, 0, PAGE_LARGE, 0);
}

static struct page *taken[32];
static uint32_t taken_n;

/* Takes one page, which is not entered. */
static void evict_one(void)
{
    struct page *page = cache_take(&rig.store->cache, PAGE_LARGE);
    assert_non_null(page);
    taken[taken_n++] = page;
}

static void give_back(void)
{
    while (taken_n > 0)
        page_put(taken[--taken_n]);
}

static void cold_pages_go_before_the_tail_until_a_quarter_is_left(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20; i++)
        put_written(i);
    for (uint64_t i = 20; i < 32; i++)
        put_read(i);
    for (uint64_t i = 20; i < 24; i++) {
        evict_one();
        assert_null(find(i * PAGE_LARGE));
    }
    assert_int_equal(rig.store->cache.bytes[CACHE_COLD], 8 * PAGE_LARGE);
    evict_one(); /* the oldest written one */
    assert_null(find(0));
    assert_non_null(find(24 * PAGE_LARGE));
    assert_int_equal(segment->pages_n, 27);
    give_back();
}

static void pages_of_a_bulk_topic_are_cold_from_the_start(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 16; i++)
        put_written(i);
    rig.log->config.latency = LATENCY_BULK;
    for (uint64_t i = 16; i < 32; i++)
        put_written(i);
    assert_int_equal(rig.store->cache.bytes[CACHE_COLD], 16 * PAGE_LARGE);
    evict_one();
    assert_null(find(16 * PAGE_LARGE));
    assert_non_null(find(0));
    give_back();
}

static void critical_pages_stay_up_to_half_of_the_memory(void **state)
{
    (void)state;
    rig.log->config.latency = LATENCY_CRITICAL;
    for (uint64_t i = 0; i < 16; i++)
        i % 2 ? put_written(i) : put_read(i);
    rig.log->config.latency = LATENCY_NORMAL;
    for (uint64_t i = 16; i < 32; i++)
        put_written(i);
    for (int i = 0; i < 16; i++)
        evict_one();
    assert_int_equal(rig.store->cache.bytes[CACHE_CRITICAL], 16 * PAGE_LARGE);
    assert_int_equal(rig.store->cache.bytes[CACHE_WARM], 0);
    evict_one(); /* nothing else is left */
    assert_null(find(0));
    give_back();
}

static void critical_pages_above_half_go_first(void **state)
{
    (void)state;
    rig.log->config.latency = LATENCY_CRITICAL;
    for (uint64_t i = 0; i < 20; i++)
        put_written(i);
    rig.log->config.latency = LATENCY_NORMAL;
    for (uint64_t i = 20; i < 32; i++)
        put_read(i);
    for (int i = 0; i < 4; i++)
        evict_one();
    assert_int_equal(rig.store->cache.bytes[CACHE_CRITICAL], 16 * PAGE_LARGE);
    evict_one();
    assert_int_equal(rig.store->cache.bytes[CACHE_COLD], 11 * PAGE_LARGE);
    give_back();
}

int main(void)
{
#define WITH_LOG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_LOG(find_gives_only_pages_that_hold_the_byte),
        WITH_LOG(find_looks_into_both_sizes),
        WITH_LOG(eviction_takes_the_page_used_longest_ago),
        WITH_LOG(eviction_spares_tails_fills_and_what_is_lent),
        WITH_LOG(small_pages_make_room_for_a_large_one),
        WITH_LOG(eviction_of_the_append_page_is_told_to_its_segment),
        WITH_LOG(cold_pages_go_before_the_tail_until_a_quarter_is_left),
        WITH_LOG(pages_of_a_bulk_topic_are_cold_from_the_start),
        WITH_LOG(critical_pages_stay_up_to_half_of_the_memory),
        WITH_LOG(critical_pages_above_half_go_first),
    };
    return TESTS_RUN(tests);
}
