/*
 * tcp_timer.c - the timers of a connection, and what they do (RFC 6298, 9293 3.8.4 and 3.8.6.1).
 *
 * Owner: worker.
 *
 * due[] says when each timer is due; one node in the wheel stands for the earliest. Moving a timer
 * later or stopping it only writes due[]; the node then fires early for nothing and is placed again
 * (an ACK per millisecond must not cost a move in the wheel).
 *
 *   RTO      the oldest segment in flight is sent again; or our SYN
 *   PROBE    tail loss probe (RFC 8985 7)            REORDER  RACK's wait for reordered segments
 *   PERSIST  the peer's window is closed, or too small to send without silliness
 *   ACK      the delayed ACK                         KEEP     keepalive
 *   USER     a handshake without progress            LINGER   FIN_WAIT_2 without an application
 *   AGAIN    output found no packet or record
 */
#include "net_inside.h"

/* ── setting ── */

static void tcb_timer_fire(struct timer *timer, struct now now);

void tcb_timers_init(struct tcb *tcb)
{
    timer_init(&tcb->timer, tcb_timer_fire);
}

void tcb_timer_set(struct tcb *tcb, enum tcp_timer which, uint64_t at_ns)
{
    tcb->due[which] = at_ns;
    if (!timer_is_set(&tcb->timer) || at_ns < tcb->timer.at_ns)
        timer_set(&tcb->net->timers, &tcb->timer, at_ns);
}

void tcb_timer_stop(struct tcb *tcb, enum tcp_timer which)
{
    tcb->due[which] = 0;
}

static uint64_t rto_clamped(const struct tcb *tcb, uint64_t ns)
{
    const struct net_config *config = &tcb->net->config;
    ns = max_u64(ns, config->rto_min_ms * NS_PER_MS);
    return min_u64(ns, config->rto_max_ms * NS_PER_MS);
}

static uint64_t rto_backed_off(const struct tcb *tcb)
{
    uint64_t ns = tcb->rto_ns;
    for (int i = 0; i < tcb->backoff && ns < tcb->net->config.rto_max_ms * NS_PER_MS; i++)
        ns *= 2;
    return rto_clamped(tcb, ns);
}

/* RFC 6298 5.1, 5.2, 5.3. */
void tcb_rto_restart(struct tcb *tcb)
{
    if (list_is_empty(&tcb->recs))
        tcb_timer_stop(tcb, TIMER_RTO);
    else
        tcb_timer_set(tcb, TIMER_RTO, tcb->net->now_ns + rto_backed_off(tcb));
}

/* RFC 6298 2.2, 2.3; the least RTT of the last 10 s for RACK. */
void rtt_sample(struct tcb *tcb, uint64_t rtt_ns)
{
    uint64_t now_ns = tcb->net->now_ns;
    rtt_ns = max_u64(rtt_ns, 1);
    if (tcb->min_rtt_ns == 0 || rtt_ns <= tcb->min_rtt_ns ||
        now_ns - tcb->min_rtt_at_ns > 10 * NS_PER_S) {
        tcb->min_rtt_ns = rtt_ns;
        tcb->min_rtt_at_ns = now_ns;
    }
    if (tcb->srtt_ns == 0) {
        tcb->srtt_ns = rtt_ns;
        tcb->rttvar_ns = rtt_ns / 2;
    } else {
        uint64_t off = rtt_ns > tcb->srtt_ns ? rtt_ns - tcb->srtt_ns : tcb->srtt_ns - rtt_ns;
        tcb->rttvar_ns = (3 * tcb->rttvar_ns + off) / 4;
        tcb->srtt_ns = (7 * tcb->srtt_ns + rtt_ns) / 8;
    }
    tcb->rto_ns = rto_clamped(tcb, tcb->srtt_ns + max_u64(NS_PER_MS, 4 * tcb->rttvar_ns));
}

/* ── firing ── */

static bool has_no_progress(struct tcb *tcb)
{
    uint64_t max = tcb->net->config.user_timeout_ms * NS_PER_MS;
    return tcb->net->now_ns - tcb->progress_ns >= max;
}

static void tcb_give_up(struct tcb *tcb)
{
    count(tcb->net, NET_ENDED_TIMEOUT);
    if (tcb->state != TCPS_SYN_SENT)
        tcb_rst(tcb);
    tcb_end(tcb, E_TIMED_OUT);
}

static void rto_fire(struct tcb *tcb)
{
    if (list_is_empty(&tcb->recs))
        return;
    if (has_no_progress(tcb)) {
        tcb_give_up(tcb);
        return;
    }
    count(tcb->net, NET_RTOS);
    loss_timeout(tcb);
    if (tcb->backoff < UINT8_MAX)
        tcb->backoff++;
    tcb_rto_restart(tcb); /* RFC 6298 5.5, 5.6 */
    tcb_dirty(tcb);
}

