/*
 * proto.h - the face of dataplane/proto: bytes <-> structs, for every message of Kafka 4.3 and
 * every version.
 *
 * Owner: immutable. Pure functions over the caller's memory; tables generated from
 * dataplane/proto/schema.
 *
 * Generated (build/gen/messages.h, by tools/kgen.py), from Kafka's names in snake_case:
 *   message MetadataRequest     struct metadata_request, descriptor proto_metadata_request
 *                               (struct proto_message); responses likewise
 *   its array field `topics`    struct metadata_request_topics *topics; int32_t topics_n (-1 null);
 *                               field list proto_fields_metadata_request_topics
 *   `struct @topic` in a schema struct <message>_topic, used by several fields of the message
 *   stored record TopicRecord   struct topic_record, proto_topic_record
 *   bool, int8, ... float64     bool, int8_t ... int64_t, uint16_t, uint32_t, double
 *   uuid                        struct uuid
 *   string, bytes               struct bytes (ptr NULL = null)
 *   records                     struct slices (v NULL = null)
 *   a struct field              the struct itself; a pointer (NULL = null) when it is nullable
 *
 * Structs are free of versions: a field that the version does not have holds its default. A pointer
 * that is set by default points at a constant: it is replaced, never written through.
 *
 * Sources: Kafka protocol guide; KIP-482 (flexible versions, tagged fields); the message schemas
 * of 4.3.
 */
#ifndef MILLRACE_PROTO_H
#define MILLRACE_PROTO_H

#include "arena.h"
#include "bytes.h"
#include "errors.h"
#include "slice.h"

struct proto_struct; /* fields of one struct: opaque rows */
struct proto_hot;    /* opaque: dataplane/proto/hot.h */

/* Owner: immutable. */
struct proto_message {
    const char *name; /* "MetadataRequest" */
    const struct proto_struct *fields;
    int16_t api_key; /* the record type for stored records that have one; -1 without either */
    int16_t version_min, version_max; /* of the schema */
    int16_t flexible_min;             /* first flexible version; INT16_MAX for none */
    uint32_t size;                    /* of the C struct */
    const struct proto_hot *hot;      /* a straight-line codec beside the tables; NULL: none */
};

enum { PROTO_APIS_N = 93 }; /* keys 0-92; 4-7 have no message */

/* The request or response message of an API; NULL for a key without one. */
const struct proto_message *proto_request(int16_t api_key);
const struct proto_message *proto_response(int16_t api_key);
/* "Produce"; "?" for a key without a message. */
const char *proto_api_name(int16_t api_key);
/* Stored metadata record by its type number; NULL when unknown. */
const struct proto_message *proto_metadata_record(uint32_t type);
/* Every message there is, for tests and tools; *n set. */
const struct proto_message *const *proto_all(uint32_t *n);

