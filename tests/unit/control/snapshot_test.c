/* snapshot_test.c - snapshots of the metadata log: when, what is in them, and that a start from one
 * and what follows it gives the same state. */
#include "rig.h"

static struct rig rig;
static struct control_op op;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 2);
    rig_override(&rig, "metadata.log.max.record.bytes.between.snapshots=3000");
    assert_int_equal(rig_start(&rig), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void set(int8_t type, const char *name, const char *key, const char *value)
{
    struct incremental_alter_configs_request_resources_configs item = {bytes_of_string(key), 0,
                                                                       bytes_of_string(value)};
    struct incremental_alter_configs_request_resources resource = {type, bytes_of_string(name),
                                                                   &item, 1};
    struct incremental_alter_configs_request request = {&resource, 1, false};
    struct incremental_alter_configs_response *r = rig_ask(&rig, &op, 44, 1, &request);
    assert_int_equal(r->responses[0].error_code, 0);
    arena_fini(&op.arena);
}

static void turns_until_written(uint64_t n)
{
    for (int i = 0; i < 200 && (rig.control->snapshot.written_n < n ||
                                rig.control->snapshot.phase != SNAPSHOT_NONE);
         i++)
        rig_turn(&rig);
    assert_int_equal(rig.control->snapshot.written_n, n);
}

/* Everything a state can hold. */
static void fill(void)
{
    assert_int_equal(rig_create(&rig, "a.b", 3), 0);
    assert_int_equal(rig_create(&rig, "many", 2500), 0);
    set(2, "a.b", "retention.ms", "77");
    set(4, "", "log.retention.ms", "88");
    set(4, "1", "log.roll.ms", "99");
    set(32, "g", "consumer.session.timeout.ms", "46000");
    set(16, "s", "metrics", "x");
    struct init_producer_id_request request = {.producer_id = -1, .producer_epoch = -1};
    (void)rig_ask(&rig, &op, 22, 4, &request);
    arena_fini(&op.arena);
}

static uint32_t snapshots_n(void)
{
    uint32_t n = 0;
    for (int i = 0; i < MEM_FILES_MAX; i++) {
        const char *path = rig.disk.files[i].path;
        n += path[0] != 0 && strlen(path) > 11 &&
             strcmp(path + strlen(path) - 11, ".checkpoint") == 0;
    }
    return n;
}

static void snapshot_alone_gives_the_same_state(void **state)
{
    (void)state;
    fill();
    turns_until_written(1);
    rig.now.ns += 61 * NS_PER_S;
    assert_int_equal(rig_create(&rig, "last", 60), 0);
    turns_until_written(2);
    assert_int_equal(fake_store_rules.moved_to, rig.control->snapshot.offset);
    char *live = state_text(&rig.control->state), *replayed = rig_replayed_text(&rig);
    assert_string_equal(live, replayed);
    free(replayed);
    /* without the log there is only the snapshot */
    char path[128];
    snprintf(path, sizeof path, "data/__cluster_metadata-0/%020d.log", 0);
    assert_int_equal(disk_unlink(&rig.disk.disk, path), 0);
    replayed = rig_replayed_text(&rig);
    assert_string_equal(live, replayed);
    free(live);
    free(replayed);
}

static void start_goes_on_from_a_snapshot(void **state)
{
    (void)state;
    fill();
    turns_until_written(1);
    assert_int_equal(rig_create(&rig, "later", 2), 0);
    char *live = state_text(&rig.control->state), *replayed = rig_replayed_text(&rig);
    assert_string_equal(live, replayed);
    free(live);
    free(replayed);
    rig_stop(&rig);
    assert_int_equal(rig_start(&rig), 0);
    assert_non_null(view_topic_by_name(rig_view(&rig), bytes_of_string("later")));
    const struct view_topic *topic = view_topic_by_name(rig_view(&rig), bytes_of_string("a.b"));
    assert_int_equal(topic->config.retention_ms, 77);
    assert_int_equal(view_topic_by_name(rig_view(&rig), bytes_of_string("many"))->partitions_n,
                     2500);
}

static void only_the_newest_is_kept(void **state)
{
    (void)state;
    fill();
    turns_until_written(1);
    for (uint64_t i = 2; i <= 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", (int)i);
        assert_int_equal(rig_create(&rig, name, 60), 0);
        rig.now.ns += 61 * NS_PER_S;
        turns_until_written(i);
        assert_int_equal(snapshots_n(), 1);
    }
}

static void little_news_wait_for_the_interval(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++)
        rig_turn(&rig);
    assert_int_equal(rig.control->snapshot.written_n, 0);
    rig.now.ns += 3601 * NS_PER_S;
    turns_until_written(1);
    rig.now.ns += 3601 * NS_PER_S; /* nothing came since */
    for (int i = 0; i < 50; i++)
        rig_turn(&rig);
    assert_int_equal(rig.control->snapshot.written_n, 1);
}

