/*
 * otlp.c - protobuf of OpenTelemetry's metrics (opentelemetry/proto/metrics/v1), read in place.
 *
 * Owner: the caller; pure, no memory of its own. Runs on the bulk helper.
 *
 *   MetricsData    1 ResourceMetrics*
 *   ResourceMetrics 1 Resource, 2 ScopeMetrics*        Resource 1 KeyValue*
 *   ScopeMetrics   2 Metric*
 *   Metric         1 name, 5 Gauge, 7 Sum, 9 Histogram (10 and 11: other kinds, left out)
 *   Gauge, Sum, Histogram  1 data point*, Sum and Histogram 2 temporality, Sum 3 is_monotonic
 *   NumberDataPoint 4 double, 6 sfixed64, 7 KeyValue*, 8 flags (bit 0: there is no value)
 *   HistogramDataPoint 4 count, 5 sum, 9 KeyValue*
 *   KeyValue       1 key, 2 AnyValue (1 string, 2 bool, 3 int, 4 double)
 *
 * Fields come in any order, so a message is walked once for what its parts need and once for the
 * parts. Unknown fields are stepped over. The depth is that of the schema: nothing recurses.
 *
 * Names become Prometheus' (what is no letter, digit or _ becomes _) behind "client_", so that no
 * client can speak for the broker. A point's attributes are its labels, then the resource's that it
 * does not have itself; a name stands once in a point. A histogram becomes its count and its sum.
 */
#include "otlp.h"

#include <stdio.h>

#include "check.h"
#include "hash.h"
#include "utf8.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5, NAMES_MAX = 24, KEY_MAX = 64 };
enum { TEMPORALITY_DELTA = 1, FLAG_NO_VALUE = 1 };
enum { METRIC_NAME = 1, METRIC_GAUGE = 5, METRIC_SUM = 7, METRIC_HISTOGRAM = 9 };
enum { METRIC_OTHER_MIN = 10, METRIC_OTHER_MAX = 11 };

/* One field of a message. */
struct field {
    uint32_t number;
    uint8_t wire;
    uint64_t value; /* WIRE_VARINT, WIRE_64, WIRE_32 */
    struct bytes bytes;
};

/* The labels of the point under way. */
struct labels {
    uint32_t n, names_n;
    uint16_t names_at[NAMES_MAX]; /* of those in text */
    char text[OTLP_LABELS_MAX];
};

/* A metric on its way. */
struct metric {
    const struct labels *resource;
    struct bytes name;
    bool is_delta, is_monotonic, is_histogram;
};

/* ── protobuf ── */

static uint64_t load_le(const uint8_t *p, uint32_t n)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static int take_varint(struct bytes *rest, uint64_t *v)
{
    int n = load_uvarint(rest->ptr, rest->ptr + rest->n, 10, v);
    if (n <= 0)
        return E_CORRUPT;
    *rest = bytes_of(rest->ptr + n, rest->n - (uint32_t)n);
    return 0;
}

/* The next field; E_EOF at the end. */
static int field_next(struct bytes *rest, struct field *f)
{
    uint64_t key, n;
    if (rest->n == 0)
        return E_EOF;
    *f = (struct field){0};
    if (take_varint(rest, &key) < 0 || key >> 3 == 0 || key >> 3 > 0x1fffffff)
        return E_CORRUPT;
    f->number = (uint32_t)(key >> 3);
    f->wire = key & 7;
    if (f->wire == WIRE_VARINT)
        return take_varint(rest, &f->value);
    if (f->wire == WIRE_BYTES) {
        if (take_varint(rest, &n) < 0 || n > rest->n)
            return E_CORRUPT;
        f->bytes = bytes_of(rest->ptr, (uint32_t)n);
    } else {
        n = f->wire == WIRE_64 ? 8 : f->wire == WIRE_32 ? 4 : UINT64_MAX;
        if (n > rest->n)
            return E_CORRUPT;
        f->value = load_le(rest->ptr, (uint32_t)n);
    }
    *rest = bytes_of(rest->ptr + n, rest->n - (uint32_t)n);
    return 0;
}

static int end_of(int e)
{
    return e == E_EOF ? 0 : e;
}

