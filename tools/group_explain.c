/*
 * group_explain.c - `millrace group explain`: why a group rebalanced, and how evenly its work is
 * spread.
 *
 * Owner: the process, which has one thread.
 *
 * The rebalances are what the broker remembers (the admin listener of millraced). Rates and lag are
 * Kafka's protocol: offsets and ends of all partitions, asked for twice.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "admin.h"
#include "group.h"
#include "parse.h"
#include "table.h"

enum { PAUSES_SHOWN = 3, PARTITIONS_SHOWN = 10 };

const char group_explain_help[] =
    "millrace group explain NAME [options]       why the group rebalanced, how long it took, and "
    "how\n"
    "                                            evenly its work is spread\n"
    "\n"
    "  --admin HOST:PORT       the broker's admin.listeners (default " ADMIN_DEFAULT ")\n"
    "  --window TIME           how long rates are measured (default 1s); 0: no rates, no lag\n"
    "\n"
    "  The newest rebalances come last. JOINING is how long it waited for all members to join "
    "again\n"
    "  (LAST is who came last), SYNCING how long the leader took to assign; of a KIP-848 group, "
    "how\n"
    "  long the assignment took and how long until every member had its part (MOVED partitions).\n"
    "  PAUSED is who had nothing to work on for how long, the longest first; --json has up to 16.\n"
    "  Then the partitions that are most behind: records that came in, and that were committed.\n"
    "\n"
    "  millrace group explain billing\n"
    "  millrace group explain billing --json | jq .balance.lag_imbalance\n";

/* ── rates and lag ── */

/* What one partition had to do in the window. */
struct load {
    const struct group_offset *offset; /* at its end */
    double in_s, out_s;                /* records per second */
    int64_t lag;
};
struct balance {
    struct load *v; /* the most lag first, then the highest rate */
    uint32_t n;
    double seconds;
    double in_s, out_s;
    int64_t lag;
};

static double clock_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_s(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&t, &t) != 0)
        continue;
}

static const struct group_offset *offset_find(const struct group_offsets *all,
                                              const struct group_offset *o)
{
    for (uint32_t i = 0; i < all->n; i++)
        if (all->v[i].partition == o->partition && bytes_equal(all->v[i].topic, o->topic))
            return &all->v[i];
    return NULL;
}

static int by_lag(const void *a, const void *b)
{
    const struct load *x = a, *y = b;
    if (x->lag != y->lag)
        return x->lag < y->lag ? 1 : -1;
    return (x->in_s < y->in_s) - (x->in_s > y->in_s);
}

static double rate_of(int64_t from, int64_t to, double seconds)
{
    return from < 0 || to < from ? 0 : (double)(to - from) / seconds;
}

static bool balance_make(struct client *c, const struct group_offsets *before,
                         const struct group_offsets *after, double seconds, struct balance *b)
{
    *b = (struct balance){.seconds = seconds};
    b->v = arena_array(&c->arena, after->n + 1ull, sizeof *b->v);
    if (b->v == NULL)
        return false;
    for (uint32_t i = 0; i < after->n; i++) {
        const struct group_offset *o = &after->v[i], *was = offset_find(before, o);
        struct load *l = &b->v[b->n++];
        *l = (struct load){.offset = o, .lag = max_i64(group_lag(o), 0)};
        if (was != NULL) {
            l->in_s = rate_of(was->end, o->end, seconds);
            l->out_s = rate_of(was->committed, o->committed, seconds);
        }
        b->in_s += l->in_s;
        b->out_s += l->out_s;
        b->lag += l->lag;
    }
    if (b->n > 0)
        qsort(b->v, b->n, sizeof *b->v, by_lag);
    return true;
}

/* How many times the mean the greatest part is; 0: there is nothing. */
static double imbalance(double greatest, double all, uint32_t n)
{
    return all > 0 ? greatest * n / all : 0;
}

static const struct load *busiest(const struct balance *b)
{
    const struct load *most = b->v;
    for (uint32_t i = 1; i < b->n; i++)
        if (b->v[i].in_s > most->in_s)
            most = &b->v[i];
    return most;
}

static void share_print(const char *what, const struct load *l, double part, double all, uint32_t n)
{
    const struct group_offset *o = l->offset;
    printf("  %s: %.*s-%d has %.0f %% of it, %.1f times the mean; %.*s has that partition\n", what,
           (int)o->topic.n, o->topic.ptr, o->partition, 100 * part / all, imbalance(part, all, n),
           o->owner.n > 0 ? (int)o->owner.n : 6,
           o->owner.n > 0 ? (const char *)o->owner.ptr : "nobody");
}

static void balance_print(const struct balance *b)
{
    struct table table;
    printf("\n%u partitions in %.1f s: %.0f records/s came in, %.0f were committed, %" PRId64
           " are behind\n",
           b->n, b->seconds, b->in_s, b->out_s, b->lag);
    if (b->n == 0)
        return;
    if (b->lag > 0)
        share_print("lag", b->v, (double)b->v->lag, (double)b->lag, b->n);
    if (b->in_s > 0)
        share_print("rate", busiest(b), busiest(b)->in_s, b->in_s, b->n);
    table_init(&table, "TOPIC|>PARTITION|>IN/S|>COMMITTED/S|>LAG|MEMBER");
    for (uint32_t i = 0; i < b->n && i < PARTITIONS_SHOWN; i++) {
        const struct load *l = &b->v[i];
        table_cell(&table, "%.*s", (int)l->offset->topic.n, l->offset->topic.ptr);
        table_cell(&table, "%d", l->offset->partition);
        table_cell(&table, "%.0f", l->in_s);
        table_cell(&table, "%.0f", l->out_s);
        table_cell(&table, "%" PRId64, l->lag);
        group_owner_cell(&table, l->offset->owner);
    }
    putchar('\n');
    table_print(&table, stdout);
    table_fini(&table);
    if (b->n > PARTITIONS_SHOWN)
        printf("and %u more; --json has all\n", b->n - PARTITIONS_SHOWN);
}

