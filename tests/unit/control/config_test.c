/* config_test.c - the table, files, overrides, rules between settings, listeners. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base.h"
#include "config.h"

static struct config *config;
static char *said;
static size_t said_n;
static FILE *report;

static int setup(void **state)
{
    (void)state;
    report = open_memstream(&said, &said_n);
    return config_new(&config);
}

static int teardown(void **state)
{
    (void)state;
    config_free(config);
    fclose(report);
    free(said);
    return 0;
}

static bool was_said(const char *text)
{
    fflush(report);
    return strstr(said, text) != NULL;
}

/* Reads a file of that text. */
static int read_text(const char *text)
{
    char path[] = "/tmp/control-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    int e = config_read_file(config, path, report);
    unlink(path);
    return e;
}

static int override(const char *assignment)
{
    return config_override(config, assignment, report);
}

/* ── the table ── */

static void rows_are_sorted_and_their_defaults_are_valid(void **state)
{
    (void)state;
    static const uint32_t counts[] = {379 + 31, 36, 17, 3};
    for (int scope = CONFIG_BROKER; scope <= CONFIG_CLIENT_METRICS; scope++) {
        uint32_t n;
        char why[512];
        const struct config_row *rows = config_rows((enum config_scope)scope, &n);
        assert_int_equal(n, counts[scope]);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(i == 0 || strcmp(rows[i - 1].key, rows[i].key) < 0);
            assert_ptr_equal(config_row_find((enum config_scope)scope, rows[i].key), &rows[i]);
            assert_true(strlen(rows[i].text) > 10);
            if (rows[i].default_value != NULL && strcmp(rows[i].key, "broker.id") != 0)
                assert_int_equal(
                    config_check_value(&rows[i], rows[i].default_value, why, sizeof why), 0);
            if (rows[i].scope != CONFIG_BROKER && rows[i].synonyms[0] != 0)
                assert_non_null(config_row_find(CONFIG_BROKER, rows[i].synonyms));
        }
    }
}

static void nearest_name_is_found_within_three_edits(void **state)
{
    (void)state;
    assert_string_equal(config_nearest(CONFIG_BROKER, "lisners"), "listeners");
    assert_string_equal(config_nearest(CONFIG_BROKER, "num.partition"), "num.partitions");
    assert_string_equal(config_nearest(CONFIG_TOPIC, "retention_ms"), "retention.ms");
    assert_null(config_nearest(CONFIG_BROKER, "something.else.entirely"));
    assert_null(config_nearest(CONFIG_BROKER, ""));
}

/* ── files and overrides ── */

static void file_sets_values_and_defaults_stay(void **state)
{
    (void)state;
    assert_int_equal(
        read_text("num.partitions= 7 \nauto.create.topics.enable=FALSE\nbroker.rack=r1\n"), 0);
    assert_int_equal(config_int(config, "num.partitions"), 7);
    assert_false(config_bool(config, "auto.create.topics.enable"));
    assert_string_equal(config_string(config, "broker.rack"), "r1");
    assert_int_equal(config_int(config, "message.max.bytes"), 1048588);
    assert_null(config_string(config, "log.retention.ms"));
    assert_true(config_is_set(config, "num.partitions"));
    assert_false(config_is_set(config, "message.max.bytes"));
}

static void last_of_two_lines_counts(void **state)
{
    (void)state;
    assert_int_equal(read_text("num.partitions=1\nnum.partitions=2\n"), 0);
    assert_int_equal(config_int(config, "num.partitions"), 2);
}

static void override_stands_over_the_file_in_either_order(void **state)
{
    (void)state;
    assert_int_equal(override("num.partitions=9"), 0);
    assert_int_equal(read_text("num.partitions=1\nbackground.threads=3\n"), 0);
    assert_int_equal(config_int(config, "num.partitions"), 9);
    assert_int_equal(override("background.threads=4"), 0);
    assert_int_equal(config_int(config, "background.threads"), 4);
}

