/*
 * wire.c - see wire.h.
 *
 * Owner: the simulator.
 */
#include "wire.h"

#include <stdlib.h>

#include "check.h"
#include "proto.h"

enum { WIRE_RX_BYTES = 1 << 20 };

void wire_init(struct sim_wire *w)
{
    *w = (struct sim_wire){.rx = malloc(WIRE_RX_BYTES)};
    check(w->rx != NULL);
}

void wire_fini(struct sim_wire *w)
{
    free(w->tx);
    free(w->rx);
}

bool wire_is_connected(const struct sim_wire *w)
{
    return w->peer != NULL || w->tcb != NULL;
}

void wire_news(struct sim_wire *w, uint32_t news)
{
    w->is_over |= (news & (TCP_NEWS_END | TCP_NEWS_CLOSED)) != 0;
}

bool wire_connect(struct sim *s, struct sim_wire *w)
{
    if (s->net != NULL) {
        w->tcb = tcp_connect(sim_net_clients(s->net), SIM_NET_BROKER_IP, SIM_NET_PORT, w, s->now);
        w->is_over = false;
        return w->tcb != NULL;
    }
    uint8_t number = (uint8_t)prng_below(&s->prng, s->broker->workers_n);
    struct worker *worker = s->broker->workers[number];
    thread_self = w->worker = worker;
    w->peer = conns_memory_connect(worker->conns, &s->broker->listeners[0], s->now);
    thread_self = NULL;
    return w->peer != NULL;
}

void wire_gone(struct sim_wire *w)
{
    if (w->tcb != NULL) {
        tcp_abort(w->tcb);
        tcp_release(w->tcb);
        w->tcb = NULL;
    }
    w->peer = NULL;
    w->rx_n = w->tx_n = w->tx_at = 0;
}

void wire_disconnect(struct sim_wire *w)
{
    thread_self = w->worker;
    if (w->peer != NULL)
        conn_memory_close(w->peer);
    thread_self = NULL;
    wire_gone(w);
}

int32_t wire_queue(struct sim_wire *w, int16_t api_key, int16_t version, const void *request,
                   struct arena *arena)
{
    struct proto_out out;
    struct slices_at at = {0, 0};
    int rc = proto_encode_request(&out, arena, api_key, version, ++w->correlation_id,
                                  bytes_of_string("sim"), request);
    do {
        rc = proto_encode_more(&out, 1000);
    } while (rc == E_AGAIN);
    check(rc == 0);
    w->tx = realloc(w->tx, w->tx_n + out.out.bytes);
    check(w->tx != NULL);
    slices_copy(&out.out, &at, w->tx + w->tx_n, out.out.bytes);
    w->tx_n += out.out.bytes;
    slices_put_all(&out.out);
    return w->correlation_id;
}

static bool wire_send(struct sim *s, struct sim_wire *w)
{
    uint64_t n = w->tx_n - w->tx_at;
    if (n == 0)
        return true;
    if (prng_chance(&s->prng, 20))
        n = 1 + prng_below(&s->prng, n);
    int64_t took = conn_memory_write(w->peer, w->tx + w->tx_at, n, s->now);
    if (took < 0)
        return false;
    w->tx_at += (uint64_t)took;
    if (w->tx_at == w->tx_n)
        w->tx_at = w->tx_n = 0;
    return true;
}

/* Over TCP the bytes are given away whole; how they are cut is the network's doing. */
static int64_t tcp_pump(struct sim_wire *w)
{
    struct slice v[16];
    int64_t got = 0;
    if (w->tx_n > 0) {
        struct slice s = sim_net_slice(w->tx, (uint32_t)w->tx_n);
        if (tcp_send(w->tcb, &s, 1) != 0) {
            slice_put(&s);
            return -1;
        }
        w->tx_n = 0;
    }
    for (uint32_t n;
         (n = tcp_read(w->tcb, v, array_n(v), WIRE_RX_BYTES - w->rx_n - (uint64_t)got)) > 0;) {
        for (uint32_t i = 0; i < n; i++) {
            memcpy(w->rx + w->rx_n + got, v[i].ptr, v[i].n);
            got += v[i].n;
            slice_put(&v[i]);
        }
    }
    return got == 0 && w->is_over ? -1 : got;
}

static int64_t memory_pump(struct sim *s, struct sim_wire *w)
{
    thread_self = w->worker;
    bool is_open = wire_send(s, w);
    int64_t got =
        is_open ? conn_memory_read(w->peer, w->rx + w->rx_n, WIRE_RX_BYTES - w->rx_n) : -1;
    thread_self = NULL;
    return got;
}

enum wire_end wire_pump(struct sim *s, struct sim_wire *w,
                        bool (*each)(struct sim *s, void *context, const uint8_t *frame,
                                     uint32_t n),
                        void *context)
{
    int64_t got = w->tcb != NULL ? tcp_pump(w) : memory_pump(s, w);
    if (got < 0) {
        wire_disconnect(w);
        return WIRE_ENDED;
    }
    w->rx_n += (uint64_t)got;
    while (w->rx_n >= 4 && w->rx_n - 4 >= load_u32(w->rx)) {
        uint32_t n = load_u32(w->rx);
        if (!each(s, context, w->rx + 4, n))
            return WIRE_FAILED;
        w->rx_n -= 4 + n;
        memmove(w->rx, w->rx + 4 + n, w->rx_n);
    }
    return WIRE_FINE;
}
