/*
 * lane.c - packets between a port's queue, the engine of this core and the lanes of others.
 *
 * Owner: worker; lanes_open, lanes_close and lane_capture_open: main, while no worker runs.
 *
 * Between two lanes there is one ring in each direction. What travels on it is a packet and one of
 * three words, in the low bits of its pointer:
 *
 *   RX    a received packet for your engine; if there is no room it is dropped, as by a full NIC
 *   TX    a packet of mine, or one I hold, to be sent through your queue
 *   BACK  a packet of yours that I am done with
 *
 * TX and BACK are never lost: what finds no room waits in a list here, in order.
 *
 * Who puts a packet: its pool belongs to one thread (the pool's lane, `home`). While another lane
 * holds it, its owner's release is lane_foreign_release, which queues it as BACK; at home the
 * pool's own release runs. Invariants:
 *   (1) pkt->owner.release == pkt->pool->release exactly when the pool's thread holds the packet;
 *   (2) pkt->holder is the lane that took it off a ring, while (1) is false;
 *   (3) a packet on a ring has one reference.
 *
 * What it does not do: no fragment is put together, so a fragment stays where it arrives.
 */
#include "lane.h"

#include <stdlib.h>

#include "bytes.h"
#include "capture.h"
#include "net_inside.h"
#include "ring.h"

enum {
    LANES_MAGIC = 0x6c616e65, /* "lane" */
    LANES_MAX = THREADS_MAX,
    LANE_BURSTS_MAX = 2,  /* of the queue, in one turn                           */
    LANE_OTHERS_MAX = 64, /* packets of one ring, in one turn                    */
    LANE_SEND_MAX = 512,  /* packets sent in one turn; the engine keeps the rest */
    TOEPLITZ_BYTES = 12,
    WORD_MASK = 7,
};

enum word { WORD_RX = 1, WORD_TX = 2, WORD_BACK = 3 };

/* A packet as it went by. Owner: worker. */
struct captured {
    uint64_t at_ns;
    uint32_t n, here_n;
    uint8_t bytes[LANE_CAPTURE_SNAP];
};

/* Owner: worker. */
struct lane {
    struct lanes *lanes;
    uint8_t number;
    bool has_queue;
    uint8_t via; /* whose queue sends for us; number when has_queue */
    struct net *net;
    struct post *post;
    struct pkt_queue *out;   /* out[i]: what waits for the ring to lane i; the word in `holder`   */
    uint32_t out_n;          /* in all of them */
    struct pkt_queue others; /* to be sent for other lanes */
    struct pkt
        *wait[PORT_BURST_N]; /* taken from the engine, not by the device: [wait_at, wait_n) */
    uint32_t wait_at, wait_n;
    struct lane_stats stats;
    struct captured *captured;
    uint32_t captured_max;
    uint64_t captured_n;
    uint64_t now_ns;
};

/* Owner: immutable, but for the lanes. */
struct lanes {
    uint32_t magic;
    struct port *port;
    uint16_t vlan;
    uint8_t n;
    struct lane *v;
    struct ring **rings; /* rings[from * n + to]; NULL for a lane with itself */
    uint8_t reta[PORT_RETA_N];
    uint32_t toeplitz[TOEPLITZ_BYTES][256];
};

/* ── boot ── */

/* Toeplitz's hash is linear: the hash of a tuple is the sum (xor) of what each byte gives. */
static void toeplitz_init(struct lanes *lanes)
{
    const uint8_t *key = lanes->port->facts.rss_key;
    for (uint32_t at = 0; at < TOEPLITZ_BYTES; at++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t hash = 0;
            for (uint32_t bit = 0; bit < 8; bit++) {
                uint32_t shift = at * 8 + bit;
                uint64_t window = load_u64(key + shift / 8);
                if ((byte & (0x80u >> bit)) != 0)
                    hash ^= (uint32_t)(window << shift % 8 >> 32);
            }
            lanes->toeplitz[at][byte] = hash;
        }
    }
}

