/*
 * broker.c - builds the broker on its seams, turns its threads, takes it down.
 *
 * Owner: main (or the simulator) while no thread runs; broker_turn: the thread it is called for.
 *
 * Boot is a list of steps, each of which leaves what it made in struct broker; the first that fails
 * ends the boot, and broker_fini gives back whatever is there. A boot that failed has changed
 * nothing on disk that the next start would not sort out: the data directory stays locked by us
 * until broker_fini.
 *
 * What it does not do: it binds no socket, starts no thread and reads no clock.
 */
#include "broker_dirs.h"

#include <stdarg.h>
#include <stdlib.h>

enum {
    CHECK_WHY_MAX = 384,
    RECOVERY_BYTES_MAX = 256 << 20, /* per worker: what a start after a crash has to scan */
};

printf_like(3, 4) nodiscard static int refuse(struct broker *b, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(b->why, sizeof b->why, format, args);
    va_end(args);
    return error;
}

/* ── boot: numbers ── */

static uint64_t positive(int64_t n)
{
    return n > 0 ? (uint64_t)n : 0;
}

nodiscard static int boot_bounds(struct broker *b)
{
    const struct config *c = b->config;
    uint64_t workers = positive(config_int(c, "dataplane.workers"));
    char why[CHECK_WHY_MAX] = "";

    if (workers == 0) /* one core is left to control and the helpers */
        workers = b->seams.cpus_n > 2 ? min_u64(b->seams.cpus_n - 1, BROKER_WORKERS_MAX) : 1;
    b->bounds = (struct bounds){
        .workers_n = (uint32_t)min_u64(workers, UINT32_MAX),
        .request_bytes = positive(config_int(c, "dataplane.request.bytes")),
        .queued_bytes = positive(config_int(c, "queued.max.request.bytes")),
        .frame_bytes = positive(config_int(c, "socket.request.max.bytes")),
        .fetch_bytes = positive(config_int(c, "fetch.max.bytes")),
        .cache_bytes = positive(config_int(c, "storage.cache.bytes")),
        .tail_bytes = positive(config_int(c, "storage.tail.bytes")),
        .compact_bytes = config_bool(c, "log.cleaner.enable")
                             ? positive(config_int(c, "log.cleaner.dedupe.buffer.size"))
                             : 0,
        .open_files = positive(config_int(c, "storage.open.files.max")),
        .producers = positive(config_int(c, "storage.producers.max")),
        .connections = positive(config_int(c, "max.connections")),
        .descriptors = b->seams.descriptors_max,
        .journals = config_int(c, "storage.journal.bytes") > 0,
        .memory_bytes = b->seams.memory_bytes,
    };
    if (bounds_check(&b->bounds, why, sizeof why) != 0)
        return refuse(b, E_INVALID, "%s", why);
    b->workers_n = (uint8_t)b->bounds.workers_n;
    return 0;
}

nodiscard static int boot_settings(struct broker *b)
{
    char why[CHECK_WHY_MAX] = "";
    int rc = dirs_parse(b);

    if (rc != 0)
        return rc;
    b->bounds.journals *= b->dirs_n;
    b->bounds.dirs = b->dirs_n;
    if (config_listeners(b->config, b->listeners, &b->listeners_n, why, sizeof why) != 0)
        return refuse(b, E_INVALID, "listeners: %s", why);
    if (ports_config_read(b->config, b->workers_n, b->seams.seed, &b->ports.config, b->why,
                          sizeof b->why) != 0 ||
        ports_listeners_mark(&b->ports.config, b->listeners, b->listeners_n, b->why,
                             sizeof b->why) != 0)
        return E_INVALID;
    if (b->seams.listeners_check == NULL)
        return 0;
    return b->seams.listeners_check(b->seams.context, b->listeners, b->listeners_n, b->why,
                                    sizeof b->why);
}

/* ── boot: memory ── */

