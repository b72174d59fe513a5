/*
 * librdkafka_client.c - drives a broker through librdkafka's C API: what b_librdkafka.py builds and
 * runs.
 *
 *     librdkafka_client BOOTSTRAP TOPIC CODEC
 *
 * The topic exists and is empty, with PARTITIONS partitions. An idempotent producer writes N
 * records with keys, headers and timestamps; an assigned consumer reads them back and compares
 * each; watermarks, offsets for times, and a consumer that begins in the middle are asked for.
 * Prints the first difference and ends with status 1.
 */
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 3, N = 9000, TIMEOUT_MS = 10000 };
#define TIME_FIRST 1650000000000ll

/* What the delivery reports said. */
struct deliveries {
    int acknowledged_n, failed_n;
    int64_t next[PARTITIONS]; /* the offset expected next */
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        fail(key, why);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct deliveries *d = opaque;
    (void)rk;
    if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail("delivery", rd_kafka_err2str(m->err));
    if (m->offset != d->next[m->partition]++)
        fail("delivery", "an offset out of order");
    d->acknowledged_n++;
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *bootstrap)
{
    char why[256];
    set(conf, "bootstrap.servers", bootstrap);
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (rk == NULL)
        fail("rd_kafka_new", why);
    return rk;
}

static int value_of(int i, char *to, size_t n)
{
    return snprintf(to, n, "{\"record\":%d,\"text\":\"%.*s\"}", i, i % 200,
                    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
                    "abcdefghijklmnopqrs"
                    "tuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrs"
                    "tuvwxyzabcdefghijkl");
}

static void produce_one(rd_kafka_t *rk, const char *topic, int i)
{
    char key[32], value[512];
    int key_n = snprintf(key, sizeof key, "key-%d", i), value_n = value_of(i, value, sizeof value);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
    rd_kafka_header_add(headers, "number", -1, key, key_n);
    rd_kafka_header_add(headers, "null", -1, NULL, 0);
    for (;;) {
        rd_kafka_resp_err_t e = rd_kafka_producev(
            rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(i % PARTITIONS),
            RD_KAFKA_V_KEY(key, (size_t)key_n), RD_KAFKA_V_VALUE(value, (size_t)value_n),
            RD_KAFKA_V_TIMESTAMP(TIME_FIRST + i), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
        if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
            return;
        if (e != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            fail("producev", rd_kafka_err2str(e));
        rd_kafka_poll(rk, 100);
    }
}

static void produce(const char *bootstrap, const char *topic, const char *codec)
{
    struct deliveries d = {0};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "enable.idempotence", "true");
    set(conf, "compression.codec", codec);
    set(conf, "linger.ms", "5");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, &d);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf, bootstrap);
    for (int i = 0; i < N; i++) {
        produce_one(rk, topic, i);
        rd_kafka_poll(rk, 0);
    }
    if (rd_kafka_flush(rk, TIMEOUT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail("flush", "not everything was acknowledged");
    if (d.acknowledged_n != N)
        fail("flush", "records without a delivery report");
    rd_kafka_destroy(rk);
}

static void compare(const rd_kafka_message_t *m)
{
    char key[32], value[512], header[32];
    int i = (int)m->offset * PARTITIONS + m->partition;
    int key_n = snprintf(key, sizeof key, "key-%d", i), value_n = value_of(i, value, sizeof value);
    snprintf(header, sizeof header, "record %d", i);
    if (m->key_len != (size_t)key_n || memcmp(m->key, key, m->key_len) != 0)
        fail(header, "another key came back");
    if (m->len != (size_t)value_n || memcmp(m->payload, value, m->len) != 0)
        fail(header, "another value came back");
    rd_kafka_timestamp_type_t type;
    if (rd_kafka_message_timestamp(m, &type) != TIME_FIRST + i ||
        type != RD_KAFKA_TIMESTAMP_CREATE_TIME)
        fail(header, "another timestamp came back");
    rd_kafka_headers_t *headers;
    const void *p;
    size_t n;
    if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, "number", &p, &n) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        n != (size_t)key_n || memcmp(p, key, n) != 0 ||
        rd_kafka_header_get_last(headers, "null", &p, &n) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        p != NULL)
        fail(header, "other headers came back");
}

static void consume(rd_kafka_t *rk, const char *topic, int64_t from, int expected_n)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int p = 0; p < PARTITIONS; p++)
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = from;
    rd_kafka_resp_err_t e = rd_kafka_assign(rk, list);
    if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail("assign", rd_kafka_err2str(e));
    for (int got_n = 0; got_n < expected_n;) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, TIMEOUT_MS);
        if (m == NULL)
            fail("consume", "no record for 10 s");
        if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            fail("consume", rd_kafka_message_errstr(m));
        compare(m);
        rd_kafka_message_destroy(m);
        got_n++;
    }
    rd_kafka_message_t *more = rd_kafka_consumer_poll(rk, 300);
    if (more != NULL && more->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        fail("consume", "more records than were produced");
    if (more != NULL)
        rd_kafka_message_destroy(more);
    rd_kafka_assign(rk, NULL);
    rd_kafka_topic_partition_list_destroy(list);
}

static void ask_offsets(rd_kafka_t *rk, const char *topic)
{
    rd_kafka_topic_partition_list_t *times = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int p = 0; p < PARTITIONS; p++) {
        int64_t low, high;
        rd_kafka_resp_err_t e =
            rd_kafka_query_watermark_offsets(rk, topic, p, &low, &high, TIMEOUT_MS);
        if (e != RD_KAFKA_RESP_ERR_NO_ERROR || low != 0 || high != N / PARTITIONS)
            fail("watermarks",
                 e != RD_KAFKA_RESP_ERR_NO_ERROR ? rd_kafka_err2str(e) : "wrong offsets");
        rd_kafka_topic_partition_list_add(times, topic, p)->offset = TIME_FIRST + N / 2;
    }
    if (rd_kafka_offsets_for_times(rk, times, TIMEOUT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail("offsets for times", "no answer");
    for (int i = 0; i < times->cnt; i++) {
        const rd_kafka_topic_partition_t *t = &times->elems[i];
        int64_t expected = (N / 2 - t->partition + PARTITIONS - 1) / PARTITIONS;
        if (t->err != RD_KAFKA_RESP_ERR_NO_ERROR || t->offset != expected)
            fail("offsets for times", "a wrong offset");
    }
    rd_kafka_topic_partition_list_destroy(times);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        fail("usage", "librdkafka_client BOOTSTRAP TOPIC CODEC");
    produce(argv[1], argv[2], argv[3]);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "group.id", "none");
    set(conf, "enable.auto.commit", "false");
    set(conf, "check.crcs", "true");
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, conf, argv[1]);
    rd_kafka_poll_set_consumer(rk);
    ask_offsets(rk, argv[2]);
    consume(rk, argv[2], RD_KAFKA_OFFSET_BEGINNING, N);
    consume(rk, argv[2], 1000, N - 1000 * PARTITIONS);
    rd_kafka_destroy(rk);
    printf("%d records of %s\n", N, argv[3]);
    return 0;
}
