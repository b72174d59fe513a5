/*
 * tcp_table.c - connections, half-open ones and TIME-WAIT entries by four-tuple; listeners; pools.
 *
 * Owner: worker.
 *
 * One chained table over indexes: [0, tcbs) connections, then SYN entries, then TIME-WAIT entries.
 * The hash is keyed (SipHash-1-3), because peers choose addresses and ports. There are at least as
 * many buckets as entries can be, so chains are short.
 */
#include "net_inside.h"

/* ── the table ── */

uint32_t flow_hash(const struct net *net, uint32_t peer_ip, uint16_t peer_port, uint16_t port)
{
    uint64_t word = (uint64_t)peer_ip << 32 | (uint32_t)peer_port << 16 | port;
    return (uint32_t)sip_words(&net->key_flow, &word, 1, 1, 3);
}

struct flow *flow_at(const struct net *net, int32_t at)
{
    uint32_t i = (uint32_t)at, tcbs = net->config.tcbs_max, syns = net->config.syns_max;
    check(at >= 0);
    if (i < tcbs)
        return &net->tcbs[i].flow;
    if (i < tcbs + syns)
        return &net->syn_entries[i - tcbs].flow;
    check(i < tcbs + syns + net->config.time_waits_max);
    return &net->wait_entries[i - tcbs - syns].flow;
}

struct tcb *tcb_at(const struct net *net, int32_t at)
{
    return at >= 0 && (uint32_t)at < net->config.tcbs_max ? &net->tcbs[at] : NULL;
}

struct syn_entry *syn_at(const struct net *net, int32_t at)
{
    uint32_t i = (uint32_t)at - net->config.tcbs_max;
    return i < net->config.syns_max ? &net->syn_entries[i] : NULL;
}

struct wait_entry *wait_at(const struct net *net, int32_t at)
{
    uint32_t i = (uint32_t)at - net->config.tcbs_max - net->config.syns_max;
    return i < net->config.time_waits_max ? &net->wait_entries[i] : NULL;
}

int32_t tcb_index(const struct tcb *tcb)
{
    return (int32_t)(tcb - tcb->net->tcbs);
}

int32_t syn_index(const struct net *net, const struct syn_entry *entry)
{
    return (int32_t)(entry - net->syn_entries) + (int32_t)net->config.tcbs_max;
}

int32_t wait_index(const struct net *net, const struct wait_entry *entry)
{
    return (int32_t)(entry - net->wait_entries) +
           (int32_t)(net->config.tcbs_max + net->config.syns_max);
}

int32_t flow_find(const struct net *net, uint32_t hash, uint32_t peer_ip, uint16_t peer_port,
                  uint16_t port)
{
    for (int32_t at = net->buckets[hash & net->buckets_mask]; at != FLOW_NONE;) {
        const struct flow *flow = flow_at(net, at);
        if (flow->hash == hash && flow->peer_ip == peer_ip && flow->peer_port == peer_port &&
            flow->port == port)
            return at;
        at = flow->next;
    }
    return FLOW_NONE;
}

void flow_add(struct net *net, int32_t at, uint32_t hash, uint32_t peer_ip, uint16_t peer_port,
              uint16_t port)
{
    check_slow(flow_find(net, hash, peer_ip, peer_port, port) == FLOW_NONE);
    struct flow *flow = flow_at(net, at);
    *flow = (struct flow){FLOW_NONE, hash, peer_ip, peer_port, port};
    int32_t *bucket = &net->buckets[hash & net->buckets_mask];
    flow->next = *bucket;
    *bucket = at;
}

void flow_remove(struct net *net, int32_t at)
{
    struct flow *flow = flow_at(net, at);
    int32_t *from = &net->buckets[flow->hash & net->buckets_mask];
    while (*from != at) {
        check(*from != FLOW_NONE);
        from = &flow_at(net, *from)->next;
    }
    *from = flow->next;
}

/* ── listeners ── */

struct tcp_listener *listener_find(struct net *net, uint16_t port)
{
    for (int i = 0; i < LISTENERS_N; i++)
        if (net->listeners[i].is_open && net->listeners[i].port == port)
            return &net->listeners[i];
    return NULL;
}

int net_listen(struct net *net, uint16_t port, uint32_t accept_max, void *user)
{
    if (port == 0)
        return E_INVALID;
    if (listener_find(net, port) != NULL)
        return E_IN_USE;
    for (int i = 0; i < LISTENERS_N; i++) {
        if (net->listeners[i].is_open || net->listeners[i].waiting_n > 0)
            continue;
        net->listeners[i] = (struct tcp_listener){port, true, accept_max, 0, user};
        return 0;
    }
    return E_NO_MEMORY;
}

/* ── pools ── */

