/*
 * state_apply.c - what each record of the metadata log does to the state.
 *
 * Owner: control.
 *
 * A record's value is uvarint frame version (1), uvarint type, uvarint version, and the body in
 * Kafka's flexible encoding (disk-formats 15.2). Types are one row each in `handlers`; a row
 * without a function is a type that means nothing to one node (quotas, credentials, fencing of
 * others): it is counted and stays in the log. A type that Kafka 4.3 does not have may mean
 * anything, so it is an error.
 *
 * Records between BEGIN_TRANSACTION and END_TRANSACTION are held back as they are and applied at
 * the end; ABORT_TRANSACTION drops them.
 */
#include <stdlib.h>

#include "batch.h"
#include "check.h"
#include "control.h"
#include "messages.h"
#include "proto.h"
#include "state_tables.h"

enum {
    RECORD_FRAME_VERSION = 1,
    PARTITIONS_MAX =
        1 << 20, /* of one topic: a wild number in a damaged record must not take all memory */
    REPLICAS_MAX = 1 << 10,
    TYPE_BEGIN_TRANSACTION = 23,
    TYPE_END_TRANSACTION = 24,
    TYPE_ABORT_TRANSACTION = 25,
};

/* ── topics and partitions ── */

static int apply_topic(struct state *state, const void *record)
{
    const struct topic_record *r = record;
    char why[128];
    if (topic_name_fault(r->name, why, sizeof why) != NULL || uuid_is_zero(&r->topic_id) ||
        state_topic_by_name(state, r->name) != NULL ||
        state_topic_by_id(state, &r->topic_id) != NULL)
        return E_CORRUPT;
    return state_topic_add(state, r->name, &r->topic_id);
}

/* Room for partition number `number`; those between are missing until their records come. */
static struct partition *partition_make(struct state *state, struct topic *topic, int32_t number)
{
    if (number >= topic->partitions_max) {
        int32_t max = topic->partitions_max == 0 ? 1 : topic->partitions_max;
        while (max <= number)
            max *= 2;
        struct partition *more = realloc(topic->partitions, (size_t)max * sizeof *more);
        if (more == NULL)
            return NULL;
        topic->partitions = more;
        topic->partitions_max = max;
    }
    for (; topic->partitions_n <= number; topic->partitions_n++, state->partitions_n++)
        topic->partitions[topic->partitions_n] =
            (struct partition){.leader = PARTITION_MISSING, .dir = DIR_UNKNOWN};
    return &topic->partitions[number];
}

/* Replaces replicas and in-sync replicas; a null list keeps what was. */
static int partition_nodes(struct partition *p, const int32_t *replicas, int32_t replicas_n,
                           const int32_t *isr, int32_t isr_n)
{
    if (replicas_n < 0) {
        replicas = p->nodes;
        replicas_n = p->replicas_n;
    }
    if (isr_n < 0) {
        isr = p->nodes + p->replicas_n;
        isr_n = p->isr_n;
    }
    if (replicas_n > REPLICAS_MAX || isr_n > REPLICAS_MAX)
        return E_CORRUPT;
    int32_t *nodes = malloc((size_t)(replicas_n + isr_n + 1) * sizeof *nodes);
    if (nodes == NULL)
        return E_NO_MEMORY;
    if (replicas_n > 0)
        memcpy(nodes, replicas, (size_t)replicas_n * sizeof *nodes);
    if (isr_n > 0)
        memcpy(nodes + replicas_n, isr, (size_t)isr_n * sizeof *nodes);
    free(p->nodes);
    p->nodes = nodes;
    p->replicas_n = (uint16_t)replicas_n;
    p->isr_n = (uint16_t)isr_n;
    return 0;
}

