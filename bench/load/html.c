/*
 * html.c - one self-contained page: percentiles, time series, rate against latency, as inline SVG.
 *
 * Owner: the generator, at the end. No script, no font and no picture from elsewhere: the file can
 * be mailed.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "load.h"

enum {
    COLOURS_N = 7,
    LEGEND_COLUMNS = 4,
    PLOT_W = 760,
    PLOT_H = 290,
    PLOT_LEFT = 70,
    PLOT_BOTTOM = 34,
    PLOT_TOP = 44,
    PLOT_RIGHT = 30
};

static const char *const colours[COLOURS_N] = {"#1b6ca8", "#c0392b", "#27864a", "#8e44ad",
                                               "#b9770e", "#16808a", "#555555"};

/* Linear or logarithmic scale of one axis. */
struct axis {
    double min, max;
    bool is_log;
};

static double place(const struct axis *a, double v, double from, double to)
{
    double x = a->is_log ? (log10(v) - log10(a->min)) / (log10(a->max) - log10(a->min))
                         : (v - a->min) / (a->max - a->min);
    return from + (to - from) * fmin(1, fmax(0, x));
}

static double plot_x(const struct axis *x, double v)
{
    return place(x, v, PLOT_LEFT, PLOT_W - PLOT_RIGHT);
}

static double plot_y(const struct axis *y, double v)
{
    return place(y, v, PLOT_H - PLOT_BOTTOM, PLOT_TOP);
}

/* Widens a logarithmic axis to whole decades, a linear one to a round number. */
static void axis_round(struct axis *a)
{
    if (a->is_log) {
        a->min = pow(10, floor(log10(fmax(a->min, 1e-4))));
        a->max = pow(10, ceil(log10(fmax(a->max, a->min * 10))));
        return;
    }
    double step = pow(10, floor(log10(fmax(a->max, 1e-9))));
    a->max = fmax(step, ceil(a->max / step) * step);
}

static void plot_begin(FILE *f, const char *title, const struct axis *x, const struct axis *y,
                       const char *x_name, const char *y_name)
{
    fprintf(f, "<h2>%s</h2>\n<svg viewBox='0 0 %d %d' role='img' aria-label='%s'>\n", title, PLOT_W,
            PLOT_H, title);
    fprintf(f, "<rect x='%d' y='%d' width='%d' height='%d' class='frame'/>\n", PLOT_LEFT, PLOT_TOP,
            PLOT_W - PLOT_LEFT - PLOT_RIGHT, PLOT_H - PLOT_TOP - PLOT_BOTTOM);
    for (int i = 0; i <= 8; i++) {
        double v = y->is_log ? y->min * pow(10, i) : y->min + (y->max - y->min) * i / 5;
        if (v > y->max * 1.001)
            break;
        fprintf(f,
                "<line x1='%d' x2='%d' y1='%.1f' y2='%.1f' class='grid'/><text x='%d' y='%.1f' "
                "class='y'>%g</text>\n",
                PLOT_LEFT, PLOT_W - PLOT_RIGHT, plot_y(y, v), plot_y(y, v), PLOT_LEFT - 6,
                plot_y(y, v) + 4, v);
    }
    for (int i = 0; i <= 5 && !x->is_log; i++) {
        double v = x->min + (x->max - x->min) * i / 5;
        fprintf(f, "<text x='%.1f' y='%d' class='x'>%g</text>\n", plot_x(x, v),
                PLOT_H - PLOT_BOTTOM + 16, v);
    }
    fprintf(f, "<text x='%d' y='%d' class='x'>%s</text>\n", (PLOT_LEFT + PLOT_W) / 2, PLOT_H - 4,
            x_name);
    fprintf(f, "<text x='12' y='%d' class='name' transform='rotate(-90 12 %d)'>%s</text>\n",
            PLOT_H / 2, PLOT_H / 2, y_name);
}

/* Above the frame, three in a row. */
static void legend(FILE *f, int at, const char *name)
{
    int x = PLOT_LEFT + (PLOT_W - PLOT_LEFT - PLOT_RIGHT) / LEGEND_COLUMNS * (at % LEGEND_COLUMNS);
    int y = 10 + 14 * (at / LEGEND_COLUMNS);
    fprintf(f,
            "<rect x='%d' y='%d' width='12' height='3' fill='%s'/>"
            "<text x='%d' y='%d' class='legend'>%s</text>\n",
            x, y, colours[at % COLOURS_N], x + 17, y + 5, name);
}

