/*
 * net.h - the face of dataplane/net: a TCP/IP engine as a function of packets and time.
 *
 * Owner: worker. One engine per polling core; nothing in it is shared with another thread.
 *
 * The engine has no clock, no thread and no I/O. Packets go in by net_input and come out by
 * net_output_next; time is the argument `now`; what the application must hear waits on the list
 * that net_news_next empties. A turn is:
 *
 *      net_input(every packet that arrived) -> application (net_news_next, tcp_read, tcp_send)
 *      -> net_turn (timers, then output of every connection that was touched) -> net_output_next
 *
 * So a burst of segments is answered with one ACK, an ACK of the burst wins against a timer that
 * is due in the same turn, and an answer of the application carries the ACK.
 *
 * Receiving: tcp_read hands over packets as slices; nothing is copied. Sending: tcp_send takes
 * slices of any size by reference. A slice's owner is put when its bytes are acknowledged and every
 * packet that refers to them was given back by whoever transmits (pkt_put): both hold a reference.
 *
 * Specifications: RFC 9293 (TCP; the step numbers of 3.10.7 stand in tcp_input.c), 7323 (window
 * scale, timestamps, PAWS), 2018 and 2883 (SACK, DSACK), 6675, 8985 (RACK-TLP), 5681, 6582, 6928,
 * 9438 (CUBIC), 3042, 3522 and 5682 (spurious timeouts), 6298 (RTO), 5961 (blind attacks), 6528
 * (ISN), 4987 (SYN cookies), 6191 and 1337 (TIME-WAIT), 826, 791, 792, 1191, 5927. The ledger of
 * requirements and tests is dataplane/net/LEDGER.md.
 */
#ifndef MILLRACE_NET_H
#define MILLRACE_NET_H

#include "clock.h"
#include "errors.h"
#include "slice.h"

struct net;
struct tcb;
struct pkt;

/* STATE(name, what is true in it) */
#define TCP_STATES(STATE)                                                              \
    STATE(CLOSED, "in no table; the application may still read what came")             \
    STATE(LISTEN, "a listener, no connection; stands here for the table of RFC 9293")  \
    STATE(SYN_SENT, "our SYN is out, nothing is known of the peer")                    \
    STATE(SYN_RCVD, "both SYNs are known, ours is not acknowledged")                   \
    STATE(ESTABLISHED, "both may send")                                                \
    STATE(FIN_WAIT_1, "our FIN is queued or out, not acknowledged; the peer may send") \
    STATE(FIN_WAIT_2, "our FIN is acknowledged; the peer may send")                    \
    STATE(CLOSE_WAIT, "the peer's FIN came; we may send")                              \
    STATE(CLOSING, "both FINs are out, ours is not acknowledged")                      \
    STATE(LAST_ACK, "the peer's FIN came first, ours is not acknowledged")             \
    STATE(TIME_WAIT, "both FINs are acknowledged; an entry of 2 MSL remembers the ports")

enum tcp_state {
#define STATE(name, text) TCPS_##name,
    TCP_STATES(STATE)
#undef STATE
        TCPS_N
};

/* What a connection has to say; bits of net_news_next's `news`. CLOSED is the last, exactly once.
 */
enum tcp_news {
    TCP_NEWS_OPENED = 1, /* accepted, or the active open succeeded                   */
    TCP_NEWS_DATA = 2,   /* bytes to read                                            */
    TCP_NEWS_SENT = 4,   /* bytes were acknowledged                                  */
    TCP_NEWS_END = 8,    /* the peer's FIN: nothing follows what can be read; once   */
    TCP_NEWS_CLOSED = 16 /* it is over: tcp_error says why; only tcp_read and
                            tcp_release are left to do                               */
};

/* NET_STAT(NAME, sentence): every drop has a counter of its own. */
enum net_stat {
#define NET_STAT(name, text) NET_##name,
#include "net_stats.def"
#undef NET_STAT
    NET_STATS_N
};

/* Owner: immutable; copied at net_init. Addresses are in host byte order. 0 takes the default. */
struct net_config {
    uint8_t mac[6];
    uint32_t ip, mask, gateway;
    uint16_t mtu;             /* 1500                                               */
    uint16_t port_from;       /* 32768: active opens choose from here to 60999      */
    uint32_t tcbs_max;        /* 1024                                               */
    uint32_t syns_max;        /* 4096, then cookies                                 */
    uint32_t time_waits_max;  /* 4096, then the oldest is dropped                   */
    uint32_t packets_max;     /* 4096 of 2 KiB: received ones                       */
    uint32_t heads_max;       /* 4096 for headers that go out                       */
    uint32_t extents_max;     /* 8192: slices queued                                */
    uint32_t records_max;     /* 16384: segments in flight                          */
    uint32_t rcv_bytes;       /* 256 KiB: receive buffer of a connection            */
    uint64_t rx_budget_bytes; /* true size of received packets, all connections;
                                 the default is 3/4 of the packets                  */
    uint32_t rto_min_ms;      /* 200                                                */
    uint32_t rto_max_ms;      /* 60000                                              */
    uint32_t delayed_ack_ms;  /* 40                                                 */
    uint32_t time_wait_ms;    /* 60000                                              */
    uint32_t keepalive_ms;    /* 60000                                              */
    uint32_t keepalive_n;     /* 3                                                  */
    uint32_t user_timeout_ms; /* 30000 without progress                             */
    bool is_reno;             /* CUBIC otherwise                                    */
    bool no_rack;             /* loss detection by RFC 6675                         */
    bool no_sack, no_timestamps, no_window_scale;
    bool has_tx_checksum; /* whoever transmits computes TCP checksums           */
    uint32_t tso_bytes;   /* and cuts packets of so much payload; 0: does not   */
    uint8_t tso_pieces;   /* in at most so many pieces; 0: PKT_PIECES_MAX       */
    bool no_rx_checksum;  /* do not verify (fuzzing)                            */
    bool no_prediction;   /* every segment takes all steps (tests)              */
    uint64_t seed;
};

