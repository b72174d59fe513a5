/*
 * rig.h - control with its neighbours played by the test: workers that answer orders and send
 * requests.
 *
 * Owner: the test. Threads: workers 0 .. workers_n-1, control, files, bulk. Everything runs in the
 * test's thread; time is a number.
 */
#ifndef MILLRACE_CONTROL_RIG_H
#define MILLRACE_CONTROL_RIG_H

#ifdef RIG_PLAIN /* a benchmark: no cmocka */
#include <stdlib.h>
#include "check.h"
#define assert_true(x)         check(x)
#define assert_int_equal(a, b) check((a) == (b))
#define assert_non_null(x)     check((x) != NULL)
#else
#include "unit.h"
#endif

#include "answers.h"
#include "fake_store.h"
#include "control_inside.h"
#include "messages.h"

enum { RIG_WORKERS_MAX = 3, RIG_LOG_MAX = 16384, RIG_ARENA_MAX = 64 << 20 };

struct rig {
    struct mem_disk disk;
    struct config *config;
    struct io io;
    struct timers timers;
    struct views views;
    struct post posts[RIG_WORKERS_MAX + 3];
    uint8_t workers_n, from_at[RIG_WORKERS_MAX];
    struct control_config control_config;
    struct control *control;
    struct now now;
    uint64_t seed;
    bool is_clean;
    char why[512];
    /* what the workers were told */
    struct {
        uint8_t order, worker, dir;
        struct log_id id;
        char name[256];
    } orders[RIG_LOG_MAX];
    uint32_t orders_n;
    const struct log_dir *dirs; /* NULL: one, "data" */
    uint8_t dirs_n;
    int open_error; /* answer of the next LOG_OPEN */
    bool is_deaf;   /* workers do not read their mail */
    bool is_asleep; /* workers do not look at the view */
    bool has_bulk;  /* the bulk helper does what control asks of it */
    uint8_t bulk_at;
    void (*on_mail)(struct rig *r, uint8_t worker, struct mail *mail); /* other kinds of mail */
};

static int rig_io_poll(struct io *io)
{
    (void)io;
    return 0;
}

static inline void rig_posts_init(struct rig *r)
{
    struct post *posts[RIG_WORKERS_MAX + 3];
    uint8_t n = (uint8_t)(r->workers_n + 3);
    for (uint8_t i = 0; i < n; i++) {
        posts[i] = &r->posts[i];
        memset(posts[i], 0, sizeof *posts[i]);
        posts[i]->self = i;
        posts[i]->event_fd = -1;
    }
    assert_int_equal(posts_connect(posts, n, 1024), 0);
}

static inline void rig_posts_fini(struct rig *r)
{
    struct post *posts[RIG_WORKERS_MAX + 3];
    for (uint8_t i = 0; i < r->workers_n + 3; i++)
        posts[i] = &r->posts[i];
    posts_disconnect(posts, (uint8_t)(r->workers_n + 3));
}

/* Starts control on the rig's disk; returns control_init's error. */
static inline int rig_start(struct rig *r)
{
    static const struct io_functions functions = {.poll = rig_io_poll};
    struct control_config *config = &r->control_config;
    *config = (struct control_config){
        .config = r->config, .workers_n = r->workers_n, .is_clean = r->is_clean};
    config->seed = ++r->seed;
    config->dirs = r->dirs;
    config->dirs_n = r->dirs_n;
    config->now = r->now;
    config->listeners_n = 1;
    config->directory.node_id = 1;
    memset(config->directory.directory_id.b, 7, 16);
    snprintf(config->directory.cluster_id, sizeof config->directory.cluster_id,
             "MkU3OEVBNTcwNTJENDM2Qg");
    snprintf(config->store.directory, sizeof config->store.directory, "data");
    config->listeners[0] = (struct listener){.name = "PLAINTEXT",
                                             .host = "127.0.0.1",
                                             .port = 9092,
                                             .advertised_host = "localhost",
                                             .advertised_port = 9092};
    r->io.functions = &functions;
    timers_init(&r->timers, r->now.ns);
    memset(&r->views, 0, sizeof r->views);
    rig_posts_init(r);
    int e = control_init(&r->control, config, &r->views, &r->io, &r->disk.disk, NULL, &r->timers,
                         &r->posts[r->workers_n], (uint8_t)(r->workers_n + 1),
                         (uint8_t)(r->workers_n + 2), r->why, sizeof r->why);
    if (e < 0)
        rig_posts_fini(r);
    return e;
}

static inline void rig_stop(struct rig *r)
{
    control_fini(r->control);
    r->control = NULL;
    rig_posts_fini(r);
}

static inline void rig_init(struct rig *r, uint8_t workers_n)
{
    memset(r, 0, sizeof *r);
    memset(&fake_store_rules, 0, sizeof fake_store_rules);
    mem_disk_init(&r->disk);
    r->workers_n = workers_n;
    r->now = (struct now){NS_PER_S, 1700000000000};
    r->is_clean = true;
    r->seed = 42;
    assert_int_equal(config_new(&r->config), 0);
}

static inline void rig_fini(struct rig *r)
{
    if (r->control != NULL)
        rig_stop(r);
    config_free(r->config);
    mem_disk_fini(&r->disk);
}

static inline void rig_override(struct rig *r, const char *assignment)
{
    FILE *sink = fopen("/dev/null", "w");
    assert_int_equal(config_override(r->config, assignment, sink), 0);
    fclose(sink);
}

