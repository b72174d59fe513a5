/*
 * lane.h - between a port and the TCP engines: which core a packet belongs to, and its way there.
 *
 * Owner: worker. A lane is one port as one worker sees it: its queue, if it has one, its engine,
 * and rings to the lanes of the other workers on the same port.
 *
 *                 port_rx(own queue)
 *                      |
 *                 owner(addresses, ports)  --- another's ---> ring ---> its lane: net_input
 *                      | ours
 *                 net_input ... net_turn ... net_output_next
 *                      |
 *                 own queue, or the ring of the worker that has one ---> port_tx
 *
 * The owner of a flow is Toeplitz's hash of its addresses and ports, with the port's key and table:
 * what a NIC with RSS computes, so there a packet arrives where it belongs; everywhere else (one
 * queue, a kernel that spreads by a hash of its own, ICMP errors, which quote a flow) it is handed
 * over by reference. A packet is put only on the thread whose pool it came from: put elsewhere, it
 * goes back by ring.
 *
 * ARP replies go to all lanes of a port, as copies, because each engine has its own neighbours;
 * ARP requests and echo requests are answered where they arrive.
 */
#ifndef MILLRACE_LANE_H
#define MILLRACE_LANE_H

#include "clock.h"
#include "mail.h"
#include "net.h"
#include "port.h"

enum { LANE_RING_N = 4096 };

struct lane;
struct lanes; /* all lanes of one port */

/* Owner: the worker of the lane; read by others for display. */
struct lane_stats {
    uint64_t rx_packets, rx_redirected; /* of them handed to another worker           */
    uint64_t rx_from_others;            /* packets other workers handed to this one   */
    uint64_t rx_ring_full;              /* dropped: the other worker does not keep up */
    uint64_t rx_vlan;                   /* dropped: a VLAN that is not ours           */
    uint64_t tx_packets, tx_redirected; /* of them through another worker's queue     */
    uint64_t arp_copies, arp_no_packet;
};

/* Boot. One lane for each of workers_n workers; nets[i] and posts[i] are worker i's (posts may be
 * NULL where nobody sleeps). The nets of one port share its address. 0 or E_NO_MEMORY. */
nodiscard int lanes_open(struct lanes **out, struct port *port, uint16_t vlan, struct net **nets,
                         struct post **posts, uint8_t workers_n);
/* When no worker runs: every packet goes home. The order of an end, because packets are with each
 * other's threads: net_stop of all, port_driver.stop, lanes_close, net_fini, port_driver.close. */
void lanes_close(struct lanes *lanes);
struct lane *lanes_at(struct lanes *lanes, uint8_t worker);

/* "In": the queue and the rings, into the engine. Returns how many packets moved. */
uint32_t lane_rx(struct lane *lane, struct now now);
/* "Out", after net_turn: what the engine has to send, and what other lanes want sent. */
uint32_t lane_tx(struct lane *lane, struct now now);
/* Something waits that only a turn moves. */
bool lane_is_busy(struct lane *lane);
/* Which worker the flow belongs to. */
uint8_t lane_owner(const struct lane *lane, uint32_t peer_ip, uint16_t peer_port, uint32_t ip,
                   uint16_t port);
const struct lane_stats *lane_stats(const struct lane *lane);
const struct port *lane_port(const struct lane *lane);

/* ── the last packets, for `millrace pcap` and after a failed check ── */

enum { LANE_CAPTURE_SNAP = 128, LANE_CAPTURE_PART = 16 + LANE_CAPTURE_SNAP };

/* Boot: keeps the first bytes of the last `packets_n` packets of the lane, both ways. 0: none. */
nodiscard int lane_capture_open(struct lane *lane, uint32_t packets_n);
/* The bytes of a pcap file with them, oldest first; 0 when `to_n` is too small or nothing is kept.
 * Times are monotonic plus `wall_ns`, so that the file shows the wall clock. */
uint64_t lane_capture_write(const struct lane *lane, uint8_t *to, uint64_t to_n, uint64_t wall_ns);
uint64_t lane_capture_bytes_max(const struct lane *lane);
/* The same file in parts, for whom has no memory for it: part 0 is its head, the packets follow.
 * The bytes of part `at`; 0: there are no more. Trusts no number of the lane's. */
uint32_t lane_capture_part(const struct lane *lane, uint32_t at, uint8_t to[LANE_CAPTURE_PART],
                           uint64_t wall_ns);

#endif