/* Facts of one connection for people and tests. */
struct tcp_facts {
    uint8_t state;
    uint16_t mss;
    uint32_t cwnd, ssthresh, in_flight, snd_wnd, rcv_wnd, unread, unsent, unacked;
    uint32_t srtt_us, rttvar_us, rto_us, min_rtt_us;
    uint64_t rx_bytes, tx_bytes, retransmits, undos;
    uint32_t holes;         /* times that bytes came while some before them were missing */
    uint32_t window_probes; /* sent because the peer's window was closed                 */
};

/* ── life ── */

nodiscard int net_init(struct net **out, const struct net_config *config, struct now now);
/* Ends whatever is open and puts every packet it holds; only net_fini may follow. */
void net_stop(struct net *net);
void net_fini(struct net *net); /* net_stop, if need be; packets given out must be back */

/* ── packets ── */

/* An Ethernet frame arrived; the packet is the engine's from now on. */
void net_input(struct net *net, struct pkt *pkt, struct now now);
/* Several that arrived together: segments that follow each other cost less. */
void net_input_burst(struct net *net, struct pkt *const *v, uint32_t n, struct now now);
/* Timers, then output. */
void net_turn(struct net *net, struct now now);
/* The next frame to transmit; NULL when there is none. pkt_put when it has left. */
struct pkt *net_output_next(struct net *net);
/* A packet to receive into (room of 2 KiB); NULL when all are in use. */
struct pkt *net_packet_take(struct net *net);
/* How long the caller may sleep at most. */
uint64_t net_sleep_ns(const struct net *net, struct now now, uint64_t ns_max);
uint64_t net_stat(const struct net *net, enum net_stat at);
const char *net_stat_text(enum net_stat at);
/* What is taken of the bounds now; all 0 when nothing is open and nothing waits. */
struct net_usage {
    uint32_t tcbs_n, syns_n, waits_n, extents_n, records_n, packets_n, heads_n;
    uint64_t rx_held_bytes;
};
void net_usage(const struct net *net, struct net_usage *out);
/* Memory that packets to send stand in, for devices that must be shown it: at 0 and 1. */
void net_memory(const struct net *net, int at, void **base, uint64_t *bytes);

/* ── connections ── */

nodiscard int net_listen(struct net *net, uint16_t port, uint32_t accept_max, void *user);
/* Active open; NULL without memory or ports. */
struct tcb *tcp_connect(struct net *net, uint32_t ip, uint16_t port, void *user, struct now now);

/* The next connection with news; *news are its bits since the last time. */
struct tcb *net_news_next(struct net *net, uint32_t *news);

/* Takes up to max slices of what came, at most bytes_max bytes; returns how many. */
uint32_t tcp_read(struct tcb *tcb, struct slice *v, uint32_t max, uint64_t bytes_max);
uint64_t tcp_unread(const struct tcb *tcb);
/* Queues the slices; their references move to the engine. E_NO_MEMORY: nothing was taken;
 * E_CLOSED: we have ended our side, or it is over. */
nodiscard int tcp_send(struct tcb *tcb, const struct slice *v, uint32_t n);
uint64_t tcp_unacked(const struct tcb *tcb); /* bytes queued or in flight */
/* Ends our side: a FIN follows what is queued. */
void tcp_shutdown(struct tcb *tcb);
/* Ends it at once with a RST. */
void tcp_abort(struct tcb *tcb);
/* The application lets go of the handle; what is queued is still sent, and unless we had ended our
 * side, it ends now. Bytes that were not read, or come later, cause a RST. */
void tcp_release(struct tcb *tcb);

int tcp_error(const struct tcb *tcb); /* after CLOSED: 0, E_CLOSED (reset), E_TIMED_OUT, ... */
void *tcp_user(const struct tcb *tcb);
void tcp_user_set(struct tcb *tcb, void *user);
void *tcp_listener_user(const struct tcb *tcb); /* NULL for an active open */
void tcp_peer(const struct tcb *tcb, uint32_t *ip, uint16_t *port);
void tcp_facts(const struct tcb *tcb, struct tcp_facts *out);
/* Three of these alone, for every request. */
void tcp_troubles(const struct tcb *tcb, uint32_t *retransmits, uint32_t *holes,
                  uint32_t *window_probes);
const char *tcp_state_text(enum tcp_state state);

#endif
