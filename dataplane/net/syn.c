/*
 * syn.c - opening: half-open connections, cookies, initial sequence numbers, active opens.
 *
 * Owner: worker.
 *
 * A SYN makes a small entry, not a connection (RFC 4987 3.4); the ACK of our SYN-ACK makes the
 * connection. SYN-ACKs are sent again after 1, 2 and 4 s, then the entry goes; entries stand in one
 * list per retry, in the order they are due. When all entries are used, the SYN-ACK carries
 * everything in its numbers (cookie, RFC 4987 3.6):
 *
 *      ISS  = [ 5 bits minute count | 3 bits MSS index | 24 bits of SipHash-2-4 ]
 *      our timestamp's low 5 bits = [ 1 bit SACK | 4 bits window scale, 15 = none ]
 *
 * A cookie is good for the minute it was made in and the next. Without timestamps the peer's SACK
 * and window scale are lost. Initial sequence numbers: RFC 6528, M (a 4 us clock) + SipHash-2-4.
 */
#include "net_inside.h"

enum { COOKIE_WS_NONE = 15, COOKIE_STAMP_BITS = 5 };
static const uint16_t cookie_mss[8] = {88, 536, 1024, 1220, 1360, 1400, 1440, 1460};

/* ── numbers ── */

static uint64_t tuple_hash(const struct net *net, const struct sip_key *key, uint32_t peer_ip,
                           uint16_t peer_port, uint16_t port, uint64_t more)
{
    uint64_t words[3] = {(uint64_t)peer_ip << 32 | net->config.ip, (uint64_t)peer_port << 16 | port,
                         more};
    return sip_words(key, words, 3, 2, 4);
}

struct seq isn_new(const struct net *net, uint32_t peer_ip, uint16_t peer_port, uint16_t port)
{
    uint32_t clock = (uint32_t)(net->now_ns / 4000);
    return (struct seq){clock +
                        (uint32_t)tuple_hash(net, &net->key_isn, peer_ip, peer_port, port, 0)};
}

uint32_t stamp_offset_of(const struct net *net, uint32_t peer_ip, uint16_t peer_port, uint16_t port)
{
    return (uint32_t)tuple_hash(net, &net->key_stamp, peer_ip, peer_port, port, 0);
}

/* The scale by which the whole receive buffer can be announced (RFC 7323 2.3). */
uint8_t wscale_of(const struct net *net)
{
    uint8_t ws = 0;
    while (ws < WSCALE_MAX && net->config.rcv_bytes >> ws > UINT16_MAX)
        ws++;
    return ws;
}

static uint16_t window_first(const struct net *net)
{
    return (uint16_t)min_u64(net->config.rcv_bytes, UINT16_MAX);
}

/* ── entries ── */

void syn_free(struct net *net, struct syn_entry *entry)
{
    flow_remove(net, syn_index(net, entry));
    list_del(&entry->link);
    list_append(&net->syns_free, &entry->link);
    net->syns_n--;
}

static void syn_ack_send(struct net *net, const struct syn_entry *entry)
{
    struct tcp_opts opts = {
        .has_mss = true,
        .mss = (uint16_t)(net->config.mtu - IP4_BYTES - TCP_BYTES),
        .has_wscale = entry->has_wscale,
        .wscale = wscale_of(net),
        .has_sack_ok = entry->has_sack,
        .has_stamp = entry->has_stamp,
        .stamp = stamp_now(net, entry->stamp_offset),
        .echo = entry->stamp,
    };
    segment_send(net, &entry->flow, entry->mac, SYN | ACK, entry->iss, seq_add(entry->irs, 1),
                 window_first(net), &opts);
}

static void entry_fill(struct net *net, struct syn_entry *entry, struct tcp_listener *listener,
                       const struct segment *seg)
{
    const struct net_config *config = &net->config;
    entry->listener = listener;
    entry->irs = seg->seq;
    entry->stamp = seg->opts.stamp;
    entry->stamp_offset = stamp_offset_of(net, seg->from_ip, seg->from_port, seg->to_port);
    entry->mss = (uint16_t)max_u64(seg->opts.has_mss ? seg->opts.mss : MSS_DEFAULT, MSS_MIN);
    entry->wnd = seg->wnd;
    entry->wscale = seg->opts.wscale;
    entry->has_wscale = seg->opts.has_wscale && !config->no_window_scale;
    entry->has_sack = seg->opts.has_sack_ok && !config->no_sack;
    entry->has_stamp = seg->opts.has_stamp && !config->no_timestamps;
    entry->retry = 0;
    entry->is_again = false;
    memcpy(entry->mac, seg->from_mac, 6);
}

