/*
 * engine.c - the measured loop: schedule, send, receive, count.
 *
 * Owner: the generator's thread.
 *
 * One turn: read the clock; send what is due on every producer connection (many requests in one
 * call); take answers from the connections that have some; note how long the turn took. The loop
 * never sleeps, so the gap between two turns is either our own work or the machine's (steal,
 * interrupts): it has a histogram of its own.
 *
 * What is measured: the latency of every request that was due in the window, whenever its answer
 * came. After the window the rest of them is still sent and waited for (LOAD_DRAIN_S); what has no
 * answer then counts with its age and is reported, so a broker cannot look better by not answering.
 * Throughput is the answers within the window.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

#include "check.h"

enum { EVENTS_MAX = 256 };

/* ── connections ── */

static int conn_open(struct load *l, struct load_conn *c)
{
    c->wire.user = c;
    if (l->wire->ops->open(l->wire, &c->wire, l->o->bootstrap) != 0) {
        snprintf(l->why, sizeof l->why, "cannot connect to %s (connection %u of %u)",
                 l->o->bootstrap, (uint32_t)(c - l->conns) + 1, l->conns_n);
        return E_CLOSED;
    }
    c->rx_room = LOAD_RX_BYTES;
    c->rx = malloc(c->rx_room);
    c->flight = calloc(l->o->window, sizeof *c->flight);
    return c->rx == NULL || c->flight == NULL ? E_NO_MEMORY : 0;
}

static void conn_fail(struct load *l, struct load_conn *c, const char *why)
{
    if (c->is_failed)
        return;
    c->is_failed = true;
    if (l->failed_n++ == 0)
        snprintf(l->why, sizeof l->why, "a %s connection to %s ended: %s",
                 c->is_producer ? "producer" : "consumer", l->o->bootstrap, why);
    l->wire->ops->forget(l->wire, &c->wire);
}

bool load_tx_room(struct load_conn *c, uint64_t n)
{
    if (c->tx_at > 0) {
        memmove(c->tx, c->tx + c->tx_at, c->tx_n - c->tx_at);
        c->tx_n -= c->tx_at;
        c->tx_at = 0;
    }
    if (c->tx_n + n <= c->tx_room)
        return true;
    uint64_t room = max_u64(c->tx_n + n, max_u64(65536, c->tx_room * 2));
    uint8_t *tx = realloc(c->tx, room);
    if (tx == NULL)
        return false;
    c->tx = tx;
    c->tx_room = room;
    return true;
}

/* ── sending ── */

static void burst_add(struct load_burst *b, const void *ptr, uint32_t n, bool is_copied)
{
    if (is_copied) {
        memcpy(b->copy + b->copy_n, ptr, n);
        ptr = b->copy + b->copy_n;
        b->copy_n += n;
        struct iovec *last = b->iov_n > 0 ? &b->iov[b->iov_n - 1] : NULL;
        if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == (const uint8_t *)ptr) {
            last->iov_len += n;
            b->bytes += n;
            return;
        }
    }
    b->iov[b->iov_n++] = (struct iovec){(void *)(uintptr_t)ptr, n};
    b->bytes += n;
}

static bool burst_has_room(const struct load_burst *b, const struct load_payload *p)
{
    uint32_t copy = LOAD_HEAD_MAX + 32 + (p->bytes <= LOAD_COPY_MAX ? p->bytes : 0);
    return b->iov_n + 3 <= LOAD_IOV_MAX && b->copy_n + copy <= sizeof b->copy &&
           b->bytes < (1 << 20);
}

