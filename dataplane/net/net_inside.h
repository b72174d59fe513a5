/*
 * net_inside.h - what the files of net/ share: the engine, its tables, a connection, a segment.
 *
 * Owner: worker.
 *
 * Invariants (tcb_invariants):
 *   (1) snd_una <= snd_nxt; records cover [snd_una, snd_nxt) without gap, but for a SYN sent from
 * the SYN cache; (2) pipe = bytes of records that are neither SACKED nor LOST; sacked, lost
 * likewise; (3) unsent = bytes of extents behind (send_ext, send_at); queued = bytes not
 * acknowledged; (4) rcv_nxt <= rcv_edge, and rcv_edge never moves back; (5) ranges out of order are
 * sorted, disjoint, not adjacent, and above rcv_nxt; (6) something in flight: the RTO timer runs;
 * bytes to send and nothing in flight and no way to send them: the PERSIST timer runs.
 */
#ifndef MILLRACE_NET_INSIDE_H
#define MILLRACE_NET_INSIDE_H

#include "bytes.h"
#include "list.h"
#include "net.h"
#include "pkt.h"
#include "prng.h"
#include "siphash.h"
#include "timer.h"

enum {
    NET_MAGIC = 0x6e657430,
    TCB_MAGIC = 0x74636230,
    ETH_BYTES = 14,
    IP4_BYTES = 20,
    TCP_BYTES = 20,
    ETHERTYPE_IP4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_VLAN = 0x8100,
    IP_ICMP = 1,
    IP_TCP = 6,
    HEAD_AT = 40, /* where the Ethernet header of a sent packet begins; before it, the
                     port keeps its own (port_dpdk.c), and a tag of 802.1Q may come in      */
    LISTENERS_N = 16,
    ARP_N = 64,
    ARP_QUEUE_N = 4,
    MSS_MIN = 88,      /* what a peer announces is clamped to it (CVE-2019-11479)          */
    MSS_DEFAULT = 536, /* without the option (RFC 9293 3.7.1)                              */
    WSCALE_MAX = 14,
    OOO_RANGES_MAX = 64,
    SACK_BLOCKS_MAX = 4,
    SYN_RETRIES = 3,
    DUP_THRESHOLD = 3,
    QUICK_ACKS = 16,    /* segments at the beginning that are acknowledged at once          */
    COLLAPSE_MAX = 256, /* a payload this small is copied into the packet before it         */
    BURST_MAX = 64,     /* frames looked at together                                        */
    TCB_RX_LINES = 4,   /* of a connection, that a segment in order touches                 */
    CONNS_FEW = 64,     /* all of them are in the cache                                     */
    STAMP_BYTES = 12,   /* the timestamp option with its padding                            */
    HEADS_BYTES = ETH_BYTES + IP4_BYTES + TCP_BYTES, /* of a frame without options          */
    HEAD_MAX = 80, /* of a template: HEADS_BYTES + STAMP_BYTES, in whole words of 16   */
    FLOW_NONE = -1,
};
#define PAWS_AGE_NS (24ull * 86400 * NS_PER_S) /* RFC 7323 5.5 */

