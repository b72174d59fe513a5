/* files_test.c - files.c and disk_tools.c: every job, and every operation of every job failing
 * once. */
#include "jobs.h"

#include "disk_tools.h"
#include "fault_disk.h"
#include "samples.h"
#include "sweep.h"
#include "unit.h"
#include "uuid_text.h"

static char root[DISK_PATH_MAX], partition[DISK_PATH_MAX];
static struct fault_disk fault;
static struct post store_post, files_post;
static struct helper *helper;
static const struct now now = {1000, 1700000000};

static int setup(void **state)
{
    struct post *posts[] = {&store_post, &files_post};
    (void)state;
    test_directory(root);
    test_path(partition, root, "my-topic-3");
    fault_disk_init(&fault, disk_posix());
    assert_int_equal(posts_connect(posts, 2, 64), 0);
    return helper_init(&helper, &fault.disk, &files_post, 1);
}

static int teardown(void **state)
{
    struct post *posts[] = {&store_post, &files_post};
    (void)state;
    helper_fini(helper);
    posts_disconnect(posts, 2);
    test_directory_remove(root);
    assert_int_equal(fault.fds_n, 0);
    return 0;
}

static struct job *job_of(enum job_kind kind)
{
    static struct job job;
    job = (struct job){.kind = (uint8_t)kind, .fd = -1, .index_fd = -1, .time_fd = -1};
    list_init(&job.mail.link);
    memcpy(job.directory, partition, sizeof partition);
    assert_true(uuid_from_text(bytes_of_string("MaqaqsjCS92Vm1VD5fJq6Q"), &job.topic_id));
    return &job;
}

/* There and back by mail. */
static int run(struct job *job)
{
    uint8_t from_at = 0;
    mail_send(&store_post, 1, MAIL_FILE, &job->mail);
    assert_int_equal(mail_flush(&store_post), 1);
    assert_int_equal(helper_turn(helper, now, 10), 1);
    struct mail *mail = mail_read(&store_post, &from_at);
    assert_ptr_equal(mail, &job->mail);
    assert_true(mail->is_answer);
    return job->error;
}

static void close_fds(struct job *job)
{
    int fds[] = {job->fd, job->index_fd, job->time_fd};
    for (size_t i = 0; i < array_n(fds); i++)
        if (fds[i] >= 0)
            disk_close(&fault.disk, fds[i]);
}

static int test_open(const char *directory, const char *name)
{
    char path[DISK_PATH_MAX];
    test_path(path, directory, name);
    int fd = disk_open(&fault.disk, path, DISK_WRITE | DISK_CREATE);
    assert_true(fd >= 0);
    return fd;
}

/* ── paths and small files ── */

static void paths_are_kafkas(void **state)
{
    char path[DISK_PATH_MAX];
    (void)state;
    segment_path(path, "/data/t-0", 2600, ".timeindex");
    assert_string_equal(path, "/data/t-0/00000000000000002600.timeindex");
    segment_path(path, "d", INT64_MAX, ".log");
    assert_string_equal(path, "d/09223372036854775807.log");
    log_directory_path(path, "/data", bytes_of_string("a-b"), 12);
    assert_string_equal(path, "/data/a-b-12");
    path_parent(path, "/a/b/c");
    assert_string_equal(path, "/a/b");
    path_parent(path, "/a");
    assert_string_equal(path, "/");
    path_parent(path, "a");
    assert_string_equal(path, ".");
    assert_string_equal(path_name("/x/y-1"), "y-1");
    char long_name[DISK_PATH_MAX + 1];
    memset(long_name, 'x', DISK_PATH_MAX);
    long_name[DISK_PATH_MAX] = '\0';
    assert_int_equal(path_join(path, "/a", long_name), E_TOO_LARGE);
}

