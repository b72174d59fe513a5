/*
 * live.c - the broker settings that act on workers while the process runs.
 *
 * Owner: control; what it fills becomes part of a view, which is immutable.
 *
 * Each view carries them as they are in force when it is made: for this broker, for all brokers,
 * the file, the default (config_resolve.c). A worker that loads a new view takes its share.
 * Settings of topics are not here: they go to the logs (orders.c).
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "check.h"
#include "live.h"

static uint64_t live_number(const struct resolver *resolver, const char *key)
{
    const char *value = resolve_broker(resolver, key);
    check(value != NULL);
    int64_t n = strtoll(value, NULL, 10);
    return n > 0 ? (uint64_t)n : 0;
}

static double live_real(const struct resolver *resolver, const char *key)
{
    const char *value = resolve_broker(resolver, key);
    check(value != NULL);
    return strtod(value, NULL);
}

/* "10.0.0.1", "[fd00::1]", "fd00::1", "localhost". */
static bool address_parse(const char *text, size_t n, uint8_t ip[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char host[INET6_ADDRSTRLEN];
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    if (n == 0 || n >= sizeof host)
        return false;
    memcpy(host, text, n);
    host[n] = 0;
    if (inet_pton(AF_INET6, host, ip) == 1)
        return true;
    memcpy(ip, mapped, sizeof mapped);
    return inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, ip + 12) == 1;
}

static bool override_parse(const char *text, size_t n, struct live_override *out)
{
    size_t number_n = 0;
    while (number_n < n && text[n - 1 - number_n] >= '0' && text[n - 1 - number_n] <= '9')
        number_n++;
    if (number_n == 0 || number_n > 9 || number_n == n || text[n - 1 - number_n] != ':')
        return false;
    out->connections_max = (uint32_t)strtoul(text + n - number_n, NULL, 10);
    return address_parse(text, n - number_n - 1, out->ip);
}

int live_overrides_parse(const char *text, struct live_override out[LIVE_OVERRIDES_MAX])
{
    int n = 0;
    for (const char *at = text; *at != 0;) {
        size_t part_n = strcspn(at, ","), skip_n = strspn(at, " "), end_n = part_n;
        while (end_n > skip_n && at[end_n - 1] == ' ')
            end_n--;
        if (n == LIVE_OVERRIDES_MAX || end_n <= skip_n ||
            !override_parse(at + skip_n, end_n - skip_n, &out[n++]))
            return -1;
        at += part_n + (at[part_n] == ',');
    }
    return n;
}

void live_resolve(const struct resolver *resolver, struct live_settings *out)
{
    const char *overrides = resolve_broker(resolver, "max.connections.per.ip.overrides");
    int n = live_overrides_parse(overrides, out->overrides);
    out->connections_max = live_number(resolver, "max.connections");
    out->connections_per_ip_max = live_number(resolver, "max.connections.per.ip");
    out->overrides_n = n > 0 ? (uint32_t)n : 0; /* it was checked when it was set */
    out->store = (struct store_live){
        .producer_expiration_ms = (int64_t)live_number(resolver, "producer.id.expiration.ms"),
        .compact_map_bytes = live_number(resolver, "log.cleaner.dedupe.buffer.size"),
        .compact_load = live_real(resolver, "log.cleaner.io.buffer.load.factor"),
        .compact_bytes_per_s = live_real(resolver, "log.cleaner.io.max.bytes.per.second"),
        .compact_backoff_ns = live_number(resolver, "log.cleaner.backoff.ms") * NS_PER_MS,
    };
}
