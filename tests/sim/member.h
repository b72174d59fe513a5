/*
 * member.h - the inside of a simulated member of a group: member.c (its life, reading, committing)
 * and member_group.c (how it belongs to the group).
 *
 * Owner: the simulator.
 */
#ifndef MILLRACE_SIM_MEMBER_H
#define MILLRACE_SIM_MEMBER_H

#include "sim.h"
#include "wire.h"

enum step {
    STEP_FIND,
    STEP_JOIN,
    STEP_SYNC,
    STEP_BEAT, /* ConsumerGroupHeartbeat: joining, and whatever changes */
    STEP_OFFSETS,
    STEP_READ,
    STEP_COMMIT,
    STEP_HEARTBEAT, /* Heartbeat; of a member of KIP-848 the same as STEP_BEAT */
};

enum {
    MEMBER_PARTITIONS_MAX = SIM_TOPICS_MAX * SIM_PARTITIONS_MAX,
    MEMBER_ID_MAX = 400,
    SESSION_MS = 60, /* also in sim_configure */
    REBALANCE_MS = 100,
    HEARTBEAT_MS = 10,
};

struct member_partition {
    uint32_t topic;
    int32_t partition;
    bool has_position; /* else the group's is asked for */
    int64_t position, committed, high;
};

struct sim_member {
    struct sim_wire wire;
    uint32_t number;
    uint8_t kind; /* enum sim_kind of this life, never SIM_MIXED */
    uint8_t step; /* of the request under way, or the next one */
    bool is_waiting, is_stale /* what it waits for is about partitions it has lost */;
    bool is_static, says_all, must_join /* until it has an assignment again */;
    uint64_t silent_until_ns, heartbeat_ns;
    uint64_t asked_ns; /* when the request under way was made */
    uint64_t lease_ns; /* until then the group counts on it: it works on nothing afterwards */
    char id[MEMBER_ID_MAX];
    uint32_t dealt_n;   /* topics that were there when it led */
    uint32_t born;      /* ids made by clients */
    int32_t generation; /* or the member's epoch; 0: has not joined */
    bool is_leader, deals;
    bool claims[SIM_TOPICS_MAX][SIM_PARTITIONS_MAX]; /* what its last JoinGroup said it owns */
    struct member_partition parts[MEMBER_PARTITIONS_MAX];
    uint32_t parts_n, part_at;
    int64_t asked[SIM_TOPICS_MAX]
                 [SIM_PARTITIONS_MAX]; /* acknowledged commits when the question was sent */
    struct member_peer {
        char id[MEMBER_ID_MAX];
        bool owns[SIM_TOPICS_MAX][SIM_PARTITIONS_MAX];
    } peers[SIM_MEMBERS_MAX + 2]; /* the leader's */
    uint32_t peers_n;
};

static inline bool member_is_next(const struct sim_member *m)
{
    return m->kind == SIM_NEXT || m->kind == SIM_NEXT_STATIC;
}

/* ── member.c ── */
/* It works on nothing any more. */
void member_lose_all(struct sim *s, struct sim_member *m);
/* What it has becomes these (topic, partition); what it keeps it goes on with. False: a partition
 * is somebody else's (the run has failed). *lost_n: how many it gave up. */
bool member_take(struct sim *s, struct sim_member *m, const struct member_partition *parts,
                 uint32_t n, uint32_t *lost_n);
/* What it does when nothing asks for more. */
uint8_t member_next_step(const struct sim_member *m);

/* ── member_group.c ── */
void member_instance(const struct sim_member *m, char to[16]);
const void *member_ask_join(struct sim *s, struct sim_member *m, struct arena *a);
const void *member_ask_sync(struct sim *s, struct sim_member *m, struct arena *a);
const void *member_ask_beat(struct sim *s, struct sim_member *m, struct arena *a);
const void *member_ask_heartbeat(struct sim_member *m, struct arena *a);
bool member_answer_join(struct sim *s, struct sim_member *m, const void *response);
bool member_answer_sync(struct sim *s, struct sim_member *m, const void *response);
bool member_answer_beat(struct sim *s, struct sim_member *m, const void *response);
bool member_answer_heartbeat(struct sim *s, struct sim_member *m, const void *response);
/* What every answer about the group may say; true: it was an error, and the next step is set. */
bool member_error(struct sim *s, struct sim_member *m, int16_t code);

#endif
