/*
 * append.c - a batch becomes the end of its log: judged, placed once, stamped.
 *
 * Owner: home.
 *
 * Order of a produced batch: header and settings -> budget -> sequence -> segment -> one pass that
 * takes the CRC, copies and walks the records -> epochs and producers -> offset and epoch stamped
 * -> commit. Everything before the commit can be taken back, and the commit cannot fail, so a batch
 * is in the log whole or not at all.
 *
 * The pass goes in pieces of at most 4 KiB: the piece is read for the CRC, then copied while it is
 * still in the first-level cache, then walked at its new place, record by whole record. Base offset
 * and leader epoch lie before the checksummed part.
 *
 * Bytes are placed behind the held part of the append page and into fresh pages that are in no
 * table yet; to take a batch back is to give the fresh pages back. Small logs get 4 KiB pages; a
 * batch above 16 KiB, or a log that fills eight small pages within a second, gets 64 KiB pages.
 */
#include <stdio.h>
#include <stdlib.h>

#include "crc.h"
#include "repack.h"

enum {
    PIECE_BYTES_MAX = 4096,
    LARGE_FROM_BYTES = 16384,
    BUSY_PAGES_N = 8,
};

/* Where a batch is being put. Owner: one plog_append. */
struct place {
    struct plog *log;
    struct segment *segment; /* NULL: one that does not exist yet */
    uint64_t start, pos;     /* of the batch; of the next byte */
    struct page *first;      /* the append page; NULL when it is full or missing */
    struct page *page;       /* that holds `pos`, or is full */
    struct list fresh;       /* pages taken for this batch, in order */
    uint8_t *whole;          /* the placed batch when it stands in one piece; NULL: in several */
    uint64_t now_ns;
    bool is_wrong; /* its header does not say the largest timestamp of its records */
};

static void place_begin(struct place *place, struct plog *log, struct segment *segment,
                        struct now now)
{
    *place = (struct place){.log = log, .segment = segment, .now_ns = now.ns};
    list_init(&place->fresh);
    if (segment == NULL)
        return;
    place->start = place->pos = segment->end_pos;
    struct page *page = segment->append_page;
    if (page == NULL || page->user_n == page->size)
        return;
    check(cache_page_pos(page) + page->user_n == place->pos);
    page_get(page); /* so that nothing evicts it meanwhile */
    place->first = place->page = page;
}

static bool place_wants_large(struct place *place, uint64_t left)
{
    struct plog *log = place->log;
    if (left > LARGE_FROM_BYTES)
        return true;
    if (place->now_ns - log->small_pages_ns > NS_PER_S) {
        log->small_pages_ns = place->now_ns;
        log->small_pages_n = 0;
    }
    return log->small_pages_n >= BUSY_PAGES_N;
}

/* Makes place->page one that has room at pos. */
static int place_room(struct place *place, uint64_t left)
{
    struct page *page = place->page;
    if (page != NULL && place->pos < cache_page_pos(page) + page->size)
        return 0;
    struct cache *cache = &place->log->store->cache;
    bool is_free =
        place->segment == NULL || cache_at(cache, place->segment, place->pos, PAGE_LARGE) == NULL;
    page = NULL;
    if (is_free && place_wants_large(place, left))
        page = cache_take(cache, PAGE_LARGE);
    if (page == NULL) {
        page = cache_take(cache, PAGE_SMALL);
        place->log->small_pages_n++;
    }
    if (page == NULL) {
        write_back_want(place->log->store); /* small logs hold more pages than bytes */
        return E_AGAIN;
    }
    page->user[2] = align_down(place->pos, page->size);
    page->user_at = page->user_n = (uint32_t)(place->pos - page->user[2]);
    list_append(&place->fresh, &page->link);
    place->page = page;
    return 0;
}

/* Copies n bytes from `from` at `at` to the end of the place; tells `crc` and `walk` about them
 * when given. */
