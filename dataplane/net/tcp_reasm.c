/*
 * tcp_reasm.c - received bytes: in order for the application, out of order in ranges, and SACK
 * blocks.
 *
 * Owner: worker.
 *
 * In order: packets chained in rxq, headers cut off. Out of order: a sorted list of ranges, each a
 * chain of adjacent packets; the first packet of a range carries its end, its last packet and the
 * next range. A packet is trimmed against what is there, so nothing is stored twice.
 *
 * Memory is accounted by true size (a packet costs its room, whatever it carries): per connection
 * and for all. Over the limits the highest range goes first, and is not reported by SACK any more;
 * bytes in order are dropped last. Small packets are copied into the one before them.
 */
#include "net_inside.h"

enum { RX_IN_ORDER_MORE = 65536 };

/* ── accounts ── */

static uint64_t true_limit(const struct tcb *tcb)
{
    return 2ull * tcb->net->config.rcv_bytes + 65536;
}

void rx_account(struct tcb *tcb, int64_t bytes)
{
    tcb->rx_true = (uint32_t)(tcb->rx_true + bytes);
    tcb->net->rx_held = (uint64_t)((int64_t)tcb->net->rx_held + bytes);
}

/* How far beyond rcv_nxt the window may reach now. */
uint32_t rx_room(const struct tcb *tcb)
{
    const struct net *net = tcb->net;
    uint64_t limit = true_limit(tcb), room = net->config.rcv_bytes;
    room -= min_u64(room, tcb->rxq_bytes);
    if (tcb->rx_true >= limit || net->rx_held >= net->config.rx_budget_bytes / 4 * 3)
        return 0;
    room = min_u64(room, (uint64_t)UINT16_MAX << tcb->rcv_ws); /* what can be announced */
    return (uint32_t)min_u64(room, (limit - tcb->rx_true) / 2);
}

/* ── in order ── */

static void rxq_append(struct tcb *tcb, struct pkt *pkt)
{
    struct pkt *tail = tcb->rxq_tail;
    tcb->rxq_bytes += pkt->n;
    tcb->rx_bytes += pkt->n;
    if (pkt->n <= COLLAPSE_MAX && tcb->rxq_head != NULL && tail->owner.refs == 1 &&
        pkt_tail_room(tail) >= pkt->n) {
        memcpy(tail->data + tail->n, pkt->data, pkt->n);
        tail->n += pkt->n;
        rx_account(tcb, -(int64_t)pkt_true_size(pkt));
        count(tcb->net, NET_COLLAPSED);
        pkt_put(pkt);
        return;
    }
    pkt->next = NULL;
    if (tcb->rxq_head == NULL)
        tcb->rxq_head = pkt;
    else
        tail->next = pkt;
    tcb->rxq_tail = pkt;
}

uint32_t tcp_read(struct tcb *tcb, struct slice *v, uint32_t max, uint64_t bytes_max)
{
    uint32_t n = 0;
    check(tcb->magic == TCB_MAGIC);
    for (; n < max && bytes_max > 0 && tcb->rxq_head != NULL; n++) {
        struct pkt *pkt = tcb->rxq_head;
        uint32_t part = (uint32_t)min_u64(pkt->n, bytes_max);
        v[n] = (struct slice){pkt->data, part, &pkt->owner};
        tcb->rxq_bytes -= part;
        bytes_max -= part;
        if (part < pkt->n) {
            slice_get(&v[n]);
            pkt->data += part;
            pkt->n -= part;
            continue;
        }
        tcb->rxq_head = pkt->next;
        rx_account(tcb, -(int64_t)pkt_true_size(pkt));
    }
    if (n > 0 && tcb->state != TCPS_CLOSED)
        tcb_dirty(tcb); /* the window may open */
    return n;
}

/* ── ranges ── */

static struct seq range_start(const struct pkt *range)
{
    return range->rx.seq;
}

/* The packets of a range go. */
static void range_drop(struct tcb *tcb, struct pkt *range, enum net_stat why)
{
    for (struct pkt *pkt = range, *next; pkt != NULL; pkt = next) {
        next = pkt->next;
        rx_account(tcb, -(int64_t)pkt_true_size(pkt));
        net_drop(tcb->net, pkt, why);
    }
    tcb->ooo_ranges_n--;
}

/* Gives up the highest range; false when there is none. */
static bool highest_drop(struct tcb *tcb, enum net_stat why)
{
    struct pkt **at = &tcb->ooo;
    if (*at == NULL)
        return false;
    while ((*at)->rx.range_next != NULL)
        at = &(*at)->rx.range_next;
    struct pkt *range = *at;
    *at = NULL;
    range_drop(tcb, range, why);
    return true;
}

bool reasm_reclaim(struct tcb *tcb)
{
    return highest_drop(tcb, NET_DROP_OOO_RECLAIM);
}

