/*
 * report.c - results as text and as JSON.
 *
 * Owner: the generator, at the end.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "load.h"

static const char *const codec_names[] = {"none", "gzip", "snappy", "lz4", "zstd"};

struct quantile {
    const char *name;
    uint32_t per_million;
};
static const struct quantile quantiles[] = {
    {"p50", 500000}, {"p90", 900000}, {"p99", 990000}, {"p99.9", 999000}, {"p99.99", 999900},
};

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

bool load_is_complete(const struct load_result *r)
{
    return !r->is_behind && r->errors == 0 && r->unanswered == 0 && r->unmatched == 0;
}

const char *load_time_text(char to[LOAD_TIME_TEXT], uint64_t ns)
{
    if (ns < 1000)
        snprintf(to, LOAD_TIME_TEXT, "%llu ns", (unsigned long long)ns);
    else if (ns < 100 * 1000)
        snprintf(to, LOAD_TIME_TEXT, "%.1f us", (double)ns / 1e3);
    else if (ns < 1000 * 1000)
        snprintf(to, LOAD_TIME_TEXT, "%.0f us", (double)ns / 1e3);
    else if (ns < 10 * 1000 * 1000)
        snprintf(to, LOAD_TIME_TEXT, "%.2f ms", ms(ns));
    else if (ns < NS_PER_S)
        snprintf(to, LOAD_TIME_TEXT, "%.1f ms", ms(ns));
    else
        snprintf(to, LOAD_TIME_TEXT, "%.2f s", (double)ns / 1e9);
    return to;
}

static void text_latency(FILE *to, const char *name, const struct histogram *h)
{
    char text[LOAD_TIME_TEXT];
    if (atomic_load_explicit(&h->n, memory_order_relaxed) == 0)
        return;
    fprintf(to, "  %-11s", name);
    for (size_t i = 0; i < array_n(quantiles); i++)
        fprintf(to, "  %s %s", quantiles[i].name,
                load_time_text(text, histogram_quantile(h, quantiles[i].per_million)));
    fprintf(to, "  max %s\n",
            load_time_text(text, atomic_load_explicit(&h->max, memory_order_relaxed)));
}

static void text_cost(FILE *to, const struct load_result *r)
{
    double gb = (double)(r->bytes > 0 ? r->bytes : r->consumed_bytes) / 1e9;
    if (r->broker_cpu_s >= 0 && gb > 0)
        fprintf(
            to,
            "  broker       %.2f CPU-s, %.2f CPU-s/GB, %.1f us per request, %.0f MiB resident\n",
            r->broker_cpu_s, r->broker_cpu_s / gb,
            r->broker_cpu_s * 1e6 / (double)max_u64(1, r->requests),
            (double)r->broker_rss_bytes / 1048576);
    fprintf(to, "  client       %.2f CPU-s of %.1f s; machine busy %.2f CPU-s, steal %.2f s\n",
            r->client_cpu_s, r->seconds, r->machine_cpu_s, r->steal_s);
}

static void text_result(FILE *to, const struct load_result *r)
{
    if (r->rate > 0)
        fprintf(to, "rate %.0f records/s, latency from the intended send time:\n", r->rate);
    else
        fprintf(to, "as fast as possible, latency from the send:\n");
    fprintf(to, "  produced     %.0f records/s, %.1f MB/s (%.0f requests/s) over %.1f s\n",
            (double)r->records / r->seconds, (double)r->bytes / 1e6 / r->seconds,
            (double)r->requests / r->seconds, r->seconds);
    if (r->consumed_records > 0)
        fprintf(to, "  consumed     %.0f records/s, %.1f MB/s\n",
                (double)r->consumed_records / r->seconds,
                (double)r->consumed_bytes / 1e6 / r->seconds);
    text_latency(to, "produce", &r->produce);
    text_latency(to, "end to end", &r->end_to_end);
    text_latency(to, "own stalls", &r->stalls);
    if (r->is_behind)
        fprintf(
            to,
            "  BEHIND       %llu of %llu requests that were due had not been sent at the end: %s\n",
            (unsigned long long)r->behind, (unsigned long long)r->due,
            r->is_window_full ? "the broker does not reach this rate"
                              : "the generator does not reach this rate on this core");
    if (r->unanswered > 0)
        fprintf(to,
                "  UNANSWERED   %llu requests had no answer by the end of the run; the latencies "
                "count their age\n",
                (unsigned long long)r->unanswered);
    if (r->unmatched > 0)
        fprintf(to,
                "  UNMATCHED    %llu batches had not been received by the consumer; end to end is "
                "without them\n",
                (unsigned long long)r->unmatched);
    if (r->errors > 0)
        fprintf(to, "  ERRORS       %llu answers with an error, the first one with code %d\n",
                (unsigned long long)r->errors, r->first_error);
    text_cost(to, r);
}

static const char *keys_text(const struct load_options *o)
{
    if (o->keys_n == 0)
        return "";
    return o->keys == LOAD_KEYS_ZIPF ? " zipf" : " uniform";
}

void load_report_text(FILE *to, const struct load_options *o, const struct load_host *host,
                      const struct load_result *results, uint32_t n)
{
    char keys_n_text[32] = "no keys";
    if (o->keys_n > 0)
        snprintf(keys_n_text, sizeof keys_n_text, "%u keys", o->keys_n);
    fprintf(to, "millrace bench %s\n", o->label);
    fprintf(to, "  %s, %d cores, %s, %s, %s, load before %.2f\n", host->cpu, host->cores,
            host->kernel, host->file_system, host->date, host->load_before);
    fprintf(to,
            "  %u topic(s) x %u partition(s), %u producer(s), %u x %u consumer(s), records %u B, "
            "batches %u B,"
            " acks %s, codec %s, entropy %.2f, window %u\n  %s%s, over %s%s\n\n",
            o->topics_n, o->partitions_n, o->producers_n, o->groups_n, o->consumers_n,
            o->record_bytes, o->batch_bytes,
            o->acks < 0    ? "all"
            : o->acks == 0 ? "0"
                           : "1",
            codec_names[o->codec], o->entropy, o->window, keys_n_text, keys_text(o),
            o->port.name[0] == 0 ? "kernel sockets" : "own TCP on ", o->port.name);
    for (uint32_t i = 0; i < n; i++)
        text_result(to, &results[i]);
    if (host->load_before > 1.0)
        fprintf(to, "\nthe machine was busy before the run (load %.2f): compare with care\n",
                host->load_before);
}

/* ── JSON ── */

