/*
 * state.h - what the metadata log says: topics, partitions, settings, brokers, features, producer
 * ids.
 *
 * Owner: control.
 *
 * State is a pure function of the records: state_apply is the only function that changes it, at
 * replay and for live requests alike. What is remembered beside it for speed or publishing stands
 * in fields marked `runtime` and is never compared or derived from anything but the state and the
 * settings.
 */
#ifndef MILLRACE_STATE_H
#define MILLRACE_STATE_H

#include "arena.h"
#include "bytes.h"
#include "errors.h"

enum {
    STATE_FEATURES_MAX = 32,
    STATE_NAME_MAX = 64,            /* of a feature */
    METADATA_VERSION_MIN = 7,       /* 3.3-IV3, the oldest Kafka 4 reads */
    METADATA_VERSION_MAX = 30,      /* 4.3-IV0 */
    METADATA_VERSION_LOG_DIRS = 17, /* records carry directories from here on */
    STATE_RECORD_ARENA_MAX = 16 << 20,
};

enum resource_type { /* of CONFIG records and DescribeConfigs (ConfigResource.Type) */
                     RESOURCE_TOPIC = 2,
                     RESOURCE_BROKER = 4,
                     RESOURCE_CLIENT_METRICS = 16,
                     RESOURCE_GROUP = 32,
};

/* Settings of one resource, sorted by key. Owner: control. */
struct settings {
    struct setting {
        char *key, *value; /* heap */
    } * v;
    uint32_t n;
};

struct moving;

/* Owner: control. */
struct partition {
    int32_t leader; /* node id, -1 = none; PARTITION_MISSING = no record yet */
    int32_t leader_epoch, partition_epoch;
    int32_t *nodes; /* heap: replicas, then the in-sync ones */
    uint16_t replicas_n, isr_n;
    int8_t recovery;
    struct uuid directory; /* of this node's replica; zero: not said */
    uint8_t dir;           /* runtime: its place in log.dirs, DIR_NONE, DIR_UNKNOWN */
    bool is_found;         /* runtime: a start has seen its files in `dir` */
    bool is_failed;        /* runtime: its log could not be opened */
    struct moving *moving; /* runtime: to another directory, or NULL (moves.c) */
};
enum { PARTITION_MISSING = -2, DIR_NONE = 255, DIR_UNKNOWN = 254 };

struct view_topic;

/* Owner: control. */
struct topic {
    struct uuid id;
    struct settings settings;
    int32_t partitions_n, partitions_max;
    struct partition *partitions;      /* by number */
    struct topic *next_name, *next_id; /* of the tables' chains */
    struct view_topic *view;           /* runtime: as published; NULL = must be built anew */
    bool is_changed;                   /* runtime: since `view` was made */
    int32_t opened_n;                  /* runtime: partitions whose logs were asked for */
    bool is_removed;                   /* waits for state_settle */
    uint32_t name_n;
    char name[]; /* zero-terminated */
};

/* Owner: control. */
struct resource {
    int8_t type; /* enum resource_type, but topics */
    char *name;
    struct settings settings;
};

struct broker {
    int32_t id;
    int64_t epoch;
    struct uuid incarnation;
    bool is_fenced, in_shutdown;
};

struct state {
    uint64_t hash_seed;
    int32_t node_id;                 /* of this node, -1: not known; whose directories are kept */
    struct topic **by_name, **by_id; /* chains; by_name by the name with '.' read as '_' */
    uint32_t table_mask;
    struct topic **topics; /* the first sorted_n by name, then new ones; removed ones still in */
    uint32_t topics_n, topics_max, sorted_n;
    uint32_t live_n; /* topics that are not removed */
    uint64_t partitions_n;
    struct resource *resources; /* sorted by type and name */
    uint32_t resources_n;
    struct broker *brokers;
    uint32_t brokers_n;
    struct {
        char name[STATE_NAME_MAX];
        int16_t level;
    } features[STATE_FEATURES_MAX];
    uint32_t features_n;
    int64_t next_producer_id;
    int64_t end_offset;  /* of the log: the next record's */
    int32_t epoch;       /* of the last batch */
    uint64_t skipped_n;  /* records of known types that mean nothing here */
    uint64_t unkept_n;   /* of them those that say something that is kept nowhere else */
    bool in_transaction; /* between BEGIN_TRANSACTION and its end ... */
    uint8_t *held;       /* ... the records, each behind its length (u32) */
    uint64_t held_n, held_max;
    uint64_t settings_version;  /* runtime: grows when a broker setting changes */
    uint64_t groups_version;    /* the same, or a setting of a group */
    uint64_t telemetry_version; /* a client-metrics subscription changes */
};

nodiscard int state_init(struct state *state, uint64_t hash_seed);
void state_fini(struct state *state);

/* Applies one record (the value of a record of the metadata log). E_CORRUPT (it contradicts the
 * state), E_MALFORMED, E_UNSUPPORTED (a record or metadata version newer than this program),
 * E_NO_MEMORY. */
nodiscard int state_apply(struct state *state, struct bytes record);
/* Applies all records of a batch and moves end_offset behind it. Control batches hold none. */
nodiscard int state_apply_batch(struct state *state, const uint8_t *batch);
/* The same in pieces: from byte *at of the records on (0 at first), as many as *records_n, which is
 * counted down. E_AGAIN: there are more, and end_offset stands where it was. */
nodiscard int state_apply_part(struct state *state, const uint8_t *batch, uint32_t *at,
                               uint32_t *records_n);

struct topic *state_topic_by_name(const struct state *state, struct bytes name);
struct topic *state_topic_by_id(const struct state *state, const struct uuid *id);
/* Another topic whose name is the same when '.' and '_' are not told apart; NULL when there is
 * none. */
struct topic *state_topic_collision(const struct state *state, struct bytes name);
/* Sorts new topics in and frees the removed ones: afterwards topics[0..live_n) are sorted by name.
 */
nodiscard int state_settle(struct state *state);

/* NULL when the resource has no settings. */
const struct settings *state_settings(const struct state *state, int8_t type, struct bytes name);
/* NULL when it is not set. */
const char *settings_get(const struct settings *settings, const char *key);
struct broker *state_broker(const struct state *state, int32_t id);
/* The level of a feature, 0 when it was never set. */
int16_t state_feature(const struct state *state, const char *name);

/* A text of everything the records made, in a canonical order, for comparing states in tests and in
 * `dump`. Heap; NULL without memory. */
char *state_text(struct state *state);

#endif
