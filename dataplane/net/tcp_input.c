/*
 * tcp_input.c - arriving segments, in the order of RFC 9293 3.10.7.
 *
 * Owner: worker.
 *
 * tcp_input checks the header, finds the flow and hands over: to a connection (tcb_input), a
 * half-open one (syn.c), a TIME-WAIT entry, a listener, or nobody. Every step returns whether the
 * segment goes on; a step that ends it has dropped the packet and counted why.
 *
 * The segment that a connection expects next does not come here: tcp_fast.c.
 */
#include "net_inside.h"

#include "checksum.h"

enum { INVALID_PAUSE_MS = 50 };

void segment_drop(struct net *net, struct segment *seg, enum net_stat why)
{
    if (seg->pkt != NULL)
        net_drop(net, seg->pkt, why);
    seg->pkt = NULL;
}

/* It has done what it came for. */
static void segment_put(struct segment *seg)
{
    if (seg->pkt != NULL)
        pkt_put(seg->pkt);
    seg->pkt = NULL;
}

static bool drop(struct tcb *tcb, struct segment *seg, enum net_stat why)
{
    segment_drop(tcb->net, seg, why);
    return false;
}

/* Sequence numbers the segment takes. */
static uint32_t span(const struct segment *seg)
{
    return seg->n + ((seg->flags & SYN) != 0) + ((seg->flags & FIN) != 0);
}

bool tcb_is_in_flight(const struct tcb *tcb, struct seq seq)
{
    return seq_leq(tcb->snd_una, seq) && seq_lt(seq, tcb->snd_nxt);
}

/* RFC 5961 7: limited per connection and, by a number nobody can know, for all. */
static void challenge(struct tcb *tcb)
{
    struct net *net = tcb->net;
    if (net->now_ns < tcb->challenge_ns || !limiter_take(&net->limit_challenge, net->now_ns)) {
        count(net, NET_LIMIT_CHALLENGE);
        return;
    }
    tcb->challenge_ns = net->now_ns + INVALID_PAUSE_MS * NS_PER_MS;
    count(net, NET_CHALLENGE_ACKS);
    tcb_ack_now(tcb);
}

/* The ACK to a segment out of the window. Data, SYN and FIN are always answered: the peer sends
 * them again until it knows. Bare ACKs are not, or two ends out of step would answer each other
 * forever. */
static void ack_invalid(struct tcb *tcb, const struct segment *seg)
{
    struct net *net = tcb->net;
    if (span(seg) == 0) {
        if (net->now_ns < tcb->invalid_ns) {
            count(net, NET_LIMIT_INVALID);
            return;
        }
        tcb->invalid_ns = net->now_ns + INVALID_PAUSE_MS * NS_PER_MS;
    }
    tcb_ack_now(tcb);
}

/* ── SYN_SENT (3.10.7.3) ── */

void tcb_peer_options(struct tcb *tcb, const struct tcp_opts *opts)
{
    const struct net_config *config = &tcb->net->config;
    uint32_t mss = opts->has_mss ? opts->mss : MSS_DEFAULT;
    mss = (uint32_t)max_u64(mss, MSS_MIN);
    tcb->mss_peer = (uint16_t)mss;
    mss = (uint32_t)min_u64(mss, config->mtu - IP4_BYTES - TCP_BYTES);
    tcb->has_stamps = opts->has_stamp && !config->no_timestamps;
    tcb->has_sack = opts->has_sack_ok && !config->no_sack;
    tcb->mss = (uint16_t)(mss - (tcb->has_stamps ? 12 : 0));
    if (opts->has_wscale && !config->no_window_scale) {
        tcb->snd_ws = opts->wscale;
        tcb->rcv_ws = wscale_of(tcb->net);
    }
    if (tcb->has_stamps) {
        tcb->stamp_recent = opts->stamp;
        tcb->stamp_recent_ns = tcb->net->now_ns;
    }
    cc_init(tcb);
}

static void tcb_established(struct tcb *tcb)
{
    struct net *net = tcb->net;
    tcb_state_set(tcb, TCPS_ESTABLISHED);
    tcb_timer_stop(tcb, TIMER_USER);
    tcb->progress_ns = tcb->last_rx_ns = net->now_ns;
    tcb->backoff = 0;
    tcb_timer_set(tcb, TIMER_KEEP, net->now_ns + net->config.keepalive_ms * NS_PER_MS);
    tcb_tell(tcb, TCP_NEWS_OPENED);
    if (tcb->is_fin_queued)
        tcb_state_set(tcb, TCPS_FIN_WAIT_1);
    tcb_dirty(tcb);
}

