/*
 * port_fanout.c - the packet sockets of a net_af_packet device share its frames only when there are
 * several of them.
 *
 * Owner: main, at boot.
 *
 * DPDK's driver puts each of its sockets into a fanout group, also a single one. The kernel then
 * dissects and hashes every frame, looks for fragments and asks the ring for its room, before it
 * looks for the room in earnest: 17 % of what receiving costs. So the driver's request is left out
 * (the library is linked with --wrap=setsockopt), and who has several queues joins them here.
 *
 * What it does not do: reassemble fragments, or move frames from a full ring to another; the
 * driver's group would. TCP does not fragment, and a full ring is a worker that is late.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port_inside.h"

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t n);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t n);

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
    if (level == SOL_PACKET && name == PACKET_FANOUT)
        return 0;
    return __real_setsockopt(fd, level, name, value, n);
}

int port_fanout_join(const int *fds, uint32_t n, uint16_t group)
{
    int value = (int)((uint32_t)PACKET_FANOUT_HASH << 16 | group);

    for (uint32_t i = 0; n > 1 && i < n; i++)
        if (__real_setsockopt(fds[i], SOL_PACKET, PACKET_FANOUT, &value, sizeof value) != 0)
            return errno;
    return 0;
}
