/*
 * consume.c - `millrace consume`: records to standard output, carried by librdkafka with assigned
 * partitions.
 *
 * Owner: the process, which has one thread.
 *
 * Without --follow it ends at the ends that the partitions had when it began: a partition is done
 * when its next offset has reached that end, or when the broker says that there is nothing more (an
 * end may be a transaction's marker, which is never delivered). No group is joined and no offset is
 * committed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "format.h"
#include "librdkafka.h"
#include "parse.h"

enum { POLL_MS = 200, FORMAT_WHY = 128 };

const char consume_help[] =
    "millrace consume TOPIC [options]            records to standard output; ends where the topic "
    "ends now\n"
    "\n"
    "      --from POSITION     where to begin: beginning (default), end, an OFFSET, -N (the last N "
    "of each\n"
    "                          partition), a time: 2026-01-31T12:00:00Z, 2026-01-31, "
    "@1769860800000\n"
    "  -p, --partition N       only this partition\n"
    "  -n, --count N           stop after N records\n"
    "  -f, --follow            go on with what arrives later\n"
    "  -F, --format TEXT       how a record is printed (default: '%s\\n')\n"
    "  -K, --key-delimiter D   short for -F '%kD%s\\n'\n"
    "      --committed         leave out what belongs to transactions that are open or were "
    "aborted\n"
    "      --json              one JSON object a line; bytes that are no UTF-8 as {\"base64\": "
    "...}\n"
    "  -X NAME=VALUE           a setting of librdkafka\n"
    "\n"
    "  In a format: %t topic, %p partition, %o offset, %k key, %s value, %K and %S their lengths, "
    "%T time in\n"
    "  milliseconds, %D time as a date, %h headers, %% a percent sign; \\n, \\t, \\0, \\x1f.\n"
    "\n"
    "  millrace consume greetings\n"
    "  millrace consume orders --from -10 --json | jq .value\n"
    "  millrace consume orders --from end --follow -F '%D %p/%o %k: %s\\n'\n";

/* One assigned partition. */
struct consume_partition {
    int32_t number;
    int64_t next, end; /* the next offset expected; where it ends for us */
    bool is_done;
};

/* Everything about one run. Owner: consume_command. */
struct consume {
    const struct cli *cli;
    const char *topic, *format_text, *delimiter;
    struct position from;
    int64_t partition, count; /* -1: all */
    bool is_follow, is_committed;
    struct format format;
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;
    struct consume_partition *partitions;
    uint32_t partitions_n, done_n;
    int64_t printed_n;
};

/* ── options ── */

enum { FROM = CLI_OPTION_OWN, COMMITTED };

static int take_option(struct cli *cli, struct consume *o, int option)
{
    switch (option) {
    case FROM:
        if (!parse_position(optarg, &o->from))
            return cli_usage(cli,
                             "--from %s: expected beginning, end, an offset, -N or a time such as "
                             "2026-01-31T12:00:00Z",
                             optarg);
        break;
    case 'p':
        if (!parse_number(optarg, 0, INT32_MAX, &o->partition))
            return cli_usage(cli, "--partition %s: expected a number from 0", optarg);
        break;
    case 'n':
        if (!parse_number(optarg, 1, INT64_MAX, &o->count))
            return cli_usage(cli, "--count %s: expected a number from 1", optarg);
        break;
    case 'X': return librdkafka_set(cli, o->conf, optarg) ? CLI_OK : CLI_USAGE;
    case 'f': o->is_follow = true; break;
    case 'F': o->format_text = optarg; break;
    case 'K': o->delimiter = optarg; break;
    default: o->is_committed = true; break;
    }
    return CLI_OK;
}

/* The format of the options, parsed: -F as it is, -K as "%k" delimiter "%s\n". */
static int take_format(struct cli *cli, struct consume *o)
{
    char why[FORMAT_WHY], text[256];
    const char *given = o->format_text != NULL ? o->format_text : "%s\\n";
    if (o->delimiter != NULL) {
        if (o->format_text != NULL || strlen(o->delimiter) > 64 ||
            strchr(o->delimiter, '%') != NULL)
            return cli_usage(cli, "-K takes a short text without %%, and stands instead of -F");
        snprintf(text, sizeof text, "%%k%s%%s\\n", o->delimiter);
        given = text;
    }
    if (format_init(&o->format, given, why, sizeof why) != 0)
        return cli_usage(cli, "-F '%s': %s", given, why);
    return CLI_OK;
}

static bool take_options(struct cli *cli, struct consume *o, int argc, char **argv, int *status)
{
    static const struct option options[] = {
        {"from", required_argument, NULL, FROM},
        {"partition", required_argument, NULL, 'p'},
        {"count", required_argument, NULL, 'n'},
        {"follow", no_argument, NULL, 'f'},
        {"format", required_argument, NULL, 'F'},
        {"key-delimiter", required_argument, NULL, 'K'},
        {"committed", no_argument, NULL, COMMITTED},
        CLI_OPTIONS,
    };
    int option;
    while ((option = cli_next_option(cli, argc, argv, ":hfp:n:F:K:X:", options, status)) >= 0)
        if ((*status = take_option(cli, o, option)) != CLI_OK)
            return false;
    if (option == CLI_OPTION_END)
        return false;
    if (argc - optind != 1) {
        *status = cli_usage(cli, "expected one topic");
        return false;
    }
    o->topic = argv[optind];
    *status = take_format(cli, o);
    return *status == CLI_OK;
}