/* ── percentiles: x = nines, y = ms ── */

static const uint32_t points[] = {0,      100000, 250000, 500000, 750000, 900000, 950000, 975000,
                                  990000, 995000, 999000, 999500, 999900, 999950, 999990, 999999};

static double nines(uint32_t per_million)
{
    return -log10(1 - fmin((double)per_million, 999999.5) / 1e6);
}

static void percentile_line(FILE *f, const struct axis *x, const struct axis *y,
                            const struct histogram *h, int colour, const char *style)
{
    fprintf(f, "<polyline fill='none' stroke='%s'%s points='", colours[colour % COLOURS_N], style);
    for (size_t i = 0; i < array_n(points); i++) {
        double v = fmax(y->min, (double)histogram_quantile(h, points[i]) / 1e6);
        fprintf(f, "%.1f,%.1f ", plot_x(x, nines(points[i])), plot_y(y, v));
    }
    fprintf(f, "'/>\n");
}

static void percentiles(FILE *f, const struct load_result *results, uint32_t n)
{
    static const struct {
        uint32_t at;
        const char *name;
    } marks[] = {{0, "0"},         {900000, "90"},    {990000, "99"},
                 {999000, "99.9"}, {999900, "99.99"}, {999990, "99.999"}};
    struct axis x = {0, 6, false}, y = {1e9, 1e-3, true};
    for (uint32_t i = 0; i < n; i++) {
        y.min = fmin(y.min, fmax(0.001, (double)histogram_quantile(&results[i].produce, 0) / 1e6));
        y.max =
            fmax(y.max,
                 (double)atomic_load_explicit(&results[i].produce.max, memory_order_relaxed) / 1e6);
        y.max = fmax(
            y.max,
            (double)atomic_load_explicit(&results[i].end_to_end.max, memory_order_relaxed) / 1e6);
    }
    axis_round(&y);
    x.is_log = true; /* no numbers along x: the marks below stand there */
    plot_begin(f, "Latency by percentile (produce; dashed: end to end)", &x, &y, "percentile",
               "ms");
    x.is_log = false;
    for (size_t i = 0; i < array_n(marks); i++)
        fprintf(f, "<text x='%.1f' y='%d' class='x'>%s</text>\n", plot_x(&x, nines(marks[i].at)),
                PLOT_H - PLOT_BOTTOM + 16, marks[i].name);
    for (uint32_t i = 0; i < n && i < COLOURS_N; i++) {
        char name[64];
        snprintf(name, sizeof name, "%.0f records/s",
                 (double)results[i].records / results[i].seconds);
        percentile_line(f, &x, &y, &results[i].produce, (int)i, "");
        legend(f, (int)i, name);
        if (atomic_load_explicit(&results[i].end_to_end.n, memory_order_relaxed) > 0)
            percentile_line(f, &x, &y, &results[i].end_to_end, (int)i, " stroke-dasharray='5 4'");
    }
    fprintf(f, "</svg>\n");
}

/* ── time series ── */

static double second_value(const struct load_second *s, int what)
{
    switch (what) {
    case 0: return (double)s->bytes / 1e6;
    case 1: return (double)s->p50_ns / 1e6;
    case 2: return (double)s->p99_ns / 1e6;
    case 3: return (double)s->max_ns / 1e6;
    default: return (double)s->stall_ns_max / 1e6;
    }
}

static void series_plot(FILE *f, const struct load_result *results, uint32_t n, const char *title,
                        const char *unit, int first, int last)
{
    static const char *const names[] = {"MB/s", "p50", "p99", "max", "generator's own stall"};
    struct axis x = {0, 1, false}, y = {first == 0 ? 0 : 1e9, 1e-3, first != 0};
    double seconds = 0;
    for (uint32_t i = 0; i < n; i++) {
        seconds += results[i].seconds_n;
        for (uint32_t k = 0; k < results[i].seconds_n; k++)
            for (int w = first; w <= last; w++) {
                double v = second_value(&results[i].seconds_v[k], w);
                y.max = fmax(y.max, v);
                y.min = first == 0 ? 0 : fmin(y.min, fmax(v, 0.001));
            }
    }
    x.max = fmax(1, seconds);
    axis_round(&y);
    plot_begin(f, title, &x, &y, "seconds", unit);
    for (int w = first; w <= last; w++) {
        double at = 0;
        fprintf(f, "<polyline fill='none' stroke='%s' points='", colours[w - first]);
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t k = 0; k < results[i].seconds_n; k++, at++)
                fprintf(f, "%.1f,%.1f ", plot_x(&x, at),
                        plot_y(&y, fmax(y.min, second_value(&results[i].seconds_v[k], w))));
        fprintf(f, "'/>\n");
        legend(f, w - first, names[w]);
    }
    fprintf(f, "</svg>\n");
}

