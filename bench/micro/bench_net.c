/*
 * bench_net.c - instructions of the TCP/IP engine per segment and per connection.
 *
 * Owner: main, one thread.
 *
 *   bench_net count N   each case N times, for tools/budget.py (callgrind)
 *   bench_net           nanoseconds per operation, and the memory of an idle connection
 *
 * A burst is 16 segments of 1448 bytes with timestamps, as a peer with MTU 1500 sends them. Frames
 * are made outside the cases. "sum": checksums in software, else the NIC has verified or will add
 * them.
 */
#include <stdio.h>

#include "clock.h"
#include "net_frames.h"

enum { BURST = 16, MSS = 1448, PORT = BENCH_PORT, REQUEST_BYTES = 100, ANSWER_BYTES = 1000 };

/* Owner: main. */
struct bench {
    struct net *net;
    struct now now;
    struct tcb *tcb;
    uint32_t iss, seq, ack, stamp, echo;
    uint16_t port;
    struct pkt *burst[BURST];
    bool has_sums;
};

static uint8_t *payload;

static __attribute__((noinline)) struct pkt *frame_new(struct bench *b, uint8_t flags, uint32_t n)
{
    struct frame_peer peer = {BENCH_PEER, b->seq, b->iss + b->ack, b->stamp, b->echo, b->port};
    struct pkt *pkt = frame_make(b->net, &peer, flags, n);
    b->seq = peer.seq;
    b->stamp = peer.stamp;
    if (b->has_sums)
        pkt->flags = 0;
    return pkt;
}

static void output_drain(struct bench *b)
{
    for (struct pkt *pkt; (pkt = net_output_next(b->net)) != NULL;) {
        const uint8_t *tcp = pkt->data + ETH_BYTES + IP4_BYTES;
        if (pkt->n > 54 && (tcp[13] & SYN) != 0)
            b->iss = load_u32(tcp + 4);
        pkt_put(pkt);
    }
}

/* Bytes arrive, are read by reference, and are acknowledged by one segment. */
static inline void receive_burst(struct bench *b)
{
    struct slice v[BURST];
    uint32_t news;
    net_input_burst(b->net, b->burst, BURST, b->now);
    while (net_news_next(b->net, &news) != NULL) {
    }
    for (uint32_t n = tcp_read(b->tcb, v, BURST, UINT64_MAX); n > 0; n--)
        slice_put(&v[n - 1]);
    net_turn(b->net, b->now);
    output_drain(b);
}

static __attribute__((noinline)) void case_receive_burst_16(struct bench *b)
{
    receive_burst(b);
}

static __attribute__((noinline)) void case_receive_burst_16_sum(struct bench *b)
{
    receive_burst(b);
}

/* Bytes are given by reference, leave, come back from the NIC, and are acknowledged by one ACK. */
static inline void send_burst(struct bench *b)
{
    struct slice s = {payload, BURST * MSS, NULL};
    uint32_t news;
    check(tcp_send(b->tcb, &s, 1) == 0);
    net_turn(b->net, b->now);
    output_drain(b);
    net_input(b->net, b->burst[0], b->now);
    net_turn(b->net, b->now);
    while (net_news_next(b->net, &news) != NULL) {
    }
}

static __attribute__((noinline)) void case_send_burst_16(struct bench *b)
{
    send_burst(b);
}

static __attribute__((noinline)) void case_send_burst_16_sum(struct bench *b)
{
    send_burst(b);
}

/* The same 16 segments in one packet that the NIC cuts. */
static __attribute__((noinline)) void case_send_large_16(struct bench *b)
{
    send_burst(b);
}

/* The same, but the peer acknowledges every second segment; its ACKs come in one burst. */
static __attribute__((noinline)) void case_send_burst_16_acks_8(struct bench *b)
{
    struct slice s = {payload, BURST * MSS, NULL};
    uint32_t news;
    check(tcp_send(b->tcb, &s, 1) == 0);
    net_turn(b->net, b->now);
    output_drain(b);
    net_input_burst(b->net, b->burst, BURST / 2, b->now);
    net_turn(b->net, b->now);
    while (net_news_next(b->net, &news) != NULL) {
    }
}

