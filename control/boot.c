/*
 * boot.c - how control begins and ends: the metadata log is replayed, this start is written, the
 * first view published.
 *
 * Owner: control, while no other thread runs.
 *
 * Order: replay (metadata_log.c); quorum-state with a new epoch, durable before anything of that
 * epoch; the records of this start (bootstrap.c), flushed; then the log is opened as a plog of
 * control's own store for everything later.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "check.h"
#include "control_inside.h"
#include "coordinator.h"
#include "stats.h"
#include "telemetry.h"

enum { METADATA_TAIL_BYTES = 8 << 20 };

static int fail(char *why, size_t why_n, const char *what, int e)
{
    snprintf(why, why_n, "%s: %s", what, error_text(e));
    return e;
}

static int memory_take(struct control *c)
{
    c->orders = calloc(CONTROL_LOG_OPS, sizeof *c->orders);
    c->dir_orders = calloc((size_t)c->config.workers_n * c->config.dirs_n, sizeof *c->dir_orders);
    int e = c->orders == NULL || c->dir_orders == NULL ? E_NO_MEMORY : records_init(&c->records);
    if (e == 0)
        e = state_init(&c->state, prng_next(&c->prng));
    c->state.node_id = c->node_id;
    for (uint32_t i = 0; e == 0 && i < CONTROL_LOG_OPS; i++)
        list_append(&c->orders_free, &c->orders[i].mail.link);
    return e;
}

/* A new log is that of a dynamic quorum, as the server.properties of Apache Kafka asks for, unless
 * the file names fixed voters or has no listener for the controller. */
static bool begins_dynamic(struct control *c)
{
    return c->state.end_offset == 0 && c->quorum_epoch == 0 &&
           *config_string(c->config.config, "controller.quorum.voters") == 0 &&
           config_controller(c->config.config, &c->controller);
}

/* Replay, the new epoch, the records of this start. */
static int metadata_boot(struct control *c, int64_t wall_ms, char *why, size_t why_n)
{
    struct metadata_log log;
    bool is_dynamic;
    int e = metadata_log_open(&log, c->disk, c->config.store.directory, &c->state, why, why_n);
    if (e < 0)
        return e;
    c->cut_bytes = log.cut_bytes;
    c->snapshot.offset = log.snapshot_offset;
    c->snapshot.bytes_since = log.replayed_bytes;
    if (log.snapshot_offset >= 0)
        snprintf(c->snapshot.name, sizeof c->snapshot.name, "%020" PRId64 "-%010d.checkpoint",
                 log.snapshot_offset, log.snapshot_epoch);
    e = quorum_state_read(c->disk, log.directory, &c->quorum_epoch, &is_dynamic);
    if (e == 0) {
        is_dynamic = begins_dynamic(c) ||
                     (is_dynamic && (c->state.end_offset > 0 ||
                                     config_controller(c->config.config, &c->controller)));
        c->quorum_epoch = (int32_t)max_i64(c->quorum_epoch, c->state.epoch) + 1;
        e = quorum_state_write(c->disk, log.directory, c->node_id, c->quorum_epoch, is_dynamic);
    }
    c->is_dynamic = e == 0 && is_dynamic;
    if (c->is_dynamic && c->controller.name[0] == 0)
        (void)config_controller(c->config.config, &c->controller); /* snapshots name the voter */
    if (e < 0)
        fail(why, why_n, "quorum-state", e);
    else
        e = bootstrap_start(c, &log, is_dynamic, wall_ms, why, why_n);
    metadata_log_close(&log);
    return e;
}

static void metadata_config(const struct control *c, struct log_config *out)
{
    *out = (struct log_config){
        .segment_bytes = (uint64_t)config_int(c->config.config, "metadata.log.segment.bytes"),
        .segment_ms = INT64_MAX,
        .segment_index_bytes = 10 << 20,
        .index_interval_bytes = 4096,
        .max_message_bytes = RECORDS_BYTES_MAX,
        .retention_ms = -1,
        .retention_bytes = -1,
        .file_delete_delay_ms = 60000,
        .flush_messages = INT64_MAX,
        .flush_ms = INT64_MAX,
        .latency = LATENCY_CRITICAL, /* nothing is answered before it */
        .timestamp_before_max_ms = INT64_MAX,
        .timestamp_after_max_ms = INT64_MAX,
        .is_deleted = true,
        .codec = CODEC_PRODUCER,
        .durability = STORE_GROUP,
    };
}

