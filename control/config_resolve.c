/*
 * config_resolve.c - which value of a setting counts.
 *
 * Owner: control.
 *
 *   topic setting      its own value, else the broker setting that is its synonym, else its default
 *   broker setting     for this broker, else for all (both in the metadata log), else the file,
 *                      else its default
 *
 * Four broker settings of time are null by default and are then worked out from coarser ones:
 * log.retention.ms from minutes, then hours; log.roll.ms and log.roll.jitter.ms from hours;
 * log.flush.interval.ms from log.flush.scheduler.interval.ms. A retention below zero means for
 * ever.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "check.h"
#include "resolve.h"

void resolver_init(struct resolver *resolver, const struct config *config,
                   const struct state *state, int32_t node_id)
{
    *resolver = (struct resolver){.config = config, .state = state};
    snprintf(resolver->node, sizeof resolver->node, "%d", node_id);
}

/* The value a key has from one source; NULL when that source does not set it. */
static const char *value_from(const struct resolver *r, const char *key, int8_t source)
{
    const struct config_row *row;
    switch (source) {
    case SOURCE_DYNAMIC_BROKER:
        return settings_get(state_settings(r->state, RESOURCE_BROKER, bytes_of_string(r->node)),
                            key);
    case SOURCE_DYNAMIC_DEFAULT:
        return settings_get(state_settings(r->state, RESOURCE_BROKER, bytes_of("", 0)), key);
    case SOURCE_STATIC: return config_is_set(r->config, key) ? config_string(r->config, key) : NULL;
    default:
        row = config_row_find(CONFIG_BROKER, key);
        check(row != NULL);
        return row->default_value;
    }
}

static bool is_default_known(const char *key)
{
    /* These have no default in Apache Kafka: a file must set them; ours is shown as set by the
     * file. */
    return strcmp(key, "node.id") != 0 && strcmp(key, "process.roles") != 0 &&
           strcmp(key, "controller.listener.names") != 0;
}

uint32_t resolve_synonyms(const struct resolver *r, const struct config_row *row,
                          struct synonym *out)
{
    uint32_t n = 0;
    bool is_begun = false;
    const char *chain = row->synonyms[0] != 0 ? row->synonyms : row->key;
    for (int8_t source = SOURCE_DYNAMIC_BROKER; source <= SOURCE_DEFAULT; source++)
        for (const char *at = chain; *at != 0; at += strspn(at, ",")) {
            char key[128];
            size_t key_n = strcspn(at, ",");
            snprintf(key, sizeof key, "%.*s", (int)key_n, at);
            at += key_n;
            const struct config_row *of = config_row_find(CONFIG_BROKER, key);
            check(of != NULL);
            const char *value = value_from(r, of->key, source);
            is_begun |= value != NULL &&
                        of == row; /* what stands before the row's own name is not its value */
            if (value != NULL && is_begun && n < SYNONYMS_MAX) {
                bool is_given = source == SOURCE_DEFAULT && !is_default_known(of->key);
                out[n++] = (struct synonym){of->key, value, is_given ? SOURCE_STATIC : source};
                if (is_given && n > 1)
                    n--; /* the file has set it: there is no default to fall back to */
            }
        }
    return n;
}

const char *resolve_broker(const struct resolver *r, const char *key)
{
    for (int8_t source = SOURCE_DYNAMIC_BROKER; source <= SOURCE_DEFAULT; source++) {
        const char *value = value_from(r, key, source);
        if (value != NULL)
            return value;
    }
    return NULL;
}

/* `coarse` times `factor` milliseconds, or what the finer setting says. */
static const char *scaled(const struct resolver *r, const char *coarse, int64_t factor, char *text)
{
    const char *value = resolve_broker(r, coarse);
    if (value == NULL)
        return NULL;
    snprintf(text, RESOLVE_TEXT_MAX, "%" PRId64, (int64_t)strtoll(value, NULL, 10) * factor);
    return text;
}

static const char *resolve_time(const struct resolver *r, const char *key, char *text)
{
    static const struct {
        const char *key, *coarse;
        int64_t factor;
    } times[] = {
        {"log.retention.ms", "log.retention.minutes", 60000},
        {"log.retention.ms", "log.retention.hours", 3600000},
        {"log.roll.ms", "log.roll.hours", 3600000},
        {"log.roll.jitter.ms", "log.roll.jitter.hours", 3600000},
        {"log.flush.interval.ms", "log.flush.scheduler.interval.ms", 1},
    };
    const char *value = resolve_broker(r, key);
    for (uint32_t i = 0; value == NULL && i < array_n(times); i++)
        if (strcmp(times[i].key, key) == 0)
            value = scaled(r, times[i].coarse, times[i].factor, text);
    if (value != NULL && strcmp(key, "log.retention.ms") == 0 && value[0] == '-')
        return "-1";
    return value;
}

