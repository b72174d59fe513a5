/*
 * bench_path.c - what one small request costs on the whole path of a broker: every turn from its
 * bytes' arrival to the end of the request, in instructions counted by callgrind.
 *
 *   bench_path            microseconds of those turns for each case
 *   bench_path count N    every case for N requests and nothing else: tools/budget.py counts for it
 *   bench_path NAME N     only that case, N requests: for callgrind_annotate
 *
 * Owner: the program. The real broker (broker_boot: control, helpers, one worker with its store and
 * journal on /dev/shm) with connections over kernel sockets as the worker knows them: receive
 * buffers and sends are real, the kernel behind them is struct wire, an io that holds what was
 * submitted until the turn is over. So the cost of io_uring's own calls is left out, and nothing
 * else of the worker is. Time is a number.
 *
 * A case sends its requests and turns until the answers are read and nothing is under way; all
 * turns of the worker (and of control, where it answers) are inside the function that bears its
 * name.
 * `_burst` has BURST_N requests under way over BURST_CONNS_N connections: what a busy broker does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker.h"
#include "batch.h"
#include "clock.h"
#include "disk_tools.h"
#include "inside.h"
#include "journal.h"
#include "proto.h"
#include "request.h"

#define noinline __attribute__((noinline))

enum {
    BURST_CONNS_N = 10,
    BURST_N = 50, /* requests of a burst; N is a multiple of it */
    PARTITIONS_N = 16,
    WARM_N = 10,
    TIMED_N = 2000,
    SETTLE_TURNS_MAX = 20000,
    CONNS_N = BURST_CONNS_N,
    EVENTS_MAX = 64,
    ANSWER_MAX = 1 << 16,
};

enum { API_PRODUCE = 0, API_FETCH = 1, API_CREATE_TOPICS = 19 };
enum { API_JOIN = 11, API_HEARTBEAT = 12, API_SYNC = 14, API_FIND_COORDINATOR = 10 };

/* ── the io: what the kernel would do, done between turns ── */

struct arrival {
    struct io_op *op;
    uint32_t buffer_at, n;
};

/* Owner: the program. One for each thread of the broker that has an io. */
struct wire {
    struct io io;
    struct list submitted, done;
    struct arrival arrivals[EVENTS_MAX];
    uint32_t arrivals_n;
    uint32_t *free_buffers, free_n; /* a stack, as warm as the kernel's ring */
};

/* The client's end. Owner: the program. */
struct client {
    int fd, peer_fd;
    struct io_op *recv;
    uint8_t in[ANSWER_MAX];
    uint32_t in_n;
};

struct ground;
typedef void turn_function(struct ground *g, uint8_t thread);

/* Owner: the program. */
struct ground {
    char directory[64];
    struct config *config;
    struct broker broker;
    struct wire wires[3];
    struct now now;
    struct client clients[CONNS_N];
    struct arena arena;
    struct uuid topic_id;
    char member_id[128];
    int32_t generation;
    int32_t session_id, session_epoch;
};

static void wire_submit(struct io *io, struct io_op *op)
{
    struct wire *w = container_of(io, struct wire, io);
    list_append(&w->submitted, &op->link);
}

static int wire_poll(struct io *io)
{
    struct wire *w = container_of(io, struct wire, io);
    int n = 0;
    for (; n < (int)w->arrivals_n; n++) {
        struct arrival *a = &w->arrivals[n];
        a->op->result = (int32_t)a->n;
        a->op->buffer_at = a->buffer_at;
        a->op->is_last = false;
        a->op->done(a->op);
    }
    w->arrivals_n = 0;
    for (struct list *l; (l = list_pop(&w->done)) != NULL; n++) {
        struct io_op *op = list_entry(l, struct io_op, link);
        op->is_busy = false;
        op->is_last = true;
        op->done(op);
    }
    return n;
}

static int wire_wait(struct io *io, uint64_t ns)
{
    (void)ns;
    return wire_poll(io);
}

