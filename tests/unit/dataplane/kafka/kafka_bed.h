/*
 * kafka_bed.h - what the tests of dataplane/kafka stand on: 1 to 3 workers in one thread with the
 * real layer, the real codec, connections over memory and real mail; a hand-made view, a fake store
 * (fake_store.h) and a fake control; clients that speak through the codec.
 *
 * Owner: one test. Time is a number; a turn is a millisecond. bed_free proves that nothing is left:
 * requests, pages, reads, waits, timers.
 */
#ifndef MILLRACE_KAFKA_BED_H
#define MILLRACE_KAFKA_BED_H

#ifdef KAFKA_BED_PLAIN /* the fuzz target: no cmocka */
#define assert_true(x)         check(x)
#define assert_false(x)        check(!(x))
#define assert_int_equal(a, b) check((a) == (b))
#define assert_non_null(x)     check((x) != NULL)
#else
#include "unit.h"
#endif

#include <stdio.h>

#include "conn.h"
#include "control.h"
#ifdef KAFKA_BED_REAL
#include "real_store.h"
#else
#include "fake_store.h"
#endif
#include "hash.h"
#include "inside.h"
#include "kafka.h"
#include "ops.h"

#ifndef BED_REGION
#define BED_REGION (64 << 20)
#endif
enum { BED_WORKERS_MAX = 3, BED_TOPICS_MAX = 32, BED_TURNS = 200 };

struct bed_worker {
    struct pages pages;
    void *region, *headers;
    struct timers timers;
    struct post post;
    struct conns *conns;
    struct store *store;
    struct kafka *kafka;
    struct prng prng;
    struct stats stats;
    uint8_t mail_at;
};

/* Owner: the test. */
struct bed {
    uint8_t workers_n;
    struct bed_worker workers[BED_WORKERS_MAX];
    struct post control; /* thread workers_n */
    uint8_t control_mail_at;
    struct list at_control; /* operations the fake control keeps back */
    bool is_control_slow;
    bool is_control_refusing; /* answers NULL */
    uint32_t control_n, cancelled_n;
    struct post *posts[BED_WORKERS_MAX + 1];
    struct io io;
    struct now now;
    struct view view;
    struct view_topic *topics[BED_TOPICS_MAX];
    struct listener listeners[2];
    struct kafka_config config;
    struct arena arena; /* decoded answers: to the end of the test */
};

/* ── the view ── */

const struct view_topic *view_topic_by_name(const struct view *view, struct bytes name)
{
    for (uint32_t i = 0; i < view->topics_n; i++)
        if (bytes_equal(view->topics[i]->name, name))
            return view->topics[i];
    return NULL;
}

const struct view_topic *view_topic_by_id(const struct view *view, const struct uuid *id)
{
    for (uint32_t i = 0; i < view->topics_n; i++)
        if (uuid_equal(&view->topics[i]->id, id))
            return view->topics[i];
    return NULL;
}

static int bed_topic_order(const void *a, const void *b)
{
    const struct view_topic *const *x = a, *const *y = b;
    return strcmp((const char *)(*x)->name.ptr, (const char *)(*y)->name.ptr);
}

/* A topic of n partitions, partition i at home on worker i % workers, with a log each. `name` stays
 * the caller's. */
static struct view_topic *bed_topic(struct bed *bed, const char *name, int32_t n)
{
    struct view_topic *t = calloc(1, sizeof *t + (size_t)n * sizeof t->partitions[0]);
    t->name = bytes_of_string(name);
    memset(t->id.b, 0, sizeof t->id.b);
    snprintf((char *)t->id.b, sizeof t->id.b, "%.10s-id", name);
    t->partitions_n = n;
    t->replicas_n = 1;
    for (int32_t i = 0; i < n; i++) {
        t->partitions[i] = (struct view_partition){.leader = 1,
                                                   .leader_epoch = 4,
                                                   .future_dir = 255,
                                                   .home = (uint8_t)(i % bed->workers_n)};
        struct plog *log = fake_log_new(bed->workers[i % bed->workers_n].store, &t->id, i);
#ifndef KAFKA_BED_REAL
        log->epoch = 4;
        log->epochs[0].epoch = 4;
        log->epochs_n = 1;
#else
        t->partitions[i].leader_epoch = plog_epoch(log);
#endif
    }
    check(bed->view.topics_n < BED_TOPICS_MAX);
    bed->topics[bed->view.topics_n++] = t;
    qsort(bed->topics, bed->view.topics_n, sizeof bed->topics[0], bed_topic_order);
    bed->view.version++;
    return t;
}

