/* directory_test.c - directory.c and sweep.c: taking, refusing, leaving and sweeping a log
 * directory. */
#include "storage.h"

#include <stdio.h>

#include "checkpoint.h"
#include "disk_tools.h"
#include "fault_disk.h"
#include "samples.h"
#include "sweep.h"
#include "unit.h"
#include "uuid_text.h"

static char root[DISK_PATH_MAX], data[DISK_PATH_MAX], why[512];
static struct fault_disk fault;
static struct directory_id id;
static bool is_clean;
static int lock_fd;

static int setup(void **state)
{
    (void)state;
    test_directory(root);
    test_path(data, root, "data");
    fault_disk_init(&fault, disk_posix());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_directory_remove(root);
    assert_int_equal(fault.fds_n, 0);
    return 0;
}

static int take(int32_t node_id, const char *cluster_id)
{
    why[0] = '\0';
    return directory_take(&fault.disk, data, node_id, cluster_id, 42, &id, &is_clean, &lock_fd, why,
                          sizeof why);
}

static void leave(void)
{
    struct checkpoints *c = checkpoints_new();
    assert_int_equal(directory_leave(&fault.disk, data, c, lock_fd), 0);
    checkpoints_free(c);
}

static void make_data(const char *meta)
{
    assert_int_equal(disk_make_directory(disk_posix(), data), 0);
    test_file(data, "meta.properties", meta, strlen(meta));
}

static void refused(int error, const char *part)
{
    assert_int_equal(take(1, ""), error);
    assert_int_equal(lock_fd, -1);
    if (strstr(why, part) == NULL)
        fail_msg("%s", why);
    assert_null(strchr(why, '\n'));
}

/* ── taking ── */

static void missing_directory_is_made_and_formatted(void **state)
{
    char text[256];
    (void)state;
    assert_int_equal(take(3, ""), 0);
    assert_false(is_clean);
    assert_int_equal(id.node_id, 3);
    assert_int_equal(strlen(id.cluster_id), UUID_TEXT);
    assert_false(uuid_is_zero(&id.directory_id));
    int64_t n = test_file_read(data, "meta.properties", text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "\nnode.id=3\n"));
    assert_non_null(strstr(text, "\nversion=1\n"));
    disk_close(&fault.disk, lock_fd);
    /* Taken again it is the same. */
    struct directory_id first = id;
    assert_int_equal(take(3, "ignored"), 0);
    assert_string_equal(id.cluster_id, first.cluster_id);
    assert_true(uuid_equal(&id.directory_id, &first.directory_id));
    disk_close(&fault.disk, lock_fd);
}

static void directories_above_are_made_too(void **state)
{
    (void)state;
    test_path(data, root, "a/b/c");
    assert_int_equal(take(1, "my cluster: one"), 0);
    assert_string_equal(id.cluster_id, "my cluster: one");
    disk_close(&fault.disk, lock_fd);
    assert_int_equal(take(1, ""), 0);
    assert_string_equal(id.cluster_id, "my cluster: one");
    disk_close(&fault.disk, lock_fd);
}

static void directory_of_kafka_is_taken(void **state)
{
    char text[UUID_TEXT_MAX];
    (void)state;
    assert_int_equal(disk_make_directory(disk_posix(), data), 0);
    test_file(data, "meta.properties", sample_meta_properties, sizeof sample_meta_properties);
    test_file(data, ".kafka_cleanshutdown", sample_clean_shutdown, sizeof sample_clean_shutdown);
    assert_int_equal(take(1, ""), 0);
    assert_true(is_clean);
    assert_false(test_exists(data, ".kafka_cleanshutdown"));
    assert_string_equal(id.cluster_id, "MkU3OEVBNTcwNTJENDM2Qg");
    uuid_text(&id.directory_id, text);
    assert_string_equal(text, "tHTr0QUEp5C-8FAV7c_EQg");
    disk_close(&fault.disk, lock_fd);
    assert_int_equal(take(1, ""), 0);
    assert_false(is_clean);
    disk_close(&fault.disk, lock_fd);
}

