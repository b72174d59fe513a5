/*
 * snapshot.c - snapshots of the metadata log, and the end of what lies before them.
 *
 * Owner: control.
 *
 * When metadata.log.max.record.bytes.between.snapshots of records came since the last one, or
 * metadata.log.max.snapshot.interval.ms went by and there are some:
 *
 *   build the file in memory ──► roll the log
 *   ──► write <offset>-<epoch>.checkpoint (files helper: tmp, fsync, rename, fsync of
 *   the directory) ──► the log's start moves to <offset>, durable; whole segments below it go
 *   ──► the snapshot before this one is unlinked
 *
 * Each step begins when the one before it is durable, so a crash leaves the old snapshot with all
 * records behind it, or the new one. A step that fails ends the attempt; the next one begins anew.
 *
 * Building goes on from turn to turn, one batch of at most SNAPSHOT_STEPS_PER_TURN records in each.
 * The file must say what the log says at <offset>, so what would append to the log or publish a
 * view waits meanwhile, as it does while a round is under way (control_may_change): the state
 * stands still and is its own frozen copy. Everything else (groups, descriptions, ids of a producer
 * block that is there) goes on. From the roll on, records are appended again.
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
    SNAPSHOT_BATCH_BYTES = 1 << 18, /* a record of settings is far smaller than what is left */
    SNAPSHOT_RETRY_MS = 60000,
    SNAPSHOT_LOOK_MS = 10,
};

/* ── building ── */

/* What no later look at the parts of the state would find. */
static bool snapshot_keeps_all(const struct control *c)
{
    const struct state *s = &c->state;
    return s->unkept_n == 0 && !s->in_transaction && s->brokers_n == 1 &&
           s->brokers[0].id == c->node_id && (!c->is_dynamic || c->controller.name[0] != 0);
}

/* Its replica is this node's, and there is no other. */
static bool partition_is_ours(const struct control *c, const struct partition *p)
{
    return p->leader == c->node_id && p->replicas_n == 1 && p->isr_n == 1 &&
           p->nodes[0] == c->node_id && p->nodes[1] == c->node_id;
}

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
static int build_batch(struct control *c, bool is_control)
{
    struct snapshot *s = &c->snapshot;
    uint32_t records_n = (uint32_t)c->records.builder.records_n;
    if (records_n == 0 && c->records.error == 0)
        return 0;
    int64_t n = records_end(&c->records, is_control, c->state.epoch, s->build.offset);
    int e = n < 0 ? (int)n : build_room(s, (uint64_t)n);
    if (e < 0)
        return e;
    memcpy(s->bytes + s->bytes_n, c->records.buffer, (size_t)n);
    s->bytes_n += (uint64_t)n;
    s->build.offset += records_n;
    records_begin(&c->records, c->now.wall_ms);
    return 0;
}

/* The next setting of a resource; false: it has no more. */
static bool build_setting(struct control *c, int8_t type, struct bytes name,
                          const struct settings *settings)
{
    uint32_t i = c->snapshot.build.setting;
    if (i == settings->n)
        return false;
    struct config_record record = {type, name, bytes_of_string(settings->v[i].key),
                                   bytes_of_string(settings->v[i].value)};
    records_add(&c->records, &proto_config_record, 0, &record);
    c->snapshot.build.setting++;
    return true;
}

static bool build_feature(struct control *c)
{
    const struct state *s = &c->state;
    uint32_t i = c->snapshot.build.at++;
    if (i == s->features_n)
        return false;
    struct feature_level_record level = {bytes_of_string(s->features[i].name),
                                         s->features[i].level};
    records_add(&c->records, &proto_feature_level_record, 0, &level);
    return true;
}

static bool build_resource(struct control *c)
{
    struct snapshot_build *b = &c->snapshot.build;
    if (b->at == c->state.resources_n)
        return false;
    const struct resource *r = &c->state.resources[b->at];
    if (!build_setting(c, r->type, bytes_of_string(r->name), &r->settings)) {
        b->at++;
        b->setting = 0;
    }
    return true;
}

/* The topic's record, its partitions, its settings, the next topic. */
static bool build_topic(struct control *c)
{
    struct snapshot_build *b = &c->snapshot.build;
    if (b->at == c->state.topics_n)
        return false;
    const struct topic *topic = c->state.topics[b->at];
    struct bytes name = bytes_of(topic->name, topic->name_n);
    if (!topic->is_removed && !b->is_within) {
        struct topic_record record = {name, topic->id};
        records_add(&c->records, &proto_topic_record, 0, &record);
        b->is_within = true;
    } else if (!topic->is_removed && b->partition < topic->partitions_n) {
        if (!partition_is_ours(c, &topic->partitions[b->partition]))
            b->error = E_UNSUPPORTED;
        else
            bootstrap_copy_partition(c, topic, b->partition++);
    } else if (topic->is_removed || !build_setting(c, RESOURCE_TOPIC, name, &topic->settings)) {
        b->at++;
        b->partition = 0;
        b->setting = 0;
        b->is_within = false;
    }
    return true;
}

