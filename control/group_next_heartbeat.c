/*
 * group_next_heartbeat.c - ConsumerGroupHeartbeat: join, stay, leave; and the timers that end a
 * membership.
 *
 * Owner: control.
 *
 * A heartbeat goes through four steps, each of which may make records:
 *   1 find or make the member, check its epoch     2 take what has changed, bump the group's epoch
 *   3 a new target when the epoch is ahead of it   4 the member's next step towards its target
 * What was changed before a step fails (no memory) stays, with its records: memory and log never
 * part.
 *
 * Checks, their order and their words are those of Kafka's GroupCoordinatorService and
 * GroupMetadataManager.
 */
#include <stdlib.h>

#include "answers.h"
#include "check.h"
#include "group_next.h"
#include "group_next_records.h"
#include "messages.h"
#include "regex.h"
#include "uuid_text.h"

enum { VERSION_ID_OF_CLIENT = 1 };

#define TEXT(b) (int)(b).n, (const char *)(b).ptr

/* ── the request by itself ── */

static bool join_check(const struct consumer_group_heartbeat_request *r, struct fault *f)
{
    if (r->rebalance_timeout_ms == -1)
        return fault_set(f, KAFKA_INVALID_REQUEST,
                         "RebalanceTimeoutMs must be provided in first request.");
    if (r->topic_partitions_n != 0)
        return fault_set(f, KAFKA_INVALID_REQUEST,
                         "TopicPartitions must be empty when (re-)joining.");
    if (r->subscribed_topic_names_n < 0 && r->subscribed_topic_regex.ptr == NULL)
        return fault_set(f, KAFKA_INVALID_REQUEST,
                         "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null "
                         "when (re-)joining.");
    return true;
}

static bool is_empty(struct bytes b)
{
    return b.ptr != NULL && b.n == 0;
}

bool next_request_check(const struct consumer_group_heartbeat_request *r, int16_t version,
                        struct fault *f)
{
    enum assignor assignor;
    bool needs_id = version >= VERSION_ID_OF_CLIENT || r->member_epoch > 0 ||
                    r->member_epoch == NEXT_EPOCH_LEAVE;
    if (needs_id && r->member_id.n == 0)
        return fault_set(f, KAFKA_INVALID_REQUEST, "MemberId can't be empty.");
    if (r->group_id.n == 0)
        return fault_set(f, KAFKA_INVALID_REQUEST, "GroupId can't be empty.");
    if (is_empty(r->instance_id))
        return fault_set(f, KAFKA_INVALID_REQUEST, "InstanceId can't be empty.");
    if (is_empty(r->rack_id))
        return fault_set(f, KAFKA_INVALID_REQUEST, "RackId can't be empty.");
    if (r->member_epoch == NEXT_EPOCH_JOIN && !join_check(r, f))
        return false;
    if (r->member_epoch == NEXT_EPOCH_LEAVE_STATIC && r->instance_id.ptr == NULL)
        return fault_set(f, KAFKA_INVALID_REQUEST, "InstanceId can't be null.");
    if (r->member_epoch < NEXT_EPOCH_LEAVE_STATIC)
        return fault_set(f, KAFKA_INVALID_REQUEST, "MemberEpoch is invalid.");
    if (r->server_assignor.ptr != NULL &&
        !assignor_by_name((const char *)r->server_assignor.ptr, r->server_assignor.n, &assignor))
        return fault_set(
            f, KAFKA_UNSUPPORTED_ASSIGNOR,
            "ServerAssignor %.*s is not supported. Supported assignors: uniform, range.",
            TEXT(r->server_assignor));
    if (r->subscribed_topic_names_n > NEXT_SUBSCRIPTIONS_MAX)
        return fault_set(f, KAFKA_INVALID_REQUEST, "SubscribedTopicNames has more than %d names.",
                         NEXT_SUBSCRIPTIONS_MAX);
    return true;
}