static struct ring *lane_ring_make(void)
{
    uint64_t bytes = align_up(sizeof(struct ring) + LANE_RING_N * sizeof(void *), 64);
    struct ring *ring = aligned_alloc(64, bytes);
    if (ring != NULL)
        ring_init(ring, (void **)(ring + 1), LANE_RING_N);
    return ring;
}

static bool lanes_memory_init(struct lanes *lanes)
{
    uint32_t n = lanes->n;
    lanes->v = calloc(n, sizeof *lanes->v);
    lanes->rings = calloc((size_t)n * n, sizeof *lanes->rings);
    if (lanes->v == NULL || lanes->rings == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        lanes->v[i].out = calloc(n, sizeof *lanes->v[i].out);
        if (lanes->v[i].out == NULL)
            return false;
        for (uint32_t k = 0; k < n; k++)
            if (i != k && (lanes->rings[i * n + k] = lane_ring_make()) == NULL)
                return false;
    }
    return true;
}

static void lanes_memory_free(struct lanes *lanes)
{
    for (uint32_t i = 0; lanes->rings != NULL && i < (uint32_t)lanes->n * lanes->n; i++)
        free(lanes->rings[i]);
    for (uint32_t i = 0; lanes->v != NULL && i < lanes->n; i++) {
        free(lanes->v[i].out);
        free(lanes->v[i].captured);
    }
    free(lanes->rings);
    free(lanes->v);
    free(lanes);
}

int lanes_open(struct lanes **out, struct port *port, uint16_t vlan, struct net **nets,
               struct post **posts, uint8_t workers_n)
{
    check(workers_n > 0 && workers_n <= LANES_MAX);
    check(port->facts.rss_key_n >= TOEPLITZ_BYTES + 8 && port->facts.queues_n > 0);
    struct lanes *lanes = calloc(1, sizeof *lanes);
    if (lanes == NULL)
        return E_NO_MEMORY;
    lanes->magic = LANES_MAGIC;
    lanes->port = port;
    lanes->vlan = vlan;
    lanes->n = workers_n;
    if (!lanes_memory_init(lanes)) {
        lanes_memory_free(lanes);
        return E_NO_MEMORY;
    }
    toeplitz_init(lanes);
    for (uint32_t i = 0; i < PORT_RETA_N; i++)
        lanes->reta[i] = (uint8_t)(i % workers_n);
    for (uint8_t i = 0; i < workers_n; i++) {
        struct lane *lane = &lanes->v[i];
        lane->lanes = lanes;
        lane->number = i;
        lane->net = nets[i];
        lane->post = posts == NULL ? NULL : posts[i];
        lane->has_queue = i < port->facts.queues_n;
        lane->via = (uint8_t)(i % port->facts.queues_n);
        lane->net->big.home = lane->net->head.home = lane;
    }
    *out = lanes;
    return 0;
}

struct lane *lanes_at(struct lanes *lanes, uint8_t worker)
{
    check(lanes->magic == LANES_MAGIC && worker < lanes->n);
    return &lanes->v[worker];
}

const struct port *lane_port(const struct lane *lane)
{
    return lane->lanes->port;
}

const struct lane_stats *lane_stats(const struct lane *lane)
{
    return &lane->stats;
}

/* ── between lanes ── */

static void out_append(struct lane *lane, uint8_t to, struct pkt *pkt, enum word word)
{
    pkt->flags = (uint16_t)((pkt->flags & ~(WORD_MASK << 8)) | (uint32_t)word << 8);
    pkt_queue_append(&lane->out[to], pkt);
    lane->out_n++;
}

/* The last put of a packet that is not of this thread's pool. */
static void lane_foreign_release(struct slice_owner *owner)
{
    struct pkt *pkt = container_of(owner, struct pkt, owner);
    struct lane *home = pkt->pool->home;
    struct lane *here = &home->lanes->v[pkt->holder];
    check(home != here);
    out_append(here, home->number, pkt, WORD_BACK);
}

