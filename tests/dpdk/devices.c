/*
 * devices.c - devices of DPDK that need no kernel interface, each proved by bytes that crossed it.
 *
 *   devices memif|vhost DIRECTORY   a device's two ends in two processes (net_memif; net_vhost and
 *                                   net_virtio_user), an engine on each: CONNS connections are
 *                                   opened one after the other; each carries bytes both ways, every
 *                                   one compared, and ends by a FIN from each side in turn;
 *                                   afterwards neither engine holds anything
 *   devices ring                    a ring that returns what is sent: frames whose payload stands
 * in several pieces come back whole and in order devices null                    a device that
 * never tires: frames of zeros come in and are refused by the engine, each counted; what is sent is
 * taken, and given back
 *
 * Owner: main. Prints a line of each process; status 1 and the reason when something is wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "endpoint.h"
#include "pkt.h"
#include "prng.h"

enum {
    CONNS = 200,
    BYTES_LONG = 24 << 20, /* of the first connection, each way */
    BYTES_SHORT = 40000,
    UNACKED_MAX = 1 << 20,
    CHUNK = 32768,
    PATTERN = 1 << 16,
    FRAMES = 5000,
    LIMIT_S = 60, /* without an end: it failed */
    PEER_PORT = 9100,
    SERVER_IP = 0x0a4f0001,
    CLIENT_IP = 0x0a4f0002,
};

/* What the two processes open; the socket's path follows the arguments. Owner: immutable. */
struct ends {
    const char *server, *server_args, *client, *client_args;
};

/* One side of a connection. Owner: its process. */
struct side {
    struct endpoint *at;
    struct tcb *tcb, *next; /* next: the peer has opened another already */
    uint32_t next_news;
    uint64_t sent, got, want;
    bool is_opened, is_ended, is_shut, is_closed;
};

static uint8_t pattern[PATTERN + CHUNK];

static int fail(const char *what)
{
    fprintf(stderr, "devices: %s\n", what);
    return 1;
}

static void pattern_make(void)
{
    struct prng prng;
    prng_init(&prng, 77);
    for (uint32_t i = 0; i < PATTERN; i++)
        pattern[i] = (uint8_t)prng_next(&prng);
    memcpy(pattern + PATTERN, pattern, CHUNK);
}

/* ── two ends ── */

static void news_apply(struct side *s, uint32_t news)
{
    s->is_opened |= (news & TCP_NEWS_OPENED) != 0;
    s->is_ended |= (news & TCP_NEWS_END) != 0;
    s->is_closed |= (news & TCP_NEWS_CLOSED) != 0;
}

static void news_take(struct side *s)
{
    uint32_t news;
    for (struct tcb *tcb; (tcb = net_news_next(s->at->net, &news)) != NULL;) {
        if (s->tcb == NULL)
            s->tcb = tcb;
        if (s->tcb == tcb) {
            news_apply(s, news);
        } else {
            s->next = tcb;
            s->next_news |= news;
        }
    }
}

/* False when a byte is not what was sent. */
static bool bytes_take(struct side *s)
{
    struct slice v[64];
    bool is_equal = true;
    for (uint32_t n; s->tcb != NULL && (n = tcp_read(s->tcb, v, 64, CHUNK)) > 0;) {
        for (uint32_t i = 0; i < n; i++) {
            is_equal &= memcmp(v[i].ptr, pattern + s->got % PATTERN, v[i].n) == 0;
            s->got += v[i].n;
            slice_put(&v[i]);
        }
    }
    return is_equal;
}

static bool side_turn(struct side *s, bool is_first)
{
    endpoint_in(s->at);
    news_take(s);
    bool is_equal = bytes_take(s);
    while (s->is_opened && !s->is_closed && s->sent < s->want &&
           tcp_unacked(s->tcb) < UNACKED_MAX) {
        uint32_t n = (uint32_t)min_u64(CHUNK, s->want - s->sent);
        struct slice slice = {pattern + s->sent % PATTERN, n, NULL};
        if (tcp_send(s->tcb, &slice, 1) != 0)
            break;
        s->sent += n;
    }
    if (s->is_opened && !s->is_shut && s->sent == s->want && s->got == s->want &&
        (is_first || s->is_ended)) {
        tcp_shutdown(s->tcb);
        s->is_shut = true;
    }
    endpoint_out(s->at);
    return is_equal;
}

