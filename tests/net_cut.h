/*
 * net_cut.h - what a NIC makes of a packet: adds checksums, cuts what stands for several segments.
 *
 * Owner: the test or simulator that includes it. A packet without PKT_TX_SUM goes as it is. Of one
 * with PKT_TX_TSO everything a device relies on is checked here: whole headers in the view, the
 * pseudo header's sum without a length, at least two segments, at most 64 KiB of IPv4.
 */
#ifndef MILLRACE_NET_CUT_H
#define MILLRACE_NET_CUT_H

#include "checksum.h"
#include "net_inside.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* not every test needs all of it */

static uint32_t cut_head_n(const struct pkt *pkt)
{
    return HEADS_BYTES - TCP_BYTES + (uint32_t)(pkt->data[HEADS_BYTES - TCP_BYTES + 12] >> 4) * 4;
}

static uint32_t cut_payload_n(const struct pkt *pkt)
{
    return pkt_bytes(pkt) - cut_head_n(pkt);
}

/* Frames it becomes. */
static uint32_t cut_parts_n(const struct pkt *pkt)
{
    if ((pkt->flags & PKT_TX_TSO) == 0)
        return 1;
    return (cut_payload_n(pkt) + pkt->segment_n - 1) / pkt->segment_n;
}

static uint32_t cut_part_payload_n(const struct pkt *pkt, uint32_t part)
{
    return (uint32_t)min_u64(pkt->segment_n, cut_payload_n(pkt) - part * pkt->segment_n);
}

/* Bytes of frame number `part`. */
static uint32_t cut_bytes(const struct pkt *pkt, uint32_t part)
{
    if ((pkt->flags & PKT_TX_TSO) == 0)
        return pkt_bytes(pkt);
    return cut_head_n(pkt) + cut_part_payload_n(pkt, part);
}

/* `n` bytes of the pieces from byte `from` on. */
static void cut_payload_copy(const struct pkt *pkt, uint32_t from, uint32_t n, uint8_t *to)
{
    for (uint32_t i = 0; i < pkt->pieces_n && n > 0; i++) {
        const struct slice *s = &pkt->pieces[i];
        if (from >= s->n) {
            from -= s->n;
            continue;
        }
        uint32_t here = (uint32_t)min_u64(n, s->n - from);
        memcpy(to, s->ptr + from, here);
        to += here;
        n -= here;
        from = 0;
    }
    check(n == 0);
}

static void cut_check(const struct pkt *pkt)
{
    const uint8_t *ip = pkt->data + ETH_BYTES;
    uint16_t pseudo, field;
    check((pkt->flags & PKT_TX_SUM) != 0 && pkt->segment_n >= MSS_MIN);
    check(pkt->n == cut_head_n(pkt) && cut_payload_n(pkt) >= 2u * pkt->segment_n);
    check(load_u16(ip + 2) == pkt_bytes(pkt) - ETH_BYTES); /* which has 16 bits */
    check(sum_is_good(sum_bytes(0, ip, IP4_BYTES)));
    pseudo = sum_fold(sum_pseudo(load_u32(ip + 12), load_u32(ip + 16), IP_TCP, 0));
    memcpy(&field, ip + IP4_BYTES + 16, 2);
    check(pseudo == field);
}

static void cut_sum_write(uint8_t *tcp, uint64_t more, uint32_t n)
{
    sum_store(tcp + 16, sum_finish(sum_carry(sum_bytes(0, tcp, n), more)));
}

/* Frame number `part` as it stands on the wire; returns its bytes. `to` has room for them. */
static uint32_t cut_copy(const struct pkt *pkt, uint32_t part, uint8_t *to)
{
    uint8_t *ip = to + ETH_BYTES, *tcp = ip + IP4_BYTES;
    if ((pkt->flags & PKT_TX_TSO) == 0) {
        uint32_t n = pkt_copy(pkt, to);
        if ((pkt->flags & PKT_TX_SUM) != 0)
            cut_sum_write(tcp, 0, n - ETH_BYTES - IP4_BYTES);
        return n;
    }
    cut_check(pkt);
    uint32_t head_n = cut_head_n(pkt), n = cut_part_payload_n(pkt, part);
    uint32_t tcp_n = head_n - ETH_BYTES - IP4_BYTES + n;
    memcpy(to, pkt->data, head_n);
    cut_payload_copy(pkt, part * pkt->segment_n, n, to + head_n);
    store_u16(ip + 2, (uint16_t)(IP4_BYTES + tcp_n));
    store_u16(ip + 4, (uint16_t)(load_u16(ip + 4) + part));
    store_u16(ip + 10, 0);
    sum_store(ip + 10, sum_finish(sum_bytes(0, ip, IP4_BYTES)));
    store_u32(tcp + 4, load_u32(tcp + 4) + part * pkt->segment_n);
    if (part + 1 < cut_parts_n(pkt))
        tcp[13] &= (uint8_t) ~(PSH | FIN);
    cut_sum_write(tcp, __builtin_bswap16((uint16_t)tcp_n), tcp_n);
    return head_n + n;
}

#endif
