/*
 * bench_groups.c - what consumer groups cost control: heartbeats of many groups, and the turns of a
 * rebalance of 1,000 members over 10,000 partitions, classic and KIP-848.
 *
 *   bench_groups          nanoseconds per heartbeat with 4,000 and 100,000 members, and the longest
 *                         turn of each scenario
 *   bench_groups heartbeats  the first of these alone
 *   bench_groups count N  every case N times and nothing else: tools/budget.py counts for it
 *
 * Owner: the program. Control whole over tests/unit/control/rig.h; the log answers at once. The
 * cases are the turns of a rebalance that do the most (measured: longest_turns below); each is in a
 * function that callgrind can name.
 */
#include "group_members.h"

enum { BURST_N = 100, /* heartbeats in one turn */ };

/* ── populations ── */

static struct member *population(int groups_n, const char *prefix, bool is_next)
{
    int n = groups_n * GROUP_MEMBERS_N;
    struct member *all = calloc((size_t)n, sizeof *all);
    check(all != NULL);
    for (int begin = 0; begin < n; begin += 4000) {
        int end = (int)min_i64(begin + 4000, n);
        for (int i = begin; i < end; i++) {
            snprintf(all[i].group, sizeof all[i].group, "%s-%d", prefix, i / GROUP_MEMBERS_N);
            if (is_next)
                snprintf(all[i].id, sizeof all[i].id, "member-%d", i);
            if (is_next)
                beat_send(&all[i]);
            else
                join_send(&all[i]);
        }
        wait_all(all + begin, end - begin, is_next ? beaten : joined);
        for (int round = 0; is_next && round < 5; round++) {
            turns(round == 0 ? 1001 : 1); /* group.consumer.assignment.interval.ms */
            for (int i = begin; i < end; i++)
                beat_send(&all[i]);
            wait_all(all + begin, end - begin, beaten);
        }
        for (int i = begin; !is_next && i < end; i++)
            sync_send(&all[i], NULL, 0);
        if (!is_next)
            wait_all(all + begin, end - begin, done);
    }
    return all;
}

/* ── heartbeats ── */

/* The name makes each function another one: the compiler folds those that are equal. */
static const char *case_now;
#define CASE(name)                                \
    static noinline void case_##name(void)        \
    {                                             \
        case_now = #name;                         \
        (void)control_turn(rig.control, rig.now); \
    }
CASE(heartbeats_100_classic)
CASE(heartbeats_100_consumer)
CASE(join_last_of_1000_rare)
CASE(sync_leader_of_1000_rare)
CASE(sync_durable_of_1000_rare)
CASE(joins_64_of_1000_rare)
CASE(consumer_joins_100_of_1000_rare)
CASE(consumer_beats_100_of_1000_rare)
CASE(consumer_assign_to_1000_rare)

/* BURST_N heartbeats in one turn, which is `of`'s; nanoseconds of it. */
static uint64_t burst(struct member *all, int n, bool is_next, void (*of)(void))
{
    static int at;
    struct member *sent[BURST_N];
    for (int i = 0; i < BURST_N; i++) {
        at = (int)(((unsigned)at + 7919u) % (unsigned)n);
        sent[i] = &all[at];
        if (is_next)
            beat_send(sent[i]);
        else
            heartbeat_send(sent[i]);
    }
    uint64_t begin_ns = clock_read_ns();
    of();
    uint64_t spent_ns = clock_read_ns() - begin_ns;
    turn();
    for (int i = 0; i < BURST_N; i++) {
        const struct heartbeat_response *r = sent[i]->op.response;
        check(sent[i]->op.mail.is_answer && (is_next || r->error_code == 0));
        done(sent[i]);
    }
    return spent_ns;
}

/* ── a rebalance of 1,000 classic members ── */

/* Everybody joins again; is_counted: the named turns run in their functions. */
static void classic_rebalance(struct member *all, bool is_counted)
{
    struct member *leader = NULL;
    int n = MEMBERS_N - 1;
    if (all[0].id[0] != 0) { /* the leader asks first: it makes the rebalance begin */
        leader = leader_of(all);
        struct member first = all[0];
        if (leader != &all[0]) {
            memcpy(all[0].id, leader->id, sizeof first.id);
            memcpy(leader->id, first.id, sizeof first.id);
        }
    }
    for (int i = 0; i < n; i++) {
        join_send(&all[i]);
        if (i % 64 != 63)
            continue;
        if (is_counted && i == 639)
            case_joins_64_of_1000_rare();
        turns(3);
    }
    turns(10);
    join_send(&all[n]);
    if (is_counted)
        case_join_last_of_1000_rare();
    wait_all(all, MEMBERS_N, joined);
    leader = leader_of(all);
    plan_make(all);
    for (int i = 0; i < MEMBERS_N; i++) {
        if (&all[i] != leader)
            sync_send(&all[i], NULL, 0);
        if (i % 64 == 63)
            turns(3);
    }
    turns(40);
    sync_send(leader, plan, MEMBERS_N);
    if (is_counted)
        case_sync_leader_of_1000_rare(); /* control's: the records leave */
    rig_turn(&rig);                      /* the worker's answer */
    if (is_counted)
        case_sync_durable_of_1000_rare();
    wait_all(all, MEMBERS_N, done);
}

