/*
 * table.c - rows of cells, printed in aligned columns. See table.h.
 *
 * Owner: the caller.
 *
 * Widths count characters, not bytes: the continuation bytes of UTF-8 take no room.
 */
#include "table.h"

#include <stdarg.h>
#include <stdlib.h>

#include "check.h"

static void add(struct table *t, char *cell)
{
    if (t->cells_n == t->cells_max) {
        uint32_t more = t->cells_max == 0 ? 64 : t->cells_max * 2;
        char **cells = realloc(t->cells, more * sizeof *cells);
        if (cells == NULL) {
            free(cell);
            t->is_short = true;
            return;
        }
        t->cells = cells;
        t->cells_max = more;
    }
    t->cells[t->cells_n++] = cell;
}

void table_init(struct table *t, const char *heading)
{
    *t = (struct table){0};
    for (const char *p = heading;;) {
        size_t n = strcspn(p, "|");
        check(t->columns_n < TABLE_COLUMNS_MAX);
        bool is_right = *p == '>';
        if (is_right)
            t->right_mask |= 1u << t->columns_n;
        t->columns_n++;
        char *cell = strndup(p + is_right, n - is_right);
        if (cell == NULL)
            t->is_short = true;
        else
            add(t, cell);
        if (p[n] == 0)
            return;
        p += n + 1;
    }
}

void table_fini(struct table *t)
{
    for (uint32_t i = 0; i < t->cells_n; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}

void table_cell(struct table *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *cell = NULL;
    if (t->is_short || vasprintf(&cell, format, arguments) < 0)
        t->is_short = true;
    else
        add(t, cell);
    va_end(arguments);
}

uint32_t table_rows(const struct table *t)
{
    return t->cells_n / t->columns_n - 1;
}

static uint32_t width_of(const char *cell)
{
    uint32_t n = 0;
    for (; *cell != 0; cell++)
        n += ((uint8_t)*cell & 0xc0) != 0x80;
    return n;
}

static void print_cell(const char *cell, uint32_t width, bool is_right, bool is_last, FILE *to)
{
    uint32_t blanks = width - width_of(cell);
    if (is_right)
        fprintf(to, "%*s", (int)blanks, "");
    for (; *cell != 0; cell++)
        fputc((uint8_t)*cell < ' ' || *cell == 127 ? '?' : *cell, to);
    if (!is_last)
        fprintf(to, "%*s", (int)(is_right ? 0 : blanks) + 2, "");
    else
        fputc('\n', to);
}

void table_print(const struct table *t, FILE *to)
{
    uint32_t widths[TABLE_COLUMNS_MAX] = {0};
    uint32_t whole = t->cells_n / t->columns_n * t->columns_n;
    for (uint32_t i = 0; i < whole; i++) {
        uint32_t width = width_of(t->cells[i]);
        if (widths[i % t->columns_n] < width)
            widths[i % t->columns_n] = width;
    }
    for (uint32_t i = 0; i < whole; i++) {
        uint32_t column = i % t->columns_n;
        print_cell(t->cells[i], widths[column], (t->right_mask >> column & 1) != 0,
                   column + 1 == t->columns_n, to);
    }
    if (t->is_short)
        fputs("(memory ran out: the table is not complete)\n", to);
}
