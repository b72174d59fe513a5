/*
 * member.c - simulated members of one consumer group, one request at a time: what they read,
 * process and commit, how they die, stand still and come back.
 *
 * Owner: the simulator.
 *
 *   FIND -> JOIN -> SYNC -> OFFSETS -> READ -> (COMMIT | HEARTBEAT | READ)* -> JOIN again
 *   FIND -> BEAT -> OFFSETS -> READ -> (COMMIT | BEAT | READ)*
 *
 * A member reads its partitions one after the other from the group's committed offset, marks what
 * it read as processed and commits. Now and then one dies and somebody else comes, or one stands
 * still. As real consumers do, a member works on its partitions only until its last good heartbeat
 * is a session old.
 *
 * Checked, beside the rules in sim.h:
 *   7. an acknowledged commit is there, after any crash: OffsetFetch never answers less than what
 *      was acknowledged before it was asked
 *   8. nobody commits behind the group's back: a commit is not accepted below one that was
 *      acknowledged before it was sent (its sender has lost the partition)
 *   9. everything below a committed offset was processed by some member
 *  10. no partition is worked on by two members at once
 *  11. nobody processes a record after a successor committed something behind it
 */
#include "member.h"

#include <inttypes.h>
#include <stdlib.h>

#include "check.h"
#include "messages.h"
#include "proto.h"

enum { VERSION_NEXT = 9 };

static const int16_t step_keys[] = {10, 11, 14, 68, 9, 1, 8, 12};
static const int16_t step_versions[] = {3, 9, 3, 1, 5, 11, 7, 3};

static const char group_name[] = "group";

static int16_t version_of(const struct sim_member *m)
{
    bool is_next = member_is_next(m) && (m->step == STEP_OFFSETS || m->step == STEP_COMMIT);
    return is_next ? VERSION_NEXT : step_versions[m->step];
}

struct sim_member *member_new(uint32_t number)
{
    struct sim_member *m = calloc(1, sizeof *m);
    check(m != NULL);
    m->number = number;
    m->kind = SIM_KINDS_N;
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
    bool goes_on = m->step == STEP_READ || m->step == STEP_HEARTBEAT || m->step == STEP_COMMIT;
    if (m->parts_n == 0 || (m->is_waiting && !goes_on))
        m->step = STEP_FIND;
    m->is_waiting = m->is_stale = false;
}

/* ── what it has ── */

static struct sim_member **owner_of(struct sim *s, const struct member_partition *p)
{
    return &s->group_owner[p->topic][p->partition];
}

void member_lose_all(struct sim *s, struct sim_member *m)
{
    for (uint32_t i = 0; i < m->parts_n; i++)
        if (*owner_of(s, &m->parts[i]) == m)
            *owner_of(s, &m->parts[i]) = NULL;
    m->parts_n = m->part_at = 0;
    m->is_stale = m->is_waiting;
}

static struct member_partition *part_find(struct sim_member *m, const struct member_partition *p)
{
    for (uint32_t i = 0; i < m->parts_n; i++)
        if (m->parts[i].topic == p->topic && m->parts[i].partition == p->partition)
            return &m->parts[i];
    return NULL;
}

bool member_take(struct sim *s, struct sim_member *m, const struct member_partition *parts,
                 uint32_t n, uint32_t *lost_n)
{
    struct member_partition now[MEMBER_PARTITIONS_MAX];
    uint32_t kept_n = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct member_partition *had = part_find(m, &parts[i]);
        if (parts[i].partition < 0 || parts[i].partition >= SIM_PARTITIONS_MAX)
            return sim_fail(s, "group: partition %d is assigned", parts[i].partition);
        kept_n += had != NULL;
        now[i] = had != NULL ? *had : parts[i];
    }
    *lost_n = m->parts_n - kept_n;
    member_lose_all(s, m);
    memcpy(m->parts, now, n * sizeof *now);
    m->parts_n = n;
    for (uint32_t i = 0; i < n; i++) {
        struct sim_member **owner = owner_of(s, &now[i]);
        if (*owner != NULL && *owner != m && s->now.ns < (*owner)->lease_ns)
            return sim_fail(s, "group: %s-%d is given to member %u while member %u works on it",
                            s->topics[now[i].topic].name, now[i].partition, m->number,
                            (*owner)->number);
        *owner = m;
    }
    return true;
}

