/*
 * operator.h - who creates topics and changes what is there, in a simulated run.
 *
 * Owner: the simulator.
 */
#ifndef MILLRACE_SIM_OPERATOR_H
#define MILLRACE_SIM_OPERATOR_H

#include "sim.h"

struct sim_operator *operator_new(void);
void operator_free(struct sim_operator *o);
/* False after a failure. */
bool operator_turn(struct sim *s, struct sim_operator *o);
void operator_broker_gone(struct sim *s, struct sim_operator *o);
/* Every topic is there, nothing is half asked. */
bool operator_is_done(const struct sim *s, const struct sim_operator *o);
/* The broker is down, after a clean stop: a log is cut (log_truncate), the model with it. `end`: of
 * each log, as it was just read. */
bool operator_truncate(struct sim *s, uint32_t topic, int32_t partition, int64_t start,
                       int64_t end);

#endif