/* Moves what waits into the rings and wakes who reads them. */
static uint32_t out_flush(struct lane *lane)
{
    struct lanes *lanes = lane->lanes;
    uint32_t moved_n = 0;
    for (uint8_t to = 0; lane->out_n > 0 && to < lanes->n; to++) {
        struct pkt_queue *queue = &lane->out[to];
        uint32_t before_n = moved_n;
        while (queue->head != NULL) {
            struct pkt *pkt = queue->head, *next = pkt->next;
            uintptr_t word = pkt->flags >> 8 & WORD_MASK;
            if (!ring_write(lanes->rings[lane->number * lanes->n + to],
                            (void *)((uintptr_t)pkt | word)))
                break;
            queue->head = next;
            lane->out_n--;
            moved_n++;
        }
        if (moved_n > before_n && lane->post != NULL)
            mail_wake(lane->post, to);
    }
    return moved_n;
}

/* The packet is with this lane from now on: who puts it knows where it goes. */
static void pkt_hold(struct lane *lane, struct pkt *pkt)
{
    pkt->holder = lane->number;
    pkt->owner.release = pkt->pool->home == lane ? pkt->pool->release : lane_foreign_release;
}

static void from_other(struct lane *lane, void *item, struct now now)
{
    enum word word = (enum word)((uintptr_t)item & WORD_MASK);
    struct pkt *pkt = (struct pkt *)((uintptr_t)item & ~(uintptr_t)WORD_MASK);
    pkt_hold(lane, pkt);
    if (word == WORD_RX) {
        lane->stats.rx_from_others++;
        net_input(lane->net, pkt, now);
    } else if (word == WORD_TX) {
        pkt_queue_append(&lane->others, pkt);
    } else {
        check(pkt->pool->home == lane && pkt->owner.refs == 0);
        pkt->owner.release(&pkt->owner);
    }
}

static uint32_t from_others(struct lane *lane, struct now now)
{
    struct lanes *lanes = lane->lanes;
    uint32_t moved_n = 0;
    for (uint8_t from = 0; from < lanes->n; from++) {
        struct ring *ring = lanes->rings[from * lanes->n + lane->number];
        void *item;
        for (int i = 0; ring != NULL && i < LANE_OTHERS_MAX && (item = ring_read(ring)) != NULL;
             i++) {
            from_other(lane, item, now);
            moved_n++;
        }
    }
    return moved_n;
}

/* ── whose packet ── */

uint8_t lane_owner(const struct lane *lane, uint32_t peer_ip, uint16_t peer_port, uint32_t ip,
                   uint16_t port)
{
    const struct lanes *lanes = lane->lanes;
    uint8_t tuple[TOEPLITZ_BYTES];
    uint32_t hash = 0;
    store_u32(tuple, peer_ip);
    store_u32(tuple + 4, ip);
    store_u16(tuple + 8, peer_port);
    store_u16(tuple + 10, port);
    for (uint32_t i = 0; i < TOEPLITZ_BYTES; i++)
        hash ^= lanes->toeplitz[i][tuple[i]];
    return lanes->reta[hash % PORT_RETA_N];
}

