/*
 * fake_store.h - the functions of storage.h that control uses, over one file of a mem_disk.
 *
 * Owner: the test. One log; appends become durable at the next store_flush unless the test holds
 * flushes back. It exists so that control's own rules are tested without the store's: when a flush
 * ends, that it fails, that the tail is full. tests/unit/control/store_test.c runs control over the
 * real store.
 */
#ifndef MILLRACE_FAKE_STORE_H
#define MILLRACE_FAKE_STORE_H

#include <inttypes.h>
#include <stdlib.h>

#include "batch.h"
#include "mem_disk.h"
#include "storage.h"

struct plog {
    struct disk *disk;
    int fd;
    uint64_t pos;
    int64_t end, durable;
    int32_t epoch;
    int error;
    struct list waits;
    struct side_file *side_file;
    bool is_unlink;
};

struct store {
    struct plog log;
    bool is_open;
};

/* What the test decides. */
struct fake_store_rules {
    bool holds_flush; /* nothing becomes durable */
    bool fails_flush; /* the next flush fails */
    int append_error; /* what the next append returns, once */
    int recovered_error;
    int recover_error; /* what store_log_recover of a topic's log returns */
    bool holds_file, is_busy;
    int file_error, move_error;
    int64_t moved_to;
    uint64_t rolls_n;
    uint64_t appends_n, recovered_n, ticks_n;
};
static struct fake_store_rules fake_store_rules; /* the only way into functions without a context */

int store_init(struct store **out, const struct store_config *config, struct io *io,
               struct disk *disk, struct pages *pages, struct timers *timers, struct post *post,
               uint8_t files_thread, uint8_t bulk_thread)
{
    (void)io, (void)pages, (void)timers, (void)post, (void)files_thread, (void)bulk_thread;
    *out = calloc(1, sizeof **out);
    check(*out != NULL);
    (*out)->log = (struct plog){.disk = disk, .fd = -1, .epoch = config->leader_epoch};
    list_init(&(*out)->log.waits);
    return 0;
}

void store_fini(struct store *store)
{
    free(store);
}

int store_recovered(struct store *store)
{
    (void)store;
    return fake_store_rules.recovered_error;
}

/* Finds the end of the metadata log by walking its batches; topics' logs are only counted. */
int store_log_recover(struct store *store, const struct log_id *id, const struct log_config *config,
                      bool is_clean, struct recovery_report *report, struct plog **out)
{
    struct plog *log = &store->log;
    char path[DISK_PATH_MAX];
    (void)config, (void)is_clean;
    *out = log;
    report->logs_n++;
    if (!bytes_equal_string(id->topic, "__cluster_metadata")) {
        fake_store_rules.recovered_n++;
        return fake_store_rules.recover_error;
    }
    snprintf(path, sizeof path, "data/__cluster_metadata-0/%020d.log", 0);
    log->fd = disk_open(log->disk, path, DISK_READ | DISK_WRITE);
    if (log->fd < 0)
        return log->fd;
    uint8_t head[BATCH_HEADER];
    struct batch batch;
    while (disk_read(log->disk, log->fd, head, sizeof head, log->pos) == sizeof head &&
           batch_header(head, &batch) == 0) {
        log->pos += batch.bytes;
        log->end = batch_last_offset(&batch) + 1;
    }
    log->durable = log->end;
    return 0;
}

int plog_append(struct plog *log, struct append *append, struct now now)
{
    uint8_t *batch = malloc(append->bytes);
    struct slices_at at = append->at;
    struct batch header;
    (void)now;
    check(batch != NULL);
    int e = fake_store_rules.append_error;
    fake_store_rules.append_error = 0;
    if (e == 0)
        e = log->error;
    if (e == 0) {
        fake_store_rules.appends_n++;
        slices_copy(append->from, &at, batch, append->bytes);
        store_u64(batch, (uint64_t)log->end);
        store_u32(batch + BATCH_EPOCH_AT, (uint32_t)log->epoch);
        check(batch_header(batch, &header) == 0);
        append->base_offset = log->end;
        append->last_offset = log->end = batch_last_offset(&header) + 1;
        append->last_offset--;
        e = disk_write(log->disk, log->fd, batch, append->bytes, log->pos);
        log->pos += append->bytes;
    }
    free(batch);
    return e;
}

