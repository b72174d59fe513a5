/*
 * engine.h - inside of the measured loop: connections, schedule, matching of offsets.
 *
 * Owner: the generator's thread.
 */
#ifndef MILLRACE_LOAD_ENGINE_H
#define MILLRACE_LOAD_ENGINE_H

#include "load.h"
#include "match.h"
#include "schedule.h"
#include "wire.h"

enum {
    LOAD_RX_BYTES =
        1 << 20, /* first size of a connection's receive buffer; grows for large answers */
    LOAD_RX_BYTES_MAX = 128 << 20,
    LOAD_IOV_MAX = 256,
    LOAD_COPY_MAX = 2048, /* smaller batches are copied behind their head: one iovec less */
    LOAD_HEAD_MAX = 512,
    LOAD_FETCH_BYTES = 4 << 20,
};

/* The encoded request of one partition: head, length of the records, batch, tail. The head ends
 * before the length, which is the payload's: compressed payloads differ in it. */
struct load_head {
    uint8_t head[LOAD_HEAD_MAX];
    uint8_t tail[16];
    uint16_t head_n, tail_n;
};

/* A request under way. */
struct load_flight {
    uint64_t intended_ns;
    uint32_t partition; /* index over all topics */
    int32_t correlation_id;
    uint16_t payload;
};

struct load_partition {
    uint32_t topic, number;
    uint16_t payload_at;
    struct match_table matches; /* v is NULL without consumers */
};

/* One connection. */
struct load_conn {
    struct wire_conn wire;
    bool is_producer, wants_write, is_failed;
    /* sending */
    uint64_t next;              /* this connection's next request number (open loop)     */
    struct load_flight *flight; /* ring of window                                        */
    uint32_t flight_head, flight_n;
    uint8_t *tx; /* bytes the wire did not take yet                       */
    uint64_t tx_n, tx_at, tx_room;
    uint32_t partition_at; /* producers: turn within its partitions                 */
    uint32_t partition_first, partition_n; /* of load.order */
    /* receiving */
    uint8_t *rx;
    uint64_t rx_n, rx_room;
    /* consumers */
    int64_t *offsets; /* by partition of this connection                       */
    uint32_t reader;
    int32_t correlation_id;
    bool is_fetching;
};

/* One send under construction. Small batches are copied into `copy`, large ones referenced. */
struct load_burst {
    struct iovec iov[LOAD_IOV_MAX];
    uint32_t iov_n, copy_n;
    uint64_t bytes;
    uint8_t copy[LOAD_IOV_MAX * 256];
};

struct load {
    const struct load_options *o;
    struct wire *wire;
    struct load_conn *conns;
    uint32_t conns_n, producers_n;
    struct load_partition *partitions;
    uint32_t partitions_n;
    struct load_head *heads;
    struct load_payload payloads[LOAD_PAYLOADS];
    uint16_t produce_version, fetch_version;
    bool is_set_up;       /* versions are known and topics are there */
    bool is_closed_loop;  /* --rate max */
    bool is_measuring;    /* answers count as throughput */
    bool is_draining;     /* nothing new is sent but what was due in the window */
    bool is_sending_over; /* nothing at all is sent any more */
    struct schedule schedule;
    uint64_t window_from_ns, window_to_ns; /* what was due in between has a latency in the result */
    uint64_t matched_n;                    /* of the window: received by the consumer */
    uint64_t now_ns;
    struct load_result *result;
    struct histogram second; /* produce latencies of the second under way */
    _Atomic uint64_t second_counts[HISTOGRAM_BUCKETS(HISTOGRAM_COARSE_BITS)];
    uint64_t second_records, second_requests, second_bytes, second_consumed, second_stall_ns;
    uint64_t second_end_ns;
    uint64_t failed_n;
    char why[256]; /* of the first connection that failed */
    struct load_burst burst;
    char topic_names[LOAD_TOPICS_MAX][64];
};

/* engine_wire.c: encoding and decoding */
nodiscard int load_heads_make(struct load *l);
/* One batch was taken by the broker: throughput, when it is being measured. */
void load_count(struct load *l, const struct load_payload *p);
/* Appends a Fetch for all partitions of the connection to its tx. */
nodiscard int load_fetch_encode(struct load *l, struct load_conn *c);
/* One answer; E_ when it cannot be decoded. */
nodiscard int load_answer_produce(struct load *l, struct load_conn *c, const uint8_t *frame,
                                  uint32_t n);
nodiscard int load_answer_fetch(struct load *l, struct load_conn *c, const uint8_t *frame,
                                uint32_t n);
bool load_tx_room(struct load_conn *c, uint64_t n);

#endif
