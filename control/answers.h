/*
 * answers.h - what handlers share: faults, texts in the answer's arena.
 *
 * Owner: the request.
 */
#ifndef MILLRACE_ANSWERS_H
#define MILLRACE_ANSWERS_H

#include <stdarg.h>
#include <stdio.h>

#include "arena.h"
#include "bytes.h"
#include "kafka_codes.h"

enum { ANSWER_TEXT_MAX = 1024 };

/* The error of one item of an answer. Owner: the handler. */
struct fault {
    int16_t code; /* KAFKA_NONE: none */
    char text[ANSWER_TEXT_MAX];
};

/* Sets it and returns false, so that a check can end with `return fault_set(...)`. */
printf_like(3, 4) static inline bool fault_set(struct fault *fault, int16_t code,
                                               const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fault->code = code;
    vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    return false;
}

/* A copy in the arena; null without room. */
static inline struct bytes answer_text(struct arena *arena, const char *text)
{
    size_t n = text == NULL ? 0 : strlen(text);
    void *copy = text == NULL ? NULL : arena_copy(arena, text, n);
    return copy == NULL ? (struct bytes){NULL, 0} : bytes_of(copy, n);
}

static inline struct bytes answer_bytes(struct arena *arena, struct bytes from)
{
    void *copy = from.ptr == NULL ? NULL : arena_copy(arena, from.ptr, from.n);
    return copy == NULL ? (struct bytes){NULL, 0} : bytes_of(copy, from.n);
}

/* An element of answer_array as PROTO_NEW would have made it. */
#define ANSWER_DEFAULT(to, name) proto_default(&proto_fields_##name, (to))

/* An array of an answer, zeroed, of any length that the answer's bound allows; NULL beyond it. */
static inline void *answer_array(struct arena *arena, int64_t n, uint64_t size)
{
    uint64_t bytes = (uint64_t)(n < 1 ? 1 : n) * size;
    return bytes > PAGE_LARGE ? arena_alloc_large(arena, bytes) : arena_alloc(arena, bytes);
}

#endif
