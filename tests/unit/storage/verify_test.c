/* verify_test.c - verify*.c: every kind of damage, planted in a directory that a store left: found
 * at its place, told what a repair does, repaired, and not found again. */
#include "verify.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "crc.h"
#include "rig.h"

static struct rig rig;
static struct verify_summary sum;
static char *out;
static size_t out_n;
static bool is_clean;

/* ── the directory ── */

static void append_batch(const uint8_t *batch, uint32_t bytes)
{
    struct append a;
    assert_int_equal(rig_append_bytes(&rig, rig.log, batch, bytes, bytes, &a), 0);
    rig_settle(&rig);
}

static void append_transactional(int64_t producer_id, int32_t sequence)
{
    uint8_t batch[512];
    struct batch_builder b;
    batch_begin(&b, batch, sizeof batch);
    assert_int_equal(batch_add(&b, rig.now.wall_ms, bytes_of("k", 1), bytes_of("v", 1)), 0);
    uint32_t bytes = batch_end(&b, BATCH_TRANSACTIONAL, -1);
    store_u64(batch + BATCH_PRODUCER_ID_AT, (uint64_t)producer_id);
    store_u16(batch + BATCH_PRODUCER_EPOCH_AT, 0);
    store_u32(batch + BATCH_BASE_SEQUENCE_AT, (uint32_t)sequence);
    store_u32(batch + BATCH_CRC_AT, batch_crc(batch, bytes));
    append_batch(batch, bytes);
}

static void append_abort(int64_t producer_id)
{
    uint8_t batch[512], value[6] = {0};
    const uint8_t key[4] = {0};
    struct batch_builder b;
    struct append a;
    batch_begin(&b, batch, sizeof batch);
    assert_int_equal(batch_add(&b, rig.now.wall_ms, bytes_of(key, 4), bytes_of(value, 6)), 0);
    uint32_t bytes = batch_end(&b, BATCH_CONTROL | BATCH_TRANSACTIONAL, -1);
    store_u64(batch + BATCH_PRODUCER_ID_AT, (uint64_t)producer_id);
    store_u16(batch + BATCH_PRODUCER_EPOCH_AT, 0);
    store_u32(batch + BATCH_CRC_AT, batch_crc(batch, bytes));
    struct slice v = {batch, bytes, NULL};
    struct slices from = {&v, 1, bytes};
    a = (struct append){.from = &from, .bytes = bytes, .request_version = -1};
    assert_int_equal(plog_append(rig.log, &a, rig.now), 0);
    rig_settle(&rig);
}

static void file_write(const char *name, const void *data, size_t n)
{
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", rig.directory, name);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    assert_int_equal(fwrite(data, 1, n, to), n);
    fclose(to);
}

static int64_t file_bytes(const char *name)
{
    char path[DISK_PATH_MAX];
    struct stat s;
    snprintf(path, sizeof path, "%s/%s", rig.directory, name);
    return stat(path, &s) == 0 ? s.st_size : -1;
}

