/*
 * record_walk.c - judges the records of an uncompressed batch while its bytes arrive, in any
 * pieces.
 *
 * Owner: the caller (struct record_walk).
 *
 * Two ways through the same rules. A record that lies whole in the piece at hand is read in one go
 * (walk_whole); one that straddles pieces is read byte by byte (walk_byte), some fifteen times
 * dearer, so who places pieces side by side asks with record_walk_feed_some. Both judge a field
 * with the same field_* function as soon as it is complete, in the order of the bytes, so every
 * split of the same bytes ends with the same error at the same record (fuzz_batch.c compares them).
 *
 *   LENGTH -> ATTRIBUTES -> TIME -> OFFSET -> KEY -> VALUE -> HEADERS -> LENGTH
 *                                        HEADERS -> (HEADER_KEY -> HEADER_VALUE)* -> LENGTH
 *
 * Key, value and header bytes are skipped by arithmetic: they are never loaded.
 *
 * Invariants: (1) `left` is what the record still holds behind the byte last read, without the
 * bytes of `skip`; (2) between calls either an error stands, or skip > 0, or the record is between
 * two fields or inside a varint and left > 0, or it is at LENGTH; (3) records_n never exceeds
 * `expected_n`.
 *
 * Sources: Kafka DefaultRecord.readFrom, DefaultRecordBatch.RecordIterator,
 * LogValidator.validateRecord.
 */
#include "batch.h"

#include <stdio.h>

#include "check.h"

enum step {
    STEP_LENGTH,
    STEP_ATTRIBUTES,
    STEP_TIME,
    STEP_OFFSET,
    STEP_KEY,
    STEP_VALUE,
    STEP_HEADERS,
    STEP_HEADER_KEY,
    STEP_HEADER_VALUE,
};

enum why { WHY_NONE, WHY_SHAPE, WHY_KEY, WHY_TIME, WHY_OFFSET, WHY_LEFT_OVER, WHY_MISSING };

enum { RECORD_BODY_MIN = 6 }; /* attributes, time, offset, key, value, headers: one byte each */

/* What stands in record_walk.inside. */
struct walk {
    int64_t time_min, time_max; /* what the topic allows; the whole range with LogAppendTime */
    int64_t time;               /* of the record at hand                                     */
    uint64_t value;             /* of the varint being read                                  */
    uint32_t skip;              /* bytes to step over                                        */
    uint32_t left;              /* bytes of the record behind them                           */
    int32_t headers_left;
    int32_t expected_n;
    uint8_t value_n; /* bytes of the varint seen                                  */
    uint8_t step;    /* enum step                                                 */
    uint8_t why;     /* enum why                                                  */
};
static_assert(sizeof(struct walk) <= sizeof(((struct record_walk *)0)->inside),
              "the state fits its place");

static struct walk *walk_of(struct record_walk *w)
{
    return (struct walk *)(void *)w->inside;
}

void record_walk_init(struct record_walk *w, const struct batch *b, const struct log_config *config,
                      bool need_keys, int64_t wall_ms)
{
    *w = (struct record_walk){.config = config,
                              .base_timestamp = b->base_timestamp,
                              .wall_ms = wall_ms,
                              .max_timestamp = -1,
                              .need_keys = need_keys,
                              .bad_record_at = -1};
    struct walk *s = walk_of(w);
    s->expected_n = b->records_n;
    s->time_min = INT64_MIN;
    s->time_max = INT64_MAX;
    if (!config->is_log_append_time) {
        s->time_min = add_i64_saturated(wall_ms, -config->timestamp_before_max_ms);
        s->time_max = add_i64_saturated(wall_ms, config->timestamp_after_max_ms);
    }
}

static bool fail(struct record_walk *w, enum why why)
{
    w->error = why == WHY_TIME ? E_INVALID_TIMESTAMP : E_INVALID_RECORD;
    w->bad_record_at = why == WHY_LEFT_OVER || why == WHY_MISSING ? -1 : w->records_n;
    walk_of(w)->why = (uint8_t)why;
    return false;
}

/* ── the rules, one function per field; `left` is what the record holds behind the field's varint
 * ── */

static bool field_time(struct record_walk *w, int64_t delta)
{
    struct walk *s = walk_of(w);
    s->time = (int64_t)((uint64_t)w->base_timestamp + (uint64_t)delta);
    if (unlikely((s->time < s->time_min || s->time > s->time_max) && s->time != -1))
        return fail(w, WHY_TIME);
    if (s->time > w->max_timestamp)
        w->max_timestamp = s->time;
    return true;
}

static bool field_offset(struct record_walk *w, int64_t delta)
{
    if (likely(delta == w->records_n))
        return true;
    w->has_gaps = true;
    return w->allows_gaps ? true : fail(w, WHY_OFFSET);
}

