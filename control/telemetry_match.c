/*
 * telemetry_match.c - which subscriptions (client-metrics resources) a client falls under, and what
 * it is to push.
 *
 * Owner: control.
 *
 * A subscription has an interval, prefixes of metrics, and conditions: name=expression, all of
 * which must match an attribute of the client wholly (Java's patterns as far as RE2 has them). The
 * subscription id says what a client was told: CRC-32C of the sorted names and the interval, with
 * the client's id folded in, so that it changes when the answer would.
 */
#include <stdlib.h>

#include "check.h"
#include "crc.h"
#include "telemetry.h"

enum { INTERVAL_DEFAULT_MS = 300000 };

static const char *const attribute_names[ATTRIBUTES_N] = {
    "client_instance_id",    "client_id",         "client_software_name", "client_software_version",
    "client_source_address", "client_source_port"};

static void trim(const char **s, size_t *n)
{
    while (*n > 0 && (*s)[0] == ' ') {
        (*s)++;
        (*n)--;
    }
    while (*n > 0 && (*s)[*n - 1] == ' ')
        (*n)--;
}

/* "name=expression", one `=` in it. False: not of that form. */
static bool match_parse(const char *text, size_t n, uint8_t *attribute, struct bytes *expression)
{
    const char *is = memchr(text, '=', n);
    if (is == NULL || is + 1 == text + n ||
        memchr(is + 1, '=', (size_t)(text + n - is - 1)) != NULL)
        return false;
    const char *name = text, *value = is + 1;
    size_t name_n = (size_t)(is - text), value_n = (size_t)(text + n - value);
    trim(&name, &name_n);
    trim(&value, &value_n);
    *expression = bytes_of(value, (uint32_t)value_n);
    for (uint8_t i = 0; i < ATTRIBUTES_N; i++)
        if (strlen(attribute_names[i]) == name_n && memcmp(attribute_names[i], name, name_n) == 0) {
            *attribute = i;
            return true;
        }
    return false;
}

bool telemetry_match_is_legal(const char *text, size_t n)
{
    struct bytes expression;
    const char *why;
    uint8_t attribute;
    if (!match_parse(text, n, &attribute, &expression))
        return false;
    struct regex *regex = regex_new(expression, &why);
    bool is_legal = regex != NULL;
    regex_free(regex);
    return is_legal;
}

/* ── subscriptions ── */

void telemetry_forget(struct telemetry *t)
{
    for (uint32_t i = 0; i < t->subscriptions_n; i++)
        for (uint32_t k = 0; k < t->subscriptions[i].matches_n; k++)
            regex_free(t->subscriptions[i].matches[k].regex);
    t->subscriptions_n = 0;
}

/* A condition that cannot be read matches nobody: regex NULL. */
static void subscription_matches(struct telemetry_subscription *s, const char *list)
{
    for (const char *at = list; at != NULL && *at != 0 && s->matches_n < TELEMETRY_MATCHES_MAX;) {
        size_t n = strcspn(at, ",");
        struct bytes expression = {NULL, 0};
        const char *why;
        uint8_t attribute = 0;
        bool is_known = match_parse(at, n, &attribute, &expression);
        s->matches[s->matches_n].attribute = attribute;
        s->matches[s->matches_n++].regex = is_known ? regex_new(expression, &why) : NULL;
        at += n + (at[n] == ',');
    }
}

static int32_t interval_of(const struct settings *settings)
{
    const char *text = settings_get(settings, "interval.ms");
    return text == NULL ? INTERVAL_DEFAULT_MS : (int32_t)strtol(text, NULL, 10);
}

void telemetry_look(struct telemetry *t)
{
    const struct state *state = &t->control->state;
    if (t->version == state->telemetry_version + 1)
        return;
    telemetry_forget(t);
    for (uint32_t i = 0; i < state->resources_n; i++) {
        const struct resource *r = &state->resources[i];
        if (r->type != RESOURCE_CLIENT_METRICS || r->settings.n == 0 ||
            t->subscriptions_n == TELEMETRY_SUBSCRIPTIONS_MAX)
            continue;
        struct telemetry_subscription *s = &t->subscriptions[t->subscriptions_n++];
        const char *metrics = settings_get(&r->settings, "metrics");
        *s = (struct telemetry_subscription){.name = r->name,
                                             .metrics = metrics != NULL ? metrics : "",
                                             .interval_ms = interval_of(&r->settings)};
        subscription_matches(s, settings_get(&r->settings, "match"));
    }
    t->version = state->telemetry_version + 1;
}

/* ── a client ── */

static bool is_matched(const struct telemetry_subscription *s,
                       const struct telemetry_client *client)
{
    for (uint32_t i = 0; i < s->matches_n; i++) {
        const char *value = client->attributes[s->matches[i].attribute];
        if (value == NULL || s->matches[i].regex == NULL ||
            !regex_matches(s->matches[i].regex, bytes_of_string(value)))
            return false;
    }
    return true;
}

static int name_compare(const void *a, const void *b)
{
    const struct bytes *x = a, *y = b;
    int order = memcmp(x->ptr, y->ptr, min_u32(x->n, y->n));
    return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

static uint32_t names_add(struct bytes *names, uint32_t n, uint32_t max, const char *list)
{
    for (const char *at = list; *at != 0 && n < max;) {
        size_t part_n = strcspn(at, ","), shown_n = part_n;
        const char *part = at;
        trim(&part, &shown_n);
        if (shown_n > 0)
            names[n++] = bytes_of(part, (uint32_t)shown_n);
        at += part_n + (at[part_n] == ',');
    }
    return n;
}

/* Sorted, each once; "*" alone when it is among them. */
static uint32_t names_settle(struct bytes *names, uint32_t n)
{
    uint32_t out = 0;
    qsort(names, n, sizeof *names, name_compare);
    for (uint32_t i = 0; i < n; i++) {
        if (names[i].n == 1 && names[i].ptr[0] == '*') {
            names[0] = names[i];
            return 1;
        }
        if (out == 0 || name_compare(&names[out - 1], &names[i]) != 0)
            names[out++] = names[i];
    }
    return out;
}

static int32_t subscription_id(const struct telemetry_client *client, const struct bytes *names,
                               uint32_t n)
{
    char number[16];
    uint32_t crc = crc_more(CRC_INIT, "[", 1), id = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            crc = crc_more(crc, ", ", 2);
        crc = crc_more(crc, names[i].ptr, names[i].n);
    }
    int number_n = snprintf(number, sizeof number, "]%d", client->interval_ms);
    crc = crc_end(crc_more(crc, number, (uint64_t)number_n));
    for (int i = 0; i < 4; i++)
        id ^= load_u32(client->id.b + 4 * i);
    return (int32_t)(crc ^ id);
}

uint32_t telemetry_evaluate(struct telemetry *t, struct telemetry_client *client,
                            struct bytes *names, uint32_t names_max)
{
    uint32_t n = 0;
    telemetry_look(t);
    client->interval_ms = INTERVAL_DEFAULT_MS;
    for (uint32_t i = 0; i < t->subscriptions_n; i++) {
        const struct telemetry_subscription *s = &t->subscriptions[i];
        if (!is_matched(s, client))
            continue;
        n = names_add(names, n, names_max, s->metrics);
        client->interval_ms = (int32_t)min_i64(client->interval_ms, s->interval_ms);
    }
    n = names_settle(names, n);
    client->subscription_id = subscription_id(client, names, n);
    client->version = t->version;
    return n;
}
