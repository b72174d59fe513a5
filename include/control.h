/*
 * control.h - the face of control/: the thread that owns what changes rarely.
 *
 * Owner: control. Workers reach it by mail only (struct control_op) and read what it publishes
 * (view.h).
 *
 * Metadata is an event log of Kafka's own KRaft records in __cluster_metadata-0, written by control
 * through a store of its own. A request that changes metadata is answered when its records are
 * durable and applied and the new view is published. State is a pure function of the records.
 */
#ifndef MILLRACE_CONTROL_H
#define MILLRACE_CONTROL_H

#include "arena.h"
#include "config.h"
#include "group_stats.h"
#include "mail.h"
#include "storage.h"
#include "telemetry_stats.h"
#include "view.h"

/* What of a client only telemetry asks for. Owner: the request. */
struct control_client {
    char software_name[64], software_version[40]; /* "" when it has not said */
    uint16_t port;
};

/* A request for control. Owner: the worker that made it; control while it has it.
 * `request` points into the request's own memory, which stays until the op is back. The answer
 * lives in `arena` (heap), which the worker ends after encoding. */
struct control_op {
    struct mail mail; /* MAIL_REQUEST */
    int16_t api_key, api_version;
    struct bytes client_id;
    char client_host[64];                /* "/127.0.0.1" as Kafka prints it */
    const struct control_client *client; /* NULL but for GetTelemetrySubscriptions, PushTelemetry */
    const struct listener *listener;
    const void *request; /* the decoded struct of its API; stays until the op is back. A Metadata
                            request (key 3) asks for the topics it names to be made: `response` is
                            then any pointer */
    void *response;      /* out: the struct to encode; NULL = close the connection */
    struct arena arena;  /* of the response: begun by the worker, on the heap */
    uint64_t started_ns;
    void *inside[8]; /* control's own, while it has it */
};

struct control;

struct control_config {
    const struct config *config;
    struct directory_id directory;
    const struct log_dir *dirs; /* in the order of log.dirs; they outlive control */
    uint8_t dirs_n;             /* 0: one, that of `directory` and `store` */
    struct store_config store;  /* of the metadata log */
    struct listener listeners[LISTENERS_MAX];
    uint32_t listeners_n;
    uint8_t workers_n;
    bool is_clean; /* the last stop was orderly */
    uint64_t seed;
    struct now now; /* of the boot; zero: the clock is read */
};

/* Boot: recovers and replays __cluster_metadata-0 (or begins it), registers this broker, raises
 * every leader epoch after an unclean stop (journal rule 9), publishes the first view. Writes are
 * made and flushed through `disk` here, before any thread runs. `why` gets one clear line on
 * failure. */
nodiscard int control_init(struct control **out, const struct control_config *config,
                           struct views *views, struct io *io, struct disk *disk,
                           struct pages *pages, struct timers *timers, struct post *post,
                           uint8_t files_thread, uint8_t bulk_thread, char *why, size_t why_n);
/* Is this a partition of ours? `id` may be NULL. */
bool control_knows_log(void *control, struct bytes topic, int32_t partition, const struct uuid *id);
/* Boot, after control_init: directory number `dir` has files of this log. False: they are not those
 * of a live partition (unknown, or it is in another directory). */
bool control_finds_log(struct control *control, struct bytes topic, int32_t partition,
                       const struct uuid *id, uint8_t dir);
/* Boot, after that: a log that no directory has a file of yet, found in the journal of this one. */
bool control_places_log(struct control *control, struct bytes topic, int32_t partition,
                        const struct uuid *id, uint8_t dir);
/* Boot, after control_finds_log for all directories: this one has a copy of the log for a move that
 * did not come to its end. True: the copy is not needed, the move begins anew. */
bool control_finds_future(struct control *control, struct bytes topic, int32_t partition,
                          const struct uuid *id, uint8_t dir);
/* How logs are opened at boot, each home's by itself. Owner: main. */
struct opening_seams {
    /* Calls part(argument, at) for at = 0 .. n-1, side by side; part 0 by the calling thread. NULL:
     * one after the other. Returns when all have. */
    void (*each)(void *context, uint32_t n, void (*part)(void *argument, uint32_t at),
                 void *argument);
    /* By the calling thread, after each log of part 0; may be NULL. */
    void (*progress)(void *context, uint64_t done_n, uint64_t all_n);
    void *context;
};
/* Boot, after control_finds_log: opens (recovers) every log of the current view. `stores` has that
 * of home h and directory d at [h * dirs_n + d]; NULL: the directory could not be taken. `seams`
 * may be NULL. */
nodiscard int control_open_logs(struct control *control, struct store *const *stores,
                                struct recovery_report *report, const struct opening_seams *seams);
/* Partitions that are offline because their directory is not here. */
uint64_t control_lost_logs(const struct control *control);

/* One turn; returns how much was done. */
int control_turn(struct control *control, struct now now);
/* No request is here, nothing is being written or ordered: the thread may stop. */
bool control_is_quiet(const struct control *control);
/* 0, or why the metadata log takes nothing any more (E_STORAGE): what changes metadata is then
 * refused. */
int control_error(const struct control *control);
/* Clean stop of the metadata log, after the threads have stopped. */
nodiscard int control_close(struct control *control, struct checkpoints *checkpoints);
void control_fini(struct control *control);
/* Boot, when it is built: enters what memory it has taken (ledger.h). */
struct ledger;
void control_ledger(const struct control *control, struct ledger *ledger);

