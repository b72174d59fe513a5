/*
 * group_migrate.c - a classic group with members becomes a KIP-848 group, and the reverse, while
 * its members go on (KIP-848, online migration).
 *
 * Owner: control.
 *
 *   up     the first ConsumerGroupHeartbeat joins a classic group of the consumer protocol: each
 *          member is one of the classic protocol, owns and should have what it was assigned last;
 *          epochs begin at the generation; whoever waits for an answer is told to join again
 *   down   the last member of ConsumerGroupHeartbeat is gone: the generation is the group's epoch,
 *          each member's assignment its target; the members are told to join again, unless the one
 *          that is gone was replaced by a static member of the same instance
 *
 * It takes turns (struct migration): the new form is made beside the old one, a piece in each turn,
 * and takes its place in one. Requests that would change the group wait until then and run again;
 * what timers change makes it begin anew. A small group is done within the call that begins it.
 *
 * The old form's tombstones and the new form's records stand in one write, so a start finds one or
 * the other. A write too large for that is cut, and a start may then find neither: members join
 * anew.
 *
 * Assignments of classic groups are the members' own and may give one partition to two: the first
 * member keeps it. What a cooperative member said it owns counts as its own beside what it was
 * assigned: in the middle of a rebalance it may not have given it up yet (Apache Kafka looks at the
 * assignment alone, so that two members may work on a partition for a moment).
 */
#include <stdlib.h>

#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "group_next_host.h"
#include "group_next_records.h"
#include "group_protocol.h"
#include "messages.h"

enum {
    ARENA_BYTES_MAX = 64 << 20,
    /* In the units of NEXT_WORK_, a member each: */
    WORK_MEMBER = 90,
    WORK_SETTLE = 32,
    WORK_RECORD = 30,
    WORK_GONE = 8,
    WORK_FREE = 18,
};
#define CANNOT "Cannot upgrade classic group %.*s to consumer group because "

/* ── up ── */

/* Room for the partitions of one more topic, which then follow in `out`. */
static int parts_add(const struct coordinator *co, struct bytes topic, const int32_t *numbers,
                     int32_t n, struct next_parts *out)
{
    const struct next_host *host = &co->nexts.host;
    struct uuid id;
    int32_t partitions_n;
    if (n <= 0 || !host->topic(host->context, topic, &id, &partitions_n))
        return 0;
    struct next_part *more = realloc(out->v, ((uint64_t)out->n + (uint32_t)n) * sizeof *more);
    if (more == NULL)
        return E_NO_MEMORY;
    out->v = more;
    for (int32_t i = 0; i < n; i++)
        if (numbers[i] < partitions_n)
            out->v[out->n++] = (struct next_part){id, numbers[i], 0};
    return 0;
}

static int assignment_add(const struct coordinator *co, struct bytes assignment,
                          struct arena *arena, struct next_parts *out)
{
    struct consumer_protocol_assignment a;
    int e = consumer_assignment_decode(assignment, arena, &a);
    for (int32_t i = 0; e == 0 && i < a.assigned_partitions_n; i++)
        e = parts_add(co, a.assigned_partitions[i].topic, a.assigned_partitions[i].partitions,
                      a.assigned_partitions[i].partitions_n, out);
    return e;
}

/* A cooperative member works on what it said it owns until it joins without it, whatever it was
 * assigned meanwhile: nobody else may have that yet. */
static int owned_add(const struct coordinator *co, const struct consumer_protocol_subscription *s,
                     struct next_parts *out)
{
    int e = 0;
    for (int32_t i = 0; e == 0 && i < s->owned_partitions_n; i++)
        e = parts_add(co, s->owned_partitions[i].topic, s->owned_partitions[i].partitions,
                      s->owned_partitions[i].partitions_n, out);
    return e;
}

static struct bytes metadata_of(const struct group_member *m, struct bytes protocol)
{
    for (uint32_t i = 0; i < m->protocols_n; i++)
        if (bytes_equal(m->protocols[i].name, protocol))
            return m->protocols[i].metadata;
    return (struct bytes){NULL, 0};
}

