/* replay_test.c - the metadata log: replay equals live state, at every record, after every kind of
 * stop. */
#include "rig.h"

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 2);
    assert_int_equal(rig_start(&rig), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static struct mem_file *segment_file(void)
{
    return mem_find(&rig.disk, "data/__cluster_metadata-0/00000000000000000000.log");
}

static void assert_replay_equals_live(void)
{
    char *live = state_text(&rig.control->state), *replayed = rig_replayed_text(&rig);
    assert_string_equal(live, replayed);
    free(live);
    free(replayed);
}

/* One random request. */
static void random_request(struct prng *prng)
{
    char name[16];
    snprintf(name, sizeof name, "t%d", (int)prng_below(prng, 12));
    switch (prng_below(prng, 4)) {
    case 0:
    case 1: {
        struct create_topics_request_topics_configs config = {bytes_of_string("retention.ms"),
                                                              bytes_of_string("1000")};
        struct create_topics_request_topics topic =
            rig_topic(name, 1 + (int32_t)prng_below(prng, 5), 1);
        topic.configs = &config;
        topic.configs_n = (int32_t)prng_below(prng, 2);
        (void)rig_create_topic(&rig, &topic, NULL);
        return;
    }
    case 2: (void)rig_delete(&rig, name); return;
    default: {
        struct control_op op;
        struct init_producer_id_request request = {.producer_id = -1, .producer_epoch = -1};
        (void)rig_ask(&rig, &op, 22, 4, &request);
        arena_fini(&op.arena);
    }
    }
}

static void random_requests_with_a_restart_after_each_replay_to_the_same_state(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        int32_t epoch = 0;
        for (int i = 0; i < 60; i++) {
            rig.orders_n = 0;
            random_request(&prng);
            assert_replay_equals_live();
            if (!prng_chance(&prng, 50))
                continue;
            rig.is_clean = prng_chance(&prng, 50);
            if (rig.is_clean)
                assert_int_equal(control_close(rig.control, NULL), 0);
            rig_stop(&rig);
            if (!rig.is_clean)
                mem_disk_crash(&rig.disk);
            assert_int_equal(rig_start(&rig), 0);
            assert_replay_equals_live();
            assert_true(rig.control->leader_epoch >= epoch || rig.control->state.partitions_n == 0);
            epoch = rig.control->leader_epoch;
        }
    }
}

/* Every partition has the node as leader and the same epoch, which is the view's. */
static void assert_epochs_are_even(void)
{
    const struct view *view = rig_view(&rig);
    for (uint32_t i = 0; i < view->topics_n; i++)
        for (int32_t p = 0; p < view->topics[i]->partitions_n; p++) {
            assert_int_equal(view->topics[i]->partitions[p].leader, 1);
            assert_int_equal(view->topics[i]->partitions[p].leader_epoch, view->leader_epoch);
        }
}

static void unclean_start_raises_every_leader_epoch(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 3), 0);
    for (int32_t n = 1; n <= 3; n++) {
        rig_stop(&rig);
        mem_disk_crash(&rig.disk);
        rig.is_clean = false;
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_view(&rig)->leader_epoch, n);
        assert_epochs_are_even();
    }
    assert_int_equal(rig_create(&rig, "b", 2), 0);
    assert_epochs_are_even();
}

static void orderly_stop_leaves_partitions_without_leader_and_start_takes_them(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 2), 0);
    assert_int_equal(control_close(rig.control, NULL), 0);
    struct topic *topic = state_topic_by_name(&rig.control->state, bytes_of_string("a"));
    assert_int_equal(topic->partitions[0].leader, -1);
    assert_int_equal(topic->partitions[0].isr_n, 0);
    assert_true(state_broker(&rig.control->state, 1)->is_fenced);
    rig_stop(&rig);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_view(&rig)->leader_epoch, 2);
    assert_epochs_are_even();
    assert_false(state_broker(&rig.control->state, 1)->is_fenced);
}