static void build_producer_ids(struct control *c)
{
    const struct state *s = &c->state;
    struct producer_ids_record ids = {c->node_id, s->brokers[0].epoch, s->next_producer_id};
    if (s->next_producer_id > 0)
        records_add(&c->records, &proto_producer_ids_record, 0, &ids);
}

/* At most one record, whichever is next. */
static void build_record(struct control *c)
{
    struct snapshot_build *b = &c->snapshot.build;
    bool has_more = false;
    switch (b->part) {
    case BUILD_FEATURES: has_more = build_feature(c); break;
    case BUILD_NODE: bootstrap_copy_node(c); break;
    case BUILD_RESOURCES: has_more = build_resource(c); break;
    case BUILD_TOPICS: has_more = build_topic(c); break;
    case BUILD_PRODUCER_IDS: build_producer_ids(c); break;
    case BUILD_DONE: check(!"a part behind the last");
    }
    if (has_more)
        return;
    b->part++;
    b->at = 0;
}

static int build_header(struct control *c)
{
    struct snapshot_header_record header = {.last_contained_log_timestamp = c->now.wall_ms};
    c->snapshot.bytes_n = 0;
    records_begin(&c->records, c->now.wall_ms);
    records_add_control(&c->records, CONTROL_SNAPSHOT_HEADER, &proto_snapshot_header_record, 0,
                        &header);
    if (c->is_dynamic)
        bootstrap_add_voters(c);
    return build_batch(c, true);
}

/* One batch more. E_AGAIN: there are more. E_UNSUPPORTED: the log holds what this program does not
 * keep, so it must stay as it is. */
static int build_more(struct control *c)
{
    struct snapshot_build *b = &c->snapshot.build;
    struct snapshot_footer_record footer = {0};
    records_begin(&c->records, c->now.wall_ms);
    for (int i = 0; i < SNAPSHOT_STEPS_PER_TURN && b->part != BUILD_DONE && b->error == 0 &&
                    c->records.builder.n < SNAPSHOT_BATCH_BYTES;
         i++)
        build_record(c);
    int e = b->error < 0 ? b->error : build_batch(c, false);
    if (e < 0 || b->part != BUILD_DONE)
        return e < 0 ? e : E_AGAIN;
    records_add_control(&c->records, CONTROL_SNAPSHOT_FOOTER, &proto_snapshot_footer_record, 0,
                        &footer);
    return build_batch(c, true);
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

static void snapshot_refuse(struct control *c)
{
    c->snapshot.refused_n++;
    snapshot_over(c);
}

static void snapshot_begin(struct control *c)
{
    struct snapshot *s = &c->snapshot;
    s->due_ns = c->now.ns + (uint64_t)SNAPSHOT_RETRY_MS * NS_PER_MS;
    s->build = (struct snapshot_build){0};
    s->offset_new = c->state.end_offset;
    s->phase = SNAPSHOT_BUILDING;
    if (!snapshot_keeps_all(c) || build_header(c) < 0)
        snapshot_refuse(c);
}

/* A batch more, and the file when that was the last. */
static void snapshot_build(struct control *c)
{
    struct snapshot *s = &c->snapshot;
    /* A failed log ends it; a record that came all the same would be in it by half. */
    int e = c->is_failed || c->state.end_offset != s->offset_new ? E_STORAGE : build_more(c);
    if (e == E_AGAIN)
        return;
    if (e == 0)
        e = plog_roll(c->log, c->now);
    snprintf(s->name_new, sizeof s->name_new, "%020" PRId64 "-%010d.checkpoint", s->offset_new,
             c->state.epoch);
    s->file = (struct side_file){
        .name = s->name_new, .data = bytes_of(s->bytes, s->bytes_n), .done = snapshot_written};
    s->phase = SNAPSHOT_WRITING;
    if (e == 0)
        e = plog_file_write(c->log, &s->file);
    if (e < 0)
        snapshot_refuse(c);
    else
        s->bytes_since = 0;
}

int snapshot_work(struct control *c)
{
    struct snapshot *s = &c->snapshot;
    if (s->phase == SNAPSHOT_BUILDING) {
        snapshot_build(c);
        return 1;
    }
    if (s->phase != SNAPSHOT_NONE || c->phase != CONTROL_OPEN || c->changing != NULL ||
        c->is_dirty || c->is_failed || s->bytes_since == 0)
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
