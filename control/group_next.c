/*
 * group_next.c - tables of a KIP-848 group: members, topics they name, who owns which partition.
 *
 * Owner: control. Memory is the heap's, bounded by next_config (members per group, bytes of all).
 */
#include "group_next.h"

#include <stdlib.h>

#include "check.h"
#include "hash.h"

/* ── the table ── */

int nexts_init(struct nexts *nexts, const struct next_config *config, const struct next_host *host,
               struct timers *timers, struct prng *prng)
{
    *nexts = (struct nexts){.config = *config, .host = *host, .timers = timers, .prng = prng};
    nexts->by_id = malloc(2 * NEXT_BUCKETS * sizeof *nexts->by_id);
    if (nexts->by_id == NULL)
        return E_NO_MEMORY;
    nexts->by_instance = nexts->by_id + NEXT_BUCKETS;
    nexts->hash_seed = prng_next(prng);
    for (uint32_t i = 0; i < 2 * NEXT_BUCKETS; i++)
        list_init(&nexts->by_id[i]);
    list_init(&nexts->jobs);
    return 0;
}

void nexts_fini(struct nexts *nexts)
{
    check(nexts->groups_n == 0);
    free(nexts->by_id);
    nexts->by_id = nexts->by_instance = NULL;
}

bool next_replace(struct bytes *to, struct bytes from)
{
    struct bytes copy = bytes_heap_copy(from);
    if (from.ptr != NULL && copy.ptr == NULL)
        return false;
    bytes_heap_free(to);
    *to = copy;
    return true;
}

struct group_next *group_next_new(struct nexts *nexts, struct bytes id, void *holder)
{
    struct group_next *g = calloc(1, sizeof *g);
    struct bytes copy = bytes_heap_copy(id);
    if (g == NULL || copy.ptr == NULL) {
        free(g);
        bytes_heap_free(&copy);
        return NULL;
    }
    g->nexts = nexts;
    g->ids_version = 1;
    g->holder = holder;
    g->id = copy;
    list_init(&g->members);
    list_init(&g->regexes);
    list_init(&g->waiting);
    nexts->groups_n++;
    nexts->states_n[NEXT_EMPTY]++;
    next_settings_look(g);
    return g;
}

void next_settings_look(struct group_next *g)
{
    const struct next_config *config = &g->nexts->config;
    const struct next_host *host = &g->nexts->host;
    if (host->settings != NULL)
        g->settings_version =
            host->settings(host->context, g->id, g->settings_version, &g->settings);
    else
        g->settings =
            (struct next_settings){config->session_timeout_ms, config->heartbeat_interval_ms,
                                   config->assignment_interval_ms};
}

void group_next_free(struct group_next *g)
{
    next_job_end(g);
    list_for_each(l, next, &g->members)
        next_member_free(list_entry(l, struct next_member, link));
    list_for_each(l2, next2, &g->regexes)
        next_regex_free(g, list_entry(l2, struct next_regex, link));
    check(g->topics_n == 0);
    check(list_is_empty(&g->waiting));
    free(g->topics);
    free(g->ids.names);
    free(g->ids.v);
    free(g->owners.v);
    bytes_heap_free(&g->id);
    g->nexts->groups_n--;
    g->nexts->states_n[g->state_noted]--;
    free(g);
}

/* ── states ── */

bool next_member_is_settled(const struct next_member *m)
{
    return m->state == NEXT_STABLE && m->epoch == m->group->assignment_epoch;
}

enum next_group_state group_next_state(const struct group_next *g)
{
    if (g->members_n == 0)
        return NEXT_EMPTY;
    if (g->epoch > g->assignment_epoch)
        return NEXT_ASSIGNING;
    return g->unsettled_n > 0 ? NEXT_RECONCILING : NEXT_SETTLED;
}

void next_member_note(struct next_member *m)
{
    bool counts = list_is_linked(&m->link) && !next_member_is_settled(m);
    m->group->unsettled_n += (uint32_t)counts - (uint32_t)m->is_counted;
    m->is_counted = counts;
}

