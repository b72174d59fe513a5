/*
 * snapshot.c - snapshots of the metadata log, and the end of what lies before them.
 *
 * Owner: control.
 *
 * When metadata.log.max.record.bytes.between.snapshots of records came since the last one, or
 * metadata.log.max.snapshot.interval.ms went by and there are some:
 *
 *   roll the log ──► write <offset>-<epoch>.checkpoint (files helper: tmp, fsync, rename, fsync of
 *   the directory) ──► the log's start moves to <offset>, durable; whole segments below it go
 *   ──► the snapshot before this one is unlinked
 *
 * Each step begins when the one before it is durable, so a crash leaves the old snapshot with all
 * records behind it, or the new one. A step that fails ends the attempt; the next one begins anew.
 *
 * The file has Apache Kafka's form (disk-formats 15.3): a control batch with the header (and in a
 * dynamic quorum KRaftVersion and KRaftVoters), batches of records, a control batch with the
 * footer; offsets begin at 0.
 *
 * A log with records that this program passes over (credentials, ACLs, quotas, tokens), with other
 * brokers or other replicas gets no snapshot: it would lose them. It is replayed whole, as before.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "control_inside.h"
#include "messages.h"

enum {
    CONTROL_SNAPSHOT_HEADER = 3,
    CONTROL_SNAPSHOT_FOOTER = 4,
    SNAPSHOT_BATCH_RECORDS = 1000,
    SNAPSHOT_BATCH_BYTES = 1 << 20, /* a record of settings is far smaller than what is left */
    SNAPSHOT_RETRY_MS = 60000,
    SNAPSHOT_LOOK_MS = 10,
};

/* ── building ── */

static bool snapshot_keeps_all(const struct control *c)
{
    const struct state *s = &c->state;
    if (s->unkept_n > 0 || s->in_transaction || s->brokers_n != 1 ||
        s->brokers[0].id != c->node_id || (c->is_dynamic && c->controller.name[0] == 0))
        return false;
    for (uint32_t i = 0; i < s->topics_n; i++)
        for (int32_t p = 0; !s->topics[i]->is_removed && p < s->topics[i]->partitions_n; p++) {
            const struct partition *partition = &s->topics[i]->partitions[p];
            if (partition->leader != c->node_id || partition->replicas_n != 1 ||
                partition->isr_n != 1 || partition->nodes[0] != c->node_id ||
                partition->nodes[1] != c->node_id)
                return false;
        }
    return true;
}

/* A file under construction. */
struct build {
    struct control *control;
    int64_t offset; /* of the next batch */
    int error;
};

static int build_room(struct snapshot *s, uint64_t n)
{
    if (s->bytes_max - s->bytes_n >= n)
        return 0;
    uint64_t max = (s->bytes_n + n) * 2;
    uint8_t *more = realloc(s->bytes, max);
    if (more == NULL)
        return E_NO_MEMORY;
    s->bytes = more;
    s->bytes_max = max;
    return 0;
}

/* Ends the batch and begins the next. */
static void build_batch(struct build *b, bool is_control)
{
    struct control *c = b->control;
    struct snapshot *s = &c->snapshot;
    uint32_t records_n = (uint32_t)c->records.builder.records_n;
    if (records_n == 0 && c->records.error == 0)
        return;
    int64_t n = records_end(&c->records, is_control, c->state.epoch, b->offset);
    if (n >= 0 && b->error == 0)
        b->error = build_room(s, (uint64_t)n);
    else if (n < 0)
        b->error = (int)n;
    if (b->error == 0) {
        memcpy(s->bytes + s->bytes_n, c->records.buffer, (size_t)n);
        s->bytes_n += (uint64_t)n;
        b->offset += records_n;
    }
    records_begin(&c->records, c->now.wall_ms);
}

static void build_next(struct build *b)
{
    const struct batch_builder *builder = &b->control->records.builder;
    if (builder->records_n >= SNAPSHOT_BATCH_RECORDS || builder->n >= SNAPSHOT_BATCH_BYTES)
        build_batch(b, false);
}

static void build_add(struct build *b, const struct proto_message *message, int16_t version,
                      const void *record)
{
    records_add(&b->control->records, message, version, record);
    build_next(b);
}

static void build_settings(struct build *b, int8_t type, struct bytes name,
                           const struct settings *settings)
{
    for (uint32_t i = 0; i < settings->n; i++) {
        struct config_record record = {type, name, bytes_of_string(settings->v[i].key),
                                       bytes_of_string(settings->v[i].value)};
        build_add(b, &proto_config_record, 0, &record);
    }
}

static void build_topic(struct build *b, const struct topic *topic)
{
    struct bytes name = bytes_of(topic->name, topic->name_n);
    struct topic_record record = {name, topic->id};
    build_add(b, &proto_topic_record, 0, &record);
    for (int32_t p = 0; p < topic->partitions_n; p++) {
        bootstrap_copy_partition(b->control, topic, p);
        build_next(b);
    }
    build_settings(b, RESOURCE_TOPIC, name, &topic->settings);
}

static void build_records(struct build *b)
{
    struct control *c = b->control;
    const struct state *s = &c->state;
    for (uint32_t i = 0; i < s->features_n; i++) {
        struct feature_level_record level = {bytes_of_string(s->features[i].name),
                                             s->features[i].level};
        build_add(b, &proto_feature_level_record, 0, &level);
    }
    bootstrap_copy_node(c);
    for (uint32_t i = 0; i < s->resources_n; i++)
        build_settings(b, s->resources[i].type, bytes_of_string(s->resources[i].name),
                       &s->resources[i].settings);
    for (uint32_t i = 0; i < s->topics_n; i++)
        if (!s->topics[i]->is_removed)
            build_topic(b, s->topics[i]);
    struct producer_ids_record ids = {c->node_id, s->brokers[0].epoch, s->next_producer_id};
    if (s->next_producer_id > 0)
        build_add(b, &proto_producer_ids_record, 0, &ids);
    build_batch(b, false);
}

