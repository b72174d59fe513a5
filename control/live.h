/*
 * live.h - the broker settings that act on workers while the process runs.
 *
 * Owner: control.
 */
#ifndef MILLRACE_LIVE_H
#define MILLRACE_LIVE_H

#include "resolve.h"
#include "view.h"

/* As they are in force. */
void live_resolve(const struct resolver *resolver, struct live_settings *out);
/* max.connections.per.ip.overrides: ADDRESS:N,... Returns how many; -1: not of that form, or too
 * many. */
int live_overrides_parse(const char *text, struct live_override out[LIVE_OVERRIDES_MAX]);

#endif
