/*
 * rig.h - a whole store for tests: fake io, real helpers on a directory of its own, time as a
 * number.
 *
 * Owner: the test.
 *
 * rig_turn is a worker's turn: completions, helpers, mail, store_flush. rig_settle turns until
 * nothing moves.
 */
#ifndef MILLRACE_RIG_H
#define MILLRACE_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint.h"
#include "fake_disk.h"
#include "fake_io.h"
#include "plog.h"
#include "unit.h"

enum { RIG_STORE, RIG_FILES, RIG_BULK, RIG_THREADS_N };
enum { RIG_WALL_MS = 1700000000 };

struct rig {
    char directory[64];
    struct fake_io io;
    struct fake_disk disk;
    struct pages pages;
    void *region, *headers;
    struct timers timers;
    struct post posts[RIG_THREADS_N];
    struct helper *files, *bulk;
    struct store_config config;
    struct log_config log_config;
    struct store *store;
    struct store *beside; /* turned along, when there is one */
    struct plog *log;
    struct now now;
    uint8_t mail_at;
    bool is_io_held, is_files_held;
};

static const struct uuid rig_topic_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static inline struct log_config rig_log_config(void)
{
    return (struct log_config){
        .segment_bytes = GIB(1),
        .segment_ms = INT64_MAX / 2,
        .segment_index_bytes = 10 << 20,
        .index_interval_bytes = 4096,
        .max_message_bytes = 16 << 20,
        .retention_ms = -1,
        .retention_bytes = -1,
        .file_delete_delay_ms = 1000,
        .flush_messages = INT64_MAX,
        .flush_ms = INT64_MAX,
        .timestamp_before_max_ms = INT64_MAX,
        .timestamp_after_max_ms = INT64_MAX,
        .is_deleted = true,
        .codec = CODEC_PRODUCER,
        .durability = STORE_GROUP,
        .latency = LATENCY_NORMAL,
    };
}

static inline struct log_id rig_id(int32_t partition)
{
    return (struct log_id){rig_topic_id, bytes_of_string("topic"), partition};
}

/* The store, helpers and io of a process that starts on the rig's directory. */
static inline void rig_start(struct rig *r)
{
    struct post *posts[RIG_THREADS_N];
    fake_io_init(&r->io);
    memset(r->posts, 0, sizeof r->posts);
    for (int i = 0; i < RIG_THREADS_N; i++) {
        r->posts[i].event_fd = -1;
        posts[i] = &r->posts[i];
    }
    assert_int_equal(posts_connect(posts, RIG_THREADS_N, 256), 0);
    memset(r->headers, 0, pages_header_bytes(r->pages.bytes));
    pages_init(&r->pages, r->region, r->pages.bytes, r->headers);
    timers_init(&r->timers, r->now.ns);
    assert_int_equal(helper_init(&r->files, &r->disk.disk, &r->posts[RIG_FILES], 1), 0);
    assert_int_equal(helper_init(&r->bulk, &r->disk.disk, &r->posts[RIG_BULK], 2), 0);
    assert_int_equal(store_init(&r->store, &r->config, &r->io.io, &r->disk.disk, &r->pages,
                                &r->timers, &r->posts[RIG_STORE], RIG_FILES, RIG_BULK),
                     0);
}

static inline void rig_stop(struct rig *r)
{
    struct post *posts[RIG_THREADS_N];
    for (int i = 0; i < RIG_THREADS_N; i++)
        posts[i] = &r->posts[i];
    store_fini(r->store);
    helper_fini(r->files);
    helper_fini(r->bulk);
    posts_disconnect(posts, RIG_THREADS_N);
    r->store = NULL;
    r->log = NULL;
    assert_int_equal(r->pages.used_bytes, 0);
}

static inline void rig_init_pages(struct rig *r, uint64_t bytes)
{
    memset(r, 0, sizeof *r);
    strcpy(r->directory, "/dev/shm/store-test-XXXXXX"); /* memory: no test waits for a device */
    if (mkdtemp(r->directory) == NULL) {
        strcpy(r->directory, "/tmp/store-test-XXXXXX");
        assert_non_null(mkdtemp(r->directory));
    }
    fake_disk_init(&r->disk, disk_posix());
    r->region = aligned_alloc(PAGE_BLOCK, bytes);
    r->headers = malloc(pages_header_bytes(bytes));
    r->pages.bytes = bytes;
    r->now = (struct now){1000 * NS_PER_MS, RIG_WALL_MS};
    r->config = (struct store_config){.group_ns_max = 2 * NS_PER_MS,
                                      .open_files_max = 1000,
                                      .producers_max = 1000,
                                      .producer_expiration_ms = 86400000,
                                      .tail_bytes_max = 64 << 20,
                                      .leader_epoch = 3};
    strcpy(r->config.directory, r->directory);
    r->log_config = rig_log_config();
    rig_start(r);
}