static void file_replaced_is_old_or_new_whatever_fails(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        test_file(root, "f", "old content", 11);
        test_file(root, "f.tmp", "left over from a crash, and longer", 34);
        fault_disk_arm(&fault, n, E_IO, false);
        int error = file_replace(&fault.disk, root, "f", bytes_of_string("new"));
        bool is_new = test_file_is(root, "f", "new", 3);
        assert_true(is_new || test_file_is(root, "f", "old content", 11));
        assert_int_equal(fault.fds_n, 0);
        if (!fault.is_fired) {
            assert_int_equal(error, 0);
            assert_true(is_new);
            assert_false(test_exists(root, "f.tmp"));
            assert_true(n > 6);
            return;
        }
        assert_int_equal(error, E_IO);
    }
}

static void file_read_is_bounded_and_tells_errors(void **state)
{
    struct bytes data;
    char path[DISK_PATH_MAX];
    (void)state;
    test_file(root, "f", "hello", 5);
    assert_int_equal(path_join(path, root, "f"), 0);
    assert_int_equal(file_read(&fault.disk, path, 4, &data), E_TOO_LARGE);
    assert_int_equal(file_read(&fault.disk, root, 4, &data), E_INVALID);
    assert_int_equal(file_read(&fault.disk, path, 5, &data), 0);
    assert_true(bytes_equal_string(data, "hello"));
    file_read_free(&data);
    for (uint64_t n = 1;; n++) {
        fault_disk_arm(&fault, n, E_IO, false);
        int error = file_read(&fault.disk, path, 5, &data);
        file_read_free(&data);
        if (!fault.is_fired)
            break;
        assert_int_equal(error, E_IO);
    }
    test_file(root, "f", "", 0);
    fault_disk_arm(&fault, 0, 0, false);
    assert_int_equal(file_read(&fault.disk, path, 5, &data), 0);
    assert_int_equal(data.n, 0);
}

/* ── segments ── */

static void segment_create_makes_what_kafka_makes(void **state)
{
    struct disk_stat s;
    char path[DISK_PATH_MAX];
    (void)state;
    struct job *job = job_of(JOB_SEGMENT_CREATE);
    job->base_offset = 2600;
    job->is_first = true;
    assert_int_equal(run(job), 0);
    assert_true(job->fd >= 0);
    assert_true(test_file_is(partition, "partition.metadata", sample_partition_metadata,
                             sizeof sample_partition_metadata));
    assert_true(test_file_is(partition, "leader-epoch-checkpoint", "0\n0\n", 4));
    assert_true(test_file_is(partition, "00000000000000002600.log", "", 0));
    assert_int_equal(disk_write(&fault.disk, job->fd, "x", 1, 0), 0);
    close_fds(job);
    /* The next segment finds the directory; a name with content is not taken. */
    test_file(partition, "leader-epoch-checkpoint", "0\n1\n0 0\n", 8);
    job = job_of(JOB_SEGMENT_CREATE);
    job->base_offset = 2600;
    assert_int_equal(run(job), E_EXISTS);
    assert_int_equal(job->fd, -1);
    job->base_offset = 3000;
    job->preallocate = true;
    job->bytes = 1 << 20;
    assert_int_equal(run(job), 0);
    close_fds(job);
    assert_true(test_file_is(partition, "leader-epoch-checkpoint", "0\n1\n0 0\n", 8));
    segment_path(path, partition, 3000, ".log");
    assert_int_equal(disk_stat(disk_posix(), path, &s), 0);
    assert_int_equal(s.bytes, 1 << 20);
}

static void segment_create_that_failed_anywhere_can_be_repeated(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        for (int is_dead = 0; is_dead < 2; is_dead++) {
            test_directory_remove(partition);
            struct job *job = job_of(JOB_SEGMENT_CREATE);
            job->is_first = true;
            job->preallocate = true;
            job->bytes = 4096;
            fault_disk_arm(&fault, n, E_DISK_FULL, is_dead);
            int error = run(job);
            if (!fault.is_fired) {
                assert_int_equal(error, 0);
                close_fds(job);
                return;
            }
            assert_int_equal(error, E_DISK_FULL);
            assert_int_equal(fault.fds_n, 0);
            fault_disk_arm(&fault, 0, 0, false);
            job = job_of(JOB_SEGMENT_CREATE);
            job->is_first = true;
            error = run(job);
            /* A disk that died cannot clean up: then the preallocated name is refused, never
             * overwritten. */
            assert_true(error == 0 || (is_dead && error == E_EXISTS));
            if (error == 0)
                assert_true(test_file_is(partition, "partition.metadata", sample_partition_metadata,
                                         sizeof sample_partition_metadata));
            close_fds(job);
        }
    }
}

