/*
 * bootstrap.c - the records that a start and an orderly stop write, the same that Apache Kafka
 * writes.
 *
 * Owner: control, while no other thread runs.
 *
 * Every start (disk-formats 16): LeaderChange (control batch, a new epoch); on an empty log the
 * bootstrap transaction with the feature levels; RegisterController; RegisterBroker (fenced, its
 * epoch is its own offset), unfenced behind it; then the partitions.
 *
 * Leader epochs: every partition of this node has the same one, control->leader_epoch, because a
 * store stamps one epoch into all its batches. It is raised at every start that finds a partition
 * without leader (as an orderly stop leaves them) and at every start that is not clean, durable
 * before the port opens (journal rule 9). A directory that comes from Apache Kafka has partitions
 * with different epochs: all are raised to one above the highest, which takes several changes for
 * some.
 *
 * Batches of a start are cut into BOOT_BATCH_N records: a start that is interrupted between two is
 * repeated whole by the next, which finds uneven epochs and evens them out.
 */
#include "check.h"
#include "control_inside.h"
#include "cordon.h"
#include "messages.h"

#include <stdlib.h>

enum {
    BOOT_BATCH_N = 1000,
    CONTROL_LEADER_CHANGE = 2,
    CONTROL_KRAFT_VERSION = 5,
    CONTROL_KRAFT_VOTERS = 6,
    EPOCH_STEPS_MAX = 64
};

/* What this program knows of each feature, and the level a new log begins with. */
static const struct feature features[] = {
    {"metadata.version", METADATA_VERSION_MAX, METADATA_VERSION_MIN, METADATA_VERSION_MAX},
    {"eligible.leader.replicas.version", 1, 0, 1},
    {"group.version", 1, 0, 1},
    {"share.version", 1, 0, 1},
    {"streams.version", 1, 0, 1},
    {"transaction.version", 2, 0, 2},
};

const struct feature *feature_find(struct bytes name)
{
    for (uint32_t i = 0; i < array_n(features); i++)
        if (bytes_equal_string(name, features[i].name))
            return &features[i];
    return NULL;
}

/* What a PARTITION_CHANGE says: we lead again, nobody does (what an orderly stop leaves), or the
 * partition is in another directory. */
enum change { CHANGE_LEADS, CHANGE_LEADERLESS, CHANGE_DIRECTORY };

/* Where the records of a start go. Owner: control. */
struct boot {
    struct control *control;
    struct metadata_log *log; /* NULL: through the store (orderly stop) */
    int64_t wall_ms;
};

static int16_t metadata_version(const struct control *c)
{
    return state_feature(&c->state, "metadata.version");
}

/* Record versions by metadata.version, as in Kafka's MetadataVersion.java. */
static int16_t partition_version(const struct control *c)
{
    bool has_elr = state_feature(&c->state, "eligible.leader.replicas.version") > 0;
    return has_elr ? 2 : metadata_version(c) >= METADATA_VERSION_LOG_DIRS ? 1 : 0;
}

static int16_t broker_version(const struct control *c)
{
    int16_t v = metadata_version(c);
    return v >= METADATA_VERSION_MAX ? 4 : v >= METADATA_VERSION_LOG_DIRS ? 3 : 1;
}

/* Ends the batch, writes it and applies it. */
static int boot_end(struct boot *b, bool is_control)
{
    struct control *c = b->control;
    if (b->log == NULL)
        return control_commit(c);
    int64_t n = records_end(&c->records, is_control, c->quorum_epoch, c->state.end_offset);
    if (n < 0)
        return (int)n;
    c->snapshot.bytes_since += (uint64_t)n;
    int e = metadata_log_append(b->log, c->records.buffer, (uint64_t)n);
    return e < 0 ? e : state_apply_batch(&c->state, c->records.buffer);
}

/* A dynamic quorum of this node alone: what `kafka-storage format --standalone` begins a log with.
 */
