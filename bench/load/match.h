/*
 * match.h - from the produce to the receipt: batches matched by (partition, base offset).
 *
 * Owner: the generator's thread.
 *
 * The answer to a produce says where its batch begins; a consumer says what it received there.
 * Either may come first. A slot is found by the batch's number in its partition; when the table is
 * full of batches that nobody received, the oldest is overwritten and its sample is lost, which the
 * report counts (produced less matched).
 */
#ifndef MILLRACE_LOAD_MATCH_H
#define MILLRACE_LOAD_MATCH_H

#include "base.h"

/* Owner: its table. All zero: free. */
struct match {
    int64_t offset_1;     /* base offset + 1 */
    uint64_t intended_ns; /* 0: the answer to the produce has not come yet */
    uint64_t received_ns; /* 0: not received yet */
};

/* Of one partition. Owner: the generator. `v` has slots_n zeroed entries. */
struct match_table {
    struct match *v;
    uint32_t slots_n;
    uint32_t batch_records_n; /* every batch of a run has as many */
};

static inline struct match *match_at(struct match_table *t, int64_t base_offset)
{
    struct match *m = &t->v[(uint64_t)base_offset / t->batch_records_n % t->slots_n];
    if (m->offset_1 != base_offset + 1)
        *m = (struct match){.offset_1 = base_offset + 1};
    return m;
}

/* True when both are known now: `intended_ns` and `latency_ns` are set and the slot is free. */
static inline bool match_end(struct match *m, uint64_t *intended_ns, uint64_t *latency_ns)
{
    if (m->intended_ns == 0 || m->received_ns == 0)
        return false;
    *intended_ns = m->intended_ns;
    *latency_ns = m->received_ns > m->intended_ns ? m->received_ns - m->intended_ns : 0;
    *m = (struct match){0};
    return true;
}

nodiscard static inline bool match_produced(struct match_table *t, int64_t base_offset,
                                            uint64_t due_ns, uint64_t *intended_ns,
                                            uint64_t *latency_ns)
{
    struct match *m = match_at(t, base_offset);
    m->intended_ns = due_ns;
    return match_end(m, intended_ns, latency_ns);
}

nodiscard static inline bool match_received(struct match_table *t, int64_t base_offset,
                                            uint64_t now_ns, uint64_t *intended_ns,
                                            uint64_t *latency_ns)
{
    struct match *m = match_at(t, base_offset);
    if (m->received_ns == 0) /* the first receipt counts */
        m->received_ns = now_ns;
    return match_end(m, intended_ns, latency_ns);
}

#endif
