/* timer_test.c - the wheel of timer.h against a plain array of due times. */
#include "timer.h"

#include <stdlib.h>

#include "prng.h"
#include "unit.h"

enum { TIMERS_N = 300 };
#define HOUR_NS (3600 * NS_PER_S)

/* One timer and what the model knows of it. Owner: the test. */
struct item {
    struct timer timer; /* first: the callback's argument is the item */
    uint64_t due_ns;    /* 0: not set */
    uint64_t fired_ns;
    uint32_t fired_n;
};

/* Owner: the test. */
struct bed {
    struct timers wheel;
    struct item items[TIMERS_N];
};

static struct bed *bed_new(void)
{
    struct bed *bed = calloc(1, sizeof *bed);
    assert_non_null(bed);
    return bed;
}

static void item_fire(struct timer *timer, struct now now)
{
    struct item *item = container_of(timer, struct item, timer);
    assert_false(timer_is_set(timer));
    assert_true(now.ns >= item->due_ns); /* never early */
    assert_true(item->due_ns != 0);      /* a stopped timer does not fire */
    item->due_ns = 0;
    item->fired_ns = now.ns;
    item->fired_n++;
}

static uint64_t some_delay_ns(struct prng *prng)
{
    switch (prng_below(prng, 6)) {
    case 0: return prng_below(prng, 3 * NS_PER_MS);
    case 1: return prng_below(prng, 300 * NS_PER_MS);
    case 2: return prng_below(prng, 20 * NS_PER_S);
    case 3: return prng_below(prng, 30 * 60 * NS_PER_S);
    case 4: return prng_below(prng, 20 * HOUR_NS);
    default: return prng_below(prng, 100 * HOUR_NS); /* beyond the wheel's 18 hours */
    }
}

static uint64_t earliest(const struct item *items)
{
    uint64_t at = UINT64_MAX;
    for (int i = 0; i < TIMERS_N; i++)
        if (items[i].due_ns != 0)
            at = min_u64(at, items[i].due_ns);
    return at;
}

/* After a run with room for all: whatever is a tick overdue has fired, and the sleep bound is a
 * lower bound. */
static void wheel_check(const struct timers *w, const struct item *items, struct now now)
{
    uint32_t n = 0;
    for (int i = 0; i < TIMERS_N; i++) {
        n += items[i].due_ns != 0;
        assert_int_equal(timer_is_set(&items[i].timer), items[i].due_ns != 0);
        if (items[i].due_ns != 0)
            assert_true(items[i].due_ns + 2 * TIMER_TICK_NS > now.ns);
    }
    assert_int_equal(w->n, n);
    uint64_t next = timers_next_ns(w, now, 1000 * HOUR_NS);
    if (n == 0)
        assert_int_equal(next, 1000 * HOUR_NS);
    else
        assert_true(now.ns + next <
                    earliest(items) + TIMER_TICK_NS); /* not later than a tick after */
}

static void timers_random_sets_and_stops_fire_as_the_model_says(void **state)
{
    struct bed *bed = bed_new();
    struct timers *w = &bed->wheel;
    struct item *items = bed->items;
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct now now = {.ns = 1 + prng_below(&prng, 50 * HOUR_NS)};
        timers_init(w, now.ns);
        for (int i = 0; i < TIMERS_N; i++) {
            items[i] = (struct item){0};
            timer_init(&items[i].timer, item_fire);
        }
        for (int step = 0; step < 3000; step++) {
            struct item *item = &items[prng_below(&prng, TIMERS_N)];
            if (prng_chance(&prng, 70)) {
                item->due_ns = now.ns + some_delay_ns(&prng);
                timer_set(w, &item->timer, item->due_ns);
            } else {
                timer_stop(w, &item->timer);
                item->due_ns = 0;
            }
            if (prng_chance(&prng, 50))
                now.ns +=
                    prng_below(&prng, prng_chance(&prng, 3) ? 600 * NS_PER_S : 40 * NS_PER_MS);
            timers_run(w, now, TIMERS_N);
            wheel_check(w, items, now);
        }
    }
    free(bed);
}

