/* boot_test.c - broker.c, broker_dirs.c: a first start on a bad or full disk leaves nothing behind,
 * and the next one works. */
#include "broker.h"

#include <dirent.h>
#include <sys/mman.h>

#include "../storage/fake_io.h"
#include "../storage/fault_disk.h"
#include "unit.h"

enum { THREADS = 3 };

static struct fault_disk fault;
static struct fake_io ios[THREADS];
static struct config *config;
static char root[64];

static struct io *io_open(void *context, uint8_t thread, char *why, size_t why_n)
{
    (void)context, (void)why, (void)why_n;
    assert_true(thread < THREADS);
    fake_io_init(&ios[thread]);
    return &ios[thread].io;
}

static void io_close(void *context, uint8_t thread, struct io *io)
{
    (void)context, (void)thread, (void)io;
}

static void *memory_take(void *context, uint64_t bytes)
{
    (void)context;
    uint8_t *all = mmap(NULL, bytes + PAGE_BLOCK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(all, MAP_FAILED);
    uint8_t *memory = (uint8_t *)align_up((uintptr_t)all, PAGE_BLOCK);
    munmap(all, (size_t)(memory - all)); /* 0 bytes: refused, and nothing to give back */
    munmap(memory + bytes, (size_t)(all + PAGE_BLOCK - memory));
    return memory;
}

static void memory_put(void *context, void *memory, uint64_t bytes)
{
    (void)context;
    munmap(memory, bytes);
}

static void override(const char *assignment)
{
    FILE *sink = fopen("/dev/null", "w");
    assert_int_equal(config_override(config, assignment, sink), 0);
    fclose(sink);
}

static int setup(void **state)
{
    char text[256];
    (void)state;
    strcpy(root, "/dev/shm/boot-test-XXXXXX");
    if (mkdtemp(root) == NULL) {
        strcpy(root, "/tmp/boot-test-XXXXXX");
        assert_non_null(mkdtemp(root));
    }
    fault_disk_init(&fault, disk_posix());
    assert_int_equal(config_new(&config), 0);
    override("node.id=1");
    override("dataplane.workers=1");
    override("listeners=PLAINTEXT://127.0.0.1:9092");
    override("storage.cache.bytes=67108864");
    override("storage.tail.bytes=8388608");
    override("storage.journal.bytes=65536");
    override("log.cleaner.enable=false");
    override("storage.producers.max=1000");
    snprintf(text, sizeof text, "log.dirs=%s/new/a,%s/b", root, root);
    override(text);
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    config_free(config);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static int start(struct broker **out)
{
    struct broker_seams seams = {
        .disk = &fault.disk,
        .io_open = io_open,
        .io_close = io_close,
        .memory_take = memory_take,
        .memory_put = memory_put,
        .seed = 5,
        .now = {NS_PER_S, 1700000000000},
        .cpus_n = 2,
        .descriptors_max = 4000,
        .is_single_threaded = true,
    };
    *out = calloc(1, sizeof **out);
    assert_non_null(*out);
    thread_self = NULL;
    int rc = broker_boot(*out, config, &seams, NULL);
    if (rc != 0) {
        assert_true((*out)->why[0] != 0); /* one clear line */
        assert_null(strchr((*out)->why, '\n'));
        free(*out);
        *out = NULL;
    }
    return rc;
}

static void stop(struct broker *b)
{
    broker_fini(b);
    free(b);
}

static uint32_t names_n(void)
{
    uint32_t n = 0;
    DIR *d = opendir(root);
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 2;
}

static void clean(void)
{
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'/*", root);
    assert_int_equal(system(command), 0);
}

/* One operation fails and the disk is good again: nothing is there afterwards. */
static void first_start_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct broker *b;
    uint64_t failed_n = 0;
    for (uint64_t n = 1;; n++) {
        fault_disk_arm(&fault, n, n % 2 == 0 ? E_DISK_FULL : E_IO, false);
        int rc = start(&b);
        bool is_over = !fault.is_fired;
        fault_disk_arm(&fault, 0, 0, false);
        if (rc != 0) {
            failed_n++;
            assert_int_equal(names_n(), 0);
            assert_int_equal(fault.fds_n, 0);
            assert_int_equal(start(&b), 0);
        }
        stop(b);
        clean();
        if (is_over)
            break;
    }
    assert_true(failed_n > 30);
}

/* The disk is gone from one operation on, so nothing can be taken away: the next start goes on from
 * there. */
static void first_start_on_a_dying_disk_is_resumed(void **state)
{
    (void)state;
    struct broker *b;
    for (uint64_t n = 1;; n++) {
        fault_disk_arm(&fault, n, E_IO, true);
        int rc = start(&b);
        bool is_over = !fault.is_fired;
        if (rc == 0)
            stop(b);
        fault_disk_arm(&fault, 0, 0, false);
        assert_int_equal(start(&b), 0);
        stop(b);
        clean();
        if (is_over)
            break;
    }
}

/* What is not new is never taken away. */
static void later_start_that_fails_keeps_everything(void **state)
{
    (void)state;
    struct broker *b;
    struct disk_stat s;
    char path[128];
    snprintf(path, sizeof path, "%s/new/a/meta.properties", root);
    assert_int_equal(start(&b), 0);
    stop(b);
    for (uint64_t n = 1;; n += 4) { /* the same operations as above, most of them */
        fault_disk_arm(&fault, n, E_DISK_FULL, false);
        int rc = start(&b);
        bool is_over = !fault.is_fired;
        if (rc == 0)
            stop(b);
        fault_disk_arm(&fault, 0, 0, false);
        assert_int_equal(disk_stat(disk_posix(), path, &s), 0);
        assert_int_equal(start(&b), 0);
        stop(b);
        if (is_over)
            break;
    }
}

/* What bounds.h lets the settings ask for is on the ledger, and the ledger is not much more. */
static void boot_memory_ledger_holds_what_bounds_say(void **state)
{
    struct broker *b;
    uint64_t bytes = 0, producers = 0;
    (void)state;
    assert_int_equal(start(&b), 0);
    assert_int_equal(broker_ledger(b), 0);
    for (uint32_t i = 0; i < b->ledger.n; i++) {
        bytes += b->ledger.v[i].bytes;
        producers += b->ledger.v[i].line == LEDGER_PRODUCERS ? b->ledger.v[i].bytes : 0;
    }
    /* This io has no receive buffers. */
    uint64_t expected = bounds_process_bytes(&b->bounds) - bounds_receive_bytes();
    assert_true(bytes > expected / 10 * 9);
    assert_true(bytes - producers < expected + MIB(48)); /* requests, connections, operations */
    stop(b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(boot_memory_ledger_holds_what_bounds_say, setup, teardown),
        cmocka_unit_test_setup_teardown(first_start_that_fails_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(first_start_on_a_dying_disk_is_resumed, setup, teardown),
        cmocka_unit_test_setup_teardown(later_start_that_fails_keeps_everything, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