/* Directories stand in the order of the replicas; this node's is kept. */
static void partition_directory(const struct state *state, struct partition *p,
                                const struct uuid *directories, int32_t n)
{
    for (int32_t i = 0; i < n && i < p->replicas_n; i++)
        if (p->nodes[i] == state->node_id || (state->node_id < 0 && i == 0)) {
            if (!uuid_equal(&p->directory, &directories[i]))
                p->dir = DIR_UNKNOWN;
            p->directory = directories[i];
        }
}

static int apply_partition(struct state *state, const void *record)
{
    const struct partition_record *r = record;
    struct topic *topic = state_topic_by_id(state, &r->topic_id);
    if (topic == NULL || r->partition_id < 0 || r->partition_id >= PARTITIONS_MAX ||
        r->replicas_n < 0 || r->isr_n < 0)
        return E_CORRUPT;
    struct partition *p = partition_make(state, topic, r->partition_id);
    if (p == NULL)
        return E_NO_MEMORY;
    int e = partition_nodes(p, r->replicas, r->replicas_n, r->isr, r->isr_n);
    if (e < 0)
        return e;
    partition_directory(state, p, r->directories, r->directories_n);
    p->leader = r->leader;
    p->leader_epoch = r->leader_epoch;
    p->partition_epoch = r->partition_epoch;
    p->recovery = r->leader_recovery_state;
    topic->is_changed = true;
    return 0;
}

/* Kafka's PartitionRegistration.merge: naming a leader, also the same one, raises the leader epoch.
 */
static int apply_partition_change(struct state *state, const void *record)
{
    const struct partition_change_record *r = record;
    struct topic *topic = state_topic_by_id(state, &r->topic_id);
    if (topic == NULL || r->partition_id < 0 || r->partition_id >= topic->partitions_n ||
        topic->partitions[r->partition_id].leader == PARTITION_MISSING)
        return E_CORRUPT;
    struct partition *p = &topic->partitions[r->partition_id];
    int e = partition_nodes(p, r->replicas, r->replicas_n, r->isr, r->isr_n);
    if (e < 0)
        return e;
    partition_directory(state, p, r->directories, r->directories_n);
    if (r->leader != -2) {
        p->leader = r->leader;
        p->leader_epoch++;
    }
    if (r->leader_recovery_state >= 0)
        p->recovery = r->leader_recovery_state;
    p->partition_epoch++;
    topic->is_changed = true;
    return 0;
}

static int apply_remove_topic(struct state *state, const void *record)
{
    const struct remove_topic_record *r = record;
    struct topic *topic = state_topic_by_id(state, &r->topic_id);
    if (topic == NULL)
        return E_CORRUPT;
    state_topic_remove(state, topic);
    return 0;
}

/* ── settings, features, producer ids ── */

static int apply_config(struct state *state, const void *record)
{
    const struct config_record *r = record;
    if (r->name.n == 0)
        return E_CORRUPT;
    if (r->resource_type == RESOURCE_TOPIC) {
        struct topic *topic = state_topic_by_name(state, r->resource_name);
        if (topic == NULL)
            return E_CORRUPT;
        topic->is_changed = true;
        return settings_set(&topic->settings, r->name, r->value);
    }
    struct resource *resource = state_resource_make(state, r->resource_type, r->resource_name);
    if (resource == NULL)
        return E_NO_MEMORY;
    if (r->resource_type == RESOURCE_BROKER)
        state->settings_version++;
    if (r->resource_type == RESOURCE_BROKER || r->resource_type == RESOURCE_GROUP)
        state->groups_version++;
    if (r->resource_type == RESOURCE_CLIENT_METRICS)
        state->telemetry_version++;
    return settings_set(&resource->settings, r->name, r->value);
}

