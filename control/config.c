/*
 * config.c - the settings of the process: the table, the file, the overrides, the effective values.
 *
 * Owner: main; immutable for others once it is given away.
 *
 * A value is kept as Kafka shows it (config_canonical), by row. node.id and broker.id stand for one
 * another: the one that is written sets the other as long as that is not written itself.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "check.h"
#include "config_props.h"

enum { CONFIG_FILE_MAX = 1 << 20, CONFIG_KEY_MAX = 128, CONFIG_NEAR_MAX = 3 };

#define NO_TLS  "TLS is not served yet, and a listener that needs it is refused."
#define NO_SASL "Authentication is not served yet, and a listener that needs it is refused."
#define NO_TOKENS \
    "Delegation tokens are not served, and the key that would switch them on is refused."
#define NO_TIERING "Tiered storage is not served, and switching it on is refused."
#define ONE_COORDINATOR \
    "Groups are coordinated by the control thread, and their batches leave at once."
#define BOTH_ASSIGNORS    "Both assignors of Kafka are always there; uniform is the default."
#define REGEX_REFRESH     "Expressions are matched again whenever a topic comes or goes."
#define NO_SHARE_GROUPS   "Share groups are not served yet."
#define NO_STREAMS_GROUPS "Streams groups are not served yet."
#define NO_TRANSACTIONS   "Transactions are not served yet."
#define NO_QUOTAS         "Quotas are not kept yet."
#define ONE_CONTROLLER    "The controller is a thread here: there is no quorum to talk to."
#define ONE_NODE          "There is one node: every partition has one replica, and it leads."
#define ONE_PROCESS       "Broker and controller are one process: they cannot lose contact."
#define CHECKPOINTS \
    "Nothing waits for checkpoints: recovery reads the logs, and a clean stop writes them."
#define METADATA_KEPT \
    "The newest snapshot of the metadata log and what follows it are kept, and nothing older."
#define METRICS    "Metrics are served over HTTP (admin.listeners), without reporters."
#define THREADS    "dataplane.workers says how many threads serve clients."
#define GZIP_LEVEL "The level where compression.type is gzip; -1: zlib's own."
#define LZ4_LEVEL  "The level where compression.type is lz4; 9: the fast compressor."
#define ZSTD_LEVEL "The level where compression.type is zstd."
#define CODEC_OF_TOPIC                                                                           \
    "producer: batches stay as their producer compressed them. Else those of another codec are " \
    "compressed anew, by the bulk thread, one after another."

enum { HONOURED = CONFIG_HONOURED, IGNORED = CONFIG_IGNORED, REFUSED = CONFIG_REFUSED };
enum { SENSITIVE = 1, HIDDEN = 2, RENEWED = 4 };

#define CONFIG_ROW(scope_, key_, type_, default_, dynamic_, status_, flags_, valid_, synonyms_, \
                   text_)                                                                       \
    {.key = key_,                                                                               \
     .scope = scope_,                                                                           \
     .type = CONFIG_##type_,                                                                    \
     .dynamic = CONFIG_##dynamic_,                                                              \
     .status = status_,                                                                         \
     .is_sensitive = ((flags_)&SENSITIVE) != 0,                                                 \
     .is_hidden = ((flags_)&HIDDEN) != 0,                                                       \
     .is_renewed = ((flags_)&RENEWED) != 0,                                                     \
     .default_value = default_,                                                                 \
     .valid = valid_,                                                                           \
     .synonyms = synonyms_,                                                                     \
     .text = text_},

#define CONFIG(...) CONFIG_ROW(CONFIG_BROKER, __VA_ARGS__)
static const struct config_row broker_rows[] = {
#define CONFIG_ROWS_BROKER
#include "config.def"
#undef CONFIG_ROWS_BROKER
};
#undef CONFIG
#define CONFIG(...) CONFIG_ROW(CONFIG_TOPIC, __VA_ARGS__)
static const struct config_row topic_rows[] = {
#define CONFIG_ROWS_TOPIC
#include "config.def"
#undef CONFIG_ROWS_TOPIC
};
#undef CONFIG
#define CONFIG(...) CONFIG_ROW(CONFIG_GROUP, __VA_ARGS__)
static const struct config_row group_rows[] = {
#define CONFIG_ROWS_GROUP
#include "config.def"
#undef CONFIG_ROWS_GROUP
};
#undef CONFIG
#define CONFIG(...) CONFIG_ROW(CONFIG_CLIENT_METRICS, __VA_ARGS__)
static const struct config_row client_metrics_rows[] = {
#define CONFIG_ROWS_CLIENT_METRICS
#include "config.def"
#undef CONFIG_ROWS_CLIENT_METRICS
};
#undef CONFIG

/* Owner: main, then control. */
struct config {
    struct config_value {
        char *text;      /* heap; NULL = the default */
        bool is_written; /* by the file or an override, not by its other name */
        bool is_override;
    } values[array_n(broker_rows)];
};

