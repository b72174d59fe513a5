/*
 * assign.c - the assignors `uniform` and `range`. assign.h says what they promise.
 *
 * Owner: the caller's struct assign.
 *
 * uniform, all members with the same subscriptions (n partitions, m members):
 *   KEEP   in order, each member keeps what it holds up to n / m, and one more while one of the
 *          n % m extras is left
 *   FILL   members below n / m take free partitions, then each remaining extra goes to one that
 *          has exactly n / m
 *   So loads are n / m or n / m + 1, and only what is above that, or nobody's, moves.
 *
 * uniform, different subscriptions:
 *   KEEP   every member keeps what it holds
 *   LEVEL  topic by topic, fewest subscribers first: the topic's partitions are poured over its
 *          subscribers like water over their load from other topics. A pass over all topics that
 *          changed nothing is the last one. Every change makes the sum of squared loads smaller,
 *          so this ends; ASSIGN_PASSES_MAX bounds it.
 *
 * Example: a holds 4 of t1, b has none; both subscribe to t1: level 2, so a gives up 2. With 2 of
 * t2 at b alone: a holds 4, b holds 2 + 0 of t1: level 3, a gives up 1.
 */
#include "assign.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

enum {
    PHASE_COUNT,
    PHASE_PLACE,
    PHASE_ORDER,
    PHASE_KEEP,
    PHASE_FILL,
    PHASE_LEVEL,
    PHASE_RANGE,
    PHASE_OUT,
    PHASE_DONE
};

/* One subscriber of the topic that is being levelled. */
struct assign_level {
    uint32_t base, member; /* load without this topic */
};

/* A topic and how many subscribe to it. */
struct assign_key {
    uint32_t n, topic;
};

static const char *const names[ASSIGNORS_N] = {"uniform", "range"};

bool assignor_by_name(const char *name, uint32_t n, enum assignor *out)
{
    for (uint32_t i = 0; i < ASSIGNORS_N; i++)
        if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0) {
            *out = (enum assignor)i;
            return true;
        }
    return false;
}

const char *assignor_name(enum assignor assignor)
{
    check(assignor < ASSIGNORS_N);
    return names[assignor];
}

/* ── begin ── */

static uint32_t *numbers(uint64_t n)
{
    return calloc(n + 1, sizeof(uint32_t));
}

/* Room for who subscribes to which topic: subscribers[subscribers_at[t] ...]. */
static int subscribers_begin(struct assign *a)
{
    uint64_t sum = 0;
    for (uint32_t m = 0; m < a->members_n; m++)
        sum += a->members[m].topics_n;
    if (sum > UINT32_MAX - 1)
        return E_INVALID;
    a->subscribers = numbers(sum);
    a->subscribers_at = numbers(a->topics_n + 1ull);
    a->order = numbers(a->topics_n);
    a->keys = calloc(a->topics_n + 1ull, sizeof *a->keys);
    if (a->subscribers == NULL || a->subscribers_at == NULL || a->order == NULL || a->keys == NULL)
        return E_NO_MEMORY;
    return 0;
}

/* Topics by how many subscribe to them; order[t] is then where the next one of t stands. */
static uint64_t count_member(struct assign *a, uint32_t m)
{
    for (uint32_t i = 0; i < a->members[m].topics_n; i++) {
        check(a->members[m].topics[i] < a->topics_n);
        a->subscribers_at[a->members[m].topics[i] + 1]++;
    }
    return a->members[m].topics_n / 2;
}

static uint64_t count_end(struct assign *a)
{
    for (uint32_t t = 0; t < a->topics_n; t++)
        a->subscribers_at[t + 1] += a->subscribers_at[t];
    for (uint32_t t = 0; t < a->topics_n; t++)
        a->order[t] = a->subscribers_at[t];
    return a->topics_n;
}

