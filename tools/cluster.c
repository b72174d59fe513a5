/*
 * cluster.c - `millrace cluster` (brokers, controller, id, features) and `millrace api` (versions
 * of each API).
 *
 * Owner: the process, which has one thread.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "client.h"
#include "messages.h"
#include "table.h"

enum { API_VERSIONS = 18, API_VERSIONS_V = 4, API_DESCRIBE_CLUSTER = 60, DESCRIBE_CLUSTER_V = 2 };
enum { ENDPOINT_BROKERS = 1 };

const char cluster_help[] =
    "millrace cluster [--json]                   the cluster: its id, brokers, controller and "
    "features\n"
    "\n"
    "  millrace cluster\n"
    "  millrace cluster --bootstrap-server broker.example:9092 --json | jq .brokers\n";
const char api_help[] =
    "millrace api [--json]                       the APIs a broker serves and their versions\n"
    "\n"
    "  BROKER is what the broker lists, OURS what this program can speak, USED what both would "
    "use. An API that only\n"
    "  one side knows has '-' on the other.\n"
    "\n"
    "  millrace api\n"
    "  millrace api --json | jq '.[] | select(.name == \"Produce\")'\n";

/* Takes the global options of a command without its own; false: ends with *status. */
static bool take_options(struct cli *cli, int argc, char **argv, int *status)
{
    static const struct option options[] = {CLI_OPTIONS};
    *status = CLI_OK;
    int option;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, status)) >= 0)
        continue;
    if (option == CLI_OPTION_END)
        return false;
    if (argc == optind)
        return true;
    *status = cli_usage(cli, "'%s' is one word too many", argv[optind]);
    return false;
}

static int ask(struct client *c, const struct describe_cluster_response **cluster,
               const struct api_versions_response **versions)
{
    struct describe_cluster_request *request = PROTO_NEW(&c->arena, describe_cluster_request, 1);
    struct api_versions_request *features = PROTO_NEW(&c->arena, api_versions_request, 1);
    if (request == NULL || features == NULL)
        return E_NO_MEMORY;
    request->endpoint_type = ENDPOINT_BROKERS;
    features->client_software_name = bytes_of_string("millrace");
    features->client_software_version = bytes_of_string("1");
    const void *out;
    int rc = client_call(c, API_DESCRIBE_CLUSTER, DESCRIBE_CLUSTER_V, request, &out, NULL);
    *cluster = out;
    if (rc == 0)
        rc = client_call(c, API_VERSIONS, API_VERSIONS_V, features, &out, NULL);
    *versions = out;
    return rc;
}

/* The finalized level of a feature; -1 when it is not finalized. */
static int level_of(const struct api_versions_response *versions, struct bytes name)
{
    for (int32_t i = 0; i < versions->finalized_features_n; i++)
        if (bytes_equal(versions->finalized_features[i].name, name))
            return versions->finalized_features[i].max_version_level;
    return -1;
}

static void cluster_print(const struct describe_cluster_response *cluster,
                          const struct api_versions_response *versions)
{
    printf("cluster %.*s  controller %d\n\n", (int)cluster->cluster_id.n, cluster->cluster_id.ptr,
           cluster->controller_id);
    struct table table;
    table_init(&table, ">BROKER|ADDRESS|RACK|STATE");
    for (int32_t i = 0; i < cluster->brokers_n; i++) {
        const struct describe_cluster_response_brokers *b = &cluster->brokers[i];
        table_cell(&table, "%d", b->broker_id);
        table_cell(&table, "%.*s:%d", (int)b->host.n, b->host.ptr, b->port);
        table_cell(&table, "%.*s", (int)b->rack.n,
                   b->rack.ptr == NULL ? (const uint8_t *)"" : b->rack.ptr);
        table_cell(&table, "%s", b->is_fenced ? "fenced" : "active");
    }
    table_print(&table, stdout);
    table_fini(&table);
    table_init(&table, "FEATURE|>LEVEL|SUPPORTED");
    for (int32_t i = 0; i < versions->supported_features_n; i++) {
        const struct api_versions_response_supported_features *f = &versions->supported_features[i];
        int level = level_of(versions, f->name);
        table_cell(&table, "%.*s", (int)f->name.n, f->name.ptr);
        table_cell(&table, level < 0 ? "-" : "%d", level);
        table_cell(&table, "%d-%d", f->min_version, f->max_version);
    }
    if (table_rows(&table) > 0) {
        putchar('\n');
        table_print(&table, stdout);
    }
    table_fini(&table);
}

