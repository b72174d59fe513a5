/*
 * batch_scan.c - walks the batches of a segment file.
 *
 * Owner: the caller.
 *
 * Invariant: window holds what the file held at window_pos when it was read; positions only rise,
 * so a window is never used again after it was passed.
 */
#include "batch_scan.h"

#include <stdlib.h>

#include "check.h"

int batch_scan_init(struct batch_scan *s, struct disk *disk, int fd, uint64_t bytes, uint64_t pos)
{
    *s = (struct batch_scan){.disk = disk, .fd = fd, .bytes = bytes, .pos = pos};
    s->window = malloc(BATCH_SCAN_WINDOW);
    return s->window == NULL ? E_NO_MEMORY : 0;
}

void batch_scan_fini(struct batch_scan *s)
{
    free(s->window);
    free(s->body);
    s->window = s->body = NULL;
}

/* Makes the header at pos stand in the window, or as much of it as the file has. */
static int window_fill(struct batch_scan *s)
{
    uint64_t want = min_u64(BATCH_HEADER, s->bytes - s->pos);
    if (s->pos >= s->window_pos && s->pos + want <= s->window_pos + s->window_n)
        return 0;
    uint64_t n = s->last_bytes > BATCH_SCAN_WINDOW / 4 ? BATCH_SCAN_PROBE : BATCH_SCAN_WINDOW;
    int64_t got = disk_read(s->disk, s->fd, s->window, min_u64(n, s->bytes - s->pos), s->pos);
    if (got < 0)
        return (int)got;
    s->window_pos = s->pos;
    s->window_n = (uint32_t)got;
    return 0;
}

int batch_scan_peek(struct batch_scan *s, struct batch *b, const uint8_t **header)
{
    *header = NULL;
    *b = (struct batch){.bytes = 0};
    if (s->pos >= s->bytes)
        return E_EOF;
    int error = window_fill(s);
    if (error < 0)
        return error;
    const uint8_t *at = s->window + (s->pos - s->window_pos);
    if (s->window_pos + s->window_n - s->pos < BATCH_HEADER)
        return E_CORRUPT;
    *header = at;
    error = batch_header(at, b);
    if (error < 0)
        return error;
    return b->bytes > s->bytes - s->pos ? E_CORRUPT : 0;
}

void batch_scan_skip(struct batch_scan *s, const struct batch *b)
{
    s->pos += b->bytes;
    s->last_bytes = b->bytes;
}

int batch_scan_body(struct batch_scan *s, const struct batch *b, struct bytes *out)
{
    check(b->bytes <= s->bytes - s->pos);
    *out = bytes_of(s->window + (s->pos - s->window_pos), b->bytes);
    if (s->pos + b->bytes <= s->window_pos + s->window_n)
        return 0;
    if (b->bytes > s->body_max) {
        uint8_t *body = realloc(s->body, b->bytes);
        if (body == NULL)
            return E_NO_MEMORY;
        s->body = body;
        s->body_max = b->bytes;
    }
    int64_t got = disk_read(s->disk, s->fd, s->body, b->bytes, s->pos);
    if (got < 0)
        return (int)got;
    *out = bytes_of(s->body, b->bytes);
    return (uint64_t)got < b->bytes ? E_CORRUPT : 0;
}
