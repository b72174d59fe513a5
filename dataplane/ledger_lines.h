/*
 * ledger_lines.h - the memory ledger, read: bounds, what is taken, the lines at the start.
 *
 * Owner: none; anybody may call it once the broker has booted.
 */
#ifndef MILLRACE_LEDGER_LINES_H
#define MILLRACE_LEDGER_LINES_H

#include "broker.h"

/* Bytes in memory now. Owner: the caller. */
struct ledger_used {
    uint64_t lines[LEDGER_LINES_N];
    uint64_t resident; /* the whole process, as the kernel counts it */
};

/* As label of a metric. */
const char *ledger_label(enum ledger_line line);
/* What a line may take at most; 0: it has no bound of its own. */
uint64_t ledger_bound(const struct broker *b, enum ledger_line line);
uint64_t ledger_bounds_sum(const struct broker *b);
/* Asks the kernel: some milliseconds for a GiB. */
void ledger_used(const struct broker *b, struct ledger_used *used);
void ledger_print(const struct broker *b, FILE *to);

#endif
