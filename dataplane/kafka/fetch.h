/*
 * fetch.h - what fetch.c and park.c share about one Fetch.
 *
 * Owner: the request (its worker).
 */
#ifndef MILLRACE_FETCH_H
#define MILLRACE_FETCH_H

#include "ops.h"

/* One Fetch. Stands in the request's arena. */
struct fetch {
    struct fetch_response *response;
    struct read_part *parts, **tail; /* in the order of the request */
    struct read_op *ops, **ops_tail; /* one per home                */
    uint32_t parts_n;                /* asked of logs               */
    uint64_t deadline_ns;            /* of max_wait_ms              */
    uint64_t min_bytes, max_bytes;
    uint64_t bytes; /* that the answer would carry */
    bool has_error; /* answered at once (trap 10)  */
    bool is_last;   /* the time is up: this read is answered, whatever it finds */
    bool is_committed;
    struct bytes host; /* of this node, for NodeEndpoints */
    int32_t port;
    int32_t node_id;
    bool shows_leader; /* some partition names the current leader (KIP-951) */
};

/* (Re)reads everything. */
void fetch_read(struct request *request, const struct view *view, struct now now);
/* Begins a step at every home. */
void fetch_step(struct request *request, enum read_step step, struct now now);
/* Too little to answer: waits for records or the deadline. */
void fetch_park(struct request *request, struct now now);
/* Stops what waits at the homes; remote ones come back by mail. */
void fetch_stop(struct request *request, struct now now);

#endif