/* ── cookies ── */

static uint32_t cookie_hash(const struct net *net, const struct flow *flow, struct seq irs,
                            uint32_t head)
{
    uint64_t more = (uint64_t)irs.v << 32 | head;
    return (uint32_t)tuple_hash(net, &net->key_cookie, flow->peer_ip, flow->peer_port, flow->port,
                                more) &
           0xffffff;
}

static void cookie_send(struct net *net, struct syn_entry *entry)
{
    uint32_t at = 0, minute = (uint32_t)(net->now_ns / (60 * NS_PER_S)) & 31;
    while (at < 7 && cookie_mss[at + 1] <= entry->mss)
        at++;
    uint32_t head = minute << 3 | at;
    entry->iss = (struct seq){head << 24 | cookie_hash(net, &entry->flow, entry->irs, head)};
    if (entry->has_stamp) { /* the low bits of the stamp; the time may seem up to 31 ms older */
        uint32_t bits = (entry->has_sack ? 16u : 0) |
                        (entry->has_wscale ? entry->wscale : (uint32_t)COOKIE_WS_NONE);
        uint32_t stamp = stamp_now(net, entry->stamp_offset);
        uint32_t coded = (stamp & ~31u) | bits;
        coded -= coded > stamp ? 32 : 0;
        entry->stamp_offset += coded - stamp;
    } else {
        entry->has_sack = entry->has_wscale = false;
    }
    count(net, NET_SYNS_COOKIE);
    syn_ack_send(net, entry);
}

/* Fills the entry from an ACK that carries a cookie of ours; false when it does not. */
static bool cookie_read(struct net *net, const struct segment *seg, struct syn_entry *entry)
{
    struct seq iss = seq_add(seg->ack, UINT32_MAX);
    uint32_t head = iss.v >> 24, minute = (uint32_t)(net->now_ns / (60 * NS_PER_S)) & 31;
    entry->flow = (struct flow){FLOW_NONE, 0, seg->from_ip, seg->from_port, seg->to_port};
    entry->irs = seq_add(seg->seq, UINT32_MAX);
    if (((minute - (head >> 3)) & 31) > 1 ||
        cookie_hash(net, &entry->flow, entry->irs, head) != (iss.v & 0xffffff))
        return false;
    entry->iss = iss;
    entry->mss = cookie_mss[head & 7];
    entry->stamp_offset = stamp_offset_of(net, seg->from_ip, seg->from_port, seg->to_port);
    entry->has_stamp = seg->opts.has_stamp;
    entry->stamp = seg->opts.stamp;
    entry->has_sack = entry->has_wscale = false;
    if (entry->has_stamp) {
        entry->has_sack = (seg->opts.echo & 16) != 0;
        entry->wscale = seg->opts.echo & 15;
        entry->has_wscale = entry->wscale <= WSCALE_MAX;
    }
    memcpy(entry->mac, seg->from_mac, 6);
    return true;
}

/* ── arriving ── */

void syn_input(struct net *net, struct tcp_listener *listener, const struct segment *seg)
{
    if (listener->waiting_n >= listener->accept_max) {
        count(net, NET_DROP_SYN_LIMIT);
        return;
    }
    struct list *l = list_pop(&net->syns_free);
    if (l == NULL) {
        struct syn_entry entry = {
            .flow = {FLOW_NONE, 0, seg->from_ip, seg->from_port, seg->to_port}};
        entry_fill(net, &entry, listener, seg);
        cookie_send(net, &entry);
        return;
    }
    struct syn_entry *entry = list_entry(l, struct syn_entry, link);
    entry_fill(net, entry, listener, seg);
    flow_add(net, syn_index(net, entry), seg->from_ip, seg->from_port, seg->to_port);
    entry->iss = isn_new(net, seg->from_ip, seg->from_port, seg->to_port);
    entry->due_ns = net->now_ns + NS_PER_S;
    list_append(&net->syns[0], &entry->link);
    net->syns_n++;
    count(net, NET_SYNS_CACHED);
    syn_ack_send(net, entry);
}

