/*
 * slow_page.c - the answer to GET /slow: the slowest requests and the longest turns, as JSON.
 *
 * Owner: the HTTP thread, which only reads (top.h).
 *
 *   {"turn_budget_ns":..., "now_ms":...,
 *    "windows":{"start":{"requests":[REQUEST...],"turns":[TURN...]},"minute":{...}}}
 *
 *   REQUEST {"api","ranked_by":"total"|"own","total_ns","culprit","why","culprit_ns","version",
 *            "worker","peer","has_left","sent_ms","frame_bytes","answer_bytes","overrun":{...},
 *            "stall":{"device","directory","ns","took_ns"} (when a disk stood still meanwhile),
 *            "network":{"holes","sent_again","window_shut"} (over our own TCP),
 *            "stages":[{"stage","text","ns","overrun_ns","culprit"}...]}
 *   TURN    {"worker","took_ns","began_ms","cause","why","steps":[{"step","ns"}...]}
 *
 * The "ns" of a request's stages sum to its "total_ns"; those of a turn's steps to its "took_ns".
 * Bounded: TOP_KEEP requests per API and window, whatever the number of workers.
 */
#include "metrics.h"
#include "proto.h"

struct name_text {
    const char *name, *text;
};

static const struct name_text stage_rows[] = {
#define STAGE(name, text, culprit) {#name, text},
    STAGES(STAGE)
#undef STAGE
};

static const struct name_text culprit_rows[] = {
#define CULPRIT(name, word, text) {word, text},
    CULPRITS(CULPRIT)
#undef CULPRIT
};

static const struct name_text step_rows[] = {
#define STEP(name, text) {#name, text},
    TURN_STEPS(STEP)
#undef STEP
};

static const char *const window_names[TOP_WINDOWS_N] = {"start", "minute"};

/* ── requests ── */

/* On our own TCP two of them mean more: see transport_tcp.c. */
static const char *stage_text(const struct slow *s, int stage)
{
    if (s->is_own_tcp && stage == STAGE_COMPLETE)
        return "the packet with the last byte of the frame was received";
    if (s->is_own_tcp && stage == STAGE_SENT)
        return "the whole answer was acknowledged by the client";
    return stage_rows[stage].text;
}

static void stages_write(const struct slow *s, FILE *to)
{
    const char *comma = "";
    fprintf(to, "\"stages\":[");
    for (int i = STAGE_FIRST_BYTE + 1; i < STAGES_N; i++) {
        uint64_t overrun_ns = min_u64(s->overrun_us[i] * NS_PER_US, s->stages_ns[i]);
        enum culprit culprit = slow_stage_culprit(s, (enum stage)i);
        if (s->stages_ns[i] == 0)
            continue;
        fprintf(to,
                "%s{\"stage\":\"%s\",\"text\":\"%s\",\"ns\":%llu,\"overrun_ns\":%llu,"
                "\"culprit\":\"%s\"}",
                comma, stage_rows[i].name, stage_text(s, i), (unsigned long long)s->stages_ns[i],
                (unsigned long long)overrun_ns, culprit_rows[culprit].name);
        comma = ",";
    }
    fprintf(to, "]");
}

/* A path may have what JSON does not take as it is. */
static void path_write(const char *path, FILE *to)
{
    for (; *path != 0; path++)
        if (*path == '"' || *path == '\\')
            fprintf(to, "\\%c", *path);
        else if ((unsigned char)*path < 0x20)
            fprintf(to, "\\u%04x", (unsigned char)*path);
        else
            fputc(*path, to);
}

static void stall_write(const struct broker *b, const struct slow *s, FILE *to)
{
    const struct log_dir *dir = &b->dirs[s->stall_dir];
    if (s->stall_ns == 0)
        return;
    fprintf(to, "\"stall\":{\"device\":\"");
    path_write(dir->device[0] != 0 ? dir->device : "unknown", to);
    fprintf(to, "\",\"directory\":\"");
    path_write(dir->path, to);
    fprintf(to, "\",\"ns\":%llu,\"took_ns\":%llu},", (unsigned long long)s->stall_ns,
            (unsigned long long)s->stall_took_ns);
}

