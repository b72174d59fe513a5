/*
 * port_dpdk.c - ports over DPDK's Ethernet devices.
 *
 * Owner: main at the start and the end; queue i: the thread that polls it.
 *
 * Receiving. Our packet is the private part of the device's buffer, so a received packet is handed
 * over as it is, and its room is the buffer:
 *
 *      rte_mbuf | struct pkt | room: 128 bytes, the frame ...
 *               ^ private part, sizeof(struct pkt)  ^ buf_addr
 *
 * Sending. A short packet (TX_COPY_MAX), or one whose pieces the device cannot reach or gather, is
 * copied into a buffer of ours and put at once. Any other is described by one buffer for its head
 * and one for each piece, all of them external memory. They share one count of references, which
 * lives in the packet's own room, before its head; when the device has let go of the last of them
 * the packet is put, and with it the pieces:
 *
 *      room: | struct tx_head (32) | tag (4) | ... Ethernet header, at HEAD_AT ...
 *
 * A packet for several segments (PKT_TX_TSO) goes the same ways; a copy of it is a chain of
 * buffers.
 *
 * A device that keeps what it has sent until the next send must be told to give it back
 * (rte_eth_tx_done_cleanup). One that cannot do that, and is not known to be done when it has taken
 * a packet, gets copies: memory of the log must not hang on the next packet of a quiet NIC.
 *
 * Memory and devices: a device of the kernel is fed by the CPU and reaches everything. A PCI device
 * reaches what was mapped for it (memory); with IOVA=PA, where our pages have no stable address,
 * that is nothing, so all payload is copied, and the start lines say so.
 *
 * What it does not do: no scattered receive (a frame larger than its buffer is dropped by the
 * device), no interrupts (port_wait.c has what threads sleep on), no VLAN offload (the lane has
 * tags in software).
 */
#define ALLOW_EXPERIMENTAL_API /* rte_dev_dma_map */
#include "port_inside.h"

#include "bytes.h"
#include "checksum.h"
#include "pkt.h"
#include "prng.h"
#undef unused /* DPDK has a parameter of that name */

#include <errno.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    RX_DESCRIPTORS_N = 1024,
    TX_DESCRIPTORS_N = 1024,
    TX_COPY_MAX = 256,
    TX_HEADS_N = 8192, /* buffers without room, of each queue: pieces under way */
    ETH_HEAD_BYTES = 18,
    ETH_MIN_BYTES = 60,
    RANGES_MAX = 1024,
    ROOM_ALIGN = 64,
    JUMBO_SLACK = 384,
    ROOM_MIN = 2176, /* what net_af_packet asks for with its default frames of 2 KiB */
    POOL_CACHE_N = 256,
    QUEUE_OVERHEAD_BYTES = 4 << 20,
    EAL_BYTES = 48 << 20,
};

/* In a sent packet's room, while devices refer to it. */
struct tx_head {
    struct rte_mbuf_ext_shared_info info;
    struct queue *queue;
};
static_assert(sizeof(struct tx_head) + 4 <= 40, "a head and a tag fit before HEAD_AT");
static_assert(sizeof(struct pkt) % RTE_MBUF_PRIV_ALIGN == 0, "the room follows the private part");
static_assert(offsetof(struct pkt, room) == sizeof(struct pkt), "and is the buffer");

/* One queue, both ways. Owner: its thread. */
struct queue {
    struct device *device;
    uint16_t number;
    struct rte_mempool *rx, *copies, *heads;
    uint32_t copy_room;                     /* bytes that a buffer of `copies` takes */
    struct pkt_pool pool;                   /* what received packets name as theirs */
    struct rte_mbuf *pending[PORT_BURST_N]; /* ours to send; the device had no room */
    uint16_t pending_n;
};

/* Memory a device may read. Owner: main; immutable once packets move. */
struct range {
    const uint8_t *from, *to;
};

