/*
 * topic_name.c - is it a legal topic name? The rules and sentences of Kafka's Topic.validate.
 *
 * Owner: immutable (a pure function).
 *
 * Legal: 1 to 249 characters of [a-zA-Z0-9._-], but not "." and not "..".
 */
#include <stdio.h>

#include "control.h"

enum { TOPIC_NAME_MAX = 249 };

static bool is_legal(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

const char *topic_name_fault(struct bytes name, char *why, size_t why_n)
{
    const char *text = (const char *)name.ptr;
    int n = (int)name.n;
    if (name.n == 0) {
        snprintf(why, why_n, "Topic name is invalid: the empty string is not allowed");
        return why;
    }
    if (bytes_equal_string(name, ".") || bytes_equal_string(name, "..")) {
        snprintf(why, why_n, "Topic name is invalid: '%.*s' is not allowed", n, text);
        return why;
    }
    if (name.n > TOPIC_NAME_MAX) {
        snprintf(
            why, why_n,
            "Topic name is invalid: the length of '%.*s' is longer than the max allowed length %d",
            n, text, TOPIC_NAME_MAX);
        return why;
    }
    for (uint32_t i = 0; i < name.n; i++)
        if (!is_legal(name.ptr[i])) {
            snprintf(why, why_n,
                     "Topic name is invalid: '%.*s' contains one or more characters other than "
                     "ASCII alphanumerics, "
                     "'.', '_' and '-'",
                     n, text);
            return why;
        }
    return NULL;
}