static void node_id_and_broker_id_stand_for_one_another(void **state)
{
    (void)state;
    assert_int_equal(config_int(config, "node.id"), 1);
    assert_int_equal(override("broker.id=5"), 0);
    assert_int_equal(config_int(config, "node.id"), 5);
    assert_int_equal(override("node.id=6"), 0);
    assert_int_equal(config_check(config, report), E_INVALID);
    assert_true(was_said("broker.id and node.id differ"));
}

static void unknown_and_ignored_settings_are_listed(void **state)
{
    (void)state;
    assert_int_equal(
        read_text("lisners=x\nno.such.thing.at.all=1\nnum.io.threads=3\nlistener.name.a.ssl.key=1\n"
                  "ssl.protocol=TLSv1.3\n"),
        0);
    assert_true(was_said("unknown setting: lisners (did you mean listeners?)"));
    assert_true(was_said("unknown setting: no.such.thing.at.all\n"));
    assert_true(was_said("ignored: num.io.threads: "));
    assert_true(was_said("ignored: listener.name.a.ssl.key: "));
    assert_false(was_said("ssl.protocol")); /* the default changes nothing */
}

static void refused_settings_stop_the_start(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "authorizer.class.name=org.example.A",
        "remote.log.storage.system.enable=true",
        "config.providers=file",
        "create.topic.policy.class.name=x.Y",
        "delegation.token.secret.key=s",
        "transaction.two.phase.commit.enable=true",
    };
    for (uint32_t i = 0; i < array_n(texts); i++)
        assert_int_equal(read_text(texts[i]), E_INVALID);
    assert_true(was_said("refused: line 1: authorizer.class.name: "));
    assert_int_equal(read_text("authorizer.class.name=\nremote.log.storage.system.enable=false\n"),
                     0);
}

static void every_wrong_value_is_told_at_once(void **state)
{
    (void)state;
    assert_int_equal(read_text("num.partitions=abc\nbackground.threads=0\nlog.dir=/x\n"),
                     E_INVALID);
    assert_true(was_said("invalid: line 1: Invalid value abc for configuration num.partitions: Not "
                         "a number of type INT"));
    assert_true(was_said("invalid: line 2: Invalid value 0 for configuration background.threads: "
                         "Value must be at least 1"));
    assert_string_equal(config_string(config, "log.dir"), "/x");
}

static void broken_files_are_told(void **state)
{
    (void)state;
    assert_int_equal(config_read_file(config, "/nowhere/at/all", report), E_NOT_FOUND);
    assert_int_equal(config_read_file(config, "/tmp", report), E_INVALID);
    assert_int_equal(read_text("a=\\u12"), E_INVALID);
    assert_true(was_said("line 1: a broken \\u escape"));
    char *huge = malloc((1 << 20) + 3);
    memset(huge, 'a', (1 << 20) + 2);
    huge[(1 << 20) + 2] = 0;
    assert_int_equal(read_text(huge), E_INVALID);
    assert_true(was_said("larger than 1 MiB"));
    free(huge);
}

static void broken_overrides_are_told(void **state)
{
    (void)state;
    assert_int_equal(override("num.partitions"), E_INVALID);
    assert_int_equal(override("=1"), E_INVALID);
    assert_int_equal(override("num.partitions="), E_INVALID);
    char huge[CONFIG_VALUE_MAX + 64] = "broker.rack=";
    memset(huge + 12, 'r', sizeof huge - 13);
    huge[sizeof huge - 1] = 0;
    assert_int_equal(override(huge), E_INVALID);
    assert_null(config_string(config, "broker.rack"));
}

static void passwords_are_never_shown(void **state)
{
    (void)state;
    assert_int_equal(override("ssl.key.password=hunter2"), 0);
    config_report(config, report);
    assert_true(was_said("ssl.key.password = (hidden)"));
    assert_false(was_said("hunter2"));
}

