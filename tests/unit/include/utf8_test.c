/*
 * utf8_test.c - well-formed and malformed strings, as RFC 3629 tells them apart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "utf8.h"

static void text_of_every_length_is_valid(void **state)
{
    (void)state;
    assert_true(utf8_is_valid(bytes_of("", 0)));
    assert_true(utf8_is_valid((struct bytes){NULL, 0}));
    assert_true(utf8_is_valid(bytes_of_string("group-1")));
    assert_true(utf8_is_valid(bytes_of_string("gr\xc3\xbc\xc3\x9f"
                                              "e \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf")));
}

static void malformed_bytes_are_refused(void **state)
{
    static const char *const bad[] = {"\x80",
                                      "a\xff",
                                      "\xc0\xaf",
                                      "\xc3",
                                      "\xe2\x82",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xe2\x28\xa1",
                                      "\xf0\x9f\x98"};
    (void)state;
    for (size_t i = 0; i < array_n(bad); i++)
        assert_false(utf8_is_valid(bytes_of_string(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_every_length_is_valid),
        cmocka_unit_test(malformed_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
