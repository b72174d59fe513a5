/* group_random_test.c - the classic group protocol under random schedules of up to 20 clients. */
#include "group_bed.h"

/* ── random schedules ──
 * Up to 20 clients that follow the protocol, with losses, leaves, silence, slow and failing
 * appends. Whatever happens: at a time all who hold an assignment of the newest generation were
 * told it by one leader; when everybody behaves again the group becomes stable with exactly the
 * live ones; every request has been answered. */

enum { CLIENTS_MAX = 20 };

struct client {
    struct bytes id;
    int32_t generation;
    struct asked *join, *sync;
    bool is_alive, is_member;
    uint64_t assigned; /* which assignment round of the leader, 0 none */
};
static struct client clients[CLIENTS_MAX];

static void client_join(struct client *c)
{
    c->sync = NULL;
    c->assigned = 0;
    c->is_member = false;
    c->join = join(c->id, "m");
}

static void client_forget(struct client *c)
{
    c->id = bytes_of("", 0);
    client_join(c);
}

static void client_joined(struct client *c)
{
    const struct join_group_response *r = joined(c->join);
    c->join = NULL;
    if (r->error_code == KAFKA_MEMBER_ID_REQUIRED) {
        c->id = r->member_id;
        client_join(c);
    } else if (r->error_code == KAFKA_REBALANCE_IN_PROGRESS) {
        client_join(c);
    } else if (r->error_code != 0) {
        client_forget(c);
    } else {
        c->generation = r->generation_id;
        c->sync = sync_of(c->id, c->generation);
        bool leads = bytes_equal(r->leader, c->id);
        assert_true(leads == (r->members_n > 0));
        for (int32_t i = 0; i < r->members_n; i++)
            assign(c->sync, r->members[i].member_id, "plan");
        sync_send(c->sync);
    }
}

static void client_synced(struct client *c)
{
    const struct sync_group_response *r = synced(c->sync);
    c->sync = NULL;
    if (r->error_code == KAFKA_UNKNOWN_MEMBER_ID)
        client_forget(c);
    else if (r->error_code != 0)
        client_join(c);
    else {
        c->is_member = true;
        assert_true(r->assignment.n == 4);
    }
}

static void client_step(struct client *c)
{
    if (c->join != NULL && c->join->is_answered)
        client_joined(c);
    else if (c->sync != NULL && c->sync->is_answered)
        client_synced(c);
    else if (c->join == NULL && c->sync == NULL) {
        int16_t e = heartbeat(c->id, c->generation);
        if (e == KAFKA_UNKNOWN_MEMBER_ID)
            client_forget(c);
        else if (e != 0)
            client_join(c);
    }
}

static void client_die(struct client *c, bool politely)
{
    if (politely && c->is_member)
        leave(c->id, NULL);
    if (c->join != NULL && !c->join->is_answered)
        groups_cancel(&bed.groups, &c->join->op);
    if (c->sync != NULL && !c->sync->is_answered)
        groups_cancel(&bed.groups, &c->sync->op);
    *c = (struct client){0};
    invariants();
}

static void random_event(struct prng *p, uint32_t n)
{
    struct client *c = &clients[prng_below(p, n)];
    uint64_t what = prng_below(p, 100);
    if (!c->is_alive && what < 10) {
        c->is_alive = true;
        client_forget(c);
    } else if (c->is_alive && what < 2) {
        client_die(c, what == 0);
    } else if (what < 20) {
        append_end(what == 19 ? KAFKA_NOT_COORDINATOR : 0);
    } else if (what < 25) {
        pass(prng_below(p, 3000));
    } else if (c->is_alive) {
        client_step(c);
    }
}

/* Everybody behaves; the group must come to rest with exactly those who live. */
static void settle(uint32_t n)
{
    uint32_t alive_n = 0;
    for (int round = 0; round < 300; round++) {
        for (uint32_t i = 0; i < n; i++)
            if (clients[i].is_alive)
                client_step(&clients[i]);
        appends_end();
        pass(500);
    }
    for (uint32_t i = 0; i < n; i++) {
        alive_n += clients[i].is_alive;
        if (clients[i].is_alive) {
            assert_true(clients[i].is_member);
            assert_int_equal(clients[i].generation, g()->generation);
        }
    }
    if (g() != NULL) {
        assert_int_equal(g()->members_n, alive_n);
        assert_int_equal(g()->state, alive_n > 0 ? GROUP_STABLE : GROUP_EMPTY);
    }
}

static void random_schedules_come_to_rest(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct prng p;
        teardown(state);
        begin(&usual);
        prng_init(&p, seed);
        memset(clients, 0, sizeof clients);
        uint32_t n = 1 + (uint32_t)prng_below(&p, CLIENTS_MAX);
        for (int i = 0; i < 1200 && bed.asked_n < 1200; i++)
            random_event(&p, n);
        for (uint32_t i = 4; i < n;
             i++) /* few are left, so that settling fits into OPS_MAX requests */
            if (clients[i].is_alive)
                client_die(&clients[i], false);
        settle(n);
        for (uint32_t i = 0; i < n; i++)
            if (clients[i].is_alive)
                client_die(&clients[i], true);
        appends_end();
        for (uint32_t i = 0; i < bed.asked_n; i++)
            assert_true(bed.asked[i]->is_answered);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {GROUP_TEST(random_schedules_come_to_rest)};
    return TESTS_RUN(tests);
}