void next_refuse(struct control_op *op, const struct fault *f)
{
    struct consumer_group_heartbeat_response *out =
        PROTO_NEW(&op->arena, consumer_group_heartbeat_response, 1);
    op->response = out;
    if (out == NULL)
        return;
    out->error_code = f->code;
    out->error_message =
        f->text[0] == '\0' ? (struct bytes){NULL, 0} : answer_text(&op->arena, f->text);
}

static bool no_memory(struct fault *f)
{
    f->text[0] = '\0';
    f->code = KAFKA_UNKNOWN_SERVER_ERROR;
    return false;
}

/* ── a member goes ── */

/* Its partitions are free from now on. */
void next_member_drop(struct next_member *m, struct group_records *records)
{
    struct group_next *g = m->group;
    struct next_regex *regex = m->regex;
    g->nexts->work += NEXT_WORK_GONE + m->names.n / 4 + m->assigned.n + m->revoking.n;
    next_records_member_gone(records, g->id, m->id);
    if (regex != NULL && regex->members_n == 1)
        next_records_gone(records, NEXT_RECORD_REGEX, g->id, regex->text);
    next_member_free(m);
}

/* The others are told by the epoch, unless they are about to be a classic group. */
static int member_gone(struct next_member *m, struct group_records *records, struct now now)
{
    struct group_next *g = m->group;
    next_member_drop(m, records);
    return next_may_downgrade(g) ? 0 : next_epoch_update(g, true, records, now);
}

void next_member_fence(struct next_member *m, struct group_records *records, struct now now)
{
    m->group->nexts->fenced_n++;
    (void)member_gone(m, records,
                      now); /* without memory for the expressions the next heartbeat looks again */
}

void next_fence_and_append(struct next_member *m, struct now now)
{
    struct group_next *g = m->group;
    struct group_records records = {0};
    g->keeps_generation = false;
    next_member_fence(m, &records, now);
    next_append(g, &records, NULL);
}

void next_session_fired(struct timer *timer, struct now now)
{
    struct next_member *m = container_of(timer, struct next_member, session);
    next_blame(m->group, GROUP_CAUSE_EXPIRED, m->id);
    next_fence_and_append(m, now);
}

/* It was asked to give partitions up and has not said that it did. */
void next_rebalance_fired(struct timer *timer, struct now now)
{
    struct next_member *m = container_of(timer, struct next_member, rebalance);
    next_blame(m->group, GROUP_CAUSE_LATE, m->id);
    if (m->epoch == m->rebalance_epoch)
        next_fence_and_append(m, now);
}

void next_session_renew(struct next_member *m, struct now now)
{
    struct nexts *nexts = m->group->nexts;
    int32_t ms =
        m->classic != NULL ? m->classic->session_timeout_ms : m->group->settings.session_timeout_ms;
    timer_set(nexts->timers, &m->session, now.ns + (uint64_t)ms * NS_PER_MS);
}

/* ── who is it ── */

static bool unknown(const struct group_next *g, struct bytes id, struct fault *f)
{
    return fault_set(f, KAFKA_UNKNOWN_MEMBER_ID, "Member %.*s is not a member of group %.*s.",
                     TEXT(id), TEXT(g->id));
}

static bool static_check(const struct next_member *m,
                         const struct consumer_group_heartbeat_request *r, struct fault *f)
{
    if (m == NULL)
        return fault_set(f, KAFKA_UNKNOWN_MEMBER_ID, "Instance id %.*s is unknown.",
                         TEXT(r->instance_id));
    if (!bytes_equal(m->id, r->member_id))
        return fault_set(f, KAFKA_FENCED_INSTANCE_ID,
                         "Static member %.*s with instance id %.*s was fenced by member %.*s.",
                         TEXT(r->member_id), TEXT(r->instance_id), TEXT(m->id));
    return true;
}

static bool owns_no_more(const struct next_member *m,
                         const struct consumer_group_heartbeat_request *r)
{
    if (r->topic_partitions_n < 0)
        return false;
    for (int32_t i = 0; i < r->topic_partitions_n; i++)
        for (int32_t k = 0; k < r->topic_partitions[i].partitions_n; k++)
            if (next_parts_find(&m->assigned, &r->topic_partitions[i].topic_id,
                                r->topic_partitions[i].partitions[k]) == NULL)
                return false;
    return true;
}

