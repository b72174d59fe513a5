/*
 * admin.h - the inside of `sim --admin`: admin.c (crashes at every disk operation), admin_cases.c
 * (the requests), admin_state.c (what a client can see of the broker).
 *
 * Owner: the simulator.
 */
#ifndef MILLRACE_SIM_ADMIN_H
#define MILLRACE_SIM_ADMIN_H

#include "arena.h"
#include "sim.h"
#include "wire.h"

enum { ADMIN_STATE_BYTES = 32768, ADMIN_ID_BYTES = 128 };

/* What a run sees; lines, each of one thing: a topic, a partition's offsets, a group .. */
struct admin_state {
    char text[ADMIN_STATE_BYTES];
    uint32_t n;
};

/* One life of a broker and the client that asks it. */
struct admin {
    struct sim *sim;
    struct sim_wire wire;
    struct arena arena; /* of the request and answer at hand */
    int16_t api_key, version;
    int32_t asked; /* correlation id that is waited for */
    bool is_answered;
    bool is_refused; /* the request that is cut was */
    void *response;  /* in the arena */
    char member_id[ADMIN_ID_BYTES];
    int32_t generation;
    struct uuid topic_id;    /* of topic a */
    int64_t producer_id_min; /* ids below were given */
};

/* What may be found after a crash. */
enum admin_unit {
    ADMIN_WHOLE, /* the request is one change: all of it or nothing */
    ADMIN_LINES, /* each thing it names is */
    ADMIN_LATER, /* ... and comes to be so behind the answer, whatever happens */
};

struct admin_case {
    const char *name;
    int16_t api_key, version;
    enum admin_unit unit;
    bool (*prepare)(struct admin *a); /* before the disk operations are counted; NULL: nothing */
    const void *(*request)(struct admin *a);
    const char *follows; /* lines of "after" that come to be some time behind the answer */
    int16_t refusal;     /* an error that is an answer, too: nothing may have changed then */
};

/* ── admin.c ── */
/* Sends and waits. False: the disk died before the answer was read, or the run has failed. */
bool admin_call(struct admin *a, int16_t api_key, int16_t version, const void *request);
/* Until it is answered without an error that passes by itself. */
bool admin_insist(struct admin *a, int16_t api_key, int16_t version,
                  const void *(*request)(struct admin *a));

/* ── admin_cases.c ── */
extern const struct admin_case admin_cases[];
extern const uint32_t admin_cases_n;
/* Topics a (2 partitions), b and c, records, settings, groups with offsets. */
bool admin_setup(struct admin *a);
/* The first error of an answer. */
int16_t admin_error(int16_t api_key, const void *response);

/* ── admin_state.c ── */
bool admin_look(struct admin *a, struct admin_state *to);

#endif