static void syn_acked(struct tcb *tcb, const struct segment *seg)
{
    struct tx_rec *rec = rec_first(tcb);
    if (rec != NULL && (rec->flags & REC_SYN) != 0) {
        if ((rec->flags & REC_AGAIN) == 0)
            rtt_sample(tcb, tcb->net->now_ns - rec->sent_ns);
        else
            tcb->cc.cwnd = tcb->mss; /* RFC 6298 5.7, 5681 3.1: a lost SYN */
        rec_free(tcb->net, rec);
    }
    tcb->snd_una = seg->ack;
    tcb_timer_stop(tcb, TIMER_RTO);
}

static void syn_sent_input(struct tcb *tcb, struct segment *seg)
{
    bool is_ack_good = seq_lt(tcb->iss, seg->ack) && seq_leq(seg->ack, tcb->snd_nxt);
    if ((seg->flags & ACK) != 0 && !is_ack_good) { /* first */
        tcp_rst_answer(tcb->net, seg);
        segment_drop(tcb->net, seg, NET_DROP_TCP_BAD_ACK);
        return;
    }
    if ((seg->flags & RST) != 0) { /* second */
        bool is_reset = (seg->flags & ACK) != 0;
        segment_drop(tcb->net, seg, is_reset ? NET_RSTS_TAKEN : NET_DROP_TCP_RST);
        if (is_reset)
            tcb_end(tcb, E_CLOSED);
        return;
    }
    if ((seg->flags & SYN) == 0) { /* fifth */
        segment_drop(tcb->net, seg, NET_DROP_TCP_SYN);
        return;
    }
    tcb->irs = seg->seq; /* fourth */
    tcb->rcv_nxt = tcb->acked_nxt = seq_add(seg->seq, 1);
    tcb->rcv_edge = seq_add(tcb->rcv_nxt, (uint32_t)min_u64(rx_room(tcb), UINT16_MAX));
    tcb_peer_options(tcb, &seg->opts);
    tcb_head_make(tcb, seg->from_mac);
    tcb->snd_wnd = tcb->snd_wnd_max = seg->wnd; /* a SYN's window is never scaled */
    tcb->snd_wl1 = seg->seq;
    tcb->snd_wl2 = seg->ack;
    if ((seg->flags & ACK) != 0) {
        syn_acked(tcb, seg);
        tcb_established(tcb);
        tcb_ack_now(tcb);
    } else { /* both opened at once */
        tcb_state_set(tcb, TCPS_SYN_RCVD);
        struct tx_rec *rec = rec_first(tcb);
        if (rec != NULL)
            rec_send(tcb, rec);
    }
    segment_put(seg); /* payload of a SYN comes again */
}

/* ── the steps of 3.10.7.4 ── */

/* RFC 7323 5.3. False: the segment is old, or lacks what was negotiated. */
static bool step1_stamp(struct tcb *tcb, struct segment *seg)
{
    struct net *net = tcb->net;
    if (!tcb->has_stamps || (seg->flags & RST) != 0)
        return true;
    if (!seg->opts.has_stamp) /* old peers forget it in the third segment of the handshake */
        return tcb->state == TCPS_SYN_RCVD ? true : drop(tcb, seg, NET_DROP_TCP_NO_STAMP);
    bool is_old = (int32_t)(seg->opts.stamp - tcb->stamp_recent) < 0 &&
                  net->now_ns - tcb->stamp_recent_ns < PAWS_AGE_NS;
    if (!is_old)
        return true;
    ack_invalid(tcb, seg);
    return drop(tcb, seg, NET_DROP_TCP_PAWS);
}

static void payload_cut_front(struct segment *seg, uint32_t n)
{
    seg->seq = seq_add(seg->seq, n);
    if ((seg->flags & SYN) != 0 && n > 0) {
        seg->flags &= (uint8_t)~SYN;
        n--;
    }
    n = (uint32_t)min_u64(n, seg->n);
    seg->n -= n;
    seg->pkt->data += n;
    seg->pkt->n -= n;
}

static void dsack_note(struct tcb *tcb, const struct segment *seg)
{
    struct seq end = seq_add(seg->seq, seg->n);
    if (!tcb->has_sack || seg->n == 0 || !seq_lt(seg->seq, tcb->rcv_nxt))
        return;
    tcb->has_dsack = true;
    tcb->dsack_from = seg->seq;
    tcb->dsack_to = seq_min(end, tcb->rcv_nxt);
}