static struct plog *bed_log(struct bed *bed, const struct view_topic *t, int32_t partition)
{
    struct plog *log =
        store_log_find(bed->workers[partition % bed->workers_n].store, &t->id, partition);
    assert_non_null(log);
    return log;
}

/* The control part's rules of names, as far as the tests use them. */
__attribute__((weak)) const char *topic_name_fault(struct bytes name, char *why, size_t why_n)
{
    bool is_legal = name.n > 0 && name.n < 250;
    for (uint32_t i = 0; i < name.n; i++)
        is_legal = is_legal && (name.ptr[i] > ' ' && name.ptr[i] != '/');
    snprintf(why, why_n, "bad name");
    return is_legal ? NULL : why;
}

/* ── life ── */

static void bed_io_submit(struct io *io, struct io_op *op)
{
    (void)io, (void)op;
    check(false); /* memory connections need no io */
}

static int bed_io_poll(struct io *io)
{
    (void)io;
    return 0;
}

static int bed_io_wait(struct io *io, uint64_t ns)
{
    (void)io, (void)ns;
    return 0;
}

static const struct io_functions bed_io_functions = {bed_io_submit, bed_io_poll, bed_io_wait, NULL,
                                                     NULL};

static void bed_worker_init(struct bed *bed, uint8_t at)
{
    struct bed_worker *w = &bed->workers[at];
    struct conns_config conns = {.conns_max = 512,
                                 .per_ip_max = 512,
                                 .recv_buffer_bytes = 16384,
                                 .recv_buffers_n = 64,
                                 .seed = 7};
    w->region = aligned_alloc(PAGE_BLOCK, BED_REGION);
    w->headers = calloc(1, pages_header_bytes(BED_REGION));
    pages_init(&w->pages, w->region, BED_REGION, w->headers);
    timers_init(&w->timers, bed->now.ns);
    prng_init(&w->prng, at);
    w->store = fake_store_new();
    bed->config.worker = at;
    assert_int_equal(conns_init(&w->conns, &conns, &bed->io, &w->pages, &w->timers), 0);
    assert_int_equal(kafka_init(&w->kafka, &bed->config, w->conns, w->store, &w->pages, &w->timers,
                                &w->post, &w->prng, &w->stats),
                     0);
}

static struct kafka_config bed_config(void)
{
    return (struct kafka_config){
        .frame_bytes_max = 16 << 20,
        .request_budget_bytes = 4 << 20,
        .answer_budget_bytes = 4 << 20,
        .requests_max = 64,
        .requests_per_turn = 64,
        .control_requests_max = 10,
        .frame_rate_min = 1024,
        .fetch_bytes_max = 1 << 20,
    };
}

static struct bed *bed_new_with(uint8_t workers_n, const struct kafka_config *config)
{
    struct bed *bed = calloc(1, sizeof *bed);
    bed->workers_n = workers_n;
    bed->now = (struct now){NS_PER_S, 1700000000000};
    bed->io.functions = &bed_io_functions;
    list_init(&bed->at_control);
    arena_init(&bed->arena, NULL, NULL, MIB(256));
    bed->config = *config;
    bed->config.workers_n = workers_n;
    bed->config.control_thread = workers_n;
    for (uint8_t i = 0; i <= workers_n; i++)
        bed->posts[i] = i < workers_n ? &bed->workers[i].post : &bed->control;
    assert_int_equal(posts_connect(bed->posts, (uint8_t)(workers_n + 1), 1024), 0);
    for (uint8_t i = 0; i < workers_n; i++)
        bed_worker_init(bed, i);
    static const struct log_dir dirs[] = {{.path = "/data"}, {.path = "/gone"}};
    bed->view = (struct view){.version = 1,
                              .dirs = dirs,
                              .dirs_n = 1,
                              .cluster_id = "cluster-of-the-test",
                              .node_id = 1,
                              .controller_id = 1,
                              .auto_create_topics = true,
                              .metadata_offset = 77,
                              .feature_metadata_version = 30,
                              .feature_group_version = 1,
                              .topics = bed->topics};
    for (int i = 0; i < 2; i++) {
        snprintf(bed->listeners[i].name, LISTENER_NAME_MAX, "L%d", i);
        snprintf(bed->listeners[i].advertised_host, 256, "host-%d.example", i);
        bed->listeners[i].advertised_port = (uint16_t)(9092 + i);
    }
    return bed;
}