/* control -> home worker. Owner: control. The worker answers when it is done. */
enum log_order { LOG_OPEN, LOG_DROP, LOG_CONFIGURE };
struct log_op {
    struct mail mail; /* MAIL_LOG */
    uint8_t order;    /* enum log_order */
    struct log_id id;
    uint8_t dir; /* LOG_OPEN: which directory it goes to */
    struct log_config config;
    int error; /* out */
    void *inside[4];
};

/* control -> home worker: appends one batch to an internal partition and answers when it is as safe
 * as acks=all (PLOG_HIGH). Owner: control; the worker while it has it. `batch` stays until the
 * answer. */
struct commit_op {
    struct mail mail; /* MAIL_COMMIT */
    struct uuid topic_id;
    int32_t partition;
    const uint8_t *batch; /* one whole batch, made by batch_builder */
    uint32_t bytes;
    int error;           /* out: 0, or why nothing, or not surely something, was appended */
    int64_t base_offset; /* out */
    struct {             /* the home's */
        struct internal *at;
        struct list link;
        struct slice slice;
        struct plog_wait wait;
    } home;
};

/* control -> home worker: copies whole batches from `offset` on into `buffer`. With error
 * E_TOO_LARGE the next batch needs `bytes`. Nothing more is there when it comes back with error 0
 * and bytes 0. Owner: control; the worker while it has it. */
struct load_op {
    struct mail mail; /* MAIL_LOAD */
    struct uuid topic_id;
    int32_t partition;
    int64_t offset;
    uint8_t *buffer;
    uint32_t bytes_max;
    uint32_t bytes; /* out */
    int error;      /* out */
    struct {        /* the home's */
        struct internal *at;
        struct read read;
    } home;
};

/* control -> home worker: a log goes to another directory, in steps; comes back after each. BEGIN:
 * with 0 when both directories have it and it stands still; then FINISH (0: done; E_NO_MEMORY: try
 * again; E_NOT_FOUND: give up) or GIVE_UP (an error: it is over). Owner: control; the worker while
 * it has it. */
enum move_step { MOVE_LOG_BEGIN, MOVE_LOG_FINISH, MOVE_LOG_GIVE_UP };
struct move_op {
    struct mail mail; /* MAIL_MOVE */
    uint8_t step;     /* enum move_step */
    uint8_t dir;      /* where to */
    struct uuid topic_id;
    int32_t partition;
    uint64_t seed, bytes_per_s; /* of struct log_move */
    int error;                  /* out */
    struct {                    /* the home's */
        void *at;
        bool is_here;
        struct log_move move;
    } home;
};
/* Owner: control. `op` comes back soon, if it is a BEGIN and still there. */
struct cancel_move {
    struct mail mail; /* MAIL_MOVE_CANCEL */
    struct move_op *op;
};

/* worker -> control: directory `dir` has failed here. control -> workers: give it up. Owner: the
 * sender. */
struct dir_op {
    struct mail mail; /* MAIL_DIRECTORY */
    uint8_t dir;
    bool is_first; /* out, from control: nobody has told it before */
    bool is_last;  /* out, from control: no other one is left */
};

/* worker -> control: nobody waits for the answer of `op` any more; it comes back at once when it
 * would have waited for other members of a group. Owner: the worker that sent `op`. */
struct cancel_op {
    struct mail mail; /* MAIL_CANCEL */
    struct control_op *op;
};

/* What another thread (the admin listener's) asks of control: one question at a time, text in, text
 * out.
 *
 *   ASK_IDLE ──asker──► ASK_ASKED ──control──► ASK_ANSWERED ──asker──► ASK_IDLE
 *
 * Each store is a release, each load an acquire, so whoever sees a state sees what belongs to it.
 * An asker that gives up leaves ASK_ASKED behind and finds the slot taken until control has been
 * there. Owner: by state. */
enum ask_state { ASK_IDLE, ASK_ASKED, ASK_ANSWERED };
enum { ASK_NAME_MAX = 256 };
enum ask_kind { ASK_GROUP, ASK_TELEMETRY };
struct ask {
    _Atomic uint8_t state;
    uint8_t kind;            /* enum ask_kind: rebalances of a group as JSON; series of clients */
    char name[ASK_NAME_MAX]; /* of the group */
    uint32_t name_n;
    char *answer; /* heap; the asker's; NULL: no such group, or no memory */
};
struct ask *control_ask(struct control *control);

/* How main gives control the settings of a file that was read again. `config` stays main's; what
 * was in force before may go when RELOAD_DONE is seen.
 *
 *   RELOAD_IDLE ──main──► RELOAD_ASKED ──control──► RELOAD_DONE ──main──► RELOAD_IDLE
 *
 * Each store is a release, each load an acquire. Owner: by state. */
enum reload_state { RELOAD_IDLE, RELOAD_ASKED, RELOAD_DONE };
struct reload {
    _Atomic uint8_t state;
    const struct config *config;
};
struct reload *control_reload(struct control *control);
/* Bit i: row i of the broker's settings is set and has no effect here. Readable from any thread. */
enum { IDLE_SETTINGS_WORDS = 8 };
struct idle_settings {
    _Atomic uint64_t words[IDLE_SETTINGS_WORDS];
};
const struct idle_settings *control_idle_settings(const struct control *control);
/* Read by the metrics thread. */
const struct group_stats *control_group_stats(const struct control *control);
const struct telemetry_stats *control_telemetry_stats(const struct control *control);

/* Pure: is `name` a legal topic name (Kafka Topic.java)? NULL, or what is wrong with it (static
 * text form in `why`, as Kafka words it). */
const char *topic_name_fault(struct bytes name, char *why, size_t why_n);

#endif