static void missing_directory_id_is_made_and_kept(void **state)
{
    (void)state;
    make_data("version=1\nnode.id=1\ncluster.id=c\\:d\n");
    assert_int_equal(take(1, ""), 0);
    assert_string_equal(id.cluster_id, "c:d");
    struct uuid first = id.directory_id;
    disk_close(&fault.disk, lock_fd);
    assert_int_equal(take(1, ""), 0);
    assert_true(uuid_equal(&id.directory_id, &first));
    disk_close(&fault.disk, lock_fd);
}

static void directory_in_use_is_refused_and_untouched(void **state)
{
    (void)state;
    assert_int_equal(take(1, ""), 0);
    int first = lock_fd;
    test_file(data, ".kafka_cleanshutdown", "x", 1);
    refused(E_IN_USE, "is in use by another broker (millrace or Apache Kafka)");
    assert_true(test_exists(data, ".kafka_cleanshutdown"));
    assert_true(test_exists(data, ".lock"));
    disk_close(&fault.disk, first);
}

static void other_node_is_refused_with_both_numbers(void **state)
{
    (void)state;
    make_data("version=1\nnode.id=7\ncluster.id=c\n");
    refused(E_INVALID, "belongs to node 7, but node.id is 1; set node.id=7");
    assert_false(test_exists(data, ".lock"));
}

static void unreadable_meta_properties_is_refused(void **state)
{
    static const char *const rows[][2] = {
        {"version=2\nnode.id=1\ncluster.id=c\n", "version is 2"},
        {"node.id=1\ncluster.id=c\n", "version is 0"},
        {"version=1\ncluster.id=c\n", "node.id is missing"},
        {"version=1\nnode.id=1\n", "cluster.id is missing"},
        {"version=1\nnode.id=x\ncluster.id=c\n", "value of node.id"},
        {"version=1\nnode.id=-1\ncluster.id=c\n", "value of node.id"},
        {"version=1\nnode.id=1\ncluster.id=\n", "value of cluster.id"},
        {"version=1\nnode.id=1\ncluster.id=c\ndirectory.id=short\n", "value of directory.id"},
        {"\\u00", "not readable as a properties file"},
        {"", "version is 0"},
    };
    (void)state;
    for (size_t i = 0; i < array_n(rows); i++) {
        make_data(rows[i][0]);
        refused(E_INVALID, rows[i][1]);
        assert_true(test_file_is(data, "meta.properties", rows[i][0], strlen(rows[i][0])));
        test_directory_remove(data);
    }
}

static void directory_with_other_files_is_no_log_directory(void **state)
{
    (void)state;
    assert_int_equal(disk_make_directory(disk_posix(), data), 0);
    test_file(data, "holiday.jpg", "x", 1);
    refused(E_INVALID, "holds files but no meta.properties");
    assert_false(test_exists(data, "meta.properties"));
    assert_false(test_exists(data, ".lock"));
    assert_true(test_exists(data, "holiday.jpg"));
}

static void file_in_the_place_of_the_directory_is_refused(void **state)
{
    (void)state;
    test_file(root, "data", "x", 1);
    refused(E_EXISTS, "choose another with log.dirs");
}

static void path_too_long_is_refused(void **state)
{
    (void)state;
    memset(data, 'x', DISK_PATH_MAX - 100);
    data[DISK_PATH_MAX - 100] = '\0';
    refused(E_TOO_LARGE, "choose a shorter one");
}

