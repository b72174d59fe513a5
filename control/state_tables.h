/*
 * state_tables.h - the changing side of the state's tables, for state_apply.c alone; and lists of
 * settings, for whoever builds one.
 *
 * Owner: control.
 */
#ifndef MILLRACE_STATE_TABLES_H
#define MILLRACE_STATE_TABLES_H

#include "state.h"

/* value.ptr == NULL removes. */
nodiscard int settings_set(struct settings *settings, struct bytes key, struct bytes value);
void settings_clear(struct settings *settings);
/* Found or made; NULL without memory. */
struct resource *state_resource_make(struct state *state, int8_t type, struct bytes name);
struct broker *state_broker_make(struct state *state, int32_t id);
void state_broker_remove(struct state *state, int32_t id);
/* Name and id must be new. */
nodiscard int state_topic_add(struct state *state, struct bytes name, const struct uuid *id);
/* Takes it out of the tables; the struct stays until state_settle. */
void state_topic_remove(struct state *state, struct topic *topic);

#endif
