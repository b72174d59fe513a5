/*
 * index.c - look-ups in .index and .timeindex.
 *
 * Owner: whoever owns the memory. Formats: index.h.
 *
 * A crash or preallocation leaves zeros behind the entries, and a damaged file may hold anything,
 * so the number of real entries is found first (*_count): the longest prefix that rises. Look-ups
 * expect a prefix like that (bytes = count * entry size) and search it by halves; what follows a
 * partial entry is ignored.
 *
 * An entry of zeros is real only at place 0 of .timeindex (timestamp 0 at offset 0) or .index
 * never: the first batch of a segment has no entry, so position 0 cannot occur.
 */
#include "index.h"

static int32_t index_offset(struct bytes index, uint32_t i)
{
    return load_i32(index.ptr + (uint64_t)i * INDEX_ENTRY);
}

static uint32_t index_pos(struct bytes index, uint32_t i)
{
    return load_u32(index.ptr + (uint64_t)i * INDEX_ENTRY + 4);
}

uint32_t index_count(struct bytes index)
{
    uint32_t n = index.n / INDEX_ENTRY;
    int32_t last_offset = -1;
    uint32_t last_pos = 0;
    for (uint32_t i = 0; i < n; i++) {
        int32_t offset = index_offset(index, i);
        uint32_t pos = index_pos(index, i);
        if (offset <= last_offset || pos <= last_pos || pos > INT32_MAX)
            return i;
        last_offset = offset;
        last_pos = pos;
    }
    return n;
}

uint32_t index_find(struct bytes index, int32_t relative)
{
    uint32_t low = 0, high = index.n / INDEX_ENTRY; /* the answer is the last entry of [0, low) */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (index_offset(index, middle) <= relative)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? 0 : index_pos(index, low - 1);
}

static int64_t time_index_time(struct bytes index, uint32_t i)
{
    return load_i64(index.ptr + (uint64_t)i * TIME_INDEX_ENTRY);
}

static int32_t time_index_offset(struct bytes index, uint32_t i)
{
    return load_i32(index.ptr + (uint64_t)i * TIME_INDEX_ENTRY + 8);
}

uint32_t time_index_count(struct bytes index)
{
    uint32_t n = index.n / TIME_INDEX_ENTRY;
    for (uint32_t i = 0; i < n; i++) {
        int64_t time = time_index_time(index, i);
        int32_t offset = time_index_offset(index, i);
        if (time < 0 || offset < 0 || (time == 0 && offset == 0 && i > 0))
            return i;
        if (i > 0 &&
            (time <= time_index_time(index, i - 1) || offset < time_index_offset(index, i - 1)))
            return i;
        /* A single zero entry with nothing but zeros behind it is a preallocated file. */
        if (time == 0 && offset == 0 && (n == 1 || time_index_time(index, 1) == 0))
            return 0;
    }
    return n;
}

bool time_index_find(struct bytes index, int64_t timestamp, int32_t *relative, int64_t *found)
{
    uint32_t low = 0, high = index.n / TIME_INDEX_ENTRY;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (time_index_time(index, middle) <= timestamp)
            low = middle + 1;
        else
            high = middle;
    }
    *relative = 0;
    *found = -1;
    if (low == 0)
        return false;
    *relative = time_index_offset(index, low - 1);
    *found = time_index_time(index, low - 1);
    return true;
}

bool time_index_last(struct bytes index, int64_t *timestamp, int32_t *relative)
{
    uint32_t n = index.n / TIME_INDEX_ENTRY;
    *timestamp = -1;
    *relative = 0;
    if (n == 0)
        return false;
    *timestamp = time_index_time(index, n - 1);
    *relative = time_index_offset(index, n - 1);
    return true;
}