static json_t *json_latency(const struct histogram *h)
{
    json_t *o = json_object();
    uint64_t n = atomic_load_explicit(&h->n, memory_order_relaxed);
    json_object_set_new(o, "count", json_integer((json_int_t)n));
    for (size_t i = 0; i < array_n(quantiles); i++)
        json_object_set_new(o, quantiles[i].name,
                            json_real(ms(histogram_quantile(h, quantiles[i].per_million))));
    json_object_set_new(o, "max",
                        json_real(ms(atomic_load_explicit(&h->max, memory_order_relaxed))));
    json_object_set_new(
        o, "mean",
        json_real(n == 0 ? 0 : ms(atomic_load_explicit(&h->sum, memory_order_relaxed) / n)));
    return o;
}

static json_t *json_seconds(const struct load_result *r)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < r->seconds_n; i++) {
        const struct load_second *s = &r->seconds_v[i];
        json_array_append_new(a, json_pack("{s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:f}", "records",
                                           (json_int_t)s->records, "bytes", (json_int_t)s->bytes,
                                           "requests", (json_int_t)s->requests, "consumed_bytes",
                                           (json_int_t)s->consumed_bytes, "p50_ms", ms(s->p50_ns),
                                           "p99_ms", ms(s->p99_ns), "max_ms", ms(s->max_ns),
                                           "stall_ms", ms(s->stall_ns_max)));
    }
    return a;
}

