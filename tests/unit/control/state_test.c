/* state_test.c - records and the state: order, transactions, contradictions, what is newer than
 * this program. */
#include "unit.h"

#include <stdlib.h>

#include "check.h"
#include "messages.h"
#include "metadata_log.h"
#include "mem_disk.h"
#include "records.h"
#include "state.h"

static struct state s;
static struct records records;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(records_init(&records), 0);
    return state_init(&s, 1);
}

static int teardown(void **state)
{
    (void)state;
    state_fini(&s);
    records_fini(&records);
    return 0;
}

/* Applies one record of a generated struct, through its bytes. */
static int apply(const struct proto_message *message, int16_t version, const void *value)
{
    records_begin(&records, 1000);
    records_add(&records, message, version, value);
    assert_true(records_end(&records, false, 1, s.end_offset) > 0);
    return state_apply_batch(&s, records.buffer);
}

static int add_topic(const char *name, uint8_t id)
{
    struct topic_record topic = {bytes_of_string(name), {{id}}};
    return apply(&proto_topic_record, 0, &topic);
}

static int add_partition(uint8_t id, int32_t number)
{
    int32_t one = 1;
    struct partition_record p = {.partition_id = number,
                                 .topic_id = {{id}},
                                 .replicas = &one,
                                 .replicas_n = 1,
                                 .isr = &one,
                                 .isr_n = 1,
                                 .leader = 1,
                                 .leader_epoch = 5,
                                 .partition_epoch = 0,
                                 .eligible_leader_replicas_n = -1,
                                 .last_known_elr_n = -1};
    return apply(&proto_partition_record, 2, &p);
}

static int change_partition(uint8_t id, int32_t number, int32_t leader)
{
    struct partition_change_record p = {.partition_id = number,
                                        .topic_id = {{id}},
                                        .leader = leader,
                                        .isr_n = -1,
                                        .replicas_n = -1,
                                        .removing_replicas_n = -1,
                                        .adding_replicas_n = -1,
                                        .leader_recovery_state = -1,
                                        .directories_n = -1,
                                        .eligible_leader_replicas_n = -1,
                                        .last_known_elr_n = -1};
    return apply(&proto_partition_change_record, 2, &p);
}

static int set_config(int8_t type, const char *resource, const char *key, const char *value)
{
    struct config_record c = {type, bytes_of_string(resource), bytes_of_string(key),
                              bytes_of_string(value)};
    return apply(&proto_config_record, 0, &c);
}

static int remove_topic(uint8_t id)
{
    struct remove_topic_record r = {{{id}}};
    return apply(&proto_remove_topic_record, 0, &r);
}

static void topic_is_found_until_it_is_removed(void **state)
{
    (void)state;
    struct uuid id = {{7}};
    assert_int_equal(add_topic("t", 7), 0);
    assert_ptr_equal(state_topic_by_name(&s, bytes_of_string("t")), state_topic_by_id(&s, &id));
    assert_int_equal(remove_topic(7), 0);
    assert_null(state_topic_by_name(&s, bytes_of_string("t")));
    assert_null(state_topic_by_id(&s, &id));
    assert_int_equal(add_topic("t", 8), 0);
    assert_int_equal(state_settle(&s), 0);
    assert_int_equal(s.live_n, 1);
}

static void topics_are_sorted_after_settling(void **state)
{
    (void)state;
    static const char *const names[] = {"m", "b", "z", "a", "q"};
    for (uint8_t round = 0; round < 2; round++)
        for (uint8_t i = 0; i < 5; i++) {
            char name[8];
            snprintf(name, sizeof name, "%s%d", names[i], round);
            assert_int_equal(add_topic(name, (uint8_t)(1 + round * 5 + i)), 0);
            if (round == 1 && i == 2)
                assert_int_equal(remove_topic(1), 0);
            if (i == 3)
                assert_int_equal(state_settle(&s), 0);
        }
    assert_int_equal(state_settle(&s), 0);
    assert_int_equal(s.live_n, 9);
    for (uint32_t i = 1; i < s.live_n; i++)
        assert_true(strcmp(s.topics[i - 1]->name, s.topics[i]->name) < 0);
}