static void clean_start_without_the_stop_records_keeps_epochs(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 2), 0);
    rig_stop(&rig);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_view(&rig)->leader_epoch, 0);
    assert_epochs_are_even();
}

/* The log is cut at every byte: what is whole before it is the state, and the next start works. */
static void log_cut_at_any_byte_starts_with_whole_batches(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 1), 0);
    assert_int_equal(rig_create(&rig, "b", 1), 0);
    rig_stop(&rig);
    struct mem_disk whole;
    mem_disk_copy(&whole, &rig.disk);
    uint64_t n = segment_file()->n;
    for (uint64_t cut = 0; cut < n; cut += 7) {
        struct state replayed;
        struct metadata_log log;
        char why[256];
        mem_disk_fini(&rig.disk);
        mem_disk_copy(&rig.disk, &whole);
        mem_resize(segment_file(), cut);
        assert_int_equal(state_init(&replayed, 1), 0);
        assert_int_equal(
            metadata_log_open(&log, &rig.disk.disk, "data", &replayed, why, sizeof why), 0);
        assert_true(log.pos <= cut);
        assert_int_equal(log.cut_bytes, cut - log.pos);
        assert_int_equal(segment_file()->n, log.pos);
        metadata_log_close(&log);
        state_fini(&replayed);
    }
    mem_disk_fini(&rig.disk);
    mem_disk_copy(&rig.disk, &whole);
    mem_resize(segment_file(), n - 1);
    rig.is_clean = false;
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_view(&rig)->topics_n, 1);
    assert_replay_equals_live();
    mem_disk_fini(&whole);
}

/* Byte `at` of the segment is part of a batch's leader epoch, which no checksum covers. */
static bool is_epoch_byte(const struct mem_file *segment, uint64_t at)
{
    struct batch batch;
    for (uint64_t pos = 0; pos < segment->n; pos += batch.bytes) {
        assert_int_equal(batch_header(segment->bytes + pos, &batch), 0);
        if (at >= pos + BATCH_EPOCH_AT && at < pos + BATCH_MAGIC_AT)
            return true;
    }
    return false;
}

static void flipped_bit_anywhere_never_makes_a_wrong_state(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 1), 0);
    int64_t end = rig.control->state.end_offset;
    rig_stop(&rig);
    struct mem_disk whole;
    mem_disk_copy(&whole, &rig.disk);
    uint64_t n = segment_file()->n;
    for (uint64_t at = 0; at < n; at += 3) {
        struct state replayed;
        struct metadata_log log;
        char why[256];
        mem_disk_fini(&rig.disk);
        mem_disk_copy(&rig.disk, &whole);
        bool is_covered = !is_epoch_byte(segment_file(), at);
        segment_file()->bytes[at] ^= 0x10;
        assert_int_equal(state_init(&replayed, 1), 0);
        int e = metadata_log_open(&log, &rig.disk.disk, "data", &replayed, why, sizeof why);
        assert_true(e == 0 || e == E_CORRUPT || e == E_UNSUPPORTED || e == E_MALFORMED);
        if (e == 0 && is_covered) /* the log ends before that batch */
            assert_true(replayed.end_offset < end);
        metadata_log_close(&log);
        state_fini(&replayed);
    }
    mem_disk_fini(&whole);
}

static void zero_tail_is_cut(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 1), 0);
    rig_stop(&rig);
    uint64_t n = segment_file()->n;
    mem_resize(segment_file(), n + 4096);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.control->cut_bytes, 4096);
    assert_int_equal(rig_view(&rig)->topics_n, 1);
}

/* Every changing disk operation of a first start and of a later start fails once: start says so,
 * and the next works. */
