/*
 * millrace.c - the command line: `millrace COMMAND ...`. Commands stand in files of their own; see
 * cli.h.
 *
 * Owner: the process, which has one thread.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

#ifndef MILLRACE_VERSION
#define MILLRACE_VERSION "unknown"
#endif

static const char main_help[] =
    "millrace - the command line of the millrace broker; it works with any Kafka broker.\n"
    "\n"
    "  millrace topic create NAME    make, list, describe and delete topics\n"
    "  millrace group describe NAME  list, describe, reset, delete and explain consumer groups\n"
    "  millrace config set ...       settings of topics, brokers and groups\n"
    "  millrace partition add TOPIC  more partitions, old records away\n"
    "  millrace produce TOPIC        records from the lines of standard input\n"
    "  millrace consume TOPIC        records to standard output\n"
    "  millrace cluster              brokers, controller, features\n"
    "  millrace api                  the APIs a broker serves and their versions\n"
    "  millrace bench                load, open loop, with latencies and a report\n"
    "  millrace dump FILE            what stands in a segment, an index, a snapshot or a "
    "checkpoint\n"
    "  millrace verify DIR           a whole log directory checked, and mended\n"
    "  millrace slow                 the slowest requests of a broker, and who is to blame\n"
    "  millrace conn list            connections, with what our own TCP knows of their paths\n"
    "  millrace pcap                 the last packets of a worker, for tcpdump or tshark\n"
    "  millrace COMMAND --help       everything about a command, with examples\n"
    "  millrace --version            which millrace this is\n"
    "\n"
    "For every command, before or behind its name:\n"
    "  --bootstrap-server HOST:PORT  the broker (default 127.0.0.1:9092, or $MILLRACE_BOOTSTRAP)\n"
    "  --timeout TIME                how long a request may take: 500ms, 10s (the default), 2m\n"
    "  --json                        for programs: JSON instead of tables\n"
    "\n"
    "A first round, with a broker that `millraced` started:\n"
    "  millrace topic create greetings --partitions 3\n"
    "  echo 'hello' | millrace produce greetings\n"
    "  millrace consume greetings\n"
    "\n"
    "Exit status: 0 it worked, 1 it failed, 2 the command line was wrong.\n";

int main(int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {"topic", topic_command, "topics", topic_help},
        {"group", group_command, "consumer groups", group_help},
        {"config", config_command, "settings", config_help},
        {"partition", partition_command, "partitions", partition_help},
        {"produce", produce_command, "produce records", produce_help},
        {"consume", consume_command, "consume records", consume_help},
        {"cluster", cluster_command, "the cluster", cluster_help},
        {"api", api_command, "API versions", api_help},
        {"dump", dump_command, "what stands in a file", dump_help},
        {"verify", verify_command, "check log directories", verify_help},
        {"slow", slow_command, "the slowest requests", slow_help},
        {"conn", conn_command, "connections", conn_help},
        {"pcap", pcap_command, "the last packets of a worker", pcap_help},
        {"bench", bench_command, "measure a broker", bench_help},
    };
    /* '+': global options before the command; the command's own parsing begins behind its name. */
    enum { VERSION_OPTION = CLI_OPTION_OWN };
    static const struct option options[] = {{"version", no_argument, NULL, VERSION_OPTION},
                                            CLI_OPTIONS};
    const char *bootstrap = getenv("MILLRACE_BOOTSTRAP");
    struct cli cli = {.command = "",
                      .help = main_help,
                      .timeout_ms = CLI_TIMEOUT_MS_DEFAULT,
                      .bootstrap = bootstrap != NULL ? bootstrap : CLI_BOOTSTRAP_DEFAULT};
    int status = CLI_OK, option;
    while ((option = cli_next_option(&cli, argc, argv, "+:h", options, &status)) >= 0)
        if (option == VERSION_OPTION) {
            puts("millrace " MILLRACE_VERSION);
            return cli_finish(&cli);
        }
    if (option == CLI_OPTION_END)
        return status;
    if (optind == argc) {
        fputs(main_help, stderr);
        return CLI_USAGE;
    }
    int first = optind;
    return cli_dispatch(&cli, commands, array_n(commands), main_help, argc - first + 1,
                        argv + first - 1);
}
