/*
 * pump.c - one end of a measured connection; bench_tcp.py starts two and reads what they print.
 *
 *   pump ROLE DEVICE DEVARGS IP PEER SECONDS
 *
 * ROLE    sink     accepts one connection and compares what comes until it ends
 *         source   connects and sends for SECONDS
 *         echo     accepts one connection and answers each request of 100 bytes with as many
 *         ping     connects and asks, one request at a time, for SECONDS
 *         raw      frames of 1514 bytes out of the interface DEVARGS, as fast as it takes them
 * DEVICE  kernel: sockets; or a port of DPDK with our engine on it
 * IP      of the port, "-" for kernel; PEER: "-" for sink and echo
 *
 * Prints one line of JSON.
 */
#include "pump.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "prng.h"

static uint8_t *pattern;

const uint8_t *pump_bytes(uint64_t at)
{
    return pattern + at % PUMP_PATTERN;
}

bool pump_is_equal(const uint8_t *p, uint32_t n, uint64_t at)
{
    return memcmp(p, pump_bytes(at), n) == 0;
}

static void pattern_make(void)
{
    struct prng prng;
    prng_init(&prng, 4711);
    pattern = malloc(PUMP_PATTERN + PUMP_CHUNK);
    check(pattern != NULL);
    for (uint32_t i = 0; i < PUMP_PATTERN; i++)
        pattern[i] = (uint8_t)prng_next(&prng);
    memcpy(pattern + PUMP_PATTERN, pattern, PUMP_CHUNK);
}

static uint32_t ip_read(const char *text)
{
    struct in_addr in;
    return inet_pton(AF_INET, text, &in) == 1 ? ntohl(in.s_addr) : 0;
}

static int rtt_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double rtt_us(const struct pump_result *r, double part)
{
    if (r->rtts_n == 0)
        return 0;
    uint32_t at = (uint32_t)(part * r->rtts_n);
    return (double)r->rtt_ns[at < r->rtts_n ? at : r->rtts_n - 1] / 1000;
}

static void result_print(struct pump_result *r)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    double user = (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec / 1e6;
    double system = (double)use.ru_stime.tv_sec + (double)use.ru_stime.tv_usec / 1e6;
    qsort(r->rtt_ns, r->rtts_n, sizeof *r->rtt_ns, rtt_compare);
    printf("{\"bytes\": %lu, \"broken\": %lu, \"wall_s\": %.6f, \"busy_s\": %.6f, "
           "\"user_s\": %.3f, \"system_s\": %.3f, \"retransmits\": %lu, \"segments\": %lu, "
           "\"rtts\": %u, \"p50_us\": %.2f, \"p99_us\": %.2f}\n",
           (unsigned long)r->bytes, (unsigned long)r->broken, (double)r->wall_ns / 1e9,
           (double)r->busy_ns / 1e9, user, system, (unsigned long)r->retransmits,
           (unsigned long)r->segments, r->rtts_n, rtt_us(r, 0.5), rtt_us(r, 0.99));
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "pump ROLE DEVICE DEVARGS IP PEER SECONDS\n");
        return 2;
    }
    struct pump_options o = {argv[1],          argv[2],          argv[3],
                             ip_read(argv[4]), ip_read(argv[5]), strtod(argv[6], NULL)};
    struct pump_result r = {.rtt_ns = calloc(PUMP_PINGS_MAX, sizeof *r.rtt_ns)};
    check(r.rtt_ns != NULL);
    pattern_make();
    int rc = strcmp(o.device, "kernel") == 0 ? pump_kernel(&o, &r) : pump_engine(&o, &r);
    if (rc == 0)
        result_print(&r);
    free(r.rtt_ns);
    free(pattern);
    return rc != 0 || r.broken != 0;
}
