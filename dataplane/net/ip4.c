/*
 * ip4.c - IPv4 in and out (RFC 791, 1122, 6864).
 *
 * Owner: worker.
 *
 * In: the header is checked whole, what Ethernet padded is cut off, source routes, fragments and
 * addresses nobody can have are dropped. Out: DF set, identification 0, TTL 64.
 * What it does not do: fragments are not reassembled (we send with DF and peers of TCP do too).
 */
#include "net_inside.h"

#include "checksum.h"

enum { IP_DF = 0x4000, IP_MF = 0x2000, IP_OFFSET = 0x1fff, IP_TTL = 64 };

static bool is_martian(const struct net *net, uint32_t ip)
{
    uint32_t mask = net->config.mask;
    bool is_near = ((ip ^ net->config.ip) & mask) == 0 && mask < 0xfffffffe;
    bool is_whole_net = (ip & ~mask) == 0 || (ip | mask) == 0xffffffff; /* itself, or broadcast */
    return ip >> 28 >= 0xe || ip >> 24 == 0 || ip >> 24 == 127 || ip == net->config.ip ||
           (is_near && is_whole_net);
}

/* Loose and strict source routes (RFC 6274 4.13.2). */
static bool has_source_route(const uint8_t *p, uint32_t n)
{
    for (uint32_t at = IP4_BYTES; at < n;) {
        uint8_t type = p[at];
        if (type == 0)
            return false;
        if (type == 1) {
            at++;
            continue;
        }
        if (type == 131 || type == 137)
            return true;
        if (at + 1 >= n || p[at + 1] < 2)
            return true; /* a list that breaks off may hide one */
        at += p[at + 1];
    }
    return false;
}

void ip4_input(struct net *net, struct pkt *pkt, const uint8_t *from_mac)
{
    const uint8_t *p = pkt->data;
    uint32_t head_n = pkt->n > 0 ? (p[0] & 15u) * 4 : 0;
    enum net_stat why = NET_STATS_N;
    if (pkt->n < IP4_BYTES || p[0] >> 4 != 4 || head_n < IP4_BYTES || head_n > pkt->n ||
        load_u16(p + 2) < head_n || load_u16(p + 2) > pkt->n ||
        !sum_is_good(head_n == IP4_BYTES ? sum_ip4(p) : sum_bytes(0, p, head_n))) {
        net_drop(net, pkt, NET_DROP_IP_HEADER);
        return;
    }
    uint32_t from = load_u32(p + 12), to = load_u32(p + 16);
    uint8_t protocol = p[9];
    if (to != net->config.ip)
        why = NET_DROP_NOT_MINE;
    else if (is_martian(net, from))
        why = NET_DROP_IP_MARTIAN;
    else if ((load_u16(p + 6) & (IP_MF | IP_OFFSET)) != 0)
        why = NET_DROP_IP_FRAGMENT;
    else if (head_n > IP4_BYTES && has_source_route(p, head_n))
        why = NET_DROP_IP_OPTION;
    else if (protocol != IP_TCP && protocol != IP_ICMP)
        why = NET_DROP_IP_PROTOCOL;
    if (why != NET_STATS_N) {
        net_drop(net, pkt, why);
        return;
    }
    pkt->n = load_u16(p + 2) - head_n; /* without what Ethernet padded */
    pkt->data += head_n;
    if (protocol == IP_TCP)
        tcp_input(net, pkt, from, to, from_mac);
    else
        icmp_input(net, pkt, from, from_mac);
}

/* An IPv4 header without options; total length and checksum are 0. */
void ip4_head_write(uint8_t *p, uint32_t from, uint32_t to, uint8_t protocol)
{
    store_u32(p, 0x45000000);
    store_u32(p + 4, IP_DF);
    p[8] = IP_TTL;
    p[9] = protocol;
    store_u16(p + 10, 0);
    store_u32(p + 12, from);
    store_u32(p + 16, to);
}

void ip4_route(struct net *net, struct pkt *pkt, uint32_t to)
{
    bool is_near = ((to ^ net->config.ip) & net->config.mask) == 0;
    arp_output(net, pkt, is_near || net->config.gateway == 0 ? to : net->config.gateway);
}

void ip4_output(struct net *net, struct pkt *pkt, uint32_t to, uint8_t protocol, const uint8_t *mac)
{
    pkt->data -= IP4_BYTES;
    pkt->n += IP4_BYTES;
    uint8_t *p = pkt->data;
    ip4_head_write(p, net->config.ip, to, protocol);
    store_u16(p + 2, (uint16_t)pkt_bytes(pkt));
    sum_store(p + 10, sum_finish(sum_ip4(p)));
    if (mac != NULL)
        eth_output(net, pkt, mac, ETHERTYPE_IP4);
    else
        ip4_route(net, pkt, to);
}
