/*
 * operator.c - one client that creates topics and, in seeds with changes, deletes them, deletes
 * records, adds partitions and moves logs, while others produce and fetch.
 *
 * Owner: the simulator.
 *
 *   topic   ABSENT --CreateTopics answered--> CREATED --DeleteTopics sent--> going
 *             ^--------------DeleteTopics answered, the model forgets its records-'
 *
 * One request at a time; what was under way when the broker died is asked again (topics), or may
 * have happened or not (the rest: the model allows both). A topic that was deleted is made again
 * when nobody has a Produce to the old one under way: requests name topics by name, so a late one
 * would belong to the new one. Only producers that wait for no answer are let off that (model.c).
 *
 * Checked here:
 *   a topic whose deletion was answered is gone: CreateTopics does not say that it exists
 *   a topic whose creation was answered is there: DeleteTopics does not say that it is unknown
 *   DeleteRecords answers with a start at or above what was asked
 */
#include "operator.h"

#include <inttypes.h>
#include <stdlib.h>

#include "batch.h"
#include "check.h"
#include "messages.h"
#include "proto.h"
#include "truncate.h"
#include "wire.h"

enum kind { KIND_CREATE, KIND_DELETE, KIND_RECORDS, KIND_PARTITIONS, KIND_MOVE };

static const struct {
    const char *name;
    int16_t api_key, version;
} kinds[] = {{"create", 19, 7},
             {"delete", 20, 4},
             {"delete records", 21, 1},
             {"more partitions", 37, 1},
             {"move", 34, 2}};

enum {
    ERROR_UNKNOWN_TOPIC = 3,
    ERROR_TOPIC_EXISTS = 36,
    ERROR_INVALID_PARTITIONS = 37,
    ERROR_STORAGE = 56,
};

#define LATE_NS     (50 * NS_PER_MS)   /* a request on a connection that ended is over by then */
#define LATE_NET_NS (2000 * NS_PER_MS) /* ... and what the network still held */

/* The request under way. */
struct asked {
    uint8_t kind;
    uint32_t topic;
    int32_t partition; /* KIND_PARTITIONS: how many */
    int64_t offset;
    uint32_t birth;
};

struct sim_operator {
    struct sim_wire wire;
    bool is_waiting;
    struct asked asked;
    uint64_t idle_until_ns;
};

struct sim_operator *operator_new(void)
{
    struct sim_operator *o = calloc(1, sizeof *o);
    check(o != NULL);
    wire_init(&o->wire);
    return o;
}

void operator_free(struct sim_operator *o)
{
    wire_fini(&o->wire);
    free(o);
}

/* What was under way may have happened or not. */
static void asked_lost(struct sim *s, struct sim_operator *o)
{
    if (o->is_waiting)
        s->topics[o->asked.topic].lost |= (uint8_t)(1u << o->asked.kind);
    o->is_waiting = false;
}

static bool was_lost(const struct sim *s, const struct asked *q)
{
    return (s->topics[q->topic].lost >> q->kind & 1) != 0;
}

void operator_broker_gone(struct sim *s, struct sim_operator *o)
{
    wire_gone(&o->wire);
    asked_lost(s, o);
}

bool operator_is_done(const struct sim *s, const struct sim_operator *o)
{
    for (uint32_t t = 0; t < s->topics_n; t++)
        if (!s->topics[t].is_created || s->topics[t].is_going)
            return false;
    return !o->is_waiting;
}

/* ── requests ── */

static struct bytes text(const char *v)
{
    return bytes_of_string(v);
}

static void config_add(struct create_topics_request_topics *t, struct arena *a, const char *name,
                       const char *value)
{
    struct create_topics_request_topics_configs *config = &t->configs[t->configs_n++];
    config->name = text(name);
    config->value = bytes_of(arena_copy(a, value, strlen(value)), strlen(value));
}

static void config_add_number(struct create_topics_request_topics *t, struct arena *a,
                              const char *name, int64_t value)
{
    char digits[24];
    if (value < 0)
        return;
    snprintf(digits, sizeof digits, "%" PRId64, value);
    config_add(t, a, name, digits);
}

