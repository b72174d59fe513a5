/*
 * group_next.h - consumer groups of the protocol of KIP-848: members, epochs, targets, who owns
 * what.
 *
 * Owner: control. No I/O, no clock: requests, time and metadata come in, answers and records go out
 * through struct next_host. Memory is ahead of the log; an answer leaves when the records before it
 * are durable.
 *
 * A **group** has three clocks. `epoch` rises with every change of members, subscriptions or
 * topics. When it is ahead of `assignment_epoch`, an assignor (assign.h) makes a new **target**:
 * what each member should have. Each member walks towards its target by itself, one heartbeat at a
 * time:
 *
 *                   target moved on, something to give up
 *    ┌───────► STABLE ──────────────────────────────────────► UNREVOKED
 *    │           │ ▲                                             │ its heartbeat does not name
 *    │  nothing  │ │ all of its target is free                   │ what it was asked for
 *    │  to give  ▼ │                                             ▼
 *    └──────── UNRELEASED ◄───────────── part of the target is still with others
 *
 *   STABLE       has all of the target of its epoch
 *   UNREVOKED    is asked to give up `revoking`; keeps its epoch; fenced when that takes longer
 *                than its rebalance timeout
 *   UNRELEASED   has given up what it had to; waits for partitions that others still hold
 *
 * Invariant: a partition stands in `assigned` or `revoking` of at most one member (owners.member
 * says of whom), and it goes to another only after its owner's heartbeat left it out, or its owner
 * is gone.
 *
 * Member epochs: 0 joins, -1 leaves, -2 is a static member that will come back; the epoch before
 * the last one is accepted too when the member owns no more than it should (its last answer may
 * have been lost).
 *
 * **Online migration.** A member may speak the classic protocol instead (`classic` is set): a
 * JoinGroup is then a heartbeat that says what it owns, SyncGroup asks for what it has. A classic
 * group becomes one of these when the first ConsumerGroupHeartbeat joins, and this one a classic
 * group when the last member of ConsumerGroupHeartbeat is gone (group_migrate.c).
 *
 * Sources: KIP-848, KIP-1082 (ids of clients), KIP-1251 (assignment epochs of partitions), KIP-1263
 * (interval between assignments); behaviour of Kafka's GroupMetadataManager, ConsumerGroup and
 * CurrentAssignmentBuilder.
 */
#ifndef MILLRACE_GROUP_NEXT_H
#define MILLRACE_GROUP_NEXT_H

#include "assign.h"
#include "bytes.h"
#include "bytes_heap.h"
#include "clock.h"
#include "control.h"
#include "group_records.h"
#include "list.h"
#include "prng.h"
#include "timer.h"

enum {
    NEXT_BUCKETS = 65536,            /* 100,000 members: two in a bucket */
    NEXT_SUBSCRIPTIONS_MAX = 100000, /* names of one member; a bound of ours */
    NEXT_EPOCH_JOIN = 0,
    NEXT_EPOCH_LEAVE = -1,
    NEXT_EPOCH_LEAVE_STATIC = -2,
    NEXT_ASSIGN_BUDGET = 40000, /* units of a job in one turn, each 20 to 30 instructions */
    NEXT_ASSIGN_SMALL = 5000, /* topics and partitions of members of a job begun and done at once */
    /* What heartbeats of one turn may do, in 256 instructions or so: a partition or topic that is
     * looked at. */
    NEXT_WORK_PER_TURN = 10000,
    NEXT_WORK_HEARTBEAT = 8, /* any heartbeat */
    NEXT_WORK_EPOCH = 10,    /* a new epoch, besides the topics that are looked at */
    NEXT_WORK_GONE = 40,     /* a member that goes, besides what it had */
    NEXT_WORK_STEP = 40u,    /* a step towards the target, besides the partitions */
};

enum { NEXT_OP_ID = 2 }; /* op->inside of a heartbeat: the id that was made for it; text */

/* Kafka's numbers: they stand in CurrentMemberAssignment records. */
enum next_member_state {
    NEXT_STABLE = 0,
    NEXT_UNREVOKED = 1,
    NEXT_UNRELEASED = 2,
    NEXT_UNKNOWN = 127
};

