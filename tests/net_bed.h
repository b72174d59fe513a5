/*
 * net_bed.h - two engines over a faulty network, in one thread, as a function of a seed.
 *
 * Owner: the test, the simulator (tests/sim/net) or the fuzz target that includes it.
 *
 * Virtual time jumps to the next event: a frame that arrives, a timer of an engine, a reader that
 * wakes. A frame given to the network keeps its packet until it arrives, so memory that is released
 * at the ACK alone, while a copy is still "in the NIC", shows as corrupted bytes: every slice is a
 * copy of its own that is overwritten when released. Bytes are checked by their place in the
 * stream.
 *
 * After every event, for every connection: tcb_invariants, rcv_edge does not move back, new bytes
 * leave only within cwnd. At the end: all bytes on both sides, one end each, tables empty, every
 * packet, record, extent and slice back.
 */
#ifndef MILLRACE_NET_BED_H
#define MILLRACE_NET_BED_H

#include <stdio.h>
#include <stdlib.h>

#include "capture.h"
#include "net_cut.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* not every includer needs all of it */

enum {
    BED_CONNS_MAX = 4,
    BED_FLIGHT_MAX = 8192,
    BED_PORT = 9092,
    BED_PATTERN = 1 << 16,
    BED_EVENTS_MAX = 400000,
    BED_BURST_MAX = 40,
};

/* What the network does. Percent are per frame. */
struct bed_faults {
    uint8_t loss, twice, reorder, corrupt, truncate;
    uint64_t delay_ns, jitter_ns;
    uint64_t rate;         /* bytes a second; 0: no limit */
    uint32_t queue_bytes;  /* tail drop beyond it         */
    uint64_t until_ns;     /* afterwards the network is fair */
    const uint8_t *script; /* fuzzing: one byte decides about one frame */
    size_t script_n, script_at;
    int64_t lose_at[2]; /* the n-th frame of TCP altogether is lost; -1: none */
};

struct bed_flight {
    uint64_t at_ns, order;
    struct pkt *pkt;
    uint32_t part; /* of it: a frame (net_cut.h) */
    uint8_t to;
    bool is_broken; /* delivered with a flipped bit, or cut */
    uint32_t cut_n, flip_at;
};

/* One end of one connection. */
struct bed_stream {
    struct tcb *tcb;
    uint64_t total, sent, got, acked;
    bool is_opened, is_shut, has_end, is_closed, is_released, is_aborting;
    uint32_t ends_n, closes_n;
    int error;
    uint64_t slow_ns, next_read_ns, abort_at_ns; /* a slow reader; an end in the middle */
    uint32_t read_max, slice_max;
    struct seq edge, nxt;
    uint32_t undos;
    bool has_edge;
};

struct bed {
    struct net *net[2];
    struct prng prng;
    uint64_t now_ns, order;
    struct bed_faults faults;
    struct bed_flight *heap;
    uint32_t heap_n;
    uint64_t free_at_ns[2]; /* of the rate limited link */
    uint32_t conns_n;
    struct bed_stream streams[BED_CONNS_MAX][2];
    uint64_t events_n, frames_n, tcp_frames_n, lost_n;
    uint64_t slices_out_n;
    const uint8_t *pattern;
    FILE *pcap;
    char fault[256]; /* what went wrong first */
};

#define bed_fail(bed, ...)                                           \
    do {                                                             \
        if ((bed)->fault[0] == '\0')                                 \
            snprintf((bed)->fault, sizeof(bed)->fault, __VA_ARGS__); \
    } while (0)

static const uint32_t bed_ips[2] = {0x0a000001, 0x0a000002};

static struct now bed_now(const struct bed *bed)
{
    return (struct now){bed->now_ns, 0};
}

/* ── memory that notices ── */

struct bed_slice {
    struct slice_owner owner;
    struct bed *bed;
    uint32_t n;
    uint8_t bytes[];
};

static void bed_slice_release(struct slice_owner *owner)
{
    struct bed_slice *s = container_of(owner, struct bed_slice, owner);
    memset(s->bytes, 0xdd, s->n);
    s->bed->slices_out_n--;
    free(s);
}

