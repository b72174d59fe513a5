/* configs_alter_test.c - AlterConfigs and IncrementalAlterConfigs: Kafka's codes and sentences, the
 * records, what logs are told; ListConfigResources. */
#include "rig.h"

static struct rig rig;
static struct control_op op;
static char text[1024];

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

static int16_t alter_many(int8_t type, const char *name,
                          struct incremental_alter_configs_request_resources_configs *items,
                          int32_t n, bool is_dry)
{
    struct incremental_alter_configs_request_resources resource = {type, bytes_of_string(name),
                                                                   items, n};
    struct incremental_alter_configs_request request = {&resource, 1, is_dry};
    struct incremental_alter_configs_response *r = rig_ask(&rig, &op, 44, 1, &request);
    assert_non_null(r);
    assert_int_equal(r->responses_n, 1);
    assert_int_equal(r->responses[0].resource_type, type);
    struct bytes message = r->responses[0].error_message;
    snprintf(text, sizeof text, "%.*s", (int)message.n,
             message.ptr != NULL ? (const char *)message.ptr : "");
    int16_t code = r->responses[0].error_code;
    arena_fini(&op.arena);
    return code;
}

static int16_t alter(int8_t type, const char *name, const char *key, int8_t how, const char *value)
{
    struct incremental_alter_configs_request_resources_configs item = {bytes_of_string(key), how,
                                                                       bytes_of_string(value)};
    return alter_many(type, name, &item, 1, false);
}

/* AlterConfigs with up to one setting. */
static int16_t replace(int8_t type, const char *name, const char *key, const char *value)
{
    struct alter_configs_request_resources_configs item = {bytes_of_string(key),
                                                           bytes_of_string(value)};
    struct alter_configs_request_resources resource = {type, bytes_of_string(name), &item,
                                                       key != NULL ? 1 : 0};
    struct alter_configs_request request = {&resource, 1, false};
    struct alter_configs_response *r = rig_ask(&rig, &op, 33, 2, &request);
    assert_non_null(r);
    int16_t code = r->responses[0].error_code;
    struct bytes message = r->responses[0].error_message;
    snprintf(text, sizeof text, "%.*s", (int)message.n,
             message.ptr != NULL ? (const char *)message.ptr : "");
    arena_fini(&op.arena);
    return code;
}

static const char *topic_value(const char *name, const char *key)
{
    struct topic *topic = state_topic_by_name(&rig.control->state, bytes_of_string(name));
    return settings_get(&topic->settings, key);
}

static const struct log_config *published(const char *name)
{
    return &view_topic_by_name(rig_view(&rig), bytes_of_string(name))->config;
}

