/*
 * group.h - consumer groups, classic protocol: members, generations, and who waits for what.
 *
 * Owner: control. Nothing here does I/O or reads a clock: requests, timers and the outcome of
 * appends come in, answers and records to append go out through struct group_host. So every
 * schedule can be tested by hand.
 *
 * States (who performs the arrow):
 *
 *            join_new                          join_complete, nobody left
 *   EMPTY ──────────────► PREPARING ◄───────────────────────────────────────────┐
 *     ▲                   │   ▲  ▲                                              │
 *     │   join_complete,  │   │  └── member joins, leaves, expires ──┐          │
 *     └── nobody left ────┤   │                                      │          │
 *                         │   └── a member without sync expires ──┐  │          │
 *                         └─ join_complete ─► COMPLETING ─────────┴──┤          │
 *                                               │ sync_durable       │          │
 *                                               └───────────────► STABLE ───────┘
 *   any ──delete, expiry──► DEAD (the struct goes at once)
 *   any ──migrate_up──► EMPTY, with the KIP-848 group in group->next (group_migrate.c)
 *   EMPTY ──migrate_down──► STABLE, and PREPARING at once when members must join again
 *
 *   EMPTY       no members; offsets may exist; commits without a member are allowed
 *   PREPARING   waits until every member has sent JoinGroup, or the rebalance timeout
 *   COMPLETING  the generation is begun; waits for the leader's SyncGroup and its record to be
 * durable STABLE      every member has, or may fetch, its assignment
 *
 * Sources: Kafka GroupMetadataManager.java, ClassicGroup.java, ClassicGroupMember.java; KIP-62
 * (rebalance and session timeouts), KIP-134 (initial delay), KIP-345 (static members), KIP-394
 * (MEMBER_ID_REQUIRED), KIP-559 (protocol type and name), KIP-800 (reasons), KIP-814
 * (skip_assignment).
 */
#ifndef MILLRACE_GROUP_H
#define MILLRACE_GROUP_H

#include "bytes.h"
#include "bytes_heap.h"
#include "clock.h"
#include "control.h"
#include "list.h"
#include "prng.h"
#include "timer.h"

enum {
    GROUP_REBALANCES_KEPT = 50,      /* of the explainer, per group ... */
    GROUP_REBALANCES_FIRST = 4,      /* ... this many at first ... */
    GROUP_REBALANCES_GROUPS = 10000, /* ... and for good when there are more groups than that */
    GROUP_REBALANCE_PAUSES = 16,     /* the longest ones of one rebalance */
    GROUP_MEMBER_ID_MAX = 300,
    GROUP_NAME_MAX = 32767,
    GROUP_PROTOCOLS_MAX = 256, /* of one member; a bound of ours */
    GROUP_PENDING_MAX = 10000, /* ids given out and not come back, per group; a bound of ours */
};

#define GROUP_STATES(STATE)                                                        \
    STATE(EMPTY, "Empty", "no members; offsets may exist")                         \
    STATE(PREPARING, "PreparingRebalance", "members are asked to join again")      \
    STATE(COMPLETING, "CompletingRebalance", "the leader's assignment is awaited") \
    STATE(STABLE, "Stable", "every member has its assignment")                     \
    STATE(DEAD, "Dead", "about to be freed")

enum group_state {
#define STATE(name, kafka, text) GROUP_##name,
    GROUP_STATES(STATE)
#undef STATE
        GROUP_STATES_N
};

/* One protocol a member offers, in its order of preference. Owner: its member; views into
 * member->memory. */
struct group_protocol {
    struct bytes name, metadata;
};

/* Owner: its group. */
struct group_member {
    struct list link;                   /* group->members, in order of joining */
    struct list id_link, instance_link; /* of the tables */
    struct group *group;
    struct bytes id, instance_id; /* heap; instance_id.ptr NULL = dynamic */
    struct bytes client_id, client_host;
    struct group_protocol *protocols;
    uint32_t protocols_n;
    uint8_t *memory;         /* heap: names and metadata of the protocols */
    struct bytes assignment; /* heap; of the generation */
    uint64_t bytes;          /* counted in groups->bytes: protocols and assignment */
    int32_t session_timeout_ms, rebalance_timeout_ms;
    struct control_op *join,
        *sync;            /* answers owed; NULL = none; &groups->nobody = owed to nobody any more */
    bool is_new;          /* has not completed a join yet */
    bool is_pending_sync; /* has not sent SyncGroup in this generation */
    struct timer session;
    uint64_t joined_ns, last_seen_ns;
    uint64_t paused_ns; /* of the rebalance under way: since when it is without an assignment */
};