enum tcp_flag { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

struct tcp_opts {
    bool has_mss, has_wscale, has_sack_ok, has_stamp;
    uint8_t wscale, sacks_n;
    uint16_t mss;
    uint32_t stamp, echo;
    struct {
        struct seq from, to;
    } sacks[SACK_BLOCKS_MAX];
};

/* One arriving segment. Owner: the call that handles it. */
struct segment {
    struct pkt *pkt; /* its view is the payload; NULL when it was kept */
    struct seq seq, ack;
    uint32_t from_ip, to_ip;
    uint16_t from_port, to_port;
    uint32_t n;    /* payload bytes */
    uint32_t hash; /* of the flow */
    uint16_t wnd;  /* not scaled    */
    uint8_t flags;
    const uint8_t *from_mac;
    struct tcp_opts opts;
};

/* Where a flow's entry is found. The first member of tcb, syn_entry and wait_entry. */
struct flow {
    int32_t next; /* of the bucket */
    uint32_t hash;
    uint32_t peer_ip;
    uint16_t peer_port, port;
};

/* A slice the application gave. Owner: its tcb. */
struct tx_ext {
    struct tx_ext *next;
    struct slice slice;
};

enum rec_flag {
    REC_SACKED = 1,
    REC_LOST = 2,  /* to be sent again           */
    REC_AGAIN = 4, /* was sent more than once    */
    REC_FIN = 8,
    REC_SYN = 16,
};

/* What was put on the wire at one time: a segment, or several in a row. Segments have `mss` bytes,
 * the last may have fewer, of the first `lead` bytes are acknowledged already. It is split between
 * segments when they fare differently. Owner: its tcb. */
struct tx_rec {
    struct list link; /* tcb.recs, by sequence number          */
    struct list sent; /* tcb.sent, by time of the last sending */
    struct seq seq;
    uint32_t n;         /* payload bytes                         */
    struct tx_ext *ext; /* where they begin                      */
    uint32_t ext_at;
    uint16_t mss, lead;
    uint8_t flags, sends_n;
    uint64_t sent_ns, first_ns;
};

/* The timers of a connection; one node in the wheel stands for the earliest. */
#define TCP_TIMERS(T) \
    T(RTO) T(PROBE) T(REORDER) T(PERSIST) T(ACK) T(KEEP) T(USER) T(LINGER) T(AGAIN)
enum tcp_timer {
#define T(name) TIMER_##name,
    TCP_TIMERS(T)
#undef T
        TIMERS_N
};

enum recovery { RECOVERY_NONE, RECOVERY_FAST, RECOVERY_RTO };

/* Congestion control (tcp_cc.c). cwnd and ssthresh in bytes. */
struct cc {
    uint32_t cwnd, ssthresh, iw;
    uint32_t acked;                     /* bytes towards the next step of congestion avoidance   */
    double w_max, k, w_est, cwnd_epoch; /* CUBIC: segments, seconds, segments     */
    uint64_t epoch_ns;                  /* 0: none began                                         */
    bool is_limited;                    /* the last output stopped because of cwnd               */
    /* what an undo gives back */
    uint32_t undo_cwnd, undo_ssthresh;
    double undo_w_max;
};

/* One connection. What every segment needs stands first. Owner: worker. */
struct tcb {
    struct flow flow;
    uint32_t magic;
    uint64_t in_ips;    /* of its segments, as they stand on the wire: both addresses */
    uint32_t in_ports;  /* both ports                                                 */
    uint16_t in_offset; /* data offset and ACK, when there are the usual options      */
    uint8_t head_n;     /* bytes of `head`                                            */
    uint8_t state;      /* enum tcp_state, changed by tcb_state_set                   */
    struct seq rcv_nxt, rcv_edge, acked_nxt; /* acked_nxt: rcv_nxt of our last ACK     */
    uint32_t stamp_recent;
    /* one cache line so far */
    struct seq snd_una, snd_nxt, snd_wl1, snd_wl2;
    uint32_t snd_wnd, snd_wnd_max;
    uint8_t rcv_ws, snd_ws;
    bool has_stamps, has_sack;
    bool is_ack_now; /* an ACK is due at the end of the burst    */
    bool is_orphan;  /* the application let go                   */
    bool has_fin, is_fin_taken;
    uint32_t rxq_bytes, rx_true; /* rx_true: of rxq and ooo */
    struct pkt *rxq_head, *rxq_tail;
    struct pkt *ooo; /* first range */
    /* two */
    struct net *net;
    struct list dirty, news;
    uint32_t news_bits;
    uint16_t rcv_mss; /* the largest payload seen */
    uint8_t quick_n;
    uint8_t probes_n; /* keepalives, window probes without answer */
    uint64_t last_rx_ns;
    /* three */
    uint64_t rx_bytes, stamp_recent_ns;
    struct list link; /* net.tcbs_open or .tcbs_free              */
    bool is_in_table;
    bool is_waiting; /* counts in listener->waiting_n            */
    int error;
    void *user;
    const struct tcp_listener *listener;

