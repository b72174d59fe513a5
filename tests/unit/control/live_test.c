/* live_test.c - every broker setting that is dynamic and honoured acts while control runs: set for
 * all brokers, for this one, taken back; and by a file that is read again. */
#include "rig.h"

#include "coordinator.h"
#include "live.h"

static struct rig rig;
static struct control_op op;
static char text[1024];

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 2);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_create(&rig, "t", 2), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static int16_t alter(const char *broker, const char *key, int8_t how, const char *value)
{
    struct incremental_alter_configs_request_resources_configs item = {bytes_of_string(key), how,
                                                                       bytes_of_string(value)};
    struct incremental_alter_configs_request_resources resource = {4, bytes_of_string(broker),
                                                                   &item, 1};
    struct incremental_alter_configs_request request = {&resource, 1, false};
    struct incremental_alter_configs_response *r = rig_ask(&rig, &op, 44, 1, &request);
    assert_non_null(r);
    struct bytes message = r->responses[0].error_message;
    snprintf(text, sizeof text, "%.*s", (int)message.n,
             message.ptr != NULL ? (const char *)message.ptr : "");
    int16_t code = r->responses[0].error_code;
    arena_fini(&op.arena);
    return code;
}

static const struct live_settings *live(void)
{
    return &rig_view(&rig)->live;
}

/* ── what each setting does: one number that is published or handed out ── */

static int64_t override_of_10_0_0_1(void)
{
    for (uint32_t i = 0; i < live()->overrides_n; i++)
        if (live()->overrides[i].ip[10] == 0xff && live()->overrides[i].ip[12] == 10)
            return live()->overrides[i].connections_max;
    return -1;
}

static int64_t assignment_interval(void)
{
    struct next_settings settings = {0};
    const struct next_host *host = &rig.control->coordinator->nexts.host;
    host->settings(host->context, bytes_of_string("g"), 0, &settings);
    return settings.assignment_interval_ms;
}

#define TOPIC(name, field)                                                                      \
    static int64_t name(void)                                                                   \
    {                                                                                           \
        return (int64_t)view_topic_by_name(rig_view(&rig), bytes_of_string("t"))->config.field; \
    }
#define LIVE(name, field)                \
    static int64_t name(void)            \
    {                                    \
        return (int64_t)(live()->field); \
    }
TOPIC(delete_retention, delete_retention_ms)
TOPIC(max_lag, max_compaction_lag_ms)
TOPIC(min_lag, min_compaction_lag_ms)
TOPIC(dirty, min_dirty_millionths)
TOPIC(is_compacted, is_compacted)
TOPIC(flush_messages, flush_messages)
TOPIC(flush_ms, flush_ms)
TOPIC(index_interval, index_interval_bytes)
TOPIC(index_bytes, segment_index_bytes)
TOPIC(after_max, timestamp_after_max_ms)
TOPIC(before_max, timestamp_before_max_ms)
TOPIC(append_time, is_log_append_time)
TOPIC(preallocate, preallocate)
TOPIC(retention_bytes, retention_bytes)
TOPIC(retention_ms, retention_ms)
TOPIC(jitter, segment_jitter_ms)
TOPIC(roll, segment_ms)
TOPIC(segment, segment_bytes)
TOPIC(delete_delay, file_delete_delay_ms)
TOPIC(message_max, max_message_bytes)
TOPIC(codec, codec)
LIVE(connections, connections_max)
LIVE(per_ip, connections_per_ip_max)
LIVE(expiration, store.producer_expiration_ms)
LIVE(map_bytes, store.compact_map_bytes)
LIVE(load, store.compact_load * 100 + 0.5)
LIVE(per_s, store.compact_bytes_per_s)
LIVE(backoff, store.compact_backoff_ns / NS_PER_MS)

/* A topic has the level of its codec alone. */
static int64_t level_with(const char *name)
{
    assert_int_equal(alter("", "compression.type", 0, name), 0);
    int64_t level =
        view_topic_by_name(rig_view(&rig), bytes_of_string("t"))->config.codec_level;
    assert_int_equal(alter("", "compression.type", 1, NULL), 0);
    return level;
}

static int64_t gzip_level(void)
{
    return level_with("gzip");
}

static int64_t lz4_level(void)
{
    return level_with("lz4");
}

static int64_t zstd_level(void)
{
    return level_with("zstd");
}

/* What the next move is told (moves.c). */
static int64_t move_rate(void)
{
    const char *rate = resolve_broker(&rig.control->resolver,
                                      "replica.alter.log.dirs.io.max.bytes.per.second");
    return strtoll(rate, NULL, 10);
}

