/*
 * tcp_fast.c - header prediction: the segment that its connection expects next.
 *
 * Owner: worker.
 *
 * Compares whole words of the frame with what the connection knows the next one to look like, down
 * from Ethernet; only when everything fits, and both checksums do, is anything changed, and then to
 * what the steps of tcp_input.c would have made of it. So it may always say no:
 *
 *      established, nothing out of order, no FIN known, not an orphan
 *      IPv4 without options or fragments, TCP with the options that were agreed and no other
 *      flags ACK or ACK and PSH; the bytes are the next ones and in the window
 *      a timestamp that is not old; memory for the packet; the peer's window was not closed
 *      an ACK that says something new, when bytes are in flight, goes through loss_ack
 *
 * Words are compared in the order of the wire, without swapping: x86-64 is little-endian, so a mask
 * of a word's low bytes is one of its first bytes.
 */
#include "net_inside.h"

#include "checksum.h"

static uint64_t word64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t word32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint16_t word16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Unfragmented TCP in IPv4 without options, to us. */
static bool is_plain(const struct net *net, const uint8_t *p)
{
    return ((word64(p) ^ net->mac_word) & 0xffffffffffff) == 0 &&
           (word32(p + 12) & 0xffffff) == 0x450008 &&           /* EtherType, version, IHL       */
           (word32(p + 20) & 0xff00ffbf) == (uint32_t)IP_TCP << 24; /* DF may be set; protocol */
}

static bool is_for(const struct tcb *tcb, const uint8_t *p)
{
    return word64(p + 26) == tcb->in_ips && word32(p + 34) == tcb->in_ports;
}

/* Both checksums, as far as the NIC has not verified them. */
static bool sums_are_good(const struct net *net, const struct pkt *pkt, uint32_t tcp_n)
{
    const uint8_t *ip = pkt->data + ETH_BYTES;
    if ((pkt->flags & PKT_IP_GOOD) == 0 && !sum_is_good(sum_ip4(ip)))
        return false;
    if ((pkt->flags & PKT_SUM_GOOD) != 0 || net->config.no_rx_checksum)
        return true;
    uint64_t sum = word64(ip + 12);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum += __builtin_bswap16((uint16_t)tcp_n) + __builtin_bswap16(IP_TCP);
    return sum_is_good(sum_bytes(sum, ip + IP4_BYTES, tcp_n));
}

/* The peer's ACK and window, in a segment that is next in order. */
static void ack_take(struct tcb *tcb, const uint8_t *tcp, struct seq seq, struct seq ack,
                     uint32_t n)
{
    uint16_t wnd = load_u16(tcp + 14);
    if (!seq_eq(ack, tcb->snd_una)) {
        struct segment seg = {.seq = seq, .ack = ack, .n = n, .wnd = wnd, .flags = ACK};
        seg.opts.has_stamp = tcb->has_stamps;
        seg.opts.echo = tcb->has_stamps ? load_u32(tcp + TCP_BYTES + 8) : 0;
        loss_ack(tcb, &seg, tcb->snd_una);
        return;
    }
    tcb->probes_n = 0;
    tcb->snd_wnd = (uint32_t)wnd << tcb->snd_ws;
    tcb->snd_wnd_max = (uint32_t)max_u64(tcb->snd_wnd, tcb->snd_wnd_max);
    tcb->snd_wl1 = seq;
    tcb->snd_wl2 = ack;
    if (tcb->unsent > 0)
        tcb_dirty(tcb);
}

/* Whether the segment's numbers are the expected ones. */
static bool numbers_fit(const struct tcb *tcb, const uint8_t *tcp, uint32_t n)
{
    struct seq seq = {load_u32(tcp + 4)}, ack = {load_u32(tcp + 8)};
    uint32_t acked = ack.v - tcb->snd_una.v, in_flight = tcb->snd_nxt.v - tcb->snd_una.v;
    if (!seq_eq(seq, tcb->rcv_nxt) || acked > in_flight || acked + n == 0 || tcb->snd_wnd == 0 ||
        n > tcb->rcv_edge.v - seq.v || seq_lt(seq, tcb->snd_wl1))
        return false;
    return !tcb->has_stamps ||
           (int32_t)(load_u32(tcp + TCP_BYTES + 4) - tcb->stamp_recent) >= 0;
}

static bool is_usual(const struct tcb *tcb)
{
    return tcb->state == TCPS_ESTABLISHED && tcb->ooo == NULL && !tcb->has_fin && !tcb->is_orphan;
}

bool tcp_predict(struct net *net, struct pkt *pkt)
{
    struct tcb *tcb = net->last;
    const uint8_t *p = pkt->data, *tcp = p + ETH_BYTES + IP4_BYTES;
    if (tcb == NULL || pkt->n < tcb->head_n || !is_plain(net, p) || !is_for(tcb, p) ||
        !is_usual(tcb))
        return false;
    uint32_t tcp_n = (uint32_t)load_u16(p + 16) - IP4_BYTES, head_n = tcb->head_n;
    uint32_t n = tcp_n + ETH_BYTES + IP4_BYTES - head_n;
    bool has_stamp = !tcb->has_stamps || word32(tcp + TCP_BYTES) == 0x0a080101;
    if (n > pkt->n - head_n || (word16(tcp + 12) & ~(PSH << 8)) != tcb->in_offset || !has_stamp ||
        !numbers_fit(tcb, tcp, n) || (n > 0 && !reasm_has_room(tcb, pkt)) ||
        !sums_are_good(net, pkt, tcp_n))
        return false;
    count(net, NET_SEGMENTS_FAST);
    tcb->last_rx_ns = net->now_ns;
    if (tcb->has_stamps && seq_leq(tcb->rcv_nxt, tcb->acked_nxt)) {
        tcb->stamp_recent = load_u32(tcp + TCP_BYTES + 4);
        tcb->stamp_recent_ns = net->now_ns;
    }
    ack_take(tcb, tcp, tcb->rcv_nxt, (struct seq){load_u32(tcp + 8)}, n);
    if (n == 0) {
        pkt_put(pkt);
        return true;
    }
    pkt->data += head_n;
    pkt->n = n;
    reasm_next(tcb, pkt);
    return true;
}
