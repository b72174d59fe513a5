/* format_test.c - format.h: each letter, null against empty, escapes, formats that are wrong. */
#include "format.h"

#include <stdlib.h>

#include "unit.h"

static const struct format_record sample = {
    .topic = "t1",
    .partition = 3,
    .offset = 42,
    .timestamp_ms = 1769860800250,
    .key = {(const uint8_t *)"key", 3},
    .value = {(const uint8_t *)"v\0l", 3},
    .headers_n = 2,
    .headers = {{"a", {(const uint8_t *)"1", 1}}, {"b", {NULL, 0}}},
};

static void assert_renders(const char *format, const struct format_record *r, const char *expected,
                           size_t expected_n)
{
    struct format f;
    char why[128], *text = NULL;
    size_t n = 0;
    assert_int_equal(format_init(&f, format, why, sizeof why), 0);
    FILE *to = open_memstream(&text, &n);
    format_print(&f, r, to);
    fclose(to);
    assert_int_equal(n, expected_n);
    assert_memory_equal(text, expected, n);
    free(text);
    format_fini(&f);
}

static void format_with_every_letter_renders_each(void **state)
{
    static const char expected[] =
        "t1 3 42 key 3 v\0l 3 1769860800250 2026-01-31T12:00:00.250Z a=1,b=NULL %\n";
    (void)state;
    assert_renders("%t %p %o %k %K %s %S %T %D %h %%\\n", &sample, expected, sizeof expected - 1);
}

static void format_without_letters_is_copied(void **state)
{
    (void)state;
    assert_renders("", &sample, "", 0);
    assert_renders("plain\\x41\\t", &sample, "plainA\t", 7);
}

static void null_and_empty_differ_in_their_length_only(void **state)
{
    struct format_record r = {.topic = "t", .timestamp_ms = -1, .value = {(const uint8_t *)"", 0}};
    (void)state;
    assert_renders("[%k|%K|%s|%S|%T|%D|%h]", &r, "[|-1||0|-1|-|]", 14);
}

static void format_wrong_is_refused_with_a_reason(void **state)
{
    static const char *const wrong[] = {"%z", "%", "a%", "\\q", "%s\\x1"};
    (void)state;
    for (size_t i = 0; i < array_n(wrong); i++) {
        struct format f;
        char why[128] = "";
        assert_int_equal(format_init(&f, wrong[i], why, sizeof why), -1);
        assert_true(why[0] != 0);
        assert_null(f.text);
    }
}

static void format_with_too_many_parts_is_refused(void **state)
{
    char text[FORMAT_PARTS_MAX * 2 + 3], why[128];
    struct format f;
    (void)state;
    for (int i = 0; i <= FORMAT_PARTS_MAX; i++)
        memcpy(text + 2 * i, "%s", 3);
    assert_int_equal(format_init(&f, text, why, sizeof why), -1);
    text[FORMAT_PARTS_MAX * 2] = 0;
    assert_int_equal(format_init(&f, text, why, sizeof why), 0);
    assert_int_equal(f.parts_n, FORMAT_PARTS_MAX);
    format_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(format_with_every_letter_renders_each),
        TEST(format_without_letters_is_copied),
        TEST(null_and_empty_differ_in_their_length_only),
        TEST(format_wrong_is_refused_with_a_reason),
        TEST(format_with_too_many_parts_is_refused),
    };
    return TESTS_RUN(tests);
}
