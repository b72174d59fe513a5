/*
 * pump_engine.c - the ends over our TCP engine on a port of DPDK, by the lane the broker uses.
 *
 * Owner: main, one thread.
 *
 * The thread polls; after IDLE_TURNS turns in which nothing moved it sleeps 20 us at a time, as a
 * worker with ports does, so its CPU time says something. Received bytes are compared where they
 * lie, in the packets; sent bytes are references to the pattern.
 */
#include "pump.h"

#include <string.h>
#include <time.h>

#include "endpoint.h"

enum { IDLE_TURNS = 64, IDLE_NS = 20000, UNACKED_MAX = 4 << 20, CONNS = 64, SLICES = 64 };

/* Owner: main. */
struct engine {
    struct endpoint at;
    struct tcb *tcb;
    bool is_opened, is_ended, is_closed;
    uint64_t busy_ns;
    uint32_t idle_n;
};

static int engine_open(struct engine *e, const struct pump_options *o)
{
    char why[PORT_WHY_MAX] = "";
    struct ports_config *c = calloc(1, sizeof *c);
    check(c != NULL);
    snprintf(c->ports[0].name, sizeof c->ports[0].name, "%s", o->device);
    snprintf(c->ports[0].devargs, sizeof c->ports[0].devargs, "%s", o->devargs);
    c->ports[0].ip = o->ip;
    c->ports[0].mask = 0xffffff00;
    int rc = endpoints_open(&e->at, 1, c, CONNS, why, sizeof why);
    free(c);
    if (rc != 0)
        fprintf(stderr, "pump: %s\n", why);
    return rc == 0 ? net_listen(e->at.net, PUMP_PORT, 8, NULL) : rc;
}

static void news_take(struct engine *e)
{
    uint32_t news;
    for (struct tcb *tcb; (tcb = net_news_next(e->at.net, &news)) != NULL;) {
        e->tcb = e->tcb == NULL ? tcb : e->tcb;
        if (tcb != e->tcb)
            continue;
        e->is_opened |= (news & TCP_NEWS_OPENED) != 0;
        e->is_ended |= (news & TCP_NEWS_END) != 0;
        e->is_closed |= (news & TCP_NEWS_CLOSED) != 0;
    }
}

/* The first half of a turn. */
static bool turn_begin(struct engine *e)
{
    bool has_moved = endpoint_in(&e->at) > 0;
    news_take(e);
    return has_moved;
}

static void turn_end(struct engine *e, bool has_moved)
{
    has_moved |= endpoint_out(&e->at) > 0;
    if (has_moved) {
        e->idle_n = 0;
        e->busy_ns += clock_read_ns() - e->at.now.ns;
        return;
    }
    if (++e->idle_n > IDLE_TURNS)
        nanosleep(&(struct timespec){0, IDLE_NS}, NULL);
}

static void bytes_read(struct engine *e, struct pump_result *r)
{
    struct slice v[SLICES];
    if (e->tcb == NULL)
        return;
    for (uint32_t n; (n = tcp_read(e->tcb, v, SLICES, UINT64_MAX)) > 0;) {
        for (uint32_t i = 0; i < n; i++) {
            if (r->broken == 0 && !pump_is_equal(v[i].ptr, v[i].n, r->bytes))
                r->broken = r->bytes + 1;
            r->bytes += v[i].n;
            slice_put(&v[i]);
        }
    }
}

static void sink(struct engine *e, struct pump_result *r)
{
    uint64_t begin = 0;
    while (!e->is_ended && !e->is_closed) {
        bool has_moved = turn_begin(e);
        bytes_read(e, r);
        if (begin == 0 && r->bytes > 0) {
            begin = e->at.now.ns;
            e->busy_ns = 0;
        }
        turn_end(e, has_moved);
    }
    r->wall_ns = e->at.now.ns - begin;
}

