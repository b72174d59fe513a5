/* beside_test.c - store.c, cache.c, checkpoint_job.c: two stores of one home, each with its own log
 * directory. */
#include "rig.h"

static struct rig rig;
static struct store *other;
static char other_directory[64];

static int setup(void **state)
{
    (void)state;
    rig_init_pages(&rig, 2 * PAGE_BLOCK);
    struct store_config config = rig.config;
    strcpy(other_directory, "/dev/shm/store-test-b-XXXXXX");
    if (mkdtemp(other_directory) == NULL) {
        strcpy(other_directory, "/tmp/store-test-b-XXXXXX");
        assert_non_null(mkdtemp(other_directory));
    }
    strcpy(config.directory, other_directory);
    config.dir = 1;
    config.beside = rig.store;
    assert_int_equal(store_init(&other, &config, &rig.io.io, &rig.disk.disk, &rig.pages,
                                &rig.timers, &rig.posts[RIG_STORE], RIG_FILES, RIG_BULK),
                     0);
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    store_fini(other);
    rig_fini(&rig);
    snprintf(command, sizeof command, "rm -rf '%s'", other_directory);
    return system(command);
}

static void settle(void)
{
    for (int i = 0, idle = 0; idle < 3; i++) {
        assert_true(i < 10000);
        int n = store_flush(other, rig.now);
        idle = rig_turn(&rig) + n == 0 ? idle + 1 : 0;
    }
}

static struct plog *log_in(struct store *store, int32_t partition)
{
    struct log_id id = rig_id(partition);
    struct plog *log;
    assert_int_equal(store_log_new(store, &id, &rig.log_config, &log), 0);
    return log;
}

static bool is_there(const char *directory, const char *name)
{
    char path[DISK_PATH_MAX];
    struct stat s;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return stat(path, &s) == 0;
}

static void logs_of_both_are_found_from_either(void **state)
{
    (void)state;
    struct plog *a = log_in(rig.store, 0), *b = log_in(other, 1);
    struct log_id id = rig_id(1);
    struct plog *twice;
    assert_ptr_equal(store_log_find(other, &rig_topic_id, 0), a);
    assert_ptr_equal(store_log_find(rig.store, &rig_topic_id, 1), b);
    assert_int_equal(plog_dir(a), 0);
    assert_int_equal(plog_dir(b), 1);
    assert_int_equal(store_log_new(rig.store, &id, &rig.log_config, &twice), E_EXISTS);
    assert_ptr_equal(store_of_dir(other, 0), rig.store);
    assert_ptr_equal(store_of_dir(rig.store, 1), other);
    assert_null(store_of_dir(rig.store, 2));
}

/* Jobs of the second store come back through the first, as a worker's mail does. */
static void each_log_is_written_to_its_own_directory(void **state)
{
    (void)state;
    struct append out;
    struct plog *a = log_in(rig.store, 0), *b = log_in(other, 1);
    assert_int_equal(rig_append_to(&rig, a, 1, 100, 'a', &out), 0);
    assert_int_equal(rig_append_to(&rig, b, 3, 100, 'b', &out), 0);
    settle();
    assert_int_equal(a->durable.offset, 1);
    assert_int_equal(b->durable.offset, 3);
    assert_true(is_there(rig.directory, "topic-0/00000000000000000000.log"));
    assert_true(is_there(other_directory, "topic-1/00000000000000000000.log"));
    assert_false(is_there(rig.directory, "topic-1"));
    assert_true(store_is_quiet(other));
}

static void failure_of_one_leaves_the_other(void **state)
{
    (void)state;
    struct append out;
    struct plog *a = log_in(rig.store, 0), *b = log_in(other, 1);
    assert_int_equal(rig_append_to(&rig, a, 1, 100, 'a', &out), 0);
    assert_int_equal(rig_append_to(&rig, b, 1, 100, 'b', &out), 0);
    settle();
    plog_fail(b, rig.now);
    assert_int_equal(rig_append_to(&rig, b, 1, 100, 'b', &out), E_STORAGE);
    assert_int_equal(rig_append_to(&rig, a, 1, 100, 'a', &out), 0);
    settle();
    assert_int_equal(a->durable.offset, 2);
    assert_int_equal(store_stats(rig.store)->logs_failed_n, 0);
    assert_int_equal(store_stats(other)->logs_failed_n, 1);
}

