/* telemetry_test.c - GetTelemetrySubscriptions and PushTelemetry: Kafka's codes, who is matched,
 * bounds, what is forgotten; the page of /metrics. */
#include "rig.h"

#include "telemetry.h"
#include "uuid_text.h"

static struct rig rig;
static struct control_op op;
static uint8_t bulk_at;
static struct uuid id;
static int32_t subscription;
static bool is_bulk_asleep;

static const struct control_client java = {"apache-kafka-java", "4.3.1", 41234};

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 1);
    rig_override(&rig, "telemetry.series.max=64");
    rig_override(&rig, "telemetry.max.bytes=100000");
    assert_int_equal(rig_start(&rig), 0);
    bulk_at = 0;
    is_bulk_asleep = false;
    memset(&id, 0, sizeof id);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static const struct telemetry_stats *stats(void)
{
    return control_telemetry_stats(rig.control);
}

/* ── turns, with the bulk helper ── */

static void turn(void)
{
    struct post *bulk = &rig.posts[rig.workers_n + 2];
    struct mail *mail;
    rig_turn(&rig);
    while (!is_bulk_asleep && (mail = mail_read(bulk, &bulk_at)) != NULL) {
        assert_int_equal(mail->kind, MAIL_WORK);
        struct work_op *work = container_of(mail, struct work_op, mail);
        work->run(work);
        mail_answer(bulk, mail);
    }
    mail_flush(bulk);
}

static void send(struct control_op *to, int16_t key, const void *request,
                 const struct control_client *client, const char *client_id)
{
    memset(to, 0, sizeof *to);
    list_init(&to->mail.link);
    to->api_key = key;
    to->request = request;
    to->client = client;
    to->client_id = bytes_of_string(client_id);
    snprintf(to->client_host, sizeof to->client_host, "/10.1.2.3");
    arena_init(&to->arena, NULL, NULL, RIG_ARENA_MAX);
    mail_send(&rig.posts[0], rig.workers_n, MAIL_REQUEST, &to->mail);
    mail_flush(&rig.posts[0]);
}

static void *answer_of(struct control_op *to)
{
    for (int i = 0; i < 1000 && !to->mail.is_answer; i++)
        turn();
    assert_true(to->mail.is_answer);
    assert_non_null(to->response);
    return to->response;
}

static void subscribe(const char *name, const char *key, const char *value)
{
    struct control_op alter;
    struct incremental_alter_configs_request_resources_configs item = {
        bytes_of_string(key), value == NULL ? 1 : 0, bytes_of_string(value)};
    struct incremental_alter_configs_request_resources resource = {16, bytes_of_string(name), &item,
                                                                   1};
    struct incremental_alter_configs_request request = {&resource, 1, false};
    struct incremental_alter_configs_response *r = rig_ask(&rig, &alter, 44, 1, &request);
    assert_int_equal(r->responses[0].error_code, 0);
    arena_fini(&alter.arena);
}

static char names[1024];

/* Asks as `client`; id and subscription are set, the names stand in `names` with spaces. */
static int16_t get(const struct control_client *client, const char *client_id, int32_t *interval_ms)
{
    struct get_telemetry_subscriptions_request q = {id};
    send(&op, 71, &q, client, client_id);
    const struct get_telemetry_subscriptions_response *p = answer_of(&op);
    int16_t code = p->error_code;
    names[0] = 0;
    for (int32_t i = 0; i < p->requested_metrics_n; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%.*s ",
                 (int)p->requested_metrics[i].n, (const char *)p->requested_metrics[i].ptr);
    if (code == 0) {
        id = p->client_instance_id;
        subscription = p->subscription_id;
        if (interval_ms != NULL)
            *interval_ms = p->push_interval_ms;
        assert_int_equal(p->accepted_compression_types_n, 4);
        assert_int_equal(p->telemetry_max_bytes, 100000);
        assert_false(p->delta_temporality);
    }
    arena_fini(&op.arena);
    return code;
}

