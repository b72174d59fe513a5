/*
 * group_reset.c - `millrace group reset`: committed offsets of a group without members are moved.
 *
 * Owner: the process, which has one thread.
 *
 * Without --execute it only shows what it would do: where each partition stands and where it would
 * go. Offsets beyond what the partition holds are moved to its nearest end. A plan is a file of
 * lines TOPIC,PARTITION,OFFSET, as --export prints it; kafka-consumer-groups reads and writes the
 * same. The names of its options mean here what they mean there.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "group.h"
#include "parse.h"
#include "table.h"

enum { API_METADATA = 3, API_OFFSET_COMMIT = 8, METADATA_V = 12, OFFSET_COMMIT_V = 9 };
enum { TOPICS_MAX = 64, PLAN_LINES_MAX = 100000, PLAN_LINE_MAX = 512 };

const char group_reset_help[] =
    "millrace group reset NAME --to WHERE [options]   move the committed offsets of a group\n"
    "\n"
    "  --to WHERE              beginning, end, current, an offset, -N (the last N), @MILLISECONDS\n"
    "                          or a date\n"
    "  --shift-by N            by so many records, back with -N\n"
    "  --by-duration TIME      to what came since then: 90m, 12h, 7d, PT1H30M\n"
    "  --from-file FILE        as the lines TOPIC,PARTITION,OFFSET say\n"
    "\n"
    "  --export                print such lines instead of a table; nothing is changed\n"
    "  --topic TOPIC[:P]       this topic, or one partition of it; again for more (default: all\n"
    "                          partitions the group has committed)\n"
    "  --execute               do it; without it only show what would be done\n"
    "\n"
    "  The group must have no members: stop its consumers first. The names that\n"
    "  kafka-consumer-groups gives these options (--to-earliest, --to-datetime, ...) work too.\n"
    "\n"
    "  millrace group reset billing --to beginning --topic orders\n"
    "  millrace group reset billing --to 2026-01-31T12:00:00Z --execute\n"
    "  millrace group reset billing --to current --export > billing.csv\n"
    "  millrace group reset billing --from-file billing.csv --execute\n";

enum reset_kind { RESET_NONE, RESET_POSITION, RESET_CURRENT, RESET_SHIFT, RESET_PLAN };

/* Owner: the command. */
struct reset {
    enum reset_kind kind;
    struct position to;
    int64_t shift;
    const char *plan; /* the file's name */
    bool is_execute, is_export;
    uint32_t topics_n;
    char *topics[TOPICS_MAX];
    struct group_offsets offsets; /* what is moved; committed = where it stands now */
    int64_t *first, *end, *goal;  /* with a plan, goal is filled when it is read */
};

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
    int32_t only = group_split_partition(text);
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
    uint32_t before_n = r->offsets.n;
    uint64_t n = before_n + (uint64_t)m->topics[0].partitions_n;
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
    if (only < 0 || r->offsets.n > before_n)
        return 0;
    snprintf(c->why, sizeof c->why, "%s:%d: there is no such partition", text, only);
    return E_NOT_FOUND;
}

/* "orders,3,120" -> its parts; false when it is no such line. */
static bool plan_line(char *line, char **topic, int64_t *partition, int64_t *offset)
{
    line[strcspn(line, "\r\n")] = 0;
    char *last = strrchr(line, ',');
    if (last == NULL || !parse_number(last + 1, 0, INT64_MAX, offset))
        return false;
    *last = 0;
    char *middle = strrchr(line, ',');
    if (middle == NULL || middle == line || !parse_number(middle + 1, 0, INT32_MAX, partition))
        return false;
    *middle = 0;
    *topic = line;
    return true;
}

