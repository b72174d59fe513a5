/*
 * configs_alter.c - AlterConfigs, IncrementalAlterConfigs, ListConfigResources.
 *
 * Owner: control.
 *
 * Every resource of a request is judged by itself (configs_check.c); those that are acceptable make
 * one batch of CONFIG records: one per setting that changes, null removes it. A broker's are
 * written also when they do not change, as Apache Kafka does. A change of min.insync.replicas is
 * followed by CLEAR_ELR.
 *
 * What a change means to logs: the topics whose effective settings change join the round's list,
 * and their homes configure the logs before the view and the answer say so.
 */
#include <stdlib.h>

#include "alteration.h"
#include "check.h"
#include "kafka_codes.h"
#include "messages.h"

/* A request under way. Owner: it. */
struct alter_run {
    struct control *control;
    struct arena *arena;
    struct alteration *v;
    uint32_t n;
    bool is_dry; /* validate_only */
};

/* ── reading the request ── */

static bool read_incremental(struct alter_run *run,
                             const struct incremental_alter_configs_request *q)
{
    run->n = q->resources_n > 0 ? (uint32_t)q->resources_n : 0;
    run->is_dry = q->validate_only;
    run->v = arena_array(run->arena, run->n + 1, sizeof *run->v);
    for (uint32_t i = 0; run->v != NULL && i < run->n; i++) {
        const struct incremental_alter_configs_request_resources *from = &q->resources[i];
        struct alteration *to = &run->v[i];
        *to = (struct alteration){.type = from->resource_type, .name = from->resource_name};
        to->items_n = from->configs_n > 0 ? (uint32_t)from->configs_n : 0;
        to->items = arena_array(run->arena, to->items_n + 1, sizeof *to->items);
        for (uint32_t k = 0; to->items != NULL && k < to->items_n; k++)
            to->items[k] = (struct alter_item){from->configs[k].name, from->configs[k].value,
                                               from->configs[k].config_operation};
        if (to->items == NULL)
            return false;
    }
    return run->v != NULL;
}

static bool read_legacy(struct alter_run *run, const struct alter_configs_request *q)
{
    run->n = q->resources_n > 0 ? (uint32_t)q->resources_n : 0;
    run->is_dry = q->validate_only;
    run->v = arena_array(run->arena, run->n + 1, sizeof *run->v);
    for (uint32_t i = 0; run->v != NULL && i < run->n; i++) {
        const struct alter_configs_request_resources *from = &q->resources[i];
        struct alteration *to = &run->v[i];
        *to = (struct alteration){
            .type = from->resource_type, .name = from->resource_name, .replaces = true};
        to->items_n = from->configs_n > 0 ? (uint32_t)from->configs_n : 0;
        to->items = arena_array(run->arena, to->items_n + 1, sizeof *to->items);
        for (uint32_t k = 0; to->items != NULL && k < to->items_n; k++)
            to->items[k] =
                (struct alter_item){from->configs[k].name, from->configs[k].value, ALTER_SET};
        if (to->items == NULL)
            return false;
    }
    return run->v != NULL;
}

/* ── judging ── */

