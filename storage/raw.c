/*
 * raw.c - long runs of a log go to its segment past the page cache, and come back so.
 *
 * Owner: home.
 *
 * A segment that gets long runs has a second descriptor, opened with O_DIRECT. Its runs are whole
 * blocks: from the block that holds the first unwritten byte, whose beginning is still in the tail
 * page, to the last whole block out of the pages themselves; the unfinished one goes out as a copy,
 * filled with zeros, because appends go on in its page meanwhile:
 *
 *      written_pos          end                      pages    |head.|.....|.....|...
 *   ...|--x-----|-----|-----|--x                     frozen                     |...000|
 *         ^ begin of the run   ^ unfinished block    file     |head.|.....|.....|...000|
 *
 * So a file may be longer than its log, by zeros up to the end of a block. It is cut when its
 * segment is sealed or the broker stops; after a crash recovery cuts it, as it cuts anything behind
 * the last whole batch.
 *
 * Reads of whole pages of 64 KiB that are written (fill.c) go through the same descriptor, in
 * sealed segments too: a copy less, and the kernel keeps nothing of what we keep ourselves.
 *
 * What cannot go this way is written as before: a short run, one whose first block is not in memory
 * (its page was given up, or the log was just opened), every run while the descriptor is being
 * opened, and everything on a file system without O_DIRECT. The kernel keeps both ways coherent for
 * whoever reads the file by its name (compaction, searches by time, tools): a direct write throws
 * out what the page cache holds of its range. Nobody maps these files.
 *
 * One write per log is under way, so rewriting the unfinished block never meets another write of
 * it. Its older sectors are written with the bytes they hold already.
 */
#include <errno.h>
#include <stdio.h>

#include "plog.h"

/* ── the descriptor ── */

static void raw_closed(struct job *job, struct now now)
{
    struct segment *segment = job->subject;
    struct plog *log = segment->log;
    (void)now;
    store_job_give(segment->store, job);
    if (log != NULL) {
        log->jobs_n--;
        plog_mark_pending(log); /* a drop waits for this */
    }
    segment->is_raw_opening = false;
    segment_put(segment);
}

/* It has a file, under the name that is opened. */
static bool raw_is_possible(const struct segment *segment)
{
    return segment->fd >= 0 && !segment->is_swapping && !segment->is_lost &&
           (segment->state == SEGMENT_LIVE || segment->state == SEGMENT_SEALED);
}

static void raw_opened(struct job *job, struct now now)
{
    struct segment *segment = job->subject;
    struct store *store = segment->store;
    const struct plog *log = segment->log;
    bool is_wanted = log != NULL && log->state == PLOG_OPEN && raw_is_possible(segment);
    if (job->error == E_UNSUPPORTED || job->error == E_INVALID)
        store->has_no_raw = true;
    segment->is_raw_refused |= job->error != 0;
    if (job->error == 0 && !is_wanted) {
        job->kind = JOB_CLOSE;
        store_job_send(store, job, raw_closed, segment);
        return;
    }
    if (job->error == 0) {
        segment->raw_fd = job->fd;
        store->stats.files_open_n++;
    }
    raw_closed(job, now);
}

static void raw_open(struct segment *segment)
{
    struct store *store = segment->store;
    if (segment->is_raw_opening || !raw_is_possible(segment))
        return;
    struct job *job = store_job_take(store, segment->log, JOB_OPEN);
    if (job == NULL)
        return;
    job->base_offset = segment->base_offset;
    snprintf(job->name, sizeof job->name, "%020lld.log", (long long)segment->base_offset);
    job->how = DISK_WRITE | DISK_DIRECT;
    segment->is_raw_opening = true;
    segment->log->jobs_n++;
    segment_get(segment);
    store_job_send(store, job, raw_opened, segment);
}

/* ── a run ── */

/* Is the block of the first unwritten byte in memory from its beginning? */
static bool raw_has_head(struct segment *segment)
{
    uint64_t from = align_down(segment->written_pos, RAW_BLOCK);
    const struct page *page = cache_find(&segment->store->cache, segment, segment->written_pos);
    check(page != NULL);
    return cache_page_pos(page) + page->user_at <= from;
}

bool raw_may(struct segment *segment, uint64_t to)
{
    const struct store *store = segment->store;
    uint64_t min = store->config.raw_bytes_min;
    if (min == 0 || to - segment->written_pos < min || store->has_no_raw || segment->is_raw_refused)
        return false;
    if (segment->raw_fd < 0) {
        raw_open(segment);
        return false;
    }
    return raw_has_head(segment);
}

bool raw_may_read(struct segment *segment)
{
    const struct store *store = segment->store;
    if (store->config.raw_bytes_min == 0 || store->has_no_raw || segment->is_raw_refused)
        return false;
    if (segment->raw_fd < 0 && segment->log != NULL && segment->log->state == PLOG_OPEN)
        raw_open(segment);
    return segment->raw_fd >= 0;
}

/* The unfinished block. */
static struct iovec raw_frozen(struct write_op *write, const uint8_t *from, uint64_t n)
{
    struct store *store = write->segment->store;
    uint8_t *block = store->raw_blocks + (size_t)(write - store->writes) * RAW_BLOCK;
    memcpy(block, from, n);
    memset(block + n, 0, RAW_BLOCK - n);
    return (struct iovec){block, RAW_BLOCK};
}

bool raw_gather(struct write_op *write, uint64_t to)
{
    struct segment *segment = write->segment;
    struct cache *cache = &segment->store->cache;
    uint64_t pos = align_down(segment->written_pos, RAW_BLOCK);
    uint32_t iov_n = 0;
    write->begin = pos;
    while (write->pages_n < WRITE_IOV_MAX && pos < to) {
        struct page *page = cache_find(cache, segment, max_u64(pos, segment->written_pos));
        check(page != NULL && cache_page_is(page, CACHE_PAGE_TAIL));
        const uint8_t *from = page_data(page) + (pos - cache_page_pos(page));
        uint64_t run = min_u64(cache_page_pos(page) + page->user_n, to) - pos;
        uint64_t whole = align_down(run, RAW_BLOCK);
        if (whole < run && pos + run < to)
            break; /* the rest of the block is in another page: the next run begins buffered */
        page_get(page);
        write->pages[write->pages_n++] = page;
        if (whole > 0)
            write->iov[iov_n++] = (struct iovec){(void *)(uintptr_t)from, whole};
        if (whole < run)
            write->iov[iov_n++] = raw_frozen(write, from + whole, run - whole);
        pos += run;
    }
    write->op.op.iov_n = iov_n;
    write->end = pos;
    write->bytes = align_up(pos, RAW_BLOCK) - write->begin;
    return pos > segment->written_pos;
}

uint64_t raw_end(struct write_op *write, int32_t *result)
{
    struct segment *segment = write->segment;
    uint64_t written = segment->written_pos;
    if (*result == -EINVAL) { /* this device wants it otherwise: as before, then */
        segment->is_raw_refused = true;
        *result = 0;
        return written;
    }
    if (*result <= 0)
        return written;
    uint64_t end = write->begin + align_down((uint64_t)*result, RAW_BLOCK);
    end = max_u64(min_u64(end, write->end), written);
    segment->is_raw_refused |= end == written; /* less than a block at a time: not this way */
    return end;
}