/* A member id that was given out with MEMBER_ID_REQUIRED and has not come back yet (KIP-394). */
struct group_pending {
    struct list link;
    struct group *group;
    struct bytes id;
    struct timer session;
};

/* Why a rebalance began, for the explainer. */
#define GROUP_CAUSES(CAUSE)                                                    \
    CAUSE(FIRST, "the first member joined")                                    \
    CAUSE(JOINED, "a member joined")                                           \
    CAUSE(CHANGED, "a member changed what it subscribes to")                   \
    CAUSE(LEADER, "the leader asked for a new assignment")                     \
    CAUSE(LEFT, "a member left")                                               \
    CAUSE(EXPIRED, "a member was not heard of for its session timeout")        \
    CAUSE(LATE, "a member did not join again within the rebalance timeout")    \
    CAUSE(NO_SYNC, "a member did not fetch its assignment in time")            \
    CAUSE(APPEND, "the assignment could not be written")                       \
    CAUSE(REPLACED, "a static member came back with other protocols")          \
    CAUSE(TOPICS, "topics that it reads were made, deleted or got partitions") \
    CAUSE(DOWNGRADED, "the last member of the consumer protocol is gone")      \
    CAUSE(SIZE, "the group is larger than group.max.size after a start")

enum group_cause {
#define CAUSE(name, text) GROUP_CAUSE_##name,
    GROUP_CAUSES(CAUSE)
#undef CAUSE
        GROUP_CAUSES_N
};

/* How long one member was without an assignment. */
struct group_pause {
    uint64_t ns;
    char who[64]; /* its id, shortened */
};

/* One rebalance, as the explainer tells it. */
struct group_rebalance {
    int32_t generation; /* the one it ended with */
    uint8_t cause;      /* enum group_cause */
    int64_t began_wall_ms;
    uint64_t joining_ns, syncing_ns; /* how long each half took; 0 = has not ended */
    uint32_t members_before, members_after, late_n;
    char who[64];               /* the member that caused it, shortened */
    char reason[128];           /* its own words (KIP-800) */
    char last[64];              /* who joined last: what the others waited for */
    struct group_pause *pauses; /* heap: pauses_n, the longest first; NULL = none */
    uint8_t pauses_n;
    uint32_t paused_n; /* all members that paused, also those whose pauses were shorter */
    uint32_t moved_n;  /* KIP-848: partitions that went to another member */
};

/* Owner: control. */
struct group {
    struct list link;           /* of the table's bucket */
    struct list partition_link; /* of groups->partitions[partition] */
    struct groups *groups;
    struct bytes id;        /* heap */
    int32_t partition;      /* of __consumer_offsets */
    uint8_t state;          /* enum group_state; group_state_set only */
    bool is_initial;        /* PREPARING out of EMPTY: the initial delay runs (KIP-134) */
    bool has_new_member;    /* since the initial delay began */
    bool is_appending;      /* the leader's assignment is on its way to the log ... */
    uint64_t append_number; /* ... under this number */
    int32_t generation;
    struct bytes protocol_type, protocol; /* heap; ptr NULL = none */
    struct bytes leader;                  /* member id, heap; ptr NULL = none */
    struct bytes common; /* a protocol that every member offers, heap; ptr NULL = not looked for */
    struct list members, pending;
    uint32_t members_n, pending_n, joining_n, static_n;
    struct timer rebalance;      /* join deadline, initial delay, or sync deadline, by state */
    uint64_t delay_left_ns;      /* of the rebalance timeout behind the initial delay */
    int64_t state_wall_ms;       /* when the state was entered: offsets expire from EMPTY's */
    struct offsets *offsets;     /* committed offsets (offsets.h); NULL = none yet */
    struct group_next *next;     /* the KIP-848 group of this id (group_next.h); NULL = none */
    struct migration *migration; /* it becomes the other kind over turns (group_migrate.c) */
    uint64_t version;            /* grows when its state or members change */
    bool has_record;             /* while loading: a metadata record of it is the last one */
    struct group_rebalance *rebalances; /* heap: a ring of rebalances_max, for the explainer */
    uint32_t rebalances_max;
    uint32_t rebalances_n; /* ever */
    uint64_t phase_ns;     /* when the half under way began */
};

