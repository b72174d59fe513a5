/*
 * tcp_loss.c - what an ACK tells about the segments in flight, and what is lost.
 *
 * Owner: worker.
 *
 * A record is in flight, SACKED or LOST; output sends LOST ones again as cwnd allows. Who marks
 * them: RACK (RFC 8985), with SACK: a record sent long enough before one that is known to have
 * arrived; RFC 6675, with SACK and no_rack: three segments above it were SACKed; NewReno (RFC
 * 6582), without SACK: three duplicate ACKs, then each partial ACK; the RTO (RFC 6298): everything
 * that is not SACKED.
 *
 *      NONE ──something is lost: one reduction──► FAST ──ACK of `recover`──► NONE
 *      NONE, FAST ──RTO: cwnd is one segment──► RTO ──ACK of `recover`──► NONE
 *
 * A recovery is undone when it was spurious: the ACK carries a timestamp older than the first
 * retransmission (Eifel, RFC 3522), every retransmission was reported as a duplicate (DSACK, RFC
 * 3708), or after a timeout a segment that was sent once is acknowledged first (F-RTO, RFC 5682).
 * What it does not do: proportional rate reduction. A SACK block that covers a record in part does
 * not count for it, so no peer can make us cut segments into crumbs.
 */
#include "net_inside.h"

/* What one ACK brought. */
struct ack {
    uint32_t acked;  /* payload bytes, cumulative                */
    uint64_t rtt_ns; /* 0: no sample                             */
    bool has_advanced, has_sacked, has_dsack;
    bool has_original; /* a record that was sent once has arrived  */
    bool has_again;    /* one that was sent again has: no sample   */
};

/* ── records ── */

static bool is_flying(const struct tx_rec *rec)
{
    return (rec->flags & (REC_SACKED | REC_LOST)) == 0;
}

/* The record counts as nothing any more. */
static void rec_uncount(struct tcb *tcb, const struct tx_rec *rec, uint32_t n)
{
    if ((rec->flags & REC_SACKED) != 0)
        tcb->sacked -= n;
    else if ((rec->flags & REC_LOST) != 0)
        tcb->lost -= n;
    else
        tcb->pipe -= n;
}

static void rec_flag_counts(struct tcb *tcb, const struct tx_rec *rec)
{
    tcb->sacked_n -= (rec->flags & REC_SACKED) != 0 ? rec_segments(rec) : 0;
    tcb->lost_n -= (rec->flags & REC_LOST) != 0;
}

void rec_mark_lost(struct tcb *tcb, struct tx_rec *rec)
{
    check(is_flying(rec));
    rec->flags |= REC_LOST;
    tcb->pipe -= rec->n;
    tcb->lost += rec->n;
    tcb->lost_n++;
    if (list_is_linked(&rec->sent))
        list_del(&rec->sent);
}

/* It was not lost after all: back among the sent, by time. */
static void rec_unmark_lost(struct tcb *tcb, struct tx_rec *rec)
{
    struct list *at = tcb->sent.prev;
    rec->flags &= (uint8_t)~REC_LOST;
    tcb->lost -= rec->n;
    tcb->lost_n--;
    tcb->pipe += rec->n;
    while (at != &tcb->sent && list_entry(at, struct tx_rec, sent)->sent_ns > rec->sent_ns)
        at = at->prev;
    list_push(at, &rec->sent);
}

/* RFC 8985 6.2 steps 1 to 3, for segments of a record, up to `end`, that have just been delivered.
 */
