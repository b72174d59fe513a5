/*
 * epochs.c - the leader epochs of a log and the text of leader-epoch-checkpoint.
 *
 * Owner: home.
 *
 * Text (CheckpointFile.java): "0\n", the number of entries, then "epoch start\n" per entry, both
 * rising.
 *
 * Invariant: v[0..n) rises strictly in epoch and in start_offset. What is noted wins over what
 * contradicts it: entries at or above the new epoch, or at or beyond its start, are dropped
 * (LeaderEpochFileCache.assign).
 */
#include "epochs.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "text.h"

enum { EPOCH_LINE_MAX = 11 + 1 + 20 + 1, EPOCHS_PARSE_MAX = 1 << 20 };

static int epochs_reserve(struct epochs *e, uint32_t n)
{
    if (n <= e->max)
        return 0;
    uint32_t max = e->max == 0 ? 4 : e->max * 2;
    max = max < n ? n : max;
    struct epoch_entry *v = realloc(e->v, max * sizeof *v);
    if (v == NULL)
        return E_NO_MEMORY;
    e->v = v;
    e->max = max;
    return 0;
}

int epochs_note(struct epochs *e, int32_t epoch, int64_t offset, bool *changed)
{
    check(epoch >= 0 && offset >= 0);
    *changed = false;
    if (epochs_is_noted(e, epoch, offset))
        return 0;
    int error = epochs_reserve(e, e->n + 1);
    if (error < 0)
        return error;
    while (e->n > 0 && (e->v[e->n - 1].epoch >= epoch || e->v[e->n - 1].start_offset >= offset))
        e->n--;
    e->v[e->n++] = (struct epoch_entry){epoch, offset};
    *changed = true;
    return 0;
}

void epochs_truncate_end(struct epochs *e, int64_t offset)
{
    while (e->n > 0 && e->v[e->n - 1].start_offset >= offset)
        e->n--;
}

void epochs_truncate_start(struct epochs *e, int64_t offset)
{
    uint32_t below = 0;
    while (below < e->n && e->v[below].start_offset <= offset)
        below++;
    if (below == 0)
        return;
    memmove(e->v, e->v + below - 1, (e->n - below + 1) * sizeof *e->v);
    e->n -= below - 1;
    e->v[0].start_offset = offset;
}

void epochs_end_of(const struct epochs *e, int32_t epoch, int64_t log_end, int32_t *found,
                   int64_t *end)
{
    *found = -1;
    *end = -1;
    if (epoch < 0 || e->n == 0 || epoch > e->v[e->n - 1].epoch)
        return;
    uint32_t above = e->n;
    while (above > 0 && e->v[above - 1].epoch > epoch)
        above--;
    *end = above == e->n ? log_end : e->v[above].start_offset;
    /* Older than all that is known: nothing of it can be here, so it ended where the first known
     * one began. */
    *found = above == 0 ? epoch : e->v[above - 1].epoch;
}

int32_t epochs_latest(const struct epochs *e)
{
    return e->n == 0 ? -1 : e->v[e->n - 1].epoch;
}

uint64_t epochs_text_max(const struct epochs *e)
{
    return 16 + (uint64_t)e->n * EPOCH_LINE_MAX;
}

uint64_t epochs_text(const struct epochs *e, char *to)
{
    uint64_t max = epochs_text_max(e);
    uint64_t n = (uint64_t)snprintf(to, max, "0\n%u\n", e->n);
    for (uint32_t i = 0; i < e->n; i++)
        n += (uint64_t)snprintf(to + n, max - n, "%d %lld\n", e->v[i].epoch,
                                (long long)e->v[i].start_offset);
    check(n < max);
    return n;
}

/* One line into entry `to`; it must rise above the one before. */
static int epochs_parse_line(struct epochs *to, struct bytes *text)
{
    struct bytes line;
    int64_t epoch, offset;
    if (!text_line(text, &line) || !text_number(&line, 0, INT32_MAX, &epoch) ||
        !text_char(&line, ' ') || !text_number(&line, 0, INT64_MAX, &offset) || line.n > 0)
        return E_CORRUPT;
    const struct epoch_entry *last = to->n == 0 ? NULL : &to->v[to->n - 1];
    if (last != NULL && (epoch <= last->epoch || offset <= last->start_offset))
        return E_CORRUPT;
    int error = epochs_reserve(to, to->n + 1);
    if (error < 0)
        return error;
    to->v[to->n++] = (struct epoch_entry){(int32_t)epoch, offset};
    return 0;
}

int epochs_parse(struct epochs *e, struct bytes text)
{
    struct epochs out = {NULL, 0, 0};
    int64_t n = 0;
    int error = 0;
    if (text.n > 0)
        error = text_checkpoint_head(&text, EPOCHS_PARSE_MAX, &n);
    for (int64_t i = 0; error == 0 && i < n; i++)
        error = epochs_parse_line(&out, &text);
    if (error == 0 && text.n > 0)
        error = E_CORRUPT;
    if (error < 0) {
        epochs_fini(&out);
        return error;
    }
    epochs_fini(e);
    *e = out;
    return 0;
}

void epochs_fini(struct epochs *e)
{
    free(e->v);
    *e = (struct epochs){NULL, 0, 0};
}
