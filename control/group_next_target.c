/*
 * group_next_target.c - epochs of a KIP-848 group and what each member should have.
 *
 * Owner: control.
 *
 * A job is an assignment under way: a picture of members and topics in numbers, taken when it
 * began. Members that leave meanwhile are NULL in it, members that come wait for the next one.
 * Small groups are done within the heartbeat that begins the job; large ones go on in later turns,
 * NEXT_ASSIGN_BUDGET units each, while heartbeats are answered with the target there is; those of
 * a group that never had one wait for it, and begin anew then. Between
 * the end of one and the beginning of the next pass group.consumer.assignment.interval.ms, so a
 * thousand members that join at once cost one assignment a second.
 */
#include <stdlib.h>

#include "check.h"
#include "group_next.h"
#include "group_next_records.h"

/* ── epochs ── */

static int regexes_resolve(struct group_next *g, struct group_records *records, struct now now)
{
    list_for_each(l, next, &g->regexes) {
        struct next_regex *regex = list_entry(l, struct next_regex, link);
        bool has_changed;
        int e = next_regex_resolve(g, regex, now, &has_changed);
        if (e < 0)
            return e;
        if (has_changed)
            next_records_regex(records, g, regex);
    }
    return 0;
}

int next_epoch_update(struct group_next *g, bool must, struct group_records *records,
                      struct now now)
{
    uint64_t version = g->nexts->host.metadata_version(g->nexts->host.context);
    if (version != g->metadata_version) {
        next_topics_look(g);
        int e = regexes_resolve(g, records, now);
        if (e < 0)
            return e;
        g->metadata_version = version;
    } else if (!must) {
        return 0;
    }
    int64_t hash = next_topics_hash(g);
    g->nexts->work += NEXT_WORK_EPOCH + g->topics_n / 4;
    if (!must && hash == g->hash)
        return 0;
    if (g->epoch == INT32_MAX)
        return E_TOO_LARGE;
    if (!must)
        next_blame(g, GROUP_CAUSE_TOPICS, (struct bytes){NULL, 0});
    g->hash = hash;
    g->epoch += g->epoch == 0
                    ? 2
                    : 1; /* Kafka's groups begin at 2: the first epoch is that of the empty group */
    g->nexts->rebalances_n++;
    next_records_epoch(records, g);
    g->is_moving = true;
    g->moved_n = 0;
    if (g->nexts->host.told != NULL)
        g->nexts->host.told(g->nexts->host.context, g, NEXT_BEGUN);
    return 0;
}

/* ── begin ── */

static int text_compare(struct bytes a, struct bytes b)
{
    uint32_t n = a.n < b.n ? a.n : b.n;
    int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    return c != 0 ? c : a.n < b.n ? -1 : a.n > b.n;
}

/* Static members first, by their instance; then by id. */
static int member_compare(const void *a, const void *b)
{
    const struct next_member *x = *(struct next_member *const *)a,
                             *y = *(struct next_member *const *)b;
    bool x_is_static = x->instance_id.ptr != NULL, y_is_static = y->instance_id.ptr != NULL;
    if (x_is_static != y_is_static)
        return x_is_static ? -1 : 1;
    return x_is_static ? text_compare(x->instance_id, y->instance_id) : text_compare(x->id, y->id);
}

static int topic_compare(const void *a, const void *b)
{
    const struct next_topic *x = *(struct next_topic *const *)a,
                            *y = *(struct next_topic *const *)b;
    return memcmp(x->id.b, y->id.b, sizeof x->id.b);
}

static int number_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Topics that exist, by id: their numbers. */
static int job_topics(struct next_job *job)
{
    struct group_next *g = job->group;
    struct assign *a = &job->assign;
    struct next_topic **sorted = malloc((g->topics_n + 1ull) * sizeof *sorted);
    uint64_t first = 0;
    if (sorted == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < g->topics_n; i++) {
        g->topics[i]->at = UINT32_MAX;
        if (g->topics[i]->partitions_n > 0)
            sorted[a->topics_n++] = g->topics[i];
    }
    qsort(sorted, a->topics_n, sizeof *sorted, topic_compare);
    for (uint32_t i = 0; i < a->topics_n; i++) {
        sorted[i]->at = i;
        job->topic_ids[i] = sorted[i]->id;
        a->topics[i] = (struct assign_topic){(uint32_t)first, (uint32_t)sorted[i]->partitions_n};
        first += (uint32_t)sorted[i]->partitions_n;
    }
    free(sorted);
    return first < UINT32_MAX ? 0 : E_TOO_LARGE;
}

