/* topics_test.c - CreateTopics, DeleteTopics, topics that Metadata asks for: every error, every
 * bound. */
#include "rig.h"

static struct rig rig;
static char text[1024];

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 2);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_create(&rig, "ok1", 2), 0);
    rig.orders_n = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* ── CreateTopics, one topic ── */

struct create_row {
    const char *name;
    int32_t partitions;
    int16_t replicas, code;
    const char *text;
};

static void create_refuses_with_kafkas_words(void **state)
{
    (void)state;
    static char long_name[251], long_text[512];
    memset(long_name, 'x', 250);
    snprintf(long_text, sizeof long_text,
             "Topic name is invalid: the length of '%s' is longer than the max allowed length 249",
             long_name);
    const struct create_row rows[] = {
        {"ok1", 1, 1, 36, "Topic 'ok1' already exists."},
        {"", 1, 1, 17, "Topic name is invalid: the empty string is not allowed"},
        {"bad name", 1, 1, 17,
         "Topic name is invalid: 'bad name' contains one or more characters other than ASCII "
         "alphanumerics, '.', '_' and '-'"},
        {"a/b", 1, 1, 17,
         "Topic name is invalid: 'a/b' contains one or more characters other than ASCII "
         "alphanumerics, '.', '_' and '-'"},
        {".", 1, 1, 17, "Topic name is invalid: '.' is not allowed"},
        {"..", 1, 1, 17, "Topic name is invalid: '..' is not allowed"},
        {long_name, 1, 1, 17, long_text},
        {"__cluster_metadata", 1, 1, 42,
         "Creation of internal topic __cluster_metadata is prohibited."},
        {"t", 0, 1, 37, "Number of partitions was set to an invalid non-positive value."},
        {"t", -2, 1, 37, "Number of partitions was set to an invalid non-positive value."},
        {"t", 1, 3, 38,
         "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot "
         "be "
         "reached because only 1 broker(s) are registered or some brokers have all their log "
         "directories cordoned."},
        {"t", 1, 0, 38,
         "Replication factor must be larger than 0, or -1 to use the default value."},
        {"t", 1, -2, 38,
         "Replication factor must be larger than 0, or -1 to use the default value."},
        {"t", 20000, 1, 44, "Excessively large number of partitions per request."},
        {"t", INT32_MAX, 1, 44, "Excessively large number of partitions per request."},
        {"t", 10000, 1, 44, "Unable to perform excessively large batch operation."},
    };
    for (uint32_t i = 0; i < array_n(rows); i++) {
        struct create_topics_request_topics topic =
            rig_topic(rows[i].name, rows[i].partitions, rows[i].replicas);
        assert_int_equal(rig_create_topic(&rig, &topic, text), rows[i].code);
        assert_string_equal(text, rows[i].text);
    }
    assert_int_equal(rig_view(&rig)->topics_n, 1);
    assert_int_equal(rig.orders_n, 0);
}

static void create_takes_what_kafka_takes(void **state)
{
    (void)state;
    const struct create_row rows[] = {
        {"minus-one", -1, -1, 0, ""},
        {"a.b", 1, 1, 0, ""},
        {"A_z-0.9", 3, 1, 0, ""},
    };
    for (uint32_t i = 0; i < array_n(rows); i++) {
        struct create_topics_request_topics topic =
            rig_topic(rows[i].name, rows[i].partitions, rows[i].replicas);
        assert_int_equal(rig_create_topic(&rig, &topic, text), 0);
        assert_string_equal(text, "");
    }
    assert_int_equal(view_topic_by_name(rig_view(&rig), bytes_of_string("minus-one"))->partitions_n,
                     1);
    struct create_topics_request_topics topic = rig_topic("a_b", 1, 1);
    assert_int_equal(rig_create_topic(&rig, &topic, text), 17);
    assert_string_equal(text, "Topic 'a_b' collides with existing topic: a.b");
}

static void create_of_9999_partitions_passes(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "big", 9999), 0);
    assert_int_equal(rig.orders_n, 9999);
    const struct view_topic *big = view_topic_by_name(rig_view(&rig), bytes_of_string("big"));
    assert_non_null(big);
    assert_int_equal(big->partitions_n, 9999);
}

/* ── over turns ── */

