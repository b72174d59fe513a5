/*
 * parse.c - numbers, times, addresses, positions and escapes of a command line. See parse.h.
 *
 * Owner: immutable (pure functions).
 *
 * Dates are turned into days by the count of days from 1970-01-01 in the proleptic Gregorian
 * calendar, with years that begin in March, so that the leap day is the last of its year.
 */
#include "parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

bool parse_number(const char *text, int64_t low, int64_t high, int64_t *out)
{
    if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
        return false;
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno != 0 || *end != 0 || end == text || v < low || v > high)
        return false;
    *out = v;
    return true;
}

bool parse_duration_ms(const char *text, int *out)
{
    static const struct {
        const char *unit;
        int ms;
    } units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    const int64_t day_ms = 86400000;
    size_t digits_n = strspn(text, "0123456789");
    char digits[16];
    if (digits_n == 0 || digits_n >= sizeof digits)
        return false;
    memcpy(digits, text, digits_n);
    digits[digits_n] = 0;
    int64_t n;
    if (!parse_number(digits, 1, day_ms, &n))
        return false;
    for (size_t i = 0; i < array_n(units); i++)
        if (strcmp(text + digits_n, units[i].unit) == 0 && n * units[i].ms <= day_ms) {
            *out = (int)(n * units[i].ms);
            return true;
        }
    return false;
}

static const struct {
    const char *word; /* alone, "7d" */
    char letter;      /* in ISO 8601 */
    bool is_time;     /* behind the T */
    int64_t ms;
} PERIODS[] = {{"d", 'D', false, 86400000},
               {"h", 'H', true, 3600000},
               {"m", 'M', true, 60000},
               {"s", 'S', true, 1000},
               {"ms", 0, false, 1}};

/* "1.5" at *p, times unit; *p moves behind the digits. */
static bool parse_amount(const char **p, int64_t unit_ms, int64_t *ms)
{
    int64_t whole = 0, scale = unit_ms;
    size_t n = strspn(*p, "0123456789");
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (*p)[i] - '0', &whole))
            return false;
    *p += n;
    if (__builtin_mul_overflow(whole, unit_ms, ms))
        return false;
    if (**p != '.')
        return true;
    n = strspn(++*p, "0123456789");
    for (size_t i = 0; i < n && scale > 1; i++) {
        scale /= 10;
        *ms += ((*p)[i] - '0') * scale;
    }
    *p += n;
    return n > 0;
}

/* How many bytes of text are one amount: "1.5". */
static size_t amount_n(const char *text)
{
    return strspn(text, "0123456789.");
}

static bool parse_iso_period_ms(const char *p, int64_t *out)
{
    bool is_time = false;
    size_t unit = 0, parts_n = 0;
    int64_t ms;
    *out = 0;
    for (; *p != 0; p++, parts_n++) {
        if (*p == 'T' && !is_time) {
            is_time = true;
            p++;
        }
        char letter = p[amount_n(p)];
        while (unit < array_n(PERIODS) &&
               (letter == 0 || PERIODS[unit].letter != letter || PERIODS[unit].is_time != is_time))
            unit++;
        if (unit == array_n(PERIODS) || !parse_amount(&p, PERIODS[unit++].ms, &ms) ||
            *p != letter || __builtin_add_overflow(*out, ms, out))
            return false;
    }
    return parts_n > 0;
}

bool parse_period_ms(const char *text, int64_t *out)
{
    int64_t ms;
    if (text[0] == 'P') {
        if (!parse_iso_period_ms(text + 1, &ms))
            return false;
        *out = ms;
        return true;
    }
    for (size_t i = 0; i < array_n(PERIODS); i++) {
        const char *p = text;
        if (strcmp(text + amount_n(text), PERIODS[i].word) != 0)
            continue;
        if (!parse_amount(&p, PERIODS[i].ms, &ms) || strcmp(p, PERIODS[i].word) != 0)
            return false;
        *out = ms;
        return true;
    }
    return false;
}

bool parse_assignment(const char *text, struct bytes *key, struct bytes *value)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return false;
    *key = bytes_of(text, (size_t)(equals - text));
    *value = bytes_of_string(equals + 1);
    return true;
}

bool parse_next_address(const char **list, struct parse_address *out)
{
    const uint16_t default_port = 9092;
    const char *p = *list, *host = p;
    size_t all_n = strcspn(p, ","), host_n;
    const char *rest;
    if (all_n == 0)
        return false;
    if (p[0] == '[') {
        const char *close = memchr(p, ']', all_n);
        if (close == NULL)
            return false;
        host = p + 1;
        host_n = (size_t)(close - host);
        rest = close + 1;
    } else {
        host_n = strcspn(p, ":,");
        rest = p + host_n;
    }
    if (host_n == 0 || host_n >= sizeof out->host || (*rest != ':' && *rest != ',' && *rest != 0))
        return false;
    int64_t port = default_port;
    if (*rest == ':') {
        char digits[8];
        size_t n = (size_t)(p + all_n - rest) - 1;
        if (n == 0 || n >= sizeof digits)
            return false;
        memcpy(digits, rest + 1, n);
        digits[n] = 0;
        if (!parse_number(digits, 1, UINT16_MAX, &port))
            return false;
    }
    memcpy(out->host, host, host_n);
    out->host[host_n] = 0;
    out->port = (uint16_t)port;
    *list = p + all_n + (p[all_n] == ',');
    return true;
}