/* Takes the partitions and their goals from the file. 0, or E_ with c->why. */
static int plan_read(struct client *c, const struct group_offsets *all, struct reset *r)
{
    char line[PLAN_LINE_MAX], *topic;
    int64_t partition, offset;
    FILE *f = fopen(r->plan, "r");
    if (f == NULL) {
        snprintf(c->why, sizeof c->why, "%s cannot be opened", r->plan);
        return E_NOT_FOUND;
    }
    uint32_t n = 0, number = 0, lines_n = 0;
    while (lines_n <= PLAN_LINES_MAX && fgets(line, sizeof line, f) != NULL)
        lines_n++;
    rewind(f);
    int rc = 0;
    struct group_offset *v = arena_array(&c->arena, lines_n + 1ull, sizeof *v);
    r->goal = arena_array(&c->arena, lines_n + 1ull, sizeof *r->goal);
    while (rc == 0 && v != NULL && r->goal != NULL && fgets(line, sizeof line, f) != NULL) {
        number++;
        if (line[strspn(line, " \t\r\n")] == 0)
            continue;
        if (n == PLAN_LINES_MAX || !plan_line(line, &topic, &partition, &offset)) {
            snprintf(c->why, sizeof c->why, "%s:%u: expected TOPIC,PARTITION,OFFSET, %d at most",
                     r->plan, number, PLAN_LINES_MAX);
            rc = E_MALFORMED;
            break;
        }
        struct bytes name = bytes_of_string(topic);
        void *copy = arena_alloc(&c->arena, name.n);
        if (copy == NULL) {
            rc = E_NO_MEMORY;
            break;
        }
        memcpy(copy, name.ptr, name.n);
        name = bytes_of(copy, name.n);
        v[n] = (struct group_offset){.topic = name,
                                     .partition = (int32_t)partition,
                                     .committed = committed_of(all, name, (int32_t)partition)};
        r->goal[n++] = offset;
    }
    fclose(f);
    r->offsets = (struct group_offsets){v, n};
    return v == NULL || r->goal == NULL ? E_NO_MEMORY : rc;
}

/* Where one partition is to go, before it is held within what the partition has. */
static int64_t goal_of(const struct reset *r, uint32_t i)
{
    int64_t committed = r->offsets.v[i].committed;
    switch (r->kind) {
    case RESET_CURRENT: return committed < 0 ? r->end[i] : committed;
    case RESET_SHIFT:
        if (r->shift > 0 && committed > INT64_MAX - r->shift)
            return INT64_MAX;
        return committed + r->shift;
    case RESET_PLAN: return r->goal[i];
    default: break;
    }
    switch (r->to.kind) {
    case POSITION_BEGINNING: return r->first[i];
    case POSITION_END: return r->end[i];
    case POSITION_OFFSET: return r->to.value;
    case POSITION_TAIL: return r->end[i] - r->to.value;
    default: return r->goal[i] < 0 ? r->end[i] : r->goal[i];
    }
}

