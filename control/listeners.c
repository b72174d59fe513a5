/*
 * listeners.c - `listeners`, `advertised.listeners` and `listener.security.protocol.map` become
 * structs.
 *
 * Owner: immutable (a pure function of the settings; the host name is asked for when nothing is
 * advertised).
 *
 * Format: NAME://HOST:PORT, comma separated; HOST may be empty (all addresses), a name, an IPv4
 * address or an IPv6 address in brackets. Listeners named in controller.listener.names are left
 * out: the controller is a thread. A name that the map does not have stands for the protocol of
 * that name.
 */
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "check.h"
#include "config.h"

struct endpoint {
    char name[LISTENER_NAME_MAX];
    char host[256];
    uint16_t port;
};

static bool is_in_list(const char *list, const char *word)
{
    size_t word_n = strlen(word);
    for (const char *at = list; *at != 0; at += strspn(at, ",")) {
        size_t n = strcspn(at, ",");
        if (n == word_n && strncasecmp(at, word, n) == 0)
            return true;
        at += n;
    }
    return false;
}

/* One NAME://HOST:PORT of n bytes. */
static int endpoint_parse(const char *s, size_t n, struct endpoint *out)
{
    const char *slashes = memmem(s, n, "://", 3);
    if (slashes == NULL || slashes == s || slashes - s >= LISTENER_NAME_MAX)
        return E_INVALID;
    *out = (struct endpoint){.port = 0};
    for (const char *p = s; p < slashes; p++)
        out->name[p - s] = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
    const char *host = slashes + 3, *colon = memrchr(host, ':', (size_t)(s + n - host));
    if (colon == NULL)
        return E_INVALID;
    size_t port_n = (size_t)(s + n - colon - 1), host_n = (size_t)(colon - host);
    if (port_n == 0 || port_n > 5 || strspn(colon + 1, "0123456789") < port_n ||
        strtol(colon + 1, NULL, 10) > 65535)
        return E_INVALID;
    if (host_n >= 2 && host[0] == '[' && host[host_n - 1] == ']') {
        host++;
        host_n -= 2;
    }
    if (host_n >= sizeof out->host)
        return E_INVALID;
    memcpy(out->host, host, host_n);
    out->port = (uint16_t)strtol(colon + 1, NULL, 10);
    return 0;
}

static int endpoints_parse(const char *key, const char *list, struct endpoint *out, uint32_t *n,
                           char *why, size_t why_n)
{
    *n = 0;
    for (const char *at = list; *at != 0;) {
        size_t item_n = strcspn(at, ",");
        if (*n == LISTENERS_MAX) {
            snprintf(why, why_n, "%s: more than %d listeners", key, LISTENERS_MAX);
            return E_INVALID;
        }
        if (endpoint_parse(at, item_n, &out[*n]) < 0) {
            snprintf(why, why_n, "%s: %.*s: it must be NAME://HOST:PORT", key, (int)item_n, at);
            return E_INVALID;
        }
        for (uint32_t i = 0; i < *n; i++)
            if (strcmp(out[i].name, out[*n].name) == 0) {
                snprintf(why, why_n, "%s: each listener must have a different name: %s", key,
                         out[i].name);
                return E_INVALID;
            }
        (*n)++;
        at += item_n + (at[item_n] == ',');
    }
    return 0;
}

/* The protocol of a listener name, from NAME:PROTOCOL pairs; its own name when the map has none. */
static void protocol_of(const char *map, const char *name, char *to, size_t to_n)
{
    size_t name_n = strlen(name);
    snprintf(to, to_n, "%s", name);
    for (const char *at = map; *at != 0; at += strspn(at, ", ")) {
        size_t n = strcspn(at, ",");
        const char *colon = memchr(at, ':', n);
        if (colon != NULL && (size_t)(colon - at) == name_n && strncasecmp(at, name, name_n) == 0)
            snprintf(to, to_n, "%.*s", (int)(at + n - colon - 1), colon + 1);
        at += n;
    }
}

static int protocol_check(const struct config *config, const char *name, char *why, size_t why_n)
{
    char protocol[64];
    protocol_of(config_string(config, "listener.security.protocol.map"), name, protocol,
                sizeof protocol);
    if (strcasecmp(protocol, "PLAINTEXT") == 0)
        return 0;
    if (strcasecmp(protocol, "SSL") == 0 || strncasecmp(protocol, "SASL_", 5) == 0)
        snprintf(why, why_n,
                 "listener %s is %s: TLS and authentication are not served yet, only PLAINTEXT",
                 name, protocol);
    else
        snprintf(why, why_n, "No security protocol defined for listener %s", name);
    return E_INVALID;
}

/* What clients are told: the advertised endpoint of that name, else the listener's own, else this
 * host's name. */
