/*
 * records.h - builds one batch of metadata records.
 *
 * Owner: control.
 */
#ifndef MILLRACE_RECORDS_H
#define MILLRACE_RECORDS_H

#include "batch.h"
#include "proto.h"

enum {
    RECORDS_N_MAX = 10000,       /* of one operation, as in Apache Kafka */
    RECORDS_BYTES_MAX = 2 << 20, /* of one batch */
};

/* Owner: control. A batch under construction. */
struct records {
    struct batch_builder builder;
    uint8_t *buffer;  /* RECORDS_BYTES_MAX */
    uint8_t *scratch; /* one record, RECORDS_BYTES_MAX */
    int64_t wall_ms;
    int error; /* sticky: E_TOO_LARGE */
};

nodiscard int records_init(struct records *records);
void records_fini(struct records *records);
void records_begin(struct records *records, int64_t wall_ms);
/* Adds a record of a generated struct. Errors stick: look at records_end. */
void records_add(struct records *records, const struct proto_message *message, int16_t version,
                 const void *value);
/* Adds a control record (at boot): type 2 is LeaderChange. */
void records_add_control(struct records *records, int16_t type, const struct proto_message *message,
                         int16_t version, const void *value);
/* How many records stand in it, and going back to that number: a topic that fails takes its records
 * with it. */
struct records_mark {
    struct batch_builder builder;
};
struct records_mark records_mark(const struct records *records);
void records_back(struct records *records, struct records_mark mark);
/* Finishes the batch: bytes of records->buffer, or E_TOO_LARGE. */
nodiscard int64_t records_end(struct records *records, bool is_control, int32_t epoch,
                              int64_t base_offset);

#endif
