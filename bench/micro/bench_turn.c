/*
 * bench_turn.c - what one request with very many partitions costs the turn that begins it: receives
 * its last bytes, decodes it, plans it, and asks the logs. Instructions, counted by callgrind.
 *
 *   bench_turn            milliseconds of that turn for each case
 *   bench_turn count N    every case N times and nothing else: tools/budget.py counts for it
 *
 * Owner: the program. One worker with the real request layer and codec, connections over memory and
 * a fake store (tests/unit/dataplane/kafka/kafka_bed.h): what the logs themselves cost is not here.
 * Each request names PARTITIONS_N partitions. Produce and Fetch go on in the next turn behind
 * BEGIN_UNITS_TURN elements decoded and partitions planned; of the others the cost is linear, and
 * REQUEST_ELEMENTS_MAX bounds them.
 */
#define KAFKA_BED_PLAIN
#include "../../tests/unit/dataplane/kafka/kafka_bed.h"

#include "clock.h"

#define noinline __attribute__((noinline))

enum { PARTITIONS_N = 1000, ROUNDS_N = 20, TURNS_MAX = 2000 };

/* Owner: the program. */
struct ground {
    struct bed *bed;
    struct view_topic *topic;
    struct client client;
};

/* ── requests ── */

static void *fetch_make(struct ground *g)
{
    return fetch_of(g->bed, g->topic, PARTITIONS_N, 0);
}

/* Empty batches: each is refused with a reason, which is all a client needs to ask for. */
static void *produce_make(struct ground *g)
{
    return produce_to(g->bed, g->topic, 0, PARTITIONS_N, 1, batch_of(g->bed, 1, 5));
}

static void *metadata_make(struct ground *g)
{
    struct metadata_request *q = PROTO_NEW(&g->bed->arena, metadata_request, 1);
    q->topics = PROTO_NEW(&g->bed->arena, metadata_request_topics, PARTITIONS_N);
    q->topics_n = PARTITIONS_N;
    for (int32_t i = 0; i < PARTITIONS_N; i++) {
        char *name = arena_alloc(&g->bed->arena, 16);
        check(name != NULL);
        snprintf(name, 16, "none-%d", i);
        q->topics[i].name = bytes_of_string(name);
    }
    return q;
}

static void *create_topics_make(struct ground *g)
{
    struct create_topics_request *q = PROTO_NEW(&g->bed->arena, create_topics_request, 1);
    q->topics = PROTO_NEW(&g->bed->arena, create_topics_request_topics, PARTITIONS_N);
    q->topics_n = PARTITIONS_N;
    q->timeout_ms = 1000;
    for (int32_t i = 0; i < PARTITIONS_N; i++) {
        q->topics[i].name = bytes_of_string("t");
        q->topics[i].num_partitions = q->topics[i].replication_factor = 1;
    }
    return q;
}

static void *list_offsets_make(struct ground *g)
{
    struct list_offsets_request *q = PROTO_NEW(&g->bed->arena, list_offsets_request, 1);
    q->replica_id = -1;
    q->topics = PROTO_NEW(&g->bed->arena, list_offsets_request_topics, 1);
    q->topics_n = 1;
    q->topics->name = g->topic->name;
    q->topics->partitions =
        PROTO_NEW(&g->bed->arena, list_offsets_request_topics_partitions, PARTITIONS_N);
    q->topics->partitions_n = PARTITIONS_N;
    for (int32_t i = 0; i < PARTITIONS_N; i++) {
        q->topics->partitions[i].partition_index = i;
        q->topics->partitions[i].timestamp = -1;
    }
    return q;
}

/* ── cases: the turn, in a function that callgrind can name ── */

#define CASE(name)                                          \
    static noinline void case_begin_##name(struct bed *bed) \
    {                                                       \
        bed_turn(bed);                                      \
    }
CASE(fetch)
CASE(produce)
CASE(metadata)
CASE(create_topics)
CASE(list_offsets)

static const struct {
    const char *name;
    int16_t key, version;
    void *(*make)(struct ground *g);
    void (*turn)(struct bed *bed);
} cases[] = {
    {"fetch", 1, 12, fetch_make, case_begin_fetch},
    {"produce", 0, 9, produce_make, case_begin_produce},
    {"metadata", 3, 9, metadata_make, case_begin_metadata},
    {"create_topics", 19, 7, create_topics_make, case_begin_create_topics},
    {"list_offsets", 2, 7, list_offsets_make, case_begin_list_offsets},
};

/* Sends all but the last byte and lets the broker take it in; the turn after the last byte begins
 * the request. Then the answer is awaited and dropped. Returns that turn's nanoseconds. */
static uint64_t run(struct ground *g, size_t at, bool is_timed)
{
    uint64_t n, begin_ns = 0, spent_ns = 0;
    struct bed *bed = g->bed;
    struct kafka *k = bed->workers[0].kafka;
    uint8_t *p = request_bytes(cases[at].key, cases[at].version, 1, cases[at].make(g), &n);
    uint64_t begun_n = k->begun_n;
    client_write(&g->client, p, n - 1);
    bed_turns(bed, 3);
    check(k->begun_n == begun_n);
    client_write(&g->client, p + n - 1, 1);
    if (is_timed)
        begin_ns = clock_read_ns();
    cases[at].turn(bed);
    if (is_timed)
        spent_ns = clock_read_ns() - begin_ns;
    check(k->begun_n == begun_n + 1);
    for (uint32_t i = 0; i < TURNS_MAX && !client_has_answer(&g->client); i++) {
        fake_durable_all(bed->workers[0].store, bed->now);
        bed_turn(bed);
    }
    check(client_has_answer(&g->client));
    g->client.in_n = 0;
    bed_turns(bed, 3);
    free(p);
    arena_fini(&bed->arena);
    arena_init(&bed->arena, NULL, NULL, MIB(64));
    return spent_ns;
}

int main(int argc, char **argv)
{
    struct kafka_config config = bed_config();
    struct ground g = {.bed = bed_new_with(1, &config)};
    bool is_count = argc == 3 && strcmp(argv[1], "count") == 0;
    long rounds_n = is_count ? strtol(argv[2], NULL, 10) : ROUNDS_N;
    g.bed->view.auto_create_topics = false;
    g.topic = bed_topic(g.bed, "many", PARTITIONS_N);
    g.client = client_connect(g.bed);
    for (size_t i = 0; i < array_n(cases); i++) {
        uint64_t spent_ns = 0;
        for (long n = 0; n < rounds_n; n++)
            spent_ns += run(&g, i, !is_count);
        if (!is_count)
            printf("turn  begin_%-18s %8.3f ms, %d partitions or topics\n", cases[i].name,
                   (double)spent_ns / (double)rounds_n / 1e6, PARTITIONS_N);
    }
    client_close(&g.client);
    bed_free(g.bed);
    bed_unused();
    return 0;
}
