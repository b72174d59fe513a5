/*
 * config.c - `millrace config describe | set | delete`: settings of topics, brokers, groups and
 * client metrics subscriptions.
 *
 * Owner: the process, which has one thread.
 *
 * A resource is two words: its kind and its name; "broker default" means all brokers.
 */
#include <stdio.h>

#include "remote.h"
#include "messages.h"
#include "parse.h"
#include "table.h"

enum { API_DESCRIBE_CONFIGS = 32, API_ALTER_CONFIGS = 44 };
enum { DESCRIBE_CONFIGS_V = 4, ALTER_CONFIGS_V = 1 };
enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4, RESOURCE_CLIENT_METRICS = 16, RESOURCE_GROUP = 32 };
enum { OP_SET, OP_DELETE, OP_APPEND, OP_SUBTRACT };
enum { SOURCE_DEFAULT = 5 };

static const char describe_help[] =
    "millrace config describe KIND NAME [options]     settings, and who has set them\n"
    "\n"
    "  --all                   also the settings that have their default value\n"
    "\n"
    "  millrace config describe topic orders\n"
    "  millrace config describe broker 1 --all --json | jq .\n";
static const char set_help[] =
    "millrace config set KIND NAME KEY=VALUE...       change settings; they take effect at once\n"
    "\n"
    "  --append                VALUE is added to a list (cleanup.policy)\n"
    "  --subtract              VALUE is taken out of a list\n"
    "  --validate              only ask whether it could be done\n"
    "\n"
    "  millrace config set topic orders retention.ms=86400000 max.message.bytes=2000000\n"
    "  millrace config set broker default log.retention.ms=604800000\n"
    "  millrace config set topic state cleanup.policy=compact --append\n";
static const char delete_help[] =
    "millrace config delete KIND NAME KEY...          take settings back: their defaults count\n"
    "\n"
    "  --validate              only ask whether it could be done\n"
    "\n"
    "  millrace config delete topic orders retention.ms\n";
const char config_help[] =
    "millrace config COMMAND KIND NAME                settings of topics, brokers, groups\n"
    "\n"
    "  describe KIND NAME              settings, and who has set them\n"
    "  set KIND NAME KEY=VALUE...      change settings; they take effect at once\n"
    "  delete KIND NAME KEY...         take settings back: their defaults count\n"
    "\n"
    "KIND is topic, broker, group or client-metrics; `broker default` means all brokers.\n"
    "\n"
    "  millrace config describe topic orders\n"
    "  millrace config set topic orders retention.ms=86400000\n"
    "  millrace config set --help\n";

/* A kind and a name. */
struct resource_of {
    int8_t type;
    struct bytes name;
    const char *kind;
};

/* The first two words behind the options. */
static bool resource_words(const struct cli *cli, int argc, char **argv, struct resource_of *out,
                           int *status)
{
    static const struct {
        const char *word;
        int8_t type;
    } kinds[] = {{"topic", RESOURCE_TOPIC},
                 {"broker", RESOURCE_BROKER},
                 {"group", RESOURCE_GROUP},
                 {"client-metrics", RESOURCE_CLIENT_METRICS}};
    if (argc - optind < 2) {
        *status = cli_usage(cli, "expected a kind and a name, such as `topic orders`");
        return false;
    }
    *out = (struct resource_of){.kind = argv[optind], .name = bytes_of_string(argv[optind + 1])};
    for (uint32_t i = 0; i < array_n(kinds); i++)
        if (strcmp(kinds[i].word, argv[optind]) == 0)
            out->type = kinds[i].type;
    if (out->type == 0) {
        *status =
            cli_usage(cli, "%s: expected topic, broker, group or client-metrics", argv[optind]);
        return false;
    }
    if (out->type == RESOURCE_BROKER && bytes_equal_string(out->name, "default"))
        out->name = bytes_of("", 0);
    optind += 2;
    return true;
}

