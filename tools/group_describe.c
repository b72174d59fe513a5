/*
 * group_describe.c - `millrace group describe`: the members of a group, classic or KIP-848, and per
 * partition what was committed, where the log ends, and who has it.
 *
 * Owner: the process, which has one thread.
 *
 * A group that DescribeGroups does not know is asked for with ConsumerGroupDescribe, as Kafka's own
 * admin client does it the other way round.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "group.h"
#include "table.h"

enum { API_DESCRIBE_GROUPS = 15, API_CONSUMER_GROUP_DESCRIBE = 69 };
/* The versions whose meaning this file knows. */
enum { DESCRIBE_V = 5, CONSUMER_DESCRIBE_V = 1 };
enum { ERROR_NO_SUCH_GROUP = 69 };

const char group_describe_help[] =
    "millrace group describe NAME [--json]       members, their partitions, offsets and lag\n"
    "\n"
    "  millrace group describe billing\n"
    "  millrace group describe billing --json | jq '[.offsets[].lag] | add'\n";

/* ── what is asked ── */

/* The member has this partition; one without an offset is added. */
static int owner_mark(struct client *c, struct group_offsets *offsets, struct bytes topic,
                      int32_t partition, const struct group_member_line *member)
{
    uint32_t i = 0;
    while (i < offsets->n &&
           (offsets->v[i].partition != partition || !bytes_equal(offsets->v[i].topic, topic)))
        i++;
    if (i == offsets->n) {
        struct group_offset *more = arena_array(&c->arena, offsets->n + 1ull, sizeof *more);
        if (more == NULL)
            return E_NO_MEMORY;
        memcpy(more, offsets->v, offsets->n * sizeof *more);
        more[offsets->n++] = (struct group_offset){
            .topic = topic, .partition = partition, .committed = -1, .end = -1};
        offsets->v = more;
    }
    offsets->v[i].owner = member->id;
    offsets->v[i].client_id = member->client_id;
    offsets->v[i].host = member->host;
    return 0;
}

/* What a member of the classic protocol was given; nothing for other kinds than consumers. */
static int classic_mark(struct client *c, struct bytes from, const struct group_member_line *member,
                        struct group_offsets *offsets)
{
    struct consumer_protocol_assignment a = {0};
    int rc = 0;
    if (from.n < 2 || load_i16(from.ptr) < 0 ||
        proto_decode_flat(&proto_consumer_protocol_assignment,
                          (int16_t)min_i64(load_i16(from.ptr), 3),
                          bytes_of(from.ptr + 2, from.n - 2), &c->arena, &a, NULL) != 0)
        return 0;
    for (int32_t t = 0; t < a.assigned_partitions_n; t++)
        for (int32_t k = 0; k < a.assigned_partitions[t].partitions_n && rc == 0; k++)
            rc = owner_mark(c, offsets, a.assigned_partitions[t].topic,
                            a.assigned_partitions[t].partitions[k], member);
    return rc;
}

static int classic_take(struct client *c, const struct describe_groups_response_groups *g,
                        struct group_lines *out)
{
    int rc = 0;
    out->type = "classic";
    out->state = g->group_state;
    out->protocol_type = g->protocol_type;
    out->protocol = g->protocol_data;
    out->members_n = (uint32_t)g->members_n;
    out->members = arena_array(&c->arena, out->members_n + 1ull, sizeof *out->members);
    if (out->members == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < out->members_n && rc == 0; i++) {
        const struct describe_groups_response_groups_members *m = &g->members[i];
        out->members[i] = (struct group_member_line){m->member_id, m->group_instance_id,
                                                     m->client_id, m->client_host, -1};
        rc = classic_mark(c, m->member_assignment, &out->members[i], &out->offsets);
    }
    return rc;
}

static int consumer_take(struct client *c, const struct consumer_group_describe_response_groups *g,
                         struct group_lines *out)
{
    int rc = 0;
    out->type = "consumer";
    out->state = g->group_state;
    out->protocol_type = bytes_of_string("consumer");
    out->protocol = g->assignor_name;
    out->members_n = (uint32_t)g->members_n;
    out->members = arena_array(&c->arena, out->members_n + 1ull, sizeof *out->members);
    if (out->members == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < out->members_n; i++) {
        const struct consumer_group_describe_response_groups_members *m = &g->members[i];
        out->members[i] = (struct group_member_line){m->member_id, m->instance_id, m->client_id,
                                                     m->client_host, m->member_epoch};
        for (int32_t t = 0; t < m->assignment.topic_partitions_n; t++)
            for (int32_t k = 0; k < m->assignment.topic_partitions[t].partitions_n && rc == 0; k++)
                rc = owner_mark(c, &out->offsets, m->assignment.topic_partitions[t].topic_name,
                                m->assignment.topic_partitions[t].partitions[k], &out->members[i]);
    }
    return rc;
}

/* 0, E_ with c->why, or a positive Kafka code. */
static int consumer_ask(struct client *c, struct bytes id, struct group_lines *out)
{
    struct consumer_group_describe_request *q =
        PROTO_NEW(&c->arena, consumer_group_describe_request, 1);
    const void *answer;
    if (client_version(c, API_CONSUMER_GROUP_DESCRIBE, CONSUMER_DESCRIBE_V) < 0)
        return ERROR_NO_SUCH_GROUP;
    if (q == NULL)
        return E_NO_MEMORY;
    q->group_ids = &id;
    q->group_ids_n = 1;
    int rc = client_call(c, API_CONSUMER_GROUP_DESCRIBE, CONSUMER_DESCRIBE_V, q, &answer, NULL);
    if (rc != 0)
        return rc;
    const struct consumer_group_describe_response *r = answer;
    if (r->groups_n != 1)
        return 1;
    return r->groups[0].error_code != 0 ? (int)max_i64(r->groups[0].error_code, 1)
                                        : consumer_take(c, &r->groups[0], out);
}

