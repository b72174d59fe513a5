/* control_test.c - the first start, the round, what is published and when. */
#include "rig.h"

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 3);
    assert_int_equal(rig_start(&rig), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void first_start_writes_what_kafka_writes(void **state)
{
    (void)state;
    const struct state *s = &rig.control->state;
    assert_int_equal(state_feature(s, "metadata.version"), 30);
    assert_int_equal(state_feature(s, "transaction.version"), 2);
    assert_string_equal(
        settings_get(state_settings(s, RESOURCE_BROKER, bytes_of("", 0)), "min.insync.replicas"),
        "1");
    assert_int_equal(state_broker(s, 1)->epoch, 11);
    assert_false(state_broker(s, 1)->is_fenced);
    assert_int_equal(s->epoch, 1);
    assert_int_equal(s->end_offset,
                     14); /* 1 leader change, 9 bootstrap, 2 registrations, 2 changes */
}

static void first_view_has_the_node(void **state)
{
    (void)state;
    const struct view *view = rig_view(&rig);
    assert_int_equal(view->version, 1);
    assert_int_equal(view->node_id, 1);
    assert_int_equal(view->controller_id, 1);
    assert_string_equal(view->cluster_id, "MkU3OEVBNTcwNTJENDM2Qg");
    assert_int_equal(view->topics_n, 0);
    assert_int_equal(view->feature_metadata_version, 30);
    assert_int_equal(view->leader_epoch, 0);
    assert_true(view->auto_create_topics);
    assert_null(view_topic_by_name(view, bytes_of_string("t")));
    assert_string_equal(view->listeners[0].advertised_host, "localhost");
}

static void created_topic_is_in_the_view(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "orders", 5), 0);
    const struct view *view = rig_view(&rig);
    const struct view_topic *topic = view_topic_by_name(view, bytes_of_string("orders"));
    assert_non_null(topic);
    assert_ptr_equal(view_topic_by_id(view, &topic->id), topic);
    assert_int_equal(topic->partitions_n, 5);
    assert_int_equal(topic->replicas_n, 1);
    assert_int_equal(view->partitions_n, 5);
    assert_int_equal(topic->config.segment_bytes, 1 << 30);
    assert_int_equal(topic->config.durability, STORE_GROUP);
    assert_int_equal(rig.orders_n, 5);
    for (int32_t p = 0; p < 5; p++) {
        assert_int_equal(topic->partitions[p].leader, 1);
        assert_int_equal(topic->partitions[p].leader_epoch, 0);
        assert_int_equal(topic->partitions[p].home, partition_home(&topic->id, p, 3));
        assert_int_equal(rig.orders[p].order, LOG_OPEN);
        int32_t ordered = rig.orders[p].id.partition;
        assert_int_equal(rig.orders[p].worker, topic->partitions[ordered].home);
    }
}

static void topic_is_not_seen_before_it_is_durable(void **state)
{
    (void)state;
    struct control_op op;
    struct create_topics_request_topics topic = rig_topic("t", 1, 1);
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    fake_store_rules.holds_flush = true;
    rig_send(&rig, &op, 19, 7, &request);
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_false(op.mail.is_answer);
    assert_int_equal(rig.orders_n, 0);
    assert_int_equal(rig_view(&rig)->topics_n, 0);
    fake_store_rules.holds_flush = false;
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_true(op.mail.is_answer);
    assert_int_equal(rig_view(&rig)->topics_n, 1);
    arena_fini(&op.arena);
}

static void topic_is_not_seen_before_its_logs_are_open(void **state)
{
    (void)state;
    struct control_op op;
    struct create_topics_request_topics topic = rig_topic("t", 4, 1);
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    rig.is_deaf = true;
    rig_send(&rig, &op, 19, 7, &request);
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_false(op.mail.is_answer);
    assert_int_equal(rig_view(&rig)->topics_n, 0);
    assert_false(control_is_quiet(rig.control));
    rig.is_deaf = false;
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_true(op.mail.is_answer);
    assert_int_equal(rig_view(&rig)->topics_n, 1);
    assert_true(control_is_quiet(rig.control));
    arena_fini(&op.arena);
}

static void log_that_cannot_be_opened_has_no_leader(void **state)
{
    (void)state;
    rig.open_error = E_NO_MEMORY;
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    const struct view_topic *topic = view_topic_by_name(rig_view(&rig), bytes_of_string("t"));
    int32_t failed = rig.orders[0].id.partition;
    assert_int_equal(topic->partitions[failed].leader, -1);
    assert_int_equal(topic->partitions[1 - failed].leader, 1);
    assert_int_equal(rig.control->failed_logs_n, 1);
}