enum { MANY = 40 };

/* `n` new partitions "many-<i>" in one turn of the helper; returns how many failed. */
static int create_many(struct job *jobs, int n)
{
    uint8_t from_at = 0;
    int failed_n = 0;
    for (int i = 0; i < n; i++) {
        char name[32];
        jobs[i] = *job_of(JOB_SEGMENT_CREATE);
        list_init(&jobs[i].mail.link);
        jobs[i].is_first = true;
        snprintf(name, sizeof name, "many-%d", i);
        test_path(jobs[i].directory, root, name);
        mail_send(&store_post, 1, MAIL_FILE, &jobs[i].mail);
    }
    assert_int_equal(mail_flush(&store_post), n);
    assert_int_equal(helper_turn(helper, now, n + 1), n);
    for (int i = 0; i < n; i++) {
        assert_non_null(mail_read(&store_post, &from_at));
        failed_n += jobs[i].error < 0;
        assert_true(jobs[i].error < 0 ? jobs[i].fd < 0 : jobs[i].fd >= 0);
        close_fds(&jobs[i]);
    }
    return failed_n;
}

static void many_remove(void)
{
    for (int i = 0; i < MANY; i++) {
        char path[DISK_PATH_MAX], name[32];
        snprintf(name, sizeof name, "many-%d", i);
        test_path(path, root, name);
        test_directory_remove(path);
    }
}

static void creations_of_one_turn_cost_one_flush(void **state)
{
    static struct job jobs[MANY];
    (void)state;
    fault.syncs_n = fault.sync_alls_n = 0;
    assert_int_equal(create_many(jobs, MANY), 0);
    assert_int_equal(fault.sync_alls_n, 1);
    assert_int_equal(fault.syncs_n, 0);
    many_remove();
    /* One alone: partition.metadata, epochs, the directory, the parent. */
    assert_int_equal(create_many(jobs, 1), 0);
    assert_int_equal(fault.sync_alls_n, 1);
    assert_int_equal(fault.syncs_n, 4);
    many_remove();
    /* Where one flush cannot stand for all: three each, and the parent once. */
    fault.has_no_sync_all = true;
    fault.syncs_n = 0;
    assert_int_equal(create_many(jobs, MANY), 0);
    assert_int_equal(fault.syncs_n, 3 * MANY + 1);
    fault.has_no_sync_all = false;
}

static void creations_of_one_turn_fail_for_themselves_or_with_the_flush(void **state)
{
    static struct job jobs[MANY];
    (void)state;
    for (uint64_t n = 1;; n++) {
        many_remove();
        fault_disk_arm(&fault, n, E_IO, false);
        int failed_n = create_many(jobs, 4);
        assert_int_equal(fault.fds_n, 0);
        if (!fault.is_fired) {
            assert_int_equal(failed_n, 0);
            return;
        }
        assert_true(failed_n == 1 || failed_n == 4);
        for (int i = 0; i < 4; i++)
            assert_true(jobs[i].error == 0 ||
                        !test_exists(jobs[i].directory, "00000000000000000000.log"));
    }
}