static void a_thousand_topics_are_all_found(void **state)
{
    (void)state;
    char name[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "topic-%d", i);
        struct topic_record topic = {bytes_of_string(name), {{1, (uint8_t)(i >> 8), (uint8_t)i}}};
        assert_int_equal(apply(&proto_topic_record, 0, &topic), 0);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "topic-%d", i);
        assert_non_null(state_topic_by_name(&s, bytes_of_string(name)));
    }
    assert_null(state_topic_by_name(&s, bytes_of_string("topic-1000")));
}

static void dot_and_underscore_collide(void **state)
{
    (void)state;
    assert_int_equal(add_topic("a.b_c", 1), 0);
    assert_non_null(state_topic_collision(&s, bytes_of_string("a_b.c")));
    assert_null(state_topic_collision(&s, bytes_of_string("a.b_c")));
    assert_null(state_topic_collision(&s, bytes_of_string("a-b_c")));
    assert_null(state_topic_by_name(&s, bytes_of_string("a_b_c")));
}

static void naming_a_leader_raises_the_epoch(void **state)
{
    (void)state;
    assert_int_equal(add_topic("t", 1), 0);
    assert_int_equal(add_partition(1, 0), 0);
    struct partition *p = &state_topic_by_name(&s, bytes_of_string("t"))->partitions[0];
    assert_int_equal(change_partition(1, 0, 1), 0);
    assert_int_equal(p->leader_epoch, 6);
    assert_int_equal(change_partition(1, 0, -2), 0);
    assert_int_equal(p->leader_epoch, 6);
    assert_int_equal(p->partition_epoch, 2);
    assert_int_equal(change_partition(1, 0, -1), 0);
    assert_int_equal(p->leader, -1);
    assert_int_equal(p->leader_epoch, 7);
    assert_int_equal(p->replicas_n, 1);
}

static void settings_are_set_replaced_and_removed(void **state)
{
    (void)state;
    assert_int_equal(set_config(RESOURCE_GROUP, "g", "b", "1"), 0);
    assert_int_equal(set_config(RESOURCE_GROUP, "g", "a", "2"), 0);
    assert_int_equal(set_config(RESOURCE_GROUP, "g", "b", "3"), 0);
    const struct settings *settings = state_settings(&s, RESOURCE_GROUP, bytes_of_string("g"));
    assert_int_equal(settings->n, 2);
    assert_string_equal(settings_get(settings, "b"), "3");
    assert_int_equal(set_config(RESOURCE_GROUP, "g", "b", NULL), 0);
    assert_int_equal(set_config(RESOURCE_GROUP, "g", "never", NULL), 0);
    assert_null(settings_get(settings, "b"));
    assert_null(state_settings(&s, RESOURCE_BROKER, bytes_of_string("g")));
}

static void contradictions_are_corrupt(void **state)
{
    (void)state;
    struct producer_ids_record back = {1, 1, 5}, further = {1, 1, 1000};
    struct broker_registration_change_record broker = {.broker_id = 9, .cordoned_log_dirs_n = -1};
    assert_int_equal(add_topic("t", 1), 0);
    assert_int_equal(add_partition(1, 0), 0);
    assert_int_equal(add_topic("t", 2), E_CORRUPT);
    assert_int_equal(add_topic("u", 1), E_CORRUPT);
    assert_int_equal(add_topic("no good", 3), E_CORRUPT);
    assert_int_equal(add_topic("zero", 0), E_CORRUPT);
    assert_int_equal(add_partition(9, 0), E_CORRUPT);
    assert_int_equal(add_partition(1, -1), E_CORRUPT);
    assert_int_equal(add_partition(1, 1 << 30), E_CORRUPT);
    assert_int_equal(change_partition(1, 1, 1), E_CORRUPT);
    assert_int_equal(change_partition(9, 0, 1), E_CORRUPT);
    assert_int_equal(remove_topic(9), E_CORRUPT);
    assert_int_equal(set_config(RESOURCE_TOPIC, "nosuch", "a", "1"), E_CORRUPT);
    assert_int_equal(apply(&proto_producer_ids_record, 0, &further), 0);
    assert_int_equal(apply(&proto_producer_ids_record, 0, &back), E_CORRUPT);
    assert_int_equal(apply(&proto_broker_registration_change_record, 0, &broker), E_CORRUPT);
}

