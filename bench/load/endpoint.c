/*
 * endpoint.c - our TCP engine on a port of DPDK, for programs that are not the broker.
 *
 * Owner: the caller, one thread.
 */
#include "endpoint.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PACKETS_N = 8192,
    TRUE_SIZE_PER_PACKET = 256,
    RCV_BYTES = 4 << 20, /* what a Fetch answers at most, and a socket's buffer grows to */
    HEADS_N = 16384,
    EXTENTS_MIN = 8192,
    RECORDS_MIN = 16384,
};

/* The library lies beside the program, or one directory above it (build/bench-tcp/pump). */
static const struct port_driver *driver_find(char *why, size_t why_n)
{
    char path[PATH_MAX];
    const struct port_driver *driver = NULL;
    for (int up = 1; up <= 2 && driver == NULL; up++) {
        ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
        if (n <= 0)
            return NULL;
        path[n] = 0;
        for (int i = 0; i < up && strrchr(path, '/') != NULL; i++)
            *strrchr(path, '/') = 0;
        strcat(path, "/millrace-dpdk.so");
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (library != NULL)
            driver = dlsym(library, PORT_DRIVER_SYMBOL);
        else if (access(path, F_OK) == 0)
            snprintf(why, why_n, "%s", dlerror());
    }
    if (driver == NULL && why[0] == 0)
        snprintf(why, why_n,
                 "millrace-dpdk.so is not beside this program: install libdpdk-dev (tools/setup) "
                 "and make");
    return driver;
}

static int engine_open(struct endpoint *e, const struct port_config *p, uint32_t conns_n,
                       uint64_t seed)
{
    const struct port_facts *f = &e->port->facts;
    struct net_config config = {
        .ip = p->ip,
        .mask = p->mask,
        .gateway = p->gateway,
        .mtu = f->mtu,
        .tcbs_max = conns_n,
        .packets_max = 1024,
        .heads_max = HEADS_N,
        .extents_max = (uint32_t)max_u64(EXTENTS_MIN, conns_n * 8ull),
        .records_max = (uint32_t)max_u64(RECORDS_MIN, conns_n * 16ull),
        .rcv_bytes = RCV_BYTES,
        .rx_budget_bytes = (uint64_t)f->packets_n * (f->room_n + TRUE_SIZE_PER_PACKET) / 4 * 3,
        .has_tx_checksum = (f->offloads & PORT_TX_SUM) != 0,
        .seed = seed,
    };
    memcpy(config.mac, f->mac, sizeof config.mac);
    e->now = clock_read();
    int rc = net_init(&e->net, &config, e->now);
    if (rc == 0)
        rc = lanes_open(&e->lanes, e->port, p->vlan, &e->net, NULL, 1);
    if (rc == 0)
        e->lane = lanes_at(e->lanes, 0);
    return rc;
}

int endpoints_open(struct endpoint *v, uint32_t n, struct ports_config *config, uint32_t conns_n,
                   char *why, size_t why_n)
{
    struct port *ports[PORTS_MAX];
    check(n > 0 && n <= PORTS_MAX);
    why[0] = 0;
    memset(v, 0, n * sizeof *v);
    config->ports_n = n;
    config->packets_n = config->packets_n == 0 ? PACKETS_N : config->packets_n;
    config->seed = config->seed == 0 ? clock_read_ns() : config->seed;
    if (config->huge[0] == 0)
        snprintf(config->huge, sizeof config->huge, "auto");
    for (uint32_t i = 0; i < n; i++)
        config->ports[i].queues_n = 1;
    const struct port_driver *driver = driver_find(why, why_n);
    if (driver == NULL)
        return E_UNSUPPORTED;
    int rc = driver->open(config, ports, stderr, why, why_n);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        v[i].driver = driver;
        v[i].port = ports[i];
    }
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = engine_open(&v[i], &config->ports[i], conns_n, config->seed + i);
    if (rc != 0) {
        snprintf(why, why_n, "no memory for %u connections", conns_n);
        endpoints_close(v, n);
        return rc;
    }
    signal(SIGPIPE, SIG_IGN); /* net_virtio_user writes to a socket whose other end may have gone */
    driver->thread();
    return 0;
}

/* The order is lane.h's: packets are with each other's pools. */
void endpoints_close(struct endpoint *v, uint32_t n)
{
    struct port *ports[PORTS_MAX];
    if (v[0].driver == NULL)
        return;
    for (uint32_t i = 0; i < n; i++) {
        ports[i] = v[i].port;
        if (v[i].net != NULL)
            net_stop(v[i].net);
    }
    v[0].driver->stop(ports, n);
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].lanes != NULL)
            lanes_close(v[i].lanes);
        if (v[i].net != NULL)
            net_fini(v[i].net);
    }
    v[0].driver->close(ports, n);
    memset(v, 0, n * sizeof *v);
}

uint32_t endpoint_in(struct endpoint *e)
{
    e->now = clock_read();
    return lane_rx(e->lane, e->now);
}

uint32_t endpoint_out(struct endpoint *e)
{
    net_turn(e->net, e->now);
    return lane_tx(e->lane, e->now);
}

bool endpoint_address(const char *text, uint32_t *ip, uint32_t *mask)
{
    char host[INET_ADDRSTRLEN], *end = NULL;
    const char *slash = strchr(text, '/');
    size_t n = slash == NULL ? strlen(text) : (size_t)(slash - text);
    long bits = slash == NULL ? 0 : strtol(slash + 1, &end, 10);
    struct in_addr in;
    if (n >= sizeof host || (slash != NULL && mask == NULL))
        return false;
    if (slash != NULL && (end == slash + 1 || *end != 0 || bits < 8 || bits > 30))
        return false;
    memcpy(host, text, n);
    host[n] = 0;
    if (inet_pton(AF_INET, host, &in) != 1)
        return false;
    *ip = ntohl(in.s_addr);
    if (mask != NULL)
        *mask = bits == 0 ? 0 : UINT32_MAX << (32 - bits);
    return true;
}

bool endpoint_device(const char *text, struct port_config *p)
{
    const char *comma = strchr(text, ',');
    size_t n = comma == NULL ? strlen(text) : (size_t)(comma - text);
    if (n == 0 || n >= sizeof p->name)
        return false;
    memcpy(p->name, text, n);
    p->name[n] = 0;
    const char *devargs = comma == NULL ? "" : comma + 1;
    return snprintf(p->devargs, sizeof p->devargs, "%s", devargs) < (int)sizeof p->devargs;
}
