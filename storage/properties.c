/*
 * properties.c - Java properties text.
 *
 * Owner: immutable.
 *
 * Bytes above 127 pass as they are: Kafka reads and writes UTF-8 through these functions'
 * counterparts, and our own keys and values are ASCII.
 */
#include "properties.h"

#include <stdio.h>

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool is_line_end(uint8_t c)
{
    return c == '\n' || c == '\r';
}

static void advance(struct bytes *text, uint32_t n)
{
    *text = (struct bytes){text->ptr + n, text->n - n};
}

static void skip_blanks(struct bytes *text)
{
    while (text->n > 0 && is_blank(*text->ptr))
        advance(text, 1);
}

static void skip_line(struct bytes *text)
{
    while (text->n > 0 && !is_line_end(*text->ptr))
        advance(text, 1);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Where the characters of a key or value go. */
struct sink {
    char *to;
    uint32_t n;
    int error;
};

static void put(struct sink *s, uint32_t c)
{
    if (c == 0)
        s->error = E_MALFORMED;
    else if (s->n + 1 >= PROPERTY_MAX)
        s->error = E_TOO_LARGE;
    else
        s->to[s->n++] = (char)c;
}

static void put_code(struct sink *s, uint32_t code)
{
    if (code < 0x80) {
        put(s, code);
    } else if (code < 0x800) {
        put(s, 0xc0 | code >> 6);
        put(s, 0x80 | (code & 63));
    } else {
        put(s, 0xe0 | code >> 12);
        put(s, 0x80 | (code >> 6 & 63));
        put(s, 0x80 | (code & 63));
    }
}

/* What follows a '\'. */
static void take_escape(struct bytes *text, struct sink *s)
{
    if (text->n == 0)
        return;
    uint8_t c = *text->ptr;
    advance(text, 1);
    if (c == 'u') {
        uint32_t code = 0;
        for (int i = 0; i < 4; i++) {
            int digit = text->n == 0 ? -1 : hex_digit(*text->ptr);
            if (digit < 0) {
                s->error = E_MALFORMED;
                return;
            }
            code = code << 4 | (uint32_t)digit;
            advance(text, 1);
        }
        put_code(s, code);
    } else if (is_line_end(c)) { /* the line goes on in the next, without its leading blanks */
        if (c == '\r' && text->n > 0 && *text->ptr == '\n')
            advance(text, 1);
        skip_blanks(text);
    } else {
        put(s, c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c);
    }
}

/* A key ends at a separator, a value at the end of its line. */
static int take_text(struct bytes *text, char *to, bool is_key)
{
    struct sink s = {to, 0, 0};
    while (text->n > 0 && s.error == 0) {
        uint8_t c = *text->ptr;
        if (is_line_end(c) || (is_key && (is_blank(c) || c == '=' || c == ':')))
            break;
        advance(text, 1);
        if (c == '\\')
            take_escape(text, &s);
        else
            put(&s, c);
    }
    to[s.n] = '\0';
    return s.error;
}

int property_next(struct bytes *text, struct property *out)
{
    for (;;) {
        while (text->n > 0 && (is_blank(*text->ptr) || is_line_end(*text->ptr)))
            advance(text, 1);
        if (text->n == 0)
            return E_EOF;
        if (*text->ptr != '#' && *text->ptr != '!')
            break;
        skip_line(text);
    }
    int error = take_text(text, out->key, true);
    if (error < 0)
        return error;
    skip_blanks(text);
    if (text->n > 0 && (*text->ptr == '=' || *text->ptr == ':')) {
        advance(text, 1);
        skip_blanks(text);
    }
    return take_text(text, out->value, false);
}

static char *write_text(char *p, const char *from, bool is_key)
{
    for (const char *c = from; *c != '\0'; c++) {
        bool is_space = *c == ' ' && (is_key || c == from);
        if (*c == '\n' || *c == '\t' || *c == '\r' || *c == '\f') {
            *p++ = '\\';
            *p++ = *c == '\n' ? 'n' : *c == '\t' ? 't' : *c == '\r' ? 'r' : 'f';
            continue;
        }
        if (is_space || strchr("=:#!\\", *c) != NULL)
            *p++ = '\\';
        *p++ = *c;
    }
    return p;
}

uint32_t property_write(char *to, const char *key, const char *value)
{
    char *p = write_text(to, key, true);
    *p++ = '=';
    p = write_text(p, value, false);
    *p++ = '\n';
    return (uint32_t)(p - to);
}

uint64_t property_bytes_max(const char *key, const char *value)
{
    return 2 * (strlen(key) + strlen(value)) + 2;
}
