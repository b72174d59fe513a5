/*
 * epochs.h - which leader epoch wrote from which offset on (KIP-101), and its file
 * leader-epoch-checkpoint.
 *
 * Owner: home. An array that rises in both columns; one entry per epoch that appended something.
 * Kept small: a log has as many entries as it had unclean starts with appends. Source: Kafka
 * LeaderEpochFileCache.java.
 */
#ifndef MILLRACE_EPOCHS_H
#define MILLRACE_EPOCHS_H

#include "bytes.h"
#include "errors.h"

struct epoch_entry {
    int32_t epoch;
    int64_t start_offset;
};

struct epochs {
    struct epoch_entry *v; /* heap; NULL when empty */
    uint32_t n, max;
};

/* `epoch` is the newest there is, and began at or before `offset`: nothing to note. */
static inline bool epochs_is_noted(const struct epochs *e, int32_t epoch, int64_t offset)
{
    return e->n > 0 && e->v[e->n - 1].epoch == epoch && e->v[e->n - 1].start_offset <= offset;
}
/* Notes that `epoch` appended at `offset`: adds an entry when the epoch is new. True when something
 * changed (the file must be written). E_NO_MEMORY leaves it as it was. */
nodiscard int epochs_note(struct epochs *e, int32_t epoch, int64_t offset, bool *changed);
void epochs_truncate_end(struct epochs *e,
                         int64_t offset); /* drops entries that start at or beyond */
void epochs_truncate_start(struct epochs *e,
                           int64_t offset); /* the entry below is moved to offset    */
/* The largest epoch <= `epoch` and the start of the next (log_end when it is the last); -1, -1 when
 * none. */
void epochs_end_of(const struct epochs *e, int32_t epoch, int64_t log_end, int32_t *found,
                   int64_t *end);
int32_t epochs_latest(const struct epochs *e); /* -1 when empty */
/* The text of the file; `to` has room for epochs_text_max(e); returns bytes. E_CORRUPT for a
 * malformed line. */
uint64_t epochs_text_max(const struct epochs *e);
uint64_t epochs_text(const struct epochs *e, char *to);
nodiscard int epochs_parse(struct epochs *e, struct bytes text);
void epochs_fini(struct epochs *e);

#endif
