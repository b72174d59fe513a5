/*
 * cli.c - global options, sub-commands, errors and JSON of the command line. See cli.h.
 *
 * Owner: the process, which has one thread.
 *
 * Exit status: 0 it worked, 1 it failed (the broker said no, could not be reached, the data are
 * wrong), 2 the command line was wrong. What a script reads goes to stdout, everything for people
 * to stderr.
 */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "parse.h"

static void print_message(const struct cli *cli, const char *format, va_list arguments)
{
    fflush(stdout);
    fprintf(stderr, "millrace%s%s: ", cli->command[0] == 0 ? "" : " ", cli->command);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int cli_fail(const struct cli *cli, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(cli, format, arguments);
    va_end(arguments);
    return CLI_FAILED;
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(cli, format, arguments);
    va_end(arguments);
    fprintf(stderr, "See: millrace%s%s --help\n", cli->command[0] == 0 ? "" : " ", cli->command);
    return CLI_USAGE;
}

int cli_finish(const struct cli *cli)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_fail(cli, "the output could not be written");
    return CLI_OK;
}

static int take_global(struct cli *cli, int option, const char *value, int *status)
{
    switch (option) {
    case 'h':
        fputs(cli->help, stdout);
        *status = cli_finish(cli);
        return CLI_OPTION_END;
    case CLI_OPTION_BOOTSTRAP: cli->bootstrap = value; return 0;
    case CLI_OPTION_JSON: cli->is_json = true; return 0;
    case CLI_OPTION_TIMEOUT:
        if (!parse_duration_ms(value, &cli->timeout_ms)) {
            *status =
                cli_usage(cli, "--timeout %s: expected a time such as 500ms, 10s or 2m", value);
            return CLI_OPTION_END;
        }
        return 0;
    case ':': *status = cli_usage(cli, "an option lacks its value"); return CLI_OPTION_END;
    case '?': *status = cli_usage(cli, "unknown option"); return CLI_OPTION_END;
    default: return option;
    }
}

int cli_next_option(struct cli *cli, int argc, char **argv, const char *letters,
                    const struct option *options, int *status)
{
    opterr = 0;
    int option;
    while ((option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        if (option == '?' || option == ':') {
            const char *which = optind > 0 && optind <= argc ? argv[optind - 1] : "";
            *status = option == '?' ? cli_usage(cli, "unknown option %s", which)
                                    : cli_usage(cli, "%s needs a value", which);
            return CLI_OPTION_END;
        }
        int own = take_global(cli, option, optarg, status);
        if (own != 0)
            return own;
    }
    return -1;
}

int cli_dispatch(struct cli *cli, const struct cli_command *commands, size_t n, const char *help,
                 int argc, char **argv)
{
    if (argc < 2)
        return cli_usage(cli, "which of its commands?");
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        fputs(help, stdout);
        return cli_finish(cli);
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        char full[64];
        snprintf(full, sizeof full, "%s%s%s", cli->command, cli->command[0] == 0 ? "" : " ", name);
        struct cli inner = *cli;
        inner.command = full;
        inner.help = commands[i].help;
        optind = 0; /* glibc: begin anew, with the order that the command's own letters ask for */
        return commands[i].run(&inner, argc - 1, argv + 1);
    }
    return cli_usage(cli, "no command '%s'", name);
}

void cli_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    fputc('\n', stdout);
    json_decref(value);
}

json_t *cli_json_bytes(struct bytes b)
{
    if (b.ptr == NULL)
        return json_null();
    json_t *text = json_stringn((const char *)b.ptr, b.n);
    if (text != NULL)
        return text;
    size_t n = (size_t)(b.n + 2) / 3 * 4 + 1;
    char *to = malloc(n);
    if (to == NULL)
        return json_null();
    base64_encode(b, to);
    json_t *object = json_pack("{s:s}", "base64", to);
    free(to);
    return object;
}
