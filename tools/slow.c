/*
 * slow.c - `millrace slow`: the slowest requests of a broker as waterfalls, each with its culprit.
 *
 * Owner: the process, which has one thread.
 *
 * Everything comes from GET /slow of the admin listener (dataplane/slow_page.c); here it is chosen
 * and drawn. Each stage is a line whose bar begins where the stage before it ended; "!" is the part
 * of it that a turn of the worker took which overran its budget.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "admin.h"
#include "proto.h"

enum { BAR_N = 44, TURNS_SHOWN = 8, STEP_NS_SHOWN = 10000 };

const char slow_help[] =
    "millrace slow [options]                     the slowest requests, and who is to blame\n"
    "\n"
    "  --last minute|start     in the last minute (the default), or since the broker started\n"
    "  --api NAME              only this API: Produce, Fetch, Metadata, ...\n"
    "  --admin HOST:PORT       the broker's admin.listeners (default " ADMIN_DEFAULT ")\n"
    "  --json                  what the broker said, for programs\n"
    "\n"
    "  Each request is a waterfall: one line per stage, from its first byte to its answer handed\n"
    "  to the transport. The lines sum to its time. \"!\" is time in a turn of the worker that "
    "took\n"
    "  longer than 1 ms; `turns` at the end says which step of it took how long.\n"
    "\n"
    "  What to do about a culprit:\n"
    "    client_sending        nothing here: the client or the network between\n"
    "    admission             raise queued.max.request.bytes, or send smaller requests\n"
    "    tail_room             the disk is slower than what is produced; storage.tail.bytes\n"
    "    write, device_flush   the disk; compare with `fio`, or `millrace bench`\n"
    "    disk_stall            the device stood still; its log, and what else it does\n"
    "    flush_wait            many small flushes: storage.group.max.ms, more bytes in a request\n"
    "    min_bytes             the consumer asked to wait (fetch.min.bytes, fetch.max.wait.ms)\n"
    "    mail, turn_overrun    a worker is busy: more dataplane.workers, or cores of their own\n"
    "    order                 look at the requests before it on the same connection (peer)\n"
    "    network               segments were lost; known over our own TCP alone\n"
    "    client_reading        the client does not take its answers: it is slow, or its network\n"
    "\n"
    "  Fetches stand twice: by their whole time, and by the time beside their wait for records.\n"
    "\n"
    "  millrace slow --api Produce\n"
    "  millrace slow --last start --json | jq '.windows.start.requests[] | [.api,.culprit]'\n";

static uint64_t number_of(const json_t *object, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(object, name));
    return n < 0 ? 0 : (uint64_t)n;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

static double ms_of(uint64_t ns)
{
    return (double)ns / 1e6;
}

/* ── a waterfall ── */

static void bar_draw(uint64_t from_ns, uint64_t ns, uint64_t overrun_ns, uint64_t total_ns)
{
    char bar[BAR_N + 1];
    double scale = total_ns == 0 ? 0 : (double)BAR_N / (double)total_ns;
    int from = (int)((double)from_ns * scale), to = (int)((double)(from_ns + ns) * scale + 0.5);
    int overrun = (int)((double)overrun_ns * scale + 0.5);
    memset(bar, ' ', BAR_N);
    bar[BAR_N] = 0;
    from = from > BAR_N - 1 ? BAR_N - 1 : from;
    to = to > BAR_N ? BAR_N : to;
    for (int i = from; i < to || i == from; i++)
        bar[i] = i < from + overrun ? '!' : '=';
    printf("|%s|", bar);
}

static void when_print(uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[16] = "";
    if (gmtime_r(&seconds, &tm) != NULL)
        strftime(text, sizeof text, "%H:%M:%S", &tm);
    printf("%s.%03u UTC", text, (unsigned)(wall_ms % 1000));
}

static void request_print(const json_t *r, unsigned place)
{
    uint64_t total_ns = number_of(r, "total_ns"), at_ns = 0;
    const json_t *stages = json_object_get(r, "stages"), *stage;
    const json_t *overrun = json_object_get(r, "overrun"), *stall = json_object_get(r, "stall");
    const json_t *network = json_object_get(r, "network");
    size_t i;
    printf("  %u. %.2f ms  sent ", place, ms_of(total_ns));
    when_print(number_of(r, "sent_ms"));
    printf("  v%" PRIu64 "  %s  worker %" PRIu64 "  %" PRIu64 " B in, %" PRIu64 " B out\n",
           number_of(r, "version"),
           json_is_true(json_object_get(r, "has_left")) ? "connection ended" : text_of(r, "peer"),
           number_of(r, "worker"), number_of(r, "frame_bytes"), number_of(r, "answer_bytes"));
    printf("     culprit %s, %.2f ms: %s\n", text_of(r, "culprit"),
           ms_of(number_of(r, "culprit_ns")), text_of(r, "why"));
    if (overrun != NULL)
        printf("     a turn took %.2f ms, of it %.2f ms %s: %s\n",
               ms_of(number_of(overrun, "turn_ns")), ms_of(number_of(overrun, "step_ns")),
               text_of(overrun, "step"), text_of(overrun, "why"));
    if (stall != NULL)
        printf("     it was the disk: device %s stalled %.0f ms (%s), of which it waited %.2f ms\n",
               text_of(stall, "device"), ms_of(number_of(stall, "took_ns")),
               text_of(stall, "directory"), ms_of(number_of(stall, "ns")));
    if (number_of(network, "holes") + number_of(network, "sent_again") > 0)
        printf("     the network: %" PRIu64 " times bytes of the request were missing, %" PRIu64
               " segments of the answer were sent again\n",
               number_of(network, "holes"), number_of(network, "sent_again"));
    json_array_foreach(stages, i, stage)
    {
        uint64_t ns = number_of(stage, "ns");
        printf("     %10.2f ms ", ms_of(ns));
        bar_draw(at_ns, ns, number_of(stage, "overrun_ns"), total_ns);
        printf(" %s\n", text_of(stage, "text"));
        at_ns += ns;
    }
    printf("     %10.2f ms in all\n\n", ms_of(at_ns));
}

