/*
 * group_bed.h - the group machine with everything around it played by the test.
 *
 * Owner: the test. Kafka's requests are structs, time is a number, appends end when the test says
 * so.
 */
#ifndef MILLRACE_GROUP_BED_H
#define MILLRACE_GROUP_BED_H

#include "unit.h"

#include "group.h"
#include "kafka_codes.h"
#include "messages.h"
#include "offsets.h"

enum { OPS_MAX = 4096, APPENDS_MAX = 4096 };

/* One request of the test, and its answer. */
struct asked {
    struct control_op op;
    union {
        struct join_group_request join;
        struct sync_group_request sync;
        struct heartbeat_request heartbeat;
        struct leave_group_request leave;
    } request;
    struct join_group_request_protocols protocols[2];
    struct sync_group_request_assignments assignments[64];
    struct leave_group_request_members leaving;
    bool is_answered;
};

struct bed {
    struct groups groups;
    struct timers timers;
    struct prng prng;
    struct now now;
    struct asked *asked[OPS_MAX];
    uint32_t asked_n;
    struct {
        uint64_t number;
        struct control_op *op;
        char group[32];
    } appends[APPENDS_MAX];
    uint32_t appends_at, appends_n; /* those before appends_at have ended */
};

static struct bed bed;

static void on_answer(void *context, struct control_op *op)
{
    struct asked *a = container_of(op, struct asked, op);
    (void)context;
    assert_false(a->is_answered); /* nobody is answered twice */
    assert_non_null(op->response);
    a->is_answered = true;
}

static void on_append(void *context, struct group *group, uint64_t number, struct control_op *op)
{
    (void)context;
    assert_true(bed.appends_n < APPENDS_MAX);
    bed.appends[bed.appends_n].number = number;
    bed.appends[bed.appends_n].op = op;
    snprintf(bed.appends[bed.appends_n++].group, 32, "%.*s", (int)group->id.n, group->id.ptr);
}

static void invariants(void)
{
    for (uint32_t i = 0; i < GROUP_BUCKETS; i++)
        list_for_each(l, next, &bed.groups.buckets[i])
            group_invariants(list_entry(l, struct group, link));
}

/* The oldest append under way ends. */
static bool append_end(int16_t error)
{
    if (bed.appends_at == bed.appends_n)
        return false;
    uint32_t i = bed.appends_at++;
    struct group *group = group_find(&bed.groups, bytes_of_string(bed.appends[i].group));
    if (bed.appends[i].op != NULL && error == 0)
        on_answer(NULL, bed.appends[i].op);
    else if (bed.appends[i].op != NULL)
        group_answer_join(&bed.groups, bed.appends[i].op, error, bytes_of("", 0));
    if (group != NULL)
        group_appended(group, bed.appends[i].number, error, bed.now);
    invariants();
    return true;
}

static void appends_end(void)
{
    while (append_end(0))
        continue;
}

static void pass(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 10) {
        bed.now.ns += 10 * NS_PER_MS;
        bed.now.wall_ms += 10;
        timers_run(&bed.timers, bed.now, 10000);
    }
    invariants();
}

static const struct group_config usual = {.session_timeout_min_ms = 6000,
                                          .session_timeout_max_ms = 1800000,
                                          .initial_delay_ms = 0,
                                          .size_max = INT32_MAX,
                                          .new_member_timeout_ms = 300000,
                                          .groups_max = 100,
                                          .member_bytes_max = 4096,
                                          .bytes_max = 64 << 20};

static void begin(const struct group_config *config)
{
    static const struct group_host host = {on_answer, on_append, NULL};
    memset(&bed, 0, sizeof bed);
    bed.now = (struct now){NS_PER_S, 1700000000000};
    timers_init(&bed.timers, bed.now.ns);
    prng_init(&bed.prng, 7);
    assert_int_equal(groups_init(&bed.groups, config, &host, &bed.timers, &bed.prng), 0);
    assert_int_equal(groups_partitions_set(&bed.groups, 1), 0);
}

static int setup(void **state)
{
    (void)state;
    begin(&usual);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    groups_fini(&bed.groups);
    assert_int_equal(bed.timers.n, 0);
    assert_int_equal(bed.groups.bytes, 0);
    for (uint32_t i = 0; i < bed.asked_n; i++) {
        arena_fini(&bed.asked[i]->op.arena);
        free(bed.asked[i]);
    }
    return 0;
}