static struct slice bed_slice_make(struct bed *bed, const uint8_t *from, uint32_t n)
{
    struct bed_slice *s = malloc(sizeof *s + n);
    check(s != NULL);
    s->owner = (struct slice_owner){1, bed_slice_release};
    s->bed = bed;
    s->n = n;
    memcpy(s->bytes, from, n);
    bed->slices_out_n++;
    return (struct slice){s->bytes, n, &s->owner};
}

/* The stream's bytes from `at` on; contiguous for BED_PATTERN bytes. */
static const uint8_t *bed_bytes(const struct bed *bed, uint32_t conn, int side, uint64_t at)
{
    return bed->pattern + ((at + conn * 7919u + (uint32_t)side * 31337u) & (BED_PATTERN - 1));
}

/* ── the network ── */

static bool flight_lt(const struct bed_flight *a, const struct bed_flight *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void flight_push(struct bed *bed, struct bed_flight f)
{
    check(bed->heap_n < BED_FLIGHT_MAX);
    uint32_t at = bed->heap_n++;
    f.order = bed->order++;
    for (; at > 0 && flight_lt(&f, &bed->heap[(at - 1) / 2]); at = (at - 1) / 2)
        bed->heap[at] = bed->heap[(at - 1) / 2];
    bed->heap[at] = f;
}

static struct bed_flight flight_pop(struct bed *bed)
{
    struct bed_flight out = bed->heap[0], last = bed->heap[--bed->heap_n];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= bed->heap_n)
            break;
        if (child + 1 < bed->heap_n && flight_lt(&bed->heap[child + 1], &bed->heap[child]))
            child++;
        if (!flight_lt(&bed->heap[child], &last))
            break;
        bed->heap[at] = bed->heap[child];
        at = child;
    }
    bed->heap[at] = last;
    return out;
}

static void bed_capture(struct bed *bed, const struct pkt *pkt, uint32_t part)
{
    uint8_t head[CAPTURE_FRAME_BYTES], frame[PKT_ROOM];
    if (bed->pcap == NULL)
        return;
    uint32_t n = cut_copy(pkt, part, frame);
    capture_frame_head(head, bed->now_ns, n, n);
    fwrite(head, 1, sizeof head, bed->pcap);
    fwrite(frame, 1, n, bed->pcap);
}

/* A number below 100 for the next decision. */
static uint32_t bed_dice(struct bed *bed)
{
    struct bed_faults *f = &bed->faults;
    if (f->script != NULL)
        return f->script_at < f->script_n ? f->script[f->script_at++] % 100 : 99;
    return (uint32_t)prng_below(&bed->prng, 100);
}

static bool bed_is_lost(struct bed *bed, const struct pkt *pkt)
{
    struct bed_faults *f = &bed->faults;
    if (load_u16(pkt->data + 12) == ETHERTYPE_IP4) {
        int64_t at = (int64_t)bed->tcp_frames_n++;
        if (at == f->lose_at[0] || at == f->lose_at[1])
            return true;
    }
    return bed->now_ns < f->until_ns && f->loss > 0 && bed_dice(bed) < f->loss;
}

/* The frame's way through the network. */
static void bed_frame_transmit(struct bed *bed, int from, struct pkt *pkt, uint32_t part)
{
    struct bed_faults *f = &bed->faults;
    bool is_fair = bed->now_ns >= f->until_ns;
    uint64_t at_ns = bed->now_ns + f->delay_ns;
    bed->frames_n++;
    bed_capture(bed, pkt, part);
    if (bed_is_lost(bed, pkt)) {
        bed->lost_n++;
        pkt_put(pkt);
        return;
    }
    if (f->rate > 0) {
        uint64_t begin = max_u64(bed->free_at_ns[from], bed->now_ns);
        if ((begin - bed->now_ns) * f->rate / NS_PER_S > f->queue_bytes) {
            bed->lost_n++;
            pkt_put(pkt);
            return;
        }
        bed->free_at_ns[from] = begin + cut_bytes(pkt, part) * NS_PER_S / f->rate;
        at_ns = bed->free_at_ns[from] + f->delay_ns;
    }
    if (!is_fair && f->reorder > 0 && bed_dice(bed) < f->reorder)
        at_ns += prng_below(&bed->prng, f->jitter_ns + 1);
    struct bed_flight flight = {.at_ns = at_ns, .pkt = pkt, .part = part, .to = (uint8_t)!from};
    uint32_t n = cut_bytes(pkt, part);
    if (!is_fair && f->corrupt > 0 && bed_dice(bed) < f->corrupt) {
        flight.is_broken = true;
        flight.cut_n = bed_dice(bed) < f->truncate ? (uint32_t)prng_below(&bed->prng, n) : n;
        flight.flip_at = (uint32_t)prng_below(&bed->prng, n * 8u);
    }
    if (!is_fair && f->twice > 0 && bed_dice(bed) < f->twice) {
        struct slice ref = {NULL, 0, &pkt->owner};
        slice_get(&ref);
        struct bed_flight again = flight;
        again.at_ns += prng_below(&bed->prng, f->jitter_ns + 1);
        flight_push(bed, again);
    }
    flight_push(bed, flight);
}

