/* checkpoint_test.c - checkpoint.c: the table, Kafka's texts, malformed ones, and disks that fail.
 */
#include "checkpoint.h"

#include <stdio.h>

#include "disk_tools.h"
#include "fault_disk.h"
#include "unit.h"

static struct bytes text(const char *s)
{
    return bytes_of_string(s);
}

static void is_text(const struct checkpoints *c, enum checkpoint_kind kind, const char *expected)
{
    struct bytes out;
    assert_int_equal(checkpoint_text(c, kind, &out), 0);
    assert_int_equal(out.n, strlen(expected));
    assert_memory_equal(out.ptr, expected, out.n);
    file_read_free(&out);
}

static void offsets_are_kept_per_kind_and_partition(void **state)
{
    struct checkpoints *c = checkpoints_new();
    int64_t offset;
    (void)state;
    assert_false(checkpoint_get(c, CHECKPOINT_HIGH, text("a"), 0, &offset));
    checkpoint_remove(c, text("a"), 0);
    assert_int_equal(checkpoint_set(c, CHECKPOINT_HIGH, text("a"), 0, 7), 0);
    assert_int_equal(checkpoint_set(c, CHECKPOINT_HIGH, text("a"), 0, 9), 0);
    assert_int_equal(checkpoint_set(c, CHECKPOINT_LOG_START, text("a"), 1, 3), 0);
    assert_true(checkpoint_get(c, CHECKPOINT_HIGH, text("a"), 0, &offset));
    assert_int_equal(offset, 9);
    assert_false(checkpoint_get(c, CHECKPOINT_LOG_START, text("a"), 0, &offset));
    assert_true(checkpoint_get(c, CHECKPOINT_LOG_START, text("a"), 1, &offset));
    assert_false(checkpoint_get(c, CHECKPOINT_LOG_START, text("aa"), 1, &offset));
    checkpoint_remove(c, text("a"), 0);
    assert_false(checkpoint_get(c, CHECKPOINT_HIGH, text("a"), 0, &offset));
    assert_int_equal(checkpoint_count(c, CHECKPOINT_HIGH), 0);
    assert_int_equal(checkpoint_count(c, CHECKPOINT_LOG_START), 1);
    checkpoints_free(c);
}

static void many_partitions_are_found_again(void **state)
{
    struct checkpoints *c = checkpoints_new();
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char topic[32];
        snprintf(topic, sizeof topic, "topic-%d", i % 500);
        assert_int_equal(checkpoint_set(c, CHECKPOINT_RECOVERY_POINT, text(topic), i / 500, i), 0);
    }
    assert_int_equal(checkpoint_count(c, CHECKPOINT_RECOVERY_POINT), 20000);
    for (int i = 0; i < 20000; i++) {
        char topic[32];
        int64_t offset;
        snprintf(topic, sizeof topic, "topic-%d", i % 500);
        assert_true(checkpoint_get(c, CHECKPOINT_RECOVERY_POINT, text(topic), i / 500, &offset));
        assert_int_equal(offset, i);
    }
    checkpoints_free(c);
}

static void text_of_kafka_is_read_and_written_sorted(void **state)
{
    struct checkpoints *c = checkpoints_new();
    int64_t offset;
    (void)state;
    assert_int_equal(checkpoint_parse(c, CHECKPOINT_RECOVERY_POINT,
                                      text("0\n3\ntx 0 9\nroll 10 2600\nroll 2 1\n")),
                     0);
    assert_true(checkpoint_get(c, CHECKPOINT_RECOVERY_POINT, text("roll"), 10, &offset));
    assert_int_equal(offset, 2600);
    is_text(c, CHECKPOINT_RECOVERY_POINT, "0\n3\nroll 2 1\nroll 10 2600\ntx 0 9\n");
    is_text(c, CHECKPOINT_CLEANER, "0\n0\n");
    checkpoints_free(c);
}

static void text_in_other_dress_is_read(void **state)
{
    static const char *const good[] = {"",
                                       "0\n0\n",
                                       "0\n0",
                                       "0\n1\na 0 5",
                                       "0\r\n1\r\na 0 5\r\n",
                                       "0\n1\na  0   5\n",
                                       "0\n2\na 0 4\na 0 5\n"};
    (void)state;
    for (size_t i = 0; i < array_n(good); i++) {
        struct checkpoints *c = checkpoints_new();
        int64_t offset = 5;
        assert_int_equal(checkpoint_parse(c, CHECKPOINT_HIGH, text(good[i])), 0);
        assert_int_equal(checkpoint_get(c, CHECKPOINT_HIGH, text("a"), 0, &offset), i >= 3);
        assert_int_equal(offset, 5);
        checkpoints_free(c);
    }
}

