/*
 * tcp_fast.c - header prediction: segments that their connection expects next.
 *
 * Owner: worker.
 *
 * Compares whole words of a frame with what the connection knows the next one to look like, down
 * from Ethernet. Frames of a burst that follow each other make a run: they are taken one by one,
 * each checked whole, and the connection changes once, to what the steps of tcp_input.c would have
 * made of them; of the ACKs the last counts. Whatever does not fit is left to those steps, so
 * saying no is always right:
 *
 *      established, nothing out of order, no FIN known, not an orphan, the peer's window not closed
 *      IPv4 without options or fragments, TCP with the options that were agreed and no other
 *      flags ACK or ACK and PSH; the bytes are the next ones and in the window
 *      a timestamp that is not old; memory for the packet; both checksums
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
static inline bool is_plain(const struct net *net, const uint8_t *p)
{
    return ((word64(p) ^ net->mac_word) & 0xffffffffffff) == 0 &&
           (word32(p + 12) & 0xffffff) == 0x450008 &&               /* EtherType, version, IHL   */
           (word32(p + 20) & 0xff00ffbf) == (uint32_t)IP_TCP << 24; /* DF may be set; protocol   */
}

static inline bool is_for(const struct tcb *tcb, const uint8_t *p)
{
    return word64(p + 26) == tcb->in_ips && word32(p + 34) == tcb->in_ports;
}

/* The hash of a plain frame's flow; kept in the packet, for whoever looks for it later. */
static uint32_t frame_hash(const struct net *net, struct pkt *pkt)
{
    const uint8_t *p = pkt->data;
    if ((pkt->flags & PKT_HASHED) == 0) {
        pkt->rx.hash = flow_hash(net, load_u32(p + 26), load_u16(p + 34), load_u16(p + 36));
        pkt->flags |= PKT_HASHED;
    }
    return pkt->rx.hash;
}

/* ── a run: segments of one connection, each the next ── */

/* Owner: the call that makes it. */
struct run {
    struct tcb *tcb;
    struct pkt *head, *tail; /* their packets, headers cut off  */
    struct seq next, ack;    /* behind them                     */
    uint32_t stamp, echo;
    uint32_t bytes, bytes_max; /* of a segment: rcv_mss         */
    uint32_t segments;         /* with payload                  */
    uint64_t size, room;       /* true size, and what there may be */
    uint16_t wnd;
    bool is_first_small; /* it is copied into what waits, alone */
};

/* Both checksums, as far as the NIC has not verified them. */
static inline bool sums_are_good(const struct net *net, const struct pkt *pkt, uint32_t tcp_n)
{
    const uint8_t *ip = pkt->data + ETH_BYTES;
    if ((pkt->flags & PKT_IP_GOOD) == 0 && !sum_is_good(sum_ip4(ip)))
        return false;
    if ((pkt->flags & PKT_SUM_GOOD) != 0 || net->config.no_rx_checksum)
        return true;
    uint64_t sum = word64(ip + 12);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum += (uint64_t)__builtin_bswap16((uint16_t)tcp_n) + __builtin_bswap16(IP_TCP);
    return sum_is_good(sum_bytes(sum, ip + IP4_BYTES, tcp_n));
}

/* Takes the packet when it is the next of the run. `has_stamps` is a constant of the caller. */
static inline __attribute__((always_inline)) bool run_take(struct net *net, struct run *run,
                                                           struct pkt *pkt, bool has_stamps)
{
    const struct tcb *tcb = run->tcb;
    const uint32_t head_n = HEADS_BYTES + (has_stamps ? STAMP_BYTES : 0);
    const uint8_t *p = pkt->data, *tcp = p + ETH_BYTES + IP4_BYTES;
    if (pkt->n < head_n || !is_plain(net, p) || !is_for(tcb, p))
        return false;
    uint32_t tcp_n = (uint32_t)load_u16(p + 16) - IP4_BYTES;
    uint32_t n = tcp_n + ETH_BYTES + IP4_BYTES - head_n;
    struct seq ack = {load_u32(tcp + 8)};
    if (n > pkt->n - head_n || (word16(tcp + 12) & ~(PSH << 8)) != tcb->in_offset ||
        load_u32(tcp + 4) != run->next.v || n > tcb->rcv_edge.v - run->next.v ||
        ack.v - run->ack.v > tcb->snd_nxt.v - run->ack.v)
        return false;
    uint32_t stamp = has_stamps ? load_u32(tcp + TCP_BYTES + 4) : 0;
    if (has_stamps && (word32(tcp + TCP_BYTES) != 0x0a080101 || (int32_t)(stamp - run->stamp) < 0))
        return false;
    uint32_t size = n == 0 ? 0 : pkt_true_size(pkt);
    bool is_small = n <= COLLAPSE_MAX && n > 0;
    if ((n == 0 && seq_eq(ack, run->ack)) || size > run->room || run->is_first_small ||
        (is_small && run->segments > 0) || !sums_are_good(net, pkt, tcp_n))
        return false;
    if (has_stamps) {
        run->echo = load_u32(tcp + TCP_BYTES + 8);
        if (seq_leq(run->next, tcb->acked_nxt)) /* RFC 7323 4.3 (2) */
            run->stamp = stamp;
    }
    run->ack = ack;
    run->wnd = load_u16(tcp + 14);
    if (n == 0) {
        pkt_put(pkt);
        return true;
    }
    pkt->data += head_n;
    pkt->n = n;
    if (run->head == NULL)
        run->head = pkt;
    else
        run->tail->next = pkt;
    run->tail = pkt;
    run->next = seq_add(run->next, n);
    run->bytes += n;
    run->bytes_max = n > run->bytes_max ? n : run->bytes_max;
    run->segments++;
    run->size += size;
    run->room -= size;
    run->is_first_small = is_small;
    return true;
}