/* ── 1,000 members of KIP-848 ── */

static struct member *consumers_join(struct member *all, const char *group, bool is_counted)
{
    for (int i = 0; i < MEMBERS_N; i++) {
        snprintf(all[i].group, sizeof all[i].group, "%s", group);
        snprintf(all[i].id, sizeof all[i].id, "member-%d", i);
        all[i].generation = 0;
        beat_send(&all[i]);
        if (i % BURST_N != BURST_N - 1)
            continue;
        if (is_counted && i == 499)
            case_consumer_joins_100_of_1000_rare();
        turns(3);
    }
    wait_all(all, MEMBERS_N, beaten);
    turns(1001); /* group.consumer.assignment.interval.ms */
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < MEMBERS_N; i++) {
            beat_send(&all[i]);
            if (i % BURST_N != BURST_N - 1)
                continue;
            if (is_counted && round == 0 && i == BURST_N - 1)
                case_consumer_assign_to_1000_rare();
            if (is_counted && round == 1 && i == 499)
                case_consumer_beats_100_of_1000_rare();
            turns(3);
        }
        wait_all(all, MEMBERS_N, beaten);
    }
    return all;
}

static void consumers_leave(struct member *all)
{
    for (int i = 0; i < MEMBERS_N; i++) {
        all[i].generation = -1;
        beat_send(&all[i]);
        if (i % BURST_N == BURST_N - 1)
            turns(3);
    }
    wait_all(all, MEMBERS_N, done);
}

/* ── the program ── */

static void count(long rounds_n)
{
    struct member *classic = population(1000, "c", false), *next = population(1000, "n", true);
    struct member *large = calloc(MEMBERS_N, sizeof *large);
    check(large != NULL);
    for (long n = 0; n < rounds_n; n++) {
        (void)burst(classic, 4000, false, case_heartbeats_100_classic);
        (void)burst(next, 4000, true, case_heartbeats_100_consumer);
    }
    for (int i = 0; i < MEMBERS_N; i++)
        snprintf(large[i].group, sizeof large[i].group, "large");
    classic_rebalance(large, false);
    for (long n = 0; n < rounds_n / RARE; n++)
        classic_rebalance(large, true);
    for (long n = 0; n < rounds_n / RARE; n++) {
        consumers_join(large, "next", true);
        consumers_leave(large);
    }
    free(classic);
    free(next);
    free(large);
}

static void heartbeats_print(int groups_n)
{
    char prefix[2][16] = {"", ""};
    for (int is_next = 0; is_next < 2; is_next++) {
        uint64_t spent_ns = 0;
        enum { ROUNDS_N = 200 };
        snprintf(prefix[is_next], sizeof prefix[0], "%c%d", is_next ? 'n' : 'c', groups_n);
        struct member *all = population(groups_n, prefix[is_next], is_next);
        for (int i = 0; i < ROUNDS_N; i++)
            spent_ns += burst(all, groups_n * GROUP_MEMBERS_N, is_next,
                              is_next ? case_heartbeats_100_consumer : case_heartbeats_100_classic);
        double each = (double)spent_ns / ROUNDS_N / BURST_N;
        printf(
            "groups heartbeat %-8s %6d members  %7.0f ns each; one every 3 s: %5.2f %% of a core\n",
            is_next ? "consumer" : "classic", groups_n * GROUP_MEMBERS_N, each,
            each * groups_n * GROUP_MEMBERS_N / 3e9 * 100);
        free(all);
    }
}

static void longest_print(const char *what)
{
    printf("groups longest turn, %-44s %8.3f ms of %llu turns\n", what, (double)longest_ns / 1e6,
           (unsigned long long)turns_n);
    longest_ns = turns_n = 0;
}

/* 1,000 groups of 4 members, then 25,000. */
static void heartbeats_all(void)
{
    heartbeats_print(1000);
    longest_print("4,000 members of each protocol");
    heartbeats_print(25000);
    longest_print("100,000 members of each protocol");
}

static void print(void)
{
    struct member *large = calloc(MEMBERS_N, sizeof *large);
    check(large != NULL);
    longest_ns = turns_n = 0;
    for (int i = 0; i < MEMBERS_N; i++)
        snprintf(large[i].group, sizeof large[i].group, "large");
    classic_rebalance(large, false);
    longest_print("1,000 classic members join at once");
    classic_rebalance(large, false);
    longest_print("1,000 classic members rebalance");
    consumers_join(large, "next", false);
    longest_print("1,000 members of KIP-848 join at once");
    consumers_leave(large);
    longest_print("1,000 members of KIP-848 leave at once");
    free(large);
    heartbeats_all();
}

int main(int argc, char **argv)
{
    bool is_count = argc == 3 && strcmp(argv[1], "count") == 0;
    start();
    if (is_count)
        count(strtol(argv[2], NULL, 10));
    else if (argc == 2 && strcmp(argv[1], "heartbeats") == 0)
        heartbeats_all();
    else
        print();
    rig_fini(&rig);
    return 0;
}
