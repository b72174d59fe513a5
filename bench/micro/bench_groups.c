/*
 * bench_groups.c - what consumer groups cost control: heartbeats of many groups, and the turns of a
 * rebalance of 1,000 members over 10,000 partitions, classic and KIP-848.
 *
 *   bench_groups          nanoseconds per heartbeat with 4,000 and 100,000 members, and the longest
 *                         turn of each scenario
 *   bench_groups count N  every case N times and nothing else: tools/budget.py counts for it
 *
 * Owner: the program. Control whole over tests/unit/control/rig.h; the log answers at once. The
 * cases are the turns of a rebalance that do the most (measured: longest_turns below); each is in a
 * function that callgrind can name.
 */
#define RIG_PLAIN
#include "../../tests/unit/control/rig.h"

#include "clock.h"
#include "coordinator.h"
#include "group_protocol.h"

#define noinline __attribute__((noinline))

enum {
    TOPICS_N = 100,
    PARTITIONS_N = 100, /* of each topic */
    SMALL_N = 8,        /* of the topic that small groups read */
    MEMBERS_N = 1000,
    GROUP_MEMBERS_N = 4,
    BURST_N = 100, /* heartbeats in one turn */
    MEMBER_ID_BYTES = 80,
    RARE = 50, /* tools/budget.py knows */
};

/* A member as it sees itself, and its request under way. Owner: the program. */
struct member {
    char group[16], id[MEMBER_ID_BYTES];
    int32_t generation;
    bool is_leader;
    struct control_op op;
    union {
        struct join_group_request join;
        struct sync_group_request sync;
        struct heartbeat_request heartbeat;
        struct consumer_group_heartbeat_request beat;
    } request;
    struct join_group_request_protocols protocol;
    /* what it has, as it tells with its next heartbeat (KIP-848) */
    struct consumer_group_heartbeat_request_topic_partitions *owned;
    int32_t *numbers, owned_n;
};

static struct rig rig;
static uint64_t longest_ns, turns_n;
static uint8_t subscription_bytes[4096];
static struct bytes subscription, names[TOPICS_N], small;
static char name_texts[TOPICS_N][16];

/* ── the neighbours ── */

static void on_mail(struct rig *r, uint8_t worker, struct mail *mail)
{
    if (mail->kind == MAIL_COMMIT)
        container_of(mail, struct commit_op, mail)->error = 0;
    else if (mail->kind == MAIL_LOAD)
        container_of(mail, struct load_op, mail)->bytes = 0;
    else
        return;
    mail_answer(&r->posts[worker], mail);
}

static noinline void turn(void)
{
    uint64_t begin_ns = clock_read_ns();
    rig_turn(&rig);
    longest_ns = max_u64(longest_ns, clock_read_ns() - begin_ns);
    turns_n++;
}

static void turns(int n)
{
    while (n-- > 0)
        turn();
}

static void start(void)
{
    static const char *const settings[] = {"offsets.topic.num.partitions=50",
                                           "group.initial.rebalance.delay.ms=200",
                                           "groups.bytes.max=4294967296"};
    struct control_op op;
    struct find_coordinator_request q = {.key = bytes_of_string("g")};
    rig_init(&rig, 1);
    for (uint32_t i = 0; i < array_n(settings); i++)
        rig_override(&rig, settings[i]);
    check(rig_start(&rig) == 0);
    rig.on_mail = on_mail;
    check(rig_ask(&rig, &op, 10, 3, &q) != NULL);
    arena_fini(&op.arena);
    for (int i = 0; i < TOPICS_N; i++) {
        snprintf(name_texts[i], sizeof name_texts[i], "topic-%04d", i);
        names[i] = bytes_of_string(name_texts[i]);
        check(rig_create(&rig, name_texts[i], PARTITIONS_N) == 0);
    }
    small = bytes_of_string("small");
    check(rig_create(&rig, "small", SMALL_N) == 0);
    struct consumer_protocol_subscription s = {.topics = names, .topics_n = TOPICS_N};
    int64_t n = proto_size(&proto_consumer_protocol_subscription, 1, &s);
    check(n > 0 && (size_t)n + 2 <= sizeof subscription_bytes);
    store_u16(subscription_bytes, 1);
    check(proto_encode_flat(&proto_consumer_protocol_subscription, 1, &s, subscription_bytes + 2,
                            (uint64_t)n) == 0);
    subscription = bytes_of(subscription_bytes, (size_t)n + 2);
    turns(200);
}

/* ── requests ── */

static void send(struct member *m, int16_t key, int16_t version)
{
    rig_send(&rig, &m->op, key, version, &m->request);
}

static void join_send(struct member *m)
{
    m->protocol = (struct join_group_request_protocols){bytes_of_string("range"), subscription};
    m->request.join = (struct join_group_request){.group_id = bytes_of_string(m->group),
                                                  .session_timeout_ms = 1800000,
                                                  .rebalance_timeout_ms = 600000,
                                                  .member_id = bytes_of_string(m->id),
                                                  .protocol_type = bytes_of_string("consumer"),
                                                  .protocols = &m->protocol,
                                                  .protocols_n = 1};
    send(m, 11, 3);
}

