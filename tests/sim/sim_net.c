/*
 * sim_net.c - see sim_net.h.
 *
 * Owner: the simulator.
 */
#include "sim_net.h"

#include <stdio.h>
#include <stdlib.h>

#include "net_cut.h"
#include "wire.h"

enum {
    FRAME_MAX = 1514,
    FLIGHT_MAX = 8192,
    HELD_MAX = 256,
    PACKETS_N = 1024,
    TO_BROKER = 0,
    TO_CLIENTS = 1,
};
#define CLIENTS_IP 0x0a000002u

/* A frame under way. */
struct flight {
    uint64_t at_ns, order;
    uint32_t n;
    uint8_t bytes[FRAME_MAX];
};

/* Owner: the simulator. */
struct sim_net {
    struct port port;
    struct pkt_pool pool; /* of the broker's port, while it is open */
    bool is_open;
    struct net *clients;
    struct prng prng;
    uint64_t now_ns, order, frames_n, lost_n;
    struct flight *flights[2][FLIGHT_MAX]; /* by destination; heaps by time */
    uint32_t flights_n[2];
    struct {
        struct pkt *pkt;
        uint64_t until_ns;
    } held[HELD_MAX]; /* sent by the broker, still with the device; oldest first */
    uint32_t held_n;
    uint32_t nic;                          /* offloads of the broker's device that the seed chose */
    uint8_t loss, twice, reorder, corrupt; /* percent */
    uint64_t delay_ns, jitter_ns;
};

static const uint8_t macs[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};

/* ── frames ── */

