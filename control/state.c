/*
 * state.c - the tables of the state: finding, adding, removing, sorting. What records do to them is
 * state_apply.c.
 *
 * Owner: control.
 *
 * Topics stand in two chained hash tables (by name, by id) and in one array, sorted when the view
 * is built: new ones are appended and merged in by state_settle, removed ones stay marked until
 * then, so that a request for 10,000 topics costs one sort, not 10,000 insertions. The name table
 * ignores the difference of '.' and '_', so a look-up and the search for a collision walk the same
 * chain.
 */
#include "state.h"

#include <stdlib.h>

#include "check.h"
#include "hash.h"
#include "state_tables.h"

enum { TABLE_MIN = 64 };

static uint8_t name_byte(uint8_t c)
{
    return c == '.' ? '_' : c;
}

static uint64_t name_hash(const struct state *state, struct bytes name)
{
    uint8_t folded[256];
    uint32_t n = name.n < sizeof folded ? name.n : sizeof folded;
    for (uint32_t i = 0; i < n; i++)
        folded[i] = name_byte(name.ptr[i]);
    return hash_bytes(folded, n, state->hash_seed);
}

static uint64_t id_hash(const struct state *state, const struct uuid *id)
{
    return hash_bytes(id->b, sizeof id->b, state->hash_seed);
}

int state_init(struct state *state, uint64_t hash_seed)
{
    *state = (struct state){.hash_seed = hash_seed, .node_id = -1, .table_mask = TABLE_MIN - 1};
    state->by_name = calloc(TABLE_MIN, sizeof *state->by_name);
    state->by_id = calloc(TABLE_MIN, sizeof *state->by_id);
    if (state->by_name != NULL && state->by_id != NULL)
        return 0;
    state_fini(state);
    return E_NO_MEMORY;
}

static void topic_free(struct topic *topic)
{
    settings_clear(&topic->settings);
    for (int32_t i = 0; i < topic->partitions_n; i++)
        free(topic->partitions[i].nodes);
    free(topic->partitions);
    free(topic);
}

void state_fini(struct state *state)
{
    for (uint32_t i = 0; i < state->topics_n; i++)
        topic_free(state->topics[i]);
    for (uint32_t i = 0; i < state->resources_n; i++) {
        free(state->resources[i].name);
        settings_clear(&state->resources[i].settings);
    }
    free(state->topics);
    free(state->by_name);
    free(state->by_id);
    free(state->resources);
    free(state->brokers);
    free(state->held);
    *state = (struct state){0};
}

/* ── settings ── */