void reasm_drop_all(struct tcb *tcb)
{
    while (tcb->rxq_head != NULL) {
        struct pkt *pkt = tcb->rxq_head;
        tcb->rxq_head = pkt->next;
        rx_account(tcb, -(int64_t)pkt_true_size(pkt));
        pkt_put(pkt);
    }
    tcb->rxq_bytes = 0;
    while (tcb->ooo != NULL) {
        struct pkt *range = tcb->ooo;
        tcb->ooo = range->rx.range_next;
        range_drop(tcb, range, NET_DROP_OOO_RECLAIM);
    }
}

static void dsack_set(struct tcb *tcb, struct seq from, struct seq to)
{
    tcb->has_dsack = tcb->has_sack;
    tcb->dsack_from = from;
    tcb->dsack_to = to;
}

static void recent_push(struct tcb *tcb, struct seq seq)
{
    uint8_t n = tcb->recent_n < SACK_BLOCKS_MAX ? tcb->recent_n : SACK_BLOCKS_MAX - 1;
    memmove(tcb->recent + 1, tcb->recent, n * sizeof *tcb->recent);
    tcb->recent[0] = seq;
    tcb->recent_n = (uint8_t)(n + 1);
}

/* Joins the ranges behind `range` that its end has reached. `last` is its last packet, whose bytes
 * may reach into them. */
static void range_absorb(struct tcb *tcb, struct pkt *range)
{
    while (range->rx.range_next != NULL &&
           seq_leq(range_start(range->rx.range_next), range->rx.range_end)) {
        struct pkt *behind = range->rx.range_next, *last = range->rx.range_tail;
        range->rx.range_next = behind->rx.range_next;
        if (seq_leq(behind->rx.range_end, range->rx.range_end)) {
            range_drop(tcb, behind, NET_DROP_TCP_DUPLICATE);
            continue;
        }
        last->n -= (uint32_t)seq_diff(range->rx.range_end, range_start(behind));
        last->next = behind;
        range->rx.range_tail = behind->rx.range_tail;
        range->rx.range_end = behind->rx.range_end;
        tcb->ooo_ranges_n--;
    }
}

/* Bytes [seq, seq + n) of the packet, above rcv_nxt, go where they belong. */
static void ooo_insert(struct tcb *tcb, struct pkt *pkt, struct seq seq)
{
    struct seq end = seq_add(seq, pkt->n);
    struct pkt **at = &tcb->ooo;
    tcb->holes += *at == NULL;
    while (*at != NULL && seq_lt((*at)->rx.range_end, seq))
        at = &(*at)->rx.range_next;
    struct pkt *range = *at;
    if (range != NULL && seq_leq(range_start(range), seq)) { /* begins within, or right behind */
        int32_t over = seq_diff(range->rx.range_end, seq);
        if (seq_leq(end, range->rx.range_end)) {
            dsack_set(tcb, seq, end);
            recent_push(tcb, seq);
            net_drop(tcb->net, pkt, NET_DROP_TCP_DUPLICATE);
            return;
        }
        if (over > 0)
            dsack_set(tcb, seq, range->rx.range_end);
        pkt->data += over;
        pkt->n -= (uint32_t)over;
        pkt->next = NULL;
        range->rx.range_tail->next = pkt;
        range->rx.range_tail = pkt;
        range->rx.range_end = end;
    } else {
        pkt->next = NULL;
        pkt->rx.seq = seq;
        pkt->rx.range_end = end;
        pkt->rx.range_tail = pkt;
        pkt->rx.range_next = range;
        *at = pkt;
        range = pkt;
        tcb->ooo_ranges_n++;
    }
    rx_account(tcb, pkt_true_size(pkt));
    recent_push(tcb, seq);
    range_absorb(tcb, range);
    while (tcb->ooo_ranges_n > OOO_RANGES_MAX)
        (void)highest_drop(tcb, NET_DROP_OOO_RANGES);
}

/* Ranges that rcv_nxt has reached become readable. */
static void ooo_pull(struct tcb *tcb)
{
    while (tcb->ooo != NULL && seq_leq(range_start(tcb->ooo), tcb->rcv_nxt)) {
        struct pkt *range = tcb->ooo;
        int32_t skip = seq_diff(tcb->rcv_nxt, range_start(range));
        tcb->ooo = range->rx.range_next;
        tcb->rcv_nxt = seq_max(tcb->rcv_nxt, range->rx.range_end);
        tcb->ooo_ranges_n--;
        for (struct pkt *pkt = range, *next; pkt != NULL; pkt = next) {
            next = pkt->next;
            uint32_t cut = (uint32_t)min_u64((uint64_t)skip, pkt->n);
            skip -= (int32_t)cut;
            pkt->data += cut;
            pkt->n -= cut;
            if (pkt->n > 0) {
                rxq_append(tcb, pkt);
                continue;
            }
            rx_account(tcb, -(int64_t)pkt_true_size(pkt));
            net_drop(tcb->net, pkt, NET_DROP_TCP_DUPLICATE);
        }
    }
    if (tcb->ooo == NULL)
        tcb->recent_n = 0;
}

/* Within both limits; bytes in order have 64 KiB of their own. */
static bool has_room(const struct tcb *tcb, const struct pkt *pkt, uint64_t more)
{
    uint64_t size = pkt_true_size(pkt);
    return tcb->rx_true + size <= true_limit(tcb) + more &&
           tcb->net->rx_held + size <= tcb->net->config.rx_budget_bytes;
}

