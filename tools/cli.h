/*
 * cli.h - what every command of `millrace` shares: the global options, exit codes, errors, JSON
 * output, what was meant by a word that is not known.
 *
 * Owner: the process, which has one thread.
 */
#ifndef MILLRACE_CLI_H
#define MILLRACE_CLI_H

#include <getopt.h>
#include <jansson.h>

#include "bytes.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };
enum { CLI_TIMEOUT_MS_DEFAULT = 10000 };
#define CLI_BOOTSTRAP_DEFAULT "127.0.0.1:9092"

/* The global options. Owner: main. */
struct cli {
    const char *command;   /* "topic create", for messages */
    const char *help;      /* of the command: printed for --help */
    const char *bootstrap; /* host:port[,host:port]... */
    int timeout_ms;        /* of a request */
    bool is_json;
};

/* A command or a sub-command: run gets its own arguments, argv[0] is its name. Owner: immutable. */
struct cli_command {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
    const char *summary;
    const char *help;
};

/* Long options that every command takes; a command's own table ends with this. Values above 255
 * keep the short letters free for the commands. */
enum { CLI_OPTION_BOOTSTRAP = 300, CLI_OPTION_JSON, CLI_OPTION_TIMEOUT, CLI_OPTION_OWN = 400 };
#define CLI_OPTIONS                                                      \
    {"bootstrap-server", required_argument, NULL, CLI_OPTION_BOOTSTRAP}, \
        {"brokers", required_argument, NULL, CLI_OPTION_BOOTSTRAP},      \
        {"json", no_argument, NULL, CLI_OPTION_JSON},                    \
        {"timeout", required_argument, NULL, CLI_OPTION_TIMEOUT},        \
        {"help", no_argument, NULL, 'h'},                                \
    {                                                                    \
        NULL, 0, NULL, 0                                                 \
    }

/* The next option of the command itself; the global ones are taken on the way. -1 after the last.
 * When it returns CLI_OPTION_END the command ends with *status: --help was asked for, or an option
 * was wrong (and said so). */
enum { CLI_OPTION_END = -2 };
int cli_next_option(struct cli *cli, int argc, char **argv, const char *letters,
                    const struct option *options, int *status);
/* Runs the sub-command that argv[1] names. */
int cli_dispatch(struct cli *cli, const struct cli_command *commands, size_t n, const char *help,
                 int argc, char **argv);

/* "millrace topic: ..." on stderr; returns CLI_FAILED. */
int cli_fail(const struct cli *cli, const char *format, ...) printf_like(2, 3);
/* What a user of other tools may have meant by a word of `command` that is not known there: the
 * command or option of ours, or NULL. words.c */
const char *words_elsewhere(const char *command, const char *word);
/* How many letters must be put in, left out, changed or swapped with their neighbour to make a of
 * b; words longer than WORDS_MAX are far from everything. */
enum { WORDS_MAX = 40 };
uint32_t words_distance(const char *a, const char *b);
/* Whether the distance is that of a slip of the finger. */
bool words_near(const char *typed, const char *known);

/* The same and where the help is; returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...) printf_like(2, 3);
/* After everything was printed: CLI_OK, or CLI_FAILED when stdout could not take it (full disk,
 * closed pipe). */
int cli_finish(const struct cli *cli);

/* Prints and frees a JSON value, with a newline. */
void cli_json(json_t *value);
/* A JSON string of bytes; null for null; where they are no UTF-8, an object {"base64": "..."}. */
json_t *cli_json_bytes(struct bytes b);

/* Commands, one file each. */
int topic_command(struct cli *cli, int argc, char **argv);
int config_command(struct cli *cli, int argc, char **argv);
int partition_command(struct cli *cli, int argc, char **argv);
int produce_command(struct cli *cli, int argc, char **argv);
int consume_command(struct cli *cli, int argc, char **argv);
int group_command(struct cli *cli, int argc, char **argv);
int cluster_command(struct cli *cli, int argc, char **argv);
int api_command(struct cli *cli, int argc, char **argv);
int dump_command(struct cli *cli, int argc, char **argv);
int verify_command(struct cli *cli, int argc, char **argv);
int slow_command(struct cli *cli, int argc, char **argv);
int conn_command(struct cli *cli, int argc, char **argv);
int pcap_command(struct cli *cli, int argc, char **argv);
int bench_command(struct cli *cli, int argc, char **argv); /* bench/load */

extern const char topic_help[], config_help[], partition_help[], group_help[], produce_help[],
    consume_help[], cluster_help[], api_help[], dump_help[], verify_help[], slow_help[],
    bench_help[], conn_help[], pcap_help[];

#endif