static int wire_buffers_open(struct io *io, uint32_t n, uint32_t bytes)
{
    struct wire *w = container_of(io, struct wire, io);
    io->buffers_n = n;
    io->buffer_bytes = bytes;
    io->buffers = calloc(n, bytes);
    w->free_buffers = calloc(n, sizeof *w->free_buffers);
    check(io->buffers != NULL && w->free_buffers != NULL);
    while (w->free_n < n) {
        w->free_buffers[w->free_n] = w->free_n;
        w->free_n++;
    }
    return 0;
}

static void wire_buffer_give(struct io *io, uint32_t at)
{
    struct wire *w = container_of(io, struct wire, io);
    w->free_buffers[w->free_n++] = at;
}

static const struct io_functions wire_functions = {
    wire_submit, wire_poll, wire_wait, wire_buffers_open, wire_buffer_give,
};

static struct client *client_of(struct ground *g, int fd)
{
    for (uint32_t i = 0; i < CONNS_N; i++)
        if (g->clients[i].fd == fd)
            return &g->clients[i];
    return NULL;
}

static int32_t wire_sent(struct ground *g, const struct io_op *op)
{
    struct client *c = client_of(g, op->fd);
    uint32_t before = c->in_n;
    for (uint32_t i = 0; i < op->iov_n; i++) {
        check(c->in_n + op->iov[i].iov_len <= ANSWER_MAX);
        memcpy(c->in + c->in_n, op->iov[i].iov_base, op->iov[i].iov_len);
        c->in_n += (uint32_t)op->iov[i].iov_len;
    }
    return (int32_t)(c->in_n - before);
}

/* What was submitted in the turn happens: disk and answers; receives wait for bytes. */
static void wire_settle(struct ground *g, struct wire *w)
{
    for (struct list *l; (l = list_pop(&w->submitted)) != NULL;) {
        struct io_op *op = list_entry(l, struct io_op, link);
        switch ((enum io_kind)op->kind) {
        case IO_RECV: client_of(g, op->fd)->recv = op; continue;
        case IO_SEND: op->result = wire_sent(g, op); break;
        case IO_READ:
            op->result = (int32_t)preadv(op->fd, op->iov, (int)op->iov_n, (off_t)op->pos);
            break;
        case IO_WRITE:
            op->result = (int32_t)pwritev(op->fd, op->iov, (int)op->iov_n, (off_t)op->pos);
            break;
        default: op->result = 0; break;
        }
        list_append(&w->done, &op->link);
        if (op->then != NULL) { /* the write's flush: /dev/shm has nothing to flush */
            op->then->result = 0;
            list_append(&w->done, &op->then->link);
        }
    }
}

static void client_send(struct ground *g, struct client *c, const uint8_t *p, uint64_t n)
{
    struct wire *w = &g->wires[0];
    check(c->recv != NULL && n <= w->io.buffer_bytes && w->arrivals_n < EVENTS_MAX);
    uint32_t at = w->free_buffers[--w->free_n];
    memcpy(io_buffer_data(&w->io, at), p, n);
    w->arrivals[w->arrivals_n++] = (struct arrival){c->recv, at, (uint32_t)n};
}

/* ── turns ── */

static noinline void turn_plain(struct ground *g, uint8_t thread)
{
    broker_turn(&g->broker, thread, g->now);
}

static void turn(struct ground *g, turn_function *of_case)
{
    for (uint8_t i = 0; i < broker_threads_n(&g->broker); i++) {
        bool is_counted = i == 0 || i == broker_control_thread(&g->broker);
        struct wire *w = is_counted ? &g->wires[i] : NULL;
        if (w != NULL)
            wire_settle(g, w);
        thread_self = broker_self(&g->broker, i);
        /* A turn of control that has nothing to do is not a part of a request. */
        if (i == 0 || (is_counted && mail_has_more(broker_post(&g->broker, i))))
            of_case(g, i);
        else
            turn_plain(g, i);
    }
    thread_self = NULL;
    g->now.ns += NS_PER_US;
}

/* Whole answers that were received. */
static uint32_t answers_n(const struct client *c)
{
    uint32_t n = 0;
    for (uint32_t at = 0; c->in_n - at >= 4 && c->in_n - at - 4 >= load_u32(c->in + at); n++)
        at += 4 + load_u32(c->in + at);
    return n;
}