/* ── values ── */

static void assert_value(enum config_scope scope, const char *key, const char *value,
                         const char *expected)
{
    char to[256], why[512] = "";
    const struct config_row *row = config_row_find(scope, key);
    assert_non_null(row);
    int e = config_canonical(row, value, to, sizeof to, why, sizeof why);
    assert_string_equal(e == 0 ? to : why, expected);
}

static void values_are_shown_as_kafka_shows_them(void **state)
{
    (void)state;
    assert_value(CONFIG_BROKER, "num.partitions", " +5 ", "5");
    assert_value(CONFIG_BROKER, "num.partitions", "007", "7");
    assert_value(CONFIG_BROKER, "auto.create.topics.enable", " True", "true");
    assert_value(CONFIG_BROKER, "listeners", "A://:1 ,  B://:2", "A://:1,B://:2");
    assert_value(CONFIG_BROKER, "ssl.key.password", " s ", " s ");
    assert_value(CONFIG_BROKER, "group.consumer.migration.policy", "Upgrade", "Upgrade");
    assert_value(CONFIG_TOPIC, "cleanup.policy", "", "");
    assert_value(CONFIG_TOPIC, "compression.gzip.level", "-1", "-1");
    assert_value(CONFIG_GROUP, "share.auto.offset.reset", "by_duration:PT1H", "by_duration:PT1H");
}

static void wrong_values_get_kafkas_sentence(void **state)
{
    (void)state;
    assert_value(CONFIG_BROKER, "offsets.topic.replication.factor", "40000",
                 "Invalid value 40000 for configuration offsets.topic.replication.factor: Not a "
                 "number of type SHORT");
    assert_value(CONFIG_BROKER, "num.partitions", "1 2",
                 "Invalid value 1 2 for configuration num.partitions: Not a number of type INT");
    assert_value(CONFIG_BROKER, "group.consumer.migration.policy", "x",
                 "Invalid value x for configuration group.consumer.migration.policy: String must "
                 "be one of (case "
                 "insensitive): DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL");
    assert_value(CONFIG_BROKER, "remote.log.storage.manager.impl.prefix", "",
                 "Invalid value  for configuration remote.log.storage.manager.impl.prefix: String "
                 "must be non-empty");
    assert_value(CONFIG_BROKER, "remote.log.manager.task.retry.jitter", "0.6",
                 "Invalid value 0.6 for configuration remote.log.manager.task.retry.jitter: Value "
                 "must be no more than 0.5");
    assert_value(CONFIG_GROUP, "share.auto.offset.reset", "by_duration",
                 "Invalid value by_duration for configuration share.auto.offset.reset: String must "
                 "be one of: latest, "
                 "earliest, by_duration:PnDTnHnMn.nS");
    assert_value(CONFIG_BROKER, "sasl.oauthbearer.assertion.claim.exp.seconds",
                 "99999999999999999999",
                 "Invalid value 99999999999999999999 for configuration "
                 "sasl.oauthbearer.assertion.claim.exp.seconds: Not a "
                 "number of type INT");
}

/* ── rules between settings ── */

static void rules_between_settings_are_kept(void **state)
{
    (void)state;
    static const struct {
        const char *assignment, *text;
    } rows[] = {
        {"process.roles=controller", "process.roles = controller"},
        {"process.roles=broker", "process.roles = broker"},
        {"log.dirs=", "log.dirs is empty"},
        {"metadata.log.dir=/a,/b", "metadata.log.dir = /a,/b"},
        {"controller.quorum.voters=1@a:1,2@b:2", "a quorum of other nodes cannot be joined"},
        {"controller.quorum.voters=2@b:2", "a quorum of other nodes cannot be joined"},
        {"controller.quorum.voters=nonsense", "a quorum of other nodes cannot be joined"},
        {"listeners=SSL://:9092", "listener SSL is SSL"},
    };
    assert_int_equal(config_check(config, report), 0);
    for (uint32_t i = 0; i < array_n(rows); i++) {
        config_free(config);
        assert_int_equal(config_new(&config), 0);
        assert_int_equal(override(rows[i].assignment), 0);
        assert_int_equal(config_check(config, report), E_INVALID);
        assert_true(was_said(rows[i].text));
    }
    config_free(config);
    assert_int_equal(config_new(&config), 0);
    assert_int_equal(override("controller.quorum.voters=1@localhost:9093"), 0);
    assert_int_equal(override("log.dirs=/a,/b"), 0);
    assert_int_equal(override("metadata.log.dir=/c"), 0);
    assert_int_equal(config_check(config, report), 0);
}

