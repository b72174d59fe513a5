/*
 * settings_check.c - settings that a request brings, with the sentences of Kafka's LogConfig.
 *
 * Owner: the request.
 *
 * Lengths are bounded: a name that is longer than every known one is unknown, a value of
 * CONFIG_VALUE_MAX bytes and more is refused before it is looked at. So a setting of 1 MiB costs
 * nothing.
 */
#include "settings_check.h"

#include <stdlib.h>

enum { KEY_MAX = 128 };

static const struct config_row *row_of(struct bytes name, enum config_scope scope)
{
    char key[KEY_MAX];
    if (name.n == 0 || name.n >= sizeof key || memchr(name.ptr, 0, name.n) != NULL)
        return NULL;
    memcpy(key, name.ptr, name.n);
    key[name.n] = 0;
    return config_row_find(scope, key);
}

bool settings_check_name(struct bytes name, enum config_scope scope, struct fault *fault)
{
    static const char *const words[] = {"broker", "topic", "group", "client metrics"};
    if (row_of(name, scope) != NULL)
        return true;
    return fault_set(fault, KAFKA_INVALID_CONFIG, "Unknown %s config name: %.*s", words[scope],
                     (int)(name.n < 256 ? name.n : 256), name.n > 0 ? (const char *)name.ptr : "");
}

bool settings_check_value(struct settings *settings, enum config_scope scope, struct bytes name,
                          struct bytes value, struct fault *fault)
{
    char text[CONFIG_VALUE_MAX], why[512];
    const struct config_row *row = row_of(name, scope);
    if (value.n >= sizeof text - 32 || (value.n > 0 && memchr(value.ptr, 0, value.n) != NULL))
        return fault_set(fault, KAFKA_INVALID_CONFIG,
                         "Invalid value for configuration %s: longer than %d bytes, or "
                         "with a zero byte",
                         row->key, CONFIG_VALUE_MAX - 33);
    if (value.n > 0)
        memcpy(text, value.ptr, value.n);
    text[value.n] = 0;
    int e = config_canonical(row, text, text, sizeof text, why, sizeof why);
    if (e < 0)
        return fault_set(fault, KAFKA_INVALID_CONFIG, "%s", why);
    if (settings_set(settings, bytes_of_string(row->key), bytes_of_string(text)) < 0)
        return fault_set(fault, KAFKA_UNKNOWN_SERVER_ERROR, "%s", error_text(E_NO_MEMORY));
    return true;
}

static const char *value_of(const struct resolver *resolver, const struct settings *settings,
                            const char *key, char text[RESOLVE_TEXT_MAX])
{
    return resolve_value(resolver, settings, config_row_find(CONFIG_TOPIC, key), text);
}

bool settings_check_together(const struct resolver *resolver, const struct settings *settings,
                             struct fault *fault)
{
    char low_text[RESOLVE_TEXT_MAX], high_text[RESOLVE_TEXT_MAX];
    const char *low = value_of(resolver, settings, "min.compaction.lag.ms", low_text);
    const char *high = value_of(resolver, settings, "max.compaction.lag.ms", high_text);
    if (strtoll(low, NULL, 10) > strtoll(high, NULL, 10))
        return fault_set(
            fault, KAFKA_INVALID_CONFIG,
            "conflict topic config setting min.compaction.lag.ms (%s) > max.compaction.lag.ms (%s)",
            low, high);
    const char *remote = settings_get(settings, "remote.storage.enable");
    if (remote != NULL && strcmp(remote, "true") == 0)
        return fault_set(fault, KAFKA_INVALID_CONFIG,
                         "Tiered Storage functionality is disabled in the broker. Topic "
                         "cannot be configured with remote log storage.");
    return true;
}
