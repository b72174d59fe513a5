/*
 * verify_files.c - the files beside a partition's segments, against what the walk over the batches
 * found; and the directory's checkpoints.
 *
 * Owner: verify_directory.
 *
 * All of them are derived: a repair makes them anew from the batches, or removes what the next
 * start makes anew by itself (producer snapshots). After a crash epochs and
 * what belongs to the last segment may be in any state, and are made anew: then it is a note.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "sweep.h"
#include "verify_inside.h"

/* ── a file by itself ── */

/* The first damage. */
struct first_damage {
    uint64_t n, pos;
    char *what;
};

static void first_damage_note(void *context, uint64_t pos, const char *what)
{
    struct first_damage *f = context;
    if (f->n++ > 0)
        return;
    f->pos = pos;
    snprintf(f->what, VERIFY_TEXT_MAX, "%s", what);
}

static int first_damage_batch(void *context, uint64_t pos, const struct batch *b,
                              struct bytes whole)
{
    (void)context, (void)pos, (void)b, (void)whole;
    return 0;
}

int verify_file(struct part *p, uint64_t *damages_n, uint64_t *pos, char what[VERIFY_TEXT_MAX])
{
    struct first_damage first = {.what = what};
    const struct dump_sink sink = {&first, first_damage_note, first_damage_batch};
    const struct dump_options options = {.sink = &sink};
    struct dump_summary sum;
    int error = dump_file(p->v->disk, p->path, &options, NULL, &sum);
    *damages_n = first.n;
    *pos = first.pos;
    return error;
}

static bool part_has_segment_file(const struct part *p, int64_t base_offset, const char *suffix)
{
    char name[DISK_NAME_MAX + 1];
    snprintf(name, sizeof name, "%020lld%s", (long long)base_offset, suffix);
    return part_has(p, name);
}

/* ── .index, .timeindex ── */

int part_indexes_write(struct part *p, uint32_t at)
{
    const struct segment *index = p->segments[at].index;
    char name[DISK_NAME_MAX + 1];
    snprintf(name, sizeof name, "%020lld.index", (long long)index->base_offset);
    int error = file_replace(p->v->disk, p->directory, name,
                             bytes_of(index->index.v, index->index.n * INDEX_ENTRY));
    snprintf(name, sizeof name, "%020lld.timeindex", (long long)index->base_offset);
    if (error == 0)
        error = file_replace(p->v->disk, p->directory, name,
                             bytes_of(index->time_index.v, index->time_index.n * TIME_INDEX_ENTRY));
    return error;
}

static int indexes_fix(void *context)
{
    struct part *p = context;
    return part_indexes_write(p, p->at);
}

static int verify_index(struct part *p, const char *suffix)
{
    bool is_rebuilt = p->at + 1 == p->segments_n && !p->v->is_clean;
    struct finding f = {.severity = is_rebuilt ? VERIFY_NOTE : VERIFY_DAMAGE,
                        .path = p->path,
                        .repair = "both indexes are made anew from the .log"};
    uint64_t damages_n = 0;
    int64_t base_offset = p->segments[p->at].base_offset;
    segment_path(p->path, p->directory, base_offset, suffix);
    if (!part_has_segment_file(p, base_offset, suffix)) {
        if (is_rebuilt)
            return 0;
        finding_say(&f, "it is missing");
        verify_report(p->v, &f, indexes_fix, p);
        return 0;
    }
    int error = verify_file(p, &damages_n, &f.pos, f.what);
    if (error == 0 && damages_n > 0)
        verify_report(p->v, &f, indexes_fix, p);
    return error;
}

int verify_indexes(struct part *p)
{
    int error = 0;
    for (p->at = 0; error == 0 && p->at < p->segments_n; p->at++) {
        if (p->segments[p->at].is_damaged)
            continue; /* the cut makes them anew, or they cannot be told */
        error = verify_index(p, ".index");
        if (error == 0)
            error = verify_index(p, ".timeindex");
    }
    return error;
}

/* ── .txnindex ── */

/* What the fix of a .txnindex works on. */
struct txn_fix {
    struct part *p;
    struct bytes old;
};