static int resource_failed(const struct cli *cli, const struct resource_of *r, const char *name,
                           int16_t code, struct bytes message)
{
    char what[512];
    snprintf(what, sizeof what, "%s %s", r->kind, name);
    return remote_failed(cli, what, code, message);
}

/* ── describe ── */

static const char *source_text(int8_t source)
{
    static const char *const texts[] = {"?",       "topic",  "this broker",  "all brokers", "file",
                                        "default", "logger", "subscription", "group"};
    return source >= 0 && source < (int)array_n(texts) ? texts[source] : "?";
}

static void describe_print(const struct cli *cli, const struct describe_configs_response_results *r,
                           bool is_all)
{
    struct table table;
    table_init(&table, "SETTING|VALUE|SET BY");
    json_t *all = json_object();
    for (int32_t i = 0; i < r->configs_n; i++) {
        const struct describe_configs_response_results_configs *c = &r->configs[i];
        char key[256];
        if (c->config_source == SOURCE_DEFAULT && !is_all)
            continue;
        snprintf(key, sizeof key, "%.*s", (int)c->name.n, c->name.ptr);
        table_cell(&table, "%s", key);
        table_cell(&table, "%.*s", (int)c->value.n,
                   c->value.ptr == NULL ? (const uint8_t *)"" : c->value.ptr);
        table_cell(&table, "%s", source_text(c->config_source));
        json_object_set_new(all, key,
                            json_pack("{s:o,s:s,s:b}", "value", cli_json_bytes(c->value), "set_by",
                                      source_text(c->config_source), "is_read_only", c->read_only));
    }
    if (cli->is_json)
        cli_json(json_incref(all));
    else if (table_rows(&table) == 0)
        fprintf(stderr, "Nothing is set. --all shows the defaults.\n");
    else
        table_print(&table, stdout);
    json_decref(all);
    table_fini(&table);
}

static int describe_one(const struct cli *cli, struct client *c, const struct resource_of *r,
                        const char *name, bool is_all)
{
    struct describe_configs_request *request = PROTO_NEW(&c->arena, describe_configs_request, 1);
    struct describe_configs_request_resources *resource =
        PROTO_NEW(&c->arena, describe_configs_request_resources, 1);
    const void *out;
    if (request == NULL || resource == NULL)
        return cli_fail(cli, "out of memory");
    resource->resource_type = r->type;
    resource->resource_name = r->name;
    resource->configuration_keys_n = -1;
    request->resources = resource;
    request->resources_n = 1;
    if (client_call(c, API_DESCRIBE_CONFIGS, DESCRIBE_CONFIGS_V, request, &out, NULL) != 0)
        return cli_fail(cli, "%s", c->why);
    const struct describe_configs_response *answer = out;
    if (answer->results_n != 1)
        return cli_fail(cli, "the broker answers for %d resources instead of one",
                        answer->results_n);
    if (answer->results->error_code != 0)
        return resource_failed(cli, r, name, answer->results->error_code,
                               answer->results->error_message);
    describe_print(cli, answer->results, is_all);
    return cli_finish(cli);
}

static int config_describe(struct cli *cli, int argc, char **argv)
{
    enum { ALL = CLI_OPTION_OWN };
    static const struct option options[] = {{"all", no_argument, NULL, ALL}, CLI_OPTIONS};
    bool is_all = false;
    int option, status = CLI_OK;
    struct resource_of r;
    struct client c;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0)
        is_all |= option == ALL;
    if (option == CLI_OPTION_END || !resource_words(cli, argc, argv, &r, &status))
        return status;
    if (argc != optind)
        return cli_usage(cli, "%s: one resource at a time", argv[optind]);
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    status = describe_one(cli, &c, &r, argv[optind - 1], is_all);
    client_close(&c);
    return status;
}

/* ── set, delete ── */

