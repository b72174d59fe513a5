/*
 * recovery.c - opening a log at boot, after a clean stop or a crash.
 *
 * Owner: main, before the threads run.
 *
 * After a clean stop everything is believed but the end of the last segment, which is looked at;
 * when that does not fit, the segment is scanned as after a crash. After a crash the segment that
 * holds the recovery point and all later ones are scanned (so always the last); the log is cut at
 * the first batch that is not whole, later segments are removed, indexes rebuilt, and before
 * anything is served store_recovered flushes every file whose end was read or changed (journal rule
 * 8), so that nothing is served that a second crash could take. Until then a crash only makes the
 * next start do the same again.
 *
 * What a checkpoint says is believed only when that file is younger than the partition's directory:
 * a topic that was deleted and made again under its old name must not inherit the old one's.
 *
 * Leftovers: .deleted, .cleaned and .tmp files go, as do indexes without a .log. A compaction that
 * Apache Kafka was stopped in (.swap) was completed by the sweep before (sweep.c): finding one here
 * means that nobody swept, E_UNSUPPORTED.
 */
#include "recovery.h"

#include <stdio.h>
#include <stdlib.h>

#include "checkpoint.h"

enum { OFFSET_DIGITS = 20 };

/* ── names ── */

/* "<20 digits><suffix>" */
static bool name_parse(const char *name, const char *suffix, int64_t *offset)
{
    uint64_t v = 0;
    for (int i = 0; i < OFFSET_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9' || v > (uint64_t)INT64_MAX / 10)
            return false;
        v = v * 10 + (uint64_t)(name[i] - '0');
    }
    *offset = (int64_t)v;
    return v <= (uint64_t)INT64_MAX && strcmp(name + OFFSET_DIGITS, suffix) == 0;
}

static bool name_ends(const char *name, const char *end)
{
    size_t n = strlen(name), end_n = strlen(end);
    return n >= end_n && strcmp(name + n - end_n, end) == 0;
}

static void name_unlink(struct recovery *r, const char *name)
{
    char path[DISK_PATH_MAX];
    if (path_join(path, r->directory, name) == 0 && disk_unlink(r->disk, path) == 0)
        r->is_changed = true;
}

/* Sorts the directory's names; they come sorted, so offsets rise. */
static int names_sort(struct recovery *r)
{
    r->bases = malloc((r->names.n + 1) * sizeof *r->bases);
    r->snapshots = malloc((r->names.n + 1) * sizeof *r->snapshots);
    if (r->bases == NULL || r->snapshots == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < r->names.n; i++) {
        const char *name = r->names.v[i];
        int64_t offset;
        if (name_ends(name, ".swap"))
            return E_UNSUPPORTED;
        if (name_ends(name, ".deleted") || name_ends(name, ".cleaned") || name_ends(name, ".tmp"))
            name_unlink(r, name);
        else if (name_parse(name, ".log", &offset))
            r->bases[r->bases_n++] = offset;
        else if (name_parse(name, ".snapshot", &offset))
            r->snapshots[r->snapshots_n++] = offset;
    }
    return 0;
}

static void names_orphans(struct recovery *r)
{
    for (uint32_t i = 0; i < r->names.n; i++) {
        const char *name = r->names.v[i];
        int64_t offset;
        bool is_index = name_parse(name, ".index", &offset) ||
                        name_parse(name, ".timeindex", &offset) ||
                        name_parse(name, ".txnindex", &offset);
        if (is_index && !recovery_has_file(r, offset, ".log"))
            name_unlink(r, name);
    }
}

/* Removes the files of segment bases[at]. */
static void segment_remove(struct recovery *r, uint32_t at)
{
    static const char *const suffixes[] = {".log", ".index", ".timeindex", ".txnindex"};
    char path[DISK_PATH_MAX];
    struct disk_stat s;
    segment_path(path, r->directory, r->bases[at], ".log");
    if (disk_stat(r->disk, path, &s) == 0)
        r->report->cut_bytes += s.bytes;
    for (size_t i = 0; i < array_n(suffixes); i++) {
        segment_path(path, r->directory, r->bases[at], suffixes[i]);
        if (disk_unlink(r->disk, path) == 0)
            r->is_changed = true;
    }
}

/* ── checkpoints ── */

static int store_checkpoints_load(struct store *store)
{
    char why[256], path[DISK_PATH_MAX];
    if (store->checkpoints != NULL)
        return 0;
    for (enum checkpoint_kind kind = 0; kind < CHECKPOINTS_N; kind++) {
        struct disk_stat file;
        int rc = path_join(path, store->config.directory, checkpoint_name(kind));
        if (rc == 0)
            rc = disk_stat(store->disk, path, &file);
        store->checkpoints_ms[kind] = rc == 0 ? file.modified_ms : INT64_MIN;
    }
    store->checkpoints = checkpoints_new();
    if (store->checkpoints == NULL)
        return E_NO_MEMORY;
    return checkpoints_read(store->checkpoints, store->disk, store->config.directory, why,
                            sizeof why);
}