static const void *request_create(const struct sim *s, const struct asked *q, struct arena *a)
{
    static const char *const codecs[CODECS_N] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"};
    enum { CONFIGS_MAX = 8 };
    const struct sim_topic *topic = &s->topics[q->topic];
    struct create_topics_request *r = PROTO_NEW(a, create_topics_request, 1);
    struct create_topics_request_topics *t = PROTO_NEW(a, create_topics_request_topics, 1);
    bool is_timed = topic->is_compacted || q->topic == 1 || topic->retention_ms >= 0 ||
                    topic->retention_bytes >= 0;
    r->topics = t;
    r->topics_n = 1;
    r->timeout_ms = 30000;
    t->name = text(topic->name);
    t->num_partitions = topic->partitions_n;
    t->replication_factor = 1;
    t->configs = PROTO_NEW(a, create_topics_request_topics_configs, CONFIGS_MAX);
    t->configs_n = 0;
    config_add_number(t, a, is_timed ? "segment.ms" : "segment.bytes", is_timed ? 40 : 1 << 20);
    config_add_number(t, a, "retention.ms", topic->retention_ms);
    config_add_number(t, a, "retention.bytes", topic->retention_bytes);
    if (topic->is_compacted) {
        config_add(t, a, "cleanup.policy", "compact");
        config_add(t, a, "min.cleanable.dirty.ratio", "0.01");
        config_add_number(t, a, "delete.retention.ms", SIM_HORIZON_MS);
    }
    if (topic->codec != CODEC_PRODUCER)
        config_add(t, a, "compression.type", codecs[topic->codec]);
    return r;
}

static const void *request_delete(const struct sim *s, const struct asked *q, struct arena *a)
{
    struct delete_topics_request *r = PROTO_NEW(a, delete_topics_request, 1);
    r->topic_names = arena_alloc(a, sizeof *r->topic_names);
    check(r->topic_names != NULL);
    r->topic_names[0] = text(s->topics[q->topic].name);
    r->topic_names_n = 1;
    r->timeout_ms = 30000;
    return r;
}

static const void *request_records(const struct sim *s, const struct asked *q, struct arena *a)
{
    struct delete_records_request *r = PROTO_NEW(a, delete_records_request, 1);
    r->topics = PROTO_NEW(a, delete_records_request_topics, 1);
    r->topics_n = 1;
    r->timeout_ms = 30000;
    r->topics[0].name = text(s->topics[q->topic].name);
    r->topics[0].partitions = PROTO_NEW(a, delete_records_request_topics_partitions, 1);
    r->topics[0].partitions_n = 1;
    r->topics[0].partitions[0].partition_index = q->partition;
    r->topics[0].partitions[0].offset = q->offset;
    return r;
}

static const void *request_partitions(const struct sim *s, const struct asked *q, struct arena *a)
{
    struct create_partitions_request *r = PROTO_NEW(a, create_partitions_request, 1);
    r->topics = PROTO_NEW(a, create_partitions_request_topics, 1);
    r->topics_n = 1;
    r->timeout_ms = 30000;
    r->topics[0].name = text(s->topics[q->topic].name);
    r->topics[0].count = q->partition;
    r->topics[0].assignments_n = -1;
    return r;
}

/* A log goes to another of the directories while it is written. */
static const void *request_move(struct sim *s, const struct asked *q, struct arena *a)
{
    static const char *const paths[] = {"/data", "/data2", "/data3"};
    struct alter_replica_log_dirs_request *r = PROTO_NEW(a, alter_replica_log_dirs_request, 1);
    struct alter_replica_log_dirs_request_dirs *dir =
        PROTO_NEW(a, alter_replica_log_dirs_request_dirs, 1);
    r->dirs = dir;
    r->dirs_n = 1;
    dir->path = text(paths[prng_below(&s->prng, array_n(paths))]);
    dir->topics = PROTO_NEW(a, alter_replica_log_dirs_request_dirs_topics, 1);
    dir->topics_n = 1;
    dir->topics[0].name = text(s->topics[q->topic].name);
    dir->topics[0].partitions = arena_alloc(a, sizeof(int32_t));
    check(dir->topics[0].partitions != NULL);
    dir->topics[0].partitions[0] = q->partition;
    dir->topics[0].partitions_n = 1;
    return r;
}

