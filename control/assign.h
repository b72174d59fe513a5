/*
 * assign.h - which member of a consumer group (KIP-848) should have which partition: the assignors
 * of the server.
 *
 * Owner: the caller. Pure: numbers in, numbers out, no clock, no randomness; the same input gives
 * the same assignment.
 *
 * Partitions are numbered through: partition p of topic t is topics[t].first + p. Members stand in
 * the order in which ties are broken (static members first, then by id: as Kafka's RangeAssignor
 * sorts them).
 *
 *   range     per topic, its subscribers get neighbouring partitions, n / m each and one more for
 *             the first n % m: topics with as many partitions and the same members are split alike
 *             (co-partitioning)
 *   uniform   all partitions together are spread so that loads differ by at most one where
 *             subscriptions are equal; where they differ, no partition can move to a member with a
 *             load smaller by two or more. What a member holds stays with it as far as that allows
 *
 * Racks are not looked at: Kafka's own assignors stopped doing so in 4.0, and on one node every
 * partition is in one rack.
 *
 * The work is resumable: assign_more does about `budget` units (a partition or a subscription
 * touched) per call.
 *
 * Sources: Kafka RangeAssignor, UniformHomogeneousAssignmentBuilder,
 * UniformHeterogeneousAssignmentBuilder (behaviour).
 */
#ifndef MILLRACE_ASSIGN_H
#define MILLRACE_ASSIGN_H

#include "base.h"
#include "errors.h"

enum assignor { ASSIGN_UNIFORM, ASSIGN_RANGE, ASSIGNORS_N };
enum {
    ASSIGN_PASSES_MAX = 64
}; /* of levelling; each one that changes something makes loads more even */
#define ASSIGN_NOBODY UINT32_MAX

struct assign_topic {
    uint32_t first, partitions_n;
};

struct assign_member {
    const uint32_t *topics; /* it subscribes to; ascending */
    uint32_t topics_n;
    const uint32_t
        *held; /* partitions it had; ascending; what it may not have any more is passed over */
    uint32_t held_n;
    uint32_t quota;        /* inside */
    const uint32_t *parts; /* out: ascending; memory of the assign */
    uint32_t parts_n;
};

/* Owner: the caller. The caller's are the first five; topics and members stay until assign_fini. */
struct assign {
    enum assignor assignor;
    struct assign_topic *topics;
    struct assign_member *members;
    uint32_t topics_n, members_n;
    uint32_t partitions_n;
    uint8_t phase;
    bool is_homogeneous, has_changed;
    uint32_t at, pass, extra_n, free_n, member_at;
    uint32_t *owner;                                /* by partition; ASSIGN_NOBODY */
    uint32_t *load;                                 /* by member */
    uint32_t *count;                                /* by member, of one topic */
    uint32_t *free_list;                            /* partitions without owner */
    uint32_t *subscribers, *subscribers_at, *order; /* by topic */
    struct assign_level *levels;
    struct assign_key *keys; /* by topic */
    uint32_t *parts;
};

/* E_NO_MEMORY; E_INVALID: more than UINT32_MAX subscriptions. */
nodiscard int assign_begin(struct assign *assign);
/* 0 when it is done, else E_AGAIN. */
int assign_more(struct assign *assign, uint64_t budget);
void assign_fini(struct assign *assign);

/* "uniform", "range"; false: no such assignor. */
bool assignor_by_name(const char *name, uint32_t n, enum assignor *out);
const char *assignor_name(enum assignor assignor);

#endif