/* Pages of `bytes` from the memory seam, their headers from the heap. */
nodiscard static int pages_open(struct broker *b, struct pages *pages, uint64_t bytes)
{
    void *memory = b->seams.memory_take(b->seams.context, bytes);
    void *headers = memory == NULL ? NULL : calloc(1, pages_header_bytes(bytes));

    if (headers == NULL) {
        if (memory != NULL)
            b->seams.memory_put(b->seams.context, memory, bytes);
        return refuse(b, E_NO_MEMORY, "no memory for %llu MiB of pages",
                      (unsigned long long)(bytes >> 20));
    }
    pages_init(pages, memory, bytes, headers);
    return 0;
}

static void pages_close(struct broker *b, struct pages *pages)
{
    if (pages->base == NULL)
        return;
    b->seams.memory_put(b->seams.context, pages->base, pages->bytes);
    free(pages->headers);
    *pages = (struct pages){0};
}

nodiscard static int boot_worker_memory(struct broker *b, uint8_t number)
{
    struct worker *w = aligned_alloc(64, align_up(sizeof *w, 64));
    char why[CHECK_WHY_MAX] = "";
    int rc;

    if (w == NULL)
        return refuse(b, E_NO_MEMORY, "no memory for worker %d", number);
    memset(w, 0, sizeof *w);
    b->workers[number] = w;
    w->number = number;
    w->log_dirs = b->dirs;
    w->control_thread = broker_control_thread(b);
    w->views = &b->views;
    prng_init(&w->prng, b->seams.seed + number);
    timers_init(&w->timers, b->seams.now.ns);
    if ((rc = pages_open(b, &w->log_pages, bounds_log_pages_bytes(&b->bounds))) != 0)
        return rc;
    if ((rc = pages_open(b, &w->request_pages, bounds_request_pages_bytes(&b->bounds))) != 0)
        return rc;
    w->io = b->seams.io_open(b->seams.context, number, why, sizeof why);
    return w->io != NULL ? 0 : refuse(b, E_UNSUPPORTED, "%s", why);
}

nodiscard static int boot_memory(struct broker *b)
{
    char why[CHECK_WHY_MAX] = "";
    int rc;

    for (uint8_t i = 0; i < b->workers_n; i++)
        if ((rc = boot_worker_memory(b, i)) != 0)
            return rc;
    timers_init(&b->control_timers, b->seams.now.ns);
    if ((rc = pages_open(b, &b->control_pages, BOUNDS_CONTROL_PAGES_BYTES)) != 0)
        return rc;
    b->control_io = b->seams.io_open(b->seams.context, broker_control_thread(b), why, sizeof why);
    return b->control_io != NULL ? 0 : refuse(b, E_UNSUPPORTED, "%s", why);
}

nodiscard static int boot_posts(struct broker *b)
{
    struct post *posts[THREADS_MAX];
    uint8_t n = broker_threads_n(b);
    int rc;

    for (uint8_t i = 0; i < n; i++)
        posts[i] = broker_post(b, i);
    if (posts_connect(posts, n, bounds_ring_slots(&b->bounds)) != 0)
        return refuse(b, E_NO_MEMORY, "no memory for the mail of %d threads", n);
    b->has_posts = true;
    for (uint8_t i = 0; i < n && !b->seams.is_single_threaded; i++)
        if ((rc = post_event_open(posts[i])) != 0)
            return refuse(b, rc, "no event descriptor for thread %d: %s", i, error_text(rc));
    return 0;
}

/* ── boot: the parts ── */

/* What a worker may have is divided over its stores, one per directory: each is bounded by itself,
 * so that one that stalls takes nothing of the others. */
