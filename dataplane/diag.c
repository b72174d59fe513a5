/*
 * diag.c - events for operators: limited where they arise, formatted where it may take time.
 *
 * Owner: diag_write: the thread of the struct diag; diag_read and diag_format: main.
 *
 * The limit is per cause and second of the monotonic clock: a burst gives its first five lines at
 * once, and the next second tells how many were left out.
 */
#include "diag.h"

#include "check.h"

struct diag_row {
    const char *text, *help;
    enum diag_level level;
};

static const struct diag_row rows[] = {
#define DIAG(name, level, text, help) {text, help, DIAG_##level},
#include "diag.def"
#undef DIAG
};

/* ── writing ── */

static bool diag_is_allowed(struct diag *d, struct now now, enum diag_id id)
{
    uint64_t second = now.ns / NS_PER_S;

    if (d->causes[id].second != second) {
        d->causes[id].second = second;
        d->causes[id].n = 0;
    }
    return d->causes[id].n++ < DIAG_PER_SECOND_MAX;
}

void diag_write(struct diag *d, struct now now, enum diag_id id, const char *text, int64_t n,
                int64_t m)
{
    uint32_t tail = atomic_load_explicit(&d->tail, memory_order_relaxed);
    uint32_t head =
        atomic_load_explicit(&d->head, memory_order_acquire); /* R2: pairs with A2 in diag_read */
    struct diag_event *slot = &d->slots[tail % DIAG_SLOTS_N];

    check(id < DIAGS_N);
    if (!diag_is_allowed(d, now, id) || tail - head >= DIAG_SLOTS_N) {
        d->causes[id].dropped_n++;
        d->dropped_n++;
        return;
    }
    *slot = (struct diag_event){.id = (uint16_t)id, .wall_ms = now.wall_ms, .n = n, .m = m};
    slot->dropped_n = d->causes[id].dropped_n;
    d->causes[id].dropped_n = 0;
    if (text != NULL)
        memccpy(slot->text, text, 0, DIAG_TEXT_MAX - 1);
    atomic_store_explicit(&d->tail, tail + 1,
                          memory_order_release); /* A1: pairs with R1 in diag_read */
}

/* ── reading ── */

bool diag_read(struct diag *d, struct diag_event *out)
{
    uint32_t head = atomic_load_explicit(&d->head, memory_order_relaxed);
    uint32_t tail =
        atomic_load_explicit(&d->tail, memory_order_acquire); /* R1: pairs with A1 in diag_write */

    if (head == tail)
        return false;
    *out = d->slots[head % DIAG_SLOTS_N];
    atomic_store_explicit(&d->head, head + 1,
                          memory_order_release); /* A2: pairs with R2 in diag_write */
    return true;
}

/* A peer may have chosen the text: only printable ASCII goes to the terminal. */
static void put_text(FILE *to, const char *text)
{
    for (; *text != 0; text++)
        fputc(*text >= ' ' && *text <= '~' ? *text : '?', to);
}

static void put_sentence(FILE *to, const struct diag_row *row, const struct diag_event *e)
{
    for (const char *p = row->text; *p != 0; p++) {
        if (strncmp(p, "{n}", 3) == 0 || strncmp(p, "{m}", 3) == 0)
            fprintf(to, "%lld", (long long)(p[1] == 'n' ? e->n : e->m));
        else if (strncmp(p, "{t}", 3) == 0)
            put_text(to, e->text);
        else {
            fputc(*p, to);
            continue;
        }
        p += 2;
    }
}

int diag_format(const struct diag_event *e, const char *thread, char *to, size_t to_n)
{
    const struct diag_row *row = &rows[e->id < DIAGS_N ? e->id : 0];
    time_t seconds = (time_t)(e->wall_ms / 1000);
    struct tm tm;
    FILE *f = fmemopen(to, to_n, "w");

    if (f == NULL)
        return 0;
    gmtime_r(&seconds, &tm);
    fprintf(f, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s %s: ", tm.tm_year + 1900, tm.tm_mon + 1,
            tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(e->wall_ms % 1000),
            row->level == DIAG_ERROR ? "error" : "note", thread);
    put_sentence(f, row, e);
    fprintf(f, " (%s)", row->help);
    if (e->dropped_n > 0)
        fprintf(f, " [%u more like this were not written]", e->dropped_n);
    long n = ftell(f);
    fclose(f);
    return n < 0 ? 0 : (int)n;
}