/* One gauge "g" with points named n="0" .. n="points_n - 1", of that value. */
static struct bytes gauge(uint32_t points_n, double value)
{
    static uint8_t v[65536];
    static uint8_t data[60000];
    uint32_t n = 0, out = 0;
    for (uint32_t i = 0; i < points_n; i++) {
        uint8_t point[64] = {0x21}; /* 4: double */
        char number[8];
        memcpy(point + 1, &value, 8);
        int number_n = snprintf(number, sizeof number, "%u", i);
        uint8_t attribute[] = {
            0x3a, (uint8_t)(7 + number_n), 0x0a, 1, 'n', 0x12, (uint8_t)(2 + number_n),
            0x0a, (uint8_t)number_n};
        memcpy(point + 9, attribute, sizeof attribute);
        memcpy(point + 9 + sizeof attribute, number, (size_t)number_n);
        uint32_t point_n = 9 + sizeof attribute + (uint32_t)number_n;
        data[n++] = 0x0a;
        data[n++] = (uint8_t)point_n;
        memcpy(data + n, point, point_n);
        n += point_n;
    }
    uint32_t gauge_n = 1 + (uint32_t)uvarint_bytes(n) + n, metric_n = gauge_n + 3;
    uint32_t scope_n = 1 + (uint32_t)uvarint_bytes(metric_n) + metric_n;
    uint32_t resource_n = 1 + (uint32_t)uvarint_bytes(scope_n) + scope_n;
    v[out++] = 0x0a;
    out += (uint32_t)store_uvarint(v + out, resource_n);
    v[out++] = 0x12;
    out += (uint32_t)store_uvarint(v + out, scope_n);
    v[out++] = 0x12;
    out += (uint32_t)store_uvarint(v + out, metric_n);
    memcpy(v + out, "\x0a\x01g\x2a", 4);
    out += 4;
    out += (uint32_t)store_uvarint(v + out, n);
    memcpy(v + out, data, n);
    return bytes_of(v, out + n);
}

static int16_t push(struct bytes metrics, int8_t codec, bool is_last)
{
    struct push_telemetry_request q = {id, subscription, is_last, codec, metrics};
    send(&op, 72, &q, &java, "c");
    const struct push_telemetry_response *p = answer_of(&op);
    int16_t code = p->error_code;
    arena_fini(&op.arena);
    return code;
}

static void pass(uint64_t ms)
{
    rig.now.ns += ms * NS_PER_MS;
    rig.now.wall_ms += (int64_t)ms;
    turn();
}

/* The page; the caller frees it. */
static char *page(void)
{
    struct ask *ask = control_ask(rig.control);
    ask->kind = ASK_TELEMETRY;
    ask->answer = NULL;
    atomic_store(&ask->state, ASK_ASKED);
    for (int i = 0; i < 1000 && atomic_load(&ask->state) != ASK_ANSWERED; i++)
        turn();
    assert_int_equal(atomic_load(&ask->state), ASK_ANSWERED);
    char *text = ask->answer;
    ask->answer = NULL;
    atomic_store(&ask->state, ASK_IDLE);
    assert_non_null(text);
    return text;
}

static uint32_t lines_of(const char *text)
{
    uint32_t n = 0;
    for (; *text != 0; text++)
        n += *text == '\n';
    return n;
}

/* ── who is asked for what ── */

static void client_without_a_subscription_pushes_nothing(void **state)
{
    (void)state;
    int32_t interval_ms = 0;
    assert_int_equal(get(&java, "c", &interval_ms), 0);
    assert_string_equal(names, "");
    assert_int_equal(interval_ms, 300000);
    assert_int_equal(get(&java, "c", NULL), 89);
    pass(300000);
    assert_int_equal(get(&java, "c", NULL), 0);
}

static void subscriptions_that_match_are_joined(void **state)
{
    (void)state;
    int32_t interval_ms = 0;
    assert_int_equal(get(&java, "c", NULL), 0);
    int32_t before = subscription;
    subscribe("one", "metrics", "b.,a.");
    subscribe("one", "interval.ms", "5000");
    subscribe("two", "metrics", "b.,c.");
    subscribe("two", "interval.ms", "3000");
    subscribe("two", "match",
              "client_software_name=apache-.*,client_software_version=4\\..*,client_id=c|d,"
              "client_source_address=10\\.1\\.2\\.3,client_source_port=4[0-9]+");
    subscribe("three", "metrics", "no.");
    subscribe("three", "match", "client_id=cc");
    assert_int_equal(get(&java, "c", &interval_ms), 0); /* at once: they have changed */
    assert_string_equal(names, "a. b. c. ");
    assert_int_equal(interval_ms, 3000);
    assert_int_not_equal(subscription, before);
    int32_t joined = subscription;
    subscribe("four", "metrics", "*");
    assert_int_equal(get(&java, "c", NULL), 0);
    assert_string_equal(names, "* ");
    subscribe("four", "metrics", NULL);
    assert_int_equal(get(&java, "c", NULL), 0);
    assert_int_equal(subscription, joined); /* the same answer has the same id */
}

static void client_that_has_not_said_its_name_matches_no_name(void **state)
{
    (void)state;
    static const struct control_client unnamed = {"", "", 1};
    subscribe("s", "metrics", "a.");
    subscribe("s", "match", "client_software_name=.*");
    assert_int_equal(get(&unnamed, "c", NULL), 0);
    assert_string_equal(names, "");
}