static void store_settings(const struct broker *b, struct store_config *s)
{
    uint64_t stores_n = (uint64_t)b->workers_n * b->dirs_n;

    *s = (struct store_config){
        .group_ns_max = positive(config_int(b->config, "storage.group.max.ms")) * NS_PER_MS,
        .open_files_max = (uint32_t)max_u64(bounds_open_files(&b->bounds) / stores_n, 16),
        .stall_ns = positive(config_int(b->config, "storage.stall.ms")) * NS_PER_MS,
        .open_idle_ns = positive(config_int(b->config, "storage.open.files.idle.ms")) * NS_PER_MS,
        .producers_max = (uint32_t)max_u64(b->bounds.producers / stores_n, 1000),
        .retention_first_ns =
            positive(config_int(b->config, "log.initial.task.delay.ms")) * NS_PER_MS,
        .retention_ns =
            positive(config_int(b->config, "log.retention.check.interval.ms")) * NS_PER_MS,
        .recovery_point_ns =
            positive(config_int(b->config, "log.flush.offset.checkpoint.interval.ms")) * NS_PER_MS,
        .log_start_ns =
            positive(config_int(b->config, "log.flush.start.offset.checkpoint.interval.ms")) *
            NS_PER_MS,
        .high_ns =
            positive(config_int(b->config, "replica.high.watermark.checkpoint.interval.ms")) *
            NS_PER_MS,
        .min_free_bytes = positive(config_int(b->config, "storage.min.free.bytes")),
        .has_reserve = config_int(b->config, "storage.reserve.bytes") > 0,
        .recovery_bytes_max = RECOVERY_BYTES_MAX,
        .journal_bytes = positive(config_int(b->config, "storage.journal.bytes")),
        .journal_run_max = (uint32_t)config_int(b->config, "storage.journal.run.max.bytes"),
        .writeback_ns = positive(config_int(b->config, "storage.writeback.ms")) * NS_PER_MS,
        .raw_bytes_min = positive(config_int(b->config, "storage.direct.min.bytes")),
        .tail_bytes_max = bounds_tail_bytes(&b->bounds) / b->dirs_n,
        .is_inflating = config_bool(b->config, "storage.validate.compressed"),
        .is_compacting = config_bool(b->config, "log.cleaner.enable"),
    };
}

/* Directories whose reserve files are kept; the metadata log's own comes last. */
static uint8_t reserves_n(const struct broker *b)
{
    return (uint8_t)max_u64(b->dirs_n, b->metadata_dir + 1u);
}

/* At the end: what boot has to write comes first on a full disk. Without a reserve a directory is
 * served all the same, and the start line says so. */
static void boot_reserves(struct broker *b)
{
    uint64_t bytes = positive(config_int(b->config, "storage.reserve.bytes"));
    uint64_t min_free = positive(config_int(b->config, "storage.min.free.bytes"));

    for (uint8_t i = 0; i < reserves_n(b) && bytes > 0; i++)
        if (b->dirs[i].is_online)
            b->dirs[i].reserve = helper_reserve(b->files, b->dirs[i].path, bytes, min_free);
}

/* A boot and a stop may have to write on a full disk: this is the room that was kept for it. One
 * that cannot be removed harms nobody, and is found by the next start. */
static void reserves_remove(struct broker *b)
{
    for (uint8_t i = 0; i < reserves_n(b); i++)
        if (b->dirs[i].is_online)
            (void)!reserve_remove(b->seams.disk, b->dirs[i].path);
}

nodiscard static int boot_control(struct broker *b)
{
    struct control_config *c = calloc(1, sizeof *c); /* too large for a stack frame */
    int rc;

    reserves_remove(b); /* of a crash: there is room for all that boot writes */
    if (c == NULL)
        return E_NO_MEMORY;
    c->config = b->config;
    c->directory = b->directory;
    c->listeners_n = b->listeners_n;
    c->workers_n = b->workers_n;
    c->is_clean = b->is_clean;
    c->seed = b->seams.seed ^ 0x636f6e74726f6cull;
    store_settings(b, &c->store);
    c->dirs = b->dirs;
    c->dirs_n = b->dirs_n;
    memcpy(c->store.directory, b->dirs[b->metadata_dir].path, sizeof c->store.directory);
    c->store.tail_bytes_max = BOUNDS_CONTROL_PAGES_BYTES / 2;
    c->store.open_files_max = 64;
    c->store.producers_max = 1000; /* nobody produces to it */
    c->store.journal_bytes = 0;    /* recovered before the journals are */
    /* Apache Kafka keeps the metadata log out of the checkpoints. */
    c->store.recovery_point_ns = c->store.log_start_ns = c->store.high_ns = 0;
    c->store.is_compacting = false; /* it has snapshots instead */
    memcpy(c->listeners, b->listeners, sizeof c->listeners);
    b->views.workers_n = b->workers_n;
    rc = control_init(&b->control, c, &b->views, b->control_io, b->seams.disk, &b->control_pages,
                      &b->control_timers, &b->control_post, broker_files_thread(b),
                      broker_bulk_thread(b), b->why, sizeof b->why);
    free(c);
    return rc;
}

