/*
 * sim_disk.c - the tree, the files and the synchronous seam of the simulated disk; see sim_disk.h.
 *
 * Owner: the simulator. Names are looked up component by component from one root directory; "." and
 * absolute paths are the same tree. Memory is the heap's: this is test code.
 */
#include "sim_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "sim_disk_inside.h"

/* ── contents ── */

static struct sim_node *node_new(struct sim_disk *d, bool is_directory)
{
    struct sim_node *node = calloc(1, sizeof *node);
    check(node != NULL);
    node->is_directory = is_directory;
    node->modified_ms = d->wall_ms;
    list_init(&node->pending);
    list_append(&d->nodes, &node->link);
    return node;
}

static void content_extend(struct sim_content *c, uint64_t bytes)
{
    if (bytes <= c->room)
        return;
    uint64_t room = max_u64(bytes, c->room * 2);
    c->ptr = realloc(c->ptr, room);
    check(c->ptr != NULL);
    memset(c->ptr + c->room, 0, room - c->room);
    c->room = room;
}

static void content_write(struct sim_content *c, const void *from, uint64_t n, uint64_t pos)
{
    content_extend(c, pos + n);
    if (n > 0)
        memcpy(c->ptr + pos, from, n);
    c->bytes = max_u64(c->bytes, pos + n);
}

static void content_resize(struct sim_content *c, uint64_t bytes)
{
    content_extend(c, bytes);
    if (bytes < c->bytes)
        memset(c->ptr + bytes, 0, c->bytes - bytes);
    c->bytes = bytes;
}

/* ── directories ── */

static struct sim_entry *entries_find(struct sim_entries *e, const char *name)
{
    for (uint32_t i = 0; i < e->n; i++)
        if (strcmp(e->v[i].name, name) == 0)
            return &e->v[i];
    return NULL;
}

static void entries_set(struct sim_entries *e, const char *name, struct sim_node *node)
{
    struct sim_entry *entry = entries_find(e, name);
    if (node == NULL) {
        if (entry != NULL)
            *entry = e->v[--e->n];
        return;
    }
    if (entry == NULL) {
        if (e->n == e->room) {
            e->room = e->room == 0 ? 8 : e->room * 2;
            e->v = realloc(e->v, e->room * sizeof *e->v);
            check(e->v != NULL);
        }
        entry = &e->v[e->n++];
        snprintf(entry->name, sizeof entry->name, "%s", name);
    }
    entry->node = node;
}

/* A rename is two changes with the same number, so that both halves survive together. */
static void directory_change(struct sim_disk *d, struct sim_node *directory, const char *name,
                             struct sim_node *node, uint64_t number)
{
    struct sim_pending *p = calloc(1, sizeof *p);
    check(p != NULL);
    p->number = number;
    p->node = node;
    snprintf(p->name, sizeof p->name, "%s", name);
    list_append(&directory->pending, &p->link);
    entries_set(&directory->entries, name, node);
    directory->modified_ms = d->wall_ms;
}

/* Walks to the directory that holds the last component; *last is that component ("" for the root).
 */
static struct sim_node *walk(struct sim_disk *d, const char *path, char *last)
{
    struct sim_node *at = d->root;
    char part[DISK_NAME_MAX + 1];
    last[0] = 0;
    while (*path != 0) {
        size_t n = strcspn(path, "/");
        if (n > DISK_NAME_MAX)
            return NULL;
        memcpy(part, path, n);
        part[n] = 0;
        path += n + (path[n] == '/');
        if (n == 0 || strcmp(part, ".") == 0)
            continue;
        if (last[0] != 0) {
            struct sim_entry *e = entries_find(&at->entries, last);
            if (e == NULL || !e->node->is_directory)
                return NULL;
            at = e->node;
        }
        memcpy(last, part, n + 1);
    }
    return at;
}

static struct sim_node *find(struct sim_disk *d, const char *path)
{
    char last[DISK_NAME_MAX + 1];
    struct sim_node *at = walk(d, path, last);
    if (at == NULL || last[0] == 0)
        return at;
    struct sim_entry *e = entries_find(&at->entries, last);
    return e == NULL ? NULL : e->node;
}

static struct sim_disk *of(struct disk *disk)
{
    return container_of(disk, struct sim_disk, disk);
}

