/*
 * reader.c - a read: from an offset to slices of pages, whole batches, without a copy.
 *
 * Owner: home.
 *
 *   offset -> segment -> sparse index -> batch headers up to the one that holds it -> gather
 *
 * Gathering parses each batch's header (a read ends on a batch boundary) and takes a reference on
 * every page it lends. Where bytes are missing: with at least one whole batch in hand the read ends
 * there; otherwise it waits for a fill (fill.c) and goes on at the same place; what it holds stays
 * referenced, so it always comes forward. A read stays within one segment, unless that one has
 * nothing for it.
 *
 * A slice covers bytes of one page, so the page is found again from its pointer (pages_find) and no
 * list of pages is kept. The slices stand in a page of their own, 4 KiB, then 64 KiB.
 */
#include "plog.h"

enum { READ_STOP = 1 }; /* enough: what is missing next is not waited for */

/* What a read remembers while it waits, in read.inside. */
struct read_inside {
    struct page *slices_page, *aborted_page;
    struct segment *segment;
    int64_t next_offset;   /* behind the batch being gathered */
    int64_t whole_offset;  /* behind the last whole batch */
    uint32_t pos;          /* next byte to gather, or header to parse */
    uint32_t batch_end;    /* of the batch being gathered; 0: its header is not parsed */
    uint32_t whole_n;      /* slices of whole batches ... */
    uint32_t whole_last_n; /* ... bytes of them in the last of these slices ... */
    uint32_t whole_bytes;  /* ... and in all */
    bool is_placed;        /* pos is a batch boundary found by the index */
    bool is_missed;        /* it waited for the disk */
};
static_assert(sizeof(struct read_inside) <= sizeof((struct read *)0)->inside, "fits a struct read");

static struct read_inside *read_in(struct read *read)
{
    return (struct read_inside *)(void *)read->inside;
}

static int64_t read_limit(const struct read *read)
{
    return read->is_committed ? read->offsets.stable : read->offsets.high;
}

/* ── slices ── */

static struct page *read_page(struct read *read, uint64_t bytes)
{
    if (bytes > PAGE_LARGE)
        return NULL;
    return cache_take(&read->log->store->cache, bytes <= PAGE_SMALL ? PAGE_SMALL : PAGE_LARGE);
}

static int slices_room(struct read *read)
{
    struct read_inside *in = read_in(read);
    struct page *old = in->slices_page;
    uint64_t used = (uint64_t)read->data.n * sizeof(struct slice);
    if (old != NULL && used + sizeof(struct slice) <= old->size)
        return 0;
    struct page *page = read_page(read, used + sizeof(struct slice));
    if (page == NULL)
        return E_NO_MEMORY;
    if (used > 0)
        memcpy(page_data(page), read->data.v, used);
    read->data.v = (struct slice *)(void *)page_data(page);
    in->slices_page = page;
    if (old != NULL)
        page_put(old);
    return 0;
}

static int slices_add(struct read *read, struct page *page, uint64_t at, uint32_t n)
{
    const uint8_t *ptr = page_data(page) + at;
    struct slice *last = read->data.n > 0 ? &read->data.v[read->data.n - 1] : NULL;
    if (last != NULL && last->ptr + last->n == ptr &&
        at > 0) { /* at > 0: the same page, not its neighbour */
        last->n += n;
    } else {
        int rc = slices_room(read);
        if (rc != 0)
            return rc;
        page_get(page);
        read->data.v[read->data.n++] = (struct slice){ptr, n, NULL};
    }
    read->data.bytes += n;
    return 0;
}

/* Gives back slices from `n` on. The log may be gone by now. */
static void slices_cut(struct read *read, uint32_t n)
{
    const struct page *slices_page = read_in(read)->slices_page;
    while (read->data.n > n)
        page_put(pages_find(slices_page->pages, read->data.v[--read->data.n].ptr));
}

/* ── gathering ── */