/* Changes one byte. */
static void file_flip(const char *name, int64_t at)
{
    char path[DISK_PATH_MAX];
    uint8_t byte;
    snprintf(path, sizeof path, "%s/%s", rig.directory, name);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x5a;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void file_truncate(const char *name, int64_t bytes)
{
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", rig.directory, name);
    assert_int_equal(truncate(path, bytes), 0);
}

static const char log_0[] = "topic-0/00000000000000000000.log";
static const char index_0[] = "topic-0/00000000000000000000.index";
static const char time_index_0[] = "topic-0/00000000000000000000.timeindex";
static char log_last[64], index_last[64], txn_index[64];

/* Several segments, an aborted transaction in the last, a clean stop or none. */
static int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_log_new(&rig, 0);
    rig.log_config.segment_bytes = 30000;
    plog_configure(rig.log, &rig.log_config);
    for (int i = 0; i < 40; i++) {
        rig_append(&rig, 2, 1000, (uint8_t)i);
        rig_settle(&rig);
        rig.now.wall_ms += 10;
    }
    append_transactional(11, 0); /* 80 */
    append_transactional(12, 0); /* 81 */
    append_abort(11);            /* 82 */
    append_transactional(12, 1); /* 83: stays open */
    int64_t base = plog_active(rig.log)->base_offset;
    snprintf(log_last, sizeof log_last, "topic-0/%020lld.log", (long long)base);
    snprintf(index_last, sizeof index_last, "topic-0/%020lld.index", (long long)base);
    snprintf(txn_index, sizeof txn_index, "topic-0/%020lld.txnindex", (long long)base);
    assert_true(rig.log->segments_n > 2);
    struct checkpoints *c = checkpoints_new();
    assert_int_equal(store_close(rig.store, c), 0);
    assert_int_equal(directory_leave(&rig.disk.disk, rig.directory, c, -1), 0);
    checkpoints_free(c);
    rig_stop(&rig);
    static const char meta[] = "version=1\ncluster.id=abc\nnode.id=1\n";
    file_write("meta.properties", meta, sizeof meta - 1);
    file_write(".lock", "", 0);
    is_clean = true;
    sum = (struct verify_summary){0};
    out = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(out);
    rig_fini(&rig);
    return 0;
}

static void crashed(void)
{
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/.kafka_cleanshutdown", rig.directory);
    assert_int_equal(unlink(path), 0);
    static const char points[] = "0\n1\ntopic 0 0\n";
    file_write("recovery-point-offset-checkpoint", points, sizeof points - 1);
    is_clean = false;
}

static int verify(struct verify_options options)
{
    char why[512];
    free(out);
    FILE *to = open_memstream(&out, &out_n);
    sum = (struct verify_summary){0};
    int error =
        verify_directory(&rig.disk.disk, rig.directory, &options, to, &sum, why, sizeof why);
    fclose(to);
    return error;
}

static const struct verify_options look = {0}, repair = {.is_repair = true},
                                   dry = {.is_repair = true, .is_dry_run = true};

static void has(const char *part)
{
    if (strstr(out, part) == NULL)
        fail_msg("\"%s\" is not in:\n%s", part, out);
}

static void expect_clean(void)
{
    assert_int_equal(verify(look), 0);
    if (verify_left_n(&sum) > 0)
        fail_msg("not clean:\n%s", out);
}

/* Found with these words; a dry run changes nothing; repaired; not found again. */
static void expect_repaired(const char *what)
{
    assert_int_equal(verify(look), 0);
    has(what);
    assert_true(verify_left_n(&sum) > 0);
    assert_int_equal(verify(dry), 0);
    has("done \"would be\"");
    uint64_t found_n = verify_left_n(&sum);
    assert_int_equal(verify(repair), 0);
    has(what);
    has("done \"yes\"");
    assert_int_equal(sum.leftovers_n + sum.damages_n, found_n);
    if (verify_left_n(&sum) > 0)
        fail_msg("not repaired:\n%s", out);
    expect_clean();
}

/* Repaired only when the loss is allowed. */
static void expect_loss(const char *what, const char *losing)
{
    static const char *const allow[] = {"other-1", "topic-0"};
    struct verify_options losing_too = {.is_repair = true, .allow_loss = allow, .allow_loss_n = 2};
    char text[64];
    snprintf(text, sizeof text, "--allow-loss %s allows it", losing);
    assert_int_equal(verify(repair), 0);
    has(what);
    has(text);
    assert_true(sum.refused_n == 1 && verify_left_n(&sum) > 0);
    assert_int_equal(verify(losing_too), 0);
    has("done \"yes\"");
    if (verify_left_n(&sum) > 0)
        fail_msg("not repaired:\n%s", out);
    expect_clean();
}

/* The next start takes the directory as it is. */
static void expect_start(int64_t end)
{
    struct recovery_report report = {0};
    struct log_id id = rig_id(0);
    rig_start(&rig);
    assert_int_equal(
        store_log_recover(rig.store, &id, &rig.log_config, is_clean, &report, &rig.log), 0);
    assert_int_equal(rig_offsets(rig.log).end, end);
    rig_stop(&rig);
}