bool sim_disk_counts(struct sim_disk *d)
{
    d->operations_n++;
    if (d->die_at != 0 && d->operations_n >= d->die_at) {
        d->is_dead = true;
        d->fault = SIM_FAULT_EIO;
        return true;
    }
    return d->fail_at != 0 && d->operations_n == d->fail_at;
}

static int fault_error(const struct sim_disk *d)
{
    return d->fault == SIM_FAULT_ENOSPC ? E_DISK_FULL : E_IO;
}

/* ── the synchronous seam ── */

struct sim_node *sim_fd_node(struct sim_disk *d, int fd)
{
    check(fd >= 0 && fd < SIM_FILES_MAX && d->files[fd] != NULL);
    return d->files[fd];
}

bool sim_fd_takes(const struct sim_disk *d, int fd, const void *memory, uint64_t n, uint64_t pos)
{
    return !d->is_direct[fd] ||
           (is_aligned((uintptr_t)memory, SIM_BLOCK) && is_aligned(n, SIM_BLOCK) &&
            is_aligned(pos, SIM_BLOCK));
}

static int sim_open(struct disk *disk, const char *path, int how)
{
    struct sim_disk *d = of(disk);
    char last[DISK_NAME_MAX + 1];
    struct sim_node *at = walk(d, path, last), *node = find(d, path);
    if (node == NULL && ((how & DISK_CREATE) == 0 || at == NULL))
        return E_NOT_FOUND;
    if (node != NULL && (how & DISK_EXCLUSIVE))
        return E_EXISTS;
    if (node != NULL && node->is_directory && (how & DISK_WRITE))
        return E_DENIED;
    if ((how & DISK_DIRECT) && d->has_no_direct)
        return E_INVALID;
    if (node == NULL) {
        if (sim_disk_counts(d))
            return fault_error(d);
        node = node_new(d, false);
        node->is_ring = strstr(last, ".ring") != NULL;
        node->is_segment = strstr(last, ".log") != NULL && strstr(path, "metadata") == NULL;
        node->is_metadata = strstr(path, "__cluster_metadata") != NULL;
        directory_change(d, at, last, node, ++d->changes_n);
        node->is_cleaned = strstr(last, ".cleaned") != NULL;
    }
    for (int fd = 3; fd < SIM_FILES_MAX; fd++) {
        if (d->files[fd] == NULL) {
            d->files[fd] = node;
            d->is_direct[fd] = (how & DISK_DIRECT) != 0;
            return fd;
        }
    }
    return E_NO_MEMORY;
}

static void sim_close(struct disk *disk, int fd)
{
    struct sim_disk *d = of(disk);
    sim_fd_node(d, fd);
    d->files[fd] = NULL;
}

static int64_t sim_read(struct disk *disk, int fd, void *to, uint64_t n, uint64_t pos)
{
    struct sim_node *node = sim_fd_node(of(disk), fd);
    if (!sim_fd_takes(of(disk), fd, to, n, pos))
        return E_INVALID;
    if (pos >= node->now.bytes)
        return 0;
    n = min_u64(n, node->now.bytes - pos);
    memcpy(to, node->now.ptr + pos, n);
    return (int64_t)n;
}

void sim_node_write(struct sim_disk *d, struct sim_node *node, const void *from, uint64_t n,
                    uint64_t pos)
{
    struct sim_pending *p = calloc(1, sizeof *p + n);
    check(p != NULL);
    p->number = ++d->changes_n;
    p->pos = pos;
    p->bytes = n;
    if (n > 0)
        memcpy(p->data, from, n);
    list_append(&node->pending, &p->link);
    content_write(&node->now, from, n, pos);
    node->modified_ms = d->wall_ms;
}

static int sim_write(struct disk *disk, int fd, const void *from, uint64_t n, uint64_t pos)
{
    struct sim_disk *d = of(disk);
    struct sim_node *node = sim_fd_node(d, fd);
    if (!sim_fd_takes(d, fd, from, n, pos))
        return E_INVALID;
    if (sim_disk_counts(d))
        return fault_error(d);
    sim_node_write(d, node, from, n, pos);
    return 0;
}

static void pending_apply(struct sim_node *node, struct sim_pending *p)
{
    if (node->is_directory)
        entries_set(&node->kept_entries, p->name, p->node);
    else if (p->is_resize)
        content_resize(&node->kept, p->pos);
    else
        content_write(&node->kept, p->data, p->bytes, p->pos);
}

