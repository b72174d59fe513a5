/*
 * verify.c - a log directory as a whole: meta.properties, the lock, checkpoints, what stands in it;
 * and how findings are reported.
 *
 * Owner: the call.
 *
 * The directory is locked as a broker locks it, so nobody starts on it meanwhile. The partitions'
 * own files are verify_partition.c's.
 */
#include "verify.h"

#include <stdarg.h>
#include <stdlib.h>

#include "dump_row.h"
#include "sweep.h"
#include "verify_inside.h"

/* ── findings ── */

/* What a crash may leave beside the partitions (the commit journal). */
static const char journal_name[] = "millrace.journal";

static const char *const severity_words[] = {"note", "leftover", "damage"};

void finding_say(struct finding *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(f->what, sizeof f->what, format, args);
    va_end(args);
}

static void finding_write(const struct verify *v, const struct finding *f, const char *done)
{
    struct dump_options options = {.is_json = v->options->is_json};
    struct dump_summary sum = {0};
    struct dump d = {.options = &options, .to = v->to, .sum = &sum};
    row_begin(&d, severity_words[f->severity], true);
    row_bytes(&d, "path", bytes_of_string(f->path));
    row_int(&d, "pos", (int64_t)f->pos);
    row_bytes(&d, "what", bytes_of_string(f->what));
    if (f->repair != NULL)
        row_bytes(&d, "repair", bytes_of_string(f->repair));
    row_bytes(&d, "done", bytes_of_string(done));
    row_end(&d);
}

static bool may_lose(const struct verify *v, const struct finding *f)
{
    if (f->losing == NULL)
        return true;
    for (uint32_t i = 0; i < v->options->allow_loss_n; i++)
        if (strcmp(v->options->allow_loss[i], f->losing) == 0 ||
            strcmp(v->options->allow_loss[i], "all") == 0)
            return true;
    return false;
}

bool verify_report(struct verify *v, const struct finding *f, int (*fix)(void *context),
                   void *context)
{
    char text[VERIFY_TEXT_MAX];
    const char *done = "no";
    bool is_mended = false, is_note = f->severity == VERIFY_NOTE;
    v->sum->notes_n += is_note;
    v->sum->leftovers_n += f->severity == VERIFY_LEFTOVER;
    v->sum->damages_n += f->severity == VERIFY_DAMAGE;
    if (v->options->is_repair && fix != NULL && !may_lose(v, f)) {
        snprintf(text, sizeof text, "refused: it loses records; --allow-loss %s allows it",
                 f->losing);
        done = text;
        v->sum->refused_n++;
    } else if (v->options->is_repair && fix != NULL && v->options->is_dry_run) {
        done = "would be";
    } else if (v->options->is_repair && fix != NULL) {
        int error = fix(context);
        is_mended = error == 0;
        snprintf(text, sizeof text, "failed: %s", error_text(error));
        done = is_mended ? "yes" : text;
        v->sum->repaired_n += is_mended && !is_note;
        v->sum->failed_n += !is_mended;
    }
    finding_write(v, f, done);
    return is_mended;
}

/* ── the directory's own files ── */

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static int leftover_unlink(void *context)
{
    struct verify *v = ((void **)context)[0];
    const char *path = ((void **)context)[1];
    int error = disk_unlink(v->disk, path);
    return error == 0 ? directory_sync(v->disk, v->path) : error;
}

static int leftover_directory_remove(void *context)
{
    struct verify *v = ((void **)context)[0];
    const char *path = ((void **)context)[1];
    int error = directory_remove(v->disk, path);
    return error == 0 ? directory_sync(v->disk, v->path) : error;
}

static void verify_known_file(struct verify *v, const char *path)
{
    struct finding f = {.severity = VERIFY_DAMAGE, .path = path};
    struct dump_options options = {.rows_max = 1};
    struct dump_summary sum;
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    if (to == NULL)
        return;
    int error = dump_file(v->disk, path, &options, to, &sum);
    fclose(to);
    free(text);
    if (error < 0)
        finding_say(&f, "cannot be read: %s", error_text(error));
    else if (sum.damages_n > 0)
        finding_say(&f, "it does not follow its format; a broker refuses to start with it");
    else
        return;
    verify_report(v, &f, NULL, NULL);
}

static void verify_other_file(struct verify *v, const char *name, char *path)
{
    struct finding f = {.severity = VERIFY_NOTE, .path = path};
    void *context[] = {v, path};
    if (strcmp(name, ".lock") == 0 || strcmp(name, ".kafka_cleanshutdown") == 0 ||
        strcmp(name, "bootstrap.checkpoint") == 0)
        return;
    if (strcmp(name, "meta.properties") == 0 || ends_with(name, "-offset-checkpoint")) {
        verify_known_file(v, path);
        return;
    }
    if (ends_with(name, ".tmp")) {
        f.severity = VERIFY_LEFTOVER;
        f.repair = "it is removed";
        finding_say(&f, "a file that was being replaced when the broker ended");
        verify_report(v, &f, leftover_unlink, context);
        return;
    }
    finding_say(&f, "not a file of a log directory");
    verify_report(v, &f, NULL, NULL);
}

/* ── the directory's directories ── */

