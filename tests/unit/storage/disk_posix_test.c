/* disk_posix_test.c - disk_posix.c: the file system, its errors, the lock against Java's and our
 * own. */
#include "disk.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fault_disk.h"
#include "unit.h"

static char directory[DISK_PATH_MAX];
static struct disk *disk;

static int setup(void **state)
{
    (void)state;
    disk = disk_posix();
    test_directory(directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_directory_remove(directory);
    return 0;
}

static const char *path_of(const char *name)
{
    static char paths[4][DISK_PATH_MAX];
    static int at;
    char *path = paths[at++ % 4];
    test_path(path, directory, name);
    return path;
}

static void file_written_is_read_back_and_ends(void **state)
{
    char back[16];
    struct disk_stat s;
    (void)state;
    int fd = disk_open(disk, path_of("f"), DISK_WRITE | DISK_CREATE);
    assert_true(fd >= 0);
    assert_int_equal(disk_write(disk, fd, "hello", 5, 10), 0);
    assert_int_equal(disk_sync(disk, fd), 0);
    assert_int_equal(disk_read(disk, fd, back, sizeof back, 9), 6);
    assert_memory_equal(back, "\0hello", 6);
    assert_int_equal(disk_read(disk, fd, back, sizeof back, 15), 0);
    assert_int_equal(disk_truncate(disk, fd, 12), 0);
    assert_int_equal(disk_stat(disk, path_of("f"), &s), 0);
    assert_int_equal(s.bytes, 12);
    assert_false(s.is_directory);
    assert_true(s.modified_ms > 1600000000000);
    disk_close(disk, fd);
}

static void directory_is_made_listed_synced_and_removed(void **state)
{
    struct disk_stat s;
    (void)state;
    assert_int_equal(disk_make_directory(disk, path_of("d")), 0);
    assert_int_equal(disk_make_directory(disk, path_of("d")), E_EXISTS);
    assert_int_equal(disk_stat(disk, path_of("d"), &s), 0);
    assert_true(s.is_directory);
    int fd = disk_open(disk, path_of("d"), DISK_READ | DISK_DIRECTORY);
    assert_true(fd >= 0);
    assert_int_equal(disk_sync(disk, fd), 0);
    disk_close(disk, fd);
    test_file(directory, "d/x", "", 0);
    assert_int_equal(disk_remove_directory(disk, path_of("d")), E_EXISTS);
    assert_int_equal(disk_unlink(disk, path_of("d/x")), 0);
    assert_int_equal(disk_remove_directory(disk, path_of("d")), 0);
}

struct listed {
    int n, stop_at;
    bool has_dots;
};

static int note_name(void *context, const char *name)
{
    struct listed *l = context;
    l->has_dots |= name[0] == '.';
    return ++l->n == l->stop_at ? 77 : 0;
}

static void list_leaves_out_dots_and_stops_when_told(void **state)
{
    struct listed l = {.stop_at = -1}, stopped = {.stop_at = 2};
    (void)state;
    for (int i = 0; i < 5; i++)
        test_file(directory, (char[]){(char)('a' + i), 0}, "", 0);
    assert_int_equal(disk_list(disk, directory, note_name, &l), 0);
    assert_int_equal(l.n, 5);
    assert_false(l.has_dots);
    assert_int_equal(disk_list(disk, directory, note_name, &stopped), 77);
    assert_int_equal(stopped.n, 2);
}

static void rename_replaces(void **state)
{
    (void)state;
    test_file(directory, "a", "new", 3);
    test_file(directory, "b", "old!", 4);
    assert_int_equal(disk_rename(disk, path_of("a"), path_of("b")), 0);
    assert_true(test_file_is(directory, "b", "new", 3));
    assert_false(test_exists(directory, "a"));
}

static void what_is_not_there_is_not_found(void **state)
{
    struct disk_stat s;
    struct listed l = {.stop_at = -1};
    (void)state;
    assert_int_equal(disk_open(disk, path_of("no"), DISK_READ), E_NOT_FOUND);
    assert_int_equal(disk_open(disk, path_of("no"), DISK_WRITE), E_NOT_FOUND);
    assert_int_equal(disk_stat(disk, path_of("no"), &s), E_NOT_FOUND);
    assert_int_equal(disk_unlink(disk, path_of("no")), E_NOT_FOUND);
    assert_int_equal(disk_rename(disk, path_of("no"), path_of("x")), E_NOT_FOUND);
    assert_int_equal(disk_remove_directory(disk, path_of("no")), E_NOT_FOUND);
    assert_int_equal(disk_list(disk, path_of("no"), note_name, &l), E_NOT_FOUND);
    test_file(directory, "f", "", 0);
    assert_int_equal(disk_open(disk, path_of("f"), DISK_DIRECTORY), E_NOT_FOUND);
    assert_int_equal(disk_open(disk, path_of("f"), DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE),
                     E_EXISTS);
}

static void full_device_is_told(void **state)
{
    (void)state;
    int fd = disk_open(disk, "/dev/full", DISK_WRITE);
    if (fd < 0)
        skip();
    assert_int_equal(disk_write(disk, fd, "x", 1, 0), E_DISK_FULL);
    disk_close(disk, fd);
}

static void too_many_open_files_is_no_memory(void **state)
{
    struct rlimit old, low;
    int fds[64], n = 0, fd = 0;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = 32;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 64 && (fd = disk_open(disk, directory, DISK_DIRECTORY)) >= 0)
        fds[n++] = fd;
    int listed = disk_list(disk, directory, note_name, &(struct listed){.stop_at = -1});
    while (n > 0)
        disk_close(disk, fds[--n]);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(fd, E_NO_MEMORY);
    assert_int_equal(listed, E_NO_MEMORY);
}

