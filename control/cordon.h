/*
 * cordon.h - log directories that get no new partitions (cordoned.log.dirs).
 *
 * Owner: none.
 */
#ifndef MILLRACE_CORDON_H
#define MILLRACE_CORDON_H

#include "config.h"
#include "storage.h"

/* May cordoned.log.dirs have this value? False: `why` (of 128 bytes or more) says why not, in
 * Kafka's words. */
bool cordon_check(const struct config *config, const char *value, char *why, size_t why_n);
/* Bit 1 << i: dirs[i] is cordoned. Names that are not there any more do not count. */
uint64_t cordon_mask(const char *value, const struct log_dir *dirs, uint8_t dirs_n);
#endif
