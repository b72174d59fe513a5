/*
 * offsets.h - the committed offsets of one group, by topic and partition.
 *
 * Owner: control.
 */
#ifndef MILLRACE_OFFSETS_H
#define MILLRACE_OFFSETS_H

#include "bytes.h"
#include "errors.h"

/* One committed offset. Owner: its offsets; topic and metadata point behind the struct. */
struct offset {
    struct bytes topic, metadata;
    struct uuid topic_id; /* zero: not known (written by name before 4.1, or by a transaction) */
    int32_t partition, leader_epoch; /* -1: none */
    int64_t offset;
    int64_t commit_ms, expire_ms; /* -1: expires by the broker's retention */
};

struct offsets;

nodiscard int offsets_new(struct offsets **out, uint64_t seed);
void offsets_free(struct offsets *offsets);
uint32_t offsets_n(const struct offsets *offsets);
uint64_t offsets_bytes(const struct offsets *offsets); /* heap it holds */
/* NULL: none. Good until the next change. */
const struct offset *offsets_find(const struct offsets *offsets, struct bytes topic,
                                  int32_t partition);
/* A copy of `from` takes the place of what was there. E_NO_MEMORY: nothing has changed. */
nodiscard int offsets_set(struct offsets *offsets, const struct offset *from);
/* False: there was none. */
bool offsets_remove(struct offsets *offsets, struct bytes topic, int32_t partition);
/* The next one from place `*at` (0 at first), in no order; NULL at the end. Nothing may change
 * meanwhile. */
const struct offset *offsets_next(const struct offsets *offsets, uint32_t *at);
/* All, by topic and partition; `to` has offsets_n places. E_NO_MEMORY. */
nodiscard int offsets_sorted(const struct offsets *offsets, const struct offset **to);

#endif
