/*
 * net_frames.h - frames as a peer of the TCP/IP engine sends them, for its benchmarks.
 *
 * Owner: main, one thread.
 */
#ifndef MILLRACE_NET_FRAMES_H
#define MILLRACE_NET_FRAMES_H

#include "net_inside.h"

enum { BENCH_ME = 0x0a000001, BENCH_PEER = 0x0a000002, BENCH_PORT = 9092 };

static const uint8_t bench_mac_me[6] = {2, 0, 0, 0, 0, 1}, bench_mac_peer[6] = {2, 0, 0, 0, 0, 2};

/* What a peer knows of its connection. Owner: main. */
struct frame_peer {
    uint32_t ip, seq, ack, stamp, echo;
    uint16_t port;
};

/* A segment with timestamps, and with n bytes of payload of any content. Its checksums count as
 * verified by the NIC. */
static inline struct pkt *frame_make(struct net *net, struct frame_peer *f, uint8_t flags,
                                     uint32_t n)
{
    struct pkt *pkt = net_packet_take(net);
    check(pkt != NULL);
    uint8_t *p = pkt->data, *ip = p + ETH_BYTES, *tcp = ip + IP4_BYTES;
    uint32_t opts_n = (flags & SYN) != 0 ? 20 : STAMP_BYTES;
    struct tcp_opts opts = {.has_mss = true,
                            .mss = 1460,
                            .has_sack_ok = true,
                            .has_stamp = true,
                            .has_wscale = true,
                            .wscale = 7,
                            .stamp = ++f->stamp,
                            .echo = f->echo};
    memcpy(p, bench_mac_me, 6);
    memcpy(p + 6, bench_mac_peer, 6);
    store_u16(p + 12, ETHERTYPE_IP4);
    memset(ip, 0, IP4_BYTES);
    ip[0] = 0x45;
    store_u16(ip + 2, (uint16_t)(IP4_BYTES + TCP_BYTES + opts_n + n));
    ip[8] = 64;
    ip[9] = IP_TCP;
    store_u32(ip + 12, f->ip);
    store_u32(ip + 16, BENCH_ME);
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += load_u16(ip + i);
    sum = (sum & 0xffff) + (sum >> 16);
    store_u16(ip + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
    store_u16(tcp, f->port);
    store_u16(tcp + 2, BENCH_PORT);
    store_u32(tcp + 4, f->seq);
    store_u32(tcp + 8, (flags & ACK) != 0 ? f->ack : 0);
    store_u16(tcp + 12, (uint16_t)((TCP_BYTES + opts_n) / 4 << 12 | flags));
    store_u16(tcp + 14, 65535);
    store_u32(tcp + 16, 0);
    check(opts_write(tcp + TCP_BYTES, &opts, (flags & SYN) != 0) == opts_n);
    pkt->n = ETH_BYTES + IP4_BYTES + TCP_BYTES + opts_n + n;
    pkt->flags = PKT_SUM_GOOD | PKT_IP_GOOD;
    f->seq += n + ((flags & (SYN | FIN)) != 0);
    return pkt;
}

#endif
