/*
 * bench_longest.c - the longest turn of control while large things happen: rebalances of 1,000
 * members over 10,000 partitions, topics of 10,000 partitions, 100,000 groups.
 *
 *   bench_longest               milliseconds of the longest turn of each case, and its turns
 *   bench_longest count N       every case once and nothing else: tools/budget.py finds the longest
 *                               turn of each, in instructions
 *   bench_longest count N PART  only the cases with that in their names
 *
 * Owner: the program. Everybody asks at once: nothing here spreads the load but control itself.
 */
#include "group_members.h"

enum {
    WIDE_N = 10000,    /* partitions of one topic */
    GROUPS_N = 100000, /* classic groups with one offset each */
    FETCH_N = 30000,   /* of them in one OffsetFetch: a request has at most 2 MiB of them */
    NAMES_N = 100,     /* topics that a member of the mixed group may name; it names every third */
};

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(name) (void)(name)
#endif

static const char *case_now;

/* A turn whose instructions count for case_now; outside callgrind a turn like any other. */
static void counted(void)
{
    CALLGRIND_ZERO_STATS;
    (void)control_turn(rig.control, rig.now);
    CALLGRIND_DUMP_STATS_AT(case_now);
}

/* The request, and turns until it is answered. */
static void *ask(struct control_op *op, int16_t key, int16_t version, const void *request)
{
    rig_send(&rig, op, key, version, request);
    for (int i = 0; i < 100000 && !op->mail.is_answer; i++)
        turn();
    check(op->mail.is_answer);
    rig.orders_n = 0;
    return op->response;
}

static struct member *members_new(const char *group, bool is_next)
{
    struct member *all = calloc(MEMBERS_N, sizeof *all);
    check(all != NULL);
    for (int i = 0; i < MEMBERS_N; i++) {
        snprintf(all[i].group, sizeof all[i].group, "%s", group);
        if (is_next)
            snprintf(all[i].id, sizeof all[i].id, "member-%d", i);
    }
    return all;
}

static void each_send(struct member *all, void (*one)(struct member *))
{
    for (int i = 0; i < MEMBERS_N; i++)
        one(&all[i]);
}

/* ── classic ── */

static void leave_send(struct member *m)
{
    m->request.leave = (struct leave_group_request){.group_id = bytes_of_string(m->group),
                                                    .member_id = bytes_of_string(m->id)};
    send(m, 13, 2);
}

static void generation(struct member *all)
{
    each_send(all, join_send);
    wait_all(all, MEMBERS_N, joined);
    plan_make(all);
    struct member *leader = leader_of(all);
    for (int i = 0; i < MEMBERS_N; i++)
        sync_send(&all[i], &all[i] == leader ? plan : NULL, &all[i] == leader ? MEMBERS_N : 0);
    wait_all(all, MEMBERS_N, done);
}

/* Join at once, again when the leader asks, leave at once. */
static void classic_1000(void)
{
    struct member *all = members_new("classic", false);
    generation(all);
    struct member *leader = leader_of(all), first = all[0];
    if (leader != &all[0]) { /* the leader's JoinGroup begins a rebalance */
        memcpy(all[0].id, leader->id, sizeof first.id);
        memcpy(leader->id, first.id, sizeof first.id);
    }
    generation(all);
    each_send(all, heartbeat_send);
    wait_all(all, MEMBERS_N, done);
    each_send(all, leave_send);
    wait_all(all, MEMBERS_N, done);
    free(all);
}

/* ── KIP-848 ── */

/* Heartbeats until everybody has what it should have, at most `rounds_n` of each. */
static void rounds(struct member *all, int rounds_n, void (*one)(struct member *))
{
    for (int i = 0; i < rounds_n; i++) {
        each_send(all, one);
        wait_all(all, MEMBERS_N, beaten);
        void (*before)(void) = turn_run;
        turn_run = turn_plain;
        turns(i == 0 ? 1001 : 20); /* group.consumer.assignment.interval.ms */
        turn_run = before;
    }
}

static void members_end(struct member *all)
{
    for (int i = 0; i < MEMBERS_N; i++)
        all[i].generation = -1;
    each_send(all, beat_send);
    wait_all(all, MEMBERS_N, done);
    for (int i = 0; i < MEMBERS_N; i++) {
        free(all[i].owned);
        free(all[i].numbers);
    }
    free(all);
}

/* Equal subscriptions: join at once, one leaves, all leave at once. */
static void consumer_1000(void)
{
    struct member *all = members_new("consumer", true);
    rounds(all, 6, beat_send);
    struct member one = all[7];
    all[7].generation = -1;
    beat_send(&all[7]);
    wait_all(&all[7], 1, done);
    memset(&all[7], 0, sizeof all[7]);
    memcpy(all[7].group, one.group, sizeof one.group);
    memcpy(all[7].id, one.id, sizeof one.id);
    rounds(all, 6, beat_send);
    members_end(all);
}

