/*
 * configs.c - DescribeConfigs: every setting of a topic, this broker, a group or a client metrics
 * subscription.
 *
 * Owner: control.
 *
 * Every known setting is listed, with value, source, synonyms, type and, when asked for, its
 * sentence (config.def): tools rely on the whole list (trap 16). Hidden settings are listed only
 * when they are set. Errors and sentences are those of Kafka's ConfigHelper.
 *
 * Work is cut into RESOURCES_PER_TURN resources a turn: the request goes back to its place and is
 * run again.
 */
#include <stdlib.h>

#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "messages.h"

enum {
    RESOURCES_PER_TURN = 32,
    KEYS_LOOKED_AT_MAX = 10000,
    ROWS_MAX = 512,
    RESOURCE_BROKER_LOGGER = 8
};

#define INVALID_REQUEST_TEXT                                                                     \
    "This most likely occurs because of a request being malformed by the client library or the " \
    "message was sent "                                                                          \
    "to an incompatible broker. See the broker logs for more details."

/* One resource on its way. Owner: the request. */
struct description {
    struct control *control;
    struct arena *arena;
    const struct describe_configs_request *request;
    const struct describe_configs_request_resources *asked;
    struct describe_configs_response_results *to;
    enum config_scope scope;
    const struct settings *own; /* of the topic, group or subscription */
    int8_t own_source;
    bool only_defaults; /* the broker resource "": what is set for all brokers */
    struct fault fault;
    bool is_full; /* the arena is used up */
};

#define ENTRY   struct describe_configs_response_results_configs
#define SYNONYM struct describe_configs_response_results_configs_synonyms

/* ── one setting ── */

static void entry_synonym(ENTRY *entry, const char *name, const char *value, int8_t source,
                          struct description *d)
{
    struct bytes text =
        entry->is_sensitive ? (struct bytes){NULL, 0} : answer_text(d->arena, value);
    entry->synonyms[entry->synonyms_n++] = (SYNONYM){answer_text(d->arena, name), text, source};
}

/* Source and synonyms: what the resource itself sets, then what stands behind it. */
static void entry_sources(struct description *d, const struct config_row *row, ENTRY *entry)
{
    struct synonym behind[SYNONYMS_MAX];
    const char *own = settings_get(d->own, row->key);
    const struct config_row *broker = d->scope == CONFIG_BROKER ? row
                                      : row->synonyms[0] != 0
                                          ? config_row_find(CONFIG_BROKER, row->synonyms)
                                          : NULL;
    uint32_t n = broker == NULL ? 0 : resolve_synonyms(&d->control->resolver, broker, behind);
    entry->config_source = own != NULL ? d->own_source : SOURCE_DEFAULT;
    entry->synonyms = NULL;
    entry->synonyms_n = 0;
    if (d->request->include_synonyms) {
        entry->synonyms =
            PROTO_NEW(d->arena, describe_configs_response_results_configs_synonyms, n + 1);
        d->is_full |= entry->synonyms == NULL;
    }
    if (own != NULL && entry->synonyms != NULL)
        entry_synonym(entry, row->key, own, d->own_source, d);
    for (uint32_t i = 0, first = own == NULL; i < n; i++) {
        if (d->only_defaults && behind[i].source != SOURCE_DYNAMIC_DEFAULT)
            continue;
        if (first)
            entry->config_source = behind[i].source;
        first = 0;
        if (entry->synonyms != NULL)
            entry_synonym(entry, behind[i].name, behind[i].value, behind[i].source, d);
    }
    /* A group's setting that no broker setting stands behind is its own synonym. */
    if (broker == NULL && d->scope == CONFIG_GROUP && entry->synonyms != NULL)
        entry_synonym(entry, row->key, row->default_value, SOURCE_DEFAULT, d);
}

