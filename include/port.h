/*
 * port.h - the seam between the TCP engine and whatever moves frames: a NIC, a device of the
 * kernel, memory.
 *
 * Owner: main opens and closes a port; queue i belongs to the one thread that polls it. Nothing in
 * a port is touched by two threads, except that queues of one device may be polled at once.
 *
 * A port is a table of functions and what was negotiated at its start. It hands over received
 * packets by reference and takes packets to send by reference:
 *
 *   port_rx(queue) ──packets──► the caller; it gives each back with pkt_put, on the thread that
 *                               received it (lane.h brings those home that went to another core)
 *   port_tx(queue) ◄──packets── the caller; the port takes the first n of them and puts each when
 *                               the device has let go of its memory. The others stay the caller's.
 *
 * A packet's pieces point at memory of the log or of an answer. So that memory is free when two
 * things have happened: the peer has acknowledged it (the engine's reference) and the device has
 * sent every packet that refers to it (the packets' references). A device that completes late must
 * be asked, also when nothing is sent: port_reclaim.
 *
 * What a device cannot do is done in software by whoever can: checksums by the engine (PORT_TX_SUM
 * is not set), gathering by the port (PORT_TX_REFERENCE is not set: it copies, and counts that).
 *
 * A queue's states: nothing under way -> packets out at the device (stats.tx_held_n > 0) -> nothing
 * under way. port_close ends all of them, whatever is out is put.
 */
#ifndef MILLRACE_PORT_H
#define MILLRACE_PORT_H

#include <stdio.h>

#include "base.h"
#include "check.h"
#include "errors.h"

enum {
    PORTS_MAX = 4,
    PORT_QUEUES_MAX = 32,
    PORT_BURST_N = 32, /* packets of one call at most */
    PORT_NAME_MAX = 64,
    PORT_TEXT_MAX = 256,
    PORT_WHY_MAX = 512,
    PORT_RSS_KEY_MAX = 52,
    PORT_RETA_N = 128, /* entries of the table that spreads flows; ours, the device's may repeat */
};

struct pkt;
struct port;

/* What the port does itself; negotiated at the start, printed, never changed afterwards. */
enum port_offload {
    PORT_RX_SUM = 1,       /* marks packets whose TCP checksum is good                   */
    PORT_TX_SUM = 2,       /* computes the TCP checksum of packets with PKT_TX_SUM       */
    PORT_TX_PIECES = 4,    /* the device gathers a packet from several pieces            */
    PORT_TX_REFERENCE = 8, /* and reads them where they are: nothing is copied by us     */
    PORT_RSS = 16,         /* spreads flows by our key and table                         */
    PORT_TX_TSO = 32,      /* cuts packets with PKT_TX_TSO; has PORT_TX_SUM              */
};

/* Owner: immutable after the start. */
struct port_facts {
    char name[PORT_NAME_MAX];   /* as in dpdk.ports                               */
    char driver[PORT_NAME_MAX]; /* "net_af_packet"                                */
    uint8_t mac[6];
    uint16_t mtu;
    uint16_t queues_n;  /* 1 .. PORT_QUEUES_MAX; each receives and sends          */
    uint16_t room_n;    /* bytes of a received packet's buffer                    */
    uint32_t offloads;  /* enum port_offload                                      */
    uint32_t tso_bytes; /* with PORT_TX_TSO: payload of a packet                  */
    uint8_t tso_pieces; /* and pieces it lies in, at most                         */
    uint32_t packets_n; /* received packets that may be out, of each queue        */
    uint8_t rss_key[PORT_RSS_KEY_MAX];
    uint8_t rss_key_n;
    char why_not[PORT_TEXT_MAX]; /* what was wished for and is not there, in words */
    const char *tso_why_not;     /* without PORT_TX_TSO                            */
};

/* Counters of one queue. Owner: the queue's thread. */
struct port_stats {
    uint64_t rx_packets, rx_bytes;
    uint64_t tx_packets, tx_bytes;
    uint64_t tx_copied;     /* packets whose payload was copied on the way to the device    */
    uint64_t tx_referenced; /* packets whose payload the device read where it was           */
    uint64_t tx_full;       /* calls in which the device did not take all                   */
    uint64_t tx_no_buffer;  /* packets that found no buffer of the port; tried again        */
    uint64_t tx_large;      /* packets given to the device to be cut (TSO)                  */
    uint64_t tx_refused;    /* packets dropped: the device will never take them             */
    uint64_t tx_held_n;     /* now: packets the device refers to                            */
};