static bool is_alike(const struct next_member *a, const struct next_member *b)
{
    return a->regex == b->regex && a->names.n == b->names.n &&
           (a->names.n == 0 ||
            memcmp(a->names.v, b->names.v, a->names.n * sizeof *a->names.v) == 0);
}

static uint32_t *member_topics(const struct next_member *m, struct assign_member *to, uint32_t *at)
{
    const struct next_topics *const both[] = {&m->names,
                                              m->regex == NULL ? NULL : &m->regex->topics};
    uint32_t n = 0, kept = 0;
    for (uint32_t k = 0; k < array_n(both); k++)
        for (uint32_t i = 0; both[k] != NULL && i < both[k]->n; i++)
            if (both[k]->v[i]->at != UINT32_MAX)
                at[n++] = both[k]->v[i]->at;
    if (n > 1)
        qsort(at, n, sizeof *at, number_compare);
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || at[kept - 1] != at[i])
            at[kept++] = at[i];
    to->topics = at;
    to->topics_n = kept;
    return at + kept;
}

/* What the member's last target gave it, as far as it is still there; both sides ascend by topic
 * id. */
static uint32_t *member_held(const struct next_job *job, const struct next_member *m,
                             struct assign_member *to, uint32_t *at)
{
    const struct assign *a = &job->assign;
    uint32_t t = 0;
    to->held = at;
    for (uint32_t i = 0; i < m->target.n; i++) {
        const struct next_part *p = &m->target.v[i];
        while (t < a->topics_n &&
               memcmp(job->topic_ids[t].b, p->topic_id.b, sizeof p->topic_id.b) < 0)
            t++;
        if (t == a->topics_n)
            break;
        if (uuid_equal(&job->topic_ids[t], &p->topic_id) &&
            (uint32_t)p->partition < a->topics[t].partitions_n)
            *at++ = a->topics[t].first + (uint32_t)p->partition;
    }
    to->held_n = (uint32_t)(at - to->held);
    return at;
}

static void job_free(struct next_job *job)
{
    uint32_t n = job->assign.members_n;
    assign_fini(&job->assign);
    for (uint32_t i = 0; job->numbers != NULL && i < n; i++)
        free(job->numbers[i]);
    for (uint32_t i = 0; job->targets != NULL && i < n; i++)
        next_parts_free(&job->targets[i]);
    for (uint32_t i = 0; job->records != NULL && i < n; i++)
        group_records_fini(&job->records[i]);
    free(job->assign.topics);
    free(job->assign.members);
    free(job->members);
    free(job->topic_ids);
    free(job->numbers);
    free(job->targets);
    free(job->records);
    free(job);
}

/* The picture's frame: who is in it, and the topics. */
static int job_frame(struct next_job *job)
{
    struct group_next *g = job->group;
    struct assign *a = &job->assign;
    uint64_t n = g->members_n + 1ull;
    job->members = calloc(n, sizeof *job->members);
    job->numbers = calloc(n, sizeof *job->numbers);
    job->targets = calloc(n, sizeof *job->targets);
    job->records = calloc(n, sizeof *job->records);
    a->members = calloc(n, sizeof *a->members);
    a->topics = calloc(g->topics_n + 1ull, sizeof *a->topics);
    job->topic_ids = calloc(g->topics_n + 1ull, sizeof *job->topic_ids);
    if (job->members == NULL || job->numbers == NULL || job->targets == NULL ||
        job->records == NULL || a->members == NULL || a->topics == NULL || job->topic_ids == NULL)
        return E_NO_MEMORY;
    int e = job_topics(job);
    if (e < 0)
        return e;
    list_for_each(l, next, &g->members)
        job->members[a->members_n++] = list_entry(l, struct next_member, link);
    qsort(job->members, a->members_n, sizeof *job->members, member_compare);
    return 0;
}

/* What member `i` subscribes to and has, in numbers; adds what it cost. */
static int job_fill(struct next_job *job, uint32_t i, uint64_t *cost)
{
    const struct next_member *m = job->members[i], *before = i == 0 ? NULL : job->members[i - 1];
    struct assign_member *to = &job->assign.members[i];
    if (m == NULL)
        return 0;
    uint32_t *at = job->numbers[i] = calloc(next_topics_max(m) + m->target.n + 1ull, sizeof *at);
    if (at == NULL)
        return E_NO_MEMORY;
    if (before != NULL && is_alike(before, m)) {
        to->topics = to[-1].topics; /* most subscribe to the same */
        to->topics_n = to[-1].topics_n;
        *cost += 10 + to->topics_n / 4;
    } else {
        at = member_topics(m, to, at);
        *cost += 10 + to->topics_n * 8ull;
    }
    (void)member_held(job, m, to, at);
    *cost += to->held_n;
    return 0;
}