static const struct {
    const char *key, *a, *b;
    int64_t is_a, is_b;
    int64_t (*observe)(void);
} rows[] = {
    {"compression.type", "lz4", "zstd", CODEC_LZ4, CODEC_ZSTD, codec},
    {"compression.gzip.level", "1", "9", 1, 9, gzip_level},
    {"compression.lz4.level", "3", "12", 3, 12, lz4_level},
    {"compression.zstd.level", "-5", "19", -5, 19, zstd_level},
    {"group.consumer.assignment.interval.ms", "2000", "3000", 2000, 3000, assignment_interval},
    {"log.cleaner.backoff.ms", "1000", "2000", 1000, 2000, backoff},
    {"log.cleaner.dedupe.buffer.size", "2097152", "4194304", 2097152, 4194304, map_bytes},
    {"log.cleaner.delete.retention.ms", "1", "2", 1, 2, delete_retention},
    {"log.cleaner.io.buffer.load.factor", "0.5", "0.6", 50, 60, load},
    {"log.cleaner.io.max.bytes.per.second", "1000", "2000", 1000, 2000, per_s},
    {"log.cleaner.max.compaction.lag.ms", "1000", "2000", 1000, 2000, max_lag},
    {"log.cleaner.min.cleanable.ratio", "0.1", "0.2", 100000, 200000, dirty},
    {"log.cleaner.min.compaction.lag.ms", "1", "2", 1, 2, min_lag},
    {"log.cleanup.policy", "compact", "delete", 1, 0, is_compacted},
    {"log.flush.interval.messages", "5", "6", 5, 6, flush_messages},
    {"log.flush.interval.ms", "5", "6", 5, 6, flush_ms},
    {"log.index.interval.bytes", "5", "6", 5, 6, index_interval},
    {"log.index.size.max.bytes", "5000", "6000", 5000, 6000, index_bytes},
    {"log.message.timestamp.after.max.ms", "5", "6", 5, 6, after_max},
    {"log.message.timestamp.before.max.ms", "5", "6", 5, 6, before_max},
    {"log.message.timestamp.type", "LogAppendTime", "CreateTime", 1, 0, append_time},
    {"log.preallocate", "true", "false", 1, 0, preallocate},
    {"log.retention.bytes", "5", "6", 5, 6, retention_bytes},
    {"log.retention.ms", "5", "6", 5, 6, retention_ms},
    {"log.roll.jitter.ms", "5", "6", 5, 6, jitter},
    {"log.roll.ms", "5", "6", 5, 6, roll},
    {"log.segment.bytes", "1048577", "1048578", 1048577, 1048578, segment},
    {"log.segment.delete.delay.ms", "5", "6", 5, 6, delete_delay},
    {"max.connections", "5", "6", 5, 6, connections},
    {"max.connections.per.ip", "5", "6", 5, 6, per_ip},
    {"max.connections.per.ip.overrides", "10.0.0.1:3", "[::1]:4,10.0.0.1:7", 3, 7,
     override_of_10_0_0_1},
    {"message.max.bytes", "5", "6", 5, 6, message_max},
    {"producer.id.expiration.ms", "5000", "6000", 5000, 6000, expiration},
    {"replica.alter.log.dirs.io.max.bytes.per.second", "5", "6", 5, 6, move_rate},
};

static bool is_served(const char *key)
{
    return config_row_find(CONFIG_BROKER, key)->status == CONFIG_HONOURED;
}

static void every_dynamic_setting_that_is_honoured_has_a_row_here(void **state)
{
    (void)state;
    uint32_t n;
    const struct config_row *all = config_rows(CONFIG_BROKER, &n);
    for (uint32_t i = 0; i < n; i++) {
        bool is_here = all[i].dynamic != CONFIG_CLUSTER_WIDE || all[i].status != CONFIG_HONOURED;
        for (uint32_t k = 0; k < array_n(rows); k++)
            is_here |= strcmp(rows[k].key, all[i].key) == 0;
        if (!is_here)
            fail_msg("%s is dynamic and honoured: prove that it acts", all[i].key);
    }
}

static void dynamic_setting_acts_at_once_and_is_taken_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < array_n(rows); i++) {
        const char *key = rows[i].key;
        if (!is_served(key))
            continue;
        int64_t before = rows[i].observe();
        assert_int_equal(alter("", key, 0, rows[i].a), 0);
        assert_int_equal(rows[i].observe(), rows[i].is_a);
        assert_int_equal(alter("1", key, 0, rows[i].b), 0); /* this broker's is stronger */
        assert_int_equal(rows[i].observe(), rows[i].is_b);
        assert_int_equal(alter("", key, 1, NULL), 0);
        assert_int_equal(rows[i].observe(), rows[i].is_b);
        assert_int_equal(alter("", key, 0, rows[i].a), 0);
        assert_int_equal(alter("1", key, 1, NULL), 0);
        assert_int_equal(rows[i].observe(), rows[i].is_a);
        assert_int_equal(alter("", key, 1, NULL), 0);
        assert_int_equal(rows[i].observe(), before);
    }
}

