/*
 * kafka.h - the face of dataplane/kafka: requests, between connections and logs.
 *
 * Owner: worker. The only folder that knows both a connection and a log.
 */
#ifndef MILLRACE_KAFKA_H
#define MILLRACE_KAFKA_H

#include "conn.h"
#include "histogram.h"
#include "prng.h"
#include "stats.h"
#include "storage.h"
#include "view.h"

/* Where a request's time goes; stamped in this order, 0 = did not happen (design 1.5). */
#define STAGES(STAGE)                                                  \
    STAGE(FIRST_BYTE, "the first byte of the frame had arrived")       \
    STAGE(COMPLETE, "the frame was complete")                          \
    STAGE(STARTED, "its turn came: header read, body decoded")         \
    STAGE(PLACED, "all batches placed in the tail, or all reads made") \
    STAGE(MAILED, "the last operation came back from another thread")  \
    STAGE(WRITTEN, "the appends were written")                         \
    STAGE(FLUSHED, "the appends were durable")                         \
    STAGE(READY, "the answer was ready")                               \
    STAGE(SENT,        "the answer was handed to the transport whole")

enum stage {
#define STAGE(name, text) STAGE_##name,
    STAGES(STAGE)
#undef STAGE
        STAGES_N
};

/* Limits, copied at kafka_init. */
struct kafka_config {
    uint8_t worker; /* this worker's number */
    uint8_t workers_n;
    uint8_t control_thread;
    uint64_t frame_bytes_max;      /* socket.request.max.bytes */
    uint64_t request_budget_bytes; /* frames received and placed: queued.max.request.bytes, share */
    uint64_t answer_budget_bytes;  /* bytes of fetch answers under way */
    uint32_t requests_max;         /* requests under way */
    uint32_t requests_per_turn;    /* at most this many begin in one turn */
    uint32_t control_requests_max; /* at control at once; a tenth is kept for heartbeats */
    uint64_t frame_rate_min;       /* bytes/s below which a large frame loses its place */
    int32_t fetch_bytes_max;       /* fetch.max.bytes */
    uint32_t sessions_max;         /* fetch sessions, share of this worker; 0: none are made */
    uint32_t session_parts_max;    /* partitions of all of them: the memory bound */
};

struct kafka;

nodiscard int kafka_init(struct kafka **out, const struct kafka_config *config, struct conns *conns,
                         struct store *store, struct pages *pages, struct timers *timers,
                         struct post *post, struct prng *prng, struct stats *stats);
void kafka_fini(struct kafka *kafka);

/* "Decide": ready connections -> frames -> requests -> handlers, at most requests_per_turn, and
 * goes on with answers whose encoding was cut off by the turn's budget. Returns how much was done.
 */
int kafka_turn(struct kafka *kafka, const struct view *view, struct now now);

/* An operation of the kinds APPEND, READ, RELEASE, QUERY arrived, or a REQUEST came back. */
void kafka_mail(struct kafka *kafka, const struct view *view, struct mail *mail, struct now now);

/* No request is under way. */
bool kafka_is_quiet(const struct kafka *kafka);

/* The histogram (ns) of stage `to` minus the stage before it, for metrics; NULL when that API was
 * never seen. Readable from the metrics thread. `to` = STAGES_N: all, from complete to sent. */
const struct histogram *kafka_histogram(const struct kafka *kafka, int16_t api_key, int to);

#endif