/* A packet leaves; its memory is needed until the last of its frames has arrived or is lost. */
static void bed_transmit(struct bed *bed, int from, struct pkt *pkt)
{
    struct slice ref = {NULL, 0, &pkt->owner};
    uint32_t parts_n = cut_parts_n(pkt);
    for (uint32_t part = 1; part < parts_n; part++)
        slice_get(&ref);
    for (uint32_t part = 0; part < parts_n; part++)
        bed_frame_transmit(bed, from, pkt, part);
}

/* The frame as a packet of whom it is for; NULL when that has none. */
static struct pkt *bed_arrive(struct bed *bed, const struct bed_flight *f)
{
    struct pkt *pkt = net_packet_take(bed->net[f->to]);
    if (pkt != NULL) {
        pkt->n = cut_copy(f->pkt, f->part, pkt->data);
        if (f->is_broken) {
            pkt->data[f->flip_at / 8] ^= (uint8_t)(1u << f->flip_at % 8);
            pkt->n = f->cut_n;
        }
    }
    pkt_put(f->pkt);
    return pkt;
}

/* Everything that has arrived, in bursts of what came together at one side, cut anywhere. */
static void bed_deliver(struct bed *bed)
{
    struct pkt *v[BED_BURST_MAX];
    uint32_t n = 0;
    int to = 0;
    while (bed->heap_n > 0 && bed->heap[0].at_ns <= bed->now_ns) {
        struct bed_flight f = flight_pop(bed);
        if (n == BED_BURST_MAX || (n > 0 && (f.to != to || (bed->order + n) % 7 == 0))) {
            net_input_burst(bed->net[to], v, n, bed_now(bed));
            n = 0;
        }
        to = f.to;
        if ((v[n] = bed_arrive(bed, &f)) != NULL)
            n++;
    }
    if (n > 0)
        net_input_burst(bed->net[to], v, n, bed_now(bed));
}

/* ── the applications ── */

static struct bed_stream *bed_stream_of(struct bed *bed, struct tcb *tcb, int side)
{
    for (uint32_t i = 0; i < bed->conns_n; i++)
        if (bed->streams[i][side].tcb == tcb && !bed->streams[i][side].is_released)
            return &bed->streams[i][side];
    return NULL;
}

/* The server learns which connection it is from the client's port. */
static struct bed_stream *bed_accept(struct bed *bed, struct tcb *tcb)
{
    uint32_t ip;
    uint16_t port;
    tcp_peer(tcb, &ip, &port);
    for (uint32_t i = 0; i < bed->conns_n; i++) {
        struct bed_stream *client = &bed->streams[i][0];
        if (client->tcb == NULL || client->is_released || bed->streams[i][1].tcb != NULL ||
            client->tcb->flow.port != port)
            continue;
        bed->streams[i][1].tcb = tcb;
        return &bed->streams[i][1];
    }
    return NULL;
}