static void rack_update(struct tcb *tcb, const struct tx_rec *rec, struct seq end, struct ack *ack)
{
    uint64_t rtt_ns = tcb->net->now_ns - rec->sent_ns;
    ack->has_again |= (rec->flags & REC_AGAIN) != 0;
    if ((rec->flags & REC_AGAIN) == 0) {
        ack->has_original = true;
        ack->rtt_ns = max_u64(ack->rtt_ns, max_u64(rtt_ns, 1));
        if (seq_lt(end, tcb->fack))
            tcb->is_reordering = true;
    } else if (rtt_ns < tcb->min_rtt_ns) {
        return; /* the ACK is for an earlier transmission */
    }
    tcb->fack = seq_max(tcb->fack, end);
    if (rec->sent_ns < tcb->rack_ns ||
        (rec->sent_ns == tcb->rack_ns && !seq_lt(tcb->rack_end, end)))
        return;
    tcb->rack_ns = rec->sent_ns;
    tcb->rack_end = end;
    tcb->rack_rtt_ns = rtt_ns;
}

/* ── cumulative ── */

static void exts_release(struct tcb *tcb, uint32_t n)
{
    tcb->queued -= n;
    while (n > 0) {
        struct tx_ext *ext = tcb->ext_head;
        uint32_t part = (uint32_t)min_u64(n, ext->slice.n - tcb->head_at);
        tcb->head_at += part;
        n -= part;
        if (tcb->head_at < ext->slice.n)
            return;
        tcb->head_at = 0;
        tcb->ext_head = ext->next;
        if (tcb->ext_head == NULL)
            tcb->ext_tail = NULL;
        slice_put(&ext->slice);
        ext_free(tcb->net, ext);
    }
}

/* The ACK ends within a record. */
static void rec_trim(struct tcb *tcb, struct tx_rec *rec, uint32_t n)
{
    bool is_sacked = (rec->flags & REC_SACKED) != 0;
    tcb->sacked_n -= is_sacked ? rec_segments(rec) : 0;
    rec_uncount(tcb, rec, n);
    rec->lead = (uint16_t)((rec->lead + n) % rec->mss);
    rec->seq = seq_add(rec->seq, n);
    rec->n -= n;
    rec->ext_at += n;
    while (rec->n > 0 && rec->ext_at >= rec->ext->slice.n) {
        rec->ext_at -= rec->ext->slice.n;
        rec->ext = rec->ext->next;
    }
    tcb->sacked_n += is_sacked ? rec_segments(rec) : 0;
}

static void cumulative_apply(struct tcb *tcb, struct seq to, struct ack *ack)
{
    if (!seq_lt(tcb->snd_una, to))
        return;
    ack->has_advanced = true;
    for (struct tx_rec *rec; (rec = rec_first(tcb)) != NULL && seq_lt(rec->seq, to);) {
        if (seq_lt(to, rec_end(rec))) {
            uint32_t n = (uint32_t)min_u64((uint32_t)seq_diff(to, rec->seq), rec->n);
            uint32_t whole_n = rec_whole_n(rec, n);
            if (whole_n > 0 && whole_n < rec->n && (rec->flags & REC_SACKED) == 0)
                rack_update(tcb, rec, seq_add(rec->seq, whole_n), ack);
            ack->acked += n;
            rec_trim(tcb, rec, n);
            break;
        }
        if ((rec->flags & REC_SACKED) == 0)
            rack_update(tcb, rec, rec_end(rec), ack);
        ack->acked += rec->n;
        rec_uncount(tcb, rec, rec->n);
        rec_flag_counts(tcb, rec);
        rec_free(tcb->net, rec);
    }
    tcb->snd_una = to;
    exts_release(tcb, ack->acked);
}

/* ── selective (RFC 2018, 2883) ── */

/* The segments of the record that lie within [from, to), as a record of their own; NULL when there
 * are none, or no memory. */
static struct tx_rec *rec_within(struct tcb *tcb, struct tx_rec *rec, struct seq from,
                                 struct seq to)
{
    int32_t before = seq_diff(from, rec->seq);
    if (before > 0) {
        uint32_t skip_n = rec_whole_n(rec, (uint32_t)before);
        if (skip_n < (uint32_t)before) /* on to the next segment */
            skip_n += skip_n == 0 ? rec_first_n(rec) : rec->mss;
        bool is_beyond = skip_n >= rec->n || seq_lt(to, seq_add(rec->seq, skip_n + 1));
        bool is_cut = !is_beyond && seq_lt(to, rec_end(rec)) &&
                      rec_whole_n(rec, (uint32_t)seq_diff(to, rec->seq)) <= skip_n;
        if (is_beyond || is_cut || (rec = rec_split(tcb, rec, skip_n)) == NULL)
            return NULL;
    }
    if (seq_leq(rec_end(rec), to))
        return rec;
    uint32_t n = rec_whole_n(rec, (uint32_t)seq_diff(to, rec->seq));
    if (n == 0 || n >= rec->n || rec_split(tcb, rec, n) == NULL)
        return NULL;
    return rec;
}