static void what_is_newer_is_unsupported(void **state)
{
    (void)state;
    static const uint8_t unknown[] = {1, 99, 0}, frame[] = {2, 2, 0}, cut[] = {1, 2},
                         empty_body[] = {1, 2, 0};
    struct feature_level_record newer = {bytes_of_string("metadata.version"), 31};
    struct feature_level_record ours = {bytes_of_string("metadata.version"), 30};
    assert_int_equal(apply(&proto_feature_level_record, 0, &newer), E_UNSUPPORTED);
    assert_int_equal(apply(&proto_feature_level_record, 0, &ours), 0);
    assert_int_equal(state_feature(&s, "metadata.version"), 30);
    assert_int_equal(state_apply(&s, bytes_of(unknown, sizeof unknown)), E_UNSUPPORTED);
    assert_int_equal(state_apply(&s, bytes_of(frame, sizeof frame)), E_UNSUPPORTED);
    assert_int_equal(state_apply(&s, bytes_of(cut, sizeof cut)), E_MALFORMED);
    assert_int_equal(state_apply(&s, bytes_of(empty_body, sizeof empty_body)), E_MALFORMED);
    assert_int_equal(state_apply(&s, bytes_of("", 0)), E_MALFORMED);
}

static void records_that_mean_nothing_here_are_counted(void **state)
{
    (void)state;
    struct no_op_record nothing = {0};
    struct clear_elr_record clear = {bytes_of_string("t")};
    assert_int_equal(apply(&proto_no_op_record, 0, &nothing), 0);
    assert_int_equal(apply(&proto_clear_elr_record, 0, &clear), 0);
    assert_int_equal(s.skipped_n, 2);
    assert_int_equal(s.end_offset, 2);
}

static void transaction_happens_at_its_end_or_not_at_all(void **state)
{
    (void)state;
    struct begin_transaction_record begin = {.name = {NULL, 0}};
    struct end_transaction_record end = {0};
    struct abort_transaction_record give_up = {.reason = {NULL, 0}};
    assert_int_equal(apply(&proto_begin_transaction_record, 0, &begin), 0);
    assert_int_equal(add_topic("a", 1), 0);
    assert_int_equal(add_partition(1, 0), 0);
    assert_null(state_topic_by_name(&s, bytes_of_string("a")));
    assert_int_equal(apply(&proto_begin_transaction_record, 0, &begin), E_CORRUPT);
    assert_int_equal(apply(&proto_end_transaction_record, 0, &end), 0);
    assert_int_equal(state_topic_by_name(&s, bytes_of_string("a"))->partitions_n, 1);
    assert_int_equal(apply(&proto_end_transaction_record, 0, &end), E_CORRUPT);
    assert_int_equal(apply(&proto_begin_transaction_record, 0, &begin), 0);
    assert_int_equal(add_topic("b", 2), 0);
    assert_int_equal(apply(&proto_abort_transaction_record, 0, &give_up), 0);
    assert_null(state_topic_by_name(&s, bytes_of_string("b")));
    assert_false(s.in_transaction);
}

/* ── snapshots ── */

static void put_file(struct mem_disk *disk, const char *name, bool append)
{
    char path[128];
    snprintf(path, sizeof path, "data/__cluster_metadata-0/%s", name);
    int fd = disk_open(&disk->disk, path, DISK_WRITE | DISK_CREATE);
    struct disk_stat stat;
    struct batch batch;
    assert_int_equal(disk_stat(&disk->disk, path, &stat), 0);
    assert_int_equal(batch_header(records.buffer, &batch), 0);
    assert_int_equal(
        disk_write(&disk->disk, fd, records.buffer, batch.bytes, append ? stat.bytes : 0), 0);
}

static void control_batch(int16_t type, const struct proto_message *message, const void *value)
{
    records_begin(&records, 1);
    records_add_control(&records, type, message, 0, value);
    assert_true(records_end(&records, true, 4, 0) > 0);
}

static void topic_batch(const char *name, uint8_t id, int64_t offset)
{
    struct topic_record topic = {bytes_of_string(name), {{id}}};
    records_begin(&records, 1);
    records_add(&records, &proto_topic_record, 0, &topic);
    assert_true(records_end(&records, false, 4, offset) > 0);
}

