/*
 * callgrind_wait.c - a broker under valgrind that can sleep.
 *
 * Valgrind runs one thread at a time. It gives its lock away in system calls that it knows to
 * block, and io_uring_enter is not one of them (3.19): a thread that waits for a completion keeps
 * every other from making one. Preloaded, this stands in front of liburing's wait: it submits,
 * sleeps in poll(2) on the ring's descriptor, and takes what has arrived. Only `make bench` loads
 * it, to count instructions; a counted wait costs a few more than a true one.
 */
#define _GNU_SOURCE
#include <liburing.h>
#include <poll.h>

/*
 * The contract is io_uring_submit_and_wait_timeout(3)'s; the caller reads the queue itself, so
 * *first stays empty.
 */
int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **first,
                                     unsigned wanted_n, struct __kernel_timespec *ts,
                                     sigset_t *mask)
{
    int rc = io_uring_submit_and_get_events(ring);

    if (rc >= 0 && io_uring_cq_ready(ring) < wanted_n) {
        struct pollfd fd = {.fd = ring->ring_fd, .events = POLLIN};
        struct timespec timeout = {.tv_sec = ts->tv_sec, .tv_nsec = ts->tv_nsec};

        ppoll(&fd, 1, &timeout, mask);
        rc = io_uring_get_events(ring);
    }
    *first = NULL;
    return rc;
}
