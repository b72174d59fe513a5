/*
 * close.c - the clean stop: afterwards nothing of the log directory has to be recovered, by us or
 * by Apache Kafka.
 *
 * Owner: main, after the threads have stopped. Blocks on the disk.
 *
 * Per log that changed since it was opened, or was scanned when it was: bytes written, .log cut to
 * its content, .index, .timeindex (with a last entry of the largest timestamp), .txnindex, a
 * producer snapshot at the end offset and leader-epoch-checkpoint written. Then everything is
 * flushed, by one call for all logs where the file system allows that, the journal goes, and only
 * then the offsets go into the checkpoints. A log that has bytes in the journal alone gets its
 * files here. A log that failed, or holds bytes for which no file was made yet, makes the stop
 * unclean: E_STORAGE, after all others were closed.
 *
 * Nothing written here is believed before .kafka_cleanshutdown stands, which comes last: after a
 * crash in between, the start is unclean, and the recovery point on the disk lies below every
 * segment whose indexes are being written (offsets.c).
 */
#include <stdio.h>
#include <stdlib.h>

#include "disk_tools.h"
#include "journal.h"

static bool segment_has_file(const struct segment *segment)
{
    return segment->state != SEGMENT_NEW && segment->state != SEGMENT_CREATING;
}

static int close_open(struct segment *segment, const char *directory)
{
    char path[DISK_PATH_MAX];
    bool is_made = segment_has_file(segment);
    if (segment->fd >= 0)
        return 0;
    if (!is_made && !segment->log->is_logged)
        return E_STORAGE;
    segment_path(path, directory, segment->base_offset, ".log");
    int fd = disk_open(segment->store->disk, path, DISK_WRITE | (is_made ? 0 : DISK_CREATE));
    if (fd < 0)
        return fd;
    segment->state = is_made ? segment->state : (uint8_t)SEGMENT_LIVE;
    segment_fd_set(segment, fd);
    return 0;
}

/* The directory of a log whose bytes no file was made for yet. */
static int close_make(struct plog *log, const char *directory)
{
    char *text = malloc(epochs_text_max(&log->epochs));
    if (text == NULL)
        return E_NO_MEMORY;
    struct bytes epochs = bytes_of(text, epochs_text(&log->epochs, text));
    int rc = partition_make(log->store->disk, directory, &log->id.topic_id, epochs);
    free(text);
    return rc;
}

/* Writes what the turns have left. */
static int close_write(struct segment *segment, const char *directory)
{
    struct store *store = segment->store;
    if (segment->written_pos < segment->end_pos) {
        int rc = close_open(segment, directory);
        if (rc != 0)
            return rc;
    }
    while (segment->written_pos < segment->end_pos) {
        struct page *page = cache_find(&store->cache, segment, segment->written_pos);
        check(page != NULL);
        uint64_t at = segment->written_pos - cache_page_pos(page);
        uint64_t n = min_u64(page->user_n - at, segment->end_pos - segment->written_pos);
        int rc =
            disk_write(store->disk, segment->fd, page_data(page) + at, n, segment->written_pos);
        if (rc != 0)
            return rc;
        segment->written_pos += n;
        if (cache_page_pos(page) + page->user_n <= segment->written_pos)
            cache_flags_set(&store->cache, page, 0);
    }
    return 0;
}

/* A file that nobody believes before the stop is complete: written in place, without a rename, and
 * flushed with everything else. */
static int close_write_in_place(struct disk *disk, const char *path, const void *v, uint32_t n)
{
    struct disk_stat s;
    if (n == 0 && disk_stat(disk, path, &s) == 0 && s.bytes == 0)
        return 0;
    int fd = disk_open(disk, path, DISK_WRITE | DISK_CREATE);
    if (fd < 0)
        return fd;
    int rc = n > 0 ? disk_write(disk, fd, v, n, 0) : 0;
    if (rc == 0)
        rc = disk_truncate(disk, fd, n);
    disk_close(disk, fd);
    return rc;
}

static int close_file(struct plog *log, const char *directory, int64_t offset, const char *suffix,
                      const void *v, uint32_t n)
{
    char path[DISK_PATH_MAX];
    segment_path(path, directory, offset, suffix);
    return close_write_in_place(log->store->disk, path, v, n);
}