/* Owner: see port.h. */
struct device {
    struct port port;
    uint16_t id;
    bool is_started, is_physical;
    bool is_virtio;  /* net_virtio, net_virtio_user, net_vhost: see is_sum_good */
    bool has_ip_sum; /* it writes the IPv4 header's checksum of what it cuts */
    struct queue queues[PORT_QUEUES_MAX];
    int wait_fds[PORT_QUEUES_MAX];
    struct range ranges[RANGES_MAX]; /* sorted; of a physical device */
    uint32_t ranges_n;
};

printf_like(3, 4) nodiscard static int because(char *why, size_t why_n, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, why_n, format, args);
    va_end(args);
    return E_UNSUPPORTED;
}

/* ── receiving ── */

static struct rte_mbuf *mbuf_of(struct pkt *pkt)
{
    return (struct rte_mbuf *)(void *)((uint8_t *)pkt - sizeof(struct rte_mbuf));
}

static void rx_release(struct slice_owner *owner)
{
    rte_pktmbuf_free(mbuf_of(container_of(owner, struct pkt, owner)));
}

/* A buffer that is not of our pool, or in several parts: its bytes into one that is. */
static struct rte_mbuf *rx_own(struct queue *q, struct rte_mbuf *m)
{
    struct rte_mbuf *copy = rte_pktmbuf_alloc(q->rx);

    if (copy != NULL && m->pkt_len <= rte_pktmbuf_tailroom(copy)) {
        uint8_t *to = rte_pktmbuf_mtod(copy, uint8_t *);
        for (const struct rte_mbuf *part = m; part != NULL; part = part->next) {
            memcpy(to, rte_pktmbuf_mtod(part, const uint8_t *), part->data_len);
            to += part->data_len;
        }
        copy->data_len = (uint16_t)m->pkt_len;
        copy->pkt_len = m->pkt_len;
        copy->ol_flags = m->ol_flags & (RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_IP_CKSUM_MASK);
    } else if (copy != NULL) {
        rte_pktmbuf_free(copy);
        copy = NULL;
    }
    rte_pktmbuf_free(m);
    return copy;
}

/* NONE is a driver's word for a checksum that is wrong in the packet while the data are whole. From
 * virtio it means that the sender, on this machine, left the sum to a device that had nothing to
 * do: the field must say so, and the packet has met no wire. Whatever else is not GOOD the engine
 * verifies, so no driver's mistaken NONE lets a broken packet in. */
static bool is_sum_good(const struct device *d, const struct rte_mbuf *m)
{
    uint64_t sum = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

    return sum == RTE_MBUF_F_RX_L4_CKSUM_GOOD ||
           (unlikely(sum == RTE_MBUF_F_RX_L4_CKSUM_NONE) && d->is_virtio &&
            sum_tcp_is_open(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len));
}

