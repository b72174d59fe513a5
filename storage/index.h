/*
 * index.h - the sparse indexes of a segment: .index (offset to position) and .timeindex (timestamp
 * to offset).
 *
 * Owner: whoever owns the memory. Pure functions over arrays in the file's own format:
 *   .index      entries of 8 bytes:  i32 offset - base, i32 position; one per index.interval.bytes
 *   .timeindex  entries of 12 bytes: i64 timestamp, i32 offset - base; timestamps rise strictly
 * Sources: Kafka OffsetIndex.java, TimeIndex.java; zero tails (preallocated files) are tolerated.
 */
#ifndef MILLRACE_INDEX_H
#define MILLRACE_INDEX_H

#include "bytes.h"

enum { INDEX_ENTRY = 8, TIME_INDEX_ENTRY = 12 };

static inline void index_put(uint8_t *to, int32_t relative, uint32_t pos)
{
    store_u32(to, (uint32_t)relative);
    store_u32(to + 4, pos);
}

static inline void time_index_put(uint8_t *to, int64_t timestamp, int32_t relative)
{
    store_u64(to, (uint64_t)timestamp);
    store_u32(to + 8, (uint32_t)relative);
}

/* Number of real entries: stops at a zero tail or the first entry that does not rise. */
uint32_t index_count(struct bytes index);
uint32_t time_index_count(struct bytes index);

/* Position of the largest entry whose offset <= base + relative; 0 when there is none. Binary
 * search. */
uint32_t index_find(struct bytes index, int32_t relative);
/* The largest entry with timestamp <= `timestamp`: *relative its offset (0 when none; *found
 * tells). */
bool time_index_find(struct bytes index, int64_t timestamp, int32_t *relative, int64_t *found);
/* The last entry: the segment's largest timestamp; false when empty. */
bool time_index_last(struct bytes index, int64_t *timestamp, int32_t *relative);

#endif