/* What the table of groups needs from outside. Owner: control. */
struct group_host {
    /* The op's response is set: send it. */
    void (*answer)(void *context, struct control_op *op);
    /* Appends the group's metadata as it is now to its partition. The outcome comes later: to
     * group_appended with `number`, and `op` (its response is set; NULL: none) is answered, after
     * an error with that error. */
    void (*append)(void *context, struct group *group, uint64_t number, struct control_op *op);
    /* The group goes, and group->next and group->migration with it; NULL: no group has either. */
    void (*next_gone)(void *context, struct group *group, int16_t error);
    void *context;
};

/* Settings, copied; changed by group_configure when a broker setting changes. */
struct group_config {
    int32_t session_timeout_min_ms; /* group.min.session.timeout.ms */
    int32_t session_timeout_max_ms; /* group.max.session.timeout.ms */
    int32_t initial_delay_ms;       /* group.initial.rebalance.delay.ms */
    int32_t size_max;               /* group.max.size */
    int32_t new_member_timeout_ms;  /* 5 minutes, as Kafka's constant */
    uint32_t groups_max;            /* bound of ours: groups in memory */
    uint64_t member_bytes_max;      /* bound of ours: protocols and assignment of one member */
    uint64_t bytes_max;             /* bound of ours: of all members and offsets together */
};

struct join_group_request;

/* Owner: control. */
struct groups {
    struct group_config config;
    struct group_host host;
    struct timers *timers;
    struct prng *prng;
    struct list *buckets, *members_by_id, *members_by_instance; /* GROUP_BUCKETS each */
    struct list *partitions; /* heads, by partition of __consumer_offsets */
    int32_t partitions_n;
    uint32_t groups_n, members_n;
    uint64_t bytes, appends_n, rebalances_n, evicted_n;
    uint32_t states_n[GROUP_STATES_N]; /* groups by state */
    struct group_stats *stats;         /* where pauses are counted; NULL: nowhere */
    uint64_t hash_seed;
    bool is_ending;           /* groups_fini: ops are not touched any more */
    struct control_op nobody; /* stands for a request whose sender is gone */
};
enum { GROUP_BUCKETS = 65536 }; /* 100,000 members: two in a bucket */

/* ── the table (group.c) ── */
nodiscard int groups_init(struct groups *groups, const struct group_config *config,
                          const struct group_host *host, struct timers *timers, struct prng *prng);
void groups_fini(struct groups *groups);
/* How many partitions __consumer_offsets has; there must be no group. E_NO_MEMORY. */
nodiscard int groups_partitions_set(struct groups *groups, int32_t n);
/* The sender of `op` is gone: an answer that is owed to it is owed to nobody. */
void groups_cancel(struct groups *groups, struct control_op *op);
struct group *group_find(struct groups *groups, struct bytes id);
/* E_NO_MEMORY, also when groups_max is reached. */
nodiscard int group_new(struct groups *groups, struct bytes id, int32_t partition, struct now now,
                        struct group **out);
/* Answers whoever still waits with `error` (a Kafka code) and frees it. */
void group_free(struct group *group, int16_t error);
struct group_member *group_member_find(const struct group *group, struct bytes id);
struct group_member *group_member_by_instance(const struct group *group, struct bytes instance_id);
void group_state_set(struct group *group, enum group_state state, struct now now);
/* Inside, for states that no arrow leads to: a group that is read from its record. */
void group_state_put(struct group *group, enum group_state state);
/* Of either kind. */
bool group_has_members(const struct group *group);
const char *group_state_name(enum group_state state); /* as Kafka prints it */
const char *group_cause_text(enum group_cause cause);
/* Every state's promises; tests call it after each step. */
void group_invariants(const struct group *group);
/* The consumer protocol's subscription lists this topic (ConsumerProtocolSubscription): for
 * OffsetDelete. */
