/*
 * group_reset.c - `millrace group reset`: committed offsets of a group without members are moved.
 *
 * Owner: the process, which has one thread.
 *
 * Without --execute it only shows what it would do: where each partition stands and where it would
 * go. Offsets beyond what the partition holds are moved to its nearest end.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "group.h"
#include "parse.h"
#include "table.h"

enum { API_METADATA = 3, API_OFFSET_COMMIT = 8, METADATA_V = 12, OFFSET_COMMIT_V = 9 };
enum { TOPICS_MAX = 64 };

const char group_reset_help[] =
    "millrace group reset NAME --to WHERE [options]   move the committed offsets of a group\n"
    "\n"
    "  --to WHERE              beginning, end, an offset, -N (the last N), @MILLISECONDS or a "
    "date\n"
    "  --topic TOPIC[:P]       this topic, or one partition of it; again for more (default: all\n"
    "                          partitions the group has committed)\n"
    "  --execute               do it; without it only show what would be done\n"
    "\n"
    "  The group must have no members: stop its consumers first.\n"
    "\n"
    "  millrace group reset billing --to beginning --topic orders\n"
    "  millrace group reset billing --to 2026-01-31T12:00:00Z --execute\n";

/* Owner: the command. */
struct reset {
    struct position to;
    bool has_to, is_execute;
    uint32_t topics_n;
    char *topics[TOPICS_MAX];
    struct group_offsets offsets; /* what is moved; committed = where it stands now */
    int64_t *first, *end, *goal;
};

/* "orders:3" -> "orders" and 3; without a number -1. */
static int32_t split_partition(char *text)
{
    char *colon = strrchr(text, ':');
    int64_t n = -1;
    if (colon == NULL || !parse_number(colon + 1, 0, INT32_MAX, &n))
        return -1;
    *colon = 0;
    return (int32_t)n;
}

static int64_t committed_of(const struct group_offsets *all, struct bytes topic, int32_t partition)
{
    for (uint32_t i = 0; i < all->n; i++)
        if (all->v[i].partition == partition && bytes_equal(all->v[i].topic, topic))
            return all->v[i].committed;
    return -1;
}

/* Adds the partitions of one --topic. 0, E_ with c->why, or a Kafka code. */
static int topic_add(struct client *c, char *text, const struct group_offsets *all, struct reset *r)
{
    int32_t only = split_partition(text);
    struct metadata_request *q = PROTO_NEW(&c->arena, metadata_request, 1);
    struct metadata_request_topics *topic = PROTO_NEW(&c->arena, metadata_request_topics, 1);
    const void *answer;
    if (q == NULL || topic == NULL)
        return E_NO_MEMORY;
    topic->name = bytes_of_string(text);
    q->topics = topic;
    q->topics_n = 1;
    q->allow_auto_topic_creation = false;
    int rc = client_call(c, API_METADATA, METADATA_V, q, &answer, NULL);
    if (rc != 0)
        return rc;
    const struct metadata_response *m = answer;
    if (m->topics_n != 1 || m->topics[0].error_code != 0)
        return m->topics_n == 1 && m->topics[0].error_code > 0 ? m->topics[0].error_code : 3;
    uint64_t n = r->offsets.n + (uint64_t)m->topics[0].partitions_n;
    struct group_offset *more = arena_array(&c->arena, n + 1, sizeof *more);
    if (more == NULL)
        return E_NO_MEMORY;
    memcpy(more, r->offsets.v, r->offsets.n * sizeof *more);
    r->offsets.v = more;
    for (int32_t i = 0; i < m->topics[0].partitions_n; i++) {
        int32_t partition = m->topics[0].partitions[i].partition_index;
        if (only >= 0 && partition != only)
            continue;
        more[r->offsets.n++] =
            (struct group_offset){.topic = topic->name,
                                  .partition = partition,
                                  .committed = committed_of(all, topic->name, partition)};
    }
    return 0;
}

static int goals_find(struct client *c, struct reset *r)
{
    uint32_t n = r->offsets.n;
    const struct group_offset *v = r->offsets.v;
    r->first = arena_array(&c->arena, n + 1ull, sizeof *r->first);
    r->end = arena_array(&c->arena, n + 1ull, sizeof *r->end);
    r->goal = arena_array(&c->arena, n + 1ull, sizeof *r->goal);
    if (r->first == NULL || r->end == NULL || r->goal == NULL)
        return E_NO_MEMORY;
    int rc = group_list_offsets(c, v, n, TIME_BEGINNING, r->first);
    if (rc == 0)
        rc = group_list_offsets(c, v, n, TIME_END, r->end);
    if (rc == 0 && r->to.kind == POSITION_TIME)
        rc = group_list_offsets(c, v, n, r->to.value, r->goal);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        int64_t goal = r->to.kind == POSITION_BEGINNING ? r->first[i]
                       : r->to.kind == POSITION_END     ? r->end[i]
                       : r->to.kind == POSITION_OFFSET  ? r->to.value
                       : r->to.kind == POSITION_TAIL    ? r->end[i] - r->to.value
                       : r->goal[i] < 0                 ? r->end[i]
                                                        : r->goal[i];
        r->goal[i] = min_i64(max_i64(goal, r->first[i]), r->end[i]);
    }
    return rc;
}

