/*
 * coordinator_test.c - groups and their log: what is committed, when it is told, what a start finds
 * again.
 *
 * coordinator_bed.h is the broker around it.
 */
#include "coordinator_bed.h"

#include "compress.h"

/* ── requests ── */

/* A commit of one partition, sent and not waited for. */
struct commit {
    struct control_op op;
    struct offset_commit_request request;
    struct offset_commit_request_topics topic;
    struct offset_commit_request_topics_partitions partition;
};

static void commit_send(struct commit *c, const char *group, const char *topic, int32_t partition,
                        int64_t offset)
{
    memset(c, 0, sizeof *c);
    c->partition = (struct offset_commit_request_topics_partitions){.partition_index = partition,
                                                                    .committed_offset = offset,
                                                                    .committed_leader_epoch = -1,
                                                                    .committed_metadata =
                                                                        bytes_of_string("note")};
    c->topic = (struct offset_commit_request_topics){
        .name = bytes_of_string(topic), .partitions = &c->partition, .partitions_n = 1};
    c->request = (struct offset_commit_request){.group_id = bytes_of_string(group),
                                                .generation_id_or_member_epoch = -1,
                                                .member_id = bytes_of_string(""),
                                                .retention_time_ms = -1,
                                                .topics = &c->topic,
                                                .topics_n = 1};
    rig_send(&rig, &c->op, 8, 8, &c->request);
}

static int16_t commit_code(struct commit *c)
{
    for (int i = 0; i < 200 && !c->op.mail.is_answer; i++)
        rig_turn(&rig);
    assert_true(c->op.mail.is_answer);
    const struct offset_commit_response *r = c->op.response;
    int16_t code = r->topics[0].partitions[0].error_code;
    arena_fini(&c->op.arena);
    return code;
}

static int16_t commit(const char *group, const char *topic, int32_t partition, int64_t offset)
{
    struct commit c;
    commit_send(&c, group, topic, partition, offset);
    return commit_code(&c);
}

/* The committed offset; -1 none; -1000 - code when the group's part of the answer is an error. */
static int64_t fetched(const struct offset_fetch_response *r)
{
    if (r->groups[0].error_code != 0)
        return -1000 - r->groups[0].error_code;
    return r->groups[0].topics_n == 0 ? -1 : r->groups[0].topics[0].partitions[0].committed_offset;
}

struct fetch {
    struct control_op op;
    struct offset_fetch_request request;
    struct offset_fetch_request_groups group;
    struct offset_fetch_request_groups_topics topic;
    int32_t partition;
};

static void fetch_send(struct fetch *f, const char *group, const char *topic, int32_t partition)
{
    memset(f, 0, sizeof *f);
    f->partition = partition;
    f->topic = (struct offset_fetch_request_groups_topics){.name = bytes_of_string(topic),
                                                           .partition_indexes = &f->partition,
                                                           .partition_indexes_n = 1};
    f->group = (struct offset_fetch_request_groups){
        .group_id = bytes_of_string(group), .topics = &f->topic, .topics_n = 1};
    f->request = (struct offset_fetch_request){.groups = &f->group, .groups_n = 1};
    rig_send(&rig, &f->op, 9, 8, &f->request);
}

static int64_t fetch(const char *group, const char *topic, int32_t partition)
{
    struct fetch f;
    fetch_send(&f, group, topic, partition);
    for (int i = 0; i < 200 && !f.op.mail.is_answer; i++)
        rig_turn(&rig);
    assert_true(f.op.mail.is_answer);
    int64_t offset = fetched(f.op.response);
    arena_fini(&f.op.arena);
    return offset;
}

static int16_t delete_group(const char *group)
{
    struct control_op op;
    struct bytes name = bytes_of_string(group);
    struct delete_groups_request q = {.groups_names = &name, .groups_names_n = 1};
    const struct delete_groups_response *r = rig_ask(&rig, &op, 42, 2, &q);
    int16_t code = r->results[0].error_code;
    arena_fini(&op.arena);
    return code;
}

static uint32_t groups_n(void)
{
    return rig.control->coordinator->groups.groups_n;
}

/* ── the hash ── */