/* In each turn the disk has all of the request or nothing, and nobody is shown a part of it. */
static void create_over_turns_is_whole_in_every_turn(void **state)
{
    (void)state;
    struct control_op op;
    struct create_topics_request_topics topics[] = {rig_topic("wide", 5000, 1),
                                                    rig_topic("other", 1, 1)};
    struct create_topics_request request = {.topics = topics, .topics_n = 2};
    uint32_t pieces_n = 0;
    char *before = rig_replayed_text(&rig);
    rig_send(&rig, &op, 19, 7, &request);
    for (int i = 0; i < 4000 && !op.mail.is_answer; i++) {
        rig_turn(&rig);
        if (rig.control->changing == NULL)
            continue;
        char *now = rig_replayed_text(&rig);
        assert_true(strcmp(now, before) == 0 || strstr(now, "other") != NULL);
        free(now);
        assert_null(view_topic_by_name(rig_view(&rig), bytes_of_string("wide")));
        pieces_n++;
    }
    assert_true(op.mail.is_answer);
    assert_true(pieces_n >= 2 * 5000 / CONTROL_CHANGE_WORK);
    assert_int_equal(((struct create_topics_response *)op.response)->topics[0].error_code, 0);
    arena_fini(&op.arena);
    char *after = rig_replayed_text(&rig), *own = state_text(&rig.control->state);
    assert_string_equal(after, own);
    assert_string_not_equal(after, before);
    free(before);
    free(after);
    free(own);
}

/* What changes or shows metadata waits for it, what does neither does not. */
static void create_over_turns_holds_up_only_metadata(void **state)
{
    (void)state;
    struct control_op wide, small, describe, ids;
    struct create_topics_request_topics a = rig_topic("wide", 5000, 1), b = rig_topic("ok2", 1, 1);
    struct create_topics_request first = {.topics = &a, .topics_n = 1},
                                 second = {.topics = &b, .topics_n = 1};
    struct describe_configs_request_resources resource = {2, bytes_of_string("wide"), NULL, -1};
    struct describe_configs_request what = {.resources = &resource, .resources_n = 1};
    struct list_groups_request groups = {0};
    rig_send(&rig, &wide, 19, 7, &first);
    rig_turn(&rig);
    assert_non_null(rig.control->changing);
    rig_send(&rig, &small, 19, 7, &second);
    rig_send(&rig, &describe, 32, 4, &what);
    rig_send(&rig, &ids, 16, 4, &groups);
    while (rig.control->changing != NULL) {
        assert_false(wide.mail.is_answer || small.mail.is_answer || describe.mail.is_answer);
        rig_turn(&rig);
    }
    assert_true(ids.mail.is_answer);
    for (int i = 0; i < 4000 && !small.mail.is_answer; i++)
        rig_turn(&rig);
    assert_true(wide.mail.is_answer && small.mail.is_answer && describe.mail.is_answer);
    assert_int_equal(((struct describe_configs_response *)describe.response)->results[0].error_code,
                     0);
    arena_fini(&wide.arena);
    arena_fini(&small.arena);
    arena_fini(&describe.arena);
    arena_fini(&ids.arena);
}

/* The tail is full when all records are made: it begins anew. */
static void create_over_turns_waits_for_room_in_the_log(void **state)
{
    (void)state;
    fake_store_rules.append_error = E_AGAIN;
    assert_int_equal(rig_create(&rig, "wide", 3000), 0);
    assert_int_equal(view_topic_by_name(rig_view(&rig), bytes_of_string("wide"))->partitions_n,
                     3000);
}

/* The log fails when all records are made: nothing is there, in memory neither. */
static void create_over_turns_without_a_log_makes_nothing(void **state)
{
    (void)state;
    struct control_op op;
    struct create_topics_request_topics topic = rig_topic("wide", 3000, 1);
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    fake_store_rules.append_error = E_IO;
    assert_null(rig_ask(&rig, &op, 19, 7, &request)); /* closed */
    assert_null(state_topic_by_name(&rig.control->state, bytes_of_string("wide")));
    assert_null(rig.control->changing);
    assert_true(control_error(rig.control) < 0);
}

/* The broker ends in the middle: nothing is lost but memory that goes with it. */
static void create_over_turns_may_be_the_last_thing(void **state)
{
    (void)state;
    struct control_op op;
    struct create_topics_request_topics topic = rig_topic("wide", 5000, 1);
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    rig_send(&rig, &op, 19, 7, &request);
    rig_turn(&rig);
    assert_non_null(rig.control->changing);
    assert_false(control_is_quiet(rig.control));
    arena_fini(&op.arena);
}