static void seal_cuts_to_content_and_writes_the_snapshot(void **state)
{
    (void)state;
    for (int with_fds = 0; with_fds < 2; with_fds++) {
        test_directory_remove(partition);
        struct job *create = job_of(JOB_SEGMENT_CREATE);
        create->is_first = true;
        assert_int_equal(run(create), 0);
        int fds[] = {create->fd, test_open(partition, "00000000000000000000.index"),
                     test_open(partition, "00000000000000000000.timeindex")};
        struct job *job = job_of(JOB_SEAL);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(disk_write(&fault.disk, fds[i], "content and zeros", 17, 0), 0);
            if (!with_fds)
                disk_close(&fault.disk, fds[i]);
        }
        job->bytes = 7;
        job->index_bytes = 8;
        job->time_index_bytes = 12;
        if (with_fds)
            job->fd = fds[0], job->index_fd = fds[1], job->time_fd = fds[2];
        snprintf(job->name, sizeof job->name, "00000000000000000009.snapshot");
        job->data = SAMPLE(snapshot);
        assert_int_equal(run(job), 0);
        assert_true(test_file_is(partition, "00000000000000000000.log", "content", 7));
        assert_true(test_file_is(partition, "00000000000000000000.index", "content ", 8));
        assert_true(test_file_is(partition, "00000000000000000000.timeindex", "content and ", 12));
        assert_true(test_file_is(partition, "00000000000000000009.snapshot", sample_snapshot,
                                 sizeof sample_snapshot));
        close_fds(job);
    }
}

static void seal_that_failed_anywhere_keeps_content_and_can_be_repeated(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        test_directory_remove(partition);
        fault_disk_arm(&fault, 0, 0, false);
        struct job *job = job_of(JOB_SEGMENT_CREATE);
        job->is_first = true;
        assert_int_equal(run(job), 0);
        assert_int_equal(disk_write(&fault.disk, job->fd, "content\0\0", 9, 0), 0);
        close_fds(job);
        test_file(partition, "00000000000000000000.index", "", 0);
        test_file(partition, "00000000000000000000.timeindex", "", 0);
        job = job_of(JOB_SEAL);
        job->bytes = 7;
        fault_disk_arm(&fault, n, E_IO, false);
        int error = run(job);
        if (!fault.is_fired) {
            assert_int_equal(error, 0);
            return;
        }
        assert_int_equal(error, E_IO);
        assert_true(test_file_is(partition, "00000000000000000000.log", "content\0\0", 9) ||
                    test_file_is(partition, "00000000000000000000.log", "content", 7));
        assert_int_equal(run(job), 0);
    }
}

static void unlink_segment_renames_first_and_unlinks_later(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        test_directory_remove(partition);
        assert_int_equal(disk_make_directory(disk_posix(), partition), 0);
        test_file(partition, "00000000000000000005.log", "x", 1);
        test_file(partition, "00000000000000000005.timeindex", "x", 1);
        test_file(partition, "00000000000000000006.log", "x", 1);
        struct job *job = job_of(JOB_UNLINK_SEGMENT);
        job->base_offset = 5;
        job->how = JOB_UNLINK_RENAME;
        fault_disk_arm(&fault, n, E_IO, false);
        int error = run(job);
        bool is_fired = fault.is_fired;
        if (error < 0)
            assert_int_equal(run(job), 0);
        assert_false(test_exists(partition, "00000000000000000005.log"));
        assert_true(test_exists(partition, "00000000000000000005.log.deleted"));
        assert_true(test_exists(partition, "00000000000000000005.timeindex.deleted"));
        job->how = JOB_UNLINK_FINISH;
        fault_disk_arm(&fault, n, E_IO, false);
        if (run(job) < 0)
            assert_int_equal(run(job), 0);
        assert_false(test_exists(partition, "00000000000000000005.log.deleted"));
        assert_false(test_exists(partition, "00000000000000000005.timeindex.deleted"));
        assert_true(test_exists(partition, "00000000000000000006.log"));
        if (!is_fired && !fault.is_fired)
            return;
    }
}

/* ── directories ── */

