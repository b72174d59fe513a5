/*
 * store.c - a store: its logs by topic id and partition, and what is done for all of them.
 *
 * Owner: home. Memory: all operations and jobs are made at boot; a log costs its struct, its first
 * segment and its topic's name. The table of logs doubles when it is full, the one piece of work
 * that grows with the number of logs; it happens when a log is made, never on an append or a read.
 *
 * A home has one store per log directory, in a ring: each with its own logs, operations, jobs and
 * budgets, so that a directory that fails or stalls takes nothing of the others. Pages are shared
 * (cache.c), and a log or a job's answer is found from each of them.
 */
#include <stdlib.h>

#include "hash.h"
#include "journal.h"
#include "ledger.h"
#include "move.h"
#include "repack.h"

enum { TABLE_MIN = 64 };

static void store_lists_init(struct store *store)
{
    struct list *const lists[] = {
        &store->logs,       &store->dirty,      &store->unsynced,      &store->round,
        &store->pending,    &store->completed,  &store->wants,         &store->dropped,
        &store->deleting,   &store->open_files, &store->indexes,       &store->writes_free,
        &store->fills_free, &store->fills,      &store->jobs_free,     &store->fill_waits,
        &store->answers,    &store->segments,   &store->epochs_behind, &store->loads,
        &store->moved,      &store->full,       &store->unlogged,      &store->repacks_free,
        &store->moves,
    };
    for (size_t i = 0; i < array_n(lists); i++)
        list_init(lists[i]);
}

static int store_operations_init(struct store *store)
{
    store->writes = calloc(WRITES_MAX, sizeof *store->writes);
    store->raw_blocks = aligned_alloc(RAW_BLOCK, (size_t)WRITES_MAX * RAW_BLOCK);
    store->fill_ops = calloc(FILLS_MAX, sizeof *store->fill_ops);
    store->jobs = calloc(JOBS_MAX, sizeof *store->jobs);
    if (store->writes == NULL || store->raw_blocks == NULL || store->fill_ops == NULL ||
        store->jobs == NULL)
        return E_NO_MEMORY;
    for (int i = 0; i < WRITES_MAX; i++)
        list_append(&store->writes_free, &store->writes[i].link);
    for (int i = 0; i < FILLS_MAX; i++) {
        list_init(&store->fill_ops[i].reads);
        list_append(&store->fills_free, &store->fill_ops[i].link);
    }
    for (int i = 0; i < JOBS_MAX; i++)
        list_append(&store->jobs_free, &store->jobs[i].mail.link);
    return repacks_init(store);
}

static void store_join(struct store *store, struct store *with)
{
    check(with->magic == STORE_MAGIC && store_of_dir(with, store->config.dir) == NULL);
    store->next = with->next;
    with->next = store;
    store->config.beside = NULL; /* the ring says it, and stays true */
    cache_join(&store->cache, &with->cache);
}

static void store_leave(struct store *store)
{
    struct store *before = store->next;
    while (before->next != store)
        before = before->next;
    before->next = store->next;
}

struct store *store_of_dir(struct store *store, uint8_t dir)
{
    struct store *at = store;
    do {
        if (at->config.dir == dir)
            return at;
        at = at->next;
    } while (at != store);
    return NULL;
}

int store_init(struct store **out, const struct store_config *config, struct io *io,
               struct disk *disk, struct pages *pages, struct timers *timers, struct post *post,
               uint8_t files_thread, uint8_t bulk_thread)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return E_NO_MEMORY;
    store->magic = STORE_MAGIC;
    store->next = store;
    store->config = *config;
    store->io = io;
    store->disk = disk;
    store->pages = pages;
    store->timers = timers;
    store->post = post;
    store->files_thread = files_thread;
    store->bulk_thread = bulk_thread;
    store->directory_fd = disk_open(disk, config->directory, DISK_READ | DISK_DIRECTORY);
    store_lists_init(store);
    store->table_n = TABLE_MIN;
    store->table = calloc(TABLE_MIN, sizeof(struct plog *));
    int rc = store->table == NULL ? E_NO_MEMORY : store_operations_init(store);
    if (rc == 0 && store->directory_fd < 0)
        rc = store->directory_fd;
    if (rc == 0)
        rc = cache_init(&store->cache, pages);
    if (rc == 0)
        rc = producer_pool_init(&store->producers, config->producers_max);
    if (rc != 0) {
        store_fini(store);
        return rc;
    }
    if (config->beside != NULL)
        store_join(store, config->beside);
    *out = store;
    return 0;
}