/* SYN-RECEIVED of 3.10.7.4 as far as it needs no connection. True: an ACK that completes it. */
bool syn_entry_input(struct net *net, struct syn_entry *entry, const struct segment *seg)
{
    struct seq nxt = seq_add(entry->irs, 1);
    bool is_in_window =
        seq_leq(nxt, seg->seq) && seq_leq(seg->seq, seq_add(nxt, window_first(net)));
    if ((seg->flags & RST) != 0) {
        if (seq_eq(seg->seq, nxt)) {
            syn_free(net, entry);
            count(net, NET_RSTS_TAKEN);
        }
        return false;
    }
    if ((seg->flags & SYN) != 0) {
        if (seq_eq(seg->seq, entry->irs) && (seg->flags & ACK) == 0) {
            entry->stamp = seg->opts.has_stamp ? seg->opts.stamp : entry->stamp;
            memcpy(entry->mac, seg->from_mac, 6);
            entry->is_again = true;
            syn_ack_send(net, entry); /* our answer was lost */
        } else if (limiter_take(&net->limit_challenge, net->now_ns)) {
            segment_send(net, &entry->flow, entry->mac, ACK, seq_add(entry->iss, 1), nxt,
                         window_first(net), NULL);
        }
        return false;
    }
    if ((seg->flags & ACK) == 0)
        return false;
    if (!seq_eq(seg->ack, seq_add(entry->iss, 1))) {
        tcp_rst_answer(net, seg);
        return false;
    }
    /* PAWS, liberal about a missing timestamp: some peers forget it here. */
    if (entry->has_stamp && seg->opts.has_stamp && (int32_t)(seg->opts.stamp - entry->stamp) < 0)
        return false;
    return is_in_window;
}

static struct tcb *tcb_from_entry(struct net *net, const struct syn_entry *entry,
                                  struct tcp_listener *listener)
{
    struct tcb *tcb = tcb_new(net);
    if (tcb == NULL)
        return NULL;
    struct tcp_opts opts = {
        .has_mss = true,
        .mss = entry->mss,
        .has_wscale = entry->has_wscale,
        .wscale = entry->wscale,
        .has_sack_ok = entry->has_sack,
        .has_stamp = entry->has_stamp,
        .stamp = entry->stamp,
    };
    tcb_state_set(tcb, TCPS_SYN_RCVD);
    tcb->listener = listener;
    listener->waiting_n++;
    tcb->is_waiting = true;
    tcb->irs = entry->irs;
    tcb->rcv_nxt = tcb->acked_nxt = seq_add(entry->irs, 1);
    tcb->rcv_edge = seq_add(tcb->rcv_nxt, window_first(net));
    tcb->iss = tcb->snd_una = tcb->recover = tcb->fack = entry->iss;
    tcb->snd_nxt = seq_add(entry->iss, 1);
    tcb->dsack_round = tcb->rack_end = entry->iss;
    tcb->stamp_offset = entry->stamp_offset;
    tcb_peer_options(tcb, &opts);
    if (entry->retry > 0)
        tcb->cc.cwnd = tcb->mss; /* RFC 5681 3.1: our SYN-ACK was lost */
    tcb_timer_set(tcb, TIMER_USER, net->now_ns + net->config.user_timeout_ms * NS_PER_MS);
    return tcb;
}

struct tcb *syn_complete(struct net *net, struct syn_entry *entry, const struct segment *seg)
{
    struct tcp_listener *listener = (struct tcp_listener *)(uintptr_t)entry->listener;
    if (listener->waiting_n >= listener->accept_max) {
        count(net, NET_DROP_SYN_LIMIT);
        return NULL; /* the entry stays; the peer's data brings the ACK again */
    }
    struct tcb *tcb = tcb_from_entry(net, entry, listener);
    if (tcb == NULL)
        return NULL;
    if (entry->retry == 0 && !entry->is_again) /* due a second after it was sent */
        rtt_sample(tcb, net->now_ns + NS_PER_S - entry->due_ns);
    count(net, NET_OPENS_PASSIVE);
    uint8_t mac[6];
    memcpy(mac, entry->mac, 6);
    syn_free(net, entry);
    flow_add(net, tcb_index(tcb), seg->from_ip, seg->from_port, seg->to_port);
    tcb->is_in_table = true;
    tcb_head_make(tcb, mac);
    return tcb;
}

