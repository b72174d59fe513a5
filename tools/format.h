/*
 * format.h - how a consumed record is printed: a format string, parsed once, rendered for each
 * record.
 *
 *   %t topic   %p partition   %o offset   %k key   %s value   %K bytes of key   %S bytes of value
 *   %T timestamp in milliseconds   %D timestamp as a date   %h headers, name=value, comma separated
 * %% percent \n \t \r \0 \\ \xHH
 *
 * Owner: the caller. Lengths of null are -1; null prints as nothing.
 */
#ifndef MILLRACE_FORMAT_H
#define MILLRACE_FORMAT_H

#include <stdio.h>

#include "bytes.h"

enum { FORMAT_PARTS_MAX = 64, FORMAT_HEADERS_MAX = 256 };

/* Owner: the caller. */
struct format {
    char *text; /* escapes resolved; the literals point into it */
    uint32_t parts_n;
    struct format_part {
        char letter; /* 0: literal */
        struct bytes literal;
    } parts[FORMAT_PARTS_MAX];
};

/* Owner: the caller; views. */
struct format_record {
    const char *topic;
    int32_t partition;
    int64_t offset, timestamp_ms; /* timestamp -1: none */
    struct bytes key, value;
    uint32_t headers_n;
    struct format_header {
        const char *name;
        struct bytes value;
    } headers[FORMAT_HEADERS_MAX];
};

/* 0, or -1 with a sentence in `why` (at least 128 bytes). */
nodiscard int format_init(struct format *f, const char *text, char *why, size_t why_n);
void format_fini(struct format *f);
void format_print(const struct format *f, const struct format_record *r, FILE *to);

#endif
