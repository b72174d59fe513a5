/*
 * admin_cases.c - the requests that `sim --admin` cuts in two, and the state they meet.
 *
 * Owner: the simulator. What is one change follows Apache Kafka: its controller appends the records
 * of a CreateTopics, DeleteTopics, CreatePartitions or (Incremental)AlterConfigs request as one
 * atomic list, and its coordinator the offsets of an OffsetCommit; DeleteRecords, DeleteGroups and
 * AlterReplicaLogDirs go partition by partition, group by group. The offsets that groups have in a
 * deleted topic go behind the answer, as there, and never before the topic does.
 */
#include <stdio.h>

#include "admin.h"
#include "batch.h"
#include "check.h"
#include "messages.h"
#include "proto.h"

static struct bytes text(const char *s)
{
    return bytes_of_string(s);
}

/* ── the errors of answers ── */

#define FIRST_ERROR(list)                        \
    for (int32_t i_ = 0; i_ < r->list##_n; i_++) \
        if (r->list[i_].error_code != 0)         \
            return r->list[i_].error_code;
#define FIRST_PART_ERROR(list, parts)                          \
    for (int32_t i_ = 0; i_ < r->list##_n; i_++)               \
        for (int32_t j_ = 0; j_ < r->list[i_].parts##_n; j_++) \
            if (r->list[i_].parts[j_].error_code != 0)         \
                return r->list[i_].parts[j_].error_code;

#define ERROR_OF(name, body)                             \
    static int16_t error_of_##name(const void *response) \
    {                                                    \
        const struct name##_response *r = response;      \
        body;                                            \
        return 0;                                        \
    }

ERROR_OF(produce, FIRST_PART_ERROR(responses, partition_responses))
ERROR_OF(list_offsets, FIRST_PART_ERROR(topics, partitions))
ERROR_OF(offset_commit, FIRST_PART_ERROR(topics, partitions))
ERROR_OF(offset_fetch, FIRST_ERROR(groups))
ERROR_OF(find_coordinator, return r->error_code)
ERROR_OF(join_group, return r->error_code)
ERROR_OF(sync_group, return r->error_code)
ERROR_OF(describe_groups, FIRST_ERROR(groups))
ERROR_OF(create_topics, FIRST_ERROR(topics))
ERROR_OF(delete_topics, FIRST_ERROR(responses))
ERROR_OF(delete_records, FIRST_PART_ERROR(topics, partitions))
ERROR_OF(init_producer_id, return r->error_code)
ERROR_OF(alter_configs, FIRST_ERROR(responses))
ERROR_OF(alter_replica_log_dirs, FIRST_PART_ERROR(results, partitions))
ERROR_OF(create_partitions, FIRST_ERROR(results))
ERROR_OF(delete_groups, FIRST_ERROR(results))
ERROR_OF(incremental_alter_configs, FIRST_ERROR(responses))
ERROR_OF(offset_delete, if (r->error_code != 0) return r->error_code;
         FIRST_PART_ERROR(topics, partitions))
ERROR_OF(update_features, return r->error_code)
ERROR_OF(consumer_group_heartbeat, return r->error_code)

int16_t admin_error(int16_t api_key, const void *response)
{
    static const struct {
        int16_t api_key;
        int16_t (*of)(const void *response);
    } rows[] = {
        {0, error_of_produce},
        {2, error_of_list_offsets},
        {8, error_of_offset_commit},
        {9, error_of_offset_fetch},
        {10, error_of_find_coordinator},
        {11, error_of_join_group},
        {14, error_of_sync_group},
        {15, error_of_describe_groups},
        {19, error_of_create_topics},
        {20, error_of_delete_topics},
        {21, error_of_delete_records},
        {22, error_of_init_producer_id},
        {33, error_of_alter_configs},
        {34, error_of_alter_replica_log_dirs},
        {37, error_of_create_partitions},
        {42, error_of_delete_groups},
        {44, error_of_incremental_alter_configs},
        {47, error_of_offset_delete},
        {57, error_of_update_features},
        {68, error_of_consumer_group_heartbeat},
    };
    for (size_t i = 0; i < array_n(rows); i++)
        if (rows[i].api_key == api_key)
            return rows[i].of(response);
    return 0; /* what only reads is looked at by who asks */
}

/* ── topics ── */

static void topic_fill(struct admin *a, struct create_topics_request_topics *t, const char *name,
                       int32_t partitions_n)
{
    t->name = text(name);
    t->num_partitions = partitions_n;
    t->replication_factor = 1;
    t->configs = PROTO_NEW(&a->arena, create_topics_request_topics_configs, 2);
    t->configs_n = 2;
    t->configs[0].name = text("retention.ms");
    t->configs[0].value = text("86400000");
    t->configs[1].name = text("max.message.bytes");
    t->configs[1].value = text("200000");
}

static struct create_topics_request *create_n(struct admin *a, const char *const *names, int32_t n)
{
    struct create_topics_request *r = PROTO_NEW(&a->arena, create_topics_request, 1);
    r->topics = PROTO_NEW(&a->arena, create_topics_request_topics, n);
    r->topics_n = n;
    r->timeout_ms = 30000;
    for (int32_t i = 0; i < n; i++)
        topic_fill(a, &r->topics[i], names[i], i == 0 ? 2 : 1);
    return r;
}

static const void *request_create(struct admin *a)
{
    static const char *const names[] = {"new0", "new1", "new2"};
    return create_n(a, names, 3);
}

/* More than control makes in one turn (CONTROL_CHANGE_WORK), in two topics. */
static const void *request_create_wide(struct admin *a)
{
    static const char *const names[] = {"new0", "new1"};
    struct create_topics_request *r = create_n(a, names, 2);
    r->topics[0].num_partitions = 700;
    return r;
}

static const void *request_create_assigned(struct admin *a)
{
    static const char *const names[] = {"new0"};
    struct create_topics_request *r = create_n(a, names, 1);
    struct create_topics_request_topics *t = &r->topics[0];
    t->num_partitions = -1;
    t->replication_factor = -1;
    t->assignments = PROTO_NEW(&a->arena, create_topics_request_topics_assignments, 3);
    t->assignments_n = 3;
    for (int32_t p = 0; p < 3; p++) {
        t->assignments[p].partition_index = p;
        t->assignments[p].broker_ids = arena_alloc(&a->arena, sizeof(int32_t));
        t->assignments[p].broker_ids[0] = 1;
        t->assignments[p].broker_ids_n = 1;
    }
    return r;
}

static const void *request_delete(struct admin *a)
{
    struct delete_topics_request *r = PROTO_NEW(&a->arena, delete_topics_request, 1);
    r->topic_names = arena_alloc(&a->arena, 2 * sizeof *r->topic_names);
    r->topic_names[0] = text("a");
    r->topic_names[1] = text("b");
    r->topic_names_n = 2;
    r->timeout_ms = 30000;
    return r;
}

/* The logs are written back: they are files, not only runs of the journal. */
static bool prepare_settled(struct admin *a)
{
    uint64_t until_ns = a->sim->now.ns + 200 * NS_PER_MS;
    while (a->sim->now.ns < until_ns)
        if (!sim_step(a->sim))
            return false;
    return true;
}

static const void *request_partitions(struct admin *a)
{
    static const char *const names[] = {"a", "b"};
    struct create_partitions_request *r = PROTO_NEW(&a->arena, create_partitions_request, 1);
    r->topics = PROTO_NEW(&a->arena, create_partitions_request_topics, 2);
    r->topics_n = 2;
    r->timeout_ms = 30000;
    for (int32_t i = 0; i < 2; i++) {
        r->topics[i].name = text(names[i]);
        r->topics[i].count = 4 - i;
        r->topics[i].assignments_n = -1;
    }
    return r;
}

/* ── settings ── */

enum { RESOURCE_OF_TOPIC = 2, RESOURCE_OF_BROKER = 4, RESOURCE_OF_GROUP = 32 };

struct setting {
    int8_t type;
    const char *resource, *key, *value;
};

static const struct setting settings[] = {
    {RESOURCE_OF_TOPIC, "a", "retention.ms", "7200000"},
    {RESOURCE_OF_TOPIC, "b", "segment.bytes", "1048576"},
    {RESOURCE_OF_BROKER, "1", "log.retention.ms", "123456789"},
    {RESOURCE_OF_GROUP, "g", "consumer.session.timeout.ms", "50000"},
};

static const void *request_incremental(struct admin *a)
{
    int32_t n = (int32_t)array_n(settings);
    struct incremental_alter_configs_request *r =
        PROTO_NEW(&a->arena, incremental_alter_configs_request, 1);
    r->resources = PROTO_NEW(&a->arena, incremental_alter_configs_request_resources, n);
    r->resources_n = n;
    for (int32_t i = 0; i < n; i++) {
        struct incremental_alter_configs_request_resources *to = &r->resources[i];
        to->resource_type = settings[i].type;
        to->resource_name = text(settings[i].resource);
        to->configs = PROTO_NEW(&a->arena, incremental_alter_configs_request_resources_configs, 1);
        to->configs_n = 1;
        to->configs[0].name = text(settings[i].key);
        to->configs[0].value = text(settings[i].value);
    }
    return r;
}

static const void *request_alter(struct admin *a)
{
    struct alter_configs_request *r = PROTO_NEW(&a->arena, alter_configs_request, 1);
    r->resources = PROTO_NEW(&a->arena, alter_configs_request_resources, 2);
    r->resources_n = 2;
    for (int32_t i = 0; i < 2; i++) {
        struct alter_configs_request_resources *to = &r->resources[i];
        to->resource_type = settings[i].type;
        to->resource_name = text(settings[i].resource);
        to->configs = PROTO_NEW(&a->arena, alter_configs_request_resources_configs, 1);
        to->configs_n = 1;
        to->configs[0].name = text(settings[i].key);
        to->configs[0].value = text(settings[i].value);
    }
    return r;
}

static const void *request_features(struct admin *a)
{
    struct update_features_request *r = PROTO_NEW(&a->arena, update_features_request, 1);
    r->feature_updates = PROTO_NEW(&a->arena, update_features_request_feature_updates, 2);
    r->feature_updates_n = 2;
    r->timeout_ms = 30000;
    for (int i = 0; i < 2; i++) {
        r->feature_updates[i].feature = text(i == 0 ? "share.version" : "streams.version");
        r->feature_updates[i].max_version_level = 0;
        r->feature_updates[i].upgrade_type = 2; /* SAFE_DOWNGRADE */
    }
    return r;
}

/* ── logs ── */

static const void *request_delete_records(struct admin *a)
{
    struct delete_records_request *r = PROTO_NEW(&a->arena, delete_records_request, 1);
    r->topics = PROTO_NEW(&a->arena, delete_records_request_topics, 1);
    r->topics_n = 1;
    r->timeout_ms = 30000;
    r->topics[0].name = text("a");
    r->topics[0].partitions = PROTO_NEW(&a->arena, delete_records_request_topics_partitions, 2);
    r->topics[0].partitions_n = 2;
    for (int32_t p = 0; p < 2; p++) {
        r->topics[0].partitions[p].partition_index = p;
        r->topics[0].partitions[p].offset = 3 + p;
    }
    return r;
}

static const void *request_move(struct admin *a)
{
    static const char *const paths[] = {"/data2", "/data3"};
    struct alter_replica_log_dirs_request *r =
        PROTO_NEW(&a->arena, alter_replica_log_dirs_request, 1);
    r->dirs = PROTO_NEW(&a->arena, alter_replica_log_dirs_request_dirs, 2);
    r->dirs_n = 2;
    for (int32_t i = 0; i < 2; i++) {
        r->dirs[i].path = text(paths[i]);
        r->dirs[i].topics = PROTO_NEW(&a->arena, alter_replica_log_dirs_request_dirs_topics, 1);
        r->dirs[i].topics_n = 1;
        r->dirs[i].topics[0].name = text("a");
        r->dirs[i].topics[0].partitions = arena_alloc(&a->arena, sizeof(int32_t));
        r->dirs[i].topics[0].partitions[0] = i;
        r->dirs[i].topics[0].partitions_n = 1;
    }
    return r;
}

static const void *request_produce(struct admin *a)
{
    enum { RECORDS = 6, BYTES = 1024 };
    struct produce_request *r = PROTO_NEW(&a->arena, produce_request, 1);
    r->acks = -1;
    r->timeout_ms = 30000;
    r->topic_data = PROTO_NEW(&a->arena, produce_request_topic_data, 1);
    r->topic_data_n = 1;
    r->topic_data[0].name = text("a");
    r->topic_data[0].partition_data =
        PROTO_NEW(&a->arena, produce_request_topic_data_partition_data, 2);
    r->topic_data[0].partition_data_n = 2;
    for (int32_t p = 0; p < 2; p++) {
        struct batch_builder b;
        uint8_t *data = arena_alloc(&a->arena, BYTES);
        struct slice *slice = arena_alloc(&a->arena, sizeof *slice);
        batch_begin(&b, data, BYTES);
        for (int i = 0; i < RECORDS; i++)
            check(batch_add(&b, a->sim->now.wall_ms, text("key"), text("value")) == 0);
        *slice = (struct slice){data, batch_end(&b, 0, -1), NULL};
        r->topic_data[0].partition_data[p].index = p;
        r->topic_data[0].partition_data[p].records = (struct slices){slice, 1, slice->n};
    }
    return r;
}

static const void *request_producer_id(struct admin *a)
{
    struct init_producer_id_request *r = PROTO_NEW(&a->arena, init_producer_id_request, 1);
    r->transactional_id = (struct bytes){NULL, 0};
    r->transaction_timeout_ms = 60000;
    return r;
}

/* ── groups ── */

static struct offset_commit_request *commit_new(struct admin *a, const char *group, int64_t offset)
{
    struct offset_commit_request *r = PROTO_NEW(&a->arena, offset_commit_request, 1);
    r->group_id = text(group);
    r->generation_id_or_member_epoch = -1;
    r->topics = PROTO_NEW(&a->arena, offset_commit_request_topics, 1);
    r->topics_n = 1;
    r->topics[0].name = text("a");
    r->topics[0].partitions = PROTO_NEW(&a->arena, offset_commit_request_topics_partitions, 2);
    r->topics[0].partitions_n = 2;
    for (int32_t p = 0; p < 2; p++) {
        r->topics[0].partitions[p].partition_index = p;
        r->topics[0].partitions[p].committed_offset = offset + p;
        r->topics[0].partitions[p].committed_metadata = text("m");
    }
    return r;
}

static const void *setup_commit_g(struct admin *a)
{
    return commit_new(a, "g", 1);
}

static const void *setup_commit_h(struct admin *a)
{
    return commit_new(a, "h", 2);
}

static const void *request_commit(struct admin *a)
{
    return commit_new(a, "g", 4);
}

static const void *request_offset_delete(struct admin *a)
{
    struct offset_delete_request *r = PROTO_NEW(&a->arena, offset_delete_request, 1);
    r->group_id = text("g");
    r->topics = PROTO_NEW(&a->arena, offset_delete_request_topics, 1);
    r->topics_n = 1;
    r->topics[0].name = text("a");
    r->topics[0].partitions = PROTO_NEW(&a->arena, offset_delete_request_topics_partitions, 2);
    r->topics[0].partitions_n = 2;
    r->topics[0].partitions[1].partition_index = 1;
    return r;
}

static const void *request_delete_groups(struct admin *a)
{
    struct delete_groups_request *r = PROTO_NEW(&a->arena, delete_groups_request, 1);
    r->groups_names = arena_alloc(&a->arena, 2 * sizeof *r->groups_names);
    r->groups_names[0] = text("g");
    r->groups_names[1] = text("h");
    r->groups_names_n = 2;
    return r;
}

static const void *request_join(struct admin *a)
{
    struct join_group_request *r = PROTO_NEW(&a->arena, join_group_request, 1);
    r->group_id = text("g");
    r->session_timeout_ms = r->rebalance_timeout_ms = 30000;
    r->member_id = text("");
    r->group_instance_id = text("only");
    r->protocol_type = text("consumer");
    r->protocols = PROTO_NEW(&a->arena, join_group_request_protocols, 1);
    r->protocols_n = 1;
    r->protocols[0].name = text("range");
    r->protocols[0].metadata = bytes_of((const uint8_t *)"\0\1\0\0\0\1\0\1a\0\0\0\0", 13);
    return r;
}

static const void *request_sync(struct admin *a)
{
    struct sync_group_request *r = PROTO_NEW(&a->arena, sync_group_request, 1);
    r->group_id = text("g");
    r->generation_id = a->generation;
    r->member_id = text(a->member_id);
    r->group_instance_id = text("only");
    r->assignments = PROTO_NEW(&a->arena, sync_group_request_assignments, 1);
    r->assignments_n = 1;
    r->assignments[0].member_id = text(a->member_id);
    r->assignments[0].assignment = text("some partitions");
    return r;
}

static bool prepare_sync(struct admin *a)
{
    if (!admin_insist(a, 11, 5, request_join))
        return false;
    const struct join_group_response *r = a->response;
    snprintf(a->member_id, sizeof a->member_id, "%.*s", (int)r->member_id.n,
             (const char *)r->member_id.ptr);
    a->generation = r->generation_id;
    return true;
}

/* A member of a KIP-848 group that is new. */
static const void *request_beat(struct admin *a)
{
    struct consumer_group_heartbeat_request *r =
        PROTO_NEW(&a->arena, consumer_group_heartbeat_request, 1);
    r->group_id = text("next");
    r->member_id = text("AAAAAAAAAAAAAAAAAAAAAA");
    r->rebalance_timeout_ms = 30000;
    r->subscribed_topic_names = arena_alloc(&a->arena, sizeof *r->subscribed_topic_names);
    r->subscribed_topic_names[0] = text("a");
    r->subscribed_topic_names_n = 1;
    r->topic_partitions_n = 0;
    r->topic_partitions =
        PROTO_NEW(&a->arena, consumer_group_heartbeat_request_topic_partitions, 1);
    return r;
}

/* ── the state before ── */

static const void *setup_topics(struct admin *a)
{
    static const char *const names[] = {"a", "b", "c"};
    return create_n(a, names, 3);
}

static const void *setup_coordinator(struct admin *a)
{
    struct find_coordinator_request *r = PROTO_NEW(&a->arena, find_coordinator_request, 1);
    r->key = text("g");
    return r;
}

bool admin_setup(struct admin *a)
{
    return admin_insist(a, 19, 5, setup_topics) && admin_insist(a, 0, 7, request_produce) &&
           admin_insist(a, 10, 2, setup_coordinator) && admin_insist(a, 8, 6, setup_commit_g) &&
           admin_insist(a, 8, 6, setup_commit_h) && admin_insist(a, 22, 4, request_producer_id);
}

const struct admin_case admin_cases[] = {
    {"create-topics", 19, 5, ADMIN_WHOLE, NULL, request_create, NULL, 0},
    {"create-topics-wide", 19, 5, ADMIN_WHOLE, NULL, request_create_wide, NULL, 0},
    {"create-topic-assigned", 19, 5, ADMIN_WHOLE, NULL, request_create_assigned, NULL, 0},
    {"delete-topics", 20, 4, ADMIN_WHOLE, NULL, request_delete, "offsets of", 0},
    {"delete-written-topics", 20, 4, ADMIN_WHOLE, prepare_settled, request_delete, "offsets of", 0},
    {"create-partitions", 37, 1, ADMIN_WHOLE, NULL, request_partitions, NULL, 0},
    {"incremental-alter-configs", 44, 1, ADMIN_WHOLE, NULL, request_incremental, NULL, 0},
    {"alter-configs", 33, 1, ADMIN_WHOLE, NULL, request_alter, NULL, 0},
    {"update-features", 57, 1, ADMIN_WHOLE, NULL, request_features, NULL, 0},
    {"delete-records", 21, 1, ADMIN_LINES, NULL, request_delete_records, NULL, 0},
    {"alter-replica-log-dirs", 34, 1, ADMIN_LATER, NULL, request_move, NULL, 55},
    {"produce", 0, 7, ADMIN_LINES, NULL, request_produce, NULL, 0},
    {"init-producer-id", 22, 4, ADMIN_WHOLE, NULL, request_producer_id, NULL, 0},
    {"offset-commit", 8, 6, ADMIN_WHOLE, NULL, request_commit, NULL, 0},
    {"offset-delete", 47, 0, ADMIN_WHOLE, NULL, request_offset_delete, NULL, 0},
    {"delete-groups", 42, 1, ADMIN_LINES, NULL, request_delete_groups, NULL, 0},
    {"join-group", 11, 5, ADMIN_WHOLE, NULL, request_join, NULL, 0},
    {"sync-group", 14, 3, ADMIN_WHOLE, prepare_sync, request_sync, NULL, 0},
    {"consumer-group-heartbeat", 68, 0, ADMIN_WHOLE, NULL, request_beat, NULL, 0},
};
const uint32_t admin_cases_n = array_n(admin_cases);