static bool epoch_check(const struct next_member *m,
                        const struct consumer_group_heartbeat_request *r, struct fault *f)
{
    bool is_last = r->member_epoch == m->previous_epoch && owns_no_more(m, r);
    if (m->state == NEXT_UNKNOWN && r->topic_partitions_n != 0)
        return fault_set(f, KAFKA_FENCED_MEMBER_EPOCH,
                         "The consumer group member is in a unknown state. "
                         "The member must abandon all its partitions and rejoin.");
    if (r->member_epoch == m->epoch || (r->member_epoch < m->epoch && is_last) ||
        r->member_epoch == NEXT_EPOCH_JOIN)
        return true;
    return fault_set(
        f, KAFKA_FENCED_MEMBER_EPOCH,
        "The consumer group member has a %s member epoch (%d) than the one known by the group "
        "coordinator (%d). The member must abandon all its partitions and rejoin.",
        r->member_epoch > m->epoch ? "greater" : "smaller", r->member_epoch, m->epoch);
}

/* A static member comes back after -2, or from or to the classic protocol at any time, under its
 * old id or another one. */
bool next_member_replace(struct next_member *m, struct bytes id, struct group_records *records,
                         struct now now, struct fault *f)
{
    struct group_next *g = m->group;
    if (m->epoch != NEXT_EPOCH_LEAVE_STATIC && m->classic == NULL && f != NULL)
        return fault_set(f, KAFKA_UNRELEASED_INSTANCE_ID,
                         "Static member %.*s with instance id %.*s cannot join the group because "
                         "the instance id is "
                         "owned by %.*s member.",
                         TEXT(id), TEXT(m->instance_id), TEXT(m->id));
    struct next_member *other = bytes_equal(m->id, id) ? NULL : next_member_find(g, id);
    struct bytes copy = bytes_heap_copy(id);
    if (copy.ptr == NULL)
        return f != NULL && no_memory(f);
    if (other != NULL)
        next_member_fence(other, records, now);
    if (!bytes_equal(m->id, id))
        next_records_member_gone(records, g->id, m->id);
    next_member_unlink(m);
    free((void *)(uintptr_t)m->id.ptr);
    m->id = copy;
    next_member_link(m);
    next_job_renamed(m);
    m->epoch = m->previous_epoch = NEXT_EPOCH_JOIN;
    next_member_note(m);
    next_records_target(records, m, &m->target);
    return true;
}

/* A member with epoch 0 and no records yet. */
struct next_member *next_member_make(struct group_next *g, struct bytes id,
                                     struct bytes instance_id, struct fault *f)
{
    struct nexts *nexts = g->nexts;
    if (nexts->bytes >= nexts->config.bytes_max) {
        fault_set(f, KAFKA_COORDINATOR_NOT_AVAILABLE,
                  "The members of all groups use more memory than they may.");
        return NULL;
    }
    struct next_member *m = next_member_new(g, id);
    if (m == NULL || !next_replace(&m->instance_id, instance_id)) {
        if (m != NULL)
            next_member_free(m);
        no_memory(f);
        return NULL;
    }
    next_member_link(m);
    return m;
}

static struct next_member *member_of(struct group_next *g,
                                     const struct consumer_group_heartbeat_request *r,
                                     struct bytes id, struct group_records *records, struct now now,
                                     struct fault *f)
{
    bool is_static = r->instance_id.ptr != NULL, may_make = r->member_epoch == NEXT_EPOCH_JOIN;
    struct next_member *m =
        is_static ? next_member_by_instance(g, r->instance_id) : next_member_find(g, id);
    if (m != NULL && is_static && may_make)
        return next_member_replace(m, id, records, now, f) ? m : NULL;
    if (is_static && !may_make && !static_check(m, r, f))
        return NULL;
    if (m != NULL)
        return epoch_check(m, r, f) ? m : NULL;
    if (!may_make) {
        unknown(g, id, f);
        return NULL;
    }
    struct next_member *other = is_static ? next_member_find(g, id) : NULL;
    if (other != NULL && !epoch_check(other, r, f))
        return NULL;
    if (other != NULL)
        next_member_fence(other, records, now); /* it becomes static: as one that was never here */
    return next_member_make(g, id, r->instance_id, f);
}