/* The window is closed: ask for news of it. It is open a little: send what fits. The time to the
 * next doubles. */
static void persist_fire(struct tcb *tcb)
{
    if (!list_is_empty(&tcb->recs) || (tcb->unsent == 0 && !tcb->is_fin_queued))
        return;
    if (has_no_progress(tcb) && tcb->probes_n > 2) {
        tcb_give_up(tcb);
        return;
    }
    if (tcb->backoff < UINT8_MAX)
        tcb->backoff++;
    tcb->is_forced = true;
    if (tcb->snd_wnd == 0) {
        if (tcb->probes_n < UINT8_MAX)
            tcb->probes_n++;
        count(tcb->net, NET_WINDOW_PROBES);
        tcb->window_probes++;
        if (tcb->probes_n > 2)
            tcb_hop_doubt(tcb);
        tcb_probe(tcb);
    }
    tcb_timer_set(tcb, TIMER_PERSIST, tcb->net->now_ns + rto_backed_off(tcb));
    tcb_dirty(tcb);
}

static void keep_fire(struct tcb *tcb)
{
    const struct net_config *config = &tcb->net->config;
    uint64_t idle = config->keepalive_ms * NS_PER_MS, since = tcb->net->now_ns - tcb->last_rx_ns;
    if (tcb->state < TCPS_ESTABLISHED)
        return;
    if (since < idle) {
        tcb->probes_n = list_is_empty(&tcb->recs) && tcb->snd_wnd > 0 ? 0 : tcb->probes_n;
        tcb_timer_set(tcb, TIMER_KEEP, tcb->last_rx_ns + idle);
        return;
    }
    if (!list_is_empty(&tcb->recs) || tcb->due[TIMER_PERSIST] != 0) { /* others watch over it */
        tcb_timer_set(tcb, TIMER_KEEP, tcb->net->now_ns + idle);
        return;
    }
    if (tcb->probes_n >= config->keepalive_n) {
        tcb_give_up(tcb);
        return;
    }
    tcb->probes_n++;
    count(tcb->net, NET_KEEPALIVES);
    if (tcb->probes_n > 1)
        tcb_hop_doubt(tcb);
    tcb_probe(tcb);
    tcb_timer_set(tcb, TIMER_KEEP, tcb->net->now_ns + max_u64(idle / 6, NS_PER_MS));
}

static void ack_fire(struct tcb *tcb)
{
    count(tcb->net, NET_DELAYED_ACKS);
    tcb_ack_now(tcb);
}

static void linger_fire(struct tcb *tcb)
{
    if (tcb->is_orphan && tcb->state == TCPS_FIN_WAIT_2)
        tcb_end(tcb, E_TIMED_OUT);
}

static void user_fire(struct tcb *tcb)
{
    uint64_t max = tcb->net->config.user_timeout_ms * NS_PER_MS;
    if (tcb->state != TCPS_SYN_RCVD && tcb->state != TCPS_SYN_SENT)
        return;
    if (has_no_progress(tcb))
        tcb_give_up(tcb);
    else
        tcb_timer_set(tcb, TIMER_USER, tcb->progress_ns + max);
}

static void tcb_timer_fire(struct timer *timer, struct now now)
{
    static void (*const fires[TIMERS_N])(struct tcb *) = {
        [TIMER_RTO] = rto_fire,
        [TIMER_PROBE] = loss_probe_timeout,
        [TIMER_REORDER] = loss_reorder_timeout,
        [TIMER_PERSIST] = persist_fire,
        [TIMER_ACK] = ack_fire,
        [TIMER_KEEP] = keep_fire,
        [TIMER_USER] = user_fire,
        [TIMER_LINGER] = linger_fire,
        [TIMER_AGAIN] = tcb_dirty,
    };
    struct tcb *tcb = container_of(timer, struct tcb, timer);
    check(tcb->magic == TCB_MAGIC && tcb->state != TCPS_CLOSED);
    for (int i = 0; i < TIMERS_N; i++) {
        if (tcb->due[i] == 0 || tcb->due[i] > now.ns)
            continue;
        tcb->due[i] = 0;
        fires[i](tcb);
        if (tcb->magic != TCB_MAGIC || tcb->state == TCPS_CLOSED)
            return;
    }
    uint64_t at = UINT64_MAX;
    for (int i = 0; i < TIMERS_N; i++)
        if (tcb->due[i] != 0)
            at = min_u64(at, tcb->due[i]);
    if (at != UINT64_MAX)
        timer_set(&tcb->net->timers, &tcb->timer, at);
}