/* ── settings ── */

static void create_judges_the_latency_class(void **state)
{
    struct create_topics_request_topics topic = rig_topic("t", 1, 1);
    struct create_topics_request_topics_configs config = {bytes_of_string("millrace.latency.class"),
                                                          bytes_of_string("fast")};
    (void)state;
    topic.configs = &config;
    topic.configs_n = 1;
    assert_int_equal(rig_create_topic(&rig, &topic, text), 40);
    assert_string_equal(text, "Invalid value fast for configuration millrace.latency.class: String "
                              "must be one of: critical, normal, bulk");
    config.value = bytes_of_string("critical");
    assert_int_equal(rig_create_topic(&rig, &topic, text), 0);
    const struct log_config *c = &view_topic_by_name(rig_view(&rig), bytes_of_string("t"))->config;
    assert_int_equal(c->latency, LATENCY_CRITICAL);
}

static void create_judges_settings(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        int16_t code;
        const char *text;
    } rows[] = {
        {"no.such", "1", 40, "Unknown topic config name: no.such"},
        {"retention.ms", "abc", 40,
         "Invalid value abc for configuration retention.ms: Not a number of type LONG"},
        {"segment.bytes", "1000", 40,
         "Invalid value 1000 for configuration segment.bytes: Value must be at least 1048576"},
        {"segment.bytes", "99999999999", 40,
         "Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT"},
        {"segment.bytes", "", 40,
         "Invalid value  for configuration segment.bytes: Not a number of type INT"},
        {"cleanup.policy", "foo", 40,
         "Invalid value foo for configuration cleanup.policy: String must be one of: compact, "
         "delete"},
        {"cleanup.policy", "compact,foo", 40,
         "Invalid value foo for configuration cleanup.policy: String must be one of: compact, "
         "delete"},
        {"preallocate", "yes", 40,
         "Invalid value yes for configuration preallocate: Expected value to be either true or "
         "false"},
        {"compression.gzip.level", "0", 40,
         "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 "
         "or equal to -1"},
        {"compression.lz4.level", "18", 40,
         "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17"},
        {"compression.type", "foo", 40,
         "Invalid value foo for configuration compression.type: String must be one of: "
         "uncompressed, zstd, lz4, snappy, gzip, producer"},
        {"min.cleanable.dirty.ratio", "1.5", 40,
         "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more "
         "than 1"},
        {"min.cleanable.dirty.ratio", "x", 40,
         "Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type "
         "DOUBLE"},
        {"leader.replication.throttled.replicas", "x", 40,
         "Invalid value [x] for configuration leader.replication.throttled.replicas: "
         "leader.replication.throttled.replicas must be the literal '*' or a list of replicas in "
         "the following format: "
         "[partitionId]:[brokerId],[partitionId]:[brokerId],..."},
        {"leader.replication.throttled.replicas", "1:2,*", 40,
         "Invalid value [1:2, *] for configuration leader.replication.throttled.replicas: "
         "leader.replication.throttled.replicas must be the literal '*' or a list of replicas in "
         "the following format: "
         "[partitionId]:[brokerId],[partitionId]:[brokerId],..."},
        {"remote.storage.enable", "true", 40,
         "Tiered Storage functionality is disabled in the broker. Topic cannot be configured "
         "with remote log storage."},
        {"retention.ms", NULL, 40, "Null value not supported for topic configs: retention.ms"},
        {"storage.durability", "never", 40,
         "Invalid value never for configuration storage.durability: String must be one of: group, "
         "relaxed"},
    };
    for (uint32_t i = 0; i < array_n(rows); i++) {
        struct create_topics_request_topics_configs config = {bytes_of_string(rows[i].key),
                                                              bytes_of_string(rows[i].value)};
        struct create_topics_request_topics topic = rig_topic("t", 1, 1);
        topic.configs = &config;
        topic.configs_n = 1;
        assert_int_equal(rig_create_topic(&rig, &topic, text), rows[i].code);
        assert_string_equal(text, rows[i].text);
    }
}

