/*
 * files.c - the helpers: jobs of the home threads done one by one, and everything jobs do with
 * files that are there already (new ones: create.c).
 *
 * Owner: files | bulk.
 *
 * A helper never sees a log or a store: a job holds paths, numbers and bytes (jobs.h). The order of
 * steps is Apache Kafka's (disk-formats 14), with one thing more: the parent of a new or renamed
 * directory is synced, so that a topic whose creation was acknowledged is there after a power cut.
 *
 * Each job is all or nothing as far as a disk allows: what a failed attempt made is taken away
 * again, steps that were done are found done by the next attempt. A failed fsync is not repeated
 * here; the store decides.
 */
#include "helper.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "disk_tools.h"
#include "move.h"
#include "sweep.h"
#include "uuid_text.h"

enum { FILE_NAME_MAX = 64, UNLINK_SUFFIXES_N = 5 };

int helper_init(struct helper **out, struct disk *disk, struct post *post, uint64_t seed)
{
    struct helper *helper = calloc(1, sizeof *helper);
    if (helper == NULL)
        return E_NO_MEMORY;
    helper->disk = disk;
    helper->post = post;
    prng_init(&helper->prng, seed);
    *out = helper;
    return 0;
}

void helper_fini(struct helper *helper)
{
    for (uint32_t i = 0; i < helper->kept_n; i++)
        checkpoints_free(helper->kept[i].checkpoints);
    repack_memory_fini(helper);
    free(helper);
}

/* ── JOB_OPEN, JOB_CLOSE ── */

static void close_all(struct disk *disk, struct job *job)
{
    int *const fds[] = {&job->fd, &job->index_fd, &job->time_fd};
    for (size_t i = 0; i < array_n(fds); i++) {
        if (*fds[i] >= 0)
            disk_close(disk, *fds[i]);
        *fds[i] = -1;
    }
}

static int open_file(struct disk *disk, struct job *job)
{
    char path[DISK_PATH_MAX];
    struct disk_stat s;
    job->fd = -1;
    int error = path_join(path, job->directory, job->name);
    if (error < 0)
        return error;
    int fd = disk_open(disk, path, job->how);
    if (fd < 0)
        return fd;
    error = disk_stat(disk, path, &s);
    if (error < 0) {
        disk_close(disk, fd);
        return error;
    }
    job->fd = fd;
    job->bytes = s.bytes;
    return 0;
}

/* ── JOB_SEAL ── */

/* Cuts a file to its content and makes it durable. */
static int seal_file(struct disk *disk, const struct job *job, const char *suffix, int fd,
                     uint64_t bytes)
{
    char path[DISK_PATH_MAX];
    int own_fd = -1;
    if (fd < 0) {
        segment_path(path, job->directory, job->base_offset, suffix);
        own_fd = fd = disk_open(disk, path, DISK_WRITE);
        if (fd < 0)
            return fd;
    }
    int error = disk_truncate(disk, fd, bytes);
    if (error == 0)
        error = disk_sync(disk, fd);
    if (own_fd >= 0)
        disk_close(disk, own_fd);
    return error;
}

static int segment_seal(struct disk *disk, const struct job *job)
{
    int error = seal_file(disk, job, ".log", job->fd, job->bytes);
    if (error == 0)
        error = seal_file(disk, job, ".index", job->index_fd, job->index_bytes);
    if (error == 0)
        error = seal_file(disk, job, ".timeindex", job->time_fd, job->time_index_bytes);
    if (error == 0 && job->data.ptr != NULL)
        error = file_replace(disk, job->directory, job->name, job->data);
    else if (error == 0)
        error = directory_sync(disk, job->directory);
    return error;
}

/* ── JOB_DROP, JOB_PURGE ── */

/* "<topic>-<partition>.<32 hex>-delete"; a topic too long for that is cut, as Kafka does. */
void dropped_name(char to[DISK_NAME_MAX + 1], const char *name, const char *hex)
{
    char tail[FILE_NAME_MAX];
    const char *dash = strrchr(name, '-');
    size_t topic_n = dash == NULL ? strlen(name) : (size_t)(dash - name);
    int tail_n = snprintf(tail, sizeof tail, "%.12s.%s-delete", dash == NULL ? "" : dash, hex);
    if (topic_n > (size_t)(DISK_NAME_MAX - tail_n))
        topic_n = (size_t)(DISK_NAME_MAX - tail_n);
    snprintf(to, DISK_NAME_MAX + 1, "%.*s%s", (int)topic_n, name, tail);
}