static void every_failing_operation_leaves_nothing_half_made(void **state)
{
    static const int errors[] = {E_DISK_FULL, E_DENIED, E_IO, E_NO_MEMORY};
    (void)state;
    for (size_t e = 0; e < array_n(errors); e++) {
        for (uint64_t n = 1;; n++) {
            fault_disk_arm(&fault, n, errors[e], false);
            int error = take(1, "");
            if (!fault.is_fired || error == 0) { /* some failures are none: "is it there?" */
                assert_int_equal(error, 0);
                disk_close(&fault.disk, lock_fd);
                test_directory_remove(data);
                if (!fault.is_fired)
                    break;
                continue;
            }
            assert_int_equal(error, errors[e]);
            assert_int_equal(fault.fds_n, 0);
            assert_true(strlen(why) > 20);
            /* Gone, or formatted whole. */
            if (test_exists(root, "data"))
                assert_true(test_exists(data, "meta.properties") &&
                            !test_exists(data, "meta.properties.tmp"));
            fault_disk_arm(&fault, 0, 0, false);
            assert_int_equal(take(1, ""), 0);
            disk_close(&fault.disk, lock_fd);
            test_directory_remove(data);
        }
    }
}

static void read_only_disk_is_left_as_it_was(void **state)
{
    (void)state;
    fault_disk_arm(&fault, 2, E_DENIED, true); /* every operation after the first look */
    assert_int_equal(take(1, ""), E_DENIED);
    assert_non_null(strstr(why, "make it writable for this user"));
    assert_false(test_exists(root, "data"));
}

/* ── leaving ── */

static void leaving_writes_checkpoints_and_the_clean_flag_last(void **state)
{
    static const char flag[] = "{\"version\":0,\"brokerEpoch\":-1}";
    struct checkpoints *c = checkpoints_new();
    (void)state;
    assert_int_equal(take(1, ""), 0);
    assert_int_equal(checkpoint_set(c, CHECKPOINT_HIGH, bytes_of_string("t"), 0, 5), 0);
    int fd = lock_fd;
    lock_fd = -1; /* the lock is given away once, below */
    for (uint64_t n = 1;; n++) {
        fault_disk_arm(&fault, n, E_IO, false);
        int error = directory_leave(&fault.disk, data, c, -1);
        if (!fault.is_fired)
            break;
        assert_int_equal(error, E_IO);
        /* The flag is only there when everything else is. */
        assert_true(!test_exists(data, ".kafka_cleanshutdown") ||
                    test_file_is(data, "replication-offset-checkpoint", "0\n1\nt 0 5\n", 10));
    }
    fault_disk_arm(&fault, 0, 0, false);
    assert_true(test_file_is(data, ".kafka_cleanshutdown", flag, sizeof flag - 1));
    assert_int_equal(directory_leave(&fault.disk, data, c, fd), 0);
    checkpoints_free(c);
    assert_int_equal(take(1, ""), 0);
    assert_true(is_clean);
    leave();
}

/* ── sweeping ── */

static const char live_id[] = "MaqaqsjCS92Vm1VD5fJq6Q";

static bool is_known(void *context, struct bytes topic, int32_t partition,
                     const struct uuid *topic_id)
{
    char text[UUID_TEXT_MAX];
    (void)context;
    uuid_text(topic_id, text);
    return bytes_equal_string(topic, "live-topic") && partition == 2 && strcmp(text, live_id) == 0;
}

static const char *make_partition(const char *name, const char *topic_id)
{
    static char path[DISK_PATH_MAX];
    char text[64];
    test_path(path, root, name);
    assert_int_equal(disk_make_directory(disk_posix(), path), 0);
    if (topic_id != NULL) {
        snprintf(text, sizeof text, "version: 0\ntopic_id: %s", topic_id);
        test_file(path, "partition.metadata", text, strlen(text));
    }
    return path;
}

static bool has_name_with(const char *begin, const char *end)
{
    struct names names;
    bool is_found = false;
    assert_int_equal(names_list(disk_posix(), root, &names), 0);
    for (uint32_t i = 0; i < names.n; i++)
        is_found |= strncmp(names.v[i], begin, strlen(begin)) == 0 &&
                    strlen(names.v[i]) > strlen(end) &&
                    strcmp(names.v[i] + strlen(names.v[i]) - strlen(end), end) == 0;
    names_free(&names);
    return is_found;
}

