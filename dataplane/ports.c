/*
 * ports.c - settings of ports, their engines and lanes, and a worker's part of the turn.
 *
 * Owner: main at boot and stop; worker_*: the worker.
 *
 * Bounds of an engine, all taken at boot (address space; touched when used):
 *   connections   the worker's share of max.connections, the same number as of kernel sockets
 *   received      dpdk.packets of a queue; held by connections at most 3/4 of them, divided by the
 *                 workers that share the queue
 *   to send       heads, extents and records grow with the connections, up to a bound
 */
#include "ports.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker.h"

enum {
    ENGINE_PACKETS_N = 1024, /* what does not fit a head: ARP copies, answers in many pieces */
    ENGINE_HEADS_MIN = 4096,
    ENGINE_HEADS_MAX = 65536,
    ENGINE_EXTENTS_PER_CONN = 8,
    ENGINE_RECORDS_PER_CONN = 16,
    ENGINE_TABLE_MAX = 262144,
    TIME_WAITS_N = 16384,
    TRUE_SIZE_PER_PACKET = 256, /* beside the room */
    SLEEP_NS_MIN = 20000,
    SLEEP_NS_MAX = 1000000,
    LOOK_NS_MAX = 4000000,
    KEY_N = 32,
};

/* ── settings ── */

printf_like(3, 4) nodiscard static int refuse(char *why, size_t why_n, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, why_n, format, args);
    va_end(args);
    return E_INVALID;
}