/* ── where to begin ── */

static int failed(const struct consume *o, rd_kafka_resp_err_t e)
{
    return cli_fail(o->cli, "%s: %s", o->topic, librdkafka_text(e));
}

static int partitions_of(struct consume *o, const struct rd_kafka_metadata *m)
{
    if (m->topic_cnt != 1 || m->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return failed(o, m->topic_cnt != 1 ? RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC : m->topics[0].err);
    int n = m->topics[0].partition_cnt;
    o->partitions = calloc((size_t)n + 1, sizeof *o->partitions);
    if (o->partitions == NULL)
        return cli_fail(o->cli, "no memory");
    for (int i = 0; i < n; i++)
        if (o->partition < 0 || o->partition == m->topics[0].partitions[i].id)
            o->partitions[o->partitions_n++].number = m->topics[0].partitions[i].id;
    return o->partitions_n == 0 ? failed(o, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) : CLI_OK;
}

static int find_partitions(struct consume *o)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(o->rk, o->topic, NULL);
    if (topic == NULL)
        return failed(o, rd_kafka_last_error());
    const struct rd_kafka_metadata *m;
    rd_kafka_resp_err_t e = rd_kafka_metadata(o->rk, 0, topic, &m, o->cli->timeout_ms);
    rd_kafka_topic_destroy(topic);
    if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
        return failed(o, e);
    int status = partitions_of(o, m);
    rd_kafka_metadata_destroy(m);
    return status;
}

/* The offset of the first record at or after a time; the end when there is none. */
static rd_kafka_resp_err_t offset_of_time(struct consume *o, struct consume_partition *p)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *t = rd_kafka_topic_partition_list_add(list, o->topic, p->number);
    t->offset = o->from.value;
    rd_kafka_resp_err_t e = rd_kafka_offsets_for_times(o->rk, list, o->cli->timeout_ms);
    if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
        e = t->err;
    p->next = t->offset < 0 ? p->end : t->offset;
    rd_kafka_topic_partition_list_destroy(list);
    return e;
}

static int find_position(struct consume *o, struct consume_partition *p)
{
    int64_t first;
    rd_kafka_resp_err_t e = rd_kafka_query_watermark_offsets(o->rk, o->topic, p->number, &first,
                                                             &p->end, o->cli->timeout_ms);
    if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
        return failed(o, e);
    switch (o->from.kind) {
    case POSITION_BEGINNING: p->next = first; break;
    case POSITION_END: p->next = p->end; break;
    case POSITION_TAIL: p->next = max_i64(first, p->end - o->from.value); break;
    case POSITION_TIME: e = offset_of_time(o, p); break;
    case POSITION_OFFSET: p->next = max_i64(first, o->from.value); break;
    }
    if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
        return failed(o, e);
    if (p->next > p->end)
        return cli_fail(o->cli, "%s partition %d ends at offset %" PRId64 ": there is no %" PRId64,
                        o->topic, p->number, p->end, p->next);
    p->is_done = p->next == p->end;
    o->done_n += p->is_done;
    return CLI_OK;
}

static int assign(struct consume *o)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)o->partitions_n);
    for (uint32_t i = 0; i < o->partitions_n; i++)
        if (o->is_follow || !o->partitions[i].is_done)
            rd_kafka_topic_partition_list_add(list, o->topic, o->partitions[i].number)->offset =
                o->partitions[i].next;
    rd_kafka_resp_err_t e = rd_kafka_assign(o->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return e == RD_KAFKA_RESP_ERR_NO_ERROR ? CLI_OK : failed(o, e);
}

/* ── records ── */

static void record_of(const rd_kafka_message_t *m, struct format_record *r)
{
    rd_kafka_timestamp_type_t type;
    *r = (struct format_record){
        .topic = rd_kafka_topic_name(m->rkt),
        .partition = m->partition,
        .offset = m->offset,
        .timestamp_ms = rd_kafka_message_timestamp(m, &type),
        .key = bytes_of(m->key, m->key_len),
        .value = bytes_of(m->payload, m->len),
    };
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    const char *name;
    const void *value;
    size_t n;
    while (r->headers_n < FORMAT_HEADERS_MAX &&
           rd_kafka_header_get_all(headers, r->headers_n, &name, &value, &n) ==
               RD_KAFKA_RESP_ERR_NO_ERROR)
        r->headers[r->headers_n++] = (struct format_header){name, bytes_of(value, n)};
}

