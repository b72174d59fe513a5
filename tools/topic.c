/*
 * topic.c - `millrace topic create | list | describe | delete`.
 *
 * Owner: the process, which has one thread.
 *
 * Answers are printed as tables, or with --json as one JSON value on one line. A request that names
 * several topics reports each; the status is 1 when one of them failed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "remote.h"
#include "messages.h"
#include "parse.h"
#include "table.h"
#include "uuid_text.h"

enum {
    API_LIST_OFFSETS = 2,
    API_METADATA = 3,
    API_CREATE = 19,
    API_DELETE = 20,
    API_DESCRIBE_CONFIGS = 32
};
/* The versions whose meaning this file knows; newer ones may ask for other fields. */
enum { LIST_OFFSETS_V = 7, METADATA_V = 12, CREATE_V = 7, DELETE_V = 6, DESCRIBE_CONFIGS_V = 4 };
enum { RESOURCE_TOPIC = 2, SOURCE_TOPIC = 1, CONFIGS_MAX = 64 };
enum { TIME_END = -1, TIME_BEGINNING = -2 };
enum { ERROR_EXISTS = 36, ERROR_UNKNOWN_TOPIC = 3 };

static const char create_help[] =
    "millrace topic create NAME [options]        make a topic\n"
    "\n"
    "  -p, --partitions N          how many partitions (default: the broker's num.partitions)\n"
    "  -r, --replication-factor N  copies of each (default: the broker's; one broker keeps one)\n"
    "  -c, --config KEY=VALUE      a setting of the topic; again for more\n"
    "      --if-not-exists         a topic of that name is no error\n"
    "      --validate              only ask whether it could be made\n"
    "\n"
    "  millrace topic create orders --partitions 12\n"
    "  millrace topic create state --config cleanup.policy=compact --config segment.ms=3600000\n";
static const char list_help[] =
    "millrace topic list [options]               the topics of the cluster\n"
    "\n"
    "  --internal              also those the broker keeps for itself\n"
    "\n"
    "  millrace topic list\n"
    "  millrace topic list --json | jq -r '.[].name'\n";
static const char describe_help[] =
    "millrace topic describe NAME [--json]       partitions, leaders, offsets and settings of a "
    "topic\n"
    "\n"
    "  --all                   also the settings that have their default value\n"
    "\n"
    "  millrace topic describe orders\n"
    "  millrace topic describe orders --all --json | jq .configs\n";
static const char delete_help[] = "millrace topic delete NAME...               delete topics with "
                                  "all their records; there is no way back\n"
                                  "\n"
                                  "  --if-exists             a missing topic is no error\n"
                                  "\n"
                                  "  millrace topic delete old-orders\n";
const char topic_help[] =
    "millrace topic COMMAND                      topics: make, list, describe, delete\n"
    "\n"
    "  create NAME     make a topic\n"
    "  list            the topics of the cluster\n"
    "  describe NAME   partitions, leaders, offsets and settings of a topic\n"
    "  delete NAME...  delete topics\n"
    "\n"
    "  millrace topic create orders --partitions 12\n"
    "  millrace topic describe --help\n";

/* What went wrong with a topic. */
static int topic_failed(const struct cli *cli, struct bytes name, int16_t code,
                        struct bytes message)
{
    char what[320];
    if (code == ERROR_UNKNOWN_TOPIC)
        return cli_fail(
            cli, "%.*s: there is no such topic.\n  `millrace topic list` shows those there are.",
            (int)name.n, name.ptr);
    snprintf(what, sizeof what, "%.*s", (int)name.n, name.ptr);
    return remote_failed(cli, what, code, message);
}

/* ── create ── */

/* The options of `create`. */
struct create {
    int64_t partitions_n, replication_factor;
    bool is_validate, is_if_not_exists;
    uint32_t configs_n;
    const char *configs[CONFIGS_MAX];
};

