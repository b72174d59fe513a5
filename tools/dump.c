/*
 * dump.c - `millrace dump`: what stands in a file of a partition, and whether it is sound. The work
 * is storage's.
 *
 * Owner: the process, which has one thread.
 *
 * The status is 1 when a file is damaged or cannot be read, so that a script can check a directory
 * with it.
 */
#include "dump.h"

#include <stdio.h>

#include "cli.h"
#include "parse.h"

const char dump_help[] =
    "millrace dump FILE... [options]             what stands in a file of a partition, checked\n"
    "\n"
    "  It reads the files that Apache Kafka has too: .log, .index, .timeindex, .txnindex, "
    ".snapshot,\n"
    "  leader-epoch-checkpoint, partition.metadata, also as .cleaned, .swap or .deleted; of the "
    "log\n"
    "  directory meta.properties and the checkpoints; and log-start-offset and compacted-offset, "
    "which\n"
    "  are millrace's. Messages of the formats 0 and 1 (before Apache Kafka 0.11) are shown as "
    "such.\n"
    "  Nothing is changed; it needs no running broker. Damage is shown as a row, and the exit "
    "status\n"
    "  is then 1. Whole directories: millrace verify.\n"
    "\n"
    "  -r, --records           the records of each batch too\n"
    "      --value-bytes N     show at most N bytes of a key or value (default 64; 0: all)\n"
    "      --from OFFSET       leave out what is below\n"
    "  -n, --count N           stop after N rows\n"
    "  -q, --quiet             only the last row, the sums\n"
    "      --json              one JSON object a line\n"
    "\n"
    "  millrace dump data/greetings-0/00000000000000000000.log -r\n"
    "  millrace dump data/orders-3/*.index --json | jq -c 'select(.row == \"damage\")'\n";

/* The options, and one line per file of what went wrong. Owner: dump_command. */
struct dump_run {
    struct dump_options options;
    bool is_quiet;
};

static bool take_options(struct cli *cli, struct dump_run *run, int argc, char **argv, int *status)
{
    enum { VALUE_BYTES = CLI_OPTION_OWN, FROM };
    static const struct option options[] = {
        {"records", no_argument, NULL, 'r'},
        {"value-bytes", required_argument, NULL, VALUE_BYTES},
        {"from", required_argument, NULL, FROM},
        {"count", required_argument, NULL, 'n'},
        {"quiet", no_argument, NULL, 'q'},
        CLI_OPTIONS,
    };
    struct dump_options *o = &run->options;
    int64_t n = 0;
    int option;
    while ((option = cli_next_option(cli, argc, argv, ":hrqn:", options, status)) >= 0) {
        bool is_number = option == VALUE_BYTES || option == FROM || option == 'n';
        if (is_number &&
            !parse_number(optarg, 0, option == VALUE_BYTES ? UINT32_MAX : INT64_MAX, &n)) {
            *status = cli_usage(cli, "'%s': expected a number from 0", optarg);
            return false;
        }
        switch (option) {
        case 'r': o->with_records = true; break;
        case 'q': run->is_quiet = true; break;
        case 'n': o->rows_max = (uint64_t)n; break;
        case FROM: o->offset_min = n; break;
        default: o->value_bytes_max = (uint32_t)n; break;
        }
    }
    if (option == CLI_OPTION_END)
        return false;
    if (argc > optind)
        return true;
    *status = cli_usage(cli, "expected one file or more");
    return false;
}

static int dump_one(const struct cli *cli, const struct dump_run *run, struct disk *disk,
                    const char *path)
{
    struct dump_options options = run->options;
    struct dump_summary sums = {.first_offset = -1, .last_offset = -1};
    options.is_json = cli->is_json;
    FILE *to = run->is_quiet ? fopen("/dev/null", "w") : stdout;
    if (to == NULL)
        return cli_fail(cli, "/dev/null cannot be opened");
    int rc = dump_file(disk, path, &options, to, &sums);
    if (run->is_quiet)
        fclose(to);
    if (rc == E_INVALID)
        return cli_fail(cli, "%s is a directory.\n  `millrace verify DIR` checks a log directory.",
                        path);
    if (rc == E_NOT_FOUND)
        return cli_fail(cli, "%s: there is no such file", path);
    if (rc == E_UNSUPPORTED)
        return cli_fail(
            cli, "%s: its name is of no kind that this command knows.\n  See: millrace dump --help",
            path);
    if (rc != 0)
        return cli_fail(cli, "%s: %s", path, error_text(rc));
    if (run->is_quiet && !cli->is_json)
        printf("%s: %llu bytes, %llu batches, %llu records, %llu entries, %s\n", path,
               (unsigned long long)sums.bytes, (unsigned long long)sums.batches_n,
               (unsigned long long)sums.records_n, (unsigned long long)sums.entries_n,
               sums.damages_n == 0 ? "sound" : "DAMAGED");
    if (run->is_quiet && cli->is_json)
        cli_json(json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "file", path, "bytes",
                           (json_int_t)sums.bytes, "batches", (json_int_t)sums.batches_n, "records",
                           (json_int_t)sums.records_n, "entries", (json_int_t)sums.entries_n,
                           "damages", (json_int_t)sums.damages_n));
    if (sums.damages_n == 0)
        return CLI_OK;
    return cli_fail(cli, "%s: damaged in %llu places, %llu bytes belong to no good batch", path,
                    (unsigned long long)sums.damages_n, (unsigned long long)sums.damaged_bytes);
}

int dump_command(struct cli *cli, int argc, char **argv)
{
    const uint32_t value_bytes_default = 64;
    struct dump_run run = {.options = {.value_bytes_max = value_bytes_default}};
    int status = CLI_OK;
    if (!take_options(cli, &run, argc, argv, &status))
        return status;
    for (int i = optind; i < argc; i++)
        if (dump_one(cli, &run, disk_posix(), argv[i]) != CLI_OK)
            status = CLI_FAILED;
    int finished = cli_finish(cli);
    return status != CLI_OK ? status : finished;
}