/* What is refused, and how Apache Kafka words it. */
static const struct {
    int8_t type, how;
    const char *name, *key, *value;
    int16_t code;
    const char *message;
} refused[] = {
    {2, 0, "nosuch", "retention.ms", "1", 3, "The topic 'nosuch' does not exist."},
    {2, 0, "nosuch", "no.such", "1", 40, "Unknown topic config name: no.such"},
    {2, 0, "ok1", "retention.ms", "abc", 40,
     "Invalid value abc for configuration retention.ms: Not a number of type LONG"},
    {2, 2, "ok1", "retention.ms", "1", 40,
     "Can't APPEND to key retention.ms because its type is not LIST."},
    {2, 3, "ok1", "no.such", "1", 40,
     "Can't SUBTRACT to key no.such because its type is not LIST."},
    {2, 0, "ok1", "retention.ms", NULL, 42, "Null value not supported for : retention.ms"},
    {2, 7, "ok1", "retention.ms", "1", -1, ""},
    {2, 0, "", "retention.ms", "1", 42, "Default topic resources are not allowed."},
    {2, 2, "ok1", "cleanup.policy", "foo", 40,
     "Invalid value foo for configuration cleanup.policy: String must be one of: compact, "
     "delete"},
    {2, 0, "ok1", "remote.storage.enable", "true", 40,
     "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with "
     "remote log storage."},
    {4, 0, "1", "log.dirs", "x", 42, "Cannot update these configs dynamically: [log.dirs]"},
    {4, 0, "7", "log.retention.ms", "1", 42, "Unexpected broker id, expected 1, but received 7"},
    {4, 0, "abc", "log.retention.ms", "1", 42, "Node id must be an integer, but it is: abc"},
    {4, 0, "", "cordoned.log.dirs", "x", 42,
     "Cannot update these configs at default cluster level, broker id must be specified: "
     "[cordoned.log.dirs]"},
    {4, 0, "1", "cordoned.log.dirs", "x", 42,
     "requirement failed: All entries in cordoned.log.dirs must be present in log.dirs or "
     "log.dir. Missing entries : x"},
    {4, 0, "1", "cordoned.log.dirs", "x,*", 42,
     "requirement failed: When cordoned.log.dirs is set to *, it must not contain other values"},
    {4, 0, "1", "listeners", "x", 42, "Cannot update these configs dynamically: [listeners]"},
    {4, 0, "1", "ssl.keystore.location", "x", 42,
     "These security configs can be dynamically updated only per-listener using the listener "
     "prefix: [ssl.keystore.location]"},
    {4, 0, "1", "log.retention.ms", "abc", 42,
     "Invalid value abc for configuration log.retention.ms: Not a number of type LONG"},
    {4, 7, "1", "log.retention.ms", "1", 42, "Unknown operations type 7"},
    {4, 2, "1", "log.retention.ms", "1", 40,
     "Config value append is not allowed for config key: log.retention.ms"},
    {4, 2, "1", "foo.bar", "1", 40, "Unknown config name: foo.bar"},
    {4, 0, "1", "min.insync.replicas", "1", 40,
     "Broker-level min.insync.replicas cannot be altered while ELR is enabled."},
    {4, 1, "", "min.insync.replicas", NULL, 40,
     "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."},
    {8, 0, "1", "root", "INFO", 40, "Logger root does not exist!"},
    {8, 2, "1", "root", "INFO", 42,
     "APPEND operation is not allowed for the BROKER_LOGGER resource"},
    {99, 0, "x", "a", "b", 42, "Unknown resource type 99"},
    {32, 0, "g", "x.y", "1", 40, "Unknown group config name: x.y"},
    {32, 0, "", "consumer.session.timeout.ms", "45000", 42,
     "Default group resources are not allowed."},
    {32, 0, "g", "consumer.session.timeout.ms", "1", 40,
     "consumer.session.timeout.ms must be greater than or equal to "
     "group.consumer.min.session.timeout.ms"},
    {32, 0, "g", "streams.num.standby.replicas", "3", 40,
     "streams.num.standby.replicas must be less than or equal to "
     "group.streams.max.standby.replicas"},
    {16, 0, "", "interval.ms", "1000", 42, "Subscription name can't be empty"},
    {16, 0, "s", "foo", "1000", 42, "Unknown client metrics configuration: foo"},
    {16, 0, "s", "interval.ms", "1", 42,
     "Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)"},
    {16, 0, "s", "match", "client_id=[", 40, "Illegal client matching pattern: client_id=["},
    {16, 0, "s", "match", "abc=x", 40, "Illegal client matching pattern: abc=x"},
    {16, 2, "s", "metrics", "c", 40, "Can't APPEND to key metrics because its type is not LIST."},
};

static void alter_refuses_with_kafkas_words(void **state)
{
    (void)state;
    char *before = state_text(&rig.control->state);
    for (uint32_t i = 0; i < array_n(refused); i++) {
        assert_int_equal(alter(refused[i].type, refused[i].name, refused[i].key, refused[i].how,
                               refused[i].value),
                         refused[i].code);
        assert_string_equal(text, refused[i].message);
    }
    char *after = state_text(&rig.control->state);
    assert_string_equal(before, after); /* none of them wrote anything */
    free(before);
    free(after);
}