static uint64_t place_member(struct assign *a, uint32_t m)
{
    for (uint32_t i = 0; i < a->members[m].topics_n; i++)
        a->subscribers[a->order[a->members[m].topics[i]]++] = m;
    return a->members[m].topics_n / 2;
}

static uint32_t subscribers_n(const struct assign *a, uint32_t t)
{
    return a->subscribers_at[t + 1] - a->subscribers_at[t];
}

static int order_compare(const void *a, const void *b)
{
    const struct assign_key *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return x->topic < y->topic ? -1 : x->topic > y->topic;
}

/* Topics by the number of their subscribers. */
static void order_begin(struct assign *a)
{
    for (uint32_t t = 0; t < a->topics_n; t++)
        a->keys[t] = (struct assign_key){subscribers_n(a, t), t};
    qsort(a->keys, a->topics_n, sizeof *a->keys, order_compare);
    for (uint32_t t = 0; t < a->topics_n; t++)
        a->order[t] = a->keys[t].topic;
}

/* Every member subscribes to every topic. */
static bool is_homogeneous(const struct assign *a)
{
    for (uint32_t t = 0; t < a->topics_n; t++)
        if (subscribers_n(a, t) != a->members_n)
            return false;
    return true;
}

int assign_begin(struct assign *a)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < a->topics_n; t++) {
        check(a->topics[t].first == n && a->topics[t].partitions_n < UINT32_MAX - n);
        n += a->topics[t].partitions_n;
    }
    a->partitions_n = n;
    a->owner = numbers(n);
    a->free_list = numbers(n);
    a->parts = numbers(n);
    a->load = numbers(a->members_n);
    a->count = numbers(a->members_n);
    a->levels = calloc(a->members_n + 1ull, sizeof *a->levels);
    int e = a->owner != NULL && a->free_list != NULL && a->parts != NULL && a->load != NULL &&
                    a->count != NULL && a->levels != NULL
                ? subscribers_begin(a)
                : E_NO_MEMORY;
    if (e < 0) {
        assign_fini(a);
        return e;
    }
    memset(a->owner, 0xff, (n + 1ull) * sizeof *a->owner);
    a->at = a->pass = a->free_n = a->member_at = 0;
    a->phase = a->members_n == 0 ? PHASE_OUT : PHASE_COUNT;
    a->extra_n = a->members_n == 0 ? 0 : n % a->members_n;
    return 0;
}

void assign_fini(struct assign *a)
{
    free(a->owner);
    free(a->free_list);
    free(a->parts);
    free(a->load);
    free(a->count);
    free(a->subscribers);
    free(a->subscribers_at);
    free(a->order);
    free(a->levels);
    free(a->keys);
    a->owner = a->free_list = a->parts = a->load = a->count = NULL;
    a->subscribers = a->subscribers_at = a->order = NULL;
    a->levels = NULL;
    a->keys = NULL;
}

/* ── range ── */

static uint64_t range_topic(struct assign *a, uint32_t t)
{
    uint32_t m = subscribers_n(a, t), n = a->topics[t].partitions_n, p = a->topics[t].first;
    const uint32_t *who = &a->subscribers[a->subscribers_at[t]];
    for (uint32_t i = 0; i < m; i++) {
        uint32_t quota = n / m + (i < n % m);
        for (uint32_t k = 0; k < quota; k++)
            a->owner[p++] = who[i];
        a->load[who[i]] += quota;
    }
    return m + n;
}

/* ── uniform ── */

/* The next topic of the member at or behind the one of partition p; both ascend. */
static bool subscribes(const struct assign *a, const struct assign_member *m, uint32_t *at,
                       uint32_t p)
{
    while (*at < m->topics_n) {
        const struct assign_topic *t = &a->topics[m->topics[*at]];
        if (p < t->first)
            return false;
        if (p < t->first + t->partitions_n)
            return true;
        (*at)++;
    }
    return false;
}

