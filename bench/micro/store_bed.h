/*
 * store_bed.h - a store by itself, for benchmarks: the real ring, real files, a thread as the files
 * helper; no network, no requests.
 *
 * Owner: the program's main thread is the store's home.
 */
#ifndef MILLRACE_STORE_BED_H
#define MILLRACE_STORE_BED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "disk_tools.h"
#include "journal.h"
#include "uring.h"

enum { BED_LOGS_MAX = 1000, BED_PAGES_BYTES = 256 << 20, BED_IDLE_US = 20 };
enum { THREAD_STORE, THREAD_FILES, THREAD_BULK, THREADS_N };

/* Owner: the program. */
struct ground {
    char directory[512];
    struct io *io;
    struct pages pages;
    struct timers timers;
    struct post posts[THREADS_N];
    struct helper *files;
    struct store *store;
    struct plog *logs[BED_LOGS_MAX];
    uint8_t mail_at;
    pthread_t thread;
    _Atomic bool is_ending;
};

static inline void *ground_files_run(void *context)
{
    struct ground *g = context;
    thread_self = g->files;
    while (!atomic_load_explicit(&g->is_ending, memory_order_relaxed))
        if (helper_turn(g->files, clock_read(), 100) == 0)
            usleep(BED_IDLE_US);
    return NULL;
}

static inline void ground_memory(struct ground *g)
{
    void *memory = aligned_alloc(2 << 20, BED_PAGES_BYTES);
    check(memory != NULL);
    (void)madvise(memory, BED_PAGES_BYTES, MADV_HUGEPAGE); /* as the broker's */
    pages_init(&g->pages, memory, BED_PAGES_BYTES, calloc(1, pages_header_bytes(BED_PAGES_BYTES)));
}

/* A new directory below `parent`; the broker's settings, but for the ring's size and the longest
 * run that goes through it (0: its default). */
static inline void ground_open(struct ground *g, const char *parent, uint64_t journal_bytes,
                               uint32_t run_max)
{
    struct uring_report report;
    struct post *posts[THREADS_N];
    snprintf(g->directory, sizeof g->directory, "%.400s/bench-store-XXXXXX", parent);
    check(mkdtemp(g->directory) != NULL);
    check(uring_open(&g->io, 256, &report) == 0);
    ground_memory(g);
    timers_init(&g->timers, clock_read_ns());
    for (int i = 0; i < THREADS_N; i++) {
        g->posts[i].event_fd = -1;
        posts[i] = &g->posts[i];
    }
    check(posts_connect(posts, THREADS_N, 1024) == 0);
    check(helper_init(&g->files, disk_posix(), &g->posts[THREAD_FILES], 1) == 0);
    struct store_config config = {.group_ns_max = 2 * NS_PER_MS,
                                  .open_files_max = 2000,
                                  .producers_max = 1000,
                                  .tail_bytes_max = BED_PAGES_BYTES / 2,
                                  .journal_bytes = journal_bytes,
                                  .journal_run_max = run_max,
                                  .raw_bytes_min = 32 << 10,
                                  .recovery_point_ns = 60 * NS_PER_S,
                                  .recovery_bytes_max = 256 << 20,
                                  .writeback_ns = 10 * NS_PER_S};
    snprintf(config.directory, sizeof config.directory, "%s", g->directory);
    check(store_init(&g->store, &config, g->io, disk_posix(), &g->pages, &g->timers,
                     &g->posts[THREAD_STORE], THREAD_FILES, THREAD_BULK) == 0);
    check(store_journal_open(g->store, clock_read_ns()) == 0);
    check(pthread_create(&g->thread, NULL, ground_files_run, g) == 0);
}

static inline void ground_logs(struct ground *g, uint32_t n, uint8_t durability,
                               uint64_t segment_bytes)
{
    static const struct uuid id = {{1}};
    struct log_config config = {.segment_bytes = segment_bytes,
                                .segment_ms = INT64_MAX / 2,
                                .segment_index_bytes = 10 << 20,
                                .index_interval_bytes = 4096,
                                .max_message_bytes = 1 << 20,
                                .retention_ms = -1,
                                .retention_bytes = -1,
                                .flush_messages = INT64_MAX,
                                .flush_ms = INT64_MAX,
                                .timestamp_before_max_ms = INT64_MAX,
                                .timestamp_after_max_ms = INT64_MAX,
                                .codec = CODEC_PRODUCER,
                                .durability = durability};
    check(n <= BED_LOGS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        struct log_id log = {id, bytes_of_string("bench"), (int32_t)i};
        check(store_log_new(g->store, &log, &config, &g->logs[i]) == 0);
    }
}

/* What a worker's turn does for its store, before and after `appends`; returns how much was done.
 */
static inline int ground_turn(struct ground *g, int (*appends)(void *context, struct now now),
                              void *context)
{
    struct mail *mail;
    int n = io_poll(g->io);
    struct now now = clock_read();
    mail_flush(&g->posts[THREAD_STORE]);
    for (; (mail = mail_read(&g->posts[THREAD_STORE], &g->mail_at)) != NULL; n++)
        store_mail(g->store, mail, now);
    if (appends != NULL)
        n += appends(context, now);
    n += store_flush(g->store, now);
    mail_flush(&g->posts[THREAD_STORE]);
    return n + io_poll(g->io);
}

static inline void ground_close(struct ground *g)
{
    char command[600];
    atomic_store_explicit(&g->is_ending, true, memory_order_relaxed);
    pthread_join(g->thread, NULL);
    snprintf(command, sizeof command, "rm -rf '%.500s'", g->directory);
    check(system(command) == 0);
}

#endif
