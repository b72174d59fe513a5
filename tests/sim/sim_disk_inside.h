/*
 * sim_disk_inside.h - shared by sim_disk.c (tree, synchronous seam) and sim_disk_io.c (asynchronous
 * seam).
 *
 * Owner: the simulator.
 */
#ifndef MILLRACE_SIM_DISK_INSIDE_H
#define MILLRACE_SIM_DISK_INSIDE_H

#include "sim_disk.h"

enum { SIM_FILES_MAX = 4096, SIM_SECTOR = 512, SIM_BLOCK = 4096 };

struct sim_content {
    uint8_t *ptr;
    uint64_t bytes, room;
};

struct sim_entry {
    char name[DISK_NAME_MAX + 1];
    struct sim_node *node;
};

struct sim_entries {
    struct sim_entry *v;
    uint32_t n, room;
};

/* A write to a file, or a change of a directory, that no sync covers yet; `number` orders all of
 * them. */
struct sim_pending {
    struct list link;
    uint64_t number;
    uint64_t pos, bytes; /* pos is the new size of a resize */
    bool is_resize;
    struct sim_node *node; /* directories: the new target of `name`, NULL = removed */
    char name[DISK_NAME_MAX + 1];
    uint8_t data[];
};

struct sim_node {
    struct list link;
    bool is_directory, is_ring, is_segment, is_metadata;
    bool is_cleaned; /* it was made as the output of a compaction */
    int64_t modified_ms;
    struct sim_content now, kept;
    struct sim_entries entries, kept_entries;
    struct list pending;
};

struct sim_disk {
    struct disk disk;
    struct prng prng;
    uint64_t now_ns, latency_ns_max;
    int64_t wall_ms;
    struct sim_node *root;
    struct list nodes, ios;
    uint64_t changes_n, operations_n, fail_at, die_at;
    bool is_dead;
    enum sim_fault fault;
    enum sim_plant plant;
    bool has_no_sync_all;
    struct sim_node *files[SIM_FILES_MAX];
    bool is_direct[SIM_FILES_MAX]; /* O_DIRECT */
    bool has_no_direct;
};

struct sim_node *sim_fd_node(struct sim_disk *d, int fd);
/* With O_DIRECT everything is aligned to blocks, or the transfer is refused (EINVAL). */
bool sim_fd_takes(const struct sim_disk *d, int fd, const void *memory, uint64_t n, uint64_t pos);
void sim_node_write(struct sim_disk *d, struct sim_node *node, const void *from, uint64_t n,
                    uint64_t pos);
/* Makes durable the pending changes with a number <= up_to. */
void sim_node_sync(struct sim_disk *d, struct sim_node *node, uint64_t up_to);
/* Counts an operation; true when it is the one that has to fail. */
bool sim_disk_counts(struct sim_disk *d);

/* sim_disk_io.c: every io goes, nothing under way happens. */
void sim_ios_drop(struct sim_disk *d);

#endif
