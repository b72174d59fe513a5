/*
 * sweep.c - what stands in a log directory at start and is no live partition, and what a crash left
 * in those that are.
 *
 * Owner: main; nobody else runs.
 *
 *   <topic>-<partition>                  known, by the id in partition.metadata too: tidied, below
 *                                        a creation that a crash cut short: removed
 *                                        otherwise: renamed to <topic>-<partition>.<32 hex>-stray
 *   <topic>-<partition>.<32 hex>-delete  removed
 *   ...-stray                            kept
 *   ...-future                           a move that did not come to its end: removed when the log
 *                                        itself was found (directory_sweep_futures), else kept
 *   __cluster_metadata-0                 tidied; nobody asks for its id
 *   anything else                        kept: not ours
 *
 * Tidying a partition (Kafka LogLoader.removeTempFilesAndCollectSwapFiles):
 *   1 *.deleted, *.cleaned and *.tmp are unlinked
 *   2 <N>.log.swap is the result of a compaction that was about to take the place of the segments
 *     from N to its end: their files are unlinked, then the .swap files get their names. A .swap
 *     without its .log.swap was renamed already or is useless: unlinked
 *   3 .index, .timeindex, .txnindex without their .log are unlinked
 */
#include <stdio.h>
#include <stdlib.h>

#include "batch_scan.h"
#include "disk_tools.h"
#include "hash.h"
#include "jobs.h"
#include "prng.h"
#include "sweep.h"
#include "text.h"
#include "uuid_text.h"

enum { METADATA_BYTES_MAX = 4096, SEGMENT_DIGITS = 20 };

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

bool partition_name_parse(const char *name, struct bytes *topic, int32_t *partition)
{
    const char *dash = strrchr(name, '-');
    int64_t number;
    if (dash == NULL || dash == name)
        return false;
    struct bytes digits = bytes_of_string(dash + 1);
    if (!text_number(&digits, 0, INT32_MAX, &number) || digits.n > 0)
        return false;
    *topic = bytes_of(name, (size_t)(dash - name));
    *partition = (int32_t)number;
    return true;
}

/* "<20 digits><suffix>". */
bool segment_name_parse(const char *name, int64_t *base_offset, const char **suffix)
{
    struct bytes digits = bytes_of(name, strnlen(name, SEGMENT_DIGITS));
    if (digits.n < SEGMENT_DIGITS || name[0] == '-' ||
        !text_number(&digits, 0, INT64_MAX, base_offset) || digits.n > 0)
        return false;
    *suffix = name + SEGMENT_DIGITS;
    return true;
}

/* ── tidying ── */

static int unlink_in(struct disk *disk, const char *directory, const char *name)
{
    char path[DISK_PATH_MAX];
    int error = path_join(path, directory, name);
    if (error == 0)
        error = disk_unlink(disk, path);
    return error == E_NOT_FOUND ? 0 : error;
}

/* The offset behind the last whole batch of a segment file; base_offset when there is none. */
static int segment_end_offset(struct disk *disk, const char *path, int64_t base_offset,
                              int64_t *end)
{
    struct batch_scan scan;
    struct disk_stat s;
    struct batch b;
    const uint8_t *header;
    *end = base_offset;
    int error = disk_stat(disk, path, &s);
    if (error < 0)
        return error;
    int fd = disk_open(disk, path, DISK_READ);
    if (fd < 0)
        return fd;
    error = batch_scan_init(&scan, disk, fd, s.bytes, 0);
    while (error == 0 && (error = batch_scan_peek(&scan, &b, &header)) == 0) {
        int64_t last = batch_last_offset(&b);
        *end = last < base_offset || last == INT64_MAX ? base_offset : last + 1;
        batch_scan_skip(&scan, &b);
    }
    batch_scan_fini(&scan);
    disk_close(disk, fd);
    return error == E_EOF || error == E_CORRUPT || error == E_BAD_MAGIC ? 0 : error;
}

/* Unlinks the files of the segments that [first, end) replaces. */
static int unlink_replaced(struct disk *disk, const char *directory, const struct names *names,
                           int64_t first, int64_t end)
{
    for (uint32_t i = 0; i < names->n; i++) {
        const char *suffix;
        int64_t base_offset;
        if (!segment_name_parse(names->v[i], &base_offset, &suffix) || base_offset < first ||
            base_offset >= end)
            continue;
        if (strcmp(suffix, ".log") != 0 && strcmp(suffix, ".index") != 0 &&
            strcmp(suffix, ".timeindex") != 0 && strcmp(suffix, ".txnindex") != 0)
            continue;
        int error = unlink_in(disk, directory, names->v[i]);
        if (error < 0)
            return error;
    }
    return 0;
}