/* One connection from its SYN to its last FIN; number's lowest bit says who ends first. */
static const char *connection_run(struct side *s, bool is_client, uint32_t number)
{
    uint64_t end = clock_read_ns() + LIMIT_S * NS_PER_S;
    *s = (struct side){.at = s->at,
                       .tcb = s->next,
                       .want = number == 0 ? BYTES_LONG : BYTES_SHORT,
                       .is_opened = (s->next_news & TCP_NEWS_OPENED) != 0,
                       .is_ended = (s->next_news & TCP_NEWS_END) != 0,
                       .is_closed = (s->next_news & TCP_NEWS_CLOSED) != 0};
    if (is_client)
        s->tcb = tcp_connect(s->at->net, SERVER_IP, PEER_PORT, NULL, s->at->now);
    if (is_client && s->tcb == NULL)
        return "no active open";
    while (!s->is_shut || !(s->is_closed || s->is_ended)) {
        if (!side_turn(s, is_client == (number % 2 == 0)))
            return "a byte is not what was sent";
        if (s->is_closed && !s->is_shut)
            return "the connection was lost";
        if (clock_read_ns() > end)
            return "no end within 60 s";
    }
    tcp_release(s->tcb);
    return s->got == s->want ? NULL : "bytes are missing";
}

static bool is_all_back(const struct endpoint *e)
{
    struct net_usage u;
    net_usage(e->net, &u);
    return u.tcbs_n == 0 && u.syns_n == 0 && u.extents_n == 0 && u.records_n == 0 &&
           u.rx_held_bytes == 0 && e->port->stats[0].tx_held_n == 0;
}

/* Until nothing is held, and a little longer for the other end's last ACKs. The client stays
 * longest: net_memif of DPDK 22.11 may read beyond a ring whose other end has gone. */
static const char *settle(struct endpoint *e, bool is_client)
{
    uint64_t now = clock_read_ns(), end = now + LIMIT_S * NS_PER_S;
    uint64_t least = now + (is_client ? 1500 : 300) * NS_PER_MS;
    while (!is_all_back(e) || clock_read_ns() < least) {
        endpoint_in(e);
        endpoint_out(e);
        if (clock_read_ns() > end)
            return "something is not given back";
    }
    return NULL;
}

static int end_run(struct ports_config *config, bool is_client)
{
    struct endpoint e;
    char why[PORT_WHY_MAX];
    const char *wrong = NULL;
    config->ports[0].ip = is_client ? CLIENT_IP : SERVER_IP;
    config->ports[0].mask = 0xffffff00;
    if (endpoints_open(&e, 1, config, 1024, why, sizeof why) != 0)
        return fail(why);
    if (net_listen(e.net, PEER_PORT, 8, NULL) != 0)
        return fail("cannot listen");
    uint64_t begin = clock_read_ns();
    struct side s = {.at = &e};
    for (uint32_t i = 0; i < CONNS && wrong == NULL; i++)
        wrong = connection_run(&s, is_client, i);
    if (wrong == NULL)
        wrong = settle(&e, is_client);
    if (wrong != NULL)
        return fail(wrong);
    const struct port_stats *stats = &e.port->stats[0];
    printf("%s: %d connections, %d MiB each way compared, %llu segments again, %llu sent by copy, "
           "%llu by reference, %.1f s\n",
           e.port->facts.driver, CONNS, BYTES_LONG >> 20,
           (unsigned long long)net_stat(e.net, NET_RETRANSMITS),
           (unsigned long long)stats->tx_copied, (unsigned long long)stats->tx_referenced,
           (double)(clock_read_ns() - begin) / 1e9);
    fflush(stdout);
    endpoints_close(&e, 1);
    return 0;
}

/* The device's socket is there: the server has started. */
static bool socket_wait(const char *path)
{
    uint64_t end = clock_read_ns() + LIMIT_S * NS_PER_S;
    while (access(path, F_OK) != 0) {
        if (clock_read_ns() > end)
            return false;
        usleep(10000);
    }
    return true;
}

/* The server in this process, the client in one of its own. */
static int two_ends(const struct ends *ends, const char *directory)
{
    struct ports_config *c = calloc(1, sizeof *c);
    char path[PORT_TEXT_MAX / 2];
    int status = 1, client_status = 0;
    check(c != NULL);
    if (snprintf(path, sizeof path, "%s/device.sock", directory) >= (int)sizeof path)
        return fail("the directory's name is too long");
    pid_t client = fork();
    if (client < 0)
        return fail("no second process");
    snprintf(c->ports[0].name, PORT_NAME_MAX, "%s", client == 0 ? ends->client : ends->server);
    snprintf(c->ports[0].devargs, PORT_TEXT_MAX, "%s%s",
             client == 0 ? ends->client_args : ends->server_args, path);
    if (client != 0)
        status = end_run(c, false);
    else
        status = socket_wait(path) ? end_run(c, true) : fail("no socket of the server");
    free(c);
    if (client == 0)
        exit(status);
    if (waitpid(client, &client_status, 0) != client || !WIFEXITED(client_status) ||
        WEXITSTATUS(client_status) != 0)
        return fail("the client's end failed");
    return status;
}

/* ── one port ── */