nodiscard static int boot_worker_stores(struct broker *b, struct worker *w)
{
    struct store_config s;

    store_settings(b, &s);
    s.leader_epoch = view_load(&b->views, 0)->leader_epoch;
    s.journal_number = w->number;
    for (uint8_t i = 0; i < b->dirs_n; i++) {
        if (!b->dirs[i].is_online)
            continue;
        s.raw_bytes_min = positive(config_int(b->config, "storage.direct.min.bytes"));
        memcpy(s.directory, b->dirs[i].path, sizeof s.directory);
        if (!directory_has_direct(b->seams.disk, s.directory))
            s.raw_bytes_min = 0;
        s.dir = i;
        s.beside = w->store;
        int rc = store_init(&w->stores[i], &s, w->io, b->seams.disk, &w->log_pages, &w->timers,
                            &w->post, broker_files_thread(b), broker_bulk_thread(b));
        if (rc != 0)
            return refuse(b, rc, "the store of worker %d in %s: %s", w->number, s.directory,
                          error_text(rc));
        if (w->store == NULL)
            w->store = w->stores[i];
    }
    w->stores_n = b->dirs_n;
    return 0;
}

nodiscard static int boot_stores(struct broker *b)
{
    int rc;

    for (uint8_t i = 0; i < b->workers_n; i++)
        if ((rc = boot_worker_stores(b, b->workers[i])) != 0)
            return rc;
    if ((rc = helper_init(&b->files, b->seams.disk, &b->files_post, b->seams.seed + 1000)) != 0 ||
        (rc = helper_init(&b->bulk, b->seams.disk, &b->bulk_post, b->seams.seed + 2000)) != 0)
        return refuse(b, rc, "the helper threads: %s", error_text(rc));
    return 0;
}

/* The files helper keeps the checkpoint files from here on. After a crash a log may end before the
 * recovery point on the disk: that one is written anew before anything is appended. */
nodiscard static int boot_checkpoints(struct broker *b, uint8_t dir)
{
    struct checkpoints *checkpoints = checkpoints_new();
    int rc = checkpoints == NULL ? E_NO_MEMORY : 0;

    for (uint8_t i = 0; rc == 0 && i < b->workers_n; i++)
        rc = store_checkpoints_fill(b->workers[i]->stores[dir], checkpoints);
    if (rc == 0)
        rc = helper_checkpoints(b->files, b->dirs[dir].path, checkpoints,
                                !b->dirs[dir].is_clean || b->recovery.logs_cut_n > 0);
    if (rc != 0) {
        checkpoints_free(checkpoints);
        return refuse(b, rc, "the checkpoint files in %s: %s", b->dirs[dir].path, error_text(rc));
    }
    return 0;
}

/* One directory being looked through. */
struct sweeping {
    struct broker *broker;
    uint8_t dir;
};

static bool sweeping_knows(void *context, struct bytes topic, int32_t partition,
                           const struct uuid *id)
{
    const struct sweeping *s = context;
    return control_finds_log(s->broker->control, topic, partition, id, s->dir);
}

static bool sweeping_is_useless(void *context, struct bytes topic, int32_t partition,
                                const struct uuid *id)
{
    const struct sweeping *s = context;
    return control_finds_future(s->broker->control, topic, partition, id, s->dir);
}

/* Of each directory, when all were looked through. */
nodiscard static int boot_sweep_futures(struct broker *b)
{
    for (uint8_t i = 0; i < b->dirs_n; i++) {
        struct sweeping sweeping = {b, i};
        if (!b->dirs[i].is_online)
            continue;
        int rc =
            directory_sweep_futures(b->seams.disk, b->dirs[i].path, sweeping_is_useless, &sweeping);
        if (rc != 0)
            return refuse(b, rc, "%s: copies of moves cannot be removed: %s", b->dirs[i].path,
                          error_text(rc));
    }
    return 0;
}