static int member_fill(struct coordinator *co, struct next_member *m,
                       const struct group_member *from,
                       const struct consumer_protocol_subscription *s, struct arena *arena)
{
    bool ignored;
    struct bytes client = from->client_id.ptr == NULL ? bytes_of("", 0) : from->client_id;
    struct bytes host = from->client_host.ptr == NULL ? bytes_of("", 0) : from->client_host;
    struct bytes rack = s->rack_id.n == 0 ? (struct bytes){NULL, 0} : s->rack_id;
    if (!next_replace(&m->instance_id, from->instance_id) || !next_replace(&m->rack_id, rack) ||
        !next_replace(&m->client_id, client) || !next_replace(&m->client_host, host))
        return E_NO_MEMORY;
    m->rebalance_timeout_ms = from->rebalance_timeout_ms;
    m->epoch = m->previous_epoch = from->group->generation;
    m->state = NEXT_STABLE;
    int e =
        next_topics_set(m->group, &m->names, s->topics, (int32_t)max_i64(s->topics_n, 0), &ignored);
    if (e == 0)
        e = assignment_add(co, from->assignment, arena, &m->target);
    if (e == 0)
        e = assignment_add(co, from->assignment, arena, &m->assigned);
    if (e == 0)
        e = owned_add(co, s, &m->assigned);
    for (uint32_t i = 0; e == 0 && i < m->assigned.n; i++)
        m->assigned.v[i].epoch = m->epoch;
    return e < 0 ? e
                 : next_classic_set(m, from->session_timeout_ms, from->protocols, from->protocols_n,
                                    NULL);
}

static int member_up(struct coordinator *co, struct group_next *g, const struct group_member *from)
{
    struct consumer_protocol_subscription s;
    struct arena arena;
    arena_init(&arena, NULL, NULL, ARENA_BYTES_MAX);
    int e = consumer_subscription_decode(metadata_of(from, from->group->protocol), &arena, &s);
    if (e == 0 && s.topics_n > NEXT_SUBSCRIPTIONS_MAX)
        e = E_MALFORMED;
    struct next_member *m = e == 0 ? next_member_new(g, from->id) : NULL;
    if (m != NULL) {
        e = member_fill(co, m, from, &s, &arena);
        next_member_link(m);
        next_member_count(m);
    } else if (e == 0) {
        e = E_NO_MEMORY;
    }
    arena_fini(&arena);
    return e;
}

bool migrate_up_may(const struct coordinator *co, const struct group *group, struct fault *f)
{
    const struct next_config *config = &co->nexts.config;
    const char *why = !config->may_upgrade ? "the online upgrade is disabled"
                      : !group_uses_consumer_protocol(group)
                          ? "the group does not use the consumer embedded protocol"
                      : group->members_n > (uint32_t)config->size_max
                          ? "the group size exceeds the consumer group maximum size"
                          : NULL;
    if (why != NULL)
        return fault_set(f, KAFKA_GROUP_ID_NOT_FOUND, CANNOT "%s.", (int)group->id.n,
                         (const char *)group->id.ptr, why);
    if (group->generation == 0 || group->protocol.ptr == NULL)
        /* Its first members are being gathered and have nothing to take over: in a moment. */
        return fault_set(f, KAFKA_COORDINATOR_LOAD_IN_PROGRESS, "%s", "");
    return true;
}

/* The one whose heartbeat began it is told; the others try for themselves. */
static void up_fail(struct coordinator *co, struct migration *m, int e)
{
    struct group *group = m->group;
    struct control_op *op =
        container_of(list_entry(list_pop(&m->waiting), struct mail, link), struct control_op, mail);
    struct fault f = {0};
    if (e == E_MALFORMED)
        fault_set(&f, KAFKA_GROUP_ID_NOT_FOUND,
                  CANNOT "the embedded consumer protocol is malformed.", (int)group->id.n,
                  (const char *)group->id.ptr);
    else
        fault_set(&f, KAFKA_UNKNOWN_SERVER_ERROR, "%s", "");
    migration_end(co, m);
    next_refuse(op, &f);
    coordinator_answer(co, op);
}

/* In one turn: the write, and who is in the group. */
static int up_finish(struct coordinator *co, struct migration *m)
{
    struct group *group = m->group;
    struct group_next *g = m->next;
    if (!next_host_write(co, group, &m->records, NULL))
        return E_NO_MEMORY;
    group_next_begin(g, co->control->now);
    list_for_each(l, next, &group->members)
        group_member_remove(list_entry(l, struct group_member, link), KAFKA_REBALANCE_IN_PROGRESS);
    list_for_each(l2, next2, &group->pending)
        group_pending_free(list_entry(l2, struct group_pending, link));
    timer_stop(group->groups->timers, &group->rebalance);
    group->is_appending = false;
    int e = group_restore(group, NULL);
    check(e == 0); /* it makes nothing */
    group->next = g;
    m->next = NULL;
    co->loose_n--;
    g->last = co->next_number; /* of the write above: answers wait for it */
    co->ups_n++;
    return 0;
}