/* ── tests ── */

static void clean_stop_verifies_clean(void **state)
{
    (void)state;
    assert_int_equal(verify(look), 0);
    assert_string_equal(out, "");
    assert_int_equal(sum.partitions_n, 1);
    assert_int_equal(sum.batches_n, 44);
    assert_int_equal(sum.records_n, 84);
    assert_int_equal(sum.notes_n, 0);
    expect_start(84);
}

static void directory_in_use_is_refused(void **state)
{
    char path[DISK_PATH_MAX];
    (void)state;
    snprintf(path, sizeof path, "%s/.lock", rig.directory);
    int fd = open(path, O_RDWR);
    assert_int_equal(disk_lock(disk_posix(), fd), 0);
    pid_t pid = fork(); /* the lock is the process's */
    if (pid == 0)
        _exit(verify(look) == E_IN_USE ? 0 : 1);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(fd);
    char *saved = strdup(rig.directory);
    strcpy(rig.directory, "/tmp");
    assert_int_equal(verify(look), E_INVALID); /* no meta.properties */
    strcpy(rig.directory, saved);
    free(saved);
}

static void damaged_indexes_are_made_anew(void **state)
{
    (void)state;
    int64_t bytes = file_bytes(index_0);
    assert_true(bytes >= 16);
    file_flip(index_0, 7);
    expect_repaired("index\" pos ");
    assert_int_equal(file_bytes(index_0), bytes);
    file_truncate(index_0, bytes - 3);
    expect_repaired("bytes are less than an entry");
    file_flip(time_index_0, 6);
    expect_repaired("timeindex\" pos ");
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", rig.directory, index_last);
    unlink(path);
    expect_repaired("what \"it is missing\"");
    expect_start(84);
}

static void missing_aborted_transaction_is_found_and_written(void **state)
{
    char path[DISK_PATH_MAX];
    uint8_t entry[34];
    (void)state;
    assert_int_equal(file_bytes(txn_index), 34);
    snprintf(path, sizeof path, "%s/%s", rig.directory, txn_index);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, entry, sizeof entry), sizeof entry);
    close(fd);
    unlink(path);
    expect_repaired("the aborted transaction of producer 11, offsets 80 to 82, is not in it");
    uint8_t now[34];
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, now, sizeof now), sizeof now);
    close(fd);
    assert_memory_equal(now, entry, sizeof entry); /* as the store wrote it */
    entry[17] = 81;                                /* begins too late: 80 would be shown */
    file_write(txn_index, entry, sizeof entry);
    expect_repaired("is not in it");
    file_write(txn_index, now, 20);
    expect_repaired("bytes are less than an entry");
    uint8_t two[68];
    memcpy(two, now, 34);
    memcpy(two + 34, now, 34);
    two[34 + 25] = 83;
    file_write(txn_index, two, sizeof two);
    expect_repaired("no abort marker of producer 11 stands at offset 83");
}

static void damaged_snapshot_is_removed(void **state)
{
    static const char snapshot[] = "topic-0/00000000000000000084.snapshot";
    (void)state;
    assert_true(file_bytes(snapshot) > 0);
    file_flip(snapshot, 12);
    expect_repaired("the CRC-32C is ");
    assert_int_equal(file_bytes(snapshot), -1);
    expect_start(84);
}

static void snapshot_behind_the_end_is_removed(void **state)
{
    uint8_t empty[10] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
    (void)state;
    store_u32(empty + 2, crc_of(empty + 6, 4));
    file_write("topic-0/00000000000000000999.snapshot", empty, sizeof empty);
    expect_repaired("it is of offset 999, the log ends at 84");
}