/* Sleeping exactly as long as timers_next_ns allows never misses a timer, whatever the distance. */
static void timers_next_followed_by_sleep_reaches_every_timer_in_time(void **state)
{
    struct bed *bed = bed_new();
    struct timers *w = &bed->wheel;
    struct item *items = bed->items;
    static const uint64_t delays[] = {
        1,
        NS_PER_MS,
        255 * NS_PER_MS,
        256 * NS_PER_MS,
        257 * NS_PER_MS,
        300 * NS_PER_MS,
        5 * NS_PER_S,
        16384 * NS_PER_MS,
        16385 * NS_PER_MS,
        1100 * NS_PER_S,
    };
    (void)state;
    for (uint64_t start_tick = 0; start_tick < 1024; start_tick += 51) {
        for (size_t i = 0; i < array_n(delays); i++) {
            struct now now = {.ns = start_tick * TIMER_TICK_NS};
            items[0] = (struct item){.due_ns = now.ns + delays[i]};
            timers_init(w, now.ns);
            timer_init(&items[0].timer, item_fire);
            timer_set(w, &items[0].timer, items[0].due_ns);
            uint64_t due_ns = items[0].due_ns;
            for (int turn = 0; turn < 10000 && items[0].fired_n == 0; turn++) {
                now.ns += timers_next_ns(w, now, 3600 * NS_PER_S);
                timers_run(w, now, 10);
                now.ns += 1000; /* a turn takes a microsecond */
            }
            assert_int_equal(items[0].fired_n, 1);
            assert_true(items[0].fired_ns >= due_ns);
            assert_true(items[0].fired_ns < due_ns + 2 * TIMER_TICK_NS);
        }
    }
    free(bed);
}

static void timers_run_with_budget_spreads_a_crowd(void **state)
{
    struct bed *bed = bed_new();
    struct timers *w = &bed->wheel;
    struct item *items = bed->items;
    struct now now = {.ns = NS_PER_S};
    (void)state;
    timers_init(w, now.ns);
    for (int i = 0; i < TIMERS_N; i++) {
        items[i] = (struct item){.due_ns = now.ns + NS_PER_MS};
        timer_init(&items[i].timer, item_fire);
        timer_set(w, &items[i].timer, items[i].due_ns);
    }
    now.ns += 2 * NS_PER_MS;
    assert_int_equal(timers_run(w, now, 100), 100);
    assert_int_equal(timers_next_ns(w, now, NS_PER_S), 0);
    /* One that is due already may still be stopped. */
    for (int i = 0; i < TIMERS_N; i++)
        if (items[i].due_ns != 0) {
            timer_stop(w, &items[i].timer);
            items[i].due_ns = 0;
            break;
        }
    assert_int_equal(timers_run(w, now, 100), 100);
    assert_int_equal(timers_run(w, now, 100), 99);
    assert_int_equal(w->n, 0);
    free(bed);
}

/* Owner: the test. */
struct beat {
    struct timers wheel;
    struct timer timer;
    uint32_t fired_n;
};

static void beat_fire(struct timer *timer, struct now now)
{
    struct beat *beat = container_of(timer, struct beat, timer);
    beat->fired_n++;
    timer_set(&beat->wheel, timer, now.ns + 10 * NS_PER_MS);
}

static void timer_set_in_its_own_fire_becomes_periodic(void **state)
{
    struct beat *beat = calloc(1, sizeof *beat);
    struct now now = {.ns = 77 * NS_PER_S};
    (void)state;
    assert_non_null(beat);
    timers_init(&beat->wheel, now.ns);
    timer_init(&beat->timer, beat_fire);
    timer_set(&beat->wheel, &beat->timer, now.ns);
    for (int ms = 0; ms < 1000; ms++, now.ns += NS_PER_MS)
        timers_run(&beat->wheel, now, 10);
    assert_int_equal(beat->fired_n, 100);
    free(beat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_random_sets_and_stops_fire_as_the_model_says),
        TEST(timers_next_followed_by_sleep_reaches_every_timer_in_time),
        TEST(timers_run_with_budget_spreads_a_crowd),
        TEST(timer_set_in_its_own_fire_becomes_periodic),
    };
    return TESTS_RUN(tests);
}
