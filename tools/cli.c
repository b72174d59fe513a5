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

enum { CLI_HELP_WORDS_MAX = 4 };

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

/* The option of the table that is nearest to "--jsno", in `to`; false when none is near. */
static bool option_nearest(const char *typed, const struct option *options, char *to, size_t to_n)
{
    char name[WORDS_MAX];
    uint32_t best = UINT32_MAX;
    if (strncmp(typed, "--", 2) != 0)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(typed + 2, "="), typed + 2);
    for (; options->name != NULL; options++)
        if (words_near(name, options->name) && words_distance(name, options->name) < best) {
            best = words_distance(name, options->name);
            snprintf(to, to_n, "--%s", options->name);
        }
    return best != UINT32_MAX;
}

static int unknown_option(const struct cli *cli, const char *typed, const struct option *options)
{
    char near[WORDS_MAX + 8];
    const char *ours = words_elsewhere(cli->command, typed);
    if (ours != NULL)
        return cli_usage(cli, "unknown option %s; here it is: %s", typed, ours);
    if (option_nearest(typed, options, near, sizeof near))
        return cli_usage(cli, "unknown option %s; did you mean %s?", typed, near);
    return cli_usage(cli, "unknown option %s", typed);
}

int cli_next_option(struct cli *cli, int argc, char **argv, const char *letters,
                    const struct option *options, int *status)
{
    opterr = 0;
    int option;
    while ((option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        if (option == '?' || option == ':') {
            const char *which = optind > 0 && optind <= argc ? argv[optind - 1] : "";
            *status = option == '?' ? unknown_option(cli, which, options)
                                    : cli_usage(cli, "%s needs a value", which);
            return CLI_OPTION_END;
        }
        int own = take_global(cli, option, optarg, status);
        if (own != 0)
            return own;
    }
    return -1;
}

static int unknown_command(const struct cli *cli, const char *typed,
                           const struct cli_command *commands, size_t n)
{
    const char *ours = words_elsewhere(cli->command, typed), *near = NULL;
    if (ours != NULL)
        return cli_usage(cli, "no command '%s'; here it is: %s", typed, ours);
    for (size_t i = 0; i < n; i++)
        if (words_near(typed, commands[i].name) &&
            (near == NULL || words_distance(typed, commands[i].name) < words_distance(typed, near)))
            near = commands[i].name;
    return near == NULL ? cli_usage(cli, "no command '%s'", typed)
                        : cli_usage(cli, "no command '%s'; did you mean '%s'?", typed, near);
}

int cli_dispatch(struct cli *cli, const struct cli_command *commands, size_t commands_n,
                 const char *help, int argc, char **argv)
{
    if (argc < 2)
        return cli_usage(cli, "which of its commands?");
    const char *name = argv[1];
    bool is_help = strcmp(name, "help") == 0;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (is_help && argc == 2)) {
        fputs(help, stdout);
        return cli_finish(cli);
    }
    if (is_help) { /* "help topic create" is "topic create --help" */
        static char long_help[] = "--help";
        char *asked[CLI_HELP_WORDS_MAX + 2];
        int n = argc - 1 < CLI_HELP_WORDS_MAX ? argc - 1 : CLI_HELP_WORDS_MAX;
        memcpy(asked, argv + 1, (size_t)n * sizeof *argv);
        asked[n] = long_help;
        asked[n + 1] = NULL;
        return cli_dispatch(cli, commands, commands_n, help, n + 1, asked);
    }
    for (size_t i = 0; i < commands_n; i++) {
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
    return unknown_command(cli, name, commands, commands_n);
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
