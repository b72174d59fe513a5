/*
 * fuzz_otlp.c - metrics of clients (KIP-714) of any bytes: decoded or refused, and what comes out
 * can be a line at /metrics.
 *
 * Owner: the fuzzer.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fuzz.h"
#include "otlp.h"
#include "utf8.h"

static bool is_name(const char *s)
{
    for (; *s != 0; s++)
        if (*s != '_' && !(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') &&
            !(*s >= '0' && *s <= '9'))
            return false;
    return true;
}

static void points_check(const struct otlp_points *points)
{
    check(points->n <= OTLP_POINTS_MAX && points->text_n <= OTLP_TEXT_MAX);
    for (uint32_t i = 0; i < points->n; i++) {
        const char *name = points->text + points->v[i].name_at;
        const char *labels = points->text + points->v[i].labels_at;
        check(points->v[i].name_at < points->v[i].labels_at &&
              points->v[i].labels_at < points->text_n);
        check(strncmp(name, "client_", 7) == 0 && is_name(name));
        check(strlen(name) <= OTLP_NAME_MAX && strlen(labels) < OTLP_LABELS_MAX);
        check(strchr(labels, '\n') == NULL &&
              utf8_is_valid(bytes_of(labels, (uint32_t)strlen(labels))));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct otlp_points *points = malloc(sizeof *points);
    if (points == NULL)
        abort();
    points->seed = n;
    if (otlp_decode(bytes_of(data, (uint32_t)n), points) == 0)
        points_check(points);
    free(points);
    return 0;
}