static void dynamic_setting_acts_after_a_restart(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < array_n(rows); i++)
        if (is_served(rows[i].key))
            assert_int_equal(alter("", rows[i].key, 0, rows[i].a), 0);
    rig_stop(&rig);
    assert_int_equal(rig_start(&rig), 0);
    for (uint32_t i = 0; i < array_n(rows); i++)
        if (is_served(rows[i].key))
            assert_int_equal(rows[i].observe(), rows[i].is_a);
}

/* ── addresses with a limit of their own ── */

static void overrides_are_read_as_kafka_writes_them(void **state)
{
    (void)state;
    struct live_override out[LIVE_OVERRIDES_MAX];
    assert_int_equal(live_overrides_parse("", out), 0);
    assert_int_equal(live_overrides_parse("10.0.0.1:5, localhost:0 ,fd00::1:7,[::1]:9", out), 4);
    assert_int_equal(out[0].connections_max, 5);
    assert_int_equal(out[1].ip[12], 127);
    assert_int_equal(out[2].ip[0], 0xfd);
    assert_int_equal(out[2].connections_max, 7);
    assert_int_equal(out[3].ip[15], 1);
}

static void overrides_of_another_form_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"a",    "10.0.0.1",           "10.0.0.1:",   ":5",
                                        ",",    "10.0.0.1:5,,::1:3",  "host.name:5", "10.0.0.1:-1",
                                        "[]:1", "10.0.0.1:1234567890"};
    struct live_override out[LIVE_OVERRIDES_MAX];
    char many[4096] = "";
    for (uint32_t i = 0; i < array_n(wrong); i++) {
        assert_int_equal(live_overrides_parse(wrong[i], out), -1);
        assert_int_equal(alter("", "max.connections.per.ip.overrides", 0, wrong[i]), 42);
    }
    for (int i = 0; i <= LIVE_OVERRIDES_MAX; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%s10.0.0.%d:1", i > 0 ? "," : "",
                 i);
    assert_int_equal(live_overrides_parse(many, out), -1);
}

/* ── a file that is read again ── */

static FILE *sink_open(char **out, size_t *n)
{
    FILE *sink = open_memstream(out, n);
    assert_non_null(sink);
    return sink;
}

/* What main does with a file that holds `lines`; the caller frees both. */
static struct config *renew(const char *const *lines, uint32_t n, int *changed_n, char **told)
{
    struct config *next;
    size_t told_n;
    FILE *sink = sink_open(told, &told_n);
    assert_int_equal(config_new(&next), 0);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(config_override(next, lines[i], sink), 0);
    *changed_n = config_renew(next, rig.control->config.config, sink);
    fclose(sink);
    return next;
}

static void reload(const struct config *next)
{
    struct reload *slot = control_reload(rig.control);
    slot->config = next;
    atomic_store(&slot->state, RELOAD_ASKED);
    for (int i = 0; i < 1000 && atomic_load(&slot->state) != RELOAD_DONE; i++)
        rig_turn(&rig);
    assert_int_equal(atomic_load(&slot->state), RELOAD_DONE);
    atomic_store(&slot->state, RELOAD_IDLE);
}

static void file_read_again_acts_on_logs_and_workers(void **state)
{
    (void)state;
    const char *const lines[] = {"log.retention.hours=2", "max.connections=9", "num.partitions=3",
                                 "num.io.threads=4"};
    char *told;
    int changed_n;
    struct config *next = renew(lines, array_n(lines), &changed_n, &told);
    rig.orders_n = 0;
    assert_int_equal(changed_n, 4);
    assert_non_null(strstr(told, "changed: log.retention.hours: 2, was 168\n"));
    reload(next);
    assert_int_equal(retention_ms(), 7200000);
    assert_int_equal(connections(), 9);
    assert_int_equal(rig_view(&rig)->default_partitions_n, 3);
    assert_int_equal(rig.orders_n, 2);
    assert_int_equal(rig.orders[0].order, LOG_CONFIGURE);
    assert_int_equal(rig_create(&rig, "later", -1), 0);
    assert_int_equal(view_topic_by_name(rig_view(&rig), bytes_of_string("later"))->partitions_n, 3);
    rig_stop(&rig);
    config_free(rig.config);
    rig.config = next;
    free(told);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(connections(), 9);
}