static void set_reaches_the_logs_and_the_view_before_the_answer(void **state)
{
    (void)state;
    rig.orders_n = 0;
    assert_int_equal(alter(2, "ok1", "max.message.bytes", 0, " 2000 "), 0);
    assert_string_equal(topic_value("ok1", "max.message.bytes"), "2000");
    assert_int_equal(published("ok1")->max_message_bytes, 2000);
    assert_int_equal(rig.orders_n, 2); /* one per partition */
    assert_int_equal(rig.orders[0].order, LOG_CONFIGURE);
    assert_int_equal(alter(2, "ok1", "max.message.bytes", 1, NULL), 0);
    assert_null(topic_value("ok1", "max.message.bytes"));
    assert_int_equal(published("ok1")->max_message_bytes, 1048588);
}

static void setting_that_no_log_honours_orders_nothing(void **state)
{
    (void)state;
    rig.orders_n = 0;
    assert_int_equal(alter(2, "ok1", "min.insync.replicas", 0, "2"), 0);
    assert_int_equal(rig.orders_n, 0);
    assert_string_equal(topic_value("ok1", "min.insync.replicas"), "2");
}

static void value_it_already_has_writes_nothing(void **state)
{
    (void)state;
    assert_int_equal(alter(2, "ok1", "retention.ms", 0, "5"), 0);
    int64_t end = rig.control->state.end_offset;
    assert_int_equal(alter(2, "ok1", "retention.ms", 0, "5"), 0);
    assert_int_equal(alter(2, "ok1", "segment.ms", 1, NULL), 0);
    assert_int_equal(rig.control->state.end_offset, end);
}

static void append_and_subtract_change_lists(void **state)
{
    (void)state;
    assert_int_equal(alter(2, "ok1", "cleanup.policy", 2, "compact"), 0);
    assert_string_equal(topic_value("ok1", "cleanup.policy"), "delete,compact");
    assert_int_equal(alter(2, "ok1", "cleanup.policy", 2, "compact"), 0);
    assert_string_equal(topic_value("ok1", "cleanup.policy"), "delete,compact");
    assert_true(published("ok1")->is_compacted && published("ok1")->is_deleted);
    assert_int_equal(alter(2, "ok1", "cleanup.policy", 3, "delete"), 0);
    assert_string_equal(topic_value("ok1", "cleanup.policy"), "compact");
    assert_false(published("ok1")->is_deleted);
}

static void validate_only_changes_nothing(void **state)
{
    (void)state;
    struct incremental_alter_configs_request_resources_configs item = {
        bytes_of_string("retention.ms"), 0, bytes_of_string("9")};
    assert_int_equal(alter_many(2, "ok1", &item, 1, true), 0);
    assert_null(topic_value("ok1", "retention.ms"));
}

static void duplicates_are_refused(void **state)
{
    (void)state;
    struct incremental_alter_configs_request_resources_configs twice[] = {
        {bytes_of_string("retention.ms"), 0, bytes_of_string("1")},
        {bytes_of_string("retention.ms"), 0, bytes_of_string("2")}};
    assert_int_equal(alter_many(2, "ok1", twice, 2, false), 42);
    assert_string_equal(text, "Error due to duplicate config keys");
    struct incremental_alter_configs_request_resources same[] = {
        {2, bytes_of_string("ok1"), twice, 1},
        {2, bytes_of_string("nosuch"), twice, 1},
        {2, bytes_of_string("ok1"), twice, 1}};
    struct incremental_alter_configs_request request = {same, 3, false};
    struct incremental_alter_configs_response *r = rig_ask(&rig, &op, 44, 1, &request);
    assert_int_equal(r->responses[0].error_code, 42);
    assert_int_equal(r->responses[1].error_code, 3);
    assert_int_equal(r->responses[2].error_code, 42);
    assert_true(
        bytes_text_is(r->responses[2].error_message, "Each resource must appear at most once."));
    arena_fini(&op.arena);
}