/* Is any of it in the window? Trims it to the window. */
static bool step1_sequence(struct tcb *tcb, struct segment *seg)
{
    uint32_t n = span(seg);
    struct seq end = seq_add(seg->seq, n), edge = seq_max(tcb->rcv_edge, tcb->rcv_nxt);
    bool is_good = n == 0 ? seq_leq(tcb->rcv_nxt, seg->seq) && seq_leq(seg->seq, edge)
                          : seq_lt(tcb->rcv_nxt, end) && seq_lt(seg->seq, edge);
    /* A closed window takes no bytes, but ACK, RST and FIN in place count. */
    bool is_closed = n > 0 && seq_eq(edge, tcb->rcv_nxt) && seq_eq(seg->seq, tcb->rcv_nxt);
    if (!is_good && !is_closed) {
        if ((seg->flags & RST) == 0) {
            dsack_note(tcb, seg);
            ack_invalid(tcb, seg);
        }
        return drop(tcb, seg, NET_DROP_TCP_WINDOW);
    }
    if (seq_lt(seg->seq, tcb->rcv_nxt)) {
        dsack_note(tcb, seg);
        payload_cut_front(seg, (uint32_t)seq_diff(tcb->rcv_nxt, seg->seq));
        tcb_ack_now(tcb);
    }
    int32_t over = seq_diff(seq_add(seg->seq, seg->n), edge);
    if (over > 0) {
        seg->n -= (uint32_t)min_u64((uint64_t)over, seg->n);
        seg->pkt->n = seg->n;
        seg->flags &= (uint8_t)~FIN;
        tcb_ack_now(tcb);
    }
    return true;
}

/* RFC 5961 3.2: only exactly in place. */
static bool step2_reset(struct tcb *tcb, struct segment *seg)
{
    if ((seg->flags & RST) == 0)
        return true;
    if (!seq_eq(seg->seq, tcb->rcv_nxt)) {
        challenge(tcb);
        return drop(tcb, seg, NET_DROP_TCP_RST);
    }
    drop(tcb, seg, NET_RSTS_TAKEN);
    tcb_end(tcb, E_CLOSED);
    return false;
}

/* RFC 5961 4.2. */
static bool step4_syn(struct tcb *tcb, struct segment *seg)
{
    if ((seg->flags & SYN) == 0)
        return true;
    challenge(tcb);
    return drop(tcb, seg, NET_DROP_TCP_SYN);
}

static bool step5_syn_rcvd(struct tcb *tcb, struct segment *seg)
{
    if (!seq_lt(tcb->snd_una, seg->ack) || !seq_leq(seg->ack, tcb->snd_nxt)) {
        tcp_rst_answer(tcb->net, seg);
        return drop(tcb, seg, NET_DROP_TCP_BAD_ACK);
    }
    tcb->snd_wnd = tcb->snd_wnd_max = (uint32_t)seg->wnd << tcb->snd_ws;
    tcb->snd_wl1 = seg->seq;
    tcb->snd_wl2 = seg->ack;
    syn_acked(tcb, seg);
    tcb_established(tcb);
    return true;
}

/* What the acknowledgement of our FIN changes. False: the connection is over. */
static bool step5_fin_acked(struct tcb *tcb, struct segment *seg)
{
    if (!tcb->is_fin_sent || !seq_eq(tcb->snd_una, tcb->snd_nxt))
        return true;
    switch (tcb->state) {
    case TCPS_FIN_WAIT_1:
        tcb_state_set(tcb, TCPS_FIN_WAIT_2);
        if (tcb->is_orphan)
            tcb_timer_set(tcb, TIMER_LINGER,
                          tcb->net->now_ns + tcb->net->config.time_wait_ms * NS_PER_MS);
        return true;
    case TCPS_CLOSING:
        segment_put(seg);
        time_wait_enter(tcb);
        return false;
    case TCPS_LAST_ACK:
        segment_put(seg);
        tcb_end(tcb, 0);
        return false;
    default: return true;
    }
}

