/*
 * answers.h - what handlers share: Kafka's error codes by name, texts in the answer's arena.
 *
 * Owner: the request.
 */
#ifndef MILLRACE_ANSWERS_H
#define MILLRACE_ANSWERS_H

#include <stdarg.h>
#include <stdio.h>

#include "arena.h"
#include "bytes.h"

enum kafka_code {
    KAFKA_UNKNOWN_SERVER_ERROR = -1, KAFKA_NONE = 0, KAFKA_UNKNOWN_TOPIC_OR_PARTITION = 3,
    KAFKA_INVALID_TOPIC_EXCEPTION = 17, KAFKA_TOPIC_ALREADY_EXISTS = 36, KAFKA_INVALID_PARTITIONS = 37,
    KAFKA_INVALID_REPLICATION_FACTOR = 38, KAFKA_INVALID_REPLICA_ASSIGNMENT = 39, KAFKA_INVALID_CONFIG = 40,
    KAFKA_INVALID_REQUEST = 42, KAFKA_POLICY_VIOLATION = 44, KAFKA_INVALID_TRANSACTION_TIMEOUT = 50,
    KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53, KAFKA_KAFKA_STORAGE_ERROR = 56,
    KAFKA_TOPIC_DELETION_DISABLED = 73, KAFKA_UNKNOWN_TOPIC_ID = 100,
};

enum { ANSWER_TEXT_MAX = 1024 };

/* The error of one item of an answer. Owner: the handler. */
struct fault {
    int16_t code;                 /* KAFKA_NONE: none */
    char text[ANSWER_TEXT_MAX];
};

/* Sets it and returns false, so that a check can end with `return fault_set(...)`. */
printf_like(3, 4) static inline bool fault_set(struct fault *fault, int16_t code, const char *format, ...)
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

#endif
