/*
 * ledger.c - the memory ledger: what each line may take at most, and what it has taken.
 *
 * Owner: main prints it at boot; the metrics thread reads it, which shares nothing but addresses
 * that do not change.
 *
 * What a line may take is the sum of its blocks (include/ledger.h). What it has taken is how much
 * of them is resident, and that the kernel knows best (mincore): no counter on the data path, and
 * what was touched once and given back counts as long as it is there. Three lines have no blocks:
 *
 *   STACKS  the stack of each of our threads, THREAD_STACK_BYTES at most
 *   CODE    what is in memory of program and libraries; clean pages, which the kernel takes back
 *   HEAP    what malloc has from the kernel, less the blocks that came from it. It has no bound of
 *           its own: it follows what is made (partitions, groups) and the settings that bound that
 *
 * The sum of what is taken is compared with the resident set of the process by
 * tests/system/c_memory.py, within 10 %: a holder that is on no line makes it fail.
 */
#include "ledger_lines.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "thread.h"

enum { RESIDENT_VECTOR = 4096 };

static const struct {
    const char *label, *text;
} lines[LEDGER_LINES_N] = {
#define LEDGER(name, label, text) {label, text},
#include "ledger.def"
#undef LEDGER
};

const char *ledger_label(enum ledger_line line)
{
    return lines[line].label;
}

/* ── what may be taken ── */

uint64_t ledger_bound(const struct broker *b, enum ledger_line line)
{
    uint64_t bytes = line == LEDGER_STACKS ? (uint64_t)broker_threads_n(b) * THREAD_STACK_BYTES : 0;

    for (uint32_t i = 0; i < b->ledger.n; i++)
        if (b->ledger.v[i].line == line)
            bytes += b->ledger.v[i].bytes;
    return bytes;
}

uint64_t ledger_bounds_sum(const struct broker *b)
{
    uint64_t bytes = 0;

    for (int line = 0; line < LEDGER_LINES_N; line++)
        bytes += ledger_bound(b, (enum ledger_line)line);
    return bytes;
}

/* ── what is taken ── */

/* Bytes of [at, at + bytes) that are in memory; 0 when the kernel does not say. */
static uint64_t resident(const void *at, uint64_t bytes)
{
    unsigned char v[RESIDENT_VECTOR];
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), n = 0;
    uintptr_t from = align_down((uintptr_t)at, page), to = align_up((uintptr_t)at + bytes, page);

    for (; from < to; from += RESIDENT_VECTOR * page) {
        uint64_t pages_n = min_u64((to - from) / page, RESIDENT_VECTOR);
        if (mincore((void *)from, pages_n * page, v) != 0)
            return n * page;
        for (uint64_t i = 0; i < pages_n; i++)
            n += v[i] & 1;
    }
    return n * page;
}

/* Numbers 1 and 2 of /proc/self/statm: what is resident, and of that what has a file behind it. */
static void resident_of_process(uint64_t *all, uint64_t *of_files)
{
    unsigned long long pages[3] = {0};
    FILE *from = fopen("/proc/self/statm", "r");

    if (from != NULL && fscanf(from, "%llu %llu %llu", &pages[0], &pages[1], &pages[2]) != 3)
        pages[1] = pages[2] = 0;
    if (from != NULL)
        fclose(from);
    *all = pages[1] * (uint64_t)sysconf(_SC_PAGESIZE);
    *of_files = pages[2] * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What malloc has from the kernel, less the blocks that have their own lines. */
static uint64_t heap_rest(const struct ledger *l)
{
    struct mallinfo2 m = mallinfo2();
    uint64_t all = m.arena + m.hblkhd, blocks = 0;

    for (uint32_t i = 0; i < l->n; i++)
        blocks += l->v[i].is_heap ? l->v[i].bytes : 0;
    return all > blocks ? all - blocks : 0;
}

void ledger_used(const struct broker *b, struct ledger_used *used)
{
    const struct ledger *l = &b->ledger;

    *used = (struct ledger_used){0};
    for (uint32_t i = 0; i < l->n; i++)
        used->lines[l->v[i].line] += resident(l->v[i].at, l->v[i].bytes);
    for (uint8_t i = 0; i < broker_threads_n(b); i++) {
        uint64_t at = stats_cell_get(&b->stacks[i]);
        if (at != 0)
            used->lines[LEDGER_STACKS] += resident((const void *)(uintptr_t)at, THREAD_STACK_BYTES);
    }
    used->lines[LEDGER_HEAP] = heap_rest(l);
    resident_of_process(&used->resident, &used->lines[LEDGER_CODE]);
}

/* ── at the start ── */

void ledger_print(const struct broker *b, FILE *to)
{
    double mib = 1 << 20;
    const struct bounds *s = &b->bounds;
    uint64_t all = ledger_bounds_sum(b);

    fprintf(to, "memory   %9.1f MiB at most, taken as it is needed; beside it %s\n",
            (double)all / mib, lines[LEDGER_HEAP].text);
    for (int line = 0; line < LEDGER_LINES_N; line++) {
        uint64_t bytes = ledger_bound(b, (enum ledger_line)line);
        if (bytes > 0)
            fprintf(to, "         %9.1f MiB %s\n", (double)bytes / mib, lines[line].text);
        if (line == LEDGER_LOG_PAGES)
            fprintf(
                to,
                "         %9.1f MiB   of them unflushed tail at most   storage.tail.bytes\n"
                "         %9.1f MiB   of them in answers at most       (log pages - tail) / 2\n",
                (double)(bounds_tail_bytes(s) * s->workers_n) / mib,
                (double)(bounds_answer_bytes(s) * s->workers_n) / mib);
        if (line == LEDGER_REQUEST_PAGES)
            fprintf(to,
                    "         %9.1f MiB   of them in frames at most        "
                    "queued.max.request.bytes, or half\n",
                    (double)(bounds_queued_bytes(s) * s->workers_n) / mib);
    }
    if (s->memory_bytes != 0 && all > s->memory_bytes)
        fprintf(to,
                "         more than the machine has (%.1f MiB): lower storage.cache.bytes, "
                "dataplane.request.bytes or storage.producers.max\n",
                (double)s->memory_bytes / mib);
    bounds_print(s, to);
}