enum next_group_state {
    NEXT_EMPTY,
    NEXT_ASSIGNING,
    NEXT_RECONCILING,
    NEXT_SETTLED,
    NEXT_GROUP_STATES_N
};

/* A partition, and since which member epoch its member has it. */
struct next_part {
    struct uuid topic_id;
    int32_t partition, epoch;
};
/* Ascending by topic id and partition. Owner: whoever holds it; heap. */
struct next_parts {
    struct next_part *v;
    uint32_t n;
};

/* A topic that somebody subscribes to, whether it exists or not. Owner: its group. */
struct next_topic {
    struct uuid id;
    int32_t partitions_n; /* 0: there is no such topic */
    uint32_t refs;        /* members and expressions that name it */
    uint32_t at;          /* of the assignment under way; UINT32_MAX: not in it */
    struct bytes name;    /* behind the struct */
};

/* Topics, ascending by name, each counted in refs. Owner: its member or expression. */
struct next_topics {
    struct next_topic **v;
    uint32_t n;
};

/* The ids of what one subscription means, ascending: of the last member that was asked for, since
 * most members of a group subscribe to the same. Owner: its group. */
struct next_ids {
    struct next_topic **names; /* the subscription: a copy of the member's */
    uint32_t names_n;
    const struct next_regex *regex;
    uint64_t version; /* group->ids_version it is of; 0: none */
    struct uuid *v;
    uint32_t n;
};

/* Owner: its group. */
struct next_regex {
    struct list link;  /* group->regexes */
    struct bytes text; /* heap */
    uint32_t members_n;
    struct next_topics topics;
    int64_t version, resolved_ms;
};

/* What a member that speaks the classic protocol (JoinGroup, SyncGroup, Heartbeat) has besides: see
 * group_next_classic.c. Owner: its member. */
struct next_classic {
    struct next_member *member;
    int32_t session_timeout_ms;
    struct group_protocol *protocols; /* in its order of preference; views into memory */
    uint32_t protocols_n, bytes;
    uint8_t *memory;         /* heap */
    struct timer join, sync; /* it was told to join again, or to fetch what it has: by then */
};

/* Owner: its group. */
struct next_member {
    struct list link, id_link, instance_link;
    struct group_next *group;
    struct bytes id, instance_id, rack_id, client_id,
        client_host;       /* heap; instance, rack: ptr NULL = none */
    struct bytes assignor; /* heap; ptr NULL = no preference */
    struct next_topics names;
    struct next_regex *regex;     /* NULL = none */
    struct next_classic *classic; /* NULL: it speaks ConsumerGroupHeartbeat; next_classic_set */
    int32_t rebalance_timeout_ms;
    int32_t epoch, previous_epoch;
    uint8_t state; /* enum next_member_state */
    struct next_parts assigned, revoking, target;
    struct timer session, rebalance;
    int32_t rebalance_epoch; /* the rebalance timer was set in */
    bool is_counted;         /* in group->unsettled_n */
    uint32_t job_at;         /* of the assignment under way; UINT32_MAX: not in it */
    uint32_t bytes;          /* counted in nexts->bytes */
};

/* Which member owns a partition. Open addressing; deleting shifts back. Owner: its group. */
struct next_owners {
    struct next_owner {
        struct uuid topic_id;
        int32_t partition;
        struct next_member *member; /* NULL: free slot */
    } * v;
    uint32_t n, mask; /* mask 0: no table */
};

/* An assignment being computed: members and topics become numbers (FILL), the assignor works
 * (ASSIGN), its numbers become the members' next targets (TARGETS). Owner: its group. */
enum next_job_phase { NEXT_JOB_FILL, NEXT_JOB_ASSIGN, NEXT_JOB_TARGETS };
struct next_job {
    struct list link; /* nexts->jobs */
    struct group_next *group;
    uint8_t phase; /* enum next_job_phase */
    uint32_t at;   /* the next member of FILL, TARGETS */
    struct assign assign;
    struct next_member **members;  /* by number; NULL: gone meanwhile */
    struct uuid *topic_ids;        /* by number, ascending */
    uint32_t **numbers;            /* by member: memory of its topics and of what it held */
    struct next_parts *targets;    /* by member: what it gets ... */
    struct group_records *records; /* ... and its record, when that is another than it has */
    int32_t epoch;                 /* the group's, when it began */
    struct list waiting;           /* heartbeats of a group that has no assignment yet */
};

