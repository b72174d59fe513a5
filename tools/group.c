/*
 * group.c - `millrace group list | describe | reset | delete | explain`.
 *
 * Owner: the process, which has one thread.
 *
 * Everything but `explain` is Kafka's protocol and works with any broker that coordinates the group
 * (in a cluster of several, that one must be named). `explain` asks the admin listener of
 * millraced.
 */
#include "group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin.h"
#include "parse.h"
#include "table.h"

enum {
    API_LIST_OFFSETS = 2,
    API_OFFSET_FETCH = 9,
    API_DESCRIBE_GROUPS = 15,
    API_LIST_GROUPS = 16,
    API_DELETE_GROUPS = 42
};
/* The versions whose meaning this file knows. */
enum { LIST_OFFSETS_V = 7, OFFSET_FETCH_V = 9, DESCRIBE_V = 5, LIST_V = 5, DELETE_V = 2 };

static const char list_help[] =
    "millrace group list [options]               the consumer groups\n"
    "\n"
    "  --state STATE           only those in this state: Stable, Empty, PreparingRebalance, ...\n"
    "\n"
    "  millrace group list\n"
    "  millrace group list --state Empty --json | jq -r '.[].group'\n";
static const char describe_help[] =
    "millrace group describe NAME [--json]       members, their partitions, offsets and lag\n"
    "\n"
    "  millrace group describe billing\n"
    "  millrace group describe billing --json | jq '[.offsets[].lag] | add'\n";
static const char delete_help[] =
    "millrace group delete NAME...               delete groups without members, and their offsets\n"
    "\n"
    "  --topic TOPIC[:P]       only what one group has committed for this topic, or one partition\n"
    "                          of it; again for more. Members may be there that do not read it\n"
    "\n"
    "  millrace group delete old-billing\n"
    "  millrace group delete billing --topic old-orders\n";
static const char explain_help[] =
    "millrace group explain NAME [options]       why the group rebalanced, and how long it took\n"
    "\n"
    "  --admin HOST:PORT       the broker's admin.listeners (default " ADMIN_DEFAULT ")\n"
    "\n"
    "  The newest rebalances come last. JOINING is how long it waited for all members to join "
    "again\n"
    "  (LAST is who came last), SYNCING how long the leader took to assign; of a KIP-848 group, "
    "how\n"
    "  long the assignment took and how long until every member had its part (MOVED partitions).\n"
    "  PAUSE is the longest time a member had nothing to work on.\n"
    "\n"
    "  millrace group explain billing\n";
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

bool group_connect(const struct cli *cli, struct client *c)
{
    if (client_open(c, cli->bootstrap, cli->timeout_ms) == 0)
        return true;
    cli_fail(cli, "%s", c->why);
    client_close(c);
    return false;
}