nodiscard static int boot_sweep(struct broker *b)
{
    uint32_t removed_n = 0, stray_n = 0;

    for (uint8_t i = 0; i < b->dirs_n; i++) {
        struct sweeping sweeping = {b, i};
        if (!b->dirs[i].is_online)
            continue;
        int rc = directory_sweep(b->seams.disk, b->dirs[i].path, sweeping_knows, &sweeping,
                                 &removed_n, &stray_n);
        if (rc != 0)
            return refuse(b, rc, "%s: cannot be sorted: %s", b->dirs[i].path, error_text(rc));
    }
    return boot_sweep_futures(b);
}

static bool replaying_knows(void *context, struct bytes topic, int32_t partition,
                            const struct uuid *id)
{
    const struct sweeping *s = context;
    return control_places_log(s->broker->control, topic, partition, id, s->dir);
}

static void journal_add(struct journal_report *to, const struct journal_report *from)
{
    to->rings_n += from->rings_n;
    to->records_n += from->records_n;
    to->entries_n += from->entries_n;
    to->bytes += from->bytes;
    to->made_n += from->made_n;
    to->unknown_n += from->unknown_n;
    to->dropped_n += from->dropped_n;
    to->lost_n += from->lost_n;
}

/* What a crashed process left in its journals goes into its logs before they are opened. */
nodiscard static int boot_replay(struct broker *b)
{
    bool is_accepted = config_bool(b->config, "storage.journal.accept.loss");

    for (uint8_t i = 0; i < b->dirs_n; i++) {
        struct sweeping replaying = {b, i};
        struct journal_report report;
        if (!b->dirs[i].is_online)
            continue;
        int rc = journal_replay(b->seams.disk, b->dirs[i].path, replaying_knows, &replaying,
                                is_accepted, &report, b->why, sizeof b->why);
        journal_add(&b->journal, &report);
        if (rc != 0)
            return b->why[0] != 0 ? rc
                                  : refuse(b, rc, "the commit journal in %s cannot be replayed: %s",
                                           b->dirs[i].path, error_text(rc));
    }
    return 0;
}

/* All logs are open and flushed: the old journals go, new ones begin. */
nodiscard static int boot_journals(struct broker *b, uint8_t dir)
{
    int rc = journal_clear(b->seams.disk, b->dirs[dir].path);

    for (uint8_t i = 0; i < b->workers_n && rc == 0; i++)
        rc = store_journal_open(b->workers[i]->stores[dir], prng_next(&b->workers[i]->prng));
    return rc == 0 ? 0
                   : refuse(b, rc, "the commit journal in %s cannot be made: %s", b->dirs[dir].path,
                            error_text(rc));
}

nodiscard static int boot_logs(struct broker *b, void (*progress)(void *, uint64_t, uint64_t))
{
    struct store **stores = calloc((size_t)b->workers_n * b->dirs_n, sizeof(struct store *));
    const struct opening_seams seams = {b->seams.each, progress, b->seams.context};
    int rc = stores == NULL ? E_NO_MEMORY : boot_sweep(b);

    if (rc == 0)
        rc = boot_replay(b);

    for (uint8_t i = 0; rc == 0 && i < b->workers_n; i++)
        memcpy(stores + (size_t)i * b->dirs_n, b->workers[i]->stores,
               b->dirs_n * sizeof(struct store *));
    if (rc == 0) {
        rc = control_open_logs(b->control, stores, &b->recovery, &seams);
        if (rc != 0)
            rc = refuse(b, rc, "the partition logs cannot be opened: %s", error_text(rc));
    }
    free(stores);
    for (uint8_t i = 0; rc == 0 && i < b->dirs_n; i++)
        if (b->dirs[i].is_online && (rc = boot_checkpoints(b, i)) == 0)
            rc = boot_journals(b, i);
    b->has_open_logs = rc == 0;
    return rc;
}

