/*
 * telemetry.h - client telemetry (KIP-714): who is asked to push what, and the numbers that came.
 *
 * Owner: control. A push is decoded on the bulk helper, which has `struct telemetry_push`
 * meanwhile.
 */
#ifndef MILLRACE_TELEMETRY_H
#define MILLRACE_TELEMETRY_H

#include "control_inside.h"
#include "otlp.h"
#include "regex.h"
#include "telemetry_stats.h"

enum {
    TELEMETRY_CLIENTS_MAX = 16384, /* as Apache Kafka's cache; the longest silent one goes */
    TELEMETRY_SUBSCRIPTIONS_MAX = 256,
    TELEMETRY_MATCHES_MAX = 16,      /* of one subscription */
    TELEMETRY_PUSHES_MAX = 16,       /* being decoded, or taken into the table; more wait */
    TELEMETRY_POINTS_PER_TURN = 512, /* taken into the table */
    TELEMETRY_LINES_PER_TURN = 256,  /* written for /metrics */
    TELEMETRY_CLIENT_SHARE = 8,      /* one client has at most this part of the series */
};

/* What of a client a subscription can ask for. */
enum telemetry_attribute {
    ATTRIBUTE_INSTANCE,
    ATTRIBUTE_CLIENT_ID,
    ATTRIBUTE_SOFTWARE_NAME,
    ATTRIBUTE_SOFTWARE_VERSION,
    ATTRIBUTE_ADDRESS,
    ATTRIBUTE_PORT,
    ATTRIBUTES_N
};

/* A client-metrics resource as it is used. */
struct telemetry_subscription {
    const char *name, *metrics; /* the state's; valid until it changes */
    int32_t interval_ms;
    struct {
        uint8_t attribute;
        struct regex *regex;
    } matches[TELEMETRY_MATCHES_MAX];
    uint32_t matches_n;
};

/* One that asks or pushes. */
struct telemetry_client {
    struct list by_use; /* the longest silent first */
    struct telemetry_client *chain;
    struct telemetry *telemetry;
    struct uuid id;
    char *attributes[ATTRIBUTES_N]; /* heap; NULL: not known */
    char *labels;                   /* heap; as series begin */
    uint64_t version;               /* of the subscriptions that the next two come from */
    int32_t subscription_id, interval_ms;
    int64_t get_ns, push_ns; /* of the last that were taken */
    int16_t error;           /* of the last request */
    bool is_terminating;
    struct timer expiry;
    struct list series; /* telemetry_series.of_client */
    uint32_t series_n;
    uint64_t number; /* of all that ever were */
};

/* All series of one name. */
struct telemetry_family {
    struct list link;
    struct telemetry_family *chain;
    struct list series; /* telemetry_series.of_family */
    uint64_t hash;
    uint8_t kind;
    bool is_mixed; /* clients differ about its kind */
    char name[];
};

struct telemetry_series {
    struct list of_client, of_family;
    struct telemetry_series *chain;
    struct telemetry_family *family;
    struct telemetry_client *client;
    uint64_t hash;
    double value;
    char labels[];
};

/* Series of clients, bounded. Owner: control. */
struct telemetry_table {
    struct list families;
    struct telemetry_family **by_name;
    struct telemetry_series **by_hash;
    uint32_t mask, series_n, series_max;
    /* What is being written for /metrics. */
    struct {
        char *text; /* NULL: nothing is */
        size_t n, max;
        struct list *family, *series; /* next to write; series NULL: the family's head line */
        bool is_failed;
    } page;
};

/* A push at the bulk helper. Owner: control; bulk while it has it. */
struct telemetry_push {
    struct work_op work;
    struct list link; /* telemetry->arrived */
    struct control_op *op;
    struct uuid id;
    struct bytes payload; /* the request's */
    uint8_t codec;
    uint32_t bytes_max; /* inflated */
    int error;          /* out */
    uint32_t taken_n;   /* of the points */
    struct otlp_points points;
};

struct telemetry {
    struct control *control;
    bool is_offered; /* clients are told that they may ask */
    int32_t bytes_max;
    uint64_t seed;
    struct telemetry_subscription *subscriptions;
    uint32_t subscriptions_n;
    uint64_t version; /* of the state they were made from; 0: never */
    struct list by_use;
    struct telemetry_client **by_id;
    uint32_t clients_n;
    uint64_t number_next;
    uint32_t pushes_n;   /* at bulk, or in arrived */
    struct list arrived; /* decoded, not yet in the table */
    struct telemetry_table table;
    struct telemetry_stats stats;
};

/* ── telemetry.c ── */
nodiscard int telemetry_init(struct telemetry **out, struct control *control);
void telemetry_fini(struct telemetry *telemetry);
/* A push is back from bulk. */
void telemetry_back(struct telemetry *telemetry, struct work_op *work);
int telemetry_turn(struct telemetry *telemetry);
bool telemetry_is_quiet(const struct telemetry *telemetry);

/* ── telemetry_match.c ── */
/* Makes the subscriptions anew when the settings have changed. */
void telemetry_look(struct telemetry *telemetry);
void telemetry_forget(struct telemetry *telemetry);
/* What the client is to push: the names in the order of the alphabet, each once, into `names` (room
 * for names_max). Sets its interval and subscription id. Returns how many names. */
uint32_t telemetry_evaluate(struct telemetry *telemetry, struct telemetry_client *client,
                            struct bytes *names, uint32_t names_max);
/* "client_id=a.*": may it stand in a subscription's `match`? */
bool telemetry_match_is_legal(const char *text, size_t n);

/* ── telemetry_table.c ── */
nodiscard int metrics_table_init(struct telemetry_table *table, uint32_t series_max);
void metrics_table_fini(struct telemetry_table *table);
/* One number of a client. False: there is no room for a new series. */
bool metrics_table_put(struct telemetry_table *table, struct telemetry_client *client,
                       const struct otlp_points *points, const struct otlp_point *point);
/* All series of the client go. */
void metrics_table_drop(struct telemetry_table *table, struct telemetry_client *client);
/* Begins the page, or goes on with it; true when it is whole: `text` is the caller's. */
bool metrics_table_page(struct telemetry_table *table, char **text);

#endif
