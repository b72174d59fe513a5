/* dirs_test.c - dirs.c: which log directory a partition goes to, and where it is after a start. */
#include "rig.h"

#include "uuid_text.h"

enum { DIRS = 3 };

static struct rig rig;
static struct log_dir dirs[DIRS];

static void dir_set(int at, const char *path, uint8_t id)
{
    dirs[at] = (struct log_dir){.is_online = true, .is_clean = true};
    snprintf(dirs[at].path, sizeof dirs[at].path, "%s", path);
    memset(dirs[at].id.b, id, sizeof dirs[at].id.b);
}

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 1);
    dir_set(0, "data", 7);
    dir_set(1, "b", 8);
    dir_set(2, "c", 6);
    rig.dirs = dirs;
    rig.dirs_n = DIRS;
    rig_override(&rig, "log.dirs=data,b,c");
    assert_int_equal(rig_start(&rig), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* Starts anew and opens the logs; `found` says what the directories have. */
static void restart(void (*found)(void))
{
    static struct store *stores[DIRS];
    struct store_config config = {.leader_epoch = 0};
    struct recovery_report report = {0};
    rig_stop(&rig);
    assert_int_equal(rig_start(&rig), 0);
    if (found != NULL)
        found();
    for (int i = 0; i < DIRS; i++)
        assert_int_equal(
            store_init(&stores[i], &config, NULL, &rig.disk.disk, NULL, NULL, NULL, 0, 0), 0);
    assert_int_equal(control_open_logs(rig.control, stores, &report, NULL), 0);
    for (int i = 0; i < DIRS; i++)
        store_fini(stores[i]);
}

static const struct view_topic *topic_a(void)
{
    return view_topic_by_name(rig_view(&rig), bytes_of_string("a"));
}

static const struct partition *partition_a(int32_t number)
{
    return &state_topic_by_name(&rig.control->state, bytes_of_string("a"))->partitions[number];
}

static void new_partitions_go_where_the_fewest_are(void **state)
{
    (void)state;
    uint32_t n[DIRS] = {0};
    assert_int_equal(rig_create(&rig, "a", 4), 0);
    assert_int_equal(rig_create(&rig, "b", 5), 0);
    for (uint32_t i = 0; i < rig.orders_n; i++)
        n[rig.orders[i].dir]++;
    assert_int_equal(n[0], 3);
    assert_int_equal(n[1], 3);
    assert_int_equal(n[2], 3);
    assert_int_equal(rig_delete(&rig, "a"), 0); /* two of those were in the first */
    assert_int_equal(rig_create(&rig, "c", 1), 0);
    assert_int_equal(rig.orders[rig.orders_n - 1].dir, 0);
}

static int16_t cordon(const char *value)
{
    struct control_op op;
    struct incremental_alter_configs_request_resources_configs item = {
        bytes_of_string("cordoned.log.dirs"), value == NULL ? 1 : 0, bytes_of_string(value)};
    struct incremental_alter_configs_request_resources resource = {4, bytes_of_string("1"), &item,
                                                                   1};
    struct incremental_alter_configs_request request = {&resource, 1, false};
    struct incremental_alter_configs_response *r = rig_ask(&rig, &op, 44, 1, &request);
    assert_non_null(r);
    int16_t code = r->responses[0].error_code;
    arena_fini(&op.arena);
    return code;
}

static void cordoned_directories_get_no_new_partitions(void **state)
{
    (void)state;
    assert_int_equal(cordon("data, c"), 0);
    assert_int_equal(rig_view(&rig)->dirs_cordoned, 5);
    assert_int_equal(rig_create(&rig, "a", 4), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(topic_a()->partitions[i].dir, 1);
    restart(NULL); /* it is in the metadata, and what is placed stays */
    assert_int_equal(rig_view(&rig)->dirs_cordoned, 5);
    for (int i = 0; i < 4; i++)
        assert_int_equal(topic_a()->partitions[i].dir, 1);
    assert_int_equal(cordon("*"), 0);
    assert_int_equal(rig_view(&rig)->dirs_cordoned, 7);
    assert_int_equal(rig_create(&rig, "b", 1), 38); /* INVALID_REPLICATION_FACTOR */
    assert_int_equal(cordon(NULL), 0);
    assert_int_equal(rig_view(&rig)->dirs_cordoned, 0);
    assert_int_equal(rig_create(&rig, "b", 2), 0);
    assert_int_equal(cordon("elsewhere"), 42); /* INVALID_REQUEST */
}

/* Two healthy ones are cordoned, the third has failed: nothing is left to choose from. */
static void cordoned_and_failed_together_leave_no_place(void **state)
{
    (void)state;
    rig.control->dirs_failed[1] = true;
    assert_int_equal(cordon("data,c"), 0);
    assert_int_equal(rig_create(&rig, "a", 1), 38);
    rig.control->dirs_failed[1] = false;
    assert_int_equal(rig_create(&rig, "a", 1), 0);
}

static void directory_of_a_partition_survives_a_start(void **state)
{
    (void)state;
    uint8_t before[6];
    assert_int_equal(rig_create(&rig, "a", 6), 0);
    for (int i = 0; i < 6; i++)
        before[i] = topic_a()->partitions[i].dir;
    restart(NULL);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(topic_a()->partitions[i].dir, before[i]);
        assert_int_equal(topic_a()->partitions[i].leader, 1);
    }
}

static void partition_0_is_in_c(void)
{
    struct uuid id = topic_a()->id, other = {{9}};
    struct bytes name = bytes_of_string("a");
    assert_false(control_finds_log(rig.control, name, 0, &other, 2));
    assert_true(control_finds_log(rig.control, name, 0, &id, 2));
    assert_false(control_finds_log(rig.control, name, 0, &id, 1)); /* a second copy is a stray */
}

static void metadata_follows_where_files_were_found(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 2), 0);
    assert_int_equal(topic_a()->partitions[0].dir, 0);
    restart(partition_0_is_in_c);
    assert_int_equal(topic_a()->partitions[0].dir, 2);
    assert_memory_equal(&partition_a(0)->directory, &dirs[2].id, sizeof dirs[2].id);
    for (int i = 0; i < 10; i++)
        rig_turn(&rig); /* the change becomes durable */
    restart(NULL);
    assert_int_equal(topic_a()->partitions[0].dir, 2);
}

