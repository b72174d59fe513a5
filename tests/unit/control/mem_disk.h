/*
 * mem_disk.h - disk.h in memory: fast, and it can crash.
 *
 * Owner: the test.
 *
 * A file has its content and what of it is durable; mem_disk_crash takes every file back to what
 * was synced (names are durable at once). The n-th changing operation can be made to fail.
 */
#ifndef MILLRACE_MEM_DISK_H
#define MILLRACE_MEM_DISK_H

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "disk.h"

enum { MEM_FILES_MAX = 256, MEM_PATH_MAX = 512 };

struct mem_file {
    char path[MEM_PATH_MAX];
    bool is_used, is_directory;
    uint8_t *bytes, *synced;
    uint64_t n, synced_n;
};

struct mem_disk {
    struct disk disk;
    struct mem_file *files;      /* MEM_FILES_MAX */
    uint64_t changes_n, fail_at; /* the fail_at-th change fails with E_IO, and all after it */
};

static inline struct mem_disk *mem_disk_of(struct disk *d)
{
    return container_of(d, struct mem_disk, disk);
}

static inline struct mem_file *mem_find(struct mem_disk *m, const char *path)
{
    for (int i = 0; i < MEM_FILES_MAX; i++)
        if (m->files[i].is_used && strcmp(m->files[i].path, path) == 0)
            return &m->files[i];
    return NULL;
}

static inline bool mem_fails(struct mem_disk *m)
{
    m->changes_n++;
    return m->fail_at != 0 && m->changes_n >= m->fail_at;
}

static inline struct mem_file *mem_make(struct mem_disk *m, const char *path, bool is_directory)
{
    for (int i = 0; i < MEM_FILES_MAX; i++)
        if (!m->files[i].is_used) {
            m->files[i] = (struct mem_file){.is_used = true, .is_directory = is_directory};
            snprintf(m->files[i].path, MEM_PATH_MAX, "%s", path);
            return &m->files[i];
        }
    return NULL;
}

static inline int mem_open(struct disk *d, const char *path, int how)
{
    struct mem_disk *m = mem_disk_of(d);
    struct mem_file *f = mem_find(m, path);
    if (f != NULL)
        return how & DISK_EXCLUSIVE ? E_EXISTS : (int)(f - m->files);
    if (!(how & DISK_CREATE))
        return E_NOT_FOUND;
    if (mem_fails(m))
        return E_IO;
    f = mem_make(m, path, false);
    return f == NULL ? E_NO_MEMORY : (int)(f - m->files);
}

static inline void mem_close(struct disk *d, int fd)
{
    check(fd >= 0 && mem_disk_of(d)->files[fd].is_used);
}

static inline int64_t mem_read(struct disk *d, int fd, void *to, uint64_t n, uint64_t pos)
{
    struct mem_file *f = &mem_disk_of(d)->files[fd];
    uint64_t take = pos >= f->n ? 0 : min_u64(n, f->n - pos);
    if (take > 0)
        memcpy(to, f->bytes + pos, take);
    return (int64_t)take;
}

static inline void mem_resize(struct mem_file *f, uint64_t n)
{
    f->bytes = realloc(f->bytes, n + 1);
    check(f->bytes != NULL);
    if (n > f->n)
        memset(f->bytes + f->n, 0, n - f->n);
    f->n = n;
}

static inline int mem_write(struct disk *d, int fd, const void *from, uint64_t n, uint64_t pos)
{
    struct mem_file *f = &mem_disk_of(d)->files[fd];
    if (mem_fails(mem_disk_of(d)))
        return E_IO;
    if (pos + n > f->n)
        mem_resize(f, pos + n);
    memcpy(f->bytes + pos, from, n);
    return 0;
}

static inline int mem_sync(struct disk *d, int fd)
{
    struct mem_file *f = &mem_disk_of(d)->files[fd];
    if (mem_fails(mem_disk_of(d)))
        return E_IO;
    free(f->synced);
    f->synced = malloc(f->n + 1);
    check(f->synced != NULL);
    memcpy(f->synced, f->n > 0 ? f->bytes : (const void *)"", f->n);
    f->synced_n = f->n;
    return 0;
}

static inline int mem_truncate(struct disk *d, int fd, uint64_t bytes)
{
    if (mem_fails(mem_disk_of(d)))
        return E_IO;
    mem_resize(&mem_disk_of(d)->files[fd], bytes);
    return 0;
}