/* Takes logs apart without asking anybody: the threads have stopped. */
static void store_logs_fini(struct list *logs)
{
    struct list *l;
    while ((l = list_pop(logs)) != NULL) {
        struct plog *log = list_entry(l, struct plog, link);
        struct list *const links[] = {
            &log->dirty_link,  &log->sync_link, &log->pending_link,    &log->epochs_link,
            &log->moved_link,  &log->full_link, &log->record_links[0], &log->record_links[1],
            &log->behind_link, &log->round_link};
        for (size_t i = 0; i < array_n(links); i++) {
            if (list_is_linked(links[i]))
                list_del(links[i]);
        }
        log->write = NULL;
        log->syncs_n = log->jobs_n = log->segments_n = 0;
        plog_free(log);
    }
}

static void store_segments_fini(struct store *store)
{
    struct segment *segment;
    while ((segment = list_first(&store->segments, struct segment, store_link)) != NULL) {
        if (segment->fd >= 0)
            disk_close(store->disk, segment->fd);
        if (segment->raw_fd >= 0)
            disk_close(store->disk, segment->raw_fd);
        segment_free(segment);
    }
}

/* Operations that never completed: their pages and memory. */
static void store_operations_fini(struct store *store)
{
    struct list *l;
    for (int i = 0; store->writes != NULL && i < WRITES_MAX; i++) {
        struct write_op *write = &store->writes[i];
        for (uint32_t at = 0; write->log != NULL && at < write->pages_n; at++)
            page_put(write->pages[at]);
    }
    while ((l = list_pop(&store->loads)) != NULL)
        free(list_entry(l, struct index_load, link));
    store_jobs_fini(store);
    repacks_fini(store);
    free(store->writes);
    free(store->raw_blocks);
    free(store->fill_ops);
    free(store->jobs);
}

static void store_pages_fini(struct store *store)
{
    for (uint64_t i = 0; i <= store->cache.mask; i++) {
        while (store->cache.table[i] != NULL) {
            struct page *page = store->cache.table[i];
            segment_get(cache_page_segment(page)); /* so that segments go last, all at once */
            cache_remove(&store->cache, page);
        }
    }
}

void store_adjust(struct store *store, const struct store_live *live, uint32_t stores_n)
{
    struct store_config *config = &store->config;
    uint64_t rate_was = config->compact_bytes_per_s, backoff_was = config->compact_backoff_ns;
    double per_s = live->compact_bytes_per_s / stores_n, load = live->compact_load;
    config->producer_expiration_ms = live->producer_expiration_ms;
    config->compact_map_bytes = live->compact_map_bytes / stores_n;
    config->compact_load_percent = load < 0.01 ? 1 : load > 0.95 ? 95 : (uint32_t)(load * 100);
    config->compact_bytes_per_s = per_s >= 1e15 ? 0 : per_s < 1 ? 1 : (uint64_t)per_s;
    config->compact_backoff_ns = live->compact_backoff_ns;
    if (backoff_was > 0 &&
        (rate_was != config->compact_bytes_per_s || backoff_was != config->compact_backoff_ns))
        store->compactor.at_ns = 0; /* what it waits for was worked out from the old ones */
}

void store_fini(struct store *store)
{
    store_leave(store);
    store_compact_fini(store);
    store_moves_fini(store);
    store_operations_fini(store);
    if (store->cache.table != NULL)
        store_pages_fini(store);
    store_logs_fini(&store->logs);
    store_logs_fini(&store->dropped);
    store_segments_fini(store);
    journal_free(store);
    cache_fini(&store->cache);
    if (store->producers != NULL)
        producer_pool_fini(store->producers);
    free(store->table);
    if (store->checkpoints != NULL)
        checkpoints_free(store->checkpoints);
    checkpoints_free(store->closed);
    if (store->directory_fd >= 0)
        disk_close(store->disk, store->directory_fd);
    store->magic = 0;
    free(store);
}

/* ── operations ── */

static void store_op_done(struct io_op *op)
{
    struct store_op *store_op = container_of(op, struct store_op, op);
    op->is_busy = false;
    list_append(&store_op->store->completed, &op->link);
}

void store_op_ready(struct store *store, struct store_op *op,
                    void (*finish)(struct store_op *, struct now))
{
    op->store = store;
    op->finish = finish;
    op->began_ns = store->is_flushing ? store->now.ns : 0;
    op->op.done = store_op_done;
}

void store_op_submit(struct store *store, struct store_op *op,
                     void (*finish)(struct store_op *, struct now))
{
    store_op_ready(store, op, finish);
    io_submit(store->io, &op->op);
}

/* ── the table ── */

static struct plog **table_chain(struct store *store, const struct uuid *topic_id,
                                 int32_t partition)
{
    return &store->table[hash_partition(topic_id, partition) & (store->table_n - 1)];
}

