/*
 * rows.h - the tables the interpreter walks: one row per field, 16 bytes.
 *
 * Owner: immutable (generated constants).
 *
 * A struct's rows stand in wire order: plain fields as the schema writes them, then tagged fields
 * by tag. A row is live at `version` when (uint8_t)(version - version_min) <= version_span;
 * nullable likewise. An array's count is the int32_t right behind its pointer.
 */
#ifndef MILLRACE_PROTO_ROWS_H
#define MILLRACE_PROTO_ROWS_H

#include "proto.h"

enum proto_kind {
    PROTO_BOOL,
    PROTO_I8,
    PROTO_I16,
    PROTO_I32,
    PROTO_I64,
    PROTO_U16,
    PROTO_U32,
    PROTO_F64,
    PROTO_UUID,
    PROTO_STRING,
    PROTO_STRING_CLASSIC, /* a string with a two-byte length in every version (trap 32) */
    PROTO_BYTES,
    PROTO_RECORDS,
    PROTO_STRUCT,     /* stands in the outer struct */
    PROTO_STRUCT_PTR, /* may be null: a byte in front (-1 or 1; tagged: 0 or 1), a pointer in memory
                       */
    PROTO_ARRAY = 32, /* | kind of the elements */
};

enum {
    PROTO_TAG_NONE = 255,
    PROTO_COUNT_AT = 8,           /* from an array's pointer to its count */
    PROTO_STRING_MAX = INT16_MAX, /* Apache Kafka refuses longer ones in compact form, too */
};

/* Owner: immutable. */
struct proto_row {
    uint8_t kind;
    uint8_t version_min, version_span;
    uint8_t null_min, null_span; /* 255, 0: never null */
    uint8_t tag;                 /* PROTO_TAG_NONE: a plain field */
    uint16_t offset;
    const struct proto_struct *sub; /* of structs and arrays of structs */
};
static_assert(sizeof(struct proto_row) == 16, "four rows in a cache line");

/* Owner: immutable. */
struct proto_struct {
    const struct proto_row *rows;
    /* One value with every field at its default; may be NULL when that is all zero and no field is
     * tagged. */
    const void *defaults;
    uint32_t size;
    uint16_t rows_n, plain_n; /* rows[plain_n .. rows_n) are tagged */
    uint16_t tags_offset;     /* the tagged members are the last ones, from here to `size` */
    uint8_t wire_min_classic, wire_min_flexible; /* the fewest bytes one value takes */
};

extern const struct proto_message *const proto_requests[PROTO_APIS_N];
extern const struct proto_message *const proto_responses[PROTO_APIS_N];
extern const char *const proto_api_names[PROTO_APIS_N];
extern const struct proto_message *const proto_metadata_records[];
extern const uint32_t proto_metadata_records_n;
extern const struct proto_message *const proto_messages[];
extern const uint32_t proto_messages_n;

static inline bool proto_row_is_live(const struct proto_row *row, uint8_t version)
{
    return (uint8_t)(version - row->version_min) <= row->version_span;
}

static inline bool proto_row_is_nullable(const struct proto_row *row, uint8_t version)
{
    return (uint8_t)(version - row->null_min) <= row->null_span;
}

static inline bool proto_is_flexible(const struct proto_message *m, int16_t version)
{
    return version >= m->flexible_min;
}

/* A client does not know the broker's versions yet when it asks for them, so that answer's header
 * is always version 0 (KIP-511). */
static inline bool proto_response_header_is_flexible(const struct proto_message *m, int16_t version)
{
    enum { API_VERSIONS = 18 };
    return m->api_key != API_VERSIONS && proto_is_flexible(m, version);
}

/* The byte in front of a null struct: Apache Kafka writes int8 -1, but an unsigned varint 0 in a
 * tagged field. */
static inline uint8_t proto_row_null_byte(const struct proto_row *row)
{
    return row->tag == PROTO_TAG_NONE ? 0xff : 0;
}

#endif
