/*
 * options.c - the command line of `millrace bench`, in the words of the ecosystem's own tools.
 *
 * Owner: immutable after parsing.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"
#include "endpoint.h"
#include "load.h"

const char bench_help[] =
    "millrace bench - measure any Kafka-protocol broker, open loop\n"
    "\n"
    "  millrace bench --rate 50000 --duration 30            50,000 records/s for 30 s, latency "
    "from the schedule\n"
    "  millrace bench --rate max --producers 4              as fast as the broker takes them\n"
    "  millrace bench --rate 10k,20k,50k --html curve.html  a latency curve in steps\n"
    "  millrace bench --consumers 2 --rate 20k              with end-to-end latency\n"
    "  millrace bench --ceiling                             what the generator itself can do\n"
    "\n"
    "what is sent\n"
    "  --topic NAME            default millrace-bench; made when missing, deleted afterwards\n"
    "  --topics N              topics NAME-0 .. NAME-(N-1) instead of one        (1)\n"
    "  --partitions N          per topic                                         (1)\n"
    "  --record-size BYTES     of the value                                      (1024)\n"
    "  --batch-size BYTES      of one record batch, about                        (16384)\n"
    "  --codec NAME            none, gzip, snappy, lz4, zstd                     (none)\n"
    "  --entropy 0..1          share of random bytes in the values               (1)\n"
    "  --keys N                different keys; 0: records without keys           (0)\n"
    "  --key-distribution uniform|zipf   zipf: the k-th most frequent key 1/k as often (uniform)\n"
    "  --acks 0|1|all                                                            (all)\n"
    "how\n"
    "  --bootstrap-server HOST:PORT                                              (127.0.0.1:9092)\n"
    "  --producers N           connections that produce                          (1)\n"
    "  --consumers N           connections that fetch, per reader                (0)\n"
    "  --readers N             independent readers of everything (fan-out)       (1)\n"
    "  --rate R[,R...]         records/s over all producers, 'max', steps by comma (max)\n"
    "  --window N              requests of a connection under way                (8; 1,000 with a "
    "rate)\n"
    "  --duration S --warmup S                                                   (30, 5)\n"
    "  --ceiling               against a server of its own that does nothing\n"
    "  --seed N                of the payload                                    (1)\n"
    "  --cpu N                 pin the generator to this core\n"
    "over our own TCP on a port of DPDK instead of kernel sockets\n"
    "  --dpdk-devargs DEVICE[,ARGS]   net_memif0,role=client,socket=/run/m.sock, "
    "net_af_packet0,iface=veth0\n"
    "  --address IP/LENGTH     the port's, 10.77.0.2/24; with --bootstrap-server IP:PORT\n"
    "  --gateway IP            when the broker is in another network\n"
    "what comes out\n"
    "  --json FILE --html FILE --label TEXT --quiet\n"
    "  --broker-pid PID        also report the broker's CPU seconds and memory\n"
    "  --keep-topic            do not delete the topic\n"
    "\n"
    "Latencies count from the intended send time when a rate is given, from the real one with "
    "'max'.\n"
    "Exit status: 0 a complete result, 1 none (one line says why), 2 the command line was wrong, 3 "
    "a result, but the\n"
    "rate was not reached or answers were errors or missing: the lines BEHIND, ERRORS, UNANSWERED, "
    "UNMATCHED.\n";

enum {
    O_TOPICS = 256,
    O_PARTITIONS,
    O_RECORD,
    O_BATCH,
    O_CODEC,
    O_ENTROPY,
    O_KEYS,
    O_KEY_DISTRIBUTION,
    O_ACKS,
    O_PRODUCERS,
    O_CONSUMERS,
    O_READERS,
    O_RATE,
    O_WINDOW,
    O_DURATION,
    O_WARMUP,
    O_CEILING,
    O_SEED,
    O_CPU,
    O_JSON,
    O_HTML,
    O_LABEL,
    O_QUIET,
    O_PID,
    O_KEEP,
    O_TOPIC,
    O_BOOTSTRAP,
    O_DEVARGS,
    O_ADDRESS,
    O_GATEWAY,
    O_HELP
};

static const struct option longs[] = {
    {"topics", 1, NULL, O_TOPICS},
    {"partitions", 1, NULL, O_PARTITIONS},
    {"record-size", 1, NULL, O_RECORD},
    {"batch-size", 1, NULL, O_BATCH},
    {"codec", 1, NULL, O_CODEC},
    {"entropy", 1, NULL, O_ENTROPY},
    {"keys", 1, NULL, O_KEYS},
    {"key-distribution", 1, NULL, O_KEY_DISTRIBUTION},
    {"acks", 1, NULL, O_ACKS},
    {"producers", 1, NULL, O_PRODUCERS},
    {"consumers", 1, NULL, O_CONSUMERS},
    {"readers", 1, NULL, O_READERS},
    {"rate", 1, NULL, O_RATE},
    {"window", 1, NULL, O_WINDOW},
    {"duration", 1, NULL, O_DURATION},
    {"warmup", 1, NULL, O_WARMUP},
    {"ceiling", 0, NULL, O_CEILING},
    {"seed", 1, NULL, O_SEED},
    {"cpu", 1, NULL, O_CPU},
    {"json", 1, NULL, O_JSON},
    {"html", 1, NULL, O_HTML},
    {"label", 1, NULL, O_LABEL},
    {"quiet", 0, NULL, O_QUIET},
    {"broker-pid", 1, NULL, O_PID},
    {"keep-topic", 0, NULL, O_KEEP},
    {"topic", 1, NULL, O_TOPIC},
    {"bootstrap-server", 1, NULL, O_BOOTSTRAP},
    {"dpdk-devargs", 1, NULL, O_DEVARGS},
    {"address", 1, NULL, O_ADDRESS},
    {"gateway", 1, NULL, O_GATEWAY},
    {"help", 0, NULL, O_HELP},
    {NULL, 0, NULL, 0},
};

static int bad(const char *what, const char *value, const char *want)
{
    fprintf(stderr, "millrace bench: --%s%s%s: %s\n", what, value[0] == 0 ? "" : " ", value, want);
    return 2;
}

static int wrong_option(const char *word, bool lacks_value)
{
    fprintf(stderr, "millrace bench: %s%s\nSee: millrace bench --help\n",
            lacks_value ? "a value is missing behind " : "unknown option ", word);
    return 2;
}

/* Known before the load runs, not after it. */
static int check_file(const char *what, const char *path)
{
    char directory[PATH_MAX];
    if (path == NULL)
        return 0;
    const char *slash = strrchr(path, '/');
    snprintf(directory, sizeof directory, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
             slash == NULL ? "." : path);
    return access(directory, W_OK | X_OK) == 0 || access(path, W_OK) == 0
               ? 0
               : bad(what, path, "no file can be written there");
}