static bool is_still(struct ground *g)
{
    struct wire *w = &g->wires[0];
    return list_is_empty(&w->submitted) && list_is_empty(&w->done) &&
           kafka_is_quiet(g->broker.workers[0]->kafka);
}

/* Turns until `n` answers came on each of the first `clients_n` connections and all is over. */
static void await(struct ground *g, uint32_t clients_n, uint32_t n, turn_function *of_case)
{
    for (int i = 0; i < SETTLE_TURNS_MAX; i++) {
        bool is_done = is_still(g);
        for (uint32_t c = 0; c < clients_n; c++)
            is_done = is_done && answers_n(&g->clients[c]) == n;
        if (is_done)
            break;
        turn(g, of_case);
    }
    for (uint32_t c = 0; c < clients_n; c++)
        check(answers_n(&g->clients[c]) == n);
}

/* ── requests ── */

static struct slices request_bytes(struct ground *g, int16_t key, int16_t version, const void *q)
{
    struct proto_out out;
    check(proto_encode_request(&out, &g->arena, key, version, 7, bytes_of_string("bench"), q) == 0);
    check(proto_encode_more(&out, UINT32_MAX) == 0);
    uint8_t *flat = arena_alloc(&g->arena, out.out.bytes);
    struct slice *v = arena_alloc(&g->arena, sizeof *v);
    struct slices_at at = {0, 0};
    check(flat != NULL && v != NULL);
    slices_copy(&out.out, &at, flat, out.out.bytes);
    *v = (struct slice){flat, (uint32_t)out.out.bytes, NULL};
    return (struct slices){v, 1, out.out.bytes};
}

static void *answer_of(struct ground *g, int16_t key, int16_t version)
{
    struct client *c = &g->clients[0];
    struct slice *v = arena_alloc(&g->arena, sizeof *v);
    struct slices *s = arena_alloc(&g->arena, sizeof *s);
    void *out = arena_alloc(&g->arena, proto_response(key)->size);
    struct proto_in in;
    int32_t id;
    check(v != NULL && s != NULL && out != NULL);
    *v = (struct slice){arena_copy(&g->arena, c->in + 4, c->in_n - 4), c->in_n - 4, NULL};
    *s = (struct slices){v, 1, v->n};
    proto_in_init(&in, s, &g->arena);
    check(proto_decode_response_header(&in, key, version, &id) == 0);
    check(proto_decode(proto_response(key), version, &in, out) == 0);
    c->in_n = 0;
    return out;
}

static void *ask(struct ground *g, int16_t key, int16_t version, const void *q)
{
    struct slices s = request_bytes(g, key, version, q);
    g->clients[0].in_n = 0;
    client_send(g, &g->clients[0], s.v->ptr, s.v->n);
    await(g, 1, 1, turn_plain);
    return answer_of(g, key, version);
}

/* One record of 100 bytes. */
static struct slices batch_of(struct ground *g)
{
    uint8_t value[100], *p = arena_alloc(&g->arena, 256);
    struct slice *v = arena_alloc(&g->arena, sizeof *v);
    struct batch_builder b;
    memset(value, 'x', sizeof value);
    batch_begin(&b, p, 256);
    check(batch_add(&b, g->now.wall_ms, bytes_of(NULL, 0), bytes_of(value, sizeof value)) == 0);
    *v = (struct slice){p, batch_end(&b, 0, -1), NULL};
    return (struct slices){v, 1, v->n};
}

static struct slices produce_make(struct ground *g, int32_t partitions_n, int16_t acks)
{
    struct produce_request *q = PROTO_NEW(&g->arena, produce_request, 1);
    q->acks = acks;
    q->timeout_ms = 30000;
    q->topic_data = PROTO_NEW(&g->arena, produce_request_topic_data, 1);
    q->topic_data_n = 1;
    q->topic_data->name = bytes_of_string("bench-topic");
    q->topic_data->partition_data_n = partitions_n;
    q->topic_data->partition_data =
        PROTO_NEW(&g->arena, produce_request_topic_data_partition_data, partitions_n);
    for (int32_t i = 0; i < partitions_n; i++) {
        q->topic_data->partition_data[i].index = i;
        q->topic_data->partition_data[i].records = batch_of(g);
    }
    return request_bytes(g, API_PRODUCE, 12, q);
}

