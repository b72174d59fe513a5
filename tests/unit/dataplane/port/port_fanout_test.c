/*
 * port_fanout_test.c - which calls reach the kernel: none of the driver's for a group, all others;
 * ours for several queues alone.
 */
#include "unit.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include "port_inside.h"

enum { CALLS_MAX = 8 };

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t n);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t n);

/* What the kernel was asked. Owner: the test. */
static struct {
    int fd, level, name, value;
} calls[CALLS_MAX];
static uint32_t calls_n, fails_at;

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
    assert_int_equal(n, sizeof(int));
    assert_true(calls_n < CALLS_MAX);
    calls[calls_n].fd = fd;
    calls[calls_n].level = level;
    calls[calls_n].name = name;
    calls[calls_n++].value = *(const int *)value;
    errno = EINVAL;
    return calls_n == fails_at ? -1 : 0;
}

static int setup(void **state)
{
    (void)state;
    calls_n = fails_at = 0;
    return 0;
}

static void drivers_group_is_left_out_and_nothing_else(void **state)
{
    int value = 7;

    (void)state;
    assert_int_equal(__wrap_setsockopt(3, SOL_PACKET, PACKET_FANOUT, &value, sizeof value), 0);
    assert_int_equal(calls_n, 0);
    assert_int_equal(__wrap_setsockopt(3, SOL_PACKET, PACKET_VERSION, &value, sizeof value), 0);
    assert_int_equal(__wrap_setsockopt(4, SOL_SOCKET, PACKET_FANOUT, &value, sizeof value), 0);
    assert_int_equal(calls_n, 2);
    assert_true(calls[0].fd == 3 && calls[0].name == PACKET_VERSION && calls[0].value == 7);
    assert_true(calls[1].fd == 4 && calls[1].level == SOL_SOCKET);
}

static void single_queue_is_in_no_group(void **state)
{
    static const int fds[] = {5};

    (void)state;
    assert_int_equal(port_fanout_join(fds, 1, 77), 0);
    assert_int_equal(calls_n, 0);
}

static void several_queues_join_one_group_by_hash(void **state)
{
    static const int fds[] = {5, 9, 6};

    (void)state;
    assert_int_equal(port_fanout_join(fds, 3, 0x8001), 0);
    assert_int_equal(calls_n, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(calls[i].fd, fds[i]);
        assert_int_equal(calls[i].level, SOL_PACKET);
        assert_int_equal(calls[i].name, PACKET_FANOUT);
        assert_int_equal(calls[i].value, PACKET_FANOUT_HASH << 16 | 0x8001);
    }
}

static void refused_join_says_why(void **state)
{
    static const int fds[] = {5, 9};

    (void)state;
    fails_at = 2;
    assert_int_equal(port_fanout_join(fds, 2, 1), EINVAL);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(drivers_group_is_left_out_and_nothing_else),
        T(single_queue_is_in_no_group),
        T(several_queues_join_one_group_by_hash),
        T(refused_join_says_why),
    };
    return TESTS_RUN(tests);
}