nodiscard static int boot_kafka(struct broker *b, struct worker *w)
{
    const struct bounds *n = &b->bounds;
    struct bounds most = *n; /* max.connections may be raised while we run: it is only a limit */
    uint64_t sessions =
        positive(config_int(b->config, "max.incremental.fetch.session.cache.slots"));
    struct conns_config c = {
        .conns_max = 0, /* below */
        .per_ip_max = UINT32_MAX,
        .idle_ns_max = positive(config_int(b->config, "connections.max.idle.ms")) * NS_PER_MS,
        .recv_buffer_bytes = BOUNDS_RECV_BUFFER_BYTES,
        .recv_buffers_n = BOUNDS_RECV_BUFFERS_N,
        .socket_send_bytes = (uint32_t)positive(config_int(b->config, "socket.send.buffer.bytes")),
        .socket_recv_bytes =
            (uint32_t)positive(config_int(b->config, "socket.receive.buffer.bytes")),
        .seed = prng_next(&w->prng),
    };
    struct kafka_config k = {
        .worker = w->number,
        .workers_n = b->workers_n,
        .control_thread = broker_control_thread(b),
        .frame_bytes_max = n->frame_bytes,
        .request_budget_bytes = bounds_queued_bytes(n),
        .answer_budget_bytes = bounds_answer_bytes(n),
        .requests_max = bounds_requests(n),
        .requests_per_turn = 64,
        .control_requests_max = bounds_control_requests(n),
        .frame_rate_min = 64 * 1024,
        .fetch_bytes_max = (int32_t)n->fetch_bytes,
        .sessions_max = (uint32_t)((sessions + b->workers_n - 1) / b->workers_n),
        .session_parts_max = BOUNDS_SESSION_PARTS / b->workers_n,
    };
    most.connections = BOUNDS_CONNECTIONS_MAX;
    c.conns_max = (uint32_t)((bounds_connections(&most) + b->workers_n - 1) / b->workers_n);
    int rc = conns_init(&w->conns, &c, w->io, &w->request_pages, &w->timers);

    if (rc != 0)
        return refuse(b, rc, "the connections of worker %d: %s", w->number, error_text(rc));
    rc = kafka_init(&w->kafka, &k, w->conns, w->store, &w->request_pages, &w->timers, &w->post,
                    &w->prng, &w->stats);
    if (rc != 0)
        return refuse(b, rc, "the requests of worker %d: %s", w->number, error_text(rc));
    worker_adjust(w, view_load(&b->views, w->number));
    return 0;
}

nodiscard static int boot_steps(struct broker *b, void (*progress)(void *, uint64_t, uint64_t))
{
    int rc;

    if ((rc = boot_bounds(b)) != 0 || (rc = boot_settings(b)) != 0 || (rc = ports_open(b)) != 0 ||
        (rc = boot_memory(b)) != 0 || (rc = boot_posts(b)) != 0 || (rc = dirs_take(b)) != 0 ||
        (rc = boot_control(b)) != 0 || (rc = boot_stores(b)) != 0 ||
        (rc = boot_logs(b, progress)) != 0)
        return rc;
    boot_reserves(b);
    for (uint8_t i = 0; i < b->workers_n; i++) {
        if ((rc = boot_kafka(b, b->workers[i])) != 0)
            return rc;
        b->workers[i]->turns.ticks = b->seams.ticks;
        worker_begin(b->workers[i], b->seams.now);
    }
    return ports_join(b);
}

int broker_boot(struct broker *b, const struct config *config, const struct broker_seams *seams,
                void (*progress)(void *context, uint64_t done_n, uint64_t all_n))
{
    int rc;

    memset(b, 0, sizeof *b);
    b->config = config;
    b->seams = *seams;
    dirs_none(b);
    rc = boot_steps(b, progress);
    if (rc != 0) {
        if (b->why[0] == 0) /* a part that failed without saying more */
            snprintf(b->why, sizeof b->why, "%s", error_text(rc));
        b->is_undoing = true;
        broker_fini(b);
    }
    return rc;
}

/* ── threads ── */

