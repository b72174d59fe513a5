/*
 * table.h - rows of cells, printed in aligned columns.
 *
 * Owner: the caller.
 */
#ifndef MILLRACE_TABLE_H
#define MILLRACE_TABLE_H

#include <stdio.h>

#include "base.h"

enum { TABLE_COLUMNS_MAX = 12 };

/* Owner: the caller; the cells belong to the table. */
struct table {
    uint32_t columns_n;
    uint32_t cells_n, cells_max;
    char **cells;        /* row by row; the first row is the heading */
    uint32_t right_mask; /* bit i: column i is a number, aligned right */
    bool is_short;       /* memory ran out: what is printed says so */
};

/* `heading` holds the columns' names, separated by '|'; one that begins with '>' is aligned right.
 */
void table_init(struct table *t, const char *heading);
void table_fini(struct table *t);
void table_cell(struct table *t, const char *format, ...) printf_like(2, 3);
uint32_t table_rows(const struct table *t); /* without the heading */
/* Two blanks between columns, none at the end of a line. Control characters in cells are shown as
 * '?'. */
void table_print(const struct table *t, FILE *to);

#endif
