/*
 * sim.h - the whole broker as a function of one seed: who is in it and what is true of it.
 *
 * Owner: the simulator (one thread; thread_self says which of the broker's threads a turn stands
 * for).
 *
 * A run: a broker (1 or 3 workers, control, files, bulk) over the simulated disk and in-memory
 * connections, clients that create topics, produce and fetch, virtual time, and crashes between any
 * two turns. Checked:
 *
 *   1. an acknowledged record is at its offset, for ever (acks=all: after any crash; acks=1 and
 * relaxed durability: after a kill of the process)
 *   2. what a consumer saw at an offset is never something else, and never gone
 *   3. offsets are dense: every fetched batch begins where the one before it ended
 *   4. per producer and partition the numbers rise; from an idempotent producer, by one, without
 * gap or repeat (plain producers keep their connection until the broker ends it, as after an error
 * with acks=0: order holds per connection)
 *   5. answers come in request order, each with the correlation id of its request
 *   6. a topic whose creation was acknowledged exists after any crash
 *   7. compacted topics: of each key the last record is there, or it is a tombstone older than its
 * horizon and nothing of the key is there; rules 3 and 4 hold but for what is missing
 *   8. a batch of a topic with a codec of its own has that codec, whatever its producer's was
 *   9. records that DeleteRecords was answered for are never read again; others go only when
 *      retention may take them (the start of a log is judged by model_start)
 *  10. a topic whose deletion was answered is gone, and none of its records is ever read from one
 *      of the same name that was made afterwards
 */
#ifndef MILLRACE_SIM_H
#define MILLRACE_SIM_H

#include "broker.h"
#include "prng.h"
#include "sim_disk.h"
#include "sim_net.h"

enum {
    SIM_CLIENTS_MAX = 8,
    SIM_TOPICS_MAX = 3,
    SIM_PARTITIONS_MAX = 4,
    SIM_MEMBERS_MAX = 4,
    SIM_RECORDS_MAX = 200000, /* per partition: bounds the model */
    SIM_LIFE_SHIFT = 48,
    SIM_LIVES = 16,        /* of a producer that may lie side by side in a log */
    SIM_SLOTS = 4,         /* keys of a producer in a partition of a compacted topic */
    SIM_HORIZON_MS = 300,  /* delete.retention.ms of one */
    SIM_RECORD_REST = 128, /* what a record takes beside its value, at most */
    SIM_WHY_MAX = 512,
};

/* What a record says of itself: its value begins with these 16 bytes, big-endian. */
struct sim_record {
    uint32_t producer;
    uint32_t where;  /* sim_where */
    uint64_t number; /* 0, 1, 2 .. per producer and partition; in the record 48 bits, above */
    uint16_t life;   /* ... them how many connections the broker had ended                  */
    /* in the model only */
    bool is_tombstone;
    int64_t ms;     /* its timestamp */
    uint32_t bytes; /* at most, of the log's; 0: not known */
};

/* What is known of one offset. */
struct sim_known {
    struct sim_record record;
    bool is_known, is_seen;
    bool is_found;     /* since the last rewind */
    bool is_processed; /* by a member of the group */
    bool is_acked;     /* acks=all: for ever */
    bool is_weak;      /* acks=1: until the power fails */
};

/* The model of one partition. */
struct sim_log {
    struct sim_known *v; /* by offset */
    int64_t n, room;
    int64_t acked_end; /* highest acknowledged offset + 1 */
    int64_t seen_end;  /* highest offset + 1 that a consumer saw */
    /* DeleteRecords: answered up to min, asked for up to max (open: before the one under way) */
    int64_t start_min, start_max, start_open;
    /* compacted: highest number + 1 of a tombstone that was ever made, by producer and slot */
    uint64_t tombstones[SIM_CLIENTS_MAX][SIM_SLOTS];
};

