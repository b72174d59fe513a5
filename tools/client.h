/*
 * client.h - a plain blocking client of a Kafka broker, through our own codec: what the admin
 * commands stand on.
 *
 * Owner: the caller, one thread. One connection, one request at a time, each with a deadline.
 *
 * It does not know partitions' leaders: requests go to the first broker of the list that answers,
 * which is what admin requests want. Produce and consume are librdkafka's (librdkafka.h).
 */
#ifndef MILLRACE_CLIENT_H
#define MILLRACE_CLIENT_H

#include <sys/types.h>

#include "proto.h"

enum { CLIENT_WHY_MAX = 512 };
enum { CLIENT_FRAME_BYTES_MAX = 256 << 20 };

/* Another way to the broker than a kernel socket. send and receive speak as the system calls do: -1
 * with errno, EAGAIN when nothing can be taken or has come; turn lets something happen. Owner: the
 * caller's thread. */
struct client_wire {
    int (*open)(const struct client_wire *w, const char *host, uint16_t port, int timeout_ms);
    ssize_t (*send)(const struct client_wire *w, const void *from, size_t n);
    ssize_t (*receive)(const struct client_wire *w, void *to, size_t n);
    void (*turn)(const struct client_wire *w);
    void (*close)(const struct client_wire *w);
};

/* Owner: the caller. */
struct client {
    const struct client_wire *wire; /* NULL: kernel sockets */
    int fd;                         /* -1: closed */
    int timeout_ms;                 /* of one request, connecting included */
    int32_t correlation_id;
    char address[280]; /* "127.0.0.1:9092", for messages */
    struct client_range {
        int16_t min, max; /* as the broker lists them; max -1: not served */
    } apis[PROTO_APIS_N];
    uint32_t unknown_apis_n;  /* keys the broker lists that we have no name for */
    struct arena arena;       /* requests and answers, until client_close */
    struct list frames;       /* the bytes that answers point into */
    char why[CLIENT_WHY_MAX]; /* one or two lines after a failure: what, and what to do */
};

/* Connects to the first broker of the list that answers ApiVersions. */
nodiscard int client_open(struct client *c, const char *bootstrap, int timeout_ms);
/* The same over `wire`; NULL is a kernel socket. */
nodiscard int client_open_over(struct client *c, const struct client_wire *wire,
                               const char *bootstrap, int timeout_ms);
void client_close(struct client *c);

/* One request and its answer, in the highest version that both sides know and that is not above
 * version_max. `version` may be NULL. E_UNSUPPORTED: the broker does not serve the API. Errors
 * inside the answer are the caller's to look for. */
nodiscard int client_call(struct client *c, int16_t api_key, int16_t version_max,
                          const void *request, const void **response, int16_t *version);

/* The highest version both sides know; -1 when there is none. */
int16_t client_version(const struct client *c, int16_t api_key, int16_t version_max);

/* "TOPIC_ALREADY_EXISTS"; "error 999" (in a buffer of the caller) for one we have no name for. */
const char *kafka_error_name(int16_t code, char *buffer, size_t n);

#endif