static inline void rig_init(struct rig *r)
{
    rig_init_pages(r, MIB(64));
}

static inline struct plog *rig_log_new(struct rig *r, int32_t partition)
{
    struct log_id id = rig_id(partition);
    struct plog *log;
    assert_int_equal(store_log_new(r->store, &id, &r->log_config, &log), 0);
    if (r->log == NULL)
        r->log = log;
    return log;
}

static inline void rig_fini(struct rig *r)
{
    char command[128];
    if (r->store != NULL)
        rig_stop(r);
    snprintf(command, sizeof command, "rm -rf '%s'", r->directory);
    assert_int_equal(system(command), 0);
    free(r->region);
    free(r->headers);
}

static inline int rig_mail(struct rig *r)
{
    struct mail *mail;
    int n = mail_flush(&r->posts[RIG_STORE]);
    if (!r->is_files_held)
        n += helper_turn(r->files, r->now, 100);
    n += helper_turn(r->bulk, r->now, 100);
    n += mail_flush(&r->posts[RIG_FILES]) + mail_flush(&r->posts[RIG_BULK]);
    while ((mail = mail_read(&r->posts[RIG_STORE], &r->mail_at)) != NULL) {
        store_mail(r->store, mail, r->now);
        n++;
    }
    return n;
}

/* One turn; returns how much was done. Time goes on by 10 us. */
static inline int rig_turn(struct rig *r)
{
    int n = r->is_io_held ? 0 : fake_io_run(&r->io);
    n += rig_mail(r);
    r->now.ns += 10000;
    n += store_flush(r->store, r->now);
    if (r->beside != NULL)
        n += store_flush(r->beside, r->now);
    n += mail_flush(&r->posts[RIG_STORE]);
    if (r->log != NULL)
        plog_invariants(r->log);
    return n;
}

static inline void rig_settle(struct rig *r)
{
    for (int i = 0, idle = 0; idle < 3; i++) {
        assert_true(i < 10000);
        idle = rig_turn(r) == 0 ? idle + 1 : 0;
    }
}

/* Time goes on, and housekeeping runs. */
static inline void rig_wait_ms(struct rig *r, int64_t ms)
{
    r->now.ns += (uint64_t)ms * NS_PER_MS;
    r->now.wall_ms += ms;
    store_tick(r->store, r->now);
    rig_settle(r);
}

/* ── batches ── */

/* A batch of n records of value_bytes each at `to`; every value tells its number. Returns bytes. */
static inline uint32_t rig_batch(uint8_t *to, uint32_t max, uint32_t n, uint32_t value_bytes,
                                 uint8_t mark, int64_t ms)
{
    static uint8_t value[4 << 20];
    struct batch_builder b;
    assert_true(value_bytes <= sizeof value);
    memset(value, mark, value_bytes);
    batch_begin(&b, to, max);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(batch_add(&b, ms, bytes_of("key", 3), bytes_of(value, value_bytes)), 0);
    return batch_end(&b, 0, -1);
}

/* Appends bytes cut into slices of at most `piece`. */
static inline int rig_append_bytes(struct rig *r, struct plog *log, const uint8_t *batch,
                                   uint32_t bytes, uint32_t piece, struct append *out)
{
    uint32_t n = (bytes + piece - 1) / piece;
    struct slice *v = calloc(n + 1, sizeof *v);
    for (uint32_t i = 0; i < n; i++)
        v[i] = (struct slice){batch + (size_t)i * piece,
                              (uint32_t)min_u64(piece, bytes - i * piece), NULL};
    struct slices from = {v, n, bytes};
    *out = (struct append){.from = &from, .bytes = bytes, .request_version = 9};
    int rc = plog_append(log, out, r->now);
    out->from = NULL;
    free(v);
    return rc;
}