static void mixed_send(struct member *m)
{
    static struct bytes some[3][NAMES_N];
    int from = (int)((m->id[strlen(m->id) - 1] - '0') % 3), n = 0;
    for (int i = from; i < NAMES_N; i += 3)
        some[from][n++] = names[i];
    beat_send(m);
    if (m->generation != 0)
        return;
    m->request.beat.subscribed_topic_names = some[from];
    m->request.beat.subscribed_topic_names_n = n;
}

/* Different subscriptions. */
static void consumer_mixed_1000(void)
{
    struct member *all = members_new("mixed", true);
    rounds(all, 6, mixed_send);
    members_end(all);
}

/* A classic group of 1,000 becomes a KIP-848 group in one heartbeat. */
static void migrate_1000(void)
{
    struct member *all = members_new("migrate", false), *one = calloc(1, sizeof *one);
    check(one != NULL);
    turn_run = turn_plain;
    generation(all);
    turn_run = counted;
    snprintf(one->group, sizeof one->group, "migrate");
    snprintf(one->id, sizeof one->id, "newcomer");
    beat_send(one);
    wait_all(one, 1, beaten);
    turns(1100);
    for (int i = 0; i < 3; i++) {
        beat_send(one);
        wait_all(one, 1, beaten);
        each_send(all, heartbeat_send);
        wait_all(all, MEMBERS_N, done);
    }
    one->generation = -1;
    beat_send(one);
    wait_all(one, 1, done);
    turns(20);
    free(one->owned);
    free(one->numbers);
    free(one);
    each_send(all, leave_send);
    wait_all(all, MEMBERS_N, done);
    free(all);
}

/* ── members that vanish ── */

/* Uncounted, in steps of 100 ms. */
static void time_pass(int64_t ms)
{
    void (*before)(void) = turn_run;
    turn_run = turn_plain;
    for (int64_t i = 0; i < ms; i += 100) {
        rig.now.ns += 99 * NS_PER_MS;
        rig.now.wall_ms += 99;
        turn();
    }
    turn_run = before;
}

/* Nobody of 1,000 classic members and 1,000 of KIP-848 is heard of again. */
static void vanish_1000(void)
{
    struct member *all = members_new("gone", false), *next = members_new("gone-too", true);
    void (*before)(void) = turn_run;
    turn_run = turn_plain;
    generation(all);
    rounds(next, 6, beat_send);
    turn_run = before;
    time_pass(44000);
    turns(2000);
    check(rig.control->coordinator->nexts.members_n == 0);
    time_pass(1800000 - 50000);
    turns(10000);
    check(rig.control->coordinator->groups.members_n == 0);
    for (int i = 0; i < MEMBERS_N; i++) {
        free(next[i].owned);
        free(next[i].numbers);
    }
    free(all);
    free(next);
}

/* ── topics ── */

static void create_10000(void)
{
    struct control_op op;
    struct create_topics_request_topics topic = rig_topic("wide", WIDE_N - 1, 1);
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    struct create_topics_response *r = ask(&op, 19, 7, &request);
    check(r != NULL && r->topics[0].error_code == 0);
    arena_fini(&op.arena);
    struct create_partitions_request_topics more = {
        .name = bytes_of_string("wide"), .count = WIDE_N, .assignments_n = -1};
    struct create_partitions_request grow = {.topics = &more, .topics_n = 1};
    struct create_partitions_response *g = ask(&op, 37, 3, &grow);
    check(g != NULL && g->results[0].error_code == 0);
    arena_fini(&op.arena);
}

/* One partition becomes WIDE_N. */
static void grow_10000(void)
{
    struct control_op op;
    struct create_topics_request_topics topic = rig_topic("grows", 1, 1);
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    struct create_topics_response *r = ask(&op, 19, 7, &request);
    check(r != NULL && r->topics[0].error_code == 0);
    arena_fini(&op.arena);
    struct create_partitions_request_topics more = {
        .name = bytes_of_string("grows"), .count = WIDE_N, .assignments_n = -1};
    struct create_partitions_request grow = {.topics = &more, .topics_n = 1};
    struct create_partitions_response *g = ask(&op, 37, 3, &grow);
    check(g != NULL && g->results[0].error_code == 0);
    arena_fini(&op.arena);
}

/* As many topics as one batch of metadata takes, of one partition each. */
enum { SINGLES_N = 5000 };
static char single_texts[SINGLES_N][16];

