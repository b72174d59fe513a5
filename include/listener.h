/*
 * listener.h - one listener, as configured: `listeners` and `advertised.listeners`.
 *
 * Owner: immutable after boot.
 */
#ifndef MILLRACE_LISTENER_H
#define MILLRACE_LISTENER_H

#include "base.h"

enum {
    LISTENERS_MAX = 16,
    LISTENER_NAME_MAX = 64,
};

struct listener {
    char name[LISTENER_NAME_MAX]; /* PLAINTEXT, INTERNAL, ...                              */
    char host[256];               /* as written; "" = all addresses                        */
    uint16_t port;                /* 0: the kernel chooses (tests)                         */
    char advertised_host[256];    /* what clients that came in here are told (trap 36)     */
    uint16_t advertised_port;
    uint8_t native; /* 1 + the port of dpdk.ports that serves it; 0: kernel sockets        */
};

#endif