uint8_t member_next_step(const struct sim_member *m)
{
    for (uint32_t i = 0; i < m->parts_n; i++)
        if (!m->parts[i].has_position)
            return STEP_OFFSETS;
    return m->parts_n > 0 ? STEP_READ : STEP_HEARTBEAT;
}

static uint8_t group_step(const struct sim_member *m)
{
    return member_is_next(m) ? STEP_BEAT : STEP_JOIN;
}

/* ── asking ── */

static struct bytes text(const char *s)
{
    return bytes_of_string(s);
}

static const void *ask_offsets(const struct sim *s, struct sim_member *m, struct arena *a)
{
    struct offset_fetch_request *r = PROTO_NEW(a, offset_fetch_request, 1);
    struct offset_fetch_request_topics *topics =
        PROTO_NEW(a, offset_fetch_request_topics, m->parts_n);
    struct offset_fetch_request_groups *g = PROTO_NEW(a, offset_fetch_request_groups, 1);
    memcpy(m->asked, s->group_committed, sizeof m->asked);
    g->topics = PROTO_NEW(a, offset_fetch_request_groups_topics, m->parts_n);
    r->group_id = g->group_id = text(group_name);
    r->topics = topics;
    r->groups = g;
    r->groups_n = 1;
    r->topics_n = g->topics_n = (int32_t)m->parts_n;
    g->member_id = text(m->id);
    g->member_epoch = m->generation;
    for (uint32_t i = 0; i < m->parts_n; i++) {
        int32_t *index = arena_alloc(a, sizeof *index);
        *index = m->parts[i].partition;
        topics[i].name = g->topics[i].name = text(s->topics[m->parts[i].topic].name);
        topics[i].partition_indexes = g->topics[i].partition_indexes = index;
        topics[i].partition_indexes_n = g->topics[i].partition_indexes_n = 1;
    }
    if (member_is_next(m))
        r->topics_n = 0;
    else
        r->groups_n = 0;
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
    if (m->is_static) {
        char name[16];
        member_instance(m, name);
        r->group_instance_id = bytes_of(arena_copy(a, name, strlen(name)), strlen(name));
    }
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
    if (m->step == STEP_HEARTBEAT && member_is_next(m))
        m->step = STEP_BEAT;
    switch ((enum step)m->step) {
    case STEP_FIND: request = ask_find(&arena); break;
    case STEP_JOIN: request = member_ask_join(s, m, &arena); break;
    case STEP_SYNC: request = member_ask_sync(s, m, &arena); break;
    case STEP_BEAT: request = member_ask_beat(s, m, &arena); break;
    case STEP_OFFSETS: request = ask_offsets(s, m, &arena); break;
    case STEP_READ: request = ask_read(s, m, &arena); break;
    case STEP_COMMIT: request = ask_commit(s, m, &arena); break;
    case STEP_HEARTBEAT: request = member_ask_heartbeat(m, &arena); break;
    }
    wire_queue(&m->wire, step_keys[m->step], version_of(m), request, &arena);
    m->is_waiting = true;
    m->is_stale = false;
    m->asked_ns = s->now.ns;
    arena_fini(&arena);
}

/* ── answers ── */

static bool offset_take(struct sim *s, struct sim_member *m, struct member_partition *p,
                        int64_t committed)
{
    committed = max_i64(committed, 0);
    if (committed < m->asked[p->topic][p->partition])
        return sim_fail(
            s, "group: %s-%d: committed %" PRId64 " was acknowledged, OffsetFetch says %" PRId64,
            s->topics[p->topic].name, p->partition, m->asked[p->topic][p->partition], committed);
    /* A commit whose answer was lost in a crash is known from here on. */
    s->group_committed[p->topic][p->partition] =
        max_i64(s->group_committed[p->topic][p->partition], committed);
    if (p->has_position)
        return true;
    p->position = p->committed = committed;
    p->high = -1;
    p->has_position = true;
    return true;
}

