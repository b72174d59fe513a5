/*
 * member.c - simulated members of one consumer group (classic protocol), one request at a time.
 *
 * Owner: the simulator.
 *
 *   FIND -> JOIN -> SYNC -> OFFSETS -> READ -> (COMMIT | HEARTBEAT | READ)* -> JOIN again
 *
 * The leader deals out all partitions of all created topics in turn. A member reads its partitions
 * one after the other from the group's committed offset, marks what it read as processed and
 * commits. Now and then one leaves, or falls silent for longer than its session.
 *
 * Checked, beside the rules in sim.h:
 *   7. an acknowledged commit is there, after any crash: OffsetFetch never answers less than what
 *      was acknowledged before it was asked
 *   8. nobody commits behind the group's back: a commit is not accepted below one that was
 *      acknowledged before it was sent (its sender has lost the partition)
 *   9. everything below a committed offset was processed by some member
 */
#include <inttypes.h>
#include <stdlib.h>

#include "check.h"
#include "messages.h"
#include "proto.h"
#include "wire.h"

enum step { STEP_FIND, STEP_JOIN, STEP_SYNC, STEP_OFFSETS, STEP_READ, STEP_COMMIT, STEP_HEARTBEAT };

enum {
    MEMBER_PARTITIONS_MAX = SIM_TOPICS_MAX * SIM_PARTITIONS_MAX,
    SESSION_MS = 60,
    REBALANCE_MS = 100,
    HEARTBEAT_MS = 10,
    COORDINATOR_LOADING = 14,
    COORDINATOR_NOT_AVAILABLE = 15,
    NOT_COORDINATOR = 16,
    ILLEGAL_GENERATION = 22,
    UNKNOWN_MEMBER_ID = 25,
    REBALANCE_IN_PROGRESS = 27,
    MEMBER_ID_REQUIRED = 79,
};

static const int16_t step_keys[] = {10, 11, 14, 9, 1, 8, 12};
static const int16_t step_versions[] = {3, 5, 3, 5, 11, 7, 3};

struct member_partition {
    uint32_t topic;
    int32_t partition;
    int64_t position, committed, high;
};

struct sim_member {
    struct sim_wire wire;
    uint8_t step; /* of the request under way, or the next one */
    bool is_waiting;
    uint64_t silent_until_ns, heartbeat_ns;
    char id[400];
    bool is_leader;
    bool has_offsets; /* positions are the group's */
    int32_t generation;
    struct member_partition parts[MEMBER_PARTITIONS_MAX];
    uint32_t parts_n, part_at;
    int64_t asked[SIM_TOPICS_MAX]
                 [SIM_PARTITIONS_MAX]; /* acknowledged commits when the question was sent */
    struct {
        char id[400];
    } members[SIM_MEMBERS_MAX + 2];
    uint32_t members_n;
};

static const char group_name[] = "group";

struct sim_member *member_new(void)
{
    struct sim_member *m = calloc(1, sizeof *m);
    check(m != NULL);
    wire_init(&m->wire);
    return m;
}

void member_free(struct sim_member *m)
{
    wire_fini(&m->wire);
    free(m);
}

/* The connection is gone; the membership may not be. */
void member_broker_gone(struct sim_member *m)
{
    wire_gone(&m->wire);
    m->is_waiting = false;
    if (m->step != STEP_READ && m->step != STEP_HEARTBEAT && m->step != STEP_COMMIT)
        m->step = STEP_FIND;
}

static void member_rejoin(struct sim_member *m, bool forget)
{
    if (forget)
        m->id[0] = 0;
    m->parts_n = 0;
    m->step = STEP_JOIN;
}

/* ── asking ── */

static struct bytes text(const char *s)
{
    return bytes_of_string(s);
}

static const void *ask_join(struct sim_member *m, struct arena *a)
{
    struct join_group_request *r = PROTO_NEW(a, join_group_request, 1);
    r->group_id = text(group_name);
    r->session_timeout_ms = SESSION_MS;
    r->rebalance_timeout_ms = REBALANCE_MS;
    r->member_id = text(m->id);
    r->protocol_type = text("consumer");
    r->protocols = PROTO_NEW(a, join_group_request_protocols, 1);
    r->protocols_n = 1;
    r->protocols->name = text("dealt");
    r->protocols->metadata = bytes_of("m", 1);
    return r;
}

/* Partition k of all goes to member k mod n; an assignment is pairs of u32, topic and partition. */
static void assignment_write(const struct sim *s, uint32_t at, uint32_t n, uint8_t *to,
                             uint32_t *bytes)
{
    uint32_t k = 0;
    *bytes = 0;
    for (uint32_t t = 0; t < s->topics_n; t++) {
        for (int32_t p = 0; s->topics[t].is_created && p < s->topics[t].partitions_n; p++) {
            if (k++ % n != at)
                continue;
            store_u32(to + *bytes, t);
            store_u32(to + *bytes + 4, (uint32_t)p);
            *bytes += 8;
        }
    }
}

