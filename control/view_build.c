/*
 * view_build.c - the state becomes a view, is published, and old views are freed when nobody can
 * see them.
 *
 * Owner: control; a published view is immutable.
 *
 * A topic that did not change is shared with the view before: struct topic keeps one reference to
 * its form, every view one more. Publishing costs one pass over pointers; only changed topics are
 * made anew.
 *
 * A worker stores the version it loaded in views->seen (V1). A view may go when every worker has
 * stored a newer one: it uses what it loaded until its next load, and for no longer. A worker that
 * sleeps keeps old views alive; when CONTROL_VIEWS_MAX wait, publishing waits too.
 */
#include <stdlib.h>

#include "check.h"
#include "hash.h"
#include "control_inside.h"
#include "live.h"
#include "telemetry.h"

/* A view with what control needs to know about it. Owner: control. */
struct view_box {
    struct view view; /* first */
    struct view_box *retired_next;
};

uint8_t partition_home(const struct uuid *topic_id, int32_t partition, uint8_t workers_n)
{
    return (uint8_t)(hash_partition(topic_id, partition) % workers_n);
}

bool topic_is_internal(struct bytes name)
{
    return bytes_equal_string(name, "__consumer_offsets") ||
           bytes_equal_string(name, "__transaction_state") ||
           bytes_equal_string(name, "__share_group_state");
}

void view_topic_put(struct view_topic *topic)
{
    check(topic->refs > 0);
    if (--topic->refs == 0)
        free(topic);
}

void view_topic_forget(struct topic *topic)
{
    if (topic->view == NULL || !topic->is_changed || topic->is_removed)
        return;
    view_topic_put(topic->view);
    topic->view = NULL;
}

/* Resolving takes 50,000 instructions; most topics have no settings and the same result. */
void topic_log_config(struct control *c, const struct settings *own, bool is_internal,
                      struct log_config *out)
{
    uint64_t version = c->state.settings_version + 1;
    if (own->n > 0) {
        resolve_log_config(&c->resolver, own, is_internal, out);
        return;
    }
    if (c->plain[is_internal].version != version) {
        resolve_log_config(&c->resolver, own, is_internal, &c->plain[is_internal].config);
        c->plain[is_internal].version = version;
    }
    *out = c->plain[is_internal].config;
}

int view_topic_make(struct control *c, struct topic *topic)
{
    if (topic->view != NULL)
        return 0;
    size_t n =
        sizeof(struct view_topic) + (size_t)topic->partitions_n * sizeof(struct view_partition);
    struct view_topic *view = calloc(1, n + topic->name_n);
    if (view == NULL)
        return E_NO_MEMORY;
    char *name = (char *)view + n;
    memcpy(name, topic->name, topic->name_n);
    view->id = topic->id;
    view->name = bytes_of(name, topic->name_n);
    view->refs = 1;
    view->is_internal = topic_is_internal(view->name);
    view->partitions_n = topic->partitions_n;
    view->replicas_n = topic->partitions_n > 0 ? topic->partitions[0].replicas_n : 0;
    topic_log_config(c, &topic->settings, view->is_internal, &view->config);
    for (int32_t i = 0; i < topic->partitions_n; i++) {
        struct partition *p = &topic->partitions[i];
        uint8_t dir = partition_dir(c, p);
        bool leads = p->leader == c->node_id && !p->is_failed && dir != DIR_NONE;
        view->partitions[i] = (struct view_partition){
            .leader = leads ? c->node_id : -1,
            .leader_epoch = max_i64(p->leader_epoch, 0),
            .dir = dir,
            .future_dir = partition_future_dir(p),
            .is_offline = p->leader == c->node_id && !leads,
            .home = partition_home(&topic->id, i, c->config.workers_n),
        };
    }
    topic->view = view;
    topic->is_changed = false;
    return 0;
}

/* Broker settings are defaults of topics: when they changed, every topic is resolved anew. */
static void topics_forget_views(struct control *c)
{
    for (uint32_t i = 0; i < c->state.topics_n; i++) {
        struct topic *topic = c->state.topics[i];
        bool is_stale = topic->is_removed || topic->is_changed ||
                        c->settings_version != c->state.settings_version;
        if (topic->view != NULL && is_stale) {
            view_topic_put(topic->view);
            topic->view = NULL;
        }
    }
    c->settings_version = c->state.settings_version;
}

static void table_put(struct view_topic **table, uint32_t mask, uint64_t hash,
                      struct view_topic *topic)
{
    while (table[hash & mask] != NULL)
        hash++;
    table[hash & mask] = topic;
}

static void view_free(struct view_box *box)
{
    struct view *view = &box->view;
    for (uint32_t i = 0; i < view->topics_n; i++)
        view_topic_put(view->topics[i]);
    free(view->by_name);
    free(view->by_id);
    free(view->topics);
    free(box);
}