static json_t *json_result(const struct load_result *r)
{
    json_t *o = json_pack(
        "{s:f,s:f,s:I,s:I,s:I,s:I,s:i,s:I,s:I,s:I}", "rate", r->rate, "seconds", r->seconds,
        "records", (json_int_t)r->records, "bytes", (json_int_t)r->bytes, "requests",
        (json_int_t)r->requests, "errors", (json_int_t)r->errors, "first_error",
        (int)r->first_error, "behind", (json_int_t)r->behind, "consumed_records",
        (json_int_t)r->consumed_records, "consumed_bytes", (json_int_t)r->consumed_bytes);
    json_object_set_new(o, "due", json_integer((json_int_t)r->due));
    json_object_set_new(o, "is_behind", json_boolean(r->is_behind));
    json_object_set_new(o, "unanswered", json_integer((json_int_t)r->unanswered));
    json_object_set_new(o, "unmatched", json_integer((json_int_t)r->unmatched));
    json_object_set_new(o, "is_complete", json_boolean(load_is_complete(r)));
    json_object_set_new(o, "records_per_s", json_real((double)r->records / r->seconds));
    json_object_set_new(o, "mb_per_s", json_real((double)r->bytes / 1e6 / r->seconds));
    json_object_set_new(o, "requests_per_s", json_real((double)r->requests / r->seconds));
    json_object_set_new(o, "broker_cpu_s", json_real(r->broker_cpu_s));
    json_object_set_new(o, "client_cpu_s", json_real(r->client_cpu_s));
    json_object_set_new(o, "machine_cpu_s", json_real(r->machine_cpu_s));
    json_object_set_new(o, "steal_s", json_real(r->steal_s));
    json_object_set_new(o, "broker_rss_bytes", json_integer((json_int_t)r->broker_rss_bytes));
    json_object_set_new(o, "produce_ms", json_latency(&r->produce));
    json_object_set_new(o, "end_to_end_ms", json_latency(&r->end_to_end));
    json_object_set_new(o, "own_stalls_ms", json_latency(&r->stalls));
    json_object_set_new(o, "series", json_seconds(r));
    return o;
}

static json_t *json_all(const struct load_options *o, const struct load_host *host,
                        const struct load_result *results, uint32_t n)
{
    json_t *all = json_object(), *list = json_array();
    json_object_set_new(all, "label", json_string(o->label));
    json_object_set_new(all, "port", json_string(o->port.name)); /* "": kernel sockets */
    json_object_set_new(all, "host",
                        json_pack("{s:s,s:i,s:s,s:s,s:s,s:I,s:f}", "cpu", host->cpu, "cores",
                                  host->cores, "kernel", host->kernel, "file_system",
                                  host->file_system, "date", host->date, "memory_bytes",
                                  (json_int_t)host->memory_bytes, "load_before",
                                  host->load_before));
    json_object_set_new(
        all, "options",
        json_pack("{s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:f,s:i,s:s,s:i,s:f,s:f}", "bootstrap",
                  o->bootstrap, "topics", (int)o->topics_n, "partitions", (int)o->partitions_n,
                  "producers", (int)o->producers_n, "consumers", (int)o->consumers_n, "readers",
                  (int)o->groups_n, "record_bytes", (int)o->record_bytes, "batch_bytes",
                  (int)o->batch_bytes, "acks", (int)o->acks, "codec", codec_names[o->codec],
                  "entropy", o->entropy, "keys", (int)o->keys_n, "key_distribution", keys_text(o),
                  "window", (int)o->window, "duration_s", o->duration_s,
                  "warmup_s", o->warmup_s));
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(list, json_result(&results[i]));
    json_object_set_new(all, "results", list);
    return all;
}

int load_report_json(const char *path, const struct load_options *o, const struct load_host *host,
                     const struct load_result *results, uint32_t n)
{
    json_t *all = json_all(o, host, results, n);
    int rc =
        json_dump_file(all, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6) | JSON_PRESERVE_ORDER);
    json_decref(all);
    if (rc != 0)
        fprintf(stderr, "millrace bench: cannot write %s: %s\n", path, strerror(errno));
    return rc == 0 ? 0 : E_IO;
}
