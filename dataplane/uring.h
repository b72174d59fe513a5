/*
 * uring.h - struct io (io.h) on the kernel's io_uring: one ring per thread that does input and
 * output.
 *
 * Owner: the thread that first polls it. The ring is made disabled, so that main can open it, give
 * it buffers and memory, and queue the first operations; the first io_poll, io_wait or uring_enable
 * makes the calling thread its only user (IORING_SETUP_SINGLE_ISSUER). When that thread has ended
 * and nothing is under way, another thread may go on with it: the ring is then made anew, with the
 * same buffers and memory.
 */
#ifndef MILLRACE_URING_H
#define MILLRACE_URING_H

#include <sched.h>

#include "errors.h"
#include "io.h"

/* What the kernel gave and what it refused, in words an operator can act on. Owner: the caller. */
struct uring_report {
    int error;              /* errno of the refusal; 0 when nothing was refused                  */
    bool has_single_issuer; /* IORING_SETUP_SINGLE_ISSUER, and multishot receive (kernel 6.0)    */
    bool has_defer_taskrun; /* IORING_SETUP_DEFER_TASKRUN (kernel 6.1)                           */
    bool has_memory;        /* uring_memory_register worked: reads and writes use fixed buffers  */
    bool has_helper_cpus;   /* the kernel's io workers run where uring_helper_cpus_set said      */
    char text[320];         /* one line: what was refused, and what to do; "" when nothing was   */
};

/* Counters of one ring. Owner: its thread. */
struct uring_stats {
    uint64_t enters_n; /* system calls that submitted or took completions     */
    uint64_t waits_n;  /* of those, that were allowed to sleep                */
    uint64_t completions_n;
    uint64_t queue_full_n; /* submits in the middle of a turn: the queue was full */
    uint64_t refused_n;    /* the kernel took nothing (EBUSY, EAGAIN): kept back  */
    uint64_t overflow_n;   /* the completion queue overflowed; nothing was lost   */
};

/* Boot. `entries`: operations between two polls before a submit in between is needed (2 .. 32768).
 * 0; E_DENIED, E_UNSUPPORTED, E_NO_MEMORY: report->text says why and what to do. */
nodiscard int uring_open(struct io **out, uint32_t entries, struct uring_report *report);

/* Frees everything. Operations under way end without their done. */
void uring_close(struct io *io);

/* Boot. Registers memory (pages) so that IO_READ and IO_WRITE of one piece inside it skip pinning
 * pages. 0, or E_ with report->text: everything works without it, at more CPU per byte. */
nodiscard int uring_memory_register(struct io *io, void *memory, uint64_t bytes,
                                    struct uring_report *report);

/* Boot. The CPUs for the kernel's own io workers (fsync and whatever blocks runs there). Takes
 * effect in uring_enable, because the kernel keeps it per thread. */
void uring_helper_cpus_set(struct io *io, const cpu_set_t *cpus);

/* Makes the calling thread the ring's only user. The first poll does it too, but cannot tell what
 * failed. */
nodiscard int uring_enable(struct io *io, struct uring_report *report);

const struct uring_stats *uring_stats(const struct io *io);

#endif
