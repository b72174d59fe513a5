/* partitions_test.c - CreatePartitions: checks, records, logs opened before the view says so. */
#include "rig.h"

static struct rig rig;
static struct control_op op;
static char text[1024];

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 2);
    assert_int_equal(rig_start(&rig), 0);
    assert_int_equal(rig_create(&rig, "ok1", 2), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static int16_t grow_as(const char *name, int32_t count, const int32_t *broker, int32_t assignments,
                       bool is_dry)
{
    struct create_partitions_request_topics_assignments a[3];
    for (int i = 0; i < 3; i++)
        a[i] = (struct create_partitions_request_topics_assignments){(int32_t *)(uintptr_t)broker,
                                                                     broker != NULL ? 1 : 0};
    struct create_partitions_request_topics topic = {bytes_of_string(name), count, a, assignments};
    struct create_partitions_request request = {&topic, 1, 1000, is_dry};
    struct create_partitions_response *r = rig_ask(&rig, &op, 37, 3, &request);
    assert_non_null(r);
    assert_int_equal(r->results_n, 1);
    int16_t code = r->results[0].error_code;
    struct bytes message = r->results[0].error_message;
    snprintf(text, sizeof text, "%.*s", message.ptr == NULL ? 6 : (int)message.n,
             message.ptr == NULL ? "(null)" : (const char *)message.ptr);
    arena_fini(&op.arena);
    return code;
}

static int16_t grow(const char *name, int32_t count)
{
    return grow_as(name, count, NULL, -1, false);
}

static int32_t published_n(const char *name)
{
    return view_topic_by_name(rig_view(&rig), bytes_of_string(name))->partitions_n;
}

static void grow_refuses_with_kafkas_words(void **state)
{
    (void)state;
    static const int32_t us = 1, other = 9;
    assert_int_equal(grow("ok1", 2), 37);
    assert_string_equal(text, "Topic already has 2 partition(s).");
    assert_int_equal(grow("ok1", -1), 37);
    assert_string_equal(text,
                        "The topic ok1 currently has 2 partition(s); -1 would not be an increase.");
    assert_int_equal(grow("nosuch", 3), 3);
    assert_string_equal(text, "(null)");
    assert_int_equal(grow_as("ok1", 4, &us, 1, false), 39);
    assert_string_equal(text, "Attempted to add 2 additional partition(s), but only 1 "
                              "assignment(s) were specified.");
    assert_int_equal(grow_as("ok1", 3, &other, 1, false), 39);
    assert_string_equal(
        text,
        "The manual partition assignment includes broker 9, but no such broker is registered.");
    assert_int_equal(grow_as("ok1", 3, NULL, 1, false), 39);
    assert_int_equal(grow("ok1", 10003), -1);
    assert_string_equal(text, "(null)");
    assert_int_equal(published_n("ok1"), 2);
}

static void new_logs_are_open_before_the_view_shows_them(void **state)
{
    (void)state;
    static const int32_t us = 1;
    uint32_t opened_n = 0;
    rig.orders_n = 0;
    assert_int_equal(grow_as("ok1", 5, &us, 3, false), 0);
    assert_int_equal(published_n("ok1"), 5);
    for (uint32_t i = 0; i < rig.orders_n; i++)
        opened_n += rig.orders[i].order == LOG_OPEN && rig.orders[i].id.partition >= 2;
    assert_int_equal(opened_n, 3);
    char *live = state_text(&rig.control->state), *replayed = rig_replayed_text(&rig);
    assert_string_equal(live, replayed);
    free(live);
    free(replayed);
}

static void ten_thousand_more_are_one_operation(void **state)
{
    (void)state;
    assert_int_equal(grow("ok1", 10002), 0);
    assert_int_equal(published_n("ok1"), 10002);
}

static void validate_only_makes_nothing(void **state)
{
    (void)state;
    assert_int_equal(grow_as("ok1", 3, NULL, -1, true), 0);
    assert_int_equal(published_n("ok1"), 2);
}

static void log_that_cannot_be_opened_has_no_leader(void **state)
{
    (void)state;
    rig.open_error = E_NO_MEMORY;
    assert_int_equal(grow("ok1", 3), 0);
    const struct view_topic *topic = view_topic_by_name(rig_view(&rig), bytes_of_string("ok1"));
    assert_int_equal(topic->partitions[0].leader, 1);
    assert_int_equal(topic->partitions[2].leader, -1);
}

static void name_given_twice_grows_nothing(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "two", 1), 0);
    struct create_partitions_request_topics topics[] = {{bytes_of_string("ok1"), 3, NULL, -1},
                                                        {bytes_of_string("two"), 2, NULL, -1},
                                                        {bytes_of_string("ok1"), 4, NULL, -1}};
    struct create_partitions_request request = {topics, 3, 1000, false};
    struct create_partitions_response *r = rig_ask(&rig, &op, 37, 3, &request);
    assert_int_equal(r->results_n, 2);
    assert_int_equal(r->results[0].error_code, 42);
    assert_true(bytes_text_is(r->results[0].error_message, "Duplicate topic name."));
    assert_true(bytes_text_is(r->results[1].name, "two"));
    assert_int_equal(r->results[1].error_code, 0);
    arena_fini(&op.arena);
    assert_int_equal(published_n("ok1"), 2);
    assert_int_equal(published_n("two"), 2);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(grow_refuses_with_kafkas_words),
        RIG_TEST(new_logs_are_open_before_the_view_shows_them),
        RIG_TEST(ten_thousand_more_are_one_operation),
        RIG_TEST(validate_only_makes_nothing),
        RIG_TEST(log_that_cannot_be_opened_has_no_leader),
        RIG_TEST(name_given_twice_grows_nothing),
    };
    return TESTS_RUN(tests);
}