static void sack_block(struct tcb *tcb, struct seq from, struct seq to, struct ack *ack)
{
    list_for_each(l, next, &tcb->recs) {
        struct tx_rec *rec = list_entry(l, struct tx_rec, link);
        if (!seq_lt(rec->seq, to))
            return;
        if ((rec->flags & REC_SACKED) != 0 || (rec = rec_within(tcb, rec, from, to)) == NULL)
            continue;
        rack_update(tcb, rec, rec_end(rec), ack);
        rec_uncount(tcb, rec, rec->n);
        rec_flag_counts(tcb, rec);
        rec->flags = (uint8_t)((rec->flags & ~REC_LOST) | REC_SACKED);
        tcb->sacked += rec->n;
        tcb->sacked_n += rec_segments(rec);
        if (list_is_linked(&rec->sent))
            list_del(&rec->sent);
        ack->has_sacked = true;
    }
}

static bool is_dsack(const struct segment *seg)
{
    const struct tcp_opts *o = &seg->opts;
    if (o->sacks_n == 0)
        return false;
    if (seq_leq(o->sacks[0].to, seg->ack))
        return true;
    return o->sacks_n > 1 && seq_leq(o->sacks[1].from, o->sacks[0].from) &&
           seq_leq(o->sacks[0].to, o->sacks[1].to);
}

static void sacks_apply(struct tcb *tcb, const struct segment *seg, struct ack *ack)
{
    if (!tcb->has_sack || seg->opts.sacks_n == 0)
        return;
    ack->has_dsack = is_dsack(seg) && seq_lt(seg->opts.sacks[0].from, seg->opts.sacks[0].to) &&
                     seq_leq(seg->opts.sacks[0].to, tcb->snd_nxt);
    for (uint8_t i = ack->has_dsack ? 1 : 0; i < seg->opts.sacks_n; i++) {
        struct seq from = seg->opts.sacks[i].from, to = seg->opts.sacks[i].to;
        if (seq_lt(from, to) && seq_leq(to, tcb->snd_nxt) && seq_leq(seg->ack, from))
            sack_block(tcb, from, to, ack);
    }
}

/* ── loss detection ── */

static void recovery_begin(struct tcb *tcb)
{
    count(tcb->net, NET_RECOVERIES);
    tcb->recovery = RECOVERY_FAST;
    tcb->recover = tcb->snd_nxt;
    tcb->can_undo = true;
    tcb->undo_again_n = 0;
    tcb->undo_stamp = 0;
    cc_reduce(tcb);
}

/* RFC 8985 6.2 step 4. */
static uint64_t reorder_window_ns(const struct tcb *tcb)
{
    if (!tcb->is_reordering && (tcb->recovery != RECOVERY_NONE || tcb->sacked_n >= DUP_THRESHOLD))
        return 0;
    return min_u64(tcb->min_rtt_ns / 4 * tcb->reo_mult, tcb->srtt_ns);
}