/* An IPv4 packet's owner; the lane itself when it is not a segment and quotes none. */
static uint8_t ip4_owner(const struct lane *lane, const uint8_t *ip, uint32_t n)
{
    uint32_t head_n = n > 0 ? (ip[0] & 15u) * 4 : 0;
    if (n < IP4_BYTES || ip[0] >> 4 != 4 || head_n < IP4_BYTES || n < head_n + 4 ||
        (load_u16(ip + 6) & 0x3fff) != 0)
        return lane->number;
    const uint8_t *next = ip + head_n;
    if (ip[9] == IP_TCP)
        return lane_owner(lane, load_u32(ip + 12), load_u16(next), load_u32(ip + 16),
                          load_u16(next + 2));
    bool is_error = ip[9] == IP_ICMP && (next[0] == 3 || next[0] == 11 || next[0] == 12);
    if (!is_error || n < head_n + 8 + IP4_BYTES)
        return lane->number;
    const uint8_t *quoted = next + 8; /* a packet of ours: the peer is its destination */
    uint32_t quoted_n = (quoted[0] & 15u) * 4;
    if (quoted[9] != IP_TCP || quoted_n < IP4_BYTES || n < head_n + 8 + quoted_n + 4)
        return lane->number;
    return lane_owner(lane, load_u32(quoted + 16), load_u16(quoted + quoted_n + 2),
                      load_u32(quoted + 12), load_u16(quoted + quoted_n));
}

/* A reply to a question that any engine may have asked. */
static void arp_spread(struct lane *lane, const struct pkt *pkt)
{
    for (uint8_t to = 0; to < lane->lanes->n; to++) {
        if (to == lane->number)
            continue;
        struct pkt *copy = net_packet_take(lane->net);
        if (copy == NULL) {
            lane->stats.arp_no_packet++;
            return;
        }
        copy->n = (uint32_t)min_u64(pkt->n, pkt_tail_room(copy));
        memcpy(copy->data, pkt->data, copy->n);
        lane->stats.arp_copies++;
        out_append(lane, to, copy, WORD_RX);
    }
}

/* Is the tag ours? Engines accept any. */
static bool vlan_is_ours(const struct lane *lane, const struct pkt *pkt)
{
    bool has_tag = pkt->n >= ETH_BYTES + 4 && load_u16(pkt->data + 12) == ETHERTYPE_VLAN;
    uint16_t id = has_tag ? load_u16(pkt->data + 14) & 0xfff : 0;
    return id == lane->lanes->vlan;
}

static void captured_add(struct lane *lane, const struct pkt *pkt)
{
    if (lane->captured_max == 0)
        return;
    struct captured *c = &lane->captured[lane->captured_n++ % lane->captured_max];
    c->at_ns = lane->now_ns;
    c->n = pkt_bytes(pkt);
    c->here_n = (uint32_t)min_u64(pkt->n, LANE_CAPTURE_SNAP);
    memcpy(c->bytes, pkt->data, c->here_n);
    for (uint32_t i = 0; i < pkt->pieces_n && c->here_n < LANE_CAPTURE_SNAP; i++) {
        uint32_t part = (uint32_t)min_u64(pkt->pieces[i].n, LANE_CAPTURE_SNAP - c->here_n);
        memcpy(c->bytes + c->here_n, pkt->pieces[i].ptr, part);
        c->here_n += part;
    }
}

/* Whether the packet is for this lane's engine. */
static bool arrived(struct lane *lane, struct pkt *pkt)
{
    struct lanes *lanes = lane->lanes;
    captured_add(lane, pkt);
    lane->stats.rx_packets++;
    pkt->pool->home = lane;
    if (!vlan_is_ours(lane, pkt)) {
        lane->stats.rx_vlan++;
        pkt_put(pkt);
        return false;
    }
    uint8_t owner = lane->number;
    if (lanes->n > 1 && pkt->n >= ETH_BYTES + 4) {
        uint32_t at = load_u16(pkt->data + 12) == ETHERTYPE_VLAN ? ETH_BYTES + 4 : ETH_BYTES;
        uint16_t type = load_u16(pkt->data + at - 2);
        if (type == ETHERTYPE_IP4)
            owner = ip4_owner(lane, pkt->data + at, pkt->n - at);
        else if (type == ETHERTYPE_ARP && pkt->n >= at + 8 && load_u16(pkt->data + at + 6) == 2)
            arp_spread(lane, pkt);
    }
    if (owner == lane->number)
        return true;
    lane->stats.rx_redirected++;
    out_append(lane, owner, pkt, WORD_RX);
    return false;
}