static int create_options(struct cli *cli, int argc, char **argv, struct create *o, int *status)
{
    enum { PARTITIONS = 'p', FACTOR = 'r', CONFIG = 'c' };
    enum { IF_NOT_EXISTS = CLI_OPTION_OWN, VALIDATE };
    static const struct option options[] = {
        {"partitions", required_argument, NULL, PARTITIONS},
        {"replication-factor", required_argument, NULL, FACTOR},
        {"config", required_argument, NULL, CONFIG},
        {"if-not-exists", no_argument, NULL, IF_NOT_EXISTS},
        {"validate", no_argument, NULL, VALIDATE},
        CLI_OPTIONS,
    };
    struct bytes key, value;
    int option;
    while ((option = cli_next_option(cli, argc, argv, ":hp:r:c:", options, status)) >= 0) {
        if (option == PARTITIONS && !parse_number(optarg, 1, INT32_MAX, &o->partitions_n)) {
            *status = cli_usage(cli, "--partitions %s: expected a number from 1", optarg);
            return CLI_OPTION_END;
        }
        if (option == FACTOR && !parse_number(optarg, 1, INT16_MAX, &o->replication_factor)) {
            *status = cli_usage(cli, "--replication-factor %s: expected a number from 1", optarg);
            return CLI_OPTION_END;
        }
        if (option == CONFIG) {
            if (!parse_assignment(optarg, &key, &value) || o->configs_n == CONFIGS_MAX) {
                *status = cli_usage(cli, "--config %s: expected KEY=VALUE, at most %d of them",
                                    optarg, CONFIGS_MAX);
                return CLI_OPTION_END;
            }
            o->configs[o->configs_n++] = optarg;
        }
        o->is_if_not_exists |= option == IF_NOT_EXISTS;
        o->is_validate |= option == VALIDATE;
    }
    return option;
}

static int create_send(struct client *c, const struct cli *cli, const char *name,
                       const struct create *o, const struct create_topics_response **answer)
{
    struct create_topics_request *request = PROTO_NEW(&c->arena, create_topics_request, 1);
    struct create_topics_request_topics *topic =
        PROTO_NEW(&c->arena, create_topics_request_topics, 1);
    struct create_topics_request_topics_configs *configs =
        PROTO_NEW(&c->arena, create_topics_request_topics_configs, CONFIGS_MAX);
    if (request == NULL || topic == NULL || configs == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < o->configs_n; i++)
        (void)parse_assignment(o->configs[i], &configs[i].name, &configs[i].value);
    topic->name = bytes_of_string(name);
    topic->num_partitions = (int32_t)o->partitions_n;
    topic->replication_factor = (int16_t)o->replication_factor;
    topic->configs = configs;
    topic->configs_n = (int32_t)o->configs_n;
    request->topics = topic;
    request->topics_n = 1;
    request->timeout_ms = cli->timeout_ms;
    request->validate_only = o->is_validate;
    const void *out;
    int rc = client_call(c, API_CREATE, CREATE_V, request, &out, NULL);
    *answer = out;
    return rc;
}

static int create_report(const struct cli *cli, const struct create *o,
                         const struct create_topics_response *answer)
{
    if (answer->topics_n != 1)
        return cli_fail(cli, "the broker answers for %d topics instead of one", answer->topics_n);
    const struct create_topics_response_topics *t = answer->topics;
    if (t->error_code == ERROR_EXISTS && o->is_if_not_exists)
        return CLI_OK;
    if (t->error_code != 0)
        return topic_failed(cli, t->name, t->error_code, t->error_message);
    char id[UUID_TEXT_MAX];
    uuid_text(&t->topic_id, id);
    if (cli->is_json)
        cli_json(json_pack("{s:o,s:s,s:i,s:i,s:b}", "name", cli_json_bytes(t->name), "id", id,
                           "partitions", t->num_partitions, "replication_factor",
                           t->replication_factor, "validated_only", o->is_validate));
    else
        printf("%s %.*s: %d partitions\n", o->is_validate ? "could create" : "created",
               (int)t->name.n, t->name.ptr, t->num_partitions);
    return cli_finish(cli);
}