static void operator_ask(struct sim *s, struct sim_operator *o, struct asked q)
{
    struct arena arena;
    const void *request = NULL;
    arena_init(&arena, NULL, NULL, MIB(1));
    q.birth = s->topics[q.topic].birth;
    switch ((enum kind)q.kind) {
    case KIND_CREATE: request = request_create(s, &q, &arena); break;
    case KIND_DELETE: request = request_delete(s, &q, &arena); break;
    case KIND_RECORDS: request = request_records(s, &q, &arena); break;
    case KIND_PARTITIONS: request = request_partitions(s, &q, &arena); break;
    case KIND_MOVE: request = request_move(s, &q, &arena); break;
    }
    if (s->options.is_verbose)
        fprintf(stderr, "  %8.3f s: %s %s %d %" PRId64 "\n", (double)s->now.ns / NS_PER_S,
                kinds[q.kind].name, s->topics[q.topic].name, q.partition, q.offset);
    wire_queue(&o->wire, kinds[q.kind].api_key, kinds[q.kind].version, request, &arena);
    arena_fini(&arena);
    o->asked = q;
    o->is_waiting = true;
}

/* ── what next ── */

/* Nobody's Produce to the topic that was deleted can arrive any more. */
static bool is_over(const struct sim *s, uint32_t topic)
{
    uint64_t late_ns = s->net != NULL ? LATE_NET_NS : LATE_NS;
    for (uint32_t i = 0; i < s->clients_n; i++)
        if (!client_is_over(s->clients[i], topic, s->now.ns, late_ns))
            return false;
    return true;
}

/* What has to be done for a topic, whatever else comes. */
static bool ask_topic(struct sim *s, struct sim_operator *o)
{
    for (uint32_t t = 0; t < s->topics_n; t++) {
        struct sim_topic *topic = &s->topics[t];
        if (topic->is_going) {
            operator_ask(s, o, (struct asked){.kind = KIND_DELETE, .topic = t});
            return true;
        }
        if (topic->is_created || (topic->birth > 0 && !is_over(s, t)) ||
            (!s->is_draining && s->now.ns < topic->create_ns))
            continue;
        operator_ask(s, o, (struct asked){.kind = KIND_CREATE, .topic = t});
        return true;
    }
    return false;
}

static void ask_records(struct sim *s, struct sim_operator *o, uint32_t t, int32_t p)
{
    struct sim_log *log = &s->topics[t].logs[p];
    bool is_all = prng_chance(&s->prng, 10);
    if (s->topics[t].is_compacted) /* POLICY_VIOLATION */
        return;
    int64_t offset = (int64_t)prng_below(&s->prng, (uint64_t)log->acked_end + 1);
    log->start_open = log->start_max;
    log->start_max = is_all ? INT64_MAX : max_i64(log->start_max, offset);
    operator_ask(
        s, o,
        (struct asked){
            .kind = KIND_RECORDS, .topic = t, .partition = p, .offset = is_all ? -1 : offset});
}

static void ask_change(struct sim *s, struct sim_operator *o)
{
    uint32_t t = (uint32_t)prng_below(&s->prng, s->topics_n);
    struct sim_topic *topic = &s->topics[t];
    int32_t p = (int32_t)prng_below(&s->prng, (uint64_t)topic->partitions_n);
    uint64_t dice = prng_below(&s->prng, 100);
    bool has_dirs = s->options.seed % 3 == 0;
    if (!topic->is_created)
        return;
    if (!s->options.has_changes || (has_dirs && dice >= 70)) {
        if (has_dirs)
            operator_ask(s, o, (struct asked){.kind = KIND_MOVE, .topic = t, .partition = p});
    } else if (dice < 12) {
        topic->is_going = true; /* asked for in the next turn */
    } else if (dice < 20) {
        if (topic->partitions_n < SIM_PARTITIONS_MAX)
            operator_ask(s, o,
                         (struct asked){.kind = KIND_PARTITIONS,
                                        .topic = t,
                                        .partition = topic->partitions_n + 1});
    } else if (dice < 60) {
        ask_records(s, o, t, p);
    }
}

