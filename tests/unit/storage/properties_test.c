/* properties_test.c - properties.c: Java's syntax, both ways. */
#include "properties.h"

#include <stdio.h>

#include "unit.h"

static void is_next(struct bytes *text, const char *key, const char *value)
{
    struct property p;
    assert_int_equal(property_next(text, &p), 0);
    assert_string_equal(p.key, key);
    assert_string_equal(p.value, value);
}

static void is_end(struct bytes *text)
{
    struct property p;
    assert_int_equal(property_next(text, &p), E_EOF);
}

static void separators_and_blanks_are_javas(void **state)
{
    struct bytes text =
        bytes_of_string("a=1\nb:2\r\nc 3\r  d \t=  4 \n\n   \ne\nf=\ng==x\nh : = y");
    (void)state;
    is_next(&text, "a", "1");
    is_next(&text, "b", "2");
    is_next(&text, "c", "3");
    is_next(&text, "d", "4 ");
    is_next(&text, "e", "");
    is_next(&text, "f", "");
    is_next(&text, "g", "=x");
    is_next(&text, "h", "= y");
    is_end(&text);
}

static void comments_are_passed_over(void **state)
{
    struct bytes text = bytes_of_string("#\n#Mon Nov 23\n ! x=1\na=1#2\n#last");
    (void)state;
    is_next(&text, "a", "1#2");
    is_end(&text);
}

static void escapes_are_read(void **state)
{
    struct bytes text =
        bytes_of_string("a\\:b=c\\=d\\:e\\\\\nk\\ y=\\tx\\n\\u0041\\u00e9\\u20AC\nlong=one, \\\n   "
                        "two\\\r\n three\nz=\\");
    (void)state;
    is_next(&text, "a:b", "c=d:e\\");
    is_next(&text, "k y", "\tx\nA\xc3\xa9\xe2\x82\xac");
    is_next(&text, "long", "one, twothree");
    is_next(&text, "z", "");
    is_end(&text);
}

static void bad_escapes_nul_and_too_long_are_refused(void **state)
{
    struct property p;
    char long_text[2 * PROPERTY_MAX];
    struct bytes text = bytes_of_string("a=\\u12g4");
    (void)state;
    assert_int_equal(property_next(&text, &p), E_MALFORMED);
    text = bytes_of_string("a=\\u12");
    assert_int_equal(property_next(&text, &p), E_MALFORMED);
    text = bytes_of_string("a=\\u0000");
    assert_int_equal(property_next(&text, &p), E_MALFORMED);
    text = bytes_of("a=\0", 3);
    assert_int_equal(property_next(&text, &p), E_MALFORMED);
    memset(long_text, 'x', sizeof long_text);
    text = bytes_of(long_text, sizeof long_text);
    assert_int_equal(property_next(&text, &p), E_TOO_LARGE);
    long_text[1] = '=';
    text = bytes_of(long_text, sizeof long_text);
    assert_int_equal(property_next(&text, &p), E_TOO_LARGE);
}

static void written_pair_is_escaped_and_reads_back(void **state)
{
    static const char *const pairs[][2] = {
        {"cluster.id", "a:b=c#!\\"}, {"k y", "  two"}, {"t", "\ttab\nline\r\f"}};
    char to[256];
    (void)state;
    assert_int_equal(property_write(to, "k", "a:b"), strlen("k=a\\:b\n"));
    assert_memory_equal(to, "k=a\\:b\n", 7);
    for (size_t i = 0; i < array_n(pairs); i++) {
        assert_true(property_bytes_max(pairs[i][0], pairs[i][1]) <= sizeof to);
        struct bytes text = bytes_of(to, property_write(to, pairs[i][0], pairs[i][1]));
        is_next(&text, pairs[i][0], pairs[i][1]);
        is_end(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(separators_and_blanks_are_javas),
        TEST(comments_are_passed_over),
        TEST(escapes_are_read),
        TEST(bad_escapes_nul_and_too_long_are_refused),
        TEST(written_pair_is_escaped_and_reads_back),
    };
    return TESTS_RUN(tests);
}
