/*
 * tcp_output.c - segments out (RFC 9293 3.8, 3.7.4, 3.8.6.2).
 *
 * Owner: worker.
 *
 * tcp_output runs once per touched connection and turn: what was lost, then what is new, then an ACK
 * if no segment has carried it. A segment is a header packet with references to the application's
 * memory; nothing is copied unless a segment would lie in more than PKT_PIECES_MAX pieces.
 *
 * What may be sent: pipe + segment <= cwnd, and the end within the peer's window. Less than a full
 * segment only when it is the last of what is queued, or half of the largest window the peer ever
 * had, or when the PERSIST timer forces it: silly windows cannot stall (RFC 1122 4.2.3.4).
 */
#include "net_inside.h"

#include "checksum.h"

enum {
    TCP_AT = HEAD_AT + ETH_BYTES + IP4_BYTES, /* of the TCP header in a packet */
    OUTPUT_SEGMENTS_MAX = 64,                 /* of one connection before others have their turn */
};

/* ── building ── */

struct tcp_head {
    struct seq seq, ack;
    uint16_t wnd;
    uint8_t flags;
};

static void head_write(struct pkt *pkt, const struct flow *flow, const struct tcp_head *head,
                       uint32_t opts_n)
{
    uint8_t *p = pkt->data;
    store_u16(p, flow->port);
    store_u16(p + 2, flow->peer_port);
    store_u32(p + 4, head->seq.v);
    store_u32(p + 8, head->ack.v);
    store_u16(p + 12, (uint16_t)((TCP_BYTES + opts_n) / 4 << 12 | head->flags));
    store_u16(p + 14, head->wnd);
    store_u32(p + 16, 0);
}

/* Checksum, IP header, and out. */
static void segment_finish(struct net *net, struct pkt *pkt, const struct flow *flow,
                           const uint8_t *mac)
{
    uint32_t bytes = pkt_bytes(pkt), at = pkt->n;
    uint64_t sum = sum_pseudo(net->config.ip, flow->peer_ip, IP_TCP, bytes);
    if (net->config.has_tx_checksum) {
        pkt->flags |= PKT_TX_SUM;
        sum_store(pkt->data + 16, sum_fold(sum));
    } else {
        sum = sum_bytes(sum, pkt->data, pkt->n);
        for (uint32_t i = 0; i < pkt->pieces_n; at += pkt->pieces[i++].n)
            sum = sum_piece(sum, pkt->pieces[i].ptr, pkt->pieces[i].n, at);
        sum_store(pkt->data + 16, sum_finish(sum));
    }
    ip4_output(net, pkt, flow->peer_ip, IP_TCP, mac);
}

void segment_send(struct net *net, const struct flow *flow, const uint8_t *mac, uint8_t flags,
                  struct seq seq, struct seq ack, uint16_t wnd, const struct tcp_opts *opts)
{
    struct pkt *pkt = pkt_take(&net->head, TCP_AT);
    struct tcp_head head = {seq, ack, wnd, flags};
    if (pkt == NULL) {
        count(net, NET_NO_HEAD);
        return;
    }
    uint32_t n = opts == NULL ? 0 : opts_write(pkt->data + TCP_BYTES, opts, (flags & SYN) != 0);
    head_write(pkt, flow, &head, n);
    pkt->n = TCP_BYTES + n;
    segment_finish(net, pkt, flow, mac);
}

/* RFC 9293 3.10.7.1: the answer to a segment for nobody. Never to a RST. */
void tcp_rst_answer(struct net *net, const struct segment *seg)
{
    struct flow flow = {0, 0, seg->from_ip, seg->from_port, seg->to_port};
    if ((seg->flags & RST) != 0)
        return;
    if (!limiter_take(&net->limit_rst, net->now_ns)) {
        count(net, NET_LIMIT_RST);
        return;
    }
    count(net, NET_RSTS_SENT);
    if ((seg->flags & ACK) != 0) {
        segment_send(net, &flow, seg->from_mac, RST, seg->ack, (struct seq){0}, 0, NULL);
        return;
    }
    uint32_t span = seg->n + ((seg->flags & SYN) != 0) + ((seg->flags & FIN) != 0);
    segment_send(net, &flow, seg->from_mac, RST | ACK, (struct seq){0}, seq_add(seg->seq, span), 0,
                 NULL);
}

