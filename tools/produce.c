/*
 * produce.c - `millrace produce`: one record for each line of standard input, carried by
 * librdkafka.
 *
 * Owner: the process, which has one thread: delivery reports are called from rd_kafka_poll and
 * rd_kafka_flush.
 *
 * The status is 0 only when the broker acknowledged every record (with --acks 0: when all were
 * sent).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "librdkafka.h"
#include "parse.h"

enum { HEADERS_MAX = 64, FLUSH_MS = 100 };

const char produce_help[] =
    "millrace produce TOPIC [options]            a record for each line of standard input\n"
    "\n"
    "  -K, --key-delimiter D   a line is KEY D VALUE; without D in the line there is no key. \\t "
    "is a tab\n"
    "      --key KEY           the same key for every record\n"
    "  -H, --header NAME=VALUE a header for every record; again for more\n"
    "  -p, --partition N       to this partition (default: by key, else spread)\n"
    "      --null              an empty value is null: it deletes its key in a compacted topic\n"
    "      --acks 0|1|all      wait for no answer, for the write, or until it is durable (default: "
    "all)\n"
    "      --codec NAME        none (default), gzip, snappy, lz4, zstd\n"
    "      --idempotent        a retry never writes a record twice\n"
    "      --progress          how far it is, every second, on standard error\n"
    "  -q, --quiet             no summary\n"
    "  -X NAME=VALUE           a setting of librdkafka\n"
    "\n"
    "  echo 'hello' | millrace produce greetings\n"
    "  printf 'a=1\\nb=2\\n' | millrace produce state -K =\n"
    "  millrace produce logs --codec zstd --progress < access.log\n"
    "\n"
    "The summary stands on standard error; with --json it is an object on standard output.\n";

/* Everything about one run. Owner: produce_command. */
struct produce {
    const struct cli *cli;
    const char *topic, *key, *acks, *codec;
    char *delimiter;
    size_t delimiter_n;
    int32_t partition;
    bool is_null, is_idempotent, has_progress, is_quiet;
    uint32_t headers_n;
    const char *headers[HEADERS_MAX];
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;
    rd_kafka_resp_err_t error; /* of the first record that failed */
    uint64_t sent_n, acknowledged_n, failed_n, bytes_n, acknowledged_bytes_n;
    int64_t began_ms, told_ms;
};

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct produce *p = opaque;
    (void)rk;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        p->acknowledged_n++;
        p->acknowledged_bytes_n += m->len + m->key_len;
        return;
    }
    p->failed_n++;
    if (p->error == RD_KAFKA_RESP_ERR_NO_ERROR)
        p->error = m->err;
}

/* ── options ── */

enum { KEY = CLI_OPTION_OWN, NULLS, ACKS, CODEC, IDEMPOTENT, PROGRESS };

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

/* One option; CLI_OK or CLI_USAGE. */
static int take_option(struct cli *cli, struct produce *p, int option)
{
    static const char *const acks[] = {"0", "1", "all", "-1"};
    static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    struct bytes name, value;
    int64_t n;
    switch (option) {
    case 'K':
        p->delimiter = optarg;
        if (!parse_escapes(p->delimiter, &p->delimiter_n) || p->delimiter_n == 0)
            return cli_usage(cli, "-K: expected a text such as ':' or '\\t'");
        break;
    case 'H':
        if (!parse_assignment(optarg, &name, &value) || p->headers_n == HEADERS_MAX)
            return cli_usage(cli, "-H %s: expected NAME=VALUE, at most %d of them", optarg,
                             HEADERS_MAX);
        p->headers[p->headers_n++] = optarg;
        break;
    case 'p':
        if (!parse_number(optarg, 0, INT32_MAX, &n))
            return cli_usage(cli, "--partition %s: expected a number from 0", optarg);
        p->partition = (int32_t)n;
        break;
    case ACKS:
        if (!is_one_of(optarg, acks, array_n(acks)))
            return cli_usage(cli, "--acks %s: expected 0, 1 or all", optarg);
        p->acks = optarg;
        break;
    case CODEC:
        if (!is_one_of(optarg, codecs, array_n(codecs)))
            return cli_usage(cli, "--codec %s: expected none, gzip, snappy, lz4 or zstd", optarg);
        p->codec = optarg;
        break;
    case 'X': return librdkafka_set(cli, p->conf, optarg) ? CLI_OK : CLI_USAGE;
    case KEY: p->key = optarg; break;
    case 'q': p->is_quiet = true; break;
    case NULLS: p->is_null = true; break;
    case IDEMPOTENT: p->is_idempotent = true; break;
    default: p->has_progress = true; break;
    }
    return CLI_OK;
}