/* What a group may set for itself (GROUP resources of IncrementalAlterConfigs). */
struct next_settings {
    int32_t session_timeout_ms, heartbeat_interval_ms, assignment_interval_ms;
};

/* Owner: control. */
struct group_next {
    struct nexts *nexts;
    void *holder;    /* the host's */
    struct bytes id; /* heap */
    int32_t epoch, assignment_epoch;
    int64_t hash, assigned_ms;     /* of the topics; when the last assignment ended */
    enum assignor assignor;        /* of the last assignment */
    uint64_t metadata_version;     /* topics are as of it */
    struct next_settings settings; /* next_settings_look */
    uint64_t settings_version;
    struct list members, regexes;
    uint32_t members_n, static_n, classic_n;
    uint32_t unsettled_n; /* members that are not settled */
    uint8_t state_noted;  /* enum next_group_state, as nexts->states_n has it */
    bool is_moving;       /* a rebalance was told of and is not over */
    uint8_t cause;        /* enum group_cause of the next bump of the epoch ... */
    char who[64];         /* ... and the member it is about */
    uint32_t moved_n;     /* partitions that got another member since it began */
    bool
        keeps_generation; /* when it becomes a classic group now, its members need not join again */
    struct next_topic **topics; /* ascending by name */
    uint32_t topics_n, topics_max;
    uint64_t ids_version; /* grows when a topic or expression comes, goes or means something else */
    struct next_ids ids;
    struct next_owners owners;
    struct next_job *job; /* NULL: none under way */
    /* the host's: requests whose answers wait for a write, numbers of the last write and the last
     * durable one */
    struct list waiting;
    uint64_t last, done;
};

/* A rebalance: the epoch rose, the target is made, every member has it. */
enum next_event { NEXT_BEGUN, NEXT_ASSIGNED, NEXT_OVER };

/* What is needed from outside. Owner: control. */
struct next_host {
    /* Records of the group go to its log (their memory is taken); then `op`, whose response is set,
     * is answered. No records: it is answered when everything before it is durable. op NULL: nobody
     * waits. A group that next_may_downgrade becomes a classic one and is freed here, so this is
     * the last that a caller does with it. */
    void (*append)(void *context, struct group_next *group, struct group_records *records,
                   struct control_op *op);
    /* A topic as it is now; false: there is none. */
    bool (*topic)(void *context, struct bytes name, struct uuid *id, int32_t *partitions_n);
    /* Names of all topics, from place 0 on; false at the end. */
    bool (*topic_name)(void *context, uint32_t *at, struct bytes *name);
    uint64_t (*metadata_version)(void *context);
    /* The version of all settings; `out` is set when it is not `version`. NULL: every group has
     * those of next_config. */
    uint64_t (*settings)(void *context, struct bytes id, uint64_t version,
                         struct next_settings *out);
    /* The request runs again, from its beginning, in a later turn. NULL: no request ever waits for
     * an assignment; the first one of a group is made at once. */
    void (*again)(void *context, struct control_op *op);
    /* For the explainer; NULL: nobody listens. */
    void (*told)(void *context, struct group_next *group, enum next_event event);
    void *context;
};

struct next_config {
    int32_t session_timeout_ms, heartbeat_interval_ms, size_max, assignment_interval_ms;
    uint64_t bytes_max;              /* bound of ours: of all members */
    uint64_t member_bytes_max;       /* bound of ours: what a classic member offers */
    int32_t classic_size_max;        /* group.max.size: members of a classic group */
    bool may_upgrade, may_downgrade; /* group.consumer.migration.policy */
};

/* Owner: control. */
struct nexts {
    struct next_config config;
    struct next_host host;
    struct timers *timers;
    struct prng *prng;
    uint64_t hash_seed;
    struct list *by_id, *by_instance; /* NEXT_BUCKETS each */
    struct list jobs;
    uint64_t bytes;
    uint32_t groups_n, members_n;
    uint64_t rebalances_n, fenced_n;
    uint64_t work; /* of this turn: topics and partitions that were looked at */
    uint32_t states_n[NEXT_GROUP_STATES_N]; /* groups by state */
};

