/*
 * endpoint.h - our TCP engine on a port of DPDK, for programs that are not the broker: the
 * generator, bench/tcp/pump, tests/dpdk.
 *
 * Owner: the caller, one thread.
 *
 * The same ports (millrace-dpdk.so beside the program), lanes and engine as the broker's, with one
 * queue. A turn of the caller is endpoint_in -> net_news_next, tcp_read, tcp_send -> endpoint_out.
 */
#ifndef MILLRACE_LOAD_ENDPOINT_H
#define MILLRACE_LOAD_ENDPOINT_H

#include "lane.h"
#include "net.h"
#include "port.h"

/* Owner: the caller. One or several ports of a process, each with an engine. */
struct endpoint {
    const struct port_driver *driver;
    struct port *port;
    struct net *net;
    struct lanes *lanes;
    struct lane *lane;
    struct now now;
};

/* Opens n ports as configured (queues_n, packets_n, huge and seed have defaults when 0), with room
 * for conns_n connections each. 0, or E_ and why: the cause, and the command that mends it. */
nodiscard int endpoints_open(struct endpoint *v, uint32_t n, struct ports_config *config,
                             uint32_t conns_n, char *why, size_t why_n);
/* Ends whatever is open, without a word to the peers. */
void endpoints_close(struct endpoint *v, uint32_t n);

/* What has arrived goes into the engine; what it has to send goes out. How many packets moved. */
uint32_t endpoint_in(struct endpoint *e);
uint32_t endpoint_out(struct endpoint *e);

/* "10.77.0.2/24", "10.77.0.2" (mask 0): false when it is neither. mask may be NULL: no length. */
bool endpoint_address(const char *text, uint32_t *ip, uint32_t *mask);
/* "net_memif0,role=client,...": the device and its arguments. */
bool endpoint_device(const char *text, struct port_config *p);

#endif
