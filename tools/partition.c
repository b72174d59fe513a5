/*
 * partition.c - `millrace partition add | trim`: more partitions for a topic, old records away.
 *
 * Owner: the process, which has one thread.
 */
#include <inttypes.h>
#include <stdio.h>

#include "remote.h"
#include "messages.h"
#include "parse.h"

enum { API_DELETE_RECORDS = 21, API_CREATE_PARTITIONS = 37 };
enum { DELETE_RECORDS_V = 2, CREATE_PARTITIONS_V = 3 };
enum { HIGH_WATERMARK = -1 };

static const char add_help[] =
    "millrace partition add TOPIC --to N              more partitions for a topic, N in all\n"
    "\n"
    "  --validate              only ask whether it could be done\n"
    "\n"
    "Records with a key go to another partition than before when their number changes, and\n"
    "there is no way back.\n"
    "\n"
    "  millrace partition add orders --to 24\n";
static const char trim_help[] =
    "millrace partition trim TOPIC PARTITION --before OFFSET|end\n"
    "                                                 delete records below an offset, for good\n"
    "\n"
    "  millrace partition trim orders 3 --before 1000000\n"
    "  millrace partition trim orders 3 --before end\n";
const char partition_help[] =
    "millrace partition COMMAND                       partitions of a topic\n"
    "\n"
    "  add TOPIC --to N                            more partitions, N in all\n"
    "  trim TOPIC PARTITION --before OFFSET|end    delete old records, for good\n"
    "\n"
    "  millrace partition add orders --to 24\n"
    "  millrace partition trim --help\n";

/* ── add ── */

static int add_send(const struct cli *cli, struct client *c, const char *topic, int64_t count,
                    bool is_dry)
{
    struct create_partitions_request *request = PROTO_NEW(&c->arena, create_partitions_request, 1);
    struct create_partitions_request_topics *one =
        PROTO_NEW(&c->arena, create_partitions_request_topics, 1);
    const void *out;
    if (request == NULL || one == NULL)
        return cli_fail(cli, "out of memory");
    one->name = bytes_of_string(topic);
    one->count = (int32_t)count;
    one->assignments_n = -1;
    request->topics = one;
    request->topics_n = 1;
    request->timeout_ms = cli->timeout_ms;
    request->validate_only = is_dry;
    if (client_call(c, API_CREATE_PARTITIONS, CREATE_PARTITIONS_V, request, &out, NULL) != 0)
        return cli_fail(cli, "%s", c->why);
    const struct create_partitions_response *answer = out;
    if (answer->results_n != 1)
        return cli_fail(cli, "the broker answers for %d topics instead of one", answer->results_n);
    const struct create_partitions_response_results *r = answer->results;
    if (r->error_code != 0)
        return remote_failed(cli, topic, r->error_code, r->error_message);
    if (cli->is_json)
        cli_json(json_pack("{s:s,s:I,s:b}", "topic", topic, "partitions", (json_int_t)count,
                           "validated_only", is_dry));
    else
        printf("%s %s: %" PRId64 " partitions\n", is_dry ? "could change" : "changed", topic,
               count);
    return cli_finish(cli);
}

static int partition_add(struct cli *cli, int argc, char **argv)
{
    enum { TO = CLI_OPTION_OWN, VALIDATE };
    static const struct option options[] = {{"to", required_argument, NULL, TO},
                                            {"validate", no_argument, NULL, VALIDATE},
                                            CLI_OPTIONS};
    int64_t count = 0;
    bool is_dry = false;
    int option, status = CLI_OK;
    struct client c;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0) {
        if (option == TO && !parse_number(optarg, 1, INT32_MAX, &count))
            return cli_usage(cli, "--to %s: expected a number from 1", optarg);
        is_dry |= option == VALIDATE;
    }
    if (option == CLI_OPTION_END)
        return status;
    if (argc - optind != 1 || count == 0)
        return cli_usage(cli, "expected one topic and --to N");
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    status = add_send(cli, &c, argv[optind], count, is_dry);
    client_close(&c);
    return status;
}

/* ── trim ── */

static int trim_send(const struct cli *cli, struct client *c, const char *topic, int64_t partition,
                     int64_t before)
{
    struct delete_records_request *request = PROTO_NEW(&c->arena, delete_records_request, 1);
    struct delete_records_request_topics *one =
        PROTO_NEW(&c->arena, delete_records_request_topics, 1);
    struct delete_records_request_topics_partitions *part =
        PROTO_NEW(&c->arena, delete_records_request_topics_partitions, 1);
    const void *out;
    char what[320];
    if (request == NULL || one == NULL || part == NULL)
        return cli_fail(cli, "out of memory");
    part->partition_index = (int32_t)partition;
    part->offset = before;
    one->name = bytes_of_string(topic);
    one->partitions = part;
    one->partitions_n = 1;
    request->topics = one;
    request->topics_n = 1;
    request->timeout_ms = cli->timeout_ms;
    if (client_call(c, API_DELETE_RECORDS, DELETE_RECORDS_V, request, &out, NULL) != 0)
        return cli_fail(cli, "%s", c->why);
    const struct delete_records_response *answer = out;
    if (answer->topics_n != 1 || answer->topics->partitions_n != 1)
        return cli_fail(cli, "the broker does not answer for one partition");
    const struct delete_records_response_topics_partitions *p = answer->topics->partitions;
    snprintf(what, sizeof what, "%s-%" PRId64, topic, partition);
    if (p->error_code != 0)
        return remote_failed(cli, what, p->error_code, bytes_of("", 0));
    if (cli->is_json)
        cli_json(json_pack("{s:s,s:I,s:I}", "topic", topic, "partition", (json_int_t)partition,
                           "first_offset", (json_int_t)p->low_watermark));
    else
        printf("trimmed %s-%" PRId64 ": it begins at offset %" PRId64 "\n", topic, partition,
               p->low_watermark);
    return cli_finish(cli);
}

static int partition_trim(struct cli *cli, int argc, char **argv)
{
    enum { BEFORE = CLI_OPTION_OWN };
    static const struct option options[] = {{"before", required_argument, NULL, BEFORE},
                                            CLI_OPTIONS};
    int64_t partition, before = HIGH_WATERMARK;
    bool has_before = false;
    int option, status = CLI_OK;
    struct client c;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0) {
        if (option == BEFORE && strcmp(optarg, "end") != 0 &&
            !parse_number(optarg, 0, INT64_MAX, &before))
            return cli_usage(cli, "--before %s: expected an offset, or end", optarg);
        has_before |= option == BEFORE;
    }
    if (option == CLI_OPTION_END)
        return status;
    if (argc - optind != 2 || !has_before ||
        !parse_number(argv[optind + 1], 0, INT32_MAX, &partition))
        return cli_usage(cli, "expected a topic, a partition and --before OFFSET");
    if (!remote_connect(cli, &c))
        return CLI_FAILED;
    status = trim_send(cli, &c, argv[optind], partition, before);
    client_close(&c);
    return status;
}

int partition_command(struct cli *cli, int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {"add", partition_add, "more partitions", add_help},
        {"trim", partition_trim, "old records away", trim_help},
    };
    return cli_dispatch(cli, commands, array_n(commands), partition_help, argc, argv);
}
