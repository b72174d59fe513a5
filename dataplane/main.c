/*
 * main.c - build/millraced: settings, boot, start lines, waiting for a signal, stop in reverse
 * order.
 *
 * Owner: main. After the threads run, main only formats what they tell (diag.h) and waits for
 * signals.
 *
 * Start:  settings -> ledger -> directory, metadata, recovery (broker_boot) -> threads -> ports
 * Stop:   first SIGTERM or SIGINT: accept nobody, finish, flush, close the logs; second: out at
 * once.
 *
 * Whatever prevents a start is one line on stderr and exit code 1; wrong usage is exit code 2. A
 * stop that could not be clean is exit code 1 too: the next start then recovers.
 */
#include <errno.h>
#include <signal.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "ledger_lines.h"
#include "machine.h"
#include "metrics.h"
#include "reload.h"
#include "thread.h"

#ifndef MILLRACE_VERSION
#define MILLRACE_VERSION "unknown"
#endif

enum {
    EXIT_USAGE = 2,
    WAIT_MS = 50, /* between looks at what the threads tell */
    STOP_WAIT_MS = 2,
    STOP_CONNECTIONS_MS = 1000, /* for answers under way */
    STOP_MS_MAX = 30000,
    OVERRIDES_MAX = 64,
};

/* The command line. Owner: main. */
struct options {
    const char *properties; /* NULL: none */
    const char *overrides[OVERRIDES_MAX];
    int overrides_n;
    const char *hint; /* print what to try, begun with this; NULL: do not */
    bool is_recovery; /* recover, close cleanly, end */
};

static const char usage[] =
    "millraced: a broker that speaks the Kafka protocol\n"
    "\n"
    "  millraced [server.properties] [--override key=value]... [--hint]\n"
    "\n"
    "  --override key=value  stands over the file; may be repeated\n"
    "  --hint[=WORDS]        print commands to try when ready, each begun with "
    "WORDS\n"
    "  --recover             after a crash: makes the data directory plainly "
    "Kafka's, and ends\n"
    "  --version             print the version\n"
    "  --help                print this\n"
    "\n"
    "Without a file: PLAINTEXT://127.0.0.1:9092, data in ./data. Settings "
    "have Kafka's names, every one is\n"
    "reported as honoured, ignored or refused. Signals: SIGTERM or SIGINT "
    "stops cleanly, a second one at once;\nSIGHUP reads the file again.\n";

/* ── the command line and the settings ── */

static void usage_wrong(const char *word, const char *why)
{
    fprintf(stderr, "millraced: %s: %s\nSee: millraced --help\n", word, why);
    exit(EXIT_USAGE);
}

static void override_take(struct options *o, const char *word, const char *value)
{
    if (value == NULL || strchr(value, '=') == NULL)
        usage_wrong(word, "it needs key=value");
    if (o->overrides_n == OVERRIDES_MAX)
        usage_wrong(word, "too many of them; put settings into a file");
    o->overrides[o->overrides_n++] = value;
}

static void options_parse(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            fputs(usage, stdout);
            exit(0);
        }
        if (strcmp(word, "--version") == 0) {
            puts("millraced " MILLRACE_VERSION);
            exit(0);
        }
        if (strcmp(word, "--override") == 0) {
            i++;
            override_take(o, word, i < argc ? argv[i] : NULL);
        } else if (strncmp(word, "--override=", 11) == 0) {
            override_take(o, word, word + 11);
        } else if (strcmp(word, "--hint") == 0) {
            o->hint = "";
        } else if (strncmp(word, "--hint=", 7) == 0) {
            o->hint = word + 7;
        } else if (strcmp(word, "--recover") == 0) {
            o->is_recovery = true;
        } else if (word[0] != '-' && o->properties == NULL) {
            o->properties = word;
        } else {
            usage_wrong(word,
                        word[0] == '-' ? "unknown option" : "there is a settings file already");
        }
    }
}

/* Without a file the broker is for trying out: this machine only, data beside you. */
nodiscard static int settings_default(struct config *c)
{
    static const char *const rows[] = {"listeners=PLAINTEXT://127.0.0.1:9092", "log.dirs=./data"};

    for (size_t i = 0; i < array_n(rows); i++) {
        int rc = config_override(c, rows[i], stderr);
        if (rc != 0)
            return rc;
    }
    return 0;
}