static void make_all(void)
{
    const char *path = make_partition("live-topic-2", live_id);
    test_file(path, "00000000000000000000.log", "x", 1);
    test_file(path, "00000000000000000009.log.deleted", "x", 1);
    test_file(make_partition("live-topic-3", live_id), "00000000000000000000.log", "x", 1);
    make_partition("other-0", "AAAAAAAAAAAAAAAAAAAAAQ");
    test_file(make_partition("noid-0", NULL), "00000000000000000000.log", "x", 1);
    make_partition("cut-short-0", NULL);
    test_file(make_partition("gone-0.0123456789abcdef0123456789abcdef-delete", live_id),
              "x.log.deleted", "x", 1);
    make_partition("old-0.0123456789abcdef0123456789abcdef-stray", live_id);
    make_partition("__cluster_metadata-0", NULL);
    make_partition("lost+found", NULL);
    test_file(root, "README-0", "a file", 6);
}

static void sweep_sorts_out_what_is_no_live_partition(void **state)
{
    uint32_t removed_n, stray_n;
    (void)state;
    make_all();
    assert_int_equal(directory_sweep(&fault.disk, root, is_known, NULL, &removed_n, &stray_n), 0);
    assert_int_equal(removed_n, 2);
    assert_int_equal(stray_n, 3);
    assert_true(test_exists(root, "live-topic-2/00000000000000000000.log"));
    assert_false(test_exists(root, "live-topic-2/00000000000000000009.log.deleted"));
    assert_true(has_name_with("live-topic-3.", "-stray"));
    assert_true(has_name_with("other-0.", "-stray"));
    assert_true(has_name_with("noid-0.", "-stray"));
    assert_true(has_name_with("old-0.", "-stray"));
    assert_false(has_name_with("cut-short-0", ""));
    assert_false(has_name_with("gone-0", ""));
    assert_true(test_exists(root, "__cluster_metadata-0"));
    assert_true(test_exists(root, "lost+found"));
    assert_true(test_exists(root, "README-0"));
    assert_int_equal(directory_sweep(&fault.disk, root, is_known, NULL, &removed_n, &stray_n), 0);
    assert_int_equal(removed_n + stray_n, 0);
}

static void sweep_that_failed_anywhere_is_completed_by_the_next(void **state)
{
    uint32_t removed_n, stray_n;
    (void)state;
    for (uint64_t n = 1;; n++) {
        test_directory_remove(root);
        assert_int_equal(disk_make_directory(disk_posix(), root), 0);
        make_all();
        fault_disk_arm(&fault, n, E_IO, n % 2);
        int error = directory_sweep(&fault.disk, root, is_known, NULL, &removed_n, &stray_n);
        assert_int_equal(fault.fds_n, 0);
        assert_true(test_exists(root, "live-topic-2/00000000000000000000.log"));
        if (!fault.is_fired)
            return;
        assert_int_equal(error, E_IO);
        fault_disk_arm(&fault, 0, 0, false);
        assert_int_equal(directory_sweep(&fault.disk, root, is_known, NULL, &removed_n, &stray_n),
                         0);
        assert_true(has_name_with("live-topic-3.", "-stray"));
        assert_true(has_name_with("noid-0.", "-stray"));
        assert_false(has_name_with("gone-0", ""));
    }
}

static void partition_names_are_taken_apart_at_the_last_dash(void **state)
{
    struct bytes topic;
    int32_t partition;
    (void)state;
    assert_true(partition_name_parse("a-b-12", &topic, &partition));
    assert_true(bytes_equal_string(topic, "a-b"));
    assert_int_equal(partition, 12);
    static const char *const bad[] = {
        "a", "-1", "a-", "a-x", "a-1x", "a-2147483648", "a-1.0123-delete", ""};
    for (size_t i = 0; i < array_n(bad); i++)
        assert_false(partition_name_parse(bad[i], &topic, &partition));
}