/* Puts one request into the burst and into flight. */
static void request_add(struct load *l, struct load_conn *c, struct load_burst *b,
                        uint64_t intended_ns)
{
    uint32_t partition = c->partition_first + c->partition_at;
    struct load_partition *p = &l->partitions[partition];
    struct load_head *h = &l->heads[partition];
    uint16_t payload_at = p->payload_at++ % LOAD_PAYLOADS;
    struct load_payload *payload = &l->payloads[payload_at];
    bool is_small = payload->bytes <= LOAD_COPY_MAX;
    c->partition_at = (c->partition_at + 1) % c->partition_n;
    store_u32(h->head, h->head_n - 4U + payload->length_n + payload->bytes + h->tail_n);
    store_u32(h->head + 8, (uint32_t)++c->correlation_id);
    burst_add(b, h->head, h->head_n, true);
    burst_add(b, payload->length, payload->length_n, true);
    burst_add(b, payload->ptr, payload->bytes, is_small);
    burst_add(b, h->tail, h->tail_n, true);
    if (l->o->acks == 0) {
        load_count(l, payload);
        return;
    }
    c->flight[(c->flight_head + c->flight_n++) % l->o->window] =
        (struct load_flight){intended_ns, partition, c->correlation_id, payload_at};
}

/* What is not taken is kept, copied, for later. */
static void burst_send(struct load *l, struct load_conn *c, struct load_burst *b)
{
    struct wire_bytes bytes = {b->iov, b->iov_n, b->copy, b->copy_n};
    ssize_t sent = l->wire->ops->send(l->wire, &c->wire, &bytes);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        conn_fail(l, c, strerror(errno));
        return;
    }
    uint64_t skip = sent < 0 ? 0 : (uint64_t)sent;
    if (skip == b->bytes)
        return;
    if (!load_tx_room(c, b->bytes - skip)) {
        conn_fail(l, c, "no memory");
        return;
    }
    for (uint32_t i = 0; i < b->iov_n; i++) {
        uint64_t n = b->iov[i].iov_len, part = min_u64(skip, n);
        memcpy(c->tx + c->tx_n, (uint8_t *)b->iov[i].iov_base + part, n - part);
        c->tx_n += n - part;
        skip -= part;
    }
    c->wants_write = true;
}

static void tx_continue(struct load *l, struct load_conn *c)
{
    struct iovec iov = {c->tx + c->tx_at, c->tx_n - c->tx_at};
    struct wire_bytes bytes = {&iov, 1, iov.iov_base, iov.iov_len};
    ssize_t sent = l->wire->ops->send(l->wire, &c->wire, &bytes);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            conn_fail(l, c, strerror(errno));
        return;
    }
    c->tx_at += (uint64_t)sent;
    if (c->tx_at == c->tx_n) {
        c->tx_at = c->tx_n = 0;
        c->wants_write = false;
    }
}

static uint64_t due_ns(const struct load *l, const struct load_conn *c)
{
    return schedule_due_ns(&l->schedule, (uint32_t)(c - l->conns), c->next);
}

/* Sends what is due on one producer connection; after the window only what was due in it. */
static void producer_turn(struct load *l, struct load_conn *c)
{
    struct load_burst *b = &l->burst;
    b->iov_n = b->copy_n = 0;
    b->bytes = 0;
    if (c->wants_write)
        tx_continue(l, c);
    while (!c->wants_write && !c->is_failed && !l->is_sending_over && c->flight_n < l->o->window) {
        uint64_t due = l->is_closed_loop ? l->now_ns : due_ns(l, c);
        if (due > l->now_ns || (l->is_draining && due >= l->window_to_ns) ||
            !burst_has_room(b, &l->payloads[0]))
            break;
        request_add(l, c, b, due);
        c->next++;
    }
    if (b->iov_n > 0)
        burst_send(l, c, b);
}

/* ── receiving ── */

static bool rx_grow(struct load_conn *c, uint64_t n)
{
    if (n <= c->rx_room)
        return true;
    if (n > LOAD_RX_BYTES_MAX)
        return false;
    uint8_t *rx = realloc(c->rx, n);
    if (rx == NULL)
        return false;
    c->rx = rx;
    c->rx_room = n;
    return true;
}