static void failed_write_leaves_everything_and_is_tried_again(void **state)
{
    (void)state;
    fake_store_rules.file_error = E_IO;
    fill();
    for (int i = 0; i < 50; i++)
        rig_turn(&rig);
    assert_int_equal(rig.control->snapshot.written_n, 0);
    assert_int_equal(rig.control->snapshot.phase, SNAPSHOT_NONE);
    assert_int_equal(snapshots_n(), 0);
    assert_int_equal(control_error(rig.control), 0);
    char *live = state_text(&rig.control->state), *replayed = rig_replayed_text(&rig);
    assert_string_equal(live, replayed);
    free(live);
    free(replayed);
    fake_store_rules.file_error = 0;
    rig.now.ns += 61 * NS_PER_S;
    assert_int_equal(rig_create(&rig, "more", 60), 0);
    turns_until_written(1);
}

static void requests_go_on_while_one_is_written(void **state)
{
    (void)state;
    fake_store_rules.holds_file = true;
    fill();
    assert_int_equal(rig.control->snapshot.phase, SNAPSHOT_WRITING);
    assert_false(control_is_quiet(rig.control));
    assert_int_equal(rig_create(&rig, "meanwhile", 1), 0);
    fake_store_rules.holds_file = false;
    turns_until_written(1);
    char *live = state_text(&rig.control->state), *replayed = rig_replayed_text(&rig);
    assert_string_equal(live, replayed);
    free(live);
    free(replayed);
}

/* What the newest snapshot alone says: the log beside it is gone. */
static char *snapshot_text(void)
{
    struct mem_disk whole = rig.disk;
    char path[128];
    mem_disk_copy(&rig.disk, &whole);
    snprintf(path, sizeof path, "data/__cluster_metadata-0/%020d.log", 0);
    assert_int_equal(disk_unlink(&rig.disk.disk, path), 0);
    char *text = rig_replayed_text(&rig);
    mem_disk_fini(&rig.disk);
    rig.disk = whole;
    return text;
}

/* A crash now: what is replayed is what was durable. */
static void crash_gives(const char *text)
{
    char *replayed = rig_replayed_text(&rig);
    assert_string_equal(text, replayed);
    free(replayed);
}

static void building_begins(void)
{
    for (int i = 0; i < 200 && rig.control->snapshot.phase != SNAPSHOT_BUILDING; i++)
        rig_turn(&rig);
    assert_int_equal(rig.control->snapshot.phase, SNAPSHOT_BUILDING);
}

/* One is whole, and the next is being built. */
static void second_one_begins(void)
{
    fill();
    turns_until_written(1);
    rig.now.ns += 61 * NS_PER_S;
    assert_int_equal(rig_create(&rig, "last", 60), 0);
    building_begins();
}

/* Changes of every kind, asked for in the middle of a file: it holds the state it began with, and a
 * start from it and the log behind it has them. */
static void changes_while_one_is_built_wait_and_are_not_lost(void **state)
{
    (void)state;
    struct control_op made, deleted, grown, read;
    struct create_topics_request_topics topic = rig_topic("new", 7, 1);
    struct create_topics_request create = {.topics = &topic, .topics_n = 1};
    struct delete_topics_request_topics gone = {.name = bytes_of_string("a.b")};
    struct delete_topics_request delete = {.topics = &gone, .topics_n = 1};
    struct create_partitions_request_topics more = {
        .name = bytes_of_string("many"), .count = 2600, .assignments_n = -1};
    struct create_partitions_request grow = {.topics = &more, .topics_n = 1};
    struct list_config_resources_request list = {0};
    second_one_begins();
    char *before = state_text(&rig.control->state);
    rig_send(&rig, &made, 19, 7, &create);
    rig_send(&rig, &deleted, 20, 6, &delete);
    rig_send(&rig, &grown, 37, 3, &grow);
    rig_send(&rig, &read, 74, 1, &list);
    rig.control->wants_round = true; /* a move that ended */
    int turns_n = 0;
    for (; rig.control->snapshot.phase == SNAPSHOT_BUILDING; turns_n++) {
        crash_gives(before);
        assert_int_equal(rig.control->phase, CONTROL_OPEN);
        assert_false(made.mail.is_answer || deleted.mail.is_answer || grown.mail.is_answer);
        assert_true(turns_n < 2 || read.mail.is_answer);
        rig_turn(&rig);
    }
    assert_true(turns_n >= 2500 / SNAPSHOT_STEPS_PER_TURN);
    turns_until_written(2);
    char *alone = snapshot_text();
    assert_string_equal(before, alone);
    for (int i = 0;
         i < 200 && !(made.mail.is_answer && deleted.mail.is_answer && grown.mail.is_answer); i++)
        rig_turn(&rig);
    assert_int_equal(((struct create_topics_response *)made.response)->topics[0].error_code, 0);
    assert_int_equal(((struct delete_topics_response *)deleted.response)->responses[0].error_code,
                     0);
    assert_int_equal(((struct create_partitions_response *)grown.response)->results[0].error_code,
                     0);
    char *after = state_text(&rig.control->state);
    assert_string_not_equal(before, after);
    crash_gives(after);
    free(before), free(alone), free(after);
    arena_fini(&made.arena), arena_fini(&deleted.arena);
    arena_fini(&grown.arena), arena_fini(&read.arena);
}

