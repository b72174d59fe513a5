/*
 * aborted.h - the aborted transactions of a log: what a reader of committed records must skip, and
 * .txnindex.
 *
 * Owner: home. An array ordered by last offset (the order in which abort markers were appended).
 *
 * .txnindex, 34 bytes per entry:
 *    0 version i16 = 0      2 producerId i64   10 firstOffset i64
 *   18 lastOffset i64      26 lastStableOffset i64
 *
 * `ended` holds transactions whose marker is appended but not yet below the high watermark: they
 * hold back the last stable offset as if they were open. Source: Kafka TransactionIndex.java,
 * ProducerStateManager.java.
 */
#ifndef MILLRACE_ABORTED_H
#define MILLRACE_ABORTED_H

#include "bytes.h"
#include "errors.h"
#include "storage.h"

enum { TXN_INDEX_ENTRY = 34 };

struct aborted_entry {
    int64_t producer_id, first_offset, last_offset, stable_offset;
};

struct aborted_ended {
    int64_t first_offset, last_offset;
};

struct aborted_list {
    struct aborted_entry *v; /* heap; NULL when empty */
    uint32_t n, max;
    struct aborted_ended *ended; /* heap */
    uint32_t ended_n, ended_max;
};

/* A transaction was aborted. E_NO_MEMORY leaves the list as it was. */
nodiscard int aborted_add(struct aborted_list *list, const struct aborted_entry *entry);
/* Room for one more of both kinds, so that the next add and end cannot fail. */
nodiscard int aborted_reserve(struct aborted_list *list);
/* A transaction ended with a marker at last_offset. */
nodiscard int aborted_end(struct aborted_list *list, int64_t first_offset, int64_t last_offset);
/* The high watermark moved: forgets ended transactions below it. */
void aborted_visible(struct aborted_list *list, int64_t high);
/* First offset of the oldest ended, not yet visible transaction; -1 for none. */
int64_t aborted_first_ended(const struct aborted_list *list);
/* Transactions that touch [from, to): how many; fills `out` (ordered by first offset) when it is
 * not NULL. */
uint32_t aborted_find(const struct aborted_list *list, int64_t from, int64_t to,
                      struct aborted *out);
/* Entries with last_offset below; at or beyond. */
void aborted_truncate_start(struct aborted_list *list, int64_t offset);
void aborted_truncate_end(struct aborted_list *list, int64_t offset);
/* Entries with last_offset in [from, to) as file content; bytes written. `to_file` NULL: only
 * counts. */
uint32_t aborted_encode(const struct aborted_list *list, int64_t from, int64_t to,
                        uint8_t *to_file);
/* Adds the entries of a file whose segment begins at `base_offset`. E_CORRUPT: nothing added. */
nodiscard int aborted_decode(struct aborted_list *list, struct bytes file, int64_t base_offset);
/* Of the entries with last_offset in [from, to) only the `n` of `kept` stay, in their order.
 * E_NO_MEMORY changes nothing. */
nodiscard int aborted_replace(struct aborted_list *list, int64_t from, int64_t to,
                              const struct aborted_entry *kept, uint32_t n);
void aborted_fini(struct aborted_list *list);

#endif