static const uint8_t *tcb_mac(const struct tcb *tcb)
{
    return tcb->has_mac ? tcb->mac : NULL;
}

/* The window to announce: it opens in steps of a segment or half the buffer (RFC 9293 3.8.6.2.2) and
 * never shrinks; rounded up to its scale, so that the peer's idea of the edge is ours. */
uint16_t tcb_window(struct tcb *tcb)
{
    const struct net_config *config = &tcb->net->config;
    uint32_t room = rx_room(tcb), step = config->mtu - IP4_BYTES - TCP_BYTES;
    uint32_t have = (uint32_t)max_i64(seq_diff(tcb->rcv_edge, tcb->rcv_nxt), 0);
    if (room > have && room - have >= min_u64(step, config->rcv_bytes / 2))
        have = room;
    uint32_t scaled = (uint32_t)min_u64(((uint64_t)have + (1u << tcb->rcv_ws) - 1) >> tcb->rcv_ws,
                                        UINT16_MAX);
    tcb->rcv_edge = seq_max(tcb->rcv_edge, seq_add(tcb->rcv_nxt, scaled << tcb->rcv_ws));
    return (uint16_t)scaled;
}

static uint32_t tcb_opts_write(struct tcb *tcb, uint8_t *p, bool has_sacks)
{
    struct tcp_opts opts = {.has_stamp = tcb->has_stamps};
    opts.stamp = stamp_now(tcb->net, tcb->stamp_offset);
    opts.echo = tcb->stamp_recent;
    if (has_sacks && tcb->has_sack)
        opts.sacks_n = reasm_sacks(tcb, &opts, tcb->has_stamps ? 3 : 4);
    return opts_write(p, &opts, false);
}

/* Every segment with ACK carries all that is acknowledged. */
static void tcb_acked(struct tcb *tcb)
{
    tcb->acked_nxt = tcb->rcv_nxt;
    tcb_timer_stop(tcb, TIMER_ACK);
}

static void tcb_send_bare(struct tcb *tcb, uint8_t flags, struct seq seq, bool has_sacks)
{
    struct net *net = tcb->net;
    struct pkt *pkt = pkt_take(&net->head, TCP_AT);
    if (pkt == NULL) {
        count(net, NET_NO_HEAD);
        return;
    }
    struct tcp_head head = {seq, tcb->rcv_nxt, tcb_window(tcb), flags};
    uint32_t n = tcb_opts_write(tcb, pkt->data + TCP_BYTES, has_sacks);
    head_write(pkt, &tcb->flow, &head, n);
    pkt->n = TCP_BYTES + n;
    segment_finish(net, pkt, &tcb->flow, tcb_mac(tcb));
    tcb_acked(tcb);
}

void tcb_rst(struct tcb *tcb)
{
    count(tcb->net, NET_RSTS_SENT);
    tcb_send_bare(tcb, RST | ACK, tcb->snd_nxt, false);
}

void tcb_probe(struct tcb *tcb)
{
    tcb_send_bare(tcb, ACK, seq_add(tcb->snd_una, UINT32_MAX), false);
}

void tcb_ack_now(struct tcb *tcb)
{
    tcb->is_ack_now = true;
    tcb_dirty(tcb);
}

/* ── records ── */

/* Pieces that n bytes from (ext, at) lie in; at most max + 1. */
static uint32_t pieces_count(const struct tx_ext *ext, uint32_t at, uint32_t n, uint32_t max)
{
    uint32_t pieces = 0;
    for (; n > 0 && pieces <= max; at = 0, ext = ext->next, pieces++)
        n -= (uint32_t)min_u64(n, ext->slice.n - at);
    return pieces;
}

static void payload_attach(struct pkt *pkt, const struct tx_ext *ext, uint32_t at, uint32_t n)
{
    for (; n > 0; at = 0, ext = ext->next) {
        struct slice s = {ext->slice.ptr + at, (uint32_t)min_u64(n, ext->slice.n - at),
                          ext->slice.owner};
        slice_get(&s);
        pkt->pieces[pkt->pieces_n++] = s;
        n -= s.n;
    }
}