static struct bed *bed_new(uint8_t workers_n)
{
    struct kafka_config config = bed_config();
    return bed_new_with(workers_n, &config);
}

/* ── the fake control ── */

static void *bed_create_topics(struct bed *bed, struct control_op *op)
{
    const struct create_topics_request *q = op->request;
    struct create_topics_response *p = PROTO_NEW(&op->arena, create_topics_response, 1);
    p->topics = PROTO_NEW(&op->arena, create_topics_response_topics, q->topics_n);
    p->topics_n = q->topics_n;
    for (int32_t i = 0; i < q->topics_n; i++) {
        char *name = arena_alloc(&bed->arena, q->topics[i].name.n + 1);
        memcpy(name, q->topics[i].name.ptr, q->topics[i].name.n);
        p->topics[i].name = bytes_of_string(name);
        if (view_topic_by_name(&bed->view, p->topics[i].name) != NULL)
            p->topics[i].error_code = 36;
        else
            bed_topic(bed, name, 1);
    }
    return p;
}

static void bed_control_answer(struct bed *bed, struct control_op *op)
{
    bed->control_n++;
    op->response = NULL;
    if (!bed->is_control_refusing) {
        if (op->api_key == 19)
            op->response = bed_create_topics(bed, op);
        else
            op->response = proto_new(proto_response(op->api_key)->fields, &op->arena, 1);
    }
    mail_answer(&bed->control, &op->mail);
}

/* The rig's helpers run inside a worker's turn, so with it everything is one thread. */
static void bed_thread(const void *thread)
{
#ifdef KAFKA_BED_REAL
    thread = NULL;
#endif
    thread_self = thread;
}

/* As control does: an op that waits for others comes back at once. */
static void bed_control_cancel(struct bed *bed, struct mail *mail)
{
    struct control_op *op = container_of(mail, struct cancel_op, mail)->op;
    bed->cancelled_n++;
    list_for_each(l, next, &bed->at_control)
        if (l == &op->mail.link) {
            list_del(l);
            bed_control_answer(bed, op);
        }
    mail_answer(&bed->control, mail);
}

static void bed_control_turn(struct bed *bed)
{
    bed_thread(&bed->control);
    for (struct mail *mail; (mail = mail_read(&bed->control, &bed->control_mail_at)) != NULL;)
        if (mail->kind == MAIL_CANCEL)
            bed_control_cancel(bed, mail);
        else
            list_append(&bed->at_control, &mail->link);
    while (!bed->is_control_slow && !list_is_empty(&bed->at_control))
        bed_control_answer(bed,
                           container_of(list_entry(list_pop(&bed->at_control), struct mail, link),
                                        struct control_op, mail));
    mail_flush(&bed->control);
}

/* ── turns ── */

static void bed_worker_turn(struct bed *bed, struct bed_worker *w)
{
    bed_thread(w);
    for (struct mail *mail; (mail = mail_read(&w->post, &w->mail_at)) != NULL;)
        kafka_mail(w->kafka, &bed->view, mail, bed->now);
#ifdef KAFKA_BED_REAL
    real_turn_in(w->store, bed->now);
#else
    fake_bulk(w->store, bed->now);
#endif
    timers_run(&w->timers, bed->now, 1000);
    kafka_turn(w->kafka, &bed->view, bed->now);
    for (uint32_t i = 0; i < bed->config.requests_max; i++)
        request_invariants(&w->kafka->requests[i]);
#ifdef KAFKA_BED_REAL
    real_turn_out(w->store, bed->now);
#endif
    conns_send_ready(w->conns, bed->now);
    mail_flush(&w->post);
}

