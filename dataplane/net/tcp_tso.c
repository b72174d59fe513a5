/*
 * tcp_tso.c - several segments in one packet, for a device that cuts it (TSO).
 *
 * Owner: worker.
 *
 * A row of segments (struct tx_rec) is one thing to the connection already: it is sent at one time
 * and split between segments when they fare differently. Here a row of new full segments leaves as
 * one packet, or a few, instead of one for each. What the packet lacks, the device adds: see
 * PKT_TX_TSO. What is sent again goes segment by segment, as does what is probed with.
 *
 * Bounds of one packet: what the device takes (tso_bytes, tso_pieces), PKT_PIECES_MAX, and 65,535
 * bytes of IPv4. It has whole segments, two at least. Memory it refers to is free when the device
 * has sent all of them and the peer has acknowledged them.
 */
#include "net_inside.h"

#include "checksum.h"

enum { IP4_PACKET_MAX = 65535 };

/* How many of n bytes from (ext, at) on lie in so many pieces. */
static uint32_t gathered_n(const struct tx_ext *ext, uint32_t at, uint32_t n, uint32_t pieces)
{
    uint32_t got = 0;
    for (; got < n && pieces > 0; at = 0, ext = ext->next, pieces--)
        got += (uint32_t)min_u64(n - got, ext->slice.n - at);
    return got;
}

/* Lengths of the whole; the TCP checksum field has the pseudo header's sum without one. */
static void large_size(const struct tcb *tcb, struct pkt *pkt, uint32_t n)
{
    uint8_t *ip = pkt->data + ETH_BYTES, *tcp = ip + IP4_BYTES;
    uint16_t ip_n = (uint16_t)(pkt->n - ETH_BYTES + n);
    store_u16(ip + 2, ip_n);
    sum_store(ip + 10, sum_finish((uint64_t)tcb->head_ip_sum + __builtin_bswap16(ip_n)));
    sum_store(tcp + 16, (uint16_t)tcb->head_tcp_sum);
}

uint32_t large_send(struct tcb *tcb, const struct frame *f, struct seq seq,
                    const struct tx_ext *ext, uint32_t at, uint32_t segments, bool is_end)
{
    struct net *net = tcb->net;
    const struct net_config *config = &net->config;
    uint32_t mss = tcb->mss, pieces_max = config->tso_pieces;
    uint64_t most = min_u64(config->tso_bytes, IP4_PACKET_MAX - (f->n - ETH_BYTES));
    uint32_t n = (uint32_t)min_u64(most, (uint64_t)segments * mss);
    n = gathered_n(ext, at, n, pieces_max) / mss * mss;
    if (n < 2 * mss)
        return 0;
    struct pkt *pkt = pkt_take(&net->head, HEAD_AT);
    if (unlikely(pkt == NULL))
        return 0;
    frame_write(f, pkt, seq, is_end && n == segments * mss ? PSH : 0);
    payload_attach(pkt, ext, at, n);
    large_size(tcb, pkt, n);
    pkt->flags = PKT_TX_SUM | PKT_TX_TSO;
    pkt->segment_n = (uint16_t)mss;
    pkt_queue_append(&net->out, pkt);
    count(net, NET_LARGE_SENT);
    return n / mss;
}