struct post *broker_post(struct broker *b, uint8_t thread)
{
    if (thread < b->workers_n)
        return &b->workers[thread]->post;
    if (thread == broker_control_thread(b))
        return &b->control_post;
    check(thread == broker_files_thread(b) || thread == broker_bulk_thread(b));
    return thread == broker_files_thread(b) ? &b->files_post : &b->bulk_post;
}

const void *broker_self(const struct broker *b, uint8_t thread)
{
    if (thread < b->workers_n)
        return b->workers[thread];
    if (thread == broker_control_thread(b))
        return b->control;
    return thread == broker_files_thread(b) ? b->files : b->bulk;
}

struct io *broker_io(const struct broker *b, uint8_t thread)
{
    if (thread < b->workers_n)
        return b->workers[thread]->io;
    return thread == broker_control_thread(b) ? b->control_io : NULL;
}

struct timers *broker_timers(struct broker *b, uint8_t thread)
{
    if (thread < b->workers_n)
        return &b->workers[thread]->timers;
    return thread == broker_control_thread(b) ? &b->control_timers : NULL;
}

void broker_thread_name(const struct broker *b, uint8_t thread, char *to, size_t to_n)
{
    if (thread < b->workers_n)
        snprintf(to, to_n, "worker-%d", thread);
    else if (thread == broker_control_thread(b))
        snprintf(to, to_n, "control");
    else
        snprintf(to, to_n, "%s", thread == broker_files_thread(b) ? "files" : "bulk");
}

int broker_turn(struct broker *b, uint8_t thread, struct now now)
{
    enum { HELPER_JOBS_PER_TURN = 128 };

    thread_self = broker_self(b, thread);
    if (thread < b->workers_n)
        return worker_turn(b->workers[thread], now);
    if (thread == broker_control_thread(b))
        return control_turn(b->control, now);
    return helper_turn(thread == broker_files_thread(b) ? b->files : b->bulk, now,
                       HELPER_JOBS_PER_TURN);
}

bool broker_thread_is_quiet(const struct broker *b, uint8_t thread)
{
    struct post *post = broker_post((struct broker *)b, thread);

    if (thread < b->workers_n && !worker_is_quiet(b->workers[thread]))
        return false;
    if (thread == broker_control_thread(b) && !control_is_quiet(b->control))
        return false;
    return !mail_has_more(post);
}

/* ── stop ── */

/* The logs of one directory; what stands in its way takes nothing from the others. */
static int close_dir(struct broker *b, uint8_t dir)
{
    struct checkpoints *checkpoints = checkpoints_new();
    int rc = checkpoints == NULL ? E_NO_MEMORY : 0;

    for (uint8_t i = 0; i < b->workers_n && rc == 0; i++)
        rc = store_close(b->workers[i]->stores[dir], checkpoints);
    b->dirs_checkpoints[dir] = rc == 0 ? checkpoints : NULL;
    if (rc != 0)
        checkpoints_free(checkpoints);
    return rc == 0 ? 0
                   : refuse(b, rc, "%s: not closed cleanly: %s", b->dirs[dir].path, error_text(rc));
}

static int leave_dir(struct broker *b, uint8_t dir)
{
    struct checkpoints *checkpoints = b->dirs_checkpoints[dir];
    int rc = 0;

    if (checkpoints == NULL)
        return 0; /* it was told */
    rc = directory_leave(b->seams.disk, b->dirs[dir].path, checkpoints, b->lock_fds[dir]);
    b->lock_fds[dir] = -1;
    checkpoints_free(checkpoints);
    b->dirs_checkpoints[dir] = NULL;
    return rc == 0 ? 0
                   : refuse(b, rc, "%s: not closed cleanly: %s", b->dirs[dir].path, error_text(rc));
}

