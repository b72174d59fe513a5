/*
 * bench_net_scale.c - the TCP/IP engine with many connections: nanoseconds and memory.
 *
 * Owner: main, one thread.
 *
 *   bench_net_scale            1, 100, 10,000, 100,000 and 1,000,000 connections
 *   bench_net_scale N...       those numbers
 *
 * Every burst is of other connections, in an order that no prefetcher guesses, 16 of them: so from
 * some ten thousand on, nothing of a connection is in a cache when its segment comes.
 *   receive  two segments of 1448 bytes of each, read by reference, one ACK for each
 *   send     two segments of 1448 bytes to each, and the ACK of each
 * Times are of the engine, per segment of payload, without making the frames; checksums count as
 * the NIC's. Memory is what the process grew by, and so has everything in it.
 */
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "net_frames.h"

enum { CONNS = 16, EACH = 2, MSS = 1448, BURST = CONNS * EACH, PORTS = 50000 };

/* Owner: main. */
struct scale {
    struct net *net;
    struct now now;
    uint32_t conns_n, at, step;
    struct frame_peer *peers;
    struct tcb **tcbs;
    uint32_t chosen[CONNS];
};

static uint8_t payload[EACH * MSS];

static uint64_t memory_bytes(void)
{
    unsigned long all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    check(f != NULL && fscanf(f, "%lu %lu", &all, &resident) == 2);
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint32_t drain(struct scale *s)
{
    uint32_t iss = 0;
    for (struct pkt *pkt; (pkt = net_output_next(s->net)) != NULL;) {
        iss = load_u32(pkt->data + ETH_BYTES + IP4_BYTES + 4);
        pkt_put(pkt);
    }
    return iss;
}

static void conn_open(struct scale *s, uint32_t i)
{
    struct frame_peer *peer = &s->peers[i];
    uint32_t news;
    *peer = (struct frame_peer){
        .ip = BENCH_PEER + i / PORTS, .port = (uint16_t)(10000 + i % PORTS), .seq = i * 7919};
    net_input(s->net, frame_make(s->net, peer, SYN, 0), s->now);
    peer->ack = drain(s) + 1;
    net_input(s->net, frame_make(s->net, peer, ACK, 0), s->now);
    s->tcbs[i] = net_news_next(s->net, &news);
    check(s->tcbs[i] != NULL);
    s->tcbs[i]->quick_n = 0;
}

/* The connections of the next burst. */
static void conns_choose(struct scale *s)
{
    for (uint32_t i = 0; i < CONNS; i++) {
        s->at = (uint32_t)(((uint64_t)s->at + s->step) % s->conns_n);
        s->chosen[i] = s->at;
    }
}

static uint64_t receive_round(struct scale *s)
{
    struct pkt *v[BURST];
    struct slice slices[BURST];
    uint32_t news;
    for (uint32_t i = 0; i < BURST; i++)
        v[i] = frame_make(s->net, &s->peers[s->chosen[i / EACH]], ACK, MSS);
    uint64_t begin = clock_read_ns();
    net_input_burst(s->net, v, BURST, s->now);
    for (struct tcb *tcb; (tcb = net_news_next(s->net, &news)) != NULL;)
        for (uint32_t n = tcp_read(tcb, slices, BURST, UINT64_MAX); n > 0; n--)
            slice_put(&slices[n - 1]);
    net_turn(s->net, s->now);
    drain(s);
    return clock_read_ns() - begin;
}

static uint64_t send_round(struct scale *s)
{
    struct pkt *v[CONNS];
    struct slice slice = {payload, sizeof payload, NULL};
    uint32_t news, conns_n = (uint32_t)min_u64(CONNS, s->conns_n);
    uint64_t begin = clock_read_ns(), ns;
    for (uint32_t i = 0; i < conns_n; i++)
        check(tcp_send(s->tcbs[s->chosen[i]], &slice, 1) == 0);
    net_turn(s->net, s->now);
    drain(s);
    ns = clock_read_ns() - begin;
    for (uint32_t i = 0; i < conns_n; i++) {
        s->peers[s->chosen[i]].ack += (uint32_t)sizeof payload;
        v[i] = frame_make(s->net, &s->peers[s->chosen[i]], ACK, 0);
    }
    begin = clock_read_ns();
    net_input_burst(s->net, v, conns_n, s->now);
    while (net_news_next(s->net, &news) != NULL) {
    }
    net_turn(s->net, s->now);
    drain(s);
    return ns + clock_read_ns() - begin;
}

static double rounds_run(struct scale *s, uint64_t (*round)(struct scale *), uint32_t per)
{
    uint32_t rounds_n = (uint32_t)max_u64(4000, min_u64(s->conns_n / CONNS, 40000));
    uint64_t ns = 0;
    for (uint32_t i = 0; i < rounds_n; i++) {
        s->now.ns += 10 * NS_PER_US;
        conns_choose(s);
        ns += round(s);
    }
    return (double)ns / ((double)rounds_n * per);
}

static void scale_run(uint32_t conns_n)
{
    uint64_t before = memory_bytes();
    struct net_config config = {.ip = BENCH_ME,
                                .mask = 0xffffff00,
                                .has_tx_checksum = true,
                                .tcbs_max = (uint32_t)max_u64(conns_n, 16),
                                .keepalive_ms = 3600 * 1000,
                                .seed = 1};
    struct scale s = {.now = {1000 * NS_PER_S, 0}, .conns_n = conns_n};
    memcpy(config.mac, bench_mac_me, 6);
    s.step = conns_n < 3 ? 1 : (uint32_t)(conns_n * 0.618) | 1;
    while (conns_n > 1 && s.step % 5 == 0)
        s.step += 2; /* without a common divisor: numbers of connections are powers of ten */
    check(net_init(&s.net, &config, s.now) == 0);
    check(net_listen(s.net, BENCH_PORT, 1000, NULL) == 0);
    s.peers = calloc(conns_n, sizeof *s.peers);
    s.tcbs = calloc(conns_n, sizeof *s.tcbs);
    check(s.peers != NULL && s.tcbs != NULL);
    uint64_t begin = clock_read_ns();
    for (uint32_t i = 0; i < conns_n; i++)
        conn_open(&s, i);
    double open_ns = (double)(clock_read_ns() - begin) / conns_n;
    uint64_t own = conns_n * (sizeof *s.peers + sizeof *s.tcbs);
    double bytes = ((double)memory_bytes() - (double)before - (double)own) / conns_n;
    double receive_ns = rounds_run(&s, receive_round, BURST);
    uint32_t sent = (uint32_t)min_u64(CONNS, conns_n) * EACH;
    double send_ns = rounds_run(&s, send_round, sent);
    printf("%9u connections: %6.0f ns opened, %6.1f ns received, %6.1f ns sent", conns_n, open_ns,
           receive_ns, send_ns);
    if (conns_n >= 10000)
        printf(", %5.0f bytes each", bytes);
    printf("\n");
    for (uint32_t i = 0; i < conns_n; i++)
        tcp_release(s.tcbs[i]);
    net_turn(s.net, s.now);
    drain(&s);
    net_fini(s.net);
    free(s.peers);
    free(s.tcbs);
}

int main(int argc, char **argv)
{
    static const uint32_t usual[] = {1, 100, 10000, 100000, 1000000};
    if (argc == 1)
        for (size_t i = 0; i < array_n(usual); i++)
            scale_run(usual[i]);
    for (int i = 1; i < argc; i++)
        scale_run((uint32_t)strtoul(argv[i], NULL, 10));
    return 0;
}