static void disk_failure_at_any_point_of_a_start_is_survived(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 2), 0);
    rig_stop(&rig);
    struct mem_disk before;
    mem_disk_copy(&before, &rig.disk);
    int starts_n = 0;
    for (uint64_t fail_at = 1; starts_n == 0; fail_at++) {
        mem_disk_fini(&rig.disk);
        mem_disk_copy(&rig.disk, &before);
        rig.disk.fail_at = fail_at;
        rig.is_clean = false;
        int e = rig_start(&rig);
        if (e == 0) {
            starts_n++;
            rig_stop(&rig);
        } else {
            assert_true(rig.why[0] != 0);
        }
        rig.disk.fail_at = 0;
        mem_disk_crash(&rig.disk);
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_view(&rig)->topics_n, 1);
        assert_epochs_are_even();
        assert_replay_equals_live();
        rig_stop(&rig);
        assert_in_range(fail_at, 1, 100);
    }
    mem_disk_fini(&before);
}

static void acknowledged_topics_survive_a_crash_at_any_write(void **state)
{
    (void)state;
    for (int crash_at = 0; crash_at < 12; crash_at++) {
        char name[16];
        int acknowledged = 0;
        rig_fini(&rig);
        rig_init(&rig, 2);
        assert_int_equal(rig_start(&rig), 0);
        for (int i = 0; i < crash_at; i++, acknowledged++) {
            snprintf(name, sizeof name, "t%d", i);
            assert_int_equal(rig_create(&rig, name, 1), 0);
        }
        struct control_op op; /* this one is appended and not flushed */
        struct create_topics_request_topics topic = rig_topic("late", 1, 1);
        struct create_topics_request request = {.topics = &topic, .topics_n = 1};
        fake_store_rules.holds_flush = true;
        rig_send(&rig, &op, 19, 7, &request);
        for (int i = 0; i < 5; i++)
            rig_turn(&rig);
        assert_false(op.mail.is_answer);
        arena_fini(&op.arena);
        rig_stop(&rig);
        mem_disk_crash(&rig.disk);
        fake_store_rules.holds_flush = false;
        rig.is_clean = false;
        assert_int_equal(rig_start(&rig), 0);
        assert_int_equal(rig_view(&rig)->topics_n, acknowledged);
    }
}

static void quorum_epoch_rises_with_every_start(void **state)
{
    (void)state;
    int32_t epoch;
    bool is_dynamic;
    for (int32_t n = 1; n <= 3; n++) {
        assert_int_equal(
            quorum_state_read(&rig.disk.disk, "data/__cluster_metadata-0", &epoch, &is_dynamic), 0);
        assert_int_equal(epoch, n);
        assert_false(is_dynamic);
        assert_int_equal(rig.control->state.epoch, n);
        rig_stop(&rig);
        assert_int_equal(rig_start(&rig), 0);
    }
}

static void dynamic_quorum_state_keeps_its_form(void **state)
{
    (void)state;
    int32_t epoch;
    bool is_dynamic;
    rig_stop(&rig);
    assert_int_equal(quorum_state_write(&rig.disk.disk, "data/__cluster_metadata-0", 1, 41, true),
                     0);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(
        quorum_state_read(&rig.disk.disk, "data/__cluster_metadata-0", &epoch, &is_dynamic), 0);
    assert_int_equal(epoch, 42);
    assert_true(is_dynamic);
    assert_int_equal(rig.control->state.epoch, 42);
}

static void first_log_with_a_controller_listener_is_of_a_dynamic_quorum(void **state)
{
    (void)state;
    int32_t epoch;
    bool is_dynamic;
    rig_fini(&rig);
    rig_init(&rig, 2);
    rig_override(&rig, "listeners=PLAINTEXT://:9092,CONTROLLER://:9093");
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(
        quorum_state_read(&rig.disk.disk, "data/__cluster_metadata-0", &epoch, &is_dynamic), 0);
    assert_true(is_dynamic);
    assert_int_equal(rig.control->state.end_offset, 16); /* two control records more */
    rig_stop(&rig);
    assert_int_equal(rig_start(&rig), 0);
    assert_replay_equals_live();
    rig_fini(&rig);
    rig_init(&rig, 2);
    rig_override(&rig, "listeners=PLAINTEXT://:9092,CONTROLLER://:9093");
    rig_override(&rig, "controller.quorum.voters=1@localhost:9093");
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig.control->state.end_offset, 14);
}