static uint32_t dpdk_rx(struct port *port, uint16_t queue, struct pkt **v, uint32_t max)
{
    struct device *d = container_of(port, struct device, port);
    struct queue *q = &d->queues[queue];
    struct port_stats *stats = &port->stats[queue];
    struct rte_mbuf *ms[PORT_BURST_N];
    uint16_t n = rte_eth_rx_burst(d->id, queue, ms, (uint16_t)min_u64(max, PORT_BURST_N));
    uint32_t out_n = 0;

    for (uint16_t i = 0; i < n; i++) {
        struct rte_mbuf *m = ms[i];
        stats->rx_packets++;
        stats->rx_bytes += m->pkt_len;
        if (unlikely(m->pool != q->rx || m->nb_segs != 1 || RTE_MBUF_HAS_EXTBUF(m)) &&
            (m = rx_own(q, m)) == NULL)
            continue;
        struct pkt *pkt = rte_mbuf_to_priv(m);
        pkt->next = NULL;
        pkt->pool = &q->pool;
        pkt->data = rte_pktmbuf_mtod(m, uint8_t *);
        pkt->n = m->data_len;
        bool is_ip_good =
            (m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
        pkt->flags =
            (uint16_t)((is_sum_good(d, m) ? PKT_SUM_GOOD : 0) | (is_ip_good ? PKT_IP_GOOD : 0));
        pkt->pieces_n = 0;
        pkt->owner = (struct slice_owner){1, rx_release};
        v[out_n++] = pkt;
    }
    return out_n;
}

/* ── sending ── */

/* The device has let go of the last buffer that refers to the packet. */
static void tx_done(void *addr, void *opaque)
{
    struct pkt *pkt = opaque;
    struct queue *q = ((struct tx_head *)(void *)pkt->room)->queue;

    (void)addr;
    q->device->port.stats[q->number].tx_held_n--;
    pkt_put(pkt);
}

static bool is_reachable(const struct device *d, const uint8_t *p, uint32_t n)
{
    uint32_t from = 0, to = d->ranges_n;

    if (!d->is_physical)
        return true;
    while (from < to) {
        uint32_t at = (from + to) / 2;
        if (d->ranges[at].to <= p)
            from = at + 1;
        else
            to = at;
    }
    return from < d->ranges_n && d->ranges[from].from <= p && p + n <= d->ranges[from].to;
}

static bool can_refer(const struct device *d, const struct pkt *pkt)
{
    if ((d->port.facts.offloads & PORT_TX_REFERENCE) == 0 ||
        pkt->data - pkt->room < (ptrdiff_t)sizeof(struct tx_head) || pkt->owner.refs != 1 ||
        !is_reachable(d, pkt->data, pkt->n))
        return false;
    for (uint32_t i = 0; i < pkt->pieces_n; i++)
        if (!is_reachable(d, pkt->pieces[i].ptr, pkt->pieces[i].n))
            return false;
    return true;
}

static void sum_ask(const struct pkt *pkt, struct rte_mbuf *m)
{
    bool has_tag = load_u16(pkt->data + 12) == 0x8100;

    if ((pkt->flags & PKT_TX_SUM) == 0)
        return;
    m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
    m->l2_len = has_tag ? 18 : 14;
    m->l3_len = 20;
    m->l4_len = (uint64_t)(pkt->data[m->l2_len + 20 + 12] >> 4) * 4;
}

/* Checksums, and whether it is to be cut. `head`: where the buffer has the packet's headers. */
static void offloads_ask(struct queue *q, const struct pkt *pkt, struct rte_mbuf *m, uint8_t *head)
{
    sum_ask(pkt, m);
    if ((pkt->flags & PKT_TX_TSO) == 0)
        return;
    m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
    m->tso_segsz = pkt->segment_n;
    if (q->device
            ->has_ip_sum) { /* a device that writes it for each segment wants 0 to begin with */
        m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
        store_u16(head + m->l2_len + 10, 0);
    }
    q->device->port.stats[q->number].tx_large++;
}

/* Appends to a chain, from part *at on, which has room for it. */
static void parts_append(struct rte_mbuf **parts, uint32_t *at, const uint8_t *p, uint32_t n)
{
    while (n > 0) {
        struct rte_mbuf *m = parts[*at];
        uint32_t here = (uint32_t)min_u64(n, rte_pktmbuf_tailroom(m));
        memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), p, here);
        m->data_len = (uint16_t)(m->data_len + here);
        p += here;
        n -= here;
        *at += n > 0;
    }
}

static struct rte_mbuf *tx_copy(struct queue *q, struct pkt *pkt, uint32_t bytes)
{
    static const uint8_t zeros[ETH_MIN_BYTES];
    struct rte_mbuf *parts[PORT_TX_PARTS_MAX];
    uint32_t n = (bytes + q->copy_room - 1) / q->copy_room, at = 0;

    check(n <= PORT_TX_PARTS_MAX);
    if (rte_pktmbuf_alloc_bulk(q->copies, parts, n) != 0)
        return NULL;
    parts_append(parts, &at, pkt->data, pkt->n);
    for (uint32_t i = 0; i < pkt->pieces_n; i++)
        parts_append(parts, &at, pkt->pieces[i].ptr, pkt->pieces[i].n);
    if (bytes < ETH_MIN_BYTES)
        parts_append(parts, &at, zeros, ETH_MIN_BYTES - bytes);
    for (uint32_t i = 0; i + 1 < n; i++)
        parts[i]->next = parts[i + 1];
    parts[0]->nb_segs = (uint16_t)n;
    parts[0]->pkt_len = (uint32_t)max_u64(bytes, ETH_MIN_BYTES);
    offloads_ask(q, pkt, parts[0], rte_pktmbuf_mtod(parts[0], uint8_t *));
    q->device->port.stats[q->number].tx_copied += pkt->pieces_n > 0;
    pkt_put(pkt);
    return parts[0];
}