struct tx_ext *ext_new(struct net *net)
{
    struct tx_ext *ext = net->exts_free;
    if (ext != NULL)
        net->exts_free = ext->next;
    else if (net->exts_used_n < net->config.extents_max)
        ext = &net->exts[net->exts_used_n++];
    else
        return NULL;
    ext->next = NULL;
    net->exts_out_n++;
    return ext;
}

void ext_free(struct net *net, struct tx_ext *ext)
{
    ext->next = net->exts_free;
    net->exts_free = ext;
    net->exts_out_n--;
}

struct tx_rec *rec_new(struct net *net)
{
    struct list *l = list_pop(&net->recs_free);
    struct tx_rec *rec = l == NULL ? NULL : list_entry(l, struct tx_rec, link);
    if (rec == NULL && net->recs_used_n < net->config.records_max)
        rec = &net->recs[net->recs_used_n++];
    if (rec == NULL) {
        count(net, NET_NO_RECORD);
        return NULL;
    }
    rec->sends_n = 0; /* the sender fills in the rest */
    list_init(&rec->link);
    list_init(&rec->sent);
    net->recs_out_n++;
    return rec;
}

void rec_free(struct net *net, struct tx_rec *rec)
{
    list_del(&rec->link);
    if (list_is_linked(&rec->sent))
        list_del(&rec->sent);
    list_push(&net->recs_free, &rec->link);
    net->recs_out_n--;
}

struct tcb *tcb_new(struct net *net)
{
    struct list *l = list_pop(&net->tcbs_free);
    struct tcb *tcb = l == NULL ? NULL : list_entry(l, struct tcb, link);
    if (tcb == NULL && net->tcbs_used_n < net->config.tcbs_max)
        tcb = &net->tcbs[net->tcbs_used_n++];
    if (tcb == NULL)
        return NULL;
    memset(tcb, 0, sizeof *tcb);
    tcb->magic = TCB_MAGIC;
    tcb->net = net;
    list_init(&tcb->link);
    list_init(&tcb->dirty);
    list_init(&tcb->news);
    list_init(&tcb->recs);
    list_init(&tcb->sent);
    tcb_timers_init(tcb);
    tcb->mss = tcb->mss_peer = MSS_DEFAULT;
    tcb->rto_ns = NS_PER_S; /* RFC 6298 2.1 */
    tcb->reo_mult = 1;
    tcb->quick_n = QUICK_ACKS;
    tcb->last_rx_ns = tcb->progress_ns = net->now_ns;
    list_append(&net->tcbs_open, &tcb->link);
    net->tcbs_n++;
    return tcb;
}

/* The application has heard of it, or never will. */
void tcb_waiting_end(struct tcb *tcb)
{
    if (!tcb->is_waiting)
        return;
    struct tcp_listener *listener = (struct tcp_listener *)(uintptr_t)tcb->listener;
    check(listener->waiting_n > 0);
    listener->waiting_n--;
    tcb->is_waiting = false;
}

static void tcb_free(struct tcb *tcb)
{
    struct net *net = tcb->net;
    check(tcb->state == TCPS_CLOSED && !tcb->is_in_table && tcb->queued == 0);
    reasm_drop_all(tcb);
    tcb_waiting_end(tcb);
    if (list_is_linked(&tcb->news))
        list_del(&tcb->news);
    if (list_is_linked(&tcb->dirty))
        list_del(&tcb->dirty);
    list_del(&tcb->link);
    tcb->magic = 0;
    list_append(&net->tcbs_free, &tcb->link);
    net->tcbs_n--;
}

/* ── a connection's life ── */

void tcb_state_set(struct tcb *tcb, enum tcp_state state)
{
    tcb->state = (uint8_t)state;
}

void tcb_dirty(struct tcb *tcb)
{
    if (!list_is_linked(&tcb->dirty))
        list_append(&tcb->net->dirty, &tcb->dirty);
}

void tcb_tell(struct tcb *tcb, uint32_t bits)
{
    if (tcb->is_orphan)
        return;
    tcb->news_bits |= bits;
    if (!list_is_linked(&tcb->news))
        list_append(&tcb->net->news, &tcb->news);
}

static void tx_drop_all(struct tcb *tcb)
{
    struct net *net = tcb->net;
    for (struct tx_rec *rec; (rec = rec_first(tcb)) != NULL;)
        rec_free(net, rec);
    while (tcb->ext_head != NULL) {
        struct tx_ext *ext = tcb->ext_head;
        tcb->ext_head = ext->next;
        slice_put(&ext->slice);
        ext_free(net, ext);
    }
    tcb->ext_tail = tcb->send_ext = NULL;
    tcb->unsent = tcb->queued = 0;
    tcb->pipe = tcb->sacked = tcb->lost = 0;
}

