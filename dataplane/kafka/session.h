/*
 * session.h - fetch sessions (KIP-227): what a client fetches again and again, remembered, so that
 * its requests carry changes only and the answers only what is new.
 *
 * Owner: worker. One cache per worker, all of it made at boot (memory is touched as it is used): no
 * allocation, and no work at all for fetches without a session.
 *
 * Bounds: sessions_max sessions (the worker's share of max.incremental.fetch.session.cache.slots),
 * parts_max partitions and topics_max topics over all of them. When a session does not fit the
 * fetch is answered with session id 0, which clients take as "send everything again". A new session
 * may take the place of the one unused longest, after SESSION_EVICTION_MS without use; or of the
 * smallest one older than that, when it is larger itself (Apache Kafka's rules for consumers).
 *
 * A session that a fetch is using is busy: it is neither evicted nor changed; what would close it
 * only marks it, and the fetch that uses it ends it.
 */
#ifndef MILLRACE_SESSION_H
#define MILLRACE_SESSION_H

#include "codes.h"
#include "list.h"
#include "prng.h"
#include "request.h"

enum {
    SESSION_EVICTION_MS = 120000,
    SESSION_EPOCH_INITIAL = 0,
    SESSION_EPOCH_FINAL = -1,
    SESSION_NAME_MAX = 249,
};

/* Owner: its session. */
struct session_topic {
    struct session_topic *hash_next;
    struct session *session; /* NULL: free */
    uint64_t hash;
    struct uuid id;
    uint32_t parts_n;
    uint16_t name_n;
    uint8_t name[SESSION_NAME_MAX]; /* of sessions by name */
};

/* One partition: what is asked, and what was answered last. Owner: its session. */
struct session_part {
    struct list link; /* session.parts: the next to be read first */
    struct session_part *hash_next;
    struct session_topic *topic;
    int64_t offset;
    int64_t high, start; /* as the client knows them; -1: not at all */
    int32_t partition;
    int32_t bytes_max, last_fetched_epoch, leader_epoch;
};

/* Owner: the cache. */
struct session {
    int32_t id;    /* 0: free */
    int32_t epoch; /* of the next request */
    bool uses_ids; /* topic ids, from v13 on; names before: it may not change (trap 26) */
    bool is_busy, is_doomed;
    uint32_t parts_n;
    uint64_t created_ns, used_ns;
    struct list parts;
};

/* Owner: worker. */
struct sessions {
    struct session *v;
    uint32_t max, n;
    struct session_part *parts, *parts_free, **part_table;
    struct session_topic *topics, *topics_free, **topic_table;
    uint32_t parts_max, parts_used_n; /* used: the first so many were ever given out */
    uint32_t topics_max, topics_used_n;
    uint32_t part_mask, topic_mask;
    uint64_t seed;
    struct prng *prng;
};

/* E_NO_MEMORY. sessions_max 0: there are none. */
nodiscard int sessions_init(struct sessions *sessions, uint32_t sessions_max, uint32_t parts_max,
                            struct prng *prng);
void sessions_fini(struct sessions *sessions);
void sessions_ledger(const struct sessions *sessions, struct ledger *ledger);

/* What the request says about its session. 0 with *session NULL: none, and *wants_one when it asks
 * for a new one; 0 with *session: it is updated, busy, and its partitions are what is fetched. Or
 * FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR. */
int16_t session_begin(struct sessions *sessions, const struct fetch_request *request,
                      int16_t version, struct now now, struct session **session, bool *wants_one);
/* The fetch is over, whatever came of it. */
void session_end(struct sessions *sessions, struct session *session);

/* A new session for `parts_n` partitions, with none in it; NULL: there is no place. It has to get
 * them all by session_add, or be removed. */
struct session *session_new(struct sessions *sessions, uint32_t parts_n, bool uses_ids,
                            struct now now);
void session_remove(struct sessions *sessions, struct session *session);
/* The partition, found or made; NULL: no room. */
struct session_part *session_add(struct sessions *sessions, struct session *session,
                                 struct bytes name, const struct uuid *id, int32_t partition);
/* Must the answer name this partition? Takes note of what it says. `has_records` puts it behind all
 * others, so that the next answer begins with another one. */
bool session_note(struct session *session, struct session_part *part, bool has_records,
                  bool is_wrong, int64_t high, int64_t start);

#endif
