/*
 * worker.h - all that one polling core owns, and its turn.
 *
 * Owner: worker. Nobody else touches a struct worker after its thread has started, except: rings of its post
 * (mail.h), its struct stats and histograms (metrics, relaxed), and views.seen.
 */
#ifndef MILLRACE_WORKER_H
#define MILLRACE_WORKER_H

#include "conn.h"
#include "kafka.h"
#include "mail.h"
#include "prng.h"
#include "stats.h"
#include "storage.h"
#include "timer.h"
#include "view.h"

/* Owner: worker. */
struct worker {
    uint8_t number;              /* thread number: 0 .. workers - 1      */
    bool is_polling;             /* never sleeps (dataplane.poll=always) */
    bool is_stopping;
    uint64_t idle_turns_n;       /* in a row */
    uint32_t idle_turns_max;     /* then it sleeps */
    struct now now;              /* of this turn */
    const struct view *view;     /* of this turn */
    struct views *views;
    struct io *io;
    struct pages log_pages;      /* tail and cache */
    struct pages request_pages;  /* arenas, answers, staging */
    struct timers timers;
    struct post post;
    struct conns *conns;
    struct store *store;
    struct kafka *kafka;
    struct prng prng;
    struct stats stats;
    struct timer tick;           /* store_tick, copying of counters */
    uint8_t mail_from_at;
};

/* One pass: in (completions, mail, time), decide (frames become requests, requests run), out (one write per
 * dirty log, answers). Never blocks. Returns how much was done; 0 = idle. `now` is the turn's time. */
int worker_turn(struct worker *w, struct now now);

#endif
