/*
 * cordon.c - log directories that get no new partitions (cordoned.log.dirs, KIP-1066).
 *
 * Owner: none (pure functions); dirs.c and bootstrap.c use them.
 *
 * The setting is a list of names as they stand in log.dirs, or "*" for all of them. It counts where
 * a directory is chosen: new topics, new partitions, moves between directories. What is in a
 * cordoned directory stays and is served. With all cordoned nothing is placed by us (Apache Kafka's
 * INVALID_REPLICATION_FACTOR), while a partition whose replicas the client names is still made:
 * that is the client's choice.
 *
 * The metadata log is told (BrokerRegistrationChange) at start and when the setting changes.
 */
#include "cordon.h"

#include <stdio.h>

#include "check.h"

static const char key[] = "cordoned.log.dirs";

/* The next name of a list, without the space around it. */
static struct bytes name_next(const char **list)
{
    const char *from = *list;
    size_t n = strcspn(from, ",");
    *list = from + n + (from[n] == ',');
    while (n > 0 && (*from == ' ' || *from == '\t')) {
        from++;
        n--;
    }
    while (n > 0 && (from[n - 1] == ' ' || from[n - 1] == '\t'))
        n--;
    return bytes_of(from, n);
}

static bool list_has(const char *list, struct bytes name)
{
    while (*list != 0)
        if (bytes_equal(name_next(&list), name))
            return true;
    return false;
}

bool cordon_check(const struct config *config, const char *value, char *why, size_t why_n)
{
    const char *dirs = config_string(config, "log.dirs");
    uint32_t n = 0, missing_n = 0;
    bool is_all = false;
    if (dirs == NULL)
        dirs = config_string(config, "log.dir");
    int at = snprintf(why, why_n,
                      "All entries in %s must be present in log.dirs or log.dir. "
                      "Missing entries : ",
                      key);
    check(at > 0 && (size_t)at < why_n);
    for (const char *list = value; *list != 0; n++) {
        struct bytes name = name_next(&list);
        if (bytes_equal_string(name, "*")) {
            is_all = true;
            continue;
        }
        if (list_has(dirs, name) || (size_t)at >= why_n)
            continue;
        at += snprintf(why + at, why_n - (size_t)at, "%s%.*s", missing_n++ > 0 ? ", " : "",
                       (int)min_u64(name.n, 256), (const char *)name.ptr);
    }
    if (is_all && n > 1) {
        snprintf(why, why_n, "When %s is set to *, it must not contain other values", key);
        return false;
    }
    return missing_n == 0;
}

/* Slashes behind a name do not count, as in log.dirs. */
static bool is_named(struct bytes name, const char *path)
{
    while (name.n > 1 && name.ptr[name.n - 1] == '/')
        name.n--;
    return bytes_equal_string(name, path);
}

uint64_t cordon_mask(const char *value, const struct log_dir *dirs, uint8_t dirs_n)
{
    uint64_t all = dirs_n >= 64 ? UINT64_MAX : (1ull << dirs_n) - 1, mask = 0;
    for (const char *list = value == NULL ? "" : value; *list != 0;) {
        struct bytes name = name_next(&list);
        if (bytes_equal_string(name, "*"))
            return all;
        for (uint8_t i = 0; i < dirs_n; i++)
            mask |= is_named(name, dirs[i].path) ? 1ull << i : 0;
    }
    return mask;
}