static void payload_copy(struct pkt *pkt, const struct tx_ext *ext, uint32_t at, uint32_t n)
{
    for (; n > 0; at = 0, ext = ext->next) {
        uint32_t part = (uint32_t)min_u64(n, ext->slice.n - at);
        memcpy(pkt->data + pkt->n, ext->slice.ptr + at, part);
        pkt->n += part;
        n -= part;
    }
}

/* A SYN, or SYN-ACK when both ends opened at once. */
static bool rec_send_syn(struct tcb *tcb)
{
    const struct net *net = tcb->net;
    const struct net_config *config = &net->config;
    bool is_answer = tcb->state == TCP_SYN_RCVD;
    struct tcp_opts opts = {
        .has_mss = true,
        .mss = (uint16_t)(config->mtu - IP4_BYTES - TCP_BYTES),
        .has_wscale = is_answer ? tcb->rcv_ws > 0 || tcb->snd_ws > 0 : !config->no_window_scale,
        .wscale = wscale_of(net),
        .has_sack_ok = is_answer ? tcb->has_sack : !config->no_sack,
        .has_stamp = is_answer ? tcb->has_stamps : !config->no_timestamps,
        .stamp = stamp_now(net, tcb->stamp_offset),
        .echo = is_answer ? tcb->stamp_recent : 0,
    };
    uint16_t wnd = (uint16_t)min_u64(rx_room(tcb), UINT16_MAX);
    segment_send(tcb->net, &tcb->flow, tcb_mac(tcb), is_answer ? SYN | ACK : SYN, tcb->iss,
                 tcb->rcv_nxt, wnd, &opts);
    if (is_answer)
        tcb->rcv_edge = seq_max(tcb->rcv_edge, seq_add(tcb->rcv_nxt, wnd));
    return true;
}

static bool rec_build(struct tcb *tcb, const struct tx_rec *rec)
{
    struct net *net = tcb->net;
    bool is_copied = pieces_count(rec->ext, rec->ext_at, rec->n, PKT_PIECES_MAX) > PKT_PIECES_MAX;
    struct pkt *pkt = pkt_take(is_copied ? &net->big : &net->head, TCP_AT);
    if (pkt == NULL) {
        count(net, NET_NO_HEAD);
        return false;
    }
    uint8_t flags = ACK | ((rec->flags & REC_FIN) != 0 ? FIN : 0);
    if (tcb->unsent <= rec->n) /* pushed: the end of what the application gave */
        flags |= rec->n > 0 ? PSH : 0;
    struct tcp_head head = {rec->seq, tcb->rcv_nxt, tcb_window(tcb), flags};
    uint32_t n = tcb->has_stamps ? tcb_opts_write(tcb, pkt->data + TCP_BYTES, false) : 0;
    head_write(pkt, &tcb->flow, &head, n);
    pkt->n = TCP_BYTES + n;
    if (is_copied) {
        count(net, NET_LINEARISED);
        payload_copy(pkt, rec->ext, rec->ext_at, rec->n);
    } else {
        payload_attach(pkt, rec->ext, rec->ext_at, rec->n);
    }
    segment_finish(net, pkt, &tcb->flow, tcb_mac(tcb));
    tcb_acked(tcb);
    return true;
}

/* Sends the record, again if it was sent before. */
bool rec_send(struct tcb *tcb, struct tx_rec *rec)
{
    struct net *net = tcb->net;
    bool is_sent = (rec->flags & REC_SYN) != 0 ? rec_send_syn(tcb) : rec_build(tcb, rec);
    if (!is_sent) {
        tcb_timer_set(tcb, TIMER_AGAIN, net->now_ns + NS_PER_MS);
        return false;
    }
    if (rec->sends_n == 0) {
        rec->first_ns = net->now_ns;
    } else {
        count(net, NET_RETRANSMITS);
        tcb->retransmits++;
        if (tcb->undo_again_n == 0 && tcb->undo_stamp == 0)
            tcb->undo_stamp = stamp_now(net, tcb->stamp_offset);
        tcb->undo_again_n++;
        rec->flags |= REC_AGAIN;
    }
    if ((rec->flags & REC_LOST) != 0) {
        rec->flags &= (uint8_t)~REC_LOST;
        tcb->lost -= rec->n;
        tcb->lost_n--;
        tcb->pipe += rec->n;
    }
    rec->sends_n += rec->sends_n < UINT8_MAX;
    rec->sent_ns = net->now_ns;
    tcb->last_send_ns = net->now_ns;
    if (list_is_linked(&rec->sent))
        list_del(&rec->sent);
    list_append(&tcb->sent, &rec->sent);
    if (tcb->due[TIMER_RTO] == 0)
        tcb_rto_restart(tcb);
    return true;
}