static void frames_take(struct load *l, struct load_conn *c)
{
    uint64_t at = 0;
    while (!c->is_failed && c->rx_n - at >= 4) {
        uint32_t n = load_u32(c->rx + at);
        if (n > LOAD_RX_BYTES_MAX - 4) {
            conn_fail(l, c, "an answer of impossible length");
            return;
        }
        if (c->rx_n - at - 4 < n) {
            if (!rx_grow(c, (uint64_t)n + 4))
                conn_fail(l, c, "no memory for an answer");
            break;
        }
        int rc = c->is_producer ? load_answer_produce(l, c, c->rx + at + 4, n)
                                : load_answer_fetch(l, c, c->rx + at + 4, n);
        if (rc != 0)
            conn_fail(l, c, "an answer that cannot be decoded");
        at += 4 + (uint64_t)n;
    }
    memmove(c->rx, c->rx + at, c->rx_n - at);
    c->rx_n -= at;
}

/* Edge-triggered: a short read empties the socket, but behind the last bytes may be the end. */
static void conn_receive(struct load *l, struct load_conn *c, bool is_ended)
{
    while (!c->is_failed) {
        ssize_t got =
            l->wire->ops->receive(l->wire, &c->wire, c->rx + c->rx_n, c->rx_room - c->rx_n);
        if (got == 0) {
            conn_fail(l, c, "the broker closed it");
            return;
        }
        if (got < 0) {
            if (errno != EAGAIN && errno != EINTR)
                conn_fail(l, c, strerror(errno));
            return;
        }
        bool is_full = (uint64_t)got == c->rx_room - c->rx_n;
        c->rx_n += (uint64_t)got;
        l->now_ns = clock_read_ns();
        frames_take(l, c);
        if (!is_full && !is_ended)
            return;
    }
}

static void consumer_turn(struct load *l, struct load_conn *c)
{
    if (!c->is_fetching && !c->is_failed) {
        if (load_fetch_encode(l, c) != 0)
            conn_fail(l, c, "no memory for a fetch");
        c->is_fetching = true;
        c->wants_write = true;
    }
    if (c->wants_write && !c->is_failed)
        tx_continue(l, c);
}

/* ── the loop ── */

static void second_end(struct load *l)
{
    struct load_result *r = l->result;
    if (r->seconds_n < LOAD_SECONDS_MAX)
        r->seconds_v[r->seconds_n++] = (struct load_second){
            .records = l->second_records,
            .bytes = l->second_bytes,
            .requests = l->second_requests,
            .consumed_bytes = l->second_consumed,
            .p50_ns = histogram_quantile(&l->second, 500000),
            .p99_ns = histogram_quantile(&l->second, 990000),
            .max_ns = atomic_load_explicit(&l->second.max, memory_order_relaxed),
            .stall_ns_max = l->second_stall_ns};
    if (!l->o->is_quiet)
        fprintf(stderr,
                "\r%4u s  %10.0f records/s  %8.1f MB/s  p50 %.3f  p99 %.3f  max %.3f ms  stall "
                "%.3f ms   ",
                r->seconds_n, (double)l->second_records, (double)l->second_bytes / 1e6,
                (double)histogram_quantile(&l->second, 500000) / 1e6,
                (double)histogram_quantile(&l->second, 990000) / 1e6,
                (double)atomic_load_explicit(&l->second.max, memory_order_relaxed) / 1e6,
                (double)l->second_stall_ns / 1e6);
    memset((void *)l->second_counts, 0, sizeof l->second_counts);
    histogram_init(&l->second, l->second_counts, HISTOGRAM_COARSE_BITS);
    l->second_records = l->second_requests = l->second_bytes = l->second_consumed =
        l->second_stall_ns = 0;
    l->second_end_ns += NS_PER_S;
}

static void engine_turn(struct load *l)
{
    struct wire_event events[EVENTS_MAX];
    uint64_t before = l->now_ns;
    l->now_ns = clock_read_ns();
    uint64_t gap = l->now_ns - before;
    if (l->is_measuring) {
        histogram_add(&l->result->stalls, gap);
        l->second_stall_ns = max_u64(l->second_stall_ns, gap);
    }
    for (uint32_t i = 0; i < l->producers_n; i++)
        producer_turn(l, &l->conns[i]);
    for (uint32_t i = l->producers_n; i < l->conns_n; i++)
        consumer_turn(l, &l->conns[i]);
    uint32_t n = l->wire->ops->turn(l->wire, events, EVENTS_MAX);
    for (uint32_t i = 0; i < n; i++)
        conn_receive(l, events[i].conn->user, events[i].is_ended);
    if (l->is_measuring && l->now_ns >= l->second_end_ns)
        second_end(l);
}

