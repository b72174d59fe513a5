/* pages_test.c - pages.h against a map of which 4 KiB unit belongs to which page. */
#include "pages.h"

#include <stdlib.h>

#include "prng.h"
#include "unit.h"

enum { BLOCKS_N = 3, UNITS_N = BLOCKS_N * PAGE_BLOCK / PAGE_SMALL, MINE_MAX = UNITS_N };

/* Owner: the test. */
struct model {
    struct pages pages;
    void *region, *headers;
    struct page *by_unit[UNITS_N]; /* the page a unit belongs to, NULL when free */
    struct page *mine[MINE_MAX];
    uint32_t n;
    uint64_t used_bytes;
};

static struct model *model_new(void)
{
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->region = aligned_alloc(PAGE_BLOCK, BLOCKS_N * (size_t)PAGE_BLOCK);
    m->headers = calloc(1, pages_header_bytes(BLOCKS_N * (uint64_t)PAGE_BLOCK));
    assert_non_null(m->region);
    assert_non_null(m->headers);
    pages_init(&m->pages, m->region, BLOCKS_N * (uint64_t)PAGE_BLOCK, m->headers);
    return m;
}

static void model_free(struct model *m)
{
    free(m->region);
    free(m->headers);
    free(m);
}

static bool model_has_room(const struct model *m, uint32_t size)
{
    uint32_t units = size / PAGE_SMALL;
    for (uint32_t at = 0; at < UNITS_N; at += units) {
        uint32_t i = 0;
        while (i < units && m->by_unit[at + i] == NULL)
            i++;
        if (i == units)
            return true;
    }
    return false;
}

/* The one thing the allocator may refuse although an aligned hole exists: nothing. Emptied parts
 * merge. */
static void model_take(struct model *m, uint32_t size)
{
    bool has_room = model_has_room(m, size);
    uint64_t refused_n = m->pages.refused_n;
    struct page *page = pages_take(&m->pages, size);
    if (!has_room) {
        assert_null(page);
        assert_int_equal(m->pages.refused_n, refused_n + 1);
        return;
    }
    assert_non_null(page);
    assert_true(is_aligned((uintptr_t)page_data(page), size));
    assert_int_equal(page->size, size);
    assert_int_equal(page->refs, 1);
    for (uint32_t i = 0; i < size / PAGE_SMALL; i++) {
        assert_null(m->by_unit[page_number(page) + i]);
        m->by_unit[page_number(page) + i] = page;
    }
    m->mine[m->n++] = page;
    m->used_bytes += size;
}

static void model_put(struct model *m, uint32_t at)
{
    struct page *page = m->mine[at];
    uint32_t size = page->size;
    uint64_t number = page_number(page);
    m->mine[at] = m->mine[--m->n];
    page_get(page);
    page_put(page);
    assert_ptr_equal(pages_find(&m->pages, page_data(page) + size - 1), page);
    page_put(page);
    for (uint32_t i = 0; i < size / PAGE_SMALL; i++)
        m->by_unit[number + i] = NULL;
    m->used_bytes -= size;
}

static void model_check(struct model *m)
{
    assert_int_equal(m->pages.used_bytes, m->used_bytes);
    for (uint32_t unit = 0; unit < UNITS_N; unit += 7) {
        const uint8_t *p = m->pages.base + unit * (uint64_t)PAGE_SMALL + 5;
        assert_ptr_equal(pages_find(&m->pages, p), m->by_unit[unit]);
    }
}

static void pages_random_takes_and_puts_match_the_model(void **state)
{
    static const uint32_t sizes[] = {PAGE_SMALL, PAGE_SMALL, PAGE_SMALL,
                                     PAGE_LARGE, PAGE_LARGE, PAGE_BLOCK};
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct model *m = model_new();
        struct prng prng;
        prng_init(&prng, seed);
        for (int step = 0; step < 6000; step++) {
            /* Phases that fill and phases that empty, so that both ends are reached. */
            uint32_t take_percent = step / 1000 % 2 == 0 ? 80 : 25;
            if (m->n == 0 || prng_chance(&prng, take_percent))
                model_take(m, sizes[prng_below(&prng, array_n(sizes))]);
            else
                model_put(m, (uint32_t)prng_below(&prng, m->n));
            if (step % 50 == 0)
                model_check(m);
        }
        while (m->n > 0)
            model_put(m, m->n - 1);
        model_check(m);
        model_free(m);
    }
}

static void pages_all_small_put_back_merge_to_blocks(void **state)
{
    (void)state;
    struct model *m = model_new();
    for (uint32_t i = 0; i < UNITS_N; i++)
        model_take(m, PAGE_SMALL);
    assert_int_equal(m->n, UNITS_N);
    model_take(m, PAGE_SMALL);
    assert_int_equal(m->n, UNITS_N);
    assert_int_equal(m->pages.refused_n, 1);
    while (m->n > 0)
        model_put(m, 0);
    for (int i = 0; i < BLOCKS_N; i++)
        model_take(m, PAGE_BLOCK);
    assert_int_equal(m->n, BLOCKS_N);
    assert_int_equal(m->pages.used_bytes_max, (uint64_t)BLOCKS_N * PAGE_BLOCK);
    model_free(m);
}

static void pages_find_outside_or_free_is_null(void **state)
{
    (void)state;
    struct model *m = model_new();
    assert_null(pages_find(&m->pages, (uint8_t *)m->region - 1));
    assert_null(pages_find(&m->pages, (uint8_t *)m->region + m->pages.bytes));
    assert_null(pages_find(&m->pages, m->region));
    model_free(m);
}

static void pages_region_of_odd_size_uses_whole_blocks(void **state)
{
    (void)state;
    struct model *m = model_new();
    struct pages p;
    memset(m->headers, 0, pages_header_bytes(2 * (uint64_t)PAGE_BLOCK));
    pages_init(&p, m->region, 2 * (uint64_t)PAGE_BLOCK - 1, m->headers);
    assert_int_equal(p.bytes, PAGE_BLOCK);
    assert_non_null(pages_take(&p, PAGE_BLOCK));
    assert_null(pages_take(&p, PAGE_SMALL));
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_random_takes_and_puts_match_the_model),
        TEST(pages_all_small_put_back_merge_to_blocks),
        TEST(pages_find_outside_or_free_is_null),
        TEST(pages_region_of_odd_size_uses_whole_blocks),
    };
    return TESTS_RUN(tests);
}
