/*
 * verify_partition.c - one partition: its names put in order, its segments walked from the first to
 * the last, and where recovery would cut.
 *
 * Owner: verify_directory.
 *
 * The walk is dump.c's, which judges each batch (CRC, lengths, counts, records); here is what only
 * the whole log can tell: offsets over segments, epochs, transactions. On the way the indexes,
 * epochs and aborted transactions are made as recovery would make them; verify_files.c compares.
 *
 * The first damage of a .log decides: behind it nothing is derived any more, because recovery would
 * cut there. What follows it is told as notes, and counted as what a cut would lose.
 */
#include <stdlib.h>

#include "sweep.h"
#include "verify_inside.h"

enum { INDEX_INTERVAL_BYTES = 4096 };

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

bool part_has(const struct part *p, const char *name)
{
    for (uint32_t i = 0; i < p->names.n; i++)
        if (strcmp(p->names.v[i], name) == 0)
            return true;
    return false;
}

/* ── names ── */

static bool is_orphan(const struct part *p, const char *name)
{
    const char *suffix;
    int64_t base_offset;
    char log[32];
    if (!segment_name_parse(name, &base_offset, &suffix) ||
        (strcmp(suffix, ".index") != 0 && strcmp(suffix, ".timeindex") != 0 &&
         strcmp(suffix, ".txnindex") != 0))
        return false;
    snprintf(log, sizeof log, "%.20s.log", name);
    return !part_has(p, log);
}

static bool is_known(const struct part *p, const char *name)
{
    static const char *const suffixes[] = {".log", ".index", ".timeindex", ".txnindex",
                                           ".snapshot"};
    const char *suffix;
    int64_t base_offset;
    if (strcmp(name, "partition.metadata") == 0 || strcmp(name, "leader-epoch-checkpoint") == 0 ||
        strcmp(name, "log-start-offset") == 0 || strcmp(name, "compacted-offset") == 0)
        return true;
    if (p->is_metadata && (strcmp(name, "quorum-state") == 0 || ends_with(name, ".checkpoint")))
        return true;
    if (!segment_name_parse(name, &base_offset, &suffix))
        return false;
    for (size_t i = 0; i < array_n(suffixes); i++)
        if (strcmp(suffix, suffixes[i]) == 0)
            return true;
    return false;
}

static int tidy_fix(void *context)
{
    struct part *p = context;
    return partition_tidy(p->v->disk, p->directory);
}

/* One name that is no file of a log. True: repairs may have changed the directory. */
static bool name_report(struct part *p, const char *name)
{
    struct finding f = {.severity = VERIFY_LEFTOVER, .path = p->path};
    if (path_join(p->path, p->directory, name) < 0)
        return false;
    f.repair = "it is removed, as the next start does";
    if (ends_with(name, ".deleted")) {
        finding_say(&f, "a file that was to be deleted");
    } else if (ends_with(name, ".cleaned")) {
        finding_say(&f, "of a compaction that did not end");
    } else if (ends_with(name, ".swap")) {
        f.repair = "the compaction is completed, as the next start does";
        finding_say(&f, "the result of a compaction that was taking its place");
    } else if (ends_with(name, ".tmp") || ends_with(name, ".part")) {
        finding_say(&f, "a file that was being replaced when the broker ended");
    } else if (is_orphan(p, name)) {
        finding_say(&f, "its .log is not there");
    } else {
        f.severity = VERIFY_NOTE;
        f.repair = NULL;
        finding_say(&f, "not a file of a partition");
        verify_report(p->v, &f, NULL, NULL);
        return false;
    }
    return verify_report(p->v, &f, tidy_fix, p);
}

