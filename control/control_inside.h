/*
 * control_inside.h - all that the control thread owns, for the files of control/.
 *
 * Owner: control.
 *
 * A **round** makes changes durable and visible together:
 *
 *   OPEN ──a request appended──► FLUSHING ──durable──► OPENING ──logs open──► (publish)
 *   ──► DROPPING ──► OPEN
 *
 *   OPEN      requests run; what they append is applied at once and answered when the round ends
 *   FLUSHING  the metadata log is being made durable; requests that change metadata wait
 *   OPENING   home workers open the logs of new partitions: a topic is seen when it can be written
 *   DROPPING  the view without the deleted topics is published; their logs are dropped
 *
 * The answers leave at the end, in the order of the requests. A request that deletes topics ends
 * its round, so a topic of the same name is made only when the old one's logs are gone. A request
 * of many records goes on over turns (`changing`): its records are made, one batch of them is
 * appended, and they are applied, a piece in each turn. The round stays OPEN until then, and
 * whatever would change or show the state waits: nobody sees a part of it, and the log has all of
 * it or none. A metadata log that failed ends it all: nothing is published or changed any more
 * (is_failed), requests that need it close their connection.
 */
#ifndef MILLRACE_CONTROL_INSIDE_H
#define MILLRACE_CONTROL_INSIDE_H

#include "control.h"
#include "metadata_log.h"
#include "prng.h"
#include "records.h"
#include "resolve.h"
#include "snapshot.h"

enum {
    CONTROL_REQUESTS_PER_TURN = 64,
    CONTROL_HEARTBEATS_PER_TURN = 512,
    CONTROL_MAIL_PER_TURN = 1024,
    CONTROL_TIMERS_PER_TURN = 64, /* a member whose session is over is 20,000 instructions */
    CONTROL_LOG_OPS = 256,        /* orders to home workers under way */
    CONTROL_CHANGE_WORK = 600,    /* of a turn, in records that are made or applied: 2,500
                                     instructions each */
    CONTROL_VIEWS_MAX = 64,       /* views not yet retired; more wait for the workers */
    PRODUCER_ID_BLOCK = 1000,
};

enum control_phase { CONTROL_OPEN, CONTROL_FLUSHING, CONTROL_OPENING, CONTROL_DROPPING };

/* What a handler returns. */
enum verdict {
    VERDICT_DONE,  /* answered, or answered when the round ends if something was appended in it */
    VERDICT_NOW,   /* answered now: depends on nothing that is not durable */
    VERDICT_AGAIN, /* nothing happened: run it again in a later turn */
    VERDICT_CLOSE, /* no answer is possible: the connection is closed */
    VERDICT_TAKEN, /* the handler has the request and answers it itself, now or later */
    VERDICT_MORE,  /* it goes on in the next turn, with what it put into control->change */
};

/* A list of topics, grown as needed. Owner: control. */
struct topic_list {
    void **v;
    uint32_t n, max;
};

struct control {
    struct control_config config;
    struct resolver resolver;
    int32_t node_id;
    int32_t leader_epoch; /* of every partition: raised at each start */
    int32_t quorum_epoch; /* of this start: stands in every batch of the metadata log */
    bool is_dynamic;      /* the log is that of a dynamic quorum */
    struct uuid incarnation;
    struct listener controller; /* of a new log of a dynamic quorum: the voter's address */

    struct state state;
    struct records records;
    struct store *store;
    struct plog *log; /* __cluster_metadata-0 */
    uint64_t cut_bytes;
    struct snapshot snapshot;

    struct telemetry *telemetry;

    struct io *io;
    struct disk *disk;
    struct timers *timers;
    struct post *post;
    struct prng prng;
    struct now now;
    uint8_t mail_from_at, bulk_thread;

    struct views *views;
    struct view *published;
    struct view *retired; /* chained by `retired_next` of struct view_box */
    uint32_t retired_n;
    uint64_t settings_version; /* of the state, when the published topics were resolved */
    struct {
        struct log_config config;
        uint64_t version; /* of the state's settings, plus one; 0: not resolved yet */
    } plain[2];           /* topics without settings of their own, by is_internal */

    struct reload reload;
    struct idle_settings idle_settings;