struct consumer_group_heartbeat_request;
struct fault;

/* ── group_next.c: tables ── */
nodiscard int nexts_init(struct nexts *nexts, const struct next_config *config,
                         const struct next_host *host, struct timers *timers, struct prng *prng);
void nexts_fini(struct nexts *nexts); /* every group is freed before */
struct group_next *group_next_new(struct nexts *nexts, struct bytes id,
                                  void *holder); /* NULL: no memory */
void group_next_free(struct group_next *group);
enum next_group_state group_next_state(const struct group_next *group);
const char *next_state_name(enum next_group_state state);
struct next_member *next_member_find(const struct group_next *group, struct bytes id);
struct next_member *next_member_by_instance(const struct group_next *group,
                                            struct bytes instance_id);
bool next_member_is_settled(const struct next_member *member);
bool next_is_subscribed(const struct group_next *group, struct bytes topic);
void group_next_invariants(const struct group_next *group);

/* ── group_next_heartbeat.c ── */
/* What is wrong with the request by itself; true: nothing. */
bool next_request_check(const struct consumer_group_heartbeat_request *request, int16_t version,
                        struct fault *fault);
void group_next_heartbeat(struct group_next *group, struct control_op *op, struct now now);
/* The answer of a heartbeat that failed. */
void next_refuse(struct control_op *op, const struct fault *fault);

/* ── group_next_classic.c: members of the classic protocol ── */
/* Each answers its op through host.append. */
void next_classic_join(struct group_next *group, struct control_op *op, struct now now);
void next_classic_sync(struct group_next *group, struct control_op *op, struct now now);
void next_classic_heartbeat(struct group_next *group, struct control_op *op, struct now now);
void next_classic_leave(struct group_next *group, struct control_op *op, struct now now);
/* Makes it a member of the classic protocol, copying what it offers; has_changed may be NULL. */
nodiscard int next_classic_set(struct next_member *member, int32_t session_timeout_ms,
                               const struct group_protocol *protocols, uint32_t protocols_n,
                               bool *has_changed);
/* Makes it one of ConsumerGroupHeartbeat. */
void next_classic_clear(struct next_member *member);
/* Everybody speaks the classic protocol, and the group may be a classic one. */
bool next_may_downgrade(const struct group_next *group);
/* Its target in the words of the embedded protocol; heap, ptr NULL without memory. */
struct bytes next_classic_assignment(const struct next_member *member,
                                     const struct next_parts *parts);

/* ── group_next_target.c ── */
/* One piece of each assignment under way; how many there were. */
int nexts_turn(struct nexts *nexts, struct now now);
/* Heartbeats have done as much as one turn may: others wait for the next. */
static inline bool nexts_are_tired(const struct nexts *nexts)
{
    return nexts->work >= NEXT_WORK_PER_TURN;
}

/* ── group_next_commit.c ── */
struct offset_commit_request;
/* May this member commit, fetch? A Kafka error code. `part` NULL or the partition it commits. */
int16_t next_commit_check(const struct group_next *group, struct bytes member_id, int32_t epoch,
                          int16_t version, const struct uuid *topic_id, int32_t partition);
int16_t next_fetch_check(const struct group_next *group, struct bytes member_id, int32_t epoch);

/* ── group_next_restore.c: records become state (while loading) ── */
struct next_record;
nodiscard int group_next_apply(struct group_next *group, const struct next_record *record);
/* After the last record: what cannot be is dropped, sessions begin. E_NO_MEMORY. */
nodiscard int group_next_restored(struct group_next *group, struct now now);
/* The halves of it: a member's sets in order and in the table of owners; then sessions begin. */
nodiscard int next_member_settle(struct next_member *member);
void group_next_begin(struct group_next *group, struct now now);
bool group_next_is_nothing(const struct group_next *group);