/* ── rate against latency ── */

static void rate_plot(FILE *f, const struct load_result *results, uint32_t n)
{
    static const struct {
        uint32_t at;
        const char *name;
    } lines[] = {{500000, "p50"}, {990000, "p99"}, {999900, "p99.99"}};
    struct axis x = {0, 1, false}, y = {1e9, 1e-3, true};
    for (uint32_t i = 0; i < n; i++) {
        x.max = fmax(x.max, (double)results[i].records / results[i].seconds);
        y.min =
            fmin(y.min, fmax(0.001, (double)histogram_quantile(&results[i].produce, 500000) / 1e6));
        y.max = fmax(y.max, (double)histogram_quantile(&results[i].produce, 999900) / 1e6);
    }
    axis_round(&x);
    axis_round(&y);
    plot_begin(f, "Rate against latency", &x, &y, "records/s", "ms");
    for (size_t l = 0; l < array_n(lines); l++) {
        fprintf(f, "<polyline fill='none' stroke='%s' points='", colours[l]);
        for (uint32_t i = 0; i < n; i++)
            fprintf(f, "%.1f,%.1f ", plot_x(&x, (double)results[i].records / results[i].seconds),
                    plot_y(&y, fmax(y.min,
                                    (double)histogram_quantile(&results[i].produce, lines[l].at) /
                                        1e6)));
        fprintf(f, "'/>\n");
        legend(f, (int)l, lines[l].name);
    }
    fprintf(f, "</svg>\n");
}

static void text_escaped(FILE *f, const char *s)
{
    for (; *s != 0; s++) {
        if (*s == '<')
            fputs("&lt;", f);
        else if (*s == '&')
            fputs("&amp;", f);
        else if (*s == '>')
            fputs("&gt;", f);
        else if ((unsigned char)*s < ' ' && *s != '\n')
            fputc(' ', f);
        else
            fputc(*s, f);
    }
}

int load_report_html(const char *path, const struct load_options *o, const struct load_host *host,
                     const struct load_result *results, uint32_t n)
{
    char *text = NULL;
    size_t text_n = 0;
    FILE *memory = open_memstream(&text, &text_n);
    if (memory != NULL) {
        load_report_text(memory, o, host, results, n);
        fclose(memory);
    }
    FILE *f = text == NULL ? NULL : fopen(path, "w");
    if (f == NULL) {
        fprintf(stderr, "millrace bench: cannot write %s: %s\n", path, strerror(errno));
        free(text);
        return E_IO;
    }
    fprintf(f,
            "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'/><title>millrace bench ");
    text_escaped(f, o->label);
    fprintf(
        f, "</title>\n<style>body{font:15px/1.5 system-ui,sans-serif;max-width:820px;margin:2em "
           "auto;padding:0 1em;"
           "color:#222}pre{background:#f4f4f2;padding:1em;white-space:pre-wrap;font-size:12.5px}"
           "svg{width:"
           "100%%}"
           "svg text{font:11px sans-serif;fill:#444}.x,.name{text-anchor:middle}.y{text-anchor:end}"
           ".grid{stroke:#ddd}.frame{fill:none;stroke:#999}polyline{stroke-width:1.6}h2{font-size:"
           "17px}</style>"
           "</head><body><h1>millrace bench</h1><pre>");
    text_escaped(f, text);
    fprintf(f, "</pre>\n");
    percentiles(f, results, n);
    series_plot(f, results, n, "Throughput over time", "MB/s", 0, 0);
    series_plot(f, results, n, "Latency over time", "ms", 1, 4);
    if (n > 1)
        rate_plot(f, results, n);
    fprintf(f, "</body></html>\n");
    free(text);
    return fclose(f) == 0 ? 0 : E_IO;
}