/* RFC 8985 6.2 step 5: marks what is lost; the timer waits for what may only be late. */
static void rack_detect(struct tcb *tcb)
{
    uint64_t now_ns = tcb->net->now_ns, wait_ns = 0;
    uint64_t patience = tcb->rack_rtt_ns + reorder_window_ns(tcb);
    list_for_each(l, next, &tcb->sent) {
        struct tx_rec *rec = list_entry(l, struct tx_rec, sent);
        if (rec->sent_ns > tcb->rack_ns ||
            (rec->sent_ns == tcb->rack_ns && !seq_lt(rec_end(rec), tcb->rack_end)))
            break;
        if (rec->sent_ns + patience <= now_ns)
            rec_mark_lost(tcb, rec);
        else
            wait_ns = max_u64(wait_ns, rec->sent_ns + patience - now_ns);
    }
    if (wait_ns > 0)
        tcb_timer_set(tcb, TIMER_REORDER, now_ns + wait_ns);
    else
        tcb_timer_stop(tcb, TIMER_REORDER);
}

/* RFC 6675 IsLost: three SACKed segments above it. Sent again only once. */
static void sack_detect(struct tcb *tcb)
{
    uint32_t above = 0;
    for (struct list *l = tcb->recs.prev; l != &tcb->recs; l = l->prev) {
        struct tx_rec *rec = list_entry(l, struct tx_rec, link);
        above += (rec->flags & REC_SACKED) != 0 ? rec_segments(rec) : 0;
        if (above >= DUP_THRESHOLD && is_flying(rec) && (rec->flags & REC_AGAIN) == 0)
            rec_mark_lost(tcb, rec);
    }
}

static void newreno_detect(struct tcb *tcb, const struct ack *ack, uint8_t dupacks)
{
    struct tx_rec *rec = rec_first(tcb);
    if (rec == NULL || !is_flying(rec))
        return;
    bool is_partial = tcb->recovery == RECOVERY_FAST && ack->has_advanced;
    bool is_third = tcb->recovery == RECOVERY_NONE && dupacks == DUP_THRESHOLD &&
                    seq_leq(tcb->recover, tcb->snd_una);
    if (!is_partial && !is_third)
        return;
    if (rec->n > rec_first_n(rec))
        (void)rec_split(tcb, rec, rec_first_n(rec)); /* without memory all of it counts as lost */
    rec_mark_lost(tcb, rec);
}

static void loss_detect(struct tcb *tcb, const struct ack *ack)
{
    if (list_is_empty(&tcb->recs)) {
        tcb_timer_stop(tcb, TIMER_REORDER);
        return;
    }
    if (!tcb->has_sack)
        newreno_detect(tcb, ack, tcb->dupacks);
    else if (tcb->net->config.no_rack)
        sack_detect(tcb);
    else
        rack_detect(tcb);
    if (tcb->lost_n > 0 && tcb->recovery == RECOVERY_NONE)
        recovery_begin(tcb);
}

void loss_reorder_timeout(struct tcb *tcb)
{
    rack_detect(tcb);
    if (tcb->lost_n > 0 && tcb->recovery == RECOVERY_NONE)
        recovery_begin(tcb);
    tcb_dirty(tcb);
}

/* ── the retransmission timeout ── */

void loss_timeout(struct tcb *tcb)
{
    struct tx_rec *first = rec_first(tcb);
    bool is_first = tcb->recovery != RECOVERY_RTO || first->sends_n <= 1;
    bool is_renege = (first->flags & REC_SACKED) != 0; /* SACKed, but never acknowledged */
    if (tcb->backoff >= 2)
        tcb->has_mac = false;                        /* the next hop may be another by now: ask */
    if (tcb->backoff >= 2 && rec_first_n(first) > MSS_DEFAULT) /* are large segments swallowed? */
        tcb_mss_lower(tcb, MSS_DEFAULT);
    list_for_each(l, next, &tcb->recs) {
        struct tx_rec *rec = list_entry(l, struct tx_rec, link);
        if (is_renege && (rec->flags & REC_SACKED) != 0) {
            rec->flags &= (uint8_t)~REC_SACKED;
            tcb->sacked -= rec->n;
            tcb->sacked_n -= rec_segments(rec);
            tcb->pipe += rec->n;
        }
        if (is_flying(rec))
            rec_mark_lost(tcb, rec);
    }
    tcb_timer_stop(tcb, TIMER_REORDER);
    tcb_timer_stop(tcb, TIMER_PROBE);
    tcb->is_probing = false;
    tcb->dupacks = 0;
    tcb->recovery = RECOVERY_RTO;
    tcb->recover = tcb->snd_nxt;
    if (is_first) {
        tcb->can_undo = true;
        tcb->undo_again_n = 0;
        tcb->undo_stamp = 0;
    }
    tcb->is_frto = is_first && tcb->has_sack && !is_renege;
    cc_timeout(tcb, is_first);
}