static void codec_of_a_topic_and_its_level_reach_the_log(void **state)
{
    static const struct {
        const char *name, *codec, *key, *level;
        uint8_t is_codec;
        int32_t is_level;
    } rows[] = {
        {"a", "producer", "compression.lz4.level", "3", CODEC_PRODUCER, COMPRESS_LEVEL_DEFAULT},
        {"b", "uncompressed", "compression.lz4.level", "3", CODEC_NONE, COMPRESS_LEVEL_DEFAULT},
        {"c", "snappy", "compression.lz4.level", "3", CODEC_SNAPPY, COMPRESS_LEVEL_DEFAULT},
        {"d", "gzip", "compression.gzip.level", "-1", CODEC_GZIP, COMPRESS_LEVEL_DEFAULT},
        {"e", "gzip", "compression.gzip.level", "9", CODEC_GZIP, 9},
        {"f", "lz4", "compression.lz4.level", "9", CODEC_LZ4, COMPRESS_LEVEL_DEFAULT},
        {"g", "lz4", "compression.lz4.level", "17", CODEC_LZ4, 17},
        {"h", "zstd", "compression.lz4.level", "3", CODEC_ZSTD, 3},
        {"i", "zstd", "compression.zstd.level", "-131072", CODEC_ZSTD, -131072},
    };
    (void)state;
    for (size_t i = 0; i < array_n(rows); i++) {
        struct create_topics_request_topics_configs configs[] = {
            {bytes_of_string("compression.type"), bytes_of_string(rows[i].codec)},
            {bytes_of_string(rows[i].key), bytes_of_string(rows[i].level)},
        };
        struct create_topics_request_topics topic = rig_topic(rows[i].name, 1, 1);
        topic.configs = configs;
        topic.configs_n = array_n(configs);
        assert_int_equal(rig_create_topic(&rig, &topic, text), 0);
        const struct log_config *c =
            &view_topic_by_name(rig_view(&rig), bytes_of_string(rows[i].name))->config;
        assert_int_equal(c->codec, rows[i].is_codec);
        assert_int_equal(c->codec_level, rows[i].is_level);
    }
}

static void create_judges_settings_together(void **state)
{
    (void)state;
    struct create_topics_request_topics_configs lags[] = {
        {bytes_of_string("min.compaction.lag.ms"), bytes_of_string("10")},
        {bytes_of_string("max.compaction.lag.ms"), bytes_of_string("5")},
    };
    struct create_topics_request_topics topic = rig_topic("t", 1, 1);
    topic.configs = lags;
    topic.configs_n = 2;
    assert_int_equal(rig_create_topic(&rig, &topic, text), 40);
    assert_string_equal(
        text,
        "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)");
}

static void create_applies_settings_to_the_log(void **state)
{
    (void)state;
    struct create_topics_request_topics_configs configs[] = {
        {bytes_of_string("cleanup.policy"), bytes_of_string(" compact , delete ")},
        {bytes_of_string("segment.bytes"), bytes_of_string(" 2000000 ")},
        {bytes_of_string("compression.type"), bytes_of_string("producer")},
        {bytes_of_string("message.timestamp.type"), bytes_of_string("LogAppendTime")},
        {bytes_of_string("storage.durability"), bytes_of_string("relaxed")},
        {bytes_of_string("retention.ms"), bytes_of_string("-1")},
        {bytes_of_string("segment.bytes"), bytes_of_string("3000000")},
    };
    struct create_topics_request_topics topic = rig_topic("t", 1, 1);
    topic.configs = configs;
    topic.configs_n = array_n(configs);
    assert_int_equal(rig_create_topic(&rig, &topic, text), 0);
    const struct log_config *c = &view_topic_by_name(rig_view(&rig), bytes_of_string("t"))->config;
    assert_true(c->is_compacted && c->is_deleted && c->is_log_append_time);
    assert_int_equal(c->segment_bytes, 3000000);
    assert_int_equal(c->codec, CODEC_PRODUCER);
    assert_int_equal(c->durability, STORE_RELAXED);
    assert_int_equal(c->retention_ms, -1);
    const struct settings *s =
        &state_topic_by_name(&rig.control->state, bytes_of_string("t"))->settings;
    assert_string_equal(settings_get(s, "cleanup.policy"), "compact,delete");
}