static int topic_create(struct cli *cli, int argc, char **argv)
{
    struct create o = {.partitions_n = -1, .replication_factor = -1};
    int status = CLI_OK;
    if (create_options(cli, argc, argv, &o, &status) == CLI_OPTION_END)
        return status;
    if (argc - optind != 1)
        return cli_usage(cli, "expected one name");
    struct client c;
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    const struct create_topics_response *answer;
    int rc = create_send(&c, cli, argv[optind], &o, &answer);
    status = rc != 0 ? cli_fail(cli, "%s", c.why) : create_report(cli, &o, answer);
    client_close(&c);
    return status;
}

/* ── list ── */

/* Metadata of one topic, or of all with name NULL. */
static int ask_metadata(struct client *c, const char *name, const struct metadata_response **answer)
{
    struct metadata_request *request = PROTO_NEW(&c->arena, metadata_request, 1);
    struct metadata_request_topics *topic = PROTO_NEW(&c->arena, metadata_request_topics, 1);
    if (request == NULL || topic == NULL)
        return E_NO_MEMORY;
    topic->name = bytes_of_string(name);
    request->topics = name == NULL ? NULL : topic;
    request->topics_n = name == NULL ? -1 : 1;
    request->allow_auto_topic_creation = false;
    const void *out;
    int rc = client_call(c, API_METADATA, METADATA_V, request, &out, NULL);
    *answer = out;
    return rc;
}

static int by_name(const void *a, const void *b)
{
    const struct metadata_response_topics *x = a, *y = b;
    uint32_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int order = n == 0 ? 0 : memcmp(x->name.ptr, y->name.ptr, n);
    return order != 0 ? order : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

static void list_print(const struct cli *cli, const struct metadata_response_topics *topics,
                       int32_t n, bool is_internal)
{
    struct table table;
    table_init(&table, "TOPIC|>PARTITIONS|>REPLICAS|ID");
    json_t *all = json_array();
    for (int32_t i = 0; i < n; i++) {
        const struct metadata_response_topics *t = &topics[i];
        if (t->is_internal && !is_internal)
            continue;
        char id[UUID_TEXT_MAX];
        uuid_text(&t->topic_id, id);
        int32_t replicas_n = t->partitions_n > 0 ? t->partitions[0].replica_nodes_n : 0;
        table_cell(&table, "%.*s", (int)t->name.n, t->name.ptr);
        table_cell(&table, "%d", t->partitions_n);
        table_cell(&table, "%d", replicas_n);
        table_cell(&table, "%s", id);
        json_array_append_new(all,
                              json_pack("{s:o,s:i,s:i,s:s,s:b}", "name", cli_json_bytes(t->name),
                                        "partitions", t->partitions_n, "replicas", replicas_n, "id",
                                        id, "is_internal", t->is_internal));
    }
    if (cli->is_json)
        cli_json(json_incref(all));
    else if (table_rows(&table) == 0)
        fprintf(stderr, "No topics. `millrace topic create NAME` makes one.\n");
    else
        table_print(&table, stdout);
    json_decref(all);
    table_fini(&table);
}

static int topic_list(struct cli *cli, int argc, char **argv)
{
    enum { INTERNAL = CLI_OPTION_OWN };
    static const struct option options[] = {{"internal", no_argument, NULL, INTERNAL}, CLI_OPTIONS};
    bool is_internal = false;
    int option, status = CLI_OK;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0)
        is_internal |= option == INTERNAL;
    if (option == CLI_OPTION_END)
        return status;
    if (argc != optind)
        return cli_usage(cli, "takes no name; `millrace topic describe %s` shows one topic",
                         argv[optind]);
    struct client c;
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    const struct metadata_response *answer;
    if (ask_metadata(&c, NULL, &answer) != 0) {
        status = cli_fail(cli, "%s", c.why);
    } else {
        if (answer->topics_n > 0)
            qsort(answer->topics, (size_t)answer->topics_n, sizeof *answer->topics, by_name);
        list_print(cli, answer->topics, answer->topics_n, is_internal);
        status = cli_finish(cli);
    }
    client_close(&c);
    return status;
}

/* ── describe ── */

/* First and end offsets of a topic's partitions, -1 where they are not known (another broker leads
 * it). */
