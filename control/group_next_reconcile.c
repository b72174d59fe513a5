/*
 * group_next_reconcile.c - one member's next step from what it has to its target.
 *
 * Owner: control. The rules are those of Kafka's CurrentAssignmentBuilder; group_next.h draws the
 * states.
 *
 *   kept      = assigned ∩ target               (with the epochs since which it has them)
 *   revoked   = assigned - kept                 (it must give up)
 *   wanted    = target - kept                   of which `free` ones nobody owns
 *
 *   revoked, and the member (says it) still owns some    UNREVOKED: kept + revoking, epoch stays
 *   otherwise                                            kept + free at the target's epoch;
 *                                                        UNRELEASED when wanted ones are not
 *                                                        free, else STABLE
 *
 * Topics that the member does not subscribe to (any more) count as not in its target.
 */
#include <stdlib.h>

#include "check.h"
#include "group_next.h"
#include "group_next_records.h"
#include "messages.h"

/* What the member becomes. */
struct step {
    struct next_parts kept, revoked;
    struct next_parts taken; /* kept and free, in order */
    uint32_t free_n, unreleased_n;
    int32_t epoch;
    uint8_t state;
};

static void step_fini(struct step *s)
{
    next_parts_free(&s->kept);
    next_parts_free(&s->revoked);
    next_parts_free(&s->taken);
}

enum { EPOCH_OF_STEP = INT32_MIN }; /* of a partition that the member gets with this step */

/* For ids that are asked for in ascending order: `at` goes along. */
static bool is_in(const struct uuid *ids, uint32_t n, uint32_t *at, const struct uuid *id)
{
    while (*at < n && memcmp(ids[*at].b, id->b, sizeof id->b) < 0)
        (*at)++;
    return *at < n && uuid_equal(&ids[*at], id);
}

/* The heartbeat names one of these among what the member owns, or does not say what it owns. */
static bool owns_any(const struct consumer_group_heartbeat_request *r,
                     const struct next_parts *parts)
{
    if (r->topic_partitions_n < 0)
        return true;
    for (int32_t i = 0; i < r->topic_partitions_n; i++)
        for (int32_t k = 0; k < r->topic_partitions[i].partitions_n; k++)
            if (next_parts_find(parts, &r->topic_partitions[i].topic_id,
                                r->topic_partitions[i].partitions[k]) != NULL)
                return true;
    return false;
}

/* The member's part of the owners' table does not count as taken: it asks for its own. */
static bool is_free(const struct next_member *m, const struct next_part *p)
{
    const struct next_member *owner = next_owner(m->group, &p->topic_id, p->partition);
    return owner == NULL || owner == m;
}

/* kept, taken, revoked and wanted of a merge of assigned and target. */
static int step_merge(const struct next_member *m, const struct uuid *ids, uint32_t ids_n,
                      struct step *s)
{
    uint32_t a = 0, t = 0, at = 0;
    uint64_t n = (uint64_t)m->assigned.n + m->target.n + 1;
    s->kept.v = calloc(n, sizeof *s->kept.v);
    s->taken.v = calloc(n, sizeof *s->taken.v);
    s->revoked.v = calloc(m->assigned.n + 1ull, sizeof *s->revoked.v);
    if (s->kept.v == NULL || s->taken.v == NULL || s->revoked.v == NULL)
        return E_NO_MEMORY;
    while (a < m->assigned.n || t < m->target.n) {
        int c = a == m->assigned.n ? 1
                : t == m->target.n ? -1
                                   : next_part_compare(&m->assigned.v[a], &m->target.v[t]);
        const struct next_part *p = c <= 0 ? &m->assigned.v[a] : &m->target.v[t];
        bool is_subscribed = is_in(ids, ids_n, &at, &p->topic_id);
        a += c <= 0;
        t += c >= 0;
        if (c == 0 && is_subscribed) {
            s->kept.v[s->kept.n++] = *p;
            s->taken.v[s->taken.n++] = *p;
        } else if (c <= 0) {
            s->revoked.v[s->revoked.n++] = *p;
        } else if (is_subscribed && !is_free(m, p)) {
            s->unreleased_n++;
        } else if (is_subscribed) {
            s->taken.v[s->taken.n] = *p;
            s->taken.v[s->taken.n++].epoch = EPOCH_OF_STEP;
            s->free_n++;
        }
    }
    return 0;
}

/* The wanted ones that are free join the kept ones. */
static void step_take(struct step *s)
{
    struct next_parts kept = s->kept;
    for (uint32_t i = 0; i < s->taken.n; i++)
        if (s->taken.v[i].epoch == EPOCH_OF_STEP)
            s->taken.v[i].epoch = s->epoch;
    s->kept = s->taken;
    s->taken = kept;
}

static int step_next(const struct next_member *m, const struct consumer_group_heartbeat_request *r,
                     int32_t epoch, const struct uuid *ids, uint32_t ids_n, struct step *s)
{
    int e = step_merge(m, ids, ids_n, s);
    if (e < 0)
        return e;
    if (s->revoked.n > 0 && owns_any(r, &s->revoked)) {
        s->state = NEXT_UNREVOKED;
        s->epoch = epoch;
        s->free_n = 0; /* not yet */
        return 0;
    }
    s->revoked.n = 0;
    s->epoch = m->group->assignment_epoch;
    s->state = s->unreleased_n > 0 ? NEXT_UNRELEASED : NEXT_STABLE;
    step_take(s);
    return 0;
}