void tcb_mss_lower(struct tcb *tcb, uint16_t mss)
{
    mss = (uint16_t)(mss - (tcb->has_stamps ? 12 : 0));
    if (mss >= tcb->mss)
        return;
    count(tcb->net, NET_MTU_LOWERED);
    tcb->mss = mss;
    if (tcb->state < TCPS_ESTABLISHED)
        return;
    list_for_each(l, next, &tcb->recs) {
        struct tx_rec *rec = list_entry(l, struct tx_rec, link);
        if (is_flying(rec) && min_u64(rec->n, rec->mss) > mss)
            rec_mark_lost(tcb, rec);
    }
    tcb_dirty(tcb);
}

/* ── the tail loss probe (RFC 8985 7) ── */

void loss_probe_arm(struct tcb *tcb)
{
    struct net *net = tcb->net;
    bool is_wanted = tcb->has_sack && !net->config.no_rack && !list_is_empty(&tcb->recs) &&
                     tcb->recovery == RECOVERY_NONE && !tcb->is_probing && tcb->sacked_n == 0 &&
                     tcb->due[TIMER_RTO] != 0;
    if (!is_wanted) {
        tcb_timer_stop(tcb, TIMER_PROBE);
        return;
    }
    uint64_t wait_ns = tcb->srtt_ns > 0 ? 2 * tcb->srtt_ns : NS_PER_S;
    const struct tx_rec *first = rec_first(tcb);
    if (first == rec_last(tcb) && rec_segments(first) == 1) /* its ACK may be delayed */
        wait_ns += net->config.rto_min_ms * NS_PER_MS;
    uint64_t at_ns = max_u64(tcb->last_send_ns + wait_ns, net->now_ns + NS_PER_MS);
    if (at_ns < tcb->due[TIMER_RTO])
        tcb_timer_set(tcb, TIMER_PROBE, at_ns);
    else
        tcb_timer_stop(tcb, TIMER_PROBE);
}

void loss_probe_timeout(struct tcb *tcb)
{
    if (list_is_empty(&tcb->recs) || tcb->recovery != RECOVERY_NONE || tcb->is_probing)
        return;
    bool is_new = tcp_send_new(tcb);
    struct tx_rec *last = rec_last(tcb);
    if (!is_new && is_flying(last) && rec_segments(last) > 1)
        last = rec_split(tcb, last, rec_whole_n(last, last->n - 1)); /* the last segment */
    if (!is_new && (last == NULL || !is_flying(last) || !rec_send(tcb, last)))
        return;
    count(tcb->net, NET_TAIL_PROBES);
    tcb->is_probing = true;
    tcb->is_probe_again = !is_new;
    tcb->probe_end = tcb->snd_nxt;
    tcb_rto_restart(tcb);
    tcb_dirty(tcb);
}

/* RFC 8985 7.4.2: a probe that repaired a loss is one congestion event. */
static void probe_acked(struct tcb *tcb, const struct segment *seg, const struct ack *ack)
{
    if (!tcb->is_probing || seq_lt(seg->ack, tcb->probe_end))
        return;
    if (!tcb->is_probe_again || ack->has_dsack) {
        tcb->is_probing = false;
    } else if (seq_lt(tcb->probe_end, seg->ack)) {
        tcb->is_probing = false;
        if (tcb->recovery == RECOVERY_NONE)
            cc_reduce(tcb);
    } else if (list_is_empty(&tcb->recs) && !ack->has_advanced) {
        tcb->is_probing = false;
    }
}

/* ── undoing ── */