/* .txnindex is believed after a crash too, as far as its snapshot reaches: replaced as a whole. */
static int close_aborted(struct plog *log, const char *directory, const struct segment *segment,
                         int64_t end)
{
    char name[DISK_NAME_MAX + 1];
    uint32_t n = aborted_encode(&log->aborted, segment->base_offset, end, NULL);
    if (n == 0)
        return 0;
    uint8_t *file = malloc(n);
    if (file == NULL)
        return E_NO_MEMORY;
    aborted_encode(&log->aborted, segment->base_offset, end, file);
    snprintf(name, sizeof name, "%020lld.txnindex", (long long)segment->base_offset);
    int rc = file_replace(log->store->disk, directory, name, bytes_of(file, n));
    free(file);
    return rc;
}

/* Cuts a preallocated file to its content. */
static int close_content(struct segment *segment, const char *directory)
{
    struct disk *disk = segment->store->disk;
    char path[DISK_PATH_MAX];
    struct disk_stat s;
    segment_path(path, directory, segment->base_offset, ".log");
    int rc = disk_stat(disk, path, &s);
    if (rc != 0 || s.bytes == segment->end_pos)
        return rc;
    rc = close_open(segment, directory);
    return rc != 0 ? rc : disk_truncate(disk, segment->fd, segment->end_pos);
}

/* One segment that is not sealed: its bytes and its indexes. */
static int close_segment(struct plog *log, const char *directory, struct segment *segment)
{
    int64_t end = segment->is_rolled ? segment->end.offset : log->end.offset;
    if (segment->end_pos == 0 && segment->state == SEGMENT_NEW)
        return 0;
    int rc = segment_has_file(segment) ? 0 : close_open(segment, directory);
    if (rc == 0)
        rc = close_write(segment, directory);
    if (rc == 0)
        rc = close_content(segment, directory);
    if (rc != 0)
        return rc;
    segment_note_end(segment);
    rc = close_file(log, directory, segment->base_offset, ".index", segment->index.v,
                    segment->index.n * INDEX_ENTRY);
    if (rc == 0)
        rc = close_file(log, directory, segment->base_offset, ".timeindex", segment->time_index.v,
                        segment->time_index.n * TIME_INDEX_ENTRY);
    if (rc == 0)
        rc = close_aborted(log, directory, segment, end);
    if (rc == 0 && segment->snapshot != NULL)
        rc = close_file(log, directory, segment->end.offset, ".snapshot", segment->snapshot,
                        segment->snapshot_bytes);
    return rc;
}

/* In place, too: it fits a sector, and what does not make sense is rebuilt from the batches. */
static int close_epochs(struct plog *log, const char *directory)
{
    char path[DISK_PATH_MAX];
    char *text = malloc(epochs_text_max(&log->epochs));
    if (text == NULL)
        return E_NO_MEMORY;
    int rc = path_join(path, directory, "leader-epoch-checkpoint");
    if (rc == 0)
        rc = close_write_in_place(log->store->disk, path, text,
                                  (uint32_t)epochs_text(&log->epochs, text));
    free(text);
    return rc;
}

static int close_snapshot(struct plog *log, const char *directory)
{
    uint64_t n = producers_snapshot_bytes(&log->producers);
    uint8_t *file = n <= INT32_MAX ? malloc(n) : NULL;
    if (file == NULL)
        return E_NO_MEMORY;
    producers_snapshot_encode(&log->producers, file);
    int rc = close_file(log, directory, log->end.offset, ".snapshot", file, (uint32_t)n);
    free(file);
    return rc;
}

static bool log_has_directory(const struct plog *log)
{
    return segment_has_file(log->segments[0]);
}

/* True: it has files that the stop has written and nobody has flushed. */
static bool close_is_due(const struct plog *log)
{
    return log->state == PLOG_OPEN && log_has_directory(log) &&
           (log->is_changed || log->has_epochs_to_write || log->has_epochs_job);
}