static void too_many_settings_are_refused(void **state)
{
    (void)state;
    static struct incremental_alter_configs_request_resources_configs items[1001];
    static char names[1001][16];
    for (int i = 0; i < 1001; i++) {
        snprintf(names[i], sizeof names[i], "x.%d", i);
        items[i] = (struct incremental_alter_configs_request_resources_configs){
            bytes_of_string(names[i]), 0, bytes_of_string("1")};
    }
    assert_int_equal(alter_many(4, "1", items, 1001, false), 44);
    assert_int_equal(alter_many(4, "1", items, 1000, false), 0);
}

static void broker_setting_is_the_default_of_every_topic(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "own", 1), 0);
    assert_int_equal(alter(2, "own", "retention.ms", 0, "7"), 0);
    rig.orders_n = 0;
    assert_int_equal(alter(4, "", "log.retention.ms", 0, "1000"), 0);
    assert_int_equal(published("ok1")->retention_ms, 1000);
    assert_int_equal(published("own")->retention_ms, 7);
    assert_int_equal(rig.orders_n, 2); /* ok1's partitions only */
    assert_int_equal(alter(4, "1", "log.retention.ms", 0, "2000"), 0);
    assert_int_equal(published("ok1")->retention_ms, 2000); /* the broker's own is stronger */
    assert_int_equal(alter(4, "1", "log.retention.ms", 1, NULL), 0);
    assert_int_equal(published("ok1")->retention_ms, 1000);
    assert_int_equal(rig_create(&rig, "later", 1), 0);
    assert_int_equal(published("later")->retention_ms, 1000);
}

