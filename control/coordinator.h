/*
 * coordinator.h - consumer groups and their log: __consumer_offsets becomes state, changes of state
 * become records.
 *
 * Owner: control.
 *
 * A partition of __consumer_offsets:
 *
 *   LOADING ──all batches read──► ACTIVE ──an append failed, or the topic is gone──► FAILED
 *      │  ▲  └──────a batch cannot be read──────────────────────────────────────────►   │
 *      │  └─────────── after COORDINATOR_RETRY_MS, doubled each time in vain ───────────┘
 *
 * What an append that failed left in the log nobody knows, so a partition that failed is read anew
 * from its start; it serves again when the log can be read, and commits are taken when the log
 * takes appends. Nothing is to be done but to mend the log (space on a full disk; a restart when a
 * sync failed).
 *
 * A group lives in partition hash(id) mod partitions, Kafka's hash, so a directory of Apache Kafka
 * can be carried over. Requests for a partition that is LOADING get COORDINATOR_LOAD_IN_PROGRESS,
 * else NOT_COORDINATOR.
 *
 * A **write** is what one request (or timer) wants to append to one partition. Writes of a
 * partition stand in one queue:
 *
 *   - one batch of a partition is under way at a time; what comes meanwhile gathers and leaves as
 * one batch after it (group commit), so the number of flushes does not grow with the number of
 * members;
 *   - committed offsets change when their batch is durable, by decoding the same records that a
 * load decodes: memory is never ahead of the log, and nobody is shown an offset that a power
 * failure would take back;
 *   - a write with `begin` is a barrier: it begins when all in front of it are durable and applied.
 * Reads (OffsetFetch) and removals (DeleteGroups, OffsetDelete, expiry) are barriers, so they see
 * every commit that came before them.
 *
 * Group membership (group.h) is ahead of the log on purpose: only an assignment must be durable
 * before it is told.
 */
#ifndef MILLRACE_COORDINATOR_H
#define MILLRACE_COORDINATOR_H

#include "control.h"
#include "group.h"
#include "group_next.h"
#include "group_records.h"

enum {
    COORDINATOR_BATCH_BYTES_MAX = 512 << 10, /* several writes in one batch, at most so much */
    COORDINATOR_LOAD_BYTES = 128 << 10,      /* one chunk */
    COORDINATOR_LOADS_MAX = 4,               /* partitions that load at once */
    COORDINATOR_RETRY_MS = 1000,             /* a failed partition is loaded anew after that ... */
    COORDINATOR_RETRY_MAX_MS = 64000,        /* ... doubled up to this, until an append succeeds */
    COORDINATOR_PLAIN_BYTES_MAX = 64 << 20,  /* one compressed batch, inflated */
    COORDINATOR_SWEEP_BUCKETS = 128,         /* buckets of the groups' table looked at per turn */
    COORDINATOR_SWEEP_WRITES_MAX = 64,       /* expiries under way */
    COORDINATOR_SWEEP_RECORDS_MAX = 1000,    /* tombstones of one of them */
    COORDINATOR_WORK_PER_TURN = 4000, /* of what goes on over turns; in the units of NEXT_WORK_ */
    COORDINATOR_WORK_APPLY = 8,       /* a record that is durable */
    COORDINATOR_WORK_COMMIT = 8,      /* an offset that is made a record of */
    COORDINATOR_WORK_FETCH = 6,       /* an offset that is asked for */
    COORDINATOR_WORK_GROUP = 6,       /* a group that is named */
    COORDINATOR_WORK_MEMBER = 4,      /* a member that is described */
};
#define OFFSETS_TOPIC "__consumer_offsets"

enum coordinator_state { COORDINATOR_LOADING, COORDINATOR_ACTIVE, COORDINATOR_FAILED };

struct coordinator;

/* Owner: the queue of its partition. */
struct coordinator_write {
    struct list link;
    struct list open_link; /* coordinator->open: its records are not all made yet, and nothing of
                              its partition leaves before they are */
    struct control_op *op; /* whom `done` answers; NULL: nobody */
    int32_t at, part_at;   /* done's own: which item of the request */
    int32_t partition;     /* of one that is open */
    uint64_t number;       /* of group.h's append; 0: none */
    struct group_records records;
    void (*begin)(struct coordinator *co,
                  struct coordinator_write *write); /* fills records; NULL: they are there */
    void (*done)(struct coordinator *co, struct coordinator_write *write, int16_t error);
    int16_t code; /* set by begin: why there is nothing to append */
    uint32_t name_n;
    uint8_t name[]; /* the group's id */
};

/* Owner: control. */
struct coordinator_partition {
    int32_t number;
    uint8_t state, home;
    bool is_committing, is_loading; /* commit, load are away */
    bool is_dirty;                  /* in coordinator->dirty */
    struct list dirty_link;
    struct list writes, under_way; /* struct coordinator_write */
    struct list applying_link;     /* coordinator->applying: under_way is durable ... */
    struct coordinator_write *apply;
    uint32_t apply_at; /* ... and in memory up to this place of that write */
    struct commit_op commit;
    struct load_op load;
    struct timer retry; /* of a partition that failed while its topic is there */
    uint32_t retry_ms;  /* of the next time; 0: it has not failed since an append succeeded */
    struct coordinator *co;
    struct load_transaction *transactions; /* met while loading, not ended yet */
    uint64_t loaded_n, skipped_n;          /* records */
};

