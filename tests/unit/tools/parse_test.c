/* parse_test.c - parse.h: numbers, times, addresses, positions, escapes, base64; right ones and
 * wrong ones. */
#include "parse.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

static void number_whole_within_bounds_is_taken(void **state)
{
    int64_t n = 0;
    (void)state;
    assert_true(parse_number("0", 0, 10, &n));
    assert_int_equal(n, 0);
    assert_true(parse_number("-5", -5, 10, &n));
    assert_int_equal(n, -5);
    assert_true(parse_number("9223372036854775807", 0, INT64_MAX, &n));
    assert_true(n == INT64_MAX);
}

static void number_wrong_is_refused_and_leaves_the_result(void **state)
{
    static const char *const wrong[] = {"",     " 1", "1 ", "+1", "1x",
                                        "0x10", "-",  "11", "-1", "9223372036854775808"};
    int64_t n = 77;
    (void)state;
    for (size_t i = 0; i < array_n(wrong); i++)
        assert_false(parse_number(wrong[i], 0, 10, &n));
    assert_int_equal(n, 77);
}

static void period_in_words_and_iso_is_milliseconds(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } right[] = {{"90m", 5400000},
                 {"7d", 604800000},
                 {"12h", 43200000},
                 {"3s", 3000},
                 {"250ms", 250},
                 {"1.5h", 5400000},
                 {"P7D", 604800000},
                 {"PT1H30M", 5400000},
                 {"P1DT12H", 129600000},
                 {"PT0.5S", 500},
                 {"PT0S", 0},
                 {"PT1H0.25S", 3600250},
                 {"P20000D", 1728000000000}};
    int64_t ms;
    (void)state;
    for (size_t i = 0; i < array_n(right); i++) {
        assert_true(parse_period_ms(right[i].text, &ms));
        assert_true(ms == right[i].ms);
    }
}

static void period_wrong_is_refused_and_leaves_the_result(void **state)
{
    static const char *const wrong[] = {"",
                                        "7",
                                        "d",
                                        "7x",
                                        "-7d",
                                        "P",
                                        "PT",
                                        "P7",
                                        "7D",
                                        "P1H",
                                        "PT1D",
                                        "P1M",
                                        "P1Y",
                                        "PT1M1H",
                                        "PT1H1H",
                                        "PTT1H",
                                        "1.d",
                                        "1..5h",
                                        "PT.5S",
                                        "PT1HT1M",
                                        "9223372036854775807d",
                                        "P99999999999999999999D"};
    int64_t ms = 77;
    (void)state;
    for (size_t i = 0; i < array_n(wrong); i++)
        if (parse_period_ms(wrong[i], &ms))
            fail_msg("\"%s\" is taken", wrong[i]);
    assert_true(ms == 77);
}

static void duration_with_each_unit_is_milliseconds(void **state)
{
    int ms = 0;
    (void)state;
    assert_true(parse_duration_ms("250", &ms) && ms == 250);
    assert_true(parse_duration_ms("250ms", &ms) && ms == 250);
    assert_true(parse_duration_ms("10s", &ms) && ms == 10000);
    assert_true(parse_duration_ms("2m", &ms) && ms == 120000);
    assert_true(parse_duration_ms("24h", &ms) && ms == 86400000);
}

static void duration_wrong_is_refused(void **state)
{
    static const char *const wrong[] = {"",   "0",   "-1s",      "s",
                                        "1d", "25h", "1 second", "99999999999999999999s"};
    int ms;
    (void)state;
    for (size_t i = 0; i < array_n(wrong); i++)
        assert_false(parse_duration_ms(wrong[i], &ms));
}

static void assignment_is_split_at_the_first_equals(void **state)
{
    struct bytes key, value;
    (void)state;
    assert_true(parse_assignment("a=b=c", &key, &value));
    assert_true(bytes_equal_string(key, "a"));
    assert_true(bytes_equal_string(value, "b=c"));
    assert_true(parse_assignment("a=", &key, &value));
    assert_int_equal(value.n, 0);
    assert_false(parse_assignment("=b", &key, &value));
    assert_false(parse_assignment("a", &key, &value));
    assert_false(parse_assignment("", &key, &value));
}

static void address_list_is_walked_to_its_end(void **state)
{
    const char *list = "one:1,two,[::1]:65535,[fe80::1]";
    struct parse_address a;
    (void)state;
    assert_true(parse_next_address(&list, &a));
    assert_string_equal(a.host, "one");
    assert_int_equal(a.port, 1);
    assert_true(parse_next_address(&list, &a));
    assert_string_equal(a.host, "two");
    assert_int_equal(a.port, 9092);
    assert_true(parse_next_address(&list, &a));
    assert_string_equal(a.host, "::1");
    assert_int_equal(a.port, 65535);
    assert_true(parse_next_address(&list, &a));
    assert_string_equal(a.host, "fe80::1");
    assert_int_equal(a.port, 9092);
    assert_false(parse_next_address(&list, &a));
    assert_int_equal(*list, 0);
}