static void drop_renames_and_purge_removes(void **state)
{
    (void)state;
    struct job *job = job_of(JOB_SEGMENT_CREATE);
    job->is_first = true;
    assert_int_equal(run(job), 0);
    close_fds(job);
    job = job_of(JOB_DROP);
    assert_int_equal(run(job), 0);
    assert_int_equal(strlen(job->name), strlen("my-topic-3.") + 32 + strlen("-delete"));
    assert_memory_equal(job->name, "my-topic-3.", 11);
    assert_false(test_exists(root, "my-topic-3"));
    assert_true(test_exists(root, job->name));
    char name[DISK_NAME_MAX + 1];
    memcpy(name, job->name, sizeof name);
    job = job_of(JOB_PURGE);
    assert_int_equal(path_join(job->directory, root, name), 0);
    assert_int_equal(run(job), 0);
    assert_false(test_exists(root, name));
    assert_int_equal(run(job), 0); /* once more is no error */
}

static void drop_of_a_directory_never_made_does_nothing(void **state)
{
    (void)state;
    struct job *job = job_of(JOB_DROP);
    assert_int_equal(run(job), 0);
    assert_string_equal(job->name, "");
}

/* The drop of a deleted topic failed: one of its name does not take over what is left of it. */
static void directory_of_another_topic_leaves_its_name(void **state)
{
    char left[DISK_NAME_MAX + 1];
    struct uuid id;
    (void)state;
    struct job *job = job_of(JOB_SEGMENT_CREATE);
    job->is_first = true;
    assert_int_equal(run(job), 0);
    close_fds(job);
    for (uint64_t n = 1;; n++) { /* an error leaves the old one or a new one */
        job = job_of(JOB_SEGMENT_CREATE);
        job->is_first = true;
        job->topic_id.b[0] ^= 0xff;
        fault_disk_arm(&fault, n, E_IO, false);
        int error = run(job);
        close_fds(job);
        if (!fault.is_fired) {
            assert_int_equal(error, 0);
            break;
        }
    }
    fault_disk_arm(&fault, 0, 0, false);
    assert_int_equal(partition_metadata_read(disk_posix(), partition, &id), 0);
    assert_true(uuid_equal(&id, &job->topic_id));
    job = job_of(JOB_DROP); /* of the first one, at last: it is not there any more */
    char hex[UUID_HEX_MAX];
    uuid_hex(&job->topic_id, hex);
    dropped_name(left, "my-topic-3", hex);
    assert_true(test_exists(root, left));
    assert_int_equal(run(job), 0);
    assert_string_equal(job->name, "");
    assert_true(test_exists(root, "my-topic-3"));
    assert_int_equal(path_join(job->directory, root, left), 0);
    assert_int_equal(directory_remove(disk_posix(), job->directory), 0);
    assert_int_equal(directory_remove(disk_posix(), partition), 0);
}

static void drop_of_the_longest_topic_fits_a_name(void **state)
{
    char longest[300];
    (void)state;
    memset(longest, 't', 249);
    memcpy(longest + 249, "-7", 3);
    struct job *job = job_of(JOB_DROP);
    assert_int_equal(path_join(job->directory, root, longest), 0);
    assert_int_equal(disk_make_directory(disk_posix(), job->directory), 0);
    assert_int_equal(run(job), 0);
    assert_int_equal(strlen(job->name), DISK_NAME_MAX);
    assert_non_null(strstr(job->name, "t-7."));
    assert_string_equal(job->name + DISK_NAME_MAX - 7, "-delete");
}

static void drop_and_purge_that_failed_anywhere_can_be_repeated(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        bool is_fired = false;
        fault_disk_arm(&fault, 0, 0, false);
        struct job *job = job_of(JOB_SEGMENT_CREATE);
        job->is_first = true;
        assert_int_equal(run(job), 0);
        close_fds(job);
        job = job_of(JOB_DROP);
        fault_disk_arm(&fault, n, E_IO, false);
        int error = run(job);
        is_fired |= fault.is_fired;
        bool is_old = test_exists(root, "my-topic-3"),
             is_new = job->name[0] != '\0' && test_exists(root, job->name);
        assert_true(is_old != is_new);
        if (error < 0 && is_old)
            assert_int_equal(run(job), 0);
        struct job *purge = job_of(JOB_PURGE);
        struct names names;
        assert_int_equal(names_list(disk_posix(), root, &names), 0);
        assert_int_equal(names.n, 1);
        assert_int_equal(path_join(purge->directory, root, names.v[0]), 0);
        names_free(&names);
        fault_disk_arm(&fault, n, E_IO, false);
        if (run(purge) < 0) {
            /* While anything is left, the directory still says whose it was. */
            assert_true(!test_exists(purge->directory, "00000000000000000000.log") ||
                        test_exists(purge->directory, "partition.metadata"));
            assert_int_equal(run(purge), 0);
        }
        is_fired |= fault.is_fired;
        assert_false(test_exists(purge->directory, ""));
        if (!is_fired)
            return;
    }
}

