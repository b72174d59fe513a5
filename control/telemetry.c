/*
 * telemetry.c - GetTelemetrySubscriptions and PushTelemetry (KIP-714): clients are told what to
 * push and when, and what they push is served at /metrics.
 *
 * Owner: control; a struct telemetry_push is the bulk helper's while it decodes.
 *
 *   PushTelemetry -> judged here -> bulk: inflated, decoded (otlp.c) -> here: arrived -> into the
 *   table (telemetry_table.c), TELEMETRY_POINTS_PER_TURN numbers a turn -> answered
 *
 * Codes and their order are Apache Kafka's (ClientMetricsManager): a client that has said good-bye,
 * one that comes before its interval, an unknown subscription, an unknown codec, too much. A client
 * is forgotten, with its series, when it was silent for a minute or three intervals, whichever is
 * longer, or when there are too many. What is inflated is bounded by telemetry.max.bytes as well.
 *
 * We ask for cumulative numbers: the last push says it all. Sums that come as deltas all the same
 * are added up.
 */
#include "telemetry.h"

#include <stdlib.h>

#include "answers.h"
#include "batch.h"
#include "check.h"
#include "hash.h"
#include "kafka_codes.h"
#include "messages.h"
#include "uuid_text.h"

enum { BUCKETS_N = 4096, NAMES_MAX = 1024, EXPIRY_MS_MIN = 60000, RESERVED_IDS = 100 };
#define NEVER_NS (-(INT64_C(1) << 62))

/* ── life ── */

int telemetry_init(struct telemetry **out, struct control *c)
{
    const struct config *config = c->config.config;
    const char *address = config_string(config, "admin.listeners");
    struct telemetry *t = calloc(1, sizeof *t);
    if (t == NULL)
        return E_NO_MEMORY;
    uint32_t series_max = (uint32_t)config_int(config, "telemetry.series.max");
    t->control = c;
    t->is_offered = series_max > 0 && address != NULL && address[0] != 0;
    t->bytes_max = (int32_t)config_int(config, "telemetry.max.bytes");
    t->seed = prng_next(&c->prng);
    list_init(&t->by_use);
    list_init(&t->arrived);
    t->subscriptions = calloc(TELEMETRY_SUBSCRIPTIONS_MAX, sizeof *t->subscriptions);
    t->by_id = calloc(BUCKETS_N, sizeof(struct telemetry_client *));
    *out = t;
    int e = metrics_table_init(&t->table, series_max);
    return t->subscriptions == NULL || t->by_id == NULL ? E_NO_MEMORY : e;
}

static void gauges_set(struct telemetry *t)
{
    atomic_store_explicit(&t->stats.v[TELEMETRY_STAT_CLIENTS], t->clients_n, memory_order_relaxed);
    atomic_store_explicit(&t->stats.v[TELEMETRY_STAT_SERIES], t->table.series_n,
                          memory_order_relaxed);
}

static struct telemetry_client **client_place(struct telemetry *t, const struct uuid *id)
{
    struct telemetry_client **at =
        &t->by_id[hash_bytes(id->b, sizeof id->b, t->seed) & (BUCKETS_N - 1)];
    while (*at != NULL && !uuid_equal(&(*at)->id, id))
        at = &(*at)->chain;
    return at;
}

static void client_free(struct telemetry_client *client)
{
    for (uint32_t i = 0; i < ATTRIBUTES_N; i++)
        free(client->attributes[i]);
    free(client->labels);
    free(client);
}

static void client_drop(struct telemetry_client *client)
{
    struct telemetry *t = client->telemetry;
    *client_place(t, &client->id) = client->chain;
    metrics_table_drop(&t->table, client);
    timer_stop(t->control->timers, &client->expiry);
    list_del(&client->by_use);
    t->clients_n--;
    client_free(client);
    gauges_set(t);
}