static void recovery_undo(struct tcb *tcb)
{
    list_for_each(l, next, &tcb->recs) {
        struct tx_rec *rec = list_entry(l, struct tx_rec, link);
        if ((rec->flags & REC_LOST) != 0)
            rec_unmark_lost(tcb, rec);
    }
    cc_undo(tcb);
    tcb->can_undo = false;
    tcb->recovery = RECOVERY_NONE;
    tcb->dupacks = 0;
    tcb->undos++;
    count(tcb->net, NET_UNDOS);
}

static bool is_spurious(const struct tcb *tcb, const struct segment *seg, const struct ack *ack)
{
    if (!tcb->can_undo)
        return false;
    if (tcb->recovery != RECOVERY_NONE && ack->has_advanced && tcb->has_stamps &&
        seg->opts.has_stamp && tcb->undo_stamp != 0 &&
        (int32_t)(seg->opts.echo - tcb->undo_stamp) < 0)
        return true;
    if (tcb->recovery == RECOVERY_RTO && tcb->is_frto && ack->has_advanced && ack->has_original)
        return true;
    return ack->has_dsack && tcb->undo_stamp != 0 && tcb->undo_again_n == 0;
}

/* ── one ACK ── */

static void window_update(struct tcb *tcb, const struct segment *seg)
{
    bool is_newer = seq_lt(tcb->snd_wl1, seg->seq) ||
                    (seq_eq(tcb->snd_wl1, seg->seq) && seq_leq(tcb->snd_wl2, seg->ack));
    if (!is_newer || seq_lt(seg->ack, tcb->snd_una))
        return;
    uint32_t wnd = (uint32_t)seg->wnd << tcb->snd_ws;
    if (tcb->snd_wnd == 0 && wnd > 0)
        tcb->backoff = 0;
    tcb->snd_wnd = wnd;
    tcb->snd_wnd_max = (uint32_t)max_u64(wnd, tcb->snd_wnd_max);
    tcb->snd_wl1 = seg->seq;
    tcb->snd_wl2 = seg->ack;
}

static void dupacks_count(struct tcb *tcb, const struct ack *ack, bool is_dup)
{
    if (!ack->has_advanced) {
        if (is_dup && tcb->dupacks < UINT8_MAX)
            tcb->dupacks++;
        return;
    }
    uint32_t left = (ack->acked + tcb->mss - 1) / tcb->mss;
    bool is_partial = tcb->recovery == RECOVERY_FAST && seq_lt(tcb->snd_una, tcb->recover);
    if (is_partial && left > 0 && !tcb->has_sack)
        tcb->dupacks -= (uint8_t)min_u64(left - 1, tcb->dupacks);
    else
        tcb->dupacks = 0;
}

/* RFC 8985 7.2 (DSACK): each round with one widens the window of reordering. */
static void dsack_apply(struct tcb *tcb, const struct ack *ack)
{
    if (!ack->has_dsack)
        return;
    if (tcb->undo_again_n > 0)
        tcb->undo_again_n--;
    if (seq_leq(tcb->dsack_round, tcb->snd_una) && tcb->reo_mult < 16) {
        tcb->dsack_round = tcb->snd_nxt;
        tcb->reo_mult++;
    }
}

static void recovery_end(struct tcb *tcb)
{
    if (tcb->recovery == RECOVERY_NONE || seq_lt(tcb->snd_una, tcb->recover))
        return;
    if (tcb->recovery == RECOVERY_FAST)
        tcb->cc.cwnd = (uint32_t)min_u64(tcb->cc.cwnd, tcb->cc.ssthresh);
    tcb->recovery = RECOVERY_NONE;
    tcb->dupacks = 0;
    tcb->is_frto = false;
}