uint32_t lane_rx(struct lane *lane, struct now now)
{
    struct port *port = lane->lanes->port;
    struct pkt *v[PORT_BURST_N];
    uint32_t moved_n = 0;
    lane->now_ns = now.ns;
    for (int i = 0; lane->has_queue && i < LANE_BURSTS_MAX; i++) {
        uint32_t n = port_rx(port, lane->number, v, PORT_BURST_N), ours_n = 0;
        for (uint32_t k = 0; k < n; k++)
            if (arrived(lane, v[k]))
                v[ours_n++] = v[k];
        net_input_burst(lane->net, v, ours_n, now);
        moved_n += n;
        if (n < PORT_BURST_N)
            break;
    }
    moved_n += from_others(lane, now);
    return moved_n + out_flush(lane);
}

/* ── out ── */

/* The tag in software: twelve bytes move, four come in. */
static void vlan_insert(struct pkt *pkt, uint16_t vlan)
{
    check(pkt->data - pkt->room >= 4);
    memmove(pkt->data - 4, pkt->data, 12);
    pkt->data -= 4;
    pkt->n += 4;
    store_u16(pkt->data + 12, ETHERTYPE_VLAN);
    store_u16(pkt->data + 14, vlan);
}

static struct pkt *out_next(struct lane *lane)
{
    struct pkt *pkt = pkt_queue_pop(&lane->others);
    if (pkt != NULL)
        return pkt;
    pkt = net_output_next(lane->net);
    if (pkt == NULL)
        return NULL;
    if (lane->lanes->vlan != 0)
        vlan_insert(pkt, lane->lanes->vlan);
    captured_add(lane, pkt);
    lane->stats.tx_packets++;
    return pkt;
}

/* One call of the device; false when there is nothing more, or it took less than it was given. */
static bool burst_send(struct lane *lane, uint32_t *sent_n)
{
    struct port *port = lane->lanes->port;
    if (lane->wait_at == lane->wait_n) {
        lane->wait_at = lane->wait_n = 0;
        for (struct pkt *pkt; lane->wait_n < PORT_BURST_N && (pkt = out_next(lane)) != NULL;)
            lane->wait[lane->wait_n++] = pkt;
    }
    uint32_t n = lane->wait_n - lane->wait_at;
    if (n == 0)
        return false;
    uint32_t taken_n = port_tx(port, lane->number, lane->wait + lane->wait_at, n);
    lane->wait_at += taken_n;
    *sent_n += taken_n;
    return taken_n == n;
}

uint32_t lane_tx(struct lane *lane, struct now now)
{
    uint32_t sent_n = 0;
    lane->now_ns = now.ns;
    if (!lane->has_queue) {
        for (struct pkt *pkt; sent_n < LANE_SEND_MAX && (pkt = out_next(lane)) != NULL; sent_n++)
            out_append(lane, lane->via, pkt, WORD_TX);
        lane->stats.tx_redirected += sent_n;
        return sent_n + out_flush(lane);
    }
    while (sent_n < LANE_SEND_MAX && burst_send(lane, &sent_n)) {
    }
    if (sent_n == 0 && lane->lanes->port->stats[lane->number].tx_held_n > 0)
        port_reclaim(lane->lanes->port, lane->number);
    return sent_n + out_flush(lane);
}

bool lane_is_busy(struct lane *lane)
{
    const struct lanes *lanes = lane->lanes;
    if (lane->out_n > 0 || lane->others.head != NULL || lane->wait_at < lane->wait_n)
        return true;
    for (uint8_t from = 0; from < lanes->n; from++) {
        struct ring *ring = lanes->rings[from * lanes->n + lane->number];
        if (ring != NULL && ring_has_more(ring))
            return true;
    }
    return false;
}

/* ── stop ── */

