/*
 * fuzz_dump.c - any bytes as a file of a partition: the dump ends, counts what it met, and touches
 * nothing else.
 *
 * Owner: the fuzzer.
 *
 * The first byte chooses the file's name; a struct disk of one file in memory serves the rest.
 */
#include <stdio.h>

#include "check.h"
#include "dump.h"
#include "fuzz.h"

/* A disk with one file of any name that ends like `name`. */
struct one_file {
    struct disk disk;
    struct bytes content;
};

static struct bytes content_of(struct disk *d)
{
    return container_of(d, struct one_file, disk)->content;
}

static int one_open(struct disk *d, const char *path, int how)
{
    (void)d;
    (void)path;
    check(how == DISK_READ);
    return 3;
}

static void one_close(struct disk *d, int fd)
{
    (void)d;
    check(fd == 3);
}

static int64_t one_read(struct disk *d, int fd, void *to, uint64_t n, uint64_t pos)
{
    struct bytes content = content_of(d);
    check(fd == 3);
    if (pos >= content.n)
        return 0;
    n = min_u64(n, content.n - pos);
    memcpy(to, content.ptr + pos, n);
    return (int64_t)n;
}

static int one_stat(struct disk *d, const char *path, struct disk_stat *out)
{
    (void)path;
    *out = (struct disk_stat){.bytes = content_of(d).n};
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const names[] = {
        "t-0/00000000000000000000.log",
        "t-0/00000000000000000000.index",
        "t-0/00000000000000000000.timeindex",
        "t-0/00000000000000000000.txnindex",
        "t-0/00000000000000000000.snapshot",
        "t-0/leader-epoch-checkpoint",
        "t-0/partition.metadata",
        "meta.properties",
        "recovery-point-offset-checkpoint",
    };
    static const struct disk_functions functions = {
        .open = one_open, .close = one_close, .read = one_read, .stat = one_stat};
    if (n < 1)
        return 0;
    struct one_file file = {{&functions}, bytes_of(data + 1, n - 1)};
    struct dump_options options = {.with_records = true,
                                   .is_json = (data[0] & 64) != 0,
                                   .value_bytes_max = 16,
                                   .offset_min = INT64_MIN};
    struct dump_summary sum;
    FILE *to = fopen("/dev/null", "w");
    if (to == NULL)
        return 0;
    int error = dump_file(&file.disk, names[(data[0] & 63) % array_n(names)], &options, to, &sum);
    fclose(to);
    check(error == 0);
    check(sum.damaged_bytes <= sum.bytes);
    return 0;
}