static void text_malformed_is_corrupt(void **state)
{
    static const char *const bad[] = {
        "1\n0\n",
        "\n",
        "0\n",
        "0\nx\n",
        "0\n-1\n",
        "0\n1\n",
        "0\n1\na 0\n",
        "0\n1\na 0 5 6\n",
        "0\n1\n 0 5\n",
        "0\n0\na 0 5\n",
        "0\n2\na 0 5\n",
        "0\n1\na x 5\n",
        "0\n1\na 0 -5\n",
        "0\n1\na -1 5\n",
        "0\n1\na 2147483648 5\n",
        "0\n1\na 0 9223372036854775808\n",
        "0\n1\na\n",
        "0\n1\n\n",
        "0\n99999999\n",
    };
    struct checkpoints *c = checkpoints_new();
    (void)state;
    for (size_t i = 0; i < array_n(bad); i++)
        assert_int_equal(checkpoint_parse(c, CHECKPOINT_HIGH, text(bad[i])), E_CORRUPT);
    assert_int_equal(checkpoint_parse(c, CHECKPOINT_HIGH, bytes_of("0\n1\n\0 3 7\n", 10)),
                     E_CORRUPT);
    assert_int_equal(checkpoint_parse(c, CHECKPOINT_HIGH, text("0\n1\na/b 3 7\n")), E_CORRUPT);
    char long_topic[300] = "0\n1\n";
    memset(long_topic + 4, 't', 250);
    memcpy(long_topic + 254, " 0 5\n", 6);
    assert_int_equal(checkpoint_parse(c, CHECKPOINT_HIGH, text(long_topic)), E_CORRUPT);
    checkpoints_free(c);
}

static void files_are_written_and_read_by_their_names(void **state)
{
    char directory[DISK_PATH_MAX], why[256];
    struct checkpoints *c = checkpoints_new(), *again = checkpoints_new();
    (void)state;
    test_directory(directory);
    assert_int_equal(checkpoints_read(again, disk_posix(), directory, why, sizeof why),
                     0); /* none is no error */
    assert_int_equal(checkpoint_set(c, CHECKPOINT_RECOVERY_POINT, text("a"), 0, 1), 0);
    assert_int_equal(checkpoint_set(c, CHECKPOINT_LOG_START, text("a"), 0, 2), 0);
    assert_int_equal(checkpoint_set(c, CHECKPOINT_HIGH, text("a"), 0, 3), 0);
    assert_int_equal(checkpoint_set(c, CHECKPOINT_CLEANER, text("a"), 0, 4), 0);
    assert_int_equal(checkpoints_write(c, disk_posix(), directory), 0);
    assert_true(test_file_is(directory, "recovery-point-offset-checkpoint", "0\n1\na 0 1\n", 10));
    assert_true(test_file_is(directory, "log-start-offset-checkpoint", "0\n1\na 0 2\n", 10));
    assert_true(test_file_is(directory, "replication-offset-checkpoint", "0\n1\na 0 3\n", 10));
    assert_true(test_file_is(directory, "cleaner-offset-checkpoint", "0\n1\na 0 4\n", 10));
    assert_int_equal(checkpoints_read(again, disk_posix(), directory, why, sizeof why), 0);
    is_text(again, CHECKPOINT_CLEANER, "0\n1\na 0 4\n");
    test_file(directory, "cleaner-offset-checkpoint", "garbage", 7);
    assert_int_equal(checkpoints_read(again, disk_posix(), directory, why, sizeof why), E_CORRUPT);
    assert_non_null(strstr(why, "cleaner-offset-checkpoint cannot be used"));
    checkpoints_free(c);
    checkpoints_free(again);
    test_directory_remove(directory);
}

static void every_failing_operation_leaves_each_file_old_or_new(void **state)
{
    char directory[DISK_PATH_MAX], why[256];
    struct fault_disk fault;
    struct checkpoints *c = checkpoints_new();
    (void)state;
    test_directory(directory);
    fault_disk_init(&fault, disk_posix());
    for (enum checkpoint_kind kind = 0; kind < CHECKPOINTS_N; kind++)
        assert_int_equal(checkpoint_set(c, kind, text("a"), 0, 2), 0);
    for (uint64_t n = 1;; n++) {
        for (enum checkpoint_kind kind = 0; kind < CHECKPOINTS_N; kind++)
            test_file(directory, checkpoint_name(kind), "0\n1\na 0 1\n", 10);
        fault_disk_arm(&fault, n, E_DISK_FULL, n % 2);
        int error = checkpoints_write(c, &fault.disk, directory);
        for (enum checkpoint_kind kind = 0; kind < CHECKPOINTS_N; kind++)
            assert_true(test_file_is(directory, checkpoint_name(kind), "0\n1\na 0 1\n", 10) ||
                        test_file_is(directory, checkpoint_name(kind), "0\n1\na 0 2\n", 10));
        assert_int_equal(fault.fds_n, 0);
        if (!fault.is_fired)
            break;
        assert_int_equal(error, E_DISK_FULL);
    }
    for (uint64_t n = 1;; n++) {
        fault_disk_arm(&fault, n, E_IO, false);
        int error = checkpoints_read(c, &fault.disk, directory, why, sizeof why);
        if (!fault.is_fired)
            break;
        assert_int_equal(error, E_IO);
        assert_int_equal(fault.fds_n, 0);
    }
    checkpoints_free(c);
    test_directory_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(offsets_are_kept_per_kind_and_partition),
        TEST(many_partitions_are_found_again),
        TEST(text_of_kafka_is_read_and_written_sorted),
        TEST(text_in_other_dress_is_read),
        TEST(text_malformed_is_corrupt),
        TEST(files_are_written_and_read_by_their_names),
        TEST(every_failing_operation_leaves_each_file_old_or_new),
    };
    return TESTS_RUN(tests);
}