/* The file that Apache Kafka 4.3 ships, without its comments. */
static void unmodified_server_properties_starts(void **state)
{
    (void)state;
    struct listener *listeners = calloc(LISTENERS_MAX, sizeof *listeners);
    uint32_t n;
    char why[256];
    assert_int_equal(
        read_text(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers="
            "localhost:9093\n"
            "listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n"
            "advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n"
            "controller.listener.names=CONTROLLER\nlistener.security.protocol.map=CONTROLLER:"
            "PLAINTEXT,PLAINTEXT:PLAINTEXT,"
            "SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\nnum.network.threads=3\nnum."
            "io.threads=8\n"
            "socket.send.buffer.bytes=102400\nsocket.receive.buffer.bytes=102400\nsocket.request."
            "max.bytes=104857600\n"
            "log.dirs=/tmp/"
            "kraft-combined-logs\nnum.partitions=1\nnum.recovery.threads.per.data.dir=1\n"
            "offsets.topic.replication.factor=1\nshare.coordinator.state.topic.replication.factor="
            "1\n"
            "share.coordinator.state.topic.min.isr=1\ntransaction.state.log.replication.factor=1\n"
            "transaction.state.log.min.isr=1\nlog.retention.hours=168\nlog.segment.bytes="
            "1073741824\n"
            "log.retention.check.interval.ms=300000\n"),
        0);
    assert_false(was_said("unknown"));
    assert_int_equal(config_check(config, report), 0);
    assert_int_equal(config_listeners(config, listeners, &n, why, sizeof why), 0);
    assert_int_equal(n, 1);
    assert_string_equal(listeners[0].name, "PLAINTEXT");
    assert_string_equal(listeners[0].host, "");
    assert_int_equal(listeners[0].port, 9092);
    assert_string_equal(listeners[0].advertised_host, "localhost");
    assert_int_equal(listeners[0].advertised_port, 9092);
    free(listeners);
}

/* ── listeners ── */

static int listeners_of(const char *listeners, const char *advertised, struct listener *out,
                        uint32_t *n, char *why)
{
    char text[1024];
    config_free(config);
    assert_int_equal(config_new(&config), 0);
    snprintf(text, sizeof text, "listeners=%s", listeners);
    assert_int_equal(override(text), 0);
    snprintf(text, sizeof text, "advertised.listeners=%s", advertised);
    if (advertised[0] != 0)
        assert_int_equal(override(text), 0);
    assert_int_equal(override("listener.security.protocol.map=PLAINTEXT:PLAINTEXT,IN:PLAINTEXT,OUT:"
                              "PLAINTEXT,SEC:SASL_SSL"),
                     0);
    return config_listeners(config, out, n, why, 512);
}

static void listeners_become_structs(void **state)
{
    (void)state;
    struct listener *out = calloc(LISTENERS_MAX, sizeof *out);
    uint32_t n;
    char why[512];
    assert_int_equal(
        listeners_of("in://10.0.0.1:9092,OUT://[::1]:0", "OUT://example.org:443", out, &n, why), 0);
    assert_int_equal(n, 2);
    assert_string_equal(out[0].name, "IN");
    assert_string_equal(out[0].host, "10.0.0.1");
    assert_string_equal(out[0].advertised_host, "10.0.0.1");
    assert_int_equal(out[0].advertised_port, 9092);
    assert_string_equal(out[1].host, "::1");
    assert_int_equal(out[1].port, 0);
    assert_string_equal(out[1].advertised_host, "example.org");
    assert_int_equal(out[1].advertised_port, 443);
    assert_int_equal(listeners_of("PLAINTEXT://:9092", "", out, &n, why), 0);
    assert_true(out[0].advertised_host[0] != 0); /* this host's name */
    free(out);
}

