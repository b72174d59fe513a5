/* cordon_test.c - cordon.c: which names cordoned.log.dirs may have, and which directories it means.
 */
#include "cordon.h"

#include "unit.h"

static struct config *config_of(const char *const *rows, size_t n)
{
    struct config *c = NULL;
    FILE *sink = fopen("/dev/null", "w");
    assert_non_null(sink);
    assert_int_equal(config_new(&c), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(config_override(c, rows[i], sink), 0);
    fclose(sink);
    return c;
}

static void cordon_names_stand_in_log_dirs(void **state)
{
    static const char *const rows[] = {"log.dirs=/a, /b ,/c/"};
    static const struct {
        const char *value, *why; /* NULL: it may */
    } cases[] = {
        {"", NULL},
        {"/a", NULL},
        {"/b,/a", NULL},
        {" /b , /c/", NULL},
        {"*", NULL},
        {"/c", "Missing entries : /c"}, /* as it stands there, as in Apache Kafka */
        {"/x,/a,/y", "Missing entries : /x, /y"},
        {"/a,*", "must not contain other values"},
        {"*,*", "must not contain other values"},
        {",", "Missing entries : "},
    };
    char why[256];
    struct config *c = config_of(rows, array_n(rows));
    (void)state;
    for (size_t i = 0; i < array_n(cases); i++) {
        bool may = cordon_check(c, cases[i].value, why, sizeof why);
        assert_int_equal(may, cases[i].why == NULL);
        if (!may)
            assert_non_null(strstr(why, cases[i].why));
    }
    config_free(c);
}

static void cordon_without_log_dirs_looks_at_log_dir(void **state)
{
    static const char *const rows[] = {"log.dir=/one"};
    char why[256];
    struct config *c = config_of(rows, array_n(rows));
    (void)state;
    assert_true(cordon_check(c, "/one", why, sizeof why));
    assert_false(cordon_check(c, "/two", why, sizeof why));
    config_free(c);
}

/* Whatever is asked for: the reason is cut, not written beyond its room. */
static void cordon_reason_of_many_names_is_cut(void **state)
{
    static char value[20000];
    char why[128];
    struct config *c = config_of(NULL, 0);
    (void)state;
    for (size_t i = 0; i + 2 < sizeof value; i++)
        value[i] = i % 300 == 299 ? ',' : 'x';
    memset(why, 0x7f, sizeof why);
    assert_false(cordon_check(c, value, why, sizeof why));
    assert_true(strlen(why) < sizeof why);
    config_free(c);
}

static void cordon_mask_has_a_bit_per_directory(void **state)
{
    static struct log_dir dirs[64];
    (void)state;
    for (int i = 0; i < 64; i++)
        snprintf(dirs[i].path, sizeof dirs[i].path, "/d%d", i);
    assert_int_equal(cordon_mask(NULL, dirs, 3), 0);
    assert_int_equal(cordon_mask("", dirs, 3), 0);
    assert_int_equal(cordon_mask("/d0,/d2/", dirs, 3), 5);
    assert_int_equal(cordon_mask("/d0,/gone", dirs, 3), 1); /* log.dirs has changed since */
    assert_int_equal(cordon_mask("*", dirs, 3), 7);
    assert_true(cordon_mask("*", dirs, 64) == UINT64_MAX);
    assert_true(cordon_mask("/d63", dirs, 64) == 1ull << 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cordon_names_stand_in_log_dirs),
        TEST(cordon_without_log_dirs_looks_at_log_dir),
        TEST(cordon_reason_of_many_names_is_cut),
        TEST(cordon_mask_has_a_bit_per_directory),
    };
    return TESTS_RUN(tests);
}