static bool field_key(struct record_walk *w, int64_t n, uint32_t left)
{
    if (unlikely(n < -1 || n > left))
        return fail(w, WHY_SHAPE);
    return likely(n >= 0 || !w->need_keys) ? true : fail(w, WHY_KEY);
}

static bool field_value(struct record_walk *w, int64_t n, uint32_t left)
{
    return likely(n >= -1 && n <= left) ? true : fail(w, WHY_SHAPE);
}

/* A header takes two bytes at least. */
static bool field_headers(struct record_walk *w, int64_t n, uint32_t left)
{
    return likely(n >= 0 && n * 2 <= left && (n > 0 || left == 0)) ? true : fail(w, WHY_SHAPE);
}

static bool field_header_key(struct record_walk *w, int64_t n, uint32_t left)
{
    return likely(n >= 0 && n <= left) ? true : fail(w, WHY_SHAPE);
}

static uint32_t skip_of(int64_t n)
{
    return n < 0 ? 0 : (uint32_t)n;
}

/* ── whole records ── */

/* Zig-zag to signed. */
static inline int64_t signed_of(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* The rare rest of take: four bytes and more, and what ends or lies. */
static __attribute__((noinline)) const uint8_t *take_long(struct record_walk *w, const uint8_t *p,
                                                          const uint8_t *end, int bytes_max,
                                                          int64_t *v)
{
    int n = load_varint(p, end, bytes_max, v);
    if (n <= 0 || (bytes_max == 5 && (*v < INT32_MIN || *v > INT32_MAX))) {
        fail(w, WHY_SHAPE);
        return NULL;
    }
    return p + n;
}

/* A varint of the record that ends at `end`; NULL after fail(). One byte is by far the most common;
 * lengths, offsets and times within a batch seldom take more than three. */
static inline const uint8_t *take(struct record_walk *w, const uint8_t *p, const uint8_t *end,
                                  int bytes_max, int64_t *v)
{
    if (likely(p < end && p[0] < 0x80)) {
        *v = signed_of(p[0]);
        return p + 1;
    }
    if (likely(end - p >= 3)) {
        uint64_t low = (p[0] & 0x7fu) | (uint64_t)(p[1] & 0x7f) << 7;
        if (p[1] < 0x80) {
            *v = signed_of(low);
            return p + 2;
        }
        if (p[2] < 0x80) {
            *v = signed_of(low | (uint64_t)p[2] << 14);
            return p + 3;
        }
    }
    return take_long(w, p, end, bytes_max, v);
}

static const uint8_t *walk_headers(struct record_walk *w, const uint8_t *p, const uint8_t *end,
                                   int64_t headers_n)
{
    int64_t n;
    for (; headers_n > 0; headers_n--) {
        p = take(w, p, end, 5, &n);
        if (p == NULL || !field_header_key(w, n, (uint32_t)(end - p)))
            return NULL;
        p = take(w, p + n, end, 5, &n);
        if (p == NULL || !field_value(w, n, (uint32_t)(end - p)))
            return NULL;
        p += skip_of(n);
    }
    if (p != end) {
        fail(w, WHY_SHAPE);
        return NULL;
    }
    return p;
}

/* The body of one record, [p, end). */
static const uint8_t *walk_body(struct record_walk *w, const uint8_t *p, const uint8_t *end)
{
    int64_t n;
    p = take(w, p + 1, end, VARINT_BYTES_MAX, &n);
    if (p == NULL || !field_time(w, n))
        return NULL;
    p = take(w, p, end, 5, &n);
    if (p == NULL || !field_offset(w, n))
        return NULL;
    p = take(w, p, end, 5, &n);
    if (p == NULL || !field_key(w, n, (uint32_t)(end - p)))
        return NULL;
    p = take(w, p + skip_of(n), end, 5, &n);
    if (p == NULL || !field_value(w, n, (uint32_t)(end - p)))
        return NULL;
    p = take(w, p + skip_of(n), end, 5, &n);
    if (p == NULL || !field_headers(w, n, (uint32_t)(end - p)))
        return NULL;
    return n == 0 ? p : walk_headers(w, p, end, n);
}

static bool length_is_possible(int64_t n)
{
    return n >= RECORD_BODY_MIN && n <= INT32_MAX;
}

/* Reads the records that lie whole in [p, end); returns where it stopped, NULL after fail(). */
static const uint8_t *walk_whole(struct record_walk *w, const uint8_t *p, const uint8_t *end)
{
    int32_t expected_n = walk_of(w)->expected_n;
    while (p < end && w->records_n < expected_n) {
        int64_t n;
        int taken = 1;
        if (likely(*p < 0x80))
            n = signed_of(*p);
        else
            taken = load_varint(p, end, 5, &n);
        if (taken == 0)
            break;
        if (unlikely(taken < 0 || !length_is_possible(n))) {
            fail(w, WHY_SHAPE);
            return NULL;
        }
        if (n > end - p - taken)
            break;
        p = walk_body(w, p + taken, p + taken + n);
        if (unlikely(p == NULL))
            return NULL;
        w->records_n++;
    }
    return p;
}

/* ── records in pieces ── */

static void step_next_header(struct record_walk *w)
{
    struct walk *s = walk_of(w);
    if (s->headers_left > 0) {
        s->step = STEP_HEADER_KEY;
        return;
    }
    if (s->left > 0) {
        fail(w, WHY_SHAPE);
        return;
    }
    s->step = STEP_LENGTH;
    w->records_n++;
}

static void step_skip(struct walk *s, int64_t n, enum step next)
{
    s->skip = skip_of(n);
    s->left -= s->skip;
    s->step = (uint8_t)next;
}

/* The varint of the present step is complete. */
static void step_value(struct record_walk *w, int64_t n)
{
    struct walk *s = walk_of(w);
    switch ((enum step)s->step) {
    case STEP_LENGTH:
        if (!length_is_possible(n)) {
            fail(w, WHY_SHAPE);
            return;
        }
        s->left = (uint32_t)n;
        s->step = STEP_ATTRIBUTES;
        return;
    case STEP_TIME:
        if (field_time(w, n))
            s->step = STEP_OFFSET;
        return;
    case STEP_OFFSET:
        if (field_offset(w, n))
            s->step = STEP_KEY;
        return;
    case STEP_KEY:
        if (field_key(w, n, s->left))
            step_skip(s, n, STEP_VALUE);
        return;
    case STEP_VALUE:
        if (field_value(w, n, s->left))
            step_skip(s, n, STEP_HEADERS);
        return;
    case STEP_HEADERS:
        if (field_headers(w, n, s->left)) {
            s->headers_left = (int32_t)n;
            step_next_header(w);
        }
        return;
    case STEP_HEADER_KEY:
        if (field_header_key(w, n, s->left))
            step_skip(s, n, STEP_HEADER_VALUE);
        return;
    case STEP_HEADER_VALUE:
        if (field_value(w, n, s->left)) {
            step_skip(s, n, STEP_HEADER_KEY);
            s->headers_left--;
            step_next_header(w);
        }
        return;
    case STEP_ATTRIBUTES: break;
    }
    check(false);
}

static void walk_byte(struct record_walk *w, uint8_t byte)
{
    struct walk *s = walk_of(w);
    if (s->step != STEP_LENGTH)
        s->left--;
    if (s->step == STEP_ATTRIBUTES) {
        s->step = STEP_TIME;
        return;
    }
    int bytes_max = s->step == STEP_TIME ? VARINT_BYTES_MAX : 5;
    if (s->value_n == 9 && byte > 1) {
        fail(w, WHY_SHAPE);
        return;
    }
    s->value |= (uint64_t)(byte & 0x7f) << (7 * s->value_n);
    s->value_n++;
    if (byte >= 0x80) {
        if (s->value_n == bytes_max)
            fail(w, WHY_SHAPE);
    } else {
        int64_t v = (int64_t)(s->value >> 1) ^ -(int64_t)(s->value & 1);
        s->value = 0;
        s->value_n = 0;
        if (bytes_max == 5 && (v < INT32_MIN || v > INT32_MAX))
            fail(w, WHY_SHAPE);
        else
            step_value(w, v);
    }
    /* The record is used up but not complete: what comes next belongs to another. */
    if (w->error == 0 && s->step != STEP_LENGTH && s->left == 0)
        fail(w, WHY_SHAPE);
}

/* Returns where it stopped: at the end, or before a record that is not whole when `is_growing`. */
static const uint8_t *walk_feed(struct record_walk *w, const uint8_t *p, const uint8_t *end,
                                const bool is_growing)
{
    struct walk *s = walk_of(w);
    while (w->error == 0 && p < end) {
        if (s->skip > 0) {
            uint32_t part = (uint32_t)min_u64(s->skip, (uint64_t)(end - p));
            s->skip -= part;
            p += part;
            continue;
        }
        if (s->step == STEP_LENGTH && s->value_n == 0) {
            p = walk_whole(w, p, end);
            if (w->error < 0 || p == end)
                break;
            if (w->records_n == s->expected_n) {
                fail(w, WHY_LEFT_OVER);
                break;
            }
            if (is_growing)
                return p;
        }
        walk_byte(w, *p++);
    }
    return end; /* what stands behind an error is not looked at */
}

int record_walk_feed(struct record_walk *w, const uint8_t *p, uint32_t n)
{
    (void)walk_feed(w, p, p + n, false);
    return w->error;
}

uint32_t record_walk_feed_some(struct record_walk *w, const uint8_t *p, uint32_t n)
{
    return (uint32_t)(walk_feed(w, p, p + n, true) - p);
}

/* ── all of it at once ── */

/* A varint of at most three bytes; p past `end`, or NULL: for the walk to look at. */
static inline const uint8_t *glance(const uint8_t *p, const uint8_t *end, int64_t *v)
{
    if (unlikely(end - p < 3)) /* the last fields of a record are one byte, or the walk's */
        return p < end && p[0] < 0x80 ? (*v = signed_of(p[0]), p + 1) : NULL;
    if (p[0] < 0x80) {
        *v = signed_of(p[0]);
        return p + 1;
    }
    uint64_t low = (p[0] & 0x7fu) | (uint64_t)(p[1] & 0x7f) << 7;
    if (p[1] < 0x80) {
        *v = signed_of(low);
        return p + 2;
    }
    *v = signed_of(low | (uint64_t)p[2] << 14);
    return p[2] < 0x80 ? p + 3 : NULL;
}

/* One record without headers, [p, end) behind its length. */
static inline bool glance_record(const uint8_t *p, const uint8_t *end, int64_t number,
                                 bool need_keys, int64_t *delta)
{
    int64_t offset, key_n, value_n;
    if ((p = glance(p + 1, end, delta)) == NULL || (p = glance(p, end, &offset)) == NULL ||
        (p = glance(p, end, &key_n)) == NULL)
        return false;
    if (offset != number || key_n < (need_keys ? 0 : -1) || key_n >= end - p)
        return false;
    p = glance(p + skip_of(key_n), end, &value_n);
    return p != NULL && value_n >= -1 && end - p == skip_of(value_n) + 1 && end[-1] == 0;
}

bool record_walk_is_good(const struct batch *b, const struct log_config *config, int64_t wall_ms,
                         const uint8_t *records)
{
    const uint8_t *p = records, *end = records + (b->bytes - BATCH_HEADER);
    int64_t before_ms = config->timestamp_before_max_ms, after_ms = config->timestamp_after_max_ms;
    int64_t time_min = add_i64_saturated(wall_ms, -before_ms);
    int64_t time_max = add_i64_saturated(wall_ms, after_ms);
    if (b->records_n <= 0)
        return false;
    for (int32_t i = 0; i < b->records_n; i++) {
        int64_t n, delta;
        p = glance(p, end, &n);
        if (p == NULL || n < RECORD_BODY_MIN || n > end - p ||
            !glance_record(p, p + n, i, config->is_compacted, &delta))
            return false;
        int64_t time = (int64_t)((uint64_t)b->base_timestamp + (uint64_t)delta);
        if ((time < time_min || time > time_max) && !config->is_log_append_time)
            return false; /* -1 is allowed: the walk knows */
        p += n;
    }
    return p == end;
}

int record_walk_end(struct record_walk *w, const struct batch *b)
{
    struct walk *s = walk_of(w);
    check(b->records_n == s->expected_n);
    if (w->error == 0 &&
        (s->step != STEP_LENGTH || s->value_n > 0 || s->skip > 0 || w->records_n != s->expected_n))
        fail(w, WHY_MISSING);
    return w->error;
}

void record_walk_reason(const struct record_walk *w, const struct log_id *id,
                        char reason[APPEND_REASON_MAX])
{
    const struct walk *s = (const struct walk *)(const void *)w->inside;
    size_t max = APPEND_REASON_MAX;
    reason[0] = '\0';
    switch ((enum why)s->why) {
    case WHY_NONE: break;
    case WHY_SHAPE:
        snprintf(reason, max, "Record %d of the batch does not follow the record format",
                 w->bad_record_at);
        break;
    case WHY_KEY:
        snprintf(reason, max,
                 "Compacted topic cannot accept message without key in topic partition %.*s-%d",
                 (int)id->topic.n, (const char *)id->topic.ptr, id->partition);
        break;
    case WHY_TIME:
        snprintf(reason, max,
                 "Timestamp %lld of message with offset %d is out of range. The timestamp should "
                 "be within [%lld, %lld]",
                 (long long)s->time, w->bad_record_at, (long long)s->time_min,
                 (long long)s->time_max);
        break;
    case WHY_OFFSET:
        snprintf(reason, max,
                 "Record %d of the batch does not have the offset that follows the one before it",
                 w->bad_record_at);
        break;
    case WHY_LEFT_OVER:
        snprintf(reason, max, "The record batch holds more bytes than its records");
        break;
    case WHY_MISSING:
        snprintf(reason, max, "The record batch holds fewer records than it says");
        break;
    }
}