static struct fetch_request *fetch_new(struct ground *g, int32_t partitions_n, int64_t offset)
{
    struct fetch_request *q = PROTO_NEW(&g->arena, fetch_request, 1);
    q->min_bytes = 1;
    q->max_bytes = 1 << 20;
    q->session_epoch = -1;
    q->topics_n = partitions_n > 0;
    if (partitions_n == 0)
        return q;
    q->topics = PROTO_NEW(&g->arena, fetch_request_topics, 1);
    q->topics->topic_id = g->topic_id;
    q->topics->partitions = PROTO_NEW(&g->arena, fetch_request_topics_partitions, partitions_n);
    q->topics->partitions_n = partitions_n;
    for (int32_t i = 0; i < partitions_n; i++) {
        q->topics->partitions[i].partition = i;
        q->topics->partitions[i].fetch_offset = offset;
        q->topics->partitions[i].partition_max_bytes = 180; /* one batch */
    }
    return q;
}

enum { FETCH_VERSION = 17 };

static struct slices fetch_make(struct ground *g, int32_t partitions_n)
{
    return request_bytes(g, API_FETCH, FETCH_VERSION, fetch_new(g, partitions_n, 0));
}

/* Behind the end: waits in vain, and is answered after a millisecond. */
static struct slices wait_make(struct ground *g, int32_t partitions_n)
{
    struct fetch_request *q = fetch_new(g, partitions_n, 0);
    q->max_wait_ms = 1;
    for (int32_t i = 0; i < partitions_n; i++) {
        struct plog_offsets o;
        struct plog *log = store_log_find(g->broker.workers[0]->store, &g->topic_id, i);
        thread_self = NULL;
        plog_offsets(log, &o);
        q->topics->partitions[i].fetch_offset = o.high;
    }
    return request_bytes(g, API_FETCH, FETCH_VERSION, q);
}

/* A session over all partitions whose client has read everything. */
static void session_open(struct ground *g, int32_t partitions_n)
{
    struct fetch_request *q = fetch_new(g, partitions_n, 0);
    q->session_epoch = 0;
    for (int32_t i = 0; i < partitions_n; i++) {
        struct plog_offsets o;
        plog_offsets(store_log_find(g->broker.workers[0]->store, &g->topic_id, i), &o);
        q->topics->partitions[i].fetch_offset = o.high;
    }
    const struct fetch_response *p = ask(g, API_FETCH, FETCH_VERSION, q);
    check(p->error_code == 0 && p->session_id != 0);
    g->session_id = p->session_id;
    g->session_epoch = 1;
}

/* Nothing changed, nothing new: the request every idle consumer repeats. */
static struct slices session_make(struct ground *g, int32_t partitions_n)
{
    (void)partitions_n;
    struct fetch_request *q = fetch_new(g, 0, 0);
    q->session_id = g->session_id;
    q->session_epoch = g->session_epoch++;
    return request_bytes(g, API_FETCH, FETCH_VERSION, q);
}

static struct slices heartbeat_make(struct ground *g, int32_t n)
{
    (void)n;
    struct heartbeat_request *q = PROTO_NEW(&g->arena, heartbeat_request, 1);
    q->group_id = bytes_of_string("bench-group");
    q->generation_id = g->generation;
    q->member_id = bytes_of_string(g->member_id);
    return request_bytes(g, API_HEARTBEAT, 4, q);
}

static struct slices produce_all_make(struct ground *g, int32_t n)
{
    return produce_make(g, n, -1);
}

static struct slices produce_one_make(struct ground *g, int32_t n)
{
    return produce_make(g, n, 1);
}

/* ── the cases ── */

#define CASE(name)                                                            \
    static noinline void case_##name(struct ground *g, uint8_t thread)        \
    {                                                                         \
        broker_turn(&g->broker, thread, g->now);                              \
        __asm__ volatile("" ::: "memory"); /* not a jump: it stays a frame */ \
    }
