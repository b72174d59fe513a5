/* ring_test.c - ring.h: order and capacity against a counter, and two threads passing a million
 * items. */
#include "ring.h"

#include <pthread.h>
#include <sched.h>

#include "prng.h"
#include "unit.h"

enum { ITEMS_N = 1000000 };

static void ring_random_writes_and_reads_are_first_in_first_out(void **state)
{
    (void)state;
    for (uint32_t capacity = 1; capacity <= 64; capacity *= 2) {
        void *slots[64];
        struct ring r;
        struct prng prng;
        uintptr_t written = 0, read = 0;
        prng_init(&prng, capacity);
        ring_init(&r, slots, capacity);
        /* Begin near the end of the 32-bit indices, so that their wrap is part of the test. */
        atomic_store(&r.tail, UINT32_MAX - 100);
        atomic_store(&r.head, UINT32_MAX - 100);
        r.head_seen = r.tail_seen = UINT32_MAX - 100;
        for (int i = 0; i < 20000; i++) {
            if (prng_chance(&prng, i / 2000 % 2 ? 70 : 30)) {
                bool is_written = ring_write(&r, (void *)(written + 1));
                assert_int_equal(is_written, written - read < capacity);
                written += is_written;
            } else {
                void *item = ring_read(&r);
                assert_int_equal((uintptr_t)item, written == read ? 0 : read + 1);
                read += item != NULL;
            }
            assert_int_equal(ring_has_more(&r), written != read);
        }
        assert_true(written > 500);
    }
}

static void *producer(void *argument)
{
    struct ring *r = argument;
    for (uintptr_t i = 1; i <= ITEMS_N;) {
        if (ring_write(r, (void *)i))
            i++;
        else
            sched_yield();
    }
    return NULL;
}

static void ring_two_threads_pass_every_item_in_order(void **state)
{
    void *slots[256];
    struct ring r;
    pthread_t thread;
    (void)state;
    ring_init(&r, slots, array_n(slots));
    assert_int_equal(pthread_create(&thread, NULL, producer, &r), 0);
    for (uintptr_t want = 1; want <= ITEMS_N;) {
        void *item = ring_read(&r);
        if (item == NULL) {
            sched_yield();
            continue;
        }
        assert_int_equal((uintptr_t)item, want);
        want++;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_null(ring_read(&r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ring_random_writes_and_reads_are_first_in_first_out),
        TEST(ring_two_threads_pass_every_item_in_order),
    };
    return TESTS_RUN(tests);
}