static void refused_by_permissions_is_denied(void **state)
{
    (void)state;
    if (geteuid() == 0)
        skip(); /* nothing is refused to root */
    assert_int_equal(disk_open(disk, "/etc/shadow", DISK_WRITE), E_DENIED);
    assert_int_equal(disk_make_directory(disk, "/millrace-denied"), E_DENIED);
}

static void space_is_told(void **state)
{
    struct disk_space space;
    (void)state;
    assert_int_equal(disk_space(disk, directory, &space), 0);
    assert_true(space.total_bytes > 0 && space.free_bytes <= space.total_bytes);
    assert_int_equal(disk_space(disk, path_of("no"), &space), E_NOT_FOUND);
}

enum lock_kind { LOCK_OURS, LOCK_JAVA, LOCK_FLOCK };

/* Another process that holds the lock until it is told to end. Returns its pid. */
static pid_t holder_start(enum lock_kind kind, int to_child[2])
{
    int from_child[2];
    char ready;
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(from_child), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(path_of(".lock"), O_RDWR);
        bool is_held = kind == LOCK_OURS   ? disk_lock(disk, fd) == 0
                       : kind == LOCK_JAVA ? fcntl(fd, F_SETLK, &whole) == 0
                                           : flock(fd, LOCK_EX | LOCK_NB) == 0;
        close(to_child[1]);
        (void)!write(from_child[1], is_held ? "y" : "n", 1);
        (void)!read(to_child[0], &ready, 1); /* until the test closes its end */
        _exit(0);
    }
    assert_int_equal(read(from_child[0], &ready, 1), 1);
    assert_int_equal(ready, 'y');
    close(from_child[0]);
    close(from_child[1]);
    close(to_child[0]);
    return pid;
}

static void lock_excludes_other_processes_and_is_free_after_them(void **state)
{
    static const enum lock_kind kinds[] = {LOCK_OURS, LOCK_JAVA, LOCK_FLOCK};
    (void)state;
    test_file(directory, ".lock", "", 0);
    for (size_t i = 0; i < array_n(kinds); i++) {
        int to_child[2];
        pid_t pid = holder_start(kinds[i], to_child);
        int fd = disk_open(disk, path_of(".lock"), DISK_WRITE);
        assert_int_equal(disk_lock(disk, fd), E_IN_USE);
        close(to_child[1]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(disk_lock(disk, fd), 0);
        disk_close(disk, fd);
    }
}

static void lock_held_keeps_out_java(void **state)
{
    (void)state;
    test_file(directory, ".lock", "", 0);
    int fd = disk_open(disk, path_of(".lock"), DISK_WRITE);
    assert_int_equal(disk_lock(disk, fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int other = open(path_of(".lock"), O_RDWR);
        _exit(fcntl(other, F_SETLK, &whole) < 0 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    /* And a second store of the same process. */
    int again = disk_open(disk, path_of(".lock"), DISK_WRITE);
    assert_int_equal(disk_lock(disk, again), E_IN_USE);
    disk_close(disk, again);
    disk_close(disk, fd);
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(file_written_is_read_back_and_ends),
        FILE_TEST(directory_is_made_listed_synced_and_removed),
        FILE_TEST(list_leaves_out_dots_and_stops_when_told),
        FILE_TEST(rename_replaces),
        FILE_TEST(what_is_not_there_is_not_found),
        FILE_TEST(full_device_is_told),
        FILE_TEST(too_many_open_files_is_no_memory),
        FILE_TEST(refused_by_permissions_is_denied),
        FILE_TEST(space_is_told),
        FILE_TEST(lock_excludes_other_processes_and_is_free_after_them),
        FILE_TEST(lock_held_keeps_out_java),
    };
    return TESTS_RUN(tests);
}