uint64_t reasm_room(const struct tcb *tcb)
{
    uint64_t limit = true_limit(tcb) + RX_IN_ORDER_MORE, budget = tcb->net->config.rx_budget_bytes;
    uint64_t held = tcb->net->rx_held;
    uint64_t own = limit > tcb->rx_true ? limit - tcb->rx_true : 0;
    return min_u64(own, budget > held ? budget - held : 0);
}

/* Something in order has come. */
static void data_tell(struct tcb *tcb, uint32_t segments)
{
    if (tcb->quick_n > 0) {
        tcb->quick_n -= (uint8_t)min_u64(tcb->quick_n, segments);
        tcb->is_ack_now = true;
    }
    tcb_dirty(tcb);
    tcb_tell(tcb, TCP_NEWS_DATA);
}

void reasm_run(struct tcb *tcb, struct pkt *head, struct pkt *tail, uint32_t bytes, uint64_t size,
               uint32_t segments, uint32_t mss)
{
    check_slow(tcb->ooo == NULL);
    rx_account(tcb, (int64_t)size);
    tcb->rcv_mss = (uint16_t)max_u64(tcb->rcv_mss, mss);
    tcb->rcv_nxt = seq_add(tcb->rcv_nxt, bytes);
    tcb->rxq_bytes += bytes;
    tcb->rx_bytes += bytes;
    tail->next = NULL;
    if (tcb->rxq_head == NULL)
        tcb->rxq_head = head;
    else
        tcb->rxq_tail->next = head;
    tcb->rxq_tail = tail;
    data_tell(tcb, segments);
}

void reasm_next(struct tcb *tcb, struct pkt *pkt)
{
    tcb->rcv_mss = (uint16_t)max_u64(tcb->rcv_mss, pkt->n);
    rx_account(tcb, pkt_true_size(pkt));
    tcb->rcv_nxt = seq_add(tcb->rcv_nxt, pkt->n);
    rxq_append(tcb, pkt);
    if (unlikely(tcb->ooo != NULL)) { /* it fills a gap */
        ooo_pull(tcb);
        tcb_ack_now(tcb);
    }
    data_tell(tcb, 1);
}

void reasm_input(struct tcb *tcb, struct segment *seg)
{
    struct net *net = tcb->net;
    struct pkt *pkt = seg->pkt;
    seg->pkt = NULL;
    bool is_in_order = seq_eq(seg->seq, tcb->rcv_nxt);
    uint64_t more = is_in_order ? RX_IN_ORDER_MORE : 0;
    while (!has_room(tcb, pkt, more) && reasm_reclaim(tcb)) {
    }
    if (!has_room(tcb, pkt, more)) {
        net_drop(net, pkt, NET_DROP_TCP_MEMORY);
        tcb_ack_now(tcb);
        return;
    }
    if (is_in_order) {
        reasm_next(tcb, pkt);
        return;
    }
    tcb->rcv_mss = (uint16_t)max_u64(tcb->rcv_mss, seg->n);
    ooo_insert(tcb, pkt, seg->seq);
    tcb_ack_now(tcb); /* RFC 5681 4.2 */
}

/* ── SACK blocks (RFC 2018 4, 2883) ── */

static const struct pkt *range_of(const struct tcb *tcb, struct seq seq)
{
    for (const struct pkt *range = tcb->ooo; range != NULL; range = range->rx.range_next)
        if (seq_leq(range_start(range), seq) && seq_lt(seq, range->rx.range_end))
            return range;
    return NULL;
}

/* Among the blocks from `first` on. */
static bool has_block(const struct tcp_opts *opts, uint8_t first, uint8_t n,
                      const struct pkt *range)
{
    for (uint8_t i = first; i < n; i++)
        if (seq_eq(opts->sacks[i].from, range_start(range)))
            return true;
    return false;
}

/* A duplicate first, once; then the ranges, the one that changed last first. */
uint8_t reasm_sacks(struct tcb *tcb, struct tcp_opts *opts, uint8_t max)
{
    uint8_t n = 0, first = 0;
    if (tcb->has_dsack) {
        opts->sacks[n].from = tcb->dsack_from;
        opts->sacks[n++].to = tcb->dsack_to;
        tcb->has_dsack = false;
        first = 1;
    }
    for (uint8_t i = 0; i < tcb->recent_n && n < max; i++) {
        const struct pkt *range = range_of(tcb, tcb->recent[i]);
        if (range == NULL || has_block(opts, first, n, range))
            continue;
        opts->sacks[n].from = range_start(range);
        opts->sacks[n++].to = range->rx.range_end;
    }
    for (const struct pkt *r = tcb->ooo; r != NULL && n < max; r = r->rx.range_next) {
        if (has_block(opts, first, n, r))
            continue;
        opts->sacks[n].from = range_start(r);
        opts->sacks[n++].to = r->rx.range_end;
    }
    return n;
}
