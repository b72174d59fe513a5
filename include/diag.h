/*
 * diag.h - what operators read: events from one table (diag.def), written to a ring, formatted
 * elsewhere.
 *
 * Owner: each thread has a struct diag and is its only writer; main reads the rings and formats
 * (diag_drain).
 *
 * A thread writes numbers and a short text, never a formatted line, and never waits: at most
 * DIAG_PER_SECOND_MAX events a second and cause reach the ring, the others are counted, and the
 * count goes out with the next event of that cause. A full ring drops and counts too. So nothing a
 * peer does can fill a disk with lines or stop a worker.
 *
 *   writer  A1 fill slot, store tail (release)     reader  R1 load tail (acquire), slot
 *           R2 load head (acquire)                         A2 store head (release)
 */
#ifndef MILLRACE_DIAG_H
#define MILLRACE_DIAG_H

#include <stdatomic.h>
#include <stdio.h>

#include "clock.h"

enum diag_id {
#define DIAG(name, level, text, help) DIAG_##name,
#include "diag.def"
#undef DIAG
    DIAGS_N
};
enum diag_level { DIAG_ERROR, DIAG_NOTE };

enum { DIAG_PER_SECOND_MAX = 5, DIAG_SLOTS_N = 256, DIAG_TEXT_MAX = 96 };

/* One event. Owner: the writer until it is in the ring, then the reader. */
struct diag_event {
    uint16_t id;
    uint32_t dropped_n; /* events of this cause since the last one, not written */
    int64_t wall_ms;
    int64_t n, m;
    char text[DIAG_TEXT_MAX];
};

/* Owner: its thread; head belongs to the reader. */
struct diag {
    _Alignas(64) _Atomic uint32_t tail;
    uint64_t dropped_n; /* all, for the counter */
    struct {
        uint64_t second;
        uint32_t n, dropped_n;
    } causes[DIAGS_N];
    _Alignas(64) _Atomic uint32_t head;
    struct diag_event slots[DIAG_SLOTS_N];
};

/* `text` is copied, may be NULL, and is cut at DIAG_TEXT_MAX - 1. */
void diag_write(struct diag *diag, struct now now, enum diag_id id, const char *text, int64_t n,
                int64_t m);

/* The reader: takes the next event; false when there is none. */
bool diag_read(struct diag *diag, struct diag_event *out);
/* One line: "2026-01-31T12:00:00.123Z note worker-0: 3 appends refused: ... (what to do)". Returns
 * its length. */
int diag_format(const struct diag_event *event, const char *thread, char *to, size_t to_n);

#endif
