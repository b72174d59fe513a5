/*
 * ring_test.c - the ring of pointers: empty, full, around the end, and between two threads.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "ring.h"

enum { CAPACITY = 8, MANY_N = 1000000 };

static void ring_empty_gives_nothing(void **state)
{
    struct ring ring;
    void *slots[CAPACITY];
    (void)state;
    ring_init(&ring, slots, CAPACITY);
    assert_null(ring_read(&ring));
    assert_false(ring_has_more(&ring));
}

static void ring_full_refuses_until_one_is_read(void **state)
{
    struct ring ring;
    void *slots[CAPACITY];
    int items[CAPACITY + 1];
    (void)state;
    ring_init(&ring, slots, CAPACITY);
    for (int i = 0; i < CAPACITY; i++)
        assert_true(ring_write(&ring, &items[i]));
    assert_false(ring_write(&ring, &items[CAPACITY]));
    assert_true(ring_has_more(&ring));
    assert_ptr_equal(ring_read(&ring), &items[0]);
    assert_true(ring_write(&ring, &items[CAPACITY]));
    for (int i = 1; i <= CAPACITY; i++)
        assert_ptr_equal(ring_read(&ring), &items[i]);
    assert_null(ring_read(&ring));
}

static void ring_indexes_wrap_at_32_bits(void **state)
{
    struct ring ring;
    void *slots[CAPACITY];
    int items[4];
    (void)state;
    ring_init(&ring, slots, CAPACITY);
    atomic_store(&ring.tail, UINT32_MAX - 2);
    atomic_store(&ring.head, UINT32_MAX - 2);
    ring.head_seen = ring.tail_seen = UINT32_MAX - 2;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++)
            assert_true(ring_write(&ring, &items[i]));
        for (int i = 0; i < 4; i++)
            assert_ptr_equal(ring_read(&ring), &items[i]);
        assert_null(ring_read(&ring));
    }
}

static void *writer(void *arg)
{
    struct ring *ring = arg;
    for (uintptr_t i = 1; i <= MANY_N; i++)
        while (!ring_write(ring, (void *)i))
            sched_yield();
    return NULL;
}

static void ring_between_threads_keeps_every_item_in_order(void **state)
{
    static struct ring ring;
    static void *slots[1024];
    pthread_t thread;
    (void)state;
    ring_init(&ring, slots, array_n(slots));
    assert_int_equal(pthread_create(&thread, NULL, writer, &ring), 0);
    for (uintptr_t i = 1; i <= MANY_N; i++) {
        void *item;
        while ((item = ring_read(&ring)) == NULL)
            sched_yield();
        if ((uintptr_t)item != i)
            fail_msg("item %lu came as %lu", (unsigned long)i, (unsigned long)(uintptr_t)item);
    }
    pthread_join(thread, NULL);
    assert_null(ring_read(&ring));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_empty_gives_nothing),
        cmocka_unit_test(ring_full_refuses_until_one_is_read),
        cmocka_unit_test(ring_indexes_wrap_at_32_bits),
        cmocka_unit_test(ring_between_threads_keeps_every_item_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
