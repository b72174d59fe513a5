/*
 * look.c - a worker answers what look.h asks.
 *
 * Owner: worker.
 *
 * One answer takes at most LOOK_CONNS_BYTES of text, about a thousand connections and a
 * millisecond; who wants the rest asks again, after the last id.
 */
#include "look.h"

#include "worker.h"

static uint64_t packets_look(const struct worker *w, const struct look *look)
{
    if (look->port >= w->ports.n)
        return 0;
    return lane_capture_write(w->ports.lanes[look->port], look->to, look->to_n, look->wall_ns);
}

void worker_look(struct worker *w)
{
    struct look *look = &w->look;

    if (atomic_load_explicit(&look->state, memory_order_acquire) != LOOK_ASKED)
        return; /* K1: pairs with L1 in metrics.c */
    if (look->kind == LOOK_CONNS)
        look->n = conns_list(w->conns, look->after, w->now.ns, (char *)look->to, look->to_n);
    else
        look->n = packets_look(w, look);
    atomic_store_explicit(&look->state, LOOK_ANSWERED,
                          memory_order_release); /* L2: pairs with K2 in metrics.c */
}
