/*
 * next_bed.h - one KIP-848 group with its neighbours played by the test: topics, a log, a client's
 * heartbeats.
 *
 * Owner: the test. What the group appends is kept, so that it can be replayed into a new group at
 * any time.
 */
#ifndef MILLRACE_NEXT_BED_H
#define MILLRACE_NEXT_BED_H

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "group_next.h"
#include "group_next_records.h"
#include "messages.h"

enum { BED_TOPICS_MAX = 16, BED_PARTS_MAX = 64 };

struct bed_topic {
    char name[32];
    struct uuid id;
    int32_t partitions_n; /* 0: gone */
};

struct next_bed {
    struct nexts nexts;
    struct next_config config;
    struct timers timers;
    struct prng prng;
    struct now now;
    struct group_next *group;
    struct bed_topic topics[BED_TOPICS_MAX];
    uint32_t topics_n;
    uint64_t version;
    struct group_records log;
    uint32_t last_at; /* where the records of the last call begin */
    struct control_op op;
    bool is_answered;
    struct consumer_group_heartbeat_response *out;
    struct consumer_group_heartbeat_request_topic_partitions owned[BED_TOPICS_MAX];
    int32_t numbers[BED_TOPICS_MAX * BED_PARTS_MAX];
    struct bytes names[BED_TOPICS_MAX];
    struct consumer_group_heartbeat_request request;
    int16_t api_version;
};

static inline bool bed_topic(void *context, struct bytes name, struct uuid *id,
                             int32_t *partitions_n)
{
    struct next_bed *b = context;
    for (uint32_t i = 0; i < b->topics_n; i++)
        if (b->topics[i].partitions_n > 0 && bytes_equal_string(name, b->topics[i].name)) {
            *id = b->topics[i].id;
            *partitions_n = b->topics[i].partitions_n;
            return true;
        }
    return false;
}

static inline bool bed_topic_name(void *context, uint32_t *at, struct bytes *name)
{
    struct next_bed *b = context;
    while (*at < b->topics_n && b->topics[*at].partitions_n == 0)
        (*at)++;
    if (*at == b->topics_n)
        return false;
    *name = bytes_of_string(b->topics[(*at)++].name);
    return true;
}

static inline uint64_t bed_version(void *context)
{
    return ((struct next_bed *)context)->version;
}

static inline void bed_append(void *context, struct group_next *g, struct group_records *records,
                              struct control_op *op)
{
    struct next_bed *b = context;
    assert_ptr_equal(g, b->group);
    assert_int_equal(records->error, 0);
    b->log.v = realloc(b->log.v, b->log.n + records->n + 1);
    if (records->n > 0)
        memcpy(b->log.v + b->log.n, records->v, records->n);
    b->log.n += records->n;
    group_records_fini(records);
    if (op != NULL) {
        assert_ptr_equal(op, &b->op);
        assert_false(b->is_answered);
        b->is_answered = true;
    }
}

static inline struct bed_topic *bed_topic_add(struct next_bed *b, const char *name,
                                              int32_t partitions_n)
{
    struct bed_topic *t = &b->topics[b->topics_n++];
    snprintf(t->name, sizeof t->name, "%s", name);
    prng_uuid(&b->prng, &t->id);
    t->partitions_n = partitions_n;
    b->version++;
    return t;
}

static inline void bed_nexts(struct next_bed *b)
{
    const struct next_host host = {bed_append, bed_topic, bed_topic_name, bed_version, b};
    timers_init(&b->timers, b->now.ns);
    assert_int_equal(nexts_init(&b->nexts, &b->config, &host, &b->timers, &b->prng), 0);
    b->group = group_next_new(&b->nexts, bytes_of_string("group"), NULL);
    assert_non_null(b->group);
}

static inline void bed_init(struct next_bed *b, uint64_t seed)
{
    memset(b, 0, sizeof *b);
    prng_init(&b->prng, seed);
    b->now = (struct now){NS_PER_S, 1700000000000};
    b->version = 1;
    b->api_version = 1;
    b->config = (struct next_config){.session_timeout_ms = 45000,
                                     .heartbeat_interval_ms = 5000,
                                     .size_max = 1000,
                                     .bytes_max = 1 << 30,
                                     .member_bytes_max = 1 << 20,
                                     .classic_size_max = 1000};
    arena_init(&b->op.arena, NULL, NULL, 64 << 20);
    snprintf(b->op.client_host, sizeof b->op.client_host, "/127.0.0.1");
    b->op.client_id = bytes_of_string("test");
    bed_nexts(b);
}

static inline void bed_fini(struct next_bed *b)
{
    arena_fini(&b->op.arena);
    group_next_free(b->group);
    nexts_fini(&b->nexts);
    assert_int_equal(b->timers.n, 0);
    group_records_fini(&b->log);
}

