/* config_props_test.c - Java properties text: every syntax, and text that is broken. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "config_props.h"

enum { PAIRS_MAX = 8 };

struct pairs {
    char *text, *keys[PAIRS_MAX], *values[PAIRS_MAX];
    uint32_t lines[PAIRS_MAX], n;
    int error;
};

static void read_n(struct pairs *p, const char *text, size_t n)
{
    struct props props;
    *p = (struct pairs){.text = malloc(n + 1)};
    memcpy(p->text, text, n);
    props_init(&props, p->text, n);
    while (p->n < PAIRS_MAX &&
           (p->error = props_next(&props, &p->keys[p->n], &p->values[p->n])) == 0)
        p->lines[p->n++] = props.line_key;
}

/* One pair is read, and nothing else. */
static void assert_pair(const char *text, const char *key, const char *value)
{
    struct pairs p;
    read_n(&p, text, strlen(text));
    assert_int_equal(p.error, E_EOF);
    assert_int_equal(p.n, 1);
    assert_string_equal(p.keys[0], key);
    assert_string_equal(p.values[0], value);
    free(p.text);
}

static void separators_are_equals_colon_and_space(void **state)
{
    (void)state;
    assert_pair("a=b", "a", "b");
    assert_pair("a:b", "a", "b");
    assert_pair("a b", "a", "b");
    assert_pair("a\tb", "a", "b");
    assert_pair("a = b", "a", "b");
    assert_pair("  a  :  b", "a", "b");
    assert_pair("a==b", "a", "=b");
    assert_pair("a = = b", "a", "= b");
    assert_pair("a", "a", "");
    assert_pair("a=", "a", "");
    assert_pair("a = ", "a", "");
    assert_pair("=b", "", "b");
    assert_pair("a b c", "a", "b c");
}

static void value_keeps_its_trailing_space(void **state)
{
    (void)state;
    assert_pair("a=b  ", "a", "b  ");
    assert_pair("a=b\t\n", "a", "b\t");
}

static void line_ends_are_all_three(void **state)
{
    (void)state;
    static const char *const texts[] = {"a=1\nb=2\n", "a=1\r\nb=2\r\n", "a=1\rb=2",
                                        "\n\na=1\n\n\r\nb=2\n"};
    for (int i = 0; i < 4; i++) {
        struct pairs p;
        read_n(&p, texts[i], strlen(texts[i]));
        assert_int_equal(p.n, 2);
        assert_string_equal(p.values[0], "1");
        assert_string_equal(p.values[1], "2");
        assert_int_equal(p.lines[1], i == 3 ? 6 : 2);
        free(p.text);
    }
}

static void comments_are_skipped(void **state)
{
    (void)state;
    assert_pair("# x=1\n! y=2\n   # z=3\na=1#not a comment\n#\n", "a", "1#not a comment");
    assert_pair("# ends with a backslash \\\na=1", "a", "1");
}

static void lines_go_on_after_a_backslash(void **state)
{
    (void)state;
    assert_pair("a=b\\\nc", "a", "bc");
    assert_pair("a=b\\\n    c", "a", "bc");
    assert_pair("a=b\\\r\n\t c\\\n d", "a", "bcd");
    assert_pair("a=b\\\\\n", "a", "b\\");
    assert_pair("a\\\nb=c", "ab", "c");
    assert_pair("a=b\\\n# no comment", "a", "b# no comment");
    assert_pair("a=b\\", "a", "b");
}

static void escapes_are_read(void **state)
{
    (void)state;
    assert_pair("a\\=b=c", "a=b", "c");
    assert_pair("a\\:b\\ c:d", "a:b c", "d");
    assert_pair("a=\\t\\n\\r\\f\\q\\\\", "a", "\t\n\r\fq\\");
    assert_pair("a=\\u0041\\u00e9\\u20AC", "a", "A\xc3\xa9\xe2\x82\xac");
    assert_pair("a=\\ud83d\\ude00", "a", "\xf0\x9f\x98\x80");
    assert_pair("a=\\ud83dx", "a", "?x");
    assert_pair("a=\\ud83d\\u0041", "a", "?A");
    assert_pair("a=\\ude00", "a", "?");
    assert_pair("a=\\ \\  b", "a", "   b");
    assert_pair("\\#a=b", "#a", "b");
}

static void utf8_passes_through(void **state)
{
    (void)state;
    assert_pair("a=\xc3\xa9 \\\xc3\xa9", "a", "\xc3\xa9 \xc3\xa9");
}

static void broken_escape_is_malformed(void **state)
{
    (void)state;
    static const char *const texts[] = {"a=1\nb=\\u12", "a=1\nb=\\uzzzz", "a=1\nb=\\u0000",
                                        "a=1\n\\u=1"};
    for (int i = 0; i < 4; i++) {
        struct pairs p;
        read_n(&p, texts[i], strlen(texts[i]));
        assert_int_equal(p.n, 1);
        assert_int_equal(p.error, E_MALFORMED);
        free(p.text);
    }
}

static void zero_byte_is_malformed(void **state)
{
    (void)state;
    struct pairs p;
    read_n(&p, "a=b\0c", 5);
    assert_int_equal(p.error, E_MALFORMED);
    free(p.text);
    read_n(&p, "a=b\\\0c", 6);
    assert_int_equal(p.error, E_MALFORMED);
    free(p.text);
}

static void empty_text_has_no_pairs(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n", "   ", "#", "\r\n \t\n#x"};
    for (int i = 0; i < 5; i++) {
        struct pairs p;
        read_n(&p, texts[i], strlen(texts[i]));
        assert_int_equal(p.n, 0);
        assert_int_equal(p.error, E_EOF);
        free(p.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(separators_are_equals_colon_and_space),
        TEST(value_keeps_its_trailing_space),
        TEST(line_ends_are_all_three),
        TEST(comments_are_skipped),
        TEST(lines_go_on_after_a_backslash),
        TEST(escapes_are_read),
        TEST(utf8_passes_through),
        TEST(broken_escape_is_malformed),
        TEST(zero_byte_is_malformed),
        TEST(empty_text_has_no_pairs),
    };
    return TESTS_RUN(tests);
}
