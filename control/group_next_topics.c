/*
 * group_next_topics.c - what a group subscribes to: names, expressions, and the topics they mean
 * now.
 *
 * Owner: control. A topic stands once in its group, however many members name it, and whether it
 * exists or not.
 */
#include <stdlib.h>

#include "check.h"
#include "group_next.h"
#include "hash.h"
#include "regex.h"

static int name_compare(struct bytes a, struct bytes b)
{
    uint32_t n = a.n < b.n ? a.n : b.n;
    int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    return c != 0 ? c : a.n < b.n ? -1 : a.n > b.n;
}

/* Where the name stands, or would. */
static uint32_t topic_place(const struct group_next *g, struct bytes name, bool *is_there)
{
    uint32_t low = 0, high = g->topics_n;
    *is_there = false;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int c = name_compare(g->topics[mid]->name, name);
        if (c == 0) {
            *is_there = true;
            return mid;
        }
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void topic_look(struct group_next *g, struct next_topic *t)
{
    if (!g->nexts->host.topic(g->nexts->host.context, t->name, &t->id, &t->partitions_n))
        t->partitions_n = 0;
}

/* `hint` is where it may stand: behind the one before, for names that ascend. */
static struct next_topic *topic_get(struct group_next *g, struct bytes name, uint32_t *hint)
{
    bool is_there = *hint < g->topics_n && bytes_equal(g->topics[*hint]->name, name);
    uint32_t at = is_there ? *hint : topic_place(g, name, &is_there);
    *hint = at + 1;
    if (is_there) {
        g->topics[at]->refs++;
        return g->topics[at];
    }
    if (g->topics_n == g->topics_max) {
        uint32_t max = g->topics_max * 2 + 4;
        struct next_topic **more = realloc(g->topics, max * sizeof *more);
        if (more == NULL)
            return NULL;
        g->topics = more;
        g->topics_max = max;
    }
    struct next_topic *t = calloc(1, sizeof *t + name.n + 1);
    if (t == NULL)
        return NULL;
    g->ids_version++;
    uint8_t *text = (uint8_t *)(t + 1);
    if (name.n > 0)
        memcpy(text, name.ptr, name.n);
    t->name = (struct bytes){text, name.n};
    t->refs = 1;
    t->at = UINT32_MAX;
    topic_look(g, t);
    memmove(&g->topics[at + 1], &g->topics[at], (g->topics_n - at) * sizeof *g->topics);
    g->topics[at] = t;
    g->topics_n++;
    return t;
}

static void topic_put(struct group_next *g, struct next_topic *t)
{
    bool is_there;
    check(t->refs > 0);
    if (--t->refs > 0)
        return;
    g->ids_version++;
    uint32_t at = topic_place(g, t->name, &is_there);
    check(is_there && g->topics[at] == t);
    memmove(&g->topics[at], &g->topics[at + 1], (g->topics_n - at - 1) * sizeof *g->topics);
    g->topics_n--;
    free(t);
}

void next_topics_clear(struct group_next *g, struct next_topics *topics)
{
    for (uint32_t i = 0; i < topics->n; i++)
        topic_put(g, topics->v[i]);
    free(topics->v);
    *topics = (struct next_topics){NULL, 0};
}

static int topic_compare(const void *a, const void *b)
{
    const struct next_topic *const *x = a, *const *y = b;
    return name_compare((*x)->name, (*y)->name);
}

int next_topics_set(struct group_next *g, struct next_topics *to, const struct bytes *names,
                    int32_t n, bool *has_changed)
{
    struct next_topics new = {calloc((uint32_t)n + 1u, sizeof *new.v), 0};
    if (new.v == NULL)
        return E_NO_MEMORY;
    bool ascends = true;
    uint32_t hint = 0;
    for (int32_t i = 0; i < n; i++) {
        struct next_topic *t = topic_get(g, names[i], &hint);
        if (t == NULL) {
            next_topics_clear(g, &new);
            return E_NO_MEMORY;
        }
        ascends = ascends && (i == 0 || name_compare(new.v[i - 1]->name, t->name) < 0);
        new.v[new.n++] = t;
    }
    g->nexts->work += (uint32_t)n * (ascends ? 1u : 4u); /* searched for and sorted */
    if (!ascends)
        qsort(new.v, new.n, sizeof *new.v, topic_compare);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < new.n; i++) {
        if (kept > 0 && new.v[kept - 1] == new.v[i])
            topic_put(g, new.v[i]);
        else
            new.v[kept++] = new.v[i];
    }
    new.n = kept;
    *has_changed =
        new.n != to->n || (new.n > 0 && memcmp(new.v, to->v, new.n * sizeof *new.v) != 0);
    next_topics_clear(g, to);
    *to = new;
    return 0;
}

/* ── expressions ── */

struct next_regex *next_regex_find(const struct group_next *g, struct bytes text)
{
    list_for_each(l, next, (struct list *)(uintptr_t)&g->regexes) {
        struct next_regex *regex = list_entry(l, struct next_regex, link);
        if (bytes_equal(regex->text, text))
            return regex;
    }
    return NULL;
}

