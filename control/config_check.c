/*
 * config_check.c - is a value acceptable, and how does Kafka show it: types, ranges, words, rules
 * between settings.
 *
 * Owner: immutable (pure functions).
 *
 * The sentences are Apache Kafka's, because clients and people search for them:
 *
 *   Invalid value abc for configuration retention.ms: Not a number of type LONG
 *   Invalid value 1000 for configuration segment.bytes: Value must be at least 1048576
 *   Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>

#include "check.h"
#include "config.h"
#include "cordon.h"
#include "live.h"

static const char *const type_names[] = {"UNKNOWN", "BOOLEAN", "STRING", "INT",   "SHORT",
                                         "LONG",    "DOUBLE",  "LIST",   "CLASS", "PASSWORD"};

printf_like(5, 6) static int fault(const struct config_row *row, const char *value, char *why,
                                   size_t why_n, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(why, why_n, "Invalid value %s for configuration %s: %s", value, row->key, text);
    return E_INVALID;
}

static bool is_space(char c)
{
    return c > 0 && c <= ' '; /* what Java's String.trim takes away */
}

/* The value without white space around it. */
static void trim(const char **from, size_t *n)
{
    while (*n > 0 && is_space((*from)[0])) {
        (*from)++;
        (*n)--;
    }
    while (*n > 0 && is_space((*from)[*n - 1]))
        (*n)--;
}

/* Java's Integer.parseInt and friends: an optional sign and digits, nothing else. */
static bool parse_integer(const char *s, int64_t min, int64_t max, int64_t *out)
{
    const char *digits = s + (*s == '-' || *s == '+');
    if (*digits == 0 || strspn(digits, "0123456789") != strlen(digits))
        return false;
    errno = 0;
    *out = strtoll(s, NULL, 10);
    return errno == 0 && *out >= min && *out <= max;
}

static bool parse_double(const char *s, double *out)
{
    char *end;
    if (*s == 0 || strspn(s, "+-.0123456789eE") != strlen(s))
        return false;
    *out = strtod(s, &end);
    return *end == 0;
}

static int64_t type_min(uint8_t type)
{
    return type == CONFIG_SHORT ? INT16_MIN : type == CONFIG_INT ? INT32_MIN : INT64_MIN;
}

static int64_t type_max(uint8_t type)
{
    return type == CONFIG_SHORT ? INT16_MAX : type == CONFIG_INT ? INT32_MAX : INT64_MAX;
}

/* "a , b" becomes "a,b". */
static size_t list_canonical(char *s)
{
    size_t out = 0, n = strlen(s);
    for (size_t at = 0; at <= n;) {
        size_t item_n = strcspn(s + at, ",");
        const char *item = s + at;
        at += item_n + 1;
        trim(&item, &item_n);
        if (out > 0)
            s[out++] = ',';
        memmove(s + out, item, item_n);
        out += item_n;
        if (at > n)
            break;
    }
    s[out] = 0;
    return out;
}

/* Step 1: the type. `to` holds the trimmed value and becomes the canonical one. */
static int check_type(const struct config_row *row, const char *value, char *to, size_t to_n,
                      char *why, size_t why_n)
{
    int64_t number;
    double real;
    switch (row->type) {
    case CONFIG_BOOLEAN:
        if (strcasecmp(to, "true") != 0 && strcasecmp(to, "false") != 0)
            return fault(row, value, why, why_n, "Expected value to be either true or false");
        snprintf(to, to_n, "%s", strcasecmp(to, "true") == 0 ? "true" : "false");
        return 0;
    case CONFIG_INT:
    case CONFIG_SHORT:
    case CONFIG_LONG:
        if (!parse_integer(to, type_min(row->type), type_max(row->type), &number))
            return fault(row, value, why, why_n, "Not a number of type %s", type_names[row->type]);
        if (snprintf(to, to_n, "%lld", (long long)number) >= (int)to_n)
            return E_TOO_LARGE;
        return 0;
    case CONFIG_DOUBLE:
        return parse_double(to, &real)
                   ? 0
                   : fault(row, value, why, why_n, "Not a number of type DOUBLE");
    case CONFIG_LIST: list_canonical(to); return 0;
    default: return 0;
    }
}

/* "[1,...]", "[1,...,9]", "[1,...,9] or -1". */
static int check_range(const struct config_row *row, const char *value, char *why, size_t why_n)
{
    const char *bounds = row->valid + 1, *more = strstr(bounds, ",...,"),
               *other = strstr(bounds, "] or ");
    double v = strtod(value, NULL), min = strtod(bounds, NULL);
    double max = more != NULL ? strtod(more + 5, NULL) : 0;
    int min_n = (int)strcspn(bounds, ","), max_n = more != NULL ? (int)strcspn(more + 5, "]") : 0;
    if (other != NULL) {
        if (v == strtod(other + 5, NULL) || (v >= min && v <= max))
            return 0;
        return fault(row, value, why, why_n, "Value must be between %.*s and %.*s or equal to %s",
                     min_n, bounds, max_n, more + 5, other + 5);
    }
    if (v < min)
        return fault(row, value, why, why_n, "Value must be at least %.*s", min_n, bounds);
    if (more != NULL && v > max)
        return fault(row, value, why, why_n, "Value must be no more than %.*s", max_n, more + 5);
    return 0;
}

