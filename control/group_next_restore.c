/*
 * group_next_restore.c - records of a KIP-848 group become the group again.
 *
 * Owner: control. Only while the group's partition loads: no request is served for it and no timer
 * runs.
 *
 * Records may come in any order that compaction leaves (a member's target before the member). What
 * contradicts itself when all is read (a partition at two members, epochs that run ahead) is put
 * right, so that no bytes on disk can break the invariants: later members lose what earlier ones
 * have, epochs of the group rise to those of its members.
 */
#include <stdlib.h>

#include "check.h"
#include "group_next.h"
#include "group_next_records.h"
#include "messages.h"

static struct next_member *member_get(struct group_next *g, struct bytes id, bool may_make)
{
    struct next_member *m = next_member_find(g, id);
    if (m != NULL || !may_make)
        return m;
    m = next_member_new(g, id);
    if (m == NULL)
        return NULL;
    m->state = NEXT_UNKNOWN; /* until its records have come */
    next_member_link(m);
    return m;
}

static int classic_take(
    struct next_member *m,
    const struct consumer_group_member_metadata_value_classic_member_metadata *from)
{
    if (from == NULL) {
        next_classic_clear(m);
        return 0;
    }
    uint32_t n = (uint32_t)min_i64(max_i64(from->supported_protocols_n, 0), GROUP_PROTOCOLS_MAX);
    struct group_protocol *protocols = calloc(n + 1ull, sizeof *protocols);
    if (protocols == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        protocols[i] = (struct group_protocol){from->supported_protocols[i].name,
                                               from->supported_protocols[i].metadata};
    int e = next_classic_set(m, from->session_timeout_ms, protocols, n, NULL);
    free(protocols);
    return e;
}

static int apply_member(struct group_next *g, const struct next_record *rec)
{
    const struct consumer_group_member_metadata_value *v = rec->value;
    struct next_member *m = member_get(g, rec->name, !rec->is_gone);
    bool ignored;
    if (rec->is_gone) {
        if (m != NULL)
            next_member_free(m);
        return 0;
    }
    if (m == NULL)
        return E_NO_MEMORY;
    next_member_unlink(m);
    bool is_good = next_replace(&m->instance_id, v->instance_id) &&
                   next_replace(&m->rack_id, v->rack_id) &&
                   next_replace(&m->client_id, v->client_id) &&
                   next_replace(&m->client_host, v->client_host) &&
                   next_replace(&m->assignor, v->server_assignor);
    struct next_member *twin =
        m->instance_id.ptr == NULL ? NULL : next_member_by_instance(g, m->instance_id);
    if (twin != NULL)
        next_member_free(twin); /* its tombstones were the ones before */
    next_member_link(m);
    m->rebalance_timeout_ms = v->rebalance_timeout_ms;
    int e = is_good ? next_topics_set(g, &m->names, v->subscribed_topic_names,
                                      (int32_t)max_i64(v->subscribed_topic_names_n, 0), &ignored)
                    : E_NO_MEMORY;
    struct next_regex *old = m->regex, *new = NULL;
    if (e == 0 && v->subscribed_topic_regex.n > 0) {
        new = next_regex_find(g, v->subscribed_topic_regex);
        if (new == NULL && (new = next_regex_new(g, v->subscribed_topic_regex)) == NULL)
            e = E_NO_MEMORY;
    }
    if (new != NULL)
        new->members_n++;
    m->regex = new;
    if (old != NULL)
        old->members_n--; /* group_next_restored drops what nobody uses */
    if (e == 0)
        e = classic_take(m, v->classic_member_metadata);
    next_member_count(m);
    return e;
}

static int apply_target(struct group_next *g, const struct next_record *rec)
{
    const struct consumer_group_target_assignment_member_value *v = rec->value;
    struct next_member *m = member_get(g, rec->name, !rec->is_gone);
    struct next_parts new = {NULL, 0};
    uint64_t n = 0;
    if (m == NULL)
        return rec->is_gone ? 0 : E_NO_MEMORY;
    for (int32_t i = 0; v != NULL && i < v->topic_partitions_n; i++)
        n += (uint64_t)max_i64(v->topic_partitions[i].partitions_n, 0);
    new.v = calloc(n + 1, sizeof *new.v);
    if (new.v == NULL)
        return E_NO_MEMORY;
    for (int32_t i = 0; v != NULL && i < v->topic_partitions_n; i++)
        for (int32_t k = 0; k < v->topic_partitions[i].partitions_n; k++)
            new.v[new.n++] = (struct next_part){v->topic_partitions[i].topic_id,
                                                v->topic_partitions[i].partitions[k], 0};
    next_parts_free(&m->target);
    m->target = new;
    return 0;
}

static int parts_take(
    struct next_parts *to,
    const struct consumer_group_current_member_assignment_value_topic_partitions *from,
    int32_t from_n, int32_t epoch)
{
    struct next_parts new = {NULL, 0};
    uint64_t n = 0;
    for (int32_t i = 0; i < from_n; i++)
        n += (uint64_t)max_i64(from[i].partitions_n, 0);
    new.v = calloc(n + 1, sizeof *new.v);
    if (new.v == NULL)
        return E_NO_MEMORY;
    for (int32_t i = 0; i < from_n; i++)
        for (int32_t k = 0; k < from[i].partitions_n; k++)
            new.v[new.n++] = (struct next_part){
                from[i].topic_id, from[i].partitions[k],
                k < from[i].assignment_epochs_n ? from[i].assignment_epochs[k] : epoch};
    next_parts_free(to);
    *to = new;
    return 0;
}

static int apply_current(struct group_next *g, const struct next_record *rec)
{
    const struct consumer_group_current_member_assignment_value *v = rec->value;
    struct next_member *m = member_get(g, rec->name, !rec->is_gone);
    if (m == NULL)
        return rec->is_gone ? 0 : E_NO_MEMORY;
    m->epoch = v == NULL ? 0 : v->member_epoch;
    m->previous_epoch = v == NULL ? 0 : v->previous_member_epoch;
    m->state = v == NULL                                                ? NEXT_STABLE
               : v->state >= NEXT_STABLE && v->state <= NEXT_UNRELEASED ? (uint8_t)v->state
                                                                        : NEXT_UNKNOWN;
    int e = parts_take(&m->assigned, v == NULL ? NULL : v->assigned_partitions,
                       v == NULL ? 0 : v->assigned_partitions_n, m->epoch);
    if (e == 0)
        e = parts_take(&m->revoking, v == NULL ? NULL : v->partitions_pending_revocation,
                       v == NULL ? 0 : v->partitions_pending_revocation_n, m->epoch);
    return e;
}

static int apply_regex(struct group_next *g, const struct next_record *rec)
{
    const struct consumer_group_regular_expression_value *v = rec->value;
    struct next_regex *regex = next_regex_find(g, rec->name);
    bool ignored;
    if (rec->is_gone)
        return 0;
    if (regex == NULL && (regex = next_regex_new(g, rec->name)) == NULL)
        return E_NO_MEMORY;
    regex->version = v->version;
    regex->resolved_ms = v->timestamp;
    return next_topics_set(g, &regex->topics, v->topics, (int32_t)max_i64(v->topics_n, 0),
                           &ignored);
}

int group_next_apply(struct group_next *g, const struct next_record *rec)
{
    const struct consumer_group_metadata_value *epoch = rec->value;
    const struct consumer_group_target_assignment_metadata_value *target = rec->value;
    switch (rec->type) {
    case NEXT_RECORD_EPOCH:
        g->epoch = rec->is_gone ? 0 : epoch->epoch;
        g->hash = rec->is_gone ? 0 : epoch->metadata_hash;
        return 0;
    case NEXT_RECORD_TARGET_EPOCH:
        g->assignment_epoch = rec->is_gone ? 0 : target->assignment_epoch;
        g->assigned_ms = rec->is_gone ? 0 : target->assignment_timestamp;
        return 0;
    case NEXT_RECORD_MEMBER: return apply_member(g, rec);
    case NEXT_RECORD_TARGET: return apply_target(g, rec);
    case NEXT_RECORD_CURRENT: return apply_current(g, rec);
    case NEXT_RECORD_REGEX: return apply_regex(g, rec);
    default: return 0;
    }
}

bool group_next_is_nothing(const struct group_next *g)
{
    return g->epoch == 0 && g->members_n == 0;
}

/* ── all is read ── */

/* In order, each once, no negative numbers; of those in the owners' table only what is this
 * member's. */
static void parts_settle(struct next_member *m, struct next_parts *p, bool is_owned)
{
    uint32_t kept = 0;
    next_parts_sort(p);
    for (uint32_t i = 0; i < p->n; i++) {
        bool is_twice = kept > 0 && next_part_compare(&p->v[kept - 1], &p->v[i]) == 0;
        bool is_others =
            is_owned && next_owner(m->group, &p->v[i].topic_id, p->v[i].partition) != NULL;
        if (!is_twice && !is_others && p->v[i].partition >= 0)
            p->v[kept++] = p->v[i];
    }
    p->n = kept;
}

int next_member_settle(struct next_member *m)
{
    struct group_next *g = m->group;
    int e = next_owners_reserve(g, m->assigned.n + m->revoking.n);
    if (e < 0)
        return e;
    parts_settle(m, &m->assigned, true);
    parts_settle(m, &m->revoking, true);
    parts_settle(m, &m->target, false);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->revoking.n; i++)
        if (next_parts_find(&m->assigned, &m->revoking.v[i].topic_id, m->revoking.v[i].partition) ==
            NULL)
            m->revoking.v[kept++] = m->revoking.v[i];
    m->revoking.n = kept;
    if ((m->state == NEXT_UNREVOKED) != (m->revoking.n > 0))
        m->state = m->revoking.n > 0 ? NEXT_UNREVOKED : NEXT_STABLE;
    next_owners_add(m);
    g->epoch = (int32_t)max_i64(g->epoch, m->epoch);
    g->assignment_epoch = (int32_t)max_i64(g->assignment_epoch, m->epoch);
    m->rebalance_epoch = m->epoch;
    next_member_count(m);
    return 0;
}

