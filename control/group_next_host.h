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
enum migration_phase {
    UP_MEMBERS,  /* each classic member is made one of `next` */
    UP_SETTLE,   /* who owns what */
    UP_RECORDS,  /* of members, then ... */
    UP_TARGETS,  /* ... targets, then ... */
    UP_CURRENTS, /* ... what each has */
    UP_FINISH,   /* in one turn: written, the old members go, `next` is the group's */
    DOWN_MEMBERS,
    DOWN_GONE, /* tombstones of each */
    DOWN_FINISH,
    DOWN_FREE, /* `next` hangs at no group any more */
};

/* One kind of group becomes the other, a piece in each turn. The old form stands untouched until
 * FINISH; requests that would change it wait. When a timer changes it, it begins anew.
 * Owner: coordinator->migrations. */
struct migration {
    struct list link;
    struct group *group; /* NULL: DOWN_FREE */
    uint64_t version;    /* up: of the group when it began */
    uint8_t phase;       /* enum migration_phase */
    struct list *at;     /* the next of the members' list */
    struct group_next *next;
    struct list made;             /* down: struct group_member */
    struct group_records records; /* one write of all of them ... */
    struct group_records gone;    /* ... down: behind those of the change that began it */
    struct control_op *op;        /* down: whom that write answers; NULL: nobody */
    struct list waiting;          /* requests that run again when it is over */
};

/* May a classic group with members become a KIP-848 group? */
bool migrate_up_may(const struct coordinator *co, const struct group *group, struct fault *fault);
/* It does; `op` is run again then. */
void migrate_up(struct coordinator *co, struct group *group, struct control_op *op);
/* group->next, of which all members speak the classic protocol, becomes a classic group; its
 * records follow those in `records` (taken), then `op` is answered (NULL: nobody waits). */
void migrate_down(struct coordinator *co, struct group *group, struct group_records *records,
                  struct control_op *op);
/* The next piece. */
void migration_step(struct coordinator *co, struct migration *m);
/* It is over, or the group is: who waits runs again. */
void migration_end(struct coordinator *co, struct migration *m);
void migrations_fini(struct coordinator *co);
/* A request about a group that migrates; true: it waits. */
bool migration_holds(struct coordinator *co, struct control_op *op);
/* group->next has changed while it went down: it begins anew, behind the records it had. */
void migration_take_back(struct coordinator *co, struct group *group, struct group_records *records,
                         struct control_op **op);
/* As if it had just come. */
void next_host_again(struct coordinator *co, struct control_op *op);
/* Those that wait for writes up to `number`. */
void next_host_waiting_answer(struct coordinator *co, struct group_next *g, uint64_t number,
                              int16_t error);

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