/* Makes [n, end) of the record one of its own, behind it; NULL without memory. */
struct tx_rec *rec_split(struct tcb *tcb, struct tx_rec *rec, uint32_t n)
{
    struct tx_rec *rest = rec_new(tcb->net);
    if (rest == NULL)
        return NULL;
    check(n > 0 && n < rec->n);
    rest->seq = seq_add(rec->seq, n);
    rest->n = rec->n - n;
    rest->flags = rec->flags;
    rest->sends_n = rec->sends_n;
    rest->sent_ns = rec->sent_ns;
    rest->first_ns = rec->first_ns;
    rest->ext = rec->ext;
    rest->ext_at = rec->ext_at + n;
    while (rest->ext_at >= rest->ext->slice.n) {
        rest->ext_at -= rest->ext->slice.n;
        rest->ext = rest->ext->next;
    }
    rec->n = n;
    rec->flags &= (uint8_t)~REC_FIN;
    list_push(&rec->link, &rest->link); /* a list node is a head, too: right behind it */
    if (list_is_linked(&rec->sent))
        list_push(&rec->sent, &rest->sent);
    tcb->lost_n += (rest->flags & REC_LOST) != 0;
    tcb->sacked_n += (rest->flags & REC_SACKED) != 0;
    return rest;
}

/* ── what is sent ── */

static uint32_t window_left(const struct tcb *tcb)
{
    int64_t left = (int64_t)tcb->snd_wnd - seq_diff(tcb->snd_nxt, tcb->snd_una);
    return (uint32_t)max_i64(left, 0);
}

/* Without SACK nothing tells how much of what is in flight arrived; every duplicate ACK counts as one
 * segment that left the network. That is limited transmit (RFC 3042) before a fast recovery, and the
 * inflated window (RFC 5681 3.2) in it. */
static uint32_t pipe_now(const struct tcb *tcb)
{
    uint64_t left = tcb->has_sack ? 0 : (uint64_t)tcb->dupacks * tcb->mss;
    return (uint32_t)max_i64((int64_t)tcb->pipe - (int64_t)left, 0);
}

static void output_lost(struct tcb *tcb)
{
    list_for_each(l, next, &tcb->recs) {
        struct tx_rec *rec = list_entry(l, struct tx_rec, link);
        if (tcb->lost_n == 0)
            return;
        if ((rec->flags & REC_LOST) == 0)
            continue;
        if (rec->n > tcb->mss && rec_split(tcb, rec, tcb->mss) == NULL)
            return;
        bool is_first = tcb->recs.next == l;
        bool is_allowed = seq_diff(rec_end(rec), seq_add(tcb->snd_una, tcb->snd_wnd)) <= 0;
        if (!is_first && !is_allowed)
            return;
        /* The first retransmission of the oldest goes whatever is in flight (RFC 6582 3.2, 6675 5). */
        bool is_due = is_first && rec->sends_n == 1 && tcb->recovery == RECOVERY_FAST;
        if (!is_due && pipe_now(tcb) > 0 && pipe_now(tcb) + rec->n > tcb->cc.cwnd) {
            tcb->cc.is_limited = true;
            return;
        }
        if (!rec_send(tcb, rec))
            return;
        next = rec->link.next; /* a split may have changed it */
    }
}