void telemetry_fini(struct telemetry *t)
{
    struct list *l;
    if (t == NULL)
        return;
    while (!list_is_empty(&t->by_use))
        client_drop(list_entry(t->by_use.next, struct telemetry_client, by_use));
    while ((l = list_pop(&t->arrived)) != NULL)
        free(list_entry(l, struct telemetry_push, link));
    if (t->subscriptions != NULL)
        telemetry_forget(t);
    free(t->subscriptions);
    free(t->by_id);
    metrics_table_fini(&t->table);
    free(t);
}

bool telemetry_is_quiet(const struct telemetry *t)
{
    return t->pushes_n == 0;
}

/* ── clients ── */

static char *text_copy(const char *text)
{
    return text == NULL || text[0] == 0 ? NULL : strdup(text);
}

/* client_id="..",client_instance_id=".." */
static char *labels_make(const struct telemetry_client *client)
{
    enum { SHOWN_MAX = 128 };
    const char *id = client->attributes[ATTRIBUTE_CLIENT_ID];
    enum { LABELS_MAX = 2 * SHOWN_MAX + 128 };
    char *labels = malloc(LABELS_MAX);
    uint32_t n = 0;
    if (labels == NULL)
        return NULL;
    n += (uint32_t)snprintf(labels, LABELS_MAX, "client_id=\"");
    for (uint32_t i = 0; id != NULL && id[i] != 0 && i < SHOWN_MAX; i++) {
        if (id[i] == '"' || id[i] == '\\')
            labels[n++] = '\\';
        labels[n++] = (unsigned char)id[i] < ' ' || (unsigned char)id[i] > '~' ? '?' : id[i];
    }
    snprintf(labels + n, LABELS_MAX - n, "\",client_instance_id=\"%s\"",
             client->attributes[ATTRIBUTE_INSTANCE]);
    return labels;
}

static bool client_fill(struct telemetry_client *client, const struct control_op *op)
{
    const struct control_client *from = op->client;
    char text[UUID_TEXT_MAX], port[8] = "", id[256];
    uuid_text(&client->id, text);
    snprintf(id, sizeof id, "%.*s", (int)min_u32(op->client_id.n, sizeof id - 1),
             op->client_id.ptr != NULL ? (const char *)op->client_id.ptr : "");
    if (from != NULL)
        snprintf(port, sizeof port, "%u", from->port);
    client->attributes[ATTRIBUTE_INSTANCE] = strdup(text);
    client->attributes[ATTRIBUTE_CLIENT_ID] = strdup(id);
    client->attributes[ATTRIBUTE_SOFTWARE_NAME] =
        from == NULL ? NULL : text_copy(from->software_name);
    client->attributes[ATTRIBUTE_SOFTWARE_VERSION] =
        from == NULL ? NULL : text_copy(from->software_version);
    client->attributes[ATTRIBUTE_ADDRESS] =
        text_copy(op->client_host + (op->client_host[0] == '/'));
    client->attributes[ATTRIBUTE_PORT] = text_copy(port);
    if (client->attributes[ATTRIBUTE_INSTANCE] == NULL ||
        client->attributes[ATTRIBUTE_CLIENT_ID] == NULL)
        return false;
    client->labels = labels_make(client);
    return client->labels != NULL;
}

static void expiry_fire(struct timer *timer, struct now now)
{
    (void)now;
    client_drop(container_of(timer, struct telemetry_client, expiry));
}

/* It has spoken: the newest, and its time begins anew. */
static void client_touch(struct telemetry_client *client)
{
    struct control *c = client->telemetry->control;
    int64_t ms = max_i64(EXPIRY_MS_MIN, 3 * (int64_t)client->interval_ms);
    list_del(&client->by_use);
    list_append(&client->telemetry->by_use, &client->by_use);
    timer_set(c->timers, &client->expiry, c->now.ns + (uint64_t)ms * NS_PER_MS);
}

