/* arena_test.c - arena.h over pages and over the heap: contents survive, bounds hold, nothing
 * leaks. */
#include "arena.h"

#include "prng.h"
#include "unit.h"

enum { REGION_BYTES = 4 * PAGE_BLOCK, PIECES_MAX = 3000 };

/* Owner: the test. */
struct bed {
    struct pages pages;
    void *region, *headers;
    struct {
        uint8_t *p;
        uint64_t n;
    } pieces[PIECES_MAX];
};

static struct bed *bed_new(void)
{
    struct bed *bed = calloc(1, sizeof *bed);
    assert_non_null(bed);
    bed->region = aligned_alloc(PAGE_BLOCK, REGION_BYTES);
    bed->headers = calloc(1, pages_header_bytes(REGION_BYTES));
    assert_non_null(bed->region);
    assert_non_null(bed->headers);
    memset(bed->region, 0xee, REGION_BYTES);
    pages_init(&bed->pages, bed->region, REGION_BYTES, bed->headers);
    return bed;
}

static void bed_free(struct bed *bed)
{
    free(bed->region);
    free(bed->headers);
    free(bed);
}

static bool is_all(const uint8_t *p, uint8_t value, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (p[i] != value)
            return false;
    return true;
}

static uint64_t some_size(struct prng *prng)
{
    if (prng_chance(prng, 1))
        return prng_below(prng, PAGE_BLOCK) + 1;
    return prng_chance(prng, 5) ? prng_below(prng, PAGE_LARGE + 1) : prng_below(prng, 300);
}

/* Every piece is zeroed when given, aligned, and keeps its bytes while others are taken. */
static void fill_and_compare(struct bed *bed, struct arena *a, struct prng *prng)
{
    uint32_t n = 0;
    while (n < PIECES_MAX) {
        uint64_t size = some_size(prng);
        uint8_t *p = arena_alloc(a, size);
        if (p == NULL)
            break;
        assert_true(is_aligned((uintptr_t)p, ARENA_ALIGN));
        assert_true(is_all(p, 0, size));
        memset(p, (int)(n % 251 + 1), size);
        bed->pieces[n].p = p;
        bed->pieces[n++].n = size;
    }
    assert_true(n > 10);
    assert_true(a->used_bytes <= a->bytes_max);
    for (uint32_t i = 0; i < n; i++)
        assert_true(is_all(bed->pieces[i].p, (uint8_t)(i % 251 + 1), bed->pieces[i].n));
}

static void arena_random_sizes_keep_their_bytes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct bed *bed = bed_new();
        struct prng prng;
        struct arena a;
        prng_init(&prng, seed);
        arena_init(&a, seed % 2 ? &bed->pages : NULL, NULL, 3 * (uint64_t)PAGE_BLOCK);
        for (int round = 0; round < 2; round++) { /* an arena may be used again */
            fill_and_compare(bed, &a, &prng);
            arena_fini(&a);
            assert_int_equal(a.used_bytes, 0);
            assert_int_equal(bed->pages.used_bytes, 0);
        }
        bed_free(bed);
    }
}

static void arena_small_request_takes_one_small_page(void **state)
{
    (void)state;
    struct bed *bed = bed_new();
    struct arena a;
    arena_init(&a, &bed->pages, NULL, PAGE_SMALL);
    assert_non_null(arena_alloc(&a, PAGE_SMALL - 8));
    assert_int_equal(bed->pages.used_bytes, PAGE_SMALL);
    assert_non_null(arena_alloc(&a, 0)); /* the last 8 bytes */
    assert_null(arena_alloc(&a, 1));     /* over bytes_max */
    assert_int_equal(bed->pages.used_bytes, PAGE_SMALL);
    arena_fini(&a);
    bed_free(bed);
}

static void arena_hostile_sizes_give_null(void **state)
{
    (void)state;
    struct bed *bed = bed_new();
    struct arena a;
    arena_init(&a, &bed->pages, NULL, UINT64_MAX / 2);
    assert_null(arena_alloc(&a, (uint64_t)PAGE_BLOCK + 1));
    assert_null(arena_alloc(&a, UINT64_MAX));
    assert_null(arena_array(&a, UINT64_MAX, 8));
    assert_null(arena_array(&a, 1ull << 33, 1ull << 33));
    assert_null(arena_array(&a, PAGE_BLOCK, 2));
    assert_non_null(arena_array(&a, PAGE_BLOCK / 8, 8));
    arena_fini(&a);
    bed_free(bed);
}

/* The answer of ListGroups for 100,000 groups is one array. */
static void arena_of_the_heap_gives_what_its_bound_allows(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, NULL, NULL, 64 << 20);
    uint8_t *large = arena_array(&a, 100000, 64);
    assert_non_null(large);
    large[100000 * 64 - 1] = 1;
    assert_non_null(arena_alloc(&a, 8));
    assert_null(arena_alloc(&a, 64 << 20));
    assert_non_null(arena_alloc(&a, 32 << 20));
    arena_fini(&a);
    assert_int_equal(a.used_bytes, 0);
}

static void arena_pages_used_up_gives_null_and_recovers(void **state)
{
    (void)state;
    struct bed *bed = bed_new();
    struct arena a, b;
    arena_init(&a, &bed->pages, NULL, UINT64_MAX / 2);
    arena_init(&b, &bed->pages, NULL, UINT64_MAX / 2);
    for (int i = 0; i < REGION_BYTES / PAGE_BLOCK; i++)
        assert_non_null(arena_alloc_raw(&a, PAGE_BLOCK));
    assert_null(arena_alloc(&b, 1));
    arena_fini(&a);
    assert_non_null(arena_alloc(&b, 1));
    arena_fini(&b);
    bed_free(bed);
}

static void arena_copy_is_equal_and_apart(void **state)
{
    (void)state;
    char text[] = "offset";
    struct arena a;
    arena_init(&a, NULL, NULL, MIB(1));
    char *copy = arena_copy(&a, text, sizeof text);
    text[0] = 'X';
    assert_string_equal(copy, "offset");
    assert_non_null(arena_copy(&a, NULL, 0));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arena_random_sizes_keep_their_bytes),
        TEST(arena_small_request_takes_one_small_page),
        TEST(arena_hostile_sizes_give_null),
        TEST(arena_of_the_heap_gives_what_its_bound_allows),
        TEST(arena_pages_used_up_gives_null_and_recovers),
        TEST(arena_copy_is_equal_and_apart),
    };
    return TESTS_RUN(tests);
}