/* When the partition's directory was made; later than any file when that is not known. */
static int64_t partition_made_ms(struct recovery *r)
{
    char path[DISK_PATH_MAX];
    struct disk_stat partition;
    int rc = path_join(path, r->directory, "partition.metadata");
    if (rc == 0)
        rc = disk_stat(r->disk, path, &partition);
    return rc == 0 ? partition.modified_ms : INT64_MAX;
}

static void checkpoints_look(struct recovery *r)
{
    static const enum checkpoint_kind kinds[] = {CHECKPOINT_RECOVERY_POINT, CHECKPOINT_LOG_START,
                                                 CHECKPOINT_CLEANER};
    const struct store *store = r->store;
    const struct log_id *id = &r->log->id;
    int64_t offsets[CHECKPOINTS_N], made_ms = r->is_clean ? 0 : partition_made_ms(r);
    for (size_t i = 0; i < array_n(kinds); i++) { /* a clean stop wrote them for just these logs */
        enum checkpoint_kind kind = kinds[i];
        bool is_ours = r->is_clean || store->checkpoints_ms[kind] > made_ms;
        if (!is_ours ||
            !checkpoint_get(store->checkpoints, kind, id->topic, id->partition, &offsets[kind]))
            offsets[kind] = -1;
    }
    r->log->cleaner_offset = offsets[CHECKPOINT_CLEANER];
    r->log_start = max_i64(r->log_start, offsets[CHECKPOINT_LOG_START]);
    r->dense_from = max_i64(r->dense_from, offsets[CHECKPOINT_CLEANER]);
    r->recovery_point = r->is_clean ? INT64_MAX : max_i64(offsets[CHECKPOINT_RECOVERY_POINT], 0);
}

/* Records deleted while we ran: that file is newer than the checkpoint of the last stop. */
static int start_look(struct recovery *r)
{
    int64_t start = 0;
    int rc = names_have(&r->names, mark_start)
                 ? mark_read(r->disk, r->directory, mark_start, &start)
                 : 0;
    if (rc == 0) {
        r->log->start_safe = start;
        r->log_start = max_i64(r->log_start, start);
    }
    return rc;
}

/* A compaction that was under way has said how far it may have come. */
static int compact_look(struct recovery *r)
{
    int64_t offset = 0;
    int rc = names_have(&r->names, mark_compacted)
                 ? mark_read(r->disk, r->directory, mark_compacted, &offset)
                 : 0;
    if (rc == 0)
        r->dense_from = max_i64(r->dense_from, offset);
    return rc;
}

/* ── segments ── */

/* Opens segment bases[at], the newest so far. *end: the offset behind it. *is_cut: what follows
 * must go. */
static int segment_recover(struct recovery *r, uint32_t at, int64_t *end, bool *is_cut)
{
    bool is_last = at + 1 == r->bases_n;
    bool has_indexes = recovery_has_file(r, r->bases[at], ".index") &&
                       recovery_has_file(r, r->bases[at], ".timeindex");
    bool is_believed = is_last ? r->is_clean : has_indexes && r->bases[at + 1] <= r->recovery_point;
    struct segment *segment;
    uint64_t cut = 0;
    int64_t expected = r->scanned_from != INT64_MAX ? *end : -1;
    int rc = segment_add(r->log, r->bases[at], 0, &segment);
    if (rc != 0)
        return rc;
    r->report->segments_n++;
    if (is_believed && !is_last) {
        *end = r->bases[at + 1];
        return recovery_trust(r, segment);
    }
    rc = is_believed ? recovery_end(r, segment, end) : E_CORRUPT;
    if (rc != E_CORRUPT)
        return rc;
    rc = recovery_scan(r, segment, expected, is_last, end, &cut);
    if (rc != 0)
        return rc;
    /* A hole before the next segment is found when that one is scanned. What follows the last batch
     * before it is room that was never used. */
    *is_cut = cut > 0 && (is_last || *end != r->bases[at + 1]);
    r->report->logs_cut_n += *is_cut;
    if (!is_last && !*is_cut)
        return recovery_indexes_write(r, segment, r->bases[at + 1] <= r->recovery_point);
    return 0;
}

static void segment_forget_last(struct plog *log)
{
    struct segment *segment = log->segments[--log->segments_n];
    segment->log = NULL;
    segment_put(segment);
}

/* The last segment is empty and does not begin where the log ends: the one before it takes the
 * appends again. */
static int segment_step_back(struct recovery *r, int64_t *end)
{
    struct plog *log = r->log;
    struct segment *last = plog_active(log);
    uint64_t cut = 0;
    if (log->segments_n < 2 || last->end_pos > 0 || last->base_offset == *end)
        return 0;
    segment_remove(r, log->segments_n - 1);
    segment_forget_last(log);
    last = plog_active(log);
    return recovery_scan(r, last, -1, true, end, &cut);
}