static const void *ask_sync(const struct sim *s, struct sim_member *m, struct arena *a)
{
    struct sync_group_request *r = PROTO_NEW(a, sync_group_request, 1);
    r->group_id = text(group_name);
    r->generation_id = m->generation;
    r->member_id = text(m->id);
    if (!m->is_leader)
        return r;
    r->assignments = PROTO_NEW(a, sync_group_request_assignments, m->members_n);
    r->assignments_n = (int32_t)m->members_n;
    for (uint32_t i = 0; i < m->members_n; i++) {
        uint8_t *to = arena_alloc(a, 8 * MEMBER_PARTITIONS_MAX);
        uint32_t bytes;
        assignment_write(s, i, m->members_n, to, &bytes);
        r->assignments[i].member_id = text(m->members[i].id);
        r->assignments[i].assignment = bytes_of(to, bytes);
    }
    return r;
}

static const void *ask_offsets(const struct sim *s, struct sim_member *m, struct arena *a)
{
    struct offset_fetch_request *r = PROTO_NEW(a, offset_fetch_request, 1);
    memcpy(m->asked, s->group_committed, sizeof m->asked);
    r->group_id = text(group_name);
    r->topics = PROTO_NEW(a, offset_fetch_request_topics, m->parts_n);
    r->topics_n = (int32_t)m->parts_n;
    for (uint32_t i = 0; i < m->parts_n; i++) {
        int32_t *index = arena_alloc(a, sizeof *index);
        *index = m->parts[i].partition;
        r->topics[i].name = text(s->topics[m->parts[i].topic].name);
        r->topics[i].partition_indexes = index;
        r->topics[i].partition_indexes_n = 1;
    }
    return r;
}

static const void *ask_read(const struct sim *s, struct sim_member *m, struct arena *a)
{
    const struct member_partition *p = &m->parts[m->part_at];
    struct fetch_request *r = PROTO_NEW(a, fetch_request, 1);
    r->max_wait_ms = 3;
    r->min_bytes = 1;
    r->max_bytes = 100000;
    r->topics = PROTO_NEW(a, fetch_request_topics, 1);
    r->topics_n = 1;
    r->topics->topic = text(s->topics[p->topic].name);
    r->topics->partitions = PROTO_NEW(a, fetch_request_topics_partitions, 1);
    r->topics->partitions_n = 1;
    r->topics->partitions->partition = p->partition;
    r->topics->partitions->fetch_offset = p->position;
    r->topics->partitions->partition_max_bytes = 50000;
    return r;
}

static const void *ask_commit(const struct sim *s, struct sim_member *m, struct arena *a)
{
    const struct member_partition *p = &m->parts[m->part_at];
    struct offset_commit_request *r = PROTO_NEW(a, offset_commit_request, 1);
    memcpy(m->asked, s->group_committed, sizeof m->asked);
    r->group_id = text(group_name);
    r->generation_id_or_member_epoch = m->generation;
    r->member_id = text(m->id);
    r->topics = PROTO_NEW(a, offset_commit_request_topics, 1);
    r->topics_n = 1;
    r->topics->name = text(s->topics[p->topic].name);
    r->topics->partitions = PROTO_NEW(a, offset_commit_request_topics_partitions, 1);
    r->topics->partitions_n = 1;
    r->topics->partitions->partition_index = p->partition;
    r->topics->partitions->committed_offset = p->position;
    r->topics->partitions->committed_metadata = text("");
    return r;
}

static const void *ask_heartbeat(struct sim_member *m, struct arena *a)
{
    struct heartbeat_request *r = PROTO_NEW(a, heartbeat_request, 1);
    r->group_id = text(group_name);
    r->generation_id = m->generation;
    r->member_id = text(m->id);
    return r;
}

static const void *ask_find(struct arena *a)
{
    struct find_coordinator_request *r = PROTO_NEW(a, find_coordinator_request, 1);
    r->key = text(group_name);
    return r;
}

static void member_ask(struct sim *s, struct sim_member *m)
{
    struct arena arena;
    const void *request = NULL;
    arena_init(&arena, NULL, NULL, MIB(1));
    switch ((enum step)m->step) {
    case STEP_FIND: request = ask_find(&arena); break;
    case STEP_JOIN: request = ask_join(m, &arena); break;
    case STEP_SYNC: request = ask_sync(s, m, &arena); break;
    case STEP_OFFSETS: request = ask_offsets(s, m, &arena); break;
    case STEP_READ: request = ask_read(s, m, &arena); break;
    case STEP_COMMIT: request = ask_commit(s, m, &arena); break;
    case STEP_HEARTBEAT: request = ask_heartbeat(m, &arena); break;
    }
    wire_queue(&m->wire, step_keys[m->step], step_versions[m->step], request, &arena);
    m->is_waiting = true;
    arena_fini(&arena);
}

