/* report_test.c - text, JSON and the page say everything of a result, and are well-formed. */
#include "unit.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "load.h"

enum { COUNTS_N = HISTOGRAM_BUCKETS(HISTOGRAM_FINE_BITS), TAGS_MAX = 32 };

/* A result with known values. Owner: the test. */
struct bed {
    struct load_options o;
    struct load_host host;
    struct load_result r[2];
    struct load_second seconds[2][3];
    char path[64];
};

static void result_fill(struct load_result *r, struct load_second *seconds)
{
    _Atomic uint64_t *counts = calloc(3 * (size_t)COUNTS_N, sizeof *counts);
    assert_non_null(counts);
    *r = (struct load_result){.rate = 1000,
                              .seconds = 2,
                              .records = 2000,
                              .bytes = 2000000,
                              .requests = 100,
                              .due = 100,
                              .consumed_records = 1999,
                              .consumed_bytes = 1999000,
                              .broker_cpu_s = 0.5,
                              .broker_rss_bytes = 1 << 20,
                              .seconds_v = seconds,
                              .seconds_n = 3};
    histogram_init(&r->produce, counts, HISTOGRAM_FINE_BITS);
    histogram_init(&r->end_to_end, counts + COUNTS_N, HISTOGRAM_FINE_BITS);
    histogram_init(&r->stalls, counts + 2 * (size_t)COUNTS_N, HISTOGRAM_FINE_BITS);
    for (uint64_t i = 1; i <= 100; i++) { /* 1 .. 100 ms */
        histogram_add(&r->produce, i * 1000000);
        histogram_add(&r->end_to_end, i * 2000000);
        histogram_add(&r->stalls, 130);
    }
    for (uint64_t i = 0; i < 3; i++)
        seconds[i] = (struct load_second){.records = 1000,
                                          .bytes = 1000000,
                                          .requests = 50,
                                          .p50_ns = 50000000,
                                          .p99_ns = 99000000,
                                          .max_ns = 100000000,
                                          .stall_ns_max = i * 1000};
}

