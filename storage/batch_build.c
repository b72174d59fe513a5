/*
 * batch_build.c - makes batches of plain records, and reads plain records one by one.
 *
 * Owner: the caller (builder and memory); record_next is a pure function.
 *
 * A record (all varints zig-zag):
 *   varint length of the rest | i8 attributes 0 | varint timestamp delta | varint offset delta
 *   varint key length, -1 null | key | varint value length, -1 null | value
 *   varint header count | headers: varint key length, key, varint value length (-1 null), value
 *
 * The builder writes straight behind the header's place, so nothing is copied twice. Invariant:
 * bytes [0, n) of `to` are the header's place and whole records. Compression is compress.c's.
 */
#include "batch.h"

#include "check.h"

void batch_begin(struct batch_builder *b, uint8_t *to, uint32_t max)
{
    check(max >= BATCH_HEADER);
    *b = (struct batch_builder){.to = to, .n = BATCH_HEADER, .max = max};
}

/* Length and bytes; null as -1. */
static uint8_t *put_bytes(uint8_t *p, struct bytes v)
{
    if (v.ptr == NULL) {
        *p++ = 1;
        return p;
    }
    p += store_varint(p, v.n);
    if (v.n > 0)
        memcpy(p, v.ptr, v.n);
    return p + v.n;
}

static uint64_t put_bytes_n(struct bytes v)
{
    return v.ptr == NULL ? 1 : (uint64_t)varint_bytes(v.n) + v.n;
}

int batch_add_headers(struct batch_builder *b, int64_t timestamp, struct bytes key,
                      struct bytes value, struct bytes headers)
{
    static const uint8_t no_headers = 0;
    if (headers.n == 0)
        headers = bytes_of(&no_headers, 1);
    int64_t first = b->records_n == 0 ? timestamp : b->base_timestamp;
    int64_t delta = (int64_t)((uint64_t)timestamp - (uint64_t)first);
    uint64_t body = 1 + (uint64_t)varint_bytes(delta) + (uint64_t)varint_bytes(b->records_n) +
                    put_bytes_n(key) + put_bytes_n(value) + headers.n;
    if (body > INT32_MAX || (uint64_t)varint_bytes((int64_t)body) + body > b->max - b->n ||
        b->records_n == INT32_MAX)
        return E_TOO_LARGE;
    uint8_t *p = b->to + b->n;
    p += store_varint(p, (int64_t)body);
    *p++ = 0;
    p += store_varint(p, delta);
    p += store_varint(p, b->records_n);
    p = put_bytes(p, key);
    p = put_bytes(p, value);
    memcpy(p, headers.ptr, headers.n);
    p += headers.n;
    b->max_timestamp = b->records_n == 0 ? timestamp : max_i64(b->max_timestamp, timestamp);
    b->base_timestamp = first;
    b->n = (uint32_t)(p - b->to);
    b->records_n++;
    return 0;
}

int batch_add(struct batch_builder *b, int64_t timestamp, struct bytes key, struct bytes value)
{
    return batch_add_headers(b, timestamp, key, value, (struct bytes){NULL, 0});
}

uint32_t batch_end(struct batch_builder *b, int16_t attributes, int32_t leader_epoch)
{
    uint8_t *h = b->to;
    memset(h, 0, BATCH_HEADER);
    store_u32(h + BATCH_LENGTH_AT, b->n - BATCH_LENGTH_END);
    store_u32(h + BATCH_EPOCH_AT, (uint32_t)leader_epoch);
    h[BATCH_MAGIC_AT] = 2;
    store_u16(h + BATCH_ATTRIBUTES_AT, (uint16_t)attributes);
    store_u32(h + BATCH_LAST_DELTA_AT, b->records_n == 0 ? 0 : (uint32_t)b->records_n - 1);
    store_u64(h + BATCH_BASE_TIMESTAMP_AT, (uint64_t)b->base_timestamp);
    store_u64(h + BATCH_MAX_TIMESTAMP_AT, (uint64_t)b->max_timestamp);
    store_u32(h + BATCH_RECORDS_AT, (uint32_t)b->records_n);
    batch_stamp_producer(h, -1, -1, -1);
    return b->n;
}

void batch_stamp_producer(uint8_t *batch, int64_t producer_id, int16_t producer_epoch,
                          int32_t base_sequence)
{
    store_u64(batch + BATCH_PRODUCER_ID_AT, (uint64_t)producer_id);
    store_u16(batch + BATCH_PRODUCER_EPOCH_AT, (uint16_t)producer_epoch);
    store_u32(batch + BATCH_BASE_SEQUENCE_AT, (uint32_t)base_sequence);
    batch_stamp_crc(batch, load_u32(batch + BATCH_LENGTH_AT) + BATCH_LENGTH_END);
}

/* A varint that must fit 32 bits. NULL when it does not, or the input ends. */
static const uint8_t *take_i32(const uint8_t *p, const uint8_t *end, int32_t *v)
{
    int64_t wide;
    int n = load_varint(p, end, 5, &wide);
    if (n <= 0 || wide < INT32_MIN || wide > INT32_MAX)
        return NULL;
    *v = (int32_t)wide;
    return p + n;
}

static const uint8_t *take_bytes(const uint8_t *p, const uint8_t *end, struct bytes *v)
{
    int32_t n;
    p = take_i32(p, end, &n);
    if (p == NULL || n < -1 || n > end - p)
        return NULL;
    *v = n < 0 ? (struct bytes){NULL, 0} : bytes_of(p, (uint32_t)n);
    return n < 0 ? p : p + n;
}

/* The headers of a record must end exactly where the record does. */
static bool headers_are_whole(const uint8_t *p, const uint8_t *end)
{
    int32_t n;
    p = take_i32(p, end, &n);
    if (p == NULL || n < 0)
        return false;
    for (; n > 0; n--) {
        struct bytes part;
        p = take_bytes(p, end, &part);
        if (p == NULL || part.ptr == NULL)
            return false;
        p = take_bytes(p, end, &part);
        if (p == NULL)
            return false;
    }
    return p == end;
}

int record_next(struct bytes records, uint32_t *at, struct record *out)
{
    check(*at <= records.n);
    if (*at == records.n)
        return E_EOF;
    const uint8_t *p = records.ptr + *at, *end = records.ptr + records.n;
    int32_t n;
    p = take_i32(p, end, &n);
    if (p == NULL || n < 1 || n > end - p)
        return E_CORRUPT;
    end = p + n;
    *out = (struct record){.attributes = *p++};
    int taken = load_varint(p, end, VARINT_BYTES_MAX, &out->timestamp_delta);
    if (taken <= 0)
        return E_CORRUPT;
    p = take_i32(p + taken, end, &out->offset_delta);
    p = p == NULL ? NULL : take_bytes(p, end, &out->key);
    p = p == NULL ? NULL : take_bytes(p, end, &out->value);
    if (p == NULL || !headers_are_whole(p, end))
        return E_CORRUPT;
    out->headers = bytes_of(p, (size_t)(end - p));
    *at = (uint32_t)(end - records.ptr);
    return 0;
}
