/*
 * group.c - `millrace group list | delete`, and what all commands of `millrace group` share.
 *
 * Owner: the process, which has one thread.
 *
 * Everything but `explain` is Kafka's protocol and works with any broker that coordinates the group
 * (in a cluster of several, that one must be named).
 */
#include "group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "parse.h"
#include "table.h"

enum { API_LIST_OFFSETS = 2, API_OFFSET_FETCH = 9, API_LIST_GROUPS = 16, API_DELETE_GROUPS = 42 };
/* The versions whose meaning this file knows. */
enum { LIST_OFFSETS_V = 7, OFFSET_FETCH_V = 9, LIST_V = 5, DELETE_V = 2 };

static const char list_help[] =
    "millrace group list [options]               the consumer groups\n"
    "\n"
    "  --state STATE           only those in this state: Stable, Empty, PreparingRebalance, ...\n"
    "\n"
    "  millrace group list\n"
    "  millrace group list --state Empty --json | jq -r '.[].group'\n";
static const char delete_help[] =
    "millrace group delete NAME...               delete groups without members, and their offsets\n"
    "\n"
    "  --topic TOPIC[:P]       only what one group has committed for this topic, or one partition\n"
    "                          of it; again for more. Members may be there that do not read it\n"
    "\n"
    "  millrace group delete old-billing\n"
    "  millrace group delete billing --topic old-orders\n";
const char group_help[] =
    "millrace group COMMAND                      consumer groups: list, describe, reset, delete, "
    "explain\n"
    "\n"
    "  list            the groups and their states\n"
    "  describe NAME   members, their partitions, offsets and lag\n"
    "  reset NAME      move the committed offsets of a group without members\n"
    "  delete NAME...  delete groups, or what one has committed for a topic\n"
    "  explain NAME    why the group rebalanced\n"
    "\n"
    "  millrace group describe billing\n"
    "  millrace group reset --help\n";

int group_failed(const struct cli *cli, const char *group, int16_t code)
{
    return remote_failed(cli, group, code, bytes_of("", 0));
}

/* ── what is asked ── */

int group_offsets_ask(struct client *c, const char *group, struct group_offsets *out)
{
    struct offset_fetch_request *q = PROTO_NEW(&c->arena, offset_fetch_request, 1);
    struct offset_fetch_request_groups *one = PROTO_NEW(&c->arena, offset_fetch_request_groups, 1);
    const void *answer;
    *out = (struct group_offsets){NULL, 0};
    if (q == NULL || one == NULL)
        return E_NO_MEMORY;
    one->group_id = q->group_id = bytes_of_string(group);
    one->topics_n = q->topics_n = -1;
    q->groups = one;
    q->groups_n = 1;
    int16_t version = client_version(c, API_OFFSET_FETCH, OFFSET_FETCH_V);
    int rc = version < 8 ? E_UNSUPPORTED
                         : client_call(c, API_OFFSET_FETCH, OFFSET_FETCH_V, q, &answer, NULL);
    if (version < 8)
        snprintf(c->why, sizeof c->why, "the broker does not serve OffsetFetch from version 8 on");
    if (rc != 0)
        return rc;
    const struct offset_fetch_response *r = answer;
    if (r->groups_n != 1 || r->groups[0].error_code != 0)
        return r->groups_n == 1 && r->groups[0].error_code > 0 ? r->groups[0].error_code : 1;
    uint64_t n = 0;
    for (int32_t i = 0; i < r->groups[0].topics_n; i++)
        n += (uint64_t)r->groups[0].topics[i].partitions_n;
    out->v = arena_array(&c->arena, n + 1, sizeof *out->v);
    if (out->v == NULL)
        return E_NO_MEMORY;
    for (int32_t i = 0; i < r->groups[0].topics_n; i++)
        for (int32_t k = 0; k < r->groups[0].topics[i].partitions_n; k++) {
            const struct offset_fetch_response_groups_topics_partitions *p =
                &r->groups[0].topics[i].partitions[k];
            out->v[out->n++] = (struct group_offset){.topic = r->groups[0].topics[i].name,
                                                     .partition = p->partition_index,
                                                     .committed = p->committed_offset,
                                                     .metadata = p->metadata,
                                                     .error = p->error_code,
                                                     .end = -1};
        }
    return 0;
}