static inline int mem_stat(struct disk *d, const char *path, struct disk_stat *out)
{
    const struct mem_file *f = mem_find(mem_disk_of(d), path);
    if (f == NULL)
        return E_NOT_FOUND;
    *out = (struct disk_stat){.bytes = f->n, .is_directory = f->is_directory};
    return 0;
}

static inline int mem_make_directory(struct disk *d, const char *path)
{
    struct mem_disk *m = mem_disk_of(d);
    if (mem_find(m, path) != NULL)
        return E_EXISTS;
    if (mem_fails(m))
        return E_IO;
    return mem_make(m, path, true) == NULL ? E_NO_MEMORY : 0;
}

static inline int mem_unlink(struct disk *d, const char *path)
{
    struct mem_file *f = mem_find(mem_disk_of(d), path);
    if (f == NULL)
        return E_NOT_FOUND;
    free(f->bytes);
    free(f->synced);
    *f = (struct mem_file){0};
    return 0;
}

static inline int mem_rename(struct disk *d, const char *from, const char *to)
{
    struct mem_disk *m = mem_disk_of(d);
    struct mem_file *f = mem_find(m, from);
    if (mem_fails(m))
        return E_IO;
    if (f == NULL)
        return E_NOT_FOUND;
    if (mem_find(m, to) != NULL)
        check(mem_unlink(d, to) == 0);
    snprintf(f->path, MEM_PATH_MAX, "%s", to);
    return 0;
}

static inline int mem_list(struct disk *d, const char *path, int (*each)(void *, const char *),
                           void *context)
{
    struct mem_disk *m = mem_disk_of(d);
    size_t n = strlen(path);
    for (int i = 0; i < MEM_FILES_MAX; i++) {
        const char *p = m->files[i].path;
        if (!m->files[i].is_used || strncmp(p, path, n) != 0 || p[n] != '/' ||
            strchr(p + n + 1, '/') != NULL)
            continue;
        int e = each(context, p + n + 1);
        if (e != 0)
            return e;
    }
    return 0;
}

static inline int mem_lock(struct disk *d, int fd)
{
    (void)d, (void)fd;
    return 0;
}

static inline int mem_space(struct disk *d, const char *path, struct disk_space *out)
{
    (void)d, (void)path;
    *out = (struct disk_space){1u << 30, 1u << 30};
    return 0;
}

static inline void mem_disk_init(struct mem_disk *m)
{
    static const struct disk_functions functions = {
        mem_open, mem_close,          mem_read,   mem_write,  mem_sync,   mem_truncate,
        mem_stat, mem_make_directory, mem_unlink, mem_unlink, mem_rename, mem_list,
        mem_lock, mem_space,          NULL,       NULL,
    };
    memset(m, 0, sizeof *m);
    m->disk.functions = &functions;
    m->files = calloc(MEM_FILES_MAX, sizeof *m->files);
    check(m->files != NULL);
    check(mem_make(m, "data", true) != NULL); /* the log directory */
}

static inline void mem_disk_fini(struct mem_disk *m)
{
    for (int i = 0; i < MEM_FILES_MAX; i++) {
        free(m->files[i].bytes);
        free(m->files[i].synced);
    }
    free(m->files);
    m->files = NULL;
}

/* Power fails: what was not synced is gone. */
static inline void mem_disk_crash(struct mem_disk *m)
{
    for (int i = 0; i < MEM_FILES_MAX; i++) {
        struct mem_file *f = &m->files[i];
        if (!f->is_used || f->is_directory)
            continue;
        mem_resize(f, f->synced_n);
        if (f->synced_n > 0)
            memcpy(f->bytes, f->synced, f->synced_n);
    }
}

/* A copy of everything, for looking at a moment again. */
static inline void mem_disk_copy(struct mem_disk *to, const struct mem_disk *from)
{
    mem_disk_init(to);
    for (int i = 0; i < MEM_FILES_MAX; i++) {
        const struct mem_file *f = &from->files[i];
        if (!f->is_used)
            continue;
        free(to->files[i].bytes); /* mem_disk_init's own "data" */
        free(to->files[i].synced);
        to->files[i] = *f;
        to->files[i].bytes = to->files[i].synced = NULL;
        to->files[i].n = to->files[i].synced_n = 0;
        mem_resize(&to->files[i], f->n);
        if (f->n > 0)
            memcpy(to->files[i].bytes, f->bytes, f->n);
        check(mem_sync(&to->disk, i) == 0);
    }
    to->changes_n = 0;
}

#endif