static void entry_fill(struct description *d, const struct config_row *row, const char *value,
                       ENTRY *entry)
{
    entry->name = bytes_of_string(row->key);
    entry->is_sensitive = row->is_sensitive;
    entry->value = row->is_sensitive ? (struct bytes){NULL, 0} : answer_text(d->arena, value);
    entry->read_only = row->dynamic == CONFIG_READ_ONLY;
    entry->config_type = (int8_t)row->type;
    entry->documentation =
        d->request->include_documentation ? bytes_of_string(row->text) : (struct bytes){NULL, 0};
    d->is_full |= value != NULL && !row->is_sensitive && entry->value.ptr == NULL;
    entry_sources(d, row, entry);
}

/* Which rows are asked for: all, or those whose names stand in the request. */
static void rows_wanted(const struct description *d, const struct config_row *rows, uint32_t n,
                        bool *wanted)
{
    bool all = d->asked->configuration_keys_n <= 0;
    for (uint32_t i = 0; i < n; i++)
        wanted[i] = all;
    for (int32_t i = 0; !all && i < d->asked->configuration_keys_n && i < KEYS_LOOKED_AT_MAX; i++) {
        char key[128];
        struct bytes name = d->asked->configuration_keys[i];
        if (name.n == 0 || name.n >= sizeof key)
            continue;
        memcpy(key, name.ptr, name.n);
        key[name.n] = 0;
        const struct config_row *row = config_row_find(d->scope, key);
        if (row != NULL)
            wanted[row - rows] = true;
    }
}

/* The value to show; false when the setting is not listed. */
static bool row_value(struct description *d, const struct config_row *row, char *text,
                      const char **value)
{
    const struct resolver *resolver = &d->control->resolver;
    if (d->only_defaults) {
        *value = settings_get(state_settings(resolver->state, RESOURCE_BROKER, bytes_of("", 0)),
                              row->key);
        return *value != NULL;
    }
    if (d->scope == CONFIG_BROKER) {
        *value = resolve_broker(resolver, row->key);
        return !row->is_hidden || config_is_set(resolver->config, row->key);
    }
    *value = resolve_value(resolver, d->own, row, text);
    return !row->is_hidden || settings_get(d->own, row->key) != NULL;
}

static void describe_rows(struct description *d)
{
    bool wanted[ROWS_MAX];
    uint32_t n;
    const struct config_row *rows = config_rows(d->scope, &n);
    check(n <= ROWS_MAX);
    rows_wanted(d, rows, n, wanted);
    d->to->configs = PROTO_NEW(d->arena, describe_configs_response_results_configs, n);
    if (d->to->configs == NULL) {
        d->is_full = true;
        return;
    }
    for (uint32_t i = 0; i < n && !d->is_full; i++) {
        char text[RESOLVE_TEXT_MAX];
        const char *value;
        if (wanted[i] && row_value(d, &rows[i], text, &value))
            entry_fill(d, &rows[i], value, &d->to->configs[d->to->configs_n++]);
    }
}

/* ── kinds of resources ── */