static void request_write(const struct broker *b, const struct slow *s, bool is_own, FILE *to)
{
    uint64_t culprit_ns;
    enum culprit culprit = slow_culprit(s, &culprit_ns);
    fprintf(to,
            "{\"api\":\"%s\",\"ranked_by\":\"%s\",\"total_ns\":%llu,\"culprit\":\"%s\","
            "\"why\":\"%s\",\"culprit_ns\":%llu,\"version\":%d,\"worker\":%u,\"peer\":\"%s\","
            "\"has_left\":%s,\"sent_ms\":%lld,\"frame_bytes\":%u,\"answer_bytes\":%u,",
            proto_api_name(s->api_key), is_own ? "own" : "total", (unsigned long long)s->total_ns,
            culprit_rows[culprit].name, culprit_rows[culprit].text, (unsigned long long)culprit_ns,
            s->version, s->worker, s->peer, s->has_left ? "true" : "false", (long long)s->wall_ms,
            s->frame_bytes, s->answer_bytes);
    if (s->overrun_turn_ns > 0)
        fprintf(to,
                "\"overrun\":{\"turn_ns\":%llu,\"step\":\"%s\",\"why\":\"%s\",\"step_ns\":%llu},",
                (unsigned long long)s->overrun_turn_ns, step_rows[s->overrun_step].name,
                step_rows[s->overrun_step].text, (unsigned long long)s->overrun_step_ns);
    stall_write(b, s, to);
    if (s->is_own_tcp)
        fprintf(to, "\"network\":{\"holes\":%u,\"sent_again\":%u,\"window_shut\":%s},", s->holes_n,
                s->again_n, s->was_window_shut ? "true" : "false");
    stages_write(s, to);
    fprintf(to, "}");
}

/* The words of an entry, which another thread wrote whole (top.h), are taken for what they are. */
static bool slow_of(const struct top_item *item, struct slow *s)
{
    memcpy(s, item->w, sizeof *s);
    s->peer[sizeof s->peer - 1] = '\0';
    return s->overrun_step < TURN_STEPS_N && s->stall_dir <= LOG_DIRS_MAX;
}

static void requests_write(const struct broker *b, enum top_window window, uint64_t now_ns,
                           FILE *to)
{
    struct top_item items[TOP_KEEP];
    const char *comma = "";
    struct slow s;
    for (uint32_t row = 0; row < kafka_slow_rows(); row++) {
        bool is_own;
        uint32_t n = 0;
        (void)kafka_slow_row(row, &is_own);
        for (uint8_t i = 0; i < b->workers_n; i++)
            if (b->workers[i]->kafka != NULL)
                n = kafka_slow(b->workers[i]->kafka, row, window, now_ns, items, n);
        for (uint32_t i = 0; i < n; i++) {
            if (!slow_of(&items[i], &s))
                continue;
            fprintf(to, "%s\n", comma);
            request_write(b, &s, is_own, to);
            comma = ",";
        }
    }
}

/* ── turns ── */

static void turn_write(const struct turn_overrun *o, uint8_t worker, FILE *to)
{
    enum turn_step cause = turn_cause(o);
    const char *comma = "";
    fprintf(to,
            "{\"worker\":%u,\"took_ns\":%llu,\"began_ms\":%lld,\"cause\":\"%s\",\"why\":\"%s\","
            "\"steps\":[",
            worker, (unsigned long long)o->took_ns, (long long)o->wall_ms, step_rows[cause].name,
            step_rows[cause].text);
    for (int i = 0; i < TURN_STEPS_N; i++) {
        if (o->steps_ns[i] == 0)
            continue;
        fprintf(to, "%s{\"step\":\"%s\",\"ns\":%llu}", comma, step_rows[i].name,
                (unsigned long long)o->steps_ns[i]);
        comma = ",";
    }
    fprintf(to, "]}");
}

static void turns_write(const struct broker *b, enum top_window window, uint64_t now_ns, FILE *to)
{
    const char *comma = "";
    for (uint8_t i = 0; i < b->workers_n; i++) {
        struct top_item items[TOP_KEEP];
        struct turn_overrun o;
        uint32_t n = top_read(&b->workers[i]->turns.top, window, now_ns, items, 0);
        for (uint32_t j = 0; j < n; j++) {
            memcpy(&o, items[j].w, sizeof o);
            fprintf(to, "%s\n", comma);
            turn_write(&o, i, to);
            comma = ",";
        }
    }
}

void slow_write(const struct broker *b, struct now now, FILE *to)
{
    const char *comma = "";
    fprintf(to, "{\"turn_budget_ns\":%llu,\"now_ms\":%lld,\"windows\":{",
            (unsigned long long)TURN_BUDGET_NS, (long long)now.wall_ms);
    for (int window = 0; window < TOP_WINDOWS_N; window++) {
        fprintf(to, "%s\"%s\":{\"requests\":[", comma, window_names[window]);
        requests_write(b, (enum top_window)window, now.ns, to);
        fprintf(to, "],\"turns\":[");
        turns_write(b, (enum top_window)window, now.ns, to);
        fprintf(to, "]}");
        comma = ",";
    }
    fprintf(to, "}}\n");
}