/* ── what has changed ── */

static bool text_update(struct bytes *to, struct bytes from, bool *has_changed, bool *is_good)
{
    if (from.ptr == NULL || (to->ptr != NULL && bytes_equal(*to, from)))
        return true;
    *has_changed = true;
    return *is_good = *is_good && next_replace(to, from);
}

static bool regex_check(const struct group_next *g, struct bytes text, struct fault *f)
{
    const char *why;
    if (text.ptr == NULL || text.n == 0 || next_regex_find(g, text) != NULL)
        return true;
    struct regex *regex = regex_new(text, &why);
    if (regex == NULL)
        return why == NULL
                   ? no_memory(f)
                   : fault_set(f, KAFKA_INVALID_REGULAR_EXPRESSION,
                               "SubscribedTopicRegex `%.*s` is not a valid regular expression: %s.",
                               (int)min_u64(text.n, 512), (const char *)text.ptr, why);
    regex_free(regex);
    return true;
}

/* Another expression; an empty one is none. */
static int regex_update(struct next_member *m, struct bytes text, bool *has_changed,
                        struct group_records *records, struct now now)
{
    struct group_next *g = m->group;
    struct next_regex *old = m->regex, *new = NULL;
    bool ignored;
    if (text.ptr == NULL || (old == NULL ? text.n == 0 : bytes_equal(old->text, text)))
        return 0;
    if (text.n > 0 && (new = next_regex_find(g, text)) == NULL) {
        new = next_regex_new(g, text);
        int e = new == NULL ? E_NO_MEMORY : next_regex_resolve(g, new, now, &ignored);
        if (e < 0) {
            if (new != NULL)
                next_regex_free(g, new);
            return e;
        }
        next_records_regex(records, g, new);
    }
    if (new != NULL)
        new->members_n++;
    m->regex = new;
    *has_changed = true;
    if (old != NULL && --old->members_n == 0) {
        next_records_gone(records, NEXT_RECORD_REGEX, g->id, old->text);
        next_regex_free(g, old);
    }
    return 0;
}

/* False: no memory. *is_resubscribed: its topics are others; *has_changed: anything is. */
static bool member_update(struct next_member *m, const struct control_op *op,
                          const struct consumer_group_heartbeat_request *r, bool *is_resubscribed,
                          bool *has_changed, struct group_records *records, struct now now)
{
    bool is_good = true, names = false, regex = false;
    struct bytes host = bytes_of_string(op->client_host);
    struct bytes client = op->client_id.ptr == NULL ? bytes_of("", 0) : op->client_id;
    text_update(&m->rack_id, r->rack_id, has_changed, &is_good);
    text_update(&m->client_id, client, has_changed, &is_good);
    text_update(&m->client_host, host, has_changed, &is_good);
    text_update(&m->assignor, r->server_assignor, has_changed, &is_good);
    if (r->rebalance_timeout_ms != -1 && r->rebalance_timeout_ms != m->rebalance_timeout_ms) {
        m->rebalance_timeout_ms = r->rebalance_timeout_ms;
        *has_changed = true;
    }
    if (is_good && r->subscribed_topic_names_n >= 0)
        is_good = next_topics_set(m->group, &m->names, r->subscribed_topic_names,
                                  r->subscribed_topic_names_n, &names) == 0;
    is_good = is_good && regex_update(m, r->subscribed_topic_regex, &regex, records, now) == 0;
    next_member_count(m);
    *is_resubscribed = names || regex;
    *has_changed |= *is_resubscribed;
    return is_good;
}

/* ── the answer ── */

