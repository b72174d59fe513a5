/*
 * otlp.h - OpenTelemetry's MetricsData as clients push it (KIP-714), to points that Prometheus can
 * have.
 *
 * Owner: the caller.
 */
#ifndef MILLRACE_OTLP_H
#define MILLRACE_OTLP_H

#include "bytes.h"
#include "errors.h"

enum {
    OTLP_POINTS_MAX = 1024, /* of one payload; more are left out */
    OTLP_TEXT_MAX = 192 << 10,
    OTLP_NAME_MAX = 160,   /* of a metric, as Prometheus has it */
    OTLP_LABELS_MAX = 512, /* all labels of a point, as text */
    OTLP_VALUE_MAX = 128,  /* one label's value */
};

enum otlp_kind { OTLP_GAUGE, OTLP_COUNTER };

/* One number. Texts end with 0. */
struct otlp_point {
    uint32_t name_at, labels_at; /* in text: "client_..", and "a=\"b\",c=\"d\"" or "" */
    uint8_t kind;                /* enum otlp_kind */
    bool is_delta;               /* the number is to be added */
    double value;
    uint64_t hash; /* of name and labels */
};

struct otlp_points {
    uint32_t n, text_n;
    uint32_t left_out_n; /* no room, or of a kind that is not shown */
    uint64_t seed;       /* in: of the hashes */
    struct otlp_point v[OTLP_POINTS_MAX];
    char text[OTLP_TEXT_MAX];
};

/* Fills `out` (seed is set). 0, or E_CORRUPT: not a MetricsData. */
nodiscard int otlp_decode(struct bytes payload, struct otlp_points *out);

#endif
