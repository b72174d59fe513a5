/*
 * icmp.c - ICMP for IPv4 (RFC 792, 1122, 1191), with the care of RFC 5927.
 *
 * Owner: worker.
 *
 * Echo requests are answered, at a limited rate. An error must quote a segment of ours that may be
 * in flight, or it is dropped: then "fragmentation needed" lowers the connection's segment size,
 * and "unreachable" ends an open that waits for the peer's SYN; in any later state it is only
 * counted, because retransmission decides (RFC 1122 4.2.3.9, soft error).
 */
#include "net_inside.h"

#include "checksum.h"

enum {
    ICMP_BYTES = 8,
    ICMP_ECHO_REPLY = 0,
    ICMP_UNREACHABLE = 3,
    ICMP_ECHO = 8,
    UNREACHABLE_PROTOCOL = 2,
    UNREACHABLE_PORT = 3,
    UNREACHABLE_FRAGMENT = 4,
    MTU_MIN = 576, /* what an unauthenticated message may lower it to */
};

static void echo_answer(struct net *net, struct pkt *pkt, uint32_t from, const uint8_t *from_mac)
{
    if (!limiter_take(&net->limit_echo, net->now_ns)) {
        net_drop(net, pkt, NET_DROP_ICMP_LIMIT);
        return;
    }
    uint8_t mac[6];
    memcpy(mac, from_mac, 6); /* it lies where the headers of the answer go */
    pkt->data[0] = ICMP_ECHO_REPLY;
    store_u16(pkt->data + 2, 0);
    sum_store(pkt->data + 2, sum_finish(sum_bytes(0, pkt->data, pkt->n)));
    ip4_output(net, pkt, from, IP_ICMP, mac);
}

/* The connection an error speaks of; NULL when it quotes nothing that may be in flight. */
static struct tcb *error_tcb(struct net *net, const uint8_t *p, uint32_t n)
{
    if (n < IP4_BYTES + 8 || p[0] >> 4 != 4)
        return NULL;
    uint32_t head_n = (p[0] & 15u) * 4;
    if (head_n < IP4_BYTES || n < head_n + 8 || p[9] != IP_TCP ||
        load_u32(p + 12) != net->config.ip)
        return NULL;
    const uint8_t *tcp = p + head_n;
    uint32_t peer = load_u32(p + 16), hash;
    hash = flow_hash(net, peer, load_u16(tcp + 2), load_u16(tcp));
    int32_t at = flow_find(net, hash, peer, load_u16(tcp + 2), load_u16(tcp));
    struct tcb *tcb = at == FLOW_NONE ? NULL : tcb_at(net, at);
    if (tcb == NULL || !tcb_is_in_flight(tcb, (struct seq){load_u32(tcp + 4)}))
        return NULL;
    return tcb;
}

void icmp_input(struct net *net, struct pkt *pkt, uint32_t from, const uint8_t *from_mac)
{
    const uint8_t *p = pkt->data;
    if (pkt->n < ICMP_BYTES || !sum_is_good(sum_bytes(0, p, pkt->n))) {
        net_drop(net, pkt, NET_DROP_ICMP);
        return;
    }
    if (p[0] == ICMP_ECHO && p[1] == 0) {
        echo_answer(net, pkt, from, from_mac);
        return;
    }
    struct tcb *tcb = NULL;
    if (p[0] == ICMP_UNREACHABLE)
        tcb = error_tcb(net, p + ICMP_BYTES, pkt->n - ICMP_BYTES);
    if (tcb == NULL) {
        net_drop(net, pkt, NET_DROP_ICMP);
        return;
    }
    if (p[1] == UNREACHABLE_FRAGMENT) {
        uint16_t mtu = load_u16(p + 6);
        if (mtu >= MTU_MIN && mtu < net->config.mtu)
            tcb_mss_lower(tcb, (uint16_t)(mtu - IP4_BYTES - TCP_BYTES));
    } else if (tcb->state == TCPS_SYN_SENT &&
               (p[1] == UNREACHABLE_PORT || p[1] == UNREACHABLE_PROTOCOL)) {
        tcb_end(tcb, E_CLOSED);
    }
    pkt_put(pkt);
}
