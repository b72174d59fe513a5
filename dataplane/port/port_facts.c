/*
 * port_facts.c - what a port does itself and what we do for it: chosen from what the device says of
 * itself, and printed.
 *
 * Owner: main, at the start.
 */
#include "port_inside.h"

#include "pkt.h"
#undef unused /* DPDK has a parameter of that name */

#include <rte_ethdev.h>
#include <rte_mbuf.h>

enum {
    TX_HEADERS_MAX = 134, /* Ethernet, a tag, IPv4 and TCP with all its options */
    TSO_BYTES_MAX = 65535 - 20 - 60,
};

/* Packets that the device cuts: as large as it and our copies allow; NULL, or why there are none.
 */
static const char *tso_choose(struct port_facts *f, const struct rte_eth_dev_info *info,
                              bool is_wished, struct rte_eth_conf *conf)
{
    uint64_t tx = info->tx_offload_capa, parts_n = info->tx_desc_lim.nb_seg_max;
    uint64_t pieces_n = min_u64(parts_n, info->tx_desc_lim.nb_mtu_seg_max);

    if (!is_wished)
        return "dpdk.tso=false";
    if ((tx & RTE_ETH_TX_OFFLOAD_TCP_TSO) == 0)
        return "the device has none";
    if ((f->offloads & PORT_TX_SUM) == 0 || (f->offloads & PORT_TX_PIECES) == 0)
        return "the device cannot add the checksums, or not gather";
    if (parts_n < 3 || pieces_n < 2)
        return "the device takes too few pieces";
    parts_n = min_u64(parts_n, PORT_TX_PARTS_MAX);
    f->tso_bytes = (uint32_t)min_u64(TSO_BYTES_MAX,
                                     parts_n * (f->room_n - RTE_PKTMBUF_HEADROOM) - TX_HEADERS_MAX);
    f->tso_pieces = (uint8_t)min_u64(pieces_n - 1, PKT_PIECES_MAX);
    f->offloads |= PORT_TX_TSO;
    conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
    conf->txmode.offloads |= tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
    return NULL;
}

void port_offloads_choose(struct port_facts *f, const struct rte_eth_dev_info *info, bool has_tso,
                          struct rte_eth_conf *conf)
{
    uint64_t tx = info->tx_offload_capa, rx = info->rx_offload_capa;

    if ((rx & RTE_ETH_RX_OFFLOAD_TCP_CKSUM) != 0) {
        conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
        f->offloads |= PORT_RX_SUM;
    }
    /* net_tap 22.11 computes checksums on the CPU as well, and sends the first piece twice when it
     * ends with the TCP header, as ours do, and as those do that its TSO makes. */
    bool has_sum = (tx & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0 && strcmp(f->driver, "net_tap") != 0;
    if (has_sum) {
        conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
        f->offloads |= PORT_TX_SUM;
    }
    if ((tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0) {
        conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
        f->offloads |= PORT_TX_PIECES;
    }
    f->tso_why_not = tso_choose(f, info, has_tso, conf);
    uint64_t hash = RTE_ETH_RSS_NONFRAG_IPV4_TCP & info->flow_type_rss_offloads;
    if (f->queues_n > 1 && hash != 0) {
        uint8_t key_n = info->hash_key_size != 0 ? info->hash_key_size : 40;
        conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf->rx_adv_conf.rss_conf =
            (struct rte_eth_rss_conf){.rss_key = f->rss_key,
                                      .rss_key_len = (uint8_t)min_u64(key_n, f->rss_key_n),
                                      .rss_hf = hash};
        f->offloads |= PORT_RSS;
    }
}

static void tso_print(const struct port_facts *f, FILE *to)
{
    if ((f->offloads & PORT_TX_TSO) != 0)
        fprintf(to, "port     %s: TSO: packets of up to %u bytes are cut by the device\n", f->name,
                f->tso_bytes);
    else
        fprintf(to, "port     %s: no TSO: %s\n", f->name, f->tso_why_not);
}

void port_facts_print(const struct port_facts *f, const struct port_config *p, bool does_wake,
                      bool use_huge, FILE *to)
{
    const uint8_t *m = f->mac;

    fprintf(to,
            "port     %s (%s%s%s): %02x:%02x:%02x:%02x:%02x:%02x, %u.%u.%u.%u, mtu %u, %u of %u "
            "queues, memory %s\n",
            f->name, f->driver, p->devargs[0] != 0 ? ", " : "", p->devargs, m[0], m[1], m[2], m[3],
            m[4], m[5], p->ip >> 24, p->ip >> 16 & 255, p->ip >> 8 & 255, p->ip & 255, f->mtu,
            f->queues_n, p->queues_n, use_huge ? "in huge pages" : "without huge pages");
    fprintf(to,
            "port     %s: TCP checksum received %s, sent %s; payload sent %s; flows spread %s; "
            "idle: %s%s%s\n",
            f->name, (f->offloads & PORT_RX_SUM) != 0 ? "by the device" : "in software",
            (f->offloads & PORT_TX_SUM) != 0 ? "by the device" : "in software",
            (f->offloads & PORT_TX_REFERENCE) != 0 ? "by reference" : "by copy",
            p->queues_n == 1                ? "not needed"
            : (f->offloads & PORT_RSS) != 0 ? "by the device, corrected in software"
                                            : "in software",
            does_wake ? "sleeps until a packet comes" : "looks every 4 ms",
            f->why_not[0] != 0 ? "; " : "", f->why_not);
    tso_print(f, to);
}