/* String.hashCode of Java, by hand. */
static void hash_is_javas(void **state)
{
    (void)state;
    assert_int_equal(coordinator_hash(bytes_of_string("")), 0);
    assert_int_equal(coordinator_hash(bytes_of_string("a")), 97);
    assert_int_equal(coordinator_hash(bytes_of_string("my-group")), -1906497762);
    assert_int_equal(coordinator_hash(bytes_of_string("polygenelubricants")), INT32_MIN);
    assert_int_equal(coordinator_hash(bytes_of_string("\xc3\xa9")), 0xe9);       /* two bytes */
    assert_int_equal(coordinator_hash(bytes_of_string("\xe2\x82\xac")), 0x20ac); /* three */
    assert_int_equal(coordinator_hash(bytes_of_string("\xf0\x9f\x98\x80")),
                     31 * 0xd83d + 0xde00); /* a pair */
    assert_int_equal(coordinator_hash(bytes_of_string("\xff")), 0xfffd);
}

/* ── without, while loading ── */

static void group_requests_before_the_topic_exists_get_not_coordinator(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    assert_int_equal(commit("g", "t", 0, 1), KAFKA_NOT_COORDINATOR);
    assert_int_equal(fetch("g", "t", 0), -1000 - KAFKA_NOT_COORDINATOR);
    coordinator_make();
    assert_int_equal(commit("g", "t", 0, 1), 0);
    const struct view_topic *topic =
        view_topic_by_name(rig_view(&rig), bytes_of_string("__consumer_offsets"));
    assert_true(topic->is_internal);
    assert_true(topic->config.is_compacted);
    assert_int_equal(topic->config.segment_bytes, 104857600);
}