static inline void rig_worker_log(struct rig *r, uint8_t worker, struct log_op *op)
{
    assert_true(r->orders_n < RIG_LOG_MAX);
    uint32_t at = r->orders_n++;
    r->orders[at].order = op->order;
    r->orders[at].worker = worker;
    r->orders[at].dir = op->dir;
    r->orders[at].id = op->id;
    snprintf(r->orders[at].name, 256, "%.*s", (int)op->id.topic.n, op->id.topic.ptr);
    op->error = op->order == LOG_OPEN ? r->open_error : 0;
    if (op->order == LOG_OPEN)
        r->open_error = 0;
    mail_answer(&r->posts[worker], &op->mail);
}

/* The workers' part of a turn: they read their mail and look at the view. */
static inline void rig_workers_turn(struct rig *r)
{
    for (uint8_t w = 0; w < r->workers_n; w++) {
        struct mail *mail;
        while (!r->is_deaf && (mail = mail_read(&r->posts[w], &r->from_at[w])) != NULL)
            if (mail->kind == MAIL_LOG)
                rig_worker_log(r, w, container_of(mail, struct log_op, mail));
            else if (!mail->is_answer && r->on_mail != NULL)
                r->on_mail(r, w, mail);
        if (!r->is_asleep)
            (void)view_load(&r->views, w);
        mail_flush(&r->posts[w]);
    }
}

/* One turn of everybody; answers of requests are marked in their mail. */
static inline void rig_bulk_turn(struct rig *r)
{
    struct post *bulk = &r->posts[r->workers_n + 2];
    struct mail *mail;
    while ((mail = mail_read(bulk, &r->bulk_at)) != NULL) {
        assert_int_equal(mail->kind, MAIL_WORK);
        struct work_op *work = container_of(mail, struct work_op, mail);
        work->run(work);
        mail_answer(bulk, mail);
    }
    mail_flush(bulk);
}

static inline void rig_turn(struct rig *r)
{
    r->now.ns += NS_PER_MS;
    r->now.wall_ms++;
    control_turn(r->control, r->now);
    rig_workers_turn(r);
    if (r->has_bulk)
        rig_bulk_turn(r);
}

static inline void rig_send(struct rig *r, struct control_op *op, int16_t key, int16_t version,
                            const void *request)
{
    memset(op, 0, sizeof *op);
    list_init(&op->mail.link);
    op->api_key = key;
    op->api_version = version;
    op->request = request;
    arena_init(&op->arena, NULL, NULL, RIG_ARENA_MAX);
    mail_send(&r->posts[0], r->workers_n, MAIL_REQUEST, &op->mail);
    mail_flush(&r->posts[0]);
}

/* Sends and runs turns until the answer is there. The caller ends op->arena. */
static inline void *rig_ask(struct rig *r, struct control_op *op, int16_t key, int16_t version,
                            const void *request)
{
    rig_send(r, op, key, version, request);
    for (int i = 0; i < 4000 && !op->mail.is_answer; i++)
        rig_turn(r);
    assert_true(op->mail.is_answer);
    return op->response;
}

static inline const struct view *rig_view(struct rig *r)
{
    return atomic_load(&r->views.current);
}

/* ── requests ── */

static inline struct create_topics_request_topics rig_topic(const char *name, int32_t partitions,
                                                            int16_t replicas)
{
    return (struct create_topics_request_topics){.name = bytes_of_string(name),
                                                 .num_partitions = partitions,
                                                 .replication_factor = replicas};
}

/* Creates one topic; returns its error code and, when `text` is given, copies the message. */
static inline int16_t rig_create_topic(struct rig *r,
                                       const struct create_topics_request_topics *topic, char *text)
{
    struct control_op op;
    struct create_topics_request request = {.topics = (struct create_topics_request_topics *)topic,
                                            .topics_n = 1};
    struct create_topics_response *response = rig_ask(r, &op, 19, 7, &request);
    assert_non_null(response);
    assert_int_equal(response->topics_n, 1);
    int16_t code = response->topics[0].error_code;
    struct bytes message = response->topics[0].error_message;
    if (text != NULL)
        snprintf(text, 1024, "%.*s", (int)message.n,
                 message.ptr != NULL ? (const char *)message.ptr : "");
    arena_fini(&op.arena);
    return code;
}

static inline int16_t rig_create(struct rig *r, const char *name, int32_t partitions)
{
    struct create_topics_request_topics topic = rig_topic(name, partitions, 1);
    return rig_create_topic(r, &topic, NULL);
}

static inline int16_t rig_delete(struct rig *r, const char *name)
{
    struct control_op op;
    struct delete_topics_request_topics topic = {.name = bytes_of_string(name)};
    struct delete_topics_request request = {.topics = &topic, .topics_n = 1};
    struct delete_topics_response *response = rig_ask(r, &op, 20, 6, &request);
    assert_non_null(response);
    int16_t code = response->responses[0].error_code;
    arena_fini(&op.arena);
    return code;
}

static inline bool bytes_text_is(struct bytes b, const char *text)
{
    return bytes_equal(b, bytes_of_string(text));
}

/* The state as a fresh start would replay it from the disk; the caller frees it. */
static inline char *rig_replayed_text(struct rig *r)
{
    struct mem_disk copy;
    struct state state;
    struct metadata_log log;
    char why[256];
    mem_disk_copy(&copy, &r->disk);
    assert_int_equal(state_init(&state, 99), 0);
    assert_int_equal(metadata_log_open(&log, &copy.disk, "data", &state, why, sizeof why), 0);
    metadata_log_close(&log);
    char *text = state_text(&state);
    state_fini(&state);
    mem_disk_fini(&copy);
    return text;
}

#endif