static int complete_swap(struct disk *disk, const char *directory, const struct names *names,
                         int64_t base_offset)
{
    /* The .log last: until then a repeated start does all of this again. What it does with the
     * names before must be durable by then, or an old index could be found beside the new .log. */
    static const char *const suffixes[] = {".index", ".timeindex", ".txnindex", ".log"};
    char from[DISK_PATH_MAX], to[DISK_PATH_MAX];
    int64_t end;
    segment_path(from, directory, base_offset, ".log.swap");
    int error = segment_end_offset(disk, from, base_offset, &end);
    if (error == 0)
        error = unlink_replaced(disk, directory, names, base_offset, max_i64(end, base_offset + 1));
    for (size_t i = 0; i < array_n(suffixes) && error == 0; i++) {
        char swap[32];
        snprintf(swap, sizeof swap, "%s.swap", suffixes[i]);
        segment_path(from, directory, base_offset, swap);
        segment_path(to, directory, base_offset, suffixes[i]);
        if (i + 1 == array_n(suffixes))
            error = directory_sync(disk, directory);
        if (error == 0)
            error = disk_rename(disk, from, to);
        error = error == E_NOT_FOUND ? 0 : error;
    }
    return error;
}

static int complete_swaps(struct disk *disk, const char *directory, bool *is_changed)
{
    struct names names;
    int error = names_list(disk, directory, &names);
    for (uint32_t i = 0; error == 0 && i < names.n; i++) {
        const char *suffix;
        int64_t base_offset;
        if (!segment_name_parse(names.v[i], &base_offset, &suffix) ||
            strcmp(suffix, ".log.swap") != 0)
            continue;
        *is_changed = true;
        error = complete_swap(disk, directory, &names, base_offset);
    }
    names_free(&names);
    return error;
}

static bool is_orphan(const struct names *names, const char *name)
{
    const char *suffix;
    int64_t base_offset;
    char log[32];
    if (!segment_name_parse(name, &base_offset, &suffix))
        return false;
    if (strcmp(suffix, ".index") != 0 && strcmp(suffix, ".timeindex") != 0 &&
        strcmp(suffix, ".txnindex") != 0)
        return false;
    snprintf(log, sizeof log, "%.20s.log", name);
    return !names_have(names, log);
}

static bool is_leftover(const struct names *names, const char *name, bool is_after_swaps)
{
    if (is_after_swaps)
        return ends_with(name, ".swap") || is_orphan(names, name);
    return ends_with(name, ".deleted") || ends_with(name, ".cleaned") || ends_with(name, ".tmp");
}

static int unlink_leftovers(struct disk *disk, const char *directory, bool is_after_swaps,
                            bool *is_changed)
{
    struct names names;
    int error = names_list(disk, directory, &names);
    for (uint32_t i = 0; error == 0 && i < names.n; i++) {
        if (!is_leftover(&names, names.v[i], is_after_swaps))
            continue;
        *is_changed = true;
        error = unlink_in(disk, directory, names.v[i]);
    }
    names_free(&names);
    return error;
}

/* Most partitions of most starts have nothing to tidy: one look at the names says so. */
static int tidy_look(struct disk *disk, const char *directory, bool *is_tidy)
{
    struct names names;
    int error = names_list(disk, directory, &names);
    *is_tidy = true;
    for (uint32_t i = 0; error == 0 && *is_tidy && i < names.n; i++)
        *is_tidy =
            !is_leftover(&names, names.v[i], false) && !is_leftover(&names, names.v[i], true);
    names_free(&names);
    return error;
}

int partition_tidy(struct disk *disk, const char *directory)
{
    bool is_changed = false, is_tidy;
    int error = tidy_look(disk, directory, &is_tidy);
    if (error != 0 || is_tidy)
        return error;
    error = unlink_leftovers(disk, directory, false, &is_changed);
    if (error == 0)
        error = complete_swaps(disk, directory, &is_changed);
    if (error == 0)
        error = unlink_leftovers(disk, directory, true, &is_changed);
    return error == 0 && is_changed ? directory_sync(disk, directory) : error;
}

