/*
 * net.c - the engine's life and its turn.
 *
 * Owner: worker.
 *
 * All memory is taken in net_init, from the sizes of net_config; afterwards nothing is. A turn runs
 * due timers first and then sends for every connection that was touched since the last, so that an
 * ACK of the same turn has stopped the timers it makes needless.
 */
#include "net_inside.h"

#include <stdlib.h>

#include "checksum.h"

enum { TURN_TIMERS_MAX = 4096, MTU_MAX = 9000 };

const char *net_stat_text(enum net_stat at)
{
    static const char *const texts[] = {
#define NET_STAT(name, text) text,
#include "net_stats.def"
#undef NET_STAT
    };
    return at < NET_STATS_N ? texts[at] : "unknown";
}

const char *tcp_state_text(enum tcp_state state)
{
    static const char *const names[] = {
#define STATE(name, text) #name,
        TCP_STATES(STATE)
#undef STATE
    };
    return state < TCPS_N ? names[state] : "unknown";
}

uint64_t net_stat(const struct net *net, enum net_stat at)
{
    return net->stats[at];
}

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

static void config_defaults_set(struct net_config *c)
{
    c->mtu = (uint16_t)or_default(c->mtu, 1500);
    c->port_from = (uint16_t)or_default(c->port_from, 32768);
    c->tcbs_max = or_default(c->tcbs_max, 1024);
    c->syns_max = or_default(c->syns_max, 4096);
    c->time_waits_max = or_default(c->time_waits_max, 4096);
    c->packets_max = or_default(c->packets_max, 4096);
    c->heads_max = or_default(c->heads_max, 4096);
    c->extents_max = or_default(c->extents_max, 8192);
    c->records_max = or_default(c->records_max, 16384);
    c->rcv_bytes = or_default(c->rcv_bytes, 256 * 1024);
    c->rto_min_ms = or_default(c->rto_min_ms, 200);
    c->rto_max_ms = or_default(c->rto_max_ms, 60000);
    c->delayed_ack_ms = or_default(c->delayed_ack_ms, 40);
    c->time_wait_ms = or_default(c->time_wait_ms, 60000);
    c->keepalive_ms = or_default(c->keepalive_ms, 60000);
    c->keepalive_n = or_default(c->keepalive_n, 3);
    c->user_timeout_ms = or_default(c->user_timeout_ms, 30000);
    if (c->tso_pieces == 0 || c->tso_pieces > PKT_PIECES_MAX)
        c->tso_pieces = PKT_PIECES_MAX;
    if (c->rx_budget_bytes == 0)
        c->rx_budget_bytes = (uint64_t)c->packets_max * (PKT_ROOM + sizeof(struct pkt)) / 4 * 3;
}

static bool config_is_valid(const struct net_config *c)
{
    return c->mtu >= MSS_MIN + IP4_BYTES + TCP_BYTES && c->mtu <= MTU_MAX &&
           c->tcbs_max < 1u << 28 && c->syns_max < 1u << 28 && c->time_waits_max < 1u << 28 &&
           c->rcv_bytes >= MSS_MIN && c->rcv_bytes <= 1u << 30 && c->rto_min_ms <= c->rto_max_ms &&
           c->port_from < 60999 && (c->tso_bytes == 0 || c->has_tx_checksum);
}

static void keys_make(struct net *net)
{
    struct sip_key *keys[] = {&net->key_flow, &net->key_isn, &net->key_cookie};
    for (size_t i = 0; i < array_n(keys); i++) {
        keys[i]->k[0] = prng_next(&net->prng);
        keys[i]->k[1] = prng_next(&net->prng);
    }
}

static bool memory_init(struct net *net)
{
    const struct net_config *c = &net->config;
    uint32_t flows = c->tcbs_max + c->syns_max + c->time_waits_max, buckets = 64;
    while (buckets < flows)
        buckets *= 2;
    net->buckets_mask = buckets - 1;
    net->buckets = malloc(buckets * sizeof *net->buckets);
    net->tcbs = calloc(c->tcbs_max, sizeof *net->tcbs);
    net->syn_entries = calloc(c->syns_max, sizeof *net->syn_entries);
    net->wait_entries = calloc(c->time_waits_max, sizeof *net->wait_entries);
    net->exts = malloc(c->extents_max * sizeof *net->exts);
    net->recs = malloc(c->records_max * sizeof *net->recs);
    uint32_t room = (uint32_t)max_u64(align_up(c->mtu + 128u, 64), PKT_ROOM);
    bool has_pools = pkt_pool_init(&net->big, c->packets_max, room);
    has_pools &= pkt_pool_init(&net->head, c->heads_max, PKT_HEAD_ROOM);
    if (net->buckets == NULL || net->tcbs == NULL || net->syn_entries == NULL ||
        net->wait_entries == NULL || net->exts == NULL || net->recs == NULL || !has_pools)
        return false;
    for (uint32_t i = 0; i < buckets; i++)
        net->buckets[i] = FLOW_NONE;
    return true;
}

