/*
 * fetch.h - what fetch.c and park.c share about one Fetch.
 *
 * Owner: the request (its worker).
 */
#ifndef MILLRACE_FETCH_H
#define MILLRACE_FETCH_H

#include "ops.h"
#include "session.h"

/* One topic of a Fetch. Lasting. */
struct fetch_topic {
    struct fetch_topic *next;
    struct bytes name;
    struct uuid id;
    int32_t partitions_n;
};

/* One Fetch. Lasting: stands in the request's lasting memory, not in its arena. */
struct fetch {
    struct fetch_topic *topics, **topics_tail;
    int32_t topics_n;
    struct read_part *parts, **tail; /* of all topics, in the order of the request */
    struct read_op *ops, **ops_tail; /* one per home                */
    uint32_t asked_n;                /* partitions in the request   */
    uint32_t parts_n;                /* of them asked of logs       */
    uint64_t deadline_ns;            /* of max_wait_ms              */
    uint64_t min_bytes, max_bytes;
    uint64_t bytes; /* that the answer would carry */
    bool has_error; /* answered at once (trap 10)  */
    bool is_last;   /* the time is up: this read is answered, whatever it finds */
    bool is_committed;
    bool wants_session; /* a new one, with the answer */
    bool uses_ids;
    struct session *session; /* busy with this fetch, or NULL */
    bool shows_leader;       /* some partition names the current leader (KIP-951) */
    struct bytes host;       /* of this node, for NodeEndpoints */
    int32_t port;
    int32_t node_id;
    struct fetch_response *response; /* of the round under way, in the arena */
    /* While it is planned: what comes next, of the request (-1: its topic comes first) or session.
     */
    int32_t plan_topic, plan_part;
    const struct list *plan_at;
    const struct session_topic *plan_last;
    struct fetch_topic *plan_to;
    /* While a round's results are made: what comes next. */
    const struct fetch_topic *round_topic;
    int32_t round_topic_at, round_part_at;
    struct read_part *round_part;
};

/* (Re)reads everything. */
void fetch_read(struct request *request, const struct view *view, struct now now);
/* Begins a step at every home. */
void fetch_step(struct request *request, enum read_step step, struct now now);
/* The pages of the last round go back; remote ones by mail (operations of the request). */
void fetch_give_back(struct request *request);
/* Too little to answer: waits for records or the deadline. */
void fetch_park(struct request *request, const struct view *view, struct now now);
/* Stops what waits at the homes; remote ones come back by mail. */
void fetch_stop(struct request *request, struct now now);

#endif