/* "10.77.0.1/24" or "10.77.0.1"; the length is 32 without one. */
static bool address_parse(const char *text, uint32_t *ip, uint32_t *mask)
{
    char host[INET_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    size_t n = slash == NULL ? strlen(text) : (size_t)(slash - text);
    struct in_addr at;
    char *end = NULL;
    long bits = slash == NULL ? 32 : strtol(slash + 1, &end, 10);

    if (n >= sizeof host || (slash != NULL && (*end != 0 || end == slash + 1)) || bits < 8 ||
        bits > 32)
        return false;
    memcpy(host, text, n);
    host[n] = 0;
    if (inet_pton(AF_INET, host, &at) != 1)
        return false;
    *ip = ntohl(at.s_addr);
    *mask = UINT32_MAX << (32 - bits);
    return true;
}

static const char *port_string(const struct config *config, uint32_t at, const char *what)
{
    char key[KEY_N];

    snprintf(key, sizeof key, "dpdk.port.%u.%s", at, what);
    return config_string(config, key);
}

static int64_t port_int(const struct config *config, uint32_t at, const char *what)
{
    char key[KEY_N];

    snprintf(key, sizeof key, "dpdk.port.%u.%s", at, what);
    return config_int(config, key);
}

/* Item number `at` of a list; false when there are fewer, or it is too long. */
static bool item_copy(const char *list, char between, uint32_t at, char *to, size_t to_n)
{
    for (; at > 0 && list != NULL; at--) {
        list = strchr(list, between);
        list = list == NULL ? NULL : list + 1;
    }
    if (list == NULL)
        return false;
    while (*list == ' ')
        list++;
    const char *end = strchr(list, between);
    size_t n = end == NULL ? strlen(list) : (size_t)(end - list);
    while (n > 0 && list[n - 1] == ' ')
        n--;
    if (n >= to_n)
        return false;
    memcpy(to, list, n);
    to[n] = 0;
    return true;
}

nodiscard static int port_read(const struct config *config, uint32_t at, struct port_config *p,
                               char *why, size_t why_n)
{
    const char *address = port_string(config, at, "address");
    const char *gateway = port_string(config, at, "gateway");
    uint32_t none;

    if (!address_parse(address, &p->ip, &p->mask))
        return refuse(why, why_n,
                      "address: dpdk.port.%u.address=%.40s: an IPv4 address and the length of its "
                      "network are needed: dpdk.port.%u.address=10.77.0.1/24",
                      at, address, at);
    if (p->ip >> 24 == 0 || p->ip >> 24 == 127 || p->ip >> 28 >= 14)
        return refuse(why, why_n, "address: dpdk.port.%u.address=%.40s: no host can have it", at,
                      address);
    if (gateway[0] != 0 &&
        (!address_parse(gateway, &p->gateway, &none) || ((p->gateway ^ p->ip) & p->mask) != 0))
        return refuse(why, why_n,
                      "address: dpdk.port.%u.gateway=%.40s: not an IPv4 address in the network of "
                      "dpdk.port.%u.address=%.40s",
                      at, gateway, at, address);
    p->vlan = (uint16_t)port_int(config, at, "vlan");
    p->mtu = (uint16_t)port_int(config, at, "mtu");
    return 0;
}

int ports_config_read(const struct config *config, uint16_t workers_n, uint64_t seed,
                      struct ports_config *out, char *why, size_t why_n)
{
    const char *names = config_string(config, "dpdk.ports");
    const char *devargs = config_string(config, "dpdk.devargs");
    char name[PORT_NAME_MAX];
    int rc;

    *out = (struct ports_config){.seed = seed,
                                 .packets_n = (uint32_t)config_int(config, "dpdk.packets"),
                                 .has_tso = config_bool(config, "dpdk.tso")};
    snprintf(out->huge, sizeof out->huge, "%s", config_string(config, "dpdk.huge"));
    while (item_copy(names, ',', out->ports_n, name, sizeof name) && name[0] != 0) {
        uint32_t at = out->ports_n;
        if (at == PORTS_MAX)
            return refuse(why, why_n, "dpdk.ports: at most %d ports", PORTS_MAX);
        struct port_config *p = &out->ports[at];
        memcpy(p->name, name, sizeof p->name);
        p->queues_n = workers_n;
        if (!item_copy(devargs, ';', at, p->devargs, sizeof p->devargs))
            p->devargs[0] = 0;
        if ((rc = port_read(config, at, p, why, why_n)) != 0)
            return rc;
        for (uint32_t i = 0; i < at; i++)
            if (out->ports[i].ip == p->ip || strcmp(out->ports[i].name, p->name) == 0)
                return refuse(why, why_n, "address: ports %u and %u of dpdk.ports have the same %s",
                              i, at, out->ports[i].ip == p->ip ? "address" : "device");
        out->ports_n++;
    }
    if (out->ports_n == 0 && names[0] != 0)
        return refuse(why, why_n, "dpdk.ports=%.60s: a list of devices without empty names", names);
    return 0;
}

int ports_listeners_mark(const struct ports_config *config, struct listener *listeners, uint32_t n,
                         char *why, size_t why_n)
{
    for (uint32_t at = 0; at < config->ports_n; at++) {
        const struct port_config *p = &config->ports[at];
        uint32_t named_n = 0, ip, mask;
        char text[INET_ADDRSTRLEN];
        struct in_addr in = {htonl(p->ip)};
        for (uint32_t i = 0; i < n; i++) {
            struct listener *l = &listeners[i];
            if (!address_parse(l->host, &ip, &mask) || ip != p->ip)
                continue;
            l->native = (uint8_t)(at + 1);
            named_n++;
            if (l->port == 0)
                return refuse(why, why_n, "address: listener %s://%s:0: a port needs a number here",
                              l->name, l->host);
        }
        if (named_n == 0)
            return refuse(why, why_n,
                          "address: no listener names the address of port %s: "
                          "listeners=PLAINTEXT://%s:9092",
                          p->name, inet_ntop(AF_INET, &in, text, sizeof text));
    }
    return 0;
}

/* ── boot ── */

int ports_open(struct broker *b)
{
    struct ports *ports = &b->ports;
    const struct port_driver *driver;

    if (ports->config.ports_n == 0)
        return 0;
    if (b->seams.port_driver == NULL)
        return E_UNSUPPORTED;
    driver = b->seams.port_driver(b->seams.context, b->why, sizeof b->why);
    if (driver == NULL)
        return E_UNSUPPORTED;
    int rc = driver->open(&ports->config, ports->v, stdout, b->why, sizeof b->why);
    if (rc == 0)
        ports->driver = driver;
    return rc;
}

static void engine_config(const struct broker *b, uint32_t at, uint8_t worker, struct net_config *c)
{
    const struct port_config *p = &b->ports.config.ports[at];
    const struct port_facts *f = &b->ports.v[at]->facts;
    uint64_t conns = (bounds_connections(&b->bounds) + b->workers_n - 1) / b->workers_n;
    uint64_t sharing = (b->workers_n + f->queues_n - 1u) / f->queues_n;

    *c = (struct net_config){
        .ip = p->ip,
        .mask = p->mask,
        .gateway = p->gateway,
        .mtu = f->mtu,
        .tcbs_max = (uint32_t)conns,
        .time_waits_max = TIME_WAITS_N,
        .packets_max = ENGINE_PACKETS_N,
        .heads_max = (uint32_t)min_u64(max_u64(conns, ENGINE_HEADS_MIN), ENGINE_HEADS_MAX),
        .extents_max =
            (uint32_t)min_u64(max_u64(conns * ENGINE_EXTENTS_PER_CONN, 8192), ENGINE_TABLE_MAX),
        .records_max =
            (uint32_t)min_u64(max_u64(conns * ENGINE_RECORDS_PER_CONN, 16384), ENGINE_TABLE_MAX),
        .rx_budget_bytes =
            (uint64_t)f->packets_n * (f->room_n + TRUE_SIZE_PER_PACKET) / 4 * 3 / sharing,
        .has_tx_checksum = (f->offloads & PORT_TX_SUM) != 0,
        .tso_bytes = (f->offloads & PORT_TX_TSO) != 0 ? f->tso_bytes : 0,
        .tso_pieces = f->tso_pieces,
        .seed = b->seams.seed ^ (0x706f727400ull + at * 256u + worker),
    };
    memcpy(c->mac, f->mac, sizeof c->mac);
}

/* A PCI device must be shown what it reads; what it refuses is copied. */
static void memory_show(struct broker *b)
{
    struct ports *ports = &b->ports;
    uint32_t n = ports->config.ports_n, refused_n = 0;

    for (uint8_t i = 0; i < b->workers_n; i++) {
        struct worker *w = b->workers[i];
        struct pages *pages[] = {&w->log_pages, &w->request_pages};
        for (size_t k = 0; k < array_n(pages); k++)
            refused_n += ports->driver->memory(ports->v, n, pages[k]->base, pages[k]->bytes) != 0;
        for (uint32_t at = 0; at < n; at++) {
            for (int k = 0; k < 2; k++) {
                void *base;
                uint64_t bytes;
                net_memory(w->ports.nets[at], k, &base, &bytes);
                refused_n += ports->driver->memory(ports->v, n, base, bytes) != 0;
            }
        }
    }
    if (refused_n > 0)
        printf("port     %u pieces of memory were refused by a device; what lies there is copied\n",
               refused_n);
}

nodiscard static int port_join(struct broker *b, uint32_t at)
{
    struct ports *ports = &b->ports;
    struct net *nets[BROKER_WORKERS_MAX];
    struct post *posts[BROKER_WORKERS_MAX];
    uint32_t captured_n = (uint32_t)config_int(b->config, "dpdk.capture.packets");
    struct net_config c;
    int rc;

    for (uint8_t i = 0; i < b->workers_n; i++) {
        struct worker *w = b->workers[i];
        engine_config(b, at, i, &c);
        if ((rc = net_init(&w->ports.nets[at], &c, b->seams.now)) != 0)
            return rc;
        w->ports.n = at + 1;
        w->ports.driver = ports->driver;
        nets[i] = w->ports.nets[at];
        posts[i] = &w->post;
    }
    rc = lanes_open(&ports->lanes[at], ports->v[at], ports->config.ports[at].vlan, nets, posts,
                    b->workers_n);
    for (uint8_t i = 0; i < b->workers_n && rc == 0; i++) {
        b->workers[i]->ports.lanes[at] = lanes_at(ports->lanes[at], i);
        rc = lane_capture_open(b->workers[i]->ports.lanes[at], captured_n);
    }
    return rc;
}

int ports_join(struct broker *b)
{
    struct ports *ports = &b->ports;
    int rc = 0;

    if (ports->driver == NULL)
        return 0;
    for (uint32_t at = 0; at < ports->config.ports_n && rc == 0; at++)
        rc = port_join(b, at);
    for (uint32_t i = 0; i < b->listeners_n && rc == 0; i++) {
        const struct listener *l = &b->listeners[i];
        for (uint8_t k = 0; l->native != 0 && k < b->workers_n && rc == 0; k++)
            rc = conns_net_listen(b->workers[k]->ports.nets[l->native - 1], l, l->port);
    }
    if (rc != 0) {
        snprintf(b->why, sizeof b->why, "the engines of the ports: %s", error_text(rc));
        return rc;
    }
    memory_show(b);
    return 0;
}

void ports_close(struct broker *b)
{
    struct ports *ports = &b->ports;
    uint32_t n = ports->config.ports_n;

    if (ports->driver == NULL)
        return;
    for (uint8_t i = 0; i < b->workers_n; i++)
        for (uint32_t at = 0; b->workers[i] != NULL && at < b->workers[i]->ports.n; at++)
            net_stop(b->workers[i]->ports.nets[at]);
    ports->driver->stop(ports->v, n);
    for (uint32_t at = 0; at < n; at++)
        if (ports->lanes[at] != NULL)
            lanes_close(ports->lanes[at]);
    for (uint8_t i = 0; i < b->workers_n; i++) {
        for (uint32_t at = 0; b->workers[i] != NULL && at < b->workers[i]->ports.n; at++)
            net_fini(b->workers[i]->ports.nets[at]);
        if (b->workers[i] != NULL)
            b->workers[i]->ports.n = 0;
    }
    ports->driver->close(ports->v, n);
    ports->driver = NULL;
}

/* ── after a failed check ── */

static void pcap_save(const struct lane *lane, const char *path, uint64_t wall_ns)
{
    static const char before[] = "  last packets: ";
    uint8_t part[LANE_CAPTURE_PART];
    uint32_t n = lane_capture_part(lane, 0, part, wall_ns);
    int fd = n == 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);

    if (fd < 0)
        return;
    for (uint32_t at = 0; n > 0 && write(fd, part, n) == (ssize_t)n;)
        n = lane_capture_part(lane, ++at, part, wall_ns);
    close(fd);
    /* Told or not, the file is there. */
    if (write(STDERR_FILENO, before, sizeof before - 1) < 0 ||
        write(STDERR_FILENO, path, strlen(path)) < 0 || write(STDERR_FILENO, "\n", 1) < 0)
        return;
}