/* Bytes at `pos` are not in memory. */
static int read_miss(struct read *read, uint64_t pos)
{
    struct read_inside *in = read_in(read);
    uint64_t want = in->batch_end > pos ? in->batch_end - pos : 0;
    if (in->whole_bytes > 0)
        return READ_STOP;
    if (pos >= in->segment->written_pos)
        return READ_STOP; /* a failed log: it ends here */
    if (read->no_wait)
        return E_AGAIN;
    in->is_missed = true;
    return fill_start(in->segment, pos, max_u64(want, read->bytes_max), read);
}

/* Copies n bytes of the segment at `pos`. */
static int read_copy(struct read *read, uint64_t pos, uint8_t *to, uint32_t n)
{
    struct read_inside *in = read_in(read);
    while (n > 0) {
        struct page *page = cache_find(&read->log->store->cache, in->segment, pos);
        if (page == NULL)
            return read_miss(read, pos);
        uint64_t at = pos - cache_page_pos(page);
        uint32_t run = (uint32_t)min_u64(n, page->user_n - at);
        memcpy(to, page_data(page) + at, run);
        to += run;
        pos += run;
        n -= run;
    }
    return 0;
}

/* Where the segment's readable bytes end. */
static uint64_t read_end(const struct read *read)
{
    const struct segment *segment = read_in((struct read *)(uintptr_t)read)->segment;
    if (read->log->state == PLOG_OPEN)
        return segment->end_pos;
    return max_u64(segment->written_pos, segment->safe_pos); /* what the journal has is in pages */
}

static int read_header(struct read *read, struct batch *b)
{
    struct read_inside *in = read_in(read);
    uint8_t header[BATCH_HEADER];
    uint64_t end = read_end(read);
    bool is_open = read->log->state == PLOG_OPEN;
    if (in->pos + BATCH_HEADER > end)
        return is_open ? E_CORRUPT : READ_STOP;
    int rc = read_copy(read, in->pos, header, BATCH_HEADER);
    if (rc != 0)
        return rc;
    if (batch_header(header, b) != 0 || b->base_offset < in->segment->base_offset)
        return E_CORRUPT;
    if (in->pos + b->bytes > end)
        return is_open ? E_CORRUPT : READ_STOP;
    return 0;
}

/* Parses headers from pos on until one is to be gathered. READ_STOP: none. */
static int read_next(struct read *read)
{
    struct read_inside *in = read_in(read);
    struct batch b;
    while (in->pos < read_end(read)) {
        int rc = read_header(read, &b);
        if (rc != 0)
            return rc;
        if (batch_last_offset(&b) < read->offset) {
            in->pos += b.bytes;
            continue;
        }
        if (b.base_offset >= read_limit(read))
            return READ_STOP;
        uint64_t bytes = (uint64_t)in->whole_bytes + b.bytes;
        if (bytes > read->bytes_max && !(read->at_least_one && in->whole_bytes == 0))
            return READ_STOP;
        in->batch_end = in->pos + b.bytes;
        in->next_offset = batch_last_offset(&b) + 1;
        return 0;
    }
    return READ_STOP;
}

static int read_gather(struct read *read)
{
    struct read_inside *in = read_in(read);
    while (in->pos < in->batch_end) {
        struct page *page = cache_find(&read->log->store->cache, in->segment, in->pos);
        if (page == NULL)
            return read_miss(read, in->pos);
        uint64_t at = in->pos - cache_page_pos(page);
        uint32_t run = (uint32_t)min_u64(in->batch_end - in->pos, page->user_n - at);
        int rc = slices_add(read, page, at, run);
        if (rc != 0)
            return in->whole_bytes > 0 ? READ_STOP : rc;
        in->pos += run;
    }
    in->batch_end = 0;
    in->whole_n = read->data.n;
    in->whole_last_n = read->data.v[read->data.n - 1].n;
    in->whole_bytes = (uint32_t)read->data.bytes;
    in->whole_offset = in->next_offset;
    return 0;
}

/* ── placing ── */

