/*
 * produce_bed.h - what the tests of Produce share: batches in request order through three
 * partitions.
 *
 * Owner: the test program.
 */
#ifndef MILLRACE_PRODUCE_BED_H
#define MILLRACE_PRODUCE_BED_H

#include "kafka_bed.h"

enum { PRODUCE = 0 };

enum { ORDERED_N = 6 };

/* Batches of 1, 2, 3 .. records, each to three partitions. */
static inline void send_ordered(struct bed *bed, struct view_topic *t, struct client *c,
                                int32_t *ids)
{
    for (int i = 0; i < ORDERED_N; i++)
        ids[i] = client_send(c, PRODUCE, 9, produce_to(bed, t, 0, 3, 1, batch_of(bed, 1 + i, 1)));
}

/* They are answered, and stand one behind the other. */
static inline void check_order(struct client *c, const int32_t *ids)
{
    int64_t offset = 0;
    for (int i = 0; i < ORDERED_N; offset += 1 + i, i++) {
        const struct produce_response *p = client_answer(c, PRODUCE, 9, ids[i]);
        for (int partition = 0; partition < 3; partition++)
            assert_int_equal(produced(p, partition)->base_offset, offset);
    }
}

#endif