void loss_ack(struct tcb *tcb, const struct segment *seg, struct seq una_before)
{
    struct ack ack = {0};
    bool is_dup = seq_eq(seg->ack, una_before) && seg->n == 0 && (seg->flags & FIN) == 0 &&
                  (uint32_t)seg->wnd << tcb->snd_ws == tcb->snd_wnd && !list_is_empty(&tcb->recs);
    tcb->probes_n = 0;
    if (seq_leq(una_before, seg->ack))
        sacks_apply(tcb, seg, &ack);
    cumulative_apply(tcb, seg->ack, &ack);
    window_update(tcb, seg);
    /* Karn: also what was sent once may have waited for what was sent again. */
    if (ack.rtt_ns > 0 && !ack.has_again)
        rtt_sample(tcb, ack.rtt_ns);
    if (ack.has_advanced) {
        tcb->progress_ns = tcb->net->now_ns;
        tcb->backoff = 0;
        tcb_rto_restart(tcb);
        if (ack.acked > 0)
            tcb_tell(tcb, TCP_NEWS_SENT);
    }
    dupacks_count(tcb, &ack, is_dup || ack.has_sacked);
    dsack_apply(tcb, &ack);
    probe_acked(tcb, seg, &ack);
    if (is_spurious(tcb, seg, &ack))
        recovery_undo(tcb);
    if (ack.has_advanced)
        tcb->is_frto = false;
    recovery_end(tcb);
    loss_detect(tcb, &ack);
    if (tcb->recovery != RECOVERY_FAST)
        cc_acked(tcb, ack.acked);
    if (ack.has_advanced || ack.has_sacked || is_dup || tcb->lost_n > 0 || tcb->unsent > 0 ||
        tcb->is_fin_queued)
        tcb_dirty(tcb);
}

/* ── invariants ── */

void tcb_invariants(const struct tcb *tcb)
{
    uint32_t pipe = 0, sacked = 0, lost = 0, sacked_n = 0, lost_n = 0;
    uint64_t unsent = 0, queued = 0;
    struct seq at = tcb->snd_una;
    check(tcb->magic == TCB_MAGIC);
    if (tcb->state == TCPS_CLOSED)
        return;
    list_for_each(l, next, &tcb->recs) {
        const struct tx_rec *rec = list_entry(l, struct tx_rec, link);
        check(seq_eq(rec->seq, at));
        at = rec_end(rec);
        pipe += is_flying(rec) ? rec->n : 0;
        sacked += (rec->flags & REC_SACKED) != 0 ? rec->n : 0;
        lost += (rec->flags & REC_LOST) != 0 ? rec->n : 0;
        sacked_n += (rec->flags & REC_SACKED) != 0 ? rec_segments(rec) : 0;
        lost_n += (rec->flags & REC_LOST) != 0;
        check(list_is_linked(&rec->sent) == is_flying(rec));
    }
    check(seq_eq(at, tcb->snd_nxt) || list_is_empty(&tcb->recs));
    check(seq_leq(tcb->snd_una, tcb->snd_nxt));
    check(pipe == tcb->pipe && sacked == tcb->sacked && lost == tcb->lost);
    check(sacked_n == tcb->sacked_n && lost_n == tcb->lost_n);
    for (const struct tx_ext *ext = tcb->ext_head; ext != NULL; ext = ext->next)
        queued += ext->slice.n;
    check(queued - tcb->head_at == tcb->queued);
    for (const struct tx_ext *ext = tcb->send_ext; ext != NULL; ext = ext->next)
        unsent += ext->slice.n;
    check(unsent - (tcb->send_ext == NULL ? 0 : tcb->send_at) == tcb->unsent);
    check(seq_leq(tcb->rcv_nxt, tcb->rcv_edge) || tcb->state < TCPS_SYN_RCVD);
    struct seq above = tcb->rcv_nxt;
    uint32_t ranges_n = 0;
    for (const struct pkt *r = tcb->ooo; r != NULL; r = r->rx.range_next, ranges_n++) {
        check(seq_lt(above, r->rx.seq) && seq_lt(r->rx.seq, r->rx.range_end));
        above = r->rx.range_end;
    }
    check(ranges_n == tcb->ooo_ranges_n);
    check(list_is_empty(&tcb->recs) || tcb->due[TIMER_RTO] != 0);
}
