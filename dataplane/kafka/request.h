/*
 * request.h - a Kafka request from its first byte to its sent answer, and what one worker keeps for
 * all of them.
 *
 * Owner: worker. Inside of dataplane/kafka only.
 *
 * Life of a request (who performs the arrow):
 *
 *   FREE --request_begin--> RUNNING --request_wait--> WAITING --last operation back--> RUNNING
 *                             |  '------fetch_park--> PARKED  --bytes or time--------> RUNNING
 *                             |
 *                             '--request_answer--> ENCODING --encoded--> SENDING
 *                                                                           |
 *     any of them --connection gone, or sent (request_release)--> RELEASING <-'
 *     RELEASING --no operation under way (request_end)--> FREE
 *
 * Order rules. (1) A connection's frames begin in their order; answers leave in that order (conn's
 * slots). (2) Appends pass the home's queue in order of arrival, and mail between two workers keeps
 * its order: so batches of one connection for one partition reach the log in request order, also
 * when the log is full for a while. (3) Nothing acts inside an arrival (wake, timer, mail, sent):
 * it marks, and kafka_turn runs the mark.
 *
 * Memory: the request's structs stand in its arena and stay until every operation that points there
 * is back; the frame's slices go as soon as nobody reads them (request_drop_frame), together with
 * their reservation.
 */
#ifndef MILLRACE_REQUEST_H
#define MILLRACE_REQUEST_H

#include <stdio.h>

#include "codes.h"
#include "kafka.h"
#include "mail.h"
#include "proto.h"

enum {
    FRAME_SMALL_MAX = 256 * 1024,  /* larger frames are admitted in turn                          */
    LARGE_FRAMES_MAX = 4,          /* large frames under way at once                              */
    FRAMES_PER_CONN = 16,          /* begun of one connection before the next one has its turn    */
    FRAME_SLICES_MAX = 65536,      /* pieces of one frame                                         */
    SPARE_PAGES_MAX = 64,          /* of 4 KiB, kept for the next requests' arenas                */
    FRAME_GRACE_MS = 2000,         /* before the minimum rate is asked for                        */
    REQUEST_ELEMENTS_MAX = 100000, /* of all arrays of one request together                    */
    ENCODE_UNITS_TURN = 20000,     /* fields encoded in one turn, all requests together           */
    ENCODE_UNITS_ANSWER = 8,       /* what an answer costs besides its fields                     */
    APPEND_BYTES_TURN = 8 << 20,   /* placed in logs in one turn; then the other stages come      */
    APPEND_BYTES_LEAST = 8192,     /* what a batch counts at least: 1,024 in a turn               */
    BEGIN_UNITS_TURN = 2048,       /* elements decoded, partitions planned in one turn            */
    READ_PARTS_TURN = 1024,        /* partitions read in one turn                                 */
    SETTLE_PARTS_TURN = 4096,      /* waits registered in one turn                                */
    HELD_BUCKETS = 256,            /* of partitions whose batches are with bulk                   */
};
#define REQUEST_ARENA_MAX MIB(64)

/* clang-format off */
#define REQUEST_STATES(STATE)                                                              \
    STATE(FREE,      "in the pool; holds nothing")                                         \
    STATE(RUNNING,   "its handler runs, or stands on the run list")                        \
    STATE(WAITING,   "operations under way, or a place in a queue")                        \
    STATE(PARKED,    "a fetch that waits for records or its time; holds no page of a log") \
    STATE(ENCODING,  "its answer is complete and becomes bytes")                           \
    STATE(SENDING,   "its answer belongs to the connection")                               \
    STATE(RELEASING, "sent, or the connection is gone: waits for its operations")
/* clang-format on */

enum request_state {
#define STATE(name, text) REQUEST_##name,
    REQUEST_STATES(STATE)
#undef STATE
        REQUEST_STATES_N
};

struct request;
struct forward;
struct sessions;

enum api_where { API_LOCAL, API_LOG, API_CONTROL };

/* One row of api.def. Owner: immutable. */
struct api {
    int16_t key;
    int16_t version_min, version_max; /* advertised */
    uint8_t where;
    void (*start)(struct request *request, const struct view *view, struct now now);
    void (*release)(struct request *request, struct now now);
};

/* How long an operation waited for a disk that stood still, and that stall (slow.h). Small: a
 * parked fetch keeps it. */