/* The one most members ask for; uniform when nobody does. */
static enum assignor assignor_choose(const struct group_next *g)
{
    uint32_t votes[ASSIGNORS_N] = {0};
    list_for_each(l, next, (struct list *)(uintptr_t)&g->members) {
        const struct next_member *m = list_entry(l, struct next_member, link);
        enum assignor a;
        if (m->assignor.ptr != NULL &&
            assignor_by_name((const char *)m->assignor.ptr, m->assignor.n, &a))
            votes[a]++;
    }
    return votes[ASSIGN_RANGE] > votes[ASSIGN_UNIFORM] ? ASSIGN_RANGE : ASSIGN_UNIFORM;
}

static int job_begin(struct group_next *g)
{
    struct next_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return E_NO_MEMORY;
    job->group = g;
    job->epoch = g->epoch;
    job->assign.assignor = g->assignor = assignor_choose(g);
    list_init(&job->link);
    list_init(&job->waiting);
    int e = job_frame(job);
    if (e < 0) {
        job_free(job);
        return e;
    }
    for (uint32_t i = 0; i < job->assign.members_n; i++)
        job->members[i]->job_at = i;
    g->job = job;
    return 0;
}

static struct control_op *op_of(struct list *link)
{
    return container_of(list_entry(link, struct mail, link), struct control_op, mail);
}

void next_job_end(struct group_next *g)
{
    struct next_job *job = g->job;
    if (job == NULL)
        return;
    for (uint32_t i = 0; i < job->assign.members_n; i++)
        if (job->members[i] != NULL)
            job->members[i]->job_at = UINT32_MAX;
    list_del(&job->link);
    g->job = NULL;
    for (struct list *l; (l = list_pop(&job->waiting)) != NULL;)
        g->nexts->host.again(g->nexts->host.context, op_of(l));
    job_free(job);
}

void next_job_renamed(struct next_member *m)
{
    if (m->job_at != UINT32_MAX)
        group_records_fini(&m->group->job->records[m->job_at]);
}

static bool is_first(const struct group_next *g)
{
    return g->assignment_epoch == 0 && g->nexts->host.again != NULL;
}

bool next_first_wait(struct group_next *g, struct control_op *op)
{
    if (g->job == NULL || !is_first(g))
        return false;
    list_append(&g->job->waiting, &op->mail.link);
    return true;
}

/* ── end ── */

/* The assignor's numbers as partitions; adds what it cost. */
static int target_make(struct next_job *job, uint32_t who, uint64_t *cost)
{
    const struct assign *a = &job->assign;
    const struct assign_member *from = &a->members[who];
    const struct next_member *m = job->members[who];
    struct next_parts *to = &job->targets[who];
    uint32_t t = 0;
    *cost += 10 + from->parts_n + a->topics_n / 8;
    if (m == NULL)
        return 0;
    to->v = calloc(from->parts_n + 1ull, sizeof *to->v);
    if (to->v == NULL)
        return E_NO_MEMORY;
    for (to->n = 0; to->n < from->parts_n; to->n++) {
        uint32_t p = from->parts[to->n];
        while (p >= a->topics[t].first + a->topics[t].partitions_n)
            t++;
        to->v[to->n] = (struct next_part){job->topic_ids[t], (int32_t)(p - a->topics[t].first), 0};
    }
    if (next_parts_equal(to, &m->target, false))
        return 0;
    next_records_target(&job->records[who], m, to);
    *cost += 40 + job->records[who].n / 2;
    return job->records[who].error;
}

static void target_set(struct next_job *job, uint32_t who, struct group_records *records)
{
    struct next_member *m = job->members[who];
    struct next_parts old = m->target;
    if (next_parts_equal(&job->targets[who], &old, false))
        return;
    m->target = job->targets[who];
    job->targets[who] = old; /* freed with the job */
    next_member_count(m);
    if (job->records[who].records_n > 0)
        group_records_join(records, &job->records[who]);
    else
        next_records_target(records, m, &m->target);
}