const struct config_row *config_rows(enum config_scope scope, uint32_t *n)
{
    switch (scope) {
    case CONFIG_BROKER: *n = array_n(broker_rows); return broker_rows;
    case CONFIG_TOPIC: *n = array_n(topic_rows); return topic_rows;
    case CONFIG_GROUP: *n = array_n(group_rows); return group_rows;
    case CONFIG_CLIENT_METRICS: *n = array_n(client_metrics_rows); return client_metrics_rows;
    }
    check(!"a scope");
    return NULL;
}

static int row_compare(const void *key, const void *row)
{
    return strcmp(key, ((const struct config_row *)row)->key);
}

const struct config_row *config_row_find(enum config_scope scope, const char *key)
{
    uint32_t n;
    const struct config_row *rows = config_rows(scope, &n);
    return bsearch(key, rows, n, sizeof rows[0], row_compare);
}

/* Levenshtein distance, given up (returns more) when it is beyond CONFIG_NEAR_MAX. */
static int key_distance(const char *a, size_t a_n, const char *b, size_t b_n)
{
    int line[CONFIG_KEY_MAX + 1];
    for (size_t j = 0; j <= b_n; j++)
        line[j] = (int)j;
    for (size_t i = 1; i <= a_n; i++) {
        int diagonal = line[0], least = (line[0] = (int)i);
        for (size_t j = 1; j <= b_n; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = line[j];
            int skip = (line[j - 1] < line[j] ? line[j - 1] : line[j]) + 1;
            line[j] = change < skip ? change : skip;
            least = line[j] < least ? line[j] : least;
        }
        if (least > CONFIG_NEAR_MAX)
            return least;
    }
    return line[b_n];
}

const char *config_nearest(enum config_scope scope, const char *key)
{
    uint32_t n;
    const struct config_row *rows = config_rows(scope, &n);
    size_t key_n = strlen(key);
    const char *nearest = NULL;
    int distance_min = CONFIG_NEAR_MAX + 1;
    for (uint32_t i = 0; i < n && key_n <= CONFIG_KEY_MAX; i++) {
        size_t row_n = strlen(rows[i].key);
        check(row_n <= CONFIG_KEY_MAX);
        if (row_n + CONFIG_NEAR_MAX < key_n || key_n + CONFIG_NEAR_MAX < row_n)
            continue;
        int distance = key_distance(key, key_n, rows[i].key, row_n);
        if (distance < distance_min) {
            distance_min = distance;
            nearest = rows[i].key;
        }
    }
    return nearest;
}

int config_new(struct config **out)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? E_NO_MEMORY : 0;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (uint32_t i = 0; i < array_n(config->values); i++)
        free(config->values[i].text);
    free(config);
}

static struct config_value *value_of(struct config *config, const struct config_row *row)
{
    return &config->values[row - broker_rows];
}

static int value_store(struct config_value *value, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return E_NO_MEMORY;
    free(value->text);
    value->text = copy;
    return 0;
}

/* Sets a checked value; an override stays when the file is read after it. */
static int value_set(struct config *config, const struct config_row *row, const char *text,
                     bool is_override)
{
    struct config_value *value = value_of(config, row);
    if (value->is_override && !is_override)
        return 0;
    int e = value_store(value, text);
    if (e < 0)
        return e;
    value->is_written = true;
    value->is_override = is_override;
    const char *twin = strcmp(row->key, "node.id") == 0     ? "broker.id"
                       : strcmp(row->key, "broker.id") == 0 ? "node.id"
                                                            : NULL;
    if (twin == NULL || strtol(text, NULL, 10) < 0)
        return 0;
    struct config_value *other = value_of(config, config_row_find(CONFIG_BROKER, twin));
    return other->is_written ? 0 : value_store(other, text);
}