static bool answer_offsets(struct sim *s, struct sim_member *m,
                           const struct offset_fetch_response *r)
{
    const struct offset_fetch_response_groups *g = member_is_next(m) ? r->groups : NULL;
    int32_t n = g == NULL ? r->topics_n : g->topics_n;
    if (member_error(s, m, g == NULL ? r->error_code : g->error_code))
        return true;
    if ((uint32_t)n != m->parts_n)
        return sim_fail(s, "OffsetFetch answered %d topics of %u", n, m->parts_n);
    for (uint32_t i = 0; i < m->parts_n; i++) {
        int16_t code = g == NULL ? r->topics[i].partitions[0].error_code
                                 : g->topics[i].partitions[0].error_code;
        int64_t committed = g == NULL ? r->topics[i].partitions[0].committed_offset
                                      : g->topics[i].partitions[0].committed_offset;
        if (member_error(s, m, code))
            return true;
        if (!offset_take(s, m, &m->parts[i], committed))
            return false;
    }
    m->step = member_next_step(m);
    return true;
}

static bool answer_read(struct sim *s, struct sim_member *m, const struct fetch_response *r)
{
    struct member_partition *p = &m->parts[m->part_at];
    const struct fetch_response_responses_partitions *a = &r->responses[0].partitions[0];
    m->step = STEP_READ;
    if (r->responses_n != 1 || a->error_code != 0)
        return true;
    p->high = a->high_watermark;
    int64_t end = model_batches_end(&a->records, p->position);
    if (end <= p->position) {
        m->part_at = (m->part_at + 1) % m->parts_n;
        return true;
    }
    if (*owner_of(s, p) != m)
        return sim_fail(s, "group: member %u processes %s-%d after it was given to another",
                        m->number, s->topics[p->topic].name, p->partition);
    model_processed(s, p->topic, p->partition, p->position, end);
    p->position = end;
    m->step = STEP_COMMIT;
    return true;
}

static bool answer_commit(struct sim *s, struct sim_member *m,
                          const struct offset_commit_response *r)
{
    struct member_partition *p = &m->parts[m->part_at];
    if (r->topics_n != 1 || r->topics[0].partitions_n != 1)
        return sim_fail(s, "OffsetCommit: not one answer for one partition");
    if (member_error(s, m, r->topics[0].partitions[0].error_code))
        return true;
    if (p->position < m->asked[p->topic][p->partition])
        return sim_fail(s, "group: %s-%d: a commit of %" PRId64 " was accepted after %" PRId64,
                        s->topics[p->topic].name, p->partition, p->position,
                        m->asked[p->topic][p->partition]);
    p->committed = p->position;
    int64_t *acked = &s->group_committed[p->topic][p->partition];
    *acked = max_i64(*acked, p->position);
    s->group_commits_n++;
    m->step = STEP_READ;
    m->part_at = (m->part_at + 1) % m->parts_n;
    return model_check_processed(s, p->topic, p->partition, p->position);
}

static bool answer_find(struct sim *s, struct sim_member *m,
                        const struct find_coordinator_response *r)
{
    bool is_member = m->id[0] != 0 && m->generation > 0 && m->parts_n > 0 && !m->must_join;
    m->step = r->error_code != 0 ? STEP_FIND : is_member ? STEP_HEARTBEAT : group_step(m);
    if (r->error_code != 0)
        m->silent_until_ns = s->now.ns + NS_PER_MS;
    return true;
}

/* What it asked was about partitions that it has lost. */
static bool is_over(struct sim_member *m)
{
    if (!m->is_stale || (m->step != STEP_OFFSETS && m->step != STEP_READ &&
                         m->step != STEP_COMMIT && m->step != STEP_HEARTBEAT))
        return false;
    m->step = group_step(m);
    return true;
}