nodiscard static int settings_read(const void *context, struct config **out)
{
    const struct options *o = context;
    struct config *c = NULL;
    int rc = config_new(&c);

    if (rc != 0)
        return rc;
    rc = o->properties == NULL ? settings_default(c) : config_read_file(c, o->properties, stderr);
    for (int i = 0; i < o->overrides_n && rc == 0; i++)
        rc = config_override(c, o->overrides[i], stderr);
    if (rc == 0 && o->is_recovery) /* nothing will be appended */
        rc = config_override(c, "storage.journal.bytes=0", stderr);
    if (rc == 0 && o->is_recovery)
        rc = config_override(c, "storage.reserve.bytes=0", stderr);
    if (rc == 0)
        rc = config_check(c, stderr);
    if (rc == 0)
        *out = c;
    else
        config_free(c);
    return rc;
}

/* ── start lines ── */

/* Once a second, if it takes as long. */
static void progress_print(void *context, uint64_t done_n, uint64_t all_n)
{
    struct machine *machine = context;
    uint64_t ns = clock_read().ns;

    if (machine->recovery_begin_ns == 0)
        machine->recovery_begin_ns = machine->recovery_told_ns = ns;
    if (ns - machine->recovery_told_ns < NS_PER_S)
        return;
    machine->recovery_told_ns = ns;
    fprintf(stderr, "recovery %llu of %llu logs, about %.0f s to go\n", (unsigned long long)done_n,
            (unsigned long long)all_n,
            (double)(ns - machine->recovery_begin_ns) / 1e9 * (double)(all_n - done_n) /
                (double)done_n);
}

static void print_journals(const struct broker *b)
{
    const struct journal_report *j = &b->journal;
    int64_t bytes = config_int(b->config, "storage.journal.bytes");

    if (j->rings_n > 0)
        printf(
            "journal  %llu rings replayed: %llu records, %.1f MiB, %llu files made, %llu entries "
            "of deleted topics, %llu logs not continued, %llu records lost\n",
            (unsigned long long)j->rings_n, (unsigned long long)j->records_n,
            (double)j->bytes / (double)MIB(1), (unsigned long long)j->made_n,
            (unsigned long long)j->unknown_n, (unsigned long long)j->dropped_n,
            (unsigned long long)j->lost_n);
    if (bytes == 0)
        printf("journal  none (storage.journal.bytes=0): the file of each log is flushed\n");
    else
        printf("journal  up to %.0f MiB per worker and directory%s\n",
               (double)bytes / (double)MIB(1),
               store_journal_is_direct(b->workers[0]->store)
                   ? ", past the page cache"
                   : "; this file system has no O_DIRECT: slower");
}

static void print_writes(const struct broker *b)
{
    int64_t bytes = config_int(b->config, "storage.direct.min.bytes");

    if (bytes == 0)
        printf("writes   through the page cache (storage.direct.min.bytes=0)\n");
    else
        printf("writes   runs of %lld bytes or more past the page cache\n", (long long)bytes);
    for (uint8_t i = 0; bytes > 0 && i < b->dirs_n; i++)
        if (b->dirs[i].is_online && !directory_has_direct(b->seams.disk, b->dirs[i].path))
            printf("writes   %s: through the page cache, its file system has no O_DIRECT: slower\n",
                   b->dirs[i].path);
}

static void print_reserves(const struct broker *b)
{
    for (uint8_t i = 0; i <= b->dirs_n; i++) {
        const struct log_dir *dir = &b->dirs[i];
        if (!dir->is_online || config_int(b->config, "storage.reserve.bytes") == 0)
            continue;
        if (dir->reserve > 0)
            printf("reserve  %s: %.1f MiB, given up when its disk is full\n", dir->path,
                   (double)dir->reserve / (double)MIB(1));
        else
            printf("reserve  %s: none: %s\n", dir->path,
                   dir->reserve == 0               ? "there is too little room for now"
                   : dir->reserve == E_UNSUPPORTED ? "its file system cannot set room aside"
                                                   : error_text((int)dir->reserve));
    }
}

static void print_directory(const struct broker *b)
{
    const struct recovery_report *r = &b->recovery;

    for (uint8_t i = 0; i < b->dirs_n; i++)
        if (b->dirs[i].is_online)
            printf("data     %s: cluster %s, node %d, last stop %s\n", b->dirs[i].path,
                   b->directory.cluster_id, b->directory.node_id,
                   b->dirs[i].is_new     ? "none: this is the first start"
                   : b->dirs[i].is_clean ? "clean"
                                         : "not clean");
        else
            printf("data     %s: OFFLINE, and so are its partitions, until a start can use it: "
                   "%s\n",
                   b->dirs[i].path, b->dirs_why[i]);
    if (control_lost_logs(b->control) > 0)
        printf("data     %llu partitions are offline: the metadata has them in a directory that is "
               "not here\n",
               (unsigned long long)control_lost_logs(b->control));
    printf("recovery %llu logs, %llu segments, %.1f MiB scanned, %llu logs cut by %llu bytes, %llu "
           "indexes rebuilt\n",
           (unsigned long long)r->logs_n, (unsigned long long)r->segments_n,
           (double)r->scanned_bytes / (double)MIB(1), (unsigned long long)r->logs_cut_n,
           (unsigned long long)r->cut_bytes, (unsigned long long)r->rebuilt_indexes_n);
    print_journals(b);
    print_writes(b);
    print_reserves(b);
}