const char *resolve_value(const struct resolver *r, const struct settings *own,
                          const struct config_row *row, char text[RESOLVE_TEXT_MAX])
{
    const char *value = settings_get(own, row->key);
    if (value == NULL && row->synonyms[0] != 0)
        value = resolve_time(r, row->synonyms, text);
    return value != NULL ? value : row->default_value;
}

/* ── what storage honours ── */

struct topic_values {
    const struct resolver *resolver;
    const struct settings *own;
    char text[RESOLVE_TEXT_MAX];
};

static const char *topic_string(struct topic_values *v, const char *key)
{
    const struct config_row *row = config_row_find(CONFIG_TOPIC, key);
    check(row != NULL);
    const char *value = resolve_value(v->resolver, v->own, row, v->text);
    check(value != NULL);
    return value;
}

static int64_t topic_number(struct topic_values *v, const char *key)
{
    return strtoll(topic_string(v, key), NULL, 10);
}

static uint32_t topic_millionths(struct topic_values *v, const char *key)
{
    double part = strtod(topic_string(v, key), NULL);
    return part <= 0 ? 0 : part >= 1 ? 1000000 : (uint32_t)(part * 1000000);
}

static uint8_t codec_of(const char *word)
{
    static const char *const words[CODECS_N] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"};
    for (uint8_t i = 0; i < CODECS_N; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return CODEC_PRODUCER;
}

/* Kafka's default of lz4 is a number that stands for the fast compressor, not for that level. */
static int32_t codec_level_of(struct topic_values *v, uint8_t codec)
{
    enum { GZIP_DEFAULT = -1, LZ4_DEFAULT = 9 };
    int64_t level;
    switch (codec) {
    case CODEC_GZIP:
        level = topic_number(v, "compression.gzip.level");
        return level == GZIP_DEFAULT ? COMPRESS_LEVEL_DEFAULT : (int32_t)level;
    case CODEC_LZ4:
        level = topic_number(v, "compression.lz4.level");
        return level == LZ4_DEFAULT ? COMPRESS_LEVEL_DEFAULT : (int32_t)level;
    case CODEC_ZSTD: return (int32_t)topic_number(v, "compression.zstd.level");
    default: return COMPRESS_LEVEL_DEFAULT;
    }
}

void resolve_log_config(const struct resolver *resolver, const struct settings *own,
                        bool is_internal, struct log_config *out)
{
    struct topic_values v = {.resolver = resolver, .own = own};
    *out = (struct log_config){
        .segment_bytes = (uint64_t)topic_number(&v, "segment.bytes"),
        .segment_ms = topic_number(&v, "segment.ms"),
        .segment_jitter_ms = topic_number(&v, "segment.jitter.ms"),
        .segment_index_bytes = (uint32_t)topic_number(&v, "segment.index.bytes"),
        .index_interval_bytes = (uint32_t)topic_number(&v, "index.interval.bytes"),
        .max_message_bytes = (uint32_t)topic_number(&v, "max.message.bytes"),
        .retention_ms = topic_number(&v, "retention.ms"),
        .retention_bytes = topic_number(&v, "retention.bytes"),
        .file_delete_delay_ms = topic_number(&v, "file.delete.delay.ms"),
        .min_compaction_lag_ms = topic_number(&v, "min.compaction.lag.ms"),
        .max_compaction_lag_ms = topic_number(&v, "max.compaction.lag.ms"),
        .delete_retention_ms = topic_number(&v, "delete.retention.ms"),
        .min_dirty_millionths = topic_millionths(&v, "min.cleanable.dirty.ratio"),
        .flush_messages = topic_number(&v, "flush.messages"),
        .flush_ms = topic_number(&v, "flush.ms"),
        .timestamp_before_max_ms = topic_number(&v, "message.timestamp.before.max.ms"),
        .timestamp_after_max_ms = topic_number(&v, "message.timestamp.after.max.ms"),
        .is_log_append_time =
            strcmp(topic_string(&v, "message.timestamp.type"), "LogAppendTime") == 0,
        .preallocate = strcmp(topic_string(&v, "preallocate"), "true") == 0,
        .codec = codec_of(topic_string(&v, "compression.type")),
    };
    out->codec_level = codec_level_of(&v, out->codec);
    const char *policy = topic_string(&v, "cleanup.policy");
    out->is_compacted = strstr(policy, "compact") != NULL;
    out->is_deleted = strstr(policy, "delete") != NULL;
    bool is_relaxed =
        !is_internal && strcmp(topic_string(&v, "storage.durability"), "relaxed") == 0;
    out->durability = is_relaxed ? STORE_RELAXED : STORE_GROUP;
    const char *latency = topic_string(&v, "millrace.latency.class");
    out->latency = strcmp(latency, "critical") == 0 ? LATENCY_CRITICAL
                   : strcmp(latency, "bulk") == 0   ? LATENCY_BULK
                                                    : LATENCY_NORMAL;
}