void bootstrap_add_voters(struct control *c)
{
    struct kraft_version_record version = {.kraft_version = 1};
    struct voters_record_voters_endpoints point = {bytes_of_string(c->controller.name),
                                                   bytes_of_string(c->controller.advertised_host),
                                                   c->controller.advertised_port};
    struct voters_record_voters voter = {.voter_id = c->node_id,
                                         .voter_directory_id = c->config.directory.directory_id,
                                         .endpoints = &point,
                                         .endpoints_n = 1,
                                         .kraft_version_feature = {0, 1}};
    struct voters_record voters = {.voters = &voter, .voters_n = 1};
    records_add_control(&c->records, CONTROL_KRAFT_VERSION, &proto_kraft_version_record, 0,
                        &version);
    records_add_control(&c->records, CONTROL_KRAFT_VOTERS, &proto_voters_record, 0, &voters);
}

/* Version 0 in a dynamic quorum too: Apache Kafka 4.3 reads no other. */
static int boot_leader_change(struct boot *b, bool is_dynamic)
{
    struct control *c = b->control;
    struct leader_change_message_voter voter = {c->node_id, c->config.directory.directory_id};
    struct leader_change_message message = {.leader_id = c->node_id,
                                            .voters = &voter,
                                            .voters_n = 1,
                                            .granting_voters = &voter,
                                            .granting_voters_n = 1};
    records_begin(&c->records, b->wall_ms);
    records_add_control(&c->records, CONTROL_LEADER_CHANGE, &proto_leader_change_message, 0,
                        &message);
    if (is_dynamic && c->state.end_offset == 0)
        bootstrap_add_voters(c);
    return boot_end(b, true);
}

static int boot_abort_transaction(struct boot *b)
{
    struct abort_transaction_record record = {
        .reason = bytes_of_string("the controller stopped within it")};
    records_begin(&b->control->records, b->wall_ms);
    records_add(&b->control->records, &proto_abort_transaction_record, 0, &record);
    return boot_end(b, false);
}

static int boot_first(struct boot *b)
{
    struct records *r = &b->control->records;
    struct begin_transaction_record begin = {.name = bytes_of_string("Bootstrap records")};
    struct end_transaction_record end = {0};
    struct config_record config = {.resource_type = RESOURCE_BROKER,
                                   .resource_name = bytes_of("", 0),
                                   .name = bytes_of_string("min.insync.replicas"),
                                   .value = bytes_of_string("1")};
    records_begin(r, b->wall_ms);
    records_add(r, &proto_begin_transaction_record, 0, &begin);
    for (uint32_t i = 0; i < array_n(features); i++) {
        struct feature_level_record level = {bytes_of_string(features[i].name), features[i].level};
        records_add(r, &proto_feature_level_record, 0, &level);
    }
    records_add(r, &proto_config_record, 0, &config);
    records_add(r, &proto_end_transaction_record, 0, &end);
    return boot_end(b, false);
}

static void add_controller(struct control *c)
{
    struct register_controller_record_features list[array_n(features)];
    for (uint32_t i = 0; i < array_n(features); i++)
        list[i] = (struct register_controller_record_features){bytes_of_string(features[i].name),
                                                               features[i].min, features[i].max};
    struct register_controller_record record = {.controller_id = c->node_id,
                                                .incarnation_id = c->incarnation,
                                                .features = list,
                                                .features_n = array_n(features)};
    records_add(&c->records, &proto_register_controller_record, 0, &record);
}

static int boot_register_controller(struct boot *b)
{
    if (metadata_version(b->control) < METADATA_VERSION_LOG_DIRS)
        return 0; /* logs older than 3.7 have no such record */
    records_begin(&b->control->records, b->wall_ms);
    add_controller(b->control);
    return boot_end(b, false);
}

static int uuid_compare(const void *a, const void *b)
{
    return memcmp(((const struct uuid *)a)->b, ((const struct uuid *)b)->b, sizeof(struct uuid));
}

/* The ids of the directories that are served, sorted. */
static int32_t online_dirs(const struct control *c, struct uuid *to)
{
    int32_t n = 0;
    for (uint8_t i = 0; i < c->config.dirs_n; i++)
        if (dir_is_usable(c, i))
            to[n++] = c->config.dirs[i].id;
    qsort(to, (size_t)n, sizeof *to, uuid_compare);
    return n;
}

