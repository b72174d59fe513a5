/*
 * batch_scan.h - walks the batches of a segment file, header by header, through struct disk.
 *
 * Owner: the caller (helper, boot or tool). Blocks on the disk; uses the heap.
 *
 * Bodies are read only when asked for: with large batches the walk touches 4 KiB per batch, with
 * small ones it reads 64 KiB at a time.
 */
#ifndef MILLRACE_BATCH_SCAN_H
#define MILLRACE_BATCH_SCAN_H

#include "batch.h"
#include "disk.h"

/* Owner: the caller. */
struct batch_scan {
    struct disk *disk;
    int fd;
    uint64_t bytes;  /* of the file that count         */
    uint64_t pos;    /* of the next batch              */
    uint8_t *window; /* [window_pos, window_pos + window_n) */
    uint64_t window_pos;
    uint32_t window_n;
    uint32_t last_bytes; /* size of the batch before       */
    uint8_t *body;       /* heap, grows                    */
    uint32_t body_max;
};

enum { BATCH_SCAN_WINDOW = 64 << 10, BATCH_SCAN_PROBE = 4 << 10 };

nodiscard int batch_scan_init(struct batch_scan *s, struct disk *disk, int fd, uint64_t bytes,
                              uint64_t pos);
void batch_scan_fini(struct batch_scan *s);
/* The header at s->pos. E_EOF: exactly at the end. E_CORRUPT: not a batch, or it runs beyond the
 * end. E_BAD_MAGIC, E_IO ... Stays where it is; *header points to the raw bytes (may be NULL when
 * fewer than a header are left). */
nodiscard int batch_scan_peek(struct batch_scan *s, struct batch *b, const uint8_t **header);
/* Moves behind the batch just peeked. */
void batch_scan_skip(struct batch_scan *s, const struct batch *b);
/* The whole batch at s->pos, just peeked: contiguous, until the next call. E_NO_MEMORY, E_IO,
 * E_CORRUPT (short). */
nodiscard int batch_scan_body(struct batch_scan *s, const struct batch *b, struct bytes *out);

#endif