static void app_news(struct bed *bed, int side)
{
    uint32_t news;
    for (struct tcb *tcb; (tcb = net_news_next(bed->net[side], &news)) != NULL;) {
        struct bed_stream *s = bed_stream_of(bed, tcb, side);
        if (s == NULL && side == 1)
            s = bed_accept(bed, tcb);
        if (s == NULL) { /* the client has gone meanwhile */
            tcp_release(tcb);
            continue;
        }
        s->is_opened |= (news & TCP_NEWS_OPENED) != 0;
        s->ends_n += (news & TCP_NEWS_END) != 0;
        s->closes_n += (news & TCP_NEWS_CLOSED) != 0;
        if ((news & TCP_NEWS_CLOSED) != 0) {
            s->is_closed = true;
            s->error = tcp_error(tcb);
        }
    }
}

static void app_read(struct bed *bed, struct bed_stream *s, uint32_t conn, int side)
{
    struct slice v[8];
    if (bed->now_ns < s->next_read_ns || tcp_unread(s->tcb) == 0)
        return;
    uint64_t left = s->read_max > 0 ? s->read_max : UINT64_MAX;
    for (uint32_t n; left > 0 && (n = tcp_read(s->tcb, v, 8, left)) > 0;) {
        for (uint32_t i = 0; i < n; i++) {
            if (memcmp(v[i].ptr, bed_bytes(bed, conn, !side, s->got), v[i].n) != 0)
                bed_fail(bed, "connection %u side %d: wrong bytes at %lu", conn, side,
                         (unsigned long)s->got);
            s->got += v[i].n;
            left -= v[i].n;
            slice_put(&v[i]);
        }
    }
    if (s->got > bed->streams[conn][!side].sent)
        bed_fail(bed, "connection %u side %d: more bytes than were sent", conn, side);
    s->next_read_ns = bed->now_ns + s->slow_ns;
}

static void app_write(struct bed *bed, struct bed_stream *s, uint32_t conn, int side)
{
    while (s->sent < s->total && tcp_unacked(s->tcb) < 256 * 1024) {
        uint32_t n = 1 + (uint32_t)prng_below(&bed->prng, s->slice_max);
        n = (uint32_t)min_u64(n, s->total - s->sent);
        struct slice v = bed_slice_make(bed, bed_bytes(bed, conn, side, s->sent), n);
        if (tcp_send(s->tcb, &v, 1) != 0) {
            slice_put(&v);
            return;
        }
        s->sent += n;
    }
    if (s->sent == s->total && !s->is_shut) {
        tcp_shutdown(s->tcb);
        s->is_shut = true;
    }
}

static void app_turn(struct bed *bed, int side)
{
    app_news(bed, side);
    for (uint32_t i = 0; i < bed->conns_n; i++) {
        struct bed_stream *s = &bed->streams[i][side];
        if (s->tcb == NULL || s->is_released)
            continue;
        if (s->abort_at_ns > 0 && bed->now_ns >= s->abort_at_ns && !s->is_closed) {
            s->is_aborting = true;
            tcp_abort(s->tcb);
            continue;
        }
        app_read(bed, s, i, side);
        if (s->is_closed) {
            if (tcp_unread(s->tcb) > 0)
                continue;
            tcp_release(s->tcb);
            s->is_released = true;
            continue;
        }
        if (s->is_opened)
            app_write(bed, s, i, side);
    }
}

/* ── one step ── */

static void bed_stream_check(struct bed *bed, struct bed_stream *s, uint32_t conn, int side)
{
    const struct tcb *tcb = s->tcb;
    if (tcb == NULL || s->is_released || tcb->state < TCPS_ESTABLISHED)
        return;
    tcb_invariants(tcb);
    if (s->has_edge && seq_lt(tcb->rcv_edge, s->edge))
        bed_fail(bed, "connection %u side %d: the window moved back", conn, side);
    bool is_new = s->has_edge && seq_lt(s->nxt, tcb->snd_nxt);
    if (is_new && !tcb->is_probing && s->undos == tcb->undos && tcb->has_sack &&
        tcb->pipe > max_u64(tcb->cc.cwnd, tcb->mss))
        bed_fail(bed, "connection %u side %d: %u bytes in flight with a window of %u", conn, side,
                 tcb->pipe, tcb->cc.cwnd);
    s->edge = tcb->rcv_edge;
    s->nxt = tcb->snd_nxt;
    s->undos = tcb->undos;
    s->has_edge = true;
}