static int place_copy(struct place *place, const struct slices *from, struct slices_at *at,
                      uint64_t n, uint32_t *crc, struct record_walk *walk)
{
    uint8_t *unwalked = NULL; /* the first byte in this page that `walk` has not taken */
    while (n > 0) {
        int rc = place_room(place, n);
        if (rc != 0)
            return rc;
        check(at->i < from->n);
        const struct slice *slice = &from->v[at->i];
        struct page *page = place->page;
        uint64_t in_page = place->pos - cache_page_pos(page);
        uint64_t piece =
            min_u64(min_u64(n, slice->n - at->at), min_u64(page->size - in_page, PIECE_BYTES_MAX));
        uint8_t *to = page_data(page) + in_page;
        if (crc != NULL)
            *crc = crc_more(*crc, slice->ptr + at->at, piece);
        memcpy(to, slice->ptr + at->at, piece);
        slices_skip(from, at, piece);
        place->pos += piece;
        n -= piece;
        if (walk == NULL)
            continue;
        if (unwalked == NULL)
            unwalked = to;
        /* Its error is sticky and asked for at the end. */
        if (n > 0 && in_page + piece < page->size) {
            unwalked += record_walk_feed_some(walk, unwalked, (uint32_t)(to + piece - unwalked));
        } else {
            (void)record_walk_feed(walk, unwalked, (uint32_t)(to + piece - unwalked));
            unwalked = NULL;
        }
    }
    return 0;
}

/* A batch that came in one piece and fits behind the held part of the page: most small ones. False:
 * it is not one. */
static bool place_whole(struct place *place, const struct append *append, uint32_t bytes)
{
    const struct slice *slice = &append->from->v[append->at.i];
    struct page *page = place->page;
    if (page == NULL || bytes > PIECE_BYTES_MAX || slice->n - append->at.at < bytes)
        return false;
    uint64_t in_page = place->pos - cache_page_pos(page);
    if (page->size - in_page < bytes)
        return false;
    place->whole = page_data(page) + in_page;
    memcpy(place->whole, slice->ptr + append->at.at, bytes);
    place->pos += bytes;
    return true;
}

/* The placed byte at `pos` and how many follow it in the same page. */
static uint8_t *place_at(const struct place *place, uint64_t pos, uint64_t *run)
{
    struct page *page = place->first;
    check(pos >= place->start && pos < place->pos);
    if (page == NULL || pos >= cache_page_pos(page) + page->size) {
        const struct list *l = place->fresh.next;
        page = list_entry(l, struct page, link);
        while (pos >= cache_page_pos(page) + page->size) {
            l = l->next;
            check(l != &place->fresh);
            page = list_entry(l, struct page, link);
        }
    }
    *run = min_u64(cache_page_pos(page) + page->size, place->pos) - pos;
    return page_data(page) + (pos - cache_page_pos(page));
}

static void place_patch_pieces(const struct place *place, uint64_t at, const uint8_t *bytes,
                               uint64_t n)
{
    while (n > 0) {
        uint64_t run;
        uint8_t *to = place_at(place, place->start + at, &run);
        run = min_u64(run, n);
        memcpy(to, bytes, run);
        at += run;
        bytes += run;
        n -= run;
    }
}

/* Overwrites n placed bytes, `at` bytes into the batch. */
static inline void place_patch(const struct place *place, uint64_t at, const uint8_t *bytes,
                               uint64_t n)
{
    if (likely(place->whole != NULL))
        memcpy(place->whole + at, bytes, n);
    else
        place_patch_pieces(place, at, bytes, n);
}

static uint32_t place_crc(const struct place *place)
{
    uint32_t crc = CRC_INIT;
    for (uint64_t pos = place->start + BATCH_ATTRIBUTES_AT; pos < place->pos;) {
        uint64_t run;
        const uint8_t *p = place_at(place, pos, &run);
        crc = crc_more(crc, p, run);
        pos += run;
    }
    return crc_end(crc);
}

static void place_cancel(struct place *place)
{
    struct list *l;
    while ((l = list_pop(&place->fresh)) != NULL)
        page_put(list_entry(l, struct page, link));
    if (place->first != NULL)
        page_put(place->first);
    place->first = NULL;
}