/* Lists the directory, tells what does not belong, and lists the segments. */
static int part_names(struct part *p)
{
    bool is_changed = false;
    int error = names_list(p->v->disk, p->directory, &p->names);
    for (uint32_t i = 0; error == 0 && i < p->names.n; i++)
        if (!is_known(p, p->names.v[i]) || is_orphan(p, p->names.v[i]))
            is_changed |= name_report(p, p->names.v[i]);
    if (error == 0 && is_changed) {
        names_free(&p->names);
        error = names_list(p->v->disk, p->directory, &p->names);
    }
    if (error < 0)
        return error;
    p->segments = calloc(p->names.n + 1, sizeof *p->segments);
    if (p->segments == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < p->names.n; i++) {
        const char *suffix;
        int64_t base_offset;
        if (segment_name_parse(p->names.v[i], &base_offset, &suffix) && strcmp(suffix, ".log") == 0)
            p->segments[p->segments_n++].base_offset = base_offset;
    }
    return 0;
}

/* ── the walk ── */

static void walk_damage(void *context, uint64_t pos, const char *what)
{
    struct part *p = context;
    struct finding f = {.severity = VERIFY_NOTE, .path = p->path, .pos = pos};
    p->segments[p->at].is_damaged = true;
    if (p->is_cut) {
        finding_say(&f, "behind the first damage: %s", what);
        verify_report(p->v, &f, NULL, NULL);
        return;
    }
    p->is_cut = true;
    p->cut_at = p->at;
    p->cut_pos = pos;
    p->is_cut_torn = strstr(what, "zero bytes") != NULL;
    snprintf(p->cut_what, sizeof p->cut_what, "%s", what);
}

/* Offsets that no batch has. */
static void walk_gap(struct part *p, uint64_t pos, const struct batch *b)
{
    struct finding f = {.severity = VERIFY_NOTE, .path = p->path, .pos = pos};
    char what[VERIFY_TEXT_MAX];
    bool is_first = !p->has_gaps;
    p->has_gaps = true;
    snprintf(what, sizeof what, "no batch has the offsets %lld to %lld", (long long)p->expected,
             (long long)b->base_offset - 1);
    if (b->base_offset < p->cleaner)
        return; /* compacted */
    if (!p->v->is_clean && b->base_offset >= p->recovery_point) {
        walk_damage(p, pos, what);
        return;
    }
    if (!is_first)
        return;
    finding_say(&f, "%s: the log was compacted once, or they are lost", what);
    verify_report(p->v, &f, NULL, NULL);
}

static void walk_epoch(struct part *p, uint64_t pos, const struct batch *b)
{
    struct finding f = {.severity = VERIFY_DAMAGE, .path = p->path, .pos = pos};
    if (b->leader_epoch < p->epoch && b->leader_epoch >= 0) {
        finding_say(&f, "the leader epoch goes back from %d to %d", p->epoch, b->leader_epoch);
        verify_report(p->v, &f, NULL, NULL);
    }
    p->epoch = b->leader_epoch > p->epoch ? b->leader_epoch : p->epoch;
}

/* A good batch in front of the first damage. */
static int walk_derive(struct part *p, uint64_t pos, const struct batch *b, struct bytes whole)
{
    bool is_changed;
    int error = 0;
    walk_epoch(p, pos, b);
    if (b->leader_epoch > epochs_latest(&p->epochs))
        error = epochs_note(&p->epochs, b->leader_epoch, b->base_offset, &is_changed);
    if (error == 0)
        error = txns_note(&p->txns, b, whole);
    p->expected = p->end = batch_last_offset(b) + 1;
    return error;
}

static int walk_batch(void *context, uint64_t pos, const struct batch *b, struct bytes whole)
{
    struct part *p = context;
    struct part_segment *s = &p->segments[p->at];
    struct verify *v = p->v;
    if (v->options->progress != NULL)
        v->options->progress(v->options->context, v->done_bytes + pos, v->bytes);
    if (b->last_delta < 0 || batch_last_offset(b) - s->base_offset > INT32_MAX ||
        b->base_offset < s->base_offset)
        return 0; /* told by the dump, or beyond what an index can say */
    if (!p->is_cut && p->expected >= 0 && b->base_offset > p->expected)
        walk_gap(p, pos, b);
    if (!p->is_cut || p->cut_at != p->at)
        segment_note(s->index, &p->config, b, pos);
    if (p->is_cut) {
        p->lost_batches_n++;
        p->lost_records_n += (uint64_t)max_i64(b->records_n, 0);
        return 0;
    }
    return walk_derive(p, pos, b, whole);
}