static void memory_free(struct net *net)
{
    free(net->buckets);
    free(net->tcbs);
    free(net->syn_entries);
    free(net->wait_entries);
    free(net->exts);
    free(net->recs);
    pkt_pool_fini(&net->big);
    pkt_pool_fini(&net->head);
}

static void lists_init(struct net *net)
{
    struct list *heads[] = {&net->tcbs_free, &net->tcbs_open,  &net->dirty, &net->news,
                            &net->syns_free, &net->waits_free, &net->waits, &net->recs_free};
    for (size_t i = 0; i < array_n(heads); i++)
        list_init(heads[i]);
    for (int i = 0; i <= SYN_RETRIES; i++)
        list_init(&net->syns[i]);
    for (uint32_t i = 0; i < net->config.syns_max; i++)
        list_append(&net->syns_free, &net->syn_entries[i].link);
    for (uint32_t i = 0; i < net->config.time_waits_max; i++)
        list_append(&net->waits_free, &net->wait_entries[i].link);
}

int net_init(struct net **out, const struct net_config *config, struct now now)
{
    struct net *net = calloc(1, sizeof *net);
    if (net == NULL)
        return E_NO_MEMORY;
    net->magic = NET_MAGIC;
    net->config = *config;
    config_defaults_set(&net->config);
    if (!config_is_valid(&net->config)) {
        free(net);
        return E_INVALID;
    }
    net->now_ns = now.ns;
    memcpy(&net->mac_word, net->config.mac, sizeof net->config.mac);
    prng_init(&net->prng, config->seed);
    keys_make(net);
    if (!memory_init(net)) {
        memory_free(net);
        free(net);
        return E_NO_MEMORY;
    }
    lists_init(net);
    timers_init(&net->timers, now.ns);
    net->limit_rst.max = 100;
    net->limit_echo.max = 100;
    /* Randomised, or a third party could count what is left of it (CVE-2016-5696). */
    net->limit_challenge.max = 500 + (uint32_t)prng_below(&net->prng, 500);
    arp_announce(net);
    *out = net;
    return 0;
}

void net_stop(struct net *net)
{
    check(net->magic == NET_MAGIC);
    for (struct list *l; (l = list_pop(&net->tcbs_open)) != NULL;) {
        struct tcb *tcb = list_entry(l, struct tcb, link);
        list_append(&net->tcbs_open, l);
        tcb_end(tcb, E_STOPPING);
        if (!tcb->is_orphan)
            tcp_release(tcb);
    }
    arp_fini(net);
    for (struct pkt *pkt; (pkt = pkt_queue_pop(&net->out)) != NULL;)
        pkt_put(pkt);
    check(net->exts_out_n == 0 && net->recs_out_n == 0 && net->rx_held == 0);
}

void net_fini(struct net *net)
{
    net_stop(net);
    memory_free(net);
    net->magic = 0;
    free(net);
}

/* ── the turn ── */

static void tcb_prefetch(const struct tcb *tcb)
{
    for (size_t at = 0; at < sizeof *tcb; at += 64)
        __builtin_prefetch((const uint8_t *)tcb + at);
}

void net_turn(struct net *net, struct now now)
{
    check(net->magic == NET_MAGIC);
    net->now_ns = now.ns;
    arp_turn(net);
    syn_turn(net);
    time_wait_turn(net);
    timers_run(&net->timers, now, TURN_TIMERS_MAX);
    bool are_many = net->tcbs_n > CONNS_FEW;
    for (struct list *l; (l = list_pop(&net->dirty)) != NULL;) {
        if (are_many) /* the one after it: what it needs is asked for in time */
            tcb_prefetch(list_entry(net->dirty.next, struct tcb, dirty));
        tcp_output(list_entry(l, struct tcb, dirty));
    }
}

struct pkt *net_output_next(struct net *net)
{
    struct pkt *pkt = pkt_queue_pop(&net->out);
    if (pkt != NULL)
        count(net, NET_TX_PACKETS);
    return pkt;
}

struct pkt *net_packet_take(struct net *net)
{
    return pkt_take(&net->big, 2); /* so that the IP header is aligned */
}

