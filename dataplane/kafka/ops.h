/*
 * ops.h - what a request asks of the logs' home workers: appends, reads, queries; the same struct
 * whether the home is this worker (a call) or another (mail).
 *
 * Owner: the request's worker; the home worker from mail_send until the answer is back. The structs
 * stand in the request's arena or lasting memory. The home never allocates there; what it needs
 * while it waits (plog_wait, read, time_query, timer) is part of the struct.
 *
 * append   one op per request and home; two mails, so that the frame's bytes come back before the
 *          disk is done:
 *            place ──► placed in the logs, in the home's queue order; answered: the frame may go
 *            wait  ──► sent in the same moment; answered when written or visible, as acks asks
 *
 * read     one op per fetch and home; its mail travels several times, once per step:
 *            READ_NOW  ──► answered with what is there (after the disk, if need be); pages are lent
 *            READ_WAIT ──► waits for news; answered at the first, or after cancel_mail
 *            RELEASE   ──► the lent pages go back; answered at once
 *
 * query    one op per request and home: offsets by time or by epoch
 */
#ifndef MILLRACE_OPS_H
#define MILLRACE_OPS_H

#include "request.h"

/* ── append ── */

/* One partition of a Produce. */
struct append_part {
    struct append_part *next;
    struct append_op *op;
    struct uuid topic_id;
    int32_t partition;
    const struct slices *records; /* in the frame: gone once placed */
    struct produce_response_responses_partition_responses *response; /* the request's */
    /* out */
    int error;
    int64_t base_offset, last_offset, log_append_ms, start_offset;
    int32_t bad_record_at;
    /* the home's */
    struct plog *log;      /* while it is waited for; else look at knows_logs */
    struct repack *repack; /* what bulk makes of the batch */
    struct plog_wait wait;
    bool is_waiting;
    bool is_looked;                 /* bulk need not be asked ahead */
    char reason[APPEND_REASON_MAX]; /* set only with an error */
};

struct append_mail {
    struct mail mail;
    struct append_op *op;
};

struct append_op {
    struct list link;               /* home's queue */
    struct append_mail place, wait; /* to a remote home */
    struct request *request;
    struct kafka *home; /* set on arrival */
    uint8_t home_thread;
    bool is_remote;
    bool is_placed, wait_came, is_timed_out;
    bool is_settling;  /* its waits are being registered: `at` is the next part */
    bool knows_logs;   /* those of its parts were found in this turn: none is gone or has moved */
    bool is_held;      /* in the list of those that bulk works for */
    bool is_urgent;    /* it passed those that wait */
    bool is_abandoned; /* its connection is gone: placed, but not waited for */
    bool is_done;
    int16_t acks;
    int16_t version;
    uint32_t waiting_n;
    uint64_t deadline_ns;
    struct timer timer; /* home's wheel */
    struct append_part *parts, **tail, *at;
    uint64_t bytes, batches_n, records_n;
    uint64_t arrived_ns, placed_ns, written_ns, flushing_ns, flushed_ns;
    uint64_t begun_ns;     /* by the home */
    struct op_stall stall; /* while it was with the home */
};

/* Home side. */
void append_begin(struct kafka *home, struct append_op *op, struct now now);
void append_wait_begin(struct append_op *op, struct now now);
/* A local op whose connection is gone. */
void append_abandon(struct append_op *op, struct now now);
int appends_turn(struct kafka *kafka, struct now now);
void append_mail_arrive(struct kafka *kafka, struct mail *mail, struct now now);
/* The request's side. */
void append_mail_back(struct mail *mail, struct now now);
void produce_placed(struct append_op *op, struct now now);
void produce_done(struct append_op *op, struct now now);

/* ── read ── */

enum read_step { READ_NOW, READ_WAIT };

/* One partition of a Fetch: what lasts while it is parked (in the request's lasting memory). */
struct read_part {
    struct read_part *next;       /* of its op      */
    struct read_part *next_asked; /* of the request */
    struct read_op *op;           /* NULL when refused before any log was asked */
    struct read_result *result;   /* of the round under way; NULL while parked  */
    struct uuid topic_id;
    int64_t offset;
    int32_t partition;
    int32_t bytes_max, last_fetched_epoch;
    uint32_t cached;     /* place of the session's partition, when the fetch is of a session */
    int32_t asked_epoch; /* current_leader_epoch of the request */
    int32_t leader, leader_epoch; /* told to the client when it asked the wrong one (KIP-951) */
    int16_t code;                 /* Kafka code found by the request's worker */
    bool shows_leader;
    /* the home's */
    bool is_waiting;
    int64_t high, stable; /* as the last read saw them */
    struct plog_wait wait;
};

/* What one round found (in the arena: gone while the fetch is parked). */
struct read_result {
    struct read_part *part;
    struct fetch_response_responses_partitions *response;
    int error;
    bool is_lent; /* `read` holds pages */
    bool is_diverging;
    int32_t diverging_epoch;
    int64_t diverging_end;
    struct plog_offsets offsets;
    struct read read;
};

