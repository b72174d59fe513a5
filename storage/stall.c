/*
 * stall.c - when the disk stood still: stalls longer than storage.stall.ms, counted and remembered.
 *
 * Owner: home.
 *
 * Looked at are flushes with the writes they waited for, and each write and read by itself. When a
 * disk stands still everything under way on it is late, so what overlaps is one stall, as long as
 * all of it together. The last STALLS_N are kept with their times, so that a request that waited
 * through one can be told (`millrace slow`); a stall that is not over has no end yet and is not
 * known here.
 */
#include "plog.h"

void store_stall_note(struct store *store, uint64_t began_ns, uint64_t ended_ns)
{
    struct stall *newest = &store->stalls[store->stalls_at];
    if (newest->ended_ns <= began_ns) {
        store->stalls_at = (store->stalls_at + 1) % STALLS_N;
        newest = &store->stalls[store->stalls_at];
        *newest = (struct stall){began_ns, ended_ns};
        store->stats.stalls++;
    }
    newest->began_ns = min_u64(newest->began_ns, began_ns);
    newest->ended_ns = max_u64(newest->ended_ns, ended_ns);
    store->stats.stall_ns = newest->ended_ns - newest->began_ns;
}

uint64_t store_stalled(struct store *store, uint64_t from_ns, uint64_t to_ns, uint64_t *took_ns,
                       uint8_t *dir)
{
    struct store *at = store;
    uint64_t most_ns = 0;
    do {
        uint64_t sum_ns = 0, longest_ns = 0;
        for (int i = 0; at->stats.stalls > 0 && i < STALLS_N; i++) {
            uint64_t from = max_u64(from_ns, at->stalls[i].began_ns);
            uint64_t to = min_u64(to_ns, at->stalls[i].ended_ns);
            if (from >= to)
                continue;
            sum_ns += to - from;
            longest_ns = max_u64(longest_ns, at->stalls[i].ended_ns - at->stalls[i].began_ns);
        }
        if (sum_ns > most_ns) {
            most_ns = sum_ns;
            *took_ns = longest_ns;
            *dir = at->config.dir;
        }
        at = at->next;
    } while (at != store);
    return most_ns;
}
