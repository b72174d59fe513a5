/*
 * format.c - how a consumed record is printed. See format.h.
 *
 * Owner: the caller.
 */
#include "format.h"

#include <inttypes.h>
#include <stdlib.h>

#include "parse.h"

static bool add(struct format *f, char letter, struct bytes literal)
{
    if (letter == 0 && literal.n == 0)
        return true;
    if (f->parts_n == FORMAT_PARTS_MAX)
        return false;
    f->parts[f->parts_n++] = (struct format_part){letter, literal};
    return true;
}

int format_init(struct format *f, const char *text, char *why, size_t why_n)
{
    *f = (struct format){.text = strdup(text)};
    size_t n = 0;
    if (f->text == NULL || !parse_escapes(f->text, &n)) {
        snprintf(why, why_n, "an escape that is none of \\n \\t \\r \\0 \\\\ \\xHH");
        goto err;
    }
    for (size_t at = 0; at < n;) {
        const char *percent = memchr(f->text + at, '%', n - at);
        size_t literal_n = percent == NULL ? n - at : (size_t)(percent - f->text) - at;
        bool is_fitting = add(f, 0, bytes_of(f->text + at, literal_n));
        at += literal_n;
        if (percent != NULL) {
            char letter = at + 1 < n ? percent[1] : 0;
            if (letter == 0 || strchr("tpoksKSTDh%", letter) == NULL) {
                snprintf(why, why_n, "%%%c is none of %%t %%p %%o %%k %%s %%K %%S %%T %%D %%h %%%%",
                         letter);
                goto err;
            }
            is_fitting = is_fitting && add(f, letter, bytes_of(NULL, 0));
            at += 2;
        }
        if (!is_fitting) {
            snprintf(why, why_n, "more than %d parts", FORMAT_PARTS_MAX);
            goto err;
        }
    }
    return 0;
err:
    format_fini(f);
    return -1;
}

void format_fini(struct format *f)
{
    free(f->text);
    *f = (struct format){0};
}

static void print_bytes(struct bytes b, FILE *to)
{
    if (b.n > 0)
        fwrite(b.ptr, 1, b.n, to);
}

static void print_headers(const struct format_record *r, FILE *to)
{
    for (uint32_t i = 0; i < r->headers_n; i++) {
        fprintf(to, "%s%s=", i == 0 ? "" : ",", r->headers[i].name);
        if (r->headers[i].value.ptr == NULL)
            fputs("NULL", to);
        print_bytes(r->headers[i].value, to);
    }
}

static void print_length(struct bytes b, FILE *to)
{
    fprintf(to, "%" PRId64, b.ptr == NULL ? -1 : (int64_t)b.n);
}

static void print_part(char letter, const struct format_record *r, FILE *to)
{
    char date[TIME_TEXT_MAX];
    switch (letter) {
    case 't': fputs(r->topic, to); break;
    case 'p': fprintf(to, "%" PRId32, r->partition); break;
    case 'o': fprintf(to, "%" PRId64, r->offset); break;
    case 'T': fprintf(to, "%" PRId64, r->timestamp_ms); break;
    case 'D':
        time_text(r->timestamp_ms, date);
        fputs(date, to);
        break;
    case 'k': print_bytes(r->key, to); break;
    case 's': print_bytes(r->value, to); break;
    case 'K': print_length(r->key, to); break;
    case 'S': print_length(r->value, to); break;
    case 'h': print_headers(r, to); break;
    default: fputc('%', to); break;
    }
}

void format_print(const struct format *f, const struct format_record *r, FILE *to)
{
    for (uint32_t i = 0; i < f->parts_n; i++) {
        const struct format_part *part = &f->parts[i];
        if (part->letter == 0)
            print_bytes(part->literal, to);
        else
            print_part(part->letter, r, to);
    }
}