/* 0, E_ with c->why, or a Kafka code: the first there is. */
static int commit(struct client *c, const char *group, const struct reset *r)
{
    uint32_t n = r->offsets.n;
    struct offset_commit_request *q = PROTO_NEW(&c->arena, offset_commit_request, 1);
    struct offset_commit_request_topics *topics =
        PROTO_NEW(&c->arena, offset_commit_request_topics, n);
    struct offset_commit_request_topics_partitions *parts =
        PROTO_NEW(&c->arena, offset_commit_request_topics_partitions, n);
    const void *answer;
    if (q == NULL || topics == NULL || parts == NULL)
        return E_NO_MEMORY;
    q->group_id = bytes_of_string(group);
    q->member_id = bytes_of("", 0);
    q->topics = topics;
    for (uint32_t i = 0; i < n; i++) {
        parts[i].partition_index = r->offsets.v[i].partition;
        parts[i].committed_offset = r->goal[i];
        parts[i].committed_metadata = bytes_of("", 0);
        if (i == 0 || !bytes_equal(r->offsets.v[i].topic, r->offsets.v[i - 1].topic)) {
            topics[q->topics_n].name = r->offsets.v[i].topic;
            topics[q->topics_n++].partitions = &parts[i];
        }
        topics[q->topics_n - 1].partitions_n++;
    }
    int rc = client_call(c, API_OFFSET_COMMIT, OFFSET_COMMIT_V, q, &answer, NULL);
    const struct offset_commit_response *a = answer;
    for (int32_t t = 0; rc == 0 && t < a->topics_n; t++)
        for (int32_t k = 0; rc == 0 && k < a->topics[t].partitions_n; k++)
            rc = a->topics[t].partitions[k].error_code;
    return rc;
}

static int report(const struct cli *cli, const struct reset *r)
{
    struct table table;
    json_t *all = json_array();
    table_init(&table, "TOPIC|>PARTITION|>WAS|>NOW|>FIRST|>END");
    for (uint32_t i = 0; i < r->offsets.n; i++) {
        const struct group_offset *o = &r->offsets.v[i];
        table_cell(&table, "%.*s", (int)o->topic.n, o->topic.ptr);
        table_cell(&table, "%d", o->partition);
        if (o->committed < 0)
            table_cell(&table, "-");
        else
            table_cell(&table, "%" PRId64, o->committed);
        table_cell(&table, "%" PRId64, r->goal[i]);
        table_cell(&table, "%" PRId64, r->first[i]);
        table_cell(&table, "%" PRId64, r->end[i]);
        json_array_append_new(all,
                              json_pack("{s:o,s:i,s:o,s:I,s:b}", "topic", cli_json_bytes(o->topic),
                                        "partition", o->partition, "was",
                                        o->committed < 0 ? json_null() : json_integer(o->committed),
                                        "now", (json_int_t)r->goal[i], "executed", r->is_execute));
    }
    if (cli->is_json)
        cli_json(json_incref(all));
    else
        table_print(&table, stdout);
    json_decref(all);
    table_fini(&table);
    if (!cli->is_json && !r->is_execute)
        printf("\nNothing was changed; with --execute it is.\n");
    return cli_finish(cli);
}

static int reset_run(const struct cli *cli, struct client *c, const char *group, struct reset *r)
{
    struct group_offsets all;
    int rc = group_offsets_ask(c, group, &all);
    if (rc == 0 && r->topics_n == 0)
        r->offsets = all;
    for (uint32_t i = 0; rc == 0 && i < r->topics_n; i++)
        rc = topic_add(c, r->topics[i], &all, r);
    if (rc == 0 && r->offsets.n == 0)
        return cli_fail(
            cli, "%s: it has committed nothing; --topic says which partitions are meant.", group);
    if (rc == 0)
        rc = goals_find(c, r);
    if (rc == 0 && r->is_execute)
        rc = commit(c, group, r);
    if (rc < 0)
        return cli_fail(cli, "%s", c->why[0] != 0 ? c->why : error_text(rc));
    if (rc > 0)
        return group_failed(cli, group, rc == 25 || rc == 27 ? 68 : (int16_t)rc);
    return report(cli, r);
}

int group_reset(struct cli *cli, int argc, char **argv)
{
    enum { TO = CLI_OPTION_OWN, TOPIC, EXECUTE };
    static const struct option options[] = {{"to", required_argument, NULL, TO},
                                            {"topic", required_argument, NULL, TOPIC},
                                            {"execute", no_argument, NULL, EXECUTE},
                                            CLI_OPTIONS};
    struct reset r = {0};
    int option, status = CLI_OK;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0) {
        if (option == TO && !parse_position(optarg, &r.to))
            return cli_usage(cli, "--to %s: expected a position", optarg);
        r.has_to |= option == TO;
        r.is_execute |= option == EXECUTE;
        if (option == TOPIC && r.topics_n == TOPICS_MAX)
            return cli_usage(cli, "--topic: at most %d of them", TOPICS_MAX);
        if (option == TOPIC)
            r.topics[r.topics_n++] = optarg;
    }
    if (option == CLI_OPTION_END)
        return status;
    if (argc - optind != 1 || !r.has_to)
        return cli_usage(cli, "expected one name and --to");
    struct client c;
    if (!group_connect(cli, &c))
        return CLI_FAILED;
    status = reset_run(cli, &c, argv[optind], &r);
    client_close(&c);
    return status;
}
