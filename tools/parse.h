/*
 * parse.h - the words of a command line and what they mean: numbers, times, positions, escapes.
 * Pure functions.
 *
 * Owner: immutable.
 */
#ifndef MILLRACE_PARSE_H
#define MILLRACE_PARSE_H

#include "bytes.h"

/* A whole decimal number within [low, high]; false for anything else, also for blanks and trailing
 * letters. */
bool parse_number(const char *text, int64_t low, int64_t high, int64_t *out);
/* "500ms", "10s", "2m", or a number of milliseconds; more than 0, at most a day. */
bool parse_duration_ms(const char *text, int *out);
/* A length of time up to some 290,000 years: "90m", "12h", "7d", or ISO 8601 without months and
 * years: "P7D", "PT1H30M", "P1DT12H", "PT0.5S". */
bool parse_period_ms(const char *text, int64_t *out);
/* "a=b" -> key "a" (n bytes of text), value "b"; false without '=' or with an empty key. */
bool parse_assignment(const char *text, struct bytes *key, struct bytes *value);

/* "host:port", "[::1]:port", "host" (port 9092). Owner: the caller. */
struct parse_address {
    char host[256];
    uint16_t port;
};
/* The next address of a comma-separated list; *list moves behind it. false at its end (**list == 0)
 * and for an address that is none (**list != 0). */
bool parse_next_address(const char **list, struct parse_address *out);

/* Where consuming begins. */
enum position_kind {
    POSITION_BEGINNING,
    POSITION_END,
    POSITION_OFFSET,
    POSITION_TAIL,
    POSITION_TIME
};
/* Owner: the caller. */
struct position {
    enum position_kind kind;
    int64_t value; /* the offset; the number of records before the end; milliseconds since 1970 */
};
/* "beginning", "end", "123", "-10" (the last ten), "@1700000000000" (milliseconds), "2026-01-31",
 * "2026-01-31T12:00:00Z" (also with milliseconds and an offset such as +02:00; without one it is
 * UTC). */
bool parse_position(const char *text, struct position *out);
/* An instant in words: "2026-01-31T12:00:00.000Z"; "-" for a negative one. */
enum { TIME_TEXT_MAX = 96 };
void time_text(int64_t ms, char to[TIME_TEXT_MAX]);

/* Resolves \n \t \r \0 \\ \xHH in place; false for an unknown escape. Returns the length in *n. */
bool parse_escapes(char *text, size_t *n);

/* Standard base64 with padding and a closing zero; `to` has room for (b.n + 2) / 3 * 4 + 1. */
void base64_encode(struct bytes b, char *to);

#endif