static void alter_configs_removes_what_is_not_named(void **state)
{
    (void)state;
    assert_int_equal(alter(2, "ok1", "retention.ms", 0, "7"), 0);
    assert_int_equal(replace(2, "ok1", "retention.bytes", "5"), 0);
    assert_null(topic_value("ok1", "retention.ms"));
    assert_string_equal(topic_value("ok1", "retention.bytes"), "5");
    assert_int_equal(replace(2, "ok1", NULL, NULL), 0);
    assert_null(topic_value("ok1", "retention.bytes"));
    assert_int_equal(replace(2, "ok1", "no.such", "5"), 40);
    assert_int_equal(replace(8, "1", "root", "INFO"), 42);
    assert_string_equal(text, "Unknown resource type 8");
    assert_int_equal(replace(4, "", "log.retention.ms", "5"), 40);
    assert_string_equal(
        text, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.");
}

static void changes_survive_a_restart(void **state)
{
    (void)state;
    assert_int_equal(alter(2, "ok1", "retention.ms", 0, "7"), 0);
    assert_int_equal(alter(4, "", "log.roll.ms", 0, "8"), 0);
    assert_int_equal(alter(32, "g", "consumer.session.timeout.ms", 0, "46000"), 0);
    assert_int_equal(alter(16, "s", "metrics", 0, "a,b"), 0);
    char *live = state_text(&rig.control->state), *replayed = rig_replayed_text(&rig);
    assert_string_equal(live, replayed);
    free(live);
    free(replayed);
    rig_stop(&rig);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(published("ok1")->retention_ms, 7);
    assert_int_equal(published("ok1")->segment_ms, 8);
}

static void alter_and_delete_in_one_round_drops_the_logs(void **state)
{
    (void)state;
    struct control_op second;
    struct incremental_alter_configs_request_resources_configs item = {
        bytes_of_string("retention.ms"), 0, bytes_of_string("9")};
    struct incremental_alter_configs_request_resources resource = {2, bytes_of_string("ok1"), &item,
                                                                   1};
    struct incremental_alter_configs_request request = {&resource, 1, false};
    struct delete_topics_request_topics topic = {.name = bytes_of_string("ok1")};
    struct delete_topics_request deletion = {.topics = &topic, .topics_n = 1};
    rig.orders_n = 0;
    rig_send(&rig, &op, 44, 1, &request);
    rig_send(&rig, &second, 20, 6, &deletion);
    for (int i = 0; i < 200 && !(op.mail.is_answer && second.mail.is_answer); i++)
        rig_turn(&rig);
    assert_true(op.mail.is_answer && second.mail.is_answer);
    arena_fini(&op.arena);
    arena_fini(&second.arena);
    assert_int_equal(rig.orders_n, 2);
    assert_int_equal(rig.orders[0].order, LOG_DROP);
    assert_null(view_topic_by_name(rig_view(&rig), bytes_of_string("ok1")));
}

static void full_tail_is_tried_again(void **state)
{
    (void)state;
    fake_store_rules.append_error = E_AGAIN;
    assert_int_equal(alter(2, "ok1", "retention.ms", 0, "7"), 0);
    assert_string_equal(topic_value("ok1", "retention.ms"), "7");
}

static void failed_log_answers_a_storage_error(void **state)
{
    (void)state;
    struct incremental_alter_configs_request_resources_configs item = {
        bytes_of_string("retention.ms"), 0, bytes_of_string("9")};
    struct incremental_alter_configs_request_resources resource = {2, bytes_of_string("ok1"), &item,
                                                                   1};
    struct incremental_alter_configs_request request = {&resource, 1, false};
    fake_store_rules.append_error = E_STORAGE;
    assert_null(rig_ask(&rig, &op, 44, 1, &request)); /* the round fails: connection closed */
    arena_fini(&op.arena);
    assert_int_equal(control_error(rig.control), E_STORAGE);
}

static void resources_are_listed_by_type(void **state)
{
    (void)state;
    int8_t types[] = {32, 16};
    struct list_config_resources_request request = {types, 2};
    assert_int_equal(alter(32, "g", "consumer.session.timeout.ms", 0, "46000"), 0);
    assert_int_equal(alter(16, "s", "metrics", 0, "a,b"), 0);
    struct list_config_resources_response *r = rig_ask(&rig, &op, 74, 1, &request);
    assert_int_equal(r->error_code, 0);
    assert_int_equal(r->config_resources_n, 2);
    assert_true(bytes_text_is(r->config_resources[0].resource_name, "g"));
    arena_fini(&op.arena);
    r = rig_ask(&rig, &op, 74, 0, &request); /* v0: client metrics only */
    assert_int_equal(r->config_resources_n, 1);
    arena_fini(&op.arena);
    request.resource_types_n = 0;
    r = rig_ask(&rig, &op, 74, 1, &request);
    assert_int_equal(r->config_resources_n, 5); /* g, s, logger, broker, ok1 */
    assert_true(bytes_text_is(r->config_resources[4].resource_name, "ok1"));
    arena_fini(&op.arena);
    types[0] = 99;
    request.resource_types_n = 1;
    r = rig_ask(&rig, &op, 74, 1, &request);
    assert_int_equal(r->error_code, 35);
    assert_int_equal(r->config_resources_n, 0);
    arena_fini(&op.arena);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(alter_refuses_with_kafkas_words),
        RIG_TEST(set_reaches_the_logs_and_the_view_before_the_answer),
        RIG_TEST(setting_that_no_log_honours_orders_nothing),
        RIG_TEST(value_it_already_has_writes_nothing),
        RIG_TEST(append_and_subtract_change_lists),
        RIG_TEST(validate_only_changes_nothing),
        RIG_TEST(duplicates_are_refused),
        RIG_TEST(too_many_settings_are_refused),
        RIG_TEST(broker_setting_is_the_default_of_every_topic),
        RIG_TEST(alter_configs_removes_what_is_not_named),
        RIG_TEST(changes_survive_a_restart),
        RIG_TEST(alter_and_delete_in_one_round_drops_the_logs),
        RIG_TEST(full_tail_is_tried_again),
        RIG_TEST(failed_log_answers_a_storage_error),
        RIG_TEST(resources_are_listed_by_type),
    };
    return TESTS_RUN(tests);
}