/* The broker ends and a new one replays the log. */
static inline void bed_restart(struct next_bed *b)
{
    struct bytes key, value;
    struct arena arena;
    uint32_t at = 0;
    group_next_free(b->group);
    nexts_fini(&b->nexts);
    bed_nexts(b);
    arena_init(&arena, NULL, NULL, 64 << 20);
    while (group_records_next(&b->log, &at, &key, &value)) {
        struct next_record record;
        assert_int_equal(next_record_decode(key, value, &arena, &record), 0);
        assert_int_equal(group_next_apply(b->group, &record), 0);
    }
    arena_fini(&arena);
    assert_int_equal(group_next_restored(b->group, b->now), 0);
    group_next_invariants(b->group);
}

static inline void bed_wait(struct next_bed *b, uint64_t ms)
{
    b->now.ns += ms * NS_PER_MS;
    b->now.wall_ms += (int64_t)ms;
    b->last_at = b->log.n;
    while (timers_run(&b->timers, b->now, 100) > 0)
        continue;
    group_next_invariants(b->group);
}

/* ── requests ── */

/* A heartbeat that says nothing new. */
static inline struct consumer_group_heartbeat_request *bed_beat(struct next_bed *b, const char *id,
                                                                int32_t epoch)
{
    b->request = (struct consumer_group_heartbeat_request){.group_id = bytes_of_string("group"),
                                                           .member_id = bytes_of_string(id),
                                                           .member_epoch = epoch,
                                                           .rebalance_timeout_ms = -1,
                                                           .subscribed_topic_names_n = -1,
                                                           .topic_partitions_n = -1};
    return &b->request;
}

/* Names separated by spaces. */
static inline void bed_names(struct next_bed *b, const char *topics)
{
    b->request.subscribed_topic_names = b->names;
    b->request.subscribed_topic_names_n = 0;
    while (*topics != '\0') {
        size_t n = strcspn(topics, " ");
        b->names[b->request.subscribed_topic_names_n++] = bytes_of(topics, n);
        topics += n + (topics[n] == ' ');
    }
}

static inline void bed_owns(struct next_bed *b, const struct next_part *parts, uint32_t n)
{
    b->request.topic_partitions = b->owned;
    b->request.topic_partitions_n = 0;
    for (uint32_t i = 0; i < n; i++) {
        b->numbers[i] = parts[i].partition;
        if (i == 0 || !uuid_equal(&parts[i].topic_id, &parts[i - 1].topic_id))
            b->owned[b->request.topic_partitions_n++] =
                (struct consumer_group_heartbeat_request_topic_partitions){parts[i].topic_id,
                                                                           &b->numbers[i], 0};
        b->owned[b->request.topic_partitions_n - 1].partitions_n++;
    }
}

/* Sends what stands in b->request; the Kafka code. */
static inline int16_t bed_send(struct next_bed *b)
{
    struct fault f = {0};
    b->last_at = b->log.n;
    b->is_answered = false;
    arena_fini(&b->op.arena);
    b->op.request = &b->request;
    b->op.response = NULL;
    if (next_request_check(&b->request, b->api_version, &f)) {
        group_next_heartbeat(b->group, &b->op, b->now);
        assert_true(b->is_answered);
        group_next_invariants(b->group);
    } else {
        next_refuse(&b->op, &f);
    }
    b->out = b->op.response;
    assert_non_null(b->out);
    return b->out->error_code;
}

static inline int16_t bed_join(struct next_bed *b, const char *id, const char *topics)
{
    bed_beat(b, id, 0);
    b->request.rebalance_timeout_ms = 60000;
    bed_names(b, topics);
    bed_owns(b, NULL, 0);
    return bed_send(b);
}

static inline uint32_t bed_assigned_n(const struct next_bed *b)
{
    uint32_t n = 0;
    for (int32_t i = 0; b->out->assignment != NULL && i < b->out->assignment->topic_partitions_n;
         i++)
        n += (uint32_t)b->out->assignment->topic_partitions[i].partitions_n;
    return n;
}

static inline void bed_text(const struct next_bed *b, const char *text)
{
    if (b->out->error_message.ptr == NULL || !bytes_equal_string(b->out->error_message, text))
        fail_msg("%.*s\nexpected: %s", (int)b->out->error_message.n,
                 (const char *)b->out->error_message.ptr, text);
}

/* The types of the records that the last call made: "M" member, "E" epoch, "T" target, "t" its
 * epoch, "C" current, "R" expression; small letters behind '-' are tombstones: "-C". */
static inline const char *bed_records(const struct next_bed *b, char to[256])
{
    struct bytes key, value;
    uint32_t at = b->last_at, n = 0;
    while (n < 250 && group_records_next(&b->log, &at, &key, &value)) {
        static const char letters[] = "...EPMtTC.......R";
        if (value.ptr == NULL)
            to[n++] = '-';
        to[n++] = letters[load_i16(key.ptr)];
    }
    to[n] = '\0';
    return to;
}

#endif
