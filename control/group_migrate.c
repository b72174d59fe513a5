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

enum { ARENA_BYTES_MAX = 64 << 20 };
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

static void target_record(struct group_records *records, const struct next_member *m)
{
    next_records_target(records, m, &m->target);
}

/* Kafka's order: members, epoch, targets, their epoch, what each has. */
static void records_up(struct group_records *records, const struct group_next *g)
{
    struct list *members = (struct list *)(uintptr_t)&g->members;
    list_for_each(l, next, members)
        next_records_member(records, list_entry(l, struct next_member, link));
    next_records_epoch(records, g);
    list_for_each(l2, next2, members)
        target_record(records, list_entry(l2, struct next_member, link));
    next_records_target_epoch(records, g);
    list_for_each(l3, next3, members)
        next_records_current(records, list_entry(l3, struct next_member, link));
}

static struct group_next *group_up(struct coordinator *co, struct group *group, int *error)
{
    struct group_next *g = group_next_new(&co->nexts, group->id, group);
    int e = g == NULL ? E_NO_MEMORY : 0;
    list_for_each(l, next, &group->members)
        if (e == 0)
            e = member_up(co, g, list_entry(l, struct group_member, link));
    if (e == 0) {
        g->epoch = g->assignment_epoch = group->generation;
        e = group_next_restored(g, co->control->now);
    }
    if (e == 0)
        g->hash = next_topics_hash(g);
    if (e < 0 && g != NULL)
        group_next_free(g);
    *error = e;
    return e < 0 ? NULL : g;
}

static bool may_migrate_up(const struct coordinator *co, const struct group *group, struct fault *f)
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

bool migrate_up(struct coordinator *co, struct group *group, struct fault *f)
{
    struct group_records records = {0};
    int e = 0;
    if (!may_migrate_up(co, group, f))
        return false;
    struct group_next *g = group_up(co, group, &e);
    if (g == NULL && e == E_MALFORMED)
        return fault_set(f, KAFKA_GROUP_ID_NOT_FOUND,
                         CANNOT "the embedded consumer protocol is malformed.", (int)group->id.n,
                         (const char *)group->id.ptr);
    if (g == NULL)
        return fault_set(f, KAFKA_UNKNOWN_SERVER_ERROR, "%s", "");
    group_records_metadata_gone(&records, group->id);
    records_up(&records, g);
    if (!next_host_write(co, group, &records, NULL)) {
        group_records_fini(&records);
        group_next_free(g);
        return fault_set(f, KAFKA_UNKNOWN_SERVER_ERROR, "%s", "");
    }
    group_records_fini(&records);
    list_for_each(l, next, &group->members)
        group_member_remove(list_entry(l, struct group_member, link), KAFKA_REBALANCE_IN_PROGRESS);
    list_for_each(l2, next2, &group->pending)
        group_pending_free(list_entry(l2, struct group_pending, link));
    timer_stop(group->groups->timers, &group->rebalance);
    group->is_appending = false;
    e = group_restore(group, NULL);
    check(e == 0); /* it makes nothing */
    group->next = g;
    g->last = co->next_number; /* of the write above: answers wait for it */
    co->ups_n++;
    return true;
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

static int member_down(struct group *group, const struct next_member *from)
{
    struct group_member *m = calloc(1, sizeof *m);
    if (m == NULL)
        return E_NO_MEMORY;
    m->group = group;
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
    group_member_link(m);
    group_member_count(m);
    return e;
}

static int group_down(struct group *group, const struct group_next *g, struct now now)
{
    int e = 0;
    group_common_forget(group);
    list_for_each(l, next, (struct list *)(uintptr_t)&g->members)
        if (e == 0)
            e = member_down(group, list_entry(l, struct next_member, link));
    group->generation = g->epoch;
    group->protocol_type = bytes_heap_copy(bytes_of_string("consumer"));
    group->protocol = bytes_heap_copy(group_protocol_select(group));
    if (group->protocol_type.ptr == NULL || group->protocol.ptr == NULL)
        e = E_NO_MEMORY;
    group_state_set(group, GROUP_STABLE, now);
    group_restored(group, now);
    return e;
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

void migrate_down(struct coordinator *co, struct group *group, struct group_records *records,
                  struct control_op *op)
{
    struct group_next *g = group->next;
    struct now now = co->control->now;
    bool keeps_generation = g->keeps_generation;
    check(group->state == GROUP_EMPTY && group->members_n == 0);
    next_records_group_gone(records, g);
    int e = group_down(group, g, now);
    group_records_metadata(records, group);
    if (e < 0 || !next_host_write(co, group, records, op)) {
        group_records_fini(records);
        give_up(co, group, op);
        return;
    }
    group_records_fini(records);
    next_host_gone(co, group, KAFKA_REBALANCE_IN_PROGRESS);
    co->downs_n++;
    if (!keeps_generation)
        group_prepare_rebalance(group, GROUP_CAUSE_DOWNGRADED, NULL, (struct bytes){NULL, 0}, now);
}