/* Requests of one connection that were due in the window and have not been sent. */
static uint64_t conn_unsent(const struct load *l, const struct load_conn *c)
{
    uint64_t due_n;
    if (l->is_closed_loop)
        return 0;
    due_n = schedule_due_n(&l->schedule, (uint32_t)(c - l->conns), l->window_to_ns);
    return due_n > c->next ? due_n - c->next : 0;
}

static bool is_drained(const struct load *l)
{
    for (uint32_t i = 0; i < l->producers_n; i++) {
        const struct load_conn *c = &l->conns[i];
        if (c->flight_n > 0 || c->wants_write || (!l->result->is_behind && conn_unsent(l, c) > 0))
            return false;
    }
    return l->partitions[0].matches.v == NULL || l->o->acks == 0 ||
           l->matched_n >= atomic_load_explicit(&l->result->produce.n, memory_order_relaxed);
}

/* What never came counts with its age: the least that its latency can be. */
static void leftovers_count(struct load *l, struct load_conn *c)
{
    for (uint32_t i = 0; i < c->flight_n; i++) {
        const struct load_flight *f = &c->flight[(c->flight_head + i) % l->o->window];
        if (f->intended_ns < l->window_from_ns || f->intended_ns >= l->window_to_ns)
            continue;
        histogram_add(&l->result->produce, l->now_ns - f->intended_ns);
        l->result->unanswered++;
    }
    for (uint64_t n = conn_unsent(l, c), k = c->next; n > 0; n--, k++) {
        uint64_t due = schedule_due_ns(&l->schedule, (uint32_t)(c - l->conns), k);
        histogram_add(&l->result->produce, l->now_ns - min_u64(due, l->now_ns));
        l->result->unanswered++;
    }
}

/* Answers to what was due in the window, for at most LOAD_DRAIN_S; a rate that was not reached is
 * not caught up with, only what is under way. */
static void engine_drain(struct load *l)
{
    uint64_t end = l->now_ns + LOAD_DRAIN_S * NS_PER_S;
    l->is_draining = true;
    l->is_sending_over = l->is_closed_loop || l->result->is_behind;
    while (!is_drained(l) && l->now_ns < end && l->failed_n == 0)
        engine_turn(l);
    uint64_t produced = atomic_load_explicit(&l->result->produce.n, memory_order_relaxed);
    for (uint32_t i = 0; i < l->producers_n; i++)
        leftovers_count(l, &l->conns[i]);
    if (l->partitions[0].matches.v != NULL && l->o->acks != 0 && produced > l->matched_n)
        l->result->unmatched = produced - l->matched_n;
    l->is_draining = l->is_sending_over = false;
}

static void schedule_begin(struct load *l, double rate)
{
    l->is_closed_loop = rate <= 0;
    l->now_ns = clock_read_ns();
    l->schedule = (struct schedule){l->now_ns, rate / l->payloads[0].records_n, l->producers_n};
    l->window_from_ns = l->window_to_ns = UINT64_MAX;
    for (uint32_t i = 0; i < l->conns_n; i++)
        l->conns[i].next = 0;
}

static void measure_begin(struct load *l, struct load_result *result, double duration_s)
{
    l->result = result;
    l->second_records = l->second_requests = l->second_bytes = l->second_consumed =
        l->second_stall_ns = 0;
    memset((void *)l->second_counts, 0, sizeof l->second_counts);
    histogram_init(&l->second, l->second_counts, HISTOGRAM_COARSE_BITS);
    l->now_ns = clock_read_ns();
    l->matched_n = 0;
    l->window_from_ns = l->now_ns;
    l->window_to_ns = l->now_ns + (uint64_t)(duration_s * 1e9);
    l->second_end_ns = l->now_ns + NS_PER_S;
    l->is_measuring = true;
}