CASE(produce_all_1)
CASE(produce_all_16)
CASE(produce_all_burst)
CASE(produce_one_1)
CASE(produce_one_16)
CASE(produce_one_burst)
CASE(fetch_data_1)
CASE(fetch_data_16)
CASE(fetch_data_burst)
CASE(fetch_wait_1)
CASE(fetch_wait_16)
CASE(fetch_session_1)
CASE(fetch_session_16)
CASE(heartbeat)

static const struct one {
    const char *name;
    turn_function *turn;
    struct slices (*make)(struct ground *g, int32_t partitions_n);
    int32_t partitions_n;
    bool is_burst, is_waiting, is_session;
} cases[] = {
    {"produce_all_1", case_produce_all_1, produce_all_make, 1, false, false, false},
    {"produce_all_16", case_produce_all_16, produce_all_make, 16, false, false, false},
    {"produce_all_burst", case_produce_all_burst, produce_all_make, 1, true, false, false},
    {"produce_one_1", case_produce_one_1, produce_one_make, 1, false, false, false},
    {"produce_one_16", case_produce_one_16, produce_one_make, 16, false, false, false},
    {"produce_one_burst", case_produce_one_burst, produce_one_make, 1, true, false, false},
    {"fetch_data_1", case_fetch_data_1, fetch_make, 1, false, false, false},
    {"fetch_data_16", case_fetch_data_16, fetch_make, 16, false, false, false},
    {"fetch_data_burst", case_fetch_data_burst, fetch_make, 1, true, false, false},
    {"fetch_wait_1", case_fetch_wait_1, wait_make, 1, false, true, false},
    {"fetch_wait_16", case_fetch_wait_16, wait_make, 16, false, true, false},
    {"fetch_session_1", case_fetch_session_1, session_make, 1, false, false, true},
    {"fetch_session_16", case_fetch_session_16, session_make, 16, false, false, true},
    {"heartbeat", case_heartbeat, heartbeat_make, 0, false, false, false},
};

/* One round: a request alone, or a burst. Its bytes are as clients send them: those of one
 * connection arrive together. */
static void round_run(struct ground *g, const struct one *one, struct slices request,
                      turn_function *of_case)
{
    uint8_t together[BURST_N / BURST_CONNS_N * 512];
    uint32_t conns_n = one->is_burst ? BURST_CONNS_N : 1;
    uint32_t each_n = one->is_burst ? BURST_N / BURST_CONNS_N : 1, n = 0;
    if (!one->is_burst) {
        client_send(g, &g->clients[0], request.v->ptr, request.v->n);
    } else {
        for (uint32_t i = 0; i < each_n; i++, n += request.v->n) {
            check(n + request.v->n <= sizeof together);
            memcpy(together + n, request.v->ptr, request.v->n);
        }
        for (uint32_t i = 0; i < conns_n; i++)
            client_send(g, &g->clients[i], together, n);
    }
    if (one->is_waiting) { /* the turns of waiting cost nothing: they are skipped */
        for (int i = 0; i < 4; i++)
            turn(g, of_case);
        g->now.ns += 2 * NS_PER_MS;
    }
    await(g, conns_n, each_n, of_case);
    for (uint32_t i = 0; i < conns_n; i++)
        g->clients[i].in_n = 0;
}

static uint64_t requests_run(struct ground *g, const struct one *one, uint32_t requests_n,
                             turn_function *of_case)
{
    struct slices request;
    uint64_t begin_ns = clock_read_ns();
    uint32_t rounds_n = one->is_burst ? requests_n / BURST_N : requests_n;
    for (uint32_t i = 0; i < rounds_n; i++) {
        if (i == 0 || one->is_session)
            request = one->make(g, one->partitions_n);
        round_run(g, one, request, of_case);
    }
    return clock_read_ns() - begin_ns;
}

/* ── the ground ── */