static void delete_name(struct helper *helper, struct job *job)
{
    char hex[UUID_HEX_MAX];
    struct uuid id;
    prng_uuid(&helper->prng, &id);
    uuid_hex(&id, hex);
    dropped_name(job->name, path_name(job->directory), hex);
}

/* A successor of the same name has it already (create.c). */
static bool is_successor(struct disk *disk, const struct job *job)
{
    struct uuid found;
    return partition_metadata_read(disk, job->directory, &found) == 0 &&
           !uuid_equal(&found, &job->topic_id);
}

static int directory_drop(struct helper *helper, struct job *job)
{
    char parent[DISK_PATH_MAX], to[DISK_PATH_MAX];
    struct disk_stat s;
    int error = disk_stat(helper->disk, job->directory, &s);
    if (error == E_NOT_FOUND || (error == 0 && is_successor(helper->disk, job))) {
        job->name[0] = '\0';
        return 0;
    }
    if (error < 0)
        return error;
    if (job->name[0] == '\0')
        delete_name(helper, job);
    path_parent(parent, job->directory);
    checkpoint_dropped(helper, job->directory);
    error = path_join(to, parent, job->name);
    if (error == 0)
        error = disk_rename(helper->disk, job->directory, to);
    return error < 0 ? error : directory_sync(helper->disk, parent);
}

/* The identity of the partition goes last, as in Kafka: until then the directory says whose it was.
 */
static bool is_identity(const char *name)
{
    return strcmp(name, "partition.metadata") == 0 || strcmp(name, "leader-epoch-checkpoint") == 0;
}

static int unlink_names(struct disk *disk, const char *directory, const struct names *names,
                        bool identity)
{
    for (uint32_t i = 0; i < names->n; i++) {
        char path[DISK_PATH_MAX];
        if (is_identity(names->v[i]) != identity)
            continue;
        int error = path_join(path, directory, names->v[i]);
        if (error == 0)
            error = disk_unlink(disk, path);
        if (error < 0 && error != E_NOT_FOUND)
            return error;
    }
    return 0;
}

static int directory_purge(struct disk *disk, const struct job *job)
{
    char parent[DISK_PATH_MAX];
    struct names names;
    int error = names_list(disk, job->directory, &names);
    if (error < 0)
        return error == E_NOT_FOUND ? 0 : error;
    error = unlink_names(disk, job->directory, &names, false);
    if (error == 0)
        error = unlink_names(disk, job->directory, &names, true);
    names_free(&names);
    if (error == 0)
        error = disk_remove_directory(disk, job->directory);
    if (error < 0)
        return error;
    path_parent(parent, job->directory);
    return directory_sync(disk, parent);
}

/* ── JOB_UNLINK_SEGMENT ── */

static int segment_unlink(struct disk *disk, const struct job *job)
{
    static const char *const suffixes[UNLINK_SUFFIXES_N] = {".log", ".index", ".timeindex",
                                                            ".txnindex", ".snapshot"};
    bool is_finish = job->how == JOB_UNLINK_FINISH;
    for (size_t i = 0; i < UNLINK_SUFFIXES_N; i++) {
        char from[DISK_PATH_MAX], to[DISK_PATH_MAX], deleted[FILE_NAME_MAX];
        snprintf(deleted, sizeof deleted, "%s.deleted", suffixes[i]);
        segment_path(from, job->directory, job->base_offset, suffixes[i]);
        segment_path(to, job->directory, job->base_offset, deleted);
        int error = is_finish ? disk_unlink(disk, to) : disk_rename(disk, from, to);
        if (error < 0 && error != E_NOT_FOUND)
            return error;
    }
    return directory_sync(disk, job->directory);
}

/* ── JOB_UNLINK_FILE ── */

static int file_unlink(struct disk *disk, const struct job *job)
{
    char path[DISK_PATH_MAX];
    int error = path_join(path, job->directory, job->name);
    if (error == 0)
        error = disk_unlink(disk, path);
    if (error < 0)
        return error == E_NOT_FOUND ? 0 : error;
    return directory_sync(disk, job->directory);
}

/* ── JOB_SPACE ── */

static struct reserve *reserve_of(struct helper *helper, const char *directory)
{
    for (uint32_t i = 0; i < helper->reserves_n; i++)
        if (strcmp(helper->reserves[i].directory, directory) == 0)
            return &helper->reserves[i];
    return NULL;
}