struct op_stall {
    uint32_t us;
    uint32_t took_ms : 24; /* four hours */
    uint32_t dir : 8;
};

/* Nothing shorter can be a stall worth naming: storage.stall.ms is 1 or more. */
#define OP_STALL_MIN_NS NS_PER_MS

void op_stall_measure(struct op_stall *stall, struct store *store, uint64_t begun_ns,
                      uint64_t now_ns);
static inline void op_stall_ask(struct op_stall *stall, struct store *store, uint64_t begun_ns,
                                uint64_t now_ns)
{
    stall->us = 0;
    if (unlikely(now_ns - begun_ns >= OP_STALL_MIN_NS))
        op_stall_measure(stall, store, begun_ns, now_ns);
}

/* Owner: worker. */
struct request {
    struct list run_link;  /* the run, encode, sent, or a waiting list                   */
    struct list conn_link; /* of its connection                                          */
    struct kafka *kafka;
    struct kafka_conn *conn; /* NULL when the connection is gone                           */
    const struct api *api;   /* NULL until the header was read                             */
    uint8_t state;           /* enum request_state; changed by request_state_set only      */
    bool is_large;           /* holds a place of the large frames                          */
    bool is_unanswered;      /* acks=0                                                     */
    bool holds_control;      /* counted in control_n, or join_n                            */
    bool is_crowd;           /* answered together with others: goes on by way of crowd     */
    int16_t version;
    int32_t correlation_id;
    struct bytes client_id; /* view into the frame: gone with it                          */
    uint32_t ops_n;         /* operations under way that point into the arena             */
    uint64_t frame_bytes;   /* reserved of the request budget; 0 when given back          */
    uint64_t answer_bytes;  /* reserved of the answer budget                              */
    struct slices frame;
    struct arena arena;  /* gone while a fetch is parked */
    struct list lasting; /* pages that stay to the end: what a parked fetch keeps */
    uint8_t *lasting_at, *lasting_end;
    void *body;              /* the decoded request                                        */
    void *work;              /* the handler's own                                          */
    struct forward *forward; /* its operation at control, or NULL                          */
    /* What the run list calls when the last operation is back, or a parked fetch woke. */
    void (*more)(struct request *request, const struct view *view, struct now now);
    void (*encoded)(
        struct request *request); /* what only encoding needed may go; NULL for nothing */
    struct timer timer;
    struct proto_out out;
    struct conn_slot slot;
    uint64_t stages[STAGES_N];
    uint32_t size, answer_size; /* of its frame, of its answer: for slow.c */
    struct op_stall stall;      /* the worst of its operations, for slow.c */
    uint32_t holes_n;           /* in its frame as it came (struct conn_path) */
};

/* What the Kafka layer keeps per connection. Owner: worker. */
struct kafka_conn {
    struct list link;     /* a waiting list, or none                                    */
    struct list all;      /* kafka->conns                                               */
    struct list requests; /* not yet ended, in order                                    */
    struct kafka *kafka;
    struct conn *conn;
    uint64_t frame_bytes; /* of the frame whose prefix was read; 0: the prefix is next  */
    uint64_t first_ns;    /* when its first byte was seen                               */
    uint64_t whole_ns;    /* when its last was; 0: not yet                              */
    uint32_t holes_n;     /* struct conn_path, at its first byte; then since then       */
    uint64_t admitted_ns;
    bool is_admitted;  /* a large frame: its bytes are reserved                      */
    struct timer slow; /* of a large frame                                           */
    char software_name[64],
        software_version[40]; /* what it calls itself (KIP-511); "": it does not */
    bool is_ending;           /* no further frame begins; it is closed for end_why behind   */
    uint8_t end_why;          /* the answers to the requests before end_at (NULL: to all)   */
    const struct request *end_at;
    const struct request *planning; /* a Produce that is not with its logs yet: nothing passes it */
};

/* Counts of one API. Owner: worker; read by the metrics thread. */
struct api_times {
    struct histogram stages[STAGES_N + 1]; /* [STAGES_N]: complete to sent */
};

/* Owner: worker. */
struct kafka {
    struct kafka_config config;
    const void *owner; /* the thread, known from the first turn on */
    struct conns *conns_of;
    struct store *store;
    struct pages *pages;
    struct timers *timers;
    struct post *post;
    struct prng *prng;
    struct stats *stats;
    struct now now; /* of the call under way */