/* Counters of a device, as far as it has them; read at any time by any thread. */
struct port_device_stats {
    uint64_t rx_packets, rx_missed, rx_no_buffer, rx_errors, tx_packets, tx_errors;
};

/* Owner: immutable. */
struct port_ops {
    uint32_t (*rx)(struct port *port, uint16_t queue, struct pkt **v, uint32_t max);
    uint32_t (*tx)(struct port *port, uint16_t queue, struct pkt *const *v, uint32_t n);
    void (*reclaim)(struct port *port, uint16_t queue);
    void (*device_stats)(struct port *port, struct port_device_stats *out);
    /* A descriptor that is readable while packets wait in the queue; -1, or NULL: there is none. */
    int (*wait_fd)(const struct port *port, uint16_t queue);
};

/* The head of every port; whoever makes one embeds it. Owner: see above. */
struct port {
    const struct port_ops *ops;
    struct port_facts facts;
    struct port_stats stats[PORT_QUEUES_MAX];
};

/* Up to max packets that have arrived at the queue; they are the caller's. */
static inline uint32_t port_rx(struct port *port, uint16_t queue, struct pkt **v, uint32_t max)
{
    return port->ops->rx(port, queue, v, max);
}

/* Sends; returns how many it took, from the front. */
static inline uint32_t port_tx(struct port *port, uint16_t queue, struct pkt *const *v, uint32_t n)
{
    return port->ops->tx(port, queue, v, n);
}

/* Puts the packets that the device has sent and not yet given back. */
static inline void port_reclaim(struct port *port, uint16_t queue)
{
    if (port->ops->reclaim != NULL)
        port->ops->reclaim(port, queue);
}

/* What the queue's thread may sleep on; -1: it has to look now and then. */
static inline int port_wait_fd(const struct port *port, uint16_t queue)
{
    return port->ops->wait_fd == NULL ? -1 : port->ops->wait_fd(port, queue);
}

/* ── drivers ── */

/* One port as configured. Owner: immutable. */
struct port_config {
    char name[PORT_NAME_MAX];    /* a PCI address, or the name of a virtual device    */
    char devargs[PORT_TEXT_MAX]; /* its arguments: "iface=veth0"                      */
    uint32_t ip, mask, gateway;  /* host byte order; mask and gateway may be 0        */
    uint16_t vlan;               /* 0: untagged                                       */
    uint16_t mtu;                /* 0: 1500                                           */
    uint16_t queues_n;           /* wished for: one per worker                        */
};

/* What all ports of the process share. Owner: immutable. */
struct ports_config {
    struct port_config ports[PORTS_MAX];
    uint32_t ports_n;
    char huge[8];       /* "auto", "yes" or "no": memory of the ports from huge pages */
    uint32_t packets_n; /* received packets of a queue                                */
    bool has_tso;       /* where the device has it                                    */
    uint64_t seed;      /* of the RSS key                                             */
};

/* Whoever makes ports. Owner: immutable. */
struct port_driver {
    const char *name;
    /* Starts all of them; on failure nothing is left and why says the cause and the command that
     * mends it. Lines on what was found go to `report`. */
    int (*open)(const struct ports_config *config, struct port **out, FILE *report, char *why,
                size_t why_n);
    /* The device may read this memory: pages of the log, of answers, of packets. Before the first
     * packet. Memory that was not named, or was refused, is copied. */
    int (*memory)(struct port **ports, uint32_t n, void *base, uint64_t bytes);
    /* Once in each thread that polls. */
    void (*thread)(void);
    /* When no thread polls any more: devices end and give back all packets they were sending. */
    void (*stop)(struct port **ports, uint32_t n);
    /* After stop, when every received packet was put: frees the ports and their packets. */
    void (*close)(struct port **ports, uint32_t n);
};

/* The symbol of that name in the library that has the driver for DPDK. */
#define PORT_DRIVER_SYMBOL "port_driver_dpdk"
extern const struct port_driver port_driver_dpdk;

#endif