/* The bytes are the segment's: pages become tail pages. */
static void place_commit(struct place *place, struct segment *segment)
{
    struct cache *cache = &place->log->store->cache;
    struct list *l;
    if (place->first != NULL) {
        struct page *page = place->first;
        page->user_n = (uint32_t)min_u64(place->pos - cache_page_pos(page), page->size);
        if (!cache_page_is(page, CACHE_PAGE_TAIL))
            cache_flags_set(cache, page, (page->user[2] & CACHE_PAGE_FILLING) | CACHE_PAGE_TAIL);
        page_put(page);
    }
    while ((l = list_pop(&place->fresh)) != NULL) {
        struct page *page = list_entry(l, struct page, link);
        uint64_t pos = cache_page_pos(page);
        uint32_t to = (uint32_t)min_u64(place->pos - pos, page->size);
        cache_insert(cache, page, segment, pos, page->user_at, to, CACHE_PAGE_TAIL);
        segment->append_page = page;
    }
    segment->end_pos = place->pos;
}

/* ── judging ── */

static int refuse(struct append *append, int error, const char *reason)
{
    snprintf(append->reason, sizeof append->reason, "%s", reason);
    return error;
}

static int append_judge(struct plog *log, struct append *append, struct batch *b,
                        const uint8_t *header, int64_t wall_ms)
{
    if (append->bytes < BATCH_HEADER)
        return refuse(append, E_INVALID_RECORD, "The record batch is shorter than its header.");
    int rc = batch_header(header, b);
    if (rc != 0)
        return batch_header_refused(header, rc, append);
    if (b->bytes > append->bytes)
        return refuse(append, E_INVALID_RECORD, "The record batch is longer than what was sent.");
    if (b->bytes < append->bytes)
        return refuse(append, E_INVALID_RECORD,
                      "Exactly one record batch per partition is allowed.");
    rc = batch_check_produced(b, &log->config, append, wall_ms);
    if (rc != 0)
        return rc;
    if (b->bytes > log->config.segment_bytes || b->bytes > INT32_MAX)
        return refuse(append, E_TOO_LARGE,
                      "The record batch is larger than a segment of its topic.");
    int64_t ahead = append->keep_offsets ? b->base_offset - log->end.offset : 0;
    if (ahead < 0 || ahead > INT32_MAX / 2)
        return refuse(append, E_OFFSET_RANGE, "The record batch does not continue the log.");
    if (append->keep_offsets && b->leader_epoch < max_i64(epochs_latest(&log->epochs), 0))
        return refuse(append, E_EPOCH_FENCED, "The record batch is of an epoch before the log's.");
    return 0;
}

/* A batch that is not going to be placed: its header may only be believed when its checksum is
 * right. */
static int append_verify(const struct append *append, const struct batch *b)
{
    struct slices_at at = append->at;
    uint32_t crc = CRC_INIT;
    slices_skip(append->from, &at, BATCH_ATTRIBUTES_AT);
    for (uint64_t left = append->bytes - BATCH_ATTRIBUTES_AT; left > 0;) {
        const struct slice *slice = &append->from->v[at.i];
        uint64_t piece = min_u64(left, slice->n - at.at);
        crc = crc_more(crc, slice->ptr + at.at, piece);
        slices_skip(append->from, &at, piece);
        left -= piece;
    }
    return crc_end(crc) == b->crc ? 0 : E_CORRUPT;
}

/* *is_done: it is a duplicate, answered. */
static int append_sequence(struct plog *log, struct append *append, const struct batch *b,
                           bool *is_done)
{
    struct producer_answer answer;
    if (b->producer_id < 0 || batch_is_control(b) || append->keep_offsets)
        return 0;
    int rc = producers_check(log->store->producers, &log->producers, b, &answer);
    if (rc == 0 && answer.is_new && b->base_sequence > 0 && plog_was_full(log))
        return refuse(append, E_DISK_FULL,
                      "The producer's first batch was refused for want of space: it comes first.");
    if (rc == 0 && answer.verdict == PRODUCER_APPEND)
        return 0;
    if (append_verify(append, b) != 0)
        return refuse(append, E_CORRUPT, "The record batch's checksum is wrong.");
    if (rc != 0)
        return refuse(append, rc, error_text(rc));
    append->is_duplicate = *is_done = true;
    append->base_offset = answer.base_offset;
    append->last_offset = answer.last_offset;
    append->log_append_ms = answer.timestamp;
    log->store->stats.duplicate_batches++;
    return 0;
}