static struct io *ground_io_open(void *context, uint8_t thread, char *why, size_t why_n)
{
    struct ground *g = context;
    (void)why, (void)why_n;
    struct wire *w = &g->wires[thread];
    w->io.functions = &wire_functions;
    list_init(&w->submitted);
    list_init(&w->done);
    return &w->io;
}

static void ground_io_close(void *context, uint8_t thread, struct io *io)
{
    struct ground *g = context;
    free(io->buffers);
    free(g->wires[thread].free_buffers);
}

static void *ground_memory_take(void *context, uint64_t bytes)
{
    (void)context;
    return aligned_alloc(PAGE_BLOCK, bytes); /* touched only where it is used */
}

static void ground_memory_put(void *context, void *memory, uint64_t bytes)
{
    (void)context, (void)bytes;
    free(memory);
}

static uint64_t ground_ticks(void)
{
    return 1;
}

static void ground_configure(struct ground *g)
{
    char dirs[96];
    const char *const settings[] = {
        dirs,
        "listeners=PLAINTEXT://127.0.0.1:9092",
        "dataplane.workers=1",
        "storage.journal.bytes=67108864",
        "storage.writeback.ms=60000",
        "group.initial.rebalance.delay.ms=0",
        "offsets.topic.num.partitions=1",
    };
    snprintf(dirs, sizeof dirs, "log.dirs=%s", g->directory);
    check(config_new(&g->config) == 0);
    for (size_t i = 0; i < array_n(settings); i++)
        check(config_override(g->config, settings[i], stderr) == 0);
    check(config_check(g->config, stderr) == 0);
}

static void ground_boot(struct ground *g)
{
    struct broker_seams seams = {
        .disk = disk_posix(),
        .io_open = ground_io_open,
        .io_close = ground_io_close,
        .memory_take = ground_memory_take,
        .memory_put = ground_memory_put,
        .context = g,
        .seed = 7,
        .ticks = ground_ticks,
        .now = g->now,
        .cpus_n = 1,
        .descriptors_max = 4000,
        .is_single_threaded = true,
    };
    int rc = broker_boot(&g->broker, g->config, &seams, NULL);
    if (rc != 0)
        fprintf(stderr, "%s\n", g->broker.why);
    check(rc == 0);
}