/* ── answers ── */

static bool answer_create(struct sim *s, struct asked *q, const struct create_topics_response *r)
{
    struct sim_topic *topic = &s->topics[q->topic];
    int16_t e = r->topics_n == 1 ? r->topics[0].error_code : -1;
    if (e == ERROR_TOPIC_EXISTS && !was_lost(s, q))
        return sim_fail(s, "%s exists already%s", topic->name,
                        topic->birth > 0 ? ", though its deletion was answered" : "");
    if (e == 0 || e == ERROR_TOPIC_EXISTS) /* an earlier try whose answer was lost */
        topic->is_created = true;
    if (e == 0)
        topic->id = r->topics[0].topic_id;
    if (e != 0 && e != ERROR_TOPIC_EXISTS)
        topic->lost |= 1u << q->kind; /* it may have been made in spite of the error */
    if (e != 0 && s->options.is_verbose)
        fprintf(stderr, "  operator: create error %d\n", e);
    return true;
}

/* Its records are forgotten, and who may have one of them under way is waited for. */
static void topic_gone(struct sim *s, uint32_t t)
{
    struct sim_topic *topic = &s->topics[t];
    model_forget(s, t);
    topic->birth++;
    topic->is_created = topic->is_going = false;
    topic->id = (struct uuid){{0}};
    topic->lost = 0;
    topic->partitions_n = 1 + (int32_t)prng_below(&s->prng, SIM_PARTITIONS_MAX);
    topic->create_ns = s->now.ns + prng_below(&s->prng, 60 * NS_PER_MS);
    s->counts.deletions++;
    if (s->options.is_verbose)
        fprintf(stderr, "  %8.3f s: %s is gone\n", (double)s->now.ns / NS_PER_S, topic->name);
}

static bool answer_delete(struct sim *s, struct asked *q, const struct delete_topics_response *r)
{
    struct sim_topic *topic = &s->topics[q->topic];
    int16_t e = r->responses_n == 1 ? r->responses[0].error_code : -1;
    if (e == ERROR_UNKNOWN_TOPIC && !was_lost(s, q))
        return sim_fail(s, "%s is unknown, though its creation was answered", topic->name);
    if (e == 0 || e == ERROR_UNKNOWN_TOPIC)
        topic_gone(s, q->topic);
    else
        topic->lost |= 1u << q->kind;
    return true;
}

static bool answer_records(struct sim *s, const struct asked *q,
                           const struct delete_records_response *r)
{
    struct sim_log *log = &s->topics[q->topic].logs[q->partition];
    if (r->topics_n != 1 || r->topics[0].partitions_n != 1)
        return sim_fail(s, "DeleteRecords: not one answer for one partition");
    int16_t e = r->topics[0].partitions[0].error_code;
    int64_t low = r->topics[0].partitions[0].low_watermark;
    if (e != 0)
        return true; /* it may have moved or not */
    if (low < q->offset)
        return sim_fail(s, "%s-%d: DeleteRecords up to %" PRId64 " left a start of %" PRId64,
                        s->topics[q->topic].name, q->partition, q->offset, low);
    log->start_min = max_i64(log->start_min, low);
    log->start_max = max_i64(log->start_open, low);
    s->counts.deletions++;
    return true;
}

static bool answer_partitions(struct sim *s, const struct asked *q,
                              const struct create_partitions_response *r)
{
    struct sim_topic *topic = &s->topics[q->topic];
    int16_t e = r->results_n == 1 ? r->results[0].error_code : -1;
    if (e == 0 || (e == ERROR_INVALID_PARTITIONS && was_lost(s, q)))
        topic->partitions_n = q->partition;
    else if (e == ERROR_INVALID_PARTITIONS)
        return sim_fail(s, "%s has %d partitions already, says CreatePartitions", topic->name,
                        q->partition);
    else
        topic->lost |= 1u << q->kind;
    return true;
}

