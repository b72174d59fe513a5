/* configs_test.c - DescribeConfigs: every setting, its source and synonyms, every error;
 * InitProducerId. */
#include "rig.h"

static struct rig rig;
static struct control_op op;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 2);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_create(&rig, "ok1", 2), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* ── DescribeConfigs ── */

static struct describe_configs_response_results *describe(int8_t type, const char *name,
                                                          struct bytes *keys, int32_t keys_n)
{
    static struct describe_configs_request_resources resource;
    static struct describe_configs_request request;
    resource =
        (struct describe_configs_request_resources){type, bytes_of_string(name), keys, keys_n};
    request = (struct describe_configs_request){.resources = &resource,
                                                .resources_n = 1,
                                                .include_synonyms = true,
                                                .include_documentation = true};
    struct describe_configs_response *r = rig_ask(&rig, &op, 32, 4, &request);
    assert_non_null(r);
    assert_int_equal(r->results_n, 1);
    assert_int_equal(r->results[0].resource_type, type);
    assert_true(bytes_text_is(r->results[0].resource_name, name));
    return &r->results[0];
}

static struct describe_configs_response_results_configs *entry(
    struct describe_configs_response_results *r, const char *key)
{
    for (int32_t i = 0; i < r->configs_n; i++)
        if (bytes_text_is(r->configs[i].name, key))
            return &r->configs[i];
    return NULL;
}

static void describe_refuses_with_kafkas_words(void **state)
{
    (void)state;
    static const struct {
        int8_t type;
        const char *name;
        int16_t code;
        const char *text;
    } rows[] = {
        {2, "nosuch", 3, ""},
        {2, "a b", 17,
         "Topic name is invalid: 'a b' contains one or more characters other than ASCII "
         "alphanumerics, "
         "'.', '_' and '-'"},
        {4, "7", 42, "Unexpected broker id, expected 1 or empty string, but received 7"},
        {4, "x", 42, "Broker id must be an integer, but it is: x"},
        {4, "99999999999999999999999999999999", 42,
         "Broker id must be an integer, but it is: 99999999999999999999999999999999"},
        {8, "", 42, "Broker id must not be empty"},
        {8, "7", 42, "Unexpected broker id, expected 1 but received 7"},
        {99, "x", 42,
         "This most likely occurs because of a request being malformed by the client library or "
         "the message "
         "was sent to an incompatible broker. See the broker logs for more details."},
        {32, "", 42, "Group name must not be empty"},
        {16, "", 42, "Client metrics subscription name must not be empty"},
    };
    for (uint32_t i = 0; i < array_n(rows); i++) {
        struct describe_configs_response_results *r =
            describe(rows[i].type, rows[i].name, NULL, -1);
        assert_int_equal(r->error_code, rows[i].code);
        assert_true(bytes_text_is(r->error_message, rows[i].text));
        assert_int_equal(r->configs_n, 0);
        arena_fini(&op.arena);
    }
}

static void trap_16_topic_lists_every_setting(void **state)
{
    (void)state;
    struct describe_configs_response_results *r = describe(2, "ok1", NULL, -1);
    assert_int_equal(r->error_code, 0);
    assert_int_equal(r->configs_n, 35); /* Kafka's 33, storage.durability, millrace.latency.class */
    struct describe_configs_response_results_configs *e = entry(r, "max.message.bytes");
    assert_true(bytes_text_is(e->value, "1048588"));
    assert_int_equal(e->config_source, SOURCE_DEFAULT);
    assert_int_equal(e->config_type, CONFIG_INT);
    assert_false(e->read_only || e->is_sensitive);
    assert_int_equal(e->synonyms_n, 1);
    assert_true(bytes_text_is(e->synonyms[0].name, "message.max.bytes"));
    assert_int_equal(e->synonyms[0].source, SOURCE_DEFAULT);
    assert_true(e->documentation.n > 10);
    e = entry(r, "min.insync.replicas");
    assert_int_equal(e->config_source, SOURCE_DYNAMIC_DEFAULT);
    assert_int_equal(e->synonyms_n, 2);
    assert_int_equal(e->synonyms[1].source, SOURCE_DEFAULT);
    e = entry(r, "retention.ms");
    assert_true(bytes_text_is(e->value, "604800000"));
    assert_int_equal(e->synonyms_n,
                     0); /* log.retention.ms has no value, and hours do not count as its synonym */
    e = entry(r, "flush.ms");
    assert_true(bytes_text_is(e->value, "9223372036854775807"));
    assert_null(entry(r, "internal.segment.bytes"));
    arena_fini(&op.arena);
}