bool group_is_subscribed(const struct group *group, struct bytes topic);

/* ── requests (group_join.c, group_sync.c): each answers its op now or later ── */
int16_t group_join_check(const struct groups *groups, const struct join_group_request *request);
void group_join(struct groups *groups, int32_t partition, struct control_op *op, struct now now);
/* What is wrong with a SyncGroup whatever its group. */
int16_t group_sync_check(const struct control_op *op);
void group_sync(struct groups *groups, struct control_op *op, struct now now);
void group_heartbeat(struct groups *groups, struct control_op *op, struct now now);
void group_leave(struct groups *groups, struct control_op *op, struct now now);
/* The outcome of host.append: 0 or a Kafka error code for the members that wait. */
void group_appended(struct group *group, uint64_t number, int16_t error, struct now now);
/* May this member commit offsets? A Kafka error code; 0 also renews its session. */
int16_t group_check_commit(struct group *group, struct bytes member_id, struct bytes instance_id,
                           int32_t generation, struct now now);

/* ── inside ── */
/* An op that will be answered for this member; takes the place of `*at`. */
void group_op_hang(struct group_member *member, struct control_op **at, struct control_op *op);
/* Not owed any more; NULL when it was owed to nobody. */
struct control_op *group_op_take(struct group_member *member, struct control_op **at);
void group_member_link(struct group_member *member);
/* Puts it under another id (heap; the old one is the caller's then). */
void group_member_rename(struct group_member *member, struct bytes id);
void group_member_count(struct group_member *member); /* its bytes, after they changed */
bool group_is_leader(const struct group *group, const struct group_member *member);
/* The consumer protocol's "consumer". */
bool group_uses_consumer_protocol(const struct group *group);
int16_t group_check_member(const struct group *group, struct bytes member_id,
                           struct bytes instance_id, struct group_member **out);
void group_session_renew(struct group_member *member, struct now now);
void group_prepare_rebalance(struct group *group, enum group_cause cause,
                             const struct group_member *who, struct bytes reason, struct now now);
void group_maybe_rebalance(struct group *group, enum group_cause cause,
                           const struct group_member *who, struct bytes reason, struct now now);
void group_join_try_complete(struct group *group, struct now now);
void group_join_complete(struct group *group, struct now now);
void group_join_expired(struct group *group, struct now now);
void group_sync_expired(struct group *group, struct now now);
void group_member_remove(struct group_member *member, int16_t error);
void group_member_timers(struct group_member *member);
/* What a member holds, and itself: it is in no list and waits for nothing any more. */
void group_member_free(struct group_member *member);
nodiscard int group_pending_new(struct group *group, struct bytes id, int32_t session_timeout_ms,
                                struct now now);
void group_pending_free(struct group_pending *pending);
struct group_pending *group_pending_find(const struct group *group, struct bytes id);
/* The answers. */
void group_join_refuse(struct control_op *op, int16_t error, struct bytes member_id);
void group_sync_refuse(struct control_op *op, int16_t error);
void group_answer_join(struct groups *groups, struct control_op *op, int16_t error,
                       struct bytes member_id);
void group_answer_sync(struct groups *groups, struct control_op *op, int16_t error,
                       const struct group_member *member);
struct group_rebalance *group_rebalance_now(struct group *group);
/* What it has on the heap. */
void group_rebalance_free(struct groups *groups, struct group_rebalance *r);
/* A rebalance begins; `who` and `reason` may be empty. */
void group_rebalance_note(struct group *group, enum group_cause cause, struct bytes who,
                          struct bytes reason, uint32_t members_n, struct now now);
/* Its second half ended; it took so long from its beginning. */
void group_rebalance_over(struct group *group, struct now now);
/* Members were added whose protocols nobody compared. */
void group_common_forget(struct group *group);
bool group_member_offers(const struct group_member *member, struct bytes protocol);
/* What most members vote for; a view; ptr NULL: there is no member. */
struct bytes group_protocol_select(const struct group *group);
/* A copy in the arena of an answer. */
struct bytes group_answer_copy(struct control_op *op, struct bytes from);

#endif