/* The target has not moved, but the subscription: what it does not subscribe to any more is revoked
 * at once. */
static int step_unsubscribe(const struct next_member *m,
                            const struct consumer_group_heartbeat_request *r,
                            const struct uuid *ids, uint32_t ids_n, struct step *s)
{
    s->kept.v = calloc(m->assigned.n + 1ull, sizeof *s->kept.v);
    s->revoked.v = calloc((uint64_t)m->assigned.n + m->revoking.n + 1, sizeof *s->revoked.v);
    if (s->kept.v == NULL || s->revoked.v == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < m->revoking.n; i++)
        s->revoked.v[s->revoked.n++] = m->revoking.v[i];
    for (uint32_t i = 0, at = 0; i < m->assigned.n; i++) {
        const struct next_part *p = &m->assigned.v[i];
        struct next_parts *to = is_in(ids, ids_n, &at, &p->topic_id) ? &s->kept : &s->revoked;
        to->v[to->n++] = *p;
    }
    next_parts_sort(&s->revoked);
    s->epoch = m->epoch;
    s->state = m->state;
    if (s->revoked.n > 0 && owns_any(r, &s->revoked))
        s->state = NEXT_UNREVOKED;
    else if (m->state != NEXT_UNREVOKED)
        s->revoked.n = 0;
    return 0;
}

static void timers_set(struct next_member *m, struct now now)
{
    struct timers *timers = m->group->nexts->timers;
    if (m->state != NEXT_UNREVOKED ||
        m->classic != NULL) { /* classic members have timers of their own */
        timer_stop(timers, &m->rebalance);
        return;
    }
    m->rebalance_epoch = m->epoch;
    timer_set(timers, &m->rebalance,
              now.ns + (uint64_t)max_i64(m->rebalance_timeout_ms, 0) * NS_PER_MS);
}

static int step_do(struct next_member *m, struct step *s, struct group_records *records,
                   struct now now)
{
    if (s->state == m->state && s->epoch == m->epoch &&
        next_parts_equal(&s->kept, &m->assigned, true) &&
        next_parts_equal(&s->revoked, &m->revoking, true))
        return 0;
    uint32_t had_n = m->assigned.n + m->revoking.n, has_n = s->kept.n + s->revoked.n;
    int e = next_owners_reserve(m->group, has_n > had_n ? has_n - had_n : 0);
    if (e < 0)
        return e;
    next_owners_remove(m);
    next_parts_free(&m->assigned);
    next_parts_free(&m->revoking);
    m->assigned = s->kept;
    m->revoking = s->revoked;
    s->kept = s->revoked = (struct next_parts){NULL, 0};
    next_owners_add(m);
    if (s->epoch != m->epoch) {
        check(s->epoch > m->epoch);
        m->previous_epoch = m->epoch;
        m->epoch = s->epoch;
    }
    m->state = s->state;
    m->group->moved_n += s->free_n;
    next_member_note(m);
    timers_set(m, now);
    next_member_count(m);
    next_records_current(records, m);
    return 0;
}

/* Which step it is; false: none. */
static int step_find(const struct next_member *m, const struct consumer_group_heartbeat_request *r,
                     bool is_resubscribed, const struct uuid *ids, uint32_t n, struct step *s,
                     bool *is_one)
{
    *is_one = true;
    switch (m->state) {
    case NEXT_STABLE:
        if (m->epoch != m->group->assignment_epoch)
            return step_next(m, r, m->epoch, ids, n, s);
        break;
    case NEXT_UNREVOKED:
        if (r->topic_partitions_n >= 0 && !owns_any(r, &m->revoking))
            return step_next(m, r, (int32_t)min_i64(m->epoch + 1, m->group->assignment_epoch), ids,
                             n, s);
        break;
    case NEXT_UNRELEASED: return step_next(m, r, m->epoch, ids, n, s);
    default: /* of a newer version: the member began anew (next_heartbeat fences it before) */
        return step_next(m, r, m->group->assignment_epoch, ids, n, s);
    }
    *is_one = is_resubscribed;
    return is_resubscribed ? step_unsubscribe(m, r, ids, n, s) : 0;
}

int next_reconcile(struct next_member *m, const struct consumer_group_heartbeat_request *r,
                   bool is_resubscribed, struct group_records *records, struct now now)
{
    struct step s = {0};
    bool is_one = false;
    if (!is_resubscribed && next_member_is_settled(m))
        return 0;
    uint32_t ids_n = 0;
    const struct uuid *ids = next_topic_ids(m, &ids_n);
    if (ids == NULL)
        return E_NO_MEMORY;
    m->group->nexts->work += NEXT_WORK_STEP + 2ull * m->target.n + m->assigned.n + m->revoking.n;
    int e = step_find(m, r, is_resubscribed, ids, ids_n, &s, &is_one);
    if (e == 0 && is_one)
        e = step_do(m, &s, records, now);
    step_fini(&s);
    return e;
}
