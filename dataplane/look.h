/*
 * look.h - what a person asks of a worker's inside: its connections, its last packets.
 *
 * Owner: the metrics thread while IDLE and ANSWERED, the worker while ASKED. It asks, the worker
 * answers at its next tick into memory that came with the question; nothing else of the worker is
 * read by another thread.
 *
 *   metrics thread                              worker (worker_look, each tick)
 *   L1 store state ASKED (release)       -->    K1 load state (acquire)
 *   K2 load state (acquire)              <--    L2 store state ANSWERED (release)
 */
#ifndef MILLRACE_LOOK_H
#define MILLRACE_LOOK_H

#include <stdatomic.h>

#include "base.h"

enum look_state { LOOK_IDLE, LOOK_ASKED, LOOK_ANSWERED };
enum look_kind { LOOK_CONNS, LOOK_PACKETS };
enum { LOOK_CONNS_BYTES = 256 * 1024, LOOK_LINE_MAX = 256 };

/* Owner: see above. */
struct look {
    _Atomic uint8_t state;
    uint8_t kind;     /* enum look_kind                                        */
    uint32_t port;    /* PACKETS: of dpdk.ports                                */
    uint64_t after;   /* CONNS: connections with an id above it                */
    uint64_t wall_ns; /* PACKETS: wall clock less the monotonic one            */
    uint8_t *to;      /* the asker's                                           */
    uint64_t to_n, n; /* n: bytes written; 0: there is nothing, or no room     */
};

struct worker;
/* Answers a question that stands. By the worker. */
void worker_look(struct worker *w);

#endif