    /* receive */
    struct seq irs;
    struct seq fin_seq; /* of the peer's FIN, when has_fin */
    uint32_t ooo_ranges_n;
    struct seq recent[SACK_BLOCKS_MAX];
    uint8_t recent_n;
    bool has_dsack;
    struct seq dsack_from, dsack_to;
    uint64_t invalid_ns, challenge_ns; /* the limits of ACKs to nonsense: next one allowed */

    /* send */
    struct seq iss;
    uint32_t stamp_offset;
    uint16_t mss; /* payload of a segment without options other than timestamps */
    uint16_t mss_peer;
    bool is_fin_queued, is_fin_sent;
    bool is_forced; /* the PERSIST timer overrides the avoidance of silly windows */
    struct tx_ext *ext_head, *ext_tail, *send_ext;
    uint32_t send_at;
    uint32_t head_at; /* acknowledged bytes of ext_head */
    uint64_t unsent, queued;
    struct list recs, sent;
    uint32_t pipe, sacked, lost; /* bytes            */
    uint32_t sacked_n, lost_n;   /* segments; records */
    uint32_t window_probes;
    struct cc cc;

    /* loss recovery (tcp_loss.c) */
    uint8_t recovery; /* enum recovery */
    uint8_t dupacks, backoff;
    struct seq recover; /* snd_nxt when recovery began */
    uint64_t srtt_ns, rttvar_ns, rto_ns, min_rtt_ns, min_rtt_at_ns;
    uint64_t rack_ns, rack_rtt_ns; /* newest transmission known to have arrived */
    struct seq rack_end;
    uint8_t reo_mult;
    bool is_reordering;
    struct seq dsack_round, fack;
    struct seq probe_end; /* tail loss probe under way, when is_probing */
    bool is_probing, is_probe_again;
    bool can_undo;         /* of the recovery under way */
    uint32_t undo_again_n; /* retransmissions not yet reported as duplicates */
    uint32_t undo_stamp;   /* our timestamp at the first retransmission */
    bool is_frto;
    uint64_t last_send_ns, progress_ns;

    bool has_mac;
    uint8_t
        head[HEAD_MAX]; /* of its frames; what varies is 0 in it. Once the peer's SYN is known */
    uint32_t head_ip_sum, head_tcp_sum; /* over it, and the pseudo header; without lengths */
    uint32_t holes;                     /* times that the first range out of order came       */
    uint64_t due[TIMERS_N];             /* ns; 0: not set */
    struct timer timer;
    uint64_t tx_bytes;
    uint32_t retransmits, undos;
};

/* A half-open connection (syn.c). Owner: worker. */
struct syn_entry {
    struct flow flow;
    struct list link; /* net.syns[retry], in order of `due_ns` */
    uint64_t due_ns;
    const struct tcp_listener *listener;
    struct seq iss, irs;
    uint32_t stamp, stamp_offset;
    uint16_t mss, wnd;
    uint8_t wscale, retry, mac[6];
    bool has_wscale, has_sack, has_stamp;
    bool is_again; /* our SYN-ACK was sent for a second SYN: no sample of the round trip */
};

/* A connection that ended by us first (time_wait.c). Owner: worker. */
struct wait_entry {
    struct flow flow;
    struct list link; /* net.waits, in order of `due_ns` */
    uint64_t due_ns, stamp_recent_ns;
    struct seq rcv_nxt, snd_nxt;
    uint32_t stamp_recent, stamp_offset, wnd;
    bool has_stamp;
    uint8_t mac[6];
};

struct tcp_listener {
    uint16_t port;
    bool is_open;
    uint32_t accept_max, waiting_n; /* opened and not yet told */
    void *user;
};

/* A neighbour (arp.c). */
struct arp_entry {
    uint32_t ip;
    uint8_t mac[6];
    bool is_used, is_known, is_wanted; /* wanted: sent to since it was asked */
    uint8_t tries, queue_n;
    uint64_t due_ns; /* asked again, or forgotten */
    struct pkt_queue queue;
};

/* So many a second at most; a burst of as many. */
struct limiter {
    uint64_t second;
    uint32_t n, max;
};

/* Owner: worker. */
struct net {
    uint32_t magic;
    struct net_config config;
    uint64_t now_ns;
    struct prng prng;
    struct sip_key key_flow, key_isn, key_cookie;
    struct pkt_pool big, head;
    struct pkt_queue out;
    struct timers timers;
    struct arp_entry arp[ARP_N];
    uint64_t arp_due_ns; /* looked at again */
    struct limiter limit_rst, limit_challenge, limit_echo;
    uint64_t mac_word; /* our hardware address as the first 6 bytes of a word */
    uint64_t rx_held;  /* true size of all packets held by connections */