static int txn_fix(void *context)
{
    struct txn_fix *fix = context;
    struct part *p = fix->p;
    const struct part_segment *s = &p->segments[p->at];
    char name[DISK_NAME_MAX + 1];
    struct bytes content;
    int error = txns_file(&p->txns, s->aborts_from, s->aborts_to, fix->old, &content);
    if (error < 0)
        return error;
    snprintf(name, sizeof name, "%020lld.txnindex", (long long)s->base_offset);
    if (content.n > 0) {
        error = file_replace(p->v->disk, p->directory, name, content);
    } else {
        error = disk_unlink(p->v->disk, p->path);
        error = error == E_NOT_FOUND ? 0 : error;
        if (error == 0)
            error = directory_sync(p->v->disk, p->directory);
    }
    file_read_free(&content);
    return error;
}

static int verify_txn_index(struct part *p)
{
    const struct part_segment *s = &p->segments[p->at];
    struct finding f = {.severity = VERIFY_DAMAGE,
                        .path = p->path,
                        .repair = "it is made anew from the markers in the log"};
    struct txn_fix fix = {.p = p, .old = {NULL, 0}};
    uint64_t damages_n = 0;
    bool has_file = part_has_segment_file(p, s->base_offset, ".txnindex");
    int error = 0;
    segment_path(p->path, p->directory, s->base_offset, ".txnindex");
    if (has_file)
        error = file_read(p->v->disk, p->path, VERIFY_FILE_MAX, &fix.old);
    if (error == 0 && has_file)
        error = verify_file(p, &damages_n, &f.pos, f.what);
    if (error == 0 &&
        (damages_n > 0 || txns_judge(&p->txns, s->aborts_from, s->aborts_to,
                                     p->cleaner < 0 && !p->has_gaps, fix.old, f.what)))
        verify_report(p->v, &f, txn_fix, &fix);
    file_read_free(&fix.old);
    return error;
}

int verify_txn_indexes(struct part *p)
{
    int error = 0;
    for (p->at = 0; error == 0 && p->at < p->segments_n; p->at++)
        error = verify_txn_index(p);
    return error;
}

/* ── .snapshot, and those of the metadata log ── */

static int file_unlink_fix(void *context)
{
    struct part *p = context;
    int error = disk_unlink(p->v->disk, p->path);
    return error == 0 ? directory_sync(p->v->disk, p->directory) : error;
}

static int verify_snapshot(struct part *p, int64_t offset)
{
    struct finding f = {.severity = VERIFY_DAMAGE,
                        .path = p->path,
                        .repair = "it is removed; the next start makes it anew from the batches"};
    uint64_t damages_n = 0;
    bool is_end_known = p->end >= 0 && (!p->is_cut || p->is_cut_mended);
    int error = verify_file(p, &damages_n, &f.pos, f.what);
    if (error == 0 && damages_n == 0 && is_end_known && offset > p->end) {
        damages_n = 1;
        f.severity = p->v->is_clean ? VERIFY_DAMAGE : VERIFY_NOTE;
        finding_say(&f, "it is of offset %lld, the log ends at %lld", (long long)offset,
                    (long long)p->end);
    }
    if (error == 0 && damages_n > 0)
        verify_report(p->v, &f, file_unlink_fix, p);
    return error;
}

int verify_snapshots(struct part *p)
{
    struct finding f = {.severity = VERIFY_DAMAGE, .path = p->path};
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < p->names.n; i++) {
        const char *name = p->names.v[i], *suffix;
        uint64_t damages_n = 0;
        int64_t offset;
        error = path_join(p->path, p->directory, name);
        if (error == 0 && segment_name_parse(name, &offset, &suffix) &&
            strcmp(suffix, ".snapshot") == 0)
            error = verify_snapshot(p, offset);
        else if (error == 0 && p->is_metadata && strstr(name, ".checkpoint") != NULL)
            error = verify_file(p, &damages_n, &f.pos, f.what);
        if (error == 0 && damages_n > 0)
            verify_report(p->v, &f, NULL, NULL);
    }
    return error;
}

/* ── leader-epoch-checkpoint ── */

int part_epochs_write(struct part *p)
{
    char *text = malloc(epochs_text_max(&p->epochs) + 1);
    if (text == NULL)
        return E_NO_MEMORY;
    uint32_t n = (uint32_t)epochs_text(&p->epochs, text);
    int error =
        file_replace(p->v->disk, p->directory, "leader-epoch-checkpoint", bytes_of(text, n));
    free(text);
    return error;
}

static int epochs_fix(void *context)
{
    return part_epochs_write(context);
}

