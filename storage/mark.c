/*
 * mark.c - one offset in a small file. See mark.h.
 *
 * Owner: the caller.
 */
#include "mark.h"

#include <inttypes.h>
#include <stdio.h>

#include "check.h"
#include "disk_tools.h"
#include "text.h"

const char mark_start[] = "log-start-offset", mark_compacted[] = "compacted-offset";

struct bytes mark_text(char to[MARK_BYTES_MAX], int64_t offset)
{
    check(offset >= 0);
    int n = snprintf(to, MARK_BYTES_MAX, "0\n%" PRId64 "\n", offset);
    return bytes_of(to, (size_t)n);
}

int mark_parse(struct bytes text, int64_t *offset)
{
    struct bytes line;
    int64_t version;
    if (text.n == 0 || text.ptr[text.n - 1] != '\n')
        return E_CORRUPT;
    if (!text_line(&text, &line) || !text_number(&line, 0, 0, &version) || line.n > 0)
        return E_CORRUPT;
    if (!text_line(&text, &line) || !text_number(&line, 0, INT64_MAX, offset) || line.n > 0)
        return E_CORRUPT;
    return text.n == 0 ? 0 : E_CORRUPT;
}

int mark_read(struct disk *disk, const char *directory, const char *name, int64_t *offset)
{
    char path[DISK_PATH_MAX];
    struct bytes text;
    *offset = 0;
    int error = path_join(path, directory, name);
    if (error == 0)
        error = file_read(disk, path, MARK_BYTES_MAX, &text);
    if (error == E_NOT_FOUND)
        return 0;
    if (error < 0)
        return error == E_TOO_LARGE ? E_CORRUPT : error;
    error = mark_parse(text, offset);
    file_read_free(&text);
    return error;
}

int mark_write(struct disk *disk, const char *directory, const char *name, int64_t offset)
{
    char text[MARK_BYTES_MAX];
    return file_replace(disk, directory, name, mark_text(text, offset));
}