/* ── placing ── */

/* The bytes go to their place, through the CRC, and, when it is given, the walk. */
static int append_pass(struct place *place, const struct append *append, const struct batch *b,
                       uint32_t *crc, struct record_walk *walk)
{
    struct slices_at at = append->at;
    int rc = place_copy(place, append->from, &at, BATCH_ATTRIBUTES_AT, NULL, NULL);
    if (rc == 0)
        rc = place_copy(place, append->from, &at, BATCH_HEADER - BATCH_ATTRIBUTES_AT, crc, NULL);
    if (rc == 0)
        rc = place_copy(place, append->from, &at, b->bytes - BATCH_HEADER, crc, walk);
    return rc;
}

/* The one pass. */
static int append_place(struct place *place, struct append *append, struct batch *b,
                        int64_t wall_ms)
{
    struct record_walk walk;
    const struct log_config *config = &place->log->config;
    bool is_walked =
        append->request_version >= 0 && batch_codec(b) == CODEC_NONE && append->repack == NULL;
    int64_t max_timestamp =
        append->repack != NULL ? append->repack->max_timestamp : b->max_timestamp;
    uint32_t crc = CRC_INIT;
    int rc = 0;
    if (place_whole(place, append, b->bytes)) {
        const uint8_t *records = place->whole + BATCH_HEADER;
        crc = crc_more(crc, place->whole + BATCH_ATTRIBUTES_AT, b->bytes - BATCH_ATTRIBUTES_AT);
        is_walked = is_walked && !record_walk_is_good(b, config, wall_ms, records);
        if (is_walked) { /* it finds what is wrong; its error is sticky and asked for at the end */
            record_walk_init(&walk, b, config, config->is_compacted, wall_ms);
            (void)record_walk_feed(&walk, records, b->bytes - BATCH_HEADER);
        }
    } else {
        if (is_walked)
            record_walk_init(&walk, b, config, config->is_compacted, wall_ms);
        rc = append_pass(place, append, b, &crc, is_walked ? &walk : NULL);
    }
    if (rc != 0)
        return refuse(append, rc, error_text(rc));
    if (crc_end(crc) != b->crc)
        return refuse(append, E_CORRUPT, "The record batch's checksum is wrong.");
    if (is_walked) {
        rc = record_walk_end(&walk, b);
        max_timestamp = walk.max_timestamp;
    }
    if (rc != 0) {
        append->bad_record_at = walk.bad_record_at;
        record_walk_reason(&walk, &place->log->id, append->reason);
        return rc;
    }
    place->is_wrong = max_timestamp != b->max_timestamp;
    b->max_timestamp = max_timestamp;
    return 0;
}

/* Offset and epoch; the time, for LogAppendTime the broker's, else that of the records where the
 * header says another. */
static void append_stamp(const struct place *place, struct append *append, struct batch *b,
                         int64_t wall_ms)
{
    uint8_t field[8];
    if (!append->keep_offsets) {
        store_u64(field, (uint64_t)b->base_offset);
        place_patch(place, 0, field, 8);
        b->leader_epoch = place->log->store->config.leader_epoch;
        store_u32(field, (uint32_t)b->leader_epoch);
        place_patch(place, BATCH_EPOCH_AT, field, 4);
    }
    bool is_ours = place->log->config.is_log_append_time && !append->keep_offsets;
    if (!is_ours && !place->is_wrong)
        return;
    if (is_ours) {
        b->attributes = (int16_t)(b->attributes | BATCH_LOG_APPEND_TIME);
        store_u16(field, (uint16_t)b->attributes);
        place_patch(place, BATCH_ATTRIBUTES_AT, field, 2);
        b->max_timestamp = append->log_append_ms = wall_ms;
    }
    store_u64(field, (uint64_t)b->max_timestamp);
    place_patch(place, BATCH_MAX_TIMESTAMP_AT, field, 8);
    b->crc = place_crc(place);
    store_u32(field, b->crc);
    place_patch(place, BATCH_CRC_AT, field, 4);
}