static int apply_feature_level(struct state *state, const void *record)
{
    const struct feature_level_record *r = record;
    uint32_t at = 0;
    if (r->name.n == 0 || r->name.n >= STATE_NAME_MAX)
        return E_CORRUPT;
    if (bytes_equal_string(r->name, "metadata.version") &&
        (r->feature_level < METADATA_VERSION_MIN || r->feature_level > METADATA_VERSION_MAX))
        return E_UNSUPPORTED;
    while (at < state->features_n && !bytes_equal_string(r->name, state->features[at].name))
        at++;
    if (at == STATE_FEATURES_MAX)
        return E_UNSUPPORTED;
    if (at == state->features_n) {
        memcpy(state->features[at].name, r->name.ptr, r->name.n);
        state->features[at].name[r->name.n] = 0;
        state->features_n++;
    }
    state->features[at].level = r->feature_level;
    return 0;
}

static int apply_producer_ids(struct state *state, const void *record)
{
    const struct producer_ids_record *r = record;
    if (r->next_producer_id < state->next_producer_id)
        return E_CORRUPT;
    state->next_producer_id = r->next_producer_id;
    return 0;
}

/* ── brokers ── */

static int apply_register_broker(struct state *state, const void *record)
{
    const struct register_broker_record *r = record;
    struct broker *broker = state_broker_make(state, r->broker_id);
    if (broker == NULL)
        return E_NO_MEMORY;
    *broker = (struct broker){r->broker_id, r->broker_epoch, r->incarnation_id, r->fenced,
                              r->in_controlled_shutdown};
    return 0;
}

static int apply_broker_change(struct state *state, const void *record)
{
    const struct broker_registration_change_record *r = record;
    struct broker *broker = state_broker(state, r->broker_id);
    if (broker == NULL)
        return E_CORRUPT;
    if (r->fenced != 0)
        broker->is_fenced = r->fenced > 0;
    if (r->in_controlled_shutdown != 0)
        broker->in_shutdown = true;
    return 0;
}

static int apply_unregister_broker(struct state *state, const void *record)
{
    state_broker_remove(state, ((const struct unregister_broker_record *)record)->broker_id);
    return 0;
}

static int apply_fence_broker(struct state *state, const void *record)
{
    struct broker *broker = state_broker(state, ((const struct fence_broker_record *)record)->id);
    if (broker == NULL)
        return E_CORRUPT;
    broker->is_fenced = true;
    return 0;
}

static int apply_unfence_broker(struct state *state, const void *record)
{
    struct broker *broker = state_broker(state, ((const struct unfence_broker_record *)record)->id);
    if (broker == NULL)
        return E_CORRUPT;
    broker->is_fenced = false;
    return 0;
}

/* ── the table ── */

union any_record {
    struct register_broker_record register_broker;
    struct unregister_broker_record unregister_broker;
    struct topic_record topic;
    struct partition_record partition;
    struct config_record config;
    struct partition_change_record partition_change;
    struct fence_broker_record fence_broker;
    struct unfence_broker_record unfence_broker;
    struct remove_topic_record remove_topic;
    struct feature_level_record feature_level;
    struct producer_ids_record producer_ids;
    struct broker_registration_change_record broker_registration_change;
};

static int (*const handlers[])(struct state *state, const void *record) = {
    [0] = apply_register_broker, [1] = apply_unregister_broker,
    [2] = apply_topic,           [3] = apply_partition,
    [4] = apply_config,          [5] = apply_partition_change,
    [7] = apply_fence_broker,    [8] = apply_unfence_broker,
    [9] = apply_remove_topic,    [12] = apply_feature_level,
    [15] = apply_producer_ids,   [17] = apply_broker_change,
};

static int apply_decoded(struct state *state, uint32_t type, int16_t version, struct bytes body)
{
    struct arena arena;
    union any_record record;
    if (type >= array_n(handlers) || handlers[type] == NULL) {
        state->skipped_n++;
        state->unkept_n += type != 20 && type != 27 && type != 28; /* no-op, controller, ELR */
        return 0;
    }
    const struct proto_message *message = proto_metadata_record(type);
    check(message != NULL && message->size <= sizeof record);
    memset(&record, 0, sizeof record);
    arena_init(&arena, NULL, NULL, STATE_RECORD_ARENA_MAX);
    int e = proto_decode_flat(message, version, body, &arena, &record, NULL);
    if (e == 0)
        e = handlers[type](state, &record);
    arena_fini(&arena);
    return e == E_EOF ? E_MALFORMED : e;
}