static void advertise(struct listener *listener, const struct endpoint *advertised, uint32_t n)
{
    const char *host = listener->host;
    listener->advertised_port = listener->port;
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(advertised[i].name, listener->name) == 0) {
            host = advertised[i].host;
            listener->advertised_port = advertised[i].port;
        }
    snprintf(listener->advertised_host, sizeof listener->advertised_host, "%s", host);
    if (*host == 0 &&
        gethostname(listener->advertised_host, sizeof listener->advertised_host - 1) != 0)
        snprintf(listener->advertised_host, sizeof listener->advertised_host, "localhost");
}

static int advertised_check(const struct endpoint *advertised, uint32_t advertised_n,
                            const char *controllers, const struct listener *listeners, uint32_t n,
                            char *why, size_t why_n)
{
    for (uint32_t i = 0; i < advertised_n; i++) {
        bool is_known = is_in_list(controllers, advertised[i].name);
        for (uint32_t j = 0; j < n; j++)
            is_known |= strcmp(listeners[j].name, advertised[i].name) == 0;
        if (!is_known) {
            snprintf(why, why_n, "advertised.listeners: %s is not a listener", advertised[i].name);
            return E_INVALID;
        }
        if (strcmp(advertised[i].host, "0.0.0.0") == 0) {
            snprintf(
                why, why_n,
                "advertised.listeners: 0.0.0.0 cannot be advertised: nobody can connect to it");
            return E_INVALID;
        }
    }
    return 0;
}

/* Scratch of one call; too large for the stack. */
struct endpoints {
    struct endpoint own[LISTENERS_MAX], advertised[LISTENERS_MAX];
};

static int listeners_fill(const struct config *config, struct endpoints *scratch,
                          struct listener *out, uint32_t *n, char *why, size_t why_n)
{
    struct endpoint *endpoints = scratch->own, *advertised = scratch->advertised;
    uint32_t endpoints_n, advertised_n = 0;
    const char *controllers = config_string(config, "controller.listener.names");
    const char *advertised_list = config_string(config, "advertised.listeners");
    *n = 0;
    int e = endpoints_parse("listeners", config_string(config, "listeners"), endpoints,
                            &endpoints_n, why, why_n);
    if (e == 0)
        e = endpoints_parse("advertised.listeners", advertised_list != NULL ? advertised_list : "",
                            advertised, &advertised_n, why, why_n);
    for (uint32_t i = 0; e == 0 && i < endpoints_n; i++) {
        if (is_in_list(controllers, endpoints[i].name))
            continue;
        e = protocol_check(config, endpoints[i].name, why, why_n);
        struct listener *listener = &out[(*n)++];
        *listener = (struct listener){.port = endpoints[i].port};
        snprintf(listener->name, sizeof listener->name, "%s", endpoints[i].name);
        snprintf(listener->host, sizeof listener->host, "%s", endpoints[i].host);
        advertise(listener, advertised, advertised_n);
    }
    if (e == 0 && *n == 0) {
        snprintf(why, why_n, "listeners: there is none for clients");
        e = E_INVALID;
    }
    return e < 0 ? e : advertised_check(advertised, advertised_n, controllers, out, *n, why, why_n);
}

int config_listeners(const struct config *config, struct listener *out, uint32_t *n, char *why,
                     size_t why_n)
{
    struct endpoints *scratch = malloc(sizeof *scratch);
    if (scratch == NULL) {
        snprintf(why, why_n, "%s", error_text(E_NO_MEMORY));
        return E_NO_MEMORY;
    }
    int e = listeners_fill(config, scratch, out, n, why, why_n);
    free(scratch);
    return e;
}

bool config_controller(const struct config *config, struct listener *out)
{
    uint32_t n = 0, advertised_n = 0;
    char why[256];
    const char *names = config_string(config, "controller.listener.names");
    const char *list = config_string(config, "advertised.listeners");
    struct endpoints *scratch = malloc(sizeof *scratch);
    bool is_found = false;
    if (scratch == NULL)
        return false;
    if (endpoints_parse("listeners", config_string(config, "listeners"), scratch->own, &n, why,
                        sizeof why) < 0 ||
        endpoints_parse("advertised.listeners", list != NULL ? list : "", scratch->advertised,
                        &advertised_n, why, sizeof why) < 0)
        n = 0;
    for (uint32_t i = 0; i < n && !is_found; i++) {
        is_found = is_in_list(names, scratch->own[i].name);
        *out = (struct listener){.port = scratch->own[i].port};
        memcpy(out->name, scratch->own[i].name, sizeof out->name);
        memcpy(out->host, scratch->own[i].host, sizeof out->host);
        advertise(out, scratch->advertised, advertised_n);
    }
    free(scratch);
    return is_found;
}