static bool assignment_put(struct arena *arena, const struct next_parts *p,
                           struct consumer_group_heartbeat_response *out)
{
    struct consumer_group_heartbeat_response_assignment *a =
        PROTO_NEW(arena, consumer_group_heartbeat_response_assignment, 1);
    int32_t *numbers = arena_array(arena, p->n + 1ull, sizeof *numbers), n = 0;
    for (uint32_t i = 0; i < p->n; i++)
        n += i == 0 || !uuid_equal(&p->v[i].topic_id, &p->v[i - 1].topic_id);
    if (a == NULL || numbers == NULL)
        return false;
    a->topic_partitions =
        PROTO_NEW(arena, consumer_group_heartbeat_response_assignment_topic_partitions, n);
    if (a->topic_partitions == NULL)
        return false;
    a->topic_partitions_n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        if (i == 0 || !uuid_equal(&p->v[i].topic_id, &p->v[i - 1].topic_id)) {
            struct consumer_group_heartbeat_response_assignment_topic_partitions *t =
                &a->topic_partitions[a->topic_partitions_n++];
            t->topic_id = p->v[i].topic_id;
            t->partitions = &numbers[i];
            t->partitions_n = 0;
        }
        numbers[i] = p->v[i].partition;
        a->topic_partitions[a->topic_partitions_n - 1].partitions_n++;
    }
    out->assignment = a;
    return true;
}

static void answer(const struct next_member *m, struct control_op *op, bool with_assignment)
{
    struct consumer_group_heartbeat_response *out =
        PROTO_NEW(&op->arena, consumer_group_heartbeat_response, 1);
    op->response = out;
    if (out == NULL)
        return;
    out->member_id = answer_bytes(&op->arena, m->id);
    out->member_epoch = m->epoch;
    out->heartbeat_interval_ms = m->group->settings.heartbeat_interval_ms;
    if (with_assignment && !assignment_put(&op->arena, &m->assigned, out))
        op->response = NULL;
}

/* ── leave ── */

static void leave(struct group_next *g, struct control_op *op, struct group_records *records,
                  struct now now)
{
    const struct consumer_group_heartbeat_request *r = op->request;
    struct fault f = {0};
    bool is_static = r->instance_id.ptr != NULL;
    struct next_member *m =
        is_static ? next_member_by_instance(g, r->instance_id) : next_member_find(g, r->member_id);
    bool is_good = is_static ? static_check(m, r, &f) : m != NULL || unknown(g, r->member_id, &f);
    if (!is_good) {
        next_refuse(op, &f);
        return;
    }
    struct consumer_group_heartbeat_response *out =
        PROTO_NEW(&op->arena, consumer_group_heartbeat_response, 1);
    op->response = out;
    if (out != NULL) {
        out->member_id = r->member_id;
        out->member_epoch = r->member_epoch;
    }
    if (r->member_epoch == NEXT_EPOCH_LEAVE) {
        next_blame(g, GROUP_CAUSE_LEFT, m->id);
        (void)member_gone(m, records, now);
        return;
    }
    /* It will come back: what it had waits for it until its session is over; what it gave up is
     * free. */
    next_owners_remove(m);
    next_parts_free(&m->revoking);
    next_owners_add(m);
    m->previous_epoch = m->epoch;
    m->epoch = NEXT_EPOCH_LEAVE_STATIC;
    m->state = NEXT_STABLE;
    next_member_note(m);
    timer_stop(g->nexts->timers, &m->rebalance);
    next_records_current(records, m);
}

/* ── the heartbeat ── */

bool next_size_check(const struct group_next *g, struct bytes member_id, struct fault *f)
{
    int32_t max = g->nexts->config.size_max;
    if (g->members_n < (uint32_t)max || (member_id.n > 0 && next_member_find(g, member_id) != NULL))
        return true;
    return fault_set(f, KAFKA_GROUP_MAX_SIZE_REACHED,
                     "The consumer group has reached its maximum capacity of %d members.", max);
}