static uint64_t keep_member(struct assign *a, uint32_t who)
{
    const struct assign_member *m = &a->members[who];
    uint32_t max = a->partitions_n / a->members_n, at = 0;
    bool may_extra = a->is_homogeneous && a->extra_n > 0;
    for (uint32_t i = 0; i < m->held_n; i++) {
        uint32_t p = m->held[i];
        if (p >= a->partitions_n || a->owner[p] != ASSIGN_NOBODY || !subscribes(a, m, &at, p))
            continue;
        if (a->is_homogeneous && a->load[who] == max + may_extra)
            break;
        a->owner[p] = who;
        a->load[who]++;
    }
    if (may_extra && a->load[who] == max + 1)
        a->extra_n--;
    return m->held_n + m->topics_n + 1;
}

/* Homogeneous: free partitions from a->at on, members from member_at on; twice over the members. */
static uint64_t fill(struct assign *a)
{
    uint32_t min = a->partitions_n / a->members_n;
    if (a->member_at == 2 * a->members_n)
        return 0;
    uint32_t who = a->member_at % a->members_n;
    bool is_second = a->member_at >= a->members_n;
    uint32_t want = is_second ? min + 1 : min;
    uint64_t cost = 1;
    if (is_second && (a->extra_n == 0 || a->load[who] > min))
        want = a->load[who];
    while (a->load[who] < want) {
        while (a->owner[a->at] != ASSIGN_NOBODY) {
            a->at++;
            cost++;
        }
        check(a->at < a->partitions_n);
        a->owner[a->at] = who;
        a->load[who]++;
        if (is_second)
            a->extra_n--;
    }
    a->member_at++;
    return cost;
}

static int level_compare(const void *a, const void *b)
{
    const struct assign_level *x = a, *y = b;
    if (x->base != y->base)
        return x->base < y->base ? -1 : 1;
    return x->member < y->member ? -1 : x->member > y->member;
}

/* How high n partitions stand over the sorted bases, and how many members get one more. */
static uint32_t level_find(const struct assign_level *v, uint32_t m, uint32_t n, uint32_t *extra_n)
{
    uint64_t sum = 0;
    for (uint32_t k = 1; k <= m; k++) {
        sum += v[k - 1].base;
        uint64_t level = (sum + n) / k;
        if (k == m || level <= v[k].base) {
            *extra_n = (uint32_t)((sum + n) % k);
            return (uint32_t)level;
        }
    }
    return 0;
}

static uint32_t level_quota(const struct assign_level *l, uint32_t level)
{
    return level > l->base ? level - l->base : 0;
}

/* The quotas: the extras go first to those who have more than the level gives them anyway. */
static void level_quotas(struct assign *a, uint32_t m, uint32_t n)
{
    uint32_t extra_n = 0, level = level_find(a->levels, m, n, &extra_n);
    for (uint32_t i = 0; i < m; i++) {
        struct assign_member *who = &a->members[a->levels[i].member];
        who->quota = level_quota(&a->levels[i], level);
        if (extra_n > 0 && a->levels[i].base <= level &&
            a->count[a->levels[i].member] > who->quota) {
            who->quota++;
            extra_n--;
        }
    }
    for (uint32_t i = 0; i < m && extra_n > 0; i++) {
        struct assign_member *who = &a->members[a->levels[i].member];
        if (a->levels[i].base <= level && who->quota == level_quota(&a->levels[i], level)) {
            who->quota++;
            extra_n--;
        }
    }
}