static json_t *balance_json(const struct balance *b)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < b->n; i++) {
        const struct load *l = &b->v[i];
        json_array_append_new(
            list,
            json_pack("{s:o,s:i,s:f,s:f,s:I,s:o}", "topic", cli_json_bytes(l->offset->topic),
                      "partition", l->offset->partition, "in_per_s", l->in_s, "committed_per_s",
                      l->out_s, "lag", (json_int_t)l->lag, "member",
                      l->offset->owner.n > 0 ? cli_json_bytes(l->offset->owner) : json_null()));
    }
    double lag = b->n == 0 ? 0 : (double)b->v->lag, rate = b->n == 0 ? 0 : busiest(b)->in_s;
    return json_pack("{s:f,s:f,s:f,s:I,s:f,s:f,s:o}", "seconds", b->seconds, "in_per_s", b->in_s,
                     "committed_per_s", b->out_s, "lag", (json_int_t)b->lag, "lag_imbalance",
                     imbalance(lag, (double)b->lag, b->n), "rate_imbalance",
                     imbalance(rate, b->in_s, b->n), "partitions", list);
}

/* Prints, or adds to `group`; CLI_OK, or CLI_FAILED when the reason was printed. */
static int balance_report(const struct cli *cli, const char *name, double seconds, json_t *group)
{
    struct client c;
    struct group_lines before, after;
    struct balance b;
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    double began = clock_s();
    int status = group_ask(cli, &c, name, &before);
    if (status == CLI_OK) {
        wait_s(seconds);
        seconds = clock_s() - began;
        status = group_ask(cli, &c, name, &after);
    }
    if (status == CLI_OK && !balance_make(&c, &before.offsets, &after.offsets, seconds, &b))
        status = cli_fail(cli, "out of memory");
    if (status == CLI_OK && cli->is_json)
        json_object_set_new(group, "balance", balance_json(&b));
    else if (status == CLI_OK)
        balance_print(&b);
    client_close(&c);
    return status;
}

/* ── rebalances ── */

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

/* "a 120 ms, b 80 ms, and 3 more" */
static void pauses_cell(struct table *table, json_t *r)
{
    json_t *all = json_object_get(r, "pauses"), *p;
    json_int_t n = json_integer_value(json_object_get(r, "paused_members"));
    char text[512] = "";
    size_t i, at = 0;
    json_array_foreach(all, i, p)
    {
        if (i == PAUSES_SHOWN)
            break;
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.64s %.0f ms", i == 0 ? "" : ", ",
                               json_string_value(json_object_get(p, "member")),
                               json_number_value(json_object_get(p, "ms")));
    }
    if (n > PAUSES_SHOWN)
        snprintf(text + at, sizeof text - at, ", and %" JSON_INTEGER_FORMAT " more",
                 n - PAUSES_SHOWN);
    table_cell(table, "%s", text);
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
    table_init(&table,
               ">GENERATION|BEGAN|WHY|WHO|>JOINING|>SYNCING|MEMBERS|>DROPPED|LAST|PAUSED|>MOVED|"
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
        pauses_cell(&table, r);
        table_cell(&table, "%" JSON_INTEGER_FORMAT,
                   json_integer_value(json_object_get(r, "moved")));
        table_cell(&table, "%s", json_string_value(json_object_get(r, "reason")));
    }
    table_print(&table, stdout);
    table_fini(&table);
}

static int explain_report(const struct cli *cli, const char *admin, const char *name, int window_ms)
{
    char path[2048], *text;
    explain_path(name, path, sizeof path);
    int status = admin_get(admin, path, cli->timeout_ms, &text);
    json_t *group = status == 200 ? json_loads(text, 0, NULL) : NULL;
    if (group != NULL)
        status = CLI_OK;
    else if (status < 0)
        status = admin_failed(cli, admin, status);
    else if (status == 404)
        status = group_failed(cli, name, 69);
    else
        status = cli_fail(cli, "%s answers %d: %.200s", admin, status, text);
    free(text);
    if (group == NULL)
        return status;
    if (!cli->is_json)
        explain_print(group);
    if (window_ms > 0)
        status = balance_report(cli, name, window_ms / 1e3, group);
    if (cli->is_json)
        cli_json(json_incref(group));
    json_decref(group);
    return status == CLI_OK ? cli_finish(cli) : status;
}

int group_explain(struct cli *cli, int argc, char **argv)
{
    enum { ADMIN = CLI_OPTION_OWN, WINDOW };
    static const struct option options[] = {{"admin", required_argument, NULL, ADMIN},
                                            {"window", required_argument, NULL, WINDOW},
                                            CLI_OPTIONS};
    const char *admin = ADMIN_DEFAULT;
    int option, status = CLI_OK, window_ms = 1000;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0) {
        if (option == ADMIN)
            admin = optarg;
        if (option == WINDOW && strcmp(optarg, "0") == 0)
            window_ms = 0;
        else if (option == WINDOW && !parse_duration_ms(optarg, &window_ms))
            return cli_usage(cli, "--window %s: expected a time such as 500ms, 10s or 2m, or 0",
                             optarg);
    }
    if (option == CLI_OPTION_END)
        return status;
    if (argc - optind != 1)
        return cli_usage(cli, "expected one name");
    return explain_report(cli, admin, argv[optind], window_ms);
}
