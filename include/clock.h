/*
 * clock.h - the only place that reads a clock. Everything else takes `now` as an argument.
 *
 * Owner: any thread.
 *
 * now      nanoseconds of CLOCK_MONOTONIC: timers, stages, timeouts.
 * wall_ms  milliseconds since 1970 UTC: record timestamps, retention, file names.
 */
#ifndef MILLRACE_CLOCK_H
#define MILLRACE_CLOCK_H

#include <time.h>

#include "base.h"

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

/* The two times a turn works with. */
struct now {
    uint64_t ns;     /* monotonic */
    int64_t wall_ms; /* since 1970 UTC */
};

/* Monotonic nanoseconds. */
static inline uint64_t clock_read_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* The processor's cycle counter: differences on one thread, in a unit that only a comparison with
 * clock_read_ns gives (turns.h). Where there is none it is nanoseconds. */
static inline uint64_t clock_read_ticks(void)
{
#ifdef __x86_64__
    return __builtin_ia32_rdtsc();
#else
    return clock_read_ns();
#endif
}

/* Both at once; the wall clock to the kernel's tick (1 to 4 ms). */
static inline struct now clock_read(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (struct now){clock_read_ns(), (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000};
}

#endif
