/*
 * regex.c - RE2/J's syntax through PCRE2. The only file that knows PCRE2.
 *
 * Owner: the caller.
 *
 * The scan in front walks the pattern once and knows escapes, classes and groups; it refuses what
 * PCRE2 has and RE2 has not, with RE2/J's words. Everything else that is wrong PCRE2 finds; its
 * error numbers are translated.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "regex.h"

#include <pcre2.h>
#include <stdlib.h>

struct regex {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
    uint32_t hard_n; /* names that used up their steps */
};

static const char perl[] = "invalid or unsupported Perl syntax",
                  escape[] = "invalid escape sequence",
                  nested[] = "invalid nested repetition operator";

/* ── what RE2 has not ── */

static bool is_one_of(uint8_t c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Behind "(?": flags, ':', or a named group. */
static const char *group_fault(struct bytes p, uint32_t at)
{
    uint32_t name = at + (at + 1 < p.n && p.ptr[at] == 'P' && p.ptr[at + 1] == '<');
    if (name < p.n && p.ptr[name] == '<') {
        uint32_t end = name + 1;
        while (end < p.n && is_word(p.ptr[end]))
            end++;
        return end < p.n && end > name + 1 && p.ptr[end] == '>' ? NULL : "invalid named capture";
    }
    while (at < p.n && is_one_of(p.ptr[at], "imsU-"))
        at++;
    return at < p.n && is_one_of(p.ptr[at], ":)") ? NULL : perl;
}

/* Repetitions that may not follow one another: a**, a*+, a{2}{3}; a*? is lazy and may. */
static bool is_repeat(struct bytes p, uint32_t at, uint32_t *end)
{
    if (at < p.n && is_one_of(p.ptr[at], "*+?")) {
        *end = at + 1;
        return true;
    }
    if (at >= p.n || p.ptr[at] != '{')
        return false;
    uint32_t i = at + 1, digits_n = 0;
    for (; i < p.n && ((p.ptr[i] >= '0' && p.ptr[i] <= '9') || (p.ptr[i] == ',' && digits_n > 0));
         i++)
        digits_n++;
    *end = i + 1;
    return i < p.n && p.ptr[i] == '}' && digits_n > 0;
}

static const char *scan(struct bytes p)
{
    static const char escapes[] = "aAbBCdDfnrsStvwWxzQEpP";
    bool in_class = false;
    for (uint32_t i = 0, end; i < p.n; i++) {
        uint8_t c = p.ptr[i];
        if (c == 0)
            return perl;
        if (c == '\\') {
            if (++i == p.n)
                return "trailing backslash at end of expression";
            c = p.ptr[i];
            bool is_letter =
                (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '1' && c <= '9');
            if (c == 'C' || (is_letter && !is_one_of(c, escapes)))
                return escape;
        } else if (in_class) {
            in_class = c != ']';
        } else if (c == '[') {
            in_class = true;
            i += i + 1 < p.n && p.ptr[i + 1] == '^';
            i += i + 1 < p.n && p.ptr[i + 1] == ']';
        } else if (c == '(' && i + 1 < p.n && (p.ptr[i + 1] == '?' || p.ptr[i + 1] == '*')) {
            const char *why = p.ptr[i + 1] == '*' ? "missing argument to repetition operator"
                                                  : group_fault(p, i + 2);
            if (why != NULL)
                return why;
        } else if (i > 0 && is_repeat(p, i, &end)) {
            uint32_t next = end, ignored;
            next += next < p.n && p.ptr[next] == '?';
            if (is_repeat(p, next, &ignored))
                return nested;
            i = next - 1;
        }
    }
    return NULL;
}

static const char *fault(int error)
{
    switch (error) {
    case PCRE2_ERROR_MISSING_SQUARE_BRACKET: return "missing closing ]";
    case PCRE2_ERROR_MISSING_CLOSING_PARENTHESIS: return "missing closing )";
    case PCRE2_ERROR_UNMATCHED_CLOSING_PARENTHESIS: return "regexp/syntax: internal error";
    case PCRE2_ERROR_QUANTIFIER_INVALID: return "missing argument to repetition operator";
    case PCRE2_ERROR_QUANTIFIER_OUT_OF_ORDER:
    case PCRE2_ERROR_QUANTIFIER_TOO_BIG: return "invalid repeat count";
    case PCRE2_ERROR_CLASS_RANGE_ORDER:
    case PCRE2_ERROR_CLASS_INVALID_RANGE: return "invalid character class range";
    case PCRE2_ERROR_UNKNOWN_POSIX_CLASS: return "invalid character class range";
    case PCRE2_ERROR_END_BACKSLASH: return "trailing backslash at end of expression";
    case PCRE2_ERROR_PATTERN_TOO_LARGE: return "expression too large";
    case PCRE2_ERROR_PARENTHESES_NEST_TOO_DEEP: return "expression nests too deeply";
    case PCRE2_ERROR_HEAP_FAILED: return NULL;
    default: return error >= 100 && error < 200 ? escape : "invalid UTF-8";
    }
}

/* ── compile and match ── */

static pcre2_code *compile(struct bytes pattern, const char **why)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    int error = PCRE2_ERROR_HEAP_FAILED;
    size_t at;
    pcre2_code *code = NULL;
    if (context != NULL) {
        pcre2_set_parens_nest_limit(context, REGEX_NEST_MAX);
        code = pcre2_compile(pattern.ptr, pattern.n,
                             PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_UTF |
                                 PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE,
                             &error, &at, context);
        pcre2_compile_context_free(context);
    }
    *why = code == NULL ? fault(error) : NULL;
    return code;
}

struct regex *regex_new(struct bytes pattern, const char **why)
{
    *why = pattern.n > REGEX_PATTERN_MAX ? "expression too large" : scan(pattern);
    pcre2_code *code = *why == NULL ? compile(pattern, why) : NULL;
    struct regex *regex = code == NULL ? NULL : calloc(1, sizeof *regex);
    if (regex == NULL) {
        pcre2_code_free(code);
        return NULL;
    }
    regex->code = code;
    regex->data = pcre2_match_data_create_from_pattern(code, NULL);
    regex->context = pcre2_match_context_create(NULL);
    if (regex->data == NULL || regex->context == NULL) {
        regex_free(regex);
        return NULL;
    }
    pcre2_set_match_limit(regex->context, REGEX_STEPS_MAX);
    pcre2_set_depth_limit(regex->context, REGEX_DEPTH_MAX);
    return regex;
}

void regex_free(struct regex *regex)
{
    if (regex == NULL)
        return;
    pcre2_code_free(regex->code);
    pcre2_match_data_free(regex->data);
    pcre2_match_context_free(regex->context);
    free(regex);
}

bool regex_matches(struct regex *regex, struct bytes name)
{
    if (regex->hard_n == REGEX_GIVE_UP_N)
        return false;
    int rc = pcre2_match(regex->code, name.ptr, name.n, 0, 0, regex->data, regex->context);
    if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT)
        regex->hard_n++;
    return rc >= 0;
}