static void trap_16_broker_lists_every_setting(void **state)
{
    (void)state;
    rig_override(&rig, "ssl.key.password=secret");
    rig_override(&rig, "log.retention.minutes=10");
    struct describe_configs_response_results *r = describe(4, "1", NULL, -1);
    assert_int_equal(r->error_code, 0);
    assert_int_equal(r->configs_n, 340 + 24); /* Kafka's that are not hidden, and ours */
    struct describe_configs_response_results_configs *e = entry(r, "ssl.key.password");
    assert_true(e->is_sensitive);
    assert_null(e->value.ptr);
    assert_int_equal(e->config_source, SOURCE_STATIC);
    assert_null(e->synonyms[0].value.ptr);
    e = entry(r, "num.partitions");
    assert_true(e->read_only);
    assert_true(bytes_text_is(e->value, "1"));
    e = entry(r, "log.retention.minutes");
    assert_int_equal(e->config_source, SOURCE_STATIC);
    assert_int_equal(e->synonyms_n, 2);
    assert_true(bytes_text_is(e->synonyms[1].name, "log.retention.hours"));
    e = entry(r, "log.retention.ms");
    assert_null(e->value.ptr);
    assert_int_equal(e->synonyms_n, 0);
    e = entry(r, "node.id");
    assert_int_equal(e->config_source, SOURCE_STATIC);
    assert_int_equal(e->synonyms_n, 1);
    assert_non_null(entry(r, "dataplane.workers"));
    assert_null(entry(r, "unstable.api.versions.enable"));
    arena_fini(&op.arena);
    r = describe(2, "ok1", NULL, -1);
    assert_true(bytes_text_is(entry(r, "retention.ms")->value, "600000"));
    arena_fini(&op.arena);
}

static void broker_without_name_lists_what_is_set_for_all(void **state)
{
    (void)state;
    struct describe_configs_response_results *r = describe(4, "", NULL, -1);
    assert_int_equal(r->configs_n, 1);
    assert_true(bytes_text_is(r->configs[0].name, "min.insync.replicas"));
    assert_int_equal(r->configs[0].config_source, SOURCE_DYNAMIC_DEFAULT);
    assert_int_equal(r->configs[0].synonyms_n, 1);
    arena_fini(&op.arena);
}

static void keys_select_what_is_listed(void **state)
{
    (void)state;
    struct bytes keys[] = {bytes_of_string("retention.ms"), bytes_of_string("no.such"),
                           bytes_of_string("segment.ms")};
    struct describe_configs_response_results *r = describe(2, "ok1", keys, 3);
    assert_int_equal(r->error_code, 0);
    assert_int_equal(r->configs_n, 2);
    arena_fini(&op.arena);
    r = describe(2, "ok1", keys, 0);
    assert_int_equal(r->configs_n, 35);
    arena_fini(&op.arena);
}

static void group_and_client_metrics_are_described(void **state)
{
    (void)state;
    struct describe_configs_response_results *r = describe(32, "g", NULL, -1);
    assert_int_equal(r->configs_n, 17);
    struct describe_configs_response_results_configs *e = entry(r, "consumer.session.timeout.ms");
    assert_true(bytes_text_is(e->value, "45000"));
    assert_true(bytes_text_is(e->synonyms[0].name, "group.consumer.session.timeout.ms"));
    arena_fini(&op.arena);
    r = describe(16, "m", NULL, -1);
    assert_int_equal(r->configs_n, 3);
    assert_true(bytes_text_is(entry(r, "interval.ms")->value, "300000"));
    arena_fini(&op.arena);
    r = describe(8, "1", NULL, -1);
    assert_int_equal(r->error_code, 0);
    assert_int_equal(r->configs_n, 0);
    arena_fini(&op.arena);
}

static void describe_v1_without_flags_has_no_synonyms(void **state)
{
    (void)state;
    struct describe_configs_request_resources resource = {2, bytes_of_string("ok1"), NULL, -1};
    struct describe_configs_request request = {.resources = &resource, .resources_n = 1};
    struct describe_configs_response *r = rig_ask(&rig, &op, 32, 1, &request);
    assert_int_equal(r->results[0].configs[0].synonyms_n, 0);
    assert_null(r->results[0].configs[0].documentation.ptr);
    arena_fini(&op.arena);
}

static void many_resources_are_spread_over_turns(void **state)
{
    (void)state;
    enum { N = 1000 };
    struct describe_configs_request_resources *resources = calloc(N, sizeof *resources);
    for (int i = 0; i < N; i++)
        resources[i] =
            (struct describe_configs_request_resources){2, bytes_of_string("ok1"), NULL, -1};
    struct describe_configs_request request = {.resources = resources, .resources_n = N};
    rig_send(&rig, &op, 32, 4, &request);
    int turns = 0;
    for (; !op.mail.is_answer && turns < 1000; turns++) {
        rig_turn(&rig);
        if (turns == 3)
            assert_int_equal(rig_create(&rig, "between", 1), 0); /* others go on meanwhile */
    }
    assert_in_range(turns, N / 64, 100);
    assert_int_equal(((struct describe_configs_response *)op.response)->results_n, N);
    arena_fini(&op.arena);
    free(resources);
}