static void create_with_a_setting_of_one_mebibyte_is_refused(void **state)
{
    (void)state;
    uint32_t n = 1 << 20;
    char *huge = malloc(n);
    memset(huge, '1', n);
    struct create_topics_request_topics_configs value = {bytes_of_string("retention.ms"),
                                                         bytes_of(huge, n)};
    struct create_topics_request_topics_configs name = {bytes_of(huge, n), bytes_of_string("1")};
    struct create_topics_request_topics topic = rig_topic("t", 1, 1);
    topic.configs_n = 1;
    topic.configs = &value;
    assert_int_equal(rig_create_topic(&rig, &topic, text), 40);
    topic.configs = &name;
    assert_int_equal(rig_create_topic(&rig, &topic, text), 40);
    assert_int_equal(strncmp(text, "Unknown topic config name: 111", 30), 0);
    free(huge);
}

/* ── assignments ── */

static void create_judges_assignments(void **state)
{
    (void)state;
    int32_t one[] = {1}, nine[] = {9}, twice[] = {1, 1}, mixed[] = {1, 9, 4};
    struct create_topics_request_topics_assignments good[] = {{0, one, 1}, {1, one, 1}},
                                                    gap[] = {{1, one, 1}},
                                                    unknown[] = {{0, nine, 1}},
                                                    doubled[] = {{0, twice, 2}},
                                                    empty[] = {{0, NULL, 0}},
                                                    same[] = {{0, one, 1}, {0, one, 1}},
                                                    several[] = {{0, mixed, 3}},
                                                    negative[] = {{-1, one, 1}};
    const struct {
        struct create_topics_request_topics_assignments *list;
        int32_t n, partitions;
        int16_t replicas, code;
        const char *text;
    } rows[] = {
        {good, 2, -1, 1, 42,
         "A manual partition assignment was specified, but replication factor was not set to -1."},
        {good, 2, 2, -1, 42,
         "A manual partition assignment was specified, but numPartitions was not set to -1."},
        {unknown, 1, -1, -1, 39,
         "The manual partition assignment includes broker 9, but no such broker is registered."},
        {several, 1, -1, -1, 39,
         "The manual partition assignment includes broker 4, but no such broker is registered."},
        {gap, 1, -1, -1, 39, "partitions should be a consecutive 0-based integer sequence"},
        {negative, 1, -1, -1, 39, "partitions should be a consecutive 0-based integer sequence"},
        {doubled, 1, -1, -1, 39,
         "The manual partition assignment includes the broker 1 more than once."},
        {empty, 1, -1, -1, 39, "The manual partition assignment includes an empty replica list."},
        {same, 2, -1, -1, 39, "Found multiple manual partition assignments for partition 0"},
        {good, 2, -1, -1, 0, ""},
    };
    for (uint32_t i = 0; i < array_n(rows); i++) {
        struct create_topics_request_topics topic =
            rig_topic("assigned", rows[i].partitions, rows[i].replicas);
        topic.assignments = rows[i].list;
        topic.assignments_n = rows[i].n;
        assert_int_equal(rig_create_topic(&rig, &topic, text), rows[i].code);
        assert_string_equal(text, rows[i].text);
    }
    assert_int_equal(view_topic_by_name(rig_view(&rig), bytes_of_string("assigned"))->partitions_n,
                     2);
}

/* ── whole requests ── */

static void create_answers_every_topic_once(void **state)
{
    (void)state;
    struct control_op op;
    struct create_topics_request_topics topics[] = {
        rig_topic("new1", 1, 1), rig_topic("twice", 1, 1), rig_topic("ok1", 1, 1),
        rig_topic("twice", 1, 1), rig_topic("new2", 2, 1)};
    struct create_topics_request request = {.topics = topics, .topics_n = 5};
    struct create_topics_response *r = rig_ask(&rig, &op, 19, 7, &request);
    static const struct {
        const char *name;
        int16_t code;
    } rows[] = {{"new1", 0}, {"twice", 42}, {"ok1", 36}, {"new2", 0}};
    assert_int_equal(r->topics_n, array_n(rows));
    for (uint32_t i = 0; i < array_n(rows); i++) {
        assert_true(bytes_text_is(r->topics[i].name, rows[i].name));
        assert_int_equal(r->topics[i].error_code, rows[i].code);
        assert_int_equal(r->topics[i].num_partitions, rows[i].code != 0 ? -1 : i == 0 ? 1 : 2);
        assert_int_equal(r->topics[i].replication_factor, rows[i].code != 0 ? -1 : 1);
        assert_int_equal(uuid_is_zero(&r->topics[i].topic_id), rows[i].code != 0);
    }
    assert_true(bytes_text_is(r->topics[1].error_message, "Duplicate topic name."));
    arena_fini(&op.arena);
}

