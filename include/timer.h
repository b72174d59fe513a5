/*
 * timer.h - timers of one thread: a hashed wheel of 4 levels, 1 ms ticks; takes `now`, never reads
 * a clock.
 *
 * Owner: its thread. Timers are embedded in their subject; set, change and stop are O(1) and need
 * no memory.
 *
 *   level 0: 256 slots of 1 ms    level 1: 64 of 256 ms    level 2: 64 of 16 s    level 3: 64 of 17
 * min
 *
 * A timer never fires early; it fires at most one tick late plus the length of the turn. Beyond 18
 * hours it is parked in the last slot and re-sorted when that slot comes. timers_run fires at most
 * `budget` timers a call and goes on where it stopped, so a thousand timers due at once are spread
 * over turns.
 */
#ifndef MILLRACE_TIMER_H
#define MILLRACE_TIMER_H

#include "check.h"
#include "clock.h"
#include "list.h"

enum {
    TIMER_LEVEL0_N = 256,
    TIMER_LEVEL_N = 64,
    TIMER_LEVELS = 4,
};
#define TIMER_TICK_NS NS_PER_MS

/* Owner: the thread of its wheel. */
struct timer {
    struct list link;
    uint64_t at_ns;
    void (*fire)(struct timer *timer, struct now now);
};

struct timers {
    uint64_t tick; /* ticks before this one have been run */
    uint32_t n;    /* timers set */
    struct list level0[TIMER_LEVEL0_N];
    struct list upper[TIMER_LEVELS - 1][TIMER_LEVEL_N];
    struct list due; /* taken out of their slot, to be fired */
};

static inline void timer_init(struct timer *t, void (*fire)(struct timer *, struct now))
{
    list_init(&t->link);
    t->at_ns = 0;
    t->fire = fire;
}

static inline void timers_init(struct timers *w, uint64_t now_ns)
{
    w->tick = now_ns / TIMER_TICK_NS;
    w->n = 0;
    list_init(&w->due);
    for (int i = 0; i < TIMER_LEVEL0_N; i++)
        list_init(&w->level0[i]);
    for (int l = 0; l < TIMER_LEVELS - 1; l++)
        for (int i = 0; i < TIMER_LEVEL_N; i++)
            list_init(&w->upper[l][i]);
}

static inline bool timer_is_set(const struct timer *t)
{
    return list_is_linked(&t->link);
}

static inline void timers_place(struct timers *w, struct timer *t)
{
    uint64_t tick = max_u64((t->at_ns + TIMER_TICK_NS - 1) / TIMER_TICK_NS, w->tick);
    uint64_t ahead = tick - w->tick;
    if (ahead < TIMER_LEVEL0_N) {
        list_append(&w->level0[tick % TIMER_LEVEL0_N], &t->link);
        return;
    }
    for (int l = 0; l < TIMER_LEVELS - 1; l++) {
        int shift = 8 + 6 * l;
        if (ahead >> (shift + 6) == 0 || l == TIMER_LEVELS - 2) {
            uint64_t slot =
                ahead >> (shift + 6) == 0 ? tick >> shift : (w->tick >> shift) + TIMER_LEVEL_N - 1;
            list_append(&w->upper[l][slot % TIMER_LEVEL_N], &t->link);
            return;
        }
    }
}

static inline void timer_stop(struct timers *w, struct timer *t)
{
    if (!timer_is_set(t))
        return;
    list_del(&t->link);
    w->n--;
}

/* Sets or moves the timer to at_ns (monotonic); in the past means the next run. */
static inline void timer_set(struct timers *w, struct timer *t, uint64_t at_ns)
{
    check(t->fire != NULL);
    timer_stop(w, t);
    t->at_ns = at_ns;
    w->n++;
    timers_place(w, t);
}

static inline void timers_cascade(struct timers *w)
{
    for (int l = 0; l < TIMER_LEVELS - 1; l++) {
        int shift = 8 + 6 * l;
        struct list again;
        if (w->tick & ((1ull << shift) - 1))
            return;
        list_init(&again);
        list_splice(&again, &w->upper[l][(w->tick >> shift) % TIMER_LEVEL_N]);
        for (struct list *n; (n = list_pop(&again)) != NULL;)
            timers_place(w, list_entry(n, struct timer, link));
    }
}

/* Fires what is due, at most `budget`; returns how many. Call every turn. */
static inline int timers_run(struct timers *w, struct now now, int budget)
{
    uint64_t tick_now = now.ns / TIMER_TICK_NS;
    int fired = 0;
    while (w->tick <= tick_now) {
        if (w->n == 0) {
            w->tick = tick_now + 1;
            break;
        }
        list_splice(&w->due, &w->level0[w->tick % TIMER_LEVEL0_N]);
        w->tick++;
        timers_cascade(w);
    }
    for (struct list *n; fired < budget && (n = list_pop(&w->due)) != NULL; fired++) {
        struct timer *t = list_entry(n, struct timer, link);
        w->n--;
        t->fire(t, now);
    }
    return fired;
}

/* A lower bound, in ns from now, on when the next timer is due: how long a thread may sleep. */
static inline uint64_t timers_next_ns(const struct timers *w, struct now now, uint64_t ns_max)
{
    if (w->n == 0)
        return ns_max;
    if (!list_is_empty(&w->due))
        return 0;
    /* Up to and including the next multiple of 256, where the level above comes down. */
    for (uint64_t i = 0; i <= TIMER_LEVEL0_N; i++) {
        uint64_t tick = w->tick + i;
        if (!list_is_empty(&w->level0[tick % TIMER_LEVEL0_N]) ||
            (tick % TIMER_LEVEL0_N == 0 && i > 0)) {
            uint64_t at = tick * TIMER_TICK_NS;
            return at <= now.ns ? 0 : min_u64(at - now.ns, ns_max);
        }
    }
    return ns_max;
}

#endif