/* The place of key, or where it would go. */
static uint32_t settings_place(const struct settings *settings, const char *key, bool *found)
{
    uint32_t low = 0, high = settings->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(settings->v[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < settings->n && strcmp(settings->v[low].key, key) == 0;
    return low;
}

const char *settings_get(const struct settings *settings, const char *key)
{
    bool found = false;
    uint32_t at = settings == NULL ? 0 : settings_place(settings, key, &found);
    return found ? settings->v[at].value : NULL;
}

static char *string_of(struct bytes from)
{
    char *s = malloc((size_t)from.n + 1);
    if (s == NULL)
        return NULL;
    if (from.n > 0)
        memcpy(s, from.ptr, from.n);
    s[from.n] = 0;
    return s;
}

static void settings_remove(struct settings *settings, uint32_t at)
{
    free(settings->v[at].key);
    free(settings->v[at].value);
    memmove(&settings->v[at], &settings->v[at + 1], (settings->n - at - 1) * sizeof settings->v[0]);
    settings->n--;
}

int settings_set(struct settings *settings, struct bytes key, struct bytes value)
{
    bool found;
    char *key_text = string_of(key), *value_text = value.ptr == NULL ? NULL : string_of(value);
    int e = E_NO_MEMORY;
    if (key_text == NULL || (value.ptr != NULL && value_text == NULL))
        goto err_free;
    uint32_t at = settings_place(settings, key_text, &found);
    if (value.ptr == NULL) {
        if (found)
            settings_remove(settings, at);
        free(key_text);
        return 0;
    }
    if (found) {
        free(settings->v[at].value);
        settings->v[at].value = value_text;
        free(key_text);
        return 0;
    }
    struct setting *more = realloc(settings->v, (settings->n + 1) * sizeof *more);
    if (more == NULL)
        goto err_free;
    settings->v = more;
    memmove(&more[at + 1], &more[at], (settings->n - at) * sizeof *more);
    more[at] = (struct setting){key_text, value_text};
    settings->n++;
    return 0;
err_free:
    free(key_text);
    free(value_text);
    return e;
}

void settings_clear(struct settings *settings)
{
    for (uint32_t i = 0; i < settings->n; i++) {
        free(settings->v[i].key);
        free(settings->v[i].value);
    }
    free(settings->v);
    *settings = (struct settings){0};
}

/* ── other resources, brokers, features ── */

static int resource_compare(const struct resource *resource, int8_t type, struct bytes name)
{
    if (resource->type != type)
        return resource->type < type ? -1 : 1;
    size_t n = strlen(resource->name);
    int order =
        memcmp(resource->name, name.n > 0 ? (const void *)name.ptr : "", n < name.n ? n : name.n);
    return order != 0 ? order : n < name.n ? -1 : n > name.n;
}

static uint32_t resource_place(const struct state *state, int8_t type, struct bytes name,
                               bool *found)
{
    uint32_t low = 0, high = state->resources_n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (resource_compare(&state->resources[middle], type, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < state->resources_n && resource_compare(&state->resources[low], type, name) == 0;
    return low;
}

const struct settings *state_settings(const struct state *state, int8_t type, struct bytes name)
{
    if (type == RESOURCE_TOPIC) {
        const struct topic *topic = state_topic_by_name(state, name);
        return topic == NULL ? NULL : &topic->settings;
    }
    bool found;
    uint32_t at = resource_place(state, type, name, &found);
    return found ? &state->resources[at].settings : NULL;
}

struct resource *state_resource_make(struct state *state, int8_t type, struct bytes name)
{
    bool found;
    uint32_t at = resource_place(state, type, name, &found);
    if (found)
        return &state->resources[at];
    char *text = string_of(name);
    struct resource *more = realloc(state->resources, (state->resources_n + 1) * sizeof *more);
    if (more != NULL)
        state->resources = more;
    if (more == NULL || text == NULL) {
        free(text);
        return NULL;
    }
    memmove(&more[at + 1], &more[at], (state->resources_n - at) * sizeof *more);
    more[at] = (struct resource){.type = type, .name = text};
    state->resources_n++;
    return &more[at];
}

struct broker *state_broker(const struct state *state, int32_t id)
{
    for (uint32_t i = 0; i < state->brokers_n; i++)
        if (state->brokers[i].id == id)
            return &state->brokers[i];
    return NULL;
}

struct broker *state_broker_make(struct state *state, int32_t id)
{
    struct broker *broker = state_broker(state, id);
    if (broker != NULL)
        return broker;
    struct broker *more = realloc(state->brokers, (state->brokers_n + 1) * sizeof *more);
    if (more == NULL)
        return NULL;
    state->brokers = more;
    more[state->brokers_n] = (struct broker){.id = id};
    return &more[state->brokers_n++];
}

void state_broker_remove(struct state *state, int32_t id)
{
    struct broker *broker = state_broker(state, id);
    if (broker != NULL)
        *broker = state->brokers[--state->brokers_n];
}

int16_t state_feature(const struct state *state, const char *name)
{
    for (uint32_t i = 0; i < state->features_n; i++)
        if (strcmp(state->features[i].name, name) == 0)
            return state->features[i].level;
    return 0;
}

/* ── topics ── */

static bool names_fold_equal(const struct topic *topic, struct bytes name)
{
    if (topic->name_n != name.n)
        return false;
    for (uint32_t i = 0; i < name.n; i++)
        if (name_byte((uint8_t)topic->name[i]) != name_byte(name.ptr[i]))
            return false;
    return true;
}

static bool name_equal(const struct topic *topic, struct bytes name)
{
    return topic->name_n == name.n && memcmp(topic->name, name.ptr, name.n) == 0;
}

struct topic *state_topic_by_name(const struct state *state, struct bytes name)
{
    if (name.n == 0)
        return NULL;
    struct topic *topic = state->by_name[name_hash(state, name) & state->table_mask];
    while (topic != NULL && !name_equal(topic, name))
        topic = topic->next_name;
    return topic;
}

struct topic *state_topic_collision(const struct state *state, struct bytes name)
{
    struct topic *topic = state->by_name[name_hash(state, name) & state->table_mask];
    while (topic != NULL && (!names_fold_equal(topic, name) || name_equal(topic, name)))
        topic = topic->next_name;
    return topic;
}

struct topic *state_topic_by_id(const struct state *state, const struct uuid *id)
{
    struct topic *topic = state->by_id[id_hash(state, id) & state->table_mask];
    while (topic != NULL && !uuid_equal(&topic->id, id))
        topic = topic->next_id;
    return topic;
}

static void table_insert(struct state *state, struct topic *topic)
{
    struct topic **name =
        &state->by_name[name_hash(state, bytes_of(topic->name, topic->name_n)) & state->table_mask];
    struct topic **id = &state->by_id[id_hash(state, &topic->id) & state->table_mask];
    topic->next_name = *name;
    *name = topic;
    topic->next_id = *id;
    *id = topic;
}

/* Doubles the tables when they are full. */
static int table_grow(struct state *state)
{
    if (state->live_n <= state->table_mask)
        return 0;
    uint32_t n = (state->table_mask + 1) * 2;
    struct topic **by_name = calloc(n, sizeof *by_name), **by_id = calloc(n, sizeof *by_id);
    if (by_name == NULL || by_id == NULL) {
        free(by_name);
        free(by_id);
        return E_NO_MEMORY;
    }
    free(state->by_name);
    free(state->by_id);
    state->by_name = by_name;
    state->by_id = by_id;
    state->table_mask = n - 1;
    for (uint32_t i = 0; i < state->topics_n; i++)
        if (!state->topics[i]->is_removed)
            table_insert(state, state->topics[i]);
    return 0;
}

int state_topic_add(struct state *state, struct bytes name, const struct uuid *id)
{
    if (state->topics_n == state->topics_max) {
        uint32_t max = state->topics_max == 0 ? TABLE_MIN : state->topics_max * 2;
        struct topic **more = realloc(state->topics, max * sizeof(struct topic *));
        if (more == NULL)
            return E_NO_MEMORY;
        state->topics = more;
        state->topics_max = max;
    }
    int e = table_grow(state);
    struct topic *topic = e < 0 ? NULL : calloc(1, sizeof *topic + name.n + 1);
    if (topic == NULL)
        return E_NO_MEMORY;
    topic->id = *id;
    topic->name_n = name.n;
    memcpy(topic->name, name.ptr, name.n);
    state->topics[state->topics_n++] = topic;
    state->live_n++;
    table_insert(state, topic);
    return 0;
}

void state_topic_remove(struct state *state, struct topic *topic)
{
    struct topic **name =
        &state->by_name[name_hash(state, bytes_of(topic->name, topic->name_n)) & state->table_mask];
    struct topic **id = &state->by_id[id_hash(state, &topic->id) & state->table_mask];
    while (*name != topic)
        name = &(*name)->next_name;
    while (*id != topic)
        id = &(*id)->next_id;
    *name = topic->next_name;
    *id = topic->next_id;
    topic->is_removed = true;
    state->live_n--;
    state->partitions_n -= (uint32_t)topic->partitions_n;
}

static int topic_compare(const void *a, const void *b)
{
    const struct topic *x = *(struct topic *const *)a, *y = *(struct topic *const *)b;
    return strcmp(x->name, y->name);
}

int state_settle(struct state *state)
{
    uint32_t fresh_n = state->topics_n - state->sorted_n, out = 0, sorted_at = 0, fresh_at = 0;
    struct topic **fresh = malloc((fresh_n > 0 ? fresh_n : 1) * sizeof(struct topic *));
    if (fresh == NULL)
        return E_NO_MEMORY;
    struct topic **merged =
        malloc((state->topics_n > 0 ? state->topics_n : 1) * sizeof(struct topic *));
    if (merged == NULL) {
        free(fresh);
        return E_NO_MEMORY;
    }
    if (fresh_n > 0)
        memcpy(fresh, state->topics + state->sorted_n, fresh_n * sizeof(struct topic *));
    qsort(fresh, fresh_n, sizeof(struct topic *), topic_compare);
    while (sorted_at < state->sorted_n || fresh_at < fresh_n) {
        bool take_fresh =
            sorted_at == state->sorted_n ||
            (fresh_at < fresh_n && topic_compare(&fresh[fresh_at], &state->topics[sorted_at]) < 0);
        struct topic *topic = take_fresh ? fresh[fresh_at++] : state->topics[sorted_at++];
        if (topic->is_removed)
            topic_free(topic);
        else
            merged[out++] = topic;
    }
    check(out == state->live_n);
    if (out > 0)
        memcpy(state->topics, merged, out * sizeof(struct topic *));
    state->topics_n = state->sorted_n = out;
    free(fresh);
    free(merged);
    return 0;
}
