/*
 * net_peer.h - one engine and a peer made by hand: segments as values, time as a number.
 *
 * Owner: the test. Numbers are relative: `seq` to the peer's initial number, `ack` to the engine's;
 * peer_turn collects what the engine sent in `out`, in the same terms.
 */
#ifndef MILLRACE_NET_PEER_H
#define MILLRACE_NET_PEER_H

#include "unit.h"

#include "net_cut.h"

#ifdef PEER_TSO /* the same tests by way of a device that cuts */
#define PEER_TSO_BYTES 65535
#else
#define PEER_TSO_BYTES 0
#endif

#pragma GCC diagnostic ignored "-Wunused-function" /* not every test needs all of it */

enum { PEER_OUT_MAX = 256, PEER_IP = 0x0a000002, OUR_IP = 0x0a000001, PEER_PORT = 40000 };
enum { OUR_PORT = 9092, PEER_ISS = 1000 };

struct wire {
    uint8_t flags;
    uint32_t seq, ack, n;
    uint16_t wnd;
    struct tcp_opts opts;
};

struct peer {
    struct net *net;
    struct net_config config;
    uint64_t now_ns;
    uint32_t iss; /* the engine's */
    uint16_t port, engine_port;
    struct tcb *tcb;
    struct wire out[PEER_OUT_MAX];
    uint32_t out_n, arps_n, icmps_n;
    uint32_t large_n; /* packets that were cut */
    uint32_t news;    /* bits of all news of tcb */
    bool has_stamp;
    uint32_t stamp, engine_stamp;
    struct pkt *held[PEER_OUT_MAX]; /* is_holding: the NIC has not sent them yet */
    uint32_t held_n;
    bool is_holding;
    bool answers_arp, was_asked;
};

static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t zeros[1 << 20];

static struct now peer_now(const struct peer *p)
{
    return (struct now){p->now_ns, 0};
}

static struct peer *peer_make(struct net_config config)
{
    struct peer *p = calloc(1, sizeof *p);
    assert_non_null(p);
    memcpy(config.mac, our_mac, 6);
    config.ip = OUR_IP;
    config.mask = 0xffffff00;
    config.seed = 5;
    if (PEER_TSO_BYTES > 0) {
        config.tso_bytes = PEER_TSO_BYTES;
        config.has_tx_checksum = true;
    }
    p->config = config;
    p->now_ns = 1000 * NS_PER_S;
    p->port = PEER_PORT;
    p->engine_port = OUR_PORT;
    assert_int_equal(net_init(&p->net, &config, peer_now(p)), 0);
    assert_int_equal(net_listen(p->net, OUR_PORT, 8, NULL), 0);
    return p;
}

static void peer_free(struct peer *p)
{
    for (uint32_t i = 0; i < p->held_n; i++)
        pkt_put(p->held[i]);
    struct pkt *pkt;
    while ((pkt = net_output_next(p->net)) != NULL)
        pkt_put(pkt);
    net_fini(p->net);
    free(p);
}

/* ── to the engine ── */

static struct pkt *frame_make(struct peer *p, uint16_t type)
{
    struct pkt *pkt = net_packet_take(p->net);
    assert_non_null(pkt);
    memcpy(pkt->data, our_mac, 6);
    memcpy(pkt->data + 6, peer_mac, 6);
    store_u16(pkt->data + 12, type);
    pkt->n = ETH_BYTES;
    return pkt;
}

static void ip_write(uint8_t *ip, uint8_t protocol, uint32_t n)
{
    memset(ip, 0, IP4_BYTES);
    ip[0] = 0x45;
    store_u16(ip + 2, (uint16_t)(IP4_BYTES + n));
    ip[8] = 64;
    ip[9] = protocol;
    store_u32(ip + 12, PEER_IP);
    store_u32(ip + 16, OUR_IP);
    sum_store(ip + 10, sum_finish(sum_bytes(0, ip, IP4_BYTES)));
}

static void tcp_sum_write(uint8_t *tcp, uint32_t n)
{
    store_u16(tcp + 16, 0);
    uint64_t sum = sum_bytes(sum_pseudo(PEER_IP, OUR_IP, IP_TCP, n), tcp, n);
    sum_store(tcp + 16, sum_finish(sum));
}

