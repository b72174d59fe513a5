/* cut.c - a disk that loses power: an nbdkit plugin for tests/power/run.
 *
 * What a guest wrote and did not flush is kept in a list, as in a drive's volatile cache; a flush
 * makes it durable in the file `media`. (Of a write with FUA QEMU makes a write and a flush.) The
 * cut comes at write number `after` (0: never), or when the plugin is ended: of every write that
 * was not flushed, in their order, the seed decides whether it is lost, kept whole or torn at
 * blocks of `tear` bytes. Then the file `mark` says so and every later request fails. A lost write
 * before a kept one is what reordering leaves.
 *
 *   media=FILE seen=COPY mark=FILE [after=N] [seed=N] [tear=512|4096] [plant=no-flush]
 *
 * `seen` is a copy of `media` at the start: what the guest reads. `plant` is a bug that the checks
 * must find: flushes that are answered and not done. What it does not do: damage at rest, a cache
 * that writes back by itself.
 *
 * Owner: nbdkit's one thread (SERIALIZE_ALL_REQUESTS). Follows nbdkit-plugin(3), API version 2.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
#define SECTOR_BYTES 512u
#define BLOCK_BYTES  4096u

/* A write since the last flush. */
struct pending {
    struct pending *next;
    uint64_t at;
    uint32_t bytes;
    uint8_t data[];
};

static struct {
    char *media, *seen, *mark;
    uint64_t after;
    uint64_t random;
    uint32_t tear_bytes;
    bool ignores_flush;

    int media_fd, seen_fd;
    uint64_t bytes;
    struct pending *first, **end;
    uint64_t writes_n, flushes_n, lost_n, torn_n, kept_n;
    bool is_cut;
} drive = {.tear_bytes = SECTOR_BYTES, .media_fd = -1, .seen_fd = -1, .end = &drive.first};

