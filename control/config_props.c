/*
 * config_props.c - Java properties text, unescaped in place.
 *
 * Owner: the caller's.
 *
 * Format (java.util.Properties.load): natural lines end with \n, \r or \r\n. A blank line, or one
 * whose first character that is not white space is # or !, is skipped. A line that ends with an odd
 * number of backslashes goes on with the next, whose leading white space is dropped. The key ends
 * at the first unescaped '=', ':' or white space; white space, one '=' or ':', and white space
 * again are skipped; the rest, with its trailing white space, is the value. \t \n \r \f and \uXXXX
 * are what they say, any other escaped character is itself.
 *
 * Bytes are kept as they are (UTF-8 passes through), \uXXXX becomes UTF-8, which is never longer
 * than its escape: so the output never overtakes the input, and every key and value finds room for
 * its terminating zero, because a separator, a line's end or the byte behind the text has been
 * consumed by then.
 */
#include "config_props.h"

#include "check.h"

/* What props_read returns: a byte, or with flags: PROPS_ESCAPED separates nothing, PROPS_CODE is a
 * code point. */
enum { PROPS_END = -1, PROPS_ESCAPED = 0x200000, PROPS_CODE = 0x400000 | PROPS_ESCAPED };

void props_init(struct props *props, char *text, size_t n)
{
    *props = (struct props){.at = text, .end = text + n, .out = text, .line = 1};
}

static bool props_is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool props_is_newline(int c)
{
    return c == '\n' || c == '\r';
}

static void props_skip_newline(struct props *p)
{
    p->at += *p->at == '\r' && p->at + 1 < p->end && p->at[1] == '\n' ? 2 : 1;
    p->line++;
}

static int props_hex4(struct props *p)
{
    int v = 0;
    if (p->end - p->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *p->at++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

/* Behind "\u". A pair of surrogates is one character; a lone one becomes '?', as Java's encoder has
 * it. */
static int props_unicode(struct props *p)
{
    int high = props_hex4(p);
    if (high <= 0) {
        p->error = E_MALFORMED;
        return PROPS_END;
    }
    if (high < 0xd800 || high > 0xdfff)
        return high | PROPS_CODE;
    if (high < 0xdc00 && p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u') {
        char *before = p->at;
        p->at += 2;
        int low = props_hex4(p);
        if (low >= 0xdc00 && low <= 0xdfff)
            return (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)) | PROPS_CODE;
        p->at = before;
    }
    return '?' | PROPS_ESCAPED;
}

/* The next character of the logical line; PROPS_END at its end (the newline is left) or on an
 * error. */
static int props_read(struct props *p)
{
    while (p->at < p->end && !props_is_newline(*p->at)) {
        int c = (uint8_t)*p->at++;
        if (c == 0) {
            p->error = E_MALFORMED;
            return PROPS_END;
        }
        if (c != '\\')
            return c;
        if (p->at == p->end)
            return PROPS_END;
        if (!props_is_newline(*p->at)) {
            c = (uint8_t)*p->at++;
            if (c == 0)
                p->error = E_MALFORMED;
            if (c == 'u')
                return props_unicode(p);
            c = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c;
            return p->error < 0 ? PROPS_END : c | PROPS_ESCAPED;
        }
        props_skip_newline(p);
        while (p->at < p->end && props_is_space(*p->at))
            p->at++;
    }
    return PROPS_END;
}

/* A plain byte goes out as it came in; a code point of an escape as UTF-8. */
static void props_write(struct props *p, int c)
{
    int v = c & ~PROPS_CODE;
    if (v < 0x80 || (c & PROPS_CODE) != PROPS_CODE) {
        *p->out++ = (char)v;
    } else if (v < 0x800) {
        *p->out++ = (char)(0xc0 | v >> 6);
        *p->out++ = (char)(0x80 | (v & 0x3f));
    } else if (v < 0x10000) {
        *p->out++ = (char)(0xe0 | v >> 12);
        *p->out++ = (char)(0x80 | (v >> 6 & 0x3f));
        *p->out++ = (char)(0x80 | (v & 0x3f));
    } else {
        *p->out++ = (char)(0xf0 | v >> 18);
        *p->out++ = (char)(0x80 | (v >> 12 & 0x3f));
        *p->out++ = (char)(0x80 | (v >> 6 & 0x3f));
        *p->out++ = (char)(0x80 | (v & 0x3f));
    }
    check(p->out <= p->at);
}

/* Skips blank lines and comments; false at the end of the text. */
static bool props_find_line(struct props *p)
{
    while (p->at < p->end) {
        while (p->at < p->end && props_is_space(*p->at))
            p->at++;
        if (p->at < p->end && (*p->at == '#' || *p->at == '!'))
            while (p->at < p->end && !props_is_newline(*p->at))
                p->at++;
        if (p->at == p->end)
            return false;
        if (!props_is_newline(*p->at))
            return true;
        props_skip_newline(p);
    }
    return false;
}

int props_next(struct props *p, char **key, char **value)
{
    if (p->error < 0)
        return p->error;
    if (!props_find_line(p))
        return E_EOF;
    p->line_key = p->line;
    p->out = p->at;
    *key = p->out;
    int c;
    while ((c = props_read(p)) != PROPS_END && c != '=' && c != ':' && !props_is_space(c))
        props_write(p, c);
    while (props_is_space(c))
        c = props_read(p);
    if (c == '=' || c == ':')
        do
            c = props_read(p);
        while (props_is_space(c));
    /* The zeros are written last: the key's may stand where the newline is. A value comes behind a
     * separator. */
    char *key_end = p->out;
    if (c != PROPS_END)
        p->out++;
    *value = p->out;
    for (; c != PROPS_END; c = props_read(p))
        props_write(p, c);
    if (p->error < 0)
        return p->error;
    if (p->at < p->end)
        props_skip_newline(p);
    *key_end = 0;
    *p->out = 0;
    return 0;
}