static void requests_while_loading_are_told_so(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(commit("g", "t", 0, 7), 0);
    restart();
    holds = true;
    assert_int_equal(commit("g", "t", 0, 8), KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    struct control_op op;
    struct list_groups_request q = {0};
    assert_int_equal(((struct list_groups_response *)rig_ask(&rig, &op, 16, 5, &q))->error_code,
                     KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
    arena_fini(&op.arena);
    release();
    loaded();
    assert_int_equal(fetch("g", "t", 0), 7);
}

static void partition_that_cannot_be_read_fails_alone(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(commit("g", "t", 0, 7), 0);
    int32_t broken = 0;
    while (logs[broken].n == 0)
        broken++;
    logs[broken].v[BATCH_HEADER] = 0x7f; /* a record's length */
    restart();
    turns(100);
    assert_int_equal(fetch("g", "t", 0), -1000 - KAFKA_NOT_COORDINATOR);
    uint32_t active_n = 0;
    for (int32_t i = 0; i < LOGS; i++)
        active_n += rig.control->coordinator->partitions[i].state == COORDINATOR_ACTIVE;
    assert_int_equal(active_n, LOGS - 1);
}

/* ── commits ── */

static void commit_is_told_when_durable_and_seen_only_then(void **state)
{
    (void)state;
    struct commit c;
    struct fetch f;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    holds = true;
    commit_send(&c, "g", "t", 0, 5);
    turns(20);
    assert_false(c.op.mail.is_answer);
    fetch_send(&f, "g", "t", 0); /* behind the commit: waits for it */
    turns(20);
    assert_false(f.op.mail.is_answer);
    release();
    assert_int_equal(commit_code(&c), 0);
    turns(3);
    assert_true(f.op.mail.is_answer);
    assert_int_equal(fetched(f.op.response), 5);
    arena_fini(&f.op.arena);
}

static void commits_that_come_meanwhile_leave_in_one_batch(void **state)
{
    (void)state;
    enum { N = 40 };
    static struct commit c[N];
    assert_int_equal(rig_create(&rig, "t", 64), 0);
    coordinator_make();
    holds = true;
    for (int i = 0; i < N; i++) {
        commit_send(&c[i], "g", "t", i, i);
        turns(1);
    }
    assert_int_equal(held_n, 1); /* one batch of a partition at a time */
    release();
    for (int i = 0; i < N; i++)
        assert_int_equal(commit_code(&c[i]), 0);
    uint32_t batches_n = 0;
    for (int i = 0; i < LOGS; i++)
        batches_n += logs[i].batches_n;
    assert_int_equal(batches_n, 2);
    for (int i = 0; i < N; i++)
        assert_int_equal(fetch("g", "t", i), i);
}

static void commit_that_was_not_answered_is_not_seen_after_a_crash(void **state)
{
    (void)state;
    struct commit c;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(commit("g", "t", 0, 5), 0);
    holds = true;
    commit_send(&c, "g", "t", 0, 6);
    turns(5);
    restart();
    arena_fini(&c.op.arena);
    loaded();
    assert_int_equal(fetch("g", "t", 0), 5);
}

static void failed_append_fails_the_commit_and_the_partition(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    append_error = E_TOO_LARGE;
    assert_int_equal(commit("g", "t", 0, 5), KAFKA_UNKNOWN_SERVER_ERROR);
    append_error = 0;
    assert_int_equal(commit("g", "t", 0, 6), 0);
    append_error = E_STORAGE;
    assert_int_equal(commit("g", "t", 0, 7), KAFKA_NOT_COORDINATOR);
    append_error = 0;
    assert_int_equal(commit("g", "t", 0, 8), KAFKA_NOT_COORDINATOR);
    restart();
    loaded();
    assert_int_equal(fetch("g", "t", 0), 6);
}

/* The disk has space again: what is in the log counts, and commits are taken. */
static void failed_partition_comes_back_when_its_log_does(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(commit("g", "t", 0, 6), 0);
    append_error = E_DISK_FULL;
    assert_int_equal(commit("g", "t", 0, 7), KAFKA_NOT_COORDINATOR);
    assert_int_equal(fetch("g", "t", 0), -1000 - KAFKA_NOT_COORDINATOR);
    turns(COORDINATOR_RETRY_MS + 50);
    assert_int_equal(fetch("g", "t", 0), 6); /* it can be read */
    assert_int_equal(commit("g", "t", 0, 8), KAFKA_NOT_COORDINATOR);
    append_error = 0;
    turns(COORDINATOR_RETRY_MS + 50); /* the second time it takes twice as long */
    assert_int_equal(commit("g", "t", 0, 9), KAFKA_NOT_COORDINATOR);
    turns(COORDINATOR_RETRY_MS);
    assert_int_equal(commit("g", "t", 0, 9), 0);
    assert_int_equal(fetch("g", "t", 0), 9);
    assert_int_equal(rig.control->coordinator->retried_n, 2);
    load_error = E_STORAGE;
    append_error = E_STORAGE;
    assert_int_equal(commit("g", "t", 0, 10), KAFKA_NOT_COORDINATOR);
    append_error = 0;
    turns(COORDINATOR_RETRY_MS * 2);
    assert_int_equal(fetch("g", "t", 0), -1000 - KAFKA_NOT_COORDINATOR);
    load_error = 0;
    turns(COORDINATOR_RETRY_MS * 3);
    assert_int_equal(fetch("g", "t", 0), 9);
}

static void memory_of_all_groups_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(commit("g", "t", 0, 5), 0);
    rig.control->coordinator->groups.config.bytes_max = 1;
    assert_int_equal(commit("g", "t", 0, 6), KAFKA_COORDINATOR_NOT_AVAILABLE);
    rig.control->coordinator->groups.config.bytes_max = 1 << 20;
    rig.control->coordinator->groups.config.groups_max = 1;
    assert_int_equal(commit("g2", "t", 0, 6), KAFKA_COORDINATOR_NOT_AVAILABLE);
    assert_int_equal(commit("g", "t", 0, 6), 0);
}

/* ── removal ── */

static void deleted_group_stays_deleted(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(commit("g", "t", 0, 5), 0);
    assert_int_equal(commit("other", "t", 0, 9), 0);
    assert_int_equal(delete_group("g"), 0);
    assert_int_equal(delete_group("g"), KAFKA_GROUP_ID_NOT_FOUND);
    assert_int_equal(fetch("g", "t", 0), -1);
    restart();
    loaded();
    assert_int_equal(fetch("g", "t", 0), -1);
    assert_int_equal(fetch("other", "t", 0), 9);
    assert_int_equal(groups_n(), 1);
}

/* A delete sees the commits that came before it, also those that are not durable yet. */
static void delete_waits_for_the_commits_before_it(void **state)
{
    (void)state;
    struct commit c;
    struct control_op op;
    struct bytes name = bytes_of_string("g");
    struct delete_groups_request q = {.groups_names = &name, .groups_names_n = 1};
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    holds = true;
    commit_send(&c, "g", "t", 0, 5);
    turns(2);
    rig_send(&rig, &op, 42, 2, &q);
    turns(5);
    assert_false(op.mail.is_answer);
    release();
    assert_int_equal(commit_code(&c), 0);
    turns(5);
    assert_true(op.mail.is_answer);
    assert_int_equal(((struct delete_groups_response *)op.response)->results[0].error_code, 0);
    arena_fini(&op.arena);
    assert_int_equal(fetch("g", "t", 0), -1);
    restart();
    loaded();
    assert_int_equal(groups_n(), 0);
}

static void offsets_of_a_deleted_topic_go(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    assert_int_equal(rig_create(&rig, "keep", 2), 0);
    coordinator_make();
    assert_int_equal(commit("g", "t", 0, 5), 0);
    assert_int_equal(commit("g", "keep", 0, 6), 0);
    assert_int_equal(rig_delete(&rig, "t"), 0);
    turns(GROUP_BUCKETS / COORDINATOR_SWEEP_BUCKETS + 50);
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    assert_int_equal(fetch("g", "t", 0), -1);
    assert_int_equal(fetch("g", "keep", 0), 6);
    restart();
    loaded();
    assert_int_equal(fetch("g", "t", 0), -1);
    assert_int_equal(fetch("g", "keep", 0), 6);
}

static void offsets_expire_and_then_their_group(void **state)
{
    (void)state;
    rig_stop(&rig);
    rig_override(&rig, "offsets.retention.minutes=2");
    rig_override(&rig, "offsets.retention.check.interval.ms=1000");
    start();
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(commit("g", "t", 0, 5), 0);
    rig.now.wall_ms += 119000;
    rig.now.ns += 1000 * NS_PER_MS;
    turns(GROUP_BUCKETS / COORDINATOR_SWEEP_BUCKETS + 50);
    assert_int_equal(fetch("g", "t", 0), 5);
    rig.now.wall_ms += 2000;
    rig.now.ns += 1000 * NS_PER_MS;
    turns(GROUP_BUCKETS / COORDINATOR_SWEEP_BUCKETS + 50);
    assert_int_equal(fetch("g", "t", 0), -1);
    assert_int_equal(groups_n(), 0);
    restart();
    loaded();
    assert_int_equal(groups_n(), 0);
}

static void deleted_offsets_topic_takes_the_groups_with_it(void **state)
{
    (void)state;
    struct commit c;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    assert_int_equal(commit("g", "t", 0, 5), 0);
    holds = true;
    commit_send(&c, "g", "t", 0, 6); /* under way while the topic goes */
    turns(3);
    assert_int_equal(rig_delete(&rig, "__consumer_offsets"), 0);
    append_error = E_NOT_FOUND;
    release();
    assert_int_equal(commit_code(&c), KAFKA_NOT_COORDINATOR);
    append_error = 0;
    assert_int_equal(groups_n(), 0);
    for (int i = 0; i < LOGS; i++)
        logs[i].n = 0;
    coordinator_make();
    assert_int_equal(fetch("g", "t", 0), -1);
    assert_int_equal(commit("g", "t", 0, 1), 0);
}

/* ── membership over a start ── */

static struct join_group_request_protocols protocol;

static const struct join_group_response *join(struct control_op *op, struct join_group_request *q,
                                              const char *member)
{
    protocol = (struct join_group_request_protocols){bytes_of_string("range"),
                                                     bytes_of_string("metadata")};
    *q = (struct join_group_request){.group_id = bytes_of_string("g"),
                                     .session_timeout_ms = 10000,
                                     .rebalance_timeout_ms = 20000,
                                     .member_id = bytes_of_string(member),
                                     .protocol_type = bytes_of_string("consumer"),
                                     .protocols = &protocol,
                                     .protocols_n = 1};
    return rig_ask(&rig, op, 11, 3, q); /* v3: no id is asked for first */
}

static int16_t heartbeat(const char *member, int32_t generation)
{
    struct control_op op;
    struct heartbeat_request q = {
        bytes_of_string("g"), generation, bytes_of_string(member), {NULL, 0}};
    int16_t code = ((struct heartbeat_response *)rig_ask(&rig, &op, 12, 4, &q))->error_code;
    arena_fini(&op.arena);
    return code;
}

static void stable_group(char *member)
{
    struct control_op op;
    struct join_group_request q;
    const struct join_group_response *r = join(&op, &q, "");
    assert_int_equal(r->error_code, 0);
    snprintf(member, 128, "%.*s", (int)r->member_id.n, r->member_id.ptr);
    arena_fini(&op.arena);
    struct sync_group_request_assignments a = {bytes_of_string(member), bytes_of_string("plan")};
    struct sync_group_request s = {.group_id = bytes_of_string("g"),
                                   .generation_id = 1,
                                   .member_id = bytes_of_string(member),
                                   .assignments = &a,
                                   .assignments_n = 1};
    const struct sync_group_response *sr = rig_ask(&rig, &op, 14, 3, &s);
    assert_int_equal(sr->error_code, 0);
    assert_true(bytes_equal_string(sr->assignment, "plan"));
    arena_fini(&op.arena);
}

static void members_go_on_after_a_start(void **state)
{
    (void)state;
    char member[128];
    coordinator_make();
    stable_group(member);
    restart();
    loaded();
    assert_int_equal(heartbeat(member, 1), 0);
    struct control_op op;
    struct bytes name = bytes_of_string("g");
    struct describe_groups_request q = {&name, 1, false};
    const struct describe_groups_response *r = rig_ask(&rig, &op, 15, 5, &q);
    assert_true(bytes_equal_string(r->groups[0].group_state, "Stable"));
    assert_true(bytes_equal_string(r->groups[0].protocol_data, "range"));
    assert_true(bytes_equal_string(r->groups[0].members[0].member_metadata, "metadata"));
    assert_true(bytes_equal_string(r->groups[0].members[0].member_assignment, "plan"));
    arena_fini(&op.arena);
    rig.now.ns += 11 * NS_PER_S; /* silent since the start: its session ends */
    turns(300);
    assert_int_equal(heartbeat(member, 1), KAFKA_UNKNOWN_MEMBER_ID);
}

static void assignment_that_was_not_durable_is_gone_after_a_crash(void **state)
{
    (void)state;
    struct control_op op, sync;
    struct join_group_request q;
    char member[128];
    coordinator_make();
    const struct join_group_response *r = join(&op, &q, "");
    snprintf(member, sizeof member, "%.*s", (int)r->member_id.n, r->member_id.ptr);
    arena_fini(&op.arena);
    turns(5);
    holds = true;
    struct sync_group_request s = {
        .group_id = bytes_of_string("g"), .generation_id = 1, .member_id = bytes_of_string(member)};
    rig_send(&rig, &sync, 14, 3, &s);
    turns(20);
    assert_false(sync.mail.is_answer);
    restart();
    arena_fini(&sync.arena);
    loaded();
    assert_int_equal(heartbeat(member, 1), KAFKA_UNKNOWN_MEMBER_ID);
}

static void explainer_answers_the_admin_listener(void **state)
{
    (void)state;
    char member[128];
    struct ask *ask = control_ask(rig.control);
    coordinator_make();
    stable_group(member);
    memcpy(ask->name, "g", 1);
    ask->name_n = 1;
    atomic_store(&ask->state, ASK_ASKED);
    turns(1);
    assert_int_equal(atomic_load(&ask->state), ASK_ANSWERED);
    assert_non_null(strstr(ask->answer, "the first member joined"));
    assert_non_null(strstr(ask->answer, "\"paused_members\": 1, \"pauses\": [{\"ms\": "));
    free(ask->answer);
    ask->name[0] = 'x';
    atomic_store(&ask->state, ASK_ASKED);
    turns(1);
    assert_null(ask->answer);
}

/* ── transactions in a log of Apache Kafka ── */

static void put_batch(int32_t partition, int64_t offset, int16_t attributes, int64_t producer,
                      bool is_commit)
{
    struct log *log = &logs[partition];
    struct batch_builder b;
    struct group_records records = {0};
    struct bytes key, value;
    uint32_t at = 0;
    uint8_t marker[4] = {0, 0, 0, is_commit}, nothing[6] = {0};
    struct offset o = {.topic = bytes_of_string("t"),
                       .metadata = bytes_of_string(""),
                       .partition = 0,
                       .leader_epoch = -1,
                       .offset = offset,
                       .commit_ms = 1,
                       .expire_ms = -1};
    batch_begin(&b, log->v + log->n, LOG_BYTES - log->n);
    group_records_offset(&records, bytes_of_string("g"), &o);
    assert_true(group_records_next(&records, &at, &key, &value));
    if (attributes & BATCH_CONTROL)
        assert_int_equal(batch_add(&b, 1, bytes_of(marker, 4), bytes_of(nothing, 6)), 0);
    else
        assert_int_equal(batch_add(&b, 1, key, value), 0);
    uint32_t n = batch_end(&b, attributes, 0);
    batch_stamp_producer(log->v + log->n, producer, 0, 0);
    store_u64(log->v + log->n, (uint64_t)log->end++);
    log->n += n;
    group_records_fini(&records);
}

static void offsets_of_transactions_count_when_committed(void **state)
{
    (void)state;
    int32_t partition = coordinator_hash(bytes_of_string("g")) % LOGS;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    put_batch(partition, 5, BATCH_TRANSACTIONAL, 1, false);
    put_batch(partition, 9, BATCH_TRANSACTIONAL, 2, false);
    put_batch(partition, 0, BATCH_TRANSACTIONAL | BATCH_CONTROL, 1, true);
    put_batch(partition, 0, BATCH_TRANSACTIONAL | BATCH_CONTROL, 2, false);
    put_batch(partition, 11, BATCH_TRANSACTIONAL, 3, false); /* never ended */
    restart();
    loaded();
    assert_int_equal(fetch("g", "t", 0), 5);
}

/* As Apache Kafka writes with offsets.topic.compression.codec set. `claims`: what the bytes are
 * instead of the records; NULL: the records, compressed. */
static void compress_log(int32_t partition, uint8_t codec, const struct bytes *instead)
{
    struct log *log = &logs[partition];
    uint8_t *to = malloc(LOG_BYTES);
    uint32_t n = 0;
    for (uint32_t at = 0; at < log->n;) {
        struct batch batch;
        assert_int_equal(batch_header(log->v + at, &batch), 0);
        struct bytes records = bytes_of(log->v + at + BATCH_HEADER, batch.bytes - BATCH_HEADER);
        memcpy(to + n, log->v + at, BATCH_HEADER);
        int64_t bytes;
        if (instead == NULL) {
            bytes = codec_compress(codec, COMPRESS_LEVEL_DEFAULT, records, to + n + BATCH_HEADER,
                                   LOG_BYTES - n - BATCH_HEADER);
        } else {
            memcpy(to + n + BATCH_HEADER, instead->ptr, instead->n);
            bytes = instead->n;
        }
        assert_true(bytes > 0);
        store_u16(to + n + BATCH_ATTRIBUTES_AT, (uint16_t)(batch.attributes | codec));
        store_u32(to + n + BATCH_LENGTH_AT, (uint32_t)(BATCH_HEADER - BATCH_LENGTH_END + bytes));
        n += BATCH_HEADER + (uint32_t)bytes;
        at += batch.bytes;
    }
    free(log->v);
    log->v = to;
    log->n = n;
}

static int32_t partition_of_g(void)
{
    return coordinator_hash(bytes_of_string("g")) % LOGS;
}

static void compressed_batches_are_loaded(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    for (uint8_t codec = CODEC_GZIP; codec <= CODEC_ZSTD; codec++) {
        assert_int_equal(commit("g", "t", 0, 100 + codec), 0);
        assert_int_equal(commit("g", "t", 1, 200 + codec), 0);
        compress_log(partition_of_g(), codec, NULL);
        restart();
        loaded();
        assert_int_equal(fetch("g", "t", 0), 100 + codec);
        assert_int_equal(fetch("g", "t", 1), 200 + codec);
        logs[partition_of_g()].n = 0; /* each codec begins with an empty log */
        restart();
        loaded();
    }
}

/* A hundred bytes that would become gigabytes, and bytes that are nothing: that partition fails. */
static void compressed_batch_that_is_a_bomb_fails_its_partition(void **state)
{
    (void)state;
    uint8_t garbage[16] = {1, 2, 3};
    uint32_t large_n = COORDINATOR_PLAIN_BYTES_MAX + 1;
    uint8_t *zeros = calloc(1, large_n), *bomb = malloc(large_n);
    int64_t n =
        codec_compress(CODEC_ZSTD, COMPRESS_LEVEL_DEFAULT, bytes_of(zeros, large_n), bomb, large_n);
    assert_true(n > 0 && n < 1 << 20);
    struct bytes bad[2] = {bytes_of(garbage, sizeof garbage), bytes_of(bomb, (size_t)n)};
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(commit("g", "t", 0, 1), 0);
        compress_log(partition_of_g(), CODEC_ZSTD, &bad[i]);
        restart();
        turns(100);
        assert_int_equal(fetch("g", "t", 0), -1000 - KAFKA_NOT_COORDINATOR);
        logs[partition_of_g()].n = 0;
        restart();
        loaded();
    }
    free(zeros);
    free(bomb);
}

