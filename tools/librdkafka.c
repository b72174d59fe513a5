/*
 * librdkafka.c - what produce and consume share of librdkafka. See librdkafka.h.
 *
 * Owner: the process, which has one thread.
 */
#include "librdkafka.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "client.h"
#include "messages.h"
#include "parse.h"

enum { API_METADATA = 3, METADATA_V = 12, TRIES = 10, TRY_MS = 100 };

void librdkafka_must_set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    char why[256];
    check(rd_kafka_conf_set(conf, key, value, why, sizeof why) == RD_KAFKA_CONF_OK);
}

rd_kafka_conf_t *librdkafka_conf(const struct cli *cli)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (conf == NULL)
        return NULL;
    librdkafka_must_set(conf, "bootstrap.servers", cli->bootstrap);
    librdkafka_must_set(conf, "client.id", "millrace-cli");
    /* Its own lines on stderr would stand between ours; errors come back through its calls. */
    librdkafka_must_set(conf, "log_level", "0");
    librdkafka_must_set(conf, "broker.address.family", "any");
    return conf;
}

bool librdkafka_set(const struct cli *cli, rd_kafka_conf_t *conf, const char *assignment)
{
    struct bytes key, value;
    char name[128], why[256];
    if (!parse_assignment(assignment, &key, &value) || key.n >= sizeof name) {
        cli_usage(cli, "-X %s: expected NAME=VALUE", assignment);
        return false;
    }
    snprintf(name, sizeof name, "%.*s", (int)key.n, key.ptr);
    if (rd_kafka_conf_set(conf, name, (const char *)value.ptr, why, sizeof why) == RD_KAFKA_CONF_OK)
        return true;
    cli_usage(cli, "-X %s: %s", assignment, why);
    return false;
}

rd_kafka_t *librdkafka_new(const struct cli *cli, rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char why[256];
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        cli_fail(cli, "librdkafka: %s", why);
    }
    return rk;
}

const char *librdkafka_text(rd_kafka_resp_err_t error)
{
    switch (error) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return "there is no such topic.\n  `millrace topic create NAME` makes it, `millrace topic "
               "list` shows those "
               "there are.";
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return "there is no such partition.\n  `millrace topic describe NAME` shows those there "
               "are.";
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
        return "the broker did not answer in time.\n  --timeout 30s waits longer.";
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return "a record is larger than the topic allows (max.message.bytes).";
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
        return "the broker cannot write its log: look at its own messages, the disk may be full or "
               "failing.";
    default: return rd_kafka_err2str(error);
    }
}

/* The topic's error in Metadata, asked with leave to create it; -1 when the request failed. */
static int topic_error(struct client *c, const char *topic)
{
    struct metadata_request *request = PROTO_NEW(&c->arena, metadata_request, 1);
    struct metadata_request_topics *one = PROTO_NEW(&c->arena, metadata_request_topics, 1);
    const void *out;
    if (request == NULL || one == NULL)
        return -1;
    one->name = bytes_of_string(topic);
    request->topics = one;
    request->topics_n = 1;
    request->allow_auto_topic_creation = true;
    if (client_call(c, API_METADATA, METADATA_V, request, &out, NULL) != 0)
        return -1;
    const struct metadata_response *answer = out;
    return answer->topics_n == 1 ? answer->topics[0].error_code : RD_KAFKA_RESP_ERR_UNKNOWN;
}

static bool has_topic(const struct cli *cli, struct client *c, const char *topic)
{
    int error = 0;
    for (int i = 0; i < TRIES; i++) {
        error = topic_error(c, topic);
        if (error < 0 || error == 0)
            break;
        /* A topic that is being made is not known yet, or has no leader yet. */
        poll(NULL, 0, TRY_MS);
    }
    if (error < 0)
        cli_fail(cli, "%s", c->why);
    else if (error != 0)
        cli_fail(cli, "%s: %s", topic, librdkafka_text((rd_kafka_resp_err_t)error));
    return error == 0;
}

bool librdkafka_is_reachable(const struct cli *cli, const char *topic)
{
    struct client c;
    bool is_fine = client_open(&c, cli->bootstrap, cli->timeout_ms) == 0;
    if (!is_fine)
        cli_fail(cli, "%s", c.why);
    if (is_fine && topic != NULL)
        is_fine = has_topic(cli, &c, topic);
    client_close(&c);
    return is_fine;
}