/* Open, write, close: nothing that takes memory or a lock. */
static void last_words_say(const struct check_last_words *words)
{
    const struct worker_ports *p = container_of(words, struct worker_ports, last_words);
    struct now now = clock_read();
    uint64_t wall_ns = (uint64_t)now.wall_ms * NS_PER_MS - now.ns;

    for (uint32_t i = 0; i < p->n && i < PORTS_MAX; i++)
        if (p->pcap_paths[i][0] != 0)
            pcap_save(p->lanes[i], p->pcap_paths[i], wall_ns);
}

static void pcap_paths_make(struct worker *w)
{
    const char *directory = w->log_dirs != NULL ? w->log_dirs[0].path : ".";

    for (uint32_t i = 0; i < w->ports.n; i++) {
        int n = snprintf(w->ports.pcap_paths[i], PORTS_PCAP_PATH_MAX,
                         "%s/failed-check-worker-%u-port-%u.pcap", directory, w->number, i);
        if (n >= PORTS_PCAP_PATH_MAX)
            w->ports.pcap_paths[i][0] = 0;
    }
}

/* ── the turn ── */

static void wait_done(struct io_op *op)
{
    (void)op; /* the turn looks at the queue anyway */
}

void worker_ports_begin(struct worker *w)
{
    if (w->ports.n > 0) {
        pcap_paths_make(w);
        for (uint32_t i = 0; i < w->ports.n; i++) {
            const struct port *port = lane_port(w->ports.lanes[i]);
            io_op_init(&w->ports.waits[i], IO_POLL, wait_done);
            w->ports.waits[i].is_once = true;
            if (w->number < port->facts.queues_n)
                w->ports.waits[i].fd = port_wait_fd(port, w->number);
        }
        w->ports.last_words.say = last_words_say;
        check_last_words = &w->ports.last_words;
    }
    if (w->ports.n > 0 && w->ports.driver->thread != NULL)
        w->ports.driver->thread();
}

