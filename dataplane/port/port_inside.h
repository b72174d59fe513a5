/*
 * port_inside.h - what the files of dataplane/port/ share: is the machine ready for these ports;
 * what a thread may sleep on.
 *
 * Owner: main.
 */
#ifndef MILLRACE_PORT_INSIDE_H
#define MILLRACE_PORT_INSIDE_H

#include "port.h"

/* What port_check looks at; a test points it at a made tree. Owner: the caller. */
struct port_machine {
    const char *root;      /* "" for the real /sys and /dev             */
    uint64_t capabilities; /* effective ones of the process, as bits    */
    uint32_t uid;
};

enum { PORT_CAP_NET_ADMIN = 12, PORT_CAP_NET_RAW = 13, PORT_CAP_SYS_ADMIN = 21, PORT_CAP_BPF = 39 };

/* 0000:03:00.0, or 03:00.0. */
bool port_is_pci(const char *name);
/* The driver of a virtual device: "net_tap" of "net_tap0". */
void port_driver_of(const char *name, char *to, size_t to_n);
/* The value of `key` in "a=b,c=d"; false when it is not there. */
bool port_devarg(const char *devargs, const char *key, char *to, size_t to_n);

void port_machine_read(struct port_machine *m);
/* Free huge pages of 2 MiB. */
uint64_t port_huge_free_n(const struct port_machine *m);
/* Everything that would make the start fail and can be seen before it. `why`: which of hugepages,
 * driver binding, IOMMU, permissions or device it is, and the command that mends it. *use_huge says
 * whether huge pages are to be used. */
nodiscard int port_check(const struct port_machine *m, const struct ports_config *config,
                         uint64_t memory_bytes, bool *use_huge, char *why, size_t why_n);

/* port_wait.c: descriptors of this process that belong to queues of such a device, by number. */
enum { PORT_FDS_MAX = 4 * PORT_QUEUES_MAX };
struct port_fds {
    uint32_t n;
    int v[PORT_FDS_MAX];
};
void port_fds_find(struct port_fds *fds, const char *driver, const char *devargs);
/* The lowest of `after` that was not there before; -1. */
int port_fds_new(const struct port_fds *before, const struct port_fds *after);
/* port_fanout.c: the packet sockets of a device's queues share its frames; 0, or errno. */
nodiscard int port_fanout_join(const int *fds, uint32_t n, uint16_t group);
/* port_facts.c */
enum { PORT_TX_PARTS_MAX = 64 }; /* buffers of one copied packet */
struct rte_eth_dev_info;
struct rte_eth_conf;
/* Sets f's offloads, and asks for them in conf. */
void port_offloads_choose(struct port_facts *f, const struct rte_eth_dev_info *info, bool has_tso,
                          struct rte_eth_conf *conf);
/* does_wake: its queues have descriptors to sleep on. */
void port_facts_print(const struct port_facts *f, const struct port_config *p, bool does_wake,
                      bool use_huge, FILE *to);

/* port_eal.c: starts EAL, once in a process. `why` has its own words on failure. */
nodiscard int port_eal_start(const struct ports_config *config, uint64_t memory_bytes,
                             bool use_huge, char *why, size_t why_n);
void port_eal_stop(void);

#endif
