/*
 * dump_old.c - messages of the formats 0 and 1, which segments written before Apache Kafka 0.11
 * hold: shown as what they are, never read as batches.
 *
 * Owner: the call.
 *
 *    0 offset i64    8 size i32   12 crc u32   16 magic i8   17 attributes i8
 *   18 timestamp i64 (magic 1 only), then key and value: i32 length (-1: null), bytes
 *
 * The CRC is the one of zip files (IEEE 802.3), over everything from the magic on. Attributes: bits
 * 0-2 the codec, bit 3 LogAppendTime. With a codec the value is a message set; the offset is that
 * of its last message, and inside of magic 1 offsets count from 0.
 *
 * What the bytes of a magic 0 lz4 frame say of their own checksum was wrong in Apache Kafka; where
 * such a wrapper cannot be inflated it is shown without its inside, and that is no damage.
 */
#include <stdlib.h>

#include "batch_scan.h"
#include "compress.h"
#include "dump_row.h"

enum {
    OLD_HEAD = 18,        /* to the attributes, included */
    OLD_LENGTH_END = 12,  /* offset and size             */
    OLD_MESSAGE_MIN = 26, /* magic 0, key and value null */
    OLD_TIME = 8,
    OLD_CODECS_N = 4, /* none, gzip, snappy, lz4 */
    OLD_BYTES_MAX = 256 << 20,
};

/* A message taken apart. Views. */
struct old_message {
    int64_t offset, timestamp; /* -1: magic 0 has none */
    uint32_t bytes, crc;
    uint8_t magic, attributes;
    struct bytes key, value;
};