static uint64_t told_n, told_of;

static void told(void *context, uint64_t done_n, uint64_t all_n)
{
    (void)context;
    told_n = done_n;
    told_of = all_n;
}

/* As threads would: the last part has ended before the first. */
static void each_backwards(void *context, uint32_t n, void (*part)(void *, uint32_t),
                           void *argument)
{
    (void)context;
    while (n-- > 0)
        part(argument, n);
}

static void logs_are_opened_at_their_homes(void **state)
{
    (void)state;
    const struct opening_seams seams = {each_backwards, told, NULL};
    struct recovery_report report = {0};
    struct store *stores[2];
    struct store_config config = {.leader_epoch = 0};
    assert_int_equal(rig_create(&rig, "a", 7), 0);
    rig_stop(&rig);
    assert_int_equal(rig_start(&rig), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            store_init(&stores[i], &config, NULL, &rig.disk.disk, NULL, NULL, NULL, 0, 0), 0);
    assert_int_equal(control_open_logs(rig.control, stores, &report, &seams), 0);
    assert_int_equal(fake_store_rules.recovered_n, 7);
    assert_int_equal(told_n, 7);
    assert_int_equal(told_of, 7);
    fake_store_rules.recover_error = E_NO_MEMORY;
    assert_int_equal(control_open_logs(rig.control, stores, &report, &seams), E_NO_MEMORY);
    fake_store_rules.recover_error = E_CORRUPT;
    assert_int_equal(control_open_logs(rig.control, stores, &report, NULL), 0);
    assert_int_equal(rig_view(&rig)->topics[0]->partitions[3].leader, -1);
    fake_store_rules.recover_error = 0;
    for (int i = 0; i < 2; i++)
        store_fini(stores[i]);
}

static void known_logs_are_those_of_the_state(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 2), 0);
    struct uuid id = view_topic_by_name(rig_view(&rig), bytes_of_string("a"))->id, other = {{9}};
    assert_true(control_knows_log(rig.control, bytes_of_string("a"), 1, &id));
    assert_true(control_knows_log(rig.control, bytes_of_string("a"), 1, NULL));
    assert_false(control_knows_log(rig.control, bytes_of_string("a"), 2, &id));
    assert_false(control_knows_log(rig.control, bytes_of_string("a"), -1, &id));
    assert_false(control_knows_log(rig.control, bytes_of_string("a"), 0, &other));
    assert_false(control_knows_log(rig.control, bytes_of_string("b"), 0, &id));
    assert_true(control_knows_log(rig.control, bytes_of_string("__cluster_metadata"), 0, NULL));
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(random_requests_with_a_restart_after_each_replay_to_the_same_state),
        RIG_TEST(unclean_start_raises_every_leader_epoch),
        RIG_TEST(orderly_stop_leaves_partitions_without_leader_and_start_takes_them),
        RIG_TEST(clean_start_without_the_stop_records_keeps_epochs),
        RIG_TEST(log_cut_at_any_byte_starts_with_whole_batches),
        RIG_TEST(flipped_bit_anywhere_never_makes_a_wrong_state),
        RIG_TEST(zero_tail_is_cut),
        RIG_TEST(disk_failure_at_any_point_of_a_start_is_survived),
        RIG_TEST(acknowledged_topics_survive_a_crash_at_any_write),
        RIG_TEST(quorum_epoch_rises_with_every_start),
        RIG_TEST(dynamic_quorum_state_keeps_its_form),
        RIG_TEST(first_log_with_a_controller_listener_is_of_a_dynamic_quorum),
        RIG_TEST(logs_are_opened_at_their_homes),
        RIG_TEST(known_logs_are_those_of_the_state),
    };
    return TESTS_RUN(tests);
}