static void copy_in_c_is_not_the_log(void)
{
    struct uuid id = topic_a()->id;
    char text[64], hex[UUID_TEXT_MAX];
    uuid_text(&id, hex);
    int n = snprintf(text, sizeof text, "version: 0\ntopic_id: %s\n", hex);
    assert_int_equal(disk_make_directory(&rig.disk.disk, "data/a-0"), 0);
    int fd = disk_open(&rig.disk.disk, "data/a-0/partition.metadata", DISK_WRITE | DISK_CREATE);
    assert_int_equal(disk_write(&rig.disk.disk, fd, text, (uint64_t)n, 0), 0);
    disk_close(&rig.disk.disk, fd);
    assert_false(control_finds_log(rig.control, bytes_of_string("a"), 0, &id, 2));
    assert_true(control_finds_log(rig.control, bytes_of_string("a"), 0, &id, 0));
}

static void log_found_twice_is_where_the_metadata_says(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 1), 0);
    restart(copy_in_c_is_not_the_log);
    assert_int_equal(topic_a()->partitions[0].dir, 0);
}

static void partition_of_a_directory_that_is_not_here_is_offline(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 3), 0);
    dirs[1].is_online = false;
    restart(NULL);
    assert_int_equal(control_lost_logs(rig.control), 1);
    assert_int_equal(topic_a()->partitions[1].leader, -1);
    assert_true(topic_a()->partitions[1].is_offline);
    assert_int_equal(topic_a()->partitions[0].leader, 1);
    assert_int_equal(rig_view(&rig)->dirs_offline, 1 << 1);
    uint32_t before = rig.orders_n;
    assert_int_equal(rig_create(&rig, "b", 4), 0);
    for (uint32_t i = before; i < rig.orders_n; i++)
        assert_int_not_equal(rig.orders[i].dir, 1);
    assert_int_equal(rig_delete(&rig, "a"), 0); /* its logs that are here are dropped */
    dirs[1].is_online = true;
    restart(NULL);
    assert_int_equal(control_lost_logs(rig.control), 0);
}

static void partition_without_a_directory_gets_one(void **state)
{
    (void)state;
    assert_int_equal(rig_create(&rig, "a", 2), 0);
    struct uuid id = topic_a()->id, unassigned = {{0}};
    records_begin(&rig.control->records, rig.now.wall_ms);
    struct log_dir kept = dirs[0];
    dirs[0].id = unassigned; /* as Apache Kafka leaves it with several directories */
    bootstrap_add_directory(rig.control, &id, 0, 0);
    assert_int_equal(control_commit(rig.control), 0);
    dirs[0] = kept;
    for (int i = 0; i < 10; i++)
        rig_turn(&rig);
    restart(NULL);
    assert_in_range(topic_a()->partitions[0].dir, 0, DIRS - 1);
    assert_int_equal(topic_a()->partitions[0].leader, 1);
    assert_memory_equal(&partition_a(0)->directory, &dirs[partition_a(0)->dir].id, 16);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(new_partitions_go_where_the_fewest_are, setup, teardown),
        cmocka_unit_test_setup_teardown(cordoned_directories_get_no_new_partitions, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(cordoned_and_failed_together_leave_no_place, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(directory_of_a_partition_survives_a_start, setup, teardown),
        cmocka_unit_test_setup_teardown(metadata_follows_where_files_were_found, setup, teardown),
        cmocka_unit_test_setup_teardown(log_found_twice_is_where_the_metadata_says, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(partition_of_a_directory_that_is_not_here_is_offline, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(partition_without_a_directory_gets_one, setup, teardown),
    };
    return TESTS_RUN(tests);
}
