/*
 * pump_kernel.c - the ends over kernel sockets, and raw frames out of an interface.
 *
 * Owner: main, one thread. Sockets block: what the kernel's own stack costs at its best.
 */
#include "pump.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAMES = 64, FRAME_BYTES = 1514, RETRIES = 100 };

static int fail(const char *what)
{
    fprintf(stderr, "pump: %s: %s\n", what, strerror(errno));
    return -1;
}

static struct sockaddr_in address(uint32_t ip)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(PUMP_PORT), .sin_addr = {htonl(ip)}};
}

static int accept_one(void)
{
    struct sockaddr_in at = address(0);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 1) != 0)
        return fail("listen");
    int got = accept(fd, NULL, NULL);
    close(fd);
    return got < 0 ? fail("accept") : got;
}

/* The other end may still be starting. */
static int connect_to(uint32_t ip)
{
    struct sockaddr_in at = address(ip);
    for (int i = 0; i < RETRIES; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0)
            break;
        if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
            return fd;
        close(fd);
        usleep(100000);
    }
    return fail("connect");
}

static void no_delay(int fd)
{
    int one = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        fail("TCP_NODELAY");
}

static int sink(struct pump_result *r)
{
    uint8_t *buffer = malloc(PUMP_CHUNK);
    int fd = accept_one();
    uint64_t begin = 0;
    if (fd < 0 || buffer == NULL)
        return -1;
    for (ssize_t n; (n = recv(fd, buffer, PUMP_CHUNK, 0)) > 0; r->bytes += (uint64_t)n) {
        begin = begin == 0 ? clock_read_ns() : begin;
        if (r->broken == 0 && !pump_is_equal(buffer, (uint32_t)n, r->bytes))
            r->broken = r->bytes + 1;
    }
    r->wall_ns = clock_read_ns() - begin;
    close(fd);
    free(buffer);
    return 0;
}

static int source(const struct pump_options *o, struct pump_result *r)
{
    int fd = connect_to(o->to);
    if (fd < 0)
        return -1;
    uint64_t begin = clock_read_ns(), end = begin + (uint64_t)(o->seconds * 1e9);
    while (clock_read_ns() < end) {
        ssize_t n = send(fd, pump_bytes(r->bytes), PUMP_CHUNK, MSG_NOSIGNAL);
        if (n <= 0)
            return fail("send");
        r->bytes += (uint64_t)n;
    }
    r->wall_ns = clock_read_ns() - begin;
    struct tcp_info info;
    socklen_t info_n = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_n) == 0)
        r->retransmits = info.tcpi_total_retrans;
    close(fd);
    return 0;
}

static int echo(struct pump_result *r)
{
    uint8_t buffer[PUMP_PING_BYTES];
    int fd = accept_one();
    if (fd < 0)
        return -1;
    no_delay(fd);
    while (recv(fd, buffer, sizeof buffer, MSG_WAITALL) == (ssize_t)sizeof buffer) {
        if (send(fd, buffer, sizeof buffer, MSG_NOSIGNAL) != (ssize_t)sizeof buffer)
            break;
        r->bytes += sizeof buffer;
    }
    close(fd);
    return 0;
}

static int ping(const struct pump_options *o, struct pump_result *r)
{
    uint8_t buffer[PUMP_PING_BYTES];
    int fd = connect_to(o->to);
    if (fd < 0)
        return -1;
    no_delay(fd);
    uint64_t begin = clock_read_ns(), now = begin, end = begin + (uint64_t)(o->seconds * 1e9);
    while (now < end && r->rtts_n < PUMP_PINGS_MAX) {
        if (send(fd, pump_bytes(r->bytes), sizeof buffer, MSG_NOSIGNAL) != (ssize_t)sizeof buffer ||
            recv(fd, buffer, sizeof buffer, MSG_WAITALL) != (ssize_t)sizeof buffer)
            return fail("ping");
        if (!pump_is_equal(buffer, sizeof buffer, r->bytes))
            r->broken = r->bytes + 1;
        r->bytes += sizeof buffer;
        uint64_t then = clock_read_ns();
        r->rtt_ns[r->rtts_n++] = then - now;
        now = then;
    }
    r->wall_ns = now - begin;
    close(fd);
    return 0;
}

/* Frames of the size of a full segment, past the queueing discipline: what the device carries. */
static int raw(const struct pump_options *o, struct pump_result *r)
{
    static uint8_t frame[FRAME_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8};
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_halen = 6};
    struct iovec iov = {frame, sizeof frame};
    struct mmsghdr v[FRAMES];
    int one = 1, fd = socket(AF_PACKET, SOCK_RAW, 0);
    at.sll_ifindex = (int)if_nametoindex(o->devargs);
    if (fd < 0 || at.sll_ifindex == 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) != 0)
        return fail("raw");
    memset(v, 0, sizeof v);
    for (int i = 0; i < FRAMES; i++)
        v[i].msg_hdr = (struct msghdr){
            .msg_name = &at, .msg_namelen = sizeof at, .msg_iov = &iov, .msg_iovlen = 1};
    uint64_t begin = clock_read_ns(), end = begin + (uint64_t)(o->seconds * 1e9);
    while (clock_read_ns() < end) {
        int n = sendmmsg(fd, v, FRAMES, 0);
        if (n > 0)
            r->segments += (uint64_t)n;
    }
    r->wall_ns = clock_read_ns() - begin;
    r->bytes = r->segments * FRAME_BYTES;
    close(fd);
    return 0;
}

int pump_kernel(const struct pump_options *o, struct pump_result *r)
{
    if (strcmp(o->role, "sink") == 0)
        return sink(r);
    if (strcmp(o->role, "source") == 0)
        return source(o, r);
    if (strcmp(o->role, "echo") == 0)
        return echo(r);
    if (strcmp(o->role, "ping") == 0)
        return ping(o, r);
    return raw(o, r);
}