static struct pkt *segment_make(struct peer *p, const struct wire *w)
{
    struct pkt *pkt = frame_make(p, ETHERTYPE_IP4);
    uint8_t *tcp = pkt->data + ETH_BYTES + IP4_BYTES;
    uint32_t opts_n = opts_write(tcp + TCP_BYTES, &w->opts, (w->flags & SYN) != 0);
    uint32_t n = TCP_BYTES + opts_n + w->n;
    store_u16(tcp, p->port);
    store_u16(tcp + 2, p->engine_port);
    store_u32(tcp + 4, w->seq + PEER_ISS);
    store_u32(tcp + 8, (w->flags & ACK) != 0 ? w->ack + p->iss : 0);
    store_u16(tcp + 12, (uint16_t)((TCP_BYTES + opts_n) / 4 << 12 | w->flags));
    store_u16(tcp + 14, w->wnd);
    store_u32(tcp + 16, 0);
    for (uint32_t i = 0; i < w->n; i++)
        tcp[TCP_BYTES + opts_n + i] = (uint8_t)(w->seq + i);
    tcp_sum_write(tcp, n);
    ip_write(pkt->data + ETH_BYTES, IP_TCP, n);
    pkt->n += IP4_BYTES + n;
    return pkt;
}

static void peer_send_wire(struct peer *p, const struct wire *w)
{
    net_input(p->net, segment_make(p, w), peer_now(p));
}

/* A segment of an established connection. */
static void peer_send(struct peer *p, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t n)
{
    struct wire w = {.flags = flags, .seq = seq, .ack = ack, .n = n, .wnd = 65535};
    w.opts.has_stamp = p->has_stamp;
    w.opts.stamp = ++p->stamp;
    w.opts.echo = p->engine_stamp;
    peer_send_wire(p, &w);
}

/* An ACK with SACK blocks [from, to), pairs that end with 0. */
static void peer_sack(struct peer *p, uint32_t ack, const uint32_t *blocks)
{
    struct wire w = {.flags = ACK, .seq = 1, .ack = ack, .wnd = 65535};
    w.opts.has_stamp = p->has_stamp;
    w.opts.stamp = ++p->stamp;
    w.opts.echo = p->engine_stamp;
    for (; blocks[1] != 0; blocks += 2) {
        w.opts.sacks[w.opts.sacks_n].from = (struct seq){blocks[0] + p->iss};
        w.opts.sacks[w.opts.sacks_n++].to = (struct seq){blocks[1] + p->iss};
    }
    peer_send_wire(p, &w);
}

/* ── from the engine ── */

static void peer_receive(struct peer *p, const struct pkt *pkt, uint32_t part)
{
    uint8_t frame[PKT_ROOM];
    uint32_t n = cut_copy(pkt, part, frame);
    if (load_u16(frame + 12) == ETHERTYPE_ARP) {
        p->arps_n++;
        p->was_asked = p->answers_arp && load_u32(frame + ETH_BYTES + 24) == PEER_IP;
        return;
    }
    const uint8_t *ip = frame + ETH_BYTES, *tcp = ip + IP4_BYTES;
    assert_true(sum_is_good(sum_bytes(0, ip, IP4_BYTES)));
    assert_int_equal(load_u16(ip + 2) + ETH_BYTES, n);
    if (ip[9] == IP_ICMP) {
        p->icmps_n++;
        return;
    }
    uint32_t tcp_n = n - ETH_BYTES - IP4_BYTES, head_n = (uint32_t)(tcp[12] >> 4) * 4;
    assert_true(sum_is_good(sum_bytes(sum_pseudo(OUR_IP, PEER_IP, IP_TCP, tcp_n), tcp, tcp_n)));
    assert_true(p->out_n < PEER_OUT_MAX);
    struct wire *w = &p->out[p->out_n++];
    bool is_bad;
    *w = (struct wire){.flags = tcp[13], .wnd = load_u16(tcp + 14), .n = tcp_n - head_n};
    opts_parse(tcp + TCP_BYTES, head_n - TCP_BYTES, &w->opts, &is_bad);
    assert_false(is_bad);
    if ((w->flags & SYN) != 0)
        p->iss = load_u32(tcp + 4);
    w->seq = load_u32(tcp + 4) - p->iss;
    w->ack = load_u32(tcp + 8) - PEER_ISS;
    if (w->opts.has_stamp)
        p->engine_stamp = w->opts.stamp;
    p->engine_port = load_u16(tcp);
}

static void peer_drain(struct peer *p)
{
    for (struct pkt *pkt; (pkt = net_output_next(p->net)) != NULL;) {
        p->large_n += (pkt->flags & PKT_TX_TSO) != 0;
        for (uint32_t part = 0; part < cut_parts_n(pkt); part++)
            peer_receive(p, pkt, part);
        if (p->is_holding)
            p->held[p->held_n++] = pkt;
        else
            pkt_put(pkt);
    }
}

static void peer_arp_reply(struct peer *p)
{
    static const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, 2};
    struct pkt *pkt = frame_make(p, ETHERTYPE_ARP);
    uint8_t *arp = pkt->data + ETH_BYTES;
    memset(arp, 0, 28);
    memcpy(arp, head, sizeof head);
    memcpy(arp + 8, peer_mac, 6);
    store_u32(arp + 14, PEER_IP);
    store_u32(arp + 24, OUR_IP);
    pkt->n += 28;
    net_input(p->net, pkt, peer_now(p));
}

