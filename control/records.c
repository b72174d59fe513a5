/*
 * records.c - metadata records become one batch: an operation is one batch, so it happens whole or
 * not at all.
 *
 * Owner: control.
 *
 * Value of a record: uvarint frame version 1, uvarint type, uvarint version, body. Key null. See
 * disk-formats 15.2.
 */
#include "records.h"

#include <stdlib.h>

#include "check.h"

enum { RECORD_HEAD_MAX = 15 };

int records_init(struct records *records)
{
    *records =
        (struct records){.buffer = malloc(RECORDS_BYTES_MAX), .scratch = malloc(RECORDS_BYTES_MAX)};
    if (records->buffer != NULL && records->scratch != NULL)
        return 0;
    records_fini(records);
    return E_NO_MEMORY;
}

void records_fini(struct records *records)
{
    free(records->buffer);
    free(records->scratch);
    *records = (struct records){0};
}

void records_begin(struct records *records, int64_t wall_ms)
{
    records->error = 0;
    records->wall_ms = wall_ms;
    batch_begin(&records->builder, records->buffer, RECORDS_BYTES_MAX);
}

static void records_put(struct records *records, struct bytes key,
                        const struct proto_message *message, int16_t version, const void *value,
                        uint32_t head_n)
{
    int64_t n = proto_size(message, version, value);
    if (records->error < 0)
        return;
    if (n < 0 || head_n + n > RECORDS_BYTES_MAX) {
        records->error = n < 0 && n != E_NO_MEMORY ? E_INVALID : E_TOO_LARGE;
        return;
    }
    int e = proto_encode_flat(message, version, value, records->scratch + head_n, (uint64_t)n);
    check(e == 0);
    records->error = batch_add(&records->builder, records->wall_ms, key,
                               bytes_of(records->scratch, head_n + (uint64_t)n));
}

void records_add(struct records *records, const struct proto_message *message, int16_t version,
                 const void *value)
{
    check(message->api_key >= 0);
    int n = store_uvarint(records->scratch, 1);
    n += store_uvarint(records->scratch + n, (uint64_t)message->api_key);
    n += store_uvarint(records->scratch + n, (uint64_t)version);
    static_assert(RECORD_HEAD_MAX >= 3 * 5, "three uvarints of 32 bits");
    if (records->builder.records_n == RECORDS_N_MAX && records->error == 0)
        records->error = E_TOO_LARGE;
    records_put(records, (struct bytes){NULL, 0}, message, version, value, (uint32_t)n);
}

void records_add_control(struct records *records, int16_t type, const struct proto_message *message,
                         int16_t version, const void *value)
{
    uint8_t key[4];
    store_u16(key, 0);
    store_u16(key + 2, (uint16_t)type);
    records_put(records, bytes_of(key, sizeof key), message, version, value, 0);
}

struct records_mark records_mark(const struct records *records)
{
    return (struct records_mark){records->builder};
}

void records_back(struct records *records, struct records_mark mark)
{
    records->builder = mark.builder;
    records->error = 0;
}

int64_t records_end(struct records *records, bool is_control, int32_t epoch, int64_t base_offset)
{
    if (records->error < 0)
        return records->error;
    check(records->builder.records_n > 0);
    uint32_t n = batch_end(&records->builder, is_control ? BATCH_CONTROL : 0, epoch);
    store_u64(records->buffer, (uint64_t)base_offset);
    return n;
}
