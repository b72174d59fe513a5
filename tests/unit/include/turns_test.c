/* turns_test.c - turns that overran, with made-up ticks: 2 ticks a nanosecond. */
#include "turns.h"

#include <stdlib.h>

#include "unit.h"

/* The made-up counter stands behind a pointer that the test moves. */
static uint64_t *counter_of(void)
{
    static uint64_t counter = 0;
    return &counter;
}

static uint64_t ticks(void)
{
    return *counter_of();
}

static struct turns *turns_new(void)
{
    struct turns *t = calloc(1, sizeof *t);
    t->ticks = ticks;
    *counter_of() = 1000;
    return t;
}

/* A turn at `ns` of which `step` takes took_ns, every other step a microsecond. */
static void turn(struct turns *t, uint64_t ns, enum turn_step step, uint64_t took_ns)
{
    *counter_of() = 1000 + 2 * ns;
    turns_begin(t, (struct now){ns, 7000});
    for (int i = 0; i < TURN_STEPS_N; i++) {
        *counter_of() += 2 * ((int)step == i ? took_ns : NS_PER_US);
        turns_step(t, (enum turn_step)i);
    }
    turns_end(t);
}

static void turn_above_its_budget_is_kept_with_its_cause(void **state)
{
    struct turns *t = turns_new();
    struct top_item v[TOP_KEEP];
    struct turn_overrun o;
    (void)state;
    turn(t, NS_PER_S, STEP_MAIL, NS_PER_US);
    turn(t, 2 * NS_PER_S, STEP_FLUSH, 40 * NS_PER_MS);
    turn(t, 3 * NS_PER_S, STEP_MAIL, TURN_BUDGET_NS / 2);
    assert_int_equal(top_read(&t->top, TOP_START, 3 * NS_PER_S, v, 0), 1);
    memcpy(&o, v[0].w, sizeof o);
    assert_int_equal(turn_cause(&o), STEP_FLUSH);
    assert_in_range(o.took_ns, 40 * NS_PER_MS, 41 * NS_PER_MS);
    assert_in_range(o.steps_ns[STEP_FLUSH], 40 * NS_PER_MS - 1000, 40 * NS_PER_MS + 1000);
    assert_int_equal(o.begin_ns, 2 * NS_PER_S);
    assert_int_equal(o.wall_ms, 7000);
    free(t);
}

/* Before it is known what a tick is worth nothing is an overrun. */
static void turns_of_the_first_moments_are_not_believed(void **state)
{
    struct turns *t = turns_new();
    (void)state;
    turn(t, 0, STEP_MAIL, 30 * NS_PER_MS);
    turn(t, TURN_CALIBRATE_NS / 2, STEP_MAIL, 2 * NS_PER_MS);
    assert_int_equal(t->overruns_n, 0);
    free(t);
}

static void overlap_is_what_both_have(void **state)
{
    struct turns *t = turns_new();
    const struct turn_overrun *worst = NULL;
    uint64_t worst_ns = 0;
    (void)state;
    t->overruns[0] = (struct turn_overrun){.begin_ns = 100, .took_ns = 50};
    t->overruns[1] = (struct turn_overrun){.begin_ns = 200, .took_ns = 100};
    t->overruns_n = 2;
    assert_int_equal(turns_overlap(t, 0, 100, &worst, &worst_ns), 0);
    assert_null(worst);
    assert_int_equal(turns_overlap(t, 140, 220, &worst, &worst_ns), 30);
    assert_ptr_equal(worst, &t->overruns[1]);
    assert_int_equal(turns_overlap(NULL, 0, 1000, &worst, &worst_ns), 0);
    free(t);
}

static void no_ticks_measure_nothing(void **state)
{
    struct turns *t = calloc(1, sizeof *t);
    (void)state;
    turn(t, NS_PER_S, STEP_MAIL, NS_PER_S);
    turn(t, 2 * NS_PER_S, STEP_MAIL, NS_PER_S);
    assert_int_equal(t->overruns_n, 0);
    turns_step(NULL, STEP_MAIL);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(turn_above_its_budget_is_kept_with_its_cause),
        TEST(turns_of_the_first_moments_are_not_believed),
        TEST(overlap_is_what_both_have),
        TEST(no_ticks_measure_nothing),
    };
    return TESTS_RUN(tests);
}
