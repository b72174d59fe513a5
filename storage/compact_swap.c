/*
 * compact_swap.c - the files of a cleaned group take the place of the old ones.
 *
 * Owner: bulk.
 *
 * N is the first of the group; the content of N.log.cleaned and its indexes is durable before. A
 * crash between any two steps leaves the old segments or the new one, never a mixture:
 *
 *   1 `compacted-offset` names the end of this compaction: below it a later start must not take a
 *     missing offset for a hole (compact_mark_write; the only step that needs space, so it is done
 *     before home lets readers wait for the others)
 *   2 N.*.cleaned -> N.*.swap, directory synced       from here on sweep.c completes it at a start
 *   3 the other old segments' files are unlinked; N.*.swap of the indexes -> final, synced
 *   4 N.log.swap -> N.log, synced                     until here sweep.c does 3 and 4 again
 *
 * Old files are unlinked at once instead of after file.delete.delay.ms: who reads them has them
 * open. `compacted-offset` ("0\n<offset>\n") is a file of our own, which Apache Kafka ignores: its
 * checkpoint of the same meaning moves only when a whole compaction is over, which is too late for
 * recovery and must not be earlier (what is not yet clean would never be cleaned).
 *
 * Names that are not there were dealt with by an earlier try.
 */
#include <inttypes.h>
#include <stdio.h>

#include "compact.h"
#include "disk_tools.h"
#include "mark.h"

enum { SUFFIX_MAX = 32 };

/* The .log is last. */
static const char *const parts[] = {".index", ".timeindex", ".txnindex", ".log"};

static int64_t group_base(const struct compact *c)
{
    return c->sources[c->group_at].base_offset;
}

static int unlink_file(struct disk *disk, const struct compact *c, int64_t base_offset,
                       const char *suffix)
{
    char path[DISK_PATH_MAX];
    segment_path(path, c->directory, base_offset, suffix);
    int error = disk_unlink(disk, path);
    return error == E_NOT_FOUND ? 0 : error;
}

static int rename_part(struct disk *disk, const struct compact *c, const char *part,
                       const char *from, const char *to)
{
    char from_path[DISK_PATH_MAX], to_path[DISK_PATH_MAX], suffix[SUFFIX_MAX];
    snprintf(suffix, sizeof suffix, "%s%s", part, from);
    segment_path(from_path, c->directory, group_base(c), suffix);
    snprintf(suffix, sizeof suffix, "%s%s", part, to);
    segment_path(to_path, c->directory, group_base(c), suffix);
    int error = disk_rename(disk, from_path, to_path);
    return error == E_NOT_FOUND ? 0 : error;
}

int compact_mark_write(struct compact *c, struct disk *disk)
{
    if (c->has_marker)
        return 0;
    int error = mark_write(disk, c->directory, mark_compacted, c->map_end);
    c->has_marker = error == 0;
    return error;
}

/* Step 3, all but the sync. */
static int old_unlink(const struct compact *c, struct disk *disk)
{
    int error = 0;
    for (uint32_t i = 1; i < c->group_n && error == 0; i++) {
        int64_t base = c->sources[c->group_at + i].base_offset;
        for (size_t part = 0; part < array_n(parts) && error == 0; part++)
            error = unlink_file(disk, c, base, parts[part]);
        if (error == 0)
            error = unlink_file(disk, c, base, ".snapshot");
    }
    if (error == 0 && c->kept_n == 0)
        error = unlink_file(disk, c, group_base(c), ".txnindex");
    for (size_t part = 0; part + 1 < array_n(parts) && error == 0; part++)
        error = rename_part(disk, c, parts[part], ".swap", "");
    return error;
}

int compact_swap(struct compact *c, struct disk *disk)
{
    int error = 0;
    for (size_t part = 0; part < array_n(parts) && error == 0; part++)
        error = rename_part(disk, c, parts[part], ".cleaned", ".swap");
    if (error == 0)
        error = directory_sync(disk, c->directory);
    if (error == 0)
        error = old_unlink(c, disk);
    if (error == 0)
        error = directory_sync(disk, c->directory);
    if (error == 0)
        error = rename_part(disk, c, ".log", ".swap", "");
    return error == 0 ? directory_sync(disk, c->directory) : error;
}

void compact_unlink(const struct compact *c, struct disk *disk)
{
    char suffix[SUFFIX_MAX];
    for (size_t part = 0; part < array_n(parts); part++) {
        snprintf(suffix, sizeof suffix, "%s.cleaned", parts[part]);
        (void)unlink_file(disk, c, group_base(c), suffix); /* else the next start's sweep */
    }
}
