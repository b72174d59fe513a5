/*
 * config.h - the settings of the process: Kafka's names, defaults and rules, and ours, from one
 * table.
 *
 * Owner: main, which makes one anew when the file is read again (config_renew); immutable for
 * control, and for the metrics thread, which looks at that of the boot. Workers never look here:
 * what they need is copied at boot or stands in the view.
 *
 * config.def has one row per setting (broker and topic level) with type, default, valid range,
 * whether it can change at run time, and what millrace does with it: HONOURED, IGNORED (with the
 * reason) or REFUSED (a value other than the default stops the start, with the reason). Source:
 * DescribeConfigs of Apache Kafka 4.3.1.
 */
#ifndef MILLRACE_CONFIG_H
#define MILLRACE_CONFIG_H

#include <stdio.h>

#include "base.h"
#include "errors.h"
#include "listener.h"

enum config_type { /* the numbers of DescribeConfigs v3+ (ConfigDef.Type) */
                   CONFIG_UNKNOWN = 0,
                   CONFIG_BOOLEAN = 1,
                   CONFIG_STRING = 2,
                   CONFIG_INT = 3,
                   CONFIG_SHORT = 4,
                   CONFIG_LONG = 5,
                   CONFIG_DOUBLE = 6,
                   CONFIG_LIST = 7,
                   CONFIG_CLASS = 8,
                   CONFIG_PASSWORD = 9,
};
enum config_scope { CONFIG_BROKER, CONFIG_TOPIC, CONFIG_GROUP, CONFIG_CLIENT_METRICS };
enum config_status { CONFIG_HONOURED, CONFIG_IGNORED, CONFIG_REFUSED };
enum config_dynamic {
    CONFIG_READ_ONLY,
    CONFIG_PER_BROKER,
    CONFIG_CLUSTER_WIDE,
    CONFIG_PER_TOPIC,
    CONFIG_PER_GROUP,
    CONFIG_PER_SUBSCRIPTION,
};
enum { CONFIG_VALUE_MAX = 4096 }; /* bytes of one value in a file, with its end */

/* One row. Owner: immutable. */
struct config_row {
    const char *key;
    uint8_t scope, type, dynamic, status;
    bool is_sensitive; /* its value is never shown */
    bool is_hidden;    /* DescribeConfigs lists it only when it is set */
    bool is_renewed;   /* not dynamic in Apache Kafka, but acts when the file is read again */
    const char *default_value; /* NULL = null */
    const char
        *valid; /* "[1,...]", "[compact, delete]", "-" for anything; as the reference has it */
    const char *synonyms; /* topic, group: the broker setting that gives the default; broker: the
                             names that stand for one another, the strongest first; "" for none */
    const char *text;     /* one sentence; for IGNORED and REFUSED: why, and what to do */
};

/* All rows of a scope, sorted by key; *n set. */
const struct config_row *config_rows(enum config_scope scope, uint32_t *n);
const struct config_row *config_row_find(enum config_scope scope, const char *key);
/* Is `value` acceptable for the row? 0, or E_INVALID with Kafka's sentence in `why`. */
nodiscard int config_check_value(const struct config_row *row, const char *value, char *why,
                                 size_t why_n);
/* The same, and writes the value as Kafka shows it ("+5 " becomes "5"); `to` may be `value`.
 * E_TOO_LARGE when it does not fit. */
nodiscard int config_canonical(const struct config_row *row, const char *value, char *to,
                               size_t to_n, char *why, size_t why_n);
/* The known key nearest to a misspelt one (edit distance <= 3); NULL when none is near. */
const char *config_nearest(enum config_scope scope, const char *key);

struct config;
nodiscard int config_new(struct config **out);
void config_free(struct config *config);

/* Reads a server.properties (Java properties syntax: continuation lines, escapes, '#', '!').
 * Unknown keys and ignored settings are listed on `report` with one line each (nearest known name),
 * refused ones make it fail. E_NOT_FOUND, E_DENIED, E_INVALID. */
nodiscard int config_read_file(struct config *config, const char *path, FILE *report);
/* "key=value", as given with --override; it stands over the file. */
nodiscard int config_override(struct config *config, const char *assignment, FILE *report);

/* The file was read again, into `next`: what cannot change while `current` is in force stays as it
 * is there, the rest counts. One line for each difference on `report`. Returns how many settings
 * changed. E_NO_MEMORY: `next` is of no use. */
nodiscard int config_renew(struct config *next, const struct config *current, FILE *report);
/* Is the row's setting set, and without effect here? */
bool config_is_idle(const struct config *config, const struct config_row *row);

/* After the file and the overrides: rules between settings (node.id and broker.id, directories,
 * roles, voters, listeners). What breaks one is listed on `report`. E_INVALID. */
nodiscard int config_check(const struct config *config, FILE *report);
/* listeners, advertised.listeners and listener.security.protocol.map as structs; the controller's
 * are left out. `out` has LISTENERS_MAX. E_INVALID with one line in `why`. */
nodiscard int config_listeners(const struct config *config, struct listener *out, uint32_t *n,
                               char *why, size_t why_n);

/* The controller's listener, which is not opened but stands in the metadata log; false: there is
 * none. */
bool config_controller(const struct config *config, struct listener *out);

/* Effective values (file, override, or default). The key must exist and have that type: check()ed.
 */
const char *config_string(const struct config *config, const char *key); /* NULL = null */
int64_t config_int(const struct config *config, const char *key);        /* INT, SHORT, LONG */
bool config_bool(const struct config *config, const char *key);
/* True when the key was set by the file or an override (source STATIC_BROKER_CONFIG). */
bool config_is_set(const struct config *config, const char *key);
/* One line per setting that is set: honoured, ignored (why), refused. Printed at start. */
void config_report(const struct config *config, FILE *to);

#endif