static inline bool log_is(const struct plog *log, const struct uuid *topic_id, int32_t partition)
{
    return log->id.partition == partition && uuid_equal(&log->id.topic_id, topic_id);
}

/* Mostly it is the one found last, or the one made behind that: requests name partitions in order.
 */
static struct plog *table_find(struct store *store, const struct uuid *topic_id, int32_t partition)
{
    struct plog *log = store->found;
    if (log != NULL && log_is(log, topic_id, partition))
        return log;
    if (log != NULL && log->link.next != &store->logs) {
        log = list_entry(log->link.next, struct plog, link);
        if (log_is(log, topic_id, partition))
            return store->found = log;
    }
    log = *table_chain(store, topic_id, partition);
    while (log != NULL && !log_is(log, topic_id, partition))
        log = log->hash_next;
    if (log != NULL)
        store->found = log;
    return log;
}

struct plog *store_log_find(struct store *store, const struct uuid *topic_id, int32_t partition)
{
    store_own(store);
    struct plog *log = table_find(store, topic_id, partition);
    for (struct store *at = store->next; log == NULL && at != store; at = at->next) {
        store_own(at); /* the log is used without another call of its store in between */
        log = table_find(at, topic_id, partition);
    }
    return log;
}

static void table_add(struct store *store, struct plog *log)
{
    struct plog **chain = table_chain(store, &log->id.topic_id, log->id.partition);
    log->hash_next = *chain;
    *chain = log;
}

static void table_remove(struct store *store, struct plog *log)
{
    struct plog **at = table_chain(store, &log->id.topic_id, log->id.partition);
    while (*at != log) {
        check(*at != NULL);
        at = &(*at)->hash_next;
    }
    *at = log->hash_next;
    log->hash_next = NULL;
    store->found = NULL;
}

static void table_grow(struct store *store)
{
    struct plog **old = store->table;
    uint32_t old_n = store->table_n;
    struct plog **grown = calloc((size_t)old_n * 2, sizeof(struct plog *));
    if (grown == NULL)
        return; /* chains get longer */
    store->table = grown;
    store->table_n = old_n * 2;
    for (uint32_t i = 0; i < old_n; i++) {
        while (old[i] != NULL) {
            struct plog *log = old[i];
            old[i] = log->hash_next;
            table_add(store, log);
        }
    }
    free(old);
}

/* ── logs ── */

void store_log_enter(struct store *store, struct plog *log)
{
    check(log->segments_n > 0);
    plog_state_set(log, PLOG_OPEN);
    if (store->stats.logs_n >= store->table_n)
        table_grow(store);
    table_add(store, log);
    list_append(&store->logs, &log->link);
    store->stats.logs_n++;
}

int store_log_new(struct store *store, const struct log_id *id, const struct log_config *config,
                  struct plog **out)
{
    struct segment *segment;
    store_own(store);
    check(id->topic.n > 0 && id->partition >= 0);
    if (store_log_find(store, &id->topic_id, id->partition) != NULL)
        return E_EXISTS;
    if (store->is_offline)
        return E_STORAGE;
    struct plog *log = plog_make(store, id, config);
    if (log == NULL)
        return E_NO_MEMORY;
    int rc = segment_add(log, 0, store->now.wall_ms, &segment);
    if (rc != 0) {
        plog_free(log);
        return rc;
    }
    store_log_enter(store, log);
    *out = log;
    return 0;
}

/* Nothing was ever asked of the disk for it. */
static bool log_has_no_files(const struct plog *log)
{
    return !log->may_have_directory && log->segments_n == 1 &&
           log->segments[0]->state == SEGMENT_NEW && log->jobs_n == 0;
}

static void log_drop(struct store *store, struct plog *log, int reads_error)
{
    store_own(store);
    check(log->magic == PLOG_MAGIC && (log->state == PLOG_OPEN || log->state == PLOG_FAILED));
    struct list *const links[] = {&log->link, &log->dirty_link, &log->sync_link, &log->epochs_link,
                                  &log->moved_link};
    table_remove(store, log);
    for (size_t i = 0; i < array_n(links); i++) {
        if (list_is_linked(links[i]))
            list_del(links[i]);
    }
    store->stats.logs_n--;
    store->stats.logs_failed_n -= log->state == PLOG_FAILED;
    plog_full_forget(log);
    plog_compact_forget(log);
    plog_move_forget(log);
    write_back_forget(log);
    plog_give_tail(log, true);
    plog_state_set(log, PLOG_CLOSED);
    plog_charge(log);
    list_append(&store->dropped, &log->link);
    segment_delete_forget(store, log);
    log->drop_step = log_has_no_files(log) ? DROP_DONE : DROP_RENAME;
    if (log->drop_step == DROP_RENAME) {
        store->drops_waiting_n++;
        (void)plog_drop_step(log, store->now);
    }
    plog_mark_pending(log);
    reads_end(log, reads_error, store->now);
    start_moves_end(log, E_NOT_FOUND, store->now);
    plog_waits_end(log, E_NOT_FOUND, store->now);
}