/* Is `item` one of the words of "[a, b, c]"? */
static bool is_word_of(const char *words, const char *item, size_t item_n, bool any_case)
{
    for (const char *at = words + 1; *at != 0 && *at != ']';) {
        size_t n = strcspn(at, ",]");
        if (n == item_n && (any_case ? strncasecmp(at, item, n) : strncmp(at, item, n)) == 0)
            return true;
        at += n;
        at += strspn(at, ", ");
    }
    return false;
}

static int check_words(const struct config_row *row, const char *value, char *why, size_t why_n)
{
    const char *words = strchr(row->valid, '[');
    bool any_case = row->valid[0] == '(';
    int words_n = (int)strcspn(words + 1, "]");
    if (row->type != CONFIG_LIST)
        return is_word_of(words, value, strlen(value), any_case)
                   ? 0
                   : fault(row, value, why, why_n, "String must be one of%s: %.*s",
                           any_case ? " (case insensitive)" : "", words_n, words + 1);
    for (const char *at = value; *value != 0;) {
        size_t n = strcspn(at, ",");
        if (!is_word_of(words, at, n, false)) {
            char item[128];
            snprintf(item, sizeof item, "%.*s", (int)n, at);
            return fault(row, item, why, why_n, "String must be one of: %.*s", words_n, words + 1);
        }
        if (at[n] == 0)
            break;
        at += n + 1;
    }
    return 0;
}