static void bed_turn(struct bed *bed)
{
    for (uint8_t i = 0; i < bed->workers_n; i++)
        bed_worker_turn(bed, &bed->workers[i]);
    bed_control_turn(bed);
    thread_self = NULL;
    bed->now.ns += NS_PER_MS;
    bed->now.wall_ms++;
}

static void bed_turns(struct bed *bed, uint32_t n)
{
    while (n-- > 0)
        bed_turn(bed);
}

static bool bed_is_quiet(struct bed *bed)
{
    for (uint8_t i = 0; i < bed->workers_n; i++)
        if (!kafka_is_quiet(bed->workers[i].kafka) || conns_count(bed->workers[i].conns) > 0)
            return false;
    return true;
}

static void bed_free(struct bed *bed)
{
    bed->is_control_slow = false;
    for (uint8_t i = 0; i < bed->workers_n; i++) {
#ifndef KAFKA_BED_REAL
        struct store *s = bed->workers[i].store;
        s->is_full = s->is_disk_slow = false;
        fake_disk(s, 0, bed->now);
#endif
        conns_stop(bed->workers[i].conns, bed->now.ns);
    }
    for (int i = 0; i < BED_TURNS && !bed_is_quiet(bed); i++)
        bed_turn(bed);
    for (uint8_t i = 0; i < bed->workers_n; i++) {
        struct bed_worker *w = &bed->workers[i];
        assert_true(kafka_is_quiet(w->kafka));
        assert_int_equal(w->kafka->small_bytes, 0);
        assert_int_equal(w->kafka->large_bytes, 0);
        assert_int_equal(w->kafka->answer_bytes, 0);
        assert_int_equal(w->kafka->control_n, 0);
        assert_int_equal(w->kafka->join_n, 0);
        conns_fini(w->conns);
        kafka_fini(w->kafka);
        assert_int_equal(w->timers.n, 0);
        assert_int_equal(w->pages.used_bytes, 0);
        fake_store_free(w->store);
        free(w->region);
        free(w->headers);
    }
    posts_disconnect(bed->posts, (uint8_t)(bed->workers_n + 1));
    for (uint32_t i = 0; i < bed->view.topics_n; i++)
        free(bed->topics[i]);
    arena_fini(&bed->arena);
    free(bed);
}

/* ── clients ── */

struct client {
    struct bed *bed;
    struct conn_memory *memory;
    int32_t next_id;
    uint8_t *in; /* received, not yet taken */
    uint64_t in_n, in_max;
    bool is_over;
};

static struct client client_connect_to(struct bed *bed, uint8_t worker, int listener)
{
    struct client c = {.bed = bed, .in_max = BED_REGION};
    c.memory =
        conns_memory_connect(bed->workers[worker].conns, &bed->listeners[listener], bed->now);
    assert_non_null(c.memory);
    c.in = malloc(c.in_max);
    return c;
}

static struct client client_connect(struct bed *bed)
{
    return client_connect_to(bed, 0, 0);
}

static void client_close(struct client *c)
{
    if (c->memory != NULL)
        conn_memory_close(c->memory);
    c->memory = NULL;
    free(c->in);
    c->in = NULL;
}

/* Writes everything, with turns while the broker does not read. */
static void client_write(struct client *c, const void *from, uint64_t n)
{
    const uint8_t *p = from;
    for (int i = 0; i < 10000 && n > 0; i++) {
        int64_t rc = conn_memory_write(c->memory, p, n, c->bed->now);
        assert_true(rc >= 0);
        p += rc;
        n -= (uint64_t)rc;
        if (n > 0)
            bed_turn(c->bed);
    }
    assert_int_equal(n, 0);
}

static uint8_t *flatten(struct arena *arena, const struct slices *s)
{
    uint8_t *to = malloc(s->bytes + 1);
    struct slices_at at = {0, 0};
    (void)arena;
    slices_copy(s, &at, to, s->bytes);
    return to;
}

