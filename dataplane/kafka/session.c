/*
 * session.c - fetch sessions: the cache, and the requests' side of KIP-227.
 *
 * Owner: worker. Rules: Apache Kafka's FetchManager, FetchSession and FetchSessionCacheShard.
 *
 *   id 0, epoch 0    a new session is asked for; it begins with the answer
 *   id 0, epoch -1   no session
 *   id n, epoch 0    session n ends, a new one is asked for
 *   id n, epoch -1   session n ends
 *   id n, epoch e    the next request of session n: partitions named are changed or added,
 * forgotten ones removed, all others are fetched as before
 *
 * An id is slot + a random multiple of the number of slots, so it is found without a search and
 * cannot be guessed easily; epochs run from 1 to INT32_MAX and on with 1.
 */
#include "session.h"

#include <stdlib.h>

#include "hash.h"
#include "ledger.h"

enum { TOPICS_PER_PARTS = 4, TOPICS_MIN = 64 };

static uint32_t power_of_two(uint32_t n)
{
    uint32_t p = 16;
    while (p < n)
        p *= 2;
    return p;
}

int sessions_init(struct sessions *s, uint32_t sessions_max, uint32_t parts_max, struct prng *prng)
{
    *s = (struct sessions){.max = sessions_max, .prng = prng};
    if (sessions_max == 0 || parts_max == 0) {
        s->max = 0;
        return 0;
    }
    s->seed = prng_next(prng); /* so that nobody can choose keys that meet in one chain */
    s->parts_max = parts_max;
    s->topics_max = parts_max / TOPICS_PER_PARTS + TOPICS_MIN;
    s->part_mask = power_of_two(s->parts_max) - 1;
    s->topic_mask = power_of_two(s->topics_max) - 1;
    s->v = calloc(s->max, sizeof *s->v);
    s->parts = calloc(s->parts_max, sizeof *s->parts);
    s->topics = calloc(s->topics_max, sizeof *s->topics);
    s->part_table = calloc(s->part_mask + 1, sizeof(struct session_part *));
    s->topic_table = calloc(s->topic_mask + 1, sizeof(struct session_topic *));
    bool is_whole = s->v != NULL && s->parts != NULL && s->topics != NULL &&
                    s->part_table != NULL && s->topic_table != NULL;
    if (!is_whole)
        sessions_fini(s);
    return is_whole ? 0 : E_NO_MEMORY;
}

void sessions_ledger(const struct sessions *s, struct ledger *ledger)
{
    if (s->max == 0)
        return;
    ledger_add(ledger, LEDGER_SESSIONS, s->v, s->max * sizeof *s->v);
    ledger_add(ledger, LEDGER_SESSIONS, s->parts, s->parts_max * sizeof *s->parts);
    ledger_add(ledger, LEDGER_SESSIONS, s->topics, s->topics_max * sizeof *s->topics);
    ledger_add(ledger, LEDGER_SESSIONS, s->part_table,
               (s->part_mask + 1ull) * sizeof *s->part_table);
    ledger_add(ledger, LEDGER_SESSIONS, s->topic_table,
               (s->topic_mask + 1ull) * sizeof *s->topic_table);
}

void sessions_fini(struct sessions *s)
{
    free(s->v);
    free(s->parts);
    free(s->topics);
    free(s->part_table);
    free(s->topic_table);
    *s = (struct sessions){0};
}

/* ── topics ── */

static uint64_t topic_hash(const struct sessions *s, const struct session *session,
                           struct bytes name, const struct uuid *id)
{
    uint64_t seed = s->seed ^ (uint32_t)session->id;
    return session->uses_ids ? hash_bytes(id->b, sizeof id->b, seed)
                             : hash_bytes(name.ptr, name.n, seed);
}

static bool topic_is(const struct session_topic *topic, const struct session *session,
                     struct bytes name, const struct uuid *id)
{
    if (topic->session != session)
        return false;
    return session->uses_ids ? uuid_equal(&topic->id, id)
                             : bytes_equal(bytes_of(topic->name, topic->name_n), name);
}

static struct session_topic *topic_find(const struct sessions *s, const struct session *session,
                                        struct bytes name, const struct uuid *id, uint64_t hash)
{
    struct session_topic *topic = s->topic_table[hash & s->topic_mask];
    while (topic != NULL && !topic_is(topic, session, name, id))
        topic = topic->hash_next;
    return topic;
}

static struct session_topic *topic_make(struct sessions *s, struct session *session,
                                        struct bytes name, const struct uuid *id, uint64_t hash)
{
    struct session_topic *topic = s->topics_free;
    if (!session->uses_ids && name.n > SESSION_NAME_MAX)
        return NULL;
    if (topic != NULL)
        s->topics_free = topic->hash_next;
    else if (s->topics_used_n < s->topics_max)
        topic = &s->topics[s->topics_used_n++];
    if (topic == NULL)
        return NULL;
    topic->session = session;
    topic->hash = hash;
    topic->id = *id;
    topic->parts_n = 0;
    topic->name_n = session->uses_ids ? 0 : (uint16_t)name.n;
    if (topic->name_n > 0)
        memcpy(topic->name, name.ptr, name.n);
    topic->hash_next = s->topic_table[hash & s->topic_mask];
    s->topic_table[hash & s->topic_mask] = topic;
    return topic;
}