/* ── the directories ── */

int partition_metadata_read(struct disk *disk, const char *directory, struct uuid *topic_id)
{
    static const char key[] = "topic_id: ";
    char path[DISK_PATH_MAX];
    struct bytes text, rest, line;
    bool is_found = false;
    int error = path_join(path, directory, "partition.metadata");
    if (error == 0)
        error = file_read(disk, path, METADATA_BYTES_MAX, &text);
    if (error < 0)
        return error;
    rest = text;
    while (text_line(&rest, &line)) {
        if (line.n <= sizeof key - 1 || memcmp(line.ptr, key, sizeof key - 1) != 0)
            continue;
        is_found = uuid_from_text(bytes_of(line.ptr + sizeof key - 1, line.n - (sizeof key - 1)),
                                  topic_id);
    }
    file_read_free(&text);
    return is_found ? 0 : E_CORRUPT;
}

/* One sweep. */
struct sweep {
    struct disk *disk;
    const char *path;
    bool (*is_known)(void *context, struct bytes topic, int32_t partition, const struct uuid *id);
    void *context;
    struct prng prng;
    uint32_t removed_n, stray_n;
};

/* Unlinks the files in it and the directory; what has directories of its own stays. */
static int remove_directory(struct sweep *s, const char *directory)
{
    int error = directory_remove(s->disk, directory);
    s->removed_n += error == 0;
    return error == E_INVALID || error == E_EXISTS ? 0 : error;
}

static int make_stray(struct sweep *s, const char *directory, const char *name)
{
    char hex[UUID_HEX_MAX], stray[DISK_NAME_MAX + 1], to[DISK_PATH_MAX];
    struct uuid id;
    prng_uuid(&s->prng, &id);
    uuid_hex(&id, hex);
    const char *dash = strrchr(name, '-');
    int tail_n = (int)strlen(dash) + 1 + 32 + (int)strlen("-stray");
    int topic_n =
        (int)(dash - name) > DISK_NAME_MAX - tail_n ? DISK_NAME_MAX - tail_n : (int)(dash - name);
    snprintf(stray, sizeof stray, "%.*s%.12s.%s-stray", topic_n, name, dash, hex);
    int error = path_join(to, s->path, stray);
    if (error == 0)
        error = disk_rename(s->disk, directory, to);
    s->stray_n += error == 0;
    return error;
}

/* No byte of a record was ever written to it: it is empty, or has the zeros of preallocate=true. */
static int file_is_blank(struct disk *disk, const char *directory, const char *name, bool *out)
{
    uint8_t head[BATCH_HEADER] = {0}, any = 0;
    char path[DISK_PATH_MAX];
    int error = path_join(path, directory, name);
    int fd = error < 0 ? error : disk_open(disk, path, DISK_READ);
    if (fd < 0)
        return fd;
    int64_t n = disk_read(disk, fd, head, sizeof head, 0);
    disk_close(disk, fd);
    for (size_t i = 0; i < sizeof head; i++)
        any |= head[i];
    *out = any == 0;
    return n < 0 ? (int)n : 0;
}

/* A directory without a whole partition.metadata is the beginning of a creation when it holds
 * nothing but what create.c makes, and no records (which come after partition.metadata). */
static int creation_is_cut_short(struct disk *disk, const char *directory, bool *out)
{
    struct names names;
    int error = names_list(disk, directory, &names);
    *out = true;
    for (uint32_t i = 0; error == 0 && *out && i < names.n; i++) {
        const char *name = names.v[i];
        if (ends_with(name, ".log"))
            error = file_is_blank(disk, directory, name, out);
        else
            *out = ends_with(name, ".tmp") || strcmp(name, "partition.metadata") == 0 ||
                   strcmp(name, "leader-epoch-checkpoint") == 0;
    }
    names_free(&names);
    return error;
}

