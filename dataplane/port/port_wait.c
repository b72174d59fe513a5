/*
 * port_wait.c - descriptors of the kernel that become readable when a packet waits in a queue.
 *
 * Owner: main, at boot.
 *
 * DPDK's drivers for devices of the kernel poll memory and do not show their descriptors, but each
 * queue of theirs has one in this process: a packet socket (net_af_packet), an XDP socket
 * (net_af_xdp), an open /dev/net/tun (net_tap). They are looked for in /proc/self/fd. All three
 * are readable as long as a packet waits, whoever reads the memory, so a thread may sleep on them.
 *
 *   net_af_packet  makes the sockets of all queues in a row before anything else is opened: by
 *                  number, which is the order they were made in; bound to the interface
 *   the others     make one in rx_queue_setup: what was not there before
 *
 * What it does not do: interrupts of PCI devices.
 */
#include "port_inside.h"

#include <dirent.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DOMAIN_XDP = 44, LINK_N = 64 };

static bool is_socket(int fd, int domain)
{
    int found = 0;
    socklen_t n = sizeof found;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &found, &n) == 0 && found == domain;
}

static bool is_bound(int fd, unsigned interface)
{
    struct sockaddr_ll at = {0};
    socklen_t n = sizeof at;
    return getsockname(fd, (struct sockaddr *)(void *)&at, &n) == 0 &&
           at.sll_ifindex == (int)interface;
}

static bool is_tun(int fd)
{
    char path[LINK_N], target[LINK_N];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0)
        return false;
    target[n] = 0;
    return strcmp(target, "/dev/net/tun") == 0;
}

static bool is_of(int fd, const char *driver, unsigned interface)
{
    if (strcmp(driver, "net_af_packet") == 0)
        return interface != 0 && is_socket(fd, AF_PACKET) && is_bound(fd, interface);
    if (strcmp(driver, "net_af_xdp") == 0)
        return is_socket(fd, DOMAIN_XDP);
    return strcmp(driver, "net_tap") == 0 && is_tun(fd);
}

static int fd_compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void port_fds_find(struct port_fds *fds, const char *driver, const char *devargs)
{
    char interface[IF_NAMESIZE] = "";
    DIR *directory = opendir("/proc/self/fd");
    unsigned at = 0;

    fds->n = 0;
    if (directory == NULL)
        return;
    if (port_devarg(devargs, "iface", interface, sizeof interface))
        at = if_nametoindex(interface);
    for (struct dirent *entry; fds->n < PORT_FDS_MAX && (entry = readdir(directory)) != NULL;) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);
        if (end != entry->d_name && *end == 0 && is_of((int)fd, driver, at))
            fds->v[fds->n++] = (int)fd;
    }
    closedir(directory);
    qsort(fds->v, fds->n, sizeof fds->v[0], fd_compare);
}

int port_fds_new(const struct port_fds *before, const struct port_fds *after)
{
    for (uint32_t i = 0; i < after->n; i++) {
        bool is_old = false;
        for (uint32_t k = 0; k < before->n; k++)
            is_old |= before->v[k] == after->v[i];
        if (!is_old)
            return after->v[i];
    }
    return -1;
}
