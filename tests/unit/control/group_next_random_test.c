/*
 * group_next_random_test.c - a KIP-848 group under random schedules: members that come, stop, die,
 * lose answers, change what they want; topics that come and grow; a broker that ends and replays
 * its log.
 *
 * After every step: no partition is used by two clients at once, epochs never fall, the invariants
 * of group_next.h hold. When the schedule calms down, every partition is used by somebody who
 * subscribes to its topic.
 */
#include "next_bed.h"

enum { CLIENTS = 20, STEPS = 400, SEEDS = 150 };

/* A client as it sees itself. */
struct client {
    bool is_alive; /* heartbeats */
    char id[24];
    int32_t epoch; /* 0: not joined */
    char topics[64];
    bool is_static, uses_regex;
    bool says_all;           /* the next heartbeat: its last answer was lost */
    struct next_parts owned; /* what it works on, and has not given up */
    uint64_t last_beat_ns;
};

struct world {
    struct next_bed bed;
    struct client clients[CLIENTS];
    struct prng prng;
    int32_t group_epoch, assignment_epoch;
    uint32_t born, restarts, lost, fenced;
};

static void wish(struct world *w, struct client *c)
{
    static const char *const wishes[] = {"t0", "t1 t2", "t0 t1 t2 t3", "t3", "t0 t9", "t2 t3"};
    snprintf(c->topics, sizeof c->topics, "%s", wishes[prng_below(&w->prng, 6)]);
    c->uses_regex = prng_chance(&w->prng, 15);
}

static void forget(struct client *c)
{
    next_parts_free(&c->owned);
    c->epoch = 0;
}

static void begin(struct world *w, struct client *c)
{
    forget(c);
    c->is_alive = true;
    snprintf(c->id, sizeof c->id, "m%u", w->born++);
    wish(w, c);
}

/* The client gives up what it is not assigned any more before it takes anything new. */
static void take(struct client *c, const struct consumer_group_heartbeat_response *out)
{
    struct next_parts new = {calloc(4096, sizeof *new.v), 0};
    for (int32_t i = 0; i < out->assignment->topic_partitions_n; i++)
        for (int32_t k = 0; k < out->assignment->topic_partitions[i].partitions_n; k++)
            new.v[new.n++] =
                (struct next_part){out->assignment->topic_partitions[i].topic_id,
                                   out->assignment->topic_partitions[i].partitions[k], 0};
    next_parts_sort(&new);
    next_parts_free(&c->owned);
    c->owned = new;
}

/* Nobody works on what another one works on. A client that was silent for its session has stopped
 * by itself. */
static void exclusive_check(const struct world *w)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        for (uint32_t k = i + 1; k < CLIENTS; k++)
            for (uint32_t p = 0; p < w->clients[i].owned.n; p++)
                if (next_parts_find(&w->clients[k].owned, &w->clients[i].owned.v[p].topic_id,
                                    w->clients[i].owned.v[p].partition) != NULL)
                    fail_msg("%s (epoch %d, static %d) and %s (epoch %d, static %d) have the same "
                             "partition",
                             w->clients[i].id, w->clients[i].epoch, w->clients[i].is_static,
                             w->clients[k].id, w->clients[k].epoch, w->clients[k].is_static);
}

static void epochs_check(struct world *w)
{
    const struct group_next *g = w->bed.group;
    assert_true(g->epoch >= w->group_epoch && g->assignment_epoch >= w->assignment_epoch);
    w->group_epoch = g->epoch;
    w->assignment_epoch = g->assignment_epoch;
}

static void restarted(struct world *w)
{
    w->restarts++;
    bed_restart(&w->bed);
    for (uint32_t i = 0; i < CLIENTS; i++)
        w->clients[i].last_beat_ns = w->bed.now.ns;
    w->group_epoch = w->bed.group->epoch; /* an epoch that nobody was told of may be gone */
    w->assignment_epoch = w->bed.group->assignment_epoch;
}

/* Power fails before the records of the last request are durable, or between two of them; its
 * answer never left. */
static void crash(struct world *w)
{
    struct next_bed *b = &w->bed;
    struct bytes key, value;
    uint32_t at = b->last_at, kept = at;
    while (group_records_next(&b->log, &at, &key, &value) && prng_chance(&w->prng, 60))
        kept = at;
    b->log.n = kept;
    restarted(w);
}

static void beat(struct world *w, struct client *c)
{
    struct next_bed *b = &w->bed;
    bool is_join = c->epoch == 0;
    bed_beat(b, c->id, c->epoch);
    char instance[32];
    snprintf(instance, sizeof instance, "i%d", (int)(c - w->clients));
    if (c->is_static)
        b->request.instance_id = bytes_of_string(instance);
    if (is_join || c->says_all || prng_chance(&w->prng, 10)) {
        b->request.rebalance_timeout_ms = 20000;
        bed_names(b, c->uses_regex ? "" : c->topics);
        b->request.subscribed_topic_regex = bytes_of_string(c->uses_regex ? "t[0-3]" : "");
    }
    if (is_join)
        bed_owns(b, NULL, 0);
    else if (c->says_all || prng_chance(&w->prng, 70))
        bed_owns(b, c->owned.v, c->owned.n);
    int16_t code = bed_send(b);
    bool is_lost = prng_chance(&w->prng, 8);
    w->lost += is_lost;
    c->says_all = is_lost;
    if (code == 0 && !is_join)
        c->last_beat_ns = b->now.ns;
    if (is_lost && prng_chance(&w->prng, 10))
        crash(w);
    if (is_lost)
        return; /* the client tries again with what it knows */
    if (code == KAFKA_UNRELEASED_INSTANCE_ID)
        return;
    if (code != 0) {
        w->fenced++;
        forget(c);
        return;
    }
    c->last_beat_ns = b->now.ns;
    assert_true(b->out->member_epoch >= c->epoch);
    c->epoch = b->out->member_epoch;
    if (b->out->assignment != NULL)
        take(c, b->out);
}