static int close_log(struct plog *log)
{
    char directory[DISK_PATH_MAX];
    int rc = 0;
    if (log->state != PLOG_OPEN)
        return E_STORAGE;
    if (!log_has_directory(log) && (log->end.bytes == 0 || !log->is_logged))
        return log->end.bytes > 0 ? E_STORAGE : 0;
    log_directory_path(directory, log->store->config.directory, log->id.topic, log->id.partition);
    if (!log_has_directory(log))
        rc = close_make(log, directory);
    for (uint32_t i = log->sealed_n; rc == 0 && log->is_changed && i < log->segments_n; i++)
        rc = close_segment(log, directory, log->segments[i]);
    if (rc == 0 && log->is_changed)
        rc = close_snapshot(log, directory);
    if (rc == 0 && (log->has_epochs_to_write || log->has_epochs_job))
        rc = close_epochs(log, directory);
    return rc;
}

/* ── flushing ── */

static int close_sync_file(struct disk *disk, const char *path)
{
    int fd = disk_open(disk, path, DISK_WRITE);
    if (fd < 0)
        return fd == E_NOT_FOUND ? 0 : fd;
    int rc = disk_sync(disk, fd);
    disk_close(disk, fd);
    return rc;
}

int plog_sync_files(struct plog *log)
{
    static const char *const suffixes[] = {".log", ".index", ".timeindex", ".snapshot"};
    struct disk *disk = log->store->disk;
    char directory[DISK_PATH_MAX], path[DISK_PATH_MAX];
    int rc = 0;
    log_directory_path(directory, log->store->config.directory, log->id.topic, log->id.partition);
    for (uint32_t i = 0; i < log->segments_n; i++) {
        if (i < log->sealed_n && !log->segments[i]->is_unsynced)
            continue;
        for (size_t j = 0; rc == 0 && j < array_n(suffixes); j++) {
            segment_path(path, directory, log->segments[i]->base_offset, suffixes[j]);
            rc = close_sync_file(disk, path);
        }
    }
    segment_path(path, directory, log->end.offset, ".snapshot");
    if (rc == 0)
        rc = close_sync_file(disk, path);
    static const char *const others[] = {"leader-epoch-checkpoint", "partition.metadata"};
    for (size_t j = 0; rc == 0 && j < array_n(others); j++) {
        rc = path_join(path, directory, others[j]);
        if (rc == 0)
            rc = close_sync_file(disk, path);
    }
    rc = rc == 0 ? directory_sync(disk, directory) : rc;
    return rc == E_NOT_FOUND ? 0 : rc;
}

static void log_closed(struct plog *log)
{
    for (uint32_t i = log->sealed_n; i < log->segments_n; i++)
        log->segments[i]->durable_pos = log->segments[i]->end_pos;
    for (uint32_t i = log->sealed_n; i < log->segments_n; i++)
        log->segments[i]->logged_pos = log->segments[i]->safe_pos = log->segments[i]->end_pos;
    log->written = log->durable = log->settled = log->logged = log->home = log->end;
    log->has_epochs_to_write = log->is_changed = false;
    plog_marks_moved(log, log->store->now);
}

/* Everything close_log wrote becomes durable. */
static int close_sync(struct store *store)
{
    int worst = 0, all = disk_sync_all(store->disk, store->directory_fd);
    list_for_each(node, next, &store->logs) {
        struct plog *log = list_entry(node, struct plog, link);
        if (!close_is_due(log))
            continue;
        int rc = all == E_UNSUPPORTED ? plog_sync_files(log) : all;
        if (rc == 0)
            log_closed(log);
        else
            worst = rc;
    }
    if (worst == 0 && all == E_UNSUPPORTED) /* the names of partitions made a moment ago */
        worst = disk_sync(store->disk, store->directory_fd);
    return worst;
}

/* ── the store ── */

int store_close(struct store *store, struct checkpoints *checkpoints)
{
    int worst = 0;
    store_own(store);
    list_for_each(node, next, &store->logs) {
        int rc = close_log(list_entry(node, struct plog, link));
        if (rc != 0)
            worst = rc;
    }
    int rc = close_sync(store);
    worst = worst == 0 ? rc : worst;
    worst = worst == 0 ? journal_end(store) : worst;
    store->is_closed = worst == 0;
    return worst == 0 ? store_checkpoints_fill(store, checkpoints) : worst;
}
