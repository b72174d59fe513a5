/*
 * group_members.h - control under members of groups, for the benchmarks: one worker that answers at
 * once, 100 topics of 100 partitions, members of either protocol with their requests.
 *
 * Owner: the program. The program says what a turn is (turn_run), so that callgrind can tell the
 * turns of one case from those of another.
 */
#ifndef MILLRACE_BENCH_GROUP_MEMBERS_H
#define MILLRACE_BENCH_GROUP_MEMBERS_H

#define RIG_PLAIN
#include <malloc.h>

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
        struct leave_group_request leave;
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

static inline void on_mail(struct rig *r, uint8_t worker, struct mail *mail)
{
    if (mail->kind == MAIL_COMMIT)
        container_of(mail, struct commit_op, mail)->error = 0;
    else if (mail->kind == MAIL_LOAD)
        container_of(mail, struct load_op, mail)->bytes = 0;
    else
        return;
    mail_answer(&r->posts[worker], mail);
}

static noinline void turn_plain(void)
{
    (void)control_turn(rig.control, rig.now);
}

/* A turn of control as the program wants it to be seen. */
static void (*turn_run)(void) = turn_plain;

static inline void turn(void)
{
    rig.now.ns += NS_PER_MS;
    rig.now.wall_ms++;
    uint64_t begin_ns = clock_read_ns();
    turn_run();
    longest_ns = max_u64(longest_ns, clock_read_ns() - begin_ns);
    turns_n++;
    rig_workers_turn(&rig);
    rig.orders_n = 0;
}

static inline void turns(int n)
{
    while (n-- > 0)
        turn();
}

static inline void start(void)
{
    static const char *const settings[] = {"offsets.topic.num.partitions=50",
                                           "group.initial.rebalance.delay.ms=200",
                                           "groups.bytes.max=4294967296"};
    struct control_op op;
    struct find_coordinator_request q = {.key = bytes_of_string("g")};
    (void)mallopt(M_MXFAST, 0); /* as main() of the broker */
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

static inline void send(struct member *m, int16_t key, int16_t version)
{
    rig_send(&rig, &m->op, key, version, &m->request);
}

static inline void join_send(struct member *m)
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

static inline void joined(struct member *m)
{
    const struct join_group_response *r = m->op.response;
    check(m->op.mail.is_answer && r->error_code == 0 && r->member_id.n < MEMBER_ID_BYTES);
    memcpy(m->id, r->member_id.ptr, r->member_id.n);
    m->id[r->member_id.n] = '\0';
    m->generation = r->generation_id;
    m->is_leader = bytes_equal(r->leader, r->member_id);
    arena_fini(&m->op.arena);
}

static inline void sync_send(struct member *m, const struct sync_group_request_assignments *all,
                             int32_t n)
{
    m->request.sync = (struct sync_group_request){
        .group_id = bytes_of_string(m->group),
        .generation_id = m->generation,
        .member_id = bytes_of_string(m->id),
        .assignments = (struct sync_group_request_assignments *)(uintptr_t)all,
        .assignments_n = n};
    send(m, 14, 3);
}

static inline void heartbeat_send(struct member *m)
{
    m->request.heartbeat = (struct heartbeat_request){
        bytes_of_string(m->group), m->generation, bytes_of_string(m->id), {NULL, 0}};
    send(m, 12, 4);
}

static inline void beat_send(struct member *m)
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

static inline void done(struct member *m)
{
    check(m->op.mail.is_answer);
    arena_fini(&m->op.arena);
}

static inline void owned_keep(struct member *m,
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

static inline void beaten(struct member *m)
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

static inline void wait_all(struct member *members, int n, void (*each)(struct member *m))
{
    turn(); /* answers that are on their way are read before their memory is used again */
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < 20000 && !members[i].op.mail.is_answer; k++)
            turn();
        each(&members[i]);
    }
}

/* ── an assignment of the classic protocol ── */

static struct sync_group_request_assignments plan[MEMBERS_N];
static uint8_t plan_bytes[MEMBERS_N][1024];

/* Ten partitions for each: of one topic. */
static inline void plan_make(struct member *all)
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

static inline struct member *leader_of(struct member *all)
{
    for (int i = 0; i < MEMBERS_N; i++)
        if (all[i].is_leader)
            return &all[i];
    check(!"a group without a leader");
    return NULL;
}

#endif
