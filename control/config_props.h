/*
 * config_props.h - reads Java properties text (the syntax of server.properties).
 *
 * Owner: the caller.
 */
#ifndef MILLRACE_CONFIG_PROPS_H
#define MILLRACE_CONFIG_PROPS_H

#include "base.h"
#include "errors.h"

/* Owner: the caller. `text` is changed while it is read: keys and values are unescaped in place. */
struct props {
    char *at, *end;    /* what is left; *end is room for one terminating byte */
    char *out;         /* where the next unescaped byte goes, never beyond `at` */
    uint32_t line;     /* of the natural line `at` is in, from 1 */
    uint32_t line_key; /* where the last key stood */
    int error;
};

/* text[0..n) with room for text[n]. */
void props_init(struct props *props, char *text, size_t n);
/* The next pair, in `text`, until props_init's memory goes. E_EOF at the end; E_MALFORMED for a
 * broken \uXXXX or a zero byte: line_key says where. */
nodiscard int props_next(struct props *props, char **key, char **value);

#endif