static int ask_offsets(struct client *c, const struct metadata_response_topics *t,
                       int64_t timestamp, int64_t *offsets)
{
    struct list_offsets_request *request = PROTO_NEW(&c->arena, list_offsets_request, 1);
    struct list_offsets_request_topics *topic =
        PROTO_NEW(&c->arena, list_offsets_request_topics, 1);
    struct list_offsets_request_topics_partitions *partitions =
        PROTO_NEW(&c->arena, list_offsets_request_topics_partitions, t->partitions_n);
    if (request == NULL || topic == NULL || partitions == NULL)
        return E_NO_MEMORY;
    for (int32_t i = 0; i < t->partitions_n; i++) {
        partitions[i].partition_index = t->partitions[i].partition_index;
        partitions[i].timestamp = timestamp;
        offsets[i] = -1;
    }
    topic->name = t->name;
    topic->partitions = partitions;
    topic->partitions_n = t->partitions_n;
    request->replica_id = -1;
    request->topics = topic;
    request->topics_n = 1;
    const void *out;
    int rc = client_call(c, API_LIST_OFFSETS, LIST_OFFSETS_V, request, &out, NULL);
    if (rc != 0)
        return rc;
    const struct list_offsets_response *answer = out;
    for (int32_t k = 0; k < answer->topics_n; k++)
        for (int32_t j = 0; j < answer->topics[k].partitions_n; j++) {
            const struct list_offsets_response_topics_partitions *p =
                &answer->topics[k].partitions[j];
            for (int32_t i = 0; i < t->partitions_n; i++)
                if (p->error_code == 0 && t->partitions[i].partition_index == p->partition_index)
                    offsets[i] = p->offset;
        }
    return 0;
}

static int ask_configs(struct client *c, struct bytes name,
                       const struct describe_configs_response_results **result)
{
    struct describe_configs_request *request = PROTO_NEW(&c->arena, describe_configs_request, 1);
    struct describe_configs_request_resources *resource =
        PROTO_NEW(&c->arena, describe_configs_request_resources, 1);
    if (request == NULL || resource == NULL)
        return E_NO_MEMORY;
    resource->resource_type = RESOURCE_TOPIC;
    resource->resource_name = name;
    resource->configuration_keys_n = -1;
    request->resources = resource;
    request->resources_n = 1;
    const void *out;
    *result = NULL;
    int rc = client_call(c, API_DESCRIBE_CONFIGS, DESCRIBE_CONFIGS_V, request, &out, NULL);
    if (rc == 0 && ((const struct describe_configs_response *)out)->results_n == 1)
        *result = ((const struct describe_configs_response *)out)->results;
    return rc;
}

static void list_text(const int32_t *ids, int32_t n, char *to, size_t to_n)
{
    size_t at = 0;
    to[0] = 0;
    for (int32_t i = 0; i < n && at + 12 < to_n; i++)
        at += (size_t)snprintf(to + at, to_n - at, "%s%d", i == 0 ? "" : ",", ids[i]);
}

static void number_cell(struct table *table, int64_t n)
{
    if (n < 0)
        table_cell(table, "-");
    else
        table_cell(table, "%" PRId64, n);
}

static void describe_partitions(const struct metadata_response_topics *t, const int64_t *first,
                                const int64_t *end)
{
    struct table table;
    table_init(&table, ">PARTITION|>LEADER|>EPOCH|REPLICAS|IN SYNC|>FIRST|>END|>RECORDS|STATE");
    for (int32_t i = 0; i < t->partitions_n; i++) {
        const struct metadata_response_topics_partitions *p = &t->partitions[i];
        char replicas[128], isr[128], error[32];
        list_text(p->replica_nodes, p->replica_nodes_n, replicas, sizeof replicas);
        list_text(p->isr_nodes, p->isr_nodes_n, isr, sizeof isr);
        table_cell(&table, "%d", p->partition_index);
        number_cell(&table, p->leader_id);
        number_cell(&table, p->leader_epoch);
        table_cell(&table, "%s", replicas);
        table_cell(&table, "%s", isr);
        number_cell(&table, first[i]);
        number_cell(&table, end[i]);
        number_cell(&table, first[i] < 0 || end[i] < 0 ? -1 : end[i] - first[i]);
        table_cell(&table, "%s",
                   p->error_code == 0 ? "ok"
                                      : kafka_error_name(p->error_code, error, sizeof error));
    }
    table_print(&table, stdout);
    table_fini(&table);
}