static bool answer_move(struct sim *s, const struct alter_replica_log_dirs_response *r)
{
    int16_t e = r->results_n == 1 && r->results[0].partitions_n == 1
                    ? r->results[0].partitions[0].error_code
                    : -1;
    s->moves_n += e == 0;
    return e == 0 || e == ERROR_UNKNOWN_TOPIC || e == ERROR_STORAGE
               ? true
               : sim_fail(s, "AlterReplicaLogDirs: error %d", e);
}

static bool operator_answer(struct sim *s, struct sim_operator *o, const void *r)
{
    struct asked *q = &o->asked;
    switch ((enum kind)q->kind) {
    case KIND_CREATE: return answer_create(s, q, r);
    case KIND_DELETE: return answer_delete(s, q, r);
    case KIND_RECORDS: return answer_records(s, q, r);
    case KIND_PARTITIONS: return answer_partitions(s, q, r);
    case KIND_MOVE: return answer_move(s, r);
    }
    return false;
}

static bool operator_frame(struct sim *s, void *context, const uint8_t *frame, uint32_t n)
{
    struct sim_operator *o = context;
    struct arena arena;
    struct slice slice = {frame, n, NULL};
    struct slices slices = {&slice, 1, n};
    struct proto_in in;
    int32_t correlation_id = 0;
    int16_t key = kinds[o->asked.kind].api_key, version = kinds[o->asked.kind].version;
    const struct proto_message *message = proto_response(key);
    bool ok = false;
    arena_init(&arena, NULL, NULL, MIB(1));
    proto_in_init(&in, &slices, &arena);
    void *r = arena_alloc(&arena, message->size);
    check(r != NULL);
    if (!o->is_waiting || proto_decode_response_header(&in, key, version, &correlation_id) != 0 ||
        correlation_id != o->wire.correlation_id || proto_decode(message, version, &in, r) != 0)
        ok = sim_fail(s, "the operator's answer to API %d is not what was asked", key);
    else
        ok = operator_answer(s, o, r);
    o->is_waiting = false;
    arena_fini(&arena);
    return ok;
}

bool operator_turn(struct sim *s, struct sim_operator *o)
{
    if (!wire_is_connected(&o->wire) && !wire_connect(s, &o->wire))
        return true;
    if (!o->is_waiting && s->now.ns >= o->idle_until_ns && !ask_topic(s, o) && !s->is_draining) {
        o->idle_until_ns = s->now.ns + prng_below(&s->prng, 30 * NS_PER_MS);
        ask_change(s, o);
    }
    enum wire_end end = wire_pump(s, &o->wire, operator_frame, o);
    if (end == WIRE_ENDED)
        asked_lost(s, o);
    return end != WIRE_FAILED;
}

/* ── truncation ── */

bool operator_truncate(struct sim *s, uint32_t topic, int32_t partition, int64_t start, int64_t end)
{
    static const char *const dirs[] = {"/data", "/data2", "/data3"};
    struct disk *disk = sim_disk_disk(s->disk);
    int64_t target = start + (int64_t)prng_below(&s->prng, (uint64_t)(end - start) + 1), cut = -1;
    for (size_t i = 0; i < array_n(dirs); i++) {
        char path[DISK_PATH_MAX];
        struct disk_stat stat;
        snprintf(path, sizeof path, "%s/.kafka_cleanshutdown", dirs[i]);
        int rc = disk_unlink(disk, path); /* the next opening is one after a crash */
        check(rc == 0 || rc == E_NOT_FOUND);
        snprintf(path, sizeof path, "%s/%s-%d", dirs[i], s->topics[topic].name, partition);
        if (disk_stat(disk, path, &stat) != 0)
            continue;
        rc = log_truncate(disk, path, -1, target, &cut);
        if (rc == E_OFFSET_RANGE) /* retention went on, or nothing is left of it */
            return true;
        if (rc != 0)
            return sim_fail(s, "%s cannot be cut at %" PRId64 ": %s", path, target, error_text(rc));
    }
    if (cut < 0) /* never written: it has no directory */
        return end == 0 || sim_fail(s, "%s-%d has no directory", s->topics[topic].name, partition);
    if (cut > target)
        return sim_fail(s, "%s-%d was cut at %" PRId64 " instead of %" PRId64,
                        s->topics[topic].name, partition, cut, target);
    model_cut(s, topic, partition, cut);
    return true;
}
