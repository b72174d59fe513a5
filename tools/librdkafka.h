/*
 * librdkafka.h - what produce and consume share of librdkafka: configuration, errors.
 *
 * Owner: the process, which has one thread (librdkafka has its own, which call nothing of ours but
 * through poll).
 */
#ifndef MILLRACE_LIBRDKAFKA_H
#define MILLRACE_LIBRDKAFKA_H

#include <librdkafka/rdkafka.h>

#include "cli.h"

/* A configuration with the settings every client has; NULL when memory ran out. */
rd_kafka_conf_t *librdkafka_conf(const struct cli *cli);
/* "key=value", the user's own: false, and said why, when it is none. */
bool librdkafka_set(const struct cli *cli, rd_kafka_conf_t *conf, const char *assignment);
/* One of ours: it must be right. */
void librdkafka_must_set(rd_kafka_conf_t *conf, const char *key, const char *value);
/* Takes the configuration; NULL, and said why, on failure. */
rd_kafka_t *librdkafka_new(const struct cli *cli, rd_kafka_type_t type, rd_kafka_conf_t *conf);

/* The sentence of an error, with what to do about it where that is known. */
const char *librdkafka_text(rd_kafka_resp_err_t error);
/* True when a broker answers; else the reason was printed. librdkafka itself would try for ever.
 * With a topic: it is there too, or the broker made it by itself (auto.create.topics.enable). */
bool librdkafka_is_reachable(const struct cli *cli, const char *topic);

#endif
