/*
 * dump_row.c - one line of a dump, as text or JSON.
 *
 * Owner: the dump.
 */
#include "dump_row.h"

#include <stdarg.h>

enum { DAMAGE_TEXT_MAX = 256 };

/* Length of the UTF-8 character at p, 0 when it is none (RFC 3629: no overlong forms, no
 * surrogates). */
static uint32_t utf8_at(const uint8_t *p, uint32_t n)
{
    if (p[0] < 0x80)
        return 1;
    uint32_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || length > n)
        return 0;
    for (uint32_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool is_overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool is_outside = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
    return is_overlong || is_outside ? 0 : length;
}

static bool is_utf8(struct bytes v)
{
    for (uint32_t at = 0, n; at < v.n; at += n)
        if ((n = utf8_at(v.ptr + at, v.n - at)) == 0)
            return false;
    return true;
}

static void put_escaped(FILE *to, struct bytes v, bool is_json)
{
    putc('"', to);
    for (uint32_t at = 0; at < v.n;) {
        uint8_t c = v.ptr[at];
        uint32_t n = utf8_at(v.ptr + at, v.n - at);
        if (n > 1)
            fwrite(v.ptr + at, 1, n, to);
        else if (c == '"' || c == '\\')
            fprintf(to, "\\%c", c);
        else if (c == '\n' || c == '\t' || c == '\r')
            fprintf(to, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else if (n == 1 && c >= 0x20 && c != 0x7f)
            putc(c, to);
        else
            fprintf(to, is_json ? "\\u%04x" : "\\x%02x", c);
        at += n == 0 ? 1 : n;
    }
    putc('"', to);
}

void row_begin(struct dump *d, const char *kind, bool is_shown)
{
    d->is_hidden = !is_shown || d->options->sink != NULL;
    if (!d->is_hidden)
        fprintf(d->to, d->options->is_json ? "{\"row\":\"%s\"" : "%s", kind);
}

static void put_name(struct dump *d, const char *name, const char *suffix)
{
    fprintf(d->to, d->options->is_json ? ",\"%s%s\":" : " %s%s ", name, suffix);
}

void row_int(struct dump *d, const char *name, int64_t v)
{
    if (d->is_hidden)
        return;
    put_name(d, name, "");
    fprintf(d->to, "%lld", (long long)v);
}

void row_word(struct dump *d, const char *name, const char *word)
{
    if (d->is_hidden)
        return;
    put_name(d, name, "");
    fprintf(d->to, d->options->is_json ? "\"%s\"" : "%s", word);
}

void row_bool(struct dump *d, const char *name, bool v)
{
    if (d->is_hidden)
        return;
    put_name(d, name, "");
    fputs(v ? "true" : "false", d->to);
}

static void put_bytes(struct dump *d, struct bytes v, bool is_hex)
{
    if (v.ptr == NULL) {
        fputs("null", d->to);
    } else if (is_hex) {
        putc('"', d->to);
        for (uint32_t i = 0; i < v.n; i++)
            fprintf(d->to, "%02x", v.ptr[i]);
        putc('"', d->to);
    } else {
        put_escaped(d->to, v, d->options->is_json);
    }
}

void row_bytes(struct dump *d, const char *name, struct bytes v)
{
    uint32_t max = d->options->value_bytes_max;
    if (d->is_hidden)
        return;
    bool is_hex = d->options->is_json && v.ptr != NULL && !is_utf8(v);
    if (max > 0 && v.n > max) {
        v.n = max;
        /* A cut never splits a character: the rest of it goes too. */
        while (!is_hex && v.n > 0 && (v.ptr[v.n] & 0xc0) == 0x80)
            v.n--;
    }
    put_name(d, name, is_hex ? "_hex" : "");
    put_bytes(d, v, is_hex);
}

/* A header: in JSON ["key","value"], where {"hex":"ff"} stands for what is not UTF-8; in text
 * key=value. */
void row_pair(struct dump *d, bool is_first, struct bytes key, struct bytes value)
{
    const struct bytes parts[2] = {key, value};
    bool is_json = d->options->is_json;
    if (d->is_hidden)
        return;
    fputs(!is_json ? " " : is_first ? "[" : ",[", d->to);
    for (int i = 0; i < 2; i++) {
        bool is_hex = is_json && parts[i].ptr != NULL && !is_utf8(parts[i]);
        fputs(i == 0 ? "" : is_json ? "," : "=", d->to);
        fputs(is_hex ? "{\"hex\":" : "", d->to);
        put_bytes(d, parts[i], is_hex);
        fputs(is_hex ? "}" : "", d->to);
    }
    fputs(is_json ? "]" : "", d->to);
}

void row_pairs_begin(struct dump *d, const char *name)
{
    if (!d->is_hidden)
        fprintf(d->to, d->options->is_json ? ",\"%s\":[" : " %s", name);
}

void row_pairs_end(struct dump *d)
{
    if (!d->is_hidden && d->options->is_json)
        putc(']', d->to);
}

void row_end(struct dump *d)
{
    if (!d->is_hidden)
        fputs(d->options->is_json ? "}\n" : "\n", d->to);
}

bool row_is_wanted(struct dump *d, int64_t offset)
{
    if (offset < d->options->offset_min ||
        (d->options->rows_max > 0 && d->rows_n >= d->options->rows_max))
        return false;
    d->rows_n++;
    return true;
}

void row_damage(struct dump *d, uint64_t pos, const char *format, ...)
{
    char text[DAMAGE_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    d->sum->damages_n++;
    if (d->options->sink != NULL) {
        d->options->sink->damage(d->options->sink->context, pos, text);
        return;
    }
    row_begin(d, "damage", true);
    row_int(d, "pos", (int64_t)pos);
    put_name(d, "what", "");
    put_escaped(d->to, bytes_of_string(text), d->options->is_json);
    row_end(d);
}
