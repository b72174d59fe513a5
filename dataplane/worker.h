/*
 * worker.h - all that one polling core owns, and its turn.
 *
 * Owner: worker. Nobody else touches a struct worker after its thread has started, except: rings of
 * its post (mail.h), its struct stats, histograms and diag ring (metrics and main, relaxed), and
 * views.seen.
 */
#ifndef MILLRACE_WORKER_H
#define MILLRACE_WORKER_H

#include "conn.h"
#include "control.h"
#include "diag.h"
#include "internal.h"
#include "kafka.h"
#include "look.h"
#include "mail.h"
#include "ports.h"
#include "prng.h"
#include "stats.h"
#include "storage.h"
#include "timer.h"
#include "turns.h"
#include "view.h"

enum {
    WORKER_MAIL_MAX = 512,    /* operations taken in one turn; the rest waits in the rings */
    WORKER_TIMERS_MAX = 256,  /* timers fired in one turn                                  */
    WORKER_TICK_MS = 100,     /* housekeeping of the store, copying of counters            */
    WORKER_REPORT_TICKS = 10, /* of these: between two reports to the operator */
};

/* What a log directory is like, as this worker sees it; read by the metrics thread. */
struct worker_dir {
    struct stats_cell is_offline, logs, free_bytes, reserve_bytes;
};

/* Owner: worker. */
struct worker {
    uint8_t number; /* thread number: 0 .. workers - 1      */
    uint8_t control_thread;
    bool is_stopping;
    struct now now;            /* of this turn */
    const struct view *view;   /* of this turn */
    uint64_t adjusted_version; /* of the view whose settings are in force here */
    struct views *views;
    struct io *io;
    struct pages log_pages;     /* tail and cache */
    struct pages request_pages; /* arenas, answers, staging */
    struct timers timers;
    struct post post;
    struct conns *conns;
    struct worker_ports ports; /* engines and lanes of the own TCP; none without dpdk.ports */
    struct store *stores[LOG_DIRS_MAX]; /* by log directory; NULL: it could not be taken */
    uint8_t stores_n;
    struct store *store; /* the first of them: finds the logs of all */
    struct kafka *kafka;
    struct internal internal; /* what control asks of the logs here */
    struct prng prng;
    struct stats stats;
    struct diag diag;
    struct look look;
    struct turns turns;             /* what its turns spend their time on */
    struct timer tick;              /* store_tick, copying of counters */
    struct store_stats store_stats; /* of all stores together, as of the last tick */
    uint8_t mail_from_at;
    uint64_t compact_errors_seen;
    bool is_compaction_stuck;
    uint64_t refused_seen[ERRORS_N]; /* of store_stats, already reported    */
    uint64_t ends_seen[CONN_ENDS_N]; /* of conns_stats, already reported    */
    const struct log_dir *log_dirs;  /* of the broker, by number */
    uint64_t stalls_seen[LOG_DIRS_MAX];
    uint64_t reserves_out_seen[LOG_DIRS_MAX];
    uint64_t failed_logs_seen;
    uint64_t checkpoint_errors_seen;
    struct dir_op dirs_failed[LOG_DIRS_MAX]; /* told to control */
    bool is_dir_told[LOG_DIRS_MAX];
    struct worker_dir dirs[LOG_DIRS_MAX];
    bool is_disk_short; /* told */
    uint32_t report_ticks_n;
};

/* The parts are there: what the turn needs besides them. Boot. */
void worker_begin(struct worker *w, struct now now);

/* Takes its share of the settings that act while it runs, as the view has them. */
void worker_adjust(struct worker *w, const struct view *view);

/* One pass: in (completions, mail, time), decide (frames become requests, requests run), out (one
 * write per dirty log, answers). Never blocks. Returns how much was done; 0 = idle. `now` is the
 * turn's time. */
int worker_turn(struct worker *w, struct now now);

/* Accepts nobody any more; connections end when their answers are out, or at deadline_ns. */
void worker_stop(struct worker *w, uint64_t deadline_ns);
/* No connection, no request, and everything appended is durable. */
bool worker_is_quiet(const struct worker *w);

#endif