/* Those of them that get no new partitions, sorted. */
static int32_t cordoned_dirs(const struct control *c, uint64_t mask, struct uuid *to)
{
    int32_t n = 0;
    for (uint8_t i = 0; i < c->config.dirs_n; i++)
        if ((mask >> i & 1) != 0 && dir_is_usable(c, i))
            to[n++] = c->config.dirs[i].id;
    qsort(to, (size_t)n, sizeof *to, uuid_compare);
    return n;
}

/* As it registers (fenced), or as it is, in a snapshot. */
static void add_broker(struct control *c, const struct broker *broker, bool is_snapshot)
{
    const char *rack = config_string(c->config.config, "broker.rack");
    struct register_broker_record_features list[array_n(features)];
    struct register_broker_record_end_points points[LISTENERS_MAX];
    for (uint32_t i = 0; i < array_n(features); i++)
        list[i] = (struct register_broker_record_features){bytes_of_string(features[i].name),
                                                           features[i].min, features[i].max};
    for (uint32_t i = 0; i < c->config.listeners_n; i++) {
        const struct listener *listener = &c->config.listeners[i];
        points[i] = (struct register_broker_record_end_points){
            bytes_of_string(listener->name), bytes_of_string(listener->advertised_host),
            listener->advertised_port, 0};
    }
    struct register_broker_record record = {
        .broker_id = broker->id,
        .incarnation_id = broker->incarnation,
        .broker_epoch = broker->epoch,
        .end_points = points,
        .end_points_n = (int32_t)c->config.listeners_n,
        .features = list,
        .features_n = array_n(features),
        .rack = bytes_of_string(rack),
        .fenced = broker->is_fenced,
        .in_controlled_shutdown = broker->in_shutdown,
        .cordoned_log_dirs_n = -1,
    };
    int16_t version = broker_version(c);
    struct uuid dirs[LOG_DIRS_MAX], cordoned[LOG_DIRS_MAX];
    if (is_snapshot && version >= 4) {
        record.cordoned_log_dirs = cordoned;
        record.cordoned_log_dirs_n = cordoned_dirs(c, dirs_cordoned(c), cordoned);
    }
    if (version >= 3) {
        record.log_dirs = dirs;
        record.log_dirs_n = online_dirs(c, dirs);
    }
    records_add(&c->records, &proto_register_broker_record, version, &record);
}

static int boot_register_broker(struct boot *b)
{
    struct control *c = b->control;
    struct broker broker = {c->node_id, c->state.end_offset, c->incarnation, true, false};
    records_begin(&c->records, b->wall_ms);
    add_broker(c, &broker, false);
    return boot_end(b, false);
}

void bootstrap_copy_node(struct control *c)
{
    if (metadata_version(c) >= METADATA_VERSION_LOG_DIRS)
        add_controller(c);
    add_broker(c, &c->state.brokers[0], true);
}

static int boot_broker_change(struct boot *b, int16_t version, int8_t fenced)
{
    struct control *c = b->control;
    const struct broker *broker = state_broker(&c->state, c->node_id);
    struct broker_registration_change_record record = {
        .broker_id = c->node_id,
        .broker_epoch = broker->epoch,
        .fenced = fenced,
        .cordoned_log_dirs_n = -1,
    };
    struct uuid cordoned[LOG_DIRS_MAX];
    if (version >= 3) {
        record.cordoned_log_dirs = cordoned;
        record.cordoned_log_dirs_n = cordoned_dirs(c, dirs_cordoned(c), cordoned);
    }
    records_begin(&c->records, b->wall_ms);
    records_add(&c->records, &proto_broker_registration_change_record, version, &record);
    return boot_end(b, false);
}

void bootstrap_add_cordoned(struct control *c, const char *value)
{
    const struct broker *broker = state_broker(&c->state, c->node_id);
    struct uuid cordoned[LOG_DIRS_MAX];
    if (broker_version(c) < 4)
        return;
    if (value == NULL) /* it is taken back: the file's counts */
        value = config_string(c->config.config, "cordoned.log.dirs");
    uint64_t mask = cordon_mask(value, c->config.dirs, c->config.dirs_n);
    struct broker_registration_change_record record = {
        .broker_id = c->node_id,
        .broker_epoch = broker->epoch,
        .cordoned_log_dirs = cordoned,
        .cordoned_log_dirs_n = cordoned_dirs(c, mask, cordoned),
    };
    records_add(&c->records, &proto_broker_registration_change_record, 3, &record);
}