static int alter_send(const struct cli *cli, struct client *c, const struct resource_of *r,
                      const char *name, char **words, int n, int8_t how, bool is_dry)
{
    struct incremental_alter_configs_request *request =
        PROTO_NEW(&c->arena, incremental_alter_configs_request, 1);
    struct incremental_alter_configs_request_resources *resource =
        PROTO_NEW(&c->arena, incremental_alter_configs_request_resources, 1);
    struct incremental_alter_configs_request_resources_configs *configs =
        PROTO_NEW(&c->arena, incremental_alter_configs_request_resources_configs, n);
    const void *out;
    if (request == NULL || resource == NULL || configs == NULL)
        return cli_fail(cli, "out of memory");
    for (int i = 0; i < n; i++) {
        configs[i].config_operation = how;
        configs[i].value = (struct bytes){NULL, 0};
        if (how == OP_DELETE)
            configs[i].name = bytes_of_string(words[i]);
        else if (!parse_assignment(words[i], &configs[i].name, &configs[i].value))
            return cli_usage(cli, "%s: expected KEY=VALUE", words[i]);
    }
    resource->resource_type = r->type;
    resource->resource_name = r->name;
    resource->configs = configs;
    resource->configs_n = n;
    request->resources = resource;
    request->resources_n = 1;
    request->validate_only = is_dry;
    if (client_call(c, API_ALTER_CONFIGS, ALTER_CONFIGS_V, request, &out, NULL) != 0)
        return cli_fail(cli, "%s", c->why);
    const struct incremental_alter_configs_response *answer = out;
    if (answer->responses_n != 1)
        return cli_fail(cli, "the broker answers for %d resources instead of one",
                        answer->responses_n);
    if (answer->responses->error_code != 0)
        return resource_failed(cli, r, name, answer->responses->error_code,
                               answer->responses->error_message);
    if (cli->is_json)
        cli_json(json_pack("{s:s,s:s,s:i,s:b}", "kind", r->kind, "name", name, "settings", n,
                           "validated_only", is_dry));
    else
        printf("%s %s %s: %d setting%s\n", is_dry ? "could change" : "changed", r->kind, name, n,
               n == 1 ? "" : "s");
    return cli_finish(cli);
}

static int alter(struct cli *cli, int argc, char **argv, int8_t how)
{
    enum { APPEND = CLI_OPTION_OWN, SUBTRACT, VALIDATE };
    static const struct option set_options[] = {{"append", no_argument, NULL, APPEND},
                                                {"subtract", no_argument, NULL, SUBTRACT},
                                                {"validate", no_argument, NULL, VALIDATE},
                                                CLI_OPTIONS};
    static const struct option delete_options[] = {{"validate", no_argument, NULL, VALIDATE},
                                                   CLI_OPTIONS};
    const struct option *options = how == OP_DELETE ? delete_options : set_options;
    bool is_dry = false;
    int option, status = CLI_OK;
    struct resource_of r;
    struct client c;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0) {
        how = option == APPEND ? OP_APPEND : option == SUBTRACT ? OP_SUBTRACT : how;
        is_dry |= option == VALIDATE;
    }
    if (option == CLI_OPTION_END || !resource_words(cli, argc, argv, &r, &status))
        return status;
    if (argc == optind)
        return cli_usage(cli, how == OP_DELETE ? "expected one key or more"
                                               : "expected KEY=VALUE, once or more");
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    status = alter_send(cli, &c, &r, argv[optind - 1], argv + optind, argc - optind, how, is_dry);
    client_close(&c);
    return status;
}

static int config_set(struct cli *cli, int argc, char **argv)
{
    return alter(cli, argc, argv, OP_SET);
}

static int config_delete(struct cli *cli, int argc, char **argv)
{
    return alter(cli, argc, argv, OP_DELETE);
}

int config_command(struct cli *cli, int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {"describe", config_describe, "settings and who has set them", describe_help},
        {"set", config_set, "change settings", set_help},
        {"delete", config_delete, "take settings back", delete_help},
    };
    return cli_dispatch(cli, commands, array_n(commands), config_help, argc, argv);
}
