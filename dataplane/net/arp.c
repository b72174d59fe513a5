/*
 * arp.c - hardware addresses of neighbours (RFC 826), and saying ours (RFC 5227).
 *
 * Owner: worker.
 *
 * A table of ARP_N entries, one place per address hash. An entry begins by our own question, or by
 * a question to us; a reply we did not ask for only refreshes what is known. So nobody can fill the
 * table by talking. Unresolved entries hold at most ARP_QUEUE_N packets, ask once a second, three
 * times, then let go. A known entry that was used is asked about again after a minute, and serves
 * meanwhile; one that was not used, or does not answer, goes. ARP has no checksum, and addresses
 * move: when timeouts follow each other, their connection has its neighbour asked again at once.
 */
#include "net_inside.h"

enum {
    ARP_BYTES = 28,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
    ARP_TRIES = 3,
};
#define ARP_AGE_NS (60 * NS_PER_S)

static struct arp_entry *arp_place(struct net *net, uint32_t ip)
{
    return &net->arp[(ip ^ (ip >> 6) ^ (ip >> 12)) % ARP_N];
}

static void arp_send(struct net *net, uint16_t op, const uint8_t to_mac[6], const uint8_t mac[6],
                     uint32_t ip)
{
    struct pkt *pkt = pkt_take(&net->head, HEAD_AT + ETH_BYTES);
    if (pkt == NULL) {
        count(net, NET_NO_HEAD);
        return;
    }
    uint8_t *p = pkt->data;
    store_u16(p, 1);
    store_u16(p + 2, ETHERTYPE_IP4);
    p[4] = 6;
    p[5] = 4;
    store_u16(p + 6, op);
    memcpy(p + 8, net->config.mac, 6);
    store_u32(p + 14, net->config.ip);
    memcpy(p + 18, mac, 6);
    store_u32(p + 24, ip);
    pkt->n = ARP_BYTES;
    eth_output(net, pkt, to_mac, ETHERTYPE_ARP);
}

static const uint8_t mac_all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t mac_none[6];

void arp_announce(struct net *net)
{
    if (net->config.ip != 0)
        arp_send(net, ARP_REQUEST, mac_all, mac_none, net->config.ip);
}

static void arp_queue_drop(struct net *net, struct arp_entry *entry)
{
    for (struct pkt *pkt; (pkt = pkt_queue_pop(&entry->queue)) != NULL;)
        net_drop(net, pkt, NET_DROP_ARP_QUEUE);
    entry->queue_n = 0;
}

void arp_fini(struct net *net)
{
    for (int i = 0; i < ARP_N; i++)
        arp_queue_drop(net, &net->arp[i]);
}

static void arp_ask(struct net *net, struct arp_entry *entry)
{
    entry->due_ns = net->now_ns + NS_PER_S;
    entry->tries++;
    arp_send(net, ARP_REQUEST, mac_all, mac_none, entry->ip);
}

static void arp_learn(struct net *net, struct arp_entry *entry, const uint8_t mac[6])
{
    memcpy(entry->mac, mac, 6);
    entry->is_known = true;
    entry->tries = 0;
    entry->due_ns = net->now_ns + ARP_AGE_NS;
    for (struct pkt *pkt; (pkt = pkt_queue_pop(&entry->queue)) != NULL;)
        eth_output(net, pkt, entry->mac, ETHERTYPE_IP4);
    entry->queue_n = 0;
}

void arp_input(struct net *net, struct pkt *pkt)
{
    const uint8_t *p = pkt->data;
    if (pkt->n < ARP_BYTES || load_u16(p) != 1 || load_u16(p + 2) != ETHERTYPE_IP4 || p[4] != 6 ||
        p[5] != 4) {
        net_drop(net, pkt, NET_DROP_ARP);
        return;
    }
    uint16_t op = load_u16(p + 6);
    uint32_t from = load_u32(p + 14), to = load_u32(p + 24);
    const uint8_t *mac = p + 8;
    bool is_near = ((from ^ net->config.ip) & net->config.mask) == 0;
    if ((mac[0] & 1) != 0 || from == net->config.ip || (from != 0 && !is_near)) {
        net_drop(net, pkt, NET_DROP_ARP);
        return;
    }
    struct arp_entry *entry = arp_place(net, from);
    bool is_ours = entry->is_used && entry->ip == from;
    if (from != 0 && is_ours) {
        arp_learn(net, entry, mac);
    } else if (from != 0 && op == ARP_REQUEST && to == net->config.ip && !entry->is_used) {
        *entry = (struct arp_entry){.ip = from, .is_used = true};
        arp_learn(net, entry, mac);
    }
    if (op == ARP_REQUEST && to == net->config.ip)
        arp_send(net, ARP_REPLY, mac, mac, from);
    pkt_put(pkt);
}

const uint8_t *arp_find(struct net *net, uint32_t ip)
{
    struct arp_entry *entry = arp_place(net, ip);
    return entry->is_used && entry->is_known && entry->ip == ip ? entry->mac : NULL;
}

void arp_output(struct net *net, struct pkt *pkt, uint32_t next_hop)
{
    struct arp_entry *entry = arp_place(net, next_hop);
    if (!entry->is_used || entry->ip != next_hop) {
        arp_queue_drop(net, entry); /* two neighbours of one place take turns */
        *entry = (struct arp_entry){.ip = next_hop, .is_used = true};
        arp_ask(net, entry);
    }
    entry->is_wanted = true;
    if (entry->is_known) {
        eth_output(net, pkt, entry->mac, ETHERTYPE_IP4);
        return;
    }
    if (entry->queue_n == ARP_QUEUE_N) {
        net_drop(net, pkt, NET_DROP_ARP_QUEUE);
        return;
    }
    pkt_queue_append(&entry->queue, pkt);
    entry->queue_n++;
}

void arp_doubt(struct net *net, uint32_t next_hop)
{
    struct arp_entry *entry = arp_place(net, next_hop);
    if (!entry->is_used || entry->ip != next_hop || !entry->is_known || entry->tries > 0)
        return;
    entry->is_wanted = true;
    entry->due_ns = net->now_ns;
}

void arp_turn(struct net *net)
{
    if (net->now_ns < net->arp_due_ns)
        return;
    net->arp_due_ns = net->now_ns + NS_PER_S / 10; /* entries need no better */
    for (int i = 0; i < ARP_N; i++) {
        struct arp_entry *entry = &net->arp[i];
        if (!entry->is_used || net->now_ns < entry->due_ns)
            continue;
        if (entry->is_wanted && entry->tries < ARP_TRIES) {
            entry->is_wanted = !entry->is_known; /* until somebody sends to it again */
            arp_ask(net, entry);
            continue;
        }
        arp_queue_drop(net, entry);
        entry->is_used = false;
    }
}
