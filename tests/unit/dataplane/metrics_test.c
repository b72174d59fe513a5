/* metrics_test.c - the text of /metrics: every counter of every thread, and never more series than
 * promised. */
#include "metrics.h"

#include <stdlib.h>

#include "unit.h"

enum { WORKERS_N = 3 };

/* A broker with workers that have counters and nothing else. Owner: the test. */
static struct broker *broker_new(struct config *config)
{
    struct broker *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->config = config;
    b->workers_n = WORKERS_N;
    b->bounds =
        (struct bounds){.workers_n = WORKERS_N, .cache_bytes = MIB(64), .request_bytes = MIB(64)};
    for (int i = 0; i < WORKERS_N; i++) {
        b->workers[i] = aligned_alloc(64, align_up(sizeof(struct worker), 64));
        assert_non_null(b->workers[i]);
        memset(b->workers[i], 0, sizeof *b->workers[i]);
    }
    return b;
}

static void broker_free(struct broker *b)
{
    for (int i = 0; i < WORKERS_N; i++)
        free(b->workers[i]);
    free(b);
}

static char *text_of(const struct broker *b, const char *version)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    assert_non_null(to);
    metrics_write(b, version, to);
    fclose(to);
    return text;
}

static uint32_t series_n(const char *text)
{
    uint32_t n = 0;
    for (const char *line = text; line != NULL && *line != 0; line = strchr(line, '\n')) {
        line += *line == '\n';
        n += *line != '#' && *line != 0;
    }
    return n;
}

static struct config *config_with(const char *const *rows, size_t n)
{
    struct config *c = NULL;
    FILE *null = fopen("/dev/null", "w");
    assert_non_null(null);
    assert_int_equal(config_new(&c), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(config_override(c, rows[i], null), 0);
    fclose(null);
    return c;
}

static void metrics_counters_carry_their_thread(void **state)
{
    struct config *c = config_with(NULL, 0);
    struct broker *b = broker_new(c);
    (void)state;
    stats_add(&b->workers[1]->stats, STAT_REQUESTS, 42);
    stats_add(&b->control_stats, STAT_SLEEPS, 7);
    char *text = text_of(b, "1.2.3");
    assert_non_null(strstr(text, "\nmillrace_requests_total{thread=\"worker-1\"} 42\n"));
    assert_non_null(strstr(text, "\nmillrace_requests_total{thread=\"worker-0\"} 0\n"));
    assert_non_null(strstr(text, "\nmillrace_sleeps_total{thread=\"control\"} 7\n"));
    assert_non_null(strstr(text, "\n# TYPE millrace_connections gauge\n"));
    assert_non_null(
        strstr(text, "millrace_build_info{version=\"1.2.3\",transport=\"io_uring\"} 1\n"));
    assert_non_null(strstr(text, "millrace_durability_mode{mode=\"group\"} 1\n"));
    free(text);
    broker_free(b);
    config_free(c);
}

static void metrics_series_stay_below_their_bound(void **state)
{
    struct config *c = config_with(NULL, 0);
    struct broker *b = broker_new(c);
    (void)state;
    char *text = text_of(b, "x");
    assert_true(series_n(text) <= metrics_series_max(WORKERS_N));
    assert_true(series_n(text) >= STATS_N * (WORKERS_N + 1));
    free(text);
    broker_free(b);
    config_free(c);
}

static void metrics_setting_without_effect_is_shown(void **state)
{
    static const char *const rows[] = {"num.network.threads=3"};
    struct config *c = config_with(rows, 1);
    struct broker *b = broker_new(c);
    (void)state;
    assert_int_equal(config_row_find(CONFIG_BROKER, "num.network.threads")->status, CONFIG_IGNORED);
    char *text = text_of(b, "x");
    assert_non_null(
        strstr(text, "\nmillrace_setting_not_honoured{setting=\"num.network.threads\"} 1\n"));
    free(text);
    broker_free(b);
    config_free(c);
}

static void metrics_memory_has_a_gauge_for_each_line(void **state)
{
    static uint8_t some[1];
    struct config *c = config_with(NULL, 0);
    struct broker *b = broker_new(c);
    (void)state;
    ledger_add(&b->ledger, LEDGER_JOURNAL, some, MIB(8));
    char *text = text_of(b, "x");
    assert_non_null(strstr(text, "\nmillrace_memory_limit_bytes{what=\"journal\"} 8388608\n"));
    assert_null(strstr(text, "millrace_memory_limit_bytes{what=\"heap\"}"));
#define LEDGER(name, label, words) \
    assert_non_null(strstr(text, "\nmillrace_memory_used_bytes{what=\"" label "\"} "));
#include "ledger.def"
#undef LEDGER
    free(b->ledger.v);
    free(text);
    broker_free(b);
    config_free(c);
}

static void metrics_version_with_quotes_is_escaped(void **state)
{
    struct config *c = config_with(NULL, 0);
    struct broker *b = broker_new(c);
    (void)state;
    char *text = text_of(b, "a\"b\\c\nd");
    assert_non_null(strstr(text, "version=\"a\\\"b\\\\c\\nd\""));
    free(text);
    broker_free(b);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(metrics_counters_carry_their_thread),
        TEST(metrics_series_stay_below_their_bound),
        TEST(metrics_setting_without_effect_is_shown),
        TEST(metrics_memory_has_a_gauge_for_each_line),
        TEST(metrics_version_with_quotes_is_escaped),
    };
    return TESTS_RUN(tests);
}
