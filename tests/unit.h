/*
 * unit.h - what every unit test begins with: cmocka and its prerequisites, and the list of a
 * program's tests.
 *
 * Owner: the test program.
 *
 *   int main(void)
 *   {
 *       const struct CMUnitTest tests[] = {TEST(subject_condition_result)};
 *       return TESTS_RUN(tests);
 *   }
 */
#ifndef MILLRACE_UNIT_H
#define MILLRACE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TEST(name)       cmocka_unit_test(name)
#define TESTS_RUN(tests) cmocka_run_group_tests(tests, NULL, NULL)

#endif