/* One turn `ns` later; `out` holds what the engine sent in it. */
static void peer_turn_ns(struct peer *p, uint64_t ns)
{
    uint32_t news;
    p->now_ns += ns;
    p->out_n = 0;
    net_turn(p->net, peer_now(p));
    for (struct tcb *tcb; (tcb = net_news_next(p->net, &news)) != NULL;) {
        p->tcb = p->tcb == NULL ? tcb : p->tcb;
        p->news |= tcb == p->tcb ? news : 0;
    }
    p->was_asked = false;
    peer_drain(p);
    if (p->was_asked)
        peer_arp_reply(p);
    peer_drain(p);
}

static void peer_turn(struct peer *p)
{
    peer_turn_ns(p, 0);
}

/* Turns of a millisecond until something was sent, at most `ms`. */
static uint32_t peer_wait(struct peer *p, uint32_t ms)
{
    for (uint32_t i = 1; i <= ms; i++) {
        peer_turn_ns(p, NS_PER_MS);
        if (p->out_n > 0)
            return i;
    }
    return 0;
}

static const struct wire *out_at(const struct peer *p, uint32_t at)
{
    assert_true(at < p->out_n);
    return &p->out[at];
}

/* Exactly one segment went out: these flags and numbers. */
static void expect_one(const struct peer *p, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t n)
{
    assert_int_equal(p->out_n, 1);
    assert_int_equal(p->out[0].flags & ~PSH, flags);
    assert_int_equal(p->out[0].seq, seq);
    if ((flags & ACK) != 0)
        assert_int_equal(p->out[0].ack, ack);
    assert_int_equal(p->out[0].n, n);
}

/* ── states ── */

static void peer_syn(struct peer *p, bool has_sack, bool has_stamp)
{
    struct wire syn = {.flags = SYN, .wnd = 65535};
    syn.opts = (struct tcp_opts){.has_mss = true, .mss = 1460, .has_sack_ok = has_sack};
    syn.opts.has_stamp = p->has_stamp = has_stamp;
    syn.opts.stamp = p->stamp = 100;
    peer_send_wire(p, &syn);
}

static struct peer *established_with(struct net_config config, bool has_sack, bool has_stamp)
{
    struct peer *p = peer_make(config);
    peer_turn(p);
    peer_syn(p, has_sack, has_stamp);
    peer_turn(p);
    assert_int_equal(p->out_n, 1);
    assert_int_equal(p->out[0].flags, SYN | ACK);
    p->now_ns += 10 * NS_PER_MS;
    peer_send(p, ACK, 1, 1, 0);
    peer_turn(p);
    assert_non_null(p->tcb);
    assert_int_equal(p->tcb->state, TCPS_ESTABLISHED);
    p->answers_arp = true;
    p->tcb->quick_n = 0; /* tests of delayed ACKs begin behind the first segments */
    return p;
}

static struct peer *established(void)
{
    return established_with((struct net_config){0}, true, false);
}

static void engine_send(struct peer *p, uint32_t n)
{
    struct slice s = {zeros, n, NULL};
    assert_int_equal(tcp_send(p->tcb, &s, 1), 0);
    peer_turn(p);
}

static uint64_t engine_read(struct peer *p)
{
    struct slice v[16];
    uint64_t bytes = 0;
    for (uint32_t n; (n = tcp_read(p->tcb, v, 16, UINT64_MAX)) > 0;)
        for (uint32_t i = 0; i < n; i++) {
            bytes += v[i].n;
            slice_put(&v[i]);
        }
    return bytes;
}

/* A connection in the state, as the peer sees it. The peer's next number is 1 or, when its FIN was
 * taken, 2; the engine's likewise. */
static struct peer *in_state(enum tcp_state state)
{
    struct peer *p = established();
    switch (state) {
    case TCPS_ESTABLISHED: break;
    case TCPS_FIN_WAIT_1:
    case TCPS_FIN_WAIT_2:
    case TCPS_CLOSING:
        tcp_shutdown(p->tcb);
        peer_turn(p);
        if (state == TCPS_FIN_WAIT_2)
            peer_send(p, ACK, 1, 2, 0);
        if (state == TCPS_CLOSING)
            peer_send(p, FIN | ACK, 1, 1, 0);
        break;
    case TCPS_CLOSE_WAIT:
    case TCPS_LAST_ACK:
        peer_send(p, FIN | ACK, 1, 1, 0);
        peer_turn(p);
        if (state == TCPS_LAST_ACK)
            tcp_shutdown(p->tcb);
        break;
    default: fail();
    }
    peer_turn(p);
    assert_int_equal(p->tcb->state, state);
    return p;
}

#endif