struct sim_topic {
    char name[32];
    int32_t partitions_n; /* acknowledged */
    struct uuid id;       /* as its creation was answered; zero: that was lost */
    uint32_t birth;       /* how many of this name were deleted; stands in its records */
    bool is_created;      /* acknowledged */
    bool is_going;        /* DeleteTopics was sent */
    uint8_t lost;         /* what was asked and not answered well, operator.c */
    uint64_t create_ns;   /* not before */
    int64_t retention_ms, retention_bytes; /* -1: none */
    bool is_compacted;
    uint8_t codec; /* compression.type: enum codec or CODEC_PRODUCER */
    struct sim_log logs[SIM_PARTITIONS_MAX];
};

/* How members belong to the group; SIM_MIXED: each life of a member chooses, the group migrates. */
enum sim_kind {
    SIM_EAGER,
    SIM_COOPERATIVE,
    SIM_STATIC,
    SIM_NEXT, /* KIP-848 */
    SIM_NEXT_STATIC,
    SIM_MIXED,
    SIM_KINDS_N
};

struct sim_options {
    uint64_t seed;
    uint8_t workers_n;
    uint8_t durability;  /* enum store_durability */
    bool has_faults;     /* disk operations fail now and then */
    bool has_no_journal; /* storage.journal.bytes=0 */
    bool is_compacting;  /* the last topic is a compacted one */
    bool is_packing; /* topics have a codec of their own, producers any; all batches are inflated */
    bool has_changes;     /* topics come and go, records are deleted; no group */
    bool has_net;         /* clients come by our own TCP, over a network with faults */
    enum sim_plant plant; /* a bug that is to be found */
    bool is_verbose;
    bool has_group; /* three members; one is killed, one added, one stands still */
    uint32_t crashes_max;
    uint64_t run_ns; /* virtual time of load */
    /* --admin: no clients; three log directories */
    bool is_admin;
    uint64_t cut_at;   /* this operation only; 0: all */
    uint8_t cut_kinds; /* bits by enum sim_crash; 0: both */
};

/* How often what a run is for did happen: a mode that never comes up is seen in the summary. */
struct sim_counts {
    uint64_t kills, power_cuts, faults, rolls, compactions, logs_failed, dirs_failed, logs_cut,
        deletions;
};

struct sim {
    int32_t session_ms; /* of members of groups */
    struct sim_options options;
    struct prng prng;
    struct sim_disk *disk;
    struct config *config;
    struct broker *broker; /* NULL while down */
    struct sim_net *net;   /* NULL: in-memory connections */
    struct now now;
    struct sim_topic topics[SIM_TOPICS_MAX];
    uint32_t topics_n;
    struct sim_client *clients[SIM_CLIENTS_MAX];
    uint32_t clients_n;
    struct sim_operator *operator;
    struct sim_member *members[SIM_MEMBERS_MAX]; /* of one consumer group */
    uint32_t members_n;
    uint8_t group_kind;   /* enum sim_kind */
    uint8_t group_events; /* of the script: how many have been */
    int64_t group_committed[SIM_TOPICS_MAX][SIM_PARTITIONS_MAX];        /* acknowledged */
    struct sim_member *group_owner[SIM_TOPICS_MAX][SIM_PARTITIONS_MAX]; /* who works on it */
    uint64_t group_commits_n;
    bool is_fault_armed;
    struct sim_counts counts;
    uint64_t moves_n, moved_n; /* moves taken; arrived */
    uint64_t turns_n, crashes_n, acked_n, seen_n;
    bool is_draining; /* no new records: producers finish what they have */
    char why[SIM_WHY_MAX];
};

/* What a record says of the partition it was made for. */
static inline uint32_t sim_where(const struct sim *s, uint32_t topic, int32_t partition)
{
    return s->topics[topic].birth << 8 | (topic * SIM_PARTITIONS_MAX + (uint32_t)partition);
}

/* Notes the first failure; everything stops then. Always returns false. */
bool sim_fail(struct sim *s, const char *format, ...) printf_like(2, 3);