static bool take_options(struct cli *cli, struct produce *p, int argc, char **argv, int *status)
{
    static const struct option options[] = {
        {"key-delimiter", required_argument, NULL, 'K'},
        {"key", required_argument, NULL, KEY},
        {"header", required_argument, NULL, 'H'},
        {"partition", required_argument, NULL, 'p'},
        {"null", no_argument, NULL, NULLS},
        {"acks", required_argument, NULL, ACKS},
        {"codec", required_argument, NULL, CODEC},
        {"idempotent", no_argument, NULL, IDEMPOTENT},
        {"progress", no_argument, NULL, PROGRESS},
        {"quiet", no_argument, NULL, 'q'},
        CLI_OPTIONS,
    };
    int option;
    while ((option = cli_next_option(cli, argc, argv, ":hqK:H:p:X:", options, status)) >= 0)
        if ((*status = take_option(cli, p, option)) != CLI_OK)
            return false;
    if (option == CLI_OPTION_END)
        return false;
    if (argc - optind != 1) {
        *status = cli_usage(cli, "expected one topic");
        return false;
    }
    p->topic = argv[optind];
    if (p->is_idempotent && strcmp(p->acks, "all") != 0 && strcmp(p->acks, "-1") != 0) {
        *status = cli_usage(cli, "--idempotent needs --acks all");
        return false;
    }
    return true;
}

/* ── records ── */

static rd_kafka_headers_t *headers_of(const struct produce *p)
{
    rd_kafka_headers_t *headers = p->headers_n == 0 ? NULL : rd_kafka_headers_new(p->headers_n);
    for (uint32_t i = 0; headers != NULL && i < p->headers_n; i++) {
        struct bytes name, value;
        if (parse_assignment(p->headers[i], &name, &value))
            rd_kafka_header_add(headers, (const char *)name.ptr, (ssize_t)name.n, value.ptr,
                                (ssize_t)value.n);
    }
    return headers;
}

/* Hands one record to librdkafka, waiting while its queue is full. */
static rd_kafka_resp_err_t send_record(struct produce *p, struct bytes key, struct bytes value)
{
    rd_kafka_headers_t *headers = headers_of(p);
    rd_kafka_resp_err_t e;
    do {
        rd_kafka_vu_t parts[] = {
            {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = p->topic},
            {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = p->partition},
            {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)key.ptr, key.n}},
            {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)value.ptr, value.n}},
            {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
            {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        };
        rd_kafka_error_t *error = rd_kafka_produceva(p->rk, parts, headers == NULL ? 5 : 6);
        e = error == NULL ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(error);
        if (error != NULL)
            rd_kafka_error_destroy(error);
        rd_kafka_poll(p->rk, e == RD_KAFKA_RESP_ERR__QUEUE_FULL ? FLUSH_MS : 0);
    } while (e == RD_KAFKA_RESP_ERR__QUEUE_FULL);
    if (e != RD_KAFKA_RESP_ERR_NO_ERROR && headers != NULL)
        rd_kafka_headers_destroy(headers);
    return e;
}

static void tell_progress(struct produce *p)
{
    const int64_t every_ms = 1000;
    int64_t now_ms = clock_ms();
    if (!p->has_progress || now_ms - p->told_ms < every_ms)
        return;
    p->told_ms = now_ms;
    fprintf(stderr,
            "%" PRIu64 " sent, %" PRIu64 " acknowledged, %" PRIu64
            " failed, %.1f MB, %.0f records/s\n",
            p->sent_n, p->acknowledged_n, p->failed_n, (double)p->bytes_n / 1e6,
            (double)p->acknowledged_n * 1e3 / (double)max_i64(1, now_ms - p->began_ms));
}

/* A line without its newline, as key and value. */
static void split_line(const struct produce *p, char *line, size_t n, struct bytes *key,
                       struct bytes *value)
{
    *key = bytes_of_string(p->key);
    *value = bytes_of(line, n);
    const char *at = p->delimiter == NULL ? NULL : memmem(line, n, p->delimiter, p->delimiter_n);
    if (at != NULL) {
        size_t key_n = (size_t)(at - line);
        *key = bytes_of(line, key_n);
        *value = bytes_of(at + p->delimiter_n, n - key_n - p->delimiter_n);
    }
    if (p->is_null && value->n == 0)
        *value = bytes_of(NULL, 0);
}