static void directory_that_failed_is_offline_as_a_whole(void **state)
{
    (void)state;
    struct append out;
    struct plog *a = log_in(rig.store, 0), *b = log_in(other, 1), *c = log_in(other, 2), *d;
    struct log_id id = rig_id(3);
    assert_int_equal(rig_append_to(&rig, a, 1, 100, 'a', &out), 0);
    assert_int_equal(rig_append_to(&rig, c, 1, 100, 'c', &out), 0);
    settle();
    plog_fail(b, rig.now);
    assert_true(store_offline(other, rig.now));
    assert_false(store_offline(other, rig.now));
    assert_int_equal(rig_append_to(&rig, c, 1, 100, 'c', &out), E_STORAGE);
    assert_int_equal(store_log_new(other, &id, &rig.log_config, &d), E_STORAGE);
    assert_int_equal(rig_append_to(&rig, a, 1, 100, 'a', &out), 0);
    settle();
    assert_int_equal(a->durable.offset, 2);
    assert_int_equal(store_stats(other)->logs_failed_n, 2);
    store_log_drop(other, c); /* deleting a topic still works */
    settle();
    assert_int_equal(store_stats(other)->logs_failed_n, 1);
}

/* Pages are common: the one that has more of them gives up first. */
static void busy_store_takes_pages_of_the_idle_one(void **state)
{
    (void)state;
    struct segment *a = log_in(rig.store, 0)->segments[0], *b = log_in(other, 1)->segments[0];
    struct page *page;
    uint64_t pos = 0;
    while ((page = pages_take(&rig.pages, PAGE_LARGE)) != NULL) {
        cache_insert(&rig.store->cache, page, a, pos, 0, PAGE_LARGE, 0);
        pos += PAGE_LARGE;
    }
    uint64_t all_n = rig.store->cache.pages_n;
    for (uint64_t i = 0; i < all_n / 2; i++) {
        page = cache_take(&other->cache, PAGE_LARGE);
        assert_non_null(page);
        cache_insert(&other->cache, page, b, i * PAGE_LARGE, 0, PAGE_LARGE, 0);
    }
    assert_int_equal(other->cache.pages_n, all_n / 2);
    assert_int_equal(rig.store->cache.pages_n, all_n - all_n / 2);
    assert_int_equal(other->cache.evicted_n, 0);
    for (uint64_t i = 0; i < all_n; i++) { /* now each gives up half */
        page = cache_take(&other->cache, PAGE_LARGE);
        assert_non_null(page);
        cache_insert(&other->cache, page, b, (all_n + i) * PAGE_LARGE, 0, PAGE_LARGE, 0);
    }
    assert_true(rig.store->cache.pages_n <= all_n / 2);
}

static void each_directory_has_its_own_checkpoints(void **state)
{
    (void)state;
    struct append out;
    char path[DISK_PATH_MAX], why[128];
    int64_t offset;
    struct checkpoints *one = checkpoints_new(), *two = checkpoints_new();
    rig.store->config.recovery_point_ns = other->config.recovery_point_ns = NS_PER_S;
    rig.store->config.recovery_bytes_max = other->config.recovery_bytes_max = UINT64_MAX;
    assert_int_equal(helper_checkpoints(rig.files, rig.directory, one, false), 0);
    assert_int_equal(helper_checkpoints(rig.files, other_directory, two, false), 0);
    assert_int_equal(rig_append_to(&rig, log_in(rig.store, 0), 1, 100, 'a', &out), 0);
    assert_int_equal(rig_append_to(&rig, log_in(other, 1), 2, 100, 'b', &out), 0);
    settle();
    for (int i = 0; i < 3; i++) {
        rig_wait_ms(&rig, 1001);
        store_tick(other, rig.now);
        settle();
    }
    struct checkpoints *read = checkpoints_new();
    snprintf(path, sizeof path, "%s", other_directory);
    assert_int_equal(checkpoints_read(read, &rig.disk.disk, path, why, sizeof why), 0);
    assert_false(
        checkpoint_get(read, CHECKPOINT_RECOVERY_POINT, bytes_of_string("topic"), 0, &offset));
    assert_true(
        checkpoint_get(read, CHECKPOINT_RECOVERY_POINT, bytes_of_string("topic"), 1, &offset));
    assert_int_equal(offset, 2);
    checkpoints_free(read);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(logs_of_both_are_found_from_either, setup, teardown),
        cmocka_unit_test_setup_teardown(each_log_is_written_to_its_own_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(failure_of_one_leaves_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(directory_that_failed_is_offline_as_a_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(busy_store_takes_pages_of_the_idle_one, setup, teardown),
        cmocka_unit_test_setup_teardown(each_directory_has_its_own_checkpoints, setup, teardown),
    };
    return TESTS_RUN(tests);
}
