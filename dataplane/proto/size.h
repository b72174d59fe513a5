/*
 * size.h - how many bytes a value takes, and whether a tagged field is worth writing.
 *
 * Owner: immutable (pure functions).
 */
#ifndef MILLRACE_PROTO_SIZE_H
#define MILLRACE_PROTO_SIZE_H

#include "rows.h"

/* The bytes of one field at `value`, without a tag in front; E_INVALID as proto_encode_more. */
int64_t size_field(const struct proto_row *row, const void *value, uint8_t version,
                   bool is_flexible);
/* KIP-482: a tagged field at its default is not written. `base` is the row's struct. */
bool size_is_default(const struct proto_struct *type, const struct proto_row *row,
                     const uint8_t *base);

#endif