static int members_ask(struct client *c, struct bytes id, struct group_lines *out)
{
    struct describe_groups_request *q = PROTO_NEW(&c->arena, describe_groups_request, 1);
    const void *answer;
    if (q == NULL)
        return E_NO_MEMORY;
    q->groups = &id;
    q->groups_n = 1;
    int rc = client_call(c, API_DESCRIBE_GROUPS, DESCRIBE_V, q, &answer, NULL);
    if (rc != 0)
        return rc;
    const struct describe_groups_response *r = answer;
    if (r->groups_n != 1)
        return 1;
    int16_t error = r->groups[0].error_code;
    if (error == ERROR_NO_SUCH_GROUP ||
        (error == 0 && bytes_equal_string(r->groups[0].group_state, "Dead")))
        return consumer_ask(c, id, out);
    return error != 0 ? (int)max_i64(error, 1) : classic_take(c, &r->groups[0], out);
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

int group_ask(const struct cli *cli, struct client *c, const char *name, struct group_lines *out)
{
    *out = (struct group_lines){.name = bytes_of_string(name)};
    int rc = group_offsets_ask(c, name, &out->offsets);
    if (rc == 0)
        rc = members_ask(c, out->name, out);
    if (rc > 0)
        return group_failed(cli, name, (int16_t)rc);
    int64_t *end = rc != 0 ? NULL : arena_array(&c->arena, out->offsets.n + 1ull, sizeof *end);
    if (end == NULL)
        return cli_fail(cli, "%s",
                        rc == 0 || rc == E_NO_MEMORY ? "too much for one answer" : c->why);
    if (out->offsets.n > 0)
        qsort(out->offsets.v, out->offsets.n, sizeof *out->offsets.v, by_partition);
    if (group_list_offsets(c, out->offsets.v, out->offsets.n, TIME_END, end) != 0)
        return cli_fail(cli, "%s", c->why);
    for (uint32_t i = 0; i < out->offsets.n; i++)
        out->offsets.v[i].end = end[i];
    return CLI_OK;
}

int64_t group_lag(const struct group_offset *o)
{
    return o->committed < 0 || o->end < 0 ? -1 : o->end > o->committed ? o->end - o->committed : 0;
}

/* ── what is shown ── */

static void number_cell(struct table *table, int64_t n)
{
    if (n < 0)
        table_cell(table, "-");
    else
        table_cell(table, "%" PRId64, n);
}

void group_owner_cell(struct table *table, struct bytes owner)
{
    table_cell(table, "%.*s", owner.n > 0 ? (int)owner.n : 1,
               owner.n > 0 ? (const char *)owner.ptr : "-");
}

static void describe_print(const struct group_lines *g)
{
    struct table table;
    printf("group %.*s  %s  %.*s  %u members%s%.*s\n", (int)g->name.n, g->name.ptr, g->type,
           (int)g->state.n, g->state.ptr, g->members_n, g->protocol.n > 0 ? "  assigned by " : "",
           (int)g->protocol.n, g->protocol.ptr);
    table_init(&table, "TOPIC|>PARTITION|>COMMITTED|>END|>LAG|MEMBER|CLIENT|HOST");
    for (uint32_t i = 0; i < g->offsets.n; i++) {
        const struct group_offset *o = &g->offsets.v[i];
        table_cell(&table, "%.*s", (int)o->topic.n, o->topic.ptr);
        table_cell(&table, "%d", o->partition);
        number_cell(&table, o->committed);
        number_cell(&table, o->end);
        number_cell(&table, group_lag(o));
        group_owner_cell(&table, o->owner);
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

static void describe_json(const struct group_lines *g)
{
    json_t *list = json_array(), *members = json_array();
    for (uint32_t i = 0; i < g->offsets.n; i++) {
        const struct group_offset *o = &g->offsets.v[i];
        json_array_append_new(
            list, json_pack("{s:o,s:i,s:o,s:o,s:o,s:o,s:o}", "topic", cli_json_bytes(o->topic),
                            "partition", o->partition, "committed", number_or_null(o->committed),
                            "end", number_or_null(o->end), "lag", number_or_null(group_lag(o)),
                            "metadata", cli_json_bytes(o->metadata), "member",
                            o->owner.n > 0 ? cli_json_bytes(o->owner) : json_null()));
    }
    for (uint32_t i = 0; i < g->members_n; i++)
        json_array_append_new(members, json_pack("{s:o,s:o,s:o,s:o,s:o}", "member",
                                                 cli_json_bytes(g->members[i].id), "instance",
                                                 cli_json_bytes(g->members[i].instance), "client",
                                                 cli_json_bytes(g->members[i].client_id), "host",
                                                 cli_json_bytes(g->members[i].host), "epoch",
                                                 number_or_null(g->members[i].epoch)));
    cli_json(json_pack("{s:o,s:s,s:o,s:o,s:o,s:o,s:o}", "group", cli_json_bytes(g->name), "type",
                       g->type, "state", cli_json_bytes(g->state), "protocol_type",
                       cli_json_bytes(g->protocol_type), "protocol", cli_json_bytes(g->protocol),
                       "members", members, "offsets", list));
}

int group_describe(struct cli *cli, int argc, char **argv)
{
    struct client c;
    struct group_lines lines;
    int status;
    if (!group_take_names(cli, argc, argv, 1, &status))
        return status;
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    status = group_ask(cli, &c, argv[optind], &lines);
    if (status == CLI_OK && cli->is_json)
        describe_json(&lines);
    else if (status == CLI_OK)
        describe_print(&lines);
    client_close(&c);
    return status == CLI_OK ? cli_finish(cli) : status;
}