void next_blame(struct group_next *g, enum group_cause cause, struct bytes who)
{
    uint32_t n = (uint32_t)min_u64(who.n, sizeof g->who - 1);
    g->cause = (uint8_t)cause;
    if (n > 0)
        memcpy(g->who, who.ptr, n);
    g->who[n] = '\0';
}

static void state_note(struct group_next *g)
{
    const struct next_host *host = &g->nexts->host;
    enum next_group_state state = group_next_state(g);
    bool is_over = g->is_moving && (state == NEXT_SETTLED || state == NEXT_EMPTY);
    g->nexts->states_n[g->state_noted]--;
    g->nexts->states_n[state]++;
    g->state_noted = (uint8_t)state;
    if (is_over && host->told != NULL)
        host->told(host->context, g, NEXT_OVER);
    if (is_over)
        g->is_moving = false;
}

void next_append(struct group_next *g, struct group_records *records, struct control_op *op)
{
    state_note(g);
    g->nexts->host.append(g->nexts->host.context, g, records, op);
}

const char *next_state_name(enum next_group_state state)
{
    static const char *const names[] = {"Empty", "Assigning", "Reconciling", "Stable"};
    check(state < NEXT_GROUP_STATES_N);
    return names[state];
}

/* ── members ── */

static struct list *bucket(struct list *table, const struct group_next *g, struct bytes id)
{
    uint64_t seed = g->nexts->hash_seed ^ hash_mix((uint64_t)(uintptr_t)g);
    return &table[hash_bytes(id.ptr, id.n, seed) % NEXT_BUCKETS];
}

struct next_member *next_member_find(const struct group_next *g, struct bytes id)
{
    list_for_each(l, next, bucket(g->nexts->by_id, g, id)) {
        struct next_member *m = list_entry(l, struct next_member, id_link);
        if (m->group == g && bytes_equal(m->id, id))
            return m;
    }
    return NULL;
}

struct next_member *next_member_by_instance(const struct group_next *g, struct bytes instance_id)
{
    list_for_each(l, next, bucket(g->nexts->by_instance, g, instance_id)) {
        struct next_member *m = list_entry(l, struct next_member, instance_link);
        if (m->group == g && bytes_equal(m->instance_id, instance_id))
            return m;
    }
    return NULL;
}

struct next_member *next_member_new(struct group_next *g, struct bytes id)
{
    struct next_member *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->group = g;
    m->id = bytes_heap_copy(id);
    m->rebalance_timeout_ms = -1;
    m->job_at = UINT32_MAX;
    list_init(&m->link);
    list_init(&m->id_link);
    list_init(&m->instance_link);
    timer_init(&m->session, next_session_fired);
    timer_init(&m->rebalance, next_rebalance_fired);
    if (m->id.ptr == NULL) {
        free(m);
        return NULL;
    }
    return m;
}

void next_member_link(struct next_member *m)
{
    struct group_next *g = m->group;
    check(!list_is_linked(&m->link));
    list_append(&g->members, &m->link);
    list_append(bucket(g->nexts->by_id, g, m->id), &m->id_link);
    if (m->instance_id.ptr != NULL) {
        list_append(bucket(g->nexts->by_instance, g, m->instance_id), &m->instance_link);
        g->static_n++;
    }
    g->members_n++;
    g->classic_n += m->classic != NULL;
    g->nexts->members_n++;
    next_member_note(m);
}

void next_member_unlink(struct next_member *m)
{
    struct group_next *g = m->group;
    if (!list_is_linked(&m->link))
        return;
    list_del(&m->link);
    list_del(&m->id_link);
    if (list_is_linked(&m->instance_link)) {
        list_del(&m->instance_link);
        g->static_n--;
    }
    g->members_n--;
    g->classic_n -= m->classic != NULL;
    g->nexts->members_n--;
    next_member_note(m);
}

void next_member_count(struct next_member *m)
{
    struct nexts *nexts = m->group->nexts;
    nexts->bytes -= m->bytes;
    m->bytes = (uint32_t)(sizeof *m + m->id.n + m->instance_id.n + m->rack_id.n + m->client_id.n +
                          m->client_host.n + m->names.n * sizeof *m->names.v +
                          (m->classic == NULL ? 0 : m->classic->bytes) +
                          (m->assigned.n + m->revoking.n + m->target.n) * sizeof *m->assigned.v);
    nexts->bytes += m->bytes;
}