static void print_durability(const struct config *c)
{
    const char *mode = config_string(c, "storage.durability");

    if (strcmp(mode, "group") == 0)
        printf("durable  storage.durability=group: acks=all is answered when flushed to the "
               "device; a flush begins "
               "at most %lld ms after the first byte\n",
               (long long)config_int(c, "storage.group.max.ms"));
    else
        printf("durable  storage.durability=%s: acks=all is answered when WRITTEN, not flushed; a "
               "power failure can "
               "lose acknowledged records\n",
               mode);
}

static void print_ready(const struct broker *b, const struct options *o)
{
    for (uint32_t i = 0; i < b->listeners_n; i++) {
        const struct listener *l = &b->listeners[i];
        const char *by = l->native == 0 ? "kernel sockets" : "own TCP on ";
        printf("listens  %s://%s:%u, advertised as %s:%u, served by %s%s\n", l->name,
               l->host[0] != 0 ? l->host : "*", l->port, l->advertised_host, l->advertised_port, by,
               l->native == 0 ? "" : b->ports.config.ports[l->native - 1].name);
    }
    printf("ready    millraced " MILLRACE_VERSION ", %u workers, pid %d\n", b->workers_n,
           (int)getpid());
    if (o->hint != NULL && b->listeners_n > 0) {
        const struct listener *l = &b->listeners[0];
        const char *between = o->hint[0] != 0 ? " " : "";
        printf("try      echo hello | %s%skcat -b %s:%u -P -t demo && %s%skcat -b %s:%u -C -t demo "
               "-e\n",
               o->hint, between, l->advertised_host, l->advertised_port, o->hint, between,
               l->advertised_host, l->advertised_port);
    }
    fflush(stdout);
}

/* ── what the threads tell ── */

/* True: one of them is the end. */
static bool diag_drain(struct broker *b)
{
    struct diag_event event;
    char line[512], name[16];
    bool is_end = false;

    for (uint8_t i = 0; i < b->workers_n; i++) {
        broker_thread_name(b, i, name, sizeof name);
        for (int n = 0; n < DIAG_SLOTS_N && diag_read(&b->workers[i]->diag, &event); n++) {
            is_end |= event.id == DIAG_NO_DIRECTORY;
            if (diag_format(&event, name, line, sizeof line) > 0)
                fprintf(stderr, "%s\n", line);
        }
    }
    return is_end;
}

/* ── signals and stop ── */

static void signals_block(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigprocmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed socket is an error code, not an end */
}

/* The signal that came, or 0 after `ms`. */
static int signal_wait(const sigset_t *set, int ms)
{
    struct timespec timeout = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    int got = sigtimedwait(set, NULL, &timeout);

    return got > 0 ? got : 0;
}

/* Until everything under way is done: true. A second signal ends the process here. */
static bool stop_wait(struct broker *b, struct threads *threads, const sigset_t *set)
{
    uint64_t begin_ns = clock_read_ns(), next_ns = begin_ns + NS_PER_S;
    uint32_t busy_n;

    while (!threads_are_quiet(threads, &busy_n)) {
        int got = signal_wait(set, STOP_WAIT_MS);
        if (got == SIGTERM || got == SIGINT) {
            fprintf(stderr, "millraced: second signal: out at once; the next start recovers\n");
            _exit(1);
        }
        (void)diag_drain(b);
        uint64_t now_ns = clock_read_ns();
        if (now_ns > next_ns) {
            printf("stopping: %u threads still have work\n", busy_n);
            fflush(stdout);
            next_ns += 5 * NS_PER_S;
        }
        if (now_ns > begin_ns + STOP_MS_MAX * NS_PER_MS)
            return false;
    }
    return true;
}

static int stop(struct broker *b, struct threads *threads, const sigset_t *set, int got)
{
    printf("stopping: %s\n", got == SIGINT    ? "SIGINT"
                             : got == SIGTERM ? "SIGTERM"
                                              : "no log directory is left");
    fflush(stdout);
    threads_stop(threads, clock_read_ns() + STOP_CONNECTIONS_MS * NS_PER_MS);
    bool is_quiet = stop_wait(b, threads, set);
    threads_end(threads);
    (void)diag_drain(b);
    if (!is_quiet) {
        fprintf(stderr,
                "millraced: work under way did not end in %d s; stopped without closing the logs, "
                "the next "
                "start recovers\n",
                STOP_MS_MAX / 1000);
        return 1;
    }
    if (broker_close(b) != 0) {
        fprintf(stderr, "millraced: %s\n", b->why);
        return 1;
    }
    printf("stopped: clean\n");
    return 0;
}