static void create_of_nothing_answers_nothing(void **state)
{
    (void)state;
    struct control_op op;
    struct create_topics_request request = {.topics = NULL, .topics_n = 0};
    struct create_topics_response *r = rig_ask(&rig, &op, 19, 7, &request);
    assert_int_equal(r->topics_n, 0);
    arena_fini(&op.arena);
}

static void validate_only_makes_nothing(void **state)
{
    (void)state;
    struct control_op op;
    struct create_topics_request_topics topics[] = {rig_topic("dry", 3, 1), rig_topic("ok1", 1, 1)};
    struct create_topics_request request = {.topics = topics, .topics_n = 2, .validate_only = true};
    int64_t end = rig.control->state.end_offset;
    struct create_topics_response *r = rig_ask(&rig, &op, 19, 7, &request);
    assert_int_equal(r->topics[0].error_code, 0);
    assert_int_equal(r->topics[0].num_partitions, 3);
    assert_false(uuid_is_zero(&r->topics[0].topic_id));
    assert_int_equal(r->topics[1].error_code, 36);
    assert_int_equal(rig.control->state.end_offset, end);
    assert_null(view_topic_by_name(rig_view(&rig), bytes_of_string("dry")));
    arena_fini(&op.arena);
}

static void create_v5_answers_all_settings(void **state)
{
    (void)state;
    struct control_op op;
    struct create_topics_request_topics_configs config = {bytes_of_string("retention.ms"),
                                                          bytes_of_string("77")};
    struct create_topics_request_topics topic = rig_topic("t", 1, 1);
    topic.configs = &config;
    topic.configs_n = 1;
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    struct create_topics_response *r = rig_ask(&rig, &op, 19, 5, &request);
    assert_int_equal(r->topics[0].configs_n, 35);
    uint32_t found = 0;
    for (int32_t i = 0; i < r->topics[0].configs_n; i++) {
        struct create_topics_response_topics_configs *c = &r->topics[0].configs[i];
        if (bytes_text_is(c->name, "retention.ms")) {
            assert_true(bytes_text_is(c->value, "77"));
            assert_int_equal(c->config_source, SOURCE_TOPIC);
            found++;
        } else if (bytes_text_is(c->name, "min.insync.replicas")) {
            assert_int_equal(c->config_source, SOURCE_DYNAMIC_DEFAULT);
            found++;
        } else {
            assert_int_equal(c->config_source, SOURCE_DEFAULT);
        }
    }
    assert_int_equal(found, 2);
    arena_fini(&op.arena);
    topic = rig_topic("old", 1, 1);
    r = rig_ask(&rig, &op, 19, 4, &request);
    assert_null(r->topics[0].configs);
    arena_fini(&op.arena);
}

static void ten_thousand_topics_in_one_request_are_refused_whole(void **state)
{
    (void)state;
    enum { N = 10000 };
    struct control_op op;
    struct create_topics_request_topics *topics = calloc(N, sizeof *topics);
    char(*names)[16] = calloc(N, sizeof *names);
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "many%d", i);
        topics[i] = rig_topic(names[i], 1, 1);
    }
    struct create_topics_request request = {.topics = topics, .topics_n = N};
    struct create_topics_response *r = rig_ask(&rig, &op, 19, 7, &request);
    assert_int_equal(r->topics_n, N);
    for (int i = 0; i < N; i++)
        assert_int_equal(r->topics[i].error_code, 44);
    arena_fini(&op.arena);
    request.topics_n = N / 2;
    r = rig_ask(&rig, &op, 19, 4, &request);
    assert_int_equal(r->topics_n, N / 2);
    for (int i = 0; i < N / 2; i++)
        assert_int_equal(r->topics[i].error_code, 0);
    arena_fini(&op.arena);
    assert_int_equal(rig_view(&rig)->topics_n, 1 + N / 2);
    free(topics);
    free(names);
}

static void more_topics_than_an_answer_holds_close_the_connection(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct control_op op;
    struct create_topics_request_topics *topics = calloc(N, sizeof *topics);
    struct create_topics_request request = {.topics = topics, .topics_n = N};
    assert_null(rig_ask(&rig, &op, 19, 7, &request));
    free(topics);
}

