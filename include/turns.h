/*
 * turns.h - where the time of a thread's turns goes, by step; the turns that took too long are kept
 * with their cause.
 *
 * Owner: the thread that turns; `top` may be read by any other (top.h).
 *
 * Between two steps the processor's cycle counter is read (`ticks`, some 20 cycles) and nothing
 * else. A turn above TURN_BUDGET_NS becomes an overrun: its steps in nanoseconds, kept for the
 * requests that lived through it (turns_overlap) and, when it is among the longest, for
 * `millrace slow`. What a tick is worth is found from the turns' own times. A thread that lost its
 * core in the middle of a step shows as that step.
 *
 * Example: a turn of 40 ms, 38 of them in STEP_FRAMES: a request took its decoding that long.
 */
#ifndef MILLRACE_TURNS_H
#define MILLRACE_TURNS_H

#include "top.h"

/* In the order of the turn. A step may come more than once. */
#define TURN_STEPS(STEP)                                                     \
    STEP(COMPLETIONS, "what the kernel had finished: receives, disk, sends") \
    STEP(PACKETS, "packets taken from ports, and what TCP makes of them")    \
    STEP(MAIL, "operations and answers of other threads")                    \
    STEP(TIMERS, "timers and housekeeping")                                  \
    STEP(INTERNAL, "appends and reads that control asked for")               \
    STEP(READS, "reads of logs that went on after the disk")                 \
    STEP(APPENDS, "batches that waited, placed in their logs")               \
    STEP(ANSWERS, "answers computed and encoded")                            \
    STEP(FRAMES, "requests begun: decoded, batches placed, logs read")       \
    STEP(FLUSH, "writes and flushes begun, logs' files looked after")        \
    STEP(SENDS, "answers handed to connections")                             \
    STEP(SEGMENTS, "segments and acknowledgements handed to ports")          \
    STEP(SUBMIT, "operations handed to the kernel")                          \
    STEP(POST, "mail handed to other threads")

enum turn_step {
#define STEP(name, text) STEP_##name,
    TURN_STEPS(STEP)
#undef STEP
        TURN_STEPS_N
};

enum { TURN_OVERRUNS_N = 32 };
#define TURN_BUDGET_NS    (1 * NS_PER_MS)
#define TURN_CALIBRATE_NS (20 * NS_PER_MS) /* before the first overrun is believed */

/* A turn above its budget: the words of its entry in `top`. Owner: the thread. */
struct turn_overrun {
    uint64_t begin_ns, took_ns;
    int64_t wall_ms;
    uint64_t steps_ns[TURN_STEPS_N];
};
static_assert(sizeof(struct turn_overrun) % 8 == 0 && sizeof(struct turn_overrun) / 8 <= TOP_WORDS,
              "an entry of top.h");

/* Owner: the thread. Zeroed memory measures nothing. */
struct turns {
    uint64_t (*ticks)(void); /* NULL: nothing is measured (the simulator) */
    struct now first, now;   /* of the first turn, of the one under way */
    uint64_t first_ticks, begin_ticks, last_ticks;
    uint64_t budget_ticks; /* 0: the worth of a tick is not known yet */
    uint64_t steps[TURN_STEPS_N];
    struct turn_overrun overruns[TURN_OVERRUNS_N]; /* a ring */
    uint32_t overruns_n;
    struct top top;
};

/* Around a turn and behind each of its steps; nothing happens where there is no cycle counter. */
static inline void turns_begin(struct turns *t, struct now now)
{
    if (t->ticks == NULL)
        return;
    t->begin_ticks = t->last_ticks = t->ticks();
    t->now = now;
    if (unlikely(t->first_ticks == 0)) {
        t->first = now;
        t->first_ticks = t->begin_ticks;
    } else if (unlikely(t->budget_ticks == 0 && now.ns > t->first.ns + TURN_CALIBRATE_NS)) {
        t->budget_ticks = (uint64_t)((double)TURN_BUDGET_NS / (double)(now.ns - t->first.ns) *
                                     (double)(t->begin_ticks - t->first_ticks));
    }
    memset(t->steps, 0, sizeof t->steps);
}

/* What was done since the last call was `step`. */
static inline void turns_step(struct turns *t, enum turn_step step)
{
    if (t == NULL || t->ticks == NULL)
        return;
    uint64_t ticks = t->ticks();
    t->steps[step] += ticks - t->last_ticks;
    t->last_ticks = ticks;
}

/* The same for a step that costs nothing when it finds nothing: its time goes to the next then. */
static inline int turns_step_of(struct turns *t, enum turn_step step, int done)
{
    if (done != 0)
        turns_step(t, step);
    return done;
}

static inline void turns_overran(struct turns *t)
{
    struct turn_overrun *o = &t->overruns[t->overruns_n++ % TURN_OVERRUNS_N];
    double ns = (double)(t->now.ns - t->first.ns) / (double)(t->begin_ticks - t->first_ticks);
    uint64_t w[TOP_WORDS];
    o->begin_ns = t->now.ns;
    o->wall_ms = t->now.wall_ms;
    o->took_ns = 0;
    for (int i = 0; i < TURN_STEPS_N; i++) {
        o->steps_ns[i] = (uint64_t)((double)t->steps[i] * ns);
        o->took_ns += o->steps_ns[i];
    }
    memcpy(w, o, sizeof *o);
    if (o->took_ns > 0 && top_wants(&t->top, o->took_ns, t->now.ns))
        top_put(&t->top, o->took_ns, t->now.ns, w, sizeof *o / sizeof *w);
}

static inline void turns_end(struct turns *t)
{
    if (t->ticks != NULL &&
        unlikely(t->budget_ticks != 0 && t->last_ticks - t->begin_ticks > t->budget_ticks))
        turns_overran(t);
}

static inline enum turn_step turn_cause(const struct turn_overrun *o)
{
    int at = 0;
    for (int i = 1; i < TURN_STEPS_N; i++)
        if (o->steps_ns[i] > o->steps_ns[at])
            at = i;
    return (enum turn_step)at;
}

/* How much of [from_ns, to_ns) was spent in turns that overran; the longest part's turn in *worst
 * (left alone when there is none). NULL: 0. */
static inline uint64_t turns_overlap(const struct turns *t, uint64_t from_ns, uint64_t to_ns,
                                     const struct turn_overrun **worst, uint64_t *worst_ns)
{
    uint64_t sum = 0;
    uint32_t n = t == NULL ? 0 : (uint32_t)min_u64(t->overruns_n, TURN_OVERRUNS_N);
    for (uint32_t i = 0; i < n; i++) {
        const struct turn_overrun *o = &t->overruns[i];
        uint64_t from = max_u64(from_ns, o->begin_ns);
        uint64_t to = min_u64(to_ns, o->begin_ns + o->took_ns);
        if (from >= to)
            continue;
        sum += to - from;
        if (to - from > *worst_ns) {
            *worst_ns = to - from;
            *worst = o;
        }
    }
    return min_u64(sum, to_ns > from_ns ? to_ns - from_ns : 0);
}

#endif
