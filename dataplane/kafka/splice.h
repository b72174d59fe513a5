/*
 * splice.h - an answer with one very long array, whose elements become bytes one by one.
 *
 * Owner: the request (its worker). Everything stands in the request's arena.
 *
 * The codec wants an array as one piece of memory, and a piece ends at 2 MiB. Here an element's
 * struct lives only until it is encoded; bytes gather in pieces of 64 KiB, and the answer is put
 * together at the end:
 *
 *   length, header, fields in front | count | elements ... | fields behind
 *
 * The first and the last part are what the codec makes of the response with the array empty, cut at
 * its count.
 */
#ifndef MILLRACE_SPLICE_H
#define MILLRACE_SPLICE_H

#include "proto.h"

enum { SPLICE_PIECES_MAX = 2048 };

struct splice {
    struct arena *arena;
    struct proto_message element; /* a message made of the array's element */
    int16_t version;
    int32_t n;         /* elements so far */
    uint8_t *at, *end; /* room behind the last piece */
    struct slices out; /* [0], [1] are kept free for the front and the count */
};

/* `element` is the element's descriptor, `of` the response it belongs to. False: no memory. */
bool splice_begin(struct splice *s, struct arena *arena, const struct proto_message *of,
                  const struct proto_struct *element, uint32_t element_size, int16_t version);
/* Encodes one element; its struct may go. False: no memory. */
bool splice_add(struct splice *s, const void *element);
/* Puts the answer together: `response` has the array empty, and `behind_n` bytes of fields behind
 * it. False: no memory. */
bool splice_end(struct splice *s, int16_t api_key, int32_t correlation_id, const void *response,
                uint32_t behind_n, struct slices *out);

#endif
