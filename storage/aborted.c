/*
 * aborted.c - the aborted transactions of a log, .txnindex, and transactions not yet below the
 * watermark.
 *
 * Owner: home. Arrays double; both are short: an entry per abort that retention still keeps.
 */
#include "aborted.h"

#include <stdlib.h>

static bool array_grow(void **v, uint32_t n, uint32_t *max, size_t size)
{
    if (n < *max)
        return true;
    uint32_t more = *max == 0 ? 8 : *max * 2;
    void *grown = realloc(*v, more * size);
    if (grown == NULL)
        return false;
    *v = grown;
    *max = more;
    return true;
}

int aborted_reserve(struct aborted_list *list)
{
    if (!array_grow((void **)&list->v, list->n, &list->max, sizeof *list->v))
        return E_NO_MEMORY;
    if (!array_grow((void **)&list->ended, list->ended_n, &list->ended_max, sizeof *list->ended))
        return E_NO_MEMORY;
    return 0;
}

int aborted_add(struct aborted_list *list, const struct aborted_entry *entry)
{
    if (!array_grow((void **)&list->v, list->n, &list->max, sizeof *list->v))
        return E_NO_MEMORY;
    list->v[list->n++] = *entry;
    return 0;
}

int aborted_end(struct aborted_list *list, int64_t first_offset, int64_t last_offset)
{
    if (!array_grow((void **)&list->ended, list->ended_n, &list->ended_max, sizeof *list->ended))
        return E_NO_MEMORY;
    list->ended[list->ended_n++] = (struct aborted_ended){first_offset, last_offset};
    return 0;
}

void aborted_visible(struct aborted_list *list, int64_t high)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->ended_n; i++) {
        if (list->ended[i].last_offset >= high)
            list->ended[kept++] = list->ended[i];
    }
    list->ended_n = kept;
}

int64_t aborted_first_ended(const struct aborted_list *list)
{
    int64_t first = -1;
    for (uint32_t i = 0; i < list->ended_n; i++) {
        if (first < 0 || list->ended[i].first_offset < first)
            first = list->ended[i].first_offset;
    }
    return first;
}

/* The first entry whose marker is at or beyond `offset`. */
static uint32_t aborted_lower(const struct aborted_list *list, int64_t offset)
{
    uint32_t low = 0, high = list->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (list->v[middle].last_offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t aborted_find(const struct aborted_list *list, int64_t from, int64_t to,
                      struct aborted *out)
{
    uint32_t n = 0;
    for (uint32_t i = aborted_lower(list, from); i < list->n; i++) {
        const struct aborted_entry *e = &list->v[i];
        if (e->first_offset < to) {
            if (out != NULL) {
                uint32_t at =
                    n; /* insertion keeps the order by first offset; few entries overlap a read */
                for (; at > 0 && out[at - 1].first_offset > e->first_offset; at--)
                    out[at] = out[at - 1];
                out[at] = (struct aborted){e->producer_id, e->first_offset};
            }
            n++;
        }
        if (e->stable_offset >= to)
            break;
    }
    return n;
}

void aborted_truncate_start(struct aborted_list *list, int64_t offset)
{
    uint32_t gone = aborted_lower(list, offset);
    if (gone == 0)
        return;
    memmove(list->v, list->v + gone, (list->n - gone) * sizeof *list->v);
    list->n -= gone;
}

void aborted_truncate_end(struct aborted_list *list, int64_t offset)
{
    list->n = aborted_lower(list, offset);
}

int aborted_replace(struct aborted_list *list, int64_t from, int64_t to,
                    const struct aborted_entry *kept, uint32_t n)
{
    uint32_t first = aborted_lower(list, from), end = aborted_lower(list, to);
    check(n <= end - first); /* a part of what is there, so it fits */
    if (n > 0)
        memcpy(list->v + first, kept, n * sizeof *kept);
    if (end < list->n)
        memmove(list->v + first + n, list->v + end, (list->n - end) * sizeof *list->v);
    list->n -= end - first - n;
    return 0;
}

uint32_t aborted_encode(const struct aborted_list *list, int64_t from, int64_t to, uint8_t *to_file)
{
    uint32_t bytes = 0;
    for (uint32_t i = aborted_lower(list, from); i < list->n && list->v[i].last_offset < to; i++) {
        if (to_file != NULL) {
            uint8_t *p = to_file + bytes;
            store_u16(p, 0);
            store_u64(p + 2, (uint64_t)list->v[i].producer_id);
            store_u64(p + 10, (uint64_t)list->v[i].first_offset);
            store_u64(p + 18, (uint64_t)list->v[i].last_offset);
            store_u64(p + 26, (uint64_t)list->v[i].stable_offset);
        }
        bytes += TXN_INDEX_ENTRY;
    }
    return bytes;
}

int aborted_decode(struct aborted_list *list, struct bytes file, int64_t base_offset)
{
    uint32_t n_before = list->n;
    int64_t last = n_before > 0 ? list->v[n_before - 1].last_offset : -1;
    int rc = file.n % TXN_INDEX_ENTRY == 0 ? 0 : E_CORRUPT;
    for (uint32_t at = 0; rc == 0 && at < file.n; at += TXN_INDEX_ENTRY) {
        const uint8_t *p = file.ptr + at;
        struct aborted_entry e = {load_i64(p + 2), load_i64(p + 10), load_i64(p + 18),
                                  load_i64(p + 26)};
        if (load_i16(p) != 0 || e.last_offset < base_offset || e.first_offset > e.last_offset ||
            e.last_offset <= last)
            rc = E_CORRUPT;
        else
            rc = aborted_add(list, &e);
        last = e.last_offset;
    }
    if (rc != 0)
        list->n = n_before;
    return rc;
}

void aborted_fini(struct aborted_list *list)
{
    free(list->v);
    free(list->ended);
    *list = (struct aborted_list){0};
}