static void one_record_too_many_makes_nothing(void **state)
{
    (void)state;
    struct control_op op;
    struct create_topics_request_topics topics[] = {rig_topic("a", 9998, 1), rig_topic("b", 1, 1)};
    struct create_topics_request request = {.topics = topics, .topics_n = 2};
    struct create_topics_response *r = rig_ask(&rig, &op, 19, 7, &request);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(r->topics[i].error_code, 44);
        assert_int_equal(r->topics[i].num_partitions, -1);
        assert_true(uuid_is_zero(&r->topics[i].topic_id));
    }
    assert_int_equal(rig_view(&rig)->topics_n, 1);
    arena_fini(&op.arena);
}

/* ── DeleteTopics ── */

static void delete_refuses_with_kafkas_words(void **state)
{
    (void)state;
    struct control_op op;
    struct uuid id = view_topic_by_name(rig_view(&rig), bytes_of_string("ok1"))->id, other = {{1}};
    assert_int_equal(rig_create(&rig, "ok2", 1), 0);
    struct uuid id2 = view_topic_by_name(rig_view(&rig), bytes_of_string("ok2"))->id;
    const struct {
        const char *name;
        struct uuid id;
        int16_t code;
        const char *text;
    } rows[] = {
        {"nosuch", {{0}}, 3, "This server does not host this topic-partition."},
        {NULL, other, 100, "This server does not host this topic ID."},
        {NULL, {{0}}, 42, "Neither topic name nor id were specified."},
        {"ok1", id, 42, "You may not specify both topic name and topic id."},
        {"ok1", {{0}}, 42, "The provided topic name maps to an ID that was already supplied."},
        {NULL, id, 42, "The provided topic name maps to an ID that was already supplied."},
        {NULL, id2, 42, "Duplicate topic id."},
        {NULL, id2, 42, "Duplicate topic id."},
    };
    struct delete_topics_request_topics topics[array_n(rows)];
    for (uint32_t i = 0; i < array_n(rows); i++)
        topics[i] =
            (struct delete_topics_request_topics){bytes_of_string(rows[i].name), rows[i].id};
    struct delete_topics_request request = {.topics = topics, .topics_n = array_n(rows)};
    struct delete_topics_response *r = rig_ask(&rig, &op, 20, 6, &request);
    assert_int_equal(r->responses_n, array_n(rows));
    for (uint32_t i = 0; i < array_n(rows); i++) {
        assert_int_equal(r->responses[i].error_code, rows[i].code);
        assert_true(bytes_text_is(r->responses[i].error_message, rows[i].text));
    }
    assert_int_equal(rig_view(&rig)->topics_n, 2);
    arena_fini(&op.arena);
}

static void delete_by_names_and_by_id_removes(void **state)
{
    (void)state;
    struct control_op op;
    assert_int_equal(rig_create(&rig, "ok2", 1), 0);
    struct delete_topics_request_topics by_id = {
        .topic_id = view_topic_by_name(rig_view(&rig), bytes_of_string("ok2"))->id};
    struct delete_topics_request request = {.topics = &by_id, .topics_n = 1};
    struct delete_topics_response *r = rig_ask(&rig, &op, 20, 6, &request);
    assert_int_equal(r->responses[0].error_code, 0);
    assert_true(bytes_text_is(r->responses[0].name, "ok2"));
    arena_fini(&op.arena);
    struct bytes names[] = {bytes_of_string("ok1"), bytes_of_string("nosuch")};
    struct delete_topics_request old = {.topic_names = names, .topic_names_n = 2};
    r = rig_ask(&rig, &op, 20, 1, &old);
    assert_int_equal(r->responses[0].error_code, 0);
    assert_int_equal(r->responses[1].error_code, 3);
    assert_int_equal(rig_view(&rig)->topics_n, 0);
    arena_fini(&op.arena);
}

