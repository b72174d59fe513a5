/*
 * conn.c - all connections of a worker: the pool, the ready list, the turn's "out", idle and stop.
 *
 * Owner: worker.
 *
 *              conn_open            conn_ended              conn_close
 *      FREE ───────────────► OPEN ────────────► ENDED ──────────────────┐
 *        ▲                    └────────────conn_close────────────► CLOSING
 *        └── conn_release: told, no slots, transport done ◄─────────────┘
 *
 * Arrivals and handlers only mark (conn_news, conn_attend); conns_send_ready, once a turn, does for
 * every marked connection what is left to do: bytes out of receive buffers, reading on or off,
 * sends, the end. A connection that nothing happens to is not looked at, except by its idle timer,
 * which is set once and looks at the times of the last transfers when it fires; receiving and
 * sending never touch the wheel.
 *
 * What it does not do: it does not judge bytes; frames, their lengths and their rate are the Kafka
 * layer's.
 */
#include "inside.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "ledger.h"

enum {
    CONNS_N_MAX = 1 << 20,      /* of one worker: descriptors end long before */
    ATTEND_ROUNDS_MAX = 4,      /* in a turn, for connections marked while others are looked at */
    LIMIT_CLOSED_PER_TURN = 16, /* when the limit was lowered */
    LIMIT_LOOK_MAX = 256,
};

static void conn_state_set(struct conn *conn, enum conn_state state)
{
    conn->state = (uint8_t)state;
}

uint64_t conns_now_ns(const struct conns *conns)
{
    /* Completions know no time; the timers have run in this turn or the last. */
    return max_u64(conns->now_ns, conns->timers->tick * TIMER_TICK_NS);
}

/* ── boot and end ── */

static void stop_fire(struct timer *timer, struct now now);

static void conns_lists_init(struct conns *conns)
{
    list_init(&conns->open);
    list_init(&conns->free);
    list_init(&conns->ready);
    list_init(&conns->ready_later);
    list_init(&conns->attend);
    list_init(&conns->hungry);
    list_init(&conns->starved);
    list_init(&conns->skipped);
    list_init(&conns->tcp_waiting);
    timer_init(&conns->stop, stop_fire);
}

static uint64_t pool_bytes(const struct conns *conns)
{
    return (uint64_t)conns->config.conns_max * sizeof(struct conn);
}

