/*
 * checkpoint_job.c - the checkpoint files while the broker runs.
 *
 * Owner: files. One table per log directory holds the offsets of its partitions: filled at boot
 * from what recovery found, then kept by rows that stores send (offsets.c). A file is replaced as a
 * whole.
 *
 * A dropped partition leaves the table at once, in the order of the stores' mail. The files still
 * name it; before a directory of a new partition is made, which could bear the same name, they are
 * written anew. So no start ever takes an offset of a deleted topic for one of its successor.
 */
#include "check.h"
#include "checkpoint.h"
#include "disk_tools.h"
#include "helper.h"
#include "sweep.h"

/* A file that says something else than the table is written anew. After a crash it may name
 * partitions that were deleted: nothing tells the helper of them any more, and one of the same name
 * may be made at any time. */
static int checkpoint_renew(const struct checkpoints *c, enum checkpoint_kind kind,
                            struct disk *disk, const char *directory)
{
    char path[DISK_PATH_MAX];
    struct bytes there = {NULL, 0}, text;
    int error = path_join(path, directory, checkpoint_name(kind));
    if (error == 0)
        error = file_read(disk, path, INT32_MAX, &there);
    bool is_missing = error == E_NOT_FOUND;
    if (error < 0 && !is_missing)
        return error;
    error = checkpoint_text(c, kind, &text);
    if (error == 0) {
        bool is_same = is_missing ? checkpoint_count(c, kind) == 0 : bytes_equal(there, text);
        if (!is_same)
            error = file_replace(disk, directory, checkpoint_name(kind), text);
        file_read_free(&text);
    }
    file_read_free(&there);
    return error;
}

static int checkpoints_renew(const struct checkpoints *c, struct disk *disk, const char *directory)
{
    int error = checkpoint_write(c, CHECKPOINT_RECOVERY_POINT, disk, directory);
    if (error == 0)
        error = checkpoint_renew(c, CHECKPOINT_LOG_START, disk, directory);
    return error == 0 ? checkpoint_renew(c, CHECKPOINT_CLEANER, disk, directory) : error;
}

int helper_checkpoints(struct helper *helper, const char *directory,
                       struct checkpoints *checkpoints, bool is_behind)
{
    int error = 0;
    struct kept *kept = &helper->kept[helper->kept_n];
    check(helper->kept_n < LOG_DIRS_MAX && strlen(directory) < sizeof kept->directory);
    if (is_behind)
        error = checkpoints_renew(checkpoints, helper->disk, directory);
    if (error < 0)
        return error;
    kept->checkpoints = checkpoints;
    memcpy(kept->directory, directory, strlen(directory) + 1);
    helper->kept_n++;
    return 0;
}

/* NULL: nobody gave it a table. */
static struct kept *kept_of(struct helper *helper, const char *directory)
{
    for (uint32_t i = 0; i < helper->kept_n; i++)
        if (strcmp(helper->kept[i].directory, directory) == 0)
            return &helper->kept[i];
    return NULL;
}

static struct kept *kept_of_partition(struct helper *helper, const char *directory)
{
    char parent[DISK_PATH_MAX];
    path_parent(parent, directory);
    return kept_of(helper, parent);
}

static int write_due(struct helper *helper, struct kept *kept)
{
    int worst = 0;
    for (enum checkpoint_kind kind = 0; kind < CHECKPOINTS_N; kind++) {
        if ((kept->due & (1u << kind)) == 0)
            continue;
        int error = checkpoint_write(kept->checkpoints, kind, helper->disk, kept->directory);
        if (error == 0)
            kept->due &= ~(1u << kind);
        else
            worst = error;
    }
    return worst;
}

int checkpoint_job(struct helper *helper, const struct job *job)
{
    const struct checkpoint_row *rows = (const void *)job->data.ptr;
    uint32_t n = (uint32_t)(job->data.n / sizeof *rows);
    struct kept *kept = kept_of(helper, job->directory);
    int error = 0;
    if (kept == NULL)
        return E_STOPPING;
    for (uint32_t i = 0; i < n && error == 0; i++)
        error = checkpoint_set_all(kept->checkpoints, bytes_of(rows[i].topic, rows[i].topic_n),
                                   rows[i].partition, rows[i].offsets);
    if (error < 0)
        return error;
    kept->due |= (uint32_t)job->how;
    return write_due(helper, kept);
}

void checkpoint_dropped(struct helper *helper, const char *directory)
{
    struct bytes topic;
    int32_t partition;
    struct kept *kept = kept_of_partition(helper, directory);
    if (kept == NULL || !partition_name_parse(path_name(directory), &topic, &partition))
        return;
    if (!checkpoint_remove(kept->checkpoints, topic, partition))
        return;
    kept->is_stale = true;
    kept->due |= (1u << CHECKPOINT_RECOVERY_POINT) | (1u << CHECKPOINT_LOG_START) |
                 (1u << CHECKPOINT_CLEANER);
}

int checkpoint_fresh(struct helper *helper, const char *directory)
{
    struct kept *kept = kept_of_partition(helper, directory);
    if (kept == NULL || !kept->is_stale)
        return 0;
    int error = write_due(helper, kept);
    kept->is_stale = error != 0;
    return error;
}