/* Listener-prefixed names and the names of plug-ins are Kafka's, but nobody here reads them. */
static const char *prefixed_reason(const char *key)
{
    static const struct {
        const char *prefix, *reason;
    } prefixes[] = {
        {"listener.name.",
         "Settings of single listeners are for TLS and authentication, which are not served yet."},
        {"rsm.config.", NO_TIERING},
        {"rlmm.config.", NO_TIERING},
        {"zookeeper.", "There is no ZooKeeper in Kafka 4: remove it."},
    };
    for (uint32_t i = 0; i < array_n(prefixes); i++)
        if (strncmp(key, prefixes[i].prefix, strlen(prefixes[i].prefix)) == 0)
            return prefixes[i].reason;
    return NULL;
}

static bool text_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void report_unknown(const char *key, FILE *report)
{
    const char *reason = prefixed_reason(key);
    const char *near = reason == NULL ? config_nearest(CONFIG_BROKER, key) : NULL;
    if (reason != NULL)
        fprintf(report, "ignored: %s: %s\n", key, reason);
    else if (near != NULL)
        fprintf(report, "unknown setting: %s (did you mean %s?)\n", key, near);
    else
        fprintf(report, "unknown setting: %s\n", key);
}

/* One "key = value" of the file (line > 0) or an override (line 0). */
static int config_take(struct config *config, const char *key, const char *text, uint32_t line,
                       FILE *report)
{
    char canonical[CONFIG_VALUE_MAX], why[512], where[32] = "override";
    if (line > 0)
        snprintf(where, sizeof where, "line %u", line);
    const struct config_row *row = config_row_find(CONFIG_BROKER, key);
    if (row == NULL) {
        report_unknown(key, report);
        return 0;
    }
    int e = config_canonical(row, text, canonical, sizeof canonical, why, sizeof why);
    if (e < 0) {
        fprintf(report, "invalid: %s: %s\n", where, why);
        return e == E_NO_MEMORY ? e : E_INVALID;
    }
    if (row->status == CONFIG_REFUSED && canonical[0] != 0 &&
        !text_equal(canonical, row->default_value)) {
        fprintf(report, "refused: %s: %s: %s\n", where, key, row->text);
        return E_INVALID;
    }
    if (row->status == CONFIG_IGNORED && !text_equal(canonical, row->default_value))
        fprintf(report, "ignored: %s: %s\n", key, row->text);
    return value_set(config, row, canonical, line == 0);
}

static int config_read_text(struct config *config, char *text, size_t n, FILE *report)
{
    struct props props;
    char *key, *value;
    int e, error = 0;
    props_init(&props, text, n);
    while ((e = props_next(&props, &key, &value)) == 0) {
        e = config_take(config, key, value, props.line_key, report);
        if (e == E_NO_MEMORY)
            return e;
        if (e < 0)
            error = e; /* goes on: all that is wrong is told at once */
    }
    if (e != E_EOF) {
        fprintf(report, "invalid: line %u: a broken \\u escape or a zero byte\n", props.line_key);
        return E_INVALID;
    }
    return error;
}

static int error_of_open(int err)
{
    return err == ENOENT || err == ENOTDIR ? E_NOT_FOUND
           : err == EACCES || err == EPERM ? E_DENIED
                                           : E_INVALID;
}

int config_read_file(struct config *config, const char *path, FILE *report)
{
    errno = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        int err = errno;
        fprintf(report, "cannot read %s: %s\n", path, strerror(err));
        return error_of_open(err);
    }
    int e = E_NO_MEMORY;
    char *text = malloc(CONFIG_FILE_MAX + 1);
    if (text == NULL)
        goto out_close;
    size_t n = fread(text, 1, CONFIG_FILE_MAX + 1, file);
    e = E_INVALID;
    if (ferror(file))
        fprintf(report, "cannot read %s: it is not a readable file\n", path);
    else if (n > CONFIG_FILE_MAX)
        fprintf(report, "cannot read %s: it is larger than 1 MiB\n", path);
    else
        e = config_read_text(config, text, n, report);
    free(text);