/* sim.c: a broker's life, from a seed */
struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *s);
/* After a clean stop, a crash, or for the first time. */
bool sim_start(struct sim *s);
void sim_down(struct sim *s, enum sim_crash kind);
/* Time moves, each thread has a turn or none, then each client. */
bool sim_step(struct sim *s);

/* admin.c: every cut of the request `name` (NULL: of all). False: one failed, or a planted bug was
 * found. */
bool admin_run(const struct sim_options *options, const char *name, uint64_t *cuts_n);

/* configure.c: s->config */
void configure(struct sim *s);

/* plant.c: planted bugs of the broker, in every step and behind every crash */
void plant_step(struct sim *s);
void plant_crash(struct sim *s);

/* model.c */
bool model_acked(struct sim *s, uint32_t topic, int32_t partition, int64_t offset,
                 const struct sim_record *record, int16_t acks);
bool model_seen(struct sim *s, uint32_t topic, int32_t partition, int64_t offset,
                const struct sim_record *record);
/* A log begins there, says the broker: rule 9. `start_min`: the log's when that was asked. */
bool model_start(struct sim *s, uint32_t topic, int32_t partition, int64_t start,
                 int64_t start_min);
/* After a complete read of the partition from `start` up to `end`: rules 1, 2, 4 and 9. */
bool model_check_end(struct sim *s, uint32_t topic, int32_t partition, int64_t start, int64_t end);
/* The topic was deleted. */
void model_forget(struct sim *s, uint32_t topic);
/* The log was cut there while nobody had it open. */
void model_cut(struct sim *s, uint32_t topic, int32_t partition, int64_t end);
/* The power failed: what was only written, and nobody has seen, may be gone. */
void model_power_cut(struct sim *s);
/* Everything is about to be read again. */
void model_rewind(struct sim *s);
void model_free(struct sim *s);

/* The group: a member read these offsets; everything below `end` was read by somebody. */
void model_processed(struct sim *s, uint32_t topic, int32_t partition, int64_t from, int64_t to);
bool model_check_processed(struct sim *s, uint32_t topic, int32_t partition, int64_t end);
/* The offset behind the whole batches of a fetch that was asked from `from`. */
int64_t model_batches_end(const struct slices *records, int64_t from);

/* member.c */
struct sim_member *member_new(uint32_t number);
void member_free(struct sim_member *m);
bool member_turn(struct sim *s, struct sim_member *m);
void member_broker_gone(struct sim_member *m);
void member_die(struct sim *s, struct sim_member *m, uint64_t back_ns);
void member_pause(struct sim *s, struct sim_member *m, uint64_t ns);

/* client.c */
struct sim_client;
enum sim_role { SIM_PRODUCER, SIM_IDEMPOTENT_PRODUCER, SIM_CONSUMER };
struct sim_client *client_new(struct sim *s, uint32_t number, enum sim_role role);
void client_free(struct sim_client *c);
/* Does what it can: connects, sends, reads answers. False after a failure. */
bool client_turn(struct sim *s, struct sim_client *c);
/* The broker is gone: the connection with it, answers to what was sent will never come. */
void client_broker_gone(const struct sim *s, struct sim_client *c);
/* Nothing of it is unacknowledged (producers), it has read everything there is (consumers). */
bool client_is_done(const struct sim *s, const struct sim_client *c);
/* A consumer reads everything again from offset 0. */
void client_rewind(struct sim_client *c);
/* Up to where a consumer has read. */
int64_t client_position(const struct sim_client *c, uint32_t topic, int32_t partition);
/* Where the log began for it. */
int64_t client_start(const struct sim_client *c, uint32_t topic, int32_t partition);
enum sim_role client_role(const struct sim_client *c);
/* It asks for no answers: what it sent may arrive at any time later. */
bool client_is_loose(const struct sim_client *c);
/* No Produce of it to the topic is under way, or was `late_ns` ago when its connection ended. */
bool client_is_over(const struct sim_client *c, uint32_t topic, uint64_t now_ns, uint64_t late_ns);

#endif