void next_member_free(struct next_member *m)
{
    struct group_next *g = m->group;
    struct next_regex *regex = m->regex;
    struct bytes *const texts[] = {&m->id,        &m->instance_id, &m->rack_id,
                                   &m->client_id, &m->client_host, &m->assignor};
    next_owners_remove(m);
    next_member_unlink(m);
    next_classic_clear(m);
    if (g->job != NULL && m->job_at != UINT32_MAX)
        g->job->members[m->job_at] = NULL;
    timer_stop(g->nexts->timers, &m->session);
    timer_stop(g->nexts->timers, &m->rebalance);
    next_topics_clear(g, &m->names);
    next_parts_free(&m->assigned);
    next_parts_free(&m->revoking);
    next_parts_free(&m->target);
    if (regex != NULL && --regex->members_n == 0)
        next_regex_free(g, regex);
    for (uint32_t i = 0; i < array_n(texts); i++)
        bytes_heap_free(texts[i]);
    g->nexts->bytes -= m->bytes;
    free(m);
}

/* ── sets of partitions ── */

int next_part_compare(const struct next_part *a, const struct next_part *b)
{
    int c = memcmp(a->topic_id.b, b->topic_id.b, sizeof a->topic_id.b);
    return c != 0 ? c : a->partition < b->partition ? -1 : a->partition > b->partition;
}

static int part_compare(const void *a, const void *b)
{
    return next_part_compare(a, b);
}

void next_parts_sort(struct next_parts *p)
{
    if (p->n > 1)
        qsort(p->v, p->n, sizeof *p->v, part_compare);
}

bool next_parts_equal(const struct next_parts *a, const struct next_parts *b, bool with_epochs)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (next_part_compare(&a->v[i], &b->v[i]) != 0 ||
            (with_epochs && a->v[i].epoch != b->v[i].epoch))
            return false;
    return true;
}

const struct next_part *next_parts_find(const struct next_parts *p, const struct uuid *topic_id,
                                        int32_t partition)
{
    struct next_part key = {.topic_id = *topic_id, .partition = partition};
    return p->n == 0 ? NULL : bsearch(&key, p->v, p->n, sizeof *p->v, part_compare);
}

void next_parts_free(struct next_parts *p)
{
    free(p->v);
    *p = (struct next_parts){NULL, 0};
}

/* ── owners ── */

static uint32_t owner_slot(const struct next_owners *o, const struct uuid *topic_id,
                           int32_t partition)
{
    uint32_t at = (uint32_t)hash_partition(topic_id, partition) & o->mask;
    while (o->v[at].member != NULL &&
           !(o->v[at].partition == partition && uuid_equal(&o->v[at].topic_id, topic_id)))
        at = (at + 1) & o->mask;
    return at;
}

struct next_member *next_owner(const struct group_next *g, const struct uuid *topic_id,
                               int32_t partition)
{
    return g->owners.mask == 0 ? NULL
                               : g->owners.v[owner_slot(&g->owners, topic_id, partition)].member;
}

int next_owners_reserve(struct group_next *g, uint32_t n)
{
    struct next_owners *o = &g->owners, more = {.n = o->n, .mask = o->mask};
    if (o->mask != 0 && (uint64_t)(o->n + n) * 2 <= o->mask)
        return 0;
    if ((uint64_t)o->n + n > 1u << 29)
        return E_NO_MEMORY;
    for (more.mask = 63; (uint64_t)(o->n + n) * 2 > more.mask;)
        more.mask = more.mask * 2 + 1;
    more.v = calloc((uint64_t)more.mask + 1, sizeof *more.v);
    if (more.v == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; o->mask != 0 && i <= o->mask; i++)
        if (o->v[i].member != NULL)
            more.v[owner_slot(&more, &o->v[i].topic_id, o->v[i].partition)] = o->v[i];
    free(o->v);
    *o = more;
    return 0;
}