static uint32_t crc32_ieee(struct bytes v)
{
    uint32_t crc = ~0u;
    for (uint32_t i = 0; i < v.n; i++) {
        crc ^= v.ptr[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* A nullable field of i32 length; false: it does not fit. */
static bool old_field(struct bytes *rest, struct bytes *out)
{
    if (rest->n < 4)
        return false;
    int32_t n = load_i32(rest->ptr);
    *rest = bytes_of(rest->ptr + 4, rest->n - 4);
    *out = (struct bytes){NULL, 0};
    if (n == -1)
        return true;
    if (n < 0 || (uint32_t)n > rest->n)
        return false;
    *out = bytes_of(rest->ptr, (uint32_t)n);
    *rest = bytes_of(rest->ptr + n, rest->n - (uint32_t)n);
    return true;
}

/* The first message of `from`. False: it is none, or is not whole. */
static bool old_parse(struct bytes from, struct old_message *m)
{
    if (from.n < OLD_MESSAGE_MIN)
        return false;
    int32_t size = load_i32(from.ptr + 8);
    if (size < OLD_MESSAGE_MIN - OLD_LENGTH_END || (uint32_t)size > from.n - OLD_LENGTH_END)
        return false;
    *m = (struct old_message){.offset = load_i64(from.ptr),
                              .timestamp = -1,
                              .bytes = (uint32_t)size + OLD_LENGTH_END,
                              .crc = load_u32(from.ptr + OLD_LENGTH_END),
                              .magic = from.ptr[16],
                              .attributes = from.ptr[17]};
    struct bytes rest = bytes_of(from.ptr + OLD_HEAD, m->bytes - OLD_HEAD);
    if (m->magic > 1 || (m->attributes & 7) >= OLD_CODECS_N)
        return false;
    if (m->magic == 1) {
        if (rest.n < OLD_TIME)
            return false;
        m->timestamp = load_i64(rest.ptr);
        rest = bytes_of(rest.ptr + OLD_TIME, rest.n - OLD_TIME);
    }
    return old_field(&rest, &m->key) && old_field(&rest, &m->value) && rest.n == 0 &&
           crc32_ieee(bytes_of(from.ptr + 16, m->bytes - 16)) == m->crc;
}

static void old_show(struct dump *d, uint64_t pos, const struct old_message *m, bool is_inner)
{
    static const char *const codecs[OLD_CODECS_N] = {"none", "gzip", "snappy", "lz4"};
    row_begin(d, "message", (!is_inner || d->options->with_records) && row_is_wanted(d, m->offset));
    row_int(d, "pos", (int64_t)pos);
    row_int(d, "bytes", m->bytes);
    row_int(d, "magic", m->magic);
    row_int(d, "offset", m->offset);
    row_word(d, "codec", codecs[m->attributes & 7]);
    row_int(d, "timestamp", m->timestamp);
    row_bool(d, "inner", is_inner);
    row_int(d, "key_bytes", m->key.ptr == NULL ? -1 : (int64_t)m->key.n);
    row_int(d, "value_bytes", m->value.ptr == NULL ? -1 : (int64_t)m->value.n);
    if ((m->attributes & 7) == CODEC_NONE && d->options->with_records) {
        row_bytes(d, "key", m->key);
        row_bytes(d, "value", m->value);
    }
    row_int(d, "crc", m->crc);
    row_end(d);
}

/* The offset of the last message inside, as the inside counts: what the wrapper's offset is. */
static int64_t old_last_inside(struct bytes inside)
{
    struct old_message m = {.offset = 0};
    int64_t last = 0;
    while (old_parse(inside, &m)) {
        last = m.offset;
        inside = bytes_of(inside.ptr + m.bytes, inside.n - m.bytes);
    }
    return last;
}

static int old_inside(struct dump *d, uint64_t pos, const struct old_message *wrapper,
                      struct plain *plain)
{
    struct old_message m;
    int error =
        plain_decompress(plain, wrapper->attributes & 7, wrapper->value, DECOMPRESS_BYTES_MAX);
    if (error < 0)
        return error == E_NO_MEMORY ? error : 0;
    struct bytes inside = bytes_of(plain->v, plain->n);
    int64_t shift = wrapper->magic == 1 ? wrapper->offset - old_last_inside(inside) : 0;
    while (old_parse(inside, &m)) {
        inside = bytes_of(inside.ptr + m.bytes, inside.n - m.bytes);
        m.offset = (int64_t)((uint64_t)m.offset + (uint64_t)shift);
        old_show(d, pos, &m, true);
        d->sum->records_n++;
    }
    if (inside.n > 0)
        row_damage(d, pos, "%u bytes inside the wrapper are no message", inside.n);
    return 0;
}

static int old_dump(struct dump *d, uint64_t pos, const struct old_message *m, struct plain *plain)
{
    old_show(d, pos, m, false);
    d->sum->messages_n++;
    if (m->offset <= d->sum->last_offset)
        row_damage(d, pos, "offset %lld is not above %lld, the last before it",
                   (long long)m->offset, (long long)d->sum->last_offset);
    d->sum->last_offset = max_i64(d->sum->last_offset, m->offset);
    if (d->sum->first_offset < 0)
        d->sum->first_offset = m->offset;
    if ((m->attributes & 7) != CODEC_NONE && m->value.ptr != NULL)
        return old_inside(d, pos, m, plain);
    d->sum->records_n++;
    return 0;
}

int dump_old_message(struct dump *d, struct batch_scan *scan, struct plain *plain)
{
    uint8_t head[OLD_HEAD];
    struct old_message m;
    int64_t got = disk_read(d->disk, scan->fd, head, sizeof head, scan->pos);
    if (got < (int64_t)sizeof head)
        return got < 0 ? (int)got : 0;
    int32_t size = load_i32(head + 8);
    uint64_t bytes = (uint64_t)(uint32_t)size + OLD_LENGTH_END;
    if (head[16] > 1 || size <= 0 || bytes > OLD_BYTES_MAX || bytes > scan->bytes - scan->pos)
        return 0;
    uint8_t *whole = malloc(bytes);
    if (whole == NULL)
        return E_NO_MEMORY;
    got = disk_read(d->disk, scan->fd, whole, bytes, scan->pos);
    int rc = got < 0 ? (int)got : 0;
    if (rc == 0 && (uint64_t)got == bytes && old_parse(bytes_of(whole, (uint32_t)bytes), &m)) {
        rc = old_dump(d, scan->pos, &m, plain);
        scan->pos += m.bytes;
        scan->last_bytes = m.bytes;
        rc = rc < 0 ? rc : 1;
    }
    free(whole);
    return rc;
}