/* How many bytes the next new segment may have; 0: none. Sets is_limited. */
static uint32_t new_segment_n(struct tcb *tcb)
{
    uint32_t left = window_left(tcb), cwnd = tcb->cc.cwnd, pipe = pipe_now(tcb);
    uint32_t n = (uint32_t)min_u64(min_u64(tcb->unsent, tcb->mss), left);
    bool is_short = n < tcb->mss && n < tcb->unsent;
    if (n == 0 || (is_short && !tcb->is_forced && n < tcb->snd_wnd_max / 2))
        return 0;
    if (pipe + n > cwnd && (pipe > 0 || tcb->lost_n > 0)) {
        tcb->cc.is_limited = true;
        return 0;
    }
    return n;
}

static bool output_new_rec(struct tcb *tcb, uint32_t n, bool is_fin)
{
    struct net *net = tcb->net;
    struct tx_rec *rec = rec_new(net);
    if (rec == NULL) {
        tcb_timer_set(tcb, TIMER_AGAIN, net->now_ns + NS_PER_MS);
        return false;
    }
    rec->seq = tcb->snd_nxt;
    rec->n = n;
    rec->ext = tcb->send_ext;
    rec->ext_at = tcb->send_at;
    rec->flags = is_fin ? REC_FIN : 0;
    list_append(&tcb->recs, &rec->link);
    if (!rec_send(tcb, rec)) {
        rec_free(net, rec);
        return false;
    }
    tcb->is_fin_sent |= is_fin;
    tcb->is_forced = false;
    tcb->pipe += n;
    tcb->unsent -= n;
    tcb->tx_bytes += n;
    tcb->snd_nxt = rec_end(rec);
    while (n > 0) {
        uint32_t part = (uint32_t)min_u64(n, tcb->send_ext->slice.n - tcb->send_at);
        n -= part;
        tcb->send_at += part;
        if (tcb->send_at == tcb->send_ext->slice.n) {
            tcb->send_ext = tcb->send_ext->next;
            tcb->send_at = 0;
        }
    }
    return true;
}

bool tcp_send_new(struct tcb *tcb)
{
    uint32_t n = (uint32_t)min_u64(min_u64(tcb->unsent, tcb->mss), window_left(tcb));
    bool is_fin = tcb->is_fin_queued && n == tcb->unsent && window_left(tcb) > n;
    return n > 0 && output_new_rec(tcb, n, is_fin);
}

/* Returns whether it has more that may go out now. */
static bool output_new(struct tcb *tcb)
{
    uint64_t idle_ns = tcb->net->now_ns - tcb->last_send_ns;
    if (list_is_empty(&tcb->recs) && tcb->last_send_ns > 0 && idle_ns > tcb->rto_ns &&
        tcb->unsent > 0)
        cc_idle(tcb);
    for (int i = 0; i < OUTPUT_SEGMENTS_MAX; i++) {
        uint32_t n = tcb->unsent > 0 ? new_segment_n(tcb) : 0;
        bool is_fin = tcb->is_fin_queued && !tcb->is_fin_sent && n == tcb->unsent &&
                      window_left(tcb) > n;
        if (n == 0 && (!is_fin || tcb->unsent > 0))
            return false;
        if (!output_new_rec(tcb, n, is_fin))
            return false;
    }
    return true;
}

/* Bytes or a FIN wait, nothing is in flight, and no timer of loss recovery watches: ask again. */
static void persist_arm(struct tcb *tcb)
{
    bool has_some = tcb->unsent > 0 || (tcb->is_fin_queued && !tcb->is_fin_sent);
    if (!has_some || !list_is_empty(&tcb->recs)) {
        tcb_timer_stop(tcb, TIMER_PERSIST);
        return;
    }
    if (tcb->due[TIMER_PERSIST] == 0)
        tcb_timer_set(tcb, TIMER_PERSIST, tcb->net->now_ns + tcb->rto_ns);
}

/* RFC 9293 3.8.6.3, RFC 5681 4.2: every second full segment at once, the rest within 40 ms; at once
 * also at the beginning, out of order (is_ack_now) and when a window opens by much. */
