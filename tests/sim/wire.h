/*
 * wire.h - one simulated client's connection: frames out, frames in, over the in-memory transport,
 * or over TCP and a network with faults (sim_net.h).
 *
 * Owner: the simulator.
 */
#ifndef MILLRACE_SIM_WIRE_H
#define MILLRACE_SIM_WIRE_H

#include "arena.h"
#include "sim.h"

struct sim_wire {
    struct conn_memory *peer; /* NULL: not connected, or over TCP */
    struct tcb *tcb;          /* of the clients' engine; NULL: not connected, or in memory */
    bool is_over;             /* the peer ended it, or it broke */
    const void *worker;       /* whose connection it is */
    int32_t correlation_id;   /* of the newest request */
    uint8_t *tx;
    uint64_t tx_n, tx_at;
    uint8_t *rx;
    uint64_t rx_n;
};

void wire_init(struct sim_wire *w);
void wire_fini(struct sim_wire *w);
/* Connects to a random worker, or to whom the network brings it; false when it is refused. */
bool wire_connect(struct sim *s, struct sim_wire *w);
bool wire_is_connected(const struct sim_wire *w);
/* News of its connection over TCP. */
void wire_news(struct sim_wire *w, uint32_t news);
/* The client closes. What was under way will not be answered. */
void wire_disconnect(struct sim_wire *w);
/* The broker is gone, and the connection with it. */
void wire_gone(struct sim_wire *w);
/* Encodes a request behind what is waiting to be sent; returns its correlation id. */
int32_t wire_queue(struct sim_wire *w, int16_t api_key, int16_t version, const void *request,
                   struct arena *arena);

enum wire_end { WIRE_FINE, WIRE_ENDED, WIRE_FAILED };
/* Sends some of what waits (in random pieces) and hands every whole answer, without its length, to
 * `each`. WIRE_ENDED: the broker closed. WIRE_FAILED: `each` said so. */
enum wire_end wire_pump(struct sim *s, struct sim_wire *w,
                        bool (*each)(struct sim *s, void *context, const uint8_t *frame,
                                     uint32_t n),
                        void *context);

#endif
