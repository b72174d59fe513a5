/* top_test.c - the few largest: which stay, for how long, and what a reader sees meanwhile. */
#include "top.h"

#include <pthread.h>
#include <stdlib.h>

#include "unit.h"

static void put(struct top *t, uint64_t rank, uint64_t now_ns)
{
    uint64_t w[2] = {rank * 3, rank * 5};
    if (top_wants(t, rank, now_ns))
        top_put(t, rank, now_ns, w, 2);
}

static void many_leave_the_largest_in_order(void **state)
{
    struct top *t = calloc(1, sizeof *t);
    struct top_item v[TOP_KEEP];
    (void)state;
    for (uint64_t i = 1; i <= 1000; i++)
        put(t, 1 + i * 7919 % 1009, NS_PER_S);
    uint32_t n = top_read(t, TOP_START, NS_PER_S, v, 0);
    assert_int_equal(n, TOP_KEEP);
    uint64_t seen[1010] = {0};
    for (uint64_t i = 1; i <= 1000; i++)
        seen[1 + i * 7919 % 1009]++;
    uint64_t rank = 1009;
    for (uint32_t i = 0; i < n; i++, rank--) {
        while (seen[rank] == 0)
            rank--;
        assert_int_equal(v[i].rank, rank);
        assert_int_equal(v[i].w[0], rank * 3);
        assert_int_equal(v[i].w[1], rank * 5);
    }
    free(t);
}

static void minute_forgets_what_the_start_keeps(void **state)
{
    struct top *t = calloc(1, sizeof *t);
    struct top_item v[TOP_KEEP];
    (void)state;
    put(t, 900, 5 * NS_PER_S);
    put(t, 10, 40 * NS_PER_S);
    assert_int_equal(top_read(t, TOP_MINUTE, 64 * NS_PER_S, v, 0), 2);
    assert_int_equal(top_read(t, TOP_MINUTE, 66 * NS_PER_S, v, 0), 1);
    assert_int_equal(v[0].rank, 10);
    assert_int_equal(top_read(t, TOP_START, 1000 * NS_PER_S, v, 0), 2);
    assert_int_equal(v[0].rank, 900);
    /* A small one gets its place in a minute without others. */
    put(t, 1, 500 * NS_PER_S);
    assert_int_equal(top_read(t, TOP_MINUTE, 501 * NS_PER_S, v, 0), 1);
    assert_int_equal(v[0].rank, 1);
    free(t);
}

static void small_ones_are_not_wanted_once_it_is_full(void **state)
{
    struct top *t = calloc(1, sizeof *t);
    (void)state;
    for (uint64_t i = 0; i < TOP_KEEP; i++)
        put(t, 100 + i, NS_PER_S);
    assert_false(top_wants(t, 100, NS_PER_S));
    assert_true(top_wants(t, 101, NS_PER_S));
    assert_true(top_wants(t, 1, NS_PER_S + TOP_BUCKET_NS)); /* a new bucket */
    free(t);
}

static void tables_of_several_writers_merge(void **state)
{
    struct top *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    struct top_item v[TOP_KEEP];
    (void)state;
    for (uint64_t i = 1; i <= 8; i++)
        put(i % 2 ? a : b, i, NS_PER_S);
    uint32_t n = top_read(a, TOP_START, NS_PER_S, v, 0);
    n = top_read(b, TOP_START, NS_PER_S, v, n);
    assert_int_equal(n, TOP_KEEP);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(v[i].rank, 8 - i);
    free(a);
    free(b);
}

/* ── a reader beside the writer ── */

enum { PUTS_N = 100000 };

static void *writer(void *argument)
{
    for (uint64_t i = 1; i <= PUTS_N; i++)
        put(argument, i, NS_PER_S);
    return NULL;
}

static void reader_beside_the_writer_sees_whole_entries(void **state)
{
    struct top *t = calloc(1, sizeof *t);
    struct top_item v[TOP_KEEP];
    pthread_t id;
    bool is_last = false;
    (void)state;
    assert_int_equal(pthread_create(&id, NULL, writer, t), 0);
    for (int i = 0; i < 100000000 && !is_last; i++) {
        uint32_t n = top_read(t, TOP_START, NS_PER_S, v, 0);
        for (uint32_t j = 0; j < n; j++) {
            assert_int_equal(v[j].w[0], v[j].rank * 3);
            assert_int_equal(v[j].w[1], v[j].rank * 5);
        }
        is_last = n > 0 && v[0].rank == PUTS_N;
    }
    assert_true(is_last);
    pthread_join(id, NULL);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_leave_the_largest_in_order),
        TEST(minute_forgets_what_the_start_keeps),
        TEST(small_ones_are_not_wanted_once_it_is_full),
        TEST(tables_of_several_writers_merge),
        TEST(reader_beside_the_writer_sees_whole_entries),
    };
    return TESTS_RUN(tests);
}
