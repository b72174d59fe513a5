/*
 * telemetry_table.c - the last number of every series that clients push, and the page that shows
 * them.
 *
 * Owner: control.
 *
 * A series is a name, a client and its labels; series of one name stand together, as Prometheus
 * wants them. Bounds: telemetry.series.max in all, an eighth of it per client; what comes beyond is
 * left out and counted. Series go with their client. Two hash tables with chains, never grown.
 *
 * The page is written over turns, TELEMETRY_LINES_PER_TURN lines each: a series that goes meanwhile
 * moves the place where the writing goes on.
 */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "hash.h"
#include "telemetry.h"

enum { TABLE_MIN = 64, PAGE_MIN = 64 << 10, LINE_MAX = 2048 };

int metrics_table_init(struct telemetry_table *t, uint32_t series_max)
{
    uint32_t n = TABLE_MIN;
    while (n < series_max)
        n *= 2;
    *t = (struct telemetry_table){.mask = n - 1, .series_max = series_max};
    list_init(&t->families);
    t->by_name = calloc(n, sizeof(struct telemetry_family *));
    t->by_hash = calloc(n, sizeof(struct telemetry_series *));
    return t->by_name == NULL || t->by_hash == NULL ? E_NO_MEMORY : 0;
}

void metrics_table_fini(struct telemetry_table *t)
{
    check(t->series_n == 0); /* they went with their clients */
    free(t->by_name);
    free(t->by_hash);
    free(t->page.text);
}

/* ── families ── */

static struct telemetry_family *family_find(struct telemetry_table *t, const char *name,
                                            uint64_t hash)
{
    struct telemetry_family *f = t->by_name[hash & t->mask];
    while (f != NULL && (f->hash != hash || strcmp(f->name, name) != 0))
        f = f->chain;
    return f;
}

static struct telemetry_family *family_make(struct telemetry_table *t, const char *name,
                                            uint64_t hash, uint8_t kind)
{
    struct telemetry_family *f = malloc(sizeof *f + strlen(name) + 1);
    if (f == NULL)
        return NULL;
    *f = (struct telemetry_family){.hash = hash, .kind = kind, .chain = t->by_name[hash & t->mask]};
    t->by_name[hash & t->mask] = f;
    memcpy(f->name, name, strlen(name) + 1);
    list_init(&f->series);
    list_append(&t->families, &f->link);
    return f;
}

static void family_drop(struct telemetry_table *t, struct telemetry_family *f)
{
    struct telemetry_family **at = &t->by_name[f->hash & t->mask];
    while (*at != f)
        at = &(*at)->chain;
    *at = f->chain;
    if (t->page.family == &f->link) {
        t->page.family = f->link.next;
        t->page.series = NULL;
    }
    list_del(&f->link);
    free(f);
}

/* ── series ── */

static struct telemetry_series *series_find(struct telemetry_table *t,
                                            const struct telemetry_client *client, uint64_t hash,
                                            const char *name, const char *labels)
{
    struct telemetry_series *s = t->by_hash[hash & t->mask];
    while (s != NULL && (s->hash != hash || s->client != client ||
                         strcmp(s->family->name, name) != 0 || strcmp(s->labels, labels) != 0))
        s = s->chain;
    return s;
}

static struct telemetry_series *series_make(struct telemetry_table *t,
                                            struct telemetry_client *client, uint64_t hash,
                                            const char *name, const char *labels, uint8_t kind)
{
    uint64_t name_hash = hash_bytes(name, strlen(name), client->telemetry->seed);
    uint32_t client_max = max_u32(t->series_max / TELEMETRY_CLIENT_SHARE, 1);
    if (t->series_n >= t->series_max || client->series_n >= client_max)
        return NULL;
    struct telemetry_series *s = malloc(sizeof *s + strlen(labels) + 1);
    struct telemetry_family *f = s == NULL ? NULL : family_find(t, name, name_hash);
    if (s != NULL && f == NULL)
        f = family_make(t, name, name_hash, kind);
    if (f == NULL) {
        free(s);
        return NULL;
    }
    *s = (struct telemetry_series){
        .family = f, .client = client, .hash = hash, .chain = t->by_hash[hash & t->mask]};
    t->by_hash[hash & t->mask] = s;
    memcpy(s->labels, labels, strlen(labels) + 1);
    list_append(&f->series, &s->of_family);
    list_append(&client->series, &s->of_client);
    client->series_n++;
    t->series_n++;
    return s;
}