/* ── running ── */

static int serve(struct broker *b, const struct options *o, const int *cpus, int cpus_n,
                 const sigset_t *set)
{
    struct threads *threads = calloc(1, sizeof *threads);
    struct metrics *metrics = NULL;
    struct reloader reloader = {
        .broker = b, .read = settings_read, .context = o, .has_file = o->properties != NULL};
    bool is_polling = strcmp(config_string(b->config, "dataplane.poll"), "always") == 0;
    int got, rc = threads == NULL ? E_NO_MEMORY : machine_listen(b);

    if (rc == 0)
        rc = metrics_open(&metrics, b, MILLRACE_VERSION, b->why, sizeof b->why);
    if (rc == 0)
        rc = threads_start(threads, b, cpus, cpus_n, is_polling);
    if (rc != 0) {
        fprintf(stderr, "millraced: %s\n", b->why[0] != 0 ? b->why : error_text(rc));
        if (broker_close(b) != 0) /* nothing was served: the directory stays clean */
            fprintf(stderr, "millraced: %s\n", b->why);
        metrics_close(metrics);
        free(threads);
        return 1;
    }
    metrics_print(metrics, stdout);
    print_ready(b, o);
    while ((got = signal_wait(set, WAIT_MS)) != SIGTERM && got != SIGINT) {
        if (diag_drain(b)) {
            got = 0; /* nothing is left to serve */
            break;
        }
        reload_look(&reloader);
        if (got == SIGHUP)
            reload_ask(&reloader);
    }
    rc = stop(b, threads, set, got) != 0 || got == 0;
    metrics_close(metrics);
    if (rc == 0) /* else a thread may still look at them */
        reload_end(&reloader);
    free(threads);
    return rc;
}

/* --recover: what boot found and repaired is closed like after an orderly stop. */
static int recovered(struct broker *b)
{
    if (broker_close(b) != 0) {
        fprintf(stderr, "millraced: %s\n", b->why);
        return 1;
    }
    puts("recovered: clean; this broker or Apache Kafka may be started on it");
    return 0;
}

static int run(const struct options *o, const struct config *config)
{
    struct broker *b = calloc(1, sizeof *b);
    struct machine machine = {0};
    struct broker_seams seams;
    int cpus[CPU_SETSIZE];
    int cpus_n = cpus_parse(config_string(config, "dataplane.cpus"), cpus, CPU_SETSIZE);
    sigset_t set;
    int rc;

    if (b == NULL || cpus_n < 0) {
        fprintf(stderr, "millraced: %s\n",
                b == NULL ? "no memory" : "dataplane.cpus: a list such as 2,3,8-11");
        free(b);
        return 1;
    }
    machine.is_pinned_memory = strcmp(config_string(config, "dataplane.poll"), "always") == 0;
    machine_helper_cpus(&machine, cpus, cpus_n);
    machine_seams(&machine, &seams);
    seams.is_recovery = o->is_recovery;
    signals_block(&set);
    printf("millraced " MILLRACE_VERSION ": Kafka protocol 4.3\n");
    config_report(config, stdout);
    fflush(stdout);
    rc = metrics_check(config, b->why, sizeof b->why);
    if (rc == 0)
        rc = broker_boot(b, config, &seams, progress_print);
    if (rc == 0 && (rc = broker_ledger(b)) != 0) {
        snprintf(b->why, sizeof b->why, "no memory for the memory ledger");
        broker_fini(b);
    }
    if (rc != 0) {
        fprintf(stderr, "millraced: %s\n", b->why);
        free(b);
        return 1;
    }
    machine_register(&machine, b);
    machine_devices(b);
    ledger_print(b, stdout);
    machine_print(&machine, stdout);
    print_directory(b);
    print_durability(config);
    rc = o->is_recovery ? recovered(b) : serve(b, o, cpus, cpus_n, &set);
    if (rc ==
        0) /* else requests or sockets are still open, and the end of the process frees them */
        broker_fini(b);
    free(b);
    return rc;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct config *config = NULL;
    int rc;

    /* Without it some free() gathers all small blocks that were freed since, milliseconds at once.
     */
    (void)mallopt(M_MXFAST, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    options_parse(&options, argc, argv);
    if (settings_read(&options, &config) != 0) {
        fprintf(stderr, "millraced: the settings cannot be used (above)\n");
        return 1;
    }
    rc = run(&options, config);
    config_free(config);
    return rc;
}
