/*
 * slow.c - the slowest requests of each API, kept whole for `millrace slow`.
 *
 * Owner: worker; the tables may be read by any thread (top.h).
 *
 * A table per row of api.def, by the time from the first byte to the sent answer. Fetch has one
 * more, the last: by the time beside its wait for records, because a fetch that waits max_wait_ms
 * for nothing is doing what it was asked, and would leave no place for one that was really slow.
 *
 * Memory: (APIs + 1) x (1 + TOP_BUCKETS_N) x TOP_KEEP entries of 312 bytes, 12 KiB for an API that
 * was ever asked.
 */
#include <stdlib.h>

#include "request.h"

enum { API_FETCH = 1 };

int slow_init(struct kafka *k)
{
    k->slow = calloc(apis_n + 1u, sizeof *k->slow);
    return k->slow == NULL ? E_NO_MEMORY : 0;
}

void kafka_turns(struct kafka *k, struct turns *turns)
{
    k->turns = turns;
}

uint32_t kafka_slow_rows(void)
{
    return apis_n + 1u;
}

int16_t kafka_slow_row(uint32_t at, bool *is_own)
{
    check(at <= apis_n);
    *is_own = at == apis_n;
    return *is_own ? API_FETCH : apis[at].key;
}

uint32_t kafka_slow(const struct kafka *k, uint32_t at, enum top_window window, uint64_t now_ns,
                    struct top_item *v, uint32_t n)
{
    check(at <= apis_n);
    return top_read(&k->slow[at], window, now_ns, v, n);
}

void op_stall_measure(struct op_stall *stall, struct store *store, uint64_t begun_ns,
                      uint64_t now_ns)
{
    uint64_t took_ns = 0, ns;
    uint8_t dir = 0;
    ns = store_stalled(store, begun_ns, now_ns, &took_ns, &dir);
    took_ns = min_u64((took_ns + NS_PER_MS - 1) / NS_PER_MS, (1 << 24) - 1);
    stall->us = (uint32_t)min_u64(ns / NS_PER_US, UINT32_MAX);
    stall->took_ms = (uint32_t)took_ns & 0xffffff;
    stall->dir = dir;
}

/* What the network did while the request came and while its answer went. */
static void slow_fill_path(struct slow *s, const struct request *r)
{
    const struct conn_path *began = &r->slot.sending_path;
    struct conn_path path;
    if (r->conn == NULL)
        return;
    conn_path(r->conn->conn, &path);
    s->is_own_tcp = path.is_known;
    s->holes_n = (uint16_t)min_u64(r->holes_n, UINT16_MAX);
    if (!path.is_known || !began->is_known)
        return;
    s->again_n = (uint16_t)min_u64(path.again_n - began->again_n, UINT16_MAX);
    s->was_window_shut = path.shut_n != began->shut_n;
}

static void slow_fill(struct slow *s, const struct request *r, struct now now)
{
    memset(s, 0, sizeof *s);
    slow_measure(s, r->stages, r->kafka->turns);
    if (r->stall.us > 0) {
        s->stall_ns = r->stall.us * NS_PER_US;
        s->stall_took_ns = r->stall.took_ms * NS_PER_MS;
        s->stall_dir = (uint8_t)r->stall.dir;
    }
    s->wall_ms = now.wall_ms;
    s->frame_bytes = r->size;
    s->answer_bytes = r->answer_size;
    s->api_key = r->api->key;
    s->version = r->version;
    s->is_control = r->api->where == API_CONTROL;
    s->has_left = r->conn == NULL;
    s->worker = r->kafka->config.worker;
    slow_fill_path(s, r);
    if (r->conn != NULL)
        snprintf(s->peer, sizeof s->peer, "%s", conn_peer(r->conn->conn));
}

bool slow_note(struct request *r, struct now now)
{
    struct kafka *k = r->kafka;
    uint64_t total_ns = r->stages[STAGE_SENT] - r->stages[STAGE_FIRST_BYTE], own_ns = total_ns;
    struct top *by_total = &k->slow[r->api - apis], *by_own = &k->slow[apis_n];
    bool is_fetch = r->api->key == API_FETCH;
    struct slow s;
    uint64_t w[TOP_WORDS];
    if (is_fetch && r->stages[STAGE_WOKEN] != 0)
        own_ns -= min_u64(own_ns, r->stages[STAGE_WOKEN] - r->stages[STAGE_STARTED]);
    bool is_wanted = total_ns > 0 && top_wants(by_total, total_ns, now.ns);
    bool is_own_wanted = is_fetch && own_ns > 0 && top_wants(by_own, own_ns, now.ns);
    if (!is_wanted && !is_own_wanted)
        return false;
    slow_fill(&s, r, now);
    memcpy(w, &s, sizeof s);
    if (is_wanted)
        top_put(by_total, total_ns, now.ns, w, sizeof s / sizeof *w);
    if (is_own_wanted)
        top_put(by_own, own_ns, now.ns, w, sizeof s / sizeof *w);
    return true;
}