/* What is on its way comes home, whatever it was sent for. */
static void lane_drain(struct lane *lane)
{
    struct lanes *lanes = lane->lanes;
    for (uint8_t from = 0; from < lanes->n; from++) {
        struct ring *ring = lanes->rings[from * lanes->n + lane->number];
        for (void *item; ring != NULL && (item = ring_read(ring)) != NULL;) {
            struct pkt *pkt = (struct pkt *)((uintptr_t)item & ~(uintptr_t)WORD_MASK);
            enum word word = (enum word)((uintptr_t)item & WORD_MASK);
            pkt_hold(lane, pkt);
            if (word == WORD_BACK)
                pkt->owner.release(&pkt->owner);
            else
                pkt_put(pkt);
        }
    }
}

void lanes_close(struct lanes *lanes)
{
    check(lanes->magic == LANES_MAGIC);
    for (uint8_t i = 0; i < lanes->n; i++) {
        struct lane *lane = &lanes->v[i];
        while (lane->wait_at < lane->wait_n)
            pkt_put(lane->wait[lane->wait_at++]);
        for (struct pkt *pkt; (pkt = pkt_queue_pop(&lane->others)) != NULL;)
            pkt_put(pkt);
    }
    /* A packet comes home in at most two steps: off a ring, and back on another. */
    for (int step = 0; step < 3; step++) {
        for (uint8_t i = 0; i < lanes->n; i++) {
            lanes->v[i].post = NULL; /* nobody is to be woken any more */
            out_flush(&lanes->v[i]);
        }
        for (uint8_t i = 0; i < lanes->n; i++)
            lane_drain(&lanes->v[i]);
    }
    lanes->magic = 0;
    lanes_memory_free(lanes);
}

/* ── the last packets ── */

int lane_capture_open(struct lane *lane, uint32_t packets_n)
{
    if (packets_n == 0)
        return 0;
    lane->captured = calloc(packets_n, sizeof *lane->captured);
    if (lane->captured == NULL)
        return E_NO_MEMORY;
    lane->captured_max = packets_n;
    return 0;
}

uint64_t lane_capture_bytes_max(const struct lane *lane)
{
    return CAPTURE_FILE_BYTES +
           (uint64_t)lane->captured_max * (CAPTURE_FRAME_BYTES + LANE_CAPTURE_SNAP);
}

static_assert((int)LANE_CAPTURE_PART == (int)CAPTURE_FRAME_BYTES + (int)LANE_CAPTURE_SNAP &&
                  (int)LANE_CAPTURE_PART >= (int)CAPTURE_FILE_BYTES,
              "a part is a packet with its head, or the file's head");

uint32_t lane_capture_part(const struct lane *lane, uint32_t at, uint8_t to[LANE_CAPTURE_PART],
                           uint64_t wall_ns)
{
    uint64_t n = min_u64(lane->captured_n, lane->captured_max);

    if (lane->captured_max == 0 || at > n)
        return 0;
    if (at == 0) {
        capture_file_head(to);
        return CAPTURE_FILE_BYTES;
    }
    uint64_t from = lane->captured_n - n + at - 1;
    const struct captured *c = &lane->captured[from % lane->captured_max];
    uint32_t here_n = (uint32_t)min_u64(c->here_n, LANE_CAPTURE_SNAP);
    capture_frame_head(to, c->at_ns + wall_ns, here_n, c->n);
    memcpy(to + CAPTURE_FRAME_BYTES, c->bytes, here_n);
    return CAPTURE_FRAME_BYTES + here_n;
}

uint64_t lane_capture_write(const struct lane *lane, uint8_t *to, uint64_t to_n, uint64_t wall_ns)
{
    uint8_t part[LANE_CAPTURE_PART];
    uint64_t bytes = 0;
    uint32_t n;

    if (to_n < lane_capture_bytes_max(lane))
        return 0;
    for (uint32_t at = 0; (n = lane_capture_part(lane, at, part, wall_ns)) > 0; at++) {
        memcpy(to + bytes, part, n);
        bytes += n;
    }
    return bytes;
}