out_close:
    fclose(file);
    return e;
}

int config_override(struct config *config, const char *assignment, FILE *report)
{
    char key[CONFIG_KEY_MAX + 1];
    const char *equals = strchr(assignment, '=');
    if (equals == NULL || equals == assignment || equals - assignment > CONFIG_KEY_MAX) {
        fprintf(report, "invalid: override: %s: it must be key=value\n", assignment);
        return E_INVALID;
    }
    memcpy(key, assignment, (size_t)(equals - assignment));
    key[equals - assignment] = 0;
    return config_take(config, key, equals + 1, 0, report);
}

static const struct config_row *row_must(const char *key)
{
    const struct config_row *row = config_row_find(CONFIG_BROKER, key);
    check(row != NULL);
    return row;
}

static const char *value_text(const struct config *config, const struct config_row *row)
{
    const char *text = config->values[row - broker_rows].text;
    return text != NULL ? text : row->default_value;
}

const char *config_string(const struct config *config, const char *key)
{
    return value_text(config, row_must(key));
}

int64_t config_int(const struct config *config, const char *key)
{
    const struct config_row *row = row_must(key);
    const char *text = value_text(config, row);
    check(row->type == CONFIG_INT || row->type == CONFIG_LONG || row->type == CONFIG_SHORT);
    check(text != NULL);
    return strtoll(text, NULL, 10);
}

bool config_bool(const struct config *config, const char *key)
{
    const struct config_row *row = row_must(key);
    check(row->type == CONFIG_BOOLEAN);
    return strcmp(value_text(config, row), "true") == 0;
}

bool config_is_set(const struct config *config, const char *key)
{
    return config->values[row_must(key) - broker_rows].text != NULL;
}

bool config_is_idle(const struct config *config, const struct config_row *row)
{
    return row->status == CONFIG_IGNORED && config->values[row - broker_rows].text != NULL;
}

/* May it change while the process runs? What has no effect may. */
static bool row_can_change(const struct config_row *row)
{
    return row->is_renewed || row->status == CONFIG_IGNORED || row->dynamic == CONFIG_CLUSTER_WIDE;
}

static const char *value_shown(const struct config_row *row, const struct config_value *value)
{
    const char *text = value->text != NULL ? value->text : row->default_value;
    return row->is_sensitive ? "(hidden)" : text == NULL ? "null" : text[0] == 0 ? "\"\"" : text;
}

/* `to` becomes what `from` is. */
static int value_copy(struct config_value *to, const struct config_value *from)
{
    char *text = NULL;
    if (from->text != NULL && (text = strdup(from->text)) == NULL)
        return E_NO_MEMORY;
    free(to->text);
    *to = *from;
    to->text = text;
    return 0;
}

int config_renew(struct config *next, const struct config *current, FILE *report)
{
    int changed_n = 0;
    for (uint32_t i = 0; i < array_n(broker_rows); i++) {
        const struct config_row *row = &broker_rows[i];
        const struct config_value *old = &current->values[i];
        struct config_value *new = &next->values[i];
        const char *was = value_shown(row, old), *is = value_shown(row, new);
        if (text_equal(old->text, new->text))
            continue;
        if (row_can_change(row)) {
            fprintf(report, "changed: %s: %s, was %s\n", row->key, is, was);
            changed_n++;
            continue;
        }
        fprintf(report, "needs a restart: %s: %s stays in force, the file has %s\n", row->key, was,
                is);
        if (value_copy(new, old) < 0)
            return E_NO_MEMORY;
    }
    return changed_n;
}

void config_report(const struct config *config, FILE *to)
{
    static const char *const words[] = {"honoured", "ignored", "refused"};
    for (uint32_t i = 0; i < array_n(broker_rows); i++) {
        const struct config_row *row = &broker_rows[i];
        const struct config_value *value = &config->values[i];
        if (!value->is_written)
            continue;
        fprintf(to, "%-8s  %s = %s", words[row->status], row->key,
                row->is_sensitive ? "(hidden)" : value->text);
        if (row->status != CONFIG_HONOURED)
            fprintf(to, "  (%s)", row->text);
        fputc('\n', to);
    }
}