/* n elements of a generated struct with every field at its default; NULL when the arena is full. */
void *proto_new(const struct proto_struct *type, struct arena *arena, uint32_t n);
#define PROTO_NEW(arena, name, n) \
    ((struct name *)proto_new(&proto_fields_##name, arena, (uint32_t)(n)))
/* The same for one that is there. */
void proto_default(const struct proto_struct *type, void *to);
/* The same, as stores: only for messages that have a straight-line codec. */
#define PROTO_INIT(to, name) (*(to) = (struct name)DEFAULTS_##name)

/* ── decoding ──
 * Values are views into the input (strings, bytes, records); one that straddles two slices is
 * copied into the arena. Lengths are checked against the bytes left before anything is allocated.
 * Unknown tags are skipped. Decoded `records` name the owners of their slices without a reference:
 * slice_get what outlives the input. E_EOF (input too short), E_MALFORMED, E_NO_MEMORY (arena
 * bound), E_UNSUPPORTED (version outside the schema).
 */

/* Owner: the caller. */
struct proto_in {
    const struct slices *from;
    struct slices_at at;
    uint64_t left; /* bytes from `at` to the end of the message */
    struct arena *arena;
    uint64_t elements_left; /* elements of arrays that may still come: E_TOO_LARGE beyond */
};

/* Any number of elements; who reads what strangers send sets elements_left. */
static inline void proto_in_init(struct proto_in *in, const struct slices *from,
                                 struct arena *arena)
{
    *in = (struct proto_in){
        .from = from, .left = from->bytes, .arena = arena, .elements_left = UINT64_MAX};
}

/* One message into `out`, which points into the input and the arena. 0; E_EOF, E_MALFORMED,
 * E_TOO_LARGE (more elements than in->elements_left), E_NO_MEMORY (the arena's bound). */
nodiscard int proto_decode(const struct proto_message *m, int16_t version, struct proto_in *in,
                           void *out);
/* From one piece of memory (stored records, tests). Bytes after the message are not an error; *used
 * says how many were taken (may be NULL). */
nodiscard int proto_decode_flat(const struct proto_message *m, int16_t version, struct bytes from,
                                struct arena *arena, void *out, uint32_t *used);

/* The request header, version 1 or 2 by key and version (trap 32: client_id is never compact). */
struct proto_header {
    int16_t api_key, api_version;
    int32_t correlation_id;
    struct bytes client_id;
};
/* E_UNSUPPORTED when the key or version has no schema: api_key, api_version and correlation_id are
 * set then. */
nodiscard int proto_decode_header(struct proto_in *in, struct proto_header *header);

/* ── encoding ──
 * Output goes into chunks of the arena and becomes slices; `records` fields are not copied: their
 * slices are linked in and their references move to the output. Encoding is resumable:
 * proto_encode_more does at most `budget` units and returns E_AGAIN until it is done, so a Metadata
 * answer for 50,000 partitions is spread over turns. A unit is about one field; a struct's plain
 * fields are paid for together. Depth is bounded by the schemas (PROTO_DEPTH_MAX).
 */
enum { PROTO_DEPTH_MAX = 8 };

/* Owner: the caller. */
struct proto_out {
    struct arena *arena; /* NULL: flat, into the caller's memory */
    struct slices out;   /* the bytes so far: v in the arena */
    uint32_t out_max;    /* room in out.v */
    uint8_t *begin;      /* of the slice being written; NULL before the first chunk */
    uint8_t *at, *end;   /* free room behind it */
    uint8_t *length_at;  /* the 4 bytes of the frame's length */
    const struct proto_message *message;
    int16_t version;
    uint8_t depth;       /* frames in use; 0 when done */
    uint32_t budget;     /* units left of this call */
    int rc;              /* the answer of every further call once it is not E_AGAIN */
    struct proto_frame { /* one level of the walk */
        const struct proto_struct *type; /* NULL: an array of scalars of kind `field_at` */
        const uint8_t *base;             /* the struct, or the array's current element */
        uint32_t elements_left, field_at;
        bool is_tags; /* the plain fields and the number of tags are written */
    } frames[PROTO_DEPTH_MAX];
};

/* Begins a response frame: length prefix, response header (version 0 or 1; ApiVersions always 0),
 * body. */
nodiscard int proto_encode_response(struct proto_out *o, struct arena *arena, int16_t api_key,
                                    int16_t version, int32_t correlation_id, const void *response);
/* The same frame at once, when the message has a straight-line codec that takes it and it has at
 * most `budget` fields: true, o->out is the whole frame and the references are its. False: nothing
 * has happened; begin it as above. */
bool proto_encode_response_now(struct proto_out *o, struct arena *arena, int16_t api_key,
                               int16_t version, int32_t correlation_id, const void *response,
                               uint32_t budget);
/* Begins a request frame (the command line and the load generator are clients of the same codec).
 */
nodiscard int proto_encode_request(struct proto_out *o, struct arena *arena, int16_t api_key,
                                   int16_t version, int32_t correlation_id, struct bytes client_id,
                                   const void *request);
/* 0 when done: o->out is the whole frame. E_AGAIN: call again. E_NO_MEMORY, E_INVALID (null where
 * the version has no null, string too long), E_TOO_LARGE (a frame beyond 2 GiB). The value must not
 * change in between. References of `records` belong to the value until 0 was returned, and to
 * o->out from then on: after an error, or when the caller gives up, the value's slices are put and
 * o->out is empty. */
nodiscard int proto_encode_more(struct proto_out *o, uint32_t budget);

/* The client's side: skips a response's header (correlation id set). */
nodiscard int proto_decode_response_header(struct proto_in *in, int16_t api_key, int16_t version,
                                           int32_t *correlation_id);

/* The exact number of bytes of a message, or a negative error. */
nodiscard int64_t proto_size(const struct proto_message *m, int16_t version, const void *value);
/* Encodes into one piece of memory of exactly proto_size bytes. */
nodiscard int proto_encode_flat(const struct proto_message *m, int16_t version, const void *value,
                                uint8_t *to, uint64_t n);

#endif
