/*
 * fill.c - bytes of a segment that are not in memory: read into clean pages of 64 KiB, ahead of the
 * reader.
 *
 * Owner: home. A fill reads one contiguous run with one operation, whose end wakes all reads that
 * wait for it:
 *
 *   missing slots    up to FILL_PAGES_MAX whole 64 KiB slots, to the end of what is written; those
 *                    that are written whole past the page cache where the file system can (raw.c)
 *   a partial page   its front, when the log grew into it from the middle; or its back, when it was
 *                    read while the segment was shorter
 *
 * FILLS_CRITICAL of the fills are for logs of the class critical only, and logs of the class bulk
 * have FILLS_BULK_MAX at most; who waits for a fill waits behind the critical ones.
 *
 * A page being filled is in no list, so it stays. When all fills are in use, or no page can be had
 * while others are being filled, a read waits in store.fill_waits.
 */
#include "plog.h"

#include <errno.h>

static void fill_finish(struct store_op *op, struct now now);

static struct fill *fill_of(struct store *store, const struct segment *segment, uint64_t pos)
{
    list_for_each(node, next, &store->fills) {
        struct fill *fill = list_entry(node, struct fill, link);
        if (fill->segment == segment && pos >= align_down(fill->pos, PAGE_LARGE) &&
            pos < align_up(fill->pos + fill->bytes, PAGE_LARGE))
            return fill;
    }
    return NULL;
}

static void fill_add(struct fill *fill, struct page *page, uint32_t from, uint32_t to)
{
    fill->pages[fill->pages_n] = page;
    fill->regions[fill->pages_n].from = from;
    fill->regions[fill->pages_n].to = to;
    fill->pages_n++;
    fill->bytes += to - from;
}

/* The part of a page that is there but incomplete. */
static void fill_rest(struct fill *fill, struct page *page, uint64_t pos)
{
    struct cache *cache = &fill->segment->store->cache;
    uint64_t slot = cache_page_pos(page);
    bool is_front = pos - slot < page->user_at;
    uint32_t from = is_front ? 0 : page->user_n;
    uint32_t to =
        is_front ? page->user_at : (uint32_t)min_u64(PAGE_LARGE, fill->segment->written_pos - slot);
    check(from < to && !cache_page_is(page, CACHE_PAGE_FILLING));
    cache_flags_set(cache, page, (page->user[2] & CACHE_PAGE_TAIL) | CACHE_PAGE_FILLING);
    fill->pos = slot + from;
    fill_add(fill, page, from, to);
}

/* Whole slots from `slot` on, to hold [slot, to). */
static void fill_slots(struct fill *fill, uint64_t slot, uint64_t to)
{
    struct segment *segment = fill->segment;
    struct cache *cache = &segment->store->cache;
    fill->pos = slot;
    fill->is_raw = slot + PAGE_LARGE <= segment->written_pos && raw_may_read(segment);
    uint32_t pages_max =
        fill->is_bulk && store_is_paced(segment->store) ? FILL_PACED_PAGES_MAX : FILL_PAGES_MAX;
    for (; fill->pages_n < pages_max && slot < to; slot += PAGE_LARGE) {
        if (cache_at(cache, segment, slot, PAGE_LARGE) != NULL)
            return;
        /* An append may go on behind the bytes of the last page: only they may be written to. */
        if (fill->is_raw && slot + PAGE_LARGE > segment->written_pos)
            return;
        struct page *page = cache_take(cache, PAGE_LARGE);
        if (page == NULL)
            return;
        uint32_t bytes = (uint32_t)min_u64(PAGE_LARGE, segment->written_pos - slot);
        cache_insert(cache, page, segment, slot, bytes, bytes, CACHE_PAGE_FILLING);
        fill_add(fill, page, 0, bytes);
    }
}

