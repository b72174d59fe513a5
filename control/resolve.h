/*
 * resolve.h - which value of a setting counts: topic, broker (dynamic, dynamic default, file),
 * default.
 *
 * Owner: control.
 */
#ifndef MILLRACE_RESOLVE_H
#define MILLRACE_RESOLVE_H

#include "config.h"
#include "state.h"
#include "storage.h"

enum config_source { /* the numbers of DescribeConfigs */
                     SOURCE_TOPIC = 1,
                     SOURCE_DYNAMIC_BROKER = 2,
                     SOURCE_DYNAMIC_DEFAULT = 3,
                     SOURCE_STATIC = 4,
                     SOURCE_DEFAULT = 5,
                     SOURCE_CLIENT_METRICS = 7,
                     SOURCE_GROUP = 8,
};

enum { SYNONYMS_MAX = 16, RESOLVE_TEXT_MAX = 32 };

/* Owner: control. */
struct resolver {
    const struct config *config;
    const struct state *state;
    char node[16]; /* the number of this node, as text: the broker resource's name */
};

struct synonym {
    const char *name, *value;
    int8_t source;
};

void resolver_init(struct resolver *resolver, const struct config *config,
                   const struct state *state, int32_t node_id);

/* What stands behind a broker setting, the strongest first, beginning with its own name (Kafka's
 * order: dynamic for this broker, dynamic for all, file, default). Returns how many; at most
 * SYNONYMS_MAX. */
uint32_t resolve_synonyms(const struct resolver *resolver, const struct config_row *row,
                          struct synonym *out);

/* The effective value of a broker setting by its own name; NULL = null. */
const char *resolve_broker(const struct resolver *resolver, const char *key);
/* The effective value of a topic's or group's setting; `own` may be NULL (none are set). `text` is
 * room for a number that has to be worked out (log.retention.hours). */
const char *resolve_value(const struct resolver *resolver, const struct settings *own,
                          const struct config_row *row, char text[RESOLVE_TEXT_MAX]);
/* The settings of a topic that storage honours. */
void resolve_log_config(const struct resolver *resolver, const struct settings *own,
                        bool is_internal, struct log_config *out);

#endif