static void part_attach(struct rte_mbuf *m, const uint8_t *p, uint32_t n, struct tx_head *head)
{
    /* IOVA=VA where it matters: the address is the address. */
    rte_pktmbuf_attach_extbuf(m, (void *)(uintptr_t)p, (rte_iova_t)(uintptr_t)p, (uint16_t)n,
                              &head->info);
    m->data_off = 0;
    m->data_len = (uint16_t)n;
}

static struct rte_mbuf *tx_refer(struct queue *q, struct pkt *pkt, uint32_t bytes)
{
    struct tx_head *head = (struct tx_head *)(void *)pkt->room;
    struct rte_mbuf *parts[PKT_PIECES_MAX + 1];
    uint32_t n = pkt->pieces_n + 1u;
    struct port_stats *stats = &q->device->port.stats[q->number];

    if (rte_pktmbuf_alloc_bulk(q->heads, parts, n) != 0)
        return NULL;
    head->queue = q;
    head->info.free_cb = tx_done;
    head->info.fcb_opaque = pkt;
    rte_mbuf_ext_refcnt_set(&head->info, (uint16_t)n);
    part_attach(parts[0], pkt->data, pkt->n, head);
    for (uint32_t i = 0; i < pkt->pieces_n; i++) {
        part_attach(parts[i + 1], pkt->pieces[i].ptr, pkt->pieces[i].n, head);
        parts[i]->next = parts[i + 1];
    }
    parts[0]->nb_segs = (uint16_t)n;
    parts[0]->pkt_len = bytes;
    offloads_ask(q, pkt, parts[0], pkt->data);
    stats->tx_held_n++;
    stats->tx_referenced++;
    return parts[0];
}

/* The buffers that describe the packet, which is the port's from now on; NULL: none are free. */
static struct rte_mbuf *tx_build(struct queue *q, struct pkt *pkt)
{
    uint32_t bytes = pkt_bytes(pkt);
    struct rte_mbuf *m = NULL;

    if (bytes > TX_COPY_MAX && can_refer(q->device, pkt))
        m = tx_refer(q, pkt, bytes);
    return m != NULL ? m : tx_copy(q, pkt, bytes);
}

/* False: the device has no room for all that is pending. */
static bool pending_send(struct queue *q)
{
    struct device *d = q->device;
    struct port_stats *stats = &d->port.stats[q->number];

    if (q->pending_n == 0)
        return true;
    uint16_t n = q->pending_n;
    if ((d->port.facts.offloads & PORT_TX_SUM) != 0)
        n = rte_eth_tx_prepare(d->id, q->number, q->pending, n);
    uint16_t sent_n = rte_eth_tx_burst(d->id, q->number, q->pending, n);
    if (n < q->pending_n && sent_n == n && n == 0) { /* the device will never take the first */
        rte_pktmbuf_free(q->pending[0]);
        stats->tx_refused++;
        sent_n = 1;
    }
    stats->tx_packets += sent_n;
    q->pending_n = (uint16_t)(q->pending_n - sent_n);
    memmove(q->pending, q->pending + sent_n, q->pending_n * sizeof q->pending[0]);
    stats->tx_full += q->pending_n > 0;
    return q->pending_n == 0;
}

static uint32_t dpdk_tx(struct port *port, uint16_t queue, struct pkt *const *v, uint32_t n)
{
    struct device *d = container_of(port, struct device, port);
    struct queue *q = &d->queues[queue];
    uint32_t taken_n = 0;

    if (!pending_send(q))
        return 0;
    while (taken_n < n && q->pending_n < PORT_BURST_N) {
        uint32_t bytes = pkt_bytes(v[taken_n]);
        struct rte_mbuf *m = tx_build(q, v[taken_n]);
        if (m == NULL) {
            port->stats[queue].tx_no_buffer++;
            break;
        }
        port->stats[queue].tx_bytes += bytes;
        q->pending[q->pending_n++] = m;
        taken_n++;
    }
    (void)pending_send(q);
    return taken_n;
}