/* At the end of the window: was the rate reached, and what was waited for? */
static void behind_count(struct load *l)
{
    struct load_result *r = l->result;
    for (uint32_t i = 0; i < l->producers_n && !l->is_closed_loop; i++) {
        r->due += schedule_due_n(&l->schedule, i, l->window_to_ns) -
                  schedule_due_n(&l->schedule, i, l->window_from_ns);
        r->behind += conn_unsent(l, &l->conns[i]);
        r->is_window_full |= l->conns[i].flight_n == l->o->window || l->conns[i].wants_write;
    }
    r->is_behind = schedule_is_behind(r->behind, r->due, l->schedule.per_s);
}

static int result_init(struct load_result *r, double rate)
{
    uint32_t n = HISTOGRAM_BUCKETS(HISTOGRAM_FINE_BITS);
    _Atomic uint64_t *counts = calloc(3 * (size_t)n, sizeof *counts);
    *r = (struct load_result){.rate = rate};
    r->seconds_v = calloc(LOAD_SECONDS_MAX, sizeof *r->seconds_v);
    if (counts == NULL || r->seconds_v == NULL)
        return E_NO_MEMORY;
    histogram_init(&r->produce, counts, HISTOGRAM_FINE_BITS);
    histogram_init(&r->end_to_end, counts + n, HISTOGRAM_FINE_BITS);
    histogram_init(&r->stalls, counts + 2 * (size_t)n, HISTOGRAM_FINE_BITS);
    return 0;
}

/* What the processes and the machine had used when it was read. */
struct cost {
    double client_s, broker_s, busy_s, steal_s;
};

static struct cost cost_read(const struct load *l)
{
    struct cost c = {.client_s = load_cpu_of(0), .broker_s = load_cpu_of(l->o->broker_pid)};
    load_cpu_machine(&c.busy_s, &c.steal_s);
    return c;
}

static void cost_count(struct load *l, const struct cost *from)
{
    struct load_result *r = l->result;
    struct cost to = cost_read(l);
    r->client_cpu_s = to.client_s - from->client_s;
    r->broker_cpu_s = l->o->broker_pid > 0 && to.broker_s >= 0 ? to.broker_s - from->broker_s : -1;
    r->broker_rss_bytes = load_rss_of(l->o->broker_pid);
    r->machine_cpu_s = to.busy_s - from->busy_s;
    r->steal_s = to.steal_s - from->steal_s;
}

int load_run_step(struct load *l, double rate, double warmup_s, double duration_s,
                  struct load_result *result)
{
    int rc = result_init(result, rate);
    if (rc != 0)
        return rc;
    schedule_begin(l, rate);
    for (uint64_t end = l->now_ns + (uint64_t)(warmup_s * 1e9);
         l->now_ns < end && l->failed_n == 0;)
        engine_turn(l);
    struct cost cost = cost_read(l);
    measure_begin(l, result, duration_s);
    while (l->now_ns < l->window_to_ns && l->failed_n == 0)
        engine_turn(l);
    l->is_measuring = false;
    result->seconds = (double)(l->now_ns - l->window_from_ns) / 1e9;
    cost_count(l, &cost);
    behind_count(l);
    engine_drain(l);
    if (!l->o->is_quiet)
        fprintf(stderr, "\n");
    return l->failed_n > 0 ? E_CLOSED : 0;
}

bool load_is_set_up(const struct load *l)
{
    return l->is_set_up;
}

const char *load_why(const struct load *l)
{
    return l == NULL ? "" : l->why;
}

/* ── life ── */

static void partitions_share(struct load *l)
{
    for (uint32_t i = 0; i < l->conns_n; i++) {
        struct load_conn *c = &l->conns[i];
        uint32_t peers = c->is_producer ? l->producers_n : l->o->consumers_n;
        uint32_t at = c->is_producer ? i : (i - l->producers_n) % l->o->consumers_n;
        if (peers > l->partitions_n) { /* more connections than partitions: they share */
            c->partition_first = at % l->partitions_n;
            c->partition_n = c->is_producer || at < l->partitions_n ? 1 : 0;
            continue;
        }
        c->partition_first = (uint32_t)((uint64_t)l->partitions_n * at / peers);
        c->partition_n =
            (uint32_t)((uint64_t)l->partitions_n * (at + 1) / peers) - c->partition_first;
    }
}

