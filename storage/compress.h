/*
 * compress.h - the four codecs of record batches, both directions, into memory of the caller.
 *
 * Owner: immutable (pure functions; contexts of the libraries live for one call, on the heap). For
 * helpers, boot and tools, never for a worker's turn.
 *
 * Output never exceeds `max`, whatever the input says about itself: a batch of a hundred bytes may
 * claim to hold gigabytes. One library per file: compress_gzip.c, compress_snappy.c,
 * compress_lz4.c, compress_zstd.c.
 */
#ifndef MILLRACE_COMPRESS_H
#define MILLRACE_COMPRESS_H

#include "bytes.h"
#include "errors.h"
#include "storage.h"

enum { DECOMPRESS_BYTES_MAX = 256 << 20 };

/* Bytes written, or E_TOO_LARGE (more than `max`), E_CORRUPT, E_NO_MEMORY, E_BAD_CODEC (not an enum
 * codec). CODEC_NONE copies. */
nodiscard int64_t codec_decompress(uint8_t codec, struct bytes from, uint8_t *to, uint32_t max);
/* Bytes written, or E_TOO_LARGE when `max` is too little (codec_bytes_max is always enough),
 * E_NO_MEMORY, E_BAD_CODEC, E_INVALID (level). */
nodiscard int64_t codec_compress(uint8_t codec, int level, struct bytes from, uint8_t *to,
                                 uint32_t max);
uint64_t codec_bytes_max(uint8_t codec, uint32_t n);

/* Decompresses into heap memory that grows as needed, at most `max`; reused from call to call.
 * Owner: the caller. All zero at first. */
struct plain {
    uint8_t *v;
    uint32_t n, max;
};
/* Room for `bytes`; what was there is lost. */
nodiscard int plain_reserve(struct plain *plain, uint64_t bytes);
nodiscard int plain_decompress(struct plain *plain, uint8_t codec, struct bytes from, uint32_t max);
void plain_fini(struct plain *plain);

/* The libraries' own files. */
nodiscard int64_t gzip_decompress(struct bytes from, uint8_t *to, uint32_t max);
nodiscard int64_t gzip_compress(int level, struct bytes from, uint8_t *to, uint32_t max);
uint64_t gzip_bytes_max(uint32_t n);
nodiscard int64_t snappy_xerial_decompress(struct bytes from, uint8_t *to, uint32_t max);
nodiscard int64_t snappy_xerial_compress(struct bytes from, uint8_t *to, uint32_t max);
uint64_t snappy_xerial_bytes_max(uint32_t n);
nodiscard int64_t lz4_decompress(struct bytes from, uint8_t *to, uint32_t max);
nodiscard int64_t lz4_compress(int level, struct bytes from, uint8_t *to, uint32_t max);
uint64_t lz4_bytes_max(uint32_t n);
nodiscard int64_t zstd_decompress(struct bytes from, uint8_t *to, uint32_t max);
nodiscard int64_t zstd_compress(int level, struct bytes from, uint8_t *to, uint32_t max);
uint64_t zstd_bytes_max(uint32_t n);

#endif
