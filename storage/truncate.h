/*
 * truncate.h - cutting a log that nobody has open.
 *
 * Owner: a helper, or main before the threads run: blocks on the disk.
 */
#ifndef MILLRACE_TRUNCATE_H
#define MILLRACE_TRUNCATE_H

#include "disk.h"

/* Cuts the log in `directory` below `offset`, and below the end of its own largest epoch up to
 * `epoch` (-1: any). *end: where it ends now; a batch that reached beyond is gone as a whole.
 * Nothing happens when it ends earlier. The next opening must be one after a crash (is_clean
 * false). E_OFFSET_RANGE: that is below its first segment; E_CORRUPT: no epochs can be read;
 * E_BAD_MAGIC, E_IO, E_NO_MEMORY, E_NOT_FOUND. */
nodiscard int log_truncate(struct disk *disk, const char *directory, int32_t epoch, int64_t offset,
                           int64_t *end);

#endif