/* Rows of two segments, as when each ACK comes alone and lets two more go: the worst of bulk. */
static __attribute__((noinline)) void case_send_clocked_16(struct bench *b)
{
    struct slice s = {payload, 2 * MSS, NULL};
    uint32_t news;
    for (int i = 0; i < BURST / 2; i++) {
        check(tcp_send(b->tcb, &s, 1) == 0);
        net_turn(b->net, b->now);
        output_drain(b);
        net_input(b->net, b->burst[i], b->now);
        net_turn(b->net, b->now);
        while (net_news_next(b->net, &news) != NULL) {
        }
    }
}

/* A request of 100 bytes, which acknowledges the answer before, and its answer of 1000. */
static __attribute__((noinline)) void case_request_answer(struct bench *b)
{
    struct slice v[1], s = {payload, ANSWER_BYTES, NULL};
    uint32_t news;
    net_input(b->net, b->burst[0], b->now);
    while (net_news_next(b->net, &news) != NULL) {
    }
    check(tcp_read(b->tcb, v, 1, UINT64_MAX) == 1);
    check(tcp_send(b->tcb, &s, 1) == 0);
    slice_put(&v[0]);
    net_turn(b->net, b->now);
    output_drain(b);
}

/* A frame made before our initial number was known. */
static inline void acking_input(struct bench *b, int at, uint32_t ack)
{
    store_u32(b->burst[at]->data + ETH_BYTES + IP4_BYTES + 8, b->iss + ack);
    net_input(b->net, b->burst[at], b->now);
}

/* Handshake from the peer, its FIN, ours, its ACK: four frames in, three out. */
static __attribute__((noinline)) void case_open_close(struct bench *b)
{
    uint32_t news;
    struct tcb *tcb;
    net_input(b->net, b->burst[0], b->now);
    output_drain(b);
    acking_input(b, 1, 1);
    while ((tcb = net_news_next(b->net, &news)) != NULL)
        b->tcb = tcb;
    acking_input(b, 2, 1);
    net_turn(b->net, b->now);
    output_drain(b);
    while (net_news_next(b->net, &news) != NULL) {
    }
    tcp_release(b->tcb);
    net_turn(b->net, b->now);
    output_drain(b);
    acking_input(b, 3, 2);
}

/* ── running ── */

static void bench_open(struct bench *b, bool has_sums, bool is_connected)
{
    uint32_t news;
    struct net_config config = {.ip = BENCH_ME,
                                .mask = 0xffffff00,
                                .has_tx_checksum = !has_sums,
                                .no_rx_checksum = false,
                                .tcbs_max = 20000,
                                .seed = 1};
    memcpy(config.mac, bench_mac_me, 6);
    *b = (struct bench){.now = {1000 * NS_PER_S, 0}, .port = 20000, .seq = 5000};
    check(net_init(&b->net, &config, b->now) == 0);
    check(net_listen(b->net, PORT, 1000, NULL) == 0);
    if (!is_connected)
        return;
    net_input(b->net, frame_new(b, SYN, 0), b->now);
    output_drain(b);
    b->ack = 1;
    net_input(b->net, frame_new(b, ACK, 0), b->now);
    while (b->tcb == NULL)
        b->tcb = net_news_next(b->net, &news);
    b->tcb->quick_n = 0;
    b->tcb->cc.cwnd = 1 << 20;
    b->has_sums = false;
}