static struct bytes append_control(const struct append *append, const struct batch *b, uint8_t *to)
{
    struct slices_at at = append->at;
    if (!batch_is_control(b) || b->bytes > BATCH_HEADER + CONTROL_RECORD_MAX)
        return (struct bytes){NULL, 0};
    slices_skip(append->from, &at, BATCH_HEADER);
    slices_copy(append->from, &at, to, b->bytes - BATCH_HEADER);
    return bytes_of(to, b->bytes - BATCH_HEADER);
}

/* The last things that can fail: what the log remembers besides its bytes. */
static int append_remember(struct plog *log, struct append *append, const struct batch *b,
                           struct now now)
{
    uint8_t control[CONTROL_RECORD_MAX];
    bool is_changed = false;
    if (likely(b->producer_id < 0 &&
               epochs_is_noted(&log->epochs, b->leader_epoch, b->base_offset)))
        return 0;
    int rc = epochs_note(&log->epochs, b->leader_epoch, b->base_offset, &is_changed);
    if (rc == 0)
        rc = plog_note_producer(log, b, append_control(append, b, control), now.wall_ms);
    if (is_changed)
        plog_mark_epochs(log);
    return rc == 0 ? 0 : refuse(append, rc, error_text(rc));
}

static void append_commit(struct plog *log, struct place *place, struct segment *next,
                          const struct batch *b)
{
    struct store *store = log->store;
    if (next != NULL)
        segment_roll(log, next);
    struct segment *segment = plog_active(log);
    uint64_t pos = place->start;
    place_commit(place, segment);
    segment_note(segment, &log->config, b, pos);
    log->end.offset = batch_last_offset(b) + 1;
    log->end.bytes += b->bytes;
    log->is_changed = true;
    plog_mark_critical(log);
    if (log->config.latency == LATENCY_BULK)
        store->bulk_placed += b->bytes;
    plog_charge(log);
    plog_mark_dirty(log);
    store->stats.appended_batches++;
    store->stats.appended_bytes += b->bytes;
    store->stats.appended_records += (uint64_t)b->records_n;
}

/* The batch is good as far as its header tells: gives it a place, or takes everything back. */
static int append_batch(struct plog *log, struct append *append, struct batch *b, struct now now)
{
    struct segment *segment = plog_active(log), *next = NULL;
    struct place place;
    int rc = 0;
    if (!append->keep_offsets)
        b->base_offset = log->end.offset;
    int64_t max_timestamp = log->config.is_log_append_time ? now.wall_ms : b->max_timestamp;
    if (segment_must_roll(log, segment, b, max_timestamp, batch_last_offset(b), now.wall_ms)) {
        next = segment_make(log->store, log->end.offset, now.wall_ms);
        if (next == NULL || segment_room(log) != 0)
            rc = refuse(append, E_NO_MEMORY, error_text(E_NO_MEMORY));
    }
    if (rc != 0)
        goto err_next;
    place_begin(&place, log, next != NULL ? NULL : segment, now);
    rc = append_place(&place, append, b, now.wall_ms);
    if (rc != 0)
        goto err_place;
    append_stamp(&place, append, b, now.wall_ms);
    if (next != NULL)
        segment_snapshot(log, segment); /* before this batch's producer is noted */
    rc = append_remember(log, append, b, now);
    if (rc != 0)
        goto err_place;
    append_commit(log, &place, next, b);
    append->base_offset = b->base_offset;
    append->last_offset = batch_last_offset(b);
    return 0;

err_place:
    place_cancel(&place);
err_next:
    if (next != NULL)
        segment_put(next);
    return rc;
}

/* Of the tail budget, how far the log's class may fill it: what is beyond is kept for the others.
 */
static uint64_t append_tail_max(const struct plog *log)
{
    uint64_t max = log->store->config.tail_bytes_max;
    switch ((enum latency_class)log->config.latency) {
    case LATENCY_CRITICAL: return max;
    case LATENCY_NORMAL: return max - max / 8;
    case LATENCY_BULK: return max / 2;
    }
    return max;
}