static void create_5000(void)
{
    static struct create_topics_request_topics topics[SINGLES_N];
    struct control_op op;
    for (int i = 0; i < SINGLES_N; i++) {
        snprintf(single_texts[i], sizeof single_texts[i], "single-%05d", i);
        topics[i] = rig_topic(single_texts[i], 1, 1);
    }
    struct create_topics_request request = {.topics = topics, .topics_n = SINGLES_N};
    struct create_topics_response *r = ask(&op, 19, 7, &request);
    check(r != NULL && r->topics[SINGLES_N - 1].error_code == 0);
    arena_fini(&op.arena);
}

static void delete_5000(void)
{
    static struct delete_topics_request_topics topics[SINGLES_N];
    struct control_op op;
    for (int i = 0; i < SINGLES_N; i++)
        topics[i].name = bytes_of_string(single_texts[i]);
    struct delete_topics_request request = {.topics = topics, .topics_n = SINGLES_N};
    struct delete_topics_response *r = ask(&op, 20, 6, &request);
    check(r != NULL && r->responses[SINGLES_N - 1].error_code == 0);
    arena_fini(&op.arena);
    turns(2000);
}

static int32_t wide_numbers[WIDE_N];

/* One group commits for all of them, reads them one by one and as a whole. */
static void offsets_10000(void)
{
    static struct offset_commit_request_topics_partitions commits[WIDE_N];
    struct control_op op;
    for (int i = 0; i < WIDE_N; i++) {
        wide_numbers[i] = i;
        commits[i] = (struct offset_commit_request_topics_partitions){i, i, -1, {NULL, 0}};
    }
    struct bytes group = bytes_of_string("wide-group"), wide = bytes_of_string("wide");
    struct offset_commit_request_topics t = {
        .name = wide, .partitions = commits, .partitions_n = WIDE_N};
    struct offset_commit_request commit = {.group_id = group,
                                           .generation_id_or_member_epoch = -1,
                                           .retention_time_ms = -1,
                                           .topics = &t,
                                           .topics_n = 1};
    struct offset_commit_response *c = ask(&op, 8, 8, &commit);
    check(c != NULL && c->topics[0].partitions[WIDE_N - 1].error_code == 0);
    arena_fini(&op.arena);
    struct offset_fetch_request_groups_topics named = {
        .name = wide, .partition_indexes = wide_numbers, .partition_indexes_n = WIDE_N};
    struct offset_fetch_request_groups of = {
        .group_id = group, .member_epoch = -1, .topics = &named, .topics_n = 1};
    struct offset_fetch_request fetch = {.groups = &of, .groups_n = 1};
    for (int all = 0; all < 2; all++) {
        of.topics_n = all ? -1 : 1;
        struct offset_fetch_response *f = ask(&op, 9, 8, &fetch);
        check(f != NULL && f->groups[0].topics_n == 1);
        check(f->groups[0].topics[0].partitions_n == WIDE_N);
        arena_fini(&op.arena);
    }
}

/* Its logs are dropped and the offsets in it forgotten. */
static void delete_10000(void)
{
    struct control_op op;
    struct delete_topics_request_topics topic = {.name = bytes_of_string("wide")};
    struct delete_topics_request request = {.topics = &topic, .topics_n = 1};
    struct delete_topics_response *r = ask(&op, 20, 6, &request);
    check(r != NULL && r->responses[0].error_code == 0);
    arena_fini(&op.arena);
    turns(2000);
    check(rig.control->coordinator->sweep_writes_n == 0);
}

/* ── 100,000 groups ── */

static struct bytes group_names[GROUPS_N];
static char group_texts[GROUPS_N][16];

static void groups_make(void)
{
    struct control_op op;
    struct offset_commit_request_topics_partitions p = {0, 7, -1, {NULL, 0}};
    struct offset_commit_request_topics t = {.name = names[0], .partitions = &p, .partitions_n = 1};
    for (int i = 0; i < GROUPS_N; i++) {
        snprintf(group_texts[i], sizeof group_texts[i], "many-%06d", i);
        group_names[i] = bytes_of_string(group_texts[i]);
        struct offset_commit_request commit = {.group_id = group_names[i],
                                               .generation_id_or_member_epoch = -1,
                                               .retention_time_ms = -1,
                                               .topics = &t,
                                               .topics_n = 1};
        struct offset_commit_response *c = ask(&op, 8, 8, &commit);
        check(c != NULL && c->topics[0].partitions[0].error_code == 0);
        arena_fini(&op.arena);
    }
}

static void list_100000(void)
{
    struct control_op op;
    struct list_groups_request request = {0};
    struct list_groups_response *r = ask(&op, 16, 5, &request);
    check(r != NULL && r->groups_n >= GROUPS_N);
    arena_fini(&op.arena);
}

