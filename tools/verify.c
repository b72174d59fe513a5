/*
 * verify.c - `millrace verify`: whole log directories checked, and mended where that loses nothing.
 * The work is storage's.
 *
 * Owner: the process, which has one thread.
 */
#include "verify.h"

#include <stdio.h>
#include <unistd.h>

#include "cli.h"
#include "clock.h"

enum { ALLOW_MAX = 256, VERIFY_FOUND = 1, VERIFY_NOT_RUN = 2 };
#define PROGRESS_NS (1 * NS_PER_S)

const char verify_help[] =
    "millrace verify DIR... [options]            log directories checked while no broker runs\n"
    "\n"
    "  Every file of every partition, written by millrace or by Apache Kafka: batches (CRC, "
    "lengths,\n"
    "  offsets, epochs), both indexes and .txnindex against the log, producer snapshots, leader\n"
    "  epochs, checkpoints against the logs' ends, leftovers. Nothing is changed without "
    "--repair.\n"
    "\n"
    "      --repair            does what the next start would do, and makes derived files anew, "
    "each\n"
    "                          replaced atomically; refuses what would lose records\n"
    "      --dry-run           with --repair: says what it would do\n"
    "      --allow-loss NAME   with --repair: this partition (orders-3; all: every one) may be "
    "cut\n"
    "                          behind its last good batch in front of a damage\n"
    "      --json              one JSON object a line; the last one has the sums\n"
    "\n"
    "  A finding is a note (asks for nothing), a leftover or damage. Progress goes to stderr.\n"
    "  Exit status: 0 clean, 1 findings that are still there, 2 it could not run.\n"
    "\n"
    "  millrace verify /var/lib/millrace\n"
    "  millrace verify data --repair --dry-run\n"
    "  millrace verify data --json | jq -c 'select(.row == \"damage\")'\n";

/* What the progress knows. Owner: verify_command. */
struct progress {
    const char *path;
    uint64_t began_ns, told_ns;
};

static void progress_tell(void *context, uint64_t done_bytes, uint64_t bytes)
{
    struct progress *p = context;
    uint64_t now_ns = clock_read_ns();
    if (now_ns - p->told_ns < PROGRESS_NS || done_bytes == 0)
        return;
    p->told_ns = now_ns;
    double part = (double)done_bytes / (double)(bytes < done_bytes ? done_bytes : bytes);
    double left_s = (double)(now_ns - p->began_ns) / 1e9 * (1 - part) / part;
    fprintf(stderr, "%s: %.1f of %.1f MiB, %.0f %%, %.0f s left\n", p->path,
            (double)done_bytes / (1 << 20), (double)bytes / (1 << 20), part * 100, left_s);
}

static void sums_print(const struct cli *cli, const struct verify_options *o,
                       const struct verify_summary *s, bool is_whole)
{
    if (cli->is_json) {
        cli_json(json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "row", "summary",
                           "partitions", (json_int_t)s->partitions_n, "segments",
                           (json_int_t)s->segments_n, "batches", (json_int_t)s->batches_n,
                           "records", (json_int_t)s->records_n, "bytes", (json_int_t)s->bytes,
                           "notes", (json_int_t)s->notes_n, "leftovers", (json_int_t)s->leftovers_n,
                           "damages", (json_int_t)s->damages_n, "repaired",
                           (json_int_t)s->repaired_n, "refused", (json_int_t)s->refused_n, "failed",
                           (json_int_t)s->failed_n));
        return;
    }
    printf("%s: %llu partitions, %llu segments, %llu batches, %llu records, %.1f MiB; %llu "
           "damages, %llu leftovers, %llu notes",
           verify_left_n(s) != 0 ? "FINDINGS"
           : is_whole            ? "clean"
                                 : "NOT ALL CHECKED",
           (unsigned long long)s->partitions_n, (unsigned long long)s->segments_n,
           (unsigned long long)s->batches_n, (unsigned long long)s->records_n,
           (double)s->bytes / (1 << 20), (unsigned long long)s->damages_n,
           (unsigned long long)s->leftovers_n, (unsigned long long)s->notes_n);
    if (o->is_repair)
        printf("; %llu repaired, %llu refused, %llu failed", (unsigned long long)s->repaired_n,
               (unsigned long long)s->refused_n, (unsigned long long)s->failed_n);
    printf("\n");
}

static int verify_run(struct cli *cli, const struct verify_options *o, char **paths, int n)
{
    struct verify_summary sum = {0};
    int status = CLI_OK;
    for (int i = 0; i < n; i++) {
        struct progress progress = {
            .path = paths[i], .began_ns = clock_read_ns(), .told_ns = clock_read_ns()};
        char why[512];
        struct verify_options one = *o;
        one.progress = progress_tell;
        one.context = &progress;
        if (verify_directory(disk_posix(), paths[i], &one, stdout, &sum, why, sizeof why) < 0) {
            cli_fail(cli, "%s", why);
            status = VERIFY_NOT_RUN;
        }
    }
    if (status == CLI_OK || n > 1 || cli->is_json)
        sums_print(cli, o, &sum, status == CLI_OK);
    int finished = cli_finish(cli);
    if (status != CLI_OK)
        return status;
    return finished != CLI_OK || verify_left_n(&sum) > 0 ? VERIFY_FOUND : CLI_OK;
}

int verify_command(struct cli *cli, int argc, char **argv)
{
    enum { REPAIR = CLI_OPTION_OWN, DRY_RUN, ALLOW_LOSS };
    static const struct option options[] = {{"repair", no_argument, NULL, REPAIR},
                                            {"dry-run", no_argument, NULL, DRY_RUN},
                                            {"allow-loss", required_argument, NULL, ALLOW_LOSS},
                                            CLI_OPTIONS};
    const char *allow[ALLOW_MAX];
    struct verify_options o = {.allow_loss = allow};
    int option, status = CLI_OK;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0) {
        if (option == ALLOW_LOSS && o.allow_loss_n == ALLOW_MAX)
            return cli_usage(cli, "--allow-loss: at most %d times; `all` allows it everywhere",
                             ALLOW_MAX);
        if (option == REPAIR)
            o.is_repair = true;
        else if (option == DRY_RUN)
            o.is_dry_run = true;
        else
            allow[o.allow_loss_n++] = optarg;
    }
    if (option == CLI_OPTION_END)
        return status;
    if (argc == optind)
        return cli_usage(cli, "expected one log directory or more");
    if (!o.is_repair && (o.is_dry_run || o.allow_loss_n > 0))
        return cli_usage(cli, "--dry-run and --allow-loss go with --repair");
    o.is_json = cli->is_json;
    return verify_run(cli, &o, argv + optind, argc - optind);
}