static void requests_of_one_turn_share_a_flush(void **state)
{
    (void)state;
    struct control_op ops[10];
    struct create_topics_request_topics topics[10];
    struct create_topics_request requests[10];
    char names[10][8];
    for (int i = 0; i < 10; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        topics[i] = rig_topic(names[i], 1, 1);
        requests[i] = (struct create_topics_request){.topics = &topics[i], .topics_n = 1};
        rig_send(&rig, &ops[i], 19, 7, &requests[i]);
    }
    uint64_t version = rig_view(&rig)->version;
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_int_equal(rig_view(&rig)->version, version + 1);
    assert_int_equal(rig_view(&rig)->topics_n, 10);
    for (int i = 0; i < 10; i++) {
        assert_true(ops[i].mail.is_answer);
        assert_int_equal(((struct create_topics_response *)ops[i].response)->topics[0].error_code,
                         0);
        arena_fini(&ops[i].arena);
    }
}

static void unchanged_topics_are_shared_between_views(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 1), 0);
    const struct view_topic *a = view_topic_by_name(rig_view(&rig), bytes_of_string("a"));
    assert_int_equal(rig_create(&rig, "b", 1), 0);
    assert_ptr_equal(view_topic_by_name(rig_view(&rig), bytes_of_string("a")), a);
    assert_true(bytes_text_is(rig_view(&rig)->topics[0]->name, "a"));
    assert_true(bytes_text_is(rig_view(&rig)->topics[1]->name, "b"));
}

static void views_are_retired_when_all_workers_saw_a_newer_one(void **state)
{
    (void)state;
    char name[16];
    rig.is_asleep = true;
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(rig_create(&rig, name, 1), 0);
    }
    assert_int_equal(rig.control->retired_n, 5);
    (void)view_load(&rig.views, 0);
    (void)view_load(&rig.views, 1);
    rig_turn(&rig);
    assert_int_equal(rig.control->retired_n, 5);
    (void)view_load(&rig.views, 2);
    rig_turn(&rig);
    assert_int_equal(rig.control->retired_n, 0);
}

static void sleeping_workers_hold_publishing_back(void **state)
{
    (void)state;
    char name[16];
    struct control_op op;
    struct create_topics_request_topics topic = rig_topic("last", 1, 1);
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    rig.is_asleep = true;
    for (int i = 0; i < CONTROL_VIEWS_MAX; i++) {
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(rig_create(&rig, name, 1), 0);
    }
    rig_send(&rig, &op, 19, 7, &request);
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_false(op.mail.is_answer);
    rig.is_asleep = false;
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_true(op.mail.is_answer);
    arena_fini(&op.arena);
}

static void deleted_topic_leaves_the_view_then_its_logs(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "gone", 3), 0);
    struct uuid id = view_topic_by_name(rig_view(&rig), bytes_of_string("gone"))->id;
    rig.orders_n = 0;
    assert_int_equal(rig_delete(&rig, "gone"), 0);
    assert_null(view_topic_by_name(rig_view(&rig), bytes_of_string("gone")));
    assert_null(view_topic_by_id(rig_view(&rig), &id));
    assert_int_equal(rig.orders_n, 3);
    for (int p = 0; p < 3; p++) {
        assert_int_equal(rig.orders[p].order, LOG_DROP);
        assert_string_equal(rig.orders[p].name, "gone");
        assert_int_equal(rig.orders[p].worker, partition_home(&id, rig.orders[p].id.partition, 3));
    }
    assert_int_equal(rig_create(&rig, "gone", 1), 0);
    assert_false(uuid_equal(&id, &view_topic_by_name(rig_view(&rig), bytes_of_string("gone"))->id));
}

static void name_is_free_again_only_after_the_drop(void **state)
{
    (void)state;
    struct control_op drop, make;
    struct delete_topics_request_topics gone = {.name = bytes_of_string("t")};
    struct delete_topics_request delete = {.topics = &gone, .topics_n = 1};
    struct create_topics_request_topics topic = rig_topic("t", 1, 1);
    struct create_topics_request create = {.topics = &topic, .topics_n = 1};
    assert_int_equal(rig_create(&rig, "t", 1), 0);
    rig.orders_n = 0;
    rig_send(&rig, &drop, 20, 6, &delete);
    rig_send(&rig, &make, 19, 7, &create);
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_true(drop.mail.is_answer && make.mail.is_answer);
    assert_int_equal(((struct create_topics_response *)make.response)->topics[0].error_code, 0);
    assert_int_equal(rig.orders_n, 2);
    assert_int_equal(rig.orders[0].order, LOG_DROP);
    assert_int_equal(rig.orders[1].order, LOG_OPEN);
    arena_fini(&drop.arena);
    arena_fini(&make.arena);
}

