/*
 * bench_classes.c - the longest turn of a worker while producers of a bulk topic send all they can
 * and a critical topic is active, in instructions counted by callgrind.
 *
 *   bench_classes            milliseconds of the longest turn
 *   bench_classes count N    the same turns: tools/budget.py finds the longest, in instructions
 *
 * Owner: the program. The broker and the io of bench_path.c: the kernel is left out, nothing else
 * of the worker is. BULK_CLIENTS_N producers have WINDOW_N batches of 64 KiB under way each, over
 * BULK_PARTITIONS_N partitions; one record of 100 bytes for the critical partition comes every
 * CRITICAL_TURNS turns. `alone` is the same without the critical one: bulk at its full rate.
 */
int path_main(int argc, char **argv); /* bench_path's own */
#define main path_main
#include "bench_path.c"
#undef main

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(name) (void)(name)
#endif

enum {
    BULK_CLIENTS_N = 2,
    BULK_PARTITIONS_N = 4,
    WINDOW_N = 6, /* what receives of a turn have events for */
    BATCH_BYTES_MAX = 64 << 10,
    BATCH_RECORD_BYTES = 1024,
    CRITICAL_PARTITION = PARTITIONS_N - 1,
    CRITICAL_TURNS = 5,
    TURNS_N = 120,
};

/* What is sent, made once. Owner: the program. */
struct load {
    struct slices bulk[BULK_PARTITIONS_N], critical;
    uint32_t under_way[BULK_CLIENTS_N], sent_n;
    uint64_t longest_ns;
};

static const char *case_now;
static struct load load;

/* One batch for one partition. */
static struct slices batch_frame(struct ground *g, int32_t partition, struct slices records)
{
    struct produce_request *q = PROTO_NEW(&g->arena, produce_request, 1);
    q->acks = -1;
    q->timeout_ms = 30000;
    q->topic_data = PROTO_NEW(&g->arena, produce_request_topic_data, 1);
    q->topic_data_n = 1;
    q->topic_data->name = bytes_of_string("bench-topic");
    q->topic_data->partition_data_n = 1;
    q->topic_data->partition_data =
        PROTO_NEW(&g->arena, produce_request_topic_data_partition_data, 1);
    q->topic_data->partition_data->index = partition;
    q->topic_data->partition_data->records = records;
    return request_bytes(g, API_PRODUCE, 12, q);
}

static struct slices bulk_make(struct ground *g, int32_t partition)
{
    static uint8_t batch[BATCH_BYTES_MAX], value[BATCH_RECORD_BYTES];
    struct batch_builder b;
    struct slice *v = arena_alloc(&g->arena, sizeof *v);
    memset(value, 'x', sizeof value);
    batch_begin(&b, batch, sizeof batch);
    while (batch_add(&b, g->now.wall_ms, bytes_of(NULL, 0), bytes_of(value, sizeof value)) == 0)
        continue;
    *v = (struct slice){batch, batch_end(&b, 0, -1), NULL};
    return batch_frame(g, partition, (struct slices){v, 1, v->n});
}

static struct slices critical_make(struct ground *g)
{
    return batch_frame(g, CRITICAL_PARTITION, batch_of(g));
}

/* A frame in as many receives as it takes. */
static void frame_send(struct ground *g, struct client *c, struct slices frame)
{
    uint64_t max = g->wires[0].io.buffer_bytes;
    for (uint64_t at = 0; at < frame.v->n; at += max)
        client_send(g, c, frame.v->ptr + at, min_u64(max, frame.v->n - at));
}

static noinline void turn_counted(struct ground *g, uint8_t thread)
{
    uint64_t begin_ns = clock_read_ns();
    if (thread == 0)
        CALLGRIND_ZERO_STATS;
    broker_turn(&g->broker, thread, g->now);
    if (thread == 0)
        CALLGRIND_DUMP_STATS_AT(case_now);
    load.longest_ns = max_u64(load.longest_ns, clock_read_ns() - begin_ns);
}

/* Answers are taken out; one more frame for each. */
static void bulk_go_on(struct ground *g, bool is_sending)
{
    for (uint32_t i = 0; i < BULK_CLIENTS_N; i++) {
        struct client *c = &g->clients[i];
        load.under_way[i] -= answers_n(c);
        c->in_n = 0;
        if (!is_sending || c->recv == NULL)
            continue;
        for (; load.under_way[i] < WINDOW_N; load.under_way[i]++)
            frame_send(g, c, load.bulk[load.sent_n++ % BULK_PARTITIONS_N]);
    }
}

static void run(struct ground *g, bool is_critical, turn_function *of_case)
{
    struct client *critical = &g->clients[BULK_CLIENTS_N];
    load.longest_ns = 0;
    for (int i = 0; i < TURNS_N; i++) {
        bulk_go_on(g, true);
        if (is_critical && i % CRITICAL_TURNS == 0)
            frame_send(g, critical, load.critical);
        critical->in_n = 0;
        turn(g, of_case);
        g->now.ns += NS_PER_MS / 10;
    }
    for (int i = 0; i < SETTLE_TURNS_MAX && !is_still(g); i++) {
        turn(g, turn_plain);
        bulk_go_on(g, false);
    }
    check(is_still(g));
    critical->in_n = 0;
}

static void class_set(struct ground *g, int32_t partition, uint8_t latency)
{
    store_log_find(g->broker.workers[0]->store, &g->topic_id, partition)->config.latency = latency;
}

int main(int argc, char **argv)
{
    struct ground *g = calloc(1, sizeof *g);
    bool is_count = argc == 3 && strcmp(argv[1], "count") == 0;
    check(g != NULL);
    ground_open(g);
    for (int32_t i = 0; i < BULK_PARTITIONS_N; i++) {
        class_set(g, i, LATENCY_BULK);
        load.bulk[i] = bulk_make(g, i);
    }
    class_set(g, CRITICAL_PARTITION, LATENCY_CRITICAL);
    load.critical = critical_make(g);
    static const char *const names[] = {"bulk_alone_longest", "bulk_beside_critical_longest"};
    for (size_t i = 0; i < array_n(names); i++) {
        case_now = names[i];
        run(g, i == 1, turn_plain); /* pages and tables are warm */
        run(g, i == 1, turn_counted);
        if (!is_count)
            printf("turn  %-30s %8.3f ms\n", names[i], (double)load.longest_ns / 1e6);
    }
    ground_close(g);
    free(g);
    (void)path_main;
    return 0;
}