static int partitions_make(struct load *l)
{
    const struct load_options *o = l->o;
    l->partitions_n = o->topics_n * o->partitions_n;
    l->partitions = calloc(l->partitions_n, sizeof *l->partitions);
    l->heads = calloc(l->partitions_n, sizeof *l->heads);
    if (l->partitions == NULL || l->heads == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < l->partitions_n; i++) {
        struct load_partition *p = &l->partitions[i];
        p->topic = i % o->topics_n; /* neighbours are of different topics: load spreads */
        p->number = i / o->topics_n;
        p->payload_at = (uint16_t)(i % LOAD_PAYLOADS);
        if (o->consumers_n == 0)
            continue;
        p->matches.slots_n = (uint32_t)max_u64(LOAD_MATCHES_MIN, LOAD_MATCHES_N / l->partitions_n);
        p->matches.batch_records_n = l->payloads[0].records_n;
        p->matches.v = calloc(p->matches.slots_n, sizeof *p->matches.v);
        if (p->matches.v == NULL)
            return E_NO_MEMORY;
    }
    return 0;
}

static int conns_make(struct load *l)
{
    l->producers_n = l->o->producers_n;
    l->conns_n = l->producers_n + l->o->consumers_n * l->o->groups_n;
    l->conns = calloc(l->conns_n, sizeof *l->conns);
    if (l->conns == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < l->conns_n; i++)
        l->conns[i].is_producer = i < l->producers_n;
    partitions_share(l);
    for (uint32_t i = 0; i < l->conns_n; i++) {
        struct load_conn *c = &l->conns[i];
        int rc = conn_open(l, c);
        if (rc != 0)
            return rc;
        if (!c->is_producer) {
            c->reader = (i - l->producers_n) / l->o->consumers_n;
            c->offsets = calloc(c->partition_n + 1, sizeof *c->offsets);
            c->is_fetching = c->partition_n == 0; /* nothing to fetch: stays silent */
            if (c->offsets == NULL)
                return E_NO_MEMORY;
        }
    }
    return 0;
}

int load_new(struct load **out, const struct load_options *o, struct wire *wire)
{
    struct prng prng;
    struct load *l = calloc(1, sizeof *l);
    *out = l;
    if (l == NULL)
        return E_NO_MEMORY;
    l->o = o;
    l->wire = wire;
    prng_init(&prng, o->seed);
    for (uint32_t i = 0; i < o->topics_n; i++)
        snprintf(l->topic_names[i], sizeof l->topic_names[i],
                 o->topics_n > 1 ? "%.48s-%u" : "%.48s", o->topic, i);
    for (int i = 0; i < LOAD_PAYLOADS; i++) {
        int rc = load_payload_make(&l->payloads[i], o, &prng);
        if (rc != 0)
            return rc;
    }
    l->produce_version = 7; /* what the null server answers */
    int rc = o->is_ceiling ? 0 : load_setup(o, wire, &l->produce_version, &l->fetch_version);
    l->is_set_up = rc == 0;
    for (int i = 0; rc == 0 && i < LOAD_PAYLOADS; i++)
        load_payload_length(&l->payloads[i], (int16_t)l->produce_version);
    if (rc == 0)
        rc = partitions_make(l);
    if (rc == 0)
        rc = load_heads_make(l);
    return rc == 0 ? conns_make(l) : rc;
}

void load_free(struct load *l)
{
    if (l == NULL)
        return;
    for (uint32_t i = 0; l->conns != NULL && i < l->conns_n; i++) {
        struct load_conn *c = &l->conns[i];
        l->wire->ops->close(l->wire, &c->wire);
        free(c->flight);
        free(c->tx);
        free(c->rx);
        free(c->offsets);
    }
    for (uint32_t i = 0; l->partitions != NULL && i < l->partitions_n; i++)
        free(l->partitions[i].matches.v);
    for (int i = 0; i < LOAD_PAYLOADS; i++)
        free(l->payloads[i].ptr);
    free(l->conns);
    free(l->partitions);
    free(l->heads);
    free(l);
}
