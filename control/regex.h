/*
 * regex.h - regular expressions over topic names, as Kafka's consumer groups have them (RE2/J's
 * syntax).
 *
 * Owner: the caller. PCRE2 does the matching, bounded in steps and depth; what RE2 does not have
 * (look-around, back references, recursion, conditions, atomic groups, possessive repetition) is
 * refused before PCRE2 sees it.
 */
#ifndef MILLRACE_REGEX_H
#define MILLRACE_REGEX_H

#include "bytes.h"

enum {
    REGEX_PATTERN_MAX = 64 << 10, /* a bound of ours */
    REGEX_STEPS_MAX = 20000,      /* of one match */
    REGEX_DEPTH_MAX = 1000,
    REGEX_NEST_MAX = 100,
    REGEX_GIVE_UP_N = 16, /* names that used up their steps: the expression matches no more names */
};

struct regex;

/* NULL, with *why (static text, RE2/J's words; NULL: no memory). */
struct regex *regex_new(struct bytes pattern, const char **why);
void regex_free(struct regex *regex);
/* The whole name matches. A name that needs more than REGEX_STEPS_MAX steps does not. */
bool regex_matches(struct regex *regex, struct bytes name);

#endif
