/*
 * seq.h - TCP sequence numbers (RFC 9293 3.4): a struct, so that < and == do not compile.
 *
 * Owner: immutable (pure functions).
 */
#ifndef MILLRACE_SEQ_H
#define MILLRACE_SEQ_H

#include "base.h"

struct seq {
    uint32_t v;
};

static inline struct seq seq_add(struct seq a, uint32_t n)
{
    return (struct seq){a.v + n};
}

/* a - b, right while they are less than 2^31 apart. */
static inline int32_t seq_diff(struct seq a, struct seq b)
{
    return (int32_t)(a.v - b.v);
}

static inline bool seq_lt(struct seq a, struct seq b)
{
    return seq_diff(a, b) < 0;
}

static inline bool seq_leq(struct seq a, struct seq b)
{
    return seq_diff(a, b) <= 0;
}

static inline bool seq_eq(struct seq a, struct seq b)
{
    return a.v == b.v;
}

static inline struct seq seq_max(struct seq a, struct seq b)
{
    return seq_lt(a, b) ? b : a;
}

static inline struct seq seq_min(struct seq a, struct seq b)
{
    return seq_lt(a, b) ? a : b;
}

#endif