/* 0, E_ with c->why, or a Kafka code. */
static int goals_find(struct client *c, struct reset *r)
{
    uint32_t n = r->offsets.n;
    const struct group_offset *v = r->offsets.v;
    r->first = arena_array(&c->arena, n + 1ull, sizeof *r->first);
    r->end = arena_array(&c->arena, n + 1ull, sizeof *r->end);
    if (r->kind != RESET_PLAN)
        r->goal = arena_array(&c->arena, n + 1ull, sizeof *r->goal);
    if (r->first == NULL || r->end == NULL || r->goal == NULL)
        return E_NO_MEMORY;
    int rc = group_list_offsets(c, v, n, TIME_BEGINNING, r->first);
    if (rc == 0)
        rc = group_list_offsets(c, v, n, TIME_END, r->end);
    if (rc == 0 && r->kind == RESET_POSITION && r->to.kind == POSITION_TIME)
        rc = group_list_offsets(c, v, n, r->to.value, r->goal);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        bool has_room = r->first[i] >= 0 && r->end[i] >= 0;
        if (has_room && (r->kind != RESET_SHIFT || v[i].committed >= 0)) {
            r->goal[i] = min_i64(max_i64(goal_of(r, i), r->first[i]), r->end[i]);
            continue;
        }
        snprintf(c->why, sizeof c->why, "%.*s:%d: %s", (int)v[i].topic.n, v[i].topic.ptr,
                 v[i].partition,
                 has_room ? "nothing is committed there that could be shifted"
                          : "there is no such partition");
        rc = E_NOT_FOUND;
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

static int report_plan(const struct cli *cli, const struct reset *r)
{
    for (uint32_t i = 0; i < r->offsets.n; i++)
        printf("%.*s,%d,%" PRId64 "\n", (int)r->offsets.v[i].topic.n, r->offsets.v[i].topic.ptr,
               r->offsets.v[i].partition, r->goal[i]);
    return cli_finish(cli);
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
    if (rc == 0 && r->kind == RESET_PLAN)
        rc = plan_read(c, &all, r);
    else if (rc == 0 && r->topics_n == 0)
        r->offsets = all;
    for (uint32_t i = 0; rc == 0 && i < r->topics_n; i++)
        rc = topic_add(c, r->topics[i], &all, r);
    if (rc == 0 && r->offsets.n == 0 && r->kind == RESET_PLAN)
        return cli_fail(cli, "%s: the plan is empty.", r->plan);
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
    return r->is_export ? report_plan(cli, r) : report(cli, r);
}

/* The options; those of kafka-consumer-groups have a comment. */
enum {
    TO = CLI_OPTION_OWN,
    TOPIC,
    EXECUTE,
    SHIFT_BY,
    BY_DURATION,
    FROM_FILE,
    EXPORT,
    TO_EARLIEST,
    TO_LATEST,
    TO_CURRENT,
    NOTHING
};
static const struct option reset_options[] = {
    {"to", required_argument, NULL, TO},
    {"topic", required_argument, NULL, TOPIC},
    {"execute", no_argument, NULL, EXECUTE},
    {"shift-by", required_argument, NULL, SHIFT_BY},
    {"by-duration", required_argument, NULL, BY_DURATION},
    {"from-file", required_argument, NULL, FROM_FILE},
    {"export", no_argument, NULL, EXPORT},
    {"to-earliest", no_argument, NULL, TO_EARLIEST}, /* theirs, as all below */
    {"to-latest", no_argument, NULL, TO_LATEST},
    {"to-current", no_argument, NULL, TO_CURRENT},
    {"to-offset", required_argument, NULL, TO},
    {"to-datetime", required_argument, NULL, TO},
    {"dry-run", no_argument, NULL, NOTHING},    /* what it does without --execute */
    {"all-topics", no_argument, NULL, NOTHING}, /* what it does without --topic */
    CLI_OPTIONS};

/* Takes an option that says where to go; CLI_OK, or CLI_USAGE and the reason was printed. */
static int take_goal(struct cli *cli, int option, const char *value, struct reset *r)
{
    enum reset_kind kind = RESET_POSITION;
    int64_t ago_ms;
    switch (option) {
    case TO_EARLIEST: r->to = (struct position){POSITION_BEGINNING, 0}; break;
    case TO_LATEST: r->to = (struct position){POSITION_END, 0}; break;
    case TO_CURRENT: kind = RESET_CURRENT; break;
    case FROM_FILE:
        kind = RESET_PLAN;
        r->plan = value;
        break;
    case SHIFT_BY:
        kind = RESET_SHIFT;
        if (!parse_number(value, -INT64_MAX, INT64_MAX, &r->shift))
            return cli_usage(cli, "--shift-by %s: expected a number of records, as -10", value);
        break;
    case BY_DURATION:
        if (!parse_period_ms(value, &ago_ms))
            return cli_usage(cli, "--by-duration %s: expected a time such as 90m, 7d, PT1H30M",
                             value);
        r->to = (struct position){POSITION_TIME, max_i64(clock_read().wall_ms - ago_ms, 0)};
        break;
    default:
        if (strcmp(value, "current") == 0)
            kind = RESET_CURRENT;
        else if (!parse_position(value, &r->to))
            return cli_usage(
                cli,
                "--to %s: expected beginning, end, current, an offset, -N, @MILLISECONDS "
                "or a date",
                value);
    }
    if (r->kind != RESET_NONE)
        return cli_usage(cli, "only one of --to, --shift-by, --by-duration and --from-file");
    r->kind = kind;
    return CLI_OK;
}

int group_reset(struct cli *cli, int argc, char **argv)
{
    struct reset r = {0};
    int option, status = CLI_OK;
    while ((option = cli_next_option(cli, argc, argv, ":h", reset_options, &status)) >= 0) {
        switch (option) {
        case NOTHING: break;
        case EXECUTE: r.is_execute = true; break;
        case EXPORT: r.is_export = true; break;
        case TOPIC:
            if (r.topics_n == TOPICS_MAX)
                return cli_usage(cli, "--topic: at most %d of them", TOPICS_MAX);
            r.topics[r.topics_n++] = optarg;
            break;
        default: status = take_goal(cli, option, optarg, &r);
        }
        if (status != CLI_OK)
            return status;
    }
    if (option == CLI_OPTION_END)
        return status;
    if (argc - optind != 1 || r.kind == RESET_NONE)
        return cli_usage(cli, "expected one name and --to, or where else to go");
    if (r.is_export && r.is_execute)
        return cli_usage(cli, "--export changes nothing: not with --execute");
    if (r.kind == RESET_PLAN && r.topics_n > 0)
        return cli_usage(cli, "--from-file names the partitions: not with --topic");
    struct client c;
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    status = reset_run(cli, &c, argv[optind], &r);
    client_close(&c);
    return status;
}