static void address_wrong_is_refused_where_it_stands(void **state)
{
    static const char *const wrong[] = {":1",   "a:",     "a:0",  "a:65536", "a:b",
                                        "[::1", "[::1]x", "[]:1", "a:1:2",   ",a:1"};
    (void)state;
    for (size_t i = 0; i < array_n(wrong); i++) {
        const char *list = wrong[i];
        struct parse_address a;
        assert_false(parse_next_address(&list, &a));
        assert_ptr_equal(list, wrong[i]);
    }
    char longest[300];
    memset(longest, 'h', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    const char *list = longest;
    struct parse_address a;
    assert_false(parse_next_address(&list, &a));
}

static void position_of_each_kind_is_understood(void **state)
{
    static const struct {
        const char *text;
        struct position expected;
    } rows[] = {
        {"beginning", {POSITION_BEGINNING, 0}},
        {"end", {POSITION_END, 0}},
        {"0", {POSITION_OFFSET, 0}},
        {"123", {POSITION_OFFSET, 123}},
        {"-10", {POSITION_TAIL, 10}},
        {"@1700000000000", {POSITION_TIME, 1700000000000}},
        {"1970-01-01", {POSITION_TIME, 0}},
        {"2024-02-29", {POSITION_TIME, 1709164800000}},
        {"2026-01-31T12:00:00Z", {POSITION_TIME, 1769860800000}},
        {"2026-01-31 12:00:00", {POSITION_TIME, 1769860800000}},
        {"2026-01-31T12:00:00.250Z", {POSITION_TIME, 1769860800250}},
        {"2026-01-31T12:00:00.1234567Z", {POSITION_TIME, 1769860800123}},
        {"2026-01-31T14:00:00+02:00", {POSITION_TIME, 1769860800000}},
        {"2026-01-31T06:30:00-05:30", {POSITION_TIME, 1769860800000}},
    };
    (void)state;
    for (size_t i = 0; i < array_n(rows); i++) {
        struct position p;
        assert_true(parse_position(rows[i].text, &p));
        assert_int_equal(p.kind, rows[i].expected.kind);
        assert_true(p.value == rows[i].expected.value);
    }
}

static void position_wrong_is_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "start",
                                        "-",
                                        "1.5",
                                        "@",
                                        "@-1",
                                        "@x",
                                        "2023-02-29",
                                        "2026-13-01",
                                        "2026-00-10",
                                        "2026-01-32",
                                        "1969-12-31",
                                        "26-01-01",
                                        "2026-01-31T25:00:00Z",
                                        "2026-01-31T12:00",
                                        "2026-01-31T12:00:61Z",
                                        "2026-01-31T12:00:00.Z",
                                        "2026-01-31T12:00:00+2:00",
                                        "2026-01-31T12:00:00Zx",
                                        "2026-01-31x",
                                        "99999999999999999999"};
    (void)state;
    for (size_t i = 0; i < array_n(wrong); i++) {
        struct position p;
        if (parse_position(wrong[i], &p))
            fail_msg("'%s' was taken", wrong[i]);
    }
}

/* Every day of four hundred years, written and read again. */
static void time_text_and_position_agree_on_every_day(void **state)
{
    const int64_t day_ms = 86400000, days_n = 146097;
    char text[TIME_TEXT_MAX], before[TIME_TEXT_MAX] = "";
    (void)state;
    for (int64_t day = 0; day < days_n; day++) {
        int64_t ms = day * day_ms + day * 7919 % day_ms;
        struct position p;
        time_text(ms, text);
        assert_true(strcmp(before, text) < 0);
        assert_true(parse_position(text, &p));
        assert_true(p.kind == POSITION_TIME && p.value == ms);
        memcpy(before, text, sizeof text);
    }
    time_text(1769860800250, text);
    assert_string_equal(text, "2026-01-31T12:00:00.250Z");
    time_text(-1, text);
    assert_string_equal(text, "-");
    time_text(INT64_MAX, text);
    assert_string_equal(text, "-");
}

static void escapes_known_are_resolved_in_place(void **state)
{
    char text[] = "a\\tb\\n\\\\\\x1F\\0z";
    size_t n = 0;
    (void)state;
    assert_true(parse_escapes(text, &n));
    assert_int_equal(n, 8);
    assert_memory_equal(text, "a\tb\n\\\x1f\0z", 9);
}

static void escapes_unknown_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"\\q", "\\", "\\x", "\\x1", "\\xg0", "a\\"};
    for (size_t i = 0; i < array_n(wrong); i++) {
        char text[8];
        size_t n;
        snprintf(text, sizeof text, "%s", wrong[i]);
        assert_false(parse_escapes(text, &n));
    }
}

/* The vectors of RFC 4648, 10. */
static void base64_of_each_remainder_is_padded(void **state)
{
    static const char *const rows[][2] = {
        {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
        {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    char text[16];
    (void)state;
    for (size_t i = 0; i < array_n(rows); i++) {
        base64_encode(bytes_of_string(rows[i][0]), text);
        assert_string_equal(text, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(number_whole_within_bounds_is_taken),
        TEST(number_wrong_is_refused_and_leaves_the_result),
        TEST(period_in_words_and_iso_is_milliseconds),
        TEST(period_wrong_is_refused_and_leaves_the_result),
        TEST(duration_with_each_unit_is_milliseconds),
        TEST(duration_wrong_is_refused),
        TEST(assignment_is_split_at_the_first_equals),
        TEST(address_list_is_walked_to_its_end),
        TEST(address_wrong_is_refused_where_it_stands),
        TEST(position_of_each_kind_is_understood),
        TEST(position_wrong_is_refused),
        TEST(time_text_and_position_agree_on_every_day),
        TEST(escapes_known_are_resolved_in_place),
        TEST(escapes_unknown_are_refused),
        TEST(base64_of_each_remainder_is_padded),
    };
    return TESTS_RUN(tests);
}
