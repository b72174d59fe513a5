/*
 * text.h - reading the small text files: lines, numbers, and the head all checkpoint files share.
 *
 * Owner: immutable (pure functions). A `struct bytes` is a cursor: what was read is cut off its
 * front.
 *
 *   checkpoint file (Kafka CheckpointFile.java):  "0\n" version, "<entries>\n", one line per entry
 *
 * A last line may lack its line feed, as Java's readLine has it; "\r\n" ends a line too.
 */
#ifndef MILLRACE_TEXT_H
#define MILLRACE_TEXT_H

#include "bytes.h"
#include "errors.h"

/* The next line without its end; false when nothing is left. */
static inline bool text_line(struct bytes *text, struct bytes *line)
{
    if (text->n == 0)
        return false;
    const uint8_t *end = memchr(text->ptr, '\n', text->n);
    uint32_t n = end == NULL ? text->n : (uint32_t)(end - text->ptr);
    *line = (struct bytes){text->ptr, n};
    if (n > 0 && line->ptr[n - 1] == '\r')
        line->n--;
    n += end != NULL;
    *text = (struct bytes){text->ptr + n, text->n - n};
    return true;
}

/* A decimal number in [low, high] at the front. */
static inline bool text_number(struct bytes *text, int64_t low, int64_t high, int64_t *out)
{
    uint32_t at = 0;
    bool is_negative = text->n > 0 && text->ptr[0] == '-';
    uint64_t v = 0, max = is_negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    for (at = is_negative; at < text->n && text->ptr[at] >= '0' && text->ptr[at] <= '9'; at++) {
        uint64_t digit = (uint64_t)(text->ptr[at] - '0');
        if (v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (at == (uint32_t)is_negative)
        return false;
    int64_t signed_v = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    if (signed_v < low || signed_v > high)
        return false;
    *out = signed_v;
    *text = (struct bytes){text->ptr + at, text->n - at};
    return true;
}

/* At least one of `c` at the front; all of them are taken. */
static inline bool text_char(struct bytes *text, char c)
{
    uint32_t at = 0;
    while (at < text->n && text->ptr[at] == (uint8_t)c)
        at++;
    *text = (struct bytes){text->ptr + at, text->n - at};
    return at > 0;
}

/* Version and number of entries. E_CORRUPT when one is missing, malformed, or there are more than
 * n_max. */
nodiscard static inline int text_checkpoint_head(struct bytes *text, int64_t n_max, int64_t *n)
{
    struct bytes line;
    int64_t version;
    if (!text_line(text, &line) || !text_number(&line, 0, 0, &version) || line.n > 0)
        return E_CORRUPT;
    if (!text_line(text, &line) || !text_number(&line, 0, n_max, n) || line.n > 0)
        return E_CORRUPT;
    return 0;
}

#endif
