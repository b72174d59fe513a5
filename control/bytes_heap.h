/*
 * bytes_heap.h - texts that outlive their request: names of groups, members, hosts.
 *
 * Owner: control.
 */
#ifndef MILLRACE_BYTES_HEAP_H
#define MILLRACE_BYTES_HEAP_H

#include <stdlib.h>

#include "bytes.h"

/* ptr NULL when from.ptr is, or without memory (the caller tells by from.ptr). */
static inline struct bytes bytes_heap_copy(struct bytes from)
{
    uint8_t *ptr = from.ptr == NULL ? NULL : malloc(from.n + 1u);
    if (ptr == NULL)
        return (struct bytes){NULL, 0};
    if (from.n > 0)
        memcpy(ptr, from.ptr, from.n);
    return (struct bytes){ptr, from.n};
}

static inline void bytes_heap_free(struct bytes *b)
{
    free((void *)(uintptr_t)b->ptr);
    *b = (struct bytes){NULL, 0};
}

#endif
