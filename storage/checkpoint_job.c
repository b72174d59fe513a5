/*
 * checkpoint_job.c - the checkpoint files while the broker runs.
 *
 * Owner: files. One table holds the offsets of all partitions of the log directory: filled at boot
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

int helper_checkpoints(struct helper *helper, const char *directory,
                       struct checkpoints *checkpoints, bool is_behind)
{
    int error = 0;
    check(helper->checkpoints == NULL && strlen(directory) < sizeof helper->directory);
    if (is_behind)
        error = checkpoint_write(checkpoints, CHECKPOINT_RECOVERY_POINT, helper->disk, directory);
    if (error < 0)
        return error;
    helper->checkpoints = checkpoints;
    memcpy(helper->directory, directory, strlen(directory) + 1);
    return 0;
}

static int write_due(struct helper *helper)
{
    int worst = 0;
    for (enum checkpoint_kind kind = 0; kind < CHECKPOINTS_N; kind++) {
        if ((helper->checkpoints_due & (1u << kind)) == 0)
            continue;
        int error =
            checkpoint_write(helper->checkpoints, kind, helper->disk, helper->directory);
        if (error == 0)
            helper->checkpoints_due &= ~(1u << kind);
        else
            worst = error;
    }
    return worst;
}

int checkpoint_job(struct helper *helper, const struct job *job)
{
    const struct checkpoint_row *rows = (const void *)job->data.ptr;
    uint32_t n = (uint32_t)(job->data.n / sizeof *rows);
    int error = 0;
    if (helper->checkpoints == NULL)
        return E_STOPPING; /* nobody gave it a table */
    for (uint32_t i = 0; i < n && error == 0; i++)
        error = checkpoint_set_all(helper->checkpoints, bytes_of(rows[i].topic, rows[i].topic_n),
                                   rows[i].partition, rows[i].offsets);
    if (error < 0)
        return error;
    helper->checkpoints_due |= (uint32_t)job->how;
    return write_due(helper);
}

void checkpoint_dropped(struct helper *helper, const char *directory)
{
    struct bytes topic;
    int32_t partition;
    if (helper->checkpoints == NULL ||
        !partition_name_parse(path_name(directory), &topic, &partition))
        return;
    if (!checkpoint_remove(helper->checkpoints, topic, partition))
        return;
    helper->are_checkpoints_stale = true;
    helper->checkpoints_due |= (1u << CHECKPOINT_RECOVERY_POINT) | (1u << CHECKPOINT_LOG_START) |
                               (1u << CHECKPOINT_CLEANER);
}

int checkpoint_fresh(struct helper *helper)
{
    if (!helper->are_checkpoints_stale)
        return 0;
    int error = write_due(helper);
    helper->are_checkpoints_stale = error != 0;
    return error;
}