/* Owner: control. */
struct coordinator {
    struct control *control;
    struct groups groups;
    struct nexts nexts; /* KIP-848 groups (group_next_host.c) */
    bool serves_next;   /* group.coordinator.rebalance.protocols has "consumer" */
    uint64_t next_number, next_lost_n;
    struct uuid topic_id;
    int32_t partitions_n;
    struct coordinator_partition *partitions; /* NULL: the topic is not there */
    bool is_detaching; /* the topic went; what is away must come back first */
    uint32_t away_n, loads_n, writes_n;
    struct list migrations; /* struct migration */
    uint32_t loose_n;       /* KIP-848 groups that hang at no group: not yet, or not any more */
    struct list many;       /* requests about many groups under way: struct control_op */
    struct list open;       /* struct coordinator_write */
    struct list applying;   /* struct coordinator_partition */
    struct list dirty;      /* partitions whose writes may leave */
    int32_t load_at;
    int64_t retention_ms, check_interval_ms, metadata_max;
    struct timer check;               /* expiry */
    bool is_sweeping, wants_sweep;    /* for deleted topics or expiry ... */
    bool sweep_expires, wants_expiry; /* ... and groups that are over */
    uint32_t sweep_at, sweep_writes_n;
    struct ask ask;
    uint64_t batches_n, records_n, failed_n, retried_n, commits_n, ups_n, downs_n;
    struct group_stats stats;
};

/* ── coordinator.c ── */
nodiscard int coordinator_init(struct coordinator **out, struct control *control);
void coordinator_fini(struct coordinator *co);
/* The published view may have another __consumer_offsets. */
void coordinator_look(struct coordinator *co);
/* Topics were deleted: their offsets go. */
void coordinator_topics_deleted(struct coordinator *co);
void coordinator_mail(struct coordinator *co, struct mail *mail);
/* Batches leave, loads go on, the sweep takes a step, the admin listener's question is answered. */
int coordinator_turn(struct coordinator *co);
/* What /metrics shows; once a second. */
void coordinator_stats(struct coordinator *co);
/* Heartbeats that changed groups have had their share of this turn. */
bool coordinator_is_tired(const struct coordinator *co);
bool coordinator_is_quiet(const struct coordinator *co);

/* String.hashCode of the id's UTF-16 form (bytes are UTF-8; what is not counts as U+FFFD, as Java
 * decodes it). */
int32_t coordinator_hash(struct bytes id);
/* The partition of a group; 0, COORDINATOR_LOAD_IN_PROGRESS or NOT_COORDINATOR. */
int16_t coordinator_code(const struct coordinator *co, struct bytes group, int32_t *partition);
/* NULL without memory. */
struct coordinator_write *coordinator_write_new(struct bytes group, struct control_op *op,
                                                void (*done)(struct coordinator *,
                                                             struct coordinator_write *, int16_t));
/* Puts it into the queue, which owns it from then on. With `open_link` in coordinator->open it
 * leaves when coordinator_close was called. */
void coordinator_submit(struct coordinator *co, int32_t partition, struct coordinator_write *write);
void coordinator_write_free(struct coordinator_write *write);
void coordinator_close(struct coordinator *co, int32_t partition, struct coordinator_write *write);
/* This turn has done enough of what goes on over turns. */
static inline bool coordinator_work(struct coordinator *co, uint64_t units)
{
    co->nexts.work += units;
    return co->nexts.work >= COORDINATOR_WORK_PER_TURN;
}
/* A request about many groups: `step` is called until it says that all were looked at (it has
 * answered, or nothing is left to do). inside[OP_AT] counts. */
enum { OP_AT = 4 };
void coordinator_many(struct coordinator *co, struct control_op *op);
static inline struct bytes coordinator_write_name(const struct coordinator_write *write)
{
    return bytes_of(write->name, write->name_n);
}
void coordinator_answer(struct coordinator *co, struct control_op *op);

/* ── coordinator_load.c ── */
void load_begin(struct coordinator *co, struct coordinator_partition *p);
void load_back(struct coordinator *co, struct coordinator_partition *p);
void load_end(struct coordinator_partition *p); /* its memory */
/* A record of a batch; `is_live`: of a group's metadata nothing is taken, the group is ahead of it.
 */
nodiscard int coordinator_apply(struct coordinator *co, int32_t partition, struct bytes key,
                                struct bytes value, struct arena *arena, bool is_live);
void coordinator_partition_fail(struct coordinator *co, struct coordinator_partition *p);

/* ── group_restore.c: a group as a record has it ── */
nodiscard int group_restore(struct group *group, const struct group_metadata_value *value);
/* After the last record: sessions begin. */
void group_restored(struct group *group, struct now now);

/* ── group_commit.c: OffsetCommit, OffsetFetch, OffsetDelete, DeleteGroups ── */
void offset_commit_run(struct coordinator *co, struct control_op *op);
void offset_fetch_run(struct coordinator *co, struct control_op *op);
void offset_delete_run(struct coordinator *co, struct control_op *op);
void delete_groups_run(struct coordinator *co, struct control_op *op);
bool offset_fetch_step(struct coordinator *co, struct control_op *op);
bool delete_groups_step(struct coordinator *co, struct control_op *op);
/* More records of an OffsetCommit; true: that was all. */
bool offset_commit_step(struct coordinator *co, struct coordinator_write *w);
/* Tombstones of all its offsets and of itself. */
void group_tombstones(struct group_records *records, const struct group *group);

/* ── group_next_describe.c ── */
bool next_describe_step(struct coordinator *co, struct control_op *op);

/* ── group_expire.c ── */
int sweep_turn(struct coordinator *co);
void sweep_begin(struct coordinator *co, bool expires);

/* ── group_describe.c ── */
bool describe_groups_step(struct coordinator *co, struct control_op *op);
bool list_groups_step(struct coordinator *co, struct control_op *op);
void describe_groups_run(struct coordinator *co, struct control_op *op);
void list_groups_run(struct coordinator *co, struct control_op *op);
/* The rebalances of a group as JSON; heap, NULL: no such group. */
char *group_explain(struct coordinator *co, struct bytes group);

#endif