static struct telemetry_client *client_make(struct telemetry *t, const struct uuid *id,
                                            const struct control_op *op)
{
    if (t->clients_n == TELEMETRY_CLIENTS_MAX) {
        telemetry_stats_add(&t->stats, TELEMETRY_STAT_EVICTED, 1);
        client_drop(list_entry(t->by_use.next, struct telemetry_client, by_use));
    }
    struct telemetry_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    client->telemetry = t;
    client->id = *id;
    client->get_ns = client->push_ns = NEVER_NS;
    client->number = ++t->number_next;
    list_init(&client->series);
    timer_init(&client->expiry, expiry_fire);
    if (!client_fill(client, op)) {
        client_free(client);
        return NULL;
    }
    struct telemetry_client **at = client_place(t, id);
    *at = client;
    list_append(&t->by_use, &client->by_use);
    t->clients_n++;
    gauges_set(t);
    return client;
}

/* The client, as the subscriptions of now see it. `names` has room for NAMES_MAX. When those have
 * changed it begins anew: it may ask and push at once. NULL: no memory. */
static struct telemetry_client *client_of(struct telemetry *t, const struct uuid *id,
                                          const struct control_op *op, struct bytes *names)
{
    struct telemetry_client *client = *client_place(t, id);
    if (client == NULL)
        client = client_make(t, id, op);
    if (client == NULL)
        return NULL;
    telemetry_look(t);
    if (client->version != t->version) {
        client->get_ns = client->push_ns = NEVER_NS;
        client->error = KAFKA_NONE;
        client->is_terminating = false;
        telemetry_evaluate(t, client, names, NAMES_MAX);
    }
    client_touch(client);
    return client;
}

static bool is_over(const struct telemetry_client *client, int64_t since_ns)
{
    return (int64_t)client->telemetry->control->now.ns - since_ns >=
           (int64_t)client->interval_ms * (int64_t)NS_PER_MS;
}

/* ── GetTelemetrySubscriptions ── */

static bool answer_fill(struct telemetry *t, struct telemetry_client *client, struct arena *arena,
                        struct get_telemetry_subscriptions_response *p, struct bytes *names)
{
    static const int8_t codecs[] = {CODEC_ZSTD, CODEC_LZ4, CODEC_GZIP, CODEC_SNAPPY};
    uint32_t n = telemetry_evaluate(t, client, names, NAMES_MAX);
    p->client_instance_id = client->id;
    p->subscription_id = client->subscription_id;
    p->push_interval_ms = client->interval_ms;
    p->telemetry_max_bytes = t->bytes_max;
    p->delta_temporality = false;
    p->accepted_compression_types = arena_copy(arena, codecs, sizeof codecs);
    p->accepted_compression_types_n = array_n(codecs);
    p->requested_metrics = arena_array(arena, n + 1, sizeof *p->requested_metrics);
    if (p->accepted_compression_types == NULL || p->requested_metrics == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        p->requested_metrics[i] = answer_bytes(arena, names[i]);
        if (p->requested_metrics[i].ptr == NULL)
            return false;
    }
    p->requested_metrics_n = (int32_t)n;
    return true;
}

static bool is_zero(const struct uuid *id)
{
    static const struct uuid zero = {{0}};
    return uuid_equal(id, &zero);
}