static int sweep_partition(struct sweep *s, const char *directory, const char *name)
{
    struct bytes topic;
    struct uuid id;
    int32_t partition;
    if (strcmp(name, "__cluster_metadata-0") == 0)
        return partition_tidy(s->disk, directory);
    if (!partition_name_parse(name, &topic, &partition))
        return 0;
    int error = partition_metadata_read(s->disk, directory, &id);
    if (error == 0 && s->is_known(s->context, topic, partition, &id))
        return partition_tidy(s->disk, directory);
    if (error < 0 && error != E_NOT_FOUND && error != E_CORRUPT && error != E_TOO_LARGE &&
        error != E_INVALID)
        return error;
    if (error == E_NOT_FOUND || error == E_CORRUPT) {
        bool is_cut_short;
        error = creation_is_cut_short(s->disk, directory, &is_cut_short);
        if (error < 0)
            return error;
        if (is_cut_short)
            return remove_directory(s, directory);
    }
    return make_stray(s, directory, name);
}

bool directory_has_log(struct disk *disk, const char *path, struct bytes topic, int32_t partition,
                       const struct uuid *id)
{
    char directory[DISK_PATH_MAX];
    struct uuid found;
    log_directory_path(directory, path, topic, partition);
    return partition_metadata_read(disk, directory, &found) == 0 && uuid_equal(&found, id);
}

static int sweep_name(struct sweep *s, const char *name)
{
    char directory[DISK_PATH_MAX];
    struct disk_stat stat = {.bytes = 0};
    int error = path_join(directory, s->path, name);
    if (error == 0)
        error = disk_stat(s->disk, directory, &stat);
    if (error < 0 || !stat.is_directory)
        return error == E_NOT_FOUND ? 0 : error;
    if (ends_with(name, "-delete"))
        return remove_directory(s, directory);
    if (strcmp(name, JOURNAL_DIRECTORY) == 0) /* journal_replay.c's */
        return 0;
    if (ends_with(name, "-stray") || ends_with(name, "-future"))
        return 0;
    return sweep_partition(s, directory, name);
}

int directory_sweep(struct disk *disk, const char *path,
                    bool (*is_known)(void *context, struct bytes topic, int32_t partition,
                                     const struct uuid *id),
                    void *context, uint32_t *removed_n, uint32_t *stray_n)
{
    struct sweep s = {.disk = disk, .path = path, .is_known = is_known, .context = context};
    struct names names;
    int error = names_list(disk, path, &names);
    /* New names need only differ from those that are there, so those are the seed. */
    prng_init(&s.prng, names.n == 0 ? 0 : hash_bytes(names.text, names.text_n, 0));
    for (uint32_t i = 0; error == 0 && i < names.n; i++)
        error = sweep_name(&s, names.v[i]);
    names_free(&names);
    if (error == 0 && s.removed_n + s.stray_n > 0)
        error = directory_sync(disk, path);
    *removed_n = s.removed_n;
    *stray_n = s.stray_n;
    return error;
}

/* "<topic>-<partition>.<32 hex>-future"; the topic may be cut. */
static int sweep_future(struct sweep *s, const char *name)
{
    char directory[DISK_PATH_MAX], live[DISK_NAME_MAX + 1];
    struct bytes topic;
    struct uuid id;
    int32_t partition;
    if (!ends_with(name, "-future") || strrchr(name, '.') == NULL)
        return 0;
    int n = (int)(strrchr(name, '.') - name);
    snprintf(live, sizeof live, "%.*s", n, name);
    int error = path_join(directory, s->path, name);
    if (error < 0 || !partition_name_parse(live, &topic, &partition))
        return error;
    error = partition_metadata_read(s->disk, directory, &id);
    if (error == E_NOT_FOUND || error == E_CORRUPT) { /* its making was cut short */
        bool is_cut_short;
        error = creation_is_cut_short(s->disk, directory, &is_cut_short);
        return error == 0 && is_cut_short ? remove_directory(s, directory) : error;
    }
    if (error == 0 && s->is_known(s->context, topic, partition, &id))
        error = remove_directory(s, directory);
    return error;
}

int directory_sweep_futures(struct disk *disk, const char *path,
                            bool (*is_useless)(void *context, struct bytes topic, int32_t partition,
                                               const struct uuid *id),
                            void *context)
{
    struct sweep s = {.disk = disk, .path = path, .is_known = is_useless, .context = context};
    struct names names;
    int error = names_list(disk, path, &names);
    for (uint32_t i = 0; error == 0 && i < names.n; i++)
        error = sweep_future(&s, names.v[i]);
    names_free(&names);
    return error == 0 && s.removed_n > 0 ? directory_sync(disk, path) : error;
}