int group_list_offsets(struct client *c, const struct group_offset *v, uint32_t n, int64_t time,
                       int64_t *to)
{
    struct list_offsets_request *q = PROTO_NEW(&c->arena, list_offsets_request, 1);
    struct list_offsets_request_topics *topics =
        PROTO_NEW(&c->arena, list_offsets_request_topics, n);
    struct list_offsets_request_topics_partitions *parts =
        PROTO_NEW(&c->arena, list_offsets_request_topics_partitions, n);
    const void *answer;
    if (q == NULL || topics == NULL || parts == NULL)
        return E_NO_MEMORY;
    q->replica_id = -1;
    q->topics = topics;
    for (uint32_t i = 0; i < n; i++) {
        to[i] = -1;
        parts[i].partition_index = v[i].partition;
        parts[i].timestamp = time;
        if (i == 0 || !bytes_equal(v[i].topic, v[i - 1].topic)) {
            topics[q->topics_n].name = v[i].topic;
            topics[q->topics_n++].partitions = &parts[i];
        }
        topics[q->topics_n - 1].partitions_n++;
    }
    int rc = n == 0 ? 0 : client_call(c, API_LIST_OFFSETS, LIST_OFFSETS_V, q, &answer, NULL);
    if (rc != 0 || n == 0)
        return rc;
    const struct list_offsets_response *r = answer;
    for (int32_t t = 0; t < r->topics_n; t++)
        for (int32_t k = 0; k < r->topics[t].partitions_n; k++)
            for (uint32_t i = 0; i < n; i++)
                if (r->topics[t].partitions[k].error_code == 0 &&
                    r->topics[t].partitions[k].partition_index == v[i].partition &&
                    bytes_equal(r->topics[t].name, v[i].topic))
                    to[i] = r->topics[t].partitions[k].offset;
    return 0;
}

/* ── list ── */

static void list_print(const struct cli *cli, const struct list_groups_response *r)
{
    struct table table;
    json_t *all = json_array();
    table_init(&table, "GROUP|STATE|PROTOCOL|TYPE");
    for (int32_t i = 0; i < r->groups_n; i++) {
        const struct list_groups_response_groups *g = &r->groups[i];
        table_cell(&table, "%.*s", (int)g->group_id.n, g->group_id.ptr);
        table_cell(&table, "%.*s", (int)g->group_state.n, g->group_state.ptr);
        table_cell(&table, "%.*s", (int)g->protocol_type.n, g->protocol_type.ptr);
        table_cell(&table, "%.*s", (int)g->group_type.n, g->group_type.ptr);
        json_array_append_new(all,
                              json_pack("{s:o,s:o,s:o,s:o}", "group", cli_json_bytes(g->group_id),
                                        "state", cli_json_bytes(g->group_state), "protocol_type",
                                        cli_json_bytes(g->protocol_type), "type",
                                        cli_json_bytes(g->group_type)));
    }
    if (cli->is_json)
        cli_json(json_incref(all));
    else if (table_rows(&table) == 0)
        fprintf(stderr, "No groups.\n");
    else
        table_print(&table, stdout);
    json_decref(all);
    table_fini(&table);
}

static int group_list(struct cli *cli, int argc, char **argv)
{
    enum { STATE = CLI_OPTION_OWN };
    static const struct option options[] = {{"state", required_argument, NULL, STATE}, CLI_OPTIONS};
    struct bytes state = {NULL, 0};
    int option, status = CLI_OK;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0)
        if (option == STATE)
            state = bytes_of_string(optarg);
    if (option == CLI_OPTION_END)
        return status;
    if (argc != optind)
        return cli_usage(cli, "takes no name; `millrace group describe %s` shows one group",
                         argv[optind]);
    struct client c;
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    struct list_groups_request *q = PROTO_NEW(&c.arena, list_groups_request, 1);
    const void *answer = NULL;
    if (q != NULL && state.ptr != NULL) {
        q->states_filter = &state;
        q->states_filter_n = 1;
    }
    if (q == NULL || client_call(&c, API_LIST_GROUPS, LIST_V, q, &answer, NULL) != 0) {
        status = cli_fail(cli, "%s", q == NULL ? "out of memory" : c.why);
    } else if (((const struct list_groups_response *)answer)->error_code != 0) {
        status =
            group_failed(cli, "groups", ((const struct list_groups_response *)answer)->error_code);
    } else {
        list_print(cli, answer);
        status = cli_finish(cli);
    }
    client_close(&c);
    return status;
}