static int setup(void **state)
{
    struct bed *b = calloc(1, sizeof *b);
    *state = b;
    if (b == NULL)
        return -1;
    b->o = (struct load_options){.bootstrap = "127.0.0.1:9092",
                                 .topic = "t",
                                 .topics_n = 1,
                                 .partitions_n = 1,
                                 .producers_n = 1,
                                 .label = "a <b> & 'c'"};
    snprintf(b->host.cpu, sizeof b->host.cpu, "a CPU");
    result_fill(&b->r[0], b->seconds[0]);
    result_fill(&b->r[1], b->seconds[1]);
    snprintf(b->path, sizeof b->path, "/tmp/bench-report-XXXXXX");
    int fd = mkstemp(b->path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    struct bed *b = *state;
    unlink(b->path);
    free((void *)(uintptr_t)b->r[0].produce.counts);
    free((void *)(uintptr_t)b->r[1].produce.counts);
    free(b);
    return 0;
}

static void json_of_a_result_holds_every_field(void **state)
{
    static const char *const fields[] = {"rate",
                                         "seconds",
                                         "records",
                                         "bytes",
                                         "requests",
                                         "errors",
                                         "first_error",
                                         "due",
                                         "behind",
                                         "is_behind",
                                         "unanswered",
                                         "unmatched",
                                         "is_complete",
                                         "consumed_records",
                                         "consumed_bytes",
                                         "records_per_s",
                                         "mb_per_s",
                                         "requests_per_s",
                                         "broker_cpu_s",
                                         "client_cpu_s",
                                         "machine_cpu_s",
                                         "steal_s",
                                         "broker_rss_bytes",
                                         "produce_ms",
                                         "end_to_end_ms",
                                         "own_stalls_ms",
                                         "series"};
    struct bed *b = *state;
    assert_int_equal(load_report_json(b->path, &b->o, &b->host, b->r, 2), 0);
    json_t *all = json_load_file(b->path, 0, NULL);
    assert_non_null(all);
    assert_string_equal(json_string_value(json_object_get(all, "label")), "a <b> & 'c'");
    json_t *r = json_array_get(json_object_get(all, "results"), 1);
    for (size_t i = 0; i < array_n(fields); i++)
        if (json_object_get(r, fields[i]) == NULL)
            fail_msg("%s is missing", fields[i]);
    assert_int_equal(json_array_size(json_object_get(r, "series")), 3);
    assert_true(json_is_true(json_object_get(r, "is_complete")));
    json_decref(all);
}

static void json_of_quantiles_is_within_a_thousandth(void **state)
{
    static const struct {
        const char *name;
        double ms;
    } want[] = {{"p50", 50},     {"p90", 90},  {"p99", 99},    {"p99.9", 100},
                {"p99.99", 100}, {"max", 100}, {"mean", 50.5}, {"count", 100}};
    struct bed *b = *state;
    assert_int_equal(load_report_json(b->path, &b->o, &b->host, b->r, 1), 0);
    json_t *all = json_load_file(b->path, 0, NULL);
    assert_non_null(all);
    json_t *q = json_object_get(json_array_get(json_object_get(all, "results"), 0), "produce_ms");
    for (size_t i = 0; i < array_n(want); i++) {
        double got = json_number_value(json_object_get(q, want[i].name));
        if (got < want[i].ms * 0.999 || got > want[i].ms * 1.001)
            fail_msg("%s is %f, not %f", want[i].name, got, want[i].ms);
    }
    json_decref(all);
}

/* Every tag is closed in order; attributes have quotes in pairs. */
static void markup_assert_balanced(const char *p)
{
    char open[TAGS_MAX][16];
    size_t n = 0;
    for (p = strchr(p, '<'); p != NULL; p = strchr(p, '<')) {
        const char *end = strchr(p, '>');
        char name[16] = "";
        size_t quotes_n = 0;
        assert_non_null(end);
        for (const char *q = p; q < end; q++)
            quotes_n += *q == '\'';
        assert_int_equal(quotes_n % 2, 0);
        for (size_t i = 0; i < sizeof name - 1 && isalnum((unsigned char)p[1 + (p[1] == '/') + i]);
             i++)
            name[i] = p[1 + (p[1] == '/') + i];
        if (p[1] == '/') {
            assert_true(n > 0);
            assert_string_equal(open[--n], name);
        } else if (p[1] != '!' && end[-1] != '/') {
            assert_true(n < TAGS_MAX);
            memcpy(open[n++], name, sizeof name);
        }
        p = end;
    }
    assert_int_equal(n, 0);
}

static char *file_text(const char *path)
{
    char *text = calloc(1, 1 << 20);
    FILE *f = fopen(path, "r");
    assert_true(text != NULL && f != NULL);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static void page_of_results_is_well_formed(void **state)
{
    struct bed *b = *state;
    for (uint32_t n = 1; n <= 2; n++) {
        assert_int_equal(load_report_html(b->path, &b->o, &b->host, b->r, n), 0);
        char *text = file_text(b->path);
        markup_assert_balanced(text);
        assert_non_null(strstr(text, "a &lt;b&gt; &amp; "));
        assert_null(strstr(text, "nan"));
        assert_null(strstr(text, "inf"));
        free(text);
    }
}

static void page_of_an_empty_result_is_well_formed(void **state)
{
    struct bed *b = *state;
    struct load_result *r = &b->r[0];
    r->seconds_n = 0;
    r->records = r->bytes = 0;
    memset((void *)(uintptr_t)r->produce.counts, 0, 3 * (size_t)COUNTS_N * 8);
    histogram_init(&r->produce, r->produce.counts, HISTOGRAM_FINE_BITS);
    histogram_init(&r->end_to_end, r->end_to_end.counts, HISTOGRAM_FINE_BITS);
    assert_int_equal(load_report_html(b->path, &b->o, &b->host, r, 1), 0);
    char *text = file_text(b->path);
    markup_assert_balanced(text);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(text);
}

static void report_to_an_impossible_path_is_an_error(void **state)
{
    struct bed *b = *state;
    assert_int_not_equal(load_report_json("/nowhere/x", &b->o, &b->host, b->r, 1), 0);
    assert_int_not_equal(load_report_html("/nowhere/x", &b->o, &b->host, b->r, 1), 0);
}

static char *report_text(struct bed *b)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    load_report_text(f, &b->o, &b->host, b->r, 1);
    fclose(f);
    return text;
}

static void text_of_small_times_is_readable(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } want[] = {{0, "0 ns"},          {130, "130 ns"},         {999, "999 ns"},
                {1000, "1.0 us"},     {12345, "12.3 us"},      {123456, "123 us"},
                {1234567, "1.23 ms"}, {123456789, "123.5 ms"}, {2500000000, "2.50 s"}};
    char text[LOAD_TIME_TEXT];
    struct bed *b = *state;
    for (size_t i = 0; i < array_n(want); i++)
        assert_string_equal(load_time_text(text, want[i].ns), want[i].text);
    char *all = report_text(b);
    assert_non_null(strstr(all, "own stalls   p50 130 ns"));
    free(all);
}

static void text_of_an_incomplete_result_says_what(void **state)
{
    struct bed *b = *state;
    struct load_result *r = &b->r[0];
    assert_true(load_is_complete(r));
    char *clean = report_text(b);
    assert_true(strstr(clean, "BEHIND") == NULL && strstr(clean, "ERRORS") == NULL);
    free(clean);
    r->is_behind = r->is_window_full = true;
    r->errors = r->unanswered = r->unmatched = 3;
    assert_false(load_is_complete(r));
    char *text = report_text(b);
    assert_non_null(strstr(text, "the broker does not reach this rate"));
    assert_non_null(strstr(text, "ERRORS"));
    assert_non_null(strstr(text, "UNANSWERED"));
    assert_non_null(strstr(text, "UNMATCHED"));
    free(text);
}

static void text_of_a_busy_machine_says_so(void **state)
{
    struct bed *b = *state;
    b->host.load_before = 1.0;
    char *quiet = report_text(b);
    assert_null(strstr(quiet, "the machine was busy"));
    free(quiet);
    b->host.load_before = 1.01;
    char *busy = report_text(b);
    assert_non_null(strstr(busy, "the machine was busy before the run (load 1.01)"));
    free(busy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(json_of_a_result_holds_every_field, setup, teardown),
        cmocka_unit_test_setup_teardown(json_of_quantiles_is_within_a_thousandth, setup, teardown),
        cmocka_unit_test_setup_teardown(page_of_results_is_well_formed, setup, teardown),
        cmocka_unit_test_setup_teardown(page_of_an_empty_result_is_well_formed, setup, teardown),
        cmocka_unit_test_setup_teardown(report_to_an_impossible_path_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(text_of_small_times_is_readable, setup, teardown),
        cmocka_unit_test_setup_teardown(text_of_an_incomplete_result_says_what, setup, teardown),
        cmocka_unit_test_setup_teardown(text_of_a_busy_machine_says_so, setup, teardown),
    };
    return TESTS_RUN(tests);
}