static int read_seek(struct read *read)
{
    struct read_inside *in = read_in(read);
    struct segment *segment = in->segment;
    if (read->no_wait && !segment->is_index_loaded)
        return E_AGAIN;
    int rc = segment_index_load(segment);
    if (rc == E_AGAIN) {
        in->is_missed = true;
        list_append(&segment->waits, &read->link);
    }
    if (rc != 0)
        return rc;
    int64_t relative = min_i64(max_i64(read->offset - segment->base_offset, 0), INT32_MAX);
    in->pos =
        index_find(bytes_of(segment->index.v, segment->index.n * INDEX_ENTRY), (int32_t)relative);
    in->is_placed = true;
    return 0;
}

/* The segment had nothing: goes to the one behind it. False: there is none. One that compaction has
 * replaced may have been followed by others that are in the same new segment now. */
static bool read_next_segment(struct read *read)
{
    struct read_inside *in = read_in(read);
    struct plog *log = read->log;
    int64_t base = in->segment->base_offset;
    bool is_replaced = in->segment->state == SEGMENT_GONE;
    uint32_t at = segment_find(log, is_replaced ? in->segment->end.offset : base);
    if (!is_replaced && log->segments[at]->base_offset <= base)
        at++;
    if (at >= log->segments_n || log->segments[at]->base_offset >= read_limit(read))
        return false;
    segment_get(log->segments[at]);
    segment_put(in->segment);
    in->segment = log->segments[at];
    in->is_placed = false;
    return true;
}

/* The segment is gone, and its file is not open. Compaction has put another one in its place:
 * begins again there, unless the log forgot the offset. */
static bool read_moved(struct read *read)
{
    struct read_inside *in = read_in(read);
    struct plog *log = read->log;
    bool is_there = log->state == PLOG_OPEN || log->state == PLOG_FAILED;
    if (in->segment == NULL || in->segment->state != SEGMENT_GONE || in->whole_bytes > 0 ||
        !is_there || read->offset < log->start)
        return false;
    slices_cut(read, 0);
    read->data.bytes = 0;
    in->whole_n = in->whole_last_n = 0;
    in->batch_end = in->pos = 0;
    in->is_placed = false;
    struct segment *old = in->segment;
    in->segment = log->segments[segment_find(log, read->offset)];
    segment_get(in->segment);
    segment_put(old);
    return true;
}

static int read_run(struct read *read)
{
    struct read_inside *in = read_in(read);
    for (;;) { /* bounded by bytes_max, the segment's end and the number of segments */
        int rc = in->is_placed ? 0 : read_seek(read);
        if (rc == 0 && in->batch_end == 0)
            rc = read_next(read);
        if (rc == 0)
            rc = read_gather(read);
        if (rc == READ_STOP && in->whole_bytes == 0 && in->pos >= read_end(read) &&
            read_next_segment(read))
            continue;
        if (rc == E_OFFSET_RANGE && read_moved(read))
            continue;
        if (rc != 0)
            return rc;
    }
}

/* ── the end of a read ── */

static int read_aborted(struct read *read)
{
    struct read_inside *in = read_in(read);
    const struct aborted_list *list = &read->log->aborted;
    if (!read->is_committed || in->whole_bytes == 0)
        return 0;
    uint32_t n = aborted_find(list, read->offset, in->whole_offset, NULL);
    if (n == 0)
        return 0;
    in->aborted_page = read_page(read, (uint64_t)n * sizeof *read->aborted);
    if (in->aborted_page == NULL)
        return E_NO_MEMORY;
    read->aborted = (struct aborted *)(void *)page_data(in->aborted_page);
    read->aborted_n = aborted_find(list, read->offset, in->whole_offset, read->aborted);
    return 0;
}

