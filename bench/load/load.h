/*
 * load.h - `millrace bench`: an open-loop load generator for any broker that speaks the Kafka
 * protocol.
 *
 * Owner: one thread that never sleeps while it measures.
 *
 * Open loop: request k is due at start + k / rate whatever happened to the requests before it, and
 * its latency counts from then. A server that pauses therefore shows in every request that was due
 * meanwhile (no coordinated omission). With --rate max the loop is closed by a window of requests
 * per connection, and latency counts from the send; the report says which.
 *
 * The client must not be the bottleneck: batches are encoded once and sent again and again; of a
 * request only its head (topic, partition, correlation id) is written, which no checksum covers.
 * `millrace bench --ceiling` measures what the generator reaches against a server that does
 * nothing.
 *
 * End-to-end latency: the answer to a produce says at which offset its batch begins; the consumer,
 * in the same process, notes when it received the batch at that offset. The two are matched by
 * (partition, offset), in either order, so no byte of the payload is touched and any codec can be
 * measured.
 */
#ifndef MILLRACE_LOAD_H
#define MILLRACE_LOAD_H

#include <stdio.h>

#include "arena.h"
#include "bytes.h"
#include "clock.h"
#include "histogram.h"
#include "prng.h"
#include "port.h"
#include "storage.h"

enum {
    LOAD_STEPS_MAX = 32,
    LOAD_CONNS_MAX = 10000,
    LOAD_PARTITIONS_MAX = 20000,
    LOAD_TOPICS_MAX = 1000,
    LOAD_PAYLOADS = 16,       /* different batches, sent by turns                          */
    LOAD_SECONDS_MAX = 7200,  /* of the time series                                        */
    LOAD_MATCHES_N = 1 << 20, /* batches between produce and fetch, over all partitions    */
    LOAD_MATCHES_MIN = 64,    /* of one partition                                          */
    LOAD_DRAIN_S = 10,        /* how long answers to what was due are waited for           */
    LOAD_KEYS_MAX = 100000000,
    LOAD_STALL_S = 10,        /* without any answer: the broker has stopped                */
    LOAD_EXIT_INCOMPLETE = 3, /* a result, but not what was asked for: see load_is_complete */
};

/* How often each key occurs: all alike, or the k-th most frequent one 1/k times as often as the
 * first. */
enum load_keys { LOAD_KEYS_UNIFORM, LOAD_KEYS_ZIPF };

/* What was asked for. Units in the names. */
struct load_options {
    const char *bootstrap;                       /* host:port */
    const char *topic;                           /* prefix when topics_n > 1 */
    uint32_t topics_n, partitions_n;             /* partitions per topic */
    uint32_t producers_n, consumers_n, groups_n; /* consumers_n per group of readers: fan-out */
    double rates[LOAD_STEPS_MAX];                /* records per second; 0 = max */
    uint32_t rates_n;
    double duration_s, warmup_s;
    uint32_t record_bytes; /* of the value */
    uint32_t batch_bytes;  /* about; at least one record */
    int16_t acks;
    uint8_t codec;
    uint32_t window; /* requests of one connection under way */
    double entropy;  /* 0 .. 1: share of random bytes in the payload */
    uint32_t keys_n; /* different keys; 0 = records without keys */
    uint8_t keys;    /* enum load_keys: which of them a record has */
    bool keep_topic; /* do not delete it afterwards */
    bool is_ceiling; /* against the null server instead of a broker */
    bool is_quiet;
    int broker_pid; /* 0 = unknown: CPU and memory of it are reported */
    int cpu;        /* pin the generator, -1 = do not */
    uint64_t seed;
    const char *json_path, *html_path;
    const char *label;
    struct port_config port; /* name "": kernel sockets; else our own TCP on this port of DPDK */
};

/* One second of a run. */
struct load_second {
    uint64_t records, bytes, requests, consumed_bytes;
    uint64_t p50_ns, p99_ns, max_ns;
    uint64_t stall_ns_max; /* the longest gap between two turns of the generator's own loop */
};