static void dpdk_reclaim(struct port *port, uint16_t queue)
{
    struct device *d = container_of(port, struct device, port);

    (void)pending_send(&d->queues[queue]);
    (void)rte_eth_tx_done_cleanup(d->id, queue, 0);
}

static void dpdk_device_stats(struct port *port, struct port_device_stats *out)
{
    struct device *d = container_of(port, struct device, port);
    struct rte_eth_stats s;

    *out = (struct port_device_stats){0};
    if (!d->is_started || rte_eth_stats_get(d->id, &s) != 0)
        return;
    *out = (struct port_device_stats){s.ipackets, s.imissed,  s.rx_nombuf,
                                      s.ierrors,  s.opackets, s.oerrors};
}

static int dpdk_wait_fd(const struct port *port, uint16_t queue)
{
    return container_of(port, struct device, port)->wait_fds[queue];
}

static const struct port_ops dpdk_ops = {dpdk_rx, dpdk_tx, dpdk_reclaim, dpdk_device_stats,
                                         dpdk_wait_fd};

/* ── the start ── */

static uint16_t room_of(uint16_t mtu)
{
    uint64_t room = RTE_PKTMBUF_HEADROOM + ETH_HEAD_BYTES + (uint64_t)mtu;

    if (mtu > 1500) /* some drivers ask for whole frames of theirs */
        room += JUMBO_SLACK;
    return (uint16_t)max_u64(align_up(room, ROOM_ALIGN), ROOM_MIN);
}

static uint64_t queue_bytes(const struct ports_config *config, uint16_t mtu)
{
    uint64_t buffer = sizeof(struct rte_mbuf) + 128;
    uint64_t rx_n = config->packets_n + RX_DESCRIPTORS_N;

    return rx_n * (buffer + sizeof(struct pkt) + room_of(mtu)) +
           (TX_DESCRIPTORS_N + 512ull) * (buffer + room_of(mtu)) + TX_HEADS_N * buffer +
           QUEUE_OVERHEAD_BYTES;
}

static uint64_t memory_needed(const struct ports_config *config)
{
    uint64_t bytes = EAL_BYTES;

    for (uint32_t i = 0; i < config->ports_n; i++) {
        const struct port_config *p = &config->ports[i];
        bytes += queue_bytes(config, p->mtu != 0 ? p->mtu : 1500) * max_u64(p->queues_n, 1);
    }
    return align_up(bytes, 2 << 20);
}

nodiscard static int queue_init(struct queue *q, const struct ports_config *config, char *why,
                                size_t why_n)
{
    struct device *d = q->device;
    uint16_t room = d->port.facts.room_n;
    char name[RTE_MEMPOOL_NAMESIZE];

    snprintf(name, sizeof name, "rx-%u-%u", d->id, q->number);
    q->rx = rte_pktmbuf_pool_create(name, config->packets_n + RX_DESCRIPTORS_N - 1, POOL_CACHE_N,
                                    sizeof(struct pkt), room, SOCKET_ID_ANY);
    snprintf(name, sizeof name, "copies-%u-%u", d->id, q->number);
    q->copies =
        rte_pktmbuf_pool_create(name, TX_DESCRIPTORS_N + 511, POOL_CACHE_N, 0, room, SOCKET_ID_ANY);
    snprintf(name, sizeof name, "heads-%u-%u", d->id, q->number);
    q->heads = rte_pktmbuf_pool_create(name, TX_HEADS_N - 1, POOL_CACHE_N, 0, 0, SOCKET_ID_ANY);
    if (q->rx == NULL || q->copies == NULL || q->heads == NULL)
        return because(why, why_n, "%s: no memory for its packets: %s", d->port.facts.name,
                       rte_strerror(rte_errno));
    q->copy_room = rte_pktmbuf_data_room_size(q->copies) - RTE_PKTMBUF_HEADROOM;
    q->pool = (struct pkt_pool){
        .room_n = room, .n = config->packets_n + RX_DESCRIPTORS_N, .release = rx_release};
    return 0;
}