int conns_init(struct conns **out, const struct conns_config *config, struct io *io,
               struct pages *pages, struct timers *timers)
{
    struct conns *conns = calloc(1, sizeof *conns);
    if (conns == NULL)
        return E_NO_MEMORY;
    conns->magic = CONNS_MAGIC;
    conns->config = *config;
    conns->config.conns_max = (uint32_t)min_u64(max_u64(config->conns_max, 1), CONNS_N_MAX);
    conns->limits.open_max = UINT32_MAX;
    conns->limits.per_ip_max = config->per_ip_max;
    conns->io = io;
    conns->pages = pages;
    conns->timers = timers;
    conns_lists_init(conns);
    int rc = peers_init(&conns->peers, conns->config.conns_max, config->seed);
    if (rc != 0)
        goto err_free;
    rc = E_NO_MEMORY;
    conns->pool = mmap(NULL, pool_bytes(conns), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (conns->pool == MAP_FAILED)
        goto err_peers;
    rc = rx_init(conns);
    if (rc != 0)
        goto err_pool;
    *out = conns;
    return 0;

err_pool:
    munmap(conns->pool, pool_bytes(conns));
err_peers:
    peers_fini(&conns->peers);
err_free:
    free(conns);
    return rc;
}

void conns_fini(struct conns *conns)
{
    check(conns->magic == CONNS_MAGIC);
    timer_stop(conns->timers, &conns->stop);
    rx_fini(conns);
    peers_fini(&conns->peers);
    munmap(conns->pool, pool_bytes(conns));
    conns->magic = 0;
    free(conns);
}

void conns_ledger(const struct conns *conns, struct ledger *ledger)
{
    const struct io *io = conns->io;
    ledger_add_mapped(ledger, LEDGER_CONNECTIONS, conns->pool, pool_bytes(conns));
    ledger_add_mapped(ledger, LEDGER_CONNECTIONS, conns->peers.v,
                      (conns->peers.mask + 1ull) * sizeof *conns->peers.v);
    ledger_add(ledger, LEDGER_CONNECTIONS, conns->buffers,
               conns->config.recv_buffers_n * sizeof *conns->buffers);
    ledger_add_mapped(ledger, LEDGER_RECEIVE, io->buffers,
                      (uint64_t)io->buffers_n * io->buffer_bytes);
}

uint32_t conns_count(const struct conns *conns)
{
    return (uint32_t)conns->stats.open_n + (conns->is_stopping ? acceptors_open_n(conns) : 0);
}

const struct conns_stats *conns_stats(const struct conns *conns)
{
    return &conns->stats;
}

/* ── one connection's life ── */

static struct conn *pool_take(struct conns *conns)
{
    struct list *l = list_pop(&conns->free);
    if (l != NULL)
        return list_entry(l, struct conn, link);
    if (conns->pool_used_n == conns->config.conns_max)
        return NULL;
    return &conns->pool[conns->pool_used_n++];
}

void conn_put(struct conn *conn)
{
    check(conn->magic == CONN_MAGIC && conn->state == CONN_FREE);
    list_append(&conn->conns->free, &conn->link);
}

static void idle_fire(struct timer *timer, struct now now);

static void conn_init(struct conn *conn, struct conns *conns)
{
    memset(conn, 0, sizeof *conn);
    conn->magic = CONN_MAGIC;
    conn->conns = conns;
    conn->id = ++conns->id_next;
    list_init(&conn->link);
    list_init(&conn->ready);
    list_init(&conn->attend);
    list_init(&conn->rx);
    list_init(&conn->slots);
    timer_init(&conn->idle, idle_fire);
    conn->last_rx_ns = conn->last_tx_ns = conns_now_ns(conns);
}

/* ── limits ── */

void conns_limit(struct conns *conns, const struct conn_limits *limits)
{
    check(limits->overrides_n <= CONN_OVERRIDES_MAX);
    conns->limits = *limits;
}

static uint32_t per_ip_max(const struct conns *conns, const uint8_t ip[16])
{
    const struct conn_limits *limits = &conns->limits;
    for (uint32_t i = 0; i < limits->overrides_n; i++)
        if (memcmp(limits->overrides[i].ip, ip, 16) == 0)
            return limits->overrides[i].n_max;
    return limits->per_ip_max;
}

/* Of the first LIMIT_LOOK_MAX open ones the one that was silent longest. */
static struct conn *conn_silent(struct conns *conns)
{
    struct conn *silent = NULL;
    uint32_t n = 0;
    list_for_each(link, next, &conns->open) {
        struct conn *conn = list_entry(link, struct conn, link);
        if (++n > LIMIT_LOOK_MAX)
            break;
        if (conn->state != CONN_CLOSING &&
            (silent == NULL || max_u64(conn->last_rx_ns, conn->last_tx_ns) <
                                   max_u64(silent->last_rx_ns, silent->last_tx_ns)))
            silent = conn;
    }
    return silent;
}

/* The limit is lower than it was: who is beyond it goes. */
static int conns_shed(struct conns *conns)
{
    int n = 0;
    while (n < LIMIT_CLOSED_PER_TURN &&
           conns->stats.open_n > (uint64_t)conns->limits.open_max + conns->closing_n) {
        struct conn *conn = conn_silent(conns);
        if (conn == NULL)
            break;
        conn_close(conn, CONN_END_LIMIT);
        n++;
    }
    return n;
}

struct conn *conn_open(struct conns *conns, const struct transport *transport,
                       const struct listener *listener, const uint8_t ip[16], uint16_t port)
{
    struct conn *conn = NULL;
    bool has_place =
        !conns->is_stopping && conns->stats.open_n - conns->closing_n < conns->limits.open_max;
    if (has_place && peers_add(&conns->peers, ip, per_ip_max(conns, ip))) {
        conn = pool_take(conns);
        if (conn == NULL)
            peers_remove(&conns->peers, ip);
    }
    if (conn == NULL) {
        conns->stats.ends[conns->is_stopping ? CONN_END_STOPPING : CONN_END_LIMIT]++;
        return NULL;
    }
    conn_init(conn, conns);
    conn->transport = transport;
    conn->listener = listener;
    memcpy(conn->ip, ip, sizeof conn->ip);
    conn->port = port;
    conn_state_set(conn, CONN_OPEN);
    list_append(&conns->open, &conn->link);
    conns->stats.accepted_n++;
    conns->stats.open_n++;
    conn_attend(conn); /* the turn's "out" knows the time for the idle timer */
    return conn;
}

void conn_news(struct conn *conn)
{
    struct conns *conns = conn->conns;
    if (conn->is_told)
        return;
    conns->has_news = true;
    if (list_is_linked(&conn->ready))
        list_del(&conn->ready); /* from ready_later: it is needed now */
    list_append(&conns->ready, &conn->ready);
}

void conn_attend(struct conn *conn)
{
    if (conn->is_hungry)
        list_del(&conn->attend);
    conn->is_hungry = false;
    if (!list_is_linked(&conn->attend))
        list_append(&conn->conns->attend, &conn->attend);
}

void conn_ended(struct conn *conn)
{
    if (conn->state != CONN_OPEN)
        return;
    conn_state_set(conn, CONN_ENDED);
    if (conn->unread > 0)
        conn_news(conn);
    conn_attend(conn);
}

void conn_close(struct conn *conn, enum conn_end why)
{
    check(conn->magic == CONN_MAGIC && conn->state != CONN_FREE && why < CONN_ENDS_N);
    if (conn->state == CONN_CLOSING)
        return;
    conn_state_set(conn, CONN_CLOSING);
    conn->conns->stats.ends[why]++;
    conn->conns->closing_n++;
    timer_stop(conn->conns->timers, &conn->idle);
    conn->transport->close(conn);
    conn_news(conn);
    conn_attend(conn);
}

/* Everything is over: the struct goes back, unless a simulated client still holds its end. */
static void conn_release(struct conn *conn)
{
    struct conns *conns = conn->conns;
    check(conn->state == CONN_CLOSING && conn->is_told && conn->slots_n == 0 && conn->unread == 0);
    check(!conn->is_sending && conn->room == NULL && !list_is_linked(&conn->ready));
    peers_remove(&conns->peers, conn->ip);
    if (list_is_linked(&conn->attend))
        list_del(&conn->attend);
    list_del(&conn->link);
    conns->stats.open_n--;
    conns->closing_n--;
    conn_state_set(conn, CONN_FREE);
    if (conn->transport != &transport_memory)
        conn_put(conn);
    else
        memory_gone(conn);
}

/* ── idle ── */

static void idle_fire(struct timer *timer, struct now now)
{
    struct conn *conn = container_of(timer, struct conn, idle);
    struct conns *conns = conn->conns;
    uint64_t max = conns->config.idle_ns_max;
    if (conn->state == CONN_ENDED) {
        conn_close(conn, CONN_END_PEER);
        return;
    }
    uint64_t since = conn->last_tx_ns;
    if (!conn->is_sending)
        since = conn->slots_n > 0 ? now.ns : max_u64(since, conn->last_rx_ns); /* it waits for us */
    if (conn->has_arrived && !conn->is_sending)
        since = now.ns;
    if (since + max <= now.ns)
        conn_close(conn, CONN_END_IDLE);
    else
        timer_set(conns->timers, &conn->idle, since + max);
}

static void idle_set(struct conn *conn, struct now now)
{
    struct timers *timers = conn->conns->timers;
    if (conn->state == CONN_ENDED &&
        (!timer_is_set(&conn->idle) || conn->idle.at_ns > now.ns + CONN_ENDED_NS_MAX))
        timer_set(timers, &conn->idle, now.ns + CONN_ENDED_NS_MAX);
    else if (conn->state == CONN_OPEN && conn->conns->config.idle_ns_max > 0 &&
             !timer_is_set(&conn->idle))
        timer_set(timers, &conn->idle, now.ns + conn->conns->config.idle_ns_max);
}

/* ── the turn's "out" ── */

static bool conn_turn(struct conn *conn, struct now now)
{
    struct conns *conns = conn->conns;
    bool was_sent;
    conn->is_hungry = false;
    if (conn->transport->turn != NULL)
        conn->transport->turn(conn);
    if (conn->has_arrived)
        conn->last_rx_ns = now.ns;
    conn->has_arrived = false;
    idle_set(conn, now);
    rx_settle(conn);
    was_sent = tx_start(conn);
    bool is_quiet = conn->slots_n == 0 && !conn->is_sending;
    if (conn->state == CONN_ENDED && is_quiet && !list_is_linked(&conn->ready))
        conn_close(conn, CONN_END_PEER);
    if (conns->is_stopping && is_quiet && conn->state != CONN_CLOSING)
        conn_close(conn, CONN_END_STOPPING);
    if (conn->state != CONN_CLOSING)
        return was_sent;
    rx_drop(conn);
    tx_drop(conn);
    if (conn->is_told && conn->slots_n == 0 && !conn->is_sending && conn->transport->is_done(conn))
        conn_release(conn);
    return was_sent;
}

int conns_send_ready(struct conns *conns, struct now now)
{
    conns->now_ns = now.ns;
    list_splice(&conns->attend, &conns->hungry);
    int done = slots_release_skipped(conns) + conns_shed(conns);
    for (int round = 0; round < ATTEND_ROUNDS_MAX && !list_is_empty(&conns->attend); round++) {
        struct list marked; /* what gets marked meanwhile is for the next round */
        list_init(&marked);
        list_splice(&marked, &conns->attend);
        for (struct list *l; (l = list_pop(&marked)) != NULL;)
            done += conn_turn(list_entry(l, struct conn, attend), now);
        done += slots_release_skipped(conns);
    }
    if (!list_is_empty(&conns->starved))
        sock_feed_starved(conns);
    list_splice(&conns->ready, &conns->ready_later);
    return done + conns->has_news + !list_is_empty(&conns->attend);
}

void conns_pace(struct conns *conns, bool is_paced)
{
    conns->is_paced = is_paced;
}

/* ── stopping ── */

static void stop_fire(struct timer *timer, struct now now)
{
    struct conns *conns = container_of(timer, struct conns, stop);
    (void)now;
    list_for_each(l, next, &conns->open)
        conn_close(list_entry(l, struct conn, link), CONN_END_STOPPING);
}

void conns_stop(struct conns *conns, uint64_t deadline_ns)
{
    check(conns->magic == CONNS_MAGIC);
    if (!conns->is_stopping)
        acceptors_stop(conns);
    conns->is_stopping = true;
    timer_set(conns->timers, &conns->stop, deadline_ns);
    list_for_each(l, next, &conns->open)
        conn_attend(list_entry(l, struct conn, link));
}

/* ── reading and asking ── */

struct conn *conns_ready_next(struct conns *conns)
{
    for (struct list *l; (l = list_pop(&conns->ready)) != NULL;) {
        struct conn *conn = list_entry(l, struct conn, ready);
        if (conn->state == CONN_CLOSING) {
            check(!conn->is_told);
            conn->is_told = true;
            conn_attend(conn);
            return conn;
        }
        if (conn->state == CONN_ENDED)
            conn_attend(conn); /* its end may be due when nothing came of it */
        if (conn->unread > 0 && !conns->is_stopping)
            return conn;
    }
    conns->has_news = false;
    return NULL;
}

void conn_ready_again(struct conn *conn)
{
    if (!list_is_linked(&conn->ready) && conn->state != CONN_CLOSING)
        list_append(&conn->conns->ready_later, &conn->ready);
}

bool conn_is_closing(const struct conn *conn)
{
    return conn->state == CONN_CLOSING;
}

const struct listener *conn_listener(const struct conn *conn)
{
    return conn->listener;
}

const char *conn_peer(const struct conn *conn)
{
    static const uint8_t v4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    /* The text is a cache, made when first asked for. */
    struct conn *c = (struct conn *)(uintptr_t)conn;
    char ip[INET6_ADDRSTRLEN] = "";
    if (c->peer_text[0] != '\0')
        return c->peer_text;
    if (memcmp(c->ip, v4, sizeof v4) == 0) {
        inet_ntop(AF_INET, c->ip + 12, ip, sizeof ip);
        snprintf(c->peer_text, sizeof c->peer_text, "%s:%u", ip, c->port);
    } else {
        inet_ntop(AF_INET6, c->ip, ip, sizeof ip);
        snprintf(c->peer_text, sizeof c->peer_text, "[%s]:%u", ip, c->port);
    }
    return c->peer_text;
}

uint64_t conn_id(const struct conn *conn)
{
    return conn->id;
}

uint64_t conn_last_rx_ns(const struct conn *conn)
{
    return conn->has_arrived ? max_u64(conn->last_rx_ns, conns_now_ns(conn->conns))
                             : conn->last_rx_ns;
}

void conn_path(const struct conn *conn, struct conn_path *out)
{
    *out = (struct conn_path){.is_known = false};
    if (conn->transport->path != NULL && conn->state != CONN_FREE)
        conn->transport->path(conn, out);
}

void *conn_user(const struct conn *conn)
{
    return conn->user;
}

void conn_set_user(struct conn *conn, void *user)
{
    conn->user = user;
}

void conn_invariants(const struct conn *conn)
{
    uint64_t slots = 0;
    check(conn->magic == CONN_MAGIC);
    rx_invariants(conn);
    list_for_each(l, next, &conn->slots)
        slots++;
    check(slots <= conn->slots_n && conn->slots_n <= CONN_SLOTS_MAX);
    if (conn->state == CONN_FREE)
        check(conn->unread == 0 && conn->slots_n == 0 && !list_is_linked(&conn->ready));
    if (conn->state == CONN_CLOSING)
        check(conn->is_told || list_is_linked(&conn->ready));
    const struct conn_slot *first = list_first(&conn->slots, struct conn_slot, link);
    if (conn->is_sending || conn->tx_bytes > 0)
        check(first != NULL && first->is_finished);
}

/* ── for people ── */

uint64_t conns_list(const struct conns *conns, uint64_t after, uint64_t now_ns, char *to,
                    uint64_t to_n)
{
    uint64_t at = 0;

    list_for_each(l, next, &conns->open) {
        struct conn *conn = list_entry(l, struct conn, link);
        char facts[CONN_FACTS_MAX] = "";
        if (conn->id <= after || conn->state == CONN_FREE)
            continue;
        if (conn->transport->facts != NULL)
            conn->transport->facts(conn, facts, sizeof facts);
        int n = snprintf(to + at, to_n - at, "%llu\t%s\t%s\t%s\t%llu\t%llu\t%llu\t%u\t%s\n",
                         (unsigned long long)conn->id, conn_peer(conn), conn->listener->name,
                         conn->transport->name,
                         (unsigned long long)((now_ns - conn->last_rx_ns) / NS_PER_MS),
                         (unsigned long long)((now_ns - conn->last_tx_ns) / NS_PER_MS),
                         (unsigned long long)conn->unread, conn->slots_n, facts);
        if (n < 0 || (uint64_t)n >= to_n - at)
            break;
        at += (uint64_t)n;
    }
    return at;
}