static int store_boot(struct control *c, struct pages *pages, uint8_t files_thread,
                      uint8_t bulk_thread)
{
    struct store_config config = c->config.store;
    struct log_config log_config;
    struct log_id id = {metadata_topic_id, bytes_of_string(METADATA_TOPIC), 0};
    struct recovery_report report = {0};
    struct plog_offsets offsets;
    config.leader_epoch = c->quorum_epoch;
    config.group_ns_max = 0;
    config.tail_bytes_max = max_u64(config.tail_bytes_max, METADATA_TAIL_BYTES);
    metadata_config(c, &log_config);
    int e = store_init(&c->store, &config, c->io, c->disk, pages, c->timers, c->post, files_thread,
                       bulk_thread);
    if (e == 0)
        e = store_log_recover(c->store, &id, &log_config, false, &report, &c->log);
    if (e == 0)
        e = store_recovered(c->store);
    if (e < 0)
        return e;
    plog_offsets(c->log, &offsets);
    return offsets.end == c->state.end_offset ? 0 : E_CORRUPT;
}

static void tick(struct timer *timer, struct now now)
{
    struct control *c = container_of(timer, struct control, tick);
    store_tick(c->store, now);
    coordinator_stats(c->coordinator);
    timer_set(c->timers, timer, now.ns + NS_PER_S);
}

int control_init(struct control **out, const struct control_config *config, struct views *views,
                 struct io *io, struct disk *disk, struct pages *pages, struct timers *timers,
                 struct post *post, uint8_t files_thread, uint8_t bulk_thread, char *why,
                 size_t why_n)
{
    struct control *c = calloc(1, sizeof *c);
    if (c == NULL)
        return fail(why, why_n, "control", E_NO_MEMORY);
    check(config->workers_n > 0 && config->listeners_n <= LISTENERS_MAX);
    c->config = *config;
    c->node_id = config->directory.node_id;
    dirs_begin(c);
    c->views = views;
    c->io = io;
    c->disk = disk;
    c->timers = timers;
    c->post = post;
    c->bulk_thread = bulk_thread;
    c->now = config->now.wall_ms != 0 ? config->now : clock_read();
    prng_init(&c->prng, config->seed);
    prng_uuid(&c->prng, &c->incarnation);
    list_init(&c->waiting);
    list_init(&c->heartbeats);
    list_init(&c->answers);
    list_init(&c->orders_free);
    list_init(&c->durable.link);
    moves_init(c);
    timer_init(&c->tick, tick);
    views->workers_n = config->workers_n;
    resolver_init(&c->resolver, config->config, &c->state, c->node_id);
    idle_settings_note(c);
    int e = memory_take(c);
    if (e < 0)
        fail(why, why_n, "control", e);
    else
        e = metadata_boot(c, c->now.wall_ms, why, why_n);
    if (e == 0 && (e = store_boot(c, pages, files_thread, bulk_thread)) < 0)
        fail(why, why_n, "the metadata log cannot be opened as a log", e);
    if (e == 0 && (e = telemetry_init(&c->telemetry, c)) < 0)
        fail(why, why_n, "client telemetry", e);
    if (e == 0 && (e = view_publish(c)) < 0)
        fail(why, why_n, "the first view", e);
    if (e == 0 && (e = coordinator_init(&c->coordinator, c)) < 0)
        fail(why, why_n, "the groups", e);
    if (e < 0) {
        control_fini(c);
        return e;
    }
    timer_set(timers, &c->tick, c->now.ns + NS_PER_S);
    coordinator_look(c->coordinator);
    *out = c;
    return 0;
}

bool control_knows_log(void *control, struct bytes topic, int32_t partition, const struct uuid *id)
{
    const struct control *c = control;
    if (bytes_equal_string(topic, METADATA_TOPIC))
        return partition == 0;
    const struct topic *found = state_topic_by_name(&c->state, topic);
    return found != NULL && partition >= 0 && partition < found->partitions_n &&
           (id == NULL || uuid_equal(id, &found->id));
}

/* ── opening the logs ── */

/* Owner: the thread of the part; the other parts look at done_n. */
struct opening_part {
    struct recovery_report report;
    struct stats_cell done_n;
    int error;
};

/* Owner: main. Each part writes to its own home's stores and partitions. */
struct opening {
    struct control *c;
    struct store *const *stores;
    const struct opening_seams *seams;
    struct opening_part *parts;
};

/* One log, in its directory's store at its home. */
static int open_log(struct opening *o, const struct view_topic *view, int32_t number,
                    struct partition *partition, struct recovery_report *report)
{
    const struct view_partition *p = &view->partitions[number];
    struct log_id id = {view->id, view->name, number};
    struct store *store = o->stores[p->home * o->c->config.dirs_n + p->dir];
    struct plog *log;
    int e = store == NULL ? E_STORAGE
                          : store_log_recover(store, &id, &view->config,
                                              o->c->config.dirs[p->dir].is_clean, report, &log);
    if (e == E_NO_MEMORY)
        return e;
    partition->is_failed |= e < 0; /* this one is left without a leader; the others serve */
    return 0;
}