static inline int rig_append_to(struct rig *r, struct plog *log, uint32_t n, uint32_t value_bytes,
                                uint8_t mark, struct append *out)
{
    static uint8_t batch[8 << 20];
    uint32_t bytes = rig_batch(batch, sizeof batch, n, value_bytes, mark, r->now.wall_ms);
    return rig_append_bytes(r, log, batch, bytes, 1460, out);
}

/* Appends to the rig's log; must succeed; returns the base offset. */
static inline int64_t rig_append(struct rig *r, uint32_t n, uint32_t value_bytes, uint8_t mark)
{
    struct append out;
    int rc = rig_append_to(r, r->log, n, value_bytes, mark, &out);
    if (rc != 0)
        print_error("append: %s %s\n", error_text(rc), out.reason);
    assert_int_equal(rc, 0);
    return out.base_offset;
}

/* ── reads ── */

struct rig_read {
    struct read read;
    int error;
    bool is_done;
};

static inline void rig_read_done(struct read *read, int error, struct now now)
{
    struct rig_read *rr = container_of(read, struct rig_read, read);
    (void)now;
    rr->error = error;
    rr->is_done = true;
}

/* Reads, turning until it is done. The caller releases. */
static inline int rig_read(struct rig *r, struct plog *log, struct rig_read *rr, int64_t offset,
                           uint32_t bytes_max)
{
    *rr = (struct rig_read){
        .read = {
            .offset = offset, .bytes_max = bytes_max, .at_least_one = true, .done = rig_read_done}};
    int rc = plog_read(log, &rr->read, r->now);
    if (rc != E_AGAIN)
        return rc;
    for (int i = 0; i < 100 && !rr->is_done; i++)
        rig_turn(r);
    assert_true(rr->is_done);
    return rr->error;
}

/* The read's bytes in one piece, from the heap. */
static inline uint8_t *rig_flat(const struct read *read)
{
    uint8_t *flat = malloc(read->data.bytes + 1), *at = flat;
    for (uint32_t i = 0; i < read->data.n; i++) {
        memcpy(at, read->data.v[i].ptr, read->data.v[i].n);
        at += read->data.v[i].n;
    }
    assert_int_equal(at - flat, read->data.bytes);
    return flat;
}

/* Whole, checksummed batches with rising offsets; returns the offset behind the last. */
static inline int64_t rig_check_batches(const uint8_t *p, uint64_t bytes, int64_t first_at_most)
{
    int64_t next = -1;
    for (uint64_t at = 0; at < bytes;) {
        struct batch b;
        assert_true(bytes - at >= BATCH_HEADER);
        assert_int_equal(batch_header(p + at, &b), 0);
        assert_true(at + b.bytes <= bytes);
        assert_int_equal(batch_crc(p + at, b.bytes), b.crc);
        if (next < 0)
            assert_true(b.base_offset <= first_at_most && batch_last_offset(&b) >= first_at_most);
        else
            assert_int_equal(b.base_offset, next);
        next = batch_last_offset(&b) + 1;
        at += b.bytes;
    }
    return next;
}

/* Reads everything readable from `from` and checks it; returns where it ends. */
static inline int64_t rig_read_all(struct rig *r, struct plog *log, int64_t from,
                                   uint32_t bytes_max)
{
    for (;;) {
        struct rig_read rr;
        int rc = rig_read(r, log, &rr, from, bytes_max);
        if (rc != 0)
            print_error("read at %lld: %s\n", (long long)from, error_text(rc));
        assert_int_equal(rc, 0);
        uint64_t bytes = rr.read.data.bytes;
        uint8_t *flat = rig_flat(&rr.read);
        int64_t next = rig_check_batches(flat, bytes, from);
        free(flat);
        read_release(&rr.read);
        if (bytes == 0)
            return from;
        from = next;
    }
}

static inline struct plog_offsets rig_offsets(const struct plog *log)
{
    struct plog_offsets o;
    plog_offsets(log, &o);
    return o;
}

/* Forgets all clean pages, so that reads go to the disk. */
static inline void rig_forget_pages(struct rig *r)
{
    struct cache *cache = &r->store->cache;
    struct page *page;
    for (int i = 0; i < CACHE_KEEPS_N; i++)
        while ((page = list_first(&cache->lru[i], struct page, link)) != NULL)
            cache_remove(cache, page);
}

#endif
