/*
 * errors.h - the one error type: 0 or a negative E_name from errors.def.
 *
 * Owner: immutable.
 */
#ifndef MILLRACE_ERRORS_H
#define MILLRACE_ERRORS_H

#include "base.h"

enum error_at {
#define ERROR(name, kafka, text) ERROR_AT_##name,
#include "errors.def"
#undef ERROR
    ERRORS_N
};

enum error {
#define ERROR(name, kafka, text) E_##name = -ERROR_AT_##name,
#include "errors.def"
#undef ERROR
};

/* The sentence of an error; "unknown error" outside the table. */
static inline const char *error_text(int e)
{
    static const char *const texts[] = {
#define ERROR(name, kafka, text) text,
#include "errors.def"
#undef ERROR
    };
    return e <= 0 && e > -(int)ERRORS_N ? texts[-e] : "unknown error";
}

/* The Kafka error code a client is answered with (-1 UNKNOWN_SERVER_ERROR when there is no better).
 */
static inline int16_t error_kafka(int e)
{
    static const int16_t codes[] = {
#define ERROR(name, kafka, text) kafka,
#include "errors.def"
#undef ERROR
    };
    return e <= 0 && e > -(int)ERRORS_N ? codes[-e] : -1;
}

/* Our error for an errno of a system call. */
int error_from_errno(int err);

#endif