/* Kafka shows a list as [a, b]. */
static int throttled_fault(const struct config_row *row, const char *value, char *why, size_t why_n)
{
    char shown[256] = "[";
    size_t out = 1;
    for (; *value != 0 && out + 4 < sizeof shown; value++) {
        shown[out++] = *value;
        if (*value == ',')
            shown[out++] = ' ';
    }
    shown[out++] = ']';
    shown[out] = 0;
    return fault(row, shown, why, why_n,
                 "%s must be the literal '*' or a list of replicas in the following format: "
                 "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                 row->key);
}

/* "*", or "0:1,1:2": partition and broker numbers (ThrottledReplicaListValidator). */
static int check_throttled(const struct config_row *row, const char *value, char *why, size_t why_n)
{
    if (*value == 0 || strcmp(value, "*") == 0)
        return 0;
    for (const char *at = value; at != NULL;) {
        size_t partition_n = strspn(at, "0123456789");
        const char *colon = at + partition_n;
        size_t broker_n = *colon == ':' ? strspn(colon + 1, "0123456789") : 0;
        const char *end = colon + 1 + broker_n;
        if (partition_n == 0 || broker_n == 0 || (*end != ',' && *end != 0))
            return throttled_fault(row, value, why, why_n);
        at = *end == ',' && end[1] != 0 ? end + 1 : NULL; /* Java's split drops an empty end */
    }
    return 0;
}

static int check_overrides(const struct config_row *row, const char *value, char *why, size_t why_n)
{
    struct live_override overrides[LIVE_OVERRIDES_MAX];
    return live_overrides_parse(value, overrides) >= 0
               ? 0
               : fault(row, value, why, why_n,
                       "it must be address:number,address:number,..., at most %d, and host names "
                       "are not resolved",
                       LIVE_OVERRIDES_MAX);
}

/* Step 2: what the row allows. */
static int check_valid(const struct config_row *row, const char *value, char *why, size_t why_n)
{
    const char *valid = row->valid;
    if (strcmp(valid, "non-empty string") == 0)
        return *value != 0 ? 0 : fault(row, value, why, why_n, "String must be non-empty");
    if (strncmp(valid, "[partitionId]", 13) == 0)
        return check_throttled(row, value, why, why_n);
    if (strncmp(valid, "address:", 8) == 0)
        return check_overrides(row, value, why, why_n);
    if (strstr(valid, "by_duration:") != NULL && strncmp(value, "by_duration:P", 13) == 0)
        return 0;
    if (valid[0] == '[' && strstr(valid, ",...") != NULL)
        return check_range(row, value, why, why_n);
    return valid[0] == '[' || valid[0] == '(' ? check_words(row, value, why, why_n) : 0;
}

int config_canonical(const struct config_row *row, const char *value, char *to, size_t to_n,
                     char *why, size_t why_n)
{
    char shown[64];
    const char *from = value;
    size_t n = strlen(value);
    if (row->type != CONFIG_PASSWORD)
        trim(&from, &n);
    snprintf(shown, sizeof shown, "%s", row->is_sensitive ? "[hidden]" : value);
    if (n + 24 > to_n) { /* 24: the longest number */
        snprintf(why, why_n, "Invalid value %s... for configuration %s: longer than %zu bytes",
                 shown, row->key, to_n - 24);
        return E_TOO_LARGE;
    }
    memmove(to, from, n);
    to[n] = 0;
    int e = check_type(row, shown, to, to_n, why, why_n);
    return e < 0 ? e : check_valid(row, to, why, why_n);
}

int config_check_value(const struct config_row *row, const char *value, char *why, size_t why_n)
{
    char canonical[CONFIG_VALUE_MAX];
    int e = config_canonical(row, value, canonical, sizeof canonical, why, why_n);
    return e == E_TOO_LARGE ? E_INVALID : e;
}

/* ── rules between settings ── */

static bool list_has(const char *list, const char *word)
{
    size_t word_n = strlen(word);
    for (const char *at = list; *at != 0; at += strspn(at, ",")) {
        size_t n = strcspn(at, ",");
        if (n == word_n && memcmp(at, word, n) == 0)
            return true;
        at += n;
    }
    return false;
}

/* "1@localhost:9093": this node alone, or nothing. */
static bool voters_are_us(const struct config *config)
{
    const char *voters = config_string(config, "controller.quorum.voters");
    char *end;
    if (*voters == 0)
        return true;
    long id = strtol(voters, &end, 10);
    return end != voters && *end == '@' && strchr(voters, ',') == NULL &&
           id == config_int(config, "node.id");
}

/* The log directories: log.dirs, or log.dir. */
static const char *directory_of(const struct config *config)
{
    const char *dirs = config_string(config, "log.dirs");
    return dirs != NULL ? dirs : config_string(config, "log.dir");
}

static int check_directories(const struct config *config, FILE *report)
{
    int e = 0;
    const char *directory = directory_of(config),
               *metadata = config_string(config, "metadata.log.dir");
    if (*directory == 0) {
        fprintf(report, "refused: log.dirs is empty: name one directory or more\n");
        e = E_INVALID;
    }
    char why[1024];
    if (!cordon_check(config, config_string(config, "cordoned.log.dirs"), why, sizeof why)) {
        fprintf(report, "refused: %s\n", why);
        e = E_INVALID;
    }
    if (metadata != NULL && (*metadata == 0 || strchr(metadata, ',') != NULL)) {
        fprintf(report, "refused: metadata.log.dir = %s: it is one directory\n", metadata);
        e = E_INVALID;
    }
    return e;
}

static int check_roles(const struct config *config, FILE *report)
{
    int e = 0;
    const char *roles = config_string(config, "process.roles");
    if (!list_has(roles, "broker") || !list_has(roles, "controller")) {
        fprintf(report,
                "refused: process.roles = %s: this process is broker and controller, and cannot be "
                "one of "
                "them alone: broker,controller\n",
                roles);
        e = E_INVALID;
    }
    if (config_int(config, "broker.id") >= 0 &&
        config_int(config, "broker.id") != config_int(config, "node.id")) {
        fprintf(report, "invalid: broker.id and node.id differ\n");
        e = E_INVALID;
    }
    if (!voters_are_us(config)) {
        fprintf(report,
                "refused: controller.quorum.voters = %s: a quorum of other nodes cannot be joined; "
                "%lld@host:port, or unset\n",
                config_string(config, "controller.quorum.voters"),
                (long long)config_int(config, "node.id"));
        e = E_INVALID;
    }
    return e;
}

/* least <= value <= most, as Kafka demands of what groups take for their default. */
static int check_between(const struct config *config, const char *name, FILE *report)
{
    char least[64], value[64], most[64];
    snprintf(least, sizeof least, "group.consumer.min.%s", name);
    snprintf(value, sizeof value, "group.consumer.%s", name);
    snprintf(most, sizeof most, "group.consumer.max.%s", name);
    const char *const rules[][2] = {{most, least}, {value, least}, {most, value}};
    for (uint32_t i = 0; i < array_n(rules); i++)
        if (config_int(config, rules[i][0]) < config_int(config, rules[i][1])) {
            fprintf(report, "invalid: %s must be greater than or equal to %s\n", rules[i][0],
                    rules[i][1]);
            return E_INVALID;
        }
    return 0;
}

static int check_groups(const struct config *config, FILE *report)
{
    static const char *const names[] = {"session.timeout.ms", "heartbeat.interval.ms",
                                        "assignment.interval.ms"};
    int e = 0;
    for (uint32_t i = 0; i < array_n(names); i++)
        if (check_between(config, names[i], report) < 0)
            e = E_INVALID;
    if (config_int(config, "group.consumer.heartbeat.interval.ms") >=
        config_int(config, "group.consumer.session.timeout.ms")) {
        fprintf(report, "invalid: group.consumer.heartbeat.interval.ms must be less than "
                        "group.consumer.session.timeout.ms\n");
        e = E_INVALID;
    }
    return e;
}

int config_check(const struct config *config, FILE *report)
{
    uint32_t n;
    char why[512];
    struct listener *listeners = calloc(LISTENERS_MAX, sizeof *listeners);
    if (listeners == NULL)
        return E_NO_MEMORY;
    int e = check_roles(config, report);
    if (check_directories(config, report) < 0)
        e = E_INVALID;
    if (check_groups(config, report) < 0)
        e = E_INVALID;
    if (config_listeners(config, listeners, &n, why, sizeof why) < 0) {
        fprintf(report, "refused: %s\n", why);
        e = E_INVALID;
    }
    free(listeners);
    return e;
}
