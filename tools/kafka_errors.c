/*
 * kafka_errors.c - the names of Kafka's error codes. See client.h.
 *
 * Owner: immutable.
 */
#include <stdio.h>

#include "client.h"

const char *kafka_error_name(int16_t code, char *buffer, size_t n)
{
    static const struct {
        int16_t code;
        const char *name;
    } names[] = {
#define KAFKA_ERROR(code, name) {code, #name},
#include "kafka_errors.def"
#undef KAFKA_ERROR
    };
    for (size_t i = 0; i < array_n(names); i++)
        if (names[i].code == code)
            return names[i].name;
    snprintf(buffer, n, "error %d", code);
    return buffer;
}