static void delete_that_is_disabled_says_so(void **state)
{
    (void)state;
    struct control_op op;
    rig_override(&rig, "delete.topic.enable=false");
    struct bytes name = bytes_of_string("ok1");
    struct delete_topics_request request = {.topic_names = &name, .topic_names_n = 1};
    struct delete_topics_response *r = rig_ask(&rig, &op, 20, 5, &request);
    assert_int_equal(r->responses[0].error_code, 73);
    assert_true(bytes_text_is(r->responses[0].error_message, "Topic deletion is disabled."));
    arena_fini(&op.arena);
    r = rig_ask(&rig, &op, 20, 2, &request);
    assert_int_equal(r->responses[0].error_code, 42);
    arena_fini(&op.arena);
    assert_int_equal(rig_view(&rig)->topics_n, 1);
}

/* ── topics that Metadata asks for ── */

static void metadata_request_makes_missing_topics(void **state)
{
    (void)state;
    struct control_op op;
    struct metadata_request_topics topics[] = {
        {.name = bytes_of_string("fresh")},
        {.name = bytes_of_string("ok1")},
        {.name = bytes_of_string("fresh")},
        {.name = bytes_of_string("not legal")},
        {.name = bytes_of_string("__consumer_offsets")},
        {.name = {NULL, 0}},
        {.name = bytes_of_string("__cluster_metadata")},
    };
    struct metadata_request request = {
        .topics = topics, .topics_n = array_n(topics), .allow_auto_topic_creation = true};
    assert_non_null(rig_ask(&rig, &op, 3, 12, &request));
    arena_fini(&op.arena);
    assert_int_equal(rig_view(&rig)->topics_n, 3);
    assert_int_equal(view_topic_by_name(rig_view(&rig), bytes_of_string("fresh"))->partitions_n, 1);
    const struct view_topic *offsets =
        view_topic_by_name(rig_view(&rig), bytes_of_string("__consumer_offsets"));
    assert_int_equal(offsets->partitions_n, 50);
    assert_true(offsets->is_internal && offsets->config.is_compacted &&
                !offsets->config.is_deleted);
    assert_int_equal(offsets->config.segment_bytes, 104857600);
}

static void metadata_request_that_forbids_it_makes_nothing(void **state)
{
    (void)state;
    struct control_op op;
    struct metadata_request_topics topic = {.name = bytes_of_string("fresh")};
    struct metadata_request request = {
        .topics = &topic, .topics_n = 1, .allow_auto_topic_creation = false};
    assert_non_null(rig_ask(&rig, &op, 3, 12, &request));
    arena_fini(&op.arena);
    rig_override(&rig, "auto.create.topics.enable=false");
    request.allow_auto_topic_creation = true;
    assert_non_null(rig_ask(&rig, &op, 3, 12, &request));
    arena_fini(&op.arena);
    assert_int_equal(rig_view(&rig)->topics_n, 1);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(create_refuses_with_kafkas_words),
        RIG_TEST(create_takes_what_kafka_takes),
        RIG_TEST(create_judges_the_latency_class),
        RIG_TEST(create_judges_settings),
        RIG_TEST(create_judges_settings_together),
        RIG_TEST(codec_of_a_topic_and_its_level_reach_the_log),
        RIG_TEST(create_applies_settings_to_the_log),
        RIG_TEST(create_with_a_setting_of_one_mebibyte_is_refused),
        RIG_TEST(create_judges_assignments),
        RIG_TEST(create_answers_every_topic_once),
        RIG_TEST(create_of_nothing_answers_nothing),
        RIG_TEST(validate_only_makes_nothing),
        RIG_TEST(create_v5_answers_all_settings),
        RIG_TEST(ten_thousand_topics_in_one_request_are_refused_whole),
        RIG_TEST(one_record_too_many_makes_nothing),
        RIG_TEST(more_topics_than_an_answer_holds_close_the_connection),
        RIG_TEST(create_of_9999_partitions_passes),
        RIG_TEST(create_over_turns_is_whole_in_every_turn),
        RIG_TEST(create_over_turns_holds_up_only_metadata),
        RIG_TEST(create_over_turns_waits_for_room_in_the_log),
        RIG_TEST(create_over_turns_without_a_log_makes_nothing),
        RIG_TEST(create_over_turns_may_be_the_last_thing),
        RIG_TEST(delete_refuses_with_kafkas_words),
        RIG_TEST(delete_by_names_and_by_id_removes),
        RIG_TEST(delete_that_is_disabled_says_so),
        RIG_TEST(metadata_request_makes_missing_topics),
        RIG_TEST(metadata_request_that_forbids_it_makes_nothing),
    };
    return TESTS_RUN(tests);
}
