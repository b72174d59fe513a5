/*
 * ledger.c - what of the memory ledger is control's.
 *
 * Owner: main at boot. What grows with topics and groups is not here: it comes from the heap.
 */
#include "ledger.h"

#include "control_inside.h"
#include "coordinator.h"

void control_ledger(const struct control *c, struct ledger *ledger)
{
    const struct coordinator *co = c->coordinator;
    ledger_add(ledger, LEDGER_CONTROL, c->orders, CONTROL_LOG_OPS * sizeof *c->orders);
    ledger_add(ledger, LEDGER_CONTROL, c->records.buffer, RECORDS_BYTES_MAX);
    ledger_add(ledger, LEDGER_CONTROL, c->records.scratch, RECORDS_BYTES_MAX);
    ledger_add(ledger, LEDGER_CONTROL, co->groups.buckets,
               3ull * GROUP_BUCKETS * sizeof *co->groups.buckets);
    ledger_add(ledger, LEDGER_CONTROL, co->nexts.by_id,
               2ull * NEXT_BUCKETS * sizeof *co->nexts.by_id);
    store_ledger(c->store, ledger);
}