/* A batch of the class bulk has to wait while a critical log is active: as much of that class is
 * under way as may stand in front of a critical record, or was placed in one turn. */
static bool append_gives_way(const struct plog *log)
{
    const struct store *store = log->store;
    if (log->config.latency != LATENCY_BULK || !store_is_paced(store))
        return false;
    return store->bulk_bytes >= BULK_PACED_BYTES_MAX || store->bulk_placed >= BULK_PACED_TURN_MAX;
}

/* The batch's header: where it came, or a copy when it came in pieces. */
static const uint8_t *append_header(const struct append *append, uint8_t copy[BATCH_HEADER])
{
    struct slices_at at = append->at;
    const struct slice *slice = &append->from->v[at.i];
    if (likely(slice->n - at.at >= BATCH_HEADER))
        return slice->ptr + at.at;
    slices_copy(append->from, &at, copy, BATCH_HEADER);
    return copy;
}

static int append_try(struct plog *log, struct append *append, struct now now)
{
    struct store *store = log->store;
    uint8_t copy[BATCH_HEADER];
    const uint8_t *header = NULL;
    struct batch b;
    bool is_done = false;
    if (log->state != PLOG_OPEN)
        return refuse(append, E_STORAGE, error_text(E_STORAGE));
    append->start_offset = log->start;
    if (log->is_frozen)
        return refuse(append, E_AGAIN, error_text(E_AGAIN));
    if (append_gives_way(log))
        return E_AGAIN;
    if (append->request_version >= 0 &&
        plog_space_judge(log, append->reason, sizeof append->reason) != 0) {
        log->refused_ns = now.ns;
        return E_DISK_FULL;
    }
    if (append->bytes >= BATCH_HEADER)
        header = append_header(append, copy);
    int rc = append_judge(log, append, &b, header, now.wall_ms);
    if (rc != 0)
        return rc;
    if (append->repack == NULL && repack_is_due(log, append, &b))
        return repack_begin(log, append, &b, now.wall_ms);
    if (append->is_ahead)
        return 0;
    if (store->tail_bytes > 0 && store->tail_bytes + b.bytes > append_tail_max(log))
        return refuse(append, E_AGAIN, error_text(E_AGAIN));
    rc = append_sequence(log, append, &b, &is_done);
    if (rc != 0 || is_done)
        return rc;
    return append_batch(log, append, &b, now);
}

/* It has been with bulk: what came back takes the place of what was sent. */
static int append_unpack(struct plog *log, struct append *append)
{
    struct repack *repack = append->repack;
    append->wants_bulk = !repack->is_done;
    if (!repack->is_done || append->is_ahead)
        return E_AGAIN;
    int rc = repack_verdict(repack, append);
    append->start_offset = log->start;
    if (rc != 0 || repack->packed.ptr == NULL)
        return rc;
    append->from = &repack->all;
    append->at = (struct slices_at){0, 0};
    append->bytes = repack->packed.n;
    return 0;
}

/* What was sent is there again; with a verdict bulk's work is over. */
static void append_unpack_end(struct append *append, int rc)
{
    struct repack *repack = append->repack;
    append->from = repack->from;
    append->at = repack->at;
    append->bytes = repack->batch.bytes;
    if (rc == E_AGAIN)
        return;
    repack_end(repack);
    append->repack = NULL;
}

int plog_append(struct plog *log, struct append *append, struct now now)
{
    check(log->magic == PLOG_MAGIC);
    store_own(log->store);
    log->store->now = now;
    append->wants_bulk = false;
    append->base_offset = append->last_offset = append->log_append_ms = append->start_offset = -1;
    append->is_duplicate = false;
    append->bad_record_at = -1;
    append->reason[0] = '\0';
    bool is_unpacked = append->repack != NULL;
    int rc = unlikely(is_unpacked) ? append_unpack(log, append) : 0;
    if (rc == 0)
        rc = append_try(log, append, now);
    if (unlikely(is_unpacked))
        append_unpack_end(append, rc);
    check(rc <= 0);
    if (rc != 0 && !append->is_ahead)
        log->store->stats.refused[-rc]++;
    return rc;
}