/* All targets change at once, with the epoch they are of. */
static void job_finish(struct next_job *job, struct group_records *records, struct now now)
{
    struct group_next *g = job->group;
    for (uint32_t i = 0; i < job->assign.members_n; i++)
        if (job->members[i] != NULL)
            target_set(job, i, records);
    check(job->epoch > g->assignment_epoch && job->epoch <= g->epoch);
    g->assignment_epoch = job->epoch;
    g->assigned_ms = now.wall_ms;
    list_for_each(l, next, &g->members)
        next_member_note(list_entry(l, struct next_member, link));
    if (g->nexts->host.told != NULL)
        g->nexts->host.told(g->nexts->host.context, g, NEXT_ASSIGNED);
    next_records_target_epoch(records, g);
}

/* Members one by one; 0 when there is none left. */
static int job_each(struct next_job *job, int (*one)(struct next_job *, uint32_t, uint64_t *),
                    uint64_t *cost, uint64_t budget)
{
    for (; job->at < job->assign.members_n; job->at++) {
        if (*cost >= budget)
            return E_AGAIN;
        int e = one(job, job->at, cost);
        if (e < 0)
            return e;
    }
    job->at = 0;
    return 0;
}

/* 0 when the targets are made. */
static int job_step(struct next_job *job, uint64_t budget)
{
    uint64_t cost = 0;
    int e = 0;
    if (job->phase == NEXT_JOB_FILL) {
        e = job_each(job, job_fill, &cost, budget);
        if (e == 0)
            e = assign_begin(&job->assign);
        if (e < 0)
            return e;
        job->phase = NEXT_JOB_ASSIGN;
    }
    if (job->phase == NEXT_JOB_ASSIGN) {
        if (cost >= budget)
            return E_AGAIN;
        e = assign_more(&job->assign, budget - cost);
        if (e < 0)
            return e;
        job->phase = NEXT_JOB_TARGETS;
        if (budget != UINT64_MAX)
            return E_AGAIN;
    }
    return job_each(job, target_make, &cost, budget);
}

static int job_more(struct group_next *g, uint64_t budget, struct group_records *records,
                    struct now now)
{
    struct next_job *job = g->job;
    int e = job_step(job, budget);
    if (e == E_AGAIN) {
        if (!list_is_linked(&job->link))
            list_append(&g->nexts->jobs, &job->link);
        return 0;
    }
    if (e == 0)
        job_finish(job, records, now);
    next_job_end(g);
    return e;
}

static bool is_due(const struct group_next *g, struct now now)
{
    int64_t since_ms = now.wall_ms - g->assigned_ms;
    return g->assigned_ms == 0 || since_ms < 0 || since_ms >= g->settings.assignment_interval_ms;
}

static bool job_is_large(const struct next_job *job)
{
    const struct assign *a = &job->assign;
    uint64_t n = a->members_n;
    for (uint32_t t = 0; t < a->topics_n; t++)
        n += a->topics[t].partitions_n;
    for (uint32_t i = 0; i < a->members_n && n <= NEXT_ASSIGN_SMALL; i++)
        n += next_topics_max(job->members[i]) + job->members[i]->target.n;
    return n > NEXT_ASSIGN_SMALL;
}

int next_target_update(struct group_next *g, struct group_records *records, struct now now)
{
    next_settings_look(g);
    if (g->epoch <= g->assignment_epoch || (g->job == NULL && !is_due(g, now)))
        return 0;
    if (g->job != NULL)
        return 0; /* nexts_turn has it */
    int e = job_begin(g);
    if (e < 0)
        return e;
    g->nexts->work += NEXT_WORK_PER_TURN / 4;
    bool may_wait = g->assignment_epoch > 0 || is_first(g);
    if (may_wait && job_is_large(g->job)) {
        list_append(&g->nexts->jobs, &g->job->link); /* nexts_turn goes on with it */
        return 0;
    }
    return job_more(g, UINT64_MAX, records, now);
}

int nexts_turn(struct nexts *nexts, struct now now)
{
    struct list under_way, *l;
    int n = 0;
    list_init(&under_way);
    list_splice(&under_way, &nexts->jobs);
    while ((l = list_pop(&under_way)) != NULL) {
        struct group_next *g = list_entry(l, struct next_job, link)->group;
        struct group_records records = {0};
        n++;
        if (n > 1) { /* one piece a turn, whoever's it is; the others keep their order */
            list_append(&nexts->jobs, l);
            continue;
        }
        (void)job_more(g, NEXT_ASSIGN_BUDGET, &records,
                       now); /* without memory the next heartbeat begins it anew */
        next_append(g, &records, NULL);
    }
    return n;
}