int snapshot_build(struct control *c)
{
    struct build b = {.control = c};
    struct snapshot_header_record header = {.last_contained_log_timestamp = c->now.wall_ms};
    struct snapshot_footer_record footer = {0};
    check(c->phase == CONTROL_OPEN && !c->is_dirty);
    if (!snapshot_keeps_all(c))
        return E_UNSUPPORTED;
    c->snapshot.bytes_n = 0;
    records_begin(&c->records, c->now.wall_ms);
    records_add_control(&c->records, CONTROL_SNAPSHOT_HEADER, &proto_snapshot_header_record, 0,
                        &header);
    if (c->is_dynamic)
        bootstrap_add_voters(c);
    build_batch(&b, true);
    build_records(&b);
    records_add_control(&c->records, CONTROL_SNAPSHOT_FOOTER, &proto_snapshot_footer_record, 0,
                        &footer);
    build_batch(&b, true);
    return b.error;
}

/* ── the steps ── */

static void snapshot_over(struct control *c)
{
    free(c->snapshot.bytes);
    c->snapshot.bytes = NULL;
    c->snapshot.bytes_n = c->snapshot.bytes_max = 0;
    c->snapshot.phase = SNAPSHOT_NONE;
}

static void snapshot_unlinked(struct side_file *file, struct now now)
{
    struct control *c = container_of(file, struct control, snapshot.file);
    (void)now; /* one that stays is older than the newest and never read */
    snapshot_over(c);
}

/* The new one counts: the one before it may go. */
static void snapshot_unlink(struct control *c)
{
    struct snapshot *s = &c->snapshot;
    char old[sizeof s->name];
    memcpy(old, s->name, sizeof old);
    memcpy(s->name, s->name_new, sizeof s->name);
    s->offset = s->offset_new;
    s->written_n++;
    s->phase = SNAPSHOT_UNLINKING;
    memcpy(s->name_new, old, sizeof s->name_new);
    s->file = (struct side_file){.name = s->name_new, .done = snapshot_unlinked};
    if (old[0] == 0 || strcmp(old, s->name) == 0 || plog_file_unlink(c->log, &s->file) < 0)
        snapshot_over(c);
}

static void snapshot_moved(struct start_move *move, int error, struct now now)
{
    struct control *c = container_of(move, struct control, snapshot.move);
    (void)now;
    if (error < 0)
        snapshot_over(c);
    else
        snapshot_unlink(c);
}

static void snapshot_written(struct side_file *file, struct now now)
{
    struct control *c = container_of(file, struct control, snapshot.file);
    struct snapshot *s = &c->snapshot;
    if (file->error < 0) {
        snapshot_over(c);
        return;
    }
    s->phase = SNAPSHOT_MOVING;
    s->move = (struct start_move){.offset = s->offset_new, .done = snapshot_moved};
    int e = plog_start_move(c->log, &s->move, now);
    if (e != E_AGAIN)
        snapshot_moved(&s->move, e, now);
}

static void snapshot_begin(struct control *c)
{
    struct snapshot *s = &c->snapshot;
    s->due_ns = c->now.ns + (uint64_t)SNAPSHOT_RETRY_MS * NS_PER_MS;
    int e = snapshot_build(c);
    if (e == 0)
        e = plog_roll(c->log, c->now);
    s->offset_new = c->state.end_offset;
    snprintf(s->name_new, sizeof s->name_new, "%020" PRId64 "-%010d.checkpoint", s->offset_new,
             c->state.epoch);
    s->file = (struct side_file){
        .name = s->name_new, .data = bytes_of(s->bytes, s->bytes_n), .done = snapshot_written};
    s->phase = SNAPSHOT_WRITING;
    if (e == 0)
        e = plog_file_write(c->log, &s->file);
    s->refused_n += e < 0;
    if (e < 0)
        snapshot_over(c);
    else
        s->bytes_since = 0;
}

int snapshot_work(struct control *c)
{
    struct snapshot *s = &c->snapshot;
    if (s->phase != SNAPSHOT_NONE || c->phase != CONTROL_OPEN || c->is_dirty || c->is_failed ||
        s->bytes_since == 0)
        return 0;
    if (s->bytes_since == s->looked_bytes && c->now.ns < s->look_ns)
        return 0; /* the settings are found by name: not in every turn */
    s->looked_bytes = s->bytes_since;
    s->look_ns = c->now.ns + (uint64_t)SNAPSHOT_LOOK_MS * NS_PER_MS;
    uint64_t bytes_max =
        (uint64_t)config_int(c->config.config, "metadata.log.max.record.bytes.between.snapshots");
    uint64_t interval_ms =
        (uint64_t)config_int(c->config.config, "metadata.log.max.snapshot.interval.ms");
    if (s->interval_ns == 0)
        s->interval_ns = c->now.ns;
    bool is_old = interval_ms > 0 && c->now.ns - s->interval_ns >= interval_ms * NS_PER_MS;
    if ((s->bytes_since < bytes_max && !is_old) || c->now.ns < s->due_ns)
        return 0;
    s->interval_ns = c->now.ns;
    snapshot_begin(c);
    return 1;
}
