/*
 * tcp_output.c - segments out (RFC 9293 3.8, 3.7.4, 3.8.6.2).
 *
 * Owner: worker.
 *
 * tcp_output runs once per touched connection and turn: what was lost, then what is new, then an
 * ACK if no segment has carried it. A segment is a header packet with references to the
 * application's memory; nothing is copied unless a segment would lie in more than PKT_PIECES_MAX
 * pieces.
 *
 * What may be sent: pipe + segment <= cwnd, and the end within the peer's window. Less than a full
 * segment only when it is the last of what is queued, or half of the largest window the peer ever
 * had, or when the PERSIST timer forces it: silly windows cannot stall (RFC 1122 4.2.3.4).
 */
#include "net_inside.h"

#include "checksum.h"

enum {
    OUTPUT_SEGMENTS_MAX = 64, /* of one connection before others have their turn */
};

/* Every segment with ACK carries all that is acknowledged. */
static void tcb_acked(struct tcb *tcb)
{
    tcb->acked_nxt = tcb->rcv_nxt;
    tcb_timer_stop(tcb, TIMER_ACK);
}

static void tcb_send_bare(struct tcb *tcb, uint8_t flags, struct seq seq, bool has_sacks)
{
    struct net *net = tcb->net;
    struct pkt *pkt = pkt_take(&net->head, HEAD_AT);
    if (pkt == NULL) {
        count(net, NET_NO_HEAD);
        return;
    }
    struct frame f;
    frame_begin(tcb, &f, flags);
    if (has_sacks && tcb->has_sack && (tcb->ooo != NULL || tcb->has_dsack))
        frame_sacks_write(tcb, &f);
    frame_size(tcb, &f, 0);
    frame_write(&f, pkt, seq, 0);
    frame_send(tcb, &f, pkt);
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
    bool is_answer = tcb->state == TCPS_SYN_RCVD;
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

/* One segment of n bytes from (ext, at) on. */
static bool segment_out(struct tcb *tcb, const struct frame *f, struct seq seq,
                        const struct tx_ext *ext, uint32_t at, uint32_t n, uint8_t flags)
{
    struct net *net = tcb->net;
    bool is_copied = ext != NULL && n > ext->slice.n - at &&
                     pieces_count(ext, at, n, PKT_PIECES_MAX) > PKT_PIECES_MAX;
    struct pkt *pkt = pkt_take(is_copied ? &net->big : &net->head, HEAD_AT);
    if (unlikely(pkt == NULL)) {
        count(net, NET_NO_HEAD);
        return false;
    }
    frame_write(f, pkt, seq, flags);
    if (unlikely(is_copied)) {
        count(net, NET_LINEARISED);
        payload_copy(pkt, ext, at, n);
    } else {
        payload_attach(pkt, ext, at, n);
    }
    frame_send(tcb, f, pkt);
    return true;
}

static bool rec_build(struct tcb *tcb, const struct tx_rec *rec)
{
    struct frame f;
    uint8_t flags = ACK | ((rec->flags & REC_FIN) != 0 ? FIN : 0);
    if (tcb->unsent <= rec->n) /* pushed: the end of what the application gave */
        flags |= rec->n > 0 ? PSH : 0;
    check_slow(rec_segments(rec) == 1);
    frame_begin(tcb, &f, flags);
    frame_size(tcb, &f, rec->n);
    if (!segment_out(tcb, &f, rec->seq, rec->ext, rec->ext_at, rec->n, 0))
        return false;
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
    bool is_sacked = (rec->flags & REC_SACKED) != 0;
    tcb->sacked_n -= is_sacked ? rec_segments(rec) : 0;
    rest->seq = seq_add(rec->seq, n);
    rest->n = rec->n - n;
    rest->mss = rec->mss;
    rest->lead = (uint16_t)((rec->lead + n) % rec->mss);
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
    tcb->sacked_n += is_sacked ? rec_segments(rec) + rec_segments(rest) : 0;
    return rest;
}

/* ── what is sent ── */

static uint32_t window_left(const struct tcb *tcb)
{
    int64_t left = (int64_t)tcb->snd_wnd - seq_diff(tcb->snd_nxt, tcb->snd_una);
    return (uint32_t)max_i64(left, 0);
}

/* Without SACK nothing tells how much of what is in flight arrived; every duplicate ACK counts as
 * one segment that left the network. That is limited transmit (RFC 3042) before a fast recovery,
 * and the inflated window (RFC 5681 3.2) in it. */
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
        uint32_t n = (uint32_t)min_u64(rec_first_n(rec), tcb->mss);
        if (rec->n > n && rec_split(tcb, rec, n) == NULL)
            return;
        bool is_first = tcb->recs.next == l;
        bool is_allowed = seq_diff(rec_end(rec), seq_add(tcb->snd_una, tcb->snd_wnd)) <= 0;
        if (!is_first && !is_allowed)
            return;
        /* The first retransmission of the oldest goes whatever is in flight (RFC 6582 3.2, 6675 5).
         */
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

/* n bytes more are with the network. */
static void send_at_move(struct tcb *tcb, uint32_t n)
{
    tcb->pipe += n;
    tcb->unsent -= n;
    tcb->tx_bytes += n;
    while (n > 0) {
        uint32_t part = (uint32_t)min_u64(n, tcb->send_ext->slice.n - tcb->send_at);
        n -= part;
        tcb->send_at += part;
        if (tcb->send_at == tcb->send_ext->slice.n) {
            tcb->send_ext = tcb->send_ext->next;
            tcb->send_at = 0;
        }
    }
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
    rec->mss = tcb->mss;
    rec->lead = 0;
    rec->flags = is_fin ? REC_FIN : 0;
    list_append(&tcb->recs, &rec->link);
    if (!rec_send(tcb, rec)) {
        rec_free(net, rec);
        return false;
    }
    tcb->is_fin_sent |= is_fin;
    tcb->is_forced = false;
    tcb->snd_nxt = rec_end(rec);
    send_at_move(tcb, n);
    return true;
}

/* Full segments that may go out in a row now; a last one that ends our side is not among them. */
static uint32_t row_max(const struct tcb *tcb, uint32_t max)
{
    uint32_t pipe = pipe_now(tcb), mss = tcb->mss;
    uint64_t room = tcb->cc.cwnd > pipe ? tcb->cc.cwnd - pipe : 0;
    uint64_t n = min_u64(min_u64(room, window_left(tcb)), tcb->unsent);
    if (n < 2 * mss)
        return 0;
    n = min_u64(n / mss, max);
    return (uint32_t)n - (tcb->is_fin_queued && n * mss == tcb->unsent);
}

/* A full segment whose payload lies in one slice, to a neighbour that is known: the usual one. */
static inline struct pkt *row_segment(struct net *net, const struct frame *f, struct seq seq,
                                      const struct slice *slice, uint32_t at, uint32_t mss)
{
    struct pkt *pkt = pkt_take(&net->head, HEAD_AT);
    if (unlikely(pkt == NULL))
        return NULL;
    uint8_t *p = pkt->data, *tcp = p + ETH_BYTES + IP4_BYTES;
    memcpy(p, f->bytes, HEAD_MAX);
    store_u32(tcp + 4, seq.v);
    pkt->n = f->n;
    pkt->pieces[0] = (struct slice){slice->ptr + at, mss, slice->owner};
    pkt->pieces_n = 1;
    slice_get(&pkt->pieces[0]);
    if (net->config.has_tx_checksum) {
        pkt->flags = PKT_TX_SUM;
        return pkt;
    }
    uint64_t sum = sum_carry(f->sum, __builtin_bswap32(seq.v));
    sum_store(tcp + 16, sum_finish(sum_bytes(sum, slice->ptr + at, mss)));
    return pkt;
}

/* Such segments, as many as there are; moves (*ext, *at). */
static uint32_t row_usual(struct tcb *tcb, const struct frame *f, const struct tx_ext *ext,
                          uint32_t at, uint32_t segments)
{
    struct net *net = tcb->net;
    uint32_t mss = tcb->mss;
    struct seq seq = tcb->snd_nxt;
    struct pkt_queue out = {NULL, NULL};
    uint32_t n = (uint32_t)min_u64(segments, (ext->slice.n - at) / mss), i;
    for (i = 0; i < n; i++, at += mss, seq = seq_add(seq, mss)) {
        struct pkt *pkt = row_segment(net, f, seq, &ext->slice, at, mss);
        if (unlikely(pkt == NULL))
            break;
        pkt_queue_append(&out, pkt);
    }
    if (i > 0)
        pkt_queue_splice(&net->out, &out);
    return i;
}

/* So many segments of the row went out; the record is theirs. */
static inline uint32_t row_taken(struct tcb *tcb, struct tx_rec *rec, uint32_t sent)
{
    if (sent == 0) {
        rec_free(tcb->net, rec);
        return 0;
    }
    rec->n = sent * tcb->mss;
    list_append(&tcb->recs, &rec->link);
    list_append(&tcb->sent, &rec->sent);
    tcb->is_forced = false;
    tcb->snd_nxt = seq_add(rec->seq, rec->n);
    tcb->last_send_ns = tcb->net->now_ns;
    send_at_move(tcb, rec->n);
    tcb_acked(tcb);
    if (tcb->due[TIMER_RTO] == 0)
        tcb_rto_restart(tcb);
    return sent;
}

/* Several full segments with one record: all that depends on the connection is done once. */
static uint32_t row_send(struct tcb *tcb, uint32_t segments)
{
    struct net *net = tcb->net;
    struct tx_rec *rec = rec_new(net);
    if (rec == NULL)
        return 0;
    struct frame f;
    const struct tx_ext *ext = tcb->send_ext;
    uint32_t at = tcb->send_at, mss = tcb->mss, sent = 0;
    frame_begin(tcb, &f, ACK);
    frame_size(tcb, &f, mss);
    sum_store(f.bytes + HEADS_BYTES - 4, net->config.has_tx_checksum ? f.sum_field : 0);
    *rec =
        (struct tx_rec){rec->link, rec->sent,   tcb->snd_nxt, 0, tcb->send_ext, at, tcb->mss, 0, 0,
                        1,         net->now_ns, net->now_ns};
    if (tcb->has_mac) {
        bool is_end = (uint64_t)segments * mss == tcb->unsent; /* pushed: not among these */
        sent = row_usual(tcb, &f, ext, at, segments - is_end);
        for (at += sent * mss; at >= ext->slice.n; ext = ext->next)
            at -= ext->slice.n;
    }
    for (; sent < segments; sent++) {
        bool is_end = (uint64_t)(sent + 1) * mss == tcb->unsent;
        if (!segment_out(tcb, &f, seq_add(rec->seq, sent * mss), ext, at, mss, is_end ? PSH : 0))
            break;
        for (at += mss; ext != NULL && at >= ext->slice.n; ext = ext->next)
            at -= ext->slice.n;
    }
    return row_taken(tcb, rec, sent);
}

/* The same by way of a device that cuts: in packets as large as can be (tcp_tso.c), one by one
 * where they lie in crumbs. */
static __attribute__((noinline)) uint32_t row_send_large(struct tcb *tcb, uint32_t segments)
{
    struct net *net = tcb->net;
    struct tx_rec *rec = rec_new(net);
    if (rec == NULL)
        return 0;
    struct frame f;
    const struct tx_ext *ext = tcb->send_ext;
    uint32_t at = tcb->send_at, mss = tcb->mss, sent = 0;
    bool is_end = (uint64_t)segments * mss == tcb->unsent;
    frame_begin(tcb, &f, ACK);
    frame_size(tcb, &f, mss);
    *rec =
        (struct tx_rec){rec->link, rec->sent,   tcb->snd_nxt, 0, tcb->send_ext, at, tcb->mss, 0, 0,
                        1,         net->now_ns, net->now_ns};
    while (sent < segments) {
        struct seq seq = seq_add(rec->seq, sent * mss);
        uint32_t left = segments - sent;
        uint32_t n = large_send(tcb, &f, seq, ext, at, left, is_end);
        if (n == 0 && !segment_out(tcb, &f, seq, ext, at, mss, is_end && left == 1 ? PSH : 0))
            break;
        n = n == 0 ? 1 : n;
        sent += n;
        for (at += n * mss; ext != NULL && at >= ext->slice.n; ext = ext->next)
            at -= ext->slice.n;
    }
    return row_taken(tcb, rec, sent);
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
    if (tcb->unsent == 0 && (!tcb->is_fin_queued || tcb->is_fin_sent))
        return false;
    uint64_t idle_ns = tcb->net->now_ns - tcb->last_send_ns;
    if (list_is_empty(&tcb->recs) && tcb->last_send_ns > 0 && idle_ns > tcb->rto_ns &&
        tcb->unsent > 0)
        cc_idle(tcb);
    for (uint32_t i = 0; i < OUTPUT_SEGMENTS_MAX; i++) {
        uint32_t row = row_max(tcb, OUTPUT_SEGMENTS_MAX - i);
        uint32_t row_sent = 0;
        if (row > 0) {
            bool is_large = tcb->net->config.tso_bytes > 0 && tcb->has_mac;
            row_sent = is_large ? row_send_large(tcb, row) : row_send(tcb, row);
        }
        if (row_sent < row) {
            tcb_timer_set(tcb, TIMER_AGAIN, tcb->net->now_ns + NS_PER_MS);
            return false;
        }
        i += row_sent;
        uint32_t n = tcb->unsent > 0 ? new_segment_n(tcb) : 0;
        bool is_fin =
            tcb->is_fin_queued && !tcb->is_fin_sent && n == tcb->unsent && window_left(tcb) > n;
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
    if (tcb->state == TCPS_CLOSED)
        return;
    if (tcb->state < TCPS_ESTABLISHED) {
        output_lost(tcb);
        return;
    }
    /* What is out of order must be told whether or not there is data to send, and segments with
     * data have no room for it. */
    if (tcb->is_ack_now && (tcb->ooo != NULL || tcb->has_dsack))
        output_ack(tcb);
    struct seq before = tcb->snd_nxt;
    tcb->cc.is_limited = false;
    if (tcb->lost_n > 0)
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
    bool is_open = tcb->state == TCPS_ESTABLISHED || tcb->state == TCPS_CLOSE_WAIT ||
                   tcb->state == TCPS_SYN_SENT || tcb->state == TCPS_SYN_RCVD;
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
    case TCPS_SYN_SENT: tcb_end(tcb, 0); return;
    case TCPS_ESTABLISHED: tcb_state_set(tcb, TCPS_FIN_WAIT_1); break;
    case TCPS_CLOSE_WAIT: tcb_state_set(tcb, TCPS_LAST_ACK); break;
    case TCPS_SYN_RCVD: break; /* queued; the state follows when it is established */
    default: return;
    }
    tcb->is_fin_queued = true;
    if (tcb->queued == 0)
        tcb->progress_ns = tcb->net->now_ns;
    tcb_dirty(tcb);
}