static int walk_segment(struct part *p)
{
    const struct dump_sink sink = {p, walk_damage, walk_batch};
    const struct dump_options options = {.sink = &sink};
    struct part_segment *s = &p->segments[p->at];
    struct dump_summary sum;
    struct finding f = {.severity = VERIFY_NOTE, .path = p->path};
    char what[VERIFY_TEXT_MAX];
    segment_path(p->path, p->directory, s->base_offset, ".log");
    s->index = calloc(1, sizeof *s->index);
    if (s->index == NULL)
        return E_NO_MEMORY;
    s->index->base_offset = s->base_offset;
    s->index->max_timestamp = s->index->first_timestamp = -1;
    s->aborts_from = p->txns.aborts_n;
    if (p->expected > s->base_offset) {
        snprintf(what, sizeof what, "it begins below %lld, where the segment before it ends",
                 (long long)p->expected);
        walk_damage(p, 0, what);
    }
    if (p->end < 0)
        p->end = s->base_offset;
    int error = dump_file(p->v->disk, p->path, &options, NULL, &sum);
    segment_note_end(s->index);
    s->aborts_to = p->txns.aborts_n;
    s->bytes = sum.bytes;
    p->v->done_bytes += sum.bytes;
    p->v->sum->bytes += sum.bytes;
    p->v->sum->segments_n++;
    p->v->sum->batches_n += sum.batches_n;
    p->v->sum->records_n += sum.records_n;
    if (error == 0 && sum.messages_n > 0) {
        finding_say(&f, "%llu messages of format 0 or 1: they are not served",
                    (unsigned long long)sum.messages_n);
        verify_report(p->v, &f, NULL, NULL);
    }
    return error;
}

/* ── the cut ── */

static int segment_unlink(struct part *p, uint32_t at)
{
    static const char *const suffixes[] = {".index", ".timeindex", ".txnindex", ".log"};
    char path[DISK_PATH_MAX];
    for (size_t i = 0; i < array_n(suffixes); i++) {
        segment_path(path, p->directory, p->segments[at].base_offset, suffixes[i]);
        int error = disk_unlink(p->v->disk, path);
        if (error < 0 && error != E_NOT_FOUND)
            return error;
    }
    return 0;
}

static int file_cut(struct disk *disk, const char *path, uint64_t bytes)
{
    int fd = disk_open(disk, path, DISK_WRITE);
    if (fd < 0)
        return fd;
    int error = disk_truncate(disk, fd, bytes);
    if (error == 0)
        error = disk_sync(disk, fd);
    disk_close(disk, fd);
    return error;
}

/* The later segments go first, the last of them first: after a crash the next run finds a log that
 * ends earlier, and the same damage. */
static int cut_fix(void *context)
{
    struct part *p = context;
    char path[DISK_PATH_MAX];
    bool is_whole = p->cut_pos == 0 && p->cut_at > 0;
    uint32_t keep = is_whole ? p->cut_at : p->cut_at + 1;
    int error = 0;
    for (; p->segments_n > keep && error == 0; p->segments_n -= error == 0) {
        error = segment_unlink(p, p->segments_n - 1);
        index_clear(&p->segments[p->segments_n - 1].index->index);
        index_clear(&p->segments[p->segments_n - 1].index->time_index);
        free(p->segments[p->segments_n - 1].index);
        p->segments[p->segments_n - 1].index = NULL;
    }
    segment_path(path, p->directory, p->segments[p->cut_at].base_offset, ".log");
    if (error == 0 && !is_whole)
        error = file_cut(p->v->disk, path, p->cut_pos);
    if (error == 0)
        error = directory_sync(p->v->disk, p->directory);
    if (error == 0 && !is_whole)
        error = part_indexes_write(p, p->cut_at);
    if (error != 0)
        return error;
    p->segments[p->cut_at].is_damaged = false;
    p->is_cut_mended = true;
    names_free(&p->names);
    return names_list(p->v->disk, p->directory, &p->names);
}

