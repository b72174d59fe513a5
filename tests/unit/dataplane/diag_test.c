/* diag_test.c - diag.c: at most five events a second and cause, nothing lost uncounted, text made
 * harmless. */
#include "diag.h"

#include <stdlib.h>

#include "unit.h"

static struct diag *diag_new(void)
{
    struct diag *d = aligned_alloc(64, sizeof *d);
    assert_non_null(d);
    memset(d, 0, sizeof *d);
    return d;
}

static struct now at_ms(uint64_t ms)
{
    return (struct now){.ns = ms * NS_PER_MS, .wall_ms = 1700000000000 + (int64_t)ms};
}

static void diag_burst_of_one_cause_is_cut_to_five_and_counted(void **state)
{
    struct diag *d = diag_new();
    struct diag_event e;
    int n = 0;
    (void)state;
    for (int i = 0; i < 1000; i++)
        diag_write(d, at_ms(1000 + (uint64_t)i / 10), DIAG_APPENDS_REFUSED, "full", i, 0);
    while (diag_read(d, &e)) {
        assert_int_equal(e.n, n++);
        assert_int_equal(e.dropped_n, 0);
    }
    assert_int_equal(n, DIAG_PER_SECOND_MAX);
    assert_int_equal(d->dropped_n, 1000 - DIAG_PER_SECOND_MAX);
    diag_write(d, at_ms(2000), DIAG_APPENDS_REFUSED, "full", 7, 0);
    assert_true(diag_read(d, &e));
    assert_int_equal(e.n, 7);
    assert_int_equal(e.dropped_n, 1000 - DIAG_PER_SECOND_MAX);
    assert_false(diag_read(d, &e));
    free(d);
}

static void diag_causes_are_limited_apart(void **state)
{
    struct diag *d = diag_new();
    struct diag_event e;
    (void)state;
    for (int i = 0; i < 100; i++)
        diag_write(d, at_ms(5), DIAG_CONNECTIONS_ENDED, NULL, 1, 0);
    diag_write(d, at_ms(5), DIAG_LOG_FAILED, NULL, 2, 0);
    int failed_n = 0;
    while (diag_read(d, &e))
        failed_n += e.id == DIAG_LOG_FAILED;
    assert_int_equal(failed_n, 1);
    free(d);
}

static void diag_full_ring_drops_and_counts(void **state)
{
    struct diag *d = diag_new();
    struct diag_event e;
    uint32_t written = 0, read = 0;
    (void)state;
    for (uint64_t second = 0; second < 100; second++)
        for (int i = 0; i < DIAG_PER_SECOND_MAX; i++, written++)
            diag_write(d, at_ms(second * 1000), DIAG_APPENDS_REFUSED, NULL, 0, 0);
    while (diag_read(d, &e))
        read++;
    assert_int_equal(read, DIAG_SLOTS_N);
    assert_int_equal(read + d->dropped_n, written);
    free(d);
}

static void diag_line_has_time_level_thread_numbers_and_help(void **state)
{
    struct diag_event e = {
        .id = DIAG_APPENDS_REFUSED, .wall_ms = 1700000000123, .n = 42, .dropped_n = 3};
    char line[512];
    (void)state;
    snprintf(e.text, sizeof e.text, "no space");
    int n = diag_format(&e, "worker-1", line, sizeof line);
    assert_int_equal(n, (int)strlen(line));
    assert_non_null(
        strstr(line, "2023-11-14T22:13:20.123Z note worker-1: 42 appends refused: no space"));
    assert_non_null(strstr(line, "[3 more like this were not written]"));
}

static void diag_text_of_a_peer_cannot_control_the_terminal(void **state)
{
    struct diag *d = diag_new();
    struct diag_event e;
    char line[512], text[300];
    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text, "a\033[2J\nb\x80", 8);
    text[sizeof text - 1] = 0;
    diag_write(d, at_ms(1), DIAG_CONNECTIONS_ENDED, text, 1, 0);
    assert_true(diag_read(d, &e));
    assert_int_equal(strlen(e.text), DIAG_TEXT_MAX - 1); /* cut, and ended */
    diag_format(&e, "worker-0", line, sizeof line);
    assert_non_null(strstr(line, "a?[2J?b?x"));
    assert_null(strchr(line, '\n'));
    free(d);
}

static void diag_format_into_little_room_stays_inside(void **state)
{
    struct diag_event e = {.id = DIAG_LOG_FAILED, .wall_ms = 1, .n = 1};
    char room[40];
    (void)state;
    memset(room, 'q', sizeof room);
    diag_format(&e, "worker-0", room, 20);
    for (size_t i = 20; i < sizeof room; i++)
        assert_int_equal(room[i], 'q');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(diag_burst_of_one_cause_is_cut_to_five_and_counted),
        TEST(diag_causes_are_limited_apart),
        TEST(diag_full_ring_drops_and_counts),
        TEST(diag_line_has_time_level_thread_numbers_and_help),
        TEST(diag_text_of_a_peer_cannot_control_the_terminal),
        TEST(diag_format_into_little_room_stays_inside),
    };
    return TESTS_RUN(tests);
}