/* splitmix64: the same choices for the same seed. */
static uint64_t random_next(void)
{
    uint64_t z = drive.random += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int path_set(char **path, const char *value)
{
    *path = nbdkit_absolute_path(value);
    return *path != NULL ? 0 : -1;
}

static int drive_config(const char *key, const char *value)
{
    if (strcmp(key, "media") == 0)
        return path_set(&drive.media, value);
    if (strcmp(key, "seen") == 0)
        return path_set(&drive.seen, value);
    if (strcmp(key, "mark") == 0)
        return path_set(&drive.mark, value);
    if (strcmp(key, "after") == 0)
        return nbdkit_parse_uint64_t("after", value, &drive.after);
    if (strcmp(key, "seed") == 0)
        return nbdkit_parse_uint64_t("seed", value, &drive.random);
    if (strcmp(key, "tear") == 0) {
        if (nbdkit_parse_uint32_t("tear", value, &drive.tear_bytes) != 0)
            return -1;
        if (drive.tear_bytes == SECTOR_BYTES || drive.tear_bytes == BLOCK_BYTES)
            return 0;
        nbdkit_error("tear is 512 or 4096");
        return -1;
    }
    if (strcmp(key, "plant") == 0) {
        drive.ignores_flush = strcmp(value, "no-flush") == 0;
        return 0;
    }
    nbdkit_error("unknown parameter %s", key);
    return -1;
}

static int drive_get_ready(void)
{
    struct stat st;

    if (drive.media == NULL || drive.seen == NULL || drive.mark == NULL) {
        nbdkit_error("media=, seen= and mark= are needed");
        return -1;
    }
    drive.media_fd = open(drive.media, O_RDWR | O_CLOEXEC);
    drive.seen_fd = open(drive.seen, O_RDWR | O_CLOEXEC);
    if (drive.media_fd < 0 || drive.seen_fd < 0 || fstat(drive.media_fd, &st) != 0) {
        nbdkit_error("%s, %s: %s", drive.media, drive.seen, strerror(errno));
        return -1;
    }
    drive.bytes = (uint64_t)st.st_size;
    return 0;
}

/* All of it, or -1 with errno set. */
static int write_all(int fd, const uint8_t *data, uint32_t bytes, uint64_t at)
{
    while (bytes > 0) {
        ssize_t n = pwrite(fd, data, bytes, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        at += (uint64_t)n;
        bytes -= (uint32_t)n;
    }
    return 0;
}

static void list_clear(void)
{
    while (drive.first != NULL) {
        struct pending *p = drive.first;

        drive.first = p->next;
        free(p);
    }
    drive.end = &drive.first;
}

/* One in three whole, one in three torn, one in three lost. Errors of the media file leave the rest
 * lost. */
static void write_survive(const struct pending *p)
{
    uint64_t fate = random_next() % 3;

    if (fate == 0) {
        drive.lost_n++;
    } else if (fate == 1) {
        drive.kept_n++;
        (void)!write_all(drive.media_fd, p->data, p->bytes, p->at);
    } else {
        drive.torn_n++;
        for (uint32_t i = 0; i < p->bytes; i += drive.tear_bytes) {
            uint32_t n = p->bytes - i < drive.tear_bytes ? p->bytes - i : drive.tear_bytes;

            if (random_next() & 1)
                (void)!write_all(drive.media_fd, p->data + i, n, p->at + i);
        }
    }
}

static void drive_cut(void)
{
    FILE *mark;

    if (drive.is_cut || drive.media_fd < 0)
        return;
    drive.is_cut = true;
    for (struct pending *p = drive.first; p != NULL; p = p->next)
        write_survive(p);
    list_clear();
    if (fsync(drive.media_fd) != 0)
        nbdkit_error("%s: %s", drive.media, strerror(errno));
    mark = fopen(drive.mark, "we");
    if (mark != NULL) {
        fprintf(mark,
                "writes %" PRIu64 " flushes %" PRIu64 " lost %" PRIu64 " torn %" PRIu64
                " kept %" PRIu64 "\n",
                drive.writes_n, drive.flushes_n, drive.lost_n, drive.torn_n, drive.kept_n);
        fclose(mark);
    }
}

static int is_off(void)
{
    if (!drive.is_cut)
        return 0;
    nbdkit_set_error(EIO);
    return 1;
}

static void *drive_open(int readonly)
{
    (void)readonly;
    return &drive;
}

static int64_t drive_get_size(void *handle)
{
    (void)handle;
    return (int64_t)drive.bytes;
}

static int drive_can_flush(void *handle)
{
    (void)handle;
    return 1;
}

static int drive_pread(void *handle, void *data, uint32_t bytes, uint64_t at, uint32_t flags)
{
    uint32_t got = 0;

    (void)handle;
    (void)flags;
    if (is_off())
        return -1;
    while (got < bytes) {
        ssize_t n = pread(drive.seen_fd, (uint8_t *)data + got, bytes - got, (off_t)(at + got));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            nbdkit_set_error(EIO);
            return -1;
        }
        got += (uint32_t)n;
    }
    return 0;
}

static int drive_pwrite(void *handle, const void *data, uint32_t bytes, uint64_t at, uint32_t flags)
{
    struct pending *p;

    (void)handle;
    (void)flags;
    if (is_off())
        return -1;
    drive.writes_n++;
    p = malloc(sizeof *p + bytes);
    if (p == NULL || write_all(drive.seen_fd, data, bytes, at) != 0) {
        free(p);
        nbdkit_set_error(EIO);
        return -1;
    }
    *p = (struct pending){.at = at, .bytes = bytes};
    memcpy(p->data, data, bytes);
    *drive.end = p;
    drive.end = &p->next;
    if (drive.after != 0 && drive.writes_n >= drive.after) {
        drive_cut();
        nbdkit_set_error(EIO);
        return -1;
    }
    return 0;
}

static int drive_flush(void *handle, uint32_t flags)
{
    (void)handle;
    (void)flags;
    if (is_off())
        return -1;
    drive.flushes_n++;
    if (drive.ignores_flush)
        return 0;
    for (struct pending *p = drive.first; p != NULL; p = p->next) {
        if (write_all(drive.media_fd, p->data, p->bytes, p->at) != 0) {
            nbdkit_set_error(EIO);
            return -1;
        }
    }
    list_clear();
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "cut",
    .description = "a disk that loses power",
    .config = drive_config,
    .get_ready = drive_get_ready,
    .open = drive_open,
    .get_size = drive_get_size,
    .can_flush = drive_can_flush,
    .pread = drive_pread,
    .pwrite = drive_pwrite,
    .flush = drive_flush,
    .cleanup = drive_cut,
};

NBDKIT_REGISTER_PLUGIN(plugin)