static void verify_cut(struct part *p)
{
    struct finding f = {.severity = VERIFY_DAMAGE, .path = p->path, .pos = p->cut_pos};
    char repair[VERIFY_TEXT_MAX];
    bool is_end = p->cut_at + 1 == p->segments_n && p->lost_batches_n == 0;
    bool is_zero = is_end && p->is_cut_torn;
    bool is_recoverys = is_end && !p->v->is_clean && p->end >= p->recovery_point;
    segment_path(p->path, p->directory, p->segments[p->cut_at].base_offset, ".log");
    snprintf(f.what, sizeof f.what, "%s", p->cut_what);
    if (is_zero || is_recoverys)
        snprintf(repair, sizeof repair, "the file is cut here, as the next start does");
    else
        snprintf(repair, sizeof repair,
                 "the log is cut here; behind it are %llu good batches with %llu records",
                 (unsigned long long)p->lost_batches_n, (unsigned long long)p->lost_records_n);
    f.repair = repair;
    f.losing = is_zero || is_recoverys ? NULL : p->name;
    verify_report(p->v, &f, cut_fix, p);
}

/* ── the partition ── */

static void part_checkpoints(struct part *p)
{
    struct checkpoints *c = p->v->checkpoints;
    p->cleaner = p->recovery_point = -1;
    (void)checkpoint_get(c, CHECKPOINT_CLEANER, p->topic, p->partition, &p->cleaner);
    if (p->v->is_clean)
        p->recovery_point = INT64_MAX;
    else
        (void)checkpoint_get(c, CHECKPOINT_RECOVERY_POINT, p->topic, p->partition,
                             &p->recovery_point);
}

static int part_verify(struct part *p)
{
    int error = part_names(p);
    part_checkpoints(p);
    for (p->at = 0; error == 0 && p->at < p->segments_n; p->at++)
        error = walk_segment(p);
    if (error == 0 && p->is_cut)
        verify_cut(p);
    if (error == 0)
        error = verify_indexes(p);
    bool is_told = !p->is_cut || p->is_cut_mended; /* else the rest cannot be judged */
    if (error == 0 && is_told)
        error = verify_txn_indexes(p);
    if (error == 0)
        error = verify_snapshots(p);
    if (error == 0 && is_told)
        error = verify_epochs(p);
    if (error == 0)
        error = verify_metadata(p);
    if (error == 0 && is_told)
        verify_offsets(p);
    return error;
}

static void part_fini(struct part *p)
{
    for (uint32_t i = 0; i < p->segments_n; i++) {
        if (p->segments[i].index == NULL)
            continue;
        index_clear(&p->segments[i].index->index);
        index_clear(&p->segments[i].index->time_index);
        free(p->segments[i].index);
    }
    free(p->segments);
    names_free(&p->names);
    epochs_fini(&p->epochs);
    txns_fini(&p->txns);
    free(p);
}

int verify_partition(struct verify *v, const char *name)
{
    struct part *p = calloc(1, sizeof *p);
    if (p == NULL)
        return E_NO_MEMORY;
    p->v = v;
    p->name = name;
    p->is_metadata = strcmp(name, "__cluster_metadata-0") == 0;
    p->config.index_interval_bytes = INDEX_INTERVAL_BYTES;
    p->end = p->expected = p->epoch = -1;
    v->sum->partitions_n++;
    int error = path_join(p->directory, v->path, name);
    if (error == 0 && !partition_name_parse(name, &p->topic, &p->partition))
        error = E_INVALID;
    if (error == 0 && strlen(p->directory) + 64 > DISK_PATH_MAX)
        error = E_TOO_LARGE;
    if (error == 0)
        error = part_verify(p);
    part_fini(p);
    return error;
}