static void clients_connect(struct ground *g)
{
    for (uint32_t i = 0; i < CONNS_N; i++) {
        struct client *c = &g->clients[i];
        int fds[2];
        check(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        c->fd = fds[0];
        c->peer_fd = fds[1];
        sock_accepted(g->broker.workers[0]->conns, &g->broker.listeners[0], c->fd);
    }
    turn(g, turn_plain);
    turn(g, turn_plain);
}

static void topic_create(struct ground *g)
{
    struct create_topics_request *q = PROTO_NEW(&g->arena, create_topics_request, 1);
    q->topics = PROTO_NEW(&g->arena, create_topics_request_topics, 1);
    q->topics_n = 1;
    q->timeout_ms = 30000;
    q->topics->name = bytes_of_string("bench-topic");
    q->topics->num_partitions = PARTITIONS_N;
    q->topics->replication_factor = 1;
    const struct create_topics_response *p = ask(g, API_CREATE_TOPICS, 7, q);
    check(p->topics_n == 1 && p->topics->error_code == 0);
    g->topic_id = p->topics->topic_id;
}

/* The group's only member: the coordinator must be there first. */
static void group_join(struct ground *g)
{
    const struct join_group_response *joined = NULL;
    for (int i = 0; i < 100 && (joined == NULL || joined->error_code != 0); i++) {
        struct find_coordinator_request *f = PROTO_NEW(&g->arena, find_coordinator_request, 1);
        f->key = bytes_of_string("bench-group");
        (void)ask(g, API_FIND_COORDINATOR, 2, f);
        struct join_group_request *q = PROTO_NEW(&g->arena, join_group_request, 1);
        q->group_id = bytes_of_string("bench-group");
        q->session_timeout_ms = q->rebalance_timeout_ms = 300000;
        q->protocol_type = bytes_of_string("consumer");
        q->protocols = PROTO_NEW(&g->arena, join_group_request_protocols, 1);
        q->protocols_n = 1;
        q->protocols->name = bytes_of_string("range");
        q->protocols->metadata = bytes_of("", 1);
        joined = ask(g, API_JOIN, 3, q);
        g->now.ns += NS_PER_MS;
    }
    check(joined->error_code == 0 && joined->member_id.n < sizeof g->member_id);
    memcpy(g->member_id, joined->member_id.ptr, joined->member_id.n);
    g->generation = joined->generation_id;
    struct sync_group_request *s = PROTO_NEW(&g->arena, sync_group_request, 1);
    s->group_id = bytes_of_string("bench-group");
    s->generation_id = g->generation;
    s->member_id = bytes_of_string(g->member_id);
    const struct sync_group_response *synced = ask(g, API_SYNC, 2, s);
    check(synced->error_code == 0);
}

/* The answers say that everything went well: a refusal would be a cheap path. */
static void answers_check(struct ground *g)
{
    struct slices s = produce_make(g, 1, -1);
    client_send(g, &g->clients[0], s.v->ptr, s.v->n);
    await(g, 1, 1, turn_plain);
    const struct produce_response *p = answer_of(g, API_PRODUCE, 12);
    check(p->responses->partition_responses->error_code == 0);
    s = fetch_make(g, PARTITIONS_N);
    client_send(g, &g->clients[0], s.v->ptr, s.v->n);
    await(g, 1, 1, turn_plain);
    const struct fetch_response *f = answer_of(g, API_FETCH, FETCH_VERSION);
    for (int32_t i = 0; i < PARTITIONS_N; i++)
        check(f->responses->partitions[i].records.bytes > 0);
    s = heartbeat_make(g, 0);
    client_send(g, &g->clients[0], s.v->ptr, s.v->n);
    await(g, 1, 1, turn_plain);
    check(((const struct heartbeat_response *)answer_of(g, API_HEARTBEAT, 4))->error_code == 0);
}

static void ground_open(struct ground *g)
{
    strcpy(g->directory, "/dev/shm/bench-path-XXXXXX");
    if (mkdtemp(g->directory) == NULL) {
        strcpy(g->directory, "/tmp/bench-path-XXXXXX");
        check(mkdtemp(g->directory) != NULL);
    }
    g->now = (struct now){1000 * NS_PER_S, 1700000000000};
    arena_init(&g->arena, NULL, NULL, MIB(512));
    ground_configure(g);
    ground_boot(g);
    clients_connect(g);
    topic_create(g);
    for (int i = 0; i < WARM_N; i++) {
        struct slices s = produce_make(g, PARTITIONS_N, -1);
        client_send(g, &g->clients[0], s.v->ptr, s.v->n);
        await(g, 1, 1, turn_plain);
        g->clients[0].in_n = 0;
    }
    group_join(g);
    answers_check(g);
}

static void ground_close(struct ground *g)
{
    char command[128];
    broker_fini(&g->broker);
    for (uint32_t i = 0; i < CONNS_N; i++) {
        close(g->clients[i].fd);
        close(g->clients[i].peer_fd);
    }
    config_free(g->config);
    arena_fini(&g->arena);
    snprintf(command, sizeof command, "rm -rf '%s'", g->directory);
    check(system(command) == 0);
}

int main(int argc, char **argv)
{
    struct ground *g = calloc(1, sizeof *g);
    bool is_count = argc == 3 && strcmp(argv[1], "count") == 0;
    uint32_t n = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : TIMED_N;
    check(g != NULL && n >= BURST_N && n % BURST_N == 0);
    ground_open(g);
    for (size_t i = 0; i < array_n(cases); i++) {
        const struct one *one = &cases[i];
        if (argc == 3 && !is_count && strcmp(argv[1], one->name) != 0)
            continue;
        if (one->is_session)
            session_open(g, one->partitions_n);
        requests_run(g, one, BURST_N, turn_plain); /* pages, tables and pools are warm */
        uint64_t ns = requests_run(g, one, n, one->turn);
        if (!is_count)
            printf("path  %-18s %8.2f us\n", one->name, (double)ns / n / 1e3);
    }
    ground_close(g);
    free(g);
    return 0;
}