static void cluster_json(const struct describe_cluster_response *cluster,
                         const struct api_versions_response *versions)
{
    json_t *brokers = json_array(), *features = json_array();
    for (int32_t i = 0; i < cluster->brokers_n; i++) {
        const struct describe_cluster_response_brokers *b = &cluster->brokers[i];
        json_array_append_new(brokers,
                              json_pack("{s:i,s:o,s:i,s:o,s:b}", "id", b->broker_id, "host",
                                        cli_json_bytes(b->host), "port", b->port, "rack",
                                        cli_json_bytes(b->rack), "is_fenced", b->is_fenced));
    }
    for (int32_t i = 0; i < versions->supported_features_n; i++) {
        const struct api_versions_response_supported_features *f = &versions->supported_features[i];
        json_array_append_new(features,
                              json_pack("{s:o,s:i,s:i,s:i}", "name", cli_json_bytes(f->name),
                                        "level", level_of(versions, f->name), "min", f->min_version,
                                        "max", f->max_version));
    }
    cli_json(json_pack("{s:o,s:i,s:o,s:o}", "cluster_id", cli_json_bytes(cluster->cluster_id),
                       "controller", cluster->controller_id, "brokers", brokers, "features",
                       features));
}

int cluster_command(struct cli *cli, int argc, char **argv)
{
    int status;
    if (!take_options(cli, argc, argv, &status))
        return status;
    struct client c;
    const struct describe_cluster_response *cluster;
    const struct api_versions_response *versions;
    char error[32];
    if (client_open(&c, cli->bootstrap, cli->timeout_ms) != 0 ||
        ask(&c, &cluster, &versions) != 0) {
        status = cli_fail(cli, "%s", c.why);
    } else if (cluster->error_code != 0) {
        status = cli_fail(cli, "%s", kafka_error_name(cluster->error_code, error, sizeof error));
    } else {
        if (cli->is_json)
            cluster_json(cluster, versions);
        else
            cluster_print(cluster, versions);
        status = cli_finish(cli);
    }
    client_close(&c);
    return status;
}

/* ── api ── */

static void range_cell(struct table *table, int low, int high)
{
    if (high < 0 || high < low)
        table_cell(table, "-");
    else
        table_cell(table, low == high ? "%d" : "%d-%d", low, high);
}

static void api_print(const struct client *c)
{
    struct table table;
    table_init(&table, ">KEY|API|BROKER|OURS|USED");
    for (int16_t key = 0; key < PROTO_APIS_N; key++) {
        const struct proto_message *m = proto_request(key);
        if (c->apis[key].max < 0)
            continue;
        int16_t used = client_version(c, key, INT16_MAX);
        table_cell(&table, "%d", key);
        table_cell(&table, "%s", proto_api_name(key));
        range_cell(&table, c->apis[key].min, c->apis[key].max);
        range_cell(&table, m == NULL ? 0 : m->version_min, m == NULL ? -1 : m->version_max);
        range_cell(&table, used, used);
    }
    table_print(&table, stdout);
    table_fini(&table);
    if (c->unknown_apis_n > 0)
        printf("and %u APIs that this program has no name for\n", c->unknown_apis_n);
}

static void api_json(const struct client *c)
{
    json_t *all = json_array();
    for (int16_t key = 0; key < PROTO_APIS_N; key++)
        if (c->apis[key].max >= 0)
            json_array_append_new(all, json_pack("{s:i,s:s,s:i,s:i,s:i}", "key", key, "name",
                                                 proto_api_name(key), "min", c->apis[key].min,
                                                 "max", c->apis[key].max, "used",
                                                 client_version(c, key, INT16_MAX)));
    cli_json(all);
}

int api_command(struct cli *cli, int argc, char **argv)
{
    int status;
    if (!take_options(cli, argc, argv, &status))
        return status;
    struct client c;
    if (client_open(&c, cli->bootstrap, cli->timeout_ms) != 0) {
        status = cli_fail(cli, "%s", c.why);
    } else {
        if (cli->is_json)
            api_json(&c);
        else
            api_print(&c);
        status = cli_finish(cli);
    }
    client_close(&c);
    return status;
}