/* Reads what is still missing; again after a short read. */
static void fill_submit(struct fill *fill)
{
    struct segment *segment = fill->segment;
    uint64_t skip = fill->done_bytes;
    uint32_t n = 0;
    for (uint32_t i = 0; i < fill->pages_n; i++) {
        uint64_t from = fill->regions[i].from, bytes = fill->regions[i].to - from;
        uint64_t skipped = min_u64(skip, bytes);
        skip -= skipped;
        if (skipped < bytes)
            fill->iov[n++] =
                (struct iovec){page_data(fill->pages[i]) + from + skipped, bytes - skipped};
    }
    store_op_init(&fill->op, IO_READ);
    fill->op.op.fd = fill->is_raw ? segment->raw_fd : segment->fd;
    fill->op.op.pos = fill->pos + fill->done_bytes;
    fill->op.op.iov = fill->iov;
    fill->op.op.iov_n = n;
    fill->op.op.is_background = fill->is_bulk && store_is_paced(segment->store);
    fill->op.op.is_once = !fill->is_raw && !segment->store->has_no_once;
    store_op_submit(segment->store, &fill->op, fill_finish);
}

/* A page took its bytes, or not. */
static void fill_page_end(struct fill *fill, uint32_t at, bool is_filled)
{
    struct page *page = fill->pages[at];
    struct cache *cache = &fill->segment->store->cache;
    bool is_empty = page->user_at == page->user_n;
    if (is_filled && fill->regions[at].from == 0 && fill->regions[at].to == page->user_at)
        page->user_at = 0;
    else if (is_filled && fill->regions[at].from == page->user_n)
        page->user_n = fill->regions[at].to;
    if (!is_filled && is_empty)
        cache_remove(cache, page);
    else
        cache_flags_set(cache, page, page->user[2] & CACHE_PAGE_TAIL);
}

static void fill_end(struct fill *fill, int error, struct now now)
{
    struct segment *segment = fill->segment;
    struct store *store = segment->store;
    struct list reads;
    list_init(&reads);
    for (uint32_t i = 0; i < fill->pages_n; i++)
        fill_page_end(fill, i, error == 0);
    list_splice(&reads, &fill->reads);
    list_del(&fill->link);
    list_append(&store->fills_free, &fill->link);
    fill->segment = NULL;
    store->fills_n--;
    store->fills_bulk_n -= fill->is_bulk;
    segment->io_n--;
    reads_run(&reads, error, now);
    segment_fd_idle(segment);
    segment_put(segment);
    if (!list_is_empty(&store->fill_waits))
        reads_run(&store->fill_waits, 0, now);
}

static void fill_finish(struct store_op *op, struct now now)
{
    struct fill *fill = container_of(op, struct fill, op);
    if (op->op.result == -EOPNOTSUPP && op->op.is_once) {
        fill->segment->store->has_no_once = true;
        fill_submit(fill);
        return;
    }
    if (fill->is_raw && op->op.result == -EINVAL) { /* this device wants it otherwise */
        fill->segment->is_raw_refused = true;
        fill->is_raw = false;
        fill_submit(fill);
        return;
    }
    if (op->op.result <= 0) { /* 0: the file is shorter than what was written to it */
        fill_end(fill, E_STORAGE, now);
        return;
    }
    fill->done_bytes += (uint64_t)op->op.result;
    check(fill->done_bytes <= fill->bytes);
    fill->is_raw &= is_aligned(fill->done_bytes, RAW_BLOCK); /* else the rest goes the other way */
    if (fill->done_bytes < fill->bytes)
        fill_submit(fill);
    else
        fill_end(fill, 0, now);
}

/* Has the class another read from the disk? */
static bool fill_may(const struct store *store, const struct segment *segment)
{
    uint8_t latency = segment->log == NULL ? LATENCY_NORMAL : segment->log->config.latency;
    if (latency == LATENCY_CRITICAL)
        return true;
    uint32_t bulk_max = store_is_paced(store) ? FILLS_PACED_MAX : FILLS_BULK_MAX;
    if (latency == LATENCY_BULK && store->fills_bulk_n >= bulk_max)
        return false;
    return store->fills_n < FILLS_MAX - FILLS_CRITICAL;
}