static void owner_add(struct next_member *m, const struct next_part *p)
{
    struct next_owners *o = &m->group->owners;
    struct next_owner *slot = &o->v[owner_slot(o, &p->topic_id, p->partition)];
    check(slot->member == NULL || slot->member == m); /* the invariant of group_next.h */
    o->n += slot->member == NULL;
    *slot = (struct next_owner){p->topic_id, p->partition, m};
}

/* Takes it out and moves what stands behind it back, so that no search stops too early. */
static void owner_remove(struct next_member *m, const struct next_part *p)
{
    struct next_owners *o = &m->group->owners;
    uint32_t at = owner_slot(o, &p->topic_id, p->partition);
    if (o->v[at].member != m)
        return;
    o->n--;
    for (uint32_t next = (at + 1) & o->mask; o->v[next].member != NULL;
         next = (next + 1) & o->mask) {
        uint32_t home =
            (uint32_t)hash_partition(&o->v[next].topic_id, o->v[next].partition) & o->mask;
        if (((next - home) & o->mask) < ((next - at) & o->mask))
            continue;
        o->v[at] = o->v[next];
        at = next;
    }
    o->v[at].member = NULL;
}

void next_owners_add(struct next_member *m)
{
    check(m->assigned.n + m->revoking.n == 0 || m->group->owners.mask != 0);
    for (uint32_t i = 0; i < m->assigned.n; i++)
        owner_add(m, &m->assigned.v[i]);
    for (uint32_t i = 0; i < m->revoking.n; i++)
        owner_add(m, &m->revoking.v[i]);
}

void next_owners_forget(struct group_next *g)
{
    free(g->owners.v);
    g->owners = (struct next_owners){0};
}

void next_owners_remove(struct next_member *m)
{
    for (uint32_t i = 0; m->group->owners.mask != 0 && i < m->assigned.n; i++)
        owner_remove(m, &m->assigned.v[i]);
    for (uint32_t i = 0; m->group->owners.mask != 0 && i < m->revoking.n; i++)
        owner_remove(m, &m->revoking.v[i]);
}

/* ── what must be true ── */

static uint32_t parts_check(const struct next_member *m, const struct next_parts *p, bool is_owned)
{
    for (uint32_t i = 0; i < p->n; i++) {
        check(i == 0 || next_part_compare(&p->v[i - 1], &p->v[i]) < 0);
        check(!is_owned || next_owner(m->group, &p->v[i].topic_id, p->v[i].partition) == m);
    }
    return p->n;
}

void group_next_invariants(const struct group_next *g)
{
    uint32_t members_n = 0, static_n = 0, owned_n = 0, classic_n = 0, unsettled_n = 0;
    list_for_each(l, next, (struct list *)(uintptr_t)&g->members) {
        const struct next_member *m = list_entry(l, struct next_member, link);
        members_n++;
        static_n += m->instance_id.ptr != NULL;
        classic_n += m->classic != NULL;
        unsettled_n += !next_member_is_settled(m);
        check(next_member_find(g, m->id) == m);
        check(m->instance_id.ptr == NULL || next_member_by_instance(g, m->instance_id) == m);
        check(m->epoch <= g->assignment_epoch || m->epoch <= g->epoch);
        check((m->state == NEXT_UNREVOKED) == (m->revoking.n > 0));
        check(m->state != NEXT_UNREVOKED || m->classic != NULL || timer_is_set(&m->rebalance));
        check(m->classic == NULL || !timer_is_set(&m->rebalance));
        check(timer_is_set(&m->session));
        owned_n += parts_check(m, &m->assigned, true) + parts_check(m, &m->revoking, true);
        parts_check(m, &m->target, false);
    }
    check(members_n == g->members_n && static_n == g->static_n && classic_n == g->classic_n);
    check(owned_n == g->owners.n);
    check(unsettled_n == g->unsettled_n);
    check(g->assignment_epoch <= g->epoch);
    for (uint32_t i = 0; i < g->topics_n; i++)
        check(g->topics[i]->refs > 0);
}