void tcb_end(struct tcb *tcb, int error)
{
    struct net *net = tcb->net;
    check(tcb->magic == TCB_MAGIC);
    if (tcb->state == TCPS_CLOSED)
        return;
    tcb_state_set(tcb, TCPS_CLOSED);
    tcb->error = error;
    count(net, NET_CLOSED);
    if (tcb->is_in_table)
        flow_remove(net, tcb_index(tcb));
    tcb->is_in_table = false;
    if (net->last == tcb)
        net->last = NULL;
    timer_stop(&net->timers, &tcb->timer);
    memset(tcb->due, 0, sizeof tcb->due);
    tx_drop_all(tcb);
    if (list_is_linked(&tcb->dirty))
        list_del(&tcb->dirty);
    if (tcb->is_orphan)
        tcb_free(tcb);
    else
        tcb_tell(tcb, TCP_NEWS_CLOSED);
}

void tcp_abort(struct tcb *tcb)
{
    check(tcb->magic == TCB_MAGIC);
    if (tcb->state == TCPS_CLOSED)
        return;
    if (tcb->state != TCPS_SYN_SENT)
        tcb_rst(tcb);
    tcb_end(tcb, E_CLOSED);
}

void tcp_release(struct tcb *tcb)
{
    check(tcb->magic == TCB_MAGIC && !tcb->is_orphan);
    if (tcb->state == TCPS_CLOSED) {
        tcb->is_orphan = true;
        tcb_free(tcb);
        return;
    }
    if (tcb->rxq_bytes > 0) { /* RFC 2525 2.17: what was not read is lost, and the peer must know */
        tcp_abort(tcb);
        tcb->is_orphan = true;
        tcb_free(tcb);
        return;
    }
    tcp_shutdown(tcb);
    tcb->is_orphan = true;
    if (tcb->state == TCPS_CLOSED) { /* shutdown of a SYN_SENT */
        tcb_free(tcb);
        return;
    }
    tcb_waiting_end(tcb);
    if (list_is_linked(&tcb->news))
        list_del(&tcb->news);
    tcb->news_bits = 0;
    if (tcb->state == TCPS_FIN_WAIT_2)
        tcb_timer_set(tcb, TIMER_LINGER,
                      tcb->net->now_ns + tcb->net->config.time_wait_ms * NS_PER_MS);
}

/* ── what it is ── */

int tcp_error(const struct tcb *tcb)
{
    return tcb->error;
}

void *tcp_user(const struct tcb *tcb)
{
    return tcb->user;
}

void tcp_user_set(struct tcb *tcb, void *user)
{
    tcb->user = user;
}

void *tcp_listener_user(const struct tcb *tcb)
{
    return tcb->listener == NULL ? NULL : tcb->listener->user;
}

void tcp_peer(const struct tcb *tcb, uint32_t *ip, uint16_t *port)
{
    *ip = tcb->flow.peer_ip;
    *port = tcb->flow.peer_port;
}

uint64_t tcp_unread(const struct tcb *tcb)
{
    return tcb->rxq_bytes;
}

uint64_t tcp_unacked(const struct tcb *tcb)
{
    return tcb->queued;
}

void tcp_troubles(const struct tcb *tcb, uint32_t *retransmits, uint32_t *holes,
                  uint32_t *window_probes)
{
    check(tcb->magic == TCB_MAGIC);
    *retransmits = tcb->retransmits;
    *holes = tcb->holes;
    *window_probes = tcb->window_probes;
}

void tcp_facts(const struct tcb *tcb, struct tcp_facts *out)
{
    *out = (struct tcp_facts){
        .state = tcb->state,
        .mss = tcb->mss,
        .cwnd = tcb->cc.cwnd,
        .ssthresh = tcb->cc.ssthresh,
        .in_flight = tcb->pipe,
        .snd_wnd = tcb->snd_wnd,
        .rcv_wnd = (uint32_t)seq_diff(tcb->rcv_edge, tcb->rcv_nxt),
        .unread = tcb->rxq_bytes,
        .unsent = (uint32_t)min_u64(tcb->unsent, UINT32_MAX),
        .unacked = (uint32_t)min_u64(tcb->queued, UINT32_MAX),
        .srtt_us = (uint32_t)(tcb->srtt_ns / 1000),
        .rttvar_us = (uint32_t)(tcb->rttvar_ns / 1000),
        .rto_us = (uint32_t)(tcb->rto_ns / 1000),
        .min_rtt_us = (uint32_t)(tcb->min_rtt_ns / 1000),
        .rx_bytes = tcb->rx_bytes,
        .tx_bytes = tcb->tx_bytes,
        .retransmits = tcb->retransmits,
        .undos = tcb->undos,
        .holes = tcb->holes,
        .window_probes = tcb->window_probes,
    };
}