/* ── transactions ── */

static int hold_record(struct state *state, struct bytes record)
{
    uint64_t n = state->held_n + 4 + record.n;
    if (n > state->held_max) {
        uint8_t *more = realloc(state->held, n * 2);
        if (more == NULL)
            return E_NO_MEMORY;
        state->held = more;
        state->held_max = n * 2;
    }
    store_u32(state->held + state->held_n, record.n);
    memcpy(state->held + state->held_n + 4, record.ptr, record.n);
    state->held_n = n;
    return 0;
}

static int apply_one(struct state *state, struct bytes record, bool is_held);

static int transaction_end(struct state *state, bool is_kept)
{
    int e = 0;
    for (uint64_t at = 0; e == 0 && is_kept && at < state->held_n;) {
        struct bytes record = bytes_of(state->held + at + 4, load_u32(state->held + at));
        at += 4 + record.n;
        e = apply_one(state, record, true);
    }
    free(state->held);
    state->held = NULL;
    state->held_n = state->held_max = 0;
    state->in_transaction = false;
    return e;
}

static int apply_transaction(struct state *state, uint32_t type)
{
    if (state->in_transaction == (type == TYPE_BEGIN_TRANSACTION))
        return E_CORRUPT;
    if (type != TYPE_BEGIN_TRANSACTION)
        return transaction_end(state, type == TYPE_END_TRANSACTION);
    state->in_transaction = true;
    return 0;
}

static int apply_one(struct state *state, struct bytes record, bool is_held)
{
    uint64_t head[3]; /* frame version, type, version */
    const uint8_t *at = record.ptr, *end = record.ptr + record.n;
    for (int i = 0; i < 3; i++) {
        int n = load_uvarint(at, end, 5, &head[i]);
        if (n <= 0)
            return E_MALFORMED;
        at += n;
    }
    if (head[0] != RECORD_FRAME_VERSION || head[1] > UINT32_MAX || head[2] > INT16_MAX ||
        proto_metadata_record((uint32_t)head[1]) == NULL)
        return E_UNSUPPORTED;
    uint32_t type = (uint32_t)head[1];
    if (type >= TYPE_BEGIN_TRANSACTION && type <= TYPE_ABORT_TRANSACTION)
        return is_held ? E_CORRUPT : apply_transaction(state, type);
    if (state->in_transaction && !is_held)
        return hold_record(state, record);
    return apply_decoded(state, type, (int16_t)head[2], bytes_of(at, (size_t)(end - at)));
}

int state_apply(struct state *state, struct bytes record)
{
    return record.n == 0 ? E_MALFORMED : apply_one(state, record, false);
}

int state_apply_batch(struct state *state, const uint8_t *from)
{
    uint32_t at = 0, records_n = UINT32_MAX;
    return state_apply_part(state, from, &at, &records_n);
}

int state_apply_part(struct state *state, const uint8_t *from, uint32_t *at, uint32_t *records_n)
{
    struct batch batch;
    struct record record;
    int e = batch_header(from, &batch);
    if (e < 0)
        return e;
    if (batch_codec(&batch) != CODEC_NONE)
        return E_UNSUPPORTED;
    struct bytes records = bytes_of(from + BATCH_HEADER, batch.bytes - BATCH_HEADER);
    while (!batch_is_control(&batch) && (e = record_next(records, at, &record)) == 0) {
        e = state_apply(state, record.value);
        if (e < 0)
            return e;
        if (--*records_n == 0 && *at < records.n)
            return E_AGAIN;
    }
    if (e < 0 && e != E_EOF)
        return e;
    state->end_offset = batch_last_offset(&batch) + 1;
    state->epoch = batch.leader_epoch;
    return 0;
}