static double double_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* ── labels ── */

static bool is_name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Names of ours, and those that have a meaning in Prometheus. */
static bool is_reserved(const char *name)
{
    return strcmp(name, "client_id") == 0 || strcmp(name, "client_instance_id") == 0 ||
           strcmp(name, "le") == 0 || strcmp(name, "quantile") == 0 ||
           (name[0] == '_' && name[1] == '_');
}

static bool labels_have(const struct labels *labels, const char *name)
{
    size_t n = strlen(name);
    for (uint32_t i = 0; i < labels->names_n; i++)
        if (strncmp(labels->text + labels->names_at[i], name, n) == 0 &&
            labels->text[labels->names_at[i] + n] == '=')
            return true;
    return false;
}

static void key_clean(struct bytes key, char to[KEY_MAX])
{
    uint32_t out = 0;
    if (key.n > 0 && key.ptr[0] >= '0' && key.ptr[0] <= '9')
        to[out++] = '_';
    for (uint32_t i = 0; i < key.n && out + 1 < KEY_MAX; i++)
        to[out++] = is_name_char(key.ptr[i]) ? (char)key.ptr[i] : '_';
    to[out] = 0;
}

/* Escapes, and only whole well-formed characters. Returns the bytes. */
static uint32_t value_clean(struct bytes value, char *to, uint32_t max)
{
    uint32_t out = 0;
    for (uint32_t i = 0; i < value.n;) {
        uint32_t n = utf8_character(value.ptr + i, value.n - i);
        uint8_t c = value.ptr[i];
        bool is_escaped = c == '"' || c == '\\' || c == '\n';
        if (out + (n > 2 ? n : 2) > max)
            break;
        if (is_escaped) {
            to[out++] = '\\';
            to[out++] = c == '\n' ? 'n' : (char)c;
        } else if (n == 0 || c < ' ') {
            to[out++] = '?';
        } else {
            memcpy(to + out, value.ptr + i, n);
            out += n;
        }
        i += n > 0 ? n : 1;
    }
    return out;
}

/* A label that finds no room, or whose name is taken, is left out. `text` is all behind `name=`. */
static void labels_put(struct labels *labels, const char *name, const char *text, uint32_t text_n)
{
    uint32_t name_n = (uint32_t)strlen(name), comma = labels->n > 0;
    if (labels->names_n == NAMES_MAX || labels_have(labels, name) ||
        labels->n + comma + name_n + 1 + text_n + 1 > sizeof labels->text)
        return;
    labels->names_at[labels->names_n++] = (uint16_t)(labels->n + comma);
    labels->n += (uint32_t)snprintf(labels->text + labels->n, sizeof labels->text - labels->n,
                                    "%s%s=%.*s", comma > 0 ? "," : "", name, (int)text_n, text);
}

static void labels_add(struct labels *labels, struct bytes key, struct bytes value)
{
    char name[KEY_MAX], text[OTLP_VALUE_MAX + 2] = "\"";
    key_clean(key, name);
    if (name[0] == 0 || is_reserved(name))
        return;
    uint32_t n = 1 + value_clean(value, text + 1, OTLP_VALUE_MAX);
    text[n++] = '"';
    labels_put(labels, name, text, n);
}

/* Those of `from` that `labels` does not have. */
static void labels_merge(struct labels *labels, const struct labels *from)
{
    for (uint32_t i = 0; i < from->names_n; i++) {
        const char *at = from->text + from->names_at[i], *is = strchr(at, '=');
        uint32_t end = i + 1 < from->names_n ? from->names_at[i + 1] - 1u : from->n;
        char name[KEY_MAX];
        snprintf(name, sizeof name, "%.*s", (int)(is - at), at);
        labels_put(labels, name, is + 1, (uint32_t)(from->text + end - is - 1));
    }
}