static void topic_free(struct sessions *s, struct session_topic *topic)
{
    struct session_topic **at = &s->topic_table[topic->hash & s->topic_mask];
    while (*at != topic) {
        check(*at != NULL);
        at = &(*at)->hash_next;
    }
    *at = topic->hash_next;
    topic->session = NULL;
    topic->hash_next = s->topics_free;
    s->topics_free = topic;
}

/* ── partitions ── */

static struct session_part **part_chain(const struct sessions *s, const struct session_topic *topic,
                                        int32_t partition)
{
    return &s->part_table[hash_mix(topic->hash ^ (uint32_t)partition) & s->part_mask];
}

static struct session_part *part_find(const struct sessions *s, const struct session_topic *topic,
                                      int32_t partition)
{
    struct session_part *part = *part_chain(s, topic, partition);
    while (part != NULL && !(part->topic == topic && part->partition == partition))
        part = part->hash_next;
    return part;
}

static void part_remove(struct sessions *s, struct session *session, struct session_part *part)
{
    struct session_topic *topic = part->topic;
    struct session_part **at = part_chain(s, topic, part->partition);
    while (*at != part) {
        check(*at != NULL);
        at = &(*at)->hash_next;
    }
    *at = part->hash_next;
    list_del(&part->link);
    session->parts_n--;
    part->topic = NULL;
    part->hash_next = s->parts_free;
    s->parts_free = part;
    if (--topic->parts_n == 0)
        topic_free(s, topic);
}

static struct session_part *part_make(struct sessions *s, struct session *session,
                                      struct session_topic *topic, int32_t partition)
{
    struct session_part *part = s->parts_free;
    if (part != NULL)
        s->parts_free = part->hash_next;
    else if (s->parts_used_n < s->parts_max)
        part = &s->parts[s->parts_used_n++];
    if (part == NULL)
        return NULL;
    *part = (struct session_part){.topic = topic, .partition = partition, .high = -1, .start = -1};
    struct session_part **chain = part_chain(s, topic, partition);
    part->hash_next = *chain;
    *chain = part;
    list_init(&part->link);
    list_append(&session->parts, &part->link);
    session->parts_n++;
    topic->parts_n++;
    return part;
}

struct session_part *session_add(struct sessions *s, struct session *session, struct bytes name,
                                 const struct uuid *id, int32_t partition)
{
    uint64_t hash = topic_hash(s, session, name, id);
    struct session_topic *topic = topic_find(s, session, name, id, hash);
    bool is_new = topic == NULL;
    if (is_new)
        topic = topic_make(s, session, name, id, hash);
    if (topic == NULL)
        return NULL;
    struct session_part *part = part_find(s, topic, partition);
    if (part == NULL)
        part = part_make(s, session, topic, partition);
    if (part == NULL && is_new)
        topic_free(s, topic);
    return part;
}

bool session_note(struct session *session, struct session_part *part, bool has_records,
                  bool is_wrong, int64_t high, int64_t start)
{
    bool is_named = has_records || is_wrong || part->high != high || part->start != start;
    part->high = is_wrong ? -1 : high; /* when the error goes away, it is told again */
    part->start = start;
    if (has_records) {
        list_del(&part->link);
        list_append(&session->parts, &part->link);
    }
    return is_named;
}

/* ── sessions ── */

void session_remove(struct sessions *s, struct session *session)
{
    struct list *l;
    if (session->is_busy) {
        session->is_doomed = true;
        return;
    }
    while ((l = session->parts.next) != &session->parts)
        part_remove(s, session, list_entry(l, struct session_part, link));
    session->id = 0;
    s->n--;
}

void session_end(struct sessions *s, struct session *session)
{
    check(session->is_busy);
    session->is_busy = false;
    if (session->is_doomed)
        session_remove(s, session);
}

static struct session *session_find(const struct sessions *s, int32_t id)
{
    if (s->max == 0 || id <= 0)
        return NULL;
    struct session *session = &s->v[(uint32_t)id % s->max];
    return session->id == id && !session->is_doomed ? session : NULL;
}

