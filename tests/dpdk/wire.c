/*
 * wire.c - a bad cable between two interfaces: frames are lost, sent twice and overtaken.
 *
 *     wire IF_A IF_B LOSS DUPLICATE REORDER SEED         each in 1/1000 of the frames, both ways
 *
 * A frame that is to be overtaken waits until HELD_FRAMES later ones have passed, or HELD_MS. Ends
 * by SIGTERM and says what it did. The kernel's netem would do, where it is there.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_MAX = 65536, HELD_FRAMES = 3, HELD_MS = 5, BUFFER_BYTES = 8 << 20 };

struct side {
    int fd;
    uint8_t held[FRAME_MAX];
    ssize_t held_n;
    int held_left;
};

static struct side sides[2];
static uint64_t seed;
static unsigned long passed_n, lost_n, twice_n, late_n;
static volatile sig_atomic_t is_over;

static void over(int signal)
{
    (void)signal;
    is_over = 1;
}

static unsigned dice(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % 1000);
}

static int open_side(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), bytes = BUFFER_BYTES, one = 1;
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    struct packet_mreq promiscuous = {.mr_type = PACKET_MR_PROMISC};
    at.sll_ifindex = promiscuous.mr_ifindex = (int)if_nametoindex(name);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) != 0) {
        perror(name);
        exit(1);
    }
    return fd;
}

static void pass(struct side *to, const uint8_t *frame, ssize_t n)
{
    if (send(to->fd, frame, (size_t)n, 0) == n)
        passed_n++;
}

static void held_pass(struct side *to)
{
    if (to->held_n > 0)
        pass(to, to->held, to->held_n);
    to->held_n = 0;
}

static void one_frame(struct side *from, struct side *to, const unsigned rates[3])
{
    static uint8_t frame[FRAME_MAX];
    ssize_t n = recv(from->fd, frame, sizeof frame, MSG_DONTWAIT);
    if (n <= 0)
        return;
    if (dice() < rates[0]) {
        lost_n++;
        return;
    }
    if (to->held_n == 0 && dice() < rates[2]) {
        memcpy(to->held, frame, (size_t)n);
        to->held_n = n;
        to->held_left = HELD_FRAMES;
        late_n++;
        return;
    }
    pass(to, frame, n);
    if (dice() < rates[1]) {
        pass(to, frame, n);
        twice_n++;
    }
    if (to->held_n > 0 && --to->held_left == 0)
        held_pass(to);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "wire IF_A IF_B LOSS DUPLICATE REORDER SEED\n");
        return 2;
    }
    unsigned rates[3];
    for (int i = 0; i < 3; i++)
        rates[i] = (unsigned)atoi(argv[3 + i]);
    seed = strtoull(argv[6], NULL, 0) | 1;
    signal(SIGTERM, over);
    signal(SIGINT, over);
    for (int i = 0; i < 2; i++)
        sides[i].fd = open_side(argv[1 + i]);
    struct pollfd events[2] = {{sides[0].fd, POLLIN, 0}, {sides[1].fd, POLLIN, 0}};
    while (!is_over) {
        int ready = poll(events, 2, HELD_MS);
        for (int i = 0; i < 2; i++) {
            if (ready == 0)
                held_pass(&sides[i]);
            if (ready > 0 && (events[i].revents & POLLIN) != 0)
                one_frame(&sides[i], &sides[1 - i], rates);
        }
    }
    printf("%lu passed, %lu lost, %lu twice, %lu overtaken\n", passed_n, lost_n, twice_n, late_n);
    return 0;
}
