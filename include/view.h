/*
 * view.h - what control publishes and every worker reads without a lock: topics, partitions,
 * settings.
 *
 * Owner: immutable. Control builds a new view (sharing unchanged topics with the old one) and
 * publishes it; a worker loads it once per turn, after its mail, and uses it to the end of the
 * turn, and for no longer. Control frees a view when every worker has begun a turn with a newer one
 * (view_seen).
 */
#ifndef MILLRACE_VIEW_H
#define MILLRACE_VIEW_H

#include <stdatomic.h>

#include "base.h"
#include "bytes.h"
#include "listener.h"
#include "mail.h"
#include "storage.h"

/* Owner: immutable, counted by control. */
struct view_partition {
    int32_t leader; /* node id, -1 for none */
    int32_t leader_epoch;
    uint8_t home;       /* thread number of the worker that owns the log */
    uint8_t dir;        /* the log's directory: place in view.dirs; meaningless without a leader */
    uint8_t future_dir; /* it is being moved there; 255: it is not */
    bool is_offline;    /* no leader, because its directory or its log failed */
};

struct view_topic {
    struct uuid id;
    struct bytes name;
    struct log_config config;
    uint32_t refs; /* views that hold it; control's */
    bool is_internal;
    int32_t partitions_n;
    int32_t replicas_n;
    struct view_partition partitions[]; /* by partition number */
};

enum { LIVE_OVERRIDES_MAX = 64 };

/* Broker settings that act while the process runs, as they are in force. Owner: immutable. */
struct live_settings {
    uint64_t connections_max;        /* max.connections */
    uint64_t connections_per_ip_max; /* max.connections.per.ip */
    struct live_override {           /* max.connections.per.ip.overrides */
        uint8_t ip[16];              /* IPv4 as ::ffff:a.b.c.d */
        uint32_t connections_max;
    } overrides[LIVE_OVERRIDES_MAX];
    uint32_t overrides_n;
    struct store_live store;
};

/* Owner: immutable. Tables are open addressing, power of two, at most half full. */
struct view {
    uint64_t version; /* grows by one per publish */
    char cluster_id[64];
    int32_t node_id;
    char rack[64]; /* "" for none */
    int32_t controller_id;
    bool auto_create_topics;      /* auto.create.topics.enable */
    bool offers_telemetry;        /* clients are told that they may ask what to push */
    int32_t default_partitions_n; /* num.partitions */
    uint32_t topics_n, partitions_n;
    uint32_t table_mask;
    uint64_t hash_seed;
    struct view_topic **by_name, **by_id; /* table_mask + 1 slots, NULL = free */
    struct view_topic **topics;           /* topics_n, sorted by name */
    uint32_t listeners_n;
    struct listener listeners[LISTENERS_MAX];
    int64_t metadata_offset; /* of the metadata log; the finalized features' epoch */
    int16_t feature_metadata_version, feature_group_version; /* finalized levels; 0: none */
    int32_t leader_epoch;
    const struct log_dir *dirs; /* log.dirs; immutable for the life of the process */
    uint8_t dirs_n;
    uint64_t dirs_offline;  /* bit 1 << i: directory i could not be taken, or failed */
    uint64_t dirs_cordoned; /* bit 1 << i: directory i gets no new partitions */
    struct live_settings live;
};

/* NULL when there is none; valid as long as the view is. */
const struct view_topic *view_topic_by_name(const struct view *view, struct bytes name);
const struct view_topic *view_topic_by_id(const struct view *view, const struct uuid *id);

/* The meeting place of control and workers. Owner: control, but `current` (read by all) and seen[i]
 * (worker i). */
struct views {
    _Atomic(struct view *) current;
    struct {
        _Alignas(64) _Atomic uint64_t version;
    } seen[THREADS_MAX];
    uint8_t workers_n;
};

/* For worker `worker`, once a turn: the current view; what an earlier call returned is invalid from
 * now on. */
static inline const struct view *view_load(struct views *views, uint8_t worker)
{
    const struct view *view = atomic_load_explicit(&views->current, memory_order_acquire);
    if (view != NULL) /* V1: pairs with the acquire load of seen in control's view_retire */
        atomic_store_explicit(&views->seen[worker].version, view->version, memory_order_release);
    return view;
}

#endif
