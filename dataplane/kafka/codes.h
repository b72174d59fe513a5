/*
 * codes.h - the generated message structs and Kafka's error codes by name.
 *
 * Owner: immutable.
 */
#ifndef MILLRACE_CODES_H
#define MILLRACE_CODES_H

#include "kafka_codes.h"
#include "messages.h"

#endif
