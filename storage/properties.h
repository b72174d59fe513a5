/*
 * properties.h - Java properties text, as meta.properties has it: reading pair by pair, writing
 * with escapes.
 *
 * Owner: immutable (pure functions). Source: java.util.Properties, load and store.
 *
 *   key=value   key:value   key value      white space around the separator is not part of either
 *   # comment   ! comment                  first character of a line
 *   \t \n \r \f \uXXXX, \<other>           escapes in both; a '\' at a line's end joins the next
 */
#ifndef MILLRACE_PROPERTIES_H
#define MILLRACE_PROPERTIES_H

#include "bytes.h"
#include "errors.h"

enum { PROPERTY_MAX = 512 };

struct property {
    char key[PROPERTY_MAX], value[PROPERTY_MAX]; /* UTF-8, NUL-terminated */
};

/* The next pair; moves `text`. E_EOF at the end, E_TOO_LARGE, E_MALFORMED (a bad \u, a NUL). */
nodiscard int property_next(struct bytes *text, struct property *out);
/* Writes "key=value\n" with escapes; `to` has room for property_bytes_max. Returns the bytes
 * written. */
uint32_t property_write(char *to, const char *key, const char *value);
uint64_t property_bytes_max(const char *key, const char *value);

#endif
