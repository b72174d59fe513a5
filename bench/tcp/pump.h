/*
 * pump.h - both ends of a measured TCP connection: over our engine, or over kernel sockets.
 *
 * Owner: main, one thread.
 *
 * A stream's bytes are known by their place (pump_bytes), so whoever receives compares every one.
 */
#ifndef MILLRACE_PUMP_H
#define MILLRACE_PUMP_H

#include <stdio.h>
#include <stdlib.h>

#include "base.h"
#include "check.h"
#include "clock.h"

enum {
    PUMP_PORT = 9100,
    PUMP_PATTERN = 1 << 18,  /* the stream repeats after so many bytes     */
    PUMP_CHUNK = 64 * 1024,  /* given or taken at once                      */
    PUMP_PINGS_MAX = 200000, /* kept                                        */
    PUMP_PING_BYTES = 100,   /* a request, and an answer                    */
};

/* What was asked for. Owner: main. */
struct pump_options {
    const char *role;    /* sink, source, echo, ping, raw                           */
    const char *device;  /* "kernel", or a port of DPDK: "net_af_packet0"           */
    const char *devargs; /* of the port                                             */
    uint32_t ip, to;     /* ours (a port), the peer's (source, ping); host order     */
    double seconds;
};

/* What came of it. Owner: main. */
struct pump_result {
    uint64_t bytes, broken; /* compared; the first that differs + 1 */
    uint64_t wall_ns;
    uint64_t busy_ns; /* of turns in which packets moved (engine)    */
    uint64_t *rtt_ns;
    uint32_t rtts_n;
    uint64_t retransmits, segments;
};

/* The stream's bytes from place `at` on: PUMP_CHUNK of them are contiguous. */
const uint8_t *pump_bytes(uint64_t at);
bool pump_is_equal(const uint8_t *p, uint32_t n, uint64_t at);
int pump_kernel(const struct pump_options *o, struct pump_result *r);
int pump_engine(const struct pump_options *o, struct pump_result *r);

#endif