static void source(struct engine *e, const struct pump_options *o, struct pump_result *r)
{
    uint64_t begin = 0, end = UINT64_MAX;
    e->tcb = tcp_connect(e->at.net, o->to, PUMP_PORT, NULL, e->at.now);
    check(e->tcb != NULL);
    while (!e->is_closed && e->at.now.ns < end) {
        bool has_moved = turn_begin(e);
        if (e->is_opened && begin == 0) {
            begin = e->at.now.ns;
            end = begin + (uint64_t)(o->seconds * 1e9);
            e->busy_ns = 0;
        }
        while (e->is_opened && !e->is_closed && tcp_unacked(e->tcb) < UNACKED_MAX) {
            struct slice s = {pump_bytes(r->bytes), PUMP_CHUNK, NULL};
            if (tcp_send(e->tcb, &s, 1) != 0)
                break;
            r->bytes += PUMP_CHUNK;
        }
        turn_end(e, has_moved);
    }
    struct tcp_facts facts;
    tcp_facts(e->tcb, &facts);
    r->retransmits = facts.retransmits;
    r->wall_ns = e->at.now.ns - begin;
    if (!e->is_closed)
        tcp_shutdown(e->tcb);
    for (end = e->at.now.ns + 2 * NS_PER_S; !e->is_closed && e->at.now.ns < end;)
        turn_end(e, turn_begin(e));
}

static void echo(struct engine *e, struct pump_result *r)
{
    static uint8_t answer[2 * PUMP_CHUNK];
    uint64_t got = 0;
    while (!e->is_ended && !e->is_closed) {
        bool has_moved = turn_begin(e);
        struct slice v[SLICES];
        uint32_t n = e->tcb == NULL ? 0 : tcp_read(e->tcb, v, SLICES, UINT64_MAX);
        for (uint32_t i = 0; i < n; i++) {
            check(v[i].n <= PUMP_CHUNK);
            memcpy(answer + got % PUMP_CHUNK, v[i].ptr, v[i].n);
            struct slice s = {answer + got % PUMP_CHUNK, v[i].n, NULL};
            got += v[i].n;
            slice_put(&v[i]);
            check(tcp_send(e->tcb, &s, 1) == 0);
        }
        e->idle_n = 0; /* as with dataplane.poll=always */
        turn_end(e, has_moved);
    }
    r->bytes = got;
}

static void ping(struct engine *e, const struct pump_options *o, struct pump_result *r)
{
    struct slice v[SLICES];
    uint64_t end = UINT64_MAX, asked_ns = 0, begin = 0;
    uint32_t due = 0;
    e->tcb = tcp_connect(e->at.net, o->to, PUMP_PORT, NULL, e->at.now);
    check(e->tcb != NULL);
    while (!e->is_closed && e->at.now.ns < end && r->rtts_n < PUMP_PINGS_MAX) {
        bool has_moved = turn_begin(e);
        uint32_t n = tcp_read(e->tcb, v, SLICES, UINT64_MAX);
        for (uint32_t i = 0; i < n; i++) {
            due -= (uint32_t)min_u64(due, v[i].n);
            slice_put(&v[i]);
        }
        if (e->is_opened && due == 0) {
            uint64_t now_ns = clock_read_ns();
            struct slice s = {pump_bytes(r->bytes), PUMP_PING_BYTES, NULL};
            if (begin == 0) {
                begin = now_ns;
                end = begin + (uint64_t)(o->seconds * 1e9);
            } else {
                r->rtt_ns[r->rtts_n++] = now_ns - asked_ns;
            }
            asked_ns = now_ns;
            check(tcp_send(e->tcb, &s, 1) == 0);
            due = PUMP_PING_BYTES;
            r->bytes += PUMP_PING_BYTES;
        }
        e->idle_n = 0; /* it waits for an answer: it does not sleep */
        turn_end(e, has_moved);
    }
    r->wall_ns = e->at.now.ns - begin;
}

int pump_engine(const struct pump_options *o, struct pump_result *r)
{
    struct engine *e = calloc(1, sizeof *e);
    check(e != NULL);
    int rc = engine_open(e, o);
    if (rc != 0)
        return rc;
    if (strcmp(o->role, "sink") == 0)
        sink(e, r);
    else if (strcmp(o->role, "source") == 0)
        source(e, o, r);
    else if (strcmp(o->role, "echo") == 0)
        echo(e, r);
    else
        ping(e, o, r);
    r->busy_ns = e->busy_ns;
    r->segments = net_stat(e->at.net, NET_RX_PACKETS);
    /* The last ACKs go out. Who connected stays longer: net_memif of DPDK 22.11 may read beyond a
     * ring whose other end has gone. */
    bool is_server = strcmp(o->role, "sink") == 0 || strcmp(o->role, "echo") == 0;
    for (uint64_t end = e->at.now.ns + (is_server ? 100 : 1500) * NS_PER_MS; e->at.now.ns < end;)
        turn_end(e, turn_begin(e));
    endpoints_close(&e->at, 1);
    free(e);
    return 0;
}