static int label_read(struct labels *labels, struct bytes message)
{
    struct bytes key = {NULL, 0}, any = {NULL, 0}, value = {NULL, 0};
    struct field f;
    char number[32];
    int e;
    while ((e = field_next(&message, &f)) == 0) {
        if (f.number == 1 && f.wire == WIRE_BYTES)
            key = f.bytes;
        if (f.number == 2 && f.wire == WIRE_BYTES)
            any = f.bytes;
    }
    if (e != E_EOF)
        return e;
    while ((e = field_next(&any, &f)) == 0) {
        if (f.number == 1 && f.wire == WIRE_BYTES)
            value = f.bytes;
        else if (f.number == 2 && f.wire == WIRE_VARINT)
            value = bytes_of_string(f.value != 0 ? "true" : "false");
        else if (f.number == 3 && f.wire == WIRE_VARINT)
            value = bytes_of(number,
                             (uint32_t)snprintf(number, sizeof number, "%lld", (long long)f.value));
        else if (f.number == 4 && f.wire == WIRE_64)
            value = bytes_of(number,
                             (uint32_t)snprintf(number, sizeof number, "%g", double_of(f.value)));
    }
    if (e == E_EOF && key.ptr != NULL && value.ptr != NULL)
        labels_add(labels, key, value);
    return end_of(e);
}

/* All KeyValues of a message, which stand in its field `number`. */
static int labels_read(struct labels *labels, struct bytes message, uint32_t number)
{
    struct field f;
    int e;
    while ((e = field_next(&message, &f)) == 0)
        if (f.number == number && f.wire == WIRE_BYTES && (e = label_read(labels, f.bytes)) < 0)
            return e;
    return end_of(e);
}

/* ── points ── */

static uint32_t name_put(struct otlp_points *out, struct bytes name, const char *suffix)
{
    static const char head[] = "client_";
    uint32_t at = out->text_n, room = OTLP_NAME_MAX - (uint32_t)strlen(suffix);
    char *to = out->text + at;
    uint32_t n = sizeof head - 1;
    memcpy(to, head, n);
    for (uint32_t i = 0; i < name.n && n < room; i++)
        to[n++] = is_name_char(name.ptr[i]) ? (char)name.ptr[i] : '_';
    memcpy(to + n, suffix, strlen(suffix) + 1);
    out->text_n += n + (uint32_t)strlen(suffix) + 1;
    return at;
}

static void point_add(struct otlp_points *out, const struct metric *m, const struct labels *labels,
                      const char *suffix, double value)
{
    if (out->n == OTLP_POINTS_MAX ||
        out->text_n + OTLP_NAME_MAX + 1 + labels->n + 1 > OTLP_TEXT_MAX) {
        out->left_out_n++;
        return;
    }
    struct otlp_point *p = &out->v[out->n++];
    *p = (struct otlp_point){.kind = m->is_monotonic || m->is_histogram ? OTLP_COUNTER : OTLP_GAUGE,
                             .is_delta = m->is_delta,
                             .value = value};
    p->name_at = name_put(out, m->name, suffix);
    p->labels_at = out->text_n;
    memcpy(out->text + out->text_n, labels->text, labels->n);
    out->text_n += labels->n;
    out->text[out->text_n++] = 0;
    p->hash = hash_bytes(out->text + p->name_at, out->text_n - p->name_at, out->seed);
}

static int point_labels(const struct metric *m, struct bytes message, uint32_t number,
                        struct labels *labels)
{
    labels->n = labels->names_n = 0;
    labels->text[0] = 0;
    int e = labels_read(labels, message, number);
    if (e == 0)
        labels_merge(labels, m->resource);
    return e;
}

static int number_point(struct otlp_points *out, const struct metric *m, struct bytes message)
{
    struct labels labels;
    struct bytes rest = message;
    struct field f;
    double value = 0;
    bool has_value = false, is_absent = false;
    int e;
    while ((e = field_next(&rest, &f)) == 0) {
        if (f.wire == WIRE_64 && (f.number == 4 || f.number == 6)) {
            value = f.number == 4 ? double_of(f.value) : (double)(int64_t)f.value;
            has_value = true;
        }
        if (f.wire == WIRE_VARINT && f.number == 8)
            is_absent = (f.value & FLAG_NO_VALUE) != 0;
    }
    if (e != E_EOF)
        return e;
    if ((e = point_labels(m, message, 7, &labels)) < 0)
        return e;
    if (has_value && !is_absent)
        point_add(out, m, &labels, "", value);
    return 0;
}

