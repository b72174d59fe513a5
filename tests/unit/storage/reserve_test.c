/* reserve_test.c - reserve.c: made when there is room, given up when it is needed, taken back, and
 * whole or not there after each operation that fails. */
#include "reserve.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "fault_disk.h"
#include "unit.h"

#define MIN_FREE MIB(8)
#define BYTES    MIB(1)
#define ENOUGH   (MIN_FREE + BYTES + MIB(2))

static struct fault_disk fault;
static char directory[DISK_PATH_MAX], path[DISK_PATH_MAX + 32];

static int setup(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/reserve-test-XXXXXX"); /* not memory, where there is no such thing */
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/%s", directory, RESERVE_NAME);
    fault_disk_init(&fault, disk_posix());
    return 0;
}

static int teardown(void **state)
{
    char command[DISK_PATH_MAX + 16];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

/* Bytes of the disk that the file takes; 0: it is not there. */
static uint64_t taken(void)
{
    struct stat s;
    return stat(path, &s) == 0 ? (uint64_t)s.st_blocks * 512 : 0;
}

static struct reserve held(void)
{
    struct reserve r;
    int rc = reserve_begin(&r, &fault.disk, directory, BYTES, MIN_FREE);
    if (rc == E_UNSUPPORTED) /* of this machine's /tmp */
        skip();
    assert_int_equal(rc, 0);
    assert_true(r.is_held);
    assert_int_equal(r.bytes, BYTES);
    assert_true(taken() >= BYTES); /* room is set aside, not promised */
    return r;
}

static void reserve_is_given_up_below_half_of_min_free_and_taken_back(void **state)
{
    (void)state;
    struct reserve r = held();
    assert_int_equal(reserve_judge(&r, &fault.disk, MIN_FREE / 2, false, NS_PER_S), 0);
    assert_int_equal(reserve_judge(&r, &fault.disk, MIN_FREE / 2 - 1, false, NS_PER_S), 1);
    assert_false(r.is_held);
    assert_int_equal(taken(), 0);
    /* The room it gave back is not enough to take it back. */
    assert_int_equal(reserve_judge(&r, &fault.disk, MIN_FREE / 2 + BYTES, false, NS_PER_S), 0);
    assert_int_equal(reserve_judge(&r, &fault.disk, ENOUGH - 1, false, NS_PER_S), 0);
    assert_int_equal(reserve_judge(&r, &fault.disk, ENOUGH, false, NS_PER_S), 1);
    assert_true(r.is_held);
    assert_true(taken() >= BYTES);
}

/* A disk may be full with bytes free (inodes, a quota): no making and giving up in turns. */
static void reserve_is_given_up_for_a_log_that_waits_and_stays_so_for_a_while(void **state)
{
    (void)state;
    struct reserve r = held();
    assert_int_equal(reserve_judge(&r, &fault.disk, GIB(9), true, 10 * NS_PER_S), 1);
    assert_int_equal(taken(), 0);
    assert_int_equal(reserve_judge(&r, &fault.disk, GIB(9), false, 11 * NS_PER_S), 0);
    assert_int_equal(reserve_judge(&r, &fault.disk, GIB(9), true, 14 * NS_PER_S), 0);
    assert_int_equal(reserve_judge(&r, &fault.disk, GIB(9), false, 19 * NS_PER_S), 0);
    assert_int_equal(reserve_judge(&r, &fault.disk, GIB(9), false, 20 * NS_PER_S), 1);
    assert_true(r.is_held);
}

static int space_of_a_full_disk(struct disk *d, const char *at, struct disk_space *out)
{
    (void)d, (void)at;
    *out = (struct disk_space){GIB(1), ENOUGH - 1};
    return 0;
}

static void reserve_without_room_is_made_later(void **state)
{
    struct disk_functions functions = *fault.disk.functions;
    struct fault_disk full = fault;
    struct reserve r;
    (void)state;
    functions.space = space_of_a_full_disk;
    full.disk.functions = &functions;
    assert_int_equal(reserve_begin(&r, &full.disk, directory, BYTES, MIN_FREE), 0);
    assert_false(r.is_held);
    assert_int_equal(r.bytes, BYTES);
    assert_int_equal(reserve_judge(&r, &full.disk, ENOUGH, false, NS_PER_S), 1);
    assert_true(r.is_held);
}

static void reserve_is_a_small_part_of_a_small_disk(void **state)
{
    struct disk_functions functions = *fault.disk.functions;
    struct fault_disk small = fault;
    struct reserve r;
    (void)state;
    functions.space = space_of_a_full_disk;
    small.disk.functions = &functions;
    assert_int_equal(reserve_begin(&r, &small.disk, directory, GIB(1), 0), 0);
    assert_int_equal(r.bytes, GIB(1) / 32);
}

static void reserve_of_a_disk_that_cannot_is_said(void **state)
{
    struct disk_functions functions = *fault.disk.functions;
    struct fault_disk cannot = fault;
    struct reserve r;
    (void)state;
    functions.allocate = NULL;
    cannot.disk.functions = &functions;
    assert_int_equal(reserve_begin(&r, &cannot.disk, directory, BYTES, 0), E_UNSUPPORTED);
    assert_int_equal(taken(), 0);
    assert_int_equal(fault.fds_n, 0);
}

/* Every operation of a making fails once, for want of space and otherwise: the file is there with
 * its room, or is not believed to be; the next try ends well. */
static void reserve_making_that_fails_leaves_none_and_is_tried_again(void **state)
{
    static const int errors[] = {E_DISK_FULL, E_IO};
    (void)state;
    for (size_t e = 0; e < array_n(errors); e++) {
        for (uint64_t n = 1;; n++) {
            struct reserve r = held();
            assert_int_equal(reserve_judge(&r, &fault.disk, 0, false, NS_PER_S), 1);
            fault_disk_arm(&fault, n, errors[e], false);
            int rc = reserve_judge(&r, &fault.disk, ENOUGH, false, NS_PER_S);
            bool is_over = !fault.is_fired;
            fault_disk_arm(&fault, 0, 0, false);
            assert_int_equal(fault.fds_n, 0);
            assert_int_equal(rc, is_over ? 1 : errors[e]);
            if (!is_over) {
                assert_false(r.is_held);
                assert_int_equal(taken(), 0);
                assert_int_equal(reserve_judge(&r, &fault.disk, ENOUGH, false, NS_PER_S), 1);
            }
            assert_true(r.is_held && taken() >= BYTES);
            assert_int_equal(reserve_remove(&fault.disk, directory), 0);
            if (is_over)
                break;
            assert_true(n < 50);
        }
    }
}

static void reserve_release_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct reserve r = held();
    fault_disk_arm(&fault, 1, E_IO, false);
    assert_int_equal(reserve_judge(&r, &fault.disk, 0, false, NS_PER_S), E_IO);
    assert_true(r.is_held);
    fault_disk_arm(&fault, 0, 0, false);
    assert_int_equal(reserve_judge(&r, &fault.disk, 0, false, NS_PER_S), 1);
    assert_int_equal(taken(), 0);
}

/* Whatever a crash left. */
static void reserve_of_a_crash_is_removed_and_made_anew(void **state)
{
    (void)state;
    (void)held();
    assert_int_equal(truncate(path, 4096), 0);
    (void)held();
    assert_int_equal(reserve_remove(&fault.disk, directory), 0);
    assert_int_equal(taken(), 0);
    assert_int_equal(reserve_remove(&fault.disk, directory), 0); /* none is no error */
}

int main(void)
{
#define RESERVE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    static const struct CMUnitTest tests[] = {
        RESERVE_TEST(reserve_is_given_up_below_half_of_min_free_and_taken_back),
        RESERVE_TEST(reserve_is_given_up_for_a_log_that_waits_and_stays_so_for_a_while),
        RESERVE_TEST(reserve_without_room_is_made_later),
        RESERVE_TEST(reserve_is_a_small_part_of_a_small_disk),
        RESERVE_TEST(reserve_of_a_disk_that_cannot_is_said),
        RESERVE_TEST(reserve_making_that_fails_leaves_none_and_is_tried_again),
        RESERVE_TEST(reserve_release_that_fails_is_tried_again),
        RESERVE_TEST(reserve_of_a_crash_is_removed_and_made_anew),
    };
    return TESTS_RUN(tests);
}
