/*
 * ports.h - the ports of the broker: from their settings to a worker's turn.
 *
 * Owner: main opens and closes; a worker's part (struct worker_ports) is the worker's.
 *
 * Each worker has one TCP engine for each port, and all workers share the port's address: a lane
 * (lane.h) brings packets to the engine that has their flow. A listener that names the address of a
 * port is served by these engines, every other one by kernel sockets; both may exist. Without
 * dpdk.ports nothing of this exists, and DPDK is not even loaded.
 */
#ifndef MILLRACE_PORTS_H
#define MILLRACE_PORTS_H

#include "check.h"
#include "config.h"
#include "io.h"
#include "lane.h"
#include "listener.h"
#include "stats.h"

struct broker;
struct worker;

enum { PORTS_PCAP_PATH_MAX = 512 };

/* Owner: main. */
struct ports {
    struct ports_config config;
    const struct port_driver *driver; /* NULL: no port is open */
    struct port *v[PORTS_MAX];
    struct lanes *lanes[PORTS_MAX];
};

/* IN_USE(name): what engines have taken of their bounds; all 0 when nothing is open.
 * MOVED(name, sentence): what lanes and queues count. */
#define PORTS_IN_USE(IN_USE) \
    IN_USE(connections)      \
    IN_USE(half_open)        \
    IN_USE(time_wait)        \
    IN_USE(extents)          \
    IN_USE(records) IN_USE(packets) IN_USE(heads) IN_USE(received_bytes) IN_USE(at_device)
#define PORTS_MOVED(MOVED)                                                                       \
    MOVED(rx_packets)                                                                            \
    MOVED(rx_bytes)                                                                              \
    MOVED(rx_redirected)                                                                         \
    MOVED(rx_from_others)                                                                        \
    MOVED(rx_ring_full)                                                                          \
    MOVED(rx_other_vlan) MOVED(tx_packets) MOVED(tx_bytes) MOVED(tx_redirected) MOVED(tx_copied) \
        MOVED(tx_referenced) MOVED(tx_device_full) MOVED(tx_no_buffer) MOVED(tx_large)           \
            MOVED(tx_refused) MOVED(arp_copies) MOVED(arp_no_packet)

enum {
#define IN_USE(name) PORTS_IN_USE_##name,
    PORTS_IN_USE(IN_USE)
#undef IN_USE
        PORTS_IN_USE_N
};
enum {
#define MOVED(name) PORTS_MOVED_##name,
    PORTS_MOVED(MOVED)
#undef MOVED
        PORTS_MOVED_N
};

/* What a worker has of them. Owner: worker; `shown` is read by the metrics thread. */
struct worker_ports {
    struct {
        struct stats_cell events[NET_STATS_N], in_use[PORTS_IN_USE_N], moved[PORTS_MOVED_N];
    } shown; /* sums over the ports, as of the last tick */
    uint32_t n;
    struct net *nets[PORTS_MAX];
    struct lane *lanes[PORTS_MAX];
    struct io_op waits[PORTS_MAX]; /* until a packet comes; fd -1: the device cannot say */
    const struct port_driver *driver;
    uint64_t active_ns; /* when packets moved last */
    /* After a failed check: where the last packets of each port go. */
    struct check_last_words last_words;
    char pcap_paths[PORTS_MAX][PORTS_PCAP_PATH_MAX];
};

/* ── boot and stop ── */

/* The settings dpdk.*; E_INVALID with one line in `why`. */
nodiscard int ports_config_read(const struct config *config, uint16_t workers_n, uint64_t seed,
                                struct ports_config *out, char *why, size_t why_n);
/* Which listeners are served by a port (listener.native). Refuses a port that no listener names. */
nodiscard int ports_listeners_mark(const struct ports_config *config, struct listener *listeners,
                                   uint32_t n, char *why, size_t why_n);
/* Starts the devices; first of all, so that a fault is known before anything is touched. */
nodiscard int ports_open(struct broker *b);
/* Engines and lanes; listeners. After the workers' connections exist. */
nodiscard int ports_join(struct broker *b);
/* No worker runs. Engines end, devices stop, packets go home, memory is given back. */
void ports_close(struct broker *b);

/* ── in a worker's turn ── */

/* On its own thread, once. From then on a check that fails on it leaves the last packets of its
 * lanes in pcap_paths. */
void worker_ports_begin(struct worker *w);
int worker_ports_rx(struct worker *w, struct now now);
int worker_ports_tx(struct worker *w, struct now now);
/* Before the worker sleeps: asks to be woken by packets, where devices can (port_wait_fd), and says
 * how long it may sleep at most. With a device that cannot, or that has packets of ours still to
 * give back, this is short while there is traffic, a millisecond soon after and LOOK_NS_MAX when
 * nothing came for a second: what the first packet then waits at most. */
uint64_t worker_ports_sleep_ns(struct worker *w, struct now now, uint64_t ns_max);
bool worker_ports_are_busy(const struct worker *w);
/* The tick: counters to where others may read them. */
void worker_ports_show(struct worker *w);

#endif