static bool step5_ack(struct tcb *tcb, struct segment *seg)
{
    if ((seg->flags & ACK) == 0)
        return drop(tcb, seg, NET_DROP_TCP_NO_ACK);
    if (tcb->state == TCPS_SYN_RCVD)
        return step5_syn_rcvd(tcb, seg);
    /* RFC 5961 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT */
    struct seq least = seq_add(tcb->snd_una, 0u - tcb->snd_wnd_max);
    if (seq_lt(tcb->snd_nxt, seg->ack) || seq_lt(seg->ack, least)) {
        challenge(tcb);
        return drop(tcb, seg, NET_DROP_TCP_BAD_ACK);
    }
    struct seq una = tcb->snd_una;
    loss_ack(tcb, seg, una);
    return step5_fin_acked(tcb, seg);
}

/* Payload and FIN (seventh and eighth step). The urgent pointer is ignored: its byte is in line. */
static void step7_data(struct tcb *tcb, struct segment *seg)
{
    bool takes_data = tcb->state == TCPS_ESTABLISHED || tcb->state == TCPS_FIN_WAIT_1 ||
                      tcb->state == TCPS_FIN_WAIT_2;
    struct seq end = seq_add(seg->seq, seg->n);
    if ((seg->flags & FIN) != 0 && takes_data && !tcb->is_fin_taken) {
        tcb->has_fin = true;
        tcb->fin_seq = end;
    }
    if (seg->n > 0 && (!takes_data || tcb->is_fin_taken)) {
        segment_drop(tcb->net, seg, NET_DROP_TCP_STATE);
        return;
    }
    if (seg->n > 0)
        reasm_input(tcb, seg);
}

static void step8_fin(struct tcb *tcb, struct segment *seg)
{
    segment_put(seg); /* unless its payload was kept */
    if (!tcb->has_fin || tcb->is_fin_taken)
        return;
    if (!seq_eq(tcb->rcv_nxt, tcb->fin_seq)) {
        if (seq_lt(tcb->fin_seq, tcb->rcv_nxt))
            tcb->has_fin = false; /* bytes beyond an end that was announced: the end was a lie */
        else if ((seg->flags & FIN) != 0)
            tcb_ack_now(tcb); /* it is out of order */
        return;
    }
    tcb->is_fin_taken = true;
    tcb->rcv_nxt = seq_add(tcb->rcv_nxt, 1);
    tcb->rcv_edge = seq_max(tcb->rcv_edge, tcb->rcv_nxt);
    tcb_ack_now(tcb);
    tcb_tell(tcb, TCP_NEWS_END);
    switch (tcb->state) {
    case TCPS_ESTABLISHED: tcb_state_set(tcb, TCPS_CLOSE_WAIT); break;
    case TCPS_FIN_WAIT_1: tcb_state_set(tcb, TCPS_CLOSING); break;
    case TCPS_FIN_WAIT_2: time_wait_enter(tcb); break;
    default: break;
    }
}

static void stamp_update(struct tcb *tcb, const struct segment *seg)
{
    /* RFC 7323 4.3 (2): only of the segment that is next to be acknowledged. */
    if (!tcb->has_stamps || !seg->opts.has_stamp || seq_lt(tcb->acked_nxt, seg->seq))
        return;
    if ((int32_t)(seg->opts.stamp - tcb->stamp_recent) < 0 &&
        tcb->net->now_ns - tcb->stamp_recent_ns < PAWS_AGE_NS)
        return;
    tcb->stamp_recent = seg->opts.stamp;
    tcb->stamp_recent_ns = tcb->net->now_ns;
}

/* An application that let go takes no more bytes (RFC 9293 3.6.1). */
static bool orphan_takes(struct tcb *tcb, struct segment *seg)
{
    if (!tcb->is_orphan || seg->n == 0 || !seq_lt(tcb->rcv_nxt, seq_add(seg->seq, seg->n)))
        return true;
    drop(tcb, seg, NET_DROP_TCP_STATE);
    tcb_rst(tcb);
    tcb_end(tcb, E_CLOSED);
    return false;
}

void tcb_input(struct tcb *tcb, struct segment *seg)
{
    check_slow(tcb->state != TCPS_CLOSED);
    if (tcb->state == TCPS_SYN_SENT) {
        syn_sent_input(tcb, seg);
        return;
    }
    if (!step1_stamp(tcb, seg) || !step1_sequence(tcb, seg) || !step2_reset(tcb, seg) ||
        !step4_syn(tcb, seg) || !orphan_takes(tcb, seg))
        return;
    stamp_update(tcb, seg);
    tcb->last_rx_ns = tcb->net->now_ns;
    if (!step5_ack(tcb, seg))
        return;
    step7_data(tcb, seg);
    step8_fin(tcb, seg);
}