static void epochs_are_made_anew_from_the_batches(void **state)
{
    static const char name[] = "topic-0/leader-epoch-checkpoint", wrong[] = "0\n1\n7 0\n",
                      late[] = "0\n2\n3 0\n4 900\n";
    char path[DISK_PATH_MAX];
    (void)state;
    file_write(name, "0\n1\n", 4);
    expect_repaired("not a checkpoint file");
    file_write(name, wrong, sizeof wrong - 1);
    expect_repaired("the batch at offset 0 has epoch 3, the file says 7");
    file_write(name, late, sizeof late - 1);
    expect_repaired("epoch 4 begins at offset 900, the log ends at 84");
    snprintf(path, sizeof path, "%s/%s", rig.directory, name);
    unlink(path);
    expect_repaired("it is missing");
    expect_start(84);
}

static void checkpoint_beyond_the_end_is_set_to_it(void **state)
{
    static const char *const names[] = {
        "recovery-point-offset-checkpoint", "log-start-offset-checkpoint",
        "replication-offset-checkpoint", "cleaner-offset-checkpoint"};
    static const char beyond[] = "0\n1\ntopic 0 5000\n";
    (void)state;
    for (size_t i = 0; i < array_n(names); i++) {
        file_write(names[i], beyond, sizeof beyond - 1);
        expect_repaired("it says 5000 for topic-0, whose log ends at 84");
    }
}

static void leftovers_are_removed_as_a_start_does(void **state)
{
    static const char *const names[] = {
        "topic-0/00000000000000000000.log.deleted",    "topic-0/00000000000000000000.index.cleaned",
        "topic-0/00000000000000000000.timeindex.swap", "topic-0/leader-epoch-checkpoint.tmp",
        "topic-0/00000000000000000777.index",          "recovery-point-offset-checkpoint.tmp"};
    static const char *const words[] = {"to be deleted",         "did not end",
                                        "taking its place",      "being replaced",
                                        "its .log is not there", "being replaced"};
    char path[DISK_PATH_MAX];
    (void)state;
    for (size_t i = 0; i < array_n(names); i++) {
        file_write(names[i], "x", 1);
        expect_repaired(words[i]);
        assert_int_equal(file_bytes(names[i]), -1);
    }
    snprintf(path, sizeof path, "%s/gone-3.0123456789abcdef0123456789abcdef-delete", rig.directory);
    assert_int_equal(mkdir(path, 0755), 0);
    file_write("gone-3.0123456789abcdef0123456789abcdef-delete/x.log", "x", 1);
    expect_repaired("a partition that was deleted");
}

static void files_of_others_are_noted_and_stay(void **state)
{
    (void)state;
    file_write("topic-0/README", "x", 1);
    file_write("topic-0/compacted-offset", "1 0 84\n", 7); /* our own: no word of it */
    file_write("notes.txt", "x", 1);
    assert_int_equal(verify(repair), 0);
    has("not a file of a partition");
    has("not a file of a log directory");
    assert_int_equal(sum.notes_n, 2);
    assert_int_equal(verify_left_n(&sum), 0);
    assert_int_equal(file_bytes("notes.txt"), 1);
    file_write("meta.properties", "version=1\nx=\\uzz\n", 17);
    assert_int_equal(verify(look), 0);
    has("does not follow its format");
}

static void zero_tail_is_cut_without_loss(void **state)
{
    (void)state;
    int64_t bytes = file_bytes(log_last);
    file_truncate(log_last, bytes + 5000);
    expect_repaired("5000 zero bytes up to the end");
    assert_int_equal(file_bytes(log_last), bytes);
    expect_start(84);
}

static void torn_batch_of_a_crash_is_cut_as_recovery_does(void **state)
{
    (void)state;
    crashed();
    file_truncate(log_last, file_bytes(log_last) - 5);
    expect_repaired("(a torn write?)");
    expect_start(83);
}

/* The same after a clean stop: the record was there, so it is lost. */
static void torn_batch_of_a_clean_stop_is_a_loss(void **state)
{
    (void)state;
    file_truncate(log_last, file_bytes(log_last) - 5);
    expect_loss("(a torn write?)", "topic-0");
    expect_start(83);
}

