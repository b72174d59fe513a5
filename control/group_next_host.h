/*
 * group_next_host.h - KIP-848 groups in the coordinator: what group_next.h asks of it, and what
 * requests need of both.
 *
 * Owner: control. A KIP-848 group hangs at a struct group of the same id (group->next), which has
 * the committed offsets and stands EMPTY as a classic group.
 */
#ifndef MILLRACE_GROUP_NEXT_HOST_H
#define MILLRACE_GROUP_NEXT_HOST_H

#include "coordinator.h"

nodiscard int next_host_init(struct coordinator *co);
void next_host_fini(struct coordinator *co);

/* ── requests ── */
void next_heartbeat_run(struct coordinator *co, struct control_op *op); /* ConsumerGroupHeartbeat */
void next_describe_run(struct coordinator *co, struct control_op *op);  /* ConsumerGroupDescribe */
/* May this OffsetCommit be taken for all its partitions? A Kafka error code. */
int16_t next_host_commit_check(struct coordinator *co, const struct group *group,
                               const struct control_op *op);
/* A classic member wants in: an empty group becomes a classic one. A Kafka error code. */
int16_t next_host_join(struct coordinator *co, struct group *group);

/* ── group_migrate.c: one kind of group becomes the other ── */
/* A classic group with members becomes group->next; false with the fault set. */
bool migrate_up(struct coordinator *co, struct group *group, struct fault *fault);
/* group->next, of which all members speak the classic protocol, becomes a classic group; its
 * records follow those in `records` (taken), then `op` is answered (NULL: nobody waits). */
void migrate_down(struct coordinator *co, struct group *group, struct group_records *records,
                  struct control_op *op);

/* ── the group's memory and log ── */
/* False: no memory, or records->error. */
bool next_host_write(struct coordinator *co, struct group *group,
                     const struct group_records *records, struct control_op *op);
/* `op` says `error`, whatever request it is. */
void next_host_refuse(struct control_op *op, int16_t error);
void next_host_gone(struct coordinator *co, struct group *group,
                    int16_t error); /* group->next goes with its group */
nodiscard int next_host_apply(struct coordinator *co, int32_t partition, struct bytes key,
                              struct bytes value, struct arena *arena); /* while loading */
nodiscard int next_host_loaded(struct coordinator *co, struct group *group);

#endif