struct next_regex *next_regex_new(struct group_next *g, struct bytes text)
{
    struct next_regex *regex = calloc(1, sizeof *regex);
    if (regex == NULL)
        return NULL;
    regex->text = bytes_heap_copy(text);
    if (regex->text.ptr == NULL) {
        free(regex);
        return NULL;
    }
    list_append(&g->regexes, &regex->link);
    g->ids_version++;
    return regex;
}

void next_regex_free(struct group_next *g, struct next_regex *regex)
{
    list_del(&regex->link);
    g->ids_version++;
    next_topics_clear(g, &regex->topics);
    free((void *)(uintptr_t)regex->text.ptr);
    free(regex);
}

int next_regex_resolve(struct group_next *g, struct next_regex *regex, struct now now,
                       bool *has_changed)
{
    const struct next_host *host = &g->nexts->host;
    const char *why;
    struct regex *compiled = regex_new(regex->text, &why);
    struct bytes *names = NULL, name;
    uint32_t n = 0, max = 0, at = 0;
    int e = 0;
    *has_changed = false;
    g->ids_version++;
    if (compiled == NULL && why == NULL)
        return E_NO_MEMORY;
    while (compiled != NULL && e == 0 && host->topic_name(host->context, &at, &name)) {
        if (!regex_matches(compiled, name))
            continue;
        if (n == max) {
            struct bytes *more = realloc(names, (max = max * 2 + 16) * sizeof *more);
            if (more == NULL) {
                e = E_NO_MEMORY;
                break;
            }
            names = more;
        }
        names[n++] = name;
    }
    if (e == 0)
        e = next_topics_set(g, &regex->topics, names, (int32_t)n, has_changed);
    if (e == 0) {
        regex->version = (int64_t)host->metadata_version(host->context);
        regex->resolved_ms = now.wall_ms;
    }
    regex_free(compiled);
    free(names);
    return e;
}

/* ── as they are now ── */

void next_topics_look(struct group_next *g)
{
    g->ids_version++;
    g->nexts->work += g->topics_n;
    for (uint32_t i = 0; i < g->topics_n; i++)
        topic_look(g, g->topics[i]);
}

/* Does not depend on the order, nor on topics that do not exist. */
int64_t next_topics_hash(const struct group_next *g)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < g->topics_n; i++) {
        const struct next_topic *t = g->topics[i];
        if (t->partitions_n > 0)
            sum += hash_bytes(t->name.ptr, t->name.n, hash_partition(&t->id, t->partitions_n));
    }
    return (int64_t)sum;
}

uint32_t next_topics_max(const struct next_member *m)
{
    return m->names.n + (m->regex == NULL ? 0 : m->regex->topics.n);
}

static int id_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct uuid));
}

static bool ids_are_of(const struct next_ids *ids, const struct next_member *m)
{
    return ids->version == m->group->ids_version && ids->regex == m->regex &&
           ids->names_n == m->names.n &&
           (m->names.n == 0 ||
            memcmp(ids->names, m->names.v, m->names.n * sizeof *ids->names) == 0);
}

static bool ids_room(struct next_ids *ids, const struct next_member *m)
{
    struct next_topic **names = realloc(ids->names, (m->names.n + 1ull) * sizeof *names);
    if (names != NULL)
        ids->names = names;
    struct uuid *v = realloc(ids->v, (next_topics_max(m) + 1ull) * sizeof *v);
    if (v != NULL)
        ids->v = v;
    return names != NULL && v != NULL;
}

const struct uuid *next_topic_ids(const struct next_member *m, uint32_t *n)
{
    struct next_ids *ids = &m->group->ids;
    const struct next_topics *const both[] = {&m->names,
                                              m->regex == NULL ? NULL : &m->regex->topics};
    uint32_t kept = 0;
    if (ids_are_of(ids, m)) {
        *n = ids->n;
        return ids->v;
    }
    ids->version = 0;
    if (!ids_room(ids, m))
        return NULL;
    ids->n = 0;
    for (uint32_t k = 0; k < array_n(both); k++)
        for (uint32_t i = 0; both[k] != NULL && i < both[k]->n; i++)
            if (both[k]->v[i]->partitions_n > 0)
                ids->v[ids->n++] = both[k]->v[i]->id;
    qsort(ids->v, ids->n, sizeof *ids->v, id_compare);
    for (uint32_t i = 0; i < ids->n; i++)
        if (kept == 0 || !uuid_equal(&ids->v[kept - 1], &ids->v[i]))
            ids->v[kept++] = ids->v[i];
    m->group->nexts->work += ids->n;
    *n = ids->n = kept;
    if (m->names.n > 0)
        memcpy(ids->names, m->names.v, m->names.n * sizeof *ids->names);
    ids->names_n = m->names.n;
    ids->regex = m->regex;
    ids->version = m->group->ids_version;
    return ids->v;
}

bool next_is_subscribed(const struct group_next *g, struct bytes topic)
{
    bool is_there;
    topic_place(g, topic, &is_there);
    return is_there;
}