void plog_offsets(const struct plog *log, struct plog_offsets *out)
{
    *out = (struct plog_offsets){
        .durable = log->durable, .written = log->durable, .high = log->durable, .end = log->end};
}

bool plog_wait(struct plog *log, struct plog_wait *wait)
{
    check(wait->mark == PLOG_DURABLE);
    if (log->durable >= wait->offset)
        return true;
    list_append(&log->waits, &wait->link);
    return false;
}

static void fake_store_wake(struct plog *log, struct now now)
{
    list_for_each(link, next, &log->waits) {
        struct plog_wait *wait = list_entry(link, struct plog_wait, link);
        if (log->error == 0 && log->durable < wait->offset)
            continue;
        list_del(link);
        wait->wake(wait, log->error, now);
    }
}

static void fake_side_file_end(struct plog *log, struct now now);

int store_flush(struct store *store, struct now now)
{
    struct plog *log = &store->log;
    fake_side_file_end(log, now);
    if (fake_store_rules.holds_flush || log->durable == log->end || log->error != 0)
        return 0;
    if (fake_store_rules.fails_flush || disk_sync(log->disk, log->fd) < 0)
        log->error = E_STORAGE;
    else
        log->durable = log->end;
    fake_store_wake(log, now);
    return 1;
}

void store_tick(struct store *store, struct now now)
{
    (void)store, (void)now;
    fake_store_rules.ticks_n++;
}

void store_mail(struct store *store, struct mail *mail, struct now now)
{
    (void)store, (void)mail, (void)now;
    check(!"the fake store sends no mail");
}

/* ── side files ── */

int plog_roll(struct plog *log, struct now now)
{
    (void)log, (void)now;
    fake_store_rules.rolls_n++;
    return 0;
}

static int fake_side_file(struct plog *log, struct side_file *file, bool is_unlink)
{
    if (fake_store_rules.is_busy || log->side_file != NULL)
        return E_NO_MEMORY;
    file->log = log;
    log->side_file = file;
    log->is_unlink = is_unlink;
    return 0;
}

int plog_file_write(struct plog *log, struct side_file *file)
{
    return fake_side_file(log, file, false);
}

int plog_file_unlink(struct plog *log, struct side_file *file)
{
    return fake_side_file(log, file, true);
}

/* The helper's turn: by tmp and rename, each step may fail. */
static int fake_side_file_run(struct plog *log, const struct side_file *file)
{
    char path[DISK_PATH_MAX], tmp[DISK_PATH_MAX + 8];
    snprintf(path, sizeof path, "data/__cluster_metadata-0/%s", file->name);
    if (log->is_unlink)
        return disk_unlink(log->disk, path);
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    int fd = disk_open(log->disk, tmp, DISK_WRITE | DISK_CREATE);
    if (fd < 0)
        return fd;
    int e = disk_write(log->disk, fd, file->data.ptr, file->data.n, 0);
    if (e == 0)
        e = disk_sync(log->disk, fd);
    disk_close(log->disk, fd);
    return e < 0 ? e : disk_rename(log->disk, tmp, path);
}

static void fake_side_file_end(struct plog *log, struct now now)
{
    struct side_file *file = log->side_file;
    if (file == NULL || fake_store_rules.holds_file)
        return;
    log->side_file = NULL;
    file->error = fake_store_rules.file_error != 0 ? fake_store_rules.file_error
                                                   : fake_side_file_run(log, file);
    file->done(file, now);
}

int plog_start_move(struct plog *log, struct start_move *move, struct now now)
{
    (void)log, (void)now;
    fake_store_rules.moved_to = move->start = move->offset;
    return fake_store_rules.move_error;
}

bool store_is_quiet(const struct store *store)
{
    return store->log.durable == store->log.end;
}

int store_close(struct store *store, struct checkpoints *checkpoints)
{
    (void)checkpoints;
    return disk_sync(store->log.disk, store->log.fd);
}

#endif