/* What compaction leaves: offsets with gaps, batches without records, of control too. */
static void compacted_log_is_loaded(void **state)
{
    (void)state;
    int32_t partition = partition_of_g();
    struct log *log = &logs[partition];
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    coordinator_make();
    put_batch(partition, 5, 0, -1, false);
    log->end += 1000000;
    for (int i = 0; i < 2; i++) {
        struct batch_builder b;
        int16_t attributes = i == 0 ? 0 : BATCH_TRANSACTIONAL | BATCH_CONTROL;
        batch_begin(&b, log->v + log->n, LOG_BYTES - log->n);
        uint32_t n = batch_end(&b, attributes, 0);
        store_u32(log->v + log->n + BATCH_LAST_DELTA_AT, 41);
        store_u64(log->v + log->n, (uint64_t)log->end);
        log->end += 42 + 1000;
        log->n += n;
    }
    put_batch(partition, 6, 0, -1, false);
    restart();
    loaded();
    assert_int_equal(fetch("g", "t", 0), 6);
    assert_int_equal(commit("g", "t", 0, 7), 0);
    restart();
    loaded();
    assert_int_equal(fetch("g", "t", 0), 7);
}

static void batch_larger_than_a_chunk_is_loaded(void **state)
{
    (void)state;
    enum { N = 6 };
    static char large[32001];
    static struct commit c[N];
    assert_int_equal(rig_create(&rig, "t", N), 0);
    rig.control->coordinator->metadata_max = sizeof large;
    coordinator_make();
    memset(large, 'm', sizeof large - 1);
    holds = true;
    for (int i = 0; i < N; i++) {
        commit_send(&c[i], "g", "t", i, 5);
        c[i].partition.committed_metadata = bytes_of(large, sizeof large - 1);
        turns(2);
    }
    release();
    for (int i = 0; i < N; i++)
        assert_int_equal(commit_code(&c[i]), 0);
    restart();
    loaded();
    assert_int_equal(fetch("g", "t", N - 1), 5);
}