static void topic_made_and_deleted_in_one_round_needs_no_log(void **state)
{
    (void)state;
    struct control_op drop, make;
    struct delete_topics_request_topics gone = {.name = bytes_of_string("t")};
    struct delete_topics_request delete = {.topics = &gone, .topics_n = 1};
    struct create_topics_request_topics topic = rig_topic("t", 1, 1);
    struct create_topics_request create = {.topics = &topic, .topics_n = 1};
    rig_send(&rig, &make, 19, 7, &create);
    rig_send(&rig, &drop, 20, 6, &delete);
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_true(drop.mail.is_answer && make.mail.is_answer);
    assert_int_equal(((struct delete_topics_response *)drop.response)->responses[0].error_code, 0);
    assert_int_equal(rig.orders_n, 0);
    assert_int_equal(rig_view(&rig)->topics_n, 0);
    arena_fini(&drop.arena);
    arena_fini(&make.arena);
}

static void failed_metadata_log_publishes_nothing_more(void **state)
{
    (void)state;
    struct control_op op, later;
    struct create_topics_request_topics topic = rig_topic("t", 1, 1);
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    fake_store_rules.fails_flush = true;
    assert_null(rig_ask(&rig, &op, 19, 7, &request));
    assert_int_equal(rig_view(&rig)->topics_n, 0);
    assert_int_equal(control_error(rig.control), E_STORAGE);
    assert_null(rig_ask(&rig, &later, 19, 7, &request));
    struct describe_configs_request_resources resource = {RESOURCE_BROKER, bytes_of_string("1"),
                                                          NULL, -1};
    struct describe_configs_request describe = {.resources = &resource, .resources_n = 1};
    assert_non_null(rig_ask(&rig, &later, 32, 4, &describe));
    arena_fini(&later.arena);
}

static void full_tail_makes_the_request_wait(void **state)
{
    (void)state;
    fake_store_rules.append_error = E_AGAIN;
    assert_int_equal(rig_create(&rig, "t", 1), 0);
    assert_int_equal(rig_view(&rig)->topics_n, 1);
}

static void waiting_uses_up_no_memory(void **state)
{
    (void)state;
    struct control_op op, init;
    struct create_topics_request_topics topic = rig_topic("t", 1, 1);
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    struct init_producer_id_request id = {.producer_id = -1, .producer_epoch = -1};
    rig_send(&rig, &op, 19, 7, &request);
    for (int i = 0; i < 1000; i++) {
        fake_store_rules.append_error = E_AGAIN;
        rig_turn(&rig);
    }
    assert_false(op.mail.is_answer);
    assert_int_equal(op.arena.used_bytes, 0);
    fake_store_rules.append_error = 0;
    fake_store_rules.holds_flush = true;
    rig_turn(&rig);
    rig_send(&rig, &init, 22, 4, &id);
    for (int i = 0; i < 1000; i++)
        rig_turn(&rig);
    assert_false(init.mail.is_answer);
    assert_in_range(init.arena.used_bytes, 1, 4096);
    fake_store_rules.holds_flush = false;
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_true(op.mail.is_answer && init.mail.is_answer);
    arena_fini(&op.arena);
    arena_fini(&init.arena);
}

static void append_that_fails_closes_the_log(void **state)
{
    (void)state;
    struct create_topics_request_topics topic = rig_topic("t", 1, 1);
    struct control_op op;
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    fake_store_rules.append_error = E_STORAGE;
    assert_null(rig_ask(&rig, &op, 19, 7, &request));
    assert_int_equal(control_error(rig.control), E_STORAGE);
}

static void unknown_api_closes_the_connection(void **state)
{
    (void)state;
    struct control_op op;
    assert_null(rig_ask(&rig, &op, 999, 0, NULL));
}

static void store_is_ticked_every_second(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        rig.now.ns += NS_PER_S;
        rig_turn(&rig);
    }
    assert_int_equal(fake_store_rules.ticks_n, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(first_start_writes_what_kafka_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(first_view_has_the_node, setup, teardown),
        cmocka_unit_test_setup_teardown(created_topic_is_in_the_view, setup, teardown),
        cmocka_unit_test_setup_teardown(topic_is_not_seen_before_it_is_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(topic_is_not_seen_before_its_logs_are_open, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(log_that_cannot_be_opened_has_no_leader, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_of_one_turn_share_a_flush, setup, teardown),
        cmocka_unit_test_setup_teardown(unchanged_topics_are_shared_between_views, setup, teardown),
        cmocka_unit_test_setup_teardown(views_are_retired_when_all_workers_saw_a_newer_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sleeping_workers_hold_publishing_back, setup, teardown),
        cmocka_unit_test_setup_teardown(deleted_topic_leaves_the_view_then_its_logs, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(name_is_free_again_only_after_the_drop, setup, teardown),
        cmocka_unit_test_setup_teardown(topic_made_and_deleted_in_one_round_needs_no_log, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(failed_metadata_log_publishes_nothing_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(full_tail_makes_the_request_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting_uses_up_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(append_that_fails_closes_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_api_closes_the_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(store_is_ticked_every_second, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