/* ── answers ── */

/* What every group answer may say; true: it was an error, and the next step is set. */
static bool member_error(struct sim_member *m, int16_t code)
{
    switch (code) {
    case 0: return false;
    case COORDINATOR_LOADING:
    case COORDINATOR_NOT_AVAILABLE:
    case NOT_COORDINATOR: m->step = m->step == STEP_COMMIT ? STEP_COMMIT : STEP_FIND; return true;
    case UNKNOWN_MEMBER_ID: member_rejoin(m, true); return true;
    default: member_rejoin(m, false); return true; /* a rebalance, an old generation */
    }
}

static void id_set(char *to, struct bytes from)
{
    check(from.n < 400);
    if (from.n > 0)
        memcpy(to, from.ptr, from.n);
    to[from.n] = 0;
}

static void answer_join(struct sim_member *m, const struct join_group_response *r)
{
    if (r->error_code == MEMBER_ID_REQUIRED) {
        id_set(m->id, r->member_id);
        m->step = STEP_JOIN;
        return;
    }
    if (member_error(m, r->error_code))
        return;
    id_set(m->id, r->member_id);
    m->generation = r->generation_id;
    m->is_leader = bytes_equal(r->leader, r->member_id);
    m->members_n = 0;
    for (int32_t i = 0; i < r->members_n && m->members_n < array_n(m->members); i++)
        id_set(m->members[m->members_n++].id, r->members[i].member_id);
    m->step = STEP_SYNC;
}

static void answer_sync(struct sim_member *m, const struct sync_group_response *r)
{
    if (member_error(m, r->error_code))
        return;
    m->parts_n = m->part_at = 0;
    m->has_offsets = false;
    for (uint32_t at = 0; at + 8 <= r->assignment.n && m->parts_n < MEMBER_PARTITIONS_MAX; at += 8)
        m->parts[m->parts_n++] =
            (struct member_partition){.topic = load_u32(r->assignment.ptr + at),
                                      .partition = (int32_t)load_u32(r->assignment.ptr + at + 4)};
    m->step = m->parts_n > 0 ? STEP_OFFSETS : STEP_HEARTBEAT;
}

static bool answer_offsets(struct sim *s, struct sim_member *m,
                           const struct offset_fetch_response *r)
{
    if (member_error(m, r->error_code))
        return true;
    if ((uint32_t)r->topics_n != m->parts_n)
        return sim_fail(s, "OffsetFetch answered %d topics of %u", r->topics_n, m->parts_n);
    for (uint32_t i = 0; i < m->parts_n; i++) {
        struct member_partition *p = &m->parts[i];
        int64_t committed = r->topics[i].partitions[0].committed_offset;
        if (member_error(m, r->topics[i].partitions[0].error_code))
            return true;
        committed = max_i64(committed, 0);
        if (committed < m->asked[p->topic][p->partition])
            return sim_fail(s,
                            "group: %s-%d: committed %" PRId64
                            " was acknowledged, OffsetFetch says %" PRId64,
                            s->topics[p->topic].name, p->partition,
                            m->asked[p->topic][p->partition], committed);
        /* A commit whose answer was lost in a crash is known from here on. */
        s->group_committed[p->topic][p->partition] = committed;
        p->position = p->committed = committed;
        p->high = -1;
    }
    m->has_offsets = true;
    m->step = STEP_READ;
    return true;
}

static void answer_read(struct sim *s, struct sim_member *m, const struct fetch_response *r)
{
    struct member_partition *p = &m->parts[m->part_at];
    const struct fetch_response_responses_partitions *a = &r->responses[0].partitions[0];
    m->step = STEP_READ;
    if (r->responses_n != 1 || a->error_code != 0)
        return;
    p->high = a->high_watermark;
    int64_t end = model_batches_end(&a->records, p->position);
    if (end > p->position) {
        model_processed(s, p->topic, p->partition, p->position, end);
        p->position = end;
        m->step = STEP_COMMIT;
        return;
    }
    m->part_at = (m->part_at + 1) % m->parts_n;
}