    struct request *requests; /* the pool's memory */
    struct list spare;        /* small pages for arenas, at most SPARE_PAGES_MAX */
    uint32_t spare_n;
    struct list free, run, encode, sent;
    struct list crowd;        /* those that many are told at once, half requests_per_turn */
    uint32_t crowd_left;      /* of them in this turn */
    struct list wait_answer;  /* fetches that wait for the answer budget */
    struct list wait_control; /* requests that wait for a place at control */
    struct list wait_join;    /* the same, JoinGroup and SyncGroup          */
    uint32_t states_n[REQUEST_STATES_N];
    uint32_t encode_units; /* fields that may still be encoded in this turn */
    uint32_t begun_n;      /* in this turn */

    struct list conns;
    struct list conns_free; /* kafka_conn structs cut from conn_pages */
    struct list conn_pages;
    struct list wait_small,
        wait_large; /* connections whose next frame waits for a budget or the pool */
    uint64_t small_bytes, large_bytes; /* reserved */
    uint32_t large_n;
    uint64_t answer_bytes;
    uint32_t control_n, join_n; /* at control */

    struct list appends;  /* home side: operations not placed yet, in order of arrival */
    struct list held;     /* home side: those that bulk works for, and what is behind them */
    struct list settling; /* home side: placed, their waits are being registered */
    uint32_t held_n[HELD_BUCKETS]; /* partitions of those, by hash: not yet placed */
    struct list reads;             /* home side: reads that go on after the disk                */
    uint64_t append_bytes;         /* placed in this turn */
    /* Of BEGIN_UNITS_TURN, READ_PARTS_TURN, SETTLE_PARTS_TURN in this turn. */
    int64_t begin_left, reads_left, settle_left;
    uint32_t home_ops_n; /* operations of other workers under way here                */

    const struct view_topic *topic_last; /* that partition_find found, in the view of ... */
    uint64_t topic_version;              /* ... this version; NULL: none */

    struct sessions *sessions; /* of fetches */
    struct api_times *times;   /* one per row of api.def */
    _Atomic uint64_t *buckets;
    struct top *slow;    /* the slowest: one per row of api.def, and Fetch once more (slow.c) */
    struct turns *turns; /* of the thread; NULL: not known */
};

extern const struct api apis[];
extern const uint8_t apis_n;
/* NULL: not served. */
const struct api *api_find(int16_t key);
/* The lowest version that is really served: the schema's, when it is above the advertised one (trap
 * 1). */
int16_t api_version_min(const struct api *api);

/* How many of `n` more partitions may be planned in this turn; the rest waits for the next. */
static inline int32_t request_turns(struct kafka *k, int32_t n)
{
    int32_t taken = (int32_t)max_i64(min_i64(n, k->begin_left), 0);
    k->begin_left -= taken;
    return taken;
}

/* ── frame.c: connections to frames ── */
void frames_closing(struct kafka *kafka, struct kafka_conn *conn, struct now now);
/* The client broke the protocol at request `at` (NULL: in a frame's length): no further frame
 * begins, and the connection is closed when the answers to all earlier requests were sent. */
void frames_end(struct kafka_conn *conn, const struct request *at, enum conn_end why);
/* A request of the connection has ended: is it time to close? */
void frames_end_more(struct kafka_conn *conn);
int frames_turn(struct kafka *kafka, const struct view *view, struct now now);
/* A frame's bytes are no longer held. */
void frame_budget_give(struct kafka *kafka, struct request *request);
void frame_slow(struct timer *timer, struct now now);

/* ── request.c: the life of a request ── */
void request_state_set(struct request *request, enum request_state to);
/* Every state's promise; tests call it after each step. */
void request_invariants(const struct request *request);
/* Begins the connection's next frame, all of whose bytes are there. False: no slot (try later), or
 * the connection was closed. */
bool request_begin(struct kafka *kafka, struct kafka_conn *conn, const struct view *view,
                   struct now now);
/* Runs what came back, encodes, ends what was sent; returns how much was done. */
int requests_turn(struct kafka *kafka, const struct view *view, struct now now);
/* The frame's bytes are not needed any more; more than once is no harm. */
void request_free_frame(struct request *request);
static inline void request_drop_frame(struct request *r)
{
    if (r->frame.v != NULL || r->frame_bytes != 0)
        request_free_frame(r);
}
static inline void request_op_begin(struct request *r)
{
    r->ops_n++;
}
/* An operation is back: when it was the last, `more` runs in this turn, or the request ends. */
void request_op_end(struct request *request);
/* Nothing more to do until the operations begun are back; with none, `more` runs in this turn. */
void request_wait(struct request *request,
                  void (*more)(struct request *, const struct view *, struct now));