static void answer_beyond_its_memory_closes_the_connection(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct describe_configs_request_resources *resources = calloc(N, sizeof *resources);
    for (int i = 0; i < N; i++)
        resources[i] =
            (struct describe_configs_request_resources){4, bytes_of_string("1"), NULL, -1};
    struct describe_configs_request request = {
        .resources = resources, .resources_n = N, .include_synonyms = true};
    assert_null(rig_ask(&rig, &op, 32, 4, &request));
    free(resources);
}

/* ── InitProducerId ── */

static struct init_producer_id_response *init(const char *transactional_id, int32_t timeout,
                                              int64_t id, int16_t epoch)
{
    static struct init_producer_id_request request;
    request =
        (struct init_producer_id_request){.transactional_id = bytes_of_string(transactional_id),
                                          .transaction_timeout_ms = timeout,
                                          .producer_id = id,
                                          .producer_epoch = epoch};
    struct init_producer_id_response *r = rig_ask(&rig, &op, 22, 4, &request);
    assert_non_null(r);
    return r;
}

static void idempotent_producers_get_rising_ids(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 3000; i++) {
        struct init_producer_id_response *r = init(NULL, 0, -1, -1);
        assert_int_equal(r->error_code, 0);
        assert_int_equal(r->producer_id, i);
        assert_int_equal(r->producer_epoch, 0);
        arena_fini(&op.arena);
    }
    assert_int_equal(rig.control->state.next_producer_id, 3000);
}

static void id_leaves_only_when_its_block_is_durable(void **state)
{
    (void)state;
    struct control_op ops[3];
    struct init_producer_id_request request = {.producer_id = -1, .producer_epoch = -1};
    fake_store_rules.holds_flush = true;
    for (int i = 0; i < 3; i++) {
        rig_send(&rig, &ops[i], 22, 4, &request);
        for (int j = 0; j < 5; j++)
            rig_turn(&rig);
        assert_false(ops[i].mail.is_answer);
    }
    fake_store_rules.holds_flush = false;
    for (int j = 0; j < 5; j++)
        rig_turn(&rig);
    for (int i = 0; i < 3; i++) {
        assert_true(ops[i].mail.is_answer);
        assert_int_equal(((struct init_producer_id_response *)ops[i].response)->producer_id, i);
        arena_fini(&ops[i].arena);
    }
}

static void restart_abandons_the_rest_of_a_block(void **state)
{
    (void)state;
    assert_int_equal(init(NULL, 0, -1, -1)->producer_id, 0);
    arena_fini(&op.arena);
    rig_stop(&rig);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(init(NULL, 0, -1, -1)->producer_id, 1000);
    arena_fini(&op.arena);
}

static void producer_that_names_its_id_gets_a_new_one(void **state)
{
    (void)state;
    assert_int_equal(init(NULL, 0, -1, -1)->producer_id, 0);
    arena_fini(&op.arena);
    struct init_producer_id_response *r = init(NULL, 0, 0, 0);
    assert_int_equal(r->error_code, 0);
    assert_int_equal(r->producer_id, 1);
    arena_fini(&op.arena);
}

static void init_refuses_what_kafka_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *transactional_id;
        int32_t timeout;
        int64_t id;
        int16_t epoch, code;
    } rows[] = {
        {"", 1000, -1, -1, 42},  {"t", 900001, -1, -1, 50}, {"t", 0, -1, -1, 50},
        {"t", -1, -1, -1, 50},   {NULL, 0, 5, -1, 42},      {NULL, 0, -1, 5, 42},
        {"t", 1000, -1, -1, 53},
    };
    for (uint32_t i = 0; i < array_n(rows); i++) {
        struct init_producer_id_response *r =
            init(rows[i].transactional_id, rows[i].timeout, rows[i].id, rows[i].epoch);
        assert_int_equal(r->error_code, rows[i].code);
        assert_int_equal(r->producer_id, -1);
        arena_fini(&op.arena);
    }
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(describe_refuses_with_kafkas_words),
        RIG_TEST(trap_16_topic_lists_every_setting),
        RIG_TEST(trap_16_broker_lists_every_setting),
        RIG_TEST(broker_without_name_lists_what_is_set_for_all),
        RIG_TEST(keys_select_what_is_listed),
        RIG_TEST(group_and_client_metrics_are_described),
        RIG_TEST(describe_v1_without_flags_has_no_synonyms),
        RIG_TEST(many_resources_are_spread_over_turns),
        RIG_TEST(answer_beyond_its_memory_closes_the_connection),
        RIG_TEST(idempotent_producers_get_rising_ids),
        RIG_TEST(id_leaves_only_when_its_block_is_durable),
        RIG_TEST(restart_abandons_the_rest_of_a_block),
        RIG_TEST(producer_that_names_its_id_gets_a_new_one),
        RIG_TEST(init_refuses_what_kafka_refuses),
    };
    return TESTS_RUN(tests);
}