int broker_close(struct broker *b)
{
    struct checkpoints *checkpoints = checkpoints_new();
    int worst = checkpoints == NULL ? E_NO_MEMORY : 0, rc;

    thread_self = NULL; /* no thread runs any more: everything is main's */
    reserves_remove(b);
    for (uint8_t i = 0; i < b->dirs_n && checkpoints != NULL; i++)
        if (b->dirs[i].is_online && (rc = close_dir(b, i)) != 0)
            worst = rc;
    /* The metadata log is closed in any case, but says that its directory was left in order only
     * when its other logs were. */
    if (checkpoints != NULL && (rc = control_close(b->control, checkpoints)) != 0) {
        worst = refuse(b, rc, "the metadata log: not closed cleanly: %s", error_text(rc));
        checkpoints_free(b->dirs_checkpoints[b->metadata_dir]);
        b->dirs_checkpoints[b->metadata_dir] = NULL;
    }
    for (uint8_t i = 0; i < b->dirs_n; i++)
        if ((rc = leave_dir(b, i)) != 0)
            worst = rc;
    checkpoints_free(checkpoints);
    return worst;
}

static void worker_fini(struct broker *b, struct worker *w, uint8_t number)
{
    if (w->kafka != NULL)
        kafka_fini(w->kafka);
    if (w->conns != NULL)
        conns_fini(w->conns);
    for (uint8_t i = 0; i < b->dirs_n; i++)
        if (w->stores[i] != NULL)
            store_fini(w->stores[i]);
    if (w->io != NULL)
        b->seams.io_close(b->seams.context, number, w->io);
    pages_close(b, &w->log_pages);
    pages_close(b, &w->request_pages);
}

static void posts_fini(struct broker *b)
{
    struct post *posts[THREADS_MAX];
    uint8_t n = broker_threads_n(b);

    if (!b->has_posts)
        return;
    for (uint8_t i = 0; i < n; i++) {
        posts[i] = broker_post(b, i);
        post_event_close(posts[i]);
    }
    posts_disconnect(posts, n);
    b->has_posts = false;
}

void broker_fini(struct broker *b)
{
    thread_self = NULL;
    ports_close(b); /* its packets refer to connections and to log pages */
    for (uint8_t i = 0; i < b->workers_n && b->workers[i] != NULL; i++)
        worker_fini(b, b->workers[i], i);
    if (b->files != NULL)
        helper_fini(b->files);
    if (b->bulk != NULL)
        helper_fini(b->bulk);
    if (b->control != NULL)
        control_fini(b->control);
    if (b->control_io != NULL)
        b->seams.io_close(b->seams.context, broker_control_thread(b), b->control_io);
    pages_close(b, &b->control_pages);
    posts_fini(b);
    for (uint8_t i = 0; i < b->workers_n; i++) {
        free(b->workers[i]);
        b->workers[i] = NULL;
    }
    if (b->is_undoing) {
        reserves_remove(b);
        dirs_undo(b);
    }
    dirs_give(b);
    free(b->ledger.v);
    b->ledger = (struct ledger){0};
    b->control = NULL;
    b->control_io = NULL;
    b->files = b->bulk = NULL;
}

static void ledger_pages(struct ledger *l, enum ledger_line line, const struct pages *pages)
{
    ledger_add_mapped(l, line, pages->base, pages->bytes);
    ledger_add(l, LEDGER_PAGE_HEADERS, pages->headers, pages_header_bytes(pages->bytes));
}

int broker_ledger(struct broker *b)
{
    struct ledger *l = &b->ledger;

    for (uint8_t i = 0; i < b->workers_n; i++) {
        const struct worker *w = b->workers[i];
        ledger_pages(l, LEDGER_LOG_PAGES, &w->log_pages);
        ledger_pages(l, LEDGER_REQUEST_PAGES, &w->request_pages);
        conns_ledger(w->conns, l);
        kafka_ledger(w->kafka, l);
        for (uint8_t dir = 0; dir < b->dirs_n; dir++)
            if (w->stores[dir] != NULL)
                store_ledger(w->stores[dir], l);
    }
    ledger_pages(l, LEDGER_CONTROL, &b->control_pages);
    control_ledger(b->control, l);
    for (uint8_t to = 0; to < broker_threads_n(b); to++)
        for (uint8_t from = 0; from < broker_threads_n(b); from++)
            ledger_add(l, LEDGER_MAIL, broker_post(b, to)->in[from]->slots,
                       bounds_ring_slots(&b->bounds) * sizeof(void *));
    return l->is_short ? E_NO_MEMORY : 0;
}