/* The peer's ACK and window. */
static void ack_take(struct tcb *tcb, const struct run *run)
{
    if (!seq_eq(run->ack, tcb->snd_una)) {
        struct segment seg; /* as far as loss_ack reads it */
        seg.seq = run->next;
        seg.ack = run->ack;
        seg.n = run->bytes;
        seg.wnd = run->wnd;
        seg.flags = ACK;
        seg.opts.sacks_n = 0;
        seg.opts.has_stamp = tcb->has_stamps;
        seg.opts.echo = run->echo;
        loss_ack(tcb, &seg, tcb->snd_una);
        return;
    }
    tcb->probes_n = 0;
    tcb->snd_wnd = (uint32_t)run->wnd << tcb->snd_ws;
    tcb->snd_wnd_max = (uint32_t)max_u64(tcb->snd_wnd, tcb->snd_wnd_max);
    tcb->snd_wl1 = run->next;
    tcb->snd_wl2 = run->ack;
    if (tcb->unsent > 0)
        tcb_dirty(tcb);
}

static void run_end(struct net *net, struct run *run)
{
    struct tcb *tcb = run->tcb;
    tcb->last_rx_ns = net->now_ns;
    if (tcb->has_stamps && seq_leq(tcb->rcv_nxt, tcb->acked_nxt)) {
        tcb->stamp_recent = run->stamp;
        tcb->stamp_recent_ns = net->now_ns;
    }
    ack_take(tcb, run);
    if (run->is_first_small)
        reasm_next(tcb, run->head);
    else if (run->head != NULL)
        reasm_run(tcb, run->head, run->tail, run->bytes, run->size, run->segments, run->bytes_max);
}

/* ── whose frame it is ── */

static bool is_usual(const struct tcb *tcb)
{
    return tcb->state == TCPS_ESTABLISHED && tcb->ooo == NULL && !tcb->has_fin && !tcb->is_orphan &&
           tcb->snd_wnd > 0 && seq_leq(tcb->snd_wl1, tcb->rcv_nxt);
}

static struct tcb *frame_tcb(struct net *net, struct pkt *pkt)
{
    const uint8_t *p = pkt->data;
    struct tcb *tcb = net->last;
    if (tcb != NULL && is_for(tcb, p))
        return tcb;
    int32_t at =
        flow_find(net, frame_hash(net, pkt), load_u32(p + 26), load_u16(p + 34), load_u16(p + 36));
    tcb = tcb_at(net, at);
    if (tcb != NULL)
        net->last = tcb;
    return tcb;
}

static __attribute__((noinline)) uint32_t predict(struct net *net, struct pkt *const *v, uint32_t n)
{
    struct tcb *tcb = frame_tcb(net, v[0]);
    uint32_t taken = 0;
    if (tcb == NULL || !is_usual(tcb))
        return 0;
    struct run run = {.tcb = tcb,
                      .next = tcb->rcv_nxt,
                      .ack = tcb->snd_una,
                      .stamp = tcb->stamp_recent,
                      .room = reasm_room(tcb)};
    if (tcb->has_stamps) {
        while (taken < n && run_take(net, &run, v[taken], true))
            taken++;
    } else {
        while (taken < n && run_take(net, &run, v[taken], false))
            taken++;
    }
    if (taken > 0) {
        net->stats[NET_SEGMENTS_FAST] += taken;
        run_end(net, &run);
    }
    return taken;
}

uint32_t tcp_predict(struct net *net, struct pkt *const *v, uint32_t n)
{
    const uint8_t *p = v[0]->data;
    if (v[0]->n < HEADS_BYTES || (p[HEADS_BYTES - 7] & ~PSH) != ACK || !is_plain(net, p) ||
        net->config.no_prediction)
        return 0;
    return predict(net, v, n);
}

bool frame_is_plain(const struct net *net, const struct pkt *pkt)
{
    return pkt->n >= HEADS_BYTES && is_plain(net, pkt->data);
}

/* With many connections each frame of a burst touches memory nobody has touched for long: all of it
 * is asked for before any is needed. */
void tcp_prefetch(struct net *net, struct pkt *const *v, uint32_t n)
{
    const struct tcb *last = net->last;
    int32_t *buckets[BURST_MAX];
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(v[i]->data);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *p = v[i]->data;
        bool is_seen =
            i > 0 && v[i - 1]->n >= HEADS_BYTES && memcmp(p + 26, v[i - 1]->data + 26, 12) == 0;
        if (v[i]->n < HEADS_BYTES || is_seen || !is_plain(net, p) || (last && is_for(last, p)))
            continue;
        buckets[found] = &net->buckets[frame_hash(net, v[i]) & net->buckets_mask];
        __builtin_prefetch(buckets[found++]);
    }
    for (uint32_t i = 0; i < found; i++) {
        const struct tcb *tcb = tcb_at(net, *buckets[i]);
        for (int line = 0; tcb != NULL && line < TCB_RX_LINES; line++)
            __builtin_prefetch((const uint8_t *)tcb + line * 64);
    }
}