int64_t helper_reserve(struct helper *helper, const char *directory, uint64_t bytes,
                       uint64_t min_free_bytes)
{
    check(helper->reserves_n < array_n(helper->reserves));
    struct reserve *r = &helper->reserves[helper->reserves_n];
    int error = reserve_begin(r, helper->disk, directory, bytes, min_free_bytes);
    if (error < 0)
        return error;
    helper->reserves_n++;
    return r->is_held ? (int64_t)r->bytes : 0;
}

/* What the reserve's judging failed with is the disk's trouble, and is tried again. */
static int space_ask(struct helper *helper, struct job *job)
{
    struct disk_space space = {0};
    struct reserve *r = reserve_of(helper, job->directory);
    int error = disk_space(helper->disk, job->directory, &space);
    if (error == 0 && r != NULL &&
        reserve_judge(r, helper->disk, space.free_bytes, job->how == JOB_SPACE_WAITS,
                      helper->now_ns) > 0)
        error = disk_space(helper->disk, job->directory, &space);
    job->bytes = space.total_bytes;
    job->index_bytes = space.free_bytes;
    job->time_index_bytes = r != NULL && r->is_held ? r->bytes : 0;
    job->base_offset = r != NULL && !r->is_held ? (int64_t)r->bytes : 0;
    return error;
}

/* ── turns ── */

static int job_run(struct helper *helper, struct job *job)
{
    switch ((enum job_kind)job->kind) {
    case JOB_SEGMENT_CREATE: break; /* create.c */
    case JOB_OPEN: return open_file(helper->disk, job);
    case JOB_WRITE_FILE: return file_replace(helper->disk, job->directory, job->name, job->data);
    case JOB_SEAL: return segment_seal(helper->disk, job);
    case JOB_DROP: return directory_drop(helper, job);
    case JOB_PURGE: return directory_purge(helper->disk, job);
    case JOB_UNLINK_SEGMENT: return segment_unlink(helper->disk, job);
    case JOB_CLOSE: close_all(helper->disk, job); return 0;
    case JOB_UNLINK_FILE: return file_unlink(helper->disk, job);
    case JOB_SPACE: return space_ask(helper, job);
    case JOB_CHECKPOINT: return checkpoint_job(helper, job);
    case JOB_JOURNAL_GROW: return file_zero(helper->disk, job->fd, job->bytes, job->index_bytes);
    case JOB_SYNC_ALL: return disk_sync_all(helper->disk, job->fd);
    case JOB_TIME_QUERY: return bulk_time_query(helper, job);
    case JOB_COMPACT: return bulk_compact(helper, job);
    case JOB_REPACK: return bulk_repack(helper, job);
    case JOB_MOVE:
    case JOB_MOVE_NAMES: return move_copy_run(helper, job->move);
    }
    check(false);
    return E_INVALID;
}

/* What does not change names may be done between the two halves of a creation. */
static bool is_independent(const struct job *job)
{
    return job->kind == JOB_SPACE || job->kind == JOB_OPEN || job->kind == JOB_CLOSE ||
           job->kind == JOB_TIME_QUERY || job->kind == JOB_COMPACT || job->kind == JOB_REPACK ||
           job->kind == JOB_MOVE;
}

/* True: it will be answered with the other creations. */
static bool job_take(struct helper *helper, struct job *job)
{
    if (job->kind == JOB_SEGMENT_CREATE)
        return create_begin(helper, job);
    if (!is_independent(job))
        creates_end(helper);
    job->error = job_run(helper, job);
    return false;
}

int helper_turn(struct helper *helper, struct now now, int budget)
{
    own(helper);
    helper->now_ns = now.ns;
    int done = 0;
    while (done < budget) {
        struct mail *mail = mail_read(helper->post, &helper->from_at);
        if (mail == NULL)
            break;
        check(!mail->is_answer);
        /* MAIL_STOP: nothing to finish, every job is done within its turn. */
        check(mail->kind == MAIL_FILE || mail->kind == MAIL_BULK || mail->kind == MAIL_WORK ||
              mail->kind == MAIL_STOP);
        if (mail->kind == MAIL_WORK) {
            struct work_op *op = container_of(mail, struct work_op, mail);
            op->run(op);
            mail_answer(helper->post, mail);
        } else if (mail->kind == MAIL_STOP ||
                   !job_take(helper, container_of(mail, struct job, mail)))
            mail_answer(helper->post, mail);
        done++;
    }
    creates_end(helper);
    mail_flush(helper->post);
    return done;
}