static void damage_in_the_middle_loses_what_follows(void **state)
{
    (void)state;
    file_flip(log_0, 3000); /* in the second batch */
    assert_int_equal(verify(look), 0);
    has("the log is cut here; behind it are 42 good batches with 80 records");
    expect_loss("CRC-32C", "topic-0");
    assert_int_equal(file_bytes(log_last), -1);
    expect_start(2);
}

static void segment_that_overlaps_the_one_before_is_a_loss(void **state)
{
    char command[512];
    (void)state;
    snprintf(command, sizeof command, "cp %s/%s %s/topic-0/00000000000000000009.log", rig.directory,
             log_0, rig.directory);
    assert_int_equal(system(command), 0);
    expect_loss("it begins below ", "topic-0");
}

static void files_after_a_crash_that_are_made_anew_anyway_are_notes(void **state)
{
    (void)state;
    crashed();
    file_flip(index_last, 6);
    assert_int_equal(verify(look), 0);
    assert_int_equal(sum.damages_n, 0);
    assert_true(sum.notes_n > 0);
    expect_start(84);
}

/* Whatever fails in a repair, the next one ends it. */
static void every_failing_operation_of_a_repair_is_told(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        file_flip(index_0, 7);
        file_truncate(log_last, file_bytes(log_last) + 100);
        rig.disk.fail_at = rig.disk.n + n;
        rig.disk.fail_error = E_IO;
        int error = verify(repair);
        bool is_fired = rig.disk.n >= rig.disk.fail_at;
        rig.disk.fail_at = 0;
        if (is_fired && error == 0)
            assert_int_equal(sum.failed_n, 1);
        assert_int_equal(verify(repair), 0);
        assert_int_equal(verify_left_n(&sum), 0);
        expect_clean();
        if (!is_fired)
            break;
    }
}

/* What it holds belongs into the logs first. */
static void directory_with_a_journal_is_not_repaired(void **state)
{
    char path[DISK_PATH_MAX];
    (void)state;
    snprintf(path, sizeof path, "%s/millrace.journal", rig.directory);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(verify(look), 0);
    has("millraced --recover brings them there");
    assert_int_equal(sum.notes_n, 1);
    assert_int_equal(verify(repair), E_INVALID);
}

static void json_has_one_object_a_line(void **state)
{
    (void)state;
    file_flip(index_0, 7);
    assert_int_equal(verify((struct verify_options){.is_json = true}), 0);
    has("{\"row\":\"damage\",\"path\":\"");
    has(",\"done\":\"no\"}\n");
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(clean_stop_verifies_clean),
        FILE_TEST(directory_in_use_is_refused),
        FILE_TEST(damaged_indexes_are_made_anew),
        FILE_TEST(missing_aborted_transaction_is_found_and_written),
        FILE_TEST(damaged_snapshot_is_removed),
        FILE_TEST(snapshot_behind_the_end_is_removed),
        FILE_TEST(epochs_are_made_anew_from_the_batches),
        FILE_TEST(checkpoint_beyond_the_end_is_set_to_it),
        FILE_TEST(leftovers_are_removed_as_a_start_does),
        FILE_TEST(files_of_others_are_noted_and_stay),
        FILE_TEST(zero_tail_is_cut_without_loss),
        FILE_TEST(torn_batch_of_a_crash_is_cut_as_recovery_does),
        FILE_TEST(torn_batch_of_a_clean_stop_is_a_loss),
        FILE_TEST(damage_in_the_middle_loses_what_follows),
        FILE_TEST(segment_that_overlaps_the_one_before_is_a_loss),
        FILE_TEST(files_after_a_crash_that_are_made_anew_anyway_are_notes),
        FILE_TEST(every_failing_operation_of_a_repair_is_told),
        FILE_TEST(directory_with_a_journal_is_not_repaired),
        FILE_TEST(json_has_one_object_a_line),
    };
    return TESTS_RUN(tests);
}