/* ── partitions ── */

static bool has_replica(const struct control *c, const struct partition *p)
{
    for (uint16_t i = 0; i < p->replicas_n; i++)
        if (p->nodes[i] == c->node_id)
            return true;
    return false;
}

static void add_partition(struct control *c, const struct uuid *topic_id, int32_t partition,
                          const struct partition *p)
{
    int16_t version = partition_version(c);
    struct partition_record record = {
        .partition_id = partition,
        .topic_id = *topic_id,
        .replicas = &c->node_id,
        .replicas_n = 1,
        .isr = &c->node_id,
        .isr_n = 1,
        .leader = c->node_id,
        .leader_epoch = p->leader_epoch,
        .partition_epoch = p->partition_epoch,
        .leader_recovery_state = p->recovery,
        .eligible_leader_replicas_n = -1,
        .last_known_elr_n = -1,
    };
    struct uuid directory = p->directory;
    if (version >= 1) {
        record.directories = &directory;
        record.directories_n = 1;
    }
    records_add(&c->records, &proto_partition_record, version, &record);
}

void bootstrap_add_partition(struct control *c, const struct uuid *topic_id, int32_t partition)
{
    struct partition p = {.leader_epoch = c->leader_epoch};
    p.directory = c->config.dirs[dirs_choose(c)].id;
    add_partition(c, topic_id, partition, &p);
}

static void add_partition_change(struct control *c, const struct uuid *topic_id, int32_t partition,
                                 enum change change, const struct uuid *directory);

void bootstrap_add_directory(struct control *c, const struct uuid *topic_id, int32_t partition,
                             uint8_t dir)
{
    add_partition_change(c, topic_id, partition, CHANGE_DIRECTORY, &c->config.dirs[dir].id);
}

void bootstrap_copy_partition(struct control *c, const struct topic *topic, int32_t partition)
{
    add_partition(c, &topic->id, partition, &topic->partitions[partition]);
}

static void add_partition_change(struct control *c, const struct uuid *topic_id, int32_t partition,
                                 enum change change, const struct uuid *directory)
{
    static const int32_t leader_stays = -2;
    int16_t version = partition_version(c);
    bool leads = change == CHANGE_LEADS;
    struct partition_change_record record = {
        .partition_id = partition,
        .topic_id = *topic_id,
        .isr = &c->node_id,
        .isr_n = change == CHANGE_DIRECTORY ? -1
                 : leads                    ? 1
                                            : 0,
        .leader = change == CHANGE_DIRECTORY ? leader_stays
                  : leads                    ? c->node_id
                                             : -1,
        .replicas_n = -1,
        .removing_replicas_n = -1,
        .adding_replicas_n = -1,
        .leader_recovery_state = -1,
        .directories_n = -1,
        .eligible_leader_replicas_n = -1,
        .last_known_elr_n = -1,
    };
    struct uuid to = directory != NULL ? *directory : (struct uuid){{0}};
    if (change == CHANGE_DIRECTORY) {
        record.directories = &to;
        record.directories_n = 1;
    } else if (version >= 2) {
        record.eligible_leader_replicas = record.last_known_elr = &c->node_id;
        record.eligible_leader_replicas_n = record.last_known_elr_n = leads ? 0 : 1;
    }
    records_add(&c->records, &proto_partition_change_record, version, &record);
}

/* The highest leader epoch, and whether all partitions have it with us as leader. */
static int32_t epochs_look(const struct control *c, bool *is_even)
{
    int32_t highest = 0;
    uint64_t n = 0;
    *is_even = true;
    for (uint32_t i = 0; i < c->state.live_n; i++)
        for (int32_t p = 0; p < c->state.topics[i]->partitions_n; p++) {
            const struct partition *partition = &c->state.topics[i]->partitions[p];
            if (!has_replica(c, partition))
                continue;
            *is_even &=
                partition->leader == c->node_id && (n == 0 || partition->leader_epoch == highest);
            highest = (int32_t)max_i64(highest, partition->leader_epoch);
            n++;
        }
    return highest;
}