struct read_mail {
    struct mail mail;
    struct read_op *op;
};

struct read_op {
    struct list link;             /* home's `reads` */
    struct read_mail step_mail;   /* READ, RELEASE  */
    struct read_mail cancel_mail; /* READ: stop waiting */
    struct read_op *next;         /* of the request */
    struct request *request;
    struct kafka *home;
    uint8_t home_thread;
    uint8_t step; /* enum read_step */
    bool is_remote;
    bool is_busy; /* between begin and done */
    bool is_committed;
    bool is_cancelling; /* the request's: cancel_mail is under way */
    bool is_sent;       /* the request's: the step is under way */
    uint32_t parts_n, lent_n;
    uint64_t bytes_max, bytes; /* budget of this op; read so far */
    union {
        uint64_t wait_bytes;   /* READ_WAIT: news of a partition that end it */
        struct op_stall stall; /* READ_NOW, when it is over */
    };
    struct read_part *parts, **tail, *at;
    uint64_t arrived_ns;
    uint64_t done_ns; /* while it is with the home: when it came there */
};

/* Home side; `read_done` / a mail answer says that the step is over. */
void read_begin(struct kafka *home, struct read_op *op, struct now now);
void read_stop(struct read_op *op,
               struct now now);          /* ends a READ_WAIT step; no effect on any other */
void read_give_back(struct read_op *op); /* the pages */
void read_abort(struct read_op *op);     /* a local op in the middle of its reads */
int reads_turn(struct kafka *kafka, struct now now);
void read_mail_arrive(struct kafka *kafka, struct mail *mail, struct now now);
void release_mail_arrive(struct kafka *kafka, struct mail *mail);
/* The request's side. */
void read_mail_back(struct mail *mail, struct now now);
void release_mail_back(struct mail *mail);
void fetch_op_done(struct read_op *op, struct now now);
/* The answer budget has room again: fetches that waited go on. */
int fetch_budget_turn(struct kafka *kafka, const struct view *view, struct now now);

/* ── query ── */

enum query_kind {
    QUERY_TIME,      /* ListOffsets: offset by time */
    QUERY_EPOCH,     /* OffsetForLeaderEpoch: where an epoch ends */
    QUERY_DELETE,    /* DeleteRecords: the start moves */
    QUERY_PRODUCERS, /* DescribeProducers */
    QUERY_BYTES,     /* DescribeLogDirs: how large is it */
};

/* One partition that is asked about. */
struct query_part {
    struct query_part *next;
    struct query_op *op;
    struct uuid topic_id;
    int32_t partition;
    int64_t time_ms;                  /* QUERY_TIME */
    int32_t epoch;                    /* QUERY_EPOCH */
    void *response;                   /* the request's partition struct */
    struct producer_state *producers; /* QUERY_PRODUCERS: room for ... */
    uint32_t producers_max;
    /* out */
    int error;
    int64_t offset, timestamp_ms; /* offset: QUERY_DELETE's in, too */
    int32_t found_epoch;
    uint32_t producers_n; /* there are, also beyond producers_max */
    uint64_t bytes;
    bool is_moving; /* QUERY_BYTES: to another directory, where it has ... */
    uint64_t future_bytes;
    int64_t future_lag; /* ... and lacks so many offsets */
    /* the home's */
    union {
        struct time_query query;
        struct start_move move;
    };
    int64_t offset_limit; /* beyond it consumers may not see the answer */
};

struct query_op {
    struct mail mail;
    struct request *request;
    struct kafka *home;
    uint8_t home_thread;
    uint8_t kind; /* enum query_kind */
    bool is_remote, is_committed;
    uint32_t pending_n;
    struct query_op *next;
    struct query_part *parts, **tail;
};

/* Home side. */
void query_begin(struct kafka *home, struct query_op *op, struct now now);
void query_mail_arrive(struct kafka *kafka, struct mail *mail, struct now now);
/* A part that did not end at once has ended. */
void query_over(struct query_op *op, struct now now);
/* One part each; those that do not end at once count themselves in pending_n. */
void query_time(struct query_part *part, struct plog *log, struct now now);
void query_epoch(struct query_part *part, struct plog *log);

/* The request's side: all questions of one request. Stands in its arena. */
struct queries {
    void *response;
    struct query_op *ops, **ops_tail;
    uint8_t kind; /* enum query_kind */
    bool is_committed;
};

/* NULL: no memory, also when `response` is NULL. */
struct queries *queries_new(struct request *request, void *response, enum query_kind kind);
/* A question to a log at its home; NULL: no memory. */
struct query_part *query_add(struct request *request, struct queries *queries, uint8_t home,
                             const struct uuid *topic_id, int32_t partition);
/* Sends all; `more` runs when the last answer is back. */
void query_send(struct request *request, struct queries *queries,
                void (*more)(struct request *, const struct view *, struct now), struct now now);
void query_mail_back(struct mail *mail, struct now now);

#endif