/* Days since 1970-01-01. */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool is_date(int year, int month, int day)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1)
        return false;
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= lengths[month - 1] + (month == 2 && is_leap);
}

/* ".123" -> 123; moves *p behind the digits. */
static bool parse_fraction_ms(const char **p, int *ms)
{
    *ms = 0;
    if (**p != '.')
        return true;
    size_t n = strspn(++*p, "0123456789");
    for (size_t i = 0; i < 3; i++)
        *ms = *ms * 10 + (i < n ? (*p)[i] - '0' : 0);
    *p += n;
    return n > 0;
}

/* "", "Z", "+02:00": minutes east of Greenwich. */
static bool parse_zone(const char *p, int *minutes)
{
    *minutes = 0;
    if (*p == 0 || strcmp(p, "Z") == 0)
        return true;
    int h, m, n = 0;
    if ((*p != '+' && *p != '-') || sscanf(p + 1, "%2d:%2d%n", &h, &m, &n) != 2 || n != 5 ||
        p[1 + n] != 0 || h < 0 || h > 14 || m < 0 || m > 59)
        return false;
    *minutes = (h * 60 + m) * (*p == '-' ? -1 : 1);
    return true;
}

static bool parse_time_ms(const char *text, int64_t *out)
{
    int year, month, day, n = 0, hour = 0, minute = 0, second = 0, ms = 0, zone = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &n) != 3 || n != 10 ||
        !is_date(year, month, day))
        return false;
    const char *p = text + n;
    if (*p == 'T' || *p == ' ') {
        n = 0;
        if (sscanf(++p, "%2d:%2d:%2d%n", &hour, &minute, &second, &n) != 3 || n != 8 || hour < 0 ||
            hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
            return false;
        p += n;
        if (!parse_fraction_ms(&p, &ms))
            return false;
    }
    if (!parse_zone(p, &zone))
        return false;
    int64_t minutes = days_of(year, month, day) * 1440 + hour * 60 + minute - zone;
    *out = (minutes * 60 + second) * 1000 + ms;
    return true;
}

bool parse_position(const char *text, struct position *out)
{
    int64_t v = 0;
    if (strcmp(text, "beginning") == 0)
        *out = (struct position){POSITION_BEGINNING, 0};
    else if (strcmp(text, "end") == 0)
        *out = (struct position){POSITION_END, 0};
    else if (text[0] == '@' && parse_number(text + 1, 0, INT64_MAX, &v))
        *out = (struct position){POSITION_TIME, v};
    else if (text[0] == '-' && parse_number(text, INT32_MIN, -1, &v))
        *out = (struct position){POSITION_TAIL, -v};
    else if (parse_number(text, 0, INT64_MAX, &v))
        *out = (struct position){POSITION_OFFSET, v};
    else if (parse_time_ms(text, &v))
        *out = (struct position){POSITION_TIME, v};
    else
        return false;
    return true;
}

void time_text(int64_t ms, char to[TIME_TEXT_MAX])
{
    const int64_t day_ms = 86400000, last_ms = 253402300799999; /* the end of the year 9999 */
    if (ms < 0 || ms > last_ms) {
        snprintf(to, TIME_TEXT_MAX, "-");
        return;
    }
    int64_t z = ms / day_ms + 719468, of_day = ms % day_ms;
    int64_t era = z / 146097, of_era = z - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_at = (int)(5 * of_year + 2) / 153;
    int day = (int)of_year - (153 * month_at + 2) / 5 + 1,
        month = month_at < 10 ? month_at + 3 : month_at - 9;
    int year = (int)(year_of_era + era * 400) + (month <= 2);
    snprintf(to, TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day,
             (int)(of_day / 3600000), (int)(of_day / 60000 % 60), (int)(of_day / 1000 % 60),
             (int)(of_day % 1000));
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool parse_escapes(char *text, size_t *n)
{
    static const char names[] = "ntr0\\", meanings[] = "\n\t\r\0\\";
    char *to = text;
    for (const char *p = text; *p != 0; p++) {
        if (*p != '\\') {
            *to++ = *p;
            continue;
        }
        const char *name = *++p == 0 ? NULL : strchr(names, *p);
        if (name != NULL) {
            *to++ = meanings[name - names];
        } else if (*p == 'x' && hex_value(p[1]) >= 0 && hex_value(p[2]) >= 0) {
            *to++ = (char)(hex_value(p[1]) * 16 + hex_value(p[2]));
            p += 2;
        } else {
            return false;
        }
    }
    *n = (size_t)(to - text);
    *to = 0;
    return true;
}

void base64_encode(struct bytes b, char *to)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    int bits_n = 0;
    for (uint32_t i = 0; i < b.n; i++) {
        bits = bits << 8 | b.ptr[i];
        for (bits_n += 8; bits_n >= 6; bits_n -= 6)
            *to++ = digits[bits >> (bits_n - 6) & 63];
    }
    if (bits_n > 0)
        *to++ = digits[bits << (6 - bits_n) & 63];
    for (uint32_t i = b.n; i % 3 != 0; i++)
        *to++ = '=';
    *to = 0;
}