/* ── the rest ── */

static void open_write_and_close_jobs_do_so(void **state)
{
    (void)state;
    struct job *job = job_of(JOB_WRITE_FILE);
    memcpy(job->directory, root, sizeof root);
    snprintf(job->name, sizeof job->name, "leader-epoch-checkpoint");
    job->data = SAMPLE(epoch_checkpoint);
    assert_int_equal(run(job), 0);
    assert_true(
        test_file_is(root, job->name, sample_epoch_checkpoint, sizeof sample_epoch_checkpoint));
    job->kind = JOB_OPEN;
    assert_int_equal(run(job), 0);
    assert_int_equal(job->bytes, sizeof sample_epoch_checkpoint);
    job->kind = JOB_CLOSE;
    assert_int_equal(run(job), 0);
    assert_int_equal(fault.fds_n, 0);
    job->kind = JOB_OPEN;
    snprintf(job->name, sizeof job->name, "no");
    assert_int_equal(run(job), E_NOT_FOUND);
    assert_int_equal(job->fd, -1);
}

static void turn_does_no_more_than_its_budget(void **state)
{
    static struct job jobs[3];
    uint8_t from_at = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        jobs[i] = *job_of(JOB_CLOSE);
        list_init(&jobs[i].mail.link);
        mail_send(&store_post, 1, MAIL_FILE, &jobs[i].mail);
    }
    mail_flush(&store_post);
    assert_int_equal(helper_turn(helper, now, 2), 2);
    assert_int_equal(helper_turn(helper, now, 2), 1);
    assert_int_equal(helper_turn(helper, now, 2), 0);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(mail_read(&store_post, &from_at), &jobs[i].mail);
}

static void stop_is_answered(void **state)
{
    struct mail stop;
    uint8_t from_at = 0;
    (void)state;
    list_init(&stop.link);
    mail_send(&store_post, 1, MAIL_STOP, &stop);
    mail_flush(&store_post);
    assert_int_equal(helper_turn(helper, now, 5), 1);
    assert_ptr_equal(mail_read(&store_post, &from_at), &stop);
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(paths_are_kafkas),
        FILE_TEST(file_replaced_is_old_or_new_whatever_fails),
        FILE_TEST(file_read_is_bounded_and_tells_errors),
        FILE_TEST(segment_create_makes_what_kafka_makes),
        FILE_TEST(creations_of_one_turn_cost_one_flush),
        FILE_TEST(creations_of_one_turn_fail_for_themselves_or_with_the_flush),
        FILE_TEST(segment_create_that_failed_anywhere_can_be_repeated),
        FILE_TEST(seal_cuts_to_content_and_writes_the_snapshot),
        FILE_TEST(seal_that_failed_anywhere_keeps_content_and_can_be_repeated),
        FILE_TEST(unlink_segment_renames_first_and_unlinks_later),
        FILE_TEST(drop_renames_and_purge_removes),
        FILE_TEST(drop_of_a_directory_never_made_does_nothing),
        FILE_TEST(drop_of_the_longest_topic_fits_a_name),
        FILE_TEST(directory_of_another_topic_leaves_its_name),
        FILE_TEST(drop_and_purge_that_failed_anywhere_can_be_repeated),
        FILE_TEST(open_write_and_close_jobs_do_so),
        FILE_TEST(turn_does_no_more_than_its_budget),
        FILE_TEST(stop_is_answered),
    };
    return TESTS_RUN(tests);
}