/* v0 lets the server make the id. */
static struct bytes id_of(const struct group_next *g, struct control_op *op)
{
    const struct consumer_group_heartbeat_request *r = op->request;
    struct uuid id;
    if (r->member_id.n > 0)
        return r->member_id;
    if (op->inside[NEXT_OP_ID] == NULL) { /* it may run again: then under the same one */
        char *text = op->inside[NEXT_OP_ID] = arena_alloc(&op->arena, UUID_TEXT_MAX);
        if (text == NULL)
            return (struct bytes){NULL, 0};
        prng_uuid(g->nexts->prng, &id);
        uuid_text(&id, text);
    }
    return bytes_of(op->inside[NEXT_OP_ID], UUID_TEXT);
}

/* Steps 2 to 4. */
int next_walk(struct next_member *m, const struct control_op *op,
              const struct consumer_group_heartbeat_request *r, bool has_changed,
              struct group_records *records, struct now now)
{
    struct group_next *g = m->group;
    bool is_resubscribed = false;
    has_changed |= m->epoch == NEXT_EPOCH_JOIN;
    next_session_renew(m, now);
    bool is_good = member_update(m, op, r, &is_resubscribed, &has_changed, records, now);
    if (has_changed)
        next_records_member(records, m);
    if (!is_good)
        return E_NO_MEMORY;
    if (is_resubscribed)
        next_blame(g,
                   m->epoch != NEXT_EPOCH_JOIN ? GROUP_CAUSE_CHANGED
                   : g->members_n == 1         ? GROUP_CAUSE_FIRST
                                               : GROUP_CAUSE_JOINED,
                   m->id);
    int e = next_epoch_update(g, is_resubscribed || g->epoch == 0, records, now);
    if (e == 0)
        e = next_target_update(g, records, now);
    return e < 0 ? e : next_reconcile(m, r, is_resubscribed, records, now);
}

static bool walk_and_answer(struct next_member *m, struct control_op *op,
                            struct group_records *records, struct now now)
{
    const struct consumer_group_heartbeat_request *r = op->request;
    struct next_parts before = {malloc((m->assigned.n + 1ull) * sizeof *before.v), m->assigned.n};
    bool was_classic = m->classic != NULL, is_good = before.v != NULL;
    if (before.n > 0 && is_good)
        memcpy(before.v, m->assigned.v, before.n * sizeof *before.v);
    next_classic_clear(m);
    is_good = is_good && next_walk(m, op, r, was_classic, records, now) == 0;
    if (is_good) {
        bool is_full = r->rebalance_timeout_ms != -1 && r->topic_partitions_n >= 0 &&
                       (r->subscribed_topic_names_n >= 0 || r->subscribed_topic_regex.ptr != NULL);
        answer(m, op,
               r->member_epoch == NEXT_EPOCH_JOIN || is_full ||
                   !next_parts_equal(&before, &m->assigned, false));
    }
    free(before.v);
    return is_good;
}

void group_next_heartbeat(struct group_next *g, struct control_op *op, struct now now)
{
    const struct consumer_group_heartbeat_request *r = op->request;
    struct group_records records = {0};
    struct fault f = {0};
    g->keeps_generation = false;
    g->nexts->work += NEXT_WORK_HEARTBEAT;
    next_settings_look(g);
    if (r->member_epoch < NEXT_EPOCH_JOIN) {
        leave(g, op, &records, now);
    } else if (next_first_wait(g, op)) {
        return;
    } else {
        struct bytes id = id_of(g, op);
        bool is_good = id.ptr != NULL && next_size_check(g, r->member_id, &f) &&
                       regex_check(g, r->subscribed_topic_regex, &f);
        struct next_member *m = is_good ? member_of(g, r, id, &records, now, &f) : NULL;
        if (m != NULL && !walk_and_answer(m, op, &records, now))
            no_memory(&f);
        if (id.ptr == NULL)
            no_memory(&f);
        if (f.code != 0)
            next_refuse(op, &f);
        else if (next_first_wait(g, op))
            op = NULL;
    }
    next_append(g, &records, op);
}