static bool member_decoded(struct sim *s, struct sim_member *m, const void *r)
{
    if (is_over(m))
        return true;
    switch ((enum step)m->step) {
    case STEP_FIND: return answer_find(s, m, r);
    case STEP_JOIN: return member_answer_join(s, m, r);
    case STEP_SYNC: return member_answer_sync(s, m, r);
    case STEP_BEAT: return member_answer_beat(s, m, r);
    case STEP_OFFSETS: return answer_offsets(s, m, r);
    case STEP_READ: return answer_read(s, m, r);
    case STEP_COMMIT: return answer_commit(s, m, r);
    case STEP_HEARTBEAT: return member_answer_heartbeat(s, m, r);
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
    int16_t key = step_keys[m->step], version = version_of(m);
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
    m->is_waiting = m->is_stale = false;
    arena_fini(&arena);
    return ok;
}

/* ── its life ── */

static void kind_choose(struct sim *s, struct sim_member *m)
{
    static const uint8_t mixed[] = {SIM_EAGER, SIM_COOPERATIVE, SIM_NEXT, SIM_NEXT};
    m->kind =
        s->group_kind == SIM_MIXED ? mixed[prng_below(&s->prng, array_n(mixed))] : s->group_kind;
    m->is_static = m->kind == SIM_STATIC || m->kind == SIM_NEXT_STATIC;
}

/* Another process takes its place; of a static member the same instance. */
void member_die(struct sim *s, struct sim_member *m, uint64_t back_ns)
{
    wire_disconnect(&m->wire);
    member_lose_all(s, m);
    m->is_waiting = m->is_stale = m->is_leader = m->must_join = false;
    m->id[0] = 0;
    m->generation = 0;
    m->says_all = false;
    m->lease_ns = 0;
    m->step = STEP_FIND;
    m->silent_until_ns = back_ns;
    kind_choose(s, m);
}

/* It stands still, with all it has in hand. */
void member_pause(struct sim *s, struct sim_member *m, uint64_t ns)
{
    m->silent_until_ns = max_u64(m->silent_until_ns, s->now.ns + ns);
}

static void lease_check(struct sim *s, struct sim_member *m)
{
    if (m->parts_n == 0 || s->now.ns < m->lease_ns)
        return;
    member_lose_all(s, m);
    m->says_all = true;
    if (!m->is_waiting)
        m->step = group_step(m);
}

static bool accidents(struct sim *s, struct sim_member *m)
{
    uint64_t session_ns = SESSION_MS * NS_PER_MS;
    if (s->is_draining)
        return false;
    if (prng_below(&s->prng, 3000) == 0) {
        member_die(s, m, s->now.ns + prng_below(&s->prng, 2 * session_ns));
        return true;
    }
    if (prng_below(&s->prng, 3000) == 0) {
        member_pause(s, m, prng_below(&s->prng, 3 * session_ns));
        return true;
    }
    return false;
}

bool member_turn(struct sim *s, struct sim_member *m)
{
    if (s->now.ns < m->silent_until_ns)
        return true;
    if (m->kind == SIM_KINDS_N) /* its first turn */
        member_die(s, m, 0);
    lease_check(s, m);
    if (!wire_is_connected(&m->wire) && !wire_connect(s, &m->wire))
        return true;
    if (accidents(s, m))
        return true;
    if (!m->is_waiting) {
        if (m->step >= STEP_READ && m->step != STEP_COMMIT && s->now.ns >= m->heartbeat_ns)
            m->step = STEP_HEARTBEAT;
        else if (m->step == STEP_HEARTBEAT && m->parts_n == 0)
            return true; /* nothing to read: only heartbeats, in time */
        else if (m->step == STEP_READ && (m->parts_n == 0 || prng_chance(&s->prng, 50)))
            return true;
        member_ask(s, m);
    }
    enum wire_end end = wire_pump(s, &m->wire, member_frame, m);
    if (end == WIRE_ENDED)
        member_broker_gone(m);
    return end != WIRE_FAILED;
}