static struct asked *ask(int16_t key, int16_t version)
{
    struct asked *a = calloc(1, sizeof *a);
    assert_true(a != NULL && bed.asked_n < OPS_MAX);
    bed.asked[bed.asked_n++] = a;
    a->op.api_key = key;
    a->op.api_version = version;
    a->op.client_id = bytes_of_string("client");
    strcpy(a->op.client_host, "/127.0.0.1");
    a->op.request = &a->request;
    arena_init(&a->op.arena, NULL, NULL, 16 << 20);
    return a;
}

/* ── requests ── */

static struct asked *join_of(struct bytes member, const char *instance, const char *metadata,
                             int16_t version)
{
    struct asked *a = ask(11, version);
    a->protocols[0] =
        (struct join_group_request_protocols){bytes_of_string("range"), bytes_of_string(metadata)};
    a->protocols[1] = (struct join_group_request_protocols){bytes_of_string("roundrobin"),
                                                            bytes_of_string(metadata)};
    a->request.join = (struct join_group_request){.group_id = bytes_of_string("g"),
                                                  .session_timeout_ms = 10000,
                                                  .rebalance_timeout_ms = 20000,
                                                  .member_id = member,
                                                  .group_instance_id = bytes_of_string(instance),
                                                  .protocol_type = bytes_of_string("consumer"),
                                                  .protocols = a->protocols,
                                                  .protocols_n = 2};
    return a;
}

static struct asked *join_send(struct asked *a)
{
    group_join(&bed.groups, 0, &a->op, bed.now);
    invariants();
    return a;
}

static struct asked *join(struct bytes member, const char *metadata)
{
    return join_send(join_of(member, NULL, metadata, 9));
}

static const struct join_group_response *joined(const struct asked *a)
{
    assert_true(a->is_answered);
    return a->op.response;
}

static inline struct bytes new_id(void)
{
    const struct join_group_response *r = joined(join(bytes_of_string(""), "m"));
    assert_int_equal(r->error_code, KAFKA_MEMBER_ID_REQUIRED);
    return r->member_id;
}

static struct asked *sync_of(struct bytes member, int32_t generation)
{
    struct asked *a = ask(14, 5);
    a->request.sync = (struct sync_group_request){.group_id = bytes_of_string("g"),
                                                  .generation_id = generation,
                                                  .member_id = member,
                                                  .protocol_type = bytes_of_string("consumer"),
                                                  .protocol_name = bytes_of_string("range"),
                                                  .assignments = a->assignments};
    return a;
}

static struct asked *sync_send(struct asked *a)
{
    group_sync(&bed.groups, &a->op, bed.now);
    invariants();
    return a;
}

static void assign(struct asked *a, struct bytes member, const char *assignment)
{
    a->assignments[a->request.sync.assignments_n++] =
        (struct sync_group_request_assignments){member, bytes_of_string(assignment)};
}

static const struct sync_group_response *synced(const struct asked *a)
{
    assert_true(a->is_answered);
    return a->op.response;
}

static int16_t heartbeat(struct bytes member, int32_t generation)
{
    struct asked *a = ask(12, 4);
    a->request.heartbeat =
        (struct heartbeat_request){bytes_of_string("g"), generation, member, {NULL, 0}};
    group_heartbeat(&bed.groups, &a->op, bed.now);
    invariants();
    return ((struct heartbeat_response *)a->op.response)->error_code;
}

static int16_t leave(struct bytes member, const char *instance)
{
    struct asked *a = ask(13, 5);
    a->leaving = (struct leave_group_request_members){member, bytes_of_string(instance), {NULL, 0}};
    a->request.leave =
        (struct leave_group_request){bytes_of_string("g"), {NULL, 0}, &a->leaving, 1};
    group_leave(&bed.groups, &a->op, bed.now);
    invariants();
    return ((struct leave_group_response *)a->op.response)->members[0].error_code;
}

static struct group *g(void)
{
    return group_find(&bed.groups, bytes_of_string("g"));
}

#define GROUP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