/* One member of the phase. */
static int up_one(struct coordinator *co, struct migration *m, uint32_t *work)
{
    struct next_member *member = list_entry(m->at, struct next_member, link);
    *work = WORK_RECORD;
    switch (m->phase) {
    case UP_MEMBERS:
        *work = WORK_MEMBER;
        return member_up(co, m->next, list_entry(m->at, struct group_member, link));
    case UP_SETTLE: *work = WORK_SETTLE; return next_member_settle(member);
    case UP_RECORDS: next_records_member(&m->records, member); break;
    case UP_TARGETS: next_records_target(&m->records, member, &member->target); break;
    default: next_records_current(&m->records, member); break;
    }
    return m->records.error;
}

/* Kafka's order of records: members, epoch, targets, their epoch, what each has. */
static void up_phase_end(struct migration *m)
{
    struct group_next *g = m->next;
    if (m->phase == UP_SETTLE) {
        g->epoch = (int32_t)max_i64(g->epoch, m->group->generation);
        g->assignment_epoch = (int32_t)max_i64(g->assignment_epoch, m->group->generation);
        g->hash = next_topics_hash(g);
        group_records_metadata_gone(&m->records, m->group->id);
    } else if (m->phase == UP_RECORDS) {
        next_records_epoch(&m->records, g);
    } else if (m->phase == UP_TARGETS) {
        next_records_target_epoch(&m->records, g);
    }
    m->phase++;
    m->at = g->members.next;
}

static void up_step(struct coordinator *co, struct migration *m)
{
    struct group *group = m->group;
    int e = 0;
    if (group->version != m->version) { /* a timer changed it: the heartbeat begins anew */
        migration_end(co, m);
        return;
    }
    while (e == 0 && m->phase < UP_FINISH) {
        const struct list *end = m->phase == UP_MEMBERS ? &group->members : &m->next->members;
        uint32_t work = 0;
        if (m->at == end) {
            up_phase_end(m);
            continue;
        }
        struct list *at = m->at;
        e = up_one(co, m, &work);
        m->at = at->next;
        if (coordinator_work(co, work) && e == 0)
            return;
    }
    if (e == 0)
        e = up_finish(co, m);
    if (e < 0)
        up_fail(co, m, e);
    else
        migration_end(co, m);
}

/* ── one that goes on over turns ── */

static struct migration *migration_new(struct coordinator *co, struct group *group)
{
    struct migration *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->group = group;
    m->version = group->version;
    list_init(&m->made);
    list_init(&m->waiting);
    list_init(&m->link);
    list_append(&co->migrations, &m->link);
    group->migration = m;
    return m;
}

void migrate_up(struct coordinator *co, struct group *group, struct control_op *op)
{
    struct migration *m = migration_new(co, group);
    if (m != NULL)
        m->next = group_next_new(&co->nexts, group->id, group);
    if (m == NULL || m->next == NULL) {
        struct fault f = {.code = KAFKA_UNKNOWN_SERVER_ERROR};
        if (m != NULL)
            migration_end(co, m);
        next_refuse(op, &f);
        coordinator_answer(co, op);
        return;
    }
    co->loose_n++;
    m->phase = UP_MEMBERS;
    m->at = group->members.next;
    list_append(&m->waiting, &op->mail.link);
    if (!coordinator_work(co, 0))
        migration_step(co, m);
}

static void down_step(struct coordinator *co, struct migration *m);
static void free_step(struct coordinator *co, struct migration *m);

void migration_step(struct coordinator *co, struct migration *m)
{
    if (m->phase <= UP_FINISH)
        up_step(co, m);
    else if (m->phase < DOWN_FREE)
        down_step(co, m);
    else
        free_step(co, m);
}

void migration_end(struct coordinator *co, struct migration *m)
{
    struct list *l;
    m->group->migration = NULL;
    list_del(&m->link);
    while ((l = list_pop(&m->made)) != NULL)
        group_member_free(list_entry(l, struct group_member, link));
    if (m->phase <= UP_FINISH && m->next != NULL) {
        co->loose_n--;
        group_next_free(m->next);
    }
    group_records_fini(&m->records);
    group_records_fini(&m->gone);
    if (!co->groups.is_ending && m->op != NULL) {
        next_host_refuse(m->op, KAFKA_UNKNOWN_SERVER_ERROR);
        coordinator_answer(co, m->op);
    }
    while (!co->groups.is_ending && (l = list_pop(&m->waiting)) != NULL)
        next_host_again(co,
                        container_of(list_entry(l, struct mail, link), struct control_op, mail));
    free(m);
}