int worker_ports_rx(struct worker *w, struct now now)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->ports.n; i++) {
        n += lane_rx(w->ports.lanes[i], now);
        conns_net_turn(w->conns, w->ports.nets[i], now);
    }
    if (n > 0)
        w->ports.active_ns = now.ns;
    return w->is_stopping ? 0 : (int)n; /* packets that keep coming do not keep it from stopping */
}

int worker_ports_tx(struct worker *w, struct now now)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->ports.n; i++) {
        net_turn(w->ports.nets[i], now);
        n += lane_tx(w->ports.lanes[i], now);
    }
    if (n > 0)
        w->ports.active_ns = now.ns;
    return (int)n;
}

/* True: a packet will end the worker's sleep. Where it has no queue, those who have one wake it. */
static bool wait_begin(struct worker *w, uint32_t at)
{
    struct io_op *op = &w->ports.waits[at];
    const struct port *port = lane_port(w->ports.lanes[at]);

    if (w->number >= port->facts.queues_n)
        return true;
    if (op->fd < 0 || port->stats[w->number].tx_held_n > 0)
        return false;
    if (!op->is_busy)
        io_submit(w->io, op);
    return true;
}

uint64_t worker_ports_sleep_ns(struct worker *w, struct now now, uint64_t ns_max)
{
    uint64_t idle_ns = now.ns - w->ports.active_ns;
    uint64_t look_ns = idle_ns > NS_PER_S
                           ? LOOK_NS_MAX
                           : min_u64(max_u64(idle_ns / 4, SLEEP_NS_MIN), SLEEP_NS_MAX);

    for (uint32_t i = 0; i < w->ports.n; i++) {
        if (!wait_begin(w, i))
            ns_max = min_u64(ns_max, look_ns);
        ns_max = net_sleep_ns(w->ports.nets[i], now, ns_max);
    }
    return ns_max;
}

