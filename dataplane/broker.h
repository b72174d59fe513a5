/*
 * broker.h - the whole broker minus the machine: everything between the seams, built, turned and
 * taken down.
 *
 * Owner: main at boot and stop; each thread its own part in between.
 *
 * main.c gives it the real seams (io_uring, the file system, pthreads, sockets), tests/sim the
 * simulated ones; the code in between is the same. broker_boot does in order: memory, posts,
 * directory_take, control_init (replay of the metadata), stores, control_open_logs (recovery),
 * kafka layers. Nothing runs before it has returned.
 */
#ifndef MILLRACE_BROKER_H
#define MILLRACE_BROKER_H

#include "bounds.h"
#include "config.h"
#include "control.h"
#include "disk.h"
#include "ledger.h"
#include "ports.h"
#include "worker.h"

enum { BROKER_WORKERS_MAX = BOUNDS_WORKERS_MAX, BROKER_WHY_MAX = 512, BROKER_DIR_WHY_MAX = 384 };

/* What a broker stands on. Owner: main or the simulator; outlives the broker. */
struct broker_seams {
    struct disk *disk;
    /* The asynchronous io of thread number `thread` (workers, then control); NULL: refused, `why`
     * says so. */
    struct io *(*io_open)(void *context, uint8_t thread, char *why, size_t why_n);
    void (*io_close)(void *context, uint8_t thread, struct io *io);
    /* `bytes` (a multiple of 2 MiB) of zeroed memory aligned to 2 MiB; NULL: refused. */
    void *(*memory_take)(void *context, uint64_t bytes);
    void (*memory_put)(void *context, void *memory, uint64_t bytes);
    /* Boot, before anything is read: are the addresses free? Chooses where a port is 0. May be
     * NULL. */
    int (*listeners_check)(void *context, struct listener *listeners, uint32_t n, char *why,
                           size_t why_n);
    /* Whoever makes the ports of dpdk.ports; asked only when there are some. NULL, or returning
     * NULL: refused, `why` says so. */
    const struct port_driver *(*port_driver)(void *context, char *why, size_t why_n);
    /* How logs are opened side by side (control.h); NULL: one after the other. */
    void (*each)(void *context, uint32_t n, void (*part)(void *argument, uint32_t at),
                 void *argument);
    void *context;
    uint64_t seed;
    uint64_t (*ticks)(void);  /* of turns.h; NULL: turns are not measured */
    struct now now;           /* of the boot */
    uint32_t cpus_n;          /* for dataplane.workers=0; 0 counts as 1 */
    uint64_t descriptors_max; /* RLIMIT_NOFILE */
    uint64_t memory_bytes;    /* of the machine; 0: not checked */
    bool is_single_threaded;  /* the simulator: event descriptors are not made */
    bool is_recovery;         /* --recover: a new log directory is refused */
};

/* Owner: main. Threads are numbered: workers 0 .. workers_n-1, then control, files, bulk. */
struct broker {
    const struct config *config;
    struct broker_seams seams;
    struct bounds bounds;
    uint8_t workers_n;
    struct worker *workers[BROKER_WORKERS_MAX];
    struct views views;
    struct control *control;
    struct io *control_io;
    struct pages control_pages;
    struct timers control_timers;
    struct post control_post, files_post, bulk_post;
    struct stats control_stats;
    struct helper *files, *bulk;
    struct directory_id directory;         /* of the metadata log's */
    struct log_dir dirs[LOG_DIRS_MAX + 1]; /* log.dirs, then metadata.log.dir if it is another */
    char dirs_why[LOG_DIRS_MAX + 1][BROKER_DIR_WHY_MAX];    /* one that is not online: why */
    int lock_fds[LOG_DIRS_MAX + 1];                         /* -1: not ours */
    struct checkpoints *dirs_checkpoints[LOG_DIRS_MAX + 1]; /* while it stops: closed in order */
    uint8_t dirs_n;                                         /* of log.dirs */
    uint8_t metadata_dir;                                   /* place in dirs; dirs_n: one more */
    struct recovery_report recovery;
    struct journal_report journal;
    struct listener listeners[LISTENERS_MAX];
    uint32_t listeners_n;
    struct ports ports;
    struct ledger ledger; /* dataplane/ledger.c prints it */
    /* Where the stack of each thread begins, written by itself; 0: it does not run. */
    struct stats_cell stacks[THREADS_MAX];
    bool is_clean; /* the last stop was orderly, in every directory that is here */
    bool has_posts;
    bool has_open_logs;       /* boot has come to its end */
    bool is_undoing;          /* it has failed: a first start takes its directories away again */
    char why[BROKER_WHY_MAX]; /* one clear line after a failed boot */
};

static inline uint8_t broker_control_thread(const struct broker *b)
{
    return b->workers_n;
}

static inline uint8_t broker_files_thread(const struct broker *b)
{
    return (uint8_t)(b->workers_n + 1);
}

static inline uint8_t broker_bulk_thread(const struct broker *b)
{
    return (uint8_t)(b->workers_n + 2);
}

static inline uint8_t broker_threads_n(const struct broker *b)
{
    return (uint8_t)(b->workers_n + 3);
}

/* Builds and recovers everything; listeners are parsed but nothing is bound or accepted yet. On
 * failure b->why says why, and nothing is left open. `progress` may be NULL; it is called with
 * seams->context. */
nodiscard int broker_boot(struct broker *b, const struct config *config,
                          const struct broker_seams *seams,
                          void (*progress)(void *context, uint64_t done_n, uint64_t all_n));
/* One turn of thread `thread` (worker, control, files or bulk). Returns how much was done. */
int broker_turn(struct broker *b, uint8_t thread, struct now now);
/* What `thread` has: its post, what own() compares with, its io and timers (NULL for the helpers).
 */
struct post *broker_post(struct broker *b, uint8_t thread);
const void *broker_self(const struct broker *b, uint8_t thread);
struct io *broker_io(const struct broker *b, uint8_t thread);
struct timers *broker_timers(struct broker *b, uint8_t thread);
/* "worker-0", "control", "files", "bulk". */
void broker_thread_name(const struct broker *b, uint8_t thread, char *to, size_t to_n);
/* Nothing is under way at this thread; by the thread itself, or when none runs. */
bool broker_thread_is_quiet(const struct broker *b, uint8_t thread);
/* Clean stop, after the threads have stopped (or between turns in the simulator): closes every log,
 * writes the checkpoints and .kafka_cleanshutdown. b->why is set on failure. */
nodiscard int broker_close(struct broker *b);
/* Frees everything, also after a crash in the simulator (nothing is written). */
void broker_fini(struct broker *b);
/* Boot, when everything is built: what memory it has taken is entered into b->ledger.
 * E_NO_MEMORY. */
nodiscard int broker_ledger(struct broker *b);

#endif
