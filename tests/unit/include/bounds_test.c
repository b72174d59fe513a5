/* bounds_test.c - bounds.h: the ledger adds up, defaults fit every machine, contradictions are
 * named. */
#include "bounds.h"

#include <stdlib.h>

#include "prng.h"
#include "unit.h"

/* The defaults of config.def on a machine with `workers_n` workers and much of everything. */
static struct bounds defaults(uint32_t workers_n)
{
    return (struct bounds){
        .workers_n = workers_n,
        .request_bytes = MIB(256),
        .frame_bytes = MIB(100),
        .fetch_bytes = 57671680,
        .cache_bytes = MIB(512),
        .tail_bytes = MIB(128),
        .open_files = 4096,
        .producers = 1000000,
        .connections = INT32_MAX,
        .descriptors = 1 << 20,
    };
}

static void bounds_defaults_are_accepted_for_any_usual_number_of_workers(void **state)
{
    char why[512] = "";
    (void)state;
    for (uint32_t n = 1; n <= 64; n++) {
        struct bounds b = defaults(n);
        assert_int_equal(bounds_check(&b, why, sizeof why), 0);
    }
}

/* Whatever the settings: what is accepted obeys its own ledger. */
static void bounds_random_settings_that_are_accepted_add_up(void **state)
{
    struct prng prng;
    uint32_t accepted_n = 0;
    char why[512];
    (void)state;
    prng_init(&prng, 1);
    for (int i = 0; i < 20000; i++) {
        struct bounds b = defaults(1 + (uint32_t)prng_below(&prng, 130));
        b.request_bytes = MIB(1) << prng_below(&prng, 14);
        b.queued_bytes = prng_chance(&prng, 50) ? 0 : 1ull << prng_below(&prng, 34);
        b.frame_bytes = 1ull << prng_below(&prng, 31);
        b.cache_bytes = MIB(1) << prng_below(&prng, 15);
        b.tail_bytes = MIB(1) << prng_below(&prng, 14);
        b.open_files = 1ull << prng_below(&prng, 20);
        b.descriptors = 1ull << prng_below(&prng, 20);
        if (bounds_check(&b, why, sizeof why) != 0) {
            assert_true(strlen(why) > 20);
            continue;
        }
        accepted_n++;
        /* The largest frame fits, and so do small ones beside it. */
        assert_true(bounds_queued_bytes(&b) >= b.frame_bytes);
        assert_true(bounds_queued_bytes(&b) + BOUNDS_FRAME_ROOM / 2 <=
                    bounds_request_pages_bytes(&b));
        /* Tail, answers and at least one block of read cache fit into the log pages. */
        assert_true(bounds_tail_bytes(&b) + 2 * bounds_answer_bytes(&b) <=
                    bounds_log_pages_bytes(&b));
        assert_true(bounds_answer_bytes(&b) >= PAGE_BLOCK / 2);
        assert_true(is_aligned(bounds_log_pages_bytes(&b), PAGE_BLOCK));
        assert_true(is_aligned(bounds_request_pages_bytes(&b), PAGE_BLOCK));
        /* Descriptors: files, connections and the reserve together are what the process may have.
         */
        assert_true(bounds_open_files(&b) + bounds_connections(&b) + BOUNDS_DESCRIPTORS_RESERVE +
                        bounds_threads(&b) * 4ull <=
                    b.descriptors);
        assert_true(bounds_rings_bytes(&b) <= BOUNDS_RING_BYTES_MAX || bounds_ring_slots(&b) == 64);
        assert_true(bounds_requests(&b) >= BOUNDS_REQUESTS_MIN &&
                    bounds_requests(&b) <= BOUNDS_REQUESTS_MAX);
    }
    assert_true(accepted_n > 1000);
}

static void refused_with(struct bounds b, const char *word)
{
    char why[512] = "";
    assert_int_equal(bounds_check(&b, why, sizeof why), E_INVALID);
    if (strstr(why, word) == NULL)
        fail_msg("'%s' does not name %s", why, word);
}

static void bounds_contradiction_names_its_settings(void **state)
{
    struct bounds b;
    (void)state;
    b = defaults(121);
    refused_with(b, "dataplane.workers");
    b = defaults(100);
    refused_with(b, "storage.cache.bytes");
    b = defaults(4);
    b.tail_bytes = b.cache_bytes;
    refused_with(b, "storage.tail.bytes");
    b = defaults(1);
    b.descriptors = 200;
    refused_with(b, "ulimit -n");
    b = defaults(1);
    b.memory_bytes = MIB(512);
    refused_with(b, "the machine has 512 MiB");
}

static void bounds_print_tells_what_is_counted_in_numbers(void **state)
{
    static const char *const words[] = {"inflated", "requests", "descriptors", "connections"};
    struct bounds b = defaults(3);
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    (void)state;
    assert_non_null(to);
    bounds_print(&b, to);
    fclose(to);
    for (size_t i = 0; i < array_n(words); i++)
        assert_non_null(strstr(text, words[i]));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bounds_defaults_are_accepted_for_any_usual_number_of_workers),
        TEST(bounds_random_settings_that_are_accepted_add_up),
        TEST(bounds_contradiction_names_its_settings),
        TEST(bounds_print_tells_what_is_counted_in_numbers),
    };
    return TESTS_RUN(tests);
}