bool worker_ports_are_busy(const struct worker *w)
{
    for (uint32_t i = 0; i < w->ports.n; i++)
        if (lane_is_busy(w->ports.lanes[i]))
            return true;
    return false;
}

/* ── the tick ── */

static void usage_add(const struct worker *w, uint32_t at, uint64_t v[PORTS_IN_USE_N])
{
    const struct port *port = lane_port(w->ports.lanes[at]);
    struct net_usage u;

    net_usage(w->ports.nets[at], &u);
    v[PORTS_IN_USE_connections] += u.tcbs_n;
    v[PORTS_IN_USE_half_open] += u.syns_n;
    v[PORTS_IN_USE_time_wait] += u.waits_n;
    v[PORTS_IN_USE_extents] += u.extents_n;
    v[PORTS_IN_USE_records] += u.records_n;
    v[PORTS_IN_USE_packets] += u.packets_n;
    v[PORTS_IN_USE_heads] += u.heads_n;
    v[PORTS_IN_USE_received_bytes] += u.rx_held_bytes;
    if (w->number < port->facts.queues_n)
        v[PORTS_IN_USE_at_device] += port->stats[w->number].tx_held_n;
}

static void moved_add(const struct worker *w, uint32_t at, uint64_t v[PORTS_MOVED_N])
{
    const struct port *port = lane_port(w->ports.lanes[at]);
    const struct lane_stats *l = lane_stats(w->ports.lanes[at]);

    v[PORTS_MOVED_rx_packets] += l->rx_packets;
    v[PORTS_MOVED_rx_redirected] += l->rx_redirected;
    v[PORTS_MOVED_rx_from_others] += l->rx_from_others;
    v[PORTS_MOVED_rx_ring_full] += l->rx_ring_full;
    v[PORTS_MOVED_rx_other_vlan] += l->rx_vlan;
    v[PORTS_MOVED_tx_packets] += l->tx_packets;
    v[PORTS_MOVED_tx_redirected] += l->tx_redirected;
    v[PORTS_MOVED_arp_copies] += l->arp_copies;
    v[PORTS_MOVED_arp_no_packet] += l->arp_no_packet;
    if (w->number >= port->facts.queues_n)
        return;
    const struct port_stats *s = &port->stats[w->number];
    v[PORTS_MOVED_rx_bytes] += s->rx_bytes;
    v[PORTS_MOVED_tx_bytes] += s->tx_bytes;
    v[PORTS_MOVED_tx_copied] += s->tx_copied;
    v[PORTS_MOVED_tx_referenced] += s->tx_referenced;
    v[PORTS_MOVED_tx_device_full] += s->tx_full;
    v[PORTS_MOVED_tx_no_buffer] += s->tx_no_buffer;
    v[PORTS_MOVED_tx_large] += s->tx_large;
    v[PORTS_MOVED_tx_refused] += s->tx_refused;
}

void worker_ports_show(struct worker *w)
{
    uint64_t in_use[PORTS_IN_USE_N] = {0}, moved[PORTS_MOVED_N] = {0};

    for (uint32_t i = 0; i < w->ports.n; i++) {
        usage_add(w, i, in_use);
        moved_add(w, i, moved);
    }
    for (int k = 0; w->ports.n > 0 && k < NET_STATS_N; k++) {
        uint64_t n = 0;
        for (uint32_t i = 0; i < w->ports.n; i++)
            n += net_stat(w->ports.nets[i], (enum net_stat)k);
        stats_cell_set(&w->ports.shown.events[k], n);
    }
    for (int k = 0; k < PORTS_IN_USE_N; k++)
        stats_cell_set(&w->ports.shown.in_use[k], in_use[k]);
    for (int k = 0; k < PORTS_MOVED_N; k++)
        stats_cell_set(&w->ports.shown.moved[k], moved[k]);
}