static int setup_large(void **state)
{
    (void)state;
    rig_init(&rig, 2);
    assert_int_equal(rig_start(&rig), 0);
    return 0;
}

/* 50,000 partitions, and the removed topics between them: no turn writes more than its share. */
static void turns_of_a_large_one_are_bounded(void **state)
{
    (void)state;
    struct snapshot *s = &rig.control->snapshot;
    enum { TOPICS_N = 10, PARTITIONS_N = 5000 };
    uint64_t longest_bytes = 0;
    int turns_n = 0;
    for (int i = 0; i < TOPICS_N; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(rig_create(&rig, name, PARTITIONS_N), 0);
        rig.orders_n = 0;
    }
    rig.now.ns += 3601 * NS_PER_S;
    building_begins();
    for (; s->phase == SNAPSHOT_BUILDING; turns_n++) {
        int64_t offset = s->build.offset;
        uint64_t bytes_n = s->bytes_n;
        rig_turn(&rig);
        if (s->phase != SNAPSHOT_BUILDING)
            break;
        assert_true(s->build.offset - offset <= SNAPSHOT_STEPS_PER_TURN);
        longest_bytes = max_u64(longest_bytes, s->bytes_n - bytes_n);
    }
    assert_true(turns_n >= TOPICS_N * PARTITIONS_N / SNAPSHOT_STEPS_PER_TURN);
    assert_true(longest_bytes < 128 * SNAPSHOT_STEPS_PER_TURN + 1024);
    turns_until_written(1);
    char *live = state_text(&rig.control->state), *alone = snapshot_text();
    assert_string_equal(live, alone);
    free(live);
    free(alone);
}

static void partition_of_another_ends_the_building(void **state)
{
    (void)state;
    second_one_begins();
    state_topic_by_name(&rig.control->state, bytes_of_string("last"))->partitions[59].leader = 2;
    uint64_t refused_n = rig.control->snapshot.refused_n;
    for (int i = 0; i < 50; i++)
        rig_turn(&rig);
    assert_int_equal(rig.control->snapshot.phase, SNAPSHOT_NONE);
    assert_int_equal(rig.control->snapshot.refused_n, refused_n + 1);
    assert_int_equal(rig.control->snapshot.written_n, 1);
    assert_int_equal(rig_create(&rig, "then", 1), 0); /* nothing waits for it any more */
}

static void failed_log_ends_the_building(void **state)
{
    (void)state;
    second_one_begins();
    rig.control->is_failed = true;
    rig_turn(&rig);
    assert_int_equal(rig.control->snapshot.phase, SNAPSHOT_NONE);
    assert_null(rig.control->snapshot.bytes);
    assert_int_equal(snapshots_n(), 1);
}

static void stop_within_the_building_frees_it(void **state)
{
    (void)state;
    second_one_begins();
    assert_false(control_is_quiet(rig.control));
}

static void log_with_what_is_not_kept_gets_none(void **state)
{
    (void)state;
    rig.control->state.unkept_n = 1; /* an ACL, say */
    fill();
    rig.now.ns += 3601 * NS_PER_S;
    for (int i = 0; i < 50; i++)
        rig_turn(&rig);
    assert_int_equal(rig.control->snapshot.written_n, 0);
    assert_true(rig.control->snapshot.refused_n > 0);
}

static void stop_within_a_snapshot_frees_it(void **state)
{
    (void)state;
    fake_store_rules.holds_file = true;
    fill();
    assert_int_equal(rig.control->snapshot.phase, SNAPSHOT_WRITING);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(snapshot_alone_gives_the_same_state),
        RIG_TEST(start_goes_on_from_a_snapshot),
        RIG_TEST(only_the_newest_is_kept),
        RIG_TEST(little_news_wait_for_the_interval),
        RIG_TEST(failed_write_leaves_everything_and_is_tried_again),
        RIG_TEST(requests_go_on_while_one_is_written),
        RIG_TEST(log_with_what_is_not_kept_gets_none),
        RIG_TEST(stop_within_a_snapshot_frees_it),
        RIG_TEST(changes_while_one_is_built_wait_and_are_not_lost),
        cmocka_unit_test_setup_teardown(turns_of_a_large_one_are_bounded, setup_large, teardown),
        RIG_TEST(partition_of_another_ends_the_building),
        RIG_TEST(failed_log_ends_the_building),
        RIG_TEST(stop_within_the_building_frees_it),
    };
    return TESTS_RUN(tests);
}