void migrations_fini(struct coordinator *co)
{
    struct list *l;
    while ((l = list_pop(&co->migrations)) != NULL) { /* all others went with their groups */
        struct migration *m = list_entry(l, struct migration, link);
        check(m->phase == DOWN_FREE);
        group_next_free(m->next);
        co->loose_n--;
        free(m);
    }
}

static struct bytes group_id_of(const struct control_op *op)
{
    switch (op->api_key) {
    case 11: return ((const struct join_group_request *)op->request)->group_id;
    case 12: return ((const struct heartbeat_request *)op->request)->group_id;
    case 13: return ((const struct leave_group_request *)op->request)->group_id;
    case 14: return ((const struct sync_group_request *)op->request)->group_id;
    case 68: return ((const struct consumer_group_heartbeat_request *)op->request)->group_id;
    default: return (struct bytes){NULL, 0}; /* it changes no member */
    }
}

bool migration_holds(struct coordinator *co, struct control_op *op)
{
    if (list_is_empty(&co->migrations))
        return false;
    struct bytes id = group_id_of(op);
    struct group *group = id.ptr == NULL ? NULL : group_find(&co->groups, id);
    if (group == NULL || group->migration == NULL)
        return false;
    list_append(&group->migration->waiting, &op->mail.link);
    return true;
}

void migration_take_back(struct coordinator *co, struct group *group, struct group_records *records,
                         struct control_op **op)
{
    struct migration *m = group->migration;
    struct group_records before = m->records;
    check(m->phase >= DOWN_MEMBERS && m->phase < DOWN_FREE); /* going up it has no timers yet */
    m->records = (struct group_records){0};
    group_records_join(&before, records);
    group_records_fini(records);
    *records = before;
    if (*op == NULL) {
        *op = m->op;
        m->op = NULL;
    }
    migration_end(co, m);
}

/* ── down ── */

static int protocols_down(struct group_member *to, const struct next_classic *from)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < from->protocols_n; i++)
        bytes += (uint64_t)from->protocols[i].name.n + from->protocols[i].metadata.n;
    to->protocols = calloc(from->protocols_n + 1ull, sizeof *to->protocols);
    to->memory = malloc(bytes + 1);
    if (to->protocols == NULL || to->memory == NULL)
        return E_NO_MEMORY;
    uint8_t *at = to->memory;
    for (uint32_t i = 0; i < from->protocols_n; i++) {
        struct bytes pieces[2] = {from->protocols[i].name, from->protocols[i].metadata};
        struct bytes *copies[2] = {&to->protocols[i].name, &to->protocols[i].metadata};
        for (int k = 0; k < 2; k++) {
            if (pieces[k].n > 0)
                memcpy(at, pieces[k].ptr, pieces[k].n);
            *copies[k] = bytes_of(at, pieces[k].n);
            at += pieces[k].n;
        }
    }
    to->protocols_n = from->protocols_n;
    return 0;
}

/* A member of the classic group, which is none of it yet. */
static int member_down(struct migration *to, const struct next_member *from)
{
    struct group_member *m = calloc(1, sizeof *m);
    if (m == NULL)
        return E_NO_MEMORY;
    list_init(&m->link);
    list_append(&to->made, &m->link);
    m->group = to->group;
    m->id = bytes_heap_copy(from->id);
    m->instance_id = bytes_heap_copy(from->instance_id);
    m->client_id = bytes_heap_copy(from->client_id);
    m->client_host = bytes_heap_copy(from->client_host);
    m->assignment = next_classic_assignment(from, &from->target);
    m->session_timeout_ms = from->classic->session_timeout_ms;
    m->rebalance_timeout_ms = from->rebalance_timeout_ms;
    group_member_timers(m);
    int e = protocols_down(m, from->classic);
    if (m->id.ptr == NULL || m->assignment.ptr == NULL ||
        (from->instance_id.ptr != NULL && m->instance_id.ptr == NULL))
        e = E_NO_MEMORY;
    return e;
}

static int group_down(struct group *group, struct migration *from, struct now now)
{
    const struct group_next *g = group->next;
    struct list *l;
    group_common_forget(group);
    while ((l = list_pop(&from->made)) != NULL) {
        struct group_member *m = list_entry(l, struct group_member, link);
        group_member_link(m);
        group_member_count(m);
    }
    group->generation = g->epoch;
    group->protocol_type = bytes_heap_copy(bytes_of_string("consumer"));
    group->protocol = bytes_heap_copy(group_protocol_select(group));
    group_state_set(group, GROUP_STABLE, now);
    group_restored(group, now);
    return group->protocol_type.ptr == NULL || group->protocol.ptr == NULL ? E_NO_MEMORY : 0;
}

