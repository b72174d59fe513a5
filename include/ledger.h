/*
 * ledger.h - which memory the process has taken, and for whom: blocks, each on a line of
 * ledger.def.
 *
 * Owner: main. Filled once, when everything is built and before threads run; immutable afterwards.
 *
 * Each folder's face has a function that enters its blocks (store_ledger, kafka_ledger, ...). Only
 * what is large and lives as long as the broker is a block of its own; the rest is the line HEAP.
 * So what a line may take is the sum of its blocks, and what it has taken is how much of them is
 * resident (dataplane/ledger.c asks the kernel).
 */
#ifndef MILLRACE_LEDGER_H
#define MILLRACE_LEDGER_H

#include <stdlib.h>

#include "base.h"

enum ledger_line {
#define LEDGER(name, label, text) LEDGER_##name,
#include "ledger.def"
#undef LEDGER
    LEDGER_LINES_N
};

enum { LEDGER_BLOCK_MIN = 16 << 10 }; /* smaller ones stay in the line HEAP */

struct ledger_block {
    const void *at;
    uint64_t bytes;
    uint8_t line; /* enum ledger_line */
    bool is_heap; /* from malloc, which counts it too */
};

/* Owner: main. */
struct ledger {
    struct ledger_block *v;
    uint32_t n, max;
    bool is_short; /* there was no memory for a block: the sums are too small */
};

/* One block of memory that was taken for longer than a request; small ones are not counted. */
static inline void ledger_enter(struct ledger *l, enum ledger_line line, const void *at,
                                uint64_t bytes, bool is_heap)
{
    if (at == NULL || bytes < LEDGER_BLOCK_MIN)
        return;
    if (l->n == l->max) {
        uint32_t max = l->max == 0 ? 64 : l->max * 2;
        struct ledger_block *v = realloc(l->v, max * sizeof *v);
        if (v == NULL) {
            l->is_short = true;
            return;
        }
        l->v = v;
        l->max = max;
    }
    l->v[l->n++] = (struct ledger_block){at, bytes, (uint8_t)line, is_heap};
}

/* A block from malloc. */
static inline void ledger_add(struct ledger *l, enum ledger_line line, const void *at,
                              uint64_t bytes)
{
    ledger_enter(l, line, at, bytes, true);
}

/* A block from the kernel. */
static inline void ledger_add_mapped(struct ledger *l, enum ledger_line line, const void *at,
                                     uint64_t bytes)
{
    ledger_enter(l, line, at, bytes, false);
}

#endif