static void what_clients_set_stands_over_the_file(void **state)
{
    (void)state;
    const char *const lines[] = {"log.retention.ms=5"};
    char *told;
    int changed_n;
    assert_int_equal(alter("", "log.retention.ms", 0, "77"), 0);
    struct config *next = renew(lines, 1, &changed_n, &told);
    reload(next);
    assert_int_equal(retention_ms(), 77);
    assert_int_equal(alter("", "log.retention.ms", 1, NULL), 0);
    assert_int_equal(retention_ms(), 5);
    rig_stop(&rig);
    config_free(next);
    free(told);
}

static void what_needs_a_restart_is_named_and_stays(void **state)
{
    (void)state;
    const char *const lines[] = {"broker.rack=b", "socket.request.max.bytes=1048576",
                                 "listeners=PLAINTEXT://:1234", "log.retention.ms=5"};
    char *told;
    int changed_n;
    struct config *next = renew(lines, array_n(lines), &changed_n, &told);
    assert_int_equal(changed_n, 1);
    assert_non_null(
        strstr(told, "needs a restart: broker.rack: null stays in force, the file has b"));
    assert_non_null(strstr(told, "needs a restart: listeners: "));
    assert_non_null(strstr(told, "needs a restart: socket.request.max.bytes: 104857600 stays"));
    assert_null(config_string(next, "broker.rack"));
    assert_false(config_is_set(next, "socket.request.max.bytes"));
    free(told);
    /* The same file once more: nothing changed, and the rest is told again. */
    struct config *again;
    size_t n;
    FILE *sink = sink_open(&told, &n);
    assert_int_equal(config_new(&again), 0);
    for (uint32_t i = 0; i < array_n(lines); i++)
        assert_int_equal(config_override(again, lines[i], sink), 0);
    assert_int_equal(config_renew(again, next, sink), 0);
    fclose(sink);
    assert_null(strstr(told, "changed:"));
    free(told);
    config_free(again);
    config_free(next);
}

static void reload_waits_for_the_round_under_way(void **state)
{
    (void)state;
    const char *const lines[] = {"log.retention.ms=5"};
    struct reload *slot = control_reload(rig.control);
    struct create_topics_request_topics topic = rig_topic("u", 2, 1);
    struct create_topics_request request = {.topics = &topic, .topics_n = 1};
    char *told;
    int changed_n;
    struct config *next = renew(lines, 1, &changed_n, &told);
    rig.is_deaf = true; /* the logs of "u" are not opened */
    rig_send(&rig, &op, 19, 7, &request);
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    slot->config = next;
    atomic_store(&slot->state, RELOAD_ASKED);
    for (int i = 0; i < 20; i++)
        rig_turn(&rig);
    assert_int_equal(atomic_load(&slot->state), RELOAD_ASKED);
    assert_false(op.mail.is_answer);
    rig.is_deaf = false;
    reload(next);
    assert_true(op.mail.is_answer);
    arena_fini(&op.arena);
    assert_int_equal(retention_ms(), 5);
    rig_stop(&rig);
    config_free(next);
    free(told);
}

static void idle_settings_follow_the_file(void **state)
{
    (void)state;
    const char *const lines[] = {"num.io.threads=4"};
    uint32_t n;
    const struct config_row *all = config_rows(CONFIG_BROKER, &n);
    uint32_t at = (uint32_t)(config_row_find(CONFIG_BROKER, "num.io.threads") - all);
    const struct idle_settings *idle = control_idle_settings(rig.control);
    char *told;
    int changed_n;
    assert_int_equal(atomic_load(&idle->words[at / 64]) >> (at % 64) & 1, 0);
    struct config *next = renew(lines, 1, &changed_n, &told);
    reload(next);
    assert_int_equal(atomic_load(&idle->words[at / 64]) >> (at % 64) & 1, 1);
    rig_stop(&rig);
    config_free(next);
    free(told);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        RIG_TEST(every_dynamic_setting_that_is_honoured_has_a_row_here),
        RIG_TEST(dynamic_setting_acts_at_once_and_is_taken_back),
        RIG_TEST(dynamic_setting_acts_after_a_restart),
        RIG_TEST(overrides_are_read_as_kafka_writes_them),
        RIG_TEST(overrides_of_another_form_are_refused),
        RIG_TEST(file_read_again_acts_on_logs_and_workers),
        RIG_TEST(what_clients_set_stands_over_the_file),
        RIG_TEST(what_needs_a_restart_is_named_and_stays),
        RIG_TEST(reload_waits_for_the_round_under_way),
        RIG_TEST(idle_settings_follow_the_file),
    };
    return TESTS_RUN(tests);
}