/* A compaction made 00...0.log.swap of the segments 0 and 2; the crash came while names changed. */
static void tidy_completes_a_compaction(void **state)
{
    uint8_t swap[sizeof sample_plain];
    (void)state;
    for (int step = 0; step < 3; step++) {
        const char *path = make_partition("t-0", live_id);
        memcpy(swap, sample_plain, sizeof swap); /* offsets 0 to 2 */
        test_file(path, "00000000000000000000.log.swap", swap, sizeof swap);
        test_file(path, "00000000000000000000.index.swap", "new", 3);
        test_file(path, "00000000000000000000.timeindex.cleaned", "x", 1);
        test_file(path, "00000000000000000002.log", "replaced", 8);
        test_file(path, "00000000000000000003.log", "kept", 4);
        test_file(path, "00000000000000000007.index", "orphan", 6);
        if (step > 0)
            test_file(path, "00000000000000000000.log", "old", 3);
        if (step > 1)
            test_file(path, "00000000000000000000.index", "old", 3);
        assert_int_equal(partition_tidy(&fault.disk, path), 0);
        assert_true(
            test_file_is(path, "00000000000000000000.log", sample_plain, sizeof sample_plain));
        assert_true(test_file_is(path, "00000000000000000000.index", "new", 3));
        assert_false(test_exists(path, "00000000000000000002.log"));
        assert_true(test_exists(path, "00000000000000000003.log"));
        assert_false(test_exists(path, "00000000000000000007.index"));
        assert_false(test_exists(path, "00000000000000000000.timeindex.cleaned"));
        assert_false(test_exists(path, "00000000000000000000.log.swap"));
        test_directory_remove((char *)(uintptr_t)path);
    }
}

/* A start looks at each of ten thousand partitions: where nothing is left over, once. */
static void tidy_partition_is_looked_at_and_left(void **state)
{
    struct names names;
    (void)state;
    const char *path = make_partition("t-0", live_id);
    test_file(path, "00000000000000000000.log", "kept", 4);
    test_file(path, "00000000000000000000.index", "kept", 4);
    test_file(path, "00000000000000000000.snapshot", "kept", 4);
    assert_int_equal(partition_tidy(&fault.disk, path), 0);
    assert_int_equal(names_list(&fault.disk, path, &names), 0);
    assert_int_equal(names.n, 4);
    assert_true(names_have(&names, "00000000000000000000.log"));
    assert_true(names_have(&names, "partition.metadata"));
    assert_false(names_have(&names, "00000000000000000000.lo"));
    assert_false(names_have(&names, "log-start-offset"));
    names_free(&names);
    assert_false(names_have(&names, "00000000000000000000.log"));
    test_directory_remove((char *)(uintptr_t)path);
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(missing_directory_is_made_and_formatted),
        FILE_TEST(directories_above_are_made_too),
        FILE_TEST(directory_of_kafka_is_taken),
        FILE_TEST(missing_directory_id_is_made_and_kept),
        FILE_TEST(directory_in_use_is_refused_and_untouched),
        FILE_TEST(other_node_is_refused_with_both_numbers),
        FILE_TEST(unreadable_meta_properties_is_refused),
        FILE_TEST(directory_with_other_files_is_no_log_directory),
        FILE_TEST(file_in_the_place_of_the_directory_is_refused),
        FILE_TEST(path_too_long_is_refused),
        FILE_TEST(every_failing_operation_leaves_nothing_half_made),
        FILE_TEST(read_only_disk_is_left_as_it_was),
        FILE_TEST(leaving_writes_checkpoints_and_the_clean_flag_last),
        FILE_TEST(sweep_sorts_out_what_is_no_live_partition),
        FILE_TEST(sweep_that_failed_anywhere_is_completed_by_the_next),
        FILE_TEST(partition_names_are_taken_apart_at_the_last_dash),
        FILE_TEST(tidy_completes_a_compaction),
        FILE_TEST(tidy_partition_is_looked_at_and_left),
    };
    return TESTS_RUN(tests);
}
