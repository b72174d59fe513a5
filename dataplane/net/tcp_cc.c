/*
 * tcp_cc.c - how much may be in flight: Reno (RFC 5681, byte counting RFC 3465) and CUBIC (RFC 9438).
 *
 * Owner: worker.
 *
 * cwnd and ssthresh are bytes. The window grows only while it is what holds the sender back (RFC
 * 7661): the output pass sets cc.is_limited. A congestion event is one call of cc_reduce, however
 * many segments are lost in it; the caller (tcp_loss.c) knows when one ends. What an event took can
 * be given back by cc_undo.
 *
 * CUBIC: W(t) = C (t - K)^3 + W_max, in segments and seconds, with C = 0.4 and beta = 0.7; t runs
 * since the epoch began, K is where W reaches W_max again. W_est is what Reno would have; the larger
 * of both rules.
 */
#include "net_inside.h"

#include <math.h>

static const double cubic_c = 0.4, cubic_beta = 0.7;
static const double cubic_alpha = 3.0 * (1.0 - 0.7) / (1.0 + 0.7);

static uint32_t mss_of(const struct tcb *tcb)
{
    return tcb->mss;
}

/* RFC 6928: ten segments, but no more than about 15 KB and at least two segments. */
void cc_init(struct tcb *tcb)
{
    uint32_t mss = mss_of(tcb);
    struct cc *cc = &tcb->cc;
    *cc = (struct cc){.ssthresh = UINT32_MAX};
    cc->iw = (uint32_t)min_u64(10 * mss, max_u64(2 * mss, 14600));
    cc->cwnd = cc->iw;
}

static double segments(const struct tcb *tcb, uint32_t bytes)
{
    return (double)bytes / mss_of(tcb);
}

static void cubic_epoch_begin(struct tcb *tcb)
{
    struct cc *cc = &tcb->cc;
    double cwnd = segments(tcb, cc->cwnd);
    cc->epoch_ns = tcb->net->now_ns;
    cc->cwnd_epoch = cwnd;
    cc->w_est = cwnd;
    if (cc->w_max <= cwnd) {
        cc->w_max = cwnd;
        cc->k = 0;
    } else {
        cc->k = cbrt((cc->w_max - cwnd) / cubic_c);
    }
}

/* RFC 9438 4.2 to 4.5: the window after `bytes` were acknowledged. */
static void cubic_acked(struct tcb *tcb, uint32_t bytes)
{
    struct cc *cc = &tcb->cc;
    if (cc->epoch_ns == 0)
        cubic_epoch_begin(tcb);
    double t = (double)(tcb->net->now_ns - cc->epoch_ns + tcb->srtt_ns) / 1e9;
    double cwnd = segments(tcb, cc->cwnd), off = t - cc->k;
    double target = cubic_c * off * off * off + cc->w_max;
    target = fmin(fmax(target, cwnd), 1.5 * cwnd);
    /* 4.3: once W_est has passed the old maximum, it grows like Reno. */
    double alpha = cc->w_est >= cc->w_max ? 1.0 : cubic_alpha;
    cc->w_est += alpha * segments(tcb, bytes) / cwnd;
    double grown = cwnd + (target - cwnd) / cwnd * segments(tcb, bytes);
    cc->cwnd = (uint32_t)fmin(fmax(grown, cc->w_est) * mss_of(tcb), (double)(1u << 30));
}

static void reno_acked(struct tcb *tcb, uint32_t bytes)
{
    struct cc *cc = &tcb->cc;
    cc->acked += bytes;
    if (cc->acked < cc->cwnd)
        return;
    cc->acked -= cc->cwnd;
    cc->cwnd = (uint32_t)min_u64(cc->cwnd + mss_of(tcb), 1u << 30);
}

void cc_acked(struct tcb *tcb, uint32_t bytes)
{
    struct cc *cc = &tcb->cc;
    if (!cc->is_limited || bytes == 0)
        return;
    if (cc->cwnd < cc->ssthresh) {
        /* Slow start; what goes beyond ssthresh counts as congestion avoidance. Stretch ACKs count
         * in full, or peers that merge segments would keep us slow. */
        uint32_t step = (uint32_t)min_u64(bytes, cc->ssthresh - cc->cwnd);
        cc->cwnd = (uint32_t)min_u64((uint64_t)cc->cwnd + step, 1u << 30);
        bytes -= step;
        if (bytes == 0)
            return;
    }
    if (tcb->net->config.is_reno)
        reno_acked(tcb, bytes);
    else
        cubic_acked(tcb, bytes);
}

static void undo_remember(struct tcb *tcb)
{
    struct cc *cc = &tcb->cc;
    cc->undo_cwnd = cc->cwnd;
    cc->undo_ssthresh = cc->ssthresh;
    cc->undo_w_max = cc->w_max;
}

/* ssthresh after one congestion event, from the window (Reno: from what is in flight). */
static uint32_t ssthresh_reduced(struct tcb *tcb)
{
    struct cc *cc = &tcb->cc;
    uint32_t mss = mss_of(tcb);
    double cwnd = segments(tcb, cc->cwnd), out;
    if (tcb->net->config.is_reno) {
        uint64_t flight = (uint32_t)seq_diff(tcb->snd_nxt, tcb->snd_una);
        return (uint32_t)max_u64(min_u64(flight, cc->cwnd) / 2, 2 * mss);
    }
    /* RFC 9438 4.7: fast convergence. */
    cc->w_max = cwnd < cc->w_max ? cwnd * (1.0 + cubic_beta) / 2.0 : cwnd;
    cc->epoch_ns = 0;
    out = cwnd * cubic_beta * mss;
    return (uint32_t)fmax(out, 2.0 * mss);
}

void cc_reduce(struct tcb *tcb)
{
    struct cc *cc = &tcb->cc;
    undo_remember(tcb);
    cc->ssthresh = ssthresh_reduced(tcb);
    cc->cwnd = cc->ssthresh;
    cc->acked = 0;
}

/* RFC 5681 3.1: ssthresh only with the first timeout of a segment. */
void cc_timeout(struct tcb *tcb, bool is_first)
{
    struct cc *cc = &tcb->cc;
    if (is_first) {
        undo_remember(tcb);
        cc->ssthresh = ssthresh_reduced(tcb);
    }
    cc->cwnd = mss_of(tcb);
    cc->acked = 0;
    cc->epoch_ns = 0;
}

/* RFC 5681 4.1: after an idle time the old window says nothing about the path. */
void cc_idle(struct tcb *tcb)
{
    tcb->cc.cwnd = (uint32_t)min_u64(tcb->cc.cwnd, tcb->cc.iw);
    tcb->cc.epoch_ns = 0;
}

void cc_undo(struct tcb *tcb)
{
    struct cc *cc = &tcb->cc;
    cc->cwnd = (uint32_t)max_u64(cc->cwnd, cc->undo_cwnd);
    cc->ssthresh = (uint32_t)max_u64(cc->ssthresh, cc->undo_ssthresh);
    cc->w_max = cc->undo_w_max;
    cc->epoch_ns = 0;
}