/* A positive number with an optional k, M suffix. */
static bool parse_number(const char *text, double min, double max, double *out)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text)
        return false;
    if (*end == 'k' || *end == 'K')
        v *= 1e3, end++;
    else if (*end == 'm' || *end == 'M')
        v *= 1e6, end++;
    if (*end != 0 || !(v >= min && v <= max))
        return false;
    *out = v;
    return true;
}

static int parse_rates(struct load_options *o, const char *text)
{
    char copy[512];
    char *save = NULL;
    o->rates_n = 0;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *part = strtok_r(copy, ",", &save); part != NULL; part = strtok_r(NULL, ",", &save)) {
        if (o->rates_n == LOAD_STEPS_MAX)
            return bad("rate", text, "at most 32 steps");
        double *rate = &o->rates[o->rates_n++];
        *rate = 0;
        if (strcmp(part, "max") != 0 && !parse_number(part, 0.001, 1e9, rate))
            return bad("rate", part, "a number of records per second (50000, 50k, 1.5M) or max");
    }
    return o->rates_n == 0 ? bad("rate", text, "at least one rate") : 0;
}

static int parse_codec(struct load_options *o, const char *text)
{
    static const char *const names[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    for (size_t i = 0; i < array_n(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            o->codec = (uint8_t)i;
            return 0;
        }
    }
    return bad("codec", text, "one of none, gzip, snappy, lz4, zstd");
}

static int parse_key_distribution(struct load_options *o, const char *text)
{
    if (strcmp(text, "uniform") != 0 && strcmp(text, "zipf") != 0)
        return bad("key-distribution", text, "uniform or zipf");
    o->keys = text[0] == 'z' ? LOAD_KEYS_ZIPF : LOAD_KEYS_UNIFORM;
    return 0;
}

static int parse_acks(struct load_options *o, const char *text)
{
    if (strcmp(text, "all") == 0 || strcmp(text, "-1") == 0)
        o->acks = -1;
    else if (strcmp(text, "0") == 0 || strcmp(text, "1") == 0)
        o->acks = (int16_t)(text[0] - '0');
    else
        return bad("acks", text, "0, 1 or all");
    return 0;
}

/* The options that are one number in a range. */
static int parse_count(const char *name, const char *text, double min, double max, uint32_t *out)
{
    double v;
    char want[64];
    if (parse_number(text, min, max, &v)) {
        *out = (uint32_t)v;
        return 0;
    }
    snprintf(want, sizeof want, "a number from %.0f to %.0f", min, max);
    return bad(name, text, want);
}

static int parse_seconds(const char *name, const char *text, double min, double *out)
{
    return parse_number(text, min, LOAD_SECONDS_MAX / 2, out)
               ? 0
               : bad(name, text, "seconds, 3600 at most");
}

static int parse_whole(const char *name, const char *text, uint64_t max, uint64_t *out)
{
    char *end, want[64];
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (end != text && *end == 0 && errno == 0 && text[0] != '-' && *out <= max)
        return 0;
    snprintf(want, sizeof want, "a whole number from 0 to %llu", (unsigned long long)max);
    return bad(name, text, want);
}

static int parse_int(const char *name, const char *text, int max, int *out)
{
    uint64_t v;
    int rc = parse_whole(name, text, (uint64_t)max, &v);
    if (rc == 0)
        *out = (int)v;
    return rc;
}

static int parse_port(struct load_options *o, int c, const char *arg)
{
    struct port_config *p = &o->port;
    switch (c) {
    case O_DEVARGS:
        return endpoint_device(arg, p) ? 0
                                       : bad("dpdk-devargs", arg,
                                             "a device of DPDK and its arguments, "
                                             "net_memif0,role=client,socket=/run/m.sock");
    case O_ADDRESS:
        return endpoint_address(arg, &p->ip, &p->mask) && p->mask != 0
                   ? 0
                   : bad("address", arg, "an IPv4 address and length, 10.77.0.2/24");
    default:
        return endpoint_address(arg, &p->gateway, NULL)
                   ? 0
                   : bad("gateway", arg, "an IPv4 address, 10.77.0.254");
    }
}

/* A port needs an address, an address a port; the null server has kernel sockets only. */
static int check_port(const struct load_options *o)
{
    const struct port_config *p = &o->port;
    if (p->name[0] == 0)
        return p->ip == 0 && p->gateway == 0
                   ? 0
                   : bad(p->ip != 0 ? "address" : "gateway", "", "goes with --dpdk-devargs");
    if (p->ip == 0)
        return bad("dpdk-devargs", p->name, "needs --address 10.77.0.2/24");
    if (p->gateway != 0 && ((p->gateway ^ p->ip) & p->mask) != 0)
        return bad("gateway", "", "is not in the network of --address");
    return o->is_ceiling ? bad("ceiling", "", "is for kernel sockets") : 0;
}

static int parse_flag(struct load_options *o, int c, const char *arg)
{
    switch (c) {
    case O_CEILING: o->is_ceiling = true; return 0;
    case O_QUIET: o->is_quiet = true; return 0;
    case O_KEEP: o->keep_topic = true; return 0;
    case O_JSON: o->json_path = arg; return 0;
    case O_HTML: o->html_path = arg; return 0;
    case O_LABEL: o->label = arg; return 0;
    case O_TOPIC: o->topic = arg; return 0;
    case O_BOOTSTRAP: o->bootstrap = arg; return 0;
    case O_SEED: return parse_whole("seed", arg, UINT32_MAX, &o->seed);
    case O_CPU: return parse_int("cpu", arg, CPU_SETSIZE - 1, &o->cpu);
    case O_DEVARGS:
    case O_ADDRESS:
    case O_GATEWAY: return parse_port(o, c, arg);
    case O_PID: return parse_int("broker-pid", arg, INT32_MAX, &o->broker_pid);
    default: return 2; /* no option of the table comes here */
    }
}

static int parse_one(struct load_options *o, int c, const char *arg)
{
    switch (c) {
    case O_TOPICS: return parse_count("topics", arg, 1, LOAD_TOPICS_MAX, &o->topics_n);
    case O_PARTITIONS:
        return parse_count("partitions", arg, 1, LOAD_PARTITIONS_MAX, &o->partitions_n);
    case O_RECORD: return parse_count("record-size", arg, 1, 16e6, &o->record_bytes);
    case O_BATCH: return parse_count("batch-size", arg, 1, 64e6, &o->batch_bytes);
    case O_PRODUCERS: return parse_count("producers", arg, 0, LOAD_CONNS_MAX, &o->producers_n);
    case O_CONSUMERS: return parse_count("consumers", arg, 0, LOAD_CONNS_MAX, &o->consumers_n);
    case O_READERS: return parse_count("readers", arg, 1, 100, &o->groups_n);
    case O_WINDOW: return parse_count("window", arg, 1, 100000, &o->window);
    case O_DURATION: return parse_seconds("duration", arg, 0.1, &o->duration_s);
    case O_WARMUP: return parse_seconds("warmup", arg, 0, &o->warmup_s);
    case O_ENTROPY: return parse_number(arg, 0, 1, &o->entropy) ? 0 : bad("entropy", arg, "0 to 1");
    case O_RATE: return parse_rates(o, arg);
    case O_CODEC: return parse_codec(o, arg);
    case O_KEYS: return parse_count("keys", arg, 0, LOAD_KEYS_MAX, &o->keys_n);
    case O_KEY_DISTRIBUTION: return parse_key_distribution(o, arg);
    case O_ACKS: return parse_acks(o, arg);
    default: return parse_flag(o, c, arg);
    }
}

int load_options_parse(struct load_options *o, const char *bootstrap, int argc, char **argv)
{
    *o = (struct load_options){
        .bootstrap = bootstrap,
        .topic = "millrace-bench",
        .topics_n = 1,
        .partitions_n = 1,
        .producers_n = 1,
        .groups_n = 1,
        .rates_n = 1,
        .duration_s = 30,
        .warmup_s = 5,
        .record_bytes = 1024,
        .batch_bytes = 16384,
        .acks = -1,
        .entropy = 1,
        .cpu = -1,
        .seed = 1,
        .label = "",
    };
    optind = 1;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":", longs, NULL)) != -1;) {
        if (c == '?' || c == ':')
            return wrong_option(argv[optind - 1], c == ':');
        if (c == O_HELP) {
            fputs(bench_help, stdout);
            return -1;
        }
        int rc = parse_one(o, c, optarg);
        if (rc != 0)
            return rc;
    }
    if (optind < argc) {
        fprintf(stderr, "millrace bench: %s: no argument is expected\nSee: millrace bench --help\n",
                argv[optind]);
        return 2;
    }
    if (o->producers_n + o->consumers_n * o->groups_n == 0)
        return bad("producers", "0", "needs --consumers");
    if ((uint64_t)o->topics_n * o->partitions_n > LOAD_PARTITIONS_MAX)
        return bad("partitions", "", "topics x partitions is at most 20,000");
    if (o->producers_n + o->consumers_n * o->groups_n > LOAD_CONNS_MAX)
        return bad("producers", "", "at most 10,000 connections in all");
    if (o->is_ceiling && (o->consumers_n > 0 || o->acks == 0))
        return bad("ceiling", "",
                   "the null server answers Produce only: no --consumers, no --acks 0");
    if (o->keys_n == 0 && o->keys != LOAD_KEYS_UNIFORM)
        return bad("key-distribution", "", "goes with --keys");
    int rc = check_port(o);
    if (rc == 0)
        rc = check_file("json", o->json_path);
    if (rc == 0)
        rc = check_file("html", o->html_path);
    if (rc != 0)
        return rc;
    if (o->window == 0)
        o->window = o->rates[0] > 0 ? 1000 : 8;
    return 0;
}