static void describe_100000(void)
{
    struct control_op op;
    struct describe_groups_request request = {.groups = group_names, .groups_n = GROUPS_N};
    struct describe_groups_response *r = ask(&op, 15, 6, &request);
    check(r != NULL && r->groups_n == GROUPS_N && r->groups[GROUPS_N - 1].error_code == 0);
    arena_fini(&op.arena);
    struct consumer_group_describe_request next = {.group_ids = group_names,
                                                   .group_ids_n = GROUPS_N};
    struct consumer_group_describe_response *n = ask(&op, 69, 1, &next);
    check(n != NULL && n->groups_n == GROUPS_N);
    arena_fini(&op.arena);
}

static void fetch_30000(void)
{
    struct control_op op;
    struct offset_fetch_request_groups *all = calloc(FETCH_N, sizeof *all);
    check(all != NULL);
    for (int i = 0; i < FETCH_N; i++)
        all[i] = (struct offset_fetch_request_groups){
            .group_id = group_names[i], .member_epoch = -1, .topics_n = -1};
    struct offset_fetch_request request = {.groups = all, .groups_n = FETCH_N};
    struct offset_fetch_response *r = ask(&op, 9, 8, &request);
    check(r != NULL && r->groups_n == FETCH_N && r->groups[FETCH_N - 1].topics_n == 1);
    arena_fini(&op.arena);
    free(all);
}

/* Half of them are deleted, the rest expires. */
static void delete_groups_50000(void)
{
    struct control_op op;
    struct delete_groups_request request = {group_names, GROUPS_N / 2};
    struct delete_groups_response *r = ask(&op, 42, 2, &request);
    check(r != NULL && r->results_n == GROUPS_N / 2 && r->results[7].error_code == 0);
    arena_fini(&op.arena);
}

static void expire_50000(void)
{
    rig.now.wall_ms += 8LL * 24 * 3600 * 1000;
    rig.now.ns += 601 * NS_PER_S;
    while (timers_run(&rig.timers, rig.now, 1000) > 0) {
        /* ten minutes of them are no part of the turns */
    }
    for (int i = 0; i < 20000 && rig.control->coordinator->groups.groups_n > 0; i++)
        turn();
    check(rig.control->coordinator->groups.groups_n == 0);
}

/* ── the program ── */

static const struct scenario {
    const char *what, *name; /* NULL: it only prepares others */
    void (*run)(void);
} scenarios[] = {
    {"1,000 classic members: join, rebalance, leave", "classic_1000_longest", classic_1000},
    {"1,000 of KIP-848: join, one leaves, leave", "consumer_1000_longest", consumer_1000},
    {"1,000 of KIP-848, different subscriptions", "consumer_mixed_1000_longest",
     consumer_mixed_1000},
    {"1,000 classic members migrate and back", "migrate_1000_longest", migrate_1000},
    {"1,000 members of each protocol vanish", "vanish_1000_longest", vanish_1000},
    {"10,000 partitions are created", "create_10000_longest", create_10000},
    {"10,000 partitions are added to a topic", "grow_10000_longest", grow_10000},
    {"5,000 topics are created", "create_5000_topics_longest", create_5000},
    {"5,000 topics are deleted", "delete_5000_topics_longest", delete_5000},
    {"10,000 offsets committed and read", "offsets_10000_longest", offsets_10000},
    {"10,000 partitions are deleted", "delete_10000_longest", delete_10000},
    {"100,000 groups are made", NULL, groups_make},
    {"100,000 groups are listed", "list_100000_longest", list_100000},
    {"100,000 groups are described", "describe_100000_longest", describe_100000},
    {"offsets of 30,000 groups are read", "fetch_30000_longest", fetch_30000},
    {"50,000 groups are deleted", "delete_groups_50000_longest", delete_groups_50000},
    {"50,000 groups expire", "expire_50000_longest", expire_50000},
};

int main(int argc, char **argv)
{
    bool is_count = argc >= 3 && strcmp(argv[1], "count") == 0;
    const char *only = argc == 4 ? argv[3] : NULL;
    start();
    for (size_t i = 0; i < array_n(scenarios); i++) {
        longest_ns = turns_n = 0;
        case_now = scenarios[i].name;
        if (only != NULL && (case_now == NULL || strstr(case_now, only) == NULL))
            continue;
        turn_run = is_count && case_now != NULL ? counted : turn_plain;
        scenarios[i].run();
        turn_run = turn_plain;
        if (!is_count)
            printf("longest turn, %-46s %8.3f ms of %llu turns\n", scenarios[i].what,
                   (double)longest_ns / 1e6, (unsigned long long)turns_n);
        turns(20);
    }
    rig_fini(&rig);
    return 0;
}
