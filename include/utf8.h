/*
 * utf8.h - is a byte string well-formed UTF-8?
 *
 * Owner: immutable (a pure function).
 *
 * Names that clients choose (groups, instances, client ids) come back in other clients' answers,
 * and theirs refuse an answer with one malformed string in it. Apache Kafka replaces malformed
 * bytes when it decodes; we refuse such names, or show a "?" where a name is only shown. Source:
 * RFC 3629 section 4 (no overlong forms, no surrogates, at most U+10FFFF).
 */
#ifndef MILLRACE_UTF8_H
#define MILLRACE_UTF8_H

#include "bytes.h"

/* Bytes of the well-formed character at p, of n > 0 bytes; 0 when there is none. */
static inline uint32_t utf8_character(const uint8_t *p, uint32_t n)
{
    static const struct {
        uint8_t first, last, low, high, more; /* first byte; range of the second; how many follow */
    } forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 1}, {0xe0, 0xe0, 0xa0, 0xbf, 2},
                 {0xe1, 0xec, 0x80, 0xbf, 2}, {0xed, 0xed, 0x80, 0x9f, 2},
                 {0xee, 0xef, 0x80, 0xbf, 2}, {0xf0, 0xf0, 0x90, 0xbf, 3},
                 {0xf1, 0xf3, 0x80, 0xbf, 3}, {0xf4, 0xf4, 0x80, 0x8f, 3}};
    if (p[0] < 0x80)
        return 1;
    for (size_t i = 0; i < array_n(forms); i++) {
        if (p[0] < forms[i].first || p[0] > forms[i].last)
            continue;
        if (n <= forms[i].more || p[1] < forms[i].low || p[1] > forms[i].high)
            return 0;
        for (uint32_t k = 2; k <= forms[i].more; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return 1u + forms[i].more;
    }
    return 0;
}

/* Well-formed as of Unicode: no surrogates, no overlong forms, nothing above U+10FFFF. */
static inline bool utf8_is_valid(struct bytes s)
{
    for (uint32_t at = 0; at < s.n;) {
        uint32_t n = utf8_character(s.ptr + at, s.n - at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

#endif