void store_log_drop(struct store *store, struct plog *log)
{
    log_drop(store, log, E_NOT_FOUND);
}

void store_log_leave(struct store *store, struct plog *log)
{
    log_drop(store, log, E_MOVED);
}

void plog_configure(struct plog *log, const struct log_config *config)
{
    store_own(log->store);
    check(log->magic == PLOG_MAGIC);
    log->config = *config;
    plog_marks_moved(
        log, log->store->now); /* durability decides what is visible and what waits for a flush */
}

bool store_offline(struct store *store, struct now now)
{
    store_own(store);
    if (store->is_offline)
        return false;
    store->is_offline = true;
    list_for_each(node, next, &store->logs) {
        plog_fail(list_entry(node, struct plog, link), now);
    }
    return true;
}

/* ── housekeeping ── */

void store_tick(struct store *store, struct now now)
{
    store_own(store);
    store->now = now;
    store->stats.producers_forgotten = producer_pool_forgotten(store->producers);
    for (uint64_t i = 0; i < min_u64(TICK_LOGS_MAX, store->stats.logs_n); i++) {
        struct list *l = list_pop(&store->logs);
        list_append(&store->logs, l);
        plog_tick(list_entry(l, struct plog, link), now);
    }
    segment_deletes_run(store, now);
    list_for_each(node, next, &store->dropped) {
        struct plog *log = list_entry(node, struct plog, link);
        if (log->drop_step == DROP_WAITING && now.ns >= log->drop_ns)
            plog_mark_pending(log);
    }
    segment_files_limit(store);
    segment_files_idle(store, now);
    store_checkpoint_tick(store, now);
    store_space_tick(store, now);
    store_compact_tick(store, now);
}

/* Copies are begun anew after a stop; but not one whose names are being changed. */
static uint32_t moves_jobs_n(const struct store *store)
{
    uint32_t n = 0;
    list_for_each(node, next, &store->moves) {
        const struct log_move *move = list_entry(node, struct log_move, link);
        n += move->has_job && move->state < MOVE_FINISHES;
    }
    return n;
}

bool store_is_quiet(const struct store *store)
{
    /* Epochs or checkpoints being written are no reason to wait: the stop writes them all. Nor is
     * a compaction: whatever it has come to, the files are the old ones or the new one. */
    uint32_t jobs_n = store->jobs_n - store->has_epochs_job - store->has_checkpoint_job -
                      store->has_space_job - store->compactor.has_job - moves_jobs_n(store);
    bool has_record = store->journal != NULL && journal_is_busy(store->journal);
    return list_is_empty(&store->dirty) && list_is_empty(&store->unlogged) && !has_record &&
           list_is_empty(&store->unsynced) && list_is_empty(&store->round) &&
           list_is_empty(&store->pending) && list_is_empty(&store->completed) &&
           list_is_empty(&store->wants) && list_is_empty(&store->answers) && store->writes_n == 0 &&
           store->syncs_n == 0 && store->fills_n == 0 && jobs_n == 0 && store->reads_n == 0 &&
           store->loads_n == 0 && store->closes_n == 0;
}

const struct store_stats *store_stats(const struct store *store)
{
    return &store->stats;
}

void store_ledger(const struct store *store, struct ledger *ledger)
{
    ledger_add(ledger, LEDGER_DISK_OPERATIONS, store->writes, WRITES_MAX * sizeof *store->writes);
    ledger_add(ledger, LEDGER_DISK_OPERATIONS, store->raw_blocks, (uint64_t)WRITES_MAX * RAW_BLOCK);
    ledger_add(ledger, LEDGER_DISK_OPERATIONS, store->fill_ops,
               FILLS_MAX * sizeof *store->fill_ops);
    ledger_add(ledger, LEDGER_DISK_OPERATIONS, store->jobs, JOBS_MAX * sizeof *store->jobs);
    ledger_add(ledger, LEDGER_DISK_OPERATIONS, store->repacks,
               REPACKS_MAX * sizeof *store->repacks);
    ledger_add(ledger, LEDGER_CACHE_TABLE, store->cache.table,
               (store->cache.mask + 1) * sizeof *store->cache.table);
    for (int i = 0; store->journal != NULL && i < JOURNAL_RECORDS; i++)
        ledger_add(ledger, LEDGER_JOURNAL, store->journal->records[i].buffer,
                   store->journal->records[i].bytes_max);
    producer_pool_ledger(store->producers, ledger);
}