/* Our key and our table into the device; false: it spreads as it likes, and the lanes correct. */
static bool rss_table_set(struct device *d, const struct rte_eth_dev_info *info, uint16_t workers)
{
    struct rte_eth_rss_reta_entry64 reta[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE];

    if (info->reta_size == 0 || info->reta_size > RTE_ETH_RSS_RETA_SIZE_512 ||
        info->reta_size % RTE_ETH_RETA_GROUP_SIZE != 0)
        return false;
    memset(reta, 0, sizeof reta);
    for (uint16_t i = 0; i < info->reta_size; i++) {
        uint16_t at = (uint16_t)(i % PORT_RETA_N % workers % d->port.facts.queues_n);
        reta[i / RTE_ETH_RETA_GROUP_SIZE].mask = UINT64_MAX;
        reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = at;
    }
    return rte_eth_dev_rss_reta_update(d->id, reta, info->reta_size) == 0;
}

static bool is_done_when_taken(const char *driver, const char *devargs)
{
    static const char *const drivers[] = {"net_af_packet", "net_tap", "net_null", "net_pcap",
                                          "net_memif"};
    char value[8];

    if (port_devarg(devargs, "zero-copy", value, sizeof value) && strcmp(value, "yes") == 0)
        return false;

    for (size_t i = 0; i < array_n(drivers); i++)
        if (strcmp(driver, drivers[i]) == 0)
            return true;
    return false;
}

/* After the start, when the device can be asked. */
static void reference_decide(struct device *d, const char *devargs)
{
    struct port_facts *f = &d->port.facts;

    if ((f->offloads & PORT_TX_PIECES) == 0)
        snprintf(f->why_not, sizeof f->why_not, "copies to send: the device does not gather");
    else if (d->is_physical && rte_eal_iova_mode() != RTE_IOVA_VA)
        snprintf(f->why_not, sizeof f->why_not,
                 "copies to send: without an IOMMU (IOVA=PA) it cannot be shown the log's pages");
    else if (!is_done_when_taken(f->driver, devargs) && rte_eth_tx_done_cleanup(d->id, 0, 0) < 0)
        snprintf(f->why_not, sizeof f->why_not,
                 "copies to send: the driver cannot be asked for what it has sent");
    else
        f->offloads |= PORT_TX_REFERENCE;
}

nodiscard static int fanout_join(struct device *d, char *why, size_t why_n)
{
    const struct port_facts *f = &d->port.facts;

    if (strcmp(f->driver, "net_af_packet") != 0)
        return 0;
    int error = port_fanout_join(d->wait_fds, f->queues_n, (uint16_t)(getpid() + d->id));
    return error == 0 ? 0
                      : because(why, why_n,
                                "queue count: the %u queues of %s cannot share the interface: %s: "
                                "qpairs=1 in dpdk.devargs",
                                f->queues_n, f->name, strerror(error));
}

nodiscard static int queues_setup(struct device *d, const struct port_config *p,
                                  const struct ports_config *config, char *why, size_t why_n)
{
    struct port_fds before, after;
    uint16_t rx_n = RX_DESCRIPTORS_N, tx_n = TX_DESCRIPTORS_N;

    rte_eth_dev_adjust_nb_rx_tx_desc(d->id, &rx_n, &tx_n);
    for (uint16_t i = 0; i < d->port.facts.queues_n; i++) {
        struct queue *q = &d->queues[i];
        q->device = d;
        q->number = i;
        int rc = queue_init(q, config, why, why_n);
        if (rc != 0)
            return rc;
        port_fds_find(&before, d->port.facts.driver, p->devargs);
        rc = rte_eth_rx_queue_setup(d->id, i, rx_n, SOCKET_ID_ANY, NULL, q->rx);
        port_fds_find(&after, d->port.facts.driver, p->devargs);
        d->wait_fds[i] = strcmp(d->port.facts.driver, "net_af_packet") != 0
                             ? port_fds_new(&before, &after)
                         : i < after.n ? after.v[i]
                                       : -1;
        if (rc == 0)
            rc = rte_eth_tx_queue_setup(d->id, i, tx_n, SOCKET_ID_ANY, NULL);
        if (rc != 0)
            return because(why, why_n,
                           "queue count: %s refuses queue %u of %u: %s: dataplane.workers=%d, or "
                           "other arguments in dpdk.devargs",
                           d->port.facts.name, i, d->port.facts.queues_n, strerror(-rc),
                           i > 0 ? i : 1);
    }
    return fanout_join(d, why, why_n);
}

