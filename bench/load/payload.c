/*
 * payload.c - record batches that are encoded once and sent many times.
 *
 * Owner: the generator, at start. The values are random bytes up to the share `entropy`, and a
 * repeated line of text for the rest, so that a codec has something to do and the report can say
 * how much. Keys are numbers as text. With `zipf` a key's rank is exp(u ln(n + 1)) of a uniform u,
 * whole numbers of it: rank k has ln((k + 1) / k) / ln(n + 1) of the records, 1/k but for the first
 * few.
 */
#include <math.h>
#include <stdlib.h>

#include "batch.h"
#include "compress.h"
#include "load.h"

enum { RECORD_OVERHEAD = 24, KEY_BYTES = 12 };

static struct bytes key_make(char *key, const struct load_options *o, struct prng *prng)
{
    uint64_t rank = 1;
    if (o->keys_n == 0)
        return (struct bytes){NULL, 0};
    if (o->keys == LOAD_KEYS_ZIPF) {
        double u = (double)(prng_next(prng) >> 11) * 0x1p-53;
        rank = min_u64((uint64_t)exp(u * log((double)o->keys_n + 1)), o->keys_n);
    } else {
        rank += prng_below(prng, o->keys_n);
    }
    snprintf(key, KEY_BYTES + 1, "key-%08u", (uint32_t)(rank - 1));
    return bytes_of(key, KEY_BYTES);
}

static void value_fill(uint8_t *value, const struct load_options *o, struct prng *prng)
{
    static const char text[] =
        "{\"device\":\"sensor-17\",\"temperature\":21.5,\"unit\":\"celsius\"},";
    uint32_t random_n = (uint32_t)(o->entropy * o->record_bytes);
    for (uint32_t i = 0; i < o->record_bytes; i++)
        value[i] = i < random_n ? (uint8_t)prng_next(prng) : (uint8_t)text[i % (sizeof text - 1)];
}

/* Compresses the records behind the header and rewrites length, codec and CRC. */
static int batch_compress(struct load_payload *p, uint8_t codec)
{
    struct bytes plain = bytes_of(p->ptr + BATCH_HEADER, p->bytes - BATCH_HEADER);
    uint32_t max = (uint32_t)codec_bytes_max(codec, (uint32_t)plain.n);
    uint8_t *to = malloc(BATCH_HEADER + (uint64_t)max);
    if (to == NULL)
        return E_NO_MEMORY;
    memcpy(to, p->ptr, BATCH_HEADER);
    int64_t n = codec_compress(codec, COMPRESS_LEVEL_DEFAULT, plain, to + BATCH_HEADER, max);
    if (n < 0) {
        free(to);
        return (int)n;
    }
    free(p->ptr);
    p->ptr = to;
    p->bytes = BATCH_HEADER + (uint32_t)n;
    store_u32(p->ptr + BATCH_LENGTH_AT, p->bytes - BATCH_LENGTH_END);
    store_u16(p->ptr + BATCH_ATTRIBUTES_AT, codec);
    batch_stamp_crc(p->ptr, p->bytes);
    return 0;
}

void load_payload_length(struct load_payload *p, int16_t produce_version)
{
    if (produce_version < 9) { /* before KIP-482: a plain number */
        store_u32(p->length, p->bytes);
        p->length_n = 4;
        return;
    }
    p->length_n = 0;
    for (uint32_t v = p->bytes + 1;; v >>= 7) {
        p->length[p->length_n++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
        if (v <= 127)
            break;
    }
}

int load_payload_make(struct load_payload *p, const struct load_options *o, struct prng *prng)
{
    struct batch_builder b;
    uint32_t each = o->record_bytes + (o->keys_n > 0 ? KEY_BYTES : 0);
    uint32_t n = (uint32_t)max_u64(1, o->batch_bytes / (each + RECORD_OVERHEAD / 2));
    uint64_t max = BATCH_HEADER + (uint64_t)n * (each + RECORD_OVERHEAD);
    uint8_t *value = malloc(o->record_bytes);
    int64_t wall_ms = clock_read().wall_ms;
    *p = (struct load_payload){.ptr = malloc(max), .records_n = n};
    if (p->ptr == NULL || value == NULL) {
        free(value);
        return E_NO_MEMORY;
    }
    batch_begin(&b, p->ptr, (uint32_t)max);
    for (uint32_t i = 0; i < n; i++) {
        value_fill(value, o, prng);
        char key[KEY_BYTES + 1];
        int rc = batch_add(&b, wall_ms, key_make(key, o, prng), bytes_of(value, o->record_bytes));
        if (rc != 0) {
            free(value);
            return rc;
        }
    }
    free(value);
    p->bytes = batch_end(&b, 0, -1);
    return o->codec == CODEC_NONE ? 0 : batch_compress(p, o->codec);
}