#define CO_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CO_TEST(hash_is_javas),
        CO_TEST(group_requests_before_the_topic_exists_get_not_coordinator),
        CO_TEST(requests_while_loading_are_told_so),
        CO_TEST(partition_that_cannot_be_read_fails_alone),
        CO_TEST(commit_is_told_when_durable_and_seen_only_then),
        CO_TEST(commits_that_come_meanwhile_leave_in_one_batch),
        CO_TEST(commit_that_was_not_answered_is_not_seen_after_a_crash),
        CO_TEST(failed_append_fails_the_commit_and_the_partition),
        CO_TEST(failed_partition_comes_back_when_its_log_does),
        CO_TEST(memory_of_all_groups_is_bounded),
        CO_TEST(deleted_group_stays_deleted),
        CO_TEST(delete_waits_for_the_commits_before_it),
        CO_TEST(offsets_of_a_deleted_topic_go),
        CO_TEST(offsets_expire_and_then_their_group),
        CO_TEST(deleted_offsets_topic_takes_the_groups_with_it),
        CO_TEST(members_go_on_after_a_start),
        CO_TEST(assignment_that_was_not_durable_is_gone_after_a_crash),
        CO_TEST(explainer_answers_the_admin_listener),
        CO_TEST(offsets_of_transactions_count_when_committed),
        CO_TEST(compressed_batches_are_loaded),
        CO_TEST(compressed_batch_that_is_a_bomb_fails_its_partition),
        CO_TEST(compacted_log_is_loaded),
        CO_TEST(batch_larger_than_a_chunk_is_loaded),
    };
    return TESTS_RUN(tests);
}