void net_memory(const struct net *net, int at, void **base, uint64_t *bytes)
{
    const struct pkt_pool *pool = at == 0 ? &net->head : &net->big;
    *base = pool->memory;
    *bytes = pkt_pool_bytes(pool);
}

void net_usage(const struct net *net, struct net_usage *out)
{
    *out = (struct net_usage){
        .tcbs_n = net->tcbs_n,
        .syns_n = net->syns_n,
        .waits_n = net->waits_n,
        .extents_n = net->exts_out_n,
        .records_n = net->recs_out_n,
        .packets_n = net->big.n - net->big.free_n,
        .heads_n = net->head.n - net->head.free_n,
        .rx_held_bytes = net->rx_held,
    };
}

uint64_t net_sleep_ns(const struct net *net, struct now now, uint64_t ns_max)
{
    uint64_t at = UINT64_MAX;
    if (!list_is_empty(&net->dirty) || !list_is_empty(&net->news) || net->out.head != NULL)
        return 0;
    for (int i = 0; i <= SYN_RETRIES; i++)
        if (!list_is_empty(&net->syns[i]))
            at = min_u64(at, list_first(&net->syns[i], struct syn_entry, link)->due_ns);
    if (!list_is_empty(&net->waits))
        at = min_u64(at, list_first(&net->waits, struct wait_entry, link)->due_ns);
    for (int i = 0; i < ARP_N; i++)
        if (net->arp[i].is_used)
            at = min_u64(at, max_u64(net->arp[i].due_ns, net->arp_due_ns));
    uint64_t ns = at == UINT64_MAX ? ns_max : at <= now.ns ? 0 : min_u64(at - now.ns, ns_max);
    return min_u64(ns, timers_next_ns(&net->timers, now, ns_max));
}

struct tcb *net_news_next(struct net *net, uint32_t *news)
{
    struct list *l = list_pop(&net->news);
    if (l == NULL)
        return NULL;
    struct tcb *tcb = list_entry(l, struct tcb, news);
    *news = tcb->news_bits;
    tcb->news_bits = 0;
    tcb_waiting_end(tcb);
    return tcb;
}

/* ── frames ── */

static void frame_input(struct net *net, struct pkt *pkt)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    if (pkt->n < ETH_BYTES) {
        net_drop(net, pkt, NET_DROP_SHORT);
        return;
    }
    const uint8_t *eth = pkt->data;
    uint32_t head_n = ETH_BYTES;
    uint16_t type = load_u16(eth + 12);
    if (type == ETHERTYPE_VLAN && pkt->n >= ETH_BYTES + 4) { /* 802.1Q: accepted with any tag */
        type = load_u16(eth + 16);
        head_n += 4;
    }
    bool is_mine = memcmp(eth, net->config.mac, 6) == 0;
    if (!is_mine && !(type == ETHERTYPE_ARP && memcmp(eth, broadcast, 6) == 0)) {
        net_drop(net, pkt, NET_DROP_NOT_MINE);
        return;
    }
    pkt->data += head_n;
    pkt->n -= head_n;
    if (type == ETHERTYPE_IP4)
        ip4_input(net, pkt, eth + 6);
    else if (type == ETHERTYPE_ARP)
        arp_input(net, pkt);
    else
        net_drop(net, pkt, NET_DROP_ETHERTYPE);
}

/* The way of every frame that was not expected. */
static void step_input(struct net *net, struct pkt *pkt)
{
    if (frame_is_plain(net, pkt))
        ip4_plain_input(net, pkt);
    else
        frame_input(net, pkt);
}

void net_input_burst(struct net *net, struct pkt *const *v, uint32_t n, struct now now)
{
    net->now_ns = now.ns;
    net->stats[NET_RX_PACKETS] += n;
    for (uint32_t from = 0, end; from < n; from = end) {
        end = (uint32_t)min_u64(from + BURST_MAX, n);
        if (net->tcbs_n > CONNS_FEW && end - from > 1)
            tcp_prefetch(net, v + from, end - from);
        for (uint32_t i = from; i < end;) {
            uint32_t taken = tcp_predict(net, v + i, end - i);
            if (taken == 0)
                step_input(net, v[i++]);
            i += taken;
        }
    }
}

void net_input(struct net *net, struct pkt *pkt, struct now now)
{
    net->now_ns = now.ns;
    count(net, NET_RX_PACKETS);
    if (tcp_predict(net, &pkt, 1) == 0)
        step_input(net, pkt);
}