/* Raises one partition to `target`: as often as its epoch needs, or by a whole record when that is
 * far. */
static int raise_partition(struct boot *b, const struct topic *topic, int32_t number,
                           int32_t target)
{
    struct control *c = b->control;
    const struct partition *p = &topic->partitions[number];
    int32_t steps = target - p->leader_epoch;
    bool is_far = steps > EPOCH_STEPS_MAX && p->replicas_n == 1;
    if (p->leader == PARTITION_MISSING || !has_replica(c, p))
        return 0;
    for (int32_t i = 0; i < (is_far ? 1 : steps); i++) {
        if (is_far)
            add_partition(c, &topic->id, number,
                          &(struct partition){.leader_epoch = target, .directory = p->directory});
        else
            add_partition_change(c, &topic->id, number, CHANGE_LEADS, NULL);
        if (c->records.builder.records_n < BOOT_BATCH_N)
            continue;
        int e = boot_end(b, false);
        if (e < 0)
            return e;
        records_begin(&c->records, b->wall_ms);
    }
    return 0;
}

static int boot_partitions(struct boot *b)
{
    struct control *c = b->control;
    bool is_even;
    c->leader_epoch = epochs_look(c, &is_even);
    if (c->state.partitions_n == 0 || (c->config.is_clean && is_even))
        return 0;
    int32_t target = ++c->leader_epoch;
    records_begin(&c->records, b->wall_ms);
    for (uint32_t i = 0; i < c->state.live_n; i++)
        for (int32_t p = 0; p < c->state.topics[i]->partitions_n; p++) {
            int e = raise_partition(b, c->state.topics[i], p, target);
            if (e < 0)
                return e;
        }
    return c->records.builder.records_n > 0 || c->records.error < 0 ? boot_end(b, false) : 0;
}

int bootstrap_start(struct control *c, struct metadata_log *log, bool is_dynamic, int64_t wall_ms,
                    char *why, size_t why_n)
{
    struct boot b = {c, log, wall_ms};
    int e = state_settle(&c->state);
    if (e == 0)
        e = boot_leader_change(&b, is_dynamic);
    if (e == 0 && c->state.in_transaction)
        e = boot_abort_transaction(&b);
    if (e == 0 && metadata_version(c) == 0)
        e = boot_first(&b);
    if (e == 0)
        e = boot_register_controller(&b);
    if (e == 0)
        e = boot_register_broker(&b);
    if (e == 0)
        e = boot_broker_change(&b, 0, -1);
    if (e == 0)
        e = boot_partitions(&b);
    if (e == 0 && broker_version(c) >= 4)
        e = boot_broker_change(&b, 3, 0);
    if (e < 0)
        snprintf(why, why_n, "%s: the records of this start cannot be written: %s", log->directory,
                 error_text(e));
    return e;
}

int bootstrap_stop(struct control *c, struct now now)
{
    struct boot b = {c, NULL, now.wall_ms};
    const struct broker *broker = state_broker(&c->state, c->node_id);
    struct broker_registration_change_record record = {.broker_id = c->node_id,
                                                       .broker_epoch = broker->epoch,
                                                       .in_controlled_shutdown = 1,
                                                       .cordoned_log_dirs_n = -1};
    int e = state_settle(&c->state);
    records_begin(&c->records, now.wall_ms);
    records_add(&c->records, &proto_broker_registration_change_record, 1, &record);
    for (uint32_t i = 0; e == 0 && i < c->state.live_n; i++) {
        const struct topic *topic = c->state.topics[i];
        for (int32_t p = 0; e == 0 && p < topic->partitions_n; p++) {
            if (topic->partitions[p].leader != c->node_id)
                continue;
            if (c->records.builder.records_n == BOOT_BATCH_N) {
                e = boot_end(&b, false);
                records_begin(&c->records, now.wall_ms);
            }
            add_partition_change(c, &topic->id, p, CHANGE_LEADERLESS, NULL);
        }
    }
    if (e == 0)
        e = boot_end(&b, false);
    return e < 0 ? e : boot_broker_change(&b, 0, 1);
}
