/*
 * group_next_commit.c - may a member of a KIP-848 group commit or fetch offsets?
 *
 * Owner: control.
 *
 * A commit with the member's epoch is taken. One with an older epoch is taken for a partition that
 * the member has had since that epoch or before (KIP-1251): its answer with the new epoch may be on
 * its way. Everything else is stale.
 */
#include "group_next.h"
#include "kafka_codes.h"

enum { COMMIT_VERSION_NEXT = 9 };

int16_t next_commit_check(const struct group_next *g, struct bytes member_id, int32_t epoch,
                          int16_t version, const struct uuid *topic_id, int32_t partition)
{
    if (epoch < 0 && g->members_n == 0)
        return 0; /* an admin client, into a group that nobody is in */
    const struct next_member *m = next_member_find(g, member_id);
    if (m == NULL)
        return KAFKA_UNKNOWN_MEMBER_ID;
    if (m->classic != NULL)
        return epoch == m->epoch ? 0 : KAFKA_ILLEGAL_GENERATION;
    if (version < COMMIT_VERSION_NEXT)
        return KAFKA_UNSUPPORTED_VERSION;
    if (epoch == m->epoch)
        return 0;
    if (epoch > m->epoch || epoch < 0)
        return KAFKA_STALE_MEMBER_EPOCH;
    if (topic_id == NULL)
        return 0; /* the partitions will be asked for one by one */
    const struct next_part *p = next_parts_find(&m->assigned, topic_id, partition);
    if (p == NULL)
        p = next_parts_find(&m->revoking, topic_id, partition);
    return p != NULL && epoch >= p->epoch ? 0 : KAFKA_STALE_MEMBER_EPOCH;
}

int16_t next_fetch_check(const struct group_next *g, struct bytes member_id, int32_t epoch)
{
    if (member_id.ptr == NULL && epoch < 0)
        return 0;
    const struct next_member *m = next_member_find(g, member_id);
    if (m == NULL)
        return KAFKA_UNKNOWN_MEMBER_ID;
    return epoch == m->epoch    ? 0
           : m->classic != NULL ? KAFKA_ILLEGAL_GENERATION
                                : KAFKA_STALE_MEMBER_EPOCH;
}