/* The checksum of a frame made here, for the cases that verify it. */
static void frame_sum(struct pkt *pkt)
{
    uint32_t at = ETH_BYTES + IP4_BYTES, sum = 6 + pkt->n - at;
    for (uint32_t i = ETH_BYTES + 12; i < pkt->n; i += 2)
        sum += i + 1 < pkt->n ? load_u16(pkt->data + i) : (uint32_t)pkt->data[i] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
    store_u16(pkt->data + at + 16, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
    pkt->flags = 0;
}

static void receive_prepare(struct bench *b, bool has_sums)
{
    for (int i = 0; i < BURST; i++) {
        b->burst[i] = frame_new(b, ACK, MSS);
        if (has_sums)
            frame_sum(b->burst[i]);
    }
}

static void send_prepare(struct bench *b, bool has_sums)
{
    b->ack += BURST * MSS;
    b->burst[0] = frame_new(b, ACK, 0);
    if (has_sums)
        frame_sum(b->burst[0]);
}

static void acks_prepare(struct bench *b, bool has_sums)
{
    (void)has_sums;
    for (int i = 0; i < BURST / 2; i++) {
        b->ack += 2 * MSS;
        b->burst[i] = frame_new(b, ACK, 0);
    }
}

static void request_prepare(struct bench *b, bool has_sums)
{
    (void)has_sums;
    b->burst[0] = frame_new(b, ACK | PSH, REQUEST_BYTES);
    b->ack += ANSWER_BYTES;
}

static void open_close_prepare(struct bench *b, bool has_sums)
{
    static const uint8_t flags[4] = {SYN, ACK, FIN | ACK, ACK};
    (void)has_sums;
    b->port++;
    for (int i = 0; i < 4; i++)
        b->burst[i] = frame_new(b, flags[i], 0);
}

struct bench_case {
    const char *name;
    void (*prepare)(struct bench *b, bool has_sums);
    void (*run)(struct bench *b);
    bool has_sums;
    int per;
    uint32_t tso_bytes;
};

static const struct bench_case cases[] = {
    {"receive_segment", receive_prepare, case_receive_burst_16, false, BURST, 0},
    {"receive_segment_sum", receive_prepare, case_receive_burst_16_sum, true, BURST, 0},
    {"send_segment", send_prepare, case_send_burst_16, false, BURST, 0},
    {"send_segment_sum", send_prepare, case_send_burst_16_sum, true, BURST, 0},
    {"send_segment_tso", send_prepare, case_send_large_16, false, BURST, 65535},
    {"send_segment_acks_8", acks_prepare, case_send_burst_16_acks_8, false, BURST, 0},
    {"send_segment_clocked", acks_prepare, case_send_clocked_16, false, BURST, 0},
    {"request_answer", request_prepare, case_request_answer, false, 1, 0},
    {"open_close", open_close_prepare, case_open_close, false, 1, 0},
};

static void case_run(const struct bench_case *c, uint64_t n, bool is_timed)
{
    struct bench *b = malloc(sizeof *b);
    uint64_t ns = 0;
    check(b != NULL);
    bool is_connected = c->run != case_open_close;
    bench_open(b, c->has_sums, is_connected);
    b->net->config.tso_bytes = c->tso_bytes;
    for (uint64_t i = 0; i < n; i++) {
        b->now.ns += 100 * NS_PER_US;
        c->prepare(b, c->has_sums);
        uint64_t begin = is_timed ? clock_read_ns() : 0;
        c->run(b);
        ns += is_timed ? clock_read_ns() - begin : 0;
    }
    if (is_timed)
        printf("%-22s %8.1f ns\n", c->name, (double)ns / (double)(n * (uint64_t)c->per));
    if (is_connected) {
        tcp_abort(b->tcb);
        tcp_release(b->tcb);
        output_drain(b);
    }
    net_fini(b->net);
    free(b);
}

int main(int argc, char **argv)
{
    bool is_count = argc == 3 && strcmp(argv[1], "count") == 0;
    uint64_t n = is_count ? strtoull(argv[2], NULL, 10) : 20000;
    payload = calloc(BURST, MSS);
    check(payload != NULL);
    for (size_t i = 0; i < array_n(cases); i++)
        case_run(&cases[i], n, !is_count);
    if (!is_count)
        printf("idle connection        %zu bytes, and nothing else\n", sizeof(struct tcb));
    free(payload);
    return 0;
}