    enum control_phase phase;
    bool is_reloading; /* the round under way is that of a file read again */
    bool is_failed;
    bool is_stopping;
    bool ends_round;             /* no further change in this round */
    bool is_dirty;               /* something was appended in this round */
    struct control_op *changing; /* a change that goes on over turns, NULL: none ... */
    void *change;                /* ... how far it is: its handler's, in its arena */
    int32_t change_work;         /* what is left for changes in this turn */
    bool is_applying;            /* control->records is appended, and applied up to ... */
    uint32_t apply_at;           /* ... this byte */
    struct plog_wait durable;
    struct timer tick;         /* store_tick, once a second */
    struct list heartbeats;    /* the same, but before all others */
    struct list waiting;       /* requests that have not run, in order: control_op.mail.link */
    struct list answers;       /* of this round, in order */
    struct topic_list created; /* struct topic: their logs must be opened or configured anew */
    struct topic_list
        dropped;             /* struct view_topic (a reference each): their logs must be dropped */
    uint32_t make_at;        /* of `created`: the next whose view's form is made */
    uint32_t order_topic_at; /* of the list that is being worked off */
    int32_t order_partition_at;
    uint32_t orders_n;     /* under way */
    struct log_op *orders; /* CONTROL_LOG_OPS */
    struct list orders_free;

    struct coordinator *coordinator; /* of consumer groups */

    struct log_dir only_dir;                  /* config.dirs when none were given */
    bool dirs_failed[LOG_DIRS_MAX];           /* since this start */
    uint64_t dirs_partitions_n[LOG_DIRS_MAX]; /* in the state when it ended at ... */
    int64_t dirs_counted_at;                  /* ... here, and what was added since */
    bool has_dirs_counted;
    uint64_t lost_logs_n;                  /* whose directory is not here */
    struct list moves_queued[THREADS_MAX]; /* by home (moves.c) */
    struct moving *moving[THREADS_MAX];    /* by home: the one under way */
    struct dir_op *dir_orders; /* one per worker and directory: [worker * dirs_n + dir] */
    bool wants_round;          /* the view is behind the state */

    int64_t producer_id_next, producer_id_end; /* what is left of the block */
    bool block_is_durable; /* its record is; else its ids leave with the end of the round */
    uint64_t failed_logs_n;
};

/* ── control.c ── */
/* Appends what stands in control->records as one batch, applies it, and makes the round dirty.
 * E_AGAIN: the tail is full (run again later); other errors: the log has failed. */
nodiscard int control_commit(struct control *control);
/* The same over turns: 1 when it is not over yet and must be called again in the next turn. */
nodiscard int control_commit_more(struct control *control);
/* A request has done so much of a change; true: the turn has no more room. */
static inline bool control_change_is_spent(struct control *control, int32_t work)
{
    control->change_work -= work;
    return control->change_work <= 0;
}
/* A handler may append now; otherwise it returns VERDICT_AGAIN. */
bool control_may_change(const struct control *control);
/* Room for n more, so that topic_list_add cannot fail after a commit. */
nodiscard int topic_list_reserve(struct topic_list *list, uint32_t n);
void topic_list_add(struct topic_list *list, void *topic);

/* ── requests: one function each (the table stands in control.c) ── */
enum verdict create_topics_run(struct control *control, struct control_op *op);
enum verdict create_partitions_run(struct control *control, struct control_op *op);
enum verdict delete_topics_run(struct control *control, struct control_op *op);
enum verdict auto_create_run(struct control *control, struct control_op *op);
enum verdict find_coordinator_run(struct control *control, struct control_op *op);
enum verdict group_request_run(struct control *control, struct control_op *op);
enum verdict describe_configs_run(struct control *control, struct control_op *op);
enum verdict alter_configs_run(struct control *control, struct control_op *op);
enum verdict incremental_alter_configs_run(struct control *control, struct control_op *op);
enum verdict alter_replica_log_dirs_run(struct control *control, struct control_op *op);
enum verdict elect_leaders_run(struct control *control, struct control_op *op);
enum verdict alter_reassignments_run(struct control *control, struct control_op *op);
enum verdict list_reassignments_run(struct control *control, struct control_op *op);
enum verdict describe_client_quotas_run(struct control *control, struct control_op *op);
enum verdict describe_quorum_run(struct control *control, struct control_op *op);
enum verdict update_features_run(struct control *control, struct control_op *op);
enum verdict list_config_resources_run(struct control *control, struct control_op *op);
enum verdict get_telemetry_run(struct control *control, struct control_op *op);
enum verdict push_telemetry_run(struct control *control, struct control_op *op);
enum verdict init_producer_id_run(struct control *control, struct control_op *op);

/* ── topics.c ── */
struct fault;
/* Are these the replicas of one partition, `expected_n` of them? False with the fault set. */
bool replicas_check(const struct control *control, const int32_t *ids, int32_t n,
                    int32_t expected_n, struct fault *fault);