/* Neither form can go on: members join anew. */
static void give_up(struct coordinator *co, struct group *group, struct control_op *op)
{
    struct group_records records = {0};
    int e = group_restore(group, NULL);
    check(e == 0); /* it makes nothing */
    if (group->next != NULL) {
        next_records_group_gone(&records, group->next);
        next_host_gone(co, group, KAFKA_UNKNOWN_SERVER_ERROR);
    }
    if (records.error == 0)
        (void)next_host_write(co, group, &records, NULL);
    group_records_fini(&records);
    co->next_lost_n++;
    if (op != NULL) {
        next_host_refuse(op, KAFKA_UNKNOWN_SERVER_ERROR);
        coordinator_answer(co, op);
    }
}

/* Its old form hangs at no group any more and is freed over turns: nothing of it may fire. */
static void down_detach(struct coordinator *co, struct migration *m)
{
    struct group *group = m->group;
    struct group_next *g = group->next;
    group->next = NULL;
    next_host_waiting_answer(co, g, UINT64_MAX, KAFKA_REBALANCE_IN_PROGRESS);
    list_for_each(l, next, &g->members) {
        struct next_member *member = list_entry(l, struct next_member, link);
        next_classic_clear(member);
        timer_stop(co->nexts.timers, &member->session);
        timer_stop(co->nexts.timers, &member->rebalance);
    }
    next_owners_forget(g);
    struct migration *rest = calloc(1, sizeof *rest);
    if (rest == NULL) {
        group_next_free(g);
        return;
    }
    co->loose_n++;
    rest->phase = DOWN_FREE;
    rest->next = g;
    list_init(&rest->link);
    list_append(&co->migrations, &rest->link);
}

/* In one turn: the write, and who is in the group. */
static void down_finish(struct coordinator *co, struct migration *m)
{
    struct group *group = m->group;
    struct now now = co->control->now;
    bool keeps_generation = group->next->keeps_generation;
    struct control_op *op = m->op;
    m->op = NULL;
    int e = group_down(group, m, now);
    group_records_join(&m->records, &m->gone);
    group_records_metadata(&m->records, group);
    if (e < 0 || !next_host_write(co, group, &m->records, op)) {
        migration_end(co, m);
        give_up(co, group, op);
        return;
    }
    down_detach(co, m);
    migration_end(co, m);
    co->downs_n++;
    if (!keeps_generation)
        group_prepare_rebalance(group, GROUP_CAUSE_DOWNGRADED, NULL, (struct bytes){NULL, 0}, now);
}

static int down_one(struct migration *m, const struct next_member *member, uint32_t *work)
{
    *work = m->phase == DOWN_MEMBERS ? WORK_RECORD + member->names.n : WORK_GONE;
    if (m->phase == DOWN_MEMBERS)
        return member_down(m, member);
    next_records_member_gone(&m->gone, m->group->id, member->id);
    return m->gone.error;
}

static void down_step(struct coordinator *co, struct migration *m)
{
    struct group *group = m->group;
    struct list *members = &group->next->members;
    int e = 0;
    while (e == 0 && m->phase < DOWN_FINISH) {
        uint32_t work = 0;
        if (m->at == members) {
            if (m->phase == DOWN_GONE)
                next_records_rest_gone(&m->gone, group->next);
            m->phase++;
            m->at = members->next;
            continue;
        }
        e = down_one(m, list_entry(m->at, struct next_member, link), &work);
        m->at = m->at->next;
        if (coordinator_work(co, work) && e == 0)
            return;
    }
    if (e == 0) {
        down_finish(co, m);
        return;
    }
    struct control_op *op = m->op;
    m->op = NULL;
    migration_end(co, m);
    give_up(co, group, op);
}

static void free_step(struct coordinator *co, struct migration *m)
{
    struct list *l;
    while (!list_is_empty(&m->next->members)) {
        l = m->next->members.next;
        next_member_free(list_entry(l, struct next_member, link));
        if (coordinator_work(co, WORK_FREE))
            return;
    }
    co->loose_n--;
    list_del(&m->link);
    group_next_free(m->next);
    free(m);
}

void migrate_down(struct coordinator *co, struct group *group, struct group_records *records,
                  struct control_op *op)
{
    check(group->state == GROUP_EMPTY && group->members_n == 0);
    next_job_end(group->next);
    struct migration *m = migration_new(co, group);
    if (m == NULL) {
        group_records_fini(records);
        give_up(co, group, op);
        return;
    }
    m->records = *records;
    *records = (struct group_records){0};
    m->op = op;
    m->phase = DOWN_MEMBERS;
    m->at = group->next->members.next;
    if (!coordinator_work(co, 0))
        migration_step(co, m);
}