static void describe_configs(const struct describe_configs_response_results *configs, bool is_all)
{
    struct table table;
    table_init(&table, "SETTING|VALUE|SET BY");
    for (int32_t i = 0; configs != NULL && i < configs->configs_n; i++) {
        const struct describe_configs_response_results_configs *c = &configs->configs[i];
        if (c->config_source != SOURCE_TOPIC && !is_all)
            continue;
        table_cell(&table, "%.*s", (int)c->name.n, c->name.ptr);
        table_cell(&table, "%.*s", (int)c->value.n,
                   c->value.ptr == NULL ? (const uint8_t *)"" : c->value.ptr);
        table_cell(&table, "%s",
                   c->config_source == SOURCE_TOPIC ? "topic"
                   : c->config_source == 5          ? "default"
                                                    : "broker");
    }
    if (table_rows(&table) > 0) {
        putchar('\n');
        table_print(&table, stdout);
    }
    table_fini(&table);
}

static json_t *json_ids(const int32_t *ids, int32_t n)
{
    json_t *out = json_array();
    for (int32_t i = 0; i < n; i++)
        json_array_append_new(out, json_integer(ids[i]));
    return out;
}

static void describe_json(const struct metadata_response_topics *t, const int64_t *first,
                          const int64_t *end,
                          const struct describe_configs_response_results *configs, bool is_all)
{
    json_t *partitions = json_array(), *settings = json_object();
    for (int32_t i = 0; i < t->partitions_n; i++) {
        const struct metadata_response_topics_partitions *p = &t->partitions[i];
        json_array_append_new(
            partitions,
            json_pack("{s:i,s:i,s:i,s:o,s:o,s:I,s:I,s:i}", "partition", p->partition_index,
                      "leader", p->leader_id, "leader_epoch", p->leader_epoch, "replicas",
                      json_ids(p->replica_nodes, p->replica_nodes_n), "isr",
                      json_ids(p->isr_nodes, p->isr_nodes_n), "first_offset", (json_int_t)first[i],
                      "end_offset", (json_int_t)end[i], "error_code", p->error_code));
    }
    for (int32_t i = 0; configs != NULL && i < configs->configs_n; i++) {
        const struct describe_configs_response_results_configs *c = &configs->configs[i];
        char key[256];
        snprintf(key, sizeof key, "%.*s", (int)c->name.n, c->name.ptr);
        if (c->config_source == SOURCE_TOPIC || is_all)
            json_object_set_new(settings, key, cli_json_bytes(c->value));
    }
    char id[UUID_TEXT_MAX];
    uuid_text(&t->topic_id, id);
    cli_json(json_pack("{s:o,s:s,s:b,s:o,s:o}", "name", cli_json_bytes(t->name), "id", id,
                       "is_internal", t->is_internal, "partitions", partitions, "configs",
                       settings));
}

static int describe_one(const struct cli *cli, struct client *c, const char *name, bool is_all)
{
    const struct metadata_response *answer;
    if (ask_metadata(c, name, &answer) != 0)
        return cli_fail(cli, "%s", c->why);
    if (answer->topics_n != 1)
        return cli_fail(cli, "the broker answers for %d topics instead of one", answer->topics_n);
    const struct metadata_response_topics *t = answer->topics;
    if (t->error_code != 0)
        return topic_failed(cli, bytes_of_string(name), t->error_code, bytes_of(NULL, 0));
    int64_t *first = arena_array(&c->arena, (uint64_t)t->partitions_n + 1, sizeof *first);
    int64_t *end = arena_array(&c->arena, (uint64_t)t->partitions_n + 1, sizeof *end);
    if (first == NULL || end == NULL)
        return cli_fail(cli, "%d partitions are too many for one answer", t->partitions_n);
    const struct describe_configs_response_results *configs;
    if (ask_offsets(c, t, TIME_BEGINNING, first) != 0 || ask_offsets(c, t, TIME_END, end) != 0 ||
        ask_configs(c, t->name, &configs) != 0)
        return cli_fail(cli, "%s", c->why);
    if (cli->is_json) {
        describe_json(t, first, end, configs, is_all);
        return cli_finish(cli);
    }
    char id[UUID_TEXT_MAX];
    uuid_text(&t->topic_id, id);
    printf("topic %.*s  id %s  %d partitions%s\n\n", (int)t->name.n, t->name.ptr, id,
           t->partitions_n, t->is_internal ? "  (internal)" : "");
    describe_partitions(t, first, end);
    describe_configs(configs, is_all);
    return cli_finish(cli);
}