/* A frame of 14 bytes of head and three pieces of the pattern. */
static struct pkt *frame_make(struct pkt_pool *pool, const struct port_facts *f, uint32_t number)
{
    struct pkt *pkt = pkt_take(pool, 64);
    if (pkt == NULL)
        return NULL;
    memcpy(pkt->data, f->mac, 6);
    memcpy(pkt->data + 6, f->mac, 6);
    pkt->data[12] = 0x88; /* an EtherType for experiments */
    pkt->data[13] = 0xb5;
    pkt->n = 14;
    for (uint32_t i = 0; i < 3; i++)
        pkt->pieces[pkt->pieces_n++] =
            (struct slice){pattern + (number * 1009 + i * 400) % PATTERN, 400, NULL};
    return pkt;
}

static bool is_frame(const struct pkt *pkt, uint32_t number)
{
    return pkt->n == 14 + 1200 && pkt->data[12] == 0x88 && pkt->data[13] == 0xb5 &&
           memcmp(pkt->data + 14, pattern + number * 1009 % PATTERN, 1200) == 0;
}

static const char *ring_run(struct endpoint *e)
{
    struct pkt_pool pool;
    struct pkt *v[PORT_BURST_N];
    uint64_t end = clock_read_ns() + LIMIT_S * NS_PER_S;
    uint32_t sent = 0, got = 0;
    const char *wrong = NULL;
    if (!pkt_pool_init(&pool, 256, 256))
        return "no memory";
    while (got < FRAMES && wrong == NULL) {
        struct pkt *pkt = sent < FRAMES ? frame_make(&pool, &e->port->facts, sent) : NULL;
        if (pkt != NULL && port_tx(e->port, 0, &pkt, 1) == 1)
            sent++;
        else if (pkt != NULL)
            pkt_put(pkt);
        port_reclaim(e->port, 0);
        uint32_t n = port_rx(e->port, 0, v, PORT_BURST_N);
        for (uint32_t i = 0; i < n; i++) {
            if (wrong == NULL && !is_frame(v[i], got++))
                wrong = "a frame is not what was sent";
            pkt_put(v[i]);
        }
        if (clock_read_ns() > end)
            wrong = "frames are missing";
    }
    if (wrong == NULL && pool.free_n != pool.n)
        wrong = "a sent packet is not given back";
    if (wrong == NULL)
        printf("ring: %u frames of three pieces returned, whole and in order\n", got);
    pkt_pool_fini(&pool);
    return wrong;
}

static const char *null_run(struct endpoint *e)
{
    struct pkt_pool pool;
    uint32_t taken = 0;
    if (!pkt_pool_init(&pool, 256, 256))
        return "no memory";
    for (uint32_t i = 0; i < FRAMES; i++) {
        struct pkt *pkt = frame_make(&pool, &e->port->facts, i);
        if (pkt == NULL || port_tx(e->port, 0, &pkt, 1) != 1)
            break;
        taken++;
        port_reclaim(e->port, 0);
        endpoint_in(e);
        endpoint_out(e);
    }
    bool is_back = pool.free_n == pool.n;
    pkt_pool_fini(&pool);
    uint64_t in = net_stat(e->net, NET_RX_PACKETS);
    if (taken != FRAMES || !is_back)
        return "a frame was not taken, or not given back";
    if (in != net_stat(e->net, NET_DROP_NOT_MINE))
        return "a frame of zeros was not refused";
    if (in == 0)
        return "no frame came in";
    printf("null: %u frames taken and given back, %llu of zeros refused\n", taken,
           (unsigned long long)in);
    return NULL;
}

static int one_port(const char *name, const char *(*run)(struct endpoint *))
{
    struct endpoint e;
    struct ports_config *c = calloc(1, sizeof *c);
    char why[PORT_WHY_MAX];
    check(c != NULL);
    snprintf(c->ports[0].name, PORT_NAME_MAX, "%s", name);
    c->ports[0].ip = SERVER_IP;
    c->ports[0].mask = 0xffffff00;
    int rc = endpoints_open(&e, 1, c, 64, why, sizeof why);
    free(c);
    if (rc != 0)
        return fail(why);
    const char *wrong = run(&e);
    if (wrong != NULL)
        return fail(wrong);
    endpoints_close(&e, 1);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct ends memif = {"net_memif0",
                                      "role=server,socket-abstract=no,socket=", "net_memif0",
                                      "role=client,socket-abstract=no,socket="};
    static const struct ends vhost = {"net_vhost0", "queues=1,iface=", "net_virtio_user0",
                                      "queues=1,path="};
    const char *name = argc > 1 ? argv[1] : "";
    pattern_make();
    if (argc == 3 && strcmp(name, "memif") == 0)
        return two_ends(&memif, argv[2]);
    if (argc == 3 && strcmp(name, "vhost") == 0)
        return two_ends(&vhost, argv[2]);
    if (argc == 2 && strcmp(name, "ring") == 0)
        return one_port("net_ring0", ring_run);
    if (argc == 2 && strcmp(name, "null") == 0)
        return one_port("net_null0", null_run);
    fprintf(stderr, "devices memif|vhost DIRECTORY, devices ring|null\n");
    return 2;
}