static int alteration_compare(const void *a, const void *b)
{
    const struct alteration *x = *(const struct alteration *const *)a,
                            *y = *(const struct alteration *const *)b;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    uint32_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int order = n > 0 ? memcmp(x->name.ptr, y->name.ptr, n) : 0;
    return order != 0 ? order : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

static bool mark_twice(struct alter_run *run)
{
    static const char text[] = "Each resource must appear at most once.";
    struct alteration **sorted = arena_array(run->arena, run->n + 1, sizeof *sorted);
    if (sorted == NULL)
        return false;
    for (uint32_t i = 0; i < run->n; i++)
        sorted[i] = &run->v[i];
    qsort(sorted, run->n, sizeof *sorted, alteration_compare);
    for (uint32_t i = 1; i < run->n; i++) {
        if (alteration_compare(&sorted[i - 1], &sorted[i]) != 0)
            continue;
        fault_set(&sorted[i - 1]->fault, KAFKA_INVALID_REQUEST, "%s", text);
        fault_set(&sorted[i]->fault, KAFKA_INVALID_REQUEST, "%s", text);
    }
    return true;
}

static const struct settings *settings_before(const struct control *c, const struct alteration *a)
{
    if (a->type != RESOURCE_TOPIC)
        return state_settings(&c->state, a->type, a->name);
    const struct topic *topic = state_topic_by_name(&c->state, a->name);
    return topic == NULL ? NULL : &topic->settings;
}

/* ── records ── */

static void add_config(struct control *c, const struct alteration *a, struct bytes key,
                       const char *value)
{
    struct config_record record = {a->type, a->name, key, bytes_of_string(value)};
    records_add(&c->records, &proto_config_record, 0, &record);
}

static bool is_changed(const struct alteration *a, const char *key)
{
    const char *before = settings_get(a->before, key), *after = settings_get(&a->after, key);
    return before == NULL || after == NULL ? before != after : strcmp(before, after) != 0;
}

static bool is_named(const struct alteration *a, const char *key)
{
    for (uint32_t i = 0; i < a->items_n; i++)
        if (bytes_equal_string(a->items[i].key, key))
            return true;
    return false;
}

static void add_records(struct control *c, const struct alteration *a)
{
    bool has_elr = state_feature(&c->state, "eligible.leader.replicas.version") > 0;
    for (uint32_t i = 0; i < a->items_n; i++) {
        char key[256];
        struct bytes name = a->items[i].key;
        if (name.n >= sizeof key)
            continue; /* only a DELETE of a name that cannot be set comes here */
        memcpy(key, name.n > 0 ? name.ptr : (const uint8_t *)"", name.n);
        key[name.n] = 0;
        if (name.n > 0 && (is_changed(a, key) || a->type == RESOURCE_BROKER))
            add_config(c, a, name, settings_get(&a->after, key));
    }
    for (uint32_t i = 0; a->replaces && a->before != NULL && i < a->before->n; i++)
        if (!is_named(a, a->before->v[i].key))
            add_config(c, a, bytes_of_string(a->before->v[i].key), NULL);
    if (a->type == RESOURCE_BROKER && a->name.n > 0 && is_changed(a, "cordoned.log.dirs"))
        bootstrap_add_cordoned(c, settings_get(&a->after, "cordoned.log.dirs"));
    if (!has_elr || !is_changed(a, "min.insync.replicas"))
        return;
    struct clear_elr_record clear = {a->type == RESOURCE_TOPIC ? a->name : (struct bytes){NULL, 0}};
    if (a->type == RESOURCE_TOPIC || (a->type == RESOURCE_BROKER && a->name.n == 0))
        records_add(&c->records, &proto_clear_elr_record, 0, &clear);
}

/* Judges one resource and adds its records. */
static void run_one(struct alter_run *run, struct alteration *a)
{
    struct control *c = run->control;
    if (a->fault.code != KAFKA_NONE || !alteration_check_form(c, a))
        return;
    a->before = settings_before(c, a);
    if (alteration_run(c, a) && a->type != RESOURCE_BROKER_LOGGER)
        add_records(c, a);
}

static void refuse_all(struct alter_run *run, int error)
{
    for (uint32_t i = 0; i < run->n; i++) {
        struct fault *fault = &run->v[i].fault;
        if (fault->code != KAFKA_NONE)
            continue;
        if (error == E_TOO_LARGE)
            fault_set(fault, KAFKA_POLICY_VIOLATION,
                      "Unable to perform excessively large batch operation.");
        else
            fault_set(fault, KAFKA_KAFKA_STORAGE_ERROR, "%s", error_text(error));
    }
}

/* ── what it means to logs ── */

bool topic_is_stale(struct control *c, const struct topic *topic)
{
    struct log_config now;
    if (topic->is_removed || topic->view == NULL)
        return false;
    topic_log_config(c, &topic->settings, topic->view->is_internal, &now);
    const struct log_config *was = &topic->view->config;
    return now.segment_bytes != was->segment_bytes || now.segment_ms != was->segment_ms ||
           now.segment_jitter_ms != was->segment_jitter_ms ||
           now.segment_index_bytes != was->segment_index_bytes ||
           now.index_interval_bytes != was->index_interval_bytes ||
           now.max_message_bytes != was->max_message_bytes ||
           now.retention_ms != was->retention_ms || now.retention_bytes != was->retention_bytes ||
           now.file_delete_delay_ms != was->file_delete_delay_ms ||
           now.min_compaction_lag_ms != was->min_compaction_lag_ms ||
           now.max_compaction_lag_ms != was->max_compaction_lag_ms ||
           now.delete_retention_ms != was->delete_retention_ms ||
           now.min_dirty_millionths != was->min_dirty_millionths ||
           now.flush_messages != was->flush_messages || now.flush_ms != was->flush_ms ||
           now.timestamp_before_max_ms != was->timestamp_before_max_ms ||
           now.timestamp_after_max_ms != was->timestamp_after_max_ms ||
           now.is_log_append_time != was->is_log_append_time ||
           now.is_compacted != was->is_compacted || now.is_deleted != was->is_deleted ||
           now.preallocate != was->preallocate || now.codec != was->codec ||
           now.durability != was->durability || now.latency != was->latency;
}

static void note_topics(struct alter_run *run)
{
    struct control *c = run->control;
    bool has_broker = false;
    for (uint32_t i = 0; i < run->n; i++) {
        const struct alteration *a = &run->v[i];
        struct topic *topic =
            a->type == RESOURCE_TOPIC ? state_topic_by_name(&c->state, a->name) : NULL;
        if (a->fault.code != KAFKA_NONE)
            continue;
        has_broker |= a->type == RESOURCE_BROKER;
        if (topic != NULL && topic_is_stale(c, topic))
            topic_list_add(&c->created, topic);
    }
    for (uint32_t i = 0; has_broker && i < c->state.topics_n; i++)
        if (topic_is_stale(c, c->state.topics[i])) {
            c->state.topics[i]->is_changed = true;
            topic_list_add(&c->created, c->state.topics[i]);
        }
}

static enum verdict run_all(struct alter_run *run)
{
    struct control *c = run->control;
    if (!mark_twice(run))
        return VERDICT_CLOSE;
    if (topic_list_reserve(&c->created, run->n + c->state.topics_n) < 0)
        return VERDICT_AGAIN;
    records_begin(&c->records, c->now.wall_ms);
    for (uint32_t i = 0; i < run->n; i++)
        run_one(run, &run->v[i]);
    bool has_records = c->records.builder.records_n > 0 || c->records.error < 0;
    if (run->is_dry || !has_records)
        return VERDICT_DONE;
    int e = c->records.error < 0 ? c->records.error : control_commit(c);
    if (e == E_AGAIN)
        return VERDICT_AGAIN;
    if (e < 0)
        refuse_all(run, e);
    else
        note_topics(run);
    return VERDICT_DONE;
}

static void run_end(struct alter_run *run)
{
    for (uint32_t i = 0; i < run->n; i++)
        settings_clear(&run->v[i].after);
}

static struct bytes fault_text(const struct alteration *a, struct arena *arena)
{
    return a->fault.code == KAFKA_NONE || a->fault.text[0] == 0 ? (struct bytes){NULL, 0}
                                                                : answer_text(arena, a->fault.text);
}

enum verdict incremental_alter_configs_run(struct control *c, struct control_op *op)
{
    struct alter_run run = {.control = c, .arena = &op->arena};
    struct incremental_alter_configs_response *p =
        PROTO_NEW(&op->arena, incremental_alter_configs_response, 1);
    if (p == NULL || !read_incremental(&run, op->request))
        return VERDICT_CLOSE;
    enum verdict verdict = run_all(&run);
    p->responses = PROTO_NEW(&op->arena, incremental_alter_configs_response_responses, run.n + 1);
    for (uint32_t i = 0; p->responses != NULL && i < run.n; i++)
        p->responses[i] = (struct incremental_alter_configs_response_responses){
            run.v[i].fault.code, fault_text(&run.v[i], &op->arena), run.v[i].type,
            answer_bytes(&op->arena, run.v[i].name)};
    p->responses_n = (int32_t)run.n;
    run_end(&run);
    op->response = p;
    return p->responses == NULL ? VERDICT_CLOSE : verdict;
}

enum verdict alter_configs_run(struct control *c, struct control_op *op)
{
    struct alter_run run = {.control = c, .arena = &op->arena};
    struct alter_configs_response *p = PROTO_NEW(&op->arena, alter_configs_response, 1);
    if (p == NULL || !read_legacy(&run, op->request))
        return VERDICT_CLOSE;
    enum verdict verdict = run_all(&run);
    p->responses = PROTO_NEW(&op->arena, alter_configs_response_responses, run.n + 1);
    for (uint32_t i = 0; p->responses != NULL && i < run.n; i++)
        p->responses[i] = (struct alter_configs_response_responses){
            run.v[i].fault.code, fault_text(&run.v[i], &op->arena), run.v[i].type,
            answer_bytes(&op->arena, run.v[i].name)};
    p->responses_n = (int32_t)run.n;
    run_end(&run);
    op->response = p;
    return p->responses == NULL ? VERDICT_CLOSE : verdict;
}

/* ── ListConfigResources ── */

#define LISTED struct list_config_resources_response_config_resources

static void list_add(struct list_config_resources_response *p, struct arena *arena,
                     struct bytes name, int8_t type)
{
    p->config_resources[p->config_resources_n++] = (LISTED){answer_bytes(arena, name), type};
}

static void list_type(struct control *c, struct list_config_resources_response *p,
                      struct arena *arena, int8_t type)
{
    if (type == RESOURCE_BROKER || type == RESOURCE_BROKER_LOGGER) {
        list_add(p, arena, bytes_of_string(c->resolver.node), type);
        return;
    }
    for (uint32_t i = 0; type == RESOURCE_TOPIC && i < c->state.topics_n; i++) {
        const struct topic *topic = c->state.topics[i];
        if (!topic->is_removed)
            list_add(p, arena, bytes_of(topic->name, topic->name_n), type);
    }
    for (uint32_t i = 0; type != RESOURCE_TOPIC && i < c->state.resources_n; i++) {
        const struct resource *r = &c->state.resources[i];
        if (r->type == type && r->settings.n > 0)
            list_add(p, arena, bytes_of_string(r->name), type);
    }
}

enum verdict list_config_resources_run(struct control *c, struct control_op *op)
{
    static const int8_t types[] = {RESOURCE_GROUP, RESOURCE_CLIENT_METRICS, RESOURCE_BROKER_LOGGER,
                                   RESOURCE_BROKER, RESOURCE_TOPIC};
    const struct list_config_resources_request *q = op->request;
    struct list_config_resources_response *p =
        PROTO_NEW(&op->arena, list_config_resources_response, 1);
    bool wanted[array_n(types)] = {false};
    if (p == NULL)
        return VERDICT_CLOSE;
    for (uint32_t t = 0; t < array_n(types); t++)
        wanted[t] =
            op->api_version == 0 ? types[t] == RESOURCE_CLIENT_METRICS : q->resource_types_n <= 0;
    for (int32_t i = 0; op->api_version > 0 && i < q->resource_types_n; i++) {
        uint32_t t = 0;
        while (t < array_n(types) && types[t] != q->resource_types[i])
            t++;
        if (t == array_n(types))
            p->error_code = KAFKA_UNSUPPORTED_VERSION;
        else
            wanted[t] = true;
    }
    p->config_resources = PROTO_NEW(&op->arena, list_config_resources_response_config_resources,
                                    c->state.live_n + c->state.topics_n + c->state.resources_n + 2);
    op->response = p;
    if (p->config_resources == NULL)
        return VERDICT_CLOSE;
    p->config_resources_n = 0;
    for (uint32_t t = 0; p->error_code == KAFKA_NONE && t < array_n(types); t++)
        if (wanted[t])
            list_type(c, p, &op->arena, types[t]);
    return VERDICT_NOW;
}
