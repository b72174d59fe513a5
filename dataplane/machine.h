/*
 * machine.h - the real seams: io_uring, memory from the kernel, limits of the process, randomness.
 *
 * Owner: main.
 */
#ifndef MILLRACE_MACHINE_H
#define MILLRACE_MACHINE_H

#include "broker.h"
#include "uring.h"

/* Owner: main. */
struct machine {
    bool is_pinned_memory; /* dataplane.poll=always: memory is touched at boot and known to io_uring
                            */
    struct uring_report report; /* of the last ring that was opened */
    uint32_t rings_n;
    bool has_helper_cpus;
    cpu_set_t helper_cpus; /* where the kernel's io workers run */
    uint64_t recovery_begin_ns, recovery_told_ns; /* of the progress while logs are opened; 0 */
};

/* Fills the seams; raises the limit of open files to what the process may have. */
void machine_seams(struct machine *machine, struct broker_seams *seams);
/* After boot: gives io_uring the log pages of each worker, when the memory is pinned. */
void machine_register(struct machine *machine, struct broker *broker);
/* Which block device each log directory is on, for whoever reads that it is slow. Before the
 * threads run. */
void machine_devices(struct broker *broker);
/* After boot, before the threads: every worker accepts on every listener. b->why is set on failure.
 */
nodiscard int machine_listen(struct broker *broker);
/* The kernel's io workers stay off the workers' cores. Before boot. */
void machine_helper_cpus(struct machine *machine, const int *cpus, int cpus_n);
/* One line on what io_uring can do here. */
void machine_print(const struct machine *machine, FILE *to);

#endif
