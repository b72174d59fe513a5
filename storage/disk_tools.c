/*
 * disk_tools.c - small files replaced atomically, read whole, and directories listed.
 *
 * Owner: helpers, and main before the threads run.
 *
 * Replacing (Kafka Utils.atomicMoveWithFallback and the checkpoint files):
 *   1 write name.tmp   2 fsync it   3 rename over name   4 fsync the directory
 * A crash before 3 leaves the old file and perhaps name.tmp, which every start removes or ignores;
 * a crash between 3 and 4 may leave either. An error in 4 is returned: the caller must not count
 * the new content durable.
 */
#include "disk_tools.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"

int path_join(char *to, const char *directory, const char *name)
{
    int n = snprintf(to, DISK_PATH_MAX, "%s/%s", directory, name);
    return n < 0 || n >= DISK_PATH_MAX ? E_TOO_LARGE : 0;
}

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

void path_parent(char *to, const char *path)
{
    const char *name = path_name(path);
    size_t n = name == path ? 0 : (size_t)(name - path) - 1;
    if (name != path && n == 0)
        n = 1; /* the root keeps its slash */
    if (n == 0) {
        memcpy(to, ".", 2);
        return;
    }
    check(n < DISK_PATH_MAX);
    memcpy(to, path, n);
    to[n] = '\0';
}

int directory_sync(struct disk *disk, const char *path)
{
    int fd = disk_open(disk, path, DISK_READ | DISK_DIRECTORY);
    if (fd < 0)
        return fd;
    int error = disk_sync(disk, fd);
    disk_close(disk, fd);
    return error;
}

/* Step 1 and 2. */
static int write_tmp(struct disk *disk, const char *path, struct bytes data)
{
    int fd = disk_open(disk, path, DISK_WRITE | DISK_CREATE);
    if (fd < 0)
        return fd;
    int error = disk_truncate(disk, fd, 0); /* one may be left over from a crash */
    if (error == 0 && data.n > 0)
        error = disk_write(disk, fd, data.ptr, data.n, 0);
    if (error == 0)
        error = disk_sync(disk, fd);
    disk_close(disk, fd);
    return error;
}

int file_replace(struct disk *disk, const char *directory, const char *name, struct bytes data)
{
    char path[DISK_PATH_MAX], tmp[DISK_PATH_MAX];
    int error = path_join(path, directory, name);
    if (error < 0)
        return error;
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", path) >= sizeof tmp)
        return E_TOO_LARGE;
    error = write_tmp(disk, tmp, data);
    if (error == 0)
        error = disk_rename(disk, tmp, path);
    if (error < 0) {
        (void)!disk_unlink(disk, tmp); /* the first error is the one to tell */
        return error;
    }
    return directory_sync(disk, directory);
}

int file_read(struct disk *disk, const char *path, uint32_t bytes_max, struct bytes *out)
{
    struct disk_stat s;
    *out = (struct bytes){NULL, 0};
    int error = disk_stat(disk, path, &s);
    if (error < 0)
        return error;
    if (s.is_directory)
        return E_INVALID;
    if (s.bytes > bytes_max)
        return E_TOO_LARGE;
    int fd = disk_open(disk, path, DISK_READ);
    if (fd < 0)
        return fd;
    uint8_t *memory = s.bytes == 0 ? NULL : malloc(s.bytes);
    int64_t n = s.bytes == 0     ? 0
                : memory == NULL ? E_NO_MEMORY
                                 : disk_read(disk, fd, memory, s.bytes, 0);
    disk_close(disk, fd);
    if (n < 0) {
        free(memory);
        return (int)n;
    }
    *out = (struct bytes){memory, (uint32_t)n};
    return 0;
}

void file_read_free(struct bytes *data)
{
    free((void *)(uintptr_t)data->ptr);
    *data = (struct bytes){NULL, 0};
}

static int names_add(void *context, const char *name)
{
    struct names *names = context;
    size_t n = strlen(name) + 1;
    if (names->text_n + n > names->text_max) {
        size_t max = names->text_max == 0 ? 4096 : (size_t)names->text_max * 2;
        if (max > NAMES_BYTES_MAX || n > 4096)
            return E_TOO_LARGE;
        char *text = realloc(names->text, max);
        if (text == NULL)
            return E_NO_MEMORY;
        names->text = text;
        names->text_max = (uint32_t)max;
    }
    memcpy(names->text + names->text_n, name, n);
    names->text_n += (uint32_t)n;
    names->n++;
    return 0;
}

static int names_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int names_list(struct disk *disk, const char *path, struct names *out)
{
    *out = (struct names){NULL, 0, 0, NULL, 0};
    int error = disk_list(disk, path, names_add, out);
    if (error == 0 && out->n > 0) {
        out->v = malloc(out->n * sizeof *out->v);
        error = out->v == NULL ? E_NO_MEMORY : 0;
    }
    if (error < 0) {
        names_free(out);
        return error;
    }
    char *p = out->text;
    for (uint32_t i = 0; i < out->n; i++, p += strlen(p) + 1)
        out->v[i] = p;
    if (out->n > 0)
        qsort(out->v, out->n, sizeof *out->v, names_compare);
    return 0;
}

void names_free(struct names *names)
{
    free(names->text);
    free(names->v);
    *names = (struct names){NULL, 0, 0, NULL, 0};
}

bool names_have(const struct names *names, const char *name)
{
    uint32_t low = 0, high = names->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(names->v[middle], name);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

int directory_remove(struct disk *disk, const char *path)
{
    struct names names;
    int error = names_list(disk, path, &names);
    for (uint32_t i = 0; error == 0 && i < names.n; i++) {
        char file[DISK_PATH_MAX];
        error = path_join(file, path, names.v[i]);
        if (error == 0)
            error = disk_unlink(disk, file);
        if (error == E_NOT_FOUND)
            error = 0;
    }
    names_free(&names);
    return error == 0 ? disk_remove_directory(disk, path) : error;
}

int file_sync(struct disk *disk, const char *directory, const char *name)
{
    char path[DISK_PATH_MAX];
    int error = path_join(path, directory, name);
    int fd = error < 0 ? error : disk_open(disk, path, DISK_WRITE);
    if (fd < 0)
        return fd;
    error = disk_sync(disk, fd);
    disk_close(disk, fd);
    return error;
}

/* ── zeros ── */

enum { ZERO_BYTES = 1 << 20, ZERO_ALIGN = 4096 };

int file_zero(struct disk *disk, int fd, uint64_t from, uint64_t to)
{
    uint8_t *zeros = aligned_alloc(ZERO_ALIGN, ZERO_BYTES);
    int rc = zeros == NULL ? E_NO_MEMORY : 0;
    if (rc == 0)
        memset(zeros, 0, ZERO_BYTES);
    for (; rc == 0 && from < to; from += ZERO_BYTES)
        rc = disk_write(disk, fd, zeros, min_u64(ZERO_BYTES, to - from), from);
    free(zeros);
    return rc == 0 ? disk_sync(disk, fd) : rc;
}