static int send_lines(struct produce *p)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    int status = CLI_OK;
    errno = 0;
    while (status == CLI_OK && p->failed_n == 0 && (n = getline(&line, &room, stdin)) >= 0) {
        struct bytes key, value;
        split_line(p, line, (size_t)(n > 0 && line[n - 1] == '\n' ? n - 1 : n), &key, &value);
        rd_kafka_resp_err_t e = send_record(p, key, value);
        if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
            status = cli_fail(p->cli, "line %" PRIu64 ": %s", p->sent_n + 1, librdkafka_text(e));
        else
            p->sent_n++;
        p->bytes_n += key.n + value.n;
        tell_progress(p);
        errno = 0;
    }
    if (ferror(stdin))
        status = cli_fail(p->cli, "standard input: %s", strerror(errno));
    free(line);
    return status;
}

static int finish(struct produce *p, int status)
{
    int64_t deadline_ms = clock_ms() + p->cli->timeout_ms;
    while (rd_kafka_outq_len(p->rk) > 0 && clock_ms() < deadline_ms) {
        rd_kafka_flush(p->rk, FLUSH_MS);
        tell_progress(p);
    }
    uint64_t open_n = p->sent_n - p->acknowledged_n - p->failed_n;
    double seconds = (double)(clock_ms() - p->began_ms) / 1e3;
    if (p->failed_n > 0)
        status = cli_fail(p->cli, "%s: %" PRIu64 " of %" PRIu64 " records refused: %s", p->topic,
                          p->failed_n, p->sent_n, librdkafka_text(p->error));
    else if (open_n > 0)
        status = cli_fail(
            p->cli,
            "%" PRIu64 " records were not acknowledged within %d ms.\n  --timeout 1m waits longer.",
            open_n, p->cli->timeout_ms);
    if (p->cli->is_json)
        cli_json(json_pack("{s:I,s:I,s:I,s:I,s:f}", "records", (json_int_t)p->sent_n,
                           "acknowledged", (json_int_t)p->acknowledged_n, "failed",
                           (json_int_t)p->failed_n, "bytes", (json_int_t)p->bytes_n, "seconds",
                           seconds));
    else if (!p->is_quiet)
        fprintf(stderr, "%" PRIu64 " records, %" PRIu64 " bytes in %.2f s (%.0f records/s)\n",
                p->acknowledged_n, p->acknowledged_bytes_n, seconds,
                (double)p->acknowledged_n / (seconds > 0.001 ? seconds : 0.001));
    return status;
}

static void configure(struct produce *p)
{
    char ms[16];
    snprintf(ms, sizeof ms, "%d", p->cli->timeout_ms);
    librdkafka_must_set(p->conf, "message.timeout.ms", ms);
    librdkafka_must_set(p->conf, "acks", p->acks);
    librdkafka_must_set(p->conf, "compression.codec", p->codec);
    if (p->is_idempotent)
        librdkafka_must_set(p->conf, "enable.idempotence", "true");
    rd_kafka_conf_set_dr_msg_cb(p->conf, on_delivery);
    rd_kafka_conf_set_opaque(p->conf, p);
}

int produce_command(struct cli *cli, int argc, char **argv)
{
    struct produce p = {.cli = cli,
                        .acks = "all",
                        .codec = "none",
                        .partition = RD_KAFKA_PARTITION_UA,
                        .began_ms = clock_ms(),
                        .told_ms = clock_ms(),
                        .conf = librdkafka_conf(cli)};
    if (p.conf == NULL)
        return cli_fail(cli, "no memory");
    int status = CLI_OK;
    if (!take_options(cli, &p, argc, argv, &status)) {
        rd_kafka_conf_destroy(p.conf);
        return status;
    }
    /* Options may have named another broker. */
    librdkafka_must_set(p.conf, "bootstrap.servers", cli->bootstrap);
    if (!librdkafka_is_reachable(cli, p.topic)) {
        rd_kafka_conf_destroy(p.conf);
        return CLI_FAILED;
    }
    configure(&p);
    p.rk = librdkafka_new(cli, RD_KAFKA_PRODUCER, p.conf);
    if (p.rk == NULL)
        return CLI_FAILED;
    status = finish(&p, send_lines(&p));
    rd_kafka_destroy(p.rk);
    return status;
}
