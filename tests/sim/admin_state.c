/*
 * admin_state.c - what a client can see of a broker, as lines of text that can be compared.
 *
 * Owner: the simulator. Left out: what a start changes (leader epochs) and what is not a state (the
 * order of lists: lines come in the order of names that are asked for).
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "admin.h"
#include "check.h"
#include "messages.h"
#include "proto.h"

static const char *const topics[] = {"a", "b", "c", "new0", "new1", "new2"};
static const char *const groups[] = {"g", "h", "next"};

static void put(struct admin_state *to, const char *format, ...) printf_like(2, 3);

static void put(struct admin_state *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(to->text + to->n, sizeof to->text - to->n, format, args);
    va_end(args);
    check(n >= 0 && (uint32_t)n < sizeof to->text - to->n);
    to->n += (uint32_t)n;
}

#define TEXT(b) (int)(b).n, (b).ptr == NULL ? "" : (const char *)(b).ptr

static const void *ask_metadata(struct admin *a)
{
    struct metadata_request *r = PROTO_NEW(&a->arena, metadata_request, 1);
    r->topics = PROTO_NEW(&a->arena, metadata_request_topics, array_n(topics));
    r->topics_n = (int32_t)array_n(topics);
    for (size_t i = 0; i < array_n(topics); i++)
        r->topics[i].name = bytes_of_string(topics[i]);
    r->allow_auto_topic_creation = false;
    return r;
}

static bool look_topics(struct admin *a, struct admin_state *to)
{
    if (!admin_call(a, 3, 12, ask_metadata(a)))
        return false;
    const struct metadata_response *r = a->response;
    for (size_t i = 0; i < array_n(topics); i++) {
        for (int32_t t = 0; t < r->topics_n; t++) {
            const struct metadata_response_topics *topic = &r->topics[t];
            if (!bytes_equal_string(topic->name, topics[i]))
                continue;
            if (i == 0)
                a->topic_id = topic->topic_id;
            put(to, "topic %s: error %d, %d partitions,", topics[i], topic->error_code,
                topic->partitions_n);
            for (int32_t p = 0; p < topic->partitions_n; p++)
                put(to, " %d", topic->partitions[p].error_code);
            for (int b = 0; topic->error_code == 0 && b < 16; b++)
                put(to, "%s%02x", b == 0 ? " id " : "", topic->topic_id.b[b]);
            put(to, "\n");
        }
    }
    return true;
}

static const void *ask_offsets(struct admin *a, int64_t timestamp)
{
    enum { PARTITIONS = 4 };
    struct list_offsets_request *r = PROTO_NEW(&a->arena, list_offsets_request, 1);
    r->replica_id = -1;
    r->topics = PROTO_NEW(&a->arena, list_offsets_request_topics, array_n(topics));
    r->topics_n = (int32_t)array_n(topics);
    for (size_t i = 0; i < array_n(topics); i++) {
        struct list_offsets_request_topics *t = &r->topics[i];
        t->name = bytes_of_string(topics[i]);
        t->partitions = PROTO_NEW(&a->arena, list_offsets_request_topics_partitions, PARTITIONS);
        t->partitions_n = PARTITIONS;
        for (int32_t p = 0; p < PARTITIONS; p++) {
            t->partitions[p].partition_index = p;
            t->partitions[p].current_leader_epoch = -1;
            t->partitions[p].timestamp = timestamp;
        }
    }
    return r;
}

static bool look_offsets(struct admin *a, struct admin_state *to, int64_t timestamp)
{
    if (!admin_call(a, 2, 5, ask_offsets(a, timestamp)))
        return false;
    const struct list_offsets_response *r = a->response;
    for (int32_t t = 0; t < r->topics_n; t++)
        for (int32_t p = 0; p < r->topics[t].partitions_n; p++)
            put(to, "%s of %.*s-%d: %" PRId64 ", error %d\n", timestamp == -1 ? "end" : "start",
                TEXT(r->topics[t].name), r->topics[t].partitions[p].partition_index,
                r->topics[t].partitions[p].offset, r->topics[t].partitions[p].error_code);
    return true;
}

static const void *ask_configs(struct admin *a)
{
    int32_t n = (int32_t)array_n(topics) + 2;
    struct describe_configs_request *r = PROTO_NEW(&a->arena, describe_configs_request, 1);
    r->resources = PROTO_NEW(&a->arena, describe_configs_request_resources, n);
    r->resources_n = n;
    for (int32_t i = 0; i < n; i++) {
        bool is_topic = i < n - 2;
        r->resources[i].resource_type = is_topic ? 2 : i == n - 2 ? 4 : 32;
        r->resources[i].resource_name = bytes_of_string(is_topic     ? topics[i]
                                                        : i == n - 2 ? "1"
                                                                     : "g");
        r->resources[i].configuration_keys_n = -1;
    }
    return r;
}

static bool look_configs(struct admin *a, struct admin_state *to)
{
    enum { SOURCE_STATIC = 4, SOURCE_DEFAULT = 5 };
    if (!admin_call(a, 32, 2, ask_configs(a)))
        return false;
    const struct describe_configs_response *r = a->response;
    for (int32_t i = 0; i < r->results_n; i++) {
        const struct describe_configs_response_results *one = &r->results[i];
        put(to, "settings of %d %.*s: error %d", one->resource_type, TEXT(one->resource_name),
            one->error_code);
        for (int32_t k = 0; k < one->configs_n; k++)
            if (one->configs[k].config_source < SOURCE_STATIC)
                put(to, " %.*s=%.*s", TEXT(one->configs[k].name), TEXT(one->configs[k].value));
        put(to, "\n");
    }
    return true;
}

static const void *ask_commits(struct admin *a)
{
    struct offset_fetch_request *r = PROTO_NEW(&a->arena, offset_fetch_request, 1);
    r->groups = PROTO_NEW(&a->arena, offset_fetch_request_groups, array_n(groups));
    r->groups_n = (int32_t)array_n(groups);
    for (size_t i = 0; i < array_n(groups); i++) {
        r->groups[i].group_id = bytes_of_string(groups[i]);
        r->groups[i].topics_n = -1;
    }
    return r;
}

static bool look_commits(struct admin *a, struct admin_state *to)
{
    if (!admin_insist(a, 9, 8, ask_commits))
        return false;
    const struct offset_fetch_response *r = a->response;
    for (int32_t g = 0; g < r->groups_n; g++) {
        put(to, "offsets of %.*s: error %d", TEXT(r->groups[g].group_id), r->groups[g].error_code);
        for (int32_t want = 0; want < 2; want++)
            for (int32_t t = 0; t < r->groups[g].topics_n; t++)
                for (int32_t p = 0; p < r->groups[g].topics[t].partitions_n; p++)
                    if (r->groups[g].topics[t].partitions[p].partition_index == want)
                        put(to, " %.*s-%d=%" PRId64, TEXT(r->groups[g].topics[t].name), want,
                            r->groups[g].topics[t].partitions[p].committed_offset);
        put(to, "\n");
    }
    return true;
}

static const void *ask_groups(struct admin *a)
{
    struct describe_groups_request *r = PROTO_NEW(&a->arena, describe_groups_request, 1);
    r->groups = arena_alloc(&a->arena, sizeof groups / sizeof groups[0] * sizeof *r->groups);
    r->groups_n = (int32_t)array_n(groups);
    for (size_t i = 0; i < array_n(groups); i++)
        r->groups[i] = bytes_of_string(groups[i]);
    return r;
}

static bool look_groups(struct admin *a, struct admin_state *to)
{
    if (!admin_call(a, 15, 4, ask_groups(a)))
        return false;
    const struct describe_groups_response *r = a->response;
    for (int32_t g = 0; g < r->groups_n; g++) {
        const struct describe_groups_response_groups *one = &r->groups[g];
        put(to, "group %.*s: error %d, %.*s, %.*s, %.*s", TEXT(one->group_id), one->error_code,
            TEXT(one->group_state), TEXT(one->protocol_type), TEXT(one->protocol_data));
        for (int32_t m = 0; m < one->members_n; m++)
            put(to, " [%.*s %.*s]", TEXT(one->members[m].member_id),
                TEXT(one->members[m].member_assignment));
        put(to, "\n");
    }
    return true;
}

/* Which directory a partition of topic a is in: the name says it, whatever moves meanwhile. */
static bool look_dirs(struct admin *a, struct admin_state *to)
{
    struct describe_log_dirs_request *q = PROTO_NEW(&a->arena, describe_log_dirs_request, 1);
    q->topics_n = -1;
    if (!admin_call(a, 35, 1, q))
        return false;
    const struct describe_log_dirs_response *r = a->response;
    for (int32_t p = 0; p < 2; p++) {
        put(to, "a-%d is in", p);
        for (int32_t d = 0; d < r->results_n; d++)
            for (int32_t t = 0; t < r->results[d].topics_n; t++)
                for (int32_t i = 0; i < r->results[d].topics[t].partitions_n; i++)
                    if (bytes_equal_string(r->results[d].topics[t].name, "a") &&
                        r->results[d].topics[t].partitions[i].partition_index == p &&
                        !r->results[d].topics[t].partitions[i].is_future_key)
                        put(to, " %.*s", TEXT(r->results[d].log_dir));
        put(to, "\n");
    }
    return true;
}

static bool look_features(struct admin *a, struct admin_state *to)
{
    struct api_versions_request *q = PROTO_NEW(&a->arena, api_versions_request, 1);
    q->client_software_name = q->client_software_version = bytes_of_string("sim");
    if (!admin_call(a, 18, 3, q))
        return false;
    const struct api_versions_response *r = a->response;
    put(to, "features:");
    for (int32_t i = 0; i < r->finalized_features_n; i++)
        put(to, " %.*s=%d", TEXT(r->finalized_features[i].name),
            r->finalized_features[i].max_version_level);
    put(to, "\n");
    return true;
}

bool admin_look(struct admin *a, struct admin_state *to)
{
    to->n = 0;
    to->text[0] = 0;
    return look_topics(a, to) && look_offsets(a, to, -2) && look_offsets(a, to, -1) &&
           look_configs(a, to) && look_commits(a, to) && look_groups(a, to) && look_dirs(a, to) &&
           look_features(a, to);
}