/* ── configs_alter.c ── */
/* Is what the view says about its logs' settings no longer true? */
bool topic_is_stale(struct control *control, const struct topic *topic);

/* ── reload.c ── */
/* Takes what main has given, begins the round that puts it in force, tells when that is over. */
int reload_work(struct control *control);
/* Which settings have no effect: from the settings in force. */
void idle_settings_note(struct control *control);

/* ── telemetry.c ── */
struct telemetry;

/* ── orders.c: logs at home workers ── */
/* Sends orders for `created` (LOG_OPEN, or LOG_CONFIGURE to logs that are open) or `dropped`
 * (LOG_DROP), as many as may be under way. True: all are back. */
bool orders_work(struct control *control, enum log_order order);
void orders_answer(struct control *control, struct log_op *op);

/* ── dirs.c: log directories ── */
void dirs_begin(struct control *control);
/* DIR_NONE: no log directory is there. */
uint8_t dir_by_path(const struct control *control, struct bytes path);
/* Where a partition is, DIR_NONE when its directory is not here. */
uint8_t partition_dir(const struct control *control, struct partition *partition);
/* It could be taken at this start and has not failed since. */
bool dir_is_usable(const struct control *control, uint8_t dir);
/* For one more partition. */
uint8_t dirs_choose(struct control *control);
/* cordoned.log.dirs as it is in force: bit 1 << i for directory i. */
uint64_t dirs_cordoned(const struct control *control);
/* No directory that can be used is left for new partitions. */
bool dirs_are_cordoned(const struct control *control);
/* Boot, after all directories were looked through: decides where each log is, and lets the metadata
 * follow. */
nodiscard int dirs_place(struct control *control);

/* A worker told that it has failed, or has given it up. */
void dirs_mail(struct control *control, struct mail *mail);

/* ── moves.c: logs that go to another directory ── */
void moves_init(struct control *control);
void moves_fini(struct control *control);
/* Asks for it, or takes an earlier wish back; the round tells the view. E_NO_MEMORY. */
nodiscard int move_ask(struct control *control, struct topic *topic, int32_t partition,
                       uint8_t dir);
/* DIR_NONE: it is not being moved. */
uint8_t partition_future_dir(const struct partition *partition);
int moves_turn(struct control *control);
/* The round is over. */
void moves_durable(struct control *control);
void moves_mail(struct control *control, struct mail *mail);
bool moves_are_quiet(const struct control *control);

/* ── view_build.c ── */
/* The settings that storage honours, of a topic. */
void topic_log_config(struct control *control, const struct settings *own, bool is_internal,
                      struct log_config *out);
/* The view's form of a topic, made when it has none. */
nodiscard int view_topic_make(struct control *control, struct topic *topic);
void view_topic_put(struct view_topic *topic);
/* The view's form of a topic that changed goes; not while orders made from it are away. */
void view_topic_forget(struct topic *topic);
/* Builds a view of the state and publishes it. E_AGAIN: too many old views are not retired yet. */
nodiscard int view_publish(struct control *control);
/* Frees what no worker can see any more. Returns how many. */
uint32_t view_retire(struct control *control);
void view_free_all(struct control *control);
uint8_t partition_home(const struct uuid *topic_id, int32_t partition, uint8_t workers_n);
bool topic_is_internal(struct bytes name);

/* ── bootstrap.c: what a start and a stop write ── */
struct feature {
    const char *name;
    int16_t level, min, max;
};
/* NULL: this program does not know it. */
const struct feature *feature_find(struct bytes name);
nodiscard int bootstrap_start(struct control *control, struct metadata_log *log, bool is_dynamic,
                              int64_t wall_ms, char *why, size_t why_n);
/* The records of an orderly stop, through the store. */
nodiscard int bootstrap_stop(struct control *control, struct now now);
/* A partition record of this node alone, in the version the log is at. */
/* cordoned.log.dirs becomes `value`; NULL: the file's. */
void bootstrap_add_cordoned(struct control *control, const char *value);
void bootstrap_add_partition(struct control *control, const struct uuid *topic_id,
                             int32_t partition);
/* The partition is in directory number `dir`. */
void bootstrap_add_directory(struct control *control, const struct uuid *topic_id,
                             int32_t partition, uint8_t dir);
/* What a snapshot has: the quorum's records, this node, a partition as it is. */
void bootstrap_add_voters(struct control *control);
void bootstrap_copy_node(struct control *control);
void bootstrap_copy_partition(struct control *control, const struct topic *topic,
                              int32_t partition);

#endif
