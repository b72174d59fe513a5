/*
 * settings_check.h - settings that a request brings: names, values, and what does not go together.
 *
 * Owner: the request.
 */
#ifndef MILLRACE_SETTINGS_CHECK_H
#define MILLRACE_SETTINGS_CHECK_H

#include "answers.h"
#include "config.h"
#include "resolve.h"
#include "state_tables.h"

/* True when the scope has a setting of that name; else the fault says so, as Kafka words it. */
bool settings_check_name(struct bytes name, enum config_scope scope, struct fault *fault);
/* Adds the value in Kafka's form to `settings`; false with the fault set when it is not acceptable.
 */
bool settings_check_value(struct settings *settings, enum config_scope scope, struct bytes name,
                          struct bytes value, struct fault *fault);
/* Rules between the settings of one topic, with their defaults. */
bool settings_check_together(const struct resolver *resolver, const struct settings *settings,
                             struct fault *fault);

#endif