static unsigned requests_print(const json_t *window, const char *api)
{
    const json_t *requests = json_object_get(window, "requests"), *r;
    const char *last_api = "", *last_rank = "";
    unsigned place = 0, n = 0;
    size_t i;
    json_array_foreach(requests, i, r)
    {
        const char *name = text_of(r, "api"), *rank = text_of(r, "ranked_by");
        if (api != NULL && strcasecmp(api, name) != 0)
            continue;
        if (strcmp(name, last_api) != 0 || strcmp(rank, last_rank) != 0) {
            printf("%s%s\n", name,
                   strcmp(rank, "own") == 0 ? ", by the time beside the wait for records" : "");
            place = 0;
        }
        last_api = name;
        last_rank = rank;
        request_print(r, ++place);
        n++;
    }
    return n;
}

static void turns_print(const json_t *window)
{
    const json_t *turns = json_object_get(window, "turns"), *turn, *step;
    size_t i, j;
    if (json_array_size(turns) > 0)
        printf("Turns of workers that overran their budget\n");
    json_array_foreach(turns, i, turn)
    {
        if (i >= TURNS_SHOWN)
            break;
        printf("  worker %" PRIu64 "  %.2f ms  ", number_of(turn, "worker"),
               ms_of(number_of(turn, "took_ns")));
        when_print(number_of(turn, "began_ms"));
        printf("  %s: %s\n            ", text_of(turn, "cause"), text_of(turn, "why"));
        json_array_foreach(json_object_get(turn, "steps"), j,
                           step) if (number_of(step, "ns") >= STEP_NS_SHOWN)
            printf(" %s %.2f", text_of(step, "step"), ms_of(number_of(step, "ns")));
        printf("\n");
    }
}

/* ── the command ── */

/* Leaves in the answer only what was asked for. */
static void answer_filter(json_t *windows, const char *last, const char *api)
{
    json_t *window = json_object_get(windows, last);
    json_t *requests = json_object_get(window, "requests");
    json_object_del(windows, strcmp(last, "minute") == 0 ? "start" : "minute");
    for (size_t i = json_array_size(requests); api != NULL && i-- > 0;)
        if (strcasecmp(api, text_of(json_array_get(requests, i), "api")) != 0)
            json_array_remove(requests, i);
}

static int slow_print(const struct cli *cli, json_t *answer, const char *last, const char *api)
{
    json_t *windows = json_object_get(answer, "windows");
    const char *when = strcmp(last, "minute") == 0 ? "in the last minute" : "since the start";
    answer_filter(windows, last, api);
    if (cli->is_json) {
        cli_json(json_incref(answer));
        return cli_finish(cli);
    }
    if (requests_print(json_object_get(windows, last), api) == 0)
        printf("%s%sno request was answered %s\n", api == NULL ? "" : api, api == NULL ? "" : ": ",
               when);
    turns_print(json_object_get(windows, last));
    return cli_finish(cli);
}

static int slow_ask(const struct cli *cli, const char *admin, const char *last, const char *api)
{
    char *text;
    int status = admin_get(admin, "/slow", cli->timeout_ms, &text);
    json_t *answer = status == 200 ? json_loads(text, 0, NULL) : NULL;
    if (status < 0)
        status = admin_failed(cli, admin, status);
    else if (answer == NULL)
        status = cli_fail(cli, "%s answers %d: %.200s", admin, status, text);
    else
        status = slow_print(cli, answer, last, api);
    json_decref(answer);
    free(text);
    return status;
}

static bool is_api(const char *name)
{
    for (int16_t key = 0; key < PROTO_APIS_N; key++)
        if (proto_api_name(key) != NULL && strcasecmp(name, proto_api_name(key)) == 0)
            return true;
    return false;
}

int slow_command(struct cli *cli, int argc, char **argv)
{
    enum { ADMIN = CLI_OPTION_OWN, API, LAST };
    static const struct option options[] = {{"admin", required_argument, NULL, ADMIN},
                                            {"api", required_argument, NULL, API},
                                            {"last", required_argument, NULL, LAST},
                                            CLI_OPTIONS};
    const char *admin = ADMIN_DEFAULT, *api = NULL, *last = "minute";
    int option, status = CLI_OK;
    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0) {
        if (option == ADMIN)
            admin = optarg;
        else if (option == API)
            api = optarg;
        else if (option == LAST)
            last = optarg;
    }
    if (option == CLI_OPTION_END)
        return status;
    if (argc != optind)
        return cli_usage(cli, "%s: no argument is expected", argv[optind]);
    if (strcmp(last, "minute") != 0 && strcmp(last, "start") != 0)
        return cli_usage(cli, "--last %s: expected minute or start", last);
    if (api != NULL && !is_api(api))
        return cli_usage(cli, "--api %s: expected an API such as Produce; `millrace api` has all",
                         api);
    return slow_ask(cli, admin, last, api);
}