static void wrong_listeners_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *listeners, *advertised, *text;
    } rows[] = {
        {"nonsense", "", "listeners: nonsense: it must be NAME://HOST:PORT"},
        {"IN://h", "", "it must be NAME://HOST:PORT"},
        {"IN://h:", "", "it must be NAME://HOST:PORT"},
        {"IN://h:70000", "", "it must be NAME://HOST:PORT"},
        {"IN://h:1x", "", "it must be NAME://HOST:PORT"},
        {"://h:1", "", "it must be NAME://HOST:PORT"},
        {"IN://:1,IN://:2", "", "each listener must have a different name: IN"},
        {"SEC://:1", "", "listener SEC is SASL_SSL: TLS and authentication are not served yet"},
        {"WHAT://:1", "", "No security protocol defined for listener WHAT"},
        {"CONTROLLER://:1", "", "listeners: there is none for clients"},
        {"IN://:1", "OUT://h:1", "advertised.listeners: OUT is not a listener"},
        {"IN://:1", "IN://0.0.0.0:1", "0.0.0.0 cannot be advertised"},
        {"IN://:1", "IN", "advertised.listeners: IN: it must be NAME://HOST:PORT"},
    };
    struct listener *out = calloc(LISTENERS_MAX, sizeof *out);
    for (uint32_t i = 0; i < array_n(rows); i++) {
        uint32_t n;
        char why[512];
        assert_int_equal(listeners_of(rows[i].listeners, rows[i].advertised, out, &n, why),
                         E_INVALID);
        assert_non_null(strstr(why, rows[i].text));
    }
    free(out);
}

static void more_listeners_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    struct listener *out = calloc(LISTENERS_MAX, sizeof *out);
    uint32_t n;
    char why[512], list[512] = "";
    for (int i = 0; i <= LISTENERS_MAX; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%sL%d://:%d", i > 0 ? "," : "",
                 i, i + 1);
    assert_int_equal(listeners_of(list, "", out, &n, why), E_INVALID);
    assert_non_null(strstr(why, "more than 16 listeners"));
    free(out);
}

#define CONFIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(rows_are_sorted_and_their_defaults_are_valid),
        CONFIG_TEST(nearest_name_is_found_within_three_edits),
        CONFIG_TEST(file_sets_values_and_defaults_stay),
        CONFIG_TEST(last_of_two_lines_counts),
        CONFIG_TEST(override_stands_over_the_file_in_either_order),
        CONFIG_TEST(node_id_and_broker_id_stand_for_one_another),
        CONFIG_TEST(unknown_and_ignored_settings_are_listed),
        CONFIG_TEST(refused_settings_stop_the_start),
        CONFIG_TEST(every_wrong_value_is_told_at_once),
        CONFIG_TEST(broken_files_are_told),
        CONFIG_TEST(broken_overrides_are_told),
        CONFIG_TEST(passwords_are_never_shown),
        CONFIG_TEST(values_are_shown_as_kafka_shows_them),
        CONFIG_TEST(wrong_values_get_kafkas_sentence),
        CONFIG_TEST(rules_between_settings_are_kept),
        CONFIG_TEST(unmodified_server_properties_starts),
        CONFIG_TEST(listeners_become_structs),
        CONFIG_TEST(wrong_listeners_are_told),
        CONFIG_TEST(more_listeners_than_there_is_room_for_are_refused),
    };
    return TESTS_RUN(tests);
}
