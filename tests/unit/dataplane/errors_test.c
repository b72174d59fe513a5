/* errors_test.c - errors.h and errors.c: the table is whole, and no failure becomes success. */
#include "errors.h"

#include <errno.h>

#include "unit.h"

static void error_table_rows_have_text_and_code(void **state)
{
    (void)state;
    assert_string_equal(error_text(E_OK), "no error");
    assert_int_equal(error_kafka(E_OK), 0);
    for (int i = 1; i < ERRORS_N; i++) {
        assert_true(strlen(error_text(-i)) > 5);
        assert_int_not_equal(error_kafka(-i), 0);
    }
}

static void error_outside_the_table_is_unknown(void **state)
{
    (void)state;
    assert_string_equal(error_text(1), "unknown error");
    assert_string_equal(error_text(-(int)ERRORS_N), "unknown error");
    assert_int_equal(error_kafka(1), -1);
    assert_int_equal(error_kafka(-(int)ERRORS_N), -1);
}

static void errno_of_any_number_is_an_error_of_ours(void **state)
{
    (void)state;
    assert_int_equal(error_from_errno(0), E_OK);
    for (int e = 1; e < 4096; e++) {
        int error = error_from_errno(e);
        assert_true(error < 0 && error > -(int)ERRORS_N);
        assert_int_equal(error_from_errno(-e), error);
    }
}

static void errno_that_matters_is_told_apart(void **state)
{
    (void)state;
    assert_int_equal(error_from_errno(ENOSPC), E_DISK_FULL);
    assert_int_equal(error_from_errno(EIO), E_IO);
    assert_int_equal(error_from_errno(EADDRINUSE), E_IN_USE);
    assert_int_equal(error_from_errno(EROFS), E_DENIED);
    assert_int_equal(error_from_errno(ENOENT), E_NOT_FOUND);
    assert_int_equal(error_from_errno(-ECONNRESET), E_CLOSED);
    assert_int_equal(error_from_errno(EMFILE), E_NO_MEMORY);
    assert_int_equal(error_from_errno(ESTALE), E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(error_table_rows_have_text_and_code),
        TEST(error_outside_the_table_is_unknown),
        TEST(errno_of_any_number_is_an_error_of_ours),
        TEST(errno_that_matters_is_told_apart),
    };
    return TESTS_RUN(tests);
}