static void output_ack(struct tcb *tcb)
{
    const struct net_config *config = &tcb->net->config;
    int32_t unacked = seq_diff(tcb->rcv_nxt, tcb->acked_nxt);
    int64_t opens = (int64_t)rx_room(tcb) - seq_diff(tcb->rcv_edge, tcb->rcv_nxt);
    int64_t much = (int64_t)min_u64(2 * tcb->rcv_mss, config->rcv_bytes / 4);
    bool is_update = tcb->rcv_mss > 0 && opens >= max_i64(much, 1) &&
                     opens >= (int64_t)min_u64(config->mtu - 40u, config->rcv_bytes / 2);
    if (tcb->is_ack_now || unacked >= 2 * tcb->rcv_mss + (tcb->rcv_mss == 0) || is_update) {
        if (unacked > 0 || tcb->is_ack_now || is_update) {
            tcb_send_bare(tcb, ACK, tcb->snd_nxt, true);
            tcb->is_ack_now = false;
        }
        return;
    }
    if (unacked > 0 && tcb->due[TIMER_ACK] == 0)
        tcb_timer_set(tcb, TIMER_ACK, tcb->net->now_ns + config->delayed_ack_ms * NS_PER_MS);
}

void tcp_output(struct tcb *tcb)
{
    check(tcb->magic == TCB_MAGIC);
    if (tcb->state == TCP_CLOSED)
        return;
    if (tcb->state < TCP_ESTABLISHED) {
        output_lost(tcb);
        return;
    }
    /* What is out of order must be told whether or not there is data to send, and segments with
     * data have no room for it. */
    if (tcb->is_ack_now && (tcb->ooo != NULL || tcb->has_dsack))
        output_ack(tcb);
    struct seq before = tcb->snd_nxt;
    tcb->cc.is_limited = false;
    output_lost(tcb);
    if (output_new(tcb))
        tcb_dirty(tcb);
    if (!seq_eq(before, tcb->snd_nxt))
        tcb->is_ack_now = false; /* it was carried */
    output_ack(tcb);
    persist_arm(tcb);
    loss_probe_arm(tcb);
#ifdef MILLRACE_SLOW_CHECKS
    tcb_invariants(tcb);
#endif
}

/* ── the application ── */

int tcp_send(struct tcb *tcb, const struct slice *v, uint32_t n)
{
    struct net *net = tcb->net;
    check(tcb->magic == TCB_MAGIC);
    bool is_open = tcb->state == TCP_ESTABLISHED || tcb->state == TCP_CLOSE_WAIT ||
                   tcb->state == TCP_SYN_SENT || tcb->state == TCP_SYN_RCVD;
    if (!is_open || tcb->is_fin_queued)
        return E_CLOSED;
    if (net->config.extents_max - net->exts_out_n < n) {
        count(net, NET_NO_EXTENT);
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].n == 0) {
            struct slice s = v[i];
            slice_put(&s);
            continue;
        }
        struct tx_ext *ext = ext_new(net);
        check(ext != NULL);
        ext->slice = v[i];
        if (tcb->ext_head == NULL)
            tcb->ext_head = ext;
        else
            tcb->ext_tail->next = ext;
        tcb->ext_tail = ext;
        if (tcb->send_ext == NULL) {
            tcb->send_ext = ext;
            tcb->send_at = 0;
        }
        if (tcb->queued == 0)
            tcb->progress_ns = net->now_ns;
        tcb->unsent += v[i].n;
        tcb->queued += v[i].n;
    }
    tcb_dirty(tcb);
    return 0;
}

/* RFC 9293 3.10.4, for our side only. */
void tcp_shutdown(struct tcb *tcb)
{
    check(tcb->magic == TCB_MAGIC);
    if (tcb->is_fin_queued)
        return;
    switch (tcb->state) {
    case TCP_SYN_SENT: tcb_end(tcb, 0); return;
    case TCP_ESTABLISHED: tcb_state_set(tcb, TCP_FIN_WAIT_1); break;
    case TCP_CLOSE_WAIT: tcb_state_set(tcb, TCP_LAST_ACK); break;
    case TCP_SYN_RCVD: break; /* queued; the state follows when it is established */
    default: return;
    }
    tcb->is_fin_queued = true;
    if (tcb->queued == 0)
        tcb->progress_ns = tcb->net->now_ns;
    tcb_dirty(tcb);
}