static int histogram_point(struct otlp_points *out, const struct metric *m, struct bytes message)
{
    struct labels labels;
    struct bytes rest = message;
    struct field f;
    double count = 0, sum = 0;
    bool has_sum = false;
    int e;
    while ((e = field_next(&rest, &f)) == 0) {
        if (f.wire == WIRE_64 && f.number == 4)
            count = (double)f.value;
        if (f.wire == WIRE_64 && f.number == 5) {
            sum = double_of(f.value);
            has_sum = true;
        }
    }
    if (e != E_EOF)
        return e;
    if ((e = point_labels(m, message, 9, &labels)) < 0)
        return e;
    point_add(out, m, &labels, "_count", count);
    if (has_sum)
        point_add(out, m, &labels, "_sum", sum);
    return 0;
}

/* ── messages ── */

/* A Gauge, Sum or Histogram: what it says of itself, then its points. */
static int data_read(struct otlp_points *out, struct metric *m, struct bytes message)
{
    struct bytes rest = message;
    struct field f;
    int e;
    m->is_delta = m->is_monotonic = false;
    while ((e = field_next(&rest, &f)) == 0) {
        if (f.number == 2 && f.wire == WIRE_VARINT)
            m->is_delta = f.value == TEMPORALITY_DELTA;
        if (f.number == 3 && f.wire == WIRE_VARINT)
            m->is_monotonic = f.value != 0;
    }
    if (e != E_EOF)
        return e;
    while ((e = field_next(&message, &f)) == 0) {
        if (f.number != 1 || f.wire != WIRE_BYTES)
            continue;
        e = m->is_histogram ? histogram_point(out, m, f.bytes) : number_point(out, m, f.bytes);
        if (e < 0)
            return e;
    }
    return end_of(e);
}

static int metric_read(struct otlp_points *out, const struct labels *resource, struct bytes message)
{
    struct metric m = {.resource = resource};
    struct bytes rest = message;
    struct field f;
    int e;
    while ((e = field_next(&rest, &f)) == 0)
        if (f.number == METRIC_NAME && f.wire == WIRE_BYTES)
            m.name = f.bytes;
    if (e != E_EOF)
        return e;
    while ((e = field_next(&message, &f)) == 0) {
        out->left_out_n += f.number >= METRIC_OTHER_MIN && f.number <= METRIC_OTHER_MAX;
        if (f.wire != WIRE_BYTES || m.name.n == 0 ||
            (f.number != METRIC_GAUGE && f.number != METRIC_SUM && f.number != METRIC_HISTOGRAM))
            continue;
        m.is_histogram = f.number == METRIC_HISTOGRAM;
        if ((e = data_read(out, &m, f.bytes)) < 0)
            return e;
    }
    return end_of(e);
}

static int scope_read(struct otlp_points *out, const struct labels *resource, struct bytes message)
{
    struct field f;
    int e;
    while ((e = field_next(&message, &f)) == 0)
        if (f.number == 2 && f.wire == WIRE_BYTES && (e = metric_read(out, resource, f.bytes)) < 0)
            return e;
    return end_of(e);
}

static int resource_read(struct otlp_points *out, struct bytes message)
{
    struct bytes rest = message;
    struct labels resource = {0};
    struct field f;
    int e;
    while ((e = field_next(&rest, &f)) == 0)
        if (f.number == 1 && f.wire == WIRE_BYTES && (e = labels_read(&resource, f.bytes, 1)) < 0)
            return e;
    if (e != E_EOF)
        return e;
    while ((e = field_next(&message, &f)) == 0)
        if (f.number == 2 && f.wire == WIRE_BYTES && (e = scope_read(out, &resource, f.bytes)) < 0)
            return e;
    return end_of(e);
}

int otlp_decode(struct bytes payload, struct otlp_points *out)
{
    struct field f;
    int e;
    out->n = out->text_n = out->left_out_n = 0;
    while ((e = field_next(&payload, &f)) == 0)
        if (f.number == 1) {
            if (f.wire != WIRE_BYTES)
                return E_CORRUPT;
            if ((e = resource_read(out, f.bytes)) < 0)
                return e;
        }
    return end_of(e);
}