static bool flight_lt(const struct flight *a, const struct flight *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void flight_push(struct sim_net *n, int to, struct flight *f)
{
    struct flight **heap = n->flights[to];
    uint32_t at = n->flights_n[to]++;
    f->order = n->order++;
    for (; at > 0 && flight_lt(f, heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = f;
}

/* The next frame that has arrived; NULL when there is none. */
static struct flight *flight_pop(struct sim_net *n, int to)
{
    struct flight **heap = n->flights[to], *out = heap[0];
    if (n->flights_n[to] == 0 || out->at_ns > n->now_ns)
        return NULL;
    struct flight *last = heap[--n->flights_n[to]];
    uint32_t at = 0, left = n->flights_n[to];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= left)
            break;
        if (child + 1 < left && flight_lt(heap[child + 1], heap[child]))
            child++;
        if (!flight_lt(heap[child], last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return out;
}

static void frame_fly(struct sim_net *n, int to, const struct pkt *pkt, uint32_t part,
                      bool is_again)
{
    if (n->flights_n[to] == FLIGHT_MAX || prng_chance(&n->prng, n->loss)) {
        n->lost_n++;
        return;
    }
    struct flight *f = malloc(sizeof *f);
    check(f != NULL && cut_bytes(pkt, part) <= FRAME_MAX);
    f->n = cut_copy(pkt, part, f->bytes);
    f->at_ns = n->now_ns + n->delay_ns;
    if (is_again || prng_chance(&n->prng, n->reorder))
        f->at_ns += prng_below(&n->prng, n->jitter_ns + 1);
    /* Behind the addresses: what no checksum covers is not broken. */
    if (f->n > HEADS_BYTES && prng_chance(&n->prng, n->corrupt))
        f->bytes[HEADS_BYTES - TCP_BYTES + prng_below(&n->prng, f->n - HEADS_BYTES + TCP_BYTES)] ^=
            (uint8_t)(1u << prng_below(&n->prng, 8));
    flight_push(n, to, f);
}

static void frame_carry(struct sim_net *n, int to, const struct pkt *pkt)
{
    for (uint32_t part = 0; part < cut_parts_n(pkt); part++) {
        n->frames_n++;
        frame_fly(n, to, pkt, part, false);
        if (prng_chance(&n->prng, n->twice))
            frame_fly(n, to, pkt, part, true);
    }
}

/* ── the broker's device ── */

static struct sim_net *net_of(struct port *port)
{
    return container_of(port, struct sim_net, port);
}

static void held_put(struct sim_net *n, bool are_all)
{
    uint32_t done = 0;
    while (done < n->held_n && (are_all || n->held[done].until_ns <= n->now_ns))
        pkt_put(n->held[done++].pkt);
    n->held_n -= done;
    memmove(n->held, n->held + done, n->held_n * sizeof *n->held);
    n->port.stats[0].tx_held_n = n->held_n;
}

static uint32_t device_rx(struct port *port, uint16_t queue, struct pkt **v, uint32_t max)
{
    struct sim_net *n = net_of(port);
    uint32_t got = 0;
    struct flight *f;
    (void)queue;
    held_put(n, false);
    while (got < max && (f = flight_pop(n, TO_BROKER)) != NULL) {
        struct pkt *pkt = pkt_take(&n->pool, 0);
        if (pkt != NULL) { /* otherwise it is lost, as with a device without buffers */
            memcpy(pkt->data, f->bytes, f->n);
            pkt->n = f->n;
            v[got++] = pkt;
        }
        free(f);
    }
    return got;
}

static uint32_t device_tx(struct port *port, uint16_t queue, struct pkt *const *v, uint32_t count)
{
    struct sim_net *n = net_of(port);
    uint32_t i;
    (void)queue;
    held_put(n, false);
    for (i = 0; i < count && n->held_n < HELD_MAX; i++) {
        frame_carry(n, TO_CLIENTS, v[i]);
        n->held[n->held_n].pkt = v[i];
        n->held[n->held_n++].until_ns = n->now_ns + prng_below(&n->prng, 2 * n->delay_ns + 1);
    }
    n->port.stats[0].tx_held_n = n->held_n;
    return i;
}

static void device_reclaim(struct port *port, uint16_t queue)
{
    (void)queue;
    held_put(net_of(port), false);
}

static const struct port_ops device_ops = {device_rx, device_tx, device_reclaim, NULL, NULL};

void sim_net_devargs(const struct sim_net *n, char *to, size_t to_n)
{
    snprintf(to, to_n, "%p", (const void *)n);
}

static int driver_open(const struct ports_config *config, struct port **out, FILE *report,
                       char *why, size_t why_n)
{
    void *at = NULL;
    (void)report;
    (void)why;
    (void)why_n;
    check(config->ports_n == 1 && sscanf(config->ports[0].devargs, "%p", &at) == 1);
    struct sim_net *n = at;
    check(!n->is_open && pkt_pool_init(&n->pool, PACKETS_N, PKT_ROOM));
    n->is_open = true;
    n->port = (struct port){.ops = &device_ops,
                            .facts = {.name = "sim0",
                                      .driver = "sim",
                                      .mtu = 1500,
                                      .queues_n = 1,
                                      .room_n = PKT_ROOM,
                                      .offloads = PORT_TX_PIECES | PORT_TX_REFERENCE | n->nic,
                                      .tso_bytes = 65535,
                                      .tso_pieces = PKT_PIECES_MAX,
                                      .packets_n = PACKETS_N,
                                      .rss_key_n = 40}};
    memcpy(n->port.facts.mac, macs[TO_BROKER], 6);
    for (int i = 0; i < 40; i++)
        n->port.facts.rss_key[i] = (uint8_t)prng_next(&n->prng);
    out[0] = &n->port;
    return 0;
}

static int driver_memory(struct port **ports, uint32_t n, void *base, uint64_t bytes)
{
    (void)ports;
    (void)n;
    (void)base;
    (void)bytes;
    return 0;
}

static void driver_thread(void)
{
}

static void driver_stop(struct port **ports, uint32_t ports_n)
{
    check(ports_n == 1);
    held_put(net_of(ports[0]), true);
}

static void driver_close(struct port **ports, uint32_t ports_n)
{
    struct sim_net *n = net_of(ports[0]);
    check(ports_n == 1 && n->held_n == 0 && n->pool.free_n == n->pool.n); /* nothing has leaked */
    pkt_pool_fini(&n->pool);
    n->is_open = false;
}

const struct port_driver sim_net_driver = {"sim",         driver_open, driver_memory,
                                           driver_thread, driver_stop, driver_close};

/* ── the clients ── */

struct copied {
    struct slice_owner owner;
    uint8_t bytes[];
};

static void copied_release(struct slice_owner *owner)
{
    free(container_of(owner, struct copied, owner));
}

struct slice sim_net_slice(const uint8_t *p, uint32_t bytes)
{
    struct copied *c = malloc(sizeof *c + bytes);
    check(c != NULL);
    c->owner = (struct slice_owner){1, copied_release};
    memcpy(c->bytes, p, bytes);
    return (struct slice){c->bytes, bytes, &c->owner};
}

struct net *sim_net_clients(struct sim_net *n)
{
    return n->clients;
}

void sim_net_counts(const struct sim_net *n, uint64_t *frames, uint64_t *lost)
{
    *frames = n->frames_n;
    *lost = n->lost_n;
}

void sim_net_clock(struct sim_net *n, struct now now)
{
    n->now_ns = now.ns;
}

void sim_net_turn(struct sim_net *n, struct now now)
{
    uint32_t news;
    struct pkt *v[BURST_MAX];
    uint32_t count = 0;
    for (struct flight *f; (f = flight_pop(n, TO_CLIENTS)) != NULL; free(f)) {
        if ((v[count] = net_packet_take(n->clients)) == NULL)
            continue;
        memcpy(v[count]->data, f->bytes, f->n);
        v[count++]->n = f->n;
        if (count == BURST_MAX) {
            net_input_burst(n->clients, v, count, now);
            count = 0;
        }
    }
    net_input_burst(n->clients, v, count, now);
    for (struct tcb *tcb; (tcb = net_news_next(n->clients, &news)) != NULL;)
        wire_news(tcp_user(tcb), news);
    net_turn(n->clients, now);
    for (struct pkt *pkt; (pkt = net_output_next(n->clients)) != NULL;) {
        frame_carry(n, TO_BROKER, pkt);
        pkt_put(pkt);
    }
}

struct sim_net *sim_net_new(uint64_t seed, struct now now)
{
    static const uint64_t delays[] = {20 * NS_PER_US, 200 * NS_PER_US, NS_PER_MS};
    struct sim_net *n = calloc(1, sizeof *n);
    check(n != NULL);
    prng_init(&n->prng, seed);
    n->now_ns = now.ns;
    n->delay_ns = delays[prng_below(&n->prng, array_n(delays))];
    n->jitter_ns = 2 * n->delay_ns;
    n->loss = (uint8_t)prng_below(&n->prng, 4);
    n->twice = (uint8_t)prng_below(&n->prng, 4);
    n->reorder = (uint8_t)prng_below(&n->prng, 10);
    n->corrupt = (uint8_t)prng_below(&n->prng, 3);
    n->nic = seed % 2 == 0 ? PORT_TX_SUM | PORT_TX_TSO : 0;
    struct net_config config = {.ip = CLIENTS_IP,
                                .mask = 0xffffff00,
                                .tcbs_max = 256,
                                .rto_min_ms = 20,
                                .delayed_ack_ms = 5,
                                .time_wait_ms = 100,
                                .seed = seed};
    memcpy(config.mac, macs[TO_CLIENTS], 6);
    check(net_init(&n->clients, &config, now) == 0);
    return n;
}

void sim_net_free(struct sim_net *n)
{
    check(!n->is_open);
    for (int to = 0; to < 2; to++)
        for (uint32_t i = 0; i < n->flights_n[to]; i++)
            free(n->flights[to][i]);
    net_fini(n->clients);
    free(n);
}
