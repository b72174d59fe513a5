/*
 * group_next_records.h - the records of KIP-848 groups in __consumer_offsets, to bytes and from
 * bytes.
 *
 * Owner: control.
 *
 *   key type  record                          one per
 *   3         ConsumerGroupMetadata           group: epoch, hash of its topics
 *   4         ConsumerGroupPartitionMetadata  (before 4.1; read over, never written)
 *   5         ConsumerGroupMemberMetadata     member: who it is, what it subscribes to
 *   6         ..TargetAssignmentMetadata      group: assignment epoch, when
 *   7         ..TargetAssignmentMember        member: its target
 *   8         ..CurrentMemberAssignment       member: epochs, state, what it has and must give up
 *   16        ConsumerGroupRegularExpression  expression: the names it matched
 *
 * All values are version 0; a null value is a tombstone.
 */
#ifndef MILLRACE_GROUP_NEXT_RECORDS_H
#define MILLRACE_GROUP_NEXT_RECORDS_H

#include "group_next.h"

enum next_record_type {
    NEXT_RECORD_EPOCH = 3,
    NEXT_RECORD_PARTITIONS = 4,
    NEXT_RECORD_MEMBER = 5,
    NEXT_RECORD_TARGET_EPOCH = 6,
    NEXT_RECORD_TARGET = 7,
    NEXT_RECORD_CURRENT = 8,
    NEXT_RECORD_REGEX = 16,
};

void next_records_epoch(struct group_records *records, const struct group_next *group);
void next_records_target_epoch(struct group_records *records, const struct group_next *group);
void next_records_member(struct group_records *records, const struct next_member *member);
void next_records_target(struct group_records *records, const struct next_member *member,
                         const struct next_parts *target);
void next_records_current(struct group_records *records, const struct next_member *member);
void next_records_regex(struct group_records *records, const struct group_next *group,
                        const struct next_regex *regex);
/* Tombstones; `name`: the member's id, the expression, or nothing for types 3 and 6. */
void next_records_gone(struct group_records *records, int16_t type, struct bytes group,
                       struct bytes name);
/* Current, target and member of this id. */
void next_records_member_gone(struct group_records *records, struct bytes group,
                              struct bytes member_id);
/* All of the group's. */
void next_records_group_gone(struct group_records *records, const struct group_next *group);
/* The same but for its members. */
void next_records_rest_gone(struct group_records *records, const struct group_next *group);

/* A decoded record: views into key, value and the arena. */
struct next_record {
    int16_t type; /* enum next_record_type */
    bool is_gone;
    struct bytes group, name;
    const void *value; /* the generated struct of its type; NULL when gone, and of type 4 */
};
/* E_INVALID: a key of another type. E_MALFORMED, E_UNSUPPORTED, E_NO_MEMORY. */
nodiscard int next_record_decode(struct bytes key, struct bytes value, struct arena *arena,
                                 struct next_record *out);

#endif