static uint64_t level_topic(struct assign *a, uint32_t t)
{
    uint32_t m = subscribers_n(a, t), n = a->topics[t].partitions_n, first = a->topics[t].first;
    const uint32_t *who = &a->subscribers[a->subscribers_at[t]];
    if (m == 0 || n == 0)
        return 1;
    for (uint32_t i = 0; i < m; i++)
        a->count[who[i]] = 0;
    for (uint32_t p = first; p < first + n; p++)
        if (a->owner[p] != ASSIGN_NOBODY)
            a->count[a->owner[p]]++;
    for (uint32_t i = 0; i < m; i++)
        a->levels[i] = (struct assign_level){a->load[who[i]] - a->count[who[i]], who[i]};
    qsort(a->levels, m, sizeof *a->levels, level_compare);
    level_quotas(a, m, n);
    a->free_n = 0;
    for (uint32_t p = first; p < first + n; p++) {
        uint32_t o = a->owner[p];
        if (o != ASSIGN_NOBODY && a->count[o] <= a->members[o].quota)
            continue;
        if (o != ASSIGN_NOBODY) {
            a->count[o]--;
            a->load[o]--;
        }
        a->free_list[a->free_n++] = p;
    }
    a->has_changed |= a->free_n > 0;
    for (uint32_t i = 0, at = 0; i < m && at < a->free_n; i++)
        for (; a->count[who[i]] < a->members[who[i]].quota && at < a->free_n; at++) {
            a->owner[a->free_list[at]] = who[i];
            a->count[who[i]]++;
            a->load[who[i]]++;
        }
    return 2ull * n + 8ull * m;
}

/* ── the answer ── */

static void out(struct assign *a)
{
    uint32_t at = 0;
    for (uint32_t m = 0; m < a->members_n; m++) {
        a->members[m].parts = &a->parts[at];
        a->members[m].parts_n = 0;
        at += a->load[m];
    }
    for (uint32_t p = 0; p < a->partitions_n; p++)
        if (a->owner[p] != ASSIGN_NOBODY) {
            struct assign_member *m = &a->members[a->owner[p]];
            a->parts[(uint32_t)(m->parts - a->parts) + m->parts_n++] = p;
        }
}

/* Before anything is assigned: subscribers by topic, topics by their number. */
static uint64_t step_begin(struct assign *a)
{
    switch (a->phase) {
    case PHASE_COUNT:
        if (a->at < a->members_n)
            return count_member(a, a->at++);
        a->at = 0;
        a->phase = PHASE_PLACE;
        return count_end(a);
    case PHASE_PLACE:
        if (a->at < a->members_n)
            return place_member(a, a->at++);
        a->at = 0;
        a->phase = PHASE_ORDER;
        return 1;
    default:
        order_begin(a);
        a->is_homogeneous = is_homogeneous(a);
        a->phase = a->assignor == ASSIGN_RANGE ? PHASE_RANGE : PHASE_KEEP;
        return 8ull * a->topics_n;
    }
}

/* One step of the phase; how much it cost. */
static uint64_t step(struct assign *a)
{
    switch (a->phase) {
    case PHASE_COUNT:
    case PHASE_PLACE:
    case PHASE_ORDER: return step_begin(a);
    case PHASE_RANGE:
        if (a->at < a->topics_n)
            return range_topic(a, a->at++);
        a->phase = PHASE_OUT;
        return 1;
    case PHASE_KEEP:
        if (a->at < a->members_n)
            return keep_member(a, a->at++);
        a->at = 0;
        a->phase = a->is_homogeneous ? PHASE_FILL : PHASE_LEVEL;
        return 1;
    case PHASE_FILL:
        if (a->member_at < 2 * a->members_n)
            return a->topics_n == 0 ? (a->member_at++, 1) : fill(a);
        a->phase = PHASE_OUT;
        return 1;
    case PHASE_LEVEL:
        if (a->at < a->topics_n)
            return level_topic(a, a->order[a->at++]);
        a->phase = !a->has_changed || ++a->pass == ASSIGN_PASSES_MAX ? PHASE_OUT : PHASE_LEVEL;
        a->has_changed = false;
        a->at = 0;
        return 1;
    default:
        out(a);
        a->phase = PHASE_DONE;
        return a->partitions_n;
    }
}

int assign_more(struct assign *a, uint64_t budget)
{
    uint64_t done = 0;
    while (a->phase != PHASE_DONE) {
        if (done >= budget)
            return E_AGAIN;
        done += step(a) + 1;
    }
    return 0;
}