static int segments_recover(struct recovery *r, int64_t *end)
{
    bool is_cut = false;
    uint32_t at = 0;
    int rc = 0;
    for (; at < r->bases_n && rc == 0 && !is_cut; at++)
        rc = segment_recover(r, at, end, &is_cut);
    if (rc != 0)
        return rc;
    for (; at < r->bases_n; at++)
        segment_remove(r, at);
    rc = segment_step_back(r, end);
    if (rc != 0 || r->log_start <= *end)
        return rc;
    /* The log start lies beyond everything: an empty log begins there. */
    for (at = 0; at < r->log->segments_n; at++)
        segment_remove(r, at);
    while (r->log->segments_n > 0)
        segment_forget_last(r->log);
    return 0;
}

/* Every segment but the last is complete. */
static void segments_seal(struct plog *log)
{
    for (uint32_t i = 0; i < log->segments_n; i++) {
        struct segment *s = log->segments[i];
        bool is_last = i + 1 == log->segments_n;
        if (is_last) {
            s->state = s->state == SEGMENT_NEW && !s->has_file ? SEGMENT_NEW : SEGMENT_LIVE;
            continue;
        }
        s->is_rolled = true;
        s->state = SEGMENT_SEALED;
        s->end = (struct mark){log->segments[i + 1]->base_offset, 0};
        log->sealed_n++;
        if (s->is_index_loaded)
            segment_index_used(s);
    }
}

/* ── the log ── */

static int log_recover(struct recovery *r)
{
    struct plog *log = r->log;
    struct segment *segment;
    int64_t end = 0;
    int rc = names_list(r->disk, r->directory, &r->names);
    if (rc != 0 && rc != E_NOT_FOUND)
        return rc;
    log->may_have_directory = rc == 0;
    checkpoints_look(r);
    if (rc == 0)
        rc = start_look(r);
    if (rc == 0)
        rc = compact_look(r);
    if (rc == 0)
        rc = names_sort(r);
    if (rc == E_NOT_FOUND)
        rc = 0;
    if (rc == 0 && r->bases_n > 0) {
        names_orphans(r);
        rc = segments_recover(r, &end);
    }
    for (uint32_t i = 0; i < log->segments_n; i++)
        log->segments[i]->has_file = true;
    if (rc == 0 && log->segments_n == 0) {
        end = r->log_start;
        rc = segment_add(log, end, 0, &segment);
    }
    if (rc != 0)
        return rc;
    log->start = max_i64(r->log_start, log->segments[0]->base_offset);
    if (r->bases_n == 0) /* nothing is there that could come back */
        log->start_safe = log->start;
    segments_seal(log);
    if (r->bases_n > 0)
        rc = recovery_state(r, end);
    log->is_unsynced = r->is_unsynced || r->is_changed;
    log->is_changed =
        r->scanned_from != INT64_MAX; /* its last segment's indexes are in memory only */
    log->store->is_unsynced |= log->is_unsynced;
    log->end = log->written = log->durable = log->high = log->settled = (struct mark){end, 0};
    return rc;
}

static void log_forget(struct plog *log)
{
    while (log->segments_n > 0)
        segment_forget_last(log);
    plog_free(log);
}

int store_log_recover(struct store *store, const struct log_id *id, const struct log_config *config,
                      bool is_clean, struct recovery_report *report, struct plog **out)
{
    struct recovery r = {.store = store,
                         .disk = store->disk,
                         .report = report,
                         .is_clean = is_clean,
                         .scanned_from = INT64_MAX};
    store_own(store);
    if (store_log_find(store, &id->topic_id, id->partition) != NULL)
        return E_EXISTS;
    int rc = store_checkpoints_load(store);
    if (rc != 0)
        return rc;
    r.log = plog_make(store, id, config);
    if (r.log == NULL)
        return E_NO_MEMORY;
    plog_state_set(r.log, PLOG_RECOVERING);
    log_directory_path(r.directory, store->config.directory, id->topic, id->partition);
    rc = log_recover(&r);
    names_free(&r.names);
    free(r.bases);
    free(r.snapshots);
    if (rc != 0) {
        log_forget(r.log);
        return store_checkpoint_keep(store, id) == E_NO_MEMORY ? E_NO_MEMORY : rc;
    }
    report->logs_n++;
    store_log_enter(store, r.log);
    plog_invariants(r.log);
    *out = r.log;
    return 0;
}

static void log_recovered(struct plog *log)
{
    log->is_unsynced = false;
    for (uint32_t i = 0; i < log->segments_n; i++)
        log->segments[i]->is_unsynced = false;
}

int store_recovered(struct store *store)
{
    store_own(store);
    if (!store->is_unsynced)
        return 0;
    int all = disk_sync_all(store->disk, store->directory_fd);
    if (all == E_UNSUPPORTED) { /* names that a killed process may have left unsynced */
        int rc = disk_sync(store->disk, store->directory_fd);
        if (rc != 0)
            return rc;
    }
    list_for_each(node, next, &store->logs) {
        struct plog *log = list_entry(node, struct plog, link);
        if (!log->is_unsynced)
            continue;
        int rc = all == E_UNSUPPORTED ? plog_sync_files(log) : all;
        if (rc != 0)
            return rc;
        log_recovered(log);
    }
    store->is_unsynced = false;
    return 0;
}