static void instance_is_matched_by_its_id(void **state)
{
    (void)state;
    char match[64], text[UUID_TEXT_MAX];
    assert_int_equal(get(&java, "c", NULL), 0);
    uuid_text(&id, text);
    snprintf(match, sizeof match, "client_instance_id=%s", text);
    subscribe("s", "metrics", "a.");
    subscribe("s", "match", match);
    assert_int_equal(get(&java, "c", NULL), 0);
    assert_string_equal(names, "a. ");
}

/* ── pushes ── */

static void subscribed(void)
{
    subscribe("s", "metrics", "*");
    subscribe("s", "interval.ms", "1000");
    assert_int_equal(get(&java, "c", NULL), 0);
}

static void push_is_judged_as_kafka_does(void **state)
{
    (void)state;
    struct bytes one = gauge(1, 1);
    static uint8_t large[100001];
    subscribed();
    assert_int_equal(push(one, 0, false), 0);
    assert_int_equal(push(one, 0, false), 89);
    pass(1000);
    assert_int_equal(push(one, 9, false), 76);
    pass(1000);
    assert_int_equal(push(one, -1, false), 76);
    pass(1000);
    assert_int_equal(push(bytes_of(large, sizeof large), 0, false), 118);
    pass(1000);
    assert_int_equal(push(bytes_of("\xff\xff", 2), 0, false), 87);
    pass(1000);
    assert_int_equal(push(bytes_of("not gzip", 8), 1, false), 87);
    pass(1000);
    int32_t right = subscription;
    subscription++;
    assert_int_equal(push(one, 0, false), 117);
    assert_int_equal(get(&java, "c", NULL), 0); /* excused: it has to ask anew */
    assert_int_equal(subscription, right);
    assert_int_equal(push(one, 0, true), 0); /* the last one may come early */
    assert_int_equal(push(one, 0, false), 42);
    pass(1000);
    assert_int_equal(push(bytes_of("", 0), 0, false), 0); /* what came in between began it anew */
    memset(&id, 0, sizeof id);
    assert_int_equal(push(one, 0, false), 42);
    id.b[15] = 99;
    assert_int_equal(push(one, 0, false), 42);
    assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_THROTTLED), 1);
    assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_CODEC), 2);
    assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_TOO_LARGE), 1);
    assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_UNKNOWN), 1);
}

static void page_shows_the_newest_numbers(void **state)
{
    (void)state;
    subscribed();
    assert_int_equal(push(gauge(2, 1), 0, false), 0);
    pass(1000);
    assert_int_equal(push(gauge(1, 2.5), 0, false), 0);
    char *text = page(), expected[512], instance[UUID_TEXT_MAX];
    uuid_text(&id, instance);
    snprintf(expected, sizeof expected,
             "# TYPE client_g gauge\n"
             "client_g{client_id=\"c\",client_instance_id=\"%s\",n=\"0\"} 2.5\n"
             "client_g{client_id=\"c\",client_instance_id=\"%s\",n=\"1\"} 1\n",
             instance, instance);
    assert_string_equal(text, expected);
    free(text);
}

static void series_go_with_a_client_that_is_silent(void **state)
{
    (void)state;
    subscribed();
    assert_int_equal(push(gauge(3, 1), 0, false), 0);
    assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_SERIES), 3);
    pass(59000);
    assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_SERIES), 3);
    pass(2000);
    assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_SERIES), 0);
    assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_CLIENTS), 0);
    char *text = page();
    assert_string_equal(text, "");
    free(text);
}

static void series_are_bounded_per_client_and_in_all(void **state)
{
    (void)state;
    subscribe("s", "metrics", "*");
    for (int i = 0; i < 12; i++) {
        memset(&id, 0, sizeof id);
        assert_int_equal(get(&java, "c", NULL), 0);
        assert_int_equal(push(gauge(20, 1), 0, false), 0);
        uint64_t expected = (uint64_t)(i + 1) * 8; /* an eighth of 64 */
        assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_SERIES),
                         expected < 64 ? expected : 64);
    }
    assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_LEFT_OUT), 12 * 20 - 64);
    char *text = page();
    assert_int_equal(lines_of(text), 65);
    free(text);
}

static void pushes_beyond_those_under_way_wait(void **state)
{
    (void)state;
    enum { PUSHES_N = TELEMETRY_PUSHES_MAX + 4 };
    static struct control_op ops[PUSHES_N];
    static struct push_telemetry_request q[PUSHES_N];
    uint32_t answered_n = 0;
    subscribe("s", "metrics", "*");
    is_bulk_asleep = true;
    for (int i = 0; i < PUSHES_N; i++) {
        memset(&id, 0, sizeof id);
        assert_int_equal(get(&java, "c", NULL), 0);
        q[i] = (struct push_telemetry_request){id, subscription, false, 0, gauge(1, 1)};
        send(&ops[i], 72, &q[i], &java, "c");
    }
    for (int i = 0; i < 50; i++)
        turn();
    assert_int_equal(rig.control->telemetry->pushes_n, TELEMETRY_PUSHES_MAX);
    assert_false(control_is_quiet(rig.control));
    is_bulk_asleep = false;
    for (int i = 0; i < PUSHES_N; i++) {
        const struct push_telemetry_response *p = answer_of(&ops[i]);
        answered_n += p->error_code == 0;
        arena_fini(&ops[i].arena);
    }
    assert_int_equal(answered_n, PUSHES_N);
    assert_true(control_is_quiet(rig.control));
}