bool metrics_table_put(struct telemetry_table *t, struct telemetry_client *client,
                       const struct otlp_points *points, const struct otlp_point *point)
{
    const char *name = points->text + point->name_at, *labels = points->text + point->labels_at;
    uint64_t hash = hash_mix(point->hash ^ client->number);
    struct telemetry_series *s = series_find(t, client, hash, name, labels);
    if (s == NULL)
        s = series_make(t, client, hash, name, labels, point->kind);
    if (s == NULL)
        return false;
    s->family->is_mixed |= s->family->kind != point->kind;
    s->value = point->is_delta ? s->value + point->value : point->value;
    return true;
}

static void series_drop(struct telemetry_table *t, struct telemetry_series *s)
{
    struct telemetry_series **at = &t->by_hash[s->hash & t->mask];
    while (*at != s)
        at = &(*at)->chain;
    *at = s->chain;
    if (t->page.series == &s->of_family)
        t->page.series = s->of_family.next;
    list_del(&s->of_family);
    list_del(&s->of_client);
    s->client->series_n--;
    t->series_n--;
    if (list_is_empty(&s->family->series))
        family_drop(t, s->family);
    free(s);
}

void metrics_table_drop(struct telemetry_table *t, struct telemetry_client *client)
{
    while (!list_is_empty(&client->series))
        series_drop(t, list_entry(client->series.next, struct telemetry_series, of_client));
}

/* ── the page ── */

static bool page_reserve(struct telemetry_table *t)
{
    if (t->page.max - t->page.n >= LINE_MAX)
        return true;
    size_t max = t->page.max == 0 ? PAGE_MIN : t->page.max * 2;
    char *more = realloc(t->page.text, max);
    if (more == NULL)
        return false;
    t->page.text = more;
    t->page.max = max;
    return true;
}

static void number_text(double value, char to[32])
{
    if (isnan(value))
        snprintf(to, 32, "NaN");
    else if (isinf(value))
        snprintf(to, 32, value > 0 ? "+Inf" : "-Inf");
    else
        snprintf(to, 32, "%.17g", value);
}

static void page_family(struct telemetry_table *t, const struct telemetry_family *f)
{
    const char *type = f->is_mixed ? "untyped" : f->kind == OTLP_COUNTER ? "counter" : "gauge";
    t->page.n +=
        (size_t)snprintf(t->page.text + t->page.n, LINE_MAX, "# TYPE %s %s\n", f->name, type);
}

static void page_series(struct telemetry_table *t, const struct telemetry_series *s)
{
    char number[32];
    number_text(s->value, number);
    t->page.n +=
        (size_t)snprintf(t->page.text + t->page.n, LINE_MAX, "%s{%s%s%s} %s\n", s->family->name,
                         s->client->labels, s->labels[0] != 0 ? "," : "", s->labels, number);
}

/* One line; false: there is none left. */
static bool page_line(struct telemetry_table *t)
{
    if (t->page.family == &t->families)
        return false;
    struct telemetry_family *f = list_entry(t->page.family, struct telemetry_family, link);
    if (t->page.series == NULL) {
        page_family(t, f);
        t->page.series = f->series.next;
    } else if (t->page.series == &f->series) {
        t->page.family = f->link.next;
        t->page.series = NULL;
    } else {
        page_series(t, list_entry(t->page.series, struct telemetry_series, of_family));
        t->page.series = t->page.series->next;
    }
    return true;
}

bool metrics_table_page(struct telemetry_table *t, char **text)
{
    *text = NULL;
    if (t->page.text == NULL) {
        t->page.family = t->families.next;
        t->page.series = NULL;
    }
    for (int i = 0; i < TELEMETRY_LINES_PER_TURN; i++) {
        bool has_room = page_reserve(t);
        if (has_room && page_line(t))
            continue;
        if (has_room)
            t->page.text[t->page.n] = 0;
        else
            free(t->page.text);
        *text = has_room ? t->page.text : NULL;
        t->page.text = NULL;
        t->page.n = t->page.max = 0;
        t->page.family = t->page.series = NULL;
        return true;
    }
    return false;
}