void group_next_begin(struct group_next *g, struct now now)
{
    list_for_each(l2, next2, &g->regexes)
        if (list_entry(l2, struct next_regex, link)->members_n == 0)
            next_regex_free(g, list_entry(l2, struct next_regex, link));
    g->epoch = (int32_t)max_i64(g->epoch, g->assignment_epoch);
    g->metadata_version = 0; /* topics may be others by now */
    list_for_each(l, next, &g->members) {
        struct next_member *m = list_entry(l, struct next_member, link);
        next_session_renew(m, now);
        if (m->state == NEXT_UNREVOKED && m->classic == NULL)
            timer_set(g->nexts->timers, &m->rebalance,
                      now.ns + (uint64_t)max_i64(m->rebalance_timeout_ms, 0) * NS_PER_MS);
        next_member_note(m);
    }
}

int group_next_restored(struct group_next *g, struct now now)
{
    list_for_each(l, next, &g->members) {
        struct next_member *m = list_entry(l, struct next_member, link);
        if (m->client_id.ptr ==
            NULL) { /* its own record is not there: the rest is what compaction has not taken yet */
            next_member_free(m);
            continue;
        }
        int e = next_member_settle(m);
        if (e < 0)
            return e;
    }
    group_next_begin(g, now);
    return 0;
}
