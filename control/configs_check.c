/*
 * configs_check.c - may these settings of a topic, broker, group or client metrics subscription be
 * changed like this? With the codes, the order and the sentences of Apache Kafka's
 * ConfigAdminManager (broker) and ConfigurationControlManager (controller).
 *
 * Owner: the request.
 *
 * Where we differ: a broker setting that we refuse in the file, and `listeners`, which is not
 * opened anew while we run, cannot be set dynamically either; there are no loggers.
 */
#include <stdlib.h>

#include "alteration.h"
#include "check.h"
#include "cordon.h"
#include "kafka_codes.h"
#include "telemetry.h"

enum {
    KEY_TEXT_MAX = 256,
    NAMES_TEXT_MAX = 512,
    ITEMS_MAX = 1000, /* settings of one resource; adding one costs a move of all */
};

/* ── the form of a request ── */

static int item_compare(const void *a, const void *b)
{
    const struct bytes *x = a, *y = b;
    uint32_t n = x->n < y->n ? x->n : y->n;
    int order = n > 0 ? memcmp(x->ptr, y->ptr, n) : 0;
    return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

static bool check_twice(struct alteration *a)
{
    bool is_twice = false;
    struct bytes *keys = a->items_n > 1 ? calloc(a->items_n, sizeof *keys) : NULL;
    if (a->items_n > 1 && keys == NULL)
        return fault_set(&a->fault, KAFKA_UNKNOWN_SERVER_ERROR, "%s", error_text(E_NO_MEMORY));
    for (uint32_t i = 0; keys != NULL && i < a->items_n; i++)
        keys[i] = a->items[i].key;
    if (keys != NULL)
        qsort(keys, a->items_n, sizeof *keys, item_compare);
    for (uint32_t i = 1; keys != NULL && i < a->items_n; i++)
        is_twice |= item_compare(&keys[i - 1], &keys[i]) == 0;
    free(keys);
    return !is_twice ||
           fault_set(&a->fault, KAFKA_INVALID_REQUEST, "Error due to duplicate config keys");
}

/* Adds a name to "a, b"; what does not fit is left out. */
static void names_add(char *names, struct bytes key)
{
    size_t n = strlen(names);
    snprintf(names + n, NAMES_TEXT_MAX - n, "%s%.*s", n > 0 ? ", " : "", (int)min_u64(key.n, 200),
             key.n > 0 ? (const char *)key.ptr : "");
}

static bool check_nulls(struct alteration *a)
{
    char names[NAMES_TEXT_MAX] = "";
    bool has_null = false;
    for (uint32_t i = 0; i < a->items_n; i++)
        if (a->items[i].op != ALTER_DELETE && a->items[i].value.ptr == NULL) {
            names_add(names, a->items[i].key);
            has_null = true;
        }
    return !has_null ||
           fault_set(&a->fault, KAFKA_INVALID_REQUEST, "Null value not supported for : %s", names);
}

static bool check_node(const struct control *c, struct alteration *a)
{
    char text[32], *end;
    int shown = (int)min_u64(a->name.n, 256);
    uint32_t n = (uint32_t)min_u64(a->name.n, sizeof text - 1);
    if (n > 0)
        memcpy(text, a->name.ptr, n);
    text[n] = 0;
    long id = strtol(text, &end, 10);
    if (*end != 0 || end == text || n < a->name.n || id > INT32_MAX || id < INT32_MIN)
        return fault_set(&a->fault, KAFKA_INVALID_REQUEST,
                         "Node id must be an integer, but it is: %.*s", shown,
                         n > 0 ? (const char *)a->name.ptr : "");
    return id == c->node_id || fault_set(&a->fault, KAFKA_INVALID_REQUEST,
                                         "Unexpected broker id, expected %d, but received %.*s",
                                         c->node_id, shown, (const char *)a->name.ptr);
}

/* There are no loggers: whatever is named does not exist. */
static bool check_logger(const struct control *c, struct alteration *a)
{
    if (a->replaces)
        return fault_set(&a->fault, KAFKA_INVALID_REQUEST, "Unknown resource type %d", a->type);
    if (!check_node(c, a))
        return false;
    for (uint32_t i = 0; i < a->items_n; i++) {
        struct bytes key = a->items[i].key;
        if (a->items[i].op == ALTER_APPEND || a->items[i].op == ALTER_SUBTRACT)
            return fault_set(&a->fault, KAFKA_INVALID_REQUEST,
                             "%s operation is not allowed for the BROKER_LOGGER resource",
                             a->items[i].op == ALTER_APPEND ? "APPEND" : "SUBTRACT");
        return fault_set(&a->fault, KAFKA_INVALID_CONFIG, "Logger %.*s does not exist!",
                         (int)min_u64(key.n, 200), key.n > 0 ? (const char *)key.ptr : "");
    }
    return true;
}

bool alteration_check_form(const struct control *c, struct alteration *a)
{
    if (a->items_n > ITEMS_MAX)
        return fault_set(&a->fault, KAFKA_POLICY_VIOLATION,
                         "Unable to perform excessively large batch operation.");
    if (!check_twice(a) || !check_nulls(a))
        return false;
    switch (a->type) {
    case RESOURCE_BROKER: return a->name.n == 0 || check_node(c, a);
    case RESOURCE_BROKER_LOGGER: return check_logger(c, a);
    case RESOURCE_TOPIC:
    case RESOURCE_CLIENT_METRICS:
    case RESOURCE_GROUP: return true;
    default:
        return fault_set(&a->fault, KAFKA_INVALID_REQUEST, "Unknown resource type %d", a->type);
    }
}

/* ── the new settings ── */

static enum config_scope scope_of(const struct alteration *a)
{
    switch (a->type) {
    case RESOURCE_TOPIC: return CONFIG_TOPIC;
    case RESOURCE_GROUP: return CONFIG_GROUP;
    case RESOURCE_CLIENT_METRICS: return CONFIG_CLIENT_METRICS;
    default: return CONFIG_BROKER;
    }
}

static const struct config_row *row_of(const struct alteration *a, struct bytes key)
{
    char text[KEY_TEXT_MAX];
    if (key.n == 0 || key.n >= sizeof text || memchr(key.ptr, 0, key.n) != NULL)
        return NULL;
    memcpy(text, key.ptr, key.n);
    text[key.n] = 0;
    return config_row_find(scope_of(a), text);
}

static bool list_has(const char *list, const char *word, size_t word_n)
{
    for (const char *at = list; *at != 0;) {
        size_t n = strcspn(at, ",");
        if (n == word_n && memcmp(at, word, n) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

static void list_add(char *list, const char *word, size_t n)
{
    size_t at = strlen(list);
    check(at + n + 2 < CONFIG_VALUE_MAX * 2);
    if (at > 0)
        list[at++] = ',';
    memcpy(list + at, word, n);
    list[at + n] = 0;
}

/* `words` appended to, or taken out of, the list `old`; `to` has CONFIG_VALUE_MAX * 2 bytes. */
static void list_change(const char *old, const char *words, int8_t op, char *to)
{
    to[0] = 0;
    for (const char *at = old; *at != 0;) {
        size_t n = strcspn(at, ",");
        if (n > 0 && (op == ALTER_APPEND || !list_has(words, at, n)))
            list_add(to, at, n);
        at += n + (at[n] == ',');
    }
    for (const char *at = words; op == ALTER_APPEND && *at != 0;) {
        size_t n = strcspn(at, ",");
        if (n > 0 && !list_has(to, at, n))
            list_add(to, at, n);
        at += n + (at[n] == ',');
    }
}

static bool item_is_too_long(const struct alter_item *item)
{
    return item->value.n >= CONFIG_VALUE_MAX - 32 || item->key.n >= KEY_TEXT_MAX;
}

static bool after_set(struct alteration *a, struct bytes key, struct bytes value)
{
    return settings_set(&a->after, key, value) == 0 ||
           fault_set(&a->fault, KAFKA_UNKNOWN_SERVER_ERROR, "%s", error_text(E_NO_MEMORY));
}

static bool run_list_item(struct alteration *a, const struct alter_item *item)
{
    char words[CONFIG_VALUE_MAX];
    const struct config_row *row = row_of(a, item->key);
    bool is_append = item->op == ALTER_APPEND;
    bool is_list = row != NULL && row->type == CONFIG_LIST && a->type != RESOURCE_CLIENT_METRICS;
    int key_n = (int)min_u64(item->key.n, 200);
    const char *key = item->key.n > 0 ? (const char *)item->key.ptr : "";
    if (a->type == RESOURCE_BROKER && row == NULL)
        return fault_set(&a->fault, KAFKA_INVALID_CONFIG, "Unknown config name: %.*s", key_n, key);
    if (a->type == RESOURCE_BROKER && !is_list)
        return fault_set(&a->fault, KAFKA_INVALID_CONFIG,
                         "Config value %s is not allowed for config key: %.*s",
                         is_append ? "append" : "subtract", key_n, key);
    if (!is_list)
        return fault_set(&a->fault, KAFKA_INVALID_CONFIG,
                         "Can't %s to key %.*s because its type is not LIST.",
                         is_append ? "APPEND" : "SUBTRACT", key_n, key);
    const char *old = settings_get(&a->after, row->key);
    if (old == NULL)
        old = row->default_value != NULL ? row->default_value : "";
    if (item->value.n > 0)
        memcpy(words, item->value.ptr, item->value.n);
    words[item->value.n] = 0;
    char *to = malloc((size_t)CONFIG_VALUE_MAX * 2);
    if (to == NULL)
        return fault_set(&a->fault, KAFKA_UNKNOWN_SERVER_ERROR, "%s", error_text(E_NO_MEMORY));
    list_change(old, words, item->op, to);
    bool is_set = after_set(a, item->key, bytes_of_string(to));
    free(to);
    return is_set;
}

static bool run_item(struct alteration *a, const struct alter_item *item)
{
    struct bytes key = item->key;
    if (item->op != ALTER_DELETE && item_is_too_long(item))
        return fault_set(&a->fault, KAFKA_INVALID_CONFIG,
                         "Invalid value for configuration %.*s: longer than %d bytes",
                         (int)min_u64(key.n, 200), key.n > 0 ? (const char *)key.ptr : "",
                         CONFIG_VALUE_MAX - 33);
    if (key.n > 0 && memchr(key.ptr, 0, key.n) != NULL)
        return fault_set(&a->fault, KAFKA_INVALID_CONFIG, "a name with a zero byte");
    switch (item->op) {
    case ALTER_SET: return after_set(a, key, item->value);
    case ALTER_DELETE: return after_set(a, key, (struct bytes){NULL, 0});
    case ALTER_APPEND:
    case ALTER_SUBTRACT: return run_list_item(a, item);
    default:
        if (a->type == RESOURCE_BROKER)
            return fault_set(&a->fault, KAFKA_INVALID_REQUEST, "Unknown operations type %d",
                             item->op);
        return fault_set(&a->fault, KAFKA_UNKNOWN_SERVER_ERROR, "%s", "");
    }
}

static bool run_items(struct alteration *a)
{
    for (uint32_t i = 0; !a->replaces && a->before != NULL && i < a->before->n; i++)
        if (!after_set(a, bytes_of_string(a->before->v[i].key),
                       bytes_of_string(a->before->v[i].value)))
            return false;
    for (uint32_t i = 0; i < a->items_n; i++)
        if (!run_item(a, &a->items[i]))
            return false;
    return true;
}

/* Every value of `after` in Kafka's form. */
static bool check_values(struct alteration *a, int16_t code)
{
    struct settings checked = {0};
    for (uint32_t i = 0; i < a->after.n; i++) {
        struct bytes key = bytes_of_string(a->after.v[i].key);
        struct bytes value = bytes_of_string(a->after.v[i].value);
        if (row_of(a, key) == NULL) { /* an unknown broker setting: as it is */
            if (settings_set(&checked, key, value) == 0)
                continue;
            fault_set(&a->fault, KAFKA_UNKNOWN_SERVER_ERROR, "%s", error_text(E_NO_MEMORY));
        } else if (settings_check_value(&checked, scope_of(a), key, value, &a->fault)) {
            continue;
        } else if (a->fault.code == KAFKA_INVALID_CONFIG) {
            a->fault.code = code;
        }
        settings_clear(&checked);
        return false;
    }
    settings_clear(&a->after);
    a->after = checked;
    return true;
}

/* ── topics ── */

static bool check_topic(const struct control *c, struct alteration *a)
{
    char why[512];
    if (a->name.n == 0)
        return fault_set(&a->fault, KAFKA_INVALID_REQUEST,
                         "Default topic resources are not allowed.");
    if (topic_name_fault(a->name, why, sizeof why) != NULL)
        return fault_set(&a->fault, KAFKA_INVALID_TOPIC_EXCEPTION, "%s", why);
    for (uint32_t i = 0; i < a->after.n; i++)
        if (!settings_check_name(bytes_of_string(a->after.v[i].key), CONFIG_TOPIC, &a->fault))
            return false;
    if (!check_values(a, KAFKA_INVALID_CONFIG) ||
        !settings_check_together(&c->resolver, &a->after, &a->fault))
        return false;
    return state_topic_by_name(&c->state, a->name) != NULL ||
           fault_set(&a->fault, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                     "The topic '%.*s' does not exist.", (int)a->name.n, (const char *)a->name.ptr);
}

/* ── brokers ── */

static bool is_security(const struct config_row *row)
{
    return row->dynamic == CONFIG_PER_BROKER &&
           (strncmp(row->key, "ssl.", 4) == 0 || strncmp(row->key, "sasl.", 5) == 0);
}

/* Names of `after` that the rule is true for, as "[a, b]"; false when there is one. */
static bool check_none(struct alteration *a, bool (*is_wrong)(const struct config_row *row),
                       const char *sentence)
{
    char names[NAMES_TEXT_MAX] = "";
    for (uint32_t i = 0; i < a->after.n; i++) {
        const struct config_row *row = row_of(a, bytes_of_string(a->after.v[i].key));
        if (row != NULL && is_wrong(row))
            names_add(names, bytes_of_string(row->key));
    }
    return names[0] == 0 ||
           fault_set(&a->fault, KAFKA_INVALID_REQUEST, "%s: [%s]", sentence, names);
}

static bool is_fixed(const struct config_row *row)
{
    return row->dynamic == CONFIG_READ_ONLY;
}

static bool is_per_broker(const struct config_row *row)
{
    return row->dynamic == CONFIG_PER_BROKER;
}

/* Honoured, but only at the start. */
static bool is_fixed_here(const struct config_row *row)
{
    return row->dynamic == CONFIG_PER_BROKER && row->status == CONFIG_HONOURED &&
           strcmp(row->key, "cordoned.log.dirs") != 0;
}

static bool check_cordon(const struct control *c, struct alteration *a)
{
    const char *value = settings_get(&a->after, "cordoned.log.dirs");
    char why[1024];
    return value == NULL || cordon_check(c->config.config, value, why, sizeof why) ||
           fault_set(&a->fault, KAFKA_INVALID_REQUEST, "requirement failed: %s", why);
}

static bool check_refused(struct alteration *a)
{
    for (uint32_t i = 0; i < a->after.n; i++) {
        const char *value = a->after.v[i].value;
        const struct config_row *row = row_of(a, bytes_of_string(a->after.v[i].key));
        if (row == NULL || row->status != CONFIG_REFUSED)
            continue;
        if (row->default_value == NULL || strcmp(value, row->default_value) != 0)
            return fault_set(&a->fault, KAFKA_INVALID_CONFIG, "%s: %s", row->key, row->text);
    }
    return true;
}

/* KIP-966: with eligible leader replicas the minimum is the cluster's alone, and always there. */
static bool check_min_insync(const struct control *c, struct alteration *a)
{
    static const char key[] = "min.insync.replicas";
    const char *before = settings_get(a->before, key), *after = settings_get(&a->after, key);
    bool is_named = false;
    for (uint32_t i = 0; i < a->items_n; i++)
        is_named |= bytes_equal_string(a->items[i].key, key);
    if (state_feature(&c->state, "eligible.leader.replicas.version") == 0)
        return true;
    if (a->name.n > 0 && is_named)
        return fault_set(&a->fault, KAFKA_INVALID_CONFIG,
                         "Broker-level min.insync.replicas cannot be altered while ELR is "
                         "enabled.");
    return after != NULL || (before == NULL && !is_named) || a->name.n > 0 ||
           fault_set(&a->fault, KAFKA_INVALID_CONFIG,
                     "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.");
}

static bool check_broker(const struct control *c, struct alteration *a)
{
    static const char fixed[] = "Cannot update these configs dynamically";
    return check_none(a, is_fixed, fixed) &&
           check_none(a, is_security,
                      "These security configs can be dynamically updated only per-listener using "
                      "the listener prefix") &&
           check_values(a, KAFKA_INVALID_REQUEST) &&
           (a->name.n > 0 || check_none(a, is_per_broker,
                                        "Cannot update these configs at default cluster level, "
                                        "broker id must be specified")) &&
           check_refused(a) && check_none(a, is_fixed_here, fixed) && check_cordon(c, a) &&
           check_min_insync(c, a);
}

/* ── groups ── */

static int64_t group_value(const struct control *c, const struct alteration *a, const char *key)
{
    char text[RESOLVE_TEXT_MAX];
    const struct config_row *row = config_row_find(CONFIG_GROUP, key);
    check(row != NULL);
    return strtoll(resolve_value(&c->resolver, &a->after, row, text), NULL, 10);
}

static bool check_bound(const struct control *c, struct alteration *a, const char *key,
                        const char *bound, bool is_min)
{
    if (bound == NULL)
        return true;
    int64_t value = group_value(c, a, key);
    int64_t limit = strtoll(resolve_broker(&c->resolver, bound), NULL, 10);
    return (is_min ? value >= limit : value <= limit) ||
           fault_set(&a->fault, KAFKA_INVALID_CONFIG, "%s must be %s than or equal to %s", key,
                     is_min ? "greater" : "less", bound);
}

static bool check_longer(const struct control *c, struct alteration *a, const char *session,
                         const char *heartbeat)
{
    return group_value(c, a, session) > group_value(c, a, heartbeat) ||
           fault_set(&a->fault, KAFKA_INVALID_CONFIG, "%s must be greater than %s", session,
                     heartbeat);
}

static bool check_group(const struct control *c, struct alteration *a)
{
    static const char *const bounds[][3] = {
#define BOUNDS(kind, name) {kind "." name, "group." kind ".min." name, "group." kind ".max." name}
        BOUNDS("consumer", "heartbeat.interval.ms"),
        BOUNDS("consumer", "session.timeout.ms"),
        BOUNDS("share", "heartbeat.interval.ms"),
        BOUNDS("share", "session.timeout.ms"),
        BOUNDS("share", "record.lock.duration.ms"),
        BOUNDS("share", "delivery.count.limit"),
        BOUNDS("share", "partition.max.record.locks"),
        BOUNDS("streams", "heartbeat.interval.ms"),
        BOUNDS("streams", "session.timeout.ms"),
        {"streams.num.standby.replicas", NULL, "group.streams.max.standby.replicas"},
        BOUNDS("consumer", "assignment.interval.ms"),
        BOUNDS("share", "assignment.interval.ms"),
        BOUNDS("streams", "assignment.interval.ms"),
#undef BOUNDS
    };
    if (a->name.n == 0)
        return fault_set(&a->fault, KAFKA_INVALID_REQUEST,
                         "Default group resources are not allowed.");
    for (uint32_t i = 0; i < a->after.n; i++)
        if (!settings_check_name(bytes_of_string(a->after.v[i].key), CONFIG_GROUP, &a->fault))
            return false;
    if (!check_values(a, KAFKA_INVALID_CONFIG))
        return false;
    for (uint32_t i = 0; i < array_n(bounds); i++)
        if (!check_bound(c, a, bounds[i][0], bounds[i][1], true) ||
            !check_bound(c, a, bounds[i][0], bounds[i][2], false))
            return false;
    return check_longer(c, a, "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms") &&
           check_longer(c, a, "share.session.timeout.ms", "share.heartbeat.interval.ms") &&
           check_longer(c, a, "streams.session.timeout.ms", "streams.heartbeat.interval.ms");
}

/* ── client metrics subscriptions ── */

static bool check_match(struct alteration *a, const char *list)
{
    for (const char *at = list; *at != 0;) {
        size_t n = strcspn(at, ",");
        if (!telemetry_match_is_legal(at, n))
            return fault_set(&a->fault, KAFKA_INVALID_CONFIG,
                             "Illegal client matching pattern: %.*s", (int)min_u64(n, 200), at);
        at += n + (at[n] == ',');
    }
    return true;
}

static bool check_client_metrics(struct alteration *a)
{
    enum { INTERVAL_MIN = 100, INTERVAL_MAX = 3600000 };
    if (a->name.n == 0)
        return fault_set(&a->fault, KAFKA_INVALID_REQUEST, "Subscription name can't be empty");
    for (uint32_t i = 0; i < a->after.n; i++)
        if (row_of(a, bytes_of_string(a->after.v[i].key)) == NULL)
            return fault_set(&a->fault, KAFKA_INVALID_REQUEST,
                             "Unknown client metrics configuration: %s", a->after.v[i].key);
    if (!check_values(a, KAFKA_INVALID_CONFIG))
        return false;
    const char *interval = settings_get(&a->after, "interval.ms");
    const char *match = settings_get(&a->after, "match");
    long ms = interval == NULL ? INTERVAL_MIN : strtol(interval, NULL, 10);
    if (ms < INTERVAL_MIN || ms > INTERVAL_MAX)
        return fault_set(&a->fault, KAFKA_INVALID_REQUEST,
                         "Invalid value %s for interval.ms, interval must be between 100 and "
                         "3600000 (1 hour)",
                         interval);
    return match == NULL || check_match(a, match);
}

bool alteration_run(const struct control *c, struct alteration *a)
{
    if (a->type == RESOURCE_BROKER_LOGGER)
        return true;
    if (!run_items(a))
        return false;
    switch (a->type) {
    case RESOURCE_TOPIC: return check_topic(c, a);
    case RESOURCE_BROKER: return check_broker(c, a);
    case RESOURCE_GROUP: return check_group(c, a);
    default: return check_client_metrics(a);
    }
}