static void leave(struct world *w, struct client *c)
{
    bool comes_back = c->is_static && prng_chance(&w->prng, 50);
    char instance[32];
    snprintf(instance, sizeof instance, "i%d", (int)(c - w->clients));
    if (c->epoch > 0) {
        bed_beat(&w->bed, c->id, comes_back ? -2 : -1);
        if (c->is_static)
            w->bed.request.instance_id = bytes_of_string(instance);
        (void)bed_send(&w->bed);
    }
    forget(c);
    c->is_alive = false;
}

static void topics_change(struct world *w)
{
    struct next_bed *b = &w->bed;
    if (b->topics_n < 4 && prng_chance(&w->prng, 50)) {
        char name[8];
        snprintf(name, sizeof name, "t%u", b->topics_n);
        bed_topic_add(b, name, 1 + (int32_t)prng_below(&w->prng, 9));
    } else {
        b->topics[prng_below(&w->prng, b->topics_n)].partitions_n++;
        b->version++;
    }
}

/* As real clients do: without an answer for its session a client stops working. */
static void silent_stop(struct world *w)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *o = &w->clients[i];
        const struct next_member *m = next_member_find(w->bed.group, bytes_of_string(o->id));
        if (o->epoch > 0 && (m == NULL || w->bed.now.ns - o->last_beat_ns >= 45000 * NS_PER_MS))
            forget(o);
    }
}

static void step(struct world *w)
{
    struct client *c = &w->clients[prng_below(&w->prng, CLIENTS)];
    uint64_t dice = prng_below(&w->prng, 1000);
    if (dice < 700) {
        if (c->is_alive)
            beat(w, c);
    } else if (dice < 760) {
        if (!c->is_alive)
            begin(w, c);
    } else if (dice < 780) {
        if (c->is_alive)
            leave(w, c);
    } else if (dice <
               795) { /* dies: what it had is nobody's work any more, but the group does not know */
        forget(c);
        c->is_alive = false;
    } else if (dice < 830) {
        if (c->is_alive)
            wish(w, c);
    } else if (dice < 850) {
        topics_change(w);
    } else if (dice < 860) {
        restarted(w);
    } else {
        bed_wait(&w->bed, prng_below(&w->prng, 3000));
    }
    (void)nexts_turn(&w->bed.nexts, w->bed.now);
    silent_stop(w);
    exclusive_check(w);
    epochs_check(w);
}

/* Everybody alive heartbeats until nothing changes. */
static void calm(struct world *w)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        w->clients[i].says_all = true; /* what it wants by now */
    for (int round = 0; round < 60; round++) {
        bed_wait(&w->bed, 5000);
        silent_stop(w);
        for (uint32_t i = 0; i < CLIENTS; i++)
            if (w->clients[i].is_alive) {
                beat(w, &w->clients[i]);
                (void)nexts_turn(&w->bed.nexts, w->bed.now);
                exclusive_check(w);
                epochs_check(w);
            }
    }
}

static void used_check(const struct world *w)
{
    const struct group_next *g = w->bed.group;
    for (uint32_t i = 0; i < g->topics_n; i++)
        for (int32_t p = 0; p < g->topics[i]->partitions_n; p++) {
            const struct next_member *owner = next_owner(g, &g->topics[i]->id, p);
            if (owner == NULL)
                fail_msg("%.*s-%d is nobody's", (int)g->topics[i]->name.n,
                         (const char *)g->topics[i]->name.ptr, p);
        }
    assert_true(g->members_n == 0 || group_next_state(g) == NEXT_SETTLED);
}

static void random_schedules_keep_every_promise(void **state)
{
    static struct world w;
    uint32_t restarts = 0, lost = 0, fenced = 0, epochs = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        memset(&w, 0, sizeof w);
        bed_init(&w.bed, seed);
        w.bed.nexts.config.assignment_interval_ms = w.bed.config.assignment_interval_ms =
            seed % 2 == 0 ? 0 : 1000;
        prng_init(&w.prng, seed * 7919);
        bed_topic_add(&w.bed, "t0", 1 + (int32_t)prng_below(&w.prng, 12));
        for (uint32_t i = 0; i < CLIENTS; i++)
            w.clients[i].is_static = prng_chance(&w.prng, 25);
        for (int i = 0; i < STEPS; i++)
            step(&w);
        calm(&w);
        used_check(&w);
        restarts += w.restarts;
        lost += w.lost;
        fenced += w.fenced;
        epochs += (uint32_t)w.bed.group->epoch;
        for (uint32_t i = 0; i < CLIENTS; i++)
            forget(&w.clients[i]);
        bed_fini(&w.bed);
    }
    print_message("%d schedules: %u restarts, %u lost answers, %u fenced, %u group epochs\n", SEEDS,
                  restarts, lost, fenced, epochs);
    assert_true(restarts > 100 && lost > 500 && fenced > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(random_schedules_keep_every_promise)};
    return TESTS_RUN(tests);
}