static bool answer_commit(struct sim *s, struct sim_member *m,
                          const struct offset_commit_response *r)
{
    struct member_partition *p = &m->parts[m->part_at];
    if (r->topics_n != 1 || r->topics[0].partitions_n != 1)
        return sim_fail(s, "OffsetCommit: not one answer for one partition");
    if (member_error(m, r->topics[0].partitions[0].error_code))
        return true;
    if (p->position < m->asked[p->topic][p->partition])
        return sim_fail(s, "group: %s-%d: a commit of %" PRId64 " was accepted after %" PRId64,
                        s->topics[p->topic].name, p->partition, p->position,
                        m->asked[p->topic][p->partition]);
    p->committed = p->position;
    int64_t *acked = &s->group_committed[p->topic][p->partition];
    *acked = max_i64(*acked, p->position);
    m->step = STEP_READ;
    m->part_at = (m->part_at + 1) % m->parts_n;
    return model_check_processed(s, p->topic, p->partition, p->position);
}

static bool member_decoded(struct sim *s, struct sim_member *m, const void *r)
{
    switch ((enum step)m->step) {
    case STEP_FIND: {
        const struct find_coordinator_response *f = r;
        m->step = f->error_code != 0                 ? STEP_FIND
                  : m->id[0] == 0 || m->parts_n == 0 ? STEP_JOIN
                  : m->has_offsets                   ? STEP_HEARTBEAT
                                                     : STEP_OFFSETS;
        if (f->error_code != 0)
            m->silent_until_ns = s->now.ns + NS_PER_MS;
        return true;
    }
    case STEP_JOIN: answer_join(m, r); return true;
    case STEP_SYNC: answer_sync(m, r); return true;
    case STEP_OFFSETS: return answer_offsets(s, m, r);
    case STEP_READ: answer_read(s, m, r); return true;
    case STEP_COMMIT: return answer_commit(s, m, r);
    case STEP_HEARTBEAT:
        if (!member_error(m, ((const struct heartbeat_response *)r)->error_code))
            m->step = m->parts_n == 0 ? STEP_HEARTBEAT : m->has_offsets ? STEP_READ : STEP_OFFSETS;
        m->heartbeat_ns = s->now.ns + HEARTBEAT_MS * NS_PER_MS;
        return true;
    }
    return false;
}

static bool member_frame(struct sim *s, void *context, const uint8_t *frame, uint32_t n)
{
    struct sim_member *m = context;
    struct arena arena;
    struct slice slice = {frame, n, NULL};
    struct slices slices = {&slice, 1, n};
    struct proto_in in;
    int32_t correlation_id = 0;
    int16_t key = step_keys[m->step], version = step_versions[m->step];
    const struct proto_message *message = proto_response(key);
    bool ok = false;
    arena_init(&arena, NULL, NULL, MIB(16));
    proto_in_init(&in, &slices, &arena);
    void *r = arena_alloc(&arena, message->size);
    if (!m->is_waiting || proto_decode_response_header(&in, key, version, &correlation_id) != 0 ||
        correlation_id != m->wire.correlation_id || proto_decode(message, version, &in, r) != 0)
        ok = sim_fail(s, "a member's answer to API %d is not what was asked", key);
    else
        ok = member_decoded(s, m, r);
    m->is_waiting = false;
    arena_fini(&arena);
    return ok;
}

/* ── a turn ── */

bool member_is_done(const struct sim *s, const struct sim_member *m)
{
    if (m->parts_n == 0 || m->is_waiting)
        return false;
    for (uint32_t i = 0; i < m->parts_n; i++) {
        const struct member_partition *p = &m->parts[i];
        if (p->high < 0 || p->committed < p->high ||
            s->group_committed[p->topic][p->partition] < p->high)
            return false;
    }
    return true;
}

bool member_turn(struct sim *s, struct sim_member *m)
{
    if (s->now.ns < m->silent_until_ns)
        return true;
    if (m->wire.peer == NULL && !wire_connect(s, &m->wire))
        return true;
    if (!s->is_draining &&
        prng_below(&s->prng, 3000) == 0) { /* dies; comes back as somebody else */
        wire_disconnect(&m->wire);
        m->is_waiting = false;
        m->silent_until_ns = s->now.ns + 2 * SESSION_MS * NS_PER_MS;
        member_rejoin(m, true);
        return true;
    }
    if (!m->is_waiting) {
        if (m->step >= STEP_READ && m->step != STEP_COMMIT && s->now.ns >= m->heartbeat_ns)
            m->step = STEP_HEARTBEAT;
        else if (m->step == STEP_HEARTBEAT && m->parts_n == 0) {
            /* Nothing to read: only heartbeats, in time. A leader that shared out topics before
             * there were any does it again. */
            if (s->is_draining && m->is_leader)
                member_rejoin(m, false);
            return true;
        } else if (m->step == STEP_READ && prng_chance(&s->prng, 50))
            return true;
        member_ask(s, m);
    }
    enum wire_end end = wire_pump(s, &m->wire, member_frame, m);
    if (end == WIRE_ENDED)
        member_broker_gone(m);
    return end != WIRE_FAILED;
}