static void push_of_a_client_that_was_forgotten_meanwhile_is_answered(void **state)
{
    (void)state;
    subscribed();
    struct push_telemetry_request q = {id, subscription, false, 0, gauge(1, 1)};
    is_bulk_asleep = true;
    send(&op, 72, &q, &java, "c");
    turn();
    pass(61000);
    assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_CLIENTS), 0);
    is_bulk_asleep = false;
    const struct push_telemetry_response *p = answer_of(&op);
    assert_int_equal(p->error_code, 0);
    arena_fini(&op.arena);
    assert_int_equal(telemetry_stats_get(stats(), TELEMETRY_STAT_SERIES), 0);
}

/* ── the table by itself: the page over many turns, series that go meanwhile ── */

static void page_survives_series_that_go_while_it_is_written(void **state)
{
    (void)state;
    enum { CLIENTS_N = 40, SERIES_N = 20 };
    static struct telemetry telemetry;
    static struct telemetry_client clients[CLIENTS_N];
    static struct otlp_points points;
    struct telemetry_table table;
    char *text = NULL;
    assert_int_equal(metrics_table_init(&table, 8 * SERIES_N * CLIENTS_N), 0);
    for (uint32_t c = 0; c < CLIENTS_N; c++) {
        clients[c] = (struct telemetry_client){
            .telemetry = &telemetry, .number = c, .labels = (char *)"client_id=\"x\""};
        list_init(&clients[c].series);
        for (uint32_t i = 0; i < SERIES_N; i++) {
            struct otlp_point point = {.name_at = 0, .labels_at = 16, .hash = i};
            snprintf(points.text, 16, "client_%u", i % 4);
            snprintf(points.text + 16, 32, "n=\"%u\"", i);
            assert_true(metrics_table_put(&table, &clients[c], &points, &point));
        }
    }
    assert_false(metrics_table_page(&table, &text)); /* 800 series need more than one turn */
    uint32_t dropped = 0;
    do {
        if (dropped < CLIENTS_N)
            metrics_table_drop(&table, &clients[dropped++]);
        if (dropped < CLIENTS_N)
            metrics_table_drop(&table, &clients[CLIENTS_N - dropped]);
    } while (!metrics_table_page(&table, &text));
    assert_non_null(text);
    assert_true(lines_of(text) > 256);
    free(text);
    for (uint32_t c = 0; c < CLIENTS_N; c++)
        metrics_table_drop(&table, &clients[c]);
    assert_int_equal(table.series_n, 0);
    assert_true(metrics_table_page(&table, &text));
    assert_string_equal(text, "");
    free(text);
    metrics_table_fini(&table);
}

static void matches_are_judged_when_they_are_set(void **state)
{
    (void)state;
    static const char *const legal[] = {"client_id=a.*", " client_id = a ",
                                        "client_source_port=[0-9]+"};
    static const char *const illegal[] = {
        "client_id", "client_id=", "client_id=a=b", "id=a", "client_id=[", "=a", ""};
    for (uint32_t i = 0; i < array_n(legal); i++)
        assert_true(telemetry_match_is_legal(legal[i], strlen(legal[i])));
    for (uint32_t i = 0; i < array_n(illegal); i++)
        assert_false(telemetry_match_is_legal(illegal[i], strlen(illegal[i])));
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        RIG_TEST(client_without_a_subscription_pushes_nothing),
        RIG_TEST(subscriptions_that_match_are_joined),
        RIG_TEST(client_that_has_not_said_its_name_matches_no_name),
        RIG_TEST(instance_is_matched_by_its_id),
        RIG_TEST(push_is_judged_as_kafka_does),
        RIG_TEST(page_shows_the_newest_numbers),
        RIG_TEST(series_go_with_a_client_that_is_silent),
        RIG_TEST(series_are_bounded_per_client_and_in_all),
        RIG_TEST(pushes_beyond_those_under_way_wait),
        RIG_TEST(push_of_a_client_that_was_forgotten_meanwhile_is_answered),
        TEST(page_survives_series_that_go_while_it_is_written),
        TEST(matches_are_judged_when_they_are_set),
    };
    return TESTS_RUN(tests);
}