/* The epoch of an offset, by the file; -1: it says nothing. */
static int32_t epoch_at(const struct epochs *e, int64_t offset)
{
    int32_t epoch = -1;
    for (uint32_t i = 0; i < e->n && e->v[i].start_offset <= offset; i++)
        epoch = e->v[i].epoch;
    return epoch;
}

/* True: `f` says what is wrong. */
static bool epochs_judge(const struct part *p, const struct epochs *file, struct finding *f)
{
    for (uint32_t i = 0; i < p->epochs.n; i++) {
        int32_t found = epoch_at(file, p->epochs.v[i].start_offset);
        if (found == p->epochs.v[i].epoch)
            continue;
        finding_say(f, "the batch at offset %lld has epoch %d, the file says %d",
                    (long long)p->epochs.v[i].start_offset, p->epochs.v[i].epoch, found);
        return true;
    }
    if (file->n == 0 || p->end < 0 || file->v[file->n - 1].start_offset <= p->end)
        return false;
    finding_say(f, "epoch %d begins at offset %lld, the log ends at %lld",
                file->v[file->n - 1].epoch, (long long)file->v[file->n - 1].start_offset,
                (long long)p->end);
    return true;
}

int verify_epochs(struct part *p)
{
    struct finding f = {.severity = p->v->is_clean ? VERIFY_DAMAGE : VERIFY_NOTE,
                        .path = p->path,
                        .repair = "it is made anew from the batches"};
    struct epochs file = {NULL, 0, 0};
    struct bytes content;
    int error = path_join(p->path, p->directory, "leader-epoch-checkpoint");
    if (error == 0)
        error = file_read(p->v->disk, p->path, VERIFY_FILE_MAX, &content);
    if (error == E_NOT_FOUND && p->epochs.n == 0)
        return 0;
    if (error == E_NOT_FOUND) {
        finding_say(&f, "it is missing");
        verify_report(p->v, &f, epochs_fix, p);
        return 0;
    }
    if (error < 0)
        return error;
    error = epochs_parse(&file, content);
    file_read_free(&content);
    if (error == E_CORRUPT)
        finding_say(&f, "not a checkpoint file: version 0, the number of entries, rising lines of "
                        "epoch and offset");
    if (error == E_CORRUPT || (error == 0 && epochs_judge(p, &file, &f)))
        verify_report(p->v, &f, epochs_fix, p);
    epochs_fini(&file);
    return error == E_CORRUPT ? 0 : error;
}

/* ── partition.metadata ── */

int verify_metadata(struct part *p)
{
    struct finding f = {.severity = VERIFY_DAMAGE, .path = p->path};
    struct uuid id;
    int error = path_join(p->path, p->directory, "partition.metadata");
    if (error == 0)
        error = partition_metadata_read(p->v->disk, p->directory, &id);
    if (error == 0)
        return 0;
    if (error == E_NOT_FOUND && p->is_metadata)
        return 0;
    if (error != E_NOT_FOUND && error != E_CORRUPT && error != E_TOO_LARGE)
        return error;
    finding_say(&f, "the topic's id is not in it; a start takes the partition for a stray one");
    verify_report(p->v, &f, NULL, NULL);
    return 0;
}

/* ── the directory's checkpoints ── */

/* What the fix of a checkpoint's row works on. */
struct offset_fix {
    struct part *p;
    enum checkpoint_kind kind;
};

static int offset_fix(void *context)
{
    struct offset_fix *fix = context;
    struct part *p = fix->p;
    p->v->checkpoints_changed |= 1u << fix->kind;
    return checkpoint_set(p->v->checkpoints, fix->kind, p->topic, p->partition, p->end);
}

void verify_offsets(struct part *p)
{
    for (int kind = 0; kind < CHECKPOINTS_N && p->end >= 0; kind++) {
        struct offset_fix fix = {p, (enum checkpoint_kind)kind};
        struct finding f = {.severity = p->v->is_clean ? VERIFY_DAMAGE : VERIFY_NOTE,
                            .path = p->path,
                            .repair = "it is set to the log's end"};
        int64_t offset;
        if (!checkpoint_get(p->v->checkpoints, fix.kind, p->topic, p->partition, &offset) ||
            offset <= p->end)
            continue;
        if (path_join(p->path, p->v->path, checkpoint_name(fix.kind)) < 0)
            continue;
        finding_say(&f, "it says %lld for %s, whose log ends at %lld", (long long)offset, p->name,
                    (long long)p->end);
        verify_report(p->v, &f, offset_fix, &fix);
    }
}