static void opening_progress(const struct opening *o)
{
    uint64_t done_n = 0;
    if (o->seams->progress == NULL)
        return;
    for (uint32_t i = 0; i < o->c->config.workers_n; i++)
        done_n += stats_cell_get(&o->parts[i].done_n);
    o->seams->progress(o->seams->context, done_n, o->c->published->partitions_n);
}

static void open_part(void *argument, uint32_t at)
{
    struct opening *o = argument;
    struct opening_part *part = &o->parts[at];
    const struct view *published = o->c->published;
    for (uint32_t i = 0; i < published->topics_n; i++) {
        const struct view_topic *view = published->topics[i];
        for (int32_t p = 0; p < view->partitions_n; p++) {
            if (view->partitions[p].leader != o->c->node_id || view->partitions[p].home != at)
                continue;
            part->error =
                open_log(o, view, p, &o->c->state.topics[i]->partitions[p], &part->report);
            if (part->error < 0)
                return;
            stats_cell_set(&part->done_n, stats_cell_get(&part->done_n) + 1);
            if (at == 0)
                opening_progress(o);
        }
    }
}

static void failures_count(struct control *c)
{
    for (uint32_t i = 0; i < c->published->topics_n; i++) {
        struct topic *topic = c->state.topics[i];
        check(uuid_equal(&topic->id, &c->published->topics[i]->id));
        topic->opened_n = c->published->topics[i]->partitions_n;
        for (int32_t p = 0; p < topic->opened_n; p++) {
            if (!topic->partitions[p].is_failed)
                continue;
            topic->is_changed = true;
            c->failed_logs_n++;
        }
    }
}

static int open_all(struct control *c, struct store *const *stores, struct recovery_report *report,
                    const struct opening_seams *seams)
{
    static const struct opening_seams none;
    struct opening o = {c, stores, seams != NULL ? seams : &none, NULL};
    uint32_t n = c->config.workers_n;
    int e = 0;
    o.parts = calloc(n, sizeof *o.parts);
    if (o.parts == NULL)
        return E_NO_MEMORY;
    if (o.seams->each != NULL)
        o.seams->each(o.seams->context, n, open_part, &o);
    else
        for (uint32_t i = 0; i < n; i++)
            open_part(&o, i);
    for (uint32_t i = 0; i < n; i++) {
        recovery_report_add(report, &o.parts[i].report);
        e = e < 0 ? e : o.parts[i].error;
    }
    free(o.parts);
    failures_count(c);
    return e;
}

int control_open_logs(struct control *c, struct store *const *stores,
                      struct recovery_report *report, const struct opening_seams *seams)
{
    int e = dirs_place(c);
    if (e == 0)
        e = view_publish(c);
    if (e == 0)
        e = open_all(c, stores, report, seams);
    for (uint32_t i = 0; e == 0 && i < (uint32_t)c->config.workers_n * c->config.dirs_n; i++)
        if (stores[i] != NULL)
            e = store_recovered(stores[i]);
    if (e == 0 && c->failed_logs_n > 0)
        e = view_publish(c);
    coordinator_look(c->coordinator);
    return e;
}

uint64_t control_lost_logs(const struct control *c)
{
    return c->lost_logs_n;
}

int control_close(struct control *c, struct checkpoints *checkpoints)
{
    (void)checkpoints; /* Apache Kafka keeps the metadata log out of them: it is recovered at every
                          start */
    int e = c->is_failed ? E_STORAGE : bootstrap_stop(c, c->now);
    if (e < 0)
        return e;
    struct checkpoints *own = checkpoints_new();
    if (own == NULL)
        return E_NO_MEMORY;
    e = store_close(c->store, own);
    checkpoints_free(own);
    return e;
}

void control_fini(struct control *c)
{
    if (c == NULL)
        return;
    timer_stop(c->timers, &c->tick);
    coordinator_fini(c->coordinator);
    telemetry_fini(c->telemetry);
    if (c->store != NULL)
        store_fini(c->store);
    view_free_all(c);
    for (uint32_t i = 0; i < c->dropped.n; i++)
        view_topic_put(c->dropped.v[i]);
    free(c->dropped.v);
    free(c->created.v);
    free(c->snapshot.bytes);
    records_fini(&c->records);
    state_fini(&c->state);
    free(c->orders);
    moves_fini(c);
    free(c->dir_orders);
    free(c);
}