bool group_take_names(struct cli *cli, int argc, char **argv, int most, int *status)
{
    static const struct option options[] = {CLI_OPTIONS};
    int option;
    *status = CLI_OK;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, status)) >= 0)
        continue;
    if (option == CLI_OPTION_END)
        return false;
    if (argc - optind >= 1 && argc - optind <= most)
        return true;
    *status = cli_usage(cli, most == 1 ? "expected one name" : "expected one name or more");
    return false;
}

/* ── delete ── */

static int delete_report(const struct cli *cli, const struct delete_groups_response *r)
{
    int status = CLI_OK;
    json_t *deleted = json_array();
    for (int32_t i = 0; i < r->results_n; i++) {
        char name[512];
        snprintf(name, sizeof name, "%.*s", (int)r->results[i].group_id.n,
                 r->results[i].group_id.ptr);
        if (r->results[i].error_code != 0) {
            status = group_failed(cli, name, r->results[i].error_code);
            continue;
        }
        json_array_append_new(deleted, cli_json_bytes(r->results[i].group_id));
        if (!cli->is_json)
            printf("deleted %s\n", name);
    }
    if (cli->is_json)
        cli_json(json_pack("{s:O}", "deleted", deleted));
    json_decref(deleted);
    return status == CLI_OK ? cli_finish(cli) : status;
}

static int delete_groups(const struct cli *cli, struct client *c, char **group, int n)
{
    struct delete_groups_request *q = PROTO_NEW(&c->arena, delete_groups_request, 1);
    struct bytes *names = arena_array(&c->arena, (uint64_t)n, sizeof *names);
    const void *answer;
    if (q == NULL || names == NULL)
        return cli_fail(cli, "%d groups are too many for one request", n);
    for (int i = 0; i < n; i++)
        names[i] = bytes_of_string(group[i]);
    q->groups_names = names;
    q->groups_names_n = n;
    if (client_call(c, API_DELETE_GROUPS, DELETE_V, q, &answer, NULL) != 0)
        return cli_fail(cli, "%s", c->why);
    return delete_report(cli, answer);
}

static int group_delete(struct cli *cli, int argc, char **argv)
{
    enum { TOPIC = CLI_OPTION_OWN, TOPICS_MAX = 64 };
    static const struct option options[] = {{"topic", required_argument, NULL, TOPIC}, CLI_OPTIONS};
    char *topics[TOPICS_MAX];
    uint32_t topics_n = 0;
    int option, status = CLI_OK;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0) {
        if (topics_n == TOPICS_MAX)
            return cli_usage(cli, "--topic: at most %d of them", TOPICS_MAX);
        topics[topics_n++] = optarg;
    }
    if (option == CLI_OPTION_END)
        return status;
    int n = argc - optind;
    if (n < 1 || (topics_n > 0 && n > 1))
        return cli_usage(cli, n < 1 ? "expected one name or more" : "--topic goes with one group");
    struct client c;
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    status = topics_n > 0 ? group_forget(cli, &c, argv[optind], topics, topics_n)
                          : delete_groups(cli, &c, argv + optind, n);
    client_close(&c);
    return status;
}

int group_command(struct cli *cli, int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {"list", group_list, "the groups", list_help},
        {"describe", group_describe, "one group", group_describe_help},
        {"reset", group_reset, "move offsets", group_reset_help},
        {"delete", group_delete, "delete groups", delete_help},
        {"explain", group_explain, "why it rebalanced", group_explain_help},
    };
    return cli_dispatch(cli, commands, array_n(commands), group_help, argc, argv);
}
