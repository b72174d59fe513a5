/*
 * reload.c - the settings of a server.properties that was read again come into force.
 *
 * Owner: control.
 *
 * Main has read and checked the file and has left out what needs a restart. Here the pointer is
 * exchanged between two rounds, and a round without records follows: the logs whose settings
 * changed are told (LOG_CONFIGURE), then the view is published, then main hears of it. Settings in
 * the metadata log stand over the file as before.
 */
#include "check.h"
#include "control_inside.h"

struct reload *control_reload(struct control *c)
{
    return &c->reload;
}

const struct idle_settings *control_idle_settings(const struct control *c)
{
    return &c->idle_settings;
}

void idle_settings_note(struct control *c)
{
    uint32_t n;
    const struct config_row *rows = config_rows(CONFIG_BROKER, &n);
    uint64_t words[IDLE_SETTINGS_WORDS] = {0};
    check(n <= IDLE_SETTINGS_WORDS * 64);
    for (uint32_t i = 0; i < n; i++)
        if (config_is_idle(c->config.config, &rows[i]))
            words[i / 64] |= 1ull << (i % 64);
    for (uint32_t i = 0; i < IDLE_SETTINGS_WORDS; i++)
        atomic_store_explicit(&c->idle_settings.words[i], words[i], memory_order_relaxed);
}

static void reload_begin(struct control *c)
{
    c->config.config = c->resolver.config = c->reload.config;
    c->state.settings_version++; /* whoever keeps resolved settings resolves them anew */
    c->state.groups_version++;
    idle_settings_note(c);
    for (uint32_t i = 0; i < c->state.topics_n; i++) {
        struct topic *topic = c->state.topics[i];
        if (!topic_is_stale(c, topic))
            continue;
        topic->is_changed = true;
        topic_list_add(&c->created, topic);
        view_topic_forget(topic);
    }
    c->make_at = 0;
    c->order_topic_at = 0;
    c->order_partition_at = 0;
    c->is_reloading = true;
    c->phase = CONTROL_OPENING;
}

int reload_work(struct control *c)
{
    /* R1: pairs with the release store of main, which filled `config` before. */
    uint8_t state = atomic_load_explicit(&c->reload.state, memory_order_acquire);
    if (state != RELOAD_ASKED || c->phase != CONTROL_OPEN || c->changing != NULL ||
        snapshot_is_building(&c->snapshot))
        return 0;
    if (c->is_reloading) {
        c->is_reloading = false;
        /* R2: pairs with the acquire load of main: nothing here looks at the old ones any more. */
        atomic_store_explicit(&c->reload.state, RELOAD_DONE, memory_order_release);
        return 1;
    }
    if (c->is_dirty || c->is_failed || topic_list_reserve(&c->created, c->state.topics_n) < 0)
        return 0; /* in a later turn */
    check(c->created.n == 0);
    reload_begin(c);
    return 1;
}