int group_failed(const struct cli *cli, const char *group, int16_t code)
{
    char buffer[32];
    const char *name = kafka_error_name(code, buffer, sizeof buffer);
    if (code == 68)
        return cli_fail(cli,
                        "%s: it has members.\n  Stop its consumers first; `millrace group describe "
                        "%s` shows them. (%s)",
                        group, group, name);
    if (code == 69)
        return cli_fail(cli,
                        "%s: there is no such group.\n  `millrace group list` shows them. (%s)",
                        group, name);
    if (code == 14)
        return cli_fail(cli, "%s: the broker still loads its groups; try again. (%s)", group, name);
    return cli_fail(cli, "%s: %s", group, name);
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
    if (!group_connect(cli, &c))
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

/* ── describe ── */

/* Marks who has which partition, and adds partitions that are assigned but have no offset yet. */
static int owners_mark(struct client *c, const struct describe_groups_response_groups *g,
                       struct group_offsets *offsets)
{
    for (int32_t m = 0; m < g->members_n; m++) {
        const struct describe_groups_response_groups_members *member = &g->members[m];
        struct consumer_protocol_assignment a = {0};
        struct bytes from = member->member_assignment;
        if (from.n < 2 || load_i16(from.ptr) < 0 ||
            proto_decode_flat(&proto_consumer_protocol_assignment,
                              (int16_t)min_i64(load_i16(from.ptr), 3),
                              bytes_of(from.ptr + 2, from.n - 2), &c->arena, &a, NULL) != 0)
            continue; /* not a consumer's, or none yet */
        for (int32_t t = 0; t < a.assigned_partitions_n; t++)
            for (int32_t k = 0; k < a.assigned_partitions[t].partitions_n; k++) {
                struct bytes topic = a.assigned_partitions[t].topic;
                int32_t partition = a.assigned_partitions[t].partitions[k];
                uint32_t i = 0;
                while (i < offsets->n && (offsets->v[i].partition != partition ||
                                          !bytes_equal(offsets->v[i].topic, topic)))
                    i++;
                if (i == offsets->n) {
                    struct group_offset *more =
                        arena_array(&c->arena, offsets->n + 1ull, sizeof *more);
                    if (more == NULL)
                        return E_NO_MEMORY;
                    memcpy(more, offsets->v, offsets->n * sizeof *more);
                    more[offsets->n++] = (struct group_offset){
                        .topic = topic, .partition = partition, .committed = -1, .end = -1};
                    offsets->v = more;
                }
                offsets->v[i].owner = member->member_id;
                offsets->v[i].client_id = member->client_id;
                offsets->v[i].host = member->client_host;
            }
    }
    return 0;
}

static int by_partition(const void *a, const void *b)
{
    const struct group_offset *x = a, *y = b;
    uint32_t n = x->topic.n < y->topic.n ? x->topic.n : y->topic.n;
    int order = n > 0 ? memcmp(x->topic.ptr, y->topic.ptr, n) : 0;
    if (order == 0 && x->topic.n != y->topic.n)
        order = x->topic.n < y->topic.n ? -1 : 1;
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static void number_cell(struct table *table, int64_t n)
{
    if (n < 0)
        table_cell(table, "-");
    else
        table_cell(table, "%" PRId64, n);
}

static int64_t lag_of(const struct group_offset *o)
{
    return o->committed < 0 || o->end < 0 ? -1 : o->end > o->committed ? o->end - o->committed : 0;
}

static void describe_print(const struct describe_groups_response_groups *g,
                           const struct group_offsets *offsets)
{
    struct table table;
    printf("group %.*s  %.*s  %d members%s%.*s\n", (int)g->group_id.n, g->group_id.ptr,
           (int)g->group_state.n, g->group_state.ptr, g->members_n,
           g->protocol_data.n > 0 ? "  assigned by " : "", (int)g->protocol_data.n,
           g->protocol_data.ptr);
    table_init(&table, "TOPIC|>PARTITION|>COMMITTED|>END|>LAG|MEMBER|CLIENT|HOST");
    for (uint32_t i = 0; i < offsets->n; i++) {
        const struct group_offset *o = &offsets->v[i];
        table_cell(&table, "%.*s", (int)o->topic.n, o->topic.ptr);
        table_cell(&table, "%d", o->partition);
        number_cell(&table, o->committed);
        number_cell(&table, o->end);
        number_cell(&table, lag_of(o));
        table_cell(&table, "%.*s", o->owner.n > 0 ? (int)o->owner.n : 1,
                   o->owner.n > 0 ? (const char *)o->owner.ptr : "-");
        table_cell(&table, "%.*s", (int)o->client_id.n, o->client_id.ptr);
        table_cell(&table, "%.*s", (int)o->host.n, o->host.ptr);
    }
    if (table_rows(&table) > 0) {
        putchar('\n');
        table_print(&table, stdout);
    }
    table_fini(&table);
}

static json_t *number_or_null(int64_t n)
{
    return n < 0 ? json_null() : json_integer(n);
}

static void describe_json(const struct describe_groups_response_groups *g,
                          const struct group_offsets *offsets)
{
    json_t *list = json_array(), *members = json_array();
    for (uint32_t i = 0; i < offsets->n; i++) {
        const struct group_offset *o = &offsets->v[i];
        json_array_append_new(
            list, json_pack("{s:o,s:i,s:o,s:o,s:o,s:o,s:o}", "topic", cli_json_bytes(o->topic),
                            "partition", o->partition, "committed", number_or_null(o->committed),
                            "end", number_or_null(o->end), "lag", number_or_null(lag_of(o)),
                            "metadata", cli_json_bytes(o->metadata), "member",
                            o->owner.n > 0 ? cli_json_bytes(o->owner) : json_null()));
    }
    for (int32_t i = 0; i < g->members_n; i++)
        json_array_append_new(members,
                              json_pack("{s:o,s:o,s:o,s:o}", "member",
                                        cli_json_bytes(g->members[i].member_id), "instance",
                                        cli_json_bytes(g->members[i].group_instance_id), "client",
                                        cli_json_bytes(g->members[i].client_id), "host",
                                        cli_json_bytes(g->members[i].client_host)));
    cli_json(json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "group", cli_json_bytes(g->group_id), "state",
                       cli_json_bytes(g->group_state), "protocol_type",
                       cli_json_bytes(g->protocol_type), "protocol",
                       cli_json_bytes(g->protocol_data), "members", members, "offsets", list));
}

static int describe_one(const struct cli *cli, struct client *c, const char *name)
{
    struct bytes id = bytes_of_string(name);
    struct describe_groups_request *q = PROTO_NEW(&c->arena, describe_groups_request, 1);
    const void *answer;
    if (q == NULL)
        return cli_fail(cli, "out of memory");
    q->groups = &id;
    q->groups_n = 1;
    if (client_call(c, API_DESCRIBE_GROUPS, DESCRIBE_V, q, &answer, NULL) != 0)
        return cli_fail(cli, "%s", c->why);
    const struct describe_groups_response *r = answer;
    if (r->groups_n != 1)
        return cli_fail(cli, "the broker answers for %d groups instead of one", r->groups_n);
    if (r->groups[0].error_code != 0)
        return group_failed(cli, name, r->groups[0].error_code);
    if (bytes_equal_string(r->groups[0].group_state, "Dead"))
        return group_failed(cli, name, 69);
    struct group_offsets offsets;
    int rc = group_offsets_ask(c, name, &offsets);
    if (rc > 0)
        return group_failed(cli, name, (int16_t)rc);
    if (rc == 0)
        rc = owners_mark(c, &r->groups[0], &offsets);
    int64_t *end = rc != 0 ? NULL : arena_array(&c->arena, offsets.n + 1ull, sizeof *end);
    if (end == NULL)
        return cli_fail(cli, "%s", rc != 0 ? c->why : "too many offsets for one answer");
    if (offsets.n > 0)
        qsort(offsets.v, offsets.n, sizeof *offsets.v, by_partition);
    if (group_list_offsets(c, offsets.v, offsets.n, TIME_END, end) != 0)
        return cli_fail(cli, "%s", c->why);
    for (uint32_t i = 0; i < offsets.n; i++)
        offsets.v[i].end = end[i];
    if (cli->is_json)
        describe_json(&r->groups[0], &offsets);
    else
        describe_print(&r->groups[0], &offsets);
    return cli_finish(cli);
}

/* The names behind the global options; false: the command ends with *status. */
static bool take_names(struct cli *cli, int argc, char **argv, int most, int *status)
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

static int group_describe(struct cli *cli, int argc, char **argv)
{
    struct client c;
    int status;
    if (!take_names(cli, argc, argv, 1, &status))
        return status;
    if (!group_connect(cli, &c))
        return CLI_FAILED;
    status = describe_one(cli, &c, argv[optind]);
    client_close(&c);
    return status;
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
    if (!group_connect(cli, &c))
        return CLI_FAILED;
    status = topics_n > 0 ? group_forget(cli, &c, argv[optind], topics, topics_n)
                          : delete_groups(cli, &c, argv + optind, n);
    client_close(&c);
    return status;
}

/* ── explain ── */

/* "/groups/NAME/rebalances", with what is no letter or digit escaped. */
static void explain_path(const char *name, char *to, size_t to_n)
{
    size_t at = (size_t)snprintf(to, to_n, "/groups/");
    for (; *name != 0 && at + 32 < to_n; name++) {
        uint8_t c = (uint8_t)*name;
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                        (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
        at += (size_t)snprintf(to + at, to_n - at, is_plain ? "%c" : "%%%02X", c);
    }
    snprintf(to + at, to_n - at, "/rebalances");
}

static void explain_print(json_t *group)
{
    struct table table;
    size_t i;
    json_t *r, *all = json_object_get(group, "rebalances");
    printf("group %s  %s  generation %" JSON_INTEGER_FORMAT "  %" JSON_INTEGER_FORMAT
           " members  %" JSON_INTEGER_FORMAT " rebalances since the broker started\n\n",
           json_string_value(json_object_get(group, "group")),
           json_string_value(json_object_get(group, "state")),
           json_integer_value(json_object_get(group, "generation")),
           json_integer_value(json_object_get(group, "members")),
           json_integer_value(json_object_get(group, "rebalances_total")));
    table_init(
        &table,
        ">GENERATION|BEGAN|WHY|WHO|>JOINING|>SYNCING|MEMBERS|>DROPPED|LAST|>PAUSE|PAUSED|>MOVED|"
        "REASON");
    json_array_foreach(all, i, r)
    {
        char began[TIME_TEXT_MAX];
        time_text(json_integer_value(json_object_get(r, "began_ms")), began);
        table_cell(&table, "%" JSON_INTEGER_FORMAT,
                   json_integer_value(json_object_get(r, "generation")));
        table_cell(&table, "%s", began);
        table_cell(&table, "%s", json_string_value(json_object_get(r, "cause")));
        table_cell(&table, "%s", json_string_value(json_object_get(r, "member")));
        table_cell(&table, "%.0f ms", json_number_value(json_object_get(r, "joining_ms")));
        table_cell(&table, "%.0f ms", json_number_value(json_object_get(r, "syncing_ms")));
        table_cell(&table, "%" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT,
                   json_integer_value(json_object_get(r, "members_before")),
                   json_integer_value(json_object_get(r, "members_after")));
        table_cell(&table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(r, "late")));
        table_cell(&table, "%s", json_string_value(json_object_get(r, "last_to_join")));
        table_cell(&table, "%.0f ms", json_number_value(json_object_get(r, "longest_pause_ms")));
        table_cell(&table, "%s", json_string_value(json_object_get(r, "paused")));
        table_cell(&table, "%" JSON_INTEGER_FORMAT,
                   json_integer_value(json_object_get(r, "moved")));
        table_cell(&table, "%s", json_string_value(json_object_get(r, "reason")));
    }
    table_print(&table, stdout);
    table_fini(&table);
}

static int explain_report(const struct cli *cli, const char *admin, const char *name)
{
    char path[2048], *text;
    explain_path(name, path, sizeof path);
    int status = admin_get(admin, path, cli->timeout_ms, &text);
    json_t *group = status == 200 ? json_loads(text, 0, NULL) : NULL;
    if (group != NULL && cli->is_json)
        cli_json(json_incref(group));
    else if (group != NULL)
        explain_print(group);
    else if (status < 0)
        status = admin_failed(cli, admin);
    else if (status == 404)
        status = group_failed(cli, name, 69);
    else
        status = cli_fail(cli, "%s answers %d: %.200s", admin, status, text);
    free(text);
    if (group == NULL)
        return status;
    json_decref(group);
    return cli_finish(cli);
}

static int group_explain_run(struct cli *cli, int argc, char **argv)
{
    enum { ADMIN = CLI_OPTION_OWN };
    static const struct option options[] = {{"admin", required_argument, NULL, ADMIN}, CLI_OPTIONS};
    const char *admin = ADMIN_DEFAULT;
    int option, status = CLI_OK;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0)
        if (option == ADMIN)
            admin = optarg;
    if (option == CLI_OPTION_END)
        return status;
    if (argc - optind != 1)
        return cli_usage(cli, "expected one name");
    return explain_report(cli, admin, argv[optind]);
}

int group_command(struct cli *cli, int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {"list", group_list, "the groups", list_help},
        {"describe", group_describe, "one group", describe_help},
        {"reset", group_reset, "move offsets", group_reset_help},
        {"delete", group_delete, "delete groups", delete_help},
        {"explain", group_explain_run, "why it rebalanced", explain_help},
    };
    return cli_dispatch(cli, commands, array_n(commands), group_help, argc, argv);
}