/* For a fill of its own: critical before the others, each class in order. */
static int fill_wait_free(struct store *store, struct read *read)
{
    struct list *before = &store->fill_waits;
    check(!list_is_linked(&read->link));
    if (read->log->config.latency == LATENCY_CRITICAL)
        while (before->next != &store->fill_waits &&
               list_entry(before->next, struct read, link)->log->config.latency == LATENCY_CRITICAL)
            before = before->next;
    else
        before = store->fill_waits.prev;
    list_push(before, &read->link); /* behind `before` */
    return E_AGAIN;
}

static int fill_wait(struct list *list, struct read *read)
{
    check(!list_is_linked(&read->link));
    list_append(list, &read->link);
    return E_AGAIN;
}

/* The pages are chosen: asks for their bytes. */
static void fill_begin(struct fill *fill)
{
    struct segment *segment = fill->segment;
    struct store *store = segment->store;
    list_append(&store->fills, &fill->link);
    segment->io_n++;
    segment_get(segment);
    store->fills_n++;
    store->fills_bulk_n += fill->is_bulk;
    fill_submit(fill);
}

static struct fill *fill_take(struct store *store, struct segment *segment)
{
    struct list *free = fill_may(store, segment) ? list_pop(&store->fills_free) : NULL;
    if (free == NULL)
        return NULL;
    struct fill *fill = list_entry(free, struct fill, link);
    fill->segment = segment;
    fill->is_bulk = segment->log != NULL && segment->log->config.latency == LATENCY_BULK;
    fill->bytes = fill->done_bytes = 0;
    fill->pages_n = 0;
    fill->is_raw = false;
    return fill;
}

void fills_stamp(struct store *store, struct now now)
{
    if (store->config.stall_ns == 0)
        return;
    list_for_each(node, next, &store->fills) {
        struct fill *fill = list_entry(node, struct fill, link);
        if (fill->op.began_ns == 0)
            fill->op.began_ns = now.ns;
    }
}

uint64_t fill_ahead(struct segment *segment, uint64_t pos, uint64_t to)
{
    struct store *store = segment->store;
    to = min_u64(to, segment->written_pos);
    for (pos = align_down(pos, PAGE_LARGE); pos < to && segment->fd >= 0;) {
        if (cache_at(&store->cache, segment, pos, PAGE_LARGE) != NULL) {
            pos += PAGE_LARGE;
            continue;
        }
        struct fill *fill = store->fills_n < FILLS_AHEAD_MAX ? fill_take(store, segment) : NULL;
        if (fill == NULL)
            break;
        fill_slots(fill, pos, to);
        if (fill->pages_n == 0) {
            list_push(&store->fills_free, &fill->link);
            break;
        }
        pos += (uint64_t)fill->pages_n * PAGE_LARGE;
        fill_begin(fill);
    }
    return pos;
}

int fill_start(struct segment *segment, uint64_t pos, uint64_t want, struct read *read)
{
    struct store *store = segment->store;
    check(pos < segment->written_pos);
    plog_mark_critical(read->log);
    struct fill *fill = fill_of(store, segment, pos);
    if (fill != NULL)
        return fill_wait(&fill->reads, read);
    if (segment->state == SEGMENT_GONE && segment->fd < 0)
        return E_OFFSET_RANGE;
    if (segment->is_lost)
        return E_STORAGE;
    if (!segment_open(segment))
        return fill_wait(&segment->waits, read);
    fill = fill_take(store, segment);
    if (fill == NULL)
        return fill_wait_free(store, read);
    struct page *page = cache_at(&store->cache, segment, pos, PAGE_LARGE);
    if (page != NULL)
        fill_rest(fill, page, pos);
    else
        fill_slots(fill, align_down(pos, PAGE_LARGE),
                   min_u64(segment->written_pos, pos + max_u64(want, 1)));
    if (fill->pages_n == 0) { /* no page: others will give theirs back, or nobody will */
        list_push(&store->fills_free, &fill->link);
        return store->fills_n > 0 ? fill_wait_free(store, read) : E_NO_MEMORY;
    }
    list_append(&fill->reads, &read->link);
    fill_begin(fill);
    return E_AGAIN;
}