/* One step of a run (one rate), measured. */
struct load_result {
    double rate; /* asked; 0 = max */
    double seconds;
    uint64_t records, bytes, requests, errors;
    uint64_t consumed_records, consumed_bytes;
    uint64_t due;                /* requests that were due in the window (open loop)          */
    uint64_t behind;             /* of these, not sent at its end                              */
    bool is_behind;              /* the rate was not reached                                   */
    bool is_window_full;         /* at the end: the broker is what was waited for              */
    uint64_t unanswered;         /* sent or due, and no answer LOAD_DRAIN_S after the end      */
    uint64_t unmatched;          /* answered, and not received by the consumer by then         */
    struct histogram produce;    /* ns, from the intended send to the answer */
    struct histogram end_to_end; /* ns, from the intended send to the receipt by a consumer */
    struct histogram stalls;     /* ns, gaps of the generator's own loop: the machine's stalls */
    double broker_cpu_s, client_cpu_s, machine_cpu_s, steal_s;
    uint64_t broker_rss_bytes;
    int16_t first_error;
    struct load_second *seconds_v;
    uint32_t seconds_n;
};

/* What the machine is. */
struct load_host {
    char cpu[128], kernel[128], file_system[64], date[32], commit[64];
    int cores;
    uint64_t memory_bytes;
    double load_before;
};

struct wire; /* wire.h: what carries the bytes */

/* options.c: 0, or an exit code after a message. */
int load_options_parse(struct load_options *o, const char *bootstrap, int argc, char **argv);

/* payload.c: encoded batches. */
struct load_payload {
    uint8_t *ptr;
    uint32_t bytes;
    uint32_t records_n;
    uint8_t length[5]; /* as it stands before the records in a Produce request */
    uint8_t length_n;
};
nodiscard int load_payload_make(struct load_payload *p, const struct load_options *o,
                                struct prng *prng);
/* The length field of the records in a Produce request of that version. */
void load_payload_length(struct load_payload *p, int16_t produce_version);

/* setup.c: topics exist and their partitions have leaders. 0, or E_ with one clear line on stderr.
 */
nodiscard int load_setup(const struct load_options *o, struct wire *wire, uint16_t *produce_version,
                         uint16_t *fetch_version);
void load_teardown(const struct load_options *o, struct wire *wire);

/* engine.c: the measured loop. */
struct load;
nodiscard int load_new(struct load **out, const struct load_options *o, struct wire *wire);
nodiscard int load_run_step(struct load *l, double rate, double warmup_s, double duration_s,
                            struct load_result *result);
/* The broker answered and the topics are there; what fails afterwards has load_why. */
bool load_is_set_up(const struct load *l);
/* What went wrong, as one sentence; "" when nothing did. */
const char *load_why(const struct load *l);
void load_free(struct load *l);

/* True when the result is what was asked for: the rate was reached, everything was answered without
 * an error and, with consumers, received. */
bool load_is_complete(const struct load_result *r);

/* host.c */
void load_host_read(struct load_host *host);
double load_cpu_of(int pid); /* user + system seconds of a process; -1 when it is gone */
uint64_t load_rss_of(int pid);
void load_cpu_machine(double *busy_s, double *steal_s);

/* report.c, html.c */
enum { LOAD_TIME_TEXT = 24 };
/* "850 ns", "12.3 us", "1.25 ms", "1.02 s" */
const char *load_time_text(char to[LOAD_TIME_TEXT], uint64_t ns);
void load_report_text(FILE *to, const struct load_options *o, const struct load_host *host,
                      const struct load_result *results, uint32_t n);
nodiscard int load_report_json(const char *path, const struct load_options *o,
                               const struct load_host *host, const struct load_result *results,
                               uint32_t n);
nodiscard int load_report_html(const char *path, const struct load_options *o,
                               const struct load_host *host, const struct load_result *results,
                               uint32_t n);

/* null_server.c: answers Produce at once and does nothing else; a process of its own. Returns its
 * pid and port. */
nodiscard int null_server_start(uint16_t *port, int *pid, int cpu);

#endif