enum verdict get_telemetry_run(struct control *c, struct control_op *op)
{
    const struct get_telemetry_subscriptions_request *q = op->request;
    struct telemetry *t = c->telemetry;
    struct get_telemetry_subscriptions_response *p =
        PROTO_NEW(&op->arena, get_telemetry_subscriptions_response, 1);
    struct bytes *names = arena_array(&op->arena, NAMES_MAX, sizeof *names);
    struct uuid id = q->client_instance_id;
    if (p == NULL || names == NULL)
        return VERDICT_CLOSE;
    if (is_zero(&id))
        prng_uuid(&c->prng, &id);
    struct telemetry_client *client = client_of(t, &id, op, names);
    if (client == NULL)
        return VERDICT_CLOSE;
    op->response = p;
    bool is_excused = client->error == KAFKA_UNKNOWN_SUBSCRIPTION_ID ||
                      client->error == KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    if (is_over(client, max_i64(client->get_ns, client->push_ns))) {
        client->get_ns = (int64_t)c->now.ns;
    } else if (!is_excused) {
        p->error_code = KAFKA_THROTTLING_QUOTA_EXCEEDED;
        return VERDICT_NOW;
    }
    client->error = KAFKA_NONE;
    return answer_fill(t, client, &op->arena, p, names) ? VERDICT_NOW : VERDICT_CLOSE;
}

/* ── PushTelemetry ── */

/* The ids 0 to 99 are Kafka's own. */
static bool is_reserved(const struct uuid *id)
{
    return load_u64(id->b) == 0 && load_u64(id->b + 8) < RESERVED_IDS;
}

static int16_t push_judge(struct telemetry *t, struct telemetry_client *client,
                          const struct push_telemetry_request *q)
{
    bool may_come = client->get_ns > client->push_ns || is_over(client, client->push_ns);
    if (client->is_terminating)
        return KAFKA_INVALID_REQUEST;
    if (may_come)
        client->push_ns = (int64_t)t->control->now.ns;
    else if (!q->terminating)
        return KAFKA_THROTTLING_QUOTA_EXCEEDED;
    if (q->subscription_id != client->subscription_id)
        return KAFKA_UNKNOWN_SUBSCRIPTION_ID;
    if (q->compression_type < CODEC_NONE || q->compression_type > CODEC_ZSTD)
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    return q->metrics.n > (uint32_t)t->bytes_max ? KAFKA_TELEMETRY_TOO_LARGE : KAFKA_NONE;
}

static void push_count(struct telemetry *t, int16_t code)
{
    enum telemetry_stat_at at = code == KAFKA_NONE                        ? TELEMETRY_STAT_PUSHES
                                : code == KAFKA_THROTTLING_QUOTA_EXCEEDED ? TELEMETRY_STAT_THROTTLED
                                : code == KAFKA_UNKNOWN_SUBSCRIPTION_ID   ? TELEMETRY_STAT_UNKNOWN
                                : code == KAFKA_UNSUPPORTED_COMPRESSION_TYPE ? TELEMETRY_STAT_CODEC
                                : code == KAFKA_TELEMETRY_TOO_LARGE ? TELEMETRY_STAT_TOO_LARGE
                                                                    : TELEMETRY_STAT_INVALID;
    telemetry_stats_add(&t->stats, at, 1);
}

/* On the bulk helper: touches nothing but the push. */
static void push_decode(struct work_op *work)
{
    struct telemetry_push *push = container_of(work, struct telemetry_push, work);
    struct batch batch = {.attributes = push->codec};
    struct bytes plain = push->payload, heap = {NULL, 0};
    push->error = 0;
    if (push->codec != CODEC_NONE) {
        push->error = batch_inflate(&batch, push->payload, push->bytes_max, &heap);
        plain = heap;
    }
    if (push->error == 0)
        push->error = otlp_decode(plain, &push->points);
    free((void *)(uintptr_t)heap.ptr);
}

static bool push_send(struct telemetry *t, const struct telemetry_client *client,
                      struct control_op *op)
{
    const struct push_telemetry_request *q = op->request;
    struct telemetry_push *push = malloc(sizeof *push); /* the points are the helper's to fill */
    if (push == NULL)
        return false;
    push->op = op;
    push->id = client->id;
    push->payload = q->metrics;
    push->codec = (uint8_t)q->compression_type;
    push->bytes_max = (uint32_t)t->bytes_max;
    push->error = 0;
    push->taken_n = 0;
    push->points.n = push->points.text_n = push->points.left_out_n = 0;
    push->points.seed = t->seed;
    list_init(&push->link);
    list_init(&push->work.mail.link);
    push->work.run = push_decode;
    t->pushes_n++;
    mail_send(t->control->post, t->control->bulk_thread, MAIL_WORK, &push->work.mail);
    return true;
}