/* Puts a waiting or parked request onto the run list. */
void request_run(struct request *request);
/* The answer is whole: a response struct of the API. It is encoded now, or over turns. */
void request_answer(struct request *request, void *response);
/* The answer is bytes already: a whole frame, in the arena. */
void request_answer_bytes(struct request *request, struct slices frame);
/* acks=0: no answer. */
void request_skip(struct request *request);
/* The request cannot be answered: closes the connection. */
void request_close(struct request *request, enum conn_end why, enum stat_at stat);
/* The connection is gone, or the answer was sent. */
void request_release(struct request *request, struct now now);
static inline void request_stamp(struct request *r, enum stage stage, uint64_t ns)
{
    r->stages[stage] = max_u64(r->stages[stage], ns);
}
/* The worst of its operations counts. */
static inline void request_stall(struct request *r, const struct op_stall *stall)
{
    if (unlikely(stall->us > r->stall.us))
        r->stall = *stall;
}
/* Zeroed memory outside of the arena, in small pages, until the request ends; NULL without memory.
 * n is at most 64 KiB. */
void *request_lasting(struct request *request, uint32_t n);
/* A copy of a string of the frame, in the arena; a null string stays null. ptr NULL, n > 0: no
 * memory. */
struct bytes request_keep(struct request *request, struct bytes text);
/* "/127.0.0.1", as Kafka prints a client's address. */
void request_client_host(const struct request *request, char *to, size_t n);

/* ── slow.c ── */
nodiscard int slow_init(struct kafka *kafka);
/* Sent: one of the slowest? True when it was kept as one. */
bool slow_note(struct request *request, struct now now);

/* ── dispatch.c ── */
void request_dispatch(struct request *request, const struct view *view, struct now now);

/* ── handlers and what they share ── */
void produce_start(struct request *request, const struct view *view, struct now now);
void produce_release(struct request *request, struct now now);
void fetch_start(struct request *request, const struct view *view, struct now now);
void fetch_release(struct request *request, struct now now);
void list_offsets_start(struct request *request, const struct view *view, struct now now);
void leader_epoch_start(struct request *request, const struct view *view, struct now now);
void query_release(struct request *request, struct now now);
void delete_records_start(struct request *request, const struct view *view, struct now now);
void describe_producers_start(struct request *request, const struct view *view, struct now now);
void describe_log_dirs_start(struct request *request, const struct view *view, struct now now);
void topic_partitions_start(struct request *request, const struct view *view, struct now now);
void metadata_start(struct request *request, const struct view *view, struct now now);
void find_coordinator_start(struct request *request, const struct view *view, struct now now);
void api_versions_start(struct request *request, const struct view *view, struct now now);
void api_versions_refuse(struct request *request); /* an unknown version of ApiVersions (trap 2) */
void describe_cluster_start(struct request *request, const struct view *view, struct now now);
void forward_start(struct request *request, const struct view *view, struct now now);
void forward_release(struct request *request, struct now now);
/* Sends `body`, a request struct of API `key`, to control; `more` runs when it is back
 * (forward_response). */
void forward_send(struct request *request, int16_t key, int16_t version, const void *body,
                  void (*more)(struct request *, const struct view *, struct now));
void *forward_response(struct request *request);
void forward_end(struct request *request); /* the response's memory; safe more than once */
void forward_fini(struct request *request);
void forward_back(struct mail *mail);
void forward_cancelled(struct mail *mail);
/* A request left control: the next one that waits may go. */
void forward_next(struct kafka *kafka);

/* The node's address as this client knows it (trap 36). Views into the listener, which outlives
 * all. */
struct bytes listener_host(const struct request *request);
int32_t listener_port(const struct request *request);

/* Looks a partition up. 0, or the Kafka code (3, 100 for ids, 6) with *topic set when the topic
 * exists. */
int16_t partition_find(struct kafka *kafka, const struct view *view, struct bytes name,
                       const struct uuid *id, bool by_id, int32_t partition,
                       const struct view_topic **topic, const struct view_partition **found);
/* KIP-320: 0, FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH; -1 in the request asks for no check. */
int16_t leader_epoch_check(int32_t asked, int32_t ours);

#endif