static void bed_turn(struct bed *bed)
{
    for (int side = 0; side < 2; side++) {
        app_turn(bed, side);
        net_turn(bed->net[side], bed_now(bed));
        for (struct pkt *pkt; (pkt = net_output_next(bed->net[side])) != NULL;)
            bed_transmit(bed, side, pkt);
        for (uint32_t i = 0; i < bed->conns_n; i++)
            bed_stream_check(bed, &bed->streams[i][side], i, side);
    }
}

static uint64_t bed_next_ns(struct bed *bed)
{
    uint64_t at = bed->now_ns + 3600 * NS_PER_S;
    for (int side = 0; side < 2; side++)
        at = min_u64(at, bed->now_ns + net_sleep_ns(bed->net[side], bed_now(bed), NS_PER_S * 60));
    if (bed->heap_n > 0)
        at = min_u64(at, bed->heap[0].at_ns);
    for (uint32_t i = 0; i < 2 * bed->conns_n; i++) {
        const struct bed_stream *s = &bed->streams[i / 2][i % 2];
        if (s->tcb == NULL || s->is_released)
            continue;
        if (tcp_unread(s->tcb) > 0 && s->next_read_ns > bed->now_ns)
            at = min_u64(at, s->next_read_ns);
        if (s->abort_at_ns > bed->now_ns)
            at = min_u64(at, s->abort_at_ns);
    }
    return max_u64(at, bed->now_ns);
}

/* One event: everything that is due at its time. */
static void bed_step(struct bed *bed)
{
    bed->now_ns = bed_next_ns(bed);
    bed->events_n++;
    bed_deliver(bed);
    bed_turn(bed);
}

/* Both sides of every connection are over. */
static bool bed_is_done(const struct bed *bed)
{
    for (uint32_t i = 0; i < bed->conns_n; i++) {
        if (!bed->streams[i][0].is_released)
            return false;
        if (bed->streams[i][1].tcb != NULL && !bed->streams[i][1].is_released)
            return false;
    }
    return true;
}

static void bed_run(struct bed *bed, uint64_t until_ns)
{
    while (!bed_is_done(bed) && bed->fault[0] == '\0') {
        bed_step(bed);
        if (bed->now_ns > until_ns)
            bed_fail(bed, "not over after %lu s", (unsigned long)(until_ns / NS_PER_S));
        if (bed->events_n > BED_EVENTS_MAX)
            bed_fail(bed, "more than %d events", BED_EVENTS_MAX);
    }
}

/* ── judgement ── */

static void bed_judge_conn(struct bed *bed, uint32_t conn)
{
    struct bed_stream *s = bed->streams[conn];
    /* A handshake all of whose SYN-ACKs' answers were lost ends with a RST: that may happen. */
    bool was_refused =
        s[1].tcb == NULL && s[0].error != 0 && (bed->lost_n > 0 || bed->faults.corrupt > 0);
    bool is_cut = s[0].is_aborting || s[1].is_aborting || was_refused;
    for (int side = 0; side < 2; side++) {
        if (s[side].tcb == NULL)
            continue;
        if (s[side].closes_n != 1)
            bed_fail(bed, "connection %u side %d: %u ends told", conn, side, s[side].closes_n);
        if (s[side].ends_n > 1)
            bed_fail(bed, "connection %u side %d: the peer's end told twice", conn, side);
        if (is_cut)
            continue;
        if (s[side].got != s[!side].total)
            bed_fail(bed, "connection %u side %d: %lu of %lu bytes, error %d", conn, side,
                     (unsigned long)s[side].got, (unsigned long)s[!side].total, s[side].error);
        if (s[side].ends_n != 1)
            bed_fail(bed, "connection %u side %d: no end told", conn, side);
    }
    if (!is_cut && s[1].tcb == NULL)
        bed_fail(bed, "connection %u was never accepted", conn);
}