/* ── finding whom it is for ── */

static bool segment_parse(struct net *net, struct pkt *pkt, uint32_t from, uint32_t to,
                          struct segment *seg)
{
    const uint8_t *p = pkt->data;
    uint32_t head_n = pkt->n < TCP_BYTES ? 0 : (uint32_t)(p[12] >> 4) * 4;
    if (head_n < TCP_BYTES || head_n > pkt->n) {
        net_drop(net, pkt, NET_DROP_TCP_HEADER);
        return false;
    }
    if ((pkt->flags & PKT_SUM_GOOD) == 0 && !net->config.no_rx_checksum &&
        !sum_is_good(sum_bytes(sum_pseudo(from, to, IP_TCP, pkt->n), p, pkt->n))) {
        net_drop(net, pkt, NET_DROP_TCP_CHECKSUM);
        return false;
    }
    bool is_bad;
    opts_parse(p + TCP_BYTES, head_n - TCP_BYTES, &seg->opts, &is_bad);
    if (unlikely(is_bad))
        count(net, NET_BAD_OPTION);
    seg->pkt = pkt;
    seg->from_ip = from;
    seg->to_ip = to;
    seg->from_port = load_u16(p);
    seg->to_port = load_u16(p + 2);
    seg->seq = (struct seq){load_u32(p + 4)};
    seg->ack = (struct seq){load_u32(p + 8)};
    seg->flags = p[13] & 0x3f;
    seg->wnd = load_u16(p + 14);
    pkt->data += head_n;
    pkt->n -= head_n;
    seg->n = pkt->n;
    return true;
}

/* 3.10.7.1 and 3.10.7.2: nobody, or a listener. */
static void listen_input(struct net *net, struct segment *seg)
{
    struct tcp_listener *listener = listener_find(net, seg->to_port);
    if (listener == NULL || (seg->flags & RST) != 0) {
        if (listener == NULL)
            tcp_rst_answer(net, seg);
        segment_drop(net, seg, NET_DROP_TCP_CLOSED);
        return;
    }
    if ((seg->flags & (ACK | SYN)) == SYN) {
        syn_input(net, listener, seg);
        segment_put(seg);
        return;
    }
    struct tcb *tcb =
        (seg->flags & (ACK | SYN)) == ACK ? cookie_complete(net, listener, seg) : NULL;
    if (tcb != NULL) {
        tcb_input(tcb, seg);
        return;
    }
    tcp_rst_answer(net, seg);
    segment_drop(net, seg, NET_DROP_COOKIE);
}

static struct tcb *last_matches(const struct net *net, const struct segment *seg)
{
    struct tcb *tcb = net->last;
    if (tcb == NULL || tcb->flow.peer_ip != seg->from_ip || tcb->flow.peer_port != seg->from_port ||
        tcb->flow.port != seg->to_port)
        return NULL;
    return tcb;
}

static void entry_input(struct net *net, struct syn_entry *entry, struct segment *seg)
{
    if (!syn_entry_input(net, entry, seg)) {
        segment_drop(net, seg, NET_DROP_SYN_ACK);
        return;
    }
    struct tcb *tcb = syn_complete(net, entry, seg);
    if (tcb == NULL) {
        segment_drop(net, seg, NET_DROP_SYN_MEMORY);
        return;
    }
    tcb_input(tcb, seg);
}

void tcp_input(struct net *net, struct pkt *pkt, uint32_t from, uint32_t to,
               const uint8_t *from_mac)
{
    struct segment seg;
    if (!segment_parse(net, pkt, from, to, &seg))
        return;
    seg.from_mac = from_mac;
    struct tcb *tcb = last_matches(net, &seg);
    if (tcb != NULL) {
        tcb_input(tcb, &seg);
        return;
    }
    int32_t at = flow_find(net, from, seg.from_port, seg.to_port);
    if (at == FLOW_NONE) {
        listen_input(net, &seg);
        return;
    }
    if ((tcb = tcb_at(net, at)) != NULL) {
        net->last = tcb;
        tcb_input(tcb, &seg);
        return;
    }
    struct syn_entry *entry = syn_at(net, at);
    if (entry != NULL) {
        entry_input(net, entry, &seg);
        return;
    }
    if (time_wait_input(net, wait_at(net, at), &seg))
        listen_input(net, &seg);
    else
        segment_drop(net, &seg, NET_DROP_TIME_WAIT);
}
