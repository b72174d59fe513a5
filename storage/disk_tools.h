/*
 * disk_tools.h - what everybody who writes small files needs: replace one atomically, read one,
 * list names.
 *
 * Owner: helpers, and main before the threads run. May use the heap; never called by a worker.
 */
#ifndef MILLRACE_DISK_TOOLS_H
#define MILLRACE_DISK_TOOLS_H

#include "bytes.h"
#include "disk.h"

/* Joins directory and name; `to` has DISK_PATH_MAX. E_TOO_LARGE when it does not fit. */
nodiscard int path_join(char *to, const char *directory, const char *name);
/* The directory `path` stands in ("." when it names none); `to` has DISK_PATH_MAX. */
void path_parent(char *to, const char *path);
/* The last component. */
const char *path_name(const char *path);

/* fsync of a directory: names made, renamed or removed in it are durable afterwards. */
nodiscard int directory_sync(struct disk *disk, const char *path);

/* fsync of directory/name. */
nodiscard int file_sync(struct disk *disk, const char *directory, const char *name);

/* Unlinks the files in a directory and removes it; what has directories of its own stays, without
 * its files. Durable when its parent is flushed. E_NOT_FOUND when it is not there. */
nodiscard int directory_remove(struct disk *disk, const char *path);

/* directory/name holds `data`, durably: name.tmp, write, fsync, rename, fsync of the directory. On
 * an error the file is the old one or the new one, never a mixture, and name.tmp is gone as far as
 * the disk lets us. */
nodiscard int file_replace(struct disk *disk, const char *directory, const char *name,
                           struct bytes data);

/* Zeros from `from` to `to`, durable. Aligned memory, so that O_DIRECT descriptors take it. */
nodiscard int file_zero(struct disk *disk, int fd, uint64_t from, uint64_t to);

/* The whole file, on the heap (NULL for an empty one); caller frees. E_TOO_LARGE beyond bytes_max.
 */
nodiscard int file_read(struct disk *disk, const char *path, uint32_t bytes_max, struct bytes *out);
void file_read_free(struct bytes *data);

/* The names in a directory, sorted by bytes. Heap. */
struct names {
    char *text; /* each with its NUL */
    uint32_t text_n, text_max;
    char **v;
    uint32_t n;
};
enum { NAMES_BYTES_MAX = 1 << 28 };
nodiscard int names_list(struct disk *disk, const char *path, struct names *out);
void names_free(struct names *names);
bool names_have(const struct names *names, const char *name);

#endif