static uint16_t queues_possible(const struct rte_eth_dev_info *info, uint16_t wished)
{
    uint64_t n = min_u64(min_u64(info->max_rx_queues, info->max_tx_queues), wished);
    return (uint16_t)max_u64(min_u64(n, PORT_QUEUES_MAX), 1);
}

nodiscard static int device_configure(struct device *d, const struct port_config *p,
                                      const struct ports_config *config, char *why, size_t why_n)
{
    struct port_facts *f = &d->port.facts;
    struct rte_eth_conf conf = {0};
    struct rte_eth_dev_info info;

    if (rte_eth_dev_info_get(d->id, &info) != 0)
        return because(why, why_n, "device: %s does not answer", f->name);
    snprintf(f->driver, sizeof f->driver, "%s", info.driver_name);
    d->is_physical = port_is_pci(p->name);
    d->is_virtio = strncmp(f->driver, "net_virtio", 10) == 0 || strcmp(f->driver, "net_vhost") == 0;
    f->mtu = p->mtu != 0 ? p->mtu : 1500;
    f->room_n = room_of(f->mtu);
    f->packets_n = config->packets_n;
    f->queues_n = queues_possible(&info, p->queues_n);
    if (f->mtu < info.min_mtu || (info.max_mtu != 0 && f->mtu > info.max_mtu))
        return because(why, why_n, "address: dpdk.port.N.mtu=%u: %s takes %u to %u", f->mtu,
                       f->name, info.min_mtu, info.max_mtu);
    if (f->mtu > 1500 && info.max_rx_pktlen < f->mtu + 14u) {
        if (d->is_physical)
            return because(why, why_n,
                           "address: dpdk.port.N.mtu=%u: %s receives frames of %u bytes", f->mtu,
                           f->name, info.max_rx_pktlen);
        conf.rxmode.mtu = 1500; /* what net_af_packet says, whatever its frames are (framesz=) */
    } else {
        conf.rxmode.mtu = f->mtu;
    }
    port_offloads_choose(f, &info, config->has_tso, &conf);
    d->has_ip_sum = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
    int rc = rte_eth_dev_configure(d->id, f->queues_n, f->queues_n, &conf);
    if (rc != 0)
        return because(why, why_n,
                       "queue count: %s cannot have %u queues: %s: dataplane.workers=1, or "
                       "qpairs/queues in dpdk.devargs",
                       f->name, f->queues_n, strerror(-rc));
    if ((rc = queues_setup(d, p, config, why, why_n)) != 0)
        return rc;
    rc = rte_eth_dev_start(d->id);
    if (rc != 0)
        return because(why, why_n, "device: %s does not start: %s", f->name, strerror(-rc));
    d->is_started = true;
    if ((f->offloads & PORT_RSS) != 0 && !rss_table_set(d, &info, p->queues_n))
        f->offloads &= ~(uint32_t)PORT_RSS;
    reference_decide(d, p->devargs);
    return 0;
}

nodiscard static int device_open(const struct ports_config *config, uint32_t at, struct port **out,
                                 char *why, size_t why_n)
{
    const struct port_config *p = &config->ports[at];
    struct device *d = calloc(1, sizeof *d);
    struct rte_ether_addr mac;
    struct prng prng;

    if (d == NULL)
        return E_NO_MEMORY;
    *out = &d->port;
    d->port.ops = &dpdk_ops;
    snprintf(d->port.facts.name, sizeof d->port.facts.name, "%s", p->name);
    prng_init(&prng, config->seed + at);
    d->port.facts.rss_key_n = PORT_RSS_KEY_MAX;
    for (uint32_t i = 0; i < PORT_RSS_KEY_MAX; i++)
        d->port.facts.rss_key[i] = (uint8_t)prng_next(&prng);
    if (rte_eth_dev_get_port_by_name(p->name, &d->id) != 0)
        return because(why, why_n,
                       "device: no driver took %s (drivers in this build: see DPDK_DRIVERS in the "
                       "Makefile)",
                       p->name);
    int rc = device_configure(d, p, config, why, why_n);
    if (rc != 0)
        return rc;
    if (rte_eth_macaddr_get(d->id, &mac) != 0)
        return because(why, why_n, "device: %s has no hardware address", p->name);
    memcpy(d->port.facts.mac, mac.addr_bytes, 6);
    return 0;
}

