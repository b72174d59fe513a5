/*
 * regex_test.c - what RE2/J takes is taken, what it refuses is refused in its words, and nothing
 * explodes.
 */
#include "unit.h"

#include <string.h>

#include "clock.h"
#include "regex.h"

static bool matches(const char *pattern, const char *name)
{
    const char *why = NULL;
    struct regex *regex = regex_new(bytes_of_string(pattern), &why);
    if (regex == NULL)
        fail_msg("%s: %s", pattern, why);
    bool is_match = regex_matches(regex, bytes_of_string(name));
    regex_free(regex);
    return is_match;
}

static void whole_names_match(void **state)
{
    (void)state;
    assert_true(matches("foo.*", "foobar"));
    assert_false(matches("foo", "foobar"));
    assert_false(matches("oobar", "foobar"));
    assert_true(matches("a|ab", "ab"));
    assert_true(matches("(?i)FOO", "foo"));
    assert_true(matches("(?P<x>a)(?:b|c)+", "abcb"));
    assert_true(matches("[a-c]{2,3}", "abc"));
    assert_true(matches("[]a]+", "a]a"));
    assert_true(matches("\\w+\\.\\d+?", "t.12"));
    assert_true(matches("a*?b", "aab"));
    assert_true(matches("\\Qa.b\\E", "a.b"));
    assert_true(matches("[[:alpha:]]+", "abc"));
    assert_true(matches("", ""));
    assert_false(matches("", "a"));
    assert_true(matches("topic-\\d+", "topic-7"));
}

static void what_re2_has_not_is_refused(void **state)
{
    static const char *const rows[][2] = {
        {"([", "missing closing ]"},
        {"(a", "missing closing )"},
        {"a)", "regexp/syntax: internal error"},
        {"*a", "missing argument to repetition operator"},
        {"a**", "invalid nested repetition operator"},
        {"a*+", "invalid nested repetition operator"},
        {"a{2}{3}", "invalid nested repetition operator"},
        {"a{3,2}", "invalid repeat count"},
        {"[b-a]", "invalid character class range"},
        {"a\\", "trailing backslash at end of expression"},
        {"(?=a)b", "invalid or unsupported Perl syntax"},
        {"(?!a)b", "invalid or unsupported Perl syntax"},
        {"(?<=a)b", "invalid named capture"},
        {"(?<!a)b", "invalid named capture"},
        {"(?P<n", "invalid named capture"},
        {"(?P<>a)", "invalid named capture"},
        {"(?>a)b", "invalid or unsupported Perl syntax"},
        {"(?R)", "invalid or unsupported Perl syntax"},
        {"(?1)", "invalid or unsupported Perl syntax"},
        {"(?(1)a|b)", "invalid or unsupported Perl syntax"},
        {"(?#x)", "invalid or unsupported Perl syntax"},
        {"(?", "invalid or unsupported Perl syntax"},
        {"(a)\\1", "invalid escape sequence"},
        {"\\k<a>", "invalid escape sequence"},
        {"\\Ga", "invalid escape sequence"},
        {"\\Ka", "invalid escape sequence"},
        {"\\Ra", "invalid escape sequence"},
        {"\\g{1}", "invalid escape sequence"},
        {"(*FAIL)", "missing argument to repetition operator"},
        {"\xff", "invalid UTF-8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *why = NULL;
        struct regex *regex = regex_new(bytes_of_string(rows[i][0]), &why);
        if (regex != NULL)
            fail_msg("%s was taken", rows[i][0]);
        if (why == NULL || strcmp(why, rows[i][1]) != 0)
            fail_msg("%s: %s, expected %s", rows[i][0], why, rows[i][1]);
    }
    const char *why = NULL;
    assert_null(regex_new(bytes_of("a\0b", 3), &why));
    assert_non_null(why);
}

static void too_long_or_too_deep_is_refused(void **state)
{
    static char text[REGEX_PATTERN_MAX + 2];
    const char *why = NULL;
    (void)state;
    memset(text, 'a', sizeof text - 1);
    assert_null(regex_new(bytes_of_string(text), &why));
    assert_string_equal(why, "expression too large");
    memset(text, '(', 300);
    text[300] = '\0';
    assert_null(regex_new(bytes_of_string(text), &why));
    assert_string_equal(why, "expression nests too deeply");
    assert_null(regex_new(bytes_of_string("((a{1000}){1000}){1000}"), &why));
    assert_non_null(why);
}

static void exploding_expression_ends_and_gives_up(void **state)
{
    const char *why;
    struct regex *regex = regex_new(bytes_of_string("(a|aa)+[xy]"), &why);
    uint64_t begin = clock_read_ns();
    char name[250];
    (void)state;
    memset(name, 'a', 249);
    name[249] = '\0';
    for (int i = 0; i < 10000; i++)
        assert_false(regex_matches(regex, bytes_of_string(name)));
    assert_true(clock_read_ns() - begin < NS_PER_S);           /* 16 x 20,000 steps, then nothing */
    assert_false(regex_matches(regex, bytes_of_string("ax"))); /* it has been given up */
    regex_free(regex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whole_names_match),
        TEST(what_re2_has_not_is_refused),
        TEST(too_long_or_too_deep_is_refused),
        TEST(exploding_expression_ends_and_gives_up),
    };
    return TESTS_RUN(tests);
}