static void describe_topic(struct description *d)
{
    char why[512];
    struct bytes name = d->asked->resource_name;
    if (topic_name_fault(name, why, sizeof why) != NULL) {
        fault_set(&d->fault, KAFKA_INVALID_TOPIC_EXCEPTION, "%s", why);
        return;
    }
    const struct topic *topic = state_topic_by_name(&d->control->state, name);
    if (topic == NULL) {
        d->fault.code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    d->scope = CONFIG_TOPIC;
    d->own = &topic->settings;
    d->own_source = SOURCE_TOPIC;
    describe_rows(d);
}

/* The number a broker resource names; false with the fault set when it is not one or not ours. */
static bool broker_is_us(struct description *d, const char *expected_tail)
{
    char text[32], *end;
    struct bytes name = d->asked->resource_name;
    int shown = (int)(name.n < 256 ? name.n : 256);
    uint32_t n = name.n < sizeof text ? name.n : sizeof text - 1;
    memcpy(text, name.ptr, n);
    text[n] = 0;
    long id = strtol(text, &end, 10);
    if (*end != 0 || end == text || n < name.n || id > INT32_MAX || id < INT32_MIN)
        return fault_set(&d->fault, KAFKA_INVALID_REQUEST,
                         "Broker id must be an integer, but it is: %.*s", shown, name.ptr);
    if (id != d->control->node_id)
        return fault_set(&d->fault, KAFKA_INVALID_REQUEST,
                         "Unexpected broker id, expected %d%s but received %.*s",
                         d->control->node_id, expected_tail, shown, name.ptr);
    return true;
}

static void describe_broker(struct description *d)
{
    d->scope = CONFIG_BROKER;
    d->only_defaults = d->asked->resource_name.n == 0;
    if (d->only_defaults || broker_is_us(d, " or empty string,"))
        describe_rows(d);
}

/* There are no loggers to set: the list is empty. */
static void describe_logger(struct description *d)
{
    if (d->asked->resource_name.n == 0)
        fault_set(&d->fault, KAFKA_INVALID_REQUEST, "Broker id must not be empty");
    else
        broker_is_us(d, "");
}

static void describe_named(struct description *d, enum config_scope scope, int8_t type,
                           int8_t source, const char *what)
{
    struct bytes name = d->asked->resource_name;
    if (name.n == 0) {
        fault_set(&d->fault, KAFKA_INVALID_REQUEST, "%s name must not be empty", what);
        return;
    }
    d->scope = scope;
    d->own = state_settings(&d->control->state, type, name);
    d->own_source = source;
    describe_rows(d);
}

static void describe_one(struct description *d)
{
    switch (d->asked->resource_type) {
    case RESOURCE_TOPIC: describe_topic(d); break;
    case RESOURCE_BROKER: describe_broker(d); break;
    case RESOURCE_BROKER_LOGGER: describe_logger(d); break;
    case RESOURCE_CLIENT_METRICS:
        describe_named(d, CONFIG_CLIENT_METRICS, RESOURCE_CLIENT_METRICS, SOURCE_CLIENT_METRICS,
                       "Client metrics subscription");
        break;
    case RESOURCE_GROUP:
        describe_named(d, CONFIG_GROUP, RESOURCE_GROUP, SOURCE_GROUP, "Group");
        break;
    default: fault_set(&d->fault, KAFKA_INVALID_REQUEST, INVALID_REQUEST_TEXT);
    }
    d->to->error_code = d->fault.code;
    d->to->error_message = answer_text(d->arena, d->fault.text);
    d->to->resource_type = d->asked->resource_type;
    d->to->resource_name = answer_bytes(d->arena, d->asked->resource_name);
    d->is_full |= d->to->error_message.ptr == NULL || d->to->resource_name.ptr == NULL;
}

enum verdict describe_configs_run(struct control *c, struct control_op *op)
{
    const struct describe_configs_request *request = op->request;
    struct describe_configs_response *response = op->response;
    uint32_t n = request->resources_n > 0 ? (uint32_t)request->resources_n : 0;
    if (response == NULL) { /* the first time */
        response = PROTO_NEW(&op->arena, describe_configs_response, 1);
        if (response == NULL)
            return VERDICT_CLOSE;
        response->results = PROTO_NEW(&op->arena, describe_configs_response_results, n + 1);
        response->results_n = 0;
        if (response->results == NULL)
            return VERDICT_CLOSE;
        op->response = response;
    }
    for (int i = 0; i < RESOURCES_PER_TURN && (uint32_t)response->results_n < n; i++) {
        uint32_t at = (uint32_t)response->results_n++;
        struct description d = {.control = c,
                                .arena = &op->arena,
                                .request = request,
                                .asked = &request->resources[at],
                                .to = &response->results[at]};
        describe_one(&d);
        if (d.is_full)
            return VERDICT_CLOSE;
    }
    return (uint32_t)response->results_n < n ? VERDICT_AGAIN : VERDICT_NOW;
}