void sim_node_sync(struct sim_disk *d, struct sim_node *node, uint64_t up_to)
{
    bool is_ignored = (d->plant == SIM_PLANT_NO_FLUSH && !node->is_directory) ||
                      (d->plant == SIM_PLANT_RING_FLUSH && node->is_ring) ||
                      (d->plant == SIM_PLANT_SEGMENT_FLUSH && node->is_segment) ||
                      (d->plant == SIM_PLANT_METADATA_FLUSH && node->is_metadata) ||
                      (d->plant == SIM_PLANT_NO_CLEAN_SYNC && node->is_cleaned) ||
                      (d->plant == SIM_PLANT_NAMES && node->is_directory);
    if (is_ignored)
        return;
    list_for_each(l, next, &node->pending) {
        struct sim_pending *p = list_entry(l, struct sim_pending, link);
        if (p->number > up_to)
            continue;
        pending_apply(node, p);
        list_del(&p->link);
        free(p);
    }
}

static int sim_sync(struct disk *disk, int fd)
{
    struct sim_disk *d = of(disk);
    if (sim_disk_counts(d))
        return E_IO;
    sim_node_sync(d, sim_fd_node(d, fd), UINT64_MAX);
    return 0;
}

static int sim_truncate(struct disk *disk, int fd, uint64_t bytes)
{
    struct sim_disk *d = of(disk);
    struct sim_node *node = sim_fd_node(d, fd);
    struct sim_pending *p;
    if (sim_disk_counts(d))
        return fault_error(d);
    p = calloc(1, sizeof *p);
    check(p != NULL);
    p->number = ++d->changes_n;
    p->pos = bytes;
    p->is_resize = true;
    list_append(&node->pending, &p->link);
    content_resize(&node->now, bytes);
    return 0;
}

static int sim_stat(struct disk *disk, const char *path, struct disk_stat *out)
{
    struct sim_node *node = find(of(disk), path);
    if (node == NULL)
        return E_NOT_FOUND;
    *out = (struct disk_stat){node->now.bytes, node->modified_ms, node->is_directory};
    return 0;
}

static int sim_make_directory(struct disk *disk, const char *path)
{
    struct sim_disk *d = of(disk);
    char last[DISK_NAME_MAX + 1];
    struct sim_node *at = walk(d, path, last);
    if (at == NULL)
        return E_NOT_FOUND;
    if (last[0] == 0 || entries_find(&at->entries, last) != NULL)
        return E_EXISTS;
    if (sim_disk_counts(d))
        return fault_error(d);
    directory_change(d, at, last, node_new(d, true), ++d->changes_n);
    return 0;
}

static int remove_name(struct disk *disk, const char *path, bool is_directory)
{
    struct sim_disk *d = of(disk);
    char last[DISK_NAME_MAX + 1];
    struct sim_node *at = walk(d, path, last), *node = find(d, path);
    if (node == NULL || at == NULL || last[0] == 0)
        return E_NOT_FOUND;
    if (node->is_directory != is_directory || (is_directory && node->entries.n > 0))
        return E_INVALID;
    if (sim_disk_counts(d))
        return E_IO;
    directory_change(d, at, last, NULL, ++d->changes_n);
    return 0;
}

static int sim_remove_directory(struct disk *disk, const char *path)
{
    return remove_name(disk, path, true);
}

static int sim_unlink(struct disk *disk, const char *path)
{
    return remove_name(disk, path, false);
}

static int sim_rename(struct disk *disk, const char *from, const char *to)
{
    struct sim_disk *d = of(disk);
    char last_from[DISK_NAME_MAX + 1], last_to[DISK_NAME_MAX + 1];
    struct sim_node *at = walk(d, from, last_from), *at_to = walk(d, to, last_to),
                    *node = find(d, from);
    if (at == NULL || at_to == NULL || node == NULL)
        return E_NOT_FOUND;
    if (sim_disk_counts(d))
        return E_IO;
    if (d->plant == SIM_PLANT_START_LOST && strcmp(last_to, "log-start-offset") == 0)
        return 0;
    uint64_t number = ++d->changes_n;
    directory_change(d, at, last_from, NULL, number);
    directory_change(d, at_to, last_to, node, number);
    return 0;
}

