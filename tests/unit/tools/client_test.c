/* client_test.c - client.h without a socket: which version is used, names of errors, addresses that
 * are none. */
#include "client.h"

#include "unit.h"

enum { PRODUCE = 0, METADATA = 3, REMOVED = 4 };

static void version_used_is_the_highest_that_both_sides_know(void **state)
{
    struct client c = {.fd = -1};
    const struct proto_message *m = proto_request(METADATA);
    (void)state;
    c.apis[METADATA] = (struct client_range){0, 9};
    assert_int_equal(client_version(&c, METADATA, INT16_MAX), 9);
    c.apis[METADATA].max = INT16_MAX;
    assert_int_equal(client_version(&c, METADATA, INT16_MAX), m->version_max);
    assert_int_equal(client_version(&c, METADATA, 5), 5);
}

static void version_without_overlap_is_refused(void **state)
{
    struct client c = {.fd = -1};
    (void)state;
    c.apis[METADATA] = (struct client_range){0, -1};
    assert_int_equal(client_version(&c, METADATA, INT16_MAX), -1);
    c.apis[METADATA] = (struct client_range){8, 12};
    assert_int_equal(client_version(&c, METADATA, 7), -1);
    c.apis[PRODUCE] = (struct client_range){0, 2};
    assert_int_equal(client_version(&c, PRODUCE, INT16_MAX), -1);
    c.apis[REMOVED] = (struct client_range){0, 7};
    assert_int_equal(client_version(&c, REMOVED, INT16_MAX), -1);
}

static void error_known_has_its_name_and_unknown_its_number(void **state)
{
    char buffer[32];
    (void)state;
    assert_string_equal(kafka_error_name(0, buffer, sizeof buffer), "NONE");
    assert_string_equal(kafka_error_name(-1, buffer, sizeof buffer), "UNKNOWN_SERVER_ERROR");
    assert_string_equal(kafka_error_name(36, buffer, sizeof buffer), "TOPIC_ALREADY_EXISTS");
    assert_string_equal(kafka_error_name(133, buffer, sizeof buffer),
                        "SHARE_SESSION_LIMIT_REACHED");
    assert_string_equal(kafka_error_name(999, buffer, sizeof buffer), "error 999");
}

static void open_with_an_address_that_is_none_says_what_is_expected(void **state)
{
    static const char *const wrong[] = {"", "a:b", ":9092"};
    (void)state;
    for (size_t i = 0; i < array_n(wrong); i++) {
        struct client c;
        assert_int_equal(client_open(&c, wrong[i], 100), E_INVALID);
        assert_non_null(strstr(c.why, "HOST:PORT"));
        assert_int_equal(c.fd, -1);
        client_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(version_used_is_the_highest_that_both_sides_know),
        TEST(version_without_overlap_is_refused),
        TEST(error_known_has_its_name_and_unknown_its_number),
        TEST(open_with_an_address_that_is_none_says_what_is_expected),
    };
    return TESTS_RUN(tests);
}