    int32_t *buckets;
    uint32_t buckets_mask;
    struct tcb *tcbs;
    struct syn_entry *syn_entries;
    struct wait_entry *wait_entries;
    uint32_t tcbs_used_n, tcbs_n;
    struct list tcbs_free, tcbs_open, dirty, news;
    struct list syns_free, syns[SYN_RETRIES + 1];
    struct list waits_free, waits;
    uint32_t syns_n, waits_n;
    struct tx_ext *exts, *exts_free;
    struct tx_rec *recs;
    struct list recs_free;
    uint32_t exts_used_n, recs_used_n, exts_out_n, recs_out_n;
    struct tcp_listener listeners[LISTENERS_N];
    struct tcb *last; /* of the last segment: bursts are of one connection */
    uint64_t stats[NET_STATS_N];
};

static inline void count(struct net *net, enum net_stat at)
{
    net->stats[at]++;
}

/* Gives up a packet; the one place where that happens to a received one. */
static inline void net_drop(struct net *net, struct pkt *pkt, enum net_stat why)
{
    net->stats[why]++;
    pkt_put(pkt);
}

static inline bool limiter_take(struct limiter *limiter, uint64_t now_ns)
{
    if (now_ns / NS_PER_S != limiter->second) {
        limiter->second = now_ns / NS_PER_S;
        limiter->n = 0;
    }
    return limiter->n < limiter->max && ++limiter->n > 0;
}

static inline struct tx_rec *rec_first(const struct tcb *tcb)
{
    return list_first(&tcb->recs, struct tx_rec, link);
}

static inline struct tx_rec *rec_last(const struct tcb *tcb)
{
    return list_is_empty(&tcb->recs) ? NULL : list_entry(tcb->recs.prev, struct tx_rec, link);
}

/* Sequence numbers a record takes. */
static inline uint32_t rec_span(const struct tx_rec *rec)
{
    return rec->n + ((rec->flags & (REC_FIN | REC_SYN)) != 0);
}

static inline struct seq rec_end(const struct tx_rec *rec)
{
    return seq_add(rec->seq, rec_span(rec));
}

/* Bytes left of its first segment. */
static inline uint32_t rec_first_n(const struct tx_rec *rec)
{
    return (uint32_t)min_u64(rec->n, (uint32_t)(rec->mss - rec->lead));
}

/* Bytes of `n` from its begin on that are whole segments. */
static inline uint32_t rec_whole_n(const struct tx_rec *rec, uint32_t n)
{
    if (n >= rec->n)
        return rec->n;
    return n < rec_first_n(rec) ? 0 : n - (rec->lead + n) % rec->mss;
}

static inline uint32_t rec_segments(const struct tx_rec *rec)
{
    return rec->n <= rec_first_n(rec) ? 1 : (rec->lead + rec->n + rec->mss - 1u) / rec->mss;
}

static inline uint32_t stamp_now(const struct net *net, uint32_t offset)
{
    return (uint32_t)(net->now_ns / NS_PER_MS) + offset;
}

/* ── iface.c, arp.c, ip4.c, icmp.c ── */

/* Prepends the Ethernet header and queues the frame. */
void eth_output(struct net *net, struct pkt *pkt, const uint8_t mac[6], uint16_t type);
void arp_input(struct net *net, struct pkt *pkt);
/* Sends an IPv4 packet to its next hop, asking for the hardware address first if need be. */
void arp_output(struct net *net, struct pkt *pkt, uint32_t next_hop);
void arp_turn(struct net *net);
/* Nothing has come back by way of this neighbour: it is asked again, and serves meanwhile. */
void arp_doubt(struct net *net, uint32_t next_hop);
void arp_announce(struct net *net);
void arp_fini(struct net *net);
const uint8_t *arp_find(struct net *net, uint32_t ip);
void ip4_input(struct net *net, struct pkt *pkt, const uint8_t *from_mac);
/* The same for a whole frame with TCP in IPv4 without options or fragments, to our MAC. */
void ip4_plain_input(struct net *net, struct pkt *pkt);
/* Writes the IPv4 header before the view and sends it; mac NULL: by the route. */
void ip4_output(struct net *net, struct pkt *pkt, uint32_t to, uint8_t protocol,
                const uint8_t *mac);
void ip4_head_write(uint8_t *p, uint32_t from, uint32_t to, uint8_t protocol);
uint32_t ip4_next_hop(const struct net *net, uint32_t to);
/* A whole IPv4 packet to its next hop. */
void ip4_route(struct net *net, struct pkt *pkt, uint32_t to);
void icmp_input(struct net *net, struct pkt *pkt, uint32_t from, const uint8_t *from_mac);

/* ── tcp_table.c ── */

uint32_t flow_hash(const struct net *net, uint32_t peer_ip, uint16_t peer_port, uint16_t port);
/* The entry's index, or FLOW_NONE. Indexes: connections, then half-open ones, then TIME-WAIT. */
int32_t flow_find(const struct net *net, uint32_t hash, uint32_t peer_ip, uint16_t peer_port,
                  uint16_t port);
struct flow *flow_at(const struct net *net, int32_t at);
void flow_add(struct net *net, int32_t at, uint32_t hash, uint32_t peer_ip, uint16_t peer_port,
              uint16_t port);
void flow_remove(struct net *net, int32_t at);
struct tcb *tcb_at(const struct net *net, int32_t at); /* NULL when it is another kind */
struct syn_entry *syn_at(const struct net *net, int32_t at);
struct wait_entry *wait_at(const struct net *net, int32_t at);
int32_t tcb_index(const struct tcb *tcb);
int32_t syn_index(const struct net *net, const struct syn_entry *entry);
int32_t wait_index(const struct net *net, const struct wait_entry *entry);
struct tcp_listener *listener_find(struct net *net, uint16_t port);
struct tcb *tcb_new(struct net *net);
void tcb_state_set(struct tcb *tcb, enum tcp_state state);
void tcb_dirty(struct tcb *tcb);
void tcb_waiting_end(struct tcb *tcb);
void tcb_tell(struct tcb *tcb, uint32_t bits);
/* It is over: out of the table, no timer, nothing queued; tells the application. */
void tcb_end(struct tcb *tcb, int error);
void tcb_invariants(const struct tcb *tcb);
struct tx_ext *ext_new(struct net *net);
void ext_free(struct net *net, struct tx_ext *ext);
struct tx_rec *rec_new(struct net *net);
void rec_free(struct net *net, struct tx_rec *rec);

/* ── tcp_opts.c ── */

void opts_parse(const uint8_t *p, uint32_t n, struct tcp_opts *out, bool *is_bad);
uint32_t opts_write(uint8_t *p, const struct tcp_opts *opts, bool is_syn);

/* ── tcp_fast.c ── */

/* How many frames, from the first on, were what one connection expects next; they are handled. */
uint32_t tcp_predict(struct net *net, struct pkt *const *v, uint32_t n);
bool frame_is_plain(const struct net *net, const struct pkt *pkt);
void tcp_prefetch(struct net *net, struct pkt *const *v, uint32_t n);

/* ── tcp_input.c ── */

void tcp_input(struct net *net, struct pkt *pkt, uint32_t from, uint32_t to,
               const uint8_t *from_mac);
void tcb_input(struct tcb *tcb, struct segment *seg);
void segment_drop(struct net *net, struct segment *seg, enum net_stat why);
/* Sets the sending side up from the peer's SYN. */
void tcb_peer_options(struct tcb *tcb, const struct tcp_opts *opts);
/* A quoted segment of ours: is it one that may be in flight? */
bool tcb_is_in_flight(const struct tcb *tcb, struct seq seq);

/* ── tcp_reasm.c ── */

/* The segment's payload is in the window and not before rcv_nxt. Takes or drops the packet. */
void reasm_input(struct tcb *tcb, struct segment *seg);
/* The packet's view is the next payload, within the window, and there is room for it. */
void reasm_next(struct tcb *tcb, struct pkt *pkt);
/* The same for a chain of packets, none of them small, when nothing is out of order. */
void reasm_run(struct tcb *tcb, struct pkt *head, struct pkt *tail, uint32_t bytes, uint64_t size,
               uint32_t segments, uint32_t mss);
/* True size of packets in order that may still be kept. */
uint64_t reasm_room(const struct tcb *tcb);
void rx_account(struct tcb *tcb, int64_t bytes);
uint32_t rx_room(const struct tcb *tcb);
void reasm_drop_all(struct tcb *tcb);
bool reasm_reclaim(struct tcb *tcb);
uint8_t reasm_sacks(struct tcb *tcb, struct tcp_opts *opts, uint8_t max);

/* ── tcp_frame.c ── */

/* The head of frames of one turn: what they have in common. */
struct frame {
    uint8_t bytes[HEADS_BYTES + 42]; /* a multiple of 16 */
    uint32_t n;
    uint16_t sum_field; /* for the NIC                               */
    uint64_t sum;       /* of pseudo and TCP header but for SEQ      */
};

/* A frame of it with its own SEQ, and flags beside the common ones. */
static inline void frame_write(const struct frame *f, struct pkt *pkt, struct seq seq,
                               uint8_t flags)
{
    uint8_t *p = pkt->data, *tcp = p + ETH_BYTES + IP4_BYTES;
    memcpy(p, f->bytes, HEAD_MAX);
    if (unlikely(f->n > HEAD_MAX))
        memcpy(p + HEAD_MAX, f->bytes + HEAD_MAX, sizeof f->bytes - HEAD_MAX);
    pkt->n = f->n;
    store_u32(tcp + 4, seq.v);
    tcp[13] |= flags;
}

/* A segment that belongs to no connection, or answers out of order. opts may be NULL. */
void segment_send(struct net *net, const struct flow *flow, const uint8_t *mac, uint8_t flags,
                  struct seq seq, struct seq ack, uint16_t wnd, const struct tcp_opts *opts);
void tcp_rst_answer(struct net *net, const struct segment *seg);
/* The template of its frames, from what the peer's SYN said. */
void tcb_head_make(struct tcb *tcb, const uint8_t mac[6]);
const uint8_t *tcb_mac(const struct tcb *tcb); /* NULL: to be asked for */
/* Nothing of ours seems to arrive: the next hop may be another by now. */
void tcb_hop_doubt(struct tcb *tcb);
void frame_begin(struct tcb *tcb, struct frame *f, uint8_t flags);
void frame_sacks_write(struct tcb *tcb, struct frame *f);
/* What depends on the length of the payload. */
void frame_size(const struct tcb *tcb, struct frame *f, uint32_t payload_n);
/* Checksum, and out. Bytes of the view behind the headers are payload that was copied. */
void frame_send(struct tcb *tcb, const struct frame *f, struct pkt *pkt);

/* ── tcp_output.c ── */

void tcp_output(struct tcb *tcb);
void tcb_ack_now(struct tcb *tcb); /* at the end of the burst */
void tcb_rst(struct tcb *tcb);
void tcb_probe(struct tcb *tcb); /* SEQ = SND.UNA - 1, no payload */
bool rec_send(struct tcb *tcb, struct tx_rec *rec);
struct tx_rec *rec_split(struct tcb *tcb, struct tx_rec *rec, uint32_t n);
bool tcp_send_new(struct tcb *tcb);   /* one segment of unsent bytes, whatever cwnd says */
uint16_t tcb_window(struct tcb *tcb); /* what to announce; moves rcv_edge */

/* n bytes from (ext, at) on become pieces of the packet, which holds their slices. */
static inline void payload_attach(struct pkt *pkt, const struct tx_ext *ext, uint32_t at,
                                  uint32_t n)
{
    for (; n > 0; at = 0, ext = ext->next) {
        struct slice s = {ext->slice.ptr + at, (uint32_t)min_u64(n, ext->slice.n - at),
                          ext->slice.owner};
        slice_get(&s);
        pkt->pieces[pkt->pieces_n++] = s;
        n -= s.n;
    }
}

/* ── tcp_tso.c ── */

/* One packet for as many of `segments` full segments from (ext, at) on as it may stand for, with
 * sequence number seq; how many, 0: none, they go one by one. f is of a full segment. */
uint32_t large_send(struct tcb *tcb, const struct frame *f, struct seq seq,
                    const struct tx_ext *ext, uint32_t at, uint32_t segments, bool is_end);

/* ── tcp_timer.c ── */

void tcb_timer_set(struct tcb *tcb, enum tcp_timer which, uint64_t at_ns);
void tcb_timer_stop(struct tcb *tcb, enum tcp_timer which);
void tcb_timers_init(struct tcb *tcb);
void tcb_rto_restart(struct tcb *tcb);
void rtt_sample(struct tcb *tcb, uint64_t rtt_ns);

/* ── tcp_cc.c ── */

void cc_init(struct tcb *tcb);
void cc_acked(struct tcb *tcb, uint32_t bytes);
void cc_reduce(struct tcb *tcb); /* one congestion event: ssthresh and cwnd */
void cc_timeout(struct tcb *tcb, bool is_first);
void cc_idle(struct tcb *tcb);
void cc_undo(struct tcb *tcb);

/* ── tcp_loss.c ── */

/* The acceptable ACK of an established segment. */
void loss_ack(struct tcb *tcb, const struct segment *seg, struct seq una_before);
void loss_timeout(struct tcb *tcb);
void loss_reorder_timeout(struct tcb *tcb);
void loss_probe_timeout(struct tcb *tcb);
void loss_probe_arm(struct tcb *tcb);
void rec_mark_lost(struct tcb *tcb, struct tx_rec *rec);
void tcb_mss_lower(struct tcb *tcb, uint16_t mss);

/* ── syn.c ── */

void syn_input(struct net *net, struct tcp_listener *listener, const struct segment *seg);
/* A segment for a half-open connection, or for a listener: a new connection, or NULL. */
struct tcb *syn_complete(struct net *net, struct syn_entry *entry, const struct segment *seg);
struct tcb *cookie_complete(struct net *net, struct tcp_listener *listener,
                            const struct segment *seg);
/* False: the segment was handled (retransmitted SYN, RST). */
bool syn_entry_input(struct net *net, struct syn_entry *entry, const struct segment *seg);
void syn_turn(struct net *net);
void syn_free(struct net *net, struct syn_entry *entry);
struct seq isn_new(const struct net *net, uint32_t peer_ip, uint16_t peer_port, uint16_t port);
/* What nobody can guess of a flow: half of it for its initial number, half for its timestamps. */
uint64_t flow_secret(const struct net *net, uint32_t peer_ip, uint16_t peer_port, uint16_t port);
uint32_t stamp_offset_of(const struct net *net, uint32_t peer_ip, uint16_t peer_port,
                         uint16_t port);
uint8_t wscale_of(const struct net *net);

/* ── time_wait.c ── */

void time_wait_enter(struct tcb *tcb);
/* True: a SYN that may open a new connection; the entry is gone. */
bool time_wait_input(struct net *net, struct wait_entry *entry, const struct segment *seg);
void time_wait_turn(struct net *net);

#endif