/* The bytes of a request; the caller frees. */
static uint8_t *request_bytes(int16_t key, int16_t version, int32_t id, const void *body,
                              uint64_t *n)
{
    struct arena arena;
    struct proto_out out;
    arena_init(&arena, NULL, NULL, MIB(64));
    assert_int_equal(
        proto_encode_request(&out, &arena, key, version, id, bytes_of_string("test"), body), 0);
    int rc;
    while ((rc = proto_encode_more(&out, 1000000)) == E_AGAIN)
        continue;
    assert_int_equal(rc, 0);
    uint8_t *p = flatten(&arena, &out.out);
    *n = out.out.bytes;
    arena_fini(&arena);
    return p;
}

static int32_t client_send(struct client *c, int16_t key, int16_t version, const void *body)
{
    uint64_t n;
    uint8_t *p = request_bytes(key, version, ++c->next_id, body, &n);
    client_write(c, p, n);
    free(p);
    return c->next_id;
}

static void client_pull(struct client *c)
{
    int64_t rc;
    while (!c->is_over &&
           (rc = conn_memory_read(c->memory, c->in + c->in_n, c->in_max - c->in_n)) != 0) {
        if (rc < 0)
            c->is_over = true;
        else
            c->in_n += (uint64_t)rc;
    }
}

static bool client_has_answer(struct client *c)
{
    client_pull(c);
    return c->in_n >= 4 && c->in_n >= 4 + load_u32(c->in);
}

static bool client_waits(struct client *c, uint32_t turns)
{
    for (uint32_t i = 0; i < turns && !client_has_answer(c); i++)
        bed_turn(c->bed);
    return client_has_answer(c);
}

/* The next answer, decoded; it must come within BED_TURNS turns and have this id. */
static void *client_answer(struct client *c, int16_t key, int16_t version, int32_t id)
{
    assert_true(client_waits(c, BED_TURNS));
    uint32_t n = load_u32(c->in);
    uint8_t *frame = arena_copy(&c->bed->arena, c->in + 4, n);
    struct slice *v = arena_alloc(&c->bed->arena, sizeof *v);
    struct slices *s = arena_alloc(&c->bed->arena, sizeof *s);
    struct proto_in in;
    int32_t got = -1;
    memmove(c->in, c->in + 4 + n, c->in_n - 4 - n);
    c->in_n -= 4 + (uint64_t)n;
    *v = (struct slice){frame, n, NULL};
    *s = (struct slices){v, 1, n};
    proto_in_init(&in, s, &c->bed->arena);
    assert_int_equal(proto_decode_response_header(&in, key, version, &got), 0);
    assert_int_equal(got, id);
    void *out = arena_alloc(&c->bed->arena, proto_response(key)->size);
    assert_int_equal(proto_decode(proto_response(key), version, &in, out), 0);
    assert_int_equal(in.left, 0);
    return out;
}

static void *client_ask(struct client *c, int16_t key, int16_t version, const void *body)
{
    return client_answer(c, key, version, client_send(c, key, version, body));
}

/* Turns until the broker closed; no byte may come before. */
static void client_expect_end(struct client *c)
{
    for (uint32_t i = 0; i < BED_TURNS && !c->is_over; i++) {
        client_pull(c);
        bed_turn(c->bed);
    }
    assert_true(c->is_over);
    assert_int_equal(c->in_n, 0);
}

/* The network takes every connection of a worker away, as a reset does. */
static void bed_reset_conns(struct bed *bed, uint8_t worker)
{
    list_for_each(l, next, &bed->workers[worker].conns->open)
        conn_close(list_entry(l, struct conn, link), CONN_END_RESET);
}

/* ── requests ── */

/* A batch of n records of 10 bytes each; returns its slices, in the bed's arena. */
static struct slices batch_of(struct bed *bed, int32_t n, int64_t timestamp)
{
    uint8_t *p = arena_alloc(&bed->arena, 200 + 40 * (uint64_t)n);
    struct batch_builder b;
    batch_begin(&b, p, 200 + 40 * (uint32_t)n);
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(batch_add(&b, timestamp, bytes_of("k", 1), bytes_of("0123456789", 10)), 0);
    struct slice *v = arena_alloc(&bed->arena, sizeof *v);
    *v = (struct slice){p, batch_end(&b, 0, -1), NULL};
    return (struct slices){v, 1, v->n};
}

