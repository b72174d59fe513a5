/*
 * schedule.h - when a request is due, and how many are.
 *
 * Owner: the generator's thread; plain arithmetic, no clock.
 *
 *   request k of connection i of n is due at  start + (k * n + i) / rate
 *
 * so the connections take turns and the whole is evenly spaced. Nothing a broker does moves it.
 */
#ifndef MILLRACE_LOAD_SCHEDULE_H
#define MILLRACE_LOAD_SCHEDULE_H

#include "base.h"

/* Owner: the generator. */
struct schedule {
    uint64_t start_ns;
    double per_s;     /* requests per second of all connections together; > 0 */
    uint32_t conns_n; /* that share it */
};

static inline uint64_t schedule_due_ns(const struct schedule *s, uint32_t conn, uint64_t k)
{
    return s->start_ns + (uint64_t)((double)(k * s->conns_n + conn) / s->per_s * 1e9);
}

/* How many requests of one connection are due before `now_ns`. */
static inline uint64_t schedule_due_n(const struct schedule *s, uint32_t conn, uint64_t now_ns)
{
    if (now_ns <= s->start_ns)
        return 0;
    double all = (double)(now_ns - s->start_ns) / 1e9 * s->per_s; /* k * n + conn < all */
    uint64_t k = all <= conn ? 0 : (uint64_t)((all - conn) / s->conns_n);
    while (k > 0 && schedule_due_ns(s, conn, k - 1) >= now_ns) /* the division was rounded up */
        k--;
    while (schedule_due_ns(s, conn, k) < now_ns)
        k++;
    return k;
}

/* A rate counts as reached when at most one request in a hundred (or ten in all) was left over at
 * the end: less is what is always under way. */
static inline bool schedule_is_behind(uint64_t unsent_n, uint64_t due_n)
{
    return unsent_n > 10 && unsent_n > due_n / 100;
}

#endif