static int verify_child(struct verify *v, const char *name, char *path)
{
    struct finding f = {.severity = VERIFY_NOTE, .path = path};
    void *context[] = {v, path};
    struct bytes topic;
    int32_t partition;
    if (strcmp(name, "lost+found") == 0)
        return 0;
    if (ends_with(name, "-delete")) {
        f.severity = VERIFY_LEFTOVER;
        f.repair = "it is removed, as the next start does";
        finding_say(&f, "a partition that was deleted");
        verify_report(v, &f, leftover_directory_remove, context);
        return 0;
    }
    if (ends_with(name, "-stray") || ends_with(name, "-future")) {
        finding_say(&f, ends_with(name, "-stray")
                            ? "a partition that belonged to no topic at a start; it is kept"
                            : "a partition that was being moved to this directory");
        verify_report(v, &f, NULL, NULL);
        return 0;
    }
    if (partition_name_parse(name, &topic, &partition))
        return verify_partition(v, name);
    finding_say(&f, strcmp(name, journal_name) == 0
                        ? "the journal: it may hold acknowledged records that no segment has yet; "
                          "millraced --recover brings them there"
                        : "not a directory of a partition");
    verify_report(v, &f, NULL, NULL);
    return 0;
}

static int verify_names(struct verify *v, const struct names *names)
{
    int error = 0;
    for (uint32_t i = 0; i < names->n && error == 0; i++) {
        char path[DISK_PATH_MAX];
        struct disk_stat s;
        error = path_join(path, v->path, names->v[i]);
        if (error == 0)
            error = disk_stat(v->disk, path, &s);
        if (error == E_NOT_FOUND) /* a repair took it */
            error = 0;
        else if (error == 0 && s.is_directory)
            error = verify_child(v, names->v[i], path);
        else if (error == 0)
            verify_other_file(v, names->v[i], path);
    }
    return error;
}

/* What there is to read, for the progress: the .log files. */
static void bytes_count(struct verify *v, const struct names *names)
{
    for (uint32_t i = 0; i < names->n; i++) {
        char path[DISK_PATH_MAX], file[DISK_PATH_MAX];
        struct names in = {0};
        struct disk_stat s;
        if (path_join(path, v->path, names->v[i]) < 0 || disk_stat(v->disk, path, &s) < 0 ||
            !s.is_directory || names_list(v->disk, path, &in) < 0)
            continue;
        for (uint32_t j = 0; j < in.n; j++)
            if (ends_with(in.v[j], ".log") && path_join(file, path, in.v[j]) == 0 &&
                disk_stat(v->disk, file, &s) == 0)
                v->bytes += s.bytes;
        names_free(&in);
    }
}

/* ── begin and end ── */

static int checkpoints_finish(struct verify *v)
{
    int error = 0;
    for (int kind = 0; kind < CHECKPOINTS_N && error == 0; kind++)
        if (v->checkpoints_changed & 1u << kind)
            error = checkpoint_write(v->checkpoints, (enum checkpoint_kind)kind, v->disk, v->path);
    return error;
}

/* The lock of a broker, taken; *fd -1: nobody ever ran here. */
static int lock_take(struct verify *v, int *fd, char *why, size_t why_n)
{
    char path[DISK_PATH_MAX];
    *fd = -1;
    int error = path_join(path, v->path, ".lock");
    if (error == 0)
        *fd = disk_open(v->disk, path, DISK_WRITE);
    if (*fd == E_NOT_FOUND && !v->options->is_repair)
        return 0;
    if (*fd == E_NOT_FOUND)
        *fd = disk_open(v->disk, path, DISK_WRITE | DISK_CREATE);
    if (error == 0)
        error = *fd < 0 ? *fd : disk_lock(v->disk, *fd);
    if (error == E_IN_USE)
        snprintf(why, why_n, "%s is in use by a broker; stop it first", v->path);
    else if (error < 0)
        snprintf(why, why_n, "%s: the lock cannot be had: %s", v->path, error_text(error));
    return error;
}

static int verify_all(struct verify *v, char *why, size_t why_n)
{
    char path[DISK_PATH_MAX];
    struct names names = {0};
    struct disk_stat s;
    int error = path_join(path, v->path, "meta.properties");
    if (error == 0 && disk_stat(v->disk, path, &s) < 0)
        error = E_INVALID;
    if (error == E_INVALID)
        snprintf(why, why_n, "%s has no meta.properties: it is no log directory", v->path);
    if (error == 0)
        error = path_join(path, v->path, journal_name);
    if (error == 0 && v->options->is_repair && disk_stat(v->disk, path, &s) == 0) {
        snprintf(why, why_n,
                 "%s has a journal, whose records belong into the logs before they are repaired: "
                 "run millraced --recover on it first",
                 v->path);
        return E_INVALID;
    }
    if (error == 0)
        error = path_join(path, v->path, ".kafka_cleanshutdown");
    v->is_clean = error == 0 && disk_stat(v->disk, path, &s) == 0;
    if (error == 0)
        error = names_list(v->disk, v->path, &names);
    if (error == 0 && (v->checkpoints = checkpoints_new()) == NULL)
        error = E_NO_MEMORY;
    if (error == 0) /* what cannot be read is a finding of its own, below */
        (void)!checkpoints_read(v->checkpoints, v->disk, v->path, path, sizeof path);
    if (error == 0) {
        bytes_count(v, &names);
        error = verify_names(v, &names);
    }
    if (error == 0)
        error = checkpoints_finish(v);
    names_free(&names);
    checkpoints_free(v->checkpoints);
    return error;
}

int verify_directory(struct disk *disk, const char *path, const struct verify_options *options,
                     FILE *to, struct verify_summary *summary, char *why, size_t why_n)
{
    struct verify v = {.disk = disk, .options = options, .to = to, .sum = summary, .path = path};
    struct disk_stat s;
    int fd = -1;
    why[0] = 0;
    int error = disk_stat(disk, path, &s);
    if (error == 0 && !s.is_directory)
        error = E_INVALID;
    if (error == 0)
        error = lock_take(&v, &fd, why, why_n);
    if (error == 0)
        error = verify_all(&v, why, why_n);
    if (fd >= 0)
        disk_close(disk, fd);
    if (error < 0 && why[0] == 0)
        snprintf(why, why_n, "%s: %s", path, error_text(error));
    return error;
}