static int sim_list(struct disk *disk, const char *path, int (*each)(void *, const char *),
                    void *context)
{
    struct sim_node *node = find(of(disk), path);
    int rc = 0;
    if (node == NULL || !node->is_directory)
        return E_NOT_FOUND;
    /* Over a copy of the names: `each` may change the directory. */
    uint32_t n = node->entries.n;
    struct sim_entry *copy = malloc((n + 1) * sizeof *copy);
    check(copy != NULL);
    if (n > 0)
        memcpy(copy, node->entries.v, n * sizeof *copy);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = each(context, copy[i].name);
    free(copy);
    return rc;
}

static int sim_lock(struct disk *disk, int fd)
{
    sim_fd_node(of(disk), fd);
    return 0;
}

static int sim_space(struct disk *disk, const char *path, struct disk_space *out)
{
    (void)disk;
    (void)path;
    *out = (struct disk_space){GIB(100), GIB(50)};
    return 0;
}

static int sim_sync_all(struct disk *disk, int fd)
{
    struct sim_disk *d = of(disk);
    sim_fd_node(d, fd);
    if (d->has_no_sync_all)
        return E_UNSUPPORTED;
    if (sim_disk_counts(d))
        return E_IO;
    list_for_each(l, next, &d->nodes) {
        sim_node_sync(d, list_entry(l, struct sim_node, link), UINT64_MAX);
    }
    return 0;
}

static const struct disk_functions sim_functions = {
    .open = sim_open,
    .close = sim_close,
    .read = sim_read,
    .write = sim_write,
    .sync = sim_sync,
    .truncate = sim_truncate,
    .stat = sim_stat,
    .make_directory = sim_make_directory,
    .remove_directory = sim_remove_directory,
    .unlink = sim_unlink,
    .rename = sim_rename,
    .list = sim_list,
    .lock = sim_lock,
    .space = sim_space,
    .sync_all = sim_sync_all,
};

/* ── life and crashes ── */

struct sim_disk *sim_disk_new(uint64_t seed, uint64_t latency_ns_max)
{
    struct sim_disk *d = calloc(1, sizeof *d);
    check(d != NULL);
    d->disk.functions = &sim_functions;
    d->latency_ns_max = latency_ns_max;
    prng_init(&d->prng, seed);
    list_init(&d->nodes);
    list_init(&d->ios);
    d->root = node_new(d, true);
    return d;
}

struct disk *sim_disk_disk(struct sim_disk *d)
{
    return &d->disk;
}

static void pending_clear(struct sim_node *node)
{
    struct list *l;
    while ((l = list_pop(&node->pending)) != NULL)
        free(list_entry(l, struct sim_pending, link));
}

void sim_disk_free(struct sim_disk *d)
{
    struct list *l;
    sim_ios_drop(d);
    while ((l = list_pop(&d->nodes)) != NULL) {
        struct sim_node *node = list_entry(l, struct sim_node, link);
        pending_clear(node);
        free(node->now.ptr);
        free(node->kept.ptr);
        free(node->entries.v);
        free(node->kept_entries.v);
        free(node);
    }
    free(d);
}

/* One pending write after a power cut: kept, lost, or some of its 512-byte sectors. */
static void power_cut_write(struct sim_disk *d, struct sim_node *node, struct sim_pending *p)
{
    uint64_t fate = prng_below(&d->prng, 3);
    if (fate == 0)
        return;
    if (fate == 1 || p->is_resize) {
        pending_apply(node, p);
        return;
    }
    for (uint64_t at = 0; at < p->bytes;) {
        uint64_t end = min_u64(p->bytes, align_down(p->pos + at, SIM_SECTOR) + SIM_SECTOR - p->pos);
        if (prng_chance(&d->prng, 50))
            content_write(&node->kept, p->data + at, end - at, p->pos + at);
        at = end;
    }
}

static void power_cut_file(struct sim_disk *d, struct sim_node *node)
{
    uint64_t bytes_now = node->now.bytes;
    list_for_each(l, next, &node->pending)
        power_cut_write(d, node, list_entry(l, struct sim_pending, link));
    /* The size may be ahead of the data: zeros then stand where nothing was kept. */
    if (bytes_now > node->kept.bytes && prng_chance(&d->prng, 50))
        content_resize(&node->kept,
                       node->kept.bytes + prng_below(&d->prng, bytes_now - node->kept.bytes + 1));
    content_resize(&node->now, 0);
    content_write(&node->now, node->kept.ptr, node->kept.bytes, 0);
}

