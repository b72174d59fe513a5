/*
 * time_wait.c - what is left of a connection for 2 MSL (RFC 9293 3.10.7.4, 6191, 1337).
 *
 * Owner: worker.
 *
 * A small entry in the flow table; the connection itself is free at once. Entries end in the order
 * they began, except that a retransmitted FIN begins the time anew. When all are used the oldest
 * goes. RSTs are ignored. A SYN with a newer timestamp, or a higher sequence number without
 * timestamps, ends the entry and opens a new connection.
 */
#include "net_inside.h"

static uint64_t wait_ns(const struct net *net)
{
    return net->config.time_wait_ms * NS_PER_MS;
}

static void wait_free(struct net *net, struct wait_entry *entry)
{
    flow_remove(net, wait_index(net, entry));
    list_del(&entry->link);
    list_append(&net->waits_free, &entry->link);
    net->waits_n--;
}

static void wait_ack(struct net *net, const struct wait_entry *entry)
{
    struct tcp_opts opts = {
        .has_stamp = entry->has_stamp,
        .stamp = stamp_now(net, entry->stamp_offset),
        .echo = entry->stamp_recent,
    };
    segment_send(net, &entry->flow, entry->mac, ACK, entry->snd_nxt, entry->rcv_nxt,
                 (uint16_t)min_u64(entry->wnd, UINT16_MAX), &opts);
}

void time_wait_enter(struct tcb *tcb)
{
    struct net *net = tcb->net;
    struct flow flow = tcb->flow;
    if (list_is_empty(&net->waits_free)) {
        count(net, NET_TIME_WAITS_EVICTED);
        wait_free(net, list_first(&net->waits, struct wait_entry, link));
    }
    struct wait_entry *entry = list_entry(list_pop(&net->waits_free), struct wait_entry, link);
    entry->due_ns = net->now_ns + wait_ns(net);
    entry->rcv_nxt = tcb->rcv_nxt;
    entry->snd_nxt = tcb->snd_nxt;
    entry->has_stamp = tcb->has_stamps;
    entry->stamp_recent = tcb->stamp_recent;
    entry->stamp_recent_ns = tcb->stamp_recent_ns;
    entry->stamp_offset = tcb->stamp_offset;
    entry->wnd = (uint32_t)seq_diff(tcb->rcv_edge, tcb->rcv_nxt) >> tcb->rcv_ws;
    memcpy(entry->mac, tcb->head, 6); /* the template begins with it */
    bool is_ack_due = tcb->is_ack_now;
    tcb_state_set(tcb, TCPS_TIME_WAIT);
    tcb_end(tcb, 0); /* out of the table, so that the entry takes its place */
    count(net, NET_TIME_WAITS);
    flow_add(net, wait_index(net, entry), flow.peer_ip, flow.peer_port, flow.port);
    list_append(&net->waits, &entry->link);
    net->waits_n++;
    if (is_ack_due)
        wait_ack(net, entry);
}

/* RFC 6191 2: may this SYN open a new connection? */
static bool is_newer(const struct wait_entry *entry, const struct segment *seg)
{
    if (entry->has_stamp && seg->opts.has_stamp)
        return (int32_t)(seg->opts.stamp - entry->stamp_recent) > 0 ||
               (seg->opts.stamp == entry->stamp_recent && seq_lt(entry->rcv_nxt, seg->seq));
    return seq_lt(entry->rcv_nxt, seg->seq);
}

bool time_wait_input(struct net *net, struct wait_entry *entry, const struct segment *seg)
{
    if ((seg->flags & RST) != 0)
        return false; /* RFC 1337 */
    if ((seg->flags & (SYN | ACK)) == SYN && is_newer(entry, seg)) {
        count(net, NET_TIME_WAITS_REUSED);
        wait_free(net, entry);
        return true;
    }
    struct seq end = seq_add(seg->seq, seg->n + ((seg->flags & FIN) != 0));
    if ((seg->flags & FIN) != 0 && seq_eq(end, entry->rcv_nxt)) {
        entry->due_ns = net->now_ns + wait_ns(net);
        list_del(&entry->link);
        list_append(&net->waits, &entry->link);
        wait_ack(net, entry);
        return false;
    }
    bool is_bare = seg->n == 0 && (seg->flags & (SYN | FIN)) == 0;
    if (is_bare && seq_eq(seg->seq, entry->rcv_nxt) && seq_eq(seg->ack, entry->snd_nxt))
        return false; /* an ACK in place needs no answer */
    if (limiter_take(&net->limit_challenge, net->now_ns))
        wait_ack(net, entry);
    return false;
}

void time_wait_turn(struct net *net)
{
    while (!list_is_empty(&net->waits)) {
        struct wait_entry *entry = list_first(&net->waits, struct wait_entry, link);
        if (entry->due_ns > net->now_ns)
            return;
        wait_free(net, entry);
    }
}