enum verdict push_telemetry_run(struct control *c, struct control_op *op)
{
    const struct push_telemetry_request *q = op->request;
    struct telemetry *t = c->telemetry;
    if (t->pushes_n >= TELEMETRY_PUSHES_MAX)
        return VERDICT_AGAIN;
    struct push_telemetry_response *p = PROTO_NEW(&op->arena, push_telemetry_response, 1);
    struct bytes *names = arena_array(&op->arena, NAMES_MAX, sizeof *names);
    if (p == NULL || names == NULL)
        return VERDICT_CLOSE;
    op->response = p;
    if (is_reserved(&q->client_instance_id)) {
        p->error_code = KAFKA_INVALID_REQUEST;
        push_count(t, p->error_code);
        return VERDICT_NOW;
    }
    struct telemetry_client *client = client_of(t, &q->client_instance_id, op, names);
    if (client == NULL)
        return VERDICT_CLOSE;
    p->error_code = client->error = push_judge(t, client, q);
    client->is_terminating = q->terminating;
    if (p->error_code == KAFKA_NONE && q->metrics.n > 0)
        return push_send(t, client, op) ? VERDICT_TAKEN : VERDICT_CLOSE;
    push_count(t, p->error_code);
    return VERDICT_NOW;
}

/* ── what came ── */

void telemetry_back(struct telemetry *t, struct work_op *work)
{
    list_append(&t->arrived, &container_of(work, struct telemetry_push, work)->link);
}

static void push_end(struct telemetry *t, struct telemetry_push *push,
                     struct telemetry_client *client)
{
    struct push_telemetry_response *p = push->op->response;
    p->error_code = push->error == 0             ? KAFKA_NONE
                    : push->error == E_TOO_LARGE ? KAFKA_TELEMETRY_TOO_LARGE
                                                 : KAFKA_INVALID_RECORD;
    if (client != NULL)
        client->error = p->error_code;
    push_count(t, p->error_code);
    telemetry_stats_add(&t->stats, TELEMETRY_STAT_LEFT_OUT, push->points.left_out_n);
    gauges_set(t);
    t->pushes_n--;
    mail_answer(t->control->post, &push->op->mail);
    free(push);
}

/* Numbers into the table, as many as a turn may. */
static int arrived_turn(struct telemetry *t)
{
    int n = 0;
    while (n < TELEMETRY_POINTS_PER_TURN && !list_is_empty(&t->arrived)) {
        struct telemetry_push *push = list_entry(t->arrived.next, struct telemetry_push, link);
        struct telemetry_client *client =
            *client_place(t, &push->id); /* it may have been dropped */
        uint32_t points_n = push->error == 0 && client != NULL ? push->points.n : 0;
        for (; push->taken_n < points_n && n < TELEMETRY_POINTS_PER_TURN; push->taken_n++, n++)
            if (!metrics_table_put(&t->table, client, &push->points,
                                   &push->points.v[push->taken_n]))
                push->points.left_out_n++;
        if (push->taken_n < points_n)
            break;
        list_del(&push->link);
        push_end(t, push, client);
        n++;
    }
    return n;
}

static int page_turn(struct telemetry *t, struct ask *ask)
{
    if (atomic_load_explicit(&ask->state, memory_order_acquire) != ASK_ASKED ||
        ask->kind != ASK_TELEMETRY)
        return 0;
    if (metrics_table_page(&t->table, &ask->answer))
        atomic_store_explicit(&ask->state, ASK_ANSWERED, memory_order_release);
    return 1;
}

int telemetry_turn(struct telemetry *t)
{
    return arrived_turn(t) + page_turn(t, control_ask(t->control));
}