static void joined(struct member *m)
{
    const struct join_group_response *r = m->op.response;
    check(m->op.mail.is_answer && r->error_code == 0 && r->member_id.n < MEMBER_ID_BYTES);
    memcpy(m->id, r->member_id.ptr, r->member_id.n);
    m->id[r->member_id.n] = '\0';
    m->generation = r->generation_id;
    m->is_leader = bytes_equal(r->leader, r->member_id);
    arena_fini(&m->op.arena);
}

static void sync_send(struct member *m, const struct sync_group_request_assignments *all, int32_t n)
{
    m->request.sync = (struct sync_group_request){
        .group_id = bytes_of_string(m->group),
        .generation_id = m->generation,
        .member_id = bytes_of_string(m->id),
        .assignments = (struct sync_group_request_assignments *)(uintptr_t)all,
        .assignments_n = n};
    send(m, 14, 3);
}

static void heartbeat_send(struct member *m)
{
    m->request.heartbeat = (struct heartbeat_request){
        bytes_of_string(m->group), m->generation, bytes_of_string(m->id), {NULL, 0}};
    send(m, 12, 4);
}

static void beat_send(struct member *m)
{
    bool is_join = m->generation == 0, is_small = m->group[0] == 'n' && m->group[1] != 'e';
    m->request.beat = (struct consumer_group_heartbeat_request){
        .group_id = bytes_of_string(m->group),
        .member_id = bytes_of_string(m->id),
        .member_epoch = m->generation,
        .rebalance_timeout_ms = is_join ? 600000 : -1,
        .subscribed_topic_names = is_small ? &small : names,
        .subscribed_topic_names_n = !is_join   ? -1
                                    : is_small ? 1
                                               : TOPICS_N,
        .topic_partitions = m->owned,
        .topic_partitions_n = is_join            ? 0
                              : m->owned == NULL ? -1
                                                 : m->owned_n};
    send(m, 68, 1);
}

static void done(struct member *m)
{
    check(m->op.mail.is_answer);
    arena_fini(&m->op.arena);
}

static void owned_keep(struct member *m,
                       const struct consumer_group_heartbeat_response_assignment *a)
{
    uint32_t n = 0;
    for (int32_t i = 0; i < a->topic_partitions_n; i++)
        n += (uint32_t)a->topic_partitions[i].partitions_n;
    m->owned = calloc((size_t)a->topic_partitions_n + 1, sizeof *m->owned);
    m->numbers = calloc(n + 1, sizeof *m->numbers);
    check(m->owned != NULL && m->numbers != NULL);
    m->owned_n = a->topic_partitions_n;
    n = 0;
    for (int32_t i = 0; i < a->topic_partitions_n; i++) {
        int32_t here_n = a->topic_partitions[i].partitions_n;
        memcpy(m->numbers + n, a->topic_partitions[i].partitions,
               (size_t)here_n * sizeof *m->numbers);
        m->owned[i] = (struct consumer_group_heartbeat_request_topic_partitions){
            a->topic_partitions[i].topic_id, m->numbers + n, here_n};
        n += (uint32_t)here_n;
    }
}

static void beaten(struct member *m)
{
    const struct consumer_group_heartbeat_response *r = m->op.response;
    check(m->op.mail.is_answer && r->error_code == 0);
    m->generation = r->member_epoch;
    free(m->owned); /* said once */
    free(m->numbers);
    m->owned = NULL;
    m->numbers = NULL;
    if (r->assignment != NULL)
        owned_keep(m, r->assignment);
    arena_fini(&m->op.arena);
}

static void wait_all(struct member *members, int n, void (*each)(struct member *m))
{
    turn(); /* answers that are on their way are read before their memory is used again */
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < 20000 && !members[i].op.mail.is_answer; k++)
            turn();
        each(&members[i]);
    }
}

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

static struct sync_group_request_assignments plan[MEMBERS_N];
static uint8_t plan_bytes[MEMBERS_N][1024];

/* Ten partitions for each: of one topic. */
static void plan_make(struct member *all)
{
    for (int i = 0; i < MEMBERS_N; i++) {
        int32_t numbers[10];
        struct consumer_protocol_assignment_assigned_partitions t = {names[i / 10], numbers,
                                                                     array_n(numbers)};
        struct consumer_protocol_assignment a = {&t, 1, {NULL, 0}};
        for (int32_t k = 0; k < 10; k++)
            numbers[k] = i % 10 * 10 + k;
        int64_t n = proto_size(&proto_consumer_protocol_assignment, 1, &a);
        check(n > 0 && n + 2 <= 1024);
        store_u16(plan_bytes[i], 1);
        check(proto_encode_flat(&proto_consumer_protocol_assignment, 1, &a, plan_bytes[i] + 2,
                                (uint64_t)n) == 0);
        plan[i] = (struct sync_group_request_assignments){bytes_of_string(all[i].id),
                                                          bytes_of(plan_bytes[i], (size_t)n + 2)};
    }
}

static struct member *leader_of(struct member *all)
{
    for (int i = 0; i < MEMBERS_N; i++)
        if (all[i].is_leader)
            return &all[i];
    check(!"a group without a leader");
    return NULL;
}

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
    heartbeats_print(1000);
    longest_print("4,000 members of each protocol");
    heartbeats_print(25000);
    longest_print("100,000 members of each protocol");
}

int main(int argc, char **argv)
{
    bool is_count = argc == 3 && strcmp(argv[1], "count") == 0;
    start();
    if (is_count)
        count(strtol(argv[2], NULL, 10));
    else
        print();
    rig_fini(&rig);
    return 0;
}