/* After 2 MSL everything is back. */
static void bed_judge_memory(struct bed *bed)
{
    uint64_t until_ns = bed->now_ns + 700 * NS_PER_S;
    while (bed->now_ns < until_ns && bed->fault[0] == '\0') {
        uint64_t before = bed->now_ns;
        bed_step(bed);
        if (bed->now_ns == before && bed->heap_n == 0 && bed->events_n > BED_EVENTS_MAX)
            bed_fail(bed, "time stands still");
    }
    for (int side = 0; side < 2; side++) {
        const struct net *n = bed->net[side];
        if (n->tcbs_n != 0 || n->waits_n != 0 || n->syns_n != 0)
            bed_fail(bed, "side %d: %u connections, %u in TIME-WAIT, %u half-open left", side,
                     n->tcbs_n, n->waits_n, n->syns_n);
        if (n->big.free_n != n->big.n || n->head.free_n != n->head.n)
            bed_fail(bed, "side %d: %u packets and %u headers leaked", side,
                     n->big.n - n->big.free_n, n->head.n - n->head.free_n);
        if (n->exts_out_n != 0 || n->recs_out_n != 0 || n->rx_held != 0)
            bed_fail(bed, "side %d: %u extents, %u records, %lu bytes leaked", side, n->exts_out_n,
                     n->recs_out_n, (unsigned long)n->rx_held);
    }
    if (bed->slices_out_n != 0)
        bed_fail(bed, "%lu slices were never released", (unsigned long)bed->slices_out_n);
}

static void bed_judge(struct bed *bed)
{
    for (uint32_t i = 0; i < bed->conns_n && bed->fault[0] == '\0'; i++)
        bed_judge_conn(bed, i);
    if (bed->fault[0] == '\0')
        bed_judge_memory(bed);
}

/* ── making it ── */

static struct net_config bed_config_default(int side)
{
    struct net_config config = {
        .mac = {2, 0, 0, 0, 0, (uint8_t)(side + 1)},
        .ip = bed_ips[side],
        .mask = 0xffffff00,
        .tcbs_max = 8,
        .syns_max = 8,
        .time_waits_max = 16,
        .packets_max = 1024,
        .heads_max = 1024,
        .extents_max = 2048,
        .records_max = 2048,
        .user_timeout_ms = 600000,
        .keepalive_ms = 20000,
        .keepalive_n = 30,
        .seed = 1,
    };
    return config;
}

/* 2 * BED_PATTERN random bytes, so that BED_PATTERN are contiguous from anywhere. */
static uint8_t *bed_pattern_make(void)
{
    struct prng prng;
    uint8_t *bytes = malloc(2 * BED_PATTERN);
    check(bytes != NULL);
    prng_init(&prng, 12345);
    for (uint32_t i = 0; i < BED_PATTERN; i++)
        bytes[i] = bytes[i + BED_PATTERN] = (uint8_t)prng_next(&prng);
    return bytes;
}

static struct bed *bed_make(const uint8_t *pattern, uint64_t seed, const struct net_config c[2])
{
    struct bed *bed = calloc(1, sizeof *bed);
    check(bed != NULL);
    bed->heap = malloc(BED_FLIGHT_MAX * sizeof *bed->heap);
    check(bed->heap != NULL);
    bed->pattern = pattern;
    bed->now_ns = NS_PER_S;
    prng_init(&bed->prng, seed);
    bed->faults.delay_ns = NS_PER_MS;
    bed->faults.lose_at[0] = bed->faults.lose_at[1] = -1;
    for (int side = 0; side < 2; side++)
        check(net_init(&bed->net[side], &c[side], bed_now(bed)) == 0);
    check(net_listen(bed->net[1], BED_PORT, 16, bed) == 0);
    return bed;
}

static void bed_connect(struct bed *bed, uint64_t to_server, uint64_t to_client)
{
    struct bed_stream *s = bed->streams[bed->conns_n++];
    s[0].tcb = tcp_connect(bed->net[0], bed_ips[1], BED_PORT, bed, bed_now(bed));
    check(s[0].tcb != NULL);
    s[0].total = to_server;
    s[1].total = to_client;
    s[0].slice_max = s[1].slice_max = 16384;
}

static void bed_free(struct bed *bed)
{
    while (bed->heap_n > 0) {
        struct bed_flight f = flight_pop(bed);
        pkt_put(f.pkt);
    }
    for (int side = 0; side < 2; side++)
        net_fini(bed->net[side]);
    free(bed->heap);
    free(bed);
}

#endif