static int topic_describe(struct cli *cli, int argc, char **argv)
{
    enum { ALL = CLI_OPTION_OWN };
    static const struct option options[] = {{"all", no_argument, NULL, ALL}, CLI_OPTIONS};
    bool is_all = false;
    int option, status = CLI_OK;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0)
        is_all |= option == ALL;
    if (option == CLI_OPTION_END)
        return status;
    if (argc - optind != 1)
        return cli_usage(cli, "expected one name");
    struct client c;
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    status = describe_one(cli, &c, argv[optind], is_all);
    client_close(&c);
    return status;
}

/* ── delete ── */

static int delete_send(struct client *c, const struct cli *cli, char **names, int n,
                       const struct delete_topics_response **answer)
{
    struct delete_topics_request *request = PROTO_NEW(&c->arena, delete_topics_request, 1);
    struct delete_topics_request_topics *topics =
        PROTO_NEW(&c->arena, delete_topics_request_topics, n);
    struct bytes *old = arena_array(&c->arena, (uint64_t)n, sizeof *old);
    if (request == NULL || topics == NULL || old == NULL)
        return E_NO_MEMORY;
    /* Up to version 5 the names stand in a list of their own. */
    for (int i = 0; i < n; i++)
        topics[i].name = old[i] = bytes_of_string(names[i]);
    request->topics = topics;
    request->topic_names = old;
    request->topics_n = request->topic_names_n = n;
    request->timeout_ms = cli->timeout_ms;
    const void *out;
    int rc = client_call(c, API_DELETE, DELETE_V, request, &out, NULL);
    *answer = out;
    return rc;
}

static int topic_delete(struct cli *cli, int argc, char **argv)
{
    enum { IF_EXISTS = CLI_OPTION_OWN };
    static const struct option options[] = {{"if-exists", no_argument, NULL, IF_EXISTS},
                                            CLI_OPTIONS};
    bool is_if_exists = false;
    int option, status = CLI_OK;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0)
        is_if_exists |= option == IF_EXISTS;
    if (option == CLI_OPTION_END)
        return status;
    if (argc == optind)
        return cli_usage(cli, "expected one name or more");
    struct client c;
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    const struct delete_topics_response *answer;
    if (delete_send(&c, cli, argv + optind, argc - optind, &answer) != 0) {
        status = cli_fail(cli, "%s", c.why);
        client_close(&c);
        return status;
    }
    json_t *deleted = json_array();
    for (int32_t i = 0; i < answer->responses_n; i++) {
        const struct delete_topics_response_responses *r = &answer->responses[i];
        if (r->error_code == ERROR_UNKNOWN_TOPIC && is_if_exists)
            continue;
        if (r->error_code != 0) {
            status = topic_failed(cli, r->name, r->error_code, bytes_of(NULL, 0));
            continue;
        }
        json_array_append_new(deleted, cli_json_bytes(r->name));
        if (!cli->is_json)
            printf("deleted %.*s\n", (int)r->name.n, r->name.ptr);
    }
    if (cli->is_json)
        cli_json(json_incref(deleted));
    json_decref(deleted);
    client_close(&c);
    int finished = cli_finish(cli);
    return status != CLI_OK ? status : finished;
}

int topic_command(struct cli *cli, int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {"create", topic_create, "make a topic", create_help},
        {"list", topic_list, "the topics of the cluster", list_help},
        {"describe", topic_describe, "partitions, offsets, settings", describe_help},
        {"delete", topic_delete, "delete topics", delete_help},
    };
    return cli_dispatch(cli, commands, array_n(commands), topic_help, argc, argv);
}
