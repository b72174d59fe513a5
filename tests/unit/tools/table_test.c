/* table_test.c - table.h: alignment, numbers on the right, UTF-8, control characters, no rows. */
#include "table.h"

#include <stdlib.h>

#include "unit.h"

static void assert_prints(const struct table *t, const char *expected)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    assert_non_null(to);
    table_print(t, to);
    fclose(to);
    assert_string_equal(text, expected);
    free(text);
}

static void table_columns_are_as_wide_as_their_widest_cell(void **state)
{
    struct table t;
    (void)state;
    table_init(&t, "NAME|>N|LAST");
    table_cell(&t, "a");
    table_cell(&t, "%d", 12345);
    table_cell(&t, "x");
    table_cell(&t, "longer name");
    table_cell(&t, "%d", 7);
    table_cell(&t, "yy");
    assert_int_equal(table_rows(&t), 2);
    assert_prints(&t, "NAME             N  LAST\n"
                      "a            12345  x\n"
                      "longer name      7  yy\n");
    table_fini(&t);
}

static void table_without_rows_prints_its_heading(void **state)
{
    struct table t;
    (void)state;
    table_init(&t, "A|>B");
    assert_int_equal(table_rows(&t), 0);
    assert_prints(&t, "A  B\n");
    table_fini(&t);
}

static void table_cell_in_utf8_counts_characters(void **state)
{
    struct table t;
    (void)state;
    table_init(&t, "A|B");
    table_cell(&t, "\xc3\xa9\xc3\xa9");
    table_cell(&t, "1");
    table_cell(&t, "abc");
    table_cell(&t, "2");
    assert_prints(&t, "A    B\n\xc3\xa9\xc3\xa9   1\nabc  2\n");
    table_fini(&t);
}

/* A name from the network must not move the terminal's cursor. */
static void table_cell_with_control_characters_shows_them_harmless(void **state)
{
    struct table t;
    (void)state;
    table_init(&t, "A");
    table_cell(&t, "a\x1b[2J\nb\x7f");
    assert_prints(&t, "A\na?[2J?b?\n");
    table_fini(&t);
}

static void table_with_many_rows_keeps_all(void **state)
{
    struct table t;
    char *text = NULL;
    size_t n = 0;
    (void)state;
    table_init(&t, ">N");
    for (int i = 0; i < 1000; i++)
        table_cell(&t, "%d", i);
    assert_int_equal(table_rows(&t), 1000);
    FILE *to = open_memstream(&text, &n);
    table_print(&t, to);
    fclose(to);
    assert_int_equal(n, 4 * 1001);
    assert_memory_equal(text + n - 4, "999\n", 4);
    free(text);
    table_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(table_columns_are_as_wide_as_their_widest_cell),
        TEST(table_without_rows_prints_its_heading),
        TEST(table_cell_in_utf8_counts_characters),
        TEST(table_cell_with_control_characters_shows_them_harmless),
        TEST(table_with_many_rows_keeps_all),
    };
    return TESTS_RUN(tests);
}
