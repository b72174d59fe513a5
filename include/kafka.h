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
#include "slow.h"
#include "stats.h"
#include "storage.h"
#include "turns.h"
#include "view.h"

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

/* Boot: all memory of the Kafka layer of one worker, beside its connections and store, which
 * outlive it. 0, E_NO_MEMORY. */
nodiscard int kafka_init(struct kafka **out, const struct kafka_config *config, struct conns *conns,
                         struct store *store, struct pages *pages, struct timers *timers,
                         struct post *post, struct prng *prng, struct stats *stats);
/* After the threads have stopped. */
void kafka_fini(struct kafka *kafka);
/* Boot, when it is built: enters what memory it has taken (ledger.h). */
struct ledger;
void kafka_ledger(const struct kafka *kafka, struct ledger *ledger);

/* "Decide": ready connections -> frames -> requests -> handlers, at most requests_per_turn, and
 * goes on with answers whose encoding was cut off by the turn's budget. Returns how much was done.
 */
int kafka_turn(struct kafka *kafka, const struct view *view, struct now now);

/* An operation of the kinds APPEND, READ, RELEASE, QUERY arrived, or a REQUEST came back. */
void kafka_mail(struct kafka *kafka, const struct view *view, struct mail *mail, struct now now);

/* The turns of this worker, so that a slow request can be blamed on one that overran. Boot. */
void kafka_turns(struct kafka *kafka, struct turns *turns);

/* What `millrace slow` shows: the slowest requests of row `at` (up to kafka_slow_rows) in a window,
 * merged into v[0 .. n) (top_merge; the words are a struct slow). Returns the new n. Readable from
 * any thread. */
uint32_t kafka_slow_rows(void);
/* The API of a row; *is_own: ranked by the time beside the wait for records (the last row: Fetch).
 */
int16_t kafka_slow_row(uint32_t at, bool *is_own);
uint32_t kafka_slow(const struct kafka *kafka, uint32_t at, enum top_window window, uint64_t now_ns,
                    struct top_item *v, uint32_t n);

/* No request is under way. */
bool kafka_is_quiet(const struct kafka *kafka);

/* The histogram (ns) of stage `to` minus the stage before it, for metrics; NULL when that API was
 * never seen. Readable from the metrics thread. `to` = STAGES_N: all, from complete to sent. */
const struct histogram *kafka_histogram(const struct kafka *kafka, int16_t api_key, int to);

#endif