struct tcb *cookie_complete(struct net *net, struct tcp_listener *listener,
                            const struct segment *seg)
{
    struct syn_entry entry = {.listener = listener};
    if (listener->waiting_n >= listener->accept_max || !cookie_read(net, seg, &entry))
        return NULL;
    struct tcb *tcb = tcb_from_entry(net, &entry, listener);
    if (tcb == NULL)
        return NULL;
    count(net, NET_COOKIES_TAKEN);
    count(net, NET_OPENS_PASSIVE);
    flow_add(net, tcb_index(tcb), seg->from_ip, seg->from_port, seg->to_port);
    tcb->is_in_table = true;
    tcb_head_make(tcb, entry.mac);
    return tcb;
}

void syn_turn(struct net *net)
{
    for (int retry = 0; retry <= SYN_RETRIES; retry++) {
        while (!list_is_empty(&net->syns[retry])) {
            struct syn_entry *entry = list_first(&net->syns[retry], struct syn_entry, link);
            if (entry->due_ns > net->now_ns)
                break;
            if (retry == SYN_RETRIES) {
                count(net, NET_SYNS_EXPIRED);
                syn_free(net, entry);
                continue;
            }
            entry->retry++;
            entry->due_ns = net->now_ns + (NS_PER_S << entry->retry);
            list_del(&entry->link);
            list_append(&net->syns[entry->retry], &entry->link);
            count(net, NET_RETRANSMITS);
            syn_ack_send(net, entry);
        }
    }
}

/* ── active open ── */

/* RFC 6056 3.3.1: a random port; 0 when none is free after many tries. */
static uint16_t port_choose(struct net *net, uint32_t ip, uint16_t port)
{
    for (int i = 0; i < 1000; i++) {
        uint32_t ports_n = 60999u - net->config.port_from;
        uint16_t ours = (uint16_t)(net->config.port_from + prng_below(&net->prng, ports_n));
        if (flow_find(net, ip, port, ours) == FLOW_NONE && listener_find(net, ours) == NULL)
            return ours;
    }
    return 0;
}

struct tcb *tcp_connect(struct net *net, uint32_t ip, uint16_t port, void *user, struct now now)
{
    net->now_ns = now.ns;
    uint16_t ours = port_choose(net, ip, port);
    struct tcb *tcb = ours == 0 ? NULL : tcb_new(net);
    if (tcb == NULL)
        return NULL;
    struct tx_rec *rec = rec_new(net);
    tcb_state_set(tcb, TCPS_SYN_SENT);
    flow_add(net, tcb_index(tcb), ip, port, ours);
    tcb->is_in_table = true;
    tcb->user = user;
    tcb->iss = tcb->snd_una = tcb->snd_nxt = tcb->recover = tcb->fack =
        isn_new(net, ip, port, ours);
    tcb->dsack_round = tcb->rack_end = tcb->iss;
    tcb->stamp_offset = stamp_offset_of(net, ip, port, ours);
    cc_init(tcb);
    if (rec == NULL) {
        tcb->is_orphan = true;
        tcb_end(tcb, E_NO_MEMORY);
        return NULL;
    }
    rec->seq = tcb->iss;
    rec->n = rec->ext_at = 0;
    rec->mss = tcb->mss;
    rec->lead = 0;
    rec->ext = NULL;
    rec->flags = REC_SYN;
    tcb->snd_nxt = seq_add(tcb->iss, 1);
    list_append(&tcb->recs, &rec->link);
    count(net, NET_OPENS_ACTIVE);
    tcb_timer_set(tcb, TIMER_USER, now.ns + net->config.user_timeout_ms * NS_PER_MS);
    (void)rec_send(tcb, rec); /* a failed one is sent by the timer */
    if (!list_is_linked(&rec->sent))
        list_append(&tcb->sent, &rec->sent);
    tcb_rto_restart(tcb);
    return tcb;
}
