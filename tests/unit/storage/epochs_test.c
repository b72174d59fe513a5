/* epochs_test.c - epochs.c: entries, truncation at both ends, look-ups as Kafka answers them, the
 * file. */
#include "epochs.h"

#include "samples.h"
#include "unit.h"

static void note(struct epochs *e, int32_t epoch, int64_t offset, bool expected)
{
    bool changed;
    assert_int_equal(epochs_note(e, epoch, offset, &changed), 0);
    assert_int_equal(changed, expected);
}

/* 0 from 0, 4 from 100, 6 from 250. */
static struct epochs three(void)
{
    struct epochs e = {NULL, 0, 0};
    note(&e, 0, 0, true);
    note(&e, 4, 100, true);
    note(&e, 6, 250, true);
    return e;
}

static void is_epochs(const struct epochs *e, uint32_t n, const int64_t (*expected)[2])
{
    assert_int_equal(e->n, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(e->v[i].epoch, expected[i][0]);
        assert_int_equal(e->v[i].start_offset, expected[i][1]);
    }
}

static void epoch_noted_again_changes_nothing(void **state)
{
    struct epochs e = three();
    (void)state;
    note(&e, 6, 251, false);
    note(&e, 6, 9999, false);
    is_epochs(&e, 3, (const int64_t[][2]){{0, 0}, {4, 100}, {6, 250}});
    epochs_fini(&e);
}

static void epoch_at_the_same_start_replaces_the_older(void **state)
{
    struct epochs e = three();
    (void)state;
    note(&e, 8, 250, true);
    is_epochs(&e, 3, (const int64_t[][2]){{0, 0}, {4, 100}, {8, 250}});
    note(&e, 5, 90, true);
    is_epochs(&e, 2, (const int64_t[][2]){{0, 0}, {5, 90}});
    epochs_fini(&e);
}

static void end_truncated_drops_what_starts_beyond(void **state)
{
    struct epochs e = three();
    (void)state;
    epochs_truncate_end(&e, 251);
    assert_int_equal(e.n, 3);
    epochs_truncate_end(&e, 250);
    assert_int_equal(epochs_latest(&e), 4);
    epochs_truncate_end(&e, 0);
    assert_int_equal(epochs_latest(&e), -1);
    epochs_fini(&e);
}

static void start_truncated_moves_the_entry_below(void **state)
{
    struct epochs e = three();
    (void)state;
    epochs_truncate_start(&e, 150);
    is_epochs(&e, 2, (const int64_t[][2]){{4, 150}, {6, 250}});
    epochs_truncate_start(&e, 100);
    is_epochs(&e, 2, (const int64_t[][2]){{4, 150}, {6, 250}});
    epochs_truncate_start(&e, 900);
    is_epochs(&e, 1, (const int64_t[][2]){{6, 900}});
    epochs_fini(&e);
}

static void end_of_epoch_is_answered_as_kafka_does(void **state)
{
    static const struct {
        int32_t epoch, found;
        int64_t end;
    } rows[] = {
        {-1, -1, -1}, {0, 0, 100}, {3, 0, 100}, {4, 4, 250}, {5, 4, 250}, {6, 6, 400}, {7, -1, -1},
    };
    struct epochs e = three();
    int32_t found;
    int64_t end;
    (void)state;
    for (size_t i = 0; i < array_n(rows); i++) {
        epochs_end_of(&e, rows[i].epoch, 400, &found, &end);
        assert_int_equal(found, rows[i].found);
        assert_int_equal(end, rows[i].end);
    }
    epochs_truncate_start(&e, 150);
    epochs_end_of(&e, 2, 400, &found, &end); /* older than all known */
    assert_int_equal(found, 2);
    assert_int_equal(end, 150);
    epochs_fini(&e);
    epochs_end_of(&e, 0, 400, &found, &end);
    assert_int_equal(found, -1);
}

static void text_equals_kafkas_and_reads_back(void **state)
{
    struct epochs e = {NULL, 0, 0};
    char to[256];
    (void)state;
    note(&e, 0, 1500, true);
    note(&e, 4, 2600, true);
    assert_true(epochs_text_max(&e) <= sizeof to);
    assert_int_equal(epochs_text(&e, to), sizeof sample_epoch_checkpoint);
    assert_memory_equal(to, sample_epoch_checkpoint, sizeof sample_epoch_checkpoint);
    epochs_fini(&e);
    assert_int_equal(epochs_parse(&e, SAMPLE(epoch_checkpoint)), 0);
    is_epochs(&e, 2, (const int64_t[][2]){{0, 1500}, {4, 2600}});
    epochs_fini(&e);
}

static void text_empty_or_without_last_line_end_is_read(void **state)
{
    struct epochs e = three();
    (void)state;
    assert_int_equal(epochs_parse(&e, bytes_of("", 0)), 0);
    assert_int_equal(e.n, 0);
    assert_int_equal(epochs_parse(&e, bytes_of_string("0\n1\n3 7")), 0);
    is_epochs(&e, 1, (const int64_t[][2]){{3, 7}});
    assert_int_equal(epochs_parse(&e, bytes_of_string("0\r\n0\r\n")), 0);
    assert_int_equal(e.n, 0);
    epochs_fini(&e);
}

static void text_malformed_is_corrupt_and_changes_nothing(void **state)
{
    static const char *const bad[] = {
        "1\n0\n",
        "0",
        "0\n",
        "x\n0\n",
        "0\n1\n",
        "0\n2\n0 0\n",
        "0\n1\n0 0\n1 1\n",
        "0\n1\n0\n",
        "0\n1\n0 0 0\n",
        "0\n1\n-1 0\n",
        "0\n1\n0 -1\n",
        "0\n2\n1 0\n1 5\n",
        "0\n2\n1 5\n2 5\n",
        "0\n-1\n",
        "0\n1\n0 9223372036854775808\n",
        "0\n1\n2147483648 0\n",
        "0\n4294967296\n",
        "0\n1\n 0 0\n",
    };
    struct epochs e = three();
    (void)state;
    for (size_t i = 0; i < array_n(bad); i++)
        assert_int_equal(epochs_parse(&e, bytes_of_string(bad[i])), E_CORRUPT);
    assert_int_equal(e.n, 3);
    epochs_fini(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(epoch_noted_again_changes_nothing),
        TEST(epoch_at_the_same_start_replaces_the_older),
        TEST(end_truncated_drops_what_starts_beyond),
        TEST(start_truncated_moves_the_entry_below),
        TEST(end_of_epoch_is_answered_as_kafka_does),
        TEST(text_equals_kafkas_and_reads_back),
        TEST(text_empty_or_without_last_line_end_is_read),
        TEST(text_malformed_is_corrupt_and_changes_nothing),
    };
    return TESTS_RUN(tests);
}
