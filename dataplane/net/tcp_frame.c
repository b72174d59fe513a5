/*
 * tcp_frame.c - building frames: headers, options, checksums, and out.
 *
 * Owner: worker.
 *
 * A connection has a template of its frames (tcb.head), with the addresses, ports and options that
 * never change, and the sums over them. What its frames of one turn have in common is written once
 * (struct frame: ACK, window, timestamps, lengths, checksums as far as they are known); a segment
 * then is a copy of it with its own SEQ. Segments that belong to no connection are written field by
 * field.
 */
#include "net_inside.h"

#include "checksum.h"

enum { TCP_AT = HEAD_AT + ETH_BYTES + IP4_BYTES }; /* of the TCP header in a packet */

/* ── without a connection ── */

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

const uint8_t *tcb_mac(const struct tcb *tcb)
{
    return tcb->has_mac ? tcb->head : NULL;
}

void tcb_hop_doubt(struct tcb *tcb)
{
    tcb->has_mac = false;
    arp_doubt(tcb->net, ip4_next_hop(tcb->net, tcb->flow.peer_ip));
}

/* The window to announce: it opens in steps of a segment or half the buffer (RFC 9293 3.8.6.2.2)
 * and never shrinks; rounded up to its scale, so that the peer's idea of the edge is ours. */
uint16_t tcb_window(struct tcb *tcb)
{
    const struct net_config *config = &tcb->net->config;
    uint32_t room = rx_room(tcb), step = config->mtu - IP4_BYTES - TCP_BYTES;
    uint32_t have = (uint32_t)max_i64(seq_diff(tcb->rcv_edge, tcb->rcv_nxt), 0);
    if (room > have && room - have >= min_u64(step, config->rcv_bytes / 2))
        have = room;
    uint32_t scaled =
        (uint32_t)min_u64(((uint64_t)have + (1u << tcb->rcv_ws) - 1) >> tcb->rcv_ws, UINT16_MAX);
    tcb->rcv_edge = seq_max(tcb->rcv_edge, seq_add(tcb->rcv_nxt, scaled << tcb->rcv_ws));
    return (uint16_t)scaled;
}

/* ── frames of a connection ── */

/* From the peer's SYN on every frame begins like this. */
void tcb_head_make(struct tcb *tcb, const uint8_t mac[6])
{
    const struct net_config *config = &tcb->net->config;
    uint8_t *p = tcb->head, *ip = p + ETH_BYTES, *tcp = ip + IP4_BYTES;
    memcpy(p, mac, 6); /* the rest is 0: a connection has one template */
    memcpy(p + 6, config->mac, 6);
    store_u16(p + 12, ETHERTYPE_IP4);
    ip4_head_write(ip, config->ip, tcb->flow.peer_ip, IP_TCP);
    store_u16(tcp, tcb->flow.port);
    store_u16(tcp + 2, tcb->flow.peer_port);
    tcb->head_n = HEADS_BYTES + (tcb->has_stamps ? STAMP_BYTES : 0);
    tcp[12] = (uint8_t)((tcb->head_n - ETH_BYTES - IP4_BYTES) << 2);
    tcp[13] = ACK;
    memcpy(&tcb->in_offset, tcp + 12, 2);
    if (tcb->has_stamps)
        store_u32(tcp + TCP_BYTES, 0x0101080a); /* as opts_write has it */
    /* In the peer's frames both addresses and both ports stand the other way round. */
    uint32_t from, to, ports;
    memcpy(&from, ip + 16, 4);
    memcpy(&to, ip + 12, 4);
    memcpy(&ports, tcp, 4);
    tcb->in_ips = (uint64_t)to << 32 | from;
    tcb->in_ports = ports << 16 | ports >> 16;
    tcb->head_ip_sum = sum_fold(sum_ip4(ip));
    tcb->head_tcp_sum = sum_fold(sum_pseudo(config->ip, tcb->flow.peer_ip, IP_TCP, 0));
    tcb->has_mac = true;
}

void frame_begin(struct tcb *tcb, struct frame *f, uint8_t flags)
{
    uint8_t *tcp = f->bytes + ETH_BYTES + IP4_BYTES;
    memcpy(f->bytes, tcb->head, HEAD_MAX);
    f->n = tcb->head_n;
    store_u32(tcp + 8, tcb->rcv_nxt.v);
    tcp[13] = flags;
    store_u16(tcp + 14, tcb_window(tcb));
    if (!tcb->has_stamps)
        return;
    store_u32(tcp + TCP_BYTES + 4, stamp_now(tcb->net, tcb->stamp_offset));
    store_u32(tcp + TCP_BYTES + 8, tcb->stamp_recent);
}

void frame_sacks_write(struct tcb *tcb, struct frame *f)
{
    struct tcp_opts opts = {0};
    uint8_t *tcp = f->bytes + ETH_BYTES + IP4_BYTES;
    opts.sacks_n = reasm_sacks(tcb, &opts, tcb->has_stamps ? 3 : 4);
    f->n += opts_write(f->bytes + f->n, &opts, false);
    tcp[12] = (uint8_t)((f->n - ETH_BYTES - IP4_BYTES) << 2);
}

/* What depends on the length of the payload. */
void frame_size(const struct tcb *tcb, struct frame *f, uint32_t payload_n)
{
    uint8_t *ip = f->bytes + ETH_BYTES, *tcp = ip + IP4_BYTES;
    uint32_t tcp_n = f->n - ETH_BYTES - IP4_BYTES + payload_n;
    uint16_t ip_n = (uint16_t)(IP4_BYTES + tcp_n);
    store_u16(ip + 2, ip_n);
    sum_store(ip + 10, sum_finish((uint64_t)tcb->head_ip_sum + __builtin_bswap16(ip_n)));
    uint64_t sum = (uint64_t)tcb->head_tcp_sum + __builtin_bswap16((uint16_t)tcp_n);
    f->sum_field = sum_fold(sum);
    if (!tcb->net->config.has_tx_checksum)
        f->sum = sum_bytes(sum, tcp, f->n - ETH_BYTES - IP4_BYTES);
}

/* Checksum, and out. Bytes behind the headers are payload that was copied. */
void frame_send(struct tcb *tcb, const struct frame *f, struct pkt *pkt)
{
    struct net *net = tcb->net;
    uint8_t *tcp = pkt->data + ETH_BYTES + IP4_BYTES;
    if (net->config.has_tx_checksum) {
        pkt->flags |= PKT_TX_SUM;
        sum_store(tcp + 16, f->sum_field);
    } else {
        uint32_t at = pkt->n - f->n;
        uint64_t more = (uint64_t)(tcp[13] ^ f->bytes[ETH_BYTES + IP4_BYTES + 13]) << 8;
        uint64_t sum = sum_carry(f->sum, sum_bytes(more, tcp + 4, 4));
        sum = at > 0 ? sum_carry(sum, sum_bytes(0, pkt->data + f->n, at)) : sum;
        for (uint32_t i = 0; i < pkt->pieces_n; at += pkt->pieces[i++].n)
            sum = sum_piece(sum, pkt->pieces[i].ptr, pkt->pieces[i].n, at);
        sum_store(tcp + 16, sum_finish(sum));
    }
    if (likely(tcb->has_mac)) {
        pkt_queue_append(&net->out, pkt);
        return;
    }
    pkt->data += ETH_BYTES;
    pkt->n -= ETH_BYTES;
    ip4_route(net, pkt, tcb->flow.peer_ip);
}