/* A batch with one record whose value has n bytes. */
static struct slices batch_of_bytes(struct bed *bed, uint32_t n)
{
    uint8_t *p = arena_alloc(&bed->arena, 200 + n), *value = arena_alloc(&bed->arena, n);
    struct batch_builder b;
    batch_begin(&b, p, 200 + n);
    assert_int_equal(batch_add(&b, 5, bytes_of(NULL, 0), bytes_of(value, n)), 0);
    struct slice *v = arena_alloc(&bed->arena, sizeof *v);
    *v = (struct slice){p, batch_end(&b, 0, -1), NULL};
    return (struct slices){v, 1, v->n};
}

/* A Produce of one batch each to partitions_n partitions from `first` on. */
static struct produce_request *produce_to(struct bed *bed, const struct view_topic *t,
                                          int32_t first, int32_t partitions_n, int16_t acks,
                                          struct slices batch)
{
    struct produce_request *q = PROTO_NEW(&bed->arena, produce_request, 1);
    q->acks = acks;
    q->timeout_ms = 5000;
    q->topic_data = PROTO_NEW(&bed->arena, produce_request_topic_data, 1);
    q->topic_data_n = 1;
    q->topic_data->name = t->name;
    q->topic_data->topic_id = t->id;
    q->topic_data->partition_data_n = partitions_n;
    q->topic_data->partition_data =
        PROTO_NEW(&bed->arena, produce_request_topic_data_partition_data, partitions_n);
    for (int32_t i = 0; i < partitions_n; i++) {
        q->topic_data->partition_data[i].index = first + i;
        q->topic_data->partition_data[i].records = batch;
    }
    return q;
}

/* A Fetch of partitions_n partitions from 0 on, from `offset`. */
static struct fetch_request *fetch_of(struct bed *bed, const struct view_topic *t,
                                      int32_t partitions_n, int64_t offset)
{
    struct fetch_request *q = PROTO_NEW(&bed->arena, fetch_request, 1);
    q->max_wait_ms = 0;
    q->min_bytes = 1;
    q->max_bytes = 1 << 20;
    q->topics = PROTO_NEW(&bed->arena, fetch_request_topics, 1);
    q->topics_n = 1;
    q->topics->topic = t->name;
    q->topics->topic_id = t->id;
    q->topics->partitions = PROTO_NEW(&bed->arena, fetch_request_topics_partitions, partitions_n);
    q->topics->partitions_n = partitions_n;
    for (int32_t i = 0; i < partitions_n; i++) {
        q->topics->partitions[i].partition = i;
        q->topics->partitions[i].fetch_offset = offset;
        q->topics->partitions[i].partition_max_bytes = 1 << 20;
    }
    return q;
}

static const struct produce_response_responses_partition_responses *produced(
    const struct produce_response *p, int32_t at)
{
    assert_int_equal(p->responses_n, 1);
    assert_true(at < p->responses->partition_responses_n);
    return &p->responses->partition_responses[at];
}

static const struct fetch_response_responses_partitions *fetched(const struct fetch_response *p,
                                                                 int32_t at)
{
    assert_int_equal(p->responses_n, 1);
    assert_true(at < p->responses->partitions_n);
    return &p->responses->partitions[at];
}

static uint64_t bed_stat(const struct bed *bed, enum stat_at at)
{
    uint64_t sum = 0;
    for (uint8_t i = 0; i < bed->workers_n; i++)
        sum += stats_get(&bed->workers[i].stats, at);
    return sum;
}

/* A warning-free way to have helpers that a program does not use. */
static inline void bed_unused(void)
{
    (void)batch_of_bytes, (void)produce_to, (void)fetch_of, (void)produced, (void)fetched;
    (void)client_ask, (void)client_expect_end, (void)client_close, (void)client_connect;
    (void)bed_reset_conns, (void)client_connect_to, (void)bed_free, (void)bed_stat, (void)bed_new;
    (void)bed_log, (void)batch_of, (void)bed_turns;
#ifndef KAFKA_BED_REAL
    (void)fake_written, (void)fake_durable_all, (void)fake_repacked, (void)fake_log_drop;
#endif
}

#endif