static void print_json(const struct format_record *r)
{
    json_t *headers = json_array();
    for (uint32_t i = 0; i < r->headers_n; i++)
        json_array_append_new(headers, json_pack("{s:s,s:o}", "name", r->headers[i].name, "value",
                                                 cli_json_bytes(r->headers[i].value)));
    cli_json(json_pack("{s:s,s:i,s:I,s:I,s:o,s:o,s:o}", "topic", r->topic, "partition",
                       r->partition, "offset", (json_int_t)r->offset, "timestamp",
                       (json_int_t)r->timestamp_ms, "key", cli_json_bytes(r->key), "value",
                       cli_json_bytes(r->value), "headers", headers));
}

static struct consume_partition *partition_find(struct consume *o, int32_t number)
{
    for (uint32_t i = 0; i < o->partitions_n; i++)
        if (o->partitions[i].number == number)
            return &o->partitions[i];
    return NULL;
}

static void partition_done(struct consume *o, struct consume_partition *p)
{
    if (p == NULL || p->is_done)
        return;
    p->is_done = true;
    o->done_n++;
}

/* One record or event of librdkafka; CLI_FAILED ends the run. */
static int take_message(struct consume *o, const rd_kafka_message_t *m, struct format_record *r)
{
    struct consume_partition *p = partition_find(o, m->partition);
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (p != NULL && m->offset >= p->end)
            partition_done(o, p);
        return CLI_OK;
    }
    if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return cli_fail(o->cli, "%s: %s", o->topic, librdkafka_text(m->err));
    if (p == NULL || (!o->is_follow && m->offset >= p->end))
        return CLI_OK;
    record_of(m, r);
    if (o->cli->is_json)
        print_json(r);
    else
        format_print(&o->format, r, stdout);
    o->printed_n++;
    if (m->offset + 1 >= p->end)
        partition_done(o, p);
    return CLI_OK;
}

static bool is_finished(const struct consume *o)
{
    return (o->count >= 0 && o->printed_n >= o->count) ||
           (!o->is_follow && o->done_n == o->partitions_n);
}

static int consume_all(struct consume *o)
{
    struct format_record *r = malloc(sizeof *r);
    if (r == NULL)
        return cli_fail(o->cli, "no memory");
    int status = CLI_OK, silent_ms = 0;
    while (status == CLI_OK && !is_finished(o)) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(o->rk, POLL_MS);
        if (m == NULL) {
            /* Somebody may be watching: what there is, is shown before waiting on. */
            fflush(stdout);
            silent_ms += POLL_MS;
            if (!o->is_follow && silent_ms > o->cli->timeout_ms)
                status = cli_fail(o->cli, "%s: nothing came for %d ms before the end was reached",
                                  o->topic, silent_ms);
            continue;
        }
        silent_ms = 0;
        status = take_message(o, m, r);
        rd_kafka_message_destroy(m);
        if (ferror(stdout))
            break;
    }
    free(r);
    return status;
}

static int run(struct consume *o)
{
    int status = find_partitions(o);
    for (uint32_t i = 0; status == CLI_OK && i < o->partitions_n; i++)
        status = find_position(o, &o->partitions[i]);
    if (status == CLI_OK && !is_finished(o)) {
        status = assign(o);
        if (status == CLI_OK)
            status = consume_all(o);
        rd_kafka_consumer_close(o->rk);
    }
    int finished = cli_finish(o->cli);
    return status != CLI_OK ? status : finished;
}

static void configure(struct consume *o)
{
    librdkafka_must_set(o->conf, "bootstrap.servers", o->cli->bootstrap);
    librdkafka_must_set(o->conf, "group.id",
                        "millrace-cli"); /* required by librdkafka; never joined */
    librdkafka_must_set(o->conf, "enable.auto.commit", "false");
    librdkafka_must_set(o->conf, "enable.partition.eof", "true");
    librdkafka_must_set(o->conf, "check.crcs", "true");
    librdkafka_must_set(o->conf, "auto.offset.reset", "error");
    librdkafka_must_set(o->conf, "isolation.level",
                        o->is_committed ? "read_committed" : "read_uncommitted");
}

int consume_command(struct cli *cli, int argc, char **argv)
{
    struct consume o = {.cli = cli,
                        .partition = -1,
                        .count = -1,
                        .conf = librdkafka_conf(cli),
                        .from = {POSITION_BEGINNING, 0}};
    int status = CLI_OK;
    if (o.conf == NULL)
        return cli_fail(cli, "no memory");
    if (!take_options(cli, &o, argc, argv, &status)) {
        rd_kafka_conf_destroy(o.conf);
        return status;
    }
    if (librdkafka_is_reachable(cli, NULL)) {
        configure(&o);
        o.rk = librdkafka_new(cli, RD_KAFKA_CONSUMER, o.conf);
    } else {
        rd_kafka_conf_destroy(o.conf);
    }
    status = CLI_FAILED;
    if (o.rk != NULL) {
        rd_kafka_poll_set_consumer(o.rk);
        status = run(&o);
        rd_kafka_destroy(o.rk);
    }
    format_fini(&o.format);
    free(o.partitions);
    return status;
}