static void read_give(struct read *read)
{
    struct read_inside *in = read_in(read);
    slices_cut(read, 0);
    if (in->slices_page != NULL)
        page_put(in->slices_page);
    if (in->aborted_page != NULL)
        page_put(in->aborted_page);
    if (in->segment != NULL) {
        struct segment *segment = in->segment;
        segment_fd_idle(segment);
        segment_put(segment);
    }
    *in = (struct read_inside){0};
    read->data = (struct slices){NULL, 0, 0};
    read->aborted = NULL;
    read->aborted_n = 0;
}

/* Turns what read_run said into what the caller hears. */
static int read_finish(struct read *read, int rc)
{
    struct read_inside *in = read_in(read);
    struct store_stats *stats = &read->log->store->stats;
    if (rc == READ_STOP)
        rc = read_aborted(read);
    if (rc != 0) {
        read_give(read);
        return rc;
    }
    slices_cut(read, in->whole_n);
    if (in->whole_n > 0)
        read->data.v[in->whole_n - 1].n = in->whole_last_n;
    read->data.bytes = in->whole_bytes;
    if (in->whole_bytes > 0)
        ahead_note(read->log, in->segment, read->offset, in->whole_offset, in->pos, in->is_missed);
    segment_put(in->segment);
    in->segment = NULL;
    stats->read_hits += !in->is_missed;
    stats->read_misses += in->is_missed;
    stats->read_bytes += in->whole_bytes;
    return 0;
}

int plog_read(struct plog *log, struct read *read, struct now now)
{
    struct store *store = log->store;
    struct read_inside *in = read_in(read);
    check(log->magic == PLOG_MAGIC);
    store_own(store);
    store->now = now;
    *in = (struct read_inside){0};
    list_init(&read->link);
    read->log = log;
    read->data = (struct slices){NULL, 0, 0};
    read->aborted = NULL;
    read->aborted_n = 0;
    plog_offsets(log, &read->offsets);
    if (log->state != PLOG_OPEN && log->state != PLOG_FAILED)
        return E_NOT_FOUND;
    if (read->offset < log->start || read->offset > log->end.offset)
        return E_OFFSET_RANGE;
    if (read->offset >= read_limit(read))
        return 0;
    in->segment = log->segments[segment_find(log, read->offset)];
    segment_get(in->segment);
    int rc = read_run(read);
    if (rc == E_AGAIN && list_is_linked(&read->link)) {
        store->reads_n++;
        return rc;
    }
    return read_finish(read, rc);
}

void reads_run(struct list *reads, int error, struct now now)
{
    struct list running;
    struct list *l;
    list_init(&running);
    list_splice(&running, reads);
    while ((l = list_pop(&running)) != NULL) {
        struct read *read = list_entry(l, struct read, link);
        struct store *store = read->log->store;
        bool is_again = error == 0 || (error == E_OFFSET_RANGE && read_moved(read));
        int rc = is_again ? read_run(read) : error;
        if (rc == E_AGAIN && list_is_linked(&read->link))
            continue;
        rc = read_finish(read, rc);
        store->reads_n--;
        read->done(read, rc, now);
    }
}

static void reads_take(struct list *to, struct list *from, const struct plog *log)
{
    list_for_each(node, next, from) {
        if (list_entry(node, struct read, link)->log != log)
            continue;
        list_del(node);
        list_append(to, node);
    }
}

void reads_end(struct plog *log, int error, struct now now)
{
    struct store *store = log->store;
    struct list ending;
    list_init(&ending);
    list_for_each(node, next, &store->fills)
        reads_take(&ending, &list_entry(node, struct fill, link)->reads, log);
    reads_take(&ending, &store->fill_waits, log);
    for (uint32_t i = 0; i < log->segments_n; i++)
        reads_take(&ending, &log->segments[i]->waits, log);
    reads_run(&ending, error, now);
}

void read_release(struct read *read)
{
    if (read->log == NULL)
        return;
    if (list_is_linked(&read->link)) { /* under way, so the log is there */
        store_own(read->log->store);
        list_del(&read->link);
        read->log->store->reads_n--;
    }
    read_give(read);
    read->log = NULL;
}