static void dpdk_stop(struct port **ports, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct device *d = container_of(ports[i], struct device, port);
        for (uint16_t k = 0; k < d->port.facts.queues_n; k++) {
            struct queue *q = &d->queues[k];
            while (q->pending_n > 0)
                rte_pktmbuf_free(q->pending[--q->pending_n]);
        }
        if (!d->is_started)
            continue;
        rte_eth_dev_stop(d->id);
        rte_eth_dev_close(d->id);
        d->is_started = false;
    }
}

static void dpdk_close(struct port **ports, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct device *d = container_of(ports[i], struct device, port);
        for (uint16_t k = 0; k < d->port.facts.queues_n; k++) {
            rte_mempool_free(d->queues[k].rx);
            rte_mempool_free(d->queues[k].copies);
            rte_mempool_free(d->queues[k].heads);
        }
        free(d);
    }
    port_eal_stop();
}

static int dpdk_open(const struct ports_config *config, struct port **out, FILE *report, char *why,
                     size_t why_n)
{
    struct port_machine machine;
    bool use_huge = false;
    uint64_t bytes = memory_needed(config);

    port_machine_read(&machine);
    int rc = port_check(&machine, config, bytes, &use_huge, why, why_n);
    if (rc == 0)
        rc = port_eal_start(config, bytes, use_huge, why, why_n);
    if (rc != 0)
        return rc;
    uint32_t n = 0;
    for (; n < config->ports_n && rc == 0; n++) {
        out[n] = NULL;
        rc = device_open(config, n, &out[n], why, why_n);
        if (rc == 0)
            port_facts_print(&out[n]->facts, &config->ports[n], port_wait_fd(out[n], 0) >= 0,
                             use_huge, report);
    }
    if (rc != 0) {
        n -= out[n - 1] == NULL;
        dpdk_stop(out, n);
        dpdk_close(out, n);
    }
    return rc;
}

/* ── memory of the broker ── */

static void range_add(struct device *d, const uint8_t *from, uint64_t bytes)
{
    uint32_t at = d->ranges_n++;

    for (; at > 0 && d->ranges[at - 1].from > from; at--)
        d->ranges[at] = d->ranges[at - 1];
    d->ranges[at] = (struct range){from, from + bytes};
}

static int dpdk_memory(struct port **ports, uint32_t n, void *base, uint64_t bytes)
{
    bool is_registered = false;
    int result = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct device *d = container_of(ports[i], struct device, port);
        struct rte_eth_dev_info info;
        if (!d->is_physical || (d->port.facts.offloads & PORT_TX_REFERENCE) == 0)
            continue;
        if (!is_registered && rte_extmem_register(base, bytes, NULL, 0, 4096) != 0)
            return E_NO_MEMORY;
        is_registered = true;
        if (d->ranges_n == RANGES_MAX || rte_eth_dev_info_get(d->id, &info) != 0 ||
            rte_dev_dma_map(info.device, base, (uint64_t)(uintptr_t)base, bytes) != 0)
            result = E_NO_MEMORY;
        else
            range_add(d, base, bytes);
    }
    return result;
}

/* A number of EAL's own, so that its pools keep a cache for this thread. */
static void dpdk_thread(void)
{
    (void)rte_thread_register();
}

const struct port_driver port_driver_dpdk = {
    "DPDK", dpdk_open, dpdk_memory, dpdk_thread, dpdk_stop, dpdk_close,
};