static int view_fill_topics(struct control *c, struct view *view)
{
    for (uint32_t i = 0; i < c->state.live_n; i++) {
        struct topic *topic = c->state.topics[i];
        int e = view_topic_make(c, topic);
        if (e < 0)
            return e;
        struct view_topic *shared = topic->view;
        shared->refs++;
        view->topics[view->topics_n++] = shared;
        view->partitions_n += (uint32_t)shared->partitions_n;
        table_put(view->by_name, view->table_mask,
                  hash_bytes(shared->name.ptr, shared->name.n, view->hash_seed), shared);
        table_put(view->by_id, view->table_mask,
                  hash_bytes(shared->id.b, sizeof shared->id.b, view->hash_seed), shared);
    }
    return 0;
}

static int view_new(struct control *c, struct view_box **out)
{
    uint32_t n = c->state.live_n, slots = 16;
    while (slots < 2 * n)
        slots *= 2;
    struct view_box *box = calloc(1, sizeof *box);
    if (box == NULL)
        return E_NO_MEMORY;
    struct view *view = &box->view;
    view->by_name = calloc(slots, sizeof(struct view_topic *));
    view->by_id = calloc(slots, sizeof(struct view_topic *));
    view->topics = calloc(n + 1, sizeof(struct view_topic *));
    view->table_mask = slots - 1;
    view->hash_seed = c->config.seed;
    int e = view->by_name == NULL || view->by_id == NULL || view->topics == NULL
                ? E_NO_MEMORY
                : view_fill_topics(c, view);
    if (e < 0) {
        view_free(box);
        return e;
    }
    *out = box;
    return 0;
}

static void view_fill_node(struct control *c, struct view *view)
{
    const struct config *config = c->config.config;
    const char *rack = config_string(config, "broker.rack");
    view->version = c->published == NULL ? 1 : c->published->version + 1;
    snprintf(view->cluster_id, sizeof view->cluster_id, "%s", c->config.directory.cluster_id);
    snprintf(view->rack, sizeof view->rack, "%s", rack != NULL ? rack : "");
    view->node_id = view->controller_id = c->node_id;
    view->auto_create_topics = config_bool(config, "auto.create.topics.enable");
    view->default_partitions_n = (int32_t)config_int(config, "num.partitions");
    view->listeners_n = c->config.listeners_n;
    memcpy(view->listeners, c->config.listeners, sizeof view->listeners);
    view->metadata_offset = c->state.end_offset - 1;
    view->feature_metadata_version = state_feature(&c->state, "metadata.version");
    view->feature_group_version = state_feature(&c->state, "group.version");
    view->leader_epoch = c->leader_epoch;
    view->offers_telemetry = c->telemetry->is_offered;
    live_resolve(&c->resolver, &view->live);
    view->dirs = c->config.dirs;
    view->dirs_n = c->config.dirs_n;
    for (uint8_t i = 0; i < c->config.dirs_n; i++)
        view->dirs_offline |= dir_is_usable(c, i) ? 0 : 1ull << i;
    view->dirs_cordoned = dirs_cordoned(c);
}

int view_publish(struct control *c)
{
    struct view_box *box = NULL;
    if (c->retired_n >= CONTROL_VIEWS_MAX)
        return E_AGAIN;
    topics_forget_views(c);
    int e = state_settle(&c->state);
    if (e == 0)
        e = view_new(c, &box);
    if (e < 0)
        return e;
    view_fill_node(c, &box->view);
    struct view *old = c->published;
    c->published = &box->view;
    /* V2: pairs with the acquire load of current in view_load: the view is whole before it is seen.
     */
    atomic_store_explicit(&c->views->current, &box->view, memory_order_release);
    if (old != NULL) {
        ((struct view_box *)old)->retired_next = (struct view_box *)c->retired;
        c->retired = old;
        c->retired_n++;
    }
    return 0;
}

/* The oldest version some worker may still use. */
static uint64_t version_in_use(const struct control *c)
{
    uint64_t oldest = UINT64_MAX;
    for (uint8_t i = 0; i < c->views->workers_n; i++) {
        /* V1: pairs with the release store of seen in view_load. */
        uint64_t seen = atomic_load_explicit(&c->views->seen[i].version, memory_order_acquire);
        oldest = min_u64(oldest, seen);
    }
    return oldest;
}

uint32_t view_retire(struct control *c)
{
    uint32_t n = 0;
    if (c->retired == NULL)
        return 0;
    uint64_t in_use = version_in_use(c);
    struct view_box **at = (struct view_box **)&c->retired;
    while (*at != NULL) {
        struct view_box *box = *at;
        if (box->view.version >= in_use) {
            at = &box->retired_next;
            continue;
        }
        *at = box->retired_next;
        view_free(box);
        c->retired_n--;
        n++;
    }
    return n;
}

void view_free_all(struct control *c)
{
    atomic_store_explicit(&c->views->current, NULL, memory_order_release);
    while (c->retired != NULL) {
        struct view_box *box = (struct view_box *)c->retired;
        c->retired = (struct view *)box->retired_next;
        view_free(box);
    }
    if (c->published != NULL)
        view_free((struct view_box *)c->published);
    c->published = NULL;
    for (uint32_t i = 0; i < c->state.topics_n; i++)
        if (c->state.topics[i]->view != NULL)
            view_topic_put(c->state.topics[i]->view);
}