static void newest_whole_snapshot_and_the_log_behind_it_are_read(void **state)
{
    (void)state;
    struct mem_disk disk;
    struct metadata_log log;
    char why[256];
    struct snapshot_header_record header = {.last_contained_log_timestamp = 1};
    struct snapshot_footer_record footer = {0};
    static const char *const old = "00000000000000000050-0000000003.checkpoint";
    static const char *const whole = "00000000000000000100-0000000004.checkpoint";
    static const char *const torn = "00000000000000000200-0000000004.checkpoint";
    mem_disk_init(&disk);
    assert_int_equal(disk_make_directory(&disk.disk, "data/__cluster_metadata-0"), 0);
    topic_batch("from-old", 1, 0);
    put_file(&disk, old, false);
    control_batch(3, &proto_snapshot_header_record, &header);
    put_file(&disk, whole, false);
    topic_batch("from-snapshot", 2, 1);
    put_file(&disk, whole, true);
    control_batch(4, &proto_snapshot_footer_record, &footer);
    put_file(&disk, whole, true);
    topic_batch("from-torn", 3, 0);
    put_file(&disk, torn, false);
    topic_batch("before", 4, 99);
    put_file(&disk, "00000000000000000099.log", false);
    topic_batch("behind", 5, 100);
    put_file(&disk, "00000000000000000099.log", true);
    assert_int_equal(metadata_log_open(&log, &disk.disk, "data", &s, why, sizeof why), 0);
    assert_int_equal(s.live_n, 2);
    assert_non_null(state_topic_by_name(&s, bytes_of_string("from-snapshot")));
    assert_non_null(state_topic_by_name(&s, bytes_of_string("behind")));
    assert_int_equal(s.end_offset, 101);
    assert_int_equal(log.batches_n, 1);
    metadata_log_close(&log);
    mem_disk_fini(&disk);
}

static void log_that_begins_late_without_snapshot_is_corrupt(void **state)
{
    (void)state;
    struct mem_disk disk;
    struct metadata_log log;
    char why[256];
    mem_disk_init(&disk);
    assert_int_equal(disk_make_directory(&disk.disk, "data/__cluster_metadata-0"), 0);
    topic_batch("a", 1, 10);
    put_file(&disk, "00000000000000000010.log", false);
    assert_int_equal(metadata_log_open(&log, &disk.disk, "data", &s, why, sizeof why), E_CORRUPT);
    assert_non_null(strstr(why, "the log begins at offset 10"));
    mem_disk_fini(&disk);
}

static void damage_before_the_last_segment_stops_the_start(void **state)
{
    (void)state;
    struct mem_disk disk;
    struct metadata_log log;
    char why[256];
    mem_disk_init(&disk);
    assert_int_equal(disk_make_directory(&disk.disk, "data/__cluster_metadata-0"), 0);
    topic_batch("a", 1, 0);
    records.buffer[70] ^= 1;
    put_file(&disk, "00000000000000000000.log", false);
    topic_batch("b", 2, 1);
    put_file(&disk, "00000000000000000001.log", false);
    assert_int_equal(metadata_log_open(&log, &disk.disk, "data", &s, why, sizeof why), E_CORRUPT);
    assert_non_null(strstr(why, "is damaged at position 0"));
    mem_disk_fini(&disk);
}

#define STATE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATE_TEST(topic_is_found_until_it_is_removed),
        STATE_TEST(topics_are_sorted_after_settling),
        STATE_TEST(a_thousand_topics_are_all_found),
        STATE_TEST(dot_and_underscore_collide),
        STATE_TEST(naming_a_leader_raises_the_epoch),
        STATE_TEST(settings_are_set_replaced_and_removed),
        STATE_TEST(contradictions_are_corrupt),
        STATE_TEST(what_is_newer_is_unsupported),
        STATE_TEST(records_that_mean_nothing_here_are_counted),
        STATE_TEST(transaction_happens_at_its_end_or_not_at_all),
        STATE_TEST(newest_whole_snapshot_and_the_log_behind_it_are_read),
        STATE_TEST(log_that_begins_late_without_snapshot_is_corrupt),
        STATE_TEST(damage_before_the_last_segment_stops_the_start),
    };
    return TESTS_RUN(tests);
}
