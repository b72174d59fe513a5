/*
 * fuzz_net_wire.c - any frames, at any times, into an engine with a listener and a connection.
 *
 * Input: pieces of [kind, ms, n, n bytes]. Kind 0: the bytes are a frame. 1: an IP packet in a good
 * frame. 2: TCP from the port after the fixed part, with good IP. 3: the same on the established
 * connection, numbers relative to what it expects. 4: the application reads, sends or shuts.
 * Checksums are not verified, so mutations get far. The engine may answer a frame with a bounded
 * number of frames, and afterwards everything must come back.
 */
#include "fuzz.h"

#include "net_inside.h"

enum { ME = 0x0a000001, PEER = 0x0a000002, OUT_MAX = 4096 };
static const uint8_t mac_me[6] = {2, 0, 0, 0, 0, 1}, mac_peer[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t payload[4096];

struct fuzz {
    struct net *net;
    struct now now;
    struct tcb *tcb;
    uint32_t iss;
    uint64_t in_n, out_n;
};

static void fuzz_news(struct fuzz *f)
{
    uint32_t news;
    for (struct tcb *tcb; (tcb = net_news_next(f->net, &news)) != NULL;) {
        if (f->tcb == NULL && (news & TCP_NEWS_CLOSED) == 0)
            f->tcb = tcb;
        else if (tcb != f->tcb)
            tcp_release(tcb);
        else if ((news & TCP_NEWS_CLOSED) != 0) {
            tcp_release(tcb);
            f->tcb = NULL;
        }
    }
}

static void fuzz_turn(struct fuzz *f)
{
    fuzz_news(f);
    net_turn(f->net, f->now);
    for (struct pkt *pkt; (pkt = net_output_next(f->net)) != NULL; f->out_n++) {
        uint8_t frame[PKT_ROOM];
        uint32_t n = pkt_copy(pkt, frame);
        if (n >= 54 && frame[47] == (SYN | ACK))
            f->iss = load_u32(frame + 38);
        pkt_put(pkt);
    }
    fuzz_news(f);
    list_for_each(l, next, &f->net->tcbs_open)
        tcb_invariants(list_entry(l, struct tcb, link));
}

/* The bytes end at the end of the room, where a guard stands. */
static struct pkt *fuzz_packet(struct fuzz *f, uint32_t n)
{
    struct pkt *pkt = net_packet_take(f->net);
    if (pkt == NULL)
        return NULL;
    pkt->data = pkt->room + PKT_ROOM - n;
    pkt->n = n;
    memset(pkt->data, 0, n);
    return pkt;
}

static void fuzz_heads(struct fuzz *f, uint8_t kind, struct pkt *pkt, const uint8_t *tcp)
{
    uint8_t *p = pkt->data, *ip = p + ETH_BYTES;
    memcpy(p, mac_me, 6);
    memcpy(p + 6, mac_peer, 6);
    store_u16(p + 12, ETHERTYPE_IP4);
    if (kind < 2)
        return;
    ip[0] = 0x45;
    store_u16(ip + 2, (uint16_t)(pkt->n - ETH_BYTES));
    ip[9] = IP_TCP;
    store_u32(ip + 12, PEER);
    store_u32(ip + 16, ME);
    uint16_t sum = 0;
    uint32_t all = 0;
    for (int i = 0; i < 20; i += 2)
        all += load_u16(ip + i);
    sum = (uint16_t)~((all & 0xffff) + (all >> 16));
    store_u16(ip + 10, sum);
    uint8_t *t = ip + IP4_BYTES;
    store_u16(t, 40000);
    store_u16(t + 2, 9092);
    if (kind == 3 && f->tcb != NULL) {
        store_u32(t + 4, f->tcb->rcv_nxt.v + (uint32_t)(int32_t)load_i16(tcp + 2) % 4096);
        store_u32(t + 8, f->tcb->snd_una.v + (uint32_t)(int32_t)load_i16(tcp + 6) % 4096);
    }
}

static void fuzz_frame(struct fuzz *f, uint8_t kind, const uint8_t *bytes, uint32_t n)
{
    static const uint32_t heads[4] = {0, ETH_BYTES, ETH_BYTES + IP4_BYTES + 4,
                                      ETH_BYTES + IP4_BYTES + 4};
    uint32_t head_n = heads[kind];
    struct pkt *pkt = kind == 3 && n < 16 ? NULL : fuzz_packet(f, head_n + n);
    if (pkt == NULL)
        return;
    memcpy(pkt->data + head_n, bytes, n);
    if (kind > 0)
        fuzz_heads(f, kind, pkt, bytes);
    f->in_n++;
    net_input(f->net, pkt, f->now);
}

static void fuzz_app(struct fuzz *f, const uint8_t *bytes, uint32_t n)
{
    struct slice v[4];
    if (f->tcb == NULL || n == 0)
        return;
    switch (bytes[0] % 4) {
    case 0:
        for (uint32_t got = tcp_read(f->tcb, v, 4, n * 100); got > 0; got--)
            slice_put(&v[got - 1]);
        break;
    case 1:
        v[0] = (struct slice){payload, n * 16, NULL};
        (void)!tcp_send(f->tcb, v, 1);
        break;
    case 2: tcp_shutdown(f->tcb); break;
    default:
        tcp_release(f->tcb);
        f->tcb = NULL;
        break;
    }
}

static void fuzz_handshake(struct fuzz *f)
{
    static const uint8_t syn[] = {0, 0, 3, 232, 0,  0, 0, 0, 0xa0, SYN, 255, 255, 0, 0, 0, 0, 2, 4,
                                  5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 2};
    uint8_t ack[28] = {0, 0, 3, 233, 0,   0, 0, 0,  0x80, ACK, 255, 255, 0, 0,
                       0, 0, 1, 1,   8, 10, 0, 0, 0, 2, 0, 0, 0, 0};
    fuzz_frame(f, 2, syn, sizeof syn);
    fuzz_turn(f);
    store_u32(ack + 4, f->iss + 1);
    fuzz_frame(f, 2, ack, sizeof ack);
    fuzz_turn(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz f = {.now = {NS_PER_S, 0}};
    struct net_config config = {.ip = ME, .mask = 0xffffff00, .tcbs_max = 4, .syns_max = 2,
                                .time_waits_max = 2, .packets_max = 64, .heads_max = 64,
                                .extents_max = 64, .records_max = 64, .rcv_bytes = 16384,
                                .no_rx_checksum = true, .seed = 3};
    memcpy(config.mac, mac_me, 6);
    check(net_init(&f.net, &config, f.now) == 0);
    check(net_listen(f.net, 9092, 4, NULL) == 0);
    fuzz_handshake(&f);
    for (size_t at = 0; at + 3 <= n;) {
        uint8_t kind = data[at] % 5;
        f.now.ns += data[at + 1] < 128 ? data[at + 1] * NS_PER_MS
                                       : (uint64_t)(data[at + 1] - 127) * 100 * NS_PER_MS;
        uint32_t bytes = (uint32_t)min_u64(data[at + 2], n - at - 3);
        if (kind == 4)
            fuzz_app(&f, data + at + 3, bytes);
        else
            fuzz_frame(&f, kind, data + at + 3, bytes);
        fuzz_turn(&f);
        at += 3 + bytes;
        check(f.out_n < 100 * (f.in_n + 10) + n * 64);
    }
    if (f.tcb != NULL)
        tcp_abort(f.tcb);
    for (int i = 0; i < 40; i++) {
        fuzz_turn(&f);
        f.now.ns += 30 * NS_PER_S;
    }
    check(f.net->tcbs_n == 0 && f.net->waits_n == 0 && f.net->syns_n == 0 && f.net->rx_held == 0);
    check(f.net->big.free_n == f.net->big.n && f.net->recs_out_n == 0 && f.net->exts_out_n == 0);
    net_fini(f.net);
    return 0;
}