/* All directories share one cut: changes numbered up to `last` survive, as in a journal of
 * metadata. */
static void power_cut_directory(struct sim_node *node, uint64_t last)
{
    list_for_each(l, next, &node->pending) {
        struct sim_pending *p = list_entry(l, struct sim_pending, link);
        if (p->number <= last)
            pending_apply(node, p);
    }
    node->entries.n = 0;
    for (uint32_t i = 0; i < node->kept_entries.n; i++)
        entries_set(&node->entries, node->kept_entries.v[i].name, node->kept_entries.v[i].node);
}

/* The oldest pending change of any directory: the cut lies between it and now. */
static uint64_t oldest_directory_change(const struct sim_disk *d)
{
    uint64_t oldest = d->changes_n + 1;
    list_for_each(l, next, (struct list *)&d->nodes) {
        struct sim_node *node = list_entry(l, struct sim_node, link);
        struct sim_pending *p = list_first(&node->pending, struct sim_pending, link);
        if (node->is_directory && p != NULL)
            oldest = min_u64(oldest, p->number);
    }
    return oldest;
}

/* Planted bugs that are a crash's. */
static void crash_plant(struct sim_disk *d, enum sim_crash kind)
{
    list_for_each(l, next, &d->nodes) {
        struct sim_node *node = list_entry(l, struct sim_node, link);
        if (!node->is_ring)
            continue;
        if (d->plant == SIM_PLANT_NO_REPLAY) {
            pending_clear(node);
            content_resize(&node->now, 0);
            content_resize(&node->kept, 0);
        }
        for (uint64_t at = 4096 + 100;
             d->plant == SIM_PLANT_RING_SPOILED && kind == SIM_POWER && at < node->kept.bytes;
             at += 4096)
            if (prng_below(&d->prng, 10) == 0)
                node->kept.ptr[at] ^= 1;
    }
}

void sim_disk_crash(struct sim_disk *d, enum sim_crash kind)
{
    uint64_t oldest, last;
    d->die_at = 0;
    d->is_dead = false;
    sim_ios_drop(d);
    memset(d->files, 0, sizeof d->files);
    crash_plant(d, kind);
    if (kind == SIM_KILL)
        return; /* the page cache lives on; what is pending stays pending */
    oldest = oldest_directory_change(d);
    last = oldest - 1 + prng_below(&d->prng, d->changes_n - oldest + 2);
    list_for_each(l, next, &d->nodes) {
        struct sim_node *node = list_entry(l, struct sim_node, link);
        if (node->is_directory)
            power_cut_directory(node, last);
        else
            power_cut_file(d, node);
        pending_clear(node);
    }
}

void sim_disk_fail_at(struct sim_disk *d, uint64_t n, enum sim_fault fault)
{
    d->fail_at = n == 0 ? 0 : d->operations_n + n;
    d->fault = fault;
}

void sim_disk_die_at(struct sim_disk *d, uint64_t n)
{
    d->die_at = d->operations_n + n;
}

bool sim_disk_is_dead(const struct sim_disk *d)
{
    return d->is_dead;
}

uint64_t sim_disk_operations(const struct sim_disk *d)
{
    return d->operations_n;
}

void sim_disk_has_no_sync_all(struct sim_disk *d, bool has_none)
{
    d->has_no_sync_all = has_none;
}

void sim_disk_has_no_direct(struct sim_disk *d, bool has_none)
{
    d->has_no_direct = has_none;
}

void sim_disk_plant(struct sim_disk *d, enum sim_plant plant)
{
    d->plant = plant;
}

static void print_directory(const struct sim_node *directory, const char *path, FILE *to)
{
    for (uint32_t i = 0; i < directory->entries.n; i++) {
        const struct sim_entry *e = &directory->entries.v[i];
        char full[DISK_PATH_MAX];
        snprintf(full, sizeof full, "%.500s/%.255s", path, e->name);
        if (e->node->is_directory)
            print_directory(e->node, full, to);
        else
            fprintf(to, "    %s %llu\n", full, (unsigned long long)e->node->now.bytes);
    }
}

void sim_disk_print(struct sim_disk *d, FILE *to)
{
    print_directory(d->root, "", to);
}