/* ── inside ── */
/* After anything of the member that next_member_is_settled looks at. */
void next_member_note(struct next_member *member);
/* What the next bump of the epoch is for. */
void next_blame(struct group_next *group, enum group_cause cause, struct bytes who);
/* Ends what a request or timer did: its records, and what is told of the group. */
void next_append(struct group_next *group, struct group_records *records, struct control_op *op);
void next_settings_look(struct group_next *group);      /* they may be others by now */
bool next_replace(struct bytes *to, struct bytes from); /* false: no memory */
struct next_member *next_member_new(struct group_next *group,
                                    struct bytes id); /* not linked; NULL: no memory */
void next_member_free(struct next_member *member);    /* unlinks, gives back all it holds */
void next_member_link(struct next_member *member);
void next_member_unlink(struct next_member *member);
void next_member_count(struct next_member *member);
nodiscard int next_topics_set(struct group_next *group, struct next_topics *to,
                              const struct bytes *names, int32_t n, bool *has_changed);
void next_topics_clear(struct group_next *group, struct next_topics *topics);
struct next_regex *next_regex_find(const struct group_next *group, struct bytes text);
struct next_regex *next_regex_new(struct group_next *group, struct bytes text);
void next_regex_free(struct group_next *group, struct next_regex *regex);
/* Names as they match now. */
nodiscard int next_regex_resolve(struct group_next *group, struct next_regex *regex, struct now now,
                                 bool *has_changed);
void next_topics_look(struct group_next *group);
int64_t next_topics_hash(const struct group_next *group);
/* The member's topics that exist, ascending by id, each once; valid until the next call for its
 * group. NULL: no memory. */
const struct uuid *next_topic_ids(const struct next_member *member, uint32_t *n);
uint32_t next_topics_max(const struct next_member *member);

int next_part_compare(const struct next_part *a, const struct next_part *b);
void next_parts_sort(struct next_parts *parts);
bool next_parts_equal(const struct next_parts *a, const struct next_parts *b, bool with_epochs);
const struct next_part *next_parts_find(const struct next_parts *parts, const struct uuid *topic_id,
                                        int32_t partition);
void next_parts_free(struct next_parts *parts);
struct next_member *next_owner(const struct group_next *group, const struct uuid *topic_id,
                               int32_t partition);
nodiscard int next_owners_reserve(struct group_next *group, uint32_t n); /* room for n more */
/* All that the member has, in or out of the table. */
void next_owners_add(struct next_member *member);
void next_owners_remove(struct next_member *member);
void next_owners_forget(struct group_next *group); /* of all, when the group goes */

/* The next step of a member towards its target. has_changed: a record was made. */
nodiscard int next_reconcile(struct next_member *member,
                             const struct consumer_group_heartbeat_request *request,
                             bool is_resubscribed, struct group_records *records, struct now now);
/* Looks at topics and bumps the epoch when it must. */
nodiscard int next_epoch_update(struct group_next *group, bool must, struct group_records *records,
                                struct now now);
/* Begins an assignment when it is time, and takes it as far as one turn goes. */
nodiscard int next_target_update(struct group_next *group, struct group_records *records,
                                 struct now now);
void next_job_end(struct group_next *group);
/* The member has another id now: a record made for it is not its own. */
void next_job_renamed(struct next_member *member);
/* The group's first assignment is under way and there is nothing to answer with: `op` waits for it
 * and runs again. */
bool next_first_wait(struct group_next *group, struct control_op *op);
void next_member_fence(struct next_member *member, struct group_records *records, struct now now);
void next_member_drop(struct next_member *member, struct group_records *records);
void next_fence_and_append(struct next_member *member, struct now now);
void next_session_renew(struct next_member *member, struct now now);
/* fault NULL: the one that comes speaks the classic protocol, and need not have been told of. */
bool next_member_replace(struct next_member *member, struct bytes id, struct group_records *records,
                         struct now now, struct fault *fault);
struct next_member *next_member_make(struct group_next *group, struct bytes id,
                                     struct bytes instance_id, struct fault *fault);
bool next_size_check(const struct group_next *group, struct bytes member_id, struct fault *fault);
/* What a member says, the group's epoch, its target, the member's next step. */
nodiscard int next_walk(struct next_member *member, const struct control_op *op,
                        const struct consumer_group_heartbeat_request *request, bool has_changed,
                        struct group_records *records, struct now now);
void next_session_fired(struct timer *timer, struct now now);
void next_rebalance_fired(struct timer *timer, struct now now);

#endif