/* The session that may go for a new one of `parts_n` partitions; NULL: none. */
static struct session *session_victim(const struct sessions *s, uint32_t parts_n, uint64_t now_ns)
{
    uint64_t age_ns = (uint64_t)SESSION_EVICTION_MS * NS_PER_MS;
    struct session *oldest = NULL, *smallest = NULL;
    for (uint32_t i = 0; i < s->max; i++) {
        struct session *v = &s->v[i];
        if (v->is_busy)
            continue;
        if (oldest == NULL || v->used_ns < oldest->used_ns)
            oldest = v;
        if (now_ns - v->created_ns > age_ns && v->parts_n < parts_n &&
            (smallest == NULL || v->parts_n < smallest->parts_n))
            smallest = v;
    }
    return oldest != NULL && now_ns - oldest->used_ns > age_ns ? oldest : smallest;
}

static struct session *session_place(struct sessions *s, uint32_t parts_n, uint64_t now_ns)
{
    struct session *victim;
    if (s->n < s->max) {
        uint32_t from = (uint32_t)prng_below(s->prng, s->max);
        for (uint32_t i = 0; i < s->max; i++)
            if (s->v[(from + i) % s->max].id == 0)
                return &s->v[(from + i) % s->max];
    }
    victim = session_victim(s, parts_n, now_ns);
    if (victim != NULL)
        session_remove(s, victim);
    return victim;
}

struct session *session_new(struct sessions *s, uint32_t parts_n, bool uses_ids, struct now now)
{
    struct session *session;
    if (s->max == 0 || parts_n == 0 || parts_n > s->parts_max)
        return NULL;
    session = session_place(s, parts_n, now.ns);
    if (session == NULL)
        return NULL;
    uint32_t slot = (uint32_t)(session - s->v), turns_n = (uint32_t)INT32_MAX / s->max - 1;
    *session = (struct session){
        .id = (int32_t)(slot + s->max * (1 + (uint32_t)prng_below(s->prng, turns_n))),
        .epoch = 1,
        .uses_ids = uses_ids,
        .created_ns = now.ns,
        .used_ns = now.ns,
    };
    list_init(&session->parts);
    s->n++;
    return session;
}

/* ── requests ── */

static bool session_update(struct sessions *s, struct session *session,
                           const struct fetch_request *q, int16_t version)
{
    for (int32_t i = 0; i < q->topics_n; i++) {
        const struct fetch_request_topics *topic = &q->topics[i];
        for (int32_t k = 0; k < topic->partitions_n; k++) {
            const struct fetch_request_topics_partitions *asked = &topic->partitions[k];
            struct session_part *part =
                session_add(s, session, topic->topic, &topic->topic_id, asked->partition);
            if (part == NULL)
                return false;
            part->offset = asked->fetch_offset;
            part->bytes_max = asked->partition_max_bytes;
            part->leader_epoch = asked->current_leader_epoch;
            part->last_fetched_epoch = version >= 12 ? asked->last_fetched_epoch : -1;
        }
    }
    for (int32_t i = 0; i < q->forgotten_topics_data_n; i++) {
        const struct fetch_request_forgotten_topics_data *gone = &q->forgotten_topics_data[i];
        for (int32_t k = 0; k < gone->partitions_n; k++) {
            struct session_topic *topic =
                topic_find(s, session, gone->topic, &gone->topic_id,
                           topic_hash(s, session, gone->topic, &gone->topic_id));
            struct session_part *part =
                topic == NULL ? NULL : part_find(s, topic, gone->partitions[k]);
            if (part != NULL)
                part_remove(s, session, part);
        }
    }
    return true;
}

/* The next request of a session that is there. */
static int16_t session_go_on(struct sessions *s, struct session *session,
                             const struct fetch_request *q, int16_t version, struct now now)
{
    if (session->is_busy || session->epoch != q->session_epoch)
        return KAFKA_INVALID_FETCH_SESSION_EPOCH;
    if (session->uses_ids != (version >= 13))
        return KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
    if (!session_update(s, session, q, version)) { /* no room: the client begins anew, without */
        session_remove(s, session);
        return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    }
    session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
    session->used_ns = now.ns;
    return KAFKA_NONE;
}

int16_t session_begin(struct sessions *s, const struct fetch_request *q, int16_t version,
                      struct now now, struct session **out, bool *wants_one)
{
    int32_t epoch = version >= 7 ? q->session_epoch : SESSION_EPOCH_FINAL;
    struct session *session = version >= 7 ? session_find(s, q->session_id) : NULL;
    *out = NULL;
    *wants_one = epoch == SESSION_EPOCH_INITIAL;
    if (epoch == SESSION_EPOCH_INITIAL || epoch == SESSION_EPOCH_FINAL) {
        if (session != NULL)
            session_remove(s, session);
        return KAFKA_NONE;
    }
    if (session == NULL)
        return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    int16_t code = session_go_on(s, session, q, version, now);
    if (code != KAFKA_NONE)
        return code;
    if (session->parts_n == 0) { /* everything was forgotten: it is over */
        session_remove(s, session);
        return KAFKA_NONE;
    }
    session->is_busy = true;
    *out = session;
    return KAFKA_NONE;
}
